"""Seal a release for certain readers, and open what was sealed: one file in the age format.

Inside is a plain tar of the release whose bytes follow from the release alone; the encryption adds a new random key
each time. Whoever opens it trusts nothing in it: names that lead out of the folder, links, devices, doubled names and
more bytes than agreed are refused before anything is in place.

References
----------
Valsorda & Cartwright-Cox, The age file encryption format, age-encryption.org/v1.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ehrsatz import extras
from ehrsatz.capsule import strict
from ehrsatz.capsule.stage import check_target, staged
from ehrsatz.capsule.verify import examine
from ehrsatz.errors import CapsuleError, OutputError
from ehrsatz.exporters.base import aside, output_error, writing

MOST_BYTES = 64 * 2**30  # of what comes out of a sealed file
MOST_FILES = 100_000
MOST_HEADER = 64 * 1024  # of what an entry says of itself
SLACK = 256 * 2**20  # for headers and padding
BLOCK = 512  # bytes, of which a tar is made
_FEATURE = "Sealing releases"


def seal(folder: str | Path, readers: Sequence[str], path: str | Path) -> Path:
    """Encrypt a release to its readers and return the path of the new file.

    Parameters
    ----------
    folder
        A release that is as it was written; signature and approvals go with it.
    readers
        Public keys of age ("age1...") or of SSH ("ssh-ed25519 ...", "ssh-rsa ..."); each of them can open it alone.
    path
        A new file.

    Raises
    ------
    CapsuleError
        When the release is not as it was written, or a reader's key is none.
    OutputError
        When the file is there already, or cannot be written.
    MissingExtraError
        When the extra `encrypt` is not installed.
    """
    age = extras.require("pyrage", extra="encrypt", feature=_FEATURE)
    recipients = [_recipient(age, one, number) for number, one in enumerate(readers, start=1)]
    if not recipients:
        raise CapsuleError("Expected at least one reader.", "None was named.", "Name one with --to age1...")
    target = Path(path)
    if target.exists() or target.is_symlink():
        raise OutputError(f"Expected a new file at '{path}'.", "It is there already.", "Name another path.")
    if target.absolute().parent.resolve().is_relative_to(Path(folder).resolve()):
        raise OutputError(
            "Expected a new file outside the release.", f"'{path}' lies in it.", "A release holds what it was made of."
        )
    found = examine(folder)
    if found.problems:
        raise CapsuleError(
            "Expected a release as it was written.",
            f"{len(found.problems)} problem{'s' if len(found.problems) > 1 else ''} found.",
            "Fetch or make it again.",
            problems=found.problems,
        )
    with aside(target) as partial, tempfile.TemporaryFile(dir=target.absolute().parent) as packed:
        pack(folder, packed)
        packed.seek(0)
        with partial.open("wb") as stream:
            age.encrypt_io(packed, stream, recipients)
    return target


def open_sealed(
    path: str | Path, identity: str | Path, folder: str | Path, *, most_bytes: int = MOST_BYTES
) -> list[str]:
    """Decrypt a sealed release into a new or empty folder; return the problems of what came out.

    Parameters
    ----------
    path
        A file in the age format that holds a tar.
    identity
        File with the reader's private keys, as `age-keygen` or `ssh-keygen` writes it.
    folder
        Appears whole, or not at all.
    most_bytes
        More than that is refused.

    Raises
    ------
    CapsuleError
        When the file is no sealed release, is for other readers, or holds what no release holds.
    OutputError
        When the folder is not empty, or cannot be written.
    MissingExtraError
        When the extra `encrypt` is not installed.
    """
    age = extras.require("pyrage", extra="encrypt", feature="Opening sealed releases")
    identities = _identities(age, identity)
    check_target(folder)
    if not Path(path).is_file():
        raise CapsuleError(f"Expected a sealed release at '{path}'.", "There is no such file.", "Check the path.")
    above = Path(folder).absolute().parent
    with staged(folder) as stage:
        with tempfile.TemporaryFile(dir=above) as plain:
            _decrypt(age, Path(path), _Capped(plain, most_bytes + SLACK), identities)
            plain.seek(0)
            unpack(plain, stage, most_bytes=most_bytes)
        return list(examine(stage).problems)


def _decrypt(age: Any, path: Path, sink: _Capped, identities: list[Any]) -> None:
    try:
        with path.open("rb") as stream:
            age.decrypt_io(stream, sink, identities)
    except (age.DecryptError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise output_error("what was sealed", error) from None
        if sink.is_over:
            raise _refused("It holds more bytes than agreed.") from None
        raise CapsuleError(
            "Expected a file sealed for this reader.",
            "It was changed, is no age file, or is for other readers.",
            "Ask the sender to seal it for your public key.",
        ) from None


def pack(folder: str | Path, stream: IO[bytes]) -> None:
    """Write the files of a folder as a tar whose bytes follow from their names and content alone."""
    root = Path(folder)
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in strict.walk(root):
            if not stat.S_ISREG(kind.st_mode):
                continue
            about = tarfile.TarInfo(name)
            about.size, about.mode, about.mtime = kind.st_size, 0o644, 0
            with (root / name).open("rb") as content:
                tar.addfile(about, content)


def unpack(stream: IO[bytes], folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
    """Write the files of a tar as `pack` writes it below a folder that is empty.

    Raises
    ------
    CapsuleError
        At the first entry that is no plain file with a plain name of its own, or takes more than agreed.
    """
    total = 0
    names: set[str] = set()
    for number, (name, size) in enumerate(_entries(stream), start=1):
        total += size
        if number > MOST_FILES or total > most_bytes:
            raise _refused(f"It holds more than {MOST_FILES:,} files or {most_bytes:,} bytes.")
        if not strict.is_plain(name) or strict.folded(name) in names:
            raise _refused(f"Entry {number} has a name that leads elsewhere, or twice to one place.")
        names.add(strict.folded(name))
        _copy(stream, folder / name, size)


def _entries(stream: IO[bytes]) -> Iterator[tuple[str, int]]:
    """Yield name and size of each file; whoever asks for the next one has read the bytes of the last."""
    told: dict[str, str] = {}
    while (block := _exactly(stream, BLOCK)) != bytes(BLOCK):
        try:
            about = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.TarError, ValueError):
            raise _refused("What is inside is no whole tar.") from None
        if about.type == tarfile.XHDTYPE and not told and 0 < about.size <= MOST_HEADER:
            told = _records(_exactly(stream, about.size))
            _exactly(stream, -about.size % BLOCK)
            continue
        if about.type != tarfile.REGTYPE:
            raise _refused("One of its entries is a link, a folder or a device, no file.")
        size = told.get("size", str(about.size))
        if not size.isdecimal() or len(size) > 15:
            raise _refused("What is inside is no whole tar.")
        yield told.get("path", about.name), int(size)
        _exactly(stream, -int(size) % BLOCK)
        told = {}


def _records(raw: bytes) -> dict[str, str]:
    """Read an extended header: lines of "length keyword=value"; only name and size of a file may stand there."""
    found: dict[str, str] = {}
    while raw:
        length, space, _ = raw[:12].partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(raw):
            raise _refused("What is inside is no whole tar.")
        line, raw = raw[len(length) + 1 : int(length)], raw[int(length) :]
        key, equals, value = line.partition(b"=")
        if not line.endswith(b"\n") or not equals or key not in {b"path", b"size"} or key.decode() in found:
            raise _refused("An entry says more of itself than name and size.")
        try:
            found[key.decode()] = value[:-1].decode()
        except UnicodeDecodeError:
            raise _refused("The name of an entry is no text.") from None
    return found


def _exactly(stream: IO[bytes], size: int) -> bytes:
    raw = stream.read(size) if size else b""
    if len(raw) != size:
        raise _refused("It ends too early.")
    return raw


def _copy(content: IO[bytes], path: Path, size: int) -> None:
    with writing("a file of the release"):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except (FileExistsError, NotADirectoryError):
            raise _refused("Two of its entries have one place.") from None
        with os.fdopen(handle, "wb") as stream:
            while size > 0:
                stream.write(_exactly(content, min(size, 2**20)))
                size -= min(size, 2**20)


def _refused(found: str) -> CapsuleError:
    return CapsuleError("Expected a sealed release.", found, "Do not trust this file; ask whoever sent it.")


class _Capped(io.RawIOBase):
    """Pass bytes on to a stream until there are more than agreed."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left = stream, most
        self.is_over = False

    def writable(self) -> bool:
        """Say that bytes go in."""
        return True

    def write(self, data: Any) -> int:
        """Pass bytes on, or refuse them."""
        raw = bytes(data)
        self._left -= len(raw)
        if self._left < 0:
            self.is_over = True
            raise OSError("more bytes than agreed")
        self._stream.write(raw)
        return len(raw)


def _recipient(age: Any, text: str, number: int) -> Any:
    try:
        return age.ssh.Recipient.from_str(text) if text.startswith("ssh-") else age.x25519.Recipient.from_str(text)
    except age.RecipientError:
        raise CapsuleError(
            "Expected readers by their public key, as age1... or ssh-ed25519 ...",
            f"Number {number} is none.",
            "Ask the reader for the line that `age-keygen -y` prints.",
        ) from None


def _identities(age: Any, path: str | Path) -> list[Any]:
    expected = f"Expected a file of private keys of age at '{path}'."
    try:
        text = strict.read(Path(path).resolve(), most=2**20).decode()
        if "PRIVATE KEY-----" in text:
            return [age.ssh.Identity.from_buffer(text.encode())]
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        found = [age.x25519.Identity.from_str(line) for line in lines]
    except FileNotFoundError:
        raise CapsuleError(expected, "There is no such file.", "Make one with: age-keygen -o key.txt") from None
    except (age.IdentityError, ValueError):
        raise CapsuleError(expected, "It holds something else.", "Name what age-keygen or ssh-keygen wrote.") from None
    if not found:
        raise CapsuleError(expected, "It holds none.", "Make one with: age-keygen -o key.txt")
    return found
