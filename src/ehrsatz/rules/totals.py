# ruff: noqa: E501 - tables of words
"""Money: claims that add up, payments that follow, coverage that was there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Spans, Statement, told
from ehrsatz.rules.view import ABSENT, DAY, EVER, Floats, View, Whole

ADDS = "By arithmetic, and X12 835 (005010X221A1) balancing: charge = paid + patient responsibility + adjustments"
BILL = "NUBC, UB-04 Data Specifications 2024, and X12 837 (005010X222A1): claims, lines and subscribers"
CENT = 0.005


def _claims(view: View, table: str) -> Whole:
    return view.place(table, "claim_id", "claim", "claim_id").astype(np.int64)


def _sum(view: View, table: str, columns: tuple[str, ...]) -> tuple[Floats, Whole]:
    """Return the sum of money per claim, and how many rows it has."""
    place, n = _claims(view, table), view.height("claim")
    money = np.zeros(len(place))
    for column in columns:
        money = money + np.nan_to_num(view.numbers(table, column))
    here = place >= 0
    return (
        np.bincount(place[here], weights=money[here], minlength=n)[:n].astype(np.float64),
        np.bincount(place[here], minlength=n)[:n].astype(np.int64),
    )


def _equals(table: str, columns: tuple[str, ...]) -> Body:
    def body(view: View) -> list[Found]:
        total, (parts, n) = view.numbers("claim", "total"), _sum(view, table, columns)
        here = (n > 0) & ~np.isnan(total)
        return told("claim", here, here & (np.abs(total - parts) > CENT * np.maximum(n, 1)))

    return body


def _without(table: str, statuses: tuple[str, ...] | None) -> Body:
    def body(view: View) -> list[Found]:
        _, n = _sum(view, table, ())
        here = np.ones(len(n), dtype=bool) if statuses is None else view.coded("claim", "status").one_of(statuses)
        return told("claim", here, here & (n == 0))

    return body


def _status(word: str, column: str, given: bool) -> Body:
    def body(view: View) -> list[Found]:
        here = view.coded("claim", "status").one_of([word])
        return told("claim", here, here & (view.given("claim", column) == given))

    return body


def _denied_paid(view: View) -> list[Found]:
    paid, _ = _sum(view, "payment", ("payer_part",))
    here = view.coded("claim", "status").one_of(["denied", "self-pay"])
    return told("claim", here, here & (paid > CENT))


def _negative(table: str, column: str) -> Body:
    def body(view: View) -> list[Found]:
        money = view.numbers(table, column)
        here = ~np.isnan(money)
        return told(table, here, here & (money < 0))

    return body


def _nothing(table: str, column: str) -> Body:
    def body(view: View) -> list[Found]:
        money = view.numbers(table, column)
        here = ~np.isnan(money)
        return told(table, here, here & (money == 0))

    return body


def _large(view: View) -> list[Found]:
    money = view.numbers("claim", "total")
    here = ~np.isnan(money)
    return told("claim", here, here & (money > 5e6))


def _more_than_charged(view: View) -> list[Found]:
    total, (paid, n) = view.numbers("claim", "total"), _sum(view, "payment", ("payer_part",))
    here = (n > 0) & ~np.isnan(total)
    return told("claim", here, here & (paid > total + CENT))


def _before(table: str) -> Body:
    def body(view: View) -> list[Found]:
        times, claims = (
            view.times(table, "time"),
            np.append(view.times("claim", "time"), np.int64(ABSENT))[_claims(view, table)],
        )
        both = (times >= 0) & (claims >= 0)
        slack = DAY if table == "payment" else 366 * DAY
        return told(table, both, both & ((claims - times) > slack))

    return body


def _before_care(view: View) -> list[Found]:
    start = np.append(view.times("encounter", "start"), np.int64(ABSENT))[view.encounter("claim")]
    times = view.times("claim", "time")
    both = (times >= 0) & (start >= 0)
    return told("claim", both, both & (times < start - DAY))


def _line_number(view: View) -> list[Found]:
    place, number = _claims(view, "claim_line"), view.numbers("claim_line", "number")
    here = (place >= 0) & ~np.isnan(number)
    keys = np.where(here, place * 100_000 + np.nan_to_num(number).astype(np.int64), -1)
    order = np.argsort(keys, kind="stable")
    failed = np.zeros(len(keys), dtype=bool)
    failed[order[1:][keys[order][1:] == keys[order][:-1]]] = True
    return told("claim_line", here, failed & here)


def _uncovered(view: View) -> list[Found]:
    """Claims on a day that their own coverage does not hold."""
    place, times = view.place("claim", "coverage_id", "coverage", "coverage_id"), view.times("claim", "time")
    start = np.append(view.times("coverage", "start"), np.int64(ABSENT))[place]
    stop = np.append(_open(view.times("coverage", "stop")), np.int64(ABSENT))[place]
    here = (place >= 0) & (times >= 0) & (start >= 0)
    return told("claim", here, here & ((times < start - DAY) | (times > stop + 2 * DAY)))


def _open(stops: Whole) -> Whole:
    return np.where(stops >= 0, stops, EVER - 2 * DAY)


def _two_coverages(view: View) -> list[Found]:
    """Coverages of one patient by one payer that overlap by more than a day."""
    payer = view.coded("coverage", "payer_id").at.astype(np.int64)
    who = view.patient("coverage").astype(np.int64)
    start, stop = view.times("coverage", "start"), _open(view.times("coverage", "stop"))
    here = (who >= 0) & (payer >= 0) & (start >= 0) & (stop >= start)
    both = np.where(here, (who * (payer.max(initial=0) + 1)) + payer, -1)
    count = Spans(both, start, np.maximum(stop - DAY, start)).meeting(both, start, np.maximum(stop - DAY, start))
    return told("coverage", here, here & (count > 1))


def _before_birth(view: View) -> list[Found]:
    start, births = view.times("coverage", "start"), view.of_patient("coverage", view.births(), ABSENT)
    both = (start >= 0) & (births >= 0)
    return told("coverage", both, both & (start < births - births % DAY))


def _rules() -> Iterator[Statement]:
    lines, pays = "claim.claim_id claim_line.claim_id", "claim.claim_id payment.claim_id"
    for key, title, severity, needs, why, source, body in (
        ("lines", "Claim whose total is not the sum of its lines", ERROR, f"claim.total {lines} claim_line.amount", "A total is a sum; half a cent a line is left for rounding.", ADDS, _equals("claim_line", ("amount",))),
        ("payments", "Claim whose total is not what was paid, owed and written off", ERROR, f"claim.total {pays} payment.payer_part payment.patient_part payment.adjustment", "All that was charged goes somewhere.", ADDS, _equals("payment", ("payer_part", "patient_part", "adjustment"))),
        ("bare", "Claim without a line", WARNING, lines, "A claim asks for something.", BILL, _without("claim_line", None)),
        ("unpaid", "Paid claim without a payment", ERROR, f"claim.status {pays}", "The status says that there is one.", BILL, _without("payment", ("paid",))),
        ("denied", "Denied or self-paid claim that a payer paid", ERROR, f"claim.status {pays} payment.payer_part", "A payer that denies does not pay.", BILL, _denied_paid),
        ("selfpay", "Self-paid claim with a coverage", WARNING, "claim.status claim.coverage_id", "Who pays himself names no payer.", BILL, _status("self-pay", "coverage_id", True)),
        ("payer", "Paid claim without a coverage", WARNING, "claim.status claim.coverage_id", "A claim is paid under a coverage.", BILL, _status("paid", "coverage_id", False)),
        ("negative.claim", "Claim of a negative amount", ERROR, "claim.total", "A charge is no refund; corrections have their own type.", BILL, _negative("claim", "total")),
        ("negative.line", "Claim line of a negative amount", ERROR, "claim_line.amount", "A charge is no refund.", BILL, _negative("claim_line", "amount")),
        ("negative.payment", "Payment of a negative amount", ERROR, "payment.payer_part", "A reversal is a transaction of its own.", BILL, _negative("payment", "payer_part")),
        ("zero.claim", "Claim of nothing", WARNING, "claim.total", "What costs nothing is not claimed; vaccines supplied by the state are a false alarm.", BILL, _nothing("claim", "total")),
        ("large", "Claim of more than five million", WARNING, "claim.total", "Among the largest single bills are those of newborns and transplants, of one to two million dollars.", "Bentley TS, Ortner N, 2020 U.S. organ and tissue transplants, Milliman 2020: heart transplant 1.66 million dollars billed", _large),
        ("overpaid", "Payer that paid more than was charged", ERROR, f"claim.total {pays} payment.payer_part", "A payer pays at most the charge.", ADDS, _more_than_charged),
        ("early.payment", "Payment before its claim", ERROR, f"{pays} payment.time claim.time", "A payment answers a claim.", BILL, _before("payment")),
        ("early.line", "Line more than a year before its claim", WARNING, f"{lines} claim_line.time claim.time", "Medicare takes claims for 12 months after the service.", "42 CFR 424.44 (2024): time limits for filing claims", _before("claim_line")),
        ("early.claim", "Claim before its encounter", ERROR, "claim.time claim.encounter_id encounter.encounter_id encounter.start", "Care is given, then claimed; prepaid packages are a false alarm.", BILL, _before_care),
        ("number", "Line number twice in a claim", ERROR, f"{lines} claim_line.number", "Lines are numbered through.", BILL, _line_number),
        ("uncovered", "Claim on a day that its coverage does not hold", ERROR, "claim.time claim.coverage_id coverage.coverage_id coverage.start coverage.stop", "A payer answers for the days of its contract.", BILL, _uncovered),
        ("coverage.twice", "Two coverages by one payer at once", WARNING, "coverage.patient_id coverage.payer_id coverage.start coverage.stop", "One payer insures a person once; two products of one payer are a false alarm.", BILL, _two_coverages),
        ("coverage.birth", "Coverage before birth", WARNING, "coverage.start coverage.patient_id patient.birth_date", "Nobody is insured under his own name before he is born.", BILL, _before_birth),
    ):  # fmt: skip
        yield Statement(
            id=f"money.{key}", title=title, severity=severity, needs=needs, why=why, source=source, body=body
        )


RULES = tuple(_rules())
