"""The gate: scores and findings against a policy's thresholds -> Verdict."""

from ehrsatz.gate.judge import FindingLike, ScoreLike, judge
from ehrsatz.gate.policy import DEFAULT, RULES, Policy, Threshold, checked
from ehrsatz.gate.verdict import Check, Decision, Severity, Verdict

__all__ = [
    "DEFAULT",
    "RULES",
    "Check",
    "Decision",
    "FindingLike",
    "Policy",
    "ScoreLike",
    "Severity",
    "Threshold",
    "Verdict",
    "checked",
    "judge",
]
