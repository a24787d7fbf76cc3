"""Noise of a diffusion: how much signal is left at a time, and the step from a time to an earlier one.

References
----------
Ho, Jain and Abbeel, Denoising diffusion probabilistic models, NeurIPS 2020, arXiv:2006.11239; Nichol and Dhariwal,
Improved denoising diffusion probabilistic models, ICML 2021, arXiv:2102.09672; Hoogeboom et al., Argmax flows and
multinomial diffusion, NeurIPS 2021, arXiv:2102.05379.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.segments import Segments

Floats = NDArray[np.float64]

_OFFSET, _END = 0.008, 0.999  # of the schedule; the very end, where nothing is left, is not reached


def left(time: Any) -> Any:
    """Return the share of the variance that is signal at times in [0, 1] (Nichol and Dhariwal 2021, equation 17)."""
    angle = (time * _END + _OFFSET) / (1 + _OFFSET) * (np.pi / 2)
    return np.cos(angle) ** 2 if isinstance(angle, float) else angle.cos() ** 2


def back_values(x: torch.Tensor, v: torch.Tensor, now: float, then: float, noise: torch.Tensor) -> torch.Tensor:
    """Take values (B, C) with velocity v from one time to an earlier one (Ho et al. 2020, equation 7)."""
    a, b = left(now), (left(then) if then > 0 else 1.0)
    clean, eps = a**0.5 * x - (1 - a) ** 0.5 * v, (1 - a) ** 0.5 * x + a**0.5 * v
    variance = (1 - b) / (1 - a) * (1 - a / b)
    return b**0.5 * clean + max(1 - b - variance, 0.0) ** 0.5 * eps + variance**0.5 * noise


def back_levels(
    segments: Segments, levels: torch.Tensor, clean: torch.Tensor, now: float, then: float, u: torch.Tensor
) -> torch.Tensor:
    """Draw the levels (B, K) of an earlier time given those of now and clean ones (Hoogeboom et al., equation 13).

    The posterior is a mixture: the level of now stayed, or it is the clean one, or it is noise from the margin.
    """
    import torch

    if then <= 0:
        return clean
    b = left(then)
    step = left(now) / b
    share = segments.share[levels + segments.starts].double()  # (B, K)
    stayed = step * (1 - b) * share + torch.where(levels == clean, step * b, 0.0)
    origin, fresh = (1 - step) * b * share, (1 - step) * (1 - b) * share
    at = u * (stayed + origin + fresh)
    rest = ((at - stayed - origin) / fresh).clamp(0, 1 - 1e-12)
    return torch.where(at < stayed, levels, torch.where(at < stayed + origin, clean, segments.margin(rest)))


def normal(u: Floats) -> Floats:
    """Return normal noise of uniforms."""
    return np.asarray(ndtri(np.clip(u, 1e-9, 1 - 1e-9)), dtype=np.float64)
