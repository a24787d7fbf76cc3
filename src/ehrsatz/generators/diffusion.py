"""Tabular diffusion (TabDDPM): Gaussian diffusion on value channels, multinomial diffusion on level channels.

A network learns to undo noise of every strength; rows are drawn by starting from pure noise and undoing it in steps.

References: Kotelnikov, Baranchuk, Rubachev and Babenko, TabDDPM, ICML 2023, arXiv:2209.15421; Hoogeboom, Nielsen,
Jaini, Forre and Welling, Argmax flows and multinomial diffusion, NeurIPS 2021, arXiv:2102.05379.

What differs from the paper: time is continuous and `steps` steps are taken when drawing (50, where the paper tunes T
among 100 and 1,000); the network predicts the velocity of values (Salimans and Ho 2022, arXiv:2202.00512) and the
clean levels, whose likelihood it is trained by, instead of the noise and the posterior's divergence; what a noised
level itself says of the clean one is added to the logits by Bayes' rule; levels are noised towards their margins
(Vignac et al., DiGress, 2023, arXiv:2209.14734) and not towards even shares; blocks are residual; the target is a
column like any other. Some columns are shown clean in training (as in CSDI: Tashiro et al. 2021, arXiv:2107.03502),
so that conditions are met by a learned conditional; values are calibrated after training.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ehrsatz.codecs.table import frequencies
from ehrsatz.codecs.window import Window
from ehrsatz.generators.calibrate import calibrate_values, learn_values
from ehrsatz.generators.known import Known, known_cells, settle_window
from ehrsatz.generators.network import COMMON, Network, Rows
from ehrsatz.generators.noise import back_levels, back_values, left, normal
from ehrsatz.seeds import uniforms

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_TESTS = 1_024  # noised held-out rows that a score is the mean of
_KNOWN = 0.5  # share of training rows of which some columns are shown clean


class Diffusion(Network):
    """Draw by undoing noise step by step.

    Parameters
    ----------
    steps
        Steps from noise to a row; fewer are faster, more are truer. May be changed without learning anew.
    width, depth
        Width of the network (None: 64, from 200 rows 96, from 2,000 rows 192) and number of its residual blocks.
    dropout
        Share of hidden units left out in training.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`.
    """

    name = "diffusion"
    reference = "TabDDPM: Kotelnikov et al., ICML 2023, arXiv:2209.15421"
    conditions = True
    whole: ClassVar[bool] = True
    ranges: ClassVar = {**COMMON, "steps": (2, 1000), "width": (4, 8192), "depth": (1, 64), "dropout": (0, 0.9)}

    knots_: Floats  # of the calibration, (C, M)

    def __init__(
        self,
        *,
        steps: int = 50,
        width: int | None = None,
        depth: int = 3,
        dropout: float = 0.1,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 2e-3,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.steps = steps
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        from ehrsatz.generators.nets import level_margins

        return {
            "margins": [np.round(one, 6).tolist() for one in level_margins(self.signals_, rows.levels)],
            "shares": [np.round(one, 6).tolist() for one in frequencies(self.code_, rows.atoms)],
            "width": self.width or (64 if len(rows) < 200 else 96 if len(rows) < 2_000 else 192),
        }

    def _build(self) -> torch.nn.Module:
        return networks(self)

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n, 8, 256))
        epochs = max(1, round(float(np.clip(35 * n**0.5, 100, 4_000)) * batch / n))
        return Plan(epochs, batch, self.rate, schedule="cosine", every=max(1, epochs // 25), patience=8, average=0.99)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        return trainee(self, learn, held, plan, place)

    def _finish(self, rows: Rows, seed: int) -> None:
        from ehrsatz.generators.nets import BLOCK

        values, levels = [], []
        for first in range(0, int(np.clip(2 * len(rows), 512, 4_096)), BLOCK):
            u = uniforms(seed, self.name, "calibrate", n=BLOCK, width=self._width(), first=first)
            value, level = self._undo(u, None)
            values.append(value)
            levels.append(level)
        self.knots_ = learn_values(self.signals_, np.concatenate(values), np.concatenate(levels))

    def _width(self) -> int:
        c, k = len(self.signals_.values), len(self.signals_.sizes)
        return c + k + self.steps * (c + 2 * k)

    def _draw(self, n: int, seed: int, first: int, window: Window | None, name: str) -> tuple[Ints, Floats]:
        if window is not None:
            names = (self.name, name)
            window = settle_window(window, self.facts_["shares"], seed=seed, names=names, n=n, first=first)
        return super()._draw(n, seed, first, window, name)

    def _conditions(self, window: Window | None, wanted: slice, target: slice, u: Floats) -> Mapping[Any, Any]:
        if window is None or not window.fixed:
            return {}
        return {"known": known_cells(self.signals_, window, wanted, target, u[:, : len(self.signals_.signals)])}

    def _generate(self, u: Floats, fixed: Mapping[Any, Any]) -> tuple[Floats, Ints]:
        known: Known | None = fixed.get("known")
        values, levels = self._undo(u, known)
        values = calibrate_values(self.knots_, values)
        if known is not None:
            values = np.where(known.columns[:, list(self.signals_.values)], known.values, values)
        return values, levels

    def _undo(self, u: Floats, known: Known | None) -> tuple[Floats, Ints]:
        """Draw channels of a block from uniforms (B, W), with known columns as they are."""
        import torch

        segments, (c, k) = self.net_.segments, (len(self.signals_.values), len(self.signals_.sizes))
        values = torch.from_numpy(normal(u[:, :c])).float()
        levels = segments.margin(torch.from_numpy(u[:, c : c + k]))
        columns = torch.zeros(len(u), len(self.signals_.signals))
        if known is not None:
            columns = torch.from_numpy(known.columns)
            held = columns[:, list(self.signals_.values)], columns[:, list(self.signals_.levels)]
            sure = torch.from_numpy(known.values), torch.from_numpy(known.levels.astype(np.int64))
        times, at = np.linspace(1.0, 0.0, self.steps + 1), c + k
        with torch.no_grad():
            for now, then in pairwise(times):
                noise, pick, way = u[:, at : at + c], u[:, at + c : at + c + k], u[:, at + c + k : at + c + 2 * k]
                at += c + 2 * k
                if known is not None:
                    values, levels = torch.where(held[0], sure[0], values), torch.where(held[1], sure[1], levels)
                velocity, logits = self.net_(values, levels, torch.full((len(u), 1), now), columns.float())
                values = back_values(values, velocity, now, then, torch.from_numpy(normal(noise)).float())
                clean = segments.draw(logits, torch.from_numpy(pick))
                levels = back_levels(segments, levels, clean, now, then, torch.from_numpy(way))
        if known is not None:
            levels = torch.where(held[1], sure[1], levels)
        return values.double().numpy(), segments.finish(logits, levels, torch.from_numpy(pick))

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts, arrays = super()._state()
        return facts, {**arrays, "knots": self.knots_}

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        super()._restore(facts, arrays)
        self.knots_ = arrays["knots"]


# ---------------------------------------------------------------------- network and learning
def networks(spec: Diffusion) -> Any:
    """Return the network that predicts velocities and clean levels."""
    import torch
    from torch import nn

    from ehrsatz.generators.nets import Entry, Exit, Residual
    from ehrsatz.generators.segments import Segments

    width, n_columns = spec.facts_["width"], len(spec.signals_.signals)

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            margins = [np.array(one) for one in spec.facts_["margins"]]
            self.segments = Segments(spec.signals_, margins)
            self.entry = Entry(spec.signals_, width)
            self.known = nn.Linear(n_columns, width, bias=False)
            nn.init.normal_(self.known.weight, std=max(n_columns, 1) ** -0.5)
            self.time = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
            blocks = [Residual(width, hidden=2 * width, dropout=spec.dropout) for _ in range(spec.depth)]
            self.middle = nn.Sequential(*blocks, nn.LayerNorm(width))
            self.exit = Exit(spec.signals_, width, margins)
            self.register_buffer("waves", torch.arange(1, 17) * (torch.pi / 2), persistent=False)

        def forward(
            self, values: torch.Tensor, levels: torch.Tensor, time: torch.Tensor, known: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            """Map noised channels, time (B, 1) and known columns (B, D) to (B, C) and (B, sum of sizes)."""
            phase = time.float() * self.waves  # (B, 16)
            told = self.known(known) + self.time(torch.cat([phase.sin(), phase.cos()], 1))
            velocity, logits = self.exit(self.middle(self.entry(values, levels) + told))
            if levels.shape[1]:
                at, a = levels + self.segments.starts, left(time)
                own = torch.log1p(a / ((1 - a) * self.segments.share[at]))  # (B, K)
                logits = logits.scatter_add(1, at, own.float())
            return velocity, logits

    return Denoiser()


def trainee(spec: Diffusion, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how the network learns: squared error of velocities and likelihood of clean levels, at random times."""
    import torch

    from ehrsatz.generators.nets import adam, cross_entropy
    from ehrsatz.generators.training import clip

    net, signals = spec.net_, spec.signals_
    of_value, of_level = list(signals.values), list(signals.levels)
    n_columns, n_channels = len(signals.signals), max(len(of_value) + len(of_level), 1)

    class Learner:
        def __init__(self) -> None:
            self.net = net
            self.optimizers: list[torch.optim.Optimizer] = [adam(net.parameters(), plan.rate)]
            self.learn = learn.tensors(place)
            times = -(-_TESTS // len(held))
            self.held = tuple(one.repeat(times, 1) for one in held.tensors(place))
            self.fixed = self.chance(len(self.held[0]))

        def chance(self, n: int) -> tuple[torch.Tensor, ...]:
            """Draw times, evenly spread, known columns and noise for n rows."""
            spread = (torch.randperm(n, device=place) + torch.rand(1, device=place)) / n
            share = torch.rand(n, 1, device=place) * (torch.rand(n, 1, device=place) < _KNOWN)
            known = torch.rand(n, n_columns, device=place) < share
            noise = torch.randn(n, len(of_value), device=place)
            return spread[:, None], known, noise, torch.rand(n, 2, len(of_level), device=place, dtype=torch.double)

        def loss(self, values: torch.Tensor, levels: torch.Tensor, chance: tuple[torch.Tensor, ...]) -> torch.Tensor:
            time, known, noise, u = chance
            sure_value, sure_level, a = known[:, of_value], known[:, of_level], left(time)
            noised = torch.where(sure_value, values, a.sqrt() * values + (1 - a).sqrt() * noise)
            mixed = torch.where((u[:, 0] < a) | sure_level, levels, net.segments.margin(u[:, 1]))
            velocity, logits = net(noised, mixed, time, known.float())
            error = (velocity - a.sqrt() * noise + (1 - a).sqrt() * values) ** 2
            levelled = cross_entropy(logits, levels, signals.sizes)
            total = error.masked_fill(sure_value, 0).sum(1) + levelled.masked_fill(sure_level, 0).sum(1)
            return total.mean() / n_channels

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            loss = self.loss(self.learn[0][rows], self.learn[1][rows], self.chance(len(rows)))
            self.optimizers[0].zero_grad()
            loss.backward()
            clip(net.parameters())
            self.optimizers[0].step()
            return loss.detach()

        def score(self) -> float:
            return float(self.loss(self.held[0], self.held[1], self.fixed))

    return Learner()
