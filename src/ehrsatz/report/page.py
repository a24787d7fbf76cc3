"""One self-contained HTML page: the verdict first, then what it rests on.

Nothing is loaded from elsewhere and nothing runs: inline style, inline SVG, no script. The same evaluation gives the
same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from ehrsatz import __version__
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.provenance import Provenance
from ehrsatz.report import charts
from ehrsatz.schema import Schema

MAX_CHARTS = 120
OPEN_CHARTS = 12
DECISIONS = {
    "pass": ("May be released", "Every threshold of the policy is kept."),
    "hold": ("Held: a person must decide", "At least one threshold of the policy is missed or could not be measured."),
    "deny": ("Must not be released", "At least one threshold that forbids release is missed."),
    "none": ("Not judged", "These scores were not held against a policy, so nothing here allows a release."),
}
FAMILIES = {
    "privacy": ("Is it safe for the people in the data?", ("exact_copies", "dcr_share", "membership")),
    "fidelity": ("Does it look like the real data?", ("margins", "detection", "coverage")),
    "utility": ("Can one work with it?", ("tstr", "tstr_gap")),
}
LIMITS = (
    "Synthetic is not automatically anonymous. A copy can carry traces of the people it was learned from; the scores "
    "above look for such traces and do not prove that there are none.",
    "The scores are evidence and no proof. They hold for the attacks and comparisons named here, for this table and "
    "this split into training and holdout subjects, within the intervals given. A stronger attack may find more.",
    "Averages hide single people. A score says little about one unusual person among thousands; rare diagnoses, ages "
    "and combinations deserve a look of their own.",
    "Not for care. No synthetic row describes a patient, and no decision about one may rest on it.",
    "Findings of research on synthetic rows are to be confirmed on real data.",
    "This page is no legal advice and no guarantee.",
)


def report(
    evaluation: Evaluation,
    verdict: Any = None,
    *,
    schema: Schema,
    provenance: Provenance,
    title: str = "Synthetic data report",
) -> str:
    """Write an evaluation as one self-contained HTML page.

    Parameters
    ----------
    evaluation
        The scores.
    verdict
        What the gate decided: an object with `decision` ("pass", "hold" or "deny") and `checks`, each with `name`,
        `passed`, `value`, `threshold` and `reason`. None for scores that were not judged.
    schema
        What the tables hold.
    provenance
        Where the synthetic rows came from.
    title
        Heading of the page.

    Returns
    -------
    HTML text; no cell value that fewer than five real subjects share.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=_number, figure=_figure)
    text = resources.files("ehrsatz.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    about = evaluation.details["metrics"]
    return environment.from_string(text).render(
        title=title,
        version=__version__,
        verdict=_verdict(verdict, about),
        families=[
            {
                "name": family,
                "question": question,
                "sentences": [s.meaning for s in evaluation.scores if s.metric in chosen and s.status == "measured"],
                "scores": [_row(s, about[s.metric]) for s in evaluation.scores if about[s.metric]["family"] == family],
            }
            for family, (question, chosen) in FAMILIES.items()
        ],
        columns=_columns(evaluation),
        open_charts=OPEN_CHARTS,
        missing=_missing(evaluation),
        detection=_found(evaluation, "detection"),
        maps=[(one, charts.difference_map(one)) for one in _detail(evaluation, "association", "maps")],
        pairs=_detail(evaluation, "pairs", "worst")[:5],
        trials=_trials(evaluation),
        membership=_membership(evaluation),
        rows=evaluation.details["rows"],
        subjects=evaluation.details["subjects"],
        seed=evaluation.details["seed"],
        target=evaluation.details["target"],
        schema=schema,
        compared=_compared(schema),
        origin=provenance.origin,
        steps=[{**step.as_dict(), "params": _compact(step.params)} for step in provenance.steps],
        limits=LIMITS,
    )


def _verdict(verdict: Any, about: Mapping[str, Any]) -> dict[str, Any]:
    decision = "none" if verdict is None else str(verdict.decision)
    heading, sentence = DECISIONS[decision]
    checks = [
        {
            "title": about[one.name]["title"] if one.name in about else str(one.name).replace("_", " ").capitalize(),
            "passed": one.passed,
            "value": one.value,
            "threshold": one.threshold,
            "reason": one.reason,
        }
        for one in (verdict.checks if verdict is not None else ())
    ]
    missed = [one for one in checks if one["passed"] is False]
    checks.sort(key=lambda one: one["passed"] is not False)  # what speaks against release first
    return {"decision": decision, "heading": heading, "sentence": sentence, "checks": checks, "missed": missed}


def _row(score: Score, about: Mapping[str, Any]) -> dict[str, Any]:
    picture = None
    if score.value is not None:
        picture = charts.strip(
            score.value, score.interval, score.reference, about["ideal"], about["low"], about["high"]
        )
    goal = {"minimise": "less is better", "maximise": "more is better", "target": f"best at {about['ideal']:g}"}
    word = goal[about["goal"]]
    if about["goal"] == "minimise" and about["ideal"] > about["low"]:
        word = f"best at {about['ideal']:g} or below"
    return {"score": score, "title": about["title"], "strip": picture, "goal": word, "params": _compact(score.params)}


def _columns(evaluation: Evaluation) -> dict[str, Any]:
    entries = sorted(_detail(evaluation, "margins", "columns"), key=lambda one: (one["similarity"], one["column"]))
    several = len({one["table"] for one in entries}) > 1
    drawn = [
        {
            **one,
            "label": f"{one['table']}.{one['column']}" if several else one["column"],
            "chart": charts.columns_chart(
                one["picture"], one["column"], numeric=one["kind"] in {"integer", "number", "date", "datetime"}
            ),
        }
        for one in entries[:MAX_CHARTS]
    ]
    return {"drawn": drawn, "n": len(entries), "left_out": max(0, len(entries) - MAX_CHARTS)}


def _missing(evaluation: Evaluation) -> list[dict[str, Any]]:
    rates = [one for one in _detail(evaluation, "missingness", "columns") if one["real"] is not None]
    return sorted(rates, key=lambda one: (-abs(one["real"] - one["synthetic"]), one["column"]))[:10]


def _trials(evaluation: Evaluation) -> dict[str, Any] | None:
    score = _found(evaluation, "tstr")
    if score is None:
        return None
    trials, measure = score.details["trials"], score.details["measure"]
    return {"chart": charts.trials_chart(trials, measure), "measure": measure, "score": score, "trials": trials}


def _membership(evaluation: Evaluation) -> dict[str, Any] | None:
    score = _found(evaluation, "membership")
    if score is None:
        return None
    fair = {one["attack"]: one for one in score.details["without_leak"]}
    strongest = next(one for one in score.details["attacks"] if one["attack"] == score.details["strongest"])
    return {
        "chart": charts.roc_chart(strongest["curve"]),
        "strongest": strongest,
        "attacks": [{**one, "without_leak": fair[one["attack"]]["auc"]} for one in score.details["attacks"]],
    }


def _found(evaluation: Evaluation, metric: str) -> Score | None:
    found = [score for score in evaluation.scores if score.metric == metric and score.status == "measured"]
    return found[0] if found else None


def _detail(evaluation: Evaluation, metric: str, key: str) -> list[Any]:
    score = _found(evaluation, metric)
    return list(score.details.get(key, ())) if score is not None else []


def _compared(schema: Schema) -> dict[str, Any]:
    columns = [column for table in schema.tables for column in table.columns]
    left = [
        column
        for column in columns
        if column.role in {"subject", "key", "link"} or column.kind in {"text", "id"} or column.disclosure == "direct"
    ]
    return {"n": len(columns) - len(left), "left": [column.name for column in left]}


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{0.0 if abs(value) < 5e-4 else value:.3f}"


def _figure(value: int) -> str:
    return f"{value:,}"


def _compact(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {one if isinstance(one, str) else json.dumps(one)}" for key, one in params.items())
