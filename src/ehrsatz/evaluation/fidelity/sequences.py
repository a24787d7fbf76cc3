"""Do histories look like histories? How many events, how far apart, which codes, together and one after the other.

All by subject: reference is the same measure between the two real halves, intervals leave out groups of subjects.

References: Choi et al., Generating multi-label discrete patient records using GANs, MLHC 2017, arXiv:1703.06490
(dimension-wise probability); Theodorou, Xiao & Sun, Synthesize high-dimensional longitudinal electronic health records,
Nature Communications 14, 2023, doi:10.1038/s41467-023-41093-0 (R2 of code, same-visit and next-visit probabilities).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.events import Counts, Events, by_value, compare, events_of, ks_similarity, lacking
from ehrsatz.evaluation.space import Comparison
from ehrsatz.schema import MIN_SUBJECTS

TOP = 20  # of codes or pairs, in details


class _Sequence(Metric):
    family = "fidelity"
    theme = "Sequences"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0


class EventsPerSubject(_Sequence):
    """Similarity of the numbers of events and of visits per subject, the worse of the two.

    Identical data 1, unrelated numbers near 0, more is better.
    """

    name = "events_per_subject"
    title = "Events and visits per subject"
    what = "1 minus the Kolmogorov-Smirnov distance of the counts per subject, for events and for visits; the worse."
    blind = "It does not look at what the events are, or when they happen."

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = events_of(comparison, seed)
        tallies = {
            "events": {key: np.bincount(one.subject, minlength=one.n_subjects) for key, one in found.items()},
            "visits": {key: np.bincount(one.visit_subject, minlength=one.n_subjects) for key, one in found.items()},
        }
        return _worse(self, found, {what: (cells, None) for what, cells in tallies.items()}, "per subject", seed)


class Gaps(_Sequence):
    """Similarity of the times between visits and of the lengths of follow-up, the worse of the two.

    Identical data 1, unrelated times near 0, more is better.
    """

    name = "gaps"
    title = "Time between visits and length of follow-up"
    what = "1 minus the Kolmogorov-Smirnov distance of the days between visits, and of first to last visit; the worse."
    blind = "It takes gaps one by one: a subject whose gaps shrink looks like one whose gaps grow."

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = events_of(comparison, seed)
        gaps, spans, whose = {}, {}, {}
        for key, one in found.items():
            next_ = one.follows
            gaps[key] = one.visit_day[next_] - one.visit_day[next_ - 1]
            whose[key] = one.visit_subject[next_]
            spans[key] = np.bincount(whose[key], gaps[key], minlength=one.n_subjects)
        short = [key for key in found if len(gaps[key]) < 10]
        if short:
            raise lacking("fewer than ten visits follow another one", short)
        cells: dict[str, Any] = {"days between visits": (gaps, whose), "days of follow-up": (spans, None)}
        return _worse(self, found, cells, "", seed)


def _worse(
    metric: Metric, found: dict[str, Events], cells: dict[str, tuple[dict[str, Any], Any]], unit: str, seed: int
) -> Score:
    out = {}
    for what, (numbers, whose) in cells.items():
        values = np.unique(np.concatenate([np.asarray(one, np.float64) for one in numbers.values()]))
        counts = {
            key: by_value(one, numbers[key], np.arange(one.n_subjects) if whose is None else whose[key], values)
            for key, one in found.items()
        }
        out[what] = compare(counts, ks_similarity)
    worst = min(out, key=lambda what: out[what][0])
    value, interval, reference = out[worst]
    medians = {key: float(np.median(cells[worst][0][key])) for key in ("holdout", "synthetic")}
    tail = f" {unit}" if unit else ""
    return Score(
        metric.name,
        value,
        interval,
        reference,
        found["synthetic"].n_subjects,
        {"subjects": found["holdout"].n_subjects},
        meaning=f"The {worst}{tail} agree with real ones to {100 * value:.1f} %; the median is "
        f"{medians['synthetic']:,.4g}, in real data {medians['holdout']:,.4g}.",
        details={
            "parts": [
                {"part": what, "similarity": v, "interval": list(i) if i else None, "reference": r,
                 "deciles": _deciles(cells[what][0])}
                for what, (v, i, r) in out.items()
            ]
        },
    )  # fmt: skip


def _deciles(numbers: dict[str, Any]) -> dict[str, list[float]]:
    """Quantiles of real and synthetic numbers for a picture, where ten times five subjects stand behind them."""
    steps = np.linspace(0.1, 0.9, 9)
    return {
        key: [float(f"{x:.3g}") for x in np.quantile(numbers[key], steps)]
        for key in ("holdout", "synthetic")
        if len(numbers[key]) >= 50
    }


class Prevalence(_Sequence):
    """R2 of the shares of subjects who ever have each code, synthetic against real.

    Identical data 1, unrelated shares 0 or below, more is better.
    """

    name = "prevalence"
    title = "Prevalence of codes"
    low = -1.0
    what = "R2 of the share of subjects who ever have a code, code by code, against the line of identity."
    blind = "Codes that fewer than five real subjects have, or that come after the thousand commonest, are left out."
    reference = "Choi et al. 2017, arXiv:1703.06490; Theodorou et al. 2023, doi:10.1038/s41467-023-41093-0"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = events_of(comparison, seed)
        counts = {}
        for key, one in found.items():
            seen = np.zeros((one.n_subjects, len(one.codes)))
            used = one.code >= 0
            seen[one.subject[used], one.code[used]] = 1
            counts[key] = _with_total(_by_group(seen, one.part, one.n_groups), np.bincount(one.part))
        return _r2(self, found, counts, "codes, by the share of subjects who ever have them,", found["holdout"].codes)


class VisitPairs(_Sequence):
    """R2 of the shares of visits that hold each pair of codes, synthetic against real.

    Identical data 1, codes that ignore each other lower, more is better.
    """

    name = "visit_pairs"
    title = "Codes in the same visit"
    low = -1.0
    what = "R2 of the share of visits that hold two codes together, pair by pair, against the line of identity."
    blind = "It does not see three codes together, nor anything across visits."
    reference = "Theodorou et al. 2023, doi:10.1038/s41467-023-41093-0"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = events_of(comparison, seed)
        k = len(found["holdout"].paired)
        if k < 2:
            raise Unmeasured("Not measured: fewer than two codes are shared by five real subjects.")
        upper = np.triu_indices(k, 1)
        counts = {}
        for key, one in found.items():
            seen = one.seen()
            part = one.part[one.visit_subject]
            both = np.stack([_product(seen[part == g], seen[part == g])[upper] for g in range(one.n_groups)])
            counts[key] = _with_total(both, np.bincount(part, minlength=one.n_groups))
        names = found["holdout"].paired
        labels = [f"{names[i]} + {names[j]}" for i, j in zip(*upper)]
        return _r2(self, found, counts, "pairs of codes in one visit", labels)


class VisitBigrams(_Sequence):
    """R2 of the shares of steps from one visit to the next that lead from code to code, synthetic against real.

    Identical data 1, visits in random order lower, more is better.
    """

    name = "visit_bigrams"
    title = "Codes from one visit to the next"
    low = -1.0
    what = "R2 of the share of consecutive visits in which a code is followed by another, against the line of identity."
    blind = "It looks one visit ahead, not further."
    reference = "Theodorou et al. 2023, doi:10.1038/s41467-023-41093-0"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = events_of(comparison, seed)
        counts = _steps(comparison, found, seed)
        names = found["holdout"].paired
        labels = [f"{a} then {b}" for a in names for b in names]
        return _r2(self, found, counts, "steps from a code to a code of the next visit", labels)


class Transitions(_Sequence):
    """Overlap of where visits lead: from each code, the distribution over codes of the next visit.

    Identical data 1, unrelated sequences near 0, more is better.
    """

    name = "transitions"
    title = "Transitions"
    what = "From each code, 1 minus the total variation between where it leads in real and in synthetic histories; "
    what += "mean over codes, by how often they occur."
    blind = "It looks one visit ahead, not further."

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = events_of(comparison, seed)
        names = found["holdout"].paired
        k = len(names)
        counts = {key: one[:, :-1] for key, one in _steps(comparison, found, seed).items()}

        def like(a: Counts, b: Counts) -> float:
            return float(_overlap(a, b, k)[0])

        value, interval, reference = compare(counts, like)
        each = _overlap(counts["holdout"].sum(axis=0), counts["synthetic"].sum(axis=0), k)[1]
        worst = sorted(zip(names, each), key=lambda item: (item[1], item[0]))[:TOP]
        return Score(
            self.name,
            value,
            interval,
            reference,
            found["synthetic"].n_subjects,
            {"codes": k, "subjects": found["holdout"].n_subjects},
            meaning=f"Where a visit leads to agrees with real histories to {100 * value:.1f} %.",
            details={"codes": [{"code": name, "similarity": float(one)} for name, one in worst]},
        )


def _overlap(a: Counts, b: Counts, k: int) -> tuple[float, NDArray[np.float64]]:
    """Return the mean overlap of the rows of two (K * K) tables of steps, by the weight of a's rows, and each row's."""
    a, b = a.reshape(k, k), b.reshape(k, k)
    weight, other = a.sum(axis=1), b.sum(axis=1)
    shares = a / np.maximum(weight, 1)[:, None], b / np.maximum(other, 1)[:, None]
    each = np.where((weight > 0) & (other > 0), np.minimum(*shares).sum(axis=1), 0.0)
    return float((each * weight).sum() / max(weight.sum(), 1.0)), np.where(weight > 0, each, 1.0)


def _steps(comparison: Comparison, found: dict[str, Events], seed: int) -> dict[str, Counts]:
    """Count steps from code to code of the next visit by group, and in the last place the steps: (G, K * K + 1)."""

    def make() -> dict[str, Counts]:
        out = {}
        for key, one in found.items():
            seen, next_ = one.seen(), one.follows
            part = one.part[one.visit_subject[next_]]
            tables = [_product(seen[next_[part == g] - 1], seen[next_[part == g]]).ravel() for g in range(one.n_groups)]
            out[key] = _with_total(np.stack(tables), np.bincount(part, minlength=one.n_groups))
        return out

    counts: dict[str, Counts] = comparison.once(("steps", seed), make)
    short = [key for key, one in counts.items() if one[:, -1].sum() < 10 or one.shape[1] < 2]
    if short:
        raise lacking("fewer than ten visits follow another one", short)
    return counts


def _r2(metric: Metric, found: dict[str, Events], counts: dict[str, Counts], words: str, labels: Any) -> Score:
    if not len(labels):
        raise Unmeasured("Not measured: no code is shared by five real subjects.")

    def shares(one: Counts) -> NDArray[np.float64]:
        return np.asarray(one[:-1] / max(one[-1], 1.0))

    def like(a: Counts, b: Counts) -> float:
        real, made = shares(a), shares(b)
        spread = float(((real - real.mean()) ** 2).sum())
        error = float(((real - made) ** 2).sum())
        if spread <= 0:
            return 1.0 if error <= 1e-12 else -1.0
        return max(-1.0, 1.0 - error / spread)

    value, interval, reference = compare(counts, like, low=-1.0)
    whole = {key: one.sum(axis=0) for key, one in counts.items()}
    real, made = shares(whole["holdout"]), shares(whole["synthetic"])
    order = sorted(range(len(labels)), key=lambda i: (-abs(real[i] - made[i]), labels[i]))[:TOP]
    common = (counts["holdout"][:, :-1] > 0).sum(axis=0) >= MIN_SUBJECTS  # so many groups, and so subjects, have it
    kept = [i for i in order if common[i]]
    biggest = ""
    if kept:
        one = kept[0]
        biggest = f" The largest difference: '{labels[one]}', {_share(made[one])} for {_share(real[one])}."
    return Score(
        metric.name,
        value,
        interval,
        reference,
        found["synthetic"].n_subjects,
        {"codes": len(found["holdout"].codes), "compared": len(labels), "subjects": found["holdout"].n_subjects},
        meaning=f"The {words} follow the real shares with R2 {value:.3f} (1 is perfect).{biggest}",
        details={
            "worst": [{"what": labels[i], "real": float(real[i]), "synthetic": float(made[i])} for i in kept],
            "points": [
                [float(f"{real[i]:.4g}"), float(f"{made[i]:.4g}")]
                for i in sorted(range(len(labels)), key=lambda i: -real[i])[:200]
                if common[i]
            ],
        },
    )


def _share(x: float) -> str:
    return f"{100 * x:.0f} %" if x >= 0.1 else f"{100 * x:.2g} %"


def _by_group(cells: NDArray[np.float64], part: NDArray[np.int64], n: int) -> Counts:
    return np.stack([cells[part == g].sum(axis=0) for g in range(n)])


def _with_total(counts: Counts, total: NDArray[np.int64]) -> Counts:
    return np.column_stack([counts, total.astype(np.float64)])


def _product(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Counts:
    return (a.astype(np.float32).T @ b.astype(np.float32)).astype(np.float64)
