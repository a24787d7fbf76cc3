"""Quotas: met exactly, refused before the run where they cannot be, and the same whoever is drawn with them."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.errors import InfeasibleError
from ehrsatz.parts import SimulatorPart
from ehrsatz.scenario import COHORTS, Scenario
from ehrsatz.simulation import setting
from ehrsatz.simulator.history import YEAR, History
from ehrsatz.simulator.lots import history

N = 192


def lives(part: dict, n: int = N, number: np.ndarray | None = None) -> tuple[History, object]:
    here = setting(SimulatorPart.model_validate(part).model_dump_json(), n, 7)
    return history(here.known, here.cohort, np.arange(n) if number is None else number), here.cohort


WOMEN = {
    "n": 100,
    "sex": "female",
    "age": [60, 75],
    "conditions": [{"id": "ckd", "stage": "3b"}],
    "medications": ["metformin"],
    "index": ["2023-01-01", "2023-12-31"],
}


def test_the_issue_s_own_quota_is_met_by_everyone() -> None:
    told, cohort = lives({"groups": [WOMEN]})
    people, group = told.people, cohort.group(told.people.number)
    assert (group == 0).sum() == 100
    rows = np.flatnonzero(group == 0)
    index = cohort.index(people.number)
    assert (people.sex[rows] == 0).all()
    age = (index[rows] - people.birth[rows]) / YEAR
    assert (age >= 60 - 0.01).all() and (age < 75 + 0.01).all()
    assert (people.end[rows] >= index[rows]).all()
    spell = told.spells["ckd"]
    stages = [stage.id for stage in spell.condition.stages]
    at = stages.index("stage_3b")
    mine = np.isin(spell.person, rows)
    when = index[spell.person[mine]]
    assert mine.sum() == 100
    assert (spell.stage_from[mine, at] <= when).all()
    assert ~(spell.stage_from[mine, at + 1 :] <= when[:, None]).any()
    taking = np.zeros(people.n, bool)
    for course in told.courses:
        if course.treatment.id.startswith("metformin") or course.treatment.id.endswith("metformin"):
            on = (course.start <= index[course.person]) & ~(course.stop <= index[course.person])
            taking[course.person[on]] = True
    assert taking[rows].all()


@pytest.mark.parametrize("name", [one for one in COHORTS if one != "clinic"])
def test_every_bundled_scenario_meets_its_quotas(name: str) -> None:
    plan = Scenario.cohort(name)
    assert plan.simulator is not None and plan.n is not None
    here = setting(plan.simulator.model_dump_json(), plan.n, plan.seed)
    told = history(here.known, here.cohort, np.arange(plan.n))
    people, cohort = told.people, here.cohort
    group, index = cohort.group(people.number), cohort.index(people.number)
    for g, (quota, asked) in enumerate(zip(cohort.quotas, plan.simulator.groups, strict=True)):
        rows = np.flatnonzero(group == g)
        assert len(rows) == asked.n
        if asked.sex:
            assert (people.sex[rows] == ("female", "male").index(asked.sex)).all()
        for wanted in asked.conditions:
            has = np.zeros(people.n, bool)
            if wanted.id in told.spells:
                spell = told.spells[wanted.id]
                has[spell.person[(spell.onset <= index[spell.person]) & ~(spell.stop <= index[spell.person])]] = True
            else:
                attack = told.attacks[wanted.id]
                has[attack.person[attack.onset <= index[attack.person]]] = True
            assert has[rows].all(), f"{wanted.id}: {(~has[rows]).sum()} of {len(rows)} without"
        for name_ in asked.without:
            assert not np.isin(told.spells[name_].person, rows).any()
        assert quota.n == asked.n
    for rare, share in plan.simulator.enrich.items():
        found = len(told.spells[rare].person)
        entity = told.spells[rare].condition
        expected = share * plan.n * (0.5 if entity.sex else 1)
        assert found >= 0.6 * expected, f"{rare}: {found} of about {expected:.0f}"


def test_people_under_a_quota_do_not_depend_on_the_shard() -> None:
    part = {"groups": [WOMEN]}
    whole, _ = lives(part)
    some, _ = lives(part, number=np.arange(64, 128))
    mine = (whole.spells["ckd"].person >= 64) & (whole.spells["ckd"].person < 128)
    assert np.array_equal(whole.spells["ckd"].onset[mine], some.spells["ckd"].onset)
    assert np.array_equal(whole.people.birth[64:128], some.people.birth)
    assert np.array_equal(whole.people.mother[64:128], some.people.mother)


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ({"n": 5, "sex": "male", "age": [70, 71], "conditions": ["pregnancy"]}, "female sex only"),
        ({"n": 5, "age": [2, 5], "conditions": ["parkinson"]}, "at the earliest"),
        ({"n": 5, "conditions": ["typ2_diabetes"]}, "Did you mean 'type2_diabetes'"),
        ({"n": 5, "conditions": [{"id": "ckd", "stage": "7"}]}, "no such stage"),
        ({"n": 5, "medications": ["unobtainium"]}, "no module gives"),
        ({"n": 5, "index": ["2030-01-01", "2030-12-31"]}, "after the reference date"),
        ({"n": 500}, "they hold 500"),
        ({"n": 5, "conditions": ["type2_diabetes"], "without": ["type2_diabetes"]}, "excluded"),
        (
            {"n": 5, "age": [20, 30], "conditions": [{"id": "asthma", "onset": ["1950-01-01", "1951-01-01"]}]},
            "before anybody of that age was born",
        ),
        ({"n": 5, "conditions": ["prostate_cancer", "pregnancy"]}, "different sexes"),
        (
            {"n": 5, "conditions": [{"id": "ckd", "stage": "stage_5"}], "medications": ["metformin"]},
            "not given to people with ckd",
        ),
    ],
)
def test_what_cannot_be_is_said_before_the_run(group: dict, reason: str) -> None:
    with pytest.raises(InfeasibleError) as caught:
        lives({"groups": [group]})
    assert reason in str(caught.value)


def test_a_rare_disease_is_enriched_to_its_share() -> None:
    told, _ = lives({"enrich": {"parkinson": 0.25}}, n=400)
    old = (ages_of(told) > 50).sum()
    assert 0.18 * old <= len(told.spells["parkinson"].person)


def ages_of(told: History) -> np.ndarray:
    return (told.reference - told.people.birth) / YEAR


def test_what_goes_with_a_rare_condition_goes_with_a_quota_of_it() -> None:
    """People pinned to have lung disease smoked more often than others: lives are weighed too."""
    told, cohort = lives({"groups": [{"n": 150, "age": [55, 75], "conditions": ["copd"]}]}, n=300)
    rows = cohort.group(told.people.number) == 0
    others, _ = lives({"groups": [{"n": 150, "age": [55, 75]}]}, n=300)
    smoked, usual = ~np.isnan(told.people.smoked_from[rows]), ~np.isnan(others.people.smoked_from[rows])
    assert smoked.mean() > usual.mean() + 0.15
