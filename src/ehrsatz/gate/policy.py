"""Policies: thresholds that a release must keep, as data.

A policy is a list of thresholds: a metric, its limit, on which number it is held against (the value, or an end of its
interval), whether absolute or as a distance from the reference (what real data itself scores), and what follows when
it is missed: hold (a person decides) or deny (no row leaves). It says for whom it is (`audience`), why each limit is
there (`reason`) and where it comes from (`source`), how many subjects it takes to believe a number (`power`), and who
must approve (`approval`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ehrsatz.gate.verdict import Severity
from ehrsatz.scenario import read_text, read_yaml, validated

RULES = "rules_kept"  # the policy's name for the share of rows that keep a constraint
REVIEW = "expert_review"  # the policy's name for what people found who read a sheet of records
Audience = Literal["internal", "contracted", "public"]
_FROZEN = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Power(BaseModel):
    """How well a number must be known before it can pass; otherwise the check is inconclusive and holds."""

    model_config = _FROZEN

    max_half_width: float | None = Field(
        default=None, gt=0, description="The widest half of the 95 % interval that is believed."
    )
    at_least_subjects: int | None = Field(default=None, ge=1, description="Holdout subjects that it takes at least.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.max_half_width is None and self.at_least_subjects is None:
            raise ValueError("expected max_half_width or at_least_subjects")
        return self


class Threshold(BaseModel):
    """One limit on one metric."""

    model_config = _FROZEN

    metric: str = Field(description="Name of a metric, rules_kept for the constraints of the schema, or expert_review.")
    at_most: float | None = Field(default=None, allow_inf_nan=False, description="The largest number that passes.")
    at_least: float | None = Field(default=None, allow_inf_nan=False, description="The smallest number that passes.")
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
    power: Power | None = Field(default=None, description="How well the number must be known to pass.")
    reason: str = Field(default="", description="Why the limit is there, for the reader of the verdict.")
    source: str = Field(default="", description="Where the limit comes from: a citation, or 'house' and why.")

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("expected exactly one of at_most and at_least")
        return self

    @property
    def limit(self) -> float:
        """The number of the limit."""
        return self.at_most if self.at_most is not None else self.at_least or 0.0

    @property
    def side(self) -> Literal["at most", "at least"]:
        """Which side of the limit passes."""
        return "at most" if self.at_most is not None else "at least"

    @property
    def text(self) -> str:
        """The limit in words."""
        if self.against == "absolute":
            return f"{self.side} {self.limit:g}"
        side = "above" if self.at_most is not None else "below"
        far = self.limit if self.at_most is not None else -self.limit
        if far >= 0:
            return f"not more than {far:g} {side} real data"
        return f"at least {-far:g} {'below' if side == 'above' else 'above'} real data"

    def keeps(self, number: float) -> bool:
        """Whether a number is within the limit; the limit itself is."""
        return number <= self.limit if self.at_most is not None else number >= self.limit


class Key(BaseModel):
    """A person who may approve, and the public half of the key that the approval is signed with."""

    model_config = _FROZEN

    name: str = Field(min_length=1, description="Who holds the key.")
    role: str = Field(min_length=1, description="In which role that person approves.")
    public_key: str = Field(description="Ed25519 public key, 32 bytes in base64.")
    valid_until: date | None = Field(default=None, description="Last day on which the key may sign.")

    @field_validator("public_key")
    @classmethod
    def _is_a_key(cls, text: str) -> str:
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != 32:
            raise ValueError("expected an Ed25519 public key, 32 bytes in base64")
        return text


class Approval(BaseModel):
    """Who must approve before a release leaves."""

    model_config = _FROZEN

    at_least: int = Field(default=1, ge=1, description="How many persons.")
    roles: tuple[str, ...] = Field(default=(), description="Roles that must be among them.")
    keys: tuple[Key, ...] = Field(default=(), description="Who they may be; without keys nobody can approve yet.")

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if not self.keys:
            return self  # a template: the house names its own people
        if len({key.public_key for key in self.keys}) < len(self.keys):
            raise ValueError("expected each public key once: one person must not count as two")
        if len({key.name for key in self.keys}) < max(self.at_least, 1):
            raise ValueError(f"expected keys of at least {self.at_least} persons, as at_least asks for")
        lacking = [role for role in self.roles if role not in {key.role for key in self.keys}]
        if lacking:
            raise ValueError(f"expected a key for each of the roles; {len(lacking)} of {len(self.roles)} have none")
        return self


class Policy(BaseModel):
    """Thresholds that a release must keep."""

    model_config = _FROZEN

    name: str = Field(default="unnamed", description="Name of the policy, shown in the verdict.")
    version: str = Field(default="1", description="Version of the policy, to be raised with each change.")
    purpose: str = Field(default="", description="What data that pass are for.")
    audience: Audience = Field(default="internal", description="Who will see the data: the house, a partner, anybody.")
    valid_days: int | None = Field(default=None, ge=1, description="Days after which a release is to be judged anew.")
    approval: Approval | None = Field(default=None, description="Who must approve; nobody where it is absent.")
    thresholds: tuple[Threshold, ...] = Field(min_length=1, description="At least one.")

    @classmethod
    def default(cls) -> Policy:
        """Return the built-in policy that holds where none is named."""
        from ehrsatz.gate.shelf import named

        return named("default")

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

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a policy file."""
        return cls.model_json_schema()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
