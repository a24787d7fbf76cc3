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

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ehrsatz.errors import ScenarioError
from ehrsatz.generators.network import COMMON, Network, Rows
from ehrsatz.seeds import stream

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.expost import Expost
    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]


class Vae(Network):
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

    expost_: Expost

    def __init__(
        self,
        *,
        latent: int = 32,
        width: int = 128,
        beta: float = 1.0,
        adversarial: float = 0.0,
        numbers: str = "quantile",
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 4e-3,
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

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        from ehrsatz.generators.nets import level_margins

        return {"margins": [np.round(one, 6).tolist() for one in level_margins(self.signals_, rows.levels)]}

    def _build(self) -> torch.nn.Module:
        return networks(self)

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 4, 32, 500))
        epochs = int(np.clip(1200 * batch // n, 20, 400))
        return Plan(epochs=epochs, batch=batch, rate=self.rate, patience=20)

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        return trainee(self, learn, held, plan, place)

    def _finish(self, rows: Rows, seed: int) -> None:
        import torch

        from ehrsatz.generators.expost import learn_expost

        with torch.no_grad():
            mean, log_var = self.net_.encode(*rows.tensors(torch.device("cpu")))
        self.expost_ = learn_expost(
            self.signals_,
            (rows.values.astype(np.float64), rows.levels),
            (mean.double().numpy(), (0.5 * log_var).exp().double().numpy()),
            self._decode,
            [np.array(one) for one in self.facts_["margins"]],
            maps=self.numbers == "quantile" and self.start is None,  # ranks of an earlier table are none of this one
            rng=stream(seed, self.name, "ex post"),
        )

    def _width(self) -> int:
        from ehrsatz.generators.expost import width_of

        return width_of(self.signals_, self.latent)

    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, NDArray[np.int32]]:
        return self.expost_.draw(self.signals_, self._decode, u)

    def _decode(self, codes: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean (R, C), logits (R, sum of sizes) and spread (R, C) of codes (R, L)."""
        import torch

        with torch.no_grad():
            mean, logits, spread = self.net_.decode(torch.from_numpy(codes).float())
        return mean.double().numpy(), logits.double().numpy(), spread.double().numpy()

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts, arrays = super()._state()
        return facts, {**arrays, **{f"expost/{name}": one for name, one in self.expost_.to_arrays().items()}}

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        from ehrsatz.generators.expost import Expost

        super()._restore(facts, arrays)
        found = {name.removeprefix("expost/"): one for name, one in arrays.items() if name.startswith("expost/")}
        self.expost_ = Expost.from_arrays(found)


def networks(spec: Vae) -> Any:
    """Return encoder, decoder and, where there is one, the adversary."""
    from torch import nn

    from ehrsatz.generators.adversary import judge
    from ehrsatz.generators.nets import Entry, Exit, Residual

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            margins, n_values = [np.array(one) for one in spec.facts_["margins"]], len(spec.signals_.values)
            self.entry = Entry(spec.signals_, spec.width)
            self.encoder = nn.Sequential(nn.SiLU(), Residual(spec.width), nn.Linear(spec.width, 2 * spec.latent))
            self.decoder = nn.Sequential(nn.Linear(spec.latent, spec.width), nn.SiLU(), Residual(spec.width))
            self.exit = Exit(spec.signals_, spec.width, margins)
            self.spread = nn.Linear(spec.width, max(n_values, 1))
            nn.init.zeros_(self.spread.weight)
            nn.init.zeros_(self.spread.bias)
            self.adversary = judge(spec.latent, spec.width) if spec.adversarial else None

        def encode(self, values: torch.Tensor, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_var = self.encoder(self.entry(values, levels)).chunk(2, dim=1)  # (B, 2 L) -> twice (B, L)
            return mean, log_var.clamp(-8, 4)

        def decode(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            hidden = self.decoder(codes)  # (B, L) -> (B, H)
            mean, logits = self.exit(hidden)
            return mean, logits, self.spread(hidden)[:, : mean.shape[1]].clamp(-4, 1).exp()

    return Autoencoder()


def trainee(spec: Vae, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how an autoencoder learns: reconstruction and divergence, and an adversary where there is one."""
    import torch

    from ehrsatz.codecs.signals import smooth_cells
    from ehrsatz.generators.adversary import Adversary
    from ehrsatz.generators.nets import adam, cross_entropy
    from ehrsatz.generators.training import clip

    repeats = 4  # codes of each held-out row that a score is the mean of

    class Learner:
        def __init__(self) -> None:
            self.net: Any = spec.net_
            self.own = [one for name, one in self.net.named_parameters() if not name.startswith("adversary.")]
            self.optimizers: list[torch.optim.Optimizer] = [adam(self.own, plan.rate)]
            self.adversary = None
            if spec.adversarial:
                self.adversary = Adversary(self.net.adversary, plan.rate)
                self.optimizers.append(self.adversary.optimizer)
            self.learn = self.tensors(learn)
            self.held = tuple(one.repeat(repeats, 1) for one in self.tensors(held))
            self.noise = torch.randn(repeats * len(held), spec.latent, device=place)

        def tensors(self, rows: Rows) -> tuple[torch.Tensor, ...]:
            smooth = torch.from_numpy(smooth_cells(spec.signals_, rows.levels)).float().to(place)
            return *rows.tensors(place), smooth

        def loss(self, rows: tuple[torch.Tensor, ...], noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            values, levels, smooth = rows
            mean, log_var = self.net.encode(values, levels)
            codes = mean + (0.5 * log_var).exp() * noise  # (B, L)
            out, logits, spread = self.net.decode(codes)
            valued = ((0.5 * ((values - out) / spread) ** 2 + spread.log()) * smooth).sum(1)
            levelled = cross_entropy(logits, levels, spec.signals_.sizes).sum(1)
            divergence = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1)
            return (valued + levelled + spec.beta * divergence).mean(), codes

        def step(self, rows: torch.Tensor) -> torch.Tensor:
            noise = torch.randn(len(rows), spec.latent, device=place)
            loss, codes = self.loss(tuple(one[rows] for one in self.learn), noise)
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
