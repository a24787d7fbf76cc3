"""Rows from a fitted generator in shards, and the real rows that they are to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import polars as pl

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.errors import InfeasibleError
from ehrsatz.generators.base import Generator, Progress, silent
from ehrsatz.generators.build import WITHOUT_EFFECT
from ehrsatz.schema import Schema
from ehrsatz.seeds import stream
from ehrsatz.sources.limits import BYTES_PER_CELL, free_memory
from ehrsatz.threads import one_thread

SHARD = 20_000  # subjects per call of sample; the rows do not depend on it


def draw(
    engine: Generator,
    n: int,
    *,
    seed: int,
    given: Mapping[str, Any] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Dataset:
    """Sample in shards of subjects, on several threads; the rows depend on neither.

    Parameters
    ----------
    engine
        A fitted generator.
    n
        Number of subjects.
    seed
        Decides every draw.
    given
        Conditions, as in `Generator.sample`.
    workers
        Threads.
    progress
        Called as progress("sample", done, n).

    Raises
    ------
    InfeasibleError
        When so many subjects do not fit into memory.
    """
    check_room(n, engine.schema_)
    show = progress or silent
    show("sample", 0, n)
    firsts = list(range(0, n, SHARD)) or [0]

    def shard(first: int) -> Dataset:
        return engine.sample(min(SHARD, n - first), seed=seed, given=given, first=first)

    parts: list[Dataset] = []
    pool = ThreadPoolExecutor(max_workers=min(workers, len(firsts)))
    try:
        with one_thread():  # set once for all shards: each alone would give back the others' threads when it ends
            for part in pool.map(shard, firsts) if workers > 1 else map(shard, firsts):
                parts.append(part)
                show("sample", min(n, len(parts) * SHARD), n)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the shards that are left
    tables = {name: pl.concat([part.tables[name] for part in parts]) for name in parts[0].tables}
    (step,) = parts[0].provenance.steps
    told = {name: value for name, value in step.params.items() if name not in WITHOUT_EFFECT}
    whole = replace(step, params={**told, "n": n, "first": 0})
    return Dataset(parts[0].schema, tables, replace(parts[0].provenance, steps=(whole,)))


def check_room(n: int, schema: Schema, rows: Mapping[str, float] | None = None) -> None:
    """Refuse, before any work, more subjects than fit into the memory that is free now; say how many fit.

    Parameters
    ----------
    n
        Number of subjects.
    schema
        Of the tables to be drawn.
    rows
        Rows per subject of each table; at least one is counted.

    Raises
    ------
    InfeasibleError
        When the estimated size is above the free memory.
    """
    allowed = free_memory()
    each = sum(max(1.0, (rows or {}).get(one.name, 1.0)) * len(one.columns) * BYTES_PER_CELL for one in schema.tables)
    if allowed is None or n * each <= allowed:
        return
    raise InfeasibleError(
        f"Expected a number of subjects that fits into {allowed / 2**20:,.0f} MiB.",
        f"{n:,} need about {n * each / 2**20:,.0f} MiB; about {int(allowed / each):,} fit.",
        "Ask for fewer with --n, or make several releases, each with its own seed.",
    )


def matching(dataset: Dataset, given: Mapping[str, Any], engine: Generator, *, seed: int) -> Dataset:
    """Return the subjects that meet conditions, so that rows drawn under them are compared with their like.

    Asked-for shares are met by leaving subjects out. A table with several rows per subject is returned as it is.

    Parameters
    ----------
    dataset
        Real rows.
    given
        Conditions, as in `Generator.sample`.
    engine
        The fitted generator that read the conditions.
    seed
        Decides who is left out.
    """
    frame = dataset.table
    if not given or dataset.n_subjects < frame.height:
        return dataset
    shares = {
        name: engine.shares(name, wish["share"])
        for name, wish in given.items()
        if isinstance(wish, Mapping) and "share" in wish
    }
    read = engine.condition({**given, **{name: {"any": list(share)} for name, share in shares.items()}})
    keep = pl.lit(True)
    for name, cells in read.exact.items():
        keep = keep & (pl.col(name) == pl.lit(cells[0], dtype=cells.dtype))
    for name, (low, high) in read.band.items():
        keep = (
            keep
            & (pl.col(name) >= low if low is not None else True)
            & (pl.col(name) <= high if high is not None else True)
        )
    for name, values in read.among.items():
        keep = keep & pl.col(name).is_in(list(values))
    rows = frame.with_row_index("_row").filter(keep)
    for name, share in shares.items():
        wanted = dict(zip(read.among[name], share.values(), strict=True))
        counts = {level: rows.filter(pl.col(name) == level).height for level in wanted}
        most = min((counts[level] / part for level, part in wanted.items() if part > 0), default=0.0)
        order = stream(seed, "matching", name).permutation(rows.height)
        shuffled = rows[order].with_columns(_turn=pl.int_range(pl.len()).over(name))
        room = pl.col(name).replace_strict(
            list(wanted), [int(part * most) for part in wanted.values()], default=0, return_dtype=pl.Int64
        )
        rows = shuffled.filter(pl.col("_turn") < room).drop("_turn").sort("_row")
    key = subject_key(dataset.schema, dataset.schema.parent)
    return dataset.take_subjects(rows["_row"].cast(pl.Int64) if key is None else rows[key])
