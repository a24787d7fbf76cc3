"""Mode collapse: kinds of real rows that the synthetic ones hardly visit, and rows that repeat.

Rows are sorted into kinds in several ways: groups of like training rows (k-means), and for each column its levels or
fourths, with missing as one of them. A kind is lost when synthetic rows visit it less than a fifth as often as real
(holdout) rows do, beyond chance: the binomial probability of so few is below 0.01 over the number of kinds that were
looked at (Bonferroni). The lost share is that of real rows in lost kinds, under the way of sorting that loses most.
Levels of fewer than five real subjects are no kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.fidelity.clusters import centres
from ehrsatz.evaluation.fidelity.embedding import nearest_points, points
from ehrsatz.evaluation.fidelity.traits import RARE, descriptions, labels_of, phrase_of, places_of
from ehrsatz.evaluation.fidelity.variety import effective, numbered
from ehrsatz.evaluation.intervals import share_interval
from ehrsatz.evaluation.space import Comparison, View
from ehrsatz.schema import MIN_SUBJECTS

MAX_ROWS = 5000
MODES, ROWS_PER_MODE = 30, 50
LOST = 0.2  # of its real share, below which a kind is lost
ALPHA = 0.01  # chance, over all kinds, that a good sample loses one
MAX_NAMED = 12


@dataclass(frozen=True)
class Kinds:
    """One way of sorting rows.

    Parameters
    ----------
    real, other
        Kind of each row of the holdout and of another sample, from 0 to k - 1.
    k
        Kinds.
    names
        What they are called, None for groups of like rows.
    looked_at
        Kinds of all ways of sorting together.
    """

    real: NDArray[np.int64]
    other: NDArray[np.int64]
    k: int
    names: tuple[str, ...] | None = None
    looked_at: int = 1

    @property
    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share of each kind among the rows of the holdout and of the other sample."""
        return (
            np.bincount(self.real, minlength=self.k) / len(self.real),
            np.bincount(self.other, minlength=self.k) / len(self.other),
        )

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Which kinds the other sample visits less than a fifth as often, beyond chance."""
        real, other = self.shares
        chance = stats.binom.cdf(np.bincount(self.other, minlength=self.k), len(self.other), real)
        named = np.array([True] * self.k if self.names is None else [not n.endswith(RARE) for n in self.names])
        return (other < LOST * real) & (chance < ALPHA / max(self.k, self.looked_at)) & named

    @property
    def lost_share(self) -> float:
        """Share of real rows that lie in lost kinds."""
        return float(self.shares[0][self.lost].sum())


class ModeCollapse(Metric):
    """Share of real variety that is lost. Same distribution 0, one row repeated about 1, less is better."""

    name = "mode_collapse"
    title = "Collapsed modes"
    family = "fidelity"
    theme = "Variety"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows"})
    what = (
        "The larger of two shares: real rows of kinds (groups of like rows, levels or fourths of a column) that "
        "synthetic rows visit less than a fifth as often, beyond chance; synthetic rows that repeat beyond what real "
        "ones do."
    )
    blind = "Kinds too rare to be missed beyond chance, and combinations of columns that are no group of like rows."
    tells = frozenset()
    reference = "Groups: Lloyd 1982, doi:10.1109/TIT.1982.1056489"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        views = comparison.joint
        sorted_rows = {view.name: kinds(comparison, view, "synthetic", seed) for view in views}
        twice = {view.name: repeated(comparison, view, seed) for view in views}
        lost = {name: max(one.lost_share for one in ways) for name, ways in sorted_rows.items()}
        value_of = {name: max(lost[name], twice[name][0]) for name in lost}
        worst = max(views, key=lambda view: value_of[view.name])
        ways = sorted_rows[worst.name]
        found = max(ways, key=lambda one: one.lost_share)
        excess, in_synthetic, in_real = twice[worst.name]
        value, named = value_of[worst.name], _named(comparison, worst, ways, seed)
        group = points(comparison, worst, "holdout", seed).first(MAX_ROWS).group
        hit = found.lost[found.real].astype(np.float64)
        by_loss = lost[worst.name] >= excess
        if value < 0.01:
            said = "No kind of real rows is lost."
        elif by_loss:
            which = "; ".join(" and ".join(one["marks"]) for one in named[:3] if one["marks"])
            said = (
                f"Synthetic rows hardly ever are of kinds that {100 * value:.0f} of 100 real rows belong to"
                f"{': ' if which else ''}{which}."
            )
        else:
            said = (
                f"{100 * in_synthetic:.0f} of 100 synthetic rows repeat another one, of as many real rows "
                f"{100 * in_real:.0f}."
            )
        real, made = ways[0].shares
        return Score(
            self.name,
            value,
            share_interval(hit, group, worst.rng(seed, "modes", "jackknife")) if by_loss else None,
            max(one.lost_share for one in kinds(comparison, worst, "train", seed)),
            len(found.other),
            {
                "groups": ways[0].k,
                "kinds": found.looked_at,
                "lost_below": LOST,
                "rows": len(found.other),
                "table": worst.name,
            },
            meaning=said,
            details={
                "collapsed": named,
                "effective_modes": {"real": effective(real), "synthetic": effective(made)},
                "lost": lost[worst.name],
                "repeated": {"synthetic": in_synthetic, "real": in_real, "excess": excess},
                "tables": value_of,
            },
        )


def kinds(comparison: Comparison, view: View, other: str, seed: int) -> list[Kinds]:
    """Sort holdout and another sample into kinds: groups of like training rows first, then column by column.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic" or "train".
    seed
        Decides subsamples and starting centres.
    """

    def make_centres() -> NDArray[np.float32]:
        train = points(comparison, view, "train", seed).first(MAX_ROWS)
        return centres(train.x, max(2, min(MODES, train.n // ROWS_PER_MODE)), seed)[1]

    def make() -> list[Kinds]:
        middle = comparison.once(("mode centres", view.name, seed), make_centres)
        real, one = (points(comparison, view, key, seed).first(MAX_ROWS) for key in ("holdout", other))
        labels = [labels_of(view, feature) for feature in view.features]
        looked_at = len(middle) + sum(len(names) for names in labels)
        groups = [nearest_points(part.x, middle)[1] for part in (real, one)]
        out = [Kinds(groups[0], groups[1], len(middle), None, looked_at)]
        for feature, names in zip(view.features, labels):
            called = tuple(phrase_of(feature, name) for name in names)
            a, b = (places_of(feature, part.sample, len(names)) for part in (real, one))
            out.append(Kinds(a, b, len(names), called, looked_at))
        return out

    out: list[Kinds] = comparison.once(("kinds", view.name, other, seed), make)
    return out


def repeated(comparison: Comparison, view: View, seed: int) -> tuple[float, float, float]:
    """Return the share of synthetic rows that repeat another beyond that of real ones, and both shares.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    seed
        Decides the subsamples.
    """
    n = min(view.samples["train"].n, view.samples["synthetic"].n)
    shares = []
    for key in ("synthetic", "train"):
        (number,) = numbered(view.samples[key].pick(n, view.rng(seed, "repeated", key)))
        shares.append(1 - len(np.unique(number)) / len(number))
    made, real = shares
    return (max(0.0, (made - real) / (1 - real)) if real < 1 else 0.0), made, real


def _named(comparison: Comparison, view: View, ways: list[Kinds], seed: int) -> list[dict[str, Any]]:
    """Return the lost kinds of five real subjects or more, the largest first, and what marks them."""
    real = points(comparison, view, "holdout", seed).first(MAX_ROWS).sample
    out: list[dict[str, Any]] = []
    for way in ways:
        at = np.flatnonzero(way.lost).tolist()
        if not at:
            continue
        share, other = way.shares
        marks = (
            descriptions(view, real, way.real, way.k)
            if way.names is None
            else {j: [way.names[j]] for j in at if len(np.unique(real.group[way.real == j])) >= MIN_SUBJECTS}
        )
        out += [
            {"marks": marks[j], "real": round(float(share[j]), 3), "synthetic": round(float(other[j]), 3)}
            for j in at
            if j in marks
        ]
    return sorted(out, key=lambda one: (-one["real"], one["marks"]))[:MAX_NAMED]
