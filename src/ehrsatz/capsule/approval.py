"""Approval by persons: who may approve stands in the policy, who did in signed statements, one file a person.

A policy names how many persons, the roles that must be among them, and their public keys. A person counts once, by name
and by key. Approval needs a signature, and whoever signed is never the only approver, so that two persons at least
stand for a release. A denied release cannot be approved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ehrsatz.capsule import strict
from ehrsatz.capsule.keys import ALGORITHM, FORMAT, Key, PublicKey, is_signed, raw_key, signer_of
from ehrsatz.capsule.keys import day as read_day

KIND = "ehrsatz release approval"
FIELDS = {
    "format",
    "kind",
    "algorithm",
    "manifest_sha256",
    "verdict",
    "decision",
    "remark",
    "key",
    "date",
    "signature",
}
APPROVED = "approved"
MOST_REMARK = 2000  # signs


@dataclass(frozen=True)
class Rule:
    """Who must approve: at least so many persons, with these roles among them, by these keys."""

    at_least: int
    roles: tuple[str, ...]
    keys: tuple[PublicKey, ...]

    @classmethod
    def of(cls, policy: Mapping[str, Any]) -> Rule | None:
        """Read the rule of a policy as it stands in a verdict; None where it asks for nobody.

        Raises
        ------
        ValueError
            When it is no such rule.
        """
        told = policy.get("approval")
        if told is None:
            return None
        if not isinstance(told, Mapping):
            raise ValueError("no mapping")
        at_least, roles, listed = told.get("at_least", 1), told.get("roles", ()), told.get("keys", ())
        if not isinstance(at_least, int) or isinstance(at_least, bool) or at_least < 1:
            raise ValueError("at_least is no whole number above 0")
        if not isinstance(roles, (list, tuple)) or not all(isinstance(one, str) for one in roles):
            raise ValueError("roles is no list of texts")
        if not isinstance(listed, (list, tuple)) or not all(isinstance(one, Mapping) for one in listed):
            raise ValueError("keys is no list")
        keys = []
        for one in listed:
            if not isinstance(one.get("name"), str) or not isinstance(one.get("role"), str):
                raise ValueError("a key without name or role")
            raw_key(one.get("public_key"))
            until = one.get("valid_until")
            last = None if until is None else read_day(str(until))
            keys.append(PublicKey(one["name"], one["role"], str(one["public_key"]), last))
        if len({one.public_key for one in keys}) < len(keys):
            raise ValueError("one key stands for two persons")
        return cls(at_least, tuple(roles), tuple(keys))

    def entry(self, key: str) -> PublicKey | None:
        """Return what the policy says of a public key, or None."""
        return next((one for one in self.keys if one.public_key == key), None)


@dataclass(frozen=True)
class Approval:
    """One person's approval that was found sound."""

    person: PublicKey
    day: date
    remark: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**self.person.who(), "date": self.day.isoformat(), "remark": self.remark}


@dataclass(frozen=True)
class State:
    """How far a release has been approved; `approved` is None where the policy asks for nobody."""

    approved: bool | None
    told: str
    by: tuple[Approval, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"approved": self.approved, "told": self.told, "by": [one.to_dict() for one in self.by]}


def build(key: Key, manifest_sha256: str, verdict: str, day: date, remark: str) -> dict[str, Any]:
    """Return the signed statement that a person approves a release."""
    return key.sign(
        {
            "format": FORMAT,
            "kind": KIND,
            "algorithm": ALGORITHM,
            "manifest_sha256": manifest_sha256,
            "verdict": verdict,
            "decision": APPROVED,
            "remark": remark,
            "key": key.public.who(),
            "date": day.isoformat(),
        }
    )


def check(
    name: str, raw: bytes, manifest_sha256: str, *, verdict: str, rule: Rule | None, at: date | None
) -> tuple[Approval | None, list[str]]:
    """Return the approval that a file holds, or None with what is wrong with it.

    Parameters
    ----------
    name
        Of the file, without `.json`: the person's.
    raw
        Its content.
    manifest_sha256
        Hash of the release's manifest as it lies there.
    verdict
        What the gate decided.
    rule
        Of the policy.
    at
        Today; None leaves open whether a date has come yet.
    """
    try:
        told = strict.parse(raw, one_spelling=True)
        if set(told) != FIELDS or (told["kind"], told["algorithm"], told["format"]) != (KIND, ALGORITHM, FORMAT):
            raise ValueError
        signer, day, remark = signer_of(told), read_day(told["date"]), told["remark"]
        if not isinstance(remark, str):
            raise ValueError
    except strict.NotPlain as error:
        return None, [str(error)]
    except (ValueError, TypeError):
        return None, ["is no approval of a release"]
    if not is_signed(told, signer.public_key):
        return None, ["its signature does not belong to this statement and key: it was changed or forged"]
    if told["manifest_sha256"] != manifest_sha256:
        return None, ["approves another manifest than the one that lies here"]
    problems = [text for text in (_refusal(signer, day, verdict, rule),) if text]
    if told["decision"] != APPROVED or told["verdict"] != verdict:
        problems.append("was given on another decision of the gate")
    if name != signer.name:
        problems.append("bears another name than its signer")
    if at is not None and day > at:
        problems.append("carries a date that has not come yet")
    return (None, problems) if problems else (Approval(signer, day, remark), [])


def _refusal(person: PublicKey, day: date, verdict: str, rule: Rule | None) -> str:
    """Say why this person may not approve this release on that day; empty where they may."""
    if verdict == "deny":
        return "a denied release cannot be approved"
    if rule is None:
        return "the policy of the release asks for no approval"
    listed = rule.entry(person.public_key)
    if listed is None:
        return f"the key {person.fingerprint} is not listed in the policy of the release"
    if (listed.name, listed.role) != (person.name, person.role):
        return "the policy of the release lists that key under another name or role"
    if listed.lapsed(day):
        return "was given after the last day of its key"
    return ""


def refusal(person: PublicKey, day: date, verdict: str, rule: Rule | None) -> str:
    """Say before signing why this person may not approve this release on that day; empty where they may.

    The last day in the person's own file counts as well as the one in the policy.
    """
    if person.lapsed(day):
        return "the last day of the key has passed"
    return _refusal(person, day, verdict, rule)


def _same(one: PublicKey, other: PublicKey) -> bool:
    """Whether two keys stand for one person: the same name or the same key."""
    return one.public_key == other.public_key or one.name.casefold() == other.name.casefold()


def state(
    verdict: str, rule: Rule | None, found: Sequence[Approval], signer: PublicKey | None, *, sound: bool
) -> State:
    """Weigh the approvals that were found against the rule of the policy.

    Parameters
    ----------
    verdict
        What the gate decided.
    rule
        Of the policy.
    found
        Approvals, each sound in itself.
    signer
        Who signed the release.
    sound
        Whether release and signature are without problems; otherwise nothing counts as approved.
    """
    if verdict == "deny":
        return State(False, "Denied: it cannot be approved.")
    if rule is None:
        told = "The policy asks for no approval."
        return State(None, f"{told} It was held, so a person must decide all the same." if verdict == "hold" else told)
    persons: list[Approval] = []
    for one in sorted(found, key=lambda each: each.person.name):
        if not any(_same(one.person, other.person) for other in persons):
            persons.append(one)
    by = " and ".join(f"{one.person.name} ({one.person.role}) on {one.day.isoformat()}" for one in persons)
    lacking = []
    if not rule.keys:
        lacking.append("the policy names nobody who could approve")
    if len(persons) < rule.at_least:
        lacking.append(f"{len(persons)} of {rule.at_least} persons have approved")
    roles = [role for role in rule.roles if role not in {one.person.role for one in persons}]
    if roles:
        lacking.append(f"no approval by the role{'s' if len(roles) > 1 else ''} {strict.shown(', '.join(roles))}")
    if signer is None:
        lacking.append("nobody has signed it")
    elif not lacking and all(_same(one.person, signer) for one in persons):
        lacking.append("whoever signed the release cannot be its only approver")
    if not sound:
        lacking.append("problems were found")
    if lacking:
        return State(False, f"Not approved: {'; '.join(lacking)}.", tuple(persons))
    return State(True, f"Approved by {by}.", tuple(persons))
