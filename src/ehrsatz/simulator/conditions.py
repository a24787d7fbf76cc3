"""Lasting conditions: who gets one and when, its stages, how it ends, and what it does to the body."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ehrsatz.simulator.baseline import steps
from ehrsatz.simulator.hazards import ages_of, exponential, log_risk, mass_at, masses, most_risk, reachable
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.lives import Lives, Pin, Singles, Spell
from ehrsatz.simulator.module import Condition, Mortality, Stage
from ehrsatz.simulator.therapy import treat

TRACE = 1e-12  # hazard that a pinned condition gets where knowledge gives it none: only the quota asks for it
A_STAGE = 0.5  # years that a stage before the wanted one lasts at least
TOLD = 0.06  # years between a stage that a quota wants and the day on which it must stand in the record
Watch = Callable[[str, Floats, Ints, Singles, int, Floats, Floats], Floats]


def befall(
    lives: Lives, condition: Condition, base: Floats, pin: Pin | None = None, watch: Watch | None = None
) -> None:
    """Draw one condition for everybody and note its course, its effects and its drugs.

    Parameters
    ----------
    lives
        Conditions that this one hangs on are drawn already.
    base
        (2, A) rate of onset per year by sex and age; for a condition at birth, the share in column 0.
    pin
        What a quota fixes.
    watch
        Called before the draw with id, base, rows, log risks, first age, and the ages between which each can get it;
        returns the rates to use: the calibrator's.
    """
    rows, onset = _onset(lives, condition, base, pin, watch)
    stages, stop = _stages(lives, condition, rows, onset, pin)
    if condition.remission_per_year:
        mean = exponential(lives.draw(condition.id, "remission", rows)[:, 0])
        end = onset + condition.delay_years + condition.remission_after_years + mean / condition.remission_per_year
        if condition.remission_until_stage is not None:
            place = [stage.id for stage in condition.stages].index(condition.remission_until_stage)
            end = np.where(end < np.fmin.reduce(stages[:, place:], axis=1), end, np.inf)
        stop = np.minimum(stop, end)
    if pin is not None:
        held = ~np.isnan(pin.before[rows])
        stop = np.where(held & (stop <= pin.until[rows]), np.inf, stop)
    wait = exponential(lives.draw(condition.id, "diagnosis", rows)[:, 0]) / np.log(2) * condition.delay_years
    if pin is not None:
        held = ~np.isnan(pin.before[rows])
        wait = np.where(held, np.minimum(wait, 0.5 * (pin.before[rows] - onset)), wait)
    diagnosed = onset + wait
    spell = Spell(condition, rows, onset, diagnosed, stop, stages)
    lives.spells[condition.id] = spell
    for table, values in ((lives.starts, onset), (lives.stops, stop)):
        whole = np.full(lives.n, np.inf)
        whole[rows] = values
        table[condition.id] = whole
    lives.influence(condition.effects, rows, onset, stop, None)
    for s, stage in enumerate(condition.stages):
        reached = np.fmin.reduce(stages[:, s:], axis=1)  # this stage or a later one; NaN: skipped
        for table, values in ((lives.starts, reached), (lives.stops, stop)):
            whole = np.full(lives.n, np.inf)
            whole[rows] = values
            table[f"{condition.id}.{stage.id}"] = whole
        if stage.effects:
            here = np.flatnonzero(stages[:, s] < np.inf)  # NaN: skipped
            later = _leave(stages[here], s, stop[here])
            lives.influence(stage.effects, rows[here], stages[here, s], later, None)
    treat(lives, spell)


def _onset(
    lives: Lives, condition: Condition, base: Floats, pin: Pin | None, watch: Watch | None
) -> tuple[Ints, Floats]:
    start = np.full(lives.n, float(condition.ages[0]))
    stop = np.minimum(lives.span, condition.ages[1])
    if condition.requires:
        start = np.maximum(start, np.minimum.reduce([lives.first(name) for name in condition.requires]))
    for name in condition.excludes:
        stop = np.minimum(stop, lives.first(name))
    able = stop > start
    if condition.sex is not None:
        able &= lives.sex == ("female", "male").index(condition.sex)
    if condition.birth is not None:
        return _born_with(lives, condition, base, able, pin, watch)
    mass = exponential(lives.draw(condition.id, "onset", np.arange(lives.n))[:, 0])
    pinned = np.zeros(lives.n, bool)
    barred = np.zeros(lives.n, bool)
    if pin is not None:
        barred = pin.never
        pinned = ~np.isnan(pin.before)
    first = max(0, int(condition.ages[0]))
    last = max(first + 1, min(lives.years, int(np.ceil(condition.ages[1]))))
    if watch is None:  # nobody whose whole hazard cannot reach his threshold need be looked at
        most = reachable(base, lives.sex, stop, first, most_risk(lives, condition.risk))
        able &= (mass <= most) | pinned | barred
    rows = np.flatnonzero(able)
    log = log_risk(lives, condition.risk, rows, first, last)
    if watch is not None:
        base = watch(condition.id, base, rows, log, first, start[rows], stop[rows])
    _survived(lives, log, condition, rows, first, last)
    if pinned.any():
        base = np.maximum(base, TRACE)
    rate, cumulated, begin = masses(base, lives.sex[rows], log, start[rows], stop[rows], first)
    wanted = mass[rows]
    if pinned.any():
        wanted = _within(lives, pin, rows, rate, cumulated, begin, wanted, first)
    onset = ages_of(wanted, np.arange(len(rows)), rate, cumulated, begin)
    if barred.any():
        never = barred[rows]
        lives.weight[rows[never]] -= cumulated[never, -1]
        onset = np.where(never, np.inf, onset)
    hit = onset < np.inf
    return rows[hit], onset[hit]


def _within(
    lives: Lives, pin: Pin | None, rows: Ints, rate: Floats, cumulated: Floats, begin: Floats, mass: Floats, first: int
) -> Floats:
    """Replace the thresholds of pinned people by ones that lie in the wanted ages, and note how likely that was."""
    assert pin is not None
    held = np.flatnonzero(~np.isnan(pin.before[rows]))
    low = mass_at(rate[held], cumulated[held], begin[held], pin.since[rows[held]], first)
    high = mass_at(rate[held], cumulated[held], begin[held], pin.before[rows[held]], first)
    share = -np.expm1(-(high - low))
    lives.weight[rows[held]] += np.log(np.maximum(share, 1e-300)) - low
    out = mass.copy()
    u = -np.expm1(-mass[held])  # the person's own uniform number
    out[held] = np.minimum(low - np.log1p(-u * share), np.nextafter(high, low))
    return out


def _born_with(
    lives: Lives, condition: Condition, base: Floats, able: np.ndarray, pin: Pin | None, watch: Watch | None
) -> tuple[Ints, Floats]:
    rows = np.flatnonzero(able)
    log = log_risk(lives, condition.risk, rows, 0, 1)
    if watch is not None:
        base = watch(condition.id, base, rows, log, 0, np.zeros(len(rows)), np.ones(len(rows)))
    share = np.minimum(base[lives.sex[rows], 0] * np.exp(log[:, 0]), 1.0)
    if condition.mortality is not None:
        share *= np.exp(-_spent(condition.mortality, lives.sex[rows], np.maximum(lives.window[rows], 0)))
    hit = lives.draw(condition.id, "birth", rows)[:, 0] < share
    if pin is not None:
        held = ~np.isnan(pin.before[rows])
        lives.weight[rows[held]] += np.log(np.maximum(share[held], 1e-300))
        hit = (hit | held) & ~pin.never[rows]
    return rows[hit], np.zeros(int(hit.sum()))


def _spent(mortality: Mortality, sex: Ints, age: Floats) -> Floats:
    """Return the excess hazard of death (K,) that people born with a condition have behind them at an age (K,)."""
    if mortality.per_year_by_age is None:
        first = mortality.per_year if mortality.first_year is None else mortality.first_year
        return first * np.minimum(age, 1) + mortality.per_year * np.maximum(age - 1, 0)
    yearly = steps(mortality.per_year_by_age)  # (2, A)
    if mortality.first_year is not None:
        yearly[:, 0] = mortality.first_year
    behind = np.concatenate([np.zeros((2, 1)), np.cumsum(yearly, axis=1)], axis=1)
    whole = np.minimum(age.astype(np.int64), yearly.shape[1] - 1)
    return behind[sex, whole] + yearly[sex, whole] * (age - whole)


def _survived(lives: Lives, log: Singles, condition: Condition, rows: Ints, first: int, last: int) -> None:
    """Lower the rate of a deadly condition in the years before the window, for whoever is there lived to see it.

    The rate given survival is the rate times the chance to survive with the condition to the window (Doob's transform).
    """
    deadly = mean_mortality(condition)
    if deadly == (0.0, 0.0):
        return
    year = np.arange(first, last) + 0.5
    left = np.maximum(lives.window[rows][:, None] - year, 0)
    log -= (deadly[0] * np.minimum(left, 1) + deadly[1] * np.maximum(left - 1, 0)).astype(np.float32)


def mean_mortality(condition: Condition) -> tuple[float, float]:
    """Return the mean excess deaths a year in the first year and later, over the stages at onset."""

    def pair(one: Mortality | None) -> tuple[float, float]:
        if one is None:
            return 0.0, 0.0
        later = one.per_year
        if one.per_year_by_age is not None:
            values = one.per_year_by_age.of("female")
            later = values[len(values) // 2]
        return (later if one.first_year is None else one.first_year), later

    base = pair(condition.mortality)
    # over a mixture of stages the survivors are those of the milder ones: the harmonic-like mean of the rates
    for k in (0, 1):
        stages = [(stage.at_onset, pair(stage.mortality)[k]) for stage in condition.stages]
        if stages:
            alive = sum(share * np.exp(-5 * rate) for share, rate in stages)
            extra = -float(np.log(alive)) / 5 if alive > 0 else 0.0
            base = (base[0] + extra, base[1]) if k == 0 else (base[0], base[1] + extra)
    return base


def _stages(lives: Lives, condition: Condition, rows: Ints, onset: Floats, pin: Pin | None) -> tuple[Floats, Floats]:
    """Return when each stage is reached (K, S) and when the condition ends (K,), inf: never."""
    k, stages = len(rows), condition.stages
    stop = np.full(k, np.inf)
    out = np.full((k, len(stages)), np.inf)
    if not stages or not k:
        return out, stop
    left = np.maximum(lives.window[rows] - onset, 0)[:, None]
    deadly = np.array([0.0 if one.mortality is None else one.mortality.per_year for one in stages])
    weights = np.array([one.at_onset for one in stages]) * np.exp(-deadly * left)  # (K, S)
    held = np.full(k, -1)
    if pin is not None:
        held = np.where(np.isnan(pin.before[rows]), -1, pin.stage[rows])
        later = np.arange(len(stages))[None, :] > held[:, None]
        weights[(held >= 0)[:, None] & later] = 0
        empty = (held >= 0) & (weights.sum(axis=1) <= 0)
        weights[empty, held[empty]] = 1
    u = lives.draw(condition.id, "stage", rows)[:, 0]
    bounds = np.cumsum(weights, axis=1)
    begin = (bounds < u[:, None] * bounds[:, -1:]).sum(axis=1)
    begin = np.minimum(begin, len(stages) - 1)
    if pin is not None:  # whoever falls ill shortly before the day of a quota is found in a late stage
        steps_ = np.floor(np.clip(np.nan_to_num(pin.until[rows] - onset), 0, 100) / A_STAGE).astype(np.int64)
        begin = np.where(held >= 0, np.maximum(begin, held - steps_), begin)
    out[np.arange(k), begin] = onset
    for s in range(1, len(stages)):
        out[begin >= s, s - 1] = np.nan
        here = np.flatnonzero(begin < s)
        reached = _progress(lives, condition, stages[s], rows[here], out[here, s - 1], s)
        if pin is not None:
            target, end = held[here], pin.until[rows[here]]
            since = np.where(np.isfinite(out[here, s - 1]), out[here, s - 1], 0.0)
            last = end - np.minimum(TOLD, (end - since) / 4)  # so that a visit can still write it down
            must = (target >= s) & ~(reached < last)
            reached = np.where(must, since + (last - since) * 0.5, reached)
            reached = np.where((target >= 0) & (target < s) & (reached <= end), np.inf, reached)
        out[here, s] = reached
    return out, stop


def _progress(lives: Lives, condition: Condition, stage: Stage, rows: Ints, since: Floats, s: int) -> Floats:
    """Return the age (K,) at which people who reached the stage before at `since` move on, inf where never."""
    if not stage.per_year:
        return np.full(len(rows), np.inf)
    mass = exponential(lives.draw(condition.id, f"to {stage.id}", rows)[:, 0])
    if not stage.risk and stage.mortality is None:
        return np.where(since < np.inf, since + mass / stage.per_year, np.inf)
    some = np.flatnonzero(since < lives.years)
    out = np.full(len(rows), np.inf)
    if not len(some):
        return out
    first = max(0, int(np.floor(since[some].min())))
    log = log_risk(lives, stage.risk, rows[some], first, lives.years)
    if stage.mortality is not None:
        year = np.arange(first, lives.years) + 0.5
        left = np.maximum(lives.window[rows[some]][:, None] - year, 0)
        log -= (stage.mortality.per_year * left).astype(np.float32)
    base = np.full((2, lives.years), stage.per_year)
    rate, cumulated, begin = masses(
        base, lives.sex[rows[some]], log, since[some], np.full(len(some), float(lives.years)), first
    )
    out[some] = ages_of(mass[some], np.arange(len(some)), rate, cumulated, begin)
    return out


def _leave(stages: Floats, s: int, stop: Floats) -> Floats:
    """Return when a stage is left (K,): for the next one, or with the condition."""
    if s + 1 >= stages.shape[1]:
        return stop
    return np.fmin(np.fmin.reduce(stages[:, s + 1 :], axis=1), stop)
