"""Adversarial network in the code space of an autoencoder, for matrices of codes (medGAN).

An autoencoder learns to write rows of ones and zeros as short dense codes; a generator with shortcuts learns to draw
such codes, and a discriminator that also sees the average of its batch tells decoded rows from real ones. Generator
and decoder are then trained against it together.

What differs from the paper: it has matrices of binary or count variables, here every column becomes bits, so that any
table fits: two levels are one bit, more levels one bit each, numbers one bit for each of `groups` ranges of equal mass,
and the bits of one column compete (softmax instead of a sigmoid each); counts are numbers like any other. Cells are
drawn from the probabilities that the decoder gives, not rounded at one half, and the discriminator sees what was drawn
(gradients pass straight through); the probabilities are calibrated to the shares of the data. Generator and
discriminator take one step each, the generator's three times as long, where the paper has two and one. The
generator's noise has the mean and covariance of the codes of real rows, and its blocks start at nothing but the
shortcut, so that it begins as a Gaussian in the code space. The weights kept are a moving average, at the point where
a held-out distance (`critic.likeness`) was least. The discriminator is not kept.

Reference: Choi, Biswal, Malin, Duke, Stewart and Sun, Generating multi-label discrete patient records using generative
adversarial networks, MLHC 2017, arXiv:1703.06490 (autoencoder and shortcuts: section 3.3; minibatch averaging: 3.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.signals import smooth_cells
from ehrsatz.generators.network import COMMON, Network, Rows
from ehrsatz.generators.space import Range
from ehrsatz.seeds import stream

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_STEPS = 1_000
_TURNS = 1  # steps of the discriminator for one of the generator
_FASTER = 3.0  # learning rate of autoencoder and generator, over that of the discriminator
_SCORED = 1_000  # rows of each side of the held-out distance
_RIDGE = 1e-3  # added to the variance of the codes


class MedGan(Network):
    """Draw decoded codes of an adversarial network.

    Parameters
    ----------
    latent
        Length of the dense codes.
    width
        Width of the discriminator's first hidden layer; its second has half of it.
    groups
        Ranges of equal mass that a number is written in.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`.
    """

    name = "medgan"
    reference = "medGAN: Choi et al., MLHC 2017, arXiv:1703.06490"
    ranges: ClassVar = {**COMMON, "latent": (1, 4096), "width": (4, 8192), "groups": (2, 256)}
    space: ClassVar = {"latent": (32, 64, 128), "groups": (8, 16, 32), "rate": Range(1e-4, 1e-3, log=True)}

    def __init__(
        self,
        *,
        latent: int = 64,
        width: int = 128,
        groups: int = 16,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 3e-4,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.latent = latent
        self.width = width
        self.groups = groups
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _build(self) -> torch.nn.Module:
        return networks(self)

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 4, 30, 500))
        epochs = max(1, round(int(np.clip(2 * n - 80, 40, _STEPS)) * batch / n))
        every = max(1, epochs // 30)
        return Plan(epochs, batch, self.rate, schedule="constant", patience=12, every=every, average=0.99)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        from ehrsatz.generators import training
        from ehrsatz.generators.base import silent

        pre = training.Plan(2 * plan.epochs, plan.batch, plan.rate, patience=5, every=plan.every)
        training.train(
            autoencoder(self, learn, held, pre, place), len(learn), pre, seed=self.seed_, progress=silent
        )  # step one of two: the autoencoder alone
        return adversaries(self, learn, held, plan, place)

    def _finish(self, rows: Rows, seed: int) -> None:
        from ehrsatz.generators.calibrate import ROWS
        from ehrsatz.generators.nets import level_margins

        u = stream(seed, self.name, "calibrate").random((ROWS, self._width()))
        self._calibrate(u, level_margins(self.signals_, rows.levels))

    def _width(self) -> int:
        return self.latent + len(self.signals_.sizes) + 2 * len(self.signals_.values)

    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, Ints]:
        from ehrsatz.generators.calibrate import calibrate_values
        from ehrsatz.generators.nets import draw_levels

        values, logits = self._outputs(u)
        shift, knots = self.net_.shift.double().numpy(), self.net_.knots.double().numpy()
        levels = draw_levels(self.signals_, logits + shift, self._choice(u))
        return calibrate_values(knots, values), levels

    def _choice(self, u: Floats) -> Floats:
        return u[:, self.latent : self.latent + len(self.signals_.sizes)]

    def _outputs(self, u: Floats) -> tuple[Floats, Floats]:
        """Drawn values (B, C), and logits of all levels (B, E), before calibration."""
        import torch

        from ehrsatz.generators.nets import draw_one

        net, n_values = self.net_, len(self.signals_.values)
        noise = ndtri(np.clip(u[:, : self.latent], 1e-9, 1 - 1e-9))
        with torch.no_grad():
            bits = net.decoder(net.generator(torch.from_numpy(noise).float().to(net.shift.device)))
        bits = bits.double().cpu().numpy()
        values = np.zeros((len(u), n_values))
        rest = u[:, u.shape[1] - 2 * n_values :]
        for c in range(n_values):
            start = net.bits.n_levels + c * self.groups
            group = draw_one(bits[:, start : start + self.groups], rest[:, c])
            values[:, c] = ndtri(np.clip((group + rest[:, n_values + c]) / self.groups, 1e-6, 1 - 1e-6))
        return values, net.bits.spread(bits)

    def _calibrate(self, u: Floats, margins: list[Floats]) -> tuple[Floats, Ints]:
        """Learn shift and knots from drawn rows, and return their values (R, C) and levels (R, K) with them."""
        import torch

        from ehrsatz.generators.calibrate import calibrate_values, learn_shift, learn_values
        from ehrsatz.generators.nets import draw_levels

        values, logits = self._outputs(u)
        shift = learn_shift(self.signals_, logits, margins)
        levels = draw_levels(self.signals_, logits + shift, self._choice(u))
        knots = learn_values(self.signals_, values, levels)
        with torch.no_grad():
            self.net_.shift.copy_(torch.from_numpy(shift))
            self.net_.knots.copy_(torch.from_numpy(knots))
        return calibrate_values(knots, values), levels


class Bits:
    """Signals <-> rows of ones and zeros: bits of level channels first, then `groups` bits for each value.

    A level channel of two entries is one bit, of more one bit each. `block` is the number of each bit's block, whose
    bits compete; `single` says which bits have no rival. Values have no bit set where the state is not smooth.
    """

    def __init__(self, code: Any, groups: int) -> None:
        self.code, self.groups = code, groups
        self.widths = [0 if size < 2 else 1 if size == 2 else size for size in code.sizes]
        self.starts = np.concatenate([[0], np.cumsum(self.widths)]).astype(np.int64)
        self.n_levels, n_values = int(self.starts[-1]), len(code.values)
        self.size = max(self.n_levels + groups * n_values, 1)
        blocks = [*self.widths, *[groups] * n_values] if self.n_levels + n_values else [1]
        self.block = np.repeat(np.arange(len(blocks)), blocks)
        self.single = np.repeat(np.array(blocks) == 1, blocks)
        self.n_blocks = len(blocks)
        # whether a value speaks: a constant and a weight of each bit, (V,) and (bits, V)
        self.always, self.weight = np.ones(n_values, dtype=np.float32), np.zeros((self.size, n_values), np.float32)
        for c, d in enumerate(code.values):
            if d in code.levels:
                k = code.levels.index(d)
                if self.widths[k] == 1:
                    self.weight[self.starts[k], c] = -1.0
                elif self.widths[k]:
                    self.always[c], self.weight[self.starts[k], c] = 0.0, 1.0

    def write(self, values: NDArray[Any], levels: Ints) -> NDArray[np.float32]:
        """Return rows of bits (R, bits) from values (R, C) and levels (R, K)."""
        out, rows = np.zeros((len(levels), self.size), dtype=np.float32), np.arange(len(levels))
        for k, (start, width) in enumerate(zip(self.starts, self.widths)):
            if width == 1:
                out[:, start] = levels[:, k] == 1
            elif width:
                out[rows, start + levels[:, k]] = 1.0
        group = np.minimum((ndtr(values.astype(np.float64)) * self.groups).astype(np.int64), self.groups - 1)
        for c, smooth in enumerate(smooth_cells(self.code, levels).T):
            out[rows[smooth], self.n_levels + c * self.groups + group[smooth, c]] = 1.0
        return out

    def spread(self, logits: Floats) -> Floats:
        """Return logits of all entries of the level channels (R, E) from logits of bits."""
        parts = []
        for start, width, size in zip(self.starts, self.widths, self.code.sizes):
            part = logits[:, start : start + width]
            parts.append(part if width > 1 else np.concatenate([np.zeros((len(logits), size - width)), part], axis=1))
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(logits), 0))


def networks(spec: MedGan) -> Any:
    """Return encoder, decoder and generator."""
    import torch
    from torch import Tensor, nn

    from ehrsatz.generators.calibrate import learn_values

    bits = Bits(spec.signals_, spec.groups)

    class Block(nn.Module):
        """x + relu(norm(W x)) with batch normalisation, the shortcut of section 3.3; its scale starts at zero."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(spec.latent, spec.latent, bias=False)
            self.scale, self.shift = nn.Parameter(torch.zeros(spec.latent)), nn.Parameter(torch.zeros(spec.latent))
            self.register_buffer("mean", torch.zeros(spec.latent))
            self.register_buffer("variance", torch.ones(spec.latent))

        def forward(self, x: Tensor) -> Tensor:
            seen = self.mean, self.variance  # moving averages, which sampling uses
            return x + torch.relu(
                nn.functional.batch_norm(self.layer(x), *seen, self.scale, self.shift, training=self.training)
            )

    class Codes(nn.Module):
        """Noise -> codes."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(spec.latent))
            self.register_buffer("factor", torch.eye(spec.latent))
            self.blocks = nn.Sequential(Block(), Block())

        def forward(self, noise: Tensor) -> Tensor:
            return torch.tanh(self.blocks(self.mean + noise @ self.factor.T))

        def begin(self, codes: Tensor) -> None:
            """Give the noise mean and covariance of codes (R, latent), as they are before the last function."""
            self.mean.copy_(codes.mean(dim=0))
            ridge = _RIDGE * torch.eye(spec.latent, device=codes.device)
            self.factor.copy_(torch.linalg.cholesky(torch.cov(codes.T).reshape(ridge.shape) + ridge))

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bits = bits
            self.encoder = nn.Linear(bits.size, spec.latent)
            self.decoder = nn.Linear(spec.latent, bits.size)
            self.generator = Codes()
            member = np.eye(bits.n_blocks, dtype=np.float32)[bits.block]  # (bits, blocks)
            for name, array in (
                ("block", bits.block),
                ("single", bits.single.astype(np.float32)),
                ("member", member),
                ("always", bits.always),
                ("weight", bits.weight),
            ):
                self.register_buffer(name, torch.from_numpy(array), persistent=False)
            sizes, n_values = spec.signals_.sizes, len(spec.signals_.values)
            empty = np.zeros((0, n_values)), np.zeros((0, len(sizes)), dtype=np.int32)
            self.register_buffer("knots", torch.from_numpy(learn_values(spec.signals_, *empty)).float())
            self.register_buffer("shift", torch.zeros(int(sum(sizes))))

        def draw(self, logits: Tensor) -> Tensor:
            """Draw bits (B, bits) from their logits: exact ones and zeros forward, probabilities backward."""
            weight = logits.clamp(-30, 30).exp()
            share = weight / ((weight @ self.member)[:, self.block] + self.single)
            with torch.no_grad():  # the largest of a block after Gumbel noise; a single bit's rival is noise alone
                noise = -torch.log(-torch.log(torch.rand(2, *logits.shape, device=logits.device).clamp(1e-9, 1 - 1e-7)))
                noisy = logits + noise[0]
                best = noisy.new_full((len(noisy), bits.n_blocks), -1e9)
                best = best.scatter_reduce(1, self.block.expand_as(noisy), noisy, "amax")[:, self.block]
                hard = (noisy >= torch.where(self.single > 0, noise[1], best)).float()
            out = hard + share - share.detach()
            if not len(self.always):
                return out
            speaks = self.always + out @ self.weight  # (B, C): whether a value speaks
            scaled = out[:, bits.n_levels :] * speaks.repeat_interleave(spec.groups, dim=1)
            return torch.cat([out[:, : bits.n_levels], scaled], dim=1)

        def loss(self, rows: Tensor) -> Tensor:
            """Cross-entropy of rows (B, bits) under their own reconstruction."""
            logits = self.decoder(torch.tanh(self.encoder(rows))).clamp(-30, 30)
            total = (logits.exp() @ self.member).clamp(min=1e-12)  # (B, blocks)
            present = rows @ self.member > 0
            single = nn.functional.softplus(logits)[:, self.single > 0].sum(1)
            several = torch.where(present & (self.single_blocks == 0), total.log(), 0.0).sum(1)
            return (single + several - (rows * logits).sum(1)).mean()

        @property
        def single_blocks(self) -> Tensor:
            return self.single @ self.member  # (blocks,)

    return Autoencoder()


def autoencoder(spec: MedGan, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how encoder and decoder learn."""
    import torch

    from ehrsatz.generators.nets import adam

    net = spec.net_

    class Learner:
        def __init__(self) -> None:
            self.net = net
            own = [*net.encoder.parameters(), *net.decoder.parameters()]
            self.optimizers: list[torch.optim.Optimizer] = [adam(own, _FASTER * plan.rate)]
            self.learn, self.held = (
                torch.from_numpy(net.bits.write(one.values, one.levels)).to(place) for one in (learn, held)
            )

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            loss = net.loss(self.learn[rows.to(place)])
            self.optimizers[0].zero_grad()
            loss.backward()
            self.optimizers[0].step()
            return loss.detach()

        def score(self) -> float:
            return float(net.loss(self.held))

    return Learner()


def adversaries(spec: MedGan, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how generator and decoder learn against a discriminator that sees the average of its batch."""
    import torch
    from torch import Tensor, nn

    from ehrsatz.generators.critic import likeness
    from ehrsatz.generators.nets import adam, level_margins

    net = spec.net_

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            half = max(spec.width // 2, 1)
            self.layers = nn.Sequential(
                nn.Linear(2 * net.bits.size, spec.width), nn.ReLU(), nn.Linear(spec.width, half), nn.ReLU()
            )
            self.last = nn.Linear(half, 1)

        def forward(self, rows: Tensor) -> Tensor:
            average = rows.mean(dim=0, keepdim=True).expand_as(rows)  # (B, bits): minibatch averaging
            return self.last(self.layers(torch.cat([rows, average], dim=1)))

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drawer, self.discriminator = net, Discriminator().to(place)

    class Learner:
        def __init__(self) -> None:
            self.net = Pair()
            own = [*net.generator.parameters(), *net.decoder.parameters()]
            self.optimizers: list[torch.optim.Optimizer] = [
                adam(own, _FASTER * plan.rate, betas=(0.5, 0.9)),
                adam(self.net.discriminator.parameters(), plan.rate, decay=1e-3, betas=(0.5, 0.9)),
            ]
            self.learn = torch.from_numpy(net.bits.write(learn.values, learn.levels)).to(place)
            self.held = torch.from_numpy(net.bits.write(held.values[:_SCORED], held.levels[:_SCORED])).to(place)
            self.margins = level_margins(spec.signals_, np.concatenate([learn.levels, held.levels]))
            self.fixed = torch.rand(_SCORED, spec._width(), dtype=torch.float64).numpy()
            if spec.start is None:
                with torch.no_grad():
                    net.generator.begin(net.encoder(self.learn))

        def fake(self, size: int) -> Tensor:
            return net.draw(net.decoder(net.generator(torch.randn(size, spec.latent, device=place))))

        def step(self, rows: Tensor) -> Tensor:
            real, judge, falls = self.learn[rows.to(place)], self.net.discriminator, nn.functional.softplus
            for _ in range(_TURNS):
                with torch.no_grad():
                    fake = self.fake(len(rows))
                loss = falls(-judge(real)).mean() + falls(judge(fake)).mean()
                self.move(1, loss)
            judge.requires_grad_(False)
            self.move(0, falls(-judge(self.fake(len(rows)))).mean())
            judge.requires_grad_(True)
            return loss.detach()

        def move(self, which: int, loss: Tensor) -> None:
            self.optimizers[which].zero_grad()
            loss.backward()
            self.optimizers[which].step()

        def score(self) -> float:
            values, levels = spec._calibrate(self.fixed, self.margins)
            return likeness(torch.from_numpy(net.bits.write(values, levels)).to(place), self.held)

    return Learner()
