"""A shard of the size that the simulator writes, of random rows: for the speed of the rules, not for their sense."""

from __future__ import annotations

import numpy as np
import polars as pl

from ehrsatz import clinical
from ehrsatz.rules.analytes import entry, names
from ehrsatz.schema import dtype_of
from ehrsatz.seeds import stream

ROWS = {  # per patient: 500 in all, as a rich record has them
    "relation": 2,
    "coverage": 3,
    "encounter": 30,
    "condition": 15,
    "observation": 240,
    "order": 40,
    "report": 15,
    "medication": 20,
    "procedure": 20,
    "immunization": 15,
    "allergy": 1,
    "device": 1,
    "careplan": 2,
    "goal": 2,
    "claim": 24,
    "claim_line": 50,
    "payment": 20,
}
DRUGS = (
    "metformin",
    "lisinopril",
    "atorvastatin",
    "warfarin",
    "ibuprofen",
    "amoxicillin",
    "metoprolol",
    "insulin lispro",
)
DIAGNOSES = ("I10", "E11.9", "N18.30", "J45.909", "C50.919", "Z34.90", "F32.9", "M17.0", "I48.91", "K35.80")


def shard(n: int = 1000) -> dict[str, pl.DataFrame]:
    """Return the clinical tables of n patients, sorted by patient, keys resolved."""
    rng = stream(5, "shard")
    ids = pl.Series([f"P{i:08d}" for i in range(n)])
    keys = {table: pl.Series([f"{table[:2]}{i:010d}" for i in range(n * count)]) for table, count in ROWS.items()}
    out: dict[str, pl.DataFrame] = {}
    for table in clinical.schema().tables:
        count = ROWS.get(table.name, 1)
        rows = n * count
        who = np.repeat(np.arange(n), count)
        columns = []
        for column in table.columns:
            cells: pl.Series | None = None
            if column.role == "key":
                cells = (
                    ids
                    if table.name == "patient"
                    else keys.get(table.name, pl.Series([f"{table.name}{i}" for i in range(rows)]))
                )
            elif column.name == "patient_id":
                cells = ids.gather(who)
            elif column.role == "link":
                target = column.name.removesuffix("_id").replace("part_of", "none").replace("relative", "none")
                if target in ROWS:
                    per = ROWS[target]
                    cells = keys[target].gather(who * per + np.sort(rng.integers(0, per, rows)) % per)
                elif target in {"practitioner", "organization", "location", "payer"}:
                    cells = pl.Series([f"{target}{i}" for i in range(n)]).gather(rng.integers(0, n, rows))
            elif column.kind == "datetime" and column.role in {"time", "end"}:
                base = np.sort(rng.integers(0, 15 * 525_600, rows).reshape(n, count), axis=1).ravel()
                cells = pl.Series((base + 20 * 525_600) * 60_000_000).cast(pl.Datetime("us"))
            elif column.name == "birth_date":
                cells = pl.Series(rng.integers(-20_000, 7_000, rows)).cast(pl.Int32).cast(pl.Date)
            elif column.values:
                cells = pl.Series(list(column.values)).gather(rng.integers(0, len(column.values), rows))
            elif table.name == "observation" and column.name in {"code", "unit", "value"}:
                which = np.tile(np.arange(count) % len(names()), n)
                if column.name == "value":
                    low, high = (
                        np.array([entry(name)["impossible"][i] for name in names()], dtype=float) for i in (0, 1)
                    )
                    cells = pl.Series((low[which] + (high - low)[which] * rng.random(rows)).round(1))
                else:
                    cells = pl.Series(
                        [entry(name)["loinc"][0] if column.name == "code" else entry(name)["unit"] for name in names()]
                    ).gather(which)
            elif column.name == "code" and table.name == "condition":
                cells = pl.Series(DIAGNOSES).gather(rng.integers(0, len(DIAGNOSES), rows))
            elif column.name == "display" and table.name == "medication":
                cells = pl.Series([f"{one} 10 MG Oral Tablet" for one in DRUGS]).gather(
                    rng.integers(0, len(DRUGS), rows)
                )
            elif column.kind in {"code", "text"} and not column.nullable:
                cells = pl.Series([f"{1000 + i}-4" for i in range(200)]).gather(rng.integers(0, 200, rows))
            elif column.kind in {"number", "integer"}:
                cells = pl.Series(rng.integers(0, 200, rows)).cast(dtype_of(column.kind))
            if cells is None:
                cells = pl.Series([None], dtype=dtype_of(column.kind)).new_from_index(0, rows)
            columns.append(cells.cast(dtype_of(column.kind)).alias(column.name))
        out[table.name] = pl.DataFrame(columns)
    return out
