"""Growth charts of children: length or height, weight, body-mass index and head, by the LMS method.

WHO standards from birth to 2 years, CDC charts from 2 to 20. The two do not meet at 2 years (and lying length becomes
standing height there), so what is between them fades out until 3, and nobody shrinks on the second birthday. Beyond
3 in z a chart goes on in steps of its last half, as WHO does; body-mass index above the 95th percentile follows the
extended charts of CDC.

References
----------
Cole TJ, Green PJ, Smoothing reference centile curves: the LMS method and penalized likelihood, Stat Med 1992;11:1305,
doi:10.1002/sim.4780111005.
Wei R et al., Ann Hum Biol 2020;47:514, doi:10.1080/03014460.2020.1808065 (body-mass index above the 95th percentile).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from scipy.special import ndtr, ndtri

from ehrsatz.errors import ScenarioError, UnknownNameError, nearest
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.module import NonNegative, Part, Positive, Sex, Source

FILE = Path(__file__).parent / "data" / "growth.json"
GROWN = 20.0  # years; charts end here
CHANGE = 24  # months; WHO before, CDC from here on
FADED = 36  # months; until here the gap between the two fades
KINDS = ("length", "weight", "bmi", "head")
ALSO = {"height": "length"}  # standing from 2 years on, one chart
EDGE = 3.0  # z beyond which L, M and S say nothing
UPPER = float(ndtri(0.95))


class Chart(Part):
    """L, M and S of one measure and sex, by month of age."""

    kind: Literal["length", "weight", "bmi", "head"]
    sex: Sex
    months: tuple[NonNegative, ...] = Field(min_length=2)
    L: tuple[float, ...]
    M: tuple[Positive, ...]
    S: tuple[Positive, ...]
    sigma: tuple[Positive, ...] | None = None
    source: Source

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        columns = [self.L, self.M, self.S] + ([self.sigma] if self.sigma else [])
        if any(len(column) != len(self.months) for column in columns):
            raise ValueError(f"expected one figure per month ({len(self.months)})")
        if list(self.months) != sorted(set(self.months)):
            raise ValueError("expected months in rising order")
        return self


class Charts(Part):
    """All charts; several of one kind and sex follow each other in age."""

    about: str
    sources: dict[str, str]
    charts: tuple[Chart, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        absent = {chart.source for chart in self.charts} - set(self.sources)
        if absent:
            raise ValueError(f"expected every source among the sources; absent: {', '.join(sorted(absent))}")
        for kind in KINDS:
            for sex in ("female", "male"):
                own = [chart for chart in self.charts if (chart.kind, chart.sex) == (kind, sex)]
                if not any(chart.months[0] == 0 for chart in own) or not any(chart.months[-1] >= 240 for chart in own):
                    raise ValueError(f"expected {kind} of {sex} from birth to 240 months")
        return self


def read(path: Path | None = None) -> Charts:
    """Read a file of growth charts.

    Parameters
    ----------
    path
        JSON; None means the file that comes with the package.

    Raises
    ------
    ScenarioError
        When the file is no JSON, or has unknown keys, gaps or a source it does not name.
    """
    where = path or FILE
    try:
        return Charts.model_validate(json.loads(where.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ScenarioError("Expected a JSON file of growth charts.", f"{where.name} cannot be read.") from error
    except ValidationError as error:
        raise ScenarioError(
            "Expected growth charts as described in docs/simulator/physiology.md.",
            f"{where.name} has {error.error_count()} problems.",
            problems=[f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)],
        ) from None


def at(kind: str, sex: Ints, age_years: Floats, z: Floats) -> Floats:
    """Return the measure of children by the charts.

    Parameters
    ----------
    kind
        "height" or "length" in cm, "weight" in kg, "bmi" in kg/m2, "head" in cm.
    sex
        Shape (R,), 0 female, 1 male.
    age_years
        Shape (R,), 0 or more; from 20 on the value at 20.
    z
        Shape (R,), standard score on the chart.

    Returns
    -------
    Shape (R,).

    Raises
    ------
    UnknownNameError
        When there is no chart of that kind.
    """
    tables = _tables()
    name = ALSO.get(kind, kind)
    if name not in tables:
        raise UnknownNameError(
            f"Expected one of {', '.join((*KINDS, *ALSO))}, found '{kind}'.{nearest(kind, (*KINDS, *ALSO))}"
        )
    months = np.clip(np.asarray(age_years, np.float64) * 12, 0, 240)
    who, cdc = tables[name]
    young = months < FADED
    out = _value(cdc, sex, np.maximum(months, CHANGE), z, extended=name == "bmi")
    if young.any():
        sex, z, months = sex[young], z[young], months[young]
        first = _value(who, sex, np.minimum(months, CHANGE), z)
        seam = np.full(len(months), float(CHANGE))
        gap = _value(who, sex, seam, z) - _value(cdc, sex, seam, z, extended=name == "bmi")
        fading = np.clip((FADED - months) / (FADED - CHANGE), 0, 1)
        out[young] = np.where(months < CHANGE, first, out[young] + gap * fading)
    return out


def z_of(kind: str, sex: Ints, age_years: Floats, value: Floats) -> Floats:
    """Return the standard score (R,) of a measure on its chart: WHO's below 2 years, CDC's from there on."""
    months = np.clip(np.asarray(age_years, np.float64) * 12, 0, 240)
    who, cdc = _tables()[ALSO.get(kind, kind)]
    low = np.minimum(months.astype(np.int64), 239)
    part = (months - low)[:, None]
    rows = np.empty((len(months), 4))
    for table, here in ((who, months < CHANGE), (cdc, months >= CHANGE)):
        rows[here] = table[sex[here], low[here]] * (1 - part[here]) + table[sex[here], low[here] + 1] * part[here]
    power, middle, spread, _ = rows.T
    safe = np.where(np.abs(power) < 1e-6, 1e-6, power)
    return ((np.maximum(value, 1e-6) / middle) ** safe - 1) / (safe * spread)


def _value(table: NDArray[np.float64], sex: Ints, months: Floats, z: Floats, *, extended: bool = False) -> Floats:
    """Return the value (R,) by one table (2, 241, 4) of L, M, S and sigma by sex and month."""
    low = np.minimum(months.astype(np.int64), 239)
    part = (months - low)[:, None]
    rows = table[sex, low] * (1 - part) + table[sex, low + 1] * part  # (R, 4)
    power, middle, spread, sigma = rows.T
    inner = np.clip(z, -EDGE, EDGE)
    out = _lms(power, middle, spread, inner)
    over = z - inner  # beyond the edge: steps of the last half
    if over.any():
        step = np.abs(
            _lms(power, middle, spread, np.sign(over) * EDGE) - _lms(power, middle, spread, np.sign(over) * 2.5)
        )
        out = out + np.sign(over) * step * np.abs(over) * 2
    if extended:
        top = _lms(power, middle, spread, np.full(len(z), UPPER))
        share = np.clip((ndtr(z) - 0.9) / 0.1, 0.5, 1 - 1e-6)
        out = np.where(z > UPPER, top + sigma * ndtri(share), out)
    return out


def _lms(power: Floats, middle: Floats, spread: Floats, z: Floats) -> Floats:
    safe = np.where(np.abs(power) < 1e-6, 1e-6, power)
    return middle * np.maximum(1 + safe * spread * z, 1e-6) ** (1 / safe)


@lru_cache(maxsize=1)
def _tables() -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return kind -> WHO and CDC tables (2, 241, 4): sex, month, and L, M, S, sigma."""
    charts = read().charts
    grid = np.arange(241.0)
    out = {}
    for kind in KINDS:
        pair = []
        for later in (False, True):
            table = np.zeros((2, 241, 4))
            for s, sex in enumerate(("female", "male")):
                own = [c for c in charts if (c.kind, c.sex) == (kind, sex) and (c.months[-1] > CHANGE) == later]
                months = np.concatenate([chart.months for chart in own])
                columns = [np.concatenate([getattr(chart, column) for chart in own]) for column in "LMS"]
                columns.append(np.concatenate([chart.sigma or np.ones(len(chart.months)) for chart in own]))
                for i, column in enumerate(columns):
                    table[s, :, i] = np.interp(grid, months, column)
            pair.append(table)
        out[kind] = (pair[0], pair[1])
    return out
