"""Constraints: proposed where the data keep them, checked, and kept by construction or by repair.

`ConstraintPlan` stands between a generator and its data: `reduce` takes out the columns that others determine, so that
no generator has to learn them, `restore` puts them back and repairs what else is broken, until `check` finds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset, addresses
from ehrsatz.errors import SchemaError
from ehrsatz.rules.base import Finding
from ehrsatz.rules.cells import Fill, from_numbers, plain, put, structural, typed
from ehrsatz.rules.holds import Statement, compile_one, compile_table
from ehrsatz.rules.propose import propose
from ehrsatz.rules.repair import Workshop
from ehrsatz.rules.unique import make_unique
from ehrsatz.schema import MIN_SUBJECTS, Schema, Table, dtype_of
from ehrsatz.seeds import addressed

__all__ = ["ConstraintPlan", "check", "propose"]

_STARTS = 128  # combinations drawn to find anchors
_ANCHORS = 8
_PROBES = 4  # rows drawn for each condition to see whether it can be met
_UNMAPPED = 0.02  # a dependency on rarer unmapped levels still takes its column out


def check(dataset: Dataset) -> list[Finding]:
    """Check every constraint of the schema.

    Returns
    -------
    One finding per constraint, in the order of the schema, under the id "constraint.kind:table(columns)".

    Raises
    ------
    SchemaError
        When a constraint is written wrongly.
    """
    findings = []
    for table in dataset.schema.tables:
        for i, one in enumerate(table.constraints):
            n_checked, wrong = compile_one(table, i).broken(dataset.tables[table.name])
            rows = np.flatnonzero(wrong).astype(np.int64)
            name = f"constraint.{one.kind}:{table.name}({','.join(one.columns)})"
            findings.append(Finding(name, n_checked, len(rows), {table.name: rows}))
    return findings


@dataclass(frozen=True)
class ConstraintPlan:
    """What constraints determine, and what repairing needs; no cell value that fewer than 5 subjects hold.

    schema: of the core, with derived columns. steps: per table, index of a constraint and the column it determines, in
    the order of computing. fills: rough distributions per column. given: the same for the second column of an
    implication where its condition holds, and for an order how often its columns are equal. anchors: made-up
    combinations that keep all constraints.
    """

    schema: Schema
    steps: Mapping[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)
    fills: Mapping[str, Mapping[str, Fill]] = field(default_factory=dict)
    given: Mapping[str, Mapping[int, Fill]] = field(default_factory=dict)
    anchors: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    @classmethod
    def learn(cls, core: Dataset) -> ConstraintPlan:
        """Learn which columns are determined by others, and what repairs draw from.

        Raises
        ------
        SchemaError
            When a constraint is written wrongly, or constraints contradict each other.
        """
        schema = core.schema
        owners = addresses(schema, core.tables)
        floor = min(MIN_SUBJECTS, core.n_subjects)
        steps: dict[str, tuple[tuple[int, str], ...]] = {}
        fills: dict[str, dict[str, Fill]] = {}
        given: dict[str, dict[int, Fill]] = {}
        anchors: dict[str, pl.DataFrame] = {}
        for table in schema.tables:
            frame = core.tables[table.name]
            subjects = pl.Series("subject", owners[table.name][0])
            statements = compile_table(table)
            names = sorted({name for one in statements for name in one.names if one.kind != "unique"})
            fills[table.name] = {
                name: Fill.learn(table[name], frame[name], subjects, floor=floor)
                for name in names
                if name not in structural(table)
            }
            offset = len(statements) - len(table.constraints)
            given[table.name] = {}
            for i, one in enumerate(statements[offset:]):
                if one.kind == "order":
                    given[table.name][i] = _ties(frame, one)
                if one.kind == "implication" and one.then != "missing":
                    here = pl.Series(one.applies(frame))
                    given[table.name][i] = Fill.learn(
                        one.columns[1], frame[one.names[1]].filter(here), subjects.filter(here), floor=floor
                    )
            steps[table.name] = _steps(table, statements[offset:], frame, subjects, given[table.name], floor)
            plan = cls(schema, steps, fills, given, {})
            anchors[table.name] = plan._find_anchors(table, statements, frame)
        return cls(schema, steps, fills, given, anchors)

    def derived(self, table: str) -> tuple[str, ...]:
        """Return the names of a table's columns that others determine."""
        return tuple(name for _, name in self.steps.get(table, ()))

    def reduce(self, core: Dataset) -> Dataset:
        """Return the core without derived columns and the constraints that name them."""
        schema, tables = core.schema, {}
        for table in core.schema.tables:
            gone = self.derived(table.name)
            kept = table.replace_columns(column for column in table.columns if column.name not in gone)
            schema = schema.replace_table(kept)
            tables[table.name] = core.tables[table.name].select(kept.names)
        return Dataset(schema, tables, core.provenance)

    def restore(
        self, tables: Mapping[str, pl.DataFrame], *, seed: int, first: int, fixed: Sequence[str] = ()
    ) -> dict[str, pl.DataFrame]:
        """Compute derived columns and repair rows, so that every constraint holds.

        Parameters
        ----------
        tables
            Generated core tables of one shard, without derived columns.
        seed, first
            Key of the draws and number of the first subject: a row is repaired alike in any shard.
        fixed
            Columns of the parent table that must not change.

        Raises
        ------
        InfeasibleError
            When the fixed columns leave no row that keeps all constraints.
        """
        owners = addresses(self.schema, tables, first=first)
        out = {}
        for table in self.schema.tables:
            subjects, positions = owners[table.name]
            shop = self._shop(table, fixed if table.name == self.schema.parent.name else ())
            frame = self._derive(table, tables[table.name], seed, subjects, positions)
            draw = _drawer(seed, table.name, subjects, positions)
            frame, left = shop.settle(frame, draw)
            if len(left):
                raise shop.refuse(frame, left)
            keys = {column.name for column in table.columns if column.role == "key"}  # numbered on their own
            out[table.name] = make_unique(frame, shop, keys, draw)
        return out

    def require(self, cells: pl.DataFrame) -> None:
        """Refuse conditions on the parent table that contradict its constraints, before anything is drawn.

        Parameters
        ----------
        cells
            Conditions, one column each; rows with a null are free there and are not looked at.

        Raises
        ------
        InfeasibleError
            When no row with these cells keeps all constraints.
        """
        table = self.schema.parent
        asked = cells.drop_nulls().unique(maintain_order=True)
        names = sorted({name for one in compile_table(table) for name in one.names} & set(asked.columns))
        if not names or not asked.height:
            return
        asked = asked.select(names).unique(maintain_order=True)
        n = asked.height
        rows = np.repeat(np.arange(n, dtype=np.int64), _PROBES)
        frame = {}
        for column in table.columns:
            uniform = addressed(0, "require", column.name, subjects=np.arange(len(rows), dtype=np.int64))[:, 0]
            fill = self.fills[table.name].get(column.name, Fill())
            frame[column.name] = fill.draw(column, uniform).cast(dtype_of(column.kind))
            if column.name in names:
                frame[column.name] = asked[column.name].cast(dtype_of(column.kind)).gather(rows)
        for name in structural(table):
            frame[name] = pl.Series(name, np.arange(len(rows)))
        shop = self._shop(table, names)
        trial = pl.DataFrame(frame)
        done, left = shop.settle(trial, _drawer(0, table.name, np.arange(len(rows)), np.zeros_like(rows)))
        hopeless = np.setdiff1d(rows[left], np.delete(rows, left))
        if len(hopeless):
            raise shop.refuse(done, left[np.isin(rows[left], hopeless)][::_PROBES])

    def _shop(self, table: Table, fixed: Sequence[str], *, anchors: bool = True) -> Workshop:
        statements = compile_table(table)
        offset = len(statements) - len(table.constraints)
        return Workshop(
            table.name,
            statements,
            self.fills[table.name],
            {i + offset: fill for i, fill in self.given[table.name].items() if i >= 0},
            self.anchors[table.name] if anchors else pl.DataFrame(),
            frozenset(fixed) | frozenset(structural(table)),
            asked=bool(fixed),
        )

    def _derive(
        self,
        table: Table,
        frame: pl.DataFrame,
        seed: int,
        subjects: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> pl.DataFrame:
        for i, name in self.steps[table.name]:
            one, column = compile_one(table, i), table[name]
            if one.kind == "sum":
                decimals = self.fills[table.name][name].decimals
                frame = frame.with_columns(from_numbers(one.formula(frame), column, decimals).alias(name))
                continue
            known, cells = one.mapped(frame[one.names[0]])
            lost = ~known.to_numpy()
            if lost.any():
                uniform = addressed(
                    seed, "constraints", table.name, name, subjects=subjects[lost], positions=positions[lost]
                )
                rare = self.given[table.name].get(i, Fill()).draw(column, uniform[:, 0])
                none = self.given[table.name].get(_absent(i), Fill()).draw(column, uniform[:, 0])
                empty = frame[one.names[0]].is_null().filter(pl.Series(lost))
                cells = put(cells, lost, none.zip_with(empty, rare.cast(none.dtype)))
            frame = frame.with_columns(cells.alias(name))
        return frame.select(table.names)

    def _find_anchors(self, table: Table, statements: Sequence[Statement], frame: pl.DataFrame) -> pl.DataFrame:
        """Draw columns independently, repair them without anchors, and keep some rows that break nothing.

        Where that finds none though most rows of the data keep the constraints, mostly missing cells are tried.
        """
        names = sorted({name for one in statements for name in one.names if one.kind != "unique"})
        names = [name for name in names if name not in structural(table)]
        if not names or all(one.kind in {"cell", "unique"} for one in statements):
            return pl.DataFrame()
        shop = self._shop(table, (), anchors=False)
        numbered = [(i, one) for i, one in enumerate(shop.statements) if set(one.names) <= set(names)]
        given = {new: shop.given[old] for new, (old, _) in enumerate(numbered) if old in shop.given}
        shop = replace(shop, statements=[one for _, one in numbered], given=given)
        starts = np.arange(_STARTS, dtype=np.int64)
        draw = _drawer(0, table.name, starts, np.zeros_like(starts))
        kept = 1 - float(shop.wrong(frame).mean()) if frame.height else 0.0
        for blank in (0.0, 0.9) if kept >= 0.5 else (0.0,):
            cells = {}
            for column in table.columns:
                cells[column.name] = pl.Series([None] * _STARTS, dtype=dtype_of(column.kind))
                if column.name in names:
                    uniform = addressed(0, "anchor", table.name, column.name, subjects=starts, width=2)
                    drawn = self.fills[table.name][column.name].draw(column, uniform[:, 0])
                    keep = (uniform[:, 1] >= blank) | (not column.nullable)
                    cells[column.name] = put(cells[column.name], keep, drawn.filter(pl.Series(keep)))
            trial, left = shop.settle(pl.DataFrame(cells), draw, enough=_ANCHORS)
            good = np.setdiff1d(starts, left)
            if len(good):
                return trial[good[:_ANCHORS]].select(names)
        if kept < 0.5:
            raise SchemaError(
                f"Expected constraints of table '{table.name}' that a row can keep together.",
                f"{kept:.0%} of the rows keep them all, and none of {_STARTS} drawn rows could be repaired.",
                "Correct or remove one of these constraints.",
                problems=shop.refuse(trial, left).problems,
            )
        return pl.DataFrame()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "schema": self.schema.to_dict(reasons=False),
            "steps": {table: [list(step) for step in steps] for table, steps in self.steps.items()},
            "fills": {
                table: {name: fill.to_dict() for name, fill in fills.items()} for table, fills in self.fills.items()
            },
            "given": {
                table: {str(i): fill.to_dict() for i, fill in given.items()} for table, given in self.given.items()
            },
            "anchors": {
                table: {name: [plain(cell) for cell in frame[name]] for name in frame.columns}
                for table, frame in self.anchors.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ConstraintPlan:
        """Read what `to_dict` writes."""
        schema = Schema.from_dict(data["schema"])
        return cls(
            schema,
            {table: tuple((int(i), str(name)) for i, name in steps) for table, steps in data["steps"].items()},
            {
                table: {name: Fill.from_dict(fill, schema[table][name]) for name, fill in fills.items()}
                for table, fills in data["fills"].items()
            },
            {
                table: {
                    int(i): Fill.from_dict(fill, schema[table][schema[table].constraints[_index(int(i))].columns[1]])
                    for i, fill in given.items()
                }
                for table, given in data["given"].items()
            },
            {
                table: pl.DataFrame(
                    {
                        name: pl.Series(typed(cells, schema[table][name]), dtype=dtype_of(schema[table][name].kind))
                        for name, cells in columns.items()
                    }
                )
                for table, columns in data["anchors"].items()
            },
        )


def _ties(frame: pl.DataFrame, order: Statement) -> Fill:
    """Return how often the two columns of an order are equal, as the weight of the level 0 of their difference."""
    first, second = order.names
    both = frame.select((pl.col(first) == pl.col(second)).alias("tie")).drop_nulls()["tie"]
    return Fill((), (round(float(both.mean() or 0.0), 2),))  # type: ignore[arg-type]


def _absent(i: int) -> int:
    """Key of what goes with a missing determining cell of dependency i."""
    return -1 - i


def _index(key: int) -> int:
    return key if key >= 0 else -1 - key


def _drawer(seed: int, table: str, subjects: NDArray[np.int64], positions: NDArray[np.int64]) -> Any:
    def draw(turn: int, statement: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        names = ("repair", table, turn, statement)
        return addressed(seed, *names, subjects=subjects[rows], positions=positions[rows], width=2)

    return draw


def _steps(
    table: Table,
    statements: Sequence[Statement],
    frame: pl.DataFrame,
    subjects: pl.Series,
    given: dict[int, Fill],
    floor: int,
) -> tuple[tuple[int, str], ...]:
    """Choose the columns that constraints determine, sources before what follows from them."""
    chosen: dict[str, tuple[int, tuple[str, ...]]] = {}

    def sources(name: str) -> set[str]:
        inputs = set(chosen[name][1]) if name in chosen else set()
        return inputs.union(*(sources(one) for one in inputs)) if inputs else inputs

    for i, one in enumerate(statements):
        if one.kind not in {"sum", "dependency"} or (one.kind == "sum" and one.when is not None):
            continue  # a sum that holds in some rows determines no column
        target, inputs = (one.names[0], one.names[1:]) if one.kind == "sum" else (one.names[1], one.names[:1])
        cyclic = any(target == name or target in sources(name) for name in inputs)
        if target in chosen or cyclic or target in structural(table):
            continue
        if one.kind == "sum":
            nullable = any(table[name].nullable and frame[name].null_count() for name in inputs)
            if nullable and not table[target].nullable:
                continue  # parts may be missing where the total must not
        else:
            known, absent = one.mapped(frame[inputs[0]])[0], frame[inputs[0]].is_null()
            rare = ~known & ~absent
            if max(rare.sum(), (absent & frame[target].is_not_null()).sum()) > _UNMAPPED * frame.height:
                continue  # rows that the map does not speak of: their distribution is left to the generator
            given[i] = Fill.learn(table[target], frame[target].filter(rare), subjects.filter(rare), floor=floor)
            given[_absent(i)] = (
                Fill((None,), (1.0,))
                if table[target].nullable and 2 * frame[target].filter(absent).null_count() >= absent.sum()
                else Fill.learn(table[target], frame[target].filter(absent), subjects.filter(absent), floor=floor)
            )
        chosen[target] = (i, inputs)
    ordered: list[tuple[int, str]] = []
    while len(ordered) < len(chosen):
        made = {name for _, name in ordered}
        for name, (i, inputs) in chosen.items():
            if name not in made and all(one not in chosen or one in made for one in inputs):
                ordered.append((i, name))
                break
    return tuple(ordered)
