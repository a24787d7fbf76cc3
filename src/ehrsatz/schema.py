"""What tables hold: columns, links, constraints. No data.

A schema is plain text to a person: `Schema.to_yaml` writes every guess with its reason (`why`), `Schema.from_yaml`
reads the edited file back and refuses keys it does not know. `why` is for the reader alone: it takes no part in
equality or in the fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, get_args

from ehrsatz.errors import SchemaError, nearest
from ehrsatz.markup import load

if TYPE_CHECKING:
    import polars

Kind = Literal["integer", "number", "boolean", "category", "code", "text", "id", "date", "datetime"]
Role = Literal["subject", "key", "link", "time", "end", "code", "value", "unit", "attribute"]
Disclosure = Literal["direct", "quasi", "sensitive", "none"]
ConstraintKind = Literal["order", "implication", "combination", "dependency", "sum", "unique", "missing_together"]

_DTYPES: dict[str, str] = {
    "integer": "Int64",
    "number": "Float64",
    "boolean": "Boolean",
    "category": "String",
    "code": "String",
    "text": "String",
    "id": "String",
    "date": "Date",
    "datetime": "Datetime",
}
MIN_SUBJECTS = 5  # what fewer subjects share is written down nowhere
UNREADABLE = "<unreadable>"  # in Column.missing: cells that cannot be read as the kind count as missing; no token
TRUE_WORDS = frozenset({"yes", "y", "true", "t", "1", "1.0", "ja", "j", "oui", "si", "sí"})
NUMBER_FORMAT = re.compile(r"(?P<sign>[$€£¥]?)(?P<style>0\.000,0|0,0|,\.0|\.0|,|)(?P<percent>%?)")  # "$,.0": $1,234.0
NUMERIC_KINDS = frozenset({"integer", "number", "date", "datetime"})


def dtype_of(kind: str) -> polars.DataType:
    """Return the Polars type that holds a kind; this is the only place where the map stands."""
    import polars

    if kind == "datetime":
        return polars.Datetime("us")
    return getattr(polars, _DTYPES[kind])()


def boolean_words(spelling: str | None) -> tuple[str, str]:
    """Return how a boolean column's format ("Y/N", "0/1") spells true and false; None is "true/false".

    The usual word for yes is true wherever it stands; of two unknown words the first is true.

    Examples
    --------
    >>> boolean_words("N/Y"), boolean_words("0/1"), boolean_words("alive/dead")
    (('Y', 'N'), ('1', '0'), ('alive', 'dead'))
    """
    first, _, second = (part.strip() for part in (spelling or "true/false").partition("/"))
    if second.casefold() in TRUE_WORDS and first.casefold() not in TRUE_WORDS:
        return second, first
    return first, second


@dataclass(frozen=True)
class Column:
    """One column: what it holds (kind), what it is for (role) and how it must be protected (disclosure).

    `minimum` and `maximum` are closed bounds in the column's unit; for dates, ISO text. `values` lists the allowed
    levels of a category or code, None means open. `missing` lists the tokens that the source writes for a missing
    cell besides the empty one, the commonest first ("" where most are blank). `format` is how the source spells cells,
    so that an exporter can write back what it looked like: dates in strptime's signs, the commonest way first, joined
    by "|"; booleans as two words ("Y/N"); numbers as `NUMBER_FORMAT` reads them.
    """

    name: str
    kind: Kind
    role: Role = "attribute"
    disclosure: Disclosure = "none"
    unit: str | None = None
    system: str | None = None
    values: tuple[str, ...] | None = None
    minimum: float | str | None = None
    maximum: float | str | None = None
    nullable: bool = True
    description: str = ""
    format: str | None = None
    missing: tuple[str, ...] = ()
    why: str = field(default="", compare=False)

    @property
    def is_numeric(self) -> bool:
        """Whether cells have an order and differences: integer, number, date, datetime."""
        return self.kind in NUMERIC_KINDS


@dataclass(frozen=True)
class Link:
    """A column whose cells are keys of another table."""

    column: str
    to_table: str
    to_column: str


@dataclass(frozen=True)
class Constraint:
    """A statement that every row of a table keeps.

    kind and columns; params, where the kind has any:

    - order (a, b): a <= b where both are present; {"strict": bool}
    - implication (a, b): {"when": [levels] | "missing" | "present", "then": [levels] | "missing" | "present"}
    - combination (a, b, ...): {"allowed": [[level or None, ...], ...]}, the only combinations that occur
    - dependency (a, b): a determines b; {"map": {level of a: level of b or None}}
    - sum (total, part, ...): total = constant + weights . parts, missing where a part is;
      {"weights", "constant", "decimals"}; with {"when": [levels] | "missing" | "present"} the last column is no part
      but a condition, and the sum holds in the rows where it is so
    - unique (a, ...): no two rows agree on all of them
    - missing_together (a, b, ...): missing in the same rows
    """

    kind: ConstraintKind
    columns: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    why: str = field(default="", compare=False)


@dataclass(frozen=True)
class Table:
    """A named set of columns with links to other tables and constraints on its rows.

    A table with a `time` column is an event table; a table without is static: one row per subject where it has a
    subject column, and each row its own subject where it has none.
    """

    name: str
    columns: tuple[Column, ...]
    links: tuple[Link, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(
            f"Expected a column of table '{self.name}'.",
            f"'{name}' is none of its {len(self.columns)} columns.{nearest(name, self.names)}",
            "Check the spelling, or list the columns with: ehrsatz inspect",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def with_role(self, role: Role) -> str | None:
        """Return the name of the first column of this role, or None."""
        return next((column.name for column in self.columns if column.role == role), None)

    @property
    def subject(self) -> str | None:
        """Name of the column that says whose row this is, or None: each row is its own subject."""
        return self.with_role("subject")

    @property
    def time(self) -> str | None:
        """Name of the column that says when, or None in a static table."""
        return self.with_role("time")

    def replace_columns(self, columns: Iterable[Column]) -> Table:
        """Return the table with these columns, without links and constraints on columns that are gone."""
        kept = tuple(columns)
        names = {column.name for column in kept}
        return replace(
            self,
            columns=kept,
            links=tuple(link for link in self.links if link.column in names),
            constraints=tuple(one for one in self.constraints if set(one.columns) <= names),
        )


@dataclass(frozen=True)
class Schema:
    """The tables of a dataset. Names are unique, links point to existing columns, constraints name existing columns."""

    name: str
    tables: tuple[Table, ...]
    version: str = "1"

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise SchemaError(
                f"Expected a consistent schema '{self.name}'.",
                f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found.",
                "Correct the schema file and run again.",
                problems=problems,
            )

    def __getitem__(self, name: str) -> Table:
        for table in self.tables:
            if table.name == name:
                return table
        names = [table.name for table in self.tables]
        raise SchemaError(
            f"Expected a table of schema '{self.name}'.",
            f"'{name}' is none of: {', '.join(names)}.{nearest(name, names)}",
            "Check the spelling.",
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, without the reasons."""
        text = json.dumps(self.to_dict(reasons=False), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def parent(self) -> Table:
        """The table that numbers the subjects: it links to no other and others link to it; else the first."""
        targets = {link.to_table for table in self.tables for link in table.links}
        for table in self.tables:
            if table.name in targets and not table.links:
                return table
        return self.tables[0]

    def replace_table(self, table: Table) -> Schema:
        """Return the schema with the table of the same name replaced."""
        return replace(self, tables=tuple(table if table.name == old.name else old for old in self.tables))

    def to_dict(self, *, reasons: bool = True) -> dict[str, Any]:
        """Return plain JSON types; fields that hold their default are left out."""
        return {
            "name": self.name,
            "version": self.version,
            "tables": {
                table.name: {
                    "columns": {column.name: _column_dict(column, reasons) for column in table.columns},
                    **({"links": [_plain(link) for link in table.links]} if table.links else {}),
                    **(
                        {"constraints": [_constraint_dict(one, reasons) for one in table.constraints]}
                        if table.constraints
                        else {}
                    ),
                }
                for table in self.tables
            },
        }

    @classmethod
    def from_dict(cls, data: Any) -> Schema:
        """Read what `to_dict` writes; unknown keys are errors with the nearest match."""
        top = _mapping(data, "schema", {"name", "version", "tables"})
        tables = []
        for name, raw in _mapping(top.get("tables"), "schema.tables", None).items():
            where = f"tables.{name}"
            entry = _mapping(raw, where, {"columns", "links", "constraints"})
            columns = tuple(
                _read(
                    Column,
                    {"name": str(key), **_mapping(value, f"{where}.columns.{key}", None)},
                    f"{where}.columns.{key}",
                )
                for key, value in _mapping(entry.get("columns"), f"{where}.columns", None).items()
            )
            links = tuple(
                _read(Link, raw_link, f"{where}.links[{i}]") for i, raw_link in enumerate(_list(entry, "links", where))
            )
            constraints = tuple(
                _read(Constraint, raw_one, f"{where}.constraints[{i}]")
                for i, raw_one in enumerate(_list(entry, "constraints", where))
            )
            tables.append(Table(str(name), columns, links, constraints))
        return cls(name=str(top.get("name", "schema")), tables=tuple(tables), version=str(top.get("version", "1")))

    def to_yaml(self) -> str:
        """Return the schema as YAML for a person to edit."""
        import yaml

        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def from_yaml(cls, text: str) -> Schema:
        """Read an edited schema file.

        Raises
        ------
        SchemaError
            When the text is no YAML, has an unknown key, or contradicts itself.
        """
        try:
            data = load(text)
        except ValueError as error:
            raise SchemaError("Expected a schema in YAML.", str(error), "Correct that line.") from None
        return cls.from_dict(data)


def _plain(item: Any) -> dict[str, Any]:
    return {one.name: getattr(item, one.name) for one in fields(item)}


def _column_dict(column: Column, reasons: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for one in fields(column):
        value = getattr(column, one.name)
        if one.name == "name" or (one.name == "why" and not reasons):
            continue
        if one.name == "kind" or value != one.default:
            out[one.name] = list(value) if isinstance(value, tuple) else value
    return out


def _constraint_dict(one: Constraint, reasons: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": one.kind, "columns": list(one.columns)}
    if one.params:
        out["params"] = json.loads(json.dumps(dict(one.params)))
    if reasons and one.why:
        out["why"] = one.why
    return out


def _mapping(data: Any, where: str, known: set[str] | None) -> dict[Any, Any]:
    if not isinstance(data, Mapping):
        raise SchemaError(
            f"Expected '{where}' to be a mapping.", f"It is of type {type(data).__name__}.", "See docs/reference.md."
        )
    unknown = [str(key) for key in data if known is not None and key not in known]
    if unknown:
        assert known is not None
        raise SchemaError(
            f"Expected only the keys {', '.join(sorted(known))} in '{where}'.",
            f"Unknown: {', '.join(unknown)}.{nearest(unknown[0], known)}",
            "Correct or remove the key.",
        )
    return dict(data)


def _list(entry: Mapping[str, Any], name: str, where: str) -> Any:
    found = entry.get(name) or ()
    _demand(found, "a list", (list, tuple), f"{where}.{name}")
    return found


_CHOICES: dict[tuple[type, str], tuple[str, ...]] = {
    (Column, "kind"): get_args(Kind),
    (Column, "role"): get_args(Role),
    (Column, "disclosure"): get_args(Disclosure),
    (Constraint, "kind"): get_args(ConstraintKind),
}


_TEXT, _LIST = ("a text", (str,)), ("a list", (list, tuple))
_BOUND = ("a number or an ISO date", (int, float, str, date))
_SHAPES: dict[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(("unit", "system", "description", "format", "why", "column", "to_table", "to_column"), _TEXT),
    **dict.fromkeys(("values", "missing", "columns"), _LIST),
    **dict.fromkeys(("minimum", "maximum"), _BOUND),
    "nullable": ("true or false", (bool,)),
    "params": ("a mapping", (Mapping,)),
}


def _read(cls: type, raw: Any, where: str) -> Any:
    """Read one column, link or constraint; null means the default."""
    known = {one.name for one in fields(cls)}
    entry = {name: value for name, value in _mapping(raw, where, known).items() if value is not None}
    required = [name for name in ("kind", "columns", "column", "to_table", "to_column") if name in known]
    absent = [name for name in required if name not in entry]
    if absent:
        raise SchemaError(
            f"Expected the keys {', '.join(required)} in '{where}'.", f"Absent: {', '.join(absent)}.", "Add them."
        )
    for name, value in entry.items():
        choices = _CHOICES.get((cls, name))
        if choices and value not in choices:
            raise SchemaError(
                f"Expected '{where}.{name}' to be one of: {', '.join(choices)}.",
                f"It is something else.{nearest(str(value), choices)}",
                "Correct it.",
            )
        noun, types = _SHAPES.get(name, ("", (object,)))
        _demand(value, noun, types, f"{where}.{name}")
        if isinstance(value, (list, tuple)):
            for item in value:
                _demand(item, "a list of texts", (str, int, float), f"{where}.{name}")
            entry[name] = tuple(str(item) for item in value)
        elif isinstance(value, date):
            entry[name] = value.isoformat()
    return cls(**entry)


def _demand(value: Any, noun: str, types: tuple[type, ...], where: str) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types and object not in types):
        raise SchemaError(
            f"Expected '{where}' to be {noun}.",
            f"Found the type {type(value).__name__}.",
            "Correct it; a text that YAML takes for something else (yes, 1, 2020-01-31) needs quotes.",
        )


def _problems(schema: Schema) -> list[str]:
    problems: list[str] = []
    tables = {table.name: table for table in schema.tables}
    if not tables:
        problems.append("the schema has no table")
    if len(tables) != len(schema.tables):
        problems.append("two tables have the same name")
    for table in schema.tables:
        names = set(table.names)
        if len(names) != len(table.columns):
            twice = sorted({name for name in table.names if table.names.count(name) > 1})
            problems.append(f"{table.name}: columns named more than once: {', '.join(twice)}")
        for role in ("subject", "time", "key"):
            holders = [column.name for column in table.columns if column.role == role]
            if len(holders) > 1:
                problems.append(f"{table.name}: more than one column of role {role}: {', '.join(holders)}")
        for link in table.links:
            if link.column not in names:
                problems.append(f"{table.name}: the link column '{link.column}' does not exist")
            if link.to_table not in tables or link.to_column not in tables[link.to_table].names:
                problems.append(
                    f"{table.name}.{link.column}: links to '{link.to_table}.{link.to_column}', which does not exist"
                )
        for one in table.constraints:
            lost = [name for name in one.columns if name not in names]
            if lost:
                problems.append(
                    f"{table.name}: a constraint '{one.kind}' names columns that do not exist: {', '.join(lost)}"
                )
        for column in table.columns:
            problems += [f"{table.name}.{column.name}: {problem}" for problem in _bound_problems(column)]
    return problems


def _bound_problems(column: Column) -> list[str]:
    """What is wrong with a column's bounds; those of words bound nothing."""
    bounds = {"minimum": column.minimum, "maximum": column.maximum}
    given = {side: value for side, value in bounds.items() if value is not None and column.is_numeric}
    if column.kind in {"date", "datetime"}:
        wrong = [side for side, value in given.items() if not _is_iso(value)]
        noun = "an ISO date such as 2020-01-31"
    else:
        wrong = [side for side, value in given.items() if not isinstance(value, (int, float)) or not isfinite(value)]
        noun = "a finite number"
    if wrong:
        return [f"the {side} is not {noun}" for side in wrong]
    low, high = given.get("minimum"), given.get("maximum")
    if isinstance(low, str) and isinstance(high, str):
        above = datetime.fromisoformat(low) > datetime.fromisoformat(high)
    else:
        above = isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high
    return ["the minimum is above the maximum"] if above else []


def _is_iso(value: Any) -> bool:
    """Whether a bound is the ISO text of a date or of a time without offset."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is None
    except ValueError:
        return False
