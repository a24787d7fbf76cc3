"""Rank patients of a clinic's database by what their last values say."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

SYSTOLIC, HBA1C = "8480-6", "4548-4"  # LOINC
LIMITS = {SYSTOLIC: 180.0, HBA1C: 9.0}


@dataclass(frozen=True)
class Call:
    """A patient to call, by what name, and why."""

    patient_id: str
    name: str
    reasons: tuple[str, ...]


def calls(clinic: sqlite3.Connection) -> list[Call]:
    """Return living patients whose last blood pressure or HbA1c is above its limit, most reasons first."""
    last = clinic.execute(
        """
        SELECT o.patient_id, o.code, o.value
        FROM observation AS o
        JOIN patient AS p ON p.patient_id = o.patient_id
        WHERE p.death_time IS NULL AND o.value IS NOT NULL AND o.code IN (?, ?)
        ORDER BY o.patient_id, o.time, o.observation_id
        """,
        (SYSTOLIC, HBA1C),
    )
    values: dict[str, dict[str, float]] = {}
    for patient, code, value in last:
        values.setdefault(patient, {})[code] = value
    names = dict(
        clinic.execute(
            "SELECT patient_id, trim(coalesce(given_name, '') || ' ' || coalesce(family_name, '')) FROM patient"
        )
    )
    found = [
        Call(patient, names[patient], tuple(sorted(code for code, value in own.items() if value > LIMITS[code])))
        for patient, own in values.items()
    ]
    return sorted((one for one in found if one.reasons), key=lambda one: (-len(one.reasons), one.patient_id))
