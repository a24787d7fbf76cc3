"""The report as data: everything that the page says, in plain JSON.

The page is drawn from this and from nothing else, so the two cannot disagree. `report.schema.json` beside this file is
its published schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from ehrsatz import __version__
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.gate.verdict import Check, Verdict
from ehrsatz.provenance import Provenance
from ehrsatz.report.choice import choice_table
from ehrsatz.report.edition import COPY, Edition
from ehrsatz.report.figures import pictures
from ehrsatz.report.figures.fidelity import column_pictures, column_table
from ehrsatz.report.format import plain
from ehrsatz.report.residue import STATES, verdict_page, weight
from ehrsatz.report.words import Reader
from ehrsatz.schema import Schema

FORMAT = "ehrsatz-report/1"
MAX_SCHEMA = 300  # columns in the table of the schema
MAX_RULES = 60
MOST_SENTENCES = 5
P_VALUES = {"leak", "log_rank"}  # metrics whose value is the p-value of a test against real data
GOALS = {"minimise": "less is better", "maximise": "more is better"}


def twin(
    evaluation: Evaluation,
    verdict: Verdict | None = None,
    *,
    schema: Schema,
    provenance: Provenance,
    title: str = "Synthetic data report",
    findings: Sequence[Any] = (),
    cost: Mapping[str, Any] | None = None,
    documents: Sequence[tuple[str, str]] = (),
    edition: Edition = COPY,
    figures: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    choice: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report as plain JSON, which `report.schema.json` describes.

    Parameters
    ----------
    evaluation
        The scores.
    verdict
        What the gate decided; None for scores that were not judged.
    schema
        What the tables hold.
    provenance
        Where the synthetic rows came from.
    title
        Heading of the page.
    findings
        What the rules found in the synthetic rows.
    cost
        Names and values of what the run took; it comes from the clock, so that the bytes differ from run to run.
    documents
        Name and one sentence of each file that belongs with the report.
    edition
        What kind of report.
    figures
        Theme -> pictures that belong to no score.
    choice
        What the generator `auto` wrote down, where it chose.
    """
    about = evaluation.details.get("metrics", {})
    checks: dict[str, list[Check]] = {}
    for one in verdict.checks if verdict is not None else ():
        checks.setdefault(one.metric or one.name, []).append(one)
    scores = [_score(one, about.get(one.metric, {}), checks.get(one.metric, []), edition) for one in evaluation.scores]
    rules = _rules(findings)
    columns = column_pictures(_detail(evaluation, "margins", "columns"))
    drawn = len(_detail(evaluation, "margins", "columns")) - len(columns)
    _once(scores)
    table = column_table(
        [one for one in scores if one["theme"] == "Single columns"],
        {one.metric: one.details for one in evaluation.scores},
    )
    extra: dict[str, dict[str, Any]] = {"Rules": {"rules": rules}, "Single columns": {"table": table}}
    extra["Columns one by one"] = {"pictures": columns, "left_out": drawn}
    for name, found in (figures or {}).items():
        extra[name] = {**extra.get(name, {}), "figures": list(found)}
    pages = [_page(reader, scores, extra, edition) for reader in edition.readers]
    judged = verdict_page(
        verdict, scores, evaluation, decisions=edition.decisions, led=edition.led, left=edition.residual
    )
    kind = {} if edition is COPY else {"edition": {"id": edition.id, "words": dict(edition.words)}}
    return plain(
        {
            "format": FORMAT,
            "version": __version__,
            "title": title,
            "subjects": evaluation.details.get("subjects", {}),
            "rows": evaluation.details.get("rows", {}),
            "task": evaluation.details.get("task", {}),
            "seed": evaluation.details.get("seed"),
            "verdict": judged,
            "pages": pages,
            "origin": {
                "origin": provenance.origin,
                "steps": [{**one.as_dict(), "params": _params(one.params)} for one in provenance.steps],
            },
            "schema": _schema(schema),
            "cost": [{"name": str(name), "value": _told(value)} for name, value in (cost or {}).items()],
            "documents": [{"name": name, "about": words} for name, words in documents],
            "limits": list(edition.limits),
            "glossary": [{"term": term, "meaning": meaning} for term, meaning in edition.glossary],
            **kind,
            **({"choice": choice_table(choice)} if choice else {}),
        }
    )


def json_schema() -> dict[str, Any]:
    """Return the published JSON Schema of the twin."""
    text = resources.files("ehrsatz.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    out: dict[str, Any] = json.loads(text)
    return out


# ---------------------------------------------------------------------- scores
def _score(score: Score, about: Mapping[str, Any], checks: Sequence[Check], edition: Edition) -> dict[str, Any]:
    goal = about.get("goal", "target")
    out = {
        "metric": score.metric,
        "title": about.get("title") or score.metric.replace("_", " ").capitalize(),
        "family": about.get("family", "other"),
        "theme": "Expert review"
        if about.get("family") == "review"
        else about.get("theme") or f"Other measures of {about.get('family', 'other kinds')}",
        "status": score.status,
        "state": _state(score, checks),
        "compared": _compared(score, goal, about.get("ideal")),
        "meaning": score.meaning,
        "value": score.value,
        "interval": None if score.interval is None else list(score.interval),
        "reference": score.reference,
        "baseline": score.baseline,
        "ideal": about.get("ideal"),
        "low": about.get("low"),
        "high": about.get("high"),
        "goal": _goal(goal, about.get("ideal"), about.get("low")),
        "thresholds": [_threshold(one, score) for one in checks],
        "n": score.n,
        "params": _params(score.params),
        "what": about.get("what", ""),
        "blind": about.get("blind", ""),
        "source": about.get("source", ""),
        "pictures": pictures(score.details, about, edition.drawn) if score.status == "measured" else [],
    }
    out = plain(out)
    return out


def _once(scores: Sequence[Mapping[str, Any]]) -> None:
    """Keep each picture with the first score that has it."""
    seen = set()
    for one in scores:
        kept = []
        for picture in one["pictures"]:
            text = json.dumps([picture["kind"], picture["data"]], sort_keys=True)
            if text not in seen:
                kept.append(picture)
            seen.add(text)
        one["pictures"][:] = kept


def _state(score: Score, checks: Sequence[Check]) -> str:
    """Return how the policy takes the score: the worst of its checks."""
    if score.status != "measured":
        return "not measured"
    states = {"kept by chance" if one.passed and one.by_chance else STATES.get(one.state, one.state) for one in checks}
    order = ("missed", "inconclusive", "not measured", "kept by chance", "kept")
    return next((one for one in order if one in states), "not judged")


def _compared(score: Score, goal: str, ideal: float | None) -> str:
    """Say whether the score is worse than what real data score, by more than its interval explains."""
    if score.value is None or score.reference is None:
        return ""
    if score.metric in P_VALUES:
        return "worse than real data" if score.value < 0.05 else "like real data"
    if score.interval is None:
        return ""
    low, high = score.interval
    apart = score.details.get("excess_interval")  # of the difference itself, which also counts the reference's own luck
    if low <= score.reference <= high or (apart is not None and apart[0] <= 0 <= apart[1]):
        return "like real data"
    if goal == "target" and ideal is not None:
        worse = abs(score.value - ideal) > abs(score.reference - ideal)
    else:
        worse = score.value > score.reference if goal == "minimise" else score.value < score.reference
    return "worse than real data" if worse else "like real data"


def _goal(goal: str, ideal: float | None, low: float | None) -> str:
    if goal == "minimise" and ideal is not None and low is not None and ideal > low:
        return f"best at {ideal:g} or below"
    return GOALS.get(goal) or ("" if ideal is None else f"best at {ideal:g}")


def _threshold(check: Check, score: Score) -> dict[str, Any]:
    """Return one limit of the policy, and where it lies on the score's own scale."""
    at = check.limit
    if at is not None and check.against == "reference":
        at = None if score.reference is None else score.reference + at
    return {
        "text": check.threshold,
        "at": at,
        "side": "most" if check.side == "at most" else "least",
        "severity": check.severity,
        "state": "kept by chance" if check.passed and check.by_chance else STATES.get(check.state, check.state),
        "judge": check.judge,
        "reason": check.reason,
        "source": check.source,
    }


def _params(params: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": str(name), "value": _told(value)} for name, value in params.items()]


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


def _detail(evaluation: Evaluation, metric: str, key: str) -> list[Any]:
    found = [one for one in evaluation.scores if one.metric == metric and one.status == "measured"]
    return list(found[0].details.get(key, ())) if found else []


# ---------------------------------------------------------------------- pages
def _page(
    reader: Reader, scores: Sequence[Mapping[str, Any]], extra: Mapping[str, Mapping[str, Any]], edition: Edition
) -> dict[str, Any]:
    named = {theme for one in edition.readers for theme in one.themes}
    others = [
        one["theme"]
        for one in scores
        if one["theme"] not in named and _home(one["family"], edition.readers) == reader.id
    ]
    themes = []
    for name in dict.fromkeys((*reader.themes, *others)):
        theme = {
            "name": name,
            "lead": edition.themes.get(name, ""),
            "scores": [one for one in scores if one["theme"] == name],
            "pictures": [],
            "left_out": 0,
            "rules": None,
            "table": None,
            **extra.get(name, {}),
        }
        if any(theme[key] for key in ("scores", "pictures", "rules", "table", "figures") if key in theme):
            themes.append(theme)
    here = [one for theme in themes for one in theme["scores"]]
    extra_named = {name for name, one in extra.items() if one.get("figures")}
    return {
        "id": reader.id,
        "reader": reader.name,
        "question": reader.question,
        "counts": _counts(here),
        "sentences": [*edition.opening.get(reader.id, ()), *_opening(themes)],
        "themes": themes,
        "also": [name for name in reader.also if name in extra_named or any(one["theme"] == name for one in scores)],
    }


def _home(family: str, readers: Sequence[Reader]) -> str:
    """Return the page of a family's other themes; the third one where nobody claims it."""
    return next((one.id for one in readers if family in one.family), readers[2].id)


def _counts(scores: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    states = [one["state"] for one in scores]
    return {
        "scores": len(states),
        "measured": sum(one["status"] == "measured" for one in scores),
        "kept": sum(one in {"kept", "kept by chance"} for one in states),
        "missed": sum(one in {"missed", "inconclusive"} for one in states),
        "worse": sum(one["compared"] == "worse than real data" for one in scores),
    }


def _opening(themes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the sentences a page opens with: one per theme, what the policy judges or misses first."""
    out: list[str] = []
    for theme in themes:
        if theme["rules"]:
            out.append(theme["rules"]["sentence"])
        found = [one for one in theme["scores"] if one["status"] == "measured" and one["meaning"]]
        found.sort(key=weight)
        if found and found[0]["meaning"] not in out:
            out.append(found[0]["meaning"])
    return out[:MOST_SENTENCES]


def _rules(findings: Sequence[Any]) -> dict[str, Any] | None:
    """Return the rules checked, broken ones first; None where none was."""
    if not findings:
        return None
    rows: list[dict[str, Any]] = [
        {"rule": str(one.rule), "checked": int(one.n_checked), "broken": int(one.n_failed)} for one in findings
    ]
    rows.sort(key=lambda one: (-one["broken"] / max(1, one["checked"]), one["rule"]))
    broken = sum(one["broken"] > 0 for one in rows)
    many = f"All {len(rows):,} rules of the schema are" if len(rows) > 1 else "The one rule of the schema is"
    sentence = f"{many} kept in every synthetic row that it applies to."
    sentence = sentence.replace("it applies", "they apply") if len(rows) > 1 else sentence
    if broken:
        worst = rows[0]
        sentence = f"{broken:,} of {len(rows):,} rules of the schema are broken by at least one synthetic row; the "
        sentence += f"worst by {100 * worst['broken'] / max(1, worst['checked']):.2g} % of the rows it applies to."
    return {
        "sentence": sentence,
        "checked": len(rows),
        "broken": broken,
        "rows": rows[:MAX_RULES],
        "left_out": max(0, len(rows) - MAX_RULES),
    }


# ---------------------------------------------------------------------- origin
def _schema(schema: Schema) -> dict[str, Any]:
    columns = [(table.name, column) for table in schema.tables for column in table.columns]
    left = [
        column.name
        for _, column in columns
        if column.role in {"subject", "key", "link"} or column.kind in {"text", "id"} or column.disclosure == "direct"
    ]
    return {
        "name": schema.name,
        "version": schema.version,
        "fingerprint": schema.fingerprint,
        "n_columns": len(columns),
        "not_compared": left[:MAX_SCHEMA],
        "columns": [
            {
                "table": table,
                "name": one.name,
                "kind": one.kind,
                "role": one.role,
                "disclosure": one.disclosure,
                "unit": one.unit or "",
                "about": one.description,
            }
            for table, one in columns[:MAX_SCHEMA]
        ],
        "left_out": max(0, len(columns) - MAX_SCHEMA),
    }
