"""`ehrsatz keys`, `sign`, `approve`, `verify`, `withdraw`, `seal` and `open`: what persons do with a release."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ehrsatz.cli import options
from ehrsatz.cli.screen import say, show_json
from ehrsatz.errors import CapsuleError

if TYPE_CHECKING:
    from ehrsatz.capsule.keys import Key

Release = Annotated[Path, typer.Argument(metavar="RELEASE", help="A release folder.")]
PrivateKey = Annotated[Path, typer.Option("--key", metavar="NAME.key", help="Private key of whoever does it.")]
Passphrase = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File whose first line is the passphrase of the key.")
]
Day = Annotated[str | None, typer.Option("--date", metavar="DATE", help="Date that it carries, as 2025-01-31.")]

keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@keys.callback()
def _keys() -> None:
    """Make and show the keys with which persons sign and approve.

    \b
    Examples:
      ehrsatz keys new anna --role steward --out keys/
      ehrsatz keys show keys/anna.pub.json
    """


@keys.command(short_help="Make a pair of keys.")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the person; the files are named after it.")],
    role: Annotated[str, typer.Option(help="In which the person signs, as policies name it.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the two files.")] = Path("."),
    valid_until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Last day on which the key may sign; without end by default.")
    ] = None,
    passphrase_file: Passphrase = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a pair of keys: NAME.key for its owner alone, NAME.pub.json to give away. No file is ever replaced.

    \b
    Examples:
      ehrsatz keys new anna --role steward --out keys/ --valid-until 2026-12-31
      ehrsatz keys new bo --role "privacy officer" --passphrase-file secret.txt
    """
    from ehrsatz.capsule import keys as room

    last = None if valid_until is None else room.day(valid_until, "the last day of the key")
    secret, public = room.create(name, role, out, valid_until=last, passphrase=_passphrase(passphrase_file))
    told = room.read_public(public)
    if as_json:
        show_json({"key": str(secret), "public": str(public), "fingerprint": told.fingerprint, **told.to_dict()})
        return
    say(f"Wrote {secret} (keep it to yourself) and {public} (give it to those who check).")
    typer.echo(f"{told.name} ({told.role}), fingerprint {told.fingerprint}")


@keys.command(short_help="Show whose key it is.")
def show(
    path: Annotated[Path, typer.Argument(metavar="NAME.pub.json", help="A public key file.")],
    as_json: options.AsJson = False,
) -> None:
    """Show a public key: name, role, fingerprint, last day, and the lines for a policy.

    \b
    Examples:
      ehrsatz keys show anna.pub.json
    """
    from ehrsatz.capsule import keys as room

    told = room.read_public(path)
    if as_json:
        show_json({"fingerprint": told.fingerprint, **told.to_dict()})
        return
    until = "" if told.valid_until is None else f", valid_until: {told.valid_until.isoformat()}"
    typer.echo(f"{told.name} ({told.role}), fingerprint {told.fingerprint}")
    typer.echo("For the policy, under approval.keys:")
    typer.echo(f'  - {{name: {told.name}, role: "{told.role}", public_key: "{told.public_key}"{until}}}')


def sign(
    folder: Release,
    key: PrivateKey,
    passphrase_file: Passphrase = None,
    day: Day = None,
) -> None:
    """Sign a release that is as it was written: whoever has the public key can tell it from any other.

    Without --date the signature carries none, and the same release and key give the same bytes.

    \b
    Examples:
      ehrsatz sign release/ --key keys/anna.key
    """
    from ehrsatz.capsule import sign as room

    signer = _key(key, passphrase_file)
    path = room.sign(folder, signer, day=None if day is None else _day(day), today=date.today())
    say(f"Wrote {path}. Check it with: ehrsatz verify {folder} --key {_public(key)}")


def approve(
    folder: Release,
    key: PrivateKey,
    remark: Annotated[str, typer.Option(metavar="TEXT", help="In the person's own words; it is signed too.")] = "",
    passphrase_file: Passphrase = None,
    day: Day = None,
    as_json: options.AsJson = False,
) -> int:
    """Approve a release as one of the persons whom its policy names: exit code 0 approved, 1 others must follow.

    A person counts once, whoever signed the release is never its only approver, and a denied release cannot be
    approved. The date is today's unless --date names another.

    \b
    Examples:
      ehrsatz approve release/ --key keys/anna.key
      ehrsatz approve release/ --key keys/bo.key --remark "Read the report and the dossier."
    """
    from ehrsatz.capsule import sign as room

    state = room.approve(folder, _key(key, passphrase_file), day=_day(day), remark=remark)
    if as_json:
        show_json({"folder": str(folder), **state.to_dict()})
    else:
        say(state.told)
    return 0 if state.approved else 1


def verify(
    folder: Annotated[Path, typer.Argument(metavar="RELEASE", help="A release folder, or one Parquet file of it.")],
    key: Annotated[
        list[Path] | None,
        typer.Option(metavar="NAME.pub.json", help="Public key of whoever must have signed it; repeat for more."),
    ] = None,
    withdrawn: Annotated[
        Path | None, typer.Option(metavar="LIST", help="List of withdrawn releases to look it up in.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="DATE", help="Day on which keys must not have lapsed; today by default.")
    ] = None,
    require_approval: Annotated[
        bool,
        typer.Option("--require-approval", help="Not approved as its policy asks is a problem."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Check every byte of a release, who signed it and who approved it: exit code 0 as written, 2 anything else.

    It works without a network. Without --key it shows accident and careless editing alone: whoever can change a
    file can also write a new manifest. One Parquet file is looked at for its mark as synthetic.

    \b
    Examples:
      ehrsatz verify release/
      ehrsatz verify release/ --key anna.pub.json --require-approval --withdrawn withdrawn.json
    """
    from ehrsatz.capsule import keys as room
    from ehrsatz.capsule.verify import examine, mark

    if folder.is_file():
        told = mark(folder)
        show_json({"file": str(folder), "problems": [], "told": [told]}) if as_json else say(told)
        return
    found = examine(
        folder,
        keys=[room.read_public(one) for one in key or ()],
        at=_day(at),
        withdrawn=withdrawn,
        require_approval=require_approval,
    )
    if as_json:
        show_json({"folder": str(folder), **found.to_dict()})
    elif not found.problems:
        for line in found.told:
            say(line)
    if found.problems:
        raise CapsuleError(
            "Expected a release as it was written.",
            f"{len(found.problems)} problem{'s' if len(found.problems) > 1 else ''} found.",
            found.advice,
            problems=found.problems,
        )


def withdraw(
    folder: Release,
    key: PrivateKey,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever meets the release later.")],
    path: Annotated[Path, typer.Option("--list", metavar="FILE", help="List to add to; begun where there is none.")],
    passphrase_file: Passphrase = None,
    day: Day = None,
    as_json: options.AsJson = False,
) -> None:
    """Add a release to a signed list of those that must no longer be used; its folder stays as it is.

    Each entry holds the hash of the one before it. Note the head: it shows later whether entries were cut off.

    \b
    Examples:
      ehrsatz withdraw release/ --key keys/anna.key --list withdrawn.json --reason "A source table was wrong."
    """
    from ehrsatz.capsule import sign as room

    head, length = room.withdraw(folder, _key(key, passphrase_file), reason=reason, path=path, day=_day(day))
    if as_json:
        show_json({"list": str(path), "entries": length, "head": head})
    else:
        say(f"Withdrawn. Publish {path}: {length} entr{'y' if length == 1 else 'ies'}, head {head}.")


def seal(
    folder: Release,
    to: Annotated[
        list[str],
        typer.Option(metavar="KEY", help="Reader's public key: age1... or ssh-ed25519 ...; repeat."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.age", help="A new file.")],
) -> None:
    """Encrypt a release to certain readers: one file in the age format, a tar inside.

    \b
    Examples:
      ehrsatz seal release/ --to age1... --to age1... --out release.age
    """
    from ehrsatz.capsule.seal import seal as sealed
    from ehrsatz.capsule.verify import examine

    path = sealed(folder, to, out)
    state = examine(folder).approval
    say(f"Wrote {path} for {len(to)} reader{'s' if len(to) > 1 else ''}. {state.told if state else ''}".rstrip())


def unseal(
    path: Annotated[Path, typer.Argument(metavar="FILE.age", help="What `ehrsatz seal` wrote.")],
    identity: Annotated[Path, typer.Option(metavar="FILE", help="Your private keys, as age-keygen writes them.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    as_json: options.AsJson = False,
) -> None:
    """Decrypt a sealed release into a folder, whole or not at all, and check it.

    \b
    Examples:
      ehrsatz open release.age --identity key.txt --out release/
    """
    from ehrsatz.capsule.seal import open_sealed

    problems = open_sealed(path, identity, out)
    if as_json:
        show_json({"folder": str(out), "problems": problems})
    if problems:
        raise CapsuleError(
            "Expected a release as it was written.",
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found in {out}.",
            "Ask whoever sealed it.",
            problems=problems,
        )
    if not as_json:
        say(f"Opened into {out}, as it was written. Check who signed it with: ehrsatz verify {out} --key NAME.pub.json")


def _day(text: str | None) -> date:
    """Return the day that a text names, or today."""
    from ehrsatz.capsule.keys import day

    return date.today() if text is None else day(text)


def _key(path: Path, passphrase_file: Path | None) -> Key:
    from ehrsatz.capsule.keys import is_locked, read_private

    if passphrase_file is None and is_locked(path) and sys.stdin.isatty():
        text: Any = typer.prompt(f"Passphrase of {path}", hide_input=True, err=True)
        return read_private(path, passphrase=str(text).encode())
    return read_private(path, passphrase=_passphrase(passphrase_file))


def _passphrase(path: Path | None) -> bytes | None:
    from ehrsatz.scenario import read_text

    if path is None:
        return None
    lines = read_text(path, "a file with a passphrase").splitlines()
    if not lines or not lines[0]:
        raise CapsuleError(f"Expected a passphrase in the first line of '{path}'.", "It is empty.", "Write it there.")
    return lines[0].encode()


def _public(path: Path) -> Path:
    from ehrsatz.capsule.keys import PRIVATE, PUBLIC

    return path.with_name(path.name.removesuffix(PRIVATE) + PUBLIC)
