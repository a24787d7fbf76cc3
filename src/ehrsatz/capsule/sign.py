"""What persons do with a release: sign it, approve it, withdraw it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from ehrsatz.capsule import approval, signature, strict, withdrawal
from ehrsatz.capsule.approval import State
from ehrsatz.capsule.contents import APPROVALS, SIGNATURE
from ehrsatz.capsule.keys import Key
from ehrsatz.capsule.verify import Verification, examine
from ehrsatz.errors import CapsuleError, OutputError
from ehrsatz.exporters.base import aside, writing


def sign(folder: str | Path, key: Key, *, day: date | None = None, today: date | None = None) -> Path:
    """Sign a release that is as it was written, and return the path of `signature.json`.

    The same release, key and day give the same bytes.

    Parameters
    ----------
    folder
        A release.
    key
        Of whoever stands for it.
    day
        Date that the signature carries; none where None.
    today
        Day on which the key must not have lapsed, where the signature carries none.

    Raises
    ------
    CapsuleError
        When the release is not as it was written, is signed already, or the key has lapsed on that day.
    OutputError
        When the file cannot be written.
    """
    found = _sound(folder)
    target = Path(folder) / SIGNATURE
    if found.signature is not None:
        raise CapsuleError(
            "Expected a release without a signature.",
            f"{found.signature.signer.name} ({found.signature.signer.role}) has signed it.",
            "Others who stand for it approve it: ehrsatz approve",
        )
    when = day or today
    if when is not None and key.public.lapsed(when):
        raise CapsuleError(
            "Expected a key that may still sign.", "Its last day has passed.", "Make a new one with: ehrsatz keys new"
        )
    _put(target, strict.render(signature.build(key, str(found.manifest_sha256), day)))
    return target


def approve(folder: str | Path, key: Key, *, day: date, remark: str = "") -> State:
    """Approve a release as the person who holds a key, and return how far it is approved now.

    Parameters
    ----------
    folder
        A release; what is in it, all of it, is what the person approves.
    key
        Of a person whom the policy of the release names.
    day
        On which the person approves.
    remark
        In the person's own words; it is signed too.

    Raises
    ------
    CapsuleError
        When the release is not as it was written, was denied, or that person may not approve it or has already.
    OutputError
        When the file cannot be written.
    """
    found = _sound(folder)
    verdict, rule = str(found.decision), found.rule
    reason = approval.refusal(key.public, day, verdict, rule)
    if reason:
        raise CapsuleError(
            "Expected a person who may approve this release.",
            f"{reason[0].upper()}{reason[1:]}.",
            "Who may approve stands under 'approval' in the policy that judged it, in verdict.json.",
        )
    _short(remark, approval.MOST_REMARK, "remark")
    target = Path(folder) / APPROVALS / f"{key.public.name}.json"
    given = {one.person.name.casefold() for one in (found.approval.by if found.approval else ())}
    if target.exists() or key.public.name.casefold() in given:
        raise CapsuleError(
            "Expected a release that this person has not approved yet.",
            f"{key.public.name} has approved it.",
            "Another person must approve; one counts once.",
        )
    with writing(APPROVALS):
        target.parent.mkdir(exist_ok=True)
    _put(target, strict.render(approval.build(key, str(found.manifest_sha256), verdict, day, remark)))
    after = examine(folder)
    assert after.approval is not None
    return after.approval


def withdraw(folder: str | Path, key: Key, *, reason: str, path: str | Path, day: date) -> tuple[str, int]:
    """Add a release to a list of withdrawn ones, begun where there is none; return the list's head and length.

    Parameters
    ----------
    folder
        A release; it need not be as it was written, but its manifest must be.
    key
        Of whoever withdraws.
    reason
        For whoever meets the release later.
    path
        The list.
    day
        On which it is withdrawn.

    Raises
    ------
    CapsuleError
        When the manifest was changed, the list is damaged, or names the release already.
    OutputError
        When the list cannot be written.
    """
    found = examine(folder)
    wrong = [text for text in found.problems if text.startswith("manifest.json") or found.manifest_sha256 is None]
    if wrong:
        raise CapsuleError(
            "Expected a release whose manifest is as it was written.",
            "It is not.",
            "Withdraw an unchanged copy of it.",
            problems=wrong,
        )
    if key.public.lapsed(day):
        raise CapsuleError(
            "Expected a key that may still sign.", "Its last day has passed.", "Make a new one with: ehrsatz keys new"
        )
    if not reason.strip():
        raise CapsuleError("Expected a reason.", "It is empty.", "Say in a sentence why the release is withdrawn.")
    _short(reason, withdrawal.MOST_REASON, "reason")
    data, head, length, problems = withdrawal.append(
        path, key, manifest_sha256=str(found.manifest_sha256), reason=reason, day=day
    )
    if problems:
        raise CapsuleError(
            "Expected a list of withdrawals to add to.",
            "It cannot be added to.",
            "Fetch the list again, or name another one.",
            problems=problems,
        )
    target = Path(path)
    if target.is_symlink():
        raise OutputError("Expected a list that is a file.", "It is a link.", "Name the file itself.")
    _put(target, data, replace=True)
    return head, length


def _sound(folder: str | Path) -> Verification:
    """Return what a check finds, or refuse to put a name to a release that is not as it was written."""
    found = examine(folder)
    if found.problems:
        raise CapsuleError(
            "Expected a release as it was written.",
            f"{len(found.problems)} problem{'s' if len(found.problems) > 1 else ''} found.",
            "Nobody should sign this; fetch or make it again.",
            problems=found.problems,
        )
    return found


def _short(text: str, most: int, what: str) -> None:
    if len(text) > most:
        raise CapsuleError(f"Expected a {what} of at most {most:,} signs.", f"It has {len(text):,}.", "Shorten it.")


def _put(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file whole or not at all; an existing one only where it may be replaced."""
    if path.exists() and not replace:
        raise OutputError(f"Expected to write a new {path.name}.", "One is there.", "It is never replaced.")
    with aside(path) as partial:
        partial.write_bytes(data)
