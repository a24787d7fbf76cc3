"""The contracts of metrics, rules, exporters and sources."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, SourceError, UnsupportedError
from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.task import Task
from ehrsatz.exporters.base import Exporter
from ehrsatz.provenance import Provenance
from ehrsatz.rules.base import Rule
from ehrsatz.schema import dtype_of
from ehrsatz.seeds import stream
from ehrsatz.testing.base import demand, equal, expect, same_tables, untouched


# ---------------------------------------------------------------------- metrics
def check_metric(metric: type[Metric] | Metric, dataset: Dataset, *, target: str | None = None, seed: int = 1) -> None:
    """Check the contract of a metric on thirds of one real dataset: train, holdout, and a further real sample.

    A measured value is finite and on the metric's scale, an unmeasured one has no number and a reason. The same seed
    gives the same score, and no input or global state changes. By what the metric claims to tell (`Metric.tells`), a
    further real sample scores no worse than columns drawn independently, and better than copies of the training rows.

    Parameters
    ----------
    metric
        A class, made with a task of this `target`, or an instance.
    dataset
        A table of at least 90 subjects in which columns depend on each other.
    target
        Column that a prediction model would learn.
    seed
        Decides the split and the draws.

    Raises
    ------
    AssertionError
        With what failed.
    """
    made = metric(task=Task(target=target)) if isinstance(metric, type) else metric
    for name in ("name", "title", "family", "goal", "low", "high", "ideal"):
        demand(hasattr(made, name), f"the metric has no '{name}'")
    demand(-math.inf < made.low <= made.ideal <= made.high < math.inf, "the ideal value is off the metric's scale")
    train, rest = dataset.split(1 / 3, seed=seed)
    holdout, further = rest.split(0.5, seed=seed)
    before = [{name: frame.clone() for name, frame in part.tables.items()} for part in (train, holdout, further)]
    fair = untouched(lambda chance: made.compute(train, holdout, further, seed=chance), seed, "compute")
    for was, part in zip(before, (train, holdout, further), strict=True):
        same_tables(was, part.tables, "compute changes a dataset that it compares")
    _check_score(made, fair)
    demand(fair.status != "failed", f"the metric fails on real data: {fair.meaning}")
    again = made.compute(train, holdout, further, seed=seed)
    demand(again.to_dict() == fair.to_dict(), "the same seed gives another score")
    tiny = made.compute(train.split(1e-9, seed=seed)[0], holdout, further, seed=seed)
    _check_score(made, tiny)
    if fair.value is None:
        return
    tells = made.tells if made.tells is not None else {"copies" if made.family == "privacy" else "unrelated"}
    if "copies" in tells:
        leak = made.compute(train, holdout, Dataset(train.schema, train.tables, further.provenance), seed=seed)
        _check_score(made, leak)
        demand(leak.value is not None, "copies of the training rows are not measured")
        demand(_badness(made, leak) > _badness(made, fair), "copies of the training rows score no worse than real ones")
    if "unrelated" in tells:
        unrelated = made.compute(train, holdout, _unrelated(further, seed), seed=seed)
        _check_score(made, unrelated)
        worse = unrelated.value is None or _badness(made, unrelated) >= _badness(made, fair) - _half_width(fair)
        demand(worse, "independently drawn columns score better than a further real sample")


def _check_score(metric: Metric, score: Score) -> None:
    demand(score.metric == metric.name, "the score bears another metric's name")
    demand(bool(score.meaning), "the score has no sentence of meaning")
    demand((score.value is not None) == (score.status == "measured"), "a score that was not measured has a number")
    if score.value is None:
        demand(score.interval is None, "a score that was not measured has an interval")
        return
    for name, number in (("value", score.value), ("reference", score.reference), ("baseline", score.baseline)):
        on_scale = number is None or metric.low - 1e-9 <= number <= metric.high + 1e-9
        demand(on_scale, f"the {name} is off the metric's scale from {metric.low} to {metric.high}")
    if score.interval is not None:
        demand(score.interval[0] <= score.interval[1], "the interval's ends are the wrong way round")
    demand(score.n > 0, "the score rests on no row")
    score.to_dict()


def _badness(metric: Metric, score: Score) -> float:
    """How far a score is from the good end: larger is worse."""
    assert score.value is not None
    if metric.goal == "maximise":
        return -score.value
    return score.value if metric.goal == "minimise" else abs(score.value - metric.ideal)


def _half_width(score: Score) -> float:
    return 0.0 if score.interval is None else (score.interval[1] - score.interval[0]) / 2


def _unrelated(dataset: Dataset, seed: int) -> Dataset:
    """Shuffle every column but keys on its own."""
    tables = {}
    for table in dataset.schema.tables:
        frame = dataset.tables[table.name]
        rng = stream(seed, "testing", "unrelated", table.name)
        tables[table.name] = frame.with_columns(
            frame[column.name].gather(rng.permutation(frame.height))
            for column in table.columns
            if column.role not in {"subject", "key", "link"}
        )
    return Dataset(dataset.schema, tables, dataset.provenance)


# ---------------------------------------------------------------------- rules
def check_rule(rule: type[Rule] | Rule, dataset: Dataset) -> None:
    """Check the contract of a rule on a dataset: its finding counts and points to rows, and shows no cell.

    Parameters
    ----------
    rule
        A class without parameters, or an instance, of `rules.base.Rule`.
    dataset
        What to check.

    Raises
    ------
    AssertionError
        With what failed.
    """
    made = rule() if isinstance(rule, type) else rule
    for name in ("id", "title", "severity", "needs", "why", "source"):
        demand(bool(getattr(made, name, None)), f"the rule has no '{name}'")
    before = {name: frame.clone() for name, frame in dataset.tables.items()}
    finding = made.check(dataset)
    demand(finding.rule == made.id, "the finding bears another rule's id")
    same_tables(before, dataset.tables, "check changes the dataset")
    demand(0 <= finding.n_failed <= finding.n_checked, "the finding fails more rows than it checked")
    demand(sum(len(rows) for rows in finding.rows.values()) == finding.n_failed, "rows and n_failed disagree")
    for name, rows in finding.rows.items():
        demand(name in dataset.tables, "the finding names a table that the dataset has not")
        positions = np.asarray(rows)
        demand(positions.dtype == np.int64 and positions.ndim == 1, f"{name}: row positions are no int64 array (n,)")
        inside = not len(positions) or 0 <= positions.min() <= positions.max() < dataset.tables[name].height
        demand(bool(inside), f"{name}: a row position is outside the table")
    again = made.check(dataset)
    same = again.n_failed == finding.n_failed and again.n_checked == finding.n_checked
    demand(same, "the same dataset gives another finding")


# ---------------------------------------------------------------------- exporters
def check_exporter(
    exporter: type[Exporter] | Exporter,
    dataset: Dataset,
    *,
    read: Callable[[Path], Mapping[str, pl.DataFrame]] | None = None,
) -> None:
    """Check the contract of an exporter on one dataset.

    It refuses real rows unless told otherwise and replaces no file; the files lie in the folder, none is left half
    written, and the same dataset gives the same bytes; it reads its own files back without a problem and sees one that
    was cut off; with `read`, the rows that come back are equal.

    Parameters
    ----------
    exporter
        A class without parameters, or an instance.
    dataset
        What to write; its origin is replaced.
    read
        Reads the folder back: table -> frame whose cells can be cast to the schema's types.

    Raises
    ------
    AssertionError
        With what failed.
    """
    made = exporter() if isinstance(exporter, type) else exporter
    demand(bool(made.name), "the exporter has no name")
    demand(made.needs in {"any", "clinical"}, "'needs' is neither any nor clinical")
    real = Dataset(dataset.schema, dataset.tables, Provenance("real"))
    fabricated = Dataset(dataset.schema, dataset.tables, Provenance("generated"))
    with tempfile.TemporaryDirectory() as place:
        first, second, third = (Path(place) / name for name in ("first", "second", "third"))
        expect(UnsupportedError, lambda: made.write(real, third), "write of real rows")
        demand(not third.exists() or not any(third.iterdir()), "a refused write leaves files behind")
        before = {name: frame.clone() for name, frame in dataset.tables.items()}
        paths = made.write(fabricated, first)
        same_tables(before, dataset.tables, "write changes the dataset")
        demand(len(paths) > 0 and all(path.is_file() for path in paths), "a path that write returns is no file")
        on_disk = sorted(path for path in first.rglob("*") if path.is_file())
        demand(on_disk == sorted(paths), "the files in the folder are not those that write returns")
        demand(made.check(first) == [], f"check finds problems in its own files: {made.check(first)}")
        others = made.write(fabricated, second)
        for one, other in zip(paths, others, strict=True):
            demand(one.read_bytes() == other.read_bytes(), f"{one.name}: the same dataset gives other bytes")
        expect(OutputError, lambda: made.write(fabricated, first), "write over files that are there")
        if read is not None:
            _check_read_back(dataset, read(first))
        others[0].write_bytes(others[0].read_bytes()[:0])
        demand(made.check(second) != [], "check does not see that a file was emptied")


def _check_read_back(dataset: Dataset, back: Mapping[str, pl.DataFrame]) -> None:
    typed = {}
    for table in dataset.schema.tables:
        demand(table.name in back, f"the table {table.name} is not read back")
        demand(back[table.name].columns == list(table.names), f"{table.name}: other columns are read back")
        wanted = {column.name: dtype_of(column.kind) for column in table.columns}
        typed[table.name] = back[table.name].cast(wanted)  # type: ignore[arg-type]
    same_tables(dataset.tables, typed, "what is read back differs")


# ---------------------------------------------------------------------- sources
def check_source(source: Any, what: Any, *, absent: Any = None, **options: Any) -> Dataset:
    """Check the contract of a source: real rows, the same each time, nothing written; return what it read.

    Parameters
    ----------
    source
        A class without parameters, or an instance.
    what
        What to read: a path, a URL or a frame, as the source takes it.
    absent
        Something of that form which does not exist, and must be refused.
    options
        Passed to `read`.

    Raises
    ------
    AssertionError
        With what failed.
    """
    made = source() if isinstance(source, type) else source
    folder = Path(what).parent if isinstance(what, (str, Path)) and Path(what).exists() else None
    before = _contents(folder)
    first = untouched(lambda _: made.read(what, **options), 0, "read")
    second = made.read(what, **options)
    demand(_contents(folder) == before, "read writes beside what it reads")
    demand(isinstance(first, Dataset), "read returns no Dataset")
    demand(first.provenance.origin == "real", "the origin of what was read is not 'real'")
    demand(len(first.provenance.steps) > 0, "the provenance has no step that says how it was read")
    demand(first.schema == second.schema and equal(first.tables, second.tables), "read twice, other rows come")
    reasons = [column.name for table in first.schema.tables for column in table.columns if not column.why]
    demand(not reasons, f"columns whose guess has no reason: {', '.join(reasons)}")
    if absent is not None:
        expect(SourceError, lambda: made.read(absent, **options), "read of what does not exist")
    return first


def _contents(folder: Path | None) -> dict[str, bytes]:
    if folder is None:
        return {}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
