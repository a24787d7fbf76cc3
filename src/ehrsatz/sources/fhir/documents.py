"""The files of FHIR and the resources in them: NDJSON line by line, Bundles and single resources as documents.

A file is taken for NDJSON when its first line is an object of JSON, whatever its name; else it is one document: a
Bundle, a resource, or a list of resources.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import IO, Any, NoReturn

from ehrsatz.errors import SourceError

SUFFIXES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz", ".json", ".json.gz")
LINES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")  # what is never one document over many lines
FEW, MOST_LOOKED = 12, 20_000  # files that are opened, and names that are read, to tell what a folder is
HEAD = 65_536  # bytes of a file that are looked at to tell what it is
_PART = re.compile(r".+-(\d{5,9})")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')
_TYPE = re.compile(rb'\s*:\s*"([A-Z][A-Za-z]+)"')
_BLANK = b" \t\r\n\xef\xbb\xbf"


def files_in(path: Path) -> list[Path]:
    """Return the files of a folder, however deep, that may be FHIR by their names; a file itself."""
    if path.is_file():
        return [path]
    found = (one for one in path.rglob("*.*") if one.name.endswith(SUFFIXES) and not one.name.startswith("."))
    return sorted(one for one in found if one.is_file())


def some_files(path: Path) -> list[Path]:
    """Return a few of the files that `files_in` returns, NDJSON first, without a walk through all of a large tree."""
    if path.is_file():
        return [path]
    looked = islice(path.rglob("*"), MOST_LOOKED)
    found = [one for one in looked if one.name.endswith(SUFFIXES) and not one.name.startswith(".")]
    return sorted(found, key=lambda one: (not one.name.endswith(LINES), one.as_posix()))[:FEW]


def part_of(path: Path, root: Path) -> int | None:
    """Return the number of the part that a file of ours belongs to; None where it belongs to no patient or to a whole.

    It stands in the name of an NDJSON file, "Patient-00007.ndjson", and in the folder of a patient's Bundle,
    "patients/00007/P1.json".
    """
    if path.name.endswith(LINES):
        match = _PART.fullmatch(path.name.partition(".")[0])
        return int(match[1]) if match else None
    inner = path.relative_to(root).parts if path != root else ()
    return int(inner[-2]) if len(inner) > 2 and inner[-3] == "patients" and inner[-2].isdecimal() else None


def type_in(path: Path) -> str | None:
    """Return the type of the first resource of a file, by its first bytes; None where it is no FHIR."""
    try:
        with opened(path) as file:
            head = file.read(HEAD)
    except (OSError, EOFError, zlib.error):
        return None
    first = head.lstrip(_BLANK)
    if first[:1] == b"[":
        first = first[1:].lstrip(_BLANK)
    if first[:1] != b"{":
        return None
    depth = 0
    for token in _TOKEN.finditer(first):
        word = token[0]
        if word in (b"{", b"["):
            depth += 1
        elif word in (b"}", b"]"):
            depth -= 1
            if not depth:
                return None
        elif depth == 1 and word == b'"resourceType"':
            match = _TYPE.match(first, token.end())
            return match[1].decode() if match else None
    return None


def opened(path: Path) -> IO[bytes]:
    """Open a file, unpacked on the way where it is packed."""
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def documents(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line, value of JSON) of a file; line 0 where the file is one document.

    Raises
    ------
    SourceError
        When it is torn, no UTF-8 or no JSON; with the number of the line, never what stands there.
    """
    try:
        with opened(path) as file:
            yield from _values(path, file)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise SourceError(
            f"Expected '{path.name}' whole, packed with gzip.",
            "It is torn, or not packed at all.",
            "Copy or export it again.",
        ) from None
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"Expected to read '{path.name}'.", "The system refused it.", "Check the file and who may read it."
        ) from None


def _values(path: Path, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    number, line = 0, b"\n"
    while line and not line.strip(_BLANK):
        number, line = number + 1, file.readline()
    if not line:
        return
    try:
        first = _parsed(line)
    except UnicodeDecodeError:
        _no_text(path, number)
    except ValueError:
        if path.name.endswith(LINES):
            _no_json(path, number)
        yield 0, _whole(path, line + file.read(), number - 1)
        return
    yield number, first
    start = number + 1
    for number, line in enumerate(file, start):
        try:
            value = _parsed(line)
        except UnicodeDecodeError:
            _no_text(path, number)
        except ValueError:
            if not line.strip(_BLANK):
                continue
            _no_json(path, number)
        yield number, value


def _whole(path: Path, content: bytes, before: int) -> Any:
    try:
        return _parsed(content)
    except UnicodeDecodeError as error:
        _no_text(path, before + content[: error.start].count(b"\n") + 1)
    except JSONDecodeError as error:
        _no_json(path, before + error.lineno)
    except ValueError:
        _no_json(path, before + 1)


def _refuse(constant: str) -> NoReturn:
    raise ValueError("a number that JSON does not have")


_decode = JSONDecoder(parse_constant=_refuse).decode


def _parsed(content: bytes) -> Any:
    try:
        return _decode(content.decode("utf-8-sig" if content[:3] == b"\xef\xbb\xbf" else "utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_json(path: Path, line: int) -> NoReturn:
    raise SourceError(
        f"Expected JSON in '{path.name}': one resource a line, or one Bundle.",
        f"Line {line:,} is none, or is cut off.",
        "Export the file again, or take that line out.",
    ) from None


def _no_text(path: Path, line: int) -> NoReturn:
    raise SourceError(
        f"Expected '{path.name}' in UTF-8, as FHIR demands.",
        f"Line {line:,} is not.",
        "Convert the file to UTF-8, or export it again.",
    ) from None
