"""Demographics: the pyramid and the published shares come out, pins are kept, and person i is always person i."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ehrsatz import clinical
from ehrsatz.errors import InfeasibleError
from ehrsatz.simulator.ages import age_at, age_density, survival
from ehrsatz.simulator.locale import locale_of
from ehrsatz.simulator.population import YEAR, demographics, smoking_at

REFERENCE = 20_453.0  # 2025-12-31
N = 200_000
CURRENT = clinical.SMOKING.index("current")


@pytest.fixture(scope="module")
def us() -> dict[str, np.ndarray]:
    """200,000 living people of the United States."""
    return demographics(7, locale_of("us"), np.arange(N), reference=REFERENCE, window_years=0.0)


@pytest.fixture(scope="module")
def age(us: dict[str, np.ndarray]) -> np.ndarray:
    return (REFERENCE - us["birth"]) / YEAR


def within(people: dict[str, np.ndarray], who: np.ndarray, name: str, level: int) -> float:
    return float((people[name][who] == level).mean())


def test_pyramid_by_ten_years(age: np.ndarray) -> None:
    expected = age_density(locale_of("us"), 0.0).sum(axis=0)
    for low in range(0, 80, 10):
        share = expected[low : low + 10].sum() / expected.sum()
        assert ((age >= low) & (age < low + 10)).mean() == pytest.approx(share, rel=0.02), low


def test_pyramid_is_the_census() -> None:
    us = locale_of("us")
    density = age_density(us, 0.0)
    assert density.sum() == pytest.approx(340_111, rel=1e-4)  # Vintage 2024, thousands
    assert density[0, 30] == pytest.approx(us.life.pyramid.female[30], rel=1e-6)
    assert density[1, 85:].sum() == pytest.approx(sum(us.life.pyramid.male[85:]), rel=1e-3)


def test_window_adds_exactly_the_dead() -> None:
    us = locale_of("us")
    alive = survival(us)[0]
    now, window = age_density(us, 0.0)[0], age_density(us, 10.0)[0]
    assert window[80] / now[80] == pytest.approx(np.mean(alive[[70, 71]]) / np.mean(alive[[80, 81]]), rel=0.02)
    assert window[5] / now[5] == pytest.approx(1 / alive[5], rel=1e-3)
    assert 1.05 < window.sum() / now.sum() < 1.15  # about a tenth of a population dies in ten years
    assert np.all(np.diff(age_at(us, 10.0).total) >= 0)


def test_attributes_have_their_published_shares(us: dict[str, np.ndarray], age: np.ndarray) -> None:
    adult = age >= 18
    assert within(us, adult, "smoking", CURRENT) == pytest.approx(0.115, abs=0.005)  # MMWR 72:475, 2023
    assert within(us, adult & (us["sex"] == 1), "smoking", CURRENT) == pytest.approx(0.131, abs=0.006)
    assert within(us, adult & (us["sex"] == 0), "smoking", CURRENT) == pytest.approx(0.101, abs=0.006)
    assert within(us, age >= 25, "education", 3) == pytest.approx(0.38, abs=0.015)  # CPS 2022
    working = (age >= 18) & (age < 65)
    none, medicare = clinical.INSURANCE.index("none"), clinical.INSURANCE.index("medicare")
    assert within(us, working, "insurance", none) == pytest.approx(0.109, abs=0.015)  # NHIS 2023
    assert within(us, age >= 65, "insurance", medicare) > 0.75
    assert np.median(us["income"]) == pytest.approx(80_610, rel=0.02)
    for fifth in range(1, 6):
        assert (us["quintile"] == fifth).mean() == pytest.approx(0.2, abs=0.006)
    assert within(us, adult, "alcohol", 2) == pytest.approx(0.051, abs=0.005)


def test_attributes_hang_together(us: dict[str, np.ndarray], age: np.ndarray) -> None:
    adult = age >= 25
    by_school = [within(us, adult & (us["education"] == k), "smoking", CURRENT) for k in range(4)]
    assert by_school[1] == pytest.approx(0.17, abs=0.02)
    assert by_school[3] == pytest.approx(0.05, abs=0.01)
    assert max(by_school[:3]) > 2.5 * by_school[3]
    income = [np.median(us["income"][adult & (us["education"] == k)]) for k in range(4)]
    assert all(b > a for a, b in pairwise(income))
    working = (age >= 18) & (age < 65)
    none = clinical.INSURANCE.index("none")
    assert within(us, working & (us["quintile"] == 1), "insurance", none) > 3 * within(
        us, working & (us["quintile"] == 5), "insurance", none
    )
    smoking_poor = within(us, adult & (us["quintile"] == 1), "smoking", CURRENT)
    assert smoking_poor > 2 * within(us, adult & (us["quintile"] == 5), "smoking", CURRENT)


def test_groups_by_state(us: dict[str, np.ndarray]) -> None:
    locale = locale_of("us")
    for code in ("CA", "TX", "NY", "FL", "GA"):
        region = locale.people.regions[locale.regions.index(code)]
        who = us["region"] == locale.regions.index(code)
        expected = np.array(region.shares) / sum(region.shares)
        found = np.bincount(us["group"][who], minlength=len(expected)) / who.sum()
        assert np.abs(found - expected).max() < 0.02, code
        total = sum(r.thousands for r in locale.people.regions)
        assert who.mean() == pytest.approx(region.thousands / total, rel=0.05)
    uninsured = clinical.INSURANCE.index("none")
    rate = {
        code: within(us, us["region"] == locale.regions.index(code), "insurance", uninsured) for code in ("TX", "MA")
    }
    assert rate["TX"] > 3 * rate["MA"]


def test_ethnicity_follows_group(us: dict[str, np.ndarray]) -> None:
    hispanic = us["group"] == locale_of("us").groups.index("hispanic")
    assert np.array_equal(us["ethnicity"] == clinical.ETHNICITIES.index("hispanic"), hispanic)
    assert hispanic.mean() == pytest.approx(0.188, abs=0.005)


def test_smoking_moments_agree_with_status(us: dict[str, np.ndarray], age: np.ndarray) -> None:
    begun, ended = us["smoked_from"], us["smoked_to"]
    now = smoking_at(begun, ended, np.full(N, REFERENCE))
    assert np.array_equal(now, us["smoking"])
    ever = np.isfinite(begun)
    assert np.all(begun[ever] > us["birth"][ever] + 8 * YEAR)
    former = np.isfinite(ended)
    assert np.all(ended[former] > begun[former])
    before = smoking_at(begun, ended, np.full(N, REFERENCE - 10 * YEAR))
    assert 0.15 < (before[age >= 28] == CURRENT).mean() < 0.185  # NHIS 2014-2015: 15 to 17 %
    assert not np.any(ever & (age < 12))


def test_adherence_and_care(us: dict[str, np.ndarray]) -> None:
    assert us["adherence"].mean() == pytest.approx(0.752, abs=0.01)  # DiMatteo 2004
    assert us["care_seeking"].mean() == pytest.approx(1.0, abs=0.01)
    uninsured = us["insurance"] == clinical.INSURANCE.index("none")
    assert us["care_seeking"][uninsured].mean() < 0.7


def test_same_person_in_any_call() -> None:
    us = locale_of("us")
    whole = demographics(3, us, np.arange(500), reference=REFERENCE)
    some = np.array([499, 7, 123, 0])
    part = demographics(3, us, some, reference=REFERENCE)
    for name, values in whole.items():
        assert np.array_equal(values[some], part[name], equal_nan=True), name
    other = demographics(4, us, np.arange(500), reference=REFERENCE)
    assert not np.array_equal(whole["birth"], other["birth"])


def test_pins_are_kept_and_leave_the_free_alone() -> None:
    us = locale_of("us")
    number = np.arange(4_000)
    free = demographics(3, us, number, reference=REFERENCE)
    pinned = number % 2 == 0
    sex = np.where(pinned, 0, -1)
    low, high = np.where(pinned, 60.0, np.nan), np.where(pinned, 75.0, np.nan)
    got = demographics(3, us, number, reference=REFERENCE, sex=sex, age_range=(low, high))
    age = (REFERENCE - got["birth"]) / YEAR
    assert np.all(got["sex"][pinned] == 0)
    assert np.all((age[pinned] >= 60) & (age[pinned] < 75))
    for name, values in free.items():
        assert np.array_equal(values[~pinned], got[name][~pinned], equal_nan=True), name
    assert 66 < age[pinned].mean() < 67.6  # younger ones are more


def test_sex_follows_a_pinned_age() -> None:
    old = (np.full(20_000, 90.0), np.full(20_000, 95.0))
    got = demographics(3, locale_of("us"), np.arange(20_000), reference=REFERENCE, window_years=0.0, age_range=old)
    pyramid = locale_of("us").life.pyramid
    female, male = sum(pyramid.female[90:95]), sum(pyramid.male[90:95])
    assert (got["sex"] == 0).mean() == pytest.approx(female / (female + male), abs=0.01)


def test_narrow_range_and_birth_are_exact() -> None:
    us = locale_of("us")
    number = np.arange(300)
    narrow = demographics(3, us, number, reference=REFERENCE, age_range=(np.full(300, 40.0), np.full(300, 40.01)))
    age = (REFERENCE - narrow["birth"]) / YEAR
    assert np.all((age >= 40.0) & (age < 40.01))
    birth = np.where(number < 100, 10_000.0, np.nan)
    got = demographics(3, us, number, reference=REFERENCE, birth=birth)
    assert np.all(got["birth"][:100] == 10_000)


def test_impossible_pins_are_refused() -> None:
    us, two = locale_of("us"), np.arange(2)
    with pytest.raises(InfeasibleError, match="age range"):
        demographics(3, us, two, reference=REFERENCE, age_range=(np.full(2, 150.0), np.full(2, 160.0)))
    with pytest.raises(InfeasibleError, match="age range"):
        demographics(3, us, two, reference=REFERENCE, age_range=(np.full(2, 30.0), np.full(2, 30.0)))
    with pytest.raises(InfeasibleError, match="after"):
        demographics(3, us, two, reference=REFERENCE, birth=np.full(2, REFERENCE + 1))


def test_children_take_after_their_mothers() -> None:
    us = locale_of("us")
    number = np.arange(64)
    low, high = np.where(number < 32, 30.0, np.nan), np.where(number < 32, 40.0, np.nan)
    low[32:48], high[32:48] = 0.0, 10.0
    mother = np.where((number >= 32) & (number < 48), number - 32, -1)
    spouse = np.where(number < 2, 1 - number, -1)
    sex = np.where(number < 32, np.where(number == 1, 1, 0), -1)
    got = demographics(3, us, number, reference=REFERENCE, sex=sex, age_range=(low, high), mother=mother, spouse=spouse)
    child, hers = np.arange(32, 48), np.arange(16)
    for name in ("group", "race", "language"):
        assert np.array_equal(got[name][child], got[name][hers]), name
    assert np.array_equal(got["income"][child[2:]], got["income"][hers[2:]])
    assert (got["region"][0], got["income"][0]) == (got["region"][1], got["income"][1])
    alone = demographics(
        3, us, number[40:41], reference=REFERENCE, mother=np.array([8]), age_range=(low[40:41], high[40:41])
    )
    assert alone["birth"][0] == got["birth"][40]


def test_uk_people() -> None:
    uk = locale_of("uk")
    got = demographics(7, uk, np.arange(60_000), reference=REFERENCE, window_years=0.0)
    adult = (REFERENCE - got["birth"]) / YEAR >= 18
    assert within(got, adult, "smoking", CURRENT) == pytest.approx(0.119, abs=0.008)  # ONS 2023
    assert np.all(got["insurance"] == clinical.INSURANCE.index("national"))
    assert np.all(got["ethnicity"] == -1)
    assert (got["region"] == uk.regions.index("ENG")).mean() == pytest.approx(0.845, abs=0.01)
    assert np.median(got["income"]) == pytest.approx(34_500, rel=0.02)
