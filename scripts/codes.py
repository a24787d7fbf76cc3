"""Write src/ehrsatz/terminology/data/codes.csv: the codes that the package names, with their published displays.

    python scripts/codes.py ../shared/data/terminology

Codes are gathered from the simulator's modules, data and locales (JSON) and from its Python: a code beside the name of
its system, and any text that by its form and check digit is a code of SNOMED CT or LOINC. Exit code 1 where a code is
in no list; nothing is written then.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from ehrsatz import clinical, terminology
from ehrsatz.terminology import lists, shipped

PACKAGE = Path(terminology.__file__).parent.parent
BY_KEY = {  # keys of JSON objects whose text is a code of this system
    "icd10": clinical.ICD10CM,
    "cause": clinical.ICD10CM,
    "snomed": clinical.SNOMED,
    "device": clinical.SNOMED,
    "loinc": clinical.LOINC,
    "rxnorm": clinical.RXNORM,
    "cvx": clinical.CVX,
}
NAMES = {name: getattr(clinical, name) for name in ("ICD10CM", "SNOMED", "LOINC", "RXNORM", "CVX")}


def used() -> dict[tuple[str, str], str]:
    """Return (system, code) -> where it was found first."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted((PACKAGE / "simulator").rglob("*.json")):
        for pair in in_json(json.loads(path.read_text(encoding="utf-8"))):
            found.setdefault(pair, path.name)
    for path in sorted((PACKAGE / "simulator").rglob("*.py")):
        for pair in in_python(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(pair, path.name)
    return found


def in_json(data: Any) -> Iterator[tuple[str, str]]:
    """Yield the codes of an object and all within it."""
    if isinstance(data, dict):
        system, code = data.get("system"), data.get("code")
        if system in NAMES.values() and isinstance(code, str):
            yield str(system), code
        for key, value in data.items():
            if key in BY_KEY:
                yield from ((BY_KEY[key], one) for one in texts(value))
            yield from in_json(value)
    elif isinstance(data, list):
        for value in data:
            yield from in_json(value)


def texts(value: Any) -> list[str]:
    """Return a text, or the texts of a list, or nothing."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]


def in_python(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield codes beside the name of their system, `place(CVX, "...")`, and texts that can only be codes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(r"[1-9]\d{5,17}", node.value) and verhoeff(node.value):
                yield clinical.SNOMED, node.value
            if re.fullmatch(r"\d{1,5}-\d", node.value) and modulus10(node.value):
                yield clinical.LOINC, node.value
        parts = node.elts if isinstance(node, ast.Tuple) else node.args if isinstance(node, ast.Call) else []
        for left, right in pairwise(parts):
            name = left.attr if isinstance(left, ast.Attribute) else left.id if isinstance(left, ast.Name) else ""
            if name in NAMES and isinstance(right, ast.Constant) and isinstance(right.value, str):
                yield NAMES[name], right.value


def verhoeff(digits: str) -> bool:
    """Whether a number ends in its check digit (Verhoeff J, Error detecting decimal codes, 1969), as SNOMED CT's do."""
    turn = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    check = 0
    for i, digit in enumerate(reversed(digits)):
        one = int(digit)
        for _ in range(i % 8):
            one = turn[one]
        check = times(check, one)
    return check == 0


def times(a: int, b: int) -> int:
    """Multiply in the dihedral group of ten elements."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b - 5) % 5
    return 5 + (a - 5 - b) % 5 if b < 5 else (a - b) % 5


def modulus10(code: str) -> bool:
    """Whether a code ends in its check digit, as LOINC's do (LOINC Users' Guide, appendix C)."""
    body, _, last = code.partition("-")
    odd = str(int(body[::-1][::2]) * 2)
    total = sum(map(int, odd)) + sum(map(int, body[::-1][1::2]))
    return (10 - total % 10) % 10 == int(last)


def main(arguments: list[str]) -> int:
    """Write the list, or say which codes are in no published list."""
    if len(arguments) != 1:
        print(__doc__)
        return 2
    published, found = lists.read(arguments[0]), used()
    rows, absent = lists.chosen(published, found)
    headings = [code for system, code in found if system == clinical.ICD10CM and not published.is_whole(code)]
    for text in absent:
        system, _, code = text.removesuffix(" is in none.").partition(" ")
        print(f"{text} ({found[system, code]})", file=sys.stderr)
    for code in sorted(headings):
        print(f"ICD-10-CM {code} is a heading, no code for use ({found[clinical.ICD10CM, code]})", file=sys.stderr)
    if absent:
        return 1
    shipped.write(shipped.LIST, rows)
    print(f"{len(rows):,} codes written.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
