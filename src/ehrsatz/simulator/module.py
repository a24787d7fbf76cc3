"""The form of a disease module: conditions, their stages, treatments and care, and acute episodes, as data.

A module is one JSON file. Every object that holds a medical number names its `source`: a key of the module's
`sources`, which give author, title, year and where to find it. A key that begins with "assumed" marks a number that
nobody published; its text says why it was taken. Unknown keys are errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Source = Annotated[str, Field(min_length=1, description="Key of the module's sources.")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
Sex = Literal["female", "male"]
Class = Literal["wellness", "ambulatory", "urgent", "emergency", "inpatient", "virtual", "home"]
UNITS = {"share": 1.0, "percent": 1e-2, "per_1000": 1e-3, "per_100000": 1e-5, "per_million": 1e-6}


class Part(BaseModel):
    """What all parts share: frozen, and no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Table(Part):
    """A figure by age band and sex: band i reaches from ages[i] to ages[i + 1], the last one is open."""

    ages: tuple[float, ...] = Field(min_length=1, description="Lower ends of the age bands, in years.")
    female: tuple[NonNegative, ...] | None = Field(default=None, description="One figure per band.")
    male: tuple[NonNegative, ...] | None = Field(default=None, description="One figure per band.")
    unit: Literal["share", "percent", "per_1000", "per_100000", "per_million"] = "share"
    source: Source

    @model_validator(mode="after")
    def _bands(self) -> Self:
        if list(self.ages) != sorted(set(self.ages)):
            raise ValueError("expected ages in rising order")
        for values in (self.female, self.male):
            if values is not None and len(values) != len(self.ages):
                raise ValueError(f"expected one figure per age band ({len(self.ages)})")
        if self.female is None and self.male is None:
            raise ValueError("expected figures for at least one sex")
        return self

    def of(self, sex: Sex) -> tuple[float, ...]:
        """Return the figures of one sex as plain shares or rates per year, one per band; zeros where it has none."""
        values = self.female if sex == "female" else self.male
        return tuple((values or (0.0,) * len(self.ages))[i] * UNITS[self.unit] for i in range(len(self.ages)))


class Risk(Part):
    """Something that multiplies a rate.

    `factor` is a condition or episode of any module (active now; with `ever`, at any time before; with
    `within_years`, that long after an episode), a process (per `per` units above `start`; natural level, or with
    ".treated" what treatment made of it), or an attribute of the person (smoking, alcohol, activity, education, income
    quintile, insurance, race, adherence) with a ratio per level in `levels`.
    """

    factor: str
    ratio: Positive | None = None
    per: Positive | None = None
    start: float | None = None
    levels: dict[str, Positive] | None = None
    ever: bool = False
    within_years: Positive | None = None
    source: Source

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.ratio is None) == (self.levels is None):
            raise ValueError("expected either ratio or levels")
        if (self.per is None) != (self.start is None):
            raise ValueError("expected per and start together")
        return self


class Effect(Part):
    """What a condition, stage, treatment or episode does to a process.

    Exactly one of: `shift` (added, in the process's unit), `ratio` (multiplied), or `low` with `high` (the level lies
    between them, by the person's own rank). `years`: how long until the full effect. `healthy_min` / `healthy_max`:
    where people without this condition stay. Of treatments, the effect is that at full adherence.
    """

    process: Name
    shift: float | None = None
    ratio: Positive | None = None
    low: float | None = None
    high: float | None = None
    years: NonNegative = 0.0
    healthy_min: float | None = None
    healthy_max: float | None = None
    source: Source

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("expected low and high together")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("expected low below high")
        if sum(one is not None for one in (self.shift, self.ratio, self.low)) != 1:
            raise ValueError("expected exactly one of shift, ratio, and low with high")
        return self


class Mortality(Part):
    """Deaths a year that the condition adds to everybody's, and the cause that a certificate names."""

    per_year: NonNegative = 0.0
    first_year: NonNegative | None = Field(default=None, description="Rate in the first year; per_year where None.")
    per_year_by_age: Table | None = Field(default=None, description="Instead of per_year.")
    cause: str = Field(description="ICD-10-CM code.")
    source: Source


class Stage(Part):
    """One stage of a condition. Stages are in order: people start in one (`at_onset`) and move to the next."""

    id: Name
    title: str
    icd10: str | None = None
    snomed: str | None = None
    at_onset: Share = Field(description="Share that begins here; over all stages they sum to 1.")
    per_year: NonNegative = Field(default=0.0, description="Rate of moving here from the stage before.")
    risk: tuple[Risk, ...] = ()
    effects: tuple[Effect, ...] = ()
    mortality: Mortality | None = None
    source: Source


class Treatment(Part):
    """A drug of a condition: who gets it, when, how, what it does, and how it ends.

    Without `after`, it begins `delay_years` (median, exponential) after the diagnosis or after `stage` is reached; with
    `after`, it follows that treatment at `per_year`, doubled while the process of `above` is beyond its level;
    `instead` ends the former. `days` makes it a course of that length, else it goes on until it is stopped or the
    condition ends.
    """

    id: Name
    rxnorm: str
    dose: Positive
    dose_unit: str = Field(description="UCUM, as in mg, [IU], mL, {tbl}.")
    route: Literal[
        "oral",
        "subcutaneous",
        "intravenous",
        "intramuscular",
        "inhalation",
        "topical",
        "nasal",
        "sublingual",
        "transdermal",
        "ophthalmic",
        "rectal",
        "otic",
        "vaginal",
        "intravitreal",
    ]
    per_day: Positive
    share: Share = Field(description="Share of those in question who ever get it.")
    stage: Name | None = Field(default=None, description="Only from this stage on.")
    until_stage: Name | None = Field(default=None, description="Not for those who have reached this stage when due.")
    delay_years: NonNegative = 0.05
    after: Name | None = None
    instead: bool = False
    per_year: NonNegative = Field(default=0.0, description="Rate of stepping up to it, with `after`.")
    above: tuple[Name, float] | None = Field(
        default=None, description="Stepping up doubles while this process is above this level."
    )
    days: Positive | None = None
    effects: tuple[Effect, ...] = ()
    stop_per_year: NonNegative = 0.0
    stop_reasons: dict[str, Share] = Field(default_factory=dict, description="Sum to 1.")
    avoid: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")], ...] = Field(
        default=(), description="Conditions that rule it out, from a stage on as in 'ckd.stage_4', or 'pregnancy'."
    )
    ages: tuple[float, float] | None = None
    sex: Sex | None = None
    monitor: tuple[Name, ...] = Field(default=(), description="Panels ordered when it begins, and yearly.")
    source: Source

    @model_validator(mode="after")
    def _sums(self) -> Self:
        if self.stop_reasons and abs(sum(self.stop_reasons.values()) - 1) > 1e-6:
            raise ValueError("expected stop_reasons to sum to 1")
        if self.per_year and self.after is None:
            raise ValueError("expected `after` with per_year")
        return self


class Procedure(Part):
    """Something done: once at the diagnosis (`share`), or again and again (`per_year`) while the condition lasts."""

    snomed: str
    share: Share = 1.0
    per_year: NonNegative | None = None
    delay_years: NonNegative = 0.0
    stage: Name | None = None
    until_stage: Name | None = Field(default=None, description="Not for those who have reached this stage when due.")
    visit: Class = "ambulatory"
    minutes: Positive = 30.0
    stay_days: Positive | None = Field(default=None, description="Median; for visit inpatient.")
    device: str | None = Field(default=None, description="SNOMED CT code of a device that stays.")
    effects: tuple[Effect, ...] = ()
    source: Source


class Imaging(Part):
    """An imaging study with the text of its report; `{age}`, `{sex}` and `{side}` are filled in."""

    loinc: str | None = None
    snomed: str | None = None
    modality: Literal["CR", "CT", "MR", "US", "MG", "NM", "PT", "XA", "DX", "ECG", "OP", "ES"]
    body_site: str
    share: Share = 1.0
    per_year: NonNegative | None = None
    stage: Name | None = None
    until_stage: Name | None = Field(default=None, description="Not for those who have reached this stage when due.")
    report: tuple[str, ...] = Field(min_length=1, description="Texts to choose from, our own words.")
    source: Source

    @model_validator(mode="after")
    def _code(self) -> Self:
        if (self.loinc is None) == (self.snomed is None):
            raise ValueError("expected either loinc or snomed")
        return self


class Monitoring(Part):
    """A panel of measurements that is repeated while the condition lasts."""

    panel: Name
    months: Positive
    stage: Name | None = None
    source: Source


class Goal(Part):
    """A goal of care: a measurement's wanted range."""

    description: str
    item: Name | None = Field(default=None, description="Item of the catalogue of observations.")
    low: float | None = None
    high: float | None = None


class Careplan(Part):
    """A plan of care with its goals."""

    snomed: str
    share: Share = 1.0
    goals: tuple[Goal, ...] = ()
    source: Source


class Condition(Part):
    """A lasting condition: how often, in whom, its course, what it does and how it is cared for."""

    id: Name
    title: str
    icd10: str
    snomed: str | None = Field(default=None, description="None where the subset of SNOMED CT has no such code.")
    prevalence: Table | None = Field(default=None, description="Share of the living that has it, as diagnosed.")
    incidence: Table | None = Field(default=None, description="New cases per person-year.")
    birth: Table | None = Field(default=None, description="Share born with it; one age band from 0.")
    sex: Sex | None = None
    ages: tuple[float, float] = (0.0, 120.0)
    requires: tuple[Name, ...] = Field(default=(), description="One of these conditions or episodes must come before.")
    excludes: tuple[Name, ...] = Field(default=(), description="Who has one of these cannot get it.")
    risk: tuple[Risk, ...] = ()
    remission_per_year: NonNegative = 0.0
    remission_after_years: NonNegative = Field(default=0.0, description="None before so long after the onset.")
    remission_until_stage: Name | None = Field(default=None, description="None from this stage on.")
    remission_source: Source | None = None
    ends_with: tuple[Name, ...] = Field(default=(), description="It ends when one of these conditions begins.")
    stages: tuple[Stage, ...] = ()
    delay_years: NonNegative = Field(default=0.0, description="From onset to diagnosis, median.")
    found_at: Class = "ambulatory"
    found_stay_days: Positive | None = Field(default=None, description="Median, where found_at is inpatient.")
    specialty: str = "family medicine"
    visits_per_year: NonNegative = 0.0
    mortality: Mortality | None = None
    effects: tuple[Effect, ...] = ()
    treatments: tuple[Treatment, ...] = ()
    monitoring: tuple[Monitoring, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    imaging: tuple[Imaging, ...] = ()
    careplan: Careplan | None = None
    rare: bool = Field(default=False, description="A rare disease: may be enriched, and is not judged by bands.")
    source: Source = Field(description="Of visits, delay and whatever has no source of its own.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if sum(one is not None for one in (self.prevalence, self.incidence, self.birth)) != 1:
            raise ValueError("expected exactly one of prevalence, incidence and birth")
        if self.stages and abs(sum(stage.at_onset for stage in self.stages) - 1) > 1e-6:
            raise ValueError("expected at_onset of the stages to sum to 1")
        if self.ages[0] >= self.ages[1]:
            raise ValueError("expected ages as lowest, highest")
        if self.remission_per_year and self.remission_source is None:
            raise ValueError("expected remission_source with remission_per_year")
        return self


class Care(Part):
    """Where an episode is cared for: shares by age band; they sum to 1 in every band; the rest is never."""

    ages: tuple[float, ...] = (0.0,)
    shares: dict[Class | Literal["none"], tuple[Share, ...]]
    source: Source

    @model_validator(mode="after")
    def _sums(self) -> Self:
        for i in range(len(self.ages)):
            if any(len(values) != len(self.ages) for values in self.shares.values()):
                raise ValueError(f"expected one share per age band ({len(self.ages)})")
            if abs(sum(values[i] for values in self.shares.values()) - 1) > 1e-6:
                raise ValueError(f"expected the shares of band {i} to sum to 1")
        return self


class Course(Part):
    """How a process runs through an episode: the deviation at its peak, when, and how fast it goes back."""

    process: Name
    shift: float | None = None
    ratio: Positive | None = None
    spread: NonNegative = Field(default=0.3, description="Relative spread between people (log-normal sigma).")
    peak_days: NonNegative = 1.0
    half_life_days: Positive = 3.0
    source: Source

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.shift is None) == (self.ratio is None):
            raise ValueError("expected either shift or ratio")
        return self


class Returns(Part):
    """The share of those discharged that is admitted with the same again within 30 days."""

    share: Share
    source: Source


class Episode(Part):
    """Something acute that comes, is cared for and goes; it may come again."""

    id: Name
    title: str
    icd10: str
    snomed: str | None = Field(default=None, description="None where the subset of SNOMED CT has no such code.")
    incidence: Table
    sex: Sex | None = None
    ages: tuple[float, float] = (0.0, 120.0)
    requires: tuple[Name, ...] = ()
    excludes: tuple[Name, ...] = ()
    once: bool = Field(default=False, description="At most once in a life, as an appendicitis.")
    gap_days: NonNegative = Field(default=30.0, description="Least time between two.")
    risk: tuple[Risk, ...] = ()
    months: tuple[NonNegative, ...] | None = Field(default=None, description="Twelve weights, January first.")
    years: dict[int, NonNegative] | None = Field(default=None, description="Factor by calendar year; else 1.")
    first_year: int | None = Field(default=None, description="None before this calendar year, as COVID-19.")
    phase: tuple[float, float] | None = Field(
        default=None,
        description="Of what requires pregnancy: when it begins, in shares of the pregnancy; beyond 1 is after birth. "
        "Its incidence is then per pregnancy.",
    )
    days: Positive = Field(description="Median length.")
    spread: NonNegative = 0.4
    care: Care
    specialty: str = "family medicine"
    stay_days: Positive | None = Field(default=None, description="Median stay of those admitted.")
    stay_spread: NonNegative = 0.6
    returns: Returns | None = None
    icu_share: Share = Field(default=0.0, description="Of those admitted.")
    icu_days: Positive = 3.0
    fatality: Table | None = Field(default=None, description="Deaths per episode, by age.")
    course: tuple[Course, ...] = ()
    panels: tuple[Name, ...] = Field(default=(), description="Measured at the visit; daily in hospital.")
    treatments: tuple[Treatment, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    imaging: tuple[Imaging, ...] = ()
    source: Source

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.months is not None and (len(self.months) != 12 or sum(self.months) <= 0):
            raise ValueError("expected twelve weights in months")
        if ("pregnancy" in self.requires) != (self.phase is not None):
            raise ValueError("expected phase in what requires pregnancy, and nowhere else")
        if "inpatient" in self.care.shares and self.stay_days is None:
            raise ValueError("expected stay_days where some are admitted")
        if self.returns and (self.once or self.phase is not None or "inpatient" not in self.care.shares):
            raise ValueError("expected returns only of what admits people, comes more than once, and not in pregnancy")
        return self


class Screening(Part):
    """A test of healthy people at check-ups: who is due, how often, and the share that has it when due.

    Exactly one of: `panel` (measured), `procedure` (done) and `imaging` (ordered and reported); the `share` of the
    latter two is 1, and they neither repeat nor belong to a stage.
    """

    id: Name
    title: str
    ages: tuple[float, float] = Field(description="From the first until the second age, in years.")
    sex: Sex | None = None
    every_years: Positive
    share: Share
    among: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Attribute -> levels of those in question, as in smoking."
    )
    excludes: tuple[Name, ...] = Field(default=(), description="Not for those who have or had one of these.")
    panel: Name | None = None
    procedure: Procedure | None = None
    imaging: Imaging | None = None
    source: Source

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.panel, self.procedure, self.imaging)) != 1:
            raise ValueError("expected exactly one of panel, procedure and imaging")
        for part in (self.procedure, self.imaging):
            if part is not None and (part.share != 1 or part.per_year or part.stage or part.until_stage):
                raise ValueError("expected neither share, per_year nor stage in what is done at a screening")
        if self.ages[0] >= self.ages[1]:
            raise ValueError("expected ages as lowest, highest")
        return self


class Module(Part):
    """One file of medical knowledge."""

    module: Name
    title: str
    about: str = ""
    sources: dict[str, str] = Field(description="Key -> author, title, year and where to find it; or why assumed.")
    conditions: tuple[Condition, ...] = ()
    episodes: tuple[Episode, ...] = ()
    screenings: tuple[Screening, ...] = ()

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        named = set(_sources(self.model_dump(exclude={"sources"})))
        unknown = sorted(named - set(self.sources))
        if unknown:
            raise ValueError(f"expected every source among the module's sources; absent: {', '.join(unknown)}")
        unused = sorted(set(self.sources) - named)
        if unused:
            raise ValueError(f"expected every source to be used; unused: {', '.join(unused)}")
        for key, text in self.sources.items():
            if not key.startswith("assumed") and not any(f"{y}" in text for y in range(1900, 2100)):
                raise ValueError(f"expected the year in source '{key}'")
        return self

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a module file."""
        return cls.model_json_schema()


def _sources(data: Any) -> list[str]:
    if isinstance(data, dict):
        found = [data[key] for key in ("source", "remission_source") if isinstance(data.get(key), str)]
        return found + [name for value in data.values() for name in _sources(value)]
    if isinstance(data, (list, tuple)):
        return [name for value in data for name in _sources(value)]
    return []
