"""Tiny clinical records for the tests of rules: one patient, the rows that a case names, all else missing or empty."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl

from ehrsatz import clinical
from ehrsatz.schema import dtype_of

Rows = dict[str, list[dict[str, Any]]]
PATIENT = {"patient_id": "p1", "birth_date": "1970-01-01", "sex": "female"}


def frames(tables: Rows) -> dict[str, pl.DataFrame]:
    """Return every table of the clinical schema; rows get the patient p1 and a key of their own."""
    given = {"patient": [{}], **tables}
    out = {}
    for table in clinical.schema().tables:
        rows = []
        for number, row in enumerate(given.get(table.name, ())):
            base = dict(PATIENT) if table.name == "patient" else {"patient_id": "p1"}
            keys = {one.name: f"{table.name[0]}{number + 1}" for one in table.columns if one.role == "key"}
            whole = {**keys, **base, **row}
            assert not set(row) - set(table.names), f"{table.name} has no {set(row) - set(table.names)}"
            rows.append([_cell(whole.get(one.name), one.kind) for one in table.columns])
        out[table.name] = pl.DataFrame(
            rows, schema={one.name: dtype_of(one.kind) for one in table.columns}, orient="row"
        )
    return out


def _cell(value: Any, kind: str) -> Any:
    if isinstance(value, str) and kind == "date":
        return date.fromisoformat(value)
    if isinstance(value, str) and kind == "datetime":
        return datetime.fromisoformat(value)
    return float(value) if kind == "number" and value is not None else value
