"""A few whole patients of the first shard, as plain data, so that a reader sees lives and not only averages.

Who is shown is decided by what the patients have, never by a draw: somebody with several long conditions, somebody
who was in intensive care, somebody who died, a child, and whoever has most measurements of blood sugar.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import polars as pl

from ehrsatz.evaluation.plausibility.glycaemia import codes_of
from ehrsatz.evaluation.plausibility.quotas import codes_of as codes_of_entity
from ehrsatz.evaluation.plausibility.quotas import modules
from ehrsatz.simulator.module import Condition

LABS = ("sbp", "dbp", "weight", "hba1c", "ldl", "egfr")  # items of the catalogue
MOST_POINTS = 120  # of one measurement of one patient
MOST_ROWS = 200  # of conditions or medications of one patient
MOST_DONE = 2_000  # procedures: dialysis thrice a week is many
LASTING = 0.5  # years from which on a condition counts as a long one

Told = dict[str, Any]


def timelines(
    tables: Mapping[str, pl.DataFrame],
    reference: datetime.date,
    locale: str = "us",
    folder: str | None = None,
    record_years: float | None = None,
) -> list[Told]:
    """Return up to six patients with all that is drawn of them, in plain JSON types.

    Parameters
    ----------
    tables
        Of the clinical schema.
    reference
        The day the records end.
    locale
        Whose codes the measurements bear.
    folder
        Of more modules.
    record_years
        Years of routine care in the record; None: from birth.

    Returns
    -------
    One entry per patient: id, sex, birth, death and its cause, end and the beginning of routine care (years as
    decimals), why it is shown, and lists of visits [start, stop, class, reason], conditions [condition or episode,
    whether it lasts, display, stage, onset, end or null], medications [name, start, end or null, reason], procedures
    [name, start], labs {item: {unit, low, high, points [time, value]}}.
    """
    codes = codes_of(locale)
    chosen = _chosen(_people(tables, reference, codes["hba1c"]))
    names = _names(folder)
    routine = 0.0 if record_years is None else _year(reference) - record_years
    return [_one(tables, key, why, reference, codes, names) | {"routine": routine} for key, why in chosen.items()]


def _names(folder: str | None) -> dict[tuple[str, str | None], tuple[str, bool]]:
    """Return code and stage -> title of the condition or episode, and whether it is one that lasts."""
    out: dict[tuple[str, str | None], tuple[str, bool]] = {}
    for one in modules(folder).order:
        for row in codes_of_entity(one):
            out.setdefault(row, (one.title, isinstance(one, Condition)))
    return out


def _chosen(people: pl.DataFrame) -> dict[str, str]:
    """Return id -> why it is shown."""
    grown = pl.col("age") >= 18
    alive = pl.col("death_time").is_null()
    many = pl.col("long").is_between(3, 9) & pl.col("drugs").is_between(2, 14)
    wanted: list[tuple[str, pl.Expr, str]] = [
        ("several conditions", grown & alive & many & pl.col("long").ge(4) & (pl.col("stages") >= 2), "stages"),
        ("intensive care", grown & pl.col("icu").gt(0) & pl.col("long").le(12), "long"),
        ("died", grown & ~alive & pl.col("long").is_between(2, 9), "drugs"),
        ("a child", (pl.col("age") < 16) & alive & (pl.col("age") >= 3), "long"),
        ("measured often", alive & pl.col("long").le(9) & (pl.col("sugar") >= 5), "sugar"),
        ("a young adult", alive & pl.col("age").is_between(18, 40) & (pl.col("long") <= 6), "long"),
    ]
    out: dict[str, str] = {}
    for why, test, most in wanted:
        free = people.filter(test & ~pl.col("patient_id").is_in(list(out))).sort(
            [pl.col(most), pl.col("patient_id")], descending=[True, False]
        )
        if free.height:
            out[free["patient_id"][0]] = why
    return out if out else dict.fromkeys(people["patient_id"].head(1), "the first")


def _people(tables: Mapping[str, pl.DataFrame], reference: datetime.date, sugar_code: str) -> pl.DataFrame:
    end = pl.col("death_time").dt.date().fill_null(reference)
    long = (pl.col("abatement").is_null()) | (
        (pl.col("abatement") - pl.col("onset")).dt.total_days() > LASTING * 365.25
    )
    conditions = (
        tables["condition"]
        .filter(long)
        .group_by("patient_id")
        .agg(
            long=pl.col("code").str.slice(0, 3).n_unique(),
            stages=pl.col("stage").drop_nulls().n_unique(),
        )
    )
    drugs = tables["medication"].group_by("patient_id").agg(drugs=pl.col("code").n_unique())
    icu = tables["encounter"].filter(pl.col("class") == "icu").group_by("patient_id").agg(icu=pl.len())
    sugar = (
        tables["observation"]
        .lazy()
        .filter(pl.col("code") == sugar_code)
        .group_by("patient_id")
        .agg(sugar=pl.len())
        .collect()
    )
    out = tables["patient"].select("patient_id", "birth_date", "death_time")
    for one in (conditions, drugs, icu, sugar):
        out = out.join(one, on="patient_id", how="left", maintain_order="left")
    counts = ("long", "stages", "drugs", "icu", "sugar")
    return out.with_columns(
        *[pl.col(name).fill_null(0).cast(pl.Int64) for name in counts],
        age=(end - pl.col("birth_date")).dt.total_days() / 365.25,
    )


def _one(
    tables: Mapping[str, pl.DataFrame],
    key: str,
    why: str,
    reference: datetime.date,
    codes: Mapping[str, str],
    names: Mapping[tuple[str, str | None], tuple[str, bool]],
) -> Told:
    def mine(table: str) -> pl.DataFrame:
        return tables[table].filter(pl.col("patient_id") == key)

    person = mine("patient").row(0, named=True)
    visits = mine("encounter").sort("start", "encounter_id")
    conditions = mine("condition").sort("onset", "condition_id")
    drugs = mine("medication").sort("start", "medication_id")
    done = mine("procedure").sort("start", "procedure_id")
    seen = mine("observation").sort("time", "observation_id")
    labs: Told = {}
    for name in LABS:
        rows = seen.filter((pl.col("code") == codes.get(name, "")) & pl.col("value").is_not_null())
        if rows.height:
            last = rows.row(-1, named=True)
            points = [[_year(time), value] for time, value in rows.select("time", "value").iter_rows()]
            step = -(-len(points) // MOST_POINTS)
            points = points[::step] + ([points[-1]] if (len(points) - 1) % step else [])
            labs[name] = {"unit": last["unit"], "low": last["low"], "high": last["high"], "points": points}
    death = person["death_time"]
    return {
        "id": key,
        "why": why,
        "sex": person["sex"],
        "birth": _year(person["birth_date"]),
        "death": None if death is None else _year(death),
        "cause": None if death is None else person["death_cause"],
        "end": _year(reference if death is None else death),
        "visits": [
            [_year(a), _year(b), kind, reason]
            for a, b, kind, reason in visits.select("start", "stop", "class", "reason_display").iter_rows()
        ],
        "conditions": [
            [*_named(names, name, code, stage, a, b), name, stage, _year(a), _end(b)]
            for name, code, stage, a, b in conditions.select("display", "code", "stage", "onset", "abatement")
            .head(MOST_ROWS)
            .iter_rows()
        ],
        "medications": [
            [name, _year(a), _end(b), reason]
            for name, a, b, reason in drugs.select("display", "start", "stop", "reason_code")
            .head(MOST_ROWS)
            .iter_rows()
        ],
        "procedures": [[name, _year(a)] for name, a in done.select("display", "start").head(MOST_DONE).iter_rows()],
        "labs": labs,
    }


def _named(
    names: Mapping[tuple[str, str | None], tuple[str, bool]],
    display: str,
    code: str,
    stage: str | None,
    onset: datetime.datetime,
    stop: datetime.datetime | None,
) -> tuple[str, bool]:
    """Return what a row of `condition` is and whether it lasts; what no module knows is judged by its length."""
    found = names.get((code, stage), names.get((code, None)))
    return found or (display, stop is None or (stop - onset).days > LASTING * 365.25)


def _end(moment: datetime.datetime | None) -> float | None:
    return None if moment is None else _year(moment)


def _year(moment: datetime.date | datetime.datetime) -> float:
    """Return a moment as a calendar year with decimals."""
    day = moment.date() if isinstance(moment, datetime.datetime) else moment
    first = datetime.date(day.year, 1, 1)
    length = (datetime.date(day.year + 1, 1, 1) - first).days if day.year < 9999 else 365
    hours = (moment.hour / 24) if isinstance(moment, datetime.datetime) else 0.0
    return round(day.year + ((day - first).days + hours) / length, 4)
