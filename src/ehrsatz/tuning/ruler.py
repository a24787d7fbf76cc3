"""How good a setting is, by three figures on rows that it did not learn from: cheap, and the same on any machine.

Fidelity is the AUC of telling synthetic from unseen real rows; utility is what a model that learned from synthetic
rows reaches on unseen real ones (AUC, or R2 for a number), by the learner that is best on real rows; privacy is the AUC
of the strongest of five membership attacks. They are the values of the metrics `detection`, `tstr` and `membership`,
without the intervals and explanations that these take longer for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError
from ehrsatz.evaluation.base import Score, Unmeasured
from ehrsatz.evaluation.evaluate import check_task
from ehrsatz.evaluation.fidelity.detection import tell
from ehrsatz.evaluation.privacy.membership import attacks_of
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility.question import question_of
from ehrsatz.evaluation.utility.trials import Fitted, answer_of, trials_of
from ehrsatz.threads import one_thread

METRICS = {"fidelity": "detection", "utility": "tstr", "privacy": "membership"}
LEAST = 20  # subjects of a part, below which its figures say nothing
MOST = 20_000  # subjects that a search learns from and chooses by; a comparison needs no more
LEARN = 0.5  # of the training half: attacks and classifiers compare best between equal numbers


@dataclass(frozen=True)
class Parts:
    """Subjects by what they are for.

    Parameters
    ----------
    learn, choose
        What every trial learns from, and what it is measured by.
    train
        Both together, and those that the search has no need of: what `fabricate` learns from with the same seed.
    judge
        The holdout of `fabricate` with the same seed: no trial and no choice sees it.
    """

    learn: Dataset
    choose: Dataset
    train: Dataset
    judge: Dataset

    @classmethod
    def of(cls, real: Dataset, *, train_fraction: float, seed: int) -> Parts:
        """Split by subject.

        Raises
        ------
        DataError
            When a part would have fewer than 20 subjects.
        """
        sizes = "too few for any"
        if real.n_subjects >= 4:
            train, judge = real.split(train_fraction, seed=seed)
            if train.n_subjects >= 2:
                used = train.split(MOST / train.n_subjects, seed=seed + 1)[0] if train.n_subjects > MOST else train
                learn, choose = used.split(LEARN, seed=seed)
                parts = cls(learn, choose, train, judge)
                if min(learn.n_subjects, choose.n_subjects, judge.n_subjects) >= LEAST:
                    return parts
                sizes = f"{learn.n_subjects}, {choose.n_subjects} and {judge.n_subjects}"
        raise DataError(
            f"Expected at least {LEAST} subjects in each of three parts: to learn, to choose, to judge.",
            f"The table has {real.n_subjects:,} subjects: {sizes}.",
            "Bring more rows, or use the generator 'trees' with its defaults.",
        )

    def sizes(self) -> dict[str, int]:
        """Return the number of subjects in each part."""
        return {name: getattr(self, name).n_subjects for name in ("learn", "choose", "train", "judge")}


@dataclass(frozen=True)
class Figures:
    """What one synthetic table reaches.

    Parameters
    ----------
    fidelity, privacy
        AUC; 0.5 is best.
    utility
        AUC or R2, more is better; None where there is no target to predict.
    """

    fidelity: float
    utility: float | None
    privacy: float


class Ruler:
    """Measure synthetic tables against the same real rows.

    Parameters
    ----------
    learn
        Real rows that generators see.
    choose
        Real rows of other subjects.
    target
        Column to predict; None leaves utility out.
    seed
        Decides folds and who is attacked.

    Raises
    ------
    SchemaError
        When the target is no column that can be compared.
    DataError
        When there is no column to compare.
    """

    def __init__(self, learn: Dataset, choose: Dataset, *, target: str | None, seed: int) -> None:
        self.learn, self.choose, self.seed = learn, choose, seed
        base = Comparison.of(learn, choose, learn, seed=seed)
        if not any(view.features for view in base.joint):
            raise DataError(
                "Expected a column to compare.",
                "There is none besides identifiers and free text.",
                "Name the columns' kinds in a schema file.",
            )
        check_task(Task(target=target), base)
        self.target, self.without_utility, self.measure_of_utility = target, "", "AUC"
        self.learner = ""
        real = None
        with one_thread():
            if target is None:
                self.without_utility = "no target column was named"
            else:
                try:
                    trials = trials_of(base, target, seed)
                    self.learner, self.measure_of_utility = trials.best, trials.question.headline
                    real = trials.answers[trials.best, "train"].value(trials.question.headline)
                except Unmeasured as stop:
                    self.without_utility = stop.reason.removeprefix("Not measured: ").rstrip(".")
            self.real = Figures(
                round(max(tell(view, "train", seed, explain=False).value for view in base.joint), 4),
                None if real is None else round(real, 4),
                0.5,
            )

    @property
    def objectives(self) -> tuple[str, ...]:
        """What is measured."""
        return ("fidelity", "privacy") if self.without_utility else ("fidelity", "utility", "privacy")

    def measure(self, synthetic: Dataset) -> Figures:
        """Return the figures of a synthetic table, with four digits.

        Raises
        ------
        Unmeasured
            When one of them cannot be had.
        """
        comparison = Comparison.of(self.learn, self.choose, synthetic, seed=self.seed)
        with one_thread():
            found = Figures(
                max(tell(view, "synthetic", self.seed, explain=False).value for view in comparison.joint),
                None if self.without_utility else self._utility(comparison),
                max(max(a.auc for a in attacks_of(comparison, view, self.seed)) for view in comparison.joint),
            )
        if not all(math.isfinite(one) for one in (found.fidelity, found.privacy, found.utility or 0.0)):
            raise Unmeasured("Failed: a figure is not a number.", "failed")
        return Figures(
            round(found.fidelity, 4),
            None if found.utility is None else round(found.utility, 4),
            round(found.privacy, 4),
        )

    def losses(self, found: Figures) -> dict[str, float]:
        """Return by how much each figure falls short, from 0 for none to 1: what a search makes small.

        An AUC of 0.5 is no loss and one of 1 is 1; below 0.5 is chance. Utility falls short of what real rows reach.
        """
        out = {"fidelity": _above(found.fidelity), "privacy": _above(found.privacy)}
        if found.utility is not None and self.real.utility is not None:
            scale = 2.0 if self.measure_of_utility == "AUC" else 1.0
            short = min(1.0, max(0.0, scale * (self.real.utility - found.utility)))
            out = {"fidelity": out["fidelity"], "utility": round(short, 4), "privacy": out["privacy"]}
        return out

    def _utility(self, comparison: Comparison) -> float:
        asked = question_of(comparison, str(self.target), self.seed)
        model = Fitted(asked, self.learner, asked.samples["synthetic"], asked.y["synthetic"], self.seed)
        answer = answer_of(asked, asked.y["holdout"], model.guess(asked.samples["holdout"]), "synthetic")
        return float(answer.value(asked.headline))


def scores(train: Dataset, judge: Dataset, synthetic: Dataset, *, target: str | None, seed: int) -> dict[str, Score]:
    """Return the whole metrics behind the three figures, with intervals: objective -> score."""
    comparison = Comparison.of(train, judge, synthetic, seed=seed)
    return {
        name: registry.find("metrics", metric)(task=Task(target=target)).compute_on(comparison, seed=seed)
        for name, metric in METRICS.items()
        if not (name == "utility" and target is None)
    }


def _above(area: float) -> float:
    return round(min(1.0, max(0.0, 2 * (area - 0.5))), 4)
