"""Read any process of any person at any moment: the yearly level, growth in childhood, and acute episodes on top."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from scipy.special import ndtr

from ehrsatz.simulator.history import YEAR, Floats, Ints
from ehrsatz.simulator.lives import Attack, Influence, Lives
from ehrsatz.simulator.module import Course

GROWING = ("height", "bmi", "head")  # read from growth charts below GROWN
GROWN = 20.0  # years
FEW = 8  # a moment costs as much as so many years of a whole grid
FORGOTTEN = 6.0  # half-lives after which an episode has left no trace
Growth = Callable[[str, Ints, Floats, Floats], Floats]  # kind, sex, age in years, z -> value


class Readings:
    """Levels of a shard: `Lives` with exact moments.

    Parameters
    ----------
    lives
        Complete.
    growth
        Reads a growth chart.
    """

    def __init__(self, lives: Lives, growth: Growth) -> None:
        self._lives, self._growth = lives, growth
        self._runs: dict[str, _Runs | None] = {}
        self._moving: dict[str, list[tuple[Attack, Course]]] = {}  # process -> what moves it
        self._natural: dict[str, np.ndarray] = {}
        self._begins: dict[tuple[str, int], Floats] = {}
        self._places: dict[tuple[str, int], Ints] = {}

    def at(self, process: str, person: Ints, time: Floats) -> Floats:
        """Return the true level (R,) of a process of people (R,) at moments (R,), days since 1970-01-01."""
        lives = self._lives
        age = np.maximum((time - lives.birth[person]) / YEAR, 0.0)
        natural = self._between(process, person, age)
        if process in GROWING:
            natural = self._grown(process, person, age, natural)
        value = self._moved(process, natural, person, age)
        run = self._run(process)
        if run is not None:
            value = run.on(value, person, age)
        low, high = lives.bodies.bounds(process)
        return np.clip(value, low, high)

    def expect(self, person: Ints, time: Floats) -> None:
        """Take note of moments (R,) of people (R,) that levels will be asked for, so that each is made but once."""
        lives = self._lives
        age = np.maximum((time - lives.birth[person]) / YEAR, 0.0)
        last = lives.years - 1
        years = [np.clip(age - middle, 0, last).astype(np.int64) for middle in (0.5, 0.0)]
        every = np.unique(
            np.concatenate([person * lives.years + np.minimum(year + k, last) for year in years for k in (0, 1)])
        )
        lives.bodies.expect(every // lives.years, every % lives.years, lives.n, lives.years)

    def bounds(self, process: str) -> tuple[float, float]:
        """Return the lowest and the highest plausible level of a process."""
        return self._lives.bodies.bounds(process)

    def _between(self, process: str, person: Ints, age: Floats) -> Floats:
        """Return natural levels (R,) within the bounds of the healthy; of few moments, those of their years alone."""
        lives = self._lives
        if process not in self._natural and len(person) * FEW > lives.n * lives.years:
            self._natural[process] = lives.healthy(process)
        grid = self._natural.get(process)
        if grid is not None:
            return _mixed(lambda who, year: grid[who, year], lives.years, person, age)
        return _mixed(partial(lives.healthy_at, process), lives.years, person, age)

    def _z(self, process: str, person: Ints, age: Floats, middle: float) -> Floats:
        """Return scores (R,) of people at ages."""
        lives = self._lives
        return _mixed(partial(lives.bodies.score_at, process), lives.years, person, age, middle)

    def _moved(self, process: str, value: Floats, person: Ints, age: Floats) -> Floats:
        """Return levels (R,) with what conditions and drugs do to them at that very moment: ranges first."""
        lives = self._lives
        found = [one for one in lives.influences.get(process, ()) if len(one.rows)]
        out = value
        for want in (True, False):
            for k, one in enumerate(found):
                if (one.effect.low is not None) is not want:
                    continue
                begin = self._begin(process, k, one)
                at = np.flatnonzero(begin[person] <= age)
                if len(at):
                    if out is value:
                        out = value.copy()
                    self._apply(process, k, one, out, at, person[at], age[at])
        return out

    def _begin(self, process: str, k: int, one: Influence) -> Floats:
        """Return when an influence begins for each person (N,), inf: never."""
        key = (process, k)
        if key not in self._begins:
            begin = np.full(self._lives.n, np.inf)
            begin[one.rows] = one.start
            place = np.zeros(self._lives.n, np.int64)
            place[one.rows] = np.arange(len(one.rows))
            self._begins[key], self._places[key] = begin, place
        return self._begins[key]

    def _apply(self, process: str, k: int, one: Influence, out: Floats, at: Ints, person: Ints, age: Floats) -> None:
        place = self._places[process, k][person]
        on = age < one.stop[place]
        at, person, age, place = at[on], person[on], age[on], place[on]
        if not len(at):
            return
        effect = one.effect
        share = np.ones(len(at)) if one.scale is None else one.scale[place]
        if effect.years > 0:
            share = share * np.clip((age - one.start[place]) / effect.years, 0, 1)
        now = out[at]
        if effect.shift is not None:
            out[at] = now + effect.shift * share
        elif effect.ratio is not None:
            out[at] = now * (1 + (effect.ratio - 1) * share)
        else:
            assert effect.low is not None and effect.high is not None
            rank = ndtr(self._z(process, person, age, 0.5))
            out[at] = now + share * (effect.low + (effect.high - effect.low) * rank - now)

    def _grown(self, process: str, person: Ints, age: Floats, value: Floats) -> Floats:
        """Return natural levels (R,) with those of children read from growth charts."""
        lives = self._lives
        young = np.flatnonzero(age < GROWN)
        if not len(young):
            return value
        who, years, sex = person[young], age[young], lives.sex[person[young]]
        z = self._z(process, who, years, 0.0)
        if process == "bmi":
            chart = np.empty(len(who))
            baby = years < 2
            z_height = self._z("height", who, years, 0.0)
            metres = self._growth("height", sex[baby], years[baby], z_height[baby]) / 100
            heavy = (0.6 * z[baby] + 0.5 * z_height[baby]) / np.sqrt(0.6**2 + 0.5**2)
            chart[baby] = self._growth("weight", sex[baby], years[baby], heavy) / metres**2
            chart[~baby] = self._growth("bmi", sex[~baby], years[~baby], z[~baby])
        else:
            chart = self._growth(process, sex, years, z)
        out = value.copy()
        out[young] = chart
        return out

    def _run(self, process: str) -> _Runs | None:
        if process not in self._runs:
            if not self._moving:
                for attack in self._lives.attacks.values():
                    for course in attack.episode.course if len(attack.rows) else ():
                        self._moving.setdefault(course.process, []).append((attack, course))
            parts = self._moving.get(process)
            self._runs[process] = _Runs(self._lives, process, parts) if parts else None
        return self._runs[process]


class _Runs:
    """All episodes that move one process, sorted by person and time; the last one before a moment counts."""

    def __init__(self, lives: Lives, process: str, parts: Iterable[tuple[Attack, Course]]) -> None:
        rows, onset, shift, ratio, peak, half = [], [], [], [], [], []
        for attack, course in parts:
            u = lives.draw(attack.episode.id, f"run {process}", attack.rows, attack.ordinal)[:, 0]
            size = np.exp(course.spread * 1.7 * np.log(np.maximum(u, 1e-9) / np.maximum(1 - u, 1e-9)) / 3)
            n = len(attack.rows)
            rows.append(attack.rows)
            onset.append(attack.onset)
            shift.append((course.shift or 0.0) * size)
            ratio.append(np.full(n, 0.0) if course.ratio is None else np.log(course.ratio) * size)
            peak.append(np.full(n, max(course.peak_days, 0.02)))
            half.append(np.full(n, course.half_life_days))
        person, start = np.concatenate(rows), np.concatenate(onset)
        order = np.lexsort((start, person))
        self.rows, self.onset = person[order], start[order]
        self.shift, self.ratio, self.peak, self.half = (
            np.concatenate(one)[order] for one in (shift, ratio, peak, half)
        )
        self._key = self.rows * 256.0 + self.onset

    def on(self, value: Floats, person: Ints, age: Floats) -> Floats:
        """Return levels (R,) with what the last episode before the moment does to them."""
        at = np.searchsorted(self._key, person * 256.0 + age, side="right") - 1
        near = np.flatnonzero((at >= 0) & (self.rows[np.maximum(at, 0)] == person))
        at = at[near]
        days = (age[near] - self.onset[at]) * YEAR
        fresh = days < self.peak[at] + FORGOTTEN * self.half[at]
        near, at, days = near[fresh], at[fresh], days[fresh]
        past = np.maximum(days - self.peak[at], 0)
        share = np.minimum(days / self.peak[at], 1) * np.exp2(-past / self.half[at])
        out = value.copy()
        out[near] = (value[near] + self.shift[at] * share) * np.exp(self.ratio[at] * share)
        return out


def _mixed(
    at: Callable[[Ints, Ints], np.ndarray], years: int, person: Ints, age: Floats, middle: float = 0.5
) -> Floats:
    """Read what stands for age t + middle in year t, linear in between."""
    last = years - 1
    place = np.clip(age - middle, 0, last)
    low = place.astype(np.int64)
    part = place - low
    below = at(person, low).astype(np.float64)
    return below + part * (at(person, low + (low < last)) - below)
