"""Do columns agree with the real rows three by three?

The mean overlap of three-way margins, as in the k-marginal score with which NIST judged differentially private
synthetic data; numbers in fifths of real ranks, the six most frequent levels. NIST draws its triples at random and
counts to 1,000; here all triples are taken where there are at most 2,000, and the scale ends at 1.

References: Task, Bhagat & Howarth, SDNist v2: Deidentified Data Report Tool, NIST 2023, doi:10.18434/mds2-2943;
McKenna, Miklau & Sheldon, Winning the NIST contest, J. Privacy and Confidentiality 11(3), 2021, doi:10.29012/jpc.778.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.contingencies import binned, shuffled
from ehrsatz.evaluation.fidelity.strengths import MAX_ROWS, leave_out, rows
from ehrsatz.evaluation.intervals import jackknife_interval
from ehrsatz.evaluation.space import Comparison, View

TRIPLES = 2_000
BINS = 5
LEVELS = 6
LISTED = 10


@dataclass(frozen=True)
class _Found:
    names: list[tuple[str, str, str]]
    value: NDArray[np.float64]
    reference: float
    alone: float
    without_real: NDArray[np.float64]
    without_synthetic: NDArray[np.float64]


class ThreeWay(Metric):
    """Mean overlap of three-way margins. Identical data 1, nothing in common 0, more is better.

    One minus the total variation distance, averaged over triples of columns. The baseline is that of training rows
    whose columns are shuffled one by one, as many rows as the reference has.
    """

    name = "three_way"
    title = "Three columns together"
    family = "fidelity"
    theme = "Three and more columns"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = (
        "How much the tables of three columns overlap with the real ones, averaged over triples (NIST's k-marginals)."
    )
    blind = "Differences within a fifth of a number; relations of four and more columns."
    reference = "Task, Bhagat & Howarth 2023, doi:10.18434/mds2-2943"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        views = [view for view in comparison.joint if len(view.features) > 2]
        if not views:
            raise Unmeasured("Not measured: no table has three columns to compare.")
        found = {view.name: _overlaps(comparison, view, seed) for view in views}
        worst = min(views, key=lambda view: float(found[view.name].value.mean()))
        one = found[worst.name]
        value = float(one.value.mean())
        n = min(MAX_ROWS, worst.samples["synthetic"].n)
        params: dict[str, Any] = {
            "triples": len(one.value),
            "of_triples": comb(len(worst.features), 3),
            "bins": BINS,
            "most_levels": LEVELS,
            "rows": n,
            "table": worst.name,
        }
        order = np.argsort(one.value, kind="stable")[:LISTED].tolist()
        return Score(
            self.name,
            value,
            jackknife_interval(value, one.without_real, one.without_synthetic),
            one.reference,
            n,
            params,
            meaning=f"Taken three by three, the columns agree with real ones to {100 * value:.1f} % on average over "
            f"{len(one.value):,} triples.",
            details={"worst": [{"columns": list(one.names[i]), "similarity": float(one.value[i])} for i in order]},
            baseline=one.alone,
        )


def triples(n_columns: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return all triples of columns, or 2,000 distinct ones drawn evenly, in order."""
    if comb(n_columns, 3) <= TRIPLES:
        return list(combinations(range(n_columns), 3))
    drawn: set[tuple[int, int, int]] = set()
    while len(drawn) < TRIPLES:
        block = np.sort(rng.integers(n_columns, size=(TRIPLES, 3)), axis=1)
        distinct = (np.diff(block, axis=1) > 0).all(axis=1)
        for one in block[distinct].tolist():
            if len(drawn) < TRIPLES:
                drawn.add((one[0], one[1], one[2]))
    return sorted(drawn)


def _overlaps(comparison: Comparison, view: View, seed: int) -> _Found:
    drawn = rows(comparison, view, seed)
    chosen = triples(len(view.features), view.rng(seed, "three_way"))
    used = sorted({i for one in chosen for i in one})
    part = {key: one.astype(np.int32) for key, (_, one) in drawn.items()}
    groups = {key: int(one.max(initial=0)) + 1 for key, one in part.items()}
    codes = {
        key: {i: binned(view, view.features[i], sample, BINS, LEVELS) for i in used}
        for key, (sample, _) in drawn.items()
    }
    size = {i: max(int(one[i].max(initial=0)) for one in codes.values()) + 1 for i in used}
    apart = dict(zip(used, shuffled([codes["train"][i] for i in used], view.rng(seed, "three_way", "shuffle"))))
    n_apart = max(1, len(part["train"]))
    first: dict[str, NDArray[np.int32]] = {}
    last: tuple[int, int] | None = None
    value, reference, alone = [], [], []
    real, synthetic = np.zeros(groups["holdout"]), np.zeros(groups["synthetic"])
    for i, j, k in chosen:
        cells = size[i] * size[j] * size[k]
        if last != (i, j):  # triples are in order: the first two columns are combined once
            last = i, j
            first = {key: (part[key] * size[i] + one[i]) * size[j] + one[j] for key, one in codes.items()}
            two = apart[i] * size[j] + apart[j]
        share = {}
        for key, one in codes.items():
            flat = np.bincount(first[key] * size[k] + one[k], minlength=groups[key] * cells)
            table = leave_out(flat.reshape(groups[key], cells).astype(np.float64))
            share[key] = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        whole = {key: one[-1] for key, one in share.items()}
        value.append(1 - 0.5 * np.abs(whole["holdout"] - whole["synthetic"]).sum())
        reference.append(1 - 0.5 * np.abs(whole["train"] - whole["holdout"]).sum())
        mixed = np.bincount(two * size[k] + apart[k], minlength=cells) / n_apart
        alone.append(1 - 0.5 * np.abs(whole["holdout"] - mixed).sum())
        real += 1 - 0.5 * np.abs(share["holdout"][:-1] - whole["synthetic"]).sum(axis=1)
        synthetic += 1 - 0.5 * np.abs(share["synthetic"][:-1] - whole["holdout"]).sum(axis=1)
    names = [(view.features[i].name, view.features[j].name, view.features[k].name) for i, j, k in chosen]
    n = len(chosen)
    return _Found(
        names,
        np.clip(np.array(value), 0, 1),
        float(np.clip(np.mean(reference), 0, 1)),
        float(np.clip(np.mean(alone), 0, 1)),
        real / n,
        synthetic / n,
    )
