"""The watch as one self-contained HTML page: advice first, then each score over the releases."""

from __future__ import annotations

from importlib import resources
from typing import Any

from markupsafe import Markup, escape

from ehrsatz import __version__
from ehrsatz.monitor.watch import Watch

WIDTH, HEIGHT, EDGE = 240, 84, 12


def page(watch: Watch) -> str:
    """Write a watch as HTML.

    Parameters
    ----------
    watch
        What was found.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("ehrsatz.monitor").joinpath("watch.html.j2").read_text(encoding="utf-8")
    names = list(dict.fromkeys(name for one in watch.releases for name in one.scores))
    return environment.from_string(text).render(
        watch=watch,
        version=__version__,
        families=[
            (family, [_picture(watch, name) for name in names if watch.about.get(name, {}).get("family") == family])
            for family in ("privacy", "fidelity", "utility", "fairness")
        ],
    )


def _picture(watch: Watch, metric: str) -> dict[str, Any]:
    about = watch.about[metric]
    points = [one.scores.get(metric) for one in watch.releases]
    return {"title": about.get("title", metric), "chart": line(points, [one.name for one in watch.releases], metric)}


def line(points: list[Any], names: list[str], label: str) -> Markup:
    """Draw values with intervals, one release after the other; a release without the score leaves a gap.

    Parameters
    ----------
    points
        Per release the value and interval, or None.
    names
        Of the releases.
    label
        What is drawn, for those who do not see it.
    """
    shown = [one for one in points if one is not None]
    ends = [x for one in shown for x in (one["value"], *(one["interval"] or ()))]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def x(i: int) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (i / max(1, len(points) - 1) if len(points) > 1 else 0.5)

    def y(value: float) -> float:
        return EDGE + (HEIGHT - 2 * EDGE) * (1 - (value - low) / span)

    parts, way = [], []
    for i, one in enumerate(points):
        if one is None:
            continue
        told = f"{names[i]}: {one['value']:.3g}"
        if one["interval"]:
            a, b = (y(end) for end in one["interval"])
            parts.append(f'<line class="reach" x1="{x(i):.1f}" x2="{x(i):.1f}" y1="{a:.1f}" y2="{b:.1f}"/>')
        spot = f'cx="{x(i):.1f}" cy="{y(one["value"]):.1f}"'
        parts.append(f'<circle {spot} r="3.5"><title>{escape(told)}</title></circle>')
        way.append(f"{x(i):.1f},{y(one['value']):.1f}")
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)} over the releases">'
    track = f'<polyline points="{" ".join(way)}"/>' if len(way) > 1 else ""
    scale = f'<text x="2" y="9">{high:.3g}</text><text x="2" y="{HEIGHT - 2}">{low:.3g}</text>'
    return Markup(f"{head}{track}{''.join(parts)}{scale}</svg>")
