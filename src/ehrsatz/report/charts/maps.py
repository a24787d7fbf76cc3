"""Maps: differences pair by pair, and densities over two axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from ehrsatz.report.charts.base import cut, rect, svg, text


def difference(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw the lower triangle of synthetic minus real: plain cells are stronger, striped ones weaker."""
    names, real, made = data["columns"], data["real"], data["synthetic"]
    n = len(names)
    cell = max(8.0, min(24.0, 620 / max(1, n)))
    font = min(11.0, cell + 1)
    left = 12 + 0.62 * font * max((len(cut(name, 24)) for name in names), default=0)
    size = cell * n
    width = left + size + 6
    height = size + 16 + 0.62 * font * max((len(cut(name, 18)) for name in names), default=0)
    parts = []
    for i in range(n):
        y = i * cell
        parts.append(text(left - 5, y + cell * 0.5 + font * 0.35, cut(names[i], 24), "end", font))
        x = left + i * cell + cell * 0.5 + font * 0.35
        turn = f'transform="translate({x:.1f} {size + 6:.1f}) rotate(-90)" text-anchor="end" font-size="{font:.1f}"'
        parts.append(f"<text {turn}>{escape(cut(names[i], 18))}</text>")
        if i:
            parts.append(rect(left, y, i * cell - 1, cell - 1, "cell"))
        for j in range(i):
            a, b = real[i][j], made[i][j]
            spot = (left + j * cell, y, cell - 1, cell - 1)
            if a is None or b is None:
                parts.append(rect(*spot, "none"))
                continue
            gap = b - a
            shade = min(1.0, abs(gap) / 0.5)
            if shade < 0.04:
                continue
            tip = f"{names[j]} and {names[i]}: real {a:.2f}, synthetic {b:.2f}"
            weaker = not (a * b >= 0 and abs(b) > abs(a))
            parts.append(f"<g><title>{escape(tip)}</title>" if abs(gap) >= 0.05 else "<g>")
            parts.append(rect(*spot, "less" if weaker else "more", f' fill-opacity="{shade:.2f}"'))
            if weaker and shade >= 0.2:
                parts.append(rect(*spot, "hatch"))
            parts.append("</g>")
    return svg(width, height, parts, alt, css="map")


def grids(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw panels of cells, darker for more, all on one scale.

    data: `panels` with `title` and `cells` (rows from the top, each a list of shares), `x` and `y` axis labels.
    """
    panels = data["panels"]
    side, gap, top = 160, 12, 20
    most = max([1e-12, *(value for one in panels for row in one["cells"] for value in row)])
    across = 2
    parts = []
    for k, one in enumerate(panels):
        left, up = (k % across) * (side + gap) + 2, (k // across) * (side + top + 24) + top
        rows = one["cells"]
        parts.append(text(left, up - 6, one["title"], css="name"))
        parts.append(rect(left, up, side, side, "cell"))
        high, wide = side / max(1, len(rows)), side / max(1, max((len(row) for row in rows), default=1))
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                if value <= 0:
                    continue
                shade = (value / most) ** 0.5
                spot = (left + j * wide, up + i * high, wide, high)
                parts.append(rect(*spot, "ink", f' fill-opacity="{0.08 + 0.92 * shade:.2f}"'))
        parts.append(text(left + side / 2, up + side + 13, cut(data["x"], 26), "middle", 10))
    lines = (len(panels) + across - 1) // across
    return svg(2 * side + gap + 4, lines * (side + top + 24), parts, alt)
