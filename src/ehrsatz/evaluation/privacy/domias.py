"""Membership inference by the ratio of two kernel densities: DOMIAS.

The attacker estimates the density of the synthetic rows and of a reference sample of the population (half of the
holdout, never attacked) and takes a person for a training subject where the ratio is large. Densities are Gaussian
kernel estimates with Scott's bandwidth on the leading principal components of what the attacker holds.

What differs from van Breugel et al. (AISTATS 2023, arXiv:2302.12580): the kernel variant only, not the flow; levels of
categories are axes; at most eight components, for kernels say nothing in more.
"""

from __future__ import annotations

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.privacy.membership import DOMIAS, attacks_of
from ehrsatz.evaluation.space import Comparison


class Domias(Metric):
    """AUC of the DOMIAS attack. No leak 0.5, an overfitted generator towards 1, nearer to 0.5 is better."""

    name = "domias"
    title = "Membership inference by density ratio (DOMIAS)"
    family = "privacy"
    theme = "Membership"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    what = "Kernel density of the synthetic rows over that of a reference sample, at training and at held-out subjects."
    blind = "Kernels blur what is finer than their width: exact copies of few people, and values kept in few columns."
    reference = "van Breugel et al. 2023, arXiv:2302.12580"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {}
        for view in comparison.joint:
            for one in attacks_of(comparison, view, seed):
                if one.name == DOMIAS:
                    found[view.name] = one
        if not found:
            raise Unmeasured("Not measured: the rows vary in too few directions for a density.")
        table = max(found, key=lambda name: found[name].auc)
        one = found[table]
        view = next(each for each in comparison.joint if each.name == table)
        return Score(
            self.name,
            one.auc,
            one.interval,
            0.5,
            view.samples["synthetic"].n,
            {"table": table},
            meaning=f"Of a training subject and an outsider, the density ratio picks the training subject "
            f"{100 * one.auc:.0f} times in 100 (guessing: 50), and finds {100 * one.tpr:.1f} % of them at 1 % false "
            "alarms.",
            details={"tpr_at_1pct": one.tpr, "curve": one.curve, "tables": {k: v.auc for k, v in found.items()}},
            baseline=0.5,
        )
