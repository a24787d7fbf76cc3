"""FHIR R4 as Bulk Data NDJSON: one file per resource type, one line per resource.

References
----------
HL7, FHIR Bulk Data Access 2.0.0; FHIR R4 (4.0.1), http://hl7.org/fhir/R4/nd-json.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Clinical, Loss, Put
from ehrsatz.exporters.fhir.records import Records, Resources
from ehrsatz.exporters.fhir.sequence import KINDS, LOSSES, Kind, of_world
from ehrsatz.files import part_name

SPARSE = 997  # of so many lines one is parsed when read back, and the first of a file


class FhirExporter(Clinical):
    """NDJSON files by resource type."""

    name: ClassVar[str] = "fhir"
    place: ClassVar[str] = "fhir"
    suffix: ClassVar[str] = ".ndjson"
    reader: ClassVar[str] = "fhir"
    losses: ClassVar[tuple[Loss, ...]] = LOSSES
    bytes_per_row: ClassVar[float] = 850.0

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        records = Records(dataset)
        puts: dict[str, Put] = {}
        if world:
            by_kind: dict[str, list[Resources]] = {}
            for made in of_world(records):
                by_kind.setdefault(made.kind, []).append(made)
            puts |= {f"{name}{self.suffix}": partial(_put, found) for name, found in by_kind.items()}
        if patients:
            there = [kind for kind in KINDS if kind.is_there(records)]
            puts |= {f"{part_name(kind.name, part)}{self.suffix}": partial(_put_kind, kind, records) for kind in there}
        return puts

    def _read_back(self, path: Path) -> str:
        kind = path.name.partition(".")[0].partition("-")[0]
        head = f'{{"resourceType":"{kind}","id":"'.encode()
        if not path.stat().st_size:
            return "it is empty"
        with path.open("rb") as lines:
            for number, line in enumerate(lines):
                if not line.startswith(head) or not line.endswith(b"}\n"):
                    return f"line {number + 1:,} is no resource of type {kind}"
                if number % SPARSE:
                    continue
                try:
                    json.loads(line)
                except ValueError:
                    return f"line {number + 1:,} is no JSON"
        return ""


def _put_kind(kind: Kind, records: Records, path: Path) -> None:
    _put(kind.of(records), path)


def _put(made: list[Resources], path: Path) -> None:
    with path.open("wb") as file:
        for resources in made:
            for piece in resources.slices(line=resources.line):
                piece.write_csv(file, include_header=False, quote_style="never")
