"""A line chart as a small SVG file, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 70, 55, 40, 150
COLOURS = ("#1f6feb", "#c2410c", "#15803d", "#7e22ce", "#0f766e", "#a16207")

Line = tuple[str, Sequence[tuple[float, float]], Sequence[str]]  # name, points, a label per point (may be empty)


def draw(path: Path, title: str, x_name: str, y_name: str, lines: Sequence[Line], logarithmic: bool = False) -> None:
    """Write a chart of lines with their points.

    Parameters
    ----------
    path
        File to write.
    title, x_name, y_name
        Texts; the units belong in the names.
    lines
        Name, points, and a label per point, which may be empty.
    logarithmic
        Both axes by powers of ten.
    """
    scale = math.log10 if logarithmic else float
    xs = [scale(x) for _, points, _ in lines for x, _ in points]
    ys = [scale(y) for _, points, _ in lines for _, y in points]
    x_ticks, y_ticks = (_ticks(min(v), max(v), logarithmic) for v in (xs, ys))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x_name)}</text>',
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>',
    ]
    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        out.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x:.1f}" y2="{TOP}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{_name(tick, logarithmic)}</text>')
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        out.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{_name(tick, logarithmic)}</text>')
    for i, (name, points, labels) in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        spots = [place(scale(x), scale(y)) for x, y in points]
        path_text = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        out.append(f'<polyline points="{path_text}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), label in zip(spots, labels or [""] * len(spots)):
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            out.append(f'<text x="{x + 6:.1f}" y="{y - 6:.1f}" fill="{colour}" font-size="10">{escape(label)}</text>')
        out.append(f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 14 + 18 * i}" fill="{colour}">{escape(name)}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*out, "</svg>"]) + "\n", encoding="utf-8")


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        return [float(i) for i in range(math.floor(low), max(math.ceil(high), math.floor(low) + 1) + 1)]
    step = 10 ** math.floor(math.log10(max(high - low, 1e-9)))
    step = step / 5 if (high - low) / step < 2 else step / 2 if (high - low) / step < 5 else step
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [i * step for i in range(first, last + 1)]


def _name(tick: float, logarithmic: bool) -> str:
    return f"{10**tick:,.10g}" if logarithmic else f"{tick:.4g}"
