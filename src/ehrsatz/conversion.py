"""From clinical records in one format to others, part by part, proved to agree: what `ehrsatz export` does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ehrsatz.capsule.contents import MANIFEST, PROOF
from ehrsatz.capsule.stage import check_target, staged
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import UnsupportedError
from ehrsatz.exporters.base import Exporter
from ehrsatz.exporters.parquet import mark_of
from ehrsatz.generators.base import Progress, silent
from ehrsatz.memory import give_back, in_parts
from ehrsatz.pipeline import exporters_of
from ehrsatz.provenance import Origin
from ehrsatz.reconcile.prove import Proof, forms_in, reconcile
from ehrsatz.sources.archive import is_archive, opened
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.detect import inside, needed


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Parameters
    ----------
    folder
        Where it lies.
    read_as
        Registry name of the format that was read.
    rows
        Table -> rows.
    n_patients
        Patients.
    unplaced
        What the source held that the clinical schema has no place for: name -> count.
    proof
        That the formats agree; None where there is only one.
    """

    folder: Path
    read_as: str
    rows: Mapping[str, int]
    n_patients: int
    unplaced: Mapping[str, int]
    proof: Proof | None


def convert(
    what: str | Path,
    folder: str | Path,
    formats: Sequence[str],
    *,
    from_format: str | None = None,
    allow_real: bool = False,
    prove: bool = True,
    settings: Mapping[str, str] | None = None,
    source: ClinicalSource | None = None,
    progress: Progress | None = None,
) -> Converted:
    """Read clinical records and write them in other formats; the folder appears whole or not at all.

    Parameters
    ----------
    what
        Folder of a release, folder or file of a clinical format, or address of a database.
    folder
        New or empty.
    formats
        Names of exporters.
    from_format
        Name of the source's format; found by its files where None.
    allow_real
        Also where nothing says that the records are fabricated.
    prove
        Read back what was written and hold the formats against each other, where there are several.
    settings
        What exporters are told besides the rows.
    source
        What reads `what`, where the caller knows.
    progress
        Called as progress(what, done, total).

    Raises
    ------
    EhrsatzError
        When the source cannot be read, the records may be real, or the folder cannot be written; nothing is left.
    """
    if "://" not in str(what) and is_archive(what):
        check_target(folder)
        with opened(what) as unpacked:
            return convert(
                unpacked,
                folder,
                formats,
                from_format=from_format,
                allow_real=allow_real,
                prove=prove,
                settings=settings,
                source=source,
                progress=progress,
            )
    show = progress or silent
    exporters = exporters_of(formats, settings)
    place = what if "://" in str(what) else inside(what)
    mapping = (settings or {}).get("mapping")  # how to write, where the format layout is asked for, else how to read
    reader = source or needed(place, from_format, mapping if "layout" not in formats or from_format else None)
    origin = origin_of(what)
    if origin == "real" and not allow_real:
        raise UnsupportedError(
            "Expected fabricated records to export.",
            "Nothing says that these are: no manifest of a release, no mark in Parquet files.",
            "Where real records may leave, pass --allow-real.",
        )
    rows: dict[str, int] = {}
    unplaced: dict[str, int] = {}
    n_patients = 0
    with in_parts(), staged(folder) as stage:
        for number, part in parts_of(reader, place, origin, show):
            n_patients += part.n_subjects
            for name, frame in part.tables.items():
                rows[name] = frame.height if name in WORLD else rows.get(name, 0) + frame.height
            for name, count in part.provenance.steps[0].params.get("unplaced", {}).items():
                unplaced[name] = unplaced.get(name, 0) + count
            for exporter in exporters:
                write_part(exporter, part, stage, number, allow_real=allow_real)
            del part
            give_back()
        for exporter in exporters:
            if exporter.gathers:
                show(f"gather {exporter.name}", 0, 1)
                exporter.finish(stage)
                show(f"gather {exporter.name}", 1, 1)
        proof = None
        if prove and len(forms_in(stage)) > 1:
            proof = reconcile(stage, progress=show)
            text = json.dumps(proof.to_dict(), indent=2, sort_keys=True) + "\n"
            (stage / PROOF).write_text(text, encoding="utf-8")
    return Converted(Path(folder), reader.name, rows, n_patients, unplaced, proof)


def parts_of(
    reader: ClinicalSource, place: str | Path, origin: Origin, show: Progress = silent
) -> Iterator[tuple[int | None, Dataset]]:
    """Yield (number, records) of the parts that patients lie in; (None, all) where they are in one piece."""
    count = reader.parts(place)
    if not count:
        show("export", 0, 1)
        yield None, reader.read(place, origin=origin)
        show("export", 1, 1)
        return
    nobody = pl.Series("patient_id", [], dtype=pl.String)
    for number in range(count):
        show("export", number, count)
        yield number, reader.read(place, origin=origin, part=Part(number, nobody))
    show("export", count, count)


def write_part(
    exporter: Exporter, part: Dataset, folder: Path, number: int | None, *, allow_real: bool = False
) -> None:
    """Write one part, and with the first of them what belongs to no patient."""
    if number is None:
        exporter.write(part, folder, allow_real=allow_real)
        return
    own = [table.name for table in part.schema.tables if table.name not in WORLD]
    exporter.write(part, folder, part=number, tables=own, allow_real=allow_real)
    if number == 0:
        exporter.write(part, folder, tables=WORLD, allow_real=allow_real)


def origin_of(what: str | Path) -> Origin:
    """Return "generated" where a release's manifest or the mark of a Parquet file says that rows are synthetic."""
    if "://" in str(what):
        return "real"
    path = Path(what)
    for place in (path, path.parent):
        if (place / MANIFEST).is_file():
            try:
                told = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return "real"
            return "generated" if isinstance(told, dict) and told.get("synthetic") is True else "real"
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.suffix == ".parquet" else []
    try:
        return "generated" if files and all(mark_of(one) is not None for one in files) else "real"
    except (OSError, ValueError):
        return "real"


def proof_of(what: str | Path, *, formats: Sequence[str] = (), progress: Progress | None = None) -> Proof:
    """Reconcile the formats of a release or of a folder, as `reconcile.prove.reconcile`."""
    return reconcile(inside(what), formats=formats, progress=progress)


__all__ = ["Converted", "convert", "origin_of", "parts_of", "proof_of", "write_part"]
