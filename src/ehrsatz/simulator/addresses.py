"""Addresses where nobody lives: real towns of the region, invented streets, postal codes that were given to nobody.

United States: the town's three-digit area with last digits that the Postal Service has not assigned
(`places.csv`). United Kingdom: the letters ZZ, which are not among the 124 postcode areas, with districts 1 to 98;
district 99 is left out, since the NHS and ONS use ZZ99 for people without a fixed address and from abroad.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.seeds import addressed
from ehrsatz.simulator.locale import Locale
from ehrsatz.simulator.names import Pools, pools

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
HOUSES = 4_000  # highest house number in the US form; 180 in the UK form
INWARD = "ABDEFGHJLNPQRSTUWXYZ"  # letters of the last part of a UK postcode


@dataclass(frozen=True)
class Towns:
    """The places of a locale by region, and the texts that depend on the place alone."""

    draw: Pools  # words: city
    postal: pl.Series  # (places,)
    phone: pl.Series  # (places * 100,)


def addresses(seed: int, locale: Locale, key: Ints, region: Ints, *, name: str = "address") -> dict[str, pl.Series]:
    """Return address_line, city, postal_code and phone (N,) that belong to keys (N,) in regions (N,).

    Who shares key and region shares the address; a minor takes its mother's number as its key.
    """
    towns = _towns(locale)
    u = addressed(seed, "simulator", name, subjects=key, width=5)
    place = towns.draw.draw(region, u[:, 0])
    streets = _streets(locale)
    house = _houses(locale.identity.address)
    line = house.gather((u[:, 1] * len(house)).astype(np.int64))
    street = streets.gather((u[:, 2] * len(streets)).astype(np.int64))
    if locale.identity.address == "uk":
        codes = _postcodes()
        postal = codes.gather((u[:, 3] * len(codes)).astype(np.int64))
    else:
        postal = towns.postal.gather(place)
    return {
        "address_line": line + street,
        "city": towns.draw.words.gather(place),
        "postal_code": postal,
        "phone": towns.phone.gather(place * 100 + (u[:, 4] * 100).astype(np.int64)),
    }


@lru_cache(maxsize=8)
def _towns(locale: Locale) -> Towns:
    places = [[p for p in locale.places if p.region == code] for code in locale.regions]
    in_order = [place for some in places for place in some]
    draw = pools([[(p.city, p.thousands) for p in some] for some in places])
    if locale.identity.phone == "nanp":
        phones = [f"({p.area}) 555-01{i:02d}" for p in in_order for i in range(100)]
    else:
        phones = [f"{p.area}{i:02d}" for p in in_order for i in range(100)]
    return Towns(draw, pl.Series([p.postal for p in in_order], dtype=pl.String), pl.Series(phones, dtype=pl.String))


@lru_cache(maxsize=8)
def _streets(locale: Locale) -> pl.Series:
    return pl.Series([f"{name} {kind}" for name in locale.identity.streets for kind in locale.identity.kinds])


@lru_cache(maxsize=2)
def _houses(form: str) -> pl.Series:
    return pl.Series([f"{i} " for i in range(1, 181 if form == "uk" else HOUSES + 1)])


@lru_cache(maxsize=1)
def _postcodes() -> pl.Series:
    return pl.Series([f"ZZ{d} {s}{a}{b}" for d in range(1, 99) for s in range(10) for a in INWARD for b in INWARD[::4]])
