"""Database files of SQLite and DuckDB: shards lie as Parquet until all are there, then go in in one transaction."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz import clinical, extras, loose
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.exporters.base import Clinical, Put, aside, broken_parts
from ehrsatz.exporters.load import load
from ehrsatz.exporters.sql.ddl import ABOUT, about, ordered, statements
from ehrsatz.exporters.sql.duck import level
from ehrsatz.files import part_name, tables_of
from ehrsatz.provenance import Origin
from ehrsatz.schema import Table

PARTS = "parts"  # folder of the shards
ORIGIN, STRICT = "origin", "strict"  # keys in their metadata


class DatabaseFile(Clinical):
    """One database file with all tables, keys, links and indexes."""

    reader: ClassVar[str] = "database"
    gathers: ClassVar[bool] = True

    def _files(self, dataset: Dataset, tables: Collection[Table], part: int | None) -> Mapping[str, Put]:
        names = {table.name for table in tables}
        world = bool(names & set(WORLD))
        return self._shard(loose.widen(dataset), part, "patient" in names, world, strict=is_strict(dataset))

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        return self._shard(dataset, part, patients, world, strict=False)

    def _shard(
        self, dataset: Dataset, part: int | None, patients: bool, world: bool, *, strict: bool
    ) -> Mapping[str, Put]:
        facts = {ORIGIN: dataset.provenance.origin, STRICT: str(strict)}

        def put(name: str) -> Put:
            return lambda path: dataset.tables[name].write_parquet(
                path, compression="zstd", compression_level=1, metadata=facts
            )

        return {
            f"{PARTS}/{part_name(name, None if name in WORLD else part)}.parquet": put(name)
            for name in dataset.tables
            if (world if name in WORLD else patients)
        }

    @property
    def _name(self) -> str:
        return f"clinical{self.suffix}"

    def finish(self, folder: str | Path) -> tuple[Path, ...]:
        """Load the shards into the database file and remove them.

        Raises
        ------
        OutputError
            When the file is there already, or cannot be made; the shards are left then.
        """
        target = Path(folder) / self.place
        parts, path = target / PARTS, target / self._name
        if not parts.is_dir():
            return ()
        if path.exists():
            raise OutputError(
                f"Expected a folder without '{path.name}'.", "It is there already.", "Name another folder."
            )
        origin, strict = _facts(next(iter(sorted(parts.glob("*.parquet")))))
        lacking = tables_of(one.stem for one in parts.glob("*.parquet"))[1]
        if lacking:
            raise OutputError(
                "Expected all parts of the tables.", f"Absent: {', '.join(lacking[:10])}.", "Export them again."
            )
        with aside(path) as partial:
            load(f"{self.name}:///{partial}", lambda dialect: statements(dialect, strict=strict), _rows(parts, origin))
            self._level(partial)
        shutil.rmtree(parts)
        return (path,)

    def _level(self, path: Path) -> None:
        """Make equal rows give equal bytes, where a database draws something by chance."""
        return

    def check(self, folder: str | Path) -> list[str]:
        """Read the database, or the shards that are to go into it, and return the problems found."""
        target = Path(folder) / self.place
        parts, path = target / PARTS, target / self._name
        if parts.is_dir():
            return broken_parts(parts)
        if not path.is_file():
            return [f"no {path.name} found"]
        problem = self._read_back(path)
        return [f"{path.name}: {problem}"] if problem else []


class SqliteFile(DatabaseFile):
    """`clinical.sqlite`."""

    name: ClassVar[str] = "sqlite"
    place: ClassVar[str] = "sqlite"
    suffix: ClassVar[str] = ".sqlite"
    bytes_per_row: ClassVar[float] = 330.0

    def _read_back(self, path: Path) -> str:
        try:
            base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            try:
                found = {row[0] for row in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                lost = base.execute("PRAGMA foreign_key_check").fetchone()
                sound = base.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            finally:
                base.close()
        except sqlite3.Error:
            return "it cannot be read as SQLite"
        if not sound:
            return "its pages are damaged"
        return "links lead nowhere" if lost else _lacking(found)


class DuckdbFile(DatabaseFile):
    """`clinical.duckdb`."""

    name: ClassVar[str] = "duckdb"
    package: ClassVar[str | None] = "duckdb"
    place: ClassVar[str] = "duckdb"
    suffix: ClassVar[str] = ".duckdb"
    bytes_per_row: ClassVar[float] = 120.0

    def _level(self, path: Path) -> None:
        level(path)

    def _read_back(self, path: Path) -> str:
        driver: Any = extras.require("duckdb", extra="sql", feature="Checking a DuckDB file")
        try:
            base = driver.connect(str(path), read_only=True)
            try:
                return _lacking({row[0] for row in base.execute("SELECT table_name FROM duckdb_tables()").fetchall()})
            finally:
                base.close()
        except driver.Error:
            return "it cannot be read as DuckDB"


def is_strict(dataset: Dataset) -> bool:
    """Say whether a dataset is of the strict clinical schema, as simulated records are."""
    return dataset.schema is clinical.schema() or dataset.schema == clinical.schema()


def _lacking(found: set[str]) -> str:
    lacking = [table.name for table in ordered() if table.name not in found]
    return f"tables lack: {', '.join(lacking)}" if lacking else ""


def _facts(path: Path) -> tuple[Origin, bool]:
    import pyarrow.parquet as pq

    told = pq.read_metadata(path).metadata or {}
    origin: Any = told.get(ORIGIN.encode(), b"real").decode()
    return origin, told.get(STRICT.encode()) == b"True"


def _rows(parts: Path, origin: Origin) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the rows of all shards, those that others link to first."""
    yield ABOUT, pl.DataFrame(about(origin), schema=["name", "value"], orient="row")
    held, _ = tables_of(path.stem for path in parts.glob("*.parquet"))
    world = [table.name for table in ordered() if table.name in WORLD]
    for name in world:
        for one in held.get(name, []):
            yield name, pl.read_parquet(parts / f"{one}.parquet")
    for shard in range(max(len(found) for found in held.values())):
        for table in ordered():
            if table.name not in WORLD and shard < len(held.get(table.name, [])):
                yield table.name, pl.read_parquet(parts / f"{held[table.name][shard]}.parquet")
