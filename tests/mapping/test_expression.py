"""The small language of mapping files: what it computes, and what it refuses, at which sign."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from conftest import ROOT
from ehrsatz.errors import SchemaError
from ehrsatz.mapping.compute import Scope, Tables
from ehrsatz.mapping.expression import AGGREGATES, DEEPEST, parse
from ehrsatz.mapping.functions import FUNCTIONS

PEOPLE = pl.DataFrame(
    {
        "id": ["a", "b", "c"],
        "sex": ["f", None, "m"],
        "born": [date(2000, 2, 29), date(1950, 12, 31), None],
        "weight": [61.25, None, 80.0],
        "n": [3, -2, 0],
        "said": [" 12,5 mg", "x|y|z", None],
        "seen": [datetime(2024, 2, 28, 23, 30), datetime(2025, 1, 1), datetime(2020, 1, 1, 12)],
        "ward_id": ["w1", "w2", None],
        "ok": [True, False, None],
        "Odd name": ["1", "2", "3"],
    }
)
STAYS = pl.DataFrame(
    {
        "stay": [1, 2, 3, 4],
        "person": ["a", "a", "b", None],
        "days": [5, 2, None, 9],
        "code": ["I10", "E11", "I10", "I10"],
    }
)
WARDS = pl.DataFrame({"ward_id": ["w1", "w2", "w3"], "name": ["north", None, "south"], "house": ["h1", "h1", "h2"]})
HOUSES = pl.DataFrame({"house": ["h1", "h2"], "city": ["Ulm", "Bonn"]})
TWICE = pl.DataFrame({"key": ["a", "a"], "value": [1, 2]})


def tables() -> Tables:
    return Tables(
        {"people": PEOPLE, "stays": STAYS, "wards": WARDS, "houses": HOUSES, "twice": TWICE},
        {
            ("people", "ward_id"): ("wards", "ward_id"),
            ("wards", "house"): ("houses", "house"),
            ("stays", "person"): ("people", "id"),
        },
    )


def computed(text: Any, table: str = "people") -> list[Any]:
    scope = Scope(tables(), table)
    term = scope.term(parse(text, "here"))
    return scope.frame.select(pl.lit(0).repeat_by(0), x=term.cell)["x"].to_list()


@pytest.mark.parametrize(
    "text, cells",
    [
        ("n + 2 * 3", [9, 4, 6]),
        ("(n + 2) * 3", [15, 0, 6]),
        ("-n - -1", [-2, 3, 1]),
        ("n / 2", [1.5, -1.0, 0.0]),
        ("weight / n", [61.25 / 3, None, None]),
        ("n + weight", [64.25, None, 80.0]),
        ("n > 0 and weight >= 61.25 or n = 0", [True, False, True]),
        ("not ok", [False, True, None]),
        ("sex is null", [False, True, False]),
        ("sex is not null and not sex = 'f'", [False, False, True]),
        ("sex in ('f', 'x')", [True, None, False]),
        ("n not in (3, 0)", [False, True, False]),
        ("n <> 3", [False, True, True]),
        ("born > '1990-01-01'", [True, False, None]),
        ("seen < '2024-12-31T00:00:00'", [True, False, True]),
        ("if(n > 0, 'up', if(n = 0, 'even', 'down'))", ["up", "down", "even"]),
        ("if(ok, 1, 2.5)", [1.0, 2.5, 2.5]),
        ("case(n > 0, 'up', n = 0, 'even')", ["up", None, "even"]),
        ("case(n > 0, 'up', 'rest')", ["up", "rest", "rest"]),
        ("map(sex, 'f', 'female', 'm', 'male')", ["female", None, "male"]),
        ("map(sex, 'f', 'female', 'other')", ["female", None, "other"]),
        ("map(n, 3, 'three', 0, null, 'more')", ["three", "more", None]),
        ("coalesce(sex, 'u')", ["f", "u", "m"]),
        ("coalesce(null, weight, n)", [61.25, -2.0, 80.0]),
        ("least(n, 1)", [1, -2, 0]),
        ("greatest(born, seen)", [datetime(2024, 2, 28, 23, 30), datetime(2025, 1, 1), datetime(2020, 1, 1, 12)]),
        ("missing(weight)", [False, True, False]),
        ("concat(id, '-', n)", ["a-3", "b--2", "c-0"]),
        ("concat(id, sex)", ["af", None, "cm"]),
        ("join(', ', sex, ward_id)", ["f, w1", "w2", "m"]),
        ("upper(sex)", ["F", None, "M"]),
        ("trim(said)", ["12,5 mg", "x|y|z", None]),
        ("length(trim(said))", [7, 5, None]),
        ("substring(said, 2, 2)", ["12", "|y", None]),
        ("substring(id, 1)", ["a", "b", "c"]),
        ("replace(said, ',', '.')", [" 12.5 mg", "x|y|z", None]),
        ("split(said, '|', 2)", [None, "y", None]),
        ("pad(n, 4, '0')", ["0003", "00-2", "0000"]),
        ("starts(said, 'x') or ends(said, 'mg')", [True, True, None]),
        ("contains(said, '|')", [False, True, None]),
        ("text(weight)", ["61.25", None, "80.0"]),
        ("text(born, '%d.%m.%Y')", ["29.02.2000", "31.12.1950", None]),
        ("text(seen)", ["2024-02-28 23:30:00", "2025-01-01 00:00:00", "2020-01-01 12:00:00"]),
        ("number(`Odd name`) + 1", [2.0, 3.0, 4.0]),
        ("integer('9007199254740993')", [9007199254740993] * 3),
        ("integer('12.0')", [12] * 3),
        ("boolean(sex, 'f', 'm')", [True, None, False]),
        ("date('31.12.2020', '%d.%m.%Y')", [date(2020, 12, 31)] * 3),
        ("date('2020-12-31', '%d.%m.%Y', '%Y-%m-%d')", [date(2020, 12, 31)] * 3),
        ("date(seen)", [date(2024, 2, 28), date(2025, 1, 1), date(2020, 1, 1)]),
        ("datetime('2020-12-31T08:30')", [datetime(2020, 12, 31, 8, 30)] * 3),
        ("datetime(born)", [datetime(2000, 2, 29), datetime(1950, 12, 31), None]),
        ("year(born) * 100 + month(born)", [200002, 195012, None]),
        ("age_years(born, seen)", [23, 74, None]),
        ("days(born, '2000-03-01')", None),
        ("days(date('2024-02-28'), seen)", [0, 308, -1519]),
        ("hours(date('2024-02-28'), seen)", [23.5, 7392.0, -36444.0]),
        ("add_days(born, 1)", [date(2000, 3, 1), date(1951, 1, 1), None]),
        ("add_years(born, n)", [date(2003, 2, 28), date(1948, 12, 31), None]),
        (
            "add_minutes(seen, 45)",
            [datetime(2024, 2, 29, 0, 15), datetime(2025, 1, 1, 0, 45), datetime(2020, 1, 1, 12, 45)],
        ),
        ("add_hours(seen, n)", [datetime(2024, 2, 29, 2, 30), datetime(2024, 12, 31, 22), datetime(2020, 1, 1, 12)]),
        ("round(weight, 1)", [61.2, None, 80.0]),
        ("round(weight)", [61, None, 80]),
        ("floor(weight) + ceil(weight)", [123, None, 160]),
        ("abs(n)", [3, 2, 0]),
        ("row()", [1, 2, 3]),
        ("'it''s'", ["it's"] * 3),
        ('"say ""no"""', ['say "no"'] * 3),
        (7, [7] * 3),
        (None, [None] * 3),
        (date(2020, 1, 1), [date(2020, 1, 1)] * 3),
        # other tables
        ("ward.name", ["north", None, None]),
        ("ward_id.name", ["north", None, None]),
        ("wards.house.city", ["Ulm", "Ulm", None]),
        ("lookup(wards, ward_id, name, concat('w', integer(`Odd name`)))", ["north", None, "south"]),
        ("count(stays)", [2, 1, 0]),
        ("count(stays.days)", [2, 0, 0]),
        ("count(stays where code = 'I10')", [1, 1, 0]),
        ("sum(stays.days)", [7, 0, None]),
        ("mean(stays.days)", [3.5, None, None]),
        ("min(stays.days)", [2, None, None]),
        ("max(stays.days where days < 5)", [2, None, None]),
        ("first(stays.code)", ["I10", "I10", None]),
        ("last(stays.code)", ["E11", "I10", None]),
        ("Count(Stays) + count(stays where code = 'I10')", [3, 2, 0]),
    ],
)
def test_what_it_computes(text: Any, cells: list[Any] | None) -> None:
    if cells is None:
        with pytest.raises(SchemaError, match="where 'days' needs"):
            computed(text)
        return
    found = computed(text)
    assert (found * 3 if len(found) == 1 else found) == cells


def test_rows_are_counted_per_what_two_tables_share() -> None:
    assert computed("count(stays per people)", "stays") == [2, 2, 1, 0]
    assert computed("days - min(stays.days)", "stays") == [3, 0, None, None]


WRONG = [
    ("", "Expected an expression that can be read as 'here'. At character 1 of it: nothing stands there"),
    ("wieght", "no column 'wieght'. Did you mean 'weight'?"),
    ("n +", "At character 4 of it: the end stands where a column or a value is needed"),
    ("n n", "character 3 of it: 'n' stands where the expression should end"),
    ("(n", "the end stands where ')' is needed"),
    ("if(ok, 1)", "'if' has 2 arguments. Write it as if(condition, then, else)"),
    ("uper(sex)", "there is no function 'uper'. Did you mean 'upper'?"),
    ("lower(n)", "character 7 of it: it is a whole number, where 'lower' needs a text"),
    ("sex + id", "where '+' needs a whole number or a number. Join texts with concat(a, b)"),
    ("n = 'x'", "it is a text, another part of it a whole number"),
    ("if(ok, 1, 'x')", "another part of it a whole number"),
    ("born = 'soon'", "it is compared with a day or a time, and is none"),
    ("sex = null", "null equals nothing"),
    ("n and ok", "it is a whole number, where 'and' needs true or false"),
    ("date(sex, 'dmy')", "no format of days and times"),
    ("date(sex, '%Q')", "it holds a sign that is not known"),
    ("date(sex, sex)", "it must be written out, not computed"),
    ("text(n, '%Y')", "only a day or a time has a format"),
    ("wrad.name", "'people' has no link 'wrad'. Did you mean 'ward'?"),
    ("ward.nmae", "'wards' has no column 'nmae'. Did you mean 'name'?"),
    ("count(stay)", "there is no table 'stay'. Did you mean 'stays'?"),
    ("count(houses)", "it is not said which rows of 'houses' belong"),
    ("sum(stays)", "'sum' needs a column"),
    ("sum(stays.code)", "'code' is a text, where 'sum' needs a number"),
    ("count(stays where code)", "it is a text, where a condition is needed"),
    ("count(stays per wards)", "'stays' has no link to 'wards'"),
    ("lookup(twice, key, value, id)", "it would multiply rows: 1 rows of 'twice' repeat a cell of 'key'"),
    ("lookup(wards, ward_id)", "'lookup' needs a table, two of its columns and a value"),
    ("'open", "''' cannot be read. Close the text with the same mark"),
    ("n ; drop", "';' cannot be read"),
    ("__import__('os')", "there is no function '__import__'"),
    ("n.real", "'people' has no link 'n'"),
    ("(" * (DEEPEST + 2) + "n" + ")" * (DEEPEST + 2), "more than 60 levels"),
    ("-" * 500 + "n", "more than 60 levels"),
    ("n" * 10_001, "the text goes on"),
    (["n"], "It is of type list"),
]


@pytest.mark.parametrize("text, message", WRONG, ids=[str(text)[:30] for text, _ in WRONG])
def test_what_it_refuses(text: Any, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        computed(text)
    assert message in str(caught.value) and "'here'" in str(caught.value)


def test_cells_that_cannot_be_converted_are_marked_where_nothing_else_stands_in() -> None:
    frame = pl.DataFrame({"x": ["1", "", "one", None, "nan"], "d": ["2020-01-01", "1.2.2020", "never", None, ""]})
    scope = Scope(Tables({"t": frame}), "t")
    number = scope.term(parse("number(x)", "here"))
    assert scope.frame.select(number.cell)["x"].to_list() == [1.0, None, None, None, None]
    lost = scope.frame.select(pl.any_horizontal(number.lost) & number.cell.is_null()).to_series()
    assert lost.fill_null(False).to_list() == [False, False, True, False, True]
    either = scope.term(parse("coalesce(date(d, '%d.%m.%Y'), date(d, '%Y-%m-%d'))", "here"))
    lost = scope.frame.select(pl.any_horizontal(either.lost) & either.cell.is_null()).to_series()
    assert lost.fill_null(False).to_list() == [False, False, True, False, True]


def test_every_function_stands_on_the_page() -> None:
    page = (ROOT / "docs" / "formats" / "mapping.md").read_text(encoding="utf-8")
    names = [
        name for name in (*FUNCTIONS, *AGGREGATES, "lookup") if f"`{name}(" not in page and f"`{name}`" not in page
    ]
    assert not names, f"docs/formats/mapping.md lacks: {', '.join(names)}"
