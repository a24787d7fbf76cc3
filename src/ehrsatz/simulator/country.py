"""The parts of a country's description: life table, pyramid, groups, regions, attributes, names, places and units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from ehrsatz import clinical
from ehrsatz.simulator.module import Name, NonNegative, Part, Positive, Share, Source, Table

OLDEST = 120  # ages of a life table: 0 .. 119
LEVELS = {
    "education": clinical.EDUCATION,
    "smoking": clinical.SMOKING,
    "alcohol": clinical.ALCOHOL,
    "activity": clinical.ACTIVITY,
    "housing": clinical.HOUSING,
    "insurance": clinical.INSURANCE,
    "marital": clinical.MARITAL,
}
ORDER = ("education", "smoking", "alcohol", "activity", "housing", "insurance", "marital")  # in which they are drawn
QUINTILES = ("1", "2", "3", "4", "5")  # of household income, 1 the poorest


class LifeTable(Part):
    """Yearly probabilities of dying q(x) at ages 0 to 119, and the life expectancy that was published, at age `at`."""

    female: tuple[Share, ...] = Field(min_length=OLDEST, max_length=OLDEST)
    male: tuple[Share, ...] = Field(min_length=OLDEST, max_length=OLDEST)
    expectancy: dict[Literal["female", "male"], Positive]
    at: int = Field(default=0, ge=0, lt=OLDEST, description="Age at which the expectancy is given.")
    source: Source


class Pyramid(Part):
    """The population by age and sex: band i reaches from ages[i] to ages[i + 1], the last one is open."""

    ages: tuple[float, ...]
    female: tuple[NonNegative, ...] = Field(description="Thousands of people.")
    male: tuple[NonNegative, ...] = Field(description="Thousands of people.")
    source: Source

    @model_validator(mode="after")
    def _bands(self) -> Self:
        if (
            self.ages[:1] != (0,)
            or list(self.ages) != sorted(set(self.ages))
            or not len(self.ages) == len(self.female) == len(self.male)
        ):
            raise ValueError("expected rising ages from 0 and one figure per age band and sex")
        return self


class Births(Part):
    """Births a year per 1,000 women by the mother's age, and the share of boys."""

    ages: tuple[float, ...] = Field(description="Lower ends of the bands, then the upper end of the last one.")
    per_1000: tuple[NonNegative, ...]
    male_share: Share
    source: Source

    @model_validator(mode="after")
    def _bands(self) -> Self:
        if len(self.ages) != len(self.per_1000) + 1:
            raise ValueError("expected one more age than figures")
        return self


class Group(Part):
    """A group of the country's census, mapped to the races and ethnicities of the clinical schema."""

    id: Name
    title: str
    ethnicity: Literal["hispanic", "not hispanic"] | None
    races: dict[str, Share] = Field(description="Share of each race in the group; they sum to 1.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        wrong = sorted(set(self.races) - set(clinical.RACES))
        if wrong or abs(sum(self.races.values()) - 1) > 1e-6:
            raise ValueError("expected shares of the clinical races that sum to 1")
        return self


class Region(Part):
    """A state or nation: people, and the share of each group, in the order of `groups`."""

    code: str
    name: str
    thousands: Positive
    shares: tuple[NonNegative, ...] = Field(description="Percent by group; scaled to 100.")
    factors: dict[str, Positive] = Field(default_factory=dict, description="Odds of a kind of insurance here.")


class Mix(Part):
    """How the groups are spread over ages: percent of each group in each age band, over both sexes."""

    ages: tuple[float, ...]
    shares: tuple[tuple[NonNegative, ...], ...] = Field(description="One row per age band, one figure per group.")
    source: Source


class Attribute(Part):
    """What people are by age and sex, and how the odds of each level differ by what else they are.

    `female` and `male` have one row of percentages per age band, in the order of the levels; they are met exactly:
    the odds move people within a band and sex, never its total.
    """

    ages: tuple[float, ...]
    female: tuple[tuple[NonNegative, ...], ...]
    male: tuple[tuple[NonNegative, ...], ...]
    source: Source
    odds: dict[str, dict[str, dict[str, Positive]]] = Field(
        default_factory=dict, description="factor -> its level -> level of this attribute -> odds ratio."
    )
    odds_source: Source | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for rows in (self.female, self.male):
            if len(rows) != len(self.ages):
                raise ValueError("expected one row of percentages per age band and sex")
            if any(abs(sum(row) - 100) > 0.51 for row in rows):
                raise ValueError("expected percentages that sum to 100 in every age band")
        if bool(self.odds) != (self.odds_source is not None):
            raise ValueError("expected odds and odds_source together")
        return self


class Income(Part):
    """Household income a year: its published percentiles, and what moves a person up or down among them."""

    percentiles: dict[int, Positive]
    medians: dict[str, dict[str, Positive]] = Field(description="factor -> level -> published median.")
    ages: tuple[float, ...]
    by_age: tuple[Positive, ...] = Field(description="Published median by age of the householder.")
    spread: Positive = Field(description="Standard deviation of the logarithm within such a cell.")
    source: Source
    spread_source: Source


class Smoker(Part):
    """When smokers began, by sex, and how long ago those who stopped did so."""

    began: dict[int, Positive] = Field(description="Percentile of smokers -> age at which they began.")
    stopped: dict[int, Share] = Field(description="Percentile -> share of the time since beginning that they smoked.")
    source: Source
    stopped_source: Source


class Habit(Part):
    """Beta distribution of the share of doses taken, and factors on voluntary visits by what people are."""

    adherence: tuple[Positive, Positive]
    adherence_source: Source
    care: dict[str, dict[str, Positive]] = Field(description="factor -> level -> visits relative to the others.")
    care_spread: NonNegative = Field(description="Standard deviation of the logarithm between like people.")
    care_source: Source


class Payer(Part):
    """A payer that exists nowhere, for one kind of insurance."""

    name: str
    kind: str
    share: Share = Field(description="Of those with this kind of insurance.")


class Conversion(Part):
    """How this country reports an item: the canonical value times `factor` plus `offset`, in `unit`."""

    unit: str = Field(description="UCUM.")
    factor: float
    offset: float = 0.0
    decimals: int
    loinc: str | None = Field(default=None, description="Code of the variant in this unit; None: the same code.")
    note: str = ""
    source: Source


class Units(Part):
    """Items that are reported in other units than the catalogue's."""

    system: Literal["conventional", "SI"]
    items: dict[str, Conversion] = Field(default_factory=dict)
    sources: dict[str, str]


class Life(Part):
    """How many people there are of each age, how long they live, and who gives birth."""

    table: LifeTable
    pyramid: Pyramid
    births: Births
    sources: dict[str, str]


class People(Part):
    """What people are: groups, regions, education, income, habits, insurance."""

    groups: tuple[Group, ...]
    groups_source: Source
    regions: tuple[Region, ...]
    regions_source: Source
    mix: Mix
    attributes: dict[str, Attribute]
    income: Income
    smoker: Smoker
    habit: Habit
    blood: dict[str, dict[str, NonNegative]] = Field(description="group -> blood group -> percent.")
    blood_source: Source
    languages: dict[str, dict[str, NonNegative]] = Field(description="group -> language (BCP 47) -> percent.")
    languages_source: Source
    prevalence: dict[str, Table] = Field(default_factory=dict, description="Condition -> figures instead of its own.")
    sources: dict[str, str]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        absent = sorted(set(LEVELS) - set(self.attributes))
        strange = sorted(set(self.attributes) - set(LEVELS))
        if absent or strange:
            raise ValueError(f"expected the attributes {', '.join(LEVELS)}; absent: {absent}; unknown: {strange}")
        for name, attribute in self.attributes.items():
            if any(len(row) != len(LEVELS[name]) for row in (*attribute.female, *attribute.male)):
                raise ValueError(f"expected {len(LEVELS[name])} percentages a row in {name}: {', '.join(LEVELS[name])}")
        wide = len(self.groups)
        if any(len(region.shares) != wide for region in self.regions) or any(len(r) != wide for r in self.mix.shares):
            raise ValueError(f"expected one share per group ({wide}) in every region and age band of the mix")
        ids = {group.id for group in self.groups}
        if set(self.blood) != ids or set(self.languages) != ids:
            raise ValueError("expected blood groups and languages for every group")
        if problems := sorted(self._factors()):
            raise ValueError("; ".join(problems))
        return self

    def levels(self, factor: str) -> tuple[str, ...]:
        """Return the levels of a factor: group, quintile, sex or an attribute; empty for what is none."""
        if factor == "group":
            return tuple(group.id for group in self.groups)
        return {"quintile": QUINTILES, "sex": clinical.SEXES, **LEVELS}.get(factor, ())

    def _factors(self) -> Iterator[str]:
        """Yield what names a factor or level that does not exist, or is drawn only later."""
        for place, name in enumerate(ORDER):
            drawn = ("group", "sex", *(("quintile", *ORDER[:place]) if place else ()))
            for factor, odds in self.attributes[name].odds.items():
                if factor not in drawn:
                    yield f"expected odds of {name} by one of {', '.join(drawn)}; found: {factor}"
                    continue
                yield from _strange(f"odds of {name} by {factor}", odds, self.levels(factor))
                for outcomes in odds.values():
                    yield from _strange(f"odds of {name}", outcomes, LEVELS[name])
        for region in self.regions:
            yield from _strange("factors of a region", region.factors, LEVELS["insurance"])
        for factor, medians in self.income.medians.items():
            if factor not in ("group", "education", "sex") or set(medians) != set(self.levels(factor)):
                yield f"expected medians for every level of group, education or sex; differs: {factor}"
        known = [*self.income.percentiles.items()]
        if (
            known != sorted(known)
            or sorted(self.income.percentiles.values()) != [v for _, v in known]
            or len(known) < 2
        ):
            yield "expected percentiles of income in rising order, two at the least"
        if len(self.income.ages) != len(self.income.by_age):
            yield "expected one median of income per age band"
        for factor, ratios in self.habit.care.items():
            yield from _strange(f"care by {factor}", ratios, self.levels(factor))


def _strange(what: str, named: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    if unknown := sorted(set(named) - set(known)):
        yield f"expected known levels in {what}; unknown: {', '.join(unknown)}"


class Place(Part):
    """A town that exists, with the beginning of its postal codes and its telephone area code."""

    region: str
    city: str
    postal: str
    area: str
    thousands: Positive


class Given(Part):
    """A given name, of one sex, in use for those born from `since` (0: all)."""

    sex: Literal["female", "male"]
    since: int
    group: str = Field(description="Group it is used in; '*': all.")
    name: str
    weight: Positive


class Family(Part):
    """A family name and how often it is borne in a group; '*': all."""

    group: str
    name: str
    weight: Positive


class Identity(Part):
    """How the country writes addresses, numbers and addresses of mail, from ranges that belong to nobody."""

    address: Literal["us", "uk"] = Field(description="Form of address lines and postal codes.")
    national_id: Literal["ssn", "nhs"]
    phone: Literal["nanp", "ofcom"]
    provider_id: Literal["npi", "gmc"]
    organization_id: Literal["npi", "ods"]
    streets: tuple[str, ...] = Field(description="Invented names.")
    kinds: tuple[str, ...] = Field(description="Words for a street.")
    organizations: dict[str, tuple[str, ...]] = Field(description="kind -> names; '{city}' stands for the town.")
    source: Source
