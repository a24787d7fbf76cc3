"""An adversary on the codes of an autoencoder: it tells them from draws of the prior, the encoder learns to fool it.

At the optimum the aggregate posterior is the prior, which the divergence of a variational autoencoder alone does not
reach: that one is between each row's posterior and the prior.

References
----------
Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial autoencoders, 2015, arXiv:1511.05644, section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ehrsatz.generators.nets import adam, perceptron

_BETAS = (0.5, 0.9)  # less momentum than in plain learning: the opponent moves
_SLOPE_WEIGHT = 0.5


def judge(latent: int, width: int) -> nn.Sequential:
    """Return the adversary's network, codes (B, L) -> (B, 1): high for draws of the prior."""
    return perceptron([latent, width, width, 1])


class Adversary:
    """How a judge of codes learns, beside an autoencoder.

    Parameters
    ----------
    net
        What `judge` returns, part of the autoencoder's module so that checkpoints hold it.
    rate
        Learning rate.
    """

    def __init__(self, net: nn.Module, rate: float) -> None:
        self.net, self.optimizer = net, adam(net.parameters(), rate, betas=_BETAS)

    def fooled(self, codes: Tensor) -> Tensor:
        """Return the encoder's loss: how surely codes (B, L) are told from the prior."""
        return nn.functional.softplus(-self.net(codes)).mean()

    def step(self, codes: Tensor) -> None:
        """Learn to tell detached codes (B, L) from as many draws of the prior, with a penalty on slopes at those."""
        prior = torch.randn_like(codes).requires_grad_()
        high = self.net(prior)
        (slope,) = torch.autograd.grad(high.sum(), prior, create_graph=True)
        loss = nn.functional.softplus(-high).mean() + nn.functional.softplus(self.net(codes)).mean()
        loss = loss + _SLOPE_WEIGHT * slope.square().sum(dim=1).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
