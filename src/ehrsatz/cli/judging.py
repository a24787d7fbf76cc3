"""`ehrsatz evaluate` and `gate`: measure, decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import progress, say, show_json, show_lines, show_table, word_of


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
    umap: options.Umap = False,
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
                umap,
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
    scores: Annotated[
        Path | None, typer.Argument(metavar="SCORES.JSON", help="What `ehrsatz evaluate --out` wrote.")
    ] = None,
    policy: options.PolicyName = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what would have to change to pass.")] = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the verdict as JUnit XML.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdict in Markdown; - writes to stdout.")
    ] = None,
    shipped: Annotated[bool, typer.Option("--list", help="List the policies that ship with ehrsatz.")] = False,
    show: Annotated[
        str | None,
        typer.Option(metavar="NAME", autocompletion=options.policies, help="Print a shipped policy, to copy and edit."),
    ] = None,
    json_schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a policy file.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Hold scores against a policy: exit code 0 passed, 1 held or denied.

    \b
    Examples:
      ehrsatz gate scores.json
      ehrsatz gate release/scores.json --policy public --explain
      ehrsatz gate --show partner > policy.yaml
      ehrsatz gate scores.json --policy policy.yaml --junit gate.xml --markdown gate.md
    """
    if shipped or show is not None or json_schema:
        _about(show, json_schema, as_json)
        return 0
    if scores is None:
        raise typer.BadParameter("expected a file of scores, or one of --list, --show and --schema")
    from ehrsatz import steps
    from ehrsatz.gate import explain as explained
    from ehrsatz.gate import judge, policy_of
    from ehrsatz.report.junit import junit as as_junit
    from ehrsatz.report.summary import summary

    to_screen = markdown == Path("-")
    steps.check_new_files(junit, None if to_screen else markdown)
    rules = policy_of(policy)
    told = steps.read_scores(scores)
    verdict = judge(told, rules)
    advice = explained(verdict, told) if explain else ()
    texts = {}
    if junit is not None:
        texts[junit] = as_junit(verdict)
    if markdown is not None and not to_screen:
        texts[markdown] = summary(verdict, told)
    for path, text in texts.items():
        steps.write_text(path, text)
    if as_json:
        more = {"explanations": [one.to_dict() for one in advice]} if explain else {}
        show_json({**verdict.to_dict(), **more})
    elif to_screen:
        print(summary(verdict, told), end="")
    elif explain:
        show_lines("\n".join(one.lines()) for one in advice)
    else:
        rows = [(word_of(check), check.name, check.threshold, check.reason) for check in verdict.checks]
        show_table(("", "check", "threshold", "reason"), rows)
    say({"pass": "PASSED.", "hold": "HELD: a person must decide.", "deny": "DENIED."}[verdict.decision])
    return 0 if verdict.passed else 1


def _about(show: str | None, json_schema: bool, as_json: bool) -> None:
    """Print what there is to know about policies: a shipped one, the schema of the file, or the list."""
    from ehrsatz.gate import SHIPPED, Policy, named, text_of

    if show is not None:
        text = text_of(show)
        if as_json:
            show_json(named(show).to_dict())
        else:
            print(text, end="")
    elif json_schema:
        show_json(Policy.json_schema())
    else:
        policies = [named(name) for name in SHIPPED]
        if as_json:
            show_json([{"name": one.name, "audience": one.audience, "purpose": one.purpose} for one in policies])
        else:
            rows = [(one.name, one.audience, str(len(one.thresholds)), one.purpose) for one in policies]
            show_table(("policy", "audience", "thresholds", "purpose"), rows)
