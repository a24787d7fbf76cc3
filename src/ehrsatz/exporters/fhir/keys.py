"""Logical ids of resources: the key itself where every server takes it, else one derived from it; never by chance.

Servers that take ids from clients refuse ids of digits alone, so that these get the table's name in front. What
remains, and what looks like an id that was derived, is hashed.
"""

from __future__ import annotations

import re
from hashlib import sha256

import polars as pl

PLAIN = r"^[A-Z][A-Za-z0-9.\-]{0,55}$"  # certainly an id, and none that is derived: tables have small names
_LEGAL = re.compile(r"[A-Za-z0-9-][A-Za-z0-9.-]{0,63}")
_DERIVED = re.compile(r"[a-z-]+-([0-9]+|[0-9a-f]{32})|payer-.*|record-.*")
_DIGITS = re.compile(r"[0-9]{1,40}")


def ids(keys: pl.Series, table: str) -> pl.Series:
    """Return the logical ids of a table's keys; null for null."""
    if table != "payer" and (keys.str.contains(PLAIN) | keys.is_null()).all():
        return keys
    known = keys.drop_nulls().unique()
    derived = {key: derive(key, table) for key in known.to_list()}
    return keys.replace_strict(derived, default=None, return_dtype=pl.String)


def derive(key: str, table: str) -> str:
    """Return the logical id of one key.

    Examples
    --------
    >>> derive("P00000012", "patient"), derive("17", "encounter"), derive("Q1", "payer")
    ('P00000012', 'encounter-17', 'payer-Q1')
    >>> derive("a b", "claim_line")
    'claim-line-c8687a08aa5d6ed2044328fa6a697ab8'
    """
    name = table.replace("_", "-")
    if _LEGAL.fullmatch(key) and not _DIGITS.fullmatch(key) and not _DERIVED.fullmatch(key):
        if table != "payer":
            return key
        if len(key) <= 56:
            return f"payer-{key}"
    if _DIGITS.fullmatch(key):
        return f"{name}-{key}"
    return f"{name}-{digest(key)}"


def digest(key: str) -> str:
    """Return 32 hexadecimal digits that depend on a text alone."""
    return sha256(key.encode()).hexdigest()[:32]


def uid(key: str) -> str:
    """Return a DICOM unique identifier derived from a text, in the arc of UUIDs (PS3.5, annex B.2)."""
    return f"2.25.{int(digest(key), 16)}"
