"""A user's own tables: what the export section of a mapping file says, as CSV or Parquet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz import __version__
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, UnsupportedError
from ehrsatz.exporters.base import Clinical, Put
from ehrsatz.files import part_name, tables_of
from ehrsatz.mapping.apply import check_export, exported, is_world
from ehrsatz.mapping.form import Mapping as Layout
from ehrsatz.mapping.form import Section

TIME = "%Y-%m-%d %H:%M:%S%.f"
_SAFE_NAME = re.compile(r"[^\W.][\w .-]{0,119}")


class LayoutExporter(Clinical):
    """One file per table of a mapping's export section.

    Parameters
    ----------
    mapping
        Path of the mapping file, or the mapping itself.
    """

    name: ClassVar[str] = "layout"
    place: ClassVar[str] = "layout"
    suffix: ClassVar[str] = ""
    settings: ClassVar[tuple[str, ...]] = ("mapping",)

    def __init__(self, mapping: str | Path | Layout | None = None) -> None:
        self.mapping = mapping

    def ready(self) -> None:
        """Read the mapping file, before any work is done."""
        check_export(self._layout())

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        layout = self._layout()
        check_export(layout)
        section = layout.exported
        assert section is not None
        made = dataset.provenance.origin in {"generated", "simulated"}
        frames = exported(layout, dataset.tables, patients=patients, world=world)

        def put(name: str) -> Put:
            return lambda path: _write(frames[name], section, path, made=made)

        return {
            f"{_file(name, None if is_world(section.tables[name]) else part)}.{section.format}": put(name)
            for name in frames
        }

    def _layout(self) -> Layout:
        if self.mapping is None:
            raise UnsupportedError(
                "Expected a mapping file that says how your tables look.",
                "None is given.",
                "Pass it with --mapping; docs/formats/mapping.md says how to write one.",
            )
        return self.mapping if isinstance(self.mapping, Layout) else Layout.from_file(self.mapping)

    def check(self, folder: str | Path) -> list[str]:
        """Read every file in the folder back and return the problems found, without any cell value."""
        target = Path(folder) / self.place
        paths = sorted(path for path in target.glob("*") if path.suffix in {".csv", ".parquet"})
        if not paths:
            return ["no *.csv or *.parquet file found"]
        lacking = tables_of(path.stem for path in paths)[1]
        found = ((path, self._read_back(path)) for path in paths)
        return [
            *(f"{name}: absent between the other parts" for name in lacking),
            *(f"{path.name}: {problem}" for path, problem in found if problem),
        ]

    def _read_back(self, path: Path) -> str:
        try:
            if path.suffix == ".parquet":
                pl.read_parquet(path)
            else:
                pl.read_csv(path, infer_schema=False, truncate_ragged_lines=True)
        except pl.exceptions.NoDataError:
            return "it is empty"
        except (pl.exceptions.PolarsError, OSError):
            return "it cannot be read"
        return ""


def _file(table: str, part: int | None) -> str:
    if not _SAFE_NAME.fullmatch(table):
        raise OutputError(
            "Expected table names of letters, digits, spaces, '.', '_' and '-' only, to name files after.",
            "A table of the mapping's export section has another name.",
            "Rename it.",
        )
    return part_name(table, part)


def _write(frame: pl.DataFrame, section: Section, path: Path, *, made: bool) -> None:
    if section.format == "parquet":
        marks = {"ehrsatz": "synthetic", "ehrsatz version": __version__} if made else None
        frame.rechunk().write_parquet(path, compression="zstd", compression_level=3, metadata=marks)
        return
    frame.write_csv(
        path,
        line_terminator="\n",
        separator=section.delimiter,
        null_value=section.missing or None,
        datetime_format=TIME,
    )
