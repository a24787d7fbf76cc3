"""Look through every column for the eighteen identifiers that HIPAA's Safe Harbor names.

Each column is judged by its place in the schema, the words of its name and the patterns of its cells. What comes out is
counts and names of columns, never a cell. The scan knows patterns, no persons: it finds what looks like an identifier.

References: 45 CFR 164.514(b)(2)(i)(A)-(R). Three-digit ZIP areas of 20,000 people or fewer: the 17 of the 2000 census
(HHS, Guidance regarding methods for de-identification, 2012) and those in use from the 2010 census; both lists are
applied, and a newer table may find others. Check digit of vehicle numbers: 49 CFR 565.15.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.schema import Column, Table
from ehrsatz.sources.words import tokens

IDENTIFIERS: dict[str, str] = {
    "A": "names",
    "B": "geography below the state",
    "C": "dates other than the year, ages over 89",
    "D": "telephone numbers",
    "E": "fax numbers",
    "F": "e-mail addresses",
    "G": "social security numbers",
    "H": "medical record numbers",
    "I": "health plan beneficiary numbers",
    "J": "account numbers",
    "K": "certificate and licence numbers",
    "L": "vehicle identifiers and plates",
    "M": "device identifiers and serial numbers",
    "N": "web addresses",
    "O": "IP addresses",
    "P": "biometric identifiers",
    "Q": "full-face photographs and comparable images",
    "R": "any other unique number, characteristic or code",
}
SMALL_ZIP3 = "036 059 063 102 103 202 203 204 205 369 556 692 753 772 790 821 823 830 831 878 879 884 890 893"
WORDS: dict[str, frozenset[str]] = {
    key: frozenset(words.split())
    for key, words in {
        "A": "firstname lastname surname forename fullname maiden",
        "B": "zip zipcode postal postcode city town street address county village lat lon latitude longitude precinct",
        "D": "phone telephone tel mobile cell",
        "E": "fax telefax",
        "F": "email mail",
        "G": "ssn socialsecurity",
        "H": "mrn",
        "I": "beneficiary bene hicn mbi policynumber insurancenumber",
        "J": "account iban accountnumber",
        "K": "licence license passport certificate npi dea drivers",
        "L": "vin plate vehicle",
        "M": "serial udi imei deviceid",
        "N": "url website uri",
        "O": "ip ipaddress",
        "P": "fingerprint retina iris voiceprint biometric",
        "Q": "photo photograph image picture",
    }.items()
}
PATTERNS: dict[str, str] = {  # of whole cells or of parts of free text
    "D": r"(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\)|\b[2-9]\d{2})[ .-]\d{3}[ .-]\d{4}\b",
    "F": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    "G": r"\b\d{3}-\d{2}-\d{4}\b",
    "M": r"\(01\)\d{14}",
    "N": r"https?://\S+|\bwww\.\S+\.\S+",
    "O": r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b",
}
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")
_LEAST_UNIQUE = 20


@dataclass(frozen=True)
class Finding:
    """What the scan found of one type of identifier.

    Parameters
    ----------
    hits
        Cells that look like it, in columns that were learned from.
    columns
        Names of those columns, as "table.column".
    fabricated
        Columns of this type that were withheld from the generator and made anew.
    """

    hits: int = 0
    columns: tuple[str, ...] = ()
    fabricated: tuple[str, ...] = ()


@dataclass
class _Tally:
    hits: int = 0
    columns: list[str] = field(default_factory=list)
    fabricated: list[str] = field(default_factory=list)

    def add(self, place: str, hits: int) -> None:
        if hits:
            self.hits += hits
            self.columns.append(place)


def scan(dataset: Dataset) -> dict[str, Finding]:
    """Look for the eighteen types in every column of a synthetic dataset.

    Parameters
    ----------
    dataset
        What would be released.

    Returns
    -------
    Letter of 45 CFR 164.514(b)(2)(i) -> what was found.
    """
    found = {letter: _Tally() for letter in IDENTIFIERS}
    years = _years(dataset)
    for table in dataset.schema.tables:
        frame = dataset.tables[table.name]
        for column in table.columns:
            place = f"{table.name}.{column.name}"
            if _is_withheld(column):
                found[_type_of(column)].fabricated.append(place)
                continue
            _look(found, table, column, frame[column.name], place, years)
    return {
        letter: Finding(one.hits, tuple(dict.fromkeys(one.columns)), tuple(one.fabricated))
        for letter, one in found.items()
    }


def _is_withheld(column: Column) -> bool:
    """Whether generators never see the column, and its cells are made anew."""
    return column.disclosure == "direct" or column.kind in {"text", "id"} or column.role in {"subject", "key", "link"}


def _type_of(column: Column) -> str:
    """Return the type that a withheld column's name tells; "R" where it tells none."""
    words = set(tokens(column.name))
    joined = "".join(tokens(column.name))
    for letter, vocabulary in WORDS.items():
        if words & vocabulary or joined in vocabulary:
            return letter
    if "name" in words and column.role not in {"subject", "key", "link"}:
        return "A"
    if column.role in {"subject", "key", "link"} and words & {"patient", "pat", "subject", "record", "person"}:
        return "H"
    return "R"


def _look(
    found: dict[str, _Tally], table: Table, column: Column, cells: pl.Series, place: str, years: tuple[int, int] | None
) -> None:
    present = cells.drop_nulls()
    words = set(tokens(column.name))
    if column.kind in {"date", "datetime"}:
        is_year = bool(len(present)) and bool(((present.dt.month() == 1) & (present.dt.day() == 1)).all())
        found["C"].add(place, 0 if is_year else len(present))
        return
    if "age" in words:
        found["C"].add(place, _old(present))
    if column.kind == "integer" and years is not None and words & {"birth", "born", "birthyear", "yob"}:
        found["C"].add(place, int(((present >= 1850) & (present < years[1] - 89)).sum()))
    if column.kind in {"boolean"}:
        return
    if column.system == "ZIP" or words & {"zip", "zipcode", "postal", "postcode"}:
        found["B"].add(place, _zips(present.cast(pl.String)))
    elif words & WORDS["B"]:
        found["B"].add(place, len(present))
    if present.dtype == pl.String:
        for letter, pattern in PATTERNS.items():
            found[letter].add(place, int(present.str.contains(pattern).sum()))
        found["L"].add(place, sum(_is_vin(one) for one in present.unique(maintain_order=True)))
    for letter in "ADEFGHIJKLMNPQ":
        if (
            words & WORDS[letter]
            and column.kind in {"category", "code", "integer"}
            and place not in found[letter].columns
        ):
            found[letter].add(place, len(present))
    is_numbered = column.kind in {"code", "category"} or (column.kind == "integer" and column.role == "attribute")
    if is_numbered and len(present) >= _LEAST_UNIQUE and present.n_unique() == len(cells):
        found["R"].add(place, len(present))


def _old(cells: pl.Series) -> int:
    """Count ages over 89: every number, and bands above 89 where there is more than one such band."""
    if cells.dtype != pl.String:
        return int((cells > 89).sum()) if cells.dtype.is_numeric() else 0
    low = cells.str.extract(r"(\d+)").cast(pl.Int64, strict=False)
    is_old = (low >= 90).fill_null(False)
    return int(is_old.sum()) if cells.filter(is_old).n_unique() > 1 else 0


def _zips(cells: pl.Series) -> int:
    """Count ZIP codes of more than three digits, and three-digit ones of areas with few people."""
    digits = cells.str.replace_all(r"\D", "")
    kept = digits.str.replace(r"0+$", "")  # 90200 and 902 say the same
    long = (digits.str.len_chars() > 3) & (kept.str.len_chars() > 3)
    return int((long | digits.str.head(3).is_in(SMALL_ZIP3.split())).sum())


def _years(dataset: Dataset) -> tuple[int, int] | None:
    """Return the first and last year of care that dates tell."""
    found: list[int] = []
    for table in dataset.schema.tables:
        for column in table.columns:
            if column.kind in {"date", "datetime"} and not _is_withheld(column):
                year = dataset.tables[table.name][column.name].drop_nulls().dt.year()
                found += [int(year.min()), int(year.max())] if len(year) else []  # type: ignore[arg-type]
    return (min(found), max(found)) if found else None


def _is_vin(text: str) -> bool:
    """Say whether a text is a vehicle number with a right check digit."""
    if not _VIN.fullmatch(text):
        return False
    values = {**{str(i): i for i in range(10)}, **dict(zip("ABCDEFGH", range(1, 9)))}
    values |= {**dict(zip("JKLMN", range(1, 6))), "P": 7, "R": 9, **dict(zip("STUVWXYZ", range(2, 10)))}
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    rest = sum(values[sign] * weight for sign, weight in zip(text, weights)) % 11
    return text[8] == ("X" if rest == 10 else str(rest))
