"""Maps: differences pair by pair, and densities over two axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from ehrsatz.report.charts.base import cut, rect, svg, text


def difference(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw synthetic minus real, pair by pair: plain cells are stronger, striped ones weaker.

    data: `columns` and, where they are others, `rows`; `real` and `synthetic` strengths, null where there is none;
    `scale`: the difference of full colour. Of columns against themselves the lower triangle is drawn.
    """
    across, real, made = data["columns"], data["real"], data["synthetic"]
    square = data["rows"] is None
    down = across if square else data["rows"]
    cell = max(9.0, min(24.0, 620 / max(1, len(across))))
    font = min(11.0, cell + 1)
    left = 12 + 0.62 * font * max((len(cut(name, 24)) for name in down), default=0)
    wide, high = cell * len(across), cell * len(down)
    height = high + 16 + 0.62 * font * max((len(cut(name, 18)) for name in across), default=0)
    parts = []
    for j, name in enumerate(across):
        x = left + j * cell + cell * 0.5 + font * 0.35
        turn = f'transform="translate({x:.1f} {high + 6:.1f}) rotate(-90)" text-anchor="end" font-size="{font:.1f}"'
        parts.append(f"<text {turn}>{escape(cut(name, 18))}</text>")
    for i, name in enumerate(down):
        y = i * cell
        parts.append(text(left - 5, y + cell * 0.5 + font * 0.35, cut(name, 24), "end", font))
        last = i if square else len(across)
        if last:
            parts.append(rect(left, y, last * cell - 1, cell - 1, "cell"))
        for j in range(last):
            a, b = real[i][j], made[i][j]
            spot = (left + j * cell, y, cell - 1, cell - 1)
            if a is None or b is None:
                parts.append(rect(*spot, "none"))
                continue
            shade = min(1.0, abs(b - a) / data["scale"])
            if shade < 0.04:
                continue
            tip = escape(f"{across[j]} and {name}: real {a:.2f}, synthetic {b:.2f}")
            weaker = not (a * b >= 0 and abs(b) > abs(a))
            parts.append(f"<g><title>{tip}</title>" if shade >= 0.1 else "<g>")
            parts.append(rect(*spot, "less" if weaker else "more", f' fill-opacity="{shade:.2f}"'))
            if weaker and shade >= 0.2:
                parts.append(rect(*spot, "hatch"))
            parts.append("</g>")
    return svg(left + wide + 6, height, parts, alt, css="map")


def grids(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw panels of cells, darker for more, all on one scale; cells that are not shown are dotted.

    data: `panels` with `title` and `cells` (rows from the top, each a list of shares; null: not shown), and the axis
    labels `x` and `y`.
    """
    panels = data["panels"]
    side, gap, top = 160, 14, 20
    most = max([1e-12, *(value for one in panels for row in one["cells"] for value in row if value is not None)])
    parts = []
    for k, one in enumerate(panels):
        left, up = (k % 2) * (side + gap) + 2, (k // 2) * (side + top + 24) + top
        rows = one["cells"]
        parts.append(text(left, up - 6, one["title"], css="name"))
        parts.append(rect(left, up, side, side, "cell"))
        high, wide = side / max(1, len(rows)), side / max(1, max((len(row) for row in rows), default=1))
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                if value == 0:
                    continue
                x, y = left + j * wide, up + i * high
                if value is None:
                    parts.append(f'<circle class="dim" cx="{x + wide / 2:.1f}" cy="{y + high / 2:.1f}" r="1.1"/>')
                    continue
                shade = (value / most) ** 0.5
                parts.append(rect(x, y, wide, high, "ink", f' fill-opacity="{0.1 + 0.9 * shade:.2f}"'))
        parts.append(text(left + side / 2, up + side + 14, cut(data["x"], 26), "middle", 10))
    lines = (len(panels) + 1) // 2
    return svg(2 * side + gap + 4, lines * (side + top + 24), parts, alt)
