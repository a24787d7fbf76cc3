"""A run described as data: what to read, how to fabricate, what to judge by, where to write.

A scenario is YAML, read into frozen models. An unknown key is an error with the nearest match; `null` means "default",
`0` and `""` mean themselves. `Scenario.json_schema()` describes the file to an editor. Error messages name keys and
what is expected, never the value found.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.markup import load

BUNDLED = ("heart_disease_uci",)
COHORTS = (  # bundled scenarios of simulated patients
    "clinic",
    "diabetes-registry",
    "icu-sepsis",
    "oncology",
    "maternity",
    "paediatrics",
    "rare-disease",
    "readmission",
    "elderly-polypharmacy",
)
_LEARNING = ("source", "generator", "given", "copies", "evaluation", "train_fraction", "time_budget")
PATIENTS = 1_000  # of a simulated cohort, where a scenario does not say
_PLACES = ("source.path", "source.url", "source.bundled")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, Mapping) else data


class SourcePart(_Part):
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


class WantedPart(_Part):
    """One condition or episode that everybody of a group has."""

    id: str = Field(description="Id of a condition or an episode; list them with: ehrsatz doctor --list conditions")
    stage: str | None = Field(default=None, description="Stage at the index date, and no later one.")
    onset: tuple[datetime.date, datetime.date] | None = Field(default=None, description="It began between these days.")

    @field_validator("stage", mode="before")
    @classmethod
    def _number_alone(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class GroupPart(_Part):
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


class MissingPart(_Part):
    """Measurements that are absent from the record, by a known mechanism."""

    item: str = Field(description="Item or panel of the catalogue, as in hba1c.")
    share: float = Field(gt=0, le=1, description="Share of its rows that is absent.")
    mechanism: Literal["MCAR", "MAR", "MNAR"] = Field(
        default="MCAR", description="Independent of all; of what is seen (`by`); or of the value itself."
    )
    by: Literal["age", "sex", "insurance", "income"] = Field(default="age", description="What MAR hangs on.")
    above: bool = Field(default=True, description="Whether the higher are more often absent (three to one).")


class SimulatorPart(_Part):
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


class GeneratorPart(_Part):
    """Which method fabricates, with its parameters."""

    name: str = Field(
        default="trees", description="A registered generator; list them with: ehrsatz doctor --list generators"
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="Keyword parameters of that generator.")


class EvaluationPart(_Part):
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


class OutputPart(_Part):
    """Where and in which formats to write."""

    folder: str = Field(default="release", description="A new or empty folder.")
    formats: tuple[str, ...] = Field(
        default=("csv",), min_length=1, description="Names of exporters: csv, parquet, fhir, ..."
    )
    mapping: str | None = Field(default=None, description="Mapping file of the format layout: your own tables.")
    athena: str | None = Field(default=None, description="Folder of OMOP vocabularies, as downloaded from Athena.")
    cost: bool = Field(
        default=False, description="Write what the run took into the release; its bytes then differ from run to run."
    )
    keep_denied: bool = Field(default=False, description="Keep the synthetic rows even where the gate denies them.")
    date: datetime.date | None = Field(default=None, description="Date that the documents of the release carry.")
    licence: str | None = Field(default=None, description="SPDX name or address of the licence of the release.")
    publisher: str | None = Field(default=None, description="Who publishes the release.")
    contact: str | None = Field(default=None, description="Where questions go: an address of mail or page.")


class Scenario(_Part):
    """One run of the main flow.

    Parameters
    ----------
    source, generator, evaluation, output
        The four parts; a text for `generator` is its name, for `source` its path.
    simulator
        Patients from knowledge alone; then nothing is read and no generator learns.
    name
        Title of the run in the report.
    seed
        Decides every draw of the run.
    train_fraction
        Share of subjects to learn from, in (0, 1). The rest are the holdout: unseen real rows by which fidelity,
        utility and privacy are judged. The default 0.5 makes train and holdout equally large, which the privacy
        measures need to be exact.
    n
        Subjects to fabricate; as many as were learned from where None. More rows tell more about those people: in
        trials, doubling n raised the AUC of membership inference by 0.01 to 0.03.
    copies
        Synthetic copies of n subjects each, one after the other: a statistician's multiple synthesis. All of them are
        attacked and released together.
    given
        Conditions on the fabricated rows: column -> value, {min, max}, {any: [...]} or {share: {value: p}}.
    policy
        Name of a policy that ships with ehrsatz, path of a policy file, or the policy itself; the default one where
        None.
    workers
        Threads that sample and measure; the result does not depend on it.
    time_budget
        Seconds that the generator `auto` may spend on choosing; None means its own default.
    """

    name: str | None = Field(default=None, description="Title of the run in the report.")
    source: SourcePart = Field(default_factory=SourcePart)
    simulator: SimulatorPart | None = Field(
        default=None, description="Patients from knowledge alone, instead of a source."
    )
    seed: int = Field(default=0, description="Decides every draw of the run.")
    train_fraction: float = Field(
        default=0.5, gt=0, lt=1, description="Share of subjects to learn from; the rest judge."
    )
    generator: GeneratorPart = Field(default_factory=GeneratorPart)
    n: int | None = Field(
        default=None, ge=1, description="Subjects to fabricate; as many as were learned from by default."
    )
    copies: int = Field(default=1, ge=1, le=100, description="Synthetic copies of n subjects each.")
    given: dict[str, Any] = Field(default_factory=dict, description="Conditions on the fabricated rows.")
    evaluation: EvaluationPart = Field(default_factory=EvaluationPart)
    policy: str | dict[str, Any] | None = Field(default=None, description="Name of a policy, a file, or inline.")
    output: OutputPart = Field(default_factory=OutputPart)
    workers: int = Field(default=1, ge=1, description="Threads that sample and measure; never changes the result.")
    time_budget: float | None = Field(default=None, gt=0, description="Seconds for the generator 'auto' to choose.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        learning = ("source", "generator", "given", "copies", "evaluation", "train_fraction", "time_budget")
        fields = type(self).model_fields
        wrong = [
            name for name in learning if getattr(self, name) != fields[name].get_default(call_default_factory=True)
        ]
        if self.simulator is not None and wrong:
            raise ValueError(
                f"expected either simulator, or keys of a run that learns from a table; both found: {', '.join(wrong)}"
            )
        return self

    @field_validator("source", mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("generator", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def from_dict(cls, data: Any) -> Scenario:
        """Read a scenario from plain mappings.

        Raises
        ------
        ScenarioError
            With every unknown key and wrong value, by place.
        """
        if not isinstance(data, Mapping):
            raise ScenarioError(
                "Expected a scenario as a mapping of keys.", f"It is of type {type(data).__name__}.", _SEE
            )
        return validated(cls, data, "scenario")

    @classmethod
    def from_yaml(cls, text: str) -> Scenario:
        """Read a scenario from YAML text.

        Raises
        ------
        ScenarioError
            When the text is no YAML, has an unknown key or a wrong value.
        """
        return cls.from_dict(read_yaml(text, "a scenario") or {})

    @classmethod
    def example(cls) -> Scenario:
        """Return the run on the bundled public table, UCI heart disease."""
        return cls.from_file(Path(__file__).parent / "bundled" / f"{BUNDLED[0]}.yaml")

    @classmethod
    def cohort(cls, name: str = COHORTS[0]) -> Scenario:
        """Return a bundled scenario of simulated patients; the first is what `ehrsatz fabricate` makes by itself.

        Raises
        ------
        ScenarioError
            When none has this name.
        """
        if name not in COHORTS:
            raise ScenarioError(
                f"Expected a bundled scenario: {', '.join(COHORTS)}.",
                f"'{name}' is none of them.{nearest(name, COHORTS)}",
                "Name one of these, or a scenario file.",
            )
        return cls.from_file(cohort_file(name))

    @classmethod
    def from_file(cls, path: str | Path) -> Scenario:
        """Read a scenario file.

        Paths of source, schema and policy are taken relative to the file's folder, the output folder relative to the
        current one. A policy without folder or suffix is the name of one that ships with ehrsatz.

        Raises
        ------
        ScenarioError
            When the file cannot be read, or is no scenario.
        """
        base = Path(path).parent
        data = cls.from_yaml(read_text(path, "a scenario file"))
        source = data.source
        return data.changed(
            {
                "source.path": source.path and str(base / source.path),
                "source.schema": source.schema_file and str(base / source.schema_file),
                "source.mapping": source.mapping and str(base / source.mapping),
                "policy": str(base / data.policy) if isinstance(data.policy, str) and _is_path(data.policy) else None,
                **_beside(base, data.simulator),
                **{f"output.{key}": str(base / value) for key, value in data.settings.items()},
            }
        )

    def changed(self, changes: Mapping[str, Any]) -> Scenario:
        """Return the scenario with some values replaced.

        Parameters
        ----------
        changes
            Dotted key -> new value, as in {"source.path": "a.csv"}; None leaves a key as it is.

        Raises
        ------
        ScenarioError
            When the result is no valid scenario.
        """
        data = self.to_dict()
        for dotted, value in changes.items():
            if value is None:
                continue
            part = data
            *way, last = dotted.split(".")
            for key in way:
                part = part.setdefault(key, {})
            if dotted in _PLACES:
                for other in _PLACES:
                    part.pop(other.rpartition(".")[2], None)  # a new place takes the place of the old one
            part[last] = value
        return type(self).from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types that `from_dict` reads back; keys at their default are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    @property
    def n_patients(self) -> int:
        """Size of a simulated cohort: n, or the people of all groups, 1,000 at the least."""
        groups = () if self.simulator is None else self.simulator.groups
        return self.n or max(PATIENTS, sum(group.n for group in groups))

    def public(self) -> dict[str, Any]:
        """Return what a release may say about the run: no path, no URL, nothing that cannot change the result."""
        data = self.model_dump(mode="json", by_alias=True)
        for key in ("path", "url", "schema", "mapping"):
            data["source"].pop(key)
        if data.get("simulator"):
            for key in ("modules", "calibration", "cpt"):
                if data["simulator"][key] is not None:
                    data["simulator"][key] = "given"  # a path; what it holds stands in the fingerprint of the run
        for key in ("mapping", "athena"):
            if data["output"].pop(key) is not None:
                data["output"][key] = "given"
        del data["workers"], data["output"]["folder"], data["output"]["keep_denied"]
        if isinstance(self.policy, str):
            del data["policy"]  # a path; the policy itself stands in the verdict
        return data

    @property
    def settings(self) -> dict[str, str]:
        """What exporters are told besides the rows: paths of a mapping file and of a vocabulary."""
        told = {"mapping": self.output.mapping, "athena": self.output.athena}
        return {name: value for name, value in told.items() if value is not None}

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a scenario file."""
        return cls.model_json_schema(by_alias=True)


def cohort_file(name: str) -> Path:
    """Return where a bundled scenario of simulated patients lies."""
    return Path(__file__).parent / "bundled" / "scenarios" / f"{name}.yaml"


def _beside(base: Path, part: SimulatorPart | None) -> dict[str, str]:
    """Return the paths of a simulator's part, relative to the scenario's folder."""
    found = {} if part is None else {"modules": part.modules, "calibration": part.calibration, "cpt": part.cpt}
    if part is not None and _is_path(part.locale):
        found["locale"] = part.locale
    return {f"simulator.{key}": str(base / value) for key, value in found.items() if value is not None}


def _is_path(text: str) -> bool:
    """Whether a text is a path and no name: it has a folder or a suffix."""
    return len(Path(text).parts) > 1 or Path(text).suffix != ""


_SEE = "See docs/reference.md, or: ehrsatz fabricate --help"


def validated(model: type[Any], data: Mapping[str, Any], what: str) -> Any:
    """Validate a mapping with a pydantic model and turn its complaints into one `ScenarioError` without values.

    Parameters
    ----------
    model
        A pydantic model class.
    data
        What was read.
    what
        Noun for the message, as in "scenario".
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_problem(model, one) for one in _telling(error)]
    raise ScenarioError(
        f"Expected a valid {what}.",
        f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found.",
        "Correct the keys named below.",
        problems=problems,
    )


def _telling(error: ValidationError) -> list[Any]:
    """Return the complaints, but none that a list is too short where one of its entries is what is wrong."""
    found = error.errors(include_input=False, include_url=False)
    wrong = {one["loc"][:depth] for one in found for depth in range(len(one["loc"]))}
    return [one for one in found if not (one["type"] == "too_short" and one["loc"] in wrong)]


def _problem(model: type[BaseModel], one: Any) -> str:
    place = ".".join(str(key) for key in one["loc"])
    if one["type"] == "extra_forbidden":
        *way, key = one["loc"]
        known = _known(model, [str(step) for step in way])
        return f"{place}: unknown key.{nearest(str(key), known)} Known: {', '.join(known)}"
    if one["type"] == "too_short":
        return f"{place}: expected at least {one['ctx']['min_length']}"
    message = str(one["msg"]).removeprefix("Value error, ")
    return f"{place or 'top level'}: {message[:1].lower()}{message[1:]}"


def _known(model: type[BaseModel], way: list[str]) -> list[str]:
    part: Any = model
    for step in way:
        found = next((one for name, one in part.model_fields.items() if step in {name, one.alias}), None)
        inner = [found.annotation, *getattr(found.annotation, "__args__", ())] if found else []
        part = next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), part)
    return [one.alias or name for name, one in part.model_fields.items()]


def read_yaml(text: str, what: str) -> Any:
    """Read YAML text, or say at which line it is none, or names a key twice.

    Raises
    ------
    ScenarioError
        When the text is no YAML.
    """
    try:
        return load(text)
    except ValueError as error:
        raise ScenarioError(f"Expected {what} in YAML.", str(error), "Correct that line.") from None


def read_text(path: str | Path, what: str) -> str:
    """Read a small text file in UTF-8.

    Raises
    ------
    ScenarioError
        When it is absent, unreadable or no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        found = "There is no such file."
    except UnicodeDecodeError:
        found = "It is no UTF-8 text."
    except OSError:
        found = "It cannot be read."
    raise ScenarioError(f"Expected {what} at '{path}'.", found, "Check the path.")
