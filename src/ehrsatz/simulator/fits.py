"""What a reference population reaches of figures: shares, rates, quantiles, life expectancy; what no longer fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ehrsatz.simulator.aggregates import Deaths, Incidence, Prevalence, Quantile
from ehrsatz.simulator.baseline import AGES, SEXES
from ehrsatz.simulator.calibrate import prevalence
from ehrsatz.simulator.conflicts import Target, inside, process, quantiles
from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.module import Condition
from ehrsatz.simulator.raking import Cell
from ehrsatz.simulator.reference import MATCHED, Population

NEAR = {"prevalence": 0.15, "incidence": 0.15, "quantile": 0.03, "life expectancy": 0.0125, "deaths": 0.1, "care": 0.1}
LARGE = 100  # cases that a band must have to be compared
MIDDLE = (0.05, 0.95)  # quantiles that are compared
Row = Mapping[str, Any]


def share(drawn: Population, name: str, cell: Cell) -> tuple[float, float, float]:
    """Return the share of a group that has a condition, cases and people."""
    some = drawn.of(cell)
    cases, people = float((drawn.has(name) & some).sum()), float(some.sum())
    return cases / max(people, 1.0), cases, people


def rate(drawn: Population, name: str, cell: Cell) -> tuple[float, float, float]:
    """Return new cases or episodes per person-year of a group in the years that people may die in, cases and years."""
    lives = drawn.lives
    found: Any = lives.spells[name] if name in lives.spells else lives.attacks[name]
    onset = found.onset
    sex, low, high = cell
    begin, end = np.maximum(lives.window, low), np.minimum(drawn.end, high)
    mine = np.ones(lives.n, bool) if sex < 0 else lives.sex == sex
    years = float(np.maximum(end - begin, 0)[mine].sum())
    inside = mine[found.rows] & (onset >= begin[found.rows]) & (onset < end[found.rows])
    cases = float(inside.sum())
    return cases / max(years, 1e-9), cases, years


def expectancy(drawn: Population) -> Floats:
    """Return life expectancy at birth (2,): of the deaths that nothing explains and the mean of those that are."""
    return np.array([lived(one) for one in drawn.rates()])


def lived(rates: Floats) -> float:
    """Return life expectancy at birth of deaths a year (A,)."""
    alive = np.r_[1.0, np.exp(-np.cumsum(rates))]
    whole = np.where(rates > 1e-12, (alive[:-1] - alive[1:]) / np.maximum(rates, 1e-12), alive[:-1])
    return float(whole.sum())


def mortality(drawn: Population, cell: Cell) -> float:
    """Return deaths a year and person of a group."""
    rates = drawn.rates()
    people = inside(cell, drawn.people())
    return float((rates * people).sum() / max(people.sum(), 1e-9))


def rows(about: Known, found: Iterable[Target], before: Population, after: Population) -> tuple[Row, ...]:
    """Return what was asked and reached, then the published figures that moved away and are now out of reach.

    Returns
    -------
    Plain JSON types: place, figure, name, sex, ages, unit, asked, before, reached, met (None: nobody to count), source.
    """
    asked = list(found)
    out = [row for target in asked for row in _asked(about, target, before, after)]
    touched = {target.entry.name for target in asked if isinstance(target.entry, (Prevalence, Incidence))}
    bodies = {process(target.entry) for target in asked if isinstance(target.entry, Quantile)}
    return (*out, *_moved(about, before, after, touched), *_shifted(about, before, after, bodies))


def row(place: str, figure: str, name: str, cell: Cell, unit: str, values: tuple[float, float, float | None],
        source: str) -> Row:  # fmt: skip
    """Return one row; values are asked, before and reached (None: nobody to count)."""
    wanted, was, got = values
    bound = NEAR[figure]
    near = None if got is None else abs(got - wanted) <= bound * abs(wanted) + 1e-12
    return {
        "place": place,
        "figure": figure,
        "name": name,
        "sex": "both" if cell[0] < 0 else SEXES[cell[0]],
        "ages": [float(cell[1]), float(cell[2])],
        "unit": unit,
        "asked": float(wanted),
        "before": None if np.isnan(was) else float(was),
        "reached": None if got is None else float(got),
        "met": near,
        "source": source,
    }


def _asked(about: Known, target: Target, before: Population, after: Population) -> Iterator[Row]:
    entry, cell = target.entry, target.cell
    if isinstance(entry, Prevalence):
        was, (got, _, people) = share(before, entry.name, cell)[0], share(after, entry.name, cell)
        values = (entry.value, was, got if people else None)
        yield row(target.place, "prevalence", entry.name, cell, "share", values, entry.source)
    elif isinstance(entry, Incidence):
        was, (got, _, years) = rate(before, entry.name, cell)[0], rate(after, entry.name, cell)
        values = (entry.value, was, got if years else None)
        yield row(target.place, "incidence", entry.name, cell, "per person-year", values, entry.source)
    elif isinstance(entry, Quantile):
        name = process(entry)
        old, new = (
            one.read[name][one.of(cell)] for one in (before, after)
        )  # fmt: skip
        for p, value in quantiles(about, entry).items():
            label = f"{entry.item} p{100 * p:02.0f}"
            values = (value, float(np.quantile(old, p)) if len(old) else np.nan,
                      float(np.quantile(new, p)) if len(new) else None)  # fmt: skip
            yield row(target.place, "quantile", label, cell, about.processes[name].unit, values, entry.source)
    elif isinstance(entry, Deaths) and entry.life_expectancy is not None:
        old, new = expectancy(before), expectancy(after)
        pick = [0, 1] if cell[0] < 0 else [cell[0]]
        values = (entry.value, float(old[pick].mean()), float(new[pick].mean()))
        yield row(target.place, "life expectancy", entry.name, cell, "a", values, entry.source)
    elif isinstance(entry, Deaths):
        values = (entry.value, mortality(before, cell), mortality(after, cell))
        yield row(target.place, "deaths", entry.name, cell, "per person-year", values, entry.source)


def _moved(about: Known, before: Population, after: Population, touched: set[str]) -> Iterator[Row]:
    """Yield published prevalences of other conditions that moved away from the figure and are now too far from it."""
    for entity in about.engine.entities:
        if not isinstance(entity, Condition) or entity.prevalence is None or entity.id in touched:
            continue
        old, _, _ = prevalence(before.lives, entity, before.alive)
        new, _, people = prevalence(after.lives, entity, after.alive)
        edges = [*entity.prevalence.ages, float(AGES)]
        for s, sex in enumerate(SEXES):
            for b, wanted in enumerate(entity.prevalence.of(sex)):
                if wanted * people[s, b] < LARGE:
                    continue
                got, was = float(new[s, b]), float(old[s, b])
                chance = 2 * np.sqrt((1 - wanted) / (wanted * people[s, b]))
                far = abs(got / wanted - 1) > max(NEAR["prevalence"], chance)
                if far and abs(got - was) > 0.05 * wanted and abs(got - wanted) > abs(was - wanted):
                    cell = (s, edges[b], edges[b + 1])
                    yield {**row("published", "prevalence", entity.id, cell, "share", (wanted, was, got),
                                 entity.prevalence.source), "met": False}  # fmt: skip


def _shifted(about: Known, before: Population, after: Population, asked: set[str]) -> Iterator[Row]:
    """Yield, of each process, sex and age, the published quantile that moved farthest from the figure."""
    for name in MATCHED:
        if name in asked or name not in about.processes.names:
            continue
        one = about.processes[name]
        knots, levels = np.array(one.quantiles.ages), np.array(one.quantiles.probabilities)
        middle = np.flatnonzero((levels >= MIDDLE[0]) & (levels <= MIDDLE[1]))
        edges = np.r_[0.0, (knots[1:] + knots[:-1]) / 2, float(AGES)]
        read = []
        for drawn in (before, after):
            rows = np.flatnonzero(drawn.of((-1, 18.0, float(AGES))))
            read.append((drawn.read[name][rows], drawn.lives.sex[rows], drawn.lives.span[rows]))
        for k, knot in enumerate(knots):
            if knot < 20:
                continue
            for s, table in enumerate((one.quantiles.female, one.quantiles.male)):
                cell = (s, float(max(edges[k], 18)), float(edges[k + 1]))
                old, new = (
                    values[(sex == s) & (age >= cell[1]) & (age < cell[2])] for values, sex, age in read
                )  # fmt: skip
                if min(len(new), len(old)) < 150:
                    continue
                was, got = np.quantile(old, levels[middle]), np.quantile(new, levels[middle])
                wanted = np.array(table[k])[middle]
                far = (np.abs(got - wanted) > NEAR["quantile"] * np.abs(wanted)) & (
                    np.abs(got - was) > 0.01 * np.abs(wanted)
                )
                far &= np.abs(got - wanted) > np.abs(was - wanted)
                if not far.any():
                    continue
                m = int(np.argmax(np.where(far, np.abs(got / wanted - 1), 0)))  # the worst of a group stands for it
                label = f"{name} p{100 * levels[middle[m]]:02.0f}"
                told = (float(wanted[m]), float(was[m]), float(got[m]))
                yield {**row("published", "quantile", label, cell, one.unit, told, one.quantiles.source),
                       "met": False}  # fmt: skip
