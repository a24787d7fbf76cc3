"""Find linear identities between numeric columns: total = constant + weights . parts, without exception.

Subsets of up to four columns whose correlation matrix is all but singular are fitted by least squares; longer sums
are found by regressing each column on all others. Weights are rounded to as few digits as the fit allows, and the
identity is kept only if no row misses it by more than the rounding of its columns explains.
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from ehrsatz.rules.cells import decimals_of
from ehrsatz.schema import Column, Constraint

_ROWS = 1000  # rows to fit on; every row is checked afterwards
_SUBSETS = 300_000
_TRIED = 4000
_SINGULAR = 2e-4  # determinant of a correlation matrix below which an identity is looked for
_LOOSE = 0.01  # an identity leaves at most this share of the total's standard deviation
_EXACT = 1e-6  # part of the total's standard deviation that an identity without a grid may miss by
_MINORITY = 10  # subjects in which each column must differ from its most frequent value
_MOST_PARTS = 24


def find_sums(columns: list[Column], cells: NDArray[np.float64], n_least: int, scale: float = 1.0) -> list[Constraint]:
    """Find the identities of a table.

    Parameters
    ----------
    columns
        D numeric columns.
    cells
        Their cells as numbers, shape (R, D), NaN where missing.
    n_least
        Subjects that an identity must rest on.
    scale
        Subjects per row: rows of one subject count once.
    """
    present = ~np.isnan(cells)
    usable = [j for j in range(len(columns)) if scale * _minority(cells[present[:, j], j]) >= _MINORITY]
    grids = {j: _grid(cells[present[:, j], j]) for j in usable}
    distinct = {j: len(np.unique(cells[present[:, j], j])) for j in usable}
    found: list[tuple[int, tuple[int, ...], Constraint]] = []
    masks: dict[bytes, list[int]] = {}
    for j in usable:
        masks.setdefault(present[:, j].tobytes(), []).append(j)
    for group in masks.values():
        rows = np.flatnonzero(present[:, group[0]])
        if scale * len(rows) < n_least:
            continue
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _ROWS).astype(np.int64))]
        pool = [j for j in usable if present[rows, j].all()]
        pool = [j for j in pool if cells[rows, j].std() > 0]
        if len(pool) < 2:
            continue
        corr: NDArray[np.float64] = np.nan_to_num(np.atleast_2d(np.corrcoef(cells[rows][:, pool], rowvar=False)))
        for subset in _suspects(pool, corr, set(group)):
            taken = {total for total, _, _ in found}
            if taken & set(subset) and any(len(parts) == 1 and total in subset for total, parts, _ in found):
                continue
            if any(set(subset) >= {total, *parts} for total, parts, _ in found):
                continue
            targets = sorted(set(subset) & set(group) - taken, key=lambda j: (-distinct[j], -j))
            for target in targets:
                parts = tuple(j for j in subset if j != target)
                one = _fit(columns, cells, rows, target, parts, grids)
                if one is not None:
                    found.append((target, parts, one))
                    break
        found += _long(columns, cells, rows, pool, corr, set(group), grids, found)
    return [one for _, _, one in found]


def _suspects(pool: list[int], corr: NDArray[np.float64], group: set[int]) -> list[tuple[int, ...]]:
    """Subsets of 2, 3, 4 columns with a near-singular correlation matrix, small subsets first."""
    out: list[tuple[int, ...]] = []
    for size in (2, 3, 4):
        candidates = list(range(len(pool)))
        while comb(len(candidates), size) > _SUBSETS:  # keep the columns with the strongest partners
            partners = np.sort(np.abs(corr - np.eye(len(pool))), axis=1)[:, -(size - 1) :].mean(axis=1)
            ranked = sorted(candidates, key=lambda j: -partners[j])
            candidates = sorted(ranked[: int(0.9 * len(ranked))])
        subsets = np.array(candidates, dtype=np.int64)[_choose(len(candidates), size)]
        inside = np.array([j in group for j in pool])
        subsets = subsets[inside[subsets].any(axis=1)]
        singular = np.linalg.det(corr[subsets[:, :, None], subsets[:, None, :]])
        order = np.argsort(singular, kind="stable")
        order = order[singular[order] < _SINGULAR][:_TRIED]
        out += [tuple(pool[j] for j in subset) for subset in subsets[order]]
    return out


def _choose(n: int, size: int) -> NDArray[np.int64]:
    """All subsets of `size` of the numbers 0 .. n-1, ascending, shape (K, size)."""
    out = np.arange(n, dtype=np.int64)[:, None]
    for _ in range(size - 1):
        more = n - 1 - out[:, -1]  # larger numbers that can follow
        first = np.repeat(np.cumsum(more) - more, more)
        following = np.arange(int(more.sum())) - first + np.repeat(out[:, -1], more) + 1
        out = np.column_stack([np.repeat(out, more, axis=0), following])  # (K, k) -> (K', k + 1)
    return out


def _fit(
    columns: list[Column],
    cells: NDArray[np.float64],
    rows: NDArray[np.int64],
    target: int,
    parts: tuple[int, ...],
    grids: dict[int, tuple[float, float, int | None]],
) -> Constraint | None:
    x, t = cells[rows][:, list(parts)], cells[rows, target]
    center = x.mean(axis=0)
    weights, *_ = np.linalg.lstsq(x - center, t - t.mean(), rcond=None)
    spread = t.std()
    if (np.abs(weights) * x.std(axis=0) < _LOOSE * spread).any():
        return None  # a part that does nothing
    if np.abs(t - t.mean() - (x - center) @ weights).max() > 2 * _LOOSE * spread:
        return None
    allowed = grids[target][0] + float(np.abs(weights) @ np.array([grids[j][1] for j in parts]))
    allowed += 1e-9 * float(np.abs(t).max())
    allowed = min(allowed, _LOOSE * spread)
    decimals = grids[target][2]
    whole = ~np.isnan(cells[:, [target, *parts]]).any(axis=1)
    for digits in range(1, 9):
        simple = np.array([_significant(weight, digits) for weight in weights])
        rest = cells[whole, target] - cells[whole][:, list(parts)] @ simple
        constant = 0.0 if np.abs(rest).max() <= allowed else float(np.round(np.median(rest), min(decimals or 6, 6)))
        miss = float(np.abs(rest - constant).max())
        if miss <= allowed:
            break
    else:
        return None
    noise = 1e-9 * float(np.abs(cells[whole, target]).max())
    most = 10 if decimals is None else decimals
    exact = next((d for d in range(most, -4, -1) if miss <= 0.5 * 10.0**-d + noise), None)
    if exact is None or miss > max(0.5 * 10.0**-most if decimals is not None else 0.0, _EXACT * spread) + noise:
        return None  # near, but the total would come back on a coarser grid than its own
    params = {"weights": [float(weight) for weight in simple], "constant": constant, "decimals": exact}
    ordered = sorted(range(len(parts)), key=lambda k: (simple[k] < 0, k))  # what is added first, then what is taken off
    params["weights"] = [float(simple[k]) for k in ordered]
    names = (columns[target].name, *(columns[parts[k]].name for k in ordered))
    why = f"holds in all {int(whole.sum()):,} rows where no part is missing"
    return Constraint("sum", names, params, why=why)


def _long(
    columns: list[Column],
    cells: NDArray[np.float64],
    rows: NDArray[np.int64],
    pool: list[int],
    corr: NDArray[np.float64],
    group: set[int],
    grids: dict[int, tuple[float, float, int | None]],
    found: list[tuple[int, tuple[int, ...], Constraint]],
) -> list[tuple[int, tuple[int, ...], Constraint]]:
    """Sums of more than three parts, where what is already explained leaves a single one."""
    taken = {total for total, _, _ in found}
    left = [i for i, j in enumerate(pool) if j not in taken]
    if len(left) < 5 or len(rows) < 5 * len(left):
        return []
    inverse = np.linalg.pinv(corr[np.ix_(left, left)] + 1e-10 * np.eye(len(left)))
    unexplained = 1.0 / np.maximum(np.diag(inverse), 1e-12)
    out: list[tuple[int, tuple[int, ...], Constraint]] = []
    suspects = [i for i in range(len(left)) if unexplained[i] < _LOOSE**2 and pool[left[i]] in group]
    spread = {i: cells[rows, pool[i]].std() for i in left}
    # The total of a sum varies most: try it first.
    for i in sorted(suspects, key=lambda i: -spread[left[i]]):
        target = pool[left[i]]
        others = [j for j in (pool[k] for k in left) if j != target]
        x, t = cells[rows][:, others], cells[rows, target]
        weights, *_ = np.linalg.lstsq(x - x.mean(axis=0), t - t.mean(), rcond=None)
        parts = tuple(
            j for j, w, s in zip(others, weights, x.std(axis=0), strict=True) if abs(w) * s > _LOOSE * t.std()
        )
        known = any({target, *parts} & {total, *old} == {target, *parts} for total, old, _ in out)
        if known or not 3 < len(parts) <= _MOST_PARTS:
            continue
        one = _fit(columns, cells, rows, target, parts, grids)
        if one is not None:
            out.append((target, parts, one))
            break  # others of the same sum are no news
    return out


def _minority(values: NDArray[np.float64]) -> int:
    if not len(values):
        return 0
    _, counts = np.unique(values, return_counts=True)
    return int(len(values) - counts.max())


def _grid(values: NDArray[np.float64]) -> tuple[float, float, int | None]:
    """How coarse a column is: slack it gives as a total, slack it gives as a part, and its decimals.

    A column rounded to decimals is off by half a unit as a total and exact as a part; one stored with a short binary
    mantissa (single precision, or the truncated numbers of older statistics files) is off by a unit either way.
    """
    largest = float(np.abs(values).max())
    decimals = decimals_of(values, 9)
    if decimals is not None and decimals <= 6:
        return 0.5 * 10.0**-decimals, 0.0, decimals
    mantissa, _ = np.frexp(values)
    for bits in range(8, 25):
        scaled = np.ldexp(mantissa, bits)
        if (scaled == np.rint(scaled)).all():
            unit = float(2.0 ** (int(np.frexp(largest)[1]) - bits))
            return unit, unit, decimals
    return (0.5 * 10.0**-decimals if decimals is not None else 1e-10 * largest), 0.0, decimals


def _significant(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")
