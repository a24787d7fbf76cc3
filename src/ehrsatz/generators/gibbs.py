"""Perturbed Gibbs sampler: every column anew, again and again, given a hash of all others.

For each column a few hashes of the other columns are learned, and for every bucket of a hash a smoothed table of the
column. A row begins with one pass down the columns, each given those before it, and then sweeps over all columns, each
drawn from its table in the bucket that the row's other columns hash to. Every row is a chain of its own with its own
uniforms and a fixed number of sweeps.

Reference: Park, Ghosh and Shankar, Perturbed Gibbs samplers for generating large-scale privacy-safe synthetic health
data, ICHI 2013, arXiv:1312.5370; Heckerman et al., Dependency networks, JMLR 1 (2000) (sweeps over conditionals that
were learned one by one).

What differs from the paper: the hashes are small trees over the columns that tell most about the column, each grown
on another half of the subjects and counted on all, instead of random ones; the perturbation alpha draws a bucket
towards the bucket around it instead of the uniform distribution; no chain begins at a real row. Of smooth numbers the
table holds the residual of the linear prediction from the other smooth numbers, in groups. Columns that are missing
together are missing or not as one variable of the chain.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.codecs.table import TableCode, complete_table, learn_table, place_table
from ehrsatz.codecs.window import Window, decode_window, open_window
from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.hashes import Hash, learn_hash
from ehrsatz.generators.latents import Floats, Ints, Latents, learn_latents, pairwise, positive
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream, uniforms

_MISSING = -9.0  # what a hash sees of a missing smooth number
_ROWS = 10_000  # rows that a hash is grown on, at most
_RANKS = np.linspace(0.0, 1.0, 201)  # at which the chain's own margins are kept
_INFORMED = 5_000  # rows on which dependence is measured
_TRIAL = 2_000  # rows that these margins are read from
_FEW = 100  # present scores from which margins are read
_RESIDUALS = 24  # most groups of residuals


class Gibbs(Generator):
    """Draw rows by sweeps over hashed conditionals.

    Conditions hold in every row: conditioned columns are clamped and the others swept, twice as often.

    Parameters
    ----------
    sweeps
        Sweeps after the first pass.
    hashes
        Hashes per column, used in turn.
    alpha
        Perturbation: subjects' worth of the bucket around that every bucket is mixed with.
    leaf
        Fewest subjects of a bucket when it is grown, never under five.
    looks
        Most other columns that a hash looks at.
    """

    name = "gibbs"
    handles = frozenset({"static"})
    conditions: ClassVar[bool] = True
    least: ClassVar[int] = 4 * MIN_SUBJECTS
    ranges: ClassVar = {
        "sweeps": (0, 1000),
        "hashes": (1, 100),
        "alpha": (0.01, 1e9),
        "leaf": (MIN_SUBJECTS, 1e9),
        "looks": (1, 10_000),
    }
    reference = "Park, Ghosh and Shankar 2013, arXiv:1312.5370"

    names_: tuple[str, ...]
    code_: TableCode
    latents_: Latents
    slopes_: tuple[Floats, Floats]  # of each smooth column on those before it, and on all others, (S, S) each
    spreads_: Floats  # around these predictions where a score is missing, (2, S)
    edges_: tuple[Floats, Floats]  # of the groups of residuals, (S, K + 1) each
    hashes_: dict[str, Hash]  # "<turn> <variable>": column d, or gate g as D + g; turn 0 is the first pass
    ranks_: Floats  # scores at the quantiles of the chain, (S, 201)

    def __init__(self, *, sweeps: int = 2, hashes: int = 2, alpha: float = 2.0, leaf: int = 6, looks: int = 16) -> None:
        self.sweeps = sweeps
        self.hashes = hashes
        self.alpha = alpha
        self.leaf = leaf
        self.looks = looks

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        self.names_ = core.schema.parent.names
        self.code_ = learn_table(core.table, core.schema.parent, min_subjects=MIN_SUBJECTS)
        atoms, position = place_table(self.code_, core.table)
        self.latents_, codes, scores = learn_latents(self.code_, atoms, position, seed=seed, name=self.name)
        smooth = list(self.latents_.smooth)
        here = codes[:, smooth] > 0
        before, others, self.spreads_ = _slopes(positive(*pairwise(scores * here, here)))
        self.slopes_ = (before, others)
        self.edges_ = tuple(_edges(scores - scores @ slope.T, here) for slope in self.slopes_)  # type: ignore[assignment]
        state = self._state_of(codes, scores)
        information = self._information(_coarse(codes, scores, smooth), codes)
        self.hashes_ = {}
        for turn in range(self.hashes + 1):
            for variable in self._order():
                self.hashes_[f"{turn} {variable}"] = self._learn(
                    variable, turn, state, codes, scores, information, seed
                )
            progress("hashes", turn + 1, self.hashes + 1)
        self.ranks_ = np.tile(ndtri(np.clip(_RANKS, 1e-4, 1 - 1e-4)), (len(smooth), 1))
        if smooth:
            drawn, trial = self._chain(_TRIAL, seed, 0, None, "margins")
            for place, d in enumerate(smooth):  # the margin of the data is that of present cells
                own = trial[drawn[:, d] > 0, place]
                if len(own) >= _FEW:
                    self.ranks_[place] = np.quantile(own, _RANKS)
            self.ranks_ = np.round(_rising(self.ranks_), 5)

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        window = None
        if given is not None:
            window = open_window(self.code_, exact=given.exact, band=given.band, among=given.among)
        codes, scores = self._chain(n, seed, first, window, "sample")
        atoms = np.empty(codes.shape, dtype=np.int32, order="F")
        within = np.empty(codes.shape, order="F")
        u = uniforms(seed, self.name, "within", n=n, width=max(1, codes.shape[1]), first=first)
        for d in range(codes.shape[1]):
            share = window.share.get(d) if window is not None else None
            if d in self.latents_.smooth:
                place = self.latents_.smooth.index(d)
                at, within[:, d] = self.latents_.place(d, np.interp(scores[:, place], self.ranks_[place], _RANKS))
                at = at if share is None else self.latents_.nearest(d, at, share)
                atoms[:, d] = np.where(codes[:, d] == 0, -1, at)
            else:
                atoms[:, d], within[:, d] = self.latents_.atoms(d, codes[:, d], u[:, d], share)
            if window is not None and d in window.fixed:
                atoms[:, d] = np.where(window.fixed[d] >= 0, window.fixed[d], atoms[:, d])
        frame = decode_window(self.code_, atoms, within, window)
        return {self.schema_.parent.name: complete_table(frame, self.names_, n=n, first=first)}

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts = {"names": list(self.names_), "code": self.code_.to_dict()}
        arrays: dict[str, NDArray[Any]] = {"ranks": self.ranks_, "spreads": self.spreads_}
        arrays |= {f"slope_{k}": one for k, one in enumerate(self.slopes_)}
        arrays |= {f"edges_{k}": one for k, one in enumerate(self.edges_)}
        arrays |= {f"latents_{name}": one for name, one in self.latents_.arrays().items()}
        for name, one in self.hashes_.items():
            arrays |= one.arrays(f"hash {name}")
        return facts, arrays

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.names_, self.code_ = tuple(facts["names"]), TableCode.from_dict(facts["code"])
        own = {name.removeprefix("latents_"): one for name, one in arrays.items() if name.startswith("latents_")}
        self.latents_ = Latents.from_arrays(own, len(self.code_.names))
        self.ranks_, self.spreads_ = arrays["ranks"], arrays["spreads"]
        self.slopes_ = (arrays["slope_0"], arrays["slope_1"])
        self.edges_ = (arrays["edges_0"], arrays["edges_1"])
        self.hashes_ = {}
        for turn in range(self.hashes + 1):
            for variable in self._order():
                self.hashes_[f"{turn} {variable}"] = Hash.from_arrays(arrays, f"hash {turn} {variable}")

    # ------------------------------------------------------------------ variables
    def _order(self) -> list[int]:
        """Return the variables as they are drawn: columns 0 .. D - 1, and gate g as D + g before its first column."""
        groups = self.latents_.missing.groups
        out: list[int] = []
        for d, g in enumerate(groups):
            if g >= 0 and groups.index(g) == d:
                out.append(len(groups) + g)
            out.append(d)
        return out

    def _state_of(self, codes: Ints, scores: Floats) -> NDArray[np.float32]:
        """Return what hashes see, (R, D): codes, or scores of smooth numbers."""
        state = codes.astype(np.float32, order="F")
        for place, d in enumerate(self.latents_.smooth):
            state[:, d] = np.where(codes[:, d] == 0, _MISSING, scores[:, place])
        return state

    def _information(self, coarse: list[tuple[Ints, int]], codes: Ints) -> Floats:
        """Return the mutual information in nats of each variable with each column, (D + G, D).

        Of a column over the rows where it is present: what is missing together says nothing of values.
        """
        groups = self.latents_.missing.groups
        out = np.zeros((len(coarse) + self.latents_.missing.n_groups, len(coarse)))
        for variable in self._order():
            if variable < len(coarse):
                rows = np.flatnonzero(codes[:, variable] > 0)[:_INFORMED]
                own, size = coarse[variable][0][rows], coarse[variable][1]
            else:
                rows = np.arange(min(len(codes), _INFORMED))
                own, size = (codes[rows, groups.index(variable - len(coarse))] == 0).astype(np.int64), 2
            for d, (other, width) in enumerate(coarse):
                joint = np.bincount(own * width + other[rows], minlength=size * width).reshape(size, width)
                out[variable, d] = _information_of(joint)
        return np.round(out, 9)

    def _learn(
        self,
        variable: int,
        turn: int,
        state: NDArray[np.float32],
        codes: Ints,
        scores: Floats,
        information: Floats,
        seed: int,
    ) -> Hash:
        """Learn one hash of one variable; in the first pass it looks only at columns before."""
        n_columns = codes.shape[1]
        groups = np.array(self.latents_.missing.groups)
        if variable >= n_columns:
            own = np.flatnonzero(groups == variable - n_columns)
            target, rows, size, ordered = (codes[:, own[0]] == 0).astype(np.int64), np.arange(len(codes)), 2, False
        else:
            own = np.array([variable])
            rows = np.flatnonzero(codes[:, variable] > 0)
            if variable in self.latents_.smooth:
                place = self.latents_.smooth.index(variable)
                kind = min(turn, 1)
                edges = self.edges_[kind][place]
                residual = scores[:, place] - scores @ self.slopes_[kind][place]
                target = np.clip(np.searchsorted(edges, residual) - 1, 0, len(edges) - 2)
                size, ordered = len(edges) - 1, True
            else:
                size = int(self.latents_.tables[variable].max(initial=1))
                target, ordered = codes[:, variable] - 1, size > 2
        others = [d for d in range(n_columns) if d not in own and (turn > 0 or d < own[0])]
        others = sorted(others, key=lambda d: (-information[variable, d], d))[: self.looks]
        order = rows[stream(seed, self.name, "split", turn, variable).permutation(len(rows))]
        half = min(len(order) // 2, _ROWS)
        return learn_hash(
            state,
            np.sort(np.array(others, dtype=np.int64)),
            target,
            max(size, 1),
            grown=np.sort(order[:half]),
            counted=np.sort(order),
            ordered=ordered,
            leaf=self.leaf,
            alpha=self.alpha,
            seed=int(stream(seed, self.name, "grow", turn, variable).integers(2**31)),
        )

    # ------------------------------------------------------------------ the chain
    def _chain(self, n: int, seed: int, first: int, window: Window | None, name: str) -> tuple[Ints, Floats]:
        """Return codes (n, D) and scores (n, S) after all sweeps."""
        n_columns, smooth = len(self.code_.names), self.latents_.smooth
        codes = np.zeros((n, n_columns), dtype=np.int64, order="F")
        scores = np.zeros((n, len(smooth)), order="F")
        gone = np.zeros((n, self.latents_.missing.n_groups + 1), dtype=bool)
        state = self._state_of(codes, scores)
        groups = self.latents_.missing.groups
        sweeps = self.sweeps * (2 if window is not None else 1)
        for turn in range(sweeps + 1):
            which = 0 if turn == 0 else 1 + (turn - 1) % self.hashes
            for variable in self._order():
                one = self.hashes_[f"{which} {variable}"]
                u = uniforms(seed, self.name, name, turn, variable, n=n, width=1, first=first)[:, 0]
                chance = one.table[one.bucket(state)].astype(np.float64)  # (n, K)
                asked = turn == 0 and window is not None and variable in window.share
                if asked:  # a band is entered by its margin, not from the near end: what comes before follows
                    chance = np.repeat(one.table[:1].astype(np.float64), n, axis=0)
                if variable >= n_columns:
                    g = variable - n_columns
                    gone[:, g] = u >= chance[:, 0] / chance.sum(axis=1)
                    _keep_present(gone, window, g, groups)
                    continue
                absent = gone[:, groups[variable]]  # group -1, never missing, is the last
                if variable in smooth and window is not None and asked:
                    scores[:, smooth.index(variable)] = self._from_margin(variable, u, window.share[variable])
                    codes[:, variable] = 1
                    state[:, variable] = scores[:, smooth.index(variable)]
                elif variable in smooth:
                    self._draw_score(variable, min(which, 1), chance, u, scores, absent, window)
                    codes[:, variable] = np.where(absent, 0, 1)
                    state[:, variable] = np.where(absent, _MISSING, scores[:, smooth.index(variable)])
                else:
                    codes[:, variable] = np.where(absent, 0, self._draw_code(variable, chance, u, window))
                    state[:, variable] = codes[:, variable]
        return codes, scores

    def _draw_code(self, d: int, chance: Floats, u: Floats, window: Window | None) -> Ints:
        if window is not None and d in window.share:
            allowed = self.latents_.allowed(d, window.share[d])[1:]
            chance = chance * allowed
            chance = np.where(chance.sum(axis=1, keepdims=True) > 0, chance, allowed)
        bounds = np.cumsum(chance, axis=1)
        drawn = (bounds <= (u * bounds[:, -1])[:, None]).sum(axis=1)
        last = chance.shape[1] - 1 - (chance[:, ::-1] > 0).argmax(axis=1)
        drawn = np.minimum(drawn, last) + 1
        if window is not None and d in window.fixed:
            fixed = window.fixed[d]
            drawn = np.where(fixed >= 0, self.latents_.tables[d][np.maximum(fixed, 0)], drawn)
        return drawn

    def _draw_score(
        self,
        d: int,
        kind: int,
        chance: Floats,
        u: Floats,
        scores: Floats,
        gone: NDArray[np.bool_],
        window: Window | None,
    ) -> None:
        """Draw a smooth column's scores: linear prediction plus a residual of the row's bucket, in place."""
        place = self.latents_.smooth.index(d)
        edges, slope = self.edges_[kind][place], self.slopes_[kind][place]
        centre = np.zeros(len(u))
        for m in np.flatnonzero(slope):  # added up in one order whatever the number of rows
            centre += scores[:, m] * slope[m]
        bounds = np.concatenate([np.zeros((len(u), 1)), np.cumsum(chance, axis=1)], axis=1)
        bounds /= bounds[:, -1:]
        low, high = None, None
        if window is not None and d in window.share:
            low, high = self._band(d, window.share[d])
            parts = np.stack(
                [
                    _mass(bounds, edges, top - centre) - _mass(bounds, edges, end - centre)
                    for end, top in zip(low, high)
                ],
                axis=1,
            )
            total = np.cumsum(np.maximum(parts, 0), axis=1)  # (n, pieces)
            pick = np.minimum((total <= (u * total[:, -1])[:, None]).sum(axis=1), len(low) - 1)
            before = (
                np.take_along_axis(total, pick[:, None], 1)[:, 0] - np.take_along_axis(parts, pick[:, None], 1)[:, 0]
            )
            start = np.zeros(len(u))
            for k, end in enumerate(low):
                start = np.where(pick == k, _mass(bounds, edges, end - centre), start)
            u = np.clip(start + u * total[:, -1] - before, 0, 1)
        drawn = centre + _inverse(bounds, edges, u)
        # a missing score is drawn as those were that the tables learned from
        drawn = np.where(gone, centre + self.spreads_[kind, place] * ndtri(np.clip(u, 1e-12, 1 - 1e-12)), drawn)
        if low is not None and high is not None:
            drawn = np.clip(drawn, low[pick], high[pick])
        if window is not None and d in window.fixed:
            fixed, floor = window.fixed[d], self.latents_.floors(d)
            at = np.maximum(fixed, 0)
            rank = floor[at] + window.position[d] * (floor[at + 1] - floor[at])
            drawn = np.where(fixed >= 0, np.interp(rank, _RANKS, self.ranks_[place]), drawn)
        scores[:, place] = drawn

    def _from_margin(self, d: int, u: Floats, share: Floats) -> Floats:
        """Return scores of a smooth column from its margin within allowed shares of atoms, (n,)."""
        at, inside = self.latents_.atoms(d, np.ones(len(u), dtype=np.int64), u, share)
        floor = self.latents_.floors(d)
        rank = floor[at] + inside * (floor[at + 1] - floor[at])
        return np.interp(rank, _RANKS, self.ranks_[self.latents_.smooth.index(d)])

    def _band(self, d: int, share: Floats) -> tuple[Floats, Floats]:
        """Return the ends of the runs of allowed atoms of a smooth column, as scores."""
        place = self.latents_.smooth.index(d)
        ends = np.interp(self.latents_.floors(d), _RANKS, self.ranks_[place])
        edge = np.diff(np.concatenate([[0], (share > 0).astype(int), [0]]))
        return ends[np.flatnonzero(edge == 1)], ends[np.flatnonzero(edge == -1)]


def _keep_present(gone: NDArray[np.bool_], window: Window | None, g: int, groups: tuple[int, ...]) -> None:
    """Let a pattern not be missing where one of its columns is conditioned, in place."""
    if window is None:
        return
    for d in window.columns:
        if groups[d] == g:
            gone[:, g] &= False if d in window.share else window.fixed[d] < 0


def _slopes(correlation: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the slopes of each score on those before it, and on all others, (S, S) each, and the spreads, (2, S)."""
    size = len(correlation)
    before, all_ = np.zeros((size, size)), np.zeros((size, size))
    inverse = np.linalg.inv(correlation) if size else correlation
    spreads = np.ones((2, size))
    for s in range(size):
        before[s, :s] = np.linalg.solve(correlation[:s, :s], correlation[:s, s])
        all_[s] = -inverse[s] / inverse[s, s]
        all_[s, s] = 0.0
        spreads[:, s] = 1 - before[s, :s] @ correlation[:s, s], 1 / inverse[s, s]
    return np.round(before, 8), np.round(all_, 8), np.asarray(np.sqrt(np.maximum(spreads, 1e-9)), dtype=np.float64)


def _edges(residuals: Floats, here: NDArray[np.bool_]) -> Floats:
    """Return the ends of groups of residuals of about equal share, each the mean of five subjects' at least."""
    size = int(np.clip(round(len(residuals) ** 0.5), 6, _RESIDUALS))
    out = np.empty((residuals.shape[1], size + 1))
    for s in range(residuals.shape[1]):
        own = np.sort(residuals[here[:, s], s])
        means = np.convolve(own, np.ones(MIN_SUBJECTS) / MIN_SUBJECTS, mode="valid")
        edges = np.quantile(means, np.linspace(0, 1, size + 1))
        edges[0], edges[-1] = edges[0] - (edges[1] - edges[0]) / 2, edges[-1] + (edges[-1] - edges[-2]) / 2
        out[s] = edges
    return np.round(_rising(out), 5)


def _rising(rows: Floats) -> Floats:
    """Return rows made to rise strictly."""
    return np.maximum.accumulate(rows, axis=1) + 2e-5 * np.arange(rows.shape[1])


def _mass(bounds: Floats, edges: Floats, at: Floats) -> Floats:
    """Return each row's mass below `at`, (n,): bounds are cumulated shares of the groups, (n, K + 1)."""
    group = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(edges) - 2)
    rows = np.arange(len(at))
    part = np.clip((at - edges[group]) / (edges[group + 1] - edges[group]), 0, 1)
    return bounds[rows, group] + part * (bounds[rows, group + 1] - bounds[rows, group])


def _inverse(bounds: Floats, edges: Floats, u: Floats) -> Floats:
    """Undo `_mass`."""
    group = np.clip((bounds <= u[:, None]).sum(axis=1) - 1, 0, len(edges) - 2)
    rows = np.arange(len(u))
    part = (u - bounds[rows, group]) / np.maximum(bounds[rows, group + 1] - bounds[rows, group], 1e-300)
    return edges[group] + np.clip(part, 0, 1) * (edges[group + 1] - edges[group])


def _information_of(joint: Ints) -> float:
    """Return the mutual information of a table of counts in nats, corrected for chance (Miller 1955)."""
    n = max(int(joint.sum()), 1)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    expected = np.outer(rows, columns) / n
    seen = joint > 0
    found = float((joint[seen] * np.log(joint[seen] / expected[seen])).sum()) / n
    return found - ((rows > 0).sum() - 1) * ((columns > 0).sum() - 1) / (2 * n)


def _coarse(codes: Ints, scores: Floats, smooth: list[int]) -> list[tuple[Ints, int]]:
    """Return every column in at most about 20 groups, for measuring dependence."""
    out = []
    for d in range(codes.shape[1]):
        column = codes[:, d]
        if d in smooth:
            own = scores[:, smooth.index(d)]
            column = np.where(column == 0, 0, 1 + np.clip(np.floor((own + 2.5) * 3), 0, 14).astype(np.int64))
        size = int(column.max(initial=0)) + 1
        if size > 24:
            column, size = column * 24 // size, 24
        out.append((column, size))
    return out
