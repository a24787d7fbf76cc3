"""Where a long run puts its files until it is whole: a hidden folder beside the target, with a journal of what is done.

The journal has one line per finished shard: its files with their hashes, its rows, its statistics. Whoever repeats the
same run goes on from there; what was changed or torn since is made again. Only one run at a time may use the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ehrsatz.errors import OutputError
from ehrsatz.files import flush, output_error, writing

JOURNAL, LOCK, WHOLE = "journal.jsonl", "lock", "whole"


@dataclass(frozen=True)
class Finished:
    """One shard that is done: file (relative to the target) -> SHA-256, table -> rows, and statistics as JSON types."""

    shard: int
    files: Mapping[str, str]
    rows: Mapping[str, int]
    statistics: Mapping[str, Any] = field(default_factory=dict)


class Stage:
    """The hidden folder of a run: `whole` becomes the target, `work` is thrown away."""

    def __init__(self, target: Path, folder: Path, done: dict[int, Finished], places: dict[int, int]) -> None:
        self.target, self.folder, self.done = target, folder, done
        self._places = places  # shard -> where its line begins in the journal
        self.whole = folder / WHOLE
        self.work = folder / f"work-{os.getpid()}"
        self.n_kept = len(done)

    def keep(self, one: Finished, at: Path) -> None:
        """Move a finished shard's files from `at` into the whole, and note it in the journal."""
        with writing("a shard"):
            for name in one.files:
                place = self.whole / name
                place.parent.mkdir(parents=True, exist_ok=True)
                (at / name).rename(place)
            with (self.folder / JOURNAL).open("ab") as journal:
                self._places[one.shard] = journal.tell()
                journal.write(_line(asdict(one)).encode())
                journal.flush()
                os.fsync(journal.fileno())
        self.done[one.shard] = replace(one, statistics={})  # they stay in the journal: memory must not grow

    def statistics(self, shard: int) -> Mapping[str, Any]:
        """Return the statistics of a finished shard, from the journal."""
        with (self.folder / JOURNAL).open("rb") as journal:
            journal.seek(self._places[shard])
            return dict(json.loads(journal.readline())["statistics"])

    def commit(self) -> None:
        """Flush everything to disk and let the whole take the target's place."""
        with writing("the output folder"):
            for path in (*sorted(self.whole.rglob("*")), self.whole):
                flush(path)
            if self.target.exists():
                self.target.rmdir()
            self.whole.rename(self.target)
            flush(self.target.parent)


@contextmanager
def staged(folder: str | Path, plan: Mapping[str, Any], *, restart: bool = False) -> Iterator[Stage]:
    """Give the stage of a run; remove it when the run was committed or nothing is worth keeping.

    Parameters
    ----------
    folder
        The target; it must be new or empty.
    plan
        Plain JSON types that decide every byte: an unfinished run of another plan is not gone on with.
    restart
        Throw an unfinished run away, whatever its plan.

    Raises
    ------
    OutputError
        When the target is not empty, cannot be written, is being written by another run, or when an unfinished run of
        another plan lies there.
    """
    target = Path(folder).absolute()
    _check_target(target)
    hidden = target.with_name(f".{target.name}.unfinished")
    above = [path for path in (target.parent, *target.parent.parents) if not path.exists()]
    with writing("the output folder"):
        hidden.mkdir(parents=True, exist_ok=True)
    with (hidden / LOCK).open("w") as lock:
        _hold(lock)
        if restart:
            _clear(hidden)
        stage = Stage(target, hidden, *_resume(hidden, plan, target))
        try:
            with writing("the output folder"):
                stage.whole.mkdir(exist_ok=True)
                stage.work.mkdir(exist_ok=True)
            yield stage
        except BaseException:  # also an interrupt: finished shards stay, half written ones do not
            shutil.rmtree(stage.work, ignore_errors=True)
            if not stage.done:
                shutil.rmtree(hidden, ignore_errors=True)
                with suppress(OSError):
                    for path in above:
                        path.rmdir()
            raise
    shutil.rmtree(hidden, ignore_errors=True)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_disk(folder: str | Path, wanted: float, what: str, *, held: float = 0.0) -> None:
    """Refuse a run whose files would not fit on the disk.

    Parameters
    ----------
    folder
        The target, which need not exist.
    wanted
        Bytes of all its files.
    what
        What they are, as in "1,000 patients as parquet".
    held
        Bytes of them that are there already.

    Raises
    ------
    OutputError
        With what is needed and what is free.
    """
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    with writing("the output folder"):
        free = shutil.disk_usage(place).free
    if wanted - held > free:
        raise OutputError(
            f"Expected about {_size(wanted - held)} of free disk for {what}.",
            f"{_size(free)} are free there.",
            "Free some space, name a folder on another disk, ask for fewer patients or fewer tables, or write Parquet.",
        )


def _size(n: float) -> str:
    return f"{n / 2**30:,.1f} GiB" if n >= 2**30 else f"{n / 2**20:,.1f} MiB"


def _line(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"


def _check_target(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError("Expected a new or empty folder for the output.", "It is no folder.", "Name another one.")
    with writing("the output folder"):
        if target.exists() and any(target.iterdir()):
            raise OutputError(
                "Expected a new or empty folder for the output.",
                f"'{target.name}' is not empty.",
                "Name another one with --out, or move its files away.",
            )


def _hold(lock: IO[str]) -> None:
    """Lock a file until it is closed, or the process ends however it ends."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise OutputError(
            "Expected to be the only run that writes to this folder.",
            "Another one is at work on it.",
            "Wait for it, or name another folder.",
        ) from None
    except OSError as error:
        raise output_error("the output folder", error) from None


def _clear(hidden: Path) -> None:
    for path in hidden.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)


def _resume(hidden: Path, plan: Mapping[str, Any], target: Path) -> tuple[dict[int, Finished], dict[int, int]]:
    """Return the finished shards of an earlier run whose files are as they were written; remove the rest.

    Their statistics stay in the journal, which is written anew; returned is also where each shard's line begins in it.
    """
    head = _line(plan).encode()
    lines = _lines(hidden / JOURNAL)
    first = next(lines, None)
    if first is not None and first[0] != json.loads(head):
        raise OutputError(
            "Expected no unfinished run of another kind beside the output folder.",
            f"One lies in '{hidden.name}': of another scenario, size, format or version.",
            "Repeat that run to finish it, name another folder, or throw it away with --restart.",
        )
    whole = hidden / WHOLE
    done: dict[int, Finished] = {}
    places: dict[int, int] = {}
    fresh = hidden / f"{JOURNAL}.part"
    with writing(f"into the unfinished run of '{target.name}'"), fresh.open("wb") as stream:
        stream.write(head)
        for entry, line in lines:
            paths = {whole / name: digest for name, digest in entry["files"].items()}
            if all(path.is_file() and file_hash(path) == digest for path, digest in paths.items()):
                done[entry["shard"]] = Finished(entry["shard"], entry["files"], entry["rows"])
                places[entry["shard"]] = stream.tell()
                stream.write(line)
    kept = {whole / name for one in done.values() for name in one.files}
    with writing(f"into the unfinished run of '{target.name}'"):
        for path in hidden.glob("work-*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in whole.rglob("*") if whole.exists() else ():
            if path.is_file() and path not in kept:
                path.unlink()
        flush(fresh)
        fresh.replace(hidden / JOURNAL)
    return done, places


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield the lines of a journal, read and as they are, up to the first that was torn."""
    try:
        stream = path.open("rb")
    except OSError:
        return
    with stream:
        for number, line in enumerate(stream):
            try:
                entry = json.loads(line)
            except ValueError:
                return
            keys = set(entry) if isinstance(entry, dict) else set()
            if not line.endswith(b"\n") or (number and keys != {"shard", "files", "rows", "statistics"}):
                return
            yield entry, line
