"""What codes and drug names mean to a rule: conditions, procedures and ingredients as sets, in every code system.

The sets stand in data/concepts.json. A diagnosis belongs to a set by the beginning of its ICD code or by its SNOMED CT
code; a procedure by its code or by a word of its display; a drug by its ingredient's name in the display.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from ehrsatz.rules.view import Coded, Flags, View

CODED = ("code", "snomed_code")


@cache
def table(name: str) -> Any:
    """Return a file of the rules' data folder."""
    return json.loads(resources.files("ehrsatz.rules").joinpath("data", f"{name}.json").read_text(encoding="utf-8"))


def title(kind: str, name: str) -> str:
    """Return a set's words for a person."""
    return str(table("concepts")[kind][name]["title"])


@cache
def _prefixes(kind: str, field: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    out = {}
    for name, entry in table("concepts")[kind].items():
        if entry.get(field):
            out[name] = (tuple(entry[field].split()), tuple(entry.get(f"not_{field}", "").split()))
    return out


@cache
def _snomed(kind: str) -> dict[str, frozenset[str]]:
    out: dict[str, set[str]] = {}
    for name, entry in table("concepts")[kind].items():
        for code in entry.get("snomed", "").split():
            out.setdefault(code, set()).add(name)
    return {code: frozenset(names) for code, names in out.items()}


@cache
def meanings(kind: str, system: str, code: str) -> frozenset[str]:
    """Return the names of the sets that a code belongs to."""
    if system == "SNOMED-CT":
        return _snomed(kind).get(code, frozenset())
    field = {"ICD-10-CM": "icd10", "ICD-9-CM": "icd9", "ICD-9-PCS": "procedure9"}.get(system)
    if field is None:
        return frozenset()
    bare = code.replace(".", "").upper()
    return frozenset(
        name
        for name, (with_, without) in _prefixes(kind, field).items()
        if bare.startswith(with_) and not (without and bare.startswith(without))
    )


@cache
def _words() -> dict[str, re.Pattern[str]]:
    return {
        name: re.compile(rf"(?:{entry['words']})", re.I)
        for name, entry in table("concepts")["procedures"].items()
        if entry.get("words")
    }


@cache
def worded(display: str) -> frozenset[str]:
    """Return the sets of procedures that a display's words belong to."""
    return frozenset(name for name, pattern in _words().items() if pattern.search(display))


@cache
def _ingredients() -> dict[str, frozenset[str]]:
    out: dict[str, set[str]] = {}
    for name, entry in table("concepts")["drugs"].items():
        for word in entry["words"].split():
            out.setdefault(word, set()).add(name)
    return {word: frozenset(names) for word, names in out.items()}


@cache
def drugs(display: str) -> frozenset[str]:
    """Return the sets of drugs that a drug's display belongs to."""
    text = display.casefold().replace("potassium chloride", "potassium_chloride")
    known = _ingredients()
    return frozenset().union(*(known[word] for word in re.findall(r"[a-z_]+", text) if word in known))


def condition(view: View, name: str, table_: str = "condition") -> Flags:
    """Return which rows of a table of diagnoses belong to a set."""
    return view.once(("condition", table_, name), lambda: _by_code(view, "conditions", table_, name))


def procedure(view: View, name: str) -> Flags:
    """Return which procedures belong to a set, by code or by display."""

    def make() -> Flags:
        found = _by_code(view, "procedures", "procedure", name)
        if view.has("procedure.display"):
            found = found | view.coded("procedure", "display").where(lambda text: name in worded(text))
        return found

    return view.once(("procedure", name), make)


def drug(view: View, name: str, table_: str = "medication") -> Flags:
    """Return which rows of a table of drugs belong to a set, by the display."""
    display = view.coded(table_, "display")
    return view.once(("drug", table_, name), lambda: display.where(lambda text: name in drugs(text)))


def reason(view: View, table_: str, name: str) -> Flags:
    """Return which rows give a reason code of a set."""
    if not view.has(f"{table_}.reason_code"):
        return np.zeros(view.height(table_), dtype=bool)
    system = view.system(table_, "reason_code")
    return view.coded(table_, "reason_code").where(lambda code: name in meanings("conditions", system, code))


def _by_code(view: View, kind: str, table_: str, name: str) -> Flags:
    found = np.zeros(view.height(table_), dtype=bool)
    for column in CODED:
        if view.has(f"{table_}.{column}"):
            coded: Coded = view.coded(table_, column)
            system = view.system(table_, column)
            inside = {code for code in coded.names if name in meanings(kind, system, code)}
            found |= coded.where(inside.__contains__)
    return found
