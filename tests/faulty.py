"""Generators with one planted fault each, which the contract must catch. They stand in a module of their own so that
a new process can import them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Given, Progress
from ehrsatz.generators.independent import Independent
from ehrsatz.seeds import stream

Tables = dict[str, pl.DataFrame]


class Sound(Independent):
    """No fault."""


class FloatIntegers(Independent):
    """Whole numbers come back as floats."""

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> Tables:
        tables = super()._sample(n, seed=seed, given=given, first=first)
        return {name: frame.cast({pl.Int64: pl.Float64}) for name, frame in tables.items()}


class NoGaps(Independent):
    """Missing cells are filled."""

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> Tables:
        tables = super()._sample(n, seed=seed, given=given, first=first)
        return {name: frame.fill_null(strategy="max") for name, frame in tables.items()}


class Deaf(Independent):
    """The seed of sample is ignored."""

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> Tables:
        return super()._sample(n, seed=0, given=given, first=first)


class Restless(Independent):
    """Two calls with one seed differ."""

    calls = 0

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> Tables:
        Restless.calls += 1
        return super()._sample(n, seed=seed + Restless.calls, given=given, first=first)


class Shardless(Independent):
    """Rows depend on how many are asked for."""

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> Tables:
        return super()._sample(n, seed=seed + n, given=given, first=first)


class Headstrong(Independent):
    """Conditions are dropped without a word."""

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> Tables:
        return super()._sample(n, seed=seed, given=None, first=first)


class Generous(Independent):
    """One row too many."""

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> Tables:
        return super()._sample(n + 1, seed=seed, given=given, first=first)


class Seeder(Independent):
    """Fitting seeds the whole process."""

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        np.random.seed(seed)  # noqa: NPY002
        super()._fit(core, seed=seed, progress=progress)


class Drawer(Independent):
    """Sampling draws from Python's own generator."""

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> Tables:
        random.random()
        return super()._sample(n, seed=seed, given=given, first=first)


class Meddler(Independent):
    """Fitting changes the data it was given."""

    def fit(self, dataset: Dataset, *, seed: int, progress: Progress | None = None) -> Meddler:
        dataset.tables[dataset.schema.parent.name][0, "age"] = 21
        super().fit(dataset, seed=seed, progress=progress)
        return self


class Forgetful(Independent):
    """What is restored differs from what was saved."""

    def _restore(self, facts: dict[str, Any], arrays: dict[str, Any]) -> None:
        super()._restore(facts, arrays)
        self.shares_ = tuple(np.roll(share, 1) for share in self.shares_)


class Hoarder(Independent):
    """A column of the training rows is kept in the weights."""

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        super()._fit(core, seed=seed, progress=progress)
        numbers = [column.name for column in core.schema.parent.columns if column.kind == "number"]
        self.kept_ = core.table[numbers[0]].drop_nulls().to_numpy()

    def _state(self) -> Any:
        facts, arrays = super()._state()
        return facts, {**arrays, "kept": self.kept_}


class Gossip(Independent):
    """Every level is named in the model, however few hold it."""

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        super()._fit(core, seed=seed, progress=progress)
        levels = [column.name for column in core.schema.parent.columns if column.kind in {"category", "code"}]
        self.seen_ = {name: core.table[name].drop_nulls().unique().sort().to_list() for name in levels}

    def _state(self) -> Any:
        facts, arrays = super()._state()
        return {**facts, "seen": self.seen_}, arrays


class Boundary(Independent):
    """The exact largest whole number and the last day are kept."""

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        super()._fit(core, seed=seed, progress=progress)
        frame = core.table.select(pl.col(pl.Int64).max(), pl.col(pl.Date).max().cast(pl.Int32))
        self.top_ = np.array([value for value in frame.row(0) if value is not None], dtype=float)

    def _state(self) -> Any:
        facts, arrays = super()._state()
        return facts, {**arrays, "top": self.top_}


class Unstable(Independent):
    """Fitting twice with one seed gives other models."""

    fits = 0

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        super()._fit(core, seed=seed, progress=progress)
        Unstable.fits += 1
        self.noise_ = stream(seed, "noise", Unstable.fits).random(3)

    def _state(self) -> Any:
        facts, arrays = super()._state()
        return facts, {**arrays, "noise": self.noise_}


class Renamer(Independent):
    """A parameter is stored under another name."""

    def __init__(self, *, max_bins: int = 256, depth: int = 3) -> None:
        super().__init__(max_bins=max_bins)
        self.how_deep = depth


FAULTS = {
    FloatIntegers: "kind integer",
    NoGaps: "never in the sample",
    Deaf: "another seed gives the same rows",
    Restless: "same seed gives other rows",
    Shardless: "sample\\(4\\)",
    Headstrong: "do not honour given|given",
    Generous: "were asked for",
    Seeder: "random state",
    Drawer: "random state",
    Meddler: "changes the dataset",
    Forgetful: "new process",
    Hoarder: "weights.npz: kept",
    Gossip: "generator.json",
    Boundary: "weights.npz: top",
    Unstable: "fitted twice",
    Renamer: "'depth' is not stored",
}
