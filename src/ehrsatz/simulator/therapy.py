"""Drugs: who is put on what and when, stepping up, stopping, and what the drugs do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ehrsatz.simulator.hazards import exponential
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.lives import Attack, Course, Lives, Spell
from ehrsatz.simulator.module import Treatment

UNCONTROLLED = 2.0  # how much more often therapy is stepped up while the level is beyond its goal; assumed
COURSE = 365.25  # days a year


def treat(lives: Lives, spell: Spell) -> None:
    """Draw the drug courses of a condition, in the order of its module, and note their effects."""
    condition = spell.condition
    made: dict[str, Course] = {}
    for treatment in condition.treatments:
        if treatment.after is None:
            who = np.arange(len(spell.rows))
            begin = spell.diagnosed
            if treatment.stage is not None:
                place = [stage.id for stage in condition.stages].index(treatment.stage)
                reached = np.fmin.reduce(spell.stage_from[:, place:], axis=1)
                begin = np.where(np.isnan(reached), np.inf, np.maximum(begin, reached))
            rows, stop = spell.rows, spell.stop
            wait = treatment.delay_years / np.log(2) * exponential(_draw(lives, condition.id, treatment, rows, 1))
            begin = begin + wait
        else:
            former = made[treatment.after]
            rows, who = former.rows, np.arange(len(former.rows))
            limit = np.full(lives.n, np.inf)
            limit[spell.rows] = spell.stop
            stop = limit[rows]
            begin = former.start + exponential(_draw(lives, condition.id, treatment, rows, 1)) / _rate(
                lives, treatment, rows, former.start
            )
            begin = np.where(begin < former.stop, begin, np.inf)
            kept = lives.taking.get((condition.id, treatment.after))
            if treatment.instead and kept is not None:  # what must still be taken is not replaced before
                begin = np.where(begin <= np.nan_to_num(kept[rows], nan=-1.0), np.inf, begin)
        if treatment.until_stage is not None:
            place = [stage.id for stage in condition.stages].index(treatment.until_stage)
            gone = np.full(lives.n, np.inf)
            gone[spell.rows] = np.fmin.reduce(spell.stage_from[:, place:], axis=1)
            begin = np.where(begin < gone[rows], begin, np.inf)
        chosen = _draw(lives, condition.id, treatment, rows, 0) < treatment.share
        chosen &= (begin < np.minimum(stop, lives.span[rows])) & _allowed(lives, treatment, rows, begin)
        must = lives.taking.get((condition.id, treatment.id))
        if must is not None:
            since = spell.diagnosed if treatment.after is None else made[treatment.after].start
            held = ~np.isnan(must[rows])
            begin = np.where(held & ~(begin < must[rows]), since + 0.5 * (must[rows] - since), begin)
            chosen |= held
        who = who[chosen]
        course = _course(lives, treatment, condition.icd10, condition.id, rows[who], begin[who], stop[who], None)
        if must is not None:
            early = course.stop <= must[course.rows]
            course.stop[early], course.stopped[early] = stop[who][early], -1
        if treatment.after is not None and treatment.instead:
            former = made[treatment.after]
            ended = former.stop[who] > course.start
            former.stop[who] = np.where(ended, course.start, former.stop[who])
            former.stopped[who] = np.where(ended, -1, former.stopped[who])
        made[treatment.id] = course
        lives.courses.append(course)
    for course in made.values():
        lives.influence(course.treatment.effects, course.rows, course.start, course.stop, lives.adherence[course.rows])


def treat_attacks(lives: Lives, attack: Attack) -> None:
    """Draw the short courses of an episode's drugs."""
    episode = attack.episode
    for treatment in episode.treatments:
        seen = attack.seen < np.inf
        u = lives.draw(episode.id, treatment.id, attack.rows, attack.ordinal)[:, 0]
        begin = np.where(seen, attack.seen, np.inf)
        chosen = seen & (u < treatment.share) & (begin < lives.span[attack.rows])
        chosen &= _allowed(lives, treatment, attack.rows, begin)
        who = np.flatnonzero(chosen)
        rows = attack.rows[who]
        stop = np.full(len(who), np.inf)
        course = _course(lives, treatment, episode.icd10, episode.id, rows, begin[who], stop, who)
        lives.courses.append(course)


def _course(
    lives: Lives,
    treatment: Treatment,
    reason: str,
    source: str,
    rows: Ints,
    begin: Floats,
    stop: Floats,
    attack: Ints | None,
) -> Course:
    end = np.minimum(stop, _barred(lives, treatment, rows, begin))
    stopped = np.full(len(rows), -1, np.int64)
    if treatment.days is not None:
        end = np.minimum(end, begin + treatment.days / COURSE)
    if treatment.stop_per_year:
        given_up = begin + exponential(_draw(lives, source, treatment, rows, 2, attack)) / treatment.stop_per_year
        early = given_up < end
        end = np.where(early, given_up, end)
        if treatment.stop_reasons:
            bounds = np.cumsum(list(treatment.stop_reasons.values()))
            u = _draw(lives, source, treatment, rows, 3, attack)
            reason_at = np.minimum(np.searchsorted(bounds, u, side="right"), len(bounds) - 1)
            stopped = np.where(early, reason_at, -1)
    place = np.full(len(rows), -1, np.int64) if attack is None else attack
    return Course(treatment, reason, source, rows, begin, end, stopped, place)


def _draw(
    lives: Lives, source: str, treatment: Treatment, rows: Ints, column: int, position: Ints | None = None
) -> Floats:
    name = "drug" if position is None else "short drug"
    at = None if position is None else _within_person(rows)
    return lives.draw(f"{name} {source}", treatment.id, rows, at, width=column + 1)[:, column]


def _within_person(rows: Ints) -> Ints:
    first = np.r_[True, rows[1:] != rows[:-1]] if len(rows) else np.zeros(0, bool)
    position = np.arange(len(rows), dtype=np.int64)
    return position - np.maximum.accumulate(np.where(first, position, 0)) if len(rows) else position


def _rate(lives: Lives, treatment: Treatment, rows: Ints, since: Floats) -> Floats:
    """Return the yearly rate (K,) of stepping up."""
    rate = np.full(len(rows), max(treatment.per_year, 1e-9))
    if treatment.above is not None:
        process, level = treatment.above
        year = np.clip(np.floor(np.where(np.isfinite(since), since, 0)), 0, lives.years - 1).astype(np.int64)
        rate = np.where(lives.treated(process)[rows, year] > level, rate * UNCONTROLLED, rate)
    return rate


def _allowed(lives: Lives, treatment: Treatment, rows: Ints, begin: Floats) -> np.ndarray:
    out = np.ones(len(rows), bool)
    if treatment.sex is not None:
        out &= lives.sex[rows] == ("female", "male").index(treatment.sex)
    if treatment.ages is not None:
        out &= (begin >= treatment.ages[0]) & (begin < treatment.ages[1])
    for name in treatment.avoid:
        out &= ~lives.active(name, rows, begin)
        attack = lives.attacks.get(name)
        if attack is not None:
            out &= ~during(attack, rows, begin)
    return out


def _barred(lives: Lives, treatment: Treatment, rows: Ints, begin: Floats) -> Floats:
    """Return the age (K,) at which something comes that rules the drug out, inf where nothing does."""
    out = np.full(len(rows), np.inf)
    for name in treatment.avoid:
        attack = lives.attacks.get(name)
        if attack is not None and len(attack.rows):
            key = attack.rows * 256.0 + attack.onset
            at = np.searchsorted(key, rows * 256.0 + begin, side="right")
            after = np.minimum(at, len(key) - 1)
            found = (at < len(key)) & (attack.rows[after] == rows)
            out = np.where(found, np.minimum(out, attack.onset[after]), out)
        elif name in lives.stops:
            start = lives.starts[name][rows]
            out = np.where(start > begin, np.minimum(out, start), out)
    return out


def revise(lives: Lives, groups: Mapping[str, str]) -> None:
    """End what conditions that were drawn later rule out: drugs with their effects, conditions that become others.

    A drug that would have begun after what rules it out is not given at all: its course has no length. Of drugs of one
    group (RxNorm code -> group) nobody takes two at a time.
    """
    for spell in lives.spells.values():
        for name in spell.condition.ends_with:
            start = lives.starts.get(name)
            if start is None:
                continue
            ends = np.maximum(start[spell.rows], spell.onset)  # where the other came first, it never was
            later = ends < spell.stop
            spell.stop[later] = ends[later]
            lives.stops[spell.condition.id][spell.rows[later]] = ends[later]
    for course in lives.courses:
        if not course.treatment.avoid or not len(course.rows):
            continue
        must = lives.taking.get((course.source, course.treatment.id))
        held = np.zeros(len(course.rows), bool) if must is None else ~np.isnan(must[course.rows])
        barred = ~_allowed(lives, course.treatment, course.rows, course.start) & ~held
        end = np.where(barred, course.start, _barred(lives, course.treatment, course.rows, course.start))
        early = (end < course.stop) & ~(held & (end <= np.where(held, 0 if must is None else must[course.rows], 0)))
        course.stop[early] = end[early]
        course.stopped[early] = -1
    for name in sorted(set(groups.values())):
        _one_of(lives, [one for one in lives.courses if groups.get(one.treatment.rxnorm) == name])
    lives.forget()


def _one_of(lives: Lives, courses: list[Course]) -> None:
    """Let nobody take two drugs of a group: the later one replaces the earlier, the same one is not begun again."""
    if len(courses) < 2 and not any((np.diff(one.rows) == 0).any() for one in courses):
        return
    which = np.concatenate([np.full(len(one.rows), k) for k, one in enumerate(courses)])
    at = np.concatenate([np.arange(len(one.rows)) for one in courses])
    rows = np.concatenate([one.rows for one in courses])
    start = np.concatenate([one.start for one in courses])
    stop = np.concatenate([one.stop for one in courses])
    held = np.concatenate([_must(lives, one) for one in courses])
    code = np.concatenate([np.full(len(one.rows), int(one.treatment.rxnorm)) for one in courses])
    keep = np.flatnonzero(stop > start)
    order = keep[np.lexsort((start[keep], rows[keep]))]
    changed = np.zeros(len(rows), bool)
    for _ in range(4):  # what is left out brings others next to each other
        order = order[stop[order] > start[order]]
        first, then = order[:-1], order[1:]
        both = (rows[first] == rows[then]) & (stop[first] > start[then])
        if not both.any():
            break
        first, then = first[both], then[both]
        again = ((code[first] == code[then]) & (stop[then] <= stop[first])) | (held[first] > start[then])
        drop, end = then[again], first[~again]
        stop[drop] = start[drop]
        stop[end] = start[then[~again]]
        changed[drop] = changed[end] = True
    for k, one in enumerate(courses):
        mine = np.flatnonzero((which == k) & changed)
        one.stop[at[mine]] = stop[mine]
        one.stopped[at[mine]] = -1


def _must(lives: Lives, course: Course) -> Floats:
    """Return the age (K,) until which a quota wants a course to go on, -inf: free."""
    must = lives.taking.get((course.source, course.treatment.id))
    if must is None:
        return np.full(len(course.rows), -np.inf)
    wanted = must[course.rows]
    return np.where(np.isnan(wanted), -np.inf, wanted)


def during(attack: Attack, rows: Ints, age: Floats, before: float = 0.0) -> np.ndarray:
    """Return whether people (K,) are in an episode at an age (K,), or within `before` years of its beginning."""
    if not len(attack.rows):
        return np.zeros(len(rows), bool)
    key = attack.rows + np.clip(attack.onset - before, 0, 199) / 200  # sorted by person, then age
    at = np.searchsorted(key, rows + np.clip(np.where(np.isfinite(age), age, 199), 0, 199) / 200, side="right") - 1
    at = np.maximum(at, 0)
    return (attack.rows[at] == rows) & (attack.onset[at] - before <= age) & (age < attack.stop[at])
