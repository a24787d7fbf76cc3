"""From what a score found to pictures: which keys of its details are drawn, and how.

A metric that wants a picture uses one of these keys; docs/report.md lists them. Each picture is plain JSON: kind,
title, caption, what it shows in words, and the data that the chart is drawn from. What does not have the form that a
key stands for is not drawn, and where it cannot be read at all, the report says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ehrsatz.report.figures import fidelity, privacy, utility
from ehrsatz.report.figures.base import Picture, picture

NOT_DRAWN = "Not drawn:"
DRAWN: dict[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], list[Picture]]] = {
    **fidelity.DRAWN,
    **utility.DRAWN,
    **privacy.DRAWN,
}


def pictures(
    details: Mapping[str, Any],
    about: Mapping[str, Any],
    drawn: Mapping[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], list[Picture]]] = DRAWN,
) -> list[Picture]:
    """Return the pictures of one score, in the order of what draws them.

    Parameters
    ----------
    details
        What the score found.
    about
        Title, theme and goal of its metric.
    drawn
        Key of the details -> what draws it.
    """
    found: list[Picture] = []
    for key, make in drawn.items():
        if not details.get(key):
            continue
        try:
            found += make(details[key], details, about)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ZeroDivisionError):
            words = "What the measure tells here has another form than the report can draw; scores.json has it."
            found.append(picture("table", f"{NOT_DRAWN} {key}", words, words, {"head": [], "rows": []}))
    return found
