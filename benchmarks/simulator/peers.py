"""Other simulators of patients, each in an environment of its own: patients and resources a CPU second.

    python -m benchmarks.simulator.peers --peers ENVS [--cap 120]

They write FHIR, not tables: a resource stands for a row. A peer that reaches the cap is cut, and what it had written by
then counts. CPU seconds include the start of the process, which is a few seconds of each.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.simulator.child import run
from benchmarks.simulator.results import keep

PEERS: dict[str, tuple[str, str, str]] = {  # environment -> distribution, command, what it makes
    "tietai": (
        "tietai-synthea",
        "synthea generate -p 60 -s 1 -r 20251231 -o {out} --log-level error",
        "birth to death, Synthea's modules in Python",
    ),
    "clinosim": (
        "clinosim",
        "clinosim simulate -p 800 -s 1 --end 2025-12-31 --format fhir-r4 -o {out}",
        "one year of a hospital",
    ),
    "carebundle": (
        "carebundle",
        "carebundle generate --profile mixed --count 3000 --seed 1 --format ndjson --out {out}",
        "one visit, five profiles",
    ),
}


def measure(folder: Path, cap: int) -> dict[str, Any]:
    """Run every peer whose environment is there."""
    out = {}
    for name, (distribution, command, what) in PEERS.items():
        place = folder / name / "bin"
        program, *rest = command.split()
        if not (place / program).exists():
            continue
        with tempfile.TemporaryDirectory() as made:
            env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            ran = run(
                [str(place / program), *(part.format(out=made) for part in rest)], cap=cap, env=env, cwd=Path(made)
            )
            patients, resources, size = counted(Path(made))
        out[name] = {
            "distribution": distribution,
            "version": _version(place, distribution),
            "what": what,
            "code": ran.code,
            "cpu_s": max(round(ran.cpu_s, 2), 0.01),
            "wall_s": round(ran.wall_s, 1),
            "peak_mb": round(ran.peak_mb),
            "patients": patients,
            "resources": resources,
            "bytes": size,
            "errors": "" if not ran.code or ran.cpu_s >= cap - 1 else ran.errors[-300:],
            "cut": ran.cpu_s >= cap - 1,
        }
    return out


def counted(folder: Path) -> tuple[int, int, int]:
    """Return patients, resources and bytes of FHIR files: bundles, or a resource a line."""
    patients = resources = size = 0
    for path in sorted((*folder.rglob("*.json"), *folder.rglob("*.ndjson"))):
        kinds = list(_kinds(path))
        if kinds:
            size += path.stat().st_size
        patients += kinds.count("Patient")
        resources += len(kinds)
    return patients, resources, size


def _kinds(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if path.suffix == ".ndjson" else [text]
    for line in lines:
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError:  # the last line of a peer that was cut
            continue
        if not isinstance(data, dict) or "resourceType" not in data:
            continue
        if data["resourceType"] == "Bundle":
            yield from (one["resource"]["resourceType"] for one in data.get("entry", ()) if "resource" in one)
        else:
            yield str(data["resourceType"])


def _version(place: Path, distribution: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return run([str(place / "python"), "-c", code], env=dict(os.environ)).output.strip()


def table(results: dict[str, Any], rows: float) -> list[str]:
    """Return the results as lines of Markdown, beside our rows a second."""
    lines = [
        "| simulator | what it makes | patients | resources a patient | CPU s | patients/s | resources/s "
        "| ours, times | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results.values():
        name = f"{one['distribution']} {one['version']}"
        if one["errors"] or not one["patients"]:
            lines.append(f"| {name} | {one['what']} | failed | | {one['cpu_s']} | | | | {one['peak_mb']:,} |")
            continue
        speed = one["resources"] / one["cpu_s"]
        lines.append(
            f"| {name} | {one['what']} | {one['patients']:,}{', cut' if one['cut'] else ''} "
            f"| {one['resources'] / one['patients']:,.0f} | {one['cpu_s']} | {one['patients'] / one['cpu_s']:,.1f} "
            f"| {speed:,.0f} | {rows / speed:,.0f} | {one['peak_mb']:,} |"
        )
    return [*lines, ""]


def main() -> None:
    """Measure, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--cap", type=int, default=120)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    found = measure(given.peers, given.cap)
    keep(given.results / "speed.json", "peers", found)
    print("\n".join(table(found, float("nan"))))


if __name__ == "__main__":
    main()
