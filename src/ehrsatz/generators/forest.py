"""Adversarial random forest: leaves in which columns are independent, found by telling real from synthetic rows.

A random forest learns to tell the data from rows with independent columns; rows drawn from its leaves, column by
column, are the next round's synthetic rows, until its out-of-bag accuracy is at most 0.5 + delta or the rounds end. A
draw takes a tree, a leaf by its share of the subjects, and each column from that leaf alone. Conditions reweight the
leaves by the probability that they give to them, which is exact and rejects nothing.

Reference: Watson, Blesch, Kapar and Wright, Adversarial random forests for density estimation and generative
modeling, AISTATS 2023, arXiv:2205.09435 (algorithm 1, FORDE and FORGE in section 4); Dandl et al., 2024,
arXiv:2404.03506 (conditions).

What differs from the paper: within a leaf levels and spiked numbers are counts of groups of the codecs' atoms, mixed
with the column's margin inside the leaf's box; smooth numbers are normals of normal scores, not cut to the box, with
the correlation that leaves have on average (`correlated=False`: none, as in the paper); columns that are missing
together are missing or not as one. A leaf counts subjects that did not grow its tree (an option of the authors'
package), at least five of them: a split that leaves fewer on one side is undone. The forest that is kept is the one
whose draws the next one told apart worst, not the last. Levels are ordered by correspondence analysis for the splits.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.codecs.table import TableCode, complete_table, learn_table, place_table
from ehrsatz.codecs.window import decode_window, open_window
from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.components import learn_mixture
from ehrsatz.generators.latents import Floats, Ints, learn_latents
from ehrsatz.generators.mixture import Mixture
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream, uniforms

_COUNTED = 100_000  # subjects that all trees together count, about


class Forest(Generator):
    """Draw from the leaves of an adversarial random forest.

    Conditions hold in every row and are exact: leaves are reweighted by their probability of the conditions.

    Parameters
    ----------
    n_trees
        Trees of a forest; None means 40, or fewer from 2,500 subjects on.
    leaf
        Fewest subjects of a leaf, never under five.
    rounds
        Most rounds of the adversarial loop.
    delta
        Accuracy above one half at which the loop ends.
    correlated
        Whether smooth numbers keep, in each leaf, the correlation that leaves have on average; False: none, as in the
        paper.
    """

    name = "forest"
    handles = frozenset({"static"})
    conditions: ClassVar[bool] = True
    least: ClassVar[int] = 4 * MIN_SUBJECTS  # two leaves in each half
    ranges: ClassVar = {
        "n_trees": (1, 10_000),
        "leaf": (MIN_SUBJECTS, 1e9),
        "rounds": (1, 100),
        "delta": (0, 0.5),
    }
    reference = "Watson, Blesch, Kapar and Wright 2023, arXiv:2205.09435"

    names_: tuple[str, ...]
    code_: TableCode
    mixture_: Mixture
    accuracy_: tuple[float, ...]  # out of bag, of each round

    def __init__(
        self,
        *,
        n_trees: int | None = None,
        leaf: int = 5,
        rounds: int = 2,
        delta: float = 0.0,
        correlated: bool = True,
    ) -> None:
        self.n_trees = n_trees
        self.leaf = leaf
        self.rounds = rounds
        self.delta = delta
        self.correlated = correlated

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        self.names_ = core.schema.parent.names
        self.code_ = learn_table(core.table, core.schema.parent, min_subjects=MIN_SUBJECTS)
        atoms, position = place_table(self.code_, core.table)
        latents, codes, scores = learn_latents(self.code_, atoms, position, seed=seed, name=self.name)
        real = np.concatenate([codes, scores], axis=1).astype(np.float32)
        synthetic = np.empty_like(real)
        for d in range(real.shape[1]):
            synthetic[:, d] = real[stream(seed, self.name, "margin", d).permutation(len(real)), d]
        accuracy: list[float] = []
        kept: list[Mixture] = []
        for turn in range(self.rounds + 1):
            told, groups, boxes = self._grow(real, synthetic, codes.shape[1], seed, turn)
            accuracy.append(round(told, 9))
            progress("rounds", turn + 1, self.rounds + 1)
            if turn == self.rounds or (kept and told <= 0.5 + self.delta):
                break
            mixture = learn_mixture(latents, codes, scores, groups, boxes=boxes, correlated=self.correlated)
            kept.append(mixture)
            u = uniforms(seed, self.name, "synthetic", turn, n=len(real), width=mixture.width)
            synthetic = np.concatenate(mixture.draw(mixture.pick(u[:, 0]), u[:, 1:]), axis=1).astype(np.float32)
        self.accuracy_ = tuple(accuracy)
        self.mixture_ = kept[int(np.argmin(accuracy[1:]))]  # whose draws the next forest told apart worst

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        u = uniforms(seed, self.name, "sample", n=n, width=self.mixture_.width, first=first)
        window = None
        if given is not None:
            window = open_window(self.code_, exact=given.exact, band=given.band, among=given.among)
        atoms, within = self.mixture_.sample(u, window)
        frame = decode_window(self.code_, atoms, within, window)
        return {self.schema_.parent.name: complete_table(frame, self.names_, n=n, first=first)}

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts = {"names": list(self.names_), "code": self.code_.to_dict(), "accuracy": list(self.accuracy_)}
        return facts, self.mixture_.arrays()

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.names_, self.code_ = tuple(facts["names"]), TableCode.from_dict(facts["code"])
        self.accuracy_ = tuple(facts["accuracy"])
        self.mixture_ = Mixture.from_arrays(arrays, len(self.code_.names))

    def _grow(
        self, real: NDArray[np.float32], synthetic: NDArray[np.float32], width: int, seed: int, turn: int
    ) -> tuple[float, list[tuple[Ints, Ints]], list[tuple[Ints, Ints]]]:
        """Grow one forest; return its accuracy out of bag and of each tree the counted rows, their leaves, boxes."""
        from sklearn.ensemble import RandomForestClassifier

        n = len(real)
        n_trees = self.n_trees or int(np.clip(_COUNTED // max(n, 1), 10, 40))
        model = RandomForestClassifier(
            n_trees,
            min_samples_leaf=self.leaf,
            max_samples=n,  # half of all rows
            random_state=int(stream(seed, self.name, "grow", turn).integers(2**31)),
        )
        both, truth = np.concatenate([real, synthetic]), np.repeat([1, 0], n)
        model.fit(both, truth)
        groups, boxes = [], []
        votes, heard = np.zeros(2 * n), np.zeros(2 * n)
        most = real[:, :width].max(axis=0).astype(np.int64)
        for tree, seen in zip(model.estimators_, model.estimators_samples_):
            unseen = np.setdiff1d(np.arange(2 * n), seen)
            votes[unseen] += tree.tree_.predict(both[unseen])[:, 1]
            heard[unseen] += 1
            rows = unseen[unseen < n]
            if len(rows) < self.leaf:
                rows = np.arange(n)
            leaf, low, high = fall(tree.tree_, real[rows], self.leaf)
            groups.append((rows, leaf))
            low, high = np.floor(low[:, :width]) + 1, np.floor(high[:, :width])
            boxes.append((np.clip(low, 0, most).astype(np.int64), np.clip(high, 0, most).astype(np.int64)))
        asked = heard > 0
        right = (votes[asked] > heard[asked] / 2) == truth[asked]
        return float(right.mean()) if asked.any() else 0.5, groups, boxes


# ---------------------------------------------------------------------- trees
def fall(tree: Any, features: NDArray[np.float32], least: int) -> tuple[Ints, Floats, Floats]:
    """Let rows fall through a grown tree; undo splits that would leave fewer than `least` rows on one side.

    Where a side gets no row the split still narrows the box of the other.

    Returns
    -------
    Leaf of each row, (R,), and lower (open) and upper (closed) ends of each leaf's box, (L, F).
    """
    leaf = np.zeros(len(features), dtype=np.int64)
    lows: list[Floats] = []
    highs: list[Floats] = []
    left, right, feature, threshold = tree.children_left, tree.children_right, tree.feature, tree.threshold
    width = features.shape[1]
    stack = [(0, np.arange(len(features)), np.full(width, -np.inf), np.full(width, np.inf))]
    while stack:
        node, here, low, high = stack.pop()
        while left[node] >= 0:
            f, cut = feature[node], threshold[node]
            goes_left = features[here, f] <= cut
            n_left = int(goes_left.sum())
            n_right = len(here) - n_left
            if n_left >= least and n_right >= least:
                beyond = low.copy()
                beyond[f] = max(beyond[f], cut)
                stack.append((right[node], here[~goes_left], beyond, high.copy()))
                here, node = here[goes_left], left[node]
                high[f] = min(high[f], cut)
            elif max(n_left, n_right) < least:
                break
            elif n_left > n_right:
                node = left[node]
                high[f] = min(high[f], cut) if n_right == 0 else high[f]
            else:
                node = right[node]
                low[f] = max(low[f], cut) if n_left == 0 else low[f]
        leaf[here] = len(lows)
        lows.append(low)
        highs.append(high)
    return leaf, np.array(lows), np.array(highs)
