"""The processes of the body as data: distributions by age and sex, persistence, variation, and what goes with what.

`data/processes.json` holds them. Every figure names its `source`, a key of the file's `sources` (author or survey,
cycle, title, year); a key that begins with "assumed" marks a figure that nobody published, with the reason. Unknown
keys are errors.

References
----------
Higham NJ, Computing the nearest correlation matrix: a problem from finance, IMA J Numer Anal 2002;22:329,
doi:10.1093/imanum/22.3.329 (alternating projections with Dykstra's correction, algorithm 3.3).
"""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ehrsatz.errors import ScenarioError, UnknownNameError, nearest
from ehrsatz.simulator.module import Name, NonNegative, Part, Positive, Share, Source

FILE = Path(__file__).parent / "data" / "processes.json"
OLDEST = 110  # years; tables reach from birth to here
Correlation = Annotated[float, Field(ge=-1, le=1)]
Row = tuple[float, ...]


class Quantiles(Part):
    """Published quantiles of single readings in the general population, by age and sex.

    Rows belong to `ages`, columns to `probabilities`; between ages they are linear, and the first and last row hold
    outside. On a log scale tails go on as those of a log-normal, else as those of a normal.
    """

    ages: tuple[NonNegative, ...] = Field(min_length=1, description="Years, rising; the middle of each published band.")
    probabilities: tuple[Share, ...] = Field(min_length=3, description="Rising, between 0 and 1.")
    female: tuple[Row, ...]
    male: tuple[Row, ...]
    source: Source

    @model_validator(mode="after")
    def _rows(self) -> Self:
        if list(self.ages) != sorted(set(self.ages)) or self.ages[-1] > OLDEST:
            raise ValueError(f"expected ages in rising order, up to {OLDEST}")
        if list(self.probabilities) != sorted(set(self.probabilities)) or self.probabilities[0] <= 0:
            raise ValueError("expected probabilities in rising order, above 0")
        if self.probabilities[-1] >= 1:
            raise ValueError("expected probabilities below 1")
        for rows in (self.female, self.male):
            if len(rows) != len(self.ages):
                raise ValueError(f"expected one row per age ({len(self.ages)})")
            for row in rows:
                if len(row) != len(self.probabilities):
                    raise ValueError(f"expected one figure per probability ({len(self.probabilities)})")
                if any(b < a for a, b in pairwise(row)):
                    raise ValueError("expected quantiles that do not fall")
        return self


class Chart(Part):
    """Below 20 years the level is that of a growth chart at `mean` + `sd` x z: today's children against the chart."""

    kind: Literal["length", "bmi", "head"]
    ages: tuple[NonNegative, ...]
    mean: tuple[float, ...]
    sd: tuple[Positive, ...]
    source: Source

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        if not len(self.ages) == len(self.mean) == len(self.sd) or list(self.ages) != sorted(set(self.ages)):
            raise ValueError("expected ages in rising order with one mean and one sd each")
        return self


class Persistence(Part):
    """How z moves through life: a lifelong share of its variance, and the rest drifting from year to year."""

    lifelong: Share = Field(description="Share of the variance of z that never changes.")
    yearly: Share = Field(description="Correlation of the rest with itself a year later.")
    source: Source


class Within(Part):
    """How single readings differ from a person's level: day-to-day biology and measurement together.

    Exactly one of `cv` (a ratio; log-normal) and `sd` (in the unit of the process; normal).
    """

    cv: NonNegative | None = None
    sd: NonNegative | None = None
    source: Source

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.cv is None) == (self.sd is None):
            raise ValueError("expected either cv or sd")
        return self


class Process(Part):
    """One process: a quantity of the body that has a level at every moment of a life."""

    id: Name
    title: str
    unit: str = Field(description="UCUM.")
    scale: Literal["linear", "log"]
    low: float = Field(description="No level below this one.")
    high: float = Field(description="No level above this one.")
    bounds: Source
    quantiles: Quantiles
    chart: Chart | None = None
    persistence: Persistence
    within: Within

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.low >= self.high:
            raise ValueError("expected low below high")
        if self.scale == "log" and self.low <= 0:
            raise ValueError("expected low above 0 on a log scale")
        rows = self.quantiles.female + self.quantiles.male
        if min(min(row) for row in rows) < self.low or max(max(row) for row in rows) > self.high:
            raise ValueError("expected quantiles between low and high")
        return self


class Pair(Part):
    """How two processes go together: the correlation of their z, which is that within age and sex.

    `published` is what the source found in `population` (crude there unless it says partial); with `check`, the report
    compares the simulated population with it.
    """

    pair: tuple[Name, Name]
    r: Correlation
    published: Correlation | None = None
    population: str | None = None
    check: bool = False
    source: Source

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.pair[0] == self.pair[1]:
            raise ValueError("expected two different processes")
        if self.check and (self.published is None or self.population is None):
            raise ValueError("expected published and population with check")
        return self


class Processes(Part):
    """All processes with their correlations."""

    about: str
    sources: dict[str, str] = Field(description="Key -> survey or author, title, year; or why assumed.")
    processes: tuple[Process, ...] = Field(min_length=1)
    correlations: tuple[Pair, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        ids = [process.id for process in self.processes]
        if len(set(ids)) != len(ids):
            raise ValueError("expected every process once")
        unknown = sorted({name for one in self.correlations for name in one.pair} - set(ids))
        if unknown:
            raise ValueError(f"expected pairs of known processes; unknown: {', '.join(unknown)}")
        pairs = [frozenset(one.pair) for one in self.correlations]
        if len(set(pairs)) != len(pairs):
            raise ValueError("expected every pair once")
        named = set(_sources(self.model_dump(exclude={"sources"})))
        if named - set(self.sources):
            raise ValueError(
                f"expected every source among the sources; absent: {', '.join(sorted(named - set(self.sources)))}"
            )
        if set(self.sources) - named:
            raise ValueError(
                f"expected every source to be used; unused: {', '.join(sorted(set(self.sources) - named))}"
            )
        for key, text in self.sources.items():
            if not key.startswith("assumed") and not any(str(year) in text for year in range(1900, 2100)):
                raise ValueError(f"expected the year in source '{key}'")
        return self

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Ids of all processes, in the order of the file."""
        return tuple(process.id for process in self.processes)

    def __getitem__(self, name: str) -> Process:
        """Return one process by its id.

        Raises
        ------
        UnknownNameError
            When there is none of that name.
        """
        try:
            return self.processes[self.names.index(name)]
        except ValueError:
            raise UnknownNameError(
                f"Expected the name of a process, found '{name}'.{nearest(name, self.names)}",
                advice="The processes are listed in docs/simulator/physiology.md.",
            ) from None

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Correlation of all z, (P, P) in the order of `names`: the nearest one to the pairs that is possible."""
        wanted = np.eye(len(self.names))
        place = {name: i for i, name in enumerate(self.names)}
        for one in self.correlations:
            a, b = place[one.pair[0]], place[one.pair[1]]
            wanted[a, b] = wanted[b, a] = one.r
        return nearest_correlation(wanted)


def nearest_correlation(wanted: NDArray[np.float64], floor: float = 1e-3, rounds: int = 500) -> NDArray[np.float64]:
    """Return the correlation matrix nearest to a symmetric matrix, with no eigenvalue below about `floor`.

    Parameters
    ----------
    wanted
        (P, P), symmetric, ones on the diagonal.
    floor
        Least eigenvalue wanted, so that the matrix has a Cholesky factor.
    rounds
        Most alternations of the two projections.

    Returns
    -------
    (P, P), symmetric, ones on the diagonal; `wanted` itself where it is one already.

    References
    ----------
    Higham 2002, algorithm 3.3.
    """
    if np.linalg.eigvalsh(wanted)[0] >= floor:
        return wanted.copy()
    whole, correction = wanted.copy(), np.zeros_like(wanted)
    for _ in range(rounds):
        shifted = whole - correction
        values, vectors = np.linalg.eigh(shifted)
        positive = (vectors * np.maximum(values, floor)) @ vectors.T
        correction = positive - shifted
        before, whole = whole, (positive + positive.T) / 2
        np.fill_diagonal(whole, 1.0)
        if np.abs(whole - before).max() < 1e-9:
            break
    values, vectors = np.linalg.eigh(whole)
    if values[0] < floor / 2:
        whole = (vectors * np.maximum(values, floor)) @ vectors.T
        scale = np.sqrt(np.diag(whole))
        whole = whole / scale[:, None] / scale[None, :]
    return whole


def read(path: Path | None = None) -> Processes:
    """Read a file of processes.

    Parameters
    ----------
    path
        JSON; None means the file that comes with the package.

    Raises
    ------
    ScenarioError
        When the file is no JSON, has unknown keys, figures that cannot be, or lacks a source; all problems are listed.
    """
    where = path or FILE
    try:
        data = json.loads(where.read_text(encoding="utf-8"))
        return Processes.model_validate(data)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ScenarioError(
            "Expected a JSON file of processes.", f"{where.name} cannot be read: {type(error).__name__}."
        ) from error
    except ValidationError as error:
        raise ScenarioError(
            "Expected processes as described in docs/simulator/physiology.md.",
            f"{where.name} has {error.error_count()} problems.",
            problems=[f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)],
        ) from None


@lru_cache(maxsize=1)
def standard() -> Processes:
    """Return the processes that come with the package, read once."""
    return read()


def _sources(data: Any) -> list[str]:
    if isinstance(data, dict):
        found = [data[key] for key in ("source", "bounds") if isinstance(data.get(key), str)]
        return found + [name for value in data.values() for name in _sources(value)]
    if isinstance(data, (list, tuple)):
        return [name for value in data for name in _sources(value)]
    return []
