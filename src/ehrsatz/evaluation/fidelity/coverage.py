"""Do the synthetic rows reach all that is real, and stay inside it? Coverage and density.

The neighbourhood of a real (holdout) row reaches to its k-th nearest other real row. Coverage is the share of real
rows with a synthetic row in their neighbourhood, density how many neighbourhoods a synthetic row lies in, over k.

References: Naeem et al., Reliable fidelity and diversity metrics for generative models, ICML 2020, arXiv:2002.09797,
equations 5 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.distance import TIE, blocks, nearest
from ehrsatz.evaluation.intervals import share_interval, weights
from ehrsatz.evaluation.space import Comparison, View

NEIGHBOURS = 5
MAX_ROWS = 3000


@dataclass(frozen=True)
class Reach:
    """Per holdout row whether it is covered, per other row its density, and whose rows they are."""

    covered: NDArray[np.float64]
    density: NDArray[np.float64]
    holdout_group: NDArray[np.int64]
    other_group: NDArray[np.int64]


class Coverage(Metric):
    """Share of real rows with a synthetic row nearby. Same distribution about 0.97, unrelated 0, more is better."""

    name = "coverage"
    title = "Real variety reached"
    family = "fidelity"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
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
        )


class Density(Metric):
    """How deep synthetic rows lie among real ones. Same distribution 1, unrelated 0; far above 1: too average."""

    name = "density"
    title = "Within what is real"
    family = "fidelity"
    goal = "target"
    low, high, ideal = 0.0, float(MAX_ROWS), 1.0
    needs = frozenset({"rows"})
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
        )


def reach(comparison: Comparison, view: View, other: str, seed: int) -> Reach:
    """Measure coverage and density of one sample against the holdout, once for both metrics."""

    def make() -> Reach:
        n = min(MAX_ROWS, view.samples["holdout"].n, view.samples[other].n)
        a = view.samples["holdout"].pick(n, view.rng(seed, "coverage", "holdout"))
        b = view.samples[other].pick(n, view.rng(seed, "coverage", "other"))
        if a.n < 2:
            raise Unmeasured("Not measured: two or more real rows are needed.")
        radius = nearest(a, a, NEIGHBOURS, skip_self=True)[:, -1] + TIE
        covered = np.zeros(a.n)
        depth = np.zeros(b.n)
        for start, stop, d in blocks(a, b):
            inside = d <= radius[start:stop, None]
            covered[start:stop] = inside.any(axis=1)
            depth += inside.sum(axis=0)
        return Reach(covered, depth / min(NEIGHBOURS, a.n - 1), a.group, b.group)

    out: Reach = comparison.once(("reach", view.name, other, seed), make)
    return out
