"""Pictures of utility: learners, curves of predictions, coefficients, survival."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ehrsatz.report.figures.base import (
    Picture,
    curve,
    dots,
    has,
    lines,
    mark,
    picture,
    rows_of,
    spread,
    table,
)
from ehrsatz.report.format import interval, number

WHOLE = (0.0, 1.0, 0.0, 1.0)
MAX_FORMULAS = 4
LESS = ("brier", "error", "calibration", "rmse", "mae")  # measures of which less is better
NAMES = {"real": "trained on real rows", "synthetic": "trained on synthetic rows"}


def _trials(trials: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    measure = str(details.get("measure") or about.get("title") or "the value")
    rows = rows_of(trials)
    for one in rows:
        for m in one["marks"]:
            m["name"] = NAMES.get(m["series"], m["name"])
    guess = [{"at": 0.5, "label": "guessing"}] if measure == "AUC" else []
    better = "less" if any(word in measure.lower() for word in LESS) else "more"
    told = f"{measure[:1].upper()}{measure[1:]} on" if details.get("measure") else "On"
    caption = f"{told} real rows that no model has seen; {better} is better. Diamond: "
    caption += "trained on real rows. Circle: on synthetic ones."
    if any(m["interval"] for one in rows for m in one["marks"]):
        caption += " Bars: 95 % intervals."
    return dots("Models side by side", caption, rows, lines=guess)


def _curves(curves: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if not isinstance(curves, Mapping):
        return []
    if isinstance(curves.get("time"), Sequence):
        return _survival(curves)
    if not all(isinstance(curves.get(k), Mapping) for k in ("real", "synthetic")):
        return []
    learner = f" ({curves['learner']})" if curves.get("learner") else ""
    real, made = curves["real"], curves["synthetic"]
    out: list[Picture] = []

    def both(key: str) -> list[dict[str, Any]]:
        start = 1 if key == "precision_recall" else 0  # with nothing found there is no precision
        return [curve(NAMES[k], k, spread(one[key])[start:]) for k, one in (("real", real), ("synthetic", made))]

    if real.get("roc") and made.get("roc"):
        caption = "On real rows that no model has seen. On the dashed line one guesses."
        title = f"ROC curve{learner}"
        out += lines(title, caption, both("roc"), "false alarms", "found", ends=WHOLE, diagonal=True, square=True)
    if real.get("precision_recall") and made.get("precision_recall"):
        caption = "How many of those called are right (precision), for each share of cases found (recall)."
        title = f"Precision and recall{learner}"
        out += lines(title, caption, both("precision_recall"), "recall", "precision", ends=WHOLE, square=True)
    return out


def _survival(curves: Mapping[str, Any]) -> list[Picture]:
    """Kaplan-Meier curves as long as five subjects are followed."""
    times = curves["time"]
    names = {
        "train": ("real, training", "real"),
        "holdout": ("real, holdout", "other1"),
        "synthetic": ("synthetic", "synthetic"),
    }
    series = [
        curve(name, style, [[t, s] for t, s in zip(times, curves[key]) if s is not None], "step")
        for key, (name, style) in names.items()
        if isinstance(curves.get(key), Sequence)
    ]
    ends = (min(times), max(times), 0.0, 1.0) if times else None
    caption = "Share without the event over time (Kaplan-Meier), drawn as long as five subjects are followed."
    return lines("Survival curves", caption, series, "follow-up time", "without the event", ends=ends)


def _classes(classes: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    """Reliability curves: predicted risk against what came true."""
    out: list[Picture] = []
    for one in classes[:4] if has(classes, "class", "real", "synthetic") else ():
        if not all(has(one[key].get("points"), "predicted", "observed") for key in ("real", "synthetic")):
            continue
        series = [
            curve(NAMES[key], key, [[p["predicted"], p["observed"]] for p in one[key]["points"]])
            for key in ("real", "synthetic")
        ]
        top = max(value for part in series for point in part["points"] for value in point)
        end = min(1.0, 1.1 * top)
        caption = "Tenths of the real test rows by predicted risk. On the dashed line risks come true as foretold."
        title = f"Reliability: {one['class']}"
        out += lines(
            title,
            caption,
            series,
            "predicted risk",
            "came true",
            ends=(0.0, end, 0.0, end),
            diagonal=True,
            square=True,
        )
    return out


def _confusion(confusion: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    classes = confusion.get("classes") if isinstance(confusion, Mapping) else None
    if not classes or len(classes) > 8:
        return []
    rows = []
    for i, name in enumerate(classes):
        made, real = confusion["synthetic"][i], confusion["real"][i]
        if made and real:  # a class without test rows has no shares
            cells = [f"{100 * x:.0f} % ({100 * y:.0f} %)" for x, y in zip(made, real)]
            rows.append([f"is {name}", *cells])
    caption = "Of the rows of a class, how many are called what after synthetic training, and in brackets after real."
    return table("Who is taken for whom", caption, ["", *(f"called {name}" for name in classes)], rows)


def _formulas(formulas: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    """Forest plot and table of each regression."""
    out: list[Picture] = []
    for one in formulas[:MAX_FORMULAS] if has(formulas, "formula", "coefficients") else ():
        rows: list[dict[str, Any]] = []
        cells: list[list[str]] = []
        for term in one["coefficients"]:
            real, made = term.get("real"), term.get("synthetic")
            marks = [
                mark(series, series, side["estimate"], [side["low"], side["high"]])
                for series, side in (("real", real), ("synthetic", made))
                if side is not None
            ]
            rows.append({"label": str(term["term"]), "marks": marks})
            sides = [
                "not estimated"
                if side is None
                else f"{number(side['estimate'])} ({interval((side['low'], side['high']))})"
                for side in (real, made)
            ]
            cells.append([str(term["term"]), *sides, str(term.get("verdict", "")).replace("_", " ")])
        slopes = [row for row in rows if row["label"].lower() not in {"intercept", "(intercept)"}]
        caption = "Coefficients with 95 % intervals. Diamond: real rows. Circle: synthetic rows. An interval that "
        caption += "leaves out zero is significant."
        out += dots(str(one["formula"]), caption, slopes, lines=[{"at": 0.0, "label": "no effect"}])
        if out:
            out[-1]["notes"] = _told(one)
        out += table(
            f"Coefficients of {one['formula']}",
            f"{str(one.get('model', 'regression')).replace('_', ' ').capitalize()}; estimate and 95 % interval.",
            ["Term", "Real", "Synthetic", "Conclusion"],
            cells[:40],
            len(cells) - 40,
        )
    return out


def _told(one: Mapping[str, Any]) -> list[str]:
    references = one.get("references") or {}
    if not isinstance(references, Mapping) or not references:
        return []
    return ["Compared with: " + ", ".join(f"{key} = {level}" for key, level in list(references.items())[:8]) + "."]


def _verdicts(tally: Any, details: Mapping[str, Any], about: Mapping[str, Any]) -> list[Picture]:
    if not isinstance(tally, Mapping) or not details.get("formulas"):
        return []
    rows = [{"label": str(key).replace("_", " "), "value": count} for key, count in tally.items()]
    title = "What becomes of the conclusions"
    alt = f"{title}: " + ", ".join(f"{one['label']} {one['value']}" for one in rows)
    return [picture("ranking", title, "Number of coefficients.", alt, {"rows": rows, "unit": ""})]


DRAWN: dict[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], list[Picture]]] = {
    "trials": _trials,
    "curves": _curves,
    "classes": _classes,
    "confusion": _confusion,
    "verdicts": _verdicts,
    "formulas": _formulas,
}
