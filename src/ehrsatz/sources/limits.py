"""What fits into memory, estimated before reading, and a sample by subject of what does not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ehrsatz.errors import DataError, SourceError, nearest
from ehrsatz.seeds import stream
from ehrsatz.sources import cells

if TYPE_CHECKING:
    from ehrsatz.sources.base import Raw

MAX_COLUMNS = 2_000
SHARE_OF_FREE = 0.6
BYTES_PER_CELL = 40  # text view, typed cell, distinct values and a working copy; measured on diabetes130


def check_size(parts: Sequence[Raw], limit: int | None) -> None:
    """Refuse tables that are too wide, or whose estimated size is above the limit; say how many rows fit.

    Parameters
    ----------
    parts
        What is to be read.
    limit
        Bytes; None means a share of the memory that is free now.
    """
    wide = [part for part in parts if len(part.names) > MAX_COLUMNS]
    if wide:
        raise SourceError(
            f"Expected at most {MAX_COLUMNS:,} columns in a table.",
            f"Table '{wide[0].name}' has {len(wide[0].names):,}.",
            "Keep the columns that are needed, or turn repeated measurements into rows.",
        )
    allowed = limit if limit is not None else free_memory()
    needed = sum(size(part) * part.n_rows for part in parts)
    if allowed is None or needed <= allowed:
        return
    rows = sum(part.n_rows for part in parts)
    fit = int(rows * allowed / needed)
    raise DataError(
        f"Expected data that fit into {allowed / 2**20:,.0f} MiB.",
        f"About {rows:,} rows need {needed / 2**20:,.0f} MiB; about {fit:,} rows fit.",
        "Read a sample with --sample-subjects, keep fewer columns, or raise the limit.",
    )


def size(part: Raw) -> float:
    """Return the estimated bytes of memory that one row of a table takes while it is read."""
    return 2.0 * part.row_bytes + BYTES_PER_CELL * len(part.names)


def free_memory() -> int | None:
    """Return the bytes that may be used now: a share of what system or container has free, if known."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        if limit != "max":
            found.append(int(limit) - used)
    except (OSError, ValueError):
        pass
    if not found and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return int(SHARE_OF_FREE * max(0, min(found))) if found else None


def sample(parts: Sequence[Raw], n_subjects: int, subject: str | None, seed: int) -> dict[str, pl.DataFrame]:
    """Read the rows of n subjects drawn without replacement, in blocks; tables without the subject column are whole.

    The draw depends on the seed and on the set of subjects, not on their order in the file.

    Parameters
    ----------
    parts
        The tables.
    n_subjects
        How many; all where there are fewer.
    subject
        Column that names the subject; None, with one table, draws rows.
    seed
        Decides who is drawn.
    """
    if n_subjects < 2:
        raise DataError("Expected a sample of at least 2 subjects.", f"{n_subjects} were asked for.", "Ask for more.")
    if subject is None:
        if len(parts) > 1:
            raise DataError(
                "Expected a subject column to sample several tables by.",
                "None was named.",
                "Name it with --subject.",
            )
        return {parts[0].name: _rows(parts[0], n_subjects, seed)}
    names = [name for part in parts for name in part.names]
    if subject not in names:
        raise DataError(
            f"Expected a subject column named '{subject}'.",
            f"None of the {len(names)} columns has that name.{nearest(subject, names)}",
            "Name a column of the data with --subject.",
        )
    seen: set[str] = set()
    for part in parts:
        if subject in part.names:
            for block in part.blocks():
                seen.update(cells.text(block[subject]).drop_nulls().unique().to_list())
    everyone = sorted(seen)
    order = stream(seed, "sources", "sample").permutation(len(everyone))[:n_subjects]
    kept = pl.Series("kept", sorted(everyone[i] for i in order.tolist()), dtype=pl.String)
    out: dict[str, pl.DataFrame] = {}
    for part in parts:
        if subject not in part.names:
            out[part.name] = part.whole()
            continue
        picked = []
        for block in part.blocks():
            mine = cells.text(block[subject])
            picked.append(block.filter(mine.is_in(kept.implode()) | mine.is_null()))
        out[part.name] = pl.concat(picked, how="vertical_relaxed")
    return out


def _rows(part: Raw, n: int, seed: int) -> pl.DataFrame:
    total = sum(block.height for block in part.blocks())
    chosen = stream(seed, "sources", "sample").permutation(total)[:n]
    chosen.sort()
    picked, first = [], 0
    for block in part.blocks():
        here = chosen[(chosen >= first) & (chosen < first + block.height)] - first
        picked.append(block[here.tolist()])
        first += block.height
    return pl.concat(picked, how="vertical_relaxed")


def counts(tables: Mapping[str, pl.DataFrame]) -> dict[str, int]:
    """Return the rows of each table, for provenance."""
    return {name: frame.height for name, frame in tables.items()}
