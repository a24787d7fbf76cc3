"""Frames in Python: Polars, pandas, Arrow and whatever else narwhals takes; a mapping of frames is several tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import narwhals as nw
import polars as pl

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

    Raises
    ------
    SourceError
        When it is no frame, or two columns have one name.
    """
    if isinstance(native, pl.LazyFrame):
        native = native.collect()
    if isinstance(native, pl.DataFrame):
        return native
    columns = [str(name) for name in getattr(native, "columns", ())]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise SourceError(
            f"Expected every column of the frame '{table}' to have its own name.",
            f"Named more than once: {', '.join(twice[:10])}.",
            "Rename the columns.",
        )
    index = getattr(native, "index", None)
    if index is not None and any(name is not None for name in getattr(index, "names", ())):
        native = native.reset_index()
    try:
        wrapped = nw.from_native(native)
    except TypeError:
        raise SourceError(
            "Expected a frame of Polars, pandas, Arrow or another library that narwhals knows.",
            f"The table '{table}' is of type {type(native).__name__}.",
            "Pass a frame, a mapping of frames, or a path.",
        ) from None
    if isinstance(wrapped, nw.LazyFrame):
        wrapped = wrapped.collect("polars")
    series = []
    for name in wrapped.columns:
        column = wrapped.get_column(name)
        if column.dtype in (nw.Object, nw.Unknown):
            series.append(column_of(str(name), column.to_list()))
        else:
            series.append(column.to_polars().rename(str(name)))
    return pl.DataFrame(series)
