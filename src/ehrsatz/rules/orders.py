"""Find columns that are never above another, and columns that are missing in the same rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ehrsatz.schema import Column, Constraint

_ROWS = 4000
_QUANTILES = np.linspace(0.005, 0.995, 100)
_LEAST_SHARE = 0.02  # share of rows that independent columns would have in the wrong order
_DISTINCT = 8  # columns with fewer values are a matter of implications
_MOST = 60


def find_orders(
    columns: list[Column], cells: NDArray[np.float64], least: float, scale: float, apart: set[frozenset[str]]
) -> list[Constraint]:
    """Find pairs a <= b that hold in every row, though independent columns would break them often.

    Parameters
    ----------
    columns
        D numbers, or D dates.
    cells
        Shape (R, D), NaN where missing.
    least
        Rows that independent columns would have in the wrong order, at least.
    scale
        Subjects per row: rows of one subject count once.
    apart
        Pairs of names that a sum already ties.
    """
    few = [j for j in range(len(columns)) if len(np.unique(cells[~np.isnan(cells[:, j]), j])) >= _DISTINCT]
    n = len(cells)
    rows = np.unique(np.linspace(0, n - 1, min(n, _ROWS)).astype(np.int64))
    sub = cells[rows][:, few]  # (R, D) -> (r, d)
    with np.errstate(all="ignore"):
        marks = np.nanquantile(sub, _QUANTILES, axis=0) if len(few) else np.empty((0, 0))  # (Q, d)
    holds: dict[tuple[int, int], float] = {}
    for i in range(len(few)):
        with np.errstate(invalid="ignore"):
            kept = ~(sub[:, [i]] > sub).any(axis=0)
            both = (~np.isnan(sub[:, [i]]) & ~np.isnan(sub)).sum(axis=0)
        for j in np.flatnonzero(kept & (both >= 30)):
            if i == j or (columns[few[i]].unit or "") != (columns[few[j]].unit or ""):
                continue
            if frozenset({columns[few[i]].name, columns[few[j]].name}) in apart:
                continue
            if marks[-1, i] <= marks[0, j]:
                continue
            share = float((marks[:, i, None] > marks[None, :, j]).mean())  # were the columns independent
            # Columns that repeat a few pairs of values, as those of a region do, rest on as few observations.
            different = len(np.unique(sub[:, i] + 1j * sub[:, j]))
            seen = min(different if different < 0.2 * both[j] else both[j] * (n / len(rows)), n) * scale
            if share >= _LEAST_SHARE and share * seen >= least:
                holds[few[i], few[j]] = share
    holds = {
        pair: share
        for pair, share in holds.items()
        if not (cells[:, pair[0]] > cells[:, pair[1]]).any() and pair[::-1] not in holds
    }
    reduced = {
        (a, b): share
        for (a, b), share in holds.items()
        if not any(
            (a, c) in holds and (c, b) in holds and not np.isnan(cells[:, c]).any() for c in few if c not in {a, b}
        )
    }
    ranked = sorted(reduced.items(), key=lambda item: (-item[1], item[0]))[:_MOST]
    out = []
    for (a, b), share in sorted(ranked):
        both = int((~np.isnan(cells[:, a]) & ~np.isnan(cells[:, b])).sum())
        why = f"holds in all {both:,} rows where both are present; independent columns would break {share:.0%} of them"
        out.append(Constraint("order", (columns[a].name, columns[b].name), why=why))
    return out


def find_gaps(columns: list[Column], missing: NDArray[np.bool_], n_subjects: list[int], floor: int) -> list[Constraint]:
    """Find columns that are missing in exactly the same rows.

    Parameters
    ----------
    columns, missing
        D columns and where they are missing, shape (R, D).
    n_subjects
        For each column, subjects with a missing cell; below `floor` nothing is said.
    """
    groups: dict[bytes, list[int]] = {}
    for j in range(len(columns)):
        count = int(missing[:, j].sum())
        if floor <= count < len(missing) and n_subjects[j] >= floor:
            groups.setdefault(missing[:, j].tobytes(), []).append(j)
    return [
        Constraint(
            "missing_together",
            tuple(columns[j].name for j in group),
            why=f"missing in the same {int(missing[:, group[0]].sum()):,} of {len(missing):,} rows",
        )
        for group in groups.values()
        if len(group) > 1
    ]
