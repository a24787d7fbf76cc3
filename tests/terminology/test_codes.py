"""Codes: every one that the package names is shipped, exists in the published lists, and means what they say."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ehrsatz import clinical, terminology
from ehrsatz.errors import SourceError, UnknownNameError
from ehrsatz.terminology import lists, shipped
from ehrsatz.terminology.cpt import read_map

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The build script, as a module."""
    spec = importlib.util.spec_from_file_location("codes_script", ROOT / "scripts" / "codes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["codes_script"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def published(data_dir: Path) -> lists.Lists:
    return lists.read(data_dir / "terminology")


def test_every_code_that_is_named_is_shipped(script: ModuleType) -> None:
    used = script.used()
    assert len(used) > 100
    absent = [
        f"{where}: {system} {code}" for (system, code), where in used.items() if not terminology.has(system, code)
    ]
    assert not absent, "run: python scripts/codes.py ../shared/data/terminology"


def test_no_code_is_shipped_that_nothing_names(script: ModuleType) -> None:
    assert set(terminology.codes().displays) == set(script.used())


def test_every_shipped_code_is_published_with_the_same_display(published: lists.Lists) -> None:
    wrong = [pair for pair, text in terminology.codes().displays.items() if published.display(*pair) != text]
    assert not wrong


def test_diagnoses_are_codes_for_use(published: lists.Lists) -> None:
    headings = [one for one in terminology.codes().of(clinical.ICD10CM) if not published.is_whole(one)]
    assert not headings


def test_no_system_but_ours_is_shipped() -> None:
    systems = {system for system, _ in terminology.codes().displays}
    assert systems <= set(clinical.SYSTEMS) and "CPT" not in terminology.SYSTEMS
    assert set(terminology.SYSTEMS) == set(clinical.SYSTEMS)
    text = terminology.notice()
    assert "LOINC is copyright Regenstrief Institute" in text and "SNOMED International" in text


def test_seventh_characters(published: lists.Lists) -> None:
    told = {
        "S72.001A": "Fracture of unspecified part of neck of right femur, initial encounter for closed fracture",
        "T78.40XS": "Allergy, unspecified, sequela",
        "W19.XXXD": "Unspecified fall, subsequent encounter",
    }
    assert {code: published.display("ICD-10-CM", code) for code in told} == told
    assert published.is_whole("S72.001A") and published.is_whole("I10") and not published.is_whole("S72.001")
    for wrong in ("S72.001Z", "S72001A", "W19.XXA", "I10.XXXA", "A00", "M10"):
        if wrong in {"A00", "M10"}:
            assert not published.is_whole(wrong)
        else:
            with pytest.raises(UnknownNameError):
                published.display("ICD-10-CM", wrong)


def test_looking_up() -> None:
    system, code = next(iter(terminology.codes().displays))
    assert terminology.has(system, code) and terminology.check(system, code) == [] and terminology.display(system, code)
    assert terminology.check("ICD-10-CM", "M10.99") == [
        "ICD-10-CM M10.99: not in the list of codes. Did you mean 'M10.9'?"
    ]
    assert terminology.check("ICD-10", "M10.9") == ["no system is named 'ICD-10'. Did you mean 'ICD-10-CM'?"]
    with pytest.raises(UnknownNameError, match=r"codes\.csv"):
        terminology.display("LOINC", "no")
    assert terminology.display("UCUM", "mg/dL") == "mg/dL" and terminology.check("UCUM", "mmHg")


def test_a_users_own_codes(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text("system,code,display\nLOINC,1-8,Mine\nICD-10-CM,M10.9,Not this\n")
    more = terminology.codes().with_file(path)
    assert more.display("LOINC", "1-8") == "Mine" and not terminology.has("LOINC", "1-8")
    assert more.display("ICD-10-CM", "M10.9") == "Gout, unspecified"
    for text, told in [
        ("a,b\n1,2\n", "other columns"),
        ("system,code,display\nCPT,99213,Visit\n", "1 of 1 lines"),
        ("system,code,display\nLOINC,,x\nLOINC,1,\n", "2 of 2 lines"),
        ("system,code,display\nLOINC,1,x\nLOINC,1,y\n", "1 of 2 lines"),
    ]:
        path.write_text(text)
        with pytest.raises(SourceError, match=told):
            terminology.codes().with_file(path)
    with pytest.raises(SourceError, match="cannot be read"):
        terminology.codes().with_file(tmp_path / "absent.csv")


def test_a_licensed_users_map_to_cpt(tmp_path: Path) -> None:
    path = tmp_path / "cpt.csv"
    path.write_text("system,code,cpt\nSNOMED-CT,185347001,00001\nLOINC,718-7,0001F\n")
    assert read_map(path) == {("SNOMED-CT", "185347001"): "00001", ("LOINC", "718-7"): "0001F"}
    for text, told in [
        ("system,code\nLOINC,1\n", "other columns"),
        ("", "other columns"),
        ("system,code,cpt\nLOINC,718-7,123\n", "1 of 1 lines"),
        ("system,code,cpt\nX,718-7,00001\n", "1 of 1 lines"),
        ("system,code,cpt\nLOINC,718-7\n", "1 of 1 lines"),
        ("system,code,cpt\nLOINC,718-7,00001\nLOINC,718-7,00002\n", "another CPT"),
    ]:
        path.write_text(text)
        with pytest.raises(SourceError) as caught:
            read_map(path)
        assert told in str(caught.value) and "718-7" not in str(caught.value)


def test_the_script_refuses_a_code_of_no_list(
    script: ModuleType,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "codes.csv"
    monkeypatch.setattr(shipped, "LIST", target)
    folder = str(data_dir / "terminology")
    monkeypatch.setattr(script, "used", lambda: {("LOINC", "0-0"): "items.json", ("RxNorm", "197319"): "gout.json"})
    assert script.main([folder]) == 1 and "LOINC 0-0 is in none. (items.json)" in capsys.readouterr().err
    assert not target.exists()
    monkeypatch.setattr(script, "used", lambda: {("RxNorm", "197319"): "gout.json"})
    assert script.main([folder]) == 0
    assert target.read_text().startswith("system,code,display\nRxNorm,197319,")


def test_gathering(script: ModuleType) -> None:
    import ast

    data = {
        "x": [{"icd10": "I10", "device": "1"}, {"system": "CVX", "code": "08"}, {"snomed": ["2", "3"], "loinc": None}]
    }
    assert set(script.in_json(data)) == {
        ("ICD-10-CM", "I10"),
        ("SNOMED-CT", "1"),
        ("CVX", "08"),
        ("SNOMED-CT", "2"),
        ("SNOMED-CT", "3"),
    }
    text = (
        "book.place(clinical.CVX, '10'); A = ((SNOMED, '5'), (LOINC, code)); B = {'child': '410424005', 'x': '123456'}"
    )
    assert set(script.in_python(ast.parse(text))) == {("CVX", "10"), ("SNOMED-CT", "5"), ("SNOMED-CT", "410424005")}


def test_check_digits(script: ModuleType, published: lists.Lists) -> None:
    for system, holds in ((clinical.SNOMED, script.verhoeff), (clinical.LOINC, script.modulus10)):
        codes = [code for name, code in published.displays if name == system and re.fullmatch(r"\d+(-\d)?", code)]
        assert sum(not holds(code) for code in codes) <= 0.02 * len(codes), system
        wrong = [code[:-1] + str((int(code[-1]) + 1) % 10) for code in codes]
        assert not any(holds(code) for code in wrong if holds(code[:-1] + str((int(code[-1]) - 1) % 10)))
