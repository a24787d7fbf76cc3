"""Scores of a cohort from its counts: known answers, small cohorts say nothing, quotas are no population."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ehrsatz.evaluation.plausibility import fits, glycaemia
from ehrsatz.evaluation.plausibility.cohort import POPULATION, evaluate
from ehrsatz.evaluation.plausibility.measures import BY_NAME, MEASURES
from ehrsatz.evaluation.plausibility.shard import statistics
from ehrsatz.gate import SIMULATED, judge, named
from ehrsatz.parts import SimulatorPart
from ehrsatz.simulator.compare import Comparison
from evaluation.plausibility.lifecourses import condition, dataset, patient, tables, visit


def comparison(
    published: float, reached: float | None, half: float, *, bound: float = 0.15, within: Any = "?", **more: Any
) -> Comparison:
    ends = None if reached is None else (reached - half, reached + half)
    if within == "?":
        off = abs((reached or 0.0) - published)
        within = True if off <= bound else False if off - half > bound else None
    told = {"kind": "prevalence", "target": "Gout, men, 60 to 70", "n": 100.0, "source": "Doe 2020"} | more
    kind, target, n, source = told["kind"], told["target"], told["n"], told["source"]
    return Comparison(kind, target, published, reached, n, ends, bound, within, source)


def kept(n: int = 40, plan: SimulatorPart | None = None, **rows: Any) -> dict[str, Any]:
    told = {
        "patient": [patient(k, "1960-05-01") for k in range(n)],
        "encounter": [visit(k, 1, "2024-03-01T10:00", "2024-03-01T10:20") for k in range(n)],
        "condition": [condition(k, 1, "I10", "2024-03-01T10:05") for k in range(n)],
    }
    return statistics(dataset(tables(**{**told, **rows}), n=n), plan or SimulatorPart(), 0)


# ---------------------------------------------------------------------- fits
def test_the_share_that_agrees_is_known_by_hand() -> None:
    found = [
        comparison(1.0, 1.1, 0.02),  # within the bound
        comparison(1.0, 1.2, 0.10),  # beyond it by chance
        comparison(1.0, 2.0, 0.10),  # off
        comparison(1.0, 1.0, 0.9),  # tells nothing: its interval is six bounds wide to either side
        comparison(1.0, None, 0.0),  # nobody counted
        comparison(1.0, 0.9, 0.02, kind="incidence"),  # of another kind
        comparison(1.0, 5.0, 2.0),  # wide, and off all the same
    ]
    score = fits.fit("prevalence_fit", found, 500)
    assert score.value == pytest.approx(2 / 4) and score.n == 500
    assert score.params == {"figures": 6, "judged": 4, "agree": 2, "within the bound": 1}
    assert score.interval is not None and score.interval[0] < 0.5 < score.interval[1]
    assert [one["state"] for one in score.details["figures"]][:2] == ["off", "off"], "what is off comes first"
    assert "Furthest off: Gout, men, 60 to 70" in score.meaning and "2 more rest on too few" in score.meaning


def test_few_figures_are_no_score() -> None:
    score = fits.fit("prevalence_fit", [comparison(1.0, 1.0, 9.0)] * 50, 30)
    assert score.status == "not_applicable" and score.value is None and "30 patients" in score.meaning
    none = fits.fit("incidence_fit", [], 30)
    assert none.status == "not_applicable" and "no published figures" in none.meaning


def test_life_expectancy_is_the_one_of_the_sex_that_is_further_off() -> None:
    told = [
        comparison(81.0, 80.5, 0.4, bound=1.0, kind="life_expectancy", target="Life expectancy at 0 years, women"),
        comparison(76.0, 77.6, 0.5, bound=1.0, kind="life_expectancy", target="Life expectancy at 0 years, men"),
    ]
    counts = {"deaths": np.full((2, 120), 10.0), "years": np.full((2, 120), 1000.0)}
    table = {"female": [0.01] * 120, "male": [0.01] * 120}
    score = fits.life(told, counts, table, 9)
    assert score.value == pytest.approx(1.6) and score.interval == pytest.approx((1.1, 2.1))
    curve = score.details["curves"][0]
    assert curve["reached"][10][1] == pytest.approx(np.exp(-0.1), abs=1e-4)
    assert curve["published"][10][1] == pytest.approx(0.99**10, abs=1e-4)
    wide = [comparison(81.0, 80.5, 2.5, bound=1.0, kind="life_expectancy")] * 2
    assert fits.life(wide, counts, table, 9).status == "not_applicable"


def test_pictures_hold_every_figure_of_a_condition() -> None:
    found = [
        comparison(0.1, 0.11, 0.01, bound=0.015, target=f"Gout, {sex}, {band}", n=1000.0)
        for sex in ("women", "men")
        for band in ("20 to 40", "40 and older")
    ]
    (gout,) = fits.bands(found)["bands"]
    assert gout["title"] == "Gout" and [panel["name"] for panel in gout["panels"]] == ["women", "men"]
    assert gout["panels"][0]["cells"][0] == {
        "label": "20 to 40",
        "reached": pytest.approx(11.0),
        "interval": pytest.approx([10.0, 12.0]),
        "published": pytest.approx(10.0),
        "agrees": True,
    }
    quantiles = [
        comparison(100.0, 101.0, 1.0, bound=3.0, kind="quantile", target=f"LDL (mg/dL), women, 20 to 30, {p} %")
        for p in (5, 50, 95)
    ]
    (ribbon,) = fits.ribbons(quantiles)["ribbons"]
    assert ribbon["title"] == "LDL (mg/dL)"
    assert [curve["at"] for curve in ribbon["panels"][0]["curves"]] == ["5 %", "50 %", "95 %"]


def test_new_cases_are_drawn_as_multiples() -> None:
    told = [comparison(2.0, 3.0, 0.2, kind="incidence", target="Gout, men, new cases per 1,000 and year")]
    (picture,) = fits.dumbbells(told)["dumbbells"]
    assert picture["ratio"] and picture["rows"][0]["reached"] == pytest.approx(1.5)
    assert picture["rows"][0]["label"] == "Gout, men"


# ---------------------------------------------------------------------- glycaemia
def test_the_line_of_adag_is_found() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(7.0, 1.4, 4000)
    y = 28.7 * x - 46.7 + rng.normal(0, 17.0, 4000)
    sums = [len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]
    found = glycaemia.line({"sums": sums})
    assert found is not None
    assert found["r"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    assert abs(found["off"]) < 1.0 and found["interval"][0] < found["r"] < found["interval"][1]
    unrelated = rng.permutation(y)
    sums = [len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * unrelated).sum()]
    assert abs(glycaemia.line({"sums": sums})["r"]) < 0.1  # type: ignore[index]


def test_too_few_and_too_alike_patients_are_not_judged() -> None:
    assert glycaemia.line({"sums": [10, 70.0, 1500.0, 500.0, 3e5, 1e4]}) is None
    x = np.full(100, 5.5)
    x[:50] = 5.6
    y = 28.7 * x
    assert glycaemia.line({"sums": [100, x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]}) is None


# ---------------------------------------------------------------------- whole cohorts
def test_every_measure_is_there_and_a_small_cohort_says_nothing_of_populations() -> None:
    found = evaluate(kept(), SimulatorPart(), 40)
    assert [score.metric for score in found.scores] == [one.name for one in MEASURES]
    assert found["code_errors"].value == 0 and found["dangling_keys"].value == 0 and found["zero_stays"].value == 0
    assert found["quota_met"].status == "not_applicable"
    assert found["life_expectancy_gap"].status == "not_applicable"
    assert all(score.status == "measured" or score.meaning for score in found.scores)
    assert set(found.details["metrics"]) == set(BY_NAME)


def test_faults_become_scores_per_million_and_deny() -> None:
    flat = [visit(k, 1, "2024-03-01T10:00", "2024-03-01T10:00" if k < 2 else "2024-03-01T10:20") for k in range(40)]
    bad = [condition(k, 1, "Z99.999" if k == 0 else "I10", "2024-03-01T10:05") for k in range(40)]
    found = evaluate(kept(encounter=flat, condition=bad), SimulatorPart(), 40)
    assert found["zero_stays"].value == pytest.approx(2 / 40 * 1e6)
    codes = found["code_errors"]
    assert codes.value == pytest.approx(1e6 / codes.params["checked"]) and "Z99.999" in codes.meaning
    for name in SIMULATED:
        verdict = judge(found, named(name))
        assert verdict.decision == "deny"
        missed = {check.metric for check in verdict.objections if check.severity == "deny"}
        assert {"zero_stays", "code_errors"} <= missed


def test_under_quotas_published_figures_are_not_judged() -> None:
    plan = SimulatorPart.model_validate({"groups": [{"n": 40, "sex": "female"}]})
    found = evaluate(kept(plan=plan), plan, 40)
    assert all(found[name].status == "not_applicable" for name in POPULATION)
    assert found["quota_met"].value == 1.0
    men = kept(plan=plan, patient=[patient(k, "1960-05-01", "male" if k < 4 else "female") for k in range(40)])
    missed = evaluate(men, plan, 40)["quota_met"]
    assert missed.value == pytest.approx(0.9) and missed.details["quota_rows"][0]["short"] == "sex 4"
    assert judge(evaluate(men, plan, 40), named("simulated-quota")).decision == "deny"


def test_a_group_that_is_not_there_is_not_met() -> None:
    plan = SimulatorPart.model_validate({"groups": [{"n": 20, "sex": "female"}]})
    told = kept(plan=plan)
    told["quotas"][0] = {"people": 15, "whole": 15, "fits": {"sex": 15}}
    assert evaluate(told, plan, 40)["quota_met"].value == pytest.approx(0.75)


def test_figures_of_one_s_own_and_what_no_longer_fits() -> None:
    row = {
        "place": "prevalence.0",
        "figure": "prevalence",
        "name": "gout",
        "sex": "both",
        "ages": [20.0, 120.0],
        "unit": "share",
        "asked": 0.1,
        "before": 0.05,
        "reached": 0.099,
        "met": True,
        "source": "Doe 2020",
    }
    fit = (
        row,
        {**row, "name": "ckd", "met": False},
        {**row, "place": "published", "name": "hypertension", "met": False},
    )
    score = evaluate(kept(), SimulatorPart(), 40, fit=fit)["calibration_fit"]
    assert score.value == pytest.approx(0.5)
    assert len(score.details["asked"]) == 2 and len(score.details["lost"]) == 1
    assert "1 published figures no longer fit" in score.meaning
    assert score.details["asked"][0]["reached"] == "9.9 %"


def test_a_share_that_a_scenario_asks_for_is_counted_in_the_cohort() -> None:
    plan = SimulatorPart(prevalence={"hypertension": 0.5})
    score = evaluate(kept(plan=plan), plan, 40)["calibration_fit"]
    assert score.value == 0.0, "all 40 have it"
    half = [condition(k, 1, "I10", "2024-03-01T10:05") for k in range(20)]
    assert evaluate(kept(plan=plan, condition=half), plan, 40)["calibration_fit"].value == 1.0


def test_what_was_not_checked_is_not_zero() -> None:
    told = kept() | {"checked": None}
    found = evaluate(told, SimulatorPart(), 40)
    for name in ("rule_errors", "rule_warnings", "code_errors", "dangling_keys", "zero_stays"):
        assert found[name].status == "not_applicable" and found[name].value is None
    assert judge(found, named("simulated")).decision == "hold"
