"""What would have to change: distances and subjects by hand, levers that exist, the same text every time."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main

from ehrsatz.evaluation.base import Score
from ehrsatz.gate import Explanation, Policy, explain, judge, named
from ehrsatz.gate.explain import LEVERS, NEEDS
from ehrsatz.rules.base import Finding

HALVES = {"subjects": {"train": 400, "holdout": 500, "synthetic": 400}}


def explained(threshold: dict[str, Any], *scores: Score, details: dict[str, Any] | None = None) -> Explanation:
    told = SimpleNamespace(scores=scores, findings=(), details=HALVES if details is None else details)
    (one,) = explain(judge(told, Policy.from_dict({"thresholds": [threshold]})), told)
    return one


def test_nothing_to_explain_where_all_passed() -> None:
    told = SimpleNamespace(scores=(Score("margins", 0.95),), findings=())
    assert explain(judge(told, Policy.from_dict({"thresholds": [{"metric": "margins", "at_least": 0.9}]}))) == ()


def test_distance_and_value_needed() -> None:
    one = explained({"metric": "margins", "at_least": 0.9}, Score("margins", 0.85, (0.84, 0.86)))
    assert one.found == "Found 0.85, with a 95 % interval from 0.84 to 0.86."
    assert one.needed == "Needed: the value at least 0.9; it is 0.05 short."
    assert "whole interval lies beyond" in one.chance
    assert one.subjects is None


def test_a_difference_is_told_in_the_metric_s_own_unit() -> None:
    threshold = {"metric": "margins", "at_least": -0.05, "against": "reference"}
    one = explained(threshold, Score("margins", 0.85, (0.8, 0.9), 0.95))
    assert "at least 0.9 (not more than 0.05 below real data)" in one.needed
    assert "it is 0.05 short" in one.needed


def test_subjects_that_would_tell() -> None:
    threshold = {"metric": "membership", "at_most": 0.6, "judge": "strict"}
    one = explained(threshold, Score("membership", 0.55, (0.45, 0.65)))
    assert one.subjects == 1600  # the half must shrink from 0.10 to 0.05: four times the 400 of the smaller half
    assert "About 1,600 subjects in each half" in one.chance


def test_subjects_for_enough_power() -> None:
    threshold = {"metric": "membership", "at_most": 0.6, "power": {"max_half_width": 0.05}}
    one = explained(threshold, Score("membership", 0.5, (0.4, 0.6)))
    assert (one.state, one.subjects) == ("inconclusive", 1600)
    threshold["power"]["at_least_subjects"] = 5000
    assert explained(threshold, Score("membership", 0.5, (0.4, 0.6))).subjects == 5000
    narrow = explained(threshold, Score("membership", 0.5, (0.49, 0.51)))
    assert (narrow.state, narrow.subjects) == ("inconclusive", 5000)
    assert narrow.chance == "It takes 5,000 holdout subjects."


def test_a_value_on_the_limit_needs_more_than_subjects() -> None:
    threshold = {"metric": "membership", "at_most": 0.6, "judge": "strict"}
    one = explained(threshold, Score("membership", 0.62, (0.52, 0.72)))
    assert one.subjects is None
    assert "more subjects alone would not let it pass" in one.chance
    near = explained(threshold, Score("membership", 0.5999, (0.4999, 0.6999)))
    assert "more subjects than can be had" in near.chance


def test_without_the_number_of_subjects_the_factor_is_told() -> None:
    threshold = {"metric": "membership", "at_most": 0.6, "judge": "strict"}
    one = explained(threshold, Score("membership", 0.55, (0.45, 0.65)), details={})
    assert one.chance == "It takes about 4 times the subjects to tell."


@pytest.mark.parametrize(
    ("reason", "option"),
    [
        ("Not measured: no target column was named.", "--target"),
        ("Not measured: no follow-up time and event were named.", "--duration"),
        ("Not measured: no formula was named.", "--formula"),
        ("Not measured: no quasi-identifier is known.", "--quasi"),
    ],
)
def test_what_was_not_measured_names_the_option(reason: str, option: str) -> None:
    score = Score("tstr_gap", None, status="not_applicable", meaning=reason)
    one = explained({"metric": "tstr_gap", "at_most": 0.05}, score)
    assert one.state == "not measured"
    assert option in " ".join(one.levers)


def test_a_review_that_is_lacking_names_the_command() -> None:
    assert "ehrsatz review draw" in explained({"metric": "expert_review", "at_least": 0.8}).levers[0]


@pytest.mark.parametrize(
    ("params", "details", "told"),
    [
        ({"quasi": ["age", "sex"]}, {}, "The columns that an attacker is taken to know: age, sex."),
        ({"secret": "diag"}, {}, "It is about diag:"),
        ({}, {"columns": [["a", "b", "c"], ["d", "e", "f"]]}, "It comes from a, b, c: make one of them coarser."),
        ({}, {"worst": "age = other levels"}, "It comes from age = other levels: look there first."),
        ({}, {"column": "bmi", "table": "t"}, "It comes from bmi:"),
        ({}, {"worst_off": {"group": "sex = F", "loss": 0.1}}, "It comes from sex = F:"),
        (
            {},
            {"culprits": [{"column": f"c{i}", "drop": 0.1} for i in range(9)]},
            "It comes from c0, c1, c2 and 6 more:",
        ),
        ({}, {"statistics": [{"name": "equal rows", "p": 0.1}]}, "It comes from equal rows:"),
    ],
)
def test_columns_and_groups_behind_a_number_are_named(
    params: dict[str, Any], details: dict[str, Any], told: str
) -> None:
    one = explained({"metric": "membership", "at_most": 0.6}, Score("membership", 0.8, params=params, details=details))
    assert one.levers[0].startswith(told)
    assert len(one.levers) > 1


def test_details_without_names_say_nothing() -> None:
    for details in ({"columns": [{"column": "a", "similarity": 0.5}]}, {"columns": []}, {"worst": []}, {"worst": {}}):
        score = Score("membership", 0.8, details=details)
        assert "attacker" not in explained({"metric": "membership", "at_most": 0.6}, score).levers[0]


def test_rules_have_levers() -> None:
    told = SimpleNamespace(scores=(), findings=(Finding("order", 100, 7, {}),))
    (one,) = explain(judge(told, Policy.from_dict({"thresholds": [{"metric": "rules_kept", "at_least": 0.99}]})), told)
    assert "schema.yaml" in one.levers[0]
    assert one.chance == ""


def test_every_theme_has_levers_and_every_option_in_them_exists() -> None:
    from ehrsatz import registry
    from ehrsatz.cli.main import app

    for name in ("default", "public", "partner"):
        for one in named(name).thresholds:
            if one.metric in registry.names("metrics"):
                found = registry.find("metrics", one.metric)
                assert LEVERS.get(found.theme) or LEVERS.get(found.family), f"{one.metric}: no lever"
    group = typer.main.get_command(app)
    known = {option for command in group.commands.values() for one in command.params for option in one.opts}
    text = " ".join([*(lever for all_ in LEVERS.values() for lever in all_), *(advice for _, advice in NEEDS)])
    assert not set(re.findall(r"--[a-z-]+", text)) - known


def test_the_same_verdict_is_explained_alike_and_in_plain_json() -> None:
    import json

    threshold = {"metric": "membership", "at_most": 0.6, "severity": "deny"}
    score = Score("membership", 0.8, (0.7, 0.9))
    assert explained(threshold, score) == explained(threshold, score)
    told = explained(threshold, score)
    assert json.loads(json.dumps(told.to_dict()))["levers"] == list(told.levers)
    assert told.lines()[0] == "membership (missed, denies)"
    assert not re.search(r"nan|inf\b|None", "\n".join(told.lines()))
