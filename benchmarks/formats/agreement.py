"""A cohort in every format, made by the command, and reconciled: differences, time and memory by size.

    python -m benchmarks.formats.agreement [--n 1000 2000 4000 10000]

Each size is the whole `ehrsatz fabricate` in a process of its own, with all formats; the last is reconciled again by
`ehrsatz reconcile`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.simulator.child import EHRSATZ, run
from benchmarks.simulator.results import keep, kept

MOST_MB = 1_000.0


def measure(n: int, formats: str, record_years: str, *, reconcile: bool) -> dict[str, Any]:
    """Fabricate n patients in all formats; where asked, reconcile them in a further process."""
    root = Path(tempfile.mkdtemp())
    try:
        out = root / "release"
        words = ["fabricate", "clinic", "--n", str(n), "--seed", "1", "--record-years", record_years]
        made = run([*EHRSATZ, *words, "--format", formats, "--out", str(out), "--json"])
        if made.code not in (0, 1):
            raise SystemExit(f"fabricate ended with {made.code}:\n{made.errors[-2000:]}")
        told = json.loads(made.output)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        record = {
            "n": n,
            "rows": told["n_rows"],
            "cpu_s": made.cpu_s,
            "wall_s": made.wall_s,
            "peak_mb": made.peak_mb,
            "bytes": size,
            "decision": told["decision"],
        }
        if reconcile:
            proved = run([*EHRSATZ, "reconcile", str(out), "--json"])
            record |= {"proof": json.loads(proved.output), "proof_cpu_s": proved.cpu_s, "proof_mb": proved.peak_mb}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return record


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    sizes = sorted(results.values(), key=lambda one: one["n"])
    lines = [
        "| patients | rows | CPU s | CPU ms a patient | peak MB | GB on disk |",
        "|---|---|---|---|---|---|",
    ]
    for one in sizes:
        lines.append(
            f"| {one['n']:,} | {one['rows']:,} | {one['cpu_s']:,.0f} | {1000 * one['cpu_s'] / one['n']:,.1f} "
            f"| {one['peak_mb']:,.0f} | {one['bytes'] / 1e9:,.2f} |"
        )
    most = max(one["peak_mb"] for one in sizes)
    lines += [
        "",
        f"Asked for less than {MOST_MB:,.0f} MB: {most:,.0f}, {'met' if most < MOST_MB else '**missed**'}.",
        "",
    ]
    proved = next((one for one in reversed(sizes) if "proof" in one), None)
    if proved is not None:
        proof = proved["proof"]
        lines += [
            f"{proof['n_patients']:,} patients reconciled against {proof['reference']}: {proof['n_facts']:,} facts, "
            f"{proof['n_differ']:,} differences outside the declared losses "
            f"({'met' if not proof['n_differ'] else '**missed**'}); {proved['proof_cpu_s']:,.0f} CPU s, "
            f"{proved['proof_mb']:,.0f} MB.",
            "",
            "| format | facts compared | differ | columns carried | declared losses |",
            "|---|---|---|---|---|",
        ]
        for one in proof["formats"]:
            counts = f"{one['n_facts']:,} | {one['n_differ']:,} | {one['n_columns']} | {len(one['losses'])}"
            lines.append(f"| {one['format']} | {counts} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure, keep, print."""
    from ehrsatz import registry

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[1_000, 2_000, 4_000, 10_000])
    parser.add_argument("--record-years", default="1")
    names = [name for name in registry.names("exporters") if name != "layout"]
    parser.add_argument("--formats", default=",".join(names))
    parser.add_argument("--results", type=Path, required=True)
    given = parser.parse_args()
    place = given.results / "agreement.json"
    for n in given.n:
        last = n == max(given.n)
        keep(place, str(n), measure(n, given.formats, given.record_years, reconcile=last))
    print(table(kept(place)))


if __name__ == "__main__":
    main()
