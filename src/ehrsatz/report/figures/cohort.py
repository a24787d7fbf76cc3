"""Pictures of a simulated cohort: figures by age and sex, pairs of figures, curves, and tables of what was counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ehrsatz.report.figures.base import Picture, curve, dots, lines, mark, picture, table

MOST_CONDITIONS = 24
STATES = {"within": "within", "off": "off", "by chance": "by chance"}


def _bands(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    out = []
    for one in found[:MOST_CONDITIONS]:
        caption = f"Share of the living. Published: {brief(one['source'])}"
        data = {"unit": one["unit"], "panels": one["panels"]}
        out.append(picture("bands", one["title"], caption, _alt(one["title"], one["panels"], one["unit"]), data))
    return out


def brief(source: str) -> str:
    """Return a citation up to its DOI, or its beginning."""
    found = re.match(r".*?doi:[^\s,;:()]+(?:\([^\s()]*\)[^\s,;:()]*)*", source)
    words = found[0] if found else source
    return words if len(words) <= 170 else words[:170].rsplit(" ", 1)[0] + " …"


def _alt(title: str, panels: Sequence[Mapping[str, Any]], unit: str) -> str:
    told = []
    for panel in panels:
        known = [one for one in panel["cells"] if one["reached"] is not None]
        words = [f"{one['label']} {one['reached']:.3g} against {one['published']:.3g}{unit}" for one in known[:4]]
        told.append(f"{panel['name']}: {', '.join(words) or 'too few'}")
    return f"{title}, simulated against published. {'; '.join(told)}"


def _ribbons(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    out = []
    for one in found:
        at = [curve_["at"] for curve_ in one["panels"][0]["curves"]]
        caption = f"Quantiles by age ({', '.join(at)}). Published: {brief(one['source'])}"
        middle = [
            {"name": panel["name"], "cells": panel["curves"][len(panel["curves"]) // 2]["cells"]}
            for panel in one["panels"]
        ]
        out.append(picture("ribbons", one["title"], caption, _alt(one["title"], middle, ""), {"panels": one["panels"]}))
    return out


def _dumbbells(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    out: list[Picture] = []
    for one in found:
        rows = [
            {
                "label": row["label"],
                "marks": [
                    *([] if one["ratio"] else [mark("real", "published", row["published"])]),
                    mark("synthetic", "simulated", row["reached"], row["interval"]),
                ],
            }
            for row in one["rows"]
        ]
        caption = "Diamond: published. Circle: simulated, with its 95 % interval. What is furthest off comes first."
        lines_ = [{"at": 1.0, "label": "published"}] if one["ratio"] else []
        out += dots(one["title"], caption, rows, unit=one["unit"], lines=lines_)
    return out


def _curves(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    out: list[Picture] = []
    for one in found:
        series = [
            curve("published life table", "real", one["published"]),
            curve("simulated", "synthetic", one["reached"]),
        ]
        title = f"Alive by age, {one['sex']}"
        out += lines(
            title, "Share of those born who reach an age.", series, "age in years", "share alive", ends=(0, 100, 0, 1)
        )
    return out


def _glycaemia(found: Mapping[str, Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    points = found["points"]
    if not points:
        return []
    low, high = min(p[0] for p in points), max(p[0] for p in points)
    ends = [[x, found["slope"] * x + found["start"]] for x in (low, high)]
    series = [
        curve("line of the ADAG study", "real", ends),
        curve("patients, their means", "synthetic", points, "dots"),
    ]
    caption = "Mean HbA1c and mean capillary glucose of patients who have both; those of the first shard are drawn."
    return lines("HbA1c and mean glucose", caption, series, "HbA1c, %", "mean glucose, mg/dL")


def _figures(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    head = ("Figure", "Published", "Simulated", "95 % interval", "Rests on", "")
    rows = [
        [one["what"], one["published"], one["reached"], one["interval"], one["n"], STATES[one["state"]]]
        for one in found
    ]
    caption = "What is off first. By chance: beyond the bound, by no more than the interval explains."
    out = table("All figures", caption, head, rows, int(details.get("left_out", 0)))
    sources = list(dict.fromkeys(one["source"] for one in found))
    return out + table("Sources of these figures", "As cited in the package.", ("Source",), [[one] for one in sources])


def _rules(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    rows = [[f"{one['title']} ({one['rule']})", f"{one['checked']:,}", f"{one['broken']:,}"] for one in found]
    caption = "Rules that at least one row breaks; docs/rules.md has the reason and source of each."
    return table("Rules that are broken", caption, ("Rule", "Rows it applies to", "Rows that break it"), rows)


def _themes(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    rows = [[one["theme"], f"{one['rules']:,}", f"{one['checked']:,}", f"{one['broken']:,}"] for one in found]
    return table(
        "Rules by theme", "Rows are counted once per rule.", ("Theme", "Rules", "Rows checked", "Broken"), rows
    )


def _systems(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    rows = [[one["system"], f"{one['checked']:,}", f"{one['unknown']:,}"] for one in found]
    return table("Codes by system", "UCUM is read by its grammar.", ("System", "Codes", "In no list"), rows)


def _links(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    rows = [[one["link"], f"{one['checked']:,}", f"{one['dangling']:,}"] for one in found if one["checked"]]
    return table("Keys by column", "Every link of the schema.", ("Column", "Keys", "Lead nowhere"), rows)


def _quotas(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    rows = [[one["what"], f"{one['asked']:,}", f"{one['there']:,}", f"{one['fit']:,}", one["short"]] for one in found]
    head = ("Asked for", "How many", "There", "All of it holds", "Who lacks what")
    return table("Quota by quota", "Counted again from the tables.", head, rows)


def _asked(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    head = ("Figure", "Asked for", "Before", "Reached", "")
    rows = [
        [one["what"], one["asked"], one["before"], one["reached"], "met" if one["met"] else "not met"] for one in found
    ]
    return table("Figures of your own", "Before: what the published knowledge gives.", head, rows)


def _lost(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    rows = [[one["what"], one["asked"], one["before"], one["reached"]] for one in found]
    caption = "Published figures that moved away from where they were, beyond their bound."
    return table("What no longer fits", caption, ("Figure", "Published", "Before", "Now"), rows)


def _formats(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    head = ("Format", "Facts compared", "Differ", "Columns it carries", "Declared losses")
    rows = [[one["format"], *(f"{one[key]:,}" for key in FORMAT_COUNTS)] for one in found]
    caption = "Each was read back and held against the clinical tables, cell by cell."
    return table("Formats of this cohort", caption, head, rows)


def _format_losses(found: Sequence[Any], details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    wholes: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        name = one["column"] or "whole rows"
        entry = wholes.setdefault((one["format"], one["table"], one["reason"]), [])
        entry.append(name if one["extent"] == "all" else f"{name} ({one['extent']})")
    rows = [[format_, table_, ", ".join(names), reason] for (format_, table_, reason), names in wholes.items()]
    head = ("Format", "Table", "Not carried", "Why")
    return table("What formats cannot carry", "Declared before anything was written.", head, rows)


FORMAT_COUNTS = ("n_facts", "n_differ", "n_columns", "n_losses")
DRAWN: dict[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], list[Picture]]] = {
    "curves": _curves,
    "glycaemia": _glycaemia,
    "dumbbells": _dumbbells,
    "bands": _bands,
    "ribbons": _ribbons,
    "quota_rows": _quotas,
    "rules": _rules,
    "rule_themes": _themes,
    "code_systems": _systems,
    "links": _links,
    "formats": _formats,
    "format_losses": _format_losses,
    "asked": _asked,
    "lost": _lost,
    "figures": _figures,
}
