"""Pick the method for a table: fit candidates on one half, compare them on the other, keep the best that is private.

Candidates stand in a fixed order; a model of their cost, not the clock, decides how many fit the budget, so that the
same data and seed give the same choice on any machine. A candidate is admitted when its synthetic rows lie no nearer
to the rows it saw than to the other half (share of nearer rows, and membership AUC), beyond chance; among those the
one with the smallest total variation over pairs and triples of columns wins, and is fitted again on all rows. What
was tried and why one was picked stands in `report_`.

Reference: none for the choice; the scores are those of Yale et al., Neurocomputing 416 (2020),
doi:10.1016/j.neucom.2019.12.136 (nearest-neighbour adversarial accuracy), in one-sided form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import registry
from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.errors import DataError
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.heldout import Yardstick, slack_of_auc, slack_of_share
from ehrsatz.provenance import Provenance
from ehrsatz.schema import MIN_SUBJECTS

# Order of trial, and the settings to try of each method; further ones come after the first of every method.
CANDIDATES = ("trees", "bayesnet", "copula", "independent")
SETTINGS: Mapping[str, tuple[Mapping[str, Any], ...]] = {"trees": ({}, {"caution": 2.0}, {"caution": 0.5})}
# CPU seconds of one fit and sample, measured on one core: start, per million cells, per million cells and 100 columns
_COST = {
    "independent": (0.1, 0.5, 0.0),
    "copula": (0.3, 1.0, 1.0),
    "bayesnet": (0.5, 3.0, 1.0),
    "trees": (0.5, 8.0, 2.0),
}
_UNKNOWN_COST = (1.0, 20.0, 5.0)
_TRIAL_SUBJECTS = 20_000  # a comparison needs no more
_FEWEST = 40  # subjects below which a comparison says nothing


@dataclass(frozen=True)
class Candidate:
    """A method with settings, and what one fit of it is expected to cost."""

    name: str
    settings: Mapping[str, Any]
    units: float

    def make(self) -> Generator:
        """Return a new, unfitted generator."""
        return registry.find("generators", self.name)(**self.settings)


class Auto(Generator):
    """Pick among the other methods by held-out scores under limits on privacy.

    Parameters
    ----------
    budget
        CPU seconds, by a fixed model of cost, that all trials together may take; at least one candidate is tried.
    most_near
        Largest share of synthetic rows nearer to seen than to unseen rows, 0.5 being no leak.
    most_membership
        Largest AUC of the nearest-row membership attack, 0.5 being no leak.
    """

    name = "auto"
    handles = frozenset({"static", "events", "links"})
    conditions: ClassVar[bool] = True
    ranges: ClassVar = {"budget": (0.01, 1e9), "most_near": (0, 1), "most_membership": (0, 1)}
    reference = "held-out comparison of the other methods (see module)"

    chosen_: Candidate
    model_: Generator
    report_: dict[str, Any]

    def __init__(self, *, budget: float = 120.0, most_near: float = 0.53, most_membership: float = 0.53) -> None:
        self.budget = budget
        self.most_near = most_near
        self.most_membership = most_membership

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        able = self._able(core)
        tried, dropped = _within_budget(able, self.budget)
        if core.n_subjects < _FEWEST or len(tried) == 1:
            few = core.n_subjects < _FEWEST
            self.chosen_ = min(tried, key=lambda one: one.units) if few else tried[0]
            why = f"fewer than {_FEWEST} subjects cannot be compared" if few else "no other candidate fits"
            self.report_ = self._report([], dropped, why, None)
        else:
            self.chosen_ = self._compare(core, tried, dropped, seed, progress)
        self.model_ = self._adopt(self.chosen_.make(), core)
        self.model_._fit(core, seed=seed, progress=progress)

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        return self.model_._sample(n, seed=seed, given=given, first=first)

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts, arrays = self.model_._state()
        chosen = {"name": self.chosen_.name, "settings": dict(self.chosen_.settings), "units": self.chosen_.units}
        return {"chosen": chosen, "report": self.report_, "model": facts}, arrays

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.chosen_ = Candidate(**facts["chosen"])
        self.report_ = facts["report"]
        self.model_ = self._adopt(self.chosen_.make(), None)
        self.model_._restore(facts["model"], arrays)

    def _adopt(self, model: Generator, core: Dataset | None) -> Generator:
        """Give a method what the base learned, as its own fit would have."""
        model.schema_, model.seed_, model.n_subjects_ = self.schema_, self.seed_, self.n_subjects_
        model.identifiers_, model.constraints_, model.levels_ = self.identifiers_, self.constraints_, self.levels_
        if core is not None:
            model.n_subjects_ = core.n_subjects
        return model

    def _able(self, core: Dataset) -> list[Candidate]:
        """Candidates that take tables of this structure, in order of trial."""
        linked = len(core.schema.tables) > 1
        key = subject_key(core.schema, core.schema.parent)
        needs = {"static"} | ({"links"} if linked or (key and core.n_subjects < core.table.height) else set())
        cells = sum(frame.height * frame.width for frame in core.tables.values()) / 1e6
        wide = max(frame.width for frame in core.tables.values()) / 100
        found = []
        for name in CANDIDATES:
            method = registry.find("generators", name)
            if not needs <= method.handles:
                continue
            start, per_cell, per_pair = _COST.get(name, _UNKNOWN_COST)
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

    def _compare(
        self, core: Dataset, tried: list[Candidate], dropped: list[Candidate], seed: int, progress: Progress
    ) -> Candidate:
        train, holdout = _halves(core, seed)
        sticks = {
            table.name: Yardstick(
                table, train.tables[table.name], holdout.tables[table.name], min_subjects=MIN_SUBJECTS, seed=seed
            )
            for table in core.schema.tables
        }
        best = _mean(stick.distance(None) for stick in sticks.values())
        rows: list[dict[str, Any]] = []
        for number, candidate in enumerate(tried):
            model = self._adopt(candidate.make(), train)
            model._fit(train, seed=seed, progress=lambda what, done, total: None)
            drawn = model._sample(train.n_subjects, seed=seed + 1, given=None, first=0)
            distance = _mean(stick.distance(drawn[name]) for name, stick in sticks.items())
            near, membership, n = sticks[core.schema.parent.name].nearness(drawn[core.schema.parent.name])
            slack, slack_auc = slack_of_share(n), slack_of_auc(n)
            rows.append(
                {
                    "name": candidate.name,
                    "settings": dict(candidate.settings),
                    "units": candidate.units,
                    "distance": round(distance, 4),
                    "near_share": round(near, 4),
                    "membership_auc": round(membership, 4),
                    "admitted": bool(near <= self.most_near + slack and membership <= self.most_membership + slack_auc),
                }
            )
            progress("candidates", number + 1, len(tried))
        admitted = [i for i, row in enumerate(rows) if row["admitted"]]
        if admitted:
            pick = min(admitted, key=lambda i: (rows[i]["distance"], i))
            why = f"nearest to the holdout of {len(admitted)} candidates within the limits on privacy"
        else:
            pick = min(range(len(rows)), key=lambda i: (max(rows[i]["near_share"], rows[i]["membership_auc"]), i))
            why = "no candidate kept the limits on privacy; this one leaks least"
        self.report_ = self._report(rows, dropped, why, best)
        return tried[pick]

    def _report(
        self, rows: list[dict[str, Any]], dropped: list[Candidate], why: str, best: float | None
    ) -> dict[str, Any]:
        return {
            "why": why,
            "candidates": rows,
            "over_budget": [{"name": one.name, "settings": dict(one.settings), "units": one.units} for one in dropped],
            "distance_of_real_data": None if best is None else round(best, 4),
            "limits": {"near_share": self.most_near, "membership_auc": self.most_membership, "budget": self.budget},
        }


def _within_budget(able: list[Candidate], budget: float) -> tuple[list[Candidate], list[Candidate]]:
    """Candidates that fit the budget one after the other, and those that do not; the cheapest always fits."""
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


def _halves(core: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Two halves by subject, numbered anew, of at most `_TRIAL_SUBJECTS` subjects together."""
    if core.n_subjects > _TRIAL_SUBJECTS:
        core = core.split(_TRIAL_SUBJECTS / core.n_subjects, seed=seed + 1)[0]
    first, second = core.split(0.5, seed=seed)
    return _renumber(first), _renumber(second)


def _renumber(core: Dataset) -> Dataset:
    """Number subjects and keys from 0 again, in the order of the rows, and keep links."""
    owners: dict[tuple[str, str], pl.DataFrame] = {}
    tables = dict(core.tables)
    order = sorted(core.schema.tables, key=lambda table: table.name != core.schema.parent.name)
    for table in order:
        targets = {link.column: (link.to_table, link.to_column) for link in table.links}
        for column in table.columns:
            if column.role not in {"subject", "key"} or column.name in targets:
                continue
            old = tables[table.name][column.name].unique(maintain_order=True).alias("old")
            owners[table.name, column.name] = pl.DataFrame([old]).with_row_index("new").cast({"new": pl.Int64})
    for table in order:
        targets = {link.column: (link.to_table, link.to_column) for link in table.links}
        for column in table.columns:
            book = owners.get(targets.get(column.name, (table.name, column.name)))
            if book is None:
                continue
            frame = tables[table.name]
            new = frame.select(pl.col(column.name).alias("old")).join(book, on="old", how="left", maintain_order="left")
            tables[table.name] = frame.with_columns(new["new"].alias(column.name))
    return Dataset(core.schema, tables, Provenance(core.provenance.origin))


def _mean(values: Any) -> float:
    found = list(values)
    return float(np.mean(found)) if found else 0.0
