"""Immunisation schedules by country as data: `data/schedule.json`, read once and checked."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from ehrsatz.errors import ScenarioError
from ehrsatz.simulator.module import Name, NonNegative, Part, Sex, Share, Source

FILE = Path(__file__).parent / "data" / "schedule.json"
UNITS = {"d": 1.0, "w": 7.0, "m": 30.4375, "y": 365.25}  # days
Span = Annotated[str, Field(pattern=r"^\d+(\.\d+)?[dwmy]$", description="6w, 2m, 11y.")]
Years = tuple[float, float | None]


def days(span: str | None) -> float:
    """Return the days of a span such as 6w; 0 where None.

    Examples
    --------
    >>> days("6w"), days("2m"), days(None)
    (42.0, 60.875, 0.0)
    """
    if span is None:
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([dwmy])", span)
    assert found is not None, "a span was checked on reading"
    return float(found[1]) * UNITS[found[2]]


class Dose(Part):
    """One dose of a series."""

    due: Span
    least: Span
    after: Span | None = Field(default=None, description="After the last dose of the series, or of its family.")
    since_first: Span | None = None
    latest: Span
    goes_on: Share = Field(default=1.0, description="Share of those with the dose before.")
    late: Share = Field(default=0.0, description="Share of those who take it who have it a month late at the soonest.")
    years: Years | None = Field(default=None, description="Calendar years in which it is given; else the vaccine's.")


class Vaccine(Part):
    """One series of a vaccine."""

    id: Name
    cvx: str
    years: Years
    sex: Sex | None = None
    share: Share
    source: Source
    adult: bool = Field(default=False, description="Given at any visit, of those who are due in the record or before.")
    family: Name | None = Field(default=None, description="Series whose doses keep their distance from each other.")
    unless: Name | None = Field(default=None, description="Not for those with a dose of this series.")
    spread: Span | None = Field(default=None, description="Years over which people take it up, from its first on.")
    doses: tuple[Dose, ...] = Field(min_length=1)


class Pregnancy(Part):
    """A dose in each pregnancy."""

    id: Name
    cvx: str
    since: int
    weeks: tuple[float, float]
    share: Share
    source: Source


class Influenza(Part):
    """The yearly dose in autumn: shares by age."""

    cvx: str
    since: int
    ages: tuple[NonNegative, ...]
    share: tuple[Share, ...]
    source: Source

    @model_validator(mode="after")
    def _bands(self) -> Self:
        if len(self.ages) != len(self.share) or list(self.ages) != sorted(self.ages):
            raise ValueError("expected one share per age, in rising order")
        return self


class Schedule(Part):
    """What one country gives."""

    visits: tuple[Span, ...] = Field(description="Ages at which children come for it.")
    vaccines: tuple[Vaccine, ...]
    pregnancy: Pregnancy | None = None
    influenza: Influenza


class Schedules(Part):
    """All countries."""

    about: str
    sources: dict[str, str]
    countries: dict[str, Schedule]

    @field_validator("countries")
    @classmethod
    def _once(cls, countries: dict[str, Schedule]) -> dict[str, Schedule]:
        for one in countries.values():
            ids = [vaccine.id for vaccine in one.vaccines]
            if len(set(ids)) < len(ids):
                raise ValueError("expected each series once")
        return countries

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        for one in self.countries.values():
            named = {vaccine.source for vaccine in one.vaccines} | {one.influenza.source}
            if one.pregnancy is not None:
                named.add(one.pregnancy.source)
            if absent := named - set(self.sources):
                raise ValueError(f"expected every source among the sources; absent: {', '.join(sorted(absent))}")
        return self


@lru_cache(maxsize=4)
def schedule(country: str, path: Path = FILE) -> Schedule:
    """Return the schedule of a country (ISO 3166-1); that of the United States where it has none of its own.

    Raises
    ------
    ScenarioError
        When the file has an unknown key, a wrong value or a source that it does not name.
    """
    try:
        every = Schedules.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    except (OSError, ValueError):
        problems = ["it cannot be read as JSON"]
    else:
        return every.countries.get(country) or every.countries["US"]
    raise ScenarioError(
        "Expected schedules of immunisations.",
        f"{path.name}: {len(problems)} problem{'s' if len(problems) > 1 else ''} found.",
        "Correct what is named below.",
        problems=problems,
    )
