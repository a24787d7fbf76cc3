"""Last days in hospital: those who die of no acute episode that care knows of, but do not die at home.

Shares of Cross SH, Warraich HJ, Changes in the place of death in the United States, N Engl J Med 2019;381:2369,
doi:10.1056/NEJMc1911892: of natural deaths in 2017, 29.8 % in hospital. Fatal episodes of the modules make up about a
quarter of these; the share here is the rest. Deaths in the emergency department, and how long last stays are, are
assumed.
"""

from __future__ import annotations

import numpy as np

from ehrsatz.clinical import ICD10CM
from ehrsatz.simulator.chart.asks import CLASS, Asks
from ehrsatz.simulator.chart.visits import snomed
from ehrsatz.simulator.hazards import exponential
from ehrsatz.simulator.history import History
from ehrsatz.simulator.records import Book

ADMITTED, EMERGENCY = 0.25, 0.05
DAYS = 4.0  # median of a last stay; assumed: longer than the usual stay of 4.6 days on average (HCUP 2019)
SPREAD = 0.8  # of the logarithm, likewise
LONGEST = 45.0  # days


def ask(asks: Asks, history: History, book: Book) -> None:
    """Ask for the stays and emergency visits in which people die."""
    people = history.people
    dead = np.flatnonzero(~np.isnan(people.death))
    if not len(dead):
        return
    u = history.draw("last days", dead, width=3)
    codes = np.array([*(book.place(ICD10CM, code) for code in history.causes), -1], np.int64)
    days = np.minimum(DAYS * (exponential(u[:, 1]) / np.log(2)) ** SPREAD, LONGEST)
    hours = (1 + 4 * u[:, 1]) / 24
    admitted = u[:, 0] < ADMITTED
    hurried = ~admitted & (u[:, 0] < ADMITTED + EMERGENCY)
    for chosen, length, kind, specialty in (
        (admitted, days, "inpatient", "internal medicine"),
        (hurried, hours, "emergency", "emergency medicine"),
    ):
        person = dead[chosen]
        death = people.death[person]
        start = np.maximum(death - length[chosen], people.birth[person])
        asks.ask(
            person,
            start,
            death - start,
            CLASS[kind],
            snomed(book, kind),
            reason=codes[people.cause[person]],
            specialty=book.text(specialty),
            emergency=np.where(u[chosen, 2] < 0.7, 4 / 24, np.nan) if kind == "inpatient" else None,
        )
