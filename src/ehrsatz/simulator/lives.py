"""The growing lives of one shard: who is there, what was drawn so far, and the levels that follow from it.

Time is age in years; arrays over it are (N, T) with column t for the year of age [t, t + 1). What happens within a
year has an exact age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ehrsatz.seeds import addressed
from ehrsatz.simulator.history import Deliveries, Flags, Floats, Ints
from ehrsatz.simulator.module import Condition, Effect, Episode, Treatment

Singles = NDArray[np.float32]
CANDIDATE = np.int64(1) << np.int64(40)  # candidate j of a person draws under number + j * CANDIDATE


@dataclass(frozen=True)
class Pin:
    """What a quota fixes about one condition or episode for each of N people.

    `before`: it must have begun before this age (NaN: free). `since`: and not before this one. `never`: it must not
    come. `stage`: the stage that must be reached, and no later one, at the age `until` (-1: free). `until`: it must
    still be there at this age.
    """

    before: Floats
    since: Floats
    never: Flags
    stage: Ints
    until: Floats

    def holds(self, rows: Ints, age: Floats) -> Flags:
        """Return whether moments (K,) of people lie where their pin wants one; False for the free."""
        low = np.nan_to_num(self.since[rows], nan=0.0)
        return (age >= low) & (age < np.nan_to_num(self.before[rows], nan=-1.0))


@dataclass(frozen=True)
class Influence:
    """One effect on one process, of those people, between those ages."""

    effect: Effect
    rows: Ints
    start: Floats
    stop: Floats
    scale: Floats | None  # adherence of a drug; None: full


@dataclass
class Course:
    """One drug's use, in ages."""

    treatment: Treatment
    reason: str
    source: str
    rows: Ints
    start: Floats
    stop: Floats
    stopped: Ints
    attack: Ints


@dataclass
class Spell:
    """One condition's course, in ages; `stage_from` (K, S): inf never, NaN skipped."""

    condition: Condition
    rows: Ints
    onset: Floats
    diagnosed: Floats
    stop: Floats
    stage_from: Floats


@dataclass
class Attack:
    """One kind of episode, in ages."""

    episode: Episode
    rows: Ints
    ordinal: Ints
    onset: Floats
    stop: Floats
    care: Ints
    seen: Floats
    stay: Floats
    icu_from: Floats
    icu_days: Floats
    fatal: Flags


class Lives:
    """What the parts of the engine read and add to, in causal order.

    Parameters
    ----------
    seed
        Seed of the cohort.
    number
        (N,) numbers to draw under; of a candidate, plus j * CANDIDATE.
    birth, sex
        (N,) day of birth; 0 female, 1 male.
    span
        (N,) age at the reference date.
    window
        (N,) age at the start of the window in which people may die; 0 for those born in it.
    attributes
        Name -> (words, (N,) positions in them).
    adherence
        (N,) share of doses taken.
    smoked
        Two arrays (N,): age of starting and of quitting, NaN where never.
    bodies
        Gives natural levels and z-scores on whole ages.
    """

    def __init__(
        self,
        *,
        seed: int,
        number: Ints,
        birth: Floats,
        sex: Ints,
        span: Floats,
        window: Floats,
        attributes: Mapping[str, tuple[tuple[str, ...], Ints]],
        adherence: Floats,
        smoked: tuple[Floats, Floats],
        bodies: Bodies,
    ) -> None:
        self.seed, self.number, self.birth, self.sex = seed, number, birth, sex
        self.span, self.window = span, window
        self.attributes, self.adherence, self.smoked = attributes, adherence, smoked
        self.deliveries: Deliveries | None = None
        self.bodies = bodies
        self.n = len(number)
        self.years = max(1, int(np.ceil(span.max()))) if self.n else 1
        self.starts: dict[str, Floats] = {}  # condition -> (N,) age of onset, inf: never
        self.stops: dict[str, Floats] = {}
        self.spells: dict[str, Spell] = {}
        self.attacks: dict[str, Attack] = {}
        self.courses: list[Course] = []
        self.influences: dict[str, list[Influence]] = {}
        self.weight = np.zeros(self.n)  # log probability of what was pinned
        self.taking: dict[tuple[str, str], Floats] = {}  # condition, drug -> (N,) age at which it must be taken, or NaN
        self._treated: dict[str, tuple[int, Singles]] = {}
        self._extremes: dict[tuple[str, bool], tuple[Singles, Floats, Floats]] = {}

    def draw(self, name: str, what: str, rows: Ints, position: Ints | None = None, width: int = 1) -> Floats:
        """Return uniform numbers (R, width) of these people for one purpose."""
        return addressed(
            self.seed, "simulator", name, what, subjects=self.number[rows], positions=position, width=width
        )

    # ------------------------------------------------------------------ levels
    def natural(self, process: str) -> Singles:
        """Return the level (N, T) of a process as it would be without conditions and drugs."""
        return self.bodies.level(process)

    def treated(self, process: str) -> Singles:
        """Return the level (N, T) of a process with everything that was drawn so far."""
        found = self.influences.get(process, [])
        version, grid = self._treated.get(process, (-1, None))
        if grid is None or version != len(found):
            grid = self._with(process, found)
            self._treated[process] = (len(found), grid)
        return grid

    def extremes(self, process: str, *, treated: bool = False) -> tuple[Floats, Floats]:
        """Return the lowest and the highest level (N,) of a process over all years of age."""
        grid = self.treated(process) if treated else self.natural(process)
        held = self._extremes.get((process, treated))
        if held is None or held[0] is not grid:
            held = (grid, grid.min(axis=1).astype(np.float64), grid.max(axis=1).astype(np.float64))
            self._extremes[process, treated] = held
        return held[1], held[2]

    def forget(self) -> None:
        """Make levels anew: ends of courses were changed."""
        self._treated.clear()
        self._extremes.clear()

    def let_go(self) -> None:
        """Give back the memory of levels: only spells, attacks and courses are read from now on."""
        self._treated.clear()
        self.influences.clear()
        self.bodies.let_go()

    def _with(self, process: str, found: list[Influence]) -> Singles:
        grid = self.natural(process).copy()
        grid = self._healthy(grid, found)
        for want in (True, False):  # ranges first, then shifts and ratios
            for one in found:
                if (one.effect.low is not None) is want and len(one.rows):
                    _apply(grid, one, self.bodies.score(process) if want else None)
        low, high = self.bodies.bounds(process)
        return np.clip(grid, low, high, out=grid)

    def healthy(self, process: str) -> Singles:
        """Return the natural level (N, T) of a process within the bounds that conditions set for those without them."""
        return self._healthy(self.natural(process), self.influences.get(process, []))

    def healthy_at(self, process: str, person: Ints, year: Ints) -> Singles:
        """Return the same (R,) of people (R,) in years of age (R,) alone."""
        return self._healthy(self.bodies.level_at(process, person, year), self.influences.get(process, []))

    def _healthy(self, grid: Singles, found: list[Influence]) -> Singles:
        tops = [one.effect.healthy_max for one in found if one.effect.healthy_max is not None]
        bottoms = [one.effect.healthy_min for one in found if one.effect.healthy_min is not None]
        if tops:
            grid = _squash(grid, min(tops))
        return -_squash(-grid, -max(bottoms)) if bottoms else grid

    def influence(
        self, effects: Iterable[Effect], rows: Ints, start: Floats, stop: Floats, scale: Floats | None
    ) -> None:
        """Note effects of people between ages; those of nobody too, for the bounds of the healthy."""
        for effect in effects:
            if effect.low is not None and effect.years > 0:  # the level is reached when the condition is, not after it
                begin = np.maximum(start - effect.years, 0)
                self.influences.setdefault(effect.process, []).append(Influence(effect, rows, begin, stop, scale))
                continue
            self.influences.setdefault(effect.process, []).append(Influence(effect, rows, start, stop, scale))

    # ------------------------------------------------------------------ what came first
    def first(self, name: str) -> Floats:
        """Return the age (N,) at which a condition or the first episode of a kind began, inf where never."""
        found = self.starts.get(name)
        return np.full(self.n, np.inf) if found is None else found

    def active(self, name: str, rows: Ints, age: Floats) -> Flags:
        """Return whether people have a condition at an age (R,)."""
        if name not in self.stops:  # unknown, or an episode
            return np.zeros(len(rows), bool)
        return (self.starts[name][rows] <= age) & (age < self.stops[name][rows])


class Bodies:
    """Natural levels of the processes of a shard, made when first asked for and kept.

    Parameters
    ----------
    z
        process -> (N, T) scores.
    natural
        process, scores -> (N, T) levels.
    bounds
        process -> lowest and highest plausible level.
    z_at, natural_at
        The same of people (R,) in years of age (R,): process, person, year -> (R,) scores, and process, person, year,
        scores -> (R,) levels. None: they are read from the whole.
    """

    def __init__(
        self,
        z: Callable[[str], Singles],
        natural: Callable[[str, Singles], Floats],
        bounds: Callable[[str], tuple[float, float]],
        z_at: Callable[[str, Ints, Ints], Singles] | None = None,
        natural_at: Callable[[str, Ints, Ints, Singles], Floats] | None = None,
    ) -> None:
        self._z, self._natural, self._bounds = z, natural, bounds
        self._z_at, self._natural_at = z_at, natural_at
        self._expected: tuple[Ints, Ints, int, NDArray[np.int32]] | None = None
        self._some: dict[tuple[str, str], Singles] = {}
        self._scores: dict[str, Singles] = {}
        self._levels: dict[str, Singles] = {}

    def score(self, process: str) -> Singles:
        """Return the scores (N, T) of a process."""
        if process not in self._scores:
            self._scores[process] = self._z(process)
        return self._scores[process]

    def level(self, process: str) -> Singles:
        """Return the natural levels (N, T) of a process."""
        if process not in self._levels:
            self._levels[process] = self._natural(process, self.score(process)).astype(np.float32)
        return self._levels[process]

    def expect(self, person: Ints, year: Ints, n: int, years: int) -> None:
        """Take note of people (U,) and years of age (U,), none twice, that are asked for together, of (n, years)."""
        place = np.full(n * years, -1, np.int32)
        place[person * years + year] = np.arange(len(person))
        self._expected = (person, year, years, place)
        self._some.clear()

    def score_at(self, process: str, person: Ints, year: Ints) -> Singles:
        """Return the scores (R,) of people (R,) in years of age (R,), without making those of the others."""
        if process in self._scores or self._z_at is None:
            return self.score(process)[person, year]
        found = self._noted(person, year)
        return self._z_at(process, person, year) if found is None else self._expected_of("z", process).take(found)

    def level_at(self, process: str, person: Ints, year: Ints) -> Singles:
        """Return the natural levels (R,) of people (R,) in years of age (R,), without making those of the others."""
        if process in self._levels or self._z_at is None or self._natural_at is None:
            return self.level(process)[person, year]
        found = self._noted(person, year)
        if found is not None:
            return self._expected_of("level", process).take(found)
        return self._natural_at(process, person, year, self.score_at(process, person, year)).astype(np.float32)

    def _noted(self, person: Ints, year: Ints) -> NDArray[np.int32] | None:
        """Return the positions (R,) among what is expected; None where one is not."""
        if self._expected is None:
            return None
        _, _, years, place = self._expected
        found = place.take(person * years + year)
        return found if found.min(initial=0) >= 0 else None

    def _expected_of(self, what: str, process: str) -> Singles:
        """Return scores or natural levels (U,) of what is expected."""
        held = self._some.get((what, process))
        if held is None:
            assert self._expected is not None and self._z_at is not None and self._natural_at is not None
            person, year = self._expected[:2]
            if what == "z":
                held = self._z_at(process, person, year)
            else:
                z = self.score(process)[person, year] if process in self._scores else self._expected_of("z", process)
                held = self._natural_at(process, person, year, z).astype(np.float32)
            self._some[what, process] = held
        return held

    def let_go(self) -> None:
        """Give back the memory of scores and levels; none can be asked for from now on."""
        self._scores.clear()
        self._levels.clear()
        self._some.clear()
        self._z, self._z_at, self._natural_at = _gone, None, None

    def bounds(self, process: str) -> tuple[float, float]:
        """Return the lowest and highest plausible level."""
        return self._bounds(process)


def _gone(process: str) -> Singles:
    raise AssertionError(f"the levels of {process} were given back")


def overlap(start: Floats, stop: Floats, first: int, last: int) -> Floats:
    """Return the share (K, last - first) of each year of age that lies between start and stop (K,)."""
    year = np.arange(first, last, dtype=np.float64)
    out = np.minimum(year + 1, stop[:, None])
    out -= np.maximum(year, start[:, None])
    np.maximum(out, 0, out=out)
    return np.minimum(out, 1, out=out)


def _apply(grid: Singles, one: Influence, score: Singles | None) -> None:
    """Put one influence on a grid (N, T) in place."""
    last = grid.shape[1]
    first = int(np.clip(np.floor(one.start.min()), 0, last)) if len(one.start) else last
    if first >= last:
        return
    share = overlap(one.start, one.stop, first, last)
    if one.effect.years > 0:
        mid = np.arange(first, last) + 0.5
        share *= np.clip((mid - one.start[:, None]) / one.effect.years, 0, 1)
    if one.scale is not None:
        share *= one.scale[:, None]
    now = grid[one.rows, first:last]
    effect = one.effect
    if effect.shift is not None:
        now += effect.shift * share
    elif effect.ratio is not None:
        now *= 1 + (effect.ratio - 1) * share
    else:
        assert score is not None and effect.low is not None and effect.high is not None
        wanted = effect.low + (effect.high - effect.low) * ndtr(score[one.rows, first:last])
        now += share * (wanted - now)
    grid[one.rows, first:last] = now


def _squash(grid: Singles, top: float) -> Singles:
    """Bend what lies above the last tenth below `top` so that it stays below it, in order."""
    width = max(abs(top) * 0.1, 1e-6)
    start = top - width
    over = np.maximum(grid - start, 0)
    return np.where(over > 0, start + width * (1 - np.exp(-over / width)), grid).astype(np.float32)
