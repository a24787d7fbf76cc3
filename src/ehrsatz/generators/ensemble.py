"""A mixture of several generators: each row is drawn by one of them, chosen with a weight that held-out rows decide.

The weights maximise the likelihood of held-out rows under the mixture, by expectation-maximisation. The densities that
this needs are either the members' own ("likelihood", for members that can say how likely a row is), or, for any member,
estimated by an adversary: a classifier learns to tell which member drew a row, and what it says of a held-out row is,
up to a factor that all members share, each member's density there ("adversary"). A member whose rows the adversary
finds nowhere near real ones gets no weight. All members then learn again from all rows.

References
----------
Smyth and Wolpert, Linearly combining density estimators via stacking, Machine Learning 36 (1999),
doi:10.1023/A:1007511322260 (weights by held-out likelihood); Sugiyama, Suzuki and Kanamori, Density ratio estimation in
machine learning, Cambridge University Press 2012, chapter 4 (densities from a classifier).

What differs from the paper: one held-out part instead of cross-validation; with conditions the weights stay as they
are, where Bayes' rule would move them towards members that find the condition likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import registry
from ehrsatz.codecs.table import encode_table, learn_table
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, ScenarioError, UnsupportedError, nearest
from ehrsatz.generators.able import able_to_condition
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.inner import inner, take_rows
from ehrsatz.generators.space import Domain
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream, uniforms

Floats = NDArray[np.float64]

_HELD = 0.25  # share of rows that decide the weights
_FEWEST = 60  # rows below which they decide nothing, and all weights are equal
_LEAST = 0.03  # a smaller weight is none: a member costs its time
_ROUNDS = 200
_MOST_ROWS = 5_000  # of each member and of the held-out part that the adversary sees


class Ensemble(Generator):
    """Draw each row from one of several generators.

    Parameters
    ----------
    members
        Names of generators, separated by commas; each with its default settings.
    weights
        "adversary": by a classifier that tells members apart, for any members. "likelihood": by the members' own
        densities, for members that have them.
    """

    name = "ensemble"
    handles = frozenset({"static"})
    conditions: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Domain]] = {"members": ("trees,copula,bayesnet", "trees,bayesnet", "trees,copula")}
    reference = "Smyth and Wolpert 1999, doi:10.1023/A:1007511322260"

    shares_: dict[str, float]  # weight of each member that is kept
    models_: dict[str, Generator]
    tried_: dict[str, float]  # weight of every member, for people

    def __init__(self, *, members: str = "trees,copula,bayesnet", weights: str = "adversary") -> None:
        self.members = members
        self.weights = weights

    def check_parameters(self) -> None:
        """Check the names of members and of the way to weigh them."""
        super().check_parameters()
        known = [name for name in registry.names("generators") if name not in {self.name, "auto"}]
        for name in self._names():
            if name not in known:
                raise ScenarioError(
                    f"Expected members among: {', '.join(known)}.",
                    f"'{name}' is none of them.{nearest(name, known)}",
                    "Separate names by commas.",
                )
        if len(self._names()) < 1 or len(set(self._names())) < len(self._names()):
            raise ScenarioError("Expected members, each once.", "None, or one twice, was named.", "Name each once.")
        if self.weights not in {"adversary", "likelihood"}:
            raise ScenarioError(
                "Expected 'weights' to be adversary or likelihood.", "It is neither.", "Correct or remove it."
            )
        able = [name for name in known if hasattr(registry.find("generators", name), "log_likelihood")]
        lacking = [name for name in self._names() if name not in able]
        if self.weights == "likelihood" and lacking:
            raise UnsupportedError(
                "Expected members that can say how likely a row is.",
                f"'{lacking[0]}' cannot.",
                f"Use weights=adversary, or members among: {', '.join(able)}.",
            )

    def _names(self) -> list[str]:
        return [name.strip() for name in self.members.split(",") if name.strip()]

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        n = core.table.height
        room = n if n < _FEWEST else int(n * (1 - _HELD))
        names = [name for name in self._names() if registry.find("generators", name).least <= room]
        if not names:
            least = min(registry.find("generators", name).least for name in self._names())
            raise DataError(
                f"Expected at least {least} rows to learn from, for one member at least.",
                f"There are {room}, besides those held out for the weights.",
                "Name members that learn from fewer rows, such as trees or copula.",
            )
        steps = len(names) * (2 if n >= _FEWEST and len(names) > 1 else 1)
        weight = np.full(len(names), 1 / len(names))
        done = 0
        if steps > len(names):
            order = stream(seed, self.name, "held out").permutation(n)
            held = take_rows(core, np.sort(order[: round(_HELD * n)]))
            learn = take_rows(core, np.sort(order[round(_HELD * n) :]))
            models = []
            for done, name in enumerate(names, 1):
                models.append(self._learned(name, learn, seed))
                progress("members", done, steps)
            density = self._densities(models, held, core, seed)
            weight = stack(density)
        self.tried_ = {name: round(float(one), 4) for name, one in zip(names, weight)}
        kept = {name: one for name, one in self.tried_.items() if one >= _LEAST}
        self.shares_ = {name: round(one / sum(kept.values()), 6) for name, one in kept.items()}
        self.models_ = {}
        for name in self.shares_:
            self.models_[name] = self._learned(name, core, seed)
            done += 1
            progress("members", done, steps)
        progress("members", steps, steps)

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        u = uniforms(seed, self.name, "member", n=n, width=1, first=first)[:, 0]
        choice = np.searchsorted(np.cumsum(list(self.shares_.values()))[:-1], u, side="right")
        drawn = [model._sample(n, seed=seed, given=given, first=first) for model in self.models_.values()]
        table = self.schema_.parent.name
        parts = [
            one[table].with_columns(pl.Series("__row", np.arange(n))).filter(pl.Series(choice == k))
            for k, one in enumerate(drawn)
        ]
        return {table: pl.concat(parts).sort("__row").drop("__row")}

    def _resolve(self, given: Mapping[str, Any] | pl.DataFrame | None, n: int, first: int) -> Given | None:
        conditions = super()._resolve(given, n, first)
        for name in conditions.columns if conditions else ():
            kind = self.schema_.parent[name].kind
            unable = [one for one in self.models_ if one not in able_to_condition(kind)]
            if unable:
                raise UnsupportedError(
                    f"Expected members that honour conditions on columns of kind {kind}.",
                    f"'{unable[0]}' does not.",
                    f"Make the ensemble of: {', '.join(able_to_condition(kind))}.",
                )
        return conditions

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts: dict[str, Any] = {"shares": self.shares_, "tried": self.tried_, "models": {}}
        arrays: dict[str, NDArray[Any]] = {}
        for name, model in self.models_.items():
            facts["models"][name], own = model._state()
            arrays |= {f"{name}/{key}": array for key, array in own.items()}
        return facts, arrays

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.shares_, self.tried_, self.models_ = dict(facts["shares"]), dict(facts["tried"]), {}
        for name in self.shares_:
            model = inner(name, self)
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
            model._restore(facts["models"][name], own)
            self.models_[name] = model

    def _learned(self, name: str, core: Dataset, seed: int) -> Generator:
        model = inner(name, self)
        model.n_subjects_ = core.n_subjects
        model._fit(core, seed=seed, progress=lambda what, done, total: None)
        return model

    def _densities(self, models: list[Generator], held: Dataset, core: Dataset, seed: int) -> Floats:
        """Log-density of each held-out row under each member, up to a term per row: (S, M)."""
        if self.weights == "likelihood":
            return np.stack([model.log_likelihood(held) for model in models], axis=1)  # type: ignore[attr-defined]
        table = core.schema.parent
        n = min(held.table.height * 3, _MOST_ROWS)
        drawn = [model._sample(n, seed=seed, given=None, first=0)[table.name] for model in models]
        code = learn_table(core.table, table, min_subjects=MIN_SUBJECTS)
        rows = [encode_table(code, frame) for frame in drawn]
        return adversary(rows, encode_table(code, held.table)[:_MOST_ROWS], seed)


def adversary(drawn: list[NDArray[np.int32]], real: NDArray[np.int32], seed: int) -> Floats:
    """Return what a classifier of members says of real rows, as log-densities up to a term per row, (S, M).

    Parameters
    ----------
    drawn : per member, atoms (n, D) of its rows.
    real : atoms (S, D) of held-out rows.
    seed : of the classifier.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = np.concatenate(drawn)
    y = np.repeat(np.arange(len(drawn)), [len(one) for one in drawn])
    model = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=int(stream(seed, "ensemble", "adversary").integers(2**31)),
    ).fit(x, y)
    return np.log(np.maximum(model.predict_proba(real), 1e-9))


def stack(density: Floats) -> Floats:
    """Return the weights, shape (M,), that maximise the likelihood of rows, by EM.

    Parameters
    ----------
    density : log-densities (S, M), each row up to a term of its own.
    """
    likely = np.exp(density - density.max(axis=1, keepdims=True))
    weight = np.full(density.shape[1], 1 / density.shape[1])
    for _ in range(_ROUNDS):
        part = likely * weight
        weight = (part / part.sum(axis=1, keepdims=True)).mean(axis=0)
    return weight
