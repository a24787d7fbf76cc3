"""The signature of a release: Ed25519 over the hash of its manifest, which holds the hash of every other file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ehrsatz.capsule import strict
from ehrsatz.capsule.keys import ALGORITHM, FORMAT, Key, PublicKey, is_signed, signer_of
from ehrsatz.capsule.keys import day as read_day

KIND = "ehrsatz release signature"
FIELDS = {"format", "kind", "algorithm", "manifest_sha256", "key", "date", "signature"}


@dataclass(frozen=True)
class Signature:
    """Who signed a release; `pinned` says that the key is one that the checker brought along."""

    signer: PublicKey
    day: date | None
    pinned: bool

    @property
    def told(self) -> str:
        """One sentence for a person."""
        when = "" if self.day is None else f" on {self.day.isoformat()}"
        by = f"Signed by {self.signer.name} ({self.signer.role}){when}, key {self.signer.fingerprint}"
        if self.pinned:
            return f"{by}: a key of yours."
        return f"{by}: not checked against a key of yours, so anyone may have made it (give one with --key)."

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            **self.signer.who(),
            "fingerprint": self.signer.fingerprint,
            "date": None if self.day is None else self.day.isoformat(),
            "pinned": self.pinned,
        }


def build(key: Key, manifest_sha256: str, day: date | None) -> dict[str, Any]:
    """Return the signed statement; the same key, manifest and day give the same bytes."""
    return key.sign(
        {
            "format": FORMAT,
            "kind": KIND,
            "algorithm": ALGORITHM,
            "manifest_sha256": manifest_sha256,
            "key": key.public.who(),
            "date": None if day is None else day.isoformat(),
        }
    )


def check(
    raw: bytes, manifest_sha256: str, *, pinned: Sequence[PublicKey], known: Iterable[PublicKey] = (), at: date | None
) -> tuple[Signature | None, list[str]]:
    """Return the signature that the bytes hold, or None, and what is wrong with it.

    Parameters
    ----------
    raw
        Content of `signature.json`.
    manifest_sha256
        Hash of the release's manifest as it lies there.
    pinned
        Keys that the checker brought along; where there are any, no other key counts.
    known
        Keys of which the last day is known from elsewhere.
    at
        Today, for keys that lapse; None leaves that unchecked.
    """
    try:
        told = strict.parse(raw, one_spelling=True)
        if set(told) != FIELDS or (told["kind"], told["algorithm"], told["format"]) != (KIND, ALGORITHM, FORMAT):
            raise ValueError
        signer = signer_of(told)
        day = None if told["date"] is None else read_day(told["date"])
    except strict.NotPlain as error:
        return None, [str(error)]
    except (ValueError, TypeError):
        return None, ["is no signature of a release"]
    if not is_signed(told, signer.public_key):
        return None, ["the signature does not belong to this statement and key: it was changed or forged"]
    if told["manifest_sha256"] != manifest_sha256:
        return None, ["signs another manifest than the one that lies here"]
    problems = []
    own = next((one for one in pinned if one.public_key == signer.public_key), None)
    if pinned and own is None:
        problems.append(f"signed with the key {signer.fingerprint}, which is none of the keys you gave")
    if own is not None and (own.name, own.role) != (signer.name, signer.role):
        problems.append("gives its signer another name or role than your file of that key")
    dated = next((one for one in (*pinned, *known) if one.public_key == signer.public_key), signer)
    if day is not None and dated.lapsed(day):
        problems.append("was signed after the last day of its key")
    elif day is None and at is not None and dated.lapsed(at):
        problems.append("the last day of its key has passed, and the signature carries no date")
    if day is not None and at is not None and day > at:
        problems.append("carries a date that has not come yet")
    return Signature(signer, day, own is not None), problems
