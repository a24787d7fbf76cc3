"""Find identities that hold only where a level of another column says so: equal columns in all rows of a level.

Pairs of numeric columns that are equal in a fair share of rows, but not in all, are screened on a sample. A level
explains a pair where its rows have no exception, the pair is mostly unequal elsewhere, and equality by chance is
implausible over all levels looked at. Levels are chosen greedily, so that what one condition explains is not said again
by another.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ehrsatz.rules.cells import decimals_of
from ehrsatz.rules.levels import Coded
from ehrsatz.schema import Column, Constraint

_ROWS = 4000  # rows of the screen; what passes is counted on all
_SHARE = 0.05  # of the rows where both are present, equal at least
_ELSEWHERE = 0.5  # share of equal rows outside of the levels, at most
_LEAST = 20  # subjects of a level
_DISTINCT = 8  # columns with fewer values are a matter of implications
_VALUES = 3  # different values in the equal rows, at least
_CHANCE = 0.01  # over all levels of all pairs looked at
_COLUMNS = 400
_PAIRS = 200
_EXACT = 9  # decimals to which totals on no decimal grid are equal


def find_identities(
    columns: list[Column],
    cells: NDArray[np.float64],
    coded: list[Coded],
    subjects: NDArray[np.int64],
    parts: set[str],
) -> list[Constraint]:
    """Find pairs of columns that are equal wherever a column has one of some levels, as sums with a condition.

    Parameters
    ----------
    columns
        D numeric columns.
    cells
        Their cells as numbers, shape (R, D), NaN where missing.
    coded
        Columns of few levels that may be the condition, R rows each.
    subjects
        Number of each row's subject, shape (R,).
    parts
        Names of columns that other constraints compute from, or compute: they are rather the part than the total.
    """
    rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), _ROWS)).astype(np.int64))
    pairs = _equal_pairs(columns, cells, rows)
    least = float(np.log(max(1, len(pairs)) * sum(one.n for one in coded) / _CHANCE + 1))
    said = {
        (i, j): [
            way
            for way in _conditions(cells[:, i], cells[:, j], coded, subjects, rows, least)
            if way[0].column.name not in {columns[i].name, columns[j].name}
        ]
        for i, j in pairs
    }
    tied = Counter(k for pair, ways in said.items() if ways for k in pair)
    decimals = {k: decimals_of(cells[:, k], _EXACT) for k in tied}
    places = {k: _EXACT if known is None else known for k, known in decimals.items()}
    out = []
    for pair, ways in said.items():
        if not ways:
            continue
        # The total follows: it must be as fine as its part, and few other columns should hang on it.
        total, part = sorted(pair, key=lambda k: (-places[k], columns[k].name in parts, tied[k], -k))
        for condition, which, why in ways:
            params = {"when": condition.named(which)}
            if columns[total].kind == "number":
                params["decimals"] = places[total]
            names = (columns[total].name, columns[part].name, condition.column.name)
            out.append(Constraint("sum", names, params, why=why))
    return out


def _equal_pairs(columns: list[Column], cells: NDArray[np.float64], rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of numbers, or of dates, that are equal in a fair share of the sampled rows, the most often equal first."""
    sub = cells[rows]  # (R, D) -> (r, D)
    distinct = np.array([len(np.unique(sub[~np.isnan(sub[:, j]), j])) for j in range(len(columns))], dtype=np.int64)
    usable = np.flatnonzero(distinct >= _DISTINCT)
    usable = np.sort(usable[np.argsort(-distinct[usable], kind="stable")][:_COLUMNS])
    present = ~np.isnan(sub)
    found = []
    dates = np.array([column.kind in {"date", "datetime"} for column in columns])
    for k, i in enumerate(usable):
        others = usable[k + 1 :][dates[usable[k + 1 :]] == dates[i]]
        same = (sub[:, [i]] == sub[:, others]).sum(axis=0)
        both = (present[:, [i]] & present[:, others]).sum(axis=0)
        for j, n_same, n_both in zip(others, same, both, strict=True):
            if n_same and n_same >= _SHARE * n_both:
                found.append((-n_same / n_both, int(i), int(j)))
    return [(i, j) for _, i, j in sorted(found)[:_PAIRS]]


def _conditions(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    coded: list[Coded],
    subjects: NDArray[np.int64],
    rows: NDArray[np.int64],
    least: float,
) -> list[tuple[Coded, NDArray[np.bool_], str]]:
    """Choose columns and their levels in whose rows two columns are equal without exception."""
    same = a == b
    apart = ~same & ~(np.isnan(a) & np.isnan(b))
    n_both = int((~np.isnan(a) & ~np.isnan(b)).sum())
    if not apart.any():
        return []
    counts = []
    for one in coded:
        codes = one.codes[rows]
        pure = (np.bincount(codes[same[rows]], minlength=one.n + 1) > 0)[: one.n]
        pure &= (np.bincount(codes[apart[rows]], minlength=one.n + 1) == 0)[: one.n] & one.public
        if pure.any():
            pure &= (np.bincount(one.codes[apart], minlength=one.n + 1) == 0)[: one.n]
        if pure.any():
            counts.append((one, pure))
    out = []
    left = same.copy()  # equal rows that no chosen condition explains
    while counts:
        ways = []
        for one, pure in counts:
            fresh = np.bincount(one.codes[left], minlength=one.n + 1)[: one.n]
            which = pure & (fresh >= _LEAST)
            ways.append((int(fresh[which].sum()), one, which))
        gain, one, which = max(ways, key=lambda way: way[0])  # the first of equals
        counts = [(other, pure) for other, pure in counts if other is not one]
        if gain < _LEAST:
            break
        here = np.append(which, False)[one.codes]
        equal, n_equal = here & same, int((here & same).sum())
        elsewhere = int((same & ~here).sum()) / max(1, n_both - n_equal)
        _, held = np.unique(a[equal], return_counts=True)
        chance = max(float(((held / n_equal) ** 2).sum()), elsewhere, 1e-9)
        n_subjects = min(len(np.unique(subjects[equal])), len(np.unique(subjects[left & here])))
        if elsewhere > _ELSEWHERE or len(held) < _VALUES or n_subjects < _LEAST:
            continue
        if n_subjects * -np.log(chance) < least:
            continue
        out.append(
            (one, which, f"equal in all {n_equal:,} rows where it applies, and in {elsewhere:.0%} of the others")
        )
        left &= ~here
    return out
