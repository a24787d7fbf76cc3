"""Folders of CSV files as Synthea writes them, of any version since 2019.

References
----------
github.com/synthetichealth/synthea/wiki/CSV-File-Data-Dictionary
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.synthea.care import care_of
from ehrsatz.sources.synthea.claims import claims_of
from ehrsatz.sources.synthea.files import NEEDED, Sheet, found_in
from ehrsatz.sources.synthea.people import people_of, world_of

TELLING = {"BIRTHDATE", "SSN", "DRIVERS", "PASSPORT", "GENDER"}  # columns of patients.csv that no other format has


class SyntheaSource(ClinicalSource):
    """The CSV files of a Synthea run."""

    name: ClassVar[str] = "synthea"

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        folder = Path(what)
        patients = found_in(folder).get("patients") if folder.is_dir() else None
        if patients is None:
            return False
        try:
            header = pl.read_csv(patients, n_rows=0, infer_schema=False).columns
        except (pl.exceptions.PolarsError, OSError):
            return False
        return TELLING.issubset(name.strip().upper() for name in header)

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        folder = Path(what)
        found = found_in(folder) if folder.is_dir() else {}
        if "patients" not in found:
            raise SourceError(
                "Expected a folder with patients.csv and the other files of Synthea's CSV exporter.",
                "There is no patients.csv.",
                "Check the path: Synthea writes to output/csv.",
            )
        wanted = None if part is None else part.patients
        sheets = {name: Sheet.read(name, found.get(name), left).of(wanted) for name in NEEDED}
        frames = {**people_of(sheets), **care_of(sheets, left)}
        frames |= claims_of(sheets, frames, left)
        if part is None or part.world:
            frames |= world_of(sheets)
        left["file supplies"] += sheets["supplies"].frame.height
        return frames
