"""Check a release: every byte, every file, the cells themselves, who signed, who approved, whether it was withdrawn.

Nothing is needed but the folder and, to know who it comes from, a public key; no network is used, no link followed.
Without a key of the checker's own, hashes and signature show accident and careless editing: whoever can change a file
can also write a new manifest and sign it with a key of their own.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ehrsatz.capsule import approval, manifest, signature, strict, withdrawal
from ehrsatz.capsule.approval import Approval, Rule, State
from ehrsatz.capsule.contents import APPROVALS, DATA, MANIFEST, SIGNATURE
from ehrsatz.capsule.keys import MOST_BYTES, PublicKey
from ehrsatz.capsule.keys import day as read_day
from ehrsatz.capsule.signature import Signature
from ehrsatz.errors import CapsuleError, EhrsatzError
from ehrsatz.schema import Schema

MOST_SHOWN = 1000  # problems of one kind
_AFTER = re.compile(rf"{re.escape(SIGNATURE)}|{APPROVALS}/[^/]+\.json")  # what comes after the manifest
_PARTIAL = re.compile(rf"(?:{APPROVALS}/)?\.[^/]+\.json\.part")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Verification:
    """What a check of a release found.

    Parameters
    ----------
    problems
        What is not as it was written, signed or approved; none is good. They name files, never cells.
    decision
        Of the gate; None where the manifest cannot be read.
    manifest_sha256
        Hash of the manifest file: by it signatures and lists name a release.
    signature
        Who signed, if anybody and if the signature is sound.
    approval
        How far persons have approved.
    notes
        Sentences that are worth knowing and no problem.
    rule
        Who must approve, by the policy of the release.
    withdrawn
        Whether a list names it as withdrawn.
    """

    problems: tuple[str, ...]
    decision: str | None = None
    manifest_sha256: str | None = None
    signature: Signature | None = None
    approval: State | None = None
    notes: tuple[str, ...] = ()
    rule: Rule | None = None
    withdrawn: bool = False

    @property
    def advice(self) -> str:
        """What to do about the problems."""
        return "Do not use it any more." if self.withdrawn else "Fetch the release again from whoever made it."

    @property
    def told(self) -> tuple[str, ...]:
        """What a person should read, one sentence each."""
        lines = [] if self.problems else ["The release is as it was written."]
        if self.decision is not None and not self.problems:
            lines.append(
                {"pass": "The gate passed it.", "hold": "The gate held it.", "deny": "The gate denied it."}[
                    self.decision
                ]
            )
        if self.signature is not None:
            lines.append(self.signature.told)
        elif self.decision is not None and not self.problems:
            lines.append("Not signed: its hashes show accident and careless editing alone.")
        if self.approval is not None:
            lines.append(self.approval.told)
        return (*lines, *self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "problems": list(self.problems),
            "decision": self.decision,
            "manifest_sha256": self.manifest_sha256,
            "signature": None if self.signature is None else self.signature.to_dict(),
            "approval": None if self.approval is None else self.approval.to_dict(),
            "withdrawn": self.withdrawn,
            "notes": list(self.notes),
            "told": list(self.told),
        }


def verify(
    folder: str | Path,
    *,
    keys: Sequence[PublicKey] = (),
    at: date | None = None,
    withdrawn: str | Path | None = None,
    require_approval: bool = False,
) -> list[str]:
    """Return the problems of a release, none where it is as it was written.

    Found are a changed byte in any file, a file that was added or is absent, tables whose cells differ from the content
    hashes, and signatures and approvals that are forged, lapsed or belong to something else. Problems name files, never
    cells.

    Parameters
    ----------
    folder
        A release.
    keys
        Public keys of those whose signature counts; where there are any, a release without one of them is a problem.
    at
        Today, for keys that lapse; None leaves that unchecked.
    withdrawn
        List of withdrawn releases.
    require_approval
        Whether a release that the persons named in its policy have not approved is a problem.
    """
    found = examine(folder, keys=keys, at=at, withdrawn=withdrawn, require_approval=require_approval)
    return list(found.problems)


def examine(
    folder: str | Path,
    *,
    keys: Sequence[PublicKey] = (),
    at: date | None = None,
    withdrawn: str | Path | None = None,
    require_approval: bool = False,
) -> Verification:
    """Check a release and return all that was found.

    Parameters
    ----------
    folder, keys, at, withdrawn, require_approval
        As in `verify`.
    """
    target = Path(folder)
    if not os.path.isdir(target):  # False too where it may not be looked at
        return Verification(("there is no such folder",))
    try:
        raw = strict.read(target / MANIFEST)
        told = strict.parse(raw)
    except FileNotFoundError:
        return Verification((f"{MANIFEST}: absent, so nothing can be checked",))
    except strict.NotPlain as error:
        return Verification((f"{MANIFEST}: {error}",))
    stop = _no_manifest(told)
    if stop:
        return Verification((f"{MANIFEST}: {stop}",))
    digest = hashlib.sha256(raw).hexdigest()
    problems = [f"{MANIFEST}: {text}" for text in _own_problems(told, raw)]
    problems += _cut(_check_files(target, told))
    rule, more = _check_verdict(target, told)
    problems += more if not problems else []
    signed, more = _check_signature(target, digest, keys, rule, at)
    sound = signed if not more else None
    problems += more
    approvals, more = _check_approvals(target, digest, told["decision"], rule, at)
    problems += more
    listed, more = ([], []) if withdrawn is None else _check_withdrawn(withdrawn, digest, keys)
    problems += [*listed, *more]
    if not problems:
        problems += _check_content(target, told)
    state = approval.state(
        told["decision"], rule, approvals, None if signed is None else signed.signer, sound=not problems
    )
    notes, overdue = _notes(told, at)
    if require_approval:
        problems += [] if state.approved else [f"not approved as asked for: {state.told}"]
        problems += overdue
    return Verification(tuple(problems), told["decision"], digest, sound, state, (*notes, *overdue), rule, bool(listed))


def mark(path: str | Path) -> str:
    """Return what a single Parquet file says of itself: that ehrsatz marked its rows as synthetic.

    Raises
    ------
    CapsuleError
        When it bears no such mark, or is no Parquet file.
    """
    from ehrsatz.exporters.parquet import mark_of

    expected = "Expected a Parquet file that is marked as synthetic."
    try:
        version = mark_of(path)
    except (OSError, ValueError):
        raise CapsuleError(expected, "It cannot be read as one.", "Name a release folder, or a Parquet file.") from None
    if version is None:
        raise CapsuleError(
            expected, "It bears no mark of ehrsatz.", "Take its rows for real until whoever made it says otherwise."
        )
    return (
        f"Marked as synthetic by ehrsatz {version}. A mark is no proof, for anyone can set one, and a lone file has no "
        "hash to check by: check the release folder that it came in."
    )


# ---------------------------------------------------------------------- manifest and files
def _no_manifest(told: Mapping[str, Any]) -> str:
    """Say why this is no manifest that could be checked; empty where it is one."""
    newer = told.get("format")
    if isinstance(newer, int) and newer > manifest.FORMAT:
        return "written by a newer ehrsatz; upgrade with: pip install -U ehrsatz"
    if newer != manifest.FORMAT or not isinstance(told.get("files"), dict):
        return "is no manifest"
    if not isinstance(told.get("decision"), str) or told["decision"] not in {"pass", "hold", "deny"}:
        return "is no manifest"
    return ""


def _own_problems(told: Mapping[str, Any], raw: bytes) -> Iterator[str]:
    try:
        same = strict.render(told) == raw and manifest.own_hash(told) == told.get("sha256")
    except (ValueError, RecursionError):
        same = False
    if not same:
        yield "changed since the release was written"
    files = told["files"]
    wrong = [name for name, told_hash in files.items() if not strict.is_plain(name) or not _is_hash(told_hash)]
    for name in sorted(wrong):
        yield f"names a file by no plain path, or without its hash: {strict.shown(name)}"
    for name in sorted(name for name in files if name == MANIFEST or _AFTER.fullmatch(name)):
        yield f"names a file that comes after it: {strict.shown(name)}"
    if told.get("synthetic") is not True:
        yield "does not say that the rows are synthetic"


def _check_files(target: Path, told: Mapping[str, Any]) -> list[str]:
    listed = {name: one for name, one in told["files"].items() if strict.is_plain(name) and _is_hash(one)}
    sizes = told.get("sizes")
    try:
        present = dict(strict.walk(target))
    except (OSError, RecursionError):
        return ["a folder of the release cannot be read"]
    problems = [f"{strict.shown(name)}: absent" for name in sorted(set(listed) - set(present))]
    for name in sorted(set(present) - set(listed) - {MANIFEST}):
        if _AFTER.fullmatch(name) or (name == APPROVALS and stat.S_ISDIR(present[name].st_mode)):
            continue
        if stat.S_ISLNK(present[name].st_mode):
            problems.append(f"{strict.shown(name)}: is a link, no file")
        elif _PARTIAL.fullmatch(name):
            problems.append(f"{strict.shown(name)}: left by an interrupted write; remove it")
        else:
            problems.append(f"{strict.shown(name)}: added since the release was written")
    for name in strict.collisions(present):
        problems.append(f"{strict.shown(name)}: some file systems take it for another file of the release")
    for name in sorted(set(present) & set(listed)):
        kind = present[name]
        if not stat.S_ISREG(kind.st_mode):
            problems.append(
                f"{strict.shown(name)}: {'is a link, no file' if stat.S_ISLNK(kind.st_mode) else 'is no file'}"
            )
            continue
        try:
            same = manifest.file_hash(target / name) == listed[name]
        except OSError:
            problems.append(f"{strict.shown(name)}: cannot be read")
            continue
        if same and isinstance(sizes, Mapping) and sizes.get(name) != kind.st_size:
            problems.append(f"{MANIFEST}: gives another size for {strict.shown(name)}")
        if not same:
            problems.append(f"{strict.shown(name)}: changed since the release was written")
    return problems


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _cut(problems: list[str]) -> list[str]:
    rest = len(problems) - MOST_SHOWN
    return problems if rest <= 0 else [*problems[:MOST_SHOWN], f"and {rest:,} more files"]


# ---------------------------------------------------------------------- what the manifest says and the files hold
def _check_verdict(target: Path, told: Mapping[str, Any]) -> tuple[Rule | None, list[str]]:
    """Return who must approve by the policy of the verdict, and where verdict and manifest disagree."""
    name = "verdict.json"
    try:
        verdict = strict.parse(strict.read(target / name, most=4 * strict.MOST_BYTES))
    except FileNotFoundError:
        return None, [f"{name}: absent"]
    except strict.NotPlain as error:
        return None, [f"{name}: {error}"]
    policy = verdict.get("policy")
    if not isinstance(policy, Mapping):
        return None, [f"{name}: holds no policy"]
    problems = []
    if verdict.get("decision") != told["decision"]:
        problems.append(f"{name}: its decision is another than that of the manifest")
    if manifest.fingerprint(policy) != told.get("policy_fingerprint"):
        problems.append(f"{name}: its policy is another than that of the manifest")
    try:
        rule = Rule.of(policy)
    except ValueError:
        return None, [*problems, f"{name}: its policy does not say properly who must approve"]
    return rule, problems


def _check_content(target: Path, told: Mapping[str, Any]) -> list[str]:
    """Compare the typed tables (Parquet) with the content hashes of the manifest."""
    import polars as pl
    import yaml

    content = told.get("content") or {}
    try:
        schema = Schema.from_yaml(_without_aliases(strict.read(target / "schema.yaml")))
    except (OSError, EhrsatzError, ValueError, RecursionError, yaml.YAMLError):
        return ["schema.yaml: cannot be read as a schema"]
    problems = []
    if schema.fingerprint != told.get("schema_fingerprint"):
        problems.append("schema.yaml: its fingerprint differs from the manifest")
    if not isinstance(content, Mapping):
        return [*problems, f"{MANIFEST}: its content is no table of hashes"]
    if bool(told.get("data_included")) != any(name.startswith(f"{DATA}/") for name in told["files"]):
        problems.append(f"{MANIFEST}: says otherwise than its files whether data are included")
    for table in schema.tables if content else ():
        path = target / DATA / f"{table.name}.parquet"
        if path.name not in {Path(name).name for name in told["files"]} or not path.is_file():
            continue
        entry = content.get(table.name, {})
        try:
            found = manifest.content_hash(pl.read_parquet(path), table)
        except (pl.exceptions.PolarsError, OSError, ValueError, TypeError, AttributeError):
            problems.append(f"{DATA}/{path.name}: cannot be read as the table of the schema")
            continue
        if not isinstance(entry, Mapping) or found != entry.get("sha256"):
            problems.append(f"{DATA}/{path.name}: its cells differ from the manifest")
    return problems


def _without_aliases(raw: bytes) -> str:
    """Return the text of a YAML file without references: a few lines of them can unfold to much."""
    import yaml

    if b"*" in raw and any(isinstance(one, yaml.AliasEvent) for one in yaml.parse(raw, Loader=yaml.SafeLoader)):
        raise ValueError("references")
    return raw.decode()


def _notes(told: Mapping[str, Any], at: date | None) -> tuple[list[str], list[str]]:
    """Return what is worth knowing, and what has run out by a day."""
    policy = told.get("policy")
    day, days = told.get("date"), policy.get("valid_days") if isinstance(policy, Mapping) else None
    if at is None or day is None or not isinstance(days, int):
        return [], []
    try:
        last = read_day(day) + timedelta(days=days)
    except (EhrsatzError, OverflowError):
        return [], []
    if at > last:
        return [], [f"By its policy it was to be judged anew after {last.isoformat()}."]
    return [f"By its policy it is to be judged anew after {last.isoformat()}."], []


# ---------------------------------------------------------------------- persons
def _check_signature(
    target: Path, digest: str, keys: Sequence[PublicKey], rule: Rule | None, at: date | None
) -> tuple[Signature | None, list[str]]:
    try:
        raw = strict.read(target / SIGNATURE, most=MOST_BYTES)
    except FileNotFoundError:
        return None, [f"{SIGNATURE}: absent, so no key of yours stands for this release"] if keys else []
    except strict.NotPlain as error:
        return None, [f"{SIGNATURE}: {error}"]
    found, problems = signature.check(raw, digest, pinned=keys, known=() if rule is None else rule.keys, at=at)
    return found, [f"{SIGNATURE}: {text}" for text in problems]


def _check_approvals(
    target: Path, digest: str, decision: str, rule: Rule | None, at: date | None
) -> tuple[list[Approval], list[str]]:
    found, problems = [], []
    folder = target / APPROVALS
    for path in sorted(folder.glob("*.json")) if folder.is_dir() and not folder.is_symlink() else ():
        if path.name.startswith("."):
            continue
        try:
            raw = strict.read(path, most=MOST_BYTES)
            one, wrong = approval.check(path.stem, raw, digest, verdict=decision, rule=rule, at=at)
        except (strict.NotPlain, FileNotFoundError) as error:
            one, wrong = None, [str(error)]
        if one is not None:
            found.append(one)
        problems += [f"{APPROVALS}/{strict.shown(path.name)}: {text}" for text in wrong]
    return found, problems


def _check_withdrawn(path: str | Path, digest: str, keys: Sequence[PublicKey]) -> tuple[list[str], list[str]]:
    """Return what a list says of this release, and what is wrong with the list."""
    entries, _, wrong = withdrawal.read(path)
    name = strict.shown(Path(path).name)
    told = [f"{name}: {one.told(keys)}" for one in entries if one.manifest_sha256 == digest]
    return told, [f"{name}: {text}" for text in wrong]
