"""The processes as data: complete, sourced, refused where they are wrong, and a correlation matrix that is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ehrsatz.errors import ScenarioError, UnknownNameError
from ehrsatz.simulator.process import FILE, Processes, nearest_correlation, read, standard
from ehrsatz.terminology.units import check as check_unit

NAMES = [
    "height",
    "bmi",
    "head",
    "sbp",
    "dbp",
    "heart_rate",
    "resp_rate",
    "temperature",
    "spo2",
    "pain",
    "hba1c",
    "glucose",
    "mean_glucose",
    "total_chol",
    "hdl",
    "trig",
    "egfr",
    "urea",
    "uacr",
    "sodium",
    "potassium",
    "chloride",
    "bicarbonate",
    "calcium",
    "albumin",
    "protein",
    "alt",
    "ast",
    "alp",
    "bilirubin",
    "hemoglobin",
    "mcv",
    "wbc",
    "platelets",
    "ferritin",
    "crp",
    "esr",
    "tsh",
    "ft4",
    "urate",
    "ntprobnp",
    "troponin",
    "lvef",
    "fev1",
    "fev1_fvc",
    "bmd",
    "phq9",
    "gad7",
    "psa",
    "vitamin_d",
    "inr",
    "lactate",
    "procalcitonin",
    "pco2",
    "ph",
    "po2",
    "mmse",
    "gcs",
    "urine_output",
]


def raw() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def refused(tmp_path: Path, data: dict[str, Any]) -> str:
    path = tmp_path / "processes.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        read(path)
    return str(caught.value)


def test_every_process_is_there() -> None:
    assert sorted(standard().names) == sorted(NAMES)


def test_units_are_ucum() -> None:
    assert not [problem for one in standard().processes for problem in check_unit(one.unit)]


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hemoglobin'"):
        standard()["haemoglobin"]


def test_enough_pairs_and_checks() -> None:
    pairs = standard().correlations
    assert len(pairs) >= 60
    assert sum(one.check for one in pairs) >= 25


def test_matrix_is_a_correlation_matrix_near_the_pairs() -> None:
    processes = standard()
    matrix = processes.matrix
    assert np.array_equal(matrix, matrix.T)
    assert np.allclose(np.diag(matrix), 1)
    assert np.linalg.eigvalsh(matrix)[0] > 0
    place = {name: i for i, name in enumerate(processes.names)}
    off = [abs(matrix[place[one.pair[0]], place[one.pair[1]]] - one.r) for one in processes.correlations]
    assert max(off) < 0.15
    assert np.mean(off) < 0.02


def test_nearest_correlation_gives_the_published_example() -> None:
    # Higham 2002, section 4: the matrix of ones on three diagonals
    wanted = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    got = nearest_correlation(wanted, floor=1e-9)
    assert np.allclose(got, [[1, 0.7607, 0.1573], [0.7607, 1, 0.7607], [0.1573, 0.7607, 1]], atol=2e-4)


def test_a_correlation_matrix_is_left_as_it_is() -> None:
    fine = np.array([[1.0, 0.5], [0.5, 1.0]])
    assert np.array_equal(nearest_correlation(fine), fine)


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    data = raw()
    data["processes"][0]["colour"] = "blue"
    assert "processes.0.colour" in refused(tmp_path, data)


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    data = raw()
    del data["processes"][3]["quantiles"]["source"]
    assert "processes.3.quantiles.source" in refused(tmp_path, data)


def test_a_source_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    data = raw()
    data["processes"][3]["within"]["source"] = "hearsay"
    assert "absent: hearsay" in refused(tmp_path, data)


def test_a_source_without_a_year_is_refused(tmp_path: Path) -> None:
    data = raw()
    data["sources"]["vhs50"] = "Fryar and others"
    assert "the year in source 'vhs50'" in refused(tmp_path, data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"r": 1.2}, "less than or equal to 1"),
        ({"pair": ["sbp", "sbq"]}, "unknown: sbq"),
        ({"pair": ["sbp", "sbp"]}, "two different processes"),
        ({"check": True, "published": None}, "published and population"),
    ],
)
def test_pairs_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    data = raw()
    data["correlations"][-1].update(change)
    assert words in refused(tmp_path, data)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("ages", [30, 20], "ages in rising order"),
        ("probabilities", [0.5, 0.4, 0.9], "probabilities in rising order"),
        ("female", [[3, 2, 1]], "do not fall"),
        ("male", [[1, 2]], "one figure per probability"),
    ],
)
def test_quantiles_that_cannot_be_are_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    data = raw()
    table = {"ages": [30], "probabilities": [0.1, 0.5, 0.9], "female": [[1, 2, 3]], "male": [[1, 2, 3]]}
    data["processes"][0]["quantiles"].update(table)
    data["processes"][0]["quantiles"][key] = value
    assert words in refused(tmp_path, data)


def test_text_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ScenarioError, match="cannot be read"):
        read(path)


def test_the_file_survives_a_round_trip() -> None:
    assert Processes.model_validate(standard().model_dump()) == standard()
