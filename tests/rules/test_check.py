"""Checking whole data: which rules apply and why not, what is refused, what the command says."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

import ehrsatz
from conftest import make_tidy
from ehrsatz import clinical, registry
from ehrsatz.cli.main import main
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, SchemaError, UnknownNameError
from ehrsatz.provenance import Provenance
from ehrsatz.rules.base import Finding, Rule
from ehrsatz.rules.catalogue import by_id
from ehrsatz.rules.check import catalogue, check
from ehrsatz.testing import check_rule
from rules.cases import born, ill, seen, visit
from rules.lives import frames
from rules.shard import shard

SOUND = {
    "encounter": [visit("2010-01-01 08:00", "2010-01-01 08:30", encounter_id="e1")],
    "condition": [ill("I10", "2010-01-01")],
}


# ---------------------------------------------------------------------- what is found
def test_findings_hold_positions_of_the_rows() -> None:
    rows = {"observation": [seen("8480-6", 120, "mm[Hg]"), seen("8480-6", 900, "mm[Hg]"), seen("8480-6", None, None)]}
    (found,) = check(frames(rows), rules=["value.sbp.impossible"])
    assert (found.n_checked, found.n_failed) == (2, 1)
    assert found.rows["observation"].tolist() == [1]


def test_what_did_not_apply_is_said_with_its_reason() -> None:
    data = {name: frame for name, frame in frames(SOUND).items() if name != "medication"}
    data["patient"] = data["patient"].drop("sex")
    found = check(data, mapping="clinical")
    assert found.skipped["sex.pregnancy"] == "no patient.sex"
    assert found.skipped["order.medication"] == "no medication.start, no medication.stop"
    assert found.skipped["future.encounter"] == "no reference date"
    assert {one.rule for one in found} | set(found.skipped) == set(by_id())
    assert not {one.rule for one in found} & set(found.skipped)


def test_a_reference_date_makes_later_rows_errors() -> None:
    found = check(frames(SOUND), rules="future", reference=datetime(2009, 12, 30))
    assert {one.rule for one in found.broken()} == {"future.encounter", "future.condition"}


def test_rules_by_beginning_by_id_and_as_objects() -> None:
    data = frames(SOUND)
    assert {one.rule for one in check(data, rules=["birth"])} == {one for one in by_id() if one.startswith("birth.")}
    assert [one.rule for one in check(data, rules=["death.cause", by_id()["death.before.birth"]])] == [
        "death.cause",
        "death.before.birth",
    ]
    only = check(data, severity="warning")
    assert all(by_id()[one.rule].severity == "warning" for one in only)


class Plugin(Rule):
    """A rule as a plugin would write it."""

    id, title, severity, needs = "own.rule", "Own", "error", "patient"
    why, source = "It is so.", "By definition"

    def check(self, dataset: Dataset) -> Finding:
        return Finding(self.id, dataset.n_rows, 0, {})


def test_rules_of_others_take_datasets() -> None:
    tidy = make_tidy()
    data = frames(SOUND)
    assert check(data, rules=[Plugin()]).skipped == {"own.rule": "it takes a dataset, not frames"}
    small = Dataset(clinical.schema(), {name: frame.clear() for name, frame in data.items()}, Provenance("simulated"))
    assert [one.rule for one in check(small, rules=[Plugin()])] == ["own.rule"]
    assert by_id()["death.cause"].check(tidy).n_checked == 0  # of no known form: nothing is checked


def test_the_contract_of_a_rule_on_a_clinical_dataset() -> None:
    empty = Dataset(
        clinical.schema(), {name: frame.clear() for name, frame in frames({}).items()}, Provenance("simulated")
    )
    for one in by_id().values():
        check_rule(one, empty)


def test_the_catalogue_lists_all() -> None:
    listed = catalogue()
    assert [row[0] for row in listed] == list(registry.names("rules"))
    assert all(all(row) for row in listed)
    assert registry.find("rules", "death.cause") is by_id()["death.cause"]


# ---------------------------------------------------------------------- what is refused
def test_unknown_names_are_refused_with_the_nearest() -> None:
    data = frames(SOUND)
    with pytest.raises(UnknownNameError, match=r"Did you mean 'death\.cause'"):
        check(data, rules=["death.caus"])
    with pytest.raises(UnknownNameError, match="Did you mean 'error'"):
        check(data, severity="errors")
    with pytest.raises(UnknownNameError, match="Did you mean 'synthea_csv'"):
        check(data, mapping="synthea")
    with pytest.raises(SchemaError, match=r"no file 'absent\.yaml'"):
        check(data, mapping="absent.yaml")


def test_data_of_no_known_form_are_refused() -> None:
    with pytest.raises(DataError, match="of a known form"):
        check(make_tidy())
    with pytest.raises(DataError, match="that the mapping 'mimic3' names"):
        check(make_tidy(), mapping="mimic3")


# ---------------------------------------------------------------------- bodies and files
def test_check_reads_a_folder_as_it_stands(tmp_path: Path) -> None:
    for name, frame in frames(SOUND).items():
        if name == "encounter":
            frame.write_parquet(tmp_path / f"{name}.parquet")
        else:
            frame.write_csv(tmp_path / f"{name}.csv")
    found = ehrsatz.check(tmp_path)
    assert found.mapping == "clinical" and not found.broken("error")
    whole = check(frames(SOUND))
    assert [(one.rule, one.n_checked, one.n_failed) for one in found] == [
        (one.rule, one.n_checked, one.n_failed) for one in whole
    ]


def test_two_files_of_one_table_are_refused(tmp_path: Path) -> None:
    frame = frames(SOUND)["patient"]
    frame.write_csv(tmp_path / "patient.csv")
    frame.write_parquet(tmp_path / "patient.parquet")
    with pytest.raises(OSError, match="both give it"):
        ehrsatz.check(tmp_path)


def write(folder: Path, rows: dict[str, list[dict[str, object]]]) -> str:
    """Write the tables of a record that have rows."""
    for name, frame in frames(rows).items():
        if frame.height:
            frame.write_csv(folder / f"{name}.csv")
    return str(folder)


def test_the_command_says_what_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, {**SOUND, "condition": [ill("C61", "2010-01-01")]})
    assert main(["check", folder, "--mapping", "clinical", "--rows"]) == 1
    out, err = capsys.readouterr()
    assert "error\tsex.male_cancer\t1\t1\tCancer of male genital organs in a woman\tcondition: 0" in out.splitlines()
    assert "C61" not in out + err
    assert main(["check", folder, "--mapping", "clinical", "--severity", "warning", "--skipped"]) == 0
    assert "did not apply" in capsys.readouterr().out


def test_the_command_gives_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, {"patient": born(sex="male"), "condition": [ill("C56.9"), ill("C61")]})
    assert main(["check", folder, "--mapping", "clinical", "--json", "--rule", "sex"]) == 1
    told = json.loads(capsys.readouterr().out)
    broken = [one for one in told["findings"] if one["n_failed"]]
    assert broken == [
        {"rule": "sex.female_cancer", "severity": "error", "n_checked": 1, "n_failed": 1, "rows": {"condition": [0]}}
    ]
    assert told["n_errors"] == 1


@pytest.mark.parametrize(
    "arguments",
    [["/absent"], [".", "--mapping", "nope"], [".", "--severity", "grave"], [".", "--reference", "yesterday"]],
)
def test_bad_input_is_exit_code_2(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, SOUND))
    assert main(["check", *arguments]) == 2


def test_listing_shows_titles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--list", "rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= len(by_id())
    assert "death.before.birth\terror\tDeath before birth" in lines


# ---------------------------------------------------------------------- speed
def test_a_shard_is_checked_fast() -> None:
    data = shard(200)  # 101,000 rows
    check(data, mapping="clinical")  # what is read once per process
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        found = check(data, mapping="clinical")
        best = min(best, time.process_time() - start)
    assert len(found) > 800
    assert best < 0.5, f"{best:.2f} s of CPU for {sum(frame.height for frame in data.values()):,} rows"


def test_frames_are_not_changed() -> None:
    data = shard(20)
    before = {name: frame.clone() for name, frame in data.items()}
    check(data, mapping="clinical")
    assert all(frame.equals(before[name]) for name, frame in data.items())
    assert isinstance(data["patient"], pl.DataFrame)
