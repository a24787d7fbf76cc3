"""Codes and identifiers by the shape of their cells: ICD, LOINC, SNOMED CT, ZIP, e-mail, phone, SSN, UUID.

A shape alone is taken only where it is telling (a check digit, letters in place); a weak shape (three digits) needs
the column's name as well. Shapes are from the code systems' own manuals: ICD-9-CM and ICD-10-CM official guidelines
(CDC/NCHS), LOINC Users' Guide (mod-10 check digit), SNOMED CT Technical Implementation Guide (Verhoeff check digit),
FDA National Drug Code format, WHO ATC.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ehrsatz.schema import Kind
from ehrsatz.sources import words as w

_ICD9 = r"^(\d{3}(\.\d{1,2})?|[Vv]\d{2}(\.\d{1,2})?|[Ee]\d{3}(\.\d)?)$"
_ICD9_BARE = r"^(\d{3,5}|[Vv]\d{2,4}|[Ee]\d{3,4})$"
_ICD10 = r"^[A-TV-Za-tv-z]\d[0-9A-Za-z](\.?[0-9A-Za-z]{1,4})?$"
_LOINC = r"^\d{1,5}-\d$"
_SNOMED = r"^[1-9]\d{5,17}$"
_ATC = r"^[A-Z]\d{2}[A-Z]{2}\d{2}$"
_NDC = r"^(\d{11}|\d{10}|\d{4,5}-\d{3,4}-\d{1,2})$"
_ZIP = r"^\d{5}(-\d{4})?$"
_UUID = r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"
_EMAIL = r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"
_SSN = r"^\d{3}-\d{2}-\d{4}$"
_PHONE = r"^(\+\d{1,3}[ .-]?)?(\(\d{2,5}\)|\d{2,5})[ .-]\d{2,4}[ .-]?\d{3,5}(\s?(x|ext\.?)\s?\d{1,5})?$"
_URL = r"^https?://\S+$"
_IP = r"^(\d{1,3}\.){3}\d{1,3}$"
_PERSON = (
    r"^(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.?\s+)?\p{Lu}[\p{L}'’.-]+,?"
    r"(?:\s+(?:\p{Lu}\.|van|von|de|der|del|da|la|bin|al))*\s+\p{Lu}[\p{L}'’-]+(?:-?\d+)?$"
)
_ADDRESS = (
    r"(?i)^\d{1,6}\s+\p{L}[\p{L}\s.'-]*"
    r"\b(st|street|ave|avenue|rd|road|blvd|lane|ln|drive|dr|court|ct|way|place|square|terrace|alley|row)\b"
)


@dataclass(frozen=True)
class Shape:
    """What the cells of a column look like: a code of a system, or an identifier of a person.

    kind is "code" or "id" or "text"; `direct` says that it names a person or leads to one.
    """

    kind: Kind
    label: str
    system: str | None = None
    direct: bool = False


def find(name: str, texts: pl.Series, counts: pl.Series) -> Shape | None:
    """Return the shape that at least 95 % of a column's cells have, or None.

    Parameters
    ----------
    name
        The column's name; weak shapes need it.
    texts
        Distinct stripped texts, shape (K,), none null.
    counts
        Rows that hold each, shape (K,).
    """
    total = int(counts.sum() or 0)
    if not total:
        return None
    words = w.tokens(name)
    coded = w.has(words, w.ICD | {"code", "codes", "cd", "concept"})

    def share(pattern: str) -> float:
        return int(counts.filter(texts.str.contains(pattern)).sum() or 0) / total

    for pattern, label in (
        (_EMAIL, "e-mail addresses"),
        (_SSN, "social security numbers"),
        (_URL, "web addresses"),
        (_IP, "network addresses"),
    ):
        if share(pattern) >= 0.95:
            return Shape("id", label, direct=True)
    if share(_UUID) >= 0.95:
        return Shape("id", "UUIDs")
    if share(_PHONE) >= 0.95 and (
        w.has(words, w.DIRECT | {"contact", "number"})
        or share(r"^(\+|\()") > 0.5
        or share(r"^\d{3}[ .-]\d{3}[ .-]\d{4}") >= 0.95
    ):
        return Shape("id", "phone numbers", direct=True)
    if w.has(words, frozenset({"zip", "zipcode", "postal", "postcode", "plz"})):
        return Shape("code", "postal codes by name", "ZIP" if share(_ZIP) >= 0.95 else None)
    if (share(_LOINC) >= 0.95) and (texts.len() >= 3 or coded or "loinc" in words) and _luhn_share(texts) >= 0.9:
        return Shape("code", "LOINC codes: the check digit holds", "LOINC")
    if share(_ATC) >= 0.95:
        return Shape("code", "ATC codes", "ATC")
    if (
        share(_ICD10) >= 0.95
        and (share(r"\.") > 0.2 or w.has(words, w.ICD) or coded)
        and share(r"^[A-Za-z]\d") == share(r"^[A-Za-z]")
    ):
        return Shape("code", "ICD-10 codes", "ICD-10-CM")
    letters = share(r"^([Vv]\d{2}|[Ee]\d{3})")
    if share(_ICD9) >= 0.95 and (
        (w.has(words, w.ICD) and (letters > 0 or share(r"^\d{3}") > 0.5))
        or (letters > 0 and share(r"^\d{3}(\.\d+)?$") > 0)
    ):
        return Shape("code", "ICD-9 codes: three digits, some with V or E or a part after the point", "ICD-9-CM")
    if (
        w.has(words, w.ICD)
        and "10" not in words
        and share(_ICD9_BARE) >= 0.95
        and (letters > 0 or share(r"^\d{4,5}$") > 0.2)
    ):
        return Shape("code", "ICD-9 codes without the point", "ICD-9-CM")
    if w.has(words, w.ICD) and (share(_ICD9) + share(_ICD10)) >= 0.95:
        return Shape("code", "ICD codes of two versions", None)
    named = coded or w.has(words, frozenset({"snomed", "sct", "concept"}))
    if (named or len(texts) >= 8) and share(_SNOMED) >= 0.95 and _verhoeff_share(texts) >= 0.95:
        return Shape("code", "SNOMED CT codes: the check digit holds", "SNOMED CT")
    if w.has(words, frozenset({"ndc"})) and share(_NDC) >= 0.5:
        return Shape("code", "drug codes by name", "NDC")
    if w.has(words, frozenset({"rxcui", "rxnorm"})):
        return Shape("code", "RxNorm codes by name", "RxNorm")
    if w.has(words, frozenset({"cpt", "hcpcs"})) and share(r"^[A-Z0-9]\d{3}[A-Z0-9]$") >= 0.9:
        return Shape("code", "procedure codes by name", "CPT")
    return None


def is_person_names(texts: pl.Series, counts: pl.Series) -> bool:
    """Say whether at least 90 % of the cells look like the full name of a person."""
    total = int(counts.sum() or 0)
    return total > 0 and int(counts.filter(texts.str.contains(_PERSON)).sum() or 0) >= 0.9 * total


def is_addresses(texts: pl.Series, counts: pl.Series) -> bool:
    """Say whether at least 80 % of the cells look like a house number and a street."""
    total = int(counts.sum() or 0)
    return total > 0 and int(counts.filter(texts.str.contains(_ADDRESS)).sum() or 0) >= 0.8 * total


def _luhn_share(texts: pl.Series) -> float:
    """Share of at most 200 LOINC codes whose mod-10 check digit holds."""
    some = [text for text in texts.head(200).to_list() if "-" in text]
    return sum(_luhn(text) for text in some) / len(some) if some else 0.0


def _luhn(code: str) -> bool:
    body, _, check = code.partition("-")
    total = 0
    for i, digit in enumerate(reversed(body)):
        number = int(digit) * (2 if i % 2 == 0 else 1)
        total += number // 10 + number % 10
    return (10 - total % 10) % 10 == int(check)


_D5 = [
    [
        (i + j) % 5 if i < 5 and j < 5 else 5 + (i + j) % 5 if i < 5 else 5 + (i - j) % 5 if j < 5 else (i - j) % 5
        for j in range(10)
    ]
    for i in range(10)
]
_PERMUTE = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def _verhoeff_share(texts: pl.Series) -> float:
    """Share of at most 200 SNOMED CT codes whose Verhoeff check digit holds (Verhoeff 1969)."""
    some = [text for text in texts.head(200).to_list() if text.isdigit()]
    return sum(_verhoeff(text) for text in some) / len(some) if some else 0.0


def _verhoeff(code: str) -> bool:
    check = 0
    for i, digit in enumerate(reversed(code)):
        number = int(digit)
        for _ in range(i % 8):
            number = _PERMUTE[number]
        check = _D5[check][number]
    return check == 0
