"""Evaluations made by hand for the tests of the report: no data, every shape of score."""

from __future__ import annotations

from typing import Any

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.provenance import Provenance, Step
from ehrsatz.schema import Column, Schema, Table

HOSTILE = (
    "<script>alert(1)</script>",
    "\"quotes\" & 'more'",
    "\u202eright to left",
    "שם העמודה",
    "x" * 200,
    "🫀 heart & 🧠",
    "line\nbreak",
    "{{ 7 * 7 }}",
    "</style><img src=x onerror=alert(1)>",
)
PROVENANCE = Provenance("generated", (Step("sample", "trees", "0.1.0", {"n": 120}, 3, "ab12"),))


def schema_of(names: tuple[str, ...] | list[str]) -> Schema:
    """Return a schema of one table with these columns."""
    return Schema("t", (Table("t", tuple(Column(name, "number") for name in names)),))


def about(family: str, theme: str, **more: Any) -> dict[str, Any]:
    """Return what an evaluation says about a metric."""
    found = {"title": "A measure", "family": family, "theme": theme, "goal": "maximise", "low": 0.0, "high": 1.0}
    found |= {"ideal": 1.0, "what": "How it is done.", "blind": "What it misses.", "source": "Doe 2020"}
    return found | more


def evaluation_of(scores: list[Score], metrics: dict[str, dict[str, Any]]) -> Evaluation:
    """Return an evaluation of these scores."""
    details = {"seed": 1, "target": None, "task": {}, "rows": {"synthetic": {"t": 9}}, "metrics": metrics}
    subjects = {"train": 9, "holdout": 9, "synthetic": 9}
    return Evaluation(tuple(scores), {**details, "subjects": subjects})


def margins_of(names: tuple[str, ...] | list[str]) -> Score:
    """Return a score of single columns with a picture for each."""
    bars = {"labels": ["a", "b", "missing"], "real": [50.0, 40.0, 10.0], "synthetic": [45.0, 45.0, 10.0], "note": ""}
    columns = [
        {"column": name, "table": "t", "kind": "category", "similarity": 0.9 + 0.1 * i / len(names), "picture": bars}
        for i, name in enumerate(names)
    ]
    return Score("margins", 0.9, (0.8, 0.95), 0.97, 9, {"rows": 9}, meaning="Alike.", details={"columns": columns})


def hostile() -> tuple[Evaluation, Schema]:
    """Return an evaluation and a schema whose names do their worst."""
    names = list(HOSTILE)
    n = len(names)
    square = [[None if i == j else 0.1 * (i + j) / n for j in range(n)] for i in range(n)]
    flat = [[None if i == j else 0.0 for j in range(n)] for i in range(n)]
    maps = [{"table": names[0], "columns": names, "real": square, "synthetic": flat}]
    culprits = [{"column": name, "drop": 0.1} for name in names]
    trials = [{"learner": name, "real": 0.8, "synthetic": 0.7} for name in names]
    scores = [
        margins_of(names),
        Score("association", 0.1, (0.0, 0.2), 0.1, 9, {names[1]: names[0]}, meaning=names[0], details={"maps": maps}),
        Score("detection", 0.6, None, None, 9, meaning=names[1], details={"culprits": culprits}),
        Score("tstr", 0.7, meaning=names[8], details={"trials": trials, "measure": names[0]}),
        Score("coverage", None, status="failed", meaning=names[8]),
    ]
    metrics = {
        "margins": about("fidelity", "Single columns"),
        "association": about("fidelity", "Pairs of columns", goal="minimise", ideal=0.0),
        "detection": about("fidelity", names[0], title=names[0]),
        "tstr": about("utility", "Prediction"),
        "coverage": about("fidelity", "Whole rows"),
    }
    return evaluation_of(scores, metrics), schema_of(names)
