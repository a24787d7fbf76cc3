"""Networks on the command line: stop and go on, learn on from a saved model, shrink, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

torch = pytest.importorskip("torch")

from conftest import make_tidy  # noqa: E402
from ehrsatz.cli import main as cli  # noqa: E402
from ehrsatz.dataset import Dataset  # noqa: E402
from ehrsatz.errors import DataError  # noqa: E402
from ehrsatz.generators import checkpoint  # noqa: E402
from ehrsatz.generators.build import generator  # noqa: E402

FIT = ["fit", "--from", "real.csv", "--subject", "patient_id", "--generator", "vae", "--param", "epochs=8"]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_tidy(90).table.write_csv("real.csv")


def test_a_stopped_training_goes_on_to_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*FIT, "--out", "whole"]) == 0
    save, n = checkpoint.Checkpoint.save, []

    def stop(self: checkpoint.Checkpoint, *state: object) -> None:
        save(self, *state)  # type: ignore[arg-type]
        n.append(1)
        if len(n) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoint, "save", stop)
    assert cli.main([*FIT, "--checkpoint", "state", "--out", "model"]) == 130
    assert "goes on from the checkpoint in state" in capsys.readouterr().err
    assert not Path("model").exists() and Path("state/checkpoint.npz").is_file()
    assert cli.main([*FIT, "--checkpoint", "state", "--out", "model"]) == 0
    assert len(n) == 8  # five epochs before, three after
    assert Path("model/weights.npz").read_bytes() == Path("whole/weights.npz").read_bytes()
    assert Path("model/generator.json").read_text() == Path("whole/generator.json").read_text()
    assert not Path("state/checkpoint.npz").exists()


def test_a_model_of_other_columns_is_no_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*FIT, "--out", "model"]) == 0
    assert cli.main([*FIT, "--start", "model", "--seed", "3", "--out", "adapted"]) == 0
    told = json.loads(Path("adapted/generator.json").read_text())
    assert "start" not in told["parameters"] and "checkpoint" not in told["parameters"]
    pl.read_csv("real.csv").drop("bmi").write_csv("narrow.csv")
    narrow = ["narrow.csv" if one == "real.csv" else one for one in FIT]
    assert cli.main([*narrow, "--start", "model", "--out", "other"]) == 2
    assert "columns differ in name or kind" in capsys.readouterr().err
    assert cli.main([*FIT, "--start", "nowhere", "--out", "other"]) == 2
    assert not Path("other").exists()


def test_too_few_rows_and_conditions_that_cannot_be_honoured_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    pl.read_csv("real.csv").head(12).write_csv("few.csv")
    few = ["few.csv" if one == "real.csv" else one for one in FIT]
    assert cli.main([*few, "--out", "model"]) == 2
    said = capsys.readouterr().err
    assert "at least 40 subjects" in said and "There are 12." in said and "trees" in said
    assert cli.main([*FIT, "--out", "model"]) == 0
    assert cli.main(["sample", "--model", "model", "--given", "sex=F", "--out", "rows"]) == 2
    said = capsys.readouterr().err
    assert "'vae' does not honour conditions" in said and "copula" in said


def test_a_level_of_its_own_in_every_row_is_refused() -> None:
    data = make_tidy(90)
    names = [f"case {i}" for i in range(90)]
    odd = Dataset(data.schema, {"patients": data.table.with_columns(outcome=pl.Series(names))}, data.provenance)
    with pytest.raises(DataError, match="another level in every row") as caught:
        generator("vae").fit(odd, seed=1)
    assert "patients.outcome: 90 levels in 90 rows" in str(caught.value) and "case" not in str(caught.value)


def test_shrink_reports_its_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*FIT, "--out", "model"]) == 0
    line = ["shrink", "--model", "model", "--against", "real.csv", "--subject", "patient_id"]
    assert cli.main([*line, "--out", "small", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes_after"] < told["bytes_before"] / 2 and told["distance_after"] >= 0
    assert cli.main([*line, "--out", "none", "--full-precision"]) == 2
    assert "share to prune" in capsys.readouterr().err and not Path("none").exists()
    assert cli.main(["sample", "--model", "small", "--n", "5", "--out", "rows"]) == 0


def test_a_newer_or_damaged_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*FIT, "--out", "model"]) == 0
    head = Path("model/generator.json")
    head.write_text(json.dumps({**json.loads(head.read_text()), "format": 99}))
    assert cli.main(["sample", "--model", "model", "--out", "rows"]) == 2
    assert "newer ehrsatz" in capsys.readouterr().err
    assert cli.main([*FIT, "--start", "model", "--out", "other"]) == 2
