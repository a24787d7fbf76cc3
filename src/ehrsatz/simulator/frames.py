"""Raw records -> the frames of the clinical schema: keys, words, times, who was there, what it cost.

Everything is a gather from a dictionary or one pass over an array; no text is made per row. Positions are checked as
whole numbers (in range, in order), from which unique keys and whole links follow; the first shard of a run is besides
checked as any dataset is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import clinical
from ehrsatz.dataset import Dataset
from ehrsatz.provenance import Provenance
from ehrsatz.schema import dtype_of
from ehrsatz.simulator import coverage, keys, ledger, providers
from ehrsatz.simulator.columns import days, dictionary, floats, gather, minutes, moments, money, numbers, optional, span
from ehrsatz.simulator.events import EVENTS, Columns
from ehrsatz.simulator.history import Floats, History, Ints
from ehrsatz.simulator.records import Book, Records, Rows

LEVELS = {  # table.column -> words of its positions
    f"{table.name}.{column.name}": column.values
    for table in clinical.schema().tables
    for column in table.columns
    if column.values is not None
}

Texts = Callable[[History], Mapping[str, pl.Series]]


class Items(Protocol):
    """What frames need to know of the catalogue of observations; columns by position of an item."""

    @property
    def codes(self) -> Sequence[str]:
        """LOINC codes."""

    @property
    def categories(self) -> Sequence[str]:
        """Of clinical.CATEGORIES."""

    @property
    def units(self) -> Sequence[str | None]:
        """UCUM."""

    def ranges(self, item: Ints, sex: Ints, age: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return low and high ends of the reference range and of the critical range (R,), NaN: none."""

    def convert(self, item: Ints, value: Floats) -> Floats:
        """Return values (R,) of the catalogue's units in the units that are reported."""

    def of_code(self, codes: Sequence[tuple[str, str]]) -> Ints:
        """Return the item of each (system, code), -1: none."""


@dataclass(frozen=True)
class Words:
    """Columns by position in a book, each with a null after the last for position -1.

    codes, displays, systems; `billed`: what a code is called on a claim; `prices`; `specialty`: position in the world's
    specialties, -1: none; `measured`: item that it is the code of, -1: none.
    """

    codes: pl.Series
    displays: pl.Series
    systems: pl.Series
    billed: pl.Series
    prices: ledger.Prices
    specialty: Ints
    measured: Ints

    @classmethod
    def of(cls, scene: Scene) -> Words:
        """Return the columns for the entries that the scene's book has now."""
        entries = tuple(scene.book.entries)
        known = scene.world.specialties
        return cls(
            codes=dictionary([code for _, code in entries]),
            displays=dictionary([scene.display(*entry) if entry[0] else entry[1] for entry in entries]),
            systems=dictionary([system for system, _ in entries]),
            billed=dictionary(ledger.book_codes(entries, scene.cpt)),
            prices=ledger.Prices.of(entries),
            specialty=np.array([-1 if system else known.get(text, -1) for system, text in entries], np.int64),
            measured=scene.items.of_code(entries),
        )


@dataclass(frozen=True)
class Scene:
    """All that is the same in every shard, made once in each process.

    Parameters
    ----------
    book
        Texts and codes that records point to.
    display
        (system, code) -> display.
    items
        The catalogue of observations.
    world
        Organisations, places, practitioners, payers.
    payers
        Kind of insurance and share among its kind, as in the world.
    national
        Whether the country insures everybody.
    texts
        Names, addresses and numbers of patients: columns of the patient table by name.
    country
        ISO 3166-1.
    regions
        Codes of the regions.
    cpt
        A licensed user's map (system, code) -> CPT code for claims.
    """

    book: Book
    display: Callable[[str, str], str]
    items: Items
    world: providers.World
    payers: Sequence[tuple[str, float]]
    national: bool
    texts: Texts
    country: str
    regions: Sequence[str]
    cpt: Mapping[tuple[str, str], str]

    @cached_property
    def _words(self) -> dict[int, Words]:
        return {}

    def words(self) -> Words:
        """Return the columns by position in the book, as it stands now: care may still add to it."""
        n = len(self.book.entries)
        if n not in self._words:
            self._words.clear()
            self._words[n] = Words.of(self)
        return self._words[n]

    @cached_property
    def item(self) -> Columns:
        """Columns of observations that hang on the item alone."""
        codes = list(self.items.codes)
        return {
            "category": dictionary(list(self.items.categories)),
            "code": dictionary(codes),
            "display": dictionary([self.display(clinical.LOINC, code) if code else None for code in codes]),
            "unit": dictionary(list(self.items.units)),
        }


def dataset(
    records: Records, history: History, scene: Scene, provenance: Provenance, *, check: bool | None = None
) -> Dataset:
    """Return the records of a shard as a dataset of the clinical schema.

    Parameters
    ----------
    records, history
        Of the shard.
    scene
        What all shards share.
    provenance
        Of the run.
    check
        Whether to check it as any dataset is checked; None: where it holds the first person of the cohort.

    Raises
    ------
    AssertionError
        When a position of the records is out of range or order.
    DataError
        When the check finds that rows do not fit the schema.
    """
    _sound(records, history)
    shard = Draft(records, history, scene)
    made: dict[str, Columns] = {"patient": shard.patient(), "encounter": shard.encounter()}
    for name in EVENTS:
        made[name] = shard.event(name)
    made |= {"relation": shard.relation(), **shard.money()}
    tables = {}
    for table in clinical.schema().tables:
        frame = scene.world.tables.get(table.name)
        tables[table.name] = (pl.DataFrame(made[table.name]) if frame is None else frame).select(table.names)
    full = check if check is not None else bool((history.people.number == 0).any())
    maker = Dataset if full else Dataset.trusted
    return maker(clinical.schema(), tables, provenance)


class Draft:
    """One shard's records on their way into frames."""

    def __init__(self, records: Records, history: History, scene: Scene) -> None:
        self.records, self.history, self.scene = records, history, scene
        self.people, self.met = history.people, records.encounters
        self.patients = keys.patients(self.people.number)
        self.encounters = keys.within("encounter", self.people.number, self.met.person)
        self.words = scene.words()
        self.seen = providers.see(scene.world, records, history, self.words.specialty)
        self.keys: dict[str, pl.Series] = {}

    # ------------------------------------------------------------------ words and times
    def word(self, positions: NDArray[np.generic]) -> pl.Series:
        """Return codes or texts by positions in the book (R,); -1 is null."""
        return gather(self.words.codes, positions)

    def display(self, positions: NDArray[np.generic]) -> pl.Series:
        """Return displays by positions in the book (R,); -1 is null."""
        return gather(self.words.displays, positions)

    def level(self, place: str, positions: NDArray[np.generic]) -> pl.Series:
        """Return the levels of a column (table.column) by position (R,); -1 is null."""
        return gather(dictionary(LEVELS[place]), positions)

    # ------------------------------------------------------------------ tables
    def patient(self) -> Columns:
        """Return the columns of the table of patients."""
        people, scene = self.people, self.scene
        attributes = people.attributes
        death = minutes(people.death)
        out = {
            **self.scene.texts(self.history),
            "patient_id": self.patients,
            "birth_date": days(people.birth),
            "death_time": moments(np.where(np.isnan(people.death), np.nan, death + 1), whole=True),
            "death_cause": gather(dictionary(list(self.history.causes)), people.cause),
            "sex": self.level("patient.sex", people.sex),
            "region": gather(dictionary(list(scene.regions)), attributes["region"]),
            "country": pl.Series([scene.country], dtype=pl.String).new_from_index(0, people.n),
            "marital_status": self.level("patient.marital_status", attributes["marital"]),
            "income": pl.Series(np.round(people.income, -2)),
            "smoking": self.level("patient.smoking", _smoking(self.history)),
        }
        for name in ("race", "ethnicity", "education", "housing", "insurance", "alcohol", "activity"):
            out[name] = self.level(f"patient.{name}", attributes[name])
        return out

    def encounter(self) -> Columns:
        """Return the columns of the table of encounters."""
        met, world = self.met, self.scene.world
        start, stop = span(met.start, met.stop)
        return {
            "encounter_id": self.encounters,
            "patient_id": self.patients.gather(met.person),
            "part_of_id": optional(self.encounters, met.part_of),
            "practitioner_id": world.ids("practitioner").gather(self.seen.practitioner),
            "organization_id": world.ids("organization").gather(self.seen.organization),
            "location_id": world.ids("location").gather(self.seen.location),
            "class": self.level("encounter.class", met.kind),
            "code": self.word(met.code),
            "display": self.display(met.code),
            "reason_code": self.word(met.reason),
            "reason_display": self.display(met.reason),
            "start": moments(start, whole=True),
            "stop": moments(stop, whole=True),
            "disposition": self.level("encounter.disposition", met.disposition),
        }

    def event(self, name: str) -> Columns:
        """Return the columns of an event table, made as `EVENTS` says."""
        rows = self.records.rows.get(name)
        if rows is None:
            self.keys[name] = pl.Series([], dtype=pl.String)
            table = clinical.schema()[name]
            return {column.name: pl.Series([], dtype=dtype_of(column.kind)) for column in table.columns}
        met: Any = rows["encounter"]
        person = self.met.person[met]
        own = self.keys[name] = keys.within(name, self.people.number, person)
        out = {
            f"{name}_id": own,
            "patient_id": self.patients.gather(person),
            "encounter_id": self.encounters.gather(met),
        }
        if name in {"order", "medication", "procedure"}:
            out["practitioner_id"] = self.scene.world.ids("practitioner").gather(self.seen.practitioner[met])
        if "start" in rows and "stop" in rows:
            start, stop = span(*floats(rows, "start", "stop"))
            out |= {"start": moments(start, whole=True), "stop": moments(stop, whole=True)}
        elif name == "condition":
            onset, abatement = span(*floats(rows, "onset", "abatement"))
            out |= {"onset": moments(onset, whole=True), "abatement": moments(abatement, whole=True)}
        for column, how in EVENTS[name].items():
            if column not in out:
                out |= how(self, name, column, rows)
        return out

    def observation(self, rows: Rows) -> Columns:
        """Columns of observations that hang on item, person and value."""
        item: Any = rows["item"]
        value, time = floats(rows, "value", "time")
        value = self.scene.items.convert(item, value)
        person = self.met.person[rows["encounter"]]
        low, high, least, most = self.scene.items.ranges(item, self.people.sex[person], self.people.age(person, time))
        with np.errstate(invalid="ignore"):
            beyond = np.where(value < low, 1, np.where(value > high, 2, 0))
            # limits of calling are those of adults: what a child's range holds is not critical
            beyond = np.where((value < least) & ~(value >= low), 3, beyond)
            beyond = np.where((value > most) & ~(value <= high), 4, beyond)
        ranged = ~(np.isnan(low) & np.isnan(high)) & ~np.isnan(value)
        words: Any = rows.get("text", np.full(len(item), -1))
        return {
            **{name: gather(column, item) for name, column in self.scene.item.items()},
            "value": numbers(value),
            "text_value": self.word(words),
            "low": numbers(low),
            "high": numbers(high),
            "interpretation": self.level("observation.interpretation", np.where(ranged, beyond, -1)),
        }

    def relation(self) -> Columns:
        """Families: each pair stands twice, once from either side."""
        number = self.people.number
        order = np.argsort(number)
        person, relative, what = [], [], []
        for kind, other in (
            ("mother", self.people.mother),
            ("father", self.people.father),
            ("spouse", self.people.spouse),
        ):
            if other is None:
                continue
            row = np.flatnonzero(other >= 0)
            at = np.minimum(np.searchsorted(number[order], other[row]), max(0, len(order) - 1))
            found = order[at]
            row, found = row[number[found] == other[row]], found[number[found] == other[row]]
            here = clinical.RELATIONS.index(kind)
            person += [row]
            relative += [found]
            what += [np.full(len(row), here)]
            if kind != "spouse":
                person, relative = [*person, found], [*relative, row]
                what += [np.full(len(row), clinical.RELATIONS.index("child"))]
        who, whom, which = (np.concatenate([np.zeros(0, np.int64), *part]) for part in (person, relative, what))
        sort = np.lexsort((whom, which, who))
        who, whom, which = who[sort], whom[sort], which[sort]
        return {
            "relation_id": keys.within("relation", number, who),
            "patient_id": self.patients.gather(who),
            "relative_id": self.patients.gather(whom),
            "relation": self.level("relation.relation", which),
        }

    def money(self) -> dict[str, Columns]:
        """Coverage, claims, lines and payments."""
        scene, number, met = self.scene, self.people.number, self.met
        held = coverage.cover(self.history, scene.payers, national=scene.national)
        book = ledger.settle(self.records, self.history, held, self.words.prices)
        covers = keys.within("coverage", number, held.person)
        claims = keys.within("claim", number, met.person)
        patients = self.patients.gather(met.person)
        line, paid = book.line_claim, book.payment_claim
        member = "TEST" + self.patients.str.slice(1).gather(held.person) + "-" + gather(_HUNDRED, held.ordinal)
        return {
            "coverage": {
                "coverage_id": covers,
                "patient_id": self.patients.gather(held.person),
                "payer_id": scene.world.ids("payer").gather(held.payer),
                "member_number": member,
                "start": days(held.start),
                "stop": days(held.stop),
            },
            "claim": {
                "claim_id": claims,
                "patient_id": patients,
                "encounter_id": self.encounters,
                "coverage_id": optional(covers, book.coverage),
                "time": moments(span(met.start, met.stop)[1], whole=True),
                "total": money(book.total),
                "status": self.level("claim.status", book.status),
            },
            "claim_line": {
                "claim_line_id": keys.within("claim_line", number, met.person[line]),
                "patient_id": patients.gather(line),
                "encounter_id": self.encounters.gather(line),
                "claim_id": claims.gather(line),
                "number": pl.Series(book.line_number),
                "kind": self.level("claim_line.kind", book.line_kind),
                "code": gather(self.words.billed, book.line_code),
                "amount": money(book.line_amount),
                "time": moments(book.line_time),
            },
            "payment": {
                "payment_id": keys.within("payment", number, met.person[paid]),
                "patient_id": patients.gather(paid),
                "encounter_id": self.encounters.gather(paid),
                "claim_id": claims.gather(paid),
                "time": moments(book.payment_time),
                "payer_part": money(book.payer_part),
                "patient_part": money(book.patient_part),
                "adjustment": money(book.adjustment),
            },
        }


def _smoking(history: History) -> Ints:
    """Return what people are at the end of their record, as positions in clinical.SMOKING."""
    people = history.people
    began = people.smoked_from <= people.end
    return np.where(began, np.where(people.smoked_to <= people.end, 1, 2), 0)


_HUNDRED = pl.Series([f"{i:02d}" for i in range(1, 100)])


def _sound(records: Records, history: History) -> None:
    """Assert what keys and links rest on: sorted rows, positions in range, moments where they must be."""
    met = records.encounters
    n, e = history.people.n, len(met.person)
    number = history.people.number
    assert (np.diff(number) > 0).all(), "people: numbers must rise"
    assert e == 0 or (met.person.min() >= 0 and met.person.max() < n), "encounters: a person out of range"
    assert (np.diff(met.person) >= 0).all(), "encounters: not sorted by person"
    assert met.part_of.max(initial=-1) < e, "encounters: part_of out of range"
    part = np.flatnonzero(met.part_of >= 0)
    assert (met.person[met.part_of[part]] == met.person[part]).all(), "encounters: a part of somebody else's stay"
    assert not (np.isnan(met.start).any() or np.isnan(met.stop).any()), "encounters: a start or stop is absent"
    for name, rows in records.rows.items():
        at: Any = rows["encounter"]
        assert len(at) == 0 or (at.min() >= 0 and at.max() < e), f"{name}: an encounter out of range"
        assert (np.diff(met.person[at]) >= 0).all(), f"{name}: not sorted by person"
        for link in ("order", "careplan"):
            if link in rows:
                place: Any = rows[link]
                other: Any = records.rows.get(link, {}).get("encounter", np.zeros(0, np.int64))
                some = place[place >= 0]
                assert place.max(initial=-1) < len(other), f"{name}: {link} out of range"
                whose = met.person[other[some]] == met.person[at[place >= 0]]
                assert whose.all(), f"{name}: {link} of somebody else"
