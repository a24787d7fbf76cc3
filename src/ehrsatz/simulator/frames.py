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
from ehrsatz.simulator.history import Floats, History, Ints, ordinals
from ehrsatz.simulator.records import Book, Records, Rows

MINUTE = 60_000_000  # microseconds
SLACK = 1e-4  # minutes: a time on a whole minute stays there whatever its last bit
LEVELS = {  # table.column -> words of its positions
    f"{table.name}.{column.name}": column.values
    for table in clinical.schema().tables
    for column in table.columns
    if column.values is not None
}
KINDS = {"allergy.system": (clinical.SNOMED, clinical.RXNORM)}

Columns = dict[str, pl.Series]
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
            codes=_dictionary([code for _, code in entries]),
            displays=_dictionary([scene.display(*entry) if entry[0] else entry[1] for entry in entries]),
            systems=_dictionary([system for system, _ in entries]),
            billed=_dictionary(ledger.book_codes(entries, scene.cpt)),
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
            "category": _dictionary(list(self.items.categories)),
            "code": _dictionary(codes),
            "display": _dictionary([self.display(clinical.LOINC, code) if code else None for code in codes]),
            "unit": _dictionary(list(self.items.units)),
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
    shard = _Shard(records, history, scene)
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


class _Shard:
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
        return _gather(self.words.codes, positions)

    def display(self, positions: NDArray[np.generic]) -> pl.Series:
        return _gather(self.words.displays, positions)

    def level(self, place: str, positions: NDArray[np.generic]) -> pl.Series:
        return _gather(_dictionary(list(KINDS.get(place) or LEVELS[place] or ())), positions)

    # ------------------------------------------------------------------ tables
    def patient(self) -> Columns:
        people, scene = self.people, self.scene
        attributes = people.attributes
        death = minutes(people.death)
        out = {
            **self.scene.texts(self.history),
            "patient_id": self.patients,
            "birth_date": _days(people.birth),
            "death_time": moments(np.where(np.isnan(people.death), np.nan, death + 1), whole=True),
            "death_cause": _gather(_dictionary(list(self.history.causes)), people.cause),
            "sex": self.level("patient.sex", people.sex),
            "region": _gather(_dictionary(list(scene.regions)), attributes["region"]),
            "country": pl.Series([scene.country], dtype=pl.String).new_from_index(0, people.n),
            "marital_status": self.level("patient.marital_status", attributes["marital"]),
            "income": pl.Series(np.round(people.income, -2)),
            "smoking": self.level("patient.smoking", _smoking(self.history)),
        }
        for name in ("race", "ethnicity", "education", "housing", "insurance", "alcohol", "activity"):
            out[name] = self.level(f"patient.{name}", attributes[name])
        return out

    def encounter(self) -> Columns:
        met, world = self.met, self.scene.world
        start, stop = span(met.start, met.stop)
        return {
            "encounter_id": self.encounters,
            "patient_id": self.patients.gather(met.person),
            "part_of_id": _optional(self.encounters, met.part_of),
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
            start, stop = span(*_floats(rows, "start", "stop"))
            out |= {"start": moments(start, whole=True), "stop": moments(stop, whole=True)}
        elif name == "condition":
            onset, abatement = span(*_floats(rows, "onset", "abatement"))
            out |= {"onset": moments(onset, whole=True), "abatement": moments(abatement, whole=True)}
        for column, how in EVENTS[name].items():
            if column not in out:
                out |= how(self, name, column, rows)
        return out

    def observation(self, rows: Rows) -> Columns:
        """Columns of observations that hang on item, person and value."""
        item: Any = rows["item"]
        value, time = _floats(rows, "value", "time")
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
            **{name: _gather(column, item) for name, column in self.scene.item.items()},
            "value": _numbers(value),
            "text_value": self.word(words),
            "low": _numbers(low),
            "high": _numbers(high),
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
        member = "TEST" + self.patients.str.slice(1).gather(held.person) + "-" + _gather(_HUNDRED, held.ordinal)
        return {
            "coverage": {
                "coverage_id": covers,
                "patient_id": self.patients.gather(held.person),
                "payer_id": scene.world.ids("payer").gather(held.payer),
                "member_number": member,
                "start": _days(held.start),
                "stop": _days(held.stop),
            },
            "claim": {
                "claim_id": claims,
                "patient_id": patients,
                "encounter_id": self.encounters,
                "coverage_id": _optional(covers, book.coverage),
                "time": moments(span(met.start, met.stop)[1], whole=True),
                "total": _money(book.total),
                "status": self.level("claim.status", book.status),
            },
            "claim_line": {
                "claim_line_id": keys.within("claim_line", number, met.person[line]),
                "patient_id": patients.gather(line),
                "encounter_id": self.encounters.gather(line),
                "claim_id": claims.gather(line),
                "number": pl.Series(book.line_number),
                "kind": self.level("claim_line.kind", book.line_kind),
                "code": _gather(self.words.billed, book.line_code),
                "amount": _money(book.line_amount),
                "time": moments(book.line_time),
            },
            "payment": {
                "payment_id": keys.within("payment", number, met.person[paid]),
                "patient_id": patients.gather(paid),
                "encounter_id": self.encounters.gather(paid),
                "claim_id": claims.gather(paid),
                "time": moments(book.payment_time),
                "payer_part": _money(book.payer_part),
                "patient_part": _money(book.patient_part),
                "adjustment": _money(book.adjustment),
            },
        }


# ---------------------------------------------------------------------- columns of event tables
How = Callable[[_Shard, str, str, Rows], Columns]


def _coded(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    out = {column: shard.word(rows[column]), column.replace("code", "display"): shard.display(rows[column])}
    return out if "display" in next(reversed(out)) and column != "reason" else {f"{column}_code": out[column]}


def _reason(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {"reason_code": shard.word(rows["reason"])}


def _text(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {column: shard.word(rows[column])}


def _level(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {column: shard.level(f"{name}.{column}", rows[column])}


def _number(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {column: _numbers(np.asarray(rows[column], np.float64))}


def _integer(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {column: pl.Series(np.asarray(rows[column], np.int64))}


def _time(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {column: moments(*_floats(rows, column))}


def _link(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {f"{column}_id": _optional(shard.keys[column], rows[column])}


def _target(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    """What a goal wants to be measured, in the units that are reported."""
    scene, code = shard.scene, np.asarray(rows["code"], np.int64)
    item = np.where(code < 0, -1, shard.words.measured[np.maximum(code, 0)])
    known, place = item >= 0, np.maximum(item, 0)
    ends = [np.where(known, scene.items.convert(place, end), end) for end in _floats(rows, "low", "high")]
    return {
        "code": pl.select(
            pl.when(pl.Series(known)).then(_gather(scene.item["code"], place)).otherwise(shard.word(code))
        ).to_series(),
        "unit": pl.select(
            pl.when(pl.Series(known)).then(_gather(scene.item["unit"], place)).otherwise(shard.word(rows["unit"]))
        ).to_series(),
        "target_low": _numbers(ends[0]),
        "target_high": _numbers(ends[1]),
    }


def _only_display(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {"display": shard.display(rows[column])}


def _snomed(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {"snomed_code": shard.word(rows["snomed"]), "snomed_display": shard.display(rows["snomed"])}


def _system(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {"system": _gather(shard.words.systems, rows["code"])}


def _reaction(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {"reaction_code": shard.word(rows["reaction"]), "reaction_display": shard.display(rows["reaction"])}


def _observation(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return shard.observation(rows)


def _report_text(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    """Fill age and sex into the texts of reports."""
    text = shard.word(rows["text"])
    if not text.str.contains("{", literal=True).any():
        return {"text": text}
    person = shard.met.person[rows["encounter"]]
    age = np.floor(shard.people.age(person, _floats(rows, "time")[0])).astype(np.int64)
    frame = pl.DataFrame({"text": text, "age": age, "sex": shard.level("patient.sex", shard.people.sex[person])})
    filled = frame.select(
        pl.col("text")
        .str.replace_all("{age}", pl.col("age").cast(pl.String), literal=True)
        .str.replace_all("{sex}", pl.col("sex"), literal=True)
    )
    return {"text": filled["text"]}


def _serial(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    return {"serial": "TEST-" + shard.keys["device"]}


_SITES = ("left deltoid", "right deltoid", "left thigh", "right thigh")


def _vaccine(shard: _Shard, name: str, column: str, rows: Rows) -> Columns:
    """Site by age (thigh up to the first birthday), and a lot that no maker has given out.

    Kroger A et al., General Best Practice Guidelines for Immunization, ACIP 2023: vastus lateralis in infants, deltoid
    later.
    """
    met: Any = rows["encounter"]
    person = shard.met.person[met]
    u = shard.history.draw("vaccine", person, ordinals(person), width=2) if len(person) else np.zeros((0, 2))
    infant = shard.people.age(person, _floats(rows, "time")[0]) < 1.0
    lots = pl.Series([f"TEST{i:03d}" for i in range(1000)])
    return {
        "site": _gather(_dictionary(list(_SITES)), (u[:, 0] < 0.4).astype(np.int64) + 2 * infant),
        "lot": _gather(lots, (u[:, 1] * 1000).astype(np.int64)),
    }


EVENTS: Mapping[str, Mapping[str, How]] = {  # in an order in which links find their keys
    "order": {
        "time": _time,
        "kind": _level,
        "system": _system,
        "code": _coded,
        "reason": _reason,
        "status": _level,
    },
    "condition": {
        "code": _coded,
        "snomed": _snomed,
        "stage": _text,
        "onset": _time,
        "recorded": _time,
        "abatement": _time,
        "status": _level,
    },
    "observation": {"order": _link, "time": _time, "item": _observation},
    "report": {
        "order": _link,
        "time": _time,
        "kind": _level,
        "modality": _text,
        "site": lambda shard, name, column, rows: {"body_site": shard.word(rows["site"])},
        "code": _only_display,
        "text": _report_text,
    },
    "medication": {
        "code": _coded,
        "start": _time,
        "stop": _time,
        "dose": _number,
        "unit": lambda shard, name, column, rows: {"dose_unit": shard.word(rows["unit"])},
        "route": _text,
        "per_day": _number,
        "refills": _integer,
        "quantity": _number,
        "reason": _reason,
        "stop_reason": _text,
        "status": _level,
    },
    "procedure": {"code": _coded, "start": _time, "stop": _time, "reason": _reason},
    "immunization": {"code": _coded, "time": _time, "dose_number": _integer, "lot": _vaccine},
    "allergy": {
        "system": _system,
        "code": _coded,
        "category": _level,
        "reaction": _reaction,
        "severity": _level,
        "onset": _time,
    },
    "device": {"code": _coded, "start": _time, "stop": _time, "serial": _serial},
    "careplan": {"code": _coded, "start": _time, "stop": _time, "reason": _reason, "status": _level},
    "goal": {
        "careplan": _link,
        "description": _text,
        "code": _target,
        "start": _time,
        "status": _level,
    },
}


# ---------------------------------------------------------------------- arrays into columns
def minutes(days: Floats) -> Floats:
    """Return days as whole minutes, rounded down; NaN stays."""
    return np.floor(days * 1440.0 + SLACK)


def span(start: Floats, stop: Floats) -> tuple[Floats, Floats]:
    """Return beginnings and ends in whole minutes, an end at least one minute after its beginning; NaN stays."""
    begin, end = minutes(start), minutes(stop)
    with np.errstate(invalid="ignore"):
        return begin, np.where(end <= begin, begin + 1, end)


def moments(time: Floats, *, whole: bool = False) -> pl.Series:
    """Return times as Datetime("us"); NaN becomes null.

    Parameters
    ----------
    time
        Days, or with `whole` minutes.
    """
    time = np.asarray(time, np.float64)
    absent = np.isnan(time)
    gone = bool(absent.any())
    count = time if whole else minutes(time)
    micro = (np.where(absent, 0.0, count) if gone else count).astype(np.int64) * MINUTE
    out = pl.Series(micro).cast(pl.Datetime("us"))
    return out.to_frame("a").select(pl.when(pl.Series(~absent)).then(pl.col("a")))["a"].alias("") if gone else out


def _days(day: Floats) -> pl.Series:
    absent = np.isnan(day)
    whole = np.floor(np.where(absent, 0.0, day)).astype(np.int32)
    out = pl.Series(whole).cast(pl.Date)
    return out.to_frame("a").select(pl.when(pl.Series(~absent)).then(pl.col("a")))["a"].alias("")


def _numbers(values: Floats) -> pl.Series:
    return pl.Series(values, nan_to_null=True)


def _money(cents: NDArray[np.int64]) -> pl.Series:
    return pl.Series(cents / 100.0)


def _floats(rows: Rows, *names: str) -> list[Floats]:
    return [np.asarray(rows[name], np.float64) for name in names]


def _dictionary(words: Sequence[str | None]) -> pl.Series:
    """Return words with a null after them, so that position -1 means none."""
    return pl.Series([*words, None], dtype=pl.String)


def _gather(words: pl.Series, positions: NDArray[np.generic]) -> pl.Series:
    """Return the words at positions (R,); -1 is null where the words are a `_dictionary`."""
    place = np.asarray(positions, np.int64)
    return words.gather(pl.Series(np.where(place < 0, len(words) - 1, place).astype(np.uint32)))


def _optional(ids: pl.Series, positions: NDArray[np.generic]) -> pl.Series:
    """Return the keys at positions (R,), null where the position is -1."""
    place = np.asarray(positions, np.int64)
    if not (place < 0).any():
        return ids.gather(place)
    return _gather(pl.concat([ids.alias(""), pl.Series([None], dtype=pl.String)]), place)


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
