"""Findings: values that hang on what people have, and stay as among the healthy where they have nothing."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.simulator.chart.findings import known
from ehrsatz.simulator.history import Floats, History, Ints
from simulator import small

N = 1500
RATES = {"ages": [0], "female": [0.3], "male": [0.3]}
STAGES = [{"id": name, "title": name, "at_onset": 0.25} for name in ("i", "ii", "iii", "iv")]
CARE = {"ages": [0], "shares": {"emergency": [1.0]}}


@pytest.fixture(scope="module")
def history() -> History:
    world = small.knowledge(
        small.module(
            [{"id": "lung_cancer", "icd10": "C34.90", "prevalence": RATES, "ages": [20, 100], "stages": STAGES}],
            [
                {"id": name, "incidence": {**RATES}, "days": 12, "care": CARE}
                for name in ("sepsis", "cystitis", "influenza", "pancreatitis")
            ],
        )
    )
    return small.lives(world, small.folk(N, age=60.0))


def healthy(name: str, rows: Ints) -> Floats:
    return np.full(len(rows), 20.0 if name in {"lipase", "amylase", "cea"} else 0.0)


def during(history: History, name: str) -> tuple[Ints, Floats, Ints]:
    """Return specimens in the middle of every episode of a kind."""
    attacks = history.attacks[name]
    assert len(attacks.person) > 300
    middle = (attacks.onset + attacks.stop) / 2
    return attacks.person, middle, attacks.ordinal


def read(history: History, name: str, person: Ints, time: Floats, ordinal: Ints) -> Floats:
    return known(history, person, time, ordinal, healthy)[name](np.arange(len(person)))


@pytest.mark.parametrize(
    ("episode", "item", "least", "most"),
    [
        ("sepsis", "blood_culture", 0.33, 0.47),
        ("cystitis", "urine_culture", 0.8, 0.9),
        ("cystitis", "urine_nitrite", 0.43, 0.57),
        ("influenza", "influenza_a", 0.68, 0.82),
        ("influenza", "influenza_b", 0.18, 0.32),
    ],
)
def test_what_is_sought_is_found_as_often_as_published(
    history: History, episode: str, item: str, least: float, most: float
) -> None:
    assert least < (read(history, item, *during(history, episode)) > 0).mean() < most


def test_nothing_is_found_in_the_healthy(history: History) -> None:
    person = np.arange(N)
    early = history.people.birth - 5.0  # before anything befell anybody
    for name in ("blood_culture", "urine_culture", "influenza_a", "hbsag"):
        assert (read(history, name, person, early, person * 0) == 0).all(), name
    assert (read(history, "lipase", person, early, person * 0) == 20).all()
    assert np.isnan(read(history, "tumor_stage", person, early, person * 0)).all()


def test_cultures_of_one_illness_grow_the_same(history: History) -> None:
    person, time, ordinal = during(history, "sepsis")
    one, two = (read(history, "blood_culture", person, np.floor(time / 30) * 30 + k, ordinal) for k in (3.0, 4.0))
    both = (one > 0) & (two > 0)
    assert both.any() and (one[both] == two[both]).all()


def test_lipase_rises_beyond_three_times_normal_in_pancreatitis(history: History) -> None:
    assert np.median(read(history, "lipase", *during(history, "pancreatitis"))) > 3 * 73


def test_the_tumour_stage_is_the_stage_reached(history: History) -> None:
    spells = history.spells["lung_cancer"]
    end = history.people.end[spells.person] - 0.5
    got = read(history, "tumor_stage", spells.person, end, spells.person * 0)
    lasts = np.isnan(spells.stop)
    reached = np.where(np.isfinite(spells.stage_from) & (spells.stage_from <= end[:, None]), np.arange(1, 5), 0)
    assert lasts.sum() > 100 and (got[lasts] == reached.max(axis=1)[lasts]).all()


def test_receptors_stay_with_the_person(history: History) -> None:
    person = np.arange(N)
    one, two = (read(history, "her2", person, history.people.end - k, person * 0 + k) for k in (1, 200))
    assert (one == two).all() and 0.12 < one.mean() < 0.18
