"""Condition rows: what was found, when it began, was written down and ended, one row per stage."""

from __future__ import annotations

import numpy as np

from ehrsatz.clinical import ICD10CM, SNOMED
from ehrsatz.simulator.chart.asks import MINUTES, Asks
from ehrsatz.simulator.chart.visits import Found
from ehrsatz.simulator.history import Floats, History, Ints
from ehrsatz.simulator.module import Episode
from ehrsatz.simulator.records import Book, Encounters, Rows

ACTIVE, RESOLVED = 0, 1
FOLLOWS = {
    "R65.21": (ICD10CM, "A41.9")
}  # septic shock is coded after the sepsis behind it: Guidelines, section I.C.1.d


def rows_of(history: History, encounters: Encounters, asks: Asks, found: Found, book: Book) -> Rows:
    """Return the condition rows of spells and attacks, in no order."""
    parts: list[dict[str, np.ndarray]] = []
    for name, batch in found.diagnosis.items():
        parts += _spell(history, encounters, asks.rows[batch], name, book)
    for name, batch in found.attack.items():
        parts += _attacks(history, encounters, asks.rows[batch], found.seen[name], name, book)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}


def _spell(history: History, encounters: Encounters, row: Ints, name: str, book: Book) -> list[dict[str, np.ndarray]]:
    spells = history.spells[name]
    condition = spells.condition
    known = row >= 0
    recorded = np.where(known, encounters.start[np.maximum(row, 0)] + 8 * MINUTES, np.nan)
    stop = np.where(np.isnan(spells.stop), np.inf, spells.stop)
    if not condition.stages:
        return [_part(book, condition.icd10, condition.snomed, None, row, spells.onset, recorded, stop, known)]
    parts = []
    reached = spells.stage_from
    for s, stage in enumerate(condition.stages):
        later = reached[:, s + 1 :]
        leaves = np.fmin.reduce(later, axis=1) if later.shape[1] else np.full(len(row), np.inf)
        leaves = np.fmin(leaves, stop)
        here = known & (reached[:, s] < np.inf)
        begin = np.maximum(np.where(np.isnan(reached[:, s]), np.inf, reached[:, s]), spells.onset)
        # a stage that began before the condition was found is written down when it is found, if it still lasts
        here &= leaves > recorded
        later_row = _next_visit(encounters, spells.person, np.where(np.isfinite(begin), begin, np.inf))
        at = np.where(begin <= recorded, row, later_row)
        here &= at >= 0
        when = np.where(begin <= recorded, recorded, encounters.start[np.maximum(at, 0)] + 8 * MINUTES)
        here &= when < leaves
        parts.append(
            _part(
                book,
                stage.icd10 or condition.icd10,
                stage.snomed or condition.snomed,
                stage.title,
                at,
                begin,
                when,
                leaves,
                here,
            )
        )
    return parts


def _next_visit(encounters: Encounters, person: Ints, time: Floats) -> Ints:
    """Return the row of the first encounter of people (K,) at or after moments, -1: none."""
    key = encounters.person * 1e6 + encounters.start
    at = np.searchsorted(key, person * 1e6 + np.where(np.isfinite(time), time, 9e5), side="left")
    safe = np.minimum(at, len(key) - 1)
    return np.where((at < len(key)) & (encounters.person[safe] == person), safe, -1)


def _attacks(
    history: History, encounters: Encounters, row: Ints, seen: Ints, name: str, book: Book
) -> list[dict[str, np.ndarray]]:
    attacks = history.attacks[name]
    episode = attacks.episode
    recorded = np.where(row >= 0, encounters.start[np.maximum(row, 0)] + 8 * MINUTES, np.nan)
    end = history.people.end[attacks.person[seen]]
    stop = np.maximum(attacks.stop[seen], recorded + 20 * MINUTES)
    stop = np.where(stop < end - MINUTES, stop, np.inf)
    onset = attacks.onset[seen]
    keep = (row >= 0) & ~_listed(history, episode, attacks.person[seen], onset)
    parts = [_part(book, episode.icd10, episode.snomed, None, row, onset, recorded, stop, keep)]
    if episode.icd10 in FOLLOWS:
        system, code = FOLLOWS[episode.icd10]
        assert system == ICD10CM
        parts.append(_part(book, code, None, None, row, onset, recorded, stop, keep))
    return parts


def _listed(history: History, episode: Episode, person: Ints, time: Floats) -> np.ndarray:
    """Return whether a lasting condition of the same code, which flares up, is on the list already."""
    out = np.zeros(len(person), bool)
    for spells in history.spells.values():
        if spells.condition.icd10 != episode.icd10 or not len(spells.person):
            continue
        at = np.minimum(np.searchsorted(spells.person, person), len(spells.person) - 1)
        stop = np.where(np.isnan(spells.stop), np.inf, spells.stop)[at]
        out |= (spells.person[at] == person) & (spells.diagnosed[at] <= time) & (time < stop)
    return out


def _part(
    book: Book,
    icd10: str,
    snomed: str | None,
    stage: str | None,
    row: Ints,
    onset: Floats,
    recorded: Floats,
    stop: Floats,
    keep: np.ndarray,
) -> dict[str, np.ndarray]:
    n = int(keep.sum())
    begin = np.minimum(onset[keep], recorded[keep])
    end = np.where(np.isfinite(stop[keep]), np.maximum(stop[keep], recorded[keep]), np.nan)
    return {
        "encounter": row[keep],
        "code": np.full(n, book.place(ICD10CM, icd10)),
        "snomed": np.full(n, -1 if snomed is None else book.place(SNOMED, snomed)),
        "stage": np.full(n, -1 if stage is None else book.text(stage)),
        "onset": begin,
        "recorded": recorded[keep],
        "abatement": end,
        "status": np.where(np.isnan(end), ACTIVE, RESOLVED),
    }
