"""Measures of pairs of columns: by hand, and against SciPy, SDMetrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from ehrsatz.evaluation.base import Metric
from ehrsatz.evaluation.fidelity.association import MAPPED, Association, Pairs
from ehrsatz.evaluation.fidelity.contingencies import information
from ehrsatz.evaluation.fidelity.pairwise import CorrelationRatio, CramersV, MutualInformation, Pearson, Spearman
from ehrsatz.evaluation.fidelity.strengths import correlation_ratio, cramer
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.fidelity.randoms import SEEDS, columns, dataset
from evaluation.tables import population, shuffled, table, unrelated

ALL: tuple[type[Metric], ...] = (Pearson, Spearman, CramersV, CorrelationRatio, MutualInformation)


def mapped(score, key: str, a: str, b: str) -> float:
    drawn = score.details["maps"][0]
    return drawn[key][drawn.get("rows", drawn["columns"]).index(a)][drawn["columns"].index(b)]


def pair(score) -> dict:
    (line,) = score.details["worst"]
    return line


# ---------------------------------------------------------------------- by hand
def test_correlations_by_hand() -> None:
    x = [float(i) for i in range(10)]
    real = table({"x": ("number", x), "y": ("number", x)})
    made = table({"x": ("number", x), "y": ("number", x[::-1])})
    for metric in (Pearson, Spearman):
        score = metric().compute(real, real, made, seed=1)
        assert score.value == pytest.approx(2.0) and score.reference == pytest.approx(0)
        assert score.baseline == pytest.approx(1.0)  # columns that go together in no way are off by the real strength
        line = pair(score)
        assert line.pop("columns") == ["x", "y"]
        assert line == pytest.approx({"real": 1.0, "synthetic": -1.0, "gap": 2.0})


def test_levels_by_hand() -> None:
    # 2 x 2 with chi-squared 20 of 80: V is 0.5, corrected sqrt((0.25 - 1/79) / (2 - 1/79 - 1))
    a = ["u"] * 40 + ["v"] * 40
    b = ["s"] * 30 + ["t"] * 10 + ["s"] * 10 + ["t"] * 30
    real = table({"a": ("category", a), "b": ("category", b)})
    made = table({"a": ("category", a), "b": ("category", ["s", "t"] * 40)})
    line = pair(CramersV().compute(real, real, made, seed=1))
    assert line["real"] == pytest.approx(np.sqrt((0.25 - 1 / 79) / (1 - 1 / 79)))
    assert line["synthetic"] == 0


def test_correlation_ratio_by_hand() -> None:
    # level means 1 and 3, spread 1 within: eta squared 1 - 12 / 24, corrected 1 - 0.5 x 11 / 10
    a, x = ["u"] * 6 + ["v"] * 6, [0.0, 2.0] * 3 + [2.0, 4.0] * 3
    real = table({"a": ("category", a * 2), "x": ("number", x * 2)})
    line = pair(CorrelationRatio().compute(real, real, real, seed=1))
    assert line["real"] == pytest.approx(np.sqrt(1 - 0.5 * 23 / 22))
    assert line["columns"] == ["a", "x"]


def test_mutual_information_by_hand() -> None:
    same = table({"a": ("category", ["u", "v"] * 20), "b": ("category", ["s", "t"] * 20)})
    crossed = table({"a": ("category", ["u", "v"] * 20), "b": ("category", ["s", "s", "t", "t"] * 10)})
    line = pair(MutualInformation().compute(same, same, crossed, seed=1))
    assert line["real"] == pytest.approx(1.0) and line["synthetic"] == 0


def test_missing_cells_take_no_part() -> None:
    x = [float(i) for i in range(20)]
    gaps = [None if i % 3 == 0 else one for i, one in enumerate(x)]
    real = table({"x": ("number", x), "y": ("number", gaps)})
    assert pair(Pearson().compute(real, real, real, seed=1))["real"] == pytest.approx(1.0)
    line = pair(Spearman().compute(real, real, real, seed=1))
    assert line["real"] == pytest.approx(1.0, abs=2e-3)  # ranks are those among the present cells of each column
    levels = ["u", "v", "u", "w"] * 10
    some = table({"a": ("category", levels), "b": ("category", [*levels[:30], *([None] * 10)])})
    for metric in (CramersV, MutualInformation):
        assert pair(metric().compute(some, some, some, seed=1))["real"] == pytest.approx(1.0)


# ---------------------------------------------------------------------- what holds for all of them
@pytest.mark.parametrize("metric", ALL, ids=lambda one: one.name)
def test_contract(metric: type[Metric]) -> None:
    check_metric(metric, population(600, 3), target="event")


@pytest.mark.parametrize("metric", (*ALL, Association, Pairs), ids=lambda one: one.name)
def test_identical_unrelated_and_order(metric: type[Metric]) -> None:
    a, b, c = population(300, 1), population(300, 2), population(300, 4)
    assert metric().compute(a, a, a, seed=1).value == pytest.approx(metric.ideal, abs=1e-12)
    score = metric().compute(a, b, c, seed=1)
    apart = metric().compute(a, b, unrelated(c), seed=1)
    assert abs(apart.value - metric.ideal) >= abs(score.value - metric.ideal)
    assert apart.value == pytest.approx(apart.baseline, abs=0.1)  # what columns drawn independently score
    assert metric().compute(shuffled(a, 1), shuffled(b, 2), shuffled(c, 3), seed=1).to_dict() == score.to_dict()


@pytest.mark.parametrize("metric", ALL, ids=lambda one: one.name)
def test_columns_that_do_not_vary_give_no_score(metric: type[Metric]) -> None:
    one = table({"x": ("number", [0.0] * 12), "y": ("number", [None] * 12), "a": ("category", ["u"] * 12)})
    score = metric().compute(one, one, one, seed=1)
    assert score.status == "not_applicable" and "vary" in score.meaning
    few = table({"x": ("number", [1.0, 2.0]), "a": ("category", ["u", "v"])})
    assert "ten rows" in metric().compute(few, few, few, seed=1).meaning.replace("10", "ten")


def test_maps_hold_forty_columns_and_those_that_differ_most() -> None:
    rng = stream(1, "many")
    z = rng.normal(size=200)
    real = {f"c{i}": ("number", (z + rng.normal(size=200)).tolist()) for i in range(60)}
    made = {**real, "c55": ("number", rng.permutation(np.array(real["c55"][1])).tolist())}
    score = Pearson().compute(table(real), table(real), table(made), seed=1)
    drawn = score.details["maps"][0]
    assert len(drawn["columns"]) == MAPPED == len(drawn["real"]) == len(drawn["synthetic"][0])
    assert "c55" in drawn["columns"] and "c55" in pair_names(score)
    assert score.params["pairs"] == 60 * 59 / 2


def pair_names(score) -> list[str]:
    return [name for line in score.details["worst"] for name in line["columns"]]


def test_a_table_is_computed_once_for_all_measures() -> None:
    a, b, c = population(100, 1), population(100, 2), population(100, 3)
    comparison = Comparison.of(a, b, c)
    for metric in (*ALL, Association, Pairs):
        alone = metric().compute(a, b, c, seed=1)
        assert metric().compute_on(comparison, seed=1).to_dict() == alone.to_dict()
    keys = [key[0] for key in comparison.memo if isinstance(key, tuple)]
    assert keys.count("tables of pairs") == 1 and keys.count("correlations") == 2 and keys.count("ratios") == 2


# ---------------------------------------------------------------------- against libraries
@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_scipy_sdmetrics_and_scikit_learn(seed: int) -> None:
    import pandas as pd
    from sdmetrics.column_pairs import CorrelationSimilarity

    real, made = columns(seed, "holdout", gaps=False), columns(seed, "synthetic", gaps=False)
    a, b = dataset(real), dataset(made)
    frames = pd.DataFrame(real), pd.DataFrame(made)
    for metric, name, f in ((Pearson, "Pearson", stats.pearsonr), (Spearman, "Spearman", stats.spearmanr)):
        line = pair(metric().compute(a, a, b, seed=1))
        assert line["real"] == pytest.approx(f(real["x"], real["y"]).statistic, abs=1e-6)
        assert line["synthetic"] == pytest.approx(f(made["x"], made["y"]).statistic, abs=1e-6)
        sdm = CorrelationSimilarity.compute(*(one[["x", "y"]] for one in frames), coefficient=name)
        assert 1 - line["gap"] / 2 == pytest.approx(sdm, abs=1e-6)
    for cells in (real, made):
        c, d = (np.unique(cells[name], return_inverse=True)[1].astype(np.int32) + 1 for name in ("c", "d"))
        one = np.zeros(len(c), np.int64)
        table_ = stats.contingency.crosstab(c, d).count
        plain = stats.contingency.association(table_, method="cramer")
        assert cramer(c, d, one, 1, corrected=False)[-1] == pytest.approx(plain, abs=1e-6)
        n, r, k = table_.sum(), *table_.shape  # Bergsma 2013, section 2
        phi = max(0, stats.chi2_contingency(table_, correction=False).statistic / n - (r - 1) * (k - 1) / (n - 1))
        least = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
        assert cramer(c, d, one, 1)[-1] == pytest.approx(np.sqrt(phi / least), abs=1e-6)
        shared, first, second = (float(x[0]) for x in information(table_[None]))
        assert shared == pytest.approx(mutual_info_score(c, d), abs=1e-6)
        assert 2 * shared / (first + second) == pytest.approx(normalized_mutual_info_score(c, d), abs=1e-6)
        x = np.array(cells["x"])[:, None]
        groups = [x[c == level, 0] for level in np.unique(c)]
        ours = correlation_ratio(c, x, np.ones(x.shape, bool), one, 1, corrected=False)[-1, 0]
        f = stats.f_oneway(*groups).statistic  # eta squared from the F of the analysis of variance
        df = len(groups) - 1, len(x) - len(groups)
        assert ours**2 == pytest.approx(f * df[0] / (f * df[0] + df[1]), abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_agree_with_sdmetrics(seed: int) -> None:
    import pandas as pd
    from sdmetrics.column_pairs import ContingencySimilarity

    rng = stream(seed, "tables")
    frames = []
    for n in (200, 150):
        c = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
        frames.append({"c": c.tolist(), "d": np.where(rng.random(n) < 0.2 + 0.5 * (c == "a"), "yes", "no").tolist()})
    real, made = (table({name: ("category", cells) for name, cells in one.items()}) for one in frames)
    sdm = ContingencySimilarity.compute(*(pd.DataFrame(one) for one in frames))
    assert Pairs().compute(real, real, made, seed=1).value == pytest.approx(sdm, abs=1e-6)
