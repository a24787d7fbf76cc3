"""Check data against the plausibility rules: what is broken, and what could not be checked and why."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Keyed
from datetime import datetime
from pathlib import Path

import polars as pl

from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, UnknownNameError, nearest
from ehrsatz.rules.base import Finding, Rule
from ehrsatz.rules.catalogue import by_id
from ehrsatz.rules.catalogue import rules as shipped
from ehrsatz.rules.mapping import Mapping, mapping_of
from ehrsatz.rules.statement import Statement
from ehrsatz.rules.view import View

SEVERITIES = ("error", "warning")


class Findings(list[Finding]):
    """One finding per rule that could be checked, in the order of the catalogue.

    skipped: id -> what the data lack, for each rule that could not be. mapping: name of the mapping that was used.
    """

    def __init__(self, found: Iterable[Finding], skipped: Keyed[str, str], mapping: str) -> None:
        super().__init__(found)
        self.skipped, self.mapping = dict(skipped), mapping

    def broken(self, severity: str | None = None) -> list[Finding]:
        """Return the findings with failing rows, of one severity where one is named."""
        return [one for one in self if one.n_failed and severity in {None, severity_of(one.rule)}]


def check(
    dataset: Dataset | Keyed[str, pl.DataFrame],
    *,
    rules: Iterable[str | Rule] | None = None,
    mapping: Mapping | str | Path | None = None,
    severity: str | None = None,
    reference: datetime | None = None,
) -> Findings:
    """Check every rule whose needs the data meet.

    Parameters
    ----------
    dataset
        A dataset, or frames by table name.
    rules
        Ids, beginnings of ids ("birth."), or rules; all that are registered where None.
    mapping
        Which table and column is which: a mapping, the name of a shipped one, or the path of a file; found by the
        tables' names where None.
    severity
        Only "error" or only "warning".
    reference
        The day on which the data were drawn; without it, nothing is too late.

    Raises
    ------
    UnknownNameError
        When no rule or mapping has a given name, or the severity is another word.
    DataError
        When no mapping is given and none fits.
    SchemaError
        When a mapping file is wrong.
    """
    if severity is not None and severity not in SEVERITIES:
        raise UnknownNameError(
            f"Expected a severity: {', '.join(SEVERITIES)}.",
            f"'{severity}' is neither.{nearest(severity, SEVERITIES)}",
            "Name one, or none for both.",
        )
    chosen = [one for one in _chosen(rules) if severity in {None, one.severity}]
    frames = dataset.tables if isinstance(dataset, Dataset) else dataset
    found_mapping = mapping_of(mapping, {name: frame.columns for name, frame in frames.items()})
    view = View(frames, found_mapping, reference)
    if view.is_bare:
        raise DataError(
            f"Expected tables and columns that the mapping '{found_mapping.name}' names.",
            f"None of its columns is in the {len(frames)} tables of the data.",
            "Pass another mapping, or correct its names.",
        )
    found, skipped = [], {}
    for one in chosen:
        if not isinstance(one, Statement):
            if isinstance(dataset, Dataset):
                found.append(one.check(dataset))
            else:
                skipped[one.id] = "it takes a dataset, not frames"
            continue
        lacking = view.lacks(one.needs)
        if lacking:
            skipped[one.id] = lacking
        else:
            found.append(one.judge(view))
    return Findings(found, skipped, found_mapping.name)


def catalogue() -> list[tuple[str, str, str, str, str, str]]:
    """Return id, title, severity, needs, why and source of every rule that ships."""
    return [(one.id, one.title, one.severity, one.needs, one.why, one.source) for one in shipped()]


def severity_of(rule: str) -> str:
    """Return the severity of a registered rule; a rule that was passed as an object counts as an error."""
    if rule in by_id():
        return by_id()[rule].severity
    return str(registry.find("rules", rule).severity) if rule in registry.names("rules") else "error"


def _chosen(wanted: Iterable[str | Rule] | None) -> list[Rule]:
    outside = [name for name in registry.names("rules") if name not in by_id()]
    if wanted is None:
        return [*shipped(), *(_made(name) for name in outside)]
    out: list[Rule] = []
    for one in [wanted] if isinstance(wanted, str) else wanted:
        if isinstance(one, Rule):
            out.append(one)
            continue
        exact = [name for name in (*by_id(), *outside) if name == one]
        names = exact or [name for name in (*by_id(), *outside) if name.startswith(one.rstrip(".") + ".")]
        if not names:
            raise UnknownNameError(
                "Expected the id of a rule, or the beginning of some.",
                f"'{one}' is neither.{nearest(one, (*by_id(), *outside))}",
                "List them with: ehrsatz doctor --list rules",
            )
        out += [_made(name) for name in names if not any(rule.id == name for rule in out)]
    return out


def _made(name: str) -> Rule:
    if name in by_id():
        return by_id()[name]
    found = registry.find("rules", name)
    return found() if isinstance(found, type) else found
