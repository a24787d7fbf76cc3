"""`ehrsatz check`: clinical data against the plausibility rules."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import say, show_json, show_table

if TYPE_CHECKING:
    from ehrsatz.rules.check import Findings

_SHOWN = 20  # positions of a table that --rows shows; --json gives all


def check(
    source: Annotated[str, typer.Argument(metavar="PATH|URL", help="File, folder or database of clinical tables.")],
    mapping: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Which table is which: clinical, synthea_csv, mimic3, or a file."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Rule, or beginning of ids such as 'birth'; repeat for more.")
    ] = None,
    severity: Annotated[str | None, typer.Option(metavar="error|warning", help="Only rules of this severity.")] = None,
    reference: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Day on which the data were drawn; nothing is later."),
    ] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Show at which rows, counted from 0.")] = False,
    skipped: Annotated[bool, typer.Option("--skipped", help="Show which rules did not apply, and why.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Check clinical data against the plausibility rules: what cannot be, and what hardly can.

    Any tables will do, once a mapping says which table and column is which. Shown are counts and positions, no cell.
    Exit code 1 where an error was found; warnings alone are 0.

    \b
    Examples:
      ehrsatz check release/data
      ehrsatz check synthea/csv --mapping synthea_csv --rows
      ehrsatz check hospital/ --mapping our_tables.yaml --severity error --reference 2025-12-31
      ehrsatz check release/data --rule birth --rule death --json
    """
    import ehrsatz

    found = ehrsatz.check(source, rules=rule or None, mapping=mapping, severity=severity, reference=reference)
    if as_json:
        show_json(_plain(found))
    else:
        _show(found, rows=rows, skipped=skipped)
    if found.broken("error"):
        raise typer.Exit(1)


def _plain(found: Findings) -> dict[str, Any]:
    from ehrsatz.rules.check import severity_of

    return {
        "mapping": found.mapping,
        "n_errors": len(found.broken("error")),
        "n_warnings": len(found.broken("warning")),
        "findings": [
            {
                "rule": one.rule,
                "severity": severity_of(one.rule),
                "n_checked": one.n_checked,
                "n_failed": one.n_failed,
                "rows": {table: places.tolist() for table, places in one.rows.items()},
            }
            for one in found
        ],
        "skipped": found.skipped,
    }


def _show(found: Findings, *, rows: bool, skipped: bool) -> None:
    from ehrsatz import registry
    from ehrsatz.rules.check import severity_of

    lines = []
    for one in sorted(found.broken(), key=lambda one: severity_of(one.rule)):
        title = registry.RULES.get(one.rule, {}).get("title", "")
        places = "; ".join(
            f"{table}: {', '.join(str(place) for place in rows_[:_SHOWN])}{', ...' if len(rows_) > _SHOWN else ''}"
            for table, rows_ in one.rows.items()
        )
        counts = (f"{one.n_failed:,}", f"{one.n_checked:,}")
        lines.append((severity_of(one.rule), one.rule, *counts, title, *((places,) if rows else ())))
    if lines:
        show_table(("severity", "rule", "failed", "of", "what", *(("rows",) if rows else ())), lines)
    errors, warnings = len(found.broken("error")), len(found.broken("warning"))
    say(
        f"Mapping {found.mapping}: {len(found)} rules checked, {errors} broken as errors and {warnings} as warnings; "
        f"{len(found.skipped)} did not apply{'' if skipped or not found.skipped else ' (see --skipped)'}."
    )
    if skipped:
        show_table(("did not apply", "why"), list(found.skipped.items()))
