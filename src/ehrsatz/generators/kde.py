"""Kernel density for mixed columns, on a reduced set: kernels sit on small groups of subjects, never on one.

Subjects are cut into groups of alike ones, each at least five; a group's kernel is a product of Aitchison and Aitken's
kernel for levels and normals for the scores of numbers, with bandwidths by leave-one-out likelihood. A draw takes a
group by its size and a row from its kernel; conditions reweight the groups by their likelihood of them.

References: Silverman, Density Estimation for Statistics and Data Analysis (1986), section 4.2 (kernels with the shape
of the data's covariance) and 3.4.4 (bandwidth by likelihood); Li and Racine 2003,
doi:10.1016/S0047-259X(02)00025-8 (mixed data); Girolami and He, Probability density estimation from optimally
condensed data samples, IEEE TPAMI 25 (2003), doi:10.1109/TPAMI.2003.1233899 (the reduced set).

What differs from the papers: the reduced set are the means of groups, found by cutting along the widest direction
until groups are small, instead of single subjects with optimised weights, since a kernel on a subject gives that
subject away. Several such cuts, each with columns weighted anew, are averaged. The kernel of a number has the shape of
the covariance within groups; level kernels lend to the margin instead of the uniform distribution.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.codecs.table import TableCode, complete_table, learn_table, place_table
from ehrsatz.codecs.window import decode_window, open_window
from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.components import learn_mixture
from ehrsatz.generators.latents import Floats, Ints, learn_latents
from ehrsatz.generators.mixture import Mixture
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream, uniforms

_FEW = 12  # codes up to which each has an axis of its own
_STEPS = 8  # of the power iteration
_COUNTED = 100_000  # subjects that all cuts together count, about


class Kde(Generator):
    """Draw from a kernel density over small groups of subjects.

    Conditions hold in every row and are exact: groups are reweighted by their likelihood of the conditions, and the
    row is drawn from the group's kernel given them (bands on several smooth numbers at once: close to exact).

    Parameters
    ----------
    group
        Fewest subjects of a group, never under five; None means 10, or more from 1,200 subjects on (42 of 20,000).
    cuts
        Averaged cuts into groups; None means 12, or fewer from 8,000 subjects on.
    """

    name = "kde"
    handles = frozenset({"static"})
    conditions: ClassVar[bool] = True
    least: ClassVar[int] = 2 * MIN_SUBJECTS
    ranges: ClassVar = {"group": (MIN_SUBJECTS, 1e9), "cuts": (1, 1000)}
    reference = "Silverman 1986; Li and Racine 2003, doi:10.1016/S0047-259X(02)00025-8; Girolami and He 2003"

    names_: tuple[str, ...]
    code_: TableCode
    mixture_: Mixture

    def __init__(self, *, group: int | None = None, cuts: int | None = None) -> None:
        self.group = group
        self.cuts = cuts

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        self.names_ = core.schema.parent.names
        self.code_ = learn_table(core.table, core.schema.parent, min_subjects=MIN_SUBJECTS)
        atoms, position = place_table(self.code_, core.table)
        latents, codes, scores = learn_latents(self.code_, atoms, position, seed=seed, name=self.name)
        axes = _axes(codes, scores)
        rows = np.arange(len(codes))
        groups: list[tuple[Ints, Ints]] = []
        least = self.group or max(2 * MIN_SUBJECTS, round(0.3 * len(codes) ** 0.5))
        n_cuts = self.cuts or int(np.clip(_COUNTED // max(len(codes), 1), 4, 12))
        for turn in range(n_cuts):
            weight = stream(seed, self.name, "cut", turn).random(axes.shape[1])
            groups.append((rows, cut(axes * weight, least)))
            progress("cuts", turn + 1, n_cuts)
        self.mixture_ = learn_mixture(latents, codes, scores, groups)

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        u = uniforms(seed, self.name, "sample", n=n, width=self.mixture_.width, first=first)
        window = None
        if given is not None:
            window = open_window(self.code_, exact=given.exact, band=given.band, among=given.among)
        atoms, within = self.mixture_.sample(u, window)
        frame = decode_window(self.code_, atoms, within, window)
        return {self.schema_.parent.name: complete_table(frame, self.names_, n=n, first=first)}

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {"names": list(self.names_), "code": self.code_.to_dict()}, self.mixture_.arrays()

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.names_, self.code_ = tuple(facts["names"]), TableCode.from_dict(facts["code"])
        self.mixture_ = Mixture.from_arrays(arrays, len(self.code_.names))


def cut(axes: Floats, least: int) -> Ints:
    """Cut rows in two along the widest direction, again and again, while both sides hold `least` or more.

    Returns
    -------
    Group of each row, shape (R,), numbered from 0.
    """
    out = np.zeros(len(axes), dtype=np.int64)
    stack, found = [np.arange(len(axes))], 0
    while stack:
        rows = stack.pop()
        if len(rows) < 2 * least:
            out[rows] = found
            found += 1
            continue
        inner = axes[rows] - axes[rows].mean(axis=0)
        along = inner @ _widest(inner)
        order = np.argsort(np.round(along, 9), kind="stable")
        half = len(rows) // 2
        stack += [rows[order[half:]], rows[order[:half]]]
    return out


def _widest(inner: Floats) -> Floats:
    """Return the first principal direction of centred rows, by power iteration, shape (F,)."""
    direction = inner.std(axis=0) + 1e-12
    direction = direction / np.linalg.norm(direction)
    for _ in range(_STEPS):
        direction = inner.T @ (inner @ direction) + 1e-12
        direction = direction / np.linalg.norm(direction)
    return np.asarray(direction)


def _axes(codes: Ints, scores: Floats) -> Floats:
    """Return the axes along which groups are cut: scores, an indicator per level, ranks of many, and gaps."""
    parts = [scores]
    for d in range(codes.shape[1]):
        column, size = codes[:, d], int(codes[:, d].max(initial=0))
        gone = column == 0
        if size <= _FEW:
            some = [level for level in range(size + 1) if 0 < (column == level).sum() < len(column)]
            parts.append((column[:, None] == np.array(some, dtype=np.int64)) * 1.0)
            continue
        rank = np.where(gone, column[~gone].mean(), column)
        parts.append(((rank - rank.mean()) / max(float(rank.std()), 1e-9))[:, None])
        if gone.any():
            parts.append(gone[:, None] * 1.0)
    return np.concatenate(parts, axis=1)
