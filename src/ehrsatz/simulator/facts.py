"""The names and codes that a module may use: processes, panels and items of observations, attributes, code lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ehrsatz.clinical import (
    ACTIVITY,
    ALCOHOL,
    EDUCATION,
    ETHNICITIES,
    HOUSING,
    INSURANCE,
    MARITAL,
    RACES,
    SMOKING,
)

DATA = Path(__file__).parent / "data"
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {  # levels that a risk may name
    "smoking": SMOKING,
    "alcohol": ALCOHOL,
    "activity": ACTIVITY,
    "education": EDUCATION,
    "housing": HOUSING,
    "insurance": INSURANCE,
    "marital": MARITAL,
    "race": RACES,
    "ethnicity": ETHNICITIES,
    "income": ("1", "2", "3", "4", "5"),
}
GIVEN = ("pregnancy",)  # conditions that no module describes


@dataclass(frozen=True)
class Facts:
    """What modules may name; None where that is not checked.

    Parameters
    ----------
    processes
        Of the body.
    panels, items
        Of the catalogue of observations.
    has_code
        (system, code) -> whether the code list of the system holds it; systems as in `ehrsatz.clinical`.
    """

    processes: frozenset[str] | None = None
    panels: frozenset[str] | None = None
    items: frozenset[str] | None = None
    has_code: Callable[[str, str], bool] | None = None


@lru_cache(maxsize=1)
def known_facts() -> Facts:
    """Return the names and codes that come with the package, read once."""
    return Facts(_ids("processes.json", "processes"), _ids("items.json", "panels"), _ids("items.json", "items"))


def _ids(file: str, part: str) -> frozenset[str] | None:
    if not (DATA / file).exists():
        return None
    rows = json.loads((DATA / file).read_text(encoding="utf-8"))[part]
    return frozenset(rows if isinstance(rows, dict) else (row["id"] for row in rows))
