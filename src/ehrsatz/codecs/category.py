"""Categories, codes and booleans <-> atoms: levels that enough subjects share, and pools of rarer ones.

A level held by at least `min_subjects` subjects is an atom of its own, in natural order ("2" before "10") or in the
order of the schema. Rarer levels are named nowhere. They share pools: for codes, the longest prefix that at least
`min_subjects` subjects with rare levels share and that a kept level begins with ("250" for rare kinds of diabetes);
for all others one pool. A pool decodes to one of the least frequent kept levels of its prefix: so a rare code comes
back as another rare one of the same group, and the frequent ones keep their share. Where no level is kept at all, it
decodes to the schema's levels, else to missing, else (where the column must not be missing) to the word "other".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.schema import MIN_SUBJECTS

Atoms = NDArray[np.int32]
Floats = NDArray[np.float64]

_RARE = 4  # a level of at most so many times the subjects of the least frequent one may stand in for rarer ones


@dataclass(frozen=True)
class Pool:
    """Rarer levels together: their common prefix, the levels they decode to, and how often each."""

    prefix: str
    members: tuple[str, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class CategoryCode:
    """What `learn_category` found: atoms 0 .. L-1 are `levels`, the rest are `pools`."""

    kind: str
    levels: tuple[str, ...]
    pools: tuple[Pool, ...] = ()

    @property
    def n_atoms(self) -> int:
        """Number of atoms; missing is atom -1 and not counted."""
        return len(self.levels) + len(self.pools)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        pools = [[pool.prefix, list(pool.members), list(pool.weights)] for pool in self.pools]
        return {"codec": "category", "kind": self.kind, "levels": list(self.levels), "pools": pools}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CategoryCode:
        """Read what `to_dict` writes."""
        pools = tuple(Pool(prefix, tuple(members), tuple(weights)) for prefix, members, weights in data["pools"])
        return cls(data["kind"], tuple(data["levels"]), pools)


def learn_category(
    values: pl.Series,
    *,
    subjects: NDArray[np.int64] | None = None,
    min_subjects: int = MIN_SUBJECTS,
    kind: str = "category",
    levels: tuple[str, ...] | None = None,
    nullable: bool = True,
) -> CategoryCode:
    """Learn the atoms of a column of levels.

    Parameters
    ----------
    values : String or Boolean series of R rows; booleans have the two levels "false" and "true", always.
    subjects : shape (R,), whose row it is; None means each row is its own subject.
    min_subjects : fewest subjects behind a level or pool that is named.
    kind : category, code (rare levels are pooled by prefix) or boolean.
    levels : the schema's levels, which give the order.
    nullable : whether a draw may be missing where no level is kept.
    """
    if kind == "boolean":
        return CategoryCode(kind, ("false", "true"))
    who = pl.Series("subject", np.arange(len(values)) if subjects is None else subjects)
    held = (
        pl.DataFrame({"level": values, "subject": who})
        .drop_nulls("level")
        .group_by("level")
        .agg(pl.col("subject").n_unique().alias("n"))
    )
    counts = dict(zip(held["level"].to_list(), held["n"].to_list()))
    kept = [level for level, n in counts.items() if n >= min_subjects]
    place = {level: rank for rank, level in enumerate(levels or ())}
    kept.sort(key=lambda level: (place.get(level, len(place)), natural(level)))
    rare = {level: n for level, n in counts.items() if n < min_subjects}
    pools: list[Pool] = []
    if kind == "code" and kept:
        pools, rare = _prefix_pools(rare, kept, counts, min_subjects)
    if rare or not kept:
        if kept:
            pools.append(_pool("", kept, counts))
        elif levels:
            pools.append(Pool("", tuple(levels), (round(1 / len(levels), 6),) * len(levels)))
        elif rare or not nullable:
            pools.append(Pool("", () if nullable else ("other",), () if nullable else (1.0,)))
    return CategoryCode(kind, tuple(kept), tuple(pools))


def encode_category(code: CategoryCode, values: pl.Series) -> Atoms:
    """Return the atom of each value, shape (R,); -1 where missing.

    A level that is not kept goes to the pool of its longest prefix; without such a pool it counts as missing.
    """
    if code.kind == "boolean":
        return values.cast(pl.Int32).fill_null(-1).to_numpy().astype(np.int32)
    unique = values.drop_nulls().unique()
    known = {level: atom for atom, level in enumerate(code.levels)}
    prefixes = sorted(enumerate(code.pools), key=lambda item: -len(item[1].prefix))
    atoms = []
    for level in unique.to_list():
        atom = known.get(level)
        if atom is None:
            first = next((number for number, pool in prefixes if level.startswith(pool.prefix)), None)
            atom = -1 if first is None else len(code.levels) + first
        atoms.append(atom)
    if not atoms:
        return np.full(len(values), -1, dtype=np.int32)
    coded = values.replace_strict(unique, pl.Series(atoms, dtype=pl.Int32), default=-1, return_dtype=pl.Int32)
    return coded.fill_null(-1).to_numpy().astype(np.int32)


def decode_category(code: CategoryCode, atoms: Atoms, u: Floats) -> pl.Series:
    """Return one level per atom, null for atom -1.

    Parameters
    ----------
    atoms : shape (R,), atoms -1 .. n_atoms - 1.
    u : shape (R,), in [0, 1): which member of a pool. Levels do not use it.
    """
    if code.kind == "boolean":
        return pl.Series(atoms > 0, dtype=pl.Boolean).set(pl.Series(atoms < 0), None)
    index = atoms.astype(np.int64)
    names = list(code.levels)
    for number, pool in enumerate(code.pools):
        rows = np.flatnonzero(atoms == len(code.levels) + number)
        if not pool.members:
            index[rows] = -1
            continue
        bounds = np.cumsum(pool.weights) / np.sum(pool.weights)
        index[rows] = len(names) + np.minimum(np.searchsorted(bounds, u[rows], side="right"), len(pool.members) - 1)
        names += pool.members
    if not names:
        return pl.Series([None] * len(atoms), dtype=pl.String)
    picked = pl.Series(names, dtype=pl.String).gather(pl.Series(np.maximum(index, 0)))
    return picked.set(pl.Series(index < 0), None) if (index < 0).any() else picked


def describe_category(code: CategoryCode) -> dict[str, Any]:
    """Return what a person wants to know of the code: numbers of levels and pools."""
    return {"kind": code.kind, "levels": len(code.levels), "pools": len(code.pools)}


def natural(level: str) -> tuple[tuple[int, float, str], ...]:
    """Return a key that sorts "2" before "10" and numbers before words."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", level)
    return tuple((0, float(part), part) if part[0].isdecimal() else (1, 0.0, part) for part in parts)


def _prefix_pools(
    rare: dict[str, int], kept: list[str], counts: dict[str, int], min_subjects: int
) -> tuple[list[Pool], dict[str, int]]:
    """Pool rare levels by the longest prefix that enough subjects share; return pools and the levels left over."""
    pools: list[Pool] = []
    for length in range(max((len(level) for level in rare), default=0), 0, -1):
        groups: dict[str, list[str]] = {}
        for level in sorted(rare):
            if len(level) >= length:
                groups.setdefault(level[:length], []).append(level)
        for prefix, members in groups.items():
            if len(members) < 2 or sum(rare[level] for level in members) < min_subjects:
                continue
            family = [level for level in kept if level.startswith(prefix)]
            if family:
                pools.append(_pool(prefix, family, counts))
                for level in members:
                    del rare[level]
    return sorted(pools, key=lambda pool: natural(pool.prefix)), rare


def _pool(prefix: str, family: list[str], counts: dict[str, int]) -> Pool:
    """Let the pool come back as the least frequent of its family: what was rare stays rare."""
    least = min(counts[level] for level in family)
    members = [level for level in family if counts[level] <= _RARE * least]
    return Pool(prefix, tuple(members), (round(1 / len(members), 6),) * len(members))
