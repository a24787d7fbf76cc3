"""`ehrsatz send`: HL7 version 2 messages over MLLP. The one command that opens a connection to what the user names."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import on_stop, progress, say, show_json, show_table

if TYPE_CHECKING:
    from ehrsatz.mllp import Message, Sent

MOST_TOLD = 10  # messages that were not taken


def send(
    what: Annotated[Path, typer.Argument(metavar="FOLDER|FILE", help="HL7 files: a folder of them, or one.")],
    to: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The receiver.")],
    rate: Annotated[float | None, typer.Option(metavar="N", help="At most N messages a second.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="Tries after the first, with growing pauses.")] = 5,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds to wait for an answer.")] = 10.0,
    tls: Annotated[bool, typer.Option("--tls", help="Encrypt the connection and check the certificate.")] = False,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of authorities to trust; with --tls.")
    ] = None,
    stop_on_error: Annotated[
        bool, typer.Option("--stop-on-error", help="Stop at the first message that is answered AE or AR.")
    ] = False,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Append a line of JSON per message.")] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to note what was sent; a file here by default.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Send all, also what was sent before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the messages and open no connection.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Send HL7 messages over MLLP and wait for the acknowledgement of each.

    A feed that was broken off goes on where it stood: run the same command again.

    \b
    Examples:
      ehrsatz send release/hl7v2/ localhost:2575 --dry-run
      ehrsatz send release/hl7v2/ localhost:2575 --rate 50
      ehrsatz send feed.hl7 engine.example.org:2576 --tls --log sent.jsonl

    Exit codes: 0 all were acknowledged, 2 some were not, or wrong usage or bad input, 130 stopped.
    """
    from ehrsatz import mllp

    host, port = _address(to)
    _check(rate, timeout, ca, tls)
    files = mllp.files_of(what)
    kinds = Counter(one.kind for path in files for one in mllp.messages(path))
    total = sum(kinds.values())
    if dry_run:
        _show(kinds, as_json)
        say(f"{total:,} messages in {len(files)} files; nothing was sent.")
        return
    noted = mllp.State(state, files, f"{host}:{port}")
    if not again:
        noted.read()
    done = [sum(noted.done)]
    on_stop(f"Run the same command to go on; {noted.path} notes what was acknowledged.")
    peer = mllp.Peer(host, port, timeout=timeout, tls=mllp.context(ca) if tls else None)
    with progress(quiet=as_json) as show, peer, _Log(log) as line:

        def told(message: Message, code: str) -> None:
            done[0] += 1
            line.write(message, code)
            show("send", done[0], total)

        sent = mllp.send(files, peer, noted, rate=rate, retries=retries, stop_on_error=stop_on_error, told=told)
    _show(sent.acknowledged, as_json, sent)
    before = f", {sent.before:,} before" if sent.before else ""
    say(f"{sum(sent.acknowledged.values()):,} messages acknowledged{before}.")
    _raise_failed(sent)


class _Log:
    """A file with a line per message: file, number, type, answer; nothing where there is none."""

    def __init__(self, path: Path | None) -> None:
        from ehrsatz.files import writing

        self._writing = writing
        with writing("the log"):
            self._file = None if path is None else path.open("a", encoding="utf-8")

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, message: Message, code: str) -> None:
        """Add a line."""
        if self._file is None:
            return
        line = {"file": message.file, "message": message.number, "type": message.kind, "answer": code}
        with self._writing("the log"):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def _address(text: str) -> tuple[str, int]:
    from ehrsatz.errors import ScenarioError

    match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\s/]+)):(?P<port>\d{1,5})", text)
    if match is None or not 0 < int(match["port"]) < 65_536:
        raise ScenarioError(
            "Expected the receiver as HOST:PORT.", "No such address was found.", "Write it as in localhost:2575."
        )
    return match["six"] or match["host"], int(match["port"])


def _check(rate: float | None, timeout: float, ca: Path | None, tls: bool) -> None:
    from ehrsatz.errors import ScenarioError

    for name, value in (("--rate", rate), ("--timeout", timeout)):
        if value is not None and not 0 < value < 1e6:
            raise ScenarioError(f"Expected {name} above 0.", "It is not.", "Give a number such as 10.")
    if ca is not None and not tls:
        raise ScenarioError("Expected --ca with --tls.", "--tls is absent.", "Add --tls.")


def _show(kinds: Counter[str], as_json: bool, sent: Sent | None = None) -> None:
    if not as_json:
        show_table(("type", "messages"), [(kind, f"{many:,}") for kind, many in sorted(kinds.items())])
        return
    failed = [] if sent is None else sent.failed
    told = [{"file": one.file, "message": one.number, "type": one.kind, "answer": code} for one, code in failed]
    show_json({"messages": dict(kinds), "failed": told, "before": 0 if sent is None else sent.before})


def _raise_failed(sent: Sent) -> None:
    from ehrsatz.errors import OutputError

    if not sent.failed:
        return
    codes = Counter(code for _, code in sent.failed)
    answers = ", ".join(f"{code} {many:,} times" for code, many in sorted(codes.items()))
    problems = [f"{one.place}: {code}" for one, code in sent.failed[:MOST_TOLD]]
    rest = len(sent.failed) - len(problems)
    raise OutputError(
        "Expected the receiver to take every message.",
        f"It did not take {len(sent.failed):,}: it answered {answers}.",
        "Look into the receiver's log; --log lists all of them, --stop-on-error stops at the first.",
        problems=[*problems, *([f"and {rest:,} more"] if rest else [])],
    )
