"""Event streams of three datasets in one coding, and what is counted on them by jackknife group.

An event table with a code column gives one event per row; one without gives one event per present cell, a category's
level being part of the code. A visit is all that one subject has at one time. Codes that fewer than five real subjects
have take no part, nor do those after the thousand that most real subjects have; together in a visit and from visit to
visit, the first hundred. Every count is a sum over subjects, so that what it becomes without a group of subjects is a
subtraction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset
from ehrsatz.errors import UnsupportedError
from ehrsatz.evaluation.base import Status, Unmeasured
from ehrsatz.evaluation.intervals import deal, jackknife_interval
from ehrsatz.evaluation.space import Comparison
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream

MAX_CODES = 1000
MAX_PAIRED = 100
MAX_SUBJECTS = 20_000
Counts = NDArray[np.float64]  # (G, ...), G jackknife groups


@dataclass(frozen=True)
class Events:
    """Events of one dataset, sorted by subject, time and code.

    subject
        (E,) number of the subject.
    visit
        (E,) number of the visit, rising.
    code
        (E,) index into `codes`, -1 for a code that is not compared.
    value
        (E,) number that belongs to the event, NaN where none.
    visit_subject, visit_day
        (V,) subject and time, in days since 1970, of each visit.
    part
        (N,) jackknife group of each subject; subjects without events are subjects too.
    codes
        Names of the compared codes, those of most real subjects first.
    """

    subject: NDArray[np.int64]
    visit: NDArray[np.int64]
    code: NDArray[np.int64]
    value: NDArray[np.float64]
    visit_subject: NDArray[np.int64]
    visit_day: NDArray[np.float64]
    part: NDArray[np.int64]
    codes: tuple[str, ...]

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self.part)

    @property
    def n_groups(self) -> int:
        """Number of jackknife groups."""
        return int(self.part.max(initial=0)) + 1

    @property
    def follows(self) -> NDArray[np.int64]:
        """Numbers of the visits that follow another one of the same subject."""
        return np.flatnonzero(self.visit_subject[1:] == self.visit_subject[:-1]) + 1

    @property
    def paired(self) -> tuple[str, ...]:
        """Names of the codes that are compared in pairs."""
        return self.codes[:MAX_PAIRED]

    def seen(self) -> NDArray[np.bool_]:
        """Say which of the codes that are compared in pairs each visit holds: (V, K)."""
        out = np.zeros((len(self.visit_subject), len(self.paired)), bool)
        used = (self.code >= 0) & (self.code < len(self.paired))
        out[self.visit[used], self.code[used]] = True
        return out


def events_of(comparison: Comparison, seed: int) -> dict[str, Events]:
    """Return the event streams of train, holdout and synthetic.

    Raises
    ------
    Unmeasured
        When no table has a time, or a dataset has no event.
    """
    found: dict[str, Events] = comparison.once(("events", seed), lambda: _code(comparison, seed))
    return found


def lacking(what: str, where: list[str]) -> Unmeasured:
    """Return the reason why nothing is measured: a failure where the synthetic rows alone lack what real ones have.

    Parameters
    ----------
    what
        What is so in these datasets.
    where
        Names of datasets.
    """
    status: Status = "failed" if where == ["synthetic"] else "not_applicable"
    return Unmeasured(f"Not measured: {what} in {', '.join(where)}.", status)


def by_value(events: Events, cells: NDArray[np.float64], subject: NDArray[np.int64], values: Counts) -> Counts:
    """Count numbers by value and group: (G, values)."""
    place = np.searchsorted(values, cells)
    flat = np.bincount(events.part[subject] * len(values) + place, minlength=events.n_groups * len(values))
    return flat.reshape(events.n_groups, len(values)).astype(np.float64)


def compare(
    counts: dict[str, Counts], like: Callable[[Counts, Counts], float], *, low: float = 0.0, high: float = 1.0
) -> tuple[float, tuple[float, float] | None, float]:
    """Hold counts of the holdout against those of the synthetic subjects.

    Parameters
    ----------
    counts
        Per dataset (G, ...).
    like
        Function of two summed counts, the holdout's first.
    low, high
        Ends of the scale.

    Returns
    -------
    The value, its jackknife interval, and the same of holdout against train.
    """
    whole = {key: one.sum(axis=0) for key, one in counts.items()}
    value = like(whole["holdout"], whole["synthetic"])
    real = np.array([like(whole["holdout"] - one, whole["synthetic"]) for one in counts["holdout"]])
    made = np.array([like(whole["holdout"], whole["synthetic"] - one) for one in counts["synthetic"]])
    return value, jackknife_interval(value, real, made, low=low, high=high), like(whole["holdout"], whole["train"])


def ks_similarity(a: Counts, b: Counts) -> float:
    """Return 1 - KS of two histograms over the same sorted values; 0 where one of them counts nothing."""
    if a.sum() <= 0 or b.sum() <= 0:
        return 0.0
    return 1.0 - float(np.abs(np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()).max())


def _code(comparison: Comparison, seed: int) -> dict[str, Events]:
    if not any(table.time is not None for table in comparison.schema.tables):
        raise Unmeasured("Not measured: no table has a column of time.")
    frames = {key: _frame(dataset) for key, dataset in comparison.datasets.items()}
    empty = [key for key, frame in frames.items() if not frame.height]
    if empty:
        raise lacking("no subject has an event", empty)
    real = pl.concat([frames["train"], frames["holdout"]])
    tally = (
        real.group_by("code")
        .agg(pl.col("subject_id").n_unique().alias("n"))
        .filter(pl.col("n") >= MIN_SUBJECTS)
        .sort(["n", "code"], descending=[True, False])
        .head(MAX_CODES)
    )
    codes = tally["code"].to_list()
    return {key: _events(comparison.datasets[key], frame, codes, seed, key) for key, frame in frames.items()}


def _frame(dataset: Dataset) -> pl.DataFrame:
    try:
        long = dataset.events()
    except UnsupportedError as error:
        raise Unmeasured(f"Not measured: {error.found or error.expected}") from None
    named = {table.name for table in dataset.schema.tables if table.time and table.with_role("code") is None}
    columns = {f"{table.name}/{column.name}" for table in dataset.schema.tables if table.name in named
               for column in table.columns if column.kind in {"category", "code", "boolean"}}  # fmt: skip
    level = pl.concat_str("code", pl.lit("="), pl.col("text_value").fill_null("missing"))
    return long.drop_nulls(["subject_id", "time"]).select(
        "subject_id",
        (pl.col("time").cast(pl.Int64) / 86_400e6).alias("day"),
        pl.when(pl.col("code").is_in(sorted(columns))).then(level).otherwise(pl.col("code")).alias("code"),
        pl.col("numeric_value").alias("value"),
    )


def _events(dataset: Dataset, frame: pl.DataFrame, codes: list[str], seed: int, key: str) -> Events:
    place = pl.DataFrame({"code": codes, "index": np.arange(len(codes))}, schema={"code": pl.String, "index": pl.Int64})
    rng = stream(seed, "evaluation", "events", key)
    names = frame["subject_id"].unique().sort()
    total = max(dataset.n_subjects, len(names))
    if len(names) > MAX_SUBJECTS:
        names = names.gather(np.sort(rng.permutation(len(names))[:MAX_SUBJECTS]))
        total = round(total * MAX_SUBJECTS / max(1, frame["subject_id"].n_unique()))
    number = pl.DataFrame({"subject_id": names, "subject": np.arange(len(names))})
    wide = (
        frame.join(number, on="subject_id", how="inner")
        .join(place, on="code", how="left")
        .sort("subject", "day", "code", "value", nulls_last=True)
        .with_columns(pl.struct("subject", "day").rle_id().cast(pl.Int64).alias("visit"))
    )
    first = wide.unique("visit", keep="first", maintain_order=True)
    return Events(
        wide["subject"].to_numpy().astype(np.int64),
        wide["visit"].to_numpy().astype(np.int64),
        wide["index"].fill_null(-1).to_numpy().astype(np.int64),
        wide["value"].fill_null(float("nan")).to_numpy().astype(np.float64),
        first["subject"].to_numpy().astype(np.int64),
        first["day"].to_numpy().astype(np.float64),
        deal(np.arange(total), rng),
        tuple(codes),
    )
