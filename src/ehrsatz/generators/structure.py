"""Search for the structure of a Bayesian network over mixed columns.

Greedy hill climbing (add, delete, reverse) on a decomposable extended BIC score, started from the forest of Chow and
Liu, with the parents of each column limited to its most informative partners (the sparse candidates of Friedman). A
column is explained either by a table of its groups or, where it is a smooth number, by a linear model of normal scores;
a family counts with the better of the two. Scores are gains in log-likelihood over the column's own margin, less the
penalty.

References
----------
Chow and Liu, Approximating discrete probability distributions with dependence trees, IEEE Trans. Inf. Theory 14 (1968),
doi:10.1109/TIT.1968.1054142. Friedman, Nachman and Pe'er, Learning Bayesian network structure from massive datasets:
the sparse candidate algorithm, UAI 1999. Schwarz, Estimating the dimension of a model, Annals of Statistics 6 (1978),
doi:10.1214/aos/1176344136. Chen and Chen, Extended Bayesian information criteria for model selection with large model
spaces, Biometrika 95 (2008), doi:10.1093/biomet/asn034 (gamma 1/2: per parent half the log of the number of columns).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Parents = tuple[int, ...]

_WIDE = 200  # more columns than this: partners are first sought by correlation
_NEAR = 24  # partners kept by correlation then


@dataclass
class Families:
    """Scores of a column given parents, computed once each.

    groups: (N, D) group of each cell; sizes: number of groups per column; scores: (N, D) normal scores, 0 where
    missing; smooth: whether a column may be explained linearly; gaps: (N, D) whether missing; most: parents that a
    table may have.
    """

    groups: NDArray[np.int32]
    sizes: tuple[int, ...]
    scores: Floats
    smooth: tuple[bool, ...]
    gaps: NDArray[np.bool_]
    most: int = 3
    known: dict[tuple[int, Parents], tuple[float, bool]] = field(default_factory=dict)

    def gain(self, child: int, parents: Sequence[int]) -> tuple[float, bool]:
        """Return the family's gain over no parents, and whether the linear model is the better one."""
        if not parents:
            return 0.0, False
        key = (child, tuple(sorted(parents)))
        if key not in self.known:
            table = -np.inf
            if len(parents) <= self.most:
                table = table_gain(self.groups[:, child], self.sizes[child], self.config(key[1]))
            linear = self._linear(child, key[1]) if self.smooth[child] else -np.inf
            # each parent is one of many that were looked at: extended BIC
            search = len(parents) * np.log(max(self.groups.shape[1] - 1, 1)) / 2
            self.known[key] = (max(table, linear) - search, linear > table)
        return self.known[key]

    def config(self, parents: Parents) -> NDArray[np.int64]:
        """Return the configuration of the parents' groups in each row as one number, shape (N,)."""
        code = np.zeros(len(self.groups), dtype=np.int64)
        for parent in parents:
            code = code * self.sizes[parent] + self.groups[:, parent]
        return code

    def features(self, parents: Parents) -> Floats:
        """Return the regressors of the linear model, shape (N, F)."""
        columns = [
            features(self.groups[:, p], self.sizes[p], self.scores[:, p] if self.smooth[p] else None, self.gaps[:, p])
            for p in parents
        ]
        return np.concatenate(columns, axis=1)

    def _linear(self, child: int, parents: Parents) -> float:
        here = ~self.gaps[:, child]
        n = int(here.sum())
        x = self.features(parents)[here]
        if n < 5 * (x.shape[1] + 2):
            return -np.inf
        y = self.scores[here, child]
        _, residual = regress(x, y, 0.0)
        spread = max(float(y.var()), 1e-9)
        gain = -n / 2 * np.log(max(residual, 1e-6) / spread) - 0.5 * np.log(n) * x.shape[1]
        if n < len(here):  # whether it is missing is a table of its own
            gain += table_gain(self.gaps[:, child].astype(np.int32), 2, self.config(parents[: self.most]))
        return float(gain)


def table_gain(child: NDArray[np.int32], size: int, config: NDArray[np.int64]) -> float:
    """Return N times the mutual information of a column and its parents' configuration, less the BIC penalty."""
    n = len(child)
    _, config = np.unique(config, return_inverse=True)
    n_configs = int(config.max(initial=0)) + 1
    joint = np.bincount(config * size + child, minlength=n_configs * size).reshape(n_configs, size)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    gain = _entropy(joint) - _entropy(rows) - _entropy(columns) + n * np.log(max(n, 1))
    n_free = (n_configs - 1) * (int((columns > 0).sum()) - 1)
    return float(gain - 0.5 * np.log(max(n, 2)) * n_free)


def features(
    groups: NDArray[np.int32], size: int, scores: Floats | None, gaps: NDArray[np.bool_] | None = None
) -> Floats:
    """Return the regressors of one parent: its score and whether it is missing, or one indicator per group but one."""
    if scores is not None:
        return np.stack([scores, (np.zeros(len(scores)) if gaps is None else gaps.astype(np.float64))], axis=1)
    return (groups[:, None] == np.arange(1, size)).astype(np.float64)


def regress(x: Floats, y: Floats, ridge: float) -> tuple[Floats, float]:
    """Return coefficients (intercept first) and residual variance of a linear model, ridge on all but the intercept."""
    design = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    gram = design.T @ design
    penalty = np.full(len(gram), ridge + 1e-8)
    penalty[0] = 0.0
    slope = np.linalg.solve(gram + np.diag(penalty), design.T @ y)
    return slope, float(np.mean((y - design @ slope) ** 2))


def candidates(families: Families, most: int) -> list[list[int]]:
    """Return for each column its most informative partners, best first, those with a positive gain only."""
    n_columns = families.groups.shape[1]
    pairs: set[tuple[int, int]]
    if n_columns > _WIDE:
        code = families.groups - families.groups.mean(axis=0)
        code = code / np.maximum(np.sqrt((code**2).sum(axis=0)), 1e-9)
        alike = np.abs(code.T @ code)
        np.fill_diagonal(alike, -1)
        near = np.argsort(-np.round(alike, 9), axis=1, kind="stable")[:, :_NEAR]
        pairs = {(min(i, int(j)), max(i, int(j))) for i in range(n_columns) for j in near[i]}
    else:
        pairs = {(i, j) for i in range(n_columns) for j in range(i + 1, n_columns)}
    partners: list[list[tuple[float, int]]] = [[] for _ in range(n_columns)]
    for i, j in sorted(pairs):
        if families.sizes[i] < 2 or families.sizes[j] < 2:
            continue
        gain = families.gain(i, (j,))[0]
        other = families.gain(j, (i,))[0] if families.smooth[j] != families.smooth[i] else gain
        best = max(gain, other)
        if best > 0:
            partners[i].append((-best, j))
            partners[j].append((-best, i))
    return [[j for _, j in sorted(found)[:most]] for found in partners]


def search(
    families: Families, partners: list[list[int]], most_linear: int, progress: Callable[[str, int, int], None]
) -> list[list[int]]:
    """Return the parents of each column after hill climbing from the Chow-Liu forest.

    A smooth column may have `most_linear` parents, any other as many as a table may.
    """
    room = [max(families.most, most_linear) if smooth else families.most for smooth in families.smooth]
    parents = forest(families, partners)
    n_columns = len(parents)
    reach = _reach(parents)
    moves: list[list[tuple[float, str, int]]] = [[] for _ in range(n_columns)]

    def look(child: int) -> None:
        """List the moves on the family of one column by gain."""
        now = families.gain(child, parents[child])[0]
        moves[child] = []
        if len(parents[child]) < room[child]:
            moves[child] += [
                (families.gain(child, [*parents[child], p])[0] - now, "add", p)
                for p in partners[child]
                if p not in parents[child]
            ]
        for p in parents[child]:
            rest = [one for one in parents[child] if one != p]
            less = families.gain(child, rest)[0] - now
            moves[child].append((less, "delete", p))
            if len(parents[p]) < room[p]:
                turned = families.gain(p, [*parents[p], child])[0] - families.gain(p, parents[p])[0]
                moves[child].append((less + turned, "reverse", p))

    for child in range(n_columns):
        look(child)
    for step in range(10 * n_columns):
        ranked = sorted(
            ((gain, child, kind, p) for child in range(n_columns) for gain, kind, p in moves[child] if gain > 1e-6),
            key=lambda move: (-move[0], move[1], move[2], move[3]),
        )
        move = next((one for one in ranked if _legal(one, parents, reach)), None)
        if move is None:
            break
        _, child, kind, p = move
        if kind == "add":
            parents[child].append(p)
        else:
            parents[child].remove(p)
            if kind == "reverse":
                parents[p].append(child)
        reach = _reach(parents)
        touched = {child, p} | {c for c in range(n_columns) if child in parents[c] or p in parents[c]}
        for one in sorted(touched):
            look(one)
        progress("structure", min(step + 1, 3 * n_columns), 3 * n_columns)
    return parents


def forest(families: Families, partners: list[list[int]]) -> list[list[int]]:
    """Return the Chow-Liu forest over candidate pairs, each tree directed away from its best connected column."""
    n_columns = len(partners)
    edges = sorted(
        (-max(families.gain(i, (j,))[0], families.gain(j, (i,))[0]), i, j)
        for i in range(n_columns)
        for j in partners[i]
        if i < j or i not in partners[j]
    )
    home, near = list(range(n_columns)), [[] for _ in range(n_columns)]  # type: list[int], list[list[int]]

    def root(i: int) -> int:
        while home[i] != i:
            home[i] = home[home[i]]
            i = home[i]
        return i

    for _, i, j in edges:
        if root(i) != root(j):
            home[root(i)] = root(j)
            near[i].append(j)
            near[j].append(i)
    parents: list[list[int]] = [[] for _ in range(n_columns)]
    seen: set[int] = set()
    for start in sorted(range(n_columns), key=lambda i: (-len(near[i]), i)):
        queue = [start] if start not in seen else []
        seen.update(queue)
        while queue:
            i = queue.pop()
            for j in near[i]:
                if j not in seen:
                    seen.add(j)
                    parents[j].append(i)
                    queue.append(j)
    return parents


def sort_columns(parents: list[list[int]]) -> list[int]:
    """Return the columns with every parent before its children."""
    order: list[int] = []
    placed: set[int] = set()
    left = list(range(len(parents)))
    while left:
        ready = [i for i in left if placed.issuperset(parents[i])]
        assert ready, "the structure has a cycle"
        order += ready
        placed.update(ready)
        left = [i for i in left if i not in placed]
    return order


def _legal(move: tuple[float, int, str, int], parents: list[list[int]], reach: NDArray[np.bool_]) -> bool:
    _, child, kind, p = move
    if kind == "add":
        return not reach[child, p]
    if kind == "reverse":  # child -> p must not close another way round from p to child
        return not any(reach[p, other] for other in parents[child] if other != p)
    return True


def _reach(parents: list[list[int]]) -> NDArray[np.bool_]:
    """Return whether a directed path leads from row to column; each column reaches itself."""
    reach = np.eye(len(parents), dtype=bool)
    for i in sort_columns(parents):
        for p in parents[i]:
            reach[:, i] |= reach[:, p]
    return reach


def _entropy(counts: NDArray[np.int64]) -> float:
    """Return the sum of n log n."""
    kept = counts[counts > 0].astype(np.float64)
    return float((kept * np.log(kept)).sum())
