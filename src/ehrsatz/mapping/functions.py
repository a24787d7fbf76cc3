"""The functions of the small language: which kinds they take, which they give, and as what Polars computes them.

Missing stays missing: a function of a missing cell is missing, but for those that ask about it. A conversion that
cannot read a cell gives a missing one and marks it as lost; the marks go with the result, so that it is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import polars as pl

Kind = Literal["text", "integer", "number", "boolean", "date", "datetime", "null"]
NUMBERS, TIMES = ("integer", "number"), ("date", "datetime")
ISO_TIMES = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_SIGNS = re.compile(r"%(?:-?[dmHMSIjey]|[YbBpTFRf%]|\.\d?f|[369]f)")
_NAMES = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a day",
    "datetime": "a time",
    "null": "missing",
}


@dataclass(frozen=True)
class Term:
    """A part of an expression as Polars computes it.

    Parameters
    ----------
    cell
        The expression.
    kind
        Of its cells.
    value
        Where it is a literal: what it is; else the term itself stands in nothing.
    literal
        Whether it is one.
    lost
        True where a conversion could not read a cell.
    """

    cell: pl.Expr
    kind: Kind
    value: Any = None
    literal: bool = False
    lost: tuple[pl.Expr, ...] = ()


class Unfit(Exception):
    """Arguments that a function cannot take; `index` says which one, from 0."""

    def __init__(self, index: int, found: str, advice: str = "") -> None:
        self.index, self.found, self.advice = index, found, advice
        super().__init__(found)


def named(kind: Kind) -> str:
    """Return a kind in words."""
    return _NAMES[kind]


def literal(value: Any) -> Term:
    """Return a literal as a term."""
    kinds: tuple[tuple[type, Kind, Any], ...] = (
        (bool, "boolean", pl.Boolean),
        (int, "integer", pl.Int64),
        (float, "number", pl.Float64),
        (datetime, "datetime", pl.Datetime("us")),
        (date, "date", pl.Date),
        (str, "text", pl.String),
    )
    for cls, kind, dtype in kinds:
        if isinstance(value, cls):
            return Term(pl.lit(value, dtype), kind, value, True)
    return Term(pl.lit(None), "null", None, True)


def common(terms: Sequence[Term], first: int = 0) -> Kind:
    """Return the kind that holds all of these; `first` is the index of the first, for messages."""
    kinds = [term.kind for term in terms]
    found = {kind for kind in kinds if kind != "null"}
    if len(found) <= 1:
        return found.pop() if found else "null"
    for family, wide in ((set(NUMBERS), "number"), (set(TIMES), "datetime")):
        if found <= family:
            return wide  # type: ignore[return-value]
    leading = next(kind for kind in kinds if kind != "null")
    index = next(i for i, kind in enumerate(kinds) if kind not in {"null", leading})
    raise Unfit(
        first + index,
        f"it is {named(kinds[index])}, another part of it {named(leading)}.",
        "Convert one of them: text(x), number(x), date(x, '%d.%m.%Y').",
    )


def cast(term: Term, kind: Kind) -> pl.Expr:
    """Return the cells of a term in a wider kind, as `common` gives it."""
    types: dict[str, Any] = {
        "text": pl.String,
        "integer": pl.Int64,
        "number": pl.Float64,
        "boolean": pl.Boolean,
        "date": pl.Date,
        "datetime": pl.Datetime("us"),
        "null": pl.Null,
    }
    return term.cell if term.kind == kind else term.cell.cast(types[kind])


@dataclass(frozen=True)
class Function:
    """What a function takes: so many arguments, each of some kinds (the last stands for all that follow)."""

    least: int
    most: int | None
    kinds: tuple[tuple[str, ...], ...]
    make: Callable[[list[Term]], tuple[pl.Expr, Kind] | Term]
    shape: str


ANY = ("text", "integer", "number", "boolean", "date", "datetime")
TEXT, SAID, TRUTH, WHOLE, NUMBER, TIME = ("text",), ("text", "integer"), ("boolean",), ("integer",), NUMBERS, TIMES


def _said(term: Term) -> pl.Expr:
    return cast(term, "text")


def _constant(term: Term, index: int) -> Any:
    if not term.literal or term.value is None:
        raise Unfit(index, "it must be written out, not computed.", "Write the value itself.")
    return term.value


# ---------------------------------------------------------------------- choices
def _if(a: list[Term]) -> tuple[pl.Expr, Kind]:
    kind = common(a[1:], 1)
    return pl.when(a[0].cell).then(cast(a[1], kind)).otherwise(cast(a[2], kind)), kind


def _case(a: list[Term]) -> tuple[pl.Expr, Kind]:
    conditions, values, rest = a[0:-1:2] if len(a) % 2 else a[0::2], a[1::2], a[-1:] if len(a) % 2 else []
    for i, one in enumerate(conditions):
        if one.kind not in {"boolean", "null"}:
            raise Unfit(2 * i, f"it is {named(one.kind)}, where a condition is needed.", "")
    kind = common([*values, *rest])
    out = cast(rest[0], kind) if rest else pl.lit(None)
    for condition, value in zip(reversed(conditions), reversed(values)):
        out = pl.when(condition.cell).then(cast(value, kind)).otherwise(out)
    return out, kind


def _map(a: list[Term]) -> tuple[pl.Expr, Kind]:
    pairs, rest = a[1:], a[-1:] if len(a) % 2 == 0 else []
    kind = common([*pairs[1::2], *rest])
    of = common([a[0], *pairs[0 : len(pairs) - len(rest) : 2]])
    out = cast(rest[0], kind) if rest else pl.lit(None)
    steps = list(zip(pairs[0 : len(pairs) - len(rest) : 2], pairs[1::2]))
    for word, becomes in reversed(steps):
        out = pl.when(cast(a[0], of) == cast(word, of)).then(cast(becomes, kind)).otherwise(out)
    return pl.when(a[0].cell.is_not_null()).then(out), kind


def _coalesce(a: list[Term]) -> tuple[pl.Expr, Kind]:
    kind = common(a)
    return pl.coalesce([cast(one, kind) for one in a]), kind


def _extreme(a: list[Term], most: bool) -> tuple[pl.Expr, Kind]:
    kind = common(a)
    cells = [cast(one, kind) for one in a]
    return (pl.max_horizontal(cells) if most else pl.min_horizontal(cells)), kind


# ---------------------------------------------------------------------- texts
def _substring(a: list[Term]) -> tuple[pl.Expr, Kind]:
    return a[0].cell.str.slice(a[1].cell - 1, a[2].cell if len(a) > 2 else None), "text"


def _split(a: list[Term]) -> tuple[pl.Expr, Kind]:
    parts = a[0].cell.str.split(_constant(a[1], 1))
    return parts.list.get(_constant(a[2], 2) - 1, null_on_oob=True), "text"


def _replace(a: list[Term]) -> tuple[pl.Expr, Kind]:
    return a[0].cell.str.replace_all(_constant(a[1], 1), _constant(a[2], 2), literal=True), "text"


def _pad(a: list[Term]) -> tuple[pl.Expr, Kind]:
    sign = _constant(a[2], 2) if len(a) > 2 else " "
    if len(str(sign)) != 1:
        raise Unfit(2, "it is not one sign.", "Write it as '0'.")
    return _said(a[0]).str.pad_start(_constant(a[1], 1), str(sign)), "text"


# ---------------------------------------------------------------------- conversions
def _lossy(given: Term, cell: pl.Expr, kind: Kind) -> Term:
    lost = given.cell.is_not_null() & cell.is_null()
    return Term(cell, kind, lost=(*given.lost, lost))


def _text(a: list[Term]) -> tuple[pl.Expr, Kind]:
    if len(a) == 1:
        plain = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%d %H:%M:%S%.f"}.get(a[0].kind)
        return (a[0].cell.dt.strftime(plain) if plain else _said(a[0])), "text"
    if a[0].kind not in TIMES:
        raise Unfit(0, f"it is {named(a[0].kind)}, and only a day or a time has a format.", "Leave the format out.")
    return a[0].cell.dt.strftime(_format(a[1], 1)), "text"


def _number(a: list[Term]) -> Term:
    if a[0].kind != "text":
        return Term(a[0].cell.cast(pl.Float64), "number", lost=a[0].lost)
    said = a[0].cell.str.strip_chars()
    read = pl.when(said != "").then(said).otherwise(None).cast(pl.Float64, strict=False)
    cell = pl.when(read.is_finite()).then(read).otherwise(None)
    return Term(cell, "number", lost=(*a[0].lost, (said != "") & cell.is_null()))


def _integer(a: list[Term]) -> Term:
    wide = _number(a)
    if a[0].kind == "integer":
        return a[0]
    whole: pl.Expr = pl.when(wide.cell.round() == wide.cell).then(wide.cell.cast(pl.Int64, strict=False))
    if a[0].kind == "text":  # more digits than a float holds
        whole = pl.coalesce([a[0].cell.str.strip_chars().cast(pl.Int64, strict=False), whole])
    lost = wide.cell.is_not_null() & whole.is_null()
    return Term(whole, "integer", lost=(*wide.lost, lost))


def _boolean(a: list[Term]) -> Term:
    yes, no = str(_constant(a[1], 1)), str(_constant(a[2], 2))
    said = _said(a[0])
    return _lossy(a[0], pl.when(said == yes).then(True).when(said == no).then(False), "boolean")


def _format(term: Term, index: int) -> str:
    told = _constant(term, index)
    if not isinstance(told, str) or "%" not in told:
        raise Unfit(index, "it is no format of days and times.", "Write it in strptime's signs, as '%d.%m.%Y %H:%M'.")
    if "%" in _SIGNS.sub("", told):
        raise Unfit(
            index, "it holds a sign that is not known.", "Known are %Y %y %m %d %e %j %b %B %H %I %p %M %S %.f %T %F."
        )
    return told


def _date(a: list[Term]) -> Term:
    if a[0].kind in TIMES:
        return Term(a[0].cell.cast(pl.Date), "date", lost=a[0].lost)
    formats = [_format(one, i + 1) for i, one in enumerate(a[1:])] or list(ISO_TIMES)
    return _lossy(a[0], _parsed(a[0].cell, formats).cast(pl.Date), "date")


def _datetime(a: list[Term]) -> Term:
    if a[0].kind in TIMES:
        return Term(a[0].cell.cast(pl.Datetime("us")), "datetime", lost=a[0].lost)
    formats = [_format(one, i + 1) for i, one in enumerate(a[1:])] or list(ISO_TIMES)
    return _lossy(a[0], _parsed(a[0].cell, formats), "datetime")


def _parsed(cell: pl.Expr, formats: Sequence[str]) -> pl.Expr:
    """Times by the first format that reads them; a format without an hour gives midnight."""
    ways = []
    for one in formats:
        if any(sign in one for sign in ("%H", "%I", "%T", "%R")):
            ways.append(cell.str.to_datetime(one, strict=False, time_unit="us", time_zone=None))
        else:
            ways.append(cell.str.to_date(one, strict=False).cast(pl.Datetime("us")))
    return pl.coalesce(ways)


# ---------------------------------------------------------------------- times
def _age(a: list[Term]) -> tuple[pl.Expr, Kind]:
    born, at = a[0].cell, a[1].cell
    years = at.dt.year().cast(pl.Int64) - born.dt.year().cast(pl.Int64)
    before = (at.dt.month().cast(pl.Int64) * 100 + at.dt.day()) < (born.dt.month().cast(pl.Int64) * 100 + born.dt.day())
    return years - before.cast(pl.Int64), "integer"


def _between(a: list[Term], unit: str) -> tuple[pl.Expr, Kind]:
    if unit == "days":
        gap = a[1].cell.cast(pl.Date) - a[0].cell.cast(pl.Date)
        return gap.dt.total_days(), "integer"
    seconds = (cast(a[1], "datetime") - cast(a[0], "datetime")).dt.total_seconds()
    return seconds / (3600.0 if unit == "hours" else 60.0), "number"


def _later(a: list[Term], unit: str) -> tuple[pl.Expr, Kind]:
    if unit == "years":
        months = (a[1].cell * 12).cast(pl.Int64).cast(pl.String) + "mo"
        return a[0].cell.dt.offset_by(months), a[0].kind
    micros = {"days": 86_400_000_000, "hours": 3_600_000_000, "minutes": 60_000_000}[unit]
    gap = pl.duration(microseconds=(a[1].cell * micros).round().cast(pl.Int64))
    if unit == "days" and a[0].kind == "date":
        return (a[0].cell.cast(pl.Datetime("us")) + gap).cast(pl.Date), "date"
    return cast(a[0], "datetime") + gap, "datetime"


def _part(name: str) -> Callable[[list[Term]], tuple[pl.Expr, Kind]]:
    return lambda a: (getattr(cast(a[0], "datetime").dt, name)().cast(pl.Int64), "integer")


# ---------------------------------------------------------------------- operators
def _sum(sign: str) -> Callable[[list[Term]], tuple[pl.Expr, Kind]]:
    def make(a: list[Term]) -> tuple[pl.Expr, Kind]:
        kind = common(a)
        one, other = (cast(term, kind) for term in a)
        return {"+": one + other, "-": one - other, "*": one * other}[sign], kind

    return make


def _quotient(a: list[Term]) -> tuple[pl.Expr, Kind]:
    below = cast(a[1], "number")
    return cast(a[0], "number") / pl.when(below != 0).then(below), "number"


def _round(a: list[Term]) -> tuple[pl.Expr, Kind]:
    digits = _constant(a[1], 1) if len(a) > 1 else 0
    if not 0 <= digits <= 15:
        raise Unfit(1, "it is no number of digits.", "Write 0 to 15.")
    cell = cast(a[0], "number").round(digits)
    return (cell, "number") if digits else (cell.cast(pl.Int64, strict=False), "integer")


def _on(kind: Kind, make: Callable[..., pl.Expr]) -> Callable[[list[Term]], tuple[pl.Expr, Kind]]:
    return lambda a: (make(*(term.cell for term in a)), kind)


FUNCTIONS: dict[str, Function] = {
    "if": Function(3, 3, (TRUTH, ANY), _if, "if(condition, then, else)"),
    "case": Function(2, None, (ANY,), _case, "case(condition, value, condition, value, ..., else)"),
    "map": Function(3, None, (ANY,), _map, "map(x, word, becomes, word, becomes, ..., else)"),
    "coalesce": Function(1, None, (ANY,), _coalesce, "coalesce(a, b, ...): the first that is not missing"),
    "least": Function(2, None, (NUMBER + TIME,), lambda a: _extreme(a, False), "least(a, b, ...)"),
    "greatest": Function(2, None, (NUMBER + TIME,), lambda a: _extreme(a, True), "greatest(a, b, ...)"),
    "missing": Function(1, 1, (ANY,), lambda a: (a[0].cell.is_null(), "boolean"), "missing(x): whether it is"),
    "concat": Function(
        1,
        None,
        (SAID,),
        lambda a: (pl.concat_str([_said(one) for one in a]), "text"),
        "concat(a, b, ...): missing where one is",
    ),
    "join": Function(
        2,
        None,
        (TEXT, SAID),
        lambda a: (
            pl.when(pl.any_horizontal(one.cell.is_not_null() for one in a[1:])).then(
                pl.concat_str([_said(one) for one in a[1:]], separator=_constant(a[0], 0), ignore_nulls=True)
            ),
            "text",
        ),
        "join(', ', a, b, ...): those that are not missing",
    ),
    "lower": Function(1, 1, (TEXT,), _on("text", lambda x: x.str.to_lowercase()), "lower(x)"),
    "upper": Function(1, 1, (TEXT,), _on("text", lambda x: x.str.to_uppercase()), "upper(x)"),
    "trim": Function(1, 1, (TEXT,), _on("text", lambda x: x.str.strip_chars()), "trim(x): without blanks at the ends"),
    "length": Function(1, 1, (TEXT,), _on("integer", lambda x: x.str.len_chars().cast(pl.Int64)), "length(x)"),
    "substring": Function(2, 3, (TEXT, WHOLE), _substring, "substring(x, first, how many): counted from 1"),
    "replace": Function(3, 3, (TEXT,), _replace, "replace(x, 'this', 'that')"),
    "split": Function(3, 3, (TEXT, TEXT, WHOLE), _split, "split(x, '|', 2): the second part"),
    "pad": Function(2, 3, (SAID, WHOLE, SAID), _pad, "pad(x, 8, '0'): filled up in front"),
    "starts": Function(2, 2, (TEXT,), _on("boolean", lambda x, y: x.str.starts_with(y)), "starts(x, 'E11')"),
    "ends": Function(2, 2, (TEXT,), _on("boolean", lambda x, y: x.str.ends_with(y)), "ends(x, 'mg')"),
    "contains": Function(
        2, 2, (TEXT,), _on("boolean", lambda x, y: x.str.contains(y, literal=True)), "contains(x, 'mg')"
    ),
    "text": Function(1, 2, (ANY, TEXT), _text, "text(x), text(time, '%d.%m.%Y')"),
    "number": Function(1, 1, (("text", *NUMBERS, "boolean"),), _number, "number(x)"),
    "integer": Function(1, 1, (("text", *NUMBERS, "boolean"),), _integer, "integer(x)"),
    "boolean": Function(3, 3, (SAID,), _boolean, "boolean(x, 'yes', 'no')"),
    "date": Function(1, None, (("text", *TIMES), TEXT), _date, "date(x), date(x, '%d.%m.%Y', ...)"),
    "datetime": Function(
        1, None, (("text", *TIMES), TEXT), _datetime, "datetime(x), datetime(x, '%d.%m.%Y %H:%M', ...)"
    ),
    **{name: Function(1, 1, (TIME,), _part(name), f"{name}(x)") for name in ("year", "month", "day", "hour", "minute")},
    "age_years": Function(2, 2, (TIME,), _age, "age_years(birth_date, at)"),
    "days": Function(2, 2, (TIME,), lambda a: _between(a, "days"), "days(from, to): midnights between"),
    "hours": Function(2, 2, (TIME,), lambda a: _between(a, "hours"), "hours(from, to)"),
    "minutes": Function(2, 2, (TIME,), lambda a: _between(a, "minutes"), "minutes(from, to)"),
    "add_days": Function(2, 2, (TIME, NUMBER), lambda a: _later(a, "days"), "add_days(x, n)"),
    "add_hours": Function(2, 2, (TIME, NUMBER), lambda a: _later(a, "hours"), "add_hours(x, n)"),
    "add_minutes": Function(2, 2, (TIME, NUMBER), lambda a: _later(a, "minutes"), "add_minutes(x, n)"),
    "add_years": Function(2, 2, (TIME, NUMBER), lambda a: _later(a, "years"), "add_years(x, n)"),
    "round": Function(1, 2, (NUMBER, WHOLE), _round, "round(x), round(x, digits)"),
    "floor": Function(1, 1, (NUMBER,), _on("integer", lambda x: x.floor().cast(pl.Int64)), "floor(x)"),
    "ceil": Function(1, 1, (NUMBER,), _on("integer", lambda x: x.ceil().cast(pl.Int64)), "ceil(x)"),
    "abs": Function(1, 1, (NUMBER,), lambda a: (a[0].cell.abs(), a[0].kind), "abs(x)"),
    "row": Function(0, 0, (), lambda a: (pl.int_range(1, pl.len() + 1, dtype=pl.Int64), "integer"), "row(): 1, 2, ..."),
}
OPERATORS: dict[str, Function] = {
    "or": Function(2, 2, (TRUTH,), _on("boolean", lambda x, y: x | y), "a or b"),
    "and": Function(2, 2, (TRUTH,), _on("boolean", lambda x, y: x & y), "a and b"),
    "not": Function(1, 1, (TRUTH,), _on("boolean", lambda x: ~x), "not a"),
    "+": Function(2, 2, (NUMBER,), _sum("+"), "a + b"),
    "-": Function(2, 2, (NUMBER,), _sum("-"), "a - b"),
    "*": Function(2, 2, (NUMBER,), _sum("*"), "a * b"),
    "/": Function(2, 2, (NUMBER,), _quotient, "a / b"),
    "negative": Function(1, 1, (NUMBER,), lambda a: (-a[0].cell, a[0].kind), "-a"),
}
