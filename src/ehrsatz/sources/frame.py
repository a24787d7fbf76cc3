"""Frames in Python: Polars, pandas, and whatever gives Arrow streams; a mapping of frames is several tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from ehrsatz.errors import SourceError
from ehrsatz.sources.base import Raw, Source
from ehrsatz.sources.values import column_of


@dataclass
class _Frame(Raw):
    frame: pl.DataFrame = field(default_factory=pl.DataFrame)

    def blocks(self) -> Iterator[pl.DataFrame]:
        yield self.frame


class FrameSource(Source):
    """Read frames that are in memory already; a named pandas index becomes a column."""

    name: ClassVar[str] = "frame"

    def _open(self, what: Any) -> list[Raw]:  # type: ignore[override]
        named = dict(what) if isinstance(what, Mapping) else {"table": what}
        parts: list[Raw] = []
        for table, native in named.items():
            frame = polars_of(native, str(table))
            per_row = frame.estimated_size() / max(1, frame.height)
            parts.append(_Frame(str(table), tuple(frame.columns), frame.height, per_row, frame=frame))
        return parts


def polars_of(native: Any, table: str) -> pl.DataFrame:
    """Turn a frame of any library into a Polars frame; columns of mixed Python objects become text.

    Taken are Polars frames, pandas frames and whatever gives itself as an Arrow stream (pyarrow, DuckDB, Ibis, cuDF).

    Raises
    ------
    SourceError
        When it is no frame, or two columns have one name.

    References
    ----------
    Apache Arrow, The Arrow PyCapsule Interface: the method ``__arrow_c_stream__``.
    """
    if isinstance(native, pl.LazyFrame):
        native = native.collect()
    if isinstance(native, pl.DataFrame):
        return native
    if hasattr(native, "iloc") and hasattr(native, "columns"):  # pandas, and what is built like it
        if any(name is not None for name in getattr(native.index, "names", ())):
            native = native.reset_index()
        names = _own_names(native.columns, table)
        return pl.DataFrame([_column(name, native.iloc[:, place]) for place, name in enumerate(names)])
    if hasattr(native, "__arrow_c_stream__"):
        stream = pa.RecordBatchReader.from_stream(native)
        _own_names(stream.schema.names, table)
        frame = pl.from_arrow(stream.read_all())
        assert isinstance(frame, pl.DataFrame)
        return frame
    raise SourceError(
        "Expected a frame of Polars, pandas, Arrow or another library that gives Arrow streams.",
        f"The table '{table}' is of type {type(native).__name__}.",
        "Pass a frame, a mapping of frames, or a path.",
    )


def _own_names(names: Iterable[Any], table: str) -> list[str]:
    own = [str(name) for name in names]
    twice = sorted({name for name in own if own.count(name) > 1})
    if twice:
        raise SourceError(
            f"Expected every column of the frame '{table}' to have its own name.",
            f"Named more than once: {', '.join(twice[:10])}.",
            "Rename the columns.",
        )
    return own


def _column(name: str, cells: Any) -> pl.Series:
    """One pandas column; one of Python objects that Arrow cannot hold goes cell by cell."""
    try:
        return pl.Series(name, cells)
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        return column_of(name, cells.tolist())
