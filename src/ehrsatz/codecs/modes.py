"""Mode-specific normalisation: a number as one of several Gaussian modes and its distance from that mode's centre.

A variational Gaussian mixture finds up to ten modes of a column; a value belongs to a mode with the mode's
responsibility and becomes (value - mean) / (4 standard deviations), cut to [-1, 1]. A mode that fewer than
`MIN_SUBJECTS` values make up is left out, so that no centre is one person's value.

References
----------
Xu, Skoularidou, Cuesta-Infante and Veeramachaneni, Modeling tabular data using conditional GAN, NeurIPS 2019,
arXiv:1907.00503, section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.schema import MIN_SUBJECTS

Floats = NDArray[np.float64]

_MOST_MODES = 10
_LEAST_WEIGHT = 0.005
_ROWS = 1_000  # values that the mixture is learned from
_SPAN = 4.0  # standard deviations that become 1


@dataclass(frozen=True)
class ModesCode:
    """Centres, widths and weights of a column's modes, each of shape (M,), M at least 1."""

    means: tuple[float, ...]
    widths: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def n_modes(self) -> int:
        """Number of modes."""
        return len(self.means)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "codec": "modes",
            "means": list(self.means),
            "widths": list(self.widths),
            "weights": list(self.weights),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModesCode:
        """Read what `to_dict` writes."""
        return cls(tuple(data["means"]), tuple(data["widths"]), tuple(data["weights"]))


def learn_modes(values: Floats, rng: np.random.Generator) -> ModesCode:
    """Learn the modes of a column.

    Parameters
    ----------
    values : shape (R,), finite.
    rng : chooses the values to learn from where there are many, and starts the mixture.
    """
    from sklearn.mixture import BayesianGaussianMixture

    some = values if len(values) <= _ROWS else values[np.sort(rng.permutation(len(values))[:_ROWS])]
    centre, scale = (float(np.median(some)), float(some.std())) if len(some) else (0.0, 1.0)
    if len(some) < 2 * MIN_SUBJECTS or not scale > 0:
        mean = float(np.round(some.mean(), 6)) if len(some) >= MIN_SUBJECTS else 0.0
        return ModesCode((mean,), (scale if scale > 0 else 1.0,), (1.0,))
    scaled = np.clip((some - centre) / scale, -20, 20)[:, None]
    most = min(_MOST_MODES, len(np.unique(scaled)), len(some) // MIN_SUBJECTS)
    mixture = BayesianGaussianMixture(
        n_components=max(most, 1),
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.001,
        max_iter=100,
        tol=1e-2,
        random_state=int(rng.integers(2**31)),
    )
    import warnings

    with warnings.catch_warnings():  # an unfinished mixture is still a mixture
        warnings.simplefilter("ignore")
        mixture.fit(scaled)
    counts = np.bincount(mixture.predict(scaled), minlength=mixture.n_components)
    keep = np.flatnonzero((mixture.weights_ > _LEAST_WEIGHT) & (counts >= MIN_SUBJECTS))
    if not len(keep):
        return ModesCode((float(np.round(some.mean(), 6)),), (scale,), (1.0,))
    keep = keep[np.argsort(mixture.means_[keep, 0], kind="stable")]
    means = np.round(mixture.means_[keep, 0], 4) * scale + centre
    widths = np.maximum(np.round(np.sqrt(mixture.covariances_[keep, 0, 0]), 4), 1e-3) * scale
    weights = mixture.weights_[keep] / mixture.weights_[keep].sum()
    return ModesCode(tuple(means.tolist()), tuple(widths.tolist()), tuple(np.round(weights, 6).tolist()))


def encode_modes(code: ModesCode, values: Floats, u: Floats) -> tuple[NDArray[np.int32], Floats]:
    """Return the mode of each value and its normalised distance in [-1, 1], both of shape (R,).

    Parameters
    ----------
    values : shape (R,), finite.
    u : shape (R,), in [0, 1): which mode, by responsibility.
    """
    means, widths = np.array(code.means), np.array(code.widths)
    z = (values[:, None] - means) / widths  # (R, M)
    log = np.log(np.array(code.weights)) - np.log(widths) - z**2 / 2
    likely = np.exp(log - log.max(axis=1, keepdims=True))
    bounds = np.cumsum(likely / likely.sum(axis=1, keepdims=True), axis=1)
    mode = np.minimum((u[:, None] >= bounds).sum(axis=1), code.n_modes - 1)  # (R, M) -> (R,)
    return mode.astype(np.int32), np.clip(z[np.arange(len(values)), mode] / _SPAN, -1, 1)


def decode_modes(code: ModesCode, modes: NDArray[np.int32], distance: Floats) -> Floats:
    """Return the values at these distances from these modes, shape (R,)."""
    means, widths = np.array(code.means), np.array(code.widths)
    return means[modes] + _SPAN * np.clip(distance, -1, 1) * widths[modes]


def describe_modes(code: ModesCode) -> dict[str, Any]:
    """Return what a person wants to know: the number of modes."""
    return {"modes": code.n_modes}
