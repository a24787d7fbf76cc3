"""All columns of one flat table, one after another: each drawn given those before it.

The first `fixed` columns are context that comes from outside (a patient's columns for his visits, the visit before);
the others are learned and drawn in the order of `order.column_order`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.codecs.number import NumberCode
from ehrsatz.codecs.table import TableCode
from ehrsatz.generators import grove
from ehrsatz.generators.base import Progress
from ehrsatz.generators.conditional import Conditional, Settings, from_state, is_smooth, learn_conditional, state_of
from ehrsatz.generators.linear import FEW_LEVELS, Design, Margin, codes_of, coordinates, learn_margin
from ehrsatz.generators.order import column_order, entropy, groups_of, mutual_information, parents

Atoms = NDArray[np.int32]
Floats = NDArray[np.float64]

WIDTH = 4  # uniforms per drawn column


@dataclass(frozen=True)
class Forced:
    """Cells of one column that are set and not drawn: atoms and positions, shape (R,); `free` rows are drawn."""

    atoms: Atoms
    position: Floats
    free: NDArray[np.bool_]


@dataclass(frozen=True)
class Sequence:
    """A learned sequence of conditionals over the columns of `code`."""

    code: TableCode
    fixed: int
    design: Design
    conditionals: tuple[Conditional, ...]

    @property
    def n_free(self) -> int:
        """Number of drawn columns."""
        return len(self.conditionals)

    def draw(
        self, context: Atoms, context_position: Floats, u: Floats, forced: dict[int, Forced] | None = None
    ) -> tuple[Atoms, Floats, Floats]:
        """Draw all columns after the context.

        Parameters
        ----------
        context, context_position : shape (R, fixed).
        u : shape (R, 4 * n_free), column d's four stand by the table's order, not by the drawing order.
        forced : columns set from outside.

        Returns
        -------
        Atoms (R, D), positions (R, D), and log probability of the forced cells relative to their margin (R,).
        """
        n, d_all = len(u), len(self.code.names)
        atoms = np.full((n, d_all), -1, dtype=np.int32, order="F")
        position = np.full((n, d_all), 0.5, order="F")
        atoms[:, : self.fixed], position[:, : self.fixed] = context, context_position
        matrix = np.zeros((n, self.design.width), order="F")
        for d in range(self.fixed):
            self.design.fill(matrix, d, atoms[:, d], position[:, d])
        weight = np.zeros(n)
        for one in self.conditionals:
            d = one.column
            mine = u[:, WIDTH * (d - self.fixed) : WIDTH * (d - self.fixed + 1)]
            drawn, place = one.draw(self.design, matrix, atoms, mine)
            if isinstance(self.code.codes[d], NumberCode) and not len(one.edges):
                place = np.where(drawn < 0, 0.5, place)
            if forced and d in forced:
                wish = forced[d]
                weight += np.where(wish.free, 0.0, self._weigh(one, matrix, atoms, wish.atoms))
                drawn, place = np.where(wish.free, drawn, wish.atoms), np.where(wish.free, place, wish.position)
            atoms[:, d], position[:, d] = drawn, place
            self.design.fill(matrix, d, drawn, self._middled(d, drawn, place))
        return atoms, position, weight

    def _middled(self, d: int, atoms: Atoms, place: Floats) -> Floats:
        """Positions as `place_column` would give them: spikes and levels sit at the middle of their atom."""
        code = self.code.codes[d]
        if not isinstance(code, NumberCode):
            return np.full(len(atoms), 0.5)
        return np.where(code.is_spike(atoms), 0.5, place)

    def _weigh(self, one: Conditional, matrix: Floats, atoms: Atoms, wish: Atoms) -> Floats:
        """Log of the probability of each wished atom's group given the row so far, over its overall share."""
        margin = self.design.margins[one.column]
        if not one.trees:
            return np.zeros(len(wish))
        counts = np.round(margin.share * 1e6).astype(np.int64)
        index = np.where(wish < 0, margin.size, wish)
        predicted = one.predict(matrix)
        if len(one.edges):  # a smooth number: how likely is its residual, in bins of equal count
            assert predicted is not None and one.score is not None
            score = margin.table[index, 0] - one.score.intercept[0] - predicted[:, 0]
            bins = np.clip(np.searchsorted(one.edges, score) - 1, 0, len(one.edges) - 2)
            width = np.maximum(one.edges[bins + 1] - one.edges[bins], 1e-4)
            outside = np.where((score < one.edges[0]) | (score > one.edges[-1]), 1e-3, 1.0)
            return np.log(outside / (width * (len(one.edges) - 1)))
        groups = groups_of(counts, margin.is_number)
        base = np.bincount(groups, margin.share, minlength=int(groups.max()) + 1).astype(np.float64)
        features = one.features(self.design.margins, predicted, atoms)
        chance = grove.likelihood(one.trees, features, groups, base, groups[index])
        return np.log(np.maximum(chance, 1e-12)) - np.log(np.maximum(base[groups[index]], 1e-12))


def learn_sequence(
    code: TableCode,
    atoms: Atoms,
    position: Floats,
    *,
    fixed: int,
    settings: Settings,
    subjects: NDArray[np.int64] | None,
    seed: int,
    name: str,
    workers: int,
    progress: Progress,
) -> Sequence:
    """Learn a sequence from the atoms of all rows.

    Parameters
    ----------
    code : of the columns; the first `fixed` are context.
    atoms, position : shape (R, D).
    settings : of the trees.
    subjects : shape (R,), whose row it is, or None.
    seed, name : name the streams.
    workers : threads; the result does not depend on them.
    progress : told of each finished column.
    """
    n, d_all = atoms.shape
    sizes = list(code.sizes)
    is_number = [isinstance(one, NumberCode) for one in code.codes]
    clip = 0.5 / max(n, 2)
    coarse = codes_of(atoms, sizes, is_number)
    information = mutual_information(coarse)
    entropies = [entropy(atoms[:, d], sizes[d]) for d in range(d_all)]
    margins: list[Margin] = []
    for d in range(d_all):
        others = [coarse[o] for o in _telling(information, d, 60)]
        margins.append(learn_margin(atoms[:, d], sizes[d], is_number[d], others, clip))
    order = column_order(sizes, entropies, is_number, fixed)
    design = Design(margins, order, clip)
    smooth = [d for d in order[fixed:] if is_smooth(margins[d], atoms[:, d], position[:, d])]
    design.fit(atoms, position, smooth)
    done = 0

    def learn(d: int) -> Conditional:
        earlier = order[: order.index(d)]
        levels = None
        if not is_number[d] and sizes[d] + 1 > FEW_LEVELS:
            index = np.where(atoms[:, d] < 0, sizes[d], atoms[:, d])
            levels = coordinates(index, sizes[d] + 1, [coarse[o] for o in _telling(information, d, 60)])
        return learn_conditional(
            d,
            design,
            atoms,
            position,
            parents(information, d, earlier, settings.parents),
            levels,
            entropy=entropies[d],
            told=float(information[d, earlier].max()) if earlier else 0.0,
            settings=settings,
            subjects=subjects,
            seed=seed,
            name=f"{name}/{code.names[d]}",
        )

    found = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for one in pool.map(learn, order[fixed:]) if workers > 1 else map(learn, order[fixed:]):
            found.append(one)
            done += 1
            progress(f"fit {name}", done, len(order) - fixed)
    design.release()
    return Sequence(code, fixed, design, tuple(found))


def _telling(information: Floats, d: int, most: int) -> list[int]:
    others = [o for o in np.argsort(-information[d], kind="stable")[:most].tolist() if o != d and information[d, o] > 0]
    return sorted(others)


def state_of_sequence(one: Sequence, prefix: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return facts and arrays of a sequence for the model folder."""
    design = one.design
    facts: dict[str, Any] = {
        "code": one.code.to_dict(),
        "fixed": one.fixed,
        "order": design.order,
        "clip": design.clip,
        "numbers": [margin.is_number for margin in design.margins],
        "conditionals": [],
    }
    arrays: dict[str, NDArray[Any]] = {f"{prefix}.mean": design.mean, f"{prefix}.scale": design.scale}
    for d, margin in enumerate(design.margins):
        arrays[f"{prefix}.share{d}"], arrays[f"{prefix}.table{d}"] = margin.share, margin.table
    for conditional in one.conditionals:
        more_facts, more_arrays = state_of(conditional, f"{prefix}.{conditional.column}")
        facts["conditionals"].append(more_facts)
        arrays |= more_arrays
    return facts, arrays


def sequence_from_state(facts: dict[str, Any], arrays: dict[str, NDArray[Any]], prefix: str) -> Sequence:
    """Undo `state_of_sequence`."""
    margins = [
        Margin(is_number, arrays[f"{prefix}.share{d}"], arrays[f"{prefix}.table{d}"])
        for d, is_number in enumerate(facts["numbers"])
    ]
    design = Design(margins, list(facts["order"]), facts["clip"])
    design.mean, design.scale = arrays[f"{prefix}.mean"], arrays[f"{prefix}.scale"]
    conditionals = [from_state(one, arrays, f"{prefix}.{one['column']}") for one in facts["conditionals"]]
    return Sequence(TableCode.from_dict(facts["code"]), facts["fixed"], design, tuple(conditionals))
