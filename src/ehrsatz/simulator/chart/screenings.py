"""Screenings of healthy people as the modules say: panels at visits, procedures and imaging at visits of their own.

Who takes part does so again and again, within the ages of the screening; the others never: so the share of those in
question who are up to date is the share of the module. Those who have, or had, what it looks for are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ehrsatz import clinical
from ehrsatz.clinical import ICD10CM, SMOKING
from ehrsatz.simulator.chart.asks import CLASS, MINUTES, Asks
from ehrsatz.simulator.chart.done import Deed, Deeds
from ehrsatz.simulator.chart.needs import Wishes
from ehrsatz.simulator.chart.visits import snomed
from ehrsatz.simulator.history import YEAR, Floats, History, Ints
from ehrsatz.simulator.module import Procedure, Screening
from ehrsatz.simulator.records import Book

REASONS = {  # id of the screening -> why the visit is made; of others: encounter for screening, unspecified
    "colonoscopy": (ICD10CM, "Z12.11"),
    "lung_screening": (ICD10CM, "Z12.2"),
    "mammography": (ICD10CM, "Z12.31"),
}
OTHER = (ICD10CM, "Z13.9")
LEVELS = {
    name: getattr(clinical, name.upper()) for name in ("education", "housing", "insurance", "alcohol", "activity")
}
LEVELS |= {"race": clinical.RACES, "ethnicity": clinical.ETHNICITIES, "marital": clinical.MARITAL}
LATE = 90.0  # days within which a panel that is due is taken at a visit


def ask(asks: Asks, history: History, deeds: Deeds, book: Book, screenings: Sequence[Screening]) -> None:
    """Ask for the visits of procedures and imaging."""
    for one in screenings:
        what = one.procedure or one.imaging
        if what is None:
            continue
        person, when, turn = due(history, one)
        if not len(person):
            continue
        u = history.draw(f"screening visit {one.id}", person, turn)[:, 0]
        minutes = what.minutes if isinstance(what, Procedure) else 30.0
        batch = asks.ask(
            person,
            when,
            (minutes + 15) * (0.8 + 0.5 * u) * MINUTES,
            CLASS["ambulatory"],
            snomed(book, "followup"),
            reason=book.place(*REASONS.get(one.id, OTHER)),
            specialty=book.text("gastroenterology" if one.id == "colonoscopy" else "family medicine"),
            droppable=True,
        )
        deeds.list.append(Deed(what, batch, None, REASONS.get(one.id, OTHER)[1], f"screening {one.id}"))


def want(out: Wishes, history: History, screenings: Sequence[Screening]) -> None:
    """Want the panels that are due, at the first check-up or visit after."""
    met = out.encounters
    visits = np.flatnonzero(np.isin(met.kind, [CLASS["wellness"], CLASS["ambulatory"]]))
    key = met.person[visits] * 1e6 + met.start[visits]
    for one in screenings:
        if one.panel is None:
            continue
        person, when, _ = due(history, one)
        at = np.searchsorted(key, person * 1e6 + when)
        fine = at < len(key)
        row = visits[at[fine]]
        near = (met.person[row] == person[fine]) & (met.start[row] < when[fine] + max(LATE, one.every_years * YEAR / 2))
        out.want(one.panel, row[near])


def due(history: History, one: Screening) -> tuple[Ints, Floats, Ints]:
    """Return who is screened when, and for the how manyth time: (R,) sorted by person, then time."""
    people = history.people
    turns = max(1, int(np.ceil((one.ages[1] - one.ages[0]) / one.every_years)))
    u = history.draw(f"screening {one.id}", np.arange(people.n), width=2)
    who = np.flatnonzero(u[:, 0] < one.share)
    if one.sex is not None:
        who = who[people.sex[who] == ("female", "male").index(one.sex)]
    person = np.repeat(who, turns)
    turn = np.tile(np.arange(turns), len(who))
    late = history.draw(f"screening turn {one.id}", person, turn)[:, 0]
    age = one.ages[0] + (turn + 0.8 * u[person, 1] + 0.2 * late) * one.every_years
    when = people.birth[person] + age * YEAR
    keep = (age < one.ages[1]) & (when < people.end[person]) & people.written(person, when)
    for name, levels in one.among.items():
        keep &= _among(history, name, levels, person, when)
    for name in one.excludes:
        keep &= when < _first(history, name)[person]
    return person[keep], when[keep], turn[keep]


def _among(history: History, name: str, levels: tuple[str, ...], person: Ints, when: Floats) -> np.ndarray:
    people = history.people
    if name == "smoking":
        state = np.where(people.smoked_from[person] <= when, np.where(people.smoked_to[person] <= when, 1, 2), 0)
        return np.isin(state, [SMOKING.index(level) for level in levels])
    held = people.attributes[name][person]
    words = LEVELS.get(name) or tuple(str(k) for k in range(1, 6))  # income: quintiles
    return np.isin(held, [words.index(level) for level in levels])


def _first(history: History, name: str) -> Floats:
    """Return the moment (N,) from which people have, or had, a condition or episode; inf: never."""
    out = np.full(history.people.n, np.inf)
    found = history.spells.get(name) or history.attacks.get(name)
    if found is not None:
        np.minimum.at(out, found.person, found.onset)
    return out
