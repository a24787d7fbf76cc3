"""Values of a measure over repetitions, their mean, and the interval of that mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Any

from scipy.special import stdtrit

Record = dict[str, Any]
LOW, HIGH = "low", "high"
BETTER = {  # measure -> which side is better
    "adversarial": LOW,
    "coverage": HIGH,
    "quality": HIGH,
    "tstr": HIGH,
    "mia_max": LOW,
    "rules": HIGH,
    "fit_cpu_s": LOW,
    "sample_cpu_s per 10,000": LOW,
    "peak_mb": LOW,
}
TAKEN: dict[str, Callable[[Record], float]] = {
    "gap": lambda r: r["trtr"] - r["tstr"],
    "sample_cpu_s per 10,000": lambda r: r["sample_cpu_s"] * 10_000 / r["n_drawn"],
}


def scored(entry: dict[str, Any]) -> dict[str, Record]:
    """Return the repetitions of a run that were scored, by seed."""
    return {seed: record for seed, record in entry.get("seeds", {}).items() if "adversarial" in record}


def values(entry: dict[str, Any], measure: str, seeds: Collection[str] | None = None) -> list[float]:
    """Return a measure of every scored repetition, of these seeds alone where they are given."""
    take = TAKEN.get(measure, lambda r: r[measure])
    return [take(record) for seed, record in scored(entry).items() if seeds is None or seed in seeds]


def half_width(found: Sequence[float]) -> float | None:
    """Return half the width of the 95 % t-interval of the mean of repetitions, None for one alone."""
    if len(found) < 2:
        return None
    return float(stdtrit(len(found) - 1, 0.975)) * stdev(found) / sqrt(len(found))


def spread(found: Sequence[float]) -> str:
    """Return the mean with three decimals and, after ±, half the width of its interval."""
    width = half_width(found)
    return f"{mean(found):.3f}" + (f" ± {width:.3f}" if width is not None else "")


def is_better(measure: str, one: float, other: float) -> bool:
    """Return whether the first value beats the second."""
    return one < other if BETTER[measure] == LOW else one > other


def show(number: float) -> str:
    """Return a number with three decimals, or none from 100 on."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3f}"
