"""The verdict as JUnit XML, which build servers read: one test case per check.

What was missed, inconclusive or not measured is a failure with its reason; what does not apply is skipped. The same
verdict gives the same bytes: no clock, no host.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from ehrsatz import __version__
from ehrsatz.gate import Check, Policy, Verdict

_UNFIT = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot hold


def junit(verdict: Verdict, *, name: str = "ehrsatz gate") -> str:
    """Return the verdict as JUnit XML.

    Parameters
    ----------
    verdict
        What the gate decided.
    name
        Name of the test suite.
    """
    failures = sum(check.passed is False for check in verdict.checks)
    skipped = sum(check.passed is None for check in verdict.checks)
    tally = {"tests": str(len(verdict.checks)), "failures": str(failures), "errors": "0"}
    root = Xml.Element("testsuites", {"name": _clean(name), **tally})
    suite = Xml.SubElement(root, "testsuite", {"name": _clean(name), **tally, "skipped": str(skipped)})
    properties = Xml.SubElement(suite, "properties")
    told = {
        "ehrsatz": __version__,
        "decision": verdict.decision,
        "policy": str(verdict.policy.get("name", "")),
        "policy_fingerprint": Policy.from_dict(verdict.policy).fingerprint,
    }
    for key, value in told.items():
        Xml.SubElement(properties, "property", {"name": key, "value": _clean(value)})
    for check in verdict.checks:
        _case(suite, check, str(verdict.policy.get("name", "policy")))
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _case(suite: Xml.Element, check: Check, policy: str) -> None:
    label = f"{check.name}: {check.threshold}"
    case = Xml.SubElement(suite, "testcase", {"classname": _clean(f"gate.{policy}"), "name": _clean(label)})
    if check.passed is None:
        Xml.SubElement(case, "skipped", {"message": _clean(check.reason)})
    elif not check.passed:
        kind = f"{check.state}, {'denies' if check.severity == 'deny' else 'holds'}"
        failure = Xml.SubElement(case, "failure", {"message": _clean(check.reason), "type": kind})
        source = f"\nSource of the limit: {check.source}" if check.source else ""
        failure.text = _clean(f"{check.name}: {check.reason}{source}")
    else:
        Xml.SubElement(case, "system-out").text = _clean(check.reason)


def _clean(text: str) -> str:
    return _UNFIT.sub("?", text)
