"""The same cohort on 1, 2, 4 and 8 workers: are all files the same, by SHA-256 of what lies on disk?

python -m benchmarks.simulator.workers [--n 6000] [--record-years 2] [--workers 1 2 4 8]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.simulator.results import keep, kept


def hashes(folder: Path) -> dict[str, str]:
    """Return file -> SHA-256 of everything in a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def measure(n: int, record_years: float, workers: int, size: int | None = None) -> dict[str, Any]:
    """Write a cohort and return what its files hash to."""
    from ehrsatz.parts import SimulatorPart
    from ehrsatz.simulation import maker
    from ehrsatz.simulator.shards import SIZE, run

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cohort"
        make = maker(SimulatorPart(record_years=record_years), n, 0)
        begun = time.perf_counter()
        made = run(make, n, out, workers=workers, size=size or SIZE)
        wall = time.perf_counter() - begun
        found = hashes(out)
    whole = hashlib.sha256("".join(f"{name} {found[name]}\n" for name in sorted(found)).encode()).hexdigest()
    return {
        "n": n,
        "record_years": record_years,
        "files": len(found),
        "rows": made.n_rows,
        "sha256": whole,
        "wall_s": round(wall, 1),
    }


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = ["| workers | patients | files | rows | SHA-256 of all | wall s |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {name} | {one['n']:,} | {one['files']} | {one['rows']:,} | `{one['sha256'][:16]}` | {one['wall_s']} |"
        for name, one in sorted(results.items(), key=lambda item: int(item[0]))
    ]
    same = len({one["sha256"] for one in results.values()}) == 1
    return "\n".join([*lines, "", f"All the same: {'yes, met' if same else '**no, missed**'}.", ""])


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=6_000)
    parser.add_argument("--record-years", type=float, default=2.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--size", type=int, help="patients of a shard, a multiple of 64; the package's own by default")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    place = given.results / "workers.json"
    place.unlink(missing_ok=True)
    for one in given.workers:
        keep(place, str(one), measure(given.n, given.record_years, one, given.size))
    print(table(kept(place)))


if __name__ == "__main__":
    main()
