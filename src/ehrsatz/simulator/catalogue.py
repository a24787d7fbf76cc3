"""The catalogue of observations: what is measured, how it is written, what is normal, and the panels it is ordered in.

`data/items.json` holds it. An item is read from a process of the body, computed by a formula from other reported
items, or, where no process stands behind it, drawn about a person's own mean among the healthy.
"""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from ehrsatz.clinical import CATEGORIES
from ehrsatz.errors import ScenarioError
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.module import Name, NonNegative, Part, Share, Source

FILE = Path(__file__).parent / "data" / "items.json"
OLDEST = 120
Formula = Literal[
    "weight", "body_mass_index", "bmi_percentile", "head_percentile", "weight_length_percentile",
    "mean_arterial_pressure", "ldl_friedewald", "ratio", "creatinine_ckdepi", "egfr_ckdepi", "anion_gap", "osmolality",
    "difference", "share", "hematocrit", "red_cells", "mch", "rdw", "differential", "share_of", "iron", "iron_binding",
    "percent", "prothrombin_time", "d_dimer", "fibrinogen", "henderson_hasselbalch", "base_excess", "severinghaus",
    "interleukin", "phq2", "audit_c", "fall_risk", "attribute", "parathyroid", "dipstick_protein", "dipstick_glucose",
    "pregnant",
]  # fmt: skip


class Noise(Part):
    """How readings of one level differ: day-to-day variation and measurement together; a ratio or in the unit."""

    cv: NonNegative | None = None
    sd: NonNegative | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.cv is None) == (self.sd is None):
            raise ValueError("expected either cv or sd")
        return self


class Healthy(Part):
    """How people's own means are spread where no process stands behind an item, or the shares of its words."""

    mean: float | None = None
    sd: NonNegative | None = None
    cv: NonNegative | None = None
    shares: tuple[Share, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.mean is None) == (not self.shares):
            raise ValueError("expected either mean or shares")
        if self.shares and abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError("expected shares that sum to 1")
        if self.mean is not None and (self.sd is None) == (self.cv is None):
            raise ValueError("expected either cv or sd with mean")
        return self


class Reference(Part):
    """A reference range, of one sex or both, between two ages (null: open)."""

    sex: Literal["female", "male"] | None = None
    ages: tuple[float, float | None] = (0.0, None)
    low: float | None = None
    high: float | None = None


class Critical(Part):
    """Limits at which somebody is called."""

    low: float | None = None
    high: float | None = None


class Item(Part):
    """One thing that is measured."""

    id: Name
    title: str
    loinc: str | None = Field(description="None: the lists have no code, and it is not written down.")
    unit: str | None
    decimals: Annotated[int, Field(ge=0, le=6)]
    category: str
    process: Name | None = None
    formula: Formula | None = None
    of: tuple[str, ...] = ()
    healthy: Healthy | None = None
    words: tuple[str, ...] = ()
    noise: Noise | None = None
    reference: tuple[Reference, ...] = ()
    critical: Critical | None = None
    source: Source

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.category not in CATEGORIES:
            raise ValueError(f"expected a category of: {', '.join(CATEGORIES)}")
        if self.process is not None and self.formula is not None:
            raise ValueError("expected a process or a formula, not both")
        if self.formula is not None and not self.of:
            raise ValueError("expected `of` with a formula")
        return self


class Panel(Part):
    """Items that are ordered together."""

    title: str
    loinc: str | None = None
    items: tuple[Name, ...] = Field(min_length=1)


class Catalogue(Part):
    """All items and panels; columns below are by position of an item."""

    about: str = ""
    sources: dict[str, str]
    items: tuple[Item, ...]
    panels: dict[str, Panel]

    @model_validator(mode="after")
    def _known(self) -> Self:
        ids = [one.id for one in self.items]
        if len(set(ids)) < len(ids):
            raise ValueError("expected each item once")
        for name, panel in self.panels.items():
            if unknown := sorted(set(panel.items) - set(ids)):
                raise ValueError(f"expected known items in panel {name}; unknown: {', '.join(unknown)}")
        if unknown := sorted({one.source for one in self.items} - set(self.sources)):
            raise ValueError(f"expected every source among the sources; absent: {', '.join(unknown)}")
        return self

    @cached_property
    def place(self) -> dict[str, int]:
        """Id -> position."""
        return {one.id: k for k, one in enumerate(self.items)}

    @cached_property
    def codes(self) -> list[str]:
        """LOINC codes, blank where an item is not written down."""
        return [one.loinc or "" for one in self.items]

    @property
    def categories(self) -> list[str]:
        """Of clinical.CATEGORIES."""
        return [one.category for one in self.items]

    @property
    def units(self) -> list[str | None]:
        """UCUM."""
        return [one.unit for one in self.items]

    @cached_property
    def decimals(self) -> Ints:
        """Digits after the point."""
        return np.array([one.decimals for one in self.items], np.int64)

    @cached_property
    def _ranges(self) -> Floats:
        """Low, high, critical low, critical high (4, items, 2, ages), NaN: none."""
        out = np.full((4, len(self.items), 2, OLDEST * 4), np.nan)  # quarters of a year
        quarter = np.arange(OLDEST * 4) / 4 + 0.125
        for k, one in enumerate(self.items):
            for part in one.reference:
                last = np.inf if part.ages[1] is None else part.ages[1]
                inside = (quarter >= part.ages[0]) & (quarter < last)
                for s, sex in enumerate(("female", "male")):
                    if part.sex in (None, sex):
                        out[0, k, s, inside] = np.nan if part.low is None else part.low
                        out[1, k, s, inside] = np.nan if part.high is None else part.high
            if one.critical is not None:
                out[2, k] = np.nan if one.critical.low is None else one.critical.low
                out[3, k] = np.nan if one.critical.high is None else one.critical.high
        return out

    def ranges(self, item: Ints, sex: Ints, age: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return low and high ends of the reference range and of the critical range (R,), NaN: none.

        Parameters
        ----------
        item
            (R,) positions.
        sex
            (R,) 0 female, 1 male.
        age
            (R,) in years.
        """
        quarter = np.clip(age * 4, 0, OLDEST * 4 - 1).astype(np.int64)
        flat = self._ranges.reshape(4, -1)
        at = (np.asarray(item, np.int64) * 2 + sex) * (OLDEST * 4) + quarter
        return flat[0].take(at), flat[1].take(at), flat[2].take(at), flat[3].take(at)


@lru_cache(maxsize=2)
def catalogue(path: Path = FILE) -> Catalogue:
    """Read a catalogue.

    Raises
    ------
    ScenarioError
        When it has an unknown key, a wrong value or an unknown name, with the place of each.
    """
    try:
        return Catalogue.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    except (OSError, ValueError):
        problems = ["it cannot be read as JSON"]
    raise ScenarioError(
        "Expected a catalogue of observations.",
        f"{path.name}: {len(problems)} problem{'s' if len(problems) > 1 else ''} found.",
        "Correct what is named below.",
        problems=problems,
    )
