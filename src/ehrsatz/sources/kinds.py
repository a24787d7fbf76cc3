"""What kind of thing a column holds, from its distinct cells, its name and what the rest of the table does.

The order of the questions: is it empty, two words for yes and no, a code or an identifier by shape, a date, a number,
and last words: identifiers, free text or categories. Each answer is a draft `Column` with the reason in `why`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

import polars as pl

from ehrsatz.schema import UNREADABLE, Column, Disclosure, Kind
from ehrsatz.sources import codes, dates, missing, quantity, spelling
from ehrsatz.sources import words as w

MANY_LEVELS = 0.5  # distinct share of present cells above which words are no category
_CLOCK = r"^([01]?\d|2[0-4]):[0-5]\d(:[0-5]\d)?$"
EMPTY = "empty: every cell is missing"
KEPT = "'None' and its like are kept as a level: the table writes missing in another way"


@dataclass(frozen=True)
class Context:
    """What the rest of the table says: rows, whether another mark than "None" is in use, day before month."""

    n_rows: int
    marks_missing_otherwise: bool = False
    day_first: bool | None = None


def decide(name: str, values: pl.DataFrame, dtype: pl.DataType, context: Context) -> Column:
    """Return the draft of a column: kind, format, system, marks for missing, and why.

    Parameters
    ----------
    name
        The column's name.
    values
        Distinct cells as `cells.distinct` returns them.
    dtype
        The source's type; String means that the spelling is the source's own.
    context
        What the rest of the table says.
    """
    spelled = dtype in (pl.String, pl.Categorical, pl.Enum)
    values = values.filter(pl.col("text").is_not_null()).group_by("text", maintain_order=True).agg(pl.col("n").sum())
    values = values.sort("n", "text", descending=[True, False])
    marks, note = _marks(values, missing.CERTAIN | missing.POSSIBLE)
    present = values.filter(~pl.col("text").is_in(marks))
    if present.is_empty():
        return Column(name, "category", missing=tuple(marks), why="; ".join(part for part in (EMPTY, note) if part))
    texts, counts = present["text"], present["n"]
    draft = (
        _typed_time(name, texts, counts, dtype)
        or _boolean(name, texts, counts)
        or _shape(name, texts, counts, spelled)
        or _date(name, texts, counts, context)
        or quantity.decide(name, texts, counts)
    )
    if draft is None or draft.kind in {"code", "id"}:
        if marks and context.marks_missing_otherwise:  # "None" may be a level of its own
            certain, note = _marks(values, missing.CERTAIN)
            if len(certain) < len(marks):
                note = "; ".join(part for part in (note, KEPT) if part)
            marks = certain
            present = values.filter(~pl.col("text").is_in(marks))
            texts, counts = present["text"], present["n"]
        draft = draft or _words(name, texts, counts)
    own = [mark for mark in draft.missing if mark not in marks]
    n_blank = context.n_rows - int(values["n"].sum() or 0)
    held = values.filter(pl.col("text").is_in([*marks, *own]))["n"].max()
    blank_first = n_blank > (held if isinstance(held, int) else 0)
    tokens = (*marks, *own)
    if tokens and (blank_first or not spelled or tokens == (UNREADABLE,)):
        tokens = ("", *tokens)
    why = "; ".join(part for part in (draft.why, note) if part)
    return Column(
        name,
        draft.kind,
        system=draft.system,
        disclosure=draft.disclosure,
        format=draft.format if spelled or draft.kind == "boolean" else None,
        missing=tokens,
        why=why,
    )


def _marks(values: pl.DataFrame, vocabulary: frozenset[str]) -> tuple[list[str], str]:
    """Return the texts that are marks for missing, the commonest first, and a note of how many cells hold them."""
    marks = values.filter(pl.col("text").str.to_lowercase().is_in(list(vocabulary)))
    return marks["text"].to_list(), f"{int(marks['n'].sum()):,} cells hold a mark for missing" if marks.height else ""


def _typed_time(name: str, texts: pl.Series, counts: pl.Series, dtype: pl.DataType) -> Column | None:
    if dtype == pl.Date:
        return Column(name, "date", why="the source holds dates")
    if isinstance(dtype, pl.Datetime):
        zone = ", turned to UTC" if dtype.time_zone else ""
        if texts.str.ends_with("T00:00:00.000000").all():
            return Column(name, "date", why=f"the source holds date and time, always midnight{zone}")
        return Column(name, "datetime", why=f"the source holds date and time{zone}")
    if dtype == pl.Boolean:
        return Column(name, "boolean", why="the source holds booleans")
    return None


def _boolean(name: str, texts: pl.Series, counts: pl.Series) -> Column | None:
    if texts.str.to_lowercase().n_unique() > 4:
        return None
    found = spelling.boolean_spelling(texts, counts)
    if found is not None:
        return Column(name, "boolean", format=found, why=f"two words for yes and no, written {found}")
    if len(texts) == 3:  # 0, 1 and a negative mark for missing
        numbers = spelling.numbers(texts, None)
        if numbers.null_count() == 0:
            marks = missing.numeric_marks(numbers.to_numpy(), counts.to_numpy())
            rest = [text for text, number in zip(texts, numbers) if number not in marks]
            pair = spelling.boolean_spelling(pl.Series(rest), pl.Series([1] * len(rest))) if len(rest) == 2 else None
            if pair is not None:
                kept = tuple(text for text, number in zip(texts, numbers) if number in marks)
                return Column(
                    name, "boolean", format=pair, missing=kept, why=f"{pair} besides a number that marks missing"
                )
    return None


def _shape(name: str, texts: pl.Series, counts: pl.Series, spelled: bool) -> Column | None:
    found = codes.find(name, texts, counts)
    if found is not None:
        disclosure: Disclosure = "direct" if found.direct else "none"
        return Column(
            name, found.kind, system=found.system, disclosure=disclosure, why=f"cells look like {found.label}"
        )
    if not spelled:
        return None
    zeros = int(counts.filter(texts.str.contains(r"^0\d+$")).sum() or 0)
    digits = int(counts.filter(texts.str.contains(r"^\d+$")).sum() or 0)
    total = int(counts.sum())
    if digits >= quantity.READABLE_SHARE * total and zeros >= max(1, 0.002 * total):
        if len(texts) >= 0.9 * total and len(texts) > 20:
            return Column(name, "id", why="digits with leading zeros, almost all different")
        widths = texts.str.len_chars().n_unique()
        named = "code" in w.tokens(name)
        kind: Kind = "code" if widths == 1 or len(texts) > 20 or named else "category"
        return Column(name, kind, why="digits with leading zeros: a code, not a number")
    if texts.str.contains(r"^\d{20,}$").any() and digits >= quantity.READABLE_SHARE * total:
        return Column(name, "id", why="whole numbers of more than 19 digits")
    return None


def _date(name: str, texts: pl.Series, counts: pl.Series, context: Context) -> Column | None:
    found = dates.find(texts, counts, day_first=context.day_first)
    if found is None or found.share < quantity.READABLE_SHARE:
        return None
    total = int(counts.sum())
    if found.n_far > 0.5 * total:
        return None
    lost = found.n_bad + found.n_far
    why = ["dates and times" if found.has_time else "dates"]
    if found.note:
        why.append(found.note)
    if found.zoned:
        why.append("offsets turned to UTC")
    if "|" in found.format:
        why.append("written in several ways")
    if found.n_bad:
        why.append(f"{found.n_bad:,} cells that are no date count as missing")
    if found.n_far:
        why.append(f"{found.n_far:,} dates before {dates.FIRST_YEAR} or after {dates.LAST_YEAR} count as missing")
    midnight = found.has_time and bool((dates.parse(texts, found.format).dt.time().drop_nulls() == time(0)).all())
    if midnight:
        why.append("the time of day is always midnight")
    kind: Kind = "datetime" if found.has_time and not midnight else "date"
    own = (UNREADABLE,) if lost else ()
    return Column(name, kind, format=found.format, missing=own, why="; ".join(why))


def _words(name: str, texts: pl.Series, counts: pl.Series) -> Column:
    words = w.tokens(name)
    n, k = int(counts.sum()), len(texts)
    digits = int(counts.filter(texts.str.contains(r"^[+-]?\d+([.,]\d+)?$")).sum() or 0)
    mixed = f"; mixed: {100 * digits / n:.0f} % of the cells are numbers, the rest words" if digits >= 0.05 * n else ""
    if _is_name(words) and digits < 0.05 * n and k > 1:
        return Column(name, "text", disclosure="direct", why="names of persons, by the column's name")
    if w.has(words, w.DIRECT) and k > max(10, 0.1 * n):
        kind: Kind = "text" if _share(texts.str.contains(r"\s")) > 0.5 else "id"
        return Column(name, kind, disclosure="direct", why="a direct identifier, by the column's name")
    if k >= 5 and codes.is_addresses(texts, counts):
        return Column(name, "text", disclosure="direct", why="cells look like street addresses")
    spaces = float((texts.str.count_matches(r"\s+") * counts).sum()) / n
    length = float((texts.str.len_chars() * counts).sum()) / n
    if (k > MANY_LEVELS * n or (k > 50 and w.has(words, w.FREE_TEXT))) and (spaces >= 3 or length > 60):
        return Column(name, "text", disclosure="direct", why=f"free text: {spaces + 1:.0f} words on average{mixed}")
    if length > 100 and k > 20:
        return Column(name, "text", disclosure="direct", why=f"free text: {spaces + 1:.0f} words on average{mixed}")
    if texts.str.contains(_CLOCK).all():
        return Column(name, "category", why=f"times of day, {k} different")
    if k > MANY_LEVELS * n and k >= 10:
        if codes.is_person_names(texts, counts) and not w.has(words, w.THING | w.CODED):
            return Column(name, "text", disclosure="direct", why="cells look like names of persons")
        if _share(texts.str.contains(r"\s")) < 0.1 and (_share(texts.str.contains(r"\d")) > 0.5 or w.is_row_key(words)):
            return Column(name, "id", disclosure="direct", why="letters and digits, almost all different")
        if k > 0.9 * n or spaces >= 2:
            return Column(name, "text", disclosure="direct", why=f"words, almost all different{mixed}")
    if (
        w.is_row_key(words)
        and k > 50
        and _share(texts.str.contains(r"\d")) > 0.5
        and _share(texts.str.contains(r"\s")) < 0.1
    ):
        return Column(name, "id", why="letters and digits under a name of keys")
    if (
        w.has(words, frozenset({"icd", "code", "codes", "drg", "atc"}))
        and spaces < 0.1
        and words[-1] not in {"type", "name"}
    ):
        return Column(name, "code", why="codes, by the column's name")
    if k == 1:
        return Column(name, "category", why="constant: one level")
    why = f"{k} levels in {n:,} cells"
    return Column(name, "category", why=why + ("; many levels" if k > 100 else "") + mixed)


def _is_name(words: tuple[str, ...]) -> bool:
    if w.has(words, w.THING):
        return False
    if set(words) <= w.GIVEN_NAME | {"name", "names", "patient", "nm"} and w.has(
        words, w.GIVEN_NAME | {"name", "names"}
    ):
        return True
    return bool(words) and words[-1] in {"name", "names"} and w.has(words, w.GIVEN_NAME | w.NAME_OF)


def _share(mask: pl.Series) -> float:
    return int(mask.sum() or 0) / max(1, len(mask))
