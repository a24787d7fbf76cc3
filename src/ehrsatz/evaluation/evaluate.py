"""Measure everything: the registered metrics on one coding of three datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility.design import check_formulas
from ehrsatz.evaluation.utility.survival import check_followup
from ehrsatz.extras import is_available, require
from ehrsatz.threads import one_thread

Progress = Callable[[str, int, int], None]  # (what, done, total)
FORMAT = 1


@dataclass(frozen=True)
class Evaluation:
    """All scores of one synthetic dataset.

    Parameters
    ----------
    scores
        One per metric, in the order of the registry.
    details
        Plain JSON types: rows and subjects of each dataset, target, seed, format.
    """

    scores: tuple[Score, ...]
    details: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> Score:
        return next(score for score in self.scores if score.metric == metric)

    def __contains__(self, metric: object) -> bool:
        return any(score.metric == metric for score in self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, the same for the same data and seed."""
        return {"format": FORMAT, "details": self.details, "scores": [score.to_dict() for score in self.scores]}


def evaluate(
    train: Dataset,
    holdout: Dataset,
    synthetic: Dataset,
    *,
    target: str | None = None,
    task: Task | None = None,
    seed: int,
    metrics: Iterable[str | Metric] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure fidelity, utility, privacy and fairness of a synthetic dataset.

    Cost is linear in rows; measures that compare rows with rows work on at most 20,000 of them, and say so in their
    parameters.

    Parameters
    ----------
    train
        Real rows that the generator saw.
    holdout
        Real rows of other subjects, which it did not see; half of all subjects is a good size.
    synthetic
        What came out.
    target
        Column, or "table.column", that models are to predict; None leaves prediction unmeasured.
    task
        Everything that the data are for; its own target wins over `target`.
    seed
        Decides subsamples, folds and resampling: the same seed gives the same scores, whatever the order of the rows.
    metrics
        Names or instances; None for all that are registered.
    workers
        Threads; the scores do not depend on it.
    progress
        Called as progress(metric, done, total).

    Returns
    -------
    Evaluation with one score per metric; what could not be measured has a status and a reason instead of a value.

    Raises
    ------
    DataError
        When the datasets do not hold the same tables, or train and holdout share subjects.
    SchemaError
        When the target, or another column of the task, is no compared column.
    UnknownNameError
        When a metric is not registered.
    """
    plan = task or Task(target=target)
    if plan.target is None and target is not None:
        plan = replace(plan, target=target)
    chosen: list[Metric] = []
    for one in registry.names("metrics") if metrics is None else metrics:
        chosen.append(registry.find("metrics", one)(task=plan) if isinstance(one, str) else one)
    comparison = Comparison.of(train, holdout, synthetic, seed=seed)
    check_task(plan, comparison)
    comparison.copies(plan.copies)
    scores = _measure(chosen, comparison, seed, workers, progress)
    named = {"train": train, "holdout": holdout, "synthetic": synthetic}
    details = {
        "seed": int(seed),
        "target": plan.target,
        "task": plan.to_dict(),
        "rows": {name: {t: frame.height for t, frame in one.tables.items()} for name, one in named.items()},
        "subjects": {name: one.n_subjects for name, one in named.items()},
        "metrics": {
            one.name: {
                "title": one.title,
                "family": one.family,
                "theme": one.theme,
                "what": one.what,
                "blind": one.blind,
                "source": one.reference,
                "goal": one.goal,
                "low": one.low,
                "high": one.high,
                "ideal": one.ideal,
            }
            for one in chosen
        },
    }
    return Evaluation(tuple(scores), details)


def check_task(task: Task, comparison: Comparison) -> None:
    """Refuse a task that names what is not there.

    Parameters
    ----------
    task
        What the data are for.
    comparison
        Datasets in one coding; a few rows are enough.

    Raises
    ------
    SchemaError, ScenarioError
        When a column, or a formula, names no compared column; the nearest one is offered.
    DataError
        When a duration is no number or negative, or an event is neither 0 nor 1, in the real rows.
    MissingExtraError
        When a view is asked for whose library is not installed.
    """
    named = {
        "target": (task.target,),
        "group": task.groups,
        "duration": (task.duration,),
        "event": (task.event,),
        "quasi-identifier": task.quasi,
        "secret": task.secrets,
    }
    for what, names in named.items():
        for name in names:
            if name is not None:
                comparison.locate(name, what)
    check_formulas(task.formulas, comparison)
    if task.duration is not None:
        check_followup(comparison, task)
    if task.umap and not is_available("umap"):
        require("umap", extra="umap", feature="The UMAP view")


def _measure(
    chosen: list[Metric], comparison: Comparison, seed: int, workers: int, progress: Progress | None
) -> list[Score]:
    """Compute every metric, side by side where there are several workers; scores keep the order of the metrics."""
    show = progress or (lambda what, done, total: None)
    total = len(chosen)
    with one_thread():
        if workers == 1:
            scores = []
            for done, metric in enumerate(chosen):
                show(metric.name, done, total)
                scores.append(metric.compute_on(comparison, seed=seed))
        else:
            with ThreadPoolExecutor(workers) as pool:
                jobs = [pool.submit(metric.compute_on, comparison, seed=seed) for metric in chosen]
                try:
                    scores = []
                    for done, (metric, job) in enumerate(zip(chosen, jobs)):
                        show(metric.name, done, total)
                        scores.append(job.result())
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
    show("evaluate", total, total)
    return scores
