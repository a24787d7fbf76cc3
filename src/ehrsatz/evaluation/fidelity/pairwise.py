"""Classical measures of two columns, pair by pair: correlations, Cramer's V, correlation ratio, mutual information.

Each score is the mean absolute difference between the strengths in the synthetic rows and in the holdout, over the
pairs that are defined in both; with several tables, in the table where it is largest.
"""

from __future__ import annotations

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.fidelity.association import gap_score
from ehrsatz.evaluation.fidelity.contingencies import tables
from ehrsatz.evaluation.fidelity.strengths import correlations, cramers, ratios
from ehrsatz.evaluation.space import Comparison


class PairMetric(Metric):
    """Mean absolute difference of a strength of pairs. Identical data 0; less is better."""

    family = "fidelity"
    theme = "Pairs of columns"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows"})


class Pearson(PairMetric):
    """Mean difference of Pearson's correlation of two numbers. Identical data 0, at most 2, less is better.

    Unrelated columns score the mean strength of the real correlations, which is the baseline.
    """

    name = "pearson"
    title = "Pearson correlation"
    high = 2.0
    what = "Pearson's correlation of every two number columns, in the synthetic rows against the real ones."
    blind = "Relations that are no straight line; it hangs on outliers."
    reference = "Pearson 1895, doi:10.1098/rspl.1895.0041"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        return gap_score(
            self,
            [correlations(comparison, view, seed, ranks=False) for view in comparison.joint],
            nothing="Not measured: no two number columns vary in rows where both are present.",
            meaning="Correlations of two number columns are off by {value:.3f} on average over {pairs:,} pairs, most "
            "between '{first}' and '{second}'.",
        )


class Spearman(PairMetric):
    """Mean difference of Spearman's rank correlation of two numbers. Identical data 0, at most 2, less is better.

    Ranks are taken among the present cells of each column. Unrelated columns score the baseline, the mean strength of
    the real rank correlations.
    """

    name = "spearman"
    title = "Spearman rank correlation"
    high = 2.0
    what = "Spearman's rank correlation of every two number columns, in the synthetic rows against the real ones."
    blind = "Relations that rise and fall, such as U-shapes."
    reference = "Spearman 1904, doi:10.2307/1412159"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        return gap_score(
            self,
            [correlations(comparison, view, seed, ranks=True) for view in comparison.joint],
            nothing="Not measured: no two number columns vary in rows where both are present.",
            meaning="Rank correlations of two number columns are off by {value:.3f} on average over {pairs:,} pairs, "
            "most between '{first}' and '{second}'.",
        )


class CramersV(PairMetric):
    """Mean difference of the bias-corrected Cramer's V of two categories. Identical data 0, at most 1, less is better.

    Unrelated columns score the baseline, the mean strength in the real rows.
    """

    name = "cramers_v"
    title = "Cramer's V"
    what = "Cramer's V of every two category columns, corrected for bias, in the synthetic rows against the real ones."
    blind = "Which levels go together: two tables of equal strength may differ; rare levels are pooled."
    reference = "Bergsma 2013, doi:10.1016/j.jkss.2012.10.002"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        return gap_score(
            self,
            [cramers(comparison, view, seed) for view in comparison.joint],
            nothing="Not measured: no two category columns vary in rows where both are present.",
            meaning="The strength with which two category columns go together is off by {value:.3f} on average over "
            "{pairs:,} pairs, most between '{first}' and '{second}'.",
        )


class CorrelationRatio(PairMetric):
    """Mean difference of the correlation ratio of number and category. Identical data 0, at most 1, less is better.

    Eta, corrected for bias as Kelley does, of the values themselves. Unrelated columns score the baseline, the mean
    strength in the real rows.
    """

    name = "correlation_ratio"
    title = "Correlation ratio"
    what = "How much of a number's spread the levels of a category explain, for every such pair, against the real rows."
    blind = "Differences of spread between levels, where the means agree; it hangs on outliers."
    reference = "Kelley 1935, doi:10.1073/pnas.21.9.554"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        return gap_score(
            self,
            [ratios(comparison, view, seed, ranks=False) for view in comparison.joint],
            nothing="Not measured: no category and number columns vary in rows where both are present.",
            meaning="How much levels say about numbers is off by {value:.3f} on average over {pairs:,} pairs of a "
            "category and a number, most between '{first}' and '{second}'.",
        )


class MutualInformation(PairMetric):
    """Mean difference of the normalised mutual information of two columns. Identical data 0, at most 1, less is better.

    2 I / (H1 + H2), each corrected for bias by Miller; numbers in tenths of real ranks, missing cells left out.
    Unrelated columns score the baseline, the mean strength in the real rows.
    """

    name = "mutual_information"
    title = "Mutual information"
    what = "How much one column tells of another, whatever the form of the relation, against the real rows."
    blind = "In which way columns go together; differences within a tenth of a number; rare levels are pooled."
    reference = "Cover & Thomas 2006, doi:10.1002/047174882X"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        return gap_score(
            self,
            [tables(comparison, view, seed)[1] for view in comparison.joint if len(view.features) > 1],
            nothing="Not measured: no two columns vary in rows where both are present.",
            meaning="How much one column tells of another is off by {value:.3f} on average over {pairs:,} pairs, on a "
            "scale where 1 is everything, most between '{first}' and '{second}'.",
        )
