"""Folders of SDTM datasets, of any maker: DM, the events, interventions and findings, and SUPP-- merged back.

Trial design (TA, TE, TI, TS, TV) says nothing of single subjects and is passed over. Other datasets without a place are
counted, as are variables and qualifiers that the clinical schema has no column for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.layouts import sdtm as layout
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.sdtm.files import datasets, names_of, read
from ehrsatz.sources.sdtm.qualifiers import merged
from ehrsatz.sources.sdtm.records import Study, clinical_of


class SdtmSource(ClinicalSource):
    """The datasets of a study as CDISC SDTM."""

    name: ClassVar[str] = "sdtm"

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        path = Path(what)
        if not path.is_dir():
            return False
        demographics = datasets(path).get("dm", {})
        return any("USUBJID" in names_of(file) for file in list(demographics.values())[:1])

    def parts(self, what: str | Path) -> int:
        """Return in how many split datasets the subjects lie; 0 where they are not split by number."""
        demographics = datasets(Path(what)).get("dm", {})
        return 0 if None in demographics else len(demographics)

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        folder = Path(what)
        if not folder.is_dir():
            raise SourceError("Expected a folder of SDTM datasets.", "There is none.", "Check the path.")
        found = datasets(folder)
        if "dm" not in found:
            raise SourceError(
                "Expected the dataset DM (dm.json, dm.ndjson or dm.csv) among those of the study.",
                "It is not there, so that subjects are not known.",
                "Add it, or check the path.",
            )
        by_domain: dict[str, list[pl.DataFrame]] = {}
        qualifiers: list[pl.DataFrame] = []
        mine = False
        for name, files in found.items():
            for number, path in sorted(files.items(), key=lambda one: one[0] or 0):
                if part is not None and part.number is not None and number not in (None, part.number):
                    continue
                frame = read(path)
                if name == "ts" and "TSVAL" in frame.columns:
                    mine = bool(frame["TSVAL"].str.starts_with("ehrsatz:").any())
                domain = _domain(name, frame)
                if domain in layout.DESIGN:
                    continue
                if "USUBJID" not in frame.columns:
                    if domain == "DM":
                        raise SourceError(
                            f"Expected the variable USUBJID in '{path.name}'.",
                            "It is not there.",
                            "Check that the dataset is of SDTM.",
                        )
                    left[f"dataset {name.upper()}"] += frame.height
                elif "RDOMAIN" in frame.columns:
                    qualifiers.append(frame)
                else:
                    by_domain.setdefault(domain, []).append(frame)
        frames = {domain: pl.concat(parts, how="diagonal_relaxed") for domain, parts in by_domain.items()}
        study = Study(frames["DM"], mine)
        if part is not None and part.number is None:
            frames = {domain: study.of(frame, part.patients) for domain, frame in frames.items()}
            qualifiers = [study.of(frame, part.patients) for frame in qualifiers]
        return clinical_of(study, merged(frames, qualifiers, left), left)


def _domain(name: str, frame: pl.DataFrame) -> str:
    """The domain of a dataset: what its records say, else the first letters of its name."""
    if "DOMAIN" in frame.columns and frame.height:
        said = frame["DOMAIN"].drop_nulls()
        if said.len():
            return str(said[0]).upper()
    return name.upper() if name.upper() in layout.DESIGN else name[:2].upper()
