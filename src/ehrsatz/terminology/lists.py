"""The published code lists from which the shipped list is made; they are read where the package is built and tested.

A folder holds `icd10cm_2026.csv.gz` and `icd10cm_2026_codes.txt.gz` (NCHS), `snomed_subset.csv`, `loinc_subset.csv`,
`rxnorm_subset.csv`, `cvx_subset.csv` and `mimic_labitems_loinc.csv`.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ehrsatz.errors import SourceError, UnknownNameError

SUBSETS = {"SNOMED-CT": "snomed", "LOINC": "loinc", "RxNorm": "rxnorm", "CVX": "cvx"}
ENCOUNTERS = {"A": "initial encounter", "D": "subsequent encounter", "S": "sequela"}
# ICD-10-CM Official Guidelines for Coding and Reporting FY 2026 (CMS, NCHS), section I.C.19.a: 7th characters
FRACTURES = {
    "A": "initial encounter for closed fracture",
    "D": "subsequent encounter for fracture with routine healing",
}
PATHOLOGICAL = {**FRACTURES, "A": "initial encounter for fracture"}  # of chapter 13: M80, M84
_EYES = {"1": "right eye", "2": "left eye", "3": "bilateral", "9": "unspecified eye"}
_GLAUCOMA = ("stage unspecified", "mild stage", "moderate stage", "severe stage", "indeterminate stage")
OTHERS = {  # further 7th characters of ICD-10-CM by the code they end, as its tabular list gives them
    **dict.fromkeys(("E08", "E09", "E10", "E11", "E13"), _EYES),
    "H40": dict(zip("01234", _GLAUCOMA, strict=True)),
    "M1A": {"0": "without tophus (tophi)", "1": "with tophus (tophi)"},
    "O": {"0": "not applicable or unspecified", **{k: f"fetus {k}" for k in "12345"}, "9": "other fetus"},
}
_BROKEN = ("S02", "S12", "S22", "S32", "S42", "S49", "S52", "S59", "S62", "S72", "S79", "S82", "S89", "S92", "S99")


@dataclass(frozen=True)
class Lists:
    """All codes of the published lists with their displays, and every ICD-10-CM code, also those without text."""

    displays: dict[tuple[str, str], str]
    icd10cm: frozenset[str]  # without dots

    def display(self, system: str, code: str) -> str:
        """Return a code's display; of a 7th-character ICD-10-CM code, its base's with the words of the character.

        Raises
        ------
        UnknownNameError
            When no list holds the code.
        """
        found = self.displays.get((system, code))
        if found is None and system == "ICD-10-CM":
            found = self._extended(code)
        if found is None:
            raise UnknownNameError(
                "Expected a code of the published lists.", f"{system} {code} is in none.", "Take one that is."
            )
        return found

    def is_whole(self, code: str) -> bool:
        """Whether an ICD-10-CM code is a code for use: no code is longer that begins with it."""
        return code.replace(".", "") in self.icd10cm and code.replace(".", "") not in self._headings

    @cached_property
    def _headings(self) -> frozenset[str]:
        return frozenset(code[:length] for code in self.icd10cm for length in range(3, len(code)))

    def _extended(self, code: str) -> str | None:
        bare = code.replace(".", "")
        if bare not in self.icd10cm or len(bare) != 7 or code[3:4] != ".":
            return None
        base = bare[:6].rstrip("X") if bare[:6].endswith("X") else bare[:6]
        text = None
        for length in range(6, len(base) - 1, -1):
            name = bare[:length] if length == 3 else f"{bare[:3]}.{bare[3:length]}"
            text = text or self.displays.get(("ICD-10-CM", name))
        if text is None:
            return None
        words = next((words for begin, words in OTHERS.items() if bare.startswith(begin)), ENCOUNTERS)
        if "racture" in text:
            words = (
                FRACTURES if bare.startswith(_BROKEN) else PATHOLOGICAL if bare.startswith(("M80", "M84")) else words
            )
            words = {**ENCOUNTERS, **words}
        return f"{text}, {words[bare[6]]}" if bare[6] in words else None


def read(folder: str | Path) -> Lists:
    """Read the published lists of a folder.

    Raises
    ------
    SourceError
        When one is absent or cannot be read.
    """
    place = Path(folder)
    displays: dict[tuple[str, str], str] = {}
    try:
        with gzip.open(place / "icd10cm_2026_codes.txt.gz", "rt", encoding="utf-8") as file:
            known = frozenset(line.strip() for line in file if line[:1].isalpha() and "-" not in line)
        with gzip.open(place / "icd10cm_2026.csv.gz", "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["code"].replace(".", "") in known:
                    displays["ICD-10-CM", row["code"]] = row["display"]
        with (place / "mimic_labitems_loinc.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["loinc_code"]:
                    displays.setdefault(("LOINC", row["loinc_code"]), f"{row['label']} in {row['fluid']}".strip())
        for system, name in SUBSETS.items():
            with (place / f"{name}_subset.csv").open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    displays[system, row["code"]] = row["display"]  # the published display wins over a lab's label
    except (OSError, KeyError, ValueError, csv.Error):
        raise SourceError(
            "Expected a folder with the published code lists.",
            "One is absent, or cannot be read.",
            "Name the folder 'terminology' of the shared data.",
        ) from None
    return Lists(displays, known)


def chosen(lists: Lists, wanted: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return the rows (system, code, display) of wanted codes, and what is in no list."""
    rows, absent = [], []
    for system, code in sorted(set(wanted)):
        try:
            rows.append((system, code, lists.display(system, code)))
        except UnknownNameError as error:
            absent.append(error.found)
    return rows, absent
