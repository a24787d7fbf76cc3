"""Who people are: sex, age, place, group, schooling, income, habits, insurance, drawn person by person.

Every number is addressed by the person's number, so that person i is the same in every call. Attributes are drawn in
the order of `ORDER`; each is a share by age and sex, moved by odds of what was drawn before. The intercepts that keep
the published shares whatever the odds are solved once per locale (`tables`).

References
----------
Deming WE, Stephan FF. On a least squares adjustment of a sampled frequency table when the expected marginal totals are
known. Annals of Mathematical Statistics 11:427-444, 1940 (raking).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from ehrsatz.errors import InfeasibleError
from ehrsatz.seeds import addressed
from ehrsatz.simulator.ages import age_at
from ehrsatz.simulator.country import ORDER
from ehrsatz.simulator.locale import Locale
from ehrsatz.simulator.tables import Tables, attribute, groups_at, income_at, tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
YEAR = 365.25
DRAWS = ("sex", "age", "place", "race", "income", "began", "stopped", "adherence", "care", "blood", "language", *ORDER)
NEVER, FORMER, CURRENT = 0, 1, 2
INHERITED = ("group", "race", "region", "language")  # from the mother
SHARED = ("region", "income", "quintile")  # by husband and wife
OWN = ("group", "race", "language")
GROWN = 18.0  # years


def demographics(
    seed: int,
    locale: Locale,
    number: Ints,
    *,
    reference: float,
    window_years: float = 10.0,
    sex: Ints | None = None,
    age_range: tuple[Floats, Floats] | None = None,
    birth: Floats | None = None,
    mother: Ints | None = None,
    spouse: Ints | None = None,
) -> dict[str, NDArray[np.generic]]:
    """Return what people are, by their numbers.

    Those alive at some time of the record's window are drawn: the living of the reference date, and as many who died
    in the window as the life table says; with a window of 0 years, the living alone. What is pinned is drawn by the
    inverse of the same distribution from the same number, so that free people stay who they were.

    Parameters
    ----------
    seed
        Any integer.
    number
        Shape (N,), 0 or more, in any order.
    reference
        Reference date in days since 1970-01-01.
    window_years
        Length of the record's window before the reference date.
    sex
        Shape (N,), 0 female, 1 male, -1 free; None: all free.
    age_range
        Two arrays (N,): low <= age in years at the reference date < high; NaN: free.
    birth
        Shape (N,), day of birth since 1970-01-01, NaN free; goes before `age_range`.
    mother
        Shape (N,), number of the mother, -1 none: group, race, region and language are hers, and income under 18.
        She is looked for among `number`, as she is pinned there, else drawn free.
    spouse
        Shape (N,), number of the spouse, -1 none: a husband has the region and the income of his wife. Only spouses
        among `number` count.

    Returns
    -------
    Arrays (N,) by name. int64: sex, group, race, ethnicity (-1: not recorded in this country), region, education,
    housing, insurance, alcohol, activity, marital, smoking (positions in the tuples of `ehrsatz.clinical` and of the
    locale), quintile (1 to 5), blood and language (positions in the locale's tables). float64: birth (whole day),
    income (a year), adherence in [0, 1], care_seeking (mean 1), smoked_from and smoked_to (days, NaN: never, or still).

    Raises
    ------
    InfeasibleError
        When a pinned age range holds nobody, or a birth lies after the reference date.
    """
    number = np.asarray(number, np.int64)
    known = tables(locale)
    u = _draws(seed, number)
    gender, born = _sex_and_birth(locale, u, reference, window_years, sex, age_range)
    if birth is not None:
        pinned = np.isfinite(birth)
        if np.any(birth[pinned] > reference):
            raise InfeasibleError(
                "A birth lies on or before the reference date.",
                f"{int(np.sum(birth[pinned] > reference))} of the pinned births lie after it.",
                "Pin earlier births, or take a later reference date.",
            )
        born = np.where(pinned, np.floor(birth), born)
    age = np.maximum((reference - born) / YEAR, 0.0)
    out = {"sex": gender, "birth": born} | _society(known, u, age, gender, {})

    def again(rows: Ints, given: dict[str, NDArray[np.generic]]) -> None:
        few = {name: values[rows] for name, values in u.items()}
        for name, values in _society(known, few, age[rows], gender[rows], given).items():
            out[name][rows] = values

    if mother is not None:
        outside = np.flatnonzero((mother >= 0) & ~np.isin(mother, number))
        if len(outside):
            hers = demographics(seed, locale, mother[outside], reference=reference, window_years=window_years)
            again(outside, _inherited(hers, np.arange(len(outside)), age[outside]))
        for rows, parents in _generations(number, mother):
            again(rows, _inherited(out, parents, age[rows]))
    if spouse is not None:
        wife = _place(number, np.where(gender == 1, spouse, -1))
        rows = np.flatnonzero(wife >= 0)
        again(rows, {name: out[name][wife[rows]] for name in SHARED} | {name: out[name][rows] for name in OWN})
    return out | _smoked(known, u, age, born, out["smoking"], reference)


def smoking_at(smoked_from: Floats, smoked_to: Floats, time: Floats) -> Ints:
    """Return the position in `clinical.SMOKING` (R,) at moments (R,), from the moments of beginning and stopping."""
    begun = smoked_from <= time  # NaN compares false
    return np.where(begun, np.where(smoked_to <= time, FORMER, CURRENT), NEVER).astype(np.int64)


def _draws(seed: int, number: Ints) -> dict[str, Floats]:
    table = addressed(seed, "simulator", "demographics", subjects=number, width=len(DRAWS))
    return {name: table[:, i] for i, name in enumerate(DRAWS)}


def _sex_and_birth(
    locale: Locale,
    u: dict[str, Floats],
    reference: float,
    window_years: float,
    sex: Ints | None,
    age_range: tuple[Floats, Floats] | None,
) -> tuple[Ints, Floats]:
    density = age_at(locale, window_years)
    n = len(u["sex"])
    low = np.zeros(n)
    high = np.full(n, np.inf)
    if age_range is not None:
        low = np.where(np.isfinite(age_range[0]), age_range[0], low)
        high = np.where(np.isfinite(age_range[1]), age_range[1], high)
    below, upto = density.mass(low), density.mass(high)  # (2, N) people younger than each limit, by sex
    room = upto - below
    empty = room.sum(axis=0) <= 0
    if np.any(empty) or (sex is not None and np.any((sex >= 0) & (room[np.maximum(sex, 0), np.arange(n)] <= 0))):
        raise InfeasibleError(
            "A pinned age range holds people of the pinned sex.",
            "At least one range is empty, or lies beyond the oldest age of the life table.",
            "Widen it: low <= age < high, in years, from 0 on.",
        )
    male = (u["sex"] >= room[0] / room.sum(axis=0)).astype(np.int64)
    if sex is not None:
        male = np.where(np.asarray(sex) >= 0, sex, male).astype(np.int64)
    rows = np.arange(n)
    age = density.age(male, below[male, rows] + u["age"] * room[male, rows])
    latest = np.floor(reference - low * YEAR)  # days are whole, and the range is kept to the day
    earliest = np.where(np.isfinite(high), np.floor(reference - high * YEAR) + 1, -np.inf)
    return male, np.clip(np.floor(reference - age * YEAR), earliest, latest)


def _society(
    known: Tables, u: dict[str, Floats], age: Floats, sex: Ints, given: dict[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.generic]]:
    """Return what people are, but for what is given; NaN income: free."""
    people: dict[str, Ints] = {"sex": sex}
    people["region"], people["group"] = groups_at(known, age, u["place"])
    for name in ("region", "group"):
        if name in given:
            people[name] = np.asarray(given[name], np.int64)
    out: dict[str, NDArray[np.generic]] = {"region": people["region"], "group": people["group"]}
    for name in ("race", "language"):
        out[name] = given[name] if name in given else known.pick(name, people["group"], u[name])
    out["ethnicity"] = known.ethnicity[people["group"]]
    people["education"] = attribute(known, "education", people, age, u["education"])
    income, people["quintile"] = income_at(known, people, age, u["income"])
    if "income" in given:
        free = np.isnan(given["income"])
        income = np.where(free, income, given["income"])
        people["quintile"] = np.where(free, people["quintile"], np.asarray(given["quintile"], np.int64) - 1)
    out["income"] = income
    for name in ORDER[1:]:
        people[name] = attribute(known, name, people, age, u[name])
    out |= {name: people[name] for name in ORDER}
    out["quintile"] = people["quintile"] + 1
    out["blood"] = known.pick("blood", people["group"], u["blood"])
    out["adherence"] = betaincinv(*known.adherence, u["adherence"])
    out["care_seeking"] = known.care(people) * np.exp(known.care_spread * ndtri(_inside(u["care"])))
    return out


def _inherited(parents: dict[str, NDArray[np.generic]], place: Ints, age: Floats) -> dict[str, NDArray[np.generic]]:
    """Return what children (K,) of these ages have from their mothers, at these places of `parents`."""
    given = {name: parents[name][place] for name in (*INHERITED, "quintile")}
    given["income"] = np.where(age < GROWN, np.asarray(parents["income"][place], np.float64), np.nan)
    return given


def _place(number: Ints, wanted: Ints) -> Ints:
    """Return where the wanted numbers (N,) stand in `number`; -1: nowhere."""
    order = np.argsort(number, kind="stable")
    place = np.minimum(np.searchsorted(number, wanted, sorter=order), len(number) - 1)
    return np.where((wanted >= 0) & (number[order[place]] == wanted), order[place], -1).astype(np.int64)


def _generations(number: Ints, mother: Ints) -> list[tuple[Ints, Ints]]:
    """Return (children's rows, their mothers' rows) by generation, mothers before their children."""
    parent = _place(number, mother)
    waiting = parent >= 0
    out = []
    while np.any(waiting):
        rows = np.flatnonzero(waiting & ~waiting[np.maximum(parent, 0)])
        if not len(rows):
            raise ValueError("expected no person among her own ancestors")
        out.append((rows, parent[rows]))
        waiting[rows] = False
    return out


def _smoked(
    known: Tables, u: dict[str, Floats], age: Floats, born: Floats, smoking: NDArray[np.generic], reference: float
) -> dict[str, NDArray[np.generic]]:
    # the age of beginning is that of all smokers, given that it lies before the person's age
    reached = np.interp(age, known.began[1], known.began[0])
    start = np.interp(u["began"] * reached, *known.began)
    start = np.minimum(start, age * 0.98)
    share = np.interp(u["stopped"], *known.stopped)
    stop = start + share * (age - start)
    ever = smoking != NEVER
    begun = np.where(ever, born + start * YEAR, np.nan)
    ended = np.where(smoking == FORMER, born + stop * YEAR, np.nan)
    return {"smoked_from": np.minimum(begun, reference), "smoked_to": np.minimum(ended, reference)}


def _inside(u: Floats) -> Floats:
    return np.clip(u, 2.0**-40, 1 - 2.0**-40)
