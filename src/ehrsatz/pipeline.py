"""The main flow, `fabricate(scenario)`, and the public verbs it is made of.

Read, infer or load the schema, propose constraints, split by subject, fit, sample in shards, evaluate, judge, write the
release. Direct identifiers and constraints are handled inside the generators' shared interface. Nothing is written
before the last step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from ehrsatz import registry
from ehrsatz.capsule.verify import verify
from ehrsatz.capsule.write import Contents, check_target, write
from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.errors import InfeasibleError, ScenarioError, SourceError, UnsupportedError, nearest
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.evaluation.evaluate import evaluate as measure
from ehrsatz.evaluation.report import report
from ehrsatz.exporters.base import Exporter
from ehrsatz.gate import Policy, Verdict, judge
from ehrsatz.generators.base import Generator
from ehrsatz.provenance import Origin
from ehrsatz.rules.base import Finding
from ehrsatz.rules.constraints import check, propose
from ehrsatz.scenario import BUNDLED, Scenario, read_text
from ehrsatz.schema import Schema
from ehrsatz.seeds import stream
from ehrsatz.sources.paths import CSV_SUFFIXES, PARQUET_SUFFIXES, files_of, kind_of

Progress = Callable[[str, int, int], None]  # (what, done, total)
STEPS = ("read", "fit", "sample", "evaluate", "judge", "write")
WITHOUT_EFFECT = frozenset({"workers"})  # parameters of generators that change no row: releases do not tell them
SHARD = 20_000  # subjects per call of sample; the rows do not depend on it

__all__ = ["evaluate", "export", "fabricate", "generator", "judge", "read", "verify"]


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

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: decision, folder, reasons, checks and scores."""
        return {
            "decision": self.decision,
            "folder": str(self.folder),
            "n_subjects": self.n_subjects,
            "n_rows": self.n_rows,
            "data_kept": self.data_kept,
            "verdict": self.verdict.to_dict(),
            "scores": self.evaluation.to_dict(),
        }


def fabricate(scenario: Scenario | None = None, *, progress: Progress | None = None) -> Release:
    """Run a scenario from the source to the release folder.

    Parameters
    ----------
    scenario
        The run; the bundled public table where None.
    progress
        Called as progress(what, done, total) while the work goes on.

    Raises
    ------
    EhrsatzError
        With what was expected, found and to be done; nothing is left on disk then.
    """
    plan = scenario or Scenario()
    show = progress or silent
    check_target(plan.output.folder)
    policy = policy_of(plan)
    exporters_of(plan.output.formats)
    engine = generator_of(plan)
    show("read", 0, 1)
    real = read_scenario(plan)
    check_given(plan.given, real.schema, engine)
    train, holdout = real.split(plan.train_fraction, seed=plan.seed)
    show("read", 1, 1)
    engine.fit(train, seed=plan.seed, progress=under(show, "fit"))
    synthetic = draw(
        engine,
        plan.n or train.n_subjects,
        seed=plan.seed,
        given=plan.given,
        workers=plan.workers,
        progress=show,
    )
    seen, unseen = (matching(part, plan.given, engine, seed=plan.seed) for part in (train, holdout))
    evaluation = evaluate_plan(plan, seen, unseen, synthetic, show)
    show("judge", 0, 1)
    verdict = judge(evaluation, policy)
    show("judge", 1, 1)
    show("write", 0, 1)
    contents = Contents(
        synthetic=synthetic,
        verdict=verdict,
        scores=evaluation.to_dict(),
        report=report(
            evaluation.evaluation,
            verdict,
            schema=synthetic.schema,
            provenance=synthetic.provenance,
            title=title_of(plan, real),
        ),
        scenario=plan.public(),
        generator=described(engine),
    )
    folder = write(plan.output.folder, contents, formats=plan.output.formats, keep_denied=plan.output.keep_denied)
    show("write", 1, 1)
    kept = verdict.decision != "deny" or plan.output.keep_denied
    return Release(verdict.decision, folder, verdict, evaluation, synthetic.n_subjects, synthetic.n_rows, kept)


def evaluate_plan(plan: Scenario, train: Dataset, holdout: Dataset, synthetic: Dataset, show: Progress) -> Measured:
    """Measure what a scenario asks for; with evaluation switched off, check the constraints alone."""
    if not plan.evaluation.enabled:
        nothing = measure(train, holdout, synthetic, target=target_of(plan), seed=plan.seed, metrics=())
        return Measured(nothing, tuple(check(synthetic)))
    return evaluate(
        train,
        holdout,
        synthetic,
        target=target_of(plan),
        metrics=plan.evaluation.metrics,
        seed=plan.seed,
        progress=under(show, "evaluate"),
    )


# ---------------------------------------------------------------------- read
def read(
    source: Any,
    *,
    name: str | None = None,
    subject: str | None = None,
    target: str | None = None,
    schema: Schema | str | Path | None = None,
    tables: Sequence[str] = (),
    sample_subjects: int | None = None,
    seed: int = 0,
    origin: Origin = "real",
) -> Dataset:
    """Read real data: a file, a folder, a database or a frame; infer its schema and propose constraints.

    Parameters
    ----------
    source
        Path of a CSV or Parquet file or of a folder of them, SQLAlchemy URL, or any frame (pandas, Arrow, Polars), or a
        mapping table name -> frame.
    name
        Name of the dataset; the file's name where None.
    subject
        Column that says whose row it is; without one each row is its own subject.
    target
        Column that a prediction model would learn; it must be there and vary.
    schema
        A schema, or the path of a schema.yaml; it wins over everything inferred.
    tables
        Tables of a database to read; all where none is named.
    sample_subjects
        Read that many subjects.
    seed
        Decides which subjects.
    origin
        Where the rows came from; exporters refuse "real" ones.

    Raises
    ------
    SourceError, SchemaError, DataError
        When the source cannot be read, or disagrees with the schema.
    """
    known = Schema.from_yaml(read_text(schema, "a schema file")) if isinstance(schema, (str, Path)) else schema
    kind = kind_of(source)
    options: dict[str, Any] = {"tables": tuple(tables)} if tables and kind == "sql" else {}
    dataset: Dataset = registry.find("sources", kind)().read(
        _chosen(source, tables) if tables and kind != "sql" else source,
        name=name,
        subject=subject,
        target=target,
        schema=known,
        sample_subjects=sample_subjects,
        seed=seed,
        origin=origin,
        **options,
    )
    return dataset if known is not None else propose(dataset)


def _chosen(source: Any, tables: Sequence[str]) -> dict[str, Any]:
    """The named tables of a folder of files, of several files or of a mapping of frames."""
    held = source if isinstance(source, Mapping) else files_of(source, (*CSV_SUFFIXES, *PARQUET_SUFFIXES))
    lacking = [name for name in tables if name not in held]
    if lacking:
        raise SourceError(
            f"Expected a table named '{lacking[0]}'.",
            f"The source holds {len(held)} others.{nearest(lacking[0], held)}",
            f"Name one of: {', '.join(sorted(held)[:20])}.",
        )
    return {name: held[name] for name in tables}


def read_scenario(scenario: Scenario) -> Dataset:
    """Read what a scenario names: its path, its URL, or the bundled public table."""
    part = scenario.source
    return read(
        part.path or part.url or bundled(part.bundled or BUNDLED[0]),
        name=part.name,
        subject=part.subject,
        target=target_of(scenario),
        schema=part.schema_file,
        tables=part.tables,
        sample_subjects=part.sample_subjects,
        seed=scenario.seed,
    )


def target_of(scenario: Scenario) -> str | None:
    """Return the target that a scenario names; the bundled table brings its own."""
    part = scenario.source
    return part.target or (None if part.path or part.url else "num")


def bundled(name: str) -> Path:
    """Return the path of a table that ships with the package."""
    return Path(__file__).parent / "bundled" / f"{name}.csv"


# ---------------------------------------------------------------------- fit and sample
def generator(name: str = "trees", **parameters: Any) -> Generator:
    """Return a generator by its registered name, not fitted yet.

    Parameters
    ----------
    name
        List the names with: ehrsatz doctor --list generators
    parameters
        Keyword parameters of that generator.

    Raises
    ------
    UnknownNameError
        When there is no such generator.
    ScenarioError
        When it has no such parameter.

    Examples
    --------
    >>> import ehrsatz
    >>> ehrsatz.generator("independent").name
    'independent'
    """
    made = registry.find("generators", name)
    known = [one for one in inspect.signature(made.__init__).parameters if one != "self"]
    unknown = [one for one in parameters if one not in known]
    if unknown:
        raise ScenarioError(
            f"Expected parameters of the generator '{name}': {', '.join(known) or 'it has none'}.",
            f"'{unknown[0]}' is none of them.{nearest(unknown[0], known)}",
            "Correct or remove it.",
        )
    engine: Generator = made(**parameters)
    return engine


def generator_of(scenario: Scenario) -> Generator:
    """Return the generator that a scenario names, with its budget and workers where it knows them."""
    name, given = scenario.generator.name, dict(scenario.generator.parameters)
    known = inspect.signature(registry.find("generators", name).__init__).parameters
    if scenario.time_budget is not None:
        if "budget" not in known:
            raise ScenarioError(
                "Expected a generator that takes a time budget.",
                f"'{name}' does not.",
                "Use the generator 'auto', or leave the time budget out.",
            )
        given["budget"] = scenario.time_budget
    if "workers" in known:
        given.setdefault("workers", scenario.workers)
    return generator(name, **given)


def check_given(given: Mapping[str, Any], schema: Schema, engine: Generator) -> None:
    """Check before any learning what can be known of conditions; the rest is checked before sampling.

    Raises
    ------
    UnsupportedError
        When the generator honours no conditions.
    InfeasibleError
        When a condition names no column of the parent table.
    """
    if given and not engine.conditions:
        able = [name for name in registry.names("generators") if registry.find("generators", name).conditions]
        raise UnsupportedError(
            f"The generator '{engine.name}' does not honour conditions.",
            "given was asked for.",
            f"Use one of: {', '.join(able)}.",
        )
    for name in given:
        if name not in schema.parent.names:
            raise InfeasibleError(
                f"Expected given to name columns of table '{schema.parent.name}'.",
                f"'{name}' is none of them.{nearest(name, schema.parent.names)}",
                "Check the spelling.",
            )


def draw(
    engine: Generator,
    n: int,
    *,
    seed: int,
    given: Mapping[str, Any] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Dataset:
    """Sample in shards of subjects, on several threads; the rows depend on neither.

    Parameters
    ----------
    engine
        A fitted generator.
    n
        Number of subjects.
    seed
        Decides every draw.
    given
        Conditions, as in `Generator.sample`.
    workers
        Threads.
    progress
        Called as progress("sample", done, n).
    """
    show = progress or silent
    show("sample", 0, n)
    firsts = list(range(0, n, SHARD)) or [0]

    def shard(first: int) -> Dataset:
        return engine.sample(min(SHARD, n - first), seed=seed, given=given, first=first)

    parts: list[Dataset] = []
    pool = ThreadPoolExecutor(max_workers=min(workers, len(firsts)))
    try:
        for part in pool.map(shard, firsts) if workers > 1 else map(shard, firsts):
            parts.append(part)
            show("sample", min(n, len(parts) * SHARD), n)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the shards that are left
    tables = {name: pl.concat([part.tables[name] for part in parts]) for name in parts[0].tables}
    (step,) = parts[0].provenance.steps
    told = {name: value for name, value in step.params.items() if name not in WITHOUT_EFFECT}
    whole = replace(step, params={**told, "n": n, "first": 0})
    return Dataset(parts[0].schema, tables, replace(parts[0].provenance, steps=(whole,)))


def matching(dataset: Dataset, given: Mapping[str, Any], engine: Generator, *, seed: int) -> Dataset:
    """Return the subjects that meet conditions, so that rows drawn under them are compared with their like.

    Asked-for shares are met by leaving subjects out. A table with several rows per subject is returned as it is.

    Parameters
    ----------
    dataset
        Real rows.
    given
        Conditions, as in `Generator.sample`.
    engine
        The fitted generator that read the conditions.
    seed
        Decides who is left out.
    """
    frame = dataset.table
    if not given or dataset.n_subjects < frame.height:
        return dataset
    shares = {name: wish["share"] for name, wish in given.items() if isinstance(wish, Mapping) and "share" in wish}
    read = engine.condition({**given, **{name: {"any": list(share)} for name, share in shares.items()}})
    keep = pl.lit(True)
    for name, cells in read.exact.items():
        keep = keep & (pl.col(name) == pl.lit(cells[0], dtype=cells.dtype))
    for name, (low, high) in read.band.items():
        keep = (
            keep
            & (pl.col(name) >= low if low is not None else True)
            & (pl.col(name) <= high if high is not None else True)
        )
    for name, values in read.among.items():
        keep = keep & pl.col(name).is_in(list(values))
    rows = frame.with_row_index("_row").filter(keep)
    for name, share in shares.items():
        wanted = dict(zip(read.among[name], share.values(), strict=True))
        counts = {level: rows.filter(pl.col(name) == level).height for level in wanted}
        most = min((counts[level] / part for level, part in wanted.items() if part > 0), default=0.0)
        order = stream(seed, "matching", name).permutation(rows.height)
        shuffled = rows[order].with_columns(_turn=pl.int_range(pl.len()).over(name))
        room = pl.col(name).replace_strict(
            list(wanted), [int(part * most) for part in wanted.values()], default=0, return_dtype=pl.Int64
        )
        rows = shuffled.filter(pl.col("_turn") < room).drop("_turn").sort("_row")
    key = subject_key(dataset.schema, dataset.schema.parent)
    return dataset.take_subjects(rows["_row"].cast(pl.Int64) if key is None else rows[key])


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
    metrics: Sequence[str] = (),
    seed: int = 0,
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
        Column that a prediction model would learn; without one, utility does not apply.
    metrics
        Names of metrics; all where none is named.
    seed
        Decides folds and subsamples.
    progress
        Called as progress(what, done, total).
    """
    scores = measure(
        train, holdout, synthetic, target=target, seed=seed, metrics=tuple(metrics) or None, progress=progress
    )
    return Measured(scores, tuple(check(synthetic)))


def policy_of(scenario: Scenario) -> Policy:
    """Return the policy that a scenario names or holds; the built-in one where it has none."""
    if scenario.policy is None:
        return Policy.default()
    if isinstance(scenario.policy, str):
        return Policy.from_file(scenario.policy)
    return Policy.from_dict(scenario.policy)


# ---------------------------------------------------------------------- write
def export(
    dataset: Dataset, folder: str | Path, *, formats: Sequence[str] = ("csv",), allow_real: bool = False
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

    Raises
    ------
    UnsupportedError, OutputError
        When the rows are real, or the folder cannot be written.
    """
    exporters = exporters_of(formats)
    return tuple(path for one in exporters for path in one.write(dataset, folder, allow_real=allow_real))


def exporters_of(formats: Sequence[str]) -> list[Exporter]:
    """Return the exporters of these names.

    Raises
    ------
    UnknownNameError
        When a format is not registered.
    """
    return [registry.find("exporters", name)() for name in dict.fromkeys(formats)]


# ---------------------------------------------------------------------- tell
def title_of(scenario: Scenario, dataset: Dataset) -> str:
    """Return the heading of a run's report: the scenario's name, or the dataset's."""
    return scenario.name or f"Synthetic {dataset.schema.name}"


def described(engine: Generator) -> dict[str, Any]:
    """Return a fitted generator's name, its parameters that change rows, and the account of a choice it made."""
    parameters = {name: value for name, value in engine.parameters().items() if name not in WITHOUT_EFFECT}
    choice = getattr(engine, "report_", None)  # what `auto` wrote down
    return {"name": engine.name, "parameters": parameters, **({"choice": choice} if choice else {})}


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""


def under(show: Progress, what: str) -> Progress:
    """Report a step's inner parts under the step's own name."""

    def inner(_: str, done: int, total: int) -> None:
        show(what, done, total)

    return inner
