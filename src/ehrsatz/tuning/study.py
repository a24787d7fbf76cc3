"""The record of a search: a file of JSON lines, one per trial, that a stopped search goes on from.

The first line says what is searched, where and from which rows; a search goes on only where it is the same. Every
trial's line is on disk before the next trial starts. A last line that was cut off is dropped. Nothing in the file is a
cell of the data.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, ScenarioError
from ehrsatz.tuning.proposals import Known
from ehrsatz.tuning.ruler import Figures
from ehrsatz.tuning.space import Setting

FORMAT = "ehrsatz-study/1"
_SAME = {  # key of the first line -> what it is called
    "schema": "the table's schema",
    "rows": "the table's rows",
    "seed": "--seed",
    "train_fraction": "the share of subjects to learn from",
    "target": "--target",
    "space": "the generators and what is tried of them (--generator, --search)",
    "sampler": "--sampler",
}


@dataclass(frozen=True)
class Trial:
    """One setting and how it did.

    Parameters
    ----------
    number
        From 0 on.
    setting
        What was tried.
    drawn
        The setting by the sampler's names.
    figures
        None where the trial failed.
    losses
        By how much each objective falls short; all 1 where the trial failed.
    why
        Why it failed.
    notes
        Warnings that came up.
    """

    number: int
    setting: Setting
    drawn: Mapping[str, Any]
    figures: Figures | None
    losses: Mapping[str, float]
    why: str = ""
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> Known:
        """The trial as the sampler sees it."""
        return Known(dict(self.drawn), tuple(self.losses.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        figures = self.figures
        told = {} if figures is None else {name: getattr(figures, name) for name in ("fidelity", "utility", "privacy")}
        return {
            "trial": self.number,
            "generator": self.setting.generator,
            "parameters": dict(self.setting.parameters),
            "drawn": dict(self.drawn),
            "state": "failed" if figures is None else "measured",
            **told,
            "losses": dict(self.losses),
            **({"why": self.why} if self.why else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Trial:
        """Read a trial back; ValueError, KeyError or TypeError where it is none."""
        figures = None
        if told["state"] == "measured":
            figures = Figures(told["fidelity"], told["utility"], told["privacy"])
        numbers = [*told["losses"].values(), *([] if figures is None else [figures.fidelity, figures.privacy])]
        if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in numbers):
            raise ValueError("no numbers")
        setting = Setting(told["generator"], dict(told["parameters"]))
        notes = tuple(told.get("notes", ()))
        return cls(int(told["trial"]), setting, told["drawn"], figures, told["losses"], told.get("why", ""), notes)


def head_of(
    real: Dataset,
    space: Mapping[str, Any],
    *,
    sampler: str,
    target: str | None,
    seed: int,
    train_fraction: float,
) -> dict[str, Any]:
    """Return the first line of a study: what must be the same for it to go on.

    Parameters
    ----------
    real
        All rows.
    space
        What may be tried, as plain JSON.
    sampler, target, seed, train_fraction
        Of the search.
    """
    digest = sha256()
    for table in real.schema.tables:
        digest.update(table.name.encode())
        digest.update(real.tables[table.name].write_csv().encode())
    return {
        "format": FORMAT,
        "schema": real.schema.fingerprint,
        "rows": digest.hexdigest()[:16],  # a hash of all rows together: it tells nothing of one
        "seed": seed,
        "train_fraction": train_fraction,
        "target": target,
        "space": json.loads(json.dumps(space)),
        "sampler": sampler,
    }


@dataclass
class Study:
    """A study's file and what stands in it.

    Parameters
    ----------
    path
        The file.
    head
        Its first line.
    trials
        Its other lines.
    """

    path: Path
    head: Mapping[str, Any]
    trials: list[Trial] = field(default_factory=list)

    @classmethod
    def open(cls, path: str | Path, head: Mapping[str, Any], *, restart: bool = False) -> Study:
        """Look at what there is to go on with; nothing is written before `start`.

        Parameters
        ----------
        path
            The file; its folder must exist.
        head
            What is searched, of `head_of`.
        restart
            Throw away what is there.

        Raises
        ------
        ScenarioError
            When the file is no study, or one of something else; all that differs is named.
        """
        place = Path(path)
        study = cls(place, dict(head))
        if place.exists() and not restart:
            study.trials = _read(place, head)
        return study

    def add(self, trial: Trial) -> None:
        """Write a trial to the file, through to the disk."""
        self.trials.append(trial)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(trial.to_dict()))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            raise _unwritable(self.path) from None

    def start(self) -> None:
        """Write what is known, without a line that was cut off; the old file stands until the new one is whole.

        Raises
        ------
        OutputError
            When the file cannot be written.
        """
        partial = self.path.with_name(f".{self.path.name}.part")
        try:
            lines = [_line(self.head), *(_line(one.to_dict()) for one in self.trials)]
            partial.write_text("".join(lines), encoding="utf-8")
            partial.replace(self.path)
        except OSError:
            raise _unwritable(self.path) from None


def _read(path: Path, head: Mapping[str, Any]) -> list[Trial]:
    try:
        text = path.read_text(encoding="utf-8")
        lines = text.split("\n")[:-1]  # a last line without its end was cut off
        found = json.loads(lines[0]) if lines else {}
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError("no study")
        trials = [Trial.from_dict(json.loads(line)) for line in lines[1:]]
        if [one.number for one in trials] != list(range(len(trials))):
            raise ValueError("trials out of order")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ScenarioError(
            f"Expected a study at '{path}', as ehrsatz tune writes it.",
            "The file holds something else.",
            "Name another file with --study, or start anew with --restart.",
        ) from None
    other = [words for key, words in _SAME.items() if found.get(key) != head[key]]
    if other:
        raise ScenarioError(
            f"Expected the study at '{path}' to be of this table and this search.",
            f"It differs in: {'; '.join(other)}.",
            "Give the same again, name another file with --study, or start anew with --restart.",
        )
    return trials


def _line(told: Mapping[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n"


def _unwritable(path: Path) -> OutputError:
    return OutputError(
        f"Expected to write the study at '{path}'.", "The system refuses.", "Name another file with --study."
    )
