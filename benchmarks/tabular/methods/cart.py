"""Plain sequential CART as in synthpop's default, in a page: the yardstick for what trees cost in privacy.

Each column is drawn from a donor row of the leaf that the columns before it lead to (Reiter 2005, Using CART to
generate partially synthetic public use microdata; minimum leaf 5 rows).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.tabular.methods.base import Method
from benchmarks.tabular.methods.synthpop import LEAST_LEAF

MANY_LEVELS = 50  # beyond this a column is fitted by the rank of its levels, as one tree per level would be slow


class Cart(Method):
    """Columns in file order, one tree each, donors drawn from the leaf."""

    def start(self) -> None:
        """Import scikit-learn's trees."""
        from sklearn import tree

        self.kinds = tree

    def fit(self) -> None:
        """Grow one tree per column on the columns before it."""
        frame, outcome = self.frame, self.frame[self.spec["target"]].isin(self.spec["positive"])
        self.below = {c: frame[c].min() - 1 for c in frame if c not in self.categories}
        self.rank: dict[str, pd.Series] = {}
        for name in self.categories:  # levels in order of the outcome's share, so that a tree can cut them
            share = outcome.groupby(frame[name]).mean().sort_values(kind="stable")
            self.rank[name] = pd.Series(np.arange(len(share)), share.index)
        seen = np.zeros((len(frame), 0), np.float32)
        self.steps: list[tuple[str, Any, dict[int, NDArray[Any]]]] = []
        for name in frame:
            cells = frame[name].to_numpy()
            codes = self._codes(name, frame[name])
            if seen.shape[1] == 0 or len(np.unique(codes)) == 1:
                self.steps.append((name, None, {0: cells}))
            else:
                few = name in self.categories and len(np.unique(codes)) <= MANY_LEVELS
                kind = self.kinds.DecisionTreeClassifier if few else self.kinds.DecisionTreeRegressor
                tree = kind(min_samples_leaf=LEAST_LEAF, random_state=self.seed).fit(seen, codes)
                leaf = tree.apply(seen)
                order = np.argsort(leaf, kind="stable")
                names, begins = np.unique(leaf[order], return_index=True)
                donors = dict(zip(names.tolist(), np.split(cells[order], begins[1:])))
                self.steps.append((name, tree, donors))
            seen = np.column_stack([seen, codes])  # (N, d) -> (N, d + 1)

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows, column by column."""
        rng = np.random.default_rng(self.seed)
        seen = np.zeros((n, 0), np.float32)
        drawn: dict[str, Any] = {}
        for name, tree, donors in self.steps:
            leaf = np.zeros(n, int) if tree is None else tree.apply(seen)
            cells = np.empty(n, dtype=object if name in self.categories else float)
            for one in np.unique(leaf):
                rows = np.flatnonzero(leaf == one)
                cells[rows] = rng.choice(donors[int(one)], len(rows))
            drawn[name] = cells
            seen = np.column_stack([seen, self._codes(name, pd.Series(cells))])
        return pd.DataFrame(drawn)

    def _codes(self, name: str, cells: pd.Series) -> NDArray[np.float32]:
        if name in self.categories:
            return cells.map(self.rank[name]).fillna(-1).to_numpy(np.float32)
        return cells.fillna(self.below[name]).to_numpy(np.float32)
