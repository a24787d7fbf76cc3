"""Measure what each step of a run takes: wall and CPU seconds, peak memory, energy, tokens.

Energy is read from the processor's own counters (Intel and AMD RAPL, through Linux' powercap) where the system lets us;
they count the whole package, so other work on the machine is in the figure. Elsewhere it is an estimate and called so:
CPU seconds times watts per core, plus memory, times the overhead of the building, as the Green Algorithms calculator
does it.

References: Khan et al., RAPL in Action, ACM TOMPECS 3(2), 2018, doi:10.1145/3177754; Lannelongue, Grealey, Inouye,
Green Algorithms, Advanced Science 8(12), 2021, doi:10.1002/advs.202100707 (12 W per core where the model of the
processor is unknown, 0.3725 W per GB, power usage effectiveness 1.67).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

POWERCAP = Path("/sys/class/powercap")
WATTS_PER_CORE = 12.0
WATTS_PER_GB = 0.3725
OVERHEAD = 1.67
EnergySource = Literal["RAPL", "estimate"]


@dataclass(frozen=True)
class StepCost:
    """What one step took.

    Parameters
    ----------
    step
        Name of the step.
    wall_s, cpu_s
        Seconds on the wall clock, and of all threads of this process.
    energy_j
        Joules.
    """

    step: str
    wall_s: float
    cpu_s: float
    energy_j: float


@dataclass(frozen=True)
class Cost:
    """What a whole run took.

    Parameters
    ----------
    steps
        One entry per step, in order.
    peak_mb
        Largest resident size of the process until the end of the run, MiB; None where the system does not tell.
    energy_source
        "RAPL" (read from the processor) or "estimate".
    tokens
        Tokens that a language model read and wrote; 0 where none took part.
    """

    steps: tuple[StepCost, ...]
    peak_mb: float | None
    energy_source: EnergySource
    tokens: int = 0

    @property
    def wall_s(self) -> float:
        """Wall seconds of all steps."""
        return sum(one.wall_s for one in self.steps)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all steps."""
        return sum(one.cpu_s for one in self.steps)

    @property
    def energy_wh(self) -> float:
        """Watt-hours of all steps."""
        return sum(one.energy_j for one in self.steps) / 3600

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; seconds to the millisecond."""
        return {
            "format": 1,
            "steps": [
                {
                    "step": one.step,
                    "wall_s": round(one.wall_s, 3),
                    "cpu_s": round(one.cpu_s, 3),
                    "energy_j": round(one.energy_j, 1),
                }
                for one in self.steps
            ],
            "wall_s": round(self.wall_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            "peak_mb": None if self.peak_mb is None else round(self.peak_mb),
            "energy_wh": round(self.energy_wh, 4),
            "energy_source": self.energy_source,
            "tokens": self.tokens,
        }

    def told(self) -> str:
        """Return the cost in a line."""
        memory = "" if self.peak_mb is None else f", {self.peak_mb:,.0f} MB at most"
        how = "measured" if self.energy_source == "RAPL" else "estimated"
        return (
            f"Took {self.wall_s:.1f} s ({self.cpu_s:.1f} CPU s{memory}), about {self.energy_wh:.2g} Wh ({how}), "
            f"{self.tokens} tokens."
        )


@dataclass
class Meter:
    """Collect what steps take while a run goes on."""

    steps: list[StepCost] = field(default_factory=list)
    counters: tuple[Path, ...] = field(default_factory=lambda: rapl_counters(POWERCAP))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what happens inside; a step that fails is not counted.

        Parameters
        ----------
        name
            Name of the step.
        """
        wall, cpu, before = time.perf_counter(), time.process_time(), _read(self.counters)
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        joules = _spent(self.counters, before)
        if joules is None:
            gigabytes = (peak_mb() or 0.0) / 1024
            joules = OVERHEAD * (WATTS_PER_CORE * cpu + WATTS_PER_GB * gigabytes * wall)
            self.counters = ()
        self.steps.append(StepCost(name, wall, cpu, joules))

    def total(self, *, tokens: int = 0) -> Cost:
        """Return what was measured so far.

        Parameters
        ----------
        tokens
            Tokens that a language model read and wrote.
        """
        return Cost(tuple(self.steps), peak_mb(), "RAPL" if self.counters else "estimate", tokens)


def peak_mb() -> float | None:
    """Return the largest resident size of this process so far, MiB, or None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def rapl_counters(folder: Path) -> tuple[Path, ...]:
    """Return the folders of the processor packages whose energy can be read; subdomains are parts of them.

    Parameters
    ----------
    folder
        Linux' powercap folder.
    """
    found = sorted(folder.glob("intel-rapl:[0-9]*")) if folder.is_dir() else []
    packages = [one for one in found if one.name.count(":") == 1]
    return tuple(packages) if packages and _read(tuple(packages)) is not None else ()


def _read(counters: tuple[Path, ...]) -> list[int] | None:
    """Return the counters in microjoules; None where one cannot be read."""
    if not counters:
        return None
    try:
        return [int((one / "energy_uj").read_text()) for one in counters]
    except (OSError, ValueError):
        return None


def _spent(counters: tuple[Path, ...], before: list[int] | None) -> float | None:
    """Return the joules since `before`; a counter that went past its end starts at zero again."""
    after = _read(counters)
    if before is None or after is None:
        return None
    total = 0.0
    for one, start, end in zip(counters, before, after):
        if end < start:
            try:
                end += int((one / "max_energy_range_uj").read_text())
            except (OSError, ValueError):
                return None
        total += (end - start) / 1e6
    return total
