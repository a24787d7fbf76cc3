"""Lives under quotas: several possible ones are drawn for each person, and one taken by how well it explains them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ehrsatz.seeds import addressed
from ehrsatz.simulator.cohort import CANDIDATES, Cohort
from ehrsatz.simulator.engine import conclude, live
from ehrsatz.simulator.history import History, Ints, People
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.lives import Pin
from ehrsatz.simulator.persons import people


def history(known: Known, cohort: Cohort, number: Ints) -> History:
    """Return the whole lives of people (N,) of a cohort; number must be whole blocks' parts in rising order.

    Parameters
    ----------
    known
        All knowledge.
    cohort
        Who must be what.
    number
        (N,) numbers in the cohort.
    """
    folk = people(known, cohort, number)
    entities = {one.id: one for one in known.engine.entities}
    pins = cohort.pins(number, folk.birth, folk.sex, entities)
    taking = cohort.taking(number, folk.birth)
    chosen = np.zeros(len(number), np.int64)
    bound = np.zeros(len(number), bool)
    for pin in pins.values():
        bound |= ~np.isnan(pin.before) | pin.never
    rows = np.flatnonzero(bound)
    if len(rows):
        chosen[rows] = _choose(known, cohort, folk, rows, pins, taking)
    lives = live(
        known.engine, cohort.seed, folk, cohort.reference, known.words, candidate=chosen, pins=pins, taking=taking
    )
    return conclude(known.engine, lives, folk, cohort.reference)


def _choose(known: Known, cohort: Cohort, folk: People, rows: Ints, pins: dict[str, Pin], taking: dict) -> Ints:  # type: ignore[type-arg]
    """Return which candidate (K,) each bound person lives."""
    part = folk.take(rows)
    some = {name: Pin(*(getattr(pin, one.name)[rows] for one in fields(pin))) for name, pin in pins.items()}
    drugs = {pair: ages[rows] for pair, ages in taking.items()}
    weight = np.stack(
        [
            live(
                known.engine, cohort.seed, part, cohort.reference, known.words, candidate=j, pins=some, taking=drugs
            ).weight
            for j in range(CANDIDATES)
        ],
        axis=1,
    )  # (K, J)
    weight = np.exp(weight - weight.max(axis=1, keepdims=True))
    bounds = np.cumsum(weight, axis=1)
    u = addressed(cohort.seed, "simulator", "candidate", subjects=part.number)[:, 0] * bounds[:, -1]
    return np.minimum((bounds <= u[:, None]).sum(axis=1), CANDIDATES - 1)
