"""Pictures of privacy: attacks side by side and their curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ehrsatz.report.figures.base import Picture, curve, dots, has, lines, mark, spread


def _attacks(attacks: Any, details: Mapping[str, Any]) -> list[Picture]:
    if not has(attacks, "attack", "auc"):
        return []
    fair = {one["attack"]: one for one in details.get("without_leak", ())}
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
    return out + lines(title, caption, series, x, y, ends=(0.0, 1.0, 0.0, 1.0), diagonal=True, square=True)


DRAWN: dict[str, Callable[[Any, Mapping[str, Any]], list[Picture]]] = {"attacks": _attacks}
