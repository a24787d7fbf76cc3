"""Intensive care: vital signs by the hour, gases and blood by the shift, ventilation with its devices.

Values are the person's levels, which run through their illness, with a deviation that is alike from hour to hour.

References
----------
Spread and likeness from hour to hour were set beside the MIMIC-III demo (Johnson AEW et al., Sci Data 2016;3:160035,
doi:10.1038/sdata.2016.35; 115 stays by the hour): within a stay heart rate 8, systolic pressure 14, diastolic 10, rate
of breathing 4, oxygen saturation 2.4, temperature 0.5; correlation after one hour 0.70, 0.56, 0.42, 0.52, 0.39, 0.82.
How often what is measured: assumed, as usual in intensive care (arterial gases every six to eight hours at first,
blood daily). Oxygen by the true saturation: assumed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from ehrsatz.clinical import DISPOSITIONS, ICD10CM, SNOMED
from ehrsatz.simulator.chart.asks import CLASS, MINUTES
from ehrsatz.simulator.chart.entries import procedure
from ehrsatz.simulator.chart.part import Chart, Part
from ehrsatz.simulator.history import Flags, Floats, Ints
from ehrsatz.simulator.records import Encounters, Rows

HOURLY, LONGEST = 3.0, 45.0  # days of readings by the hour, and at the most
DEVIATION = {  # item: size, shares of its variance over half a day, over three hours; the rest is new each time
    "heart_rate": (8.0, 0.55, 0.20),
    "sbp": (13.0, 0.36, 0.26),
    "dbp": (9.0, 0.28, 0.18),
    "resp_rate": (3.4, 0.42, 0.14),
    "spo2": (1.9, 0.30, 0.12),
    "temperature": (0.42, 0.74, 0.14),
}
OXYGEN, AIMED = 0.6, 97.5  # oxygen makes up so much of what lacks to this saturation (%) and pressure (mm[Hg]); assumed
HELD = {"sbp": 72.0, "dbp": 38.0}  # pressures below which a fall is mostly held; assumed, mean pressure of 50
WARD = 375  # minute of the day of the rounds: a quarter past six
KNOTS = (0.5, 0.125)  # days
BREATHING = ("A41.9", "R65.21", "J18.9", "J44.1", "U07.1", "J10.00", "J45.901", "T40.2X1A", "T07.XXXA", "I50.23",
             "E10.10", "E11.10", "G40.901")  # fmt: skip
SEPTIC = ("A41.9", "R65.21")
HEART = ("I21.4", "I20.0", "I50.23")
ROUNDS = (  # panel, among whom, every how many hours, until which day
    ("blood_gas", BREATHING, 8.0, 3.0),
    ("blood_gas", BREATHING, 24.0, LONGEST),
    ("sepsis", SEPTIC, 24.0, LONGEST),
    ("troponin", HEART, 8.0, 1.0),
    ("coagulation", None, 24.0, LONGEST),
    ("electrolytes", None, 24.0, LONGEST),
    ("glucose", None, 6.0, 3.0),
)
VENTILATION = ((SNOMED, "40617009"), (SNOMED, "243150007"))  # artificial ventilation, assist control
TUBE, ARTERY = (SNOMED, "112798008"), (SNOMED, "392247006")  # insertion of endotracheal tube, of arterial catheter
WEANING = (SNOMED, "243174005")
DEVICES = ((SNOMED, "26412008"), (SNOMED, "449071006"))  # endotracheal tube, ventilator


class Intensive(Part):
    """Write what intensive care measures and does."""

    def ask(self, chart: Chart) -> None:
        """Read vital signs in intensive care with their own deviation."""
        for item in DEVIATION:
            chart.extra[item] = _reader(chart, item)
        chart.extra["po2"] = _given(chart)
        chart.extra["fio2"] = _oxygen(chart)

    def want(self, chart: Chart) -> None:
        """Want vital signs by the hour and blood by the shift."""
        met, wishes = chart.encounters, chart.wishes
        assert met is not None and wishes is not None
        rows = np.flatnonzero(met.kind == CLASS["icu"])
        rows = rows[chart.history.people.written(met.person[rows], met.start[rows])]
        age = met.start[rows] - chart.history.people.birth[met.person[rows]]
        newborn = age < 28
        for chosen, panel, first, then in ((~newborn, "stay_vitals", 1.0, 4.0), (newborn, "fever", 4.0, 8.0)):
            row, offset = _every(met, rows[chosen], first, 0.0, HOURLY)
            wishes.want(panel, row, offset)
            row, offset = _every(met, rows[chosen], then, HOURLY, LONGEST)
            wishes.want(panel, row, offset)
        grown = rows[~newborn]
        for panel, reasons, hours, until in ROUNDS:
            among = grown
            if reasons is not None:
                codes = [chart.book.place(ICD10CM, code) for code in reasons]
                among = grown[np.isin(met.reason[grown], codes)]
            row, offset = _every(met, among, hours, 0.02, until)
            wishes.want(panel, row, offset)

    def write(self, chart: Chart) -> None:
        """Bring ventilation into intensive care, with its devices and its end."""
        met = chart.encounters
        assert met is not None
        moved = [chart.book.place(*code) for code in (*VENTILATION, TUBE, ARTERY)]
        wind = moved[: len(VENTILATION)]
        unit = np.full(len(met.person), -1, np.int64)  # the intensive care of each stay
        icu = np.flatnonzero(met.kind == CLASS["icu"])
        unit[met.part_of[icu]] = icu
        parts: list[Rows] = []
        for rows in chart.rows.get("procedure", []):
            code, stay = rows["code"].astype(np.int64), rows["encounter"].astype(np.int64)
            mine = np.isin(code, moved)
            if not mine.any():
                parts.append(rows)
                continue
            into = np.where(mine, unit[stay], -1)
            here = np.flatnonzero(into >= 0)
            start, stop = rows["start"].astype(np.float64), rows["stop"].astype(np.float64)
            length = stop - start
            start[here] = met.start[into[here]] + np.where(np.isin(code[here], wind), 25, 10) * MINUTES
            start[here] = np.minimum(start[here], met.stop[into[here]] - 2 * MINUTES)
            stop[here] = np.clip(start[here] + length[here], start[here] + MINUTES, met.stop[into[here]])
            encounter = np.where(into >= 0, into, stay)
            keep = ~(np.isin(code, wind) & (into < 0))  # nobody is ventilated for long outside
            new = {**rows, "encounter": encounter, "start": start, "stop": stop}
            parts.append({name: values[keep] for name, values in new.items()})
            _devices(chart, encounter, start, stop, keep & np.isin(code, wind))
        if parts:
            chart.rows["procedure"] = parts
        for one in self._weaned(chart, wind):
            procedure(chart, WEANING, *one)

    def _weaned(self, chart: Chart, wind: list[int]) -> list[tuple[Ints, Floats, Floats]]:
        """Return the last hours on the ventilator of those who live."""
        met = chart.encounters
        assert met is not None
        out = []
        for rows in chart.rows.get("procedure", []):
            row, stop = rows["encounter"].astype(np.int64), rows["stop"].astype(np.float64)
            long = stop - rows["start"].astype(np.float64) > 0.25
            here = np.isin(rows["code"], wind) & long & (met.disposition[row] != DISPOSITIONS.index("died"))
            out.append((row[here], stop[here] - 2 / 24, stop[here]))
        return out


def _every(met: Encounters, rows: Ints, hours: float, since: float, until: float) -> tuple[Ints, Floats]:
    """Return encounter and days after its begin (R,) of readings every so many hours between two days."""
    length = met.stop[rows] - met.start[rows] - 6 * MINUTES
    step = hours / 24
    count = np.maximum(np.floor((np.minimum(length, until) - since) / step), -1).astype(np.int64) + 1
    at = np.repeat(np.arange(len(rows)), count)
    k = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
    offset = (since + k * step).astype(np.float64)
    minute = np.round((met.start[rows[at]] + offset) * 1440).astype(np.int64) % 1440
    offset += np.where(minute == WARD, MINUTES, 0.0)  # never in the minute of the rounds of the whole stay
    return rows[at].astype(np.int64), offset


def _inside(chart: Chart, person: Ints, time: Floats) -> Flags:
    """Return whether people (R,) are in intensive care at moments."""
    met = chart.encounters
    assert met is not None
    rows = np.flatnonzero(met.kind == CLASS["icu"])
    if not len(rows):
        return np.zeros(len(person), bool)
    at = np.searchsorted(met.person[rows] * 1e6 + met.start[rows], person * 1e6 + time, side="right") - 1
    row = rows[np.maximum(at, 0)]
    return (at >= 0) & (met.person[row] == person) & (time <= met.stop[row])


def _smooth(chart: Chart, item: str, person: Ints, time: Floats, fresh: Floats) -> Floats:
    """Return standard-normal deviations (R,) that are alike at moments close to each other.

    Between knots in time, each with a number of its own, the two next ones are mixed by cosine and sine, so that the
    variance is the same everywhere; `fresh` is what is new at each reading.
    """
    _, *shares = DEVIATION[item]
    out = np.sqrt(1 - sum(shares)) * fresh
    for share, step in zip(shares, KNOTS, strict=True):
        place = np.maximum(time / step, 0)
        knot = np.floor(place).astype(np.int64)
        turn = (place - knot) * np.pi / 2
        ends = []
        for k in (knot, knot + 1):
            u = chart.history.draw(f"course {item} {step}", person, k)[:, 0]
            ends.append(ndtri(np.clip(u, 1e-12, 1 - 1e-12)))
        out += np.sqrt(share) * (np.cos(turn) * ends[0] + np.sin(turn) * ends[1])
    return out


def _reader(chart: Chart, item: str) -> Callable[[Ints], Floats]:
    """Return the function that reads a vital sign; in intensive care the usual noise is taken off beforehand."""

    def read(rows: Ints) -> Floats:
        values = chart.values
        assert values is not None
        one = values.catalogue.items[values.catalogue.place[item]]
        value = values.level(one.process or item, rows)
        specimens = values.specimens
        person, time = specimens.person[rows], specimens.time[rows]
        here = np.flatnonzero(_inside(chart, person, time))
        if not len(here):
            return value
        if item == "spo2":
            value[here] += OXYGEN * np.maximum(AIMED - value[here], 0)
        usual = values.noise(item, rows[here])
        wanted = value[here] + DEVIATION[item][0] * _smooth(chart, item, person[here], time[here], usual)
        if item in HELD:  # by drugs and fluids
            wanted = np.maximum(wanted, HELD[item] + 0.25 * (wanted - HELD[item]))
        if one.noise is None:
            value[here] = wanted
        elif one.noise.cv is not None:
            value[here] = wanted * np.exp(-one.noise.cv * usual)
        else:
            value[here] = wanted - (one.noise.sd or 0.0) * usual
        return value

    return read


def _given(chart: Chart) -> Callable[[Ints], Floats]:
    """Return the function that reads oxygen in arterial blood, with what is given in intensive care."""

    def read(rows: Ints) -> Floats:
        values = chart.values
        assert values is not None
        value = values.level("po2", rows)
        specimens = values.specimens
        short = np.maximum(AIMED - value, 0) * _inside(chart, specimens.person[rows], specimens.time[rows])
        return value + OXYGEN * short

    return read


def _oxygen(chart: Chart) -> Callable[[Ints], Floats]:
    """Return the function that reads the share of oxygen breathed, %: more where saturation would be low."""

    def read(rows: Ints) -> Floats:
        values = chart.values
        assert values is not None
        specimens = values.specimens
        person, time = specimens.person[rows], specimens.time[rows]
        need = np.maximum(AIMED - values.level("spo2", rows), 0)
        spread = 8 * _smooth(chart, "spo2", person, time, values.noise("fio2", rows))
        given = np.clip(5 * np.round((24 + 5.5 * need + spread) / 5), 21, 100)
        return np.where(_inside(chart, person, time), given, 21.0)

    return read


def _devices(chart: Chart, row: Ints, start: Floats, stop: Floats, here: Flags) -> None:
    """Write the tube and the ventilator of ventilations."""
    for code in DEVICES:
        chart.add(
            "device",
            {
                "encounter": row[here],
                "code": np.full(int(here.sum()), chart.book.place(*code)),
                "start": start[here],
                "stop": stop[here],
            },
        )
