"""Tabular variational autoencoder (TVAE): a normal code, a decoder with a distribution per channel.

The encoder gives each row a normal posterior over codes, the decoder each code a normal per value channel and a
categorical per level channel; both maximise the evidence lower bound. New rows are decoded from drawn codes.

Reference: Xu, Skoularidou, Cuesta-Infante and Veeramachaneni, Modeling tabular data using conditional GAN, NeurIPS
2019, arXiv:1907.00503, section 4.4.

What differs from the paper: numbers are normal scores of their ranks instead of modes and distances (numbers="modes"
is the paper's way); the spread of a value depends on the code; the learning rate falls and learning stops by the bound
of held-out rows; levels are drawn, not the likeliest taken. After training, codes are drawn from a mixture fitted to
the aggregate posterior (Ghosh et al. 2020), the noise of all channels is correlated as the residuals are, and margins
are calibrated: see `expost`. An adversary on the codes can be added (Makhzani et al. 2016): see `adversary`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ehrsatz.errors import ScenarioError
from ehrsatz.generators.autoencoder import Autoencoder, Tensors, channels, divergence, surprise
from ehrsatz.generators.network import COMMON, Rows

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee


class Vae(Autoencoder):
    """Draw from a variational autoencoder.

    Parameters
    ----------
    latent
        Dimensions of the code.
    width
        Width of the hidden layers.
    beta
        Weight of the divergence between posteriors and prior; below 1, codes say more of a row.
    adversarial
        Weight of an adversary that draws the aggregate posterior towards the prior; 0 for none.
    numbers
        "quantile": normal scores of ranks. "modes": mode and distance from its centre, as in the paper.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`.
    """

    name = "vae"
    reference = "TVAE: Xu et al., NeurIPS 2019, arXiv:1907.00503"
    ranges: ClassVar = {**COMMON, "latent": (1, 1024), "width": (4, 8192), "beta": (0, 100), "adversarial": (0, 100)}

    def __init__(
        self,
        *,
        latent: int = 32,
        width: int = 128,
        beta: float = 0.7,
        adversarial: float = 0.0,
        numbers: str = "quantile",
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 5e-3,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.latent = latent
        self.width = width
        self.beta = beta
        self.adversarial = adversarial
        self.numbers = numbers
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """How numbers are shown."""
        return self.numbers

    def check_parameters(self) -> None:
        """Check that every parameter is within its range.

        Raises
        ------
        ScenarioError
            When one is not.
        """
        super().check_parameters()
        if self.numbers not in {"quantile", "modes"}:
            raise ScenarioError(
                "Expected 'numbers' of the generator 'vae' to be quantile or modes.",
                "It is neither.",
                "Correct or remove it.",
            )

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 3, 32, 500))
        epochs = int(np.clip(1200 * batch // n, 40, 400))
        return Plan(epochs=epochs, batch=batch, rate=self.rate, patience=6, every=2)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        return trainee(self, learn, held, plan, place)


def trainee(spec: Vae, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how an autoencoder learns: reconstruction and divergence, and an adversary where there is one."""
    import torch

    from ehrsatz.generators.adversary import Adversary, judge
    from ehrsatz.generators.nets import adam
    from ehrsatz.generators.training import clip

    repeats = 4  # codes of each held-out row that a score is the mean of

    class Learner:
        def __init__(self) -> None:
            self.net: Any = spec.net_
            self.own = [one for name, one in self.net.named_parameters() if not name.startswith("opponent.")]
            self.optimizers: list[torch.optim.Optimizer] = [adam(self.own, plan.rate)]
            self.adversary = None
            if spec.adversarial:
                self.net.opponent = judge(spec.latent, spec.width).to(place)
                self.adversary = Adversary(self.net.opponent, plan.rate)
                self.optimizers.append(self.adversary.optimizer)
            self.learn = channels(spec, learn, place)
            values, levels, smooth = channels(spec, held, place)
            self.held = values.repeat(repeats, 1), levels.repeat(repeats, 1), smooth.repeat(repeats, 1)
            self.noise = torch.randn(repeats * len(held), spec.latent, device=place)

        def loss(self, rows: Tensors, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_var = self.net.encode(rows[0], rows[1])
            codes = mean + (0.5 * log_var).exp() * noise  # (B, L)
            apart = surprise(spec, rows, self.net.decode(codes))
            return (apart + spec.beta * divergence(mean, log_var)).mean(), codes

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            values, levels, smooth = self.learn
            noise = torch.randn(len(rows), spec.latent, device=place)
            loss, codes = self.loss((values[rows], levels[rows], smooth[rows]), noise)
            whole = loss
            if self.adversary is not None:
                whole = loss + spec.adversarial * self.adversary.fooled(codes)
            self.optimizers[0].zero_grad()
            whole.backward()
            clip(self.own)
            self.optimizers[0].step()
            if self.adversary is not None:
                self.adversary.step(codes.detach())
            return loss.detach()

        def score(self) -> float:
            return float(self.loss(self.held, self.noise)[0])

    return Learner()
