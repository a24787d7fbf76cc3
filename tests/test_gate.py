"""The gate: limits, intervals, references, what was not measured, and no denial by noise alone."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from ehrsatz.errors import ScenarioError
from ehrsatz.evaluation.base import Score
from ehrsatz.gate import SHIPPED, Check, Policy, checked, judge, named, policy_of, text_of
from ehrsatz.rules.base import Finding


class Unchecked(Score):
    """A score as another package may give it: nothing promised of its numbers."""

    def __post_init__(self) -> None: ...


def found(rule: str, n_checked: int, n_failed: int) -> Finding:
    return Finding(rule, n_checked, n_failed, {})


@dataclass(frozen=True)
class FakeEvaluation:
    scores: tuple[Score, ...] = ()
    findings: tuple[Finding, ...] = ()


def decide(threshold: dict[str, Any], *scores: Score, findings: tuple[Finding, ...] = ()) -> str:
    policy = Policy.from_dict({"thresholds": [threshold]})
    return judge(FakeEvaluation(scores, findings), policy).decision


@pytest.mark.parametrize(
    ("limit", "value", "decision"),
    [
        ({"at_most": 0.6}, 0.6, "pass"),
        ({"at_most": 0.6}, 0.6001, "hold"),
        ({"at_least": 0.9}, 0.9, "pass"),
        ({"at_least": 0.9}, 0.8999, "hold"),
        ({"at_most": 0.6, "severity": "deny"}, 0.7, "deny"),
        ({"at_least": 0}, -0.1, "hold"),
        ({"at_most": 0}, 0.0, "pass"),
    ],
)
def test_limits_are_closed(limit: dict[str, Any], value: float, decision: str) -> None:
    assert decide({"metric": "m", **limit}, Score("m", value)) == decision


@pytest.mark.parametrize(
    ("judging", "interval", "decision"),
    [
        ("value", (0.5, 0.9), "deny"),
        ("lenient", (0.59, 0.9), "pass"),
        ("lenient", (0.61, 0.9), "deny"),
        ("strict", (0.4, 0.9), "deny"),
        ("strict", (0.4, 0.6), "pass"),
    ],
)
def test_ends_of_the_interval(judging: str, interval: tuple[float, float], decision: str) -> None:
    threshold = {"metric": "m", "at_most": 0.6, "judge": judging, "severity": "deny"}
    assert decide(threshold, Score("m", 0.7, interval)) == decision


def test_lenient_of_a_lower_limit_is_the_upper_end() -> None:
    assert decide({"metric": "m", "at_least": 0.9, "judge": "lenient"}, Score("m", 0.8, (0.7, 0.95))) == "pass"
    assert decide({"metric": "m", "at_least": 0.9, "judge": "strict"}, Score("m", 0.92, (0.7, 0.95))) == "hold"


def test_distance_from_the_reference() -> None:
    threshold = {"metric": "m", "at_most": 0.05, "against": "reference", "severity": "deny"}
    assert decide(threshold, Score("m", 0.74, reference=0.7)) == "pass"
    assert decide(threshold, Score("m", 0.76, reference=0.7)) == "deny"
    assert decide(threshold, Score("m", 0.76)) == "hold"  # no reference: not measured


def test_the_interval_of_the_distance_itself_wins() -> None:
    threshold = {"metric": "m", "at_most": 0.05, "against": "reference", "judge": "lenient", "severity": "deny"}
    wide = Score("m", 0.8, (0.7, 0.9), reference=0.7)
    assert decide(threshold, wide) == "pass"
    assert decide(threshold, replace(wide, details={"excess_interval": [0.08, 0.12]})) == "deny"


@pytest.mark.parametrize(
    "score",
    [
        Score("m", None, status="failed"),
        Score("m", None, status="not_applicable"),
        Unchecked("m", float("nan")),
        Score("other", 0.1),
    ],
)
def test_not_measured_is_not_passed(score: Score) -> None:
    verdict = judge(FakeEvaluation((score,)), Policy.from_dict({"thresholds": [{"metric": "m", "at_most": 1}]}))
    assert (verdict.decision, verdict.passed) == ("hold", False)
    assert "not passed" in verdict.reasons[0]


def test_not_measured_holds_even_where_a_miss_would_deny() -> None:
    assert decide({"metric": "m", "at_most": 1, "severity": "deny"}) == "hold"


def test_not_applicable_may_be_skipped_but_not_everything() -> None:
    thresholds = [
        {"metric": "m", "at_most": 1, "when_not_applicable": "skip"},
        {"metric": "k", "at_most": 1},
    ]
    gone = Score("m", None, status="not_applicable")
    kept = judge(FakeEvaluation((gone, Score("k", 0.5))), Policy.from_dict({"thresholds": thresholds}))
    assert kept.decision == "pass"
    assert [check.passed for check in kept.checks] == [None, True]
    assert decide(thresholds[0], gone) == "hold"  # nothing was judged at all


def test_every_score_of_a_metric_is_judged() -> None:
    scores = (Score("m", 0.1, params={"learner": "a"}), Score("m", 0.9, params={"learner": "b"}))
    verdict = judge(FakeEvaluation(scores), Policy.from_dict({"thresholds": [{"metric": "m", "at_most": 0.5}]}))
    assert [check.name for check in verdict.checks] == ["m (a)", "m (b)"]
    assert verdict.decision == "hold"


def test_rules_are_checks_too() -> None:
    threshold = {"metric": "rules_kept", "at_least": 0.99}
    assert decide(threshold, findings=(found("r", 100, 1),)) == "pass"
    assert decide(threshold, findings=(found("r", 100, 2),)) == "hold"
    assert decide(threshold, findings=(found("r", 0, 0),)) == "pass"


def test_kept_rules_are_one_check_and_each_broken_one_is_its_own() -> None:
    policy = Policy.from_dict({"thresholds": [{"metric": "rules_kept", "at_least": 0.99}]})
    findings = (found("a", 100, 0), found("b", 1000, 5), found("c", 100, 7))
    checks = judge(FakeEvaluation((), findings), policy).checks
    assert [(check.name, check.passed, check.value) for check in checks] == [
        ("rules_kept", True, 0.995),
        ("rules_kept (c)", False, 0.93),
    ]
    assert checks[0].reason == "2 of 3 rules are kept, each in at least 99.5 % of the rows."


def test_deny_wins_over_hold_and_stands_first() -> None:
    policy = Policy.from_dict(
        {"thresholds": [{"metric": "a", "at_most": 0}, {"metric": "b", "at_most": 0, "severity": "deny"}]}
    )
    verdict = judge(FakeEvaluation((Score("a", 1.0), Score("b", 1.0))), policy)
    assert verdict.decision == "deny"
    assert verdict.reasons[0].startswith("b:")


@pytest.mark.parametrize(
    ("threshold", "score", "text"),
    [
        ({"at_most": 0.6}, Score("m", 0.7), "0.7 is beyond the limit, at most 0.6. So be it."),
        ({"at_most": 0.6}, Score("m", 0.5), "0.5 is within the limit, at most 0.6."),
        (
            {"at_most": 0.6, "judge": "lenient"},
            Score("m", 0.7, (0.5, 0.9)),
            "0.7 is beyond the limit, at most 0.6, by no more than chance explains.",
        ),
        (
            {"at_least": -0.05, "against": "reference", "judge": "lenient"},
            Score("m", 0.7, (0.65, 0.75), 0.9),
            "0.7, where real data score 0.9, is beyond the limit, not more than 0.05 below real data, and by more than "
            "chance explains. So be it.",
        ),
        (
            {"at_most": 0.02, "against": "reference"},
            Score("m", 0.0, reference=0.01),
            "0, where real data score 0.01, is within the limit, not more than 0.02 above real data.",
        ),
        ({"at_least": 0.5}, Score("m", 1.1e-16), "0 is beyond the limit, at least 0.5. So be it."),
    ],
)
def test_reasons_read_as_sentences(threshold: dict[str, Any], score: Score, text: str) -> None:
    policy = Policy.from_dict({"thresholds": [{"metric": "m", "reason": "So be it.", **threshold}]})
    assert judge(FakeEvaluation((score,)), policy).checks[0].reason == text


def test_the_verdict_is_plain_json_with_its_policy() -> None:
    policy = Policy.from_dict({"name": "ours", "thresholds": [{"metric": "m", "at_most": 0.5, "reason": "because"}]})
    verdict = judge(FakeEvaluation((Score("m", 0.7, (0.6, 0.8), 0.5),)), policy)
    data = json.loads(json.dumps(verdict.to_dict()))
    assert data["policy"]["name"] == "ours"
    assert data["checks"][0]["value"] == 0.7
    assert "because" in data["reasons"][0]
    assert Policy.from_dict(data["policy"]) == policy
    assert len(policy.fingerprint) == 64


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("thresholds: []", "at least 1"),
        ("threshold: []", "'thresholds'"),
        ("thresholds: [{metric: m}]", "exactly one of at_most and at_least"),
        ("thresholds: [{metric: m, at_most: 1, at_least: 0}]", "exactly one"),
        ("thresholds: [{metric: m, atmost: 1}]", "'at_most'"),
        ("thresholds: [{metric: m, at_most: 1, severity: SECRET123}]", "'hold' or 'deny'"),
        ("- SECRET123", "thresholds"),
        ("{", "YAML"),
    ],
)
def test_a_wrong_policy_is_refused_without_its_values(text: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        Policy.from_file(path)
    assert hint in str(caught.value)
    assert "SECRET123" not in str(caught.value)


def test_a_policy_about_no_metric_is_refused() -> None:
    good = Policy.from_dict({"thresholds": [{"metric": "margins", "at_least": 0.9}]})
    assert checked(good) == good
    assert checked(Policy.default()) == Policy.default()
    with pytest.raises(ScenarioError, match="Did you mean 'margins'"):
        checked(Policy.from_dict({"thresholds": [{"metric": "margns", "at_least": 0.9, "severity": "deny"}]}))


def test_one_fault_in_a_list_is_told_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        Policy.from_dict({"thresholds": [{"metric": "m", "atmost": 1}]})
    assert len(caught.value.problems) == 1, caught.value.problems
    with pytest.raises(ScenarioError, match="thresholds: expected at least 1"):
        Policy.from_dict({"thresholds": []})


class TestDefault:
    """The built-in policy passes a further real sample, denies copies, and holds what is unlike the data."""

    good: ClassVar[dict[str, Score]] = {
        "exact_copies": Score("exact_copies", 0.03, (0.02, 0.04), 0.03),
        "near_copies": Score("near_copies", 0.02, (0.01, 0.03), 0.015),
        "dcr_share": Score("dcr_share", 0.52, (0.48, 0.56), 0.5),
        "membership": Score("membership", 0.54, (0.50, 0.58), 0.53),
        "membership_tpr": Score("membership_tpr", None, status="not_applicable"),
        "membership_subset": Score("membership_subset", 0.51, (0.48, 0.54), 0.5),
        "singling_out": Score("singling_out", 0.0, (0.0, 0.3)),
        "linkability": Score("linkability", 0.04, (0.0, 0.12)),
        "inference": Score("inference", 0.1, (0.0, 0.23)),
        "leak": Score("leak", 0.2, (0.17, 0.23), 0.5),
        "worst_margin": Score("worst_margin", 0.85, (0.8, 0.9), 0.9),
        "margins": Score("margins", 0.96, (0.95, 0.97), 0.97),
        "detection": Score("detection", 0.62, (0.58, 0.66), 0.5),
        "coverage": Score("coverage", 0.93, (0.9, 0.96), 0.95),
        "missingness": Score("missingness", 0.01, (0.0, 0.02), 0.01),
        "tstr_gap": Score("tstr_gap", None, status="not_applicable"),
    }

    def decide(self, *others: Score) -> str:
        scores = {**self.good, **{one.metric: one for one in others}}
        return judge(FakeEvaluation(tuple(scores.values()), (found("order", 100, 0),))).decision

    def test_passes_what_noise_explains(self) -> None:
        assert self.decide() == "pass"
        assert self.decide(Score("membership", 0.60, (0.54, 0.66), 0.53)) == "pass"  # few rows, wide interval

    @pytest.mark.parametrize(
        "score",
        [
            Score("exact_copies", 0.2, (0.17, 0.23), 0.03),
            Score("near_copies", 0.3, (0.25, 0.35), 0.02),
            Score("dcr_share", 0.9, (0.88, 0.92), 0.5),
            Score("membership", 0.83, (0.8, 0.86), 0.52),
            Score("membership_subset", 0.92, (0.9, 0.94), 0.5),
            Score("singling_out", 0.5, (0.4, 0.6)),
        ],
    )
    def test_denies_leaks(self, score: Score) -> None:
        assert self.decide(score) == "deny"

    @pytest.mark.parametrize(
        "score",
        [
            Score("detection", 0.97, (0.95, 0.99), 0.5),
            Score("margins", 0.7, (0.68, 0.72), 0.97),
            Score("membership", 0.58, (0.56, 0.60), 0.52),
            Score("membership", None, status="failed"),
            Score("tstr_gap", 0.2, (0.1, 0.3), 0.0),
            Score("leak", 0.001, (0.0, 0.004), 0.5),
        ],
    )
    def test_holds_what_is_doubtful(self, score: Score) -> None:
        assert self.decide(score) == "hold"


# ---------------------------------------------------------------------- states, power, margin
def check_of(threshold: dict[str, Any], score: Score, details: dict[str, Any] | None = None) -> Check:
    policy = Policy.from_dict({"thresholds": [threshold]})
    evaluation = SimpleNamespace(scores=(score,), findings=(), details=details or {})
    return judge(evaluation, policy).checks[0]


HALVES = {"subjects": {"train": 460, "holdout": 460, "synthetic": 460}}


@pytest.mark.parametrize(
    ("interval", "state", "severity"),
    [
        ((0.50, 0.54), "passed", "deny"),
        ((0.40, 0.64), "inconclusive", "hold"),  # too wide to say anything
        ((0.58, 0.70), "missed", "deny"),  # wide, but beyond the limit all the same
        (None, "inconclusive", "hold"),
    ],
)
def test_few_subjects_never_pass(interval: tuple[float, float] | None, state: str, severity: str) -> None:
    threshold = {
        "metric": "m",
        "at_most": 0.55,
        "judge": "value" if interval is None else "lenient",
        "severity": "deny",
        "power": {"max_half_width": 0.05},
    }
    one = check_of(threshold, Score("m", 0.52 if interval is None else sum(interval) / 2, interval))
    assert (one.state, one.passed, one.severity) == (state, state == "passed", severity)
    if state == "inconclusive":
        assert "what cannot be told has not passed" in one.reason


@pytest.mark.parametrize(
    ("details", "state"),
    [(HALVES, "inconclusive"), ({"subjects": {"holdout": 500}}, "passed"), ({}, "inconclusive")],
)
def test_a_small_holdout_is_inconclusive(details: dict[str, Any], state: str) -> None:
    threshold = {"metric": "m", "at_most": 0.55, "power": {"at_least_subjects": 500}}
    assert check_of(threshold, Score("m", 0.5, (0.49, 0.51)), details).state == state


def test_power_of_a_difference_is_that_of_its_own_interval() -> None:
    threshold = {"metric": "m", "at_most": 0.05, "against": "reference", "power": {"max_half_width": 0.03}}
    wide = Score("m", 0.52, (0.40, 0.60), 0.5)
    assert check_of(threshold, wide).state == "inconclusive"
    assert check_of(threshold, replace(wide, details={"excess_interval": [0.0, 0.04]})).state == "passed"


def test_a_check_says_its_metric_margin_interval_and_source() -> None:
    threshold = {"metric": "m", "at_most": 0.09, "judge": "strict", "source": "EMA 0070"}
    one = check_of(threshold, Score("m", 0.05, (0.03, 0.12)))
    assert (one.metric, one.state, one.source) == ("m", "missed", "EMA 0070")
    assert (one.interval, one.judged, one.margin) == ((0.03, 0.12), 0.12, pytest.approx(-0.03))
    assert (one.limit, one.side, one.judge) == (0.09, "at most", "strict")
    lower = check_of({"metric": "m", "at_least": 0.9}, Score("m", 0.95))
    assert lower.margin == pytest.approx(0.05)
    assert check_of({"metric": "m", "at_most": 1, "when_not_applicable": "skip"}, gone("m")).state == "does not apply"
    assert check_of({"metric": "m", "at_most": 1}, gone("m")).state == "not measured"


def gone(metric: str) -> Score:
    return Score(metric, None, status="not_applicable", meaning="Not measured: no target column was named.")


# ---------------------------------------------------------------------- policies
def test_what_a_policy_says_beside_its_thresholds() -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    other = base64.b64encode(bytes(range(1, 33))).decode()
    data = {
        "name": "ours",
        "version": "3",
        "purpose": "to a partner",
        "audience": "contracted",
        "valid_days": 180,
        "approval": {
            "at_least": 2,
            "roles": ["privacy officer"],
            "keys": [
                {"name": "A", "role": "privacy officer", "public_key": key, "valid_until": "2027-01-31"},
                {"name": "B", "role": "data owner", "public_key": other},
            ],
        },
        "thresholds": [{"metric": "margins", "at_least": 0.9, "power": {"at_least_subjects": 500}, "source": "house"}],
    }
    policy = Policy.from_dict(data)
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    assert policy.to_dict()["approval"]["keys"][0]["valid_until"] == "2027-01-31"
    assert policy.fingerprint != Policy.from_dict({**data, "version": "4"}).fingerprint


KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize(
    ("approval", "hint"),
    [
        ({"at_least": 0}, "greater than or equal to 1"),
        ({"keys": [{"name": "A", "role": "r", "public_key": "SECRET123"}]}, "32 bytes in base64"),
        ({"at_least": 2, "keys": [{"name": "A", "role": "r", "public_key": KEY}]}, "at least 2 persons"),
        ({"roles": ["x"], "keys": [{"name": "A", "role": "r", "public_key": KEY}]}, "a key for each of the roles"),
        ({"keys": [{"name": one, "role": "r", "public_key": KEY} for one in "AB"]}, "each public key once"),
        ({"keys": [{"name": "A", "rolle": "r", "public_key": KEY}]}, "Did you mean 'role'"),
        ({"keys": [{"name": "A", "role": "r", "public_key": KEY, "valid_until": "soon"}]}, "valid_until"),
    ],
)
def test_an_approval_that_nobody_could_give_is_refused(approval: dict[str, Any], hint: str) -> None:
    data = {"approval": approval, "thresholds": [{"metric": "margins", "at_least": 0.9}]}
    with pytest.raises(ScenarioError) as caught:
        Policy.from_dict(data)
    assert hint in str(caught.value)
    assert "SECRET123" not in str(caught.value)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_policies_are_sound(name: str) -> None:
    policy = checked(named(name))
    assert policy.name == name
    assert policy.purpose and policy.valid_days and policy.version
    for one in policy.thresholds:
        assert one.reason and one.source, f"{name}: {one.metric} has no reason or no source"
    assert policy_of(name) == policy


def test_policies_by_name_or_path(tmp_path: Path) -> None:
    assert policy_of(None) == Policy.default() == policy_of("default")
    (tmp_path / "mine.yaml").write_text(text_of("partner"))
    assert policy_of(tmp_path / "mine.yaml") == named("partner")
    with pytest.raises(ScenarioError, match="Did you mean 'public'"):
        policy_of("pubilc")
    with pytest.raises(ScenarioError, match="Did you mean 'partner'"):
        text_of("parnter")


@pytest.mark.parametrize(
    ("threshold", "hint"),
    [
        ({"metric": "membership_tpr", "at_least": 0.05}, "less is better"),
        ({"metric": "margins", "at_most": 0.9}, "more is better"),
        ({"metric": "exact_copies", "at_most": 9}, "from 0 to 1"),
        ({"metric": "exact_copies", "at_most": 1}, "nothing could miss it"),
        ({"metric": "margins", "at_least": 0}, "nothing could miss it"),
        ({"metric": "margins", "at_least": -5, "against": "reference"}, "smaller than 1"),
        ({"metric": "expert_review", "at_most": 0.2}, "more is better"),
    ],
)
def test_limits_that_would_let_everything_pass_are_refused(threshold: dict[str, Any], hint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        checked(Policy.from_dict({"thresholds": [threshold]}))
    assert hint in str(caught.value)
    assert "thresholds.0" in str(caught.value)


def test_every_unknown_metric_is_told_with_its_nearest() -> None:
    names = ["margns", "margins", "memberships", "nothing_like_it"]
    policy = Policy.from_dict({"thresholds": [{"metric": one, "at_least": 0.5} for one in names]})
    with pytest.raises(ScenarioError) as caught:
        checked(policy)
    assert len(caught.value.problems) == 3
    assert "Did you mean 'membership'" in str(caught.value)


def test_the_schema_of_a_policy_file_holds_for_the_shipped_ones() -> None:
    import jsonschema
    import yaml

    schema = Policy.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for name in SHIPPED:
        jsonschema.validate(yaml.safe_load(text_of(name)), schema)
    for bad in ({"thresholds": []}, {"thresholds": [{"metric": "m", "atmost": 1}]}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
