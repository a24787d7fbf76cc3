"""The one interface of every metric: three datasets in, one `Score` out.

`Metric.compute` checks once (same tables? enough rows? a target where one is needed?) and calls the metric's
`_compute` with a `Comparison`, in which the three datasets are coded alike. What cannot be measured is said by status
and reason; it is never a number.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.threads import one_thread

Family = Literal["fidelity", "utility", "privacy", "fairness", "review"]
Goal = Literal["minimise", "maximise", "target"]
Status = Literal["measured", "not_applicable", "failed"]


@dataclass(frozen=True)
class Score:
    """One measured value, or the reason why there is none.

    Parameters
    ----------
    metric
        Registry name of the metric.
    value
        The measured value; None unless the status is "measured".
    interval
        95 % interval (low, high), or None where none can be given.
    reference
        The same measure with real rows in place of the synthetic ones: what a perfect copy of the population scores.
    n
        Synthetic rows that took part.
    params
        What was set: caps, folds, neighbours, subsamples.
    status
        measured, not_applicable (the data cannot have this value) or failed (they should, but it could not be had).
    meaning
        One plain sentence for a privacy officer or a clinician: the value in words, or the reason why there is none.
    details
        Plain JSON types for charts; no value that fewer than five real subjects share.
    baseline
        What comes out without any knowledge or skill: guessing, the commonest level, columns drawn independently. None
        where the measure has no such point.
    """

    metric: str
    value: float | None
    interval: tuple[float, float] | None = None
    reference: float | None = None
    n: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "measured"
    meaning: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    baseline: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.value, self.reference, self.baseline, *(self.interval or ())]
        assert all(one is None or math.isfinite(one) for one in numbers), f"{self.metric}: a score must be finite"
        assert (self.value is not None) == (self.status == "measured"), f"{self.metric}: value and status disagree"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, floats rounded to ten digits."""
        return _plain(
            {
                "metric": self.metric,
                "value": self.value,
                "interval": None if self.interval is None else list(self.interval),
                "reference": self.reference,
                "baseline": self.baseline,
                "n": self.n,
                "params": self.params,
                "status": self.status,
                "meaning": self.meaning,
                "details": self.details,
            }
        )


class Unmeasured(Exception):
    """Raised inside a metric when there is nothing to measure; the base turns it into a Score with this reason."""

    def __init__(self, reason: str, status: Status = "not_applicable") -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class Metric(ABC):
    """Compare a synthetic dataset with the real halves it came from (train) and did not see (holdout).

    A subclass gives the class attributes and `_compute`. `low` and `high` are the ends of the scale, `ideal` the value
    of a faithful and harmless copy, `needs` names what must be there: "target", "survival", "formulas", "rows" (at
    least ten rows in each dataset). `theme` is the heading it stands under in a report, `what` one sentence on how it
    is measured, `blind` one on what it cannot see. `tells` names what it claims to tell from a further real sample,
    which the contract checks: "copies" of training rows, "unrelated" columns; by its family where None.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[Family]
    theme: ClassVar[str] = ""
    goal: ClassVar[Goal]
    low: ClassVar[float]
    high: ClassVar[float]
    ideal: ClassVar[float]
    needs: ClassVar[frozenset[str]] = frozenset()
    what: ClassVar[str] = ""
    blind: ClassVar[str] = ""
    tells: ClassVar[frozenset[str] | None] = None
    reference: ClassVar[str] = ""

    def __init__(self, *, target: str | None = None, task: Task | None = None) -> None:
        self.task = Task(target=target) if task is None else task

    @property
    def target(self) -> str | None:
        """The column that models predict."""
        return self.task.target

    def compute(self, train: Dataset, holdout: Dataset, synthetic: Dataset, *, seed: int) -> Score:
        """Measure; what cannot be measured comes back as a Score that says why.

        Parameters
        ----------
        train
            Real rows that the generator saw.
        holdout
            Real rows of other subjects, which it did not see.
        synthetic
            What came out.
        seed
            Decides subsamples, folds and resampling.

        Raises
        ------
        DataError
            When the three datasets do not hold the same tables, or train and holdout share subjects.
        """
        return self.compute_on(Comparison.of(train, holdout, synthetic, seed=seed), seed=seed)

    def compute_on(self, comparison: Comparison, *, seed: int) -> Score:
        """Measure on datasets that are coded already; several metrics share one coding.

        Parameters
        ----------
        comparison
            Three datasets in one coding.
        seed
            Decides subsamples, folds and resampling.
        """
        try:
            self._check(comparison)
            with one_thread():
                return self._compute(comparison, seed=int(seed))
        except Unmeasured as stop:
            return Score(self.name, None, status=stop.status, meaning=stop.reason)
        except (np.linalg.LinAlgError, ArithmeticError) as error:
            reason = f"Failed: the calculation broke down ({type(error).__name__})."
            return Score(self.name, None, status="failed", meaning=reason)

    @abstractmethod
    def _compute(self, comparison: Comparison, *, seed: int) -> Score: ...

    def _check(self, comparison: Comparison) -> None:
        if "target" in self.needs and self.target is None:
            raise Unmeasured("Not measured: no target column was named.")
        if "survival" in self.needs and self.task.duration is None:
            raise Unmeasured("Not measured: no follow-up time and event were named.")
        if "formulas" in self.needs and not self.task.formulas:
            raise Unmeasured("Not measured: no formula was named.")
        sizes = {name: min(view.samples[name].n for view in comparison.views) for name in comparison.datasets}
        least = 10 if "rows" in self.needs else 1
        short = [f"{name} has {n}" for name, n in sizes.items() if n < least]
        if short:
            raise Unmeasured(f"Not measured: at least {least} rows are needed in each table, {', '.join(short)}.")
        if not any(view.features for view in comparison.views):
            raise Unmeasured("Not measured: no column is left to compare besides identifiers and free text.")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    number = float(value)
    assert math.isfinite(number), "a score must be finite"
    return float(f"{number:.10g}")
