"""A finished search as one self-contained HTML page: what to use first, then the front, then every trial.

Nothing is loaded from elsewhere and nothing runs. The page is drawn from the JSON twin alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

from ehrsatz.report import format
from ehrsatz.report.charts.base import line, svg, text, tick, ticks

WIDTH, HEIGHT = 560, 360
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 46
SMALL, LARGE = 4.0, 10.0  # radius of the least and the most useful
SHAPES = ("circle", "square", "diamond", "triangle", "cross", "bar")


def page(told: Mapping[str, Any]) -> str:
    """Draw the page.

    Parameters
    ----------
    told
        The search, as `result` returned it or as it was read back from a file.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=format.number, interval=format.interval)
    style = resources.files("ehrsatz.report").joinpath("report.css").read_text(encoding="utf-8")
    template = resources.files("ehrsatz.tuning").joinpath("tune.html.j2").read_text(encoding="utf-8")
    methods = list(told["search"]["space"])
    return environment.from_string(template).render(
        told=told,
        style=Markup(re.sub(r"\s*\n\s*", "", style)),
        picture=front(told),
        shapes=[(name, _key(SHAPES[i % len(SHAPES)])) for i, name in enumerate(methods)],
        spaces=[(name, _in_words(one)) for name, one in told["search"]["space"].items()],
        failed=[one for one in told["trials"] if one["state"] == "failed"],
        noted=[one for one in told["trials"] if one["notes"]],
    )


def front(told: Mapping[str, Any]) -> Markup:
    """Draw fidelity against privacy: better is down and left; larger marks are more useful; the front is filled.

    Parameters
    ----------
    told
        The search.
    """
    trials = [one for one in told["trials"] if one["state"] == "measured"]
    methods = list(told["search"]["space"])
    x, x_ticks = _scale([one["figures"]["fidelity"] for one in trials], LEFT, WIDTH - RIGHT)
    y, y_ticks = _scale([*(one["figures"]["privacy"] for one in trials), told["limit"]], HEIGHT - BOTTOM, TOP)
    useful = [one["figures"]["utility"] for one in trials if one["figures"].get("utility") is not None]
    parts = []
    for at in x_ticks:
        parts.append(line(x(at), TOP, x(at), HEIGHT - BOTTOM, "gridline"))
        parts.append(text(x(at), HEIGHT - BOTTOM + 15, tick(at), "middle"))
    for at in y_ticks:
        parts.append(line(LEFT, y(at), WIDTH - RIGHT, y(at), "gridline"))
        parts.append(text(LEFT - 6, y(at) + 4, tick(at), "end"))
    edge = y(told["limit"])
    parts.append(line(LEFT, edge, WIDTH - RIGHT, edge, "guess"))
    parts.append(text(WIDTH - RIGHT, edge - 5, f"privacy limit, chance included: {told['limit']:.3f}", "end", 10))
    parts.append(
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "fidelity: AUC of telling apart (left is better)", "middle")
    )
    words = "privacy: membership AUC (down is better)"
    place = f'x="12" y="{HEIGHT / 2:g}" transform="rotate(-90 12 {HEIGHT / 2:g})"'
    parts.append(f'<text {place} text-anchor="middle" font-size="11">{words}</text>')
    # the front above the others, the recommended one above all
    order = sorted(trials, key=lambda one: (one["trial"] == told["recommended"], one["on_front"], -one["trial"]))
    for one in order:
        figures = one["figures"]
        size = _size(figures.get("utility"), useful)
        shape = SHAPES[methods.index(one["generator"]) % len(SHAPES)]
        a, b = x(figures["fidelity"]), y(figures["privacy"])
        css = "f-front" if one["on_front"] else "f-other"
        told_by = ", ".join(f"{name} {format.number(value)}" for name, value in figures.items())
        tip = f"trial {one['trial']}: {one['generator']}, {one['words']}: {told_by}"
        parts.append(_mark(shape, a, b, size, css, tip))
        if one["trial"] == told["recommended"]:
            parts.append(f'<circle class="f-ring" cx="{a:.1f}" cy="{b:.1f}" r="{size + 5:.1f}"/>')
            left = a > WIDTH * 0.7
            where = a - size - 9 if left else a + size + 9
            parts.append(text(where, b + 4, "recommended", "end" if left else "start", css="name"))
    alt = f"Fidelity against privacy of {len(trials)} trials, {len(told['front'])} of them on the front"
    return svg(WIDTH, HEIGHT, parts, alt, css="chart front")


def _scale(values: Sequence[float], start: float, end: float) -> tuple[Any, list[float]]:
    """Return the map from values to places, and the ticks; a little room on both sides."""
    low, high = min(*values, 0.5), max(values)
    high = max(high, low + 0.02)
    room = 0.06 * (high - low)
    low, high = low - room, high + room
    return (lambda value: start + (end - start) * (value - low) / (high - low)), ticks(low, high, 6)


def _size(utility: float | None, known: Sequence[float]) -> float:
    if utility is None or not known:
        return 5.5
    low, high = min(known), max(known)
    return SMALL + (LARGE - SMALL) * ((utility - low) / (high - low) if high > low else 0.5)


def _mark(shape: str, x: float, y: float, r: float, css: str, tip: str) -> str:
    title = f"<title>{escape(tip)}</title>" if tip else ""
    if shape == "circle":
        return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}">{title}</circle>'
    s, d = 0.9 * r, 1.2 * r
    path = {
        "square": f"M{x - s:.1f} {y - s:.1f}h{2 * s:.1f}v{2 * s:.1f}h{-2 * s:.1f}z",
        "diamond": f"M{x:.1f} {y - d:.1f}l{d:.1f} {d:.1f}-{d:.1f} {d:.1f}-{d:.1f}-{d:.1f}z",
        "triangle": f"M{x:.1f} {y - 1.1 * r:.1f}L{x + 1.1 * r:.1f} {y + r:.1f}H{x - 1.1 * r:.1f}z",
        "cross": f"M{x - s:.1f} {y - s / 3:.1f}h{2 * s:.1f}v{2 * s / 3:.1f}h{-2 * s:.1f}z"
        f"M{x - s / 3:.1f} {y - s:.1f}h{2 * s / 3:.1f}v{2 * s:.1f}h{-2 * s / 3:.1f}z",
        "bar": f"M{x - 1.2 * r:.1f} {y - r / 2:.1f}h{2.4 * r:.1f}v{r:.1f}h{-2.4 * r:.1f}z",
    }[shape]
    return f'<path class="{css}" d="{path}">{title}</path>'


def _key(shape: str) -> Markup:
    drawn = _mark(shape, 8, 8, 5.5, "f-front", "")
    return Markup(f'<svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">{drawn}</svg>')


def _in_words(domains: Mapping[str, Any]) -> str:
    out = []
    for name, one in domains.items():
        if isinstance(one, Mapping):
            out.append(f"{name} {one['low']:g} to {one['high']:g}{' in factors' if one['log'] else ''}")
        else:
            out.append(f"{name} {' or '.join(_value(value) for value in one)}")
    return "; ".join(out) or "its defaults alone"


def _value(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
