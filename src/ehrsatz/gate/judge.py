"""Scores and findings against a policy's thresholds -> Verdict. What was not measured has not passed: it holds.

Small tables have wide intervals. A threshold with `judge: lenient` is missed only when the whole interval lies beyond
the limit, so that noise alone neither holds nor denies; with `judge: strict` it is kept only when the whole interval
lies within.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ehrsatz.gate.policy import RULES, Policy, Threshold
from ehrsatz.gate.verdict import Check, Decision, Severity, Verdict


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


def judge(evaluation: Any, policy: Policy | None = None) -> Verdict:
    """Hold an evaluation's scores and findings against a policy.

    Parameters
    ----------
    evaluation
        Anything with `scores`, where constraints were checked with `findings`, and with `details` that say how many
        subjects there were.
    policy
        The built-in policy where None.

    Returns
    -------
    The verdict: deny where a denying threshold is missed, else hold where a holding one is missed, inconclusive or a
    metric of the policy was not measured, else pass.
    """
    rules = policy or Policy.default()
    scores: Sequence[ScoreLike] = tuple(evaluation.scores)
    findings: Sequence[FindingLike] = tuple(getattr(evaluation, "findings", ()))
    subjects = _holdout(getattr(evaluation, "details", None))
    checks: list[Check] = []
    for threshold in rules.thresholds:
        if threshold.metric == RULES:
            checks += _check_rules(threshold, findings)
            continue
        measured = [score for score in scores if score.metric == threshold.metric]
        checks += [_check(threshold, score, len(measured) > 1, subjects) for score in measured] or [
            _unmeasured(threshold, threshold.metric, "it was not measured, and what was not measured has not passed.")
        ]
    missed = {check.severity for check in checks if check.passed is False}
    decision: Decision = "deny" if "deny" in missed else "hold" if missed else "pass"
    if not any(check.passed for check in checks):
        decision = "deny" if decision == "deny" else "hold"
    return Verdict(decision, tuple(checks), rules.to_dict())


def _holdout(details: Any) -> int | None:
    """Subjects of the holdout, where the evaluation says how many there were."""
    told = details.get("subjects") if isinstance(details, Mapping) else None
    found = told.get("holdout") if isinstance(told, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _made(threshold: Threshold, name: str, passed: bool | None, reason: str, severity: Severity, **rest: Any) -> Check:
    """A check with everything that the threshold itself says filled in."""
    return Check(
        name,
        passed,
        rest.pop("value", None),
        threshold.text,
        reason,
        severity,
        metric=threshold.metric,
        source=threshold.source,
        limit=threshold.limit,
        side=threshold.side,
        against=threshold.against,
        judge=threshold.judge,
        power=None if threshold.power is None else threshold.power.model_dump(exclude_none=True),
        **rest,
    )


def _check(threshold: Threshold, score: ScoreLike, several: bool, subjects: int | None) -> Check:
    name = _named(score) if several else score.metric
    if score.status == "not_applicable" and threshold.when_not_applicable == "skip":
        why = f" ({score.meaning.strip().rstrip('.')})" if score.meaning else ""
        reason = f"it does not apply to these data{why}; the policy goes on without it."
        params = dict(score.params)
        return _made(threshold, name, None, reason, threshold.severity, params=params, state="does not apply")
    if score.status != "measured" or score.value is None or not math.isfinite(score.value):
        what = "does not apply to these data" if score.status == "not_applicable" else "could not be measured"
        why = f" ({score.meaning.strip().rstrip('.')})" if score.meaning else ""
        return _unmeasured(threshold, name, f"it {what}{why}, and what was not measured has not passed.", score)
    number = _judged(threshold, score, threshold.judge)
    if number is None:
        lacking = "has no interval" if threshold.judge != "value" and score.interval is None else "has no reference"
        return _unmeasured(threshold, name, f"it {lacking}, which the threshold needs.", score)
    ends = _ends(threshold, score)
    rest: dict[str, Any] = {
        "value": _rounded(score.value),
        "judged": number,
        "reference": None if score.reference is None else _rounded(score.reference),
        "params": dict(score.params),
        "interval": None if score.interval is None else (_rounded(score.interval[0]), _rounded(score.interval[1])),
        "ends": None if ends is None else (_rounded(ends[0]), _rounded(ends[1])),
        "margin": _rounded(threshold.limit - number if threshold.side == "at most" else number - threshold.limit),
    }
    weak = _weakness(threshold, ends, subjects)
    best = _judged(threshold, score, "lenient")
    if weak and (best is None or threshold.keeps(best)):
        reason = f"{_number(score.value)} {weak}: too little to tell, and what cannot be told has not passed."
        return _made(threshold, name, False, reason, "hold", state="inconclusive", **rest)
    passed = threshold.keeps(number)
    own = _judged(threshold, score, "value")
    by_chance = passed and own is not None and not threshold.keeps(own)
    reason = _account(threshold, score, passed, by_chance)
    reason += f" {threshold.reason}" if threshold.reason and not passed else ""
    state = "passed" if passed else "missed"
    return _made(threshold, name, passed, reason, threshold.severity, by_chance=by_chance, state=state, **rest)


def _weakness(threshold: Threshold, ends: Sequence[float] | None, subjects: int | None) -> str:
    """Say what the number lacks of the power that the policy asks for, or nothing."""
    power = threshold.power
    if power is None:
        return ""
    if power.max_half_width is not None:
        if ends is None:
            return f"has no interval, where the policy asks for one of {power.max_half_width:g} to either side or less"
        half = _rounded((ends[1] - ends[0]) / 2)
        if half > power.max_half_width:
            asked = f"{power.max_half_width:g} or less"
            return f"is known to {_number(half)} on either side, where the policy asks for {asked}"
    if power.at_least_subjects is not None:
        if subjects is None:
            return (
                f"comes without the number of holdout subjects, where the policy asks for {power.at_least_subjects:,}"
            )
        if subjects < power.at_least_subjects:
            return f"rests on {subjects:,} holdout subjects, where the policy asks for {power.at_least_subjects:,}"
    return ""


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


def _judged(threshold: Threshold, score: ScoreLike, how: str) -> float | None:
    """The number to hold against the limit: value or end of the interval, or their distance from the reference."""
    relative = threshold.against == "reference"
    if relative and (score.reference is None or not math.isfinite(score.reference)):
        return None
    if how == "value":
        shift = (score.reference or 0.0) if relative else 0.0
        return None if score.value is None else _rounded(score.value - shift)
    ends = _ends(threshold, score)
    if ends is None:
        return None
    return _rounded(ends[0] if (threshold.side == "at most") == (how == "lenient") else ends[1])


def _ends(threshold: Threshold, score: ScoreLike) -> Sequence[float] | None:
    """Ends of the interval of what is judged.

    Where a score gives the interval of the distance from the reference itself (`excess_interval`), its ends are taken:
    it is narrower.
    """
    relative = threshold.against == "reference"
    ends: Sequence[float] | None = score.details.get("excess_interval") if relative else None
    if ends is None and score.interval is not None and not (relative and score.reference is None):
        ends = [end - ((score.reference or 0.0) if relative else 0.0) for end in score.interval]
    return ends


def _check_rules(threshold: Threshold, findings: Iterable[FindingLike]) -> list[Check]:
    """One check for all constraints that are kept, and one for each that is not."""
    shares = [(one, _rounded(1.0 - one.n_failed / one.n_checked if one.n_checked else 1.0)) for one in findings]
    kept = [share for _, share in shares if threshold.keeps(share)]
    checks = []
    if kept:
        least = min(kept)
        reason = f"{len(kept):,} of {len(shares):,} rules are kept, each in at least {100 * least:.4g} % of the rows."
        far = {"value": least, "judged": least, "margin": _rounded(least - threshold.limit)}
        checks.append(_made(threshold, RULES, True, reason, threshold.severity, **far))
    for finding, share in shares:
        if not threshold.keeps(share):
            reason = f"{finding.n_failed:,} of {finding.n_checked:,} rows break the rule. {threshold.reason}".rstrip()
            name = f"{RULES} ({finding.rule})"
            far = {"value": share, "judged": share, "margin": _rounded(share - threshold.limit)}
            checks.append(_made(threshold, name, False, reason, threshold.severity, state="missed", **far))
    return checks


def _unmeasured(threshold: Threshold, name: str, reason: str, score: ScoreLike | None = None) -> Check:
    """A check that did not pass because there is nothing to judge: it holds, whatever a miss would do."""
    params = dict(score.params) if score else None
    return _made(threshold, name, False, reason, "hold", params=params, state="not measured")


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
