"""Which trials are on the front, which one is recommended under the privacy limit, and which are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ehrsatz.generators.heldout import slack_of_auc
from ehrsatz.tuning.study import Trial


@dataclass(frozen=True)
class Choice:
    """What came of a search.

    Parameters
    ----------
    front
        Numbers of the trials that no other trial beats in one objective without losing in another.
    recommended
        Number of the trial to use; None where no trial keeps the limit on privacy.
    judged
        Roles of the trials that are to be judged on unseen rows: number -> why.
    limit
        Largest membership AUC that is admitted, chance included.
    why
        In words.
    """

    front: tuple[int, ...]
    recommended: int | None
    judged: dict[int, tuple[str, ...]]
    limit: float
    why: str


def choose(trials: Sequence[Trial], *, most_membership: float, n_attacked: int) -> Choice:
    """Choose among the trials by their figures on the rows for choosing, and by nothing else.

    Recommended is, of those whose membership AUC is within the limit and what chance does to it, the one that loses
    least: the sum of what fidelity and utility fall short by; ties go to more privacy, then to the earlier trial.

    Parameters
    ----------
    trials
        All of them; failed ones take no part.
    most_membership
        The limit, 0.5 being no leak.
    n_attacked
        Subjects on each side of the attacks, which decides what chance does.
    """
    good = [one for one in trials if one.figures is not None]
    limit = most_membership + slack_of_auc(n_attacked)
    front = tuple(one.number for one in good if not any(_beats(other, one) for other in good))
    able = [one for one in good if one.figures is not None and one.figures.privacy <= limit]
    best = min(able, key=_cost) if able else None
    roles: dict[int, list[str]] = {}
    if best is not None:
        roles[best.number] = ["recommended"]
    for name in good[0].losses if good else ():
        one = min(good, key=lambda trial: (trial.losses[name], *_cost(trial)))
        roles.setdefault(one.number, []).append(f"best {name}")
    if best is None:
        why = f"no setting keeps the membership AUC at or below {limit:.3f}, so none is recommended"
    else:
        why = (
            f"of {len(able)} settings with a membership AUC of at most {limit:.3f}, "
            f"the one that loses least of {' and '.join(name for name in best.losses if name != 'privacy')}"
        )
    return Choice(front, None if best is None else best.number, {k: tuple(v) for k, v in roles.items()}, limit, why)


def _cost(trial: Trial) -> tuple[float, float, int]:
    short = sum(loss for name, loss in trial.losses.items() if name != "privacy")
    return round(short, 4), trial.losses["privacy"], trial.number


def _beats(a: Trial, b: Trial) -> bool:
    """Whether a trial is at least as good in all and better in one; of equal ones the first."""
    x, y = tuple(a.losses.values()), tuple(b.losses.values())
    return all(p <= q for p, q in zip(x, y)) and (x != y or a.number < b.number)
