"""What the gate decided, check by check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Decision = Literal["pass", "hold", "deny"]
Severity = Literal["hold", "deny"]


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
