"""Pictures of fidelity: columns, quantiles, missing rates, difference maps, what gives the rows away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ehrsatz.report.figures.base import Picture, curve, dots, has, label_of, lines, mark, picture, rows_of, spread
from ehrsatz.report.format import number

MAX_COLUMNS = 100  # columns drawn one by one
MAX_QUANTILES = 6
MAX_TABLE = 30
MAX_MAP = 40  # columns of one difference map
NUMERIC = {"integer", "number", "date", "datetime"}


def column_pictures(entries: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Return one picture per column, the least similar first, at most `MAX_COLUMNS`."""
    ranked = sorted(entries, key=lambda one: (one["similarity"], one["table"], one["column"]))
    twice = {name for name, times in Counter(one["column"] for one in ranked).items() if times > 1}
    out = []
    for one in ranked[:MAX_COLUMNS]:
        bars, name = one["picture"], f"{one['table']}.{one['column']}" if one["column"] in twice else one["column"]
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
    twice = {name for name, times in Counter(name for _, name in cells).items() if times > 1}

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
                "column": f"{table}.{name}" if name in twice else name,
                "cells": [cells[table, name].get(one["metric"]) for one in measures],
            }
            for table, name in ranked[:MAX_TABLE]
        ],
        "left_out": max(0, len(ranked) - MAX_TABLE),
    }


def _columns(entries: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if has(entries, "column", "points"):
        return _quantiles(entries)
    if has(entries, "column", "groups"):
        return _by_group(entries, about)
    if not has(entries, "column", "real", "synthetic"):
        return []
    if about.get("theme") == "Missing values":
        known = [one for one in entries if one["real"] is not None and one["synthetic"] is not None]
        ranked = sorted(known, key=lambda one: (-abs(one["real"] - one["synthetic"]), one["column"]))
        caption = "Share of cells that are missing, columns that differ most. Diamond: real. Circle: synthetic."
        title = "Missing cells by column"
        return dots(title, caption, rows_of(ranked[:10], 100), left_out=len(ranked) - 10, unit="%")
    rows = rows_of(entries[:12])
    caption = "Diamond: real. Circle: synthetic."
    return dots("Column by column", caption, rows, left_out=len(entries) - len(rows))


def _by_group(entries: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> list[Picture]:
    """Rates of the groups of each column, after real and after synthetic training."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        for one in entry["groups"]:
            label = f"{entry['column']} = {one.get('group', '')}"
            if isinstance(one.get("real"), Mapping) and isinstance(one.get("synthetic"), Mapping):
                for rate in one["real"]:
                    sides = {"group": label, "real": one["real"][rate], "synthetic": one["synthetic"].get(rate)}
                    found.setdefault(str(rate), []).append(sides)
            else:
                found.setdefault("", []).append({**one, "group": label})
    out: list[Picture] = []
    for rate, rows in list(found.items())[:2]:
        shown = rows_of(rows)
        title = str(about.get("title", "Groups")) + (f": {rate.replace('_', ' ')}" if rate else "")
        title += "" if "by group" in title else ", by group"
        caption = "Diamond: real, or trained on real rows. Circle: synthetic, or trained on synthetic rows."
        out += dots(title, caption, shown[:12], left_out=len(shown) - 12)
    return out


def _quantiles(entries: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Q-Q plots of the least similar numbers."""
    ranked = sorted(entries, key=lambda one: (-(one.get("value") or 0.0), one["column"]))
    out: list[Picture] = []
    for one in ranked[:MAX_QUANTILES]:
        points = [[p[-2], p[-1]] for p in one["points"] if p[-2] is not None and p[-1] is not None]
        if len(points) < 3 or len({tuple(point) for point in points}) < 3:
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
    return out


def _maps(maps: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    out = []
    for one in maps if has(maps, "columns", "real", "synthetic") else ():
        rows, columns, left_out = _sides(one)
        if not rows:
            continue
        real, made = one["real"], one["synthetic"]
        square = "rows" not in one
        gaps = [
            (abs(made[i][j] - real[i][j]), one["columns"][j], (one["columns"] if square else one["rows"])[i])
            for i in rows
            for j in columns
            if (not square or j < i) and made[i][j] is not None and real[i][j] is not None
        ]
        if not gaps:
            continue
        most = max(gaps, key=lambda gap: gap[0])
        scale = 0.5 if most[0] > 0.1 else 0.1
        table = f" in {one['table']}" if len(maps) > 1 and "table" in one else ""
        title = f"Difference map{table}: {about.get('title', 'strength')}, synthetic minus real"
        caption = (
            f"Pale is equal, full colour a difference of {scale:g} or more. Plain: stronger in the synthetic rows. "
        )
        caption += "Striped: weaker, lost or reversed. Outlined: cannot be measured."
        alt = f"{title}. {len(gaps):,} pairs; the largest difference is {most[0]:.2f}, of {most[1]} with {most[2]}"
        data = {
            "columns": [one["columns"][j] for j in columns],
            "rows": None if square else [one["rows"][i] for i in rows],
            "real": [[real[i][j] for j in columns] for i in rows],
            "synthetic": [[made[i][j] for j in columns] for i in rows],
            "scale": scale,
        }
        out.append(picture("difference", title, caption, alt, data, left_out))
    return out


def _sides(one: Mapping[str, Any]) -> tuple[list[int], list[int], int]:
    """Return the rows and columns of a map to draw: those with the largest differences; and how many are left out."""
    real, made = one["real"], one["synthetic"]

    def far(i: int, j: int) -> float:
        a, b = real[i][j], made[i][j]
        return 0.0 if a is None or b is None else abs(b - a)

    n, m = len(real), len(one["columns"])
    kept = []
    for size, other, turned in ((n, m, False), (m, n, True)):
        sums = [sum(far(j, i) if turned else far(i, j) for j in range(other)) for i in range(size)]
        best = sorted(range(size), key=lambda i: (-sums[i], i))[:MAX_MAP]
        kept.append(sorted(best))
    if "rows" not in one:
        kept[1] = kept[0]
    return kept[0], kept[1], m - len(kept[1])


def _worst(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if has(rows, "columns", "similarity"):
        shown = [{"label": label_of(one), "value": 100 * one["similarity"]} for one in rows[:8]]
        title = "Combinations that agree least"
        told = ", ".join(f"{one['label']} {one['value']:.0f} %" for one in shown[:5])
        alt = f"{title}: {told}"
        return [picture("ranking", title, "Overlap with the real table.", alt, {"rows": shown, "unit": "%"})]
    return dots("Where they differ most", "Diamond: real. Circle: synthetic.", rows_of(rows)[:8])


def _patterns(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if not has(rows, "missing", "real", "synthetic"):
        return []
    caption = "Share of rows. Diamond: real. Circle: synthetic."
    shown = rows_of(rows, 100)
    return dots("Which cells are missing together", caption, shown[:10], left_out=len(shown) - 10, unit="%")


def _culprits(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if not has(rows, "column", "drop"):
        return []
    shown = [{"label": one["column"], "value": one["drop"]} for one in rows[:10]]
    title = "What gives the synthetic rows away"
    caption = "How much worse the program gets without the column (loss of AUC)."
    told = ", ".join(f"{one['label']} {number(one['value'])}" for one in shown[:5])
    notes = [f"{one['column']}: {one['how']}." for one in rows[:5] if one.get("how")]
    alt = f"{title}: {told}"
    return [picture("ranking", title, caption, alt, {"rows": shown, "unit": ""}, len(rows) - len(shown), notes)]


def _parts(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    """Deciles of counts and times, real and synthetic."""
    out: list[Picture] = []
    for one in rows if has(rows, "part", "deciles") else ():
        real, made = one["deciles"].get("holdout"), one["deciles"].get("synthetic")
        if real and made:
            series = [
                curve(name, style, [[10.0 * (i + 1), value] for i, value in enumerate(values)])
                for name, style, values in (("real", "real", real), ("synthetic", "synthetic", made))
            ]
            caption = "Nine deciles: a tenth of all lie below the first, nine tenths below the last."
            out += lines(str(one["part"]).capitalize(), caption, series, "percent of all", str(one["part"]))
    return out


def _codes(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if has(rows, "code", "similarity"):
        ranked = [{"label": str(one["code"]), "value": one["similarity"]} for one in rows[:10]]
        title = "Codes that agree least"
        alt = f"{title}: " + ", ".join(f"{one['label']} {number(one['value'])}" for one in ranked[:5])
        return [
            picture(
                "ranking", title, "1 is the same as in real data.", alt, {"rows": ranked, "unit": ""}, len(rows) - 10
            )
        ]
    shown = rows_of(rows)
    return dots("Code by code", "Diamond: real. Circle: synthetic.", shown[:12], left_out=len(shown) - 12)


def _points(points: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    """Real against synthetic shares."""
    if not isinstance(points, Sequence) or not all(isinstance(p, Sequence) and len(p) == 2 for p in points):
        return []
    top = max([1e-9, *(value for point in points for value in point)])
    return lines(
        "Real against synthetic shares",
        "One dot each; on the dashed line the shares are equal.",
        [curve("shares", "synthetic", points, "dots")],
        "share in real data",
        "share in synthetic data",
        ends=(0.0, 1.05 * top, 0.0, 1.05 * top),
        diagonal=True,
        square=True,
    )


def _groups(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if has(rows, "marks", "synthetic"):
        return _clusters(rows)
    share = about.get("theme") == "Representation"
    shown = rows_of(rows, 100 if share else 1)
    series = {m["series"] for one in shown for m in one["marks"]}
    caption = "Share of all. " if share else ""
    caption += "Circle: synthetic." if "synthetic" in series else ""
    caption += " Diamond: real data." if "real" in series else ""
    caption += " Square: people never seen." if "control" in series else ""
    caption += " Cross: without skill." if "baseline" in series else ""
    title = f"{about.get('title', 'Subgroups')}, by group"
    return dots(title, caption, shown[:16], left_out=len(shown) - 16, unit="%" if share else "")


def _clusters(rows: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """Groups of like rows: which share of each is synthetic, where half would be equal."""
    shown = [
        {"label": ", ".join(str(word) for word in one["marks"]), "marks": [mark("synthetic", "synthetic", share)]}
        for one in rows
        if one["marks"] and (share := 100 * one["synthetic"]) is not None
    ]
    caption = "Share of each group that is synthetic; 50 % is as many as real ones. The largest gaps first."
    lines_ = [{"at": 50.0, "label": "equal"}]
    return dots("Groups of like rows", caption, shown[:8], lines=lines_, left_out=len(shown) - 8, unit="%")


def _views(views: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    """Densities over two axes, real and synthetic side by side; hidden cells stay hidden."""
    out: list[Picture] = []
    absent = []
    for one in views if has(views, "title", "status") else ():
        if one["status"] != "drawn":
            absent.append(f"{one['title']}: {one['status']}.")
            continue
        across, down = one["size"]
        panels = []
        for key in ("real", "synthetic"):
            cells: list[list[float | None]] = [[0.0] * across for _ in range(down)]
            for x, y, share in zip(one["x"], one["y"], one[key]):
                cells[down - 1 - y][x] = share
            panels.append({"title": key, "cells": cells})
        hidden = one.get("hidden", {})
        overlap = f" Overlap {100 * one['overlap']:.0f} %." if "overlap" in one else ""
        title = f"{one['title']}: where the rows lie"
        caption = f"Darker is denser, both on one scale.{overlap} Cells of fewer than five subjects are not shown "
        caption += f"({hidden.get('real', 0)} real, {hidden.get('synthetic', 0)} synthetic)."
        axes = [_axis(i, one) for i in (0, 1)]
        notes = [f"{name}: {words}." for name, words in zip(("Across", "Up"), axes) if words]
        data = {"panels": panels, "x": axes[0][:1] and "component 1", "y": axes[1][:1] and "component 2"}
        out.append(picture("grids", title, caption, f"{title}, real beside synthetic.{overlap}", data, notes=notes))
    if out:
        out[-1]["notes"] += absent
    return out


def _axis(i: int, one: Mapping[str, Any]) -> str:
    """Say what an axis of a view is made of; nothing where it has no meaning."""
    axes = one.get("axes")
    if not isinstance(axes, Sequence) or len(axes) <= i:
        return ""
    names = ", ".join(str(part["column"]) for part in axes[i] if "column" in part)
    explained = one.get("explained") or ()
    share = f"{100 * explained[i]:.0f} % of the variance" if len(explained) > i else ""
    return "; ".join(part for part in (share, f"moves most with {names}" if names else "") if part)


def _curve(values: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    """One curve from 0 to 1: found against false alarms, or share against level."""
    whole = (0.0, 1.0, 0.0, 1.0)
    title = str(about.get("title", "Curve"))
    if isinstance(values, Mapping) and "level" in values and "share" in values:
        points = [[0.0, 0.0], *([a, b] for a, b in zip(values["level"], values["share"]))]
        caption = "Share reached at each level, from the most typical rows to all; on the dashed line both are equal."
        series, x, y = [curve("synthetic", "synthetic", points)], "level", "share reached"
    elif isinstance(values, Sequence) and len(values) > 2 and all(isinstance(v, (int, float)) for v in values):
        caption = "On the dashed line the attacker guesses."
        series = [curve("attack", "synthetic", spread(values))]
        x, y = "outsiders wrongly accused", "training subjects found"
    else:
        return []
    return lines(title, caption, series, x, y, ends=whole, diagonal=True, square=True)


def _accepted(arms: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    """What experts accepted, by kind of record."""
    names = {"synthetic": "synthetic records", "real": "real records", "planted": "records with a planted error"}
    series = {"synthetic": "synthetic", "real": "real", "planted": "baseline"}
    rows = [
        {
            "label": names[kind],
            "marks": [
                mark(
                    series[kind],
                    "accepted",
                    100 * arms[kind]["accepted"],
                    [100 * end for end in arms[kind]["interval"]],
                )
            ],
        }
        for kind in names
        if isinstance(arms, Mapping) and has([arms.get(kind)], "accepted", "interval")
    ]
    out = dots("What the experts accepted", "Share of records, with 95 % intervals.", rows, unit="%")
    if out:
        out[0]["notes"] = [str(one) for one in details.get("notes") or ()]
    return out


DRAWN: dict[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], list[Picture]]] = {
    "columns": _columns,
    "maps": _maps,
    "worst": _worst,
    "patterns": _patterns,
    "culprits": _culprits,
    "parts": _parts,
    "points": _points,
    "codes": _codes,
    "groups": _groups,
    "views": _views,
    "curve": _curve,
    "accepted": _accepted,
}
