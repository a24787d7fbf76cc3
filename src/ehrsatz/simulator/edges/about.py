"""What the making of edge cases needs to know of the run: its days, its country, its catalogue of measurements."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ehrsatz import clinical
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.edges.record import Record
from ehrsatz.simulator.frames import Scene

SUNDAY = 6
YEAR = 365.25


@dataclass(frozen=True)
class About:
    """A run, as edge cases see it.

    Parameters
    ----------
    reference
        The moment at which records end.
    scene
        Names, codes and units of the run.
    """

    reference: datetime.datetime
    scene: Scene

    @property
    def today(self) -> datetime.date:
        """The reference date."""
        return self.reference.date()

    def years_ago(self, years: int, *, days: int = 0) -> datetime.date:
        """Return the day so many years and days before the reference date."""
        day = self.today - datetime.timedelta(days=days)
        return day.replace(year=day.year - years, day=min(day.day, 28))

    def clock_change(self, *, spring: bool) -> datetime.datetime:
        """Return the last local time, at least 30 days ago, that a change of clocks skipped or told twice.

        United States: second Sunday of March 02:30, first Sunday of November 01:30 (Energy Policy Act of 2005,
        section 110). Elsewhere as in the United Kingdom: last Sundays of March and October, 01:30 (Summer Time Order
        2002).
        """
        american = self.scene.country == "US"

        def of(year: int) -> datetime.datetime:
            if american:
                day = _sunday(year, 3, 2) if spring else _sunday(year, 11, 1)
                return datetime.datetime.combine(day, datetime.time(2 if spring else 1, 30))
            return datetime.datetime.combine(_sunday(year, 3 if spring else 10, -1), datetime.time(1, 30))

        latest = self.reference - datetime.timedelta(days=30)
        return next(moment for year in (latest.year, latest.year - 1) if (moment := of(year)) <= latest)

    def new_year(self) -> datetime.datetime:
        """Return the last turn of a year that is at least 30 days ago."""
        latest = self.reference - datetime.timedelta(days=30)
        return datetime.datetime(latest.year, 1, 1)

    def observe(
        self,
        record: Record,
        encounter: str,
        item: str,
        values: Sequence[float],
        time: datetime.datetime,
    ) -> None:
        """Write measurements of one item of the catalogue, all at one moment, at an encounter.

        Parameters
        ----------
        record, encounter
            Whose, and at which.
        item
            Name in the catalogue.
        values
            In the catalogue's units.
        time
            The moment.
        """
        scene, place = self.scene, catalogue().place[item]
        positions = np.full(len(values), place, np.int64)
        reported = scene.items.convert(positions, np.asarray(values, np.float64))
        person = record["patient"].row(0, named=True)
        sex = np.full(len(values), int(person["sex"] == clinical.SEXES[1]), np.int64)
        age = np.full(len(values), (time.date() - person["birth_date"]).days / YEAR)
        low, high, _, _ = scene.items.ranges(positions, sex, age)
        fixed = {name: column[place] for name, column in scene.item.items()}
        record.add(
            "observation",
            [
                {
                    **fixed,
                    "encounter_id": encounter,
                    "time": time,
                    "value": float(value),
                    "low": number(a),
                    "high": number(b),
                    "interpretation": interpreted(float(value), number(a), number(b)),
                }
                for value, a, b in zip(reported, low, high, strict=True)
            ],
        )


def number(value: Any) -> float | None:
    """Return a number, None where it is NaN."""
    return None if np.isnan(value) else float(value)


def interpreted(value: float, low: float | None, high: float | None) -> str | None:
    """Return what a value is called beside its range; None without one."""
    if low is None and high is None:
        return None
    if low is not None and value < low:
        return "low"
    return "high" if high is not None and value > high else "normal"


def _sunday(year: int, month: int, which: int) -> datetime.date:
    """Return the first (1), second (2) or last (-1) Sunday of a month."""
    days = [datetime.date(year, month, 1) + datetime.timedelta(days=k) for k in range(31)]
    sundays = [day for day in days if day.month == month and day.weekday() == SUNDAY]
    return sundays[which if which < 0 else which - 1]
