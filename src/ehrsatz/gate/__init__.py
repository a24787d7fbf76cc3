"""The gate: scores and findings against a policy's thresholds -> Verdict."""

from ehrsatz.gate.explain import Explanation, explain
from ehrsatz.gate.judge import FindingLike, ScoreLike, judge
from ehrsatz.gate.policy import REVIEW, RULES, Approval, Audience, Key, Policy, Power, Threshold
from ehrsatz.gate.shelf import SHIPPED, SIMULATED, checked, named, policy_of, text_of
from ehrsatz.gate.verdict import Check, Decision, Severity, State, Verdict

__all__ = [
    "REVIEW",
    "RULES",
    "SHIPPED",
    "SIMULATED",
    "Approval",
    "Audience",
    "Check",
    "Decision",
    "Explanation",
    "FindingLike",
    "Key",
    "Policy",
    "Power",
    "ScoreLike",
    "Severity",
    "State",
    "Threshold",
    "Verdict",
    "checked",
    "explain",
    "judge",
    "named",
    "policy_of",
    "text_of",
]
