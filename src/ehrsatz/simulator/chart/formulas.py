"""Values that follow from other reported values: exactly, by the field's formulas, or as the items' forms say.

Every function takes the values that an item is computed `of`, in their order, each of shape (R,), and returns (R,).
What is reported is computed from reported, rounded values, so that a reader who checks finds no difference.

References
----------
Friedewald WT et al., Clin Chem 1972;18:499. Inker LA et al., N Engl J Med 2021;385:1737, doi:10.1056/NEJMoa2102953
(CKD-EPI 2021). Schwartz GJ et al., J Am Soc Nephrol 2009;20:629 (children). Severinghaus JW, J Appl Physiol
1979;46:599.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ehrsatz.simulator.history import Floats, Ints

KAPPA, ALPHA, WOMAN = (0.7, 0.9), (-0.241, -0.302), (1.012, 1.0)
CHILD = 18.0
SCHWARTZ = 0.413


def egfr(creatinine: Floats, height: Floats, sex: Ints, age: Floats) -> Floats:
    """Return eGFR in mL/min/1.73 m2: CKD-EPI 2021 for adults, bedside Schwartz below 18 years."""
    kappa, alpha = np.array(KAPPA)[sex], np.array(ALPHA)[sex]
    ratio = creatinine / kappa
    adult = 142 * np.minimum(ratio, 1) ** alpha * np.maximum(ratio, 1) ** -1.2 * 0.9938**age * np.array(WOMAN)[sex]
    return np.where(age < CHILD, SCHWARTZ * height / creatinine, adult)


def creatinine(filtration: Floats, height: Floats, sex: Ints, age: Floats) -> Floats:
    """Return the creatinine in mg/dL at which the formulas give a filtration rate: the inverse of `egfr`."""
    kappa, alpha = np.array(KAPPA)[sex], np.array(ALPHA)[sex]
    at_kappa = 142 * 0.9938**age * np.array(WOMAN)[sex]
    share = filtration / at_kappa
    ratio = np.where(share >= 1, share ** (1 / alpha), share ** (-1 / 1.2))
    return np.where(age < CHILD, SCHWARTZ * height / filtration, kappa * ratio)


def ldl(total: Floats, hdl: Floats, trig: Floats) -> Floats:
    """Return LDL cholesterol in mg/dL by Friedewald; NaN where it does not hold: trig >= 400, LDL < 10."""
    value = total - hdl - trig / 5
    return np.where((trig < 400) & (value >= 10), value, np.nan)


def saturation(po2: Floats, ph: Floats) -> Floats:
    """Return the oxygen saturation of arterial blood in percent (Severinghaus), po2 corrected for pH."""
    virtual = np.maximum(po2 * 10 ** (0.48 * (ph - 7.4)), 1)
    return 100 / (23400 / (virtual**3 + 150 * virtual) + 1)


def percentile(z: Floats) -> Floats:
    """Return a percentile between 1 and 99 of a z-score."""
    from scipy.special import ndtr

    return np.clip(100 * ndtr(z), 1, 99)


def grade(value: Floats, limits: tuple[float, ...]) -> Ints:
    """Return how many limits a value reaches: the plusses of a dipstick."""
    return np.searchsorted(np.array(limits), value, side="right")


SIMPLE: Mapping[str, Callable[..., Floats]] = {  # formulas of reported values alone
    "body_mass_index": lambda weight, height: weight / (height / 100) ** 2,
    "mean_arterial_pressure": lambda sbp, dbp: dbp + (sbp - dbp) / 3,
    "ldl_friedewald": ldl,
    "ratio": lambda a, b: a / b,
    "anion_gap": lambda sodium, chloride, bicarbonate: sodium - chloride - bicarbonate,
    "osmolality": lambda sodium, glucose, urea: 2 * sodium + glucose / 18 + urea / 2.8,
    "difference": lambda a, b: a - b,
    "hematocrit": lambda hemoglobin, mchc: 100 * hemoglobin / mchc,
    "red_cells": lambda hematocrit, mcv: 10 * hematocrit / mcv,
    "mch": lambda hemoglobin, red: 10 * hemoglobin / red,
    "share_of": lambda whole, share: whole * share / 100,
    "percent": lambda a, b: 100 * a / b,
    "prothrombin_time": lambda inr: 12.0 * inr,
    "henderson_hasselbalch": lambda ph, pco2: 0.0307 * pco2 * 10 ** (ph - 6.1),
    "base_excess": lambda ph, bicarbonate: 0.93 * (bicarbonate - 24.4 + 14.8 * (ph - 7.4)),
    "severinghaus": saturation,
}
