"""Many levels <-> a group and a place in it, so that a network never needs an output per code.

Codes of ICD-9-CM and ICD-10 are grouped by their chapters, large chapters further by their first characters; all other
levels by runs of neighbours in natural order. Every level has its own pair of group and place: nothing is pooled.

References
----------
ICD-9-CM tabular list (chapters by range of three digits, E and V codes) and ICD-10 (chapters by first letters), as
published by the National Center for Health Statistics and the World Health Organization.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]

_ICD9 = re.compile(r"(\d{3}|V\d{2}|E\d{3})(\.\d{1,2}|\d{0,2})?")
_ICD10 = re.compile(r"[A-TV-Z]\d[0-9A-Z](\.?[0-9A-Z]{1,4})?")
_ICD9_ENDS = (139, 239, 279, 289, 319, 389, 459, 519, 579, 629, 679, 709, 739, 759, 779, 799, 999)
_ICD10_STARTS = ("A", "C", "D50", "E", "F", "G", "H", "H60", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "V")
_FIT = 0.9  # share of levels that must look like a system's codes


@dataclass(frozen=True)
class Hierarchy:
    """Group of each atom and its place within the group, both of shape (n_atoms,)."""

    groups: tuple[int, ...]
    places: tuple[int, ...]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return max(self.groups, default=-1) + 1

    @property
    def n_places(self) -> int:
        """Atoms of the largest group."""
        return max(self.places, default=-1) + 1

    def sizes(self) -> Ints:
        """Return the number of atoms of each group, shape (n_groups,)."""
        return np.bincount(self.groups, minlength=self.n_groups).astype(np.int32)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"codec": "hierarchy", "groups": list(self.groups)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Hierarchy:
        """Read what `to_dict` writes."""
        return _placed(np.array(data["groups"], dtype=np.int64))


def learn_hierarchy(levels: tuple[str, ...], n_atoms: int | None = None) -> Hierarchy:
    """Group levels, in natural order, into about as many groups as a group has places.

    Parameters
    ----------
    levels : the levels that are atoms 0 .. L-1.
    n_atoms : L and pools, whose atoms form a last group; L where None.
    """
    total = len(levels) if n_atoms is None else n_atoms
    room = ceil(sqrt(max(total, 1))) * 2
    labels: list[tuple[Any, ...]] = [chapter(level) for level in levels] if is_icd(levels) else [(0,)] * len(levels)
    for depth in (1, 2, 3):  # a chapter that is too large is parted by the first characters of its codes
        counts = {label: labels.count(label) for label in set(labels)}
        labels = [
            (*label, level[:depth]) if counts[label] > room and is_icd(levels) else label
            for label, level in zip(labels, levels)
        ]
    groups: list[int] = []
    last, filled = None, 0
    for label in labels:  # neighbours of one label share a group until it is full
        if label != last or filled >= room:
            groups.append(groups[-1] + 1 if groups else 0)
            filled = 0
        else:
            groups.append(groups[-1])
        last, filled = label, filled + 1
    groups += [(groups[-1] + 1 if groups else 0)] * (total - len(levels))
    return _placed(np.array(groups, dtype=np.int64))


def encode_hierarchy(code: Hierarchy, atoms: Ints) -> tuple[Ints, Ints]:
    """Return group and place of atoms 0 and up, both of shape (R,)."""
    return np.array(code.groups, dtype=np.int32)[atoms], np.array(code.places, dtype=np.int32)[atoms]


def decode_hierarchy(code: Hierarchy, groups: Ints, places: Ints) -> Ints:
    """Return the atoms of pairs of group and place, shape (R,); a place beyond its group's end is the last of it."""
    sizes = code.sizes()
    starts = np.zeros(code.n_groups, dtype=np.int64)
    table = np.zeros((code.n_groups, code.n_places), dtype=np.int32)
    for atom, (group, place) in enumerate(zip(code.groups, code.places)):
        table[group, place] = atom
        starts[group] += 1
    return table[groups, np.minimum(places, sizes[groups] - 1)]


def describe_hierarchy(code: Hierarchy) -> dict[str, Any]:
    """Return what a person wants to know: numbers of groups and of places."""
    return {"groups": code.n_groups, "places": code.n_places}


def is_icd(levels: tuple[str, ...]) -> bool:
    """Say whether nearly all levels look like codes of ICD-9-CM, or nearly all like codes of ICD-10."""
    n = max(len(levels), 1)
    return any(sum(bool(form.fullmatch(one)) for one in levels) / n >= _FIT for form in (_ICD9, _ICD10))


def chapter(code: str) -> tuple[int, ...]:
    """Return the chapter of an ICD code as a sortable key; (99,) for what is none."""
    if code[:1].isdigit() and code[:3].isdigit():
        return (0, int(np.searchsorted(_ICD9_ENDS, int(code[:3]))))
    if _ICD9.fullmatch(code) and not _ICD10.fullmatch(code):
        return (1, ord(code[0]))
    if _ICD10.fullmatch(code):
        return (2, max(n for n, start in enumerate(_ICD10_STARTS) if code >= start))
    return (99,)


def _placed(groups: NDArray[np.int64]) -> Hierarchy:
    places = np.zeros(len(groups), dtype=np.int64)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        places[rows] = np.arange(len(rows))
    return Hierarchy(tuple(groups.tolist()), tuple(places.tolist()))
