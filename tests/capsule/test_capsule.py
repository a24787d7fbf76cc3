"""A release appears whole or not at all, has the same bytes twice, and shows every change."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from ehrsatz.capsule import manifest
from ehrsatz.capsule.contents import Contents
from ehrsatz.capsule.stage import check_target, staged
from ehrsatz.capsule.verify import verify
from ehrsatz.capsule.write import write
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.evaluation.base import Score
from ehrsatz.gate import Policy, judge
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table


def contents(data: Dataset, value: float = 0.1, severity: str = "deny") -> Contents:
    policy = Policy.from_dict({"thresholds": [{"metric": "m", "at_most": 0.5, "severity": severity}]})
    verdict = judge(SimpleNamespace(scores=(Score("m", value),)), policy)
    synthetic = replace(data, provenance=Provenance("generated"))
    return Contents(
        synthetic, verdict, [{"metric": "m"}], {"seed": 3}, {"name": "demo"}, {"report.html": "<html></html>"}
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_release_holds_what_it_says_and_verifies(tidy: Dataset, tmp_path: Path) -> None:
    folder = write(tmp_path / "deep" / "release", contents(tidy), formats=["csv", "parquet"])
    assert set(tree(folder)) == {
        "README.txt",
        "croissant.json",
        "data/patients.csv",
        "data/patients.parquet",
        "datacard.md",
        "manifest.json",
        "prov.json",
        "report.html",
        "ro-crate-metadata.json",
        "schema.yaml",
        "scores.json",
        "verdict.json",
    }
    assert verify(folder) == []
    told = json.loads((folder / "manifest.json").read_text())
    assert told["decision"] == "pass"
    assert told["seed"] == 3
    assert told["content"]["patients"]["rows"] == tidy.table.height
    assert str(tmp_path) not in (folder / "manifest.json").read_text()


def test_same_contents_same_bytes(tidy: Dataset, tmp_path: Path) -> None:
    one, two = (write(tmp_path / name, contents(tidy), formats=["csv", "parquet"]) for name in ("one", "two"))
    assert tree(one) == tree(two)


def test_denied_leaves_reasons_but_no_row(tidy: Dataset, tmp_path: Path) -> None:
    folder = write(tmp_path / "release", contents(tidy, 0.9), formats=["csv"])
    told = json.loads((folder / "manifest.json").read_text())
    assert (told["decision"], told["data_included"], told["content"]) == ("deny", False, {})
    assert {"report.html", "scores.json", "verdict.json"} <= set(tree(folder))
    assert not (folder / "data").exists()
    assert "DENIED" in (folder / "README.txt").read_text()
    assert verify(folder) == []


def test_denied_rows_stay_when_asked_and_held_rows_stay(tidy: Dataset, tmp_path: Path) -> None:
    kept = write(tmp_path / "kept", contents(tidy, 0.9), formats=["csv"], keep_denied=True)
    held = write(tmp_path / "held", contents(tidy, 0.9, "hold"), formats=["csv"])
    assert (kept / "data" / "patients.csv").is_file()
    assert (held / "data" / "patients.csv").is_file()
    assert "HELD" in (held / "README.txt").read_text()


def test_one_changed_byte_in_any_file_is_found(tidy: Dataset, tmp_path: Path) -> None:
    folder = write(tmp_path / "release", contents(tidy), formats=["csv", "parquet"])
    for name, data in tree(folder).items():
        for position in (0, len(data) // 2, len(data) - 1):
            changed = bytearray(data)
            changed[position] ^= 1
            (folder / name).write_bytes(bytes(changed))
            assert any(problem.startswith(name) for problem in verify(folder)), (name, position)
        (folder / name).write_bytes(data)
    assert verify(folder) == []


def test_added_absent_and_linked_files_are_found(tidy: Dataset, tmp_path: Path) -> None:
    folder = write(tmp_path / "release", contents(tidy), formats=["csv"])
    (folder / "data" / "more.csv").write_text("a")
    assert verify(folder) == ["data/more.csv: added since the release was written"]
    (folder / "data" / "more.csv").unlink()
    (folder / "scores.json").rename(tmp_path / "scores.json")
    assert verify(folder) == ["scores.json: absent"]
    (folder / "scores.json").symlink_to(tmp_path / "scores.json")
    assert verify(folder) == ["scores.json: is a link, no file"]


def test_no_manifest_no_folder_newer_manifest(tidy: Dataset, tmp_path: Path) -> None:
    assert verify(tmp_path / "absent") == ["there is no such folder"]
    assert "absent" in verify(tmp_path)[0]
    folder = write(tmp_path / "release", contents(tidy), formats=["csv"])
    told = json.loads((folder / "manifest.json").read_text())
    told["format"] = 99
    (folder / "manifest.json").write_bytes(manifest.render(told))
    assert "newer" in verify(folder)[0]


def test_a_recomputed_manifest_over_changed_cells_is_found(tidy: Dataset, tmp_path: Path) -> None:
    folder = write(tmp_path / "release", contents(tidy), formats=["parquet"])
    path = folder / "data" / "patients.parquet"
    pl.read_parquet(path).with_columns(pl.col("age") + 1).write_parquet(path)
    told = json.loads((folder / "manifest.json").read_text())
    told["files"]["data/patients.parquet"] = manifest.file_hash(path)
    told["sizes"]["data/patients.parquet"] = path.stat().st_size
    told["sha256"] = manifest.own_hash(told)
    (folder / "manifest.json").write_bytes(manifest.render(told))
    assert verify(folder) == ["data/patients.parquet: its cells differ from the manifest"]


@pytest.mark.parametrize("kind", ["full", "interrupt", "error"])
def test_what_fails_leaves_nothing(tidy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    broken: BaseException = {
        "full": OSError(errno.ENOSPC, "No space left on device"),
        "interrupt": KeyboardInterrupt(),
        "error": RuntimeError("a fault of ours"),
    }[kind]

    def fail(*_: object) -> bytes:
        raise broken

    monkeypatch.setattr(manifest, "render", fail)
    with pytest.raises(OutputError if kind == "full" else type(broken)):
        write(tmp_path / "a" / "b" / "release", contents(tidy), formats=["csv"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["full folder", "file", "link", "under a file", "system"])
def test_where_nothing_can_be_written(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "release"
    if kind == "full folder":
        target.mkdir()
        (target / "mine").write_text("keep me")
    elif kind == "file":
        target.write_text("keep me")
    elif kind == "link":
        target.symlink_to(tmp_path)
    elif kind == "under a file":
        (tmp_path / "file").write_text("keep me")
        target = tmp_path / "file" / "release"
    else:
        target = Path("/proc/release")
    before = sorted(tmp_path.rglob("*"))
    for attempt in (check_target, lambda folder: staged(folder).__enter__()):
        with pytest.raises(OutputError):
            attempt(target)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    with staged(tmp_path / "release") as stage:
        (stage / "a").write_text("b")
    assert (tmp_path / "release" / "a").read_text() == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="current"):
        check_target(".")


class TestContentHash:
    table = Table("t", (Column("a", "number"), Column("b", "category"), Column("c", "boolean")))
    frame = pl.DataFrame({"a": [0.0, None, 2.5], "b": ["x", None, "yz"], "c": [True, None, False]})

    def hash_of(self, frame: pl.DataFrame) -> str:
        schema = Schema("s", (self.table,))
        return manifest.content_hash(Dataset(schema, {"t": frame}, Provenance("generated")).table, self.table)

    def test_is_of_the_cells_alone(self) -> None:
        again = pl.concat([self.frame[:1], self.frame[1:]], rechunk=False)
        assert self.hash_of(self.frame) == self.hash_of(again)
        assert self.hash_of(self.frame) == self.hash_of(self.frame.with_columns(a=pl.Series([-0.0, None, 2.5])))

    @pytest.mark.parametrize(
        "change",
        [
            {"a": [0.0, 0.0, 2.5]},
            {"a": [0.0, None, 2.500001]},
            {"b": ["x", "", "yz"]},
            {"b": ["xy", None, "z"]},
            {"c": [True, False, False]},
        ],
    )
    def test_sees_every_change(self, change: dict[str, list[Any]]) -> None:
        other = self.frame.with_columns(**{name: pl.Series(cells) for name, cells in change.items()})
        assert self.hash_of(self.frame) != self.hash_of(other)
