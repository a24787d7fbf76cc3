"""The reader: one document, or a folder of documents, as the clinical tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from xml.etree.ElementTree import Element

import polars as pl

from ehrsatz import loose
from ehrsatz.errors import SourceError
from ehrsatz.layouts.ccda import SECTIONS
from ehrsatz.schema import dtype_of
from ehrsatz.sources.ccda import drugs, entries, plan, results
from ehrsatz.sources.ccda.header import read_header
from ehrsatz.sources.ccda.parse import code_of, read, templates
from ehrsatz.sources.ccda.rows import Rows
from ehrsatz.sources.clinical import ClinicalSource, Part

_PART = re.compile(r"(\d{5,9})-\d+")
_ROOTS = {  # section templates, with and without required entries, without the common beginning
    "2.6": "allergies",
    "2.1": "medications",
    "2.38": "medications",
    "2.5": "problems",
    "2.20": "problems",
    "2.7": "procedures",
    "2.3": "results",
    "2.17": "social",
    "2.4": "vitals",
    "2.22": "encounters",
    "2.2": "immunizations",
    "2.23": "equipment",
    "2.18": "payers",
    "2.10": "plan",
    "2.60": "goals",
}
_BEGINNING = "2.16.840.1.113883.10.20.22."
SUFFIXES = (".xml", ".ccda", ".cda")


class CcdaSource(ClinicalSource):
    """C-CDA documents (R1.1 and R2.1), one per patient."""

    name: ClassVar[str] = "ccda"

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        """Say by the first bytes whether a file, or the first XML file of a folder, is a clinical document."""
        path = Path(what)
        if path.is_dir():
            first = next((one for one in _documents(path)), None)
            return first is not None and _begins(first)
        return path.suffix.lower() in SUFFIXES and path.is_file() and _begins(path)

    def parts(self, what: str | Path) -> int:
        """Return in how many numbered parts the documents lie: folders "00007-00"; 0 where they do not."""
        path = Path(what)
        folders = path.iterdir() if path.is_dir() else ()
        numbers = [int(match[1]) for one in folders if (match := _PART.fullmatch(one.name)) and one.is_dir()]
        return max(numbers) + 1 if numbers else 0

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        path = Path(what)
        files = list(_documents(path)) if path.is_dir() else [path]
        if part is not None and part.number is not None:
            files = [one for one in files if one.parent.name.startswith(f"{part.number:05d}-")]
        wanted = None if part is None or part.number is not None else set(part.patients.to_list())
        rows = Rows(left)
        for file in files:
            read_document(file, rows, wanted)
        if part is not None and not part.world:
            rows.known = {}
        held = {**rows.tables, **{name: list(one.values()) for name, one in rows.known.items()}}
        return {name: _frame(name, found) for name, found in held.items()}


def _documents(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES and not one.name.startswith("."))


def _begins(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return b"ClinicalDocument" in handle.read(4096)
    except OSError:
        return False


def read_document(path: Path, rows: Rows, wanted: set[str] | None = None) -> None:
    """Add all that a document holds, or nothing of a patient who is not wanted.

    Raises
    ------
    SourceError
        When it is no clinical document, or is damaged or unsafe.
    """
    root = read(path)
    patient = read_header(root, rows, path.name)
    if wanted is not None and patient["patient_id"] not in wanted:
        rows.tables["patient"].pop()
        return
    body = root.find("component/structuredBody")
    if body is None:
        rows.left["nonXMLBody"] += 1
        return
    for section in body.iter("section"):
        name = section_name(section)
        found = section.findall("entry")
        if name is None:
            rows.left[f"section {code_of(section.find('code')).value or 'without code'}"] += max(1, len(found))
            continue
        for entry in found:
            _add(name, entry, rows, patient)


def section_name(section: Element) -> str | None:
    """Return what a section holds, by its template, else by its LOINC code; None where nothing here reads it."""
    for root in templates(section):
        if root.startswith(_BEGINNING):
            short = root.removeprefix(_BEGINNING)
            found = _ROOTS.get(short) or _ROOTS.get(short.removesuffix(".1"))
            if found:
                return found
    return SECTIONS.get(code_of(section.find("code")).value or "")


def _add(name: str, entry: Element, rows: Rows, patient: dict[str, object]) -> None:
    if name == "problems":
        entries.problems(entry, rows, patient)
    elif name in results.CATEGORY:
        results.results(entry, rows, name)
    else:
        PLAIN[name](entry, rows)


PLAIN = {
    "encounters": entries.encounters,
    "allergies": entries.allergies,
    "medications": drugs.medications,
    "immunizations": drugs.immunizations,
    "procedures": entries.procedures,
    "equipment": entries.equipment,
    "plan": plan.plans,
    "goals": plan.goals,
    "payers": plan.payers,
}


def _frame(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows as the columns of a table that they have."""
    table = loose.schema()[name]
    schema: dict[str, Any] = {column.name: dtype_of(column.kind) for column in table.columns}
    try:
        return pl.DataFrame({one: [row.get(one) for row in rows] for one in schema}, schema=schema)
    except (pl.exceptions.PolarsError, TypeError, OverflowError):
        raise SourceError(
            f"Expected rows of {name} in the kinds of the clinical schema.",
            "Some are of another kind.",
            "Report this as an error of the reader, with the maker of the documents.",
        ) from None
