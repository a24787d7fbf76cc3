"""Which runs there are, and in which environment and with which options each is made."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OWN = "ehrsatz"
LARGE = ("support2", "diabetes130")
NETWORKS = frozenset({"vae", "gan", "medgan", "vaegan", "flow", "diffusion", "latentdiffusion", "autoregressive"})


@dataclass(frozen=True)
class Run:
    """One row of a table.

    kind: yardstick, ours or peer. environment: folder name under --peers, None for the Python that runs the benchmark.
    seeds: repetitions it is run for at most; seeds_large: the same on the large sets (slow peers: 1).
    """

    name: str
    kind: str
    method: str
    environment: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seeds: int = 99
    seeds_large: int = 99
    sets: tuple[str, ...] = ()

    def wanted(self, one: str, seed: int) -> bool:
        """Return whether it is run on this data set for this repetition."""
        most = min(self.seeds, self.seeds_large) if one in LARGE else self.seeds
        return seed < most and (not self.sets or one in self.sets)


YARDSTICKS = (
    Run("copy", "yardstick", "copy"),
    Run("columns", "yardstick", "columns"),
    Run("further", "yardstick", "further", sets=("diabetes130",)),
    Run("cart", "yardstick", "cart"),
)
OURS = tuple(
    Run(name, "ours", "ehrsatz_network" if name in NETWORKS else "ehrsatz", options={"generator": name})
    for name in (
        "trees",
        "copula",
        "bayesnet",
        "independent",
        "auto",
        "ensemble",
        "forest",
        "kde",
        "gibbs",
        "autoregressive",
        "diffusion",
        "latentdiffusion",
        "vae",
        "vaegan",
        "gan",
        "medgan",
        "flow",
    )
)
PEERS = (
    Run("sdv_copula", "peer", "sdv_copula", "sdv"),
    Run("sdv_ctgan", "peer", "sdv_ctgan", "sdv", seeds=3, seeds_large=1),
    Run("sdv_tvae", "peer", "sdv_tvae", "sdv", seeds=3, seeds_large=1),
    Run("mostly", "peer", "mostly", "mostly", seeds=3, seeds_large=1),
    Run("synthcity_ddpm", "peer", "synthcity_ddpm", "synthcity", seeds=3, seeds_large=1),
    Run("synthcity_nflow", "peer", "synthcity_nflow", "synthcity", seeds=1),
    Run("synthcity_arf", "peer", "synthcity_arf", "synthcity", seeds=1),
    Run("arfpy", "peer", "arfpy", "light", seeds=3, seeds_large=1),
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
