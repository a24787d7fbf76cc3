"""The flow's steps one at a time, on files: fit, sample, evaluate, judge."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ehrsatz.capsule.write import check_target, staged
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, OutputError, ScenarioError
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import FORMAT
from ehrsatz.evaluation.task import Task
from ehrsatz.exporters.base import aside
from ehrsatz.gate import Verdict, judge, policy_of
from ehrsatz.generators.base import Generator, Progress, load_any, silent
from ehrsatz.generators.build import generator_of
from ehrsatz.generators.draw import draw as draw_rows
from ehrsatz.pipeline import Measured, evaluate, exporters_of, read, read_scenario, under
from ehrsatz.review.answers import read_answers, read_key
from ehrsatz.review.outcome import MARGIN, Outcome, merged, outcome
from ehrsatz.review.sheet import Sheet, draw
from ehrsatz.rules.base import Finding
from ehrsatz.scenario import Scenario, read_text
from ehrsatz.schema import Schema

ROUNDING = 1e-6  # scores are written with ten digits


def fit_model(scenario: Scenario, folder: str | Path, *, progress: Progress | None = None) -> Generator:
    """Learn from all subjects of a scenario's source and save the model into a new or empty folder."""
    show = progress or silent
    check_target(folder)
    engine = generator_of(scenario)
    show("read", 0, 1)
    real = read_scenario(scenario)
    show("read", 1, 1)
    engine.fit(real, seed=scenario.seed, progress=under(show, "fit"))
    with staged(folder) as stage:
        engine.save(stage)
    return engine


def sample_model(
    model: str | Path,
    folder: str | Path,
    *,
    n: int | None = None,
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
    formats: Sequence[str] = ("csv",),
    workers: int = 1,
    progress: Progress | None = None,
) -> Dataset:
    """Draw rows from a saved model and write them, unjudged, into a new or empty folder.

    Parameters
    ----------
    model
        Folder that `fit_model` wrote.
    folder
        Appears whole, or not at all.
    n
        Subjects; as many as the model learned from where None.
    seed
        Decides every draw.
    given
        Conditions, as in `Generator.sample`.
    formats
        Names of exporters.
    workers
        Threads.
    progress
        Called as progress(what, done, total).
    """
    check_target(folder)
    exporters = exporters_of(formats)
    engine = load_any(model)
    wanted = engine.n_subjects_ if n is None else n
    drawn = draw_rows(engine, wanted, seed=seed, given=given, workers=workers, progress=progress)
    with staged(folder) as stage:
        for exporter in exporters:
            exporter.write(drawn, stage)
            exporter.finish(stage)
        (stage / "schema.yaml").write_text(drawn.schema.to_yaml(), encoding="utf-8")
    return drawn


def evaluate_files(
    train: str | Path,
    holdout: str | Path,
    synthetic: str | Path,
    *,
    schema_file: str | Path | None = None,
    subject: str | None = None,
    task: Task | None = None,
    metrics: Sequence[str] = (),
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> Measured:
    """Read three files and evaluate them; without a schema file, that of the training rows holds for all three.

    Parameters
    ----------
    train, holdout, synthetic
        Paths.
    schema_file
        Path of a schema.yaml.
    subject
        Column that says whose row it is.
    task, metrics, seed, workers, progress
        As in `evaluate`.
    """
    first = read(train, subject=subject, target=task.target if task else None, schema=schema_file, seed=seed)
    schema = first.schema
    if schema_file is None:  # bounds and levels seen in one file are no law for the others
        schema = loosened(schema)
        first = Dataset(schema, first.tables, first.provenance)
    unseen = read(holdout, schema=schema, seed=seed)
    made = read(synthetic, schema=schema, seed=seed, origin="generated")
    return evaluate(first, unseen, made, task=task, metrics=metrics, seed=seed, workers=workers, progress=progress)


@dataclass(frozen=True)
class Told:
    """An evaluation read back from a file.

    Parameters
    ----------
    scores, findings
        What was measured and checked.
    details
        What the evaluation says of itself: subjects, rows, seed, metrics.
    """

    scores: tuple[Score, ...]
    findings: tuple[Finding, ...]
    details: Mapping[str, Any]


def read_scores(path: str | Path) -> Told:
    """Read a file of scores, as `Measured.to_dict` gives them.

    Raises
    ------
    ScenarioError
        When it cannot be read, or holds something else.
    """
    try:
        data = json.loads(read_text(path, "a file of scores"))
        if data.get("format", FORMAT) != FORMAT or not isinstance(data["scores"], list):
            raise ValueError("no scores")
        details = _details(data.get("details", {}))
        about = details.get("metrics", {})
        return Told(
            tuple(_score(one, about) for one in data["scores"]),
            tuple(_finding(one) for one in data.get("findings", ())),
            details,
        )
    except ScenarioError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ScenarioError(
            "Expected scores as `ehrsatz evaluate --out` writes them.",
            "The file holds something else.",
            "Name scores.json of a release, or evaluate again.",
        ) from None


def judge_file(path: str | Path, policy: str | Path | None = None) -> Verdict:
    """Hold the scores of a file, as `Measured.to_dict` gives them, against a policy: a shipped one's name, or a file.

    Raises
    ------
    ScenarioError
        When a file cannot be read, or holds something else.
    """
    rules = policy_of(policy)
    return judge(read_scores(path), rules)


def _details(told: Any) -> dict[str, Any]:
    """Read back what an evaluation says of itself; ValueError where it is none."""
    subjects, about = told.get("subjects", {}), told.get("metrics", {})
    if not (
        isinstance(told, dict)
        and all(isinstance(one, int) and one >= 0 for one in subjects.values())
        and all(isinstance(one, dict) for one in about.values())
    ):
        raise ValueError("no details")
    return told


def _score(told: dict[str, Any], about: Mapping[str, Any]) -> Score:
    """Read back one score; ValueError where it is none, or lies outside its metric's own scale."""
    ends = told.get("interval")
    numbers = [
        *(one for one in (told.get("value"), told.get("reference"), told.get("baseline")) if one is not None),
        *(ends or ()),
    ]
    excess = told.get("details", {}).get("excess_interval")
    if not (
        isinstance(told["metric"], str)
        and all(_is_number(one) for one in numbers)
        and (ends is None or (len(ends) == 2 and ends[0] <= ends[1]))
        and isinstance(told.get("n", 0), int)
        and told.get("n", 0) >= 0
        and _on_scale([*numbers[:1], *(ends or ())], about.get(told["metric"], {}))
        and (excess is None or (len(excess) == 2 and all(_is_number(one) for one in excess)))
        and isinstance(told.get("params", {}), dict)
        and isinstance(told.get("meaning", ""), str)
        and (told.get("value") is not None) == (told.get("status", "measured") == "measured")
    ):
        raise ValueError("no score")
    return Score(**{**told, "interval": None if ends is None else tuple(ends)})


def _finding(told: dict[str, Any]) -> Finding:
    """Read back one finding; ValueError where it is none."""
    n_checked, n_failed = told["n_checked"], told["n_failed"]
    if not (_is_number(n_checked) and _is_number(n_failed) and 0 <= n_failed <= n_checked):
        raise ValueError("no finding")
    return Finding(str(told["rule"]), int(n_checked), int(n_failed), {})


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63


def _on_scale(numbers: Sequence[float], about: Mapping[str, Any]) -> bool:
    """Whether numbers lie between the ends of a metric's scale, as far as the file says which these are."""
    low, high = about.get("low"), about.get("high")
    return all((low is None or one >= low - ROUNDING) and (high is None or one <= high + ROUNDING) for one in numbers)


def loosened(schema: Schema) -> Schema:
    """Drop what was only seen in one file: bounds, listed levels, absence of missing cells."""
    for table in schema.tables:
        free = [
            replace(column, minimum=None, maximum=None, values=None, nullable=column.role not in {"subject", "key"})
            for column in table.columns
        ]
        schema = schema.replace_table(replace(table, columns=tuple(free)))
    return schema


def draw_sheet(
    synthetic: str | Path,
    folder: str | Path,
    *,
    schema_file: str | Path | None = None,
    subject: str | None = None,
    n: int = 40,
    errors: int | None = None,
    real: str | Path | None = None,
    show_real: bool = False,
    policy: str | Path | None = None,
    title: str = "Review of records",
    seed: int = 0,
) -> Sheet:
    """Draw a blinded sheet of records into a new folder: send/ for the experts, keep/ for the house.

    Parameters
    ----------
    synthetic
        A release folder, or rows.
    folder
        Appears whole, or not at all.
    schema_file, subject
        As in `read`; a release brings its own schema.
    n, errors, title, seed
        As in `review.sheet.draw`.
    real
        Real rows to mix in.
    show_real
        Must be said to show real rows.
    policy
        Name or path; its audience must be internal where real rows are shown.

    Raises
    ------
    ScenarioError
        When real rows are named without being asked for, or the other way round.
    """
    if (real is not None) != show_real:
        raise ScenarioError(
            "Expected --real PATH and --show-real together.",
            "Only one of them was given.",
            "Name both to show real rows on the sheet, or none.",
        )
    rules = policy_of(policy)
    check_target(folder)
    place, schema = Path(synthetic), schema_file
    if (place / "schema.yaml").is_file() and (place / "data").is_dir():
        place, schema = place / "data", schema_file or place / "schema.yaml"
    made = read(_one_format(place), subject=subject, schema=schema, seed=seed, origin="generated")
    people = None
    if real is not None:
        loose = loosened(made.schema)
        made = Dataset(loose, made.tables, made.provenance)
        people = read(real, schema=loose, seed=seed)
    sheet = draw(made, people, n=n, errors=errors, policy=rules, title=title, seed=seed)
    with staged(folder) as stage:
        for name, text in (
            ("send/sheet.html", sheet.html),
            ("send/sheet.csv", sheet.table),
            ("keep/key.json", json.dumps(sheet.key, ensure_ascii=False, indent=2, sort_keys=True) + "\n"),
        ):
            (stage / name).parent.mkdir(exist_ok=True)
            (stage / name).write_text(text, encoding="utf-8")
    return sheet


def read_review(
    answers: Sequence[str | Path], key_file: str | Path, *, margin: float = MARGIN, partial: bool = False
) -> Outcome:
    """Read the answers of each rater and hold them against the key of their sheet.

    Raises
    ------
    DataError
        When a file is named twice, or a sheet has missing, unknown or repeated records, or answers that are none.
    ScenarioError
        When the key is none.
    """
    key = read_key(key_file)
    places = [Path(path).absolute() for path in answers]
    if len(set(places)) < len(places):
        raise DataError(
            "Expected one file of answers per rater.",
            f"{len(places) - len(set(places))} of {len(places)} files are named twice.",
            "Name each once: a rater must not count as two.",
        )
    return outcome(key, [read_answers(path, key, partial=partial) for path in answers], margin=margin)


def scores_with_review(scores: str | Path | None, score: Score) -> str:
    """Return a file of scores, as text, with the experts' score in it.

    Raises
    ------
    ScenarioError
        When the file of scores cannot be read, or holds something else.
    """
    data = None
    if scores is not None:
        read_scores(scores)
        data = json.loads(read_text(scores, "a file of scores"))
    return json.dumps(merged(data, score), ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _one_format(place: Path) -> Path:
    """The one table file of a folder, or the folder; of two formats of the same tables, the Parquet files."""
    if not place.is_dir():
        return place
    found = sorted(path for path in place.iterdir() if path.is_file())
    parquet = [path for path in found if path.suffix == ".parquet"]
    if len(found) == 1:
        return found[0]
    return parquet[0] if len(parquet) == 1 and {path.stem for path in found} == {parquet[0].stem} else place


def check_new_file(path: str | Path) -> None:
    """Check that a file could be written: it is not there yet, and its folder is.

    Raises
    ------
    OutputError
        Otherwise.
    """
    target = Path(path)
    if target.exists() or not target.absolute().parent.is_dir():
        found = "It is there already." if target.exists() else "Its folder does not exist."
        raise OutputError(f"Expected a new file at '{path}'.", found, "Name another path.")


def check_new_files(*paths: str | Path | None) -> None:
    """Check that several files could be written, each to its own place; those that are None are not asked for.

    Raises
    ------
    OutputError
        Otherwise.
    """
    named = [Path(path) for path in paths if path is not None]
    for path in named:
        check_new_file(path)
    if len({path.absolute() for path in named}) < len(named):
        raise OutputError("Expected a path of its own for each file.", "Two have the same.", "Name another path.")


def write_text(path: str | Path, text: str) -> None:
    """Write a new text file whole or not at all."""
    check_new_file(path)
    with aside(Path(path)) as partial:
        partial.write_text(text, encoding="utf-8")
