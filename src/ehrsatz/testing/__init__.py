"""Contracts that every variant keeps, as functions that anybody's tests can call.

`check_generator`, `check_metric`, `check_rule`, `check_exporter` and `check_source` each raise `AssertionError` with
what failed and where. They are what the project's own tests run on every registered variant, and what an outside
package runs on its own before it registers it under an entry point. A message names tables, columns and counts, never
a cell value.
"""

from ehrsatz.testing.disclosure import check_model_privacy
from ehrsatz.testing.generator import check_generator
from ehrsatz.testing.variants import check_exporter, check_metric, check_rule, check_source

__all__ = [
    "check_exporter",
    "check_generator",
    "check_metric",
    "check_model_privacy",
    "check_rule",
    "check_source",
]
