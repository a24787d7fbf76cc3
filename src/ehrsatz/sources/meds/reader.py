"""Folders and files of the Medical Event Data Standard, of any maker.

Shards are `data/**/*.parquet`; where there is no such folder, the Parquet files that hold the columns of the standard.
By the standard a subject lies in one shard alone, so that the shards are the parts of a large cohort.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.clinical import WORLD
from ehrsatz.errors import DataError, SourceError
from ehrsatz.layouts import meds as layout
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.meds.foreign import from_codes
from ehrsatz.sources.meds.own import from_layout

NEEDED = ("subject_id", "time", "code")
ROWS_AT_ONCE = 100_000  # events turned into tables at a time, at least
OLD = ("patient_id", "events")  # of MEDS before 0.3: one row per patient, with its events nested


class MedsSource(ClinicalSource):
    """Events of subjects as MEDS keeps them."""

    name: ClassVar[str] = "meds"

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        path = Path(what)
        if path.is_file():
            return path.suffix == ".parquet" and _holds_events(path)
        return path.is_dir() and any(_holds_events(shard) for shard in _shards(path)[:1])

    def parts(self, what: str | Path) -> int:
        """Return the number of shards; 0 where there is one alone."""
        shards = _shards(Path(what))
        return len(shards) if len(shards) > 1 else 0

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        shards = _shards(Path(what))
        if not shards:
            raise SourceError(
                "Expected events as MEDS: data/*.parquet with the columns subject_id, time and code.",
                "The folder holds none.",
                "Check the path.",
            )
        if part is not None and part.number is not None:
            if part.number >= len(shards):
                raise SourceError(
                    f"Expected a shard of number {part.number}.", f"There are {len(shards)}.", "Check the folder."
                )
            shards = [shards[part.number]]
        names = _descriptions(Path(what))
        wanted = None if part is None or part.number is not None else part.patients
        counted: Counter[str] = Counter()
        made = [_tables(piece, names, wanted, counted) for shard in shards for piece in _pieces(shard)]
        frames = _joined(made)
        if not frames["patient"]["patient_id"].is_unique().all():  # against the standard, a subject lies in two places
            counted.clear()
            whole = pl.concat([_checked(_frame(shard), shard) for shard in shards], how="diagonal_relaxed")
            frames = _joined([_tables((whole, shards[0]), names, wanted, counted)])
        left.update(counted)
        return frames


def _tables(
    piece: tuple[pl.DataFrame, Path], names: pl.DataFrame, wanted: pl.Series | None, left: Counter[str]
) -> Mapping[str, pl.DataFrame]:
    """Return the tables of the events of some subjects."""
    events = _typed(*piece, left)
    nameless = events["subject_id"].is_null() | events["code"].is_null()
    if nameless.any():
        left["events without a subject or a code"] += int(nameless.sum())
        events = events.filter(~nameless)
    events = _keyed(events)
    if wanted is not None:
        events = events.filter(pl.col("patient_id").is_in(wanted.implode()))
    if {"event_id", "link_id"} <= set(events.columns):
        return from_layout(events, left)
    return from_codes(events, names, left)


def _joined(made: list[Mapping[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    """Join the tables of several pieces; what the events only name is there once."""
    tables = {name for frames in made for name in frames}
    out = {
        name: pl.concat([frames[name] for frames in made if name in frames], how="diagonal_relaxed")
        for name in sorted(tables)
    }
    return {name: frame.unique(maintain_order=True) if name in WORLD else frame for name, frame in out.items()}


def _frame(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError):
        raise _damaged(path) from None


def _pieces(path: Path) -> Iterator[tuple[pl.DataFrame, Path]]:
    """Yield a shard in pieces of whole subjects, by its row groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held: list[pl.DataFrame] = []
    try:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                frame = pl.DataFrame(file.read_row_group(number))
                same = held and "subject_id" in frame.columns and _touch(held[-1], frame)
                if held and not same and sum(part.height for part in held) >= ROWS_AT_ONCE:
                    yield pl.concat(held), path
                    held = []
                held.append(frame)
    except (pa.ArrowException, OSError):
        raise _damaged(path) from None
    if held:
        yield pl.concat(held), path


def _touch(before: pl.DataFrame, after: pl.DataFrame) -> bool:
    """Say whether a subject goes on from one row group to the next."""
    return bool(before.height and after.height and before["subject_id"][-1] == after["subject_id"][0])


def _damaged(path: Path) -> SourceError:
    return SourceError(
        f"Expected to read '{path.name}'.", "It is damaged or no Parquet file.", "Make or copy the shard again."
    )


def _shards(path: Path) -> list[Path]:
    """Return the files of events, in the order of their numbers where they are numbered."""
    if path.is_file():
        return [path]
    found = list((path / "data").rglob("*.parquet"))
    if not found:
        found = [one for one in path.glob("*.parquet") if _holds_events(one)]
    return sorted(found, key=lambda one: (one.parent.as_posix(), len(one.name), one.name))


def _holds_events(path: Path) -> bool:
    """Say by the columns alone whether a file holds events of this standard, or of an older form of it."""
    try:
        names = set(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError):
        return False
    return set(NEEDED) <= names or set(OLD) <= names


def _typed(frame: pl.DataFrame, path: Path, left: Counter[str]) -> pl.DataFrame:
    """Return events with the standard's kinds; columns of no known use are counted."""
    frame = _checked(frame, path)
    kinds: dict[str, pl.DataType] = {**layout.CORE, **layout.EXTRA, "table": pl.String()}
    if "value" not in frame.columns and "numeric_value" in frame.columns:
        frame = frame.with_columns(pl.col("numeric_value").cast(pl.Float64).alias("value"))
    for name in frame.columns:
        if name not in kinds:
            left[f"column {name}"] += frame.height - frame[name].null_count()
    kept = [name for name in frame.columns if name in kinds and name != "numeric_value"]
    try:
        return frame.select(_cast(name, frame.schema[name], kinds[name]) for name in kept)
    except pl.exceptions.PolarsError:
        raise DataError(
            f"Expected the columns of '{path.name}' in the kinds of MEDS.",
            "Some are of another kind: text where a number or a time belongs.",
            "Compare the shard with the schema of MEDS.",
        ) from None


def _checked(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return the events of a file, if it has the columns of the standard."""
    lacking = [name for name in NEEDED if name not in frame.columns]
    if lacking and set(OLD) <= set(frame.columns):
        raise SourceError(
            f"Expected MEDS 0.3 or newer in '{path.name}': one event a row.",
            "It is of an older version, which nests the events of a patient in one row.",
            "Convert it with a MEDS extraction of a newer version first.",
        )
    if lacking:
        raise SourceError(
            f"Expected the columns {', '.join(NEEDED)} in '{path.name}'.",
            f"Not there: {', '.join(lacking)}.",
            "Check that the folder is of MEDS, and that the shard is whole.",
        )
    return frame


def _cast(name: str, held: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    cell = pl.col(name)
    if held == wanted:
        return cell
    if isinstance(held, pl.Datetime) and held.time_zone is not None:
        cell = cell.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return cell.cast(wanted)


def _keyed(whole: pl.DataFrame) -> pl.DataFrame:
    """Give every event the key of its patient: the text of the subject's `PATIENT_ID`, else the subject's number."""
    number = pl.col("subject_id").cast(pl.String)
    if "text_value" not in whole.columns:
        return whole.with_columns(number.alias("patient_id"))
    named = whole.filter(pl.col("code") == layout.SUBJECT).select("subject_id", patient_id="text_value")
    named = named.drop_nulls().unique("subject_id", keep="first")
    joined = whole.join(named, on="subject_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("patient_id").fill_null(number))


def _descriptions(path: Path) -> pl.DataFrame:
    """Return code -> its description from the metadata, empty where there is none."""
    empty = pl.DataFrame(schema={"code": pl.String, "description": pl.String})
    file = path / "metadata" / "codes.parquet"
    if not file.is_file():
        return empty
    try:
        frame = pl.read_parquet(file, glob=False)
    except (pl.exceptions.PolarsError, OSError):
        raise SourceError(
            "Expected to read 'metadata/codes.parquet'.", "It is damaged.", "Make or copy it again, or take it away."
        ) from None
    if not {"code", "description"} <= set(frame.columns):
        return empty
    return frame.select(pl.col("code", "description").cast(pl.String)).drop_nulls().unique("code", keep="first")
