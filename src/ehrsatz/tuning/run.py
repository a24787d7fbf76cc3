"""The search from a table to the result: split in three, try settings, choose, and judge the chosen ones once.

Subjects are split as `fabricate` splits them with the same seed: its training half is split again, to learn from and to
choose by; its holdout is the part that judges. No trial and no choice sees that part, so a release that is made with
the chosen setting and the same seed is judged by rows that had no say in it. What is judged was learned anew from the
whole training half.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, DataWarning, EhrsatzError, EhrsatzWarning, MissingExtraError, ScenarioError
from ehrsatz.evaluation.base import Score, Unmeasured
from ehrsatz.generators.base import Progress, silent
from ehrsatz.generators.build import generator
from ehrsatz.tuning.front import Choice, choose
from ehrsatz.tuning.proposals import check_sampler, propose
from ehrsatz.tuning.ruler import Figures, Parts, Ruler, scores
from ehrsatz.tuning.space import Setting, Space
from ehrsatz.tuning.study import Study, Trial, head_of

# What a method may break with while it learns or draws: the setting has failed then, and the search goes on. Torch's
# own error when a device has no memory left is a RuntimeError.
BREAKS = (EhrsatzError, Unmeasured, ArithmeticError, MemoryError, RuntimeError, ValueError, np.linalg.LinAlgError)


@dataclass(frozen=True)
class Tuned:
    """A finished search.

    Parameters
    ----------
    trials
        All that was tried, in order.
    choice
        Front, recommendation and what was judged.
    real
        What real rows reach in place of synthetic ones, on the rows for choosing.
    judged
        Trial -> objective -> score on the rows for judging.
    facts
        What was searched, where and how: plain JSON types.
    stopped
        Why there are no more trials.
    """

    trials: tuple[Trial, ...]
    choice: Choice
    real: Figures
    judged: dict[int, dict[str, Score]]
    facts: dict[str, Any]
    stopped: str


def tune(
    real: Dataset,
    space: Space,
    study: str | Path,
    *,
    target: str | None = None,
    sampler: str = "bayesian",
    trials: int = 30,
    minutes: float | None = None,
    most_membership: float = 0.53,
    train_fraction: float = 0.5,
    seed: int = 0,
    restart: bool = False,
    clock: Callable[[], float],
    progress: Progress | None = None,
) -> Tuned:
    """Search for settings, or go on with a search that was stopped.

    The same table, space, sampler, seed and number of trials give the same result, stopped in between or not. A limit
    in minutes makes the number of trials depend on the machine.

    Parameters
    ----------
    real
        The table.
    space
        What may be tried.
    study
        File that every trial is written to.
    target
        Column to predict; None leaves utility out.
    sampler
        "bayesian", "random" or "grid".
    trials
        Trials in all, those of a search that is gone on with among them.
    minutes
        Time after which no further trial starts, from now on; at least one is made.
    most_membership
        Largest AUC of membership inference that a recommended setting may have, 0.5 being no leak.
    train_fraction
        Share of subjects that `fabricate` would learn from.
    seed
        Decides every draw: of the split, the sampler and the generators.
    restart
        Throw away what stands in the study's file.
    clock
        Gives seconds, for `minutes`.
    progress
        Called as progress(what, done, total); `what` holds the best so far after a tab.

    Raises
    ------
    ScenarioError
        When the sampler, a budget or the study does not fit.
    DataError
        When there are too few subjects, or no trial could be measured.
    MissingExtraError
        When the sampler or a generator needs a library that is absent.
    """
    show = progress or silent
    check_budget(trials, minutes, most_membership)
    check_sampler(sampler)
    if sampler == "grid":
        next(space.grid(), None)  # a grid without an end is refused before any work
    parts = Parts.of(real, train_fraction=train_fraction, seed=seed)
    head = head_of(real, space.to_dict(), sampler=sampler, target=target, seed=seed, train_fraction=train_fraction)
    record = Study.open(study, head, restart=restart)
    ruler = Ruler(parts.learn, parts.choose, target=target, seed=seed)
    if ruler.without_utility and target is not None:
        warnings.warn(f"Utility is left out of the search: {ruler.without_utility}.", DataWarning, stacklevel=2)
    record.start()
    until = None if minutes is None else clock() + 60 * minutes
    stopped, made = "the budget of trials", 0
    show(f"trials\t{best(record.trials)}", len(record.trials), trials)
    while len(record.trials) < trials:
        if until is not None and made and clock() >= until:
            stopped = "the budget of minutes"
            break
        number = len(record.trials)
        known, tried = [one.known for one in record.trials], frozenset(one.setting.key for one in record.trials)
        found = propose(space, sampler, known, tried, seed=seed, number=number)
        if found is None:
            stopped = "every setting was tried"
            break
        record.add(_try(number, *found, parts, ruler, seed))
        made += 1
        show(f"trials\t{best(record.trials)}", number + 1, trials)
    tried_all = tuple(record.trials[:trials])
    choice = choose(
        tried_all,
        most_membership=most_membership,
        n_attacked=min(parts.learn.n_subjects, parts.choose.n_subjects),
    )
    if not choice.front:
        raise DataError(
            "Expected a setting that can be measured.",
            f"All {len(tried_all)} failed.",
            "See what they say, correct it, and start anew with --restart.",
            problems=[f"trial {one.number}, {one.setting.generator}: {one.why}" for one in tried_all],
        )
    judged = {}
    for done, number in enumerate(choice.judged):
        show("judge", done, len(choice.judged))
        judged[number] = _judge(tried_all[number].setting, parts, ruler, seed)
    show("judge", len(judged), len(judged))
    facts = {
        **{key: value for key, value in head.items() if key not in {"format", "rows"}},
        "name": real.schema.name,
        "subjects": parts.sizes(),
        "objectives": list(ruler.objectives),
        "without_utility": ruler.without_utility,
        "measure_of_utility": ruler.measure_of_utility,
        "most_membership": most_membership,
    }
    return Tuned(tried_all, choice, ruler.real, judged, facts, stopped)


def check_budget(trials: int, minutes: float | None, most_membership: float) -> None:
    """Refuse a budget or a limit that leaves nothing.

    Raises
    ------
    ScenarioError
        When there would be no trial, or the limit is no AUC.
    """
    if trials < 1 or (minutes is not None and not minutes > 0):
        what = "trials" if trials < 1 else "minutes"
        raise ScenarioError(
            f"Expected a budget of {'at least 1 trial' if trials < 1 else 'more than 0 minutes'}.",
            f"The {what} leave no room for any.",
            f"Give more with --{what}.",
        )
    if not 0.5 <= most_membership <= 1:
        raise ScenarioError(
            "Expected --most-membership between 0.5 and 1.",
            f"It is {'below' if most_membership < 0.5 else 'above'}.",
            "0.5 is no leak, 1 gives everybody away.",
        )


def best(trials: Sequence[Trial]) -> str:
    """Return the smallest losses so far, in words."""
    good = [one for one in trials if one.figures is not None]
    if not good:
        return ""
    one = min(good, key=lambda trial: (sum(trial.losses.values()), trial.number))
    assert one.figures is not None
    told = [f"fidelity {one.figures.fidelity:.3f}", f"privacy {one.figures.privacy:.3f}"]
    if one.figures.utility is not None:
        told.insert(1, f"utility {one.figures.utility:.3f}")
    return f"best so far: {one.setting.generator}, {', '.join(told)}"


def _try(number: int, setting: Setting, drawn: dict[str, Any], parts: Parts, ruler: Ruler, seed: int) -> Trial:
    """Fit, draw and measure one setting; what it breaks with makes a failed trial."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", EhrsatzWarning)
        try:
            figures = ruler.measure(_drawn(setting, parts.learn, seed))
        except MissingExtraError:
            raise  # the same for every trial of this generator: nothing that a search should swallow
        except BREAKS as error:
            losses = dict.fromkeys(ruler.objectives, 1.0)
            return Trial(number, setting, drawn, None, losses, _reason(error))
    notes = tuple(dict.fromkeys(str(one.message) for one in told if issubclass(one.category, EhrsatzWarning)))
    return Trial(number, setting, drawn, figures, ruler.losses(figures), notes=notes)


def _drawn(setting: Setting, rows: Dataset, seed: int) -> Dataset:
    engine = generator(setting.generator, **setting.parameters).fit(rows, seed=seed)
    return engine.sample(rows.n_subjects, seed=seed)


def _judge(setting: Setting, parts: Parts, ruler: Ruler, seed: int) -> dict[str, Score]:
    """Learn from the whole training half and measure on the part that nothing has seen; a break is told as such."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EhrsatzWarning)  # they stand with the trial
        try:
            synthetic = _drawn(setting, parts.train, seed)
        except MissingExtraError:
            raise
        except BREAKS as error:
            return {name: Score(name, None, status="failed", meaning=_reason(error)) for name in ruler.objectives}
    target = None if ruler.without_utility else ruler.target
    return scores(parts.train, parts.judge, synthetic, target=target, seed=seed)


def _reason(error: BaseException) -> str:
    """Return why a setting failed; of other libraries' errors the type alone, for their words may hold values."""
    if isinstance(error, EhrsatzError):
        return str(error).splitlines()[0]
    if isinstance(error, Unmeasured):
        return error.reason
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory"
    return f"stopped with {type(error).__name__}"
