"""What autoencoding families share: encoder and decoder, the two terms of the bound, what is learned after training.

A family says how encoder and decoder learn; both are the same networks, and rows are drawn the same way, see `expost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.generators.network import Network, Rows
from ehrsatz.seeds import stream

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.expost import Expost

Floats = NDArray[np.float64]
Tensors = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]


class Autoencoder(Network):
    """A network that draws rows by decoding codes; a family gives `latent` and `width`, and how `coder` learns."""

    latent: int
    width: int
    expost_: Expost

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        from ehrsatz.generators.nets import level_margins

        return {"margins": [np.round(one, 6).tolist() for one in level_margins(self.signals_, rows.levels)]}

    def _build(self) -> torch.nn.Module:
        return coder(self)

    def _finish(self, rows: Rows, seed: int) -> None:
        import torch

        from ehrsatz.generators.expost import learn_expost

        self.net_.opponent = None  # it knows more of single rows than a model should
        with torch.no_grad():
            mean, log_var = self.net_.encode(*rows.tensors(torch.device("cpu")))
        self.expost_ = learn_expost(
            self.signals_,
            (rows.values.astype(np.float64), rows.levels),
            (mean.double().numpy(), (0.5 * log_var).exp().double().numpy()),
            self._decode,
            [np.array(one) for one in self.facts_["margins"]],
            maps=self.scheme == "quantile" and self.start is None,  # ranks of an earlier table are none of this one
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


def coder(spec: Autoencoder) -> Any:
    """Return encoder and decoder."""
    from torch import Tensor, nn

    from ehrsatz.generators.nets import Entry, Exit, Residual

    class Coder(nn.Module):
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
            self.opponent: nn.Module | None = None  # a trainee may put one here: then checkpoints hold it

        def encode(self, values: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_var = self.encoder(self.entry(values, levels)).chunk(2, dim=1)  # (B, 2 L) -> twice (B, L)
            return mean, log_var.clamp(-8, 4)

        def decode(self, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            hidden = self.decoder(codes)  # (B, L) -> (B, H)
            mean, logits = self.exit(hidden)
            return mean, logits, self.spread(hidden)[:, : mean.shape[1]].clamp(-4, 1).exp()

    return Coder()


def channels(spec: Autoencoder, rows: Rows, place: torch.device) -> Tensors:
    """Return value channels (R, C), level channels (R, K) and which values say something (R, C), as tensors."""
    import torch

    from ehrsatz.codecs.signals import smooth_cells

    return *rows.tensors(place), torch.from_numpy(smooth_cells(spec.signals_, rows.levels)).float().to(place)


def divergence(mean: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
    """Return the divergence between each row's posterior, both (B, L), and the prior: (B,)."""
    return -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1)


def surprise(spec: Autoencoder, rows: Tensors, decoded: Tensors) -> torch.Tensor:
    """Return minus the log-likelihood of rows under what is decoded from their codes, up to a constant: (B,)."""
    from ehrsatz.generators.nets import cross_entropy

    (values, levels, smooth), (mean, logits, spread) = rows, decoded
    valued = ((0.5 * ((values - mean) / spread) ** 2 + spread.log()) * smooth).sum(1)
    return valued + cross_entropy(logits, levels, spec.signals_.sizes).sum(1)
