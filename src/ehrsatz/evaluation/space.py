"""One coding for three datasets, so that every metric compares like with like.

Ranks and levels are learned from train and holdout together, which favours neither. Direct identifiers, keys and free
text take no part. Datasets of several tables give one view per table: the parent with the number of rows its subjects
have in each child table, and each child with its parent's columns joined. Rows are put in a canonical order first, so
that no result depends on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.errors import DataError, SchemaError, nearest
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

MISSING_RANK = 2.0  # |2 - rank| is 1 or more, and cut to 1: a missing cell is as far from a present one as can be
_SUBJECT = "\x00subject"


@dataclass(frozen=True)
class Feature:
    """One compared column: a number (date and datetime as days since 1970) or a category.

    `slot` is its place in the matrix of its sort; `levels` are the real levels, most frequent first; `own` is false
    for the parent's columns in a child's view, which are compared once, in the parent's own view. `disclosure` is the
    column's class in the schema.
    """

    name: str
    table: str
    is_number: bool
    slot: int
    kind: str
    levels: tuple[str, ...] = ()
    own: bool = True
    disclosure: str = "none"


@dataclass(frozen=True)
class Sample:
    """Rows of one dataset in one view.

    raw
        (R, numbers) Float64, NaN where missing.
    rank
        (R, numbers) Float32, mid-rank in [0, 1] among train and holdout, 2 where missing.
    codes
        (R, categories) Int32: 0 missing, 1..K the real levels, K + 1 a level that no real row has.
    group
        (R,) number of the subject of each row.
    """

    raw: NDArray[np.float64]
    rank: NDArray[np.float32]
    codes: NDArray[np.int32]
    group: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.group)

    @property
    def is_grouped(self) -> bool:
        """Whether any subject has more than one row."""
        return len(np.unique(self.group)) < self.n

    def take(self, rows: NDArray[np.int64]) -> Sample:
        """Return some rows."""
        return Sample(self.raw[rows], self.rank[rows], self.codes[rows], self.group[rows])

    def pick(self, n: int, rng: np.random.Generator) -> Sample:
        """Return at most n rows, drawn without replacement, in their order."""
        return self if self.n <= n else self.take(np.sort(rng.permutation(self.n)[:n]))


@dataclass(frozen=True)
class View:
    """One table, or one child table with its parent's columns, in all three datasets.

    `joint` is false for a view that only counts rows per subject: its one column is compared, its rows are not.
    """

    name: str
    features: tuple[Feature, ...]
    samples: dict[str, Sample]
    joint: bool = True

    @property
    def numbers(self) -> tuple[Feature, ...]:
        """The features that are numbers, by slot."""
        return tuple(one for one in self.features if one.is_number)

    @property
    def categories(self) -> tuple[Feature, ...]:
        """The features that are categories, by slot."""
        return tuple(one for one in self.features if not one.is_number)

    def rng(self, seed: int, *names: str | int) -> np.random.Generator:
        """Return the stream of this view for these names."""
        return stream(seed, "evaluation", self.name, *names)


@dataclass(frozen=True)
class Comparison:
    """Train, holdout and synthetic in one coding, with what metrics have measured in common."""

    schema: Schema
    datasets: dict[str, Dataset]
    views: tuple[View, ...]
    memo: dict[Any, Any] = field(default_factory=dict)
    locks: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, train: Dataset, holdout: Dataset, synthetic: Dataset, *, seed: int = 0) -> Comparison:
        """Code three datasets alike.

        Parameters
        ----------
        train, holdout, synthetic
            Datasets with the same tables and columns.
        seed
            Not used for the coding; kept beside it so that shared results belong to one seed.

        Raises
        ------
        DataError
            When tables or kinds differ, or when train and holdout share subjects.
        """
        datasets = {"train": train, "holdout": holdout, "synthetic": synthetic}
        _check(train.schema, datasets)
        views = [_view(train.schema, table, datasets) for table in train.schema.tables]
        if len(views) == 1 and train.schema.parent.subject is not None:
            views += _subjects_view(train.schema, datasets, views[0])
        return cls(train.schema, datasets, tuple(views), {"seed": seed})

    @property
    def joint(self) -> tuple[View, ...]:
        """The views whose rows can be compared as a whole."""
        return tuple(view for view in self.views if view.joint and view.features)

    def locate(self, target: str, what: str = "target") -> tuple[View, Feature]:
        """Find a column of the task, named as "column" or "table.column".

        Parameters
        ----------
        target
            Its name.
        what
            What the column is for, for the message.

        Raises
        ------
        SchemaError
            When no compared column has this name.
        """
        for view in self.joint:
            for one in view.features:
                if one.own and target in {one.name, f"{one.table}.{one.name}"}:
                    return view, one
        known = [one.name for view in self.joint for one in view.features if one.own]
        raise SchemaError(
            f"Expected the {what} to be a column that can be compared.",
            f"'{target}' is none of the {len(known)} columns.{nearest(target, known)}",
            "Name a column that is neither identifier nor free text.",
        )

    def once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return what `make` gives, computed once for this comparison under this key, whatever threads ask for it."""
        with self.locks.setdefault(key, Lock()):
            if key not in self.memo:
                self.memo[key] = make()
            return self.memo[key]

    def copies(self, n: int) -> list[Dataset]:
        """Return the n synthetic copies that lie one after the other in the synthetic dataset.

        Raises
        ------
        DataError
            When its subjects are no multiple of n.
        """
        whole = self.datasets["synthetic"]
        if n == 1:
            return [whole]
        if whole.n_subjects % n:
            raise DataError(
                f"Expected {n} synthetic copies of the same number of subjects, one after the other.",
                f"The synthetic dataset has {whole.n_subjects:,} subjects, no multiple of {n}.",
                "Draw them in one go, or name the right number of copies.",
            )
        size = whole.n_subjects // n
        subjects = whole.subjects
        return [whole.take_subjects(subjects.slice(i * size, size)) for i in range(n)]


def _check(schema: Schema, datasets: dict[str, Dataset]) -> None:
    problems = []
    wanted = {(table.name, column.name): column.kind for table in schema.tables for column in table.columns}
    for name in ("holdout", "synthetic"):
        found = {(t.name, c.name): c.kind for t in datasets[name].schema.tables for c in t.columns}
        problems += [f"{name}: {t}.{c} is absent" for t, c in wanted if (t, c) not in found]
        problems += [f"{name}: {t}.{c} is not in train" for t, c in found if (t, c) not in wanted]
        problems += [
            f"{name}: {t}.{c} is of kind {found[t, c]}, in train {kind}"
            for (t, c), kind in wanted.items()
            if found.get((t, c), kind) != kind
        ]
    if problems:
        raise DataError(
            "Expected train, holdout and synthetic to hold the same tables and columns.",
            f"{len(problems)} difference{'s' if len(problems) > 1 else ''} found.",
            "Read all three with the same schema file.",
            problems=problems,
        )
    key = subject_key(schema, schema.parent)
    if key is not None:
        shared = datasets["train"].table.select(key).unique().join(datasets["holdout"].table, on=key, how="semi").height
        if shared:
            raise DataError(
                "Expected train and holdout to have no subject in common.",
                f"{shared:,} subjects of '{schema.parent.name}.{key}' are in both.",
                "Split by subject (Dataset.split), or give a holdout of other subjects.",
            )


def _compared(table: Table) -> list[Column]:
    return [
        column
        for column in table.columns
        if column.role not in {"subject", "key", "link"}
        and column.kind not in {"text", "id"}
        and column.disclosure != "direct"
    ]


def _view(schema: Schema, table: Table, datasets: dict[str, Dataset]) -> View:
    parent = schema.parent
    several = len(schema.tables) > 1
    own = {column.name: column for column in _compared(table)}
    joined: dict[str, Column] = {}
    link = next((one for one in table.links if one.to_table == parent.name), None)
    if table.name != parent.name and link is not None:
        joined = {f"{parent.name}.{column.name}": column for column in _compared(parent)}
    frames = {}
    counts: dict[str, Column] = {}
    for name, dataset in datasets.items():
        frame = dataset.tables[table.name]
        key = subject_key(schema, table)
        subject = pl.int_range(pl.len()) if key is None else pl.col(key).rank("dense")
        wide = frame.with_columns(subject.cast(pl.Int64).alias(_SUBJECT))
        if link is not None and joined:
            right = dataset.table.select(
                pl.col(link.to_column).alias(link.column),
                *(pl.col(column.name).alias(label) for label, column in joined.items()),
            )
            wide = wide.join(right, on=link.column, how="left", maintain_order="left")
        if several and table.name == parent.name:
            for child in schema.tables:
                step = next((one for one in child.links if one.to_table == parent.name), None)
                if step is not None:
                    label = f"rows in {child.name}"
                    tally = (
                        dataset.tables[child.name].group_by(step.column).agg(pl.len().cast(pl.Int64).alias(label))
                    ).rename({step.column: step.to_column})
                    wide = wide.join(tally, on=step.to_column, how="left", maintain_order="left")
                    wide = wide.with_columns(pl.col(label).fill_null(0))
                    counts[label] = Column(label, "integer")
        frames[name] = wide
    columns = {**own, **counts, **joined}
    return _encode(
        table.name,
        columns,
        frames,
        owner={**dict.fromkeys((*own, *counts), table.name), **dict.fromkeys(joined, parent.name)},
    )


def _subjects_view(schema: Schema, datasets: dict[str, Dataset], rows: View) -> list[View]:
    if not (rows.samples["train"].is_grouped or rows.samples["holdout"].is_grouped):
        return []
    key = schema.parent.subject
    assert key is not None
    label = "rows per subject"
    frames = {
        name: dataset.table.group_by(key)
        .agg(pl.len().cast(pl.Int64).alias(label))
        .with_columns(pl.int_range(pl.len()).alias(_SUBJECT))
        for name, dataset in datasets.items()
    }
    view = _encode("subjects", {label: Column(label, "integer")}, frames, owner={label: "subjects"})
    return [View(view.name, view.features, view.samples, joint=False)]


def _encode(name: str, columns: dict[str, Column], frames: dict[str, pl.DataFrame], owner: dict[str, str]) -> View:
    for key, frame in frames.items():
        if columns:
            frames[key] = frame.select(*columns, _SUBJECT).sort(*columns, _SUBJECT, nulls_last=True)
    features: list[Feature] = []
    raw: dict[str, list[NDArray[np.float64]]] = {key: [] for key in frames}
    rank: dict[str, list[NDArray[np.float32]]] = {key: [] for key in frames}
    codes: dict[str, list[NDArray[np.int32]]] = {key: [] for key in frames}
    for label, column in columns.items():
        if column.is_numeric:
            values = {key: _numbers(frame[label], column.kind) for key, frame in frames.items()}
            pool = np.concatenate([values["train"], values["holdout"]])
            pool = np.sort(pool[~np.isnan(pool)])
            features.append(
                Feature(
                    label,
                    owner[label],
                    True,
                    len(raw["train"]),
                    column.kind,
                    own=owner[label] == name,
                    disclosure=column.disclosure,
                )
            )
            for key, cells in values.items():
                raw[key].append(cells)
                rank[key].append(_ranks(cells, pool))
            continue
        texts = {key: frame[label].cast(pl.String) for key, frame in frames.items()}
        tally = (
            pl.concat([texts["train"], texts["holdout"]]).drop_nulls().alias("level").to_frame()
            .group_by("level").len().sort(["len", "level"], descending=[True, False])
        )  # fmt: skip
        levels = tally["level"]
        place = pl.DataFrame({"level": levels, "code": np.arange(1, len(levels) + 1, dtype=np.int32)})
        features.append(
            Feature(
                label,
                owner[label],
                False,
                len(codes["train"]),
                column.kind,
                tuple(levels),
                owner[label] == name,
                column.disclosure,
            )
        )
        for key, series in texts.items():
            found = series.alias("level").to_frame().join(place, on="level", how="left", maintain_order="left")
            code = found.select(
                pl.when(pl.col("level").is_null()).then(0).otherwise(pl.col("code").fill_null(len(levels) + 1))
            )
            codes[key].append(code.to_series().cast(pl.Int32).to_numpy().astype(np.int32))
    samples = {
        key: Sample(
            _stack(raw[key], frame.height, np.float64),
            _stack(rank[key], frame.height, np.float32),
            _stack(codes[key], frame.height, np.int32),
            _by_appearance(frame[_SUBJECT].to_numpy()),
        )
        for key, frame in frames.items()
    }
    return View(name, tuple(features), samples)


def _by_appearance(subject: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, number = np.unique(subject, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int64)


def _numbers(cells: pl.Series, kind: str) -> NDArray[np.float64]:
    if kind == "date":
        days = cells.cast(pl.Int32).cast(pl.Float64)
    elif kind == "datetime":
        days = cells.cast(pl.Int64).cast(pl.Float64) / 86_400e6
    else:
        days = cells.cast(pl.Float64)
    return days.fill_null(float("nan")).to_numpy().astype(np.float64)


def _ranks(cells: NDArray[np.float64], pool: NDArray[np.float64]) -> NDArray[np.float32]:
    if not len(pool):
        return np.where(np.isnan(cells), MISSING_RANK, 0.5).astype(np.float32)
    below = np.searchsorted(pool, cells, "left") + np.searchsorted(pool, cells, "right")
    return np.where(np.isnan(cells), MISSING_RANK, below / (2 * len(pool))).astype(np.float32)


def _stack(columns: list[Any], n: int, dtype: type) -> NDArray[Any]:
    return np.column_stack(columns) if columns else np.empty((n, 0), dtype)
