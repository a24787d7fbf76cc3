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
from ehrsatz.terminology import codes

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


def known_facts(folder: Path | None = None) -> Facts:
    """Return the names and codes that come with the package, and the codes of a user's list.

    Parameters
    ----------
    folder
        May hold `codes.csv` (system, code, display) with codes beyond the shipped ones; None means only those.

    Raises
    ------
    SourceError
        When that list cannot be read.
    """
    extra = folder / "codes.csv" if folder is not None else None
    known = codes().with_file(extra) if extra is not None and extra.is_file() else codes()
    return Facts(
        _ids("processes.json", "processes"), _ids("items.json", "panels"), _ids("items.json", "items"), known.has
    )


@lru_cache(maxsize=4)
def _ids(file: str, part: str) -> frozenset[str]:
    rows = json.loads((DATA / file).read_text(encoding="utf-8"))[part]
    return frozenset(rows if isinstance(rows, dict) else (row["id"] for row in rows))
