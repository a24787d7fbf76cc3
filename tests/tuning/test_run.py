"""The search as a whole: three parts, the same after a stop, failures, what is recommended, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from conftest import make_tidy, make_tidy_linked
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, DataWarning, MissingExtraError, OutputError, ScenarioError, SchemaError
from ehrsatz.evaluation.base import Score
from ehrsatz.generators.bayesnet import BayesNet
from ehrsatz.scenario import Scenario
from ehrsatz.tuning import run
from ehrsatz.tuning.front import choose
from ehrsatz.tuning.page import page
from ehrsatz.tuning.proposals import WARM
from ehrsatz.tuning.result import result
from ehrsatz.tuning.ruler import Figures, Parts, Ruler
from ehrsatz.tuning.run import Tuned, tune
from ehrsatz.tuning.space import Setting, space
from ehrsatz.tuning.study import Study, Trial, head_of

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return make_tidy(120)


def search(rows: Dataset, path: Path, **options: Any) -> Tuned:
    told: dict[str, Any] = {"target": "outcome", "trials": 3, "seed": 1, "clock": lambda: 0.0, **options}
    return tune(rows, told.pop("space", space(["bayesnet", "copula"])), path, **told)


def scores(train: Dataset, judge: Dataset, synthetic: Dataset, **options: Any) -> dict[str, Score]:
    """Stand in for the whole metrics, which take seconds; tests/cli/test_tune.py has the real ones."""
    return {name: Score(name, 0.5, interval=(0.4, 0.6)) for name in ("fidelity", "utility", "privacy")}


@pytest.fixture(scope="module")
def tuned(rows: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "scores", scores)
        return search(rows, tmp_path_factory.mktemp("tuned") / "study.jsonl")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring takes seconds; tests of the search itself take figures that are quick, and tell settings apart."""

    def measure(self: Ruler, synthetic: Dataset) -> Figures:
        told = int(sha256(synthetic.table.write_csv().encode()).hexdigest()[:6], 16) / 16**6
        return Figures(round(0.5 + told / 4, 4), None if self.without_utility else 0.7, round(0.5 + told**2 / 8, 4))

    monkeypatch.setattr(run, "scores", scores)
    monkeypatch.setattr(Ruler, "measure", measure)


# ---------------------------------------------------------------------- three parts
def test_parts_have_no_subject_in_common_and_are_those_of_fabricate(rows: Dataset) -> None:
    parts = Parts.of(rows, train_fraction=0.5, seed=3)
    train, holdout = rows.split(0.5, seed=3)
    assert parts.train.table.equals(train.table) and parts.judge.table.equals(holdout.table)
    groups = [set(one.subjects) for one in (parts.learn, parts.choose, parts.judge)]
    assert len(set.union(*groups)) == sum(map(len, groups)) == rows.n_subjects
    assert groups[0] | groups[1] == set(train.subjects)


def test_the_judging_rows_have_no_say_in_the_choice(
    rows: Dataset, tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = set(Parts.of(rows, train_fraction=0.5, seed=1).judge.table["patient_id"])
    other = rows.table.with_columns(
        pl.when(pl.col("patient_id").is_in(judge)).then(pl.lit(20)).otherwise("age").cast(pl.Int64).alias("age"),
        pl.when(pl.col("patient_id").is_in(judge)).then(pl.lit("home")).otherwise("outcome").alias("outcome"),
    )
    judged = {}
    monkeypatch.setattr(
        run, "scores", lambda train, judge, synthetic, **_: judged.setdefault("age", judge.table["age"])
    )
    changed = search(Dataset(rows.schema, {"patients": other}, rows.provenance), tmp_path / "study.jsonl")
    assert changed.trials == tuned.trials and changed.choice == tuned.choice
    assert set(judged["age"]) == {20}  # the rows that judge were the changed ones


# ---------------------------------------------------------------------- the same again
@pytest.mark.usefixtures("quick")
def test_a_stopped_search_goes_on_to_the_same_bytes(rows: Dataset, tmp_path: Path) -> None:
    whole = search(
        rows, tmp_path / "whole.jsonl", trials=WARM + 3, target=None, space=space(["independent"], ["max_bins=2..90"])
    )
    path = tmp_path / "study.jsonl"

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("trials") and done == WARM + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(
            rows, path, trials=WARM + 3, target=None, space=space(["independent"], ["max_bins=2..90"]), progress=stop
        )
    kept = path.read_bytes()
    assert kept.count(b"\n") == 1 + WARM + 1
    path.write_bytes(kept + b'{"trial": 2, "gen')  # the power failed while a line was written
    again = search(rows, path, trials=WARM + 3, target=None, space=space(["independent"], ["max_bins=2..90"]))
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert result(again) == result(whole) and page(result(again)) == page(result(whole))


@pytest.mark.usefixtures("quick")
def test_no_cell_is_in_the_study(rows: Dataset, tmp_path: Path) -> None:
    marked = rows.table.with_columns(pl.lit("SECRET123").alias("diagnosis"), pl.col("patient_id") + "SECRET123")
    search(Dataset(rows.schema, {"patients": marked}, rows.provenance), tmp_path / "s", trials=1, target=None)
    assert "SECRET123" not in (tmp_path / "s").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 2}, "--seed"),
        ({"sampler": "random"}, "--sampler"),
        ({"target": None}, "--target"),
        ({"space": space(["copula"])}, "what is tried"),
        ({"train_fraction": 0.6}, "share of subjects"),
        ({"rows": make_tidy(121)}, "the table's rows"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_a_study_of_something_else_is_refused_by_name(
    rows: Dataset, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "study.jsonl"
    usual: dict[str, Any] = {"sampler": "bayesian", "target": "outcome", "seed": 1, "train_fraction": 0.5}
    head = head_of(rows, space(["bayesnet", "copula"]).to_dict(), **usual)
    Study.open(path, head).start()
    before = path.read_bytes()
    with pytest.raises(ScenarioError, match=re.escape(words)):
        search(change.pop("rows", rows), path, **change)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "no JSON\n", "{}\n", "[1]\n", '{"format": "ehrsatz-study/2"}\n', "\x00\xff"])
def test_a_file_that_is_no_study_is_kept(rows: Dataset, tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ScenarioError, match="something else"):
        search(rows, path)
    assert path.read_bytes() == text.encode("latin-1")


def test_a_study_that_cannot_be_written_is_said_before_any_trial(rows: Dataset, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--study"):
        search(rows, tmp_path / "absent" / "study.jsonl")


# ---------------------------------------------------------------------- budgets and failures
@pytest.mark.parametrize(
    "budget", [{"trials": 0}, {"minutes": 0}, {"minutes": -1.0}, {"minutes": float("nan")}, {"most_membership": 0.4}]
)
def test_a_budget_of_nothing_is_refused(rows: Dataset, tmp_path: Path, budget: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError):
        search(rows, tmp_path / "study.jsonl", **budget)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quick")
def test_minutes_end_a_search_after_at_least_one_trial(rows: Dataset, tmp_path: Path) -> None:
    ticks = iter(range(0, 10_000, 100))
    found = search(
        rows, tmp_path / "s", minutes=1, clock=lambda: float(next(ticks)), target=None, space=space(["copula"])
    )
    assert len(found.trials) == 1 and found.stopped == "the budget of minutes"


@pytest.mark.usefixtures("quick")
def test_what_breaks_is_recorded_and_the_search_goes_on(
    rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([MemoryError("SECRET"), FloatingPointError("SECRET"), RuntimeError("SECRET"), DataError("Too few.")])
    usual = BayesNet._fit

    def fit(self: BayesNet, core: Dataset, **options: Any) -> None:
        fault = next(faults, None)
        if fault is not None:
            raise fault
        usual(self, core, **options)

    monkeypatch.setattr(BayesNet, "_fit", fit)
    found = search(rows, tmp_path / "s", trials=5, target=None, space=space(["bayesnet"]), sampler="random")
    assert [one.why for one in found.trials] == [
        "out of memory",
        "stopped with FloatingPointError",
        "stopped with RuntimeError",
        "Too few.",
        "",
    ]
    assert all(set(one.losses.values()) == {1.0} for one in found.trials[:4])
    assert found.choice.front == (4,) and "SECRET" not in (tmp_path / "s").read_text()
    assert "out of memory" in page(result(found))


def test_all_failed_says_what_they_said(rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: BayesNet, core: Dataset, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(BayesNet, "_fit", fit)
    with pytest.raises(DataError, match="trial 1, bayesnet: out of memory"):
        search(rows, tmp_path / "s", trials=2, space=space(["bayesnet"]), sampler="random")


def test_an_absent_library_stops_the_search(rows: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: BayesNet, core: Dataset, **options: Any) -> None:
        raise MissingExtraError("It needs torch.")

    monkeypatch.setattr(BayesNet, "_fit", fit)
    with pytest.raises(MissingExtraError):
        search(rows, tmp_path / "s")


def test_too_few_rows_for_three_parts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="three parts"):
        search(make_tidy(60), tmp_path / "s")
    with pytest.raises(DataError, match="three parts"):
        search(make_tidy(2), tmp_path / "s")


@pytest.mark.usefixtures("quick")
def test_a_target_that_cannot_be_learned_leaves_utility_out_by_name(rows: Dataset, tmp_path: Path) -> None:
    same = Dataset(rows.schema, {"patients": rows.table.with_columns(outcome=pl.lit("home"))}, rows.provenance)
    with pytest.warns(DataWarning, match="Utility is left out"):
        found = search(same, tmp_path / "s", trials=1)
    told = result(found)
    assert [one["name"] for one in told["measures"]] == ["fidelity", "privacy"]
    assert "Utility was left out: the target has fewer than two values" in page(told)
    with pytest.raises(SchemaError, match="Did you mean 'outcome'"):
        search(rows, tmp_path / "t", target="outcom")


# ---------------------------------------------------------------------- figures
def test_figures_tell_copies_and_shuffled_rows_from_fresh_ones() -> None:
    whole = make_tidy(330)
    learn, rest = whole.split(1 / 3, seed=1)
    choose_, fresh = rest.split(0.5, seed=1)
    ruler = Ruler(learn, choose_, target="outcome", seed=1)
    good, copied = ruler.measure(fresh), ruler.measure(learn)
    loose = {name: fresh.table[name].shuffle(seed=i) for i, name in enumerate(fresh.table.columns)}
    apart = ruler.measure(_unchecked(whole, loose))
    assert copied.privacy > 0.95 > 0.6 > good.privacy
    assert apart.fidelity > good.fidelity + 0.1
    assert (apart.utility or 0) < (good.utility or 0) - 0.1
    losses = ruler.losses(Figures(0.45, 2.0, 0.45))
    assert losses == {"fidelity": 0.0, "utility": 0.0, "privacy": 0.0}
    assert ruler.losses(Figures(1.0, -1.0, 0.75)) == {"fidelity": 1.0, "utility": 1.0, "privacy": 0.5}


def _unchecked(whole: Dataset, columns: dict[str, pl.Series]) -> Dataset:
    """Shuffled columns break the table's constraint, which is left out here."""
    table = replace(whole.schema.parent, constraints=())
    return Dataset(replace(whole.schema, tables=(table,)), {"patients": pl.DataFrame(columns)}, whole.provenance)


def trial(number: int, fidelity: float, utility: float, privacy: float) -> Trial:
    figures = Figures(0.5 + fidelity / 2, utility, 0.5 + privacy / 2)
    losses = {"fidelity": fidelity, "utility": utility, "privacy": privacy}
    return Trial(number, Setting("trees", {"caution": float(number)}), {}, figures, losses)


def test_front_and_recommendation_by_hand() -> None:
    trials = [
        trial(0, 0.30, 0.1, 0.02),
        trial(1, 0.10, 0.1, 0.30),  # best, but leaks
        trial(2, 0.20, 0.1, 0.04),  # recommended
        trial(3, 0.35, 0.1, 0.02),  # beaten by 0
        trial(4, 0.20, 0.1, 0.04),  # the same as 2, later
        replace(trial(5, 0, 0, 0), figures=None),
    ]
    found = choose(trials, most_membership=0.53, n_attacked=10_000)
    assert found.front == (0, 1, 2) and found.recommended == 2
    assert found.judged == {2: ("recommended",), 1: ("best fidelity", "best utility"), 0: ("best privacy",)}
    strict = choose(trials, most_membership=0.5, n_attacked=10**9)
    assert strict.recommended is None and "none is recommended" in strict.why


# ---------------------------------------------------------------------- what comes out
def test_the_result_is_plain_complete_and_safe(tuned: Tuned) -> None:
    told = result(tuned)
    assert json.loads(json.dumps(told)) == told
    text = page(told)
    assert page(json.loads(json.dumps(told))) == text
    assert "<script" not in text and not re.search(r'(src|href)="https?:', text)
    assert text.count("<title>") == 1 + len([one for one in told["trials"] if one["state"] == "measured"])
    assert all(f">{one['trial']}</th>" in text for one in told["trials"])
    used = Scenario.from_yaml(told["scenario"])
    best = told["trials"][told["recommended"]]
    assert (used.generator.name, used.generator.parameters, used.seed) == (best["generator"], best["parameters"], 1)


def test_a_name_of_a_column_cannot_break_the_page(tuned: Tuned) -> None:
    told = result(tuned)
    told["search"]["target"] = told["title"] = "<script>alert(1)</script>"
    assert "<script" not in page(told)


def test_nothing_to_recommend_is_said(tuned: Tuned) -> None:
    leaky = choose(tuned.trials, most_membership=0.5, n_attacked=10**12)
    assert leaky.recommended is None
    told = result(replace(tuned, choice=leaky))
    assert told["scenario"] == "" and told["verdict"]["tone"] == "hold" and "Nothing to recommend" in page(told)


def test_two_linked_tables_are_tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "scores", scores)
    found = search(make_tidy_linked(84), tmp_path / "s", target=None, trials=1, space=space(["trees"], ["n_trees=2"]))
    assert found.trials[0].figures is not None and found.facts["objectives"] == ["fidelity", "privacy"]


def test_run_names_the_best_so_far(tuned: Tuned) -> None:
    assert run.best([]) == ""
    assert run.best(tuned.trials).startswith("best so far: ")


@pytest.mark.usefixtures("quick")
def test_restart_throws_the_trials_away(rows: Dataset, tmp_path: Path) -> None:
    search(rows, tmp_path / "s", trials=2, target=None, space=space(["copula"]))
    with pytest.raises(ScenarioError, match="--restart"):
        search(rows, tmp_path / "s", trials=1, seed=2, target=None, space=space(["copula"]))
    found = search(rows, tmp_path / "s", trials=1, seed=2, target=None, space=space(["copula"]), restart=True)
    assert len(found.trials) == 1 and (tmp_path / "s").read_bytes().count(b"\n") == 2
