"""What goes on the screen: progress with time left, tables, JSON; results on stdout, all else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ehrsatz.gate import Check


_left = [""]


def on_stop(text: str) -> None:
    """Set what is to be said when the command is stopped from now on."""
    _left[:] = [text]


def left() -> str:
    """Return what a stopped command leaves, in words."""
    return _left[0]


def say(text: str) -> None:
    """Write a line for a person to stderr."""
    print(text, file=sys.stderr, flush=True)


def show_json(data: Any) -> None:
    """Write machine output to stdout."""
    print(json.dumps(data, ensure_ascii=False, indent=2, sort_keys=True))


def show_lines(blocks: Iterable[str]) -> None:
    """Write blocks of lines to stdout, a blank line between two."""
    print("\n\n".join(blocks))


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Write a table to stdout: drawn on a terminal, separated by tabs elsewhere.

    Parameters
    ----------
    head
        Names of the columns.
    rows
        One text per column.
    title
        Line above the table, on a terminal.
    """
    if not sys.stdout.isatty():
        for row in (head, *rows):
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def word_of(check: Check) -> str:
    """Return in a word or two how a check of the gate went."""
    return "passed, by chance" if check.by_chance and check.passed else check.state


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function (what, done, total) that shows progress: bars with time left, or plain lines elsewhere.

    What follows a tab in `what` stands beside the bar, or nowhere where there is none.

    Parameters
    ----------
    quiet
        Show nothing.
    """
    if quiet:
        yield lambda what, done, total: None
    elif sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        last: list[str] = []

        def line(what: str, done: int, total: int) -> None:
            name = what.partition("\t")[0]
            if [name] != last:
                last[:] = [name]
                say(f"{name} ...")

        yield line


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<10}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            name, _, note = what.partition("\t")
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=max(total, 1), note="")
            bars.update(tasks[name], completed=min(done, total) if total else 1, total=max(total, 1), note=note)

        yield show
