"""How a column must be protected, guessed from its kind, role and name.

direct: names a person or leads to one (names, record numbers, contact data, free text); quasi: could single out a
person together with others (age, sex, place, dates; the fields of the HIPAA safe-harbour list that are not direct,
45 CFR 164.514(b)(2)); sensitive: diagnoses and outcomes; none: the rest. It is a guess for a person to check.
"""

from __future__ import annotations

from dataclasses import replace

from ehrsatz.schema import Column, Disclosure
from ehrsatz.sources import words as w


def classify(column: Column, *, is_number: bool = False) -> Column:
    """Return the column with its disclosure class and, in `why`, what decided it.

    Parameters
    ----------
    column
        Kind and role are decided.
    is_number
        Whether its cells number rows, stays or the like.
    """
    level, reason = _class(column)
    if is_number and level != "direct":
        level, reason = "direct", "a record number"
    why = f"{column.why}; {level}: {reason}" if reason else column.why
    return replace(column, disclosure=level, why=why)


def _class(column: Column) -> tuple[Disclosure, str]:
    words = w.tokens(column.name)
    if column.disclosure == "direct":
        return "direct", "shape or name of a direct identifier"
    if column.role in {"subject", "key", "link"}:
        return "direct", "a record number"
    if column.kind == "text":
        return "direct", "free text may name persons"
    if column.kind == "id":
        return "direct", "an identifier"
    if w.is_person_key(words) and column.kind in {"integer", "code"}:
        return "direct", "a record number by name"
    if column.role in {"code", "value", "unit"}:
        return ("sensitive", "codes of a record") if column.role == "code" else ("none", "")
    if column.kind in {"date", "datetime"}:
        return "quasi", "a date of a person's life or care"
    if w.has(words, w.DIRECT) and column.kind != "boolean":
        return ("quasi", "a place") if column.kind == "number" else ("direct", "a direct identifier by name")
    if column.system == "ZIP" or (
        w.has(words, w.QUASI) and not (w.has(words, w.PLACE) and (column.is_numeric or column.kind == "boolean"))
    ):
        return "quasi", "others may know it of a person"
    if column.kind == "code":
        return "sensitive", "codes of a diagnosis or treatment"
    if w.has(words, w.SENSITIVE):
        return "sensitive", "health or outcome by name"
    return "none", ""
