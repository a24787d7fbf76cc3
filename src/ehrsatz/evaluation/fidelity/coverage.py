"""Do the synthetic rows reach all that is real, and stay inside it? Coverage, density, precision, recall.

The neighbourhood of a row reaches to its k-th nearest other row of its own sample. Coverage is the share of real
(holdout) rows with a synthetic row in their neighbourhood, density how many real neighbourhoods a synthetic row lies
in, over k; precision is the share of synthetic rows in at least one real neighbourhood, recall the share of real rows
in at least one synthetic one. Distances are those of distance.py. The baseline takes training rows whose columns were
shuffled one by one.

References: Naeem et al., Reliable fidelity and diversity metrics for generative models, ICML 2020, arXiv:2002.09797,
equations 1 to 6; Kynkäänniemi et al., Improved precision and recall metric for assessing generative models, NeurIPS
2019, arXiv:1904.06991.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.distance import TIE, blocks, nearest
from ehrsatz.evaluation.fidelity.embedding import INDEPENDENT, independent
from ehrsatz.evaluation.intervals import share_interval, weights
from ehrsatz.evaluation.space import Comparison, Sample, View

NEIGHBOURS = 5
MAX_ROWS = 3000


@dataclass(frozen=True)
class Reach:
    """Per holdout row whether it is covered and recalled, per other row its density, and whose rows they are."""

    covered: NDArray[np.float64]
    recalled: NDArray[np.float64]
    density: NDArray[np.float64]
    holdout_group: NDArray[np.int64]
    other_group: NDArray[np.int64]

    @property
    def precise(self) -> NDArray[np.float64]:
        """Per other row whether it lies in a real neighbourhood."""
        return (self.density > 0).astype(np.float64)


class Coverage(Metric):
    """Share of real rows with a synthetic row nearby. Same distribution about 0.97, unrelated 0, more is better."""

    name = "coverage"
    title = "Real variety reached"
    family = "fidelity"
    theme = "Whole rows"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = "Of unseen real rows, the share with a synthetic row as near as their fifth nearest real one."
    blind = "Copies of real people reach what is real too; of at most 3,000 rows, so rare kinds of rows escape."
    reference = "Naeem et al. 2020, arXiv:2002.09797"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: reach(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = min(comparison.joint, key=lambda view: float(found[view.name].covered.mean()))
        one, real = found[worst.name], reach(comparison, worst, "train", seed)
        value = float(one.covered.mean())
        return Score(
            self.name,
            value,
            share_interval(one.covered, one.holdout_group, worst.rng(seed, "coverage", "jackknife")),
            float(real.covered.mean()),
            len(one.density),
            {"neighbours": NEIGHBOURS, "rows": len(one.covered), "table": worst.name},
            meaning=f"{100 * value:.0f} of 100 real rows have a synthetic row as near as their real neighbours are.",
            details={"tables": {name: float(r.covered.mean()) for name, r in found.items()}},
            baseline=float(reach(comparison, worst, INDEPENDENT, seed).covered.mean()),
        )


class Density(Metric):
    """How deep synthetic rows lie among real ones. Same distribution 1, unrelated 0; far above 1: too average."""

    name = "density"
    title = "Within what is real"
    family = "fidelity"
    theme = "Whole rows"
    goal = "target"
    low, high, ideal = 0.0, float(MAX_ROWS), 1.0
    needs = frozenset({"rows"})
    what = "In how many neighbourhoods of real rows a synthetic row lies, over the number expected: five."
    blind = "Rows that repeat the commonest real ones score high, and so do copies; a few wild rows hardly count."
    reference = "Naeem et al. 2020, arXiv:2002.09797"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: reach(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = min(comparison.joint, key=lambda view: float(found[view.name].density.mean()))
        one, real = found[worst.name], reach(comparison, worst, "train", seed)
        value = float(one.density.mean())
        draws = [
            float((w * one.density).sum() / w.sum())
            for w in weights(one.other_group, worst.rng(seed, "density", "bootstrap"))
        ]
        spread = 1.96 * float(np.std(draws, ddof=1))
        word = "about as" if abs(value - 1) < 0.15 else "less" if value < 1 else "more"
        return Score(
            self.name,
            value,
            (max(0.0, value - spread), value + spread),
            float(real.density.mean()),
            len(one.density),
            {"neighbours": NEIGHBOURS, "rows": len(one.covered), "table": worst.name},
            meaning=f"Synthetic rows lie {word} densely among real ones {'as' if word == 'about as' else 'than'} "
            "real ones do; 1 is equal, far below 1 are rows unlike any real one.",
            details={"tables": {name: float(r.density.mean()) for name, r in found.items()}},
            baseline=float(reach(comparison, worst, INDEPENDENT, seed).density.mean()),
        )


class Precision(Metric):
    """Share of synthetic rows near some real row. Same distribution about 0.97, unrelated 0, more is better."""

    name = "precision"
    title = "Synthetic rows near real ones"
    family = "fidelity"
    theme = "Whole rows"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = "The share of synthetic rows that lie in the neighbourhood of at least one real row."
    blind = "One real outlier has a wide neighbourhood, in which many odd rows fit; copies score 1."
    reference = "Kynkäänniemi et al. 2019, arXiv:1904.06991"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: reach(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = min(comparison.joint, key=lambda view: float(found[view.name].precise.mean()))
        one = found[worst.name]
        value = float(one.precise.mean())
        return Score(
            self.name,
            value,
            share_interval(one.precise, one.other_group, worst.rng(seed, "precision", "jackknife")),
            float(reach(comparison, worst, "train", seed).precise.mean()),
            len(one.density),
            {"neighbours": NEIGHBOURS, "rows": len(one.density), "table": worst.name},
            meaning=f"{100 * value:.0f} of 100 synthetic rows lie as near to a real row as its real neighbours.",
            details={"tables": {name: float(r.precise.mean()) for name, r in found.items()}},
            baseline=float(reach(comparison, worst, INDEPENDENT, seed).precise.mean()),
        )


class Recall(Metric):
    """Share of real rows near some synthetic row. Same distribution about 0.97, unrelated 0, more is better."""

    name = "recall"
    title = "Real rows near synthetic ones"
    family = "fidelity"
    theme = "Whole rows"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = "The share of real rows that lie in the neighbourhood of at least one synthetic row."
    blind = "One synthetic outlier has a wide neighbourhood that takes in many real rows; coverage is free of this."
    tells = frozenset()
    reference = "Kynkäänniemi et al. 2019, arXiv:1904.06991"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: reach(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = min(comparison.joint, key=lambda view: float(found[view.name].recalled.mean()))
        one = found[worst.name]
        value = float(one.recalled.mean())
        return Score(
            self.name,
            value,
            share_interval(one.recalled, one.holdout_group, worst.rng(seed, "recall", "jackknife")),
            float(reach(comparison, worst, "train", seed).recalled.mean()),
            len(one.density),
            {"neighbours": NEIGHBOURS, "rows": len(one.recalled), "table": worst.name},
            meaning=f"{100 * value:.0f} of 100 real rows lie within the reach of synthetic rows.",
            details={"tables": {name: float(r.recalled.mean()) for name, r in found.items()}},
            baseline=float(reach(comparison, worst, INDEPENDENT, seed).recalled.mean()),
        )


def reach(comparison: Comparison, view: View, other: str, seed: int) -> Reach:
    """Measure one sample against the holdout, once for all four metrics.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic", "train", or "independent" for training rows whose columns are shuffled one by one.
    seed
        Decides the subsamples.

    Raises
    ------
    Unmeasured
        When there are fewer than two rows.
    """

    def make() -> Reach:
        whole = view.samples["train" if other == INDEPENDENT else other]
        n = min(MAX_ROWS, view.samples["holdout"].n, whole.n)
        if n < 2:
            raise Unmeasured("Not measured: two or more real rows are needed.")
        a = view.samples["holdout"].pick(n, view.rng(seed, "coverage", "holdout"))
        b = whole.pick(n, view.rng(seed, "coverage", "other"))
        if other == INDEPENDENT:
            b = independent(b, view.rng(seed, "coverage", "shuffle"))
        radius = comparison.once(("radius", view.name, n, seed), lambda: _radius(a))
        other_radius = _radius(b)
        covered, recalled, depth = np.zeros(a.n), np.zeros(a.n), np.zeros(b.n)
        for start, stop, d in blocks(a, b):
            inside = d <= radius[start:stop, None]
            covered[start:stop] = inside.any(axis=1)
            depth += inside.sum(axis=0)
            recalled[start:stop] = (d <= other_radius[None, :]).any(axis=1)
        return Reach(covered, recalled, depth / min(NEIGHBOURS, a.n - 1), a.group, b.group)

    out: Reach = comparison.once(("reach", view.name, other, seed), make)
    return out


def _radius(a: Sample) -> NDArray[np.float32]:
    return nearest(a, a, NEIGHBOURS, skip_self=True)[:, -1] + np.float32(TIE)
