"""From raw tables to a schema with a reason for every guess, and to typed cells.

Work is done on the distinct cells of each column, so the time is linear in rows and small beside the reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from ehrsatz.errors import DataError, SourceError
from ehrsatz.schema import Column, Link, Role, Schema, Table
from ehrsatz.sources import bounds, cells, dates, disclosure, kinds, missing, roles
from ehrsatz.sources import words as w


def infer(
    frames: Mapping[str, pl.DataFrame],
    *,
    name: str,
    subject: str | None = None,
    links: Mapping[str, Sequence[Link]] | None = None,
) -> tuple[Schema, dict[str, pl.DataFrame]]:
    """Guess the schema of raw tables and return it with the typed tables.

    Parameters
    ----------
    frames
        Table name -> raw cells; text columns are taken as the source spells them.
    name
        Name of the schema.
    subject
        Column that says whose row it is, in one or more of the tables; None means guess.
    links
        Links that the source itself declares, by table; added to those found.

    Raises
    ------
    DataError
        When the subject column is absent, or has missing cells.
    """
    refuse_unreadable(frames)
    names = [column for frame in frames.values() for column in frame.columns]
    if subject is not None and subject not in names:
        from ehrsatz.errors import nearest

        raise DataError(
            f"Expected a subject column named '{subject}'.",
            f"None of the {len(names)} columns has that name.{nearest(subject, names)}",
            "Name a column of the data with --subject.",
        )
    drafts, values, tables = {}, {}, {}
    for table, frame in frames.items():
        drafts[table], values[table] = _draft(frame)
        tables[table] = _typed(frame, drafts[table], values[table])
    known = {table: roles.facts(frame) for table, frame in tables.items()}
    owner = {table: _subject(drafts[table], known[table], subject, len(frames) > 1) for table in frames}
    first = _parent(frames, owner, known, subject)
    found = (
        roles.find_links(drafts, {t: _as_text(frames[t], values[t]) for t in frames}, known, first)
        if len(frames) > 1
        else {}
    )
    for table, declared in (links or {}).items():
        held = {link.column for link in declared}
        found[table] = [*declared, *(link for link in found.get(table, []) if link.column not in held)]
    found = _unorphaned(found, frames, values)
    schema_tables, out = [], {}
    for table in [first, *(other for other in frames if other != first)]:
        columns = _roles(table, drafts, tables, known, owner, found)
        columns = _key_kinds(table, columns, drafts, found)
        frame = _typed(frames[table], columns, values[table], tables[table], drafts[table])
        whose = _subjects(frame, columns, found.get(table, ()), first)
        columns = [_described(column, frame[column.name], known[table][column.name], whose) for column in columns]
        schema_tables.append(Table(table, tuple(columns), tuple(found.get(table, ()))))
        out[table] = frame
    return Schema(name, tuple(schema_tables)), out


def _described(column: Column, cells: pl.Series, fact: roles.Facts, whose: pl.Series | None) -> Column:
    number = roles.is_record_number(column, fact)
    return bounds.describe(disclosure.classify(column, is_number=number), cells, whose)


def refuse_unreadable(frames: Mapping[str, pl.DataFrame]) -> None:
    """Refuse tables with columns of lists, structures or bytes, naming all of them."""
    problems = [
        f"{table}.{cells_.name}: of type {cells_.dtype.base_type().__name__}"
        for table, frame in frames.items()
        for cells_ in frame.iter_columns()
        if not cells.is_readable(cells_.dtype)
    ]
    if problems:
        raise SourceError(
            "Expected columns of text, numbers, booleans, dates or times.",
            f"{len(problems)} columns hold something else.",
            "Unnest or leave out these columns.",
            problems=problems,
        )


def _draft(frame: pl.DataFrame) -> tuple[list[Column], dict[str, pl.DataFrame]]:
    values = {name: cells.distinct(frame[name]) for name in frame.columns}
    certain = any(
        frame[name].dtype == pl.String and (_n_blank(frame, values[name]) or _has_certain(values[name]))
        for name in frame.columns
    )
    context = kinds.Context(frame.height, marks_missing_otherwise=certain)
    columns = [kinds.decide(name, values[name], frame[name].dtype, context) for name in frame.columns]
    evidence = [
        dates.is_day_first(c.format)
        for c in columns
        if c.kind in {"date", "datetime"} and c.format and "can only be" in c.why
    ]
    sure = {order for order in evidence if order is not None}
    if len(sure) == 1:
        again = replace(context, day_first=sure.pop())
        columns = [
            kinds.decide(c.name, values[c.name], frame[c.name].dtype, again) if "could be either way" in c.why else c
            for c in columns
        ]
    return columns, values


def _n_blank(frame: pl.DataFrame, values: pl.DataFrame) -> bool:
    return int(values.filter(pl.col("text").is_not_null())["n"].sum() or 0) < frame.height


def _has_certain(values: pl.DataFrame) -> bool:
    return bool(values["text"].str.to_lowercase().is_in(list(missing.CERTAIN)).any())


def _typed(
    frame: pl.DataFrame,
    columns: Sequence[Column],
    values: Mapping[str, pl.DataFrame],
    before: pl.DataFrame | None = None,
    drafts: Sequence[Column] = (),
) -> pl.DataFrame:
    same = {c.name for c, draft in zip(columns, drafts) if c.kind == draft.kind and c.missing == draft.missing}
    return pl.DataFrame(
        [
            before[c.name]
            if before is not None and c.name in same
            else cells.typed(frame[c.name], values[c.name], c)[0]
            for c in columns
        ]
    )


def _as_text(frame: pl.DataFrame, values: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Key-like columns as text, to compare keys across tables whatever their types."""
    return pl.DataFrame(
        [
            frame[name].replace_strict(v["raw"], v["text"].str.strip_suffix(".0"), default=None, return_dtype=pl.String)
            if v.height
            else pl.Series(name, [None] * frame.height, dtype=pl.String)
            for name, v in values.items()
        ]
    )


def _subject(
    columns: Sequence[Column], known: Mapping[str, roles.Facts], wanted: str | None, several: bool
) -> str | None:
    if wanted is None:
        return roles.find_subject(columns, known)
    if wanted not in known:
        return roles.find_subject(columns, known) if several else None
    if known[wanted].n_null:
        raise DataError(
            f"Expected the subject column '{wanted}' to say whose row it is in every row.",
            f"{known[wanted].n_null:,} of {known[wanted].n_rows:,} rows have none.",
            "Fill or remove these rows, or name another column with --subject.",
        )
    return wanted


def _parent(
    frames: Mapping[str, pl.DataFrame],
    owner: Mapping[str, str | None],
    known: Mapping[str, Mapping[str, roles.Facts]],
    wanted: str | None,
) -> str:
    """The table of the subjects: with the unique wanted column, a name of persons, or a unique number of persons."""
    unique = [table for table in frames if owner[table] is not None and known[table][str(owner[table])].is_unique]
    for table in unique:
        if wanted is not None and owner[table] == wanted:
            return table
    for table in frames:
        words = w.tokens(table)
        if words and (words[-1] in w.PERSON or words[-1].removesuffix("s") in w.PERSON):
            return table
    return unique[0] if unique else next(iter(frames))


def _unorphaned(
    found: Mapping[str, Sequence[Link]],
    frames: Mapping[str, pl.DataFrame],
    values: Mapping[str, Mapping[str, pl.DataFrame]],
) -> dict[str, list[Link]]:
    kept: dict[str, list[Link]] = {}
    for table, links in found.items():
        kept[table] = []
        for link in links:
            child = values[table][link.column]["text"].drop_nulls().str.strip_suffix(".0")
            parent = values[link.to_table][link.to_column]["text"].str.strip_suffix(".0")
            if bool(child.is_in(parent.implode()).all()):
                kept[table].append(link)
    return kept


def _roles(
    table: str,
    drafts: Mapping[str, Sequence[Column]],
    tables: Mapping[str, pl.DataFrame],
    known: Mapping[str, Mapping[str, roles.Facts]],
    owner: Mapping[str, str | None],
    links: Mapping[str, Sequence[Link]],
) -> list[Column]:
    columns, frame = drafts[table], tables[table]
    chosen: dict[str, tuple[Role, str]] = {}
    mine = {link.column: link for link in links.get(table, ())}
    aimed = {link.to_column for others in links.values() for link in others if link.to_table == table}
    for name, link in mine.items():
        chosen[name] = ("link", f"every cell is a key of {link.to_table}")
    subject = owner[table]
    whose = subject
    if subject is not None and subject not in mine:
        unique = known[table][subject].is_unique
        if subject in aimed:
            chosen[subject] = ("key", "other tables link to it, one row per subject")
        else:
            chosen[subject] = (
                "subject",
                "numbers persons, one row each" if unique else "numbers persons, several rows each",
            )
    has_key = any(role == "key" for role, _ in chosen.values())
    if not has_key:
        aims = [name for name in sorted(aimed) if name not in chosen]
        key = aims[0] if aims else roles.find_key(columns, known[table], frame, table, subject)
        if key is not None and key not in chosen:
            chosen[key] = ("key", "numbers the rows, no two alike")
    if whose is None:
        whose = next((name for name in mine), None)
    start, end = roles.find_time(columns, frame, whose)
    if start is not None and start not in chosen:
        chosen[start] = ("time", "says when, and subjects have several rows")
        if end is not None and end not in chosen:
            chosen[end] = ("end", "never before the time column")
        for name, role in roles.event_roles(columns).items():
            chosen.setdefault(name, role)
    return roles.assign(columns, chosen)


def _key_kinds(
    table: str, columns: Sequence[Column], drafts: Mapping[str, Sequence[Column]], links: Mapping[str, Sequence[Link]]
) -> list[Column]:
    """Give subject, key and link columns the kind integer or id, the same on both ends of a link."""
    targets = {link.column: (link.to_table, link.to_column) for link in links.get(table, ())}
    out = []
    for column in columns:
        if column.role not in {"subject", "key", "link"}:
            out.append(column)
            continue
        where = (table, column.name)
        seen = {where}
        while (step := _next(where, links)) is not None and step not in seen:
            where = step
            seen.add(where)
        kind = next(draft.kind for draft in drafts[where[0]] if draft.name == where[1])
        kind = kind if kind in {"integer", "id"} else "id"
        kept = kind == column.kind
        out.append(
            replace(
                column,
                kind=kind,
                system=None,
                format=column.format if kept else None,
                missing=column.missing if kept or column.name in targets else (),
            )
        )
    return out


def _next(where: tuple[str, str], links: Mapping[str, Sequence[Link]]) -> tuple[str, str] | None:
    return next(((link.to_table, link.to_column) for link in links.get(where[0], ()) if link.column == where[1]), None)


def _subjects(frame: pl.DataFrame, columns: Sequence[Column], links: Sequence[Link], parent: str) -> pl.Series | None:
    for column in columns:
        if column.role == "subject":
            return frame[column.name]
    for link in links:
        if link.to_table == parent:
            return frame[link.column]
    return None
