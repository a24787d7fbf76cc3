"""What is kept of a shard of simulated patients when its rows are on disk: counts and sums, in plain JSON types.

Every part is added up over shards (`merge`), so that memory does not grow with the cohort. What is held against
published figures is counted in every shard. Rules, codes and keys, which cost more, are checked in every row of the
first 10,240 patients and of every fourth shard after them, and the count of patients whose rows were checked is kept
beside. Example patients come from the first shard alone.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.plausibility import quotas, structure
from ehrsatz.evaluation.plausibility.glycaemia import glycaemia, merged
from ehrsatz.evaluation.plausibility.timelines import timelines
from ehrsatz.parts import SimulatorPart
from ehrsatz.rules.mapping import mapping_of
from ehrsatz.rules.view import View
from ehrsatz.simulator.edges import without
from ehrsatz.simulator.shards import SIZE
from ehrsatz.simulator.tally import YEARS, Tally, tally
from ehrsatz.simulator.targets import targets

FORMAT = 1
ALL, EVERY = 10_240, 4  # patients that are all checked; of the shards after them, one in so many

Told = dict[str, Any]


def statistics(dataset: Dataset, plan: SimulatorPart, first: int = 0) -> Told:
    """Return what is kept of a shard.

    Parameters
    ----------
    dataset
        Of the clinical schema, patients in the order of their numbers.
    plan
        What was asked for; its reference date is the last day on which anything can be.
    first
        Number of the first patient.

    Returns
    -------
    Plain JSON types that `merge` adds up and `cohort.evaluate` reads.
    """
    n = dataset.tables["patient"].height
    shard = first // SIZE
    seed, size = _drawn(dataset, first + n)
    held = targets(plan.locale, plan.modules)
    people = without(dataset.tables, plan.edge_cases) if first == 0 else dataset.tables  # who stand for a population
    counted = tally(people, plan.reference, held=held, years=min(YEARS, plan.history_years, _years(plan)))
    return {
        "format": FORMAT,
        "patients": n,
        "rows": {name: frame.height for name, frame in dataset.tables.items()},
        "tally": counted.to_dict(),
        "glycaemia": glycaemia(people["observation"], plan.locale, points=first == 0),
        "checked": _checked(dataset, plan) if first < ALL or shard % EVERY == 0 else None,
        "quotas": quotas.quotas(dataset.tables, plan, seed, first, size),
        "shares": quotas.shares(dataset.tables, plan, seed, first, size),
        "timelines": _timelines(dataset, plan) if first == 0 else [],
    }


def _drawn(dataset: Dataset, least: int) -> tuple[int, int]:
    """Return seed and size of the cohort that a dataset is a part of, as its provenance tells."""
    step = next((one for one in dataset.provenance.steps if one.action == "simulate"), None)
    if step is None:
        return 0, least
    return step.seed or 0, int(step.params.get("n", least))


def _timelines(dataset: Dataset, plan: SimulatorPart) -> list[Told]:
    years = None if plan.record_years == "life" else float(plan.record_years)
    return timelines(dataset.tables, plan.reference, plan.locale, plan.modules, years)


def _checked(dataset: Dataset, plan: SimulatorPart) -> Told:
    """Return what rules, codes, keys and stays say of every row."""
    view = View(dataset.tables, mapping_of("clinical", {}), _last(plan.reference))
    return {
        "patients": dataset.tables["patient"].height,
        "rules": structure.rules(dataset, view),
        "codes": structure.codes(view, plan),
        "keys": structure.dangling(view),
        "stays": structure.stays(view),
    }


def _years(plan: SimulatorPart) -> float:
    """Return the years of routine care in a record."""
    return float("inf") if plan.record_years == "life" else float(plan.record_years)


def merge(a: Mapping[str, Any], b: Mapping[str, Any]) -> Told:
    """Add up what was kept of two parts of a cohort, the earlier one first."""
    return {
        "format": FORMAT,
        "patients": a["patients"] + b["patients"],
        "rows": _rows(a["rows"], b["rows"]),
        "tally": Tally.from_dict(a["tally"]).merge(Tally.from_dict(b["tally"])).to_dict(),
        "glycaemia": merged(a["glycaemia"], b["glycaemia"]),
        "checked": _both(a["checked"], b["checked"]),
        "quotas": [_quota(x, y) for x, y in zip(a["quotas"], b["quotas"], strict=True)],
        "shares": {key: _added(a["shares"][key], b["shares"][key]) for key in a["shares"]},
        "timelines": [*a["timelines"], *b["timelines"]],
    }


def _both(a: Told | None, b: Told | None) -> Told | None:
    if a is None or b is None:
        return a or b
    keys = _added(a["keys"], b["keys"])
    return {
        "patients": a["patients"] + b["patients"],
        "rules": _added(a["rules"], b["rules"]),
        "codes": structure.merged_codes(a["codes"], b["codes"]),
        "keys": {name: a["keys"][name] if name.split(".")[0] in WORLD else n for name, n in keys.items()},
        "stays": [x + y for x, y in zip(a["stays"], b["stays"], strict=True)],
    }


def _last(day: datetime.date) -> datetime.datetime:
    """Return the last moment of a day."""
    return datetime.datetime.combine(day, datetime.time(23, 59, 59))


def _rows(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    """Add up rows; tables of the world are the same in every shard and count once."""
    return {name: a[name] if name in WORLD else a.get(name, 0) + b.get(name, 0) for name in {**a, **b}}


def _added(a: Mapping[str, list[int]], b: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Add up lists of counts by name; a name that one part lacks is taken from the other."""
    both = {name: [x + y for x, y in zip(a[name], b[name], strict=True)] for name in a if name in b}
    return {name: both.get(name) or a.get(name) or b[name] for name in {**a, **b}}


def _quota(a: Told, b: Told) -> Told:
    fits = {name: a["fits"].get(name, 0) + b["fits"].get(name, 0) for name in {**a["fits"], **b["fits"]}}
    return {"people": a["people"] + b["people"], "whole": a["whole"] + b["whole"], "fits": fits}
