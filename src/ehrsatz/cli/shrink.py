"""`ehrsatz shrink`: a smaller copy of a saved network, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import progress, show_json, show_table


def shrink(
    model: Annotated[Path, typer.Option(metavar="DIR", help="Folder that `ehrsatz fit` wrote, of a network.")],
    against: Annotated[Path, typer.Option(metavar="PATH", help="Real rows to measure the cost by; best unseen ones.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New or empty folder for the smaller model.")],
    full_precision: Annotated[
        bool, typer.Option("--full-precision", help="Only prune; leave out the quantisation to eight bits.")
    ] = False,
    prune: Annotated[float, typer.Option(min=0, max=0.99, help="Share of the smallest weights to set to zero.")] = 0.0,
    most_loss: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Refuse where the distance to real rows rises by more.")
    ] = None,
    subject: options.Subject = None,
    seed: options.Seed = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a saved network smaller and report what that costs in fidelity.

    Quantisation keeps weights in eight bits, so the file is about a quarter as large; pruning sets the smallest weights
    to zero. Rows are drawn from both models and compared with the real ones: mean total variation over pairs and
    triples of columns, 0 for equal tables.

    \b
    Examples:
      ehrsatz shrink --model model/ --against unseen.csv --out small/
      ehrsatz shrink --model model/ --against unseen.csv --prune 0.3 --most-loss 0.01 --out small/
    """
    from ehrsatz.shrinking import shrink_model

    with progress(quiet=as_json) as show:
        done = shrink_model(
            model,
            out,
            against,
            bits=None if full_precision else 8,
            prune=prune,
            most_loss=most_loss,
            subject=subject,
            seed=seed or 0,
            progress=show,
        )
    if as_json:
        show_json(done.to_dict())
        return
    show_table(
        ["", "before", "after"],
        [
            ["size of the weights, kB", f"{done.bytes_before / 1000:,.0f}", f"{done.bytes_after / 1000:,.0f}"],
            ["distance to real rows", f"{done.distance_before:.4f}", f"{done.distance_after:.4f}"],
        ],
        title=f"{done.n_rows:,} rows from each",
    )
