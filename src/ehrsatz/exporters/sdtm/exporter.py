"""SDTM: every domain as Dataset-JSON v1.1 and as CSV, with supplemental qualifiers for what has no variable.

SDTM is made for studies. Here a cohort is one study without a protocol: a subject's reference start is the first
encounter, or, where a drug is named as the study's, its first exposure. The shards of a large cohort are split datasets
(guide, section 4.1.7): each holds all records of its subjects.

References
----------
CDISC SDTM 2.0 and SDTMIG 3.4. CDISC Dataset-JSON v1.1. cdisc.org/standards
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Clinical, Loss, Put
from ehrsatz.exporters.sdtm.domains import domains
from ehrsatz.exporters.sdtm.files import FABRICATED, REAL, summary, to_csv, to_json
from ehrsatz.files import part_name
from ehrsatz.layouts import sdtm as layout
from ehrsatz.layouts.datasetjson import stream

_TABLES = {
    "organization": "SDTM describes subjects of a study; of organizations it has no domain.",
    "location": "SDTM describes subjects of a study; of wards and rooms it has no domain.",
    "practitioner": "SDTM names sites and investigators of a study, not who treated a subject.",
    "payer": "SDTM has no domain for payers.",
    "relation": "SDTM relates records of one subject; families of subjects have no place without a protocol of twins.",
    "coverage": "SDTM has no domain for insurance.",
    "order": "SDTM keeps results; of an order only its key stays, as the group of its results.",
    "report": "SDTM has no domain for reports in words.",
    "device": "Devices are in SDTMIG-MD, a guide of its own that is not written here.",
    "careplan": "SDTM has no domain for plans of care.",
    "goal": "SDTM has no domain for goals of care.",
    "claim": "SDTM has no domain for claims.",
    "claim_line": "SDTM has no domain for claims.",
    "payment": "SDTM has no domain for payments.",
}
_IDENTITY = (
    "given_name",
    "family_name",
    "birth_family_name",
    "address_line",
    "city",
    "postal_code",
    "phone",
    "email",
    "national_id",
    "record_number",
)
_WHO = "SDTM has no variable for who treated a subject, where the table of those people has no domain."


class SdtmExporter(Clinical):
    """Write the domains of SDTM as Dataset-JSON and CSV, side by side."""

    name: ClassVar[str] = "sdtm"
    suffix: ClassVar[str] = ".json"
    place: ClassVar[str] = "sdtm"
    reader: ClassVar[str] = "sdtm"
    settings: ClassVar[tuple[str, ...]] = ("drug", "study")
    bytes_per_row: ClassVar[float] = 400.0
    losses: ClassVar[tuple[Loss, ...]] = (
        *(Loss(table, None, reason) for table, reason in _TABLES.items()),
        *(
            Loss(
                "patient",
                name,
                "Subjects of a study bear numbers: names, addresses and identifiers are never submitted.",
            )
            for name in _IDENTITY
        ),
        Loss(
            "patient",
            "sex",
            "DM requires SEX: where none is recorded it is U, unknown.",
            rows=pl.col("sex").is_null(),
            keeps=pl.lit("unknown"),
        ),
        *(Loss("encounter", name, _WHO) for name in ("practitioner_id", "organization_id", "location_id")),
        *(Loss(table, "practitioner_id", _WHO) for table in ("medication", "procedure")),
    )

    def __init__(self, drug: str | None = None, study: str = layout.STUDY) -> None:
        """Write a study.

        Parameters
        ----------
        drug
            RxNorm code, or a part of the name, of what the study gives: its courses are EX and set the reference
            dates. None: EX is empty, and the first encounter is the reference start.
        study
            STUDYID, also the first part of USUBJID.
        """
        self.drug = drug
        self.study = study

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        out: dict[str, Put] = {}
        whose = REAL if dataset.provenance.origin in {"real", "mixed"} else FABRICATED
        if patients:
            for name, frame in domains(dataset, self.study, self.drug).items():
                if frame.height or name in layout.ALWAYS:
                    out |= self._both(name, frame, part, whose)
        if world:
            out |= self._both("TS", summary(self.study, self.drug, whose), None, whose)
        return out

    def _both(self, name: str, frame: pl.DataFrame, part: int | None, whose: str) -> dict[str, Put]:
        stem = part_name(name.lower(), part)
        return {
            f"{stem}.json": lambda path: to_json(frame, name, part, self.study, whose, path),
            f"{stem}.csv": lambda path: to_csv(frame, path),
        }

    def check(self, folder: str | Path) -> list[str]:
        """Read every file back and return the problems found, also where a dataset's two forms differ in size."""
        problems = super().check(folder)
        for path in sorted((Path(folder) / self.place).glob("*.json")):
            beside = path.with_suffix(".csv")
            if not beside.is_file():
                problems.append(f"{beside.name}: absent beside {path.name}")
            elif found := _differ(path, beside):
                problems.append(f"{beside.name}: {found}")
        return problems

    def _read_back(self, path: Path) -> str:
        try:
            values = stream(path)
            head = next(values)
            widths = Counter(len(row) for row in values)
        except (ValueError, TypeError, OSError):
            return "is no JSON, or cut off"
        if head.get("records") != widths.total():
            return "holds another number of records than it says"
        return "" if set(widths) <= {len(head["columns"])} else "has rows of another width than its columns"


def _differ(path: Path, beside: Path) -> str:
    """Return what is wrong with the CSV beside a dataset."""
    try:
        records = next(stream(path)).get("records")
        height = pl.read_csv(beside, infer_schema=False).height
    except ValueError:
        return ""  # said of the other file
    except (pl.exceptions.PolarsError, OSError):
        return "is damaged"
    with beside.open("rb") as file:
        file.seek(-1, 2)
        whole = file.read() == b"\n"
    return "" if whole and records == height else f"is cut off, or holds other records than {path.name}"
