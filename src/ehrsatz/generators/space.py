"""Which settings of a generator are worth trying: ranges and choices, declared by it or taken from its defaults.

A method declares `space`, parameter -> `Range` or a tuple of choices. One that declares none gets half to twice of each
default that is a positive number, within `ranges`; what changes no row, or only how many rows are read, stays as it is.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

ASIDE = frozenset({"workers", "max_rows", "budget"})  # parameters that are no matter of quality
FACTOR = 2.0  # how far from a default to look, in both directions


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; whole numbers where both ends are whole numbers.

    Parameters
    ----------
    low, high
        The ends.
    log
        Whether steps are factors: as much between 1 and 2 as between 2 and 4.
    """

    low: float
    high: float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers lie in it."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (isinstance(value, int) or not self.is_whole)


Domain = Range | tuple[Any, ...]


def space_of(made: type[Any]) -> dict[str, Domain]:
    """Return what to try of a generator: parameter -> range or choices.

    Parameters
    ----------
    made
        The generator's class.

    Examples
    --------
    >>> from ehrsatz import registry
    >>> space_of(registry.find("generators", "independent"))
    {'max_bins': (64, 256)}
    """
    if made.space:
        return dict(made.space)
    found: dict[str, Domain] = {}
    for name, one in inspect.signature(made.__init__).parameters.items():
        value = one.default
        if name in ASIDE or name not in made.ranges or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        least, most = made.ranges[name]
        kind = type(value)
        low, high = kind(max(least, value / FACTOR)), kind(min(most, value * FACTOR))
        if 0 < low < high:
            found[name] = Range(low, high, log=True)
    return found


def defaults_of(made: type[Any]) -> dict[str, Any]:
    """Return a generator's parameters at their defaults."""
    known = inspect.signature(made.__init__).parameters
    return {name: one.default for name, one in known.items() if name != "self"}
