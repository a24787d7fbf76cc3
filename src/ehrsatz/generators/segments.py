"""All level channels side by side: noise and draws for every channel at once, without a loop over them.

Channel k takes the entries starts[k] .. starts[k] + sizes[k] - 1 of a vector of S logits. A sum over each channel's
entries is one product with an (S, K) matrix of zeros and ones, and a draw per channel is one search in the running
sum of all weights, so that fifty channels cost about as much as one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ehrsatz.codecs.signals import SignalCode
from ehrsatz.generators.nets import draw_one

Floats = NDArray[np.float64]
MOST = 30.0  # logits are cut to +-MOST, so that no sum of exponentials overflows
_LEAST_SHARE = 1e-4


class Segments(nn.Module):
    """The level channels of a code and their margins; nothing in it is learned.

    Parameters
    ----------
    code
        The signals.
    margins
        Share of each entry of each level channel, as `nets.level_margins` gives them.
    """

    starts: Tensor
    member: Tensor
    last: Tensor
    channel: Tensor
    share: Tensor
    bounds: Tensor

    def __init__(self, code: SignalCode, margins: Sequence[Floats]) -> None:
        super().__init__()
        self.code = code
        sizes = np.array(code.sizes, dtype=np.int64)
        ends = np.cumsum(sizes)
        self.n_levels, self.n_entries = len(sizes), int(sizes.sum())
        shares = [np.maximum(one, _LEAST_SHARE) / np.maximum(one, _LEAST_SHARE).sum() for one in margins]
        flat = np.concatenate(shares) if shares else np.zeros(0)
        channel = np.repeat(np.arange(len(sizes)), sizes)
        # the running share of channel k lies in (k, k + 1]: one sorted line for all channels
        running = np.concatenate([k + np.cumsum(one) for k, one in enumerate(shares)]) if shares else np.zeros(0)
        running[ends - 1] = np.arange(1, len(sizes) + 1)
        member = np.zeros((self.n_entries, len(sizes)), dtype=np.float32)
        member[np.arange(self.n_entries), channel] = 1.0
        for name, array in (
            ("starts", ends - sizes),
            ("last", ends - 1),
            ("member", member),
            ("share", flat.astype(np.float32)),
            ("bounds", running),
            ("channel", channel),
        ):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def margin(self, u: Tensor) -> Tensor:
        """Draw levels from the margins by uniforms (B, K) of double precision: (B, K)."""
        at = torch.arange(self.n_levels, device=u.device) + u
        found = torch.searchsorted(self.bounds, at, right=True)  # (B, K)
        return torch.minimum(found, self.last) - self.starts

    def draw(self, logits: Tensor, u: Tensor) -> Tensor:
        """Draw a level per channel from logits (B, S) by uniforms (B, K): (B, K)."""
        if not self.n_levels:
            return torch.zeros(u.shape, dtype=torch.long)
        weight = logits.clamp(-MOST, MOST).exp()
        total = weight @ self.member  # (B, S) -> (B, K)
        # every channel weighs 1 in the running sum, so that none drowns in the others
        running = (weight / total[:, self.channel]).cumsum(dim=1)
        at = torch.arange(self.n_levels) + u.float()
        return torch.searchsorted(running, at, right=True).clamp(self.starts, self.last) - self.starts

    def finish(self, logits: Tensor, levels: Tensor, u: Tensor) -> NDArray[np.int32]:
        """Return drawn levels as they leave the network: places that their group lacks are drawn anew."""
        out = levels.numpy().astype(np.int32)
        for k, above in self.code.below.items():
            start = int(self.starts[k])
            part = logits[:, start : start + self.code.sizes[k]].double().numpy()
            allowed = self.code.allowed(k, out[:, above])
            wrong = ~allowed[np.arange(len(out)), out[:, k]]
            out[wrong, k] = draw_one(np.where(allowed, part, -np.inf)[wrong], u[:, k].numpy()[wrong])
        return out
