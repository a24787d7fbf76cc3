"""Cohorts beside published figures: sampling errors, tallies of small hand-made frames, what is told and what not."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from ehrsatz.errors import DataError, ScenarioError
from ehrsatz.simulator.compare import Comparison, _told, compare
from ehrsatz.simulator.sampling import expectancy, garwood, mantel, quantile, wilson
from ehrsatz.simulator.tally import Tally, edges, population, tally
from ehrsatz.simulator.targets import FILE, Targets, read_published, seen, targets

REFERENCE = datetime.date(2025, 12, 31)


@pytest.fixture(scope="module")
def plan() -> Targets:
    """Figures of the United States."""
    return targets()


def day(text: str) -> datetime.datetime:
    """Return a moment at noon."""
    return datetime.datetime.fromisoformat(text) + datetime.timedelta(hours=12)


def frames(**tables: list[dict[str, Any]]) -> dict[str, pl.DataFrame]:
    """Return the four tables with only the columns that are read."""
    forms: dict[str, dict[str, Any]] = {
        "patient": {
            "patient_id": pl.String,
            "birth_date": pl.Date,
            "death_time": pl.Datetime("us"),
            "death_cause": pl.String,
            "sex": pl.String,
        },
        "condition": {
            "patient_id": pl.String,
            "code": pl.String,
            "snomed_code": pl.String,
            "stage": pl.String,
            "onset": pl.Datetime("us"),
            "recorded": pl.Datetime("us"),
            "abatement": pl.Datetime("us"),
        },
        "encounter": {
            "patient_id": pl.String,
            "encounter_id": pl.String,
            "class": pl.String,
            "start": pl.Datetime("us"),
            "stop": pl.Datetime("us"),
            "disposition": pl.String,
        },
        "observation": {
            "patient_id": pl.String,
            "encounter_id": pl.String,
            "time": pl.Datetime("us"),
            "code": pl.String,
            "unit": pl.String,
            "value": pl.Float64,
        },
    }
    return {name: pl.DataFrame(tables.get(name, []), schema=form) for name, form in forms.items()}


def people(n: int, sex: str = "male", birth: str = "1965-06-30", **more: Any) -> list[dict[str, Any]]:
    """Return n like patients."""
    born = datetime.date.fromisoformat(birth)
    return [{"patient_id": f"{sex}{birth}{i}", "birth_date": born, "sex": sex, **more} for i in range(n)]


def ill(patient: str, code: str, onset: str, snomed: str | None = None, **more: Any) -> dict[str, Any]:
    """Return one row of a condition."""
    row = {"patient_id": patient, "code": code, "snomed_code": snomed, "onset": day(onset), "recorded": day(onset)}
    return {**row, **more}


# ------------------------------------------------------------------ sampling
def test_wilson() -> None:
    """The interval of 10 of 50 is that of the textbook; no case has an interval from 0."""
    low, high = wilson(10, 50)
    assert low == pytest.approx(0.1124, abs=1e-3)
    assert high == pytest.approx(0.3304, abs=1e-3)
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0


def test_garwood() -> None:
    """Exact limits of a count: 10 has 4.80 to 18.39, 0 has 0 to 3.69."""
    assert garwood(10) == pytest.approx((4.795, 18.391), abs=1e-3)
    assert garwood(0) == pytest.approx((0.0, 3.689), abs=1e-3)


def test_expectancy() -> None:
    """Everybody dies at the rate of 1/50 a year: 50 years are expected at any age; nobody seen: no number."""
    years = np.full(120, 1e6)
    for at in (0, 40):
        value, error = expectancy(years / 50, years, at)
        assert value == pytest.approx(50, abs=0.4)
        assert 0 < error < 0.1
    assert np.isnan(expectancy(np.zeros(120), np.zeros(120))[0])


def test_expectancy_of_the_life_table(plan: Targets) -> None:
    """Deaths at the rates of the life table give the published expectancy."""
    for sex, published in plan.life.table.expectancy.items():
        q = np.array(getattr(plan.life.table, sex))[:120]
        years = np.full(120, 1e5)
        assert expectancy(-np.log1p(-np.minimum(q, 0.9999)) * years, years)[0] == pytest.approx(published, abs=0.15)


def test_quantile_of_a_histogram() -> None:
    """Quantiles lie where the counts say, linear within a bin, at the edge in an open one."""
    grid = np.array([-np.inf, 0, 1, 2, np.inf])
    assert quantile(np.array([0, 10, 10, 0.0]), grid, 0.5) == pytest.approx(1.0)
    assert quantile(np.array([0, 10, 10, 0.0]), grid, 0.25) == pytest.approx(0.5)
    assert quantile(np.array([0, 0, 0, 5.0]), grid, 0.5) == 2.0


def test_odds_ratio_within_strata() -> None:
    """Two strata of odds ratio 3 with other margins give 3, where their sum does not; small cells tell nothing."""
    one = np.array([[60.0, 20.0], [20.0, 20.0]])  # rows: without and with the first; columns: the second
    two = np.array([[10.0, 30.0], [10.0, 90.0]])
    ratio, interval = mantel(np.stack([one, two]))
    assert ratio == pytest.approx(3.0)
    assert interval is not None and interval[0] < 3 < interval[1]
    crude = (one + two)[0, 0] * (one + two)[1, 1] / ((one + two)[0, 1] * (one + two)[1, 0])
    assert abs(crude - 3) > 0.2
    assert mantel(np.array([[[60.0, 2.0], [20.0, 20.0]]])) == (None, None)


# ------------------------------------------------------------------ figures
def test_every_part_has_figures(plan: Targets) -> None:
    """The parts hold at least as many figures as were asked for."""
    assert len(plan.prevalent) >= 30
    assert len(plan.correlated) >= 25
    assert len(plan.published.quantiles.items) >= 10
    assert len(plan.incident) >= 20
    assert len(plan.published.pairs) >= 12
    assert len(plan.published.survival) >= 15
    known = plan.modules.conditions
    named = [name for ids in plan.published.groups.values() for name in ids]
    named += [name for pair in plan.published.pairs for name in (*pair.of, *pair.having)]
    assert not [name for name in named if name not in known]
    for one in plan.published.survival:
        stages = [stage.id for stage in known[one.condition].stages]
        assert one.stage is None or one.stage in stages


def test_figures_are_those_of_their_source(plan: Targets) -> None:
    """Prevalence is the module's table; creatinine is that of the eGFR quantiles turned round."""
    gout = next(one for one in plan.prevalent if one.id == "gout")
    assert gout.prevalence == plan.modules.modules["gout"].conditions[0].prevalence
    ages, values, source = plan.quantiles("creatinine")
    table = plan.processes["egfr"].quantiles
    k = table.ages.index(45.0)
    filtration = table.female[k][table.probabilities.index(0.5)]
    creatinine = values[0, ages.index(40.0), 2]
    back = 142 * min(creatinine / 0.7, 1) ** -0.241 * max(creatinine / 0.7, 1) ** -1.2 * 0.9938**45 * 1.012
    assert back == pytest.approx(filtration, rel=1e-6)
    assert "20" in source
    assert (np.diff(values, axis=2) > 0).all()


def test_unseen_episodes_are_not_expected(plan: Targets) -> None:
    """Of a condition all cases are seen; of an episode those that go to somebody."""
    ages = np.array([5.0, 50.0])
    cystitis = plan.modules.episodes["cystitis"]
    assert (seen(plan.modules.conditions["breast_cancer"], ages) == 1).all()
    none = cystitis.care.shares.get("none", (0.0,))
    assert seen(cystitis, ages)[1] == pytest.approx(1 - none[-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"surprise": 1}, "surprise"),
        ({"about": 5}, "about"),
        ({"pairs": [{"of": ["gout"], "with": ["obesity"], "ages": [20, 99], "source": "zhu2012"}]}, "share or odds"),
        ({"sources": {"assumed_bounds": "Taken so."}}, "sources"),
    ],
)
def test_bad_files_are_refused(tmp_path: Any, change: dict[str, Any], words: str) -> None:
    """Unknown keys, wrong kinds, figures without value and sources that are absent are told by place."""
    path = tmp_path / "targets.json"
    path.write_text(json.dumps({**json.loads(FILE.read_text()), **change}))
    with pytest.raises(ScenarioError) as error:
        read_published(path)
    assert words in " ".join(error.value.problems)
    path.write_text("{")
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_published(path)


# ------------------------------------------------------------------ tallies
def test_prevalence_by_hand(plan: Targets) -> None:
    """Of 100 living men of 60, 10 have gout; an ended one, a later one and one of the dead do not count."""
    folk = people(100) + people(5, death_time=day("2024-05-05"), death_cause="C61", birth="1964-01-01")
    names = [one["patient_id"] for one in folk]
    rows = [ill(name, "M10.9", "2010-01-01", "90560007") for name in [*names[:10], names[100]]]
    rows += [ill(names[0], "M10.9", "2011-01-01", "90560007")]
    rows += [ill(names[15], "M10.9", "2010-01-01", "90560007", abatement=day("2020-01-01"))]
    rows += [ill(names[16], "M10.9", "2026-02-01", "90560007")]
    found = tally(frames(patient=folk, condition=rows), REFERENCE)
    band = found.counts["has gout"]
    assert band.sum() == 10 and band[1, 3] == 10  # men, 60 to 80
    assert found.counts["people"][1, 60] == 100
    told = [one for one in compare(found) if one.kind == "prevalence" and one.target.startswith("Gout, men, 60")]
    assert told[0].reached == pytest.approx(0.1)
    assert told[0].n == 100
    assert told[0].published == pytest.approx(0.093)
    assert told[0].within is True


def test_stages_are_one_condition(plan: Targets) -> None:
    """Rows of two stages of one spell, with codes of their own, are one person with the condition and one new case."""
    woman = people(1, "female", "1960-03-01")
    name = woman[0]["patient_id"]
    rows = [
        ill(name, "C34.90", "2022-01-01", "422968005", stage="Non-small cell lung cancer, stage III"),
        ill(name, "C34.90", "2023-01-01", "423121009", stage="Non-small cell lung cancer, stage IV"),
    ]
    found = tally(frames(patient=woman, condition=rows), REFERENCE)
    assert found.counts["new lung_cancer"].sum() == 1
    assert found.counts["new small_cell_lung_cancer"].sum() == 0


def test_person_years_and_deaths() -> None:
    """Five years before the reference date count, from birth to death; deaths before it do not."""
    folk = people(2, "female", "1950-12-31") + people(1, "female", "2024-12-31")
    folk += people(1, "female", "1940-12-31", death_time=day("2024-02-29"), death_cause="I21.9")
    folk += people(1, "female", "1940-01-01", death_time=day("2015-12-31"), death_cause="I21.9")
    found = tally(frames(patient=folk), REFERENCE)
    years = found.counts["years"][0]
    assert years.sum() == pytest.approx(5 + 5 + 1 + 3.17, abs=0.02)
    assert years[0] == pytest.approx(1, abs=0.01)
    assert found.counts["deaths"].sum() == 1
    assert found.counts["deaths"][0, 83] == 1


def test_causes_of_death(plan: Targets) -> None:
    """Causes are told by three-character categories and ranges of them; others are others."""
    folk = [
        {**people(1)[0], "patient_id": f"p{i}", "death_time": day("2024-06-01"), "death_cause": code}
        for i, code in enumerate(["I21.9", "C34.90", "W19.XXXA", "E11.9", "R99", None, "I63.9"])
    ]
    counts = tally(frames(patient=folk), REFERENCE).counts["causes"]
    titles = [one.title for one in plan.published.causes]
    for title in ("heart disease", "cancer", "unintentional injury", "diabetes", "stroke"):
        assert counts[titles.index(title)] == 1
    assert counts[-1] == 2
    assert counts.sum() == 7


def test_new_cases_use_and_stays() -> None:
    """Episodes of the five years are new cases each; encounters are counted by class and age, readmissions by hand."""
    folk = people(1)
    name = folk[0]["patient_id"]
    rows = [ill(name, "K35.80", text) for text in ("2022-02-02", "2012-02-02")]
    met = [
        {"class": "ambulatory", "start": day("2024-01-01"), "stop": day("2024-01-01")},
        {"class": "ambulatory", "start": day("2015-01-01"), "stop": day("2015-01-01")},
        {"class": "emergency", "start": day("2024-03-01"), "stop": day("2024-03-01")},
        {"class": "inpatient", "start": day("2024-05-01"), "stop": day("2024-05-05"), "disposition": "home"},
        {"class": "inpatient", "start": day("2024-05-20"), "stop": day("2024-05-22"), "disposition": "home"},
        {"class": "inpatient", "start": day("2025-05-20"), "stop": day("2025-05-22"), "disposition": "home"},
    ]
    met = [{"patient_id": name, "encounter_id": f"e{i}", **one} for i, one in enumerate(met)]
    plan = targets()
    codes = {one.icd10 for one in plan.incident if one.id == "appendicitis"}
    rows = [
        {**row, "code": next(iter(codes)), "snomed_code": plan.modules.episodes["appendicitis"].snomed} for row in rows
    ]
    found = tally(frames(patient=folk, condition=rows, encounter=met), REFERENCE)
    assert found.counts["new appendicitis"].sum() == 1
    assert found.counts["encounters"].sum() == 5
    assert found.counts["stays"].tolist() == [3, 8, 24, 3, 1]


def test_last_measurement_at_a_visit(plan: Targets) -> None:
    """One value per person: the last of three years at a check-up or visit, in the item's unit; the dead have none."""
    folk = people(3) + people(1, birth="1950-01-01", death_time=day("2025-01-01"), death_cause="R99")
    a, b, c, dead = (one["patient_id"] for one in folk)
    kinds = [("v1", a, "ambulatory"), ("v2", a, "wellness"), ("v3", b, "inpatient"), ("v4", c, "ambulatory")]
    kinds += [("v5", dead, "ambulatory")]
    met = [
        {"patient_id": who, "encounter_id": key, "class": kind, "start": day("2024-01-01"), "stop": day("2024-01-02")}
        for key, who, kind in kinds
    ]
    seen_ = [("v1", a, "2024-01-01", 60), ("v2", a, "2024-03-01", 45), ("v3", b, "2024-01-01", 90)]
    seen_ += [("v5", dead, "2024-01-01", 70)]
    rows = [
        {"patient_id": who, "encounter_id": key, "time": day(when), "code": "2085-9", "unit": "mg/dL", "value": value}
        for key, who, when, value in seen_
    ]
    rows.append({**rows[0], "patient_id": c, "encounter_id": "v4", "unit": "mmol/L", "value": 1.2})
    counts = tally(frames(patient=folk, encounter=met, observation=rows), REFERENCE).counts["values hdl"]
    assert counts.sum() == 1
    at = int(np.argwhere(counts)[0][2])
    grid = edges(plan, "hdl")
    assert grid[at] <= 45 < grid[at + 1]


def test_correlation_by_hand(plan: Targets) -> None:
    """Correlations of last readings are those of numpy, pooled over the sexes, whatever shards they lie in."""
    rng = np.random.default_rng(7)
    k = next(i for i, pair in enumerate(plan.correlated) if pair.pair == ("sbp", "dbp"))
    parts, both = [], []
    for sex in ("female", "male"):
        folk = people(60, sex, "1970-01-01")
        x = 120 + 15 * rng.standard_normal(60)
        y = 75 + 0.4 * (x - 120) + 6 * rng.standard_normal(60)
        both.append(np.corrcoef(x, y)[0, 1])
        met = [
            {"patient_id": one["patient_id"], "encounter_id": one["patient_id"], "class": "ambulatory",
             "start": day("2025-01-01"), "stop": day("2025-01-01")}
            for one in folk
        ]  # fmt: skip
        rows = [
            {"patient_id": one["patient_id"], "encounter_id": one["patient_id"], "time": day("2025-01-01"),
             "code": code, "unit": "mm[Hg]", "value": float(values[i])}
            for i, one in enumerate(folk)
            for code, values in (("8480-6", x), ("8462-4", y))
        ]  # fmt: skip
        parts.append(tally(frames(patient=folk, encounter=met, observation=rows), REFERENCE))
    whole = parts[0].merge(parts[1])
    assert whole.counts["correlations"][k, :, 0].tolist() == [60, 60]
    told = next(one for one in compare(whole) if one.kind == "correlation" and one.target.startswith("sbp with dbp"))
    assert told.reached == pytest.approx(np.tanh(np.arctanh(both).mean()), abs=1e-9)
    assert told.interval is not None and told.interval[0] < told.reached < told.interval[1]


def test_relative_survival(plan: Targets) -> None:
    """Half of those diagnosed die in the first year and nobody later: about exp of less than their hazard survive."""
    folk, rows = [], []
    for i in range(200):
        dies = i < 100
        folk.append(
            {
                "patient_id": f"p{i}",
                "birth_date": datetime.date(1970, 1, 1),
                "sex": "female",
                "death_time": day("2021-06-30") if dies else None,
                "death_cause": "C50.919" if dies else None,
            }
        )
        rows.append(ill(f"p{i}", "C50.919", "2020-12-31", "254837009", stage="Breast cancer, stage IV"))
    found = tally(frames(patient=folk, condition=rows), REFERENCE)
    told = [
        one for one in compare(found) if one.kind == "survival" and one.target.startswith("Breast cancer, stage IV")
    ]
    hazard = 100 / (100 * 0.5 + 100)  # deaths over person-years of the first year
    assert told[0].reached == pytest.approx(np.exp(-hazard), abs=0.02)
    other = [
        one for one in compare(found) if one.kind == "survival" and one.target.startswith("Breast cancer, stage I,")
    ]
    assert other[0].reached is None and other[0].within is None


def test_multimorbidity_and_pairs(plan: Targets) -> None:
    """Two diseases of one group count once; a share of those with a disease is that."""
    folk = people(20)
    names = [one["patient_id"] for one in folk]
    angina = plan.modules.conditions["coronary_disease"]
    old = plan.modules.conditions["old_myocardial_infarction"]
    rows = [ill(name, "I10", "2015-01-01", "59621000") for name in names[:10]]
    rows += [ill(name, "M10.9", "2015-01-01", "90560007") for name in names[:8]]
    rows += [
        ill(names[15], angina.icd10, "2015-01-01", angina.snomed),
        ill(names[15], old.icd10, "2015-01-01", old.snomed),
    ]
    told = compare(tally(frames(patient=folk, condition=rows), REFERENCE))
    several = {
        one.target.split(" of ")[0]: one.reached
        for one in told
        if one.kind == "multimorbidity" and "adults" in one.target
    }
    assert several == {"1 or more": pytest.approx(11 / 20), "2 or more": pytest.approx(8 / 20)}
    pair = next(one for one in told if one.target == "gout with hypertension, share")
    assert pair.reached == 1.0 and pair.n == 8


# ------------------------------------------------------------------ merging and telling
def test_merging_is_addition(plan: Targets) -> None:
    """Shards counted apart and merged are the whole; the order does not matter; JSON keeps every count."""
    one = frames(patient=people(7, "female"), condition=[ill("female1965-06-300", "I10", "2020-01-01", "59621000")])
    two = frames(patient=people(9))
    both = {name: pl.concat([one[name], two[name]]) for name in one}
    a, b, whole = tally(one, REFERENCE), tally(two, REFERENCE), tally(both, REFERENCE)
    for merged in (a.merge(b), b.merge(a), Tally.from_dict(json.loads(json.dumps(a.merge(b).to_dict())))):
        for name, values in whole.counts.items():
            np.testing.assert_allclose(merged.counts[name], values, atol=1e-5)
    with pytest.raises(DataError, match="differ"):
        a.merge(tally(two, datetime.date(2024, 12, 31)))
    with pytest.raises(DataError, match="made for others"):
        compare(Tally(a.reference, a.years, "other", a.counts))


def test_few_people_are_not_told() -> None:
    """Nothing is told of an empty cohort or of cells of fewer than five."""
    told = compare(tally(frames(patient=people(3)), REFERENCE))
    assert {one.kind for one in told} >= {"prevalence", "quantile", "survival", "use", "cause", "life_expectancy"}
    assert not [one for one in told if one.reached is not None and one.n < 5 and one.kind != "use"]
    assert compare(tally(frames(), REFERENCE))


@pytest.mark.parametrize(
    ("reached", "interval", "within"),
    [(0.11, (0.05, 0.2), True), (0.2, (0.09, 0.3), None), (0.2, (0.16, 0.24), False), (None, None, None)],
)
def test_chance_is_told_from_misfit(
    reached: float | None, interval: tuple[float, float] | None, within: bool | None
) -> None:
    """Within the bound, outside but by chance, outside beyond chance, and unmeasured."""
    one: Comparison = _told("pair", "words", 0.1, reached, 100, interval, 0.015, "somebody 2020")
    assert one.within is within
    assert json.dumps(one.to_dict())


def test_population() -> None:
    """Ages are read from the words of a population."""
    assert population("adults of 45-65, within sex, Pearson, United States 2017-2020") == (45.0, 65.0, True)
    assert population("primary care patients") == (18.0, 120.0, False)
