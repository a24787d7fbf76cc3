"""Independent columns: each is drawn from its own margin, with no relation to the others.

The floor that every other method must beat: it keeps margins, digits and the share of missing cells, and nothing else.

Reference: none; the product of the margins.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.codecs.table import TableCode, complete_table, draw_atoms, encode_table, frequencies, learn_table
from ehrsatz.codecs.window import FREE, decode_window, open_window, restrict
from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import uniforms


class Independent(Generator):
    """Draw every column from its own margin.

    Parameters
    ----------
    max_bins
        About the most atoms (spikes and bins) of a number column.
    """

    name = "independent"
    handles = frozenset({"static"})
    conditions: ClassVar[bool] = True
    ranges: ClassVar = {"max_bins": (2, 100_000)}
    space: ClassVar = {"max_bins": (64, 256)}
    reference = "product of the margins"

    names_: tuple[str, ...]
    code_: TableCode
    shares_: tuple[NDArray[np.float64], ...]

    def __init__(self, *, max_bins: int = 256) -> None:
        self.max_bins = max_bins

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        self.names_ = core.schema.parent.names
        self.code_ = learn_table(core.table, core.schema.parent, min_subjects=MIN_SUBJECTS, max_bins=self.max_bins)
        self.shares_ = frequencies(self.code_, encode_table(self.code_, core.table))
        progress("margins", len(self.shares_), len(self.shares_))

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        window = None
        if given is not None:
            window = open_window(self.code_, exact=given.exact, band=given.band, among=given.among)
        atoms = np.empty((n, len(self.code_.names)), dtype=np.int32, order="F")
        within = np.empty(atoms.shape, order="F")
        for d, name in enumerate(self.code_.names):
            u = uniforms(seed, self.name, "sample", name, n=n, width=2, first=first)
            share = self.shares_[d]
            if window is not None and d in window.share:
                share = restrict(share, window.share[d])
            atoms[:, d] = draw_atoms(share, u[:, 0])
            if window is not None and d in window.fixed:
                fixed = window.fixed[d]
                atoms[:, d] = np.where(fixed == FREE, atoms[:, d], fixed)
            within[:, d] = u[:, 1]
        frame = decode_window(self.code_, atoms, within, window)
        return {self.schema_.parent.name: complete_table(frame, self.names_, n=n, first=first)}

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts = {"names": list(self.names_), "code": self.code_.to_dict()}
        return facts, {f"share_{d}": share for d, share in enumerate(self.shares_)}

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.names_, self.code_ = tuple(facts["names"]), TableCode.from_dict(facts["code"])
        self.shares_ = tuple(arrays[f"share_{d}"] for d in range(len(self.code_.names)))
