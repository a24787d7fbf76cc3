"""The engine: from person numbers to whole lives, with array operations over a shard at once.

People come from the locale; bodies have correlated natural levels; conditions and episodes are drawn in causal order,
each from rates that hang on everything before it; drugs and stages follow; death by competing hazards ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ehrsatz.simulator.attacks import strike
from ehrsatz.simulator.conditions import befall
from ehrsatz.simulator.death import die
from ehrsatz.simulator.history import YEAR, Attacks, Courses, Deliveries, Floats, History, Ints, People, Spells
from ehrsatz.simulator.levels import Growth, Readings
from ehrsatz.simulator.lives import CANDIDATE, Attack, Bodies, Course, Lives, Pin, Singles, Spell
from ehrsatz.simulator.module import Condition, Episode
from ehrsatz.simulator.therapy import revise

Watch = Callable[[str, Floats, Ints, Singles, int, Floats, Floats], Floats]
DRAWN = 2.0**-20  # a draw of exactly 0 stays off the edge


@dataclass(frozen=True)
class Bodyworks:
    """How bodies are made: scores, levels, bounds, growth.

    Parameters
    ----------
    latent
        (seed, numbers (N,), years, spans (N,)) -> object with `.grid(process)` -> scores (N, T), and where it can be
        asked for single years, `.points(process, person (R,), year (R,))` -> scores (R,).
    natural
        (process, sex (N,), scores (N, T)) -> levels (N, T); (process, sex (R,), scores (R,), year=(R,)) -> levels (R,)
        where `latent` gives `.points`.
    bounds
        process -> lowest, highest.
    growth
        Reads a growth chart.
    """

    latent: Callable[[int, Ints, int, Floats], Any]
    natural: Callable[..., Floats]
    bounds: Callable[[str], tuple[float, float]]
    growth: Growth


@dataclass(frozen=True)
class Knowledge:
    """All that the engine needs to know, read once.

    Parameters
    ----------
    entities
        Conditions and episodes in causal order.
    base
        Id -> (2, A) rate of onset by sex and age.
    death_base
        (2, A) deaths a year that no module explains.
    other_causes
        ICD-10-CM codes and shares (causes, 2, A) of those deaths.
    bodyworks
        How bodies are made.
    groups
        RxNorm code -> group of drugs of which one is taken at a time.
    deadly
        (2, A) share of the deaths of conditions and episodes that takes place; None: all.
    """

    entities: tuple[Condition | Episode, ...]
    base: Mapping[str, Floats]
    death_base: Floats
    other_causes: tuple[tuple[str, ...], Floats]
    bodyworks: Bodyworks
    groups: Mapping[str, str] = field(default_factory=dict)
    deadly: Floats | None = None


def live(
    knowledge: Knowledge,
    seed: int,
    people: People,
    reference: float,
    words: Mapping[str, tuple[str, ...]],
    *,
    candidate: Ints | int = 0,
    taking: Mapping[tuple[str, str], Floats] | None = None,
    pins: Mapping[str, Pin] | None = None,
    watch: Watch | None = None,
    watched: Container[str] | None = None,
) -> Lives:
    """Draw the lives of people up to the reference date, but not their deaths.

    Parameters
    ----------
    knowledge
        See there.
    seed
        Of the cohort.
    people
        Their `death` and `end` are not read.
    reference
        Day since 1970-01-01.
    words
        Attribute -> words that its positions stand for.
    candidate
        Which of several possible lives to draw, for all or for each (N,).
    taking
        Condition and drug -> age (N,) at which it must be taken, NaN: free.
    pins
        Id -> what a quota fixes.
    watch
        The calibrator's.
    watched
        Ids of what it looks at; None: everything.
    """
    span = (reference - people.birth) / YEAR
    years = max(1, int(np.ceil(span.max()))) if people.n else 1
    number = people.number + candidate * CANDIDATE
    works = knowledge.bodyworks
    scores = works.latent(seed, number, years, span)
    bodies = Bodies(
        scores.grid,
        lambda process, z: works.natural(process, people.sex, z),
        works.bounds,
        getattr(scores, "points", None),
        lambda process, person, year, z: works.natural(process, people.sex[person], z, year=year),
    )
    lives = Lives(
        seed=seed,
        number=number,
        birth=people.birth,
        sex=people.sex,
        span=span,
        window=np.maximum((people.start - people.birth) / YEAR, 0),
        attributes={name: (words[name], values) for name, values in people.attributes.items() if name in words},
        adherence=people.adherence,
        smoked=((people.smoked_from - people.birth) / YEAR, (people.smoked_to - people.birth) / YEAR),
        bodies=bodies,
    )
    lives.taking = dict(taking or {})
    if people.deliveries is not None:
        _mothers(lives, people.deliveries)
    for entity in knowledge.entities:
        pin = (pins or {}).get(entity.id)
        base = knowledge.base[entity.id]
        eye = watch if watched is None or entity.id in watched else None
        if isinstance(entity, Condition):
            befall(lives, entity, base, pin, eye)
        else:
            strike(lives, entity, base, pin, eye)
    revise(lives, knowledge.groups)
    return lives


def _mothers(lives: Lives, deliveries: Deliveries) -> None:
    """Let mothers live to see the births of their children in the cohort."""
    lives.deliveries = deliveries
    last = np.full(lives.n, -np.inf)
    np.maximum.at(last, deliveries.person, (deliveries.birth - lives.birth[deliveries.person]) / YEAR + 0.01)
    lives.window = np.maximum(lives.window, last)


def conclude(
    knowledge: Knowledge, lives: Lives, people: People, reference: float, *, immortal: bool = False
) -> History:
    """Let people die, cut what they did not live to see, and turn ages into moments."""
    age, cause = die(lives, knowledge.death_base, knowledge.other_causes, deadly=knowledge.deadly, immortal=immortal)
    codes = tuple(sorted({one for one in cause if one}))
    death = _minute(people.birth + age * YEAR)
    dead = np.isfinite(age)
    end = np.where(dead, death, reference)
    whole = replace(
        people,
        death=np.where(dead, death, np.nan),
        end=end,
        cause=np.array([codes.index(one) if one else -1 for one in cause], np.int64),
    )
    attacks: dict[str, Attacks] = {}
    kept: dict[str, Ints] = {}
    for name, attack in lives.attacks.items():
        attacks[name], kept[name] = _attacks(attack, lives, end, death)
    return History(
        seed=lives.seed,
        people=whole,
        levels=Readings(lives, knowledge.bodyworks.growth),
        causes=codes,
        spells={name: _spells(spell, lives, end) for name, spell in lives.spells.items()},
        courses=tuple(_courses(course, lives, end, kept.get(course.source)) for course in lives.courses),
        attacks=attacks,
        reference=reference,
    )


def _minute(day: Floats) -> Floats:
    """Round moments down to the minute; inf stays."""
    return np.floor(day * 1440 + 1e-6) / 1440


def _moment(lives: Lives, rows: Ints, age: Floats) -> Floats:
    """Return moments of ages, NaN where an age is inf or NaN."""
    return _minute(np.where(np.isfinite(age), lives.birth[rows] + age * YEAR, np.nan))


def _until(moment: Floats, end: Floats) -> Floats:
    """Return moments, NaN where they lie after the end."""
    return np.where(moment < end, moment, np.nan)


def _spells(spell: Spell, lives: Lives, end: Floats) -> Spells:
    onset = _moment(lives, spell.rows, spell.onset)
    keep = (onset < end[spell.rows]) & (spell.stop > spell.onset)
    rows = spell.rows[keep]
    reached = spell.stage_from[keep]
    stages = np.where(np.isnan(reached), np.nan, np.where(reached < np.inf, 0.0, np.inf))
    moments = _moment(lives, np.repeat(rows, reached.shape[1]), reached.ravel()).reshape(reached.shape)
    stages = np.where(stages == 0, moments, stages)
    stages = np.where(stages < end[rows][:, None], stages, np.where(np.isnan(stages), np.nan, np.inf))
    return Spells(
        spell.condition,
        rows,
        onset[keep],
        _moment(lives, rows, spell.diagnosed[keep]),
        _until(_moment(lives, rows, spell.stop[keep]), end[rows]),
        stages,
    )


def _courses(course: Course, lives: Lives, end: Floats, kept: Ints | None) -> Courses:
    start = _moment(lives, course.rows, course.start)
    keep = (start < end[course.rows]) & (course.stop > course.start)
    attack = course.attack
    if kept is not None and len(attack) and attack.max(initial=-1) >= 0:
        attack = kept[attack]
        keep &= attack >= 0
    rows = course.rows[keep]
    stop = _moment(lives, rows, course.stop[keep])
    late = ~(stop < end[rows])
    return Courses(
        course.treatment,
        course.reason,
        rows,
        start[keep],
        np.where(late, np.nan, stop),
        np.where(late, -1, course.stopped[keep]),
        attack[keep],
        course.source,
    )


def _attacks(attack: Attack, lives: Lives, end: Floats, death: Floats) -> tuple[Attacks, Ints]:
    """Return what happened before the end, and where each row went (-1: cut)."""
    onset = _moment(lives, attack.rows, attack.onset)
    keep = onset < end[attack.rows]
    kept = np.where(keep, np.cumsum(keep) - 1, -1)
    rows = attack.rows[keep]
    stop = _moment(lives, rows, attack.stop[keep])
    last = end[rows]
    seen = _until(_moment(lives, rows, attack.seen[keep]), last)
    icu = _until(_moment(lives, rows, attack.icu_from[keep]), last)
    unseen = np.isnan(seen)
    fatal = attack.fatal[keep] & np.isfinite(death[rows]) & (np.abs(stop - death[rows]) < 1 / 720)
    return (
        Attacks(
            attack.episode,
            rows,
            attack.ordinal[keep],
            onset[keep],
            np.minimum(stop, last),
            np.where(unseen, 0, attack.care[keep]),
            seen,
            np.where(unseen, 0.0, attack.stay[keep]),
            icu,
            np.where(np.isnan(icu), 0.0, attack.icu_days[keep]),
            fatal,
        ),
        kept,
    )
