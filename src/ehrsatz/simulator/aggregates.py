"""A file of figures to pull the simulator to: published or in-house, one entry per figure, each with its source.

YAML or JSON with a list per kind, or CSV with one row per figure. Every entry says which ages and which sex it is of;
without, it is of all. Nothing here is about a single person.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ehrsatz.errors import ScenarioError
from ehrsatz.markup import load
from ehrsatz.simulator.module import Part, Positive, Sex

OLDEST = 120.0
QUANTILES = {"p05": 0.05, "p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95}
PER = {"per_1000": 1e-3, "per_100000": 1e-5, "per_million": 1e-6, "per_person": 1.0}
KINDS = ("prevalence", "incidence", "quantiles", "care", "stays", "deaths")
Bands = Annotated[
    tuple[Annotated[float, Field(ge=0, le=OLDEST)], Annotated[float, Field(ge=0, le=OLDEST)]],
    Field(description="From the first until below the second age, in years."),
]


class Figure(Part):
    """What all entries have: ages, sex and source."""

    ages: Bands = (0.0, OLDEST)
    sex: Sex | None = Field(default=None, description="None: women and men together.")
    source: str = Field(min_length=1, description="Who says so, in what, and when.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.ages[0] >= self.ages[1]:
            raise ValueError("expected ages as two rising years")
        return self


class Prevalence(Figure):
    """Share of the living of these ages that has a condition, as diagnosed."""

    condition: str
    share: float | None = Field(default=None, ge=0, le=1)
    percent: float | None = Field(default=None, ge=0, le=100)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.share is None) == (self.percent is None):
            raise ValueError("expected either share or percent")
        return self

    @property
    def name(self) -> str:
        """What it is of."""
        return self.condition

    @property
    def value(self) -> float:
        """The share."""
        return self.share if self.share is not None else (self.percent or 0.0) / 100


class Rated(Figure):
    """Something per person-year."""

    per_person: float | None = Field(default=None, ge=0)
    per_1000: float | None = Field(default=None, ge=0)
    per_100000: float | None = Field(default=None, ge=0)
    per_million: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, name) is not None for name in PER) != 1:
            raise ValueError(f"expected exactly one of {', '.join(PER)}")
        return self

    @property
    def value(self) -> float:
        """Events per person-year."""
        return next(getattr(self, name) * factor for name, factor in PER.items() if getattr(self, name) is not None)


class Incidence(Rated):
    """New cases of a condition, or episodes of a kind, per year and person of these ages, ill or not."""

    of: str = Field(description="Id of a condition or an episode.")

    @property
    def name(self) -> str:
        """What it is of."""
        return self.of


class Quantile(Figure):
    """Quantiles, or mean and standard deviation, of single readings in the population."""

    item: str = Field(description="An item of the catalogue that is read from a process, or the process.")
    unit: str | None = Field(default=None, description="UCUM; the catalogue's where None.")
    p05: float | None = None
    p10: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    mean: float | None = None
    sd: Positive | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if (self.mean is None) != (self.sd is None):
            raise ValueError("expected mean and sd together")
        if bool(self.given) == (self.mean is not None):
            raise ValueError(f"expected either mean and sd, or some of {', '.join(QUANTILES)}")
        return self

    @property
    def name(self) -> str:
        """What it is of."""
        return self.item

    @property
    def given(self) -> dict[float, float]:
        """Probability -> value, of the quantiles that are given."""
        return {p: getattr(self, name) for name, p in QUANTILES.items() if getattr(self, name) is not None}


class Care(Rated):
    """Visits without admission, visits to emergency departments, or admissions, per year and person."""

    kind: Literal["visits", "emergency", "admissions"]

    @property
    def name(self) -> str:
        """What it is of."""
        return self.kind


class Stay(Part):
    """Median length of stay of those admitted."""

    of: str | None = Field(default=None, description="Id of an episode; None: all episodes alike.")
    median_days: Positive
    source: str = Field(min_length=1, description="Who says so, in what, and when.")


class Deaths(Figure):
    """Life expectancy at birth, or deaths per year and person of these ages."""

    life_expectancy: Positive | None = Field(default=None, description="Years, at birth.")
    per_1000: float | None = Field(default=None, ge=0)
    per_100000: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.life_expectancy, self.per_1000, self.per_100000)) != 1:
            raise ValueError("expected exactly one of life_expectancy, per_1000 and per_100000")
        if self.life_expectancy is not None and self.ages != (0.0, OLDEST):
            raise ValueError("expected no ages with life_expectancy: it is that at birth")
        return self

    @property
    def name(self) -> str:
        """What it is of."""
        return "deaths" if self.life_expectancy is None else "life expectancy"

    @property
    def value(self) -> float:
        """Years, or deaths per person-year."""
        if self.life_expectancy is not None:
            return self.life_expectancy
        return self.per_1000 * 1e-3 if self.per_1000 is not None else (self.per_100000 or 0.0) * 1e-5


class Aggregates(Part):
    """One calibration file.

    Examples
    --------
    >>> from ehrsatz.simulator.aggregates import Aggregates
    >>> figure = {"condition": "gout", "ages": [40, 60], "percent": 5, "source": "our register, 2024"}
    >>> Aggregates(prevalence=(figure,)).prevalence[0].value
    0.05
    """

    title: str = ""
    prevalence: tuple[Prevalence, ...] = ()
    incidence: tuple[Incidence, ...] = ()
    quantiles: tuple[Quantile, ...] = ()
    care: tuple[Care, ...] = ()
    stays: tuple[Stay, ...] = ()
    deaths: tuple[Deaths, ...] = ()

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(getattr(self, kind) for kind in KINDS):
            raise ValueError(f"expected at least one figure under {', '.join(KINDS)}")
        return self

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a calibration file."""
        return cls.model_json_schema()


FORMS: dict[str, type[Part]] = {
    "prevalence": Prevalence,
    "incidence": Incidence,
    "quantiles": Quantile,
    "care": Care,
    "stays": Stay,
    "deaths": Deaths,
}


def read_aggregates(path: str | Path) -> Aggregates:
    """Read a calibration file: .yaml, .yml or .json, or .csv with one figure per row.

    The columns of a CSV file are kind, name, age_from, age_to, sex, measure, value, unit, source; `measure` is what the
    figure would be called in YAML (percent, per_1000, p25, median_days, ...); quantiles of one cell are one row each.

    Raises
    ------
    ScenarioError
        When the file cannot be read, or an entry is wrong; with every problem by place.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ScenarioError(
            "Expected a calibration file.",
            f"{path.name} cannot be read as text.",
            "Check simulator.calibration in the scenario.",
        ) from None
    places: dict[tuple[str, int], str] = {}
    if path.suffix.lower() == ".csv":
        data: Any = _rows(path.name, text, places)
    else:
        try:
            data = load(text) or {}
        except ValueError as error:
            raise ScenarioError(
                "Expected a calibration file in YAML or JSON.", f"{path.name}: {error}", "Correct the text."
            ) from None
    try:
        return Aggregates.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(
            "Expected a calibration file of figures with ages, sex and source.",
            f"{path.name} has {error.error_count()} problem{'s' * (error.error_count() > 1)}.",
            "See docs/simulator/calibration.md for the form.",
            problems=[_problem(one, places) for one in error.errors(include_input=False, include_url=False)],
        ) from None


def _problem(error: Any, places: dict[tuple[str, int], str]) -> str:
    from ehrsatz.errors import nearest

    where = list(error["loc"])
    place = ".".join(str(one) for one in where)
    if len(where) > 1 and (where[0], where[1]) in places:
        place = f"{places[where[0], where[1]]}: {'.'.join(str(one) for one in where[2:])}"
    words = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        of = FORMS.get(str(where[0]), Aggregates)
        words = f"unknown key.{nearest(str(where[-1]), of.model_fields)}"
    return f"{place or 'file'}: {words}"


COLUMNS = ("kind", "name", "age_from", "age_to", "sex", "measure", "value", "unit", "source")
NAMES = {"prevalence": "condition", "incidence": "of", "quantiles": "item", "care": "kind", "stays": "of"}


def _rows(name: str, text: str, places: dict[tuple[str, int], str]) -> dict[str, list[dict[str, Any]]]:
    """Return the entries of a CSV file, quantiles of one cell put together."""
    reader = csv.DictReader(text.splitlines())
    found = tuple(reader.fieldnames or ())
    missing = [one for one in ("kind", "measure", "value", "source") if one not in found]
    strange = [one for one in found if one not in COLUMNS]
    problems = [f"column {one}: missing" for one in missing] + [f"column {one}: unknown" for one in strange]
    out: dict[str, list[dict[str, Any]]] = {}
    cells: dict[tuple[str, ...], dict[str, Any]] = {}
    for k, row in enumerate(reader if not problems else (), start=2):
        told = {key: (row.get(key) or "").strip() for key in COLUMNS}
        kind = told["kind"] if told["kind"] in KINDS else f"{told['kind']}s"
        if kind not in KINDS:
            problems.append(f"line {k}: expected kind to be one of {', '.join(KINDS)}")
            continue
        try:
            value = float(told["value"])
            ages = [float(told["age_from"] or 0), float(told["age_to"] or OLDEST)]
        except ValueError:
            problems.append(f"line {k}: expected numbers in value, age_from and age_to")
            continue
        entry: dict[str, Any] = {told["measure"]: value, "source": told["source"]}
        if kind != "stays" and (told["age_from"] or told["age_to"]):
            entry["ages"] = ages
        if told["sex"]:
            entry["sex"] = told["sex"]
        if told["unit"]:
            entry["unit"] = told["unit"]
        if told["name"] and kind in NAMES:
            entry[NAMES[kind]] = told["name"]
        key = (kind, *(told[one] for one in ("name", "age_from", "age_to", "sex", "unit", "source")))
        whole = cells.get(key)
        if kind == "quantiles" and whole is not None and told["measure"] not in whole:
            whole[told["measure"]] = value
            continue
        places[kind, len(out.setdefault(kind, []))] = f"line {k}"
        out[kind].append(entry)
        cells[key] = entry
    if problems:
        raise ScenarioError(
            f"Expected a calibration file with the columns {', '.join(COLUMNS)}.",
            f"{name} has {len(problems)} problems.",
            "See docs/simulator/calibration.md for the form.",
            problems=problems,
        )
    return out
