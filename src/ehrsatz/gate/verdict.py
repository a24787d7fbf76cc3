"""What the gate decided, check by check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Decision = Literal["pass", "hold", "deny"]
Severity = Literal["hold", "deny"]
State = Literal["passed", "missed", "inconclusive", "not measured", "does not apply"]


@dataclass(frozen=True)
class Check:
    """One threshold held against one number.

    Parameters
    ----------
    name
        The metric, with what was set where it was measured in several ways.
    passed
        None where the metric does not apply to these data and the policy says to go on.
    value
        The measured number.
    threshold
        The limit in words.
    reason
        What was found, in a sentence.
    severity
        What follows where it did not pass: hold or deny.
    judged
        What was compared with the limit: the value, an end of its interval, or a difference from the reference.
    reference
        What real data itself scores.
    params
        What was set in the metric.
    by_chance
        The value itself is beyond the limit, by no more than its interval explains.
    metric
        Registry name of the metric.
    state
        How it went. Inconclusive: measured, but with too few subjects for the policy to believe it.
    interval
        95 % interval of the value.
    ends
        95 % interval of what is judged: of the difference from the reference, where that is what the limit is about.
    source
        Where the limit comes from.
    margin
        How far `judged` lies within the limit; negative beyond it.
    limit, side, against, judge
        The threshold in numbers: its limit, "at most" or "at least", and what is held against it.
    power
        What the policy asks of the number of subjects, where it does.
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
    metric: str = ""
    state: State = "passed"
    interval: tuple[float, float] | None = None
    ends: tuple[float, float] | None = None
    source: str = ""
    margin: float | None = None
    limit: float | None = None
    side: Literal["at most", "at least"] = "at most"
    against: str = "absolute"
    judge: str = "value"
    power: Mapping[str, Any] | None = None


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
    def objections(self) -> tuple[Check, ...]:
        """The checks that did not pass: the denying ones first, what was missed before what is not known."""
        failed = [check for check in self.checks if check.passed is False]
        return tuple(sorted(failed, key=lambda check: (check.severity, check.state != "missed")))

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence per check that did not pass, the denying ones first."""
        return tuple(f"{one.name}: {one.reason}" for one in self.objections)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "decision": self.decision,
            "passed": self.passed,
            "reasons": list(self.reasons),
            "checks": [asdict(check) for check in self.checks],
            "policy": dict(self.policy),
        }
