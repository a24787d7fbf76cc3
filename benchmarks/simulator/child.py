"""Run a command in a process of its own and watch it: CPU and wall seconds, memory of the whole tree, what it says."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "ARROW_NUM_THREADS")
EHRSATZ = (sys.executable, "-c", "from ehrsatz.cli.main import run; run()")  # the command, of the source beside us
STEP = 0.02  # seconds between two looks at memory


@dataclass(frozen=True)
class Ran:
    """What a command took, and what it said."""

    code: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str
    errors: str

    def told(self) -> dict[str, Any]:
        """Return the JSON object that it printed last."""
        lines = [line for line in self.output.splitlines() if line.startswith("{")]
        if self.code or not lines:
            raise SystemExit(f"The command ended with {self.code}:\n{self.errors[-2000:]}")
        return dict(json.loads(lines[-1]))


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment of one thread in every library, with the source beside the benchmarks first."""
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    return {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": path, **(more or {})}


def run(
    command: Sequence[str],
    *,
    cap: int | None = None,
    look: Callable[[int], None] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Ran:
    """Run a command to its end.

    Parameters
    ----------
    command
        As a list.
    cap
        CPU seconds after which the kernel ends it.
    look
        Called with the process id every 20 ms.
    env
        Of the child; one thread and our source where None.
    cwd
        Where it runs.
    """

    def limit() -> None:
        if cap is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (cap, cap + 5))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(env or environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit if cap is not None else None,
    ) as process:
        peak = [0.0]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(STEP):
                peak[0] = max(peak[0], memory(process.pid))
                if look is not None:
                    look(process.pid)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        output, errors = process.communicate()
        wall = time.perf_counter() - begun
        done.set()
        watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(process.returncode, wall, cpu, peak[0], output, errors)


def module(name: str, *arguments: str, cap: int | None = None) -> Ran:
    """Run one of these benchmarks in a process of its own."""
    return run([sys.executable, "-m", f"benchmarks.simulator.{name}", *arguments], cap=cap)


def memory(pid: int) -> float:
    """Return the resident memory in MB of a process and all its descendants; pages that they share count in each."""
    return sum(_resident(one) for one in tree(pid))


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    out, left = [], [pid]
    while left:
        one = left.pop()
        out.append(one)
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                left += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, ValueError):
            continue
    return out


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
