"""The twin: valid by its published schema, plain, and all that the page needs."""

from __future__ import annotations

import json

import jsonschema
import pytest

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation, evaluate
from ehrsatz.gate.judge import judge
from ehrsatz.gate.policy import Policy
from ehrsatz.report.page import render, report
from ehrsatz.report.twin import json_schema, twin
from ehrsatz.report.words import READERS, THEMES
from evaluation.tables import population
from report.samples import PROVENANCE, about, evaluation_of, hostile, margins_of, schema_of

TRAIN, HOLDOUT, FRESH = population(120, 1), population(120, 2), population(120, 3)


def valid(data: dict) -> dict:
    jsonschema.Draft202012Validator(json_schema()).validate(data)
    return data


def test_the_published_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_it_is_valid_for_real_hostile_and_empty_evaluations() -> None:
    names = ["margins", "association", "detection", "membership", "tstr", "exact_copies", "missingness"]
    measured = evaluate(TRAIN, HOLDOUT, FRESH, target="event", seed=1, metrics=names)
    limits = [{"metric": "margins", "at_least": 0.999}, {"metric": "density", "at_least": 0.1}]
    verdict = judge(measured, Policy.from_dict({"thresholds": limits}))
    data = valid(twin(measured, verdict, schema=TRAIN.schema, provenance=PROVENANCE))
    assert data["verdict"]["decision"] == "hold" and len(data["verdict"]["changes"]) == 2
    evaluation, schema = hostile()
    valid(twin(evaluation, None, schema=schema, provenance=PROVENANCE))
    valid(twin(Evaluation(()), None, schema=schema, provenance=PROVENANCE))


def test_the_schema_refuses_what_is_not_a_report() -> None:
    evaluation, schema = hostile()
    data = twin(evaluation, None, schema=schema, provenance=PROVENANCE)
    for spoil in (
        lambda one: one.update(extra=1),
        lambda one: one["verdict"].update(decision="maybe"),
        lambda one: one["pages"][2]["themes"][0]["scores"][0].pop("meaning"),
    ):
        wrong = json.loads(json.dumps(data))
        spoil(wrong)
        with pytest.raises(jsonschema.ValidationError):
            valid(wrong)


def test_the_page_is_drawn_from_the_twin_alone() -> None:
    evaluation, schema = hostile()
    data = twin(evaluation, None, schema=schema, provenance=PROVENANCE)
    read_back = json.loads(json.dumps(data, ensure_ascii=False))
    assert render(read_back) == render(data) == report(evaluation, None, schema=schema, provenance=PROVENANCE)


def test_it_is_plain_json_without_infinities() -> None:
    score = Score("a", 3.0, (1.0, 4.0), 2.0, 9, {"share": 0.1234567890123}, meaning="A.")
    metrics = {"a": about("fidelity", "Whole rows", high=float("inf"))}
    data = valid(twin(evaluation_of([score], metrics), None, schema=schema_of(["a"]), provenance=PROVENANCE))
    json.dumps(data, allow_nan=False)
    found = next(one for page in data["pages"] for theme in page["themes"] for one in theme["scores"])
    assert found["high"] is None and found["params"] == [{"name": "share", "value": "0.123456789"}]


def test_every_theme_has_one_home_and_a_sentence() -> None:
    homes = [theme for one in READERS for theme in one.themes]
    assert len(homes) == len(set(homes)) and set(homes) == set(THEMES)


def test_a_theme_nobody_knows_stands_with_its_family() -> None:
    scores = [Score("a", 0.5, meaning="A."), Score("b", 0.5, meaning="B."), Score("c", 0.5, meaning="C.")]
    metrics = {"a": about("privacy", "New attack"), "b": about("utility", ""), "c": about("review", "")}
    data = twin(evaluation_of(scores, metrics), None, schema=schema_of(["a"]), provenance=PROVENANCE)
    where = {theme["name"]: page["id"] for page in data["pages"] for theme in page["themes"]}
    assert where["New attack"] == "privacy-officer"
    assert where["Other measures of utility"] == "data-scientist" and where["Expert review"] == "clinician"


@pytest.mark.parametrize(
    ("goal", "ideal", "value", "interval", "reference", "details", "said"),
    [
        ("minimise", 0.0, 0.3, (0.2, 0.4), 0.1, {}, "worse than real data"),
        ("minimise", 0.0, 0.3, (0.05, 0.4), 0.1, {}, "like real data"),
        ("minimise", 0.0, 0.05, (0.02, 0.08), 0.1, {}, "like real data"),
        ("minimise", 0.0, 0.3, (0.2, 0.4), 0.1, {"excess_interval": [-0.1, 0.5]}, "like real data"),
        ("maximise", 1.0, 0.3, (0.2, 0.4), 0.9, {}, "worse than real data"),
        ("target", 1.0, 1.8, (1.7, 1.9), 1.1, {}, "worse than real data"),
        ("target", 0.5, 0.5, (0.49, 0.51), 0.6, {}, "like real data"),
        ("minimise", 0.0, 0.3, None, 0.1, {}, ""),
        ("minimise", 0.0, 0.3, (0.2, 0.4), None, {}, ""),
    ],
)
def test_against_real_data(goal, ideal, value, interval, reference, details, said) -> None:
    score = Score("a", value, interval, reference, 9, meaning="A.", details=details)
    evaluation = evaluation_of([score], {"a": about("fidelity", "Variety", goal=goal, ideal=ideal)})
    data = twin(evaluation, None, schema=schema_of(["a"]), provenance=PROVENANCE)
    found = next(one for page in data["pages"] for theme in page["themes"] for one in theme["scores"])
    assert found["compared"] == said


@pytest.mark.parametrize(("p", "said"), [(0.03, "worse than real data"), (0.4, "like real data")])
def test_a_p_value_is_held_against_one_in_twenty(p: float, said: str) -> None:
    score = Score("leak", p, (p - 0.01, p + 0.01), 0.5, 9, meaning="A.")
    evaluation = evaluation_of([score], {"leak": about("privacy", "Copies")})
    data = twin(evaluation, None, schema=schema_of(["a"]), provenance=PROVENANCE)
    found = next(one for page in data["pages"] for theme in page["themes"] for one in theme["scores"])
    assert found["compared"] == said


def test_a_limit_against_real_data_is_placed_on_the_scores_own_scale() -> None:
    score = Score("margins", 0.9, (0.88, 0.92), 0.97, 9, meaning="Alike.")
    evaluation = evaluation_of([score], {"margins": about("fidelity", "Single columns")})
    limit = {"metric": "margins", "at_least": -0.05, "against": "reference"}
    verdict = judge(evaluation, Policy.from_dict({"thresholds": [limit]}))
    data = valid(twin(evaluation, verdict, schema=schema_of(["a"]), provenance=PROVENANCE))
    found = next(one for page in data["pages"] for theme in page["themes"] for one in theme["scores"])
    assert found["thresholds"][0]["at"] == pytest.approx(0.92) and found["state"] == "missed"


def test_a_picture_that_two_scores_share_is_drawn_once() -> None:
    details = {"trials": [{"learner": "a", "real": 0.8, "synthetic": 0.7}], "measure": "AUC"}
    scores = [Score(name, 0.7, meaning="A.", details=details) for name in ("a", "b")]
    metrics = {name: about("utility", "Prediction") for name in ("a", "b")}
    data = twin(evaluation_of(scores, metrics), None, schema=schema_of(["a"]), provenance=PROVENANCE)
    found = [one for page in data["pages"] for theme in page["themes"] for one in theme["scores"]]
    assert [len(one["pictures"]) for one in found] == [1, 0]


def test_columns_left_out_are_counted() -> None:
    names = [f"c{i}" for i in range(130)]
    evaluation = evaluation_of([margins_of(names)], {"margins": about("fidelity", "Single columns")})
    data = valid(twin(evaluation, None, schema=schema_of(names), provenance=PROVENANCE))
    theme = next(t for page in data["pages"] for t in page["themes"] if t["name"] == "Columns one by one")
    assert len(theme["pictures"]) == 100 and theme["left_out"] == 30
    assert theme["pictures"][0]["title"] == "c0"
