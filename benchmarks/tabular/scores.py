"""All scores of one synthetic table. Written apart from the package's own evaluation, so that neither can flatter.

| score | identical data | unrelated data | better |
|---|---|---|---|
| adversarial (AUC, real holdout against synthetic) | 0.5 | 1 | lower |
| coverage | 1 (two real samples about 0.97) | 0 | higher |
| quality (SDMetrics) | 1 | about 0.5 | higher |
| tstr against trtr (AUC on the holdout) | equal | 0.5 | higher |
| dcr_share | 1 for a copy of train; 0.5 for other real rows | 0.5 | 0.5 |
| mia_max (AUC, the largest of three attacks) | 1 for a copy of train | 0.5 | 0.5 |
| rules (share of rows that keep a rule, mean over rules) | 1 | - | higher |
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.tabular.distances import Space, closest_records, coverage, membership
from benchmarks.tabular.frames import Spec
from benchmarks.tabular.learners import boosted, code_frames, logistic_auc
from benchmarks.tabular.sets import Set, kept

N_ADVERSARIAL, N_QUALITY = 6_000, 5_000
WIDE, NARROWED = 32, 24  # SDMetrics scores every pair of columns: of wider tables a fixed random part is scored
FOLDS = 5


def score(
    one: Set, spec: Spec, train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, seed: int = 0
) -> dict[str, Any]:
    """Return every score of a synthetic table, by name.

    Parameters
    ----------
    one, spec
        The data set and the kinds of its columns.
    train, holdout, synthetic
        Tables as `frames.read_frame` gives them.
    seed
        Decides which rows are drawn where not all are used.
    """
    space = Space([train, holdout], spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rules = kept(one.rules, synthetic)
        return {
            **adversarial(holdout, synthetic, spec),
            **utility(holdout, synthetic, spec, "tstr"),
            **closest_records(space, train, holdout, synthetic, seed),
            **membership(space, train, holdout, synthetic, spec, seed),
            **coverage(space, holdout, synthetic, seed),
            "quality": quality(holdout, synthetic, spec),
            "rules": float(np.mean(list(rules.values()))),
            "rules_broken": {name: round(share, 4) for name, share in rules.items() if share < 1},
            "rules_beyond": min(kept(one.beyond, synthetic).values(), default=None),
            **domain(train, synthetic, spec),
        }


def adversarial(holdout: pd.DataFrame, synthetic: pd.DataFrame, spec: Spec) -> dict[str, Any]:
    """AUC of LightGBM, 5-fold, telling holdout from synthetic rows (Lopez-Paz and Oquab 2017, arXiv:1610.06545).

    "adversarial_by" names the three columns that it went by most.
    """
    n = min(len(holdout), len(synthetic), N_ADVERSARIAL)
    rows = pd.concat([holdout.sample(n, random_state=1), synthetic.sample(n, random_state=1)], ignore_index=True)
    y = np.r_[np.ones(n), np.zeros(n)]
    (x,), categories = code_frames([rows], spec, list(spec["columns"]))
    guess, gain = np.zeros(2 * n), np.zeros(len(spec["columns"]))
    for fit, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y):
        model = boosted(x.iloc[fit], y[fit], categories, 120)
        guess[test] = model.predict_proba(x.iloc[test])[:, 1]
        gain += model.booster_.feature_importance("gain")
    most = np.argsort(-gain, kind="stable")[:3]
    return {
        "adversarial": float(roc_auc_score(y, guess)),
        "adversarial_by": [list(spec["columns"])[i] for i in most],
    }


def utility(holdout: pd.DataFrame, learned: pd.DataFrame, spec: Spec, name: str) -> dict[str, float]:
    """AUC on the holdout of two learners that learned from a table: real train ("trtr") or synthetic ("tstr").

    A table whose target has fewer than 5 rows of a class teaches nothing: 0.5.
    """
    columns = [c for c in spec["columns"] if c != spec["target"] and c not in spec["leak"]]
    y, truth = _labels(learned, spec), _labels(holdout, spec)
    if min(y.sum(), len(y) - y.sum()) < 5:
        return {name: 0.5, f"{name}_logistic": 0.5}
    (x, z), categories = code_frames([learned, holdout], spec, columns)
    model = boosted(x, y, categories, 150)
    return {
        name: float(roc_auc_score(truth, model.predict_proba(z)[:, 1])),
        f"{name}_logistic": logistic_auc(learned, holdout, (y, truth), spec, columns),
    }


def quality(holdout: pd.DataFrame, synthetic: pd.DataFrame, spec: Spec) -> float:
    """Score of SDMetrics' quality report; of tables wider than 32 columns, on a fixed part of 24 with the target."""
    from sdmetrics.reports.single_table import QualityReport

    logging.getLogger("sdmetrics").setLevel(logging.ERROR)
    columns = list(spec["columns"])
    if len(columns) > WIDE:
        others = [c for c in columns if c != spec["target"]]
        some = np.random.default_rng(7).permutation(others)[: NARROWED - 1]
        columns = [*sorted(some, key=columns.index), spec["target"]]
    kinds = {c: {"sdtype": "categorical" if spec["columns"][c] == "cat" else "numerical"} for c in columns}
    real, drawn = (
        frame[columns].sample(min(len(frame), N_QUALITY), random_state=0).reset_index(drop=True)
        for frame in (holdout, synthetic)
    )
    report = QualityReport()
    report.generate(real, drawn, {"columns": kinds}, verbose=False)
    return float(report.get_score())


def domain(train: pd.DataFrame, synthetic: pd.DataFrame, spec: Spec) -> dict[str, float]:
    """Shares of cells outside what train shows: unseen levels, numbers out of range, whole columns with fractions."""
    unseen = levels = outside = numbers = broken = whole = 0
    for name, kind in spec["columns"].items():
        cells = synthetic[name].dropna()
        if kind == "cat":
            unseen, levels = unseen + int((~cells.isin(set(train[name].dropna()))).sum()), levels + len(cells)
            continue
        low, high = train[name].min(), train[name].max()
        outside, numbers = outside + int(((cells < low) | (cells > high)).sum()), numbers + len(cells)
        if kind == "int":
            broken, whole = broken + int((cells != cells.round()).sum()), whole + len(cells)
    return {
        "unseen_levels": unseen / max(levels, 1),
        "out_of_range": outside / max(numbers, 1),
        "broken_integers": broken / max(whole, 1),
    }


def _labels(frame: pd.DataFrame, spec: Spec) -> NDArray[np.int64]:
    return frame[spec["target"]].isin(spec["positive"]).to_numpy(np.int64)
