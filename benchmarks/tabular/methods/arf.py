"""arfpy (MIT): adversarial random forest (Watson et al. 2023, arXiv:2205.09435) at its defaults.

Missing values are coded for it, and whole columns rounded after it: it knows neither, and would otherwise be told
apart by spelling alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.tabular.frames import MissingCodes
from benchmarks.tabular.methods.base import Method


class Arfpy(Method):
    """Forest, leaf densities, rows. What the cap stops cannot be drawn from."""

    def start(self) -> None:
        """Import the package."""
        from arfpy import arf

        np.random.seed(self.seed)  # noqa: NPY002 - the package draws from the global state
        self.package = arf

    def fit(self) -> None:
        """Grow the forest on the coded table and estimate the densities of its leaves."""
        self.codes = MissingCodes(self.spec)
        coded = self.codes.encode(self.frame)
        numbers = [name for name in coded if name not in self.codes.categories]
        self.model = self.package.arf(x=coded.astype(dict.fromkeys(numbers, float)), verbose=False)
        self.model.forde()

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows."""
        drawn = self.codes.decode(self.model.forge(n=n))
        whole = [name for name, kind in self.spec["columns"].items() if kind == "int"]
        return drawn.assign(**{name: drawn[name].astype(float).round() for name in whole})
