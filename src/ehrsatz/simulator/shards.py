"""A cohort made and written shard by shard: memory does not grow, workers do not change a byte, a stopped run goes on.

Shards are fixed ranges of patients, so that the files depend on the cohort alone and never on the number of workers. A
cohort of one shard lies in plain files, a larger one in parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from hashlib import sha256
from pathlib import Path
from typing import Any

from ehrsatz import __version__, registry
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import ScenarioError, UnsupportedError
from ehrsatz.memory import give_back, in_parts
from ehrsatz.simulator.staging import Finished, Stage, check_disk, file_hash, staged
from ehrsatz.simulator.workers import each

SIZE = 1_024  # patients: whole blocks of families, 64 each, so that relatives are in one shard
SIZES = (2_048, 1_024, 512, 256)  # patients of a shard: the more, the faster; the fewer, the less memory
ROWS_OF_SHARD = 1_900_000  # that fit into 1.5 GB with everything else
LIFE = 4_800.0  # rows of a patient with a whole life of routine care, measured as the two below
ROWS_PER_PATIENT = 500.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Shard:
    """What is made of a range of patients: the dataset, and a few statistics of it as plain JSON types.

    Statistics that are a function are asked for once the files are there.
    """

    dataset: Dataset
    statistics: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """What a run wrote: file (relative to the folder) -> SHA-256, table -> rows, and the merged statistics."""

    folder: Path
    n: int
    files: Mapping[str, str]
    rows: Mapping[str, int]
    statistics: Mapping[str, Any]
    n_shards: int
    n_kept: int  # shards that an earlier, stopped run had finished

    @property
    def n_rows(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


def size_of(record_years: float | str, n: int, *, steered: bool = False, texts: bool = False) -> int:
    """Return how many patients a shard has: a large one where records are short, a small one where they are long.

    Parameters
    ----------
    record_years
        Years of routine care, or "life".
    n
        Patients; up to 1,024 stay in one shard, and so in plain files.
    steered
        Whether quotas ask for the ill, who have up to four times the rows.
    texts
        Whether whole records are written as text, as FHIR and HL7 v2 are: it takes several times the memory of the
        rows, so that even a small cohort lies in parts.
    """
    if texts:
        return SIZES[-1]
    rows = LIFE if isinstance(record_years, str) else min(560 + 110 * record_years, LIFE)
    rows *= 4 if steered else 1
    fits = next((size for size in SIZES if size * rows <= ROWS_OF_SHARD), SIZES[-1])
    return max(fits, SIZE) if n <= SIZE else fits


def run(
    make: Callable[[int, int], Shard],
    n: int,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("parquet",),
    settings: Mapping[str, str] | None = None,
    fingerprint: str = "",
    workers: int = 1,
    restart: bool = False,
    only: Collection[str] | None = None,
    inside: str = "",
    merge: Callable[[Any, Any], Any] | None = None,
    finish: Callable[[Path, Made], None] | None = None,
    rows_per_patient: float = ROWS_PER_PATIENT,
    size: int = SIZE,
    progress: Progress | None = None,
) -> Made:
    """Make n patients in shards and write them; the folder appears when it is whole.

    Parameters
    ----------
    make
        make(first, n) -> the shard of the patients first .. first + n - 1; picklable, where there are several workers.
    n
        Patients, at least 1.
    folder
        New or empty.
    formats
        Names of exporters.
    settings
        What exporters are told besides the rows: name -> path.
    fingerprint
        Of everything that decides what `make` makes; a stopped run is gone on with where it is the same.
    workers
        Processes; 1 makes the shards here.
    restart
        Throw an unfinished run away.
    only
        Tables to write; all where None.
    inside
        Folder within the folder that the tables go to, as "data".
    merge
        Joins the statistics of two shards, in the order of the shards.
    finish
        finish(folder, made): called with the hidden, complete folder before it appears, to add documents.
    rows_per_patient
        Expected, to tell before the run whether the disk is large enough.
    size
        Patients per shard; tests make it small.
    progress
        Called as progress("simulate", patients done, n).

    Raises
    ------
    ScenarioError
        When n or workers is below 1.
    OutputError
        When the folder cannot be written, or the disk is too small.
    KeyboardInterrupt
        When the run is stopped; finished shards are kept beside the folder, and the same run goes on from them.
    """
    for name, value in (("n", n), ("workers", workers)):
        if value < 1:
            raise ScenarioError(f"Expected {name} of 1 or more.", f"It is {value}.", "Give a positive number.")
    show = progress or (lambda what, done, total: None)
    names = list(dict.fromkeys(formats))
    told = dict(settings or {})
    exporters = [registry.find("exporters", name).made(told) for name in names]
    clinical = [one.name for one in exporters if one.needs == "clinical"]
    if only is not None and clinical:
        raise UnsupportedError(
            "Expected all tables where a format of whole records is written.",
            f"Only some are asked for, with {clinical[0]}, whose records would point to what is not there.",
            "Write some tables as csv or parquet, or leave --only out.",
        )
    firsts = range(0, n, size)
    what = f"{n:,} patients as {' and '.join(names)}"
    wanted = n * rows_per_patient * sum(one.bytes_per_row for one in exporters)
    plan = {
        "ehrsatz": __version__,
        "fingerprint": fingerprint,
        "n": n,
        "size": size,
        "formats": names,
        "settings": {name: _mark(value) for name, value in sorted(told.items())},
        "only": None if only is None else sorted(only),
        "inside": inside,
        "versions": _versions(),
    }
    check_disk(folder, wanted, what, held=_held(folder))
    with in_parts(), staged(folder, plan, restart=restart) as stage:
        kept_tables = None if only is None else tuple(sorted(only))
        job = _Job(make, n, size, tuple(names), told, kept_tables, inside, stage.work)
        done = sum(min(size, n - k * size) for k in stage.done)
        show("simulate", done, n)
        left = [k for k in range(len(firsts)) if k not in stage.done]
        checked = False
        for shard, one in each(job, left, workers):
            stage.keep(one, stage.work / str(shard))
            done += min(size, n - shard * size)
            show("simulate", done, n)
            if not checked and done < n:  # now it is known how large they are
                held = sum(path.stat().st_size for path in stage.whole.rglob("*") if path.is_file())
                check_disk(folder, held / done * n, what, held=held)
                checked = True
        made = _made(stage, n, merge)
        gathering = [one for one in exporters if one.gathers]
        for exporter in gathering:
            show(f"gather {exporter.name}", 0, 1)
            exporter.finish(stage.whole / inside)
            show(f"gather {exporter.name}", 1, 1)
        if gathering:  # parts became something else
            whole = sorted(path for path in stage.whole.rglob("*") if path.is_file())
            made = replace(made, files={path.relative_to(stage.whole).as_posix(): file_hash(path) for path in whole})
        if finish is not None:
            finish(stage.whole, made)
        stage.commit()
    return replace(made, folder=Path(folder))


@dataclass(frozen=True)
class _Job:
    """Make and write one shard into a folder of its own."""

    make: Callable[[int, int], Shard]
    n: int
    size: int
    formats: tuple[str, ...]
    settings: Mapping[str, str]
    only: tuple[str, ...] | None
    inside: str
    work: Path

    def __call__(self, shard: int) -> Finished:
        first = shard * self.size
        found = self.make(first, min(self.size, self.n - first))
        tables = {one.name: one for one in found.dataset.schema.tables if self.only is None or one.name in self.only}
        own = [name for name in tables if name not in WORLD]
        once = [name for name in tables if name in WORLD and shard == 0]  # the same in all
        part = shard if self.n > self.size else None
        folder = self.work / str(shard)
        paths: list[Path] = []
        for name in self.formats:
            exporter = registry.find("exporters", name).made(self.settings)
            paths += exporter.write(found.dataset, folder / self.inside, part=part, tables=own)
            paths += exporter.write(found.dataset, folder / self.inside, tables=once)
        files = {path.relative_to(folder).as_posix(): file_hash(path) for path in paths}
        rows = {name: found.dataset.tables[name].height for name in (*own, *once)}
        counted = found.statistics() if callable(found.statistics) else found.statistics
        told = json.loads(json.dumps(counted, sort_keys=True))  # in the order of the journal
        del found, counted
        give_back()
        return Finished(shard, files, rows, told)


def _made(stage: Stage, n: int, merge: Callable[[Any, Any], Any] | None) -> Made:
    """Add up what the shards say of themselves, in their order."""
    shards = [stage.done[k] for k in sorted(stage.done)]
    rows: dict[str, int] = {}
    for one in shards:
        for name, count in one.rows.items():
            rows[name] = rows.get(name, 0) + count
    statistics = reduce(merge, map(stage.statistics, sorted(stage.done))) if merge is not None else {}
    files = {name: digest for one in shards for name, digest in sorted(one.files.items())}
    return Made(stage.whole, n, files, rows, statistics, len(shards), stage.n_kept)


def _held(folder: str | Path) -> float:
    """Bytes of an unfinished run beside the target."""
    hidden = Path(folder).absolute()
    hidden = hidden.with_name(f".{hidden.name}.unfinished")
    return float(sum(path.stat().st_size for path in hidden.rglob("*") if path.is_file())) if hidden.is_dir() else 0.0


def _mark(value: str) -> str:
    """A hash of what exporters are given: a file, a folder (names and sizes, it may be gigabytes), or a text."""
    path = Path(value)
    if path.is_file():
        return file_hash(path)
    held = sorted((one.name, one.stat().st_size) for one in path.iterdir()) if path.is_dir() else [value]
    return sha256(json.dumps(held).encode()).hexdigest()


def _versions() -> dict[str, str]:
    """Versions of the packages that the bytes rest on besides our own."""
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "polars", "pyarrow")}
