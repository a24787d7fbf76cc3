"""What a simulated cohort is held against: every published figure, gathered from where it stands.

Prevalence and incidence stand in the modules, quantiles and correlations in the processes, life expectancy in the
life table of the country; `data/targets.json` holds what none of them has: use of care, causes of death, survival,
diseases that go together. Nothing is stated twice.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ehrsatz.clinical import CLASSES
from ehrsatz.errors import ScenarioError
from ehrsatz.simulator.catalogue import Item, catalogue
from ehrsatz.simulator.country import Life
from ehrsatz.simulator.facts import GIVEN
from ehrsatz.simulator.load import Modules, load_modules
from ehrsatz.simulator.locale import locale_of
from ehrsatz.simulator.module import Condition, Episode, Name, Part, Positive, Sex, Share, Source, Table
from ehrsatz.simulator.process import Pair as ProcessPair
from ehrsatz.simulator.process import Processes, standard

FILE = Path(__file__).parent / "data" / "targets.json"
Floats = NDArray[np.float64]
Ages = tuple[float, float]
KAPPA, ALPHA, WOMAN = (0.7, 0.9), (-0.241, -0.302), (1.012, 1.0)  # CKD-EPI 2021


class Bounds(Part):
    """How far a reached figure may lie from the published one: relative, but for correlation, years and survival."""

    prevalence: Positive
    incidence: Positive
    quantile: Positive
    correlation: Positive
    life_expectancy: Positive = Field(description="Years.")
    survival: Positive = Field(description="Difference of shares.")
    multimorbidity: Positive
    pair: Positive
    use: Positive
    cause: Positive
    source: Source


class Quantile(Part):
    """Which items' quantiles are compared; creatinine is that of the eGFR of the same table."""

    items: tuple[Name, ...]
    probabilities: tuple[Share, ...]


class Several(Part):
    """Share of people with at least so many groups of chronic conditions."""

    least: int = Field(ge=1)
    ages: Ages
    sex: Sex | None = None
    share: Share
    source: Source


class Together(Part):
    """Two diseases: the share of those who have one (`of`) that has the other, or the odds ratio."""

    of: tuple[Name, ...] = Field(min_length=1)
    having: tuple[Name, ...] = Field(min_length=1, alias="with")
    ages: Ages
    share: Share | None = None
    odds_ratio: Positive | None = Field(default=None, description="Compared with that within age and sex.")
    source: Source

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.share is None) == (self.odds_ratio is None):
            raise ValueError("expected either share or odds_ratio")
        return self


class Use(Part):
    """Encounters of some classes per person and year."""

    title: str
    classes: tuple[Literal["wellness", "ambulatory", "urgent", "emergency", "inpatient", "icu", "virtual", "home"], ...]
    ages: Ages
    per_year: Positive
    source: Source


class Stays(Part):
    """Length of hospital stays, and the share that is followed by another within 30 days."""

    mean_days: Positive
    days_source: Source
    readmitted: Share
    readmitted_source: Source


class Survival(Part):
    """Five-year relative survival of a condition, or of those diagnosed in one stage."""

    condition: Name
    stage: Name | None = None
    share: Share
    source: Source


class Cause(Part):
    """Share of all deaths by cause: ICD-10 categories, or ranges of them."""

    title: str
    codes: tuple[str, ...] = Field(min_length=1)
    share: Share
    source: Source

    def holds(self, code: str) -> bool:
        """Return whether an ICD-10-CM code belongs to it."""
        head = code[:3]
        return any(low <= head <= (high or low) for low, _, high in (one.partition("-") for one in self.codes))


class Published(Part):
    """The file of figures."""

    about: str
    sources: dict[str, str]
    bounds: Bounds
    quantiles: Quantile
    groups: dict[str, tuple[Name, ...]] = Field(description="Group of chronic conditions -> conditions.")
    multimorbidity: tuple[Several, ...]
    pairs: tuple[Together, ...]
    use: tuple[Use, ...]
    stays: Stays
    survival: tuple[Survival, ...]
    causes: tuple[Cause, ...]

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        named = set(_named(self.model_dump(exclude={"sources"})))
        if named != set(self.sources):
            raise ValueError(f"expected sources that are named and nothing else: {sorted(named ^ set(self.sources))}")
        for key, text in self.sources.items():
            if not key.startswith("assumed") and not re.search(r"(19|20)\d\d", text):
                raise ValueError(f"expected the year in source '{key}'")
        return self


@dataclass(frozen=True)
class Targets:
    """All figures of a country.

    Parameters
    ----------
    published
        The file.
    modules, processes
        Whose figures are taken.
    life
        Life table.
    sources
        Of the country's own figures of prevalence.
    whole
        Whether the figures of the file and of the processes, which are of the United States, are this country's.
    """

    published: Published
    modules: Modules
    processes: Processes
    life: Life
    sources: Mapping[str, str]
    whole: bool

    def source(self, name: str, table: Table) -> str:
        """Return who published a table of a condition or episode: the module's source, or the country's."""
        return {**self.sources, **self.modules.home[name].sources}[table.source]

    @cached_property
    def prevalent(self) -> tuple[Condition, ...]:
        """Conditions with a published prevalence that is judged by bands."""
        return tuple(one for one in self.modules.conditions.values() if one.prevalence is not None and not one.rare)

    @cached_property
    def incident(self) -> tuple[Condition | Episode, ...]:
        """Conditions and episodes with a published incidence in the whole population, the same in every year.

        Those whose codes stand for something else too are left out: a reader of the tables cannot tell them apart.
        """
        out: list[Condition | Episode] = [
            one
            for one in self.modules.conditions.values()
            if one.incidence is not None and not (one.requires or one.rare)
        ]
        for episode in self.modules.episodes.values():
            if not (episode.id in GIVEN or episode.requires or episode.years or episode.first_year or episode.phase):
                out.append(episode)
        every: list[Condition | Episode] = [*self.modules.conditions.values(), *self.modules.episodes.values()]
        owners = Counter(pair for one in every for pair in keys(one))
        return tuple(one for one in out if all(owners[pair] == 1 for pair in keys(one)))

    @cached_property
    def correlated(self) -> tuple[ProcessPair, ...]:
        """Pairs of processes with a published correlation."""
        return tuple(pair for pair in self.processes.correlations if pair.check)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """Everything whose quantiles or correlations are compared and that is written down, in a fixed order."""
        names = [*self.published.quantiles.items, *(name for pair in self.correlated for name in pair.pair)]
        known = {item.id: item for item in catalogue().items}
        found = [known[name] for name in dict.fromkeys(names) if name in known]
        return tuple(item for item in found if item.loinc is not None)

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """All conditions, in a fixed order."""
        return tuple(self.modules.conditions[name] for name in sorted(self.modules.conditions))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what decides the shape of a tally."""
        parts = [one.model_dump_json() for one in (*self.prevalent, *self.incident)]
        parts += [self.published.model_dump_json(), self.processes.model_dump_json()]
        return sha256("\n".join(parts).encode()).hexdigest()[:16]

    def quantiles(self, name: str) -> tuple[tuple[float, ...], Floats, str]:
        """Return the lower ends of adult age bands, the quantiles (2, bands, probabilities), and the source."""
        process = self.processes["egfr" if name == "creatinine" else name]
        table = process.quantiles
        wanted = np.array(self.published.quantiles.probabilities)
        rows = [k for k, age in enumerate(table.ages) if age >= 25]
        values = np.array([[table.female[k] for k in rows], [table.male[k] for k in rows]])
        at = 1 - wanted if name == "creatinine" else wanted
        out = np.apply_along_axis(lambda row: np.interp(at, table.probabilities, row), 2, values)
        middles = np.array([table.ages[k] for k in rows])
        if name == "creatinine":
            out = _creatinine(out, middles)
        return tuple(float(age) - 5 for age in middles), out, self.processes.sources[table.source]


def targets(locale: str | Path = "us", modules: str | Path | None = None) -> Targets:
    """Gather all published figures of a country.

    Parameters
    ----------
    locale
        Name or folder.
    modules
        Folder of more modules.

    Raises
    ------
    ScenarioError
        When a file is wrong.
    """
    return _targets(str(locale), None if modules is None else str(modules))


@lru_cache(maxsize=4)
def _targets(locale: str, modules: str | None) -> Targets:
    country = locale_of(locale)
    found = load_modules(modules)
    own = country.people.prevalence
    order = tuple(
        one.model_copy(update={"prevalence": own[one.id]})
        if isinstance(one, Condition) and one.prevalence is not None and one.id in own
        else one
        for one in found.order
    )
    return Targets(
        read_published(),
        Modules(found.modules, order),
        standard(),
        country.life,
        country.people.sources,
        country.id == "us",
    )


def read_published(path: Path = FILE) -> Published:
    """Read a file of figures.

    Raises
    ------
    ScenarioError
        When it is no JSON, has unknown keys, figures that cannot be, or lacks a source; all problems are listed.
    """
    try:
        return Published.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ScenarioError(
            "Expected a JSON file of published figures.",
            f"{path.name} cannot be read: {type(error).__name__}.",
            "See docs/simulator/sources.md.",
        ) from None
    except ValidationError as error:
        raise ScenarioError(
            "Expected published figures, each with its source.",
            f"{path.name} has {error.error_count()} problems.",
            "Correct the places named below.",
            problems=[f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)],
        ) from None


def keys(entity: Condition | Episode) -> set[tuple[str, str]]:
    """Return the codes (ICD-10-CM, SNOMED CT or nothing) that stand in records of a condition or an episode."""
    out = {(entity.icd10, entity.snomed or "")}
    if isinstance(entity, Condition):
        out |= {(one.icd10 or entity.icd10, one.snomed or entity.snomed or "") for one in entity.stages}
    return out


def rates(entity: Condition | Episode) -> Table:
    """Return the table of incidence of what `Targets.incident` holds."""
    assert entity.incidence is not None
    return entity.incidence


def seen(entity: Condition | Episode, ages: Floats) -> Floats:
    """Return the share of cases that is seen by anybody, and so recorded, by age (K,)."""
    if isinstance(entity, Condition) or "none" not in entity.care.shares:
        return np.ones(len(ages))
    band = np.maximum(np.searchsorted(np.array(entity.care.ages), ages, side="right") - 1, 0)
    return 1 - np.array(entity.care.shares["none"])[band]


def class_positions(classes: tuple[str, ...]) -> list[int]:
    """Return positions in `ehrsatz.clinical.CLASSES`."""
    return [CLASSES.index(name) for name in classes]


def _creatinine(filtration: Floats, ages: Floats) -> Floats:
    """Return the creatinine (2, bands, P) in mg/dL at which CKD-EPI 2021 gives a filtration rate."""
    kappa, alpha, woman = (np.array(one)[:, None, None] for one in (KAPPA, ALPHA, WOMAN))
    share = filtration / (142 * 0.9938 ** ages[None, :, None] * woman)
    return kappa * np.where(share >= 1, share ** (1 / alpha), share ** (-1 / 1.2))


def _named(data: Any) -> list[str]:
    if isinstance(data, dict):
        own = [value for key, value in data.items() if key.endswith("source") and isinstance(value, str)]
        return own + [name for value in data.values() for name in _named(value)]
    if isinstance(data, (list, tuple)):
        return [name for value in data for name in _named(value)]
    return []
