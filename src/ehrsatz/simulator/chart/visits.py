"""Which encounters people have: check-ups by age, follow-up of what they have, finding it, and acute care."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ehrsatz.clinical import ICD10CM, SNOMED
from ehrsatz.simulator.chart.asks import CLASS, MINUTES, Asks, Batch
from ehrsatz.simulator.hazards import exponential
from ehrsatz.simulator.history import PLACES, YEAR, Attacks, Floats, History, Ints, Spells
from ehrsatz.simulator.lives import overlap
from ehrsatz.simulator.records import Book

CODES = {  # SNOMED CT of encounters by class
    "wellness": "86013001",  # Periodic reevaluation and management of healthy individual
    "child": "410424005",  # Wellness surveillance
    "ambulatory": "185349003",  # Encounter for check up
    "problem": "185347001",  # Encounter for problem
    "followup": "390906007",  # Follow-up encounter
    "urgent": "698314001",  # Consultation for treatment
    "emergency": "50849002",  # Emergency room admission
    "inpatient": "183452005",  # Emergency hospital admission
    "elective": "32485007",  # Hospital admission
    "icu": "305351004",  # Admission to intensive care unit
    "virtual": "185317003",  # Telephone encounter
    "home": "439708006",  # Home visit
}
CHILD = np.array([4, 14, 30, 61, 122, 183, 274, 365, 456, 548, 730, 913])  # days
# AAP, Recommendations for preventive pediatric health care (Bright Futures) 2024: newborn to 30 months, then yearly
KEPT = 0.85  # share of children's visits that are kept; Wolf 2018, Pediatrics 142:e20180114, 83 to 90 % in infancy
CHECKUPS = (  # check-ups a year from each age on, women and men
    (3.0, 0.86, 0.86),
    (18.0, 0.50, 0.30),
    (40.0, 0.52, 0.38),
    (65.0, 0.55, 0.52),
)  # NHIS 2019 and Hollander 2020, J Am Board Fam Med 33:118: share with a general check-up in the year
BORN = 1.01  # days: nothing is found before the birth itself, which may be late on its day
MOST = 10.0  # follow-up visits a year for chronic conditions
FURTHER = 0.25  # what each further condition adds of its own visits: several are seen at once; assumed
VIRTUAL = (
    0.17  # share of follow-ups by telephone or video from 2020 on: NCHS Data Brief 445, 2022, 37 % of adults a year
)


@dataclass(frozen=True)
class Found:
    """The batches of asks that rows are hung on after `settle`."""

    diagnosis: dict[str, Batch]  # condition -> the visit that found it, one per spell
    attack: dict[str, Batch]  # episode -> care of each attack that was seen
    seen: dict[str, Ints]  # episode -> rows of Attacks that were asked for


def ask_all(asks: Asks, history: History, book: Book) -> Found:
    """Ask for every encounter of ordinary care."""
    _children(asks, history, book)
    _checkups(asks, history, book)
    _followups(asks, history, book)
    diagnosis = {
        name: _diagnosis(asks, history, book, name, spells)
        for name, spells in history.spells.items()
        if len(spells.person)
    }
    for name, spells in history.spells.items():
        _stages(asks, history, book, name, spells)
    attack, seen = {}, {}
    for name, attacks in history.attacks.items():
        if len(attacks.person) and attacks.episode.id != "pregnancy":
            attack[name], seen[name] = _attacks(asks, history, book, name, attacks)
    return Found(diagnosis, attack, seen)


def snomed(book: Book, name: str) -> int:
    """Return the place of an encounter's code."""
    return book.place(SNOMED, CODES[name])


def _children(asks: Asks, history: History, book: Book) -> None:
    people = history.people
    everyone = np.arange(people.n)
    last = (people.end - people.birth)[:, None]
    u = history.draw("child visits", everyone, width=2 * len(CHILD))
    kept = (u[:, : len(CHILD)] < KEPT) & (last > CHILD + 1)
    kept[:, 0] |= last[:, 0] > CHILD[0] + 1
    person, k = np.nonzero(kept)
    jitter = (u[person, len(CHILD) + k] - 0.3) * np.minimum(CHILD[k] * 0.08, 20)
    start = people.birth[person] + np.maximum(CHILD[k] + jitter, 2.0)
    keep = people.written(person, start)
    person, k, start = person[keep], k[keep], start[keep]
    length = (20 + 15 * u[person, k]) * MINUTES
    asks.ask(
        person,
        start,
        length,
        CLASS["wellness"],
        snomed(book, "child"),
        specialty=book.text("pediatrics"),
        droppable=True,
    )


def _checkups(asks: Asks, history: History, book: Book) -> None:
    people = history.people
    span = (people.end - people.birth) / YEAR
    years = max(1, int(np.ceil(span.max())))
    age = np.arange(years)
    band = np.searchsorted([one[0] for one in CHECKUPS], age, side="right") - 1
    rate = np.where(
        band[None, :] < 0,
        0.0,
        np.array([[one[1] for one in CHECKUPS], [one[2] for one in CHECKUPS]])[:, np.maximum(band, 0)],
    )  # (2, T)
    everyone = np.arange(people.n)
    u = np.concatenate(
        [history.draw(name, everyone, width=years) for name in ("check-up", "check-up time")], axis=1
    )  # two draws, so that nobody's hang on how many years the oldest has
    seeking = np.where(age[None, :] < 18, 1.0, people.care_seeking[:, None])
    wanted = np.minimum(rate[people.sex] * seeking, 0.97)
    person, year = np.nonzero((u[:, :years] < wanted) & (age[None, :] + u[:, years:] < span[:, None]))
    start = people.birth[person] + (year + u[person, years + year]) * YEAR
    keep = people.written(person, start)
    person, year, start = person[keep], year[keep], start[keep]
    child = year < 18
    length = (25 + 25 * history.draw("check-up length", person, year)[:, 0]) * MINUTES
    code = np.where(child, snomed(book, "child"), snomed(book, "wellness"))
    specialty = np.where(child, book.text("pediatrics"), book.text("family medicine"))
    asks.ask(person, start, length, CLASS["wellness"], code, specialty=specialty, droppable=True)


def _followups(asks: Asks, history: History, book: Book) -> None:
    """Visits for chronic conditions: as often as the most demanding one wants, and a little more for each other."""
    people = history.people
    span = (people.end - people.birth) / YEAR
    years = max(1, int(np.ceil(span.max())))
    total, most = np.zeros((people.n, years)), np.zeros((people.n, years))
    why = np.full((people.n, years), -1, np.int32)
    where = np.zeros((people.n, years), np.int32)
    for spells in history.spells.values():
        wanted = spells.condition.visits_per_year
        if not wanted or not len(spells.person):
            continue
        born = people.birth[spells.person]
        start = (spells.diagnosed - born) / YEAR
        stop = np.where(np.isnan(spells.stop), np.inf, (spells.stop - born) / YEAR)
        first = int(np.clip(np.floor(start.min()), 0, years))
        if first >= years:
            continue
        part = wanted * overlap(start, stop, first, years)
        rows = spells.person
        total[rows, first:] += part
        now = most[rows, first:]
        better = part > now
        most[rows, first:] = np.where(better, part, now)
        why[rows, first:] = np.where(better, book.place(ICD10CM, spells.condition.icd10), why[rows, first:])
        where[rows, first:] = np.where(better, book.text(spells.condition.specialty), where[rows, first:])
    rate = np.minimum(most + FURTHER * (total - most), MOST) * np.sqrt(people.care_seeking)[:, None]
    ill = np.flatnonzero(most.max(axis=1) > 0)
    u = history.draw("follow-up", ill, width=years)
    count = np.floor(rate[ill] + u).astype(np.int64)
    row, year = np.nonzero(count)
    times = count[row, year]
    at = np.repeat(np.arange(len(row)), times)
    k = np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times)
    person, age = ill[row[at]], year[at]
    v = history.draw("follow-up time", person, age * 64 + k, width=4)
    moment = age + (k + 0.15 + 0.7 * v[:, 0]) / times[at]
    inside = (
        (moment < span[person]) & (moment * YEAR > BORN) & people.written(person, people.birth[person] + moment * YEAR)
    )
    person, age, moment, v = person[inside], age[inside], moment[inside], v[inside]
    start = people.birth[person] + moment * YEAR
    remote = (v[:, 1] < VIRTUAL) & (start > 18_340)  # from spring 2020 on
    kind = np.where(remote, CLASS["virtual"], CLASS["ambulatory"])
    code = np.where(remote, snomed(book, "virtual"), snomed(book, "followup"))
    family = np.where(moment < 18, book.text("pediatrics"), book.text("family medicine"))
    specialty = np.where(v[:, 2] < 0.4, where[person, age], family)
    length = (12 + 18 * v[:, 3]) * MINUTES
    asks.ask(
        person, start, length, kind, code, reason=why[person, age].astype(np.int64), specialty=specialty, droppable=True
    )


def _diagnosis(asks: Asks, history: History, book: Book, name: str, spells: Spells) -> Batch:
    condition = spells.condition
    people = history.people
    n = len(spells.person)
    u = history.draw(f"found {name}", spells.person, width=3)
    start = np.maximum(spells.diagnosed, people.birth[spells.person] + BORN)
    admitted = condition.found_at == "inpatient"
    days = condition.found_stay_days or 3.0
    minutes = {"emergency": 240.0, "urgent": 60.0, "wellness": 35.0}.get(condition.found_at, 30.0)
    length = days * np.exp(0.5 * (u[:, 0] - 0.5) * 3) if admitted else minutes * (0.7 + 0.8 * u[:, 0]) * MINUTES
    waited = np.where(u[:, 1] < 0.7, (2 + 5 * u[:, 2]) / 24, np.nan) if admitted else np.full(n, np.nan)
    code = {"inpatient": "inpatient", "emergency": "emergency", "urgent": "urgent", "wellness": "wellness"}.get(
        condition.found_at, "problem"
    )
    return asks.ask(
        spells.person,
        start,
        np.asarray(length, np.float64),
        CLASS[condition.found_at],
        snomed(book, code),
        reason=book.place(ICD10CM, condition.icd10),
        specialty=book.text(condition.specialty),
        emergency=waited,
    )


def _stages(asks: Asks, history: History, book: Book, name: str, spells: Spells) -> None:
    """Ask for the visit that finds a condition in a later stage, so that a change of stage is written down soon."""
    condition = spells.condition
    for s in range(1, len(condition.stages)):
        reached = spells.stage_from[:, s]
        new = np.flatnonzero(np.isfinite(reached) & (reached > spells.diagnosed + 1))
        if not len(new):
            continue
        person = spells.person[new]
        u = history.draw(f"stage visit {name} {s}", person)[:, 0]
        asks.ask(
            person,
            reached[new] + 0.5 + 3 * u,
            (15 + 15 * u) * MINUTES,
            CLASS["ambulatory"],
            snomed(book, "followup"),
            reason=book.place(ICD10CM, condition.icd10),
            specialty=book.text(condition.specialty),
        )


def _attacks(asks: Asks, history: History, book: Book, name: str, attacks: Attacks) -> tuple[Batch, Ints]:
    """Ask for the care of one kind of episode; a batch with one ask per attack that was seen."""
    admission = attacks.care == PLACES.index("inpatient")
    written = admission | history.people.written(attacks.person, attacks.seen)
    seen = np.flatnonzero(~np.isnan(attacks.seen) & written)
    person = attacks.person[seen]
    u = history.draw(f"care {name}", person, attacks.ordinal[seen], width=3)
    place = attacks.care[seen]
    admitted = place == PLACES.index("inpatient")
    kind = np.array([CLASS.get(one, CLASS["ambulatory"]) for one in PLACES])[place]
    code = np.array([snomed(book, one if one in CODES else "problem") for one in PLACES])
    code[PLACES.index("ambulatory")] = snomed(book, "problem")
    minutes = np.array([20.0, 30, 25, 45, 200, 30, 15, 40])[place]  # of PLACES; emergency: NHAMCS 2021, median 3 h 20
    spread = np.where(place == PLACES.index("emergency"), 0.5, 0.25)
    length = np.where(admitted, attacks.stay[seen], minutes * np.exp(spread * (u[:, 0] - 0.5) * 3) * MINUTES)
    waited = np.where(admitted & (u[:, 1] < 0.75), (2.5 + 5 * u[:, 2]) / 24, np.nan)
    batch = asks.ask(
        person,
        np.maximum(attacks.seen[seen], history.people.birth[person] + BORN),
        length,
        kind,
        code[place],
        reason=book.place(ICD10CM, attacks.episode.icd10),
        specialty=np.where(
            (place == PLACES.index("emergency")) | (place == PLACES.index("urgent")),
            book.text("emergency medicine"),
            book.text(attacks.episode.specialty),
        ),
        emergency=waited,
        icu_from=attacks.icu_from[seen],
        icu_days=np.where(np.isnan(attacks.icu_from[seen]), np.nan, attacks.icu_days[seen]),
    )
    return batch, seen


def waiting(u: Floats, median: float) -> Floats:
    """Return exponential waiting times with a median."""
    return exponential(u) / np.log(2) * median
