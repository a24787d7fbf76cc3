"""The main flow, `fabricate(scenario)`, and the public verbs it is made of.

Read, infer or load the schema, propose constraints, split by subject, fit, sample in shards, evaluate, judge, write the
release. Direct identifiers and constraints are handled inside the generators' shared interface. Nothing is written
before the last step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ehrsatz import registry
from ehrsatz.capsule.verify import verify
from ehrsatz.capsule.write import Contents, check_target, write
from ehrsatz.cohorts import fabricate_cohort
from ehrsatz.cost.meter import Cost, Meter
from ehrsatz.dataset import Dataset
from ehrsatz.documents import documents
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation, check_task
from ehrsatz.evaluation.evaluate import evaluate as measure
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.exporters.base import Exporter
from ehrsatz.gate import Policy, Verdict, checked, judge
from ehrsatz.gate import policy_of as find_policy
from ehrsatz.generators.base import Generator, Progress, silent
from ehrsatz.generators.build import check_given, described, generator, generator_of
from ehrsatz.generators.draw import check_room, draw, matching
from ehrsatz.reading import read, read_scenario, target_of
from ehrsatz.rules.base import Finding, Rule
from ehrsatz.rules.check import Findings
from ehrsatz.rules.check import check as check_rules
from ehrsatz.rules.constraints import check as check_constraints
from ehrsatz.rules.mapping import Mapping as TableMapping
from ehrsatz.scenario import Scenario
from ehrsatz.sources.tables import tables

CHECKED = 2000  # subjects of each half on which names and formulas are checked before any work
STEPS = ("read", "fit", "sample", "evaluate", "judge", "write")

__all__ = ["check", "evaluate", "export", "fabricate", "generator", "judge", "read", "verify"]


# ---------------------------------------------------------------------- the flow
@dataclass(frozen=True)
class Release:
    """What a run left behind."""

    decision: str
    folder: Path
    verdict: Verdict
    evaluation: Measured
    n_subjects: int
    n_rows: int
    data_kept: bool
    cost: Cost
    generator: Mapping[str, Any] = field(default_factory=dict)  # name, parameters, choice; empty where one simulated

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: decision, folder, reasons, checks and scores."""
        return {
            "decision": self.decision,
            "folder": str(self.folder),
            "n_subjects": self.n_subjects,
            "n_rows": self.n_rows,
            "data_kept": self.data_kept,
            "cost": self.cost.to_dict(),
            "verdict": self.verdict.to_dict(),
            "scores": self.evaluation.to_dict(),
            **({"generator": dict(self.generator)} if self.generator else {}),
        }


def fabricate(scenario: Scenario | None = None, *, progress: Progress | None = None, restart: bool = False) -> Release:
    """Run a scenario from the source, or from knowledge alone, to the release folder.

    Parameters
    ----------
    scenario
        The run; 1,000 simulated patients of the bundled scenario `clinic` where None.
    progress
        Called as progress(what, done, total) while the work goes on.
    restart
        Of simulated patients: throw away what a stopped run of the same scenario left, instead of going on with it.

    Raises
    ------
    EhrsatzError
        With what was expected, found and to be done; nothing is left on disk then.
    """
    plan = scenario or Scenario.cohort()
    show = progress or silent
    if plan.simulator is not None:
        return _simulated(plan, show, restart=restart)
    policy, _, engine = prepare(plan)
    meter = Meter()
    show("read", 0, 1)
    with meter.step("read"):
        real = read_scenario(plan)
        check_given(plan.given, real.schema, engine)
        train, holdout = real.split(plan.train_fraction, seed=plan.seed)
        seen, unseen = (part.take_subjects(part.subjects.head(CHECKED)) for part in (train, holdout))
        check_task(task_of(plan), Comparison.of(seen, unseen, unseen, seed=plan.seed))
        n = (plan.n or train.n_subjects) * plan.copies
        check_room(n, real.schema, {name: frame.height / real.n_subjects for name, frame in real.tables.items()})
    show("read", 1, 1)
    with meter.step("fit"):
        engine.fit(train, seed=plan.seed, progress=under(show, "fit"))
    with meter.step("sample"):
        synthetic = draw(engine, n, seed=plan.seed, given=plan.given, workers=plan.workers, progress=show)
    with meter.step("evaluate"):
        seen, unseen = (matching(part, plan.given, engine, seed=plan.seed) for part in (train, holdout))
        evaluation = evaluate_plan(plan, seen, unseen, synthetic, show)
    show("judge", 0, 1)
    with meter.step("judge"):
        verdict = judge(evaluation, policy)
    show("judge", 1, 1)
    show("write", 0, 1)
    contents = Contents(
        synthetic=synthetic,
        verdict=verdict,
        scores=evaluation.to_dict(),
        scenario=plan.public(),
        generator=described(engine),
        documents=documents(
            evaluation.evaluation,
            verdict,
            synthetic,
            title=title_of(plan, real),
            generator=described(engine),
            findings=evaluation.findings,
            cost=meter.total() if plan.output.cost else None,
        ),
    )
    with meter.step("write"):
        folder = write(
            plan.output.folder,
            contents,
            formats=plan.output.formats,
            keep_denied=plan.output.keep_denied,
            settings=plan.settings,
        )
    show("write", 1, 1)
    kept = verdict.decision != "deny" or plan.output.keep_denied
    return Release(
        verdict.decision,
        folder,
        verdict,
        evaluation,
        synthetic.n_subjects,
        synthetic.n_rows,
        kept,
        meter.total(),
        described(engine),
    )


def _simulated(plan: Scenario, show: Progress, *, restart: bool) -> Release:
    """Run a scenario of simulated patients."""
    policy = policy_of(plan)
    exporters_of(plan.output.formats, plan.settings)
    meter = Meter()
    judged = fabricate_cohort(plan, policy, meter, show, restart=restart)
    return Release(
        judged.verdict.decision,
        judged.folder,
        judged.verdict,
        Measured(judged.evaluation, ()),
        judged.n_subjects,
        judged.n_rows,
        judged.kept,
        meter.total(),
    )


def prepare(plan: Scenario) -> tuple[Policy, list[Exporter], Generator]:
    """Check before anything is read that the output can be written, and return policy, exporters and generator.

    Raises
    ------
    EhrsatzError
        When a name, a parameter or a threshold is wrong, or the output folder cannot be written.
    """
    check_target(plan.output.folder)
    return policy_of(plan), exporters_of(plan.output.formats, plan.settings), generator_of(plan)


def evaluate_plan(plan: Scenario, train: Dataset, holdout: Dataset, synthetic: Dataset, show: Progress) -> Measured:
    """Measure what a scenario asks for; with evaluation switched off, check the constraints alone."""
    if not plan.evaluation.enabled:
        nothing = measure(train, holdout, synthetic, task=task_of(plan), seed=plan.seed, metrics=())
        return Measured(nothing, tuple(check_constraints(synthetic)))
    return evaluate(
        train,
        holdout,
        synthetic,
        task=task_of(plan),
        metrics=plan.evaluation.metrics,
        seed=plan.seed,
        workers=plan.workers,
        progress=under(show, "evaluate"),
    )


def task_of(scenario: Scenario) -> Task:
    """Return what a scenario wants the data to be good for."""
    part = scenario.evaluation
    return Task(
        target_of(scenario),
        part.groups,
        part.duration,
        part.event,
        part.formulas,
        part.quasi,
        part.secrets,
        scenario.copies,
        part.umap,
    )


# ---------------------------------------------------------------------- check
def check(
    source: Any,
    *,
    rules: Iterable[str | Rule] | None = None,
    mapping: TableMapping | str | Path | None = None,
    severity: str | None = None,
    reference: datetime | None = None,
) -> Findings:
    """Check clinical data against the plausibility rules; nothing is changed.

    Parameters
    ----------
    source
        A dataset, or anything that `read` takes: a path, a folder, an address of a database, frames.
    rules
        Ids, beginnings of ids such as "birth", or rules; all where None.
    mapping
        Which table and column is which: the name of a shipped mapping, the path of a mapping file, or a mapping; found
        by the names of the tables where None.
    severity
        Only "error" or only "warning".
    reference
        The day on which the data were drawn; without it nothing is too late.

    Returns
    -------
    One finding per rule that could be checked; `skipped` says of the others what the data lack.

    Raises
    ------
    EhrsatzError
        When the source cannot be read, no mapping fits, or a name is unknown.
    """
    data = source if isinstance(source, Dataset) else tables(source)
    return check_rules(data, rules=rules, mapping=mapping, severity=severity, reference=reference)


# ---------------------------------------------------------------------- evaluate and judge
@dataclass(frozen=True)
class Measured:
    """Scores of an evaluation, and what the schema's constraints found in the synthetic rows."""

    evaluation: Evaluation
    findings: tuple[Finding, ...]

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores, one per metric."""
        return self.evaluation.scores

    @property
    def details(self) -> Mapping[str, Any]:
        """What the evaluation says of itself: subjects, rows, seed, metrics."""
        return self.evaluation.details

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types that `judge_file` reads back."""
        found = [{"rule": one.rule, "n_checked": one.n_checked, "n_failed": one.n_failed} for one in self.findings]
        return {**self.evaluation.to_dict(), "findings": found}


def evaluate(
    train: Dataset,
    holdout: Dataset,
    synthetic: Dataset,
    *,
    target: str | None = None,
    task: Task | None = None,
    metrics: Sequence[str] = (),
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> Measured:
    """Measure synthetic data against the real halves, and check the constraints of their schema.

    Parameters
    ----------
    train
        Real rows that the generator saw.
    holdout
        Real rows of other subjects that it did not see.
    synthetic
        What came out.
    target
        Column that a prediction model would learn; without one, prediction is not measured.
    task
        Everything that the data are for; its own target wins over `target`.
    metrics
        Names of metrics; all where none is named.
    seed
        Decides folds and subsamples.
    workers
        Threads; the scores do not depend on it.
    progress
        Called as progress(what, done, total).
    """
    scores = measure(
        train,
        holdout,
        synthetic,
        target=target,
        task=task,
        seed=seed,
        metrics=tuple(metrics) or None,
        workers=workers,
        progress=progress,
    )
    return Measured(scores, tuple(check_constraints(synthetic)))


def policy_of(scenario: Scenario) -> Policy:
    """Return the policy that a scenario names or holds; the built-in one where it has none.

    Raises
    ------
    ScenarioError
        When it cannot be read, or asks for a metric that nobody could measure.
    """
    if isinstance(scenario.policy, dict):
        return checked(Policy.from_dict(scenario.policy))
    return find_policy(scenario.policy)


# ---------------------------------------------------------------------- write
def export(
    dataset: Dataset,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("csv",),
    allow_real: bool = False,
    settings: Mapping[str, str] | None = None,
) -> tuple[Path, ...]:
    """Write a dataset into a folder and return the files.

    Parameters
    ----------
    dataset
        What to write.
    folder
        Created when absent; files in it are never replaced.
    formats
        Names of exporters.
    allow_real
        Also write rows whose origin is real.
    settings
        Paths that some formats need: "mapping" of the format layout, "athena" of OMOP.

    Raises
    ------
    UnsupportedError, OutputError
        When the rows are real, or the folder cannot be written.
    """
    paths: list[Path] = []
    for one in exporters_of(formats, settings):
        written = one.write(dataset, folder, allow_real=allow_real)
        made = one.finish(folder)
        paths += [path for path in (*written, *made) if path.exists()]
    return tuple(paths)


def exporters_of(formats: Sequence[str], settings: Mapping[str, str] | None = None) -> list[Exporter]:
    """Return the exporters of these names, told what of the settings concerns them.

    Raises
    ------
    UnknownNameError
        When a format is not registered.
    """
    made: list[Exporter] = [registry.find("exporters", name).made(settings or {}) for name in dict.fromkeys(formats)]
    for one in made:
        one.ready()
    return made


# ---------------------------------------------------------------------- tell
def title_of(scenario: Scenario, dataset: Dataset) -> str:
    """Return the heading of a run's report: the scenario's name, or the dataset's."""
    return scenario.name or f"Synthetic {dataset.schema.name}"


def under(show: Progress, what: str) -> Progress:
    """Report a step's inner parts under the step's own name."""

    def inner(part: str, done: int, total: int) -> None:
        note = part.partition("\t")[2]  # what a network says of its epoch
        show(f"{what}\t{note}" if note else what, done, total)

    return inner
