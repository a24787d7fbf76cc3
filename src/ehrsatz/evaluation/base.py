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

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.space import Comparison
from ehrsatz.threads import one_thread

Family = Literal["fidelity", "utility", "privacy"]
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

    def __post_init__(self) -> None:
        numbers = [self.value, self.reference, *(self.interval or ())]
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
    of a faithful and harmless copy, `needs` names what must be there: "target", "rows" (at least ten rows in each
    dataset).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[Family]
    goal: ClassVar[Goal]
    low: ClassVar[float]
    high: ClassVar[float]
    ideal: ClassVar[float]
    needs: ClassVar[frozenset[str]] = frozenset()
    reference: ClassVar[str] = ""

    def __init__(self, *, target: str | None = None) -> None:
        self.target = target

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

    @abstractmethod
    def _compute(self, comparison: Comparison, *, seed: int) -> Score: ...

    def _check(self, comparison: Comparison) -> None:
        if "target" in self.needs and self.target is None:
            raise Unmeasured("Not measured: no target column was named.")
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
