"""Dot plots: rows of marks with intervals on one scale (attacks, learners, coefficients, subgroups)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ehrsatz.report.charts.base import MARKS, cut, line, mark, svg, text, tick, ticks
from ehrsatz.report.format import measure

WIDTH = 340
STEP = 15  # height of one mark
MOST_ROWS = 6  # of one half


def dots(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw each row's name, and below it its marks with their intervals; many rows in two halves on one scale.

    data: `rows` with `label` and `marks` (`series`, `name`, `value`, `interval` or null), `low` and `high` of the
    scale, `lines` with `at` and `label`, `unit`.
    """
    rows = data["rows"]
    if len(rows) <= MOST_ROWS:
        return _dots(data, rows, alt)
    half = (len(rows) + 1) // 2
    return _dots(data, rows[:half], alt) + _dots(data, rows[half:], "The rows that follow")


def _dots(data: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], alt: str) -> Markup:
    low, high, unit = data["low"], data["high"], data["unit"]
    left, right = 8, WIDTH - 52

    def x(value: float) -> float:
        return left + (right - left) * (min(max(value, low), high) - low) / (high - low)

    top = 16 if data["lines"] else 4
    y = float(top)
    parts, rows = [], []
    for one in entries:
        marks = sorted((m for m in one["marks"] if m["value"] is not None), key=lambda m: MARKS.index(m["series"]))
        rows.append(text(2, y + 12, cut(one["label"], 50), css="name"))
        y += 17
        for m in marks:
            middle = y + STEP / 2
            tip = f"{one['label']}: {m['name']} {measure(m['value'], unit)}"
            if m["interval"] is not None:
                a, b = (x(end) for end in m["interval"])
                rows.append(line(a, middle, b, middle, f"reach-{m['series']}"))
                tip += f" ({measure(m['interval'][0], unit)} to {measure(m['interval'][1], unit)})"
            rows.append(mark(m["series"], x(m["value"]), middle, tip))
            rows.append(text(WIDTH - 2, middle + 4, measure(m["value"], unit), "end"))
            y += STEP
        y += 5
    for value in ticks(low, high):
        parts.append(line(x(value), top, x(value), y, "gridline"))
        parts.append(text(x(value), y + 13, tick(value) + (" %" if unit == "%" else ""), "middle", 10))
    for one in data["lines"]:
        parts.append(line(x(one["at"]), top - 2, x(one["at"]), y, "guess"))
        anchor = "start" if x(one["at"]) < WIDTH * 0.3 else "end" if x(one["at"]) > WIDTH * 0.7 else "middle"
        parts.append(text(x(one["at"]), 10, one["label"], anchor, 10))
    return svg(WIDTH, y + 18, [*parts, *rows], alt)
