"""Read every format of a folder back, part by part, and hold each against one of them.

The reference is the clinical schema's own tables where they are there (Parquet or CSV), else the format that loses
least. Memory is that of a part. What a format cannot carry it has declared in its `losses`; nothing else may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ehrsatz import loose, registry
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import SourceError
from ehrsatz.exporters.base import Exporter, Loss
from ehrsatz.files import tables_of
from ehrsatz.memory import give_back, in_parts
from ehrsatz.provenance import Provenance
from ehrsatz.reconcile.compare import ROWS, Agreement, carried, compare
from ehrsatz.sources.canonical import NEEDED, CanonicalSource
from ehrsatz.sources.clinical import ClinicalSource, Part

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Form:
    """One format that lies in a folder: its name, where, what reads it, and what it declares to lose."""

    name: str
    folder: Path
    source: ClinicalSource
    losses: tuple[Loss, ...] = ()


@dataclass
class Held:
    """What was found of one format: (table, column) -> facts compared and facts that differ."""

    name: str
    counts: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    unplaced: dict[str, int] = field(default_factory=dict)

    def add(self, found: Iterable[Agreement]) -> None:
        """Add the agreements of one part."""
        for one in found:
            entry = self.counts.setdefault((one.table, one.column), [0, 0])
            entry[0] += one.n_facts
            entry[1] += one.n_differ

    @property
    def n_facts(self) -> int:
        """Cells compared that hold something."""
        return sum(facts for (_, column), (facts, _) in self.counts.items() if column != ROWS)

    @property
    def n_differ(self) -> int:
        """Cells that disagree, and rows that lack or are too many."""
        return sum(differ for _, differ in self.counts.values())

    @property
    def n_carried(self) -> int:
        """Columns of the clinical schema that the format carries at least in part."""
        whole = {one.table for one in self.losses if one.column is None and one.rows is None}
        return sum(len(carried(table, self.losses)) for table in loose.schema().tables if table.name not in whole)


@dataclass(frozen=True)
class Proof:
    """What a reconciliation found.

    Parameters
    ----------
    reference
        Name of the format that the others were held against.
    n_patients
        Patients compared.
    held
        One entry per other format.
    """

    reference: str
    n_patients: int
    held: tuple[Held, ...]

    @property
    def n_facts(self) -> int:
        """Facts compared, over all formats."""
        return sum(one.n_facts for one in self.held)

    @property
    def n_differ(self) -> int:
        """Differences outside the declared losses, over all formats."""
        return sum(one.n_differ for one in self.held)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: counts by format, table and column, and every declared loss with its reason."""
        return {
            "reference": self.reference,
            "n_patients": self.n_patients,
            "n_facts": self.n_facts,
            "n_differ": self.n_differ,
            "formats": [_told(one) for one in self.held],
        }


def reconcile(folder: str | Path, *, formats: Sequence[str] = (), progress: Progress | None = None) -> Proof:
    """Prove that the formats in a folder say the same.

    Parameters
    ----------
    folder
        A folder that exporters wrote into, as the `data` of a release.
    formats
        Names of exporters to look at; all that are there where none is named.
    progress
        Called as progress("reconcile", parts done, parts in all).

    Raises
    ------
    SourceError
        When fewer than two formats are there, or one cannot be read.
    """
    place = Path(folder)
    forms = forms_in(place, formats)
    if len(forms) < 2:
        names = ", ".join(one.name for one in forms) or "none"
        raise SourceError(
            "Expected at least two formats of one cohort in the folder.",
            f"Found: {names}.",
            "Export the cohort in another format too: ehrsatz export, or ehrsatz fabricate --format csv,fhir.",
        )
    first = min(forms, key=lambda one: (len(one.losses), one.name != "clinical"))
    others = [one for one in forms if one is not first]
    held = {one.name: Held(one.name, losses=(*first.losses, *one.losses)) for one in others}
    n_patients = 0
    show = progress or (lambda what, done, total: None)
    n_parts = max(first.source.parts(first.folder), 1)
    with in_parts():
        for number in range(n_parts):
            show("reconcile", number * len(others), n_parts * len(others))
            reference, part = _part(first, number, n_parts)
            n_patients += reference.n_subjects
            for done, one in enumerate(others, 1):
                theirs = _as_held(one, part, n_parts)
                found = one.source.read(one.folder, origin="simulated", part=theirs, may_be_empty=True)
                held[one.name].add(_compared(reference, found, held[one.name].losses, world=number == 0))
                for name, count in _unplaced(found).items():
                    held[one.name].unplaced[name] = held[one.name].unplaced.get(name, 0) + count
                show("reconcile", number * len(others) + done, n_parts * len(others))
                del found
                give_back()
    return Proof(first.name, n_patients, tuple(held.values()))


def forms_in(folder: Path, wanted: Sequence[str] = ()) -> list[Form]:
    """Return the formats that lie in a folder, by the folders and names that exporters give them."""
    out: list[Form] = []
    if CanonicalSource.fits(folder):
        for suffix in (".parquet", ".csv"):
            held, _ = tables_of(path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}"))
            name = suffix[1:]
            if set(NEEDED) <= set(held) and (not wanted or name in wanted):
                out.append(Form(name, folder, CanonicalSource(suffix)))
    for name in registry.names("exporters"):
        exporter: type[Exporter] = registry.find("exporters", name)
        reader = getattr(exporter, "reader", None)
        if reader is None or (wanted and name not in wanted) or not (folder / exporter.place).is_dir():
            continue
        out.append(Form(name, folder / exporter.place, registry.find("sources", reader)(), exporter.losses))
    return out


def _part(form: Form, number: int, n_parts: int) -> tuple[Dataset, Part]:
    """Read one part of the reference; say which patients it holds."""
    nobody = pl.Series("patient_id", [], dtype=pl.String)
    if n_parts == 1 and not form.source.parts(form.folder):
        whole = form.source.read(form.folder, origin="simulated")
        return whole, Part(None, whole.subjects)
    read = form.source.read(form.folder, origin="simulated", part=Part(number, nobody, world=True))
    return read, Part(number, read.subjects)


def _as_held(form: Form, part: Part, n_parts: int) -> Part | None:
    """The same patients, as another format holds them: by the number of the part where it has as many, else by key."""
    theirs = form.source.parts(form.folder)
    if theirs and theirs == n_parts:
        return part
    if not theirs and part.number is None:
        return None
    return Part(None, part.patients)


def _compared(reference: Dataset, found: Dataset, losses: Sequence[Loss], *, world: bool) -> Iterator[Agreement]:
    """Compare one part; the tables of the world with the first alone."""
    for one in compare(reference, found, losses):
        if world or one.table not in WORLD:
            yield one


def _unplaced(found: Dataset) -> Mapping[str, int]:
    provenance: Provenance = found.provenance
    return dict(provenance.steps[0].params.get("unplaced", {}))


def _told(held: Held) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for (table, column), (facts, differ) in held.counts.items():
        entry = tables.setdefault(table, {"rows": 0, "facts": 0, "differ": 0, "columns": {}})
        if column == ROWS:
            entry["rows"] = facts
        else:
            entry["facts"] += facts
        entry["differ"] += differ
        if differ:
            entry["columns"][column] = differ
    losses = [
        {
            "table": one.table,
            "column": one.column,
            "reason": one.reason,
            "extent": "some rows" if one.rows is not None else "in part" if one.keeps is not None else "all",
        }
        for one in held.losses
    ]
    return {
        "format": held.name,
        "n_facts": held.n_facts,
        "n_differ": held.n_differ,
        "n_columns": held.n_carried,
        "tables": tables,
        "losses": losses,
        "unplaced": dict(sorted(held.unplaced.items())),
    }
