"""Maps of all rows: PCA, t-SNE and UMAP, as densities in cells, never as points.

A point in such a map is one person, so none is published: a cell is shown when five real subjects or more lie in it
(or five synthetic ones), and where one cell alone would be hidden, the smallest shown one is hidden with it, so that
what is left to the whole tells nothing. The bounds of the PCA plane are rounded outward from quantiles; the other two
maps have axes without meaning and are published in units of cells.

The value is the overlap of the two densities in the PCA plane, which real rows (train and holdout) span. UMAP compiles
for some ten seconds on its first call, so it is drawn only where the task asks for it (`--umap`).

References: Pearson, On lines and planes of closest fit, Philosophical Magazine 2, 1901, doi:10.1080/14786440109462720;
van der Maaten & Hinton, Visualizing data using t-SNE, JMLR 9, 2008; McInnes, Healy & Melville, UMAP, 2018,
arXiv:1802.03426; overlap: Inman & Bradley, Communications in Statistics 18, 1989, doi:10.1080/03610928908830127.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.fidelity.embedding import INDEPENDENT, Points, points
from ehrsatz.evaluation.intervals import deal, jackknife_interval
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, View
from ehrsatz.evaluation.task import Task
from ehrsatz.extras import is_available, require
from ehrsatz.schema import MIN_SUBJECTS

ROWS_PER_CELL = 12
SIDES = (4, 20)  # least and most cells a side
TAILS = 0.005  # of real rows, beyond which rows fall in the outermost cells
NEIGHBOUR_ROWS = 400  # of each side, for t-SNE and UMAP
STEPS = 400
PERPLEXITY = 30.0
NEIGHBOURS = 15
FIRST = 50  # PCA directions that t-SNE and UMAP read
NAMED = 4  # columns named for an axis

Place = NDArray[np.int64]  # (R, 2), the cell of each row


@dataclass(frozen=True)
class Plane:
    """The PCA plane of real rows, and where each sample's rows lie.

    Parameters
    ----------
    axes
        (P, d) directions, the greatest variance first.
    centre
        (P,)
    explained
        Share of the variance along each direction.
    edges
        Bounds of the cells along the two axes.
    """

    axes: NDArray[np.float64]
    centre: NDArray[np.float64]
    explained: NDArray[np.float64]
    edges: tuple[NDArray[np.float64], NDArray[np.float64]]

    def scores(self, one: Points, n: int = 2) -> NDArray[np.float64]:
        """Return the coordinates of rows along the first n directions."""
        return (one.x - self.centre) @ self.axes[:, :n]

    def cells(self, one: Points) -> Place:
        """Return the cell of each row."""
        return cells_of(self.scores(one), self.edges)


class Views(Metric):
    """Overlap of real and synthetic rows in the PCA plane. Same distribution near 1, apart 0, more is better."""

    name = "views"
    title = "Maps of all rows"
    family = "fidelity"
    theme = "Whole rows"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = (
        "Rows are projected on the plane in which real rows differ most; the value is the overlap of the two densities "
        "in its cells. Details hold the maps of PCA, t-SNE and, where asked for, UMAP."
    )
    blind = "Everything that does not show in the plane; distances in t-SNE and UMAP maps have no scale."
    tells = frozenset()
    reference = "Pearson 1901, doi:10.1080/14786440109462720"

    def __init__(
        self, *, target: str | None = None, task: Task | None = None, tsne: bool = True, umap: bool | None = None
    ) -> None:
        """Choose the maps.

        Parameters
        ----------
        target, task
            As for every metric.
        tsne
            Whether to draw t-SNE.
        umap
            Whether to draw UMAP, None for what the task says; without the extra "umap", computing then raises
            MissingExtraError.
        """
        super().__init__(target=target, task=task)
        self.tsne, self.umap = tsne, self.task.umap if umap is None else umap

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        planes = {view.name: plane(comparison, view, seed) for view in comparison.joint}
        placed = {
            view.name: {
                key: planes[view.name].cells(points(comparison, view, key, seed))
                for key in ("holdout", "synthetic", "train", INDEPENDENT)
            }
            for view in comparison.joint
        }
        found = {name: overlap(p["holdout"], p["synthetic"], _size(planes[name])) for name, p in placed.items()}
        worst = min(comparison.joint, key=lambda view: found[view.name])
        flat, place, value = planes[worst.name], placed[worst.name], found[worst.name]
        size = _size(flat)
        real, made = (points(comparison, worst, key, seed) for key in ("holdout", "synthetic"))
        parts = [deal(p.group, worst.rng(seed, "views", key)) for key, p in (("holdout", real), ("synthetic", made))]
        a, b = place["holdout"], place["synthetic"]
        first = {
            "view": "pca",
            "title": "Principal components",
            "status": "drawn",
            "overlap": value,
            "explained": [round(float(x), 4) for x in flat.explained[:2]],
            "axes": [_drivers(worst, real, flat.scores(real)[:, i]) for i in (0, 1)],
            "edges": {"x": [float(x) for x in flat.edges[0]], "y": [float(y) for y in flat.edges[1]]},
            **density(a, b, real.group, made.group, size),
        }
        return Score(
            self.name,
            value,
            jackknife_interval(
                value,
                np.array([overlap(a[parts[0] != g], b, size) for g in np.unique(parts[0])]),
                np.array([overlap(a, b[parts[1] != g], size) for g in np.unique(parts[1])]),
            ),
            overlap(a, place["train"], size),
            made.n,
            {"cells": size[0] * size[1], "rows": real.n, "table": worst.name},
            meaning=f"In the plane that shows most of how real rows differ ({100 * flat.explained[:2].sum():.0f} % of "
            f"their variance), {100 * value:.0f} % of real and synthetic rows share their place.",
            details={
                "views": [
                    first,
                    self._neighbours(comparison, worst, flat, seed),
                    self._umap(comparison, worst, flat, seed),
                ],
                "tables": found,
            },
            baseline=overlap(a, place[INDEPENDENT], size),
        )

    def _neighbours(self, comparison: Comparison, view: View, flat: Plane, seed: int) -> dict[str, Any]:
        head = {"view": "tsne", "title": "t-SNE"}
        if not self.tsne:
            return {**head, "status": "not asked for: Views(tsne=True) draws it"}
        return {**head, **_map(comparison, view, flat, seed, tsne)}

    def _umap(self, comparison: Comparison, view: View, flat: Plane, seed: int) -> dict[str, Any]:
        head = {"view": "umap", "title": "UMAP"}
        if self.umap:
            return {**head, **_map(comparison, view, flat, seed, umap)}
        if not is_available("umap"):
            return {
                **head,
                "status": "not installed: pip install 'ehrsatz[umap]', then --umap draws it",
            }
        return {**head, "status": "not asked for, as its first call takes some ten seconds: --umap draws it"}


def plane(comparison: Comparison, view: View, seed: int) -> Plane:
    """Return the directions in which real rows (train and holdout) differ most.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    seed
        Decides the subsamples.
    """

    def make() -> Plane:
        parts = [points(comparison, view, key, seed) for key in ("train", "holdout")]
        real = np.concatenate([part.x for part in parts]).astype(np.float64)
        centre = real.mean(axis=0)
        spread, axes = np.linalg.eigh((real - centre).T @ (real - centre) / len(real))
        spread, axes = np.clip(spread[::-1], 0, None), axes[:, ::-1]
        if axes.shape[1] < 2:
            spread, axes = np.append(spread, 0.0), np.column_stack([axes, np.zeros(len(axes))])
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
        n = min(part.n for part in (parts[1], points(comparison, view, "synthetic", seed)))
        at = (real - centre) @ axes[:, :2]
        edges = tuple(_edges(at[:, i], _n_cells(n)) for i in (0, 1))
        return Plane(axes, centre, spread / max(1e-12, float(spread.sum())), (edges[0], edges[1]))

    out: Plane = comparison.once(("plane", view.name, seed), make)
    return out


def cells_of(at: NDArray[np.float64], edges: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Place:
    """Return the cell of each row; rows beyond the edges fall in the outermost cells.

    Parameters
    ----------
    at
        (R, 2)
    edges
        Bounds of the cells along the two axes.
    """
    return np.column_stack(
        [np.clip(np.searchsorted(edge, at[:, i], "right") - 1, 0, len(edge) - 2) for i, edge in enumerate(edges)]
    )


def overlap(a: Place, b: Place, size: tuple[int, int]) -> float:
    """Return the sum over cells of the smaller of two shares: 1 for equal densities, 0 for no cell in common.

    Parameters
    ----------
    a, b
        Cells of the rows of two samples.
    size
        Cells along the two axes.

    Examples
    --------
    >>> overlap(np.array([[0, 0], [0, 1]]), np.array([[0, 1], [1, 1]]), (2, 2))
    0.5
    """
    p, q = (np.bincount(_flat(one, size), minlength=size[0] * size[1]) / len(one) for one in (a, b))
    return float(np.minimum(p, q).sum())


def density(
    a: Place, b: Place, real: NDArray[np.int64], made: NDArray[np.int64], size: tuple[int, int]
) -> dict[str, Any]:
    """Return shares of real and synthetic rows by cell, none where fewer than five subjects stand behind it.

    Parameters
    ----------
    a, b
        Cells of the real and of the synthetic rows.
    real, made
        Their subjects.
    size
        Cells along the two axes.

    Returns
    -------
    `size`; `x`, `y`, cells that either sample fills, without hidden ones; `real`, `synthetic`, their shares, None where
    hidden, 0 where empty; `hidden`, the number of cells that are not shown for each.
    """
    shares, hidden = {}, {}
    for key, place, group in (("real", a, real), ("synthetic", b, made)):
        index = _flat(place, size)
        rows = np.bincount(index, minlength=size[0] * size[1])
        pairs = np.unique(np.column_stack([index, group]), axis=0)
        subjects = np.bincount(pairs[:, 0], minlength=len(rows))
        few = (subjects > 0) & (subjects < MIN_SUBJECTS)
        shown = np.flatnonzero(subjects >= MIN_SUBJECTS)
        if few.sum() == 1 and len(shown):
            few[shown[rows[shown].argmin()]] = True
        shares[key] = [None if hide else round(float(n) / len(place), 4) for n, hide in zip(rows, few)]
        hidden[key] = int(few.sum())
    kept = [i for i in range(size[0] * size[1]) if any(shares[key][i] for key in shares)]
    return {
        "size": list(size),
        "x": [i // size[1] for i in kept],
        "y": [i % size[1] for i in kept],
        **{key: [shares[key][i] for i in kept] for key in shares},
        "hidden": hidden,
    }


def tsne(x: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return a t-SNE map (R, 2), started from the first two columns of x."""
    from sklearn.manifold import TSNE

    start = x[:, :2] / max(1e-12, float(x[:, 0].std())) * 1e-4
    model = TSNE(
        2,
        perplexity=min(PERPLEXITY, (len(x) - 1) / 3),
        init=start.astype(np.float32),
        max_iter=STEPS,
        random_state=seed % (2**31),
        n_jobs=1,
    )
    return model.fit_transform(x.astype(np.float32)).astype(np.float64)


def umap(x: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return a UMAP map (R, 2), started from the first two columns of x.

    Raises
    ------
    MissingExtraError
        When umap-learn is not installed.
    """
    module = require("umap", extra="umap", feature="The UMAP view")
    start = x[:, :2] / max(1e-12, float(x[:, 0].std()))
    model = module.UMAP(
        n_neighbors=min(NEIGHBOURS, len(x) - 1), init=start.astype(np.float32), random_state=seed % (2**31), n_jobs=1
    )
    return np.asarray(model.fit_transform(x.astype(np.float32)), np.float64)


def _map(comparison: Comparison, view: View, flat: Plane, seed: int, draw: Any) -> dict[str, Any]:
    """Draw real and synthetic rows in one map, and count them in cells."""
    real, made = (points(comparison, view, key, seed) for key in ("holdout", "synthetic"))
    n = min(NEIGHBOUR_ROWS, real.n, made.n)
    real, made = real.first(n), made.first(n)
    x = np.concatenate([flat.scores(real, FIRST), flat.scores(made, FIRST)])
    at = draw(x, seed)
    side = _n_cells(n)
    low, high = at.min(axis=0), at.max(axis=0)
    unit = (at - low) / np.maximum(high - low, 1e-12)
    place = np.clip((unit * side).astype(np.int64), 0, side - 1)
    size = (side, side)
    return {
        "status": "drawn",
        "rows": n,
        "overlap": overlap(place[:n], place[n:], size),
        **density(place[:n], place[n:], real.group, made.group, size),
    }


def _drivers(view: View, real: Points, score: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return the columns that move most with an axis: share of its variance, and for numbers the direction."""
    found: list[dict[str, Any]] = []
    sample, total = real.sample, float(score.var())
    for one in view.features if total > 0 else ():
        if one.is_number:
            rank = sample.rank[:, one.slot].astype(np.float64)
            there = rank != MISSING_RANK
            if there.sum() < MIN_SUBJECTS or rank[there].std() == 0 or score[there].std() == 0:
                continue
            r = float(np.corrcoef(rank[there], score[there])[0, 1])
            found.append({"column": one.name, "share": round(r * r, 3), "direction": "up" if r > 0 else "down"})
            continue
        codes = sample.codes[:, one.slot]
        tally = np.bincount(codes)
        mean = np.bincount(codes, score) / np.maximum(tally, 1)
        share = float((tally * (mean - score.mean()) ** 2).sum() / len(codes)) / total
        if len(tally[tally > 0]) <= len(codes) / ROWS_PER_CELL:  # more levels fit any score
            found.append({"column": one.name, "share": round(share, 3), "direction": None})
    return sorted(found, key=lambda one: (-one["share"], one["column"]))[:NAMED]


def _edges(at: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return n + 1 bounds, outward from quantiles to halves."""
    low, high = np.quantile(at, TAILS), np.quantile(at, 1 - TAILS)
    low, high = np.floor(2 * low) / 2, np.ceil(2 * high) / 2
    return np.linspace(low, max(high, low + 0.5), n + 1)


def _n_cells(n: int) -> int:
    return int(np.clip(np.sqrt(n / ROWS_PER_CELL), *SIDES))


def _size(flat: Plane) -> tuple[int, int]:
    return len(flat.edges[0]) - 1, len(flat.edges[1]) - 1


def _flat(place: Place, size: tuple[int, int]) -> NDArray[np.int64]:
    return place[:, 0] * size[1] + place[:, 1]
