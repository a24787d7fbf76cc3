"""Care pulled to figures: how often people are seen, sent to hospital and how long they stay.

Visits follow how readily people seek care, by age and sex. Emergency visits and admissions follow the share of acute
episodes that is cared for there; what an illness is found by, births and planned stays are left as they are. Stays are
longer or shorter by one factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ehrsatz import clinical
from ehrsatz.simulator import fits
from ehrsatz.simulator.aggregates import Aggregates, Care
from ehrsatz.simulator.baseline import AGES
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.chart.assemble import records
from ehrsatz.simulator.engine import conclude, live
from ehrsatz.simulator.history import PLACES, YEAR, Attacks, Flags, Floats, History
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.module import Care as Places
from ehrsatz.simulator.module import Episode
from ehrsatz.simulator.raking import Cell
from ehrsatz.simulator.records import Book
from ehrsatz.simulator.reference import SEED, folk

SHARD = 1_024
PEOPLE = 4 * SHARD  # whose care is written out to count it
ROUNDS = 2
YEARS = 3.0  # before the reference date, that are counted
MOST = 0.97  # of an episode's cases that may be cared for in one place
CLASSES = {
    "visits": ("wellness", "ambulatory", "urgent", "virtual", "home"),
    "emergency": ("emergency",),
    "admissions": ("inpatient",),
}
PLACE = {"emergency": "emergency", "admissions": "inpatient"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Counts:
    """What care people had in the last years: of each figure the encounters, episodes cared for there and years."""

    encounters: Floats  # (F,)
    episodes: Floats  # (F,)
    years: Floats  # (F,)
    stays: Mapping[str, Floats]  # episode -> days in hospital of those admitted

    def rate(self, k: int) -> float:
        """Return encounters per person-year of figure k."""
        return float(self.encounters[k] / max(self.years[k], 1e-9))

    def median(self, name: str | None) -> float | None:
        """Return the median days in hospital of one kind of episode, or of all; None: nobody was admitted."""
        some = [days for one, days in self.stays.items() if name in (None, one)]
        days = np.concatenate(some) if some else np.zeros(0)
        return float(np.median(days)) if len(days) else None


def scaled_care(about: Known, told: Aggregates | None, *, say: Say) -> tuple[Known, tuple[fits.Row, ...]]:
    """Return knowledge whose care is as asked, and rows of what was asked and reached."""
    if told is None or not (told.care or told.stays):
        return about, ()
    say("calibration: care")
    known, first = about, counted(about, told.care)
    now, pace = first, np.full(len(told.care), 3.0)
    for _ in range(ROUNDS):
        old = now
        known = _stayed(_cared(known, told, now, pace), told, now)
        now = counted(known, told.care)
        for k, entry in enumerate(told.care):  # how fast visits follow the readiness to seek care, as just seen
            pull = pace[k] * np.log(entry.value / max(old.rate(k), 1e-6)) if entry.value else 0.0
            if abs(pull) > 0.01 and now.rate(k) > 0 and old.rate(k) > 0:
                pace[k] = 1 / np.clip(np.log(now.rate(k) / old.rate(k)) / pull, 0.1, 1.0)
    return known, tuple(_rows(told, first, now))


def counted(about: Known, wanted: Sequence[Care]) -> Counts:
    """Write out the care of some of the reference population, shard by shard, and count it."""
    tests = [one for module in about.modules.modules.values() for one in module.screenings]
    encounters, episodes, years = (np.zeros(len(wanted)) for _ in range(3))
    stays: dict[str, list[Floats]] = {}
    for start in range(0, PEOPLE, SHARD):
        who = folk(about, SHARD, start)
        reference = float(who.end[0])
        lives = live(about.engine, SEED, who, reference, about.words)
        history = conclude(about.engine, lives, who, reference)
        seen = records(history, catalogue(), Book(), tests, about.locale.country).encounters
        for k, entry in enumerate(wanted):
            mine, begin, end = _group(history, _cell(entry))
            years[k] += float(np.maximum(end - begin, 0)[mine].sum() / YEAR)
            kinds = [clinical.CLASSES.index(one) for one in CLASSES[entry.kind]]
            person = seen.person
            inside = mine[person] & (seen.start >= begin[person]) & (seen.start < end[person])
            encounters[k] += float((inside & np.isin(seen.kind, kinds) & (seen.part_of < 0)).sum())
            if entry.kind == "visits":
                continue
            for attacks in _attacks(history):
                person = attacks.person
                inside = mine[person] & (attacks.seen >= begin[person]) & (attacks.seen < end[person])
                episodes[k] += float((inside & (attacks.care == PLACES.index(PLACE[entry.kind]))).sum())
        for attacks in _attacks(history):
            admitted = (attacks.care == PLACES.index("inpatient")) & (attacks.stay > 0)
            stays.setdefault(attacks.episode.id, []).append(attacks.stay[admitted])
    return Counts(encounters, episodes, years, {name: np.concatenate(days) for name, days in stays.items()})


def _attacks(history: History) -> list[Attacks]:
    return [attacks for attacks in history.attacks.values() if attacks.episode.id != "pregnancy"]


def _group(history: History, cell: Cell) -> tuple[Flags, Floats, Floats]:
    """Return who (N,) is of the sex of a group, and from when to when each of all people is of its age."""
    people = history.people
    sex, low, high = cell
    begin = np.maximum(people.birth + low * YEAR, history.reference - YEARS * YEAR)
    end = np.minimum(people.birth + high * YEAR, people.end)
    return (np.ones(people.n, bool) if sex < 0 else people.sex == sex), begin, end


def _cell(entry: Care) -> Cell:
    return (-1 if entry.sex is None else ("female", "male").index(entry.sex), *entry.ages)


def _cared(about: Known, told: Aggregates, now: Counts, pace: Floats) -> Known:
    """Return knowledge with visits, emergency visits and admissions moved towards the figures."""
    seeking = np.ones((2, AGES)) if about.seeking is None else about.seeking.copy()
    episodes = {one.id: one for one in about.engine.entities if isinstance(one, Episode)}
    for k, entry in enumerate(told.care):
        cell, got = _cell(entry), now.rate(k)
        if not now.years[k]:
            continue
        if entry.kind == "visits":
            group = np.zeros((2, AGES), bool)
            group[[0, 1] if cell[0] < 0 else [cell[0]]] = (np.arange(AGES) >= cell[1]) & (np.arange(AGES) < cell[2])
            seeking[group] = np.clip(seeking[group] * (entry.value / max(got, 1e-6)) ** pace[k], 0.02, 50.0)
            continue
        mine = float(now.episodes[k] / now.years[k])
        factor = max(0.0, 1 + (entry.value - got) / max(mine, 1e-9)) if mine else 1.0
        for name, one in episodes.items():
            if name != "pregnancy" and PLACE[entry.kind] in one.care.shares:
                care = moved(one.care, PLACE[entry.kind], factor, cell)
                episodes[name] = one.model_copy(update={"care": care})
    order = tuple(episodes.get(one.id, one) for one in about.engine.entities)
    changed = replace(about.engine, entities=order)
    return replace(about, engine=changed, modules=replace(about.modules, order=order), seeking=seeking)


def moved(care: Places, place: str, factor: float, cell: Cell) -> Places:
    """Return shares of places where one is `factor` times as common within ages, and the others make room."""
    ages = sorted({*care.ages, *(age for age in cell[1:] if care.ages[0] <= age < AGES)})
    at = np.searchsorted(np.array(care.ages), np.array(ages), side="right") - 1
    shares: Mapping[str, Floats] = {name: np.array(values)[at] for name, values in care.shares.items()}
    inside = (np.array(ages) >= cell[1]) & (np.array(ages) < cell[2])
    old = shares[place]
    new = np.where(inside, np.clip(old * factor, 0, MOST), old)
    rest = np.where(old < 1, (1 - new) / np.maximum(1 - old, 1e-12), 0.0)
    new = np.where(old < 1, new, old)  # nobody is cared for elsewhere: nowhere to go
    out = {name: tuple((new if name == place else np.where(old < 1, values * rest, values)).tolist())
           for name, values in shares.items()}  # fmt: skip
    return Places.model_validate({"ages": tuple(ages), "shares": out, "source": care.source})


def _stayed(about: Known, told: Aggregates, now: Counts) -> Known:
    """Scale the stays of episodes."""
    if not told.stays:
        return about
    factors = {}
    for stay in told.stays:
        got = now.median(stay.of)
        factors[stay.of] = stay.median_days / got if got else 1.0

    def longer(one: Episode) -> Episode:
        factor = factors.get(one.id, factors.get(None, 1.0))
        return one if one.stay_days is None else one.model_copy(update={"stay_days": one.stay_days * factor})

    order = tuple(longer(one) if isinstance(one, Episode) else one for one in about.engine.entities)
    return replace(
        about, engine=replace(about.engine, entities=order), modules=replace(about.modules, order=order)
    )  # fmt: skip


def _rows(told: Aggregates, before: Counts, after: Counts) -> list[fits.Row]:
    out = []
    for k, entry in enumerate(told.care):
        values = (entry.value, before.rate(k), after.rate(k) if after.years[k] else None)
        out.append(fits.row(f"care[{k}]", "care", entry.kind, _cell(entry), "per person-year", values, entry.source))
    for k, stay in enumerate(told.stays):
        was = before.median(stay.of)
        values = (stay.median_days, np.nan if was is None else was, after.median(stay.of))
        name = f"stay, {stay.of or 'all episodes'}"
        out.append(fits.row(f"stays[{k}]", "care", name, (-1, 0.0, 120.0), "d", values, stay.source))
    return out
