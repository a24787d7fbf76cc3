"""One plausibility rule: words, what it needs, and a function that finds the rows that break it.

Rules that say the same of other columns, codes or limits are made by one function from a table of data. What they
share beyond that stands here: intervals of one patient that meet, and rows that come together in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ehrsatz.dataset import Dataset
from ehrsatz.rules.base import Finding, Rule
from ehrsatz.rules.mapping import fitting
from ehrsatz.rules.view import SPAN, Flags, View, Whole

Found = tuple[str, int, Whole]  # clinical table, rows that the rule applies to, positions of those that break it
Body = Callable[[View], Iterable[Found]]
ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, kw_only=True)
class Statement(Rule):
    """A rule that is made of data: its words, its needs and a function from a view to what breaks it."""

    id: str
    title: str
    severity: str
    needs: str
    why: str
    source: str
    body: Body

    def check(self, dataset: Dataset) -> Finding:
        """Check a dataset of any form that a shipped mapping knows; of another form, nothing is checked."""
        mapping = fitting({name: frame.columns for name, frame in dataset.tables.items()})
        if mapping is None:
            return Finding(self.id, 0, 0, {})
        return self.judge(View(dataset.tables, mapping))

    def judge(self, view: View) -> Finding:
        """Check what a view gives; nothing, where it lacks what the rule needs."""
        if view.lacks(self.needs):
            return Finding(self.id, 0, 0, {})
        n_checked = 0
        rows: dict[str, Whole] = {}
        for table, checked, failed in self.body(view):
            n_checked += checked
            for name, places in view.origin(table, failed).items() if len(failed) else ():
                rows[name] = np.union1d(rows[name], places) if name in rows else places
        n_failed = sum(len(places) for places in rows.values())
        return Finding(self.id, max(n_checked, n_failed), n_failed, rows)


def told(table: str, checked: Flags, failed: Flags) -> list[Found]:
    """Return the finding of two flags per row of a table: the rule applies here, it is broken here."""
    return [(table, int(np.count_nonzero(checked)), np.flatnonzero(failed & checked))]


def some(table: str, checked: Whole, failed: Flags) -> list[Found]:
    """Return the finding of positions that a rule applies to, and one flag for each."""
    return [(table, len(checked), checked[failed])]


class Spans:
    """Intervals of patients, for one question: how many of them meet another interval of the same patient.

    Parameters
    ----------
    patients
        Rows of patients, shape (R,); negative ones are left out.
    starts, stops
        Seconds, closed ends.
    """

    def __init__(self, patients: Whole, starts: Whole, stops: Whole) -> None:
        good = (patients >= 0) & (starts >= 0) & (stops >= starts)
        base = patients[good].astype(np.int64) * SPAN
        self.begun = np.sort(base + starts[good])
        self.ended = np.sort(base + stops[good])

    def meeting(self, patients: Whole, starts: Whole, stops: Whole) -> Whole:
        """Return how many intervals of its patient each given one meets; 0 for an absent patient or time.

        As many have begun by its end as are left when those that had ended before its start are taken away.
        """
        base = np.maximum(patients, 0).astype(np.int64) * SPAN
        good = (patients >= 0) & (starts >= 0) & (stops >= starts)
        first = np.searchsorted(self.begun, base, "left")
        begun = np.searchsorted(self.begun, base + np.minimum(np.maximum(stops, 0), SPAN - 1), "right") - first
        over = np.searchsorted(self.ended, base + np.maximum(starts, 0), "left")
        over = over - np.searchsorted(self.ended, base, "left")
        return np.where(good, begun - over, 0)


def meets(patients: Whole, starts: Whole, stops: Whole, others: tuple[Whole, Whole, Whole]) -> Flags:
    """Say which intervals meet one of the others of the same patient."""
    return Spans(*others).meeting(patients, starts, stops) > 0
