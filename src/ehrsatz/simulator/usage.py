"""Care pulled to figures: how often people are seen, sent to hospital and how long they stay.

Visits follow how readily people seek care, by age and sex. Emergency visits and admissions follow the share of acute
episodes that is cared for there; what an illness is found by, births and planned stays are left as they are. Stays are
longer or shorter by one factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ehrsatz import clinical
from ehrsatz.simulator import fits
from ehrsatz.simulator.aggregates import Aggregates, Care
from ehrsatz.simulator.baseline import AGES
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.chart.assemble import records
from ehrsatz.simulator.engine import conclude, live
from ehrsatz.simulator.history import PLACES, YEAR, Floats, History
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.module import Care as Places
from ehrsatz.simulator.module import Episode
from ehrsatz.simulator.raking import Cell
from ehrsatz.simulator.records import Book, Encounters
from ehrsatz.simulator.reference import SEED, folk

PEOPLE = 4_096  # whose care is written out to count it
ROUNDS = 3
YEARS = 3.0  # before the reference date, that are counted
MOST = 0.97  # of an episode's cases that may be cared for in one place
CLASSES = {
    "visits": ("wellness", "ambulatory", "urgent", "virtual", "home"),
    "emergency": ("emergency",),
    "admissions": ("inpatient",),
}
PLACE = {"emergency": "emergency", "admissions": "inpatient"}
Say = Callable[[str], None]


def scaled_care(about: Known, told: Aggregates | None, *, say: Say) -> tuple[Known, tuple[fits.Row, ...]]:
    """Return knowledge whose care is as asked, and rows of what was asked and reached."""
    if told is None or not (told.care or told.stays):
        return about, ()
    say("calibration: care")
    first = _drawn(about)
    known, history, encounters = about, first[0], first[1]
    for _ in range(ROUNDS):
        known = _stayed(_cared(known, told, history, encounters), told, encounters, history)
        history, encounters = _drawn(known)
    return known, tuple(_rows(told, first, (history, encounters)))


def _drawn(about: Known) -> tuple[History, Encounters]:
    who = folk(about, PEOPLE)
    reference = float(who.end[0])
    lives = live(about.engine, SEED, who, reference, about.words)
    history = conclude(about.engine, lives, who, reference)
    return history, records(history, catalogue(), Book()).encounters


def counted(history: History, encounters: Encounters, kind: str, cell: Cell) -> tuple[float, float]:
    """Return encounters of a kind per person-year of a group in the last years, and person-years."""
    people = history.people
    sex, low, high = cell
    since = history.reference - YEARS * YEAR
    begin = np.maximum(np.maximum(people.birth + low * YEAR, since), people.birth)
    end = np.minimum(people.birth + high * YEAR, people.end)
    mine = np.ones(people.n, bool) if sex < 0 else people.sex == sex
    years = float(np.maximum(end - begin, 0)[mine].sum() / YEAR)
    kinds = [clinical.CLASSES.index(one) for one in CLASSES[kind]]
    person = encounters.person
    inside = mine[person] & (encounters.start >= begin[person]) & (encounters.start < end[person])
    count = float((inside & np.isin(encounters.kind, kinds) & (encounters.part_of < 0)).sum())
    return count / max(years, 1e-9), years


def _episodes(history: History, kind: str, cell: Cell) -> float:
    """Return episodes cared for in a place per person-year of a group."""
    people = history.people
    sex, low, high = cell
    since = history.reference - YEARS * YEAR
    begin = np.maximum(people.birth + low * YEAR, since)
    end = np.minimum(people.birth + high * YEAR, people.end)
    mine = np.ones(people.n, bool) if sex < 0 else people.sex == sex
    count = 0.0
    for attacks in history.attacks.values():
        if attacks.episode.id == "pregnancy":
            continue
        inside = (attacks.seen >= begin[attacks.person]) & (attacks.seen < end[attacks.person]) & mine[attacks.person]
        count += float((inside & (attacks.care == PLACES.index(PLACE[kind]))).sum())
    return count / max(float(np.maximum(end - begin, 0)[mine].sum() / YEAR), 1e-9)


def _cell(entry: Care) -> Cell:
    return (-1 if entry.sex is None else ("female", "male").index(entry.sex), *entry.ages)


def _cared(about: Known, told: Aggregates, history: History, encounters: Encounters) -> Known:
    seeking = np.ones((2, AGES)) if about.seeking is None else about.seeking.copy()
    episodes = {one.id: one for one in about.engine.entities if isinstance(one, Episode)}
    for entry in told.care:
        cell = _cell(entry)
        got, years = counted(history, encounters, entry.kind, cell)
        if not years:
            continue
        if entry.kind == "visits":
            group = np.zeros((2, AGES), bool)
            group[[0, 1] if cell[0] < 0 else [cell[0]]] = (np.arange(AGES) >= cell[1]) & (np.arange(AGES) < cell[2])
            seeking[group] = np.clip(seeking[group] * (entry.value / max(got, 1e-6)) ** 1.4, 1e-3, 50.0)
            continue
        mine = _episodes(history, entry.kind, cell)
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


def _stayed(about: Known, told: Aggregates, encounters: Encounters, history: History) -> Known:
    """Scale the stays of episodes."""
    if not told.stays:
        return about
    factors = {}
    for stay in told.stays:
        got = median_stay(history, stay.of)
        factors[stay.of] = stay.median_days / got if got else 1.0

    def longer(one: Episode) -> Episode:
        factor = factors.get(one.id, factors.get(None, 1.0))
        return one if one.stay_days is None else one.model_copy(update={"stay_days": one.stay_days * factor})

    order = tuple(longer(one) if isinstance(one, Episode) else one for one in about.engine.entities)
    return replace(
        about, engine=replace(about.engine, entities=order), modules=replace(about.modules, order=order)
    )  # fmt: skip


def median_stay(history: History, name: str | None) -> float | None:
    """Return the median days in hospital of those admitted for one kind of episode, or for any; None: nobody was."""
    some = [
        attacks.stay[(attacks.care == PLACES.index("inpatient")) & (attacks.stay > 0)]
        for attacks in history.attacks.values()
        if attacks.episode.id != "pregnancy" and name in (None, attacks.episode.id)
    ]
    days = np.concatenate(some) if some else np.zeros(0)
    return float(np.median(days)) if len(days) else None


def _rows(told: Aggregates, before: tuple[History, Encounters], after: tuple[History, Encounters]) -> list[fits.Row]:
    out = []
    for k, entry in enumerate(told.care):
        cell = _cell(entry)
        was, (got, years) = counted(*before, entry.kind, cell)[0], counted(*after, entry.kind, cell)
        values = (entry.value, was, got if years else None)
        out.append(fits.row(f"care[{k}]", "care", entry.kind, cell, "per person-year", values, entry.source))
    for k, stay in enumerate(told.stays):
        days = median_stay(before[0], stay.of), median_stay(after[0], stay.of)
        values = (stay.median_days, np.nan if days[0] is None else days[0], days[1])
        name = f"stay, {stay.of or 'all episodes'}"
        out.append(fits.row(f"stays[{k}]", "care", name, (-1, 0.0, 120.0), "d", values, stay.source))
    return out
