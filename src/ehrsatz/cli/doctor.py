"""`ehrsatz doctor`: what is installed, what an extra would add, how to get it."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Annotated

import typer

from ehrsatz.cli.options import AsJson
from ehrsatz.cli.screen import show_json, show_table

if TYPE_CHECKING:
    from ehrsatz.simulator.module import Condition, Episode

_CORE = (
    "numpy",
    "scipy",
    "polars",
    "pyarrow",
    "scikit-learn",
    "pydantic",
    "typer",
    "rich",
    "PyYAML",
    "jinja2",
    "threadpoolctl",
)
_EXTRAS = {  # module -> (extra, what it adds)
    "sqlalchemy": ("sql", "read from databases by SQLAlchemy URL"),
    "duckdb": ("sql", "read DuckDB files"),
    "psycopg": ("sql", "read from PostgreSQL"),
    "torch": ("torch", "learn with networks"),
    "optuna": ("tune", "search for settings with `ehrsatz tune`"),
    "umap": ("umap", "draw the UMAP view of a report"),
    "pyrage": ("encrypt", "seal a release for its receiver"),
}


def doctor(
    list_: Annotated[
        str | None,
        typer.Option(
            "--list",
            metavar="ROOM",
            help="List generators, metrics, rules, exporters, sources; scenarios, conditions, panels, locales, "
            "edge-cases.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is installed, what an extra would add and how to get it.

    \b
    Examples:
      ehrsatz doctor
      ehrsatz doctor --list generators
      ehrsatz doctor --list rules
      ehrsatz doctor --list conditions
    """
    from ehrsatz import __version__, extras, registry
    from ehrsatz.errors import UnknownNameError, nearest

    if list_ in _KNOWN:
        known = _KNOWN[list_]()
        if as_json:
            show_json([{"id": name, "title": title} for name, title in known])
        else:
            show_table(("id", "title"), known)
        return
    if list_ is not None:
        if list_ not in registry.BUILT_IN:
            rooms = (*registry.BUILT_IN, *_KNOWN)
            raise UnknownNameError(
                f"Expected one of: {', '.join(rooms)}.",
                f"'{list_}' is none of them.{nearest(list_, rooms)}",
                "Name one.",
            )
        names = list(registry.names(list_))
        if as_json:
            show_json(names)
        elif list_ == "rules":
            told = registry.RULES
            typer.echo("\n".join("\t".join((one, *_words(told.get(one, {})))) for one in names))
        else:
            typer.echo("\n".join(names))
        return
    rows = [("ehrsatz", __version__, ""), ("python", platform.python_version(), "")]
    rows += [
        (name, _version(name), "" if _version(name) else "pip install --force-reinstall ehrsatz") for name in _CORE
    ]
    for module, (extra, adds) in _EXTRAS.items():
        here = extras.is_available(module)
        rows.append(
            (module, _version(module) if here else "", "" if here else f"to {adds}: pip install 'ehrsatz[{extra}]'")
        )
    if as_json:
        show_json([{"name": name, "version": found or None, "advice": advice} for name, found, advice in rows])
    else:
        show_table(
            ("part", "version", "to get it"), [(name, found or "absent", advice) for name, found, advice in rows]
        )


def _scenarios() -> list[tuple[str, str]]:
    """Names of the bundled scenarios, and what stands in their first line."""
    from ehrsatz.scenario import COHORTS, cohort_file

    first = {name: cohort_file(name).read_text(encoding="utf-8").splitlines()[0] for name in COHORTS}
    return [(name, line.removeprefix("# ").split(": the run that")[0].rstrip(".")) for name, line in first.items()]


def _conditions() -> list[tuple[str, str]]:
    from ehrsatz.simulator.load import load_modules

    return sorted((one.id, f"{one.title}{_stages(one)}") for one in load_modules().order)


def _stages(one: Condition | Episode) -> str:
    stages = [stage.id for stage in getattr(one, "stages", ())]
    return f"; stages {', '.join(stages)}" if stages else ""


def _panels() -> list[tuple[str, str]]:
    from ehrsatz.simulator.catalogue import catalogue

    return [(name, f"{one.title}: {', '.join(one.items)}") for name, one in catalogue().panels.items()]


def _locales() -> list[tuple[str, str]]:
    from ehrsatz.simulator.locale import bundled, locale_of

    return [(name, locale_of(name).title) for name in bundled()]


def _edge_cases() -> list[tuple[str, str]]:
    from ehrsatz.simulator.edges import CASES

    return [(one.name, f"{one.title}{f'; {one.people} patients' if one.people > 1 else ''}") for one in CASES]


_KNOWN = {
    "scenarios": _scenarios,
    "conditions": _conditions,
    "panels": _panels,
    "locales": _locales,
    "edge-cases": _edge_cases,
}


def _words(rule: dict[str, str]) -> tuple[str, ...]:
    """Severity and title of a rule that ships; nothing of a plugin's, which would have to be imported."""
    return (rule["severity"], rule["title"]) if rule else ()


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
