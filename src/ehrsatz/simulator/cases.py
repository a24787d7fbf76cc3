"""Patients and their diseases as arrays, read from the clinical tables by code, and the counts that follow from them.

Stages of a condition are rows of their own; the first row of a person and condition is its diagnosis.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.clinical import SEXES
from ehrsatz.simulator.module import Condition, Episode, Table
from ehrsatz.simulator.targets import Targets, keys, rates

YEAR = 365.25
OLDEST = 120
STRATA = 12  # ten-year bands of the tables of pairs
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Folk:
    """Patients of a shard as arrays (N,): days since 1970, NaN: none."""

    birth: Floats
    death: Floats
    sex: Ints
    cause: list[str | None]
    rows: pl.DataFrame  # patient_id, person
    reference: float
    start: float  # of the years before the reference date

    @property
    def alive(self) -> Flags:
        """Who is born and not dead at the reference date (N,)."""
        return (self.birth <= self.reference) & ~(self.death <= self.reference)

    @property
    def age(self) -> Floats:
        """Ages in years at the reference date (N,), of the dead too."""
        return (self.reference - self.birth) / YEAR


def folk(patient: pl.DataFrame, reference: datetime.date, years: float) -> Folk:
    """Read the patients of a shard; the day of reference is in."""
    end = float((reference - datetime.date(1970, 1, 1)).days) + 1  # the day is in
    return Folk(
        birth=patient["birth_date"].to_physical().to_numpy().astype(np.float64),
        death=days(patient["death_time"]),
        sex=(patient["sex"] == SEXES[1]).to_numpy().astype(np.int64),
        cause=patient["death_cause"].to_list(),
        rows=patient.select("patient_id", pl.int_range(pl.len()).alias("person")),
        reference=end,
        start=end - years * YEAR,
    )


def days(column: pl.Series) -> Floats:
    """Return moments in days since 1970, NaN where there is none."""
    return (column.cast(pl.Datetime("us")).to_physical().cast(pl.Float64) / 86_400e6).fill_null(np.nan).to_numpy()


def by_age(people: Folk, who: Flags) -> Floats:
    """Count some of the people (N,) by sex and whole age at the reference date (2, OLDEST)."""
    out = np.zeros((2, OLDEST))
    np.add.at(out, (people.sex[who], np.clip(people.age[who].astype(np.int64), 0, OLDEST - 1)), 1)
    return out


def exposure(birth: Floats, death: Floats, sex: Ints, start: float, stop: float) -> Floats:
    """Return person-years by sex and whole age (2, OLDEST) lived between two days."""
    since = np.maximum(birth, start)
    until = np.fmin(death, stop)
    out = np.zeros((2, OLDEST))
    first = np.floor((since - birth) / YEAR).astype(np.int64)
    for k in range(int(np.ceil((stop - start) / YEAR)) + 1):
        age = first + k
        low, high = birth + age * YEAR, birth + (age + 1) * YEAR
        lived = np.clip(np.minimum(until, high) - np.maximum(since, low), 0, None) / YEAR
        np.add.at(out, (sex, np.clip(age, 0, OLDEST - 1)), lived)
    return out


@dataclass(frozen=True)
class Found:
    """Rows of conditions with a known code (R,), sorted by person, entity, then onset."""

    person: Ints
    entity: Ints  # position in names
    onset: Floats
    recorded: Floats
    abatement: Floats
    stage: list[str | None]
    names: dict[str, int]


def conditions(condition: pl.DataFrame, people: Folk, plan: Targets) -> Found:
    """Read the rows whose codes stand for a condition or an episode that is compared."""
    entities: list[Condition | Episode] = [*plan.conditions]
    entities += [one for one in plan.incident if isinstance(one, Episode)]
    names = {one.id: k for k, one in enumerate(entities)}
    pairs: dict[tuple[str, str], list[int]] = {}
    for k, one in enumerate(entities):
        for pair in sorted(keys(one)):
            pairs.setdefault(pair, []).append(k)
    known = pl.DataFrame(
        [(code, snomed, k) for (code, snomed), some in pairs.items() for k in some],
        schema={"code": pl.String, "snomed_code": pl.String, "entity": pl.Int64},
        orient="row",
    )
    rows = (
        condition.lazy()
        .select("patient_id", "code", pl.col("snomed_code").fill_null(""), "stage", "onset", "recorded", "abatement")
        .join(known.lazy(), on=["code", "snomed_code"])
        .join(people.rows.lazy(), on="patient_id")
        .sort("person", "entity", "onset")
        .collect()
    )
    return Found(
        rows["person"].to_numpy(),
        rows["entity"].to_numpy(),
        days(rows["onset"]),
        days(rows["recorded"]),
        days(rows["abatement"]),
        rows["stage"].to_list(),
        names,
    )


def band_of(ages: tuple[float, ...], age: Floats) -> Ints:
    """Return the band (N,) of ages in years, -1 below the lowest."""
    return np.searchsorted(np.array(ages), age, side="right").astype(np.int64) - 1


def prevalence(people: Folk, plan: Targets, found: Found) -> dict[str, Floats]:
    """Count who has what at the reference date: by band of each table, by number of groups, in pairs."""
    n = len(people.birth)
    now = (found.recorded <= people.reference) & ~(found.abatement <= people.reference)
    has = np.zeros((n, len(found.names)), bool)
    has[found.person[now], found.entity[now]] = True
    has &= people.alive[:, None]
    out: dict[str, Floats] = {}
    for one in plan.prevalent:
        assert one.prevalence is not None
        out[f"has {one.id}"] = _cells(people, one.prevalence, np.flatnonzero(has[:, found.names[one.id]]), people.age)
    groups = np.stack([_any(has, found.names, ids) for ids in plan.published.groups.values()], axis=1)
    several = groups.sum(axis=1)
    table = np.zeros((2, OLDEST, len(plan.published.groups) + 1))
    alive = np.flatnonzero(people.alive)
    age = np.clip(people.age.astype(np.int64), 0, OLDEST - 1)
    np.add.at(table, (people.sex[alive], age[alive], several[alive]), 1)
    out["several"] = table
    pairs = np.zeros((len(plan.published.pairs), 2, STRATA, 2, 2))
    for k, pair in enumerate(plan.published.pairs):
        inside = np.flatnonzero(people.alive & (people.age >= pair.ages[0]) & (people.age < pair.ages[1]))
        a = _any(has, found.names, pair.of)[inside].astype(np.int64)
        b = _any(has, found.names, pair.having)[inside].astype(np.int64)
        stratum = np.minimum(age[inside] // 10, STRATA - 1)
        np.add.at(pairs[k], (people.sex[inside], stratum, a, b), 1)
    out["pairs"] = pairs
    return out


def _any(has: Flags, names: Mapping[str, int], ids: tuple[str, ...]) -> Flags:
    """Return who has one of some conditions (N,); ids that no module describes are nobody's."""
    some = [names[name] for name in ids if name in names]
    out: Flags = np.any(has[:, some], axis=1)
    return out


def _cells(people: Folk, table: Table, rows: Ints, age: Floats) -> Floats:
    """Return counts of rows of people by sex and band of a table (2, bands); ages are those of everybody."""
    out = np.zeros((2, len(table.ages)))
    band = band_of(table.ages, age[rows])
    inside = band >= 0
    np.add.at(out, (people.sex[rows[inside]], band[inside]), 1)
    return out


def incidence(people: Folk, plan: Targets, found: Found) -> dict[str, Floats]:
    """Count new cases of the years before the reference date, by sex and band of each table."""
    new = np.r_[True, (np.diff(found.person) != 0) | (np.diff(found.entity) != 0)] if len(found.person) else np.zeros(0)
    inside = (found.onset > people.start) & (found.onset <= people.reference)
    age = (found.onset - people.birth[found.person]) / YEAR
    out: dict[str, Floats] = {}
    for one in plan.incident:
        mine = inside & (found.entity == found.names[one.id])
        if isinstance(one, Condition):
            mine &= new.astype(bool)  # stages are rows of their own
        table = rates(one)
        cells = np.zeros((2, len(table.ages)))
        band = band_of(table.ages, age[mine])
        fine = band >= 0
        np.add.at(cells, (people.sex[found.person[mine]][fine], band[fine]), 1)
        out[f"new {one.id}"] = cells
    return out


def survival(people: Folk, plan: Targets, found: Found) -> dict[str, Floats]:
    """Person-years, deaths and the life table's deaths (S, 5, 3) by year since the diagnosis, entered late."""
    wanted = plan.published.survival
    out = np.zeros((len(wanted), 5, 3))
    lead = np.r_[True, (np.diff(found.person) != 0) | (np.diff(found.entity) != 0)] if len(found.person) else None
    hazard = -np.log1p(-np.minimum(np.array([plan.life.table.female, plan.life.table.male])[:, :OLDEST], 0.9999))
    for s, one in enumerate(wanted):
        if one.condition not in found.names or lead is None:
            continue
        condition = plan.modules.conditions[one.condition]
        rows = np.flatnonzero(lead & (found.entity == found.names[one.condition]))
        if one.stage is not None:
            titles = {stage.title for stage in condition.stages if stage.id == one.stage}
            rows = np.array([row for row in rows.tolist() if found.stage[row] in titles], np.int64)
        who = found.person[rows]
        begin = found.recorded[rows]
        died = people.death[who]
        for year in range(5):
            low = np.maximum(begin + year * YEAR, people.start)
            high = np.minimum(begin + (year + 1) * YEAR, people.reference)
            lived = np.clip(np.fmin(high, died) - low, 0, None) / YEAR
            age = np.clip(((low - people.birth[who]) / YEAR + 0.5).astype(np.int64), 0, hazard.shape[1] - 1)
            out[s, year, 0] += lived.sum()
            out[s, year, 1] += float(((died > low) & (died <= high)).sum())
            out[s, year, 2] += float((lived * hazard[people.sex[who], age]).sum())
    return {"survival": out}
