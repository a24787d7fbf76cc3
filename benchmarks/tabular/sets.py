"""The data sets: where they are, which columns they have, what always holds in them, and how they are split.

A split writes train.csv and holdout.csv as the hospital's file is written (same spellings, same marks of missing),
by subject and at random from the seed, so each repetition has its own halves.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

RULE_TOLERANCE = 0.1  # of wt82 - wt71 = wt82_71 in kg; of sums and differences in their own unit
DIED = ("11", "19", "20", "21")  # discharge_disposition_id, IDs_mapping.csv of the data set
DISEASE_CLASS = {
    "ARF/MOSF w/Sepsis": "ARF/MOSF",
    "MOSF w/Malig": "ARF/MOSF",
    "CHF": "COPD/CHF/Cirrhosis",
    "COPD": "COPD/CHF/Cirrhosis",
    "Cirrhosis": "COPD/CHF/Cirrhosis",
    "Colon Cancer": "Cancer",
    "Lung Cancer": "Cancer",
    "Coma": "Coma",
}


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


NUCLEUS = words(
    "radius texture perimeter area smoothness compactness concavity concave_points symmetry fractal_dimension"
)
DIABETES_DRUGS = words(
    "metformin repaglinide nateglinide chlorpropamide glimepiride acetohexamide glipizide glyburide tolbutamide "
    "pioglitazone rosiglitazone acarbose miglitol troglitazone tolazamide examide citoglipton insulin "
    "glyburide-metformin glipizide-metformin glimepiride-pioglitazone metformin-rosiglitazone metformin-pioglitazone"
)

Rule = Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True)
class Set:
    """One data set. Rules give True per row; each holds in every real row.

    leak: columns that the utility task may not use, because they are the outcome or known only after it.
    beyond: rules over many columns at once, reported apart.
    """

    name: str
    file: str
    target: str
    positive: tuple[str, ...]
    categories: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    leak: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    subject: str | None = None
    most: int | None = None
    few_levels: int | None = None
    rules: dict[str, Rule] = field(default_factory=dict)
    beyond: dict[str, Rule] = field(default_factory=dict)


def _implies(condition: pd.Series, then: pd.Series) -> pd.Series:
    return ~condition | then


def _sum(total: str, left: str, right: str) -> Rule:
    """left = total - right where all three are known, and the total known exactly where left and right are."""

    def check(d: pd.DataFrame) -> pd.Series:
        gap = (d[left] - d[right] - d[total]).abs()
        known = d[left].notna() & d[right].notna()
        return (gap.fillna(0) < RULE_TOLERANCE) & (d[total].notna() == known)

    return check


def _ordered(above: str, below: str) -> Rule:
    return lambda d: d[above] >= d[below]


SETS: dict[str, Set] = {
    one.name: one
    for one in (
        Set(
            "diabetes130",
            "diabetes130/diabetic_data.csv.gz",
            "readmitted",
            ("<30", ">30"),
            categories=words(
                "race gender age weight admission_type_id discharge_disposition_id admission_source_id payer_code "
                "medical_specialty diag_1 diag_2 diag_3 max_glu_serum A1Cresult change diabetesMed readmitted"
            )
            + DIABETES_DRUGS,
            drop=("encounter_id", "patient_nbr"),
            missing=("?", "None"),  # None in max_glu_serum and A1Cresult: not measured
            subject="patient_nbr",
            most=20_000,
            rules={
                "insulin needs diabetesMed": lambda d: _implies(d["insulin"] != "No", d["diabetesMed"] == "Yes"),
                "change needs diabetesMed": lambda d: _implies(d["change"] == "Ch", d["diabetesMed"] == "Yes"),
                "insulin up or down is a change": lambda d: _implies(
                    d["insulin"].isin(["Up", "Down"]), d["change"] == "Ch"
                ),
                "died is never readmitted": lambda d: _implies(
                    d["discharge_disposition_id"].isin(DIED), d["readmitted"] == "NO"
                ),
            },
            beyond={
                "diabetesMed is any of 23 drugs": lambda d: (
                    (d[list(DIABETES_DRUGS)] != "No").any(axis=1) == (d["diabetesMed"] == "Yes")
                )
            },
        ),
        Set(
            "support2",
            "support2/support2.csv.gz",
            "hospdead",
            ("1",),
            categories=words("death sex hospdead dzgroup dzclass income race diabetes dementia ca dnr sfdm2"),
            leak=words(  # outcomes, what is known only at discharge, and published forecasts of the outcome
                "death d.time slos sfdm2 charges totcst totmcst dnr dnrday surv2m surv6m prg2m prg6m"
            ),
            rules={
                "discharged alive: d.time >= slos": lambda d: _implies(d["hospdead"] == "0", d["d.time"] >= d["slos"]),
                "died in hospital: d.time = slos": lambda d: _implies(d["hospdead"] == "1", d["d.time"] == d["slos"]),
                "died in hospital: death": lambda d: _implies(d["hospdead"] == "1", d["death"] == "1"),
                "dzgroup decides dzclass": lambda d: d["dzclass"] == d["dzgroup"].map(DISEASE_CLASS),
                "dnr and dnrday missing together": lambda d: d["dnr"].isna() == d["dnrday"].isna(),
                "no dnr: dnrday = slos": lambda d: _implies(d["dnr"] == "no dnr", d["dnrday"] == d["slos"]),
            },
        ),
        Set(
            "nhefs",
            "nhefs/nhefs.csv",
            "death",
            ("1",),
            drop=("seqn", "id"),
            leak=("yrdth", "modth", "dadth"),
            few_levels=8,
            rules={
                "year of death only if dead": lambda d: d["yrdth"].isna() == (d["death"] == "0"),
                "wt82 - wt71 = wt82_71": _sum("wt82_71", "wt82", "wt71"),
                "weight and its change missing together": lambda d: d["wt82"].isna() == d["wt82_71"].isna(),
            },
        ),
        Set(
            "heart_disease_uci",
            "heart_disease_uci/heart_disease_uci.csv",
            "num",
            ("1", "2", "3", "4"),
            categories=words("sex dataset cp fbs restecg exang slope thal num"),
            drop=("id",),
            rules={
                "Switzerland: chol = 0": lambda d: _implies(d["dataset"] == "Switzerland", d["chol"] == 0),
                "thalch and exang missing together": lambda d: d["thalch"].isna() == d["exang"].isna(),
            },
        ),
        Set(
            "breast_cancer_wdbc",
            "breast_cancer_wdbc/wdbc.csv",
            "target",
            ("0",),
            categories=("target",),
            rules={
                **{f"{name}: worst >= mean": _ordered(f"{name}_worst", f"{name}_mean") for name in NUCLEUS},
                "perimeter over radius as of a closed curve": lambda d: (
                    d["perimeter_mean"] / d["radius_mean"]
                ).between(5.9, 8.2),
            },
        ),
        Set(
            "maternal_health",
            "maternal_health/maternal_health_risk.csv",
            "RiskLevel",
            ("high risk",),
            categories=("RiskLevel",),
            rules={"systolic above diastolic": lambda d: d["SystolicBP"] > d["DiastolicBP"]},
        ),
    )
}


def split(one: Set, data: Path, folder: Path, seed: int) -> None:
    """Write train.csv, holdout.csv, spec.json and, where rows allow, further.csv for one repetition.

    Halves by subject; where a set has a subject column and rows to spare, thirds: the last is a further real
    sample of other subjects. At most `one.most` rows each.

    Parameters
    ----------
    one
        The data set.
    data
        Folder of all data sets.
    folder
        Where the files go.
    seed
        The repetition; each has its own split.
    """
    frame = pd.read_csv(data / one.file, dtype=str, keep_default_na=False, na_values=[], low_memory=False)
    groups = frame[one.subject] if one.subject else pd.Series(np.arange(len(frame)))
    frame = frame.drop(columns=list(one.drop))
    number = int.from_bytes(sha256(one.name.encode()).digest()[:4], "big")
    rng = np.random.default_rng([number, seed])
    subjects = rng.permutation(groups.unique())
    names = ("train", "holdout", "further") if one.subject else ("train", "holdout")
    size = len(subjects) // len(names)
    parts = {
        name: rng.permutation(np.flatnonzero(groups.isin(subjects[i * size : (i + 1) * size])))
        for i, name in enumerate(names)
    }
    rows = min([len(part) for part in parts.values()] + ([one.most] if one.most else []))
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        frame.iloc[part[:rows]].to_csv(folder / f"{name}.csv", index=False)
    spec = {
        "name": one.name,
        "target": one.target,
        "positive": list(one.positive),
        "leak": list(one.leak),
        "missing": list(one.missing),
        "columns": {name: _kind(one, frame[name]) for name in frame.columns},
    }
    (folder / "spec.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")


def kept(rules: dict[str, Rule], frame: pd.DataFrame) -> dict[str, float]:
    """Return the share of rows that keep each rule."""
    return {name: float(rule(frame).mean()) for name, rule in rules.items()}


def _kind(one: Set, cells: pd.Series) -> str:
    if cells.name in one.categories:
        return "cat"
    numbers = pd.to_numeric(cells.where(~cells.isin({"", *one.missing})), errors="coerce").dropna()
    if one.few_levels and numbers.nunique() <= one.few_levels:
        return "cat"
    return "int" if (numbers == numbers.round()).all() else "num"
