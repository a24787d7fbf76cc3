"""The automatic choice: reproducible, explained, within its limits."""

from __future__ import annotations

import polars as pl

from ehrsatz.generators import auto
from ehrsatz.generators.auto import Auto
from ehrsatz.generators.heldout import Yardstick
from ehrsatz.privacy.identifiers import IdentifierPlan


def test_choice_is_explained_and_reproducible(tidy):
    model = Auto().fit(tidy, seed=1)
    report = model.report_
    assert report == Auto().fit(tidy, seed=1).report_ and report["why"]
    names = [row["name"] for row in report["candidates"]]
    assert model.chosen_.name in names and "independent" in names
    assert all(0 <= row["near_share"] <= 1 and 0 <= row["membership_auc"] <= 1 for row in report["candidates"])
    picked = next(
        row
        for row in report["candidates"]
        if row["name"] == model.chosen_.name and row["settings"] == model.chosen_.settings
    )
    assert picked["admitted"] and picked["distance"] == min(
        row["distance"] for row in report["candidates"] if row["admitted"]
    )


def test_budget_cuts_the_list_by_cost_and_not_by_the_clock(tidy):
    model = Auto(budget=0.2).fit(tidy, seed=1)
    assert model.chosen_.name == "independent"
    assert {one["name"] for one in model.report_["over_budget"]} >= {"bayesnet", "copula"}


def test_few_subjects_are_not_compared(tidy):
    few = tidy.take_subjects(tidy.table["patient_id"][:12])
    assert "cannot be compared" in Auto().fit(few, seed=1).report_["why"]


def test_yardstick_tells_copies_from_fresh_rows(tidy):
    table = tidy.schema.parent
    keep = [column for column in table.columns if column.role != "subject"]
    table = table.replace_columns(keep)
    frame = tidy.table.select(table.names)
    train, holdout = frame[:40], frame[40:]
    stick = Yardstick(table, train, holdout, min_subjects=5, seed=1)
    near, membership, n = stick.nearness(train)
    assert near > 0.9 and membership > 0.9 and n == 40
    near, membership, _ = stick.nearness(holdout)
    assert near < 0.1 and membership < 0.1
    assert stick.distance(holdout) == 0 and 0 < stick.distance(train) == stick.distance(None)
    shuffled = frame.select(pl.all().shuffle(seed=3))
    assert stick.distance(shuffled[:40]) > 0


def test_halves_keep_links(tidy_linked):
    core = IdentifierPlan.learn(tidy_linked).detach(tidy_linked)
    for half in auto._halves(core, 1):
        keys = half.tables["patients"]["patient_id"]
        assert keys.to_list() == list(range(len(keys)))
        assert half.tables["visits"]["patient_id"].is_in(keys.implode()).all()
        assert half.tables["visits"]["visit_id"].to_list() == list(range(half.tables["visits"].height))
