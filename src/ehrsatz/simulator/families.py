"""Families: who of a block of people is whose mother, father, spouse and child.

People are numbered in blocks of 64; families form within a block, so that whoever is drawn, in whatever shard or
cohort, has the same family. A child is given to a woman of the block whose age at its birth makes her a likely mother
(fertility by age), then a father near her in age; both keep at most one spouse. Those for whom the block has nobody
have parents outside the cohort.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ehrsatz.seeds import addressed
from ehrsatz.simulator.history import YEAR, Deliveries, Floats, Ints

BLOCK = 64  # people
PRESENT = 0.85  # share of people whose mother may be in the cohort; assumed: the rest moved, or she died
LINKED_UNTIL = 62.0  # years: whose mother is looked for
YOUNGEST = 15.0  # years at a birth: below, 2 in 10,000 births (NVSS 2022); they are left out
SPACING = 330.0  # days between two births of one mother at the least
SAME_RACE = 12.0  # how much likelier a mother of the child's own group is; assumed
PRETERM = np.array([24, 28, 32, 34, 37, 39, 41, 42.5])  # weeks, edges of the bands below
PRETERM_SHARES = np.array([0.0070, 0.0083, 0.0120, 0.0767, 0.2870, 0.5400, 0.0690])
# Osterman MJK et al., Births: final data for 2022, Natl Vital Stat Rep 2024;73(2): gestational age, US


@dataclass(frozen=True)
class Families:
    """Links of N people; numbers in the cohort, -1: nobody there."""

    mother: Ints  # (N,)
    father: Ints  # (N,)
    spouse: Ints  # (N,)


def blocks(number: Ints) -> Ints:
    """Return the numbers of everybody in the blocks of people (N,), sorted."""
    first = np.unique(number // BLOCK)
    return (first[:, None] * BLOCK + np.arange(BLOCK)[None, :]).ravel()


def link(
    seed: int,
    number: Ints,
    birth: Floats,
    sex: Ints,
    group: Ints,
    fertility: Floats,
    reference: float,
    *,
    free: np.ndarray,
    mothers: np.ndarray | None = None,
) -> Families:
    """Return the families of whole blocks.

    Parameters
    ----------
    seed
        Of the cohort.
    number
        (64 B,) whole blocks, sorted.
    birth, sex, group
        (64 B,) day of birth, 0 female or 1 male, and census group.
    fertility
        (A,) births a year by the mother's whole age.
    reference
        Day of the reference date.
    free
        (64 B,) whether a person may be a child of someone in the block.
    mothers
        (64 B,) whether a woman may be a mother in the block; all where None.
    """
    b = len(number) // BLOCK
    who = number.reshape(b, BLOCK)
    born, female, kind = birth.reshape(b, BLOCK), sex.reshape(b, BLOCK) == 0, group.reshape(b, BLOCK)
    u = addressed(seed, "simulator", "family", subjects=number, width=4).reshape(b, BLOCK, 4)
    gap = (born[:, :, None] - born[:, None, :]) / YEAR  # (B, child, mother): her age at the birth
    weight = fertility[np.clip(gap, 0, len(fertility) - 1).astype(np.int64)] * (gap >= YOUNGEST)
    may = female if mothers is None else female & mothers.reshape(b, BLOCK)
    weight *= may[:, None, :] * np.where(kind[:, :, None] == kind[:, None, :], SAME_RACE, 1.0)
    able = (u[:, :, 0] < PRESENT) & free.reshape(b, BLOCK) & ((reference - born) / YEAR < LINKED_UNTIL)
    mother = np.where(able, _choose(weight, u[:, :, 1]), -1)
    mother = _spaced(mother, born)
    spouse = _couples(born, female, kind, mother, u[:, :, 2])
    father = np.where(mother >= 0, np.take_along_axis(spouse, np.maximum(mother, 0), axis=1), -1)
    father_born = np.take_along_axis(born, np.maximum(father, 0), axis=1)
    father = np.where((father >= 0) & ((born - father_born) / YEAR >= 16), father, -1)

    def numbers(place: Ints) -> Ints:
        return np.where(place >= 0, np.take_along_axis(who, np.maximum(place, 0), axis=1), -1).ravel()

    return Families(numbers(mother), numbers(father), numbers(spouse))


def gestation(seed: int, number: Ints) -> Floats:
    """Return the length (N,) of the pregnancy that brought people, in days."""
    u = addressed(seed, "simulator", "gestation", subjects=number)[:, 0]
    edges = np.r_[0, np.cumsum(PRETERM_SHARES) / PRETERM_SHARES.sum()]
    return np.floor(np.interp(u, edges, PRETERM) * 7)


def deliveries(seed: int, everyone: Ints, families: Families, birth: Floats, number: Ints) -> Deliveries:
    """Return the deliveries of people (N,) whose children are among everybody of their blocks."""
    place = {int(one): row for row, one in enumerate(number.tolist())}
    children = np.flatnonzero(families.mother >= 0)
    row = np.array([place.get(int(one), -1) for one in families.mother[children].tolist()], np.int64)
    children, row = children[row >= 0], row[row >= 0]
    order = np.lexsort((birth[children], row))
    children, row = children[order], row[order]
    return Deliveries(row, birth[children], everyone[children], gestation(seed, everyone[children]))


def _choose(weight: Floats, u: Floats) -> Ints:
    """Choose a position on the last axis (B, 64) with probability in proportion to weights; -1 where all are 0."""
    bounds = np.cumsum(weight, axis=2)
    chosen = (bounds <= u[:, :, None] * bounds[:, :, -1:]).sum(axis=2)
    return np.where(bounds[:, :, -1] > 0, np.minimum(chosen, BLOCK - 1), -1)


def _spaced(mother: Ints, born: Floats) -> Ints:
    """Take from a mother the children that follow another of hers too closely."""
    b = len(mother)
    order = np.lexsort((born, mother, np.broadcast_to(np.arange(b)[:, None], mother.shape)), axis=1)
    sorted_mother = np.take_along_axis(mother, order, axis=1)
    sorted_born = np.take_along_axis(born, order, axis=1)
    last = np.full(b, -np.inf)
    out = sorted_mother.copy()
    for k in range(1, BLOCK):
        same = sorted_mother[:, k] == sorted_mother[:, k - 1]
        last = np.where(same, np.where(out[:, k - 1] >= 0, sorted_born[:, k - 1], last), -np.inf)
        out[:, k] = np.where(same & (sorted_born[:, k] - last < SPACING), -1, sorted_mother[:, k])
    result = np.empty_like(mother)
    np.put_along_axis(result, order, out, axis=1)
    return result


def _couples(born: Floats, female: np.ndarray, kind: Ints, mother: Ints, u: Floats) -> Ints:
    """Give each mother a man near her in age, each man to one mother; position of the spouse (B, 64), -1: none."""
    b = len(born)
    is_mother = np.zeros((b, BLOCK), bool)
    row, child = np.nonzero(mother >= 0)
    is_mother[row, mother[row, child]] = True
    gap = (born[:, :, None] - born[:, None, :]) / YEAR - 2.3  # husbands are older: CPS 2022, mean 2.2 years
    weight = np.exp(-0.5 * (gap / 4.0) ** 2) * (np.abs(gap) < 12) * ~female[:, None, :]
    weight *= np.where(kind[:, :, None] == kind[:, None, :], SAME_RACE, 1.0)
    wish = np.where(is_mother, _choose(weight, u), -1)
    spouse = np.full((b, BLOCK), -1, np.int64)
    everyone = np.arange(b)
    for k in range(BLOCK):  # in the order of numbers: the first come has him
        man = wish[:, k]
        at = np.maximum(man, 0)
        taken = (man >= 0) & (spouse[everyone, at] < 0)
        spouse[everyone[taken], k] = man[taken]
        spouse[everyone[taken], man[taken]] = k
    return spouse
