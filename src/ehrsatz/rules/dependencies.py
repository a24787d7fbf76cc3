"""Find dependencies: columns whose level another column's level determines."""

from __future__ import annotations

import numpy as np

from ehrsatz.rules.cells import MAX_LEVELS, plain
from ehrsatz.rules.levels import Coded, count
from ehrsatz.schema import Constraint

_COVERED = 0.9  # share of held levels of the determining column that must be public
_CHANCE = 0.01  # over all pairs looked at
_CELLS = 400_000


def find_dependencies(coded: list[Coded], scale: float, totals: set[str]) -> dict[tuple[int, int], Constraint]:
    """Find pairs where a determines b, without those that follow from two others.

    A map must say more than it costs: the description of b without a, against one level of b per level of a.
    """
    found: dict[tuple[int, int], Constraint] = {}
    for i, a in enumerate(coded):
        if not a.whole or a.public.sum() < 2 or a.held[a.public].sum() < _COVERED * a.held.sum():
            continue
        for j, b in enumerate(coded):
            if i == j or b.n > MAX_LEVELS or (a.n + 1) * (b.n + 1) > _CELLS or b.public.sum() < 1:
                continue
            if b.column.name in totals:
                continue
            table = count(a, b)[: a.n][a.public]
            if (np.count_nonzero(table, axis=1) != 1).any():
                continue
            target = table.argmax(axis=1)
            used = np.unique(target)
            if len(used) < 2 or not all(k == b.n or b.public[k] for k in used):
                continue
            share = table.sum(axis=0) / table.sum()
            told = -float(table.sum(axis=0) @ np.log(np.where(share > 0, share, 1.0))) * scale
            if told < len(target) * np.log(b.n + 1) - np.log(_CHANCE / max(1, len(coded) ** 2)):
                continue
            names = [str(plain(level)).lower() if isinstance(level, bool) else str(plain(level)) for level in a.levels]
            keys = [names[k] for k in np.flatnonzero(a.public)]
            values = [None if k == b.n else plain(b.levels[k]) for k in target]
            why = f"each of {len(keys)} levels, in {int(table.sum()):,} rows, goes with one level"
            found[i, j] = Constraint(
                "dependency", (a.column.name, b.column.name), {"map": dict(zip(keys, values))}, why=why
            )
    for i, j in sorted(found):
        if (j, i) in found and i < j:
            del found[j, i]  # a one-to-one map is said once
    return {
        (i, j): one
        for (i, j), one in found.items()
        if not any((i, k) in found and (k, j) in found for k in range(len(coded)) if k not in {i, j})
    }
