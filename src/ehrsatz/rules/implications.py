"""Find implications and combinations: levels, or gaps, of one column that rule out levels, or gaps, of another.

For each pair of columns the contingency table is counted once. A cell that no row is in speaks for a rule only where
independent columns would have put so many rows there that an empty cell by chance is implausible over all cells looked
at. A cell that follows from two stronger rules over a third column is not said again. Only levels that at least
MIN_SUBJECTS subjects hold are ever named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.rules.cells import plain
from ehrsatz.rules.levels import Coded, count
from ehrsatz.schema import Constraint

_MOST = 150
_CHANCE = 0.01  # over all cells looked at
_MANY_STATEMENTS = 4  # more of them about one pair are better said as a combination
_MOST_COMBINATIONS = 200
_SPARSE = 0.25  # share of the possible combinations that occur, at most


@dataclass(frozen=True)
class _Pair:
    """Two columns and the cells of their contingency table that no row is in, and that chance does not explain."""

    i: int
    j: int
    table: NDArray[np.int64]
    forbidden: NDArray[np.bool_]
    shy: NDArray[np.bool_]  # cells held by too few rows to be named, where many were expected
    strength: float  # share of rows that independent columns would have there


def find_implications(
    coded: list[Coded], known: dict[tuple[int, int], NDArray[np.int64]], apart: set[frozenset[str]], scale: float
) -> list[Constraint]:
    """Find the strongest implications and combinations, strongest first.

    Parameters
    ----------
    coded
        Columns of few levels, and columns' gaps.
    known
        Pairs (a, b) that a dependency ties -> level of b for each level of a, -1 where it names none.
    apart
        Names of columns that another constraint ties, gaps included.
    scale
        Subjects per row: rows of one subject count once.
    """
    n_cells = sum(one.n for one in coded) ** 2 / 2 + 1
    least = max(10.0, float(np.log(n_cells / _CHANCE)))
    pairs = []
    for i in range(len(coded)):
        for j in range(i + 1, len(coded)):
            same = coded[i].column.name == coded[j].column.name
            tied = frozenset({coded[i].column.name, coded[j].column.name}) in apart
            if not (same or tied or (i, j) in known or (j, i) in known):
                pair = _look(coded, i, j, least, scale)
                if pair is not None:
                    pairs.append(pair)
    pairs.sort(key=lambda pair: (-pair.strength, pair.i, pair.j))
    said = _given(coded, known)
    out: list[Constraint] = []
    for pair in pairs:
        fresh = pair.forbidden & ~_follows(coded, said, pair.i, pair.j, pair.forbidden.shape)
        if not fresh.any():
            continue
        best = _best(coded[pair.i], coded[pair.j], pair, fresh)
        if not best:
            continue
        out += best
        # What was said are whole statements: cells of levels that could not be named stay unsaid.
        covered = np.zeros_like(pair.forbidden)
        covered |= pair.forbidden & coded[pair.i].public[:, None] & coded[pair.j].public[None, :]
        said[pair.i, pair.j], said[pair.j, pair.i] = covered, covered.T
        if len(out) >= _MOST:
            break
    return out[:_MOST]


def _look(coded: list[Coded], i: int, j: int, least: float, scale: float) -> _Pair | None:
    table = count(coded[i], coded[j])[:-1, :-1]
    total = max(1, int(table.sum()))
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) * (scale / total)
    forbidden = (table == 0) & (expected >= least)
    if not forbidden.any():
        return None
    shy = (table > 0) & (table < coded[i].floor) & (expected >= least)
    return _Pair(i, j, table, forbidden, shy, float(expected[forbidden].sum()) / (scale * len(coded[i].codes)))


def _given(
    coded: list[Coded], known: dict[tuple[int, int], NDArray[np.int64]]
) -> dict[tuple[int, int], NDArray[np.bool_]]:
    """Cells that are ruled out already: by dependencies, and because a cell with a level is not missing."""
    said: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for (i, j), target in known.items():
        cells = (np.arange(coded[j].n)[None, :] != target[:, None]) & (target >= 0)[:, None]
        said[i, j] = said.get((i, j), np.zeros_like(cells)) | cells
        said[j, i] = said[i, j].T
    for i, a in enumerate(coded):
        for j, b in enumerate(coded):
            if b.gap and not a.gap and a.column.name == b.column.name:
                cells = np.zeros((a.n, 2), dtype=bool)
                cells[:, 0] = True
                said[i, j], said[j, i] = cells, cells.T
    return said


def _follows(
    coded: list[Coded], said: dict[tuple[int, int], NDArray[np.bool_]], i: int, j: int, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Cells of i and j that are ruled out by a third column: each of its levels is, by i's or by j's."""
    out = np.zeros(shape, dtype=bool)
    for k, other in enumerate(coded):
        if (i, k) in said and (k, j) in said and not other.has_missing:
            ways = (~said[i, k]).astype(np.float32) @ (~said[k, j]).astype(np.float32)
            out |= ways == 0
    return out


def _best(a: Coded, b: Coded, pair: _Pair, fresh: NDArray[np.bool_]) -> list[Constraint]:
    """Say the empty cells from the side that needs fewer and shorter statements, or as combinations."""
    sides = [
        _statements(a, b, fresh, pair.forbidden, pair.shy, pair.table),
        _statements(b, a, fresh.T, pair.forbidden.T, pair.shy.T, pair.table.T),
    ]

    def cost(way: list[Constraint]) -> tuple[int, bool, bool, int, int]:
        when, then = way[0].params["when"], way[0].params["then"]
        longest = max(len(one.params["then"]) if isinstance(one.params["then"], list) else 1 for one in way)
        return len(way), isinstance(when, str), when == "present", longest, len(when) if then else 0

    if a.spike or b.spike:
        return [*sides[0], *sides[1]]  # "other than the spike" is never named: no side says what the other does
    best = min((way for way in sides if way), key=cost, default=[])
    if len(best) > _MANY_STATEMENTS and (combined := _combination(a, b)) is not None:
        return [combined]
    return best


def _statements(
    a: Coded,
    b: Coded,
    fresh: NDArray[np.bool_],
    forbidden: NDArray[np.bool_],
    shy: NDArray[np.bool_],
    table: NDArray[np.int64],
) -> list[Constraint]:
    """Say the empty cells as "when a is one of these, b is one of those"; levels with one allowed set go together."""
    groups: dict[bytes, list[int]] = {}
    for k in np.flatnonzero(fresh.any(axis=1)):
        if not a.public[k] or shy[k].any() or table[k][~b.public].any():
            continue
        allowed = ~forbidden[k] & b.public
        if allowed.any():
            groups.setdefault((str(k) if a.gap else "").encode() + allowed.tobytes(), []).append(int(k))
    out = []
    for rows in groups.values():
        allowed = ~forbidden[rows[0]] & b.public
        when = np.zeros(a.n, dtype=bool)
        when[rows] = True
        n = int(table[rows].sum())
        share = float(table[:, ~allowed].sum() / max(1, table.sum()))
        params = {"when": a.named(when), "then": b.named(allowed)}
        why = f"no exception in {n:,} rows; of all rows, {share:.1%} are not so"
        out.append(Constraint("implication", (a.column.name, b.column.name), params, why=why))
    return out


def _combination(a: Coded, b: Coded) -> Constraint | None:
    """Say which combinations occur, where each is held by enough rows and few of the possible ones do."""
    table = count(a, b)
    seen = table > 0
    if (table[seen] < a.floor).any() or not (a.public.all() and b.public.all()) or a.gap or b.gap:
        return None
    if seen.sum() > min(_MOST_COMBINATIONS, _SPARSE * table.size):
        return None
    first, second = (*a.levels, None), (*b.levels, None)
    allowed = [[plain(first[i]), plain(second[j])] for i, j in np.argwhere(seen)]
    why = f"{len(allowed)} of {a.n * b.n:,} combinations occur"
    return Constraint("combination", (a.column.name, b.column.name), {"allowed": allowed}, why=why)
