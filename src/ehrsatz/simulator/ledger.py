"""What care costs and who pays it: one claim per encounter, its lines, and the payments that settle it to the cent.

A charge is the typical charge of its kind, times a factor of its code (the same for everybody), times a spread of its
own. Money is counted in whole cents; the payments of a claim add up to its total, as its lines do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import ndtri

from ehrsatz import clinical
from ehrsatz.simulator.coverage import Coverage
from ehrsatz.simulator.history import History, Ints, ordinals
from ehrsatz.simulator.module import NonNegative, Part, Positive, Share, Source
from ehrsatz.simulator.records import Records

KINDS = ("encounter", "procedure", "medication", "laboratory", "imaging", "immunization", "device")  # of claim lines
PAID, DENIED, SELF = range(3)  # of the statuses of claims, in the order of the clinical schema
GRID = 4096  # steps of the table of spreads

Cents = NDArray[np.int64]


class Charge(Part):
    """Median charge of one service in US dollars, and for stays per day."""

    once: NonNegative
    per_day: NonNegative = 0.0
    between: NonNegative = Field(default=0.0, description="Standard deviation of the logarithm between codes.")
    source: Source


class Settling(Part):
    """How one kind of payer settles: allowed share of the charge, patient's share of that, and claims denied."""

    allowed: Share
    patient: Share
    denied: Share
    source: Source


class Factor(Part):
    """One number with its source."""

    factor: Positive = 1.0
    sigma: NonNegative = 0.0
    share: Share = 0.0
    source: Source


class Days(Part):
    """Days from a claim to its payment by payer and by patient, least and most."""

    payer: tuple[Positive, Positive]
    patient: tuple[Positive, Positive]
    source: Source


class Charges(Part):
    """The table of charges."""

    about: str
    sources: dict[str, str]
    encounter: dict[str, Charge]
    line: dict[str, Charge]
    markup: Factor
    spread: Factor
    settling: dict[str, Settling]
    denied_to_patient: Factor
    days: Days

    @model_validator(mode="after")
    def _whole(self) -> Charges:
        if tuple(self.encounter) != clinical.CLASSES or tuple(self.line) != KINDS[1:]:
            raise ValueError("expected a charge for every class of encounter and kind of line")
        if set(self.settling) != set(clinical.INSURANCE):
            raise ValueError("expected how every kind of insurance settles")
        return self


@lru_cache(maxsize=1)
def charges() -> Charges:
    """Return the table of charges that comes with the package."""
    return Charges.model_validate_json((Path(__file__).parent / "data" / "charges.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Prices:
    """Typical charges in cents by kind of line and position in the book."""

    factor: NDArray[np.float64]  # (book,) factor of a code
    spreads: NDArray[np.float64]  # (GRID,) quantiles of the spread of one service
    table: Charges

    @classmethod
    def of(cls, entries: Sequence[tuple[str, str]], table: Charges | None = None) -> Prices:
        """Return the prices for the entries of a book; a code's factor hangs on nothing but the code."""
        table = table or charges()
        words = [hashlib.blake2b(json.dumps(one).encode(), digest_size=8).digest() for one in entries]
        u = (np.array([int.from_bytes(word, "big") for word in words], np.float64) + 0.5) / 2.0**64
        middle = (np.arange(GRID) + 0.5) / GRID
        return cls(ndtri(np.clip(u, 1e-9, 1 - 1e-9)), np.exp(table.spread.sigma * ndtri(middle)), table)

    def cents(self, kind: int, code: Ints, u: NDArray[np.float64]) -> Cents:
        """Return charges (R,) in cents of lines of one kind, by position of the code in the book."""
        one = self.table.line[KINDS[kind]]
        typical = one.once * self.table.markup.factor * np.exp(one.between * self.factor)
        return _cents(typical[code], self._spread(u))

    def stays(self, class_: Ints, days: NDArray[np.float64], u: NDArray[np.float64]) -> Cents:
        """Return charges (R,) in cents of encounters, by position in clinical.CLASSES and length."""
        every = [self.table.encounter[name] for name in clinical.CLASSES]
        once = np.array([one.once for one in every]) * self.table.markup.factor
        per_day = np.array([one.per_day for one in every]) * self.table.markup.factor
        return _cents(once[class_] + per_day[class_] * np.maximum(days, 0.0), self._spread(u))

    def _spread(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.spreads[(u * GRID).astype(np.int64)]


@dataclass(frozen=True)
class Ledger:
    """Claims, one per encounter and in their order; lines, sorted by claim; payments, sorted by claim and time."""

    coverage: Ints  # (E,) row of the coverage, -1: none
    total: Cents  # (E,)
    status: Ints  # (E,)
    line_claim: Ints  # (L,) row of the claim
    line_number: Ints  # (L,) 1, 2, ... within the claim
    line_kind: Ints  # (L,) position in KINDS
    line_code: Ints  # (L,) position in the book
    line_amount: Cents  # (L,)
    line_time: NDArray[np.float64]  # (L,)
    payment_claim: Ints  # (Q,)
    payment_time: NDArray[np.float64]  # (Q,)
    payer_part: Cents  # (Q,)
    patient_part: Cents  # (Q,)
    adjustment: Cents  # (Q,)


def settle(records: Records, history: History, coverage: Coverage, prices: Prices) -> Ledger:
    """Return the ledger of a shard.

    Parameters
    ----------
    records
        What care wrote down.
    history
        Lives, for draws and the reference date: nothing is paid after it.
    coverage
        Who was insured when.
    prices
        Made from the same book as the records.
    """
    met = records.encounters
    claim, kind, code, time = _lines(records)
    order = np.argsort(claim, kind="stable")  # within a claim: the encounter first, then by kind and time
    claim, kind, code, time = claim[order], kind[order], code[order], time[order]
    amount = np.empty(len(claim), np.int64)
    person = met.person[claim]
    u = history.draw("charge", person, ordinals(person))[:, 0] if len(person) else np.zeros(0)
    for k in range(len(KINDS)):
        rows = np.flatnonzero(kind == k)
        if k == 0:
            stay = met.stop[claim[rows]] - met.start[claim[rows]]
            amount[rows] = prices.stays(met.kind[claim[rows]], stay, u[rows])
        else:
            amount[rows] = prices.cents(k, code[rows], u[rows])
    begins = np.searchsorted(claim, np.arange(len(met.person)))
    total = np.add.reduceat(amount, begins) if len(amount) else np.zeros(0, np.int64)
    covered = coverage.at(met.person, met.stop)  # the day of the claim
    paid = _payments(records, history, coverage, covered, total, prices.table)
    number = np.arange(len(claim)) - begins[claim] + 1 if len(claim) else claim
    return Ledger(covered, total, paid[0], claim, number, kind, code, amount, time, *paid[1:])


def _lines(records: Records) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """Return encounter, kind, code and time of everything that is charged."""
    met = records.encounters
    n = len(met.person)
    parts: list[tuple[Ints, int, Ints, NDArray[np.float64]]] = [(np.arange(n), 0, met.code, met.start)]
    for k, table, when in (
        (1, "procedure", "start"),
        (2, "medication", "start"),
        (5, "immunization", "time"),
        (6, "device", "start"),
    ):
        rows = records.rows.get(table)
        if rows is not None:
            parts.append((rows["encounter"], k, rows["code"], rows[when]))  # type: ignore[arg-type]
    orders = records.rows.get("order")
    if orders is not None:
        for k, which in ((3, 0), (4, 1)):  # laboratory and imaging, where they were done
            keep = (orders["kind"] == which) & (orders["status"] == 0)
            parts.append((orders["encounter"][keep], k, orders["code"][keep], orders["time"][keep]))
    parts.sort(key=lambda part: part[1])
    claim = np.concatenate([part[0] for part in parts])
    kind = np.repeat([part[1] for part in parts], [len(part[0]) for part in parts])
    return claim, kind, np.concatenate([part[2] for part in parts]), np.concatenate([part[3] for part in parts])


def _payments(
    records: Records, history: History, coverage: Coverage, covered: Ints, total: Cents, table: Charges
) -> tuple[Ints, Ints, NDArray[np.float64], Cents, Cents, Cents]:
    """Return statuses of claims (E,), then claim, time, payer's part, patient's part and adjustment of payments."""
    met = records.encounters
    u = history.draw("payment", met.person, ordinals(met.person), width=4)
    insured = covered >= 0
    none = clinical.INSURANCE.index("none")
    kind = np.where(insured, coverage.kind[np.maximum(covered, 0)] if len(coverage.kind) else none, none)
    settling = [table.settling[name] for name in clinical.INSURANCE]
    share = np.array([[one.allowed, one.patient, one.denied] for one in settling])[kind]  # (E,) -> (E, 3)
    denied = insured & (u[:, 0] < share[:, 2])
    status = np.where(~insured, SELF, np.where(denied, DENIED, PAID))
    allowed = np.rint(total * np.clip(share[:, 0] + 0.1 * (u[:, 1] - 0.5) * (share[:, 0] < 1), 0, 1)).astype(np.int64)
    free = met.kind == clinical.CLASSES.index("wellness")  # preventive care is free of copayment
    patient = np.rint(allowed * np.where(insured & free, 0.0, share[:, 1])).astype(np.int64)
    to_patient = np.rint(total * table.denied_to_patient.share).astype(np.int64)
    patient = np.where(denied, to_patient, patient)
    payer = np.where(insured & ~denied, allowed - patient, 0)
    adjusted = total - payer - patient
    low, high = table.days.payer
    first = met.stop + low + u[:, 2] * (high - low)
    low, high = table.days.patient
    second = np.where(insured & ~denied, first, met.stop) + low + u[:, 3] * (high - low)
    split = (status == PAID) & (patient > 0)  # the payer first, then the patient
    rows = np.repeat(np.arange(len(total)), 1 + split)
    again = np.r_[False, rows[1:] == rows[:-1]] if len(rows) else np.zeros(0, bool)
    alone = ~again & ~split[rows]
    time = np.where(again | (status[rows] == SELF), second[rows], first[rows])
    return (
        status,
        rows,
        np.minimum(time, history.reference),
        np.where(again, 0, payer[rows]),
        np.where(again | alone, patient[rows], 0),
        np.where(again, 0, adjusted[rows]),
    )


def _cents(dollars: NDArray[np.float64], spread: NDArray[np.float64]) -> Cents:
    return np.maximum(1, np.rint(dollars * spread * 100.0)).astype(np.int64)


def book_codes(entries: Sequence[tuple[str, str]], cpt: Mapping[tuple[str, str], str]) -> list[str]:
    """Return what each entry of a book is called on a claim: its CPT code where a licensed user's map has one."""
    return [cpt.get(one, one[1]) for one in entries]
