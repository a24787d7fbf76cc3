"""Everything that a release says about itself besides its data: report, its twin, summaries, dossiers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ehrsatz.cost.meter import Cost
from ehrsatz.dataset import Dataset
from ehrsatz.dossiers.build import dossiers
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.gate import Verdict
from ehrsatz.provenance import Provenance
from ehrsatz.report.cohort import COHORT, identifiers
from ehrsatz.report.figures.lives import timeline
from ehrsatz.report.junit import junit
from ehrsatz.report.page import render
from ehrsatz.report.summary import summary
from ehrsatz.report.twin import twin
from ehrsatz.schema import Schema

BESIDES = (  # name and purpose of what lies beside the report
    ("report.json", "the report as data, for programs"),
    ("summary.md", "the verdict in a few lines, for a pull request"),
    ("junit.xml", "the checks of the gate as tests, for a build server"),
    ("dossiers/hipaa.html", "Safe Harbor check, and evidence for an Expert Determination"),
    ("dossiers/gdpr-anonymity.html", "singling out, linkability, inference"),
    ("dossiers/gdpr-dpia.html", "draft of a data protection impact assessment"),
    ("dossiers/nist.html", "items of NIST SP 800-188 and SP 800-226"),
    ("dossiers/ai-act.html", "annex on data governance for the EU AI Act"),
    ("dossiers/patients.html", "one page for patients"),
    ("datacard.md", "what the data are and are not for"),
)
BESIDES_COHORT = tuple(one for one in BESIDES if not one[0].startswith("dossiers/"))


class Described(Protocol):
    """What is told of tables whose rows are on disk already, as of `capsule.contents.Streamed`."""

    @property
    def schema(self) -> Schema: ...
    @property
    def provenance(self) -> Provenance: ...


def documents(
    evaluation: Evaluation,
    verdict: Verdict,
    synthetic: Dataset,
    *,
    title: str,
    generator: Mapping[str, Any],
    findings: Sequence[Any] = (),
    cost: Cost | None = None,
) -> dict[str, str]:
    """Write all documents of a run.

    Parameters
    ----------
    evaluation
        The scores.
    verdict
        What the gate decided.
    synthetic
        The rows that it is about.
    title
        Heading of the report.
    generator
        Name and parameters of what drew the rows, and the account of a choice that it made.
    findings
        What the constraints of the schema found.
    cost
        What the run took; with it the bytes differ from run to run, so it is left out where None.

    Returns
    -------
    Path in the release -> text.
    """
    data = twin(
        evaluation,
        verdict,
        schema=synthetic.schema,
        provenance=synthetic.provenance,
        title=title,
        findings=findings,
        cost=None if cost is None else _told(cost),
        documents=BESIDES,
        choice=generator.get("choice"),
    )
    out = {
        "report.html": render(data),
        "report.json": json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "summary.md": summary(verdict, evaluation),
        "junit.xml": junit(verdict),
    }
    out |= dossiers(evaluation, verdict, synthetic, generator=generator, findings=findings)
    if cost is not None:
        out["cost.json"] = json.dumps(cost.to_dict(), indent=2) + "\n"
    return out


def cohort_documents(
    evaluation: Evaluation,
    verdict: Verdict,
    synthetic: Described,
    *,
    title: str,
    statistics: Mapping[str, Any],
    cost: Cost | None = None,
) -> dict[str, str]:
    """Write all documents of a simulated cohort.

    Parameters
    ----------
    evaluation
        The scores.
    verdict
        What the gate decided.
    synthetic
        Schema and provenance of the tables; their rows are not read.
    title
        Heading of the report.
    statistics
        What was kept of the shards, with the patients to show.
    cost
        What the run took; with it the bytes differ from run to run, so it is left out where None.

    Returns
    -------
    Path in the release -> text.
    """
    data = twin(
        evaluation,
        verdict,
        schema=synthetic.schema,
        provenance=synthetic.provenance,
        title=title,
        cost=None if cost is None else _told(cost),
        documents=BESIDES_COHORT,
        edition=COHORT,
        figures={"Patients": [timeline(one) for one in statistics["timelines"]], "Identifiers": identifiers()},
    )
    out = {
        "report.html": render(data),
        "report.json": json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "summary.md": summary(verdict, evaluation),
        "junit.xml": junit(verdict),
    }
    if cost is not None:
        out["cost.json"] = json.dumps(cost.to_dict(), indent=2) + "\n"
    return out


def _told(cost: Cost) -> dict[str, Any]:
    """Name and value of what a run took, for people."""
    out: dict[str, Any] = {f"{one.step}, CPU seconds": round(one.cpu_s, 2) for one in cost.steps}
    out["wall seconds"] = round(cost.wall_s, 2)
    if cost.peak_mb is not None:
        out["peak memory, MB"] = round(cost.peak_mb)
    out[f"energy, Wh ({'measured' if cost.energy_source == 'RAPL' else 'estimated'})"] = round(cost.energy_wh, 3)
    out["tokens of language models"] = cost.tokens
    return out
