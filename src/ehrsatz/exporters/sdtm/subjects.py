"""The subjects of a study: their numbers, reference dates and visits, and the domain DM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.layouts import sdtm as layout

SITE = "01"


@dataclass(frozen=True)
class Subjects:
    """What every domain needs to know of subjects and encounters.

    Parameters
    ----------
    study
        STUDYID.
    drug
        Code or part of the name of the study's drug; None: there is none.
    frame
        A row per patient, in their order: `patient_id`, `USUBJID`, number `(subject)`, reference start `(reference)`.
    visits
        A row per encounter: `encounter_id`, `VISITNUM`, class `(class)`.
    """

    study: str
    drug: str | None
    frame: pl.DataFrame
    visits: pl.DataFrame

    def placed(self, rows: pl.DataFrame, time: str) -> pl.DataFrame:
        """Return rows with their subject and visit, in the order of subjects and times."""
        out = rows.join(self.frame, on="patient_id", how="inner", maintain_order="left")
        out = out.join(self.visits, on="encounter_id", how="left", maintain_order="left")
        return out.sort("(subject)", time, nulls_last=True, maintain_order=True)

    def is_study_drug(self) -> pl.Expr:
        """Say of rows of `medication` whether they are courses of the study's drug."""
        return _is_drug(self.drug)


def _is_drug(drug: str | None) -> pl.Expr:
    if drug is None:
        return pl.lit(False)
    named = pl.col("display").str.to_lowercase().str.contains(drug.lower(), literal=True)
    return (pl.col("code") == drug).fill_null(False) | named.fill_null(False)


def subjects_of(dataset: Dataset, study: str, drug: str | None) -> Subjects:
    """Number the patients, date their reference start, and number their encounters as visits."""
    patient = dataset.tables["patient"].select(
        "patient_id",
        pl.concat_str(pl.lit(f"{study}-"), pl.col("patient_id")).alias("USUBJID"),
        pl.int_range(pl.len()).alias("(subject)"),
    )
    encounter = dataset.tables["encounter"]
    seen = encounter.group_by("patient_id").agg(
        pl.col("start").min().alias("(first seen)"), pl.coalesce("stop", "start").max().alias("(last seen)")
    )
    taken = (
        dataset.tables["medication"]
        .filter(_is_drug(drug))
        .group_by("patient_id")
        .agg(
            pl.col("start").min().alias("(first dose)"),
            pl.coalesce("stop", "start").max().alias("(last dose)"),
        )
    )
    frame = patient.join(seen, on="patient_id", how="left", maintain_order="left")
    frame = frame.join(taken, on="patient_id", how="left", maintain_order="left")
    first, last = ("(first seen)", "(last seen)") if drug is None else ("(first dose)", "(last dose)")
    frame = frame.with_columns(pl.col(first).alias("(reference)"), pl.col(last).alias("(reference end)"))
    ordered = encounter.sort("start", "encounter_id", nulls_last=True)
    visits = ordered.select(
        "encounter_id",
        pl.int_range(1, pl.len() + 1).over("patient_id").alias("VISITNUM"),
        pl.col("class").alias("(class)"),
    )
    return Subjects(study, drug, frame, visits)


def demographics(dataset: Dataset, who: Subjects) -> tuple[pl.DataFrame, Mapping[str, pl.Expr], Mapping[str, pl.Expr]]:
    """Return the rows of DM, what is derived in it, and when a qualifier is needed."""
    rows = dataset.tables["patient"].join(who.frame, on="patient_id", how="left", maintain_order="left")

    def time(name: str) -> pl.Expr:
        return pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.f")

    born, start = pl.col("birth_date"), pl.col("(reference)")
    early = (start.dt.month() * 100 + start.dt.day()) < (born.dt.month() * 100 + born.dt.day())
    age = (start.dt.year() - born.dt.year()).cast(pl.Int64) - early.cast(pl.Int64)
    age = pl.when(age >= 0).then(age)
    country = pl.col("country").replace_strict(layout.COUNTRY, default=None, return_dtype=pl.String)
    back = country.replace_strict(
        {long: short for short, long in reversed(layout.COUNTRY.items())}, default=None, return_dtype=pl.String
    )
    nothing = pl.lit(None, pl.String)
    derived = {
        "RFSTDTC": time("(reference)"),
        "RFENDTC": time("(reference end)"),
        "RFXSTDTC": time("(first dose)"),
        "RFXENDTC": time("(last dose)"),
        "RFPENDTC": pl.coalesce(time("death_time"), time("(last seen)")),
        "DTHFL": pl.when(pl.col("death_time").is_not_null()).then(pl.lit("Y")),
        "SITEID": pl.lit(SITE),
        "AGE": age,
        "AGEU": pl.when(age.is_not_null()).then(pl.lit("YEARS")),
        "SEX": pl.col("sex").replace_strict(layout.SEX, default="U", return_dtype=pl.String).fill_null("U"),
        "RACE": pl.col("race").replace_strict(layout.RACE, default=None, return_dtype=pl.String),
        "ETHNIC": pl.col("ethnicity").replace_strict(layout.ETHNIC, default=None, return_dtype=pl.String),
        "ARMNRS": pl.lit("NOT ASSIGNED"),
        "COUNTRY": country.fill_null("ZZZ"),
        "ARMCD": nothing,
    }
    return rows, derived, {"CTRYSRC": back.ne_missing(pl.col("country"))}
