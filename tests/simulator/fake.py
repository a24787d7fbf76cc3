"""Random lives and records of the right form, for tests of what comes after care: keys, frames, ledger, shards.

Nothing here is medicine. Everything that belongs to a person is drawn by its number, so that shards agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ehrsatz import clinical, terminology
from ehrsatz.provenance import Provenance, Step
from ehrsatz.seeds import addressed
from ehrsatz.simulator import frames, providers
from ehrsatz.simulator.history import YEAR, Floats, History, Ints, People, ordinals
from ehrsatz.simulator.records import Book, Encounters, Records
from ehrsatz.simulator.shards import Shard

REFERENCE = 20453.0  # 2025-12-31
REGIONS, THOUSANDS = ("CA", "WY", "NY"), (39_000.0, 580.0, 19_600.0)
PAYERS = (
    ("Alder Health", "private", 0.6),
    ("Birch Mutual", "private", 0.4),
    ("Medicare", "medicare", 1.0),
    ("Medicaid", "medicaid", 1.0),
    ("Medicare and Medicaid", "dual", 1.0),
    ("National", "national", 1.0),
)
SPECIALTIES = ("family medicine", "pediatrics", "cardiology", "rheumatology", "emergency medicine")
ROWS = {  # mean rows per encounter, so that a patient with 20 encounters has about 500 rows of all tables
    "order": 0.8,
    "observation": 12.0,
    "condition": 0.3,
    "report": 0.2,
    "medication": 0.8,
    "procedure": 0.4,
    "immunization": 0.2,
    "allergy": 0.03,
    "device": 0.02,
    "careplan": 0.05,
    "goal": 0.05,
}


class FakeItems:
    """Three items: one with a range by sex, one with text, one without a range."""

    codes: Sequence[str] = ("4548-4", "718-7", "8302-2")
    categories: Sequence[str] = ("laboratory", "laboratory", "vital-signs")
    units: Sequence[str | None] = ("%", "g/dL", "cm")

    def ranges(self, item: Ints, sex: Ints, age: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        low = np.array([[4.0, 4.0], [12.0, 13.5], [np.nan, np.nan]])[item, sex]
        high = np.array([[5.6, 5.6], [15.5, 17.5], [np.nan, np.nan]])[item, sex]
        return low, high, low - 3, high + 6

    def convert(self, item: Ints, value: Floats) -> Floats:
        return value

    def of_code(self, codes: Sequence[tuple[str, str]]) -> Ints:
        return np.array([self.codes.index(code) if code in self.codes else -1 for _, code in codes])


class FakeRegister:
    """Names and addresses by number."""

    def organizations(self, number: Ints, kind: Sequence[str], region: Ints) -> dict[str, pl.Series]:
        n = pl.Series(number).cast(pl.String)
        return {
            "name": "House " + n,
            "identifier": "ID" + n,
            "address_line": n + " Test Street",
            "city": "Testville" + n,
            "region": pl.Series([REGIONS[r] for r in region]),
            "postal_code": n,
            "phone": n,
        }

    def practitioners(self, number: Ints, region: Ints) -> dict[str, pl.Series]:
        n = pl.Series(number).cast(pl.String)
        return {"given_name": "Given" + n, "family_name": "Family" + n, "identifier": "NPI" + n}


def texts(history: History) -> dict[str, pl.Series]:
    """Return the text columns of the patient table."""
    number = pl.Series(history.people.number).cast(pl.String)
    names = (
        "given_name family_name birth_family_name address_line city postal_code phone email national_id record_number"
    )
    return {
        **{name: name + " " + number for name in names.split()},
        "language": pl.Series(["en"], dtype=pl.String).new_from_index(0, history.people.n),
        "blood_group": pl.Series(["O+"], dtype=pl.String).new_from_index(0, history.people.n),
    }


def book() -> Book:
    """Return a book of a few codes of every system."""
    out = Book()
    known = terminology.codes()
    for system in (clinical.SNOMED, clinical.ICD10CM, clinical.RXNORM):
        for code in known.of(system)[:30]:
            out.place(system, code)
    for code in FakeItems.codes:
        out.place(clinical.LOINC, code)
    for code in ("08", "115"):
        out.place(clinical.CVX, code)
    for unit in ("mg", "%"):
        out.place(clinical.UCUM, unit)
    for text in (*SPECIALTIES, "oral", "patient choice", "stage 3", "CT", "chest", "A {sex} of {age} years.", "Walk."):
        out.text(text)
    return out


BOOK = book()
LOINC_NAMES = {"4548-4": "Haemoglobin A1c", "718-7": "Haemoglobin", "8302-2": "Height", "08": "HepB", "115": "Tdap"}


def display(system: str, code: str) -> str:
    """Return a display, also of codes that no module names yet."""
    return terminology.display(system, code) if terminology.has(system, code) else LOINC_NAMES[code]


def of(system: str) -> np.ndarray:
    """Return the positions of a system's codes in the book."""
    return np.array([i for i, (name, _) in enumerate(BOOK.entries) if name == system])


def text(*words: str) -> np.ndarray:
    """Return the positions of texts in the book."""
    return np.array([BOOK.entries.index(("", word)) for word in words])


def scene(*, national: bool = False, cpt: Any = None) -> frames.Scene:
    """Return what all shards share."""
    world = providers.world(THOUSANDS, SPECIALTIES, [(name, kind) for name, kind, _ in PAYERS], FakeRegister())
    shares = [(kind, share) for _, kind, share in PAYERS]
    return frames.Scene(
        BOOK, display, FakeItems(), world, shares, national, texts, "US", REGIONS, {} if cpt is None else cpt
    )


class Flat:
    """Levels that nobody reads here."""

    def at(self, process: str, person: Ints, time: Floats) -> Floats:
        return np.zeros(len(person))


def history(first: int, n: int, *, seed: int = 7, national: bool = False) -> History:
    """Return lives of the people first .. first + n - 1; a third are dead, ages from 0 to 100."""
    number = np.arange(first, first + n, dtype=np.int64)
    u = addressed(seed, "fake", subjects=number, width=24)
    birth = np.floor(REFERENCE - u[:, 0] * 100 * YEAR)
    death = np.where(u[:, 1] < 0.3, birth + u[:, 2] * (REFERENCE - birth - 1) + 0.4, np.nan)
    end = np.where(np.isnan(death), REFERENCE, death)
    start = np.maximum(birth, end - 10 * YEAR)

    def level(column: int, names: Sequence[Any]) -> Ints:
        return (u[:, column] * len(names)).astype(np.int64)

    insurance = level(3, clinical.INSURANCE)
    insurance = np.where(insurance == 4, 0, insurance)
    old = end - birth > 65 * YEAR
    insurance = np.where(old & (insurance != 3), 1, insurance)
    attributes = {
        "race": level(4, clinical.RACES),
        "ethnicity": level(5, clinical.ETHNICITIES),
        "education": level(6, clinical.EDUCATION),
        "housing": level(7, clinical.HOUSING),
        "insurance": np.full(n, 4) if national else insurance,
        "alcohol": level(8, clinical.ALCOHOL),
        "activity": level(9, clinical.ACTIVITY),
        "marital": level(10, clinical.MARITAL),
        "region": level(11, REGIONS),
        "income": level(12, "12345"),
    }
    mother = np.where((number % 5 == 4) & (number > first), number - 1, -1)
    people = People(
        number=number,
        birth=birth,
        sex=np.where(number % 5 == 3, 0, level(13, "fm")),
        start=start,
        end=end,
        death=death,
        cause=np.where(np.isnan(death), -1, 0),
        attributes=attributes,
        income=20_000 + 80_000 * u[:, 14],
        adherence=u[:, 15],
        care_seeking=np.ones(n),
        smoked_from=np.where(u[:, 16] < 0.3, birth + 15 * YEAR, np.nan),
        smoked_to=np.where(u[:, 16] < 0.1, birth + 15.1 * YEAR, np.nan),
        mother=mother,
        father=np.full(n, -1),
        spouse=np.where(
            number % 5 == 0, np.where(number + 1 < first + n, number + 1, -1), np.where(number % 5 == 1, number - 1, -1)
        ),
    )
    return History(seed, people, Flat(), ("I10", "M10.9"), reference=REFERENCE)


def records(lives: History, visits: float = 20.0) -> Records:
    """Return random records: about `visits` encounters a person, rows by `ROWS`."""
    people = lives.people
    everyone = np.arange(people.n)
    count = (lives.draw("count", everyone)[:, 0] * 2 * visits).astype(np.int64)
    person = np.repeat(everyone, count)
    u = lives.draw("encounter", person, ordinals(person), width=8)
    start = people.start[person] + u[:, 0] * (people.end[person] - people.start[person]) * 0.99
    order = np.lexsort((start, person))
    start, u = start[order], u[order]
    stop = np.minimum(start + 0.01 + u[:, 1] ** 8 * 9, people.end[person])
    met = Encounters(
        person=person,
        start=start,
        stop=stop,
        kind=(u[:, 2] * len(clinical.CLASSES)).astype(np.int64),
        code=of(clinical.SNOMED)[(u[:, 3] * 30).astype(np.int64)],
        reason=np.where(u[:, 4] < 0.3, -1, of(clinical.ICD10CM)[(u[:, 4] * 30).astype(np.int64)]),
        specialty=text(*SPECIALTIES)[(u[:, 5] * 4).astype(np.int64)],
        part_of=np.full(len(person), -1),
        disposition=np.where(u[:, 6] < 0.5, -1, 0),
    )
    rows = {name: _rows(lives, met, name, mean) for name, mean in ROWS.items()}
    for name, link in (("observation", "order"), ("report", "order"), ("goal", "careplan")):
        _link(rows, name, link, optional=name == "observation")
    return Records(met, rows)


def _rows(lives: History, met: Encounters, name: str, mean: float) -> dict[str, Any]:
    """Return the rows of one table, sorted by encounter, then time."""
    people = lives.people
    e = np.arange(len(met.person))
    each = lives.draw(f"rows {name}", met.person, ordinals(met.person), width=2)
    at = np.repeat(e, np.floor(each[:, 0] * 2 * mean + each[:, 1]).astype(np.int64))
    person = met.person[at]
    u = lives.draw(f"cells {name}", person, ordinals(person), width=8)
    time = met.start[at] + u[:, 0] * (met.stop[at] - met.start[at])
    order = np.lexsort((time, at))
    time, u = time[order], u[order]
    ended = np.where(u[:, 1] < 0.5, np.nan, np.minimum(time + u[:, 1] * 30, people.end[person]))

    def pick(positions: np.ndarray, column: int) -> np.ndarray:
        return positions[(u[:, column] * len(positions)).astype(np.int64)]

    def maybe(positions: np.ndarray, column: int) -> np.ndarray:
        return np.where(u[:, column] < 0.5, -1, pick(positions, column))

    item = (u[:, 2] * 3).astype(np.int64)
    none = np.zeros(0, np.int64)
    own: dict[str, dict[str, Any]] = {
        "observation": {
            "item": item,
            "value": np.where(item == 2, np.nan, np.round(4 + u[:, 3] * 12, 1)),
            "text": np.where(item == 2, text("Walk.")[0], -1),
        },
        "order": {
            "kind": (u[:, 3] * 4).astype(np.int64),
            "code": np.where(u[:, 3] < 0.25, pick(of(clinical.LOINC), 4), pick(of(clinical.SNOMED), 4)),
            "reason": maybe(of(clinical.ICD10CM), 5),
            "status": (u[:, 6] < 0.1).astype(np.int64),
        },
        "report": {
            "kind": (u[:, 3] * 2).astype(np.int64),
            "modality": maybe(text("CT"), 4),
            "site": maybe(text("chest"), 4),
            "code": pick(of(clinical.SNOMED), 5),
            "text": pick(text("A {sex} of {age} years.", "Walk."), 6),
        },
        "medication": {
            "code": pick(of(clinical.RXNORM), 2),
            "start": time,
            "stop": ended,
            "dose": np.round(u[:, 3] * 100),
            "unit": np.full(len(at), of(clinical.UCUM)[0]),
            "route": np.full(len(at), text("oral")[0]),
            "per_day": np.ones(len(at)),
            "refills": (u[:, 4] * 4).astype(np.int64),
            "quantity": np.full(len(at), 30.0),
            "reason": maybe(of(clinical.ICD10CM), 5),
            "stop_reason": maybe(text("patient choice"), 6),
            "status": (u[:, 7] * 3).astype(np.int64),
        },
        "procedure": {
            "code": pick(of(clinical.SNOMED), 2),
            "start": time,
            "stop": time + 0.02,
            "reason": maybe(of(clinical.ICD10CM), 5),
        },
        "immunization": {"code": pick(of(clinical.CVX), 2), "dose_number": 1 + (u[:, 3] * 3).astype(np.int64)},
        "allergy": {
            "code": pick(of(clinical.RXNORM), 2),
            "category": np.zeros(len(at), np.int64),
            "reaction": maybe(of(clinical.SNOMED), 3),
            "severity": (u[:, 4] * 3).astype(np.int64),
            "onset": time,
        },
        "device": {"code": pick(of(clinical.SNOMED), 2), "start": time, "stop": ended},
        "careplan": {
            "code": pick(of(clinical.SNOMED), 2),
            "start": time,
            "stop": ended,
            "reason": maybe(of(clinical.ICD10CM), 5),
            "status": (u[:, 6] * 2).astype(np.int64),
        },
        "goal": {
            "description": np.full(len(at), text("Walk.")[0]),
            "code": maybe(of(clinical.LOINC), 2),
            "low": np.where(u[:, 3] < 0.5, np.nan, 4.0),
            "high": np.where(u[:, 3] < 0.5, np.nan, 7.0),
            "unit": np.full(len(at), of(clinical.UCUM)[1]),
            "start": time,
            "status": (u[:, 6] * 3).astype(np.int64),
        },
        "condition": {
            "code": pick(of(clinical.ICD10CM), 2),
            "snomed": maybe(of(clinical.SNOMED), 3),
            "stage": maybe(text("stage 3"), 4),
            "onset": time,
            "recorded": time,
            "abatement": ended,
            "status": (~np.isnan(ended)).astype(np.int64),
        },
    }
    timed = {"time": time} if name in {"observation", "order", "report", "immunization"} else {}
    return {"encounter": at if len(at) else none, **timed, **own[name]}


def _link(rows: dict[str, dict[str, Any]], name: str, link: str, *, optional: bool) -> None:
    """Point rows to rows of the same encounter, or drop them where it has none."""
    mine, theirs = rows[name], rows[link]["encounter"]
    at = np.searchsorted(theirs, mine["encounter"])
    fits = (at < len(theirs)) & (theirs[np.minimum(at, len(theirs) - 1)] == mine["encounter"])
    if optional:
        rows[name] = {**mine, link: np.where(fits, at, -1)}
    else:
        rows[name] = {key: values[fits] for key, values in mine.items()} | {link: at[fits]}


@dataclass(frozen=True)
class Maker:
    """Make shards of fake patients; picklable."""

    visits: float = 20.0
    national: bool = False

    def __call__(self, first: int, n: int) -> Shard:
        global _SCENE
        if _SCENE is None:
            _SCENE = scene(national=self.national)
        lives = history(first, n, national=self.national)
        made = frames.dataset(records(lives, self.visits), lives, _SCENE, PROVENANCE)
        return Shard(made, {"rows": made.n_rows})


_SCENE: frames.Scene | None = None
PROVENANCE = Provenance("simulated", (Step("simulate", "fake", "0"),))
