"""Pick the method for a table: fit candidates on one half, compare them on the other, keep the best that is private.

Candidates stand in a fixed order (`candidates`); a model of their cost, not the clock, decides how many fit the budget,
so that the same data and seed give the same choice on any machine. A candidate is admitted when its synthetic rows lie
no nearer to the rows it saw than to the other half (share of nearer rows, and membership AUC), beyond chance; among
those the one with the smallest total variation over pairs and triples of columns wins, and is fitted again on all rows.
What was tried and why one was picked stands in `report_`. All of this happens within the rows that `fit` was given: the
holdout of a release has no part in it.

Reference: none for the choice; the scores are those of Yale et al., Neurocomputing 416 (2020),
doi:10.1016/j.neucom.2019.12.136 (nearest-neighbour adversarial accuracy), in one-sided form.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, EhrsatzError, EhrsatzWarning
from ehrsatz.extras import require
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.candidates import FEWEST, Candidate, candidates, within_budget
from ehrsatz.generators.heldout import Yardstick, slack_of_auc, slack_of_share
from ehrsatz.generators.inner import inner
from ehrsatz.provenance import Provenance
from ehrsatz.schema import MIN_SUBJECTS

_TRIAL_SUBJECTS = 20_000  # a comparison needs no more
# What a candidate may break with; it is told in the table then, and the others go on. Torch says RuntimeError when a
# device has no memory left.
_BREAKS = (EhrsatzError, ArithmeticError, MemoryError, RuntimeError, np.linalg.LinAlgError)


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
    networks
        Whether to try neural networks too; they need torch. The default does not depend on whether that is installed,
        so that the same seed gives the same choice everywhere.
    """

    name = "auto"
    handles = frozenset({"static", "events", "links"})
    conditions: ClassVar[bool] = True
    ranges: ClassVar = {"budget": (0.01, 1e9), "most_near": (0, 1), "most_membership": (0, 1)}
    reference = "held-out comparison of the other methods (see module)"

    chosen_: Candidate
    model_: Generator
    report_: dict[str, Any]

    def __init__(
        self,
        *,
        budget: float = 120.0,
        most_near: float = 0.53,
        most_membership: float = 0.53,
        networks: bool = False,
    ) -> None:
        self.budget = budget
        self.most_near = most_near
        self.most_membership = most_membership
        self.networks = networks

    def check_parameters(self) -> None:
        """Check the parameters, and that torch is there where networks are asked for."""
        super().check_parameters()
        if self.networks:
            require("torch", extra="torch", feature="The generator 'auto' with networks")

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        tried, dropped = within_budget(candidates(core, networks=self.networks), self.budget)
        if core.n_subjects < FEWEST or len(tried) == 1:
            few = core.n_subjects < FEWEST
            self.chosen_ = min(tried, key=lambda one: one.units) if few else tried[0]
            why = f"fewer than {FEWEST} subjects cannot be compared" if few else "no other candidate fits"
            self.report_ = self._report([], dropped, why, None)
        else:
            self._compare(core, tried, dropped, seed, progress)
        self.model_ = self._made(self.chosen_, core)
        self.model_._fit(core, seed=seed, progress=progress)

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        return self.model_._sample(n, seed=seed, given=given, first=first)

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts, arrays = self.model_._state()
        return {"chosen": self.chosen_.told(), "report": self.report_, "model": facts}, arrays

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.chosen_ = Candidate(**facts["chosen"])
        self.report_ = facts["report"]
        self.model_ = inner(self.chosen_.name, self, self.chosen_.settings)
        self.model_._restore(facts["model"], arrays)

    def _held(self) -> tuple[str, ...]:
        return self.model_._held()

    def _made(self, candidate: Candidate, core: Dataset) -> Generator:
        """Return a candidate that knows what the base learned, as its own fit would have."""
        model = inner(candidate.name, self, candidate.settings)
        model.n_subjects_ = core.n_subjects
        return model

    def _compare(
        self, core: Dataset, tried: list[Candidate], dropped: list[Candidate], seed: int, progress: Progress
    ) -> None:
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
            rows.append({**candidate.told(), **self._tried(candidate, train, sticks, seed)})
            progress("candidates", number + 1, len(tried))
        admitted = [i for i, row in enumerate(rows) if row["admitted"]]
        measured = [i for i, row in enumerate(rows) if row["distance"] is not None]
        if admitted:
            pick = min(admitted, key=lambda i: (rows[i]["distance"], i))
            why = f"nearest to the holdout of {len(admitted)} candidates within the limits on privacy"
        elif measured:
            pick = min(measured, key=lambda i: (max(rows[i]["near_share"], rows[i]["membership_auc"]), i))
            why = "no candidate kept the limits on privacy; this one leaks least"
        else:
            raise DataError(
                "Expected a candidate that can learn from these rows.",
                f"All {len(rows)} failed.",
                "Name a generator, to see why.",
                problems=[f"{row['name']}: {row['why']}" for row in rows],
            )
        self.chosen_ = tried[pick]
        self.report_ = self._report(rows, dropped, why, best)

    def _tried(self, candidate: Candidate, train: Dataset, sticks: dict[str, Yardstick], seed: int) -> dict[str, Any]:
        """Fit a candidate on one half and hold its rows against the other."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EhrsatzWarning)  # the one that is picked will say it again
                model = self._made(candidate, train)
                model._fit(train, seed=seed, progress=lambda what, done, total: None)
                drawn = model._sample(train.n_subjects, seed=seed + 1, given=None, first=0)
        except _BREAKS as error:
            why = str(error).splitlines()[0] if isinstance(error, EhrsatzError) else type(error).__name__
            nothing = dict.fromkeys(("distance", "near_share", "membership_auc"))
            return {**nothing, "admitted": False, "why": f"failed: {why}"}
        parent = train.schema.parent.name
        distance = _mean(stick.distance(drawn[name]) for name, stick in sticks.items())
        near, membership, n = sticks[parent].nearness(drawn[parent])
        limits = self.most_near + slack_of_share(n), self.most_membership + slack_of_auc(n)
        over = [
            f"{what} above {limit:.3f}, the limit with what chance adds"
            for what, found, limit in zip(("near share", "membership"), (near, membership), limits)
            if found > limit
        ]
        return {
            "distance": round(distance, 4),
            "near_share": round(near, 4),
            "membership_auc": round(membership, 4),
            "admitted": not over,
            "why": "; ".join(over),
        }

    def _report(
        self, rows: list[dict[str, Any]], dropped: list[Candidate], why: str, best: float | None
    ) -> dict[str, Any]:
        return {
            "picked": {"name": self.chosen_.name, "settings": dict(self.chosen_.settings)},
            "why": why,
            "candidates": rows,
            "over_budget": [one.told() for one in dropped],
            "distance_of_real_data": None if best is None else round(best, 4),
            "limits": {"near_share": self.most_near, "membership_auc": self.most_membership, "budget": self.budget},
        }


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
