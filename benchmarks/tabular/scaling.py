"""Cost against rows: `python -m benchmarks.tabular.scaling` from the root of the repository.

First the whole of diabetes130 as its file stands (101,766 x 50), then 10,000 to 1,000,000 rows of its 48 columns
without the two record numbers: real rows as far as they go, beyond that drawn again with replacement and every count
moved by -1, 0 or 1, so that rows are not plain duplicates. Each fit draws as many rows as it learned from.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tabular import jobs, picture, plan
from benchmarks.tabular.sets import SETS

HERE = Path(__file__).resolve().parent
ONE = SETS["diabetes130"]


def rows_of(frame: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Return n rows: real ones first, then redrawn ones whose counts are moved by -1, 0 or 1 (not below 0)."""
    rng = np.random.default_rng(seed)
    real = frame.iloc[rng.permutation(len(frame))[:n]]
    if n <= len(frame):
        return real
    drawn = frame.iloc[rng.integers(0, len(frame), n - len(frame))].copy()
    for name in frame.columns:
        if name not in ONE.categories:
            moved = drawn[name].astype(int) + rng.integers(-1, 2, len(drawn))
            drawn[name] = moved.clip(lower=int(frame[name].astype(int).min())).astype(str)
    return pd.concat([real, drawn])


def measure(frame: pd.DataFrame, name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Fit and sample once; return rows and cost."""
    folder = given.work / "scaling" / name
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "train.csv", index=False)
    run = plan.Run(given.generator, "ours", "ehrsatz", options={"generator": given.generator})
    record = jobs.fit(run, plan.python_of(run, given.peers) or Path(sys.executable), folder, 0, given.cap, reuse=False)
    (folder / "train.csv").unlink()
    costs = {k: v for k, v in record.items() if k.endswith(("cpu_s", "wall_s")) or k in ("status", "error", "peak_mb")}
    return {"rows": len(frame), "columns": frame.shape[1], **costs}


def main() -> None:
    """Measure, write results and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular.scaling", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=HERE.parent / "work")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--generator", default="trees")
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 31_623, 100_000, 316_228, 1_000_000])
    parser.add_argument("--peers", type=Path, help="folder of environments; ours is taken from there where it is")
    parser.add_argument("--cap", type=int, default=1_800, help="CPU seconds a fit may take")
    given = parser.parse_args()
    whole = pd.read_csv(given.data / ONE.file, dtype=str, keep_default_na=False, na_values=[])
    found = {"whole": measure(whole, "whole", given), "curve": []}
    frame = whole.drop(columns=list(ONE.drop))
    for n in given.rows:
        found["curve"].append(measure(rows_of(frame, n, seed=0), str(n), given))
        print(f"# {found['curve'][-1]}", flush=True)
    given.results.mkdir(parents=True, exist_ok=True)
    path = given.results / f"scaling_{given.generator}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    good = [r for r in found["curve"] if r["status"] == "ok"]
    if len(good) > 1:
        picture.draw(
            path.with_suffix(".svg"),
            f"{given.generator}: CPU seconds against rows (48 columns, one thread)",
            "rows",
            "CPU seconds",
            [(k, [(r["rows"], r[f"{k}_cpu_s"]) for r in good], []) for k in ("read", "fit", "sample")],
            logarithmic=True,
        )
    print(markdown(found))


def markdown(found: dict[str, Any]) -> str:
    """Return the table, with the exponent of growth between neighbours (1: linear)."""
    lines = [
        "| rows x columns | read CPU s | fit CPU s | sample CPU s | memory MB | fit grows as rows to the power |",
        "|---|---|---|---|---|---|",
    ]
    before = None
    for record in (found["whole"], *found["curve"]):
        size = f"{record['rows']:,} x {record['columns']}"
        if record["status"] != "ok":
            lines.append(f"| {size} | {record.get('error', record['status'])} | | | | |")
            continue
        power = ""
        if before:
            power = f"{math.log(record['fit_cpu_s'] / before['fit_cpu_s'], record['rows'] / before['rows']):.2f}"
        cells = (f"{record[f'{k}_cpu_s']:.1f}" for k in ("read", "fit", "sample"))
        lines.append(f"| {size} | {' | '.join(cells)} | {record['peak_mb']} | {power} |")
        before = record if record is not found["whole"] else None
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
