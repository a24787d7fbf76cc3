"""`ehrsatz monitor`: releases over time, and what is to be done with them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import say, show_json, show_table


def monitor(
    releases: Annotated[list[Path], typer.Argument(metavar="RELEASE...", help="Release folders, oldest first.")],
    policy: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Policy of today; each release's own by default.")
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option(metavar="PUB.json", help="Public key whose signature counts; repeat for more.")
    ] = None,
    withdrawn: Annotated[Path | None, typer.Option(metavar="LIST", help="List of withdrawn releases.")] = None,
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Judge as of this day; today by default."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page with pictures.")] = None,
    as_json: options.AsJson = False,
) -> int:
    """Compare releases over time: drift of data, scores and risks; say which to withdraw or make again.

    \b
    Examples:
      ehrsatz monitor spring/ summer/ autumn/
      ehrsatz monitor spring/ summer/ --policy public --withdrawn withdrawn.json --out watch.html

    Exit codes: 0 all may stand, 1 something is to be done, 2 bad input.
    """
    from ehrsatz import steps
    from ehrsatz.capsule.keys import read_public
    from ehrsatz.monitor.page import page
    from ehrsatz.monitor.watch import watch

    if out is not None:
        steps.check_new_file(out)
    day = (at or datetime.now()).date()
    found = watch(
        releases, policy=policy, keys=tuple(read_public(one) for one in key or ()), withdrawn=withdrawn, at=day
    )
    if out is not None:
        steps.write_text(out, page(found))
    if as_json:
        show_json(found.to_dict())
    else:
        rows = [
            (one.name, one.advice, one.decision, one.today, "; ".join(one.reasons) or "-") for one in found.releases
        ]
        show_table(("release", "advice", "gate then", "gate today", "why"), rows)
        for note in found.notes:
            say(note)
    return 1 if found.needs_action else 0
