"""JUnit XML that build servers accept: counts, failures with reasons, nothing that XML cannot hold."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree as Xml

import pytest

from ehrsatz.evaluation.base import Score
from ehrsatz.gate import Policy, judge
from ehrsatz.report.junit import junit

THRESHOLDS = [
    {"metric": "margins", "at_least": 0.9},
    {"metric": "membership", "at_most": 0.6, "severity": "deny", "source": "EMA <0070> & more"},
    {"metric": "detection", "at_most": 0.8},
    {"metric": "tstr_gap", "at_most": 0.05, "when_not_applicable": "skip"},
]
SCORES = (
    Score("margins", 0.95),
    Score("membership", 0.8, (0.7, 0.9)),
    Score("tstr_gap", None, status="not_applicable", meaning="Not measured: no target \x00<&> was named."),
)


def verdict():
    return judge(
        SimpleNamespace(scores=SCORES, findings=()), Policy.from_dict({"name": "a<b", "thresholds": THRESHOLDS})
    )


def test_one_case_per_check() -> None:
    root = Xml.fromstring(junit(verdict()))
    (suite,) = root
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "2",
        "errors": "0",
        "skipped": "1",
    }
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [
        "margins: at least 0.9",
        "membership: at most 0.6",
        "detection: at most 0.8",
        "tstr_gap: at most 0.05",
    ]
    assert all(case.get("classname") == "gate.a<b" for case in cases)
    assert [case[0].tag for case in cases] == ["system-out", "failure", "failure", "skipped"]
    assert cases[1][0].get("type") == "missed, denies"
    assert "EMA <0070> & more" in (cases[1][0].text or "")
    assert cases[2][0].get("type") == "not measured, holds"
    told = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert told["decision"] == "deny"
    assert len(told["policy_fingerprint"] or "") == 64


def test_the_same_verdict_gives_the_same_bytes() -> None:
    assert junit(verdict()) == junit(verdict())


def test_it_keeps_the_schema_of_jenkins() -> None:
    """The elements and attributes that the published XSD (jenkinsci/xunit-plugin, junit-10.xsd) knows and asks for."""
    known = {
        "testsuites": {"name", "tests", "failures", "errors", "time", "disabled"},
        "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id"},
        "properties": set(),
        "property": {"name", "value"},
        "testcase": {"name", "classname", "time", "group", "file", "line", "assertions", "status"},
        "failure": {"message", "type"},
        "skipped": {"message", "type"},
        "system-out": set(),
    }
    asked = {"testsuite": {"name"}, "testcase": {"name", "classname"}, "property": {"name", "value"}}
    for one in Xml.fromstring(junit(verdict())).iter():
        assert one.tag in known
        assert set(one.attrib) <= known[one.tag]
        assert asked.get(one.tag, set()) <= set(one.attrib)


@pytest.mark.parametrize("mark", ["\x00", "\x1b", "￾"])
def test_signs_that_xml_cannot_hold_are_replaced(mark: str) -> None:
    assert mark not in junit(verdict(), name=f"a{mark}b")
    Xml.fromstring(junit(verdict(), name=f"a{mark}b"))
