"""The app against simulated patients: the usual, the unusual, and a feed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from triage.feed import census
from triage.risk import LIMITS, calls

DIABETICS = [{"n": 40, "age": [50, 80], "conditions": ["type2_diabetes"]}]


@pytest.mark.ehrsatz("clinic", n=40, seed=7, record_years=3, groups=DIABETICS)
def test_everybody_with_a_high_last_value_is_called(ehrsatz_sqlite: sqlite3.Connection) -> None:
    found = calls(ehrsatz_sqlite)
    assert found, "a registry of diabetics has some whose HbA1c is high"
    for call in found:
        for code in call.reasons:
            query = (
                "SELECT value FROM observation WHERE patient_id = ? AND code = ? AND value IS NOT NULL "
                "ORDER BY time DESC, observation_id DESC"
            )
            (value,) = ehrsatz_sqlite.execute(query, (call.patient_id, code)).fetchone()
            assert value > LIMITS[code]


@pytest.mark.ehrsatz(n=64, seed=5, record_years=1, edge_cases="all")
def test_names_of_all_kinds(ehrsatz_sqlite: sqlite3.Connection) -> None:
    ehrsatz_sqlite.execute("UPDATE observation SET value = 250 WHERE code = '8480-6'")
    found = {call.patient_id: call.name for call in calls(ehrsatz_sqlite)}
    assert found and all(name for name in found.values())


@pytest.mark.ehrsatz(n=64, seed=5, record_years=1)
def test_nobody_is_forgotten_in_the_house(ehrsatz_hl7: list[str]) -> None:
    admitted = sum("|ADT^A01" in message.split("\r")[0] for message in ehrsatz_hl7)
    assert admitted and len(census(ehrsatz_hl7)) <= admitted


@pytest.mark.ehrsatz(n=12, seed=3, record_years=1)
def test_bundles_hold_what_the_app_will_ask_a_server_for(ehrsatz_fhir: Path) -> None:
    bundles = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(ehrsatz_fhir.rglob("*.json"))]
    kinds = {entry["resource"]["resourceType"] for bundle in bundles for entry in bundle["entry"]}
    assert {"Patient", "Observation", "Encounter"} <= kinds
