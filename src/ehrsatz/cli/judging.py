"""`ehrsatz evaluate` and `gate`: measure, decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import progress, say, show_json, show_table, word_of


def evaluate(
    train: Annotated[str, typer.Option(metavar="PATH", help="Real rows that the generator saw.")],
    holdout: Annotated[str, typer.Option(metavar="PATH", help="Real rows of other subjects that it did not see.")],
    synthetic: Annotated[str, typer.Option(metavar="PATH", help="What came out.")],
    schema: options.SchemaFile = None,
    subject: options.Subject = None,
    target: options.Target = None,
    group: options.Groups = None,
    duration: options.Duration = None,
    event: options.Event = None,
    formula: options.Formulas = None,
    quasi: options.Quasi = None,
    secret: options.Secrets = None,
    copies: Annotated[int, typer.Option(min=1, help="Synthetic copies that lie one after the other.")] = 1,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Metric; all by default; repeat for more.")
    ] = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the scores as JSON, for `ehrsatz gate`.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure synthetic rows against the real halves; each score with its interval and what real data itself scores.

    \b
    Examples:
      ehrsatz evaluate --train a.csv --holdout b.csv --synthetic s.csv --schema schema.yaml --target readmitted
      ehrsatz evaluate --train a.csv --holdout b.csv --synthetic s.csv --out scores.json
      ehrsatz evaluate --train a.csv --holdout b.csv --synthetic s.csv --formula 'died ~ age + C(sex)' --group sex
    """
    from ehrsatz import steps
    from ehrsatz.evaluation.task import Task

    if out is not None:
        steps.check_new_file(out)
    with progress(quiet=as_json) as show:
        evaluation = steps.evaluate_files(
            train,
            holdout,
            synthetic,
            schema_file=schema,
            subject=subject,
            task=Task(
                target,
                tuple(group or ()),
                duration,
                event,
                tuple(formula or ()),
                tuple(quasi or ()),
                tuple(secret or ()),
                copies,
            ),
            metrics=tuple(metric or ()),
            seed=seed or 0,
            workers=workers or 1,
            progress=show,
        )
    data = evaluation.to_dict()
    if out is not None:
        steps.write_text(out, json.dumps(data, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    if as_json:
        show_json(data)
        return
    rows = [
        (
            score.metric,
            "-" if score.value is None else f"{score.value:.3f}",
            "-" if score.interval is None else f"{score.interval[0]:.3f} to {score.interval[1]:.3f}",
            "-" if score.reference is None else f"{score.reference:.3f}",
            score.meaning,
        )
        for score in evaluation.scores
    ]
    show_table(("metric", "value", "interval", "real data", "meaning"), rows)


def gate(
    scores: Annotated[Path, typer.Argument(metavar="SCORES.JSON", help="What `ehrsatz evaluate --out` wrote.")],
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Thresholds; the built-in policy by default.")
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Hold scores against a policy: exit code 0 passed, 1 held or denied.

    \b
    Examples:
      ehrsatz gate scores.json
      ehrsatz gate release/scores.json --policy strict.yaml
    """
    from ehrsatz import steps

    verdict = steps.judge_file(scores, policy)
    if as_json:
        show_json(verdict.to_dict())
    else:
        rows = [(word_of(check), check.name, check.threshold, check.reason) for check in verdict.checks]
        show_table(("", "check", "threshold", "reason"), rows)
        say({"pass": "PASSED.", "hold": "HELD: a person must decide.", "deny": "DENIED."}[verdict.decision])
    return 0 if verdict.passed else 1
