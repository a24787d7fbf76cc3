"""A folder that appears whole or not at all.

Everything is written into a hidden folder beside the place it is meant for, flushed to disk, and renamed. An error or
an interrupt removes it; a process that is killed leaves the hidden folder, and nothing at the place itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ehrsatz.errors import OutputError
from ehrsatz.exporters.base import flush, output_error, writing


def check_target(folder: str | Path) -> None:
    """Check before any work that a release could be written there; nothing is left behind.

    Raises
    ------
    OutputError
        When the folder is not empty, is a file, or cannot be created.
    """
    target = Path(folder).absolute()
    if target == Path.cwd():
        raise OutputError("Expected a new folder for the output.", "It is the current one.", "Name a folder in it.")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(
            "Expected a new or empty folder for the output.", f"'{target.name}' is no folder.", "Name another one."
        )
    with writing("the output folder"):
        if target.exists() and any(target.iterdir()):
            raise OutputError(
                "Expected a new or empty folder for the output.",
                f"'{target.name}' is not empty.",
                "Name another one with --out, or move its files away.",
            )
    above, created = _parents(target)
    try:
        probe = _hidden(above, target.name)
        probe.rmdir()
    finally:
        _remove_empty(created)


@contextmanager
def staged(folder: str | Path) -> Iterator[Path]:
    """Give a hidden folder to fill; on success it takes the place of `folder`, on failure it is removed.

    Raises
    ------
    OutputError
        When the folder is not empty, or the system refuses to write.
    """
    check_target(folder)
    target = Path(folder).absolute()
    above, created = _parents(target)
    stage: Path | None = None
    try:
        stage = _hidden(above, target.name)
        with writing("the output folder"):
            yield stage
            for path in (*files_of(stage), *(one for one in stage.rglob("*") if one.is_dir()), stage):
                flush(path)
            if os.name == "nt" and target.exists():
                target.rmdir()  # elsewhere a rename replaces an empty folder
            stage.rename(target)
            flush(above)
    except BaseException:  # also an interrupt: nothing half written stays
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        _remove_empty(created)
        raise


def files_of(folder: Path) -> list[Path]:
    """Return the files below a folder, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _parents(target: Path) -> tuple[Path, list[Path]]:
    """Create the folders above a target; return the lowest and those that were new, lowest first."""
    above = target.parent
    missing = [path for path in (above, *above.parents) if not path.exists()]
    try:
        above.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise output_error("the output folder", error) from None
    return above, missing


def _hidden(above: Path, name: str) -> Path:
    """Make a new hidden folder; its name never enters the output."""
    for attempt in range(1000):
        path = above / f".{name}.{os.getpid()}-{attempt}.part"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise output_error("the output folder", error) from None
        return path
    raise OutputError(
        "Expected room for a hidden folder beside the output.", "A thousand are there.", "Remove the old ones."
    )


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
