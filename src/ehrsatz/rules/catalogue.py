"""All rules that ship, by theme; `python -m ehrsatz.rules.catalogue` writes the index that listing reads."""

from __future__ import annotations

import importlib
import json
from functools import cache
from pathlib import Path

from ehrsatz.errors import UnknownNameError, nearest
from ehrsatz.rules.statement import Statement

THEMES = ("timeline", "people", "stays", "keys", "totals", "codes", "labs", "drugs", "diseases", "vaccines", "growth")
INDEX = Path(__file__).parent / "data" / "index.json"


@cache
def rules() -> tuple[Statement, ...]:
    """Return every rule, theme by theme."""
    return tuple(one for theme in THEMES for one in importlib.import_module(f"ehrsatz.rules.{theme}").RULES)


@cache
def by_id() -> dict[str, Statement]:
    """Return every rule by its id."""
    return {one.id: one for one in rules()}


def theme_of(rule: str) -> str:
    """Return the theme of a rule that ships.

    Raises
    ------
    UnknownNameError
        When none has this id.
    """
    for theme in THEMES:
        if any(one.id == rule for one in importlib.import_module(f"ehrsatz.rules.{theme}").RULES):
            return theme
    raise UnknownNameError("Expected the id of a rule.", f"'{rule}' is none.{nearest(rule, by_id())}", "Correct it.")


def __getattr__(name: str) -> Statement:
    """Let the registry find a rule as an attribute under its id."""
    if "." in name and name in by_id():
        return by_id()[name]
    raise AttributeError(f"module 'ehrsatz.rules.catalogue' has no attribute '{name}'")


def index() -> str:
    """Return the index file: id -> title, severity, theme."""
    lines = {
        one.id: {"title": one.title, "severity": one.severity, "theme": theme}
        for theme in THEMES
        for one in importlib.import_module(f"ehrsatz.rules.{theme}").RULES
    }
    return json.dumps(lines, indent=0, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
