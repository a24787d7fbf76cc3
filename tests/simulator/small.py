"""A small world for tests of the engine: few diseases, flat figures, bodies that are easy to reckon with."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from ehrsatz.seeds import addressed
from ehrsatz.simulator.baseline import AGES, wanted
from ehrsatz.simulator.conditions import mean_mortality
from ehrsatz.simulator.engine import Bodyworks, Knowledge, conclude, live
from ehrsatz.simulator.history import YEAR, History, People
from ehrsatz.simulator.lives import Pin
from ehrsatz.simulator.load import Modules, entities
from ehrsatz.simulator.load import _order as order_of
from ehrsatz.simulator.module import Condition, Module

REFERENCE = 20_000.0
SOURCE = {"assumed_test": "a test's own figures"}


def module(conditions: list[dict[str, Any]], episodes: list[dict[str, Any]] | None = None) -> Module:
    """Read a module; sources are filled in."""

    def sourced(one: Any) -> Any:
        if isinstance(one, dict):
            out = {key: sourced(value) for key, value in one.items()}
            keys = set(out)
            if keys & {
                "ages",
                "ratio",
                "levels",
                "shift",
                "low",
                "cause",
                "at_onset",
                "rxnorm",
                "shares",
                "days",
                "icd10",
            }:
                out.setdefault("source", "assumed_test")
            if "remission_per_year" in out:
                out.setdefault("remission_source", "assumed_test")
            return out
        return [sourced(each) for each in one] if isinstance(one, list) else one

    return Module.model_validate(
        {
            "module": "test",
            "title": "Test",
            "sources": SOURCE,
            "conditions": [sourced({"title": one["id"], "icd10": "R69", **one}) for one in conditions],
            "episodes": [sourced({"title": one["id"], "icd10": "R69", **one}) for one in episodes or []],
        }
    )


def flat(value: float, unit: str = "share") -> dict[str, Any]:
    """Return a table with one figure for all."""
    return {"ages": [0], "female": [value], "male": [value], "unit": unit}


class Still:
    """Scores that never change in a life."""

    def __init__(self, seed: int, number: np.ndarray, years: int, span: np.ndarray) -> None:
        self.seed, self.number, self.years = seed, number, years

    def grid(self, process: str) -> np.ndarray:
        u = addressed(self.seed, "still", process, subjects=self.number)[:, 0]
        return np.repeat(ndtri(np.clip(u, 1e-9, 1 - 1e-9))[:, None], self.years, axis=1)


def knowledge(one: Module, death: float = 0.0, base: dict[str, np.ndarray] | None = None) -> Knowledge:
    """Return knowledge of one module: every process has mean 100 and standard deviation 10."""
    order, circle = order_of(list(entities(one)))
    assert not circle
    rates = {e.id: wanted(e, mean_mortality(e)[1] if isinstance(e, Condition) else 0.0) for e in order} | (base or {})
    works = Bodyworks(Still, lambda process, sex, z: 100 + 10 * z, lambda process: (0.0, 1e6), lambda k, s, a, z: z)
    assert Modules({}, order).order == order
    return Knowledge(order, rates, np.full((2, AGES), death), (("R99",), np.ones((1, 2, AGES))), works)


def folk(n: int, *, age: float | None = 60.0, first: int = 0, window: float = 10.0, **rest: Any) -> People:
    """Return n people of one age (None: 0 to 90), half of them women."""
    number = np.arange(first, first + n, dtype=np.int64)
    years = addressed(3, "age", subjects=number)[:, 0] * 90 if age is None else np.full(n, age)
    birth = np.floor(REFERENCE - years * YEAR)
    free = np.full(n, np.nan)
    values: dict[str, Any] = {
        "number": number,
        "birth": birth,
        "sex": number % 2,
        "start": np.maximum(birth, REFERENCE - window * YEAR),
        "end": np.full(n, REFERENCE),
        "death": free,
        "cause": np.full(n, -1),
        "attributes": {},
        "income": np.full(n, 5e4),
        "adherence": np.ones(n),
        "care_seeking": np.ones(n),
        "smoked_from": free,
        "smoked_to": free,
        "mother": np.full(n, -1),
    }
    return People(**{**values, **rest})


def lives(known: Knowledge, people: People, **rest: Any) -> History:
    """Return the history of people; `pins`, `taking` and `candidate` as in `live`."""
    grown = live(known, 7, people, REFERENCE, rest.pop("words", {}), **rest)
    return conclude(known, grown, people, REFERENCE)


def pin(n: int, before: float = np.nan, since: float = np.nan, *, never: bool = False, stage: int = -1) -> Pin:
    """Return the same pin for n people."""
    return Pin(np.full(n, before), np.full(n, since), np.full(n, never), np.full(n, stage), np.full(n, before))
