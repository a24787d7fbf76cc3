"""HL7 v2 files of other makers: versions, separators, ends of lines, encodings, updates, merges; and bad input."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataWarning, SourceError
from ehrsatz.exporters.hl7v2.feed import Hl7v2Exporter
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.hl7v2.reader import Hl7v2Source


def segment(name: str, **fields: str) -> str:
    """A segment from its fields by number: segment("PV1", f2="I")."""
    numbered = {int(at[1:]): text for at, text in fields.items()}
    return "|".join([name, *(numbered.get(at, "") for at in range(1, max(numbered) + 1))]) + "\n"


def head(kind: str, time: str = "20240102", version: str = "2.4", who: str = "EPIC", control: str = "1") -> str:
    return f"MSH|^~\\&|{who}|HOSP|||{time}||{kind}|{control}|P|{version}\n"


JANE = segment("PID", f1="1", f3="777^^^HOSP^MR", f5="Doe^Jane")
STAY = segment("PV1", f1="1", f2="I", f19="V100")
ADMIT = (
    head("ADT^A01", "202401021530", "2.3")
    + "EVN|A01|202401021530\n"
    + segment(
        "PID",
        f3="777^^^HOSP^MR~123-45-6789^^^USSSA^SS",
        f5="Doe^Jane^Q^^^^L",
        f7="19800214",
        f8="F",
        f10="2054-5^Black^HL70005",
        f11="1 Main St^^Boston^MA^02101^USA",
        f13="555-1234^PRN^PH~^NET^Internet^jd@example.com",
        f15="eng",
        f16="M",
    )
    + segment(
        "PV1",
        f2="I",
        f3="ICU^1^A^HOSP",
        f7="1234^Smith^John^^^Dr",
        f17="5678^Adams^Ann",
        f19="V100",
        f44="202401021500",
    )
    + segment("DG1", f1="1", f2="ICD10", f3="I21.9^Acute MI^I10", f5="202401021500", f6="A")
    + "AL1|1|DA|70618^Penicillin^RXNORM|SV|Hives|20100101\nZXX|1|house's own\n"
)
RESULT = (
    head("ORU^R01^ORU_R01", "20240102160000", "2.5", "LAB")
    + JANE
    + STAY
    + "ORC|RE|ORD1|FIL1\n"
    + segment(
        "OBR", f2="ORD1", f3="FIL1", f4="2951-2^Sodium^LN", f7="202401021555", f16="1234^Smith", f24="LAB", f25="F"
    )
    + "OBX|1|NM|2951-2^Sodium^LN||141|mmol/L|136-145|N|||F\n"
    + "OBX|2|SN|2345-7^Glucose^LN||<^50|mg/dL|70-99|LL|||F\n"
    + "OBX|3|CE|5778-6^Color^LN||YEL^Yellow^L||||||F\n"
    + "OBX|4|NM|NA^Natrium^L^2951-2^Sodium^LN||5.5|mmol/L|>3.5|H|||F\n"
    + "OBX|5|ED|PDF^Report^L||^application^pdf^Base64^AAAA||||||F\nNTE|1|L|seen twice\n"
)
DISCHARGE = (
    head("ADT^A03", "202401051000", "2.3")
    + "EVN|A03|202401051000\n"
    + JANE
    + segment("PV1", f2="I", f3="WARD^2^B^HOSP", f19="V100", f36="01")
    + segment("DG1", f1="1", f2="ICD10", f3="I21.9^Acute MI^I10", f5="202401021500", f6="F")
)
REPORT = (
    head("ORU^R01", "20240103", who="RIS")
    + JANE
    + segment("OBR", f2="ORD2", f3="FIL2", f4="71045^Chest X-ray^C4", f7="20240103080000", f24="RAD", f25="F")
    + "OBX|1|TX|71045^Chest X-ray^C4||Heart not enlarged.||||||F\n"
    + "OBX|2|TX|71045^Chest X-ray^C4||Lungs clear.||||||F\n"
)
DRUG = (
    head("RDE^O11", who="CPOE")
    + JANE
    + STAY
    + segment("ORC", f1="NW", f2="RX1", f12="1234^Smith^John")
    + "RXE|1^BID^^202401021800^202401051200|197361^Amlodipine 5 MG^RXNORM|5||mg|||||60||2\nRXR|PO\n"
)
VACCINE = (
    head("VXU^V04^VXU_V04", version="2.5.1", who="IIS")
    + JANE
    + "ORC|RE||VX1\n"
    + segment("RXA", f1="0", f2="1", f3="20240102", f4="20240102", f5="140^Influenza^CVX", f6="0.5", f15="LOT9")
    + "RXR|IM^Intramuscular^HL70162|LD^Left Deltoid^HL70163\nOBX|1|CE|64994-7^Eligibility^LN|1|V01||||||F\n"
)
CHARGE = (
    head("DFT^P03", "20240106", who="BILL")
    + "EVN|P03|20240106\n"
    + segment("PID", f3="777^^^HOSP^MR", f18="ACC9")
    + STAY
    + segment("FT1", f1="1", f2="T1", f4="20240102", f6="CG", f7="99223^Visit^C4", f10="2", f12="100.50")
    + segment("FT1", f1="2", f2="T2", f4="20240107", f6="PY", f7="PAY", f11="150&USD")
    + segment("IN1", f1="1", f2="GOLD", f3="AETNA", f4="Aetna Inc", f8="GRP", f12="20230101", f36="POL7")
)
FEED = (ADMIT, RESULT, DISCHARGE, REPORT, DRUG, VACCINE, CHARGE)


def put(folder: Path, *texts: str, end: str = "\r", encoding: str = "utf-8") -> Path:
    path = folder / "feed.hl7"
    path.write_bytes("".join(texts).replace("\n", end).encode(encoding))
    return path


def read(path: Path) -> Dataset:
    with pytest.warns(DataWarning):
        return Hl7v2Source().read(path)


def unplaced(dataset: Dataset) -> dict[str, int]:
    return dict(dataset.provenance.steps[-1].params["unplaced"])


def one(dataset: Dataset, table: str) -> dict[str, object]:
    (row,) = dataset.tables[table].to_dicts()
    return row


# ---------------------------------------------------------------------- another maker's feed
@pytest.fixture
def found(tmp_path: Path) -> Dataset:
    return read(put(tmp_path, *FEED))


def test_a_patient_is_one_person_whatever_message_tells(found: Dataset) -> None:
    person = one(found, "patient")
    assert (person["patient_id"], person["record_number"], person["national_id"]) == ("777", "777", "123-45-6789")
    assert (person["given_name"], person["family_name"], person["sex"], person["race"]) == (
        "Jane",
        "Doe",
        "female",
        "black",
    )
    assert (person["birth_date"], person["city"], person["email"]) == (date(1980, 2, 14), "Boston", "jd@example.com")
    assert (person["phone"], person["marital_status"]) == ("555-1234", "married")


def test_a_visit_has_its_start_and_end_from_events_and_the_last_place(found: Dataset) -> None:
    visit = one(found, "encounter")
    assert (visit["encounter_id"], visit["class"], visit["disposition"]) == ("V100", "inpatient", "home")
    assert (visit["start"], visit["stop"]) == (datetime(2024, 1, 2, 15, 0), datetime(2024, 1, 5, 10, 0))
    assert (visit["practitioner_id"], visit["location_id"], visit["organization_id"]) == ("1234", "WARD", "HOSP")
    assert {"1234", "5678"} <= set(found.tables["practitioner"]["practitioner_id"])
    assert set(found.tables["location"]["location_id"]) == {"ICU", "WARD"}


def test_results_have_value_text_range_and_flag(found: Dataset) -> None:
    rows = found.tables["observation"].to_dicts()
    assert [(row["code"], row["value"], row["text_value"]) for row in rows] == [
        ("2951-2", 141.0, None),
        ("2345-7", None, "<^50"),
        ("5778-6", None, "Yellow"),
        ("2951-2", 5.5, None),
    ]
    assert [(row["low"], row["high"], row["interpretation"]) for row in rows] == [
        (136.0, 145.0, "normal"),
        (70.0, 99.0, "critical low"),
        (None, None, None),
        (3.5, None, "high"),
    ]
    assert {row["order_id"] for row in rows} == {"ORD1"} and {row["category"] for row in rows} == {"laboratory"}
    assert {row["time"] for row in rows} == {datetime(2024, 1, 2, 15, 55)}
    order = found.tables["order"].filter(order_id="ORD1").to_dicts()[0]
    assert (order["kind"], order["status"], order["practitioner_id"]) == ("laboratory", "completed", "1234")


def test_a_narrative_of_several_lines_is_one_report(found: Dataset) -> None:
    report = one(found, "report")
    assert report["text"] == "Heart not enlarged.\nLungs clear."
    assert (report["kind"], report["display"], report["order_id"]) == ("imaging", "Chest X-ray", "ORD2")


def test_diagnoses_and_allergies_that_are_repeated_are_one(found: Dataset) -> None:
    condition, allergy = one(found, "condition"), one(found, "allergy")
    assert (condition["code"], condition["system"]) == ("I21.9", "ICD-10-CM")
    assert (allergy["code"], allergy["category"], allergy["severity"]) == ("70618", "medication", "severe")
    assert allergy["reaction_display"] == "Hives" and allergy["onset"] == datetime(2010, 1, 1)


def test_drugs_vaccines_and_money(found: Dataset) -> None:
    drug, vaccine, claim = one(found, "medication"), one(found, "immunization"), one(found, "claim")
    assert (drug["medication_id"], drug["dose"], drug["route"], drug["refills"], drug["quantity"]) == (
        "RX1",
        5.0,
        "oral",
        2,
        60.0,
    )
    assert drug["start"] == datetime(2024, 1, 2, 18, 0) and drug["stop"] == datetime(2024, 1, 5, 12, 0)
    assert (vaccine["code"], vaccine["lot"], vaccine["site"]) == ("140", "LOT9", "Left Deltoid")
    assert claim["claim_id"] == "ACC9"
    line, paid = one(found, "claim_line"), one(found, "payment")
    assert (line["code"], line["system"], line["amount"]) == ("99223", "CPT", 201.0)
    assert (paid["payer_part"], paid["patient_part"]) == (150.0, None)
    assert one(found, "coverage")["payer_id"] == "AETNA" and one(found, "payer")["name"] == "Aetna Inc"


def test_what_has_no_place_is_counted_by_name(found: Dataset) -> None:
    left = unplaced(found)
    assert left["ZXX"] == 1 and left["OBX-5 of types ED and RP"] == 1
    assert left["OBX: about an immunization, but for its dose number"] == 1 and left["IN1-8"] == 1
    assert not [name for name in left if "Doe" in name or "777" in name]


# ---------------------------------------------------------------------- forms
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_end_of_line_says_the_same(found: Dataset, tmp_path: Path, end: str) -> None:
    assert not [o for o in compare(found, read(put(tmp_path, *FEED, end=end))) if o.n_differ]


def test_mllp_bytes_and_batch_headers_say_the_same(found: Dataset, tmp_path: Path) -> None:
    framed = "".join(f"\x0b{text}\x1c\n" for text in FEED)
    assert not [o for o in compare(found, read(put(tmp_path, framed))) if o.n_differ]
    batch = f"FHS|^~\\&|X\nBHS|^~\\&|X\n{''.join(FEED)}BTS|{len(FEED)}\nFTS|1\n"
    assert not [o for o in compare(found, read(put(tmp_path, batch))) if o.n_differ]


def test_other_separators_say_the_same(found: Dataset, tmp_path: Path) -> None:
    own = str.maketrans("|^~\\&", "#*%$@")
    mixed = [text.translate(own) if k % 2 else text for k, text in enumerate(FEED)]
    assert not [o for o in compare(found, read(put(tmp_path, *mixed))) if o.n_differ and o.column != "text_value"]


def test_separators_of_others_are_plain_signs_within_a_cell(tmp_path: Path) -> None:
    text = "MSH#*%$@#A#B###20240101##ADT*A08#1#P#2.5\nPID#1##9***A*PI##O|N^e~i\\l&*Z$F$x$S$y$E$z\n"
    person = one(Hl7v2Source().read(put(tmp_path, text)), "patient")
    assert (person["family_name"], person["given_name"]) == ("O|N^e~i\\l&", "Z#x*y$z")


def test_escapes_of_any_kind(tmp_path: Path) -> None:
    text = (
        "MSH|^~\\&|A|B|||20240101||ADT^A08|1|P|2.5\n"
        "PID|1||9^^^A^PI||a\\T\\b\\X41c3a9\\^\\H\\c\\N\\\\.sp2\\d\\x||||||\\Zown\\\n"
    )
    person = one(read(put(tmp_path, text)), "patient")
    assert (person["family_name"], person["given_name"]) == ("a&bAé", "c\nd\\x")


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("UNICODE UTF-8", "utf-8"), ("8859/1", "latin-1"), ("8859/15", "iso-8859-15"), ("", "utf-8"), ("", "utf-8-sig")],
)
def test_character_sets(tmp_path: Path, name: str, encoding: str) -> None:
    text = f"MSH|^~\\&|A|B|||20240101||ADT^A08|1|P|2.5||||||{name}\nPID|1||9^^^A^PI||Müller^Zoë\n"
    person = one(Hl7v2Source().read(put(tmp_path, text, encoding=encoding)), "patient")
    assert (person["family_name"], person["given_name"]) == ("Müller", "Zoë")


def test_no_character_set_and_no_utf8_is_read_as_latin_and_told(tmp_path: Path) -> None:
    text = "MSH|^~\\&|A|B|||20240101||ADT^A08|1|P|2.5\nPID|1||9^^^A^PI||Müller^Zoë\n"
    dataset = read(put(tmp_path, text, encoding="latin-1"))
    assert one(dataset, "patient")["family_name"] == "Müller"
    assert unplaced(dataset) == {"MSH-18: none, read as ISO 8859-1": 1}


@pytest.mark.parametrize(("version", "expected"), [("2.3", 1), ("2.8", 1), ("2.5.1^USA", 1), ("", 1)])
def test_versions(tmp_path: Path, version: str, expected: int) -> None:
    text = f"MSH|^~\\&|A|B|||20240101||ADT^A08|1|P|{version}\nPID|1||9^^^A^PI||Doe\n"
    assert Hl7v2Source().read(put(tmp_path, text)).n_subjects == expected


# ---------------------------------------------------------------------- updates
def person(number: str, rest: str, event: str = "A08") -> str:
    return f"MSH|^~\\&|A|B|||20240101||ADT^{event}|1|P|2.5\nPID|1||{number}^^^A^PI||{rest}\n"


def test_later_messages_win_and_two_quotes_delete(tmp_path: Path) -> None:
    text = person("9", "Doe^Ann||19800101|F") + person("9", 'Roe^""')
    row = one(Hl7v2Source().read(put(tmp_path, text)), "patient")
    assert (row["family_name"], row["given_name"], row["sex"]) == ("Roe", None, "female")


def test_merges_go_through_chains(tmp_path: Path) -> None:
    seen = "MSH|^~\\&|A|B|||20240101||ORU^R01|1|P|2.5\nPID|1||T1^^^A^PI\nOBR|1||F|1^a^L\nOBX|1|NM|1^a^L||7\n"
    text = person("T1", "Doe") + seen + person("T2", "Doe", "A40") + "MRG|T1\n" + person("9", "Doe", "A40") + "MRG|T2\n"
    dataset = Hl7v2Source().read(put(tmp_path, text))
    assert dataset.n_subjects == 1 and dataset.tables["observation"]["patient_id"].to_list() == ["9"]


def test_a_corrected_result_replaces_the_former(tmp_path: Path) -> None:
    result = head("ORU^R01") + JANE + "OBR|1||F7|1^a^L\nOBX|1|NM|1^a^L||{}||||||{}\n"
    dataset = Hl7v2Source().read(put(tmp_path, result.format(5, "P"), result.format(6, "C")))
    assert dataset.tables["observation"]["value"].to_list() == [6.0]


def test_several_patients_in_one_message_keep_their_results(tmp_path: Path) -> None:
    text = "MSH|^~\\&|A|B|||20240101||ORU^R01|1|P|2.5\n" + "".join(
        f"PID|1||{who}^^^A^PI\nOBR|1||F{who}|1^a^L\nOBX|1|NM|1^a^L||{who}\n" for who in (3, 4)
    )
    rows = Hl7v2Source().read(put(tmp_path, text)).tables["observation"]
    assert rows.select("patient_id", "value").rows() == [("3", 3.0), ("4", 4.0)]


def test_appointments_alone_are_no_visits_and_are_counted(tmp_path: Path) -> None:
    text = (
        "MSH|^~\\&|A|B|||20240101||SIU^S12|1|P|2.5\nSCH|1|A77||||ROUTINE\nPID|1||9^^^A^PI||Doe\n"
        "PV1|1|O||||||||||||||||||V5\n"
    )
    dataset = read(put(tmp_path, text))
    assert dataset.tables["encounter"].height == 0 and unplaced(dataset) == {"SCH: appointments without a visit": 1}


def test_parts_and_other_files_of_a_folder(cohort: Dataset, tmp_path: Path) -> None:
    Hl7v2Exporter().write(cohort, tmp_path, part=0, tables=("patient",))
    Hl7v2Exporter().write(cohort, tmp_path, tables=("payer",))
    place = tmp_path / "hl7v2"
    assert Hl7v2Source.fits(place) and Hl7v2Source().parts(place) == 1
    assert not Hl7v2Source.fits(tmp_path / "none") and Hl7v2Source().parts(place / "feed-00000.hl7") == 0
    (place / "notes.txt").write_text("not ours")
    assert Hl7v2Source().read(place, origin="simulated").n_subjects == 200


# ---------------------------------------------------------------------- bad input
GOOD = person("9", "Secret^Name")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello world\n", "begins with something else"),
        (GOOD + "PID\n1||broken line with Secret\n", "message 1, segment 4: no segment"),
        (GOOD + GOOD + "OB", "message 2, segment 3: no segment"),
        (GOOD + "MSH|^~\n", "message 2, segment 1: its header is incomplete"),
        (GOOD + "PV1^1^O\n", "message 1, segment 3: no segment"),
        (GOOD + "MSH|^~\\&|A|B|||20240101||||P|2.5\n", "message 2: no type in MSH-9"),
        (GOOD + "MSH|^~\\&|A|B|||20240101||ADT^A01|1|P|3.0\n", "message 2: MSH-12 names no version 2"),
        ("FHS|^~\\&\nBHS|^~\\&\n" + GOOD, "lacks the trailer FTS"),
        ("BHS|^~\\&\n" + GOOD + "BTS|2\n", "Batch 1 says 2 and holds 1"),
        ("\x0b" + GOOD + "\x1c\n\x0b" + GOOD[:60], "no end byte"),
        (GOOD.replace("|2.5", "|2.5||||||KLINGON"), "MSH-18"),
    ],
)
def test_bad_files_are_named_by_place_without_content(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        Hl7v2Source().read(put(tmp_path, text))
    assert words in str(caught.value) and "feed.hl7" in str(caught.value)
    assert "Secret" not in str(caught.value) and "hello" not in str(caught.value)


def test_bytes_of_another_character_set_are_named_by_message(tmp_path: Path) -> None:
    text = GOOD.replace("|2.5", "|2.5||||||UNICODE UTF-8") + person("9", "Müller")
    with pytest.raises(SourceError, match="Message 2 holds bytes that are not of it") as caught:
        Hl7v2Source().read(put(tmp_path, text, encoding="latin-1"))
    assert "ller" not in str(caught.value)


def test_a_folder_without_files_and_a_feed_without_records(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds none"):
        Hl7v2Source().read(tmp_path)
    with pytest.raises(SourceError, match="None was found"):
        Hl7v2Source().read(put(tmp_path, "MSH|^~\\&|A|B|||20240101||ACK|1|P|2.5\nMSA|AA|7\n"))
    path = put(tmp_path, "FHS|^~\\&\nFTS|0\n")
    with pytest.raises(SourceError, match="None was found"):
        Hl7v2Source().read(path)


def test_segments_of_nobody_are_counted(tmp_path: Path) -> None:
    text = GOOD + "MSH|^~\\&|A|B|||20240101||ORU^R01|1|P|2.5\nOBR|1||F|1^a^L\nOBX|1|NM|1^a^L||7\n"
    dataset = read(put(tmp_path, text))
    assert unplaced(dataset)["OBX: segments of no patient"] == 1
    assert dataset.tables["observation"].height == 0 and isinstance(dataset.tables["patient"], pl.DataFrame)
