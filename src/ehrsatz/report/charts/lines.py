"""Line charts: curves of attacks and predictions, survival, Q-Q plots, lags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ehrsatz.report.charts.base import cut, line, svg, text, tick, ticks

WIDTH, LEFT, TOP = 340, 46, 8
RIGHT = WIDTH - 12


def lines(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw series of points as lines, stairs or dots over one frame, with a key below.

    data: `series` with `name`, `style` (real, synthetic, baseline, or other1 to other4), `shape` (line, step or dots)
    and `points`; `x` and `y` with `label`, `low`, `high`; `diagonal` draws the line of equality or of guessing.
    """
    xs, ys = data["x"], data["y"]
    height = 210 if not data.get("square") else RIGHT - LEFT

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * _share(value, xs)

    def y(value: float) -> float:
        return TOP + height * (1 - _share(value, ys))

    bottom = TOP + height
    parts = []
    for value in ticks(ys["low"], ys["high"]):
        parts.append(line(LEFT, y(value), RIGHT, y(value), "gridline"))
        parts.append(text(LEFT - 5, y(value) + 4, tick(value), "end", 10))
    for value in ticks(xs["low"], xs["high"]):
        parts.append(line(x(value), TOP, x(value), bottom, "gridline"))
        parts.append(text(x(value), bottom + 14, tick(value), "middle", 10))
    parts.append(f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{bottom:g}H{RIGHT}"/>')
    if data["diagonal"]:
        low, high = max(xs["low"], ys["low"]), min(xs["high"], ys["high"])
        parts.append(line(x(low), y(low), x(high), y(high), "guess"))
    drawn = sorted(data["series"], key=lambda one: {"real": 0, "synthetic": 2}.get(one["style"], 1))
    for one in drawn:
        points = [(x(a), y(b)) for a, b in one["points"]]
        if not points:
            continue
        if one["shape"] == "dots":
            parts += [f'<circle class="dot-{one["style"]}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in points]
            continue
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        for a, b in points[1:]:
            path += f"H{a:.1f}V{b:.1f}" if one["shape"] == "step" else f"L{a:.1f} {b:.1f}"
        parts.append(f'<path class="line-{one["style"]}" d="{path}"/>')
    parts.append(text((LEFT + RIGHT) / 2, bottom + 30, cut(xs["label"], 54), "middle"))
    turn = f'transform="translate(11 {TOP + height / 2:g}) rotate(-90)" text-anchor="middle" font-size="11"'
    parts.append(f"<text {turn}>{_escaped(cut(ys['label'], 38))}</text>")
    place = bottom + 48
    if len(data["series"]) > 1:
        for one in data["series"]:
            if one["shape"] == "dots":
                parts.append(f'<circle class="dot-{one["style"]}" cx="{LEFT + 13}" cy="{place - 4:g}" r="3"/>')
            else:
                parts.append(line(LEFT, place - 4, LEFT + 26, place - 4, f"line-{one['style']}"))
            parts.append(text(LEFT + 34, place, cut(one["name"], 44)))
            place += 17
    return svg(WIDTH, place - 10, parts, alt, css="chart square" if data.get("square") else "chart")


def _share(value: float, axis: Mapping[str, Any]) -> float:
    span = axis["high"] - axis["low"]
    return 0.5 if span <= 0 else min(1.0, max(0.0, (value - axis["low"]) / span))


def _escaped(words: str) -> str:
    from markupsafe import escape

    return str(escape(words))
