"""Whole patients in shards: the same bytes on any number of workers, and memory that does not grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ehrsatz.clinical import schema
from ehrsatz.exporters.parquet import ParquetExporter, mark_of
from ehrsatz.simulator import shards
from ehrsatz.sources.parquet import ParquetSource
from simulator import fake


@pytest.mark.parametrize("workers", [2, 4])
def test_the_same_bytes_on_any_number_of_workers(workers: int, tmp_path: Path) -> None:
    options = {"size": 64, "formats": ("parquet", "csv"), "inside": "data"}
    one = shards.run(fake.Maker(4.0), 300, tmp_path / "one", **options)  # type: ignore[arg-type]
    more = shards.run(fake.Maker(4.0), 300, tmp_path / "more", workers=workers, **options)  # type: ignore[arg-type]
    assert one.files == more.files and one.rows == more.rows and one.n_rows > 20_000
    assert ParquetExporter().check(tmp_path / "one" / "data") == []
    assert mark_of(tmp_path / "one" / "data" / "observation-00003.parquet") is not None


def test_a_cohort_reads_back_whole_and_keeps_the_schema(tmp_path: Path) -> None:
    shards.run(fake.Maker(4.0), 300, tmp_path / "out", size=64)
    found = ParquetSource().read(tmp_path / "out", schema=schema(), origin="simulated")  # keys, links, kinds, levels
    assert found.n_subjects == 300 and found.schema == schema()


def test_memory_does_not_grow_with_the_cohort(tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom simulator import fake\n"
        "from ehrsatz.simulator import shards\n"
        "shards.run(fake.Maker(10.0), int(sys.argv[2]), Path(sys.argv[1]), size=256)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for n in (512, 2_560):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / str(n), str(n)],
            env={"PYTHONPATH": str(Path(__file__).parent.parent), "POLARS_MAX_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
    unit = 1024 if sys.platform != "darwin" else 1  # of ru_maxrss
    assert (peaks[1] - peaks[0]) * unit < 60 * 2**20
