"""Care of mothers: antenatal visits, the delivery and its stay, the visit after.

Routine visits are written in the years of the record, deliveries for the whole life. The stay of a linked child's
mother holds the minute of its birth.

References
----------
AAP, ACOG, Guidelines for Perinatal Care, 8th ed. 2017: visits every four weeks to 28, every two to 36, then weekly;
booking by the eighth week or so; glucose at 24 to 28 weeks, blood count at booking and 28 weeks; ultrasound at 18 to
22 weeks. Osterman MJK et al., Births: final data for 2022, Natl Vital Stat Rep 2024;73(2): induction 31.9 % of
births, forceps or vacuum 3 % of vaginal ones. Butwick AJ et al., Anesth Analg 2018;127:1010: neuraxial analgesia in
labour 73 % in 2015. Friedman AM et al., JAMA 2015;313:197: episiotomy in 11.6 % of vaginal births in 2012, falling.
ACOG Committee Opinion 736, 2018: up to 40 % have no postpartum visit. Lengths of labour and stay, and the shares of
visits kept, are assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ehrsatz.clinical import ICD10CM, SNOMED
from ehrsatz.simulator.chart import births
from ehrsatz.simulator.chart.asks import CLASS, MINUTES
from ehrsatz.simulator.chart.entries import condition, procedure, scan
from ehrsatz.simulator.chart.part import Chart, Part
from ehrsatz.simulator.history import Flags, Floats, Ints

WEEKS = np.array([8, 12, 16, 20, 24, 28, 30, 32, 34, 36, 37, 38, 39, 40, 41], np.float64)
KEPT = 0.93
AFTER = 0.7  # share with a visit after birth, between ACOG's 60 % and the 90 % that mothers report
INDUCED, AUGMENTED, EPIDURAL, INSTRUMENTAL, EPISIOTOMY = 0.319, 0.2, 0.73, 0.03, 0.07
FIRST, NEXT, POSTNATAL = (SNOMED, "424441002"), (SNOMED, "424619006"), (SNOMED, "169762003")
TRIMESTER = ((ICD10CM, "Z34.91"), (ICD10CM, "Z34.92"), (ICD10CM, "Z34.93"))
PREGNANT, NORMAL = (ICD10CM, "Z34.90"), (SNOMED, "72892002")
LABOUR, PLANNED = (SNOMED, "183460006"), (SNOMED, "32485007")  # obstetric emergency admission; admission
SECTION, VAGINAL, LIVE = (ICD10CM, "O82"), (ICD10CM, "O80"), (ICD10CM, "Z37.0")
EARLY, VERY_EARLY = (ICD10CM, "O60.14X0"), (ICD10CM, "O60.12X0")  # preterm labour, third and second trimester
LATE = (ICD10CM, "O48.0")
AFTERWARDS = (ICD10CM, "Z39.2")
COMPLETED = (  # weeks of gestation, from 24 on
    (ICD10CM, "Z3A.24"), (ICD10CM, "Z3A.25"), (ICD10CM, "Z3A.26"), (ICD10CM, "Z3A.27"), (ICD10CM, "Z3A.28"),
    (ICD10CM, "Z3A.29"), (ICD10CM, "Z3A.30"), (ICD10CM, "Z3A.31"), (ICD10CM, "Z3A.32"), (ICD10CM, "Z3A.33"),
    (ICD10CM, "Z3A.34"), (ICD10CM, "Z3A.35"), (ICD10CM, "Z3A.36"), (ICD10CM, "Z3A.37"), (ICD10CM, "Z3A.38"),
    (ICD10CM, "Z3A.39"), (ICD10CM, "Z3A.40"), (ICD10CM, "Z3A.41"), (ICD10CM, "Z3A.42"),
)  # fmt: skip
PANELS = {8: ("cbc", "urinalysis", "hepatitis"), 28: ("cbc", "glucose", "urinalysis"), 36: ("cbc", "urinalysis")}
BLOOD_GROUP, ANTIBODIES = (SNOMED, "44608003"), (SNOMED, "169673001")
HEART, HEIGHT = (SNOMED, "225158009"), (SNOMED, "274804006")  # auscultation from 12 weeks, fundal height from 20
SCANS = {
    12: ((SNOMED, "169230002"), "Single pregnancy in the womb, heart action seen. Length in keeping with dates."),
    20: (
        (SNOMED, "271442007"),
        "Single fetus, growth in keeping with dates. No anomaly seen. Placenta clear of the cervix, normal fluid.",
    ),
}


@dataclass
class _Pregnancies:
    """Pregnancies (K,) of a shard and how each ends."""

    person: Ints
    ordinal: Ints
    onset: Floats
    birth: Floats  # moment of delivery
    born: Flags  # within the record
    section: Flags
    u: Floats  # (K, 8)


class Maternity(Part):
    """Write the care of pregnancy and birth."""

    def ask(self, chart: Chart) -> None:
        """Ask for antenatal visits, the delivery and the visit after."""
        self._found = found = pregnancies(chart)
        if found is None:
            return
        history, book = chart.history, chart.book
        people = history.people
        code = {one: book.place(*one) for one in (FIRST, NEXT, POSTNATAL, LABOUR, PLANNED)}
        specialty = book.text("obstetrics")
        u = history.draw("antenatal", found.person, found.ordinal, width=3 * len(WEEKS)).reshape(-1, 3, len(WEEKS))
        when = found.onset[:, None] + WEEKS * 7 + 6 * (u[:, 0] - 0.3)
        when = np.floor(when)
        weekday = (when + 3) % 7  # 1970-01-01 was a Thursday
        when -= np.maximum(weekday - 4, 0)  # appointments are made for working days, before the birth
        keep = (u[:, 1] < KEPT) & (when < found.birth[:, None] - 1) & (when < people.end[found.person][:, None])
        which, k = np.nonzero(keep)
        at = when[which, k]
        inside = people.written(found.person[which], at)
        which, k, at = which[inside], k[inside], at[inside]
        self._which, self._week = which, WEEKS[k].astype(np.int64)
        self._first = np.r_[True, which[1:] != which[:-1]] if len(which) else np.zeros(0, bool)
        third = np.array([book.place(*one) for one in TRIMESTER])[np.searchsorted([14, 28], WEEKS[k], side="right")]
        self._visits = chart.asks.ask(
            found.person[which],
            at,
            (15 + 15 * u[which, 2, k]) * MINUTES,
            CLASS["ambulatory"],
            np.where(self._first, code[FIRST], code[NEXT]),
            reason=third,
            specialty=specialty,
            droppable=True,
        )
        born = np.flatnonzero(found.born)
        v = found.u[born]
        labour = np.where(found.section[born] & (v[:, 0] < 0.55), 2.5, 3 + 16 * v[:, 1] ** 2) / 24  # days before
        stay = 1.5 + 0.9 * v[:, 2] + 1.1 * found.section[born]
        self._born = born
        self._stays = chart.asks.ask(
            found.person[born],
            found.birth[born] - labour,
            labour + stay,
            CLASS["inpatient"],
            np.where(labour < 2.6 / 24, code[PLANNED], code[LABOUR]),
            reason=np.where(found.section[born], book.place(*SECTION), book.place(*VAGINAL)),
            specialty=specialty,
        )
        after = found.birth + 21 + 28 * found.u[:, 3]
        seen = np.flatnonzero(found.born & (found.u[:, 4] < AFTER) & people.written(found.person, after))
        chart.asks.ask(
            found.person[seen],
            after[seen],
            np.full(len(seen), 25 * MINUTES),
            CLASS["ambulatory"],
            code[POSTNATAL],
            reason=book.place(*AFTERWARDS),
            specialty=specialty,
            droppable=True,
        )

    def want(self, chart: Chart) -> None:
        """Want the tests of pregnancy at the visits nearest to their weeks."""
        if self._found is None:
            return
        assert chart.wishes is not None
        row = chart.asks.rows[self._visits]
        chart.wishes.want("visit", row)
        for week, panels in PANELS.items():
            here = self._first if week == WEEKS[0] else self._week == week
            for panel in panels:
                chart.wishes.want(panel, row[here], 10 * MINUTES)

    def write(self, chart: Chart) -> None:
        """Write pregnancy, delivery, procedures and ultrasound."""
        found = self._found
        if found is None:
            return
        met = chart.encounters
        assert met is not None
        visits, stays = chart.asks.rows[self._visits], chart.asks.rows[self._stays]
        earliest = np.full(len(found.person), len(met.person), np.int64)
        known = visits >= 0
        np.minimum.at(earliest, self._which[known], visits[known])
        np.minimum.at(earliest, self._born[stays >= 0], stays[stays >= 0])
        has = np.flatnonzero(earliest < len(met.person))
        ended = np.where(found.born, found.birth, np.nan)
        condition(chart, PREGNANT, earliest[has], found.onset[has], 8 * MINUTES, ended[has], NORMAL)
        self._delivery(chart, self._born[stays >= 0], stays[stays >= 0])
        self._antenatal(chart, visits)

    def _delivery(self, chart: Chart, which: Ints, row: Ints) -> None:
        found, met = self._found, chart.encounters
        assert found is not None and met is not None
        birth, section, u = found.birth[which], found.section[which], found.u[which]
        begin, stop = met.start[row], met.stop[row]
        week = (birth - found.onset[which]) / 7
        for code, here in (
            (SECTION, section & (week >= 37)),
            (VAGINAL, ~section & (week >= 37) & (week < 41)),
            (LATE, ~section & (week >= 41)),
            (EARLY, (week < 37) & (week >= 28)),
            (VERY_EARLY, week < 28),
        ):
            condition(chart, code, row[here], begin[here], 8 * MINUTES, stop[here])
        condition(chart, LIVE, row, birth, birth - begin + 20 * MINUTES, stop)
        floor = np.clip(np.floor(week).astype(np.int64) - 24, 0, len(COMPLETED) - 1)
        for k in np.unique(floor):
            here = floor == k
            condition(chart, COMPLETED[k], row[here], begin[here], 8 * MINUTES, stop[here])
        hours = (birth - begin) * 24
        labour = ~section | (hours > 2.6)
        instrument = ~section & (u[:, 5] < INSTRUMENTAL)
        for code, here, since, until in (
            ((SNOMED, "31208007"), labour & (hours > 4) & (u[:, 6] < INDUCED), begin + 0.5 / 24, birth - 1 / 24),
            ((SNOMED, "237001001"), labour & (u[:, 6] > 1 - AUGMENTED), birth - 1.5 / 24, birth),
            ((SNOMED, "18946005"), section | (u[:, 7] < EPIDURAL), birth - np.minimum(hours, 6) * 0.6 / 24, birth),
            ((SNOMED, "11466000"), section, birth - 20 * MINUTES, birth + 30 * MINUTES),
            ((SNOMED, "236974004"), instrument, birth - 12 * MINUTES, birth),
            ((SNOMED, "85548006"), ~section & (u[:, 2] < EPISIOTOMY), birth - 6 * MINUTES, birth - 2 * MINUTES),
            (HEART, np.ones(len(row), bool), begin + 10 * MINUTES, begin + 20 * MINUTES),
        ):
            procedure(chart, code, row[here], since[here], until[here])

    def _antenatal(self, chart: Chart, visits: Ints) -> None:
        met = chart.encounters
        assert met is not None
        known = visits >= 0
        for code, here in (
            (BLOOD_GROUP, self._first),
            (ANTIBODIES, self._first),
            (HEART, self._week >= 12),
            (HEIGHT, self._week >= 20),
        ):
            row = np.unique(visits[here & known])  # two visits may have become one
            procedure(chart, code, row, met.start[row] + 5 * MINUTES, met.start[row] + 8 * MINUTES)
        for week, (code, text) in SCANS.items():
            scan(chart, code, text, np.unique(visits[(self._week == week) & known]))


def pregnancies(chart: Chart) -> _Pregnancies | None:
    """Return all pregnancies of a shard, None where there are none."""
    history = chart.history
    people, attacks = history.people, history.attacks.get("pregnancy")
    if attacks is None or not len(attacks.person):
        return None
    person, ordinal = attacks.person, attacks.ordinal
    day = np.floor(attacks.stop + 1e-6)
    u = history.draw("delivery", person, ordinal, width=10)
    birth = day + np.floor(u[:, 8] * 1439) / 1440
    section = u[:, 9] < births.CAESAREAN
    linked = people.deliveries
    if linked is not None and len(linked.person):
        at = np.searchsorted(linked.person * 1e6 + linked.birth, person * 1e6 + attacks.stop - 1.5)
        safe = np.minimum(at, len(linked.person) - 1)
        same = (linked.person[safe] == person) & (np.abs(linked.birth[safe] - attacks.stop) < 1.5)
        mine = safe[same]
        birth[same] = births.moment(history, linked.child[mine], linked.birth[mine])
        section[same] = births.caesarean(history, people.number[person[same]], linked.child[mine])
    return _Pregnancies(person, ordinal, attacks.onset, birth, birth < people.end[person] - 30 * MINUTES, section, u)
