"""The automatic choice: reproducible, explained, within its limits."""

from __future__ import annotations

import json

import jsonschema
import polars as pl
import pytest

from conftest import make_tidy
from ehrsatz import registry
from ehrsatz.errors import DataError, MissingExtraError
from ehrsatz.generators import auto, candidates
from ehrsatz.generators.auto import Auto
from ehrsatz.generators.base import KINDS
from ehrsatz.generators.bayesnet import BayesNet
from ehrsatz.generators.build import generator
from ehrsatz.generators.heldout import Yardstick
from ehrsatz.pipeline import fabricate
from ehrsatz.privacy.identifiers import IdentifierPlan
from ehrsatz.report.twin import json_schema
from ehrsatz.scenario import Scenario


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


# ---------------------------------------------------------------------- candidates
def test_candidates_come_from_the_registry_and_honour_every_condition(tidy):
    names = [one.name for one in candidates.candidates(tidy, networks=False)]
    known = [name for name in candidates.CANDIDATES if name in registry.BUILT_IN["generators"]]
    assert set(names) == set(known) and not set(names) & set(candidates.NETWORKS)
    assert all(able(name) for name in names)
    wider = {one.name for one in candidates.candidates(tidy, networks=True)}
    more = {name for name in candidates.NETWORKS if name in registry.BUILT_IN["generators"]}
    assert {name for name in more if able(name)} == wider - set(names)


def test_settings_are_plain_data_that_the_methods_take():
    assert json.loads(json.dumps(candidates.SETTINGS)) == {k: list(v) for k, v in candidates.SETTINGS.items()}
    for name, choices in candidates.SETTINGS.items():
        for settings in choices:
            generator(name, **settings)


def test_the_default_does_not_depend_on_torch(tidy, monkeypatch):
    usual = [one.told() for one in candidates.candidates(tidy, networks=False)]
    monkeypatch.setattr("ehrsatz.extras.is_available", lambda module: False)
    assert [one.told() for one in candidates.candidates(tidy, networks=False)] == usual
    generator("auto")
    with pytest.raises(MissingExtraError, match=r"ehrsatz\[torch\]"):
        generator("auto", networks=True)


def test_a_candidate_that_breaks_is_told_and_the_others_go_on(tidy, monkeypatch):
    only(monkeypatch, "bayesnet", "independent")
    monkeypatch.setattr(BayesNet, "_fit", breaks(FloatingPointError("SECRET")))
    model = Auto().fit(tidy, seed=1)
    rows = {row["name"]: row for row in model.report_["candidates"]}
    assert model.chosen_.name == "independent" and rows["bayesnet"]["why"] == "failed: FloatingPointError"
    assert rows["bayesnet"]["distance"] is None and "SECRET" not in str(model.report_)
    only(monkeypatch, "bayesnet", "copula")
    monkeypatch.setattr("ehrsatz.generators.copula.Copula._fit", breaks(MemoryError()))
    with pytest.raises(DataError, match="All 2 failed"):
        Auto().fit(tidy, seed=1)


def test_limits_refuse_and_say_which(tidy, monkeypatch):
    only(monkeypatch, "copula", "independent")
    monkeypatch.setattr("ehrsatz.generators.auto.slack_of_share", lambda n: 0.0)
    report = Auto(most_near=0.0).fit(tidy, seed=1).report_
    assert all(not row["admitted"] and "near share above 0.000" in row["why"] for row in report["candidates"])
    assert "leaks least" in report["why"]


def test_the_holdout_of_a_release_has_no_say_in_the_choice(tmp_path, monkeypatch):
    only(monkeypatch, "bayesnet", "copula", "independent")
    whole = make_tidy(120)
    unseen = whole.split(0.5, seed=3)[1].table["patient_id"]
    mixed = whole.table.filter(pl.col("patient_id").is_in(unseen.implode()))
    apart = ("age", "bmi", "smoker", "outcome")  # of the holdout alone: what belonged together does so no more
    mixed = mixed.with_columns(pl.col(name).shuffle(seed=i) for i, name in enumerate(apart))
    other = pl.concat([whole.table.filter(~pl.col("patient_id").is_in(unseen.implode())), mixed])
    order = whole.table.select("patient_id")
    other = order.join(other, on="patient_id", maintain_order="left")
    told = []
    for name, frame in (("a", whole.table), ("b", other)):
        frame.write_csv(tmp_path / f"{name}.csv")
        plan = Scenario.from_dict(
            {
                "source": {"path": str(tmp_path / f"{name}.csv"), "subject": "patient_id"},
                "generator": "auto",
                "seed": 3,
                "evaluation": {"metrics": ["margins", "detection"]},
                "output": {"folder": str(tmp_path / name)},
            }
        )
        release = fabricate(plan)
        scores = {one.metric: one.value for one in release.evaluation.scores}
        told.append((release.generator["choice"], scores))
    (first, scores), (second, others) = told
    assert first == second and len(first["candidates"]) == 3
    assert scores != others  # they were judged by different rows
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["generator"]["choice"] == first
    page, data = (tmp_path / "a" / "report.html").read_text(), json.loads((tmp_path / "a" / "report.json").read_text())
    assert "How the method was chosen" in page and "<b>picked</b>" in page
    jsonschema.validate(data, json_schema())
    assert [row["name"] for row in data["choice"]["rows"]] == ["bayesnet", "copula", "independent"]


def able(name):
    """Whether it honours conditions on every kind of column, as `auto` does."""
    made = registry.find("generators", name)
    return made.conditions and made.conditions_on == KINDS


def only(monkeypatch, *names):
    monkeypatch.setattr(candidates, "CANDIDATES", names)


def breaks(error):
    def fit(self, core, *, seed, progress):
        raise error

    return fit
