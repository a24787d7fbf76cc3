"""What all pictures share: their form, dot plots over the range of their marks, line charts over shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ehrsatz.report.format import measure

Picture = dict[str, Any]
MAX_ROWS = 24  # rows of one dot plot or ranking


def picture(
    kind: str,
    title: str,
    caption: str,
    alt: str,
    data: Mapping[str, Any],
    left_out: int = 0,
    notes: Sequence[str] = (),
) -> Picture:
    """Return one picture; notes are sentences that stand below it."""
    return {
        "kind": kind,
        "title": title,
        "caption": caption,
        "alt": alt,
        "data": dict(data),
        "left_out": max(0, left_out),
        "notes": list(notes),
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


VALUES = (
    "value",
    "similarity",
    "auc",
    "distance",
    "rate",
    "share",
    "risk",
    "excess",
    "gap",
    "score",
    "error",
    "l",
    "t",
)
LABELS = ("group", "learner", "term", "part", "secret", "what", "formula", "label", "name", "attack", "class")


def label_of(one: Mapping[str, Any]) -> str:
    """Return what one entry is about: a group, a code with its lag, columns together."""
    if isinstance(one.get("group"), str):
        return str(one["group"])
    if isinstance(one.get("columns"), Sequence) and not isinstance(one["columns"], str):
        return " with ".join(str(name) for name in one["columns"])
    if isinstance(one.get("missing"), Sequence) and not isinstance(one["missing"], str):
        return " + ".join(str(name) for name in one["missing"]) + " missing" if one["missing"] else "nothing missing"
    if isinstance(one.get("secret"), str) and isinstance(one.get("attack"), str):
        return f"{one['secret']} ({one['attack']})"
    if "code" in one:
        return f"{one['code']}, lag {one['lag']}" if "lag" in one else str(one["code"])
    return next((str(one[key]) for key in (*LABELS, "column") if isinstance(one.get(key), str)), "")


def marks_of(one: Mapping[str, Any], scale: float = 1.0) -> list[dict[str, Any]]:
    """Return the marks of one entry, by the sides that it names; empty where it names none.

    main, control, baseline (an attack); train, holdout, majority (people seen, people never seen, guessing); real and
    synthetic; observed and expected; or one value with its reference and baseline.
    """

    def of(series: str, name: str, value: Any, ends: Any = None) -> list[dict[str, Any]]:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return []
        known = isinstance(ends, Sequence) and len(ends) == 2 and all(isinstance(e, (int, float)) for e in ends)
        return [mark(series, name, scale * value, [scale * ends[0], scale * ends[1]] if known else None)]

    if "main" in one and "control" in one:
        ends = one.get("intervals") or (None, None, None)
        return [
            *of("synthetic", "people the generator saw", one["main"], ends[0]),
            *of("control", "people it never saw", one["control"], ends[1]),
            *of("baseline", "guessing", one.get("baseline"), ends[2] if len(ends) > 2 else None),
        ]
    if "train" in one and "holdout" in one:
        return [
            *of("synthetic", "people the generator saw", one["train"], one.get("train_interval")),
            *of("control", "people it never saw", one["holdout"], one.get("holdout_interval")),
            *of("baseline", "guessing", one.get("majority", one.get("baseline"))),
        ]
    if "real" in one and "synthetic" in one:
        return [
            *of("real", "real", one["real"], one.get("real_interval")),
            *of("synthetic", "synthetic", one["synthetic"], one.get("synthetic_interval")),
            *of("baseline", "without skill", one.get("baseline")),
        ]
    value = next((one[key] for key in VALUES if isinstance(one.get(key), (int, float))), None)
    return [
        *of("synthetic", "synthetic", value, one.get("interval")),
        *(of("real", "real data", one.get("reference")) if value is not None else ()),
        *(of("baseline", "without skill", one.get("baseline")) if value is not None else ()),
    ]


def rows_of(entries: Any, scale: float = 1.0) -> list[dict[str, Any]]:
    """Return the rows of a dot plot: every entry that has a label and marks."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    rows = [{"label": label_of(one), "marks": marks_of(one, scale)} for one in entries if isinstance(one, Mapping)]
    return [one for one in rows if one["label"] and one["marks"]]


def table(
    title: str, caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], left_out: int = 0
) -> list[Picture]:
    """Return a table of words and numbers in words; the first column names the row."""
    if not rows:
        return []
    data = {"head": list(head), "rows": [list(row) for row in rows]}
    return [picture("table", title, caption, f"{title}: {len(rows)} rows", data, left_out)]


def dots(
    title: str,
    caption: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    low: float | None = None,
    high: float | None = None,
    lines: Sequence[Mapping[str, Any]] = (),
    left_out: int = 0,
    unit: str = "",
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
        "unit": unit,
    }
    told = "; ".join(
        f"{one['label']}: " + ", ".join(f"{m['name']} {measure(m['value'], unit)}" for m in one["marks"])
        for one in shown[:6]
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
