"""How numbers and names are written in the report, and how they are made safe to show."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

# Control characters, and the signs that turn the direction of everything after them, have no place in a report.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def number(value: float | None) -> str:
    """Return a number with as many digits as it can carry; "none" where there is none.

    Examples
    --------
    >>> number(0.93506), number(12345.6), number(0.00004), number(5), number(-0.0), number(None)
    ('0.935', '12,346', '4e-05', '5', '0', 'none')
    """
    if value is None:
        return "none"
    size = abs(value)
    if size < 1e-9:
        return "0"
    if isinstance(value, int) or (size >= 2 and float(value).is_integer()):
        return f"{int(value):,}"
    if size < 5e-4:
        return f"{value:.1g}"
    return f"{value:,.{3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}"


def measure(value: float | None, unit: str = "") -> str:
    """Return a number with its unit; percent with one digit."""
    return f"{value:.1f} %" if unit == "%" and value is not None else number(value)


def interval(ends: Any) -> str:
    """Return an interval in words."""
    return "none" if ends is None else f"{number(ends[0])} to {number(ends[1])}"


def plain(value: Any) -> Any:
    """Return plain JSON types: floats of ten digits, infinite ones as null, text without unsafe characters."""
    if isinstance(value, Mapping):
        return {clean(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    out = float(value)
    return float(f"{out:.10g}") if math.isfinite(out) else None


def clean(words: str) -> str:
    """Replace characters that cannot be seen, or that reorder what is around them."""
    return UNSAFE.sub("�", words)
