"""What is gathered while resources are read: rows by table, counts of what has no place, and who refers to whom.

Handlers take elements out of a resource (`pop`); what is left in it afterwards has no place in the clinical schema and
is counted by its name. References stay as written, as ids, until all files are read: see `linked`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import unquote

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.sources.fhir.versions import MARKS

BASE = "https://ehrsatz.org/fhir/"  # what the exporters of ehrsatz name: identifiers, extensions, code systems
EXTENSION = f"{BASE}StructureDefinition/"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
SILENT = ("unknown", "self-pay")  # displays of references that stand for nobody
AT_ONCE = 20_000  # rows of a table that are held as Python objects
Resource = dict[str, Any]


class Reading:
    """Rows and counts of the resources read so far, and the resource in hand.

    Parameters
    ----------
    left
        Counts what has no place, by name.
    """

    def __init__(self, left: Counter[str]) -> None:
        self.left = left
        self.file, self.line = "", 0  # where the resource in hand stands; line 0: the file is one document
        self.kind, self.id = "", ""  # type and id of the resource in hand
        self.is_ours = False  # whether it bears marks of the exporters of ehrsatz
        self.urns: dict[str, str] = {}  # full address -> Type/id, of the Bundle in hand
        self.n_resources: Counter[str] = Counter()
        self.keys: dict[str, dict[str, str]] = {}  # type -> id -> key, where they differ
        self.identifiers: dict[str, dict[str, str]] = {}  # type -> system|value -> key
        self._rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._frames: dict[tuple[str, str], list[pl.DataFrame]] = {}

    # ------------------------------------------------------------------ rows
    def add(self, table: str, **cells: Any) -> None:
        """Add a row; those of one table and one type of resource always have the same cells."""
        place = (table, self.kind)
        rows = self._rows.get(place)
        if rows is None:
            rows = self._rows[place] = []
        rows.append(cells)
        if len(rows) >= AT_ONCE:
            self._flush(place)

    def frames(self) -> dict[tuple[str, str], pl.DataFrame]:
        """Return (table, type of resource) -> frame of texts and numbers."""
        for place in list(self._rows):
            self._flush(place)
        return {place: pl.concat(frames) for place, frames in self._frames.items()}

    def _flush(self, place: tuple[str, str]) -> None:
        rows = self._rows.pop(place)
        if not rows:
            return
        try:
            made = [pl.Series(name, [row[name] for row in rows], dtype=_dtype(name)) for name in rows[0]]
        except (TypeError, pl.exceptions.PolarsError):
            raise SourceError(
                "Expected the elements of resources in the kinds of FHIR R4: texts, numbers, lists.",
                f"Some of type {place[1]}, in '{self.file}' or before it, are of another kind.",
                "Check the resources with a FHIR validator.",
            ) from None
        self._frames.setdefault(place, []).append(pl.DataFrame(made))

    # ------------------------------------------------------------------ counts
    def lose(self, name: str, count: int = 1) -> None:
        """Count something of the resource in hand that has no place."""
        self.left[f"{self.kind}.{name}"] += count

    def rest(self, name: str, element: Mapping[str, Any]) -> None:
        """Count the fields that are left of an element."""
        for field in element:
            self.left[f"{self.kind}.{name}.{field}"] += 1

    def leave(self, why: str) -> None:
        """Count the resource in hand as one that is left out as a whole."""
        self.left[f"{self.kind}: {why}"] += 1

    def settle(self, resource: Resource) -> None:
        """Count what is left of a resource once its handler is done."""
        for name, value in resource.items():
            if name == "extension":
                for one in value:
                    self.left[f"{self.kind}.extension {one.get('url', '').rpartition('/')[2]}"] += 1
            elif name[0] == "_" and _is_absence(value):
                continue
            else:
                version = MARKS.get(self.kind, {}).get(name)
                if version:
                    self.refuse(version)
                self.left[f"{self.kind}.{name}"] += 1

    def refuse(self, version: str) -> NoReturn:
        """Refuse the resource in hand because it is of another version of FHIR.

        Raises
        ------
        SourceError
            Always.
        """
        place = f"Line {self.line:,} of '{self.file}'" if self.line else f"'{self.file}'"
        raise SourceError(
            "Expected resources of FHIR R4 (4.0.1).",
            f"{place} holds a {self.kind} of FHIR {version}.",
            "Convert it to R4 first, or have it exported as R4.",
        )

    # ------------------------------------------------------------------ keys and references
    def key(self, resource: Resource, table: str) -> tuple[str | None, list[Resource]]:
        """Take id and identifiers; return the row's key, and the identifiers that are not it.

        The key is what an identifier of ours says, else the id.
        """
        name: str | None = self.id or None
        identifiers = resource.pop("identifier", None)
        if not identifiers:
            return name, []
        system = f"{BASE}identifier/{table}"
        others = []
        for one in identifiers:
            if one.get("system") == system:
                self.is_ours = True
                if one["value"] != name:
                    self.keys.setdefault(self.kind, {})[self.id] = name = one["value"]
            else:
                others.append(one)
        return name, others

    def keyed(self, resource: Resource, table: str) -> str | None:
        """Take id and identifiers, and return the key; other identifiers are counted."""
        name, others = self.key(resource, table)
        if others:
            self.lose("identifier", len(others))
        return name

    def known_as(self, identifiers: list[Resource], key: str | None) -> None:
        """Remember the identifiers of the resource in hand, for references that search for it."""
        if key is not None and identifiers:
            known = self.identifiers.setdefault(self.kind, {})
            for one in identifiers:
                known.setdefault(f"{one.get('system', '')}|{one.get('value', '')}", key)

    def to(self, name: str, reference: Resource | None, *kinds: str) -> str | None:
        """Return the id that a reference names, where it is to one of these types; what it says else is counted.

        A search is returned as "?system|value", a role of a practitioner as "PractitionerRole/id", a contained
        resource as "owner#id".
        """
        if reference is None:
            return None
        address = reference.get("reference")
        if address is None:
            return self._named(name, reference)
        kind, _, target = address.partition("/")
        if kind in kinds and target and "/" not in target and "?" not in target:
            return str(target)
        return self._followed(name, str(address), kinds)

    def _named(self, name: str, reference: Resource) -> str | None:
        identifier = reference.get("identifier")
        if identifier and identifier.get("value"):
            return f"?{identifier.get('system', '')}|{identifier['value']}"
        if reference.get("display") not in (None, *SILENT):
            self.lose(f"{name}: a name alone")
        return None

    def _followed(self, name: str, address: str, kinds: tuple[str, ...]) -> str | None:
        if address.startswith("#"):
            return f"{self.id}{address}"
        address = self.urns.get(address, address).partition("/_history/")[0]
        if address.startswith("urn:"):
            return address.rpartition(":")[2]  # of another Bundle: by its last part, as an id
        kind, _, query = address.partition("?")
        if query:
            kind = kind.rpartition("/")[2]
            wanted = [value for word, _, value in (part.partition("=") for part in query.split("&")) if word]
            if kind in kinds and query.startswith("identifier=") and len(wanted) == 1:
                return f"?{unquote(wanted[0])}"
            if kind in kinds and query.startswith("_id=") and len(wanted) == 1:
                return unquote(wanted[0])
            self.lose(f"{name}: a search")
            return None
        head, _, target = address.rpartition("/")
        kind = head.rpartition("/")[2]
        if kind in kinds or not kind:
            return target
        if kind == "PractitionerRole" and "Practitioner" in kinds:
            return f"PractitionerRole/{target}"
        self.lose(f"{name}: a {kind}")
        return None

    def extensions(self, resource: Resource) -> dict[str, Any]:
        """Take the extensions of ours out of an element and return name -> value; others stay."""
        found = resource.get("extension")
        if not found:
            return {}
        ours: dict[str, Any] = {}
        others = []
        for one in found:
            url = one.get("url", "")
            if url.startswith(EXTENSION):
                ours[url[len(EXTENSION) :]] = next((one[field] for field in one if field != "url"), None)
            elif url != ABSENT:
                others.append(one)
        if others:
            resource["extension"] = others
        else:
            del resource["extension"]
        if ours:
            self.is_ours = True
        return ours


NUMBERS: dict[str, pl.DataType] = {
    **dict.fromkeys(("value", "low", "high", "dose", "per_day", "quantity", "target_low", "target_high"), pl.Float64()),
    **dict.fromkeys(("income", "total", "amount", "payer_part", "patient_part", "adjustment"), pl.Float64()),
    **dict.fromkeys(("refills", "dose_number", "number"), pl.Int64()),
}


def _dtype(name: str) -> pl.DataType:
    return NUMBERS.get(name, pl.String())


def _is_absence(value: Any) -> bool:
    """Say whether the extensions of a primitive value only say that it is absent."""
    if not isinstance(value, dict):
        return False
    found = value.get("extension", [])
    return len(value) == 1 and bool(found) and all(one.get("url") == ABSENT for one in found)
