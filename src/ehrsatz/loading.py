"""Records of any clinical format into a database, as the clinical tables or as OMOP: what `ehrsatz load` does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ehrsatz import registry
from ehrsatz.clinical import WORLD
from ehrsatz.conversion import origin_of, parts_of, write_part
from ehrsatz.errors import UnknownNameError, UnsupportedError, nearest
from ehrsatz.exporters.load import load
from ehrsatz.exporters.sql.ddl import ABOUT, about, ordered, statements
from ehrsatz.generators.base import Progress, silent
from ehrsatz.provenance import Origin
from ehrsatz.sources.clinical import ClinicalSource
from ehrsatz.sources.detect import inside, needed

FORMS = ("clinical", "omop")


def load_records(
    what: str | Path,
    url: str,
    *,
    form: str = "clinical",
    schema: str | None = None,
    from_format: str | None = None,
    athena: str | None = None,
    allow_real: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Load clinical records into a database, part by part; all of them or nothing.

    Parameters
    ----------
    what
        Folder of a release, folder or file of a clinical format, or address of a database.
    url
        Address of the database that they go into.
    form
        "clinical": the tables of the clinical schema. "omop": OMOP CDM 5.4, written to a temporary folder first.
    schema
        Name of the schema within the database; made where it lacks.
    from_format
        Name of the source's format; found by its files where None.
    athena
        Folder of OMOP vocabularies as Athena gives them; for "omop".
    allow_real
        Also where nothing says that the records are fabricated.
    progress
        Called as progress(what, done, total).

    Returns
    -------
    Table -> rows.

    Raises
    ------
    EhrsatzError
        When the source cannot be read, the records may be real, or the database refuses; it is as it was then.
    """
    show = progress or silent
    if form not in FORMS:
        raise UnknownNameError(
            f"Expected one of: {', '.join(FORMS)}.", f"The form is another.{nearest(form, FORMS)}", "Name one of these."
        )
    place = what if "://" in str(what) else inside(what)
    reader = needed(place, from_format)
    origin = origin_of(what)
    if origin == "real" and not allow_real:
        raise UnsupportedError(
            "Expected fabricated records to load.",
            "Nothing says that these are: no manifest of a release, no mark in Parquet files.",
            "Where real records may leave, pass --allow-real.",
        )
    if form == "clinical":
        return load(url, statements, _clinical(reader, place, origin, show), schema=schema)
    with tempfile.TemporaryDirectory(prefix="ehrsatz-") as folder:
        return _omop(reader, place, Path(folder), url, schema, athena, origin, show)


def _clinical(
    reader: ClinicalSource, place: str | Path, origin: Origin, show: Progress
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the tables, those that others link to first."""
    yield ABOUT, pl.DataFrame(about(origin), schema=["name", "value"], orient="row")
    for number, part in parts_of(reader, place, origin, lambda _, done, total: show("load", done, total)):
        for table in ordered():
            if number in {None, 0} or table.name not in WORLD:
                yield table.name, part.tables[table.name]


def _omop(
    reader: ClinicalSource,
    place: str | Path,
    folder: Path,
    url: str,
    schema: str | None,
    athena: str | None,
    origin: Origin,
    show: Progress,
) -> dict[str, int]:
    """Write OMOP as files first: its numbers and concepts are known when all patients are."""
    from ehrsatz.exporters.omop import ddl

    exporter = registry.find("exporters", "omop").made({} if athena is None else {"athena": athena})
    for number, part in parts_of(reader, place, origin, show):
        write_part(exporter, part, folder, number, allow_real=True)
    exporter.finish(folder)
    return load(url, ddl.statements, ddl.frames(folder / exporter.place), schema=schema, progress=show)
