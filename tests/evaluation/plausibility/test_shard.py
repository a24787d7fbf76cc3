"""What is kept of a shard: planted faults are counted, shards add up, and only plain JSON is kept."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from ehrsatz.evaluation.plausibility.shard import ALL, EVERY, merge, statistics
from ehrsatz.parts import SimulatorPart
from ehrsatz.simulator.shards import SIZE
from evaluation.plausibility.lifecourses import condition, dataset, patient, tables, value, visit

PLAN = SimulatorPart()


def cohort(first: int = 0, n: int = 4, **rows: Any) -> dict[str, pl.DataFrame]:
    told = {
        "patient": [patient(k, "1960-05-01") for k in range(first, first + n)],
        "encounter": [visit(k, 1, "2024-03-01T10:00", "2024-03-01T10:20") for k in range(first, first + n)],
        "condition": [condition(k, 1, "I10", "2024-03-01T10:05") for k in range(first, first + n)],
        "observation": [value(k, 1, "4548-4", "2024-03-01T10:10", 6.1, "%") for k in range(first, first + n)],
    }
    return tables(**{**told, **rows})


def kept(frames: dict[str, pl.DataFrame], first: int = 0) -> dict[str, Any]:
    return statistics(dataset(frames, n=10_000), PLAN, first)


def test_sound_tables_have_no_fault_and_plain_json_is_kept() -> None:
    found = kept(cohort())
    checked = found["checked"]
    assert checked["patients"] == found["patients"] == 4
    assert checked["stays"] == [4, 0]
    assert sum(one["unknown"] for one in checked["codes"].values()) == 0
    assert checked["codes"]["ICD-10-CM"]["checked"] == 4 and checked["codes"]["LOINC"]["checked"] == 4
    assert sum(one[1] for one in checked["keys"].values()) == 0
    assert checked["keys"]["condition.encounter_id"] == [4, 0]
    assert json.loads(json.dumps(found)) == found


def test_planted_faults_are_counted() -> None:
    lost = condition(0, 2, "I10", "2024-03-01T10:05", encounter_id="P00000000-E00099")
    unknown = condition(1, 2, "Z99.999", "2024-03-01T10:05")
    rows = [condition(k, 1, "I10", "2024-03-01T10:05") for k in range(4)]
    flat = [visit(k, 1, "2024-03-01T10:00", "2024-03-01T10:00" if k == 2 else "2024-03-01T10:20") for k in range(4)]
    checked = kept(cohort(condition=[*rows, lost, unknown, rows[3]], encounter=flat))["checked"]
    assert checked["keys"]["condition.encounter_id"] == [7, 1]
    assert checked["codes"]["ICD-10-CM"]["unknown"] == 1
    assert list(checked["codes"]["ICD-10-CM"]["named"]) == ["condition.code Z99.999"]
    assert checked["stays"] == [4, 1]
    assert checked["rules"]["key.twice"][1] == 1, "one key stands twice"


def test_a_rule_that_is_broken_is_counted() -> None:
    before = [patient(0, "2024-12-01"), *(patient(k, "1960-05-01") for k in (1, 2, 3))]
    sound, broken = kept(cohort())["checked"]["rules"], kept(cohort(patient=before))["checked"]["rules"]
    worse = [name for name in broken if broken[name][1] > sound[name][1]]
    assert worse and any(name.startswith("birth") for name in worse)


def test_shards_add_up_whatever_the_cut() -> None:
    whole = kept(cohort(0, 6))
    parts = [kept(cohort(0, 4)), statistics(dataset(cohort(4, 2), n=10_000), PLAN, 4)]
    both = merge(*(json.loads(json.dumps(one)) for one in parts))
    assert both["patients"] == 6
    assert both["rows"] == whole["rows"], "tables of the world count once"
    assert both["tally"] == whole["tally"]
    for name in ("patients", "codes", "keys", "stays"):
        assert both["checked"][name] == whole["checked"][name]
    for rule, (checked, failed) in whole["checked"]["rules"].items():
        if not rule.startswith(("key.", "code.")):  # those read the tables of the world too, once per shard
            assert both["checked"]["rules"][rule] == [checked, failed], rule
    assert both["glycaemia"]["sums"] == whole["glycaemia"]["sums"]
    third = merge(both, kept(cohort(6, 1), first=6))
    assert third == merge(parts[0], merge(parts[1], kept(cohort(6, 1), first=6))), "addition is associative"


def test_later_shards_are_checked_in_part_and_say_so() -> None:
    frames = cohort(0, 2)
    last = -(-ALL // SIZE)  # shards that hold the first patients, who are all checked
    shards = (0, last - 1, *range(last, last + EVERY + 1))
    checked = [k for k in shards if statistics(dataset(frames, n=100_000), PLAN, k * SIZE)["checked"] is not None]
    assert checked == [0, last - 1, *(k for k in shards[2:] if k % EVERY == 0)]
    skipped = next(k for k in shards[2:] if k % EVERY)
    a, b = kept(frames), statistics(dataset(frames, n=100_000), PLAN, skipped * SIZE)
    assert merge(a, b)["checked"]["patients"] == 2 and merge(a, b)["patients"] == 4
    assert merge(b, a)["checked"]["patients"] == 2


def test_only_the_first_shard_shows_patients() -> None:
    assert kept(cohort())["timelines"] and not kept(cohort(SIZE, 2), first=SIZE)["timelines"]


@pytest.mark.parametrize("seed", [3, 8])
def test_seed_and_size_come_from_the_provenance(seed: int) -> None:
    plan = SimulatorPart.model_validate({"groups": [{"n": 2, "sex": "female"}]})
    found = statistics(dataset(cohort(0, 4), n=4, seed=seed), plan, 0)
    assert found["quotas"][0] == {"people": 2, "whole": 2, "fits": {"sex": 2}}
