"""JSON text out of columns: objects, arrays and the datatypes of FHIR as Polars expressions, no row in Python.

Every function returns an expression of JSON text that is null where there is nothing to say; `thing` and `many` leave
out what is null, `glue` is null when any piece is. Text columns are escaped beforehand (`escape`), so that they need
only quotes here.

References
----------
HL7, FHIR R4 (4.0.1), http://hl7.org/fhir/R4/json.html and http://hl7.org/fhir/R4/datatypes.html.
"""

from __future__ import annotations

import polars as pl

BASE = "https://ehrsatz.org/fhir/"  # an identifier: nothing is served there
TERMS = "http://terminology.hl7.org/CodeSystem/"
SNOMED_URI, LOINC_URI, UCUM_URI = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
ABSENT = '{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}'
UNKNOWN = f'{{"coding":[{{"system":"{TERMS}data-absent-reason","code":"unknown"}}]}}'

Piece = pl.Expr | str  # an expression of JSON text, or JSON text that is the same in all rows

_CONTROL = [chr(code) for code in range(32)] + ["\x7f", "\x85", "\u2028", "\u2029"]  # the last three end lines for some
_SPECIAL = ["\\", '"', *_CONTROL]
_ESCAPED = ["\\\\", '\\"', *(f"\\u{ord(sign):04x}" for sign in _CONTROL)]


def escape(texts: pl.Series) -> pl.Series:
    """Return texts as they stand between the quotes of a JSON string; an empty text, which FHIR has not, as null."""
    if (texts == "").any():
        texts = texts.set(texts == "", None)
    if not texts.str.contains_any(_SPECIAL).any():
        return texts
    return texts.str.replace_many(_SPECIAL, _ESCAPED)


# ---------------------------------------------------------------------- pieces
def expression(piece: Piece) -> pl.Expr:
    """Return a piece as an expression."""
    return pl.lit(piece) if isinstance(piece, str) else piece


def glue(*pieces: Piece) -> pl.Expr:
    """Return the pieces one after another; null where any is null."""
    return pl.concat_str([expression(piece) for piece in pieces])


def field(name: str, value: Piece | None) -> Piece | None:
    """Return `"name":value`; None where there is no value in any row."""
    if value is None:
        return None
    return f'"{name}":{value}' if isinstance(value, str) else glue(f'"{name}":', value)


def thing(*fields: Piece | None) -> pl.Expr:
    """Return an object of the fields that are not null; null where all are."""
    return _enclosed("{", fields, "}")


def many(*items: Piece | None) -> pl.Expr:
    """Return an array of the items that are not null; null where all are."""
    return _enclosed("[", items, "]")


def _enclosed(opening: str, parts: tuple[Piece | None, ...], closing: str) -> pl.Expr:
    kept = [part for part in parts if part is not None]
    inner = pl.concat_str([expression(part) for part in kept], separator=",", ignore_nulls=True)
    if not any(isinstance(part, str) for part in kept):
        inner = inner.replace("", None)  # nothing was there
    return pl.concat_str([pl.lit(opening), inner, pl.lit(closing)])


def text(column: str | pl.Expr) -> pl.Expr:
    """Return an (escaped) text in quotes."""
    return glue('"', pl.col(column) if isinstance(column, str) else column, '"')


def number(column: str | pl.Expr) -> pl.Expr:
    """Return a number with as many digits as tell it from all others."""
    return (pl.col(column) if isinstance(column, str) else column).cast(pl.String)


def moment(column: str | pl.Expr) -> pl.Expr:
    """Return a time as dateTime in quotes, with an offset, and a fraction of a second where it has one."""
    cell = pl.col(column) if isinstance(column, str) else column
    return glue('"', cell.dt.to_string("%Y-%m-%dT%H:%M:%S%.f+00:00"), '"')


def day(column: str | pl.Expr) -> pl.Expr:
    """Return the day of a date or a time, in quotes."""
    return glue('"', (pl.col(column) if isinstance(column, str) else column).dt.to_string("%Y-%m-%d"), '"')


def word(column: str, forms: dict[str, str]) -> pl.Expr:
    """Return for each word of a column the JSON text that stands for it; null for others."""
    return pl.col(column).replace_strict(forms, default=None, return_dtype=pl.String)


# ---------------------------------------------------------------------- datatypes
def coding(system: str, code: str, display: str | None = None) -> str:
    """Return a fixed Coding."""
    shown = "" if display is None else f',"display":"{display}"'
    return f'{{"system":"{system}","code":"{code}"{shown}}}'


def concept(*codings: Piece | None, shown: Piece | None = None) -> pl.Expr:
    """Return a CodeableConcept of the codings and the text that are there."""
    return thing(field("coding", many(*codings)) if codings else None, field("text", shown))


def coded(*more: Piece | None) -> pl.Expr:
    """Return the CodeableConcept of a row's own system, code and display, with further codings after it."""
    own = thing(
        field("system", text("system:uri")), field("code", text("code")), field("display", text("display"))
    )  # display and system also without a code: nothing is lost
    return concept(own, *more, shown=text("display"))


def period(start: str, stop: str) -> pl.Expr:
    """Return a Period of two times."""
    return thing(field("start", moment(start)), field("end", moment(stop)))


def quantity(value: str, unit: str | None = None) -> pl.Expr:
    """Return a Quantity where there is a value; `unit` names a column whose `<unit>:json` holds the unit's fields."""
    parts = [field("value", number(value)), pl.col(f"{unit}:json") if unit else None]
    return pl.when(pl.col(value).is_not_null()).then(thing(*parts))


def money(column: str) -> pl.Expr:
    """Return Money in US dollars."""
    return glue('{"value":', number(column), ',"currency":"USD"}')


def reference(kind: str, column: str) -> pl.Expr:
    """Return a literal reference to a resource of a kind, by the id that `<column>:id` holds."""
    return glue(f'{{"reference":"{kind}/', pl.col(f"{column}:id"), '"}')


def extension(name: str, kind: str, value: Piece) -> Piece:
    """Return an extension of ours with a value of a kind, as in ("income", "Money", ...)."""
    head = f'{{"url":"{BASE}StructureDefinition/{name}","value{kind}":'
    return f"{head}{value}}}" if isinstance(value, str) else glue(head, value, "}")


def identifier(name: str, column: str) -> pl.Expr:
    """Return an Identifier of one of our systems."""
    return glue(f'{{"system":"{BASE}identifier/{name}","value":', text(column), "}")
