"""What a search may try: for each generator its parameters, with ranges or choices, as declared or as asked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ehrsatz import registry
from ehrsatz.errors import ScenarioError, UnsupportedError, nearest
from ehrsatz.generators.build import generator
from ehrsatz.generators.space import Domain, Range, defaults_of, space_of

NOT_TUNED = ("auto",)  # it chooses by itself
MOST_GRID = 10_000
_BAND = re.compile(r"(?P<low>[^.,]+(?:\.\d+)?)\.\.(?P<high>[^:,]+)(?P<log>:log)?")


@dataclass(frozen=True)
class Setting:
    """A generator's name and the parameters that differ from its defaults.

    Parameters
    ----------
    generator
        Registered name.
    parameters
        Name -> value, in the order of the names.
    """

    generator: str
    parameters: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The same text for the same setting."""
        return json.dumps([self.generator, dict(self.parameters)], sort_keys=True)

    @property
    def words(self) -> str:
        """The parameters in words."""
        return ", ".join(f"{name}={_word(value)}" for name, value in self.parameters.items()) or "defaults"


@dataclass(frozen=True)
class Space:
    """All that a search may try.

    Parameters
    ----------
    methods
        Generator -> parameter -> range or choices.
    """

    methods: Mapping[str, Mapping[str, Domain]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            name: {
                key: {"low": one.low, "high": one.high, "log": one.log} if isinstance(one, Range) else list(one)
                for key, one in domains.items()
            }
            for name, domains in self.methods.items()
        }

    def setting(self, name: str, parameters: Mapping[str, Any]) -> Setting:
        """Return a setting, without what equals the generator's defaults."""
        usual = defaults_of(registry.find("generators", name))
        kept = {key: parameters[key] for key in sorted(parameters) if not _same(parameters[key], usual.get(key))}
        return Setting(name, kept)

    def defaults(self) -> list[Setting]:
        """Return each generator's first setting: its defaults, or what was fixed for the search."""
        out = []
        for name, domains in self.methods.items():
            fixed = {key: one[0] for key, one in domains.items() if not isinstance(one, Range) and len(one) == 1}
            out.append(self.setting(name, fixed))
        return out

    def size(self) -> int | None:
        """Return the number of different settings; None where a range makes them endless."""
        total = 0
        for domains in self.methods.values():
            if any(isinstance(one, Range) and not one.is_whole for one in domains.values()):
                return None
            total += math.prod(len(_choices(one)) for one in domains.values())
        return total

    def grid(self) -> Iterator[Setting]:
        """Give every combination of choices, the generators in turn.

        Raises
        ------
        ScenarioError
            When a parameter has a range instead of choices, or the grid is too large.
        """
        endless = [
            f"{name}.{key}"
            for name, domains in self.methods.items()
            for key, one in domains.items()
            if isinstance(one, Range) and not one.is_whole
        ]
        if endless:
            raise ScenarioError(
                "Expected choices for every parameter of a grid.",
                f"Ranges were found for: {', '.join(endless)}.",
                f"Name their values, as in --search {endless[0]}=A,B,C, or use another --sampler.",
            )
        if (self.size() or 0) > MOST_GRID:
            raise ScenarioError(
                f"Expected a grid of at most {MOST_GRID:,} settings.",
                f"It has {self.size():,}.",
                "Name fewer choices, or use another --sampler.",
            )
        seen = set()
        for name, domains in self.methods.items():
            for values in product(*(_choices(one) for one in domains.values())):
                one = self.setting(name, dict(zip(domains, values)))
                if one.key not in seen:
                    seen.add(one.key)
                    yield one


def space(generators: Sequence[str], asked: Sequence[str] = ()) -> Space:
    """Return what to try of these generators.

    Parameters
    ----------
    generators
        Registered names.
    asked
        Texts as "caution=0.5..4:log", "trees.caution=0.5,1,2": they take the place of what a generator declares. The
        generator's name may be left out where there is one.

    Raises
    ------
    UnknownNameError, UnsupportedError, ScenarioError
        When a generator is unknown or chooses by itself, or a text names no parameter of it or values out of range.
    """
    names = tuple(dict.fromkeys(generators))
    for name in names:
        registry.find("generators", name)
        if name in NOT_TUNED:
            raise UnsupportedError(
                "Expected generators to tune.",
                f"'{name}' chooses among generators by itself.",
                "Name those that it would choose from, as in --generator trees --generator bayesnet.",
            )
    methods = {name: dict(space_of(registry.find("generators", name))) for name in names}
    for text in asked:
        name, key, spec = _parsed(text, names)
        methods[name][key] = _domain(spec, f"{name}.{key}")
    for name, domains in methods.items():
        generator(name)
        for key, one in domains.items():
            for value in (one.low, one.high) if isinstance(one, Range) else one:
                generator(name, **{key: value})  # the generator's own check of name, type and range
    return Space(methods)


def _parsed(text: str, names: Sequence[str]) -> tuple[str, str, str]:
    left, equals, spec = text.partition("=")
    name, dot, key = left.strip().rpartition(".")
    if not equals or not key or not spec.strip():
        raise ScenarioError(
            "Expected --search as PARAMETER=VALUES.",
            "No '=' was found between a name and values.",
            "Write it as caution=0.5..4:log, or n_trees=4,10.",
        )
    if not dot and len(names) > 1:
        raise ScenarioError(
            "Expected --search to name the generator, for there are several.",
            f"'{key}' names none.",
            f"Write it as {names[0]}.{key}=...",
        )
    name = name or names[0]
    if name not in names:
        raise ScenarioError(
            f"Expected --search for one of: {', '.join(names)}.",
            f"'{name}' is none of them.{nearest(name, names)}",
            "Add it with --generator, or correct the name.",
        )
    return name, key, spec.strip()


def _domain(spec: str, place: str) -> Domain:
    band = _BAND.fullmatch(spec)
    if band is None:
        return tuple(dict.fromkeys(_value(one.strip()) for one in spec.split(",") if one.strip()))
    low, high = _value(band["low"].strip()), _value(band["high"].strip())
    numbers = [one for one in (low, high) if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if len(numbers) < 2 or not low < high or (band["log"] and low <= 0):
        raise ScenarioError(
            f"Expected the range of '{place}' as two numbers, the smaller first"
            f"{', above 0 as steps are factors' if band['log'] else ''}.",
            "Something else was found.",
            "Write it as 0.5..4, or 0.5..4:log.",
        )
    return Range(low, high, bool(band["log"]))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _choices(domain: Domain) -> Sequence[Any]:
    return range(int(domain.low), int(domain.high) + 1) if isinstance(domain, Range) else domain


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value) if value is None else str(value)
