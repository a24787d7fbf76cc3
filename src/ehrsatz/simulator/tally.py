"""Counts of one shard of clinical tables, for the figures a cohort is held against; tallies merge by addition.

Everything is read from the tables as any reader would: nothing is taken from the engine. Diseases are found by their
codes, people of the reference date are those then alive, deaths, new cases and use of care are those of some years
before it, and of every measurement the last one at a check-up or visit of three years counts, one per person.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.clinical import CLASSES
from ehrsatz.errors import DataError
from ehrsatz.simulator.cases import (
    OLDEST,
    YEAR,
    Folk,
    band_of,
    by_age,
    conditions,
    days,
    exposure,
    folk,
    incidence,
    prevalence,
    survival,
)
from ehrsatz.simulator.targets import Targets, class_positions, targets

YEARS = 5.0  # before the reference date, of deaths, new cases and use
RECENT = 3.0  # years, of measurements
BINS = 160  # of a histogram
OFFICE = ("wellness", "ambulatory")  # where a measurement is one of ordinary life
Floats = NDArray[np.float64]
Frames = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Tally:
    """Counts by name; all add up over shards.

    Parameters
    ----------
    reference
        The reference date, as in 2025-12-31.
    years
        Before it, of deaths, new cases and use.
    fingerprint
        Of the figures that decide the shape.
    counts
        Arrays of float64.
    """

    reference: str
    years: float
    fingerprint: str
    counts: Mapping[str, Floats]

    def merge(self, other: Tally) -> Tally:
        """Return the tally of both shards together.

        Raises
        ------
        DataError
            When they are of different dates, years or figures.
        """
        mine, theirs = (one.reference + str(one.years) + one.fingerprint for one in (self, other))
        if mine != theirs:
            raise DataError(
                "Expected tallies of the same reference date and figures.",
                "They differ.",
                "Count all shards with the same version, modules and date.",
            )
        merged = {name: values + other.counts[name] for name, values in self.counts.items()}
        return Tally(self.reference, self.years, self.fingerprint, merged)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: of every array its shape and what is not zero."""
        out: dict[str, Any] = {"reference": self.reference, "years": self.years, "fingerprint": self.fingerprint}
        out["counts"] = {}
        for name, values in self.counts.items():
            at = np.flatnonzero(values)
            some = np.round(values.ravel()[at], 6)
            whole = bool((some == np.floor(some)).all())
            out["counts"][name] = {
                "shape": list(values.shape),
                "at": np.diff(at, prepend=0).tolist(),  # each as the distance to the one before
                "values": some.astype(np.int64).tolist() if whole else some.tolist(),
            }
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tally:
        """Return the tally that `to_dict` told."""
        counts = {}
        for name, one in data["counts"].items():
            flat = np.zeros(int(np.prod(one["shape"])))
            flat[np.cumsum(np.array(one["at"], np.int64))] = one["values"]
            counts[name] = flat.reshape(one["shape"])
        return cls(data["reference"], float(data["years"]), data["fingerprint"], counts)


def tally(frames: Frames, reference: datetime.date, *, held: Targets | None = None, years: float = YEARS) -> Tally:
    """Count what is compared in a shard.

    Parameters
    ----------
    frames
        Of the clinical schema: patient, condition, encounter, observation.
    reference
        The day the records end.
    held
        Figures; None means those of the United States with the bundled modules.
    years
        Before the reference date, of deaths, new cases and use; not more than the years of history of the cohort.
    """
    plan = held or targets()
    people = folk(frames["patient"], reference, years)
    counts: dict[str, Floats] = {"people": by_age(people, people.alive)}
    counts["years"] = exposure(people.birth, people.death, people.sex, people.start, people.reference)
    counts |= _deaths(people, plan)
    found = conditions(frames["condition"], people, plan)
    counts |= prevalence(people, plan, found)
    counts |= incidence(people, plan, found)
    counts |= survival(people, plan, found)
    counts |= _encounters(frames["encounter"], people, plan)
    counts |= _measurements(frames["observation"], frames["encounter"], people, plan)
    return Tally(reference.isoformat(), float(years), plan.fingerprint, counts)


def _deaths(people: Folk, plan: Targets) -> dict[str, Floats]:
    dead = np.flatnonzero((people.death > people.start) & (people.death <= people.reference))
    age = ((people.death[dead] - people.birth[dead]) / YEAR).astype(np.int64)
    out = np.zeros((2, OLDEST))
    np.add.at(out, (people.sex[dead], np.clip(age, 0, OLDEST - 1)), 1)
    causes = np.zeros(len(plan.published.causes) + 1)  # the last: all others
    place: dict[str, int] = {}
    for row in dead.tolist():
        code = people.cause[row] or ""
        if code not in place:
            fitting = [k for k, one in enumerate(plan.published.causes) if one.holds(code)]
            place[code] = fitting[0] if fitting else len(causes) - 1
        causes[place[code]] += 1
    return {"deaths": out, "causes": causes}


def _encounters(encounter: pl.DataFrame, people: Folk, plan: Targets) -> dict[str, Floats]:
    start = pl.lit(people.start * 86_400e6).cast(pl.Int64).cast(pl.Datetime("us"))
    rows = (
        encounter.lazy()
        .filter(pl.col("start") >= start)
        .select("patient_id", "class", "start", "stop", "disposition")
        .join(people.rows.lazy(), on="patient_id")
        .collect()
    )
    person = rows["person"].to_numpy()
    begin, stop = days(rows["start"]), days(rows["stop"])
    kind = rows["class"].cast(pl.String).replace_strict(list(CLASSES), list(range(len(CLASSES)))).to_numpy()
    age = (begin - people.birth[person]) / YEAR
    out = np.zeros((len(CLASSES), 2, OLDEST))
    np.add.at(out, (kind, people.sex[person], np.clip(age.astype(np.int64), 0, OLDEST - 1)), 1)
    stays = np.flatnonzero(kind == class_positions(("inpatient",))[0])
    stays = stays[np.lexsort((begin[stays], person[stays]))]
    length = stop[stays] - begin[stays]
    died = (rows["disposition"].cast(pl.String) == "died").fill_null(False).to_numpy()[stays]
    index = (age[stays] >= 1) & ~died & (stop[stays] <= people.reference - 30)
    following = np.r_[person[stays][1:] == person[stays][:-1], False] if len(stays) else np.zeros(0, bool)
    gap = np.r_[begin[stays][1:] - stop[stays][:-1], np.inf] if len(stays) else np.zeros(0)
    back = following & (gap <= 30)
    stay = np.array([len(stays), length.sum(), (length**2).sum(), index.sum(), (index & back).sum()], np.float64)
    return {"encounters": out, "stays": stay}


def _measurements(observation: pl.DataFrame, encounter: pl.DataFrame, people: Folk, plan: Targets) -> dict[str, Floats]:
    known = pl.DataFrame(
        {
            "code": [item.loinc for item in plan.items],
            "unit": [item.unit for item in plan.items],
            "item": list(range(len(plan.items))),
        }
    )
    since = pl.lit((people.reference - RECENT * YEAR) * 86_400e6).cast(pl.Int64).cast(pl.Datetime("us"))
    office = encounter.lazy().filter(pl.col("class").cast(pl.String).is_in(OFFICE) & (pl.col("start") >= since))
    rows = (
        observation.lazy()
        .filter((pl.col("time") >= since) & pl.col("value").is_not_null())
        .select("patient_id", "encounter_id", "time", "code", "unit", "value")
        .join(known.lazy(), on=["code", "unit"])
        .join(office.select("encounter_id"), on="encounter_id", how="semi")
        .join(people.rows.lazy(), on="patient_id")
        .select("person", "item", "time", "value")
        .collect()
    )
    values = np.full((len(people.birth), len(plan.items)), np.nan)
    order = np.argsort(rows["time"].to_physical().to_numpy(), kind="stable")
    values[rows["person"].to_numpy()[order], rows["item"].to_numpy()[order]] = rows["value"].to_numpy()[order]
    values[~people.alive] = np.nan  # the last one stays: later rows overwrite
    return _histograms(values, people, plan) | {"correlations": _sums(values, people, plan)}


def edges(plan: Targets, name: str) -> Floats:
    """Return the edges (BINS + 1,) of the histogram of an item: fine about the published quantiles, then open."""
    _, table, _ = plan.quantiles(name)
    low, high = float(table.min()), float(table.max())
    if low > 0 and high / low > 4:
        inner = np.geomspace(low * 0.6, high * 1.6, BINS - 1)
    else:
        room = 0.25 * (high - low)
        inner = np.linspace(low - room, high + room, BINS - 1)
    return np.r_[-np.inf, inner, np.inf]


def _histograms(values: Floats, people: Folk, plan: Targets) -> dict[str, Floats]:
    place = {item.id: k for k, item in enumerate(plan.items)}
    out: dict[str, Floats] = {}
    for name in plan.published.quantiles.items:
        ages, _, _ = plan.quantiles(name)
        band = band_of(ages, people.age)
        fine = np.flatnonzero(~np.isnan(values[:, place[name]]) & (band >= 0))
        bins = np.searchsorted(edges(plan, name), values[fine, place[name]], side="right") - 1
        table = np.zeros((2, len(ages), BINS))
        np.add.at(table, (people.sex[fine], band[fine], np.clip(bins, 0, BINS - 1)), 1)
        out[f"values {name}"] = table
    return out


def population(text: str) -> tuple[float, float, bool]:
    """Return lowest and highest age of a described population, and whether women and men are taken apart."""
    low, _, high = text.split(" of ")[-1].split(",")[0].partition("-")
    if low.strip().isdigit() and high.strip().isdigit():
        return float(low), float(high), "within sex" in text
    return 18.0, float(OLDEST), "within sex" in text


def _sums(values: Floats, people: Folk, plan: Targets) -> Floats:
    """Return n and the sums of x, y, xx, yy, xy about a middle (pairs, 2, 6); logs where values are skewed."""
    place = {item.id: k for k, item in enumerate(plan.items)}
    out = np.zeros((len(plan.correlated), 2, 6))
    for k, pair in enumerate(plan.correlated):
        if not set(pair.pair) <= place.keys():
            continue
        low, high, _ = population(pair.population or "")
        inside = (people.age >= low) & (people.age < high)
        x, y = (_moved(values[:, place[name]], name, plan) for name in pair.pair)
        fine = inside & np.isfinite(x) & np.isfinite(y)
        for s in (0, 1):
            a, b = x[fine & (people.sex == s)], y[fine & (people.sex == s)]
            out[k, s] = len(a), a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), (a * b).sum()
    return out


def _moved(values: Floats, name: str, plan: Targets) -> Floats:
    """Return values about the published median of 55 years, C-reactive protein as its log: sums stay exact."""
    process = plan.processes["egfr" if name == "creatinine" else name]
    if name == "crp":
        return np.log(np.maximum(values, 1e-3))
    table = process.quantiles
    middle = table.female[int(np.argmin(np.abs(np.array(table.ages) - 55)))]
    return values - middle[len(middle) // 2]
