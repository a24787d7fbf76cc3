"""Time, memory and disk against the number of patients, with the whole command; and what a million would take.

    python -m benchmarks.simulator.scale [--n 2000 4000 8000 16000 32000] [--record-years 2]
    python -m benchmarks.simulator.scale --memory [--n 4000 16000]

Each size is a fresh `ehrsatz fabricate` on one worker: patients, files, checks, figures, report, hashes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.simulator.child import EHRSATZ, run
from benchmarks.simulator.results import keep, kept

MILLION = 1_000_000
LIMIT_MB = 1536  # to keep, whatever the number
COMMAND = "ehrsatz fabricate clinic --n 1000000 --record-years 2 --format parquet --workers {workers} --out million/"


def measure(n: int, record_years: str, workers: int = 1) -> dict[str, Any]:
    """Fabricate n patients in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "release"
        command = [
            *EHRSATZ,
            "fabricate",
            "clinic",
            "--n",
            str(n),
            "--record-years",
            record_years,
        ]
        ran = run([*command, "--format", "parquet", "--workers", str(workers), "--out", str(out)])
        if ran.code not in (0, 1) or not out.is_dir():  # 1: held by the gate, which is no matter of speed
            raise SystemExit(f"The command ended with {ran.code}:\n{ran.errors[-2000:]}")
        data = list(out.rglob("*.parquet"))
        rows = _rows(data)
        return {
            "n": n,
            "record_years": record_years,
            "workers": workers,
            "rows": rows,
            "cpu_s": round(ran.cpu_s, 2),
            "wall_s": round(ran.wall_s, 2),
            "peak_mb": round(ran.peak_mb),
            "data_bytes": sum(path.stat().st_size for path in data),
            "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
            "files": sum(path.is_file() for path in out.rglob("*")),
        }


def _rows(paths: list[Path]) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(str(path)).num_rows for path in paths)


def line(sizes: list[float], seconds: list[float]) -> tuple[float, float, float]:
    """Return start, slope, and the largest miss of a straight line as a share of what was measured.

    Least squares of relative misses: small cohorts count as much as large ones.
    """
    import numpy as np

    x, y = np.array(sizes), np.array(seconds)
    design = np.stack([np.ones(len(x)), x], axis=1) / y[:, None]
    start, slope = np.linalg.lstsq(design, np.ones(len(x)), rcond=None)[0]
    return float(start), float(slope), float(np.abs((start + slope * x) / y - 1).max())


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    every = sorted(results.values(), key=lambda one: (str(one["record_years"]), one["n"]))
    lines = [
        "| patients | routine care, years | rows | CPU s | CPU ms a patient | wall s | peak MB | Parquet MB | files |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['n']:,} | {one['record_years']} | {one['rows']:,} | {one['cpu_s']:.1f} "
        f"| {1000 * one['cpu_s'] / one['n']:.2f} | {one['wall_s']:.1f} | {one['peak_mb']:,} "
        f"| {one['data_bytes'] / 1e6:,.1f} | {one['files']:,} |"
        for one in every
    ]
    return "\n".join([*lines, ""])


def extrapolated(results: dict[str, Any]) -> str:
    """Return what the sizes say of a million, in words."""
    every = sorted(results.values(), key=lambda one: one["n"])
    if len(every) < 3:
        return ""
    start, slope, miss = line([one["n"] for one in every], [one["cpu_s"] for one in every])
    last = every[-1]
    hours = (start + slope * MILLION) / 3600
    size = last["bytes"] / last["n"] * MILLION / 1e9
    rows = last["rows"] / last["n"] * MILLION
    return (
        f"A straight line through all sizes: {start:.1f} s and {1000 * slope:.3f} CPU ms for each patient, off by at "
        f"most {miss:.1%} of what was measured. By it, {MILLION:,} patients take {hours:.2f} CPU hours on one core "
        f"({hours / 8:.2f} hours on eight), {rows / 1e9:.2f} thousand million rows and {size:,.0f} GB of Parquet: "
        f"`{COMMAND.format(workers=8)}`. Extrapolated, not run."
    )


def kept_small(results: dict[str, Any]) -> str:
    """Return whether memory stayed below the limit and did not grow, in words."""
    every = sorted(results.values(), key=lambda one: one["n"])
    peaks = [one["peak_mb"] for one in every]
    good = max(peaks) < LIMIT_MB
    return (
        f"Asked for less than {LIMIT_MB:,} MB whatever the number: {max(peaks):,} MB, "
        f"{'met' if good else '**missed**'}; "
        f"from {every[0]['n']:,} to {every[-1]['n']:,} patients the peak changed by {peaks[-1] - peaks[0]:+,} MB."
    )


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+")
    parser.add_argument("--record-years")
    parser.add_argument("--memory", action="store_true", help="sizes and years to watch memory by, ten years of care")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    sizes = given.n or ([4_000, 16_000] if given.memory else [2_000, 4_000, 8_000, 16_000, 32_000])
    years = given.record_years or ("10" if given.memory else "2")
    place = given.results / ("memory.json" if given.memory else "scale.json")
    for n in sizes:
        keep(place, f"{n}", measure(n, years))
    print(table(kept(place)))
    print(kept_small(kept(place)) if given.memory else extrapolated(kept(place)))


if __name__ == "__main__":
    main()
