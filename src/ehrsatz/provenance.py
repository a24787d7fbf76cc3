"""Where data came from: an origin and the steps since."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Origin = Literal["real", "simulated", "generated", "mixed"]


@dataclass(frozen=True)
class Step:
    """One thing that was done to data: no clock time, no host, no cell value."""

    action: str
    name: str
    version: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    input_fingerprint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the step as plain JSON types."""
        return {
            "action": self.action,
            "name": self.name,
            "version": self.version,
            "params": self.params,
            "seed": self.seed,
            "input_fingerprint": self.input_fingerprint,
        }


@dataclass(frozen=True)
class Provenance:
    """Origin of a dataset and the steps since; exporters refuse origin "real" unless told otherwise."""

    origin: Origin
    steps: tuple[Step, ...] = ()

    def then(self, step: Step, *, origin: Origin | None = None) -> Provenance:
        """Return the provenance after one more step, with a new origin where one is given."""
        return replace(self, origin=origin or self.origin, steps=(*self.steps, step))

    def as_dict(self) -> dict[str, Any]:
        """Return origin and steps as plain JSON types."""
        return {"origin": self.origin, "steps": [step.as_dict() for step in self.steps]}
