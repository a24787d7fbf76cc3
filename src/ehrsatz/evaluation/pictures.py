"""Bars of one column, real beside synthetic, that name and count no real value of fewer than five subjects.

Numbers and dates fall in bins whose edges are round numbers or the first day of a month or year, not data values;
neighbouring bins are joined until each holds five real subjects or none. Levels of fewer are pooled as "other".
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.space import Feature, Sample, View

FEW = 5
MAX_BARS = 16
MAX_LEVELS = 10


def picture(view: View, feature: Feature) -> dict[str, Any]:
    """Return labels and shares of all rows, in percent, of holdout and synthetic; no label where too few to show."""
    real, synthetic = view.samples["holdout"], view.samples["synthetic"]
    bars = _number_bars(feature, real, synthetic) if feature.is_number else _level_bars(feature, real, synthetic)
    if bars is None:
        return {"labels": [], "real": [], "synthetic": [], "note": "fewer than five real subjects have a value here"}
    labels, a, b = bars
    gone_a, gone_b = _gone(real, feature), _gone(synthetic, feature)
    few = 0 < _subjects(real, gone_a) < FEW
    if few:  # whole percents of the present cells: what is left to 100 must not tell how few are missing
        a, b = [x / (1 - gone_a.mean()) for x in a], [x / max(1e-9, 1 - gone_b.mean()) for x in b]
    elif gone_a.any() or gone_b.any():
        labels, a, b = [*labels, "missing"], [*a, gone_a.mean()], [*b, gone_b.mean()]
    digits = 0 if few else 2
    return {
        "labels": labels,
        "real": [round(100 * float(x), digits) for x in a],
        "synthetic": [round(100 * float(x), digits) for x in b],
        "note": "of present cells; fewer than five real subjects have none" if few else "",
    }


def _gone(sample: Sample, feature: Feature) -> NDArray[np.bool_]:
    if feature.is_number:
        return np.isnan(sample.raw[:, feature.slot])
    return sample.codes[:, feature.slot] == 0


def _subjects(sample: Sample, mask: NDArray[np.bool_]) -> int:
    return int((np.bincount(sample.group[mask]) > 0).sum())


def _counts(sample: Sample, index: NDArray[np.int64], mask: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    """Count distinct subjects in each bin."""
    wide = int(sample.group.max(initial=0)) + 1
    if wide == sample.n:  # subjects are numbered from 0: each has one row
        return np.bincount(index[mask], minlength=size)
    pairs = np.unique(index[mask].astype(np.int64) * wide + sample.group[mask])
    return np.bincount(pairs // wide, minlength=size)


Bars = tuple[list[str], list[Any], list[Any]]


def _level_bars(feature: Feature, real: Sample, synthetic: Sample) -> Bars | None:
    size = len(feature.levels) + 2
    a, b = real.codes[:, feature.slot].astype(np.int64), synthetic.codes[:, feature.slot].astype(np.int64)
    held = _counts(real, a, a > 0, size)
    kept = [code for code in range(1, size - 1) if held[code] >= FEW][:MAX_LEVELS]
    other = (a > 0) & ~np.isin(a, kept)
    while kept and 0 < _subjects(real, other) < FEW:
        kept.pop()
        other = (a > 0) & ~np.isin(a, kept)
    if 0 < _subjects(real, other) < FEW:
        return None
    labels = [feature.levels[code - 1] for code in kept]
    shares_a: list[Any] = [(a == code).mean() for code in kept]
    shares_b: list[Any] = [(b == code).mean() for code in kept]
    rest = (b > 0) & ~np.isin(b, kept)
    if other.any() or rest.any():
        labels, shares_a, shares_b = [*labels, "other"], [*shares_a, other.mean()], [*shares_b, rest.mean()]
    return labels, shares_a, shares_b


def _number_bars(feature: Feature, real: Sample, synthetic: Sample) -> Bars | None:
    x, y = real.raw[:, feature.slot], synthetic.raw[:, feature.slot]
    there, here = ~np.isnan(x), ~np.isnan(y)
    if _subjects(real, there) < FEW:
        return None
    kind = "integer" if feature.kind == "number" and (x[there] == np.floor(x[there])).all() else feature.kind
    edges = _edges(kind, x[there])
    a, b = np.searchsorted(edges, x, "right"), np.searchsorted(edges, y, "right")
    while len(edges):  # join the poorest bin with its poorer neighbour
        held = _counts(real, a, there, len(edges) + 1)
        poor = np.flatnonzero((held > 0) & (held < FEW))
        if not len(poor):
            break
        i = int(poor[np.argmin(held[poor])])
        left = i > 0 and (i == len(edges) or held[i - 1] <= held[i + 1])
        edges = np.delete(edges, i - 1 if left else i)
        a, b = np.searchsorted(edges, x, "right"), np.searchsorted(edges, y, "right")
    size = len(edges) + 1
    full = np.bincount(a[there], minlength=size) / real.n
    made = np.bincount(b[here], minlength=size) / max(1, synthetic.n)
    return _names(kind, edges), list(full), list(made)


def _edges(kind: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return round inner edges between the 2nd and the 98th percentile."""
    low, high = np.quantile(x, [0.02, 0.98])
    if high <= low:
        low, high = float(x.min()), float(x.max())
    if kind in {"date", "datetime"} and high - low > 90:
        unit, months = "M", max(1, math.ceil((high - low) / 30.4 / (MAX_BARS - 2)))
        if months > 3:
            months = 12 * math.ceil(months / 12) if months > 6 else 6
        first = math.floor(low / 30.436875) // months * months
        last = math.ceil(high / 30.436875) + months
        starts = np.arange(first, last, months).astype(f"datetime64[{unit}]").astype("datetime64[D]")
        days = starts.astype(np.int64).astype(np.float64)
        return days[(days > low) & (days <= high)]
    step = nice((high - low) / (MAX_BARS - 2))
    if kind in {"integer", "date"}:
        step = max(1.0, step)
    first = math.floor(low / step) + 1
    count = math.floor(high / step) - first + 1
    return np.array([round((first + i) * step, 12) for i in range(max(0, count))])


def nice(step: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    if step <= 0 or not math.isfinite(step):
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next((m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9)), 10 * power)


def _names(kind: str, edges: NDArray[np.float64]) -> list[str]:
    if not len(edges):
        return ["all values"]
    if kind in {"date", "datetime"}:
        text = [str(np.datetime64(math.floor(edge), "D")) for edge in edges]
    else:
        text = [f"{edge:.12g}" for edge in edges]
    if kind == "integer" and (np.diff(edges) == 1).all():
        return [f"< {text[0]}", *text[:-1], f"≥ {text[-1]}"]
    return [f"< {text[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(text)), f"≥ {text[-1]}"]
