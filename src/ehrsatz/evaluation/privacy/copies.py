"""Are synthetic rows copies of the rows the generator saw? Exact copies, near copies, and which half is nearer.

Everything is held against real people whom the generator never saw: a synthetic row may equal a training row because
many people look alike; then it equals holdout rows as often. Train and holdout are cut to equal size for that.

Known blindness: distances say nothing about a single outlier among thousands, and independent columns pass them all.

References: Platzer & Reutterer, Holdout-based empirical assessment of mixed-type synthetic data, Frontiers in Big Data
2021, doi:10.3389/fdata.2021.679939 (share of rows nearer to train).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.distance import TIE
from ehrsatz.evaluation.intervals import share_interval
from ehrsatz.evaluation.privacy.neighbours import Points, points, search
from ehrsatz.evaluation.space import Comparison, Sample, View

MAX_REAL = 100_000
MAX_SYNTHETIC = 3000
QUANTILE = 0.01


@dataclass(frozen=True)
class Near:
    """Distances of synthetic rows to their nearest train and holdout row, and of holdout rows to train."""

    to_train: NDArray[np.float32]
    to_holdout: NDArray[np.float32]
    holdout_to_train: NDArray[np.float32]
    group: NDArray[np.int64]
    n_real: int


class ExactCopies(Metric):
    """Share of synthetic rows that equal a training row; the reference is the share that equal a holdout row.

    A copy of train scores 1, a fresh sample scores about its reference; less is better, and only what goes beyond the
    reference speaks of copying.
    """

    name = "exact_copies"
    title = "Exact copies"
    family = "privacy"
    theme = "Copies"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    what = "Synthetic rows that equal a training row in every column, and as many holdout rows for comparison."
    blind = "One digit changed and it is no exact copy; rows kept in part."
    reference = "Platzer & Reutterer 2021, doi:10.3389/fdata.2021.679939"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        best: Score | None = None
        for view in comparison.joint:
            size = min(view.samples["train"].n, view.samples["holdout"].n)
            made = view.samples["synthetic"]
            in_train = _equal(made, view.samples["train"].pick(size, view.rng(seed, "copies", "train")))
            in_holdout = _equal(made, view.samples["holdout"].pick(size, view.rng(seed, "copies", "holdout")))
            score = _share_score(self.name, in_train, in_holdout, made.group, view, seed, "equal a")
            if best is None or _excess(score) > _excess(best):
                best = score
        assert best is not None
        return best


class NearCopies(Metric):
    """Share of synthetic rows nearer to a training row than 99 % of unseen real rows are; reference: to a holdout row.

    A copy of train scores 1, a fresh sample about its reference (near 0.01, more where real rows repeat); less is
    better.
    """

    name = "near_copies"
    title = "Near copies"
    family = "privacy"
    theme = "Copies"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows"})
    what = "Synthetic rows nearer to a training row than 99 % of unseen people are; the same for holdout rows."
    blind = "One radius for all: near copies of unusual patients lie farther out; rows kept in part."
    reference = "Platzer & Reutterer 2021, doi:10.3389/fdata.2021.679939"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        best: Score | None = None
        for view in comparison.joint:
            near = nearby(comparison, view, seed)
            reach = float(np.quantile(near.holdout_to_train, QUANTILE, method="lower")) + TIE
            score = _share_score(
                self.name,
                near.to_train <= reach,
                near.to_holdout <= reach,
                near.group,
                view,
                seed,
                "lie very close to a",
            )
            if best is None or _excess(score) > _excess(best):
                best = score
        assert best is not None
        return best


class DcrShare(Metric):
    """Share of synthetic rows nearer to a training row than to any holdout row, ties half.

    A copy of train scores 1, a sample that knows no row of either 0.5 (the reference, by symmetry); nearer to 0.5 is
    better, below 0.5 is chance.
    """

    name = "dcr_share"
    title = "Nearer to the training rows"
    family = "privacy"
    theme = "Copies"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    what = "For each synthetic row: is the nearest real person one the generator saw, or one it did not see?"
    blind = (
        "Shares of distances miss rows kept in part and rare verbatim copies: tables that pass can be open to "
        "membership inference (Yao et al., The DCR Delusion, 2025, arXiv:2505.01524). leak looks at those."
    )
    reference = "Platzer & Reutterer 2021, doi:10.3389/fdata.2021.679939"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        shares = {}
        for view in comparison.joint:
            near = nearby(comparison, view, seed)
            tie = np.abs(near.to_train - near.to_holdout) <= TIE
            shares[view.name] = np.where(tie, 0.5, near.to_train < near.to_holdout)
        worst = max(comparison.joint, key=lambda view: float(shares[view.name].mean()))
        near, hit = nearby(comparison, worst, seed), shares[worst.name]
        value = float(hit.mean())
        return Score(
            self.name,
            value,
            share_interval(hit, near.group, worst.rng(seed, "dcr", "jackknife")),
            0.5,
            len(hit),
            {"rows_real": near.n_real, "rows_synthetic": len(hit), "table": worst.name},
            meaning=f"{100 * value:.1f} % of the synthetic rows lie nearer to a person the generator saw than to one "
            "it did not see; 50 % shows no pull towards the former.",
            details={"tables": {name: float(one.mean()) for name, one in shares.items()}},
        )


def nearby(comparison: Comparison, view: View, seed: int) -> Near:
    """Measure nearest distances, once for all metrics of this file."""

    def make() -> Near:
        size = min(MAX_REAL, view.samples["train"].n, view.samples["holdout"].n)
        known = points(comparison, view)
        train, holdout = (_pick(known[key], size, view.rng(seed, "copies", key)) for key in ("train", "holdout"))
        made = _pick(known["synthetic"], MAX_SYNTHETIC, view.rng(seed, "copies", "synthetic"))
        some = _pick(holdout, MAX_SYNTHETIC // 2, view.rng(seed, "copies", "threshold"))
        near = [search(a, b)[0][:, 0] for a, b in ((made, train), (made, holdout), (some, train))]
        return Near(near[0], near[1], near[2], made.group, size)

    out: Near = comparison.once(("nearby", view.name, seed), make)
    return out


def _pick(rows: Points, n: int, rng: np.random.Generator) -> Points:
    return rows if rows.n <= n else rows.take(np.sort(rng.permutation(rows.n)[:n]))


def _excess(score: Score) -> float:
    assert score.value is not None and score.reference is not None
    return score.value - score.reference


def _share_score(
    name: str,
    in_train: NDArray[np.bool_],
    in_holdout: NDArray[np.bool_],
    group: NDArray[np.int64],
    view: View,
    seed: int,
    words: str,
) -> Score:
    value, reference = float(in_train.mean()), float(in_holdout.mean())
    rng = view.rng(seed, name, "jackknife")
    signed = (in_train.astype(np.float64) - in_holdout + 1) / 2  # in [0, 1], 0.5 where both or none
    low, high = share_interval(signed, group, rng)
    if value == 0:
        meaning = f"None of the synthetic rows {words} row that the generator saw."
    else:
        meaning = (
            f"{100 * value:.2f} % of the synthetic rows {words} row that the generator saw, "
            f"{100 * reference:.2f} % {words} row of as many people it never saw. Only the difference is copying."
        )
    return Score(
        name,
        value,
        share_interval(in_train.astype(np.float64), group, rng),
        reference,
        len(in_train),
        {"table": view.name},
        meaning=meaning,
        details={"excess": value - reference, "excess_interval": [2 * low - 1, 2 * high - 1]},
    )


def _equal(made: Sample, real: Sample) -> NDArray[np.bool_]:
    """Say which rows of `made` equal some row of `real` in every column."""

    def frame(one: Sample) -> pl.DataFrame:
        numbers = {f"n{i}": pl.Series(one.raw[:, i], nan_to_null=True) for i in range(one.raw.shape[1])}
        return pl.DataFrame({**numbers, **{f"c{i}": one.codes[:, i] for i in range(one.codes.shape[1])}})

    known = frame(real).unique().with_columns(found=pl.lit(True))
    on = [name for name in known.columns if name != "found"]
    hit = frame(made).join(known, on=on, how="left", nulls_equal=True, maintain_order="left")
    return hit["found"].fill_null(False).to_numpy()
