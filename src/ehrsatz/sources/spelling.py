"""How cells are spelled: numbers with thousands marks, decimal commas, currency or percent; booleans as words.

A number's spelling is a short pattern, stored in `Column.format`: an optional currency sign, then one of "" (plain),
".0" (whole numbers written 145.0), "," (thousands: 1,234), ",.0", "0,0" (decimal comma) or "0.000,0" (decimal comma
with thousands points), then an optional "%".
"""

from __future__ import annotations

import re

import polars as pl

from ehrsatz.schema import NUMBER_FORMAT, boolean_words

PAIRS = (  # (true, false), folded to lower case
    ("yes", "no"),
    ("y", "n"),
    ("true", "false"),
    ("t", "f"),
    ("1", "0"),
    ("1.0", "0.0"),
    ("ja", "nein"),
    ("j", "n"),
    ("oui", "non"),
    ("si", "no"),
    ("sí", "no"),
)
_PLAIN = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_THOUSANDS = r"^[+-]?(?:\d{1,3}(?:,\d{3})*|\d+)(?:\.\d*)?$"
_COMMA_THOUSANDS = r"^[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?$"
_COMMA_DECIMAL = r"^[+-]?\d+,\d+$"
_POINT_THOUSANDS = r"^[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?$"


def numbers(texts: pl.Series, spelling: str | None) -> pl.Series:
    """Read texts as finite numbers by a spelling; null where a text cannot be read or is infinite.

    Parameters
    ----------
    texts
        Stripped texts, shape (K,).
    spelling
        A pattern of this module; None means plain.

    Returns
    -------
    Float64, shape (K,).
    """
    core, pattern = _core(texts, spelling)
    read = core.set(~core.str.contains(pattern).fill_null(False), None).cast(pl.Float64, strict=False)
    return read.set(~read.is_finite().fill_null(True), None)


def integers(texts: pl.Series, spelling: str | None) -> pl.Series:
    """Read texts as whole numbers by a spelling, exactly; null where a text is no whole number of 64 bits."""
    core, pattern = _core(texts, spelling)
    core = core.set(~core.str.contains(pattern).fill_null(False), None)
    exact = core.str.replace(r"\.0*$", "").str.strip_prefix("+").cast(pl.Int64, strict=False)
    loose = core.cast(pl.Float64, strict=False)
    loose = loose.set(~((loose == loose.round(0)) & (loose.abs() < 2**53)).fill_null(False), None)
    return exact.fill_null(loose.cast(pl.Int64, strict=False))


def number_spelling(texts: pl.Series, counts: pl.Series) -> tuple[str, float]:
    """Return the spelling that reads most cells as numbers, and the share of cells that it reads, in [0, 1].

    Parameters
    ----------
    texts
        Distinct stripped texts, shape (K,).
    counts
        Rows that hold each, shape (K,).
    """
    total = int(counts.sum() or 0)
    if not total:
        return "", 0.0

    def share(mask: pl.Series) -> float:
        return float(counts.filter(mask.fill_null(False)).sum() or 0) / total

    sign = next((mark for mark in "$€£¥" if share(texts.str.contains(mark, literal=True)) > 0.5), "")
    percent = "%" if share(texts.str.ends_with("%")) > 0.5 else ""
    core = texts.str.replace_all(rf"[{re.escape(sign)}\s]", "") if sign else texts
    core = core.str.strip_suffix("%").str.strip_chars() if percent else core
    plain = share(core.str.contains(_PLAIN))
    best = ("", plain)
    if plain < 1 and share(core.str.contains(",", literal=True)) > 0:
        with_comma = core.filter(core.str.contains(",", literal=True))
        if with_comma.str.contains(_COMMA_THOUSANDS).mean() == 1:
            best = max(best, (",", share(core.str.contains(_THOUSANDS) | core.str.contains(_PLAIN))), key=_second)
        else:
            decimal = share(core.str.contains(_COMMA_DECIMAL) | core.str.contains(r"^[+-]?\d+$"))
            grouped = share(core.str.contains(_POINT_THOUSANDS))
            best = max(best, ("0,0", decimal), ("0.000,0", grouped), key=_second)
    style, read = best
    if style in {"", ","} and read and share(core.str.ends_with(".0")) > 0.5:
        whole = numbers(texts, f"{sign}{style}{percent}").drop_nulls()
        if (whole == whole.round(0)).all():
            style += ".0"
    return f"{sign}{style}{percent}", read


def boolean_spelling(texts: pl.Series, counts: pl.Series) -> str | None:
    """Return how two distinct words spell true and false, as "Y/N" or "0/1", or None.

    The commonest spelling of each word is taken; both words must occur.
    """
    best: dict[str, str] = {}
    for text, _ in sorted(zip(texts.to_list(), counts.to_list()), key=lambda pair: (-pair[1], pair[0])):
        best.setdefault(text.casefold(), text)
    for true, false in PAIRS:
        if set(best) == {true, false}:
            return f"{best[false]}/{best[true]}" if true in {"1", "1.0"} else f"{best[true]}/{best[false]}"
    return None


def booleans(texts: pl.Series, spelling: str | None) -> pl.Series:
    """Read texts as booleans by a spelling such as "Y/N"; None takes every pair of words known here.

    The usual word for yes is true wherever it stands; of two unknown words the first is true.
    """
    folded = texts.str.to_lowercase()
    if spelling is None:
        true = [pair[0] for pair in PAIRS]
        false = [pair[1] for pair in PAIRS]
    else:
        first, second = (word.casefold() for word in boolean_words(spelling))
        true, false = [first], [second]
        if {first, second} == {"1", "0"}:  # the same column may write 1 or 1.0
            true, false = ["1", "1.0", "true"], ["0", "0.0", "false"]
    words = {**dict.fromkeys(false, False), **dict.fromkeys(true, True)}
    return folded.replace_strict(list(words), list(words.values()), default=None, return_dtype=pl.Boolean)


def _core(texts: pl.Series, spelling: str | None) -> tuple[pl.Series, str]:
    match = NUMBER_FORMAT.fullmatch(spelling or "")
    sign, style, percent = match.group("sign", "style", "percent") if match else ("", "", "")
    core = texts.str.replace_all(rf"[{re.escape(sign)}\s]", "") if sign else texts
    core = core.str.strip_suffix("%").str.strip_chars() if percent else core
    if style in {",", ",.0"}:
        keep = core.str.contains(_THOUSANDS) | core.str.contains(_PLAIN)
        core = core.set(~keep.fill_null(False), None).str.replace_all(",", "", literal=True)
    elif style in {"0,0", "0.000,0"}:
        keep = core.str.contains(_COMMA_DECIMAL if style == "0,0" else _POINT_THOUSANDS) | core.str.contains(
            r"^[+-]?\d+$"
        )
        core = core.set(~keep.fill_null(False), None).str.replace_all(".", "", literal=True).str.replace(",", ".")
    return core, _PLAIN


def _second(pair: tuple[str, float]) -> float:
    return pair[1]
