"""Levels at moments: a few of them read single years, many the whole grid, to the same bit."""

from __future__ import annotations

import numpy as np

from ehrsatz import simulation
from ehrsatz.parts import SimulatorPart
from ehrsatz.simulator.history import History


def history(n: int) -> History:
    part = SimulatorPart().model_dump_json()
    here = simulation.setting(part, n, 7)
    return simulation.history(here.known, here.cohort, np.arange(n, dtype=np.int64))


def test_few_moments_have_the_levels_that_they_have_among_many() -> None:
    few, many = history(64), history(64)
    person = np.repeat(np.arange(64), 200)
    people = many.people
    time = people.birth[person] + np.tile(np.linspace(0, 1, 200), 64) * (people.end - people.birth)[person]
    some = np.arange(0, len(person), 173)
    for process in ("sbp", "hba1c", "height", "bmi", "ferritin", "lactate", "crp", "egfr"):
        whole = many.levels.at(process, person, time)
        assert np.array_equal(few.levels.at(process, person[some], time[some]), whole[some])
