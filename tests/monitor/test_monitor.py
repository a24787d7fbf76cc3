"""Releases over time: what moved, what is due, what must go."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import ehrsatz
from ehrsatz.cli.main import main
from ehrsatz.dataset import Dataset
from ehrsatz.errors import CapsuleError, ScenarioError
from ehrsatz.evaluation.base import Score
from ehrsatz.monitor.drift import columns, psi, scores
from ehrsatz.monitor.page import line, page
from ehrsatz.monitor.watch import watch
from ehrsatz.seeds import stream
from evaluation.tables import population, with_rows

METRICS = ["margins", "exact_copies", "membership"]
LOOSE = {
    "name": "loose",
    "valid_days": 100,
    "thresholds": [{"metric": "margins", "at_least": 0.5}, {"metric": "membership", "at_most": 0.9}],
}
STRICT = "name: strict\nthresholds:\n  - {metric: margins, at_least: 0.999}\n"
DENY = "name: deny\nthresholds:\n  - {metric: margins, at_least: 0.999, severity: deny}\n"


def csv(folder: Path, name: str, seed: int, *, older: float = 0.0) -> Path:
    frame = population(240, seed).table.with_columns((pl.col("age") + older).round().cast(pl.Int64))
    path = folder / f"{name}.csv"
    frame.write_csv(path)
    return path


def make(folder: Path, name: str, source: Path, *, seed: int = 1, day: str | None = None) -> Path:
    output = {"folder": str(folder / name), "formats": ["csv", "parquet"] if seed % 2 else ["csv"]}
    plan = {
        "seed": seed,
        "source": {"path": str(source), "name": "clinic"},
        "generator": "independent",
        "evaluation": {"metrics": METRICS},
        "policy": LOOSE,
        "output": {**output, **({"date": day} if day else {})},
    }
    return ehrsatz.fabricate(ehrsatz.Scenario.from_dict(plan)).folder


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases: two of the same population, one of an older one."""
    folder = tmp_path_factory.mktemp("shelf")
    make(folder, "spring", csv(folder, "a", 1), seed=1, day="2026-01-10")
    make(folder, "summer", csv(folder, "b", 2), seed=2, day="2026-06-01")
    make(folder, "autumn", csv(folder, "c", 3, older=25), seed=3, day="2026-09-01")
    return folder


def every(shelf: Path) -> list[Path]:
    return [shelf / name for name in ("spring", "summer", "autumn")]


# ---------------------------------------------------------------------- drift
def test_psi_by_hand() -> None:
    assert psi(np.array([50.0, 50]), np.array([25.0, 75])) == pytest.approx(
        (0.5 - 0.25) * np.log(0.5 / 0.25) + (0.5 - 0.75) * np.log(0.5 / 0.75)
    )
    assert psi(np.array([10.0, 0]), np.array([10.0, 0])) == 0.0
    assert psi(np.array([10.0, 0]), np.array([5.0, 5])) > 0.25


def test_equal_populations_do_not_move_and_shifted_ones_do() -> None:
    false_alarms = 0
    for seed in range(20):
        found = columns(population(200, seed), population(200, 100 + seed))
        false_alarms += sum(one.state != "stable" for one in found)
    assert false_alarms <= 2  # of 140 columns
    before, after = population(400, 1), population(400, 2)
    older = with_rows(after, after.table.with_columns(pl.col("age") + 12))
    first = columns(before, older)[0]
    assert first.column == "t.age" and first.state == "shifted"


def test_gaps_and_levels_that_appear_are_seen() -> None:
    before, after = population(400, 1), population(400, 2)
    gone = with_rows(after, after.table.with_columns(pl.lit(None, pl.Float64).alias("weight")))
    assert columns(before, gone)[0].column == "t.weight"
    moved = with_rows(after, after.table.with_columns(pl.lit("new ward").alias("site")))
    first = columns(before, moved)[0]
    assert first.column == "t.site" and "new ward" not in repr(first)


def test_rows_may_be_in_any_order() -> None:
    before, after = population(100, 1), population(100, 2)
    turned = with_rows(after, after.table[stream(1, "turn").permutation(100).tolist()])
    assert columns(before, after) == columns(before, turned)


@pytest.mark.parametrize(
    ("goal", "after", "state"),
    [
        ("minimise", 0.7, "worse"),
        ("minimise", 0.3, "better"),
        ("maximise", 0.7, "better"),
        ("maximise", 0.3, "worse"),
        ("maximise", 0.52, "same"),
        ("target", 0.7, "worse"),
    ],
)
def test_scores_change_only_beyond_their_intervals(goal: str, after: float, state: str) -> None:
    was = Score("m", 0.5, (0.45, 0.55))
    now = Score("m", after, (after - 0.05, after + 0.05))
    assert scores([was], [now], {"m": {"goal": goal, "ideal": 0.5}})[0].state == state


def test_without_intervals_nothing_is_claimed() -> None:
    found = scores([Score("m", 0.5)], [Score("m", 0.9)], {"m": {"goal": "minimise", "ideal": 0.0}})
    assert found[0].state == "unknown"
    assert scores([Score("m", None, status="failed")], [Score("m", 0.9)], {"m": {}}) == []


# ---------------------------------------------------------------------- advice
def test_newest_stands_and_the_source_that_moved_makes_old_ones_due(shelf: Path) -> None:
    found = watch(every(shelf), at=date(2026, 9, 2))
    spring, summer, autumn = found.releases
    assert spring.advice == "make again"
    assert any("until 2026-04-20" in reason for reason in spring.reasons)  # 10 January and 100 days
    assert any("t.age" in reason or "clinic.age" in reason for reason in summer.reasons)
    assert not any("let" in reason for reason in summer.reasons)
    assert autumn.changes["n_shifted"] >= 1
    assert all("attacks were known" in one.reasons[-1] for one in found.releases)  # evaluated with one attack alone
    assert found.needs_action


def test_without_a_day_ages_are_left_alone(shelf: Path) -> None:
    found = watch(every(shelf)[:2])
    assert not any("until" in reason for one in found.releases for reason in one.reasons)


def test_a_stricter_policy_of_today(shelf: Path, tmp_path: Path) -> None:
    for text, advice, word in ((STRICT, "make again", "holds"), (DENY, "withdraw", "denies")):
        path = tmp_path / f"{advice.replace(' ', '')}.yaml"
        path.write_text(text)
        one = watch([shelf / "spring"], policy=str(path)).releases[0]
        assert one.advice == advice
        assert any(word in reason for reason in one.reasons)


def test_a_changed_release_is_to_be_withdrawn(shelf: Path, tmp_path: Path) -> None:
    shutil.copytree(shelf / "spring", tmp_path / "spring")
    rows = tmp_path / "spring" / "data"
    changed = next(rows.iterdir())
    changed.write_bytes(changed.read_bytes() + b"\n")
    found = watch([tmp_path / "spring", shelf / "summer"])
    assert found.releases[0].advice == "withdraw"
    assert "not as it was written" in found.releases[0].reasons[0]
    assert found.releases[1].changes["data_compared"] is False


def test_releases_of_one_source_are_counted_together(shelf: Path, tmp_path: Path) -> None:
    again = make(tmp_path, "again", shelf / "a.csv", seed=5)
    found = watch([shelf / "spring", again])
    assert any("2 releases with 240 synthetic subjects" in note for note in found.notes)


def test_bad_input(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError):
        watch([])
    with pytest.raises(CapsuleError, match="lacks a readable"):
        watch([tmp_path])
    shutil.copytree(shelf / "spring", tmp_path / "broken")
    (tmp_path / "broken" / "scores.json").write_text("{")
    with pytest.raises((CapsuleError, ScenarioError)):
        watch([tmp_path / "broken"])


def test_no_cell_value_comes_out(shelf: Path) -> None:
    told = json.dumps(watch(every(shelf), at=date(2026, 9, 2)).to_dict())
    assert '"A"' not in told and '"F"' not in told
    json.loads(told)


# ---------------------------------------------------------------------- page and command
def test_page_is_self_contained_and_the_same_twice(shelf: Path) -> None:
    found = watch(every(shelf), at=date(2026, 9, 2))
    text = page(found)
    assert text == page(found)
    assert "http" not in text and "make again" in text and "<svg" in text


def test_a_gap_and_one_release_are_drawn() -> None:
    one = {"value": 0.5, "interval": None}
    assert line([None, one, None], ["a", "b", "c"], "m").count("<circle") == 1
    assert "nan" not in line([one], ["<b>"], "m").lower()
    assert "<b>" not in line([one], ["<b>"], "m")


def test_command(shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "watch.html"
    arguments = ["monitor", *(str(one) for one in every(shelf)), "--at", "2026-09-02", "--out", str(out)]
    assert main([*arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["needs_action"] is True
    assert out.is_file()
    assert main(arguments) == 2  # never replaced
    assert main(["monitor", str(tmp_path)]) == 2
    assert main(["monitor", str(shelf / "spring"), "--policy", "no such policy"]) == 2


def test_dataset_of_a_release_is_read_back_from_either_format(shelf: Path) -> None:
    from ehrsatz.monitor.watch import _data
    from ehrsatz.schema import Schema

    for name in ("spring", "summer"):
        schema = Schema.from_yaml((shelf / name / "schema.yaml").read_text())
        data = _data(shelf / name, schema)
        assert isinstance(data, Dataset) and data.n_rows == 120
