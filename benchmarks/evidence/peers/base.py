"""What every peer's run shares: the three tables, and a step that is timed, capped and written down.

Runs inside the peer's own environment: pandas and the standard library alone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.tabular.cost import cpu_seconds, peak_megabytes


class CapError(BaseException):
    """A step took longer than it may. Not an Exception, so that no peer swallows it."""


class Run:
    """One peer's run: reads train, holdout and synthetic, times steps, prints one JSON."""

    def __init__(self, *packages: str) -> None:
        warnings.simplefilter("ignore")
        parser = argparse.ArgumentParser()
        parser.add_argument("folder", type=Path)
        parser.add_argument("--cap", type=int, default=600, help="wall seconds a step may take")
        given = parser.parse_args()
        self.cap = given.cap
        self.spec: dict[str, Any] = json.loads((given.folder / "spec.json").read_text())
        kinds = self.spec["columns"]
        self.tables = {
            name: pd.read_csv(
                given.folder / f"{name}.csv",
                dtype={column: "object" for column, kind in kinds.items() if kind == "cat"},
                keep_default_na=False,
                na_values=[""],
            )
            for name in ("train", "holdout", "synthetic")
        }
        for frame in self.tables.values():
            for column, kind in kinds.items():
                if kind == "cat":
                    frame[column] = frame[column].fillna("missing").astype(str)
        self.report: dict[str, Any] = {
            "versions": {name: importlib.metadata.version(name) for name in packages},
            "steps": [],
        }

    def step(self, part: str, action: Callable[[], Any]) -> None:
        """Run one part, write down what it took, and go on when it fails or is capped."""

        def ring(number: int, frame: Any) -> None:
            raise CapError

        wall, cpu = time.perf_counter(), cpu_seconds()
        status = "ok"
        signal.signal(signal.SIGALRM, ring)
        signal.alarm(self.cap)
        try:
            action()
        except CapError:
            status = f"stopped after {self.cap} s"
        except MemoryError:
            status = "out of memory"
        except Exception as error:  # noqa: BLE001 - a peer's failure is a result, shown in the table
            status = f"failed: {type(error).__name__}: {str(error)[:120]}"
        finally:
            signal.alarm(0)
        entry = {
            "part": part,
            "wall_s": round(time.perf_counter() - wall, 2),
            "cpu_s": round(cpu_seconds() - cpu, 2),
            "peak_mb": round(peak_megabytes()),
            "status": status,
        }
        self.report["steps"].append(entry)

    def end(self) -> None:
        """Print the report and leave, worker pools or not."""
        print("\n" + json.dumps(self.report), flush=True)
        os._exit(0)
