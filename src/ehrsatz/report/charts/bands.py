"""Figures by age and sex: one panel for each sex, reached figures as dots or lines beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from ehrsatz.report.charts.base import line, svg, text, tick, ticks
from ehrsatz.report.format import measure

WIDTH, LEFT, GAP, TOP, HEIGHT = 340.0, 38.0, 12.0, 20.0, 118.0


def bands(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw a figure by age band: a diamond for what is published, a dot with its interval for what was reached.

    data: `unit`; `panels` with `name` and `cells` (`label` of the age band, `published`, `reached` or null, `interval`
    or null, `agrees` true, false or null where it is not judged).
    """
    cells = [one for panel in data["panels"] for one in panel["cells"]]
    seen = [one["published"] for one in cells] + [one["reached"] for one in cells if one["reached"] is not None]
    tops = [one["interval"][1] for one in cells if one["interval"] is not None]
    high = max([*seen, *(min(end, 1.6 * max(seen)) for end in tops)]) * 1.06 or 1.0
    parts: list[str] = []
    for left, wide, panel in _panels(data["panels"]):
        step = wide / max(1, len(panel["cells"]))
        _frame(parts, left, wide, 0.0, high, panel, step, unit=data["unit"])
        for k, one in enumerate(panel["cells"]):
            x = left + (k + 0.5) * step
            words = f"{panel['name']}, {one['label']}: published {measure(one['published'], data['unit'])}"
            told = "too few to tell"
            if one["reached"] is not None:
                told = f"simulated {measure(one['reached'], data['unit'])}"
            tip = f"<title>{escape(f'{words}, {told}')}</title>"
            parts.append(f"<g>{tip}")
            if one["reached"] is not None:
                if one["interval"] is not None:
                    a, b = (_y(min(end, high), 0.0, high) for end in one["interval"])
                    parts.append(line(x, a, x, b, "reach-synthetic"))
                y = _y(one["reached"], 0.0, high)
                parts.append(
                    f'<circle class="{"off" if one["agrees"] is False else "made"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
                )
            y = _y(one["published"], 0.0, high)
            parts.append(f'<path class="m-real" d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z"/></g>')
    return svg(WIDTH, TOP + HEIGHT + 30, parts, alt)


def ribbons(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw quantiles over age: published ones as pale ribbons, reached ones as lines.

    data: `panels` with `name` and `curves`, lowest quantile first, each with `at` and `cells` as in `bands`.
    """
    cells = [one for panel in data["panels"] for curve in panel["curves"] for one in curve["cells"]]
    values = [one["published"] for one in cells] + [one["reached"] for one in cells if one["reached"] is not None]
    room = 0.05 * (max(values) - min(values)) or 1.0
    low, high = min(values) - room, max(values) + room
    parts: list[str] = []
    for left, wide, panel in _panels(data["panels"]):
        curves = panel["curves"]
        step = wide / max(1, len(curves[0]["cells"]))
        _frame(parts, left, wide, low, high, {"name": panel["name"], "cells": curves[0]["cells"]}, step)
        spots = [[(left + (k + 0.5) * step, one) for k, one in enumerate(curve["cells"])] for curve in curves]
        for k in range(len(curves) // 2):
            lower, upper = spots[k], spots[-1 - k]
            path = [f"{x:.1f} {_y(one['published'], low, high):.1f}" for x, one in (*lower, *reversed(upper))]
            parts.append(f'<path class="ribbon" d="M{"L".join(path)}Z"/>')
        for curve, line_ in zip(curves, spots, strict=True):
            middle = curve["at"].startswith("50")
            if middle:
                parts.append(f'<path class="ribbon-middle" d="M{_path(line_, "published", low, high)}"/>')
            known = [(x, one) for x, one in line_ if one["reached"] is not None]
            if len(known) > 1:
                css = "line-synthetic" if middle else "line-quantile"
                parts.append(f'<path class="{css}" d="M{_path(known, "reached", low, high)}"/>')
            for x, one in known:
                words = f"{panel['name']}, {one['label']}, {curve['at']}: published {measure(one['published'])}, "
                tip = f"<title>{escape(words + 'simulated ' + measure(one['reached']))}</title>"
                css = "off" if one["agrees"] is False else "dot-synthetic"
                y = _y(one["reached"], low, high)
                parts.append(f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="2.2">{tip}</circle>')
    return svg(WIDTH, TOP + HEIGHT + 30, parts, alt)


def _panels(panels: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, Mapping[str, Any]]]:
    """Return left edge and width of each panel."""
    wide = (WIDTH - LEFT - 6 - GAP * (len(panels) - 1)) / len(panels)
    return [(LEFT + k * (wide + GAP), wide, panel) for k, panel in enumerate(panels)]


def _path(spots: Sequence[tuple[float, Mapping[str, Any]]], key: str, low: float, high: float) -> str:
    return "L".join(f"{x:.1f} {_y(one[key], low, high):.1f}" for x, one in spots)


def _y(value: float, low: float, high: float) -> float:
    return TOP + HEIGHT * (1 - (value - low) / (high - low))


def _frame(
    parts: list[str],
    left: float,
    wide: float,
    low: float,
    high: float,
    panel: Mapping[str, Any],
    step: float,
    unit: str = "",
) -> None:
    """Draw the frame of a panel: name, lines, ages; the first one has the numbers."""
    parts.append(text(left + wide / 2, 12, panel["name"], "middle", 11, "name"))
    for value in ticks(low, high):
        y = _y(value, low, high)
        parts.append(line(left, y, left + wide, y, "gridline"))
        if left == LEFT:
            parts.append(text(left - 4, y + 3.5, tick(value) + (" %" if unit == "%" else ""), "end", 10))
    bottom = TOP + HEIGHT
    parts.append(f'<path class="axis" d="M{left:.1f} {bottom:.1f}h{wide:.1f}"/>')
    every = max(1, -(-len(panel["cells"]) * 20 // max(1, int(wide))))
    for k, one in enumerate(panel["cells"]):
        if k % every == 0:
            age = one["label"].split(" ")[0] + ("+" if "older" in one["label"] else "")
            parts.append(text(left + (k + 0.5) * step, bottom + 13, age, "middle", 10))
    parts.append(text(left + wide / 2, bottom + 26, "age from, years", "middle", 9.5))
