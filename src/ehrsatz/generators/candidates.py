"""What `auto` may choose from: methods in their order of trial, settings to try, and what one fit is expected to cost.

A model of cost, not the clock, decides how many candidates fit a budget, so that the same data and seed give the same
choice on any machine. The lists are plain data: what `ehrsatz tune` finds good in general may be added to `SETTINGS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ehrsatz import registry
from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.errors import DataError
from ehrsatz.generators.base import KINDS, Generator

# Order of trial, and the settings to try of each method; further ones come after the first of every method.
CANDIDATES = ("trees", "bayesnet", "copula", "independent", "forest", "kde", "gibbs")
NETWORKS = ("autoregressive", "diffusion", "latentdiffusion", "flow", "vae", "vaegan", "gan")  # need torch
SETTINGS: Mapping[str, tuple[Mapping[str, Any], ...]] = {"trees": ({}, {"caution": 2.0}, {"caution": 0.5})}
# CPU seconds of one fit and sample, measured on one core: start, per million cells, per million cells and 100 columns
COST = {
    "independent": (0.1, 0.5, 0.0),
    "copula": (0.3, 1.0, 1.0),
    "bayesnet": (0.5, 3.0, 1.0),
    "trees": (0.5, 8.0, 2.0),
    "forest": (0.7, 4.0, 1.0),
    "kde": (0.25, 4.0, 0.0),
    "gibbs": (0.4, 7.0, 2.0),
    "autoregressive": (3.5, 8.0, 0.0),
    "diffusion": (6.0, 60.0, 0.0),  # the start is measured, on 569 rows; what cells add is assumed, on the high side
}
UNKNOWN_COST = (6.0, 60.0, 5.0)  # as the slowest that is known
FEWEST = 40  # subjects below which a comparison says nothing


@dataclass(frozen=True)
class Candidate:
    """A method with settings, and what one fit of it is expected to cost."""

    name: str
    settings: Mapping[str, Any]
    units: float

    def make(self) -> Generator:
        """Return a new, unfitted generator."""
        made: Generator = registry.find("generators", self.name)(**self.settings)
        return made

    def told(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"name": self.name, "settings": dict(self.settings), "units": self.units}


def candidates(core: Dataset, *, networks: bool) -> list[Candidate]:
    """Return what takes tables of this structure and so few subjects, and honours every condition, in order of trial.

    Parameters
    ----------
    core
        The tables.
    networks
        Whether those that need torch are among them.

    Raises
    ------
    DataError
        When there is none.
    """
    key = subject_key(core.schema, core.schema.parent)
    linked = len(core.schema.tables) > 1 or (key is not None and core.n_subjects < core.table.height)
    needs = {"static", "links"} if linked else {"static"}
    cells = sum(frame.height * frame.width for frame in core.tables.values()) / 1e6
    wide = max(frame.width for frame in core.tables.values()) / 100
    seen = core.n_subjects // 2 if core.n_subjects >= FEWEST else core.n_subjects  # subjects that a trial learns from
    found = []
    for name in (*CANDIDATES, *(NETWORKS if networks else ())):
        if name not in registry.BUILT_IN["generators"]:
            continue
        method = registry.find("generators", name)
        conditions = method.conditions and method.conditions_on >= KINDS
        if not (needs <= method.handles and conditions and method.least <= seen):
            continue
        start, per_cell, per_pair = COST.get(name, UNKNOWN_COST)
        units = round(start + cells * (per_cell + per_pair * wide), 3)
        found += [Candidate(name, dict(choice), units) for choice in SETTINGS.get(name, ({},))]
    if not found:
        raise DataError(
            "Expected tables that some method takes.",
            "None of the candidates takes this structure.",
            "List the methods with: ehrsatz doctor --list generators",
        )
    # first settings of every method before further settings of any
    firsts = [one for i, one in enumerate(found) if one.name not in {other.name for other in found[:i]}]
    return [*firsts, *(one for one in found if one not in firsts)]


def within_budget(able: Sequence[Candidate], budget: float) -> tuple[list[Candidate], list[Candidate]]:
    """Return the candidates that fit a budget one after the other, and those that do not; the cheapest always fits.

    Parameters
    ----------
    able
        In order of trial.
    budget
        CPU seconds by the model of cost.
    """
    tried: list[Candidate] = []
    dropped: list[Candidate] = []
    spent = 0.0
    for candidate in able:
        if spent + candidate.units <= budget:
            tried.append(candidate)
            spent += candidate.units
        else:
            dropped.append(candidate)
    if not tried:
        cheapest = min(able, key=lambda one: one.units)
        return [cheapest], [one for one in able if one is not cheapest]
    return tried, dropped
