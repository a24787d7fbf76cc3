"""The CDM as a folder of CSV files, as one DuckDB file, or as one SQLite file."""

from __future__ import annotations

import shutil
import sqlite3
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz import extras
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.exporters.base import Clinical, Loss, Put, aside, broken_parts, writing
from ehrsatz.exporters.load import load
from ehrsatz.exporters.omop.athena import Athena
from ehrsatz.exporters.omop.costs import add_costs
from ehrsatz.exporters.omop.ddl import statements
from ehrsatz.exporters.omop.events import (
    add_allergies,
    add_conditions,
    add_devices,
    add_drugs,
    add_procedures,
    add_reports,
)
from ehrsatz.exporters.omop.gather import CODES, PAIRS, PAYERS, WORLD, gathered, part_file
from ehrsatz.exporters.omop.losses import LOSSES
from ehrsatz.exporters.omop.people import add_attributes, add_family, add_insurance, add_people
from ehrsatz.exporters.omop.results import add_results
from ehrsatz.exporters.omop.shard import Shard, numbered
from ehrsatz.exporters.omop.visits import add_periods, add_reasons, add_visits
from ehrsatz.exporters.omop.world import add_world
from ehrsatz.exporters.targets import TIME
from ehrsatz.terminology.omop import cdm

PARTS = "parts"  # folder of the shards, until all are there
_ORIGIN = "origin"  # key in their metadata


class Omop(Clinical):
    """What the three have in common: shards as Parquet, then the whole.

    Parameters
    ----------
    athena
        Folder of vocabularies that a user downloaded from Athena: it maps the codes whose concepts are not known here.
    """

    reader: ClassVar[str] = "omop"
    gathers: ClassVar[bool] = True
    losses: ClassVar[tuple[Loss, ...]] = LOSSES
    settings: ClassVar[tuple[str, ...]] = ("athena",)

    def __init__(self, *, athena: str | None = None) -> None:
        self.athena = athena

    def ready(self) -> None:
        """Look for the vocabularies of Athena, before any work is done."""
        if self.athena is not None:
            Athena(self.athena)

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        facts: dict[str, str] = {_ORIGIN: dataset.provenance.origin}
        frames: dict[str, pl.DataFrame] = {}
        if patients:
            shard = converted(dataset)
            frames |= {part_file(name, part): rows for name, rows in shard.items()}
        if world:
            frames |= {f"{WORLD}.{name}.parquet": rows for name, rows in of_world(dataset).items()}

        def put(rows: pl.DataFrame) -> Put:
            return lambda path: rows.write_parquet(path, compression="zstd", compression_level=1, metadata=facts)

        return {f"{PARTS}/{name}": put(rows) for name, rows in frames.items()}

    def finish(self, folder: str | Path) -> tuple[Path, ...]:
        """Make one thing of the shards and remove them.

        Raises
        ------
        OutputError
            When it is there already, or cannot be made; the shards are left then.
        SourceError
            When the vocabularies of Athena cannot be read.
        """
        target = Path(folder) / self.place
        parts = target / PARTS
        if not parts.is_dir():
            return ()
        athena = None if self.athena is None else Athena(self.athena)
        synthetic = _origin(parts) in {"simulated", "generated"}
        made = self._gather(target, gathered(parts, synthetic=synthetic, athena=athena))
        shutil.rmtree(parts)
        return made

    @abstractmethod
    def _gather(self, target: Path, rows: Iterator[tuple[str, pl.DataFrame]]) -> tuple[Path, ...]:
        """Write rows, table by table, and return the files."""

    def check(self, folder: str | Path) -> list[str]:
        """Read what was made, or the shards that it is to be made of, and return the problems found."""
        target = Path(folder) / self.place
        parts = target / PARTS
        if not parts.is_dir():
            return super().check(folder)
        return broken_parts(parts)


class OmopFolder(Omop):
    """One CSV file per table."""

    name: ClassVar[str] = "omop"
    place: ClassVar[str] = "omop"
    suffix: ClassVar[str] = ".csv"
    bytes_per_row: ClassVar[float] = 190.0

    def _gather(self, target: Path, rows: Iterator[tuple[str, pl.DataFrame]]) -> tuple[Path, ...]:
        taken = [name for name in cdm.tables() if (target / f"{name}.csv").exists()]
        if taken:
            raise OutputError(
                "Expected a folder without these files.",
                f"Present already: {', '.join(taken)}.",
                "Name another folder.",
            )
        stage = target / ".csv.part"
        shutil.rmtree(stage, ignore_errors=True)
        try:
            with writing("the tables"):
                stage.mkdir()
                for name in cdm.tables():
                    head = pl.DataFrame(schema=dict.fromkeys(cdm.names(name), pl.String))
                    head.write_csv(stage / f"{name}.csv", line_terminator="\n")
                for name, frame in rows:
                    with (stage / f"{name}.csv").open("ab") as file:
                        frame.write_csv(file, include_header=False, line_terminator="\n", datetime_format=TIME)
                made = []
                for name in cdm.tables():
                    made.append((stage / f"{name}.csv").rename(target / f"{name}.csv"))
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return tuple(made)

    def _read_back(self, path: Path) -> str:
        name = path.stem
        if name not in cdm.tables():
            return "it is no table of the CDM"
        try:
            held = pl.scan_csv(path, infer_schema=False)
            names = tuple(held.collect_schema().names())
            if names != cdm.names(name):
                return "it has other columns than its table"
            needed = [field.name for field in cdm.tables()[name] if field.required]
            lacking = held.select(pl.col(needed).null_count()).collect(engine="streaming").row(0)
        except (pl.exceptions.PolarsError, OSError):
            return "it cannot be read as CSV"
        empty = [column for column, n in zip(needed, lacking) if n]
        return f"cells lack: {', '.join(empty)}" if empty else ""


class _Database(Omop):
    def _gather(self, target: Path, rows: Iterator[tuple[str, pl.DataFrame]]) -> tuple[Path, ...]:
        path = target / f"omop{self.suffix}"
        if path.exists():
            raise OutputError(
                f"Expected a folder without '{path.name}'.", "It is there already.", "Name another folder."
            )
        with aside(path) as partial:
            load(f"{self.suffix[1:]}:///{partial}", statements, rows)
        return (path,)


class OmopDuckdb(_Database):
    """`omop.duckdb`."""

    name: ClassVar[str] = "omop_duckdb"
    package: ClassVar[str | None] = "duckdb"
    place: ClassVar[str] = "omop_duckdb"
    suffix: ClassVar[str] = ".duckdb"
    bytes_per_row: ClassVar[float] = 120.0

    def _read_back(self, path: Path) -> str:
        driver: Any = extras.require("duckdb", extra="sql", feature="Checking a DuckDB file")
        try:
            base = driver.connect(str(path), read_only=True)
            try:
                held = {row[0] for row in base.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            finally:
                base.close()
        except driver.Error:
            return "it cannot be read as DuckDB"
        return _lacking(held)


class OmopSqlite(_Database):
    """`omop.sqlite`."""

    name: ClassVar[str] = "omop_sqlite"
    place: ClassVar[str] = "omop_sqlite"
    suffix: ClassVar[str] = ".sqlite"
    bytes_per_row: ClassVar[float] = 330.0

    def _read_back(self, path: Path) -> str:
        try:
            base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            try:
                held = {row[0] for row in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                lost = base.execute("PRAGMA foreign_key_check").fetchone()
            finally:
                base.close()
        except sqlite3.Error:
            return "it cannot be read as SQLite"
        return "links lead nowhere" if lost else _lacking(held)


def _lacking(held: set[str]) -> str:
    lacking = [name for name in cdm.tables() if name not in held]
    return f"tables lack: {', '.join(lacking)}" if lacking else ""


def _origin(parts: Path) -> str:
    import pyarrow.parquet as pq

    first = next(iter(sorted(parts.glob("person*.parquet"))), None)
    told = {} if first is None else pq.read_metadata(first).metadata or {}
    return told.get(_ORIGIN.encode(), b"real").decode()


# ---------------------------------------------------------------------- a shard
def converted(dataset: Dataset) -> dict[str, pl.DataFrame]:
    """Return the tables of a shard: of the CDM, with ids from 1 on and codes below zero, and its codes."""
    shard = Shard.begin(dataset)
    add_people(shard)
    add_visits(shard)
    add_conditions(shard)
    add_drugs(shard)
    add_procedures(shard)
    add_devices(shard)
    add_results(shard)
    add_allergies(shard)
    add_reasons(shard)
    add_reports(shard)
    add_periods(shard)
    add_attributes(shard)
    add_family(shard)
    add_costs(shard, add_insurance(shard))
    seen = shard.out["observation"]
    shard.out["observation"] = seen.with_columns(numbered("observation_id", seen.height))
    pairs = shard.out.pop("(pairs)")
    return {**shard.out, CODES: shard.codes.frame(), PAIRS: pairs}


def of_world(dataset: Dataset) -> dict[str, pl.DataFrame]:
    """Return the tables of what belongs to no person, and its codes."""
    shard = Shard(dataset.tables)
    add_world(shard)
    payers = shard.out.pop("(payers)")
    return {**shard.out, CODES: shard.codes.frame(), PAYERS: payers}
