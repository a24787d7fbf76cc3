"""Files that appear whole or not at all, what the system says when it refuses, and the parts of one table.

A table may lie in one file, `<table>.parquet`, or in parts, `<table>-00000.parquet`, `<table>-00001.parquet` and so on,
which together are the table in the order of their numbers.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ehrsatz.errors import EhrsatzError, OutputError

_PART = re.compile(r"(?P<table>.+)-(?P<number>\d{5,9})")
_ADVICE: dict[int | None, str] = {
    errno.ENOSPC: "Free some space, or name a folder on another disk; nothing half written was left.",
    errno.EDQUOT: "Free some space, or name a folder on another disk; nothing half written was left.",
    errno.EACCES: "Name a folder that you may write to.",
    errno.EPERM: "Name a folder that you may write to.",
    errno.EROFS: "Name a folder that you may write to.",
    None: "Check the folder and its disk, or name another one.",
}
_REASON = {
    errno.ENOSPC: "The disk is full.",
    errno.EDQUOT: "The disk quota is used up.",
    errno.EACCES: "Writing there is not permitted.",
    errno.EPERM: "Writing there is not permitted.",
    errno.EROFS: "The disk is read-only.",
    errno.ENOTDIR: "A part of the path is a file, no folder.",
    errno.EEXIST: "Something of that name is there already.",
}


# ---------------------------------------------------------------------- writing
@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn the operating system's refusal to write into an `OutputError` that names no path.

    Parameters
    ----------
    what
        What was to be written, as in "data/patients.csv".
    """
    try:
        yield
    except EhrsatzError:
        raise
    except OSError as error:
        raise output_error(what, error) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "polars" or "os error" not in str(error):
            raise
        raise output_error(what, OSError(str(error))) from None


def output_error(what: str, error: OSError) -> OutputError:
    """Return the `OutputError` for an operating-system error."""
    named = re.search(r"os error (\d+)", str(error))  # Polars says it in words
    number = error.errno if error.errno is not None or named is None else int(named[1])
    reason = _REASON.get(number or 0, f"The system refused it ({errno.errorcode.get(number or 0, 'unknown reason')}).")
    return OutputError(f"Expected to write {what}.", reason, _ADVICE.get(number, _ADVICE[None]))


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Give a hidden path to write to; on success flush it and rename it to `path`, on failure remove it."""
    partial = path.with_name(f".{path.name}.part")
    try:
        with writing(path.name):
            yield partial
            flush(partial)
            partial.rename(path)
    except BaseException:  # also an interrupt: nothing half written stays
        partial.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """Make the system write a file (or a folder's entries) to disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---------------------------------------------------------------------- parts
def part_name(table: str, part: int | None) -> str:
    """Return the name without ending of a table's file: of a part, or of the whole where `part` is None.

    Examples
    --------
    >>> part_name("visits", 7), part_name("visits", None)
    ('visits-00007', 'visits')
    """
    return table if part is None else f"{table}-{part:05d}"


def tables_of(names: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Gather the names of files (without ending) that are parts of one table.

    Two or more names that differ in a number of at least five digits alone, counted from 00000 on, are parts. A name
    that only looks like one, as "visits-20240", is a table of its own.

    Returns
    -------
    Table -> names of its files in order, and the names of the parts that lack between others.

    Examples
    --------
    >>> tables_of(["visits-00001", "labs-20240", "visits-00000"])
    ({'labs-20240': ['labs-20240'], 'visits': ['visits-00000', 'visits-00001']}, [])
    """
    known = set(names)
    parts: dict[str, dict[int, str]] = {}
    for name in known:
        match = _PART.fullmatch(name)
        if match and part_name(match["table"], int(match["number"])) == name:
            parts.setdefault(match["table"], {})[int(match["number"])] = name
    out, lacking = {}, []
    for table, found in parts.items():
        if 0 not in found or table in known:
            continue
        out[table] = [found[number] for number in sorted(found)]
        lacking += [part_name(table, number) for number in range(min(max(found), 10**6)) if number not in found]
    taken = {name for found in out.values() for name in found}
    out |= {name: [name] for name in known - taken}
    return {table: out[table] for table in sorted(out)}, sorted(lacking)
