"""`python -m ehrsatz.simulator.solve [LOCALE ...]`: solve the rates of all modules for a country and write them.

Run it after a change of a module, of a process or of a country's figures; a test says when it is due. The same
knowledge gives the same file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from ehrsatz.simulator.baseline import SEXES
from ehrsatz.simulator.calibrate import Solver, prevalence, shifts, unexplained
from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.knowledge import Known, Solved, known, mark, solved_path, write_solved
from ehrsatz.simulator.module import Condition
from ehrsatz.simulator.process import Process
from ehrsatz.simulator.quantiles import Correction, Natural
from ehrsatz.simulator.reference import MATCHED, Population, ages, draw, folk

PEOPLE = 60_000  # of the reference population
ROUNDS = 7
QUICK = 8_192  # people for modules of a user
Say = Callable[[str], None]


def solve(about: Known, *, n: int = PEOPLE, rounds: int = ROUNDS, say: Say = lambda text: None) -> Solved:
    """Return solved rates for all conditions and episodes.

    Parameters
    ----------
    about
        Modules, processes and country.
    n
        People of the reference population.
    rounds
        Passes over them.
    say
        Told how far the prevalences of large bands are off after each pass.
    """
    solver = Solver({one.id: one for one in about.engine.entities})
    death: Floats = about.rates
    deadly: Floats | None = None
    corrections: dict[str, Correction] = {}
    for k in range(rounds):
        drawn = _pass(about, corrections, solver, death, n, k * n, deadly)
        worst = solver.correct(drawn.lives, drawn.alive, gain(k))
        death, deadly = unexplained(drawn.added, about.rates)
        corrections = _corrected(about, corrections, drawn, gain(k))
        say(f"pass {k + 1} of {rounds}: prevalences of large bands off by up to {np.expm1(worst):.1%}")
    drawn = _pass(about, corrections, solver, death, n, rounds * n, deadly)
    for line in table(about, drawn):
        say(line)
    marks = {one.id: mark(one) for one in about.engine.entities}
    return Solved(dict(solver.base), death, corrections, marks, dict(solver.factor), deadly)


def gain(k: int) -> float:
    """Return how much of a miss pass k corrects: later passes see other people, so that their chance evens out."""
    return min(0.8, 1.2 / (k + 1))


def complete(about: Known, *, n: int = QUICK, rounds: int = 4) -> Known:
    """Return the knowledge with the rates of a user's modules solved too, on a small reference population."""
    if not about.unsolved:
        return about
    fixed = {name: rate for name, rate in about.engine.base.items() if name not in about.unsolved}
    solver = Solver({one.id: one for one in about.engine.entities}, fixed)
    for _ in range(rounds):
        engine = about.engine
        drawn = _pass(about, dict(about.solved.corrections), solver, engine.death_base, n, 0, engine.deadly, ())
        solver.correct(drawn.lives, drawn.alive)
    return replace(about, engine=replace(about.engine, base={**about.engine.base, **solver.base}), unsolved=())


def _pass(
    about: Known,
    corrections: dict[str, Correction],
    solver: Solver,
    death: Floats,
    n: int,
    first: int,
    deadly: Floats | None,
    read: Iterable[str] = MATCHED,
) -> Population:
    """Draw the people from `first` on of the reference population once."""
    natural = Natural(about.processes, corrections)
    works = replace(about.engine.bodyworks, natural=natural.grid, bounds=natural.bounds, growth=natural.growth)
    who = folk(about, n, first)
    solver.meet(ages(who), who.sex)
    watched = solver.entities.keys() - solver.fixed.keys()
    return draw(about, replace(about.engine, bodyworks=works, deadly=deadly), who, death, solver.watch, watched, read)


def _corrected(
    about: Known, corrections: dict[str, Correction], drawn: Population, part: float
) -> dict[str, Correction]:
    """Return corrections moved on by what readings of the living still miss."""
    published = Natural(about.processes, usual=False)
    out = dict(corrections)
    lives = drawn.lives
    adult = np.flatnonzero(drawn.alive & (lives.span >= 1))
    sex, age = lives.sex[adult], lives.span[adult]
    for name in MATCHED:
        process = about.processes[name]
        reading = drawn.read[name][adult]
        knots = np.array(process.quantiles.ages)
        if name in ("height", "bmi", "head"):
            knots = knots[knots >= 20]
        probabilities = np.array(process.quantiles.probabilities)
        grown = age >= (20 if name in ("height", "bmi", "head") else 1)
        move = shifts(
            partial(published.rank, name),
            partial(published.at, name),
            reading[grown],
            sex[grown],
            age[grown],
            knots,
            probabilities,
        )
        old = corrections[name].shift if name in corrections else np.zeros_like(move)
        out[name] = Correction(knots, probabilities, _held(process, knots, old + part * move))
    return out


def _held(process: Process, knots: Floats, shift: Floats) -> Floats:
    """Return shifts that stay within half the spread of 90 % of people; the outermost quantiles have none of their own.

    The ends of a distribution are people with diseases: no shift of the healthy moves them.
    """
    probabilities = np.array(process.quantiles.probabilities)
    kept = process.quantiles.ages[-len(knots) :]
    rows = [np.array(rows)[-len(kept) :] for rows in (process.quantiles.female, process.quantiles.male)]
    out = shift.copy()
    low, high = np.searchsorted(probabilities, 0.05 - 1e-9), np.searchsorted(probabilities, 0.95 + 1e-9) - 1
    for s, row in enumerate(rows):
        most = 0.5 * (row[:, high] - row[:, low])[:, None]
        out[s] = np.clip(out[s], -most, most)
        out[s, :, :low] = out[s, :, low : low + 1]
        out[s, :, high + 1 :] = out[s, :, high : high + 1]
    return out


def table(about: Known, drawn: Population, least: float = 100.0, most: int = 25) -> Iterator[str]:
    """Yield how the prevalences of bands that hold so many cases fit, in words, and the bands that fit worst."""
    cells = []
    for entity in about.engine.entities:
        if not isinstance(entity, Condition) or entity.prevalence is None:
            continue
        reached, _, people = prevalence(drawn.lives, entity, drawn.alive)
        for s, sex in enumerate(SEXES):
            for b, wanted in enumerate(entity.prevalence.of(sex)):
                if wanted * people[s, b] > least:
                    miss = float(reached[s, b] / wanted - 1)
                    chance = float(np.sqrt((1 - wanted) / (wanted * people[s, b])))
                    cells.append((abs(miss), miss, chance, wanted, float(reached[s, b]), entity, sex, b))
    cells.sort(key=lambda one: -one[0])
    near = sum(one[0] <= 0.15 for one in cells)
    score = np.sqrt(np.mean([(one[1] / one[2]) ** 2 for one in cells])) if cells else 0.0
    yield f"{near} of {len(cells)} bands of over {least:g} cases within 15 %; misses are {score:.2f} times chance"
    for _, miss, chance, wanted, got, entity, sex, b in cells[:most]:
        age = entity.prevalence.ages[b] if entity.prevalence is not None else 0.0
        yield (
            f"{entity.id:28s} {sex:6s} from {age:3.0f}: {wanted:6.1%} wanted, {got:6.1%} reached, "
            f"{miss:+5.0%} (chance {chance:4.0%})"
        )


def main(arguments: list[str]) -> None:
    """Solve for the countries named, or for all that are bundled, each in a process of its own."""
    from ehrsatz.simulator.locale import bundled

    names = arguments or list(bundled())
    if len(names) == 1:
        country(names[0])
        return
    with ProcessPoolExecutor(len(names)) as pool:
        list(pool.map(country, names))


def country(name: str) -> None:
    """Solve for one country and write its file."""
    about = known(name, solved=Solved({}, None, {}, {}))
    write_solved(solved_path(name), solve(about, say=lambda text: _say(f"{name}: {text}")))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
