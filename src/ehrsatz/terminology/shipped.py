"""Code -> display, for the codes that the package itself uses and those that a user adds.

The shipped list (`data/codes.csv`) is written by `scripts/codes.py` from the published lists. A user whose modules name
other codes gives a file of the same form: system, code, display.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ehrsatz.errors import SourceError, UnknownNameError, nearest
from ehrsatz.terminology import units
from ehrsatz.terminology.systems import SYSTEMS

LIST = Path(__file__).parent / "data" / "codes.csv"
HEADER = ("system", "code", "display")


@dataclass(frozen=True)
class Codes:
    """Codes with their displays, by system and code; units of UCUM are checked by their grammar."""

    displays: Mapping[tuple[str, str], str]

    def has(self, system: str, code: str) -> bool:
        """Whether a code is known."""
        return not units.check(code) if system == "UCUM" else (system, code) in self.displays

    def check(self, system: str, code: str) -> list[str]:
        """Return what is wrong with a code of a system, nothing where it is known."""
        if system not in SYSTEMS:
            return [f"no system is named '{system}'.{nearest(system, SYSTEMS)}"]
        if system == "UCUM":
            return units.check(code)
        if (system, code) in self.displays:
            return []
        return [f"{system} {code}: not in the list of codes.{nearest(code, self.of(system))}"]

    def display(self, system: str, code: str) -> str:
        """Return what a code means; a unit stands for itself.

        Raises
        ------
        UnknownNameError
            When the code is not in the list.
        """
        if system == "UCUM" and not units.check(code):
            return code
        try:
            return self.displays[system, code]
        except KeyError:
            raise UnknownNameError(
                "Expected a code of the lists of the package.",
                self.check(system, code)[0],
                "Name another code, or add a codes.csv (system, code, display) beside your modules.",
            ) from None

    def of(self, system: str) -> tuple[str, ...]:
        """Return the codes of a system, sorted."""
        return tuple(sorted(code for name, code in self.displays if name == system))

    def with_file(self, path: str | Path) -> Codes:
        """Return these codes and those of a file; a code that is in both keeps its shipped display.

        Raises
        ------
        SourceError
            When the file cannot be read, or is no such list.
        """
        return Codes({**_read(Path(path)), **self.displays})


@lru_cache(maxsize=1)
def codes() -> Codes:
    """Return the shipped codes, read once."""
    return Codes(_read(LIST))


def has(system: str, code: str) -> bool:
    """Whether a code is among the shipped ones."""
    return codes().has(system, code)


def check(system: str, code: str) -> list[str]:
    """Return what is wrong with a code of a system, nothing where it is among the shipped ones."""
    return codes().check(system, code)


def display(system: str, code: str) -> str:
    """Return what a shipped code means.

    Raises
    ------
    UnknownNameError
        When the code is not in the list.
    """
    return codes().display(system, code)


def write(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write a list of codes, sorted by system and code."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(sorted(rows))


def _read(path: Path) -> dict[tuple[str, str], str]:
    expected = f"Expected '{path.name}' to be a list of codes: system, code, display."
    advice = "Correct it; the first line names the three columns."
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error):
        raise SourceError(expected, "It cannot be read as one.", advice) from None
    problems: list[str] = []
    out: dict[tuple[str, str], str] = {}
    if rows and not set(HEADER) <= set(rows[0]):
        raise SourceError(expected, "Its first line names other columns.", advice)
    for line, row in enumerate(rows, start=2):
        system, code, text = (row[name] for name in HEADER)
        if system not in SYSTEMS or system == "UCUM":
            problems.append(f"line {line}: no such system of codes")
        elif not code or not text:
            problems.append(f"line {line}: code or display is blank")
        elif out.get((system, code), text) != text:
            problems.append(f"line {line}: the code stands there already, with another display")
        else:
            out[system, code] = text
    if problems:
        raise SourceError(expected, f"{len(problems)} of {len(rows)} lines differ.", advice, problems=problems[:20])
    return out
