"""Can an attacker who holds two separate tables put together what belongs to one person, by way of the synthetic rows?

The columns are dealt to two tables. For a real person each part has its k nearest synthetic rows; where the two sets
share a row, the parts are linked. Held-out people are linked by chance.

What differs from Giomi et al. (PoPETs 2023, doi:10.56553/popets-2023-0055, section 4.2): distances are squared
differences of normal scores and mismatches of levels instead of Gower's, and the columns are dealt by the number of
their values, so that both parts say about as much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.privacy.attacks import Trial, attacked, differing, quasi_columns, rows_made, worst
from ehrsatz.evaluation.privacy.neighbours import embed, search
from ehrsatz.evaluation.privacy.structures import distinct
from ehrsatz.evaluation.space import Comparison, Feature, View
from ehrsatz.evaluation.task import Task

NEIGHBOURS = 5


class Linkability(Metric):
    """Risk that two parts of a training subject's record are linked by the synthetic rows, beyond chance.

    A fresh sample scores about 0, a copy of train near 1; less is better.
    """

    name = "linkability"
    title = "Linkability"
    family = "privacy"
    theme = "Attacks"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows"})
    what = (
        "The columns are dealt to two parts; both parts of a person are looked up among the synthetic rows, and linked "
        "where they meet. The risk is the success beyond people never seen."
    )
    blind = "Only two ways of dealing the columns are tried; a leak of few people among many moves it little."
    reference = "Giomi et al. 2023, doi:10.56553/popets-2023-0055"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        every = [(view.name, one) for view in comparison.joint for one in _trials(comparison, view, self.task, seed)]
        if not every:
            raise Unmeasured("Not measured: two columns of more than one value are needed.")
        one = worst([trial for _, trial in every])
        table = next(name for name, trial in every if trial is one)
        main, control, guess = one.rates
        return Score(
            self.name,
            one.risk,
            one.interval(len(every)),
            0.0,
            rows_made(comparison, table),
            {"attack": one.name, "attacks": one.n[0], "neighbours": NEIGHBOURS, "table": table},
            meaning=f"The two parts of {100 * main:.1f} % of the attacked training subjects are linked ({one.name}), "
            f"of people never seen {100 * control:.1f} %, by guessing {100 * guess:.1f} %. Beyond chance: "
            f"{100 * one.risk:.1f} % at risk.",
            details={"attacks": [{**trial.to_dict(), "table": name} for name, trial in every]},
            baseline=one.guessed,
        )


def deal(view: View, features: tuple[Feature, ...]) -> tuple[tuple[Feature, ...], tuple[Feature, ...]]:
    """Deal columns to two parts in turn, those of most values first."""
    ordered = sorted(features, key=lambda one: distinct(view, one), reverse=True)
    return tuple(ordered[0::2]), tuple(ordered[1::2])


def _trials(comparison: Comparison, view: View, task: Task, seed: int) -> list[Trial]:
    cut = attacked(comparison, view, seed)
    useful = tuple(one for one in view.features if differing(view, one))
    quasi = tuple(one for one in quasi_columns(view, task) if one in useful)
    plans = [("all columns", useful)]
    if 2 <= len(quasi) < len(useful):
        plans.append(("quasi-identifiers alone", quasi))
    out = []
    for name, features in plans:
        if len(features) < 2:
            continue
        parts = [embed(cut, one) for one in deal(cut, features)]
        n_made = parts[0]["synthetic"].n
        k = min(NEIGHBOURS, max(1, n_made // 10))
        hits = []
        for key in ("train", "holdout"):
            first, second = (search(one[key], one["synthetic"], k)[1] for one in parts)
            hits.append(int(meet(first, second).sum()))
        n = cut.samples["train"].n
        rng = view.rng(seed, "linkability", "guess", name)
        guess = meet(_draw(rng, n, n_made, k), _draw(rng, n, n_made, k))
        out.append(Trial(name, (n, cut.samples["holdout"].n, n), (hits[0], hits[1], int(guess.sum()))))
    return out


def meet(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say for each row whether its two sets (R, k) share a member."""
    return np.asarray((a[:, :, None] == b[:, None, :]).any(axis=(1, 2)))


def _draw(rng: np.random.Generator, rows: int, n: int, k: int) -> NDArray[np.int64]:
    return np.stack([rng.choice(n, k, replace=False) for _ in range(rows)])
