"""Calibration files: their forms, and the figures in them that cannot be or that contradict each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ehrsatz.errors import ScenarioError
from ehrsatz.simulator.aggregates import Aggregates, read_aggregates
from ehrsatz.simulator.conflicts import process, quantiles, refuse, weights
from ehrsatz.simulator.knowledge import Known, known

YAML = """
title: One practice
prevalence:
  - {condition: gout, sex: male, ages: [40, 60], percent: 5, source: "register, 2024"}
incidence:
  - {of: pneumonia, ages: [65, 120], per_1000: 20, source: "invoices, 2024"}
quantiles:
  - {item: hba1c, ages: [40, 60], p25: 5.2, p50: 5.5, source: "laboratory, 2024"}
"""
S = "test 2024"


@pytest.fixture(scope="module")
def about() -> Known:
    return known("us")


def told(**kinds: object) -> Aggregates:
    return Aggregates.model_validate(
        {kind: [{"source": S, **one} for one in figures] for kind, figures in kinds.items()}  # type: ignore[attr-defined]
    )


def problems(about: Known, **kinds: object) -> list[str]:
    with pytest.raises(ScenarioError) as error:
        refuse(about, told(**kinds))
    return list(error.value.problems)


def test_yaml_json_and_csv_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    one = read_aggregates(tmp_path / "a.yaml")
    (tmp_path / "a.json").write_text(json.dumps(one.model_dump(mode="json", exclude_none=True)))
    (tmp_path / "a.csv").write_text(
        "kind,name,age_from,age_to,sex,measure,value,unit,source\n"
        'prevalence,gout,40,60,male,percent,5,,"register, 2024"\n'
        'incidence,pneumonia,65,120,,per_1000,20,,"invoices, 2024"\n'
        'quantiles,hba1c,40,60,,p25,5.2,,"laboratory, 2024"\n'
        'quantiles,hba1c,40,60,,p50,5.5,,"laboratory, 2024"\n'
    )
    assert read_aggregates(tmp_path / "a.json") == one
    again = read_aggregates(tmp_path / "a.csv")
    assert (again.prevalence, again.incidence, again.quantiles) == (one.prevalence, one.incidence, one.quantiles)
    assert one.prevalence[0].value == pytest.approx(0.05) and one.incidence[0].value == pytest.approx(0.02)
    assert one.quantiles[0].given == {0.25: 5.2, 0.5: 5.5}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("prevalence:\n  - {condition: gout, percent: 5}\n", "prevalence.0.source"),
        ("prevalence:\n  - {condition: gout, percent: 5, prct: 1, source: x}\n", "Did you mean 'percent'?"),
        ("prevalence:\n  - {condition: gout, percent: 5, share: 0.05, source: x}\n", "either share or percent"),
        ("prevalence:\n  - {condition: gout, percent: 105, source: x}\n", "prevalence.0.percent"),
        ("incidence:\n  - {of: gout, source: x}\n", "exactly one of per_1000"),
        ("quantiles:\n  - {item: sbp, mean: 3, source: x}\n", "mean and sd together"),
        ("deaths:\n  - {life_expectancy: 80, ages: [3, 9], source: x}\n", "it is that at birth"),
        ("prevalence:\n  - {condition: gout, ages: [60, 40], percent: 5, source: x}\n", "two rising years"),
        ("prevalense: []\n", "Did you mean 'prevalence'?"),
        ("{}\n", "at least one figure"),
        ("a: [\n", "cannot be read at line"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ScenarioError) as error:
        read_aggregates(tmp_path / "a.yaml")
    assert place in str(error.value)


def test_a_wrong_csv_is_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("kind,name,measure,value,source\nprevalence,gout,percent,five,x\nnothing,,,1,x\n")
    with pytest.raises(ScenarioError) as error:
        read_aggregates(tmp_path / "a.csv")
    assert [one[:7] for one in error.value.problems] == ["line 2:", "line 3:"]
    (tmp_path / "b.csv").write_text("kind,measure,value,sauce\n")
    with pytest.raises(ScenarioError, match="column source: missing"):
        read_aggregates(tmp_path / "b.csv")
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_aggregates(tmp_path / "none.yaml")


def test_figures_that_hold_together_pass(about: Known) -> None:
    found = refuse(
        about,
        told(
            prevalence=[
                {"condition": "type2_diabetes", "ages": [18, 120], "percent": 12},
                {"condition": "type2_diabetes", "ages": [65, 120], "percent": 25},
                {"condition": "diabetic_retinopathy", "ages": [18, 120], "percent": 4},
            ],
            quantiles=[
                {"item": "sbp", "ages": [40, 60], "p50": 125},
                {"item": "sbp", "ages": [50, 60], "p50": 130, "p90": 160},
            ],
        ),
        {"gout": 0.05},
    )
    assert [one.place for one in found][:2] == ["simulator.prevalence.gout", "prevalence[0]"]


def test_names_sexes_ages_and_units_are_checked(about: Known) -> None:
    found = problems(
        about,
        prevalence=[
            {"condition": "typ2_diabetes", "percent": 3},
            {"condition": "benign_prostate", "sex": "female", "percent": 3},
            {"condition": "benign_prostate", "percent": 70},
            {"condition": "dementia", "ages": [10, 20], "percent": 3},
            {"condition": "pneumonia", "percent": 3},
        ],
        quantiles=[
            {"item": "ldl", "p50": 100},
            {"item": "spb", "p50": 100},
            {"item": "hba1c", "unit": "g/L", "p50": 5},
            {"item": "sbp", "p25": 130, "p50": 120},
            {"item": "sbp", "p50": 1200},
        ],
        stays=[{"of": "gout_flare", "median_days": 3}, {"of": "sepsi", "median_days": 3}],
    )
    wanted = [
        "Did you mean 'type2_diabetes'?", "the male sex only", "the male sex only", "begins at 55 years",
        "has an incidence and no prevalence", "computed, of total_chol, hdl, trig", "Did you mean 'sbp'?",
        "expected hba1c in %", "fall", "lies between", "nobody is admitted", "Did you mean 'sepsis'?",
    ]  # fmt: skip
    assert len(found) == len(wanted)
    for words, text in zip(wanted, found, strict=True):
        assert words in text


@pytest.mark.parametrize(
    ("kind", "one", "other", "reason"),
    [
        (
            "prevalence",
            {"condition": "gout", "percent": 5},
            {"condition": "gout", "percent": 6},
            "two different figures",
        ),
        (
            "prevalence",
            {"condition": "type2_diabetes", "ages": [18, 120], "percent": 3},
            {"condition": "type2_diabetes", "ages": [65, 120], "percent": 40},
            "the other is a part",
        ),
        (
            "prevalence",
            {"condition": "type2_diabetes", "ages": [65, 120], "percent": 20},
            {"condition": "diabetic_retinopathy", "ages": [65, 120], "percent": 25},
            "cannot be commoner",
        ),
        (
            "prevalence",
            {"condition": "type2_diabetes", "ages": [65, 120], "percent": 50},
            {"condition": "prediabetes", "ages": [65, 120], "percent": 60},
            "more than all",
        ),
        ("incidence", {"of": "gout", "per_1000": 5}, {"of": "gout", "per_1000": 9}, "two different figures"),
        ("quantiles", {"item": "sbp", "p50": 120}, {"item": "sbp", "p50": 130}, "two different figures"),
        ("quantiles", {"item": "sbp", "p50": 120}, {"item": "sbp", "p25": 130}, "quantiles fall"),
        (
            "quantiles",
            {"item": "sbp", "ages": [0, 120], "p95": 120},
            {"item": "sbp", "ages": [20, 120], "p50": 130},
            "no distribution of the rest",
        ),
        ("care", {"kind": "visits", "per_person": 2}, {"kind": "visits", "per_person": 3}, "two different figures"),
        ("deaths", {"life_expectancy": 80}, {"sex": "male", "per_1000": 9}, "give one of them"),
        ("deaths", {"life_expectancy": 80}, {"life_expectancy": 70}, "two different figures"),
    ],
)
def test_contradictions_are_refused_as_pairs_with_the_reason(
    about: Known, kind: str, one: dict[str, object], other: dict[str, object], reason: str
) -> None:
    found = problems(about, **{kind: [one, other]})
    assert len(found) == 1 and reason in found[0]
    assert f"{kind}[0]" in found[0] and f"{kind}[1]" in found[0]


def test_a_complication_is_not_commoner_than_its_published_cause(about: Known) -> None:
    found = problems(about, prevalence=[{"condition": "type1_retinopathy", "ages": [40, 60], "percent": 6}])
    assert len(found) == 1 and "commoner than type1_diabetes" in found[0]


def test_incidence_and_prevalence_of_one_condition_are_not_both_asked(about: Known) -> None:
    found = problems(
        about, prevalence=[{"condition": "gout", "percent": 5}], incidence=[{"of": "gout", "per_1000": 3}]
    )  # fmt: skip
    assert len(found) == 1 and "give one of them" in found[0]


def test_units_and_moments_become_quantiles_of_the_process(about: Known) -> None:
    one = told(quantiles=[{"item": "hba1c", "unit": "mmol/mol", "p50": 42.0}]).quantiles[0]
    assert process(one) == "hba1c"
    assert quantiles(about, one)[0.5] == pytest.approx(6.0, abs=0.03)  # IFCC 42 is NGSP 6.0 %
    two = told(quantiles=[{"item": "height", "mean": 165.0, "sd": 7.0}]).quantiles[0]
    found = quantiles(about, two)
    assert found[0.5] == pytest.approx(165.0) and found[0.95] == pytest.approx(165 + 1.645 * 7, abs=0.1)


def test_weights_are_the_people_of_the_country(about: Known) -> None:
    people = weights(about)
    pyramid = about.locale.life.pyramid
    assert people.sum() == pytest.approx(sum(pyramid.female) + sum(pyramid.male))
    assert (people >= 0).all()
