"""Screenings: who is due, how often, what is left out, and where it is written down."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.clinical import SMOKING
from ehrsatz.simulator.chart.screenings import due
from ehrsatz.simulator.history import YEAR, History
from ehrsatz.simulator.module import Screening
from simulator import small

RISING = (0, 0.1, 0.3, 0.6)
ILLNESS = {
    "id": "illness",
    "prevalence": {"ages": [0, 40, 55, 62], "female": RISING, "male": RISING},
    "ages": [20, 100],
}


def screening(**rest: object) -> Screening:
    told = {"id": "test", "title": "Test", "ages": (50, 70), "every_years": 5, "share": 0.4, "panel": "psa"}
    return Screening.model_validate({**told, "source": "assumed_test", **rest})


@pytest.fixture(scope="module")
def history() -> History:
    world = small.knowledge(small.module([ILLNESS]))
    n = 3000
    smoked = np.where(np.arange(n) % 3 == 0, small.REFERENCE - 45 * YEAR, np.nan)
    stopped = np.where(np.arange(n) % 6 == 0, small.REFERENCE - 30 * YEAR, np.nan)
    folk = small.folk(n, age=65.0, smoked_from=smoked, smoked_to=stopped)
    return small.lives(world, folk)


def test_a_share_takes_part_regularly_within_the_ages(history: History) -> None:
    one = screening()
    person, when, turn = due(history, one)
    age = (when - history.people.birth[person]) / YEAR
    assert (age >= 50).all() and (age < 70).all() and (when < history.people.end[person]).all()
    assert len(np.unique(person)) / history.people.n == pytest.approx(0.4, abs=0.03)
    same = person[1:] == person[:-1]
    gap = (when[1:] - when[:-1])[same] / YEAR
    assert same.any() and gap.min() > 3.9 and gap.max() < 6.1 and (np.diff(turn)[same] == 1).all()


def test_only_those_in_question_are_screened(history: History) -> None:
    person, _, _ = due(history, screening(sex="male"))
    assert len(person) and (history.people.sex[person] == 1).all()
    person, when, _ = due(history, screening(among={"smoking": ["current"]}))
    people = history.people
    state = np.where(people.smoked_from[person] <= when, np.where(people.smoked_to[person] <= when, 1, 2), 0)
    assert len(person) and {SMOKING[k] for k in state} == {"current"}


def test_who_has_the_disease_is_left_out_from_then_on(history: History) -> None:
    spells = history.spells["illness"]
    first = np.full(history.people.n, np.inf)
    first[spells.person] = spells.onset
    person, when, _ = due(history, screening(excludes=["illness"]))
    everyone, _, _ = due(history, screening())
    assert (when < first[person]).all() and len(person) < len(everyone)
    assert np.isfinite(first[person]).any(), "before the onset, they were screened"


def test_who_is_due_hangs_on_nobody_else(history: History) -> None:
    one = screening()
    world = small.knowledge(small.module([ILLNESS]))
    other = small.lives(world, small.folk(1000, age=65.0, first=2000))
    mine, theirs = due(history, one), due(other, one)
    late = mine[0] >= 2000
    assert late.any() and (mine[0][late] - 2000 == theirs[0]).all() and (mine[1][late] == theirs[1]).all()
