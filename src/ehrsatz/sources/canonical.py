"""Folders of the clinical schema's own tables as CSV or Parquet, whole or in parts: `patient.parquet` and so on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz import loose
from ehrsatz.clinical import WORLD
from ehrsatz.errors import DataError, SourceError
from ehrsatz.files import part_name, tables_of
from ehrsatz.schema import dtype_of
from ehrsatz.sources.clinical import ClinicalSource, Part

SUFFIXES = (".parquet", ".csv")  # the first that a folder holds is read: the two say the same
NEEDED = ("patient", "encounter")  # what names a folder as one of clinical tables


class CanonicalSource(ClinicalSource):
    """The tables of the clinical schema as files."""

    name: ClassVar[str] = "clinical"

    def __init__(self, suffix: str | None = None) -> None:
        """Read files of this ending alone; of the first that the folder holds where None."""
        self.suffix = suffix

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        path = Path(what)
        return path.is_dir() and any(set(NEEDED) <= set(_held(path, suffix)) for suffix in SUFFIXES)

    def parts(self, what: str | Path) -> int:
        """Return in how many numbered parts the patients lie; 0 where they are not in parts."""
        files = _held(Path(what), self.suffix or _suffix(Path(what)))["patient"]
        return len(files) if files != ["patient"] else 0

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        folder = Path(what)
        suffix = self.suffix or _suffix(folder)
        held = _held(folder, suffix)
        known = {table.name for table in loose.schema().tables}
        for name in sorted(set(held) - known):
            left[f"file {name}{suffix}"] += 1
        frames: dict[str, pl.DataFrame] = {}
        for name in known & set(held):
            files = held[name]
            if part is not None and name in WORLD and not part.world:
                continue
            if part is not None and part.number is not None and name not in WORLD:
                files = [part_name(name, part.number)]
            frames[name] = pl.concat([_frame(folder / f"{one}{suffix}", name, left) for one in files])
            if part is not None and part.number is None and "patient_id" in frames[name].columns:
                frames[name] = frames[name].filter(pl.col("patient_id").is_in(part.patients.implode()))
        return frames


def _held(folder: Path, suffix: str) -> dict[str, list[str]]:
    """Table -> names (without ending) of its files."""
    return tables_of(path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}"))[0]


def _suffix(folder: Path) -> str:
    for suffix in SUFFIXES:
        if set(NEEDED) <= set(_held(folder, suffix)):
            return suffix
    raise SourceError(
        "Expected files of the clinical schema, such as patient.parquet and encounter.parquet.",
        "The folder holds none.",
        "Check the path.",
    )


def _frame(path: Path, name: str, left: Counter[str]) -> pl.DataFrame:
    table = loose.schema()[name]
    kinds: dict[str, Any] = {column.name: dtype_of(column.kind) for column in table.columns}
    try:
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path)
        else:
            frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError):
        raise SourceError(
            f"Expected to read '{path.name}'.", "It is damaged or no such file.", "Export it again."
        ) from None
    for column in sorted(set(frame.columns) - set(kinds)):
        left[f"{name}.{column}: column of no clinical table"] += frame[column].len() - frame[column].null_count()
    kept = [column for column in frame.columns if column in kinds]
    try:
        return frame.select(_typed(column, frame.schema[column], kinds[column]) for column in kept)
    except pl.exceptions.PolarsError:
        raise DataError(
            f"Expected the cells of '{path.name}' in the kinds of the clinical schema.",
            "Some are of another kind: text where a number or a time belongs.",
            "Export the table again, or read it with a mapping.",
        ) from None


def _typed(column: str, held: Any, wanted: Any) -> pl.Expr:
    cell = pl.col(column)
    if held != pl.String or wanted == pl.String:
        return cell.cast(wanted)
    if wanted == pl.Date:
        return cell.str.to_date("%Y-%m-%d")
    if wanted == pl.Datetime("us"):
        return cell.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
    return cell.cast(wanted)
