"""What a calibration file cannot mean: unknown names, figures that nobody can have, and figures that contradict others.

Two figures contradict each other where no population can have both. For shares and rates this is asked of a linear
program over cells of age and sex, weighted by the people of the country; for quantiles, of what the distribution of a
part leaves for that of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.simulator.aggregates import OLDEST, Aggregates, Care, Deaths, Incidence, Prevalence, Quantile
from ehrsatz.simulator.baseline import AGES, SEXES, steps
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.module import Condition, Episode
from ehrsatz.simulator.raking import Cell

SLACK = 0.03  # published figures are rounded: so far, relative, two may differ and yet agree
Rate = Prevalence | Incidence | Care | Deaths
ADULT = 18.0


@dataclass(frozen=True)
class Target:
    """One figure of the file, or of `prevalence` in the scenario, with its place."""

    place: str
    entry: Prevalence | Incidence | Quantile | Care | Deaths

    @property
    def cell(self) -> Cell:
        """Sex and ages."""
        sex = -1 if self.entry.sex is None else SEXES.index(self.entry.sex)
        return (sex, *self.entry.ages)

    @property
    def kind(self) -> str:
        """Kind of figure and what it is of; figures of one kind are comparable."""
        return f"{type(self.entry).__name__.lower()} {self.entry.name}"

    def told(self) -> str:
        """Return place and cell in words."""
        sex, low, high = self.cell
        ages = "all ages" if (low, high) == (0.0, OLDEST) else f"{low:g}-{high:g} years"
        return f"{self.place} ({self.entry.name}, {'both sexes' if sex < 0 else SEXES[sex]}, {ages})"


def targets(told: Aggregates | None, adults: Mapping[str, float] | None = None) -> tuple[Target, ...]:
    """Return all figures with their places; `adults` is the scenario's share of living adults per condition."""
    out = [
        Target(
            f"simulator.prevalence.{name}",
            Prevalence(condition=name, share=share, ages=(ADULT, OLDEST), source="the scenario"),
        )
        for name, share in (adults or {}).items()
    ]
    for kind in ("prevalence", "incidence", "quantiles", "care", "deaths") if told else ():
        out += [Target(f"{kind}[{k}]", entry) for k, entry in enumerate(getattr(told, kind))]
    return tuple(out)


def refuse(about: Known, told: Aggregates | None, adults: Mapping[str, float] | None = None) -> tuple[Target, ...]:
    """Return all figures, unless something is wrong with them.

    Raises
    ------
    ScenarioError
        With each unknown name, impossible figure and contradicting pair, by place and with the reason.
    """
    found = targets(told, adults)
    known = {one.id: one for one in about.engine.entities}
    problems = [problem for target in found for problem in _alone(about, known, target)]
    if told is not None:
        problems += _stays(told, known)
    if not problems:
        problems = list(_pairs(about, known, found))
    if problems:
        raise ScenarioError(
            "Expected figures to calibrate to that a population can have, all at once.",
            f"{len(problems)} cannot be met" + (" together." if len(problems) > 1 else "."),
            "Change or leave out what is named below.",
            problems=problems,
        )
    return found


def weights(about: Known) -> Floats:
    """Return how many people (2, A) the country has of each age, in thousands."""
    pyramid = about.locale.life.pyramid
    table = about.locale.life.table
    out = np.zeros((2, AGES))
    edges = [*pyramid.ages, float(AGES)]
    for s, figures in enumerate((pyramid.female, pyramid.male)):
        alive = np.cumprod(np.r_[1.0, 1 - np.array(table.female if s == 0 else table.male)])[:AGES]
        for low, high, people in zip(edges[:-1], edges[1:], figures, strict=True):
            years = np.arange(int(low), int(high))
            share = np.ones(len(years)) if high < AGES else alive[years]
            out[s, years] = people * share / share.sum()
    return out


def inside(cell: Cell, people: Floats) -> Floats:
    """Return the people (2, A) of a cell, whole and broken years."""
    sex, low, high = cell
    years = np.arange(AGES, dtype=np.float64)
    share = np.clip(np.minimum(years + 1, high) - np.maximum(years, low), 0, 1)
    out = people * share[None, :]
    if sex >= 0:
        out[1 - sex] = 0
    return out


# ---------------------------------------------------------------------- one figure
def _alone(about: Known, known: Mapping[str, Condition | Episode], target: Target) -> Iterator[str]:
    entry = target.entry
    if isinstance(entry, (Prevalence, Incidence)):
        entity = known.get(entry.name)
        if entity is None:
            yield f"{target.place}: no condition or episode has the id '{entry.name}'.{nearest(entry.name, known)}"
            return
        if isinstance(entry, Prevalence) and isinstance(entity, Episode):
            yield f"{target.place}: {entry.name} is an episode, which has an incidence and no prevalence"
        if isinstance(entry, Incidence) and isinstance(entity, Condition) and entity.birth is not None:
            yield f"{target.place}: people are born with {entry.name}; give its prevalence"
        if entity.sex is not None and entry.sex is not None and entity.sex != entry.sex and entry.value > 0:
            yield f"{target.place}: {entry.name} occurs in the {entity.sex} sex only"
        if entry.ages[1] <= entity.ages[0] and entry.value > 0:
            yield f"{target.place}: {entry.name} begins at {entity.ages[0]:g} years at the earliest"
        if isinstance(entry, Prevalence) and entity.sex is not None and entry.sex is None:
            people = weights(about)
            most = inside((SEXES.index(entity.sex), *entry.ages), people).sum() / inside(target.cell, people).sum()
            if entry.value > most:
                yield f"{target.place}: {entry.name} occurs in the {entity.sex} sex only, {most:.0%} of these people"
    elif isinstance(entry, Quantile):
        yield from _reading(about, target, entry)
    elif isinstance(entry, Deaths) and entry.life_expectancy is not None and not 30 <= entry.life_expectancy <= 100:
        yield f"{target.place}: expected a life expectancy between 30 and 100 years"


def _reading(about: Known, target: Target, entry: Quantile) -> Iterator[str]:
    items = {one.id: one for one in catalogue().items}
    item = items.get(entry.item)
    name = entry.item if item is None else item.process
    if entry.item not in about.processes.names and (item is None or name is None):
        if item is not None:
            of = f", of {', '.join(item.of)}" if item.of else ""
            yield f"{target.place}: {entry.item} is not read from a process of the body but computed{of}"
        else:
            known = sorted({*items, *about.processes.names})
            yield f"{target.place}: no item has the id '{entry.item}'.{nearest(entry.item, known)}"
        return
    try:
        values = quantiles(about, entry)
    except ValueError as error:
        yield f"{target.place}: {error}"
        return
    if list(values.values()) != sorted(values.values()):
        yield f"{target.place}: the quantiles of {entry.item} fall; a higher share has a higher value"
    low, high = about.natural.bounds(process(entry))
    if entry.given and not all(low <= value <= high for value in values.values()):
        yield f"{target.place}: {entry.item} lies between {low:g} and {high:g} {about.processes[process(entry)].unit}"


def process(entry: Quantile) -> str:
    """Return the process that an item is read from."""
    return next((one.process for one in catalogue().items if one.id == entry.item and one.process), entry.item)


def quantiles(about: Known, entry: Quantile) -> dict[float, float]:
    """Return probability -> value in the unit of the process; of a mean, those of its normal or log-normal.

    Raises
    ------
    ValueError
        When the unit is unknown.
    """
    from scipy.special import ndtri

    one = about.processes[process(entry)]
    factor, offset = 1.0, 0.0
    if entry.unit not in (None, one.unit):
        turned = about.locale.units.items.get(entry.item) or _turned(entry)
        if turned is None or turned.unit != entry.unit:
            known = one.unit if turned is None else f"{one.unit} or {turned.unit}"
            raise ValueError(f"expected {entry.item} in {known}")
        factor, offset = turned.factor, turned.offset
    if entry.given:
        return {p: (value - offset) / factor for p, value in sorted(entry.given.items())}
    assert entry.mean is not None and entry.sd is not None
    mean, sd = (entry.mean - offset) / factor, entry.sd / abs(factor)
    z = {p: float(ndtri(p)) for p in (0.05, 0.25, 0.5, 0.75, 0.95)}
    if one.scale == "log":
        spread = float(np.sqrt(np.log1p((sd / mean) ** 2)))
        return {p: float(mean / np.exp(spread**2 / 2) * np.exp(spread * q)) for p, q in z.items()}
    return {p: mean + sd * q for p, q in z.items()}


def _turned(entry: Quantile):  # type: ignore[no-untyped-def]
    """Return how a bundled country turns an item, where one does so into the unit of the entry."""
    from ehrsatz.simulator.locale import bundled, locale_of

    every = [locale_of(name).units.items.get(entry.item) for name in bundled()]
    return next((one for one in every if one is not None and one.unit == entry.unit), None)


def _stays(told: Aggregates, known: Mapping[str, Condition | Episode]) -> Iterator[str]:
    seen: dict[str | None, int] = {}
    for k, stay in enumerate(told.stays):
        if stay.of in seen:
            yield f"stays[{seen[stay.of]}] and stays[{k}]: the same stay twice"
        seen[stay.of] = k
        if stay.of is not None:
            entity = known.get(stay.of)
            if entity is None:
                yield f"stays[{k}]: no episode has the id '{stay.of}'.{nearest(stay.of, known)}"
            elif not isinstance(entity, Episode) or entity.stay_days is None:
                yield f"stays[{k}]: nobody is admitted for {stay.of}"


# ---------------------------------------------------------------------- two figures
def _pairs(about: Known, known: Mapping[str, Condition | Episode], found: tuple[Target, ...]) -> Iterator[str]:
    people = weights(about)
    for one, other in combinations(found, 2):
        reason = _against(about, known, people, one, other)
        if reason:
            yield f"{one.told()} and {other.told()}: {reason}"
    for one in found:
        if isinstance(one.entry, Prevalence):
            yield from _cause(known, people, one, found)


def _against(
    about: Known, known: Mapping[str, Condition | Episode], people: Floats, one: Target, other: Target
) -> str | None:
    a, b = one.entry, other.entry
    if isinstance(a, Quantile) and isinstance(b, Quantile):
        return _distributions(about, people, one, other) if process(a) == process(b) else None
    if isinstance(a, Quantile) or isinstance(b, Quantile):
        return None
    if isinstance(a, Deaths) and isinstance(b, Deaths):
        if a.name != b.name:
            return "both scale the life table; give one of them" if _touch(one.cell, other.cell) else None
        if a.name == "life expectancy":
            same = one.cell == other.cell and abs(a.value - b.value) > 0.05
            return "two different figures of one life expectancy" if same else None
    if isinstance(a, (Prevalence, Incidence)) and isinstance(b, (Prevalence, Incidence)):
        if a.name == b.name and type(a) is not type(b):
            return "the incidence follows from the prevalence and how long it lasts; give one of them"
        if type(a) is Prevalence and type(b) is Prevalence and a.name != b.name:
            return _two(known, people, one, other)
    if one.kind != other.kind:
        return None
    if one.cell == other.cell:
        differ = abs(a.value - b.value) > SLACK * max(a.value, b.value)
        return "two different figures of the same people" if differ else None
    if not _feasible(people, [(one.cell, a.value, 0), (other.cell, b.value, 0)], (), isinstance(a, Prevalence)):
        return "of one group the other is a part, and no figures of the rest fit both"
    return None


def _two(known: Mapping[str, Condition | Episode], people: Floats, one: Target, other: Target) -> str | None:
    """Return why prevalences of two conditions contradict each other."""
    for a, b in ((one, other), (other, one)):
        mine, its = known[a.entry.name], known[b.entry.name]
        assert isinstance(mine, Condition) and isinstance(its, Condition)
        wanted = [(a.cell, a.entry.value, 0), (b.cell, b.entry.value, 1)]  # type: ignore[union-attr]
        lasts = not its.remission_per_year and not its.ends_with
        if lasts and mine.requires == (its.id,) and not _feasible(people, wanted, ((1, 0, -1, 0),), True):
            return f"nobody has {mine.id} without {its.id}, so it cannot be commoner"
        if its.id in (*mine.excludes, *mine.ends_with) and not _feasible(people, wanted, ((1, 0, 1, 1),), True):
            return f"nobody has {mine.id} and {its.id} at once, and together they are more than all"
    return None


def _cause(
    known: Mapping[str, Condition | Episode], people: Floats, one: Target, found: tuple[Target, ...]
) -> Iterator[str]:
    """Yield where a complication is wanted more often than its cause is published."""
    entity = known[one.entry.name]
    causes = [known[name] for name in entity.requires]
    if not causes or any(cause.id == other.entry.name for cause in causes for other in found):
        return
    if not all(isinstance(c, Condition) and c.prevalence and not c.remission_per_year for c in causes):
        return
    cell = inside(one.cell, people)
    most = sum(float((steps(c.prevalence) * cell).sum() / cell.sum()) for c in causes if isinstance(c, Condition) and c.prevalence)  # fmt: skip  # noqa: E501
    if one.entry.value > most * (1 + SLACK):  # type: ignore[union-attr]
        names = " or ".join(cause.id for cause in causes)
        yield f"{one.told()}: commoner than {names}, which it comes from and which {most:.1%} of these people have"


def _touch(one: Cell, other: Cell) -> bool:
    sexes = one[0] < 0 or other[0] < 0 or one[0] == other[0]
    return sexes and one[1] < other[2] and other[1] < one[2]


def _feasible(
    people: Floats, wanted: Iterable[tuple[Cell, float, int]], rules: Iterable[tuple[int, int, int, int]], share: bool
) -> bool:
    """Return whether figures of cells can hold together.

    Parameters
    ----------
    people
        (2, A)
    wanted
        Cell, mean over its people, and which of two things (0, 1) it is of.
    rules
        (a, -, b, c): a * thing 0 + b * thing 1 is at most c everywhere.
    share
        Figures lie between 0 and 1; else only above 0.
    """
    from scipy.optimize import linprog

    wanted = list(wanted)
    edges = sorted({0.0, float(AGES), *(edge for cell, _, _ in wanted for edge in cell[1:])})
    cells = [(s, low, high) for s in (0, 1) for low, high in pairwise(edges)]
    size = len(cells)
    counts = np.array([inside(cell, people).sum() for cell in cells])
    above, most = [], []
    for cell, value, thing in wanted:
        row = np.zeros(2 * size)
        for k, (s, low, high) in enumerate(cells):
            if cell[0] in (-1, s) and cell[1] <= low and high <= cell[2]:
                row[thing * size + k] = counts[k]
        row /= max(row.sum(), 1e-12)
        above += [row, -row]
        most += [value * (1 + SLACK) + 1e-9, -value * (1 - SLACK) + 1e-9]
    for a, _, b, limit in rules:
        for k in range(size):
            row = np.zeros(2 * size)
            row[k], row[size + k] = a, b
            above.append(row)
            most.append(float(limit))
    top = 1.0 if share else None
    return bool(linprog(np.zeros(2 * size), A_ub=np.array(above), b_ub=np.array(most), bounds=(0, top)).status == 0)


def _distributions(about: Known, people: Floats, one: Target, other: Target) -> str | None:
    """Return why two distributions contradict each other."""
    assert isinstance(one.entry, Quantile) and isinstance(other.entry, Quantile)
    a, b = quantiles(about, one.entry), quantiles(about, other.entry)
    if one.cell == other.cell:
        differ = any(abs(a[p] - b[p]) > SLACK / 3 * abs(a[p]) for p in set(a) & set(b))
        both = sorted([*a.items(), *b.items()])
        if differ:
            return "two different figures of the same people"
        return None if [v for _, v in both] == sorted(v for _, v in both) else "together their quantiles fall"
    mine, its = inside(one.cell, people), inside(other.cell, people)
    for part, whole, small, large in ((a, b, mine, its), (b, a, its, mine)):
        if not (small <= large + 1e-9).all():
            continue
        weight = small.sum() / large.sum()
        for p, value in part.items():  # of the whole, weight * p at least lies below, and 1 - weight * (1 - p) at most
            upper = min((q for q, x in whole.items() if x > value), default=1.0)
            lower = max((q for q, x in whole.items() if x < value), default=0.0)
            if weight * p > upper + 0.01 or lower > weight * p + 1 - weight + 0.01:
                return "of one group the other is a part, and no distribution of the rest fits both"
    return None
