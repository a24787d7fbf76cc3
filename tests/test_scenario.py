"""A scenario refuses what it does not know, names the nearest key and never shows a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from ehrsatz.errors import ScenarioError
from ehrsatz.scenario import Scenario

MARK = "SECRET123"


def test_the_empty_scenario_is_the_bundled_table_with_defaults() -> None:
    scenario = Scenario.from_yaml("")
    assert (scenario.seed, scenario.train_fraction, scenario.n) == (0, 0.5, None)
    assert scenario.generator.name == "trees"
    assert scenario.to_dict() == {}


def test_null_means_default_and_zero_means_zero() -> None:
    scenario = Scenario.from_yaml("seed: null\nn: null\ngenerator: {name: copula, parameters: {depth: 0}}\nworkers:")
    assert scenario.seed == 0
    assert scenario.workers == 1
    assert scenario.generator.parameters == {"depth": 0}


def test_text_alone_names_source_and_generator() -> None:
    scenario = Scenario.from_yaml("source: a.csv\ngenerator: copula")
    assert (scenario.source.path, scenario.generator.name) == ("a.csv", "copula")


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        (f"sed: {MARK}", "sed: unknown key", "'seed'"),
        (f"source: {{subjects: {MARK}}}", "source.subjects: unknown key", "'subject'"),
        (f"output: {{format: {MARK}}}", "output.format: unknown key", "'formats'"),
        (f"generator: {{parameter: {MARK}}}", "generator.parameter", "'parameters'"),
        (f"seed: {MARK}", "seed", "integer"),
        ("n: 0", "n:", "greater than or equal to 1"),
        ("train_fraction: 1.0", "train_fraction", "less than 1"),
        (f"source: {{path: {MARK}, bundled: {MARK}}}", "source", "only one of"),
        (f"source: {{bundled: {MARK}}}", "source", "heart_disease_uci"),
        (f"output: {{formats: {MARK}}}", "output.formats", "tuple"),
        ("output: {formats: []}", "output.formats", "at least 1"),
        (f"- {MARK}", "mapping", "list"),
        (f"a: [{MARK}", "YAML", "line"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(text: str, place: str, hint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_yaml(text)
    message = str(caught.value)
    assert place in message
    assert hint in message
    assert MARK not in message


def test_all_problems_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict({"sed": 1, "n": "many", "workers": 0})
    assert len(caught.value.problems) == 3


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("source: {path: a.csv, schema: b.yaml}\npolicy: c.yaml\noutput: {folder: d}")
    scenario = Scenario.from_file(tmp_path / "s.yaml")
    assert scenario.source.path == str(tmp_path / "a.csv")
    assert scenario.source.schema_file == str(tmp_path / "b.yaml")
    assert scenario.policy == str(tmp_path / "c.yaml")
    assert scenario.output.folder == "d"


def test_absent_or_binary_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no such file"):
        Scenario.from_file(tmp_path / "absent.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="UTF-8"):
        Scenario.from_file(tmp_path / "b.yaml")


def test_round_trip_and_changes() -> None:
    scenario = Scenario.from_yaml("seed: 3\nsource: {path: a.csv, schema: s.yaml}\ngiven: {sex: F}\npolicy: {name: x}")
    assert Scenario.from_dict(scenario.to_dict()) == scenario
    changed = scenario.changed({"n": 5, "source.target": "y", "seed": None, "output.formats": ["parquet"]})
    assert (changed.n, changed.source.target, changed.seed) == (5, "y", 3)
    assert changed.source.path == "a.csv"
    assert changed.output.formats == ("parquet",)


def test_a_new_place_takes_the_place_of_the_old_one() -> None:
    scenario = Scenario.from_yaml("source: {bundled: heart_disease_uci, target: num}").changed({"source.url": "a://b"})
    assert (scenario.source.bundled, scenario.source.url, scenario.source.target) == (None, "a://b", "num")


def test_frozen() -> None:
    with pytest.raises(ValueError):
        Scenario().seed = 3  # type: ignore[misc]


def test_the_public_part_has_no_path_and_nothing_without_effect() -> None:
    scenario = Scenario.from_dict(
        {
            "source": {"path": f"/home/{MARK}/a.csv", "schema": MARK, "subject": "id"},
            "policy": MARK,
            "workers": 3,
            "output": {"folder": MARK},
        }
    )
    public = scenario.public()
    assert MARK not in str(public)
    assert "workers" not in public
    assert public["source"]["subject"] == "id"


def test_json_schema_names_every_key() -> None:
    schema = Scenario.json_schema()
    assert {"source", "seed", "generator", "output", "policy", "given"} <= set(schema["properties"])
    assert "schema" in schema["$defs"]["SourcePart"]["properties"]
