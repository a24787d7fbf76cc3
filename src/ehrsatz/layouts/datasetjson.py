"""Dataset-JSON v1.1 row by row, so that a file of any size is read in little memory.

References
----------
CDISC Dataset-JSON v1.1. github.com/cdisc-org/DataExchange-DatasetJson
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHUNK = 1 << 22  # characters read at a time
_ROWS = re.compile(r'"rows"\s*:\s*\[')
_GAP = re.compile(r"[\s,]*")


def stream(path: Path) -> Iterator[Any]:
    """Yield what a file says of the dataset, as a dictionary, and then its rows, one by one.

    Raises
    ------
    ValueError
        When it is no JSON, holds no rows, or is cut off.
    """
    decode = json.JSONDecoder().raw_decode
    with path.open(encoding="utf-8-sig") as file:
        text = file.read(CHUNK)
        while (match := _ROWS.search(text)) is None:
            more = file.read(CHUNK)
            if not more:
                yield _dictionary(text)
                return
            text += more
        yield _dictionary(text[: match.start()].rstrip().rstrip(",") + "}")
        place = match.end()
        while True:
            gap = _GAP.match(text, place)
            place = place if gap is None else gap.end()
            if text[place : place + 1] == "]":
                break
            try:
                row, place = decode(text, place)
            except ValueError:
                more = file.read(CHUNK)
                if not more:
                    raise
                text, place = text[place:] + more, 0
            else:
                yield row
        rest = (text[place + 1 :] + file.read()).lstrip().lstrip(",")
        _dictionary("{" + rest)


def _dictionary(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no dataset")
    return found
