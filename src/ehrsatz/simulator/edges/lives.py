"""The lives of edge cases: drawn apart from the cohort's, at pinned ages, then made into what their case says.

Their numbers are those of the cohort's first patients, so that keys and names fit; who else is in the cohort, and in
what shards, changes nothing. A life of which the case cannot be made (no visit to move, twins of unlike birth) is drawn
anew under the next seed.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from ehrsatz import clinical
from ehrsatz.dataset import Dataset
from ehrsatz.errors import InfeasibleError
from ehrsatz.provenance import Provenance
from ehrsatz.seeds import stream
from ehrsatz.simulator import missing
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.chart.assemble import records
from ehrsatz.simulator.cohort import EPOCH, Cohort, Quota, day
from ehrsatz.simulator.edges.about import About
from ehrsatz.simulator.edges.cases import Case
from ehrsatz.simulator.edges.record import OWN, Record
from ehrsatz.simulator.engine import conclude, live
from ehrsatz.simulator.families import gestation
from ehrsatz.simulator.frames import Scene, dataset
from ehrsatz.simulator.history import YEAR, Deliveries, Ints, People
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.module import Screening
from ehrsatz.simulator.persons import people
from ehrsatz.simulator.records import Book

ATTEMPTS = 40
FROM_HER = ("race", "ethnicity", "region", "group", "language")  # what children have from their mother
LEAST_YEARS = 5.0  # of routine care in the record of an edge case, so that there is something to change


@dataclass(frozen=True)
class Cast(Cohort):
    """A cohort in which person number i is under quota i."""

    def group(self, number: Ints) -> Ints:
        """Return the group (N,) of people, -1 for those who fill their block."""
        return np.where(number < len(self.quotas), number, -1)


@dataclass(frozen=True)
class Stage:
    """What the lives of a run's edge cases are drawn with.

    Parameters
    ----------
    known, scene, book, gaps, screenings, provenance
        Of the run.
    cohort
        Of the run: its seed, days and years.
    """

    known: Known
    scene: Scene
    book: Book
    gaps: tuple[missing.Gap, ...]
    screenings: Sequence[Screening]
    provenance: Provenance
    cohort: Cohort


def placed(whole: Dataset, cases: Sequence[Case], stage: Stage) -> Dataset:
    """Return the cohort's first shard with its first patients replaced by edge cases.

    Rows of all others stay as they are, but for relations with those who are replaced, which go.

    Parameters
    ----------
    whole
        The shard, which must hold all patients of the cases.
    cases
        As `cases.chosen` gave them.
    stage
        Of the run.

    Raises
    ------
    InfeasibleError
        When no life of which a case can be made was found.
    DataError
        When the rows do not fit the schema; they are checked as any dataset is.
    """
    made = patients(cases, stage)
    them = [record.key for record in made]
    tables = {}
    for table in whole.schema.tables:
        frame = whole.tables[table.name]
        if table.name in clinical.WORLD:
            tables[table.name] = frame
            continue
        others = frame.filter(~pl.col("patient_id").is_in(them))
        if table.name == "relation":
            others = others.filter(~pl.col("relative_id").is_in(them))
        tables[table.name] = pl.concat([*(record[table.name] for record in made), others], rechunk=True)
    return Dataset(whole.schema, tables, whole.provenance)


def patients(cases: Sequence[Case], stage: Stage) -> list[Record]:
    """Return the records of all patients of some cases, in the order of their numbers."""
    reference = datetime.datetime.combine(EPOCH + datetime.timedelta(days=int(stage.cohort.reference)), datetime.time())
    about = About(reference, stage.scene)
    first = np.cumsum([0, *(case.people for case in cases)])
    waiting = list(range(len(cases)))
    done: dict[int, tuple[Record, ...]] = {}
    for attempt in range(ATTEMPTS):
        numbers = np.concatenate([np.arange(first[k], first[k + 1]) for k in waiting])
        drawn = _drawn(cases, first, numbers, about, stage, attempt)
        for k in waiting:
            mine = tuple(drawn[int(number)] for number in range(first[k], first[k + 1]))
            if cases[k].edit(mine, about):
                done[k] = mine
        waiting = [k for k in waiting if k not in done]
        if not waiting:
            return [record for k in range(len(cases)) for record in done[k]]
    raise InfeasibleError(
        "Expected lives of which edge cases can be made.",
        f"{ATTEMPTS} were drawn for '{cases[waiting[0]].name}', and none will do.",
        "Leave this case out, or take another seed, country or set of modules.",
    )


def _drawn(
    cases: Sequence[Case], first: Ints, numbers: Ints, about: About, stage: Stage, attempt: int
) -> dict[int, Record]:
    """Return number -> record of people who live until the records end."""
    known, cohort = stage.known, stage.cohort
    seed = int(stream(cohort.seed, "simulator", "edge cases", attempt).integers(1 << 62))
    born = [day(one(about)) for case in cases for one in case.born]
    sexes = [sex for case in cases for sex in case.sexes]
    quotas = tuple(_quota(birth, sex, cohort.reference) for birth, sex in zip(born, sexes, strict=True))
    cast = Cast(
        len(quotas),
        quotas,
        (),
        cohort.reference,
        seed,
        cohort.history_years,
        max(cohort.record_years, LEAST_YEARS),
    )
    folk = _kin(people(known, cast, numbers), cases, first, seed, cohort)
    lives = live(known.engine, seed, folk, cohort.reference, known.words)
    history = conclude(known.engine, lives, folk, cohort.reference, immortal=True)
    whole = records(history, catalogue(), stage.book, stage.screenings, stage.scene.country)
    whole = missing.leave_out(stage.gaps, whole, history, catalogue(), stage.book)
    made = dataset(whole, history, stage.scene, stage.provenance, check=False)
    by_patient = {name: made.tables[name].partition_by("patient_id", as_dict=True) for name in OWN}
    keys = made.tables["patient"]["patient_id"].to_list()
    return {
        int(number): Record(key, {name: by_patient[name].get((key,), made.tables[name].clear()) for name in OWN})
        for number, key in zip(numbers, keys, strict=True)
    }


def _quota(birth: float, sex: int, reference: float) -> Quota:
    """Pin a sex and a day of birth: the ages that no other day has at the reference date."""
    age = reference - birth
    return Quota(1, sex, (max(0.0, (age - 0.5) / YEAR), (age + 0.5) / YEAR), (reference, reference))


def _kin(folk: People, cases: Sequence[Case], first: Ints, seed: int, cohort: Cohort) -> People:
    """Return people without relatives but those that their case gives them, with records as long as anybody's."""
    nobody = np.full(folk.n, -1, np.int64)
    mother = nobody.copy()
    attributes = {name: values.copy() for name, values in folk.attributes.items()}
    other = {name: values.copy() for name, values in folk.other.items()}
    row = {int(number): k for k, number in enumerate(folk.number)}
    bearers: list[tuple[int, int, int]] = []  # rows of mother and child, number of the child
    for k, case in enumerate(cases):
        if not case.children or int(first[k]) not in row:
            continue
        hers = int(first[k + 1]) - 1
        children = [int(first[k]) + child for child in case.children]
        theirs = [row[child] for child in children]
        mother[theirs] = hers
        for values in [*(attributes[name] for name in FROM_HER if name in attributes), *other.values()]:
            values[theirs] = values[row[hers]]
        bearers.append((row[hers], row[children[0]], children[0]))  # one delivery, of all of them
    births = None
    if bearers:
        who, child, number = (np.array(column, np.int64) for column in zip(*bearers, strict=True))
        births = Deliveries(who, folk.birth[child], number, gestation(seed, number))
    window = np.maximum(folk.birth, cohort.reference - cohort.history_years * YEAR)
    return replace(
        folk,
        mother=mother,
        father=nobody,
        spouse=nobody,
        deliveries=births,
        start=window,
        attributes=attributes,
        other={**folk.other, **{name: other[name] for name in FROM_HER if name in other}},
    )
