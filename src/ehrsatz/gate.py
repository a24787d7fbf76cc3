"""Scores and findings against a policy's thresholds -> Verdict.

A policy is a list of thresholds, one per metric: a limit, on which number it is held against (the value, or an end of
its interval), whether absolute or as a distance from the reference (what real data itself scores), and what follows
when it is missed: hold (a person decides) or deny (no row leaves). What was not measured has not passed: it holds.

Small tables have wide intervals. A threshold with `judge: lenient` is missed only when the whole interval lies beyond
the limit, so that noise alone neither holds nor denies; with `judge: strict` it is kept only when the whole interval
lies within.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ehrsatz import registry
from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.scenario import read_text, read_yaml, validated

Decision = Literal["pass", "hold", "deny"]
Severity = Literal["hold", "deny"]
RULES = "rules_kept"  # the policy's name for the share of rows that keep a constraint


class ScoreLike(Protocol):
    """What the gate needs of a score: the fields of `evaluation.base.Score`."""

    @property
    def metric(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...
    @property
    def reference(self) -> float | None: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def status(self) -> str: ...
    @property
    def meaning(self) -> str: ...
    @property
    def details(self) -> Mapping[str, Any]: ...


class FindingLike(Protocol):
    """What the gate needs of a finding: the fields of `rules.base.Finding`."""

    @property
    def rule(self) -> str: ...
    @property
    def n_checked(self) -> int: ...
    @property
    def n_failed(self) -> int: ...


class Threshold(BaseModel):
    """One limit on one metric."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    metric: str = Field(description="Name of a metric, or rules_kept for the constraints of the schema.")
    at_most: float | None = Field(default=None, description="The largest number that passes.")
    at_least: float | None = Field(default=None, description="The smallest number that passes.")
    against: Literal["absolute", "reference"] = Field(
        default="absolute", description="Limit the number itself, or its difference from the reference."
    )
    judge: Literal["value", "lenient", "strict"] = Field(
        default="value", description="Hold the limit against the value, or the better or worse end of its interval."
    )
    severity: Severity = Field(default="hold", description="What follows when the limit is missed.")
    when_not_applicable: Literal["hold", "skip"] = Field(
        default="hold", description="What follows when the metric does not apply to these data."
    )
    reason: str = Field(default="", description="Why the limit is there, for the reader of the verdict.")

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("expected exactly one of at_most and at_least")
        return self

    @property
    def text(self) -> str:
        """The limit in words."""
        limit = self.at_most if self.at_most is not None else self.at_least or 0.0
        if self.against == "absolute":
            return f"at {'most' if self.at_most is not None else 'least'} {limit:g}"
        side = "above" if self.at_most is not None else "below"
        far = limit if self.at_most is not None else -limit
        if far >= 0:
            return f"not more than {far:g} {side} real data"
        return f"at least {-far:g} {'below' if side == 'above' else 'above'} real data"

    def keeps(self, number: float) -> bool:
        """Whether a number is within the limit; the limit itself is."""
        return number <= self.at_most if self.at_most is not None else number >= (self.at_least or 0.0)


class Policy(BaseModel):
    """Thresholds that a release must keep."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(default="unnamed", description="Name of the policy, shown in the verdict.")
    thresholds: tuple[Threshold, ...] = Field(min_length=1, description="At least one.")

    @classmethod
    def default(cls) -> Policy:
        """Return the built-in policy; its reasons stand in `gate.DEFAULT`."""
        return cls.model_validate(DEFAULT)

    @classmethod
    def from_dict(cls, data: Any) -> Policy:
        """Read a policy from plain mappings.

        Raises
        ------
        ScenarioError
            With every unknown key and wrong value, by place.
        """
        policy: Policy = validated(cls, data if isinstance(data, Mapping) else {}, "policy")
        return policy

    @classmethod
    def from_file(cls, path: str | Path) -> Policy:
        """Read a policy file in YAML.

        Raises
        ------
        ScenarioError
            When it cannot be read, or is no policy.
        """
        return cls.from_dict(read_yaml(read_text(path, "a policy file"), "a policy"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types that `from_dict` reads back."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Check:
    """One threshold held against one number.

    `passed` is None where the metric does not apply to these data and the policy says to go on. `value` is the
    measured number, `judged` what was compared with the limit (an end of the interval, or a difference); `by_chance`
    says that the value itself is beyond the limit, by no more than its interval explains.
    """

    name: str
    passed: bool | None
    value: float | None
    threshold: str
    reason: str
    severity: Severity
    judged: float | None = None
    reference: float | None = None
    params: Mapping[str, Any] | None = None
    by_chance: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, check by check."""

    decision: Decision
    checks: tuple[Check, ...]
    policy: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether the release may leave."""
        return self.decision == "pass"

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence per check that did not pass, the denying ones first."""
        failed = [check for check in self.checks if check.passed is False]
        return tuple(f"{one.name}: {one.reason}" for one in sorted(failed, key=lambda check: check.severity))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "decision": self.decision,
            "passed": self.passed,
            "reasons": list(self.reasons),
            "checks": [asdict(check) for check in self.checks],
            "policy": dict(self.policy),
        }


def checked(policy: Policy) -> Policy:
    """Return the policy if there is a metric for each of its thresholds.

    Raises
    ------
    ScenarioError
        For a name that is no metric: a misspelt limit would hold every release, and deny none.
    """
    names = [*registry.names("metrics"), RULES]
    unknown = [one.metric for one in policy.thresholds if one.metric not in names]
    if unknown:
        raise ScenarioError(
            f"Expected thresholds of these metrics: {', '.join(names)}.",
            f"'{unknown[0]}' is none of them.{nearest(unknown[0], names)}",
            "Correct the policy.",
        )
    return policy


def judge(evaluation: Any, policy: Policy | None = None) -> Verdict:
    """Hold an evaluation's scores and findings against a policy.

    Parameters
    ----------
    evaluation
        Anything with `scores`, and where constraints were checked with `findings`.
    policy
        The built-in policy where None.

    Returns
    -------
    The verdict: deny where a denying threshold is missed, else hold where a holding one is missed or a metric of the
    policy was not measured, else pass.
    """
    rules = policy or Policy.default()
    scores: Sequence[ScoreLike] = tuple(evaluation.scores)
    findings: Sequence[FindingLike] = tuple(getattr(evaluation, "findings", ()))
    checks: list[Check] = []
    for threshold in rules.thresholds:
        if threshold.metric == RULES:
            checks += _check_rules(threshold, findings)
            continue
        measured = [score for score in scores if score.metric == threshold.metric]
        checks += [_check(threshold, score, len(measured) > 1) for score in measured] or [
            _unmeasured(threshold, threshold.metric, "it was not measured, and what was not measured has not passed.")
        ]
    missed = {check.severity for check in checks if check.passed is False}
    decision: Decision = "deny" if "deny" in missed else "hold" if missed else "pass"
    if not any(check.passed for check in checks):
        decision = "deny" if decision == "deny" else "hold"
    return Verdict(decision, tuple(checks), rules.to_dict())


def _check(threshold: Threshold, score: ScoreLike, several: bool) -> Check:
    name = _named(score) if several else score.metric
    if score.status == "not_applicable" and threshold.when_not_applicable == "skip":
        reason = "it does not apply to these data; the policy goes on without it."
        return Check(name, None, None, threshold.text, reason, threshold.severity, params=dict(score.params))
    if score.status != "measured" or score.value is None or not math.isfinite(score.value):
        what = "does not apply to these data" if score.status == "not_applicable" else "could not be measured"
        why = f" ({score.meaning.strip().rstrip('.')})" if score.meaning else ""
        return _unmeasured(threshold, name, f"it {what}{why}, and what was not measured has not passed.", score)
    number = _judged(threshold, score)
    if number is None:
        lacking = "has no interval" if threshold.judge != "value" and score.interval is None else "has no reference"
        return _unmeasured(threshold, name, f"it {lacking}, which the threshold needs.", score)
    passed = threshold.keeps(number)
    own = _judged(threshold.model_copy(update={"judge": "value"}), score)
    by_chance = passed and own is not None and not threshold.keeps(own)
    reason = _account(threshold, score, passed, by_chance)
    return Check(
        name,
        passed,
        _rounded(score.value),
        threshold.text,
        reason + (f" {threshold.reason}" if threshold.reason and not passed else ""),
        threshold.severity,
        number,
        None if score.reference is None else _rounded(score.reference),
        dict(score.params),
        by_chance,
    )


def _account(threshold: Threshold, score: ScoreLike, passed: bool, by_chance: bool) -> str:
    """Say in a sentence what was found and how it lies to the limit."""
    told = _number(score.value or 0.0)
    if score.reference is not None and threshold.against == "reference":
        told += f", where real data score {_number(score.reference)},"
    told += f" is {'within' if passed and not by_chance else 'beyond'} the limit, {threshold.text}"
    if threshold.judge == "value":
        return f"{told}."
    if threshold.judge == "lenient":
        if by_chance:
            return f"{told}, by no more than chance explains."
        return f"{told}." if passed else f"{told}, and by more than chance explains."
    return f"{told}, at both ends of its interval." if passed else f"{told}, at one end of its interval at least."


def _judged(threshold: Threshold, score: ScoreLike) -> float | None:
    """The number to hold against the limit: value or end of the interval, or their distance from the reference.

    Where a score gives the interval of the distance itself (`excess_interval`), its ends are taken: it is narrower.
    """
    relative = threshold.against == "reference"
    if relative and (score.reference is None or not math.isfinite(score.reference)):
        return None
    shift = (score.reference or 0.0) if relative else 0.0
    if threshold.judge == "value":
        return None if score.value is None else _rounded(score.value - shift)
    ends = score.details.get("excess_interval") if relative else None
    if ends is None and score.interval is not None:
        ends = [end - shift for end in score.interval]
    if ends is None:
        return None
    return _rounded(ends[0] if (threshold.at_most is not None) == (threshold.judge == "lenient") else ends[1])


def _check_rules(threshold: Threshold, findings: Iterable[FindingLike]) -> list[Check]:
    """One check for all constraints that are kept, and one for each that is not."""
    shares = [(one, _rounded(1.0 - one.n_failed / one.n_checked if one.n_checked else 1.0)) for one in findings]
    kept = [share for _, share in shares if threshold.keeps(share)]
    checks = []
    if kept:
        least = min(kept)
        reason = f"{len(kept):,} of {len(shares):,} rules are kept, each in at least {100 * least:.4g} % of the rows."
        checks.append(Check(RULES, True, least, threshold.text, reason, threshold.severity, least))
    for finding, share in shares:
        if not threshold.keeps(share):
            reason = f"{finding.n_failed:,} of {finding.n_checked:,} rows break the rule. {threshold.reason}".rstrip()
            name = f"{RULES} ({finding.rule})"
            checks.append(Check(name, False, share, threshold.text, reason, threshold.severity, share))
    return checks


def _unmeasured(threshold: Threshold, name: str, reason: str, score: ScoreLike | None = None) -> Check:
    """A check that did not pass because there is nothing to judge: it holds, whatever a miss would do."""
    return Check(name, False, None, threshold.text, reason, "hold", params=dict(score.params) if score else None)


def _named(score: ScoreLike) -> str:
    told = ", ".join(f"{value}" for _, value in sorted(score.params.items()) if isinstance(value, str))
    return f"{score.metric} ({told})" if told else score.metric


def _rounded(value: float) -> float:
    """Keep nine digits: scores in memory and scores read back from a file are judged alike."""
    return float(f"{value:.9g}")


def _number(value: float) -> str:
    if abs(value) < 1e-6:
        return "0"
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) >= 0.001 else f"{value:.2g}"


def _limit(
    metric: str, reason: str, at_most: float | None = None, severity: Severity = "hold", **rest: Any
) -> dict[str, Any]:
    upper = {} if at_most is None else {"at_most": at_most}
    return {"metric": metric, "judge": "lenient", "reason": reason, "severity": severity, **upper, **rest}


# The built-in policy. Its limits lie between what sound and what leaking generators reach on public tables: a further
# real sample scores about 0.51 in membership and 0.50 in dcr_share, plain regression trees up to 0.61 and 0.66, a copy
# of the training rows 1. Fidelity is held against real data of the same size, for small tables are unlike themselves.
DEFAULT: dict[str, Any] = {
    "name": "default",
    "thresholds": [
        _limit("exact_copies", "Rows repeat people whom the generator saw.", 0.01, "deny", against="reference"),
        _limit(
            "near_copies", "Rows lie too close to people whom the generator saw.", 0.03, "deny", against="reference"
        ),
        _limit("dcr_share", "Rows are drawn to the people whom the generator saw.", 0.60, "deny"),
        _limit("dcr_share", "Rows are somewhat drawn to the people whom the generator saw.", 0.55),
        _limit("membership", "An attacker can tell who was in the training data.", 0.60, "deny"),
        _limit("membership", "An attacker has a hint at who was in the training data.", 0.55),
        _limit("membership_tpr", "Some people stand out as training subjects.", 0.05, when_not_applicable="skip"),
        _limit("margins", "Single columns are not like the real ones.", at_least=-0.05, against="reference"),
        _limit("worst_margin", "One column is not like the real one.", at_least=-0.15, against="reference"),
        _limit("missingness", "Cells are missing more or less often than in real data.", 0.03, against="reference"),
        _limit("detection", "Rows are too easily told from real ones.", 0.80),
        _limit("coverage", "Parts of the real population are not represented.", at_least=-0.15, against="reference"),
        _limit("tstr_gap", "Models trained on the rows predict worse.", 0.05, when_not_applicable="skip"),
        {"metric": RULES, "at_least": 0.99, "reason": "Rows break a rule that the real data keep."},
    ],
}
