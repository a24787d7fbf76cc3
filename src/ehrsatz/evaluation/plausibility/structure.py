"""What can be counted without medicine: rules, codes, keys, stays. Counts of shards add up to those of the cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ehrsatz import clinical, registry, terminology
from ehrsatz.dataset import Dataset
from ehrsatz.parts import SimulatorPart
from ehrsatz.rules.catalogue import by_id
from ehrsatz.rules.catalogue import rules as shipped
from ehrsatz.rules.view import View

MOST_NAMED = 20  # unknown codes that are named, per system
BY_ROW = ("order", "allergy")  # tables that name the system of a code row by row
TWICE = "key.twice"  # the rule that finds keys that stand twice

Counts = dict[str, list[int]]


def rules(dataset: Dataset, view: View) -> Counts:
    """Return id -> [rows that the rule applies to, rows that break it], for every rule that could be checked.

    Parameters
    ----------
    dataset
        For rules of other packages, which take one.
    view
        The same rows.
    """
    out: Counts = {}
    for one in shipped():
        if not view.lacks(one.needs):
            found = one.judge(view)
            out[one.id] = [found.n_checked, found.n_failed]
    for name in registry.names("rules"):
        if name in by_id():
            continue
        made = registry.find("rules", name)
        rule = made() if isinstance(made, type) else made
        found = rule.check(dataset)
        out[name] = [found.n_checked, found.n_failed]
    return out


def codes(view: View, plan: SimulatorPart) -> dict[str, dict[str, Any]]:
    """Return system -> rows with a code, rows with one that no list holds, and which those are.

    Parameters
    ----------
    view
        The rows.
    plan
        Its folder of modules may hold a `codes.csv` with further codes.
    """
    known = terminology.codes()
    if plan.modules is not None and (extra := Path(plan.modules) / "codes.csv").is_file():
        known = known.with_file(extra)
    out: dict[str, dict[str, Any]] = {name: {"checked": 0, "unknown": 0, "named": {}} for name in clinical.SYSTEMS}

    def add(system: str, table: str, column: str, rows: np.ndarray | None) -> None:
        coded = view.coded(table, column)
        here = coded.at >= 0 if rows is None else (coded.at >= 0) & rows
        one = out[system]
        one["checked"] += int(np.count_nonzero(here))
        absent = [name for name in coded.names if not known.has(system, name)]
        for name in absent:
            n = int(np.count_nonzero(here & coded.one_of([name])))
            if n:
                one["unknown"] += n
                one["named"][f"{table}.{column} {name}"] = n

    for table in clinical.schema().tables:
        for column in table.columns:
            if column.kind == "code" and view.has(f"{table.name}.{column.name}"):
                system = view.system(table.name, column.name)
                if system in out:
                    add(system, table.name, column.name, None)
        if table.name in BY_ROW and view.has(f"{table.name}.system"):
            which = view.coded(table.name, "system")
            for system in clinical.SYSTEMS:
                if system in which.names:
                    add(system, table.name, "code", which.one_of([system]))
    return out


def dangling(view: View) -> Counts:
    """Return "table.column" -> [cells that name a row, those whose row is absent], for every link of the schema."""
    out: Counts = {}
    for table in clinical.schema().tables:
        for link in table.links:
            name = f"{table.name}.{link.column}"
            if not view.has(name) or not view.has(f"{link.to_table}.{link.to_column}"):
                continue
            given = view.given(table.name, link.column)
            place = view.place(table.name, link.column, link.to_table, link.to_column)
            out[name] = [int(np.count_nonzero(given)), int(np.count_nonzero(given & (place < 0)))]
    return out


def stays(view: View) -> list[int]:
    """Return encounters, and those that do not end after they begin."""
    if not view.has("encounter.start"):
        return [0, 0]
    start, stop = view.times("encounter", "start"), view.times("encounter", "stop")
    return [len(start), int(np.count_nonzero(stop <= start))]


def merged_codes(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Add up what `codes` found in two shards; of many unknown codes, the first are named."""
    out: dict[str, Any] = {}
    for name in sorted({*a, *b}):
        if name not in a or name not in b:
            out[name] = a.get(name) or b.get(name)
            continue
        one, two = a[name], b[name]
        named = dict(one["named"])
        for code, n in two["named"].items():
            if code in named or len(named) < MOST_NAMED:
                named[code] = named.get(code, 0) + n
        out[name] = {"checked": one["checked"] + two["checked"], "unknown": one["unknown"] + two["unknown"]}
        out[name]["named"] = named
    return out
