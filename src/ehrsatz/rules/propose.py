"""Propose the constraints that data keep without exception.

A proposal needs support: so many rows that a constraint kept by chance is implausible, counted by subject, and
corrected for the number of pairs looked at. What is proposed names only levels that at least MIN_SUBJECTS subjects
hold; every proposal is checked on all rows before it is made. Columns that are withheld from generators (direct
identifiers, free text, ids, keys) take no part.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.rules.cells import MAX_LEVELS, as_numbers, structural
from ehrsatz.rules.dependencies import find_dependencies
from ehrsatz.rules.holds import compile_one
from ehrsatz.rules.identities import find_identities
from ehrsatz.rules.implications import find_implications
from ehrsatz.rules.levels import code, code_gap, code_spike, count
from ehrsatz.rules.orders import find_gaps, find_orders
from ehrsatz.rules.sums import find_sums
from ehrsatz.schema import MIN_SUBJECTS, Constraint, Table

_LEAST_ROWS = 30
_CELLS = 600_000_000  # rows times squared columns; larger tables are proposed on evenly spaced rows, checked on all


def propose(dataset: Dataset) -> Dataset:
    """Return the dataset with constraints added to its schema, each with its support as the reason.

    Constraints that the schema already has stay as they are, first.
    """
    schema = dataset.schema
    for table in schema.tables:
        frame = dataset.tables[table.name]
        found = [] if frame.height < _LEAST_ROWS else _proposals(dataset, table, frame)
        old = {(one.kind, frozenset(one.columns)) for one in table.constraints}
        fresh = [one for one in found if (one.kind, frozenset(one.columns)) not in old]
        schema = schema.replace_table(replace(table, constraints=(*table.constraints, *fresh)))
    return replace(dataset, schema=schema)


def _proposals(dataset: Dataset, table: Table, frame: pl.DataFrame) -> list[Constraint]:
    key = subject_key(dataset.schema, table) or next((link.column for link in table.links), None)
    subjects = (
        pl.Series("subject", np.arange(frame.height))
        if key is None
        else frame[key].rank("dense").cast(pl.Int64).fill_null(0).alias("subject")
    )
    n_subjects = subjects.n_unique()
    floor, scale = MIN_SUBJECTS, n_subjects / frame.height
    if n_subjects < 2 * floor:
        return []
    columns = [
        column
        for column in table.columns
        if column.disclosure != "direct"
        and column.kind not in {"text", "id"}
        and column.name not in structural(table)
        and frame[column.name].null_count() < frame.height
    ]
    numeric = [column for column in columns if column.is_numeric]
    numbers = np.column_stack([as_numbers(frame[column.name]) for column in numeric]) if numeric else np.empty((0, 0))
    sums = find_sums(numeric, numbers, _LEAST_ROWS, scale) if len(numeric) > 1 else []
    tied = {frozenset({a, b}) for one in sums for a in one.columns for b in one.columns if a != b}

    least = max(10.0, float(np.log(100 * max(1, len(numeric)) ** 2)))
    orders = []
    for kinds in ({"integer", "number"}, {"date", "datetime"}):
        which = [j for j, column in enumerate(numeric) if column.kind in kinds]
        if len(which) > 1:
            orders += find_orders([numeric[j] for j in which], numbers[:, which], least, scale, tied)

    missing = np.column_stack([frame[column.name].is_null().to_numpy() for column in columns])
    gap_subjects = [
        subjects.filter(frame[column.name].is_null()).n_unique() if missing[:, j].any() else 0
        for j, column in enumerate(columns)
    ]
    gaps = find_gaps(columns, missing, gap_subjects, floor)

    every = max(1, -(-frame.height * len(columns) ** 2 // _CELLS))
    part, whose = frame.gather_every(every), subjects.gather_every(every)
    cells = [one for column in columns if (one := code(column, part[column.name], whose, floor)) is not None]
    busy = {name for one in sums for name in one.columns}
    totals = {one.columns[0] for one in sums}
    dependencies = find_dependencies(cells, scale, totals)
    few = [one for one in cells if one.n <= MAX_LEVELS and one.whole]
    follows = {name for one in gaps for name in one.columns[1:]}  # they share the gaps of the first of their set
    few += [
        one
        for column in columns
        if column.name not in follows | totals
        and (one := code_gap(column, part[column.name], whose, floor)) is not None
    ]
    conditions = [one for one in few if not one.gap]
    few += [
        one
        for column in numeric
        if column.name not in totals and (one := code_spike(column, part[column.name], whose, floor)) is not None
    ]
    place = {id(one): i for i, one in enumerate(few)}
    known = {
        (place[id(cells[i])], place[id(cells[j])]): count(cells[i], cells[j])[:-1].argmax(axis=1)
        for i, j in dependencies
        if id(cells[i]) in place and id(cells[j]) in place
    }
    implications = find_implications(few, known, tied, scale)
    found = [
        *sums,
        *dependencies.values(),
        *orders,
        *gaps,
        *implications,
        *find_identities(numeric, numbers[::every], conditions, whose.to_numpy(), busy),
    ]
    trial = replace(table, constraints=tuple(found))
    return [one for i, one in enumerate(found) if not compile_one(trial, i).broken(frame)[1].any()]
