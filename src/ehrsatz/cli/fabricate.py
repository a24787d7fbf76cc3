"""`ehrsatz fabricate`: from a real table to a judged release, in one command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import progress, say, show_json, show_table, word_of

if TYPE_CHECKING:
    from ehrsatz.pipeline import Release
    from ehrsatz.scenario import Scenario


def fabricate(
    scenario: Annotated[Path | None, typer.Argument(metavar="SCENARIO.YAML", help="A run described as data.")] = None,
    from_: options.From = None,
    subject: options.Subject = None,
    target: options.Target = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="New or empty folder; ./release by default.")] = None,
    schema: options.SchemaFile = None,
    table: options.Tables = None,
    sample_subjects: options.SampleSubjects = None,
    generator: options.GeneratorName = None,
    param: options.Param = None,
    n: Annotated[int | None, typer.Option(min=1, help="Subjects to fabricate; as many as were learned from.")] = None,
    seed: options.Seed = None,
    copies: Annotated[
        int | None, typer.Option(min=1, help="Synthetic copies of n subjects each, for combining rules.")
    ] = None,
    given: options.Given = None,
    group: options.Groups = None,
    duration: options.Duration = None,
    event: options.Event = None,
    formula: options.Formulas = None,
    quasi: options.Quasi = None,
    secret: options.Secrets = None,
    umap: options.Umap = False,
    policy: options.PolicyName = None,
    format_: options.Formats = None,
    keep_denied: Annotated[
        bool, typer.Option("--keep-denied", help="Keep the rows even where they are denied.")
    ] = False,
    workers: options.Workers = None,
    time_budget: Annotated[float | None, typer.Option(metavar="SECONDS", help="For the generator 'auto'.")] = None,
    cost: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what the run took, for `ehrsatz cost`.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate time and memory; write nothing.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Fabricate synthetic data from real data, judge it, and release it only past the gate.

    Reads, infers or loads the schema, keeps direct identifiers away from the method, splits by subject, learns from
    one half, fabricates, measures against the other half, judges, and writes one folder. Options win over the file.

    \b
    Examples:
      ehrsatz fabricate
      ehrsatz fabricate scenario.yaml
      ehrsatz fabricate --from patients.csv --subject patient_id --target readmitted --out release/
      ehrsatz fabricate --from patients.csv --given sex=F --given age=40..60 --n 500 --out women/
      ehrsatz fabricate --from patients.csv --dry-run

    Exit codes: 0 released, 1 held or denied, 2 wrong usage or bad input.
    """
    from ehrsatz import pipeline
    from ehrsatz.scenario import Scenario
    from ehrsatz.steps import check_new_file, write_text

    nothing_named = not (scenario or from_ or generator or param)
    plan = Scenario.example() if nothing_named else Scenario.from_file(scenario) if scenario else Scenario()
    plan = plan.changed(
        {
            **options.place(from_),
            "source.subject": subject,
            "source.target": target,
            "source.schema": schema and str(schema),
            "source.tables": table or None,
            "source.sample_subjects": sample_subjects,
            "generator.name": generator,
            "generator.parameters": options.parameters(param) or None,
            "n": n,
            "copies": copies,
            "evaluation.groups": group or None,
            "evaluation.duration": duration,
            "evaluation.event": event,
            "evaluation.formulas": formula or None,
            "evaluation.quasi": quasi or None,
            "evaluation.secrets": secret or None,
            "evaluation.umap": umap or None,
            "seed": seed,
            "given": options.conditions(given) or None,
            "policy": policy,
            "output.folder": out and str(out),
            "output.formats": options.formats(format_),
            "output.keep_denied": keep_denied or None,
            "workers": workers,
            "time_budget": time_budget,
        }
    )
    if cost is not None:
        check_new_file(cost)
    if dry_run:
        return _estimate(plan, as_json)
    with progress(quiet=as_json) as show:
        release = pipeline.fabricate(plan, progress=show)
    if cost is not None:
        write_text(cost, json.dumps(release.cost.to_dict(), indent=2) + "\n")
    if as_json:
        show_json(release.to_dict())
    else:
        _tell(release)
    return 0 if release.decision == "pass" else 1


def _estimate(plan: Scenario, as_json: bool) -> int:
    from ehrsatz.estimate import estimate

    with progress(quiet=as_json) as show:
        told = estimate(plan, progress=show)
    if as_json:
        show_json(told.to_dict())
    else:
        show_table(("step", "estimate"), told.lines())
        say("Nothing was written.")
    return 0


def _tell(release: Release) -> None:
    rows = [
        (
            word_of(check),
            check.name,
            "-" if check.value is None else f"{check.value:.3f}",
            "-" if check.reference is None else f"{check.reference:.3f}",
            check.threshold,
            check.severity,
        )
        for check in release.verdict.checks
    ]
    show_table(("", "check", "value", "real data", "limit", "if missed"), rows)
    told = {
        "pass": "RELEASED",
        "hold": "HELD: a person must decide",
        "deny": f"DENIED: the rows were {'kept, as asked' if release.data_kept else 'not kept'}",
    }[release.decision]
    typer.echo(f"{told}. {release.n_subjects:,} subjects, {release.n_rows:,} rows.")
    for reason in release.verdict.reasons:
        typer.echo(f"  - {reason}")
    typer.echo(f"Read {release.folder / 'report.html'} first. Check the folder with: ehrsatz verify {release.folder}")
    say(release.cost.told())
