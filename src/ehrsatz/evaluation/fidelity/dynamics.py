"""Do values move and do histories go on as in real subjects? Autocorrelation, and the next visit foretold.

References: Box & Jenkins, Time Series Analysis, 1970, chapter 2 (autocorrelation); Shrout & Fleiss, Intraclass
correlations, Psychological Bulletin 86, 1979, doi:10.1037/0033-2909.86.2.420 (case 1); Esteban et al. 2017,
arXiv:1706.02633 (train on synthetic, test on real).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.events import Counts, Events, compare, events_of, lacking
from ehrsatz.evaluation.intervals import Ranked, Z, weights
from ehrsatz.evaluation.learners import line
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream

LAGS = 3
LEAST_PAIRS = 50
LEAST_VISITS = 20
MAX_VISITS = 20_000
MAX_TARGETS = 10


class Autocorrelation(Metric):
    """Mean difference of the correlations of a value with the subject's next, second and third next one.

    Identical data 0, values in random order about the real correlation itself, less is better.
    """

    name = "autocorrelation"
    title = "Autocorrelation of values"
    family = "fidelity"
    theme = "Sequences"
    goal = "minimise"
    low, high, ideal = 0.0, 2.0, 0.0
    what = "Per code and lag of one to three, Pearson's correlation of a subject's value with a later one of the same "
    what += "code; mean absolute difference from real subjects."
    blind = "Gaps of different length count alike, and only linear dependence is seen."

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = events_of(comparison, seed)
        codes = found["holdout"].codes
        counts = {key: _lagged(one) for key, one in found.items()}  # (G, K, lags, 6)
        enough = np.all([one.sum(axis=0)[..., 0] >= LEAST_PAIRS for one in counts.values()], axis=0)
        real_r = _correlation(counts["holdout"].sum(axis=0))
        usable = enough & ~np.isnan(real_r)
        if not usable.any():
            raise Unmeasured(f"Not measured: no code has {LEAST_PAIRS} repeated values within subjects everywhere.")

        def like(a: Counts, b: Counts) -> float:
            gap = np.abs(_correlation(a) - np.nan_to_num(_correlation(b)))[usable]
            return float(np.nanmean(gap))

        value, interval, reference = compare(counts, like, high=2.0)
        made_r = _correlation(counts["synthetic"].sum(axis=0))
        rows: list[dict[str, Any]] = []
        for k in range(len(codes)):
            for lag in range(LAGS):
                if usable[k, lag]:
                    made = float(np.nan_to_num(made_r[k, lag]))
                    rows.append({"code": codes[k], "lag": lag + 1, "real": float(real_r[k, lag]), "synthetic": made})
        rows.sort(key=lambda one: (-abs(one["real"] - one["synthetic"]), one["code"], one["lag"]))
        first = rows[0]
        baseline = float(np.mean(np.abs(real_r[usable])))
        return Score(
            self.name,
            value,
            interval,
            reference,
            found["synthetic"].n_subjects,
            {"codes": len({one["code"] for one in rows}), "lags": LAGS, "subjects": found["holdout"].n_subjects},
            meaning=f"How strongly a subject's values hang on its earlier ones differs from real subjects by "
            f"{value:.3f} on average (values in random order: {baseline:.3f}), most for '{first['code']}': "
            f"{first['synthetic']:.2f} for {first['real']:.2f}.",
            details={"codes": rows[:60]},
            baseline=baseline,
        )


def _lagged(one: Events) -> Counts:
    """Return sums over pairs of values of a code within a subject, by group, code and lag: n, x, y, xx, yy, xy."""
    k = len(one.codes)
    out = np.zeros((one.n_groups, k, LAGS, 6))
    used = np.flatnonzero((one.code >= 0) & ~np.isnan(one.value))
    if not len(used):
        return out
    centre = np.zeros(k)
    total = np.bincount(one.code[used], one.value[used], minlength=k)
    centre = total / np.maximum(np.bincount(one.code[used], minlength=k), 1)
    order = used[np.lexsort((used, one.subject[used], one.code[used]))]
    code, subject = one.code[order], one.subject[order]
    value = one.value[order] - centre[code]  # correlations do not change, and sums keep their digits
    for lag in range(1, LAGS + 1):
        same = (code[lag:] == code[:-lag]) & (subject[lag:] == subject[:-lag])
        x, y, c, g = value[:-lag][same], value[lag:][same], code[lag:][same], one.part[subject[lag:][same]]
        for place, cell in enumerate((np.ones_like(x), x, y, x * x, y * y, x * y)):
            out[:, :, lag - 1, place] = np.bincount(g * k + c, cell, minlength=one.n_groups * k).reshape(-1, k)
    return out


def _correlation(sums: Counts) -> NDArray[np.float64]:
    """Return Pearson's correlation from sums (..., 6); NaN where a side does not vary."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    n = np.maximum(n, 1)
    a, b, ab = xx - x * x / n, yy - y * y / n, xy - x * y / n
    with np.errstate(invalid="ignore", divide="ignore"):
        r = ab / np.sqrt(a * b)
    return np.where((a > 1e-12 * np.maximum(xx, 1e-300)) & (b > 1e-12 * np.maximum(yy, 1e-300)), r, np.nan)


class NextEvent(Metric):
    """AUC of foretelling what the next visit holds, by a model that learned it from synthetic histories.

    Guessing 0.5, perfect 1; a faithful copy scores as the reference does, the same model learned from real histories.
    """

    name = "next_event"
    title = "Next visit foretold"
    family = "fidelity"
    theme = "Sequences"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "Logistic regressions foretell which codes the next visit holds, from the codes of this visit, those ever "
    what += "seen, the number of visits and the days since the last; learned from synthetic, tested on unseen real."
    blind = "A simple model: what only a longer memory could tell is not tested."
    reference = "Esteban et al. 2017, arXiv:1706.02633"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = events_of(comparison, seed)
        rng = {key: stream(seed, "evaluation", "next event", key) for key in found}
        rows = {key: _histories(one, rng[key]) for key, one in found.items()}
        short = [key for key, (x, _, _) in rows.items() if len(x) < LEAST_VISITS]
        if short:
            raise lacking(f"fewer than {LEAST_VISITS} visits follow another", short)
        test, answer, whose = rows["holdout"]
        share = np.array([answer.mean(axis=0), rows["train"][1].mean(axis=0)])
        targets = [int(k) for k in np.flatnonzero(((share > 0.02) & (share < 0.98)).all(axis=0))]
        targets = [k for k in targets if min(answer[:, k].sum(), (~answer[:, k]).sum()) >= 5][:MAX_TARGETS]
        if not targets:
            raise Unmeasured("Not measured: no code comes and goes between visits.")
        ranked: dict[str, list[Ranked]] = {"train": [], "synthetic": []}
        for key, list_ in ranked.items():
            x, y, _ = rows[key]
            centre, scale = x.mean(axis=0), x.std(axis=0)
            scale[scale == 0] = 1.0
            for k in targets:
                if y[:, k].all() or not y[:, k].any():
                    guess = np.zeros(len(test))
                else:
                    guess = line((x - centre) / scale, y[:, k]).decision_function((test - centre) / scale)
                list_.append(Ranked(answer[:, k], guess))
        each = {key: [one.auc() for one in list_] for key, list_ in ranked.items()}
        value, reference = (float(np.mean(each[key])) for key in ("synthetic", "train"))
        draws = weights(whose, stream(seed, "evaluation", "next event", "bootstrap"))
        spread = np.std([np.mean([one.auc(w) for one in ranked["synthetic"]]) for w in draws], ddof=1)
        codes = found["holdout"].paired
        return Score(
            self.name,
            value,
            (max(0.0, value - Z * float(spread)), min(1.0, value + Z * float(spread))),
            reference,
            len(rows["synthetic"][0]),
            {"codes": len(targets), "visits_learned": len(rows["synthetic"][0]), "visits_tested": len(test)},
            meaning=f"A model that learned from synthetic histories foretells what the next visit of a real subject "
            f"holds with AUC {value:.3f}; one that learned from real histories with {reference:.3f}.",
            details={
                "codes": [
                    {"code": codes[k], "real": each["train"][i], "synthetic": each["synthetic"][i]}
                    for i, k in enumerate(targets)
                ]
            },
            baseline=0.5,
        )


def _histories(
    one: Events, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return what is known at a visit (R, P), what the next one holds (R, K), and whose it is (R,)."""
    seen, next_ = one.seen(), one.follows
    if len(next_) > MAX_VISITS:
        next_ = np.sort(rng.permutation(next_)[:MAX_VISITS])
    before = np.cumsum(seen, axis=0, dtype=np.int64)
    start = np.searchsorted(one.visit_subject, one.visit_subject, "left")
    ever = (before - np.where(start[:, None] > 0, before[np.maximum(start - 1, 0)], 0)) > 0
    number = np.arange(len(one.visit_subject)) - start
    wait = np.zeros(len(one.visit_subject))
    wait[one.follows] = one.visit_day[one.follows] - one.visit_day[one.follows - 1]
    now = next_ - 1
    x = np.column_stack([seen[now], ever[now], np.log1p(number[now]), np.log1p(np.maximum(wait[now], 0))])
    return x.astype(np.float64), seen[next_], one.visit_subject[next_]
