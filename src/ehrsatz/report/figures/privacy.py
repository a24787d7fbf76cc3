"""Pictures of privacy: attacks with control and baseline, signs of copying, secrets, who is exposed, class sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ehrsatz.report.figures.base import Picture, curve, dots, has, lines, mark, picture, rows_of, spread

SIDES = "Circle: people the generator saw. Square: people it never saw. Cross: guessing."


def _attacks(attacks: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if has(attacks, "attack", "main", "control"):
        caption = f"Attempts that succeed, with 95 % intervals. {SIDES} Only what the circle gains over the "
        caption += "square is due to the release."
        rows = rows_of(attacks, 100)
        title = f"{about.get('title', 'Attacks')}: main, control and baseline"
        return dots(title, caption, rows[:12], left_out=len(rows) - 12, unit="%")
    return _curves(attacks, details) if has(attacks, "attack", "auc") else []


def _curves(attacks: Any, details: Mapping[str, Any]) -> list[Picture]:
    fair = {one["attack"]: one for one in details.get("without_leak") or ()}
    strongest = details.get("strongest")
    ranked = sorted(attacks, key=lambda one: (one["attack"] != strongest, -one["auc"]))
    rows, series = [], []
    for k, one in enumerate(ranked):
        marks = [mark("synthetic", "AUC", one["auc"], one.get("interval"))]
        if one["attack"] in fair:
            marks.append(mark("real", "without any leak", fair[one["attack"]]["auc"]))
        rows.append({"label": one["attack"], "marks": marks})
        if one.get("curve"):
            style = "synthetic" if k == 0 else f"other{min(k, 4)}"
            series.append(curve(one["attack"], style, spread(one["curve"])))
    caption = "AUC of each attack. Diamond: the same attack where nothing can leak, with fresh real rows in place of "
    caption += "the synthetic ones: what luck alone gives."
    out = dots("Attacks side by side", caption, rows, lines=[{"at": 0.5, "label": "guessing"}])
    caption = "On the dashed line the attacker guesses; the further a curve rises above it, the more is given away."
    title = "Members found against false alarms"
    x, y = "outsiders wrongly accused", "training subjects found"
    return out + lines(title, caption, series[:5], x, y, ends=(0.0, 1.0, 0.0, 1.0), diagonal=True, square=True)


def _statistics(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    """Signs of copying that are counts: how many times as often as chance gives."""
    if not has(rows, "name", "observed", "expected"):
        return []
    shown, seen = [], set()
    for one in rows:
        if one["name"] in seen:
            continue
        seen.add(one["name"])
        if one["expected"] < 1:  # differences, which chance makes zero, have no ratio
            continue
        ratio = one["observed"] / one["expected"]
        shown.append({"label": str(one["name"]), "marks": [mark("synthetic", "times as often", ratio)]})
    caption = (
        "How many times as often as with people it never saw: 1 is chance. Counts only, the strongest signs first."
    )
    lines_ = [{"at": 1.0, "label": "chance"}]
    return dots("Signs of copying", caption, shown[:10], lines=lines_, left_out=len(seen) - len(shown[:10]))


def _secrets(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if has(rows, "secret", "train", "holdout"):
        shown = rows_of(rows, 100)
        return dots("Secrets guessed right", SIDES, shown[:12], left_out=len(shown) - 12, unit="%")
    return dots("Secret by secret", str(about.get("title", "")), rows_of(rows)[:12])


def _exposed(found: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    groups = found.get("groups") if isinstance(found, Mapping) else found
    if has(groups, "group", "p"):
        return []  # p-values are no degree of exposure
    shown = rows_of(groups)
    return dots("Who is exposed", f"Group by group. {SIDES}", shown[:16], left_out=len(shown) - 16)


def _sizes(rows: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if not has(rows, "from", "to", "subjects"):
        return []
    shown = [
        {
            "label": "alone"
            if one["to"] == 1
            else f"{one['from']} or more"
            if one["to"] is None
            else f"{one['from']} to {one['to']}",
            "value": one["subjects"],
        }
        for one in rows
    ]
    title = "Synthetic subjects by the size of their class"
    caption = "How many subjects share their quasi-identifiers with how many others."
    alt = f"{title}: " + ", ".join(f"{one['label']} {one['value']}" for one in shown)
    return [picture("ranking", title, caption, alt, {"rows": shown, "unit": ""})]


DRAWN: dict[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], list[Picture]]] = {
    "attacks": _attacks,
    "statistics": _statistics,
    "secrets": _secrets,
    "exposed": _exposed,
    "sizes": _sizes,
}
