"""Pictures of fidelity: columns, quantiles, missing rates, difference maps, what gives the rows away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ehrsatz.report.figures.base import Picture, curve, dots, has, lines, mark, picture
from ehrsatz.report.format import number

MAX_COLUMNS = 100  # columns drawn one by one
MAX_QUANTILES = 6
MAX_TABLE = 30
NUMERIC = {"integer", "number", "date", "datetime"}


def column_pictures(entries: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Return one picture per column, the least similar first, at most `MAX_COLUMNS`."""
    ranked = sorted(entries, key=lambda one: (one["similarity"], one["table"], one["column"]))
    several = len({one["table"] for one in ranked}) > 1
    out = []
    for one in ranked[:MAX_COLUMNS]:
        bars, name = one["picture"], f"{one['table']}.{one['column']}" if several else one["column"]
        alike = f"{100 * one['similarity']:.1f} % alike"
        data = {key: bars[key] for key in ("labels", "real", "synthetic")}
        data["upright"] = one["kind"] in NUMERIC
        if not bars["labels"]:
            caption = f"{alike}. No picture: {bars['note']}."
            out.append(picture("bars", name, caption, caption, data))
            continue
        pairs = [
            (abs(a - b), label, a, b)
            for label, a, b in zip(bars["labels"], bars["real"], bars["synthetic"])
            if a is not None
        ]
        alt = f"Shares of {name} in {len(bars['labels'])} bars, {alike}"
        if pairs:
            _, label, a, b = max(pairs, key=lambda pair: pair[0])
            alt += f"; they differ most at {label}: real {a:.1f} %, synthetic {b:.1f} %"
        caption = alike + (f". {str(bars['note']).capitalize()}." if bars["note"] else "")
        out.append(picture("bars", name, caption, alt, data))
    return out


def column_table(scores: Sequence[Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return columns by measures, the least similar columns first; None where no measure tells its columns.

    Parameters
    ----------
    scores
        Scores of the twin.
    found
        Metric -> details of the score.
    """
    measures: list[dict[str, Any]] = []
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for one in scores:
        entries = found.get(one["metric"], {}).get("columns", ())
        if one["status"] != "measured" or not has(entries, "column", "value"):
            continue
        measures.append({"metric": one["metric"], "title": one["title"]})
        for entry in entries:
            key = (str(entry.get("table", "")), str(entry["column"]))
            cells.setdefault(key, {})[one["metric"]] = {
                "value": entry["value"],
                "reference": entry.get("reference"),
                "beyond_chance": entry.get("p_holm") is not None and entry["p_holm"] < 0.05,
            }
    if not measures:
        return None
    several = len({table for table, _ in cells}) > 1

    def unlike(key: tuple[str, str]) -> float:
        ratios = [
            one["value"] / (one["reference"] + 1e-3)
            for one in cells[key].values()
            if one["value"] is not None and one["reference"] is not None
        ]
        return -sum(ratios) / max(1, len(ratios))

    ranked = sorted(cells, key=lambda key: (unlike(key), key))
    return {
        "measures": measures,
        "rows": [
            {
                "column": f"{table}.{name}" if several else name,
                "cells": [cells[table, name].get(one["metric"]) for one in measures],
            }
            for table, name in ranked[:MAX_TABLE]
        ],
        "left_out": max(0, len(ranked) - MAX_TABLE),
    }


def _columns(entries: Any, details: Mapping[str, Any]) -> list[Picture]:
    if has(entries, "column", "points"):
        return _quantiles(entries)
    if has(entries, "column", "real", "synthetic"):
        return _rates(entries)
    return []


def _quantiles(entries: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Q-Q plots of the least similar numbers."""
    ranked = sorted(entries, key=lambda one: (-(one.get("value") or 0.0), one["column"]))
    out: list[Picture] = []
    for one in ranked[:MAX_QUANTILES]:
        points = [[p[-2], p[-1]] for p in one["points"] if p[-2] is not None and p[-1] is not None]
        if len(points) < 3:
            continue
        both = [value for point in points for value in point]
        low, high = min(both), max(both)
        room = 0.04 * (high - low) or 0.5
        out += lines(
            f"Q-Q plot of {one['column']}",
            "On the dashed line the quantiles are equal.",
            [curve("quantiles", "synthetic", points, "dots")],
            f"real {one['column']}",
            "synthetic",
            ends=(low - room, high + room, low - room, high + room),
            diagonal=True,
            square=True,
        )
    if out:
        out[-1]["left_out"] = max(0, len(ranked) - len(out))
    return out


def _rates(entries: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Missing rates, where they differ most."""
    known = [one for one in entries if one["real"] is not None and one["synthetic"] is not None]
    ranked = sorted(known, key=lambda one: (-abs(one["real"] - one["synthetic"]), one["column"]))
    rows = [
        {
            "label": one["column"],
            "marks": [
                mark("real", "real", 100 * one["real"]),
                mark("synthetic", "synthetic", 100 * one["synthetic"]),
            ],
        }
        for one in ranked[:10]
    ]
    caption = "Percent of cells that are missing, columns that differ most. Diamond: real; circle: synthetic."
    return dots("Missing cells by column", caption, rows, left_out=len(ranked) - len(rows))


def _maps(maps: Any, details: Mapping[str, Any]) -> list[Picture]:
    out = []
    for one in maps if has(maps, "columns", "real", "synthetic") else ():
        names, real, made = one["columns"], one["real"], one["synthetic"]
        gaps = [
            (abs(made[i][j] - real[i][j]), names[j], names[i])
            for i in range(len(names))
            for j in range(i)
            if made[i][j] is not None and real[i][j] is not None
        ]
        if not gaps:
            continue
        most = max(gaps, key=lambda gap: gap[0])
        table = f" in {one['table']}" if len(maps) > 1 and "table" in one else ""
        title = f"Difference map{table}: how strongly two columns go together, synthetic minus real"
        caption = "Pale is equal, full colour a difference of 0.5 or more. Plain: stronger in the synthetic rows. "
        caption += "Striped: weaker, lost or reversed. Outlined: cannot be measured."
        alt = f"{title}. {len(gaps):,} pairs; the largest difference is {most[0]:.2f}, of {most[1]} with {most[2]}"
        data = {key: one[key] for key in ("columns", "real", "synthetic")}
        out.append(picture("difference", title, caption, alt, data))
    return out


def _worst(rows: Any, details: Mapping[str, Any]) -> list[Picture]:
    if not has(rows, "columns", "similarity"):
        return []
    shown = [
        {"label": " with ".join(str(name) for name in one["columns"]), "value": 100 * one["similarity"]}
        for one in rows[:8]
    ]
    title = "Combinations that agree least"
    told = ", ".join(f"{one['label']} {one['value']:.0f} %" for one in shown[:5])
    return [picture("ranking", title, "Overlap with the real table, in percent.", f"{title}: {told}", {"rows": shown})]


def _culprits(rows: Any, details: Mapping[str, Any]) -> list[Picture]:
    if not has(rows, "column", "drop"):
        return []
    shown = [{"label": one["column"], "value": one["drop"]} for one in rows[:10]]
    title = "What gives the synthetic rows away"
    caption = "How much worse the program gets without the column (loss of AUC)."
    told = ", ".join(f"{one['label']} {number(one['value'])}" for one in shown[:5])
    return [picture("ranking", title, caption, f"{title}: {told}", {"rows": shown}, len(rows) - len(shown))]


DRAWN: dict[str, Callable[[Any, Mapping[str, Any]], list[Picture]]] = {
    "columns": _columns,
    "maps": _maps,
    "worst": _worst,
    "culprits": _culprits,
}
