"""Every column's linear prediction from all columns before it, out of one Cholesky factor.

Columns enter as blocks of a design matrix: numbers by normal scores of their own margin, categories of few levels by
indicators, categories of many by correspondence analysis. With G = Z'Z / n + lambda I = L L', the ridge regression of
any target on the first p design columns needs only the leading p x p part of L, and the leverages that give
leave-one-out residuals are running sums of squares of Z L^-T. So all sequential regressions cost one factorisation.

References
----------
Hoerl & Kennard, Ridge regression, Technometrics 12 (1970), doi:10.1080/00401706.1970.10488634.
Allen, The relationship between variable selection and data augmentation and a method for prediction, Technometrics
16 (1974), doi:10.1080/00401706.1974.10489157 (leave-one-out residuals from leverages).
Greenacre, Correspondence Analysis in Practice (2017), appendix A (principal coordinates of levels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtri

from ehrsatz.generators.order import coarsen

Atoms = NDArray[np.int32]
Floats = NDArray[np.float64]

FEW_LEVELS = 15
DIMENSIONS = 8  # of the correspondence analysis
SHRINK = 20.0  # rows of the average that each level is mixed with
_MOST = 600  # design columns; later columns add none
_PENALTIES = (1e-3, 1e-2, 1e-1, 0.3)
_TRIAL_ROWS = 1_000
_MISSING = -6.0  # normal score that stands for missing where trees look at a number


@dataclass(frozen=True)
class Margin:
    """What the design needs of one column: counts of its atoms (missing last) and, for levels, their coordinates.

    table has shape (n_atoms + 1, width): the block's columns per atom; for numbers the first is the normal score.
    """

    is_number: bool
    share: Floats
    table: Floats

    @property
    def size(self) -> int:
        """Number of atoms, missing not counted."""
        return len(self.share) - 1

    @property
    def floor(self) -> Floats:
        """Cumulated share of the present cells below each atom, shape (n_atoms + 1,)."""
        present = self.share[:-1]
        return np.concatenate([[0.0], np.cumsum(present)]) / max(float(present.sum()), 1e-12)

    def rank(self, atoms: Atoms, position: Floats, clip: float) -> Floats:
        """Return each present cell's place in the margin in (0, 1), 0.5 where missing; shape (R,)."""
        floor = self.floor
        safe = np.maximum(atoms, 0)
        place = floor[safe] + position * (floor[np.minimum(safe + 1, self.size)] - floor[safe])  # size 0: all missing
        return np.where(atoms < 0, 0.5, np.clip(place, clip, 1 - clip))

    def block(self, atoms: Atoms, position: Floats, clip: float) -> Floats:
        """Return the design columns of these cells, shape (R, width)."""
        out = self.table[np.where(atoms < 0, self.size, atoms)]
        if self.is_number and out.shape[1]:
            out[:, 0] = ndtri(self.rank(atoms, position, clip))
            out[atoms < 0, 0] = 0.0
        return out

    def feature(self, atoms: Atoms) -> Floats:
        """Return what a tree sees of a number: the normal score of its atom, far below all where missing."""
        scores = np.append(self.table[:-1, 0], _MISSING)
        return scores[np.where(atoms < 0, self.size, atoms)]


def learn_margin(atoms: Atoms, size: int, is_number: bool, others: list[tuple[Atoms, int]], clip: float) -> Margin:
    """Learn one column's margin and design block.

    Parameters
    ----------
    atoms : shape (R,), -1 where missing.
    size : number of atoms.
    is_number : whether atoms are in value order.
    others : the other columns' coarse codes, for the coordinates of many levels.
    clip : smallest distance from 0 and 1 of a rank.
    """
    index = np.where(atoms < 0, size, atoms)
    counts = np.bincount(index, minlength=size + 1)
    share = counts / max(1, counts.sum())
    indicators = np.eye(size + 1)
    if (counts > 0).sum() < 2:
        return Margin(is_number, share, np.zeros((size + 1, 1 if is_number else 0)))
    if is_number:
        present = counts[:size] / max(1, counts[:size].sum())
        middle = np.clip(np.cumsum(present) - present / 2, clip, 1 - clip)
        scores = np.append(ndtri(middle), 0.0)[:, None]
        return Margin(True, share, np.hstack([scores, indicators[:, size:]]) if counts[size] else scores)
    ranked = np.argsort(-counts, kind="stable")
    if size + 1 <= FEW_LEVELS:
        return Margin(False, share, indicators[:, [k for k in ranked[1:] if counts[k] >= 5]])
    top = [k for k in ranked[:DIMENSIONS] if counts[k] >= 5]
    return Margin(False, share, np.hstack([coordinates(index, size + 1, others), indicators[:, top]]))


def coordinates(index: NDArray[Any], size: int, others: list[tuple[Atoms, int]]) -> Floats:
    """Return the principal coordinates of each level by correspondence analysis against the other columns.

    Returns
    -------
    Shape (size, at most 8), scaled so that the first has unit spread over the rows.
    """
    tables = []
    for code, width in others:
        joint = np.bincount(index.astype(np.int64) * width + code, minlength=size * width).reshape(size, width)
        tables.append(joint + SHRINK * np.bincount(code, minlength=width) / len(code))
    if not tables:
        return np.zeros((size, 1))
    joint = np.hstack(tables)
    joint = joint[:, joint.sum(0) > 0] / joint.sum()
    rows, columns = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
    left, values, _ = np.linalg.svd((joint - rows @ columns) / np.sqrt(rows @ columns), full_matrices=False)
    out = signed(left[:, :DIMENSIONS]) * values[:DIMENSIONS] / np.sqrt(rows)
    spread = out[index].std(0).max()
    return np.round(out / spread, 7) if spread > 1e-9 else np.zeros((size, 1))


def signed(vectors: Floats) -> Floats:
    """Fix the sign of each column: its entry of largest size (to six digits, the first of equals) is positive."""
    peak = vectors[np.round(np.abs(vectors), 6).argmax(0), np.arange(vectors.shape[1])]
    return vectors * np.where(peak < 0, -1.0, 1.0)


class Design:
    """The standardised design of all columns in drawing order, its factor, and the blocks' places."""

    def __init__(self, margins: list[Margin], order: list[int], clip: float) -> None:
        self.margins, self.order, self.clip = margins, order, clip
        self.start: dict[int, int] = {}
        width = 0
        for d in order:
            self.start[d] = width
            if width + margins[d].table.shape[1] <= _MOST:
                width += margins[d].table.shape[1]
        self.width = width
        self.mean = np.zeros(width)
        self.scale = np.ones(width)

    def span(self, d: int) -> tuple[int, int]:
        """Return where the block of column d begins and ends."""
        place = self.order.index(d)
        end = self.start[self.order[place + 1]] if place + 1 < len(self.order) else self.width
        return self.start[d], end

    def fill(self, out: Floats, d: int, atoms: Atoms, position: Floats) -> None:
        """Write the standardised block of column d into the design matrix `out`, shape (R, width)."""
        low, high = self.span(d)
        if high > low:
            block = self.margins[d].block(atoms, position, self.clip)
            out[:, low:high] = (block - self.mean[low:high]) / self.scale[low:high]

    def fit(self, atoms: Atoms, position: Floats, smooth: list[int]) -> None:
        """Standardise, choose the penalty by leave-one-out error, and factor.

        Parameters
        ----------
        atoms, position : shape (R, D).
        smooth : columns whose leave-one-out residuals will be asked for.

        Notes
        -----
        All in double precision: what follows is rounded, so that the last bits, in which processors differ, are lost.
        """
        n = len(atoms)
        matrix = np.empty((n, self.width))
        for d in self.order:
            self.fill(matrix, d, atoms[:, d], position[:, d])
        self.mean = np.round(matrix.mean(0), 12)
        self.scale = np.round(matrix.std(0), 12) + 1e-9
        matrix -= self.mean
        matrix /= self.scale
        gram = np.round(matrix.T @ matrix / n, 11)
        self.penalty = self._choose(matrix[:_TRIAL_ROWS], gram, n)
        self.factor = np.linalg.cholesky(gram + self.penalty * np.eye(self.width))
        self.matrix = matrix
        self.leverage = self._leverage(smooth)

    def _leverage(self, smooth: list[int]) -> dict[int, Floats]:
        """Return each row's leverage on the blocks before each smooth column, (R,) per place where its block starts."""
        out = {p: np.zeros(len(self.matrix)) for p in sorted({self.start[d] for d in smooth} - {0})}
        if not out:
            return out
        most = max(out)
        inverse = solve_triangular(self.factor[:most, :most], np.eye(most), lower=True).T
        for low in range(0, len(self.matrix), 4096):
            basis = self.matrix[low : low + 4096, :most] @ inverse  # Z L^-T
            running = np.cumsum(basis**2, axis=1) / len(self.matrix)
            for p, held in out.items():
                held[low : low + 4096] = running[:, p - 1]
        return out

    def _choose(self, rows: Floats, gram: Floats, n: int) -> float:
        errors = []
        for penalty in _PENALTIES:
            factor = np.linalg.cholesky(gram + penalty * np.eye(self.width))
            basis = solve_triangular(factor, rows.T, lower=True).T
            leverage = np.cumsum(basis**2, axis=1) / n
            # factor[k, :p] are the coefficients of design column k on the first p basis columns
            error = 0.0
            for d in self.order:
                low, high = self.span(d)
                if low and high > low:
                    fitted = basis[:, :low] @ factor[low:high, :low].T
                    residual = (rows[:, low:high] - fitted) / (1 - np.minimum(leverage[:, low - 1 : low], 0.95))
                    error += float(np.minimum((residual**2).mean(0), 1.5).sum())
            errors.append(error)
        return _PENALTIES[int(np.argmin(np.round(errors, 9)))]

    def regress(self, d: int, target: Floats) -> tuple[Floats, Floats | None, Floats] | None:
        """Regress centred targets (R, K) on all blocks before column d.

        Returns
        -------
        Fitted values (R, K), leave-one-out residuals (R, K) of smooth columns, else None, and coefficients (p, K);
        None where nothing stands before.
        """
        p = self.start[d]
        if p == 0:
            return None
        before = self.matrix[:, :p]
        half = solve_triangular(self.factor[:p, :p], before.T @ target / len(before), lower=True)
        coefficients = np.round(solve_triangular(self.factor[:p, :p], half, lower=True, trans="T"), 10)
        fitted = before @ coefficients
        if p not in self.leverage:
            return fitted, None, coefficients
        residual = (target - fitted) / (1 - np.minimum(self.leverage[p], 0.95)[:, None])
        return fitted, np.round(residual, 7), coefficients

    def release(self) -> None:
        """Drop what only fitting needs: all that has one row per subject."""
        del self.matrix, self.leverage, self.factor


def codes_of(atoms: Atoms, margins_sizes: list[int], is_number: list[bool]) -> list[tuple[Atoms, int]]:
    """Return every column's coarse codes, missing as a group of its own."""
    return [coarsen(atoms[:, d], margins_sizes[d], is_number[d]) for d in range(atoms.shape[1])]
