"""k-anonymity, l-diversity, t-closeness, k-map and identity risk against definitions written out in loops."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.privacy.anonymity import KAnonymity, KMap, LDiversity, TCloseness, closeness
from ehrsatz.evaluation.privacy.risk import IdentityRisk, IdentityRiskMax
from ehrsatz.evaluation.task import Task
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream
from evaluation.tables import population, table

TASK = Task(quasi=("age", "sex"), secrets=("dx", "lab"))


def people(n: int, seed: int) -> Dataset:
    rng = stream(seed, "people")
    return table(
        {
            "age": ("integer", rng.integers(-2, 4, n).tolist()),
            "sex": ("category", [None if x == "u" else x for x in rng.choice(["F", "M", "u"], n).tolist()]),
            "dx": ("category", rng.choice(list("abcd"), n, p=[0.5, 0.2, 0.2, 0.1]).tolist()),
            "lab": ("number", [None if x > 2 else float(np.round(x, 1)) for x in rng.normal(size=n)]),
        }
    )


def classes(dataset: Dataset) -> dict[tuple, list[int]]:
    out: dict[tuple, list[int]] = {}
    for i, row in enumerate(dataset.table.select("age", "sex").iter_rows()):
        out.setdefault(row, []).append(i)
    return out


def emd(values: list, whole: list, ordered: bool) -> float:
    """Earth mover's distance of two samples by the formulas of Li et al. 2007, missing the last in order."""
    support = sorted(set(whole), key=lambda x: (x is None, 0 if x is None else x))
    p = [values.count(x) / len(values) for x in support]
    q = [whole.count(x) / len(whole) for x in support]
    if not ordered:
        return 0.5 * sum(abs(a - b) for a, b in zip(p, q))
    total, moved = 0.0, 0.0
    for a, b in zip(p, q):
        moved += a - b
        total += abs(moved)
    return total / (len(support) - 1)


@pytest.mark.parametrize("seed", range(20))
def test_agreement_with_loops_on_random_tables(seed: int) -> None:
    train, holdout, made = people(40, seed), people(35, 100 + seed), people(60, 200 + seed)
    found = classes(made)
    dx, lab = made.table["dx"].to_list(), made.table["lab"].to_list()
    k = KAnonymity(task=TASK).compute(train, holdout, made, seed=1)
    assert k.value == min(len(rows) for rows in found.values())
    assert k.details["below"][0]["share"] == pytest.approx(
        sum(len(rows) for rows in found.values() if len(rows) < 5) / 60
    )
    ell = LDiversity(task=TASK).compute(train, holdout, made, seed=1)
    assert ell.value == min(len({cells[i] for i in rows}) for rows in found.values() for cells in (dx, lab))
    t = TCloseness(task=TASK).compute(train, holdout, made, seed=1)
    expected = {
        "dx": max(emd([dx[i] for i in rows], dx, False) for rows in found.values()),
        "lab": max(emd([lab[i] for i in rows], lab, True) for rows in found.values()),
    }
    assert t.value == pytest.approx(max(expected.values()), abs=1e-9)
    assert {one["secret"]: one["t"] for one in t.details["secrets"]} == pytest.approx(expected, abs=1e-9)
    real = [*train.table.select("age", "sex").iter_rows(), *holdout.table.select("age", "sex").iter_rows()]
    behind = [real.count(row) for row in found]
    m = KMap(task=TASK).compute(train, holdout, made, seed=1)
    assert m.value == min(one for one in behind if one)
    nobody = sum(len(rows) for row, rows in found.items() if row not in real) / 60
    assert m.details["fit_nobody"] == pytest.approx(nobody)


def test_t_closeness_of_the_papers_example() -> None:
    # Li et al. 2007, section 4: salaries 3k..11k; the classes {3k,4k,5k} and {6k,8k,11k} are 0.375 and 0.167 away
    number = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    stated = np.array([0, 1, 2, 3, 5, 8, 4, 6, 7])
    assert closeness(number, stated, ordered=True)[:2] == pytest.approx([0.375, 1 / 6], abs=1e-3)


def by_hand(key: str, train: Dataset, holdout: Dataset, made: Dataset) -> tuple[float, float]:
    """Average and largest risk as the module's docstring defines them."""
    own = {"train": train, "holdout": holdout}[key]
    rows = list(own.table.iter_rows())
    population_ = [*train.table.iter_rows(), *holdout.table.iter_rows()]
    common = train.table["dx"].value_counts(sort=True)["dx"].to_list()
    tally = train.table["dx"].to_list()
    top = max(common, key=tally.count)
    labs = [x for x in train.table["lab"].to_list() if x is not None]
    centre = float(np.median(labs))
    reach = 1.48 * float(np.median(np.abs(np.array(labs) - centre)))
    first, second, largest = 0.0, 0.0, 0.0
    for age, sex, dx, lab in rows:
        f = sum((a, s) == (age, sex) for a, s, _, _ in rows)
        big = sum((a, s) == (age, sex) for a, s, _, _ in population_)
        same = [one for one in made.table.iter_rows() if one[:2] == (age, sex)]
        if not same:
            continue
        largest = max(largest, 1 / big)
        new = any(d == dx and dx != top for _, _, d, _ in same) or (
            lab is not None
            and abs(lab - centre) > reach
            and any(y is not None and abs(y - lab) <= reach for _, _, _, y in same)
        )
        first += new / f
        second += new / big
    return max(first / len(population_), second / len(rows)), largest


@pytest.mark.parametrize("seed", range(8))
def test_identity_risk_agrees_with_its_formula(seed: int) -> None:
    train, holdout, made = people(40, seed), people(50, 100 + seed), people(20, 200 + seed)
    average = IdentityRisk(task=TASK).compute(train, holdout, made, seed=1)
    largest = IdentityRiskMax(task=TASK).compute(train, holdout, made, seed=1)
    expected, other = by_hand("train", train, holdout, made), by_hand("holdout", train, holdout, made)
    assert average.value == pytest.approx(expected[0], abs=1e-9)
    assert average.reference == pytest.approx(other[0], abs=1e-9)
    assert largest.value == pytest.approx(expected[1]) and largest.reference == pytest.approx(other[1])


def test_copies_have_more_identity_risk_than_strangers() -> None:
    train, holdout, fresh = (people(300, seed) for seed in (1, 2, 3))
    scores = [IdentityRisk(task=TASK).compute(train, holdout, made, seed=1).value for made in (fresh, train)]
    assert scores[1] > scores[0]


def of_subjects(ids: list[str], ages: list[int]) -> Dataset:
    schema = Schema("v", (Table("v", (Column("id", "id", role="subject"), Column("age", "integer"))),))
    return Dataset(schema, {"v": pl.DataFrame({"id": ids, "age": ages})}, population(1, 1).provenance)


def test_classes_count_subjects_and_not_rows() -> None:
    made = of_subjects(["a", "a", "a", "b", "c"], [40, 40, 40, 50, 50])
    real = of_subjects(["d", "d", "e"], [40, 40, 50])
    other = of_subjects(["f", "g", "g"], [50, 60, 60])
    task = Task(quasi=("age",))
    assert KAnonymity(task=task).compute(real, other, made, seed=1).value == 1  # three rows of one subject
    assert KMap(task=task).compute(real, other, made, seed=1).value == 1  # 40: d; 50: e and f
    assert IdentityRiskMax(task=task).compute(real, other, made, seed=1).value == 1


def unmeasured(score: Score) -> bool:
    return score.status == "not_applicable" and "quasi" in score.meaning


def test_without_quasi_identifiers_nothing_is_measured() -> None:
    a, b, c = population(30, 1), population(30, 2), population(30, 3)
    for metric in (KAnonymity, LDiversity, TCloseness, KMap, IdentityRisk, IdentityRiskMax):
        assert unmeasured(metric().compute(a, b, c, seed=1))


def test_values_above_the_scale_are_cut_and_told_in_the_details() -> None:
    one = table({"age": ("integer", [1] * 150), "dx": ("category", ["x", "y"] * 75)})
    score = KAnonymity(task=Task(quasi=("age",))).compute(one, one, one, seed=1)
    assert score.value == 100 and score.details["k"] == 150
