"""OMOP CDM 5.4: tables, ids, concepts, eras, a user's Athena folder, values that are hard to carry, refusals."""

from __future__ import annotations

import csv
import sqlite3
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, SourceError, UnsupportedError
from ehrsatz.exporters.omop.eras import condition_eras, dose_eras, drug_eras, exposures
from ehrsatz.exporters.omop.files import OmopDuckdb, OmopFolder, OmopSqlite
from ehrsatz.provenance import Provenance
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.omop.source import OmopSource
from ehrsatz.terminology.omop import cdm, known

duckdb = pytest.importorskip("duckdb")


def made(dataset: Dataset, folder: Path, exporter: Any = None) -> Path:
    exporter = exporter or OmopFolder()
    exporter.write(dataset, folder)
    exporter.finish(folder)
    assert exporter.check(folder) == []
    return folder / exporter.place


def table(place: Path, name: str) -> pl.DataFrame:
    rows = pl.read_csv(place / f"{name}.csv", infer_schema=False)
    kinds = {"integer": pl.Int64, "number": pl.Float64}
    return rows.with_columns(
        pl.col(field.name).cast(kinds[field.kind]) for field in cdm.tables()[name] if field.kind in kinds
    )


def differences(reference: Dataset, place: Path) -> list[str]:
    found = OmopSource().read(place, origin="simulated")
    return [f"{a.table}.{a.column}: {a.n_differ}" for a in compare(reference, found, OmopFolder.losses) if a.n_differ]


@pytest.fixture(scope="module")
def few(cohort: Dataset) -> Dataset:
    return _only(cohort, cohort.subjects[:40])


@pytest.fixture(scope="module")
def place(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(few, tmp_path_factory.mktemp("omop"))


# ---------------------------------------------------------------------- tables and concepts
def test_every_table_of_the_cdm_is_there(place: Path) -> None:
    assert {path.stem for path in place.iterdir()} == set(cdm.tables())
    for name in ("specimen", "episode", "episode_event", "note_nlp", "cohort"):
        assert table(place, name).height == 0


def test_the_source_says_that_the_records_are_fabricated(place: Path) -> None:
    (row,) = table(place, "cdm_source").to_dicts()
    assert "no real person" in row["source_description"] and row["cdm_version_concept_id"] == known.CDM_54
    assert "synthetic" in table(place, "metadata")["value_as_string"][0]


def test_every_concept_that_is_named_stands_in_the_vocabulary(place: Path) -> None:
    held = set(table(place, "concept")["concept_id"])
    for name, fields in cdm.tables().items():
        rows = table(place, name)
        for field in fields:
            if field.links_to == ("concept", "concept_id") and rows.height:
                assert set(rows[field.name].drop_nulls()) <= held, f"{name}.{field.name}"


def test_known_codes_have_their_published_concepts(place: Path) -> None:
    rows = table(place, "measurement").filter(pl.col("measurement_source_value") == "8480-6")  # systolic pressure
    assert set(rows["measurement_concept_id"]) == {3004249} and set(rows["unit_concept_id"]) == {8876}
    people = table(place, "person")
    assert set(zip(people["gender_source_value"], people["gender_concept_id"])) == {("female", 8532), ("male", 8507)}


def test_other_codes_are_concepts_of_our_own(place: Path) -> None:
    concepts = table(place, "concept")
    local = concepts.filter(pl.col("concept_id") >= known.LOCAL)
    assert local.height and local["vocabulary_id"].is_in(["Domain", "Vocabulary", "Concept Class"]).sum() < local.height
    icd = local.filter(pl.col("vocabulary_id") == "ehrsatz ICD10CM")
    assert icd.height and icd["standard_concept"].null_count() == icd.height
    snomed = local.filter(pl.col("vocabulary_id") == "ehrsatz SNOMED")
    assert snomed.height and set(snomed["standard_concept"]) == {"S"}
    rows = table(place, "condition_occurrence").join(
        concepts, left_on="condition_concept_id", right_on="concept_id", how="left"
    )
    assert set(rows.filter(pl.col("condition_concept_id") != 0)["standard_concept"]) == {"S"}


def test_a_stay_on_a_ward_is_a_detail_of_its_visit(cohort: Dataset, tmp_path: Path) -> None:
    inside = cohort.tables["encounter"].filter(pl.col("part_of_id").is_not_null())
    place = made(_only(cohort, inside["patient_id"].unique().sort()[:3]), tmp_path)
    details, visits = table(place, "visit_detail"), table(place, "visit_occurrence")
    assert details.height and set(details["visit_occurrence_id"]) <= set(visits["visit_occurrence_id"])
    assert set(details["visit_detail_concept_id"]) == {known.VISITS["icu"]}
    assert table(place, "measurement")["visit_detail_id"].drop_nulls().is_in(details["visit_detail_id"].implode()).all()


def test_a_line_of_a_bill_leads_to_what_was_done(place: Path) -> None:
    costs = table(place, "cost").filter(pl.col("cost_domain_id") == "Drug")
    drugs = table(place, "drug_exposure").select(
        pl.col("drug_exposure_id").alias("cost_event_id"), pl.col("drug_source_value").cast(pl.String)
    )
    joined = costs.join(drugs, on="cost_event_id", how="left")
    assert joined.height and (joined["drug_source_value"] == joined["revenue_code_source_value"].cast(pl.String)).all()


def test_nobody_is_observed_outside_the_period(place: Path) -> None:
    periods = table(place, "observation_period")
    for name, day in (("measurement", "measurement_date"), ("visit_occurrence", "visit_end_date")):
        rows = table(place, name).join(periods, on="person_id")
        assert (rows[day] >= rows["observation_period_start_date"]).all()
        assert (rows[day] <= rows["observation_period_end_date"]).all()


def test_bytes_are_the_same_again(few: Dataset, place: Path, tmp_path: Path) -> None:
    again = made(few, tmp_path)
    for path in place.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_ids_go_on_from_shard_to_shard(cohort: Dataset, tmp_path: Path) -> None:
    from ehrsatz.clinical import WORLD

    own = [one.name for one in cohort.schema.tables if one.name not in WORLD]
    halves = [_only(cohort, cohort.subjects[a:b]) for a, b in ((0, 3), (3, 5))]
    exporter = OmopDuckdb()
    for number, half in enumerate(halves):
        exporter.write(half, tmp_path, part=number, tables=own)
    exporter.write(cohort, tmp_path, tables=WORLD)
    (path,) = exporter.finish(tmp_path)
    assert not (tmp_path / "omop_duckdb" / "parts").exists()
    with duckdb.connect(str(path), read_only=True) as base:
        people = base.execute("SELECT person_id, person_source_value FROM person ORDER BY 1").fetchall()
        assert people == list(enumerate(cohort.subjects[:5].to_list(), 1))
        for name in cdm.tables():
            key = cdm.key(name)
            if key and key != "vocabulary_id":
                n, distinct = base.execute(f'SELECT COUNT(*), COUNT(DISTINCT "{key}") FROM "{name}"').fetchall()[0]
                assert n == distinct, name


def _only(whole: Dataset, patients: pl.Series) -> Dataset:
    among = pl.col("relative_id").is_in(patients.implode())
    tables = {**whole.tables, "relation": whole.tables["relation"].filter(among)}
    return Dataset(whole.schema, tables, whole.provenance).take_subjects(patients)


# ---------------------------------------------------------------------- eras
def test_condition_eras_by_hand() -> None:
    rows = pl.DataFrame(
        {
            "person_id": [1, 1, 1, 1, 2, 2],
            "condition_concept_id": [7, 7, 7, 0, 7, 8],
            "condition_start_date": [date(2020, m, d) for m, d in ((1, 1), (2, 9), (3, 12), (1, 1), (1, 5), (1, 5))],
            "condition_end_date": [date(2020, 1, 10), None, None, None, date(2020, 1, 1), None],
        }
    )
    eras = condition_eras(rows).rows()
    assert eras == [
        (1, 1, 7, date(2020, 1, 1), date(2020, 2, 9), 2),  # a gap of 30 days goes on
        (2, 1, 7, date(2020, 3, 12), date(2020, 3, 12), 1),  # one of 32 does not
        (3, 2, 7, date(2020, 1, 5), date(2020, 1, 5), 1),  # an end before the start is the start
        (4, 2, 8, date(2020, 1, 5), date(2020, 1, 5), 1),
    ]


def test_drug_and_dose_eras_by_hand() -> None:
    drugs = pl.DataFrame(
        {
            "person_id": [1, 1, 1, 1],
            "drug_concept_id": [10, 10, 11, 12],
            "drug_exposure_start_date": [date(2020, 1, 1), date(2020, 1, 20), date(2020, 1, 5), date(2020, 6, 1)],
            "drug_exposure_end_date": [date(2020, 1, 10), date(2020, 2, 1), date(2020, 1, 8), date(2020, 6, 3)],
            "dose_unit_source_value": ["mg", "mg", "mg", "mg"],
            "(daily)": [20.0, 20.0, 5.0, 1.0],
        }
    )
    ingredients = pl.DataFrame({"drug_concept_id": [10, 11, 12, 12], "ingredient_concept_id": [100, 100, 100, 101]})
    taken = exposures(drugs, ingredients)
    assert drug_eras(taken).select(
        "drug_concept_id", "drug_era_end_date", "drug_exposure_count", "gap_days"
    ).rows() == [
        (100, date(2020, 2, 1), 3, 10),  # exposed from 1 to 10 January and from 20 January to 1 February
        (100, date(2020, 6, 3), 1, 0),
        (101, date(2020, 6, 3), 1, 0),
    ]
    doses = dose_eras(taken).select("dose_value", "dose_era_start_date", "dose_era_end_date").rows()
    assert doses == [(5.0, date(2020, 1, 5), date(2020, 1, 8)), (20.0, date(2020, 1, 1), date(2020, 2, 1))]


def test_drugs_have_their_ingredients(place: Path) -> None:
    eras, concepts = table(place, "drug_era"), table(place, "concept")
    kinds = concepts.filter(pl.col("concept_id").is_in(eras["drug_concept_id"].implode()))["concept_class_id"]
    assert eras.height and set(kinds) == {"Ingredient"}
    strengths = table(place, "drug_strength")
    assert strengths.height and (strengths["amount_value"].drop_nulls() > 0).all()


# ---------------------------------------------------------------------- Athena
@pytest.fixture
def athena(tmp_path: Path) -> Path:
    """A tiny folder as Athena gives it; its ids are made up but for their form."""
    folder = tmp_path / "athena"
    folder.mkdir()
    head = [
        "concept_id", "concept_name", "domain_id", "vocabulary_id", "concept_class_id", "standard_concept",
        "concept_code", "valid_start_date", "valid_end_date", "invalid_reason",
    ]  # fmt: skip
    concepts = [
        (900001, 'Born "by" section', "Observation", "ICD10CM", "5-char billing code", "", "Z38.01"),
        (900002, "Single live birth", "Observation", "SNOMED", "Clinical Finding", "S", "281050002"),
        (900003, "Other seasonal allergic rhinitis", "Condition", "ICD10CM", "4-char billing code", "", "J30.2"),
        (900004, "Seasonal allergic rhinitis", "Condition", "SNOMED", "Disorder", "S", "367498001"),
        (900005, "Neonatal screening", "Measurement", "SNOMED", "Procedure", "S", "60151004"),
    ]
    links = [(900001, 900002), (900003, 900004), (900002, 900002), (900004, 900004), (900005, 900005)]
    with (folder / "CONCEPT.csv").open("w", newline="") as file:
        file.write("\t".join(head) + "\n")
        file.writelines("\t".join(map(str, (*row, "19700101", "20991231", ""))) + "\n" for row in concepts)
    with (folder / "CONCEPT_RELATIONSHIP.csv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(["concept_id_1", "concept_id_2", "relationship_id"])
        rows.writerows([(*link, "Maps to") for link in links])
    return folder


def test_athena_maps_codes_and_moves_rows_to_their_domain(cohort: Dataset, athena: Path, tmp_path: Path) -> None:
    wanted = cohort.tables["condition"].filter(pl.col("code").is_in(["Z38.01", "J30.2"]))["patient_id"].unique().sort()
    some = _only(cohort, wanted[:40])
    place = made(some, tmp_path, OmopFolder(athena=str(athena)))
    rhinitis = table(place, "condition_occurrence").filter(pl.col("condition_source_value") == "J30.2")
    assert set(rhinitis["condition_concept_id"]) == {900004} and set(rhinitis["condition_source_concept_id"]) == {
        900003
    }
    assert not (table(place, "condition_occurrence")["condition_source_value"] == "Z38.01").any()
    births = table(place, "observation").filter(
        (pl.col("observation_source_value") == "Z38.01") & (pl.col("observation_type_concept_id") == known.BILLED)
    )
    assert births.height and set(births["observation_concept_id"]) == {900002}
    screened = table(place, "measurement").filter(pl.col("measurement_source_value") == "60151004")
    assert screened.height and set(screened["measurement_concept_id"]) == {900005}
    assert differences(some, place) == []  # every row comes back to its table, under the records' own names


def test_a_folder_that_is_none_of_athena(few: Dataset, tmp_path: Path) -> None:
    exporter = OmopFolder(athena=str(tmp_path))
    exporter.write(few, tmp_path)
    with pytest.raises(SourceError, match=r"CONCEPT\.csv"):
        exporter.finish(tmp_path)
    assert (tmp_path / "omop" / "parts").is_dir()


# ---------------------------------------------------------------------- values that are hard to carry
def changed(dataset: Dataset, cells: dict[str, dict[str, list[Any]]]) -> Dataset:
    """Change the first cells of some columns."""
    tables = dict(loose.widen(dataset).tables)
    for name, columns in cells.items():
        frame = tables[name]
        for column, values in columns.items():
            kept = frame[column].to_list()[len(values) :]
            frame = frame.with_columns(pl.Series(column, values + kept, dtype=frame.schema[column]))
        tables[name] = frame
    return Dataset(loose.schema(), tables, Provenance("simulated"))


HARD: dict[str, dict[str, list[Any]]] = {
    "patient": {
        "sex": ["other", "unknown", None],
        "address_line": ["x" * 90, 'a\nb, "c"', "y" * 150, None],
        "region": ["ENG", None, "Sachsen-Anhalt", ""],
        "language": ["日本", "🙂", "", "العربية"],
        "death_time": [datetime(2020, 2, 29, 23, 59, 59, 123456)],
        "race": [None, None],
        "country": [None, "GB"],
    },
    "observation": {
        "value": [1e-7, None, 123456789.123456789, 0.1 + 0.2, None],
        "text_value": ["y" * 400, "", "<5", None, 'line\nbreak "q"'],
        "unit": ["{weird unit}", None, "mg/dL", None, None],
        "category": [None, "imaging", "social-history", "survey"],
        "system": ["http://x/y", "local", None, "LOINC"],
        "display": ["other words", None, "O'Neill é"],
        "encounter_id": [None],
        "time": [None],
    },
    "encounter": {
        "stop": [None],
        "start": ["keep", None],
        "practitioner_id": [None],
        "location_id": [None],
        "reason_code": [None],
        "reason_display": [None],
    },
    "condition": {
        "onset": [None], "code": [None], "system": [None], "display": [None], "status": [None], "stage": ["II"],
    },
    "medication": {
        "dose": [None, 0.5, 2.0, 1e-9],
        "per_day": [2.0, None, 0.14],
        "dose_unit": [None, "mg", None],
        "start": [None],
        "stop_reason": ["s" * 30],
    },
    "immunization": {"site": [None, "a, b | c"], "dose_number": [2, None], "lot": [None]},
    "order": {"kind": [None, "referral"], "status": [None, "cancelled", None]},
    "report": {
        "modality": [None, "CT"], "body_site": ["chest", None], "text": ['z\n\n"q" ; , ü 🙂 ' * 500], "display": [None],
    },
    "allergy": {"category": [None], "severity": [None], "reaction_code": [None], "reaction_display": [None]},
    "coverage": {"payer_id": [None], "member_number": [None], "stop": [None, date(2010, 1, 1)]},
    "payer": {"name": [None, 'P, "AG"'], "kind": ["none", None]},
    "practitioner": {"given_name": [None, "A, B", "g" * 200], "family_name": ["King, Jr.", None, "f" * 200]},
    "organization": {"kind": [None], "name": [None], "address_line": [None], "city": [None], "region": [None]},
    "location": {"organization_id": [None], "kind": ["ward", None]},
    "claim": {"coverage_id": [None], "encounter_id": [None]},
    "claim_line": {"code": [None, "99213"], "system": [None, "HCPCS"]},
    "payment": {"payer_part": [None], "adjustment": [None]},
}  # fmt: skip


@pytest.mark.parametrize("exporter", [OmopFolder, OmopDuckdb, OmopSqlite])
def test_hard_values_come_back(exporter: Any, few: Dataset, tmp_path: Path) -> None:
    cells = {name: dict(columns) for name, columns in HARD.items()}
    cells["encounter"]["start"] = [few.tables["encounter"]["start"][0], None]
    hard = changed(few, cells)
    assert differences(hard, made(hard, tmp_path, exporter())) == []


def test_stays_within_stays_within_stays(few: Dataset, tmp_path: Path) -> None:
    first = few.tables["encounter"]["encounter_id"]
    nested = changed(few, {"encounter": {"part_of_id": [None, first[0], first[1], first[2]]}})
    assert differences(nested, made(nested, tmp_path)) == []


def test_an_organization_that_is_not_the_places(cohort: Dataset, tmp_path: Path) -> None:
    inside = cohort.tables["encounter"].filter(pl.col("part_of_id").is_not_null())
    some = _only(cohort, inside["patient_id"].unique().sort()[:3])
    wide = loose.widen(some)
    place, every = pl.col("location_id"), pl.int_range(pl.len()) % 3
    other = pl.when(every == 0).then(pl.lit(None)).when(every == 1).then(pl.lit("H00001")).otherwise("organization_id")
    moved = wide.tables["encounter"].with_columns(pl.when(place.is_not_null()).then(other).alias("organization_id"))
    dataset = Dataset(loose.schema(), {**wide.tables, "encounter": moved}, Provenance("simulated"))
    assert differences(dataset, made(dataset, tmp_path)) == []


def test_patients_alone(few: Dataset, tmp_path: Path) -> None:
    wide = loose.widen(few)
    alone = {name: frame if name == "patient" else frame.clear() for name, frame in wide.tables.items()}
    dataset = Dataset(loose.schema(), alone, Provenance("simulated"))
    assert differences(dataset, made(dataset, tmp_path)) == []


# ---------------------------------------------------------------------- refusals
def test_people_without_a_birth_date_are_refused(few: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"patient.birth_date: 1 of 40"):
        OmopFolder().write(changed(few, {"patient": {"birth_date": [None]}}), tmp_path)


def test_keys_that_the_cdm_cannot_hold_are_refused(few: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="organization_id: one has 51") as told:
        tables = dict(loose.widen(few).tables)
        lone = pl.DataFrame({"organization_id": ["k" * 51]})
        tables["organization"] = pl.concat([tables["organization"], lone], how="diagonal")
        OmopFolder().write(Dataset(loose.schema(), tables, Provenance("simulated")), tmp_path)
    assert "kkk" not in str(told.value)


@pytest.mark.parametrize("exporter", [OmopFolder, OmopDuckdb, OmopSqlite])
def test_a_place_that_is_taken_is_left_alone(exporter: Any, few: Dataset, tmp_path: Path) -> None:
    one = exporter()
    one.write(few, tmp_path)
    taken = tmp_path / one.place / ("person.csv" if one.suffix == ".csv" else f"omop{one.suffix}")
    taken.write_text("mine")
    with pytest.raises(OutputError, match="already"):
        one.finish(tmp_path)
    assert taken.read_text() == "mine" and (tmp_path / one.place / "parts").is_dir()


def test_a_part_that_lacks_is_told(few: Dataset, tmp_path: Path) -> None:
    exporter = OmopSqlite()
    for number in (0, 2):
        exporter.write(few, tmp_path, part=number, tables=["patient"])
    assert any("absent" in one for one in exporter.check(tmp_path))
    with pytest.raises(OutputError, match="codes-00001"):
        exporter.finish(tmp_path)
    assert not list((tmp_path / "omop_sqlite").glob("*.sqlite"))


def test_sqlite_bears_keys_and_links(few: Dataset, tmp_path: Path) -> None:
    place = made(few, tmp_path, OmopSqlite())
    base = sqlite3.connect(place / "omop.sqlite")
    try:
        assert base.execute("PRAGMA foreign_key_check").fetchone() is None
        links = base.execute("SELECT COUNT(*) FROM pragma_foreign_key_list('measurement')").fetchone()[0]
        assert links == sum(field.links_to is not None for field in cdm.tables()["measurement"])
    finally:
        base.close()


def test_damage_is_found(few: Dataset, tmp_path: Path) -> None:
    made(few, tmp_path)
    (tmp_path / "omop" / "person.csv").write_text("person_id\n1\n")
    assert OmopFolder().check(tmp_path) == ["person.csv: it has other columns than its table"]
