"""Shards: the same bytes on any number of workers, a stopped run goes on, nothing half made is left."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ehrsatz.errors import DataError, OutputError, ScenarioError, UnknownNameError
from ehrsatz.simulator import shards, staging
from ehrsatz.sources.parquet import ParquetSource
from simulator.tiny import SCHEMA, Tiny, add

N, SIZE = 50, 8  # seven shards, the last of two patients


def run(folder: Path, make: Any = None, **options: Any) -> shards.Made:
    chosen: dict[str, Any] = {"size": SIZE, "merge": add, "fingerprint": "a", **options}
    return shards.run(make or Tiny(), chosen.pop("n", N), folder, **chosen)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def hidden(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.unfinished")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "out"
    run(folder, formats=("parquet", "csv"))
    return contents(folder)


def test_a_cohort_in_parts(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    made = run(tmp_path / "out", progress=lambda *told: seen.append(told))
    assert sorted(made.files) == sorted(
        ["payer.parquet"] + [f"{table}-{k:05d}.parquet" for table in ("patient", "visit") for k in range(7)]
    )
    assert made.rows == {"patient": 50, "payer": 2, "visit": sum(i % 4 for i in range(50))} and made.n_rows == 52 + 73
    assert made.statistics["n"] == 50 and (made.n_shards, made.n_kept) == (7, 0)
    assert seen[0] == ("simulate", 0, 50) and seen[-1] == ("simulate", 50, 50) and len(seen) == 8
    assert all(staging.file_hash(tmp_path / "out" / name) == digest for name, digest in made.files.items())
    found = ParquetSource().read(tmp_path / "out", schema=SCHEMA)
    assert found.n_subjects == 50 and found.tables["patient"]["patient_id"].is_sorted()
    assert not hidden(tmp_path / "out").exists()


def test_one_shard_has_plain_names(tmp_path: Path) -> None:
    made = run(tmp_path / "new" / "out", n=SIZE, formats=("csv",), inside="data")
    assert sorted(made.files) == ["data/patient.csv", "data/payer.csv", "data/visit.csv"]
    assert sorted(contents(tmp_path / "new" / "out")) == sorted(made.files)


def test_only_some_tables(tmp_path: Path) -> None:
    made = run(tmp_path / "out", n=SIZE, only=("patient",))
    assert list(made.files) == ["patient.parquet"] and made.rows == {"patient": 8}


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_change_a_byte(workers: int, tmp_path: Path, whole: dict[str, bytes]) -> None:
    made = run(tmp_path / "out", workers=workers, formats=("parquet", "csv"))
    assert contents(tmp_path / "out") == whole
    assert made.statistics == run(tmp_path / "one").statistics


@pytest.mark.parametrize(("workers", "trouble"), [(1, "stop"), (1, "refuse"), (2, "refuse"), (2, "kill"), (2, "fail")])
def test_a_stopped_run_goes_on(workers: int, trouble: str, tmp_path: Path, whole: dict[str, bytes]) -> None:
    options: dict[str, Any] = {"formats": ("parquet", "csv"), "workers": workers}
    expected = {"stop": KeyboardInterrupt, "refuse": DataError, "kill": RuntimeError, "fail": RuntimeError}[trouble]
    with pytest.raises(expected) as caught:
        run(tmp_path / "out", Tiny(at=4 * SIZE, trouble=trouble), **options)
    if trouble == "refuse":
        assert caught.value.problems == ("one",) and "Found that." in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not list(hidden(tmp_path / "out").glob("work-*"))
    log = tmp_path / "log"
    made = run(tmp_path / "out", Tiny(log=log), **options)
    again = [int(line) for line in log.read_text().split()]
    assert made.n_kept == 7 - len(again) >= (4 if workers == 1 else 1) and 4 * SIZE in again
    assert contents(tmp_path / "out") == whole and made.statistics == run(tmp_path / "one").statistics
    assert not hidden(tmp_path / "out").exists()


def test_nothing_finished_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "new" / "out", Tiny(at=0, trouble="stop"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_changed_since_is_made_again(tmp_path: Path, whole: dict[str, bytes]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", Tiny(at=5 * SIZE, trouble="stop"), formats=("parquet", "csv"))
    stage = hidden(tmp_path / "out")
    (stage / "whole" / "visit-00002.csv").write_text("patient_id,day\n")
    (stage / "whole" / "patient-00003.parquet").unlink()
    (stage / "whole" / "stray.txt").write_text("x")
    journal = stage / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])  # torn in the last line, that of shard 4
    log = tmp_path / "log"
    made = run(tmp_path / "out", Tiny(log=log), formats=("parquet", "csv"))
    assert sorted(int(line) // SIZE for line in log.read_text().split()) == [2, 3, 4, 5, 6] and made.n_kept == 2
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("change", [{"fingerprint": "b"}, {"n": N + 1}, {"formats": ("csv",)}, {"only": ("visit",)}])
def test_another_run_is_not_gone_on_with(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", Tiny(at=5 * SIZE, trouble="stop"))
    with pytest.raises(OutputError, match="--restart"):
        run(tmp_path / "out", **change)
    assert len(json.loads((hidden(tmp_path / "out") / "journal.jsonl").read_text().splitlines()[1])["files"]) == 3
    assert run(tmp_path / "out", restart=True, **change).n_kept == 0


def test_two_runs_at_a_time_are_refused(tmp_path: Path) -> None:
    plan = {"a": 1}
    with staging.staged(tmp_path / "out", plan):
        second = staging.staged(tmp_path / "out", plan)
        with pytest.raises(OutputError, match="only run"):
            second.__enter__()


def test_documents_are_added_before_the_folder_appears(tmp_path: Path) -> None:
    def finish(folder: Path, made: shards.Made) -> None:
        assert not (tmp_path / "out").exists() and made.n == N
        (folder / "README.txt").write_text(f"{made.n_rows}")

    run(tmp_path / "out", finish=finish)
    assert (tmp_path / "out" / "README.txt").read_text() == "125"

    def fail(folder: Path, made: shards.Made) -> None:
        (folder / "half.txt").write_text("x")
        raise DataError("Expected this.")

    with pytest.raises(DataError):
        run(tmp_path / "two", finish=fail)
    assert run(tmp_path / "two").n_kept == 7
    assert not (tmp_path / "two" / "half.txt").exists()


def test_a_full_disk_is_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, usage = tmp_path / "log", namedtuple("usage", "total used free")
    with pytest.raises(OutputError, match=r"GiB of free disk for 10,000,000,000 patients as parquet and csv"):
        run(tmp_path / "out", Tiny(log=log), n=10**10, formats=("parquet", "csv"))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, 9_000))
    with pytest.raises(OutputError, match="are free there"):  # the guess was too small, the first shard tells
        run(tmp_path / "out", Tiny(log=log), rows_per_patient=1)
    assert log.read_text() == "0\n"


def test_bad_wishes(tmp_path: Path) -> None:
    for wrong in ({"n": 0}, {"n": -5}, {"workers": 0}):
        with pytest.raises(ScenarioError, match="1 or more"):
            run(tmp_path / "out", **wrong)
    with pytest.raises(UnknownNameError):
        run(tmp_path / "out", formats=("parkett",))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="not empty"):
        run(tmp_path / "full")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="no folder"):
        run(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


@pytest.mark.parametrize(
    ("how", "workers"), [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGTERM, 2), (signal.SIGINT, 2)]
)
def test_a_killed_process_leaves_what_another_goes_on_with(
    how: signal.Signals, workers: int, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from simulator.tiny import Tiny, add\nfrom ehrsatz.simulator import shards\n"
        "if __name__ == '__main__':\n"
        f"    shards.run(Tiny(trouble='slow'), {N}, Path(sys.argv[1]), size={SIZE}, merge=add, fingerprint='a',\n"
        f"        workers={workers}, formats=('parquet', 'csv'))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    tests = str(Path(__file__).parent.parent)
    process = subprocess.Popen([sys.executable, script, tmp_path / "out"], env={"PYTHONPATH": tests})
    journal = hidden(tmp_path / "out") / "journal.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers_there = children.read_text().split() if children.exists() else []
    process.send_signal(how)
    process.wait()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers_there) and time.monotonic() < until:
        time.sleep(0.02)
    assert not [pid for pid in workers_there if Path(f"/proc/{pid}").exists()]  # gone with their parent
    assert not (tmp_path / "out").exists() and journal.exists()
    made = run(tmp_path / "out", formats=("parquet", "csv"), workers=workers)
    assert made.n_kept >= 2 and contents(tmp_path / "out") == whole and not hidden(tmp_path / "out").exists()
    assert pl.read_parquet(tmp_path / "out" / "patient-*.parquet").height == N


def test_shards_are_large_where_records_are_short():
    sizes = [shards.size_of(years, 100_000) for years in (1.0, 3.0, 10.0, 40.0, "life")]
    assert sizes == [2048, 2048, 1024, 256, 256]
    assert shards.size_of(10.0, 100_000, steered=True) == 256
    assert shards.size_of("life", 1_000, steered=True) == shards.SIZE  # plain files
    assert shards.size_of(1.0, 1_000, texts=True) == 256  # text takes several times the memory of rows
    assert all(size % 64 == 0 for size in shards.SIZES)  # whole blocks of families
