"""A mapping applied to rows: the clinical tables as any tables, and any tables as the clinical ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as Keyed

import polars as pl

from ehrsatz import loose
from ehrsatz.clinical import WORLD
from ehrsatz.errors import DataError, SchemaError, UnsupportedError, nearest
from ehrsatz.mapping.compute import Scope, Tables
from ehrsatz.mapping.form import Cell, Mapping, Rows, Section
from ehrsatz.mapping.functions import Kind, Term, cast, named
from ehrsatz.schema import Table, dtype_of

_KIND: dict[str, Kind] = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}
_WIDER = {("integer", "text"), ("integer", "number"), ("date", "datetime")}  # taken without being asked for


# ---------------------------------------------------------------------- out
def exported(
    mapping: Mapping, tables: Keyed[str, pl.DataFrame], *, patients: bool, world: bool
) -> dict[str, pl.DataFrame]:
    """Return the tables of a mapping's export section.

    Parameters
    ----------
    mapping
        With such a section.
    tables
        All clinical tables, in the loose form.
    patients, world
        Whether to make the tables of patients' rows, and those of rows that belong to no patient.

    Raises
    ------
    SchemaError
        When an expression names what there is not, or kinds do not fit.
    DataError
        When cells cannot be converted, or words are not listed.
    UnsupportedError
        When the mapping has no such section.
    """
    section = _section(mapping, mapping.exported, "export")
    base = Tables(tables, clinical_links())
    out = {}
    for name, parts in section.tables.items():
        if not (world if is_world(parts) else patients):
            continue
        lost: Counter[str] = Counter()
        frames = [_made(base, rows, None, lost) for rows in parts]
        if lost:
            told = ", ".join(f"{place} ({count:,})" for place, count in lost.items())
            raise DataError(
                "Expected cells that the mapping's expressions can convert.",
                f"Some cannot be: {told}.",
                "Correct the expression, or give the words that lack, or others: drop.",
            )
        out[name] = _stacked(frames, parts)
    return out


def check_export(mapping: Mapping) -> None:
    """Check a mapping's export section against the clinical tables, without rows.

    Raises
    ------
    SchemaError, UnsupportedError
        When it names what there is not, mixes tables of patients with others, or has no such section.
    """
    section = _section(mapping, mapping.exported, "export")
    for name, parts in section.tables.items():
        if len({rows.table in WORLD for rows in parts}) > 1:
            raise SchemaError(
                f"Expected the rows of 'export.tables.{name}' to be all of patients, or all of none.",
                f"They come from tables of both ({', '.join(sorted({rows.table for rows in parts}))}).",
                "Make two tables of them.",
            )
    exported(
        mapping, {table.name: loose.fill(table, None) for table in loose.schema().tables}, patients=True, world=True
    )


def is_world(parts: tuple[Rows, ...]) -> bool:
    """Say whether a table's rows belong to no patient."""
    return parts[0].table in WORLD


def clinical_links() -> dict[tuple[str, str], tuple[str, str]]:
    """Return the links between the clinical tables."""
    return {
        (table.name, link.column): (link.to_table, link.to_column)
        for table in loose.schema().tables
        for link in table.links
    }


# ---------------------------------------------------------------------- in
def imported(mapping: Mapping, tables: Keyed[str, pl.DataFrame], left: Counter[str]) -> dict[str, pl.DataFrame]:
    """Return clinical tables, with the columns that a mapping's import section gives them.

    Parameters
    ----------
    mapping
        With such a section.
    tables
        The user's own.
    left
        Takes the count of cells that an expression could not convert, by place, and of what no expression names.

    Raises
    ------
    SchemaError
        When the mapping names what there is not, or kinds do not fit.
    DataError
        When words are not listed.
    UnsupportedError
        When the mapping has no such section.
    """
    section = _section(mapping, mapping.imported, "import")
    base = Tables(tables, _stated(section, tables))
    out = {}
    for table in loose.schema().tables:
        frames = [_made(base, rows, table, left) for rows in section.tables.get(table.name, ())]
        if frames:
            out[table.name] = pl.concat(frames, how="diagonal")
    _count_unused(base, left)
    return out


def _stated(section: Section, tables: Keyed[str, pl.DataFrame]) -> dict[tuple[str, str], tuple[str, str]]:
    base = Tables(tables)
    out = {}
    for sides in section.links.items():
        found = []
        for table, column in sides:
            place = f"import.links.{sides[0][0]}.{sides[0][1]}"
            name = base.name(table)
            if name is None:
                raise _no_table(place, table, tables)
            spelled = [one for one in tables[name].columns if one.casefold() == column.casefold()]
            if column not in tables[name].columns and len(spelled) != 1:
                raise SchemaError(
                    f"Expected '{place}' to name columns of the data.",
                    f"'{name}' has no column '{column}'.{nearest(column, tables[name].columns)}",
                    "Correct the name.",
                )
            found.append((name, column if column in tables[name].columns else spelled[0]))
        out[found[0]] = found[1]
    return out


def _count_unused(base: Tables, left: Counter[str]) -> None:
    """Count what no expression names: whole tables by their rows, columns by their cells."""
    read = {table for table, _ in base.used}
    for name in sorted(base.frames):
        frame = base.frames[name]
        if name not in read:
            left[f"table {name}: named by no expression"] += frame.height
            continue
        for column in frame.columns:
            if (name, column) not in base.used:
                left[f"{name}.{column}: named by no expression"] += frame[column].len() - frame[column].null_count()


# ---------------------------------------------------------------------- both
def _section(mapping: Mapping, section: Section | None, name: str) -> Section:
    if section is None:
        raise UnsupportedError(
            f"Expected a section '{name}' in the mapping file.",
            f"'{mapping.name}' has none.",
            "Add it: docs/formats/mapping.md says how.",
        )
    return section


def _held(base: Tables, rows: Rows) -> str:
    name = base.name(rows.table)
    if name is None:
        raise _no_table(f"{rows.place}.from", rows.table, base.frames)
    return name


def _no_table(place: str, wanted: str, tables: Keyed[str, pl.DataFrame]) -> SchemaError:
    return SchemaError(
        f"Expected '{place}' to name a table of the data.",
        f"There is no table '{wanted}'.{nearest(wanted, tables)}",
        f"Tables: {', '.join(sorted(tables)[:30])}.",
    )


def _made(base: Tables, rows: Rows, target: Table | None, lost: Counter[str]) -> pl.DataFrame:
    """Make the rows of one entry; count cells that could not be converted."""
    scope = Scope(base, _held(base, rows))
    if rows.where is not None:
        condition = scope.term(rows.where)
        if condition.kind not in {"boolean", "null"}:
            rows.where.wrong(
                rows.where.root, f"it is {named(condition.kind)}, where a condition is needed.", "Compare it."
            )
        scope.keep(condition)
    if rows.one_per is not None:
        group = scope.term(rows.one_per)
        scope.frame = scope.frame.with_columns(group.cell.alias("(group)"))
        scope.frame = scope.frame.unique("(group)", keep="first", maintain_order=True).drop("(group)")
    terms = {name: _worded(scope.term(cell.value), cell) for name, cell in rows.columns.items()}
    cells, checks = [], []
    for name, (term, strange) in terms.items():
        place = rows.columns[name].place
        cells.append(_assigned(term, rows.columns[name], target, name).alias(name))
        if term.lost:
            checks.append((pl.any_horizontal(term.lost) & term.cell.is_null()).sum().alias(f"lost {place}"))
        if strange is not None:
            checks.append(strange.sum().alias(f"words {place}"))
    counts = scope.frame.select(checks).row(0, named=True) if checks else {}
    words = {name.removeprefix("words "): n for name, n in counts.items() if name.startswith("words ") and n}
    if words:
        raise DataError(
            "Expected only words that the mapping lists.",
            f"Others are in: {', '.join(f'{place} ({n:,} cells)' for place, n in words.items())}.",
            "List them under words, or say others: drop, or others: keep.",
        )
    for name, n in counts.items():
        if n and name.startswith("lost "):
            lost[f"{name.removeprefix('lost ')}: cells of another kind"] += n
    return scope.frame.with_columns(cells).select(list(terms))


def _worded(term: Term, cell: Cell) -> tuple[Term, pl.Expr | None]:
    """Put the words of the file in place; also tell which cells hold others, where those are refused."""
    if not cell.words:
        return term, None
    if term.kind not in {"text", "integer", "null"}:
        cell.value.wrong(cell.value.root, f"it is {named(term.kind)}, and words are texts.", "Convert it with text(x).")
    said = cast(term, "text")
    old, new = list(cell.words), list(cell.words.values())
    default = said if cell.others == "keep" else None
    put = said.replace_strict(old, new, default=default, return_dtype=pl.String)
    strange = said.is_not_null() & ~said.is_in(old) if cell.others == "refuse" else None
    return Term(put, "text", lost=term.lost), strange


def _assigned(term: Term, cell: Cell, target: Table | None, name: str) -> pl.Expr:
    """Cells in the kind of the column that they go into."""
    if target is None:
        return term.cell
    kind = target[name].kind
    wanted = _KIND.get(kind, "text")
    if term.kind not in {wanted, "null"} and (term.kind, wanted) not in _WIDER:
        how = {
            "date": "date(x, '%d.%m.%Y')",
            "datetime": "datetime(x, '%d.%m.%Y %H:%M')",
            "text": "text(x)",
            "number": "number(x)",
            "integer": "integer(x)",
        }
        cell.value.wrong(
            cell.value.root,
            f"it is {named(term.kind)}, and {target.name}.{name} holds {named(wanted)}.",
            f"Convert it, as {how[wanted]}.",
        )
    return term.cell.cast(dtype_of(kind))


def _stacked(frames: list[pl.DataFrame], parts: tuple[Rows, ...]) -> pl.DataFrame:
    """Put the entries of one table under each other; a column that is missing in all becomes text."""
    for name in frames[0].columns:
        held = {frame.schema[name] for frame in frames} - {pl.Null()}
        if len(held) > 1 and not (all(one.is_numeric() for one in held) or all(one.is_temporal() for one in held)):
            raise SchemaError(
                f"Expected cells of one kind in '{parts[0].place.partition('[')[0]}.columns.{name}'.",
                "The entries that make up the table differ in it.",
                "Convert one of them, as with text(x).",
            )
    whole = pl.concat(frames, how="vertical_relaxed")
    return whole.with_columns(pl.col(pl.Null).cast(pl.String))
