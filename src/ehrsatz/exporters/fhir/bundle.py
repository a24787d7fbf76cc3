"""FHIR R4 as transaction Bundles: hospitals first, then one Bundle per patient, each loadable as it is.

Entries are updates with ids of the client's choice (PUT Type/id), and references are plain, so that a server needs no
search to resolve them and a second load changes nothing.

References
----------
HL7, FHIR R4 (4.0.1), http://hl7.org/fhir/R4/http.html#transaction and http://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Clinical, Loss, Put
from ehrsatz.exporters.fhir.keys import ids
from ehrsatz.exporters.fhir.records import Records, Resources
from ehrsatz.exporters.fhir.sequence import KINDS, LOSSES, of_world
from ehrsatz.exporters.fhir.text import BASE, glue

ENTRIES = 1_000  # of a Bundle of hospitals at most
AT_ONCE = 40_000  # rows of the tables whose text is held in memory, the last patient's beyond them aside


class BundleExporter(Clinical):
    """One transaction Bundle per patient, and those of the hospitals."""

    name: ClassVar[str] = "fhir_bundle"
    place: ClassVar[str] = "fhir_bundle"
    suffix: ClassVar[str] = ".json"
    reader: ClassVar[str] = "fhir"
    losses: ClassVar[tuple[Loss, ...]] = LOSSES
    bytes_per_row: ClassVar[float] = 1_000.0

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        puts: dict[str, Put] = {}
        if world:
            records = Records(dataset)
            entries = [
                entry
                for one in of_world(records)
                for piece in one.slices(entry=_entry(one))
                for entry in piece["entry"]
            ]
            for number, first in enumerate(range(0, len(entries), ENTRIES)):
                name = f"hospitals-{number:05d}"
                puts[f"{name}{self.suffix}"] = _put(
                    _bundle(name, records.meta(), ",\n".join(entries[first : first + ENTRIES]))
                )
        if patients:
            named = ids(dataset.tables["patient"]["patient_id"], "patient").to_list()
            texts = _Texts(dataset, named)
            for number, name in enumerate(named):
                puts[f"patients/{part or 0:05d}/{name}{self.suffix}"] = texts.put(number)
        return puts

    def _read_back(self, path: Path) -> str:
        try:
            bundle = json.loads(path.read_bytes())
        except ValueError:
            return "it is no JSON"
        if not isinstance(bundle, dict) or (bundle.get("resourceType"), bundle.get("type")) != (
            "Bundle",
            "transaction",
        ):
            return "it is no transaction Bundle"
        try:
            named = [f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in bundle["entry"]]
            wrong = sum(entry["request"]["url"] != name for entry, name in zip(bundle["entry"], named))
        except (KeyError, TypeError):
            return "an entry lacks its resource, id or request"
        twice = len(named) - len(set(named))
        return (
            f"{wrong + twice} entries have another address than their resource, or stand twice" if wrong + twice else ""
        )


class _Texts:
    """The Bundles of a dataset's patients, made for some at a time, in the order in which they are written."""

    def __init__(self, dataset: Dataset, named: list[str]) -> None:
        self.dataset, self.named = dataset, named
        self.starts = _starts(dataset)
        self.first, self.held = 0, []  # type: tuple[int, list[str]]

    def put(self, number: int) -> Put:
        """Return what writes the Bundle of the patient of this number."""

        def put(path: Path) -> None:
            if not self.first <= number < self.first + len(self.held):
                at = bisect_right(self.starts, number) - 1
                self.first, self.held = self.starts[at], []  # what was held is let go before more is made
                self.held = self._made(*self.starts[at : at + 2])
            _write(path, self.held[number - self.first])

        return put

    def _made(self, first: int, last: int) -> list[str]:
        few = self.dataset.tables["patient"][first:last]
        mine = few["patient_id"].implode()
        tables = {
            name: frame if name in WORLD else frame.filter(pl.col("patient_id").is_in(mine))
            for name, frame in self.dataset.tables.items()
        }
        relatives = _known(self.dataset.tables, tables)
        records = Records(Dataset.trusted(self.dataset.schema, tables, self.dataset.provenance), relatives)
        whole = pl.concat(list(_entries(records)))
        by_patient = whole.group_by("patient_id:id", maintain_order=True).agg(pl.col("entry").str.join(",\n"))
        texts = dict(by_patient.iter_rows())
        return [_bundle(name, records.meta(), texts[name]) for name in self.named[first:last]]


def _starts(dataset: Dataset) -> list[int]:
    """Positions of the patients with whom a new stretch of about as many rows begins; and the number of patients."""
    owners = [frame.select("patient_id") for name, frame in dataset.tables.items() if name not in WORLD]
    sizes = pl.concat(owners).group_by("patient_id").len()
    people = (
        dataset.tables["patient"].select("patient_id").join(sizes, on="patient_id", how="left", maintain_order="left")
    )
    stretch = (people["len"].cum_sum() // AT_ONCE).to_list()
    begins = [at for at, number in enumerate(stretch) if at == 0 or number != stretch[at - 1]]
    return [*begins, people.height]


def _known(tables: Mapping[str, pl.DataFrame], few: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The patients that are relatives of some."""
    return tables["patient"].filter(pl.col("patient_id").is_in(few["relation"]["relative_id"].implode()))


def _entries(records: Records) -> Iterator[pl.DataFrame]:
    for kind in KINDS:
        for one in kind.of(records):
            yield from one.slices(entry=_entry(one), **{"patient_id:id": pl.col("patient_id:id")})


def _entry(one: Resources) -> pl.Expr:
    """An entry that creates a resource or puts it in place of itself."""
    address = glue(f"{one.kind}/", pl.col(one.id))
    return glue(
        f'{{"fullUrl":"{BASE}', address, '","resource":', one.line, ',"request":{"method":"PUT","url":"', address, '"}}'
    )


def _bundle(name: str, meta: str, entries: str) -> str:
    marks = f"{meta}," if meta else ""
    return f'{{"resourceType":"Bundle","id":"{name}",{marks}"type":"transaction","entry":[\n{entries}\n]}}\n'


def _put(text: str) -> Put:
    return lambda path: _write(path, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
