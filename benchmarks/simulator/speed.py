"""How fast one core is, by years of routine care, beside writing the same rows alone and beside other simulators.

python -m benchmarks.simulator.speed [--record-years 1 2 3 10 life] [--peers ENVS]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.simulator import peers
from benchmarks.simulator.child import module
from benchmarks.simulator.results import keep, kept
from benchmarks.simulator.stages import STAGES

ROWS, PATIENTS, RICH = 500_000, 1_000, 400  # to reach: rows a second; patients a second at so many rows each
SHARDS = {"life": 1, "10": 2}  # of 1,024 patients; 4 for shorter records
SYNTHEA = (
    "Synthea itself (Java) is not part of this run. Its engine, master of July 2023, was built from source and run on "
    "such a machine before: 5 to 7 patients a CPU second, 14 to 19 thousand rows, without FHIR export, after 11.5 CPU "
    "seconds of start (about 2,770 CSV rows a patient)."
)


def measure(years: str, shards: int, repeat: int, size: int) -> dict[str, Any]:
    """Run the stages in a process of their own."""
    ran = module(
        "stages", "--record-years", years, "--shards", str(shards), "--repeat", str(repeat), "--size", str(size)
    )
    return ran.told() | {"peak_mb": round(ran.peak_mb)}


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    ours = {name: one for name, one in results.items() if name not in ("peers",)}
    lines = [
        "CPU milliseconds for a patient on one core, one thread in every library; Parquet with zstd, all tables.",
        "",
        "| routine care | rows a patient | engine | charts | frames, ledger | Parquet | together "
        "| patients/s | rows/s | times Parquet alone | bytes a row | peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in sorted(ours.items(), key=lambda item: float("inf") if item[0] == "life" else float(item[0])):
        n, rows = one["patients"], one["rows"]
        each = [1000 * one["cpu_s"][stage] / n for stage in STAGES]
        whole = sum(one["cpu_s"].values())
        word = "life" if name == "life" else f"{name} year{'' if name == '1' else 's'}"
        lines.append(
            f"| {word} | {rows / n:,.0f} | {' | '.join(f'{ms:.2f}' for ms in each)} | {sum(each):.2f} "
            f"| {n / whole:,.0f} | {rows / whole:,.0f} | {whole / one['cpu_s']['parquet']:.1f} "
            f"| {one['bytes'] / rows:.1f} | {one['peak_mb']:,} |"
        )
    lines += ["", *_reached(ours)]
    if "peers" in results:
        lines += [*peers.table(results["peers"], _best(ours)), SYNTHEA, ""]
    return "\n".join(lines)


def _best(ours: dict[str, Any]) -> float:
    """Return the most rows a second of ours."""
    return max(one["rows"] / sum(one["cpu_s"].values()) for one in ours.values())


def _reached(ours: dict[str, Any]) -> list[str]:
    rich = [one for one in ours.values() if one["rows"] / one["patients"] >= RICH]
    rows = _best(ours)
    patients = max((one["patients"] / sum(one["cpu_s"].values()) for one in rich), default=0.0)
    return [
        f"Asked for {ROWS:,} rows a second and core: {rows:,.0f}, {'met' if rows >= ROWS else '**missed**'}. Asked for "
        f"{PATIENTS:,} patients a second and core at {RICH} rows or more: {patients:,.0f}, "
        f"{'met' if patients >= PATIENTS else '**missed**'}.",
        "",
    ]


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record-years", nargs="+", default=["1", "2", "3", "10", "life"])
    parser.add_argument("--shards", type=int, help="shards of each; 1 to 4 where not given")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--size", type=int, default=1024, help="patients of a shard")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments; without it none is run")
    parser.add_argument("--cap", type=int, default=120, help="CPU seconds that a peer may take")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    place = given.results / "speed.json"
    for years in given.record_years:
        keep(place, years, measure(years, given.shards or SHARDS.get(years, 4), given.repeat, given.size))
    if given.peers is not None:
        keep(place, "peers", peers.measure(given.peers, given.cap))
    print(table(kept(place)))


if __name__ == "__main__":
    main()
