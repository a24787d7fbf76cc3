"""Ctrl-C and kill in the middle of a simulated cohort: the same command goes on, and the bytes are those of one run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ehrsatz.cli import main as cli

PROGRAM = "import sys; from ehrsatz.cli.main import main; sys.exit(main(sys.argv[1:]))"
RUN = (
    *("fabricate", "--n", "2100", "--record-years", "0.5"),
    *("--format", "parquet", "--only", "patient", "--only", "condition"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole") / "release"
    assert cli.main([*RUN, "--out", str(folder)]) in (0, 1)
    return folder


def started(folder: Path) -> subprocess.Popen[str]:
    """Start the run in a process of its own, and return when its first shard is on disk and the second is not."""
    run = [sys.executable, "-c", PROGRAM, *RUN, "--out", str(folder)]
    process = subprocess.Popen(run, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    journal = folder.with_name(f".{folder.name}.unfinished") / "journal.jsonl"
    for _ in range(3000):
        if process.poll() is not None:
            raise AssertionError(process.stderr and process.stderr.read())
        if journal.is_file() and len(journal.read_text(encoding="utf-8").splitlines()) >= 2:  # its head and a shard
            time.sleep(0.3)  # the second takes longer
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("no shard was written in time")


def same(one: Path, two: Path) -> Iterator[str]:
    """Give the files that differ."""
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert names == {path.relative_to(two) for path in two.rglob("*") if path.is_file()}
    return (str(name) for name in sorted(names) if (one / name).read_bytes() != (two / name).read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    number: int, code: int, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "release"
    process = started(folder)
    os.kill(process.pid, number)
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait(timeout=120)
    assert process.returncode == code, said
    if number != signal.SIGKILL:
        assert "The same command goes on" in said
        assert "--restart" in said
    assert not folder.exists()  # half a cohort is none
    hidden = tmp_path / ".release.unfinished"
    kept = {path.name: path.stat().st_mtime_ns for path in (hidden / "whole").rglob("*-00000.parquet")}
    assert len(kept) == 2
    assert cli.main([*RUN, "--seed", "1", "--out", str(folder)]) == 2  # another cohort does not mix with it
    assert "--restart" in capfd.readouterr().err
    assert cli.main([*RUN, "--out", str(folder)]) in (0, 1)
    assert {path.name: path.stat().st_mtime_ns for path in folder.rglob("*-00000.parquet")} == kept  # not made again
    assert list(same(whole, folder)) == []
    assert not hidden.exists()
    assert cli.main(["verify", str(folder)]) == 0


@pytest.mark.slow
def test_a_run_stopped_before_its_first_shard_leaves_nothing(tmp_path: Path) -> None:
    run = [sys.executable, "-c", PROGRAM, *RUN, "--out", str(tmp_path / "release")]
    process = subprocess.Popen(run, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("read"):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    process.wait(timeout=120)
    assert process.returncode == 130, said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_workers_change_no_byte(whole: Path, tmp_path: Path) -> None:
    run = [sys.executable, "-c", PROGRAM, *RUN, "--workers", "2", "--out", str(tmp_path / "release")]
    assert subprocess.run(run, check=False, capture_output=True).returncode in (0, 1)
    assert list(same(whole, tmp_path / "release")) == []
