"""ehrsatz: healthcare test data that people can trust.

The public names load late, so that `import ehrsatz` stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "read": "ehrsatz.pipeline",
    "simulate": "ehrsatz.simulation",
    "generator": "ehrsatz.pipeline",
    "check": "ehrsatz.pipeline",
    "evaluate": "ehrsatz.pipeline",
    "judge": "ehrsatz.pipeline",
    "export": "ehrsatz.pipeline",
    "fabricate": "ehrsatz.pipeline",
    "verify": "ehrsatz.pipeline",
    "Dataset": "ehrsatz.dataset",
    "Schema": "ehrsatz.schema",
    "Table": "ehrsatz.schema",
    "Link": "ehrsatz.schema",
    "Column": "ehrsatz.schema",
    "Scenario": "ehrsatz.scenario",
}

__all__ = [*_PUBLIC, "errors"]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("ehrsatz.errors")
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ehrsatz' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
