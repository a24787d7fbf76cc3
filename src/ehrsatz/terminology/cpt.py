"""CPT, which is never shipped: a licensed user's own map from codes that we use to CPT codes.

CPT is copyright of the American Medical Association. The file has three columns: system, code, cpt. What it does not
name keeps its own code.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from ehrsatz.errors import SourceError
from ehrsatz.terminology.systems import SYSTEMS

_CPT = re.compile(r"\d{4}[0-9A-Z]")  # category I, and II, III, U, M, A by the last letter


def read_map(path: str | Path) -> dict[tuple[str, str], str]:
    """Read a map (system, code) -> CPT code.

    Raises
    ------
    SourceError
        When the file cannot be read, has other columns, or a line that is no such entry; lines are told by number.
    """
    expected = "Expected a file that maps codes to CPT: system, code, cpt."
    advice = "Correct these lines; the first line of the file names the three columns."
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names, rows = reader.fieldnames or (), list(reader)
    except (OSError, ValueError, csv.Error):
        raise SourceError(expected, "It cannot be read as one.", advice) from None
    if not {"system", "code", "cpt"} <= set(names):
        raise SourceError(expected, "Its first line names other columns.", advice)
    problems: list[str] = []
    out: dict[tuple[str, str], str] = {}
    for line, row in enumerate(rows, start=2):
        system, code, cpt = (str(row[name] or "").strip() for name in ("system", "code", "cpt"))
        if system not in SYSTEMS:
            problems.append(f"line {line}: its system is none of {', '.join(SYSTEMS)}")
        elif not code or not _CPT.fullmatch(cpt):
            problems.append(f"line {line}: expected a code, and a CPT code of five signs")
        elif out.get((system, code), cpt) != cpt:
            problems.append(f"line {line}: the code stands there already, with another CPT code")
        else:
            out[system, code] = cpt
    if problems:
        raise SourceError(expected, f"{len(problems)} of {len(rows)} lines differ.", advice, problems=problems[:20])
    return out
