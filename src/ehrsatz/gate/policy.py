"""Policies: thresholds that a release must keep, as data.

A policy is a list of thresholds, one per metric: a limit, on which number it is held against (the value, or an end of
its interval), whether absolute or as a distance from the reference (what real data itself scores), and what follows
when it is missed: hold (a person decides) or deny (no row leaves).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ehrsatz import registry
from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.gate.verdict import Severity
from ehrsatz.scenario import read_text, read_yaml, validated

RULES = "rules_kept"  # the policy's name for the share of rows that keep a constraint


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
