"""Edge-case patients: each is what its name says, nobody else changes, and no rule finds what cannot be."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import clinical, pipeline
from ehrsatz.dataset import Dataset
from ehrsatz.errors import InfeasibleError, ScenarioError
from ehrsatz.parts import GroupPart, SimulatorPart
from ehrsatz.rules.catalogue import by_id
from ehrsatz.scenario import Scenario
from ehrsatz.simulation import maker, simulate
from ehrsatz.simulator.edges import CASES, chosen, key, size, without
from ehrsatz.simulator.edges.identity import CHARACTERS, DELIMITERS, FULL
from ehrsatz.simulator.edges.record import OWN, Record

REFERENCE = datetime.datetime(2025, 12, 31)
KEY = key()


def of(data: Dataset, case: str, table: str = "patient", which: int = 0) -> pl.DataFrame:
    who = [patient for patient, name in key().items() if name == case][which]
    return data.tables[table].filter(pl.col("patient_id") == who)


def one(data: Dataset, case: str, column: str) -> object:
    return of(data, case)[column].item()


@pytest.fixture(scope="module")
def plain() -> Dataset:
    return simulate("clinic", n=64, seed=5, record_years=1)


# ---------------------------------------------------------------------- the cohort
def test_the_schema_holds_and_no_rule_finds_an_error(edgy: Dataset) -> None:
    checked = Dataset(edgy.schema, edgy.tables, edgy.provenance)  # raises where rows do not fit
    assert checked.n_subjects == 64
    found = pipeline.check(edgy, severity="error", reference=datetime.datetime(2025, 12, 31, 23, 59, 59))
    assert [(one.rule, one.n_failed) for one in found if one.n_failed] == []
    assert all(by_id()[one.rule].severity == "error" for one in found)


def test_all_others_stay_byte_for_byte(edgy: Dataset, plain: Dataset) -> None:
    them = list(KEY)
    for table in clinical.schema().tables:
        before, after = plain.tables[table.name], edgy.tables[table.name]
        if table.name not in clinical.WORLD:
            before, after = (frame.filter(~pl.col("patient_id").is_in(them)) for frame in (before, after))
        if table.name == "relation":  # with somebody who is another now, nobody is related
            before = before.filter(~pl.col("relative_id").is_in(them))
        assert before.equals(after), table.name
    assert edgy.tables["patient"]["patient_id"].to_list() == plain.tables["patient"]["patient_id"].to_list()


def test_shards_of_other_sizes_hold_the_same() -> None:
    make = maker(SimulatorPart(record_years=0.5, edge_cases="all"), 128, 5)
    whole, first, second = make.dataset(0, 128), make.dataset(0, 64), make.dataset(64, 64)  # families are of 64
    for name in OWN:
        assert pl.concat([first.tables[name], second.tables[name]]).equals(whole.tables[name]), name


def test_a_case_by_name_is_the_first_patient_and_other_seeds_and_countries_have_it() -> None:
    for seed, locale in ((1, "us"), (2, "uk")):
        data = simulate("clinic", n=40, seed=seed, locale=locale, record_years=1, edge_cases="all")
        found = pipeline.check(data, severity="error", reference=REFERENCE + datetime.timedelta(days=1))
        assert [(one.rule, one.n_failed) for one in found if one.n_failed] == []
    data = simulate("clinic", n=4, seed=3, record_years=1, edge_cases=["spaces", "leap-day"])
    assert key(["spaces", "leap-day"]) == {"P00000000": "leap-day", "P00000001": "spaces"}
    people = data.tables["patient"]
    assert (people["birth_date"][0].month, people["birth_date"][0].day) == (2, 29)
    assert people["given_name"][1] == "Anna  Maria"


def test_clocks_change_by_the_rule_of_the_country() -> None:
    names = ["clock-forward", "clock-back"]
    for locale, changes in {
        "us": [datetime.datetime(2025, 3, 9, 2, 30), datetime.datetime(2025, 11, 2, 1, 30)],
        "uk": [datetime.datetime(2025, 3, 30, 1, 30), datetime.datetime(2025, 10, 26, 1, 30)],
    }.items():
        data = simulate("clinic", n=3, seed=2, locale=locale, record_years=1, edge_cases=names)
        for who, change in zip(key(names), changes, strict=True):
            stay = data.tables["encounter"].filter(pl.col("patient_id") == who).sort("start").row(0, named=True)
            assert stay["start"] < change < stay["stop"]
            seen = data.tables["observation"].filter(pl.col("patient_id") == who)
            assert change in seen["time"].to_list()


# ---------------------------------------------------------------------- each case
def test_births_and_ages(edgy: Dataset) -> None:
    born = one(edgy, "leap-day", "birth_date")
    assert isinstance(born, datetime.date) and (born.month, born.day) == (2, 29)
    old = one(edgy, "age-110", "birth_date")
    assert isinstance(old, datetime.date) and 110 <= (REFERENCE.date() - old).days / 365.25 < 111
    assert one(edgy, "age-110", "death_time") is None
    (stay,) = of(edgy, "neonate", "encounter").rows(named=True)
    assert REFERENCE - stay["start"] == datetime.timedelta(hours=5) and stay["stop"] == REFERENCE
    assert stay["start"].date() == one(edgy, "neonate", "birth_date") and stay["disposition"] is None
    seen = of(edgy, "neonate", "observation")
    assert seen.height and seen["time"].is_between(stay["start"], REFERENCE).all()


def test_names_sex_and_address(edgy: Dataset) -> None:
    assert one(edgy, "one-name", "given_name") is None and one(edgy, "one-name", "family_name")
    assert [len(str(one(edgy, "long-name", name))) for name in ("given_name", "family_name")] == [200, 200]
    assert any(ord(letter) > 0xFFFF for letter in str(one(edgy, "emoji", "given_name")))
    assert "\u200d" in str(one(edgy, "emoji", "family_name"))
    assert all("\u0590" <= letter <= "\u06ff" for letter in str(one(edgy, "right-to-left", "given_name")))
    assert "\u0308" in str(one(edgy, "combining", "given_name"))
    assert {"'", "-", "’"} <= set(str(one(edgy, "apostrophes", "family_name")))
    assert one(edgy, "unknown-sex", "sex") == "unknown" and one(edgy, "other-sex", "sex") == "other"
    address = ("address_line", "city", "region", "postal_code", "country", "phone", "email")
    assert [one(edgy, "no-address", name) for name in address] == [None] * 7
    assert str(one(edgy, "spaces", "address_line")) == "  12   Mill Lane  "
    assert one(edgy, "delimiters", "address_line") == DELIMITERS


def test_texts(edgy: Dataset) -> None:
    assert of(edgy, "long-text", "report")["text"].str.len_chars().max() == CHARACTERS
    assert FULL in of(edgy, "delimiters", "report")["text"].to_list() and "\n" in FULL


def test_twins(edgy: Dataset) -> None:
    first, second, mother = (of(edgy, "twins", which=k) for k in range(3))
    assert first["birth_date"].item() == second["birth_date"].item()
    born = [of(edgy, "twins", "encounter", k).sort("start").row(0, named=True) for k in (0, 1)]
    assert abs(born[0]["start"] - born[1]["start"]) == datetime.timedelta(minutes=7)
    assert born[0]["organization_id"] == born[1]["organization_id"]
    names = [frame["patient_id"].item() for frame in (first, second, mother)]
    kin = {row[1:] for k in range(3) for row in of(edgy, "twins", "relation", k).rows()}
    assert kin == {
        (names[0], names[2], "mother"),
        (names[1], names[2], "mother"),
        (names[0], names[1], "sibling"),
        (names[1], names[0], "sibling"),
        (names[2], names[0], "child"),
        (names[2], names[1], "child"),
    }
    delivery = of(edgy, "twins", "condition", 2).filter(pl.col("code") == "Z37.2")
    assert delivery.height == 1
    stay = of(edgy, "twins", "encounter", 2).filter(pl.col("encounter_id") == delivery["encounter_id"].item())
    assert stay["start"].item() < min(one["start"] for one in born) < stay["stop"].item()
    assert first["address_line"].item() == second["address_line"].item() == mother["address_line"].item()


def test_many_and_none(edgy: Dataset) -> None:
    visits = of(edgy, "many-encounters", "encounter")
    assert visits.height == 400 and visits["encounter_id"].is_unique().all()
    claims = of(edgy, "many-encounters", "claim")
    lines = of(edgy, "many-encounters", "claim_line").group_by("claim_id").agg(pl.col("amount").sum())
    both = claims.join(lines, on="claim_id", validate="1:1")
    assert both.height == 400 and ((both["total"] - both["amount"]).abs() < 0.005).all()
    assert [name for name in OWN if of(edgy, "no-encounters", name).height] == ["patient"]


def test_stays_over_midnight_and_years(edgy: Dataset) -> None:
    apart = (pl.col("stop") - pl.col("start")).dt.total_hours() < 24
    over = pl.col("start").dt.date() < pl.col("stop").dt.date()
    short = of(edgy, "midnight", "encounter").filter(over & apart & (pl.col("class") != "inpatient"))
    assert short.height >= 1
    year = of(edgy, "year-end", "encounter").filter(pl.col("start").dt.year() < pl.col("stop").dt.year())
    assert year.height == 1
    assert datetime.datetime(2025, 1, 1) in of(edgy, "year-end", "observation")["time"].to_list()


def test_results(edgy: Dataset) -> None:
    alike = of(edgy, "same-minute", "observation").filter(pl.col("code") == "8867-4").group_by("time").agg("value")
    assert alike["value"].list.n_unique().max() >= 6  # type: ignore[operator]
    assert of(edgy, "zero", "observation").filter(pl.col("value") == 0)["code"].n_unique() >= 3
    assert of(edgy, "negative", "observation").filter(pl.col("value") < 0)["code"].n_unique() >= 2
    values = of(edgy, "extremes", "observation")["value"].to_list()
    assert {0.00001, 412_345.6789, 0.1 + 0.2} <= set(values)


def test_deaths(edgy: Dataset) -> None:
    death, last = one(edgy, "death-at-visit", "death_time"), of(edgy, "death-at-visit", "encounter").sort("start")[-1]
    assert last["start"].item() == death and last["disposition"].item() == "died"
    assert of(edgy, "death-at-visit", "coverage")["stop"].is_not_null().all()
    assert one(edgy, "death-unseen", "death_time") is not None
    assert [name for name in OWN if of(edgy, "death-unseen", name).height] == ["patient", "coverage"]


# ---------------------------------------------------------------------- asking
def test_names() -> None:
    assert size("all") == len(KEY) == sum(case.people for case in CASES) and size(()) == 0
    assert [case.name for case in chosen(["zero", "twins"])] == ["twins", "zero"]
    with pytest.raises(ScenarioError, match="Did you mean 'neonate'"):
        simulate("clinic", n=20, edge_cases=["neonat"])
    assert Scenario.from_yaml("simulator: {edge_cases: [all, zero]}").simulator.edge_cases == "all"  # type: ignore[union-attr]
    assert Scenario.from_yaml("simulator: {edge_cases: zero}").simulator.edge_cases == ("zero",)  # type: ignore[union-attr]


def test_a_cohort_that_is_too_small_is_refused() -> None:
    with pytest.raises(InfeasibleError) as caught:
        simulate("clinic", n=30, edge_cases="all")
    assert "edge_cases: they are 30 people" in str(caught.value)
    groups = [{"n": 30, "age": [40, 60]}]
    with pytest.raises(InfeasibleError, match="quota"):
        simulate("clinic", n=40, edge_cases="all", groups=groups)


def test_quotas_are_exact_beside_them() -> None:
    from ehrsatz.evaluation.plausibility.quotas import quotas

    names = ["zero", "neonate", "twins"]
    plan = SimulatorPart(
        record_years=1, edge_cases=tuple(names), groups=(GroupPart(n=12, sex="male", age=(40.0, 50.0)),)
    )
    made = maker(plan, 40, 4).dataset(0, 40)
    (told,) = quotas(made.tables, plan, 4, 0, 40)
    assert told["people"] == told["whole"] == 12
    rest = without(made.tables, names)
    assert rest["patient"].height == 40 - 5 and rest["payer"].equals(made.tables["payer"])


def test_a_release_has_the_key_and_passes_the_gate(tmp_path: Path) -> None:
    changes = {"n": 64, "seed": 5, "simulator.record_years": 1, "simulator.edge_cases": "all"}
    output = {"output.folder": str(tmp_path / "release"), "output.formats": ["parquet"]}
    release = pipeline.fabricate(Scenario.cohort().changed({**changes, **output}))
    assert release.decision == "pass"
    told = json.loads((release.folder / "edge_cases.json").read_text(encoding="utf-8"))
    assert {one["patient_id"]: one["case"] for one in told} == KEY and all(one["title"] for one in told)
    assert "edge_cases.json" in (release.folder / "README.txt").read_text(encoding="utf-8")
    assert pipeline.verify(release.folder) == []


def test_a_record_that_is_cut_adds_up(plain: Dataset) -> None:
    who = plain.tables["encounter"].group_by("patient_id").len().sort("len", "patient_id")["patient_id"][-1]
    record = Record(who, {name: plain.tables[name].filter(pl.col("patient_id") == who) for name in OWN})
    stay = record["encounter"].filter(pl.col("class") == "inpatient").sort("start").row(-1, named=True)
    half = stay["start"] + (stay["stop"] - stay["start"]) / 2
    before = record["claim"].height
    record.end(half)
    assert record["encounter"]["stop"].max() == half and 0 < record["claim"].height <= before
    empty = {table.name: plain.tables[table.name] for table in plain.schema.tables if table.name in clinical.WORLD}
    cut = Dataset(plain.schema, {**empty, **record.frames, "relation": record["relation"].clear()}, plain.provenance)
    found = pipeline.check(cut, severity="error", reference=half)
    assert [
        (one.rule, one.n_failed) for one in found if one.n_failed and one.rule.startswith(("money", "status"))
    ] == []
