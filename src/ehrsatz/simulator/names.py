"""Names of people: given names by sex and year of birth, family names by group, each as often as it is borne."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.seeds import addressed
from ehrsatz.simulator.locale import Locale

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OWN = 0.5  # share of a group that takes given names of its own, where the locale lists some; assumed


@dataclass(frozen=True)
class Pools:
    """Several weighted lists laid end to end: pool p owns the marks in (p, p + 1]."""

    words: pl.Series
    marks: Floats  # (W,) p plus the cumulative share within pool p

    def draw(self, pool: Ints, u: Floats) -> Ints:
        """Return places (N,) in `words`, drawn from each row's pool."""
        return np.searchsorted(self.marks, pool + np.minimum(u, 1 - 2.0**-40), side="right").astype(np.int64)


def pools(lists: Sequence[Sequence[tuple[str, float]]]) -> Pools:
    """Return weighted lists as one; a list may not be empty."""
    words: list[str] = []
    marks: list[Floats] = []
    for place, entries in enumerate(lists):
        weights = np.array([weight for _, weight in entries], float)
        share = np.cumsum(weights / weights.sum())
        share[-1] = 1.0
        words += [word for word, _ in entries]
        marks.append(place + share)
    return Pools(pl.Series(words, dtype=pl.String), np.concatenate(marks))


def given_names(seed: int, locale: Locale, number: Ints, sex: Ints, birth: Floats, group: Ints) -> pl.Series:
    """Return given names (N,).

    Parameters
    ----------
    number
        Shape (N,), numbers of the people.
    sex, group
        Shape (N,), 0 female, 1 male; position in the groups of the locale.
    birth
        Shape (N,), day of birth since 1970-01-01.
    """
    lists, eras, own = _given(locale)
    u = addressed(seed, "simulator", "given name", subjects=number, width=2)
    year = np.floor(birth / 365.2425) + 1970
    era = np.maximum(np.searchsorted(eras, year, side="right") - 1, 0)
    pool = sex * len(eras) + era
    special = own[sex, group]
    pool = np.where((special >= 0) & (u[:, 0] < OWN), special, pool)
    return lists.words.gather(lists.draw(pool, u[:, 1]))


def family_names(seed: int, locale: Locale, key: Ints, group: Ints, *, name: str = "family name") -> pl.Series:
    """Return family names (N,) that belong to keys (N,): who shares key and group shares the name.

    A newborn takes its father's or mother's number as its key.
    """
    lists = _family(locale)
    u = addressed(seed, "simulator", name, subjects=key)[:, 0]
    return lists.words.gather(lists.draw(group, u))


@lru_cache(maxsize=8)
def _given(locale: Locale) -> tuple[Pools, Ints, Ints]:
    """Return the pools, the first years of the eras, and the pool (2, groups) of each group's own names (-1: none)."""
    eras = sorted({name.since for name in locale.given if name.group == "*"})
    lists: list[list[tuple[str, float]]] = []
    for sex in ("female", "male"):
        for era in eras:
            lists.append([(n.name, n.weight) for n in locale.given if (n.sex, n.since, n.group) == (sex, era, "*")])
    own = np.full((2, len(locale.groups)), -1, np.int64)
    for row, sex in enumerate(("female", "male")):
        for column, group in enumerate(locale.groups):
            entries = [(n.name, n.weight) for n in locale.given if (n.sex, n.group) == (sex, group)]
            if entries:
                own[row, column] = len(lists)
                lists.append(entries)
    return pools(lists), np.array(eras, np.int64), own


@lru_cache(maxsize=8)
def _family(locale: Locale) -> Pools:
    everyone = [(n.name, n.weight) for n in locale.family if n.group == "*"]
    own = {g: [(n.name, n.weight) for n in locale.family if n.group == g] for g in locale.groups}
    return pools([own[group] or everyone for group in locale.groups])
