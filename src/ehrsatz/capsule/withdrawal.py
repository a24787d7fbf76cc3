"""The list of releases that must no longer be used: signed entries, each with the hash of the one before it.

An entry cannot be changed, moved or taken out of the middle without showing. Entries cut off at the end do not show in
the list itself: compare its head, the hash of the last entry, with one noted before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ehrsatz.capsule import strict
from ehrsatz.capsule.keys import ALGORITHM, FORMAT, Key, PublicKey, is_signed, signer_of
from ehrsatz.capsule.keys import day as read_day

KIND = "ehrsatz withdrawal"
LIST = "ehrsatz list of withdrawals"
FIELDS = {
    "format",
    "kind",
    "algorithm",
    "number",
    "previous",
    "manifest_sha256",
    "reason",
    "date",
    "key",
    "signature",
}
START = "0" * 64  # what the first entry has in place of a hash
MOST_REASON = 2000  # signs


@dataclass(frozen=True)
class Withdrawal:
    """One entry: which release, why, when, by whom."""

    manifest_sha256: str
    reason: str
    day: date
    signer: PublicKey

    def told(self, pinned: Sequence[PublicKey]) -> str:
        """Return a sentence for a person, which says whether the signer is one of these keys."""
        known = any(one.public_key == self.signer.public_key for one in pinned)
        whose = "a key of yours" if known else f"the key {self.signer.fingerprint}, none of yours"
        when, who = self.day.isoformat(), f"{self.signer.name} ({self.signer.role})"
        return f"withdrawn on {when} by {who}, signed with {whose}: {strict.shown(self.reason)}"


def read(path: str | Path) -> tuple[list[Withdrawal], str, list[str]]:
    """Return the entries of a list, its head, and what is wrong with it.

    Entries before the first fault are returned all the same.
    """
    try:
        told = strict.parse(strict.read(Path(path).resolve()), one_spelling=True)
    except FileNotFoundError:
        return [], START, ["absent, so nobody can say what was withdrawn"]
    except strict.NotPlain as error:
        return [], START, [str(error)]
    entries = told.get("entries")
    if set(told) != {"format", "kind", "entries"} or (told["kind"], told["format"]) != (LIST, FORMAT):
        return [], START, ["is no list of withdrawals"]
    if not isinstance(entries, list):
        return [], START, ["is no list of withdrawals"]
    found: list[Withdrawal] = []
    head = START
    for number, entry in enumerate(entries, start=1):
        one, problem = _entry(entry, number, head)
        if one is None:
            return found, head, [f"entry {number}: {problem}"]
        found.append(one)
        head = head_of(entry)
    return found, head, []


def append(
    path: str | Path, key: Key, *, manifest_sha256: str, reason: str, day: date
) -> tuple[bytes, str, int, list[str]]:
    """Return the bytes of a list with one more entry, its new head and length, or what is wrong with it as it is.

    Parameters
    ----------
    path
        The list; a new one is begun where there is none.
    key
        Of whoever withdraws.
    manifest_sha256
        Hash of the manifest of the release.
    reason
        For whoever meets the release.
    day
        On which it is withdrawn.
    """
    entries: list[dict[str, Any]] = []
    found, head, problems = read(path) if Path(path).exists() else ([], START, [])
    if any(one.manifest_sha256 == manifest_sha256 for one in found):
        problems = [*problems, "names this release already"]
    if problems:
        return b"", head, len(found), problems
    if found:
        entries = strict.parse(strict.read(Path(path)))["entries"]
    entry = key.sign(
        {
            "format": FORMAT,
            "kind": KIND,
            "algorithm": ALGORITHM,
            "number": len(entries) + 1,
            "previous": head,
            "manifest_sha256": manifest_sha256,
            "reason": reason,
            "date": day.isoformat(),
            "key": key.public.who(),
        }
    )
    data = strict.render({"format": FORMAT, "kind": LIST, "entries": [*entries, entry]})
    return data, head_of(entry), len(entries) + 1, []


def head_of(entry: dict[str, Any]) -> str:
    """Return the hash by which the next entry knows this one."""
    return hashlib.sha256(strict.render(entry)).hexdigest()


def _entry(told: Any, number: int, head: str) -> tuple[Withdrawal | None, str]:
    try:
        if not isinstance(told, dict) or set(told) != FIELDS:
            raise ValueError
        if (told["kind"], told["algorithm"], told["format"]) != (KIND, ALGORITHM, FORMAT):
            raise ValueError
        signer, day = signer_of(told), read_day(told["date"])
        if not isinstance(told["reason"], str) or not isinstance(told["manifest_sha256"], str):
            raise ValueError
    except (ValueError, TypeError):
        return None, "is no withdrawal"
    if not is_signed(told, signer.public_key):
        return None, "its signature does not belong to this statement and key: it was changed or forged"
    if (told["number"], told["previous"]) != (number, head):
        return None, "does not follow the entry before it: one was taken out, moved or changed"
    return Withdrawal(told["manifest_sha256"], told["reason"], day, signer), ""
