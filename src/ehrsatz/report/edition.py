"""Editions of the report: for whom its pages are, their themes and words, and how details become pictures.

The page, its charts and its schema are the same. `COPY` is about rows that stand for real ones; `ehrsatz.report.cohort`
has the edition about patients whom nobody's data stand behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ehrsatz.report.figures import DRAWN
from ehrsatz.report.figures.base import Picture
from ehrsatz.report.residue import LED
from ehrsatz.report.words import DECISIONS, GLOSSARY, LIMITS, READERS, THEMES, WORDS, Reader

Draw = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], list[Picture]]


@dataclass(frozen=True)
class Edition:
    """What makes one kind of report.

    Parameters
    ----------
    id
        "copy" or another; it stands in the twin where it is another.
    readers, themes, limits, glossary, decisions
        As in `ehrsatz.report.words`.
    words
        Phrases of the page, by name; those that are empty leave out what they stand for.
    drawn
        Key of a score's details -> what draws it.
    opening
        Id of a reader -> sentences that open that page.
    led
        Themes whose sentences open the first page.
    residual
        (scores, checks) -> what can still go wrong, heading and sentence; None: as for copies.
    """

    id: str = "copy"
    readers: tuple[Reader, ...] = READERS
    themes: Mapping[str, str] = field(default_factory=lambda: THEMES)
    limits: tuple[str, ...] = LIMITS
    glossary: tuple[tuple[str, str], ...] = GLOSSARY
    decisions: Mapping[str, tuple[str, str]] = field(default_factory=lambda: DECISIONS)
    words: Mapping[str, str] = field(default_factory=lambda: WORDS)
    drawn: Mapping[str, Draw] = field(default_factory=lambda: DRAWN)
    opening: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    led: tuple[str, ...] = LED
    residual: Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]], list[dict[str, str]]] | None = None


COPY = Edition()
