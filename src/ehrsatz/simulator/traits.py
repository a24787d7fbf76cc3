"""Latent scores: one standard-normal z per process and person, lasting in part, drifting in part, correlated.

Each process has a source of its own: a lifelong normal number and a drift that is an AR(1) chain over whole years of
age, mixed to unit variance. The z of a process is a fixed combination of sources (a row of the Cholesky factor of the
correlation matrix), so that correlations are exact at every age; its persistence is that of the sources it mixes.
Between whole years z is linear and brought back to unit variance.

Every draw is addressed by person number, process and year: it depends neither on the span asked for nor on who else
is in the shard. Yearly steps of the drift take normals from a table of 8,192 midpoints, four to a random word;
lifelong parts take them at full precision.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.errors import UnknownNameError, nearest
from ehrsatz.seeds import addressed
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.process import Processes

BITS = 13  # of a normal of the drift
PER_WORD = 4  # normals from one word of 53 random bits
BLOCK = 40  # years of age whose scores are drawn and mixed at once
AFTER = 2  # years past the span of a person that are read: of the year after the one in which it ends
FAINT = 0.004  # weights below this are left out of a mixture, and the rest is scaled to unit variance


class Latent:
    """Scores of N people over T whole years of age, made when first asked for and kept.

    Parameters
    ----------
    seed
        Of the cohort.
    processes
        Their persistence and correlations.
    number
        Shape (N,), numbers of the people in the whole cohort.
    n_years
        T; scores at ages 0 to T - 1, and moments up to T.
    span
        (N,) age up to which a person's scores are asked for; those from two years after it on mean nothing, which
        saves half the work. None: all are made.
    """

    def __init__(self, seed: int, processes: Processes, number: Ints, n_years: int, span: Floats | None = None) -> None:
        self._seed, self._processes = seed, processes
        self._number, self._years = np.asarray(number), int(n_years) + 1
        needed = np.full(len(self._number), self._years)
        if span is not None:
            needed = np.clip(np.ceil(span).astype(np.int64) + AFTER, 1, self._years)
        self._order = np.argsort(-needed, kind="stable")  # those of the most years first, so that years are prefixes
        self._column = np.empty(len(needed), np.int64)
        self._column[self._order] = np.arange(len(needed))
        self._people = np.searchsorted(-needed[self._order], -np.arange(1, self._years + 1), side="right")  # by year
        self._place = {name: i for i, name in enumerate(processes.names)}
        self._mixtures, self._yearly = _mixtures(processes)
        self._sources: NDArray[np.float32] | None = None
        self._scores: dict[str, NDArray[np.float32]] = {}
        self._picked: tuple[Ints, Ints, NDArray[np.float32]] | None = None  # people and years asked for last, sources

    def grid(self, process: str) -> NDArray[np.float32]:
        """Return z (N, T) of a process at whole ages.

        Raises
        ------
        UnknownNameError
            When there is no such process.
        """
        return self._score(process)[:, : self._years - 1]

    def points(self, process: str, person: Ints, year: Ints) -> NDArray[np.float32]:
        """Return z (R,) of people (R,), at whole ages (R,): those of `grid` alone."""
        held = self._scores.get(process)
        if held is not None:
            return held.reshape(-1).take(person * self._years + year)
        if self._sources is None:
            self._sources = self._draw()
        if self._picked is None or self._picked[0] is not person or self._picked[1] is not year:
            at = year * self._sources.shape[2] + self._column[person]
            flat = self._sources.reshape(len(self._sources), -1)
            self._picked = (person, year, np.array([source.take(at) for source in flat]))  # (P, R)
        picked = self._picked[2]
        out = np.zeros(len(person), np.float32)
        for source, weight in self._mixtures[self._place[process]]:
            out += picked[source] * weight
        return out

    def at(self, process: str, person: Ints, age: Floats) -> Floats:
        """Return z (R,) of people (R,), positions in the shard, at ages (R,) from 0 to T in years."""
        score = self._score(process)
        place = np.clip(age, 0, self._years - 1)
        low = np.minimum(place.astype(np.int64), self._years - 2)
        part = place - low
        index = person * self._years + low
        flat = score.reshape(-1)
        below = flat.take(index).astype(np.float64)
        mixed = below + part * (flat.take(index + 1) - below)
        together = self._yearly[self._place[process]]
        return mixed / np.sqrt((1 - part) ** 2 + part**2 + 2 * part * (1 - part) * together)

    def _score(self, process: str) -> NDArray[np.float32]:
        """Return z (N, T + 1) of a process."""
        if process not in self._scores:
            if process not in self._place:
                raise UnknownNameError(
                    f"Expected the name of a process, found '{process}'.{nearest(process, self._place)}"
                )
            if self._sources is None:
                self._sources = self._draw()
            out = np.zeros((self._years, len(self._number)), np.float32)  # (T + 1, N)
            part = np.empty_like(out)
            mixture = self._mixtures[self._place[process]]
            for first, last, n in self._blocks():
                there, sum_ = part[first:last, :n], out[first:last, :n]
                for source, weight in mixture:  # no matrix product: its sums depend on N
                    np.multiply(self._sources[source, first:last, :n], weight, out=there)
                    sum_ += there
            scores = np.empty((out.shape[1], out.shape[0]), np.float32)
            scores[self._order] = out.T  # (T + 1, N) -> (N, T + 1)
            self._scores[process] = scores
        return self._scores[process]

    def _blocks(self) -> list[tuple[int, int, int]]:
        """Return from which year to which the first so many people, in the order of their years, have scores."""
        edges = np.unique(np.append(np.arange(0, self._years, BLOCK), self._years))
        return [(int(a), int(b), int(self._people[a])) for a, b in pairwise(edges)]

    def _draw(self) -> NDArray[np.float32]:
        """Return the independent sources of all processes (P, T + 1, N), people in the order of their years."""
        ones = self._processes.processes
        n, years = len(self._number), self._years
        normal = _normals()
        number = self._number[self._order]
        out = np.zeros((len(ones), -(-years // PER_WORD) * PER_WORD, n), np.float32)
        fixed = np.empty((len(ones), n), np.float32)
        blocks = self._blocks()
        for k, (_, last, high) in enumerate(blocks):  # those who need the words of this block, and of none after it
            low = blocks[k + 1][2] if k + 1 < len(blocks) else 0
            words = -(-last // PER_WORD)
            for i, one in enumerate(ones if high > low else ()):
                draws = addressed(self._seed, "simulator", "latent", one.id, subjects=number[low:high], width=1 + words)
                fixed[i, low:high] = ndtri(np.maximum(draws[:, 0], 2.0**-54)) * np.sqrt(one.persistence.lifelong)
                bits = (draws[:, 1:].T * 2.0 ** (BITS * PER_WORD)).astype(np.int64)  # (N, W) -> (W, N)
                for j in range(PER_WORD):
                    drawn = normal.take((bits >> (BITS * j)) & (2**BITS - 1))
                    out[i, j : words * PER_WORD : PER_WORD, low:high] = drawn
        yearly = np.array([one.persistence.yearly for one in ones], np.float32)[:, None]
        drift = np.sqrt(1 - np.array([one.persistence.lifelong for one in ones], np.float32))[:, None]
        step = np.sqrt(1 - yearly**2)
        state = out[:, 0].copy()  # (P, N)
        out[:, 0] = state * drift + fixed
        for year in range(1, years):
            some = self._people[year]
            state = state[:, :some]
            now = out[:, year, :some]
            state *= yearly
            state += step * now
            np.multiply(state, drift, out=now)
            now += fixed[:, :some]
        return out[:, :years]


def latent(seed: int, processes: Processes, number: Ints, n_years: int, span: Floats | None = None) -> Latent:
    """Return the scores of people (N,) over whole years of age; nothing is drawn until it is asked for.

    Examples
    --------
    >>> from ehrsatz.simulator.process import standard
    >>> alone = latent(7, standard(), np.array([5]), 30).grid("sbp")
    >>> among = latent(7, standard(), np.arange(9), 60).grid("sbp")
    >>> bool((alone[0] == among[5, :30]).all())
    True
    """
    return Latent(seed, processes, number, n_years, span)


@lru_cache(maxsize=1)
def _normals() -> NDArray[np.float32]:
    """Return 2^BITS normal quantiles at midpoints, of exactly unit variance."""
    values = ndtri((np.arange(2**BITS) + 0.5) / 2**BITS)
    return (values / values.std()).astype(np.float32)


def _mixtures(processes: Processes) -> tuple[list[list[tuple[int, np.float32]]], Floats]:
    """Return for every process the sources with their weights, and the correlation of its z over one year (P,).

    Processes with most partners come first in the factor, so that rows stay short.
    """
    matrix = processes.matrix
    order = np.argsort(-(np.abs(matrix) > 0.01).sum(axis=0), kind="stable")
    factor = np.linalg.cholesky(matrix[np.ix_(order, order)])
    lifelong = np.array([one.persistence.lifelong for one in processes.processes])
    yearly = np.array([one.persistence.yearly for one in processes.processes])
    of_source = lifelong + (1 - lifelong) * yearly
    mixtures: list[list[tuple[int, np.float32]]] = [[] for _ in order]
    together = np.zeros(len(order))
    for row, process in enumerate(order):
        weights = np.where(np.abs(factor[row]) < FAINT, 0, factor[row])
        weights = weights / np.sqrt((weights**2).sum())
        used = np.flatnonzero(weights)
        mixtures[process] = [(int(order[i]), np.float32(weights[i])) for i in used]
        together[process] = float((weights[used] ** 2 * of_source[order[used]]).sum())
    return mixtures, together
