"""A small release, and persons with keys, for the tests of what persons do with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ehrsatz.capsule import keys
from ehrsatz.capsule.contents import Contents
from ehrsatz.capsule.write import write
from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Score
from ehrsatz.gate import Policy, judge
from ehrsatz.provenance import Provenance, Step

DAY = date(2025, 6, 1)


@dataclass(frozen=True)
class House:
    """Keys of three persons in one folder, and the policy that names the first two."""

    folder: Path
    anna: keys.Key
    bo: keys.Key
    eve: keys.Key

    def rule(self, at_least: int = 2, **changes: Any) -> dict[str, Any]:
        """The approval part of a policy: two persons, anna as steward and bo as privacy officer."""
        listed = [
            {**one.public.who(), **({"valid_until": one.public.valid_until} if one.public.valid_until else {})}
            for one in (self.anna, self.bo)
        ]
        return {"at_least": at_least, "roles": ["steward", "privacy officer"][:at_least], "keys": listed, **changes}


def house(folder: Path) -> House:
    """Make keys for anna, bo (until the end of 2025) and eve."""
    made = []
    for name, role, last in (
        ("anna", "steward", None),
        ("bo", "privacy officer", date(2025, 12, 31)),
        ("eve", "steward", None),
    ):
        secret, _ = keys.create(name, role, folder, valid_until=last)
        made.append(keys.read_private(secret))
    return House(folder, *made)


def contents(
    data: Dataset,
    value: float = 0.1,
    severity: str = "deny",
    *,
    rule: dict[str, Any] | None = None,
    output: dict[str, Any] | None = None,
    scores: tuple[Score, ...] | None = None,
    **policy: Any,
) -> Contents:
    """Return what a release of these rows holds; value 0.1 passes, 0.9 does not."""
    told = {
        "name": "house",
        "purpose": "Software tests",
        "thresholds": [{"metric": "m", "at_most": 0.5, "severity": severity}],
        **policy,
        **({} if rule is None else {"approval": rule}),
    }
    verdict = judge(SimpleNamespace(scores=scores or (Score("m", value),)), Policy.from_dict(told))
    origin = Provenance("generated", (Step("sample", "demo", "0.1.0", {"n": 80}, 3, "f" * 64),))
    return Contents(
        replace(data, provenance=origin),
        verdict,
        {
            "details": {
                "subjects": {"train": 80, "holdout": 80, "synthetic": 80},
                "metrics": {"m": {"title": "A measure", "family": "privacy"}},
            },
            "scores": [one.to_dict() for one in scores or (Score("m", value, (0.0, 1.0), meaning="Low."),)],
        },
        {"seed": 3, "source": {"bundled": None}, "train_fraction": 0.5, "output": output or {}},
        {"name": "demo", "parameters": {"depth": 3}},
        {"report.html": "<html></html>", "dossiers/gdpr.html": "<html>Ü</html>"},
    )


def release(data: Dataset, folder: Path, *, formats: tuple[str, ...] = ("csv", "parquet"), **options: Any) -> Path:
    """Write a release of these rows."""
    return write(folder, contents(data, **options), formats=formats)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a JSON file as a careful forger would: in its one spelling."""
    from ehrsatz.capsule import strict

    told = json.loads(path.read_text(encoding="utf-8"))
    change(told)
    path.write_bytes(strict.render(told))
