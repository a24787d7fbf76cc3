"""Find columns that are never above another, and columns that are missing in the same rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ehrsatz.schema import Column, Constraint

_ROWS = 4000
_QUANTILES = np.linspace(0.005, 0.995, 100)
_LEAST_SHARE = 0.02  # share of rows that independent columns would have in the wrong order
_DISTINCT = 8  # columns with fewer values are a matter of implications
_CROSSED = 2.0  # times as many pairs of values as values: what is less looks like one pair per group
_UNLIKE = 3.0  # times the evidence for whole numbers against fractions, which are seldom of one unit
_MOST = 60


def find_orders(
    columns: list[Column], cells: NDArray[np.float64], least: float, scale: float, apart: set[frozenset[str]]
) -> list[Constraint]:
    """Find pairs a <= b that hold in every row, though independent columns would break them often.

    Where no row has a tie, though independent columns would often have one, the order is strict: a < b.

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
            different = len(np.unique(pairs := (sub[:, i] + 1j * sub[:, j])[~np.isnan(sub[:, i] + sub[:, j])]))
            most = max(len(np.unique(pairs.real)), len(np.unique(pairs.imag)))
            grouped = different < 0.2 * both[j] and different < _CROSSED * most
            seen = min(different if grouped else both[j] * (n / len(rows)), n) * scale
            alike = 1.0 if columns[few[i]].kind == columns[few[j]].kind else _UNLIKE
            if share >= _LEAST_SHARE and share * seen >= alike * least:
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
        strict = not (cells[:, a] == cells[:, b]).any() and _tied_share(sub[:, few.index(a)], sub[:, few.index(b)])
        params = {"strict": True} if strict * both * scale >= least else {}
        out.append(Constraint("order", (columns[a].name, columns[b].name), params, why=why))
    return out


def _tied_share(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Share of rows in which two columns would be equal were they independent."""
    values, n = np.unique(a[~np.isnan(a)], return_counts=True)
    others, m = np.unique(b[~np.isnan(b)], return_counts=True)
    _, i, j = np.intersect1d(values, others, assume_unique=True, return_indices=True)
    return float((n[i] / n.sum()) @ (m[j] / m.sum())) if len(i) else 0.0


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
