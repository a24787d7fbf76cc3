"""SVG by hand: boxes, lines, words, marks and scales that all charts share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

MARKS = ("synthetic", "real", "control", "baseline")


def svg(width: float, height: float, parts: Sequence[str], label: str, css: str = "chart") -> Markup:
    """Wrap parts in one picture that a screen reader announces as the label."""
    head = f'<svg class="{css}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img"'
    return Markup(f'{head} aria-label="{escape(label)}">{"".join(parts)}</svg>')


def rect(x: float, y: float, width: float, height: float, css: str, extra: str = "") -> str:
    """Return a box; a negative width or height is none."""
    size = f'width="{_short(max(0, width))}" height="{_short(max(0, height))}"'
    return f'<rect class="{css}" x="{_short(x)}" y="{_short(y)}" {size}{extra}/>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """Return a straight line."""
    return f'<path class="{css}" d="M{_short(x1)} {_short(y1)}L{_short(x2)} {_short(y2)}"/>'


def text(x: float, y: float, words: str, anchor: str = "start", size: float = 11, css: str = "") -> str:
    """Return one line of words, escaped."""
    kind = f' class="{css}"' if css else ""
    place = f'x="{_short(x)}" y="{_short(y)}" text-anchor="{anchor}" font-size="{size:g}"'
    return f"<text{kind} {place}>{escape(words)}</text>"


def mark(series: str, x: float, y: float, tip: str = "") -> str:
    """Return the mark of a series: filled circle, hollow diamond, hollow square, cross."""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    a, b = _short(x), _short(y)
    if series == "synthetic":
        return f'<circle class="made" cx="{a}" cy="{b}" r="4.6">{title}</circle>'
    path = {
        "real": f"M{a} {_short(y - 6)}l6 6-6 6-6-6z",
        "control": f"M{_short(x - 4.5)} {_short(y - 4.5)}h9v9h-9z",
        "baseline": f"M{_short(x - 4)} {_short(y - 4)}l8 8m0-8l-8 8",
    }
    return f'<path class="m-{series}" d="{path[series]}">{title}</path>'


def cut(words: str, most: int) -> str:
    """Shorten words to fit, with an ellipsis."""
    return words if len(words) <= most else words[: most - 1] + "…"


def percent(share: float | None) -> str:
    """Return a share that is in percent already, in words."""
    if share is None:
        return "not shown"
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %"


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Return round numbers within a range, at most `most` + 1 of them.

    Examples
    --------
    >>> ticks(0, 1), ticks(3, 47)
    ([0.0, 0.5, 1.0], [20.0, 40.0])
    """
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10, 20) if power * m >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    out = []
    while (first * step) <= high + 1e-9 * step:
        out.append(float(f"{first * step:.10g}"))
        first += 1
    return out


def tick(number: float) -> str:
    """Return the words of a tick."""
    return f"{number:,.6g}" if abs(number) >= 1e4 else f"{number:.4g}"


def _short(number: float) -> str:
    out = f"{number:.1f}"
    return out[:-2] if out.endswith(".0") else out
