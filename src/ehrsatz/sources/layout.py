"""A hospital's own tables, read into the clinical schema by the import section of a mapping file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.mapping.apply import imported
from ehrsatz.mapping.form import Mapping as Layout
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.tables import tables


class LayoutSource(ClinicalSource):
    """Tables as CSV, Parquet, or in a database; whole, in memory.

    Parameters
    ----------
    mapping
        Path of the mapping file, or the mapping itself.
    """

    name: ClassVar[str] = "layout"

    def __init__(self, mapping: str | Path | Layout | None = None) -> None:
        self.mapping = mapping

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        return False  # whose tables they are nobody can tell but the mapping

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        if self.mapping is None:
            raise SourceError(
                "Expected a mapping file that says which table and column is which.",
                "None is given.",
                "Pass it with --mapping; docs/formats/mapping.md says how to write one.",
            )
        layout = self.mapping if isinstance(self.mapping, Layout) else Layout.from_file(self.mapping)
        frames = imported(layout, tables(what), left)
        if part is None or part.number is not None:
            return frames
        among = pl.col("patient_id").is_in(part.patients.implode())
        return {
            name: frame.filter(among) if "patient_id" in frame.columns else frame
            for name, frame in frames.items()
            if part.world or "patient_id" in frame.columns
        }
