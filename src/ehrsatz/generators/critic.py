"""Blocks of adversarial networks: a Gaussian copula as first layer, levels that a gradient passes, a packed critic.

Imported late, since it imports torch.

References
----------
Jang, Gu and Poole, Categorical reparameterization with Gumbel-softmax, ICLR 2017, arXiv:1611.01144 (here straight
through). Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, Improved training of Wasserstein GANs, NeurIPS 2017,
arXiv:1704.00028. Lin, Khetan, Fanti and Oh, PacGAN, NeurIPS 2018, arXiv:1712.04086. Matheron's rule: Journel and
Huijbregts, Mining Geostatistics (1978), chapter VII. Geweke, Hajivassiliou and Keane's sampler: Geweke, Interface 1991.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ehrsatz.codecs.signals import SignalCode
from ehrsatz.generators.outset import NUGGET, Outset

_RARE = 0.1  # smallest spread of a feature that a distance divides by
_BARRED = -1e4  # logit of an entry that must not be drawn
_SCALE = (3 * NUGGET) ** 0.5 / np.pi  # of a logistic noise with the nugget's variance


class Channels(nn.Module):
    """Where the entries of the level channels stand side by side; K channels, E entries."""

    def __init__(self, code: SignalCode) -> None:
        super().__init__()
        self.n_values, self.n_levels, self.n_entries = len(code.values), len(code.sizes), int(sum(code.sizes))
        self.starts = [int(one) for one in np.concatenate([[0], np.cumsum(code.sizes)])]
        channel = np.repeat(np.arange(self.n_levels), code.sizes)  # (E,)
        smooth, always = np.zeros((self.n_entries, self.n_values)), np.ones(self.n_values)
        for c, d in enumerate(code.values):
            if d in code.levels:  # the value counts where the state says that it does
                k, modes = code.levels.index(d), code.signals[d].modes
                smooth[self.starts[k] : self.starts[k] + (modes.n_modes if modes else 1), c] = 1.0
                always[c] = 0.0
        self.has_states = bool((always == 0).any())
        for name, array in (
            ("channel", channel.astype(np.int64)),
            ("entry", (np.arange(self.n_entries) - np.array(self.starts)[channel]).astype(np.int64)),
            ("first", np.array(self.starts[:-1], dtype=np.int64)),
            ("member", np.eye(self.n_levels)[channel].astype(np.float32)),
            ("smooth", smooth.astype(np.float32)),
            ("always", always.astype(np.float32)),
        ):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def part(self, k: int) -> slice:
        """Return where the entries of channel k stand."""
        return slice(self.starts[k], self.starts[k + 1])

    def one_hot(self, levels: Tensor) -> Tensor:
        """Map levels (B, K) to (B, E)."""
        return torch.zeros(len(levels), self.n_entries, device=levels.device).scatter_(1, levels + self.first, 1.0)

    def show(self, values: Tensor, choice: Tensor) -> Tensor:
        """Return what a critic sees, (B, C + E): values are zero where the state is none of a smooth number."""
        if self.has_states:
            values = values * (self.always + choice @ self.smooth)
        return torch.cat([values, choice], dim=1)

    def bend(self, logits: Tensor, wishes: Tensor) -> Tensor:
        """Bar every other entry where one is wished for; wishes (B, K), -1 where there is none."""
        wanted = wishes[:, self.channel]  # (B, K) -> (B, E)
        return torch.where(wanted < 0, logits, torch.where(wanted == self.entry, 0.0, _BARRED))

    def softmax(self, logits: Tensor, tau: float) -> Tensor:
        """Return one entry per channel, (B, E): exact ones and zeros forward, the softmax of logits / tau backward."""
        with torch.no_grad():
            top = logits.new_full((len(logits), self.n_levels), -1e9)
            top = top.scatter_reduce(1, self.channel.expand_as(logits), logits, "amax")[:, self.channel]  # (B, E)
            hard = (logits >= top).float()
        weight = ((logits - top) / tau).exp()
        soft = weight / (weight @ self.member)[:, self.channel]
        return hard + soft - soft.detach()


class Start(nn.Module):
    """The Gaussian copula that a generator starts from: latents by noise, given what is asked for, and their logits.

    asked: the level channels that may be conditioned on.
    """

    def __init__(self, channels: Channels, asked: Sequence[int]) -> None:
        super().__init__()
        self.channels = channels
        self.n_latents = channels.n_values + channels.n_levels
        self.tied = list(asked)
        self.register_buffer("factor", torch.eye(self.n_latents))
        self.register_buffer("low", torch.zeros(channels.n_entries))
        self.register_buffer("high", torch.zeros(channels.n_entries))

    def begin(self, found: Outset) -> None:
        """Take over a learned copula."""
        for name, array in (("factor", found.factor), ("low", found.low), ("high", found.high)):
            getattr(self, name).copy_(torch.from_numpy(array))

    def latents(self, noise: Tensor, wishes: Tensor, u: Tensor, own: Tensor) -> Tensor:
        """Return latents (B, M) given that those of wished-for entries lie between the entries' thresholds.

        The conditioned channels of a row are met one after another: each one's latent is drawn from its normal
        distribution given those before it, cut to the entry, and all latents move with it (Matheron's rule). That is
        exact for one condition, and close for several.

        Parameters
        ----------
        noise : standard normal, (B, M).
        wishes : entry of each level channel, -1 where free, (B, K).
        u, own : a uniform and a standard normal for each channel that may be asked for, (B, A) each.
        """
        y = noise @ self.factor.T
        on = wishes[:, self.tied] >= 0  # (B, A)
        most = int(on.sum(1).max()) if self.tied and len(on) else 0
        if not most:
            return y
        order = torch.argsort((~on).to(torch.int8), dim=1, stable=True)[:, :most]  # conditioned channels first
        tied = torch.tensor(self.tied, device=y.device)
        covariance = self.factor @ self.factor.T
        mean = torch.zeros_like(y)
        before: list[tuple[Tensor, Tensor]] = []
        for t in range(most):
            k, active = tied[order[:, t]], on.gather(1, order[:, t : t + 1]).float()  # (B,), (B, 1)
            at = (k + self.channels.n_values)[:, None]
            line = covariance[at[:, 0]]  # (B, M): covariance with this latent, given those before it
            for other, spread in before:
                line = line - other * (other.gather(1, at) / spread)
            spread = (line.gather(1, at) + NUGGET).clamp(min=1e-3)
            middle, sd = mean.gather(1, at)[:, 0], spread[:, 0].sqrt()
            entry = self.channels.first[k] + wishes.gather(1, k[:, None])[:, 0].clamp(min=0)
            low = torch.special.ndtr((self.low[entry] - middle) / sd)
            high = torch.special.ndtr((self.high[entry] - middle) / sd)
            drawn = torch.special.ndtri((low + u[:, t] * (high - low)).clamp(1e-6, 1 - 1e-6))
            goal = (middle + sd * drawn).clamp(-6, 6)[:, None]
            here = y.gather(1, at) + NUGGET**0.5 * own[:, t : t + 1]
            y = y + active * line * ((goal - here) / spread)
            mean = mean + active * line * ((goal - mean.gather(1, at)) / spread)
            before.append((line * active, spread))
        return y

    def logits(self, y: Tensor) -> Tensor:
        """Return the log-probability of each entry (B, E) given the latents of level channels (B, K)."""
        latent = y[:, self.channels.channel]  # (B, K) -> (B, E)
        share = torch.sigmoid((self.high - latent) / _SCALE) - torch.sigmoid((self.low - latent) / _SCALE)
        return share.clamp(min=1e-6).log()

    def choose(self, logits: Tensor, u: Tensor, tau: float) -> Tensor:
        """Draw an entry per channel by Gumbel noise from uniforms (B, E), to (B, E)."""
        return self.channels.softmax(logits - torch.log(-torch.log(u.clamp(1e-9, 1 - 1e-7))), tau)


class Critic(nn.Module):
    """Score packs of rows: small, and linear in pieces, since its gradient is itself learned from."""

    def __init__(self, n_inputs: int, width: int, pac: int) -> None:
        super().__init__()
        self.pac = pac
        self.layers = nn.Sequential(
            nn.Linear(pac * n_inputs, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (B, F) to scores (B / pac, 1)."""
        return self.layers(rows.reshape(len(rows) // self.pac, -1))

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return how far slopes between real and generated packs are from 1, squared (Gulrajani 2017, equation 3)."""
        real, fake = real.reshape(len(real) // self.pac, -1), fake.reshape(len(fake) // self.pac, -1)
        mix = torch.rand(len(real), 1, device=real.device)
        between = (mix * real + (1 - mix) * fake).requires_grad_(True)
        slope = torch.autograd.grad(self.layers(between).sum(), between, create_graph=True)[0]
        return ((slope.norm(dim=1) - 1) ** 2).mean()


def likeness(drawn: Tensor, real: Tensor) -> float:
    """Return a distance between rows (R, F) and (S, F): the maximum mean discrepancy of a cubic kernel, unbiased.

    It compares means, covariances and third moments of features that are centred and scaled as the real rows are;
    a product of rows is divided by the root of the number of features, so that wide tables are not compared by their
    means alone. Zero, up to chance, for equal distributions.

    References: Bińkowski, Sutherland, Arbel and Gretton, Demystifying MMD GANs, ICLR 2018, arXiv:1801.01401, section 4.
    """
    middle, spread = real.mean(dim=0), real.std(dim=0).clamp(min=_RARE)
    a, b = (drawn - middle) / spread, (real - middle) / spread

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] ** 0.5 + 1) ** 3

    def within(x: Tensor) -> float:
        gram = kernel(x, x)
        return float((gram.sum() - gram.diagonal().sum()) / max(len(x) * (len(x) - 1), 1))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())
