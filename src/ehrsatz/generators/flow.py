"""Neural spline flow: an invertible map between the rows' normal scores and independent normals.

References: Durkan, Bekasov, Murray and Papamakarios, Neural spline flows, NeurIPS 2019, arXiv:1906.04032; the steps
are couplings (Dinh, Sohl-Dickstein and Bengio, Real NVP, ICLR 2017, arXiv:1605.08803).

What differs from the paper: every column, levels and missing cells too, is a continuous one with a standard normal
margin (see `scores`); the linear map, learned with the rest, starts as the whitening of the scores, so that the flow
starts as a Gaussian copula; margins are calibrated after training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.signals import SignalCode
from ehrsatz.codecs.table import TableCode, place_table
from ehrsatz.codecs.window import Window
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, NotFittedError
from ehrsatz.generators.network import COMMON, Network, Rows
from ehrsatz.generators.scores import EDGE, Scores, learn_scores
from ehrsatz.seeds import stream, uniforms

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_TESTS = 512  # dequantised held-out rows that a score is the mean of
_RIDGE = 1e-4  # added to the variances
_DRAWS = 16  # places within atoms that a row's likelihood is the mean over
_KNOTS = ndtri(np.concatenate([[0.002, 0.01], np.arange(1, 64) / 64, [0.99, 0.998]]))  # where the calibration bends


class Flow(Network):
    """Draw by mapping independent normals through splines.

    Parameters
    ----------
    layers
        Coupling steps; each maps one half of the columns, given the other half.
    width
        Width of the hidden layers that set the splines.
    dropout
        Share of hidden units left out in training.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`.
    """

    name = "flow"
    reference = "Neural spline flows: Durkan et al., NeurIPS 2019, arXiv:1906.04032"
    ranges: ClassVar = {**COMMON, "layers": (1, 64), "width": (4, 8192), "dropout": (0.0, 0.9)}

    scores_: Scores
    knots_: Floats

    def __init__(
        self,
        *,
        layers: int = 4,
        width: int = 128,
        dropout: float = 0.1,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 1e-3,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.layers = layers
        self.width = width
        self.dropout = dropout
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _encode(self, frame: pl.DataFrame, table: Any, seed: int, before: Network | None) -> Rows:
        atoms, position = place_table(self.code_, frame)
        self.signals_ = SignalCode(())
        self.scores_ = before.scores_ if isinstance(before, Flow) else learn_scores(self.code_, atoms)
        low, reach, _ = self.scores_.places(atoms, position, spread_cells(self.code_, atoms))
        values = np.concatenate([low, reach], axis=1).astype(np.float32)
        if not before:
            noise = stream(seed, self.name, "whiten").random(low.shape)
            z = ndtri(np.clip(low + reach * noise, EDGE, 1 - EDGE))
            self._white = whitening(z)
        return Rows(atoms, position, values, np.zeros((len(atoms), 0), dtype=np.int32))

    def _build(self) -> torch.nn.Module:
        from ehrsatz.generators.splines import Couplings

        n_columns, rng = len(self.code_.names), stream(self.seed_, self.name, "halves")
        orders = [rng.permutation(n_columns) for _ in range(self.layers)]
        net = Couplings(orders, n_columns, width=self.width, dropout=self.dropout)
        if hasattr(self, "_white"):  # at the first fit, not when a model is loaded
            net.linear.start(self._white)
            del self._white
        return net

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n, 8, 256))
        epochs = max(1, round(float(np.clip(15 * n**0.5, 60, 1_200)) * batch / n))
        return Plan(epochs, batch, self.rate, schedule="cosine", every=max(1, epochs // 40), patience=8, average=0.99)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        return trainee(self, learn, held, plan, place)

    def _finish(self, rows: Rows, seed: int) -> None:
        from ehrsatz.generators.nets import BLOCK

        n = int(np.clip(2 * len(rows), 1_024, 4_096)) // BLOCK * BLOCK
        z = self._scores(uniforms(seed, self.name, "calibrate", n=n, width=len(self.code_.names)))
        self.knots_ = np.quantile(z, ndtr(_KNOTS), axis=0).T + 1e-6 * np.arange(len(_KNOTS))  # (D, M)

    def _width(self) -> int:
        return len(self.code_.names)

    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, Ints]:
        raise AssertionError("draws in _draw")

    def _draw(self, n: int, seed: int, first: int, window: Window | None, name: str) -> tuple[Ints, Floats]:
        from ehrsatz.generators import nets

        d = len(self.code_.names)
        z = np.zeros((n, d))
        with nets.single():
            for start, wanted, target in nets.blocks(first, n):
                z[target] = self._scores(uniforms(seed, self.name, name, n=nets.BLOCK, width=d, first=start))[wanted]
        for column, knots in enumerate(self.knots_):
            inside = np.clip(z[:, column], knots[0], knots[-1])
            z[:, column] += np.interp(inside, knots, _KNOTS) - inside
        return self.scores_.cells(z)

    def _scores(self, u: Floats) -> Floats:
        """Map uniforms to scores before calibration, (B, D), in whole blocks."""
        import torch

        from ehrsatz.generators.nets import BLOCK

        noise = torch.from_numpy(ndtri(np.clip(u, 1e-9, 1 - 1e-9))).float()
        with torch.no_grad():
            return torch.cat([self.net_.inverse(part) for part in noise.split(BLOCK)]).double().numpy()

    def log_likelihood(self, dataset: Dataset) -> Floats:
        """Return each row's log-likelihood in nats, (R,).

        It is the mass of the row's atoms times the density of places within bins, on a scale from 0 to 1 in each bin,
        as `autoregressive` has it. Where a cell has no place of its own, the mean over 16 places is taken.
        """
        import torch

        from ehrsatz.generators import nets

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
        atoms, position = place_table(self.code_, dataset.table)
        low, reach, share = self.scores_.places(atoms, position, spread_cells(self.code_, atoms))
        # Latin hypercube: in every column each of the places lies in another stratum of the atom
        strata = np.argsort(stream(0, self.name, "strata").random((_DRAWS, atoms.shape[1])), axis=0)
        found = []
        with nets.single(), torch.no_grad():
            for draw in range(_DRAWS):
                u = uniforms(0, self.name, "likelihood", draw, n=len(atoms), width=atoms.shape[1])
                z = ndtri(np.clip(low + reach * (strata[draw] + u) / _DRAWS, EDGE, 1 - EDGE))
                log = [self.net_.log_density(part) for part in torch.from_numpy(z).float().split(1_024)]
                found.append(torch.cat(log).double().numpy() + (z**2 / 2 + np.log(2 * np.pi) / 2).sum(1))
        return np.logaddexp.reduce(found, axis=0) - np.log(_DRAWS) + np.log(share).sum(1)

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts, arrays = super()._state()
        return facts, {**arrays, **self.scores_.arrays(), "knots": self.knots_}

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.code_ = TableCode.from_dict(facts["code"])
        self.scores_, self.knots_ = Scores.from_arrays(arrays, len(self.code_.names)), arrays["knots"]
        super()._restore(facts, arrays)


def spread_cells(code: TableCode, atoms: Ints) -> NDArray[np.bool_]:
    """Return which cells have no position of their own, (R, D): levels, spikes and missing ones."""
    out = np.ones(atoms.shape, dtype=bool)
    for d, one in enumerate(code.codes):
        if not isinstance(one, CategoryCode) and one.n_atoms:
            out[:, d] = (atoms[:, d] < 0) | one.is_spike(np.maximum(atoms[:, d], 0))
    return out


def whitening(z: Floats) -> Floats:
    """Return the lower triangular matrix that takes the correlation out of scores (R, D).

    Correlations are shrunk alike towards 0 (Schäfer and Strimmer 2005, doi:10.2202/1544-6115.1175): near-equal columns
    stay near-equal, which a threshold on each correlation would not keep.
    """
    n, d = z.shape
    if d < 2:
        return np.eye(d)
    correlation = np.asarray(np.corrcoef(z, rowvar=False), dtype=np.float64)
    off = correlation[~np.eye(d, dtype=bool)]
    weight = min(1.0, float(((1 - off**2) ** 2).sum() / max(n - 1, 1) / max((off**2).sum(), 1e-9)))
    shrunk = (1 - weight) * correlation + (weight + _RIDGE) * np.eye(d)
    return np.asarray(np.linalg.inv(np.linalg.cholesky(shrunk)), dtype=np.float64)


def trainee(spec: Flow, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how the flow learns: the exact likelihood of the scores, places within atoms drawn anew at each step."""
    import torch

    from ehrsatz.generators.nets import adam
    from ehrsatz.generators.training import clip

    net, d = spec.net_, len(spec.code_.names)

    class Learner:
        def __init__(self) -> None:
            self.net = net
            self.optimizers: list[torch.optim.Optimizer] = [adam(net.parameters(), plan.rate, decay=1e-4)]
            self.learn = learn.tensors(place)[0]
            self.held = held.tensors(place)[0].repeat(-(-_TESTS // len(held)), 1)
            self.noise = torch.rand(len(self.held), d, device=place)

        def loss(self, places: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            low, reach = places[:, :d], places[:, d:]
            z = torch.special.ndtri((low + reach * noise).clamp(EDGE, 1 - EDGE))
            return -net.log_density(z).mean() / max(d, 1)

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            places = self.learn[rows]
            loss = self.loss(places, torch.rand(len(rows), d, device=place))
            self.optimizers[0].zero_grad()
            loss.backward()
            clip(net.parameters())
            self.optimizers[0].step()
            return loss.detach()

        def score(self) -> float:
            return float(self.loss(self.held, self.noise))

    return Learner()
