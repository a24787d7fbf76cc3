"""What the contract checks share: demand something, expect an error, compare tables, watch the random state."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import polars as pl

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.errors import EhrsatzError
from ehrsatz.generators.base import Generator

T = TypeVar("T")


def demand(holds: bool, message: str) -> None:
    """Raise `AssertionError` with the message unless the statement holds; unlike `assert`, also under python -O."""
    if not holds:
        raise AssertionError(message)


def expect(error: type[Exception], call: Callable[[], Any], what: str) -> str:
    """Demand that a call raises this error, of ehrsatz, with all three parts; return its message."""
    try:
        call()
    except error as raised:
        if isinstance(raised, EhrsatzError):
            demand(bool(raised.expected and raised.found and raised.advice), f"{what}: the error lacks a part")
        else:
            raise AssertionError(f"{what}: raises {type(raised).__name__}, which is no error of ehrsatz") from raised
        return str(raised)
    except Exception as raised:
        raise AssertionError(f"{what}: raises {type(raised).__name__}, expected {error.__name__}") from raised
    raise AssertionError(f"{what}: raises nothing, expected {error.__name__}")


def succeed(call: Callable[[], T], what: str) -> T:
    """Return what a call returns, or demand that it had not refused."""
    try:
        return call()
    except EhrsatzError as raised:
        raise AssertionError(f"{what} raises {type(raised).__name__}: {raised}") from raised


def random_state() -> tuple[Any, ...]:
    """Return the state of the process's own generators, which nothing may touch."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - only looked at
    return (random.getstate(), name, bytes(np.asarray(keys)), tuple(rest))


def untouched(call: Callable[[int], T], seed: int, what: str) -> T:
    """Return call(seed); demand that the process's random state is as before.

    A library that is imported on the way may draw from it once: then the call is made again, with another seed.
    """
    loaded, state = set(sys.modules), random_state()
    result = call(seed)
    if random_state() != state and set(sys.modules) - loaded:
        state = random_state()
        call(seed + 1)
    demand(random_state() == state, f"{what} changes the process's own random state (random or numpy.random)")
    return result


def equal(one: Mapping[str, pl.DataFrame], other: Mapping[str, pl.DataFrame]) -> bool:
    """Say whether two sets of tables hold the same rows in the same order."""
    return list(one) == list(other) and all(frame.equals(other[name]) for name, frame in one.items())


def same_tables(one: Mapping[str, pl.DataFrame], other: Mapping[str, pl.DataFrame], message: str) -> None:
    """Demand that two sets of tables are equal; name the columns that differ."""
    differ = []
    for name, frame in one.items():
        against = other.get(name)
        if against is None or frame.columns != against.columns or frame.height != against.height:
            differ.append(name)
            continue
        differ += [f"{name}.{column}" for column in frame.columns if not frame[column].equals(against[column])]
    demand(not differ and list(one) == list(other), f"{message}: {', '.join(differ) or 'other tables'}")


def subjects(dataset: Dataset) -> pl.Series:
    """Return what `Dataset.take_subjects` takes: the subject keys, or row positions where there are none."""
    key = subject_key(dataset.schema, dataset.schema.parent)
    if key is None:
        return pl.Series("subject", range(dataset.table.height))
    return dataset.table[key].unique(maintain_order=True)


def has_links(dataset: Dataset) -> bool:
    """Say whether a dataset has linked tables, or several rows per subject in its only table."""
    key = subject_key(dataset.schema, dataset.schema.parent)
    return len(dataset.schema.tables) > 1 or (key is not None and dataset.n_subjects < dataset.table.height)


def fresh(generator: type[Generator] | Generator) -> Generator:
    """Return a new, unfitted generator: a class with its defaults, an instance with its parameters."""
    return generator() if isinstance(generator, type) else type(generator)(**generator.parameters())
