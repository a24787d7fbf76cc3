"""Quotas: who of a cohort must be what, decided before anybody is drawn, and whether that can be at all.

A quota is met by drawing within it (an onset before the index date, from its own distribution cut there), never by
drawing until someone fits. What else such people have follows from several possible lives of each, of which one is
taken with the probability that the wanted conditions give it (sampling importance resampling).

References
----------
Rubin DB, Using the SIR algorithm to simulate posterior distributions, Bayesian Statistics 3, Oxford 1988, 395-402.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import gcd

import numpy as np

from ehrsatz.errors import InfeasibleError, nearest
from ehrsatz.parts import GroupPart, SimulatorPart
from ehrsatz.seeds import addressed
from ehrsatz.simulator.history import YEAR, Flags, Floats, Ints
from ehrsatz.simulator.lives import Pin
from ehrsatz.simulator.module import Condition, Episode

CANDIDATES = 8  # possible lives of a person under a quota
EPOCH = datetime.date(1970, 1, 1)
TERM = 290.0  # days of a pregnancy at the most
MARGIN = 0.05  # years by which an onset lies before the index date at the least, so that it is written down by then
BOOKED = 0.25  # likewise of a pregnancy, which is first seen after some weeks
OLDEST = 100.0  # years, of those whose age an enriched condition decides
PREGNANCY = "pregnancy"
Display = Callable[[str], str]


def day(date: datetime.date) -> float:
    """Return a date as days since 1970-01-01."""
    return float((date - EPOCH).days)


@dataclass(frozen=True)
class Quota:
    """One group, understood: what is pinned, in ids of the knowledge.

    `must` maps an id to (stage position or -1, earliest and latest day of onset or NaN); `taken` lists alternatives per
    medication, the first of which is taken.
    """

    n: int
    sex: int  # 0, 1; -1: free
    age: tuple[float, float] | None
    index: tuple[float, float]
    must: Mapping[str, tuple[int, float, float]] = field(default_factory=dict)
    never: frozenset[str] = frozenset()
    taken: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Cohort:
    """All quotas of a cohort of n people, spread evenly over its numbers; the rest is free."""

    n: int
    quotas: tuple[Quota, ...]
    enrich: tuple[tuple[str, float], ...]
    reference: float
    seed: int
    history_years: float = 10.0
    record_years: float = 10.0
    youngest: tuple[float, ...] = ()  # of each enriched condition: age from which it can be there
    only: tuple[int, ...] = ()  # of each: sex that alone has it, -1 both
    reserved: int = 0  # first people, who are edge cases: under no quota

    def group(self, number: Ints) -> Ints:
        """Return the group (N,) of people, -1 for the free."""
        if not self.quotas:
            return np.full(len(number), -1, np.int64)
        edges = np.cumsum([quota.n for quota in self.quotas])
        at = np.searchsorted(edges, self._place(number), side="right")
        return np.where((at < len(self.quotas)) & self._free(number), at, -1)

    def enriched(self, number: Ints) -> Ints:
        """Return which of the enriched conditions people (N,) must have, -1: none; each has its exact share."""
        first = sum(quota.n for quota in self.quotas)
        edges = first + np.cumsum([round(share * self.n) for _, share in self.enrich])
        place = self._place(number)
        at = np.searchsorted(edges, place, side="right") if len(edges) else np.zeros(len(number), np.int64)
        return np.where((place >= first) & (at < len(self.enrich)) & self._free(number), at, -1)

    def _free(self, number: Ints) -> Flags:
        """Return who (N,) can be under a quota."""
        return (number >= self.reserved) & (number < self.n)

    def _place(self, number: Ints) -> Ints:
        """Return places (N,) among those who can be under a quota, spread so that families form across groups."""
        return (number - self.reserved) * self._stride % (self.n - self.reserved)

    @cached_property
    def _stride(self) -> int:
        """A number without common divisor with those who can be under a quota."""
        free = self.n - self.reserved
        stride = max(1, round(free * 0.6180339887))
        while gcd(stride, free) != 1:
            stride += 1
        return stride

    def wants(self, number: Ints, name: str) -> Flags:
        """Return whether a condition or episode is pinned for people (N,)."""
        group = self.group(number)
        out = np.zeros(len(number), bool)
        for g, quota in enumerate(self.quotas):
            if name in quota.must:
                out |= group == g
        return out

    def index(self, number: Ints) -> Floats:
        """Return the index date (N,) of people; the reference date for the free."""
        u = addressed(self.seed, "simulator", "index", subjects=number)[:, 0]
        out = np.full(len(number), self.reference)
        group = self.group(number)
        for g, quota in enumerate(self.quotas):
            low, high = quota.index
            out = np.where(group == g, np.floor(low + u * (high - low + 1)), out)
        return np.minimum(out, self.reference)

    def sexes(self, number: Ints) -> Ints:
        """Return the wanted sex (N,), -1: free."""
        group = self.group(number)
        out = np.full(len(number), -1, np.int64)
        for g, quota in enumerate(self.quotas):
            out[group == g] = quota.sex
        enriched = self.enriched(number)
        for k, sex in enumerate(self.only):
            out[enriched == k] = sex
        return out

    def ages(self, number: Ints) -> tuple[Floats, Floats]:
        """Return the wanted ages at the reference date, from and to (N,), NaN: free."""
        group = self.group(number)
        late = (self.reference - self.index(number)) / YEAR
        low, high = np.full(len(number), np.nan), np.full(len(number), np.nan)
        for g, quota in enumerate(self.quotas):
            if quota.age is not None:
                low = np.where(group == g, quota.age[0] + late, low)
                high = np.where(group == g, quota.age[1] + late, high)
        enriched = self.enriched(number)
        for k, age in enumerate(self.youngest):
            if age > 0:
                low, high = np.where(enriched == k, age, low), np.where(enriched == k, OLDEST, high)
        return low, high

    def pins(
        self, number: Ints, birth: Floats, sex: Ints, entities: Mapping[str, Condition | Episode]
    ) -> dict[str, Pin]:
        """Return what is pinned for people (N,), by id."""
        n, group = len(number), self.group(number)
        index = (self.index(number) - birth) / YEAR
        out: dict[str, Pin] = {}

        def pin(name: str) -> Pin:
            if name not in out:
                out[name] = Pin(
                    np.full(n, np.nan),
                    np.full(n, np.nan),
                    np.zeros(n, bool),
                    np.full(n, -1, np.int64),
                    np.full(n, np.nan),
                )
            return out[name]

        for g, quota in enumerate(self.quotas):
            here = group == g
            if not here.any():
                continue
            for name, (stage, low, high) in quota.must.items():
                one = pin(name)
                since = np.zeros(n) if np.isnan(low) else (low - birth) / YEAR
                margin = BOOKED if name == PREGNANCY else MARGIN
                before = index - margin if np.isnan(high) else np.minimum((high + 1 - birth) / YEAR, index - margin)
                entity = entities[name]
                one.before[here] = np.maximum(before, since + 1e-4)[here]
                one.since[here] = np.maximum(since, entity.ages[0])[here]
                one.stage[here] = stage
                one.until[here] = index[here]
            for name in quota.never:
                pin(name).never[here] = True
        enriched = self.enriched(number)
        for k, (name, _) in enumerate(self.enrich):
            entity, chosen = entities[name], enriched == k
            age = (self.reference - birth) / YEAR
            one = pin(name)
            one.before[chosen] = age[chosen] - MARGIN
            one.since[chosen] = np.minimum(entity.ages[0], age[chosen] - 2 * MARGIN)
            one.until[chosen] = age[chosen]
        return out

    def taking(self, number: Ints, birth: Floats) -> dict[tuple[str, str], Floats]:
        """Return condition and drug -> age (N,) at which it must be taken, NaN: free."""
        group, index = self.group(number), (self.index(number) - birth) / YEAR
        out: dict[tuple[str, str], Floats] = {}
        for g, quota in enumerate(self.quotas):
            for pair in quota.taken:
                ages = out.setdefault(pair, np.full(len(number), np.nan))
                ages[group == g] = index[group == g]
        return out


def understand(
    part: SimulatorPart,
    n: int,
    seed: int,
    entities: Sequence[Condition | Episode],
    base: Mapping[str, Floats],
    display: Display,
    *,
    reserved: int = 0,
) -> Cohort:
    """Read the quotas of a scenario, and refuse before the run what cannot be, with the reason.

    Parameters
    ----------
    part
        The scenario's.
    n
        Size of the cohort.
    seed
        Of the cohort.
    entities
        Conditions and episodes of the knowledge, in causal order.
    base
        Id -> (2, A) rates.
    display
        RxNorm code -> name.
    reserved
        First people of the cohort, who are edge cases.

    Raises
    ------
    InfeasibleError
        With every quota that cannot be met and why.
    """
    known = {one.id: one for one in entities}
    problems: list[str] = []
    total = sum(group.n for group in part.groups)
    if total > n:
        problems.append(f"groups: they hold {total:,} people, the cohort {n:,}")
    reference = day(part.reference)
    quotas = [
        _quota(group, f"groups[{g}]", known, base, display, reference, problems) for g, group in enumerate(part.groups)
    ]
    if reserved >= n:
        problems.append(f"edge_cases: they are {reserved:,} people, the cohort {n:,}; one more is needed")
    elif total + sum(round(share * n) for share in part.enrich.values()) > n - reserved:
        rest = f", of which {reserved:,} are edge cases: take a larger n" if reserved else ""
        problems.append(f"groups and enrich: together they hold more people than the cohort's {n:,}{rest}")
    for name in (*part.enrich, *part.prevalence):
        if name not in known:
            problems.append(f"{name}: no condition has this id.{nearest(name, known)}")
    for name in part.prevalence:
        if name in known and not (isinstance(known[name], Condition)):
            problems.append(f"prevalence.{name}: an episode has no prevalence; enrich it instead")
    if problems:
        raise InfeasibleError(
            "Expected a cohort that can be.",
            f"{len(problems)} quota{'s' if len(problems) > 1 else ''} cannot be met.",
            "Change what is named below.",
            problems=problems,
        )
    years = 200.0 if part.record_years == "life" else float(part.record_years)
    return Cohort(
        n,
        tuple(quotas),
        tuple(part.enrich.items()),
        reference,
        seed,
        part.history_years,
        years,
        tuple(known[name].ages[0] + 1.0 if known[name].ages[0] > 0 else 0.0 for name in part.enrich),
        tuple(_sex_of(known[name]) for name in part.enrich),
        reserved,
    )


def _sex_of(entity: Condition | Episode) -> int:
    return -1 if entity.sex is None else ("female", "male").index(entity.sex)


def _quota(
    group: GroupPart,
    where: str,
    known: Mapping[str, Condition | Episode],
    base: Mapping[str, Floats],
    display: Display,
    reference: float,
    problems: list[str],
) -> Quota:
    index = (reference, reference) if group.index is None else (day(group.index[0]), day(group.index[1]))
    if index[1] > reference:
        problems.append(f"{where}.index: it lies after the reference date")
    sex = -1 if group.sex is None else ("female", "male").index(group.sex)
    oldest = 110.0 if group.age is None else group.age[1]
    must: dict[str, tuple[int, float, float]] = {}
    for one in group.conditions:
        entity = known.get(one.id)
        if entity is None:
            problems.append(f"{where}: no condition has the id '{one.id}'.{nearest(one.id, known)}")
            continue
        stage = -1
        if one.stage is not None:
            ids = [s.id for s in entity.stages] if isinstance(entity, Condition) else []
            wanted = one.stage.lower()
            match = [k for k, name in enumerate(ids) if name in {wanted, f"stage_{wanted}", f"{one.id}_{wanted}"}]
            if match:
                stage = match[0]
            else:
                problems.append(f"{where}: {one.id} has no such stage; it has: {', '.join(ids) or 'none'}")
        low, high = (np.nan, np.nan) if one.onset is None else (day(one.onset[0]), day(one.onset[1]))
        if low > index[1]:
            problems.append(f"{where}: {one.id} would begin after the index date")
        if group.age is not None and not np.isnan(high) and high < index[0] - group.age[1] * YEAR:
            problems.append(f"{where}: {one.id} would begin before anybody of that age was born")
        must[one.id] = (stage, float(low), float(high))
    taken = _taken(group, where, known, display, must, problems)
    _cause(must, known, base, sex)
    _in_time(must, known)
    only = {entity.sex for entity in (known[name] for name in must) if entity.sex is not None}
    if len(only) > 1:
        problems.append(f"{where}: what is wanted occurs in different sexes only")
    elif only and sex < 0:
        sex = ("female", "male").index(only.pop())
    _possible(must, known, base, group, index, where, sex, oldest, problems)
    never = set(group.without) | {name for one in must for name in known[one].excludes if name in known}
    for name in group.without:
        if name not in known:
            problems.append(f"{where}.without: no condition has the id '{name}'.{nearest(name, known)}")
        elif name in must:
            problems.append(f"{where}: {name} is wanted, or needed by what is wanted, and excluded")
    for condition, drug in taken:
        entity = known[condition]
        assert isinstance(entity, Condition)
        avoided = next(one for one in entity.treatments if one.id == drug).avoid
        for name in avoided:
            other, _, later = name.partition(".")
            if later:
                ids = [one.id for one in getattr(known[other], "stages", ())]
                if other in must and must[other][0] >= ids.index(later):
                    problems.append(f"{where}: {drug} is not given to people with {other} from {later} on")
            elif name in must:
                problems.append(f"{where}: {drug} is not given to people with {name}")
            elif name in known:
                never.add(name)
    return Quota(group.n, sex, group.age, index, must, frozenset(never), tuple(taken))


def _taken(
    group: GroupPart,
    where: str,
    known: Mapping[str, Condition | Episode],
    display: Display,
    must: dict[str, tuple[int, float, float]],
    problems: list[str],
) -> list[tuple[str, str]]:
    """Find which condition's drug each wanted medication is, pinning a condition where none of the wanted takes it."""
    out: list[tuple[str, str]] = []
    for word in group.medications:
        found = [
            (entity.id, one.id)
            for entity in known.values()
            if isinstance(entity, Condition)
            for one in entity.treatments
            if word.casefold() in {one.id, one.rxnorm} or word.casefold() in display(one.rxnorm).casefold()
        ]
        if not found:
            problems.append(f"{where}.medications: no module gives '{word}'")
            continue
        pair = next((pair for pair in found if pair[0] in must), found[0])
        must.setdefault(pair[0], (-1, float("nan"), float("nan")))
        entity = known[pair[0]]
        assert isinstance(entity, Condition)
        drugs = {one.id: one for one in entity.treatments}
        chain = [pair[1]]
        while drugs[chain[0]].after is not None:
            chain.insert(0, str(drugs[chain[0]].after))
        for drug in chain:
            replaced = any(drugs[later].after == drug and drugs[later].instead for later in chain)
            if not replaced and (pair[0], drug) not in out:
                out.append((pair[0], drug))
    return out


def _cause(
    must: dict[str, tuple[int, float, float]],
    known: Mapping[str, Condition | Episode],
    base: Mapping[str, Floats],
    sex: int,
) -> None:
    """Pin what a wanted condition cannot be without: of several causes, the commonest."""
    waiting = list(must)
    while waiting:
        entity = known[waiting.pop()]
        if entity.requires and not any(name in must for name in entity.requires):
            weight = {
                name: base[name].sum() if sex < 0 else base[name][sex].sum() for name in entity.requires if name in base
            }
            if weight:
                name = max(weight, key=lambda key: weight[key])
                must[name] = (-1, float("nan"), float("nan"))
                waiting.append(name)


def _in_time(must: dict[str, tuple[int, float, float]], known: Mapping[str, Condition | Episode]) -> None:
    """Let causes begin early enough for what they cause; a pregnancy, so long before what comes in it."""
    for _ in range(len(must)):
        for name, (_, low, high) in list(must.items()):
            entity = known[name]
            phase = entity.phase if isinstance(entity, Episode) else None
            for cause in entity.requires:
                if cause not in must:
                    continue
                stage, first, last = must[cause]
                if phase is not None:
                    first = max(first, low - phase[1] * TERM) if first == first else low - phase[1] * TERM
                    last = min(last, high - phase[1] * TERM) if last == last else high - phase[1] * TERM
                elif high == high:
                    last = min(last, high - 1) if last == last else high - 1
                must[cause] = (stage, first, last)


def _possible(
    must: Mapping[str, tuple[int, float, float]],
    known: Mapping[str, Condition | Episode],
    base: Mapping[str, Floats],
    group: GroupPart,
    index: tuple[float, float],
    where: str,
    sex: int,
    oldest: float,
    problems: list[str],
) -> None:
    for name, (_, since, until) in must.items():
        entity = known[name]
        if entity.sex is not None and sex >= 0 and ("female", "male")[sex] != entity.sex:
            problems.append(f"{where}: {name} occurs in the {entity.sex} sex only")
            continue
        if entity.ages[0] >= oldest:
            problems.append(f"{where}: {name} begins at {entity.ages[0]:g} years at the earliest")
        elif isinstance(entity, Episode) and group.age is not None and entity.ages[1] <= group.age[0] and entity.once:
            problems.append(f"{where}: {name} does not occur after {entity.ages[1]:g} years")
        for other in must:
            if other in entity.excludes:
                problems.append(f"{where}: {name} does not occur in people with {other}")
        if name in base:
            rates = base[name] if sex < 0 else base[name][sex : sex + 1]
            if not rates[:, : max(1, int(np.ceil(oldest)))].any():
                problems.append(f"{where}: {name} does not occur up to {oldest:g} years")
            elif group.age is not None and not np.isnan(since):
                low = max(0.0, group.age[0] - (index[1] - since) / YEAR)
                high = group.age[1] - (index[0] - min(until, index[1])) / YEAR
                ages = slice(int(low), max(int(low) + 1, int(np.ceil(high))))
                if low >= entity.ages[1] or (high > 0 and not rates[:, ages].any()):
                    problems.append(f"{where}: {name} does not begin from {low:.0f} to {high:.0f} years, as asked for")
