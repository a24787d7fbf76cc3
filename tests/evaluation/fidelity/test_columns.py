"""Measures of single columns: by hand on five rows, against SciPy and SDMetrics, and what their intervals are worth."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Metric
from ehrsatz.evaluation.fidelity import distributions, divergences, tails
from ehrsatz.evaluation.fidelity.columns import Tally, holm, parts, tallies, without
from ehrsatz.evaluation.fidelity.distributions import AndersonDarling, CramerVonMises, KolmogorovSmirnov, Wasserstein
from ehrsatz.evaluation.fidelity.divergences import (
    ChiSquared,
    JensenShannon,
    KlDivergence,
    TotalVariation,
    binned,
)
from ehrsatz.evaluation.fidelity.margins import Margins
from ehrsatz.evaluation.space import Comparison
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.fidelity.randoms import SEEDS, columns, dataset, present
from evaluation.tables import population, shuffled, table

ALL: tuple[type[Metric], ...] = (
    KolmogorovSmirnov,
    AndersonDarling,
    CramerVonMises,
    Wasserstein,
    ChiSquared,
    KlDivergence,
    JensenShannon,
    TotalVariation,
)


def numbers(*cells: float | None) -> object:
    return table({"x": ("number", list(cells))})


def levels(text: str) -> object:
    return table({"c": ("category", [None if one == "." else one for one in text])})


def lines(metric: type[Metric], holdout, synthetic, train=None) -> dict[str, dict]:
    score = metric().compute(train or holdout, holdout, synthetic, seed=1)
    assert score.status == "measured", score.meaning
    return {one["column"]: one for one in score.details["columns"]}


# ---------------------------------------------------------------------- by hand
REAL, MADE = numbers(-2.0, 0.0, 0.0, 2.0, 4.0), numbers(0.0, 2.0, None, 2.0, 4.0)


def test_kolmogorov_smirnov_by_hand() -> None:
    score = KolmogorovSmirnov().compute(REAL, REAL, MADE, seed=1)
    assert score.value == pytest.approx(3 / 5 - 1 / 4)  # at 0: three of five real cells, one of four synthetic ones
    assert score.reference == 0


def test_wasserstein_by_hand() -> None:
    # |F - G| is 0.2 from -2 to 0, 0.35 from 0 to 2, 0.05 from 2 to 4; the middle half of the real cells is 0 to 2
    score = Wasserstein().compute(REAL, REAL, MADE, seed=1)
    assert score.value == pytest.approx((0.2 * 2 + 0.35 * 2 + 0.05 * 2) / 2)
    assert score.details["columns"][0]["unit"] == "interquartile range"


def test_wasserstein_falls_back_on_the_deviation_and_is_cut() -> None:
    heap = numbers(0.0, 0.0, 0.0, 0.0, 5.0)
    line = lines(Wasserstein, heap, numbers(1.0, 1.0, 1.0, 1.0, 6.0))["x"]
    assert line["unit"] == "standard deviation" and line["value"] == pytest.approx(1 / 2.0)
    constant = numbers(3.0, 3.0, 3.0)
    line = lines(Wasserstein, constant, numbers(3.0, 3.0, 6.0))["x"]
    assert line["unit"] == "standard deviation of both"
    assert lines(Wasserstein, constant, constant)["x"]["value"] == 0
    assert lines(Wasserstein, REAL, numbers(1e9, 1e9))["x"]["value"] == distributions.MOST


def test_cramer_von_mises_by_hand() -> None:
    # two real cells at 0, two synthetic ones at 1: no common range
    assert lines(CramerVonMises, numbers(0.0, 0.0), numbers(1.0, 1.0))["x"]["value"] == pytest.approx(1.0)
    # F - G rises from 0 to 1/2 within the first half of the cells, and falls to 0 within the second
    half = lines(CramerVonMises, numbers(0.0, 0.0, 1.0, 1.0), numbers(0.0, 1.0, 1.0, 1.0))["x"]
    at = 1 / 4  # F - G at 0: 1/2 - 1/4
    assert half["value"] == pytest.approx(np.sqrt(at**2 * 3 / 8 + at**2 * 5 / 8))


def test_anderson_darling_by_hand() -> None:
    # each sample has one value of its own: below and above tell the dataset at every cell
    assert lines(AndersonDarling, numbers(0.0, 0.0), numbers(1.0, 1.0))["x"]["value"] == pytest.approx(1.0)
    apart = lines(AndersonDarling, numbers(*range(500)), numbers(*range(1000, 1500)))["x"]
    assert apart["value"] == pytest.approx(np.sqrt(2 * np.log(2) - 1), abs=2e-3)
    assert apart["p"] < 1e-100


def test_chi_squared_by_hand() -> None:
    # 30 a and 10 b against 10 a and 30 b: chi-squared 20 of 80 cells
    line = lines(ChiSquared, levels("a" * 30 + "b" * 10), levels("a" * 10 + "b" * 30))["c"]
    assert line["statistic"] == pytest.approx(20.0) and line["value"] == pytest.approx(0.5)
    assert line["degrees_of_freedom"] == 1 and line["p"] == pytest.approx(stats.chi2.sf(20, 1))


def test_levels_expected_too_rarely_are_pooled() -> None:
    real, made = levels("a" * 40 + "b" * 30 + "xyz"), levels("a" * 40 + "b" * 30 + "uvw")
    line = lines(ChiSquared, real, made, train=levels("a" * 70 + "xyzuvw"))["c"]
    assert line["value"] == pytest.approx(0.0) and line["degrees_of_freedom"] == 2


def test_kl_divergence_by_hand() -> None:
    real, made = levels("aaab"), levels("aabb.")
    p, q = np.array([3.5, 1.5]) / 5, np.array([2.5, 2.5]) / 5
    line = lines(KlDivergence, real, made)["c"]
    assert line["value"] == pytest.approx((p * np.log(p / q)).sum())
    assert line["reverse"] == pytest.approx((q * np.log(q / p)).sum())


def test_a_level_that_the_copy_lacks_costs_much_and_not_infinitely_much() -> None:
    line = lines(KlDivergence, levels("a" * 50 + "b" * 50), levels("a" * 100))["c"]
    assert 1 < line["value"] < 3


def test_jensen_shannon_and_total_variation_by_hand() -> None:
    real, made = levels("aabb"), levels("aaac")
    assert lines(TotalVariation, real, made)["c"]["value"] == pytest.approx(0.5 * (1 / 4 + 1 / 2 + 1 / 4))
    parts = 0.5 * np.log2(0.5 / 0.625) + 0.5 * 1 + 0.75 * np.log2(0.75 / 0.625) + 0.25 * 1
    assert lines(JensenShannon, real, made)["c"]["value"] == pytest.approx(np.sqrt(parts / 2))
    assert lines(JensenShannon, levels("ab"), levels("cd"))["c"]["value"] == pytest.approx(1.0)


# ---------------------------------------------------------------------- what holds for all of them
@pytest.mark.parametrize("metric", ALL, ids=lambda one: one.name)
def test_contract(metric: type[Metric]) -> None:
    check_metric(metric, population(240, 3), target="event")


@pytest.mark.parametrize("metric", ALL, ids=lambda one: one.name)
def test_identical_unrelated_and_order(metric: type[Metric]) -> None:
    a, b = population(200, 1), population(150, 2)
    assert metric().compute(a, a, a, seed=1).value == pytest.approx(0, abs=1e-12)
    score = metric().compute(a, b, a, seed=1)
    assert score.value is not None and score.value > 0
    assert metric().compute(shuffled(a, 1), shuffled(b, 2), shuffled(a, 3), seed=1).to_dict() == score.to_dict()
    kind = "number" if metric.reads == "numbers" else "category"
    far = {"number": [float(i) for i in range(1000, 1100)], "category": ["other"] * 100}[kind]
    near = {"number": [float(i) for i in range(100)], "category": ["one"] * 100}[kind]
    worst = metric().compute(table({"x": (kind, near)}), table({"x": (kind, near)}), table({"x": (kind, far)}), seed=1)
    assert worst.value is not None and worst.value > 0.6


@pytest.mark.parametrize("metric", ALL, ids=lambda one: one.name)
def test_columns_that_say_nothing(metric: type[Metric]) -> None:
    kind = "category" if metric.reads == "categories" else "number"
    value = "a" if kind == "category" else -1.0
    empty, full = table({"x": (kind, [None] * 12)}), table({"x": (kind, [value] * 12)})
    nothing = metric().compute(empty, empty, empty, seed=1)
    assert nothing.status == "not_applicable" and "empty" in nothing.meaning
    assert metric().compute(full, full, full, seed=1).value == 0
    one_side = metric().compute(full, full, empty, seed=1)
    if metric.absent is None:
        assert one_side.status == "not_applicable"
    else:
        assert one_side.value == metric.absent
    other = table({"x": ("number" if kind == "category" else "category", [None] * 12)})
    if metric.reads != "all":
        assert "can be compared" in metric().compute(other, other, other, seed=1).meaning


def test_one_row_is_enough_for_a_score() -> None:
    one, other = numbers(1.0), numbers(2.0)
    assert KolmogorovSmirnov().compute(one, one, other, seed=1).value == 1
    score = AndersonDarling().compute(one, one, other, seed=1)
    assert score.value == pytest.approx(1.0) and score.interval is None
    assert score.details["columns"][0]["p"] is None


def test_worst_columns_stand_first_and_are_a_hundred_at_most() -> None:
    rng = stream(1, "wide")
    real = {f"c{i}": ("number", rng.normal(size=30).tolist()) for i in range(130)}
    made = {name: (kind, [x + (name == "c77") for x in cells]) for name, (kind, cells) in real.items()}
    score = KolmogorovSmirnov().compute(table(real), table(real), table(made), seed=1)
    assert score.params["columns"] == 130 and len(score.details["columns"]) == 100
    assert score.details["worst"] == "c77" and score.details["columns"][0]["column"] == "c77"


def test_subjects_are_counted_in_place_of_rows() -> None:
    def people(seed: int, first: int, repeats: int) -> Dataset:
        rng = stream(seed, "people")
        level = np.repeat(rng.normal(size=60), repeats)
        frame = table({"x": ("number", level.tolist())}).table.with_columns(
            who=np.repeat(np.arange(60) + first, repeats)
        )
        schema = Schema("s", (Table("t", (Column("x", "number"), Column("who", "integer", role="subject"))),))
        return Dataset(schema, {"t": frame}, Provenance("real"))

    once = KolmogorovSmirnov().compute(people(1, 0, 1), people(2, 100, 1), people(3, 200, 1), seed=1)
    many = KolmogorovSmirnov().compute(people(1, 0, 8), people(2, 100, 8), people(3, 200, 8), seed=1)
    a, b = once.details["columns"][0], {x["column"]: x for x in many.details["columns"]}["x"]
    assert a["value"] == pytest.approx(b["value"]) and "subjects" in many.params["tests"]
    assert b["p"] == pytest.approx(a["p"], abs=0.05)  # exact for few rows, asymptotic where subjects repeat


# ---------------------------------------------------------------------- against libraries
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_agree_with_scipy_and_sdmetrics(seed: int) -> None:
    import pandas as pd
    from sdmetrics.single_column import KSComplement

    real, made = columns(seed, "holdout"), columns(seed, "synthetic")
    a, b = dataset(real), dataset(made)
    found = {metric.name: lines(metric, a, b) for metric in ALL if metric.reads == "numbers"}
    margins = {one["column"]: one["similarity"] for one in Margins().compute(a, a, b, seed=1).details["columns"]}
    for name in ("x", "y"):
        x, y = present(real[name]), present(made[name])
        ks = stats.ks_2samp(x, y, method="exact" if max(len(x), len(y)) <= 100 else "asymp")
        assert found["kolmogorov_smirnov"][name]["value"] == pytest.approx(ks.statistic, abs=1e-6)
        assert found["kolmogorov_smirnov"][name]["p"] == pytest.approx(ks.pvalue, abs=1e-6)
        sdm = KSComplement.compute(pd.Series(x), pd.Series(y))
        assert margins[name] == pytest.approx(sdm, abs=1e-6)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ad = stats.anderson_ksamp([x, y])
        assert found["anderson_darling"][name]["statistic"] == pytest.approx(ad.statistic, abs=1e-6)
        has_ties = len(np.unique(np.r_[x, y])) < len(x) + len(y)
        if 0.001 < ad.pvalue < 0.25 and not has_ties:
            assert found["anderson_darling"][name]["p"] == pytest.approx(ad.pvalue, rel=0.15)
        cvm = stats.cramervonmises_2samp(x, y, method="asymptotic")
        assert found["cramer_von_mises"][name]["statistic"] == pytest.approx(cvm.statistic, abs=1e-6)
        if not has_ties:  # SciPy's p-values take no heed of ties
            assert found["cramer_von_mises"][name]["p"] == pytest.approx(cvm.pvalue, abs=1e-6)
        far = stats.wasserstein_distance(x, y) / stats.iqr(x)
        assert found["wasserstein"][name]["value"] == pytest.approx(far, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_levels_agree_with_scipy_and_sdmetrics(seed: int) -> None:
    import pandas as pd
    from sdmetrics.single_column import TVComplement

    real, made = columns(seed, "holdout"), columns(seed, "synthetic")
    a, b = dataset(real), dataset(made)
    found = {metric.name: lines(metric, a, b) for metric in ALL if metric.reads != "numbers"}
    for name in ("c", "d"):
        x, y = present(real[name]), present(made[name])
        kinds = np.unique(np.r_[x, y])
        p, q = (np.array([(z == one).sum() for one in kinds], float) for z in (x, y))
        sdm = TVComplement.compute(pd.Series(x), pd.Series(y))
        assert found["total_variation"][name]["value"] == pytest.approx(1 - sdm, abs=1e-6)
        assert found["jensen_shannon"][name]["value"] == pytest.approx(jensenshannon(p, q, base=2), abs=1e-6)
        assert found["kl_divergence"][name]["value"] == pytest.approx(stats.entropy(p + 0.5, q + 0.5), abs=1e-6)
        if (stats.contingency.expected_freq([p, q]) >= 5).all():  # else levels are pooled
            chi = stats.chi2_contingency([p, q], correction=False)
            assert found["chi_squared"][name]["statistic"] == pytest.approx(chi.statistic, abs=1e-6)
            assert found["chi_squared"][name]["p"] == pytest.approx(chi.pvalue, abs=1e-6)
            effect = stats.contingency.association([p.astype(int), q.astype(int)], method="cramer")
            assert found["chi_squared"][name]["value"] == pytest.approx(effect, abs=1e-6)
        assert divergences.chi_squared(p, q)[0] * (p + q).sum() == pytest.approx(
            stats.chi2_contingency([p, q], correction=False).statistic, abs=1e-6
        )


def test_anderson_darling_at_a_hundred_thousand_rows_agrees_with_scipy() -> None:
    rng = stream(1, "large")
    x, y = rng.normal(size=100_000).round(3), rng.normal(0.01, 1, size=100_000).round(3)
    values, place = np.unique(np.concatenate([x, y]), return_inverse=True)
    a, b = (np.bincount(one, minlength=len(values)).astype(float) for one in np.split(place, 2))
    share = distributions.anderson_darling(a, b)[0]
    ours = tails.anderson_darling_statistic(share * 199_999, 100_000, 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours == pytest.approx(stats.anderson_ksamp([x, y]).statistic, abs=1e-6)


def test_tails_of_the_tests() -> None:
    # upper percentage points of the limit of A2, from Marsaglia and Marsaglia 2004 and Imhof's inversion of 4,000 terms
    for z, p in ((1.933, 0.1), (2.492, 0.05), (3.857, 0.01024), (5.0, 0.0028736), (6.0, 0.00096719), (8.0, 0.00011379)):
        assert tails.anderson_darling_tail(z) == pytest.approx(p, rel=0.01)
    assert tails.anderson_darling_tail(0.0) == 1
    steps = [tails.anderson_darling_tail(z) for z in np.arange(0.02, 40, 0.01)]
    assert (np.diff(steps) <= 0).all() and 0 < steps[-1] < 1e-15
    steps = [tails.cramer_von_mises_tail(t, 10**6, 10**6) for t in np.arange(0.01, 6, 0.01)]
    assert (np.diff(steps) <= 1e-12).all() and 0 < steps[-1] < 1e-10


@pytest.mark.parametrize("seed", SEEDS)
def test_p_values_without_ties_agree_with_scipy(seed: int) -> None:
    rng = stream(seed, "smooth")
    x, y = rng.normal(size=int(rng.integers(10, 200))), rng.normal(0.2, 1, int(rng.integers(10, 200)))
    cvm = stats.cramervonmises_2samp(x, y, method="asymptotic")
    ours = lines(CramerVonMises, numbers(*x), numbers(*y))["x"]
    assert ours["p"] == pytest.approx(cvm.pvalue, abs=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ad = stats.anderson_ksamp([x, y])
    ours = lines(AndersonDarling, numbers(*x), numbers(*y))["x"]
    if 0.001 < ad.pvalue < 0.25:
        assert ours["p"] == pytest.approx(ad.pvalue, rel=0.1, abs=2e-4)
    else:
        assert (ours["p"] > 0.2) if ad.pvalue >= 0.25 else (ours["p"] < 0.0015)


KINDS_OF_COLUMNS = {
    "smooth": lambda rng, n: rng.normal(size=n),
    "two levels": lambda rng, n: (rng.random(n) < 0.4) * 1.0,
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.9, 0.0, rng.poisson(1, n) + 1.0),
    "half zero": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n) ** 2),
    "five levels": lambda rng, n: rng.integers(0, 5, n) * 1.0,
}


@pytest.mark.parametrize("kind", KINDS_OF_COLUMNS)
def test_p_values_keep_their_level_where_there_is_no_difference(kind: str) -> None:
    """Tables for data without ties call a column of two levels different far too often."""
    rng = stream(4, "null", kind)
    held: dict[str, list[float]] = {}
    for _ in range(8):
        a, b = (
            table({f"c{i}": ("number", KINDS_OF_COLUMNS[kind](rng, n).tolist()) for i in range(50)}) for n in (150, 130)
        )
        comparison = Comparison.of(a, a, b)
        for metric in (KolmogorovSmirnov, AndersonDarling, CramerVonMises):
            found = metric().compute_on(comparison, seed=1).details["columns"]
            held.setdefault(metric.name, []).extend(one["p"] for one in found)
    for name, p in held.items():
        rate = np.mean(np.array(p) < 0.05)
        least = 0.0 if name == "kolmogorov_smirnov" and kind != "smooth" else 0.02  # cautious with ties
        assert least <= rate <= 0.08, (name, rate)


def test_tail_of_a_weighted_sum() -> None:
    rng = stream(5, "weights")
    for weights in (np.array([0.7]), np.array([0.5, 0.5]), np.array([0.6, 0.3, 0.1]), 1 / np.arange(1, 40) ** 2):
        drawn = rng.chisquare(1, (200_000, len(weights))) @ weights
        for z in np.quantile(drawn, [0.1, 0.5, 0.9, 0.99]):
            true = (drawn > z).mean()
            assert tails.weighted_tail(z, weights) == pytest.approx(true, rel=0.06, abs=0.01)
    assert tails.weighted_tail(3.0, np.array([0.5, 0.5])) == pytest.approx(stats.chi2.sf(6.0, 2), rel=0.03)
    assert tails.weighted_tail(0.0, np.array([1.0])) == tails.weighted_tail(5.0, np.empty(0)) == 1
    steps = [tails.weighted_tail(z, 1 / np.arange(1, 40) ** 2) for z in np.arange(0.05, 30, 0.05)]
    assert (np.diff(steps) <= 1e-3).all() and steps[-1] < 1e-6


def test_weights_of_a_smooth_column_are_those_of_the_textbook() -> None:
    both = np.ones(20_000)
    weights, rest = tails.tie_weights(both, standardised=True)
    assert weights[:3] == pytest.approx([1 / 2, 1 / 6, 1 / 12], rel=0.08) and rest == pytest.approx(0, abs=1e-9)
    weights, rest = tails.tie_weights(both, standardised=False)
    assert weights[:3] == pytest.approx(1 / (np.pi * np.arange(1, 4)) ** 2, rel=0.01)
    assert weights.sum() + rest == pytest.approx(1 / 6, rel=1e-3)
    assert tails.tie_weights(np.array([3.0, 0.0, 5.0]), standardised=True)[0] == pytest.approx([1.0])
    assert not len(tails.tie_weights(np.array([8.0]), standardised=True)[0])


def test_holm_by_hand() -> None:
    assert holm([]) == []
    assert holm([0.5]) == [0.5]
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])


# ---------------------------------------------------------------------- intervals
def _measures(tally: Tally) -> dict[str, tuple]:
    a, b = tally.counts["holdout"], tally.counts["synthetic"]
    _, x, y = binned(tally, "holdout", "synthetic")
    bins = divergences.bins_of(tally)
    out = {
        "ks": (distributions.ks(a, b)[0], distributions.ks(a, b)[1]),
        "wasserstein": distributions.wasserstein(tally.values, a, b),
    }
    for name, f in (("ad", distributions.anderson_darling), ("cvm", distributions.cramer_von_mises)):
        out[name] = f(a, b)[:2]
    for name, f in (
        ("kl", divergences.kl_divergence),
        ("js", divergences.jensen_shannon),
        ("tv", divergences.total_variation),
        ("chi", divergences.chi_squared),
    ):
        value, slope, *_ = f(x, y)
        out[name] = (value, slope[bins])
    return out


def test_linearised_steps_are_those_of_leaving_groups_out() -> None:
    rng = stream(6, "steps")
    real = table({"x": ("number", rng.normal(size=4000).round(2).tolist())})
    made = table({"x": ("number", (rng.normal(size=4000) * 1.4 + 0.5).round(2).tolist())})
    comparison = Comparison.of(real, real, made)
    tally = tallies(comparison, 1)[0]
    dealt = parts(comparison, tally.view, 1)["holdout"]
    whole = _measures(tally)
    true: dict[str, list[float]] = {name: [] for name in whole}
    for group in range(20):
        left = np.bincount(tally.place["holdout"][dealt != group], minlength=len(tally.values)).astype(float)
        for name, (value, _) in _measures(replace(tally, counts={**tally.counts, "holdout": left})).items():
            true[name].append(value - whole[name][0])
    for name, (_, slope) in whole.items():
        step = without(tally, "holdout", slope, dealt)
        assert np.corrcoef(step, true[name])[0, 1] > 0.95, name
        assert 0.75 < step.std() / np.std(true[name]) < 1.3, name  # the point of the largest gap itself may move


def test_intervals_cover_the_distance_of_the_populations() -> None:
    rng = stream(7, "cover")
    truth = stats.norm.cdf(0.25) - stats.norm.cdf(-0.25)  # largest gap of N(0, 1) and N(0.5, 1)
    hit = 0
    for _ in range(100):
        real, made = (numbers(*(rng.normal(size=400) + s)) for s in (0.0, 0.5))
        low, high = KolmogorovSmirnov().compute(real, real, made, seed=1).interval
        hit += low <= truth <= high
    assert hit >= 88
