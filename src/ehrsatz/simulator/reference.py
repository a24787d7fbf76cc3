"""The reference population: people without quotas who are drawn once more for every pass of the calibrator."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ehrsatz.parts import SimulatorPart
from ehrsatz.seeds import addressed
from ehrsatz.simulator.baseline import AGES
from ehrsatz.simulator.calibrate import explained
from ehrsatz.simulator.cohort import Cohort, day
from ehrsatz.simulator.death import die
from ehrsatz.simulator.engine import Knowledge, live
from ehrsatz.simulator.history import YEAR, Flags, Floats, Ints, People
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.lives import Lives, Singles
from ehrsatz.simulator.persons import people
from ehrsatz.simulator.raking import Cell

SEED = 20_251_231
MATCHED = (  # processes whose treated quantiles are moved to the published ones
    "height", "bmi", "sbp", "dbp", "total_chol", "hdl", "trig", "hba1c", "glucose", "egfr", "hemoglobin", "urate",
    "heart_rate", "alt", "ast", "albumin", "wbc", "platelets", "mcv", "tsh", "vitamin_d", "sodium", "potassium",
    "calcium", "urea",
)  # fmt: skip
Watch = Callable[[str, Floats, Ints, Singles, int, Floats, Floats], Floats]


@dataclass(frozen=True)
class Population:
    """A reference population, drawn.

    Parameters
    ----------
    lives
        Up to the reference date.
    died
        (N,) ages at death, inf for the living.
    death
        (2, A) deaths a year that nothing explains.
    added
        (2, A) deaths a year that conditions and episodes would add if all took place.
    read
        Process -> a reading (N,) of each in his last year.
    deadly
        (2, A) share of the added deaths that takes place; None: all.
    """

    lives: Lives
    died: Floats
    death: Floats
    added: Floats
    read: Mapping[str, Floats]
    deadly: Floats | None = None

    @property
    def alive(self) -> Flags:
        """Who lives (N,) at the reference date."""
        return ~np.isfinite(self.died)

    @property
    def end(self) -> Floats:
        """Age (N,) at death, or at the reference date."""
        return np.minimum(self.died, self.lives.span)

    def rates(self) -> Floats:
        """Return all deaths a year (2, A)."""
        return self.death + (self.added if self.deadly is None else self.added * self.deadly)

    def people(self) -> Floats:
        """Return the living (2, A) by sex and age."""
        alive = self.alive
        at = np.minimum(self.lives.span[alive].astype(np.int64), AGES - 1) + AGES * self.lives.sex[alive]
        return np.bincount(at, minlength=2 * AGES).reshape(2, AGES).astype(np.float64)

    def of(self, cell: Cell) -> Flags:
        """Return who (N,) of the living belongs to a group."""
        sex, low, high = cell
        inside = self.alive & (self.lives.span >= low) & (self.lives.span < high)
        return inside & (self.lives.sex == sex) if sex >= 0 else inside

    def has(self, name: str) -> Flags:
        """Return who (N,) has a condition, as diagnosed, at the reference date."""
        spell = self.lives.spells[name]
        out = np.zeros(self.lives.n, bool)
        span = self.lives.span[spell.rows]
        out[spell.rows[(spell.diagnosed <= span) & (spell.stop > span)]] = True
        return out


def folk(about: Known, n: int, first: int = 0) -> People:
    """Return the people first .. first + n - 1 of the reference population."""
    part = SimulatorPart()
    cohort = Cohort(first + n, (), (), day(part.reference), SEED, part.history_years)
    return people(about, cohort, np.arange(first, first + n, dtype=np.int64))


def ages(who: People) -> Floats:
    """Return ages (N,) at the reference date."""
    return (day(SimulatorPart().reference) - who.birth) / YEAR


def draw(
    about: Known,
    engine: Knowledge,
    who: People,
    death: Floats,
    watch: Watch | None = None,
    watched: Container[str] | None = None,
    read: Iterable[str] = (),
) -> Population:
    """Return the lives of people; levels by year are let go.

    Parameters
    ----------
    about
        For the words of attributes.
    engine
        What to draw by.
    who
        As `folk` returns them.
    death
        (2, A) deaths a year that nothing explains.
    watch
        The calibrator's.
    watched
        Ids of what it looks at; None: everything.
    read
        Processes of which everybody has a reading.
    """
    reference = day(SimulatorPart().reference)
    lives = live(engine, SEED, who, reference, about.words, watch=watch, watched=watched)
    died, _ = die(lives, death, engine.other_causes, deadly=engine.deadly)
    everyone = np.arange(lives.n)
    found = {name: readings(about, lives, name, everyone) for name in sorted(set(read))}
    added = explained(lives, engine.deadly)
    lives.let_go()
    return Population(lives, died, death, added, found, engine.deadly)


def readings(about: Known, lives: Lives, name: str, rows: Ints) -> Floats:
    """Return one reading (R,) of a process in the last year of people."""
    year = np.minimum(lives.span[rows].astype(np.int64), lives.years - 1)
    level = lives.treated(name)[rows, year].astype(np.float64)
    u = addressed(SEED, "solve", name, subjects=lives.number[rows])[:, 0]
    noise = ndtri(np.clip(u, 1e-9, 1 - 1e-9))
    within = about.processes[name].within
    return level * np.exp(within.cv * noise) if within.cv is not None else level + (within.sd or 0.0) * noise
