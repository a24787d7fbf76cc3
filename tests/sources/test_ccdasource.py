"""C-CDA of other makers, and what is refused: entities, depth, damage, other XML."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from ehrsatz.errors import SourceError
from ehrsatz.sources.ccda import parse
from ehrsatz.sources.ccda.source import CcdaSource

T = "2.16.840.1.113883.10.20.22"
HEAD = (
    '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
)
PATIENT = """<recordTarget><patientRole><id root="1.2.3" extension="M77"/>
<id root="2.16.840.1.113883.4.1" extension="111-00-1"/>
<telecom value="tel:555-0100"/><patient><name use="L"><given>Ann</given><given>B</given><family>Example</family></name>
<administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19750501"/>
<raceCode code="2106-3" codeSystem="2.16.840.1.113883.6.238"/><sdtc:raceCode code="2028-9"/>
</patient></patientRole></recordTarget>"""
PROBLEM = f"""<section><templateId root="{T}.2.5.1"/><code code="11450-4"/><entry><act classCode="ACT" moodCode="EVN">
<templateId root="{T}.4.3"/><statusCode code="active"/><entryRelationship typeCode="SUBJ"><observation classCode="OBS"
moodCode="EVN"><templateId root="{T}.4.4"/><id root="AB12"/><effectiveTime><low value="20080103"/></effectiveTime>
<value xsi:type="CD" code="195967001" codeSystem="2.16.840.1.113883.6.96" displayName="Asthma">
<translation code="J45.909"
codeSystem="2.16.840.1.113883.6.90" displayName="Unspecified asthma"/></value><entryRelationship typeCode="REFR">
<observation><templateId root="{T}.4.6"/><value xsi:type="CD" code="413322009" codeSystem="2.16.840.1.113883.6.96"/>
</observation></entryRelationship><entryRelationship typeCode="SUBJ"><observation><templateId root="{T}.4.31"/>
</observation></entryRelationship></observation></entryRelationship></act></entry></section>"""
RESULTS = f"""<section><code code="30954-2" codeSystem="2.16.840.1.113883.6.1"/><entry><organizer classCode="BATTERY"
moodCode="EVN"><templateId root="{T}.4.1"/><id root="9.9" extension="p1"/><code code="24323-8"
codeSystem="2.16.840.1.113883.6.1" displayName="CMP"/><statusCode code="completed"/>
<effectiveTime value="202001021530-0500"/>
<component><observation classCode="OBS" moodCode="EVN"><id root="9.8" extension="o1"/><code code="2345-7"
codeSystem="2.16.840.1.113883.6.1" displayName="Glucose"/><value xsi:type="PQ" value="101.50" unit="mg/dL"/>
<interpretationCode code="H"/><referenceRange><observationRange><value xsi:type="IVL_PQ"><low value="70" unit="mg/dL"/>
<high value="99" unit="mg/dL"/></value></observationRange></referenceRange></observation></component><component>
<observation classCode="OBS" moodCode="EVN"><id root="9.8" extension="o1"/><code code="5778-6"
codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="20200102"/><value xsi:type="CD" code="371244009"
codeSystem="2.16.840.1.113883.6.96" displayName="Yellow"/></observation></component></organizer></entry></section>"""
STRANGE = '<section><code code="42348-3"/><entry><observation/></entry><entry><observation/></entry></section>'


def document(*sections: str, head: str = HEAD, patient: str = PATIENT) -> str:
    body = "".join(f"<component>{one}</component>" for one in sections)
    return f"{head}{patient}<component><structuredBody>{body}</structuredBody></component></ClinicalDocument>"


def put(folder: Path, text: str | bytes, name: str = "a.xml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.filterwarnings("ignore::ehrsatz.errors.DataWarning")
def test_another_maker_is_read(tmp_path: Path) -> None:
    found = CcdaSource().read(put(tmp_path, document(PROBLEM, RESULTS, STRANGE)))
    (patient,) = found.tables["patient"].to_dicts()
    assert (patient["patient_id"], patient["given_name"], patient["family_name"]) == ("M77", "Ann B", "Example")
    assert (patient["race"], patient["national_id"], patient["phone"]) == ("multiple", "111-00-1", "555-0100")
    (condition,) = found.tables["condition"].to_dicts()
    assert (condition["code"], condition["system"], condition["snomed_code"]) == ("J45.909", "ICD-10-CM", "195967001")
    assert (condition["status"], condition["onset"]) == ("resolved", datetime(2008, 1, 3))
    first, second = found.tables["observation"].to_dicts()
    assert (first["value"], first["unit"], first["low"], first["high"]) == (101.5, "mg/dL", 70.0, 99.0)
    assert (first["interpretation"], first["time"]) == ("high", datetime(2020, 1, 2, 15, 30))
    assert (second["text_value"], second["observation_id"]) == ("Yellow", "9.8^o1~2")
    assert found.tables["order"]["code"].to_list() == ["24323-8"]
    unplaced = found.provenance.steps[-1].params["unplaced"]
    assert unplaced["section 42348-3"] == 2 and unplaced[f"problems.{T}.4.31"] == 1


def test_the_format_is_known_by_its_content(tmp_path: Path) -> None:
    assert CcdaSource.fits(put(tmp_path, document(PROBLEM)))
    assert CcdaSource.fits(tmp_path)
    assert not CcdaSource.fits(put(tmp_path, "<other/>", "b.xml"))


LAUGHS = "<!DOCTYPE l [" + '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefgh", "bcdefghi")
) + "]>"  # fmt: skip


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE ClinicalDocument [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE ClinicalDocument SYSTEM "http://example.org/evil.dtd">',
        '<?xml version="1.0"?><!-- c --><!DOCTYPE ClinicalDocument [<!ENTITY % p SYSTEM "x"> %p;]>',
        LAUGHS,
    ],
    ids=["file", "dtd", "parameter", "laughs"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_and_entities_are_refused(tmp_path: Path, prolog: str, encoding: str) -> None:
    head = prolog if encoding == "utf-8" else prolog.replace('<?xml version="1.0"?>', "")
    text = document(PROBLEM, head=head + HEAD).replace("Example", "&x;" if "ENTITY x" in prolog else "&i;")
    with pytest.raises(SourceError, match="document type declaration") as caught:
        CcdaSource().read(put(tmp_path, text.encode(encoding)))
    assert "passwd" not in str(caught.value)


def test_damage_is_told_by_its_line_without_content(tmp_path: Path) -> None:
    text = document(PROBLEM, RESULTS)
    cut = text[: text.index("Asthma") + 3]
    with pytest.raises(SourceError, match=r"damaged in line \d+") as caught:
        CcdaSource().read(put(tmp_path, cut))
    assert "Ast" not in str(caught.value) and "Example" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "<a/>", "not xml", document(patient="")])
def test_what_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError):
        CcdaSource().read(put(tmp_path, text))


def test_depth_and_size_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = document(f"<section><text>{'<list>' * 200}{'</list>' * 200}</text></section>")
    with pytest.raises(SourceError, match="levels"):
        CcdaSource().read(put(tmp_path, deep))
    monkeypatch.setattr(parse, "MOST_BYTES", 100)
    with pytest.raises(SourceError, match="at most"):
        CcdaSource().read(put(tmp_path, document(PROBLEM)))


def test_a_folder_without_documents_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="None was found"):
        CcdaSource().read(tmp_path)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2020", datetime(2020, 1, 1)),
        ("20200102", datetime(2020, 1, 2)),
        ("20200102153059.25+0100", datetime(2020, 1, 2, 15, 30, 59, 250000)),
        ("202013", None),
        ("soon", None),
        (None, None),
    ],
)
def test_timestamps(text: str | None, time: datetime | None) -> None:
    assert parse.moment(text) == time
