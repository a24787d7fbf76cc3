"""Late import of optional parts, or an error that says what to install."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from ehrsatz.errors import MissingExtraError


def require(module: str, *, extra: str, feature: str) -> ModuleType:
    """Import an optional module now, or say exactly what to install.

    Parameters
    ----------
    module
        Dotted name to import.
    extra
        The extra of ehrsatz that brings it.
    feature
        What the reader wanted to do, as in "reading from a database".

    Raises
    ------
    MissingExtraError
        When the module cannot be found.
    """
    if not is_available(module):
        raise MissingExtraError(
            f"{feature} needs the package '{module.split('.')[0]}'.",
            "It is not installed here.",
            f"Install it with: pip install 'ehrsatz[{extra}]'",
        )
    return importlib.import_module(module)


def is_available(module: str) -> bool:
    """Say whether a module could be imported, without importing it."""
    return importlib.util.find_spec(module.split(".")[0]) is not None
