"""Diffusion in the latent space of an autoencoder over columns (TabSyn).

Every channel of a row becomes a token; transformers encode tokens to a small normal code each and decode them again.
Once that is learned, a score model learns to undo noise on the codes of real rows; new rows are decoded from codes that
it draws out of pure noise.

Reference: Zhang et al., Mixed-type tabular data synthesis with score-based diffusion in latent space (TabSyn), ICLR
2024, arXiv:2310.09656; Karras, Aittala, Aila and Laine, Elucidating the design space of diffusion-based generative
models, NeurIPS 2022, arXiv:2206.00364 (noise sigma(t) = t, preconditioning, steps: table 1 and algorithm 1).

What differs from the paper: numbers are normal scores of their ranks; a number has a token for its value and, where it
has gaps or spikes, one for its state; the hidden layers are narrower (the paper's have 1,024 units, on a GPU); drawing
follows the probability flow without fresh noise, in 25 steps of second order; levels are drawn from their
probabilities and values with a learned spread, where the paper takes the likeliest and the mean; both learnings stop by
held-out rows; values are calibrated to their margins, and levels to theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Progress, silent
from ehrsatz.generators.calibrate import calibrate_values, learn_shift, learn_values
from ehrsatz.generators.network import COMMON, Network, Rows
from ehrsatz.seeds import uniforms

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]

_LEAST, _MOST, _RHO = 0.002, 80.0, 7.0  # noise levels of drawing, and how steps crowd at the small ones
_MEAN, _SPREAD = -1.2, 1.2  # of log noise in training
_DATA = 0.5  # standard deviation that codes are scaled to
_CODE = 4  # entries of a token and of its code, as in the paper
_STRONG, _WEAK, _FALL = (
    1e-2,
    1e-5,
    0.7,
)  # weight of the divergence: at first, at least, and its decay when nothing gains


class LatentDiffusion(Network):
    """Draw codes by diffusion and decode them.

    Parameters
    ----------
    steps
        Steps from noise to a code; each asks the network twice. May be changed without learning anew.
    width
        Width of the score model's hidden layers; None: 64, from 200 rows 128, from 2,000 rows 256.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`; epochs are those of the score model, the autoencoder's go with them.
    """

    name = "latentdiffusion"
    reference = "TabSyn: Zhang et al., ICLR 2024, arXiv:2310.09656"
    ranges: ClassVar = {**COMMON, "steps": (2, 1000), "width": (8, 8192)}

    knots_: Floats
    shift_: Floats

    def __init__(
        self,
        *,
        steps: int = 25,
        width: int | None = None,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 2e-3,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.steps = steps
        self.width = width
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        self._show = progress  # of the first of two learnings
        super()._fit(core, seed=seed, progress=progress)
        self._show = silent

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        from ehrsatz.generators.nets import level_margins

        width = self.width or (64 if len(rows) < 200 else 128 if len(rows) < 2_000 else 256)
        margins = [np.round(one, 6).tolist() for one in level_margins(self.signals_, rows.levels)]
        return {"margins": margins, "width": width}

    def _build(self) -> torch.nn.Module:
        return networks(self)

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 4, 16, 512))
        epochs = max(1, round(float(np.clip(30 * n**0.5 if n < 150 else 90 * n**0.5, 200, 4_000)) * batch / n))
        return Plan(epochs, batch, self.rate, schedule="cosine", every=max(1, epochs // 20), patience=8, average=0.995)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        return learn_codes(self, learn, held, plan, place)

    def _finish(self, rows: Rows, seed: int) -> None:
        margins = [np.array(one) for one in self.facts_["margins"]]
        self.shift_ = np.zeros(sum(self.signals_.sizes))
        drawn = [self._decode(u) for u in self._chances(len(rows), seed)]
        values, logits, levels = (np.concatenate(one) for one in zip(*drawn))
        self.knots_ = learn_values(self.signals_, values, levels)
        self.shift_ = learn_shift(self.signals_, logits, margins)

    def _chances(self, n_rows: int, seed: int) -> Iterator[Floats]:
        from ehrsatz.generators.nets import BLOCK

        for first in range(0, int(np.clip(2 * n_rows, 512, 4_096)), BLOCK):
            yield uniforms(seed, self.name, "calibrate", n=BLOCK, width=self._width(), first=first)

    def _width(self) -> int:
        n_values, n_levels = len(self.signals_.values), len(self.signals_.sizes)
        return (_CODE + 1) * (n_values + n_levels)

    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, NDArray[np.int32]]:
        values, _, levels = self._decode(u)
        return calibrate_values(self.knots_, values), levels

    def _decode(self, u: Floats) -> tuple[Floats, Floats, NDArray[np.int32]]:
        """Values (B, C), logits (B, sum of sizes) and levels (B, K) from uniforms (B, W), before values are mapped."""
        import torch

        from ehrsatz.generators.nets import draw_levels

        n_values, n_levels = len(self.signals_.values), len(self.signals_.sizes)
        n_codes = _CODE * (n_values + n_levels)
        noise = ndtri(np.clip(u[:, : n_codes + n_values], 1e-9, 1 - 1e-9))
        with torch.no_grad():
            codes = flow(self.net_.score, torch.from_numpy(noise[:, :n_codes]).float(), self.steps)
            mean, logits, spread = self.net_.decode(self.net_.unscale(codes))
        values = mean.double().numpy() + spread.double().numpy() * noise[:, n_codes:]
        shifted = logits.double().numpy() + self.shift_
        return values, logits.double().numpy(), draw_levels(self.signals_, shifted, u[:, n_codes + n_values :])

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts, arrays = super()._state()
        return facts, {**arrays, "knots": self.knots_, "shift": self.shift_}

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        super()._restore(facts, arrays)
        self.knots_, self.shift_ = arrays["knots"], arrays["shift"]


# ---------------------------------------------------------------------- diffusion
def flow(score: Any, noise: torch.Tensor, steps: int) -> torch.Tensor:
    """Follow the probability flow from noise (B, L) of unit size to codes, by Heun's method (Karras, algorithm 1)."""
    ramp = np.linspace(0, 1, steps)
    sigmas = (_MOST ** (1 / _RHO) + ramp * (_LEAST ** (1 / _RHO) - _MOST ** (1 / _RHO))) ** _RHO
    x = noise * float(sigmas[0])
    for now, then in zip(sigmas, [*sigmas[1:], 0.0]):
        slope = (x - denoised(score, x, float(now))) / float(now)
        ahead = x + (float(then) - float(now)) * slope
        if then > 0:
            other = (ahead - denoised(score, ahead, float(then))) / float(then)
            ahead = x + (float(then) - float(now)) * (slope + other) / 2
        x = ahead
    return x


def denoised(score: Any, x: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
    """Return the expected codes (B, L) given noisy ones, with the preconditioning of Karras, table 1."""
    import torch

    size = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(len(x)).reshape(-1, 1)
    total = (size**2 + _DATA**2).sqrt()
    out = score(x / total, size.log() / 4)
    return _DATA**2 / total**2 * x + size * _DATA / total * out


# ---------------------------------------------------------------------- learning
def learn_codes(spec: LatentDiffusion, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Train the autoencoder, scale the codes, and return how the score model learns from them."""
    import torch

    from ehrsatz.generators.nets import adam
    from ehrsatz.generators.training import Plan, clip, train

    net: Any = spec.net_
    first = Plan(max(1, plan.epochs // 2), plan.batch, plan.rate, "plateau", 12, max(1, plan.epochs // 40))

    def show(what: str, done: int, total: int) -> None:
        spec._show(what.replace("train", "autoencoder", 1), done, total)

    train(autoencoder(net, learn, held, first, place), len(learn), first, seed=spec.seed_, progress=show)
    net.eval()
    with torch.no_grad():
        codes, unseen = (net.encode(*rows.tensors(place))[0] for rows in (learn, held))
        net.centre.copy_(codes.mean(0))
        net.size.copy_(codes.std(0).clamp_min(1e-3) / _DATA)
        codes, unseen = (codes - net.centre) / net.size, (unseen - net.centre) / net.size

    class Learner:
        def __init__(self) -> None:
            self.net = net
            self.optimizers: list[torch.optim.Optimizer] = [adam(net.score.parameters(), plan.rate)]
            times = torch.linspace(0.02, 0.98, 16).repeat(-(-len(held) // 16))[: len(held)]
            self.sizes = (torch.special.ndtri(times) * _SPREAD + _MEAN).exp()[:, None].to(place)
            self.noise = torch.randn(unseen.shape).to(place)

        def loss(self, clean: torch.Tensor, sigma: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            weight = (sigma**2 + _DATA**2) / (sigma * _DATA) ** 2
            return (weight * (denoised(net.score, clean + sigma * noise, sigma[:, 0]) - clean) ** 2).mean()

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            clean = codes[rows]
            sigma = (torch.randn(len(rows), 1, device=place) * _SPREAD + _MEAN).exp()
            loss = self.loss(clean, sigma, torch.randn_like(clean))
            self.optimizers[0].zero_grad()
            loss.backward()
            clip(net.score.parameters())
            self.optimizers[0].step()
            return loss.detach()

        def score(self) -> float:
            return float(self.loss(unseen, self.sizes, self.noise))

    return Learner()


def autoencoder(net: Any, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how the autoencoder learns: likelihood, and a divergence whose weight falls (section 3.2 of the paper)."""
    import torch

    from ehrsatz.generators.nets import adam, cross_entropy
    from ehrsatz.generators.training import clip

    class Learner:
        def __init__(self) -> None:
            self.net = net
            self.parameters = [one for name, one in net.named_parameters() if not name.startswith("score.")]
            self.optimizers: list[torch.optim.Optimizer] = [adam(self.parameters, plan.rate)]
            self.learn, self.held = learn.tensors(place), held.tensors(place)
            self.noise = torch.randn(len(held), net.n_tokens * _CODE).to(place)
            self.weight, self.best, self.waited = _STRONG, float("inf"), 0

        def parts(self, values: Any, levels: Any, noise: Any) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_var = net.encode(values, levels)
            out, logits, spread = net.decode(mean + (0.5 * log_var).exp() * noise)
            fit = (0.5 * ((values - out) / spread) ** 2 + spread.log()).sum(1)
            fit = fit + cross_entropy(logits, levels, net.sizes).sum(1)
            return fit.mean(), -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1).mean()

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            noise = torch.randn(len(rows), self.noise.shape[1], device=place)
            fit, divergence = self.parts(self.learn[0][rows], self.learn[1][rows], noise)
            loss = fit + self.weight * divergence
            self.optimizers[0].zero_grad()
            loss.backward()
            clip(self.parameters)
            self.optimizers[0].step()
            return loss.detach()

        def score(self) -> float:
            fit, _ = self.parts(*self.held, self.noise)
            self.waited = 0 if float(fit) < self.best else self.waited + 1
            self.best = min(self.best, float(fit))
            if self.waited >= 2:
                self.weight, self.waited = max(self.weight * _FALL, _WEAK), 0
            return float(fit)

    return Learner()


# ---------------------------------------------------------------------- networks
def networks(spec: LatentDiffusion) -> Any:
    """Return tokens, transformers and score model in one module."""
    import torch
    from torch import nn

    from ehrsatz.generators.nets import Residual

    n_values, sizes = len(spec.signals_.values), spec.signals_.sizes
    n_tokens = n_values + len(sizes)
    margins = np.concatenate([np.log(np.maximum(one, 1e-4)) for one in spec.facts_["margins"]] or [np.zeros(0)])

    class Layer(nn.Module):
        """Attention of one head over tokens, then a small perceptron on each (Vaswani et al. 2017)."""

        def __init__(self) -> None:
            super().__init__()
            self.three, self.out = nn.Linear(_CODE, 3 * _CODE), nn.Linear(_CODE, _CODE)
            self.one, self.two = nn.LayerNorm(_CODE), nn.LayerNorm(_CODE)
            self.wide, self.back = nn.Linear(_CODE, 8 * _CODE), nn.Linear(8 * _CODE, _CODE)

        def forward(self, x: torch.Tensor) -> torch.Tensor:  # (B, T, 4)
            q, k, v = self.three(self.one(x)).chunk(3, dim=2)
            x = x + self.out(torch.softmax(q @ k.transpose(1, 2) / _CODE**0.5, dim=2) @ v)
            return x + self.back(nn.functional.relu(self.wide(self.two(x))))

    class Score(nn.Module):
        """What remains of the noise, from codes and the size of the noise."""

        def __init__(self) -> None:
            super().__init__()
            width = spec.facts_["width"]
            self.first, self.last = nn.Linear(n_tokens * _CODE, width), nn.Linear(width, n_tokens * _CODE)
            self.time = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
            self.blocks = nn.Sequential(*(Residual(width, hidden=2 * width) for _ in range(3)))
            self.register_buffer("waves", torch.exp(torch.linspace(0, 4, 16)), persistent=False)
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

        def forward(self, x: torch.Tensor, log_size: torch.Tensor) -> torch.Tensor:
            angle = log_size * self.waves  # (B, 16)
            hidden = self.first(x) + self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
            return self.last(nn.functional.silu(self.blocks(hidden)))

    class Tabsyn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.n_tokens, self.sizes = n_tokens, sizes
            entries = int(sum(sizes))
            starts = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
            channel = np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)
            self.register_buffer("starts", torch.from_numpy(starts), persistent=False)
            self.register_buffer("channel", torch.from_numpy(channel), persistent=False)
            self.register_buffer("centre", torch.zeros(n_tokens * _CODE))
            self.register_buffer("size", torch.ones(n_tokens * _CODE))
            self.value = nn.Parameter(torch.randn(n_values, _CODE))
            self.table = nn.Parameter(torch.randn(entries, _CODE))
            self.bias = nn.Parameter(0.1 * torch.randn(n_tokens, _CODE))
            self.mean = nn.Sequential(Layer(), Layer(), nn.Linear(_CODE, _CODE))
            self.log_var = nn.Sequential(Layer(), Layer(), nn.Linear(_CODE, _CODE))
            self.decoder = nn.Sequential(nn.Linear(_CODE, _CODE), Layer(), Layer())
            self.out_value = nn.Parameter(0.5 * torch.randn(n_values, _CODE))
            self.out_bias = nn.Parameter(torch.zeros(n_values))
            self.out_table = nn.Parameter(0.5 * torch.randn(entries, _CODE))
            self.out_logit = nn.Parameter(torch.from_numpy(margins).float())
            self.log_spread = nn.Parameter(torch.zeros(n_values))
            self.score = Score()

        def encode(self, values: torch.Tensor, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            tokens = torch.cat([values[:, :, None] * self.value, self.table[levels + self.starts]], dim=1) + self.bias
            log_var = self.log_var(tokens).clamp(-8, 4)  # (B, T, 4)
            return self.mean(tokens).flatten(1), log_var.flatten(1)

        def decode(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            tokens = self.decoder(codes.view(len(codes), n_tokens, _CODE))
            mean = (tokens[:, :n_values] * self.out_value).sum(2) + self.out_bias
            logits = (tokens[:, n_values:][:, self.channel] * self.out_table).sum(2) + self.out_logit  # (B, entries)
            return mean, logits, self.log_spread.clamp(-4, 1).exp()

        def unscale(self, codes: torch.Tensor) -> torch.Tensor:
            return codes * self.size + self.centre

    return Tabsyn()
