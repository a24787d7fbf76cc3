"""Clinical tables as the records of SDTM domains."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.clinical import LOINC
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.sdtm.subjects import Subjects, demographics, subjects_of
from ehrsatz.layouts import sdtm as layout
from ehrsatz.layouts.sdtm import DOMAINS, SUPP, Domain, Variable
from ehrsatz.layouts.testcodes import short_name

KINDS: dict[str, pl.DataType] = {"integer": pl.Int64(), "float": pl.Float64()}
NO_NAME = "NOT NAMED"
Derived = Mapping[str, pl.Expr]
Made = tuple[Domain, pl.DataFrame, Derived, Derived]


def domains(dataset: Dataset, study: str, drug: str | None) -> dict[str, pl.DataFrame]:
    """Return dataset name -> its records: the domains, and SUPP-- where they have qualifiers.

    Parameters
    ----------
    dataset
        In the loose form, all tables.
    study
        STUDYID.
    drug
        Code or part of the name of the study's drug; None: there is none.
    """
    who = subjects_of(dataset, study, drug)
    out: dict[str, pl.DataFrame] = {}
    made = [
        (DOMAINS["DM"], *demographics(dataset, who)),
        (DOMAINS["SV"], *_visits(dataset, who)),
        *_events(dataset, who),
        *_treatments(dataset, who),
        *_findings(dataset, who),
    ]
    for domain, rows, derived, when in made:
        out[domain.name], extra = _records(domain, rows, derived, when, who)
        if extra.height:
            out[f"SUPP{domain.name}"] = extra
    return out


# ---------------------------------------------------------------------- tables
def _visits(dataset: Dataset, who: Subjects) -> tuple[pl.DataFrame, Derived, Derived]:
    return who.placed(dataset.tables["encounter"], "start"), {}, {}


def _events(dataset: Dataset, who: Subjects) -> list[Made]:
    """Conditions from the reference start on are adverse events, earlier ones and allergies are history."""
    rows = _named(who.placed(dataset.tables["condition"], "onset"))
    rows = rows.with_columns(pl.lit(layout.CONDITION).alias("(kind)"))
    after = (pl.col("onset") >= pl.col("(reference)")).fill_null(False)
    stay = pl.col("(class)").is_in(["inpatient", "icu"])
    serious = pl.when(stay).then(pl.lit("Y")).otherwise(pl.lit("N"))
    term = pl.col("(term)")
    adverse = {
        "AETERM": term,
        "AEDECOD": pl.coalesce("snomed_display", term),
        "AECAT": pl.col("(kind)"),
        "AESER": serious,
        "AESHOSP": serious,
        "AEOUT": pl.col("status").replace_strict(layout.OUTCOME, default=None, return_dtype=pl.String),
    }
    allergies = _named(who.placed(dataset.tables["allergy"], "onset")).with_columns(
        pl.lit(layout.ALLERGY).alias("(kind)"), condition_id="allergy_id"
    )
    history = pl.concat([rows.filter(~after), allergies], how="diagonal")
    past = {
        "MHTERM": term,
        "MHDECOD": pl.coalesce("snomed_display", pl.when(pl.col("(kind)") == layout.CONDITION).then(term)),
        "MHCAT": pl.col("(kind)"),
        "MHSCAT": pl.col("category").str.to_uppercase(),
    }
    return [
        (DOMAINS["AE"], rows.filter(after), adverse, {}),
        (DOMAINS["MH"], history.sort("(subject)", "onset", maintain_order=True), past, {}),
    ]


def _treatments(dataset: Dataset, who: Subjects) -> list[Made]:
    """Courses of the study's drug are exposure, all others and vaccinations are concomitant."""
    drugs = _named(who.placed(dataset.tables["medication"], "start"))
    vaccines = dataset.tables["immunization"].rename({"immunization_id": "medication_id", "time": "start"})
    given = _named(who.placed(vaccines, "start")).with_columns(pl.lit(layout.VACCINATION).alias("(kind)"))
    mine = who.is_study_drug() if drugs.height else pl.lit(False)
    others = pl.concat([drugs.filter(~mine), given], how="diagonal").sort("(subject)", "start", maintain_order=True)
    procedures = _named(who.placed(dataset.tables["procedure"], "start"))
    written = pl.col("route").str.to_uppercase()
    place = pl.col("site").str.to_uppercase() if "site" in others.columns else pl.lit(None, pl.String)
    odd_route = written.str.to_lowercase() != pl.col("route")
    odd_site = place.str.to_lowercase() != pl.col("site")
    often = pl.col("per_day").replace_strict(layout.FREQUENCY, default=None, return_dtype=pl.String)

    def course(domain: str) -> dict[str, pl.Expr]:
        names = {
            "TRT": pl.col("(term)"),
            "INDC": pl.col("reason_code"),
            "DOSFRQ": often,
            "ROUTE": written,
        }
        return {f"{domain}{name}": cell for name, cell in names.items()}

    concomitant = {**course("CM"), "CMCAT": pl.col("(kind)"), "CMLOC": place}
    done = {"PRTRT": pl.col("(term)"), "PRINDC": pl.col("reason_code")}
    return [
        (DOMAINS["CM"], others, concomitant, {"ROUTESRC": odd_route, "SITESRC": odd_site}),
        (DOMAINS["EX"], drugs.filter(mine), course("EX"), {"ROUTESRC": odd_route}),
        (DOMAINS["PR"], procedures, done, {}),
    ]


def _findings(dataset: Dataset, who: Subjects) -> list[Made]:
    rows = who.placed(dataset.tables["observation"], "time")
    rows = rows.join(
        _tests(rows), on=["system", "code", "display"], how="left", nulls_equal=True, maintain_order="left"
    )
    number = pl.col("value").cast(pl.String)
    result = pl.coalesce(number, "text_value")
    unit = pl.col("unit").replace(layout.UNITS)
    before = (
        pl.col("time").dt.date() <= pl.col("(reference)").dt.date()
        if who.drug is None
        else pl.col("time") <= pl.col("(reference)")
    )
    rows = rows.with_columns((before.fill_null(False) & result.is_not_null()).alias("(early)")).with_row_index(
        "(order)"
    )
    last = pl.col("(order)").filter(pl.col("(early)")).max().over("(subject)", "(test)", "(specimen)")
    baseline = pl.when(pl.col("(early)") & (pl.col("(order)") == last)).then(pl.lit("Y"))
    loinc = (pl.col("system") == LOINC).fill_null(False) & pl.col("code").is_not_null()
    group = ["patient_id", "code"]
    same = loinc & (pl.col("display").n_unique().over(group) == 1) & (pl.col("display").count().over(group) > 0)
    rows = rows.with_columns(
        baseline.alias("(baseline)"),
        pl.when(loinc).then(pl.col("code")).alias("(loinc)"),
    ).with_columns(same.alias("(same name)"))
    out: list[Made] = []
    for name in (*layout.FINDINGS.values(), layout.OTHER):
        words = [word for word, domain in layout.FINDINGS.items() if domain == name]
        if words:
            mine = pl.col("category").is_in(words).fill_null(False)
        else:
            mine = ~pl.col("category").is_in(list(layout.FINDINGS)).fill_null(False)
        cells: dict[str, pl.Expr] = {
            "TESTCD": pl.col("(test)"),
            "TEST": pl.col("(test name)"),
            "CAT": pl.col("category") if name == layout.OTHER else pl.lit(None, pl.String),
            "ORRES": result,
            "ORNRLO": pl.col("low").cast(pl.String),
            "ORNRHI": pl.col("high").cast(pl.String),
            "STRESC": result,
            "STRESU": pl.when(pl.col("value").is_not_null()).then(unit),
            "NRIND": pl.col("interpretation").replace_strict(layout.NRIND, default=None, return_dtype=pl.String),
            "LOINC": pl.col("(loinc)"),
            "SPEC": pl.col("(specimen)"),
            "BLFL": pl.col("(baseline)"),
            "LOBXFL": pl.lit(None, pl.String) if who.drug is None else pl.col("(baseline)"),
        }
        derived = {f"{name}{variable}": cell for variable, cell in cells.items()}
        foreign = pl.col("(loinc)").is_null()
        when = {
            "SRCCODE": foreign,
            "SRCSYS": foreign,
            "SRCTEST": ~pl.col("(same name)"),
            "VALTEXT": pl.col("value").is_not_null(),
        }
        out.append((DOMAINS[name], rows.filter(mine), derived, when))
    return out


def _tests(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the short name, name and specimen of every test."""
    kinds = rows.select("system", "code", "display").unique(maintain_order=True)
    found = [short_name(*row) for row in kinds.iter_rows()]
    columns = dict.fromkeys(("(test)", "(test name)", "(specimen)"), pl.String)
    return pl.concat([kinds, pl.DataFrame(found, schema=columns, orient="row")], how="horizontal")


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """Give every row a term: its name, else its code, and say in `(name)` where it is not the name."""
    whence = (
        pl.when(pl.col("display").is_not_null())
        .then(pl.lit(None, pl.String))
        .when(pl.col("code").is_not_null())
        .then(pl.lit("CODE"))
        .otherwise(pl.lit("NONE"))
    )
    return rows.with_columns(pl.coalesce("display", "code", pl.lit(NO_NAME)).alias("(term)"), whence.alias("(name)"))


# ---------------------------------------------------------------------- records
def _records(
    domain: Domain, rows: pl.DataFrame, derived: Derived, when: Derived, who: Subjects
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the records of a domain, and its supplemental qualifiers.

    Parameters
    ----------
    domain
        Which.
    rows
        Rows in the order of the records, with the clinical columns and those that `Subjects.placed` adds.
    derived
        Variable -> its value, where it is not a column as it is.
    when
        QNAM -> rows that have it; all with a value where not named.
    who
        The subjects.
    """
    sequence = f"{domain.name}SEQ"
    numbered = rows.with_columns(pl.int_range(1, pl.len() + 1).over("(subject)").alias(sequence))
    cells = [_cell(domain, one, derived, numbered, who).alias(one.name) for one in domain.variables]
    return numbered.select(cells), _qualifiers(domain, numbered, when, who)


def _cell(domain: Domain, one: Variable, derived: Derived, rows: pl.DataFrame, who: Subjects) -> pl.Expr:
    kind = KINDS.get(one.kind, pl.String())
    if one.name in derived:
        return derived[one.name].cast(kind)
    if one.name == "STUDYID":
        return pl.lit(who.study)
    if one.name == "DOMAIN":
        return pl.lit(domain.name)
    if one.column is not None and one.column in rows.columns:
        return _text(one.column, rows.schema[one.column]) if kind == pl.String else pl.col(one.column).cast(kind)
    if one.name in rows.columns:
        return pl.col(one.name).cast(kind)
    if one.name == "VISIT":
        return pl.concat_str(pl.lit("ENCOUNTER "), pl.col("VISITNUM").cast(pl.Int64))
    if one.name.endswith("DY"):
        timed = domain.name + {"STDY": "STDTC", "ENDY": "ENDTC", "DY": "DTC"}[one.name[2:]]
        column = domain[timed].column
        if column is not None and column in rows.columns:
            return _study_day(pl.col(column))
    return pl.lit(None, kind)


def _study_day(time: pl.Expr) -> pl.Expr:
    """Days from the reference start: 1 on its day, -1 on the day before."""
    days = (time.dt.date() - pl.col("(reference)").dt.date()).dt.total_days()
    return pl.when(days >= 0).then(days + 1).otherwise(days)


def _text(column: str, held: pl.DataType) -> pl.Expr:
    if isinstance(held, pl.Datetime):
        return pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%S%.f")
    return pl.col(column).dt.strftime("%Y-%m-%d") if held == pl.Date else pl.col(column).cast(pl.String)


def _qualifiers(domain: Domain, rows: pl.DataFrame, when: Derived, who: Subjects) -> pl.DataFrame:
    own = {"DM": None, "SV": "VISITNUM"}.get(domain.name, f"{domain.name}SEQ")
    value = pl.lit(None, pl.String) if own is None else pl.col(own).cast(pl.Int64).cast(pl.String)
    parts = []
    for name, (label, column) in domain.extras.items():
        if column not in rows.columns:
            continue
        has = pl.col(column).is_not_null()
        held = rows.filter(has & when[name]) if name in when else rows.filter(has)
        parts.append(_supplement(domain, held, who, own, value, name, label, column))
        if name == "SRCTEST":  # one name for all results of a LOINC code of a subject
            once = rows.filter(pl.col("(same name)")).unique(["patient_id", "code"], keep="first", maintain_order=True)
            by_code = f"{domain.name}LOINC"
            parts.append(_supplement(domain, once, who, by_code, pl.col("code"), name, label, column))
    if not parts:
        return pl.DataFrame(schema={one.name: pl.String for one in SUPP})
    return pl.concat(parts).sort("(subject)", maintain_order=True).drop("(subject)")


def _supplement(
    domain: Domain,
    rows: pl.DataFrame,
    who: Subjects,
    variable: str | None,
    value: pl.Expr,
    name: str,
    label: str,
    column: str,
) -> pl.DataFrame:
    return rows.select(
        "(subject)",
        STUDYID=pl.lit(who.study),
        RDOMAIN=pl.lit(domain.name),
        USUBJID=pl.col("USUBJID"),
        IDVAR=pl.lit(variable, pl.String),
        IDVARVAL=value,
        QNAM=pl.lit(name),
        QLABEL=pl.lit(label),
        QVAL=_text(column, rows.schema[column]),
        QORIG=pl.lit("Collected"),
        QEVAL=pl.lit(None, pl.String),
    )
