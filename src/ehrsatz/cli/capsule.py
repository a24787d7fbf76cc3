"""`ehrsatz verify`: check a release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import say, show_json


def verify(
    folder: Annotated[Path, typer.Argument(metavar="RELEASE", help="A release folder.")],
    as_json: options.AsJson = False,
) -> None:
    """Check every byte of a release against its manifest: exit code 0 as written, 2 changed or incomplete.

    \b
    Examples:
      ehrsatz verify release/
    """
    from ehrsatz.capsule.verify import verify as problems_of
    from ehrsatz.errors import CapsuleError

    problems = problems_of(folder)
    if as_json:
        show_json({"folder": str(folder), "problems": problems})
    if problems:
        raise CapsuleError(
            "Expected a release as it was written.",
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found.",
            "Fetch the release again from whoever made it.",
            problems=problems,
        )
    if not as_json:
        say("The release is as it was written.")
