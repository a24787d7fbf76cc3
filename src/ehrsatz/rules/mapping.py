"""How foreign tables become the clinical ones: table and column names, words, code systems, as data.

A mapping is a YAML file: for each table of the clinical schema, from which foreign table its rows come and which
column is which. Names are compared without regard to case. Nothing is converted but words: values stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Keyed
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ehrsatz import clinical
from ehrsatz.errors import DataError, SchemaError, UnknownNameError, nearest
from ehrsatz.markup import load

SHIPPED = ("clinical", "synthea_csv", "mimic3")
SYSTEMS = (*clinical.SYSTEMS, "ICD-9-CM", "ICD-9-PCS")
_ENOUGH = 0.5  # share of the tables, of the mapping or of the data, that must be known for it to be taken unasked


@dataclass(frozen=True)
class Cell:
    """Where one clinical column comes from.

    column: the foreign column. values: foreign word -> clinical word; with `drop_others`, words not listed count as
    missing. through: (table, key, value), the cell is looked up there. constant: the same word in every row.
    """

    column: str = ""
    values: Keyed[str, str] = field(default_factory=dict)
    drop_others: bool = False
    through: tuple[str, str, str] | None = None
    constant: str | None = None


@dataclass(frozen=True)
class Part:
    """One foreign table whose rows are rows of a clinical table.

    where: foreign column -> levels; only such rows. systems: clinical column -> its code system, where it is another
    than the clinical schema's.
    """

    table: str
    columns: Keyed[str, Cell]
    where: Keyed[str, tuple[str, ...]] = field(default_factory=dict)
    systems: Keyed[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mapping:
    """A whole mapping: clinical table -> the foreign tables that make it up."""

    name: str
    title: str
    tables: Keyed[str, tuple[Part, ...]]

    @classmethod
    def from_yaml(cls, text: str, *, name: str = "mapping") -> Mapping:
        """Read a mapping file.

        Parameters
        ----------
        text
            YAML, as in docs/rules.md.
        name
            Used where the text gives none.

        Raises
        ------
        SchemaError
            When the text is no YAML, or names a key, table, column or system that there is not.
        """
        try:
            data = load(text)
        except ValueError as error:
            raise SchemaError("Expected a mapping of tables in YAML.", str(error), "Correct that line.") from None
        top = _keys(data, "the mapping", {"name", "title", "tables"})
        tables = _keys(top.get("tables"), "tables", {table.name for table in clinical.schema().tables})
        if not tables:
            raise SchemaError("Expected tables in the mapping.", "It names none.", "See docs/rules.md.")
        return cls(
            str(top.get("name", name)),
            str(top.get("title", "")),
            {table: tuple(_part(table, one) for one in _list(raw)) for table, raw in tables.items()},
        )

    @property
    def sources(self) -> set[str]:
        """Names of the foreign tables, in lower case."""
        return {part.table.casefold() for parts in self.tables.values() for part in parts}

    def fits(self, tables: Keyed[str, Iterable[str]]) -> bool:
        """Say whether data are what the mapping is for: the patients' table with its key, and half of the tables."""
        columns = {name.casefold(): {column.casefold() for column in names} for name, names in tables.items()}
        for part in self.tables.get("patient", ()):
            key = part.columns.get("patient_id", Cell())
            if key.column.casefold() in columns.get(part.table.casefold(), ()):
                return len(self.sources & set(columns)) >= _ENOUGH * min(len(self.sources), len(columns))
        return False


@cache
def shipped(name: str) -> Mapping:
    """Return a mapping that ships with the package.

    Raises
    ------
    UnknownNameError
        When none has that name.
    """
    if name not in SHIPPED:
        raise UnknownNameError(
            f"Expected a mapping: {', '.join(SHIPPED)}, or the path of a mapping file.",
            f"'{name}' is none of them.{nearest(name, SHIPPED)}",
            "Name one, or write a file as in docs/rules.md.",
        )
    text = resources.files("ehrsatz.rules").joinpath("mappings", f"{name}.yaml").read_text(encoding="utf-8")
    return Mapping.from_yaml(text, name=name)


def mapping_of(given: Mapping | str | Path | None, tables: Keyed[str, Iterable[str]]) -> Mapping:
    """Return the mapping that was asked for, or the shipped one that fits these tables.

    Parameters
    ----------
    given
        A mapping, the name of a shipped one, the path of a file, or None.
    tables
        Names of the data's tables, with their columns.

    Raises
    ------
    DataError
        When none was asked for and none fits.
    UnknownNameError, SchemaError
        When there is none of that name, or its file is wrong.
    """
    if isinstance(given, Mapping):
        return given
    if given is not None:
        path = Path(given)
        if isinstance(given, Path) or path.suffix in {".yaml", ".yml"}:
            if not path.is_file():
                raise SchemaError("Expected a mapping file.", f"There is no file '{path.name}'.", "Check the path.")
            try:
                return Mapping.from_yaml(path.read_text(encoding="utf-8"), name=path.stem)
            except UnicodeDecodeError:
                raise SchemaError(
                    "Expected a mapping file in UTF-8.", f"'{path.name}' is not.", "Save it so."
                ) from None
        return shipped(str(given))
    found = fitting(tables)
    if found is None:
        raise DataError(
            f"Expected tables of a known form: {', '.join(SHIPPED)}.",
            f"The {len(tables)} tables of the data are of none of them.",
            "Say which table and column is which in a mapping file (docs/rules.md), and pass it with --mapping.",
        )
    return found


def fitting(tables: Keyed[str, Iterable[str]]) -> Mapping | None:
    """Return the first shipped mapping that is for data of these tables and columns, or None."""
    return next((shipped(name) for name in SHIPPED if shipped(name).fits(tables)), None)


def _part(table: str, raw: Any) -> Part:
    where = f"tables.{table}"
    entry = _keys(raw, where, {"from", "columns", "where", "systems"})
    if not isinstance(entry.get("from"), str):
        raise SchemaError(f"Expected '{where}.from' to name a table.", "It names none.", "Write it as from: NAME.")
    names = clinical.schema()[table].names
    listed = entry.get("columns", "same")
    if listed == "same":
        columns = {name: Cell(name) for name in names}
    else:
        columns = {
            name: _cell(one, f"{where}.columns.{name}")
            for name, one in _keys(listed, f"{where}.columns", names).items()
        }
    systems = {name: str(one) for name, one in _keys(entry.get("systems", {}), f"{where}.systems", names).items()}
    for name, system in systems.items():
        if system not in SYSTEMS:
            raise SchemaError(
                f"Expected '{where}.systems.{name}' to be one of: {', '.join(SYSTEMS)}.",
                f"It is another.{nearest(system, SYSTEMS)}",
                "Correct the name.",
            )
    levels = {
        str(name): tuple(str(level) for level in _list(one))
        for name, one in _keys(entry.get("where", {}), f"{where}.where", None).items()
    }
    return Part(entry["from"], columns, levels, systems)


def _cell(raw: Any, where: str) -> Cell:
    if isinstance(raw, str):
        return Cell(raw)
    entry = _keys(raw, where, {"column", "values", "others", "through", "constant"})
    if entry.get("others", "keep") not in {"keep", "drop"}:
        raise SchemaError(f"Expected '{where}.others' to be keep or drop.", "It is neither.", "Correct the word.")
    if ("column" in entry) == ("constant" in entry):
        raise SchemaError(f"Expected '{where}' to give a column or a constant.", "It gives both or none.", "Give one.")
    through = entry.get("through")
    if through is not None:
        step = _keys(through, f"{where}.through", {"table", "key", "value"})
        if len(step) < 3:
            raise SchemaError(f"Expected table, key and value in '{where}.through'.", "One is absent.", "Add it.")
        through = (str(step["table"]), str(step["key"]), str(step["value"]))
    values = _keys(entry.get("values", {}), f"{where}.values", None)
    return Cell(
        str(entry.get("column", "")),
        {str(key): str(value) for key, value in values.items()},
        entry.get("others") == "drop",
        through,
        None if "constant" not in entry else str(entry["constant"]),
    )


def _keys(data: Any, where: str, known: Any) -> dict[Any, Any]:
    if not isinstance(data, Keyed):
        raise SchemaError(f"Expected {where} to be a mapping.", f"It is of type {type(data).__name__}.", "Correct it.")
    unknown = [str(key) for key in data if known is not None and key not in known]
    if unknown:
        raise SchemaError(
            f"Expected only known names in {where}: {', '.join(sorted(known))}.",
            f"Unknown: {', '.join(unknown)}.{nearest(unknown[0], known)}",
            "Correct or remove it.",
        )
    return dict(data)


def _list(raw: Any) -> list[Any]:
    return list(raw) if isinstance(raw, (list, tuple)) else [raw]
