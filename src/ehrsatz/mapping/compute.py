"""An expression over the rows of one table: names are looked up, kinds checked, links followed, other rows counted.

What lies behind a link or is counted from other tables is joined to the rows as a column of its own. A link that leads
to several rows is refused: it would multiply the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, cast

import polars as pl

from ehrsatz.errors import SchemaError, nearest
from ehrsatz.mapping import functions
from ehrsatz.mapping.expression import COMPARISONS, Aggregate, Call, Expression, Literal, Name, Node
from ehrsatz.mapping.functions import FUNCTIONS, OPERATORS, Function, Kind, Term, Unfit, common, literal, named

Links = Mapping[tuple[str, str], tuple[str, str]]


@dataclass
class Tables:
    """Tables by name, links (table, column) -> (table, column), and which columns were `used`."""

    frames: Mapping[str, pl.DataFrame]
    links: Links = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)

    def name(self, wanted: str) -> str | None:
        """Return the name of a table as it is spelled here; case counts only where two differ in it alone."""
        return _spelled(wanted, self.frames)

    def leads(self, table: str) -> dict[str, tuple[str, str]]:
        """Return column -> (table, column) of the links of one table."""
        return {column: target for (owner, column), target in self.links.items() if owner == table}


class Scope:
    """The rows of one table, with the columns that expressions have joined to them."""

    def __init__(self, tables: Tables, table: str, frame: pl.DataFrame | None = None) -> None:
        self.tables, self.table = tables, table
        self.frame = tables.frames[table] if frame is None else frame
        self.own = self.frame.columns
        self._joined: dict[Any, str] = {}

    def term(self, expression: Expression) -> Term:
        """Return an expression as Polars computes it over `frame`.

        Raises
        ------
        SchemaError
            When it names a column, table, link or function that there is not, or kinds do not fit.
        """
        return _Reading(self, expression).term(expression.root)

    def keep(self, term: Term) -> None:
        """Leave out the rows for which a condition is not true."""
        self.frame = self.frame.filter(term.cell.fill_null(False))

    def join(self, mark: Any, on: pl.Expr, other: pl.DataFrame, key: str, value: str) -> str:
        """Join a column of other rows by a key that stands once there; return the name it has here."""
        if mark not in self._joined:
            name = f"({len(self._joined)})"
            right = other.select(pl.col(key).cast(pl.String).alias("(key)"), pl.col(value).alias(name))
            left = self.frame.with_columns(on.cast(pl.String).alias("(key)"))
            self.frame = left.join(right.drop_nulls("(key)"), on="(key)", how="left", maintain_order="left").drop(
                "(key)"
            )
            self._joined[mark] = name
        return self._joined[mark]


@dataclass
class _Reading:
    """One expression over one scope."""

    scope: Scope
    expression: Expression

    def term(self, node: Node) -> Term:
        if isinstance(node, Literal):
            return literal(node.value)
        if isinstance(node, Name):
            return self._name(node)
        if isinstance(node, Aggregate):
            return self._aggregate(node)
        call = cast(Call, node)
        if call.name == "lookup":
            return self._lookup(call)
        terms = [self.term(one) for one in call.arguments]
        if call.name in COMPARISONS or call.name == "in":
            return self._compared(call, terms)
        known = OPERATORS.get(call.name, FUNCTIONS.get(call.name))
        if known is None:
            names = (*FUNCTIONS, "lookup", "count", "min", "max", "sum", "mean", "first", "last")
            self._wrong(call, f"there is no function '{call.name}'.{nearest(call.name, names)}", "Correct the name.")
        return self._made(call, cast(Function, known), terms)

    def _wrong(self, node: Node, found: str, advice: str) -> Any:
        self.expression.wrong(node, found, advice)

    def _made(self, call: Call, known: Function, terms: list[Term]) -> Term:
        if len(terms) < known.least or (known.most is not None and len(terms) > known.most):
            self._wrong(call, f"'{call.name}' has {len(terms)} arguments.", f"Write it as {known.shape}.")
        for i, term in enumerate(terms):
            allowed = known.kinds[min(i, len(known.kinds) - 1)]
            if term.kind not in allowed and term.kind != "null":
                words = " or ".join(dict.fromkeys(named(cast(Kind, kind)) for kind in allowed))
                hint = (
                    "Join texts with concat(a, b)." if call.name == "+" else f"Convert it; the form is {known.shape}."
                )
                self._wrong(call.arguments[i], f"it is {named(term.kind)}, where '{call.name}' needs {words}.", hint)
        try:
            made = known.make([_of_kind(term, known, i) for i, term in enumerate(terms)])
        except Unfit as unfit:
            node = call.arguments[min(unfit.index, len(call.arguments) - 1)]
            self._wrong(node, unfit.found, unfit.advice or f"Write it as {known.shape}.")
            raise  # never: `_wrong` raises
        lost = tuple(one for term in terms for one in term.lost)
        if isinstance(made, Term):
            return made
        return Term(made[0], made[1], lost=lost)

    # ------------------------------------------------------------------ comparisons
    def _compared(self, call: Call, terms: list[Term]) -> Term:
        for i, term in enumerate(terms[1:], 1):
            if term.literal and term.value is None:
                self._wrong(
                    call.arguments[i], "null equals nothing, not even null.", "Write: x is null, or x is not null."
                )
        if len(terms) < 2:
            self._wrong(call, "'in' has nothing to look among.", "Write it as: x in ('a', 'b').")
        terms = [self._dated(one, terms, call.arguments[i]) for i, one in enumerate(terms)]
        try:
            kind = common(terms)
        except Unfit as unfit:
            self._wrong(call.arguments[unfit.index], unfit.found, unfit.advice)
            raise
        cells = [functions.cast(one, kind) for one in terms]
        lost = tuple(one for term in terms for one in term.lost)
        if call.name == "in":
            return Term(pl.any_horizontal([cells[0] == one for one in cells[1:]]), "boolean", lost=lost)
        left, right = cells
        made = {
            "=": left == right,
            "!=": left != right,
            "<": left < right,
            "<=": left <= right,
            ">": left > right,
            ">=": left >= right,
        }[call.name]
        return Term(made, "boolean", lost=lost)

    def _dated(self, term: Term, terms: list[Term], node: Node) -> Term:
        """Read a text that is compared with a day or a time as one."""
        if not (term.literal and term.kind == "text" and any(one.kind in functions.TIMES for one in terms)):
            return term
        try:
            return literal(
                date.fromisoformat(term.value) if len(term.value) == 10 else datetime.fromisoformat(term.value)
            )
        except ValueError:
            self._wrong(node, "it is compared with a day or a time, and is none.", "Write it as '2024-12-31'.")
            raise

    # ------------------------------------------------------------------ columns
    def _name(self, node: Name) -> Term:
        scope, tables = self.scope, self.scope.tables
        if len(node.path) == 1:
            return _column(scope.frame, self._spelled(node, node.path[0], scope.own, scope.table))
        on, table, key = "", scope.table, ""
        for step in node.path[:-1]:
            column, (target, target_key) = self._link(node, table, step)
            column = self._spelled(node, column, tables.frames[table].columns, table)
            on = self._joined(node, on, table, key, column) if on else column
            table, key = target, self._spelled(node, target_key, tables.frames[target].columns, target)
        value = self._spelled(node, node.path[-1], tables.frames[table].columns, table)
        joined = self._joined(node, on, table, key, value)
        return _column(scope.frame, joined)

    def _joined(self, node: Node, on: str, table: str, key: str, value: str) -> str:
        """Join a column of another table, by a key that must stand once there."""
        other = self.scope.tables.frames[table]
        self._once(node, other, table, key)
        return self.scope.join(("link", on, table, key, value), pl.col(on), other, key, value)

    def _once(self, node: Node, other: pl.DataFrame, table: str, key: str) -> None:
        keys = other[key].drop_nulls()
        twice = keys.len() - keys.n_unique()
        if twice:
            self._wrong(
                node,
                f"it would multiply rows: {twice:,} rows of '{table}' repeat a cell of '{key}'.",
                "Follow a link to a column that stands once in each row, or take the rows together with first(...).",
            )

    def _link(self, node: Node, table: str, step: str) -> tuple[str, tuple[str, str]]:
        leads = self.scope.tables.leads(table)
        folded = step.casefold()
        by_column = [column for column in leads if folded in {column.casefold(), column.casefold().removesuffix("_id")}]
        found = by_column or [column for column, (target, _) in leads.items() if target.casefold() == folded]
        if len(found) == 1:
            return found[0], leads[found[0]]
        names = [column.removesuffix("_id") for column in leads]
        if found:
            self._wrong(node, f"several columns of '{table}' lead to '{step}': {', '.join(found)}.", "Name the column.")
        self._wrong(
            node,
            f"'{table}' has no link '{step}'.{nearest(step, names)}",
            f"Its links: {', '.join(names)}."
            if names
            else "State links in the file, or use lookup(table, key, value, x).",
        )
        raise AssertionError

    def _spelled(self, node: Node, wanted: str, names: Any, table: str) -> str:
        found = _spelled(wanted, names)
        if found is None:
            self._wrong(
                node,
                f"'{table}' has no column '{wanted}'.{nearest(wanted, names)}",
                f"It has: {', '.join(list(names)[:30])}{' and more' if len(names) > 30 else ''}.",
            )
        self.scope.tables.used.add((table, cast(str, found)))
        return cast(str, found)

    def _table(self, node: Node, wanted: str) -> str:
        found = self.scope.tables.name(wanted)
        if found is None:
            known = list(self.scope.tables.frames)
            self._wrong(
                node, f"there is no table '{wanted}'.{nearest(wanted, known)}", f"Tables: {', '.join(known[:30])}."
            )
        return cast(str, found)

    # ------------------------------------------------------------------ other tables
    def _lookup(self, call: Call) -> Term:
        given = call.arguments
        if len(given) != 4 or not all(isinstance(one, Name) and len(one.path) == 1 for one in given[:3]):
            self._wrong(
                call,
                "'lookup' needs a table, two of its columns and a value.",
                "Write it as lookup(table, key, value, x).",
            )
        name, key, value = (cast(Name, one).path[0] for one in given[:3])
        table = self._table(given[0], name)
        other = self.scope.tables.frames[table]
        key = self._spelled(given[1], key, other.columns, table)
        value = self._spelled(given[2], value, other.columns, table)
        term = self.term(given[3])
        self._once(given[1], other, table, key)
        joined = self.scope.join(
            ("lookup", self.expression.text, call.position, table, key, value), term.cell, other, key, value
        )
        return replace(_column(self.scope.frame, joined), lost=term.lost)

    def _aggregate(self, node: Aggregate) -> Term:
        table = self._table(node, node.table)
        inner = Scope(self.scope.tables, table)
        reading = _Reading(inner, self.expression)
        theirs, ours = self._shared(node, table)
        if node.where is not None:
            condition = reading.term(node.where)
            if condition.kind not in {"boolean", "null"}:
                self._wrong(node.where, f"it is {named(condition.kind)}, where a condition is needed.", "Compare it.")
            inner.keep(condition)
        column = None if node.column is None else reading._spelled(node, node.column, inner.own, table)
        if column is None and node.name != "count":
            self._wrong(node, f"'{node.name}' needs a column.", f"Write it as {node.name}({node.table}.COLUMN).")
        frame = inner.frame
        if node.name in {"first", "last"}:
            time = _time(self.scope.tables, table)
            if time is not None:
                frame = frame.sort(time, nulls_last=node.name == "first", maintain_order=True)
        taken, kind = self._taken(node, frame, column)
        grouped = frame.group_by(theirs, maintain_order=True).agg(taken.alias("(value)"))
        mark = ("rows", self.expression.text, node.position, table)
        joined = self.scope.join(mark, pl.col(ours), grouped, theirs, "(value)")
        cell = pl.col(joined)
        return Term(cell.fill_null(0) if node.name == "count" else cell, kind)

    def _taken(self, node: Aggregate, frame: pl.DataFrame, column: str | None) -> tuple[pl.Expr, Kind]:
        if column is None:
            return pl.len().cast(pl.Int64), "integer"
        term = _column(frame, column)
        if node.name == "count":
            return term.cell.count().cast(pl.Int64), "integer"
        if node.name in {"sum", "mean"}:
            if term.kind not in functions.NUMBERS:
                self._wrong(
                    node, f"'{column}' is {named(term.kind)}, where '{node.name}' needs a number.", "Take another."
                )
            return (term.cell.sum(), term.kind) if node.name == "sum" else (term.cell.mean(), "number")
        present = term.cell.drop_nulls()
        return {"first": present.first(), "last": present.last(), "min": term.cell.min(), "max": term.cell.max()}[
            node.name
        ], term.kind

    def _shared(self, node: Aggregate, table: str) -> tuple[str, str]:
        """Return the column of the other table and the column here that say which rows belong together."""
        here, there = self.scope.tables.leads(self.scope.table), self.scope.tables.leads(table)
        if node.per is not None:
            per = self._table(node, node.per)
            theirs = [column for column, (target, _) in there.items() if target == per]
            ours = [column for column, (target, _) in here.items() if target == per]
            keys = {key for target, key in (*here.values(), *there.values()) if target == per}
            theirs = sorted(keys) if table == per else theirs
            ours = sorted(keys) if self.scope.table == per else ours
        else:
            direct = {column: key for column, (target, key) in there.items() if target == self.scope.table}
            if direct and table != self.scope.table:
                theirs = [column for column, key in direct.items() if column == key] or list(direct)
                ours = [direct[theirs[0]]]
            else:
                both = sorted({target for target, _ in here.values()} & {target for target, _ in there.values()})
                if len(both) != 1:
                    said = " or ".join(f"per {one}" for one in both)
                    advice = f"Add {said} before the bracket." if both else "State a link in the file."
                    self._wrong(node, f"it is not said which rows of '{table}' belong to a row here.", advice)
                return self._shared(replace(node, per=both[0]), table)
        if len(theirs) > 1:
            theirs = [column for column in theirs if column in ours] or theirs
        if len(theirs) != 1 or len(ours) != 1:
            lacking = table if not theirs else self.scope.table
            found = (
                f"'{lacking}' has no link to '{node.per or self.scope.table}'"
                if not (theirs and ours)
                else (f"several columns lead to '{node.per or self.scope.table}'")
            )
            self._wrong(node, f"{found}.", "Name another table after per, or state a link in the file.")
        return theirs[0], ours[0]


def _of_kind(term: Term, known: Function, i: int) -> Term:
    """Give a missing literal the kind that a function needs there."""
    allowed = known.kinds[min(i, len(known.kinds) - 1)] if known.kinds else ()
    if term.kind != "null" or len(allowed) > 2:
        return term
    return replace(term, cell=functions.cast(term, cast(Kind, allowed[0])))


def _column(frame: pl.DataFrame, name: str) -> Term:
    held = frame.schema[name]
    cell = pl.col(name)
    if held == pl.String:
        return Term(cell, "text")
    if held.is_integer():
        return Term(cell.cast(pl.Int64), "integer")
    if held.is_numeric():
        return Term(cell.cast(pl.Float64), "number")
    if held == pl.Boolean:
        return Term(cell, "boolean")
    if held == pl.Date:
        return Term(cell, "date")
    if isinstance(held, pl.Datetime):
        plain = cell if held.time_zone is None else cell.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return Term(plain.cast(pl.Datetime("us")), "datetime")
    if held == pl.Null:
        return Term(cell, "null")
    return Term(cell.cast(pl.String), "text")


def _time(tables: Tables, table: str) -> str | None:
    """The column that orders the rows of a table: a clinical table's time; others keep their order."""
    from ehrsatz import loose

    known = {one.name: one.time for one in loose.schema().tables}
    time = known.get(table)
    return time if time in tables.frames[table].columns else None


def _spelled(wanted: str, names: Any) -> str | None:
    if wanted in names:
        return wanted
    same = [name for name in names if name.casefold() == wanted.casefold()]
    return same[0] if len(same) == 1 else None


__all__ = ["Links", "SchemaError", "Scope", "Tables"]
