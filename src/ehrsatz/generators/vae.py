"""Tabular variational autoencoder (TVAE): a Gaussian latent, a decoder with a distribution per channel.

Reference: Xu, Skoularidou, Cuesta-Infante and Veeramachaneni, Modeling tabular data using conditional GAN, NeurIPS
2019, arXiv:1907.00503, section 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.generators.network import COMMON, Network, Rows

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]


class Vae(Network):
    """Draw from a variational autoencoder.

    Parameters
    ----------
    latent
        Dimensions of the latent space.
    width
        Width of the hidden layers.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`.
    """

    name = "vae"
    reference = "TVAE: Xu et al., NeurIPS 2019, arXiv:1907.00503"
    ranges: ClassVar = {**COMMON, "latent": (1, 4096), "width": (4, 8192)}

    def __init__(
        self,
        *,
        latent: int = 32,
        width: int = 128,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 2e-3,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.latent = latent
        self.width = width
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        from ehrsatz.generators.nets import level_margins

        return {"margins": [np.round(one, 6).tolist() for one in level_margins(self.signals_, rows.levels)]}

    def _build(self) -> torch.nn.Module:
        return networks(self)

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 16, 32, 500))
        return Plan(epochs=int(np.clip(3000 * batch // n, 20, 300)), batch=batch, rate=self.rate, patience=20)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        return trainee(self.net_, learn, held, plan, place)

    def _width(self) -> int:
        return self.latent + len(self.signals_.values) + len(self.signals_.sizes)

    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, NDArray[np.int32]]:
        import torch

        from ehrsatz.generators.nets import draw_levels

        n_values = len(self.signals_.values)
        noise = ndtri(np.clip(u[:, : self.latent + n_values], 1e-9, 1 - 1e-9))
        mean, logits, spread = self.net_.decode(torch.from_numpy(noise[:, : self.latent]).float())
        values = mean.double().numpy() + spread.double().numpy() * noise[:, self.latent :]
        return values, draw_levels(self.signals_, logits.double().numpy(), u[:, self.latent + n_values :])


def networks(spec: Vae) -> Any:
    """Return encoder and decoder."""
    import torch
    from torch import nn

    from ehrsatz.generators.nets import Entry, Exit, Residual

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            margins = [np.array(one) for one in spec.facts_["margins"]]
            self.entry = Entry(spec.signals_, spec.width)
            self.encoder = nn.Sequential(nn.SiLU(), Residual(spec.width), nn.Linear(spec.width, 2 * spec.latent))
            self.decoder = nn.Sequential(nn.Linear(spec.latent, spec.width), nn.SiLU(), Residual(spec.width))
            self.exit = Exit(spec.signals_, spec.width, margins)
            self.log_spread = nn.Parameter(torch.zeros(len(spec.signals_.values)))

        def encode(self, values: torch.Tensor, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_var = self.encoder(self.entry(values, levels)).chunk(2, dim=1)
            return mean, log_var.clamp(-8, 4)

        def decode(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            mean, logits = self.exit(self.decoder(z))
            return mean, logits, self.log_spread.clamp(-4, 1).exp()

    return Autoencoder()


def trainee(net: Any, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how an autoencoder learns: reconstruction and divergence."""
    import torch

    from ehrsatz.generators.nets import adam, cross_entropy
    from ehrsatz.generators.training import clip

    class Learner:
        def __init__(self) -> None:
            self.net = net
            self.optimizers: list[torch.optim.Optimizer] = [adam(net.parameters(), plan.rate)]
            self.learn, self.held = learn.tensors(place), held.tensors(place)
            self.noise = torch.randn(len(held), net.decoder[0].in_features, device=place)

        def loss(self, values: torch.Tensor, levels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            mean, log_var = net.encode(values, levels)
            out, logits, spread = net.decode(mean + (0.5 * log_var).exp() * noise)
            gauss = (0.5 * ((values - out) / spread) ** 2 + spread.log()).sum(1)
            levelled = cross_entropy(logits, levels, net.exit.sizes).sum(1)
            divergence = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1)
            return (gauss + levelled + divergence).mean()

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            values, levels = self.learn[0][rows], self.learn[1][rows]
            loss = self.loss(values, levels, torch.randn(len(rows), self.noise.shape[1], device=place))
            self.optimizers[0].zero_grad()
            loss.backward()
            clip(net.parameters())
            self.optimizers[0].step()
            return loss.detach()

        def score(self) -> float:
            return float(self.loss(*self.held, self.noise))

    return Learner()
