"""Charts as inline SVG: one function per kind of picture, found by the kind that the twin names.

Real and synthetic differ in shape, width or dash as well as in colour (a wide pale bar or line against a narrow dark
one, a hollow diamond against a filled circle), so that neither colour nor print quality is needed to tell them apart.
Colours are CSS classes, so that light, dark and print follow the page. Same input, same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from ehrsatz.report.charts.bands import bands, ribbons
from ehrsatz.report.charts.columns import bars, ranking
from ehrsatz.report.charts.dots import dots
from ehrsatz.report.charts.lines import lines
from ehrsatz.report.charts.maps import difference, grids
from ehrsatz.report.charts.strip import strip
from ehrsatz.report.charts.timeline import timeline

KINDS: dict[str, Callable[[Mapping[str, Any], str], Markup]] = {
    "bars": bars,
    "ranking": ranking,
    "dots": dots,
    "lines": lines,
    "difference": difference,
    "grids": grids,
    "bands": bands,
    "ribbons": ribbons,
    "timeline": timeline,
}


def draw(picture: Mapping[str, Any]) -> Markup:
    """Draw one picture of the twin: its kind says how, its data what, its alt text says it in words."""
    return KINDS[picture["kind"]](picture["data"], picture["alt"])


__all__ = ["KINDS", "draw", "strip"]
