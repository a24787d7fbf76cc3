"""Who people are called, where they live and under which numbers: all of it belongs to nobody.

Families share names and homes: a child bears its father's family name, else its mother's, and lives with her until it
is 18; a wife mostly bears her husband's name and lives with him.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.clinical import MARITAL
from ehrsatz.seeds import addressed
from ehrsatz.simulator.addresses import addresses
from ehrsatz.simulator.history import People
from ehrsatz.simulator.identifiers import emails, national_ids, provider_ids, records
from ehrsatz.simulator.locale import Locale
from ehrsatz.simulator.names import family_names, given_names
from ehrsatz.simulator.tables import bloods, groups_at, languages, tables

Ints = NDArray[np.int64]
TAKES = 0.79  # women who took their husband's name: Pew Research Center, 2023 (survey of April 2023)
GROWN = 18.0  # years
GENERATIONS = 6  # how far a name is followed up


def texts(seed: int, locale: Locale, people: People) -> dict[str, pl.Series]:
    """Return the text columns of the table `patient` that the locale gives, (N,) each.

    given_name, family_name, birth_family_name, address_line, city, postal_code, phone, email, national_id,
    record_number, language, blood_group. `people.other` holds group, blood and language as `demographics` gives them.
    Parents and spouses are followed where they are among `people`.
    """
    number, group = people.number, people.other["group"]
    mother = _rows(people, people.mother)
    father = _rows(people, people.father)
    spouse = _rows(people, people.spouse)
    given = given_names(seed, locale, number, people.sex, people.birth, group)
    root = _root(np.where(father >= 0, father, mother))
    born = family_names(seed, locale, number[root], group[root])
    family = _married(seed, locale, people, born, spouse)
    age = (people.end - people.birth) / 365.25
    region = people.attributes["region"]
    home = np.where((age < GROWN) & (mother >= 0), mother, np.where(people.sex == 0, spouse, -1))
    home = np.where((home >= 0) & (region[np.maximum(home, 0)] == region), home, -1)
    at = _root(home)
    return {
        "given_name": given,
        "family_name": family,
        "birth_family_name": born,
        **addresses(seed, locale, number[at], region),
        "email": emails(given, family, number),
        "national_id": national_ids(locale.identity.national_id, seed, number),
        "record_number": records(number),
        "language": pl.Series(languages(locale)).gather(people.other["language"]),
        "blood_group": pl.Series(bloods(locale)).gather(people.other["blood"]),
    }


@dataclass(frozen=True)
class Register:
    """Organisations and practitioners of a country, by their numbers in the world."""

    seed: int
    locale: Locale

    def organizations(self, number: Ints, kind: Sequence[str], region: Ints) -> dict[str, pl.Series]:
        """Return name, identifier, address_line, city, region, postal_code and phone of organisations (R,)."""
        number = np.asarray(number, np.int64)
        at = addresses(self.seed, self.locale, number, np.asarray(region, np.int64), name="organization")
        u = addressed(self.seed, "simulator", "organization name", subjects=number)[:, 0]
        words = [self.locale.identity.organizations[one] for one in kind]
        name = [w[int(x * len(w))].format(city=c) for w, x, c in zip(words, u.tolist(), at["city"], strict=True)]
        return {
            "name": pl.Series(name, dtype=pl.String),
            "identifier": provider_ids(self.locale.identity.organization_id, number + 50_000_000),
            **at,
            "region": pl.Series(self.locale.regions).gather(np.asarray(region, np.int64)),
        }

    def practitioners(self, number: Ints, region: Ints) -> dict[str, pl.Series]:
        """Return given_name, family_name and identifier of practitioners (R,)."""
        number = np.asarray(number, np.int64)
        u = addressed(self.seed, "simulator", "practitioner", subjects=number, width=3)
        _, group = groups_at(tables(self.locale), 30 + 35 * u[:, 1], u[:, 0])
        sex = (u[:, 2] >= 0.5).astype(np.int64)
        birth = (1960 + 30 * u[:, 1] - 1970) * 365.25
        # numbers of patients and practitioners are apart, so that nobody treats a namesake of the same draw
        own = number + (np.int64(1) << np.int64(41))
        return {
            "given_name": given_names(self.seed, self.locale, own, sex, birth, group),
            "family_name": family_names(self.seed, self.locale, own, group),
            "identifier": provider_ids(self.locale.identity.provider_id, number),
        }


def _married(seed: int, locale: Locale, people: People, born: pl.Series, spouse: Ints) -> pl.Series:
    """Return the family names (N,) that people bear now."""
    u = addressed(seed, "simulator", "married name", subjects=people.number)[:, 0]
    wed = (people.sex == 0) & (people.attributes["marital"] != MARITAL.index("never married")) & (u < TAKES)
    n = people.n
    name = np.where(wed & (spouse >= 0), spouse, np.arange(n))
    elsewhere = np.flatnonzero(wed & (spouse < 0))  # his name, who is not in the cohort
    his = family_names(
        seed, locale, people.number[elsewhere], people.other["group"][elsewhere], name="name of a spouse"
    )
    name[elsewhere] = n + np.arange(len(elsewhere))
    return pl.concat([born, his]).gather(name)


def _rows(people: People, relative: Ints | None) -> Ints:
    """Return the rows (N,) of relatives by their numbers; -1: none, or not among these people."""
    if relative is None:
        return np.full(people.n, -1, np.int64)
    order = np.argsort(people.number, kind="stable")
    place = np.minimum(np.searchsorted(people.number, relative, sorter=order), people.n - 1)
    row = order[place]
    return np.where((relative >= 0) & (people.number[row] == relative), row, -1).astype(np.int64)


def _root(parent: Ints) -> Ints:
    """Return the row (N,) at the end of each chain of parents; who has none is its own."""
    at = np.arange(len(parent))
    for _ in range(GENERATIONS):
        at = np.where(parent[at] >= 0, parent[at], at)
    return at
