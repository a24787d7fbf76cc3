"""Levels of drugs: measured in those who take the drug, while they take it."""

from __future__ import annotations

import numpy as np

from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.chart.assemble import records
from ehrsatz.simulator.history import YEAR
from ehrsatz.simulator.records import Book
from simulator import small

DIGOXIN = {
    "id": "digoxin", "rxnorm": "197604", "dose": 0.25, "dose_unit": "mg", "route": "oral", "per_day": 1, "share": 0.6,
    "stop_per_year": 0.1, "stop_reasons": {"patient choice": 1.0},
}  # fmt: skip
RISING = (0, 0.3, 0.5, 0.7)
ILLNESS = {
    "id": "illness",
    "prevalence": {"ages": [0, 30, 45, 55], "female": RISING, "male": RISING},
    "visits_per_year": 4,
    "treatments": [DIGOXIN],
}


def test_levels_are_of_those_who_take_the_drug() -> None:
    people = small.folk(400, age=60.0)
    people = small.folk(400, age=60.0, record_from=people.birth + 50 * YEAR)
    history = small.lives(small.knowledge(small.module([ILLNESS])), people)
    items, book = catalogue(), Book()
    made = records(history, items, book)
    rows, met = made.rows["observation"], made.encounters
    (course,) = (one for one in history.courses if one.treatment.rxnorm == "197604")
    here = rows["item"] == items.place["digoxin"]
    person, time = met.person[rows["encounter"][here]], rows["time"][here]
    assert here.sum() > 100
    for who, when in zip(person, time, strict=True):
        own = course.person == who
        stop = np.where(np.isnan(course.stop), np.inf, course.stop)
        assert (own & (course.start < when) & (when < stop)).any()
    assert 0.3 < np.median(rows["value"][here]) < 1.5
    for other in ("lithium", "valproate", "phenytoin"):
        assert not (rows["item"] == items.place[other]).any()
    orders = made.rows["order"]
    pointed = orders["code"][rows["order"][here]]
    assert {book.entries[k][1] for k in pointed} == {"10535-3"}
