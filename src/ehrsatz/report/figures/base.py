"""What all pictures share: their form, dot plots over the range of their marks, line charts over shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ehrsatz.report.format import number

Picture = dict[str, Any]
MAX_ROWS = 24  # rows of one dot plot or ranking


def picture(kind: str, title: str, caption: str, alt: str, data: Mapping[str, Any], left_out: int = 0) -> Picture:
    """Return one picture."""
    return {
        "kind": kind,
        "title": title,
        "caption": caption,
        "alt": alt,
        "data": dict(data),
        "left_out": max(0, left_out),
    }


def has(rows: Any, *keys: str) -> bool:
    """Whether this is a list of mappings that all have these keys."""
    return (
        isinstance(rows, Sequence)
        and not isinstance(rows, str)
        and bool(rows)
        and all(isinstance(one, Mapping) and all(key in one for key in keys) for one in rows)
    )


def mark(series: str, name: str, value: float | None, interval: Any = None) -> dict[str, Any]:
    """Return one mark of a dot plot: series (synthetic, real, control, baseline), its name, value and interval."""
    ends = None if interval is None or any(end is None for end in interval) else [interval[0], interval[1]]
    return {"series": series, "name": name, "value": value, "interval": ends}


def dots(
    title: str,
    caption: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    low: float | None = None,
    high: float | None = None,
    lines: Sequence[Mapping[str, Any]] = (),
    left_out: int = 0,
) -> list[Picture]:
    """Return a dot plot over the range of its marks, or none where there is nothing to draw."""
    shown = [one for one in rows if any(m["value"] is not None for m in one["marks"])]
    left_out += max(0, len(shown) - MAX_ROWS)
    shown = shown[:MAX_ROWS]
    ends = [line["at"] for line in lines]
    for one in shown:
        for m in one["marks"]:
            if m["value"] is not None:
                ends += [m["value"], *(m["interval"] or ())]
    if not shown:
        return []
    room = 0.06 * (max(ends) - min(ends)) or 0.5
    data = {
        "rows": shown,
        "low": min(ends) - room if low is None else low,
        "high": max(ends) + room if high is None else high,
        "lines": list(lines),
    }
    told = "; ".join(
        f"{one['label']}: " + ", ".join(f"{m['name']} {number(m['value'])}" for m in one["marks"]) for one in shown[:6]
    )
    return [picture("dots", title, caption, f"{title}. {told}", data, left_out)]


def lines(
    title: str,
    caption: str,
    series: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    *,
    ends: tuple[float, float, float, float] | None = None,
    diagonal: bool = False,
    square: bool = False,
    alt: str = "",
) -> list[Picture]:
    """Return a line chart; `ends` are low and high of both axes, or the range of the points."""
    points = [point for one in series for point in one["points"]]
    if not points:
        return []
    if ends is None:
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        room = 0.04 * (max(ys) - min(ys)) or 0.5
        ends = (min(xs), max(xs), min(ys) - room, max(ys) + room)
    data = {
        "series": [dict(one) for one in series],
        "x": {"label": x, "low": ends[0], "high": ends[1]},
        "y": {"label": y, "low": ends[2], "high": ends[3]},
        "diagonal": diagonal,
        "square": square,
    }
    return [picture("lines", title, caption, alt or f"{title}: {y} against {x}", data)]


def curve(name: str, style: str, points: Sequence[Sequence[float]], shape: str = "line") -> dict[str, Any]:
    """Return one series of a line chart."""
    return {"name": name, "style": style, "shape": shape, "points": [[p[0], p[1]] for p in points]}


def spread(values: Sequence[float]) -> list[list[float]]:
    """Return points of a curve whose values stand at even steps from 0 to 1."""
    last = max(1, len(values) - 1)
    return [[i / last, value] for i, value in enumerate(values)]
