"""The table of what the generator `auto` tried, for the commands that use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from ehrsatz.cli.screen import show_table


def show_choice(choice: Mapping[str, Any]) -> None:
    """Write to stdout what was tried, in which order, how it did, and why one was picked.

    Parameters
    ----------
    choice
        What `auto` wrote down.
    """
    from ehrsatz.report.choice import choice_table

    told = choice_table(choice)
    rows = [
        (
            one["name"],
            one["settings"],
            *(_number(one[key]) for key in ("distance", "near_share", "membership_auc")),
            one["state"] + (f": {one['why'].removeprefix('failed: ')}" if one["why"] else ""),
        )
        for one in told["rows"]
    ]
    if rows:
        show_table(("tried", "settings", "distance", "near share", "membership", ""), rows)
    real = "" if told["real"] is None else f" Real rows are at distance {told['real']:.4f}."
    typer.echo(f"Picked {told['picked']}: {told['why']}.{real}")
    if told["over_budget"]:
        typer.echo(f"Not tried for want of budget: {'; '.join(told['over_budget'])}.")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
