"""A few patients made by hand in the clinical schema: every cell is known, so that every count is."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ehrsatz import clinical
from ehrsatz.dataset import Dataset
from ehrsatz.provenance import Provenance, Step
from ehrsatz.schema import dtype_of

REFERENCE = datetime.date(2025, 12, 31)


def frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as a table of the clinical schema; what is not named is missing."""
    kinds = {one.name: dtype_of(one.kind) for one in clinical.schema()[table].columns}
    unknown = {name for row in rows for name in row} - set(kinds)
    assert not unknown, unknown
    return pl.DataFrame([{name: row.get(name) for name in kinds} for row in rows], schema=kinds)


def patient(number: int, birth: str, sex: str = "female", **more: Any) -> dict[str, Any]:
    return {"patient_id": f"P{number:08d}", "birth_date": day(birth), "sex": sex, **more}


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def visit(number: int, k: int, start: str, stop: str, kind: str = "ambulatory") -> dict[str, Any]:
    return {
        "encounter_id": f"P{number:08d}-E{k:05d}",
        "patient_id": f"P{number:08d}",
        "practitioner_id": "D1",
        "organization_id": "H1",
        "location_id": "L1",
        "class": kind,
        "code": "185347001",
        "start": moment(start),
        "stop": moment(stop),
    }


def condition(number: int, k: int, code: str, onset: str, stop: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "condition_id": f"P{number:08d}-C{k:05d}",
        "patient_id": f"P{number:08d}",
        "encounter_id": f"P{number:08d}-E00001",
        "code": code,
        "display": code,
        "onset": moment(onset),
        "recorded": moment(onset),
        "abatement": None if stop is None else moment(stop),
        "status": "active" if stop is None else "resolved",
        **more,
    }


def drug(number: int, k: int, code: str, start: str, stop: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "medication_id": f"P{number:08d}-M{k:05d}",
        "patient_id": f"P{number:08d}",
        "encounter_id": f"P{number:08d}-E00001",
        "practitioner_id": "D1",
        "code": code,
        "display": "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet",
        "start": moment(start),
        "stop": None if stop is None else moment(stop),
        "status": "active" if stop is None else "completed",
        **more,
    }


def value(number: int, k: int, code: str, time: str, amount: float, unit: str) -> dict[str, Any]:
    return {
        "observation_id": f"P{number:08d}-O{k:05d}",
        "patient_id": f"P{number:08d}",
        "encounter_id": f"P{number:08d}-E00001",
        "time": moment(time),
        "category": "laboratory",
        "code": code,
        "value": amount,
        "unit": unit,
    }


def tables(**rows: Sequence[Mapping[str, Any]]) -> dict[str, pl.DataFrame]:
    """Return all 22 tables, those not named empty."""
    world = {
        "organization": [{"organization_id": "H1", "name": "Test", "kind": "practice", "identifier": "1"}],
        "location": [{"location_id": "L1", "organization_id": "H1", "name": "Test", "kind": "clinic"}],
        "practitioner": [
            {
                "practitioner_id": "D1",
                "organization_id": "H1",
                "given_name": "A",
                "family_name": "B",
                "specialty": "family medicine",
                "identifier": "9",
            }
        ],
    }
    told = {**world, **rows}
    return {one.name: frame(one.name, told.get(one.name, [])) for one in clinical.schema().tables}


def dataset(frames: dict[str, pl.DataFrame], *, n: int, seed: int = 7) -> Dataset:
    """Return tables as the dataset of a cohort."""
    step = Step("simulate", "simulator", "0", {"n": n}, seed)
    return Dataset.trusted(clinical.schema(), frames, Provenance("simulated", (step,)))
