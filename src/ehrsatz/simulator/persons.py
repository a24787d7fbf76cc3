"""Who the people of a cohort are: the country's demographics, what quotas pin, and their families."""

from __future__ import annotations

from functools import partial

import numpy as np

from ehrsatz.clinical import MARITAL
from ehrsatz.simulator.cohort import Cohort
from ehrsatz.simulator.families import blocks, deliveries, link
from ehrsatz.simulator.history import YEAR, Floats, Ints, People
from ehrsatz.simulator.knowledge import Known
from ehrsatz.simulator.population import demographics
from ehrsatz.simulator.pregnancy import PREGNANCY

BEFORE = 2 * YEAR  # of routine care that is written down before an index date in the past: its drugs are in the record
OTHER = ("group", "blood", "language", "smoking", "quintile")
REAL = ("birth", "income", "adherence", "care_seeking", "smoked_from", "smoked_to")
ATTRIBUTES = ("race", "ethnicity", "region", "education", "housing", "insurance", "alcohol", "activity", "marital")
WHOLE = ("sex", *ATTRIBUTES, *OTHER)


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
    draw = partial(
        demographics,
        cohort.seed,
        known.locale,
        everyone,
        sex=sexes,
        age_range=(low, high),
        reference=cohort.reference,
        window_years=cohort.history_years,
    )
    first = draw()
    families = link(
        cohort.seed,
        everyone,
        first["birth"].astype(np.float64),
        first["sex"].astype(np.int64),
        first["group"].astype(np.int64),
        fertility(known),
        cohort.reference,
        free=np.ones(len(everyone), bool),
        mothers=~cohort.wants(everyone, PREGNANCY),
    )
    drawn = draw(mother=families.mother, spouse=families.spouse)
    here = np.isin(everyone, number)
    whole = {name: drawn[name][here].astype(np.int64) for name in WHOLE if name in drawn}
    real = {name: drawn[name][here].astype(np.float64) for name in REAL}
    birth = real["birth"]
    window = np.maximum(birth, cohort.reference - cohort.history_years * YEAR)
    bound = (cohort.group(number) >= 0) | (cohort.enriched(number) >= 0)
    start = np.where(bound, np.maximum(birth, cohort.index(number)), window)
    index, latest = cohort.index(number), cohort.reference - cohort.record_years * YEAR
    written = np.where(index < cohort.reference, np.minimum(latest, index - BEFORE), latest)
    attributes = {name: whole[name] for name in ATTRIBUTES}
    attributes["income"] = whole["quintile"] - 1
    spouse = families.spouse[here]
    attributes["marital"] = np.where(spouse >= 0, MARITAL.index("married"), attributes["marital"])
    n = len(number)
    seeking = real["care_seeking"]
    if known.seeking is not None:  # a calibration to how often people are seen
        age = np.clip((cohort.reference - birth) / YEAR, 0, known.seeking.shape[1] - 1).astype(np.int64)
        seeking = seeking * known.seeking[whole["sex"], age]
    return People(
        number=number,
        birth=birth,
        sex=whole["sex"],
        start=start,
        end=np.full(n, cohort.reference),
        death=np.full(n, np.nan),
        cause=np.full(n, -1, np.int64),
        attributes=attributes,
        income=real["income"],
        adherence=real["adherence"],
        care_seeking=seeking,
        smoked_from=real["smoked_from"],
        smoked_to=real["smoked_to"],
        mother=_in(families.mother[here], cohort.n),
        father=_in(families.father[here], cohort.n),
        spouse=_in(spouse, cohort.n),
        deliveries=deliveries(cohort.seed, everyone, families, drawn["birth"].astype(np.float64), number),
        record_from=np.maximum(birth, written),
        other={name: whole[name] for name in OTHER if name in whole},
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
