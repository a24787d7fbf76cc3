"""A country as data: who lives there, how long, under which names and addresses, and in which units they are measured.

A locale is a folder of four JSON files and three CSV files, each figure with its source. Two are bundled (`us`, `uk`);
any folder of the same form is read the same way. Unknown keys are errors.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ehrsatz.errors import ScenarioError, SourceError, UnknownNameError, nearest
from ehrsatz.simulator.country import LEVELS, Family, Given, Identity, Life, Payer, People, Place, Units
from ehrsatz.simulator.module import Name, Part

FOLDER = Path(__file__).parent / "locales"
PARTS = ("life", "people", "units")  # JSON files beside locale.json
LISTS = ("places", "given", "family")  # CSV files


class Locale(Part):
    """One country, whole."""

    id: Name
    title: str
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1.")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.")]
    insurance_model: Literal["mixed", "national"]
    payers: tuple[Payer, ...]
    identity: Identity
    sources: dict[str, str]
    life: Life
    people: People
    units: Units
    places: tuple[Place, ...]
    given: tuple[Given, ...]
    family: tuple[Family, ...]

    def __hash__(self) -> int:
        """Hash by identity: what is computed from a locale is kept per object."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """Compare by identity, as the hash does."""
        return self is other

    @property
    def regions(self) -> tuple[str, ...]:
        """Codes of the regions; `region` of a person is a position in it."""
        return tuple(region.code for region in self.people.regions)

    @property
    def groups(self) -> tuple[str, ...]:
        """Ids of the census groups; `group` of a person is a position in it."""
        return tuple(group.id for group in self.people.groups)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        regions, groups = set(self.regions), {*self.groups, "*"}
        if not regions <= {place.region for place in self.places} <= regions:
            raise ValueError("expected places in every region, and in no other")
        if strange := sorted(({one.group for one in self.given} | {one.group for one in self.family}) - groups):
            raise ValueError(f"expected the groups of people.json in the lists of names; unknown: {', '.join(strange)}")
        absent = {payer.kind for payer in self.payers} ^ (set(self._insured()) - {"none"})
        if absent:
            raise ValueError(f"expected payers for exactly the insurances in use; differs: {', '.join(sorted(absent))}")
        for kind in {payer.kind for payer in self.payers}:
            if abs(sum(payer.share for payer in self.payers if payer.kind == kind) - 1) > 1e-6:
                raise ValueError(f"expected shares of the payers of one kind that sum to 1; not so: {kind}")
        eras = {(one.sex, one.since) for one in self.given if one.group == "*"}
        if not eras or any((sex, since) not in eras for sex in ("female", "male") for _, since in eras):
            raise ValueError("expected given names of group * for both sexes in every era")
        if not ({"*"} & {one.group for one in self.family}) and {one.group for one in self.family} < set(self.groups):
            raise ValueError("expected family names for every group, or some of group *")
        for whole in (self.life, self.people, self.units, self):
            _sourced(whole)
        return self

    def _insured(self) -> list[str]:
        insurance = self.people.attributes["insurance"]
        totals = [sum(column) for column in zip(*insurance.female, *insurance.male, strict=True)]
        return [level for level, total in zip(LEVELS["insurance"], totals, strict=True) if total > 0]


def bundled() -> tuple[str, ...]:
    """Return the names of the locales that come with the package."""
    return tuple(sorted(path.name for path in FOLDER.iterdir() if (path / "locale.json").is_file()))


def locale_of(name_or_folder: str | Path) -> Locale:
    """Return a bundled locale by name, or the one in a folder.

    Raises
    ------
    UnknownNameError
        When no locale has this name and no such folder exists.
    ScenarioError
        When a file of the folder has an unknown key, an impossible value, or a figure without its source.
    SourceError
        When a file is absent or cannot be read.
    """
    text = str(name_or_folder)
    if text in bundled():
        return _read(FOLDER / text)
    folder = Path(name_or_folder)
    if folder.is_dir():
        return _read(folder.resolve())
    raise UnknownNameError(
        f"A locale is one of {', '.join(bundled())}, or a folder.",
        f"There is none named '{text}'.{nearest(text, bundled())}",
        "Name one of these, or write a folder of your own (docs/simulator/people.md).",
    )


@cache
def _read(folder: Path) -> Locale:
    data: dict[str, Any] = _json(folder / "locale.json")
    for name in PARTS:
        data[name] = _json(folder / f"{name}.json")
    for name in LISTS:
        data[name] = _rows(folder / f"{name}.csv")
    try:
        return Locale.model_validate(data)
    except ValidationError as error:
        problems = [f"{_file(e['loc'])}: {'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise ScenarioError(
            "A locale has the keys and values of docs/simulator/people.md.",
            f"The folder {folder.name} differs in {len(problems)} place{'s' * (len(problems) > 1)}.",
            "Correct these.",
            problems=problems[:20],
        ) from None


def _file(place: tuple[int | str, ...]) -> str:
    first = str(place[0]) if place else "locale"
    return f"{first}.json" if first in PARTS else f"{first}.csv" if first in LISTS else "locale.json"


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        data = None
    if not isinstance(data, dict):
        raise SourceError(
            f"A locale has the file {path.name}, a JSON object.",
            f"It is absent from the folder {path.parent.name}, or cannot be read.",
            "Write it as docs/simulator/people.md says.",
        )
    return data


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        raise SourceError(
            f"A locale has the file {path.name}, a table with a header.",
            f"It is absent from the folder {path.parent.name}, or cannot be read.",
            "Write it as docs/simulator/people.md says.",
        ) from None


def _sourced(part: Part) -> None:
    """Refuse a source that is not given, is not used, or has no year."""
    sources: dict[str, str] = part.sources  # type: ignore[attr-defined]
    named = set(_named(part.model_dump(exclude={"sources", "life", "people", "units", "places", "given", "family"})))
    if odd := sorted(named ^ set(sources)):
        raise ValueError(f"expected every source to be given and used; differs: {', '.join(odd)}")
    for key, text in sources.items():
        if not key.startswith("assumed") and not any(f"{year}" in text for year in range(1900, 2100)):
            raise ValueError(f"expected the year in source '{key}'")


def _named(data: Any) -> list[str]:
    if isinstance(data, dict):
        found = [v for k, v in data.items() if str(k).endswith("source") and isinstance(v, str)]
        return found + [name for value in data.values() for name in _named(value)]
    if isinstance(data, (list, tuple)):
        return [name for value in data for name in _named(value)]
    return []
