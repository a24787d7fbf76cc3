"""The shipped policies let an honest release of the bundled table pass where they should, and deny copies of people."""

from __future__ import annotations

import pytest

import ehrsatz
from ehrsatz import pipeline
from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.task import Task
from ehrsatz.gate import RULES, SHIPPED, SIMULATED, judge, named
from ehrsatz.provenance import Provenance
from ehrsatz.reading import bundled


@pytest.mark.slow
def test_honest_rows_pass_inside_and_are_held_outside_and_copies_are_denied_by_all() -> None:
    whole = ehrsatz.read(str(bundled("heart_disease_uci")), subject="id", target="num")
    train, holdout = whole.split(0.5, seed=0)
    shipped = [name for name in SHIPPED if name not in SIMULATED]
    wanted = sorted({one.metric for name in shipped for one in named(name).thresholds} - {RULES, "expert_review"})
    task = Task("num", groups=("sex",), formulas=("num ~ age + C(sex) + trestbps",))
    made = {
        "honest": ehrsatz.generator("trees", caution=3).fit(train, seed=0).sample(train.n_subjects, seed=0),
        "copy": Dataset(train.schema, train.tables, Provenance("generated")),
    }
    found = {
        kind: pipeline.evaluate(train, holdout, rows, task=task, metrics=wanted, seed=0) for kind, rows in made.items()
    }
    for name in ("default", "internal-test", "ml-training", "statistics"):
        verdict = judge(found["honest"], named(name))
        assert verdict.decision == "pass", f"{name}: {verdict.reasons}"
    for name in ("partner", "public"):
        verdict = judge(found["honest"], named(name))
        assert verdict.decision == "hold", f"{name}: {verdict.reasons}"
        assert any(check.state == "inconclusive" for check in verdict.checks)
    for name in shipped:
        assert judge(found["copy"], named(name)).decision == "deny", name
