"""Gaussian copula for mixed columns: each margin by its codec, the dependence by one latent normal per column.

The latent correlation of a pair is the one under which the normal scores of its two margins would have the
correlation that the data show. The scores are step functions of the latents, so by Mehler's identity their covariance
is a power series in the latent correlation, whose coefficients are products of Hermite coefficients; it is solved for
every pair at once. For two spiked or categorical columns this is what a polychoric correlation is, without its
likelihood. Missingness has latents of its own, one per pattern of columns that are missing together. Levels without
an order are sorted along the first dimension of a correspondence analysis against all other columns. The matrix is
shrunk towards independence and made positive definite.

References: Mehler 1866; Fan, Liu, Ning and Zou, High dimensional semiparametric latent graphical model for mixed
data, JRSS B 79 (2017), doi:10.1111/rssb.12168 (latent correlation from margins; here by moments of scores instead of
Kendall's tau); Schäfer and Strimmer, SAGMB 4 (2005), doi:10.2202/1544-6115.1175 (shrinkage).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.missing import MissingCode, decode_missing, encode_missing, learn_missing
from ehrsatz.codecs.table import TableCode, complete_table, encode_table, frequencies, learn_table
from ehrsatz.codecs.window import FREE, Window, decode_window, open_window
from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.gaussian import latent_correlation, normal_scores, positive_definite
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import uniforms

Floats = NDArray[np.float64]

_SMALL = 20.0  # subjects at which a level's place in the order is half believed
_SWEEPS = 12  # of the Gibbs sampler for conditions
_CHUNK = 512  # rows mixed at once, to stay in cache


class Copula(Generator):
    """Draw from a Gaussian copula with the margins of the codecs.

    Conditions are honoured in every row: the latents of conditioned columns are drawn from their normal distribution
    cut to the cells asked for (by Gibbs sampling, which is exact for one condition and close for several), the others
    given them.

    Parameters
    ----------
    max_bins
        About the most atoms (spikes and bins) of a number column.
    """

    name = "copula"
    handles = frozenset({"static"})
    conditions: ClassVar[bool] = True
    ranges: ClassVar = {"max_bins": (2, 100_000)}
    space: ClassVar = {"max_bins": (64, 256)}
    reference = "Gaussian copula with latent correlations by Mehler's identity (see module)"

    names_: tuple[str, ...]
    code_: TableCode
    missing_: MissingCode
    orders_: tuple[NDArray[np.int32], ...]  # atom at each rank, per column
    shares_: tuple[Floats, ...]  # share of each rank among present cells, per column, then of present and missing
    correlation_: Floats
    factor_: Floats

    def __init__(self, *, max_bins: int = 256) -> None:
        self.max_bins = max_bins

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        self.names_ = core.schema.parent.names
        self.code_ = learn_table(core.table, core.schema.parent, min_subjects=MIN_SUBJECTS, max_bins=self.max_bins)
        atoms = encode_table(self.code_, core.table)
        progress("margins", 1, 3)
        self.missing_ = learn_missing(atoms < 0)
        gone = encode_missing(self.missing_, atoms < 0)
        shares = [_present(share) for share in frequencies(self.code_, atoms)]
        self.orders_ = order_levels(self.code_, atoms, shares)
        self.shares_ = (
            *(share[order] for share, order in zip(shares, self.orders_)),
            *(np.array([1 - mask.mean(), mask.mean()]) for mask in gone.T),
        )
        progress("orders", 2, 3)
        ranks = np.concatenate([_rank(atoms, self.orders_), gone.astype(np.int32)], axis=1)
        latent = latent_correlation(ranks, self.shares_)
        self.correlation_ = np.asarray(np.round(positive_definite(latent, len(ranks)), 6), dtype=np.float64)
        self._factorise()
        progress("correlation", 3, 3)

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        noise = ndtri(_open(uniforms(seed, self.name, "sample", n=n, width=len(self.correlation_), first=first)))
        window = None
        if given is None:
            latent = mix(noise, self.factor_)
        else:
            window = open_window(self.code_, exact=given.exact, band=given.band, among=given.among)
            latent = self._conditioned(window, noise, seed, first)
        atoms, within = self._atoms(ndtr(latent), window)
        frame = decode_window(self.code_, atoms, within, window)
        return {self.schema_.parent.name: complete_table(frame, self.names_, n=n, first=first)}

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts = {"names": list(self.names_), "code": self.code_.to_dict(), "missing": self.missing_.to_dict()}
        arrays: dict[str, NDArray[Any]] = {"correlation": self.correlation_}
        arrays |= {f"order_{d}": order for d, order in enumerate(self.orders_)}
        arrays |= {f"share_{m}": share for m, share in enumerate(self.shares_)}
        return facts, arrays

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.names_, self.code_ = tuple(facts["names"]), TableCode.from_dict(facts["code"])
        self.missing_, self.correlation_ = MissingCode.from_dict(facts["missing"]), arrays["correlation"]
        n_columns = len(self.code_.names)
        self.orders_ = tuple(arrays[f"order_{d}"] for d in range(n_columns))
        self.shares_ = tuple(arrays[f"share_{m}"] for m in range(n_columns + self.missing_.n_groups))
        self._factorise()

    def _factorise(self) -> None:
        self.factor_ = self.correlation_
        if len(self.correlation_):
            self.factor_ = np.asarray(np.linalg.cholesky(self.correlation_), dtype=np.float64)

    def _atoms(self, u: Floats, window: Window | None) -> tuple[NDArray[np.int32], Floats]:
        """Atoms and positions within them of latent uniforms, shape (n, D) each; u has shape (n, M)."""
        n_columns = len(self.code_.names)
        atoms = np.full((len(u), n_columns), -1, dtype=np.int32)
        within = np.full((len(u), n_columns), 0.5)
        gone = np.empty((len(u), self.missing_.n_groups), dtype=bool)
        for group in range(self.missing_.n_groups):
            gone[:, group] = u[:, n_columns + group] >= self.shares_[n_columns + group][0]
        lost = decode_missing(self.missing_, gone)
        for d, (order, share) in enumerate(zip(self.orders_, self.shares_)):
            if len(order) == 0:
                continue
            bounds = np.concatenate([[0.0], np.cumsum(share)])
            rank = np.clip(np.searchsorted(bounds, u[:, d], side="right") - 1, 0, len(share) - 1)
            asked = window is not None and d in window.share
            if window is not None and asked:
                rank = _nearest_allowed(rank, share, window.share[d][order])
            within[:, d] = np.clip((u[:, d] - bounds[rank]) / np.maximum(share[rank], 1e-12), 0, np.nextafter(1, 0))
            atoms[:, d] = np.where(lost[:, d] & (not asked), -1, order[rank])
            if window is not None and d in window.fixed:
                fixed = window.fixed[d]
                atoms[:, d] = np.where(fixed == FREE, atoms[:, d], fixed)
        return atoms, within

    def _conditioned(self, window: Window, noise: Floats, seed: int, first: int) -> Floats:
        """Latents of shape (n, M): conditioned ones by Gibbs sampling within their cells, the rest given them."""
        cells = self._cells(window, len(noise))
        if not cells:
            return mix(noise, self.factor_)
        held = sorted(cells)
        rest = [m for m in range(len(self.correlation_)) if m not in cells]
        u = uniforms(seed, self.name, "given", n=len(noise), width=_SWEEPS * len(held), first=first)
        latent = np.empty_like(noise)
        latent[:, held] = gibbs(self.correlation_[np.ix_(held, held)], [cells[m] for m in held], u)
        slope = np.linalg.solve(self.correlation_[np.ix_(held, held)], self.correlation_[np.ix_(held, rest)])
        spare = self.correlation_[np.ix_(rest, rest)] - self.correlation_[np.ix_(rest, held)] @ slope
        latent[:, rest] = mix(noise[:, rest], np.asarray(np.linalg.cholesky(spare + 1e-10 * np.eye(len(rest)))))
        for place, m in enumerate(held):
            latent[:, rest] += latent[:, m, None] * slope[place]
        return latent

    def _cells(self, window: Window, n: int) -> dict[int, tuple[Floats, Floats]]:
        """Ends of the allowed intervals of each conditioned latent: (n, I) or (1, I) each."""
        n_columns = len(self.code_.names)
        cells: dict[int, tuple[Floats, Floats]] = {}
        for d in window.columns:
            order, share = self.orders_[d], self.shares_[d]
            group = self.missing_.groups[d]
            rows = np.ones(n, dtype=bool) if d in window.share else window.fixed[d] >= 0
            if group >= 0:  # present where a value is asked for
                last = np.where(rows, ndtri(self.shares_[n_columns + group][0]), np.inf)[:, None]
                if n_columns + group in cells:
                    last = np.minimum(last, cells[n_columns + group][1])
                cells[n_columns + group] = (np.full((n, 1), -np.inf), last)
            bounds = ndtri(np.clip(np.concatenate([[0.0], np.cumsum(share)]), 0, 1))
            if d in window.share:
                allowed = (window.share[d][order] > 0) & (share > 0)
                if not allowed.any():
                    continue
                edge = np.diff(np.concatenate([[0], allowed.astype(int), [0]]))
                cells[d] = (bounds[np.flatnonzero(edge == 1)][None], bounds[np.flatnonzero(edge == -1)][None])
            elif len(order):
                rank = np.argsort(order)[np.maximum(window.fixed[d], 0)]
                low, high = bounds[rank], bounds[rank + 1]
                if not isinstance(self.code_.codes[d], CategoryCode):  # a number lies at its place in the bin
                    spot = ndtri(_open(np.cumsum(share)[rank] - share[rank] * (1 - window.position[d])))
                    low, high = np.maximum(low, spot - 1e-6), np.minimum(high, spot + 1e-6)
                cells[d] = (np.where(rows, low, -np.inf)[:, None], np.where(rows, high, np.inf)[:, None])
        return cells


# ---------------------------------------------------------------------- learning
def order_levels(
    code: TableCode, atoms: NDArray[np.int32], shares: list[Floats], rounds: int = 3
) -> tuple[NDArray[np.int32], ...]:
    """Return the atom at each rank per column: numbers by value, levels along their first principal dimension."""
    from scipy.sparse import csr_matrix

    orders = [np.arange(size, dtype=np.int32) for size in code.sizes]
    free = [d for d, one in enumerate(code.codes) if isinstance(one, CategoryCode) and one.n_atoms > 2]
    n = len(atoms)
    for _ in range(rounds if n > 1 else 0):
        scores = normal_scores(_rank(atoms, tuple(orders)), [share[order] for share, order in zip(shares, orders)])
        for d in free:
            rows = np.flatnonzero(atoms[:, d] >= 0)
            others = [j for j in range(scores.shape[1]) if j != d]
            if not len(rows) or not others:
                continue
            member = csr_matrix((np.ones(len(rows)), (atoms[rows, d], rows)), shape=(code.sizes[d], n))
            counts = np.asarray(member.sum(axis=1)).ravel()
            # mean score of every other column per level, weighted by the root of the level's size
            table = (member @ scores[:, others]) / np.sqrt(np.maximum(counts, 1.0))[:, None]  # (levels, D - 1)
            left = np.linalg.svd(table, full_matrices=False)[0][:, 0]
            # small levels are drawn to the middle: their place is mostly chance
            place = left * np.sqrt(counts) / (counts + _SMALL)
            place *= 1.0 if np.abs(place).max() == place.max() else -1.0
            orders[d] = np.lexsort((np.arange(len(place)), np.round(place, 12))).astype(np.int32)
    return tuple(orders)


# ---------------------------------------------------------------------- drawing
def mix(noise: Floats, factor: Floats) -> Floats:
    """Return noise @ factor.T for a lower triangular factor, added up in one order whatever the number of rows."""
    out = np.zeros_like(noise)
    for start in range(0, len(noise), _CHUNK):
        rows = slice(start, start + _CHUNK)
        for m in range(noise.shape[1]):
            out[rows, m:] += noise[rows, m, None] * factor[m:, m]
    return out


def gibbs(correlation: Floats, cells: list[tuple[Floats, Floats]], u: Floats) -> Floats:
    """Draw normals cut to unions of intervals.

    Parameters
    ----------
    correlation : shape (G, G).
    cells : for each of the G latents the lower and upper ends of its intervals, shape (n, I) or (1, I).
    u : uniforms, shape (n, sweeps * G).

    References
    ----------
    Geweke, Efficient simulation from the multivariate normal subject to linear constraints, Interface 1991.
    """
    n, size = len(u), len(cells)
    inverse = np.linalg.inv(correlation)
    latent = np.zeros((n, size))
    for draw in range(u.shape[1]):
        j = draw % size
        weight = -inverse[j] / inverse[j, j]
        mean = np.zeros(n)
        for k in range(size):
            if k != j:
                mean += weight[k] * latent[:, k]
        sd = np.sqrt(1 / inverse[j, j])
        low, high = cells[j]
        # work in the tail where the cells lie, so that far cells keep their mass
        below, above = ndtr((low - mean[:, None]) / sd), ndtr((high - mean[:, None]) / sd)
        mass = np.cumsum(above - below, axis=1)  # (n, I)
        target = u[:, draw] * mass[:, -1]
        pick = np.minimum((mass <= target[:, None]).sum(axis=1), mass.shape[1] - 1)
        at = np.take_along_axis(mass, pick[:, None], 1)[:, 0] - target
        end = np.take_along_axis(above, pick[:, None], 1)[:, 0]
        drawn = mean + sd * ndtri(_open(end - at))
        left = np.take_along_axis(np.broadcast_to(low, mass.shape), pick[:, None], 1)[:, 0]
        right = np.take_along_axis(np.broadcast_to(high, mass.shape), pick[:, None], 1)[:, 0]
        latent[:, j] = np.clip(drawn, left, right)
    return latent


def _rank(atoms: NDArray[np.int32], orders: tuple[NDArray[np.int32], ...]) -> NDArray[np.int32]:
    ranks = np.full(atoms.shape, -1, dtype=np.int32)
    for d, order in enumerate(orders):
        if len(order):
            place = np.argsort(order, kind="stable").astype(np.int32)
            ranks[:, d] = np.where(atoms[:, d] >= 0, place[np.maximum(atoms[:, d], 0)], -1)
    return ranks


def _present(share: Floats) -> Floats:
    """Shares among present cells; even where there are none."""
    kept = share[:-1]
    return kept / kept.sum() if kept.sum() > 0 else np.full(len(kept), 1 / max(1, len(kept)))


def _nearest_allowed(rank: NDArray[np.int64], share: Floats, allowed: Floats) -> NDArray[np.int64]:
    """Move ranks that rounding put beside their cell to the nearest allowed one, preferring those with mass."""
    good = np.flatnonzero((allowed > 0) & (share > 0))
    if not len(good):
        good = np.flatnonzero(allowed > 0)
    right = np.clip(np.searchsorted(good, rank), 0, len(good) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(good[left] - rank) < np.abs(good[right] - rank), good[left], good[right])


def _open(u: Floats) -> Floats:
    return np.clip(u, 1e-12, 1 - 1e-12)
