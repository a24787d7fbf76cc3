"""Benchmark generators of synthetic tables: `python -m benchmarks.tabular` from the root of the repository."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.tabular import conditional, families, jobs, plan, table, targets
from benchmarks.tabular.sets import SETS

HERE = Path(__file__).resolve().parent
QUICK_SETS, QUICK_RUNS = ("heart_disease_uci", "maternal_health"), ("copy", "columns", "cart", "trees")

SPREAD = (
    "± is half the width of the 95 % t-interval of the mean over repetitions, each with another split and seed. With "
    "three repetitions that is 2.5 times their standard deviation; a run of one repetition has none."
)
PAIRED = (
    "Both on the repetitions that both have. Met: better in adversarial AUC and in TSTR, in at most half the CPU "
    "seconds of the peer. A network that is marked (cut) was stopped by the cap and would have taken longer."
)
LOST = (
    "Every data set and measure in which the mean of a peer beats the best mean of ours, on that peer's repetitions. A "
    "membership AUC counts only where ours is above that of `columns`, which leak nothing."
)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=HERE.parent / "work", help="splits and synthetic tables")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="one JSON file per data set")
    parser.add_argument("--seeds", type=int, default=3, help="repetitions, each with its own split (default 3)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--runs", nargs="+", help="names of runs, or yardstick, ours, peer (default: all)")
    parser.add_argument("--peers", type=Path, help="folder of the peers' virtual environments; without it no peer runs")
    parser.add_argument("--dial", default="", help="further runs of trees, as name=value,value,...")
    parser.add_argument("--cap", type=int, default=150, help="CPU seconds a fit may take (default 150)")
    parser.add_argument("--reuse", action="store_true", help="score earlier synthetic tables instead of fitting again")
    parser.add_argument("--table-only", action="store_true", help="print the tables of earlier results, run nothing")
    parser.add_argument("--page", type=Path, help="page whose part between the table marks is written anew")
    parser.add_argument("--quick", action="store_true", help="two small data sets, four runs, one repetition")
    given = parser.parse_args()
    if given.quick:
        given.sets, given.seeds = list(QUICK_SETS), 1
        given.runs, given.results = given.runs or list(QUICK_RUNS), given.work / "quick"
    return given


def main() -> None:
    """Run what is asked for, one fit at a time, and print the tables."""
    given = arguments()
    name, _, values = given.dial.partition("=")
    known = plan.runs(name, [float(value) for value in values.split(",") if value])
    wanted = set(given.runs or {run.kind for run in known.values()})
    unknown = wanted - set(known) - set(table.ORDER)
    if unknown:
        raise SystemExit(f"Unknown runs: {', '.join(sorted(unknown))}. Known: {', '.join(known)}.")
    chosen = [run for run in known.values() if {run.name, run.kind} & wanted]
    for one in given.sets if not given.table_only else ():
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            for run in chosen:
                if run.wanted(one, seed):
                    _one(run, one, seed, given)
    results = {one: table.load(given.results / f"{one}.json") for one in given.sets}
    held = given.results / "conditional.json"
    text = page(results, json.loads(held.read_text(encoding="utf-8")) if held.exists() else None)
    print(text)
    if given.page:
        table.insert(given.page, text)


def page(results: dict[str, Any], conditioned: dict[str, Any] | None = None) -> str:
    """Return all tables: figures to reach, ours beside their rivals, what conditions cost, losses, the data sets."""
    kept = {one: found for one, found in results.items() if found["runs"]}
    states = {r.get("source") for found in kept.values() for e in found["runs"].values() for r in e["seeds"].values()}
    parts = [SPREAD, ""]
    if len(states - {None}) > 1:
        parts += [f"Rows of ours were measured on {len(states - {None})} states of the source, not on one.", ""]
    parts += ["### Figures to reach, and reached by `trees`", "", targets.markdown(kept)]
    parts += ["### `copula` and `bayesnet` beside their rivals", "", targets.rivals(kept)]
    parts += ["### Learned families beside their peers", "", PAIRED, "", families.pairs(kept)]
    parts += ["### Further figures of the learned families", "", families.figures(kept)]
    if conditioned:
        parts += ["### Conditions", "", conditional.markdown(conditioned)]
    parts += ["### Where we lose", "", LOST, "", families.losses(kept)]
    return "\n".join([*parts, *(table.markdown(one, found) for one, found in kept.items())])


def _one(run: plan.Run, one: str, seed: int, given: argparse.Namespace) -> None:
    python = plan.python_of(run, given.peers)
    if python is None:
        return
    folder = jobs.prepare(one, given.data, given.work, seed)
    record = jobs.fit(run, python, folder, seed, given.cap, given.reuse)
    begun = time.perf_counter()
    if record["status"] in ("ok", "cut"):
        record = {**record, "n_drawn": record["rows"], **jobs.scores(run, folder)}
    table.keep(given.results / f"{one}.json", run.name, run.kind, seed, record)
    shown = {k: record.get(k) for k in ("adversarial", "coverage", "tstr", "trtr", "dcr_share", "mia_max", "rules")}
    numbers = "  ".join(f"{k} {v:.3f}" for k, v in shown.items() if v is not None)
    cost = f"fit {record.get('fit_cpu_s', 0):.1f} CPU s, scored in {time.perf_counter() - begun:.0f} s"
    print(
        f"# {one} seed {seed} {run.name}: {record['status']}  {numbers}  {cost} {record.get('error', '')}", flush=True
    )


if __name__ == "__main__":
    main()
