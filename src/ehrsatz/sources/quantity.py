"""Numbers: whole or not, how they are spelled, which of them mark missing, and when they only name groups.

Whole numbers are counts or measures unless the name says codes, or there are few of them without the shape of a count.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from ehrsatz.schema import MIN_SUBJECTS, UNREADABLE, Column, Kind
from ehrsatz.sources import missing, spelling
from ehrsatz.sources import words as w

READABLE_SHARE = 0.95  # a column is of a kind when this share of its present cells reads as it


def decide(name: str, texts: pl.Series, counts: pl.Series) -> Column | None:
    """Return the draft of a column of numbers, or None where too few cells read as numbers.

    Parameters
    ----------
    name
        The column's name.
    texts
        Distinct stripped texts without marks for missing, shape (K,).
    counts
        Rows that hold each, shape (K,).
    """
    style, share = spelling.number_spelling(texts, counts)
    infinite = texts.str.contains(r"^(?i)[+-]?inf(inity)?$")
    n_infinite = int(counts.filter(infinite).sum() or 0)
    total = int(counts.sum())
    if share + n_infinite / total < READABLE_SHARE:
        return None
    numbers = spelling.numbers(texts, style)
    bad = numbers.is_null()
    repeated = bad & ~infinite & (counts >= MIN_SUBJECTS) & texts.str.contains(r"\d")
    if repeated.any() and len(texts) <= 30:
        return None  # levels such as "3+" or ">=80" among few others: a category
    known = numbers.drop_nulls()
    held = counts.filter(~bad)
    if known.is_empty():
        return None
    marks = missing.numeric_marks(known.to_numpy(), held.to_numpy())
    own = tuple(texts.filter(numbers.is_in(list(marks)).fill_null(False)).to_list()) if marks else ()
    why: list[str] = []
    if marks:
        n_marks = int(counts.filter(numbers.is_in(list(marks)).fill_null(False)).sum())
        why.append(f"{n_marks:,} cells hold a number that stands apart and marks missing")
        keep = ~known.is_in(list(marks))
        known, held = known.filter(keep), held.filter(keep)
    n_bad = int(counts.filter(bad & ~infinite).sum() or 0)
    if n_bad:
        why.append(f"{n_bad:,} cells that are no number count as missing")
    if n_infinite:
        why.append(f"{n_infinite:,} infinite cells count as missing")
    if n_bad or n_infinite:
        own = (*own, UNREADABLE)
    style = style or ""
    whole = bool((known == known.round(0)).all()) and bool((known.abs() < 2**63).all())
    if not whole:
        return Column(
            name,
            "number",
            format=style or None,
            missing=own,
            why="; ".join(["numbers", *_shape_notes(known, held), *why]),
        )
    reason, kind = _whole(name, known.to_numpy(), held.to_numpy())
    if kind != "integer":
        return Column(
            name,
            kind,
            missing=tuple(mark for mark in own if mark != UNREADABLE),
            why="; ".join([reason, *why]),
        )
    written = " written with .0" if style.endswith(".0") else ""
    return Column(
        name,
        "integer",
        format=style or None,
        missing=own,
        why="; ".join([reason + written, *_shape_notes(known, held), *why]),
    )


def _whole(name: str, values: np.ndarray, counts: np.ndarray) -> tuple[str, Kind]:
    """Say why whole numbers are a count or measure, the names of categories, or codes."""
    k, n = len(values), int(counts.sum())
    words = w.tokens(name)
    if w.is_person_key(words) or (k == n and n > 20):
        return "whole numbers", "integer"
    coded = w.has(words, w.CODED - {"id"}) or (w.is_row_key(words) and len(words) > 1)
    counted = w.is_count(words)
    order = np.argsort(values)
    values, counts = values[order], counts[order]
    if k == 1:
        return "whole numbers, constant", "integer"
    if k >= 4 and _falls(values, counts) and not (words and words[-1] in w.STRONG_CODE):
        return "whole numbers from the smallest on ever rarer: a count or a grade", "integer"
    if words[-1:] in {("code",), ("cd",)} and not counted and (k > 60 or values[-1] > 999):
        return "whole numbers under a name of codes", "code"
    if words in {("item", "id"), ("concept", "id")} or (words[-1:] == ("id",) and "concept" in words):
        return "whole numbers that name what was recorded", "code"
    site = w.is_row_key(words) and k <= min(0.2 * n, 1000) and w.has(words, w.CODED - {"id"})
    if coded and not counted and (k <= 60 or site) and n >= 3 * k:
        return f"{k} whole numbers under a name of codes", "category"
    low, high = float(values[0]), float(values[-1])
    if low == -1 and high == 1 and k == 3 and n >= 30:
        return "-1, 0 and 1: names of three groups", "category"
    if counted or low < 0 or high > 20 or n < 10 * k:
        return "whole numbers", "integer"
    if k <= 2:
        return "two whole numbers that are not 0 and 1: names of two groups", "category"
    if k <= 8:
        return f"{k} small whole numbers without the shape of a count: names of groups", "category"
    return "whole numbers", "integer"


def _falls(values: np.ndarray, counts: np.ndarray) -> bool:
    return bool(values[0] in {0.0, 1.0} and values[2] == values[0] + 2 and counts[0] > counts[1] > counts[2])


def _shape_notes(values: pl.Series, counts: pl.Series) -> list[str]:
    """Note a spike at zero and heaping on round numbers, as counts in per cent."""
    total = int(counts.sum())
    notes = []
    zero = int(counts.filter(values == 0).sum() or 0)
    positive = values.filter(values > 0)
    if zero >= 0.02 * total and len(positive) >= 20 and not (values < 0).any():
        low = float(positive.quantile(0.05) or 0)
        spread = float(positive.quantile(0.95) or 0) - low
        if low > 0.25 * spread:
            notes.append(
                f"{100 * zero / total:.0f} % are 0, far below the others: add '0' to missing if it means not measured"
            )
    if len(values) >= 30 and bool((values == values.round(0)).all()):
        for base in (10, 5):
            share = int(counts.filter((values % base == 0) & (values != 0)).sum() or 0) / max(1, total - zero)
            if share > 2.5 / base and share > 0.3:
                notes.append(f"heaped: {100 * share:.0f} % are multiples of {base}")
                break
    return notes
