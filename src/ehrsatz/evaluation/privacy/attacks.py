"""What the attacks share: who is attacked, what the attacker knows and wants, and the risk with its interval.

An attack is made on training subjects (main), on held-out subjects (control) and by guessing (baseline). What succeeds
on people whom the generator never saw is knowledge of the population, not a leak: the risk is what the main attack
reaches beyond the control, as a share of what was left to reach. One row of each subject is attacked, so that attacks
are independent.

References: Giomi, Boenisch, Wehmeyer & Tasnadi, A unified framework for quantifying privacy risk in synthetic data,
PoPETs 2023, doi:10.56553/popets-2023-0055 (main, control, baseline; equation 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.base import Unmeasured
from ehrsatz.evaluation.space import Comparison, Feature, Sample, View
from ehrsatz.evaluation.task import Task

N_ATTACKS = 5000  # half-width of a rate's interval at most 0.014
MAX_SYNTHETIC = 100_000
MAX_PAIRS = 200_000_000  # attacked times synthetic rows: fewer are attacked where the table is large
MAX_SECRETS = 6
LEAST_ATTACKS = 10


@dataclass(frozen=True)
class Trial:
    """Successes of one attack.

    Parameters
    ----------
    name
        The attack in words.
    n
        Attacks on training subjects, on held-out ones, and guesses.
    hits
        How many of each succeeded.
    """

    name: str
    n: tuple[int, int, int]
    hits: tuple[int, int, int]

    @property
    def rates(self) -> tuple[float, float, float]:
        """Share of successes: main, control, baseline."""
        main, control, guess = (one / max(1, n) for one, n in zip(self.hits, self.n))
        return main, control, guess

    @property
    def excess(self) -> float:
        """(main - control) / (1 - control), below 0 where the control is attacked better."""
        main, control, _ = self.rates
        return (main - control) / (1 - control) if control < 1 else 0.0

    @property
    def risk(self) -> float:
        """The excess, never below 0."""
        return min(1.0, max(0.0, self.excess))

    def interval(self, comparisons: int = 1) -> tuple[float, float]:
        """Return the 95 % interval of the risk; with several comparisons, one that covers all of them at once.

        Wilson's half-widths of the two rates, carried through the formula (Giomi et al. 2023, section 4).
        """
        value, reach = self._propagated(float(stats.norm.ppf(1 - 0.025 / max(1, comparisons))))
        low, high = (min(1.0, max(0.0, end)) for end in (value - reach, value + reach))
        return min(low, self.risk), max(high, self.risk)

    @property
    def guessed(self) -> float:
        """The risk that guesses reach in place of the attack, on the same scale as `risk`."""
        _, control, guess = self.rates
        return max(0.0, (guess - control) / (1 - control)) if control < 1 else 0.0

    @property
    def error(self) -> float:
        """Standard error of the excess."""
        return self._propagated(1.0)[1]

    def _propagated(self, z: float) -> tuple[float, float]:
        """Return the excess of the middles of Wilson's intervals, and its half-width."""
        (main, d_main), (control, d_control) = (_wilson(h, n, z) for h, n in zip(self.hits[:2], self.n[:2]))
        slope = (main - 1) / (1 - control) ** 2  # a Wilson middle is below 1
        return (main - control) / (1 - control), float(np.hypot(d_main / (1 - control), d_control * slope))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        main, control, guess = self.rates
        ends = [_wilson(h, n, float(stats.norm.ppf(0.975))) for h, n in zip(self.hits, self.n)]
        return {
            "attack": self.name,
            "main": main,
            "control": control,
            "baseline": guess,
            "intervals": [[max(0.0, mid - reach), min(1.0, mid + reach)] for mid, reach in ends],
            "risk": self.risk,
            "interval": list(self.interval()),
            "n_attacks": list(self.n),
        }


def _wilson(hits: int, n: int, z: float) -> tuple[float, float]:
    """Return middle and half-width of Wilson's interval."""
    if n <= 0:
        return 0.5, 0.5
    middle = (hits + z * z / 2) / (n + z * z)
    return middle, z / (n + z * z) * float(np.sqrt(hits * (n - hits) / n + z * z / 4))


def worst(trials: list[Trial]) -> Trial:
    """Return the trial whose risk is most surely above 0: by the lower end of its interval, then in standard errors.

    Raises
    ------
    Unmeasured
        When there is none, or its control always succeeds.
    """
    open_ones = [one for one in trials if one.rates[1] < 1 and min(one.n[:2]) >= LEAST_ATTACKS]
    if not open_ones:
        raise Unmeasured("Not measured: every attack succeeds on unseen people too, or fewer than ten could be made.")
    return max(open_ones, key=lambda one: (one.interval(len(trials))[0], one.excess / max(one.error, 1e-9)))


def quasi_columns(view: View, task: Task) -> tuple[Feature, ...]:
    """Return the columns of a view that an attacker may know: those the task names, else the schema's quasi ones."""
    return _named(view, task.quasi, "quasi")


def secret_columns(view: View, task: Task) -> tuple[Feature, ...]:
    """Return the columns that an attacker wants to learn: those the task names, else the schema's sensitive ones."""
    return _named(view, task.secrets, "sensitive")


def _named(view: View, names: tuple[str, ...], disclosure: str) -> tuple[Feature, ...]:
    if not names:
        return tuple(one for one in view.features if one.disclosure == disclosure)
    bare = {one: one.name.removeprefix(f"{one.table}.") for one in view.features}
    return tuple(one for one in view.features if bare[one] in names or f"{one.table}.{bare[one]}" in names)


def differing(view: View, feature: Feature) -> bool:
    """Say whether a column has more than one value among the real rows."""
    cells = [
        one.rank[:, feature.slot] if feature.is_number else one.codes[:, feature.slot]
        for one in (view.samples["train"], view.samples["holdout"])
    ]
    both = np.concatenate(cells)
    return bool(len(both)) and bool((both != both[0]).any())


def targets(view: View, key: str, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw at most n subjects and one row of each; return the rows."""
    group = view.samples[key].group
    order = rng.permutation(len(group))
    _, first = np.unique(group[order], return_index=True)
    chosen = rng.permutation(first)[:n]
    return np.sort(order[chosen])


def rows_made(comparison: Comparison, table: str) -> int:
    """Return the number of synthetic rows that the attacks on a table look at."""
    view = next(one for one in comparison.joint if one.name == table)
    return min(MAX_SYNTHETIC, view.samples["synthetic"].n)


def attacked(comparison: Comparison, view: View, seed: int) -> View:
    """Return the view cut to the rows that the attacks use: equally many subjects of train and holdout, one row each.

    Raises
    ------
    Unmeasured
        When fewer than ten subjects can be attacked.
    """

    def make() -> View:
        counts = [len(np.unique(view.samples[key].group)) for key in ("train", "holdout")]
        some = max(1000, MAX_PAIRS // max(1, min(MAX_SYNTHETIC, view.samples["synthetic"].n)))
        n = min(N_ATTACKS, some, *counts)
        if n < LEAST_ATTACKS:
            raise Unmeasured(f"Not measured: at least {LEAST_ATTACKS} subjects in each half are needed, {n} are there.")
        cut: dict[str, Sample] = {}
        for key in ("train", "holdout"):
            rows = targets(view, key, n, view.rng(seed, "attacks", key))
            cut[key] = view.samples[key].take(rows)
        made = view.samples["synthetic"]
        rows = view.rng(seed, "attacks", "synthetic").permutation(made.n)[:MAX_SYNTHETIC]
        cut["synthetic"] = made.take(rows)
        return View(view.name, view.features, cut, view.joint)

    out: View = comparison.once(("attacked", view.name, seed), make)
    return out
