"""`python -m ehrsatz.simulator.solve [LOCALE ...]`: solve the rates of all modules for a country and write them.

Run it after a change of a module, of a process or of a country's figures; a test says when it is due. The same
knowledge gives the same file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from ehrsatz.scenario import SimulatorPart
from ehrsatz.seeds import addressed
from ehrsatz.simulator.calibrate import Solver, shifts, unexplained
from ehrsatz.simulator.cohort import Cohort, day
from ehrsatz.simulator.engine import live
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.knowledge import Known, Solved, known, mark, solved_path, write_solved
from ehrsatz.simulator.lives import Lives
from ehrsatz.simulator.persons import people
from ehrsatz.simulator.quantiles import Correction, Natural

PEOPLE = 60_000  # of the reference population
ROUNDS = 7
QUICK = 8_192  # people for modules of a user
SEED = 20_251_231
MATCHED = (  # processes whose treated quantiles are moved to the published ones
    "height", "bmi", "sbp", "dbp", "total_chol", "hdl", "trig", "hba1c", "glucose", "egfr", "hemoglobin", "urate",
    "heart_rate", "alt", "ast", "albumin", "wbc", "platelets", "mcv", "tsh", "vitamin_d", "sodium", "potassium",
    "calcium", "urea",
)  # fmt: skip
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
    corrections: dict[str, Correction] = {}
    for k in range(rounds):
        lives, alive = _pass(about, corrections, solver, death, n, first=k * n)
        worst = solver.correct(lives, alive, gain(k))
        death = unexplained(lives, about.rates)
        corrections = _corrected(about, corrections, lives, alive)
        say(f"pass {k + 1} of {rounds}: prevalences of large bands off by up to {np.expm1(worst):.1%}")
    _pass(about, corrections, solver, death, n)
    return Solved(dict(solver.base), death, corrections, {one.id: mark(one) for one in about.engine.entities})


def gain(k: int) -> float:
    """Return how much of a miss pass k corrects: later passes see other people, so that their chance evens out."""
    return min(0.8, 2 / (k + 1))


def complete(about: Known, *, n: int = QUICK, rounds: int = 4) -> Known:
    """Return the knowledge with the rates of a user's modules solved too, on a small reference population."""
    if not about.unsolved:
        return about
    fixed = {name: rate for name, rate in about.engine.base.items() if name not in about.unsolved}
    solver = Solver({one.id: one for one in about.engine.entities}, fixed)
    for _ in range(rounds):
        lives, alive = _pass(about, dict(about.solved.corrections), solver, about.engine.death_base, n)
        solver.correct(lives, alive)
    return replace(about, engine=replace(about.engine, base={**about.engine.base, **solver.base}), unsolved=())


def _pass(
    about: Known, corrections: dict[str, Correction], solver: Solver, death: Floats, n: int, first: int = 0
) -> tuple[Lives, Ints]:
    """Draw the people from `first` on of the reference population; return their lives and who is alive at its date."""
    from ehrsatz.simulator.death import die

    part = SimulatorPart(locale="us")
    reference = day(part.reference)
    cohort = Cohort(first + n, (), (), reference, SEED, part.history_years)
    natural = Natural(about.processes, corrections)
    engine = replace(
        about.engine,
        bodyworks=replace(about.engine.bodyworks, natural=natural.grid, bounds=natural.bounds, growth=natural.growth),
    )
    folk = people(about, cohort, np.arange(first, first + n, dtype=np.int64))
    solver.age, solver.sex = (reference - folk.birth) / 365.25, folk.sex
    lives = live(engine, SEED, folk, reference, about.words, watch=solver.watch)
    age, _ = die(lives, death, engine.other_causes)
    return lives, ~np.isfinite(age)


def _corrected(about: Known, corrections: dict[str, Correction], lives: Lives, alive: Ints) -> dict[str, Correction]:
    """Return corrections moved on by what readings of the living still miss."""
    published = Natural(about.processes, usual=False)
    out = dict(corrections)
    adult = np.flatnonzero(alive & (lives.span >= 1))
    year = np.minimum(lives.span[adult].astype(np.int64), lives.years - 1)
    sex, age = lives.sex[adult], lives.span[adult]
    for name in MATCHED:
        process = about.processes[name]
        level = lives.treated(name)[adult, year].astype(np.float64)
        noise = ndtri(np.clip(addressed(SEED, "solve", name, subjects=lives.number[adult])[:, 0], 1e-9, 1 - 1e-9))
        within = process.within
        if within.cv is not None:
            reading = level * np.exp(within.cv * noise)
        else:
            reading = level + (within.sd or 0.0) * noise
        knots = np.array(process.quantiles.ages)
        if name in ("height", "bmi", "head"):
            knots = knots[knots >= 20]
        probabilities = np.array(process.quantiles.probabilities)
        grown = age >= (20 if name in ("height", "bmi", "head") else 1)
        move = shifts(
            lambda s, a, v, name=name: published.rank(name, s, a, v),
            lambda s, a, z, name=name: published.at(name, s, a, z),
            reading[grown],
            sex[grown],
            age[grown],
            knots,
            probabilities,
        )
        old = corrections[name].shift if name in corrections else np.zeros_like(move)
        out[name] = Correction(knots, probabilities, old + 0.7 * move)
    return out


def main(arguments: list[str]) -> None:
    """Solve for the countries named, or for all that are bundled."""
    from ehrsatz.simulator.locale import bundled

    for name in arguments or bundled():
        sys.stdout.write(f"{name}\n")
        write_solved(solved_path(name), solve(known(name, solved=Solved({}, None, {}, {})), say=_say))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
