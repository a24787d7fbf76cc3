"""Charts as inline SVG: bars, strips, a difference map and a ROC curve.

Colours are CSS classes (`real`, `made`), so that light, dark and print follow the page; real and synthetic also differ
in width or dash, so that neither colour nor print quality is needed to tell them apart. Same input, same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

Point = tuple[float, float]


def columns_chart(picture: Mapping[str, Any], name: str, *, numeric: bool) -> Markup:
    """Draw real beside synthetic shares of one column: upright bars for a number, lying ones for levels."""
    if not picture["labels"]:
        return Markup('<p class="quiet">No picture: {}.</p>').format(picture["note"])
    return _upright(picture, name) if numeric else _lying(picture, name)


def _upright(picture: Mapping[str, Any], name: str) -> Markup:
    labels, real, made = picture["labels"], picture["real"], picture["synthetic"]
    width, height, base = 320, 132, 110
    top = max([1e-9, *(x for x in real if x is not None), *made])
    slot = (width - 4) / len(labels)
    parts = []
    for i, (label, a, b) in enumerate(zip(labels, real, made)):
        x = 2 + i * slot
        gone = label == "missing"
        tip = escape(f"{label}: real {_percent(a)}, synthetic {_percent(b)}")
        parts.append(f"<g><title>{tip}</title>")
        if a is not None:
            parts.append(
                _rect(x + 0.06 * slot, base - 96 * a / top, 0.88 * slot, 96 * a / top, "real pale" if gone else "real")
            )
        parts.append(_rect(x + 0.31 * slot, base - 96 * b / top, 0.38 * slot, 96 * b / top, "made"))
        parts.append("</g>")
    wanted = sorted({0, (len(labels) - 1) // 2, len(labels) - 1})
    for i in wanted:
        anchor = "start" if i == 0 else "end" if i == len(labels) - 1 else "middle"
        x = 2 if i == 0 else width - 2 if i == len(labels) - 1 else 2 + (i + 0.5) * slot
        if len(wanted) == 1:
            anchor, x = "middle", width / 2
        parts.append(_text(x, base + 14, _short(labels[i], 20), anchor))
    parts.append(f'<line class="axis" x1="0" x2="{width}" y1="{base}" y2="{base}"/>')
    parts.append(_text(width - 2, 11, f"{top:.3g} %", "end"))
    return _svg(width, height, parts, f"Shares of {name}, real and synthetic")


def _lying(picture: Mapping[str, Any], name: str) -> Markup:
    labels, real, made = picture["labels"], picture["real"], picture["synthetic"]
    width, row, left = 320, 19, 118
    top = max([1e-9, *(x for x in real if x is not None), *made])
    scale = (width - left - 44) / top
    parts = []
    for i, (label, a, b) in enumerate(zip(labels, real, made)):
        y = 2 + i * row
        tip = escape(f"{label}: real {_percent(a)}, synthetic {_percent(b)}")
        parts.append(f"<g><title>{tip}</title>")
        parts.append(_text(left - 6, y + 12, _short(label, 16), "end"))
        if a is not None:
            parts.append(_rect(left, y + 1, a * scale, row - 4, "real"))
        parts.append(_rect(left, y + 5.5, b * scale, row - 13, "made"))
        parts.append(_text(left + max(a or 0, b) * scale + 4, y + 12, _percent(b), "start"))
        parts.append("</g>")
    return _svg(width, 4 + row * len(labels), parts, f"Shares of the levels of {name}, real and synthetic")


def strip(
    value: float, interval: Sequence[float] | None, reference: float | None, ideal: float, low: float, high: float
) -> Markup:
    """Draw a value with its interval on its scale, with what real data score and the ideal."""
    low, high = _range(value, interval, reference, ideal, low, high)
    width, middle = 170, 11

    def x(number: float) -> float:
        return 6 + (width - 12) * (min(max(number, low), high) - low) / (high - low)

    parts = [f'<line class="track" x1="6" x2="{width - 6}" y1="{middle}" y2="{middle}"/>']
    parts.append(
        f'<line class="ideal" x1="{x(ideal):.1f}" x2="{x(ideal):.1f}" y1="3" y2="19"><title>ideal</title></line>'
    )
    if interval is not None:
        a, b = x(interval[0]), x(interval[1])
        parts.append(f'<line class="reach" x1="{a:.1f}" x2="{b:.1f}" y1="{middle}" y2="{middle}"/>')
    if reference is not None:
        r = x(reference)
        tip = f"<title>what real data score: {reference:.3f}</title>"
        parts.append(f'<path class="diamond" d="M{r:.1f} 5l6 6-6 6-6-6z">{tip}</path>')
    parts.append(f'<circle class="made" cx="{x(value):.1f}" cy="{middle}" r="4.5"><title>{value:.3f}</title></circle>')
    parts += [_text(6, 29, f"{low:.3g}", "start"), _text(width - 6, 29, f"{high:.3g}", "end")]
    return _svg(width, 32, parts, "Value, interval and reference on the scale", css="strip")


def _range(
    value: float, interval: Sequence[float] | None, reference: float | None, ideal: float, low: float, high: float
) -> Point:
    """Return the part of the scale to draw: all of it up to a length of 1, else from zero to beyond what is shown."""
    if high - low <= 1:
        return low, high
    seen = [value, ideal, *(interval or ()), *([] if reference is None else [reference])]
    far = next(
        step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 10_000) if step >= max(abs(one) for one in seen) * 1.05
    )
    return max(low, -far if min(seen) < 0 else 0.0), min(high, far)


def difference_map(entry: Mapping[str, Any]) -> Markup:
    """Draw the lower triangle of synthetic minus real strength of association, deeper colour for larger difference."""
    names, real, made = entry["columns"], entry["real"], entry["synthetic"]
    n = len(names)
    cell = max(7.0, min(24.0, 620 / max(1, n)))
    font = min(11.0, cell + 1)
    left = 12 + 0.62 * font * max((len(_short(name, 24)) for name in names), default=0)
    size = cell * n
    width, height = left + size + 6, size + 16 + 0.62 * font * max((len(_short(name, 18)) for name in names), default=0)
    parts = []
    for i in range(n):
        y = i * cell
        parts.append(_text(left - 5, y + cell * 0.5 + font * 0.35, _short(names[i], 24), "end", font))
        x = left + i * cell + cell * 0.5 + font * 0.35
        parts.append(
            f'<text transform="translate({x:.1f} {size + 6:.1f}) rotate(-90)" text-anchor="end" font-size="{font:.1f}">'
            f"{escape(_short(names[i], 18))}</text>"
        )
        for j in range(i):
            a, b = real[i][j], made[i][j]
            spot = f'x="{left + j * cell:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}"'
            if a is None or b is None:
                parts.append(f'<rect class="none" {spot}/>')
                continue
            gap = b - a
            shade = min(1.0, abs(gap) / 0.5)
            kind = "more" if a * b >= 0 and abs(b) > abs(a) else "less"
            tip = ""
            if abs(gap) >= 0.05:
                tip = f"<title>{escape(names[j])} and {escape(names[i])}: real {a:.2f}, synthetic {b:.2f}</title>"
            parts.append(f'<rect class="cell" {spot}/>')
            if shade >= 0.02:
                parts.append(f'<rect class="{kind}" fill-opacity="{shade:.2f}" {spot}>{tip}</rect>')
    return _svg(width, height, parts, "Difference of association, pair by pair", css="map")


def trials_chart(trials: Sequence[Mapping[str, Any]], measure: str) -> Markup:
    """Draw each learner's score on real rows after real and after synthetic training, with intervals."""
    width, left, row = 560, 150, 52
    low = min(0.0, *(min(one["real"], one["synthetic"]) for one in trials))
    scale = (width - left - 60) / (1 - low)
    zero = left - low * scale
    parts = []
    for i, one in enumerate(trials):
        y = 6 + i * row
        parts.append(_text(left - 8, y + 24, one["learner"], "end", 13))
        for k, (key, css) in enumerate((("real", "real"), ("synthetic", "made"))):
            top = y + 3 + 19 * k
            start, end = sorted((zero, zero + one[key] * scale))
            parts.append(_rect(start, top, end - start, 15, css))
            a, b = (zero + max(low, min(1.0, end)) * scale for end in one[f"{key}_interval"])
            parts.append(
                f'<path class="whisker" d="M{a:.1f} {top + 7.5}H{b:.1f}M{a:.1f} {top + 4}v7M{b:.1f} {top + 4}v7"/>'
            )
            parts.append(_text(max(b, end) + 7, top + 12, f"{one[key]:.3f}", "start", 12))
    bottom = 6 + row * len(trials)
    if measure == "AUC":
        x = zero + 0.5 * scale
        parts.append(f'<line class="guess" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 13, "guessing", "middle"))
    parts.append(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="2" y2="{bottom}"/>')
    return _svg(width, bottom + 18, parts, f"{measure} on real rows, by learner and training rows", css="wide")


def roc_chart(curve: Sequence[float]) -> Markup:
    """Draw found members against false alarms for the strongest attack; the diagonal is guessing."""
    side, left, top = 220, 44, 8
    points = " ".join(
        f"{left + side * i / (len(curve) - 1):.1f},{top + side * (1 - y):.1f}" for i, y in enumerate(curve)
    )
    parts = [
        f'<rect class="cell" x="{left}" y="{top}" width="{side}" height="{side}"/>',
        f'<line class="guess" x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}"/>',
        f'<polyline class="curve" points="{points}"/>',
        _text(left + side / 2, top + side + 30, "outsiders wrongly accused", "middle", 12),
        f'<text transform="translate(12 {top + side / 2}) rotate(-90)" text-anchor="middle" font-size="12">'
        "training subjects found</text>",
    ]
    for share, word in ((0, "0 %"), (1, "100 %")):
        parts.append(_text(left + side * share, top + side + 14, word, "middle"))
        parts.append(_text(left - 4, top + side * (1 - share) + (0 if share == 0 else 9), word, "end"))
    return _svg(left + side + 20, top + side + 38, parts, "ROC curve of the strongest membership attack", css="roc")


def _svg(width: float, height: float, parts: Sequence[str], label: str, css: str = "chart") -> Markup:
    head = f'<svg class="{css}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img"'
    return Markup(f'{head} aria-label="{escape(label)}">{"".join(parts)}</svg>')


def _rect(x: float, y: float, width: float, height: float, css: str) -> str:
    return f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{max(0, width):.1f}" height="{max(0, height):.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, size: float = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}">{escape(text)}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _percent(share: float | None) -> str:
    if share is None:
        return "not shown"
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %"
