"""The dial of `trees`, measured: `python -m benchmarks.tabular.dial --dial NAME=value,value,...`.

For each value: how well a classifier tells real from synthetic rows (fidelity) against how well the best of three
attacks tells members (privacy), beside plain CART and, where it was measured, every peer of the main table.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.tabular import jobs, picture, plan, table
from benchmarks.tabular.sets import SETS

HERE = Path(__file__).resolve().parent
SHOWN = ("adversarial", "coverage", "tstr", "dcr_share", "mia_max")


def main() -> None:
    """Measure every value on every set and repetition, write results, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular.dial", description=__doc__)
    parser.add_argument("--dial", required=True, help="parameter of trees and its values, as name=value,value,...")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=HERE.parent / "work")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peers", type=Path, help="folder of environments; ours is taken from there where it is")
    parser.add_argument("--reuse", action="store_true")
    given = parser.parse_args()
    name, _, texts = given.dial.partition("=")
    values = [float(text) for text in texts.split(",")]
    known = plan.runs(name, values)
    chosen = [known["cart"], *(known[f"trees {name}={value:g}"] for value in values)]
    path = given.results / "dial.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for one in given.sets:
        for run in chosen:
            records = []
            python = plan.python_of(run, given.peers) or Path(sys.executable)
            for seed in range(given.seeds):
                folder = jobs.prepare(one, given.data, given.work, seed)
                record = jobs.fit(run, python, folder, seed, 0, given.reuse)
                if record["status"] != "ok":
                    raise SystemExit(f"{one}, {run.name}: {record['error']}")
                records.append(jobs.scores(run, folder))
            found.setdefault(one, {})[run.name] = {k: round(mean(r[k] for r in records), 4) for k in SHOWN}
            print(f"# {one} {run.name} {found[one][run.name]}", flush=True)
    given.results.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    lines = [
        (
            one,
            [
                (found[one][f"trees {name}={v:g}"]["mia_max"], found[one][f"trees {name}={v:g}"]["adversarial"])
                for v in values
            ],
            [f"{v:g}" for v in values],
        )
        for one in given.sets
    ]
    picture.draw(
        path.with_suffix(".svg"),
        f"trees: fidelity against membership risk over {name}",
        "membership AUC (0.5: nothing told)",
        "adversarial AUC (0.5: alike)",
        lines,
    )
    for one in given.sets:
        print(markdown(one, found[one], given.results))


def markdown(one: str, found: dict[str, dict[str, float]], results: Path) -> str:
    """Return the curve of one set as a table, the peers of the main table below it."""
    lines = [
        f"### {one}",
        "",
        "| run | adversarial AUC | coverage | TSTR | DCR share | membership AUC |",
        "|" + "---|" * 6,
    ]
    rows = dict(found)
    for run, entry in table.load(results / f"{one}.json")["runs"].items():
        good = [r for r in entry["seeds"].values() if "adversarial" in r]
        if entry["kind"] == "peer" and good:
            rows[run] = {k: mean(r[k] for r in good) for k in SHOWN}
    for run, values in rows.items():
        lines.append(f"| {run} | {' | '.join(f'{values[k]:.3f}' for k in SHOWN)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
