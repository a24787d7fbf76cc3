"""A table's cells <-> codes of few levels, and normal scores.

Each smooth number (no dominant spike, ten atoms or more) has a normal score. All others are codes, 0 for missing and
1 .. K for groups of atoms: numbers in groups of about equal share by value, levels each on its own, along their first
principal coordinate of correspondence analysis. Of a smooth number the code only says whether it is missing (0) or
not (1). Scores of missing cells are drawn from the others of the row. Scores are "turned" by a root of a covariance
matrix: turned ones have no correlation left.

References
----------
Schäfer and Strimmer, SAGMB 4 (2005), doi:10.2202/1544-6115.1175 (shrinkage of correlations).
Greenacre, Correspondence Analysis in Practice (2017) (the order of levels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.codecs.groups import learn_groups
from ehrsatz.codecs.missing import MissingCode, learn_missing
from ehrsatz.codecs.number import NumberCode
from ehrsatz.codecs.table import TableCode, frequencies
from ehrsatz.generators.linear import codes_of, coordinates
from ehrsatz.seeds import stream

Atoms = NDArray[np.int32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EDGE = 1e-4  # scores end so far from the ends of the margin
_LEAST = 0.0005  # smallest eigenvalue of the correlation matrix
_SPIKE = 0.05  # largest share of a single value of a smooth number
_GROUPS = 32  # most groups of a number without scores
_SWEEPS = 6  # over the missing scores


@dataclass(frozen=True)
class Latents:
    """What `learn_latents` found.

    tables: per column the code of each atom and, last, of missing, (K + 1,); shares: the share of each, (K + 1,);
    missing: which columns are missing together; smooth: numbers of the smooth columns, S of them; root: a column's
    score is the sum of the turned ones by its row of the root, (S, S).
    """

    tables: tuple[Ints, ...]
    shares: tuple[Floats, ...]
    missing: MissingCode
    smooth: tuple[int, ...]
    root: Floats

    @property
    def margins(self) -> tuple[Floats, ...]:
        """Share of each code among present cells, 0 for missing, per column."""
        out = []
        for table, share in zip(self.tables, self.shares):
            kept = np.bincount(table, np.append(share[:-1], 0.0), minlength=2)  # a column without atoms: a code unused
            kept[1:] = kept[1:] if kept.sum() > 0 else 1.0  # always missing: whatever stands behind it
            out.append(kept / max(kept.sum(), 1e-300))
        return tuple(out)

    def codes(self, atoms: Atoms) -> Ints:
        """Return the codes of atoms, shape (R, D)."""
        out = np.empty(atoms.shape, dtype=np.int64, order="F")
        for d, table in enumerate(self.tables):
            out[:, d] = table[atoms[:, d]]  # -1 is the last: missing
        return out

    def atoms(self, d: int, codes: Ints, u: Floats, allowed: Floats | None = None) -> tuple[Atoms, Floats]:
        """Return an atom of each code, by its share, and a position within it, (R,) each.

        Parameters
        ----------
        codes : shape (R,).
        u : shape (R,), in [0, 1).
        allowed : shape (K,), share of each atom that may be drawn; None means all.
        """
        table, share = self.tables[d], self.shares[d]
        if allowed is not None:
            share = np.append(share[:-1] * allowed, 0.0)
            empty = np.bincount(table, share, minlength=int(table.max()) + 1)[table] <= 0
            share = np.where(empty, np.append(allowed, 0.0), share)  # allowed, but never seen: equally likely
        order = np.lexsort((np.arange(len(table)), table))  # atoms, code by code
        below = np.concatenate([[0.0], np.cumsum(share[order])])
        first = np.searchsorted(table[order], np.arange(int(table.max()) + 2))
        start, stop = below[first[codes]], below[first[codes + 1]]
        solid = np.flatnonzero(share[order] > 0)
        target = start + u * (stop - start)
        at = solid[np.clip(np.searchsorted(below[1:][solid], target, side="right"), 0, len(solid) - 1)]
        inside = (target - below[at]) / np.maximum(share[order][at], 1e-300)
        atoms = order[at]
        return (
            np.where(atoms == len(table) - 1, -1, atoms).astype(np.int32),
            np.clip(inside, 0, np.nextafter(1, 0)),
        )

    def allowed(self, d: int, share: Floats) -> Floats:
        """Return the part of each code 0 .. K that allowed shares of atoms leave."""
        whole, size = self.shares[d], int(self.tables[d].max()) + 1
        kept = np.bincount(self.tables[d], np.append(whole[:-1] * share, 0.0), minlength=size)
        seen = np.bincount(self.tables[d], np.append(whole[:-1], 0.0), minlength=size)
        never = np.bincount(self.tables[d], np.append(share, 0.0), minlength=size)
        return np.where(seen > 0, kept / np.maximum(seen, 1e-300), np.minimum(never, 1.0))

    def floors(self, d: int) -> Floats:
        """Return the cumulated share of present cells below each atom of column d, (K + 1,)."""
        return np.concatenate([[0.0], np.cumsum(self.shares[d][:-1])]) / max(self.shares[d][:-1].sum(), 1e-300)

    def place(self, d: int, rank: Floats) -> tuple[Atoms, Floats]:
        """Return the atom and the position within it of ranks in [0, 1] of a smooth column's margin, (R,) each."""
        floor = self.floors(d)
        at = np.clip(np.searchsorted(floor, rank, side="right") - 1, 0, len(floor) - 2)
        inside = (rank - floor[at]) / np.maximum(floor[at + 1] - floor[at], 1e-300)
        return at.astype(np.int32), np.clip(inside, 0, np.nextafter(1, 0))

    def nearest(self, d: int, atoms: Atoms, allowed: Floats) -> Atoms:
        """Return the nearest allowed atom of each: a score at the edge of its band may round to the atom beside it."""
        good = np.flatnonzero((allowed > 0) & (self.shares[d][:-1] > 0))
        good = good if len(good) else np.flatnonzero(allowed > 0)
        right = np.clip(np.searchsorted(good, atoms), 0, len(good) - 1)
        left = np.maximum(right - 1, 0)
        return np.where(np.abs(good[left] - atoms) < np.abs(good[right] - atoms), good[left], good[right]).astype(
            np.int32
        )

    def turn(self, scores: Floats) -> Floats:
        """Return the scores without correlation, (R, S)."""
        return np.asarray(np.linalg.solve(self.root, scores.T).T, dtype=np.float64) if len(self.smooth) else scores

    def unturn(self, plain: Floats) -> Floats:
        """Undo `turn`, adding up in one order whatever the number of rows."""
        out = np.zeros_like(plain)
        for m in range(plain.shape[1]):
            out += plain[:, m, None] * self.root[:, m]
        return out

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` reads."""
        out: dict[str, NDArray[Any]] = {"smooth": np.array(self.smooth, dtype=np.int32), "root": self.root}
        out["missing"] = np.array(self.missing.groups, dtype=np.int32)
        out |= {f"table_{d}": table.astype(np.int32) for d, table in enumerate(self.tables)}
        return out | {f"share_{d}": share for d, share in enumerate(self.shares)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], n_columns: int) -> Latents:
        """Read what `arrays` gave."""
        return cls(
            tuple(arrays[f"table_{d}"].astype(np.int64) for d in range(n_columns)),
            tuple(arrays[f"share_{d}"] for d in range(n_columns)),
            MissingCode(tuple(int(group) for group in arrays["missing"])),
            tuple(int(d) for d in arrays["smooth"]),
            arrays["root"],
        )


def learn_latents(
    code: TableCode, atoms: Atoms, position: Floats, *, seed: int, name: str
) -> tuple[Latents, Ints, Floats]:
    """Learn the latents of a table and return them with the rows' codes (N, D) and scores (N, S), not turned.

    Parameters
    ----------
    atoms, position : shape (N, D), as `place_table` gives them.
    seed, name : name the streams that place spikes within their atoms and draw missing scores.
    """
    shares = frequencies(code, atoms)
    smooth = tuple(d for d, one in enumerate(code.codes) if is_smooth(one, shares[d], len(atoms)))
    tables = _tables(code, atoms, shares, smooth)
    latents = Latents(tables, shares, learn_missing(atoms < 0), smooth, np.eye(len(smooth)))
    scores = np.zeros((len(atoms), len(smooth)), order="F")
    for place, d in enumerate(smooth):
        one, floor, at = code.codes[d], latents.floors(d), np.maximum(atoms[:, d], 0)
        assert isinstance(one, NumberCode)
        spread = stream(seed, name, "spread", d).random(len(atoms))  # a spike fills its share of the margin
        where = np.where(one.is_spike(atoms[:, d]), spread, position[:, d])
        score = ndtri(np.clip(floor[at] + where * (floor[at + 1] - floor[at]), _EDGE, 1 - _EDGE))
        scores[:, place] = np.where(atoms[:, d] < 0, 0.0, score)
    here = atoms[:, list(smooth)] >= 0
    _complete(scores, here, positive(*pairwise(scores, here)), seed, name)
    return latents, latents.codes(atoms), np.round(scores, 7)


def _tables(code: TableCode, atoms: Atoms, shares: tuple[Floats, ...], smooth: tuple[int, ...]) -> tuple[Ints, ...]:
    """Return the code of each atom and, last, of missing, per column."""
    numbers = [isinstance(one, NumberCode) for one in code.codes]
    coarse = codes_of(atoms, list(code.sizes), numbers)
    few = int(np.clip(round(len(atoms) ** 0.5), 6, _GROUPS))
    tables = []
    for d, size in enumerate(code.sizes):
        table = np.arange(1, size + 1)
        if d in smooth:
            table = np.ones(size, dtype=np.int64)
        elif numbers[d]:
            table = learn_groups(np.append(shares[d][:-1], 0.0), few)[:-1].astype(np.int64) + 1
        elif size > 2 and len(atoms) > 1:
            others = [one for e, one in enumerate(coarse) if e != d]
            place = coordinates(np.where(atoms[:, d] < 0, size, atoms[:, d]), size + 1, others)[:size, 0]
            table[np.lexsort((np.arange(size), np.round(place, 6)))] = np.arange(1, size + 1)
        tables.append(np.append(table, 0))
    return tuple(tables)


def is_smooth(code: Any, share: Floats, n: int) -> bool:
    """Whether a column is a number without a dominant spike and with enough atoms for normal scores."""
    present, total = share[:-1], float(share[:-1].sum())
    if not isinstance(code, NumberCode) or len(present) < 10 or total * n < 30:
        return False
    spikes = code.is_spike(np.arange(len(present), dtype=np.int32))
    return bool(present[spikes].max(initial=0.0) < _SPIKE * total)


def pairwise(scores: Floats, here: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the correlation of every pair of scores (0 where missing) over rows with both, and how many these are."""
    seen = here.astype(np.float64)
    pairs = np.maximum(seen.T @ seen, 1.0)
    mean = (scores.T @ seen) / pairs
    spread = np.sqrt(np.maximum((scores.T**2 @ seen) / pairs - mean**2, 1e-12))
    observed = np.clip(((scores.T @ scores) / pairs - mean * mean.T) / (spread * spread.T), -1, 1)
    return np.where(pairs >= 10, observed, 0.0), pairs


def positive(observed: Floats, pairs: Floats | float) -> Floats:
    """Return a correlation matrix shrunk towards the identity, by the number of rows behind it, and invertible."""
    size = len(observed)
    if size < 2:
        return np.eye(size)
    off = ~np.eye(size, dtype=bool)
    noise = float((((1 - observed**2) ** 2 / pairs)[off]).sum())
    weight = min(1.0, noise / max(float((observed[off] ** 2).sum()), 1e-12))
    values, vectors = np.linalg.eigh(np.round((1 - weight) * observed * off + np.eye(size), 10))
    lifted = (vectors * np.maximum(values, _LEAST)) @ vectors.T
    scale = np.sqrt(np.diag(lifted))
    return np.asarray(lifted / scale[:, None] / scale)


def _complete(scores: Floats, here: NDArray[np.bool_], correlation: Floats, seed: int, name: str) -> None:
    """Draw missing scores given the others of the row, by a few sweeps of Gibbs sampling, in place."""
    inverse = np.linalg.inv(correlation) if len(correlation) else correlation
    gaps = [m for m in range(scores.shape[1]) if not here[:, m].all()]
    for turn in range(_SWEEPS):
        for m in gaps:
            rows = np.flatnonzero(~here[:, m])
            noise = stream(seed, name, "complete", turn, m).normal(size=len(rows))
            slope = -inverse[m] / inverse[m, m]
            slope[m] = 0.0
            scores[rows, m] = scores[rows] @ slope + noise / np.sqrt(inverse[m, m])
