"""How dates and times are spelled, and which reading of an ambiguous day and month fits.

A column has one spelling, or a few in the order of their frequency joined by "|". The plausible years are 1800 to
2300: de-identified records (MIMIC) are shifted up to two centuries ahead, and ages above 89 a century back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import polars as pl

FIRST_YEAR, LAST_YEAR = 1800, 2300
_DAYS = (  # (strptime, regex); the order is the preference among equals
    ("%Y-%m-%d", r"\d{4}-\d{1,2}-\d{1,2}"),
    ("%Y/%m/%d", r"\d{4}/\d{1,2}/\d{1,2}"),
    ("%Y.%m.%d", r"\d{4}\.\d{1,2}\.\d{1,2}"),
    ("%Y%m%d", r"\d{8}"),
    ("%d.%m.%Y", r"\d{1,2}\.\d{1,2}\.\d{4}"),
    ("%m/%d/%Y", r"\d{1,2}/\d{1,2}/\d{4}"),
    ("%d/%m/%Y", r"\d{1,2}/\d{1,2}/\d{4}"),
    ("%d-%m-%Y", r"\d{1,2}-\d{1,2}-\d{4}"),
    ("%m-%d-%Y", r"\d{1,2}-\d{1,2}-\d{4}"),
    ("%d-%b-%Y", r"\d{1,2}-[A-Za-z]{3}-\d{4}"),
    ("%d %b %Y", r"\d{1,2} [A-Za-z]{3} \d{4}"),
    ("%d %B %Y", r"\d{1,2} [A-Za-z]{3,9} \d{4}"),
    ("%b %d, %Y", r"[A-Za-z]{3} \d{1,2}, \d{4}"),
    ("%B %d, %Y", r"[A-Za-z]{3,9} \d{1,2}, \d{4}"),
    ("%d%b%Y", r"\d{1,2}[A-Za-z]{3}\d{4}"),
    ("%d.%m.%y", r"\d{1,2}\.\d{1,2}\.\d{2}"),
    ("%m/%d/%y", r"\d{1,2}/\d{1,2}/\d{2}"),
    ("%d/%m/%y", r"\d{1,2}/\d{1,2}/\d{2}"),
    ("%d-%b-%y", r"\d{1,2}-[A-Za-z]{3}-\d{2}"),
)
_TIMES = (
    ("", ""),
    ("%H:%M:%S", r"\d{1,2}:\d{2}:\d{2}"),
    ("%H:%M", r"\d{1,2}:\d{2}"),
    ("%H:%M:%S%.f", r"\d{1,2}:\d{2}:\d{2}[.]\d{1,9}"),
    ("%I:%M %p", r"\d{1,2}:\d{2} [AaPp][Mm]"),
    ("%I:%M:%S %p", r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]"),
    ("%H%M", r"\d{4}"),
)
_ZONES = (("", ""), ("Z", r"(?:Z|[+-]\d{2}:?\d{2})"))  # "Z" also reads offsets, which are turned to UTC
_TWIN = {"%m/%d/%Y": "%d/%m/%Y", "%d-%m-%Y": "%m-%d-%Y", "%m/%d/%y": "%d/%m/%y"}
ISO = "|".join(["%Y-%m-%d", *(f"%Y-%m-%d{gap}%H:%M{rest}" for gap in "T " for rest in ("", ":%S", ":%S%.f"))])


@dataclass(frozen=True)
class Spelling:
    """How a column writes dates: strptime formats joined by "|", whether they hold a time of day, what they read.

    n_bad counts rows that no format reads, n_far rows whose year is outside FIRST_YEAR to LAST_YEAR; `zoned` tells
    whether cells name an offset from UTC, `note` what was decided between day first and month first.
    """

    format: str
    has_time: bool
    share: float
    n_bad: int
    n_far: int
    zoned: bool = False
    note: str = ""


def _patterns() -> list[tuple[str, str]]:
    found = []
    for (day, day_regex), (time, time_regex), (zone, zone_regex) in product(_DAYS, _TIMES, _ZONES):
        if not time:
            if not zone:
                found.append((day, f"^{day_regex}$"))
            continue
        if time == "%H%M" and day != "%Y%m%d":
            continue
        for gap in ("T", " "):
            found.append((f"{day}{gap}{time}{zone}", f"^{day_regex}{gap}{time_regex}{zone_regex}$"))
    return found


PATTERNS = _patterns()
_REGEX = dict(PATTERNS)
_COMPILED = [(format_, re.compile(regex)) for format_, regex in PATTERNS]


def parse(texts: pl.Series, spelling: str | None) -> pl.Series:
    """Read texts as date and time by a spelling; null where none of its formats fits or the year is implausible.

    Parameters
    ----------
    texts
        Stripped texts, shape (K,).
    spelling
        Formats joined by "|"; None means ISO 8601. Cells with an offset are turned to UTC.

    Returns
    -------
    Datetime("us") without zone, shape (K,).
    """
    return _parse_any(texts, spelling, bounded=True)


def find(texts: pl.Series, counts: pl.Series, *, day_first: bool | None = None) -> Spelling | None:
    """Return the spelling of a column of dates, or None where fewer than half of its cells look like dates.

    Parameters
    ----------
    texts
        Distinct stripped texts, shape (K,), none null.
    counts
        Rows that hold each, shape (K,).
    day_first
        What other columns of the table show; used only where this column's own cells allow both readings.
    """
    total = int(counts.sum() or 0)
    looks = texts.str.contains(
        r"^(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{8}|\d{1,2}[- ]?[A-Za-z]{3,9}[- ]?\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4})"
    )
    if not total or float(counts.filter(looks).sum() or 0) < 0.5 * total:
        return None
    shapes = texts.str.replace_all(r"\d+", "0").str.replace_all(r"[A-Za-z]+", "a")
    kinds = (
        pl.DataFrame({"shape": shapes, "text": texts, "n": counts})
        .group_by("shape", maintain_order=True)
        .agg(pl.col("n").sum(), pl.col("text").first())
        .sort("n", descending=True, maintain_order=True)
        .head(12)
    )
    some = kinds["text"].to_list()
    candidates = [format_ for format_, pattern in _COMPILED if any(pattern.match(text) for text in some)]
    chosen: list[str] = []
    notes: list[str] = []
    left = pl.Series(values=[True] * len(texts), dtype=pl.Boolean)
    while candidates and len(chosen) < 4:
        scored = []
        for format_ in candidates:
            read = _parse_any(texts, format_, bounded=False).is_not_null() & left
            scored.append((int(counts.filter(read).sum() or 0), format_, read))
        most = max(score for score, _, _ in scored)
        if most < max(1, 0.01 * total):
            break
        _, format_, read = next(entry for entry in scored if entry[0] == most)
        format_, read, note = _settle(format_, read, scored, most, day_first)
        if note:
            notes.append(note)
        chosen.append(format_)
        left = left & ~read
        candidates = [other for other in candidates if other != format_]
        if not left.any():
            break
    if not chosen:
        return None
    spelling = "|".join(chosen)
    read_all = _parse_any(texts, spelling, bounded=False)
    inside = parse(texts, spelling)
    n_bad = int(counts.filter(read_all.is_null()).sum() or 0)
    n_far = int(counts.filter(read_all.is_not_null() & inside.is_null()).sum() or 0)
    if any(format_ == "%Y%m%d" for format_ in chosen) and n_bad + n_far > 0.01 * total:
        return None  # eight digits that are not dates throughout are numbers
    return Spelling(
        format=spelling,
        has_time=any("%H" in format_ or "%I" in format_ for format_ in chosen),
        share=1 - n_bad / total,
        n_bad=n_bad,
        n_far=n_far,
        zoned=any(format_.endswith("Z") for format_ in chosen),
        note="; ".join(notes),
    )


def is_day_first(spelling: str) -> bool | None:
    """Say whether a spelling with day and month in figures puts the day first; None where it says neither."""
    first = spelling.split("|")[0]
    if first.startswith(("%d/%m", "%d-%m", "%d.%m")):
        return True
    return False if first.startswith(("%m/%d", "%m-%d")) else None


def _settle(
    format_: str,
    read: pl.Series,
    scored: list[tuple[int, str, pl.Series]],
    most: int,
    day_first: bool | None,
) -> tuple[str, pl.Series, str]:
    for one, other in _TWIN.items():
        if not format_.startswith((one, other)):
            continue
        tail = format_[len(one) :]
        twin = {name: (score, mask) for score, name, mask in scored if name in {one + tail, other + tail}}
        if len(twin) < 2 or {score for score, _ in twin.values()} != {most}:
            kind = "day" if format_.startswith("%d") else "month"
            return format_, read, f"some cells can only be {kind} first"
        wanted_day = day_first if day_first is not None else one.startswith("%d")
        pick = next(name for name in twin if name.startswith("%d") == wanted_day)
        source = "as other columns show" if day_first is not None else "the usual reading of this mark"
        order = "day" if wanted_day else "month"
        return pick, twin[pick][1], f"day and month could be either way round, taken {order} first, {source}"
    return format_, read, ""


def _parse_any(texts: pl.Series, spelling: str | None, *, bounded: bool) -> pl.Series:
    out = pl.Series(values=[None] * len(texts), dtype=pl.Datetime("us"))
    for format_ in (spelling or ISO).split("|"):
        regex = _REGEX.get(format_)
        part = texts if regex is None else texts.set(~texts.str.contains(regex).fill_null(False), None)
        out = out.fill_null(_parse_one(part, format_))
    if bounded:
        low, high = datetime(FIRST_YEAR, 1, 1), datetime(LAST_YEAR, 12, 31, 23, 59, 59)
        out = out.set(~out.is_between(low, high).fill_null(True), None)
    return out


def _parse_one(texts: pl.Series, format_: str) -> pl.Series:
    if "%H" not in format_ and "%I" not in format_:
        return texts.str.to_date(format_, strict=False).cast(pl.Datetime("us"))
    if format_.endswith("Z"):
        zoned = texts.str.replace("Z$", "+00:00").str.to_datetime(f"{format_[:-1]}%#z", time_unit="us", strict=False)
        return zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return texts.str.to_datetime(format_, time_unit="us", strict=False)
