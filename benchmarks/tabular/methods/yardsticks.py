"""Yardsticks: a copy of train (ceiling of fidelity, no privacy), independent columns (floor), a further real sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tabular.frames import read_frame
from benchmarks.tabular.methods.base import Method


class Copy(Method):
    """Release the train rows themselves."""

    def fit(self) -> None:
        """Nothing to learn."""

    def sample(self, n: int) -> pd.DataFrame:
        """Return train rows in random order, with repeats only beyond their number."""
        return self.frame.sample(n, replace=n > len(self.frame), random_state=self.seed)


class Columns(Method):
    """Draw every column by itself from its own train cells."""

    def fit(self) -> None:
        """Nothing to learn."""

    def sample(self, n: int) -> pd.DataFrame:
        """Return n rows of independent columns."""
        rng = np.random.default_rng(self.seed)
        return pd.DataFrame({name: rng.choice(self.frame[name].to_numpy(), n) for name in self.frame})


class Further(Method):
    """Real rows of yet other subjects: what a perfect generator would score."""

    def read(self, split: Path) -> None:
        """Read train and the further sample."""
        super().read(split)
        self.further = read_frame(split / "further.csv", self.spec)

    def fit(self) -> None:
        """Nothing to learn."""

    def sample(self, n: int) -> pd.DataFrame:
        """Return the first n rows of the further sample."""
        return self.further.head(n)
