"""Which columns are missing together: exactly the same rows, or not.

Generators that draw missingness apart from values draw it once per group, so that columns which are missing together
in the data are missing together in every draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MissingCode:
    """Group of each column, shape (D,): -1 never missing, otherwise the number of its pattern."""

    groups: tuple[int, ...]

    @property
    def n_groups(self) -> int:
        """Number of distinct patterns."""
        return max(self.groups, default=-1) + 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"codec": "missing", "groups": list(self.groups)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MissingCode:
        """Read what `to_dict` writes."""
        return cls(tuple(data["groups"]))


def learn_missing(is_missing: NDArray[np.bool_]) -> MissingCode:
    """Group the columns of an (R, D) mask that are missing in exactly the same rows."""
    seen: dict[bytes, int] = {}
    groups = []
    for column in is_missing.T:
        groups.append(seen.setdefault(np.packbits(column).tobytes(), len(seen)) if column.any() else -1)
    return MissingCode(tuple(groups))


def encode_missing(code: MissingCode, is_missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask of each group, shape (R, n_groups): that of the group's first column."""
    first = [code.groups.index(group) for group in range(code.n_groups)]
    return is_missing[:, first]


def decode_missing(code: MissingCode, by_group: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask of each column, shape (R, D), from the mask of each group."""
    padded = np.concatenate([by_group, np.zeros((len(by_group), 1), dtype=bool)], axis=1)  # group -1: never
    return padded[:, list(code.groups)] if code.groups else np.zeros((len(by_group), 0), dtype=bool)


def describe_missing(code: MissingCode) -> dict[str, Any]:
    """Return what a person wants to know: how many columns have gaps, in how many patterns."""
    return {"columns": sum(group >= 0 for group in code.groups), "patterns": code.n_groups}
