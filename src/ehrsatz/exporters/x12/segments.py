"""Segments of X12 as expressions over columns, what their elements may hold, and the envelopes round them."""

from __future__ import annotations

import polars as pl

from ehrsatz.layouts.x12 import (
    COMPONENT,
    ELEMENT,
    LETTERS,
    MOST,
    NO_NAME,
    REPEAT,
    SEGMENT,
    SENDER,
    STATES,
)

Part = str | pl.Expr

_PLAIN = {  # letters that do not fall into a base letter and a mark
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
    "Œ": "OE",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ð": "d",
    "Ð": "D",
    "þ": "th",
    "Þ": "Th",
    "ı": "i",
    "\u2019": "'",
    "\u2018": "'",
    "\u2013": "-",
    "\u2014": "-",
}


def clean(cell: str | pl.Expr, most: int) -> pl.Expr:
    """Return text in the characters of X12: marks taken off letters, the rest left out; missing where none stays."""
    text = pl.col(cell) if isinstance(cell, str) else cell
    plain = text.str.replace_many(list(_PLAIN), list(_PLAIN.values())).str.normalize("NFKD")
    kept = plain.str.replace_all(f"[^{LETTERS}]", "").str.strip_chars().str.slice(0, most).str.strip_chars()
    return pl.when(kept != "").then(kept)


def fits(column: str, table: str) -> pl.Expr:
    """Say whether a key can stand in its element as it is; a missing one cannot."""
    cell = pl.col(column)
    plain = cell.str.contains(f"^[{LETTERS}]+$") & (cell.str.strip_chars() == cell)
    return (plain & (cell.str.len_chars() <= MOST[table])).fill_null(False)


def segment(name: str, *elements: Part) -> pl.Expr:
    """Return a segment; what is missing is an empty element, and empty ones at the end are left out."""
    parts: list[pl.Expr] = [pl.lit(name)]
    for one in elements:
        parts.append(pl.lit(ELEMENT))
        parts.append(pl.lit(one) if isinstance(one, str) else one.fill_null(""))
    return pl.concat_str([pl.concat_str(parts).str.strip_chars_end(ELEMENT), pl.lit(SEGMENT)])


def given(condition: pl.Expr, *parts: pl.Expr) -> pl.Expr:
    """Return segments where a condition holds, and nothing elsewhere."""
    return pl.when(condition).then(pl.concat_str(list(parts))).otherwise(pl.lit(""))


def plain(name: str, *elements: str) -> str:
    """Return a segment that is the same everywhere."""
    return ELEMENT.join((name, *elements)).rstrip(ELEMENT) + SEGMENT


def composite(*parts: Part) -> pl.Expr:
    """Return a composite element."""
    out: list[pl.Expr] = []
    for one in parts:
        out += [pl.lit(COMPONENT), pl.lit(one) if isinstance(one, str) else one.fill_null("")]
    return pl.concat_str(out[1:]).str.strip_chars_end(COMPONENT)


def amount(cell: str | pl.Expr) -> pl.Expr:
    """Return money without needless zeros, 0 where it is missing."""
    value = pl.col(cell) if isinstance(cell, str) else cell
    return value.fill_null(0.0).cast(pl.String).str.strip_suffix(".0").str.replace("^-0$", "0")


def day(column: str) -> pl.Expr:
    """Return the date of a time or date as CCYYMMDD; missing where it is."""
    return pl.col(column).dt.to_string("%Y%m%d")


def second(column: str) -> pl.Expr:
    """Return a time to the second, and to the microsecond where it has a part of one; missing where it is."""
    time = pl.col(column)
    rest = pl.when(time.dt.microsecond() != 0).then(time.dt.to_string("%.6f")).otherwise(pl.lit(""))
    return pl.concat_str(time.dt.to_string("%Y%m%d%H%M%S"), rest)


def npi(column: str) -> pl.Expr:
    """Return an identifier that has the form of an NPI, ten digits; missing elsewhere."""
    return pl.when(pl.col(column).str.contains(r"^\d{10}$")).then(pl.col(column))


def tax(column: str) -> pl.Expr:
    """Return a tax number that is given to nobody (prefix 00), made of an identifier."""
    digits = pl.col(column).str.replace_all(r"\D", "").str.tail(7)
    return pl.concat_str([pl.lit("00"), digits.fill_null("").str.pad_start(7, "0")])


def named(code: str, kind: str, last: Part, first: Part, qualifier: pl.Expr | str, identifier: pl.Expr) -> pl.Expr:
    """Return NM1; qualifier and identifier stand both or not at all."""
    held = identifier.is_not_null()
    mark = pl.lit(qualifier) if isinstance(qualifier, str) else qualifier
    return segment("NM1", code, kind, last, first, "", "", "", pl.when(held).then(mark), identifier)


def address(line: str, city: str, region: str, postal: str) -> pl.Expr:
    """Return N3 and N4; a US postal code without its last four digits gets 9998, as unknown ones do."""
    state = pl.when(pl.col(region).is_in(STATES)).then(pl.col(region))
    code = clean(postal, 15)
    whole = (
        pl.when(code.str.contains(r"^\d{5}$"))
        .then(pl.concat_str([code, pl.lit("9998")]))
        .otherwise(code.str.replace_all("-", ""))
    )
    inside = state.is_not_null()
    return pl.concat_str(
        segment("N3", clean(line, 55).fill_null(NO_NAME)),
        segment(
            "N4",
            clean(city, 30).str.pad_end(2, ".").fill_null(NO_NAME),
            state,
            pl.when(inside).then(whole),
        ),
    )


# ---------------------------------------------------------------------- envelopes
def transaction(kind: str, version: str, body: str, number: pl.Expr) -> pl.Expr:
    """Return ST to SE round a column; the number of segments is counted."""
    third = f"{ELEMENT}{version}" if kind == "837" else ""
    text = pl.concat_str([pl.lit(f"ST{ELEMENT}{kind}{ELEMENT}"), number, pl.lit(f"{third}{SEGMENT}"), pl.col(body)])
    count = text.str.count_matches(SEGMENT, literal=True) + 1
    return pl.concat_str([text, segment("SE", count.cast(pl.String), number)])


def interchange(frame: pl.DataFrame, *, kind: str, version: str, sender: pl.Expr, receiver: pl.Expr, first: int) -> str:
    """Return all interchanges of a frame: columns text (its transactions), n, "(date)" as CCYYMMDD, one row each."""
    number = (pl.int_range(pl.len()) + first).cast(pl.String)
    control = number.str.pad_start(9, "0")
    group = {"837": "HC", "835": "HP"}[kind]
    isa = pl.concat_str(
        pl.lit(f"ISA*00*{'':10}*00*{'':10}*ZZ*"),
        sender.str.pad_end(15, " ").str.slice(0, 15),
        pl.lit("*ZZ*"),
        receiver.str.pad_end(15, " ").str.slice(0, 15),
        pl.lit("*"),
        pl.col("(date)").str.slice(2),
        pl.lit(f"*0000*{REPEAT}*00501*"),
        control,
        pl.lit(f"*0*T*{COMPONENT}{SEGMENT}"),
    )
    gs = segment("GS", group, sender, receiver, pl.col("(date)"), "0000", number, "X", version)
    end = pl.concat_str(
        segment("GE", pl.col("n").cast(pl.String), number), pl.lit(f"IEA{ELEMENT}1{ELEMENT}"), control, pl.lit(SEGMENT)
    )
    whole = frame.select(pl.concat_str(isa, gs, pl.col("text"), end).alias("text"))["text"]
    return "".join(f"{one}\n" for one in whole).replace(SEGMENT, f"{SEGMENT}\n").replace("\n\n", "\n")


def nothing(number: int) -> str:
    """Return an interchange without a group: what stands for no claims at all."""
    control = f"{number:09d}"
    return (
        f"ISA*00*{'':10}*00*{'':10}*ZZ*{SENDER:15}*ZZ*{SENDER:15}*000101*0000*{REPEAT}*00501*{control}*0*T*{COMPONENT}"
        f"{SEGMENT}\nIEA*0*{control}{SEGMENT}\n"
    )
