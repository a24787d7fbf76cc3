"""Membership inference in three columns at a time: does any triple of values give a training subject away?

A generator may keep a few values of a patient and redraw the rest; distances over all columns do not see it. The
attacker looks in up to 120 triples of columns how near the nearest synthetic row is, picks the triple that works best
on one half of the attacked people and attacks the other half with it. So the AUC is free of the luck of the search.

References: Houssiau et al., TAPAS, NeurIPS SyntheticData4ML 2022, arXiv:2211.06550 (attacks on subsets of attributes);
Yao et al., The DCR Delusion, 2025, arXiv:2505.01524 (what whole records miss).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import auc, auc_interval, clipped
from ehrsatz.evaluation.privacy.membership import FPR, found_at
from ehrsatz.evaluation.privacy.structures import Table, choose_subsets, coordinates
from ehrsatz.evaluation.space import Comparison, View
from ehrsatz.evaluation.task import Task

MAX_TRIPLES = 120
MAX_ATTACKED = 2500
MAX_SYNTHETIC = 100_000
MAX_LOOKED_UP = 3_000_000  # synthetic rows times triples: fewer triples where the table is large
LEAST = 20  # people of each kind in each half


class MembershipSubset(Metric):
    """AUC of the strongest membership attack in three columns, found on one half and confirmed on the other.

    No leak 0.5, three values kept of every training subject towards 1; nearer to 0.5 is better.
    """

    name = "membership_subset"
    title = "Membership inference in three columns"
    family = "privacy"
    theme = "Membership"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    what = "The nearest synthetic row in three columns; the best triple of one half of the people, tried on the other."
    blind = "It tries at most 120 triples, columns of many values first; an AUC averages over people."
    reference = "Yao et al. 2025, arXiv:2505.01524"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {}
        for view in comparison.joint:
            one = _search(view, self.task, seed)
            if one is not None:
                found[view.name] = one
        if not found:
            raise Unmeasured("Not measured: a varying column and 40 people in each half are needed.")
        table = max(found, key=lambda name: found[name][0])
        value, interval, triples, tpr, n_triples, n = found[table]
        names = " and ".join(sorted({", ".join(one) for one in triples}))
        return Score(
            self.name,
            value,
            interval,
            0.5,
            min(MAX_SYNTHETIC, next(v for v in comparison.joint if v.name == table).samples["synthetic"].n),
            {"attacked": n, "triples": n_triples, "table": table},
            meaning=f"Knowing three values alone ({names}), an attacker picks the training subject of two people "
            f"{100 * value:.0f} times in 100 (guessing: 50) and finds {100 * tpr:.1f} % of them at 1 % false alarms.",
            details={
                "columns": [list(one) for one in triples],
                "tpr_at_1pct": tpr,
                "tables": {name: one[0] for name, one in found.items()},
            },
            baseline=0.5,
        )


def _search(
    view: View, task: Task, seed: int
) -> tuple[float, tuple[float, float], list[tuple[str, ...]], float, int, int] | None:
    """Search and confirm; None where there are too few people or columns."""
    most = min(MAX_TRIPLES, max(30, MAX_LOOKED_UP // max(1, min(MAX_SYNTHETIC, view.samples["synthetic"].n))))
    triples = choose_subsets(view, task, view.rng(seed, "subset", "triples"), most)
    used = tuple(dict.fromkeys(one for triple in triples for one in triple))
    rows, fold = {}, {}
    for key in ("train", "holdout"):
        group = view.samples[key].group
        rows[key] = view.rng(seed, "subset", key).permutation(len(group))[:MAX_ATTACKED]
        subjects, number = np.unique(group, return_inverse=True)
        side = view.rng(seed, "subset", key, "halves").permutation(len(subjects)) % 2
        fold[key] = side[number][rows[key]]
        if min(np.bincount(fold[key], minlength=2)) < LEAST:
            return None
    if not used:
        return None
    made = coordinates(view, used, "synthetic")
    made = made[view.rng(seed, "subset", "synthetic").permutation(len(made))[:MAX_SYNTHETIC]]
    table = Table.of(made)
    people = np.concatenate([coordinates(view, used, key)[rows[key]] for key in ("train", "holdout")])
    member = np.repeat([True, False], [len(rows["train"]), len(rows["holdout"])])
    half = np.concatenate([fold["train"], fold["holdout"]])
    shift = int(view.samples["train"].group.max()) + 1
    group = np.concatenate(
        [view.samples["train"].group[rows["train"]], view.samples["holdout"].group[rows["holdout"]] + shift]
    )
    slot = {one: i for i, one in enumerate(used)}
    scores: list[NDArray[np.float64]] = []
    reached = np.empty((len(triples), 2))
    for i, triple in enumerate(triples):
        columns = [slot[one] for one in triple]
        first, _ = table.cells(columns)
        tree = cKDTree(table.places[first][:, columns], balanced_tree=False, compact_nodes=False)
        scores.append(-tree.query(people[:, columns], 1)[0].astype(np.float32))
        for k in (0, 1):
            reached[i, k] = auc(member[half == k], scores[-1][half == k])
    values, spread, chosen, found = [], [], [], []
    for k in (0, 1):
        best = int(reached[:, 1 - k].argmax())
        here = half == k
        values.append(reached[best, k])
        low, high = auc_interval(
            member[here], scores[best][here], group[here], view.rng(seed, "subset", "bootstrap", k)
        )
        spread.append(max(high - values[-1], values[-1] - low))
        chosen.append(tuple(one.name for one in triples[best]))
        found.append(found_at(member[here], scores[best][here], FPR))
    value = float(np.mean(values))
    reach = float(np.hypot(*spread)) / 2
    return value, clipped(value, reach, 0.0, 1.0), chosen, float(np.mean(found)), len(triples), len(member)
