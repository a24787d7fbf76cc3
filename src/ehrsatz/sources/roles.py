"""What columns are for: whose row it is, the row's own key, links to other tables, when it was, what was measured.

A column takes the role of subject only where its name says that it numbers persons, or where the caller says so. A
date becomes the time of an event only where subjects have several rows; in a table of one row per subject it stays an
attribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from ehrsatz.schema import Column, Link, Role
from ehrsatz.sources import words as w

STAY = frozenset({"stay", "encounter", "admission", "hadm", "visit", "episode", "case", "record"})
AROUND = frozenset({"patient", "unit", "icu", "hospital", "health", "system"})
KEY_KINDS = frozenset({"integer", "id", "code", "category", "text"})


@dataclass(frozen=True)
class Facts:
    """Distinct and missing cells of one column of a table of n_rows rows."""

    n_distinct: int
    n_null: int
    n_rows: int

    @property
    def is_unique(self) -> bool:
        """Whether no two rows agree and none is missing."""
        return self.n_null == 0 and self.n_distinct == self.n_rows


def is_record_number(column: Column, fact: Facts) -> bool:
    """Say whether a column numbers rows, stays or the like: a name of keys, and many different cells."""
    if column.kind not in {"integer", "id"}:
        return False
    words = w.tokens(column.name)
    if words[-1:] in {("index",), ("idx",)} and len(words) > 1:
        return False  # an index of body mass or of disease is a measure
    named = w.is_row_key(words) or w.is_person_key(words)
    return named and fact.n_distinct >= 20 and fact.n_distinct >= 0.3 * (fact.n_rows - fact.n_null)


def facts(frame: pl.DataFrame) -> dict[str, Facts]:
    """Count distinct and missing cells of every column."""
    return {
        cells.name: Facts(cells.drop_nulls().n_unique(), cells.null_count(), frame.height)
        for cells in frame.iter_columns()
    }


def find_subject(columns: Sequence[Column], known: Mapping[str, Facts]) -> str | None:
    """Return the column whose name says that it numbers persons, else a repeating number of stays in front, or None."""
    for column in columns:
        fact = known[column.name]
        if (
            column.kind in KEY_KINDS
            and fact.n_null == 0
            and fact.n_distinct > 1
            and w.is_person_key(w.tokens(column.name))
        ):
            return column.name
    for column in columns[:3]:
        fact = known[column.name]
        repeats = fact.n_null == 0 and 1.2 * fact.n_distinct <= fact.n_rows and fact.n_distinct >= 5
        words = w.tokens(column.name)
        stay = (
            w.has(words, STAY)
            and words[-1] in w.KEY_SUFFIX
            and set(words[:-1]) <= STAY | AROUND
            and fact.n_distinct >= 20
        )
        if (words == ("id",) or stay) and column.kind in KEY_KINDS and repeats:
            return column.name
    return None


def find_key(
    columns: Sequence[Column], known: Mapping[str, Facts], frame: pl.DataFrame, table: str, taken: str | None
) -> str | None:
    """Return the column that numbers the rows: unique, and named or running like a row number; or None."""
    stem = w.tokens(table)
    best: tuple[int, str] | None = None
    for position, column in enumerate(columns):
        if column.name == taken or not known[column.name].is_unique or column.kind not in KEY_KINDS:
            continue
        words = w.tokens(column.name)
        runs = column.kind == "integer" and frame.height >= 20 and _runs(frame[column.name])
        if w.is_row_key(words) or w.is_person_key(words):
            own = words[:1] and stem and words[0].rstrip("s") == stem[-1].rstrip("s")
            rank = 0 if own or words == ("id",) else 1
        elif column.name.lower().endswith("id") and column.kind in {"integer", "id"}:
            rank = 1
        elif runs and (position == 0 or w.has(words, w.ROW)):
            rank = 2
        elif column.kind == "id" and position == 0:
            rank = 3
        else:
            continue
        if best is None or rank < best[0]:
            best = (rank, column.name)
    return best[1] if best else None


def find_time(columns: Sequence[Column], frame: pl.DataFrame, subject: str | None) -> tuple[str | None, str | None]:
    """Return the columns that say when an event began and ended, where subjects have several rows."""
    if subject is None or frame[subject].n_unique() == frame.height:
        return None, None
    dated = [column for column in columns if column.kind in {"date", "datetime"}]
    best: tuple[float, str] | None = None
    for position, column in enumerate(dated):
        cells = frame.select(subject, column.name).drop_nulls()
        if cells.height < 0.5 * frame.height or _constant_within(cells, subject, column.name):
            continue
        words = w.tokens(column.name)
        score = cells.height / frame.height + 2 * w.has(words, w.TIME_NAMES) - 3 * w.has(words, frozenset(w.END_WORDS))
        score -= 3 * w.has(words, frozenset({"birth", "dob", "death", "dod"})) + 0.001 * position
        score += 0.5 * w.has(words, frozenset(w.START_WORDS))
        if best is None or score > best[0]:
            best = (score, column.name)
    if best is not None:
        return best[1], _end_of(best[1], dated, frame)
    for column in columns:
        if column.kind in {"integer", "number"} and w.tokens(column.name)[-1:] and _is_clock(column, frame, subject):
            return column.name, None
    return None, None


def find_links(
    tables: Mapping[str, Sequence[Column]],
    frames: Mapping[str, pl.DataFrame],
    known: Mapping[str, Mapping[str, Facts]],
    first: str,
) -> dict[str, list[Link]]:
    """Return the links of each table: columns whose cells are all among the unique cells of another table's column.

    The names must agree as well: the same name, or the other table's name with or without "id".

    Parameters
    ----------
    tables, frames, known
        Columns, raw text cells and counts by table.
    first
        The table of the subjects, which links to none.
    """
    targets = [
        (name, column.name)
        for name, columns in tables.items()
        for column in columns
        if known[name][column.name].is_unique and column.kind in KEY_KINDS and _is_target(name, column.name)
    ]
    found: dict[str, list[Link]] = {name: [] for name in tables}
    order = [first, *(name for name in tables if name != first)]
    for name in order[1:]:
        for column in tables[name]:
            if column.kind not in KEY_KINDS or known[name][column.name].n_distinct == 0:
                continue
            options = []
            for target, key in targets:
                if target == name or _reaches(found, target, name) or not _names_agree(column.name, target, key):
                    continue
                if known[name][column.name].is_unique and order.index(target) > order.index(name):
                    continue
                child, parent = frames[name][column.name].drop_nulls(), frames[target][key]
                if bool(child.is_in(parent.implode()).all()):
                    options.append((target != first, -known[target][key].n_distinct, order.index(target), target, key))
            if options:
                _, _, _, target, key = min(options)
                found[name].append(Link(column.name, target, key))
    return found


def assign(columns: Sequence[Column], roles: Mapping[str, tuple[Role, str]]) -> list[Column]:
    """Return the columns with their roles and, in `why`, what decided them."""
    out = []
    for column in columns:
        role, reason = roles.get(column.name, ("attribute", ""))
        why = f"{column.why}; {role}: {reason}" if reason else column.why
        out.append(replace(column, role=role, why=why))
    return out


def event_roles(columns: Sequence[Column]) -> dict[str, tuple[Role, str]]:
    """Return which columns of an event table hold what happened, its value and its unit, where names say so."""
    roles: dict[str, tuple[Role, str]] = {}
    coded = [column for column in columns if column.kind in {"code", "category"} and "code" in w.tokens(column.name)]
    items = [
        column
        for column in columns
        if w.tokens(column.name) in {("itemid",), ("item", "id"), ("code",), ("concept", "id")}
    ]
    values = [
        column
        for column in columns
        if w.tokens(column.name)
        in {("value",), ("valuenum",), ("value", "num"), ("numeric", "value"), ("result",), ("lab", "result")}
    ]
    units = [
        column
        for column in columns
        if w.tokens(column.name)
        in {("unit",), ("units",), ("valueuom",), ("uom",), ("value", "uom"), ("unit", "of", "measure")}
        and column.kind == "category"
    ]
    chosen = [column for column in (*items, *coded) if column.kind in {"code", "category"}]
    if not chosen:
        return roles
    roles[chosen[0].name] = ("code", "says what happened, in a table of events")
    values.sort(key=lambda column: not column.is_numeric)
    if values:
        roles[values[0].name] = ("value", "the measured value of the code")
        if units:
            roles[units[0].name] = ("unit", "the unit of the value")
    return roles


def _runs(cells: pl.Series) -> bool:
    least, most = cells.min(), cells.max()
    return isinstance(least, int) and isinstance(most, int) and most - least + 1 == len(cells)


def _constant_within(cells: pl.DataFrame, subject: str, name: str) -> bool:
    many = cells.group_by(subject).agg(pl.col(name).n_unique().alias("k"), pl.len().alias("n")).filter(pl.col("n") > 1)
    return many.height > 0 and many.filter(pl.col("k") == 1).height > 0.9 * many.height


def _is_clock(column: Column, frame: pl.DataFrame, subject: str) -> bool:
    """Whether numbers rise from row to row within each subject under a name of time."""
    words = w.tokens(column.name)
    if not w.has(words, frozenset({"day", "time", "hour", "minute", "offset", "month", "week", "t", "visit", "year"})):
        return False
    cells = frame.select(subject, column.name)
    if cells[column.name].null_count():
        return False
    steps = cells.select(
        (pl.col(column.name).diff().over(subject)).alias("step"),
    )["step"].drop_nulls()
    return len(steps) > 0 and int((steps > 0).sum()) >= 0.95 * len(steps)


def _end_of(start: str, dated: Sequence[Column], frame: pl.DataFrame) -> str | None:
    words = w.tokens(start)
    for column in dated:
        other = w.tokens(column.name)
        if column.name == start or not w.has(other, frozenset(w.END_WORDS)):
            continue
        shared = set(words) & set(other)
        paired = w.has(words, frozenset(w.START_WORDS)) or bool(shared)
        ordered = frame.select(
            (pl.col(start).cast(pl.Datetime("us")) <= pl.col(column.name).cast(pl.Datetime("us"))).mean()
        ).item()
        if paired and ordered is not None and ordered >= 0.99:
            return column.name
    return None


def _is_target(table: str, name: str) -> bool:
    words = w.tokens(name)
    return w.is_row_key(words) or w.is_person_key(words) or (bool(words) and words[-1] in w.KEY_SUFFIX)


def _names_agree(child: str, table: str, key: str) -> bool:
    mine, theirs, stem = w.tokens(child), w.tokens(key), w.tokens(table)
    plain = {("id",), ("row", "id"), ("uid",), ("key",), ("uuid",)}
    if mine == theirs:
        return mine not in plain
    singular = (*stem[:-1], _singular(stem[-1])) if stem else ()
    return theirs in plain and mine in {singular, (*singular, "id"), (*singular, "uid"), (*singular, "key")}


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _reaches(links: Mapping[str, Sequence[Link]], start: str, goal: str) -> bool:
    seen, queue = set(), [start]
    while queue:
        name = queue.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            queue += [link.to_table for link in links[name]]
    return False
