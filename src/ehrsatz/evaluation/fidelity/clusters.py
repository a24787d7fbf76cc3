"""Log-cluster: do real and synthetic rows fill the same groups of like rows?

Real (holdout) and synthetic rows, as many of each, are pooled and grouped by k-means; the value is the natural
logarithm of the mean squared gap between the share of synthetic rows in a group and their share in the whole, one
half. The reference does the same with training rows in place of synthetic ones.

References: Woo, Reiter, Oganian & Karr, Global measures of data utility for microdata masked for disclosure limitation,
Journal of Privacy and Confidentiality 1(1), 2009, doi:10.29012/jpc.v1i1.568, section 3.2; Goncalves et al., Generation
and evaluation of synthetic patient data, BMC Medical Research Methodology 20, 2020, doi:10.1186/s12874-020-00977-1
(the logarithm).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.fidelity.embedding import INDEPENDENT, points
from ehrsatz.evaluation.fidelity.traits import descriptions
from ehrsatz.evaluation.intervals import deal, jackknife_interval
from ehrsatz.evaluation.space import Comparison, View

CLUSTERS = 20
ROWS_PER_CLUSTER = 20
MAX_ROWS = 5000  # of each side
ALPHA = 0.01  # chance, over all groups, that a good sample is said to miss one
FLOOR = 1e-9  # mean squared gap below which its logarithm is cut


@dataclass(frozen=True)
class Grouping:
    """Which group each row fell into, and the value without each jackknife group of either side."""

    value: float
    without: tuple[NDArray[np.float64], NDArray[np.float64]]
    real: NDArray[np.int64]
    other: NDArray[np.int64]
    k: int


class LogCluster(Metric):
    """Logarithm of the gap of shares in groups. Same distribution about -7, no shared group -1.4, less is better."""

    name = "log_cluster"
    title = "Shares in groups of like rows"
    family = "fidelity"
    theme = "Whole rows"
    goal = "minimise"
    low, high, ideal = -21.0, 0.0, -21.0
    needs = frozenset({"rows"})
    what = (
        "Real and synthetic rows are sorted into up to 20 groups of like rows; the logarithm of the mean squared gap "
        "between the share of synthetic rows in a group and one half."
    )
    blind = "Differences within a group, and how columns go together within it; small tables score higher by chance."
    reference = "Woo et al. 2009, doi:10.29012/jpc.v1i1.568"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: grouping(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = max(comparison.joint, key=lambda view: found[view.name].value)
        one = found[worst.name]
        groups = _described(comparison, worst, one, seed)
        share = np.sqrt(np.exp(one.value))
        most = next((g for g in groups if g["marks"] and g["p_value"] < ALPHA / one.k), None)
        where = ""
        if most is not None:
            word = "too many" if most["synthetic"] > 0.5 else "too few"
            where = f" There are {word} synthetic rows with {', '.join(most['marks'])}."
        return Score(
            self.name,
            one.value,
            jackknife_interval(one.value, *one.without, low=self.low, high=self.high),
            grouping(comparison, worst, "train", seed).value,
            len(one.other),
            {"clusters": one.k, "rows": len(one.other), "logarithm": "natural", "table": worst.name},
            meaning=f"In {one.k} groups of like rows the share of synthetic ones is off by {100 * share:.1f} points of "
            f"100, typically.{where}",
            details={"groups": groups, "tables": {name: r.value for name, r in found.items()}},
            baseline=grouping(comparison, worst, INDEPENDENT, seed).value,
        )


def grouping(comparison: Comparison, view: View, other: str, seed: int) -> Grouping:
    """Group the holdout together with one sample.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic", "train" or "independent".
    seed
        Decides subsamples and starting centres.
    """

    def make() -> Grouping:
        real, one = points(comparison, view, "holdout", seed), points(comparison, view, other, seed)
        n = min(MAX_ROWS, real.n, one.n)
        real, one = real.first(n), one.first(n)
        k = max(2, min(CLUSTERS, 2 * n // ROWS_PER_CLUSTER))
        label = centres(np.concatenate([real.x, one.x]), k, seed)[0]
        a, b = label[:n], label[n:]
        part = [deal(p.group, view.rng(seed, "log-cluster", key)) for key, p in (("real", real), (other, one))]
        return Grouping(
            log_gap(a, b, k),
            (
                np.array([log_gap(a[part[0] != g], b, k) for g in np.unique(part[0])]),
                np.array([log_gap(a, b[part[1] != g], k) for g in np.unique(part[1])]),
            ),
            a,
            b,
            k,
        )

    out: Grouping = comparison.once(("log-cluster", view.name, other, seed), make)
    return out


def log_gap(real: NDArray[np.int64], other: NDArray[np.int64], k: int) -> float:
    """Return the logarithm of the mean squared gap between the share of others in a group and in the whole.

    Parameters
    ----------
    real, other
        Group of each row.
    k
        Groups; those without a row are left out.

    Examples
    --------
    >>> round(log_gap(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), 2), 4)  # log of 0.25 squared
    -2.7726
    """
    a, b = np.bincount(real, minlength=k), np.bincount(other, minlength=k)
    filled = a + b > 0
    share = b[filled] / (a + b)[filled]
    whole = len(other) / (len(real) + len(other))
    return float(np.log(max(FLOOR, float(((share - whole) ** 2).mean()))))


def centres(x: NDArray[np.float32], k: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k-means group of each row, and the centres (k, P); fewer where fewer rows differ.

    References
    ----------
    Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28, 1982, doi:10.1109/TIT.1982.1056489; start:
    Arthur & Vassilvitskii, k-means++, SODA 2007.
    """
    from sklearn.cluster import KMeans

    k = max(1, min(k, len(np.unique(x[:: max(1, len(x) // 1000)], axis=0))))
    model = KMeans(k, n_init=1, max_iter=30, random_state=seed % (2**31), algorithm="lloyd").fit(x)
    return model.labels_.astype(np.int64), model.cluster_centers_


def _described(comparison: Comparison, view: View, one: Grouping, seed: int) -> list[dict[str, Any]]:
    """Return the groups with five real subjects or more, the largest gap first: shares, chance and what marks them."""
    real = points(comparison, view, "holdout", seed).first(len(one.real)).sample
    out = []
    for g, marks in descriptions(view, real, one.real, one.k).items():
        n_real, n_other = int((one.real == g).sum()), int((one.other == g).sum())
        rows = n_real + n_other
        p = float(stats.binomtest(n_other, rows, len(one.other) / (len(one.real) + len(one.other))).pvalue)
        out.append({"marks": marks, "rows": rows, "synthetic": round(n_other / rows, 3), "p_value": round(p, 6)})
    return sorted(out, key=lambda group: (-abs(group["synthetic"] - 0.5), group["marks"]))
