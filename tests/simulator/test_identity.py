"""Identities: every number lies in a range that belongs to nobody, families share names, and texts are quick."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

from ehrsatz import clinical
from ehrsatz.simulator import identifiers
from ehrsatz.simulator.history import People
from ehrsatz.simulator.identity import Register, texts
from ehrsatz.simulator.locale import locale_of
from ehrsatz.simulator.names import family_names, given_names
from ehrsatz.simulator.population import demographics

REFERENCE = 20_453.0
N = 4_096
COLUMNS = {
    "given_name",
    "family_name",
    "birth_family_name",
    "address_line",
    "city",
    "postal_code",
    "phone",
    "email",
    "national_id",
    "record_number",
    "language",
    "blood_group",
}
# the 124 postcode areas of Royal Mail
AREAS = """
AB AL B BA BB BD BH BL BN BR BS BT CA CB CF CH CM CO CR CT CV CW DA DD DE DG DH DL DN DT DY E
EC EH EN EX FK FY G GL GU GY HA HD HG HP HR HS HU HX IG IM IP IV JE KA KT KW KY L LA LD LE LL
LN LS LU M ME MK ML N NE NG NN NP NR NW OL OX PA PE PH PL PO PR RG RH RM S SA SE SG SK SL SM SN
SO SP SR SS ST SW SY TA TD TF TN TQ TR TS TW UB W WA WC WD WF WN WR WS WV YO ZE
"""
DRAMA = re.compile(  # Ofcom, telephone numbers for drama
    r"(020 7946 0\d{3}|01(13|14|15|16|17|18|21|31|41|51|61) 496 0\d{3}|0191 498 0\d{3}|028 9649 6\d{3}|029 2018 0\d{3}"
    r"|01632 960\d{3})"
)


def people(name: str, number: np.ndarray | None = None) -> People:
    number = np.arange(N) if number is None else number
    block = number % 8
    mother = np.where(block == 7, number - 7, -1)  # of every eight: wife, husband, their child, five others
    father = np.where(block == 7, number - 6, -1)
    spouse = np.where(block == 0, number + 1, np.where(block == 1, number - 1, -1))
    sex = np.where(block == 0, 0, np.where(block == 1, 1, -1))
    low = np.where(block < 2, 25.0, np.where(block == 7, 0.0, np.nan))
    high = np.where(block < 2, 40.0, np.where(block == 7, 5.0, np.nan))
    drawn = demographics(
        5,
        locale_of(name),
        number,
        reference=REFERENCE,
        sex=sex,
        age_range=(low, high),
        mother=mother,
        spouse=spouse,
    )
    n = len(number)
    marital = np.where(block < 2, clinical.MARITAL.index("married"), drawn["marital"])
    return People(
        number=number,
        birth=drawn["birth"],
        sex=drawn["sex"],
        start=drawn["birth"],
        end=np.full(n, REFERENCE),
        death=np.full(n, np.nan),
        cause=np.full(n, -1),
        attributes={"region": drawn["region"], "marital": marital},
        income=drawn["income"],
        adherence=drawn["adherence"],
        care_seeking=drawn["care_seeking"],
        smoked_from=drawn["smoked_from"],
        smoked_to=drawn["smoked_to"],
        mother=mother,
        father=father,
        spouse=spouse,
        other={one: drawn[one] for one in ("group", "blood", "language")},
    )


@pytest.fixture(scope="module", params=["us", "uk"])
def written(request: pytest.FixtureRequest) -> tuple[str, dict[str, pl.Series]]:
    return request.param, texts(5, locale_of(request.param), people(request.param))


def test_columns_are_whole(written: tuple[str, dict[str, pl.Series]]) -> None:
    _, columns = written
    assert set(columns) == COLUMNS
    for name, values in columns.items():
        assert len(values) == N and values.null_count() == 0 and values.dtype == pl.String, name


def test_every_number_is_reserved(written: tuple[str, dict[str, pl.Series]]) -> None:
    name, columns = written
    assert columns["email"].str.contains(r"^[a-z.]+\.\d+@example\.(org|com|net)$").all()
    assert columns["record_number"].str.starts_with("TEST").all()
    for column in ("email", "record_number", "national_id"):
        assert columns[column].n_unique() == N, column
    if name == "us":
        assert columns["national_id"].str.contains(r"^(666|000)-(0[1-9]|[1-9]\d)-\d{4}$").all()
        assert not columns["national_id"].str.ends_with("-0000").any()
        assert columns["phone"].str.contains(r"^\([2-9]\d{2}\) 555-01\d{2}$").all()
        assert columns["postal_code"].str.contains(r"^\d{5}$").all()
    else:
        for value in columns["national_id"].to_list():
            assert re.fullmatch(r"999 \d{3} \d{4}", value)
            digits = [int(d) for d in value.replace(" ", "")]
            check = 11 - sum((10 - i) * d for i, d in enumerate(digits[:9])) % 11
            assert digits[9] == (0 if check == 11 else check)
        assert all(DRAMA.fullmatch(value) for value in columns["phone"].to_list())
        assert columns["postal_code"].str.contains(r"^ZZ([1-9]|[1-8]\d|9[0-8]) \d[ABD-HJLNP-UW-Z]{2}$").all()
        assert "ZZ" not in AREAS.split() and len(AREAS.split()) == 124


def test_families_share_names_and_homes(written: tuple[str, dict[str, pl.Series]]) -> None:
    _, columns = written
    family, born = columns["family_name"].to_numpy(), columns["birth_family_name"].to_numpy()
    wife, husband, child = np.arange(0, N, 8), np.arange(1, N, 8), np.arange(7, N, 8)
    assert np.array_equal(family[child], family[husband])
    assert np.array_equal(family[child], born[child])
    assert 0.72 < (family[wife] == family[husband]).mean() < 0.86
    home = columns["address_line"].to_numpy()
    assert np.array_equal(home[wife], home[husband])
    assert (home[child] == home[wife]).mean() > 0.99  # the child's region is hers
    others = np.arange(2, N, 8)
    assert (home[others] == home[wife]).mean() < 0.01


def test_same_texts_in_any_shard() -> None:
    us = locale_of("us")
    whole = texts(5, us, people("us"))
    part = texts(5, us, people("us", np.arange(64, 128)))
    for name, values in whole.items():
        assert values[64:128].to_list() == part[name].to_list(), name


def test_names_follow_sex_birth_and_group() -> None:
    us = locale_of("us")
    number = np.arange(20_000)
    white, hispanic = np.full(len(number), us.groups.index("white")), np.full(len(number), us.groups.index("hispanic"))

    def most(sex: int, year: int, group: np.ndarray = white) -> list[str]:
        birth = np.full(len(number), (year - 1970) * 365.25 + 100)
        names = given_names(1, us, number, np.full(len(number), sex), birth, group)
        return names.value_counts(sort=True).to_series()[:12].to_list()

    assert "Mary" in most(0, 1925) and "Jennifer" in most(0, 1972) and "Olivia" in most(0, 2020)
    assert "Liam" in most(1, 2020) and "Liam" not in most(1, 1950)
    assert "Maria" in most(0, 1960, hispanic)
    surnames = family_names(1, us, number, hispanic).value_counts(sort=True).to_series()[:10].to_list()
    assert {"Garcia", "Martinez", "Rodriguez"} <= set(surnames)
    assert family_names(1, us, number, white).value_counts(sort=True).to_series()[0] == "Smith"


def test_check_digits_by_hand() -> None:
    assert identifiers.luhn(np.array([123_456_789]))[0] == 3  # 1234567893: the example of CMS
    assert identifiers.modulus11(np.array([943_476_591]))[0] == 9  # 943 476 5919: the example of the NHS
    npi = identifiers.provider_ids("npi", np.array([0, 5, 99_999_999, 50_000_000]))
    for value in npi.to_list():
        assert re.fullmatch(r"9\d{9}", value)  # real ones begin with 1 or 2
        digits = [int(d) for d in "80840" + value][::-1]
        assert sum(d if i % 2 == 0 else (2 * d - 9 * (2 * d > 9)) for i, d in enumerate(digits)) % 10 == 0


def test_national_ids_are_unique_over_a_million() -> None:
    assert identifiers.national_ids("ssn", 3, np.arange(1_000_000)).n_unique() == 1_000_000
    assert identifiers.national_ids("nhs", 3, np.arange(900_000)).n_unique() == 900_000


def test_register() -> None:
    for name in ("us", "uk"):
        register = Register(3, locale_of(name))
        number = np.arange(40)
        region = number % len(locale_of(name).regions)
        kinds = ["practice", "hospital", "laboratory", "pharmacy"] * 10
        found = pl.DataFrame(register.organizations(number, kinds, region))
        assert found.columns == ["name", "identifier", "address_line", "city", "postal_code", "phone", "region"]
        assert found["identifier"].n_unique() == 40
        assert found["name"].str.contains("Example|Sample|Test|Invented").all()
        assert found["region"].to_list() == [locale_of(name).regions[i] for i in region]
        doctors = pl.DataFrame(register.practitioners(number, region))
        assert doctors.columns == ["given_name", "family_name", "identifier"]
        pattern = r"^9\d{9}$" if name == "us" else r"^9\d{6}$"
        assert doctors["identifier"].str.contains(pattern).all()


def test_towns_lie_in_their_region() -> None:
    us = locale_of("us")
    towns = {(place.region, place.city, place.postal) for place in us.places}
    group = people("us")
    columns = texts(5, us, group)
    regions = [us.regions[i] for i in group.attributes["region"]]
    found = set(zip(regions, columns["city"].to_list(), columns["postal_code"].to_list(), strict=True))
    assert found <= towns
