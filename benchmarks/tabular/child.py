"""Fit one method on train.csv, draw rows, and write synth.csv with what it cost: one process per fit.

Runs inside the environment of that method and imports nothing else. CPU seconds count worker processes; memory is
the high-water mark of this process (VmHWM, which unlike ru_maxrss does not inherit the launcher's) or, if larger,
of its largest worker.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tabular.cost import Cap, CutError, cpu_seconds, peak_megabytes

METHODS = {  # name -> file, class, packages whose version is recorded
    "copy": ("yardsticks", "Copy", ()),
    "columns": ("yardsticks", "Columns", ()),
    "further": ("yardsticks", "Further", ()),
    "cart": ("cart", "Cart", ("scikit-learn",)),
    "ehrsatz": ("ours", "Ours", ("ehrsatz", "polars", "scikit-learn", "numpy")),
    "ehrsatz_network": ("ours", "OursNetwork", ("ehrsatz", "polars", "torch", "numpy")),
    "sdv_copula": ("sdv", "SdvCopula", ("sdv", "copulas")),
    "sdv_ctgan": ("sdv", "SdvCtgan", ("sdv", "ctgan", "torch")),
    "sdv_tvae": ("sdv", "SdvTvae", ("sdv", "ctgan", "torch")),
    "mostly": ("mostly", "Mostly", ("mostlyai-engine", "torch")),
    "pyseq_cart": ("synthpop", "PySeqCart", ("pyseq_cart",)),
    "python_synthpop": ("synthpop", "PythonSynthpop", ("python-synthpop",)),
    "synthcity_bayesnet": ("synthcity", "SynthcityBayesNet", ("synthcity", "pgmpy")),
    "synthcity_ddpm": ("synthcity", "SynthcityDdpm", ("synthcity", "torch")),
    "synthcity_nflow": ("synthcity", "SynthcityNflow", ("synthcity", "nflows", "torch")),
    "synthcity_arf": ("synthcity", "SynthcityArf", ("synthcity", "arfpy")),
    "arfpy": ("arf", "Arfpy", ("arfpy", "scikit-learn")),
}


def timed(record: dict[str, Any], name: str, action: Callable[[], Any]) -> Any:
    """Run an action and record its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    try:
        return action()
    finally:
        record[f"{name}_wall_s"] = round(time.perf_counter() - wall, 3)
        record[f"{name}_cpu_s"] = round(cpu_seconds() - cpu, 3)


def main() -> int:
    """Run one fit and write run.json, also when it fails."""
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="rows to draw; default: as many as train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--cap", type=int, default=0, help="CPU seconds a fit may take, and the drawing after it; 0: no cap"
    )
    parser.add_argument("--options", default="{}")
    given = parser.parse_args()
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # no worker pools whose CPU seconds would go uncounted
    file, name, packages = METHODS[given.method]
    record: dict[str, Any] = {
        "method": given.method,
        "options": json.loads(given.options),
        "seed": given.seed,
        "cap_cpu_s": given.cap,
        "versions": {"python": platform.python_version()},
        "status": "failed",
        "notes": [],
    }
    try:
        method = getattr(importlib.import_module(f"benchmarks.tabular.methods.{file}"), name)()
        record["versions"] |= {package: importlib.metadata.version(package) for package in packages}
        method.notes, method.options = record["notes"], record["options"]
        method.seed, method.cap = given.seed, given.cap
        timed(record, "import", method.start)
        timed(record, "read", lambda: method.read(given.split))
        with Cap(given.cap):
            timed(record, "fit", method.fit)
        rows = given.rows or method.n_rows
        with Cap(given.cap):
            drawn = timed(record, "sample", lambda: method.sample(rows))
        record["rows"] = method.n_drawn or rows
        method.write(drawn, given.out / "synth.csv")
        record["status"] = "cut" if getattr(method, "cut", False) else "ok"
    except CutError:
        record["status"] = "stopped"
        what = "a row was drawn" if "sample_cpu_s" in record else "a model could be used"
        record["error"] = f"stopped at the cap of {given.cap} CPU seconds before {what}"
    except Exception as error:  # noqa: BLE001 - a peer's failure is a result, recorded and shown in the table
        record["error"] = f"{type(error).__name__}: {str(error)[:300]}"
        traceback.print_exc()
    record["peak_mb"] = round(peak_megabytes())
    (given.out / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # peers leave worker pools behind that would keep the process alive


if __name__ == "__main__":
    raise SystemExit(main())
