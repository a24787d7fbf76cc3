"""Any-order autoregressive network over mixed columns: each column given those before it, whatever the order.

A masked network gives every column's distribution from embeddings of the columns before it; trained under many
orders, it draws rows, honours conditions by putting the conditioned columns first, and fills gaps.

References
----------
Uria, Murray and Larochelle, A deep and tractable density estimator, ICML 2014, arXiv:1310.1757 (order-agnostic
training). Germain, Gregor, Murray and Larochelle, MADE, ICML 2015, arXiv:1502.03509 (masks). Uria, Murray and
Larochelle, RNADE, NeurIPS 2013, arXiv:1306.0186 (mixtures for numbers). Tiwald et al., TabularARGN, 2025,
arXiv:2501.12012 (embedded columns of mixed types, a network per column, any order).

What differs from the papers: numbers are mixtures of normals on the scale of normal scores, where TabularARGN takes
bins or digits; every column starts at its linear prediction under the order at hand (`moments`), which a few hundred
rows suffice for; of the orders, those are trained that drawing uses, the plain one and those in which some columns
come first; all rows of a step share an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import __version__
from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.signals import SignalCode, learn_signals
from ehrsatz.codecs.table import complete_table, decode_table, place_table
from ehrsatz.codecs.window import Window
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, NotFittedError
from ehrsatz.generators.network import COMMON, Network, Rows
from ehrsatz.generators.order import column_order, entropy
from ehrsatz.provenance import Provenance, Step
from ehrsatz.seeds import stream, uniforms

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_STEPS = 10_000  # of learning, times columns
_TRIES = 16  # candidates at most where conditions on several columns cut each other
_ROWS = 1_024  # computed at once where there are no shards


class Autoregressive(Network):
    """Draw column after column, each from its distribution given those before it.

    Conditions hold in every row. The other columns follow their distribution given any values and one band or set;
    several bands or sets are weighed among a few candidates (see `walk`).

    Parameters
    ----------
    width
        Hidden units per column; fewer where there are very many columns.
    depth
        Residual layers per column after the first.
    dropout
        Share of hidden units left out in training.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`.
    """

    name = "autoregressive"
    conditions: ClassVar[bool] = True
    reference = "Order-agnostic NADE: Uria et al., ICML 2014, arXiv:1310.1757; TabularARGN, arXiv:2501.12012"
    ranges: ClassVar = {**COMMON, "width": (4, 1024), "depth": (0, 8), "dropout": (0.0, 0.9)}

    def __init__(
        self,
        *,
        width: int = 32,
        depth: int = 1,
        dropout: float = 0.3,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 3e-3,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _encode(self, frame: pl.DataFrame, table: Any, seed: int, before: Network | None) -> Rows:
        atoms, position = place_table(self.code_, frame)
        if before:
            self.signals_ = before.signals_
        else:
            rng = stream(seed, self.name, "signals")
            found = learn_signals(self.code_, atoms, np.zeros(atoms.shape), rng=rng)
            # codes of many levels stay whole: their logits are a small part of the work
            whole = {"form": "levels", "hierarchy": None}
            signals = (replace(one, **whole) if one.form == "tree" else one for one in found.signals)  # type: ignore[arg-type]
            self.signals_ = SignalCode(tuple(signals))
        from ehrsatz.generators.walk import encode

        levels, scores = encode(self.signals_, self.code_, atoms, position)
        return Rows(atoms, position, scores, levels)

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        from ehrsatz.generators import moments
        from ehrsatz.generators.nets import level_margins

        n_values = len(self.signals_.values)
        self._tables = moments.learn_tables(self.signals_, rows.levels, rows.values[:, :n_values].astype(np.float64))
        self._rows = rows
        sizes = list(self.code_.sizes)
        entropies = [entropy(rows.atoms[:, d], size) for d, size in enumerate(sizes)]
        order = column_order(sizes, entropies, [not isinstance(one, CategoryCode) for one in self.code_.codes])
        return {
            "order": order,
            "widths": [table.shape[1] for table in self._tables],
            "margins": [np.round(one, 6).tolist() for one in level_margins(self.signals_, rows.levels)],
        }

    def _build(self) -> torch.nn.Module:
        import torch

        from ehrsatz.generators import masked, moments

        margins = [np.array(one) for one in self.facts_["margins"]]
        net = masked.Masked(
            self.signals_,
            moments.lay(self.signals_, self.facts_["widths"]),
            margins,
            width=masked.small_width(len(self.code_.names), self.width),
            depth=self.depth,
            dropout=self.dropout,
        )
        if hasattr(self, "_rows"):  # at the first fit, not when a model is loaded
            values, levels = self._rows.tensors(torch.device("cpu"))
            order = torch.tensor(self.facts_["order"])
            with torch.no_grad():
                net.moments.learn(levels, values[:, : len(self.signals_.values)], self._tables, order)
            del self._rows, self._tables
            net.settle()
        return net

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 12, 32, 512))
        # weights grow with the square of the columns, what there is to learn of each does not
        steps = _STEPS / max(len(self.code_.names), 1)
        epochs = int(np.clip(round(steps * batch / n), 8, 80))
        return Plan(epochs=epochs, batch=batch, rate=self.rate, schedule="cosine", patience=6, average=0.98)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        from ehrsatz.generators.anyorder import trainee

        return trainee(self.net_, learn, held, plan, place, self.facts_["order"])

    def _width(self) -> int:
        return 3 * len(self.code_.names)

    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, Ints]:
        raise AssertionError("draws in _draw")

    def _draw(self, n: int, seed: int, first: int, window: Window | None, name: str) -> tuple[Ints, Floats]:
        import torch

        from ehrsatz.generators import nets
        from ehrsatz.generators.walk import DRAWS, Walk, known_in_block, patterns

        window = window or Window()
        d, plain = len(self.code_.names), list(self.facts_["order"])
        atoms, position = np.full((n, d), -1, dtype=np.int32), np.full((n, d), 0.5)
        cut = {column: window.share[column] for column in plain if column in window.share}
        n_tries = max(3, min(_TRIES, d // (2 * len(cut)))) if len(cut) > 1 else len(cut)
        with nets.single(), torch.no_grad():
            self.net_.settle()
            for columns, rows in patterns(window, n):  # rows that know the same columns are drawn in the same order
                known = [column for column in plain if column in columns]
                order = [*known, *cut, *(column for column in plain if column not in known and column not in cut)]
                walk = Walk(self.net_, self.signals_, self.code_, order)
                for start, wanted, target in nets.blocks(first, n):
                    if not rows[target].any():
                        continue
                    u = uniforms(seed, self.name, name, n=nets.BLOCK, width=(1 + DRAWS) * d, first=start)
                    shape = (nets.BLOCK, n_tries, 1 + DRAWS * len(cut))
                    more = uniforms(seed, self.name, name, "given", n=shape[0], width=shape[1] * shape[2], first=start)
                    held = {column: known_in_block(window, column, wanted, target) for column in known}
                    state = walk.begin_within(nets.BLOCK, held, cut, more.reshape(shape))
                    for column in order[len(known) + len(cut) :]:
                        walk.step(state, column, u[:, d + DRAWS * column :])
                    one, spot = walk.finish(state, u[:, :d])
                    here = rows[target]
                    atoms[target][here], position[target][here] = one[wanted][here], spot[wanted][here]
        return atoms, position

    def impute(self, dataset: Dataset, *, seed: int) -> Dataset:
        """Fill missing cells, each from its distribution given what the row knows and what was filled before it.

        Known cells stay as they are, identifiers and free text too. Other seeds give other completions (multiple
        imputation). Cells stay missing where a constraint of the schema says so, and in columns that are always
        missing in the training rows. A row's completion depends on the seed, its place and its known cells.

        Parameters
        ----------
        dataset
            Rows of the schema that was learned from; they need not be those learned from.
        seed
            Decides every draw.

        Raises
        ------
        NotFittedError, DataError
            Before fitting; where the dataset lacks columns.
        """
        atoms, position = self._placed(dataset)
        filled = self._fill(atoms, position, seed)
        name, table = self.schema_.parent.name, dataset.table
        known = [pl.coalesce(table[one], filled[one]).alias(one) for one in self.code_.names]
        core = complete_table(pl.select(known), self.names_, n=table.height, first=0)
        whole = self.constraints_.restore({name: core}, seed=int(seed), first=0)[name]
        drawn = [one for one in (*self.code_.names, *self.constraints_.derived(name)) if one in table.columns]
        cells = [pl.coalesce(table[one], whole[one]).alias(one) for one in drawn]
        step = Step("impute", self.name, __version__, self.told(), int(seed), self.schema_.fingerprint)
        before = dataset.provenance
        made = Provenance(before.origin, (*before.steps, step))
        return Dataset(dataset.schema, {dataset.schema.parent.name: table.with_columns(cells)}, made)

    def log_likelihood(self, dataset: Dataset) -> Floats:
        """Return each row's log-likelihood in nats under the order in which rows are drawn, (R,).

        It is the mass of the row's atoms times the density of places within bins, on a scale from 0 to 1 in each bin:
        models of the same rows can be compared by it, whatever their method, but not with densities of raw values.
        """
        import torch

        from ehrsatz.generators import nets
        from ehrsatz.generators.walk import encode

        atoms, position = self._placed(dataset)
        levels, four = encode(self.signals_, self.code_, atoms, position)
        shares = np.ones((len(atoms), len(self.signals_.values)))
        for c, d in enumerate(self.signals_.values):
            shares[:, c] = self.signals_.signals[d].smooth[np.maximum(atoms[:, d], 0)]
        out = np.zeros(len(atoms))
        order = torch.tensor(self.facts_["order"])
        with nets.single(), torch.no_grad():
            self.net_.settle()
            for low in range(0, len(atoms), _ROWS):
                part = slice(low, low + _ROWS)
                channels = torch.from_numpy(levels[part].astype(np.int64))
                numbers = torch.from_numpy(four[part]).view(len(channels), 4, -1)
                out[part] = self.net_.log_mass(channels, numbers, order, torch.from_numpy(shares[part])).numpy()
        return out

    def _placed(self, dataset: Dataset) -> tuple[Ints, Floats]:
        """Atoms and positions of a dataset's rows, (R, D) each."""
        if not hasattr(self, "code_"):
            raise NotFittedError(
                f"Expected a fitted '{self.name}'.", "fit has not run.", "Call fit(dataset, seed=...) first."
            )
        lacking = [name for name in self.code_.names if name not in dataset.table.columns]
        if lacking:
            raise DataError(
                "Expected the columns that the model was learned from.",
                f"{len(lacking)} of {len(self.code_.names)} are absent.",
                "Give a table of the same schema.",
                problems=lacking,
            )
        return place_table(self.code_, dataset.table)

    def _fill(self, atoms: Ints, position: Floats, seed: int) -> pl.DataFrame:
        """Draw the missing cells of rows (R, D), and return the frame of all cells."""
        import torch

        from ehrsatz.generators import nets
        from ehrsatz.generators.walk import DRAWS, Walk

        d, plain = len(self.code_.names), self.facts_["order"]
        u = uniforms(seed, self.name, "impute", n=len(atoms), width=(1 + DRAWS) * d)
        atoms, position = atoms.copy(), position.copy()
        gaps, pattern = np.unique(atoms < 0, axis=0, return_inverse=True)
        with nets.single(), torch.no_grad():
            self.net_.settle()
            for i, gap in enumerate(gaps):
                if not gap.any():
                    continue
                known, wanted = ([one for one in plain if gap[one] == lost] for lost in (False, True))
                walk = Walk(self.net_, self.signals_, self.code_, [*known, *wanted])
                alike = np.flatnonzero(pattern.reshape(-1) == i)
                for rows in np.array_split(alike, -(-len(alike) // _ROWS)):
                    state = walk.begin(len(rows), {one: (atoms[rows, one], position[rows, one]) for one in known})
                    for one in wanted:
                        walk.step(state, one, u[rows, d + DRAWS * one :], present=True)
                    atoms[rows], position[rows] = walk.finish(state, u[rows, :d])
        return decode_table(self.code_, atoms, position)
