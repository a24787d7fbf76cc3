"""One column given others: a mixture of trees on subsamples, whose leaves hold counts of atoms, never rows.

A draw takes one tree at random, falls to a leaf, and takes one of the leaf's atoms: that is a draw from the average of
the trees' conditional distributions, a random forest as a density (Breiman 2001; Meinshausen 2006). The trees are
honest (Athey & Imbens 2016): splits are chosen on a sample of the subjects, leaves count the others, so that no
subject's cells bring about the very leaf they are drawn from. Every leaf that is drawn from holds at least a minimum
of distinct subjects; one that does not hands its draws to the lowest ancestor that does. With `pull` above 0, a draw
climbs from a node of k rows to its parent with probability pull / (k + pull), which is hierarchical shrinkage of the
leaf's distribution towards its ancestors (Agarwal et al. 2022).

References
----------
Breiman, Random forests, Machine Learning 45 (2001), doi:10.1023/A:1010933404324.
Meinshausen, Quantile regression forests, JMLR 7 (2006).
Athey & Imbens, Recursive partitioning for heterogeneous causal effects, PNAS 113 (2016), doi:10.1073/pnas.1510489113.
Agarwal et al., Hierarchical shrinkage, ICML 2022, arXiv:2202.00858.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.seeds import stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Tree:
    """One tree as arrays over its nodes in preorder, and the atoms of its rows in the order of its leaves.

    feature is -1 in a leaf; rows of node v are atoms[start[v]:end[v]], sorted within each leaf; anchor is the lowest
    node on the way up, itself included, with enough distinct subjects.
    """

    feature: Ints
    threshold: Floats
    right: Ints
    parent: Ints
    anchor: Ints
    start: Ints
    end: Ints
    atoms: Ints

    FIELDS = ("feature", "threshold", "right", "parent", "anchor", "start", "end", "atoms")


def grow(
    features: NDArray[np.float32],
    target: Floats,
    labels: Ints | None,
    atoms: Ints,
    *,
    n_trees: int,
    share: float,
    leaf: int,
    try_features: float,
    subjects: NDArray[np.int64] | None,
    seed: int,
    name: str,
) -> tuple[Tree, ...]:
    """Grow the trees of one column.

    Parameters
    ----------
    features : shape (R, F).
    target : shape (R, K), what regression trees split by; unused where labels are given.
    labels : shape (R,), classes for classification trees, or None.
    atoms : shape (R,), what the leaves count; 0 and up.
    n_trees, share : how many trees, each split on this share of the subjects and counting the others; 1 means that
        all subjects do both.
    leaf : fewest distinct subjects of a leaf.
    try_features : share of the features tried at each split.
    subjects : shape (R,), whose row it is; None means each row is its own.
    seed, name : name the streams of subsampling.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    trees = []
    for k in range(n_trees):
        rng = stream(seed, "trees", "grow", name, k)
        rows = _subsample(len(atoms), share, subjects, rng)
        common = {
            "min_samples_leaf": min(leaf, max(1, len(rows) // 2)),
            "max_features": min(1.0, max(try_features, 1.0 / features.shape[1])),
            "random_state": int(rng.integers(2**31)),
        }
        if labels is not None:
            model = DecisionTreeClassifier(min_impurity_decrease=1e-6, **common).fit(features[rows], labels[rows])
        else:
            model = DecisionTreeRegressor(min_impurity_decrease=1e-9, **common).fit(features[rows], target[rows])
        counted = rows
        if share < 1:
            counted = np.setdiff1d(np.arange(len(atoms)), rows, assume_unique=True)
        whose = None if subjects is None else subjects[counted]
        trees.append(_pack(model.tree_, features[counted], atoms[counted], whose, leaf))
    return tuple(trees)


def _subsample(n: int, share: float, subjects: NDArray[np.int64] | None, rng: np.random.Generator) -> NDArray[np.int64]:
    if share >= 1:
        return np.arange(n)
    if subjects is None:
        return np.sort(rng.permutation(n)[: max(1, round(share * n))])
    names, index = np.unique(subjects, return_inverse=True)
    chosen = np.zeros(len(names), dtype=bool)
    chosen[rng.permutation(len(names))[: max(1, round(share * len(names)))]] = True
    return np.flatnonzero(chosen[index])


def _pack(
    tree: Any, features: NDArray[np.float32], atoms: Ints, subjects: NDArray[np.int64] | None, least: int
) -> Tree:
    """Turn a fitted tree into arrays; scikit-learn numbers nodes in preorder, so a subtree is a run of numbers."""
    left, right = tree.children_left, tree.children_right
    nodes = tree.node_count
    leaf_of = tree.apply(features)
    order = np.lexsort((atoms, leaf_of))
    below = np.concatenate([[0], np.cumsum(np.bincount(leaf_of, minlength=nodes))])
    inner = np.flatnonzero(left >= 0)
    parent = np.full(nodes, -1, dtype=np.int32)
    parent[left[inner]] = inner
    parent[right[inner]] = inner
    last = np.arange(nodes)
    for v in inner[::-1]:
        last[v] = last[right[v]]
    start, end = below[np.arange(nodes)], below[last + 1]
    held = end - start if subjects is None else _distinct(subjects[order], start, end)
    anchor = np.arange(nodes, dtype=np.int32)
    for v in range(1, nodes):  # parents come before children
        if held[v] < least:
            anchor[v] = anchor[parent[v]]
    return Tree(
        feature=np.where(left >= 0, tree.feature, -1).astype(np.int32),
        threshold=tree.threshold.astype(np.float64),
        right=right.astype(np.int32),
        parent=parent,
        anchor=anchor,
        start=start.astype(np.int32),
        end=end.astype(np.int32),
        atoms=atoms[order].astype(np.int32),
    )


def _distinct(subjects: NDArray[np.int64], start: NDArray[Any], end: NDArray[Any]) -> NDArray[np.int64]:
    """Count distinct subjects of each run of rows: a row counts where the same subject's row before lies outside."""
    n = len(subjects)
    order = np.lexsort((np.arange(n), subjects))
    before = np.full(n, -1, dtype=np.int64)
    same = subjects[order][1:] == subjects[order][:-1]
    before[order[1:][same]] = order[:-1][same]
    return np.array([int((before[a:b] < a).sum()) for a, b in zip(start, end)], dtype=np.int64)


def descend(tree: Tree, features: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the anchored leaf of each row, shape (R,)."""
    node = np.zeros(len(features), dtype=np.int64)
    active = np.flatnonzero(tree.feature[node] >= 0)
    while len(active):
        at = node[active]
        goes_left = features[active, tree.feature[at]] <= tree.threshold[at]
        node[active] = np.where(goes_left, at + 1, tree.right[at])  # in preorder the left child is the next node
        active = active[tree.feature[node[active]] >= 0]
    return tree.anchor[node].astype(np.int64)


def draw(trees: tuple[Tree, ...], features: NDArray[np.float32], u: Floats, pull: float) -> Ints:
    """Return one atom per row.

    Parameters
    ----------
    features : shape (R, F).
    u : shape (R, 3): which tree, how far up, which atom.
    pull : strength of the shrinkage towards ancestors, 0 or more.
    """
    out = np.empty(len(features), dtype=np.int32)
    which = np.minimum((u[:, 0] * len(trees)).astype(np.int64), len(trees) - 1)
    for k, tree in enumerate(trees):
        rows = np.flatnonzero(which == k)
        if len(rows) == 0:
            continue
        node = descend(tree, features[rows])
        if pull > 0:
            node = _climb(tree, node, u[rows, 1], pull)
        count = tree.end[node] - tree.start[node]
        out[rows] = tree.atoms[tree.start[node] + (u[rows, 2] * count).astype(np.int64)]
    return out


def _climb(tree: Tree, node: NDArray[np.int64], u: Floats, pull: float) -> NDArray[np.int64]:
    node, u = node.copy(), u.copy()
    active = np.arange(len(node))
    while len(active):
        count = (tree.end[node[active]] - tree.start[node[active]]).astype(np.float64)
        stay = count / (count + pull)
        up = (u[active] >= stay) & (tree.parent[node[active]] >= 0)
        u[active] = np.where(up, (u[active] - stay) / (1 - stay), u[active])
        active = active[up]
        node[active] = tree.parent[node[active]]
    return node


def likelihood(
    trees: tuple[Tree, ...], features: NDArray[np.float32], groups: Ints, base: Floats, wanted: Ints
) -> Floats:
    """Return the mixture's probability that each row's atom lies in its wanted group, shape (R,).

    Parameters
    ----------
    groups : shape (n_atoms,), the group of each atom.
    base : shape (n_groups,), the groups' overall shares, mixed into each leaf as one row.
    wanted : shape (R,), group asked for in each row.
    """
    total = np.zeros(len(features))
    for tree in trees:
        node = descend(tree, features)
        of = groups[tree.atoms]
        order = np.lexsort((np.arange(len(of)), of))
        # rows of a group inside a node: positions of that group between the node's start and end
        key = of[order].astype(np.int64) * (len(of) + 1) + order
        low = np.searchsorted(key, wanted.astype(np.int64) * (len(of) + 1) + tree.start[node])
        high = np.searchsorted(key, wanted.astype(np.int64) * (len(of) + 1) + tree.end[node])
        count = (tree.end[node] - tree.start[node]).astype(np.float64)
        total += (high - low + base[wanted]) / (count + 1)
    return total / len(trees)


def pack_trees(trees: tuple[Tree, ...], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the trees' arrays joined end to end, with the lengths of each."""
    out: dict[str, NDArray[Any]] = {
        f"{prefix}.nodes": np.array([len(tree.feature) for tree in trees], dtype=np.int32),
        f"{prefix}.rows": np.array([len(tree.atoms) for tree in trees], dtype=np.int32),
    }
    for name in Tree.FIELDS:
        out[f"{prefix}.{name}"] = np.concatenate([getattr(tree, name) for tree in trees])
    return out


def unpack_trees(arrays: dict[str, NDArray[Any]], prefix: str) -> tuple[Tree, ...]:
    """Undo `pack_trees`."""
    nodes = np.cumsum(arrays[f"{prefix}.nodes"])[:-1]
    rows = np.cumsum(arrays[f"{prefix}.rows"])[:-1]
    parts = {name: np.split(arrays[f"{prefix}.{name}"], rows if name == "atoms" else nodes) for name in Tree.FIELDS}
    return tuple(Tree(**{name: parts[name][k] for name in Tree.FIELDS}) for k in range(len(nodes) + 1))
