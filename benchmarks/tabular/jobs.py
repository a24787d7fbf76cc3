"""Run one fit in its own process and score what came out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.tabular.frames import read_frame, read_spec
from benchmarks.tabular.plan import Run
from benchmarks.tabular.scores import score, utility
from benchmarks.tabular.sets import SETS, split

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "LOKY_MAX_CPU_COUNT")


def prepare(name: str, data: Path, work: Path, seed: int) -> Path:
    """Write the split of one data set and repetition, unless it is there; return its folder."""
    folder = work / name / f"seed{seed}"
    if not (folder / "spec.json").exists():
        split(SETS[name], data, folder, seed)
    return folder


def fit(run: Run, python: Path, folder: Path, seed: int, cap: int, reuse: bool) -> dict[str, Any]:
    """Fit and sample in a child process of one thread; return its record.

    Parameters
    ----------
    run, python
        The run and the interpreter of its environment.
    folder
        Folder of the split; the run gets a folder of its own in it.
    seed, cap
        Seed of the method; CPU seconds its fit may take, 0 for no cap.
    reuse
        Take an earlier synth.csv made from the same train.csv with the same options, where there is one.
    """
    out = folder / run.name.replace(" ", "_").replace("=", "_")
    record = _earlier(out, folder, run) if reuse else None
    if record:
        return record
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [
        *(str(python), "-m", "benchmarks.tabular.child", run.method, "--split", str(folder), "--out", str(out)),
        *("--seed", str(seed), "--cap", str(cap), "--options", json.dumps(run.options)),
    ]
    quiet = dict.fromkeys(THREADS, "1") | {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **quiet}, stdout=log, stderr=subprocess.STDOUT, check=False
        )
    if not (out / "run.json").exists():
        return {"status": "failed", "error": f"the process ended with code {done.returncode} (log.txt says more)"}
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    record["train_sha256"] = _hash(folder / "train.csv")
    if run.kind == "ours":
        record["source"] = source()
    (out / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def source() -> str:
    """Return a short hash of the package's source, so that results say which state of it they measured."""
    files = sorted((ROOT / "src").rglob("*.py"))
    return sha256(b"".join(sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:12]


def scores(run: Run, folder: Path) -> dict[str, Any]:
    """Score the synth.csv of a run against its train and holdout."""
    spec, train, holdout, real = _real(folder)
    out = folder / run.name.replace(" ", "_").replace("=", "_")
    synthetic = read_frame(out / "synth.csv", spec, like=train)
    return {**score(SETS[spec["name"]], spec, train, holdout, synthetic), **real}


@cache
def _real(folder: Path) -> tuple[Any, ...]:
    spec = read_spec(folder)
    train, holdout = read_frame(folder / "train.csv", spec), read_frame(folder / "holdout.csv", spec)
    return spec, train, holdout, utility(holdout, train, spec, "trtr")


def _earlier(out: Path, folder: Path, run: Run) -> dict[str, Any] | None:
    if not (out / "run.json").exists() or not (out / "synth.csv").exists():
        return None
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    same = record["options"] == run.options and record.get("train_sha256") in (None, _hash(folder / "train.csv"))
    return record if same and record["status"] in ("ok", "cut") else None


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()[:16]
