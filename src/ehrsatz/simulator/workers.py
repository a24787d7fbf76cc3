"""Processes that do numbered jobs: started fresh, one thread each, gone with their parent, and stopped at once.

A worker that is killed, by the system for want of memory or by a person, is an error that is told, never a wait.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from ehrsatz.errors import EhrsatzError, UnsupportedError

THREADS = ("POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def each(job: Callable[[int], Any], numbers: Sequence[int], workers: int) -> Iterator[tuple[int, Any]]:
    """Do jobs and yield number and result as they are done, in any order.

    One worker does them here, in order. More are processes of their own (spawned: nothing is inherited but `job`,
    which must be picklable), each with one thread for its numerical libraries.

    Parameters
    ----------
    job
        What to do for a number.
    numbers
        In the order in which they are begun.
    workers
        Most processes at a time.

    Raises
    ------
    UnsupportedError
        When more than one worker is asked for while a process is itself being started.
    EhrsatzError
        The first that a job raised; the others are stopped.
    RuntimeError
        When a job failed otherwise, or a worker was killed.
    """
    if min(workers, len(numbers)) <= 1:
        for number in numbers:
            yield number, job(number)
        return
    if multiprocessing.parent_process() is not None:
        raise UnsupportedError(
            "Expected several workers to be asked for by a main program.",
            "This process is itself a worker of another one.",
            "Put the call under `if __name__ == '__main__':`, or use one worker.",
        )
    context = multiprocessing.get_context("spawn")
    left = list(reversed(numbers))
    busy: dict[Connection, tuple[Any, int]] = {}
    with _one_thread():
        for _ in range(min(workers, len(numbers))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, job), daemon=True)
            process.start()
            theirs.close()  # so that our end tells when the worker is gone
            busy[ours] = (process, left.pop())
            _send(ours, busy[ours][1])
    try:
        while busy:
            for one in wait(list(busy)):
                assert isinstance(one, Connection)
                process, number = busy.pop(one)
                result = _received(one, number)
                if left:
                    busy[one] = (process, left.pop())
                    _send(one, busy[one][1])
                else:
                    one.close()
                    process.join()
                yield number, result
    finally:
        for one, (process, _) in busy.items():
            process.terminate()
            one.close()
        for process, _ in busy.values():
            process.join()


def _send(pipe: Connection, number: int) -> None:
    try:
        pipe.send(number)
    except (BrokenPipeError, ConnectionResetError):
        raise _gone() from None


def _gone() -> RuntimeError:
    return RuntimeError("A worker process ended before its work was done; it may have been out of memory.")


def _received(pipe: Connection, number: int) -> Any:
    try:
        kind, result = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise _gone() from None
    if kind == "done":
        return result
    if kind == "refused":
        cls, expected, found, advice, problems = result
        raise cls(expected, found, advice, problems=problems)
    error = RuntimeError(f"Job {number} failed in a worker process.")
    error.add_note(result)
    raise error


def _serve(pipe: Connection, job: Callable[[int], Any]) -> None:
    """Do jobs until the other end is closed. Ctrl-C goes to the parent alone, which then ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()
    while True:
        try:
            number = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        answer: tuple[str, Any]
        try:
            answer = ("done", job(number))
        except EhrsatzError as error:
            answer = ("refused", (type(error), error.expected, error.found, error.advice, error.problems))
        except Exception:  # noqa: BLE001 - told to the parent, which raises it
            answer = ("failed", traceback.format_exc())
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return


def _follow() -> None:
    """End this process when its parent is gone, also in the middle of a job."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that are started meanwhile have one thread in their numerical libraries."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
