"""The run of a simulated cohort, from the scenario to the release folder: by shards, judged, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ehrsatz import clinical, registry
from ehrsatz.capsule.contents import DATA, EDGES, PROOF, Contents, Streamed
from ehrsatz.capsule.write import complete
from ehrsatz.cost.meter import Meter
from ehrsatz.documents import cohort_documents
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.evaluation.plausibility.cohort import evaluate
from ehrsatz.evaluation.plausibility.shard import merge, statistics
from ehrsatz.gate import Policy, Verdict, judge
from ehrsatz.parts import SimulatorPart
from ehrsatz.reconcile.prove import forms_in, reconcile
from ehrsatz.scenario import Scenario
from ehrsatz.schema import Schema
from ehrsatz.simulation import maker, setting
from ehrsatz.simulator.edges import told
from ehrsatz.simulator.shards import Made, run, size_of

N = 1_000  # patients, where a scenario does not say
ROWS = 1_600.0  # of a patient with ten years of care, to tell before the run whether the disk is large enough
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Judged:
    """What a run left behind."""

    verdict: Verdict
    evaluation: Evaluation
    n_subjects: int
    n_rows: int
    kept: bool
    folder: Path


def fabricate_cohort(plan: Scenario, policy: Policy, meter: Meter, show: Progress, *, restart: bool = False) -> Judged:
    """Simulate, write, measure and judge a cohort.

    Parameters
    ----------
    plan
        With a simulator's part.
    policy
        To judge by.
    meter
        Told what each step takes.
    show
        Called as show(what, done, total).
    restart
        Throw away what a stopped run of the same scenario left, instead of going on with it.

    Raises
    ------
    EhrsatzError
        When the cohort cannot be, the disk is too small, or the folder cannot be written; then nothing is left.
    """
    part = plan.simulator or SimulatorPart()
    n = plan.n or max(N, sum(group.n for group in part.groups))
    show("read", 0, 1)
    with meter.step("read"):
        make = maker(part, n, plan.seed, statistics)
        here = setting(make.part, n, plan.seed)
    show("read", 1, 1)
    found: list[Judged] = []

    def finish(stage: Path, made: Made) -> None:
        show("judge", 0, 1)
        proof = _proof(stage / DATA, plan.output.formats, show)
        evaluation = evaluate(made.statistics, part, n, fit=here.known.fit, proof=proof)
        verdict = judge(evaluation, policy)
        show("judge", 1, 1)
        show("write", 0, 1)
        rows = {table.name: made.rows.get(table.name, 0) for table in clinical.schema().tables}
        schema = clinical.schema()
        if part.only:
            schema = _only(schema, part.only)
            rows = {table.name: rows[table.name] for table in schema.tables}
        streamed = Streamed(schema, here.provenance, n, rows)
        contents = Contents(
            synthetic=streamed,
            verdict=verdict,
            scores={**evaluation.to_dict(), "findings": []},
            scenario=plan.public(),
            generator={"name": "simulator", "parameters": {"locale": part.locale}},
            documents=({} if proof is None else {PROOF: _json(proof)})
            | ({EDGES: _json(told(part.edge_cases))} if part.edge_cases else {})
            | cohort_documents(
                evaluation,
                verdict,
                streamed,
                title=plan.name or f"{n:,} simulated patients",
                statistics=made.statistics,
                cost=meter.total() if plan.output.cost else None,
            ),
        )
        kept = complete(stage, contents, formats=plan.output.formats, keep_denied=plan.output.keep_denied)
        show("write", 1, 1)
        found.append(Judged(verdict, evaluation, n, sum(rows.values()), kept, Path(plan.output.folder)))

    with meter.step("simulate"):
        run(
            make,
            n,
            plan.output.folder,
            formats=plan.output.formats,
            settings=plan.settings,
            fingerprint=str(here.provenance.steps[0].params["fingerprint"]),
            workers=plan.workers,
            restart=restart,
            only=part.only or None,
            inside=DATA,
            merge=merge,
            finish=finish,
            rows_per_patient=ROWS,
            size=size_of(part.record_years, n, steered=bool(part.groups), texts=_wire(plan.output.formats)),
            progress=show,
        )
    return found[0]


def _wire(formats: tuple[str, ...]) -> bool:
    """Whether one of the formats is no table file but holds whole records."""
    return any(registry.find("exporters", name).needs == "clinical" for name in formats)


def _proof(data: Path, formats: tuple[str, ...], show: Progress) -> dict[str, Any] | None:
    """Reconcile the formats that were written, where one of them is no table; plain JSON types."""
    if not _wire(formats):
        return None
    return reconcile(data, progress=show).to_dict() if len(forms_in(data)) > 1 else None


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _only(schema: Schema, tables: tuple[str, ...]) -> Schema:
    """Return the schema of some tables, without links to the others."""
    kept = [table for table in schema.tables if table.name in tables]
    names = {table.name for table in kept}
    return replace(
        schema,
        tables=tuple(
            replace(table, links=tuple(link for link in table.links if link.to_table in names)) for table in kept
        ),
    )
