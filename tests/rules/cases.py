"""One record just inside and one just outside for every rule: id -> (rows that keep it, rows that break it)."""

from __future__ import annotations

from typing import Any

from rules.lives import Rows

Case = tuple[Rows, Rows]
CASES: dict[str, Case] = {}
BORN = "1970-01-01"


def case(rule: str, good: Rows, bad: Rows) -> None:
    """Add a case; a rule has one."""
    assert rule not in CASES, rule
    CASES[rule] = (good, bad)


def born(day: str = BORN, sex: str = "female", **more: Any) -> list[dict[str, Any]]:
    """Return the one patient."""
    return [{"birth_date": day, "sex": sex, **more}]


def died(time: str, day: str = BORN) -> list[dict[str, Any]]:
    """Return the one patient, who died then."""
    return born(day, death_time=time)


def visit(start: str, stop: str | None = None, class_: str = "ambulatory", **more: Any) -> dict[str, Any]:
    """Return one encounter."""
    return {"class": class_, "start": start, "stop": stop or start, **more}


def seen(
    code: str, value: float | None, unit: str | None, time: str = "2010-05-05 10:00", **more: Any
) -> dict[str, Any]:
    """Return one observation."""
    return {"code": code, "value": value, "unit": unit, "time": time, **more}


def ill(code: str, onset: str = "2010-01-01", **more: Any) -> dict[str, Any]:
    """Return one condition; a code of digits alone is SNOMED CT's."""
    name = "snomed_code" if code.isdigit() and len(code) > 5 else "code"
    return {name: code, "onset": onset, **more}


def took(display: str, start: str = "2010-06-01", stop: str | None = None, **more: Any) -> dict[str, Any]:
    """Return one medication."""
    return {"display": display, "start": start, "stop": stop, **more}


def did(code: str, start: str = "2010-06-01", display: str | None = None, **more: Any) -> dict[str, Any]:
    """Return one procedure."""
    return {"code": code, "display": display, "start": start, "stop": start, **more}
