"""`ehrsatz inspect`: a profile of a table, and a schema.yaml to edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import say, show_json, show_table

if TYPE_CHECKING:
    from ehrsatz.sources.profile import Summary


def inspect(
    source: Annotated[
        str | None, typer.Argument(metavar="PATH|URL", help="What to read; the bundled table if none.")
    ] = None,
    subject: options.Subject = None,
    schema: options.SchemaFile = None,
    table: options.Tables = None,
    sample_subjects: options.SampleSubjects = None,
    seed: options.Seed = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the schema there, to be edited.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what each column holds and why it is taken for that; with --out write a schema.yaml to edit.

    Shown are levels and ranges that at least five subjects share, no cell of a single one. An edited file wins over
    every guess: pass it with --schema.

    \b
    Examples:
      ehrsatz inspect patients.csv
      ehrsatz inspect patients.csv --subject patient_id --out schema.yaml
      ehrsatz inspect sqlite:///clinic.db --table patients --table visits
    """
    from ehrsatz import steps
    from ehrsatz.scenario import Scenario
    from ehrsatz.sources.profile import profile as summarise

    plan = Scenario().changed(
        {
            **options.place(source),
            "source.subject": subject,
            "source.schema": schema and str(schema),
            "source.tables": table or None,
            "source.sample_subjects": sample_subjects,
            "seed": seed,
        }
    )
    if out is not None:
        steps.check_new_file(out)
    dataset = steps.read_scenario(plan)
    profile = summarise(dataset)
    if out is not None:
        steps.write_text(out, dataset.schema.to_yaml())
    if as_json:
        show_json({"schema": dataset.schema.to_dict(), "profile": [entry.as_dict() for entry in profile]})
        return
    for one in dataset.schema.tables:
        rows = [
            (
                entry.name,
                entry.kind,
                entry.role,
                entry.disclosure,
                f"{entry.missing:.1%}",
                f"{entry.distinct:,}",
                _shape(entry),
                entry.why,
            )
            for entry in profile
            if entry.table == one.name
        ]
        height = dataset.tables[one.name].height
        title = f"{one.name}: {height:,} rows, {len(one.columns)} columns, {dataset.n_subjects:,} subjects"
        say(title)
        show_table(("column", "kind", "role", "disclosure", "missing", "distinct", "holds", "why"), rows)
        for rule in one.constraints:
            typer.echo(f"rule\t{rule.kind}\t{', '.join(rule.columns)}\t{rule.why}")
    if out is not None:
        say(f"Written: {out}. Edit it, then pass it with --schema {out}")


def _shape(entry: Summary) -> str:
    """The commonest levels with their shares, or the rounded range of a number."""
    if entry.top:
        return ", ".join(f"{level} {share:.0%}" for level, share in entry.top[:3])
    return f"{entry.bins[0][0]} to {entry.bins[-1][1]}" if entry.bins else ""
