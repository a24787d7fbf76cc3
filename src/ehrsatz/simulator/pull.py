"""Knowledge pulled to figures: those of a calibration file and the shares of adults that a scenario asks for.

The tables of what is named are scaled to the figures (`raking`), then its rates and those of all that hangs on it are
solved on a reference population, so that what is not named keeps its published figures; last, everything is drawn once
more and held against all figures (`fits`). Same knowledge, same file, same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtri

from ehrsatz.simulator import fits
from ehrsatz.simulator.aggregates import Aggregates, Deaths, Incidence, Prevalence, Quantile
from ehrsatz.simulator.baseline import AGES, SEXES
from ehrsatz.simulator.calibrate import PRIOR, Solver, exits, prevalence, unexplained
from ehrsatz.simulator.conflicts import Target, inside, process, quantiles, refuse
from ehrsatz.simulator.engine import Knowledge
from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.load import moved, requirements
from ehrsatz.simulator.module import Condition, Episode, Table
from ehrsatz.simulator.quantiles import Correction, Natural
from ehrsatz.simulator.raking import cut, made, of, people_of, rake
from ehrsatz.simulator.reference import MATCHED, Population, ages, draw, folk
from ehrsatz.simulator.usage import scaled_care

N = 8_192  # people of the reference population
ROUNDS = 3  # passes before the last
STEADY = 60.0  # cases that count as much as the figure of a band: bands of few cases are hardly corrected
FEW = 5.0  # cases below which a reached rate says nothing
Say = Callable[[str], None]
Entity = Condition | Episode


def calibrated(
    about: Known,
    told: Aggregates | None = None,
    adults: Mapping[str, float] | None = None,
    *,
    n: int = N,
    rounds: int = ROUNDS,
    say: Say = lambda text: None,
) -> Known:
    """Return knowledge that meets figures, with `fit`: what was asked, what is reached, and what no longer fits.

    It takes about as long as two and a half draws of the reference population, 20 seconds or so.

    Parameters
    ----------
    about
        With all rates solved.
    told
        A calibration file.
    adults
        Condition -> share of the living adults that has it.
    n, rounds
        People of the reference population, and passes over others of them before the last.
    say
        Told what is done.

    Raises
    ------
    ScenarioError
        When figures cannot be met, with each and the reason.
    """
    found = refuse(about, told, adults)
    say(f"calibration: {len(found) + len(told.stays if told else ())} figures; the population as published")
    read = {*MATCHED, *(process(t.entry) for t in found if isinstance(t.entry, Quantile))}
    before = draw(about, about.engine, folk(about, n), about.engine.death_base, read=read)
    work = _Work(about, found, before)
    for k in range(rounds):
        say(f"calibration: pass {k + 1} of {rounds}")
        work.step(n, (k + 1) * n, 1 / (k + 1))  # others each time, so that their chance evens out
    say("calibration: what is reached")
    after = work.last(n)
    out = work.known(after)
    out, more = scaled_care(out, told, say=say)
    return replace(
        out,
        fit=(
            *fits.rows(out, found, before, replace(after, death=out.engine.death_base, deadly=out.engine.deadly)),
            *more,
        ),
    )


@dataclass
class _Work:
    """What a calibration has changed so far."""

    about: Known
    found: tuple[Target, ...]
    before: Population
    entities: dict[str, Entity] = field(default_factory=dict)
    corrections: dict[str, Correction] = field(default_factory=dict)
    solver: Solver = field(init=False)
    needed: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        about, before = self.about, self.before
        self.entities = {one.id: one for one in about.engine.entities}
        self.corrections = dict(about.solved.corrections)
        touched = {t.entry.name for t in self.found if isinstance(t.entry, (Prevalence, Incidence))}
        bodies = {process(t.entry) for t in self.found if isinstance(t.entry, Quantile)}
        for name in sorted(touched):
            self.entities[name] = self._pulled(self.entities[name])
        for target in self.found:
            if isinstance(target.entry, Quantile):
                self._shift(target, before, 1.0)
        order = tuple(self.entities.values())
        free = self.free = hanging(order, touched, bodies)
        self.needed = causes(order, free, bodies)
        base = {name: rate for name, rate in about.engine.base.items() if name not in free}
        self.solver = Solver(self.entities, base, prior=STEADY)
        for name in sorted(free):
            had = next(one for one in about.engine.entities if one.id == name)
            if isinstance(had, Condition) and (had.ends_with or had.remission_until_stage is not None):
                self.solver.cure[name] = exits(before.lives, had)
            aim, old = about.solved.aims.get(name), self._published(name)
            entity = self.entities[name]
            if aim is not None and old is not None and isinstance(entity, Condition) and entity.prevalence:
                at = np.searchsorted(np.array(old.ages), np.array(entity.prevalence.ages), side="right") - 1
                self.solver.factor[name] = aim[:, np.maximum(at, 0)]

    def _published(self, name: str) -> Table | None:
        entity = next(one for one in self.about.engine.entities if one.id == name)
        return entity.prevalence if isinstance(entity, Condition) else None

    # ------------------------------------------------------------------ tables
    def _pulled(self, entity: Entity) -> Entity:
        """Return a condition or an episode whose tables have the figures."""
        mine = [t for t in self.found if getattr(t.entry, "name", "") == entity.id]
        shares = [(t.cell, t.entry.value) for t in mine if isinstance(t.entry, Prevalence)]
        rates = [(t.cell, t.entry.value) for t in mine if isinstance(t.entry, Incidence)]
        people = self.before.people()
        if shares and isinstance(entity, Condition):
            if entity.birth is not None:
                return entity.model_copy(update={"birth": self._scaled(entity, entity.birth, fits.share, mine)})
            shape = entity.prevalence or self._shape(entity, people)
            able = people * _able(entity)
            shares = [(c, min(v * inside(c, people).sum() / max(inside(c, able).sum(), 1e-9), 1.0)) for c, v in shares]
            return entity.model_copy(update={"prevalence": rake(shape, able, shares), "incidence": None})
        if rates:
            table = entity.incidence
            if table is None:
                assert isinstance(entity, Condition)
                table = self._onsets(entity)
            update: dict[str, Table | None] = {"incidence": self._scaled(entity, table, fits.rate, mine)}
            if isinstance(entity, Condition):
                update["prevalence"] = None
            return entity.model_copy(update=update)
        return entity

    def _shape(self, entity: Condition, people: Floats) -> Table:
        """Return the prevalence that follows from a condition's incidence, by ten years of age."""
        lows = np.array([low for low in range(0, 100, 10) if low + 10 > entity.ages[0]], np.float64)
        drawn = self.before
        some = drawn.alive & drawn.has(entity.id)
        at = np.minimum(drawn.lives.span[some].astype(np.int64), AGES - 1) + AGES * drawn.lives.sex[some]
        cases = np.bincount(at, minlength=2 * AGES).reshape(2, AGES).astype(np.float64)
        cases, whole = people_of(lows, cases), people_of(lows, people)
        mean = max(cases.sum(), 0.5) / max(whole.sum(), 1.0)
        return made(lows.tolist(), (cases + 2 * mean) / (whole + 2))

    def _onsets(self, entity: Condition) -> Table:
        """Return new cases per person-year of those without a condition, by ten years of age."""
        lows = [float(low) for low in range(0, 100, 10) if low + 10 > entity.ages[0]]
        figures = np.zeros((2, len(lows)))
        for s in (0, 1):
            for b, low in enumerate(lows):
                cell = (s, low, low + 10 if b + 1 < len(lows) else float(AGES))
                had = fits.share(self.before, entity.id, cell)[0]
                figures[s, b] = fits.rate(self.before, entity.id, cell)[0] / max(1 - had, 0.05)
        return made(lows, figures)

    def _scaled(
        self,
        entity: Entity,
        table: Table,
        measure: Callable[[Population, str, tuple[int, float, float]], tuple[float, float, float]],
        targets: Iterable[Target],
        drawn: Population | None = None,
        part: float = 1.0,
    ) -> Table:
        """Return a table scaled within the groups of figures by asked over reached."""
        drawn = drawn or self.before
        for target in targets:
            if isinstance(target.entry, (Prevalence, Incidence)):
                wanted, cell = target.entry.value, target.cell
                got, cases, _ = measure(drawn, entity.id, cell)
                table = cut(table, cell[1:])
                figures, low = of(table), np.array(table.ages)
                sexes = [0, 1] if cell[0] < 0 else [cell[0]]
                bands = (low >= cell[1]) & (low < cell[2])
                if isinstance(entity, Condition) and entity.birth is not None:
                    bands[:] = True  # whoever is born with it has it at every age
                group = np.ix_(np.array(sexes), np.flatnonzero(bands))
                if cases < FEW:
                    got = float(figures[group].mean()) if drawn is self.before else wanted
                figures[group] *= (wanted / got) ** part if wanted > 0 and got > 0 else float(wanted > 0)
                table = made(table.ages, figures)
        return table

    def _shift(self, target: Target, drawn: Population, part: float) -> None:
        """Move the quantile function of a process within a group by what its readings miss."""
        assert isinstance(target.entry, Quantile)
        name, cell = process(target.entry), target.cell
        wanted = quantiles(self.about, target.entry)
        rows = np.flatnonzero(drawn.of(cell))
        if len(rows) < 50:
            return
        p = np.array(list(wanted))
        miss = np.array(list(wanted.values())) - np.quantile(drawn.read[name][rows], p)
        old = self.corrections.get(name)
        if old is None:
            old = Correction(np.array([0.0]), np.array([0.5]), np.zeros((2, 1, 1)))
        edges = [e for e in (cell[1] - 0.01, cell[1], cell[2] - 0.01, cell[2]) if 0 <= e < AGES]
        knots = np.unique(np.r_[old.ages, edges])
        levels = np.unique(np.r_[old.probabilities, p])
        shift = np.zeros((2, len(knots), len(levels)))
        for s in (0, 1):
            wide = np.array([np.interp(ndtri(levels), ndtri(old.probabilities), row) for row in old.shift[s]])
            shift[s] = np.array([np.interp(knots, old.ages, column) for column in wide.T]).T
            if cell[0] in (-1, s):
                shift[s, (knots >= cell[1]) & (knots < cell[2])] += part * np.interp(ndtri(levels), ndtri(p), miss)
        self.corrections[name] = Correction(knots, levels, shift)

    # ------------------------------------------------------------------ passes
    def step(self, n: int, first: int, gain: float) -> None:
        """Draw what matters once and correct what misses."""
        part = tuple(one for name, one in self.entities.items() if name in self.needed)
        drawn = self._draw(part, n, first)
        self.solver.correct(drawn.lives, drawn.alive, gain)
        for name in {t.entry.name for t in self.found if isinstance(t.entry, (Prevalence, Incidence))}:
            self._settle(self.entities[name], drawn, gain)
        for target in self.found:
            if isinstance(target.entry, Quantile):
                self._shift(target, drawn, gain)

    def _settle(self, entity: Entity, drawn: Population, gain: float) -> None:
        """Correct the figures of whole groups by what they miss after the bands are corrected."""
        mine = [t for t in self.found if getattr(t.entry, "name", "") == entity.id]
        if isinstance(entity, Condition) and entity.prevalence is not None:
            reached, _, people = prevalence(drawn.lives, entity, drawn.alive)
            factor = self.solver.factor[entity.id]
            old = self.solver.before[entity.id]
            now = np.minimum(reached * factor / old, 1.0)  # what the corrected bands will reach
            low = np.array(entity.prevalence.ages)
            for target in mine:
                if not isinstance(target.entry, Prevalence):
                    continue
                sexes = [0, 1] if target.cell[0] < 0 else [target.cell[0]]
                group = np.ix_(np.array(sexes), np.flatnonzero((low >= target.cell[1]) & (low < target.cell[2])))
                expected = float((now[group] * people[group]).sum())
                goal = target.entry.value * float(drawn.of(target.cell).sum())
                ratio = ((goal + PRIOR) / (expected + PRIOR)) ** gain
                factor[group] *= ratio
                now[group] *= ratio
        elif isinstance(entity, Condition) and entity.birth is not None:
            table = self._scaled(entity, entity.birth, fits.share, mine, drawn, gain)
            self._put(entity.model_copy(update={"birth": table}))
        else:
            assert entity.incidence is not None
            table = self._scaled(entity, entity.incidence, fits.rate, mine, drawn, gain)
            self._put(entity.model_copy(update={"incidence": table}))

    def _put(self, entity: Entity) -> None:
        self.entities[entity.id] = entity

    def _draw(self, part: tuple[Entity, ...], n: int, first: int, *, whole: bool = False) -> Population:
        who = folk(self.about, n, first)
        self.solver.meet(ages(who), who.sex)
        death = self.about.engine.death_base
        read = self.before.read if whole else {process(t.entry) for t in self.found if isinstance(t.entry, Quantile)}
        return draw(self.about, self._engine(part), who, death, self.solver.watch, self.free, read)

    def _engine(self, part: tuple[Entity, ...]) -> Knowledge:
        old = self.about.engine
        works = old.bodyworks
        if any(isinstance(t.entry, Quantile) for t in self.found):
            natural = Natural(self.about.processes, self.corrections)
            works = replace(works, natural=natural.grid, bounds=natural.bounds, growth=natural.growth)
        return replace(old, entities=part, base={**old.base, **self.solver.base}, bodyworks=works)

    def last(self, n: int) -> Population:
        """Draw everything, of the people that the published figures were read from."""
        return self._draw(tuple(self.entities.values()), n, 0, whole=True)

    def known(self, after: Population) -> Known:
        """Return the knowledge as it now is, with deaths as asked."""
        engine = self._engine(tuple(self.entities.values()))
        deaths = [t for t in self.found if isinstance(t.entry, Deaths)]
        if deaths:
            death, deadly = scaled_deaths(self.about, deaths, after)
            engine = replace(engine, death_base=death, deadly=deadly)
        natural = Natural(self.about.processes, self.corrections)
        modules = replace(self.about.modules, order=engine.entities)
        solved = replace(
            self.about.solved,
            base=engine.base,
            death=engine.death_base,
            corrections=self.corrections,
            deadly=engine.deadly,
        )
        return replace(self.about, modules=modules, engine=engine, natural=natural, solved=solved)


def scaled_deaths(about: Known, found: Iterable[Target], drawn: Population) -> tuple[Floats, Floats]:
    """Return deaths a year (2, A) that nothing explains, and the share (2, A) of all others that takes place."""
    rates = about.rates.copy()
    for target in found:
        assert isinstance(target.entry, Deaths)
        sexes = [0, 1] if target.cell[0] < 0 else [target.cell[0]]
        group = np.zeros((2, AGES), bool)
        group[sexes] = (np.arange(AGES) >= target.cell[1]) & (np.arange(AGES) < target.cell[2])
        if target.entry.life_expectancy is None:
            people = inside(target.cell, drawn.people())
            mean = float((rates * people).sum() / max(people.sum(), 1e-9))
            rates[group] *= target.entry.value / max(mean, 1e-9)
            continue
        low, high = -3.0, 3.0  # log of the factor on all deaths
        for _ in range(50):
            middle = (low + high) / 2
            years = np.mean([fits.lived(rates[s] * np.exp(middle)) for s in sexes])
            low, high = (middle, high) if years > target.entry.value else (low, middle)
        rates[group] *= np.exp((low + high) / 2)
    return unexplained(drawn.added, rates)


def _able(entity: Entity) -> Floats:
    """Return 1 for the sex and ages (2, A) that can have something, else 0."""
    out = np.zeros((2, AGES))
    out[:, int(entity.ages[0]) :] = 1
    if entity.sex is not None:
        out[1 - SEXES.index(entity.sex)] = 0
    return out


def hanging(order: Iterable[Entity], touched: Iterable[str], bodies: Iterable[str]) -> frozenset[str]:
    """Return ids of what is touched and of all whose rates hang on it: by risk, by requirement, through a process."""
    order = tuple(order)
    out, moving = set(touched), set(bodies)
    movers = _movers(order)
    for entity in order:  # in causal order: once is enough
        needs = requirements(entity, movers)
        read = {
            name.partition(".")[0]
            for name in (r.factor for r in (*entity.risk, *(r for s in getattr(entity, "stages", ()) for r in s.risk)))
        }
        if needs & out or read & moving:
            out.add(entity.id)
    return frozenset(out)


def causes(order: Iterable[Entity], wanted: Iterable[str], bodies: Iterable[str]) -> frozenset[str]:
    """Return ids of what must be drawn so that some, and the levels of some processes, can be."""
    order = tuple(order)
    movers = _movers(order)
    out = set(wanted)
    for name in bodies:
        out |= set(movers.get(name, ()))
    for entity in reversed(order):
        if entity.id in out:
            avoided = {word.partition(".")[0] for drug in entity.treatments for word in drug.avoid}
            out |= requirements(entity, movers) | avoided
            if isinstance(entity, Condition):
                out |= set(entity.ends_with)
    known = {one.id for one in order}
    return frozenset(out & known)


def _movers(order: Iterable[Entity]) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for entity in order:
        for name in moved(entity) if isinstance(entity, Condition) else ():
            out.setdefault(name, set()).add(entity.id)
    return out
