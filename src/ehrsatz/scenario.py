"""A run described as data: what to read, how to fabricate, what to judge by, where to write.

A scenario is YAML, read into frozen models. An unknown key is an error with the nearest match; `null` means "default",
`0` and `""` mean themselves. `Scenario.json_schema()` describes the file to an editor. Error messages name keys and
what is expected, never the value found.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.markup import load
from ehrsatz.parts import (
    BUNDLED,
    EvaluationPart,
    GeneratorPart,
    OutputPart,
    Part,
    SimulatorPart,
    SourcePart,
)

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
_FILES = ("mapping", "athena")  # keys of the output that are paths
_PLACES = ("source.path", "source.url", "source.bundled")


class Scenario(Part):
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
                **{f"output.{key}": str(base / data.settings[key]) for key in _FILES if key in data.settings},
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
        for key in _FILES:
            if data["output"].pop(key) is not None:
                data["output"][key] = "given"
        del data["workers"], data["output"]["folder"], data["output"]["keep_denied"]
        if isinstance(self.policy, str):
            del data["policy"]  # a path; the policy itself stands in the verdict
        return data

    @property
    def settings(self) -> dict[str, str]:
        """What exporters are told besides the rows: paths of a mapping file and of a vocabulary, a study's drug."""
        told = {"mapping": self.output.mapping, "athena": self.output.athena, "drug": self.output.study_drug}
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
