"""Hashes of a row, and a smoothed table of one variable for every bucket of a hash.

A hash is a small tree over the other variables, grown on some of the subjects: rows that mean the same for the
variable fall into the same bucket. A bucket's distribution is drawn towards that of the
bucket around it by alpha subjects' worth, and so on up to the margin; a bucket of fewer than five subjects has that of
the bucket around it.

Reference: Park, Ghosh and Shankar, Perturbed Gibbs samplers for generating large-scale privacy-safe synthetic health
data, ICHI 2013, arXiv:1312.5370 (hashed conditionals, perturbation alpha); Agarwal et al., Hierarchical shrinkage,
ICML 2022, arXiv:2202.00858.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ehrsatz.schema import MIN_SUBJECTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Hash:
    """A tree over variables `looks`, and the distribution at every node.

    feature, threshold, left, right: per node; feature -1 in a leaf, else a place in `looks`. table: probability of each
    code, (nodes, K).
    """

    looks: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    table: NDArray[np.float32]

    FIELDS: ClassVar = ("looks", "feature", "threshold", "left", "right", "table")

    def bucket(self, state: Features) -> Ints:
        """Return the leaf of each row of (R, V)."""
        node = np.zeros(len(state), dtype=np.int64)
        active = np.arange(len(state)) if self.feature[0] >= 0 else np.arange(0)
        while len(active):
            at = node[active]
            goes_left = state[active, self.looks[self.feature[at]]] <= self.threshold[at]
            at = np.where(goes_left, self.left[at], self.right[at])
            node[active] = at
            active = active[self.feature[at] >= 0]
        return node

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` reads."""
        out = {f"{name}.{field}": getattr(self, field) for field in self.FIELDS}
        return {key: one.astype(np.int32) if one.dtype == np.int64 else one for key, one in out.items()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], name: str) -> Hash:
        """Read what `arrays` gave."""
        looks, feature, left, right = (
            arrays[f"{name}.{field}"].astype(np.int64) for field in ("looks", "feature", "left", "right")
        )
        return cls(looks, feature, arrays[f"{name}.threshold"], left, right, arrays[f"{name}.table"])


def learn_hash(
    state: Features,
    looks: Ints,
    codes: Ints,
    size: int,
    *,
    grown: Ints,
    counted: Ints,
    ordered: bool,
    leaf: int,
    alpha: float,
    seed: int,
) -> Hash:
    """Grow a hash for one variable and fill its table.

    Parameters
    ----------
    state : shape (N, V), all variables.
    looks : numbers of the variables that the hash may look at.
    codes : shape (N,), codes of the variable, 0 .. size - 1.
    grown, counted : rows that the tree is grown on, and those that the table counts.
    ordered : whether the codes' order means something.
    leaf : fewest subjects of a bucket.
    alpha : subjects' worth of the bucket around.
    seed : of the tree.
    """
    margin = np.bincount(codes[counted], minlength=size) + 1e-6
    margin = margin / margin.sum()
    if not len(looks) or len(grown) < 2 * leaf or len(np.unique(codes[grown])) < 2:
        none = np.array([-1])
        return Hash(looks, none, np.zeros(1), none, none, margin[None].astype(np.float32))
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeRegressor if ordered else DecisionTreeClassifier
    model = kind(min_samples_leaf=leaf, max_features=0.5 if len(looks) > 4 else None, random_state=seed)
    tree = model.fit(state[np.ix_(grown, looks)], codes[grown]).tree_
    at = tree.apply(state[np.ix_(counted, looks)])
    held = np.bincount(at * size + codes[counted], minlength=tree.node_count * size).reshape(-1, size).astype(float)
    left, right = tree.children_left, tree.children_right
    inner = np.flatnonzero(left >= 0)
    for v in inner[::-1]:  # preorder: children come after their parent
        held[v] += held[left[v]] + held[right[v]]
    table = np.empty_like(held)
    table[0] = (held[0] + alpha * margin) / (held[0].sum() + alpha)
    for v in inner:
        for child in (left[v], right[v]):
            n = held[child].sum()
            table[child] = table[v] if n < MIN_SUBJECTS else (held[child] + alpha * table[v]) / (n + alpha)
    return Hash(
        looks,
        np.where(left >= 0, tree.feature, -1).astype(np.int64),
        tree.threshold.astype(np.float64),
        left.astype(np.int64),
        right.astype(np.int64),
        table.astype(np.float32),
    )
