"""Everything the simulator knows, read once and put together: modules, bodies, the country, and the solved rates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ehrsatz import terminology
from ehrsatz.clinical import ETHNICITIES, RACES, RXNORM
from ehrsatz.errors import ModelError
from ehrsatz.simulator.baseline import AGES, wanted
from ehrsatz.simulator.conditions import mean_mortality
from ehrsatz.simulator.country import LEVELS, QUINTILES
from ehrsatz.simulator.engine import Bodyworks, Knowledge
from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.load import Modules, load_modules
from ehrsatz.simulator.locale import Locale, locale_of
from ehrsatz.simulator.module import Condition, Episode
from ehrsatz.simulator.process import Processes, standard
from ehrsatz.simulator.quantiles import Correction, Natural
from ehrsatz.simulator.traits import latent

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Solved:
    """What the calibrator found for a country: rates without risk, unexplained deaths, shifts of quantile functions.

    Parameters
    ----------
    base
        Id -> (2, A) rate of onset.
    death
        (2, A) deaths a year; None: the life table itself.
    corrections
        Process -> shift of its quantile function.
    marks
        Id -> hash of the condition or episode that its rate was solved for.
    deadly
        (2, A) share of the deaths of conditions and episodes that takes place; None: all.
    aims
        Id -> what its figures (2, bands) were multiplied by, so that those reached are the published ones.
    """

    base: Mapping[str, Floats]
    death: Floats | None
    corrections: Mapping[str, Correction]
    marks: Mapping[str, str]
    aims: Mapping[str, Floats] = field(default_factory=dict)
    deadly: Floats | None = None


@dataclass(frozen=True)
class Known:
    """The parts of the knowledge that other steps need beside the engine's.

    Parameters
    ----------
    modules, processes, locale, natural
        See their rooms.
    engine
        What the engine takes.
    unsolved
        Ids of conditions and episodes whose rates were not solved: a user's modules, or changed ones.
    seeking
        (2, A) factor on how often people of an age at the reference date seek care; None: 1.
    fit
        Of a calibration, rows in plain JSON types: what was asked and reached, and what no longer fits.
    """

    modules: Modules
    processes: Processes
    locale: Locale
    natural: Natural
    engine: Knowledge
    solved: Solved
    unsolved: tuple[str, ...]
    seeking: Floats | None = None
    fit: tuple[Mapping[str, Any], ...] = ()

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """Attribute -> words that its positions stand for."""
        return {
            **LEVELS,
            "race": RACES,
            "ethnicity": ETHNICITIES,
            "income": QUINTILES,
            "region": self.locale.regions,
        }

    @property
    def rates(self) -> Floats:
        """Deaths a year by sex and age (2, A) of the life table."""
        return life_rates(self.locale)


def known(locale: str | Path = "us", modules: str | Path | None = None, *, solved: Solved | None = None) -> Known:
    """Read all knowledge of a country, with a folder of more modules.

    Parameters
    ----------
    locale
        Name or folder.
    modules
        Folder of more modules.
    solved
        Instead of what ships for the country.

    Raises
    ------
    EhrsatzError
        When a file is wrong, with every problem by place.
    """
    country = locale_of(locale)
    found = load_modules(modules)
    found = Modules(found.modules, tuple(_local(one, country) for one in found.order))
    processes = standard()
    given = solved if solved is not None else shipped(country.id)
    natural = Natural(processes, given.corrections)
    base: dict[str, Floats] = {}
    unsolved = []
    for entity in found.order:
        if entity.id in given.base and given.marks.get(entity.id) == mark(entity):
            base[entity.id] = given.base[entity.id]
            continue
        unsolved.append(entity.id)
        deadly = mean_mortality(entity)[1] if isinstance(entity, Condition) else 0.0
        base[entity.id] = wanted(entity, deadly)
    rates = life_rates(country)
    engine = Knowledge(
        found.order,
        base,
        rates if given.death is None else given.death,
        _other_causes(),
        Bodyworks(
            latent=lambda seed, number, years, span: latent(seed, processes, number, years, span),
            natural=natural.grid,
            bounds=natural.bounds,
            growth=natural.growth,
        ),
        _groups(tuple(sorted({drug.rxnorm for one in found.order for drug in one.treatments}))),
        deadly=given.deadly,
    )
    return Known(found, processes, country, natural, engine, given, tuple(unsolved))


def _local(entity: Condition | Episode, locale: Locale) -> Condition | Episode:
    """Return a condition with the figures of the country, where it has its own."""
    table = locale.people.prevalence.get(entity.id)
    if table is None or not isinstance(entity, Condition) or entity.prevalence is None:
        return entity
    return entity.model_copy(update={"prevalence": table})


def life_rates(locale: Locale) -> Floats:
    """Return deaths a year (2, A) of a country's life table."""
    table = locale.life.table
    q = np.array([table.female, table.male], dtype=np.float64)[:, :AGES]
    return -np.log1p(-np.minimum(q, 0.9999))


def mark(entity: Any) -> str:
    """Return a short hash of all that a condition or episode says."""
    return sha256(entity.model_dump_json().encode()).hexdigest()[:12]


def solved_path(locale: str) -> Path:
    """Return where the solved rates of a country lie."""
    return DATA / f"solved-{locale}.json"


@lru_cache(maxsize=4)
def shipped(locale: str) -> Solved:
    """Return the solved rates that ship for a country; none for a user's own."""
    path = solved_path(locale)
    if not path.is_file():
        return Solved({}, None, {}, {})
    return read_solved(path)


def read_solved(path: Path) -> Solved:
    """Read what `write_solved` wrote.

    Raises
    ------
    ModelError
        When it is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        base = {
            name: np.array([_pad(one["female"]), _pad(one["male"])], dtype=np.float64)
            for name, one in data["base"].items()
        }
        death = np.array([data["death"]["female"], data["death"]["male"]], dtype=np.float64)
        corrections = {
            name: Correction(
                np.array(one["ages"], dtype=np.float64),
                np.array(one["probabilities"], dtype=np.float64),
                np.array([one["female"], one["male"]], dtype=np.float64),
            )
            for name, one in data["corrections"].items()
        }
        marks = {name: one["mark"] for name, one in data["base"].items()}
        aims = {name: np.array(one["aim"]) for name, one in data["base"].items() if "aim" in one}
        deadly = np.array([data["deadly"]["female"], data["deadly"]["male"]]) if "deadly" in data else None
        return Solved(base, death, corrections, marks, aims, deadly)
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(
            "Expected solved rates as the calibrator writes them.",
            f"{path.name} holds something else.",
            "Install the package again, or solve them anew: python -m ehrsatz.simulator.solve",
        ) from None


def write_solved(path: Path, solved: Solved) -> None:
    """Write solved rates, rounded to five digits, zeros at the end left out."""
    data = {
        "about": "Rates that the calibrator solved from the figures of the modules; made by: "
        "python -m ehrsatz.simulator.solve",
        "base": {
            name: {
                "mark": solved.marks[name],
                "female": _short(values[0]),
                "male": _short(values[1]),
                **({"aim": np.round(solved.aims[name], 4).tolist()} if name in solved.aims else {}),
            }
            for name, values in sorted(solved.base.items())
        },
        "death": {
            "female": [_digits(v) for v in (solved.death if solved.death is not None else np.zeros((2, AGES)))[0]],
            "male": [_digits(v) for v in (solved.death if solved.death is not None else np.zeros((2, AGES)))[1]],
        },
        **(
            {}
            if solved.deadly is None
            else {"deadly": {sex: [_digits(v) for v in solved.deadly[s]] for s, sex in enumerate(("female", "male"))}}
        ),
        "corrections": {
            name: {
                "ages": one.ages.tolist(),
                "probabilities": one.probabilities.tolist(),
                "female": [[_digits(v) for v in row] for row in one.shift[0]],
                "male": [[_digits(v) for v in row] for row in one.shift[1]],
            }
            for name, one in sorted(solved.corrections.items())
        },
    }
    text = json.dumps(data, separators=(",", ":")).replace('"},"', '"},\n"').replace(']},"', ']},\n"')
    path.write_text(text + "\n", encoding="utf-8")


def _digits(value: float) -> float:
    return float(f"{value:.5g}")


def _short(values: Floats) -> list[float]:
    out = [_digits(v) for v in values]
    while len(out) > 1 and out[-1] == out[-2]:
        out.pop()
    return out


def _pad(values: list[float]) -> list[float]:
    return [*values, *[values[-1]] * (AGES - len(values))]


@lru_cache(maxsize=4)
def _groups(codes: tuple[str, ...]) -> dict[str, str]:
    """Return RxNorm code -> group of drugs of which one is taken at a time, by the names in their displays."""
    data = json.loads((DATA / "groups.json").read_text(encoding="utf-8"))
    out = {}
    for code in codes:
        if not terminology.has(RXNORM, code):
            continue
        name = f"{terminology.display(RXNORM, code).lower()} "
        for group, one in data["groups"].items():
            if any(word in name for word in one["words"]):
                out[code] = group
                break
    return out


@lru_cache(maxsize=1)
def _other_causes() -> tuple[tuple[str, ...], Floats]:
    data = json.loads((DATA / "causes.json").read_text(encoding="utf-8"))
    band = np.searchsorted(np.array(data["ages"]), np.arange(AGES), side="right") - 1
    weights = np.array([[one["female"], one["male"]] for one in data["causes"]], dtype=np.float64)[:, :, band]
    return tuple(one["icd10"] for one in data["causes"]), weights / weights.sum(axis=0, keepdims=True)
