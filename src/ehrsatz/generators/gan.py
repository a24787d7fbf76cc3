"""Conditional generative adversarial network for tables (CTGAN), with gradient penalty and packing.

A generator turns noise and a vector of conditions into rows, a critic scores how far packs of rows are from real
ones, and the generator moves to bring that distance down.

What differs from the paper: the generator starts as a Gaussian copula of the signals (`outset`), from which it learns
to depart, so that margins and linear dependence are there before the first step and a small table cannot lose its
modes; numbers are normal scores of their ranks instead of mode-specific (the copula needs normals, and no mixture has
to be fitted); several columns may be conditioned on at once, where CTGAN sets exactly one, and rows without conditions
are learned too; the cell that is asked for is put into the row, so no loss term has to ask for it; levels pass
straight through (exact ones and zeros for the critic, Gumbel-softmax for the gradient); layers are normalised by
layer, not by batch; the critic sees which columns were conditioned, has no dropout, and packs rows only where `pac`
asks for it; generator and critic take one step each at rates of their own; the weights kept are a moving average, at
the point where a held-out distance (`critic.likeness`) was least; margins are calibrated at the end. The critic is
thrown away after training: it knows more about single rows than a released model should.

Reference: Xu, Skoularidou, Cuesta-Infante and Veeramachaneni, Modeling tabular data using conditional GAN, NeurIPS
2019, arXiv:1907.00503; Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017, arXiv:1704.00028
(gradient penalty); Lin, Khetan, Fanti and Oh, PacGAN, NeurIPS 2018, arXiv:1712.04086 (packing); Heusel et al., GANs
trained by a two time-scale update rule, NeurIPS 2017, arXiv:1706.08500; Jang, Gu and Poole, ICLR 2017, arXiv:1611.01144
(Gumbel-softmax); Yazıcı et al., The unusual effectiveness of averaging in GAN training, ICLR 2019, arXiv:1806.04498.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.table import draw_atoms, frequencies
from ehrsatz.codecs.window import FREE, Window, restrict
from ehrsatz.generators.network import COMMON, Network, Rows
from ehrsatz.generators.space import Range
from ehrsatz.seeds import stream

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_TAU = 0.5  # temperature of the Gumbel-softmax
_PENALTY = 10.0  # weight of the gradient penalty
_CONDITIONED = 0.5  # share of rows of a step that are conditioned
_MOST_ASKED = 3  # columns conditioned at once in training
_STEPS, _LARGE = 1_500, 2_000  # steps on tables of so many rows or more
_ENTRIES = 500  # entries of level channels above which steps, which cost by them, become fewer
_ALONE = 30  # steps that the critic takes before the generator's first
_SCORED = 2_000  # most rows of each side of the held-out distance
_FEW = 500  # ... drawn for small tables


class Gan(Network):
    """Draw from a conditional Wasserstein network.

    Conditions on levels (kinds category, code, boolean) are honoured in every row.

    Parameters
    ----------
    noise
        Dimensions of noise beside the latents of the columns.
    width
        Width of the hidden layers of generator and critic.
    pac
        Rows that the critic looks at together.
    critic_rate
        Learning rate of the critic; `rate` is the generator's.
    epochs, batch, rate, device, checkpoint, start
        As in every network: see `Network`.
    """

    name = "gan"
    conditions: ClassVar[bool] = True
    conditions_on: ClassVar = frozenset({"category", "code", "boolean"})
    whole: ClassVar[bool] = True
    reference = "CTGAN: Xu et al., NeurIPS 2019, arXiv:1907.00503"
    ranges: ClassVar = {**COMMON, "noise": (1, 4096), "width": (4, 8192), "pac": (1, 100), "critic_rate": (1e-7, 1.0)}
    space: ClassVar = {
        "width": (64, 128, 256),
        "pac": (1, 4, 10),
        "rate": Range(1e-4, 2e-3, log=True),
        "critic_rate": Range(3e-4, 3e-3, log=True),
    }

    def __init__(
        self,
        *,
        noise: int = 16,
        width: int = 128,
        pac: int = 1,
        critic_rate: float = 1e-3,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float = 3e-4,
        device: str = "auto",
        checkpoint: str | None = None,
        start: str | None = None,
    ) -> None:
        self.noise = noise
        self.width = width
        self.pac = pac
        self.critic_rate = critic_rate
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.device = device
        self.checkpoint = checkpoint
        self.start = start

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        return {"shares": [np.round(one, 6).tolist() for one in frequencies(self.code_, rows.atoms)]}

    def _build(self) -> torch.nn.Module:
        return networks(self)

    def _plan(self, n: int) -> Plan:
        from ehrsatz.generators.training import Plan

        batch = int(np.clip(n // 2, 30, 500))
        steps = np.clip(1.5 * n - 60, 40, 900) if n < _LARGE else _STEPS
        steps /= max(1.0, sum(self.signals_.sizes) / _ENTRIES)
        epochs = max(1, round(steps * batch / n))
        return Plan(
            epochs=epochs,
            batch=batch,
            rate=self.rate,
            schedule="constant",
            patience=12 if n < _LARGE else 0,  # many rows: as many steps as were planned
            every=max(1, epochs // 20),
            average=0.99,
        )

    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        from ehrsatz.generators.outset import learn_outset

        if self.start is None:
            values, levels = np.concatenate([learn.values, held.values]), np.concatenate([learn.levels, held.levels])
            self.net_.begin.begin(learn_outset(self.signals_, values, levels))
        return trainee(self, learn, held, plan, place)

    def _finish(self, rows: Rows, seed: int) -> None:
        import torch

        from ehrsatz.generators.calibrate import ROWS
        from ehrsatz.generators.nets import level_margins

        u = stream(seed, self.name, "calibrate").random((ROWS, self._width()))
        with torch.no_grad():
            self._calibrate(u, level_margins(self.signals_, rows.levels))

    def _calibrate(self, u: Floats, margins: list[Floats]) -> tuple[Floats, Ints]:
        """Learn shift and knots from drawn rows, and return their values (R, C) and levels (R, K) with them."""
        import torch

        from ehrsatz.generators.calibrate import calibrate_values, learn_shift, learn_values
        from ehrsatz.generators.nets import draw_levels

        values, logits = self._outputs(u, {})
        shift = learn_shift(self.signals_, logits, margins)
        levels = draw_levels(self.signals_, logits + shift, self._split(u)[2])
        knots = learn_values(self.signals_, values, levels)
        self.net_.shift.copy_(torch.from_numpy(shift))
        self.net_.knots.copy_(torch.from_numpy(knots))
        return calibrate_values(knots, values), levels

    def asked(self) -> tuple[int, ...]:
        """Return the columns that may be conditioned on, by number."""
        return tuple(d for d, one in enumerate(self.code_.codes) if isinstance(one, CategoryCode) and one.n_atoms)

    def _width(self) -> int:
        return sum(self._parts())

    def _parts(self) -> tuple[int, ...]:
        n_values, n_levels, n_asked = len(self.signals_.values), len(self.signals_.sizes), len(self.asked())
        return n_values + n_levels, self.noise, n_levels, 2 * n_asked, 2 * n_asked

    def _split(self, u: Floats) -> list[Floats]:
        """Uniforms of latents, noise, choice of levels, and two for conditions."""
        return np.split(u, np.cumsum(self._parts())[:-1], axis=1)

    def _conditions(self, window: Window | None, wanted: slice, target: slice, u: Floats) -> Mapping[int, Any]:
        """Atom of each conditioned column in a block of rows, `FREE` where the row is free."""
        fixed: dict[int, Ints] = {}
        for d in window.columns if window is not None else ():
            assert window is not None
            if d in window.fixed:
                fixed[d] = np.full(len(u), FREE, dtype=np.int32)
                fixed[d][wanted] = window.fixed[d][target]
            else:
                fixed[d] = draw_atoms(restrict(np.array(self.facts_["shares"][d]), window.share[d]), u[:, d])
        return fixed

    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, Ints]:
        from ehrsatz.generators.calibrate import calibrate_values
        from ehrsatz.generators.nets import draw_levels

        values, logits = self._outputs(u, fixed)
        shift = self.net_.shift.double().numpy()
        levels = draw_levels(self.signals_, logits + shift, self._split(u)[2])
        return calibrate_values(self.net_.knots.double().numpy(), values), levels

    def _outputs(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, Floats]:
        """Values (B, C) and logits (B, E), before calibration."""
        import torch

        wishes = np.full((len(u), len(self.signals_.sizes)), -1, dtype=np.int64)
        for d, atoms in fixed.items():
            k = self.signals_.levels.index(d)
            wishes[:, k] = np.where(atoms < 0, wishes[:, k], atoms)  # a level's atom is its entry
        latent, noise, _, within, own = self._split(u)
        place = self.net_.shift.device
        normal = [ndtri(np.clip(one, 1e-9, 1 - 1e-9)) for one in (latent, noise, own)]
        given = [torch.from_numpy(one).float().to(place) for one in (*normal, within)]
        values, logits = self.net_(given[0], given[1], torch.from_numpy(wishes).to(place), given[3], given[2])
        return values.double().cpu().numpy(), logits.double().cpu().numpy()


def networks(spec: Gan) -> Any:
    """Return the generator."""
    import torch
    from torch import Tensor, nn

    from ehrsatz.generators.calibrate import learn_values
    from ehrsatz.generators.critic import Channels, Start
    from ehrsatz.generators.nets import Residual

    code, columns = spec.signals_, spec.asked()
    asked = [k for k, d in enumerate(code.levels) if d in columns]  # level channels that may be conditioned on

    class Wishes(nn.Module):
        """Wished-for entries -> one vector: a table row per entry of each channel, and one for a free channel."""

        def __init__(self) -> None:
            super().__init__()
            sizes = np.array([code.sizes[k] for k in asked], dtype=np.int64)
            for name, array in (
                ("asked", np.array(asked)),
                ("free", sizes),
                ("first", np.cumsum(sizes + 1) - sizes - 1),
            ):
                self.register_buffer(name, torch.from_numpy(array.astype(np.int64)), persistent=False)
            self.table = nn.Embedding(max(int((sizes + 1).sum()), 1), spec.width)
            nn.init.normal_(self.table.weight, std=max(len(asked), 1) ** -0.5)

        def forward(self, wishes: Tensor) -> Tensor | float:
            if not asked:
                return 0.0
            here = wishes[:, self.asked]
            index = torch.where(here < 0, self.free, here) + self.first
            return nn.functional.embedding_bag(index, self.table.weight, mode="sum")

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.channels = Channels(code)
            self.begin = Start(self.channels, asked)
            self.entry = nn.Linear(self.begin.n_latents + spec.noise, spec.width)
            self.wishes = Wishes()
            self.body = nn.Sequential(nn.SiLU(), Residual(spec.width), Residual(spec.width), nn.LayerNorm(spec.width))
            self.exit = nn.Linear(spec.width, self.channels.n_values + self.channels.n_entries)
            nn.init.zeros_(self.exit.weight)
            nn.init.zeros_(self.exit.bias)
            empty = learn_values(code, np.zeros((0, len(code.values))), np.zeros((0, len(code.sizes)), dtype=np.int32))
            self.register_buffer("knots", torch.from_numpy(empty).float())
            self.register_buffer("shift", torch.zeros(self.channels.n_entries))

        def forward(
            self, normal: Tensor, noise: Tensor, wishes: Tensor, u: Tensor, own: Tensor
        ) -> tuple[Tensor, Tensor]:
            """Map noise and wishes to values (B, C) and logits (B, E)."""
            n_values = self.channels.n_values
            latent = self.begin.latents(normal, wishes, u, own)
            out = self.exit(self.body(self.entry(torch.cat([latent, noise], dim=1)) + self.wishes(wishes)))
            logits = self.begin.logits(latent[:, n_values:]) + out[:, n_values:]
            return latent[:, :n_values] + out[:, :n_values], self.channels.bend(logits, wishes)

    return Generator()


def trainee(spec: Gan, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
    """Return how generator and critic learn: a step of the critic, then one of the generator."""
    import torch
    from torch import Tensor, nn

    from ehrsatz.generators.critic import Critic, likeness
    from ehrsatz.generators.nets import adam, level_margins

    net, code, columns = spec.net_, spec.signals_, spec.asked()
    n, n_asked = len(learn), len(columns)
    pac = spec.pac
    member = np.array([[d == other for other in code.levels] for d in columns], dtype=np.float32)  # (A, K)

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            n_inputs = net.channels.n_values + net.channels.n_entries + n_asked
            self.generator, self.critic = net, Critic(n_inputs, spec.width, pac).to(place)
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    class Learner:
        def __init__(self) -> None:
            self.net = Pair()
            self.optimizers: list[torch.optim.Optimizer] = [
                adam(net.parameters(), plan.rate, decay=0.0, betas=(0.5, 0.9)),
                adam(self.net.critic.parameters(), spec.critic_rate, betas=(0.5, 0.9)),
            ]
            self.values, self.levels = learn.tensors(place)
            self.member = torch.from_numpy(member.reshape(n_asked, len(code.sizes))).to(place)
            bounds = by_level(learn.atoms[:, list(columns)]) + np.arange(n_asked)[:, None]
            self.bounds = torch.from_numpy(bounds.ravel()).to(place)  # (A n,): column i stands between i and i + 1
            values, levels = (one[:_SCORED] for one in held.tensors(place))
            self.held = net.channels.show(values, net.channels.one_hot(levels))
            self.margins = level_margins(code, np.concatenate([learn.levels, held.levels]))
            self.fixed = torch.rand(_SCORED if n >= _LARGE else _FEW, spec._width(), dtype=torch.float64).numpy()

        def draw(self, wishes: Tensor) -> Tensor:
            size, widths = len(wishes), (net.begin.n_latents, spec.noise, 2 * n_asked)
            normal, noise, own = (torch.randn(size, width, device=place) for width in widths)
            values, logits = net(normal, noise, wishes, torch.rand(size, 2 * n_asked, device=place), own)
            return net.channels.show(values, net.begin.choose(logits, torch.rand_like(logits), _TAU))

        def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
            """Rows (B,) filled up to whole packs, and which columns are conditioned (B, A): training by sampling."""
            rows = torch.cat([rows, torch.randint(n, (-len(rows) % pac,))]).to(place)
            mask = torch.zeros(len(rows), n_asked, device=place)
            some = int(len(rows) * _CONDITIONED) if n_asked else 0
            if some:
                each, column = torch.arange(some, device=place), torch.randint(n_asked, (some,), device=place)
                u = column + torch.rand(some, device=place, dtype=torch.float64)
                rows[:some] = (torch.searchsorted(self.bounds, u) - column * n).clamp(0, n - 1)
                mask[each, column] = 1.0
                count = torch.randint(_MOST_ASKED, (some,), device=place)
                for t in range(1, _MOST_ASKED):
                    more = torch.randint(n_asked, (some,), device=place)
                    mask[each, more] = torch.maximum(mask[each, more], (count >= t).float())
                order = torch.randperm(len(rows), device=place)
                rows, mask = rows[order], mask[order]
            return rows, mask

        def step(self, rows: Tensor) -> Tensor:
            rows, mask = self.batch(rows)
            wishes = torch.where(mask @ self.member > 0, self.levels[rows], -1)
            real = net.channels.show(self.values[rows], net.channels.one_hot(self.levels[rows]))
            fake = self.draw(wishes)
            real, fake = torch.cat([real, mask], dim=1), torch.cat([fake, mask], dim=1)
            critic = self.net.critic
            scores = critic(torch.cat([real, fake.detach()]))
            gap = scores[: len(scores) // 2].mean() - scores[len(scores) // 2 :].mean()
            self.move(1, _PENALTY * critic.penalty(real, fake.detach()) - gap)
            self.net.steps += 1
            if int(self.net.steps) > _ALONE:
                critic.requires_grad_(False)
                self.move(0, -critic(fake).mean())
                critic.requires_grad_(True)
            return gap.detach()

        def move(self, which: int, loss: Tensor) -> None:
            self.optimizers[which].zero_grad()
            loss.backward()
            self.optimizers[which].step()

        def score(self) -> float:
            values, levels = spec._calibrate(self.fixed, self.margins)
            shown = torch.from_numpy(values).float().to(place), torch.from_numpy(levels).long().to(place)
            return likeness(net.channels.show(shown[0], net.channels.one_hot(shown[1])), self.held)

    return Learner()


def by_level(atoms: Ints) -> Floats:
    """Return the cumulated chance of each row per column, (A, R): every level by the logarithm of its count.

    References: Xu et al. 2019, section 4.3 (training by sampling).
    """
    bounds = np.empty(atoms.T.shape)
    for i, column in enumerate(atoms.T):
        _, index, counts = np.unique(column, return_inverse=True, return_counts=True)
        weight = (np.log1p(counts) / counts)[index]
        bounds[i] = np.cumsum(weight) / weight.sum()
    return bounds
