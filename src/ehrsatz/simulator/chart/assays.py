"""Levels of drugs in blood: measured in those who take the drug, some weeks after it begins and yearly.

References
----------
Digoxin is cleared by the kidney: its label (Lanoxin, FDA 2019, section 12.3) has its clearance fall with that of
creatinine; the slope here is assumed. Monitoring: Heidenreich PA et al., 2022 AHA/ACC/HFSA guideline for heart failure,
Circulation 2022;145:e895 (0.5 to 0.9 ng/mL); how often is assumed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ehrsatz.simulator.chart.asks import CLASS, MINUTES
from ehrsatz.simulator.chart.part import Chart, Part
from ehrsatz.simulator.history import YEAR, Courses, Flags, Floats, Ints

PANEL = "drug_levels"
DRUGS = {"digoxin": frozenset({"197604"})}  # item -> RxNorm of what brings it
ITEMS = ("digoxin", "lithium", "valproate", "phenytoin")  # of the panel
FIRST, LATE = 14.0, 120.0  # days to the first, and within which a visit is taken
KIDNEY = 0.7  # how much higher a level is where kidneys have failed


class Assays(Part):
    """Want and read levels of drugs."""

    def ask(self, chart: Chart) -> None:
        """Read levels only of those who take the drug."""
        for item in ITEMS:
            chart.extra[item] = _reader(chart, item)

    def want(self, chart: Chart) -> None:
        """Want a level at the first visit that is due."""
        met, wishes = chart.encounters, chart.wishes
        assert met is not None and wishes is not None
        visits = np.flatnonzero(np.isin(met.kind, [CLASS["wellness"], CLASS["ambulatory"]]))
        key = met.person[visits] * 1e6 + met.start[visits]
        if not len(key):
            return
        for one in DRUGS:
            for course in _courses(chart, one):
                begin = course.start + FIRST
                since = chart.history.people.record_from
                if since is not None:  # of what was begun long before, from the first year of the record on
                    begin += np.ceil(np.maximum(since[course.person] - begin, 0) / YEAR) * YEAR
                years = max(1, int(np.ceil((chart.history.people.end.max() - begin.min()) / YEAR)) + 1)
                when = (begin[:, None] + np.arange(years) * YEAR).ravel()
                person = np.repeat(course.person, years)
                stop = np.repeat(np.where(np.isnan(course.stop), np.inf, course.stop), years)
                at = np.searchsorted(key, person * 1e6 + when)
                row = visits[np.minimum(at, len(key) - 1)]
                near = (at < len(key)) & (met.person[row] == person) & (met.start[row] < np.minimum(stop, when + LATE))
                near &= chart.history.people.written(person, when)
                wishes.want(PANEL, np.unique(row[near]), 8 * MINUTES)


def _courses(chart: Chart, item: str) -> list[Courses]:
    codes = DRUGS.get(item, frozenset())
    return [course for course in chart.history.courses if course.treatment.rxnorm in codes and len(course.person)]


def _taking(chart: Chart, item: str, person: Ints, time: Floats) -> Flags:
    """Return whether people (R,) take a drug at moments: any course that has begun and not stopped."""
    out = np.zeros(len(person), bool)
    for course in _courses(chart, item):
        order = np.lexsort((course.start, course.person))
        key = course.person[order] * 1e6 + course.start[order]
        at = order[np.maximum(np.searchsorted(key, person * 1e6 + time, side="right") - 1, 0)]
        stop = np.where(np.isnan(course.stop), np.inf, course.stop)[at]
        out |= (course.person[at] == person) & (course.start[at] <= time) & (time < stop)
    return out


def _reader(chart: Chart, item: str) -> Callable[[Ints], Floats]:
    """Return the function that reads a level, NaN (not written) in those who do not take the drug."""

    def read(rows: Ints) -> Floats:
        values = chart.values
        assert values is not None
        specimens = values.specimens
        healthy = values.catalogue.items[values.catalogue.place[item]].healthy
        assert healthy is not None and healthy.mean is not None and healthy.cv is not None
        value = healthy.mean * np.exp(healthy.cv * values.own(item, rows))
        lacking = np.clip((60 - values.level("egfr", rows)) / 60, 0, 1)
        taken = _taking(chart, item, specimens.person[rows], specimens.time[rows])
        return np.where(taken, value * (1 + KIDNEY * lacking), np.nan)

    return read
