"""What the engine leaves behind for one shard: who the people are, what befell them, and what their bodies did.

Everything is columnar. A person is its row in `People`; a moment is a float64 of days since 1970-01-01 (day 0.5 is noon
of that day), NaN where there is none. Rows of spells, courses and attacks are sorted by person, then by time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ehrsatz.seeds import addressed
from ehrsatz.simulator.module import Condition, Episode, Treatment

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

YEAR = 365.25  # days
PLACES = ("none", "wellness", "ambulatory", "urgent", "emergency", "inpatient", "virtual", "home")  # of Attacks.care


@dataclass(frozen=True)
class Deliveries:
    """Births of the women of a shard whose children are people of the cohort, sorted by mother, then time; (K,)."""

    person: Ints  # row of the mother in People
    birth: Floats  # day
    child: Ints  # number of the child
    gestation: Floats  # days


@dataclass(frozen=True)
class People:
    """The N people of a shard; attributes are positions in the tuples of `ehrsatz.clinical` (SEXES, RACES, ...)."""

    number: Ints  # (N,) number of the person in the whole cohort
    birth: Floats  # (N,) day of birth, whole
    sex: Ints  # (N,) 0 female, 1 male
    start: Floats  # (N,) first day of the record
    end: Floats  # (N,) the record's last moment: death, or the reference date
    death: Floats  # (N,) moment of death, NaN for the living
    cause: Ints  # (N,) position in History.causes, -1 for the living
    attributes: Mapping[str, Ints]  # race, ethnicity, education, housing, insurance, alcohol, activity, marital, region
    income: Floats  # (N,) a year
    adherence: Floats  # (N,) share of doses taken, in [0, 1]
    care_seeking: Floats  # (N,) factor on voluntary visits, mean 1: access, insurance and habit
    smoked_from: Floats  # (N,) NaN: never
    smoked_to: Floats  # (N,) NaN: never smoked, or still does
    mother: Ints  # (N,) number of the mother in the cohort, -1 where she is not in it
    father: Ints | None = None  # (N,) likewise
    spouse: Ints | None = None  # (N,) likewise
    deliveries: Deliveries | None = None  # of the children that are in the cohort
    record_from: Floats | None = None  # (N,) day from which routine care is written down; None: from birth
    other: Mapping[str, Ints] = field(default_factory=dict)  # what the locale drew besides: group, blood, language

    @property
    def n(self) -> int:
        """Number of people."""
        return len(self.number)

    def written(self, person: Ints, time: Floats) -> Flags:
        """Return whether routine care of people at moments (R,) is written down."""
        return np.ones(len(person), bool) if self.record_from is None else time >= self.record_from[person]

    def take(self, rows: Ints) -> People:
        """Return some of the people (rows rising), with the deliveries of theirs."""
        arrays = {
            one.name: getattr(self, one.name)[rows]
            for one in fields(self)
            if isinstance(getattr(self, one.name), np.ndarray)
        }
        births = self.deliveries
        if births is not None:
            place = np.full(self.n, -1, np.int64)
            place[rows] = np.arange(len(rows))
            keep = place[births.person] >= 0
            births = replace(
                births,
                person=place[births.person[keep]],
                birth=births.birth[keep],
                child=births.child[keep],
                gestation=births.gestation[keep],
            )
        attributes = {name: values[rows] for name, values in self.attributes.items()}
        other = {name: values[rows] for name, values in self.other.items()}
        return replace(self, **arrays, attributes=attributes, other=other, deliveries=births)

    def age(self, person: Ints, time: Floats) -> Floats:
        """Return ages in years of people (R,) at moments (R,)."""
        return (time - self.birth[person]) / YEAR


@dataclass(frozen=True)
class Spells:
    """Everybody of the shard who ever has one condition, (K,), once each, within the record's whole life span."""

    condition: Condition
    person: Ints
    onset: Floats
    diagnosed: Floats  # onset plus delay; may lie after the end of the record: then it was never found
    stop: Floats  # NaN: still there at the end
    stage_from: Floats  # (K, S) moment of reaching each stage, inf: never; stages skipped at onset have NaN


@dataclass(frozen=True)
class Courses:
    """Everybody's use of one drug for one condition or episode, (K,); a person may have several courses of a drug."""

    treatment: Treatment
    reason: str  # ICD-10-CM code
    person: Ints
    start: Floats
    stop: Floats  # NaN: still taken at the end
    stopped: Ints  # position in tuple(treatment.stop_reasons), -1: not stopped, or the course was completed
    attack: Ints  # row in the Attacks it belongs to, -1: treatment of a condition
    source: str  # id of the condition or episode


@dataclass(frozen=True)
class Attacks:
    """All acute episodes of one kind, (K,)."""

    episode: Episode
    person: Ints
    ordinal: Ints  # 0, 1, ... within the person
    onset: Floats
    stop: Floats
    care: Ints  # position in PLACES
    seen: Floats  # moment of first care, NaN: never
    stay: Floats  # days in hospital, 0: not admitted
    icu_from: Floats  # NaN: no intensive care
    icu_days: Floats
    fatal: Flags  # dies of it, at people.death


class Levels(Protocol):
    """What bodies do: read a process at any moment."""

    def at(self, process: str, person: Ints, time: Floats) -> Floats:
        """Return the true level of a process (R,) of people at moments, with conditions, drugs and episodes.

        Without day-to-day variation and without measurement error: those are the reader's.
        """


@dataclass(frozen=True)
class History:
    """One shard's lives, complete."""

    seed: int
    people: People
    levels: Levels
    causes: tuple[str, ...]  # ICD-10-CM codes
    spells: Mapping[str, Spells] = field(default_factory=dict)  # by id of the condition
    courses: tuple[Courses, ...] = ()
    attacks: Mapping[str, Attacks] = field(default_factory=dict)  # by id of the episode
    reference: float = 0.0  # the reference date, in days

    def draw(self, name: str, person: Ints, position: Ints | None = None, width: int = 1) -> Floats:
        """Return uniform numbers (R, width) that belong to a person and a position within them.

        The same person and position get the same numbers in any shard and cohort; `name` says what for.
        """
        return addressed(
            self.seed, "simulator", name, subjects=self.people.number[person], positions=position, width=width
        )


def during(attacks: Attacks, person: Ints, time: Floats) -> Flags:
    """Return whether people (R,) are in an episode at moments (R,); the last one that began counts."""
    if not len(attacks.person):
        return np.zeros(len(person), bool)
    key = attacks.person * 1e6 + attacks.onset
    at = np.maximum(np.searchsorted(key, person * 1e6 + time, side="right") - 1, 0)
    return (attacks.person[at] == person) & (attacks.onset[at] <= time) & (time < attacks.stop[at])


def ordinals(person: Ints) -> Ints:
    """Return 0, 1, 2, ... within each run of equal people (R,); rows must be sorted by person."""
    if len(person) == 0:
        return np.zeros(0, np.int64)
    first = np.r_[True, person[1:] != person[:-1]]
    position = np.arange(len(person), dtype=np.int64)
    return position - np.maximum.accumulate(np.where(first, position, 0))
