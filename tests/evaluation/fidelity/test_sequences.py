"""Histories: values known by hand, what shuffling destroys, and what cannot be measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from conftest import make_tidy
from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.fidelity.dynamics import Autocorrelation, NextEvent, _correlation, _lagged
from ehrsatz.evaluation.fidelity.events import events_of, ks_similarity
from ehrsatz.evaluation.fidelity.sequences import (
    EventsPerSubject,
    Gaps,
    Prevalence,
    Transitions,
    VisitBigrams,
    VisitPairs,
    _overlap,
)
from ehrsatz.evaluation.space import Comparison
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

METRICS = (EventsPerSubject, Gaps, Prevalence, VisitPairs, VisitBigrams, Transitions, Autocorrelation, NextEvent)
SCHEMA = Schema(
    "stream",
    (
        Table(
            "events",
            (
                Column("subject", "integer", role="subject", disclosure="direct"),
                Column("time", "datetime", role="time"),
                Column("code", "code", role="code"),
                Column("value", "number", role="value"),
            ),
        ),
    ),
)
NEXT = {"A": "ABB", "B": "BCC", "C": "CAA"}  # where a visit's state leads to


def histories(n: int, seed: int, *, first: int = 0) -> Dataset:
    """Return n subjects whose visits follow a chain of states, each with a level of their own in one lab value."""
    rng = stream(seed, "histories")
    rows = []
    for i in range(n):
        day, state, level = datetime(2020, 1, 1), str(rng.choice(list("ABC"))), rng.normal(50, 10)
        rows += [(first + i, day, f"chronic {j}", None) for j in range(1, 10) if rng.random() < j / 10]
        for _ in range(int(rng.integers(2, 8))):
            day += timedelta(days=int(rng.integers(1, 40)))
            rows.append((first + i, day, state, None))
            if state == "A" or rng.random() < 0.1:
                rows.append((first + i, day, "with A", None))
            rows.append((first + i, day, "lab", round(float(level + rng.normal(0, 3)), 1)))
            state = str(rng.choice(list(NEXT[state])))
    return of(rows)


def of(rows: list[tuple]) -> Dataset:
    frame = pl.DataFrame(
        rows,
        schema={"subject": pl.Int64, "time": pl.Datetime("us"), "code": pl.String, "value": pl.Float64},
        orient="row",
    )
    return Dataset(SCHEMA, {"events": frame}, Provenance("real"))


def mixed(dataset: Dataset, seed: int, *columns: str) -> Dataset:
    rng = stream(seed, "mixed")
    frame = dataset.table
    order = rng.permutation(frame.height)
    return replace(dataset, tables={"events": frame.with_columns(frame[c].gather(order) for c in columns)})


TRAIN, HOLDOUT, FRESH = (histories(150, seed, first=1000 * seed) for seed in (1, 2, 3))


# ---------------------------------------------------------------------- by hand
def test_events_are_coded_by_subject_time_and_code() -> None:
    day = datetime(2020, 1, 1)
    rows = [(s, day + timedelta(days=d), c, None) for s in range(6) for d, c in ((0, "A"), (0, "B"), (3, "A"))]
    rows.append((0, day, "rare", None))
    found = events_of(Comparison.of(of(rows), of([(s + 10, *r) for s, *r in rows]), of(rows)), 1)["synthetic"]
    assert found.codes == ("A", "B")  # one real subject per half has the rare one: two in all
    assert found.n_subjects == 6
    assert len(found.visit_subject) == 12
    assert found.visit_day[1] - found.visit_day[0] == 3
    assert found.seen()[:2].tolist() == [[True, True], [True, False]]
    assert (found.code == -1).sum() == 1


def test_ks_similarity_by_hand() -> None:
    assert ks_similarity(np.array([1.0, 1, 0]), np.array([0.0, 1, 1])) == pytest.approx(0.5)
    assert ks_similarity(np.array([0.0, 0]), np.array([1.0, 1])) == 0.0


def test_overlap_by_hand() -> None:
    a, b = np.array([[2.0, 2], [0, 4]]), np.array([[3.0, 1], [0, 1]])
    value, each = _overlap(a.ravel(), b.ravel(), 2)
    assert each.tolist() == [0.75, 1.0]
    assert value == pytest.approx((0.75 * 4 + 1.0 * 4) / 8)


def test_lagged_correlation_is_numpys() -> None:
    found = events_of(Comparison.of(TRAIN, HOLDOUT, FRESH), 1)["holdout"]
    k = found.codes.index("lab")
    got = _correlation(_lagged(found).sum(axis=0))[k]
    frame = HOLDOUT.table.filter(pl.col("code") == "lab").sort("subject", "time")
    for lag in (1, 2, 3):
        pairs = frame.with_columns(pl.col("value").shift(lag).over("subject").alias("before")).drop_nulls()
        assert got[lag - 1] == pytest.approx(np.corrcoef(pairs["before"], pairs["value"])[0, 1], abs=1e-9)


# ---------------------------------------------------------------------- what they see
@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_real_histories_score_as_their_reference_and_rows_may_be_in_any_order(metric: type) -> None:
    fair = metric().compute(TRAIN, HOLDOUT, FRESH, seed=1)
    assert fair.value is not None and fair.reference is not None, fair.meaning
    assert fair.value == pytest.approx(fair.reference, abs=0.12)
    turned = replace(FRESH, tables={"events": FRESH.table.reverse()})
    again = metric().compute(TRAIN, HOLDOUT, turned, seed=1)
    assert again.to_dict() == fair.to_dict()


@pytest.mark.parametrize("metric", [m for m in METRICS if m is not NextEvent], ids=lambda one: one.name)
def test_identical_histories_are_ideal(metric: type) -> None:
    same = replace(HOLDOUT, provenance=Provenance("generated"))
    score = metric().compute(TRAIN, HOLDOUT, same, seed=1)
    assert score.value == pytest.approx(score_ideal(metric), abs=1e-9)


def score_ideal(metric: type) -> float:
    return float(metric.ideal)


def value(metric: type, synthetic: Dataset) -> float:
    found = metric().compute(TRAIN, HOLDOUT, synthetic, seed=1).value
    assert found is not None
    return float(found)


def test_shuffled_codes_are_caught() -> None:
    bad = mixed(FRESH, 1, "code", "value")
    for metric in (VisitPairs, VisitBigrams, Transitions):
        assert value(metric, bad) < value(metric, FRESH) - 0.05, metric.name
    assert value(NextEvent, bad) < value(NextEvent, FRESH) - 0.05


def test_visits_in_random_order_hurt_bigrams_and_not_pairs() -> None:
    rng = stream(5, "order")
    rows = []
    for (subject,), part in FRESH.table.group_by("subject", maintain_order=True):
        days = part["time"].unique().sort().to_list()
        swap = dict(zip(days, [days[i] for i in rng.permutation(len(days))]))
        rows += [(subject, swap[t], c, v) for t, c, v in part.select("time", "code", "value").iter_rows()]
    bad = of(rows)
    assert value(VisitPairs, bad) == pytest.approx(value(VisitPairs, FRESH), abs=1e-9)
    assert value(Transitions, bad) < value(Transitions, FRESH) - 0.03


def test_values_that_forget_their_subject_are_caught() -> None:
    labs = FRESH.table.with_row_index("at").filter(pl.col("code") == "lab")
    cells = FRESH.table["value"].to_list()
    for to, cell in zip(labs["at"], stream(1, "labs").permutation(labs["value"].to_numpy())):
        cells[to] = float(cell)
    bad = replace(FRESH, tables={"events": FRESH.table.with_columns(pl.Series("value", cells))})
    score = Autocorrelation().compute(TRAIN, HOLDOUT, bad, seed=1)
    assert score.value is not None and score.baseline is not None
    assert score.value > 0.5 > value(Autocorrelation, FRESH)
    assert score.value == pytest.approx(score.baseline, abs=0.15)


def test_longer_waits_and_fewer_events_are_caught() -> None:
    slow = FRESH.table.with_columns(
        (pl.col("time").min().over("subject") + (pl.col("time") - pl.col("time").min().over("subject")) * 3).alias(
            "time"
        )
    )
    assert value(Gaps, replace(FRESH, tables={"events": slow})) < 0.6
    short = FRESH.table.filter(pl.col("time").rank("dense").over("subject") <= 2)
    assert value(EventsPerSubject, replace(FRESH, tables={"events": short})) < 0.5
    assert value(Prevalence, replace(FRESH, tables={"events": FRESH.table.filter(pl.col("code") != "with A")})) < 0.9


# ---------------------------------------------------------------------- what cannot be measured
@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_without_a_time_there_is_a_reason(metric: type) -> None:
    a, rest = make_tidy(60).split(0.4, seed=1)
    b, c = rest.split(0.5, seed=1)
    plain = [
        Dataset(Schema("t", (replace(d.schema.parent, columns=tuple(
            replace(one, role="attribute") if one.role in {"time", "end"} else one for one in d.schema.parent.columns
        )),)), d.tables, d.provenance)
        for d in (a, b, c)
    ]  # fmt: skip
    score = metric().compute(*plain, seed=1)
    assert score.status == "not_applicable"
    assert "time" in score.meaning


@pytest.mark.parametrize("metric", [Gaps, VisitBigrams, Transitions, NextEvent], ids=lambda one: one.name)
def test_single_visits_in_the_copy_alone_are_a_failure(metric: type) -> None:
    single = FRESH.table.filter(pl.col("time") == pl.col("time").min().over("subject"))
    score = metric().compute(TRAIN, HOLDOUT, replace(FRESH, tables={"events": single}), seed=1)
    assert score.status == "failed"
    assert "synthetic" in score.meaning


def test_no_code_of_fewer_than_five_subjects_is_told() -> None:
    day = datetime(2021, 1, 1)
    secret = [(2000 + i, day, "SECRET", None) for i in range(2)]
    train = replace(TRAIN, tables={"events": TRAIN.table.vstack(of([(1001, day, "SECRET", None)]).table)})
    holdout = replace(HOLDOUT, tables={"events": HOLDOUT.table.vstack(of(secret).table)})
    for metric in METRICS:
        told = str(metric().compute(train, holdout, FRESH, seed=1).to_dict())
        assert "SECRET" not in told, metric.name


def test_all_are_registered() -> None:
    assert {one.name for one in METRICS} <= set(registry.names("metrics"))
