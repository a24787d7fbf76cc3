"""What conditions cost: `python -m benchmarks.tabular.conditional`.

Every generator that honours `given` learns one data set and draws the same number of rows plainly and under each of
four conditions: a rare level of the outcome, a band of a number, both, equal shares of the outcome. One thread, CPU
seconds, the fastest of some repetitions, so that what runs beside it does not count.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.tabular import jobs
from benchmarks.tabular.sets import SETS

HERE = Path(__file__).resolve().parent
MOST = 2.0  # times the CPU seconds of plain sampling
KINDS = ("rare level", "band", "both", "equal shares")
LEAST_HELD = 10  # rows that hold the rare level


def main() -> None:
    """Measure every generator, keep the results, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular.conditional", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=HERE.parent / "work")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--set", default="heart_disease_uci", choices=list(SETS))
    parser.add_argument("--generators", nargs="+", help="default: all that honour conditions")
    parser.add_argument("--rows", type=int, default=4000, help="rows drawn each time (default 4000)")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    from ehrsatz.generators.base import able_to_condition

    folder = jobs.prepare(given.set, given.data, given.work, 0)
    path = given.results / "conditional.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if found.get("set") != given.set or found.get("rows") != given.rows:
        found = {"set": given.set, "rows": given.rows, "generators": {}}
    for name in given.generators or able_to_condition():
        found["generators"][name] = measure(name, folder, given.rows, given.repeats)
        print(f"# {name} {found['generators'][name]}", flush=True)
        given.results.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(markdown(found))


def measure(name: str, folder: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Return the CPU seconds of plain sampling, and of sampling under each condition that the generator honours.

    Parameters
    ----------
    name
        Registered name of a generator.
    folder
        Folder of a split, as `jobs.prepare` writes it.
    rows, repeats
        Rows drawn each time; repetitions of which the fastest counts.
    """
    from ehrsatz import pipeline

    dataset = pipeline.read(folder / "train.csv")
    target = json.loads((folder / "spec.json").read_text(encoding="utf-8"))["target"]
    model = pipeline.generator(name)
    model.fit(dataset, seed=0)
    record: dict[str, Any] = {"source": jobs.source(), "plain": _fastest(model, rows, None, repeats)}
    for kind, wish in conditions(dataset, target).items():
        refused = {dataset.schema.parent[column].kind for column in wish} - model.conditions_on
        if not refused:
            record[kind] = _fastest(model, rows, wish, repeats)
    return record


def conditions(dataset: Any, target: str) -> dict[str, dict[str, Any]]:
    """Return the four conditions: the rarest level of the outcome that enough rows hold, the top quarter of a number.

    The number is the one with the most different values.
    """
    table, schema = dataset.table, dataset.schema.parent
    counts = table[target].drop_nulls().value_counts().filter(_at_least(LEAST_HELD)).sort("count", target)
    level = {target: counts[target][0]}
    numbers = [c.name for c in schema.columns if c.kind in {"integer", "number"} and c.name != target]
    widest = max(numbers, key=lambda name: table[name].n_unique())
    low, high = table[widest].quantile(0.75, "nearest"), table[widest].max()
    band = {widest: {"min": low, "max": high}}
    shares = {target: {"share": dict.fromkeys(counts[target].to_list(), 1 / counts.height)}}
    return dict(zip(KINDS, (level, band, {**level, **band}, shares)))


def markdown(found: dict[str, Any]) -> str:
    """Return the table: plain CPU seconds, then each condition as a multiple of it."""
    if not found.get("generators"):
        return "Not measured.\n"
    lines = [
        f"Drawing {found['rows']:,} rows after learning {found['set']}: CPU seconds plainly, then times that.",
        "",
        f"| run | plain, s | {' | '.join(KINDS)} | at most {MOST:g} times |",
        "|" + "---|" * (len(KINDS) + 3),
    ]
    for name, record in sorted(found["generators"].items()):
        times = {kind: record[kind] / record["plain"] for kind in KINDS if kind in record}
        cells = (f"{times[kind]:.2f}" if kind in times else "not honoured" for kind in KINDS)
        met = "met" if max(times.values(), default=0.0) <= MOST else "**missed**"
        lines.append(f"| {name} | {record['plain']:.3f} | {' | '.join(cells)} | {met if times else ''} |")
    return "\n".join(lines) + "\n"


def _fastest(model: Any, rows: int, wish: dict[str, Any] | None, repeats: int) -> float:
    spent = []
    for i in range(repeats):
        begun = time.process_time()
        drawn = model.sample(rows, seed=i, given=wish)
        spent.append(time.process_time() - begun)
        if drawn.n_subjects != rows:
            raise SystemExit(f"Expected {rows} rows, {drawn.n_subjects} came.")
    return round(min(spent), 4)


def _at_least(held: int) -> Any:
    import polars as pl

    return pl.col("count") >= held


if __name__ == "__main__":
    main()
