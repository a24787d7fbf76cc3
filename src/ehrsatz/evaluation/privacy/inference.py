"""Can an attacker who knows some columns of a person learn another from the synthetic rows?

Inference: the nearest synthetic row in what the attacker knows gives the guess; it is right where the level is the
same, or the number within a twentieth of the spread of the real values. An attacker who knows the quasi-identifiers is
tried, and one who knows all but the secret. Correct attribution (TCAP): the attacker only speaks where all synthetic
rows with the person's quasi-identifiers state one value. What comes out for people never seen is statistics.

References: Giomi et al., PoPETs 2023, doi:10.56553/popets-2023-0055, section 4.3; Taub, Elliot, Pampaka & Smith,
Differential correct attribution probability for synthetic data, PSD 2018, doi:10.1007/978-3-319-99771-1_9; Elliot,
Final report on the disclosure risk associated with synthetic data, 2014 (the name DCAP).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import wilson
from ehrsatz.evaluation.privacy.attacks import (
    LEAST_ATTACKS,
    MAX_SECRETS,
    Trial,
    attacked,
    differing,
    quasi_columns,
    rows_made,
    secret_columns,
    targets,
    worst,
)
from ehrsatz.evaluation.privacy.neighbours import embed, search
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Feature, Sample, View
from ehrsatz.evaluation.task import Task

TOLERANCE = 0.05  # of the distance between the 5 % and the 95 % quantile
PARTS = 10  # a number is one of so many parts of equal size where values are compared exactly


class Inference(Metric):
    """Risk that a secret of a training subject is inferred from the synthetic rows, beyond what is known of anyone.

    A fresh sample scores about 0, a copy of train near 1; less is better.
    """

    name = "inference"
    title = "Attribute inference"
    family = "privacy"
    theme = "Attacks"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows"})
    what = (
        "The nearest synthetic row in the columns that an attacker knows gives the guess at a sensitive one; the risk "
        "is the success beyond people never seen."
    )
    blind = (
        "What can be inferred of anyone from the population's statistics does not count; other guessers may be better."
    )
    reference = "Giomi et al. 2023, doi:10.56553/popets-2023-0055"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        every: list[tuple[str, str, Trial]] = []
        told = "named"
        for view in comparison.joint:
            secrets = tuple(one for one in secret_columns(view, self.task) if differing(view, one))
            if not secrets and not any(secret_columns(one, self.task) for one in comparison.joint):
                secrets, told = tuple(one for one in view.features if one.own and differing(view, one)), "every column"
            every += [(view.name, *one) for one in _trials(comparison, view, self.task, secrets[:MAX_SECRETS], seed)]
        if not every:
            raise Unmeasured("Not measured: a sensitive column and one that an attacker knows are needed.")
        one = worst([trial for _, _, trial in every])
        table, secret = next((name, column) for name, column, trial in every if trial is one)
        main, control, guess = one.rates
        return Score(
            self.name,
            one.risk,
            one.interval(len(every)),
            0.0,
            rows_made(comparison, table),
            {"attack": one.name, "secret": secret, "secrets": told, "attacks": one.n[0], "table": table},
            meaning=f"An attacker who {one.name} infers '{secret}' rightly for {100 * main:.1f} % of the training "
            f"subjects, for {100 * control:.1f} % of people never seen, by guessing for {100 * guess:.1f} %. Beyond "
            f"chance: {100 * one.risk:.1f} % at risk.",
            details={"attacks": [{**t.to_dict(), "table": name, "secret": column} for name, column, t in every[:60]]},
            baseline=one.guessed,
        )


def _trials(
    comparison: Comparison, view: View, task: Task, secrets: tuple[Feature, ...], seed: int
) -> list[tuple[str, Trial]]:
    if not secrets:
        return []
    cut = attacked(comparison, view, seed)
    useful = tuple(one for one in view.features if differing(view, one))
    quasi = tuple(one for one in quasi_columns(view, task) if one in useful)
    out = []
    for secret in secrets:
        plans = [("knows all other columns", tuple(one for one in useful if one != secret))]
        some = tuple(one for one in quasi if one != secret)
        if some and some != plans[0][1]:
            plans.append(("knows the quasi-identifiers", some))
        for name, known in plans:
            if not known:
                continue
            space = embed(cut, known)
            made = cut.samples["synthetic"]
            hits = []
            for key in ("train", "holdout"):
                which = search(space[key], space["synthetic"], 1)[1][:, 0]
                hits.append(int(right(view, secret, cut.samples[key], made.take(which)).sum()))
            rng = view.rng(seed, "inference", "guess", secret.name, name)
            n = cut.samples["train"].n
            guess = made.take(rng.integers(made.n, size=n))
            guessed = int(right(view, secret, cut.samples["train"], guess).sum())
            trial = Trial(name, (n, cut.samples["holdout"].n, n), (hits[0], hits[1], guessed))
            out.append((secret.name, trial))
    return out


def right(view: View, secret: Feature, truth: Sample, guess: Sample) -> NDArray[np.bool_]:
    """Say which guesses are right: the same level, both missing, or a number within the tolerance."""
    if not secret.is_number:
        return np.asarray(truth.codes[:, secret.slot] == guess.codes[:, secret.slot])
    real = np.concatenate([view.samples[key].raw[:, secret.slot] for key in ("train", "holdout")])
    present = real[~np.isnan(real)]
    spread = float(np.subtract(*np.quantile(present, [0.95, 0.05]))) if len(present) else 0.0
    a, b = truth.raw[:, secret.slot], guess.raw[:, secret.slot]
    both = np.isnan(a) & np.isnan(b)
    with np.errstate(invalid="ignore"):
        return np.asarray(both | (np.abs(a - b) <= TOLERANCE * spread))


# ---------------------------------------------------------------------- correct attribution
@dataclass(frozen=True)
class Attribution:
    """How often what one class of synthetic rows states without exception is true."""

    table: str
    secret: str
    train: tuple[int, int]
    holdout: tuple[int, int]
    majority: float

    @property
    def excess(self) -> float:
        """Train's share less the holdout's."""
        return self.train[0] / self.train[1] - self.holdout[0] / max(1, self.holdout[1])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "table": self.table,
            "secret": self.secret,
            "train": self.train[0] / self.train[1],
            "holdout": self.holdout[0] / max(1, self.holdout[1]),
            "majority": self.majority,
            "n_train": self.train[1],
            "n_holdout": self.holdout[1],
        }


class Tcap(Metric):
    """Targeted correct attribution probability: how often a value that a class of synthetic rows states is true.

    A copy of train scores 1 where the quasi-identifiers single people out; a fresh sample scores about its reference,
    the same for people never seen; the baseline is the commonest value.
    """

    name = "tcap"
    title = "Correct attribution"
    family = "privacy"
    theme = "Attacks"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows"})
    tells = frozenset()
    what = (
        "Where all synthetic rows with a person's quasi-identifiers state one value of a sensitive column, the value "
        "is attributed to the person: the share that is true, and the same for people never seen."
    )
    blind = "It says nothing about people whose quasi-identifiers no synthetic row has."
    reference = "Taub et al. 2018, doi:10.1007/978-3-319-99771-1_9"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = [
            one
            for view in comparison.joint
            for secret in secret_columns(view, self.task)[:MAX_SECRETS]
            if (one := _attribution(view, self.task, secret, seed)) is not None
        ]
        if not found:
            raise Unmeasured(
                "Not measured: no quasi-identifier and sensitive column are named, or fewer than ten people share the "
                "quasi-identifiers of synthetic rows that agree."
            )
        one = max(found, key=lambda each: each.excess)
        value, reference = one.train[0] / one.train[1], one.holdout[0] / max(1, one.holdout[1])
        ends, other = wilson(*one.train), wilson(one.holdout[0], max(1, one.holdout[1]))
        down, up = np.hypot(value - ends[0], other[1] - reference), np.hypot(ends[1] - value, reference - other[0])
        return Score(
            self.name,
            value,
            ends,
            reference,
            next(view for view in comparison.joint if view.name == one.table).samples["synthetic"].n,
            {"secret": one.secret, "table": one.table, "attributions": one.train[1], "parts_of_numbers": PARTS},
            meaning=f"Where the synthetic rows agree on '{one.secret}' for somebody's quasi-identifiers, it is true of "
            f"{100 * value:.1f} % of the training subjects and of {100 * reference:.1f} % of people never seen; the "
            f"commonest value is true of {100 * one.majority:.1f} %.",
            details={
                "secrets": [each.to_dict() for each in found],
                "excess": value - reference,
                "excess_interval": [value - reference - float(down), value - reference + float(up)],
            },
            baseline=one.majority,
        )


def parts(sample: Sample, feature: Feature) -> NDArray[np.int64]:
    """Return a column as codes: levels, or tenths of a number, -1 where missing."""
    if not feature.is_number:
        return sample.codes[:, feature.slot].astype(np.int64)
    rank = sample.rank[:, feature.slot]
    return np.where(rank == MISSING_RANK, -1, np.clip((rank * PARTS).astype(np.int64), 0, PARTS - 1))


def _attribution(view: View, task: Task, secret: Feature, seed: int) -> Attribution | None:
    known = tuple(one for one in quasi_columns(view, task) if one != secret)
    if not known:
        return None
    cells = {
        key: (np.column_stack([parts(one, f) for f in known]), parts(one, secret)) for key, one in view.samples.items()
    }
    whole = np.concatenate([cells[key][0] for key in ("synthetic", "train", "holdout")])
    number = np.unique(whole, axis=0, return_inverse=True)[1].reshape(-1)
    n_made, n_train = view.samples["synthetic"].n, view.samples["train"].n
    made, stated = number[:n_made], cells["synthetic"][1]
    n_classes = int(number.max()) + 1
    least, most = np.full(n_classes, np.iinfo(np.int64).max), np.full(n_classes, -2)
    np.minimum.at(least, made, stated)
    np.maximum.at(most, made, stated)
    says = np.where(least == most, least, -9)  # -9: no synthetic row, or they differ
    hits = {}
    for key, where in (("train", number[n_made : n_made + n_train]), ("holdout", number[n_made + n_train :])):
        rows = targets(view, key, view.samples[key].n, view.rng(seed, "tcap", key))
        speaks = says[where[rows]] != -9
        true = cells[key][1][rows] == says[where[rows]]
        hits[key] = (int((true & speaks).sum()), int(speaks.sum()))
    if min(hits["train"][1], hits["holdout"][1]) < LEAST_ATTACKS:
        return None
    shift = cells["synthetic"][1] + 1
    commonest = int(np.bincount(shift).argmax()) - 1
    majority = float((cells["train"][1] == commonest).mean())
    return Attribution(view.name, secret.name, hits["train"], hits["holdout"], majority)
