"""The command `ehrsatz`: its commands, its exit codes, and what a user sees when something goes wrong.

Exit codes: 0 released or done; 1 held or denied; 2 wrong usage or bad input; 3 a fault of ehrsatz itself; 130 stopped
by the user (143 where another process asked it to end). No message shows a cell value: an unexpected fault is named by
its type and place alone, unless --debug asks for Python's own account.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, Any

import typer

from ehrsatz import __version__
from ehrsatz.cli import (
    capsule,
    check,
    cost,
    doctor,
    export,
    fabricate,
    inspect,
    judging,
    load,
    model,
    monitor,
    review,
    send,
    shrink,
    tune,
)
from ehrsatz.cli.screen import left, on_stop, say
from ehrsatz.errors import EhrsatzError, EhrsatzWarning

USAGE, FAULT, STOPPED, ENDED = 2, 3, 130, 143  # 0 and 1 come from the commands
MOST_LINES = 25  # of an error; a table of 5,000 columns can have as many problems

app = typer.Typer(
    name="ehrsatz",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command, line in (
    (fabricate.fabricate, "Simulate patients, or learn from a table; judge; release."),
    (inspect.inspect, "Show what each column holds; write a schema to edit."),
    (check.check, "Check clinical data against the plausibility rules."),
    (export.export, "Write records in other formats, proved to agree."),
    (export.reconcile, "Prove that the formats of a cohort agree."),
    (load.load, "Load records into a database, all or nothing."),
    (send.send, "Send HL7 messages to a receiver over MLLP."),
    (model.fit, "Learn a model from a table and save it."),
    (model.sample, "Draw rows from a saved model."),
    (shrink.shrink, "Make a saved network smaller; say the cost."),
    (tune.tune, "Search for a method's settings; say which to use."),
    (judging.evaluate, "Measure synthetic rows against real ones."),
    (judging.gate, "Hold scores against a policy."),
    (capsule.verify, "Check a release: bytes, signature, approval."),
    (capsule.sign, "Sign a release."),
    (capsule.approve, "Approve a release as a person its policy names."),
    (capsule.withdraw, "List a release as no longer to be used."),
    (capsule.seal, "Encrypt a release to certain readers."),
    (monitor.monitor, "Compare releases over time; say which to withdraw or make again."),
    (cost.cost, "Hold what a run took against the way over real data."),
    (doctor.doctor, "Show what is installed and how to get the rest."),
):
    app.command(short_help=line)(command)
app.command("open", short_help="Open a sealed release.")(capsule.unseal)
app.add_typer(capsule.keys, name="keys", short_help="Make and show keys of persons.")
app.add_typer(review.app, name="review", short_help="Let experts read a blinded sheet of records.")


class Ended(KeyboardInterrupt):
    """Another process asked this one to end; it is handled like Ctrl-C, so that nothing half written stays."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ehrsatz {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show Python's own account of a fault; it may contain values of the data.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Healthcare test data that people can trust: fabricated, judged, and released only past a gate.

    Start with `ehrsatz fabricate` (1,000 simulated patients become ./release), or with your own table:

    \b
      ehrsatz inspect patients.csv --out schema.yaml
      ehrsatz fabricate --from patients.csv --subject patient_id --target readmitted --out release/

    Exit codes: 0 released, 1 held or denied, 2 wrong usage or bad input, 3 a fault of ehrsatz, 130 stopped.
    """


def run() -> None:
    """Run the command line on the process's arguments and exit."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments
        What follows `ehrsatz` on the command line.
    """
    debug = "--debug" in arguments
    on_stop("Nothing half written was left.")
    with warnings.catch_warnings():
        _quiet(debug)
        ended: list[int] = []
        before = _on_end(ended)
        try:
            result = app(args=arguments, prog_name="ehrsatz", standalone_mode=False)
            code = result if isinstance(result, int) else 0
            return _stopped(ended) if code == STOPPED else code  # the parser may turn Ctrl-C into this code
        except EhrsatzError as error:
            lines = str(error).splitlines()
            rest = len(lines) - MOST_LINES
            say(
                "\n".join(
                    ["Error: " + lines[0], *lines[1:MOST_LINES], *([f"  ... and {rest:,} more"] if rest > 0 else [])]
                )
            )
            return USAGE
        except (KeyboardInterrupt, typer.Abort):
            return _stopped(ended)
        except MemoryError:
            say("Error: The work needs more memory than there is. Take fewer subjects with --sample-subjects.")
            return USAGE
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone
            return 0
        except BaseException as error:  # noqa: BLE001 - the last line before the user: no value may be shown
            return _other(error, debug)
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)


def _stopped(ended: list[int]) -> int:
    say(f"{'Ended by another process' if ended else 'Stopped'}. {left()}")
    return ENDED if ended else STOPPED


def _other(error: BaseException, debug: bool) -> int:
    """Report a usage error of the parser, a wished exit, or a fault of ours; return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(code, int):  # the parser's own errors
        show()
        return USAGE
    if isinstance(code, int):  # typer.Exit
        return code
    if debug:
        raise error
    say(
        f"Error: ehrsatz failed with {type(error).__name__} at {_place(error)}. Its message may hold values: not shown."
    )
    say("Nothing half written was left. Run again with `ehrsatz --debug ...` to see it; please report what you find.")
    return FAULT


def _place(error: BaseException) -> str:
    """The last line of ehrsatz's own code in a traceback, as module:line."""
    place, trace = "an unknown place", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name.startswith("ehrsatz."):
            place = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _quiet(debug: bool) -> None:
    """Show our own warnings as notes; those of libraries only with --debug, for they may quote values."""
    if debug:
        return
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", EhrsatzWarning)

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(f"Note: {message}")

    warnings.showwarning = show


def _on_end(ended: list[int]) -> Any:
    """Turn a request to end (SIGTERM) into an exception and note it; return the handler that was there."""

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)
        raise Ended

    try:
        return signal.signal(signal.SIGTERM, end)
    except ValueError:  # not the main thread: the host program decides
        return None
