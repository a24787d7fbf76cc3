"""Rational-quadratic splines, monotone maps of a line onto itself whose inverse and slope are known in closed form,
and the invertible network of couplings that is made of them. Imported late, since it imports torch.

References
----------
Durkan, Bekasov, Murray and Papamakarios, Neural spline flows, NeurIPS 2019, arXiv:1906.04032, equations 4 to 8 (after
Gregory and Delbourgo, IMA Journal of Numerical Analysis 2 (1982), doi:10.1093/imanum/2.2.123).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ehrsatz.generators.nets import Residual

BINS = 8
REACH = 5.0  # beyond +-REACH the map is the identity
_LEAST = 1e-3  # smallest width, height and slope
_EVEN = math.log(math.expm1(1 - _LEAST))  # where the slope is 1


def spline(x: Tensor, shape: Tensor, *, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """Map values by splines.

    Parameters
    ----------
    x : shape (B, D).
    shape : shape (B, D, 3 * BINS - 1): widths, heights, inner slopes; zeros give the identity.
    inverse : whether to undo the map.

    Returns
    -------
    Mapped values and the logarithm of the slope of the map itself at them, (B, D) each.
    """
    width, height, slope = shape.split([BINS, BINS, BINS - 1], dim=-1)
    width, left = _knots(width)
    height, low = _knots(height)
    slope = functional.pad(_LEAST + functional.softplus(slope + _EVEN), (1, 1), value=1.0)  # (B, D, BINS + 1)
    inside = x.abs() < REACH
    at = x.clamp(-REACH, REACH)
    edges = low if inverse else left
    bin_ = (torch.searchsorted(edges, at[..., None], right=True) - 1).clamp(0, BINS - 1)  # (B, D, 1)
    w, h, x0, y0, d0 = (one.gather(-1, bin_)[..., 0] for one in (width, height, left, low, slope))
    d1 = slope.gather(-1, bin_ + 1)[..., 0]
    s = h / w
    bend = d0 + d1 - 2 * s
    if inverse:
        y = at - y0
        a, b, c = h * (s - d0) + y * bend, h * d0 - y * bend, -s * y
        t = 2 * c / (-b - (b * b - 4 * a * c).clamp_min(0).sqrt())
        out = x0 + t * w
    else:
        t = (at - x0) / w
        out = y0 + h * (s * t * t + d0 * t * (1 - t)) / (s + bend * t * (1 - t))
    below = s + bend * t * (1 - t)
    log = 2 * s.log() + (d1 * t * t + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2).log() - 2 * below.log()
    return torch.where(inside, out, x), torch.where(inside, log, torch.zeros_like(log))


def _knots(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Sizes of the bins and where each begins, (B, D, BINS) both."""
    size = 2 * REACH * (_LEAST + (1 - _LEAST * BINS) * raw.softmax(-1))
    return size, functional.pad(size.cumsum(-1)[..., :-1], (1, 0)) - REACH


class Linear(nn.Module):
    """A lower triangular matrix with a positive diagonal."""

    def __init__(self, n_columns: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(n_columns, n_columns))
        self.log = nn.Parameter(torch.zeros(n_columns))

    def start(self, matrix: NDArray[np.float64]) -> None:
        """Take over a matrix, (D, D)."""
        with torch.no_grad():
            self.lower.copy_(torch.from_numpy(np.tril(matrix, -1)))
            self.log.copy_(torch.from_numpy(np.log(np.diag(matrix))))

    def matrix(self) -> Tensor:
        """Return the matrix, (D, D)."""
        return self.lower.tril(-1) + torch.diag(self.log.exp())


class Coupling(nn.Module):
    """One half of the columns is mapped by splines that the other half sets; it starts as the identity."""

    def __init__(self, sets: Tensor, moved: Tensor, width: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("sets", sets, persistent=False)
        self.register_buffer("moved", moved, persistent=False)
        self.net = nn.Sequential(
            nn.Linear(max(len(sets), 1), width),
            nn.SiLU(),
            Residual(width, dropout=dropout),
            nn.LayerNorm(width),
            nn.Linear(width, len(moved) * (3 * BINS - 1)),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    sets: Tensor
    moved: Tensor

    def forward(self, z: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Map (B, D) to (B, D); also the log-determinant of the map that is not the inverse, (B,)."""
        told = z[:, self.sets] if len(self.sets) else z.new_zeros(len(z), 1)
        shape = self.net(told).view(len(z), len(self.moved), 3 * BINS - 1)
        moved, log = spline(z[:, self.moved], shape, inverse=inverse)
        return z.index_copy(1, self.moved, moved), log.sum(1)


class Couplings(nn.Module):
    """Scores -> independent normals: couplings, and a linear map after them.

    Parameters
    ----------
    orders : per coupling an order of the columns: the first half sets, the second is moved; the next one swaps them.
    n_columns : D.
    width, dropout : of the networks that set the splines.
    """

    def __init__(self, orders: Sequence[NDArray[np.int64]], n_columns: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.linear, self.couplings = Linear(n_columns), nn.ModuleList()
        for i in range(len(orders) if n_columns else 0):
            order = torch.from_numpy(orders[i - i % 2].copy())
            halves = order[: n_columns // 2], order[n_columns // 2 :]
            sets, moved = halves if i % 2 == 0 or n_columns == 1 else halves[::-1]
            self.couplings.append(Coupling(sets, moved, width, dropout))

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density of scores (B, D), shape (B,)."""
        total = self.linear.log.sum() - 0.5 * z.shape[1] * math.log(2 * math.pi)
        for one in self.couplings:
            z, log = one(z)
            total = total + log
        return total - 0.5 * ((z @ self.linear.matrix().T) ** 2).sum(1)

    def inverse(self, noise: Tensor) -> Tensor:
        """Map normals (B, D) to scores (B, D)."""
        z = torch.linalg.solve_triangular(self.linear.matrix(), noise.T, upper=False).T
        for one in reversed(self.couplings):
            z, _ = one(z, inverse=True)
        return z
