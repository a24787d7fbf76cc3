"""What every reader of a clinical format shares: find the format, complete the tables, count what has no place.

A reader makes frames of the loose clinical schema. What the files hold besides is counted by name in the provenance
and told as a `DataWarning`: nothing is dropped silently. Keys that repeat and links that lead nowhere are counted, too.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz import __version__, loose
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataWarning, SourceError
from ehrsatz.provenance import Origin, Provenance, Step
from ehrsatz.schema import Schema, Table, dtype_of

MOST_TOLD = 12  # kinds of what was left out that a warning names


@dataclass(frozen=True)
class Part:
    """Some patients of a large cohort: the files of one number, or the rows of these keys in a database.

    Parameters
    ----------
    number
        Of the part, in names of files; None: files without a number.
    patients
        (n,) keys of its patients, for formats that are one thing.
    world
        Whether to read also what belongs to no patient.
    """

    number: int | None
    patients: pl.Series
    world: bool = True


class ClinicalSource(ABC):
    """Read one clinical format as a dataset of the loose clinical schema. A subclass gives `name`, `fits`, `_read`."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def fits(cls, what: str | Path) -> bool:
        """Say by names and first bytes alone whether a path (file or folder) or an address is of this format."""

    def read(
        self, what: str | Path, *, origin: Origin = "real", part: Part | None = None, may_be_empty: bool = False
    ) -> Dataset:
        """Read records into the clinical schema.

        Parameters
        ----------
        what
            Path of a file or folder, or address of a database.
        origin
            Where the rows came from.
        part
            Read only these patients; all where None.
        may_be_empty
            Whether files without any record are right, as claims of people without insurance.

        Returns
        -------
        Dataset of `loose.schema()`; the step "read" of its provenance counts rows and, as "unplaced", what the source
        holds that the schema has no place for.

        Raises
        ------
        SourceError
            When it cannot be read, or is not of this format.
        DataError
            When cells are of another kind than the schema's.
        """
        left: Counter[str] = Counter()
        frames = _resolved(self._read(what, part, left), left, whole=part is None or part.world)
        rows = {name: frame.height for name, frame in frames.items() if frame.height}
        if not rows and not may_be_empty:
            raise SourceError(
                f"Expected clinical records as {self.name}.", "None was found.", "Check the path and the format."
            )
        unplaced = {name: count for name, count in sorted(left.items()) if count}
        params = {"rows": rows, **({"unplaced": unplaced} if unplaced else {})}
        step = Step("read", self.name, __version__, params, None, loose.schema().fingerprint)
        if unplaced and part is None:
            told = [f"{name} ({count:,})" for name, count in list(unplaced.items())[:MOST_TOLD]]
            rest = len(unplaced) - len(told)
            more = f" and {rest} more kinds" if rest else ""
            warnings.warn(
                f"{self.name}: no place in the clinical schema for {', '.join(told)}{more}.", DataWarning, stacklevel=2
            )
        return Dataset.trusted(loose.schema(), frames, Provenance(origin, (step,)))

    def parts(self, what: str | Path) -> int:
        """Return in how many numbered parts the patients lie; 0 where they are not in parts."""
        return 0

    @abstractmethod
    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        """Return table -> some of its columns; count in `left` what has no place, as left["Observation.bodySite"] += n.

        Cells must be of the schema's kinds. With a part, only its patients, and the world if it says so.
        """


def _resolved(found: Mapping[str, pl.DataFrame], left: Counter[str], *, whole: bool) -> dict[str, pl.DataFrame]:
    """Complete the tables to the loose schema; take out repeated keys, rows without one, and links to nothing."""
    schema = loose.schema()
    frames = {table.name: _keyed(table, loose.fill(table, found.get(table.name)), left) for table in schema.tables}
    for table in schema.tables:
        frames[table.name] = _worded(table, _linked(schema, table, frames, left, whole=whole), left)
    return frames


def _keyed(table: Table, frame: pl.DataFrame, left: Counter[str]) -> pl.DataFrame:
    needed = [column.name for column in table.columns if not column.nullable]
    kept = frame.drop_nulls(needed)
    left[f"{table.name}: rows without {' or '.join(needed)}"] += frame.height - kept.height
    key = table.columns[0].name
    if kept[key].n_unique() < kept.height:
        first = kept.unique(key, keep="first", maintain_order=True)
        left[f"{table.name}: rows that repeat a key"] += kept.height - first.height
        return first
    return kept


def _linked(
    schema: Schema, table: Table, frames: Mapping[str, pl.DataFrame], left: Counter[str], *, whole: bool
) -> pl.DataFrame:
    frame = frames[table.name]
    for link in table.links:
        target = (frame if link.to_table == table.name else frames[link.to_table])[link.to_column]
        if not whole and not target.len():
            continue  # the world is not read with this part
        lost = frame[link.column].is_not_null() & ~frame[link.column].is_in(target.implode())
        count = int(lost.sum())
        if not count:
            continue
        left[f"{table.name}.{link.column}: links to nothing"] += count
        if table[link.column].nullable:
            frame = frame.with_columns(pl.when(~lost).then(pl.col(link.column)).alias(link.column))
        else:
            frame = frame.filter(~lost)
    return frame


def _worded(table: Table, frame: pl.DataFrame, left: Counter[str]) -> pl.DataFrame:
    """Take out words that a category of the schema does not have."""
    for column in table.columns:
        if column.values is None or frame.schema[column.name] != dtype_of("category"):
            continue
        wrong = frame[column.name].is_not_null() & ~frame[column.name].is_in(list(column.values))
        if count := int(wrong.sum()):
            left[f"{table.name}.{column.name}: other words"] += count
            frame = frame.with_columns(pl.when(~wrong).then(pl.col(column.name)).alias(column.name))
    return frame
