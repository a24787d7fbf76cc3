"""Where the time of one core goes: engine, charts, frames with ledger, Parquet; by years of routine care.

    python -m benchmarks.simulator.stages --record-years 2 [--shards 4] [--repeat 3]

A child process of `speed`: one thread in every library, printed as JSON. Each stage is timed in CPU seconds over all
shards; of the repetitions the one with the smallest sum counts, for other work on the machine only ever adds to it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

STAGES = ("engine", "charts", "frames", "parquet")


def years_of(text: str) -> float | Literal["life"]:
    """Return years of routine care, or life."""
    return "life" if text == "life" else float(text)


def one(here: Any, first: int, n: int, folder: Path) -> tuple[list[float], int, int]:
    """Make and write a shard; return CPU seconds by stage, rows, and bytes on disk."""
    import numpy as np

    from ehrsatz.exporters.parquet import ParquetExporter
    from ehrsatz.simulation import _screenings as screenings
    from ehrsatz.simulator.catalogue import catalogue
    from ehrsatz.simulator.chart.assemble import records
    from ehrsatz.simulator.frames import dataset
    from ehrsatz.simulator.lots import history
    from ehrsatz.simulator.shards import WORLD

    at = [time.process_time()]
    lives = history(here.known, here.cohort, np.arange(first, first + n, dtype=np.int64))
    at.append(time.process_time())
    whole = records(lives, catalogue(), here.book, screenings(here.known), here.scene.country)
    at.append(time.process_time())
    made = dataset(whole, lives, here.scene, here.provenance)
    at.append(time.process_time())
    own = [name for name in made.tables if name not in WORLD]
    paths = ParquetExporter().write(made, folder, part=first, tables=own)
    at.append(time.process_time())
    rows = sum(made.tables[name].height for name in own)
    return [b - a for a, b in pairwise(at)], rows, sum(path.stat().st_size for path in paths)


def measure(record_years: float | Literal["life"], shards: int, repeat: int, size: int) -> dict[str, Any]:
    """Return the CPU seconds of each stage, with rows, bytes and wall seconds."""
    from ehrsatz.parts import SimulatorPart
    from ehrsatz.simulation import maker, setting
    from ehrsatz.simulator.shards import WORLD

    begun = time.process_time()
    n = shards * size
    make = maker(SimulatorPart(record_years=record_years), n, 0)
    here = setting(make.part, n, 0)
    start = time.process_time() - begun
    best: list[float] = []
    wall = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        one(here, 0, min(size, 256), Path(folder) / "warm")
        for k in range(repeat):
            clock = time.perf_counter()
            found = [one(here, size * shard, size, Path(folder) / str(k)) for shard in range(shards)]
            wall = min(wall, time.perf_counter() - clock)
            sums = [sum(part) for part in zip(*(times for times, _, _ in found), strict=True)]
            if not best or sum(sums) < sum(best):
                best = sums
    rows = sum(count for _, count, _ in found)
    return {
        "record_years": record_years,
        "patients": n,
        "rows": rows,
        "bytes": sum(count for _, _, count in found),
        "world": list(WORLD),
        "start_cpu_s": round(start, 2),
        "wall_s": round(wall, 2),
        "cpu_s": {name: round(value, 3) for name, value in zip(STAGES, best, strict=True)},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record-years", type=years_of, default=10.0)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--size", type=int, default=1024, help="patients of a shard")
    given = parser.parse_args()
    sys.stdout.write(json.dumps(measure(given.record_years, given.shards, given.repeat, given.size)) + "\n")


if __name__ == "__main__":
    main()
