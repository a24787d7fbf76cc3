"""Archives unpacked for reading, safely: into a folder of their own that is removed afterwards, up to a limit.

Refused are names that lead out of the folder, links, devices, members with a password, names that stand twice, and
archives that unpack to more than a limit. The limit is held against the sizes that the archive declares before anything
is written, and again against the bytes that come out, since declared sizes can lie.

References
----------
PKWARE, .ZIP File Format Specification 6.3; IEEE Std 1003.1, pax; D. Fifield, A better zip bomb, WOOT 2019
"""

from __future__ import annotations

import errno
import gzip
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from ehrsatz.errors import SourceError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
RATIO = 100  # bytes that come out of one: FHIR, the most repetitive text that is read here, packs 15 to 30 times
LEAST = 256 * 2**20  # bytes that any archive may unpack to
SPARED = 0.1  # share of the free disk that is left alone
MOST_FILES = 2_000_000
BLOCK = 2**20
_DRIVE = re.compile(r"[A-Za-z]:")


def is_archive(path: str | Path) -> bool:
    """Say by its name whether a path is an archive of files. A single packed file (`.ndjson.gz`) is none."""
    return Path(path).name.lower().endswith(SUFFIXES) and Path(path).is_file()


@contextmanager
def opened(path: str | Path, most_bytes: int | None = None, *, folder: str | Path | None = None) -> Iterator[Path]:
    """Give the folder that an archive unpacks to, and remove it in the end; any other path as it is.

    Parameters
    ----------
    path
        Of an archive (.zip, .tar, .tar.gz, .tgz), or of anything else.
    most_bytes
        Refuse an archive that unpacks to more. Where None: 100 times its size or 256 MiB, whichever is more, but no
        more than nine tenths of the free disk.
    folder
        Where to make the folder; the system's place for temporary files where None. Only its owner can read in it.

    Yields
    ------
    The folder; the one folder in it where the archive holds nothing else.

    Raises
    ------
    SourceError
        When the archive is damaged, refused, or too large; nothing of it stays.
    """
    packed = Path(path)
    if not is_archive(packed):
        yield packed
        return
    with tempfile.TemporaryDirectory(prefix="ehrsatz-", dir=folder) as made:
        target = Path(made)
        most = _limit(packed, target) if most_bytes is None else most_bytes
        with _refusals(packed.name):
            if packed.name.lower().endswith(".zip"):
                _unzip(packed, target, most)
            else:
                _untar(packed, target, most)
        yield _inner(target)


def _limit(packed: Path, target: Path) -> int:
    room = int(shutil.disk_usage(target).free * (1 - SPARED))
    return min(room, max(LEAST, RATIO * packed.stat().st_size))


def _inner(folder: Path) -> Path:
    held = list(folder.iterdir())
    while len(held) == 1 and held[0].is_dir():
        folder = held[0]
        held = list(folder.iterdir())
    return folder


# ---------------------------------------------------------------------- zip
def _unzip(packed: Path, target: Path, most: int) -> None:
    with zipfile.ZipFile(packed) as archive:
        members = archive.infolist()
        _count(packed.name, len(members))
        declared = sum(one.file_size for one in members)
        if declared > most:
            _too_large(packed.name, most)
        left = most
        for one in members:
            place = _place(packed.name, target, one.filename)
            kind = stat.S_IFMT(one.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                _refused(packed.name, "links or devices")
            if one.flag_bits & 0x1:
                _refused(packed.name, "members that need a password")
            if one.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            with archive.open(one) as inner:
                left -= _copied(packed.name, inner, place, left, most)


# ---------------------------------------------------------------------- tar
class _Counted:
    """A stream that refuses to give more than a number of bytes: also what stands between the files is counted."""

    def __init__(self, stream: IO[bytes], name: str, most: int) -> None:
        self.stream, self.name, self.left, self.most = stream, name, most + MOST_FILES * 1024, most

    def read(self, size: int = -1) -> bytes:
        block = self.stream.read(size)
        self.left -= len(block)
        if self.left < 0:
            _too_large(self.name, self.most)
        return block


def _untar(packed: Path, target: Path, most: int) -> None:
    is_plain = packed.name.lower().endswith(".tar")
    with packed.open("rb") if is_plain else gzip.open(packed, "rb") as stream:
        counted = _Counted(stream, packed.name, most)  # type: ignore[arg-type]
        with tarfile.open(fileobj=counted, mode="r|") as archive:  # type: ignore[call-overload]
            left, number = most, 0
            for number, one in enumerate(archive, 1):
                _count(packed.name, number)
                place = _place(packed.name, target, one.name)
                if not (one.isreg() or one.isdir()):
                    _refused(packed.name, "links or devices")
                if one.isdir():
                    place.mkdir(parents=True, exist_ok=True)
                    continue
                if one.size > left:
                    _too_large(packed.name, most)
                inner = archive.extractfile(one)
                assert inner is not None
                with inner:
                    left -= _copied(packed.name, inner, place, left, most)
                archive.members = []  # what is unpacked need not be remembered


# ---------------------------------------------------------------------- shared
def _place(name: str, target: Path, member: str) -> Path:
    """Return where a member goes, within the folder."""
    parts = [part for part in member.replace("\\", "/").split("/") if part not in ("", ".")]
    leads_out = member.startswith(("/", "\\")) or ".." in parts or _DRIVE.match(member) or "\0" in member
    if leads_out:
        _refused(name, "names that lead out of its folder")
    return target.joinpath(*parts)


def _copied(name: str, inner: IO[bytes], place: Path, left: int, most: int) -> int:
    """Write a member and return its size; stop where it is more than what is left of the limit."""
    place.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with place.open("xb") as out:
        while block := inner.read(BLOCK):
            done += len(block)
            if done > left:
                _too_large(name, most)
            out.write(block)
    return done


def _count(name: str, files: int) -> None:
    if files > MOST_FILES:
        raise SourceError(
            f"Expected at most {MOST_FILES:,} files in '{name}'.", "It holds more.", "Unpack it yourself, in portions."
        )


def _too_large(name: str, most: int) -> NoReturn:
    raise SourceError(
        f"Expected '{name}' to unpack to at most {most / 2**20:,.0f} MiB.",
        "It unpacks to more: more than fits, or far more than such data do.",
        "If that is meant, unpack it yourself and name the folder.",
    )


def _refused(name: str, what: str) -> NoReturn:
    raise SourceError(
        f"Expected plain files and folders in '{name}'.",
        f"It holds {what}.",
        "Pack the data again without them, or unpack it yourself and name the folder.",
    )


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Turn what goes wrong with an archive into a `SourceError`."""
    try:
        yield
    except SourceError:
        raise
    except FileExistsError:
        _refused(name, "names that stand twice")
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error):
        raise SourceError(f"Expected '{name}' whole.", "It is damaged or cut off.", "Copy or make it again.") from None
    except (NotImplementedError, RuntimeError):
        raise SourceError(
            f"Expected '{name}' packed in a usual way.",
            "It is packed in a way that is not known here.",
            "Pack it again as .zip or .tar.gz.",
        ) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise SourceError(
            f"Expected to unpack '{name}'.",
            "The disk is full." if full else "The system refused it: a name or a file.",
            "Free some space." if full else "Unpack it yourself and name the folder.",
        ) from None
