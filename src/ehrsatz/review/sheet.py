"""Draw a blinded sheet of records: HTML and CSV for the experts, an answer key for the house."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from ehrsatz import __version__
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, UnsupportedError
from ehrsatz.gate import Policy
from ehrsatz.review.plant import Ranges, plant
from ehrsatz.review.records import Record, label, records, shown, told
from ehrsatz.schema import Schema
from ehrsatz.seeds import stream

Mode = Literal["planted", "real"]
FORMAT = 1
ANSWERS: dict[Mode, tuple[str, str]] = {"planted": ("plausible", "erroneous"), "real": ("real", "synthetic")}
QUESTIONS: dict[Mode, str] = {
    "planted": "Could this be a record of a patient, or is something wrong with it?",
    "real": "Is this the record of a real patient, or was it made up?",
}
COLUMNS = ("sheet", "rater", "record", "answer", "confidence", "remark")
PER_ARM = 100  # records of each kind below which a sheet says little


@dataclass(frozen=True)
class Sheet:
    """What is drawn.

    Parameters
    ----------
    html, table
        The same records as a page and as CSV; both go to the experts.
    key
        Which record is what; plain JSON types, no cell of any record. It stays in the house.
    """

    html: str
    table: str
    key: Mapping[str, Any]


def draw(
    synthetic: Dataset,
    real: Dataset | None = None,
    *,
    n: int = 40,
    errors: int | None = None,
    policy: Policy | None = None,
    title: str = "Review of records",
    seed: int,
) -> Sheet:
    """Draw a blinded sheet.

    Parameters
    ----------
    synthetic
        What came out.
    real
        Rows of real people to mix in; None shows synthetic records alone, some with planted errors.
    n
        Records on the sheet, at least 10.
    errors
        Records with a planted error among them: half of n, and a fifth where real records are shown, where None. They
        say whether the experts would have seen an error.
    policy
        Must be of audience "internal" for real records to be shown; the default one where None.
    title
        Heading of the page.
    seed
        Decides who is drawn, which errors, and the order.

    Raises
    ------
    DataError
        When there are too few subjects, or the two datasets do not hold the same tables.
    UnsupportedError
        When real records are to be shown, and the policy's audience is not the house itself.
    """
    mode: Mode = "planted" if real is None else "real"
    rules = policy or Policy.default()
    if real is not None:
        _check_real(synthetic, real, rules)
    n_planted = (n // 2 if real is None else n // 5) if errors is None else errors
    n_real = 0 if real is None else (n - n_planted) // 2
    n_synthetic = n - n_planted - n_real
    _check_sizes(synthetic, real, n, n_planted, n_synthetic, n_real)
    rng = stream(seed, "review", "draw")
    pool = records(synthetic, rng.permutation(synthetic.n_subjects)[: n_synthetic + n_planted].tolist())
    drawn: list[tuple[Record, dict[str, Any]]] = [(one, {"is": "synthetic"}) for one in pool[:n_synthetic]]
    drawn += _with_errors(pool[n_synthetic:], pool, synthetic, seed)
    if real is not None:
        people = rng.permutation(real.n_subjects)[:n_real].tolist()
        drawn += [(one, {"is": "real"}) for one in records(real, people)]
    order = stream(seed, "review", "order").permutation(len(drawn))
    width = max(3, len(str(n)))
    named = {f"R{place + 1:0{width}d}": drawn[int(i)] for place, i in enumerate(order)}
    return _written({name: one for name, (one, _) in named.items()}, named, synthetic.schema, mode, rules, title, seed)


def _with_errors(
    pool: Sequence[Record], others: Sequence[Record], synthetic: Dataset, seed: int
) -> list[tuple[Record, dict[str, Any]]]:
    ranges, out = Ranges.seen(synthetic), []
    for number, record in enumerate(pool):
        done = plant(
            record,
            synthetic.schema,
            ranges,
            others,
            stream(seed, "review", "plant", number),
            number=number,
        )
        if done is None:
            raise DataError(
                "Expected records into which an error can be planted.",
                "No kind of error applies: there are too few numbers, dates and columns.",
                "Draw without planted errors: --errors 0.",
            )
        out.append((done.record, {"is": "planted", "error": done.kind, "places": list(done.places)}))
    return out


def _written(
    shown_records: Mapping[str, Record],
    named: Mapping[str, tuple[Record, dict[str, Any]]],
    schema: Schema,
    mode: Mode,
    policy: Policy,
    title: str,
    seed: int,
) -> Sheet:
    views = [_view(name, record, schema) for name, record in shown_records.items()]
    canonical = json.dumps([mode, views], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    sheet = hashlib.sha256(canonical.encode()).hexdigest()
    html = _page(views, mode, title, sheet[:12])
    table = _table(views, sheet[:12], schema)
    key = {
        "format": FORMAT,
        "ehrsatz": __version__,
        "sheet": sheet[:12],
        "sheet_hash": sheet,
        "html_hash": hashlib.sha256(html.encode()).hexdigest(),
        "csv_hash": hashlib.sha256(table.encode()).hexdigest(),
        "mode": mode,
        "answers": list(ANSWERS[mode]),
        "seed": int(seed),
        "policy": policy.name,
        "records": {name: about for name, (_, about) in named.items()},
    }
    return Sheet(html, table, key)


def _view(name: str, record: Record, schema: Schema) -> dict[str, Any]:
    """A record as texts: fields, and the rows of its timeline."""
    fields: list[dict[str, str]] = []
    timeline: list[dict[str, Any]] = []
    several = len(schema.tables) > 1
    for entry in record.entries:
        table = schema[entry.table]
        cells = [
            {"label": label(column), "value": told(entry.cells[column.name]), "about": column.description}
            for column in shown(table)
            if not (entry.timed and column.name == table.time)
        ]
        if not entry.timed:
            fields += cells
            continue
        when = told(entry.cells[table.time]) if table.time is not None and table.time in entry.cells else ""
        unit = table[table.time].unit if table.time else None
        present = [cell for cell in cells if cell["value"] != told(None)]
        timeline.append(
            {"when": f"{when} {unit}" if unit else when, "table": table.name if several else "", "cells": present}
        )
    return {"name": name, "fields": fields, "timeline": timeline, "left_out": record.left_out}


def _page(views: Sequence[Mapping[str, Any]], mode: Mode, title: str, sheet: str) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("ehrsatz.review").joinpath("sheet.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        title=title,
        sheet=sheet,
        records=views,
        question=QUESTIONS[mode],
        answers=ANSWERS[mode],
        mode=mode,
        columns=COLUMNS,
    )


def _table(views: Sequence[Mapping[str, Any]], sheet: str, schema: Schema) -> str:
    """The sheet as CSV: one line per record, the answer's columns empty."""
    names = [label(column) for table in schema.tables for column in shown(table) if table.name == schema.parent.name]
    has_time = any(view["timeline"] for view in views)
    fields = names if any(view["fields"] for view in views) else []
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*COLUMNS, *fields, *(["timeline"] if has_time else [])])
    for view in views:
        cells = {one["label"]: one["value"] for one in view["fields"]}
        rows = [
            f"{row['when']} {row['table']}: " + ", ".join(f"{one['label']} {one['value']}" for one in row["cells"])
            for row in view["timeline"]
        ]
        rows += [f"and {view['left_out']} more rows"] if view["left_out"] else []
        line = [sheet, "", view["name"], "", "", "", *(cells.get(name, "") for name in fields)]
        writer.writerow([*line, *(["\n".join(row.strip() for row in rows)] if has_time else [])])
    return buffer.getvalue()


def _check_real(synthetic: Dataset, real: Dataset, policy: Policy) -> None:
    if policy.audience != "internal":
        raise UnsupportedError(
            "Expected a policy for use inside the house, to show records of real people.",
            f"The policy '{policy.name}' is for the audience '{policy.audience}'.",
            "Leave --show-real away: the sheet then holds synthetic records with planted errors.",
        )
    wanted = {table.name: {column.name for column in shown(table)} for table in synthetic.schema.tables}
    found = {table.name: {column.name for column in shown(table)} for table in real.schema.tables}
    if wanted != found:
        raise DataError(
            "Expected real and synthetic records with the same tables and columns.",
            "They differ, and every difference would give the synthetic ones away.",
            "Read both with one schema: --schema.",
        )


def _check_sizes(
    synthetic: Dataset, real: Dataset | None, n: int, n_planted: int, n_synthetic: int, n_real: int
) -> None:
    if n < 10 or n_planted < 0 or n_synthetic < 3 or (real is not None and n_real < 3):
        raise DataError(
            "Expected at least 10 records on the sheet, and at least 3 of each kind.",
            f"{n} were asked for, {n_planted} of them with planted errors.",
            "Change --n or --errors.",
        )
    for name, one, need in (("synthetic", synthetic, n_synthetic + n_planted), ("real", real, n_real)):
        if one is not None and one.n_subjects < need:
            raise DataError(
                f"Expected at least {need} {name} subjects to draw from.",
                f"There are {one.n_subjects}.",
                "Ask for fewer records: --n.",
            )
