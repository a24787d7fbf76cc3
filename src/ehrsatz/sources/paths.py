"""What a person names as data: which source reads it, and which files are which tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ehrsatz.errors import SourceError, nearest
from ehrsatz.files import tables_of

CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".psv")
PARQUET_SUFFIXES = (".parquet", ".pq")
DATABASE_SUFFIXES = (".sqlite", ".sqlite3", ".db", ".duckdb")


def kind_of(what: Any) -> str:
    """Return the registry name of the source that reads this: csv, parquet, sql or frame.

    Parameters
    ----------
    what
        A path, a folder, several paths as list or mapping, a database address such as "sqlite:///clinic.db", a frame of
        any library, or a mapping of frames.

    Raises
    ------
    SourceError
        When the path does not exist, or its ending names no format that is read here.

    Examples
    --------
    >>> kind_of("postgresql://user@host/clinic")
    'sql'
    """
    if isinstance(what, Mapping):
        if not what:
            raise SourceError("Expected at least one table.", "The mapping is empty.", "Give a mapping name -> table.")
        return _one_kind([kind_of(item) for item in what.values()])
    if isinstance(what, (list, tuple)):
        if not what:
            raise SourceError("Expected at least one path.", "The list is empty.", "Give the files to read.")
        return _one_kind([kind_of(item) for item in what])
    if not isinstance(what, (str, Path)):
        return "frame"
    text = str(what)
    if "://" in text:
        return "sql"
    path = Path(text)
    if not path.exists():
        raise SourceError(f"Expected '{path.name}' to exist.", "There is no such file or folder.", "Check the path.")
    if path.is_dir():
        endings = {_ending(item) for item in path.iterdir() if item.is_file()}
        kinds = [kind for kind in ("csv", "parquet") if kind in {_BY_SUFFIX.get(ending) for ending in endings}]
        if len(kinds) == 1:
            return kinds[0]
        found = "both" if kinds else "neither"
        raise SourceError(
            f"Expected CSV or Parquet files in the folder '{path.name}'.",
            f"It holds {found}.",
            "Name the files instead.",
        )
    kind = _BY_SUFFIX.get(_ending(path))
    if kind is None:
        raise SourceError(
            f"Expected '{path.name}' to end in one of: {', '.join(sorted(_BY_SUFFIX))}.",
            "Its ending names no format that is read here.",
            "Rename the file, or export it as CSV.",
        )
    return kind


def files_of(what: Any, suffixes: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    """Return table name -> files of a path, a folder, several paths or a mapping of paths, sorted within a folder.

    A table has several files where a folder holds it in parts, `<table>-00000.parquet` and so on.

    Raises
    ------
    SourceError
        When a file is absent, a folder holds none, a part is absent, or two files would give one table name.
    """
    named: list[tuple[str, tuple[Path, ...]]] = []
    if isinstance(what, Mapping):
        for name, paths in what.items():
            several = paths if isinstance(paths, (list, tuple)) else (paths,)
            named.append((str(name), tuple(Path(path) for path in several)))
    else:
        for item in what if isinstance(what, (list, tuple)) else [what]:
            path = Path(item)
            if path.is_dir():
                inside = sorted(one for one in path.iterdir() if one.is_file() and _ending(one) in suffixes)
                if not inside:
                    raise SourceError(
                        f"Expected files ending in {', '.join(suffixes)} in the folder '{path.name}'.",
                        "It holds none.",
                        "Check the path.",
                    )
                named += _gathered(inside)
            else:
                named.append((table_name(path), (path,)))
    for path in (one for _, paths in named for one in paths):
        if not path.is_file():
            raise SourceError(f"Expected '{path.name}' to be a file.", "There is no such file.", "Check the path.")
    names = [table for table, _ in named]
    twice = sorted({table for table in names if names.count(table) > 1})
    if twice or not named:
        raise SourceError(
            "Expected files whose names differ, to name tables after.",
            f"More than one file gives the table: {', '.join(twice)}.",
            "Give a mapping name -> path.",
        )
    return dict(named)


def choose(what: Any, tables: Sequence[str]) -> dict[str, Any]:
    """Return table name -> table for the named ones of a folder of files, of several files or of a mapping of frames.

    Raises
    ------
    SourceError
        When there is no such table.
    """
    held = what if isinstance(what, Mapping) else files_of(what, (*CSV_SUFFIXES, *PARQUET_SUFFIXES))
    lacking = [name for name in tables if name not in held]
    if lacking:
        raise SourceError(
            f"Expected a table named '{lacking[0]}'.",
            f"The source holds {len(held)} others.{nearest(lacking[0], held)}",
            f"Name one of: {', '.join(sorted(held)[:20])}.",
        )
    return {name: held[name] for name in tables}


def table_name(path: Path) -> str:
    """Return a file's name without its endings.

    Examples
    --------
    >>> table_name(Path("data/visits.csv.gz"))
    'visits'
    """
    name = path.name.removesuffix(".gz")
    return Path(name).stem or name


def _gathered(paths: list[Path]) -> list[tuple[str, tuple[Path, ...]]]:
    """Return the tables of a folder's files, parts of one table together."""
    by_name: dict[str, list[Path]] = {}
    for path in paths:
        by_name.setdefault(table_name(path), []).append(path)
    tables, lacking = tables_of(by_name)
    if lacking:
        raise SourceError(
            "Expected all parts of a table in the folder.",
            f"Absent between the others: {', '.join(lacking[:10])}.",
            "Fetch them, or name the files to read.",
        )
    out = []
    for table, names in tables.items():
        if len(names) > 1:
            out.append((table, tuple(path for name in names for path in by_name[name])))
        else:
            out += [(table, (path,)) for path in by_name[names[0]]]
    return out


def _one_kind(kinds: list[str]) -> str:
    if len(set(kinds)) == 1:
        return kinds[0]
    raise SourceError(
        "Expected tables of one format.",
        f"Found {', '.join(sorted(set(kinds)))} together.",
        "Read them apart, or export them in one format.",
    )


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


_BY_SUFFIX = {
    **dict.fromkeys(CSV_SUFFIXES, "csv"),
    **dict.fromkeys(PARQUET_SUFFIXES, "parquet"),
    **dict.fromkeys(DATABASE_SUFFIXES, "sql"),
}
