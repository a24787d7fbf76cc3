"""Smaller networks: pruning by magnitude and dynamic quantisation to eight bits, of a model that has learned.

Pruned weights are zero and take no room in the compressed file. A quantised linear layer keeps its weights as whole
numbers of eight bits with a scale per output; its input is brought to eight bits at run time, row by row, with the
row's own scale ("dynamic"), and the product is one of whole numbers, exact in any order of summation. All other
matrices are kept in eight bits and used as they were. Imported late, since it imports torch.

References
----------
Han, Pool, Tran and Dally, Learning both weights and connections for efficient neural networks, NeurIPS 2015,
arXiv:1506.02626 (magnitude pruning; here without training again). Jacob et al., Quantization and training of neural
networks for efficient integer-arithmetic-only inference, CVPR 2018, arXiv:1712.05877 (affine quantisation; here
symmetric).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_TOP = 127.0
_WIDEST = 1024  # inputs of a layer whose sums of products of eight bits single precision still holds exactly
_SMALL = 256  # entries below which a matrix stays as it is
SCALE = "#scale"  # after the name of an array: the scales of its rows


class QuantisedLinear(nn.Module):
    """A linear layer with weights of eight bits; the input is quantised row by row when it comes."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, n_in: int, n_out: int, *, has_bias: bool) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(n_out, n_in, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(n_out))
        self.register_buffer("bias", torch.zeros(n_out) if has_bias else torch.zeros(0))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n_in) to (..., n_out)."""
        step = x.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / _TOP
        whole = torch.round(x / step)
        out = (whole @ self.weight.to(x.dtype).T) * step * self.scale
        return out + self.bias if len(self.bias) else out

    @classmethod
    def of(cls, layer: nn.Linear) -> QuantisedLinear:
        """Return the layer in eight bits."""
        made = cls(layer.in_features, layer.out_features, has_bias=layer.bias is not None)
        whole, scale = to_bits(layer.weight.detach().numpy())
        made.weight.copy_(torch.from_numpy(whole))
        made.scale.copy_(torch.from_numpy(scale))
        if layer.bias is not None:
            made.bias.copy_(layer.bias.detach())
        return made


def to_bits(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a matrix as whole numbers of eight bits and the scale of each row (all but the last axis).

    Scales have twelve binary digits, so that what comes back from them goes into the same numbers again.
    """
    mantissa, exponent = np.frexp(np.abs(weight).max(axis=-1) / _TOP)
    scale = np.ldexp(np.ceil(mantissa * 4096) / 4096, exponent).astype(np.float32)
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    return np.rint(weight / scale[..., None]).astype(np.int8), scale


def prune(net: nn.Module, share: float) -> int:
    """Set the smallest share of the entries of every matrix to zero; return how many are zero then."""
    n_zero = 0
    with torch.no_grad():
        for one in net.parameters():
            if one.ndim < 2:
                continue
            k = int(share * one.numel())
            if k:
                floor = torch.kthvalue(one.abs().flatten(), k).values
                one.mul_((one.abs() > floor).to(one.dtype))
            n_zero += int((one == 0).sum())
    return n_zero


def swap_linear(net: nn.Module, *, empty: bool) -> None:
    """Put a quantised layer in the place of every linear layer that is not too wide.

    Parameters
    ----------
    net
        Changed in place.
    empty
        Leave the new layers without weights, which are then loaded.
    """
    for name, child in list(net.named_children()):
        if type(child) is nn.Linear and child.in_features <= _WIDEST:
            made = QuantisedLinear(child.in_features, child.out_features, has_bias=child.bias is not None)
            setattr(net, name, made if empty else QuantisedLinear.of(child))
        else:
            swap_linear(child, empty=empty)


def pack(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Bring every large floating matrix to eight bits and a scale per row, for the file."""
    out: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.ndim >= 2 and array.dtype == np.float32 and array.size >= _SMALL:
            out[name], out[name + SCALE] = to_bits(array)
        else:
            out[name] = array
    return out


def unpack(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Undo `pack`."""
    return {
        name: array.astype(np.float32) * arrays[name + SCALE][..., None] if name + SCALE in arrays else array
        for name, array in arrays.items()
        if not name.endswith(SCALE)
    }
