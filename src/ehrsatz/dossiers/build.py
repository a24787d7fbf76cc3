"""All papers of a run: gather the evidence, write, check, render as Markdown to edit and as HTML to print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from ehrsatz import __version__
from ehrsatz.dataset import Dataset
from ehrsatz.dossiers.base import DISCLAIMER, Dossier, Evidence, compose, problems
from ehrsatz.dossiers.scan import IDENTIFIERS, scan
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.gate import Verdict

FOLDER = "dossiers"
PAPERS = ("hipaa", "gdpr-anonymity", "gdpr-dpia", "nist", "ai-act", "patients")
DECISIONS = {"pass": "released", "hold": "held, a person must decide", "deny": "denied, no row may leave"}


def dossiers(
    evaluation: Evaluation, verdict: Verdict, synthetic: Dataset, *, generator: Mapping[str, Any], findings: Any = ()
) -> dict[str, str]:
    """Write all papers of a run.

    Parameters
    ----------
    evaluation
        The scores.
    verdict
        What the gate decided.
    synthetic
        What would be released; it is looked through for identifiers.
    generator
        Name and parameters of what drew the rows.
    findings
        What the constraints of the schema found.

    Returns
    -------
    Path in the release -> text: each paper as Markdown and as HTML, and evidence.json with every value by its id.
    """
    evidence = gather(evaluation, verdict, synthetic, generator=generator, findings=findings)
    papers = [compose(name, paper_text(name), evidence, IDENTIFIERS) for name in PAPERS]
    wrong = [one for paper in papers for one in problems(paper, evidence)]
    assert not wrong, "; ".join(wrong)
    out = {}
    for paper in papers:
        out[f"{FOLDER}/{paper.name}.md"] = markdown(paper)
        out[f"{FOLDER}/{paper.name}.html"] = html(paper)
    out[f"{FOLDER}/evidence.json"] = _index(papers, evidence)
    return out


def paper_text(name: str) -> str:
    """Return the Markdown of a paper, before any evidence is in it.

    Parameters
    ----------
    name
        One of `PAPERS`.
    """
    return resources.files("ehrsatz.dossiers").joinpath("papers", f"{name}.md").read_text(encoding="utf-8")


def gather(
    evaluation: Evaluation, verdict: Verdict, synthetic: Dataset, *, generator: Mapping[str, Any], findings: Any = ()
) -> Evidence:
    """Collect by id what a run measured and knows.

    Parameters
    ----------
    evaluation, verdict, synthetic, generator, findings
        As in `dossiers`.
    """
    details = evaluation.details
    about = details["metrics"]
    schema = synthetic.schema
    columns = [(table, column) for table in schema.tables for column in table.columns]
    task = details.get("task", {})
    found = scan(synthetic)
    hit = {one for finding in found.values() for one in finding.columns}
    states = [check.state for check in verdict.checks]
    n_failed, n_checked = sum(one.n_failed for one in findings), sum(one.n_checked for one in findings)
    steps = [f"{step.action} ({step.name})" if step.name else step.action for step in synthetic.provenance.steps]
    facts: dict[str, Any] = {
        "origin": synthetic.provenance.origin,
        "generator": str(generator.get("name", "unknown")),
        "version": __version__,
        "seed": int(details["seed"]),
        "schema": f"'{schema.name}' (fingerprint {schema.fingerprint[:12]})",
        "steps": ", ".join(steps) or "none recorded",
        "columns": len(columns),
        "columns.direct": sum(column.disclosure == "direct" for _, column in columns),
        "columns.n_quasi": sum(column.disclosure == "quasi" for _, column in columns),
        "columns.n_sensitive": sum(column.disclosure == "sensitive" for _, column in columns),
        "columns.quasi": _names(task.get("quasi") or [c.name for _, c in columns if c.disclosure == "quasi"]),
        "columns.secrets": _names(task.get("secrets") or [c.name for _, c in columns if c.disclosure == "sensitive"]),
        "columns.withheld": sum(len(one.fabricated) for one in found.values()),
        "texts": sum(column.kind == "text" for _, column in columns),
        "unit": "the subject, with all rows" if _repeats(synthetic) else "the row, which is one subject",
        "dp": "none is claimed; the generator has no such bound"
        if not generator.get("private")
        else "see the manifest",
        "learned": "margins, bounds, levels shared by five subjects or more, and all dependences between columns",
        "constraints": sum(len(table.constraints) for table in schema.tables),
        "rules": f"{n_checked - n_failed:,} of {n_checked:,} times they apply" if n_checked else "none was checked",
        "policy.name": str(verdict.policy.get("name", "unnamed")),
        "policy.audience": str(verdict.policy.get("audience") or "not named"),
        "policy.approvals": str((verdict.policy.get("approval") or {}).get("at_least", 0)),
        "decision": DECISIONS[verdict.decision],
        "checks": len(states),
        "checks.missed": states.count("missed"),
        "checks.unknown": states.count("inconclusive") + states.count("not measured"),
        "scan.hits": sum(one.hits for one in found.values()),
        "scan.columns": len(columns),
        "scan.columns_hit": len(hit),
        "scan.fabricated": sum(len(one.fabricated) for one in found.values()),
    }
    for part in ("train", "holdout", "synthetic"):
        facts[f"subjects.{part}"] = int(details["subjects"][part])
        facts[f"rows.{part}"] = sum(details["rows"][part].values())
    for letter in IDENTIFIERS:
        facts[f"scan.{letter}.hits"] = found[letter].hits
        facts[f"scan.{letter}.columns"] = _names(found[letter].columns)
        facts[f"scan.{letter}.fabricated"] = _names(found[letter].fabricated)
    limits: dict[str, list[str]] = {}
    for check in verdict.checks:
        state = "passed, beyond it by no more than chance explains" if check.passed and check.by_chance else check.state
        limits.setdefault(check.metric or check.name, []).append(f"{check.threshold} ({state})")
    return Evidence(
        {score.metric: score.to_dict() for score in evaluation.scores},
        {name: one["title"] for name, one in about.items()},
        {name: "; ".join(texts) for name, texts in limits.items()},
        facts,
    )


def markdown(paper: Dossier) -> str:
    """Render a paper as Markdown; every sentence ends with the ids of its evidence.

    Parameters
    ----------
    paper
        What to render.
    """
    lines = [
        f"# {paper.title}",
        "",
        f"For: {paper.reader}. Open points for a person: {paper.n_open}.",
        "",
        f"*{DISCLAIMER}*",
    ]
    for part in paper.sections:
        lines += ["", f"## {part.title}", ""]
        for said in part.statements:
            tail = f" `[{', '.join(said.ids)}]`" if said.ids else ""
            mark = {"open": "- [ ] To complete: ", "law": "> ", "not measured": "- **", "measured": "- "}[said.state]
            bold = "**" if said.state == "not measured" else ""
            lines.append(f"{mark}{said.text}{bold}{tail}")
            if said.state == "law":
                lines.append("")
    lines += ["", "The ids lead to evidence.json in this folder, and to the scores in the report.", ""]
    return "\n".join(lines)


def html(paper: Dossier) -> str:
    """Render a paper as one self-contained HTML page that prints.

    Parameters
    ----------
    paper
        What to render.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("ehrsatz.dossiers").joinpath("dossier.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(paper=paper, disclaimer=DISCLAIMER, version=__version__)


def _index(papers: list[Dossier], evidence: Evidence) -> str:
    """Every value by its id, and which papers rest on it."""
    used: dict[str, list[str]] = {}
    for paper in papers:
        for one in paper.ids:
            used.setdefault(one, []).append(paper.name)
    told = {}
    for one in sorted(used):
        kind, _, name = one.partition(":")
        if kind == "score":
            score = evidence.scores.get(name, {"status": "not measured"})
            value: Any = {key: score.get(key) for key in ("value", "interval", "reference", "baseline", "status")}
        elif kind == "check":
            value = evidence.limits.get(name, "no limit of the policy")
        else:
            value = evidence.facts[name]
        told[one] = {"value": value, "used_in": used[one]}
    return json.dumps({"format": 1, "disclaimer": DISCLAIMER, "evidence": told}, ensure_ascii=False, indent=2) + "\n"


def _names(names: Any) -> str:
    return ", ".join(names) if names else "none"


def _repeats(dataset: Dataset) -> bool:
    return dataset.n_rows > dataset.n_subjects
