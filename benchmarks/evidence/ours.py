"""The whole evaluation of ehrsatz on the tables of a folder: what each metric takes, and all of them on two threads."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.tabular.cost import cpu_seconds, peak_megabytes


def main() -> None:
    """Print one JSON: wall and CPU seconds, peak memory, one entry per metric where asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--by-metric", action="store_true", help="one metric after the other, each timed")
    given = parser.parse_args()
    spec = json.loads((given.folder / "spec.json").read_text())
    wall, cpu = time.perf_counter(), cpu_seconds()
    import ehrsatz
    from ehrsatz.evaluation.evaluate import evaluate
    from ehrsatz.evaluation.task import Task
    from ehrsatz.schema import Schema

    schema = Schema.from_yaml((given.folder / "schema.yaml").read_text())
    parts = [
        ehrsatz.read(
            given.folder / f"whole-{name}.csv", schema=schema, origin="generated" if name == "synthetic" else "real"
        )
        for name in ("train", "holdout", "synthetic")
    ]
    task = Task(spec["target"], quasi=tuple(spec["quasi"]), secrets=tuple(spec["secrets"]))
    steps: list[dict[str, Any]] = []
    last: list[Any] = []

    def lap(what: str, done: int, total: int) -> None:
        now = time.perf_counter(), cpu_seconds()
        if last:
            steps.append({"part": last[2], "wall_s": round(now[0] - last[0], 2), "cpu_s": round(now[1] - last[1], 2)})
        last[:] = [*now, what]

    result = evaluate(
        *parts,
        task=task,
        seed=1,
        workers=1 if given.by_metric else given.workers,
        progress=lap if given.by_metric else None,
    )
    states = [score.status for score in result.scores]
    told = {
        "versions": {"ehrsatz": ehrsatz.__version__},
        "metrics": len(states),
        "measured": states.count("measured"),
        "failed": states.count("failed"),
        "workers": 1 if given.by_metric else given.workers,
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(cpu_seconds() - cpu, 2),
        "peak_mb": round(peak_megabytes()),
        "steps": steps,
    }
    print("\n" + json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
