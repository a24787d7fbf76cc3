"""Numbers that were given to nobody, with the check digits that software expects.

=========  ============================================================================================
ssn        area 666 or 000: the Social Security Administration has assigned neither, ever. Areas 900 to
           999 are left out, since the tax service gives them to people (ITIN).
nhs        999 000 0000 to 999 999 9999 with the modulus 11 check digit: the NHS's range for tests.
npi        ten digits, the first 9, with the Luhn digit over 80840: real ones begin with 1 or 2.
gmc        seven digits, the first 9: none seen begins so, but the GMC keeps no range for tests.
ods        TEST and five digits: no code of the Organisation Data Service has this form.
e-mail     example.org, .com and .net, which RFC 2606 keeps for examples.
=========  ============================================================================================

There are 1,979,802 social security numbers and about 909,000 NHS numbers of these kinds; people whose numbers in the
cohort lie that far apart have the same one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.seeds import stream

Ints = NDArray[np.int64]
AREAS = ("666", "000")
GROUPS, SERIALS = 99, 9_999  # 01 to 99, 0001 to 9999
DOMAINS = ("example.org", "example.com", "example.net")  # RFC 2606, section 3
NPI_PREFIX = 24  # what the digits of the prefix 80840 add to the Luhn sum (CMS, NPI check digit, 2004)


def national_ids(kind: str, seed: int, number: Ints) -> pl.Series:
    """Return national numbers (N,) by person: `kind` is ssn or nhs."""
    if kind == "ssn":
        place = _scattered(seed, number, len(AREAS) * GROUPS * SERIALS)
        head = pl.Series([f"{area}-{group:02d}-" for area in AREAS for group in range(1, GROUPS + 1)])
        return head.gather(place // SERIALS) + _digits(4).gather(place % SERIALS + 1)
    valid = _nhs()
    whole = valid[_scattered(seed, number, len(valid))]
    head = pl.Series([f"999 {i:03d} " for i in range(1000)])
    return head.gather(whole // 10_000) + _digits(4).gather(whole % 10_000)


def provider_ids(kind: str, number: Ints) -> pl.Series:
    """Return numbers of practitioners (or, as npi, of organisations) (N,): `kind` is npi, gmc or ods."""
    number = np.asarray(number, np.int64)
    if kind == "npi":
        body = 900_000_000 + number % 100_000_000
        return _text(body * 10 + luhn(body), 10)
    if kind == "gmc":
        return _text(9_000_000 + number % 1_000_000, 7)
    return "TEST" + _text(number % 100_000, 5)


def records(number: Ints) -> pl.Series:
    """Return medical record numbers (N,), which begin with TEST."""
    return "TEST" + _text(np.asarray(number, np.int64), 9)


def emails(given: pl.Series, family: pl.Series, number: Ints) -> pl.Series:
    """Return addresses of mail (N,) at domains that are kept for examples, unique by number."""
    local = given.str.to_lowercase() + "." + family.str.to_lowercase()
    local = local.str.replace_all(r"[^a-z.]", "")
    domain = pl.Series([f"@{name}" for name in DOMAINS]).gather(np.asarray(number) % len(DOMAINS))
    return local + "." + pl.Series(np.asarray(number, np.int64)).cast(pl.String) + domain


def luhn(body: Ints) -> Ints:
    """Return the check digit of nine-digit NPI bodies (N,), with the prefix 80840."""
    total = np.full(len(body), NPI_PREFIX, np.int64)
    rest = np.asarray(body, np.int64)
    for place in range(9):
        digit = rest % 10
        rest = rest // 10
        doubled = digit * 2
        total += np.where(place % 2 == 0, doubled - 9 * (doubled > 9), digit)
    return (-total) % 10


def modulus11(body: Ints) -> Ints:
    """Return the check digit of nine-digit NHS bodies (N,); 10: there is no such number."""
    total = np.zeros(len(body), np.int64)
    rest = np.asarray(body, np.int64)
    for weight in range(2, 11):
        total += weight * (rest % 10)
        rest = rest // 10
    return (11 - total % 11) % 11


@lru_cache(maxsize=1)
def _nhs() -> Ints:
    """Return the last seven digits of all valid NHS numbers that begin with 999."""
    body = np.arange(1_000_000, dtype=np.int64)
    check = modulus11(999_000_000 + body)
    return (body * 10 + check)[check < 10]


def _scattered(seed: int, number: Ints, size: int) -> Ints:
    """Return places (N,) in 0 .. size - 1, another for each of `size` consecutive numbers."""
    rng = stream(seed, "simulator", "identifiers", size)
    shift = int(rng.integers(size))
    step = int(rng.integers(size // 3, size)) | 1
    while np.gcd(step, size) != 1:
        step += 2
    return (np.asarray(number, np.int64) % size * step + shift) % size


@lru_cache(maxsize=4)
def _digits(width: int) -> pl.Series:
    return pl.Series([f"{i:0{width}d}" for i in range(10**width)])


def _text(whole: Ints, width: int) -> pl.Series:
    return pl.Series(whole).cast(pl.String).str.zfill(width)
