"""What a document gives: rows of the clinical tables, and counts of what has no place."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from ehrsatz.layouts.ccda import NPI, WORDS
from ehrsatz.sources.ccda.parse import code_of, key_of, templates, under, value_of, words

T = "2.16.840.1.113883.10.20.22.4."  # entry templates
BETWEEN = {"sequenceNumber", "seperatableInd", "templateId", "realmCode", "typeId"}


@dataclass
class Rows:
    """Rows by table, of one or many documents.

    Parameters
    ----------
    left
        Counts what has no place.
    patient
        Key of the patient whose document is read.
    tables
        Table -> its rows.
    known
        Table of the world -> key -> what is known of it.
    keys
        Table -> key -> its row.
    """

    left: Counter[str]
    patient: str = ""
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    known: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    keys: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: str, **cells: Any) -> dict[str, Any]:
        """Add a row of the patient, and return it.

        A row without a key gets one from its number. Documents of other makers use one identifier for several entries:
        the same row again is left out and counted, another one gets a number behind its key.
        """
        held = self.tables.setdefault(table, [])
        keys = self.keys.setdefault(table, {})
        name = f"{table}_id"
        key = cells.get(name)
        if key is None:
            key = f"{self.patient}-{table}-{len(held) + 1}"
        cells["patient_id"] = self.patient
        number = 1
        while (other := keys.get(key if number == 1 else f"{key}~{number}")) is not None:
            if {**cells, name: None} == {**other, name: None}:
                self.left[f"{table}: entries told twice"] += 1
                return other
            number += 1
        cells[name] = key if number == 1 else f"{key}~{number}"
        keys[cells[name]] = cells
        held.append(cells)
        return cells

    def world(self, table: str, key: str | None, **cells: Any) -> str | None:
        """Add what belongs to no patient, or complete what is known of it; return its key."""
        if key is None:
            return None
        held = self.known.setdefault(table, {}).setdefault(key, {f"{table}_id": key})
        held.update({name: cell for name, cell in cells.items() if cell is not None and held.get(name) is None})
        return key

    # ------------------------------------------------------------------ people and houses
    def organization(self, element: Element | None, *, identifier: str | None = None) -> str | None:
        """Add an organization; return its key."""
        if element is None:
            return None
        name = words(element.find("name"))
        key = key_of(element, "organization") or name
        address = element.find("addr")
        return self.world(
            "organization",
            key,
            name=name,
            identifier=identifier if identifier is not None else under(element, NPI),
            phone=telephone(element),
            **{} if address is None else place(address),
        )

    def practitioner(self, element: Element | None) -> str | None:
        """Add who an assigned entity or author is; return the key."""
        if element is None:
            return None
        person = element.find("assignedPerson")
        name = None if person is None else person.find("name")
        specialty = code_of(element.find("code")).display
        house = self.organization(element.find("representedOrganization"))
        key = key_of(element, "practitioner")
        if key is None and name is not None:
            key = " ".join(part for part in ("".join(one.itertext()).strip() for one in name) if part) or None
        return self.world(
            "practitioner",
            key,
            given_name=None if name is None else joined(name, "given"),
            family_name=None if name is None else joined(name, "family"),
            specialty=specialty,
            identifier=under(element, NPI),
            organization_id=house,
        )


@dataclass
class Inner:
    """What is nested in an entry: its encounter, its reason, links, words of ours, and the rest."""

    encounter: str | None = None
    has_encounter: bool = False
    reason: Element | None = None
    links: list[Element] = field(default_factory=list)
    words: dict[str, str | None] = field(default_factory=dict)
    rest: list[tuple[str, Element]] = field(default_factory=list)

    def take(self, *roots: str, kind: str = "") -> Element | None:
        """Take the first of the rest that has one of these templates, or this type of relationship."""
        for position, (relation, child) in enumerate(self.rest):
            if templates(child) & set(roots) or (kind and relation == kind):
                return self.rest.pop(position)[1]
        return None

    def take_all(self, *roots: str) -> list[Element]:
        """Take all of the rest that have one of these templates."""
        out = []
        while (found := self.take(*roots)) is not None:
            out.append(found)
        return out

    def count(self, left: Counter[str], section: str) -> None:
        """Count what nobody took, by template or code."""
        for _, child in self.rest:
            left[f"{section}.{label(child)}"] += 1


def inner(element: Element, tag: str = "entryRelationship") -> Inner:
    """Sort what is nested in an entry."""
    out = Inner()
    for relation in element.findall(tag):
        child = next((one for one in relation if one.tag not in BETWEEN), None)
        if child is None:
            continue
        roots = templates(child)
        code = child.find("code")
        if child.tag == "encounter" and not roots:
            out.encounter, out.has_encounter = key_of(child, "encounter"), True
        elif code is not None and code.get("codeSystem") == WORDS and child.tag == "observation":
            out.words[code.get("code", "")] = value_of(child.find("value")).text
        elif f"{T}19" in roots or (relation.get("typeCode") == "RSON" and child.tag == "observation"):
            if out.reason is None:
                out.reason = child
            else:
                out.rest.append(("RSON", child))
        elif f"{T}122" in roots:
            out.links.append(child)
        else:
            out.rest.append((relation.get("typeCode", ""), child))
    return out


def is_main(element: Element, root: str) -> bool:
    """Say whether an element has a template, or none of C-CDA at all, as in documents before it (C32)."""
    roots = templates(element)
    return root in roots or not any(one.startswith(T) for one in roots)


def label(element: Element) -> str:
    """Return the name by which something left out is counted: its template, else its kind."""
    roots = sorted(templates(element), key=len)
    return roots[0] if roots else element.tag


def encounter_of(found: Inner) -> str | None:
    """Return the encounter of an entry: named as one, else referred to."""
    if found.has_encounter:
        return found.encounter
    return key_of(found.links[0], "encounter") if found.links else None


def reason_code(found: Inner) -> str | None:
    """Return the code of the reason: ICD-10-CM where it has one, else what stands there."""
    if found.reason is None:
        return None
    return diagnosis(found.reason.find("value"))[0].value


def diagnosis(value: Element | None) -> tuple[Any, Any]:
    """Return the code of a diagnosis and the same in SNOMED CT, from a value and its translations."""
    codes = [] if value is None else [code_of(value), *(code_of(one) for one in value.findall("translation"))]
    held = [code for code in codes if code.value is not None]
    snomed = next((code for code in held if code.system == "SNOMED-CT"), None)
    icd = next((code for code in held if code.system == "ICD-10-CM"), None)
    other = icd or next((code for code in held if code.system != "SNOMED-CT"), None)
    words_alone = next((code for code in codes if code.value is None and code.display is not None), None)
    return other or snomed or words_alone or code_of(None), snomed


def joined(element: Element, tag: str) -> str | None:
    """Return the text of the children of a tag, several joined by a space; missing where there is none."""
    held = [text for text in (words(one) for one in element.findall(tag)) if text is not None]
    return " ".join(held) if held else None


def place(address: Element) -> dict[str, str | None]:
    """Return an address as columns, without its country."""
    return {
        "address_line": joined(address, "streetAddressLine"),
        "city": joined(address, "city"),
        "region": joined(address, "state"),
        "postal_code": joined(address, "postalCode"),
    }


def telephone(element: Element, scheme: str = "tel:") -> str | None:
    """Return the first number or address of a scheme."""
    for one in element.findall("telecom"):
        value = one.get("value") or ""
        if value.startswith(scheme):
            return value[len(scheme) :]
        if scheme == "tel:" and value and ":" not in value:
            return value
    return None
