"""Which runs there are, and in which environment and with which options each is made."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OWN = "ehrsatz"


@dataclass(frozen=True)
class Run:
    """One row of a table.

    kind: yardstick, ours or peer. environment: folder name under --peers, None for the Python that runs the benchmark.
    seeds: repetitions it is run for at most (slow peers: 1).
    """

    name: str
    kind: str
    method: str
    environment: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seeds: int = 99
    sets: tuple[str, ...] = ()


YARDSTICKS = (
    Run("copy", "yardstick", "copy"),
    Run("columns", "yardstick", "columns"),
    Run("further", "yardstick", "further", sets=("diabetes130",)),
    Run("cart", "yardstick", "cart"),
)
OURS = tuple(
    Run(name, "ours", "ehrsatz", options={"generator": name})
    for name in ("trees", "copula", "bayesnet", "independent", "auto")
)
PEERS = (
    Run("sdv_copula", "peer", "sdv_copula", "sdv"),
    Run("sdv_ctgan", "peer", "sdv_ctgan", "sdv", seeds=1),
    Run("sdv_tvae", "peer", "sdv_tvae", "sdv", seeds=1),
    Run("mostly", "peer", "mostly", "mostly", seeds=1),
    Run("pyseq_cart", "peer", "pyseq_cart", "pyseq"),
    Run("python_synthpop", "peer", "python_synthpop", "synthpop"),
    Run("synthcity_bayesnet", "peer", "synthcity_bayesnet", "synthcity"),
)


def runs(dial: str, values: list[float]) -> dict[str, Run]:
    """Return all runs by name; one more of trees for each value of its dial."""
    dialled = [
        Run(f"trees {dial}={value:g}", "ours", "ehrsatz", options={"generator": "trees", dial: value})
        for value in values
    ]
    return {run.name: run for run in (*YARDSTICKS, *OURS, *dialled, *PEERS)}


def python_of(run: Run, environments: Path | None) -> Path | None:
    """Return the interpreter of a run, or None where its environment is absent.

    ehrsatz itself runs in an environment of its own where there is one, so that what the benchmark needs beside it
    (pandas, LightGBM) is not in its memory.
    """
    if run.kind == "ours" and environments and (environments / OWN / "bin" / "python").exists():
        return environments / OWN / "bin" / "python"
    if run.environment is None:
        return Path(sys.executable)
    path = environments / run.environment / "bin" / "python" if environments else None
    return path if path and path.exists() else None
