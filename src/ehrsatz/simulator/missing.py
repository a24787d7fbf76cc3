"""Measurements that are absent from the records by a known mechanism: at random, by who the patient is, by the value.

A row is left out by a number that belongs to its patient and its place within them, against a rate that is the same for
everybody of a kind: who else is in the cohort changes nothing. Where the rate hangs on something (the driver), it has
two levels with an odds ratio of three, and these are solved so that the share that was asked for comes out over the
rows of the scenario's first patients. What was computed from a value that is absent is absent with it.

References
----------
Rubin DB, Inference and missing data, Biometrika 1976;63:581-592, doi:10.1093/biomet/63.3.581 (the three mechanisms).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ehrsatz.clinical import INSURANCE
from ehrsatz.errors import InfeasibleError, nearest
from ehrsatz.parts import MissingPart
from ehrsatz.simulator.catalogue import Catalogue, Item
from ehrsatz.simulator.chart.formulas import SIMPLE
from ehrsatz.simulator.history import Flags, Floats, History, Ints, ordinals
from ehrsatz.simulator.records import Book, Records, Rows

ODDS = 3.0  # of being absent, of those above the middle against those below
PATIENTS = 512  # whose rows say where the middle lies and how many are above it
CANCELLED = 1  # position of the status in the clinical schema
POORLY = tuple(INSURANCE.index(name) for name in ("medicaid", "dual", "none"))  # what is "above" by insurance
COMPUTED = {*SIMPLE, "bmi_percentile", "head_percentile", "weight_length_percentile", "egfr_ckdepi"}


@dataclass(frozen=True)
class Gap:
    """One wish to leave something out, understood.

    Parameters
    ----------
    part
        The scenario's.
    items
        Positions in the catalogue.
    cuts
        Item, or -1 for all -> (middle of the driver, whether the middle itself is above).
    rates
        Share absent of the rows below and of those above.
    """

    part: MissingPart
    items: tuple[int, ...]
    cuts: Mapping[int, tuple[float, bool]] = field(default_factory=dict)
    rates: tuple[float, float] = (0.0, 0.0)


def understand(parts: Sequence[MissingPart], catalogue: Catalogue) -> tuple[Gap, ...]:
    """Find the items that are meant; rates are known already where nothing drives them.

    Parameters
    ----------
    parts
        The scenario's; a name that is an item and a panel is the item.
    catalogue
        Of observations.

    Raises
    ------
    InfeasibleError
        When a name is neither, or nothing of it is ever written down.
    """
    problems = []
    gaps = []
    for k, part in enumerate(parts):
        names: tuple[str, ...] = (part.item,) if part.item in catalogue.place else ()
        if not names and part.item in catalogue.panels:
            names = catalogue.panels[part.item].items
        written = tuple(catalogue.place[name] for name in names if catalogue.codes[catalogue.place[name]])
        if not names:
            close = nearest(part.item, (*catalogue.place, *catalogue.panels))
            problems.append(f"missing[{k}]: no item and no panel is named '{part.item}'.{close}")
        elif not written:
            problems.append(f"missing[{k}]: {part.item} is never written down")
        gaps.append(Gap(part, written, rates=(part.share, part.share)))
    if problems:
        raise InfeasibleError(
            "Expected what is left out to be measurements of the catalogue.",
            f"{len(problems)} are not.",
            "List them with: ehrsatz doctor --list panels",
            problems=problems,
        )
    return tuple(gaps)


def is_driven(gaps: Sequence[Gap]) -> bool:
    """Whether a mechanism hangs on something, so that `learned` is needed before `leave_out`."""
    return any(gap.part.mechanism != "MCAR" for gap in gaps)


def learned(
    gaps: Sequence[Gap], records: Records, history: History, catalogue: Catalogue, book: Book
) -> tuple[Gap, ...]:
    """Find the middle of each driver and the rates that give the share that was asked for.

    Parameters
    ----------
    gaps
        As `understand` gave them.
    records, history
        Of the scenario's first patients, nothing left out yet.
    catalogue, book
        As in the run.

    Raises
    ------
    InfeasibleError
        When nothing was measured, or everybody is alike in what it is to hang on.
    """
    rows = records.rows.get("observation")
    out, problems = [], []
    for k, gap in enumerate(gaps):
        part = gap.part
        if part.mechanism == "MCAR":
            out.append(gap)
            continue
        here = np.zeros(0, np.int64) if rows is None else np.flatnonzero(np.isin(rows["item"], gap.items))
        if rows is None or not len(here):
            problems.append(f"missing[{k}]: {part.item} is too rare here for {part.mechanism}: MCAR needs no middle")
            continue
        item, driver = rows["item"][here].astype(np.int64), _driver(gap, rows, here, records, history, catalogue, book)
        kinds = np.unique(item) if part.mechanism == "MNAR" else np.array([-1])
        cuts = {int(one): _middle(driver[item == one] if one >= 0 else driver) for one in kinds}
        above = float(_above(replace(gap, cuts=cuts), driver, item).mean())
        if above in (0.0, 1.0):
            what = "its values" if part.mechanism == "MNAR" else part.by
            problems.append(
                f"missing[{k}]: {part.mechanism} needs differences, and {what} is the same in all rows here"
            )
        out.append(replace(gap, cuts=cuts, rates=rates(part.share, above, part.above)))
    if problems:
        raise InfeasibleError(
            "Expected what is left out to hang on something that differs.",
            f"{len(problems)} cannot.",
            "Change what is named below.",
            problems=problems,
        )
    return tuple(out)


def rates(share: float, above: float, higher: bool = True) -> tuple[float, float]:
    """Return the shares absent below and above the middle, with an odds ratio of three and the given mean.

    Parameters
    ----------
    share
        Mean, in (0, 1].
    above
        Share of rows above the middle, in [0, 1].
    higher
        Whether those above are more often absent.
    """
    if share >= 1:
        return 1.0, 1.0
    often = above if higher else 1 - above
    a, b = ODDS * (1 - share), (1 - often) + ODDS * often - (1 + ODDS) * share
    odds = (-b + math.sqrt(b * b + 4 * a * share)) / (2 * a)  # of the less often absent
    less, more = odds / (1 + odds), ODDS * odds / (1 + ODDS * odds)
    return (less, more) if higher else (more, less)


def leave_out(gaps: Sequence[Gap], records: Records, history: History, catalogue: Catalogue, book: Book) -> Records:
    """Return the records without what is absent; an order all of whose results are absent is cancelled.

    Parameters
    ----------
    gaps
        With their rates.
    records, history
        Of a shard.
    catalogue, book
        As in the run.
    """
    rows = records.rows.get("observation")
    if not gaps or rows is None:
        return records
    person = records.encounters.person[rows["encounter"]]
    specimen, ordinal = _specimens(rows, person)
    gone = np.zeros(len(person), bool)
    for k, gap in enumerate(gaps):
        here = np.flatnonzero(np.isin(rows["item"], gap.items))
        twin = sum(other.part.item == gap.part.item for other in gaps[:k])
        u = history.draw(f"missing {gap.part.item} {twin}", person[here], ordinal[here])[:, 0]
        item = rows["item"][here].astype(np.int64)
        rate = np.full(len(here), gap.part.share)
        if gap.part.mechanism != "MCAR":
            driver = _driver(gap, rows, here, records, history, catalogue, book)
            rate = np.where(_above(gap, driver, item), gap.rates[1], gap.rates[0])
        gone[here] |= u < rate
    gone |= _computed(rows["item"].astype(np.int64), specimen, gone, catalogue)
    return _without(records, rows, gone)


def _specimens(rows: Rows, person: Ints) -> tuple[Ints, Ints]:
    """Return of each row (R,) which specimen it is of, in the shard and within its patient."""
    new = np.r_[True, (np.diff(rows["encounter"]) != 0) | (np.diff(rows["time"].astype(np.float64)) != 0)]
    specimen = np.cumsum(new) - 1
    return specimen, ordinals(person[new])[specimen]


def _driver(
    gap: Gap, rows: Rows, here: Ints, records: Records, history: History, catalogue: Catalogue, book: Book
) -> Floats:
    """Return what the gap hangs on (K,), of the rows (K,) that are meant."""
    people, person = history.people, records.encounters.person[rows["encounter"][here]]
    if gap.part.mechanism == "MNAR":
        return _values(rows, here, gap, catalogue, book)
    if gap.part.by == "age":
        return people.age(person, rows["time"][here].astype(np.float64))
    if gap.part.by == "sex":
        return people.sex[person].astype(np.float64)
    if gap.part.by == "income":
        return people.income[person]
    return np.isin(people.attributes["insurance"][person], POORLY).astype(np.float64)


def _values(rows: Rows, here: Ints, gap: Gap, catalogue: Catalogue, book: Book) -> Floats:
    """Return values (K,); of words their position among the item's words."""
    value = rows["value"][here].astype(np.float64)
    for place in gap.items:
        item: Item = catalogue.items[place]
        if item.words:
            mine = np.flatnonzero(rows["item"][here] == place)
            text = rows["text"][here[mine]]
            for k, word in enumerate(item.words):
                value[mine[text == book.text(word)]] = k
    return value


def _middle(driver: Floats) -> tuple[float, bool]:
    """Return the middle of values (K,), and whether those on it count as above: whichever halves them better."""
    middle = float(np.median(driver))
    with_it, without = abs((driver >= middle).mean() - 0.5), abs((driver > middle).mean() - 0.5)
    return middle, bool(with_it < without)


def _above(gap: Gap, driver: Floats, item: Ints) -> Flags:
    """Return which rows (K,) lie above the middle; of an item without one, none."""
    if gap.part.mechanism != "MNAR":
        middle, with_it = gap.cuts[-1]
        return driver >= middle if with_it else driver > middle
    out = np.zeros(len(driver), bool)
    for place, (middle, with_it) in gap.cuts.items():
        mine = item == place
        out[mine] = driver[mine] >= middle if with_it else driver[mine] > middle
    return out


def _computed(item: Ints, specimen: Ints, gone: Flags, catalogue: Catalogue) -> Flags:
    """Return which rows (R,) are gone or were computed, at whatever remove, from one that is in the same specimen."""
    gone = gone.copy()
    size = len(catalogue.items)
    key = specimen * size + item
    needs = [
        (k, [catalogue.place[name] for name in one.of if name in catalogue.place and _needed(one, name)])
        for k, one in enumerate(catalogue.items)
        if one.formula in COMPUTED
    ]
    changed = True
    while changed:
        changed = False
        lost = key[gone]
        for place, parts in needs:
            mine = np.flatnonzero((item == place) & ~gone)
            for part in parts:
                hit = mine[np.isin(specimen[mine] * size + part, lost)]
                changed |= bool(len(hit))
                gone[hit] = True
    return gone


def _needed(item: Item, name: str) -> bool:
    return not (item.formula == "egfr_ckdepi" and name == "height")  # grown people's needs none


def _without(records: Records, rows: Rows, gone: Flags) -> Records:
    """Return the records without rows that are gone, their empty orders cancelled."""
    out = dict(records.rows)
    kept = ~gone
    if kept.any():
        out["observation"] = {name: values[kept] for name, values in rows.items()}
    else:
        del out["observation"]
    orders = records.rows.get("order")
    if orders is not None:
        of = rows["order"].astype(np.int64)
        n = len(orders["status"])
        before = np.bincount(of[of >= 0], minlength=n)
        after = np.bincount(of[kept & (of >= 0)], minlength=n)
        empty = (before > 0) & (after == 0)
        out["order"] = {**orders, "status": np.where(empty, CANCELLED, orders["status"])}
        reports = records.rows.get("report")
        if reports is not None:
            at = reports["order"].astype(np.int64)
            stays = ~((at >= 0) & empty[np.maximum(at, 0)])
            if not stays.all():
                out["report"] = {name: values[stays] for name, values in reports.items()}
    return replace(records, rows=out)
