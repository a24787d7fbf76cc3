"""The calibrator against worlds whose answer is known: risks that differ much, cures, falls, deaths, and raking."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from ehrsatz.simulator import fits
from ehrsatz.simulator.aggregates import Aggregates
from ehrsatz.simulator.balance import Exposed, from_curve, from_rate
from ehrsatz.simulator.baseline import AGES, smooth
from ehrsatz.simulator.calibrate import Solver, prevalence, unexplained
from ehrsatz.simulator.engine import live
from ehrsatz.simulator.knowledge import Solved, known, mark, read_solved, solved_path, write_solved
from ehrsatz.simulator.locale import bundled
from ehrsatz.simulator.pull import calibrated, causes, hanging
from ehrsatz.simulator.raking import cut, made, of, people_of, rake
from ehrsatz.simulator.reference import draw
from ehrsatz.simulator.reference import folk as folk_of
from ehrsatz.simulator.usage import moved
from simulator.small import REFERENCE, flat, folk, knowledge, module

N = 24_000
TABLE = {"ages": [0, 20, 40, 60], "female": [0.0, 0.05, 0.15, 0.3], "male": [0.0, 0.03, 0.2, 0.25]}


def solved(one, n: int = N, rounds: int = 3):  # type: ignore[no-untyped-def]
    """Return lives of people that the rates were not solved on, and the condition."""
    about = knowledge(one)
    solver = Solver({e.id: e for e in about.entities})
    for k in range(rounds):
        people = folk(n, age=None, first=k * n)
        solver.meet((REFERENCE - people.birth) / 365.25, people.sex)
        lives = live(about, 7, people, REFERENCE, {}, watch=solver.watch)
        solver.correct(lives, np.ones(n, bool), 0.8)
    fresh = dataclasses.replace(about, base=dict(solver.base))
    return live(fresh, 7, folk(n, age=None, first=50 * n), REFERENCE, {}), solver


def reached(lives, condition):  # type: ignore[no-untyped-def]
    got, _, people = prevalence(lives, condition, np.ones(lives.n, bool))
    goal = np.array([condition.prevalence.of("female"), condition.prevalence.of("male")])
    return got, goal, people


def test_prevalence_is_met_where_risks_differ_much() -> None:
    risk = [
        {"factor": "sbp", "ratio": 4.0, "per": 10, "start": 100},
        {"factor": "cause", "ratio": 8.0},
    ]
    one = module(
        [{"id": "cause", "birth": flat(0.1)}, {"id": "a", "prevalence": TABLE, "ages": [18, 110], "risk": risk}]
    )
    lives, _ = solved(one)
    got, goal, people = reached(lives, one.conditions[1])
    large = goal * people > 100
    assert large.sum() >= 4
    chance = np.sqrt((1 - goal[large]) / (goal[large] * people[large]))
    assert (np.abs(got[large] / goal[large] - 1) < 0.05 + 2.5 * chance).all()


@pytest.mark.parametrize("extra", [{"remission_per_year": 0.05}, {"delay_years": 2.0}])
def test_prevalence_is_met_with_cures_and_delays(extra: dict[str, float]) -> None:
    one = module([{"id": "a", "prevalence": TABLE, "ages": [18, 110], **extra}])
    lives, _ = solved(one)
    got, goal, people = reached(lives, one.conditions[0])
    large = goal * people > 100
    chance = np.sqrt((1 - goal[large]) / (goal[large] * people[large]))
    assert (np.abs(got[large] / goal[large] - 1) < 0.05 + 2.5 * chance).all()


def test_what_another_condition_is_needed_for_is_met_too() -> None:
    parts = [
        {"id": "cause", "birth": flat(0.4)},
        {"id": "a", "prevalence": {"ages": [0, 40], "female": [0.02, 0.1], "male": [0.02, 0.1]}, "requires": ["cause"]},
    ]
    one = module(parts)
    lives, _ = solved(one)
    got, goal, _ = reached(lives, one.conditions[1])
    assert got[:, 1] == pytest.approx(goal[:, 1], rel=0.12)
    has = np.zeros(lives.n, bool)
    has[lives.spells["cause"].rows] = True
    assert has[lives.spells["a"].rows].all()


def test_the_balance_of_those_who_stay_free_is_exact_for_two_kinds_of_people() -> None:
    """Half have twenty times the risk: the rate that sustains 40 % at last is far above incidence over mean risk."""
    n = 2_000
    log = np.zeros((n, 60), np.float32)
    log[: n // 2] = np.log(20.0)
    people = Exposed(log, 0, np.zeros(n), np.full(n, 60.0), np.full(n, 60.0), np.full(n, 60.0))
    curve = np.minimum(np.arange(AGES) + 0.5, 60) / 60 * 0.7
    rate = from_curve(curve, np.zeros(AGES), np.zeros(AGES), 0.0, people)
    mass = np.cumsum(rate[:60])
    share = 1 - 0.5 * np.exp(-mass) - 0.5 * np.exp(-20 * mass)
    edges = (np.arange(60) + 1) / 60 * 0.7
    assert share == pytest.approx(edges, abs=0.01)
    naive = np.diff(np.r_[0, edges]) / (1 - edges) / 10.5
    assert mass[-1] > 1.5 * naive.sum()


def test_a_rate_is_the_mean_over_those_exposed() -> None:
    n = 1_000
    log = np.zeros((n, 50), np.float32)
    log[: n // 4] = np.log(4.0)
    start = np.where(np.arange(n) < n // 4, 0.0, 100.0)  # only those at risk 4 are exposed
    people = Exposed(log, 0, start, np.full(n, 50.0), np.full(n, 50.0), np.full(n, 50.0))
    base = from_rate(np.full(AGES, 0.02), people, once=False)
    assert base[:50] == pytest.approx(0.005, rel=1e-4)


def test_more_people_than_can_have_it_are_not_asked_for() -> None:
    n = 500
    people = Exposed(
        np.zeros((n, 40), np.float32), 0, np.zeros(n), np.full(n, 40.0), np.full(n, 40.0), np.full(2 * n, 40.0)
    )  # fmt: skip
    rate = from_curve(np.full(AGES, 0.8), np.zeros(AGES), np.zeros(AGES), 0.0, people)  # half of all can have it
    assert np.isfinite(rate).all() and (rate >= 0).all()


def test_deaths_of_conditions_never_exceed_the_life_table() -> None:
    rates = np.full((2, AGES), 0.01)
    added = np.full((2, AGES), 0.004)
    added[1] = 0.03
    base, share = unexplained(added, rates)
    assert base + share * added == pytest.approx(rates)
    assert share[0] == pytest.approx(1.0) and base[0] == pytest.approx(0.006)
    assert share[1] == pytest.approx(0.3) and (base > 0).all()


def test_rake_meets_groups_and_keeps_shares_below_one() -> None:
    table = made([0, 20, 40, 60], np.array([[0.0, 0.1, 0.3, 0.6], [0.0, 0.1, 0.4, 0.8]]))
    people = np.ones((2, AGES))
    people[:, 90:] = 0
    wanted = [((-1, 18.0, 120.0), 0.5), ((0, 60.0, 120.0), 0.8)]
    found = rake(table, people, wanted)
    figures, counts = of(found), people_of(found.ages, people)
    low = np.array(found.ages)
    assert 18.0 in found.ages and figures.max() < 1
    grown = low >= 18
    assert (figures * counts)[:, grown].sum() / counts[:, grown].sum() == pytest.approx(0.5, abs=1e-4)
    assert figures[0, low >= 60] == pytest.approx(0.8, abs=1e-4)
    assert (np.diff(figures[1]) >= 0).all()  # the shape is kept
    assert of(cut(table, [18.0]))[:, -1] == pytest.approx([0.6, 0.8])


def test_shares_of_care_make_room_for_one_another() -> None:
    shares = {"inpatient": [0.2], "ambulatory": [0.6], "none": [0.2]}
    episode = {
        "id": "e",
        "incidence": flat(0.1),
        "days": 5.0,
        "stay_days": 3.0,
        "care": {"ages": [0], "shares": shares},
    }
    one = module([], [episode])
    care = moved(one.episodes[0].care, "inpatient", 2.0, (-1, 65.0, 120.0))
    assert care.ages == (0.0, 65.0)
    assert care.shares["inpatient"] == pytest.approx((0.2, 0.4))
    assert care.shares["ambulatory"] == pytest.approx((0.6, 0.45))


def test_what_hangs_on_a_condition_is_found_through_risks_and_levels() -> None:
    parts = [
        {"id": "a", "birth": flat(0.1), "effects": [{"process": "sbp", "shift": 10.0}]},
        {"id": "b", "incidence": flat(0.1), "risk": [{"factor": "sbp.treated", "ratio": 2.0, "per": 10, "start": 100}]},
        {"id": "c", "incidence": flat(0.1), "risk": [{"factor": "b", "ratio": 2.0}]},
        {"id": "d", "incidence": flat(0.1)},
    ]
    order = knowledge(module(parts)).entities
    assert hanging(order, ["a"], []) == {"a", "b", "c"}
    assert hanging(order, ["c"], []) == {"c"}
    assert causes(order, ["c"], []) == {"a", "b", "c"}
    assert causes(order, ["d"], ["sbp"]) == {"a", "d"}


def test_a_curve_stands_where_the_people_of_its_bands_are() -> None:
    one = module([{"id": "a", "prevalence": {"ages": [0, 60], "female": [0.2, 0.1], "male": [0.2, 0.1]}}])
    table = one.conditions[0].prevalence
    assert table is not None
    people = np.zeros((2, AGES))
    people[:, :90] = np.linspace(10, 1, 90)
    curve = smooth(table, (0.0, 120.0), None, people)
    assert (curve * people)[0, 60:90].sum() / people[0, 60:90].sum() == pytest.approx(0.1, rel=0.01)


def test_solved_rates_are_read_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    ones = np.ones((2, AGES))
    one = Solved({"a": 0.01 * ones}, 0.02 * ones, {}, {"a": "x"}, {"a": np.array([[1.0, 2.0], [1.0, 0.5]])}, 0.5 * ones)
    write_solved(tmp_path / "s.json", one)
    again = read_solved(tmp_path / "s.json")
    assert again.base["a"] == pytest.approx(one.base["a"]) and again.marks == one.marks
    assert again.aims["a"] == pytest.approx(one.aims["a"])
    assert again.deadly == pytest.approx(one.deadly) and again.death == pytest.approx(one.death)


def test_knowledge_is_pulled_to_what_is_asked() -> None:
    about = known("us")
    figures = {
        "quantiles": [{"item": "sbp", "ages": [40, 65], "p50": 131.0, "source": "test 2024"}],
        "deaths": [{"sex": "male", "life_expectancy": 74.0, "source": "test 2024"}],
    }
    n = 4_096
    out = calibrated(about, Aggregates.model_validate(figures), {"type2_diabetes": 0.25}, n=n, rounds=2)
    rows = {row["name"]: row for row in out.fit if row["place"] != "published"}
    assert json.loads(json.dumps(out.fit)) == list(out.fit)
    assert set(rows) == {"type2_diabetes", "sbp p50", "life expectancy"} and all(row["met"] for row in rows.values())
    assert any(row["place"] == "published" and row["name"].startswith("hba1c") for row in out.fit)  # no longer fits
    others = draw(out, out.engine, folk_of(out, n, 9 * n), out.engine.death_base, read=["sbp"])
    got, _, people = fits.share(others, "type2_diabetes", (-1, 18.0, 120.0))
    assert got == pytest.approx(0.25, abs=0.0125 + 2.5 * np.sqrt(0.25 * 0.75 / people))
    assert np.median(others.read["sbp"][others.of((-1, 40.0, 65.0))]) == pytest.approx(131, rel=0.02)
    kept = set(about.engine.base) - hanging(about.engine.entities, ["type2_diabetes"], ["sbp"])
    assert "appendicitis" in kept
    assert all(np.array_equal(about.engine.base[name], out.engine.base[name]) for name in kept)


@pytest.mark.slow
@pytest.mark.parametrize("country", bundled())
def test_the_solved_rates_are_those_of_the_knowledge(country: str) -> None:
    about = known(country)
    stale = [name for name in about.unsolved if name in about.solved.marks]
    missing = [name for name in about.unsolved if name not in about.solved.marks]
    advice = "solve them anew: python -m ehrsatz.simulator.solve"
    assert not stale, (
        f"rates of {len(stale)} conditions or episodes are of older figures ({', '.join(stale)}); {advice}"
    )
    assert not missing, f"{len(missing)} conditions or episodes have no rates ({', '.join(missing)}); {advice}"


@pytest.mark.parametrize("country", bundled())
def test_every_solved_rate_has_a_mark(country: str) -> None:
    found = read_solved(solved_path(country))
    ids = {one.id for one in known(country).engine.entities}
    assert set(found.marks) == set(found.base)
    assert found.death is not None and (found.death > 0).all()
    for one in known(country).engine.entities:
        assert len(mark(one)) == 12
    assert len(set(found.base) & ids) > 0.5 * len(ids)
    assert all(np.isfinite(rate).all() and (rate >= 0).all() for rate in found.base.values())
