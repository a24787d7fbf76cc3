"""How `autoregressive` learns: log-likelihood under the plain order and under orders in which some columns come first.

Imported late, since it imports torch.
"""

from __future__ import annotations

from typing import Any

import torch

from ehrsatz.generators.masked import Masked
from ehrsatz.generators.nets import adam
from ehrsatz.generators.network import Rows
from ehrsatz.generators.training import Plan, Trainee, clip

_PLAIN = 0.5  # share of steps in the order in which rows are drawn without conditions
_DECAY = 0.02  # of weights, per column and unit of the learning rate ...
_ENOUGH = 4_000  # ... and less where there are more rows than these
_STEEP = 5.0  # largest norm of a gradient
_EDGE = 1e-6


def trainee(net: Masked, learn: Rows, held: Rows, plan: Plan, place: torch.device, plain: list[int]) -> Trainee:
    """Return how the network learns: log-likelihood, half of the steps in the plain order."""

    class Learner:
        def __init__(self) -> None:
            self.net = net
            self.optimizers: list[torch.optim.Optimizer] = [
                adam(net.parameters(), plan.rate, decay=_DECAY * len(plain) * min(1.0, _ENOUGH / len(learn)))
            ]
            self.learn, self.held = learn.tensors(place), held.tensors(place)
            self.n_values = learn.values.shape[1] // 4
            self.plain = torch.tensor(plain, device=place)
            net.settle()
            self.noise = torch.rand(len(held), self.n_values, device=place)
            self.other = some_order(self.plain)

        def loss(self, values: torch.Tensor, levels: torch.Tensor, noise: torch.Tensor, order: torch.Tensor) -> Any:
            scores, floor, reach, active = values.view(len(values), 4, self.n_values).unbind(1)
            rank = (floor + reach * noise).clamp(_EDGE, 1 - _EDGE)
            of_levels, of_values = net(levels, scores, torch.special.ndtri(rank), active, order)
            return of_levels.sum(1) + of_values.sum(1)

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            values, levels = self.learn[0][rows], self.learn[1][rows]
            order = self.plain if torch.rand(()) < _PLAIN else some_order(self.plain)
            noise = torch.rand(len(rows), self.n_values, device=place)
            loss = self.loss(values, levels, noise, order).mean()
            self.optimizers[0].zero_grad()
            loss.backward()
            clip(net.parameters(), _STEEP)
            self.optimizers[0].step()
            return loss.detach()

        def score(self) -> float:
            plain, other = (self.loss(*self.held, self.noise, order).mean() for order in (self.plain, self.other))
            return float((2 * plain + other) / 3)

    return Learner()


def some_order(plain: torch.Tensor) -> torch.Tensor:
    """Return an order in which some columns come first, the rest keeps the plain order: what conditions ask for."""
    import torch

    n = len(plain)
    few = int(torch.randint(1, 4, ())) if torch.rand(()) < 0.5 else int(torch.randint(1, n + 1, ()))
    chosen = torch.zeros(n, dtype=torch.bool, device=plain.device)
    chosen[torch.randperm(n, device=plain.device)[:few]] = True
    return torch.cat([plain[chosen], plain[~chosen]])
