"""What mother and child must agree on, though they may be written in different shards: minute and mode of a birth.

Both are addressed by the numbers of child and mother, so that either side knows them without the other.

References
----------
Osterman MJK et al., Births: final data for 2022, Natl Vital Stat Rep 2024;73(2): caesarean deliveries 32.1 %.
World Health Organization fetal growth charts, medians of estimated fetal weight by sex: Kiserud T et al., PLoS Med
2017;14:e1002220, doi:10.1371/journal.pmed.1002220, table of percentiles, weeks 22 to 40.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from ehrsatz.seeds import addressed
from ehrsatz.simulator.families import gestation
from ehrsatz.simulator.history import Flags, Floats, History, Ints

CAESAREAN = 0.321
MOTHERS = 0.75  # of the variance of the mode lies between mothers; assumed: six of seven repeat a caesarean
TERM = 39.0  # weeks; mean of term births, at which charts of birth weight are met
MEDIAN = {  # grams by week from 22 on
    "female": (464, 551, 649, 758, 880, 1014, 1160, 1319, 1489, 1670, 1861, 2060, 2268, 2481, 2698, 2917, 3136, 3354,
               3567),
    "male": (487, 578, 681, 795, 923, 1063, 1215, 1379, 1555, 1741, 1937, 2140, 2350, 2565, 2783, 3001, 3218, 3432,
             3639),
}  # fmt: skip
CAUGHT_UP = 0.35  # years in which half of what is lacking is made up; assumed: most reach their peers by two years


def moment(history: History, child: Ints, day: Floats) -> Floats:
    """Return the moment of birth (R,), a whole minute of the day, of children with these numbers."""
    u = addressed(history.seed, "simulator", "minute of birth", subjects=child)[:, 0]
    return day + np.floor(u * 1439) / 1440


def caesarean(history: History, mother: Ints, child: Ints) -> Flags:
    """Return whether children (R,) are born by caesarean section; mother -1: outside the cohort."""
    own = addressed(history.seed, "simulator", "mode of birth", subjects=child, width=2)
    shared = addressed(history.seed, "simulator", "mode of mother", subjects=np.maximum(mother, 0))[:, 0]
    shared = np.where(mother >= 0, shared, own[:, 1])
    z = np.sqrt(MOTHERS) * _normal(shared) + np.sqrt(1 - MOTHERS) * _normal(own[:, 0])
    return z < ndtri(CAESAREAN)


def weeks(history: History, child: Ints) -> Floats:
    """Return weeks of gestation (R,) at the birth of children with these numbers."""
    return gestation(history.seed, child) / 7


def lightness(sex: Ints, week: Floats, age: Floats) -> Floats:
    """Return what share of a term child's weight children (R,) have by weeks of gestation; with age it nears 1.

    Parameters
    ----------
    sex
        (R,) 0 female, 1 male.
    week
        (R,) of gestation at birth.
    age
        (R,) years.
    """
    share = np.empty(len(sex))
    for k, grams in enumerate((MEDIAN["female"], MEDIAN["male"])):
        grid = np.arange(22, 22 + len(grams), dtype=np.float64)
        here = sex == k
        share[here] = np.interp(week[here], grid, grams) / np.interp(TERM, grid, grams)
    lacking = np.log(share) * np.exp2(-np.maximum(age, 0) / CAUGHT_UP)
    return np.exp(lacking)


def _normal(u: Floats) -> Floats:
    out: Floats = ndtri(np.clip(u, 1e-12, 1 - 1e-12))
    return out
