"""Pictures of utility: learners, curves of predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ehrsatz.report.figures.base import Picture, curve, dots, has, lines, mark, spread

WHOLE = (0.0, 1.0, 0.0, 1.0)


def _trials(trials: Any, details: Mapping[str, Any]) -> list[Picture]:
    if not has(trials, "learner", "real", "synthetic"):
        return []
    measure = str(details.get("measure", "score"))
    rows = [
        {
            "label": one["learner"],
            "marks": [
                mark("real", "trained on real rows", one["real"], one.get("real_interval")),
                mark("synthetic", "trained on synthetic rows", one["synthetic"], one.get("synthetic_interval")),
            ],
        }
        for one in trials
    ]
    guess = [{"at": 0.5, "label": "guessing"}] if measure == "AUC" else []
    caption = f"{measure} on real rows that no model has seen; 1 is perfect. Diamond: trained on real rows. Circle: on "
    caption += "synthetic ones. Bars: 95 % intervals."
    return dots(f"Learners side by side ({measure})", caption, rows, lines=guess)


def _curves(curves: Any, details: Mapping[str, Any]) -> list[Picture]:
    if not isinstance(curves, Mapping) or not all(isinstance(curves.get(k), Mapping) for k in ("real", "synthetic")):
        return []
    learner = f" ({curves['learner']})" if curves.get("learner") else ""
    real, made = curves["real"], curves["synthetic"]
    names = {"real": "trained on real rows", "synthetic": "trained on synthetic rows"}
    out: list[Picture] = []

    def both(key: str) -> list[dict[str, Any]]:
        return [curve(names[k], k, spread(one[key])) for k, one in (("real", real), ("synthetic", made))]

    if real.get("roc") and made.get("roc"):
        caption = "On real rows that no model has seen. On the dashed line one guesses."
        out += lines(
            f"ROC curve{learner}",
            caption,
            both("roc"),
            "false alarms",
            "found",
            ends=WHOLE,
            diagonal=True,
            square=True,
        )
    if real.get("precision_recall") and made.get("precision_recall"):
        caption = "How many of those called are right (precision), for each share of cases found (recall)."
        out += lines(
            f"Precision and recall{learner}",
            caption,
            both("precision_recall"),
            "recall",
            "precision",
            ends=WHOLE,
            square=True,
        )
    return out


DRAWN: dict[str, Callable[[Any, Mapping[str, Any]], list[Picture]]] = {"trials": _trials, "curves": _curves}
