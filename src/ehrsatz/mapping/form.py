"""The form of a mapping file: which tables and columns become which, out of the clinical tables and into them.

Section `export` makes tables of any layout from the clinical ones, section `import` makes the clinical ones from
others. A file may hold either or both. Unknown keys are refused with the nearest match; expressions are read at once,
so that a mistake in one is told by its place in the file before any data are.
"""

from __future__ import annotations

from collections.abc import Mapping as Keyed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ehrsatz import loose
from ehrsatz.errors import SchemaError, nearest
from ehrsatz.mapping.expression import Expression, parse
from ehrsatz.markup import load

FORMATS = ("csv", "parquet")


@dataclass(frozen=True)
class Cell:
    """One column of a table that is made.

    Parameters
    ----------
    value
        The expression.
    words
        Word -> word, in its place; text on both sides.
    others
        Words that are not listed: "keep" them, "drop" them (missing then), or "refuse" them.
    place
        Where it stands in the file.
    """

    value: Expression
    words: Keyed[str, str | None] = field(default_factory=dict)
    others: Literal["keep", "drop", "refuse"] = "refuse"
    place: str = ""


@dataclass(frozen=True)
class Rows:
    """Rows of one table that become rows of another.

    Parameters
    ----------
    table
        The table they come from.
    columns
        Column that is made -> where its cells come from.
    where
        Only such rows; all where None.
    one_per
        Of rows that agree on this only the first; all where None.
    place
        Where it stands in the file.
    """

    table: str
    columns: Keyed[str, Cell]
    where: Expression | None = None
    one_per: Expression | None = None
    place: str = ""


@dataclass(frozen=True)
class Section:
    """One direction of a mapping.

    Parameters
    ----------
    tables
        Table that is made -> the rows that make it up, one set after the other.
    links
        (table, column) -> (table, column) that it leads to, for tables whose links nobody else states.
    format
        Of the files that are written: csv or parquet.
    delimiter, missing
        Of CSV files: between two cells, and in place of an empty one.
    """

    tables: Keyed[str, tuple[Rows, ...]]
    links: Keyed[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    format: str = "csv"
    delimiter: str = ","
    missing: str = ""


@dataclass(frozen=True)
class Mapping:
    """A whole mapping file."""

    name: str
    exported: Section | None
    imported: Section | None

    @classmethod
    def from_yaml(cls, text: str, *, name: str = "mapping") -> Mapping:
        """Read a mapping file.

        Parameters
        ----------
        text
            YAML, as in docs/formats/mapping.md.
        name
            Used where the text gives none.

        Raises
        ------
        SchemaError
            When the text is no YAML, holds a key, clinical table or column that there is not, or an expression that
            cannot be read.
        """
        try:
            data = load(text)
        except ValueError as error:
            raise SchemaError("Expected a mapping file in YAML.", str(error), "Correct that line.") from None
        top = _keys(data, "the mapping file", ("name", "export", "import"))
        if "export" not in top and "import" not in top:
            raise SchemaError(
                "Expected a section 'export' or 'import' in the mapping file.", "It has neither.", "Add one."
            )
        return cls(
            _text(top.get("name", name), "name"),
            _exported(top["export"]) if "export" in top else None,
            _imported(top["import"]) if "import" in top else None,
        )

    @classmethod
    def from_file(cls, path: str | Path) -> Mapping:
        """Read the mapping file at a path.

        Raises
        ------
        SchemaError
            When there is no such file, or it is wrong.
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8")
        except OSError:
            raise SchemaError(
                "Expected a mapping file.",
                f"'{file.name}' cannot be read.",
                "Check the path, as in --mapping map.yaml.",
            ) from None
        except UnicodeDecodeError:
            raise SchemaError("Expected a mapping file in UTF-8.", f"'{file.name}' is not.", "Save it so.") from None
        return cls.from_yaml(text, name=file.stem)


# ---------------------------------------------------------------------- sections
def _exported(raw: Any) -> Section:
    entry = _keys(raw, "export", ("format", "delimiter", "missing", "tables"))
    format_ = _choice(entry.get("format", "csv"), "export.format", FORMATS)
    delimiter = _text(entry.get("delimiter", ","), "export.delimiter")
    if len(delimiter.encode()) != 1 or delimiter in {'"', "\n", "\r"}:
        raise SchemaError(
            "Expected 'export.delimiter' to be one character, as ';'.", "It is another text.", "Correct it."
        )
    known = {table.name: None for table in loose.schema().tables}
    return Section(
        _tables(entry, "export", made=None, held=known),
        format=format_,
        delimiter=delimiter,
        missing=_text(entry.get("missing", ""), "export.missing"),
    )


def _imported(raw: Any) -> Section:
    entry = _keys(raw, "import", ("links", "tables"))
    links = {}
    for name, target in _keys(entry.get("links", {}), "import.links", None).items():
        place = f"import.links.{name}"
        links[_pair(name, place)] = _pair(target, place)
    made = {table.name: table.names for table in loose.schema().tables}
    return Section(_tables(entry, "import", made=made, held=None), links)


def _tables(
    entry: Keyed[str, Any], section: str, *, made: Keyed[str, tuple[str, ...]] | None, held: Any
) -> dict[str, tuple[Rows, ...]]:
    listed = _keys(entry.get("tables"), f"{section}.tables", made)
    if not listed:
        raise SchemaError(f"Expected tables in '{section}.tables'.", "It names none.", "Add one.")
    out = {}
    for name, raw in listed.items():
        place = f"{section}.tables.{name}"
        several = raw if isinstance(raw, list) else [raw]
        if not several:
            raise SchemaError(f"Expected rows in '{place}'.", "The list is empty.", "Add an entry with 'from'.")
        names = made[name] if made is not None else None
        out[str(name)] = tuple(
            _rows(one, place if len(several) == 1 else f"{place}[{i}]", names, held) for i, one in enumerate(several)
        )
        first = list(out[str(name)][0].columns)
        if made is None and any(list(one.columns) != first for one in out[str(name)]):
            raise SchemaError(
                f"Expected the same columns in every entry of '{place}', in the same order.",
                "They differ.",
                "Add the columns that lack, as null.",
            )
    return out


def _rows(raw: Any, place: str, made: tuple[str, ...] | None, held: Any) -> Rows:
    entry = _keys(raw, place, ("from", "where", "one_per", "columns"))
    if not isinstance(entry.get("from"), str):
        raise SchemaError(
            f"Expected '{place}.from' to name the table that rows come from.",
            "It names none.",
            "Write it as from: NAME.",
        )
    if held is not None:
        _known(entry["from"], held, f"{place}.from", "clinical table")
    columns = _keys(entry.get("columns"), f"{place}.columns", made)
    if not columns:
        raise SchemaError(f"Expected columns in '{place}.columns'.", "It names none.", "Add one.")
    return Rows(
        entry["from"],
        {str(name): _cell(one, f"{place}.columns.{name}") for name, one in columns.items()},
        parse(entry["where"], f"{place}.where") if "where" in entry else None,
        parse(entry["one_per"], f"{place}.one_per") if "one_per" in entry else None,
        place,
    )


def _cell(raw: Any, place: str) -> Cell:
    if not isinstance(raw, Keyed):
        return Cell(parse(raw, place), place=place)
    entry = _keys(raw, place, ("value", "words", "others"))
    if "value" not in entry:
        raise SchemaError(f"Expected an expression as '{place}.value'.", "There is none.", "Add it.")
    words: dict[str, str | None] = {}
    for word, becomes in _keys(entry.get("words", {}), f"{place}.words", None).items():
        if isinstance(word, bool) or isinstance(becomes, (bool, list, dict)):
            raise SchemaError(
                f"Expected words in '{place}.words'.",
                "One is no text or number (YAML takes yes, no, on and off for true and false).",
                "Put it between quotes.",
            )
        words[str(word)] = None if becomes is None else str(becomes)
    if "others" in entry and not words:
        raise SchemaError(f"Expected '{place}.words' beside 'others'.", "There are none.", "Add them.")
    others: Any = _choice(entry.get("others", "refuse"), f"{place}.others", ("keep", "drop", "refuse"))
    return Cell(parse(entry["value"], f"{place}.value"), words, others, place)


# ---------------------------------------------------------------------- pieces
def _keys(data: Any, place: str, known: Any) -> dict[Any, Any]:
    if not isinstance(data, Keyed):
        kind = "missing" if data is None else f"of type {type(data).__name__}"
        raise SchemaError(f"Expected '{place}' to be a mapping of names.", f"It is {kind}.", "Correct it.")
    for key in data:
        if known is not None:
            _known(key, known, place, "key")
        elif isinstance(key, (bool, float)) or key is None:
            raise SchemaError(
                f"Expected texts as keys of '{place}'.",
                "One is another (YAML takes yes, no, on and off for true and false).",
                "Put it between quotes.",
            )
    return dict(data)


def _known(name: Any, known: Any, place: str, what: str) -> None:
    if name not in known:
        raise SchemaError(
            f"Expected a {what} of '{place}' to be one of: {', '.join(known)}.",
            f"'{name}' is none of them.{nearest(str(name), known)}",
            "Correct or remove it.",
        )


def _choice(raw: Any, place: str, known: tuple[str, ...]) -> str:
    if raw not in known:
        raise SchemaError(
            f"Expected '{place}' to be one of: {', '.join(known)}.",
            f"It is another.{nearest(str(raw), known)}",
            "Correct the word.",
        )
    return str(raw)


def _text(raw: Any, place: str) -> str:
    if not isinstance(raw, str):
        raise SchemaError(f"Expected '{place}' to be a text.", f"It is of type {type(raw).__name__}.", "Quote it.")
    return raw


def _pair(raw: Any, place: str) -> tuple[str, str]:
    table, dot, column = str(raw).rpartition(".")
    if not isinstance(raw, str) or not dot or not table or not column:
        raise SchemaError(
            f"Expected '{place}' as TABLE.COLUMN: TABLE.COLUMN.", "A side of it is another text.", "Correct it."
        )
    return table, column
