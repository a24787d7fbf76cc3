"""Read what a stranger may have written: JSON in its one spelling, plain file names, a tree without links.

A file that two readers could understand differently is refused: duplicate keys, NaN, another encoding than UTF-8, a
size that no honest file has. Nothing here follows a link.
"""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 16 * 2**20  # of a JSON file; a manifest of 1,000 tables has about one
MOST_NAME = 255


class NotPlain(ValueError):
    """A file is not what an honest writer would have written; the text says in a few words why."""


def render(data: Mapping[str, Any]) -> bytes:
    """Return the one spelling of a mapping: sorted keys, two spaces, UTF-8, a newline at the end."""
    return (json.dumps(data, ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False) + "\n").encode()


def parse(raw: bytes, *, one_spelling: bool = False) -> dict[str, Any]:
    """Return the JSON object that the bytes spell.

    Parameters
    ----------
    raw
        UTF-8.
    one_spelling
        Refuse bytes that `render` would not have written.

    Raises
    ------
    NotPlain
        When they spell something else, or could be read in two ways.
    """
    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except NotPlain:
        raise
    except (ValueError, RecursionError):
        raise NotPlain("cannot be read as JSON") from None
    if not isinstance(data, dict):
        raise NotPlain("holds no JSON object")
    if b"\\ud" in raw.lower():
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise NotPlain("holds half a sign") from None
    if one_spelling:
        try:
            same = render(data) == raw
        except (ValueError, RecursionError):
            same = False
        if not same:
            raise NotPlain("changed since it was written: it is not in its one spelling")
    return data


def read(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a regular file that is no link and not oversized.

    Raises
    ------
    FileNotFoundError
        When there is none.
    NotPlain
        When it is something else, too large, or cannot be read.
    """
    try:
        kind = os.lstat(path)
        if not stat.S_ISREG(kind.st_mode):
            raise NotPlain("is a link, no file" if stat.S_ISLNK(kind.st_mode) else "is no file")
        if kind.st_size > most:
            raise NotPlain(f"is larger than {most:,} bytes")
        with path.open("rb") as stream:
            raw = stream.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError:
        raise NotPlain("cannot be read") from None
    if len(raw) > most:
        raise NotPlain(f"is larger than {most:,} bytes")
    return raw


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every entry below a folder, as path relative to it and what the system says of it; no link is followed.

    Folders are yielded only where they are empty. The order is that of the paths.

    Raises
    ------
    OSError
        When a folder cannot be read.
    """
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        kind = entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(kind.st_mode):
            yield entry.name, kind
            continue
        inner = list(walk(Path(entry.path)))
        if not inner:
            yield entry.name, kind
        for name, told in inner:
            yield f"{entry.name}/{name}", told


def is_plain(name: Any) -> bool:
    """Say whether a name is a relative path that means the same on every system, and stays below its folder.

    Examples
    --------
    >>> [is_plain(name) for name in ("data/a.csv", "../a", "/a", "a//b", "a\\\\b", "C:a", "a/./b", "a\\n")]
    [True, False, False, False, False, False, False, False]
    """
    if not isinstance(name, str) or not name or len(name.encode("utf-8", "replace")) > 4 * MOST_NAME:
        return False
    if any(unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} for sign in name) or set(name) & set('\\:*?"<>|'):
        return False
    return all(
        part not in {"", ".", ".."} and len(part.encode()) <= MOST_NAME and not part.endswith((" ", "."))
        for part in name.split("/")
    )


def collisions(names: Iterable[str]) -> list[str]:
    """Return the names that some file systems take for another one of them: they differ in case or accents alone."""
    seen: dict[str, str] = {}
    found = []
    for name in sorted(names):
        if folded(name) in seen:
            found.append(name)
        seen.setdefault(folded(name), name)
    return found


def folded(name: str) -> str:
    """Return a name as a file system may compare it: without case, in one form of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def shown(name: str) -> str:
    """Return a file name for a message: control signs and what is no text are escaped, long names are cut."""
    text = name.encode("utf-8", "backslashreplace").decode()
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return text if len(text) <= 200 else text[:200] + "..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotPlain("names a key twice")
    return found


def _no_constant(name: str) -> Any:
    raise NotPlain("holds a number that JSON does not have")
