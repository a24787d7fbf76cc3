"""What is learned of an autoencoder after its training, and how rows are drawn with it.

Four parts, each on its own file: the aggregate posterior that codes are drawn from (`aggregate`), the correlation of
residuals (`residuals`), and the maps that put margins right (`calibrate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.signals import SignalCode
from ehrsatz.generators.aggregate import Aggregate, learn_aggregate
from ehrsatz.generators.calibrate import ROWS, calibrate_values, learn_shift, learn_values
from ehrsatz.generators.nets import draw_levels
from ehrsatz.generators.residuals import learn_residuals
from ehrsatz.schema import MIN_SUBJECTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Decode = Callable[[Floats], tuple[Floats, Floats, Floats]]  # codes (R, L) -> mean (R, C), logits (R, S), spread (R, C)


@dataclass(frozen=True)
class Expost:
    """Aggregate posterior, root of the residuals' correlation, factor on spreads, shift of logits, maps of values."""

    aggregate: Aggregate
    root: Floats
    factor: Floats
    shift: Floats
    knots: Floats  # no row where value channels are left as they are drawn

    def draw(self, code: SignalCode, decode: Decode, u: Floats) -> tuple[Floats, Ints]:
        """Return value channels (R, C) and level channels (R, K) from uniforms (R, `width_of`)."""
        latent = self.aggregate.mean.shape[1]
        normal = ndtri(np.clip(u, 1e-9, 1 - 1e-9))
        mean, logits, spread = decode(self.aggregate.draw(normal[:, :latent], u[:, latent]))
        noise = normal[:, latent + 1 :] @ self.root.T  # (R, C + K)
        n_values = len(code.values)
        values = mean + spread * self.factor * noise[:, :n_values]
        if len(self.knots):
            values = calibrate_values(self.knots, values)
        return values, draw_levels(code, logits + self.shift, ndtr(noise[:, n_values:]))

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return arrays by name."""
        told = asdict(self)
        return {**{f"aggregate/{name}": one for name, one in told.pop("aggregate").items()}, **told}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Expost:
        """Read what `to_arrays` gives."""
        aggregate = Aggregate(*(arrays[f"aggregate/{name}"] for name in ("weight", "mean", "root")))
        return cls(aggregate, *(arrays[name] for name in ("root", "factor", "shift", "knots")))


def width_of(code: SignalCode, latent: int) -> int:
    """Return how many uniforms a row needs."""
    return latent + 1 + len(code.values) + len(code.sizes)


def learn_expost(
    code: SignalCode,
    rows: tuple[Floats, Ints],
    posterior: tuple[Floats, Floats],
    decode: Decode,
    margins: Sequence[Floats],
    *,
    maps: bool,
    rng: np.random.Generator,
) -> Expost:
    """Learn all four parts.

    Parameters
    ----------
    rows : value and level channels of the rows, shapes (R, C) and (R, K).
    posterior : mean and spread of each row's code, both of shape (R, L).
    decode : codes to mean, logits and spread.
    margins : shares of entries that the rows' own are drawn towards by `MIN_SUBJECTS` subjects.
    maps : whether value channels are mapped to the standard normal, which they follow in the rows.
    rng : all chance.
    """
    values, levels = rows
    mean, spread = posterior
    aggregate = learn_aggregate(mean, spread, rng)
    decoded, logits, noise = decode(mean + spread * rng.normal(size=mean.shape))
    root, factor = learn_residuals(code, values, levels, decoded, noise, logits)
    plain = Expost(aggregate, root, factor, np.zeros(sum(code.sizes)), np.zeros((0, 0)))
    u = rng.random((ROWS, width_of(code, mean.shape[1])))
    latent = mean.shape[1]
    drawn = decode(aggregate.draw(ndtri(np.clip(u[:, :latent], 1e-9, 1 - 1e-9)), u[:, latent]))
    counts = [np.bincount(levels[:, k], minlength=size)[:size] for k, size in enumerate(code.sizes)]
    shares = [(held + MIN_SUBJECTS * share) / (len(levels) + MIN_SUBJECTS) for held, share in zip(counts, margins)]
    shift = learn_shift(code, drawn[1], shares)
    knots = learn_values(code, *plain.draw(code, decode, u)) if maps else plain.knots
    return Expost(aggregate, root, factor, shift, knots)
