"""One column given the columns drawn before it: a linear score, a mixture of trees, and for smooth numbers a residual.

What a column looks at: its linear prediction from all earlier columns (`linear.py`), and the few earlier columns that
tell most about it. Categories enter the trees by an order of their levels made for this column: the first principal
direction of the levels' mean targets (Breiman et al. 1984 for two classes, Coppersmith et al. 1999 for more). A
number without spikes whose linear prediction explains enough is drawn as prediction plus residual on the scale of
normal scores; the trees then model the residual, in bins of at least `MIN_SUBJECTS` subjects, so that no cell is
copied.

References
----------
Breiman, Friedman, Olshen & Stone, Classification and Regression Trees (1984), theorem 4.5.
Coppersmith, Hong & Hosking, Partitioning nominal attributes in decision trees, Data Mining and Knowledge Discovery 3
(1999), doi:10.1023/A:1009869804967.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ehrsatz.generators import grove
from ehrsatz.generators.linear import SHRINK, Design, Margin, signed
from ehrsatz.schema import MIN_SUBJECTS

Atoms = NDArray[np.int32]
Floats = NDArray[np.float64]

_FEW_CLASSES = 12  # up to here classification trees; above, regression on coordinates
_TOP = 12  # levels of a category of many that count each on its own besides their coordinates
_SCORES = 3  # linear scores that trees see of one column
_GRAIN = 64.0  # scores are rounded to 1/64 of their spread
_SMOOTH = 0.5  # share of spikes below which a number may be drawn by residual
_RESIDUAL_PARENTS = 6
_STRONG = 0.5
_BINS = 256


@dataclass(frozen=True)
class Settings:
    """How trees are grown; what each means stands in `Trees`."""

    leaf: int
    n_trees: int
    share: float
    parents: int
    try_features: float
    pull: float
    residual_from: float
    calm: float = 0.15  # entropy in nats under which one tree on all rows is enough


@dataclass(frozen=True)
class Score:
    """Coefficients of the linear prediction, and the projection and spread of what trees see of it."""

    coefficients: Floats  # (p, K)
    intercept: Floats  # (K,)
    projection: Floats  # (K, k)
    spread: Floats  # (k,)

    def features(self, predicted: Floats) -> NDArray[np.float32]:
        """Return the rounded scores, (R, K) -> (R, k)."""
        return (np.round(predicted @ self.projection / self.spread * _GRAIN) / _GRAIN).astype(np.float32)


@dataclass(frozen=True)
class Conditional:
    """What was learned of one column.

    margin holds the column's sorted atoms where it follows nothing; encodings hold for each parent the tree features
    of its atoms, shape (n_atoms + 1, 1), or None for numbers; edges are those of the residual's bins.
    """

    column: int
    size: int
    margin: Atoms
    parents: tuple[int, ...] = ()
    encodings: tuple[Floats | None, ...] = ()
    score: Score | None = None
    edges: Floats = field(default_factory=lambda: np.zeros(0))
    trees: tuple[grove.Tree, ...] = ()
    pull: float = 0.0

    def draw(self, design: Design, matrix: Floats, atoms: Atoms, u: Floats) -> tuple[Atoms, Floats]:
        """Draw the column for rows whose earlier columns stand in `atoms` and `matrix`.

        Parameters
        ----------
        design : the blocks' places and the margins.
        matrix : shape (R, width), standardised design columns drawn so far.
        atoms : shape (R, D), -1 where missing.
        u : shape (R, 4): tree, climb, atom, position within the atom.

        Returns
        -------
        Atoms (R,), -1 where missing, and positions within them (R,).
        """
        if not self.trees:
            index = self.margin[(u[:, 2] * len(self.margin)).astype(np.int64)]
            return np.where(index == self.size, -1, index).astype(np.int32), u[:, 3]
        predicted = self.predict(matrix)
        index = grove.draw(self.trees, self.features(design.margins, predicted, atoms), u[:, :3], self.pull)
        if not len(self.edges):
            return np.where(index == self.size, -1, index).astype(np.int32), u[:, 3]
        bins = len(self.edges) - 1
        missing = index == bins
        low = self.edges[np.minimum(index, bins - 1)]
        high = self.edges[np.minimum(index, bins - 1) + 1]
        assert predicted is not None and self.score is not None
        z = predicted[:, 0] + self.score.intercept[0] + low + (high - low) * u[:, 3]
        floor = design.margins[self.column].floor
        place = ndtr(z)
        atom = np.clip(np.searchsorted(floor, place, side="right") - 1, 0, self.size - 1)
        position = np.clip((place - floor[atom]) / np.maximum(floor[atom + 1] - floor[atom], 1e-12), 0, 1 - 1e-9)
        return np.where(missing, -1, atom).astype(np.int32), position

    def predict(self, matrix: Floats) -> Floats | None:
        """Return the centred linear prediction, (R, K), None where there is none."""
        if self.score is None:
            return None
        return matrix[:, : len(self.score.coefficients)] @ self.score.coefficients

    def features(self, margins: list[Margin], predicted: Floats | None, atoms: Atoms) -> NDArray[np.float32]:
        """Return what the trees see, shape (R, F)."""
        parts = [] if self.score is None or predicted is None else [self.score.features(predicted)]
        for parent, encoding in zip(self.parents, self.encodings):
            parts.append(_feature(margins[parent], atoms[:, parent], encoding))
        return np.hstack(parts)


def learn_conditional(
    column: int,
    design: Design,
    atoms: Atoms,
    position: Floats,
    parents: list[int],
    coordinates: Floats | None,
    *,
    entropy: float,
    told: float,
    settings: Settings,
    subjects: NDArray[np.int64] | None,
    seed: int,
    name: str,
) -> Conditional:
    """Learn one column given those before it.

    Parameters
    ----------
    column : which, an index of `atoms`.
    design : fitted.
    atoms, position : shape (R, D), all columns.
    parents : earlier columns that trees may look at, the strongest first.
    coordinates : shape (n_atoms + 1, k), of the levels of a category of many levels.
    entropy : of the column, in nats.
    told : most that one parent tells of the column, in nats.
    settings : of the trees.
    subjects : shape (R,), whose row it is, or None.
    seed, name : name the streams.
    """
    margin = design.margins[column]
    size = margin.size
    index = np.where(atoms[:, column] < 0, size, atoms[:, column]).astype(np.int32)
    alone = Conditional(column, size, np.sort(index))
    if len(np.unique(index)) < 2 or not (parents or design.start[column]):
        return alone
    target, labels = _target(margin, index, position[:, column], coordinates, design.clip)
    centre = target.mean(0)
    target = target - centre
    fitted = design.regress(column, target)
    score, predicted, edges, leaf = None, None, np.zeros(0), settings.leaf
    try_features = 1.0 if told > _STRONG * entropy else settings.try_features  # never miss the one that decides
    if fitted is not None:
        predicted, left, coefficients = fitted
        score = _score(predicted, coefficients, centre)
        if left is not None and _explained(left, target) > settings.residual_from:
            missing = index == size
            edges = _edges(left[~missing, 0])
            bins = np.searchsorted(edges[1:-1], left[:, 0], side="right").astype(np.int32)
            index = np.where(missing, len(edges) - 1, bins).astype(np.int32)
            target = np.where(missing, 0.0, left[:, 0])[:, None]
            if missing.any():
                target = np.hstack([target, missing[:, None] * 2 * target.std()])
            target = target - target.mean(0)
            parents = parents[:_RESIDUAL_PARENTS]
            leaf, try_features = 4 * leaf, 0.3
    kept, encodings = _encode(design.margins, atoms, parents, target)
    shell = Conditional(
        column, size, np.zeros(0, np.int32), tuple(kept), tuple(encodings), score, edges, (), settings.pull
    )
    if score is None and not kept:
        return alone
    is_calm = entropy < settings.calm
    trees = grove.grow(
        shell.features(design.margins, predicted, atoms),
        target,
        labels if not len(edges) else None,
        index,
        n_trees=1 if is_calm else settings.n_trees,
        share=1.0 if is_calm else settings.share,
        leaf=leaf,
        try_features=1.0 if is_calm else try_features,
        subjects=subjects,
        seed=seed,
        name=name,
    )
    return Conditional(column, size, shell.margin, shell.parents, shell.encodings, score, edges, trees, settings.pull)


def _target(
    margin: Margin, index: Atoms, position: Floats, coordinates: Floats | None, clip: float
) -> tuple[Floats, Atoms | None]:
    """Return what trees split by, (R, K), and classes where classification trees are used."""
    present = margin.share > 0
    if margin.is_number:
        atoms = np.where(index == margin.size, -1, index).astype(np.int32)
        scores = margin.block(atoms, position, clip)[:, :1]
        if present[margin.size] and present[:-1].any():
            return np.hstack([scores, (index == margin.size)[:, None].astype(np.float64)]), None
        return scores, None
    if coordinates is not None and present.sum() > _FEW_CLASSES:
        top = np.argsort(-margin.share, kind="stable")[:_TOP]
        return np.hstack([coordinates[index], 2.0 * (index[:, None] == top[None, :])]), None
    levels = np.flatnonzero(present)
    return (index[:, None] == levels[None, :]).astype(np.float64), index


def _score(predicted: Floats, coefficients: Floats, centre: Floats) -> Score:
    width = predicted.shape[1]
    projection = np.eye(width)
    if width > _SCORES:
        _, vectors = np.linalg.eigh(np.round(predicted.T @ predicted / len(predicted), 12))
        projection = np.round(signed(vectors[:, ::-1][:, :_SCORES]), 9)
    spread = np.round((predicted @ projection).std(0), 9)
    return Score(coefficients, centre, projection, np.maximum(spread, 1e-9))


def _explained(left: Floats, target: Floats) -> float:
    """Share of a number's variance that its linear prediction explains, by leave-one-out residuals."""
    return 1 - float((left[:, 0] ** 2).mean()) / max(float((target[:, 0] ** 2).mean()), 1e-12)


def is_smooth(margin: Margin, atoms: Atoms, position: Floats) -> bool:
    """Say whether most present cells of a number lie within bins; those at the middle of their atom are spikes."""
    present = position[atoms >= 0]
    return margin.is_number and len(present) > 0 and float((present == 0.5).mean()) < _SMOOTH


def _edges(residual: Floats) -> Floats:
    """Bin edges of residuals: at least MIN_SUBJECTS rows a bin, outer edges averages of the outermost rows."""
    ordered = np.sort(residual)
    n_bins = int(max(1, min(_BINS, len(ordered) // MIN_SUBJECTS)))
    inner = np.quantile(ordered, np.linspace(0, 1, n_bins + 1)[1:-1])
    few = min(MIN_SUBJECTS, len(ordered))
    ends = np.array([ordered[:few].mean(), ordered[-few:].mean()])
    edges = np.concatenate([ends[:1], inner, ends[1:]])
    return np.maximum.accumulate(np.round(edges, 4))


def _encode(
    margins: list[Margin], atoms: Atoms, parents: list[int], target: Floats
) -> tuple[list[int], list[Floats | None]]:
    """Order the levels of each parent by what they say of the target."""
    kept: list[int] = []
    encodings: list[Floats | None] = []
    for parent in parents:
        margin = margins[parent]
        if margin.is_number:
            kept.append(parent)
            encodings.append(None)
            continue
        index = np.where(atoms[:, parent] < 0, margin.size, atoms[:, parent])
        count = np.bincount(index, minlength=margin.size + 1).astype(np.float64)
        means = (
            np.stack([np.bincount(index, t, minlength=len(count)) for t in target.T], axis=1)
            / (count + SHRINK)[:, None]
        )
        _, _, vectors = np.linalg.svd(means * np.sqrt(count)[:, None], full_matrices=False)
        axis = signed(vectors[:1].T)[:, 0]
        kept.append(parent)
        encodings.append(np.round(means @ axis, 9)[:, None])
    return kept, encodings


def _feature(margin: Margin, atoms: Atoms, encoding: Floats | None) -> NDArray[np.float32]:
    if encoding is None:
        return margin.feature(atoms)[:, None].astype(np.float32)
    return encoding[np.where(atoms < 0, margin.size, atoms)].astype(np.float32)


def state_of(one: Conditional, prefix: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return facts and arrays of a conditional for the model folder."""
    facts: dict[str, Any] = {"column": one.column, "size": one.size, "parents": list(one.parents), "pull": one.pull}
    facts["numbers"] = [encoding is None for encoding in one.encodings]
    facts["scored"], facts["grown"] = one.score is not None, len(one.trees) > 0
    arrays: dict[str, NDArray[Any]] = {f"{prefix}.margin": one.margin, f"{prefix}.edges": one.edges}
    for k, encoding in enumerate(one.encodings):
        if encoding is not None:
            arrays[f"{prefix}.encoding{k}"] = encoding
    if one.score is not None:
        for name in ("coefficients", "intercept", "projection", "spread"):
            arrays[f"{prefix}.{name}"] = getattr(one.score, name)
    if one.trees:
        arrays |= grove.pack_trees(one.trees, f"{prefix}.tree")
    return facts, arrays


def from_state(facts: dict[str, Any], arrays: dict[str, NDArray[Any]], prefix: str) -> Conditional:
    """Undo `state_of`."""
    names = ("coefficients", "intercept", "projection", "spread")
    return Conditional(
        column=facts["column"],
        size=facts["size"],
        margin=arrays[f"{prefix}.margin"],
        parents=tuple(facts["parents"]),
        encodings=tuple(
            None if number else arrays[f"{prefix}.encoding{k}"] for k, number in enumerate(facts["numbers"])
        ),
        score=Score(**{name: arrays[f"{prefix}.{name}"] for name in names}) if facts["scored"] else None,
        edges=arrays[f"{prefix}.edges"],
        trees=grove.unpack_trees(arrays, f"{prefix}.tree") if facts["grown"] else (),
        pull=facts["pull"],
    )
