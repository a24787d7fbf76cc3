"""Every exception and warning of ehrsatz, in one tree.

    EhrsatzError
    ├── SourceError        OSError               a file, folder or database cannot be read as data
    ├── SchemaError        ValueError            a schema is wrong in itself, or disagrees with the data
    ├── DataError          ValueError            the data do not fit what a step needs
    ├── ScenarioError      ValueError            a run is described wrongly (unknown key, bad value)
    ├── UnknownNameError   LookupError           a name that the registry does not hold
    ├── UnsupportedError   NotImplementedError   a method cannot do what was asked, and says so
    ├── InfeasibleError    ValueError            conditions (`given`) that no row can meet
    ├── NotFittedError     RuntimeError          sample or save before fit
    ├── MissingExtraError  ImportError           an optional part is not installed
    ├── ModelError         ValueError            a saved model is damaged, altered or of a newer version
    ├── DeviceError        RuntimeError          the device that a network learns on is gone
    ├── OutputError        OSError               an output folder cannot be written, or is not empty
    └── CapsuleError       ValueError            a release was changed after it was made, or is incomplete
    EhrsatzWarning         UserWarning
    ├── DataWarning                              something in the data was changed or left out, and the run goes on
    └── TrainingWarning                          a network's training did not go as it should; what was kept is said

A message has three parts, one sentence each: what was expected, what was found and where (names, counts and
positions, never a cell value), what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class EhrsatzError(Exception):
    """Say what was expected, what was found and where, and what to do next.

    Parameters
    ----------
    expected, found, advice
        One sentence each; `found` names places and counts, never a cell value.
    problems
        All single problems, when a check collected more than one; they are listed under the message.
    """

    def __init__(self, expected: str, found: str = "", advice: str = "", *, problems: Iterable[str] = ()) -> None:
        self.expected, self.found, self.advice = expected, found, advice
        self.problems = tuple(problems)
        super().__init__(expected, found, advice, self.problems)

    def __str__(self) -> str:
        lines = [" ".join(part for part in (self.expected, self.found, self.advice) if part)]
        lines += [f"  - {problem}" for problem in self.problems]
        return "\n".join(lines)


class SourceError(EhrsatzError, OSError):
    """A file, folder or database cannot be read as data."""


class SchemaError(EhrsatzError, ValueError):
    """A schema is wrong in itself, or disagrees with the data."""


class DataError(EhrsatzError, ValueError):
    """The data do not fit what a step needs."""


class ScenarioError(EhrsatzError, ValueError):
    """A run is described wrongly."""


class UnknownNameError(EhrsatzError, LookupError):
    """A name that the registry does not hold."""


class UnsupportedError(EhrsatzError, NotImplementedError):
    """A method cannot do what was asked, and says so by name."""


class InfeasibleError(EhrsatzError, ValueError):
    """Conditions that no row can meet."""


class NotFittedError(EhrsatzError, RuntimeError):
    """Sample or save before fit."""


class MissingExtraError(EhrsatzError, ImportError):
    """An optional part is not installed."""


class ModelError(EhrsatzError, ValueError):
    """A saved model is damaged, altered or of a newer version."""


class DeviceError(EhrsatzError, RuntimeError):
    """The device that a network learns on is gone."""


class OutputError(EhrsatzError, OSError):
    """An output folder cannot be written, or is not empty."""


class CapsuleError(EhrsatzError, ValueError):
    """A release was changed after it was made, or is incomplete."""


class EhrsatzWarning(UserWarning):
    """Base of every warning of ehrsatz."""


class DataWarning(EhrsatzWarning):
    """Something in the data was changed or left out, and the run goes on."""


class TrainingWarning(EhrsatzWarning):
    """A network's training did not go as it should: memory, a loss that is no number, modes lost."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest known name, or an empty string."""
    match = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{match[0]}'?" if match else ""
