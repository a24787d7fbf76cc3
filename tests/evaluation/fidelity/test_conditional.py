"""Single columns within subgroups: by hand, and a copy that is right on the whole and wrong for one group."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.evaluation.fidelity.conditional import Conditional
from ehrsatz.evaluation.fidelity.margins import Margins
from ehrsatz.evaluation.task import Task
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.tables import population, shuffled, table, unrelated

BY_SEX = Task(groups=("sex",))


def people(n: int, seed: int, *, swapped: bool = False, sexes: str = "FM") -> object:
    """Two sexes with their own range of a lab value; a swapped copy has the right values at the wrong sex."""
    rng = stream(seed, "people")
    sex = np.array(list(sexes))[rng.integers(0, len(sexes), n)]
    high = (sex == "F") != swapped
    return table(
        {
            "sex": ("category", sex.tolist()),
            "lab": ("number", (rng.normal(0, 1, n) + 10 * high).tolist()),
            "site": ("category", rng.choice(["A", "B"], n).tolist()),
        }
    )


def test_by_hand() -> None:
    def rows(f: str, m: str) -> object:
        return table({"sex": ("category", ["F"] * 20 + ["M"] * 20), "c": ("category", list(f) + list(m))})

    real, made = rows("a" * 10 + "b" * 10, "a" * 20), rows("a" * 15 + "b" * 5, "a" * 10 + "b" * 10)
    score = Conditional(task=BY_SEX).compute(real, real, made, seed=1)
    assert score.value == pytest.approx(0.5) and score.reference == pytest.approx(1.0)
    assert score.details["worst"] == "sex = M" and score.details["mean"] == pytest.approx((0.75 + 0.5) / 2)
    assert score.baseline == pytest.approx(0.75)  # both sexes as the whole: three quarters a
    assert score.details["groups"][0] == {
        "group": "sex = M",
        "column": "sex",
        "level": "M",
        "n_real": 20,
        "n_synthetic": 20,
        "similarity": 0.5,
        "reference": 1.0,
        "baseline": 0.75,
        "worst_column": "c",
    }


def test_right_on_the_whole_and_wrong_in_each_group() -> None:
    a, b, made = people(400, 1), people(400, 2), people(400, 3, swapped=True)
    assert Margins().compute(a, b, made, seed=1).value > 0.9
    score = Conditional(task=BY_SEX).compute(a, b, made, seed=1)
    assert score.value < 0.6 and score.reference > 0.85
    assert score.interval[0] <= score.value <= score.interval[1]
    assert score.details["groups"][0]["worst_column"] == "lab"


def test_a_group_that_the_copy_lacks_scores_nothing() -> None:
    score = Conditional(task=BY_SEX).compute(people(200, 1), people(200, 2), people(200, 3, sexes="M"), seed=1)
    assert score.value == 0 and score.interval is None
    assert "'sex = F'" in score.meaning and "no synthetic row" in score.meaning


def test_one_group_agrees_with_margins_of_its_rows() -> None:
    import polars as pl

    from ehrsatz.dataset import Dataset

    a, b, made = population(400, 1), population(400, 2), population(400, 3)
    score = Conditional(task=Task(groups=("site",))).compute(a, b, made, seed=1)
    for line in score.details["groups"]:
        parts = [
            Dataset(one.schema, {"t": one.table.filter(pl.col("site") == line["level"])}, one.provenance)
            for one in (a, b, made)
        ]
        margins = Margins().compute(*parts, seed=1)
        own = [one["similarity"] for one in margins.details["columns"] if one["column"] != "site"]
        assert line["similarity"] == pytest.approx(np.mean(own), abs=1e-9)
        assert line["n_real"] == parts[1].table.height


def test_many_values_are_read_at_five_hundred_points() -> None:
    rng = stream(5, "fine")
    real = table({"sex": ("category", ["F", "M"] * 2000), "x": ("number", rng.normal(size=4000).tolist())})
    made = table({"sex": ("category", ["F", "M"] * 2000), "x": ("number", (rng.normal(size=4000) + 0.3).tolist())})
    from scipy.stats import ks_2samp

    score = Conditional(task=BY_SEX).compute(real, real, made, seed=1)
    for line in score.details["groups"]:
        x, y = (one.table.filter(one.table["sex"] == line["level"])["x"].to_numpy() for one in (real, made))
        assert line["similarity"] == pytest.approx(1 - ks_2samp(x, y).statistic, abs=0.004)


def test_no_group_and_no_other_column() -> None:
    score = Conditional().compute(population(60, 1), population(60, 2), population(60, 3), seed=1)
    assert score.status == "not_applicable" and "subgroups" in score.meaning  # no column is named or protected
    alone = table({"sex": ("category", ["F", "M"] * 30)})
    score = Conditional(task=BY_SEX).compute(alone, alone, alone, seed=1)
    assert score.status == "not_applicable" and "besides" in score.meaning


def test_contract_identical_and_order() -> None:
    task = Task(groups=("site", "age", "event"))
    check_metric(Conditional(task=task), population(600, 3))
    a, b, c = population(300, 1), population(300, 2), population(300, 4)
    assert Conditional(task=task).compute(a, a, a, seed=1).value == pytest.approx(1.0)
    score = Conditional(task=task).compute(a, b, c, seed=1)
    assert Conditional(task=task).compute(a, b, unrelated(c), seed=1).value < score.value
    again = Conditional(task=task).compute(shuffled(a, 1), shuffled(b, 2), shuffled(c, 3), seed=1)
    assert again.to_dict() == score.to_dict()
