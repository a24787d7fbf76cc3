"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ehrsatz.errors import ScenarioError


def _generators(incomplete: str) -> list[str]:
    from ehrsatz import registry

    return [name for name in registry.names("generators") if name.startswith(incomplete)]


def _formats(incomplete: str) -> list[str]:
    from ehrsatz import registry

    return [name for name in registry.names("exporters") if name.startswith(incomplete)]


def policies(incomplete: str) -> list[str]:
    """Return the shipped policies whose name begins so."""
    from ehrsatz.gate import SHIPPED

    return [name for name in SHIPPED if name.startswith(incomplete)]


From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="PATH|URL", help="CSV or Parquet file, folder of them, SQLAlchemy URL, or heart_disease_uci."
    ),
]
Subject = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column that says whose row it is.")]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column that a prediction model would learn.")]
SchemaFile = Annotated[Path | None, typer.Option("--schema", metavar="FILE", help="An edited schema.yaml; it wins.")]
Tables = Annotated[list[str] | None, typer.Option("--table", metavar="NAME", help="Table to read; repeat for more.")]
SampleSubjects = Annotated[int | None, typer.Option(min=2, help="Read only that many subjects, drawn by the seed.")]
GeneratorName = Annotated[
    str | None,
    typer.Option(
        "--generator", metavar="NAME", autocompletion=_generators, help="Method; see: doctor --list generators"
    ),
]
Param = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Parameter of the method; repeat for more.")]
Given = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help='Condition on the rows: sex=F, age=40..60, or JSON such as \'{"sex": {"share": {"F": 0.5, "M": 0.5}}}\'.',
    ),
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="LIST",
        autocompletion=_formats,
        help="One or more, as in csv,fhir; see: doctor --list exporters",
    ),
]
FromFormat = Annotated[
    str | None,
    typer.Option("--from-format", metavar="NAME", help="Format of the records; found by their files where left out."),
]
MappingFile = Annotated[
    Path | None, typer.Option("--mapping", metavar="FILE", help="Mapping of your own tables, for the format layout.")
]
Athena = Annotated[
    Path | None, typer.Option("--athena", metavar="DIR", help="OMOP vocabularies, as downloaded from Athena.")
]
StudyDrug = Annotated[
    str | None,
    typer.Option("--study-drug", metavar="CODE|NAME", help="What the study of SDTM gives: its courses become EX."),
]
AllowReal = Annotated[
    bool, typer.Option("--allow-real", help="Also where nothing says that the records are fabricated.")
]
PolicyName = Annotated[
    str | None,
    typer.Option("--policy", metavar="NAME|FILE", autocompletion=policies, help="A shipped policy by name, or a file."),
]
Groups = Annotated[
    list[str] | None, typer.Option("--group", metavar="COLUMN", help="Column of subgroups; repeat for more.")
]
Duration = Annotated[str | None, typer.Option(metavar="COLUMN", help="Follow-up time, for survival analyses.")]
Event = Annotated[str | None, typer.Option(metavar="COLUMN", help="Whether follow-up ended in the event.")]
Formulas = Annotated[
    list[str] | None,
    typer.Option("--formula", metavar="FORMULA", help="Regression to repeat: 'died ~ age + C(sex)'; repeat for more."),
]
Quasi = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="Column that an attacker may know; repeat for more.")
]
Secrets = Annotated[
    list[str] | None,
    typer.Option("--secret", metavar="COLUMN", help="Column that an attacker wants to learn; repeat for more."),
]
Umap = Annotated[bool, typer.Option("--umap", help="Draw the UMAP view too; needs the extra 'umap'.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads; the result does not depend on it.")]
Seed = Annotated[int | None, typer.Option(help="Decides every draw; 0 by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]

_BAND = re.compile(r"(-?[^.]*(?:\.\d+)?)\.\.(-?[^.]*(?:\.\d+)?)")


def place(text: str | None) -> dict[str, str]:
    """Return the scenario keys for what --from names: a bundled table, a database URL or a path."""
    if text is None:
        return {}
    from ehrsatz.scenario import BUNDLED

    if text in BUNDLED:
        return {"source.bundled": text}
    return {"source.url": text} if "://" in text else {"source.path": text}


def formats(text: str | None) -> list[str] | None:
    """Split a list of formats at commas; None stays None."""
    return None if text is None else [one.strip() for one in text.split(",") if one.strip()]


def settings(mapping: Path | None, athena: Path | None, drug: str | None) -> dict[str, str]:
    """Return what exporters are told besides the rows."""
    told = {"mapping": mapping, "athena": athena, "drug": drug}
    return {name: str(value) for name, value in told.items() if value is not None}


def conditions(texts: list[str] | None) -> dict[str, Any]:
    """Read conditions written as COLUMN=VALUE, COLUMN=MIN..MAX or JSON.

    Raises
    ------
    ScenarioError
        When one is neither.
    """
    found: dict[str, Any] = {}
    for text in texts or []:
        if text.lstrip().startswith("{"):
            found.update(_json_object(text))
            continue
        name, value = _pair(text, "--given")
        band = _BAND.fullmatch(value)
        if band and (band[1] or band[2]):
            ends = {"min": band[1], "max": band[2]}
            found[name] = {end: _value(bound) for end, bound in ends.items() if bound}
        else:
            found[name] = _value(value)
    return found


def parameters(texts: list[str] | None) -> dict[str, Any]:
    """Read parameters written as KEY=VALUE, where VALUE is JSON or plain text.

    Raises
    ------
    ScenarioError
        When one has no "=".
    """
    return {name: _value(value) for name, value in (_pair(text, "--param") for text in texts or [])}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ScenarioError(
            f"Expected {option} as NAME=VALUE.", "No '=' was found after a name.", f"Write it as {option} NAME=VALUE."
        )
    return name.strip(), value.strip()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json_object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        where = f"position {error.pos}" if isinstance(error, json.JSONDecodeError) else "an unknown position"
        raise ScenarioError(
            "Expected --given as a JSON object.", f"It cannot be read at {where}.", "Quote it for the shell."
        ) from None
    return dict(data)
