"""A mixture of components in which codes and turned scores are independent: draws, and exact conditions.

A component gives each column a distribution of codes (`levels`) and each turned score a normal. The scores of the
columns themselves are linear in the turned ones, so in a component they are jointly normal, and a number's cell lies
where the mixture's own distribution function puts its rank: margins are those of the data whatever the components.

A condition reweights the components by the probability that they give to it, and the rest of the row is drawn from the
component given the condition. That is exact for all cells, sets of levels, and one band of smooth numbers. Where a
row has bands on several smooth numbers, one of 32 candidates is picked by its importance weight, close to exact. A
spike of a smooth number counts by the density at its middle.

Reference: McLachlan and Peel, Finite Mixture Models (2000), chapter 3; Hoffman and Ribak, Astrophysical Journal 380
(1991) L5 (conditional draws of normals by shifting unconditional ones); Rubin 1987 (importance resampling).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.window import FREE, Window
from ehrsatz.generators.latents import Atoms, Floats, Ints, Latents
from ehrsatz.generators.levels import Levels

_GRID = np.linspace(-6.0, 6.0, 481)  # scores at which the mixture's distribution function is kept
_CELLS = 4_000_000  # of the largest working array
_PARTS = 1_000  # components behind the distribution function
_TRIES = 32  # candidates of a row with bands on several smooth numbers


@dataclass(frozen=True)
class Mixture:
    """C components over the latents of a table.

    share: (C,); levels: of present cells, one per column; gates: 1 is missing, one per pattern of missing columns;
    mean, spread: of the turned scores, (C, S) each.
    """

    latents: Latents
    share: Floats
    levels: tuple[Levels, ...]
    gates: tuple[Levels, ...]
    mean: Floats
    spread: Floats

    @property
    def width(self) -> int:
        """Uniforms that a row needs."""
        return 1 + 2 * len(self.levels) + len(self.gates) + len(self.latents.smooth)

    # ------------------------------------------------------------------ drawing
    def draw(self, component: Ints, u: Floats, present: NDArray[np.bool_] | None = None) -> tuple[Ints, Floats]:
        """Return codes (R, D) and scores (R, S) of these components.

        Patterns are not missing where `present` (R, G) says so. Of the uniforms, (R, D + G + S) at least, the first D
        are for codes, the next for gates, the last for scores.
        """
        n_columns, n_gates = len(self.levels), len(self.gates)
        codes = np.ones((len(component), n_columns), dtype=np.int64, order="F")
        for d, one in enumerate(self.levels):
            if d not in self.latents.smooth:
                codes[:, d] = one.draw(component, u[:, d])
        for g, gate in enumerate(self.gates):
            gone = gate.draw(component, u[:, n_columns + g]) > 0
            if present is not None:
                gone &= ~present[:, g]
            for d, own in enumerate(self.latents.missing.groups):
                if own == g:
                    codes[gone, d] = 0
        far = u[:, n_columns + n_gates : n_columns + n_gates + len(self.latents.smooth)]
        plain = self.mean[component] + self.spread[component] * ndtri(np.clip(far, 1e-12, 1 - 1e-12))
        return codes, self.latents.unturn(plain)

    def pick(self, u: Floats) -> Ints:
        """Return one component per row by its share; u has shape (R,)."""
        bounds = np.cumsum(self.share)
        return np.minimum(np.searchsorted(bounds, u * bounds[-1], side="right"), len(bounds) - 1)

    def sample(self, u: Floats, window: Window | None) -> tuple[Atoms, Floats]:
        """Return atoms and positions within them, (n, D) each, from uniforms of shape (n, width)."""
        n_columns = len(self.levels)
        high, low = u[:, 1 : 1 + n_columns], u[:, 1 + n_columns :]
        if window is None:
            return self._cells(*self.draw(self.pick(u[:, 0]), low), high)
        component = self._pick(window, u[:, 0])
        present = np.zeros((len(u), len(self.gates) + 1), dtype=bool)  # the last: never missing
        for d in window.share:
            present[:, self.latents.missing.groups[d]] = True
        for d, fixed in window.fixed.items():
            present[:, self.latents.missing.groups[d]] |= fixed >= 0
        codes, scores = self.draw(component, low, present)
        scores = self._hold_scores(window, component, scores, low, high)
        atoms, within = self._cells(codes, scores, high)
        self._hold_codes(window, component, low, high, atoms, within)
        return atoms, within

    def _cells(self, codes: Ints, scores: Floats, u: Floats) -> tuple[Atoms, Floats]:
        """Return atoms and positions of codes and scores; u gives the positions of what has no score."""
        atoms = np.empty(codes.shape, dtype=np.int32, order="F")
        within = np.array(u, order="F")
        for d in range(len(self.levels)):
            if d not in self.latents.smooth:
                atoms[:, d], within[:, d] = self.latents.atoms(d, codes[:, d], u[:, d])
        for place, d in enumerate(self.latents.smooth):
            rank = np.interp(scores[:, place], _GRID, self._ranks[place])
            at, within[:, d] = self.latents.place(d, rank)
            atoms[:, d] = np.where(codes[:, d] == 0, -1, at)
        return atoms, within

    @cached_property
    def _ranks(self) -> Floats:
        """Distribution function of each smooth column's score at the grid, (S, G), rising strictly from 0 to 1."""
        step = max(1, len(self.share) // _PARTS)
        mean, spread = (one[::step] for one in self._marginal)
        out = np.empty((len(self.latents.smooth), len(_GRID)))
        for place in range(len(out)):
            g = self.latents.missing.groups[self.latents.smooth[place]]
            share = self.share[::step]
            if g >= 0:  # the margin of the data is that of present cells
                share = share * self.gates[g].chance(np.arange(0, len(self.share), step), np.array([0]))[:, 0]
            inner = share / share.sum() @ ndtr((_GRID - mean[:, place, None]) / spread[:, place, None])
            inner = np.maximum.accumulate(np.round(inner, 9)) + 1e-9 * np.arange(len(_GRID))
            out[place] = (inner - inner[0]) / (inner[-1] - inner[0])
        return out

    @cached_property
    def _marginal(self) -> tuple[Floats, Floats]:
        """Mean and spread of each smooth column's own score in each component, (C, S) each."""
        return self.latents.unturn(self.mean), np.sqrt(self.spread**2 @ self.latents.root.T**2)

    # ------------------------------------------------------------------ conditions
    def _score(self, d: int, atoms: Atoms, position: Floats) -> Floats:
        """Return the score of cells of a smooth column, 0 where missing or free."""
        floor, at = self.latents.floors(d), np.maximum(atoms, 0)
        rank = floor[at] + position * (floor[at + 1] - floor[at])
        place = self.latents.smooth.index(d)
        return np.where(atoms < 0, 0.0, np.interp(rank, self._ranks[place], _GRID))

    def _pieces(self, d: int, share: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the score intervals of the allowed atoms of a smooth column: lower ends, upper ends, shares."""
        ends = np.interp(self.latents.floors(d), self._ranks[self.latents.smooth.index(d)], _GRID)
        ends[0], ends[-1] = -np.inf, np.inf
        some = np.flatnonzero(share > 0)
        return ends[some], ends[some + 1], share[some]

    def _bands(self, window: Window) -> list[int]:
        return [place for place, d in enumerate(self.latents.smooth) if d in window.share]

    def _held(self, window: Window) -> list[int]:
        return [place for place, d in enumerate(self.latents.smooth) if d in window.fixed]

    def _pick(self, window: Window, u: Floats) -> Ints:
        """Return one component per row, by its share times its probability of the row's conditions."""
        every = np.arange(len(self.share))
        base = np.log(np.maximum(self.share, 1e-300))
        groups = self.latents.missing.groups
        banded = {groups[d] for d in window.share} - {-1}
        for g in banded:
            base += np.log(self.gates[g].chance(every, np.array([0]))[:, 0])
        for d, share in window.share.items():
            if d not in self.latents.smooth:
                parts = [self._mass(d, some, share).sum(axis=1) for some in _split(every, len(share))]
                base += np.log(np.maximum(np.concatenate(parts), 1e-300))
        asked, which = _distinct(window, len(u))
        component = np.empty(len(u), dtype=np.int64)
        wide = len(every) * max(1, max((len(share) for share in window.share.values()), default=1) // 8)
        for part in _split(np.arange(len(asked)), wide):
            weight = np.repeat(base[None], len(part), axis=0)  # (P, C)
            for g in {groups[d] for d in window.fixed} - banded - {-1}:
                held = [fixed[asked[part]] >= 0 for d, fixed in window.fixed.items() if groups[d] == g]
                rows = np.flatnonzero(np.any(held, axis=0))
                weight[rows] += np.log(self.gates[g].chance(every, np.array([0]))[:, 0])
            for d, fixed in window.fixed.items():
                atoms = fixed[asked[part]]
                rows = np.flatnonzero(atoms >= 0)
                if len(rows) and d not in self.latents.smooth:
                    chance = self.levels[d].chance(every, self.latents.tables[d][atoms[rows]])
                    weight[rows] += np.log(np.maximum(chance.T, 1e-300))
            self._add_scores(window, asked[part], weight)
            rows = np.flatnonzero((which >= part[0]) & (which <= part[-1]))
            component[rows] = _by_weight(weight, u[rows], which[rows] - part[0])
        return component

    def _add_scores(self, window: Window, rows: Ints, weight: Floats) -> None:
        """Add to log weights (P, C) the density of held scores and the chance of each band given these."""
        every = np.arange(len(self.share))
        for held, some in self._patterns(window, rows):
            if not held and not self._bands(window):
                continue
            target = np.stack([self._target(window, place, rows[some]) for place in held], axis=1) if held else None
            for step, place in enumerate(held):  # one after the other: each given those before
                given = held[:step]
                centre, width = self._given(every, given, target, place)
                assert target is not None
                gap = (target[:, step, None] - centre) / width
                weight[some] += -(gap**2) / 2 - np.log(width)
            for place in self._bands(window):
                centre, width = self._given(every, held, target, place)
                below, above, part = self._pieces(self.latents.smooth[place], window.share[self.latents.smooth[place]])
                chance = np.zeros((len(some), len(every)))
                for low, high, one in _merged(below, above, part):
                    chance += one * (ndtr((high - centre) / width) - ndtr((low - centre) / width))
                weight[some] += np.log(np.maximum(chance, 1e-300))

    def _given(self, component: Ints, held: list[int], target: Floats | None, place: int) -> tuple[Floats, Floats]:
        """Return mean and spread of one score given held ones in every component, (P, C) and (1, C)."""
        mean, spread = self._marginal
        if not held:
            return mean[None, component, place], spread[None, component, place]
        assert target is not None
        root = self.latents.root
        scaled = self.spread[component] ** 2  # (C, S)
        inner = np.einsum("cs,hs,gs->chg", scaled, root[held], root[held])  # (C, H, H)
        cross = np.einsum("cs,hs,s->ch", scaled, root[held], root[place])
        slope = np.linalg.solve(inner + 1e-12 * np.eye(len(held)), cross[..., None])[..., 0]  # (C, H)
        gap = target[:, None, : len(held)] - mean[None, component][:, :, held]  # (P, C, H)
        centre = mean[None, component, place] + (gap * slope).sum(axis=2)
        variance = spread[component, place] ** 2 - (slope * cross).sum(axis=1)
        return centre, np.sqrt(np.maximum(variance, 1e-8))[None]

    def _patterns(self, window: Window, rows: Ints) -> list[tuple[list[int], Ints]]:
        """Return each set of held scores that occurs in these rows, and where."""
        held = self._held(window)
        if not held:
            return [([], np.arange(len(rows)))]
        flags = np.stack([window.fixed[self.latents.smooth[place]][rows] >= 0 for place in held], axis=1)
        kinds, which = np.unique(flags, axis=0, return_inverse=True)
        which = np.asarray(which).reshape(-1)
        return [
            ([place for place, flag in zip(held, kind) if flag], np.flatnonzero(which == k))
            for k, kind in enumerate(kinds)
        ]

    def _target(self, window: Window, place: int, rows: Ints) -> Floats:
        d = self.latents.smooth[place]
        return self._score(d, window.fixed[d][rows], window.position[d][rows])

    def _hold_scores(self, window: Window, component: Ints, scores: Floats, u: Floats, v: Floats) -> Floats:
        """Shift scores (R, S) drawn freely so that held ones are met and banded ones lie in their bands."""
        bands = self._bands(window)
        out = scores.copy()
        for held, rows in self._patterns(window, np.arange(len(component))):
            for some in _split(rows, max(1, scores.shape[1] ** 2 // 4)):
                for place in held:
                    target = self._target(window, place, some)
                    self._shift(out, some, component[some], held[: held.index(place)], place, target)
                if bands:
                    self._banded(window, out, some, component[some], held, u, v)
        return out

    def _banded(
        self,
        window: Window,
        out: Floats,
        rows: Ints,
        component: Ints,
        held: list[int],
        u: Floats,
        v: Floats,
    ) -> None:
        """Move scores into their bands, in place: one by its normal, several by candidates and their weights."""
        bands, smooth = self._bands(window), self.latents.smooth
        rules = [self._rule(component, [*held, *bands[:k]], place) for k, place in enumerate(bands)]
        mean = self._marginal[0][component]
        n_tries = _TRIES if len(bands) > 1 else 1
        tries, weight = np.empty((n_tries, len(rows), len(bands))), np.zeros((n_tries, len(rows)))
        for turn in range(n_tries):
            off = [out[rows, place] - mean[:, place] for place in held]
            for k, place in enumerate(bands):
                slope, spread = rules[k]
                centre = mean[:, place].copy()
                for h, gap in enumerate(off):
                    centre += slope[:, h] * gap
                fresh = (u[rows, smooth[place]] + turn * 0.6180339887498949 * (1 + place)) % 1.0  # by rotation
                tries[turn, :, k], gain = self._into(window, place, centre, spread, fresh)
                weight[turn] += gain
                off.append(tries[turn, :, k] - mean[:, place])
        bounds = np.cumsum(np.exp(weight - weight.max(axis=0)), axis=0)
        pick = (bounds <= v[rows, smooth[bands[0]]] * bounds[-1]).sum(axis=0)
        target = tries[np.minimum(pick, n_tries - 1), np.arange(len(rows))]
        for k, place in enumerate(bands):
            self._shift(out, rows, component, [*held, *bands[:k]], place, target[:, k])

    def _into(self, window: Window, place: int, mean: Floats, spread: Floats, u: Floats) -> tuple[Floats, Floats]:
        """Return scores drawn from normals cut to a band, and the log of the mass that it has, (R,) each."""
        d = self.latents.smooth[place]
        ends = _merged(*self._pieces(d, window.share[d]))
        below, above, part = (np.array(one) for one in zip(*ends))
        low, high = (below - mean[:, None]) / spread[:, None], (above - mean[:, None]) / spread[:, None]
        flip = low > 0  # work in the lower tail, where far cells keep their mass
        mass = part * np.where(flip, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
        mass = np.where(mass.sum(axis=1, keepdims=True) > 0, mass, 1e-300)
        bounds = np.cumsum(mass, axis=1)
        at = np.minimum((bounds <= (u * bounds[:, -1])[:, None]).sum(axis=1), mass.shape[1] - 1)
        every = np.arange(len(u))
        rest = np.clip((u * bounds[:, -1] - bounds[every, at] + mass[every, at]) / mass[every, at], 0, 1)
        a, b, turned = low[every, at], high[every, at], flip[every, at]
        rest = np.where(turned, 1 - rest, rest)
        start, stop = np.where(turned, ndtr(-b), ndtr(a)), np.where(turned, ndtr(-a), ndtr(b))
        z = ndtri(np.clip(start + rest * (stop - start), 1e-300, 1 - 1e-16))
        drawn = np.clip(mean + spread * np.where(turned, -z, z), below[at], above[at])
        return drawn, np.log(np.maximum(bounds[:, -1], 1e-300))

    def _rule(self, component: Ints, held: list[int], place: int) -> tuple[Floats, Floats]:
        """Return the slopes (R, H) of one score on held ones, and its spread given them (R,), by component."""
        spread = self._marginal[1][component, place]
        if not held:
            return np.empty((len(component), 0)), spread
        root, scaled = self.latents.root, self.spread[component] ** 2
        inner = np.einsum("rs,hs,gs->rhg", scaled, root[held], root[held])
        cross = np.einsum("rs,hs,s->rh", scaled, root[held], root[place])
        slope = np.linalg.solve(inner + 1e-12 * np.eye(len(held)), cross[..., None])[..., 0]
        return slope, np.sqrt(np.maximum(spread**2 - (slope * cross).sum(axis=1), 1e-8))

    def _shift(self, out: Floats, rows: Ints, component: Ints, held: list[int], place: int, target: Floats) -> None:
        """Move one score to its target and all others by their regression on it given the held ones, in place."""
        root, scaled = self.latents.root, self.spread[component] ** 2
        cross = np.einsum("rs,ts,s->rt", scaled, root, root[place])  # (R, S): covariance with every score
        if held:
            inner = np.einsum("rs,hs,gs->rhg", scaled, root[held], root[held])
            among = np.einsum("rs,hs,ts->rht", scaled, root[held], root)  # (R, H, S)
            slope = np.linalg.solve(inner + 1e-12 * np.eye(len(held)), cross[:, held, None])[..., 0]
            cross = cross - (slope[:, :, None] * among).sum(axis=1)
        gap = target - out[rows, place]
        out[rows] += gap[:, None] * cross / np.maximum(cross[:, place, None], 1e-12)
        out[rows, place] = target

    def _mass(self, d: int, component: Ints, share: Floats) -> Floats:
        """Return the allowed mass of each code 1 .. K of a column, (len(component), K)."""
        part = self.latents.allowed(d, share)
        return self.levels[d].chance(component, np.arange(1, len(part))) * part[1:]

    def _hold_codes(self, window: Window, component: Ints, u: Floats, v: Floats, atoms: Atoms, within: Floats) -> None:
        """Write the conditioned columns into atoms, drawn within each row's component."""
        for d, share in window.share.items():
            if d in self.latents.smooth:
                atoms[:, d] = self.latents.nearest(d, atoms[:, d], share)
                continue
            for rows in _split(np.arange(len(component)), len(share)):
                mass = self._mass(d, component[rows], share)
                mass = np.where(mass.sum(axis=1, keepdims=True) > 0, mass, self.latents.allowed(d, share)[1:])
                bounds = np.cumsum(mass, axis=1)
                at = (bounds <= (u[rows, d] * bounds[:, -1])[:, None]).sum(axis=1)
                last = mass.shape[1] - 1 - (mass[:, ::-1] > 0).argmax(axis=1)
                codes = np.minimum(at, last) + 1
                atoms[rows, d], within[rows, d] = self.latents.atoms(d, codes, v[rows, d], share)
        for d, fixed in window.fixed.items():
            atoms[:, d] = np.where(fixed == FREE, atoms[:, d], fixed)

    # ------------------------------------------------------------------ on disk
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` reads."""
        out: dict[str, NDArray[Any]] = {"share": self.share, "mean": self.mean, "spread": self.spread}
        for room, ones in (("levels", self.levels), ("gates", self.gates)):
            for d, one in enumerate(ones):
                out |= {f"{room}_{name}": array for name, array in one.arrays(d).items()}
        return out | {f"latents_{name}": array for name, array in self.latents.arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], n_columns: int) -> Mixture:
        """Read what `arrays` gave."""
        parts = {
            room: {name.removeprefix(f"{room}_"): one for name, one in arrays.items() if name.startswith(f"{room}_")}
            for room in ("latents", "levels", "gates")
        }
        latents = Latents.from_arrays(parts["latents"], n_columns)
        return cls(
            latents,
            arrays["share"],
            tuple(Levels.from_arrays(parts["levels"], d) for d in range(n_columns)),
            tuple(Levels.from_arrays(parts["gates"], g) for g in range(latents.missing.n_groups)),
            arrays["mean"],
            arrays["spread"],
        )


def _split(rows: Ints, width: int) -> list[Ints]:
    """Cut rows into parts whose arrays of this width stay small."""
    step = max(1, _CELLS // max(1, width))
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _distinct(window: Window, n: int) -> tuple[Ints, Ints]:
    """Return a row of each distinct set of exact conditions, and for each row which set is its own."""
    if not window.fixed:
        return np.zeros(min(1, n), dtype=np.int64), np.zeros(n, dtype=np.int64)
    facts: list[NDArray[Any]] = list(window.fixed.values())
    facts += [np.where(fixed == FREE, 0.0, window.position[d]) for d, fixed in window.fixed.items()]
    _, first, which = np.unique(np.stack(facts, axis=1), axis=0, return_index=True, return_inverse=True)
    return first, np.asarray(which).reshape(-1)


def _merged(below: Floats, above: Floats, part: Floats) -> list[tuple[float, float, float]]:
    """Join neighbouring intervals that are allowed in full."""
    out: list[tuple[float, float, float]] = []
    for low, high, one in zip(below, above, part):
        if out and out[-1][1] == low and out[-1][2] == one == 1.0:
            out[-1] = (out[-1][0], float(high), 1.0)
        else:
            out.append((float(low), float(high), float(one)))
    return out


def _by_weight(weight: Floats, u: Floats, which: Ints) -> Ints:
    """Return one entry per row by log weights (P, C); `which` says whose row of weights."""
    bounds = np.cumsum(np.exp(weight - weight.max(axis=1, keepdims=True)), axis=1)
    out = np.empty(len(u), dtype=np.int64)
    order = np.argsort(which, kind="stable")
    cuts = np.searchsorted(which[order], np.arange(len(bounds) + 1))
    for p in range(len(bounds)):
        rows = order[cuts[p] : cuts[p + 1]]
        out[rows] = np.searchsorted(bounds[p], u[rows] * bounds[p, -1], side="right")
    return np.minimum(out, bounds.shape[1] - 1)
