"""X12 of other makers, and what is refused: no ISA, cut off, trailers that count something else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from ehrsatz.errors import SourceError
from ehrsatz.sources.x12.source import X12Source

ISA = "ISA|00|          |00|          |ZZ|ACME           |ZZ|PAYER          |200103|1200|!|00501|000000007|0|P|:"
CLAIM = [
    "GS|HC|ACME|PAYER|20200103|1200|7|X|005010X222A1",
    "ST|837|0021|005010X222A1",
    "BHT|0019|00|1|20200103|1200|CH",
    "NM1|41|2|ACME BILLING|||||46|ACME",
    "PER|IC|JANE|TE|5550100",
    "NM1|40|2|BIG PAYER|||||46|PAYER",
    "HL|1||20|1",
    "NM1|85|2|TOWN CLINIC|||||XX|1234567893",
    "N3|1 MAIN ST",
    "N4|TOWN|OH|431239998",
    "REF|EI|123456789",
    "HL|2|1|22|1",
    "SBR|P||GRP9||||||CI",
    "NM1|IL|1|DOE|JOHN||||MI|M1",
    "NM1|PR|2|BIG PAYER|||||PI|BP1",
    "HL|3|2|23|0",
    "PAT|19",
    "NM1|QC|1|DOE|MARY",
    "N3|2 SIDE ST",
    "N4|TOWN|OH|43123",
    "DMG|D8|20100405|F",
    "CLM|A-1|150.5|||11:B:1|Y|A|Y|Y",
    "REF|G1|AUTH",
    "HI|ABK:J45909|ABF:Z3A01",
    "NM1|82|1|HOUSE|GREGORY||||XX|1999999984",
    "LX|1",
    "SV1|HC:99213:25|100|UN|1|||1",
    "DTP|472|D8|20200102",
    "REF|6R|L1",
    "LX|2",
    "SV1|HC:J3301|50.5|UN|2|||1",
    "DTP|472|RD8|20200102-20200104",
    "SE|32|0021",
    "GE|1|7",
]
REMIT = [
    "GS|HP|PAYER|ACME|20200203|1200|8|X|005010X221A1",
    "ST|835|0001",
    "BPR|I|80|C|CHK||||||||||||20200203",
    "TRN|1|CHK1|1999999999",
    "N1|PR|BIG PAYER",
    "N3|PO BOX",
    "N4|TOWN|OH|43123",
    "REF|2U|BP1",
    "PER|BL|X|TE|5550100",
    "N1|PE|TOWN CLINIC|XX|1234567893",
    "LX|1",
    "CLP|A-1|1|150.5|80|20.5|12|ICN1|11|1",
    "NM1|QC|1|DOE|MARY",
    "SVC|HC:99213:25|100|60||1",
    "CAS|CO|45|30",
    "CAS|PR|3|10",
    "SVC|HC:J3301|50.5|20||2",
    "CAS|CO|45|15|1|253|5",
    "CAS|PR|2|10.5",
    "SE|19|0001",
    "GE|1|8",
]


def interchange(*parts: list[str]) -> str:
    groups = [one for part in parts for one in part]
    return "'\n".join([ISA, *groups, f"IEA|{len(parts)}|000000007"]) + "'\n"


def put(folder: Path, text: str, name: str = "a.edi") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.filterwarnings("ignore::ehrsatz.errors.DataWarning")
def test_another_maker_is_read_with_its_own_delimiters(tmp_path: Path) -> None:
    found = X12Source().read(put(tmp_path, interchange(CLAIM, REMIT)))
    (claim,) = found.tables["claim"].to_dicts()
    assert (claim["claim_id"], claim["total"], claim["status"]) == ("A-1", 150.5, "paid")
    (patient,) = found.tables["patient"].to_dicts()
    assert (patient["given_name"], patient["sex"], patient["city"]) == ("MARY", "female", "TOWN")
    first, second = found.tables["claim_line"].to_dicts()
    assert (first["claim_line_id"], first["code"], first["system"], first["amount"]) == ("L1", "99213", "CPT", 100.0)
    assert (second["number"], second["code"], second["system"], second["time"]) == (
        2,
        "J3301",
        "HCPCS",
        datetime(2020, 1, 2),
    )
    (payment,) = found.tables["payment"].to_dicts()
    assert (payment["payment_id"], payment["time"]) == ("ICN1", datetime(2020, 2, 3))
    assert (payment["payer_part"], payment["patient_part"], payment["adjustment"]) == (80.0, 20.5, 50.0)
    (coverage,) = found.tables["coverage"].to_dicts()
    assert coverage["payer_id"] == "BP1" and found.tables["payer"]["kind"].to_list() == ["private"]
    (visit,) = found.tables["encounter"].to_dicts()
    assert (visit["class"], visit["reason_code"]) == ("ambulatory", "J45.909")
    assert (visit["start"], visit["stop"]) == (datetime(2020, 1, 2), datetime(2020, 1, 4))
    assert found.tables["practitioner"]["family_name"].to_list() == ["HOUSE"]
    assert found.tables["condition"]["code"].to_list() == ["J45.909", "Z3A.01"]
    unplaced = found.provenance.steps[-1].params["unplaced"]
    assert unplaced["837.REF G1"] == 1 and unplaced["835.SVC"] == 2


@pytest.mark.filterwarnings("ignore::ehrsatz.errors.DataWarning")
def test_a_remittance_alone_gives_claim_and_payment(tmp_path: Path) -> None:
    found = X12Source().read(put(tmp_path, interchange(REMIT)))
    assert found.tables["claim"]["total"].to_list() == [150.5]
    assert found.tables["payment"]["patient_id"].to_list() == ["MARY DOE"]


def test_the_format_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert X12Source.fits(put(tmp_path, interchange(CLAIM)))
    assert X12Source.fits(tmp_path)
    assert not X12Source.fits(put(tmp_path, "id,name\n", "b.txt"))


def damaged(kind: str) -> str:
    whole = interchange(CLAIM, REMIT)
    return {
        "cut": whole[: whole.index("SV1|HC:J3301")],
        "no end": whole[: whole.index("IEA")],
        "no isa": whole[whole.index("GS|HC") :],
        "empty": "",
        "segments": whole.replace("SE|32|", "SE|33|"),
        "lost": whole.replace("REF|6R|L1'\n", ""),
        "sets": whole.replace("GE|1|7", "GE|2|7"),
        "groups": whole.replace("IEA|2|", "IEA|1|"),
        "number": whole.replace("SE|32|0021", "SE|32|0022"),
        "order": whole.replace("GE|1|7'\n", ""),
        "tail": whole + "more",
        "word": whole.replace("SE|32|", "SE|many|"),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["cut", "no end", "no isa", "empty", "segments", "lost", "sets", "groups", "number", "order", "tail", "word"],
)
def test_damage_is_refused_without_content(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError) as caught:
        X12Source().read(put(tmp_path, damaged(kind)))
    told = str(caught.value)
    assert "DOE" not in told and "MARY" not in told and "L1" not in told
    assert "Expected" in told
