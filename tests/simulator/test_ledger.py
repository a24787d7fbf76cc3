"""Ledger: cover by age, claims that add up to the cent, prices, and who saw whom."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from ehrsatz import clinical
from ehrsatz.simulator import columns, coverage, frames, ledger, providers
from ehrsatz.simulator.history import YEAR, History
from simulator import fake

SCENE = fake.scene()
SHARES = [(kind, share) for _, kind, share in fake.PAYERS]


@pytest.fixture(scope="module")
def lives() -> History:
    return fake.history(0, 1_500)


@pytest.fixture(scope="module")
def held(lives: History) -> coverage.Coverage:
    return coverage.cover(lives, SHARES, national=False)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    lives = fake.history(0, 300)
    return dict(frames.dataset(fake.records(lives), lives, SCENE, fake.PROVENANCE).tables)


# ---------------------------------------------------------------------- cover
def test_periods_follow_each_other_within_the_record(lives: History, held: coverage.Coverage) -> None:
    people = lives.people
    stop = np.where(np.isnan(held.stop), np.inf, held.stop)
    assert (stop >= held.start).all()
    assert (held.start >= np.floor(people.start[held.person])).all()
    assert (np.where(np.isnan(held.stop), 0, held.stop) <= people.end[held.person]).all()
    same = held.person[1:] == held.person[:-1]
    assert (held.start[1:][same] > stop[:-1][same]).all()
    gaps = held.start[1:][same] - stop[:-1][same] - 1
    assert 0.03 < (gaps > 0).mean() < 0.6 and gaps.max() < 6 * YEAR


def test_the_last_period_is_what_the_person_has(lives: History, held: coverage.Coverage) -> None:
    people = lives.people
    insurance = people.attributes["insurance"]
    now = held.at(np.arange(people.n), people.end)
    kind = np.where(now >= 0, held.kind[np.maximum(now, 0)], coverage.NONE)
    assert (kind == insurance).mean() > 0.995  # but for the month in which a person turns 65
    alive = np.isnan(people.death)
    assert (np.isnan(held.stop[now[alive & (now >= 0)]])).all()
    assert not np.isnan(held.stop[now[~alive & (now >= 0)]]).any()


def test_cover_by_age(lives: History, held: coverage.Coverage) -> None:
    people = lives.people
    age = (held.start + 31 - people.birth[held.person]) / YEAR
    medicare = np.isin(held.kind, [coverage.MEDICARE, coverage.DUAL])
    young = medicare & (age < 65)
    early = np.isin(people.attributes["insurance"], [coverage.MEDICARE, coverage.DUAL])
    assert (early & (people.end - people.birth < 65 * YEAR))[held.person[young]].all()  # a disability, and they have it
    old = (age > 65.2) & (people.attributes["insurance"] == coverage.MEDICARE)[held.person]
    assert medicare[old].all()


def test_a_moment_finds_its_period(lives: History, held: coverage.Coverage) -> None:
    k = np.arange(len(held.person))
    assert (held.at(held.person, held.start) == k).all()
    closed = ~np.isnan(held.stop)
    assert (held.at(held.person[closed], held.stop[closed] + 0.9) == k[closed]).all()
    before = held.at(held.person, held.start - 1)
    assert (before != k).all()
    assert (held.at(np.array([0]), np.array([-30_000.0])) == -1).all()


def test_everybody_is_insured_where_the_country_insures_all() -> None:
    lives = fake.history(0, 100, national=True)
    held = coverage.cover(lives, SHARES, national=True)
    assert len(held.person) == 100 and (held.kind == coverage.NATIONAL).all()


def test_cover_does_not_hang_on_the_shard(lives: History, held: coverage.Coverage) -> None:
    part = coverage.cover(fake.history(700, 300), SHARES, national=False)
    rows = (held.person >= 700) & (held.person < 1_000)
    assert (part.start == held.start[rows]).all() and (part.payer == held.payer[rows]).all()


def test_a_kind_without_payer_is_our_mistake(lives: History) -> None:
    with pytest.raises(AssertionError, match="medicaid"):
        coverage.cover(lives, [one for one in SHARES if one[0] != "medicaid"], national=False)


# ---------------------------------------------------------------------- claims
def cents(frame: pl.DataFrame, *columns: str) -> pl.Series:
    return frame.select(pl.sum_horizontal((pl.col(name) * 100).round().cast(pl.Int64) for name in columns)).to_series()


def test_claims_add_up_to_the_cent(tables: dict[str, pl.DataFrame]) -> None:
    claim = tables["claim"].with_columns(cents(tables["claim"], "total").alias("want"))
    lines = tables["claim_line"].with_columns(cents(tables["claim_line"], "amount").alias("sum"))
    parts = ("payer_part", "patient_part", "adjustment")
    paid = tables["payment"].with_columns(cents(tables["payment"], *parts).alias("sum"))
    for frame in (lines, paid):
        sums = claim.join(frame.group_by("claim_id").agg(pl.col("sum").sum()), on="claim_id", how="left")
        assert (sums["sum"] == sums["want"]).all() and sums["sum"].null_count() == 0
    assert (claim["total"] > 0).all() and all((tables["payment"][name] >= 0).all() for name in parts)
    for name, column in (("claim", "total"), ("claim_line", "amount"), ("payment", "adjustment")):
        assert (tables[name][column].round(2) == tables[name][column]).all()


def test_one_claim_per_encounter_with_its_lines(tables: dict[str, pl.DataFrame]) -> None:
    assert tables["claim"]["encounter_id"].equals(tables["encounter"]["encounter_id"])
    assert (tables["claim"]["time"] == tables["encounter"]["stop"]).all()
    lines = tables["claim_line"]
    counts = dict(lines.group_by("kind").len().rows())
    orders = tables["order"].filter(pl.col("status") == "completed")
    assert counts["encounter"] == tables["encounter"].height
    for kind in ("procedure", "medication", "immunization", "device"):
        assert counts[kind] == tables[kind].height
    for kind in ("laboratory", "imaging"):
        assert counts[kind] == (orders["kind"] == kind).sum()
    first = lines.filter(pl.col("number") == 1)
    assert first.height == tables["claim"].height and set(first["kind"]) == {"encounter"}
    numbers = lines.group_by("claim_id").agg(
        (pl.col("number").max() == pl.len()).alias("last"), (pl.col("number").n_unique() == pl.len()).alias("each")
    )
    assert numbers.select(pl.all_horizontal(pl.exclude("claim_id").all())).item()


def test_a_claim_goes_to_whoever_covers_that_day(tables: dict[str, pl.DataFrame]) -> None:
    claim = tables["claim"]
    both = claim.join(tables["coverage"], on="coverage_id", suffix="_cover")
    day = both["time"].dt.date()
    assert both.height == claim["coverage_id"].drop_nulls().len() > 0.5 * claim.height
    assert (both["patient_id"] == both["patient_id_cover"]).all() and (both["start"] <= day).all()
    assert (both["stop"] >= day).drop_nulls().all() and both["stop"].null_count() < both.height
    assert (claim["coverage_id"].is_null() == (claim["status"] == "self-pay")).all()


def test_how_claims_are_settled(tables: dict[str, pl.DataFrame]) -> None:
    paid = tables["payment"].join(
        tables["claim"].select("claim_id", "status", "total", pl.col("time").alias("asked")), on="claim_id"
    )
    assert (paid["time"] >= paid["asked"]).all() and paid["time"].max() <= fake_day()
    sums = paid.group_by("claim_id", "status").agg(pl.sum("payer_part", "patient_part", "adjustment"))
    denied, own = (sums.filter(pl.col("status") == name) for name in ("denied", "self-pay"))
    assert denied.height > 20 and own.height > 20
    assert (denied["payer_part"] == 0).all() and (own["payer_part"] == 0).all()
    insured = sums.filter(pl.col("status") != "self-pay").height
    assert 0.02 < denied.height / insured < 0.12
    counts = paid.group_by("claim_id").len()["len"]
    assert set(counts) == {1, 2}
    keys = paid["claim_id"]
    second = paid.filter(keys == keys.shift(1))
    assert (second["payer_part"] == 0).all() and (second["patient_part"] > 0).all()


def fake_day() -> Any:
    return columns.moments(np.array([fake.REFERENCE]))[0]


def test_prices_hang_on_the_code_and_nothing_else() -> None:
    one = ledger.Prices.of([("SNOMED-CT", "1"), ("SNOMED-CT", "2"), ("LOINC", "1")])
    two = ledger.Prices.of([("LOINC", "1"), ("SNOMED-CT", "1")])
    assert one.factor[0] == two.factor[1] and one.factor[2] == two.factor[0]
    u = (np.arange(20_000) + 0.5) / 20_000
    found = one.cents(1, np.zeros(20_000, np.int64), u)
    table = ledger.charges()
    wanted = (
        100
        * table.line["procedure"].once
        * table.markup.factor
        * np.exp(table.line["procedure"].between * one.factor[0])
    )
    assert np.median(found) == pytest.approx(wanted, rel=0.01)
    assert np.std(np.log(found)) == pytest.approx(table.spread.sigma, rel=0.03)
    icu = clinical.CLASSES.index("icu")
    days = one.stays(np.array([icu, icu]), np.array([1.0, 3.0]), np.array([0.5, 0.5]))
    assert days[1] > 2 * days[0]


def test_sources_of_charges() -> None:
    table = ledger.charges()
    named = {one.source for one in (*table.encounter.values(), *table.line.values(), *table.settling.values())}
    named |= {table.markup.source, table.spread.source, table.denied_to_patient.source, table.days.source}
    assert named == set(table.sources)
    assert all(key.startswith("assumed") or "20" in text for key, text in table.sources.items())


def test_a_licensed_users_codes_stand_on_claims(tables: dict[str, pl.DataFrame]) -> None:
    lives = fake.history(0, 300)
    code = tables["procedure"]["code"][0]
    scene = fake.scene(cpt={(clinical.SNOMED, code): "00001"})
    found = frames.dataset(fake.records(lives), lives, scene, fake.PROVENANCE).tables
    where = tables["claim_line"]["code"] == code
    assert set(found["claim_line"]["code"].filter(where)) == {"00001"} and code in set(found["procedure"]["code"])
    assert found["claim_line"]["amount"].equals(tables["claim_line"]["amount"])


# ---------------------------------------------------------------------- who saw whom
def test_the_world_grows_with_the_country_alone() -> None:
    small, large = (providers.world(t, (), (), fake.FakeRegister()).tables for t in ((500.0,), (39_000.0,)))
    assert small["organization"]["kind"].value_counts(sort=True).rows()[0][1] >= 2
    assert large["practitioner"].height > 2 * small["practitioner"].height
    assert SCENE.world.tables["location"]["organization_id"].is_in(SCENE.world.ids("organization").implode()).all()


def test_people_stay_with_their_own(tables: dict[str, pl.DataFrame]) -> None:
    met = tables["encounter"].join(
        tables["location"].select("location_id", pl.col("kind").alias("room")), on="location_id"
    )
    met = met.join(tables["practitioner"].select("practitioner_id", "specialty"), on="practitioner_id")
    met = met.join(
        tables["organization"].select("organization_id", "kind", pl.col("region").alias("where")), on="organization_id"
    )
    met = met.join(tables["patient"].select("patient_id", "region"), on="patient_id")
    assert (met["where"] == met["region"]).all()
    rooms = dict(met.group_by("class").agg(pl.col("room").unique()).rows())
    assert rooms == {name: [room] for name, room in providers.ROOM_OF.items()}
    emergency = met.filter(pl.col("class") == "emergency")
    assert set(emergency["specialty"]) == {providers.EMERGENCY} and set(emergency["kind"]) == {"hospital"}
    usual = met.filter(pl.col("class").is_in(["wellness", "ambulatory", "virtual", "inpatient"]))
    doctors = usual.group_by("patient_id", "specialty", "organization_id").agg(pl.col("practitioner_id").n_unique())
    assert doctors["practitioner_id"].max() == 1 and doctors.height > 100
    assert usual.group_by("patient_id").agg(pl.col("organization_id").n_unique())["organization_id"].max() <= 2


def test_an_unknown_specialty_is_our_mistake() -> None:
    lives = fake.history(0, 20)
    world = providers.world(fake.THOUSANDS, (), (), fake.FakeRegister())
    none = np.full(len(fake.BOOK.entries), -1)
    with pytest.raises(AssertionError, match="specialty"):
        providers.see(world, fake.records(lives), lives, none)
