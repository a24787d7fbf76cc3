"""The strip beside every score: value and interval on their scale, with all that they are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from ehrsatz.report.charts.base import line, mark, rect, svg, text, tick, ticks
from ehrsatz.report.format import number

WIDTH, MIDDLE, LEFT, RIGHT = 300, 20, 10, 290


def strip(score: Mapping[str, Any]) -> Markup:
    """Draw a score's value with its interval, real data's value, what no skill gives, the ideal and the limits.

    What lies beyond a limit of the policy is hatched, and the limit itself a heavy bar.
    """
    low, high = span(score)

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (min(max(value, low), high) - low) / (high - low)

    parts = [rect(LEFT, MIDDLE - 5, RIGHT - LEFT, 10, "track")]
    words = [f"value {number(score['value'])}"]
    for one in score["thresholds"]:
        if one["at"] is None:
            continue
        at = x(one["at"])
        wide = (at, RIGHT) if one["side"] == "most" else (LEFT, at)
        parts.append(rect(wide[0], MIDDLE - 5, wide[1] - wide[0], 10, "beyond"))
        tip = escape(f"limit of the policy: {one['text']}")
        parts.append(f'<path class="limit" d="M{at:.1f} {MIDDLE - 11}v22"><title>{tip}</title></path>')
        words.append(f"limit {one['text']}")
    if score["ideal"] is not None and low <= score["ideal"] <= high:
        at = x(score["ideal"])
        parts.append(f'<path class="ideal" d="M{at:.1f} {MIDDLE + 7}l4 7h-8z"><title>ideal</title></path>')
    if score["interval"] is not None:
        a, b = (x(end) for end in score["interval"])
        parts.append(line(a, MIDDLE, b, MIDDLE, "reach-synthetic"))
        words.append(f"95 % interval {number(score['interval'][0])} to {number(score['interval'][1])}")
    if score["baseline"] is not None:
        words.append(f"without skill {number(score['baseline'])}")
        parts.append(mark("baseline", x(score["baseline"]), MIDDLE, f"without skill: {number(score['baseline'])}"))
    parts.append(mark("synthetic", x(score["value"]), MIDDLE, number(score["value"])))
    if score["reference"] is not None:
        words.append(f"real data {number(score['reference'])}")
        parts.append(mark("real", x(score["reference"]), MIDDLE, f"real data: {number(score['reference'])}"))
    parts.append(text(LEFT, MIDDLE + 25, tick(low), "start", 10))
    parts.append(text(RIGHT, MIDDLE + 25, tick(high), "end", 10))
    return svg(WIDTH, MIDDLE + 28, parts, f"{score['title']} on its scale: {', '.join(words)}", css="strip")


def span(score: Mapping[str, Any]) -> tuple[float, float]:
    """Return the part of the scale to draw: all of it where the marks spread over it, else what surrounds them."""
    low, high = score["low"], score["high"]
    limits = [one["at"] for one in score["thresholds"]]
    marks = [score[key] for key in ("value", "reference", "baseline", "ideal")]
    seen = [one for one in (*marks, *(score["interval"] or ()), *limits) if one is not None]
    a, b = min(seen), max(seen)
    if low is not None and high is not None and high - low <= 2 and b - a >= 0.4 * (high - low):
        return low, high
    room = 0.12 * (b - a) or 0.1 * (abs(a) or 1.0)
    steps = ticks(a - room, b + room, 6)
    step = steps[1] - steps[0] if len(steps) > 1 else room
    start, end = step * (((a - room) / step) // 1), -step * ((-(b + room) / step) // 1)
    start = start if low is None else max(low, start)
    end = end if high is None else min(high, end)
    return (float(f"{start:.9g}"), float(f"{end:.9g}")) if end > start else (a - 0.5, b + 0.5)
