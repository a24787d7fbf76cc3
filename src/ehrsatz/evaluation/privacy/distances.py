"""Ratios and comparisons of nearest distances, each for training rows and for people never seen, and their difference.

These measures are asked for by name. They average over all rows: rare or partial copying moves them by less than
chance does (Yao et al., The DCR Delusion, 2025, arXiv:2505.01524), and small values are no proof of safety.

References: Lowe, IJCV 60, 2004 (the ratio of the two nearest distances); Yoon, Drumright & van der Schaar, ADS-GAN,
IEEE JBHI 24, 2020, doi:10.1109/JBHI.2020.2980262 (identifiability); Yale et al., Generation and evaluation of privacy
preserving synthetic health data, Neurocomputing 416, 2020, doi:10.1016/j.neucom.2019.12.136 (adversarial accuracy).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import Z
from ehrsatz.evaluation.privacy.neighbours import Points, embed, points, search
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, View

MAX_ROWS = 100_000  # of each dataset, among which neighbours are sought
MAX_PAIRS = 100_000_000  # rows whose neighbours are sought, times rows among which
BINS = 20
BLIND = "Averages over all rows miss partial and rare copying, which moves them by no more than chance does."


@dataclass(frozen=True)
class Gap:
    """A measure for train and for the holdout, its difference and the standard error of that."""

    train: float
    holdout: float
    error: float

    @property
    def value(self) -> float:
        """What speaks of copying: positive where the synthetic rows cling to train."""
        return self.train - self.holdout


class _Difference(Metric):
    """A difference between train and holdout; 0 is what a fresh sample scores."""

    family = "privacy"
    theme = "Copies"
    goal = "minimise"
    low, high, ideal = -1.0, 1.0, 0.0
    needs = frozenset({"rows"})
    blind = BLIND

    def _gap(self, view: View, cut: dict[str, Points]) -> Gap:
        raise NotImplementedError

    def _sentence(self, gap: Gap) -> str:
        raise NotImplementedError

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {}
        for view in comparison.joint:
            rows = _rows(comparison, view, seed)
            if len(rows["train"]) > 2 and len(rows["synthetic"]) > 2:
                found[view.name] = (self._of(comparison, view, rows, seed), len(rows["train"]))
        if not found:
            raise Unmeasured("Not measured: at least three rows of each dataset are needed.")
        table = max(found, key=lambda name: found[name][0].value)
        gap, n = found[table]
        reach = Z * gap.error
        return Score(
            self.name,
            gap.value,
            (max(-1.0, gap.value - reach), min(1.0, gap.value + reach)),
            0.0,
            n,
            {"rows": n, "rows_sought": min(n, max(1000, MAX_PAIRS // n)), "table": table},
            meaning=self._sentence(gap),
            details={
                "train": gap.train,
                "holdout": gap.holdout,
                "tables": {name: one.value for name, (one, _) in found.items()},
            },
        )

    def _of(self, comparison: Comparison, view: View, rows: dict[str, NDArray[np.int64]], seed: int) -> Gap:
        known = points(comparison, view)
        return self._gap(view, {key: known[key].take(rows[key]) for key in known})


class Nndr(_Difference):
    """How much smaller the ratio of the two nearest distances is towards train than towards the holdout.

    A fresh sample scores 0, a copy of train about the mean ratio, up to 1; less is better.
    """

    name = "nndr"
    title = "Nearest distance ratio, train against holdout"
    what = "Mean ratio of a synthetic row's nearest to its second nearest distance: in the holdout, less that in train."
    reference = "Lowe 2004; Yao et al. 2025, arXiv:2505.01524"

    def _gap(self, view: View, cut: dict[str, Points]) -> Gap:
        ratios = {}
        for key in ("train", "holdout"):
            d = search(some(cut["synthetic"]), cut[key], 2)[0]
            ratios[key] = np.where(d[:, 1] > 0, d[:, 0] / np.where(d[:, 1] > 0, d[:, 1], 1), 1.0).astype(np.float64)
        gap = ratios["holdout"] - ratios["train"]
        error = clustered_error(gap, some(cut["synthetic"]).group)
        return Gap(-float(ratios["train"].mean()), -float(ratios["holdout"].mean()), error)

    def _sentence(self, gap: Gap) -> str:
        return (
            f"The nearest training row is {-gap.train:.3f} times as far from a synthetic row as the second nearest, "
            f"the nearest unseen row {-gap.holdout:.3f} times; equal ratios show no pull towards single people."
        )


class Identifiability(_Difference):
    """Share of training rows with a synthetic row nearer than any other training row, less the same of the holdout.

    A fresh sample scores 0 (both shares are near one half), a copy of train up to one half or more; less is better.
    """

    name = "identifiability"
    title = "Identifiability, train against holdout"
    what = (
        "Share of rows of a half whose nearest synthetic row is nearer than their nearest row of the same half, "
        "columns weighted by the inverse of their entropy: train less holdout."
    )
    reference = "Yoon et al. 2020, doi:10.1109/JBHI.2020.2980262"

    def _of(self, comparison: Comparison, view: View, rows: dict[str, NDArray[np.int64]], seed: int) -> Gap:
        samples = {key: one.take(rows[key]) for key, one in view.samples.items()}
        cut = View(view.name, view.features, samples, view.joint)
        return self._gap(cut, embed(cut, cut.features, entropy_weights(view)))

    def _gap(self, view: View, cut: dict[str, Points]) -> Gap:
        near = {key: nearer_synthetic(cut, key) for key in ("train", "holdout")}
        error = math.hypot(*(clustered_error(near[key], some(cut[key]).group) for key in near))
        return Gap(float(near["train"].mean()), float(near["holdout"].mean()), error)

    def _sentence(self, gap: Gap) -> str:
        return (
            f"{100 * gap.train:.1f} % of the training rows have a synthetic row nearer than any other training row; "
            f"the same holds for {100 * gap.holdout:.1f} % of the unseen rows among themselves. Only the difference "
            "is a leak."
        )


class Nnaa(_Difference):
    """Privacy loss: nearest-neighbour adversarial accuracy of the holdout less that of train.

    A fresh sample scores 0 (both near one half), a copy of train one half; less is better.
    """

    name = "nnaa"
    title = "Adversarial accuracy, privacy loss"
    what = (
        "How often a row's nearest neighbour is of its own kind, real or synthetic, averaged over both kinds: with the "
        "holdout as real rows, less with train."
    )
    reference = "Yale et al. 2020, doi:10.1016/j.neucom.2019.12.136"

    def _gap(self, view: View, cut: dict[str, Points]) -> Gap:
        made = some(cut["synthetic"])
        own = search(made, cut["synthetic"], 1, others=True)[0][:, 0]
        value, parts, errors = {}, {}, []
        for key in ("train", "holdout"):
            real = 1 - nearer_synthetic(cut, key, strict=False)
            parts[key] = (search(made, cut[key], 1)[0][:, 0] > own).astype(np.float64)
            value[key] = (float(real.mean()) + float(parts[key].mean())) / 2
            errors.append(clustered_error(real, some(cut[key]).group) / 2)
        errors.append(clustered_error(parts["holdout"] - parts["train"], made.group) / 2)
        return Gap(-value["train"], -value["holdout"], float(np.sqrt(np.square(errors).sum())))

    def _sentence(self, gap: Gap) -> str:
        return (
            f"Whether a row is real or synthetic can be told from its nearest neighbour {-100 * gap.train:.1f} times "
            f"in 100 among training rows and {-100 * gap.holdout:.1f} times among people never seen; copies make the "
            "former smaller."
        )


def nearer_synthetic(cut: dict[str, Points], key: str, *, strict: bool = True) -> NDArray[np.float64]:
    """Say, as 0 or 1, which rows of a half have a synthetic row nearer than any row of another subject of that half."""
    rows = some(cut[key])
    to_made = search(rows, cut["synthetic"], 1)[0][:, 0]
    to_own = search(rows, cut[key], 1, others=True)[0][:, 0]
    return (to_made < to_own if strict else to_made <= to_own).astype(np.float64)


def some(rows: Points) -> Points:
    """Return the rows whose neighbours are sought: all, or the first ones where the table is large."""
    n = max(1000, MAX_PAIRS // max(1, rows.n))
    return rows if rows.n <= n else rows.take(np.arange(n))


def entropy_weights(view: View) -> NDArray[np.float64]:
    """Return one over the entropy of each column among real rows, numbers in twentieths; their mean is 1.

    A column of less than a tenth of a nat counts as a tenth, a constant one as nothing.
    """
    out = []
    for one in view.features:
        if one.is_number:
            rank = np.concatenate([view.samples[key].rank[:, one.slot] for key in ("train", "holdout")])
            codes = np.where(rank == MISSING_RANK, BINS, np.clip((rank * BINS).astype(np.int64), 0, BINS - 1))
        else:
            codes = np.concatenate([view.samples[key].codes[:, one.slot] for key in ("train", "holdout")])
        share = np.bincount(codes) / len(codes)
        share = share[share > 0]
        entropy = float(-(share * np.log(share)).sum())
        out.append(1 / max(entropy, 0.1) if entropy > 0 else 0.0)
    weights = np.array(out)
    return weights / weights.mean() if weights.sum() else np.ones(len(weights))


def clustered_error(values: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """Return the standard error of a mean of rows, whole subjects varying together."""
    n = len(values)
    sums = np.bincount(np.unique(group, return_inverse=True)[1], values - values.mean())
    m = len(sums)
    return float(np.sqrt(np.square(sums).sum() * m / max(1, m - 1)) / n) if n else 0.0


def _rows(comparison: Comparison, view: View, seed: int) -> dict[str, NDArray[np.int64]]:
    """Choose equally many rows of each dataset, once for all measures."""

    def make() -> dict[str, NDArray[np.int64]]:
        n = min(MAX_ROWS, *(one.n for one in view.samples.values()))
        return {key: view.rng(seed, "distances", key).permutation(one.n)[:n] for key, one in view.samples.items()}

    out: dict[str, NDArray[np.int64]] = comparison.once(("distances", view.name, seed), make)
    return out
