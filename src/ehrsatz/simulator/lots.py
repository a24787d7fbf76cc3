"""Lives under quotas: several possible ones are drawn for each person, and one taken by how well it explains them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from ehrsatz.seeds import addressed
from ehrsatz.simulator.cohort import CANDIDATES, Cohort
from ehrsatz.simulator.engine import conclude, live
from ehrsatz.simulator.history import Floats, History, Ints, People
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.lives import CANDIDATE, Pin
from ehrsatz.simulator.persons import people
from ehrsatz.simulator.population import demographics

OWN = ("income", "adherence", "care_seeking", "smoked_from", "smoked_to")
HABITS = ("education", "housing", "alcohol", "activity")


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
        chosen[rows], folk = _choose(known, cohort, folk, rows, pins, taking)
    lives = live(
        known.engine, cohort.seed, folk, cohort.reference, known.words, candidate=chosen, pins=pins, taking=taking
    )
    return conclude(known.engine, lives, folk, cohort.reference)


def _choose(
    known: Known, cohort: Cohort, folk: People, rows: Ints, pins: dict[str, Pin], taking: dict[tuple[str, str], Floats]
) -> tuple[Ints, People]:
    """Return which candidate (K,) each bound person lives, and the people as they then are.

    A candidate differs in habits, education and income too: who must have a disease of smokers likelier smokes. Birth,
    sex, group and family stay.
    """
    part = folk.take(rows)
    some = {name: Pin(*(getattr(pin, one.name)[rows] for one in fields(pin))) for name, pin in pins.items()}
    drugs = {pair: ages[rows] for pair, ages in taking.items()}
    candidates = [part, *(_other(known, cohort, part, j) for j in range(1, CANDIDATES))]
    weight = np.stack(
        [
            live(
                known.engine, cohort.seed, one, cohort.reference, known.words, candidate=j, pins=some, taking=drugs
            ).weight
            for j, one in enumerate(candidates)
        ],
        axis=1,
    )  # (K, J)
    weight = np.exp(weight - weight.max(axis=1, keepdims=True))
    bounds = np.cumsum(weight, axis=1)
    u = addressed(cohort.seed, "simulator", "candidate", subjects=part.number)[:, 0] * bounds[:, -1]
    chosen = np.minimum((bounds <= u[:, None]).sum(axis=1), CANDIDATES - 1)
    return chosen, _become(folk, rows, candidates, chosen)


def _other(known: Known, cohort: Cohort, part: People, j: int) -> People:
    """Return people as they might be too: other habits, education, income, housing and care, the same else."""
    drawn = demographics(
        cohort.seed,
        known.locale,
        part.number + j * CANDIDATE,
        reference=cohort.reference,
        window_years=cohort.history_years,
        sex=part.sex,
        birth=part.birth,
    )
    attributes = {**part.attributes, **{name: drawn[name].astype(np.int64) for name in HABITS}}
    attributes["income"] = drawn["quintile"].astype(np.int64) - 1
    values: dict[str, Any] = {name: drawn[name].astype(np.float64) for name in OWN}
    return replace(part, attributes=attributes, **values)


def _become(folk: People, rows: Ints, candidates: list[People], chosen: Ints) -> People:
    """Return all people, those of `rows` as the candidate that was chosen for each."""

    def mixed(old: np.ndarray, new: list[np.ndarray]) -> np.ndarray:
        out = old.copy()
        out[rows] = np.stack(new)[chosen, np.arange(len(rows))]
        return out

    attributes = {
        name: mixed(values, [one.attributes[name] for one in candidates]) for name, values in folk.attributes.items()
    }
    arrays: dict[str, Any] = {
        name: mixed(getattr(folk, name), [getattr(one, name) for one in candidates]) for name in OWN
    }
    return replace(folk, attributes=attributes, **arrays)
