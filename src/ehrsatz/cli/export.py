"""`ehrsatz export` and `ehrsatz reconcile`: records in other formats, and the proof that formats agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import progress, say, show_json, show_table

if TYPE_CHECKING:
    from ehrsatz.reconcile.prove import Proof

Source = Annotated[
    str, typer.Argument(metavar="PATH|URL", help="A release, a folder or file of records, or a database.")
]


def export(
    source: Source,
    format_: options.Formats = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New or empty folder.")] = Path("export"),
    from_format: options.FromFormat = None,
    mapping: options.MappingFile = None,
    athena: options.Athena = None,
    study_drug: options.StudyDrug = None,
    allow_real: options.AllowReal = False,
    no_proof: Annotated[bool, typer.Option("--no-proof", help="Do not read the formats back.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Write clinical records in other formats, and prove that the formats agree.

    Records are read from a release, from a folder or file in any clinical format, or from a database. What a format
    cannot carry it declares; `ehrsatz reconcile` lists it. What the source holds and the clinical schema has no place
    for is counted by name.

    \b
    Examples:
      ehrsatz export release/ --format fhir,omop_duckdb --out wire/
      ehrsatz export synthea/csv --from-format synthea --format fhir --out fhir/ --allow-real
      ehrsatz export release/ --format layout --mapping our_tables.yaml --out ours/

    Exit codes: 0 written, 1 written but formats disagree, 2 wrong usage or bad input, 130 stopped.
    """
    from ehrsatz.conversion import convert

    with progress(quiet=as_json) as show:
        done = convert(
            source,
            out,
            options.formats(format_) or ["parquet"],
            from_format=from_format,
            allow_real=allow_real,
            prove=not no_proof,
            settings=options.settings(mapping, athena, study_drug),
            progress=show,
        )
    if as_json:
        proof = None if done.proof is None else done.proof.to_dict()
        told = {"read_as": done.read_as, "rows": dict(done.rows), "n_patients": done.n_patients, "proof": proof}
        show_json({**told, "unplaced": dict(done.unplaced), "folder": str(done.folder)})
    else:
        say(f"Read as {done.read_as}: {done.n_patients:,} patients, {sum(done.rows.values()):,} rows.")
        if done.proof is not None:
            _show(done.proof, losses=False)
        typer.echo(f"Written: {', '.join(options.formats(format_) or ['parquet'])} in {done.folder}.")
    return 0 if done.proof is None or not done.proof.n_differ else 1


def reconcile(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A release, or a folder that holds several formats.")],
    format_: options.Formats = None,
    losses: Annotated[bool, typer.Option("--losses", help="List what each format declares not to carry.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the whole proof as JSON.")] = None,
    as_json: options.AsJson = False,
) -> int:
    """Read every format of a cohort back and prove, fact by fact, that they agree.

    One format is the reference: the clinical tables themselves where they are there, else the one that loses least.
    Facts are cells: patient, encounter, code, value, unit, time and all the rest that a format carries.

    \b
    Examples:
      ehrsatz reconcile release/
      ehrsatz reconcile wire/ --format fhir,omop --losses
      ehrsatz reconcile release/ --out proof.json

    Exit codes: 0 they agree, 1 they differ, 2 wrong usage or bad input.
    """
    from ehrsatz.conversion import proof_of
    from ehrsatz.steps import check_new_file, write_text

    if out is not None:
        check_new_file(out)
    with progress(quiet=as_json) as show:
        proof = proof_of(folder, formats=options.formats(format_) or (), progress=show)
    if out is not None:
        write_text(out, json.dumps(proof.to_dict(), indent=2, sort_keys=True) + "\n")
    if as_json:
        show_json(proof.to_dict())
    else:
        _show(proof, losses=losses)
    return 1 if proof.n_differ else 0


def _show(proof: Proof, *, losses: bool) -> None:
    lines = []
    for one in proof.held:
        lines.append((one.name, f"{one.n_facts:,}", f"{one.n_differ:,}", f"{one.n_carried}", f"{len(one.losses)}"))
    show_table(
        ("format", "facts compared", "differ", "columns carried", "declared losses"),
        lines,
        title=f"{proof.n_patients:,} patients against {proof.reference}",
    )
    places = [
        (one.name, f"{table}.{column}", f"{differ:,}", f"{facts:,}")
        for one in proof.held
        for (table, column), (facts, differ) in one.counts.items()
        if differ
    ]
    if places:
        show_table(("format", "differs", "cells", "of"), places)
    if losses:
        show_table(
            ("format", "not carried", "extent", "why"),
            [
                (
                    one.name,
                    loss.table if loss.column is None else f"{loss.table}.{loss.column}",
                    "some rows" if loss.rows is not None else "in part" if loss.keeps is not None else "all",
                    loss.reason,
                )
                for one in proof.held
                for loss in one.losses
            ],
        )
    verdict = "they agree" if not proof.n_differ else f"{proof.n_differ:,} differences"
    say(f"{proof.n_facts:,} facts in {len(proof.held) + 1} formats: {verdict} outside the declared losses.")
