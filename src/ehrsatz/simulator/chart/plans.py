"""Plans of care and their goals; whether a goal is met is read from the person's own level at the end."""

from __future__ import annotations

import numpy as np

from ehrsatz.clinical import ICD10CM, LOINC, SNOMED, UCUM
from ehrsatz.simulator.catalogue import Catalogue
from ehrsatz.simulator.chart.asks import MINUTES, Asks
from ehrsatz.simulator.chart.visits import Found
from ehrsatz.simulator.history import History
from ehrsatz.simulator.records import Book, Encounters, Rows

ACTIVE, COMPLETED = 0, 1
ACHIEVED, UNDERWAY, MISSED = 0, 1, 2
YOUNG = 180.0  # days in which a goal counts as under way


def rows_of(
    history: History, encounters: Encounters, asks: Asks, found: Found, catalogue: Catalogue, book: Book
) -> tuple[Rows, Rows]:
    """Return plans and goals, in no order; goals point into the plans."""
    plans, goals = [], []
    placed = 0
    for name, batch in found.diagnosis.items():
        spells = history.spells[name]
        plan = spells.condition.careplan
        if plan is None:
            continue
        u = history.draw(f"plan {name}", spells.person)[:, 0]
        row = asks.rows[batch]
        keep = np.flatnonzero((row >= 0) & (u < plan.share))
        row, person = row[keep], spells.person[keep]
        if not len(row):
            continue
        start = np.minimum(encounters.start[row] + 12 * MINUTES, encounters.stop[row])
        stop = spells.stop[keep]
        stop = np.where(stop > start, stop, np.nan)
        plans.append(
            {
                "encounter": row,
                "code": np.full(len(row), book.place(SNOMED, plan.snomed)),
                "start": start,
                "stop": stop,
                "reason": np.full(len(row), book.place(ICD10CM, spells.condition.icd10)),
                "status": np.where(np.isnan(stop), ACTIVE, COMPLETED),
            }
        )
        end = history.people.end[person]
        for goal in plan.goals:
            item = None if goal.item is None else catalogue.items[catalogue.place[goal.item]]
            status = np.where(end - start < YOUNG, UNDERWAY, ACHIEVED)
            if item is not None and item.process is not None:
                level = history.levels.at(item.process, person, end - MINUTES)
                beyond = np.zeros(len(row), bool)
                if goal.low is not None:
                    beyond |= level < goal.low
                if goal.high is not None:
                    beyond |= level > goal.high
                status = np.where(status == UNDERWAY, UNDERWAY, np.where(beyond, MISSED, ACHIEVED))
            else:
                v = history.draw(f"goal {name} {goal.description}", person)[:, 0]
                status = np.where(status == UNDERWAY, UNDERWAY, np.where(v < 0.5, ACHIEVED, UNDERWAY))
            coded = item is not None and item.loinc is not None
            goals.append(
                {
                    "encounter": row,
                    "careplan": placed + np.arange(len(row)),
                    "description": np.full(len(row), book.text(goal.description)),
                    "code": np.full(len(row), book.place(LOINC, str(item.loinc)) if coded and item else -1),
                    "low": np.full(len(row), np.nan if goal.low is None else goal.low),
                    "high": np.full(len(row), np.nan if goal.high is None else goal.high),
                    "unit": np.full(len(row), book.place(UCUM, item.unit) if item is not None and item.unit else -1),
                    "start": start,
                    "status": status,
                }
            )
        placed += len(row)

    def joined(parts: list[dict[str, np.ndarray]]) -> Rows:
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}

    return joined(plans), joined(goals)
