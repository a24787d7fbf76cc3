"""Autoencoder and adversarial network in one (VAE/GAN): the decoder is the generator, likeness is learned.

A discriminator tells rows from decoded ones, both from codes of rows and from codes of the prior. What its hidden layer
says of a row and of its reconstruction should agree, which trains encoder and decoder; the decoder also has to fool
the discriminator, and posteriors stay near the prior.

Reference: Larsen, Sønderby, Larochelle and Winther, Autoencoding beyond pixels using a learned similarity metric, ICML
2016, arXiv:1512.09300, algorithm 1.

What differs from the paper: rows instead of images, so the networks are perceptrons, and levels reach the
discriminator as relaxed draws (Jang et al. 2017, arXiv:1611.01144). The likelihood of each channel is kept beside the
distance in the discriminator's features, with the weight `elementwise`: the paper drops it (0), which keeps numbers
as close but loses levels. The discriminator has a penalty on its slope at rows (Mescheder et al. 2018,
arXiv:1801.04406). The weight gamma of the paper is on the adversarial loss of the decoder instead, as its inverse.
The distance in features counts as much as there are channels. The moving average of the weights is kept, learning
stops by the bound of held-out rows unless `elementwise` is 0, and after training comes what comes after `vae`'s: see
`expost`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ehrsatz.generators.autoencoder import Autoencoder, channels, divergence, surprise
from ehrsatz.generators.network import COMMON, Rows

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

_HEAT = 0.3  # of relaxed draws
_REPEATS = 4  # codes of each held-out row that a score is the mean of
_SLOPE = 0.5  # weight of the penalty on slopes


class VaeGan(Autoencoder):
    """Draw from an autoencoder whose decoder also learns from a discriminator.

    Parameters
    ----------
    latent
        Dimensions of the code.
    width
        Width of the hidden layers.
    elementwise
        Weight of the likelihood of each channel, beside the distance in the discriminator's features; the paper has 0.
    adversarial
        Weight of the decoder's loss against the discriminator: the inverse of the paper's gamma.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`.
    """

    name = "vaegan"
    reference = "VAE/GAN: Larsen et al., ICML 2016, arXiv:1512.09300"
    ranges: ClassVar = {
        **COMMON,
        "latent": (1, 1024),
        "width": (4, 8192),
        "elementwise": (0, 100),
        "adversarial": (0, 100),
    }

    def __init__(
        self,
        *,
        latent: int = 32,
        width: int = 128,
        elementwise: float = 1.0,
        adversarial: float = 1.0,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 3e-3,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.latent = latent
        self.width = width
        self.elementwise = elementwise
        self.adversarial = adversarial
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 4, 32, 500))
        epochs = int(np.clip(1200 * batch // n, 20, 400))
        every = 1 if self.elementwise else 10**9  # without a likelihood nothing is scored: the last state is kept
        return Plan(epochs=epochs, batch=batch, rate=self.rate, patience=20, average=0.98, every=every)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        return trainee(self, learn, held, plan, place)


def discriminator(spec: VaeGan) -> Any:
    """Return the discriminator: channels side by side (B, C + S) -> features (B, H) and a score (B, 1)."""
    from torch import Tensor, nn

    from ehrsatz.generators.nets import perceptron

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            n_inputs = len(spec.signals_.values) + sum(spec.signals_.sizes)
            self.body = nn.Sequential(perceptron([n_inputs, spec.width, spec.width]), nn.LayerNorm(spec.width))
            self.head = nn.Sequential(nn.SiLU(), nn.Linear(spec.width, 1))

        def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
            features = self.body(rows)
            return features, self.head(features)

    return Discriminator()


class Shown:
    """Rows as the discriminator sees them: values that say something, then an entry per level, (B, C + S)."""

    def __init__(self, spec: VaeGan, place: torch.device) -> None:
        import torch

        code = spec.signals_
        sizes = np.array(code.sizes, dtype=np.int64)
        self.starts = torch.from_numpy(np.cumsum(sizes) - sizes).to(place)
        member = np.zeros((int(sizes.sum()), len(sizes)), dtype=np.float32)
        member[np.arange(len(member)), np.repeat(np.arange(len(sizes)), sizes)] = 1.0
        self.member = torch.from_numpy(member).to(place)
        # (S, C): entries under which a value channel says something; a channel without states always does
        speaks, always = np.zeros((len(member), len(code.values)), dtype=np.float32), np.ones(len(code.values))
        for c, d in enumerate(code.values):
            if d in code.levels:
                start = int((np.cumsum(sizes) - sizes)[code.levels.index(d)])
                speaks[start, c], always[c] = 1.0, 0.0
        self.speaks = torch.from_numpy(speaks).to(place)
        self.always = torch.from_numpy(always.astype(np.float32)).to(place)

    def real(self, values: torch.Tensor, levels: torch.Tensor, smooth: torch.Tensor) -> torch.Tensor:
        """Show rows."""
        import torch

        entries = values.new_zeros((len(values), len(self.member)))
        return torch.cat([values * smooth, entries.scatter_(1, levels + self.starts, 1.0)], dim=1)

    def drawn(self, mean: torch.Tensor, logits: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
        """Show rows drawn from what was decoded, so that gradients pass."""
        import torch

        noisy = logits - torch.empty_like(logits).exponential_().clamp(min=1e-9).log()  # plus Gumbel noise
        weight = (noisy.clamp(-9, 9) / _HEAT).exp()
        chance = weight / (weight @ self.member @ self.member.T)  # (B, S), summing to 1 in each channel
        values = mean + spread * torch.randn_like(mean)
        return torch.cat([values * (self.always + chance @ self.speaks), chance], dim=1)


def trainee(spec: VaeGan, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how the three networks learn."""
    import torch
    from torch.nn.functional import softplus

    from ehrsatz.generators import nets
    from ehrsatz.generators.training import clip

    n_channels = len(spec.signals_.values) + len(spec.signals_.sizes)

    class Learner:
        def __init__(self) -> None:
            self.net: Any = spec.net_
            self.net.opponent = self.judge = discriminator(spec).to(place)
            self.own = [one for name, one in self.net.named_parameters() if not name.startswith("opponent.")]
            self.optimizers: list[torch.optim.Optimizer] = [
                nets.adam(self.own, plan.rate),
                nets.adam(self.judge.parameters(), plan.rate, betas=(0.5, 0.9)),
            ]
            self.shown = Shown(spec, place)
            self.learn = channels(spec, learn, place)
            values, levels, smooth = channels(spec, held, place)
            self.held = values.repeat(_REPEATS, 1), levels.repeat(_REPEATS, 1), smooth.repeat(_REPEATS, 1)
            self.noise = torch.randn(_REPEATS * len(held), spec.latent, device=place)

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            values, levels, smooth = (one[rows] for one in self.learn)
            mean, log_var = self.net.encode(values, levels)
            codes = mean + (0.5 * log_var).exp() * torch.randn_like(mean)  # (B, L)
            decoded = self.net.decode(codes)
            real = self.shown.real(values, levels, smooth)
            fakes = self.fakes(codes.detach())
            self.judge.requires_grad_(False)
            apart = (
                0.5 * (self.judge(real)[0] - self.judge(self.shown.drawn(*decoded))[0]).square().mean(1) * n_channels
            )
            loss = (apart + divergence(mean, log_var)).mean()
            if spec.elementwise:
                loss = loss + spec.elementwise * surprise(spec, (values, levels, smooth), decoded).mean()
            whole = loss + spec.adversarial * softplus(-self.judge(fakes)[1]).mean()
            self.optimizers[0].zero_grad()
            whole.backward()
            clip(self.own)
            self.optimizers[0].step()
            self.judge.requires_grad_(True)
            self.learn_to_tell(real, fakes.detach())
            return loss.detach()

        def fakes(self, codes: torch.Tensor) -> torch.Tensor:
            """Rows decoded from codes of rows, and as many from codes of the prior."""
            return self.shown.drawn(*self.net.decode(torch.cat([codes, torch.randn_like(codes)])))

        def learn_to_tell(self, real: torch.Tensor, fakes: torch.Tensor) -> None:
            real = real.requires_grad_()
            high = self.judge(real)[1]
            (slope,) = torch.autograd.grad(high.sum(), real, create_graph=True)
            loss = softplus(-high).mean() + softplus(self.judge(fakes)[1]).mean()
            loss = loss + _SLOPE * slope.square().sum(1).mean()
            self.optimizers[1].zero_grad()
            loss.backward()
            self.optimizers[1].step()

        def score(self) -> float:
            mean, log_var = self.net.encode(self.held[0], self.held[1])
            decoded = self.net.decode(mean + (0.5 * log_var).exp() * self.noise)
            return float((surprise(spec, self.held, decoded) + divergence(mean, log_var)).mean())

    return Learner()
