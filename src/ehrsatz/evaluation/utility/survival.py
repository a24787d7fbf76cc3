"""Is survival the same? Kaplan-Meier curves, restricted means, the log-rank test and the pattern of censoring.

Synthetic follow-up is compared with that of the training rows, up to a horizon tau until which at least five subjects
and one in twenty of train and of holdout are followed (rounded down to two digits). The reference is the same measure
with holdout rows. Several synthetic copies are taken together. Rows with a missing or negative synthetic time are left
out and counted; a follow-up of zero counts.

References: Norcliffe et al., SurvivalGAN, AISTATS 2023, arXiv:2302.12749, section 4 (Kaplan-Meier divergence, optimism,
short-sightedness).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.errors import DataError
from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.groups import subgroups
from ehrsatz.evaluation.intervals import Z, clipped, deal, jackknife_interval
from ehrsatz.evaluation.space import Comparison, Feature, View
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility.design import is_missing, odd_events, values, zero_one
from ehrsatz.evaluation.utility.kaplan import Array, Curve, distance, kaplan_meier, log_rank
from ehrsatz.schema import MIN_SUBJECTS

N_GRID = 41
LEAST_SHARE = 0.05
SIDES = ("train", "holdout", "synthetic")


@dataclass(frozen=True)
class Followed:
    """Follow-up of one dataset.

    duration, event, group
        (N,) of the rows that have both.
    rows
        (N,) their places in the view's sample.
    """

    duration: Array
    event: NDArray[np.bool_]
    group: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def curve(self) -> Curve:
        """Kaplan-Meier curve of the event."""
        return kaplan_meier(self.duration, self.event)

    @property
    def is_grouped(self) -> bool:
        """Whether a subject has several rows."""
        return len(np.unique(self.group)) < len(self.group)

    def take(self, keep: NDArray[Any]) -> Followed:
        """Return some rows."""
        return Followed(self.duration[keep], self.event[keep], self.group[keep], self.rows[keep])

    def censored(self) -> Followed:
        """Return the same with event and censoring exchanged."""
        return Followed(self.duration, ~self.event, self.group, self.rows)


@dataclass(frozen=True)
class Followups:
    """Follow-up of the three datasets, the horizon, and what was left out."""

    view: View
    sides: dict[str, Followed]
    tau: float
    left_out: dict[str, int]

    def params(self) -> dict[str, Any]:
        """Return what was set."""
        return {"tau": self.tau, "left_out": self.left_out, "real": "train", "table": self.view.name}


class KaplanMeierDistance(Metric):
    """Mean absolute difference of the synthetic and the real Kaplan-Meier curve up to tau.

    Identical data 0, survival of all against survival of none 1, less is better.
    """

    name = "kaplan_meier_distance"
    title = "Distance of survival curves"
    family = "utility"
    theme = "Survival"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows", "survival"})
    tells = frozenset()  # columns drawn one by one keep much of the curve
    what = "Area between the two Kaplan-Meier curves up to tau, over tau."
    blind = "Who it is that survives: the covariates; what happens behind tau."
    reference = "Norcliffe et al. 2023, arXiv:2302.12749"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = followups(comparison, self.task)
        curves = {key: one.curve for key, one in found.sides.items()}
        value, optimism = distance(curves["synthetic"], curves["train"], found.tau)
        reference, _ = distance(curves["holdout"], curves["train"], found.tau)
        last = max(found.sides[key].duration.max() for key in ("train", "holdout"))
        short = float(1 - curves["synthetic"].last / last) if last > 0 else 0.0
        direction = "longer than" if optimism > 5e-4 else "shorter than" if optimism < -5e-4 else "as long as"
        return Score(
            self.name,
            value,
            _deleted(found, value, seed, lambda a, b: distance(b.curve, a.curve, found.tau)[0], 0.0),
            reference,
            len(found.sides["synthetic"].duration),
            found.params(),
            meaning=f"Up to time {found.tau:g} the share of synthetic patients without event differs by "
            f"{100 * value:.1f} percentage points on average from the real share; on the whole synthetic "
            f"patients are {direction} real ones without it.",
            details={
                "curves": _curves(found, curves),
                "optimism": optimism,
                "short_sighted": short,
                "groups": _by_group(comparison, self.task, found),
            },
        )


class RestrictedMean(Metric):
    """Difference of the mean time without event up to tau, synthetic minus real, as a share of tau.

    Identical data 0, above 0 synthetic patients survive longer, below 0 shorter; nearer 0 is better.
    """

    name = "restricted_mean"
    title = "Difference of mean survival"
    family = "utility"
    theme = "Survival"
    goal = "target"
    low, high, ideal = -1.0, 1.0, 0.0
    needs = frozenset({"rows", "survival"})
    tells = frozenset()
    what = "Area under the synthetic minus area under the real Kaplan-Meier curve up to tau, over tau (optimism)."
    blind = "Curves that cross and even out; who it is that survives."
    reference = "Royston & Parmar 2013, doi:10.1186/1471-2288-13-152"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = followups(comparison, self.task)
        means = {key: one.curve.restricted_mean(found.tau) for key, one in found.sides.items()}
        gap = (means["synthetic"][0] - means["train"][0]) / found.tau
        if any(found.sides[key].is_grouped for key in ("train", "synthetic")):
            interval = _deleted(
                found,
                gap,
                seed,
                lambda a, b: (
                    (b.curve.restricted_mean(found.tau)[0] - a.curve.restricted_mean(found.tau)[0]) / found.tau
                ),
                -1.0,
            )
        else:
            reach = Z * math.sqrt(means["synthetic"][1] + means["train"][1]) / found.tau
            interval = clipped(gap, reach, -1.0, 1.0)
        return Score(
            self.name,
            gap,
            interval,
            (means["holdout"][0] - means["train"][0]) / found.tau,
            len(found.sides["synthetic"].duration),
            found.params(),
            meaning=f"Within the first {found.tau:g} of follow-up synthetic patients are without event for "
            f"{means['synthetic'][0]:.4g} on average, real ones for {means['train'][0]:.4g}, in the unit of "
            "the follow-up.",
            details={
                "means": {key: one[0] for key, one in means.items()},
                "standard_errors": {key: math.sqrt(one[1]) for key, one in means.items()},
            },
        )


class LogRankTest(Metric):
    """p-value of the log-rank test that synthetic and real rows have the same survival.

    Identical data 1; a further real sample anywhere between 0 and 1; survival that differs near 0. Not smaller than the
    level of a test is good; more says nothing.
    """

    name = "log_rank"
    title = "Log-rank test"
    family = "utility"
    theme = "Survival"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows", "survival"})
    tells = frozenset()
    what = "Tests the hazards of synthetic against real rows; the details hold the hazard ratio with its interval."
    blind = "Hazards that cross; with many rows the least difference is significant: read the hazard ratio."
    reference = "Mantel 1966; Kaplan & Meier 1958, doi:10.1080/01621459.1958.10501452"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = followups(comparison, self.task)
        if any(one.is_grouped for one in found.sides.values()):
            raise Unmeasured(
                "Not measured: subjects have several rows, and the log-rank test takes rows as independent."
            )
        train = found.sides["train"]
        tests = {
            key: log_rank(train.duration, train.event, found.sides[key].duration, found.sides[key].event)
            for key in ("holdout", "synthetic")
        }
        test, real = tests["synthetic"], tests["holdout"]
        if test is None:
            raise Unmeasured("Not measured: no event happens while rows of both datasets are followed.")
        return Score(
            self.name,
            test.p,
            None,
            None if real is None else real.p,
            len(found.sides["synthetic"].duration),
            found.params(),
            meaning=f"The hazard of synthetic patients is {test.hazard_ratio:.2f} times the real one (95 % interval "
            f"{test.low:.2f} to {test.high:.2f}); as large a difference comes by chance with p = {test.p:.2g}.",
            details={
                key: None
                if one is None
                else {
                    "statistic": one.statistic,
                    "p": one.p,
                    "hazard_ratio": one.hazard_ratio,
                    "interval": [one.low, one.high],
                }
                for key, one in tests.items()
            },
        )


class Censoring(Metric):
    """Difference of censoring: of the censored share, or of its pattern in time, whichever is larger.

    Identical data 0, all censored against none 1, less is better.
    """

    name = "censoring"
    title = "Difference of censoring"
    family = "utility"
    theme = "Survival"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows", "survival"})
    tells = frozenset()
    what = "Compares the censored share, and the Kaplan-Meier curve with event and censoring exchanged, up to tau."
    blind = "Whether censoring depends on the covariates."
    reference = "Norcliffe et al. 2023, arXiv:2302.12749"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = followups(comparison, self.task)

        def over_time(a: Followed, b: Followed) -> float:
            return distance(b.censored().curve, a.censored().curve, found.tau)[0]

        def measure(a: Followed, b: Followed) -> float:
            return max(abs(float(b.event.mean()) - float(a.event.mean())), over_time(a, b))

        train, holdout, synthetic = (found.sides[key] for key in SIDES)
        value, pattern = measure(train, synthetic), over_time(train, synthetic)
        shares = {key: 1 - float(one.event.mean()) for key, one in found.sides.items()}
        return Score(
            self.name,
            value,
            _deleted(found, value, seed, measure, 0.0),
            measure(train, holdout),
            len(synthetic.duration),
            found.params(),
            meaning=f"{100 * shares['synthetic']:.0f} % of synthetic and {100 * shares['train']:.0f} % of real "
            "patients leave observation without the event; over time the shares who have not left so differ by "
            f"{100 * pattern:.1f} points on average.",
            details={
                "shares": shares,
                "curves": _curves(found, {key: one.censored().curve for key, one in found.sides.items()}),
            },
        )


# ---------------------------------------------------------------------- follow-up
def followups(comparison: Comparison, task: Task) -> Followups:
    """Return the follow-up of three datasets, once for all metrics.

    Parameters
    ----------
    comparison
        Datasets in one coding.
    task
        Names duration and event.

    Raises
    ------
    DataError
        When real durations are negative, or a real event is neither 0 nor 1.
    SchemaError
        When a column is not there.
    Unmeasured
        When there is no event, or too little follow-up.
    """
    found: Followups = comparison.once(("followups", task.duration, task.event), lambda: _followups(comparison, task))
    return found


def check_followup(comparison: Comparison, task: Task) -> tuple[View, Feature, Feature]:
    """Return the table, duration and event of a task whose real rows can be a follow-up.

    Parameters
    ----------
    comparison
        Datasets in one coding.
    task
        Names duration and event.

    Raises
    ------
    DataError
        When they lie in two tables, a real duration is no number or negative, or a real event neither 0 nor 1.
    SchemaError
        When a column is not there.
    """
    assert task.duration is not None and task.event is not None
    (view, time), (home, event) = comparison.locate(task.duration, "duration"), comparison.locate(task.event, "event")
    if home.name != view.name:
        raise DataError(
            "Expected duration and event in the same table.",
            f"'{time.name}' is a column of '{time.table}', '{event.name}' of '{event.table}'.",
            "Name two columns of one table.",
        )
    if not time.is_number or time.kind in {"date", "datetime"}:
        raise DataError(
            f"Expected the duration '{time.name}' as a number.",
            f"It is of kind {time.kind}.",
            "Make a column of the time from entry to event or end of observation.",
        )
    problems = []
    for key in ("train", "holdout"):
        sample = view.samples[key]
        below = int((values(sample, time) < 0).sum())
        odd = odd_events(sample, event)
        problems += [f"{key}: {below:,} of {sample.n:,} durations are negative"] if below else []
        problems += [f"{key}: {odd:,} of {sample.n:,} events are neither 0 nor 1"] if odd else []
    if problems:
        raise DataError(
            f"Expected durations from 0 on in '{time.name}', and 0 or 1 (false or true) in '{event.name}'.",
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found.",
            "Correct those rows, or make a column that is 1 where the event of interest ended the follow-up.",
            problems=problems,
        )
    return view, time, event


def _followups(comparison: Comparison, task: Task) -> Followups:
    view, time, event = check_followup(comparison, task)
    sides: dict[str, Followed] = {}
    left_out: dict[str, int] = {}
    for key, sample in view.samples.items():
        duration, flag = values(sample, time), zero_one(sample, event)
        keep = ~np.isnan(duration) & ~np.isnan(flag) & ~(duration < 0)
        gone = is_missing(sample, time) | is_missing(sample, event)
        counts = {"missing": int(gone.sum()), "impossible": int((~keep & ~gone).sum())}
        left_out |= {f"{key}, {reason}": n for reason, n in counts.items() if n}
        rows = np.flatnonzero(keep)
        sides[key] = Followed(duration[rows], flag[rows] == 1, sample.group[rows], rows)
    for key, one in sides.items():
        status = "failed" if key == "synthetic" else "not_applicable"
        head = "Failed" if key == "synthetic" else "Not measured"
        if len(np.unique(one.group)) < MIN_SUBJECTS:
            reason = f"{head}: fewer than {MIN_SUBJECTS} subjects of {key} have a usable duration and event."
            raise Unmeasured(reason, status)  # type: ignore[arg-type]
        if not one.event.any():
            raise Unmeasured(f"{head}: there is no event in {key}, all are censored.", status)  # type: ignore[arg-type]
    tau = min(_horizon(sides[key]) for key in ("train", "holdout"))
    if tau <= 0:
        raise Unmeasured("Not measured: nearly all real follow-up is of length zero.")
    return Followups(view, sides, tau, left_out)


def _horizon(one: Followed) -> float:
    """Latest time, rounded down to two digits, at which enough subjects are still followed."""
    longest = np.zeros(int(one.group.max()) + 1)
    np.maximum.at(longest, one.group, one.duration)
    followed = np.sort(longest[np.unique(one.group)])[::-1]
    latest = float(followed[max(MIN_SUBJECTS, math.ceil(LEAST_SHARE * len(followed))) - 1])
    if latest <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(latest)) - 1)
    return float(f"{math.floor(latest / unit + 1e-9) * unit:.6g}")


def _deleted(found: Followups, value: float, seed: int, measure: Any, low: float) -> tuple[float, float] | None:
    """Delete-a-group jackknife over subjects of the training and of the synthetic rows."""
    train, synthetic = found.sides["train"], found.sides["synthetic"]
    parts = []
    for key, one in (("train", train), ("synthetic", synthetic)):
        groups = deal(one.group, found.view.rng(seed, "survival", key))
        rest = [one.take(groups != g) for g in range(int(groups.max()) + 1)]
        parts.append(np.array([measure(part, synthetic) if key == "train" else measure(train, part) for part in rest]))
    return jackknife_interval(value, *parts, low=low, high=1.0)


def _curves(found: Followups, curves: dict[str, Curve]) -> dict[str, Any]:
    """Return curves on an even grid of times, as long as five subjects are followed."""
    grid = np.linspace(0.0, found.tau, N_GRID)
    out: dict[str, Any] = {"time": [float(f"{one:.6g}") for one in grid]}
    for key, curve in curves.items():
        one = found.sides[key]
        end = np.sort(one.duration)[-min(MIN_SUBJECTS, len(one.duration))]
        out[key] = [round(float(s), 4) if t <= end else None for t, s in zip(grid, curve.at(grid))]
    return out


def _by_group(comparison: Comparison, task: Task, found: Followups) -> list[dict[str, Any]]:
    """Return the distance of each subgroup, worst first, with what holdout rows score."""
    out = []
    for group in subgroups(comparison, task):
        if group.view.name != found.view.name:
            continue
        part = {key: one.take(group.rows[key][one.rows]) for key, one in found.sides.items()}
        if any(len(np.unique(one.group)) < MIN_SUBJECTS for one in part.values()):
            continue
        train, holdout, synthetic = (part[key].curve for key in SIDES)
        apart, signed = distance(synthetic, train, found.tau)
        out.append(
            {
                "group": group.name,
                "distance": apart,
                "optimism": signed,
                "reference": distance(holdout, train, found.tau)[0],
                "n": len(part["synthetic"].duration),
            }
        )
    return sorted(out, key=lambda one: (-one["distance"], one["group"]))
