"""How two sets of rows differ in one column, in words that name no value of fewer than five real subjects.

Numbers are told by fourths of the real values, categories by level; rare levels and levels that no real row has are
pooled. A share is left out where it, or what is left to 100 %, stands for one to four real subjects.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.groups import FOURTHS
from ehrsatz.evaluation.space import MISSING_RANK, Feature, Sample, View
from ehrsatz.schema import MIN_SUBJECTS

LEAST_MARK = 0.1  # by which a level is commoner in a group than among all, to mark it
LEAST_GAP = 0.02  # difference of shares, below which a column looks alike on its own
NOISE = 3.0  # standard errors of a gap, below which it may be chance
FAR = 6.0  # standard deviations beyond chance, from which a pair of columns is named
MIN_PAIRS = 10  # rows of both samples in a place, below which it is pooled
MAX_LEVELS = 100  # the most frequent
MISSING, RARE = "missing", "levels that few or no real rows have"
NEW = "values that no real row has"
ALONE = "it looks alike on its own; how it goes with other columns gives it away"


class Traits:
    """The places of holdout and synthetic cells of one table, found once for each column.

    Parameters
    ----------
    view
        The table.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._found: dict[str, tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]] = {}

    def of(self, feature: Feature) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
        """Return the names of the places of a column, and the place of each holdout and each synthetic row."""
        if feature.name not in self._found:
            labels = labels_of(self.view, feature)
            a, b = (places_of(feature, self.view.samples[key], len(labels)) for key in ("holdout", "synthetic"))
            self._found[feature.name] = labels, a, b
        return self._found[feature.name]


def difference(traits: Traits, feature: Feature) -> dict[str, Any]:
    """Say in which direction a column of the synthetic rows differs from the holdout.

    Parameters
    ----------
    traits
        The places of the table's cells.
    feature
        The column.

    Returns
    -------
    `how`, a phrase; `where`, the level or fourth with the largest gap, None where no gap is large; `synthetic` and
    `real`, its shares, None where too few real subjects stand behind them; where no gap is large, `partner`.
    """
    view = traits.view
    real, synthetic = view.samples["holdout"], view.samples["synthetic"]
    labels, place_of, other_place = traits.of(feature)
    a, b = (_shares(places, len(labels)) for places in (place_of, other_place))
    gap = b - a
    at = int(np.abs(gap).argmax())
    middle = (a[at] + b[at]) / 2
    noise = NOISE * np.sqrt(middle * (1 - middle) * (1 / max(1, real.n) + 1 / max(1, synthetic.n)))
    new = _newness(view, feature)
    if new is not None and new[1] - new[0] > max(LEAST_GAP, abs(gap[at])):
        return {"how": f"more {NEW} ({_percent(new[1])} against {_percent(new[0])})", "where": NEW, **_pair(new)}
    if abs(gap[at]) < max(LEAST_GAP, noise):
        other = partner(traits, feature)
        how = ALONE if other is None else f"on its own it looks alike, but not how it goes with '{other}'"
        return {"how": how, "where": None, "synthetic": None, "real": None, "partner": other}
    inside = np.unique(real.group[place_of == at])
    outside = np.unique(real.group[place_of != at])
    few = any(0 < len(part) < MIN_SUBJECTS for part in (inside, outside))
    word = "more" if gap[at] > 0 else "less"
    figures = "" if few else f" ({_percent(b[at])} against {_percent(a[at])})"
    where = f"'{labels[at]}'" if not feature.is_number and labels[at] not in {MISSING, RARE} else labels[at]
    place = f"in the {where} of the real values" if feature.is_number and where in FOURTHS else where
    pair = (None, None) if few else (float(a[at]), float(b[at]))
    return {"how": f"synthetic rows are {word} often {place}{figures}", "where": labels[at], **_pair(pair)}


def partner(traits: Traits, feature: Feature) -> str | None:
    """Return the column with which this one goes most differently in synthetic rows than in the holdout.

    By the chi-squared statistic of two samples on pairs of places, less those of the two columns on their own, in
    standard deviations above what chance gives.

    Parameters
    ----------
    traits
        The places of the table's cells.
    feature
        The column.

    Returns
    -------
    None where no pair is far beyond chance.
    """
    labels, mine, yours = traits.of(feature)
    alone, freedom_alone = _chi_squared(mine, yours, len(labels))
    best, most = None, FAR
    for other in traits.view.features:
        if other.name == feature.name:
            continue
        names, a, b = traits.of(other)
        k = len(names)
        own, freedom_own = _chi_squared(a, b, k)
        both, freedom = _chi_squared(mine * k + a, yours * k + b, len(labels) * k)
        freedom -= freedom_alone + freedom_own
        far = (both - alone - own - freedom) / np.sqrt(2 * max(1, freedom))
        if freedom > 0 and far > most:
            best, most = other.name, float(far)
    return best


def _chi_squared(a: NDArray[np.int64], b: NDArray[np.int64], k: int) -> tuple[float, int]:
    """Return the statistic of two samples of places and its degrees of freedom; places with few rows are pooled."""
    p, q = np.bincount(a, minlength=k), np.bincount(b, minlength=k)
    large = p + q >= MIN_PAIRS
    x, y = (np.append(n[large], n[~large].sum()).astype(np.float64) for n in (p, q))
    filled = x + y > 0
    ratio = np.sqrt(len(b) / max(1, len(a)))
    chi2 = ((x * ratio - y / ratio) ** 2)[filled] / (x + y)[filled]
    return float(chi2.sum()), max(0, int(filled.sum()) - 1)


def descriptions(view: View, real: Sample, label: NDArray[np.int64], k: int, most: int = 3) -> dict[int, list[str]]:
    """Say what marks each group of real rows among all: the levels and fourths most over-represented in it.

    Parameters
    ----------
    view
        Names the columns.
    real
        Real rows.
    label
        Group of each row, from 0 to k - 1.
    k
        Groups.
    most
        Phrases for each.

    Returns
    -------
    For each group that five subjects or more share, phrases such as "site = A" or "age: highest fourth", the strongest
    first, each of which five of its subjects or more share; none where nothing marks it.
    """
    size = np.bincount(label, minlength=k)
    found: dict[int, list[tuple[float, str, NDArray[np.bool_]]]] = {
        g: [] for g in range(k) if len(np.unique(real.group[label == g])) >= MIN_SUBJECTS
    }
    for feature in view.features:
        labels = labels_of(view, feature)
        place = places_of(feature, real, len(labels))
        table = np.bincount(label * len(labels) + place, minlength=k * len(labels)).reshape(k, -1)
        gap = table / np.maximum(size, 1)[:, None] - table.sum(axis=0) / max(1, len(label))
        for g in found:
            at = int(gap[g].argmax())
            if gap[g, at] >= LEAST_MARK and labels[at] != RARE:
                found[g].append((-float(gap[g, at]), phrase_of(feature, labels[at]), place == at))
    out: dict[int, list[str]] = {}
    for g, phrases in found.items():
        phrases.sort(key=lambda one: one[:2])
        held = (p for _, p, hit in phrases if len(np.unique(real.group[hit & (label == g)])) >= MIN_SUBJECTS)
        out[g] = list(itertools.islice(held, most))
    return out


def phrase_of(feature: Feature, label: str) -> str:
    """Return column and place as a phrase, such as "site = A" or "age: highest fourth".

    Parameters
    ----------
    feature
        The column.
    label
        Name of the place.
    """
    return f"{feature.name}{': ' if feature.is_number or label == MISSING else ' = '}{label}"


def labels_of(view: View, feature: Feature) -> tuple[str, ...]:
    """Return the names of the places of a column: fourths or levels that five real subjects share, missing, rare.

    Parameters
    ----------
    view
        The table.
    feature
        The column.
    """
    if feature.is_number:
        return (*FOURTHS, MISSING)
    return (MISSING, *feature.levels[: _n_shown(view, feature)], RARE)


def _n_shown(view: View, feature: Feature) -> int:
    size = len(feature.levels) + 2
    held = np.zeros(size, np.int64)
    for key in ("train", "holdout"):
        sample = view.samples[key]
        codes = sample.codes[:, feature.slot].astype(np.int64)
        wide = int(sample.group.max(initial=0)) + 1  # subjects are numbered from 0
        if wide < sample.n:
            codes = np.unique(codes * wide + sample.group) // wide
        held = np.maximum(held, np.bincount(codes, minlength=size))
    shown = held[1:-1] >= MIN_SUBJECTS
    first_rare = int(shown.argmin()) if not shown.all() else len(shown)  # levels are sorted by frequency
    return min(MAX_LEVELS, first_rare)


def places_of(feature: Feature, sample: Sample, n_labels: int) -> NDArray[np.int64]:
    """Return the place of each row's cell, a number into the names.

    Parameters
    ----------
    feature
        The column.
    sample
        Rows.
    n_labels
        How many names there are.
    """
    if feature.is_number:
        rank = sample.rank[:, feature.slot]
        return np.where(rank == MISSING_RANK, 4, np.clip((rank * 4).astype(np.int64), 0, 3))
    return np.minimum(sample.codes[:, feature.slot].astype(np.int64), n_labels - 1)


def _shares(places: NDArray[np.int64], n_labels: int) -> NDArray[np.float64]:
    return np.bincount(places, minlength=n_labels) / max(1, len(places))


def _newness(view: View, feature: Feature) -> tuple[float, float] | None:
    """Return the share of present holdout values that no training row has, and of synthetic ones that no real row has.

    None for categories, whose new levels are a place of their own.
    """
    if not feature.is_number:
        return None
    train, holdout, synthetic = (
        view.samples[key].raw[:, feature.slot][~np.isnan(view.samples[key].raw[:, feature.slot])]
        for key in ("train", "holdout", "synthetic")
    )
    if not len(holdout) or not len(synthetic):
        return None
    return float((~np.isin(holdout, train)).mean()), float((~np.isin(synthetic, np.append(train, holdout))).mean())


def _pair(shares: tuple[float | None, float | None]) -> dict[str, float | None]:
    return {"real": shares[0], "synthetic": shares[1]}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
