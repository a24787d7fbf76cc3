"""The interface of a rule, and what a rule finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

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
    """A statement about rows that a dataset keeps or breaks.

    id: a lower-case name, parts joined by dots. severity: "error" cannot be, "warning" is improbable. needs: names the
    columns of the clinical schema without which nothing can be said. why: the reason, with its limit. source: who says
    so, with the year.
    """

    id: str
    title: str
    severity: str
    needs: str
    why: str
    source: str

    @abstractmethod
    def check(self, dataset: Dataset) -> Finding:
        """Count the rows that the rule applies to and find those that break it."""
