"""From lives to charts: ask for visits, settle them, measure, order, treat, and write it all down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ehrsatz.clinical import ICD10CM
from ehrsatz.simulator.catalogue import Catalogue
from ehrsatz.simulator.chart import done, drugs, last, measure, needs, plans, problems, screenings
from ehrsatz.simulator.chart.allergies import Allergies, spared
from ehrsatz.simulator.chart.asks import CLASS, Asks
from ehrsatz.simulator.chart.assays import Assays
from ehrsatz.simulator.chart.icu import Intensive
from ehrsatz.simulator.chart.immunise import Immunise
from ehrsatz.simulator.chart.maternity import Maternity
from ehrsatz.simulator.chart.newborn import Newborn
from ehrsatz.simulator.chart.part import Chart, Part
from ehrsatz.simulator.chart.visits import ask_all
from ehrsatz.simulator.history import History, Ints
from ehrsatz.simulator.module import Screening
from ehrsatz.simulator.records import Book, Encounters, Records, Rows

WHEN = {  # the column that rows are sorted by within an encounter
    "observation": "time",
    "order": "time",
    "report": "time",
    "medication": "start",
    "procedure": "start",
    "immunization": "time",
    "allergy": "onset",
    "device": "start",
    "careplan": "start",
    "goal": "start",
    "condition": "recorded",
}
VACCINE = "Z23"  # reason of visits for a vaccine alone
POINTERS = (("observation", "order"), ("report", "order"), ("goal", "careplan"))


def parts() -> tuple[Part, ...]:
    """Return the parts of care beside the ordinary one, in their order."""
    return (Maternity(), Newborn(), Immunise(), Allergies(), Intensive(), Assays())


def records(
    history: History, catalogue: Catalogue, book: Book, tests: Sequence[Screening] = (), country: str = "US"
) -> Records:
    """Return everything that care wrote about the people of a shard.

    Parameters
    ----------
    history
        Their lives.
    catalogue
        Of observations.
    book
        Grows by what is new; the same knowledge gives the same words in any shard.
    tests
        Screenings of healthy people, of all modules.
    country
        ISO 3166-1: whose schedule of immunisations is kept.
    """
    history = spared(history)
    chart = Chart(history, catalogue, book, Asks(history), country)
    others = parts()
    chart.found = ask_all(chart.asks, history, book)
    deeds = done.ask(chart.asks, history, chart.found, book)
    screenings.ask(chart.asks, history, deeds, book, tests)
    for part in others:
        part.ask(chart)
    last.ask(chart.asks, history, book)
    drugs.ask(chart.asks, history, book)
    encounters = chart.asks.settle()
    chart.encounters = encounters
    brief = (encounters.reason == book.place(ICD10CM, VACCINE)) & (encounters.kind == CLASS["ambulatory"])
    chart.wishes = needs.wishes(history, encounters, chart.asks, chart.found, catalogue, brief)
    screenings.want(chart.wishes, history, tests)
    for part in others:
        part.want(chart)
    specimens = chart.wishes.specimens()
    chart.values = measure.Values(history, specimens, catalogue, chart.extra)
    orders, by_panel = measure.panel_orders(specimens, catalogue, encounters, book)
    chart.add("order", orders)
    chart.add("observation", measure.rows_of(chart.values, book, by_panel))
    procedures, devices, imaging, reports = done.rows_of(history, encounters, chart.asks, deeds, book)
    if reports:
        shift = len(orders["encounter"]) if orders else 0
        reports = {**reports, "order": reports["order"] + shift}
    for table, rows in (("procedure", procedures), ("device", devices), ("order", imaging), ("report", reports)):
        chart.add(table, rows)
    chart.add("condition", problems.rows_of(history, encounters, chart.asks, chart.found, book))
    chart.add("medication", drugs.rows_of(history, encounters, chart.asks, chart.found, book))
    plan, goal = plans.rows_of(history, encounters, chart.asks, chart.found, catalogue, book)
    chart.add("careplan", plan)
    chart.add("goal", goal)
    for part in others:
        part.write(chart)
    return Records(encounters, _sorted(chart.rows, encounters))


def _sorted(rows: Mapping[str, list[Rows]], encounters: Encounters) -> dict[str, Rows]:
    """Join the rows of each kind, sort them by encounter, then time, and let pointers follow."""
    out: dict[str, Rows] = {}
    moved: dict[str, Ints] = {}
    for table, parts_ in rows.items():
        whole = (
            {name: np.concatenate([part[name] for part in parts_]) for name in parts_[0]}
            if len(parts_) > 1
            else parts_[0]
        )
        since = np.clip(whole[WHEN[table]] - encounters.start[whole["encounter"]], 0, 9e3)  # allergies begin before
        key = (
            whole["encounter"].astype(np.float64) * 1e4 + since
        )  # stays are shorter; small enough a number to tell seconds apart
        if (key[1:] >= key[:-1]).all():
            out[table] = whole
            continue
        order = np.argsort(key, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        moved[table] = place
        out[table] = {name: values[order] for name, values in whole.items()}
    for table, target in POINTERS:
        if table in out and target in moved:
            at = out[table][target].astype(np.int64)
            out[table] = {
                **out[table],
                target: np.where(at >= 0, moved[target][np.maximum(at, 0)], -1),
            }  # the rest stayed
    return out
