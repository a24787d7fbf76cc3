"""From the command to its first file on disk, in a fresh process: `ehrsatz fabricate clinic --n 2000`.

python -m benchmarks.simulator.start [--n 2000] [--repeat 3]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.simulator.child import EHRSATZ, environment
from benchmarks.simulator.results import keep, kept

ASKED = 3.0  # seconds
STEP = 0.004


def measure(n: int) -> dict[str, float]:
    """Start the command and return wall and CPU seconds until the first table lies on disk; then end it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        command = [*EHRSATZ, "fabricate", "clinic", "--n", str(n), "--out", str(place / "new")]
        begun = time.perf_counter()
        with subprocess.Popen(
            command, env=environment(), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            try:
                while not _first(place):
                    if process.poll() is not None:
                        assert process.stderr is not None
                        raise SystemExit(f"The command ended before a file: {process.stderr.read()[-1500:]!r}")
                    time.sleep(STEP)
                wall = time.perf_counter() - begun
                cpu = _cpu(process.pid)
            finally:
                process.kill()
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}


def _first(place: Path) -> bool:
    """Whether a table lies in the folder, or in the hidden one beside it where a run gathers its shards."""
    return any(path.suffix in {".csv", ".parquet"} for path in place.rglob("*"))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(results: dict[str, Any]) -> str:
    """Return the results as one paragraph."""
    ((n, one),) = results.items()
    walls = sorted(each["wall_s"] for each in one["runs"])
    middle = walls[len(walls) // 2]
    cpu = sorted(each["cpu_s"] for each in one["runs"])[len(walls) // 2]
    return (
        f"`ehrsatz fabricate clinic --n {n}`, {len(walls)} times in a fresh process: {middle:.2f} s to the first file "
        f"(from {walls[0]:.2f} to {walls[-1]:.2f}), {cpu:.2f} CPU s. Asked for less than {ASKED:g} s: "
        f"{'met' if middle < ASKED else '**missed**'}.\n"
    )


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    place = given.results / "start.json"
    place.unlink(missing_ok=True)
    keep(place, str(given.n), {"runs": [measure(given.n) for _ in range(given.repeat)]})
    print(table(kept(place)))


if __name__ == "__main__":
    main()
