"""What each shipped policy decides of honest and of leaking rows.

    python -m benchmarks.evidence.policies [--data ../shared/data] [--rows 20000]

Tables: the bundled one, 4,200 patients of diabetes130, and a drawn population (`planted`) of the given size in each
half. Rows: the generator `trees` with caution 3 and 1; plain sequential trees (CART, five rows to a leaf, donors drawn
from the leaf); a copy of the training rows; columns drawn independently; of the drawn population also a further sample.
A column of a policy says what it decides and, in brackets, how many checks were missed, inconclusive and not measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

import ehrsatz
from benchmarks.evidence import planted
from ehrsatz import pipeline
from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.task import Task
from ehrsatz.gate import RULES, SHIPPED, judge, named
from ehrsatz.provenance import Provenance
from ehrsatz.reading import bundled
from ehrsatz.seeds import stream

LEAST_LEAF = 5


def main() -> None:
    """Print one line of a Markdown table per table and kind of rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=20_000, help="of the drawn population, in each half; 0: none")
    given = parser.parse_args()
    wanted = {one.metric for name in SHIPPED for one in named(name).thresholds} - {RULES, "expert_review"}
    print("| table | rows | " + " | ".join(SHIPPED) + " |")
    print("|---|---|" + "---|" * len(SHIPPED))
    for table, task, train, holdout, rows in tables(given.data, given.rows):
        for kind, made in rows:
            found = pipeline.evaluate(train, holdout, made, task=task, metrics=sorted(wanted), seed=0)
            cells = []
            for name in SHIPPED:
                verdict = judge(found, named(name))
                states = [check.state for check in verdict.checks]
                tally = [states.count(one) for one in ("missed", "inconclusive", "not measured")]
                word = {"pass": "pass", "hold": "hold", "deny": "**deny**"}[verdict.decision]
                cells.append(f"{word} ({', '.join(map(str, tally))})" if any(tally) else word)
            print(f"| {table} | {kind} | {' | '.join(cells)} |", flush=True)


def tables(data: Path, rows: int) -> Iterator[tuple[str, Task, Dataset, Dataset, Iterator[tuple[str, Dataset]]]]:
    """Yield name, task, train, holdout and the kinds of synthetic rows of each table."""
    whole = ehrsatz.read(str(bundled("heart_disease_uci")), subject="id", target="num")
    train, holdout = whole.split(0.5, seed=0)
    task = Task("num", groups=("sex",), formulas=("num ~ age + C(sex) + trestbps",))
    yield "bundled, 920 subjects", task, train, holdout, kinds(train, holdout)
    source = data / "diabetes130" / "diabetic_data.csv.gz"
    if source.exists():
        whole = ehrsatz.read(str(source), subject="patient_nbr", target="readmitted", sample_subjects=4200, seed=0)
        train, holdout = whole.split(0.5, seed=0)
        task = Task("readmitted", formulas=("time_in_hospital ~ C(age) + num_medications",))
        yield "diabetes130, 4,200 subjects", task, train, holdout, kinds(train, holdout)
    if rows:
        rng = stream(0, "policies")
        train, holdout = (planted.dataset(planted.patients(rows, rng)) for _ in range(2))
        further = planted.dataset(planted.patients(rows, rng))
        task = Task("stay_days", formulas=("stay_days ~ age + C(sex)",))
        more = (("a further sample", further), *kinds(train, holdout))
        yield f"drawn population, {2 * rows:,} subjects", task, train, holdout, iter(more)


def kinds(train: Dataset, holdout: Dataset) -> Iterator[tuple[str, Dataset]]:
    """Yield the kinds of synthetic rows, each made when it is asked for."""
    for caution in (3, 1):
        yield f"trees, caution {caution}", _drawn("trees", train, caution=caution)
    yield "CART", cart(train)
    yield "copy of train", Dataset(train.schema, train.tables, Provenance("generated"))
    if train.n_subjects == train.table.height:
        yield "independent columns", _drawn("independent", train)


def _drawn(name: str, train: Dataset, **parameters: float) -> Dataset:
    return ehrsatz.generator(name, **parameters).fit(train, seed=0).sample(train.n_subjects, seed=0)


def cart(train: Dataset, seed: int = 0) -> Dataset:
    """Draw rows as plain sequential CART does: each cell from a donor row of the leaf that the columns before lead to.

    References
    ----------
    Reiter, Using CART to generate partially synthetic public use microdata, Journal of Official Statistics 21(3), 2005.
    """
    from sklearn.tree import DecisionTreeRegressor

    table, frame, rng = train.schema.parent, train.table, stream(seed, "cart")
    names = [one.name for one in table.columns if one.role not in {"subject", "key"} and one.kind != "id"]
    n, drawn = frame.height, frame
    seen, made = np.zeros((n, 0)), np.zeros((n, 0))
    for name in names:
        codes = _codes(frame[name])
        pick = rng.integers(n, size=n)
        if seen.shape[1]:
            tree = DecisionTreeRegressor(min_samples_leaf=LEAST_LEAF, random_state=seed).fit(seen, codes)
            leaf, found = tree.apply(seen), tree.apply(made)
            for one in np.unique(found):
                rows = np.flatnonzero(found == one)
                pick[rows] = rng.choice(np.flatnonzero(leaf == one), len(rows))
        drawn = drawn.with_columns(frame[name].gather(pick.tolist()).alias(name))
        seen, made = np.column_stack([seen, codes]), np.column_stack([made, codes[pick]])  # (N, d) -> (N, d + 1)
    return Dataset(train.schema, {table.name: drawn}, Provenance("generated"))


def _codes(cells: pl.Series) -> NDArray[np.float64]:
    """Numbers as they are, dates as days, levels by name; a missing cell below all."""
    if cells.dtype == pl.String:
        cells = cells.rank("dense")
    numbers = cells.to_physical().cast(pl.Float64)
    least = numbers.min()
    return numbers.fill_null(float(least) - 1 if isinstance(least, float) else 0.0).to_numpy()


if __name__ == "__main__":
    main()
