"""Bayesian network over mixed columns: a learned acyclic graph, and for each column its distribution given its parents.

Numbers are grouped for tables of counts; where a smooth number depends on its parents linearly in normal scores, a
linear Gaussian model replaces its table, which BIC decides family by family (structure.py). Tables back off: a
configuration of parents that fewer than `min_subjects` subjects show, and a cell of a table that fewer show, lend
their mass to the same table with one parent less, so that no rare combination is stored or reproduced. Within a group
the codec draws the cell.

References: Chow and Liu 1968, Friedman et al. 1999 (see structure.py); Lauritzen, JASA 87 (1992),
doi:10.1080/01621459.1992.10476265 (conditional Gaussian models); Fung and Chang, Weighing and integrating evidence for
stochastic simulation in Bayesian networks, UAI 1989 (likelihood weighting, for conditions). What differs: continuous
parents of discrete columns are allowed, as their groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.groups import count_groups, encode_groups, learn_groups
from ehrsatz.codecs.number import NumberCode
from ehrsatz.codecs.table import TableCode, complete_table, frequencies, learn_table, place_table
from ehrsatz.codecs.window import FREE, Window, decode_window, open_window
from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.space import Range
from ehrsatz.generators.structure import Families, candidates, features, regress, search, sort_columns
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream, uniforms

Floats = NDArray[np.float64]
Groups = NDArray[np.int32]

_SEARCH_ROWS = 10_000  # rows that the structure is searched on
_PARTNERS = 10  # candidate parents per column
_LINEAR = 8  # most parents of a linear model
_TRIES = 32  # weighted candidates per conditioned row
_CHUNK = 4_096  # rows drawn at once under conditions


@dataclass(frozen=True)
class Table:
    """Distribution of groups given parents, with back-off to fewer parents.

    keys: per number of parents 1 .. P, the sorted configurations that are stored; probabilities: row 0 without
    parents, then the rows of `keys` in order, shape (rows, K).
    """

    keys: tuple[NDArray[np.int64], ...]
    probabilities: Floats

    def rows(self, groups: Groups, sizes: tuple[int, ...]) -> NDArray[np.int64]:
        """Return for each configuration (n, P) the row that holds its distribution."""
        found = np.zeros(len(groups), dtype=np.int64)
        config = np.zeros(len(groups), dtype=np.int64)
        start = 1
        for depth, keys in enumerate(self.keys):
            config = config * sizes[depth] + groups[:, depth]
            if len(keys):
                place = np.minimum(np.searchsorted(keys, config), len(keys) - 1)
                found = np.where(keys[place] == config, start + place, found)
            start += len(keys)
        return found


@dataclass(frozen=True)
class Node:
    """One column: its parents, and a table or (for numbers) a linear model, whose table then says if it is missing."""

    parents: tuple[int, ...]
    table: Table
    slope: Floats | None = None
    spread: float = 1.0


@dataclass
class Draw:
    """State of ancestral sampling: per column the groups, atoms, positions and normal scores, (n, D) each."""

    groups: Groups
    atoms: NDArray[np.int32]
    within: Floats
    scores: Floats
    weight: Floats = field(default_factory=lambda: np.zeros(0))


class BayesNet(Generator):
    """Draw from a Bayesian network whose structure is learned from the data.

    Conditions hold in every row: conditioned columns are clamped, and among 32 candidates per row one is picked by
    its likelihood weight, which approaches the exact conditional distribution.

    Parameters
    ----------
    max_parents
        Most parents of a table; a linear model may have eight.
    max_groups
        Most groups of a number; fewer with few rows.
    smoothing
        Subjects' worth of the distribution with one parent less that is mixed into each configuration.
    """

    name = "bayesnet"
    handles = frozenset({"static"})
    conditions: ClassVar[bool] = True
    ranges: ClassVar = {"max_parents": (0, 20), "max_groups": (2, 1000), "smoothing": (0, 1e9)}
    space: ClassVar = {
        "max_parents": (1, 2, 3, 4),
        "max_groups": Range(6, 24, log=True),
        "smoothing": Range(0.5, 8.0, log=True),
    }
    reference = "Chow and Liu 1968; Friedman et al. 1999; hill climbing on BIC with back-off tables (see module)"

    names_: tuple[str, ...]
    code_: TableCode
    shares_: tuple[Floats, ...]  # of each atom and, last, of missing
    groups_: tuple[Groups, ...]  # group of each atom and, last, of missing
    smooth_: tuple[bool, ...]
    nodes_: tuple[Node, ...]

    def __init__(self, *, max_parents: int = 3, max_groups: int = 12, smoothing: float = 2.0) -> None:
        self.max_parents = max_parents
        self.max_groups = max_groups
        self.smoothing = smoothing

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        self.names_ = core.schema.parent.names
        self.code_ = learn_table(core.table, core.schema.parent, min_subjects=MIN_SUBJECTS)
        atoms, within = place_table(self.code_, core.table)
        self.shares_ = frequencies(self.code_, atoms)
        self.groups_ = self._group(len(atoms))
        self.smooth_ = tuple(_is_smooth(one, share, len(atoms)) for one, share in zip(self.code_.codes, self.shares_))
        families = self._families(atoms, within)
        progress("groups", 1, 1)
        parents = self._structure(families, seed, progress)
        self.nodes_ = tuple(self._learn(families, child, parents[child]) for child in range(len(parents)))

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        if given is None:
            drawn, window = self._ancestral(n, seed, first, None), None
        else:
            window = open_window(self.code_, exact=given.exact, band=given.band, among=given.among)
            drawn = self._weighted(n, seed, first, window)
        frame = decode_window(self.code_, drawn.atoms, drawn.within, window)
        return {self.schema_.parent.name: complete_table(frame, self.names_, n=n, first=first)}

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts = {
            "names": list(self.names_),
            "code": self.code_.to_dict(),
            "smooth": list(self.smooth_),
            "parents": [list(node.parents) for node in self.nodes_],
            "depths": [len(node.table.keys) for node in self.nodes_],
            "spreads": [node.spread for node in self.nodes_],
        }
        arrays: dict[str, NDArray[Any]] = {}
        for d, node in enumerate(self.nodes_):
            arrays[f"share_{d}"], arrays[f"group_{d}"] = self.shares_[d], self.groups_[d]
            arrays[f"probability_{d}"] = node.table.probabilities
            arrays |= {f"key_{d}_{depth}": keys for depth, keys in enumerate(node.table.keys)}
            if node.slope is not None:
                arrays[f"slope_{d}"] = node.slope
        return facts, arrays

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.names_, self.code_ = tuple(facts["names"]), TableCode.from_dict(facts["code"])
        self.smooth_ = tuple(facts["smooth"])
        columns = range(len(self.code_.names))
        self.shares_ = tuple(arrays[f"share_{d}"] for d in columns)
        self.groups_ = tuple(arrays[f"group_{d}"] for d in columns)
        self.nodes_ = tuple(
            Node(
                tuple(facts["parents"][d]),
                Table(
                    tuple(arrays[f"key_{d}_{depth}"] for depth in range(facts["depths"][d])),
                    arrays[f"probability_{d}"],
                ),
                arrays.get(f"slope_{d}"),
                facts["spreads"][d],
            )
            for d in columns
        )

    # ------------------------------------------------------------------ learning
    def _group(self, n: int) -> tuple[Groups, ...]:
        few = int(np.clip(round(n ** (1 / 3)), 3, self.max_groups))
        return tuple(
            learn_groups(share, few if isinstance(one, NumberCode) else max(2 * self.max_groups, few))
            for one, share in zip(self.code_.codes, self.shares_)
        )

    def _families(self, atoms: NDArray[np.int32], within: Floats) -> Families:
        groups = np.empty(atoms.shape, dtype=np.int32, order="F")
        scores = np.zeros(atoms.shape, order="F")
        for d, share in enumerate(self.shares_):
            groups[:, d] = encode_groups(self.groups_[d], atoms[:, d])
            if self.smooth_[d]:
                scores[:, d] = _score(share, atoms[:, d], within[:, d])
        return Families(groups, self._sizes(), scores, self.smooth_, atoms < 0, self.max_parents)

    def _sizes(self) -> tuple[int, ...]:
        return tuple(count_groups(groups) for groups in self.groups_)

    def _structure(self, families: Families, seed: int, progress: Progress) -> list[list[int]]:
        n = len(families.groups)
        if n > _SEARCH_ROWS:
            rows = np.sort(stream(seed, self.name, "rows").permutation(n)[:_SEARCH_ROWS])
            families = replace(
                families, groups=families.groups[rows], scores=families.scores[rows], gaps=families.gaps[rows], known={}
            )
        if n < 2 * MIN_SUBJECTS or not families.sizes:
            return [[] for _ in families.sizes]
        found = search(families, candidates(families, _PARTNERS), _LINEAR, progress)
        # most informative parent first: the last is the first to be dropped by back-off
        return [sorted(own, key=lambda p: (-families.gain(child, (p,))[0], p)) for child, own in enumerate(found)]

    def _learn(self, families: Families, child: int, parents: list[int]) -> Node:
        gaps = families.gaps[:, child]
        gating = parents[: self.max_parents]
        sizes = tuple(families.sizes[p] for p in gating)
        given = families.groups[:, gating]
        if not parents or not families.gain(child, parents)[1]:
            groups, size = families.groups[:, child], families.sizes[child]
            return Node(tuple(parents), learn_backoff(groups, size, given, sizes, self.smoothing, MIN_SUBJECTS))
        x, y = families.features(tuple(parents))[~gaps], families.scores[~gaps, child]
        slope, variance = regress(x, y, float(MIN_SUBJECTS))
        gate = learn_backoff(gaps.astype(np.int32), 2, given, sizes, self.smoothing, MIN_SUBJECTS)
        return Node(tuple(parents), gate, np.round(slope, 6), round(float(np.sqrt(variance)), 6))

    # ------------------------------------------------------------------ drawing
    def _ancestral(self, n: int, seed: int, first: int, window: Window | None, stretch: int = 1) -> Draw:
        """Draw n * stretch rows column by column, parents first; rows of one subject stand together."""
        shape = (n * stretch, len(self.nodes_))
        drawn = Draw(
            np.zeros(shape, dtype=np.int32, order="F"),
            np.full(shape, -1, dtype=np.int32, order="F"),
            np.full(shape, 0.5, order="F"),
            np.zeros(shape, order="F"),
            np.zeros(shape[0]),
        )
        for child in sort_columns([list(node.parents) for node in self.nodes_]):
            name = self.code_.names[child]
            u = uniforms(seed, self.name, "sample", name, n=shape[0], width=3, first=first * stretch)
            self._draw(child, drawn, u, window, stretch)
        return drawn

    def _draw(self, child: int, drawn: Draw, u: Floats, window: Window | None, stretch: int) -> None:
        node, share, groups = self.nodes_[child], self.shares_[child], self.groups_[child]
        sizes = self._sizes()
        gating = node.parents[: len(node.table.keys)]
        rows = node.table.rows(drawn.groups[:, list(gating)], tuple(sizes[p] for p in gating))
        fixed = allowed = None
        if window is not None and child in window.fixed:
            fixed = np.repeat(window.fixed[child], stretch)
        if window is not None and child in window.share:
            allowed = np.append(window.share[child], 0.0)
        if node.slope is None:
            atoms = _draw_table(node.table.probabilities[rows], groups, share, u, fixed, allowed, drawn.weight)
            within = u[:, 2]
        else:
            mean = np.full(len(u), node.slope[0])
            at = 1
            for p in node.parents:
                score = drawn.scores[:, p] if self.smooth_[p] else None
                for column in features(drawn.groups[:, p], sizes[p], score, drawn.atoms[:, p] < 0).T:
                    mean += node.slope[at] * column
                    at += 1
            gone = u[:, 0] < node.table.probabilities[rows, 1] if share[-1] > 0 else np.zeros(len(u), dtype=bool)
            z = mean + node.spread * ndtri(np.clip(u[:, 1], 1e-12, 1 - 1e-12))
            if allowed is not None:
                z = _within_cells(mean, node.spread, share, allowed, u[:, 1], drawn.weight)
                gone[:] = False
            atoms, within = _place(share, ndtr(z))
            if allowed is not None:
                atoms = _allowed_only(atoms, share, allowed)
            atoms = np.where(gone, -1, atoms).astype(np.int32)
        if fixed is not None:
            held = fixed != FREE
            atoms = np.where(held, fixed, atoms).astype(np.int32)
            assert window is not None
            within = np.where(held, np.repeat(window.position[child], stretch), within)
            if node.slope is not None:
                distance = (_score(share, atoms, within) - mean) / node.spread
                drawn.weight += np.where(held & (atoms >= 0), -(distance**2) / 2, 0.0)
        drawn.atoms[:, child], drawn.within[:, child] = atoms, within
        drawn.groups[:, child] = encode_groups(groups, atoms)
        if self.smooth_[child]:
            drawn.scores[:, child] = _score(share, atoms, within)

    def _weighted(self, n: int, seed: int, first: int, window: Window) -> Draw:
        """Draw `_TRIES` candidates per row with the conditioned columns clamped, and pick one by its weight."""
        atoms = np.empty((n, len(self.nodes_)), dtype=np.int32)
        within = np.empty(atoms.shape)
        for start in range(0, n, _CHUNK):
            stop = min(n, start + _CHUNK)
            part = replace(window, fixed={d: rows[start:stop] for d, rows in window.fixed.items()})
            part = replace(part, position={d: rows[start:stop] for d, rows in window.position.items()})
            drawn = self._ancestral(stop - start, seed, first + start, part, _TRIES)
            weight = drawn.weight.reshape(-1, _TRIES)
            weight = np.cumsum(np.exp(weight - weight.max(axis=1, keepdims=True)), axis=1)
            u = uniforms(seed, self.name, "pick", n=stop - start, width=1, first=first + start)
            pick = np.minimum((weight <= u * weight[:, -1:]).sum(axis=1), _TRIES - 1)
            kept = np.arange(stop - start) * _TRIES + pick
            atoms[start:stop], within[start:stop] = drawn.atoms[kept], drawn.within[kept]
        return Draw(np.empty((0, 0), dtype=np.int32), atoms, within, np.empty((0, 0)))


# ---------------------------------------------------------------------- tables
def learn_backoff(
    child: Groups, size: int, parents: Groups, sizes: tuple[int, ...], smoothing: float, min_subjects: int
) -> Table:
    """Count a column's groups given its parents' and back off from rare configurations and cells.

    Parameters
    ----------
    child : shape (N,), groups 0 .. size - 1.
    parents : shape (N, P), most informative first.
    sizes : number of groups of each parent.
    smoothing : subjects' worth of the distribution with one parent less that each configuration gets.
    min_subjects : fewest subjects of a configuration, and of a cell, that count on their own.
    """
    margin = np.bincount(child, minlength=size).astype(np.float64)
    blocks = [(margin / max(margin.sum(), 1.0))[None]]
    keys: list[NDArray[np.int64]] = []
    config = np.zeros(len(child), dtype=np.int64)
    for depth, width in enumerate(sizes):
        config = config * width + parents[:, depth]
        found, inverse, held = np.unique(config, return_inverse=True, return_counts=True)
        counts = np.bincount(inverse * size + child, minlength=len(found) * size).reshape(-1, size)
        enough = held >= min_subjects
        found, held, counts = found[enough], held[enough], counts[enough].astype(np.float64)
        below = Table(tuple(keys), np.concatenate(blocks))
        digits = _digits(found, sizes[: depth + 1])
        prior = below.probabilities[below.rows(digits[:, :-1], sizes[:depth])]  # (configs, K)
        kept = np.where(counts >= min_subjects, counts, 0.0)
        lent = held[:, None] - kept.sum(axis=1, keepdims=True) + smoothing
        # cells that are kept have had their say: what rare cells lend goes to the others by the prior
        open_ = np.where(kept > 0, 0.0, prior)
        open_ = np.where(open_.sum(axis=1, keepdims=True) > 0, open_, prior)
        spare = open_ / np.maximum(open_.sum(axis=1, keepdims=True), 1e-300)
        mixed = kept + (lent - smoothing) * spare + smoothing * prior
        blocks.append(mixed / np.maximum(mixed.sum(axis=1, keepdims=True), 1e-300))
        keys.append(found)
    return Table(tuple(keys), np.concatenate(blocks))


def _digits(config: NDArray[np.int64], sizes: tuple[int, ...]) -> Groups:
    out = np.empty((len(config), len(sizes)), dtype=np.int32)
    for depth in range(len(sizes) - 1, -1, -1):
        out[:, depth] = config % sizes[depth]
        config = config // sizes[depth]
    return out


def _draw_table(
    probabilities: Floats,
    groups: Groups,
    share: Floats,
    u: Floats,
    fixed: NDArray[np.int32] | None,
    allowed: Floats | None,
    weight: Floats,
) -> NDArray[np.int32]:
    """Draw a group per row from (n, K) and an atom within it; adds the log weight of what is clamped."""
    mass = share if allowed is None else share * allowed
    if allowed is not None and mass.sum() <= 0:
        mass = allowed
    n_groups = probabilities.shape[1]
    by_group = np.bincount(groups, mass, minlength=n_groups)
    if allowed is not None:
        whole = np.bincount(groups, share, minlength=n_groups)
        part = np.where(whole > 0, by_group / np.maximum(whole, 1e-300), by_group)
        probabilities = np.where(by_group > 0, probabilities, 0.0) * part
        total = probabilities.sum(axis=1)
        probabilities = np.where(total[:, None] > 0, probabilities, by_group)
        weight += np.log(np.maximum(total, 1e-300))
    bounds = np.cumsum(probabilities, axis=1)
    picked = (bounds <= (u[:, 0] * bounds[:, -1])[:, None]).sum(axis=1)
    picked = np.minimum(picked, n_groups - 1)
    order = np.lexsort((np.arange(len(groups)), groups))  # atoms, group by group
    ends = np.cumsum(mass[order])
    start = np.concatenate([[0.0], np.cumsum(by_group)])
    target = start[picked] + u[:, 1] * by_group[picked]
    solid = np.flatnonzero(mass[order] > 0)
    at = np.minimum(np.searchsorted(ends[solid], target, side="right"), max(len(solid) - 1, 0))
    atoms = order[solid[at]] if len(solid) else np.full(len(u), len(share) - 1)
    if fixed is not None:
        clamped = encode_groups(groups, np.maximum(fixed, -1).astype(np.int32))
        likely = np.take_along_axis(probabilities, clamped[:, None].astype(np.int64), 1)[:, 0]
        weight += np.where(fixed == FREE, 0.0, np.log(np.maximum(likely, 1e-300)))
    return np.where(atoms == len(share) - 1, -1, atoms).astype(np.int32)


# ---------------------------------------------------------------------- linear models
def _is_smooth(code: Any, share: Floats, n: int) -> bool:
    """Whether a column is a number without a dominant spike and with enough values for a linear model."""
    present = share[:-1]
    total = present.sum()
    return bool(isinstance(code, NumberCode) and len(present) >= 10 and total * n >= 30 and present.max() < 0.2 * total)


def _score(share: Floats, atoms: NDArray[np.int32], within: Floats) -> Floats:
    """Normal score of each cell, 0 where missing."""
    present = share[:-1] / max(share[:-1].sum(), 1e-300)
    start = np.concatenate([[0.0], np.cumsum(present)])[:-1]
    at = np.maximum(atoms, 0)
    score = ndtri(np.clip(start[at] + within * present[at], 1e-6, 1 - 1e-6))
    return np.where(atoms >= 0, score, 0.0)


def _place(share: Floats, u: Floats) -> tuple[NDArray[np.int32], Floats]:
    """Atom and position within it of each uniform of the column's margin."""
    present = share[:-1] / max(share[:-1].sum(), 1e-300)
    bounds = np.concatenate([[0.0], np.cumsum(present)])
    atoms = np.clip(np.searchsorted(bounds, u, side="right") - 1, 0, len(present) - 1)
    within = (u - bounds[atoms]) / np.maximum(present[atoms], 1e-300)
    return atoms.astype(np.int32), np.clip(within, 0, np.nextafter(1, 0))


def _within_cells(mean: Floats, spread: float, share: Floats, allowed: Floats, u: Floats, weight: Floats) -> Floats:
    """Draw normals cut to the scores of allowed atoms, and add the log of their mass to the weight."""
    present = share[:-1] / max(share[:-1].sum(), 1e-300)
    bounds = ndtri(np.clip(np.concatenate([[0.0], np.cumsum(present)]), 0, 1))
    good = ((allowed[:-1] > 0) & (present > 0)).astype(int)
    edge = np.diff(np.concatenate([[0], good, [0]]))
    low, high = bounds[np.flatnonzero(edge == 1)], bounds[np.flatnonzero(edge == -1)]
    if not len(low):
        return mean + spread * ndtri(np.clip(u, 1e-12, 1 - 1e-12))
    below, above = ndtr((low - mean[:, None]) / spread), ndtr((high - mean[:, None]) / spread)
    mass = np.cumsum(above - below, axis=1)
    weight += np.log(np.maximum(mass[:, -1], 1e-300))
    target = u * mass[:, -1]
    pick = np.minimum((mass <= target[:, None]).sum(axis=1), len(low) - 1)
    rows = np.arange(len(u))
    z = mean + spread * ndtri(np.clip(above[rows, pick] - (mass[rows, pick] - target), 1e-12, 1 - 1e-12))
    return np.clip(z, low[pick], high[pick])


def _allowed_only(atoms: NDArray[np.int32], share: Floats, allowed: Floats) -> NDArray[np.int32]:
    """Move atoms that rounding put beside their cell to the nearest allowed one."""
    good = np.flatnonzero((allowed[:-1] > 0) & (share[:-1] > 0))
    good = good if len(good) else np.flatnonzero(allowed[:-1] > 0)
    right = np.clip(np.searchsorted(good, atoms), 0, len(good) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(good[left] - atoms) < np.abs(good[right] - atoms)
    return np.where(nearer, good[left], good[right]).astype(np.int32)
