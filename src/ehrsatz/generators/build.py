"""From a name or a scenario to a generator, and what a run tells of the one it used."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from ehrsatz import registry
from ehrsatz.errors import InfeasibleError, ScenarioError, UnsupportedError, nearest
from ehrsatz.generators.able import able_to_condition
from ehrsatz.generators.base import Generator
from ehrsatz.scenario import Scenario
from ehrsatz.schema import Schema

WITHOUT_EFFECT = frozenset({"workers"})  # parameters of generators that change no row: releases do not tell them


def generator(name: str = "trees", **parameters: Any) -> Generator:
    """Return a generator by its registered name, not fitted yet.

    Parameters
    ----------
    name
        List the names with: ehrsatz doctor --list generators
    parameters
        Keyword parameters of that generator.

    Raises
    ------
    UnknownNameError
        When there is no such generator.
    ScenarioError
        When it has no such parameter, or the parameter is of another type or out of its range.

    Examples
    --------
    >>> import ehrsatz
    >>> ehrsatz.generator("independent").name
    'independent'
    """
    made = registry.find("generators", name)
    known = [one for one in inspect.signature(made.__init__).parameters if one != "self"]
    unknown = [one for one in parameters if one not in known]
    if unknown:
        raise ScenarioError(
            f"Expected parameters of the generator '{name}': {', '.join(known) or 'it has none'}.",
            f"'{unknown[0]}' is none of them.{nearest(unknown[0], known)}",
            "Correct or remove it.",
        )
    hints = get_type_hints(made.__init__)
    for one, value in parameters.items():
        if not _fits(value, hints.get(one, Any)):
            raise ScenarioError(
                f"Expected '{one}' of the generator '{name}' to be {_in_words(hints[one])}.",
                f"It is of type {type(value).__name__}.",
                "Correct or remove it.",
            )
    engine: Generator = made(**parameters)
    engine.check_parameters()
    return engine


_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a parameter is of the type that its method declares; where a declaration is not simple, it fits."""
    kinds = get_args(hint) or (hint,)
    if any(kind not in _WORDS for kind in kinds):
        return True
    if isinstance(value, bool):
        return bool in kinds
    if float in kinds and isinstance(value, (int, float)):
        return math.isfinite(value)
    return isinstance(value, kinds)


def _in_words(hint: Any) -> str:
    return " or ".join(_WORDS.get(kind, str(kind)) for kind in get_args(hint) or (hint,))


def generator_of(scenario: Scenario) -> Generator:
    """Return the generator that a scenario names, with its budget and workers where it knows them."""
    name, given = scenario.generator.name, dict(scenario.generator.parameters)
    known = inspect.signature(registry.find("generators", name).__init__).parameters
    if scenario.time_budget is not None:
        if "budget" not in known:
            raise ScenarioError(
                "Expected a generator that takes a time budget.",
                f"'{name}' does not.",
                "Use the generator 'auto', or leave the time budget out.",
            )
        given["budget"] = scenario.time_budget
    if "workers" in known:
        given.setdefault("workers", scenario.workers)
    return generator(name, **given)


def check_given(given: Mapping[str, Any], schema: Schema, engine: Generator) -> None:
    """Check before any learning what can be known of conditions; the rest is checked before sampling.

    Raises
    ------
    UnsupportedError
        When the generator honours no conditions.
    InfeasibleError
        When a condition names no column of the parent table.
    """
    if given and not engine.conditions:
        raise UnsupportedError(
            f"The generator '{engine.name}' does not honour conditions.",
            "given was asked for.",
            f"Use one of: {', '.join(able_to_condition())}.",
        )
    for name in given:
        if name not in schema.parent.names:
            raise InfeasibleError(
                f"Expected given to name columns of table '{schema.parent.name}'.",
                f"'{name}' is none of them.{nearest(name, schema.parent.names)}",
                "Check the spelling.",
            )


def described(engine: Generator) -> dict[str, Any]:
    """Return a fitted generator's name, its parameters that change rows, and the account of a choice it made."""
    parameters = {name: value for name, value in engine.told().items() if name not in WITHOUT_EFFECT}
    choice = getattr(engine, "report_", None)  # what `auto` wrote down
    return {"name": engine.name, "parameters": parameters, **({"choice": choice} if choice else {})}
