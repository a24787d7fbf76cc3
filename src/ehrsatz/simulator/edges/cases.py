# ruff: noqa: E501 - a table of words
"""The edge cases by name: what each is, how old, and what is done to the record of a life that was drawn for it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ehrsatz.clinical import WORLD
from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.simulator import keys
from ehrsatz.simulator.edges import identity, results, stays
from ehrsatz.simulator.edges.about import About
from ehrsatz.simulator.edges.identity import Edit

ALL = "all"
FEMALE, MALE = 0, 1
Born = Callable[[About], datetime.date]


@dataclass(frozen=True)
class Case:
    """One edge case.

    Parameters
    ----------
    name
        As it is asked for.
    title
        What it is, in one line.
    edit
        Makes it of the records of a life, or of several; False: of this life it cannot be made.
    born
        Days of birth of its people, one entry each.
    sexes
        Of its people; 0 female, 1 male.
    children
        Positions among its people of those whom the last of them bears on one day.
    """

    name: str
    title: str
    edit: Edit
    born: tuple[Born, ...]
    sexes: tuple[int, ...]
    children: tuple[int, ...] = ()

    @property
    def people(self) -> int:
        """How many patients it takes."""
        return len(self.born)


def _aged(years: int) -> Born:
    return lambda about: about.years_ago(years, days=20 + 37 * years % 300)  # birthdays differ


def _day_before(moment: Callable[[About], datetime.datetime]) -> Born:
    return lambda about: moment(about).date() - datetime.timedelta(days=1)


def _leap_day(about: About) -> datetime.date:
    year = about.today.year - 38
    return datetime.date(next(y for y in range(year, year - 9, -1) if _is_leap(y)), 2, 29)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _forward(about: About) -> datetime.datetime:
    return about.clock_change(spring=True)


def _back(about: About) -> datetime.datetime:
    return about.clock_change(spring=False)


def _nothing(records: object, about: About) -> bool:
    return True


def _days_old(about: About) -> datetime.date:
    return about.today - datetime.timedelta(days=3)


def _one(name: str, title: str, edit: Edit, born: Born, sex: int) -> Case:
    return Case(name, title, edit, (born,), (sex,))


CASES: tuple[Case, ...] = (
    _one("leap-day", "Born on 29 February", _nothing, _leap_day, FEMALE),
    _one("neonate", "Born five hours before the records end, still in the stay of the birth", stays.neonate, _days_old, MALE),
    _one("age-110", "110 years old, and alive", _nothing, _aged(110), FEMALE),
    _one("one-name", "A family name alone: the given name is missing", identity.named(None, "Adamma"), _aged(34), FEMALE),
    _one("long-name", "Given and family name of 200 characters each", identity.named(identity.long_name(0), identity.long_name(3)), _aged(47), MALE),
    _one("emoji", "Emoji in the name, beyond the basic plane and joined", identity.named("Zoe 🦄", "Smith 👩‍👩‍👧‍👦🇺🇳"), _aged(23), FEMALE),
    _one("right-to-left", "A given name in Arabic and a family name in Hebrew letters", identity.named("مريم", "בן־דוד"), _aged(51), FEMALE),
    _one("combining", "Decomposed characters: letters with combining marks", identity.named("Zoe\u0308", "Nguye\u0302\u0303n-A\u030angstro\u0308m"), _aged(29), MALE),
    _one("apostrophes", "Apostrophes and hyphens", identity.named("Mary-Jane d'Anne", "O'Connor-D’Arcy"), _aged(62), FEMALE),
    _one("unknown-sex", "Sex unknown", identity.sexed("unknown"), _aged(44), MALE),
    _one("other-sex", "Sex neither female nor male, as of intersex people", identity.sexed("other"), _aged(36), MALE),
    _one("no-address", "No address, telephone or mail", identity.no_address, _aged(58), MALE),
    Case("twins", "Two of one mother, seven minutes apart, linked with each other and with her", stays.twins, (_aged(1), _aged(1), _aged(31)), (FEMALE, MALE, FEMALE), children=(0, 1)),
    _one("many-encounters", "400 encounters", stays.many, _aged(77), FEMALE),
    _one("no-encounters", "Demographics and nothing else", stays.no_encounters, _aged(40), MALE),
    _one("midnight", "A short visit with midnight in its middle", stays.over_midnight, _aged(66), MALE),
    _one("clock-forward", "A stay over the change to summer time, with a result in the hour that does not exist", stays.over(_forward), _day_before(_forward), FEMALE),
    _one("clock-back", "A stay over the change from summer time, with a result in the hour that is there twice", stays.over(_back), _day_before(_back), MALE),
    _one("year-end", "A stay over the turn of the year, with a result at midnight", stays.over(About.new_year), _day_before(About.new_year), FEMALE),
    _one("same-minute", "Six results of one code in one minute, all different", results.observed(results.SAME), _aged(55), MALE),
    _one("long-text", "A report of 20,000 characters", identity.long_text, _aged(70), FEMALE),
    _one("delimiters", "The delimiters of all formats, quotes and line ends in name, address and report", identity.delimiters, _aged(68), MALE),
    _one("zero", "Results of exactly 0", results.observed(results.ZERO), _aged(49), FEMALE),
    _one("negative", "Results below 0", results.observed(results.NEGATIVE), _aged(72), FEMALE),
    _one("extremes", "A very small result, very large ones, and one with 17 digits", results.observed(results.EXTREME), _aged(63), MALE),
    _one("spaces", "Spaces before, after and doubled within", identity.spaces, _aged(39), FEMALE),
    _one("death-at-visit", "Died in the minute in which the last visit began", stays.died_at_visit, _aged(83), MALE),
    _one("death-unseen", "Died before any encounter", stays.died_unseen, _aged(52), MALE),
)  # fmt: skip
NAMES = tuple(one.name for one in CASES)


def chosen(wanted: str | Sequence[str]) -> tuple[Case, ...]:
    """Return cases by name, in the order of `CASES`; "all" are all.

    Raises
    ------
    ScenarioError
        When a name is unknown.
    """
    names = {wanted} if isinstance(wanted, str) else set(wanted)
    for name in sorted(names - {ALL, *NAMES}):
        raise ScenarioError(
            f"Expected edge cases of: {ALL}, {', '.join(NAMES)}.",
            f"'{name}' is none of them.{nearest(name, (ALL, *NAMES))}",
            "Name one of these; list them with: ehrsatz doctor --list edge-cases",
        )
    return CASES if ALL in names else tuple(one for one in CASES if one.name in names)


def size(wanted: str | Sequence[str]) -> int:
    """Return how many patients the cases take: the first of the cohort."""
    return sum(one.people for one in chosen(wanted))


def key(wanted: str | Sequence[str] = ALL) -> dict[str, str]:
    """Return the answer key: the patient's key -> name of its case; of twins, the two and then their mother.

    Examples
    --------
    >>> key(["neonate", "leap-day"])
    {'P00000000': 'leap-day', 'P00000001': 'neonate'}
    """
    names = [one.name for one in chosen(wanted) for _ in range(one.people)]
    return dict(zip(keys.patients(np.arange(len(names))).to_list(), names, strict=True))


def told(wanted: str | Sequence[str]) -> list[dict[str, str]]:
    """Return the answer key as plain JSON types: patient_id, case and title of each patient."""
    titles = {one.name: one.title for one in CASES}
    return [{"patient_id": who, "case": name, "title": titles[name]} for who, name in key(wanted).items()]


def without(tables: Mapping[str, pl.DataFrame], wanted: str | Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return tables without the rows of edge cases: what stands for a population."""
    them = list(key(wanted))
    if not them:
        return dict(tables)
    return {
        name: frame if name in WORLD else frame.filter(~pl.col("patient_id").is_in(them))
        for name, frame in tables.items()
    }
