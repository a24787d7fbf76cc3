"""What a fit costs: CPU seconds, memory, and the cap that ends it."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path
from typing import Any


class CutError(BaseException):
    """The CPU cap was reached. Not an Exception, so that no method swallows it by accident."""


def cpu_seconds() -> float:
    """CPU seconds of this process and its finished workers."""
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime


def peak_megabytes() -> float:
    """High-water mark of resident memory of this process alone, or of its largest worker.

    VmHWM starts anew with each program; ru_maxrss of the process itself would hold its launcher's footprint.
    """
    own = next(
        int(line.split()[1])
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        if line.startswith("VmHWM")
    )
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


class Cap:
    """Raise `CutError` in the main thread once the block has used so many CPU seconds; 0 for never.

    The timer only wakes the handler: on a busy machine it can run ahead of the CPU seconds really used.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        begun = time.process_time()

        def look(signum: int, frame: Any) -> None:
            if time.process_time() - begun >= self.seconds:
                raise CutError

        if self.seconds:
            signal.signal(signal.SIGPROF, look)
            signal.setitimer(signal.ITIMER_PROF, 1, 1)

    def __exit__(self, *exc: object) -> None:
        if self.seconds:
            signal.setitimer(signal.ITIMER_PROF, 0)
