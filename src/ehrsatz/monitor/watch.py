"""Look at releases in the order in which they were made, and say of each: keep, make again, or withdraw."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import polars as pl

from ehrsatz import __version__, registry
from ehrsatz.capsule import withdrawal
from ehrsatz.capsule.keys import PublicKey
from ehrsatz.capsule.verify import Verification, examine
from ehrsatz.dataset import Dataset
from ehrsatz.errors import CapsuleError, ScenarioError
from ehrsatz.evaluation.base import Score
from ehrsatz.gate import Policy, Verdict, checked, judge, policy_of
from ehrsatz.monitor import drift
from ehrsatz.pipeline import read
from ehrsatz.schema import Schema
from ehrsatz.steps import Told, read_scores

Advice = Literal["keep", "make again", "withdraw"]
FORMAT = 1
TOP = 10
TOLD = ("manifest.json", "verdict.json")


@dataclass(frozen=True)
class Seen:
    """One release and what is to be done with it.

    Parameters
    ----------
    name
        Name of the folder.
    advice
        keep, make again or withdraw.
    reasons
        Why, one sentence each; empty for keep.
    decision
        Of the gate, when it was made.
    today
        Of the gate, by the policy of today.
    made, until
        Date that its documents carry and the day until which its policy lets it stand, where known.
    version
        Of ehrsatz.
    subjects
        Synthetic subjects.
    scores
        Metric -> value, interval.
    changes
        Against the release before it: columns and scores.
    """

    name: str
    advice: Advice
    reasons: tuple[str, ...]
    decision: str
    today: str
    made: str | None
    until: str | None
    version: str
    subjects: int
    scores: Mapping[str, Mapping[str, Any]]
    changes: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**self.__dict__, "reasons": list(self.reasons), "scores": dict(self.scores)}


@dataclass(frozen=True)
class Watch:
    """All releases that were looked at, oldest first."""

    releases: tuple[Seen, ...]
    policy: str
    notes: tuple[str, ...]
    about: Mapping[str, Mapping[str, Any]]

    @property
    def needs_action(self) -> bool:
        """Whether any release should be withdrawn or made again."""
        return any(one.advice != "keep" for one in self.releases)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "format": FORMAT,
            "policy": self.policy,
            "needs_action": self.needs_action,
            "notes": list(self.notes),
            "releases": [one.to_dict() for one in self.releases],
        }


@dataclass(frozen=True)
class _Release:
    """What lies in one folder."""

    folder: Path
    found: Verification
    manifest: Mapping[str, Any]
    policy: Mapping[str, Any]
    told: Told
    schema: Schema
    data: Dataset | None


def watch(
    folders: Sequence[str | Path],
    *,
    policy: str | Path | None = None,
    keys: Sequence[PublicKey] = (),
    withdrawn: str | Path | None = None,
    at: date | None = None,
) -> Watch:
    """Compare releases over time.

    Parameters
    ----------
    folders
        Releases, oldest first.
    policy
        Policy of today, a name or a file; each release's own where None.
    keys
        Public keys of those whose signature counts.
    withdrawn
        List of withdrawn releases.
    at
        Today; None leaves ages unchecked.

    Raises
    ------
    ScenarioError
        When no release is named, or the policy cannot be read.
    CapsuleError
        When a folder holds no release, one is named twice, two have no column in common, or the list is none.
    """
    if not folders:
        raise ScenarioError("Expected at least one release.", "None was named.", "Name the folders, oldest first.")
    rules = None if policy is None else policy_of(str(policy))
    _check_list(withdrawn)
    opened = [_open(Path(one), keys, withdrawn, at) for one in folders]
    _check_together(opened)
    about: dict[str, Mapping[str, Any]] = {}
    for release in opened:
        about |= release.told.details.get("metrics", {})
    seen = []
    newest = opened[-1]
    for i, release in enumerate(opened):
        verdict = judge(release.told, checked(Policy.from_dict(release.policy)) if rules is None else rules)
        before = opened[i - 1] if i else None
        changes = {} if before is None else _changes(before, release, about)
        later = None if release is newest else _changes(release, newest, about)
        seen.append(_judged(release, verdict, changes, later, at))
    notes = _notes(opened)
    return Watch(tuple(seen), "each release's own" if rules is None else rules.name, notes, about)


def _open(folder: Path, keys: Sequence[PublicKey], withdrawn: str | Path | None, at: date | None) -> _Release:
    found = examine(folder, keys=keys, at=at, withdrawn=withdrawn)
    try:
        manifest, verdict = (json.loads((folder / name).read_text(encoding="utf-8")) for name in TOLD)
        if not isinstance(manifest, dict) or not isinstance(verdict, dict):
            raise ValueError("no release")
        told = read_scores(folder / "scores.json")
        schema = Schema.from_yaml((folder / "schema.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise CapsuleError(
            "Expected a release folder.",
            f"'{folder.name}' lacks a readable manifest, verdict, scores or schema.",
            "Name folders that `ehrsatz fabricate` wrote.",
        ) from None
    data = None if found.problems else _data(folder, schema)
    return _Release(folder, found, manifest, verdict.get("policy", {}), told, schema, data)


def _check_list(path: str | Path | None) -> None:
    """Refuse a list that cannot be read as a whole: nothing could be said of any release."""
    problems = [] if path is None else withdrawal.read(path)[2]
    if problems:
        raise CapsuleError(
            "Expected a list of withdrawn releases, as `ehrsatz withdraw` writes it.",
            f"'{Path(str(path)).name}': {problems[0]}.",
            "Fetch the list again from whoever keeps it.",
        )


def _check_together(opened: Sequence[_Release]) -> None:
    """Refuse the same release twice, and neighbours that have no column in common."""
    for i, one in enumerate(opened):
        for other in opened[:i]:
            if one.folder.resolve() == other.folder.resolve() or one.manifest == other.manifest:
                raise CapsuleError(
                    "Expected each release once.",
                    f"'{other.folder.name}' and '{one.folder.name}' are the same release.",
                    "Name each once, oldest first.",
                )
    for before, after in pairwise(opened):
        if not _columns(before.schema) & _columns(after.schema):
            raise CapsuleError(
                "Expected releases of the same tables.",
                f"'{before.folder.name}' and '{after.folder.name}' have no column in common.",
                "Look at each kind of table by itself.",
            )


def _columns(schema: Schema) -> set[tuple[str, str]]:
    return {(table.name, name) for table in schema.tables for name in table.names}


def _data(folder: Path, schema: Schema) -> Dataset | None:
    """Read the rows of a release; None where it holds none."""
    place = folder / "data"
    frames = {}
    for table in schema.tables:
        if (place / f"{table.name}.parquet").is_file():
            frames[table.name] = pl.read_parquet(place / f"{table.name}.parquet")
    if len(frames) == len(schema.tables):
        return Dataset(schema, {name: frame.select(schema[name].names) for name, frame in frames.items()}, _made())
    files = [place / f"{table.name}.csv" for table in schema.tables]
    if not all(one.is_file() for one in files):
        return None
    source = files[0] if len(files) == 1 else place
    return read(source, schema=schema, origin="generated")


def _made() -> Any:
    from ehrsatz.provenance import Provenance

    return Provenance("generated")


def _changes(before: _Release, after: _Release, about: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    moved = [] if before.data is None or after.data is None else drift.columns(before.data, after.data)
    changed = drift.scores(before.told.scores, after.told.scores, about)
    return {
        "columns": [{"column": one.column, "psi": round(one.psi, 4), "state": one.state} for one in moved[:TOP]],
        "n_moved": sum(one.state != "stable" for one in moved),
        "n_shifted": sum(one.state == "shifted" for one in moved),
        "scores": [
            {"metric": one.metric, "before": one.before, "after": one.after, "state": one.state}
            for one in changed
            if one.state in {"worse", "better"}
        ],
        "data_compared": bool(moved),
    }


def _judged(
    release: _Release, verdict: Verdict, changes: Mapping[str, Any], later: Mapping[str, Any] | None, at: date | None
) -> Seen:
    told = release.manifest
    out: list[str] = []
    again: list[str] = []
    if release.found.withdrawn:
        out.append("It stands on the list of withdrawn releases.")
    elif release.found.problems:
        out.append(f"It is not as it was written: {release.found.problems[0]}.")
    if verdict.decision == "deny":
        out.append(f"Today's policy denies it: {verdict.reasons[0]}")
    elif verdict.decision == "hold" and told.get("decision") == "pass":
        again.append(f"It passed when it was made, and today's policy holds it: {verdict.reasons[0]}")
    until = _until(told)
    if at is not None and until is not None and at > until:
        again.append(f"Its policy lets it stand until {until.isoformat()}.")
    if later is not None and later["n_shifted"]:
        names = ", ".join(one["column"] for one in later["columns"] if one["state"] == "shifted")
        again.append(f"The newest release differs from it in {later['n_shifted']} columns beyond 0.25: {names}.")
    lacking = _new_attacks(release.told.scores)
    if lacking:
        again.append(f"Measured before these attacks were known: {', '.join(lacking)}. Evaluate it again.")
    advice: Advice = "withdraw" if out else "make again" if again else "keep"
    made = told.get("date")
    return Seen(
        release.folder.name,
        advice,
        (*out, *again),
        str(told.get("decision")),
        verdict.decision,
        made if isinstance(made, str) else None,
        None if until is None else until.isoformat(),
        str(told.get("ehrsatz")),
        int(told.get("n_subjects", 0)),
        {
            one.metric: {"value": one.value, "interval": None if one.interval is None else list(one.interval)}
            for one in release.told.scores
            if one.value is not None
        },
        changes,
    )


def _until(manifest: Mapping[str, Any]) -> date | None:
    """Return the day until which a release may stand: its date and the days that its policy gives it."""
    made, days = manifest.get("date"), manifest.get("policy", {}).get("valid_days")
    if not isinstance(made, str) or not isinstance(days, int):
        return None
    try:
        return date.fromisoformat(made) + timedelta(days=days)
    except ValueError:
        return None


def _new_attacks(scores: Sequence[Score]) -> list[str]:
    """Return the privacy metrics of this version that an evaluation of all privacy metrics of its time did not know."""
    known = {one.metric for one in scores}
    attacks = [name for name in registry.BUILT_IN["metrics"] if ".privacy." in registry.BUILT_IN["metrics"][name]]
    if not known & set(attacks):
        return []
    return [name for name in attacks if name not in known]


def _notes(opened: Sequence[_Release]) -> tuple[str, ...]:
    """Say what a set of releases means together: the same people drawn upon again and again."""
    sources: dict[str, list[_Release]] = {}
    for one in opened:
        steps = one.manifest.get("provenance", {}).get("steps", [])
        print_ = next((step.get("input_fingerprint") for step in steps if step.get("input_fingerprint")), None)
        if print_:
            sources.setdefault(print_, []).append(one)
    notes = []
    for several in sources.values():
        if len(several) > 1:
            rows = sum(int(one.manifest.get("n_subjects", 0)) for one in several)
            notes.append(
                f"{len(several)} releases with {rows:,} synthetic subjects come from the same source. Each was "
                "attacked by itself; together they tell more about the same people."
            )
    versions = sorted({str(one.manifest.get("ehrsatz")) for one in opened} - {__version__})
    if versions:
        notes.append(f"Made with other versions than this one ({__version__}): {', '.join(versions)}.")
    if any(one.data is None for one in opened):
        notes.append("Releases without rows, or changed ones, were compared by their scores alone.")
    return tuple(notes)
