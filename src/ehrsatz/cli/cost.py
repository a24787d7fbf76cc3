"""`ehrsatz cost`: the worksheet of a measured run against the way over real data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import say, show_json, show_table


def cost(
    measured: Annotated[
        Path | None, typer.Argument(metavar="[COST.JSON]", help="What `ehrsatz fabricate --cost FILE` wrote.")
    ] = None,
    assumptions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own figures; those that ship by default.")
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="Print the assumptions that ship, to copy and change.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the worksheet as an HTML page whose figures can change.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Hold what a run took against what acquiring real data would cost; every assumption is visible and yours to edit.

    \b
    Examples:
      ehrsatz fabricate --cost cost.json
      ehrsatz cost cost.json --out worksheet.html
      ehrsatz cost --template > ours.yaml
      ehrsatz cost cost.json --assumptions ours.yaml
    """
    from ehrsatz import steps
    from ehrsatz.cost.worksheet import Assumptions, default_text, page, worksheet
    from ehrsatz.errors import ScenarioError
    from ehrsatz.scenario import read_text

    if template:
        typer.echo(default_text(), nl=False)
        return
    if measured is None:
        raise ScenarioError(
            "Expected a file with the cost of a run.", "None was named.", "Make one with: ehrsatz fabricate --cost FILE"
        )
    if out is not None:
        steps.check_new_file(out)
    figures = Assumptions.default() if assumptions is None else Assumptions.from_file(assumptions)
    try:
        told = json.loads(read_text(measured, "the cost of a run"))
    except (ValueError, RecursionError):
        told = None
    sheet = worksheet(told if isinstance(told, dict) else {}, figures)
    if out is not None:
        steps.write_text(out, page(sheet))
    if as_json:
        show_json(sheet)
        return
    rows = [(one["side"], one["what"], " x ".join(one["factors"]), f"{one['amount']:,.2f}") for one in sheet["lines"]]
    rows += [(side, "sum", "", f"{amount:,.2f}") for side, amount in sheet["sums"].items()]
    show_table(("way", "what", "how", sheet["currency"]), rows)
    say("A worksheet, no finding: all but the measured run is assumed. Change it with --assumptions.")
