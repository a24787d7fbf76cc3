"""A process of its own that loads saved models and draws from them: nothing of the fit is left in it.

Starting one and importing the libraries costs seconds, so it stays for the next model of the same class; another class,
or the same class defined anew, gets a new one.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from pathlib import Path
from threading import Lock

import polars as pl

from ehrsatz.generators.base import Generator

_CHILD = """
import importlib, json, os, sys
from pathlib import Path
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a generator prints is no answer
for line in sys.stdin:
    order = json.loads(line)
    sys.path[:] = order["path"]
    try:
        cls = importlib.import_module(order["module"])
        for part in order["name"].split("."):
            cls = getattr(cls, part)
        drawn = cls.load(order["folder"]).sample(order["n"], seed=order["seed"], first=order["first"])
        for i, frame in enumerate(drawn.tables.values()):
            frame.write_ipc(Path(order["out"]) / f"{i}.arrow")
        fault = ""
    except BaseException as raised:
        fault = f"{type(raised).__name__}: {raised}"
    print(json.dumps(fault), file=answers, flush=True)
"""

_guard = Lock()
_running: dict[type[Generator], subprocess.Popen[str]] = {}  # one at most


def sample_elsewhere(
    method: type[Generator], folder: Path, out: Path, *, n: int, seed: int, first: int = 0
) -> list[pl.DataFrame] | str:
    """Load a saved model in another process, and return the tables of its sample, or what went wrong.

    Parameters
    ----------
    method
        Class of the model; its module must be importable.
    folder
        The saved model.
    out
        Existing folder for the tables on their way, one file a table.
    n, seed, first
        As in `Generator.sample`.
    """
    order = {
        "path": sys.path,
        "module": method.__module__,
        "name": method.__qualname__,
        "folder": str(folder),
        "out": str(out),
        "n": n,
        "seed": seed,
        "first": first,
    }
    with _guard:
        process = _process(method)
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            stop()
            return f"it ended with exit code {process.returncode}"
    fault: str = json.loads(answer)
    paths = sorted(out.glob("*.arrow"), key=lambda path: int(path.stem))
    return fault or [pl.read_ipc(path.read_bytes()) for path in paths]


def _process(method: type[Generator]) -> subprocess.Popen[str]:
    if method not in _running:
        stop()
        _running[method] = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    return _running[method]


@atexit.register
def stop() -> None:
    """End the process, if one runs."""
    while _running:
        _, process = _running.popitem()
        process.communicate()  # closes its input, at which it ends
