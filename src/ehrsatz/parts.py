"""The parts of a scenario: what to read, whom to simulate, what to learn by, what to measure, where to write."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

BUNDLED = ("heart_disease_uci",)


class Part(BaseModel):
    """What all parts share: frozen, unknown keys refused, `null` means the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, Mapping) else data


class SourcePart(Part):
    """What to read: exactly one of path, url, bundled (the bundled public table where none is named)."""

    path: str | None = Field(default=None, description="CSV or Parquet file, or a folder of them.")
    url: str | None = Field(
        default=None, description="Database as a SQLAlchemy URL; a password is better left to the driver."
    )
    bundled: str | None = Field(default=None, description=f"A table that ships with ehrsatz: {', '.join(BUNDLED)}.")
    name: str | None = Field(default=None, description="Name of the dataset; the file's name where none is given.")
    subject: str | None = Field(
        default=None, description="Column that says whose row it is; without one, each row is its own."
    )
    target: str | None = Field(
        default=None, description="Column that a prediction model would learn; judged by utility."
    )
    tables: tuple[str, ...] = Field(default=(), description="Tables of a database to read; all where none is named.")
    schema_file: str | None = Field(
        default=None, alias="schema", description="A schema.yaml that wins over what is inferred."
    )
    sample_subjects: int | None = Field(default=None, ge=2, description="Read that many subjects, drawn by the seed.")
    format: str | None = Field(default=None, description="Clinical format, as fhir; found by the files where none.")
    mapping: str | None = Field(default=None, description="Mapping file that makes clinical tables of your own.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.path, self.url, self.bundled)) > 1:
            raise ValueError("expected only one of path, url and bundled")
        if self.bundled is not None and self.bundled not in BUNDLED:
            raise ValueError(f"expected bundled to be one of: {', '.join(BUNDLED)}")
        return self


class WantedPart(Part):
    """One condition or episode that everybody of a group has."""

    id: str = Field(description="Id of a condition or an episode; list them with: ehrsatz doctor --list conditions")
    stage: str | None = Field(default=None, description="Stage at the index date, and no later one.")
    onset: tuple[datetime.date, datetime.date] | None = Field(default=None, description="It began between these days.")

    @field_validator("stage", mode="before")
    @classmethod
    def _number_alone(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class GroupPart(Part):
    """So many people who all fit one description, exactly."""

    n: int = Field(ge=1, description="How many.")
    sex: Literal["female", "male"] | None = Field(default=None, description="All of this sex.")
    age: tuple[float, float] | None = Field(default=None, description="Age in years at the index date, from and to.")
    conditions: tuple[WantedPart, ...] = Field(default=(), description="All of them have these at the index date.")
    without: tuple[str, ...] = Field(default=(), description="None of them ever has one of these.")
    medications: tuple[str, ...] = Field(default=(), description="All of them take these at the index date.")
    index: tuple[datetime.date, datetime.date] | None = Field(
        default=None, description="The index date lies between these days; the reference date where None."
    )

    @field_validator("conditions", mode="before")
    @classmethod
    def _ids_alone(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [{"id": one} if isinstance(one, str) else one for one in value]
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.age is not None and not 0 <= self.age[0] < self.age[1] <= 110:
            raise ValueError("expected age as two rising years between 0 and 110")
        for name, pair in (("index", self.index), *((f"onset of {one.id}", one.onset) for one in self.conditions)):
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"expected {name} as two days, the earlier first")
        return self


class MissingPart(Part):
    """Measurements that are absent from the record, by a known mechanism."""

    item: str = Field(description="Item or panel of the catalogue, as in hba1c.")
    share: float = Field(gt=0, le=1, description="Share of its rows that is absent.")
    mechanism: Literal["MCAR", "MAR", "MNAR"] = Field(
        default="MCAR", description="Independent of all; of what is seen (`by`); or of the value itself."
    )
    by: Literal["age", "sex", "insurance", "income"] = Field(default="age", description="What MAR hangs on.")
    above: bool = Field(default=True, description="Whether the higher are more often absent (three to one).")


class SimulatorPart(Part):
    """Patients from knowledge alone: who, where, when, how many with what."""

    locale: str = Field(default="us", description="A bundled country (us, uk) or the folder of one.")
    reference: datetime.date = Field(default=datetime.date(2025, 12, 31), description="The day the records end.")
    history_years: float = Field(
        default=10.0, gt=0, le=60, description="People alive that long ago, or born since; deaths since then are in."
    )
    record_years: float | Literal["life"] = Field(
        default=10.0,
        description="Years of routine care in the record, or life; diagnoses and admissions are there from birth.",
    )
    modules: str | None = Field(default=None, description="Folder with more disease modules.")
    only: tuple[str, ...] = Field(default=(), description="Tables to write; all where none is named.")
    groups: tuple[GroupPart, ...] = Field(default=(), description="Exact quotas; the rest are drawn freely.")
    prevalence: dict[str, float] = Field(
        default_factory=dict,
        description="Condition -> share of the living adults that has it, instead of the published.",
    )
    enrich: dict[str, float] = Field(
        default_factory=dict, description="Condition -> exact share of the cohort that has it, as of a rare disease."
    )
    missing: tuple[MissingPart, ...] = Field(default=(), description="What is absent from the records.")
    edge_cases: Literal["all"] | tuple[str, ...] = Field(
        default=(), description="Patients that break software, by name or all; they are the first of the cohort."
    )
    calibration: str | None = Field(default=None, description="File of figures to pull the population to.")
    cpt: str | None = Field(default=None, description="A licensed user's file that maps procedures to CPT codes.")

    @field_validator("edge_cases", mode="before")
    @classmethod
    def _all_of_them(cls, value: Any) -> Any:
        if isinstance(value, str):
            return value if value == "all" else (value,)
        return "all" if isinstance(value, (list, tuple)) and "all" in value else value

    @field_validator("record_years")
    @classmethod
    def _positive(cls, value: Any) -> Any:
        if value != "life" and not value > 0:
            raise ValueError("expected a number of years above 0, or life")
        return value

    @model_validator(mode="after")
    def _shares(self) -> Self:
        for name, shares in (("prevalence", self.prevalence), ("enrich", self.enrich)):
            wrong = sorted(key for key, value in shares.items() if not 0 < value < 1)
            if wrong:
                raise ValueError(f"expected shares between 0 and 1 in {name}; others: {', '.join(wrong)}")
        return self


class GeneratorPart(Part):
    """Which method fabricates, with its parameters."""

    name: str = Field(
        default="trees", description="A registered generator; list them with: ehrsatz doctor --list generators"
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="Keyword parameters of that generator.")


class EvaluationPart(Part):
    """What is measured. Switched off, nothing counts as passed and the release is held."""

    enabled: bool = Field(default=True, description="Measure the synthetic data before the gate.")
    metrics: tuple[str, ...] = Field(default=(), description="Names of metrics; all where none is named.")
    groups: tuple[str, ...] = Field(
        default=(), description="Columns whose levels are subgroups; by disclosure class where none is named."
    )
    duration: str | None = Field(default=None, description="Column of follow-up time, for survival analyses.")
    event: str | None = Field(default=None, description="Column that says whether follow-up ended in the event.")
    formulas: tuple[str, ...] = Field(default=(), description="Regressions to repeat, as in 'died ~ age + C(sex)'.")
    quasi: tuple[str, ...] = Field(
        default=(), description="Columns that an attacker may know; disclosure class quasi where none is named."
    )
    secrets: tuple[str, ...] = Field(
        default=(), description="Columns that an attacker wants; disclosure class sensitive where none is named."
    )
    umap: bool = Field(default=False, description="Draw the UMAP view too; needs the extra 'umap'.")


class OutputPart(Part):
    """Where and in which formats to write."""

    folder: str = Field(default="release", description="A new or empty folder.")
    formats: tuple[str, ...] = Field(
        default=("csv",), min_length=1, description="Names of exporters: csv, parquet, fhir, ..."
    )
    mapping: str | None = Field(default=None, description="Mapping file of the format layout: your own tables.")
    athena: str | None = Field(default=None, description="Folder of OMOP vocabularies, as downloaded from Athena.")
    study_drug: str | None = Field(
        default=None, description="What the study of SDTM gives: RxNorm code or part of a name."
    )
    cost: bool = Field(
        default=False, description="Write what the run took into the release; its bytes then differ from run to run."
    )
    keep_denied: bool = Field(default=False, description="Keep the synthetic rows even where the gate denies them.")
    date: datetime.date | None = Field(default=None, description="Date that the documents of the release carry.")
    licence: str | None = Field(default=None, description="SPDX name or address of the licence of the release.")
    publisher: str | None = Field(default=None, description="Who publishes the release.")
    contact: str | None = Field(default=None, description="Where questions go: an address of mail or page.")
