"""Newborns: the stay after birth, prematurity with intensive care, birth weight by weeks of gestation, screening.

Everybody has the stay of their birth; a linked child's begins in its mother's. Weight, length and head of those born
early are those of their weeks, and join the growth chart of the person's own z within two years.

References
----------
Weights: see `births`. Respiratory distress syndrome: Stoll BJ et al., Pediatrics 2010;126:443 (22 to 28 weeks: 93 %);
Hibbard JU et al. (Consortium on Safe Labor), JAMA 2010;304:419 (34 weeks 10.5 %, 37 weeks 0.3 %); between them
assumed. Intensive care of all below 34 weeks, and going home about at 36 weeks: AAP, Guidelines for Perinatal Care,
8th ed. 2017, in words; the exact days are assumed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ehrsatz.clinical import ICD10CM, SNOMED
from ehrsatz.simulator.chart import births
from ehrsatz.simulator.chart.asks import CLASS, MINUTES
from ehrsatz.simulator.chart.entries import condition, procedure
from ehrsatz.simulator.chart.part import Chart, Part
from ehrsatz.simulator.history import YEAR, Floats, Ints

ADMISSION = (SNOMED, "32485007")  # Hospital admission
LIVEBORN = ((ICD10CM, "Z38.00"), (ICD10CM, "Z38.01"))  # vaginally, by caesarean
PREMATURE = (SNOMED, "367494004")
BY_WEEK = {  # completed weeks
    24: (ICD10CM, "P07.23"), 25: (ICD10CM, "P07.24"), 26: (ICD10CM, "P07.25"), 27: (ICD10CM, "P07.26"),
    28: (ICD10CM, "P07.31"), 29: (ICD10CM, "P07.32"), 30: (ICD10CM, "P07.33"), 31: (ICD10CM, "P07.34"),
    32: (ICD10CM, "P07.35"), 33: (ICD10CM, "P07.36"), 34: (ICD10CM, "P07.37"), 35: (ICD10CM, "P07.38"),
    36: (ICD10CM, "P07.39"),
}  # fmt: skip
BY_GRAMS = (  # upper end, code
    (500, (ICD10CM, "P07.01")), (750, (ICD10CM, "P07.02")), (1000, (ICD10CM, "P07.03")), (1250, (ICD10CM, "P07.14")),
    (1500, (ICD10CM, "P07.15")), (1750, (ICD10CM, "P07.16")), (2000, (ICD10CM, "P07.17")), (2500, (ICD10CM, "P07.18")),
)  # fmt: skip
DISTRESS = (ICD10CM, "P22.0")
DISTRESSED = ((22, 0.93), (29, 0.6), (32, 0.25), (34, 0.105), (37, 0.003))  # share from each week on
INTENSIVE = 34.0  # weeks below which a child goes to intensive care
SCREENING, HEARING, HEARING_SINCE = (SNOMED, "60151004"), (SNOMED, "398171003"), 10_957.0  # universal from 2000
SIZES = {"weight": 1.0, "height": 0.30, "head": 0.27}  # power of weight by which a size falls; from Fenton TR, Kim JH,
# BMC Pediatr 2013;13:59: length 31 and head 22 cm at 24 weeks, 50 and 35 at term


class Newborn(Part):
    """Write the stay of each person's own birth."""

    def ask(self, chart: Chart) -> None:
        """Ask for the stay after birth."""
        history, book = chart.history, chart.book
        people = history.people
        everyone = np.arange(people.n)
        u = history.draw("newborn", everyone, width=3)
        self._weeks = births.weeks(history, people.number)
        self._section = births.caesarean(history, people.mother, people.number)
        self._birth = births.moment(history, people.number, people.birth)
        early = np.maximum(36.3 - self._weeks, 0) * 7
        length = np.where(self._weeks < 36, 2 + early * (0.75 + 0.4 * u[:, 0]), 1.4 + 1.2 * u[:, 0] + self._section)
        icu = self._weeks < INTENSIVE
        reason = np.where(self._section, book.place(*LIVEBORN[1]), book.place(*LIVEBORN[0]))
        self._batch = chart.asks.ask(
            everyone,
            self._birth,
            length,
            CLASS["inpatient"],
            book.place(*ADMISSION),
            reason=reason,
            specialty=book.text("pediatrics"),
            icu_from=np.where(icu, self._birth + 25 * MINUTES, np.nan),
            icu_days=np.where(icu, length * (0.45 + 0.3 * u[:, 1]), np.nan),
        )
        for item, power in SIZES.items():
            chart.extra[item] = _size(chart, item, power, self._weeks)

    def want(self, chart: Chart) -> None:
        """Want weight, length and head an hour after birth."""
        assert chart.wishes is not None
        chart.wishes.want("baby", chart.asks.rows[self._batch], 60 * MINUTES)

    def write(self, chart: Chart) -> None:
        """Write what is coded and done at birth."""
        met, values = chart.encounters, chart.values
        assert met is not None and values is not None
        row = chart.asks.rows[self._batch]
        who = np.flatnonzero(row >= 0)
        row = row[who]
        birth, stop, week, section = self._birth[who], met.stop[row], self._weeks[who], self._section[who]
        for k, code in enumerate(LIVEBORN):
            here = section == bool(k)
            condition(chart, code, row[here], birth[here], 10 * MINUTES, stop[here])
        whole = np.floor(week).astype(np.int64)
        for k, code in BY_WEEK.items():
            here = (whole == k) | ((k == min(BY_WEEK)) & (whole < k))
            condition(chart, code, row[here], birth[here], 15 * MINUTES, stop[here], PREMATURE)
        grams = _weighed(chart, row)
        low = 0.0
        for high, code in BY_GRAMS:
            here = (grams >= low) & (grams < high)
            condition(chart, code, row[here], birth[here], 90 * MINUTES, stop[here])
            low = high
        u = chart.history.draw("distress", who)[:, 0]
        edges, shares = np.array(DISTRESSED).T
        share = np.r_[0.0, shares][np.searchsorted(edges, week, side="right")]
        here = (u < share) & (week < 38)
        condition(chart, DISTRESS, row[here], birth[here], 30 * MINUTES, stop[here])
        day = np.minimum(met.start[row] + 1.1, stop - 30 * MINUTES)
        fine = day > met.start[row]
        for code, here in ((SCREENING, fine), (HEARING, fine & (birth > HEARING_SINCE))):
            recent = here & (birth > -1461.0)  # heel pricks began in 1963 to 1966
            procedure(chart, code, row[recent], day[recent], day[recent] + 10 * MINUTES)


def _weighed(chart: Chart, row: Ints) -> Floats:
    """Return the birth weights (R,) in grams that were written at encounters, NaN: none."""
    values = chart.values
    assert values is not None
    babies = values.specimens.wants["baby"]  # rising
    encounter = values.specimens.encounter[babies]
    at = np.minimum(np.searchsorted(encounter, row), len(encounter) - 1)
    grams = 1000 * values.of("weight", babies[at])
    return np.where(encounter[at] == row, grams, np.nan)


def _size(chart: Chart, item: str, power: float, weeks: Floats) -> Callable[[Ints], Floats]:
    """Return the function that reads a size, of children born early with what they lack."""

    def read(rows: Ints) -> Floats:
        values = chart.values
        assert values is not None
        if item == "weight":
            value = values.level("bmi", rows) * (values.of("height", rows) / 100) ** 2
        else:
            value = values.level(item, rows)
        specimens = values.specimens
        person = specimens.person[rows]
        age = (specimens.time[rows] - chart.history.people.birth[person]) / YEAR
        small = np.flatnonzero(age < 3)
        who = person[small]
        share = births.lightness(chart.history.people.sex[who], weeks[who], age[small])
        value[small] *= share ** (power - 2 * SIZES["height"] if item == "weight" else power)  # height lacks its own
        return value

    return read
