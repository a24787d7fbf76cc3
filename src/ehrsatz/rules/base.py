"""The interface of a rule, and what a rule finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset


@dataclass(frozen=True)
class Finding:
    """What one rule found in a dataset: positions, never cell values.

    Parameters
    ----------
    rule
        Id of the rule.
    n_checked, n_failed
        Rows that the rule applies to, and those of them that break it.
    rows
        Table name -> positions of the failing rows, int64, shape (n_failed,).
    """

    rule: str
    n_checked: int
    n_failed: int
    rows: Mapping[str, NDArray[np.int64]]


class Rule(ABC):
    """A statement about rows that a dataset keeps or breaks."""

    id: ClassVar[str]
    title: ClassVar[str]
    severity: ClassVar[str]
    needs: ClassVar[str]
    why: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def check(self, dataset: Dataset) -> Finding:
        """Count the rows that the rule applies to and find those that break it."""
