"""The search of a saved model for values that too few subjects hold."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.generators.base import Generator
from ehrsatz.schema import MIN_SUBJECTS, Schema
from ehrsatz.seeds import stream
from ehrsatz.testing.base import demand, fresh


def check_model_privacy(generator: type[Generator] | Generator, dataset: Dataset, *, seed: int = 1) -> None:
    """Plant values that fewer than five subjects hold, fit, save, and look for them in every byte of the model folder.

    Planted are: a marker text in each column of text, levels or keys (one subject; in the first, four subjects);
    digits that no other row has in each column of numbers; a far extreme in each column of whole numbers, dates and
    times. Constraints and bounds of the schema are left out, since they are the reader's own words.

    Parameters
    ----------
    generator
        A class or an instance, as in `check_generator`.
    dataset
        At least 5 subjects; it is copied, then marked.
    seed
        Decides the marks and the fit.

    Raises
    ------
    AssertionError
        With the column and the file or array that holds its values.
    """
    marked, marks = _mark(dataset, seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        fresh(generator).fit(marked, seed=seed).save(folder)
        found = sorted({f"{mark.place} in {where}" for mark in marks for where in mark.find(folder)})
    demand(not found, f"the model folder holds values of fewer than {MIN_SUBJECTS} subjects: {'; '.join(found)}")


@dataclass(frozen=True)
class _Mark:
    """What was planted in one column: texts, or numbers in every unit in which a model may keep them."""

    place: str
    texts: tuple[str, ...] = ()
    numbers: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def find(self, folder: Path) -> Iterator[str]:
        """Give the places in a model folder that hold what was planted."""
        needles = frozenset(self.numbers.tolist())
        for path, leaf in _leaves(json.loads((folder / "generator.json").read_text(encoding="utf-8"))):
            named = isinstance(leaf, str) and any(text in leaf for text in self.texts)
            if named or (not isinstance(leaf, bool) and _number(leaf) in needles):
                yield f"generator.json: {path}"
        with zipfile.ZipFile(folder / "weights.npz") as archive:
            for member in archive.namelist():
                raw = archive.read(member)
                for text in self.texts:
                    if any(text.encode(code) in raw for code in ("utf-8", "utf-16-le", "utf-32-le")):
                        yield f"weights.npz: {member}"
                array = np.load(io.BytesIO(raw), allow_pickle=False)
                if len(self.numbers) and array.dtype.kind in "iuf":
                    narrow = array.dtype in (np.float32, np.float16)  # where few digits are kept, chance hits occur
                    wanted = self.numbers.astype(array.dtype).astype(float) if narrow else self.numbers
                    hits = np.unique(array[np.isin(array.astype(float), wanted)])
                    if len(hits) > (3 + array.size // 1000 if narrow else 0):
                        yield f"weights.npz: {member}"


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield path, key
            yield from _leaves(value, f"{path}.{key}"[-60:] if len(str(key)) < 40 else path)
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, path)
    else:
        yield path, node


def _number(leaf: Any) -> float | None:
    try:
        return float(leaf)
    except (TypeError, ValueError):
        return None


def _mark(dataset: Dataset, seed: int) -> tuple[Dataset, list[_Mark]]:
    rng = stream(seed, "testing", "marks")
    marks: list[_Mark] = []
    tables, frames = [], {}
    renamed = _renamed_keys(dataset, marks)
    for table in dataset.schema.tables:
        frame = renamed[table.name]
        columns = []
        for column in table.columns:
            columns.append(replace(column, values=None, minimum=None, maximum=None, format=None))
            if column.role in {"subject", "key", "link"} or not frame.height:
                continue
            cells, mark = _mark_column(frame[column.name], f"{table.name}.{column.name}", column.kind, rng, len(marks))
            if mark is not None:
                marks.append(mark)
                frame = frame.with_columns(cells)
        tables.append(replace(table, columns=tuple(columns), constraints=()))
        frames[table.name] = frame
    return Dataset(Schema(dataset.schema.name, tuple(tables)), frames, dataset.provenance), marks


def _renamed_keys(dataset: Dataset, marks: list[_Mark]) -> dict[str, pl.DataFrame]:
    """Give the last subject a marker key, wherever its key stands, when keys are text."""
    frames = dict(dataset.tables)
    key = subject_key(dataset.schema, dataset.schema.parent)
    if key is None or dataset.table[key].dtype != pl.String:
        return frames
    old, new = dataset.table[key][-1], "mark-of-a-subject-key"
    marks.append(_Mark(f"{dataset.schema.parent.name}.{key}", texts=(new,)))
    for table in dataset.schema.tables:
        column = subject_key(dataset.schema, table)
        if column is not None:
            cell = pl.col(column)
            frames[table.name] = frames[table.name].with_columns(
                pl.when(cell == old).then(pl.lit(new)).otherwise(cell).alias(column)
            )
    return frames


def _mark_column(
    cells: pl.Series, place: str, kind: str, rng: np.random.Generator, number: int
) -> tuple[pl.Series, _Mark | None]:
    rows = cells.is_not_null().arg_true()
    if not len(rows) or kind == "boolean":
        return cells, None
    spot = int(rows[int(rng.integers(len(rows)))])
    if cells.dtype == pl.String:
        text = f"mark-{number}-{int(rng.integers(10**6, 10**7))}"
        spots = [int(row) for row in rows[: MIN_SUBJECTS - 1]] if number == 1 else [spot]
        return cells.scatter(spots, text), _Mark(place, texts=(text,))
    if kind == "number":
        rare = cells.is_in(cells.value_counts().filter(pl.col("count") < MIN_SUBJECTS)[cells.name].implode())
        spread = float(cells.std() or 0.0) or 1.0  # type: ignore[arg-type]
        noise = pl.Series(rng.uniform(0.1, 0.9, len(cells)) * 1e-4 * spread)
        moved = pl.select(pl.when(rare & cells.is_not_null()).then(cells + noise).otherwise(cells).alias(cells.name))
        needles = moved.to_series().filter(rare.fill_null(False)).drop_nulls().to_numpy()
        return moved.to_series(), _Mark(place, numbers=needles.astype(float))
    extreme = _beyond(cells, kind)
    return cells.scatter([spot], extreme), _Mark(place, *_spellings(extreme))


def _beyond(cells: pl.Series, kind: str) -> Any:
    """A value above all others whose digits no rounding outward gives."""
    top: Any = cells.max()
    if kind == "integer":
        return int(top) + 7919 + 2 * max(1, int(abs(top)) // 10)
    if kind == "date":
        return top + timedelta(days=1237)
    return top + timedelta(days=1237, hours=5, minutes=17, seconds=43)


def _spellings(value: Any) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    if isinstance(value, int):
        return (str(value),), np.array([value], dtype=float)
    start = datetime(1970, 1, 1)
    when = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    seconds = (when - start).total_seconds()
    numbers = np.array([seconds / 86400, seconds, seconds * 1e3, seconds * 1e6, seconds * 1e9])
    return ((value if isinstance(value, date) else when).isoformat(),), numbers
