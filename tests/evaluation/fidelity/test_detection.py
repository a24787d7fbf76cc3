"""Detection: what it finds, what gives the copy away and how, in which subgroup; no rare value is named."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.fidelity import detection
from ehrsatz.evaluation.fidelity.detection import EXPLAINED, Detection, folds, tell
from ehrsatz.evaluation.fidelity.traits import NEW, Traits, descriptions, difference, partner
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.seeds import stream
from ehrsatz.threads import one_thread
from evaluation.tables import population, shuffled, table, unrelated, with_rows


@pytest.fixture(scope="module")
def parts() -> tuple[Dataset, Dataset, Dataset]:
    return population(400, 1), population(400, 2), population(400, 3)


def changed(dataset: Dataset, **columns: pl.Expr) -> Dataset:
    frame = dataset.table
    return with_rows(dataset, frame.with_columns(**{k: e.cast(frame.schema[k]) for k, e in columns.items()}))


def told(a: Dataset, b: Dataset, c: Dataset, **task: object):
    return Detection(task=Task(**task)).compute(a, b, c, seed=1)


def test_area_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that scores by one column alone: the area is that of the column."""

    class ByColumn:
        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return np.column_stack([1 - x[:, 0], x[:, 0]])

    monkeypatch.setattr(detection, "boost", lambda *a, **k: ByColumn())
    line = table({"x": ("number", [i / 20 for i in range(20)])})
    up = table({"x": ("number", [(i + 5) / 20 for i in range(20)])})
    pairs = [(r < s) + 0.5 * (r == s) for r in range(20) for s in range(5, 25)]
    assert Detection().compute(line, line, up, seed=1).value == pytest.approx(np.mean(pairs))


def test_same_and_unrelated(parts: tuple) -> None:
    fresh = told(*parts)
    assert fresh.value == pytest.approx(0.5, abs=0.08) and fresh.baseline == 0.5
    if fresh.value <= EXPLAINED:
        assert fresh.details["culprits"] == []
    a, b, c = parts
    apart = told(a, b, unrelated(c))
    assert apart.value > 0.7
    assert {one["column"] for one in apart.details["culprits"][:3]} & {"age", "pressure", "event", "weight", "sugar"}
    assert any("on its own it looks alike" in one["how"] for one in apart.details["culprits"])
    assert Detection().compute(shuffled(a), shuffled(b), shuffled(c), seed=1).to_dict() == fresh.to_dict()


def test_who_gives_it_away_and_how(parts: tuple) -> None:
    a, b, c = parts
    rng = stream(1, "moved")
    by = {
        "pressure": (changed(c, pressure=pl.col("pressure") + 25), "more often in the highest fourth"),
        "site": (changed(c, site=pl.Series(np.where(rng.random(400) < 0.4, "B", "C"))), "less often 'A' (0 % against"),
        "sugar": (changed(c, sugar=pl.when(pl.int_range(400) % 2 == 0).then(pl.col("sugar"))), "more often missing"),
    }
    for column, (made, how) in by.items():
        score = told(a, b, made)
        first = score.details["culprits"][0]
        assert first["column"] == column and how in first["how"], first
        assert f"'{column}'" in score.meaning and how in score.meaning


def test_values_that_no_real_row_has(parts: tuple) -> None:
    a, b, c = parts
    fine = changed(c, pressure=pl.col("pressure") + pl.Series(stream(2, "fine").uniform(-0.04, 0.04, 400)))
    view = Comparison.of(a, b, fine).joint[0]
    found = difference(Traits(view), next(one for one in view.features if one.name == "pressure"))
    assert found["where"] == NEW and found["synthetic"] == 1.0 and found["real"] < 0.5


def test_a_level_of_four_people_is_not_named() -> None:
    real = ["a"] * 150 + ["b"] * 46 + ["rare"] * 4
    parts = [table({"y": ("category", cells)}) for cells in (real, real, ["a"] * 60 + ["b"] * 40 + ["rare"] * 100)]
    score = told(*parts)
    assert score.value > 0.6
    assert "rare'" not in str(score.to_dict()) and "levels that few or no real rows have" in str(score.details)
    view = Comparison.of(*parts).joint[0]
    found = difference(Traits(view), view.features[0])
    assert found["real"] is None and found["synthetic"] is None and "%" not in found["how"]


def test_subgroups(parts: tuple) -> None:
    a, b, c = parts
    worse = changed(c, pressure=pl.col("pressure") + 40 * (pl.col("sex") == "F"))
    groups = told(a, b, worse, groups=("sex",)).details["groups"]
    assert [one["group"] for one in groups] == ["sex = F", "sex = M"]
    assert groups[0]["auc"] > groups[1]["auc"] + 0.1
    assert groups[0]["reference"] == pytest.approx(0.5, abs=0.15)
    assert told(a, b, c, groups=("sex",)).details["groups"][0]["n"] >= 20


def test_wide_tables_take_every_column() -> None:
    rng = stream(3, "wide")
    n, d = 120, 210

    def rows(shift: float) -> Dataset:
        cells = {f"x{i}": ("number", (rng.normal(size=n) + (shift if i == 207 else 0)).tolist()) for i in range(d)}
        return table({**cells, "y": ("category", rng.choice([f"L{i}" for i in range(90)], n).tolist())})

    score = Detection().compute(rows(0), rows(0), rows(3), seed=1)
    assert score.value > 0.8
    assert score.details["culprits"][0]["column"] == "x207"


def test_subjects_stay_in_one_fold() -> None:
    group = np.repeat(np.arange(30), 3)
    fold = folds(np.zeros(90, np.int64), group, stream(1, "folds"))
    assert all(len(np.unique(fold[group == one])) == 1 for one in range(30))
    assert np.bincount(fold).tolist() == [18] * 5


def test_nothing_to_learn() -> None:
    same = table({"x": ("integer", [3] * 20), "y": ("category", [None] * 20)})
    score = told(same, same, same)
    assert score.value == 0.5 and score.details["culprits"] == []


def test_explaining_does_not_change_the_value(parts: tuple) -> None:
    a, b, c = parts
    view = Comparison.of(a, b, unrelated(c)).joint[0]
    with one_thread():
        plain, explained = (tell(view, "synthetic", 1, explain=flag) for flag in (False, True))
    assert plain.value == explained.value and plain.interval == explained.interval
    assert not plain.drops and explained.drops


def test_marks_of_groups_of_rows() -> None:
    site = ["A"] * 20 + ["B"] * 20 + ["C"] * 20
    one = table({"site": ("category", site), "age": ("integer", list(range(60)))})
    view = Comparison.of(one, one, one).joint[0]
    real = view.samples["holdout"]
    label = np.digitize(real.raw[:, 0], [20, 56])
    found = descriptions(view, real, label, 3)
    assert sorted(found) == [0, 1]  # the third has four subjects
    assert found[0][0] == "site = A" and "age: lowest fourth" in found[0]


def test_partner_is_the_column_that_goes_differently() -> None:
    rng = stream(4, "partner")

    def rows(linked: bool) -> Dataset:
        x = rng.normal(size=600)
        y = x + rng.normal(0, 0.5, 600) if linked else rng.normal(0, 1.1, 600)
        kind = rng.choice(["a", "b", "c"], 600, p=[0.5, 0.3, 0.2] if linked else [0.3, 0.3, 0.4])
        return table(
            {
                "x": ("number", x.tolist()),
                "y": ("number", y.tolist()),
                "z": ("number", rng.normal(size=600).tolist()),
                "kind": ("category", kind.tolist()),  # differs on its own, which is no pair
            }
        )

    traits = Traits(Comparison.of(rows(True), rows(True), rows(False)).joint[0])
    x, y, z, kind = traits.view.features
    assert (partner(traits, x), partner(traits, y), partner(traits, z), partner(traits, kind)) == ("y", "x", None, None)
    assert "goes with 'y'" in difference(traits, x)["how"]
