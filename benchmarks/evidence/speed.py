"""The whole evaluation against three peers on the same tables: wall and CPU seconds, peak memory.

    python -m benchmarks.evidence.speed [--rows 20000 100000] [--peers ENVS] [--cap 90]

Ours runs every registered metric that applies, twice: on two threads (the figure to reach), and one metric after the
other (what each costs). A peer runs every part that it has for a single table, each stopped after `--cap` seconds; the
time of a part that was stopped, failed or ran out of memory counts as far as it went, so a peer's sum is a lower bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = {"sdmetrics": "metrics", "anonymeter": "meter", "syntheval": "syntheval"}  # environment -> module
LIMITS = {20_000: (180, 2048), 100_000: (600, None)}  # rows -> wall seconds and MB to keep


def run(python: str, module: str, *arguments: str) -> dict[str, Any]:
    """Run a child and return the JSON that it prints last."""
    done = subprocess.run(
        [python, "-m", f"benchmarks.evidence.{module}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{module} ended with {done.returncode} and printed no result:\n{done.stderr[-1500:]}")
    return dict(json.loads(lines[-1]))


def measure(folder: Path, peers: Path | None, cap: int) -> dict[str, Any]:
    """Run ours and the peers that are there on the tables of a folder."""
    out: dict[str, Any] = {
        "spec": json.loads((folder / "spec.json").read_text()),
        "ours": run(sys.executable, "ours", str(folder)),
        "by_metric": run(sys.executable, "ours", str(folder), "--by-metric"),
        "peers": {},
    }
    for name, module in PEERS.items():
        python = peers / name / "bin" / "python" if peers else None
        if python is not None and python.exists():
            out["peers"][name] = run(str(python), f"peers.{module}", str(folder), "--cap", str(cap))
    return out


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown, one section per number of rows."""
    parts = []
    for rows, one in sorted(results.items(), key=lambda item: int(item[0])):
        ours, each = one["ours"], one["by_metric"]
        columns = len(one["spec"]["columns"])
        parts += [f"#### {int(rows):,} rows in each of three tables, {columns} compared columns", ""]
        parts += ["| evaluation | parts | wall s | CPU s | peak MB | |", "|---|---|---|---|---|---|"]
        limit = LIMITS.get(int(rows))
        word = ""
        if limit:
            kept = ours["wall_s"] <= limit[0] and (limit[1] is None or ours["peak_mb"] <= limit[1])
            asked = f"{limit[0]} s" + (f", {limit[1]:,} MB" if limit[1] else "")
            word = f"asked for {asked}: {'met' if kept else '**missed**'}"
        parts.append(
            f"| **ehrsatz**, two threads | {ours['measured']} of {ours['metrics']} metrics apply "
            f"| {ours['wall_s']:.0f} | {ours['cpu_s']:.0f} | {ours['peak_mb']:,} | {word} |"
        )
        for name, peer in one["peers"].items():
            steps = peer["steps"]
            bad = [step for step in steps if step["status"] != "ok"]
            told = "; ".join(f"{step['part']}: {step['status'].split(':')[0]}" for step in bad)
            parts.append(
                f"| {name} {peer['versions'][name]} | {len(steps) - len(bad)} of {len(steps)} parts ended "
                f"| {sum(s['wall_s'] for s in steps):.0f} | {sum(s['cpu_s'] for s in steps):.0f} "
                f"| {max(s['peak_mb'] for s in steps):,} | {told} |"
            )
        if one["peers"]:
            cpu = sum(step["cpu_s"] for peer in one["peers"].values() for step in peer["steps"])
            parts.append(f"| the peers together | | | {cpu:.0f} | | {cpu / ours['cpu_s']:.1f} times ours, at least |")
        steps = sorted(each["steps"], key=lambda step: -step["cpu_s"])
        top = ", ".join(f"`{s['part']}` {s['cpu_s']:.1f}" for s in steps[:10])
        parts += [
            "",
            f"The ten that cost most, CPU s: {top}; all others together {sum(s['cpu_s'] for s in steps[10:]):.1f}.",
            "",
        ]
    return "\n".join(parts)


def main() -> None:
    """Make the tables where they are not there yet, measure, keep the results, print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=HERE.parent / "work" / "evidence")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments; without it no peer runs")
    parser.add_argument("--peer-rows", type=int, default=20_000, help="rows above which no peer runs")
    parser.add_argument("--cap", type=int, default=90, help="wall seconds a peer's part may take")
    given = parser.parse_args()
    from benchmarks.evidence.tables import make

    place = HERE / "results" / "speed.json"
    results = json.loads(place.read_text()) if place.exists() else {}
    for rows in given.rows:
        folder = given.work / str(rows)
        if not (folder / "spec.json").exists():
            make(given.data, rows, folder)
        results[str(rows)] = measure(folder, given.peers if rows <= given.peer_rows else None, given.cap)
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
