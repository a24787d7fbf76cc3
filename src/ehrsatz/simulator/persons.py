"""Who the people of a cohort are: the country's demographics, what quotas pin, and their families."""

from __future__ import annotations

import numpy as np

from ehrsatz.clinical import MARITAL
from ehrsatz.simulator.cohort import Cohort
from ehrsatz.simulator.families import blocks, deliveries, link
from ehrsatz.simulator.history import YEAR, Floats, Ints, People
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.population import demographics
from ehrsatz.simulator.pregnancy import PREGNANCY

ATTRIBUTES = ("race", "ethnicity", "region", "education", "housing", "insurance", "alcohol", "activity", "marital")


def people(known: Known, cohort: Cohort, number: Ints) -> People:
    """Return the people (N,) of these numbers, in rising order.

    The blocks that they belong to are drawn whole, so that their families are the same in every shard.

    Parameters
    ----------
    known
        All knowledge.
    cohort
        Who must be what.
    number
        (N,) rising.
    """
    everyone = blocks(number)
    low, high = cohort.ages(everyone)
    sexes = cohort.sexes(everyone)
    pins = {"sex": sexes, "age_range": (low, high), "reference": cohort.reference, "window_years": cohort.history_years}
    drawn = demographics(cohort.seed, known.locale, everyone, **pins)
    families = link(
        cohort.seed,
        everyone,
        drawn["birth"].astype(np.float64),
        drawn["sex"],
        drawn["group"],
        fertility(known),
        cohort.reference,
        free=np.ones(len(everyone), bool),
        mothers=~cohort.wants(everyone, PREGNANCY),
    )
    drawn = demographics(cohort.seed, known.locale, everyone, mother=families.mother, spouse=families.spouse, **pins)
    here = np.isin(everyone, number)
    found = {name: values[here] for name, values in drawn.items()}
    birth = found["birth"].astype(np.float64)
    window = np.maximum(birth, cohort.reference - cohort.history_years * YEAR)
    start = np.where(cohort.group(number) >= 0, np.maximum(birth, cohort.index(number)), window)
    attributes = {name: found[name].astype(np.int64) for name in ATTRIBUTES}
    attributes["income"] = found["quintile"].astype(np.int64) - 1
    spouse = families.spouse[here]
    attributes["marital"] = np.where(spouse >= 0, MARITAL.index("married"), attributes["marital"])
    n = len(number)
    seeking = found["care_seeking"]
    if known.seeking is not None:  # a calibration to how often people are seen
        age = np.clip((cohort.reference - birth) / YEAR, 0, known.seeking.shape[1] - 1).astype(np.int64)
        seeking = seeking * known.seeking[found["sex"].astype(np.int64), age]
    return People(
        number=number,
        birth=birth,
        sex=found["sex"].astype(np.int64),
        start=start,
        end=np.full(n, cohort.reference),
        death=np.full(n, np.nan),
        cause=np.full(n, -1, np.int64),
        attributes=attributes,
        income=found["income"],
        adherence=found["adherence"],
        care_seeking=seeking,
        smoked_from=found["smoked_from"],
        smoked_to=found["smoked_to"],
        mother=_in(families.mother[here], cohort.n),
        father=_in(families.father[here], cohort.n),
        spouse=_in(spouse, cohort.n),
        deliveries=deliveries(cohort.seed, everyone, families, drawn["birth"].astype(np.float64), number),
        record_from=np.maximum(birth, cohort.reference - cohort.record_years * YEAR),
        other={name: found[name] for name in ("group", "blood", "language", "smoking", "quintile") if name in found},
    )


def fertility(known: Known) -> Floats:
    """Return births a year by the mother's whole age (A,)."""
    births = known.locale.life.births
    age = np.arange(60) + 0.5
    band = np.searchsorted(np.array(births.ages), age, side="right") - 1
    rates = np.r_[np.array(births.per_1000) / 1000, 0.0]
    return np.where(band < 0, 0.0, rates[np.minimum(band, len(rates) - 1)])


def _in(number: Ints, n: int) -> Ints:
    """Return numbers of relatives, -1 for those beyond the cohort."""
    return np.where(number < n, number, -1)
