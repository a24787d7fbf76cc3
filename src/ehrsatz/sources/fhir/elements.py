"""The datatypes of FHIR as the clinical schema has them: concepts, quantities, references, names, times.

References
----------
HL7, FHIR R4, http://hl7.org/fhir/R4/datatypes.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import polars as pl

from ehrsatz import loose
from ehrsatz.sources.fhir.reading import BASE, Reading, Resource

UCUM_URI = loose.URIS["UCUM"]
ICD10CM_URI, SNOMED_URI, LOINC_URI = loose.URIS["ICD-10-CM"], loose.URIS["SNOMED-CT"], loose.URIS["LOINC"]
RXNORM_URI, NDC_URI, CVX_URI = loose.URIS["RxNorm"], loose.URIS["NDC"], loose.URIS["CVX"]
NOTHING = ("http://terminology.hl7.org/CodeSystem/data-absent-reason", "http://hl7.org/fhir/data-absent-reason")
_NAMES = {uri: name for name, uri in loose.URIS.items()} | {f"urn:oid:{oid}": name for name, oid in loose.OIDS.items()}
_NAMES |= {"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets": loose.HCPCS}
Coded = tuple[str | None, str | None, str | None]  # system, code, display


# ---------------------------------------------------------------------- concepts
def concept(here: Reading, name: str, value: Resource | None, first: Sequence[str] = ()) -> Coded:
    """Return system, code and display of a CodeableConcept; the system as its address.

    Parameters
    ----------
    here
        Counts what is left of it.
    name
        Of the element.
    value
        The element; emptied.
    first
        Addresses of systems whose coding is taken before others; then the first coding is.
    """
    if value is None:
        return None, None, None
    codings, text = value.pop("coding", None), value.pop("text", None)
    if value:
        here.rest(name, value)
    if not codings:
        return None, None, text
    chosen = codings[0]
    if len(codings) > 1:
        by_system = {one.get("system"): one for one in reversed(codings)}
        chosen = next((by_system[system] for system in first if system in by_system), chosen)
        here.lose(f"{name}: further codings", len(codings) - 1)
    system, code, display = coding(here, name, chosen)
    if text is not None and text != display:
        if display is None:
            return system, code, text
        here.lose(f"{name}.text")
    return system, code, display


def coding(here: Reading, name: str, value: Resource) -> Coded:
    """Return system, code and display of a Coding, which is emptied; nothing where it says that nothing is known."""
    system, code, display = value.pop("system", None), value.pop("code", None), value.pop("display", None)
    if value:
        value.pop("userSelected", None)
        here.rest(f"{name}.coding", value)
    if system in NOTHING:
        return None, None, None
    return system, code, display


def concepts(here: Reading, name: str, values: list[Resource] | None, first: Sequence[str] = ()) -> Coded:
    """Return the first of some CodeableConcepts, as `concept`; further ones are counted."""
    if not values:
        return None, None, None
    if len(values) > 1:
        here.lose(f"{name}: further ones", len(values) - 1)
    return concept(here, name, values[0], first)


def said(here: Reading, name: str, value: Resource | None, words: dict[str, str], known: Sequence[str]) -> str | None:
    """Return the word of the schema that a CodeableConcept stands for: its text where that is one, else by its code.

    Parameters
    ----------
    here, name, value
        As of `concept`.
    words
        Code -> word.
    known
        The words.
    """
    if value is None:
        return None
    text, codings = value.pop("text", None), value.pop("coding", None) or ()
    if value:
        here.rest(name, value)
    if text in known:
        return str(text)
    for one in codings:
        found = words.get(one.get("code", "")) or words.get(str(one.get("display", "")).lower())
        if found:
            return found
    found = words.get(str(text).lower()) if text else None
    if found is None and (text or any(not _is_nothing(one) for one in codings)):
        here.lose(f"{name}: other words")
    return found


def _is_nothing(value: Resource) -> bool:
    system = value.get("system", "")
    return system in NOTHING or system.endswith("v3-NullFlavor")


def reason(here: Reading, resource: Resource, parts: str = "reason") -> tuple[str | None, str | None, str | None]:
    """Return code and display of the reason of a resource, and the condition that it refers to where it has no code.

    The column means ICD-10-CM: a code of another system is counted, lest it leave as what it is not.
    """
    told = resource.pop(f"{parts}Code", None)
    pointed = resource.pop(f"{parts}Reference", None)
    code = display = condition = None
    if told:
        system, code, display = concepts(here, f"{parts}Code", told, (ICD10CM_URI,))
        if system not in (None, ICD10CM_URI):
            here.lose(f"{parts}Code: of another system")
            code = None
    if pointed:
        if code is None and display is None:
            condition = here.to(f"{parts}Reference", pointed[0], "Condition")
            pointed = pointed[1:]
        if pointed:
            here.lose(f"{parts}Reference", len(pointed))
    return code, display, condition


# ---------------------------------------------------------------------- other datatypes
def quantity(here: Reading, name: str, value: Resource | None) -> tuple[float | None, str | None, str | None]:
    """Return number and unit of a Quantity; where it is less or more than that, no number but a text, as in "<5"."""
    if value is None:
        return None, None, None
    amount, unit, code = value.pop("value", None), value.pop("unit", None), value.pop("code", None)
    system, comparator = value.pop("system", None), value.pop("comparator", None)
    if value:
        here.rest(name, value)
    shown = code if code is not None and (system == UCUM_URI or unit is None) else unit
    if comparator is not None and amount is not None:
        return None, shown, f"{comparator}{amount:.15g}"
    return number(amount), shown, None


def number(value: Any) -> float | None:
    """Return a number of JSON as a float.

    Raises
    ------
    TypeError
        When it is none.
    """
    if value is None or type(value) is float:
        return value
    if type(value) is not int:
        raise TypeError("no number")
    return float(value)


def whole(here: Reading, name: str, value: Any) -> int | None:
    """Return a whole number, also one that stands in a text; others are counted."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 19:
        return int(value)
    here.lose(name)
    return None


def period(here: Reading, name: str, value: Resource | None) -> tuple[str | None, str | None]:
    """Return start and end of a Period."""
    if value is None:
        return None, None
    start, stop = value.pop("start", None), value.pop("end", None)
    if value:
        here.rest(name, value)
    return start, stop


def when(here: Reading, resource: Resource, name: str) -> tuple[str | None, str | None]:
    """Return start and end of an element of several types: `<name>DateTime`, `<name>Period` or `<name>Instant`."""
    moment = resource.pop(f"{name}DateTime", None)
    if moment is not None:
        return moment, None
    if f"{name}Period" in resource:
        return period(here, f"{name}Period", resource.pop(f"{name}Period"))
    return resource.pop(f"{name}Instant", None), None


def human_name(here: Reading, resource: Resource) -> tuple[str | None, str | None, str | None]:
    """Return given names as one text, family name and maiden name; other names are counted."""
    given = family = maiden = None
    names = resource.pop("name", None) or []
    usual = [one for one in names if one.get("use") not in ("maiden", "old", "nickname", "anonymous")]
    taken = min(usual, key=lambda one: one.get("use") != "official", default=None)
    for one in names:
        use, own = one.pop("use", None), one is taken
        text = one.pop("text", None)
        if own:
            given, family = " ".join(one.pop("given", None) or []) or None, one.pop("family", None)
            if given is None and family is None:
                family = text
        elif use == "maiden" and maiden is None and one.get("family"):
            maiden = one.pop("family")
            if " ".join(one.get("given", [])) == given:
                one.pop("given", None)
        else:
            here.lose("name: further ones")
            continue
        if one:
            here.rest("name", one)
    return given, family, maiden


def contact(here: Reading, resource: Resource) -> tuple[str | None, str | None]:
    """Return the first phone and the first e-mail address; others are counted."""
    found: dict[str, str] = {}
    for one in resource.pop("telecom", None) or []:
        system = one.pop("system", None)
        if system not in ("phone", "email") or system in found or one.get("use") == "old":
            here.lose("telecom: further ones")
            continue
        found[system] = one.pop("value", None)
        one.pop("use", None)
        one.pop("rank", None)
        if one:
            here.rest("telecom", one)
    return found.get("phone"), found.get("email")


def address(here: Reading, resource: Resource) -> dict[str, str | None]:
    """Return the columns of the first address that is not an old one; others are counted."""
    value = resource.pop("address", None)
    found = [value] if isinstance(value, dict) else value or []  # one alone of a Location
    taken = next((one for one in found if one.get("use") != "old"), None)
    if len(found) > (taken is not None):
        here.lose("address: further ones", len(found) - (taken is not None))
    one = taken or {}
    out = {
        "address_line": ", ".join(one.pop("line", None) or []) or None,
        "city": one.pop("city", None),
        "region": one.pop("state", None),
        "postal_code": one.pop("postalCode", None),
        "country": one.pop("country", None),
    }
    text = one.pop("text", None)
    one.pop("use", None)
    one.pop("type", None)
    if text is not None and not any(out.values()):
        out["address_line"] = text
    if one:
        here.rest("address", one)
    return out


# ---------------------------------------------------------------------- columns
def systems(cells: pl.Series) -> pl.Series:
    """Return addresses of code systems as the names that the tables use; unknown ones stay addresses."""
    known = {one: _system(one) for one in cells.drop_nulls().unique().to_list()}
    return cells.replace_strict(known, default=None, return_dtype=pl.String)


def _system(address: str) -> str:
    ours = f"{BASE}CodeSystem/"
    return unquote(address[len(ours) :]) if address.startswith(ours) else _NAMES.get(address, address)


def moments(cells: pl.Series, name: str, left: Counter[str]) -> pl.Series:
    """Return times of FHIR as they are on the wall: the offset is left out; days begin at midnight.

    A month or a year alone becomes its first day, and is counted as `name`.
    """
    times = cells.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    if cells.str.contains(".", literal=True).any():
        digits = cells.str.extract(r"^.{19}\.(\d{1,6})").str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
        times = times + digits.cast(pl.Duration("us"))
    rest = cells.is_not_null() & times.is_null()
    if not rest.any():
        return times.alias(cells.name)
    return times.fill_null(dates(cells.set(~rest, None), name, left).cast(pl.Datetime("us"))).alias(cells.name)


def dates(cells: pl.Series, name: str, left: Counter[str]) -> pl.Series:
    """Return dates, as `moments`."""
    short = cells.str.len_bytes()
    full = cells
    for length, ending, what in ((7, "-01", "a month alone"), (4, "-01-01", "a year alone")):
        partial = short == length
        count = int(partial.sum() or 0)
        if count:
            left[f"{name}: {what}"] += count
            full = pl.select(pl.when(partial).then(full + ending).otherwise(full)).to_series()
    out = full.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    wrong = int((cells.is_not_null() & out.is_null()).sum())
    if wrong:
        left[f"{name}: no time of FHIR"] += wrong
    return out.alias(cells.name)
