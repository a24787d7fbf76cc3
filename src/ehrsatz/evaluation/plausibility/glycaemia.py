"""HbA1c with mean glucose, patient by patient: the line of the ADAG study, in NGSP % and mg/dL whatever the country.

References
----------
Nathan DM et al., Translating the A1C assay into estimated average glucose values, Diabetes Care 2008;31:1473,
doi:10.2337/dc08-0545: eAG (mg/dL) = 28.7 HbA1c (%) - 46.7, r = 0.92. NGSP % = 0.09148 IFCC (mmol/mol) + 2.152:
Hoelzel W et al., Clin Chem 2004;50:166. 1 mmol/L of glucose is 18.016 mg/dL (molar mass 180.16 g/mol).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.locale import locale_of
from ehrsatz.simulator.reported import Reported

SLOPE, START, R = 28.7, -46.7, 0.92  # of the study
LEAST = 50  # patients, below which nothing is said
NARROW = 0.8  # standard deviation of HbA1c in %, below which r tells of the range and not of the line
MOST_POINTS = 240  # in the picture, of the first shard
NAMES = ("n", "x", "y", "xx", "yy", "xy")

Told = dict[str, Any]


@lru_cache(maxsize=4)
def codes_of(locale: str) -> dict[str, str]:
    """Return item -> the LOINC code under which a country writes it down; items that are not written are left out."""
    items = Reported(catalogue(), locale_of(locale).units.items)
    return {one.id: code for one, code in zip(catalogue().items, items.codes, strict=True) if code}


def glycaemia(observation: pl.DataFrame, locale: str, *, points: bool) -> Told:
    """Return sums over patients of their mean HbA1c (x, %) and mean capillary glucose (y, mg/dL).

    Parameters
    ----------
    observation
        Of the clinical schema.
    locale
        Whose codes and units they bear.
    points
        Keep pairs for a picture too.
    """
    codes = codes_of(locale)
    wanted = {"x": codes["hba1c"], "y": codes["glucose_capillary"]}
    found = []
    for name, code in wanted.items():
        mean = (
            observation.lazy()
            .filter((pl.col("code") == code) & pl.col("value").is_not_null())
            .select("patient_id", _usual(name).alias(name))
            .group_by("patient_id")
            .agg(pl.col(name).mean())
        )
        found.append(mean)
    both = found[0].join(found[1], on="patient_id").sort("patient_id").collect()
    x, y = both["x"].to_numpy(), both["y"].to_numpy()
    sums = [len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]
    some = both.head(MOST_POINTS).select("x", "y").rows() if points else []
    return {"sums": [round(float(one), 4) for one in sums], "points": [[round(a, 2), round(b, 1)] for a, b in some]}


def _usual(name: str) -> pl.Expr:
    """Return values in % and mg/dL."""
    value, unit = pl.col("value"), pl.col("unit")
    if name == "x":
        return pl.when(unit == "mmol/mol").then(0.09148 * value + 2.152).otherwise(value)
    return pl.when(unit == "mmol/L").then(18.016 * value).otherwise(value)


def merged(a: Mapping[str, Any], b: Mapping[str, Any]) -> Told:
    """Add up two parts of a cohort; the pairs of the first are kept."""
    sums = [round(p + q, 4) for p, q in zip(a["sums"], b["sums"], strict=True)]
    return {"sums": sums, "points": a["points"] or b["points"]}


def line(told: Mapping[str, Any]) -> Told | None:
    """Return n, r with its 95 % interval (Fisher), slope, start and distance from the study's line.

    None of too few patients, or of patients who are too alike.

    The slope is that of the line through the means with the ratio of the spreads (reduced major axis): both sides
    vary, as neither is measured without error.
    """
    n, x, y, xx, yy, xy = told["sums"]
    if n < LEAST:
        return None
    sxx, syy, sxy = xx - x * x / n, yy - y * y / n, xy - x * y / n
    if sxx < n * NARROW**2 or syy <= 1e-9:
        return None
    r = float(np.clip(sxy / np.sqrt(sxx * syy), -1, 1))
    fisher, half = np.arctanh(np.clip(r, -0.999999, 0.999999)), 1.96 / np.sqrt(n - 3)
    slope = float(np.sqrt(syy / sxx))
    mean = x / n
    return {
        "n": int(n),
        "r": r,
        "interval": [float(np.tanh(fisher - half)), float(np.tanh(fisher + half))],
        "slope": slope,
        "start": float(y / n - slope * mean),
        "off": float(y / n - (SLOPE * mean + START)),
        "mean": float(mean),
    }
