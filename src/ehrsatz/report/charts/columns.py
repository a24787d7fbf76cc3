"""Bars: one column's shares, real beside synthetic, and rankings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from ehrsatz.report.charts.base import cut, percent, rect, svg, text
from ehrsatz.report.format import measure

WIDTH = 320
MOST_SIGNS = 42  # of three labels side by side


def bars(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw real beside synthetic shares of one column: upright bars for a number, lying ones for levels."""
    return _upright(data, alt) if data["upright"] else _lying(data, alt)


def _upright(data: Mapping[str, Any], alt: str) -> Markup:
    labels, real, made = data["labels"], data["real"], data["synthetic"]
    height, base = 132, 110
    top = max([1e-9, *(x for x in real if x is not None), *made])
    slot = (WIDTH - 4) / len(labels)
    parts = []
    for i, (label, a, b) in enumerate(zip(labels, real, made)):
        x = 2 + i * slot
        gone = label == "missing"
        parts.append(f"<g><title>{_tip(label, a, b)}</title>")
        if a is not None:
            css = "real pale" if gone else "real"
            parts.append(rect(x + 0.06 * slot, base - 94 * a / top, 0.88 * slot, 94 * a / top, css))
        parts.append(rect(x + 0.31 * slot, base - 94 * b / top, 0.38 * slot, 94 * b / top, "made"))
        parts.append("</g>")
    wanted = sorted({0, (len(labels) - 1) // 2, len(labels) - 1})
    if len(wanted) == 3 and sum(len(cut(labels[i], 20)) for i in wanted) > MOST_SIGNS:
        del wanted[1]
    for i in wanted:
        anchor = "start" if i == 0 else "end" if i == len(labels) - 1 else "middle"
        x = 2 if i == 0 else WIDTH - 2 if i == len(labels) - 1 else 2 + (i + 0.5) * slot
        if len(wanted) == 1:
            anchor, x = "middle", WIDTH / 2
        parts.append(text(x, base + 15, cut(labels[i], 20), anchor))
    parts.append(f'<path class="axis" d="M0 {base}H{WIDTH}"/>')
    parts.append(text(WIDTH - 2, 11, f"highest bar {top:.3g} %", "end", 10))
    return svg(WIDTH, height, parts, alt)


def _lying(data: Mapping[str, Any], alt: str) -> Markup:
    labels, real, made = data["labels"], data["real"], data["synthetic"]
    row, left = 19, 118
    top = max([1e-9, *(x for x in real if x is not None), *made])
    scale = (WIDTH - left - 44) / top
    parts = []
    for i, (label, a, b) in enumerate(zip(labels, real, made)):
        y = 2 + i * row
        parts.append(f"<g><title>{_tip(label, a, b)}</title>")
        parts.append(text(left - 6, y + 12, cut(label, 16), "end"))
        if a is not None:
            parts.append(rect(left, y + 1, a * scale, row - 4, "real"))
        parts.append(rect(left, y + 5.5, b * scale, row - 13, "made"))
        parts.append(text(left + max(a or 0, b) * scale + 4, y + 12, percent(b)))
        parts.append("</g>")
    return svg(WIDTH, 4 + row * len(labels), parts, alt)


def _tip(label: str, a: float | None, b: float) -> Markup:
    return escape(f"{label}: real {percent(a)}, synthetic {percent(b)}")


def ranking(data: Mapping[str, Any], alt: str) -> Markup:
    """Draw names with one bar each, the longest first; the number stands at the end of its bar."""
    rows = data["rows"]
    row, width = 36, 340
    top = max([1e-12, *(abs(one["value"]) for one in rows)])
    parts = []
    for i, one in enumerate(rows):
        y = 2 + i * row
        parts.append(text(2, y + 12, cut(one["label"], 46), css="name"))
        length = (width - 64) * abs(one["value"]) / top
        parts.append(rect(2, y + 17, max(1.5, length), 9, "made" if one["value"] >= 0 else "real"))
        parts.append(text(8 + length, y + 26, measure(one["value"], data["unit"])))
    return svg(width, 4 + row * len(rows), parts, alt)
