"""Code systems: which codes the package names, what they mean, under which licence, and units of measure.

Only codes that the simulator uses stand here, each with its display; a whole release of a system is never shipped.
"""

from ehrsatz.terminology.shipped import Codes, check, codes, display, has
from ehrsatz.terminology.systems import SYSTEMS, System, notice

__all__ = ["SYSTEMS", "Codes", "System", "check", "codes", "display", "has", "notice"]
