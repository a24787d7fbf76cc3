"""Events of other makers, placed by the conventions of their codes; what has no place is counted by its first part.

Two conventions are known: that of MIMIC-IV in MEDS ("LAB//50868//mEq/L", pairs of start and end) and codes of
vocabularies with one stroke as extractions from OMOP write them ("LOINC/4548-4", with the table of origin beside them).
Neither gives keys to rows: they are numbered by subject and table. Starts and ends of one code are paired in order.

References
----------
MIMIC-IV in MEDS: github.com/Medical-Event-Data-Standard/MIMIC_IV_MEDS, `configs/event_configs.yaml`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from ehrsatz import clinical, loose
from ehrsatz.layouts import meds as layout
from ehrsatz.layouts.meds import SEPARATOR

UNKNOWN = ("UNK", "___", "")  # how MIMIC writes that a part of a code is not known
SEXES = {"F": "female", "M": "male", "FEMALE": "female", "MALE": "male", "OTHER": "other", "UNKNOWN": "unknown"}
RACES = {  # first words that say a race, as MIMIC and OMOP write them
    "WHITE": "white",
    "BLACK": "black",
    "ASIAN": "asian",
    "AMERICAN INDIAN": "native",
    "NATIVE HAWAIIAN": "pacific",
    "OTHER": "other",
    "MULTIPLE": "multiple",
}
DISPOSITIONS = {
    "HOME": "home",
    "HOME HEALTH CARE": "home health",
    "SKILLED NURSING FACILITY": "skilled nursing",
    "HOSPICE": "hospice",
    "DIED": "died",
    "ACUTE HOSPITAL": "transferred",
    "PSYCH FACILITY": "transferred",
    "REHAB": "transferred",
    "CHRONIC/LONG TERM ACUTE CARE": "transferred",
    "OTHER FACILITY": "transferred",
}
STAYS = (  # head of the start, head of the end, class
    ("HOSPITAL_ADMISSION", "HOSPITAL_DISCHARGE", "inpatient"),
    ("ICU_ADMISSION", "ICU_DISCHARGE", "icu"),
    ("ED_REGISTRATION", "ED_OUT", "emergency"),
)
GIVEN = (  # last part of a code that says that a drug was given
    "Administered",
    "Administered in Other Location",
    "Applied",
    "Applied in Other Location",
    "Delayed Administered",
    "Delayed Applied",
    "Flushed",
    "Partial Administered",
    "Infused",
)
ICD = {
    "DIAGNOSIS": {"9": loose.ICD9CM, "10": clinical.ICD10CM},
    "PROCEDURE": {"9": loose.ICD9PCS, "10": loose.ICD10PCS},
}
MEASURES = ("Blood Pressure", "Weight (Lbs)", "BMI (kg/m2)", "Height (Inches)", "BMI", "eGFR", "Weight", "Height")
VOCABULARIES = {  # vocabularies of OMOP -> system, and the table that a code belongs to where no other is named
    "LOINC": (clinical.LOINC, "observation"),
    "RxNorm": (clinical.RXNORM, "medication"),
    "RxNorm Extension": ("RxNorm Extension", "medication"),
    "NDC": (loose.NDC, "medication"),
    "CVX": (clinical.CVX, "immunization"),
    "ICD10CM": (clinical.ICD10CM, "condition"),
    "ICD9CM": (loose.ICD9CM, "condition"),
    "ICD10PCS": (loose.ICD10PCS, "procedure"),
    "ICD9Proc": (loose.ICD9PCS, "procedure"),
    "CPT4": (loose.CPT, "procedure"),
    "HCPCS": (loose.HCPCS, "procedure"),
    "SNOMED": (clinical.SNOMED, None),
}
OMOP_TABLES = {
    "condition": "condition",
    "condition_occurrence": "condition",
    "procedure": "procedure",
    "procedure_occurrence": "procedure",
    "drug_exposure": "medication",
    "measurement": "observation",
    "observation": "observation",
    "device_exposure": "device",
}
TIMES = {"encounter": "start", "condition": "onset", "procedure": "start", "medication": "start", "device": "start"}
ENDS = {"encounter": "stop", "procedure": "stop", "medication": "stop"}
PLAN = {  # what is known of a code: where its events go, which end of a pair they are, and what the code says
    "to": pl.String(),
    "pair": pl.String(),
    "end": pl.Boolean(),
    "its_code": pl.String(),
    "system": pl.String(),
    "its_unit": pl.String(),
    "word": pl.String(),
}
STATIC = "patient"  # place of what is said of the patient: sex, race, birth, death


def from_codes(whole: pl.DataFrame, names: pl.DataFrame, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
    """Return table -> frame.

    Parameters
    ----------
    whole
        Events with `patient_id`, in their order.
    names
        Code -> description, from the metadata.
    left
        Counts events without a place by the first part of their codes.
    """
    known = ["code", "table"] if "table" in whole.columns else ["code"]
    codes = whole.select(known).unique(maintain_order=True)
    placed = [_place(*row) for row in codes.select(pl.col("code"), *[pl.col(name) for name in known[1:]]).iter_rows()]
    plan = pl.concat([codes, pl.DataFrame(placed, schema=PLAN, orient="row")], how="horizontal")
    plan = plan.join(names, on="code", how="left", maintain_order="left")
    frame = whole.join(plan, on=known, how="left", nulls_equal=True, maintain_order="left")
    lost = frame.filter(pl.col("to").is_null() | (pl.col("time").is_null() & (pl.col("to") != STATIC)))
    for head, count in lost.group_by(_head().alias("head")).len().sort("head").iter_rows():
        left[f"code {head}"] += count
    frame = frame.filter(pl.col("to").is_not_null() & (pl.col("time").is_not_null() | (pl.col("to") == STATIC)))
    parts = {str(key[0]): rows for key, rows in frame.partition_by("to", as_dict=True).items()}
    out = {"patient": _patients(whole, parts.get(STATIC, frame.clear()))}
    for table, rows in parts.items():
        if table != STATIC:
            out[table] = _rows(table, rows, left)
    return out


def _head() -> pl.Expr:
    """The first part of a code: what its kind is called in a count."""
    return pl.col("code").str.split_exact(SEPARATOR, 0).struct.field("field_0").str.replace("^([^/ ]+)/.*$", "$1")


# ---------------------------------------------------------------------- codes
def _place(code: str, table: str | None = None) -> tuple[str | bool | None, ...]:
    """Return the cells of `PLAN` for a code; all None where it has no place."""
    first, *rest = code.split(SEPARATOR)
    if code in (layout.BIRTH, layout.DEATH) or first.upper() in ("GENDER", "RACE"):
        return _cells(STATIC, word=rest[0] if rest else None)
    for start, end, kind in STAYS:
        if first == start:
            return _cells("encounter", pair=kind, code=_known(rest[0]) if rest else None, word=kind)
        if first == end:
            return _cells("encounter", pair=kind, end=True, word=DISPOSITIONS.get(rest[0]) if rest else None)
    if first == "LAB" and rest:
        return _cells("observation", code=rest[0], unit=_known(rest[-1]) if len(rest) > 1 else None, word="laboratory")
    if first == "SUBJECT_FLUID_OUTPUT" and rest:
        return _cells("observation", code=rest[0], unit=_known(rest[-1]) if len(rest) > 1 else None)
    if first == "SUBJECT_WEIGHT_AT_INFUSION":
        return _cells("observation", code=first, unit="kg" if rest == ["KG"] else None, word="vital-signs")
    if first in ICD and len(rest) == 3 and rest[0] == "ICD":
        to = "condition" if first == "DIAGNOSIS" else "procedure"
        return _cells(to, code=rest[2], system=ICD[first].get(rest[1], f"ICD-{rest[1]}"))
    if first == "PROCEDURE" and len(rest) == 2 and rest[0] in ("START", "END"):
        return _cells("procedure", pair=rest[1], end=rest[0] == "END", code=rest[1])
    if first == "HCPCS" and rest:
        return _cells("procedure", code=SEPARATOR.join(rest))
    if first in ("INFUSION_START", "INFUSION_END") and rest:
        return _cells("medication", pair=f"infusion {rest[0]}", end=first == "INFUSION_END", code=rest[0])
    if first == "MEDICATION" and len(rest) > 1:
        if rest[0] in ("START", "STOP"):
            drug = SEPARATOR.join(rest[1:])
            return _cells("medication", pair=f"order {drug}", end=rest[0] == "STOP", code=_known(drug))
        if rest[-1] in GIVEN:
            return _cells("medication", code=_known(SEPARATOR.join(rest[:-1])))
    if first.startswith(MEASURES):
        return _cells("observation", code=code, word="vital-signs")
    return _of_vocabulary(code, table)


def _of_vocabulary(code: str, table: str | None) -> tuple[str | bool | None, ...]:
    vocabulary, stroke, rest = code.partition("/")
    if stroke and not rest.startswith("/") and vocabulary in VOCABULARIES:
        system, usual = VOCABULARIES[vocabulary]
        to = OMOP_TABLES.get((table or "").lower(), usual)
        if to is not None:
            return _cells(to, code=rest, system=system)
    return _cells(None)


def _cells(
    to: str | None,
    *,
    pair: str | None = None,
    end: bool = False,
    code: str | None = None,
    system: str = loose.LOCAL,
    unit: str | None = None,
    word: str | None = None,
) -> tuple[str | bool | None, ...]:
    return to, pair, end, code, system if code is not None else None, unit, word


def _known(part: str) -> str | None:
    return None if part in UNKNOWN else part


# ---------------------------------------------------------------------- rows
def _patients(whole: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    out = whole.select("patient_id").unique(maintain_order=True)

    def first(rows: pl.Expr, **cells: pl.Expr) -> pl.DataFrame:
        return facts.filter(rows).select("patient_id", **cells).drop_nulls().unique("patient_id", keep="first")

    word = pl.col("word").str.to_uppercase()
    race = pl.coalesce(pl.when(word.str.starts_with(said)).then(pl.lit(race)) for said, race in RACES.items())
    head = pl.col("code").str.to_uppercase()
    for column in (
        first(pl.col("code") == layout.BIRTH, birth_date=pl.col("time").cast(pl.Date)),
        first(pl.col("code") == layout.DEATH, death_time=pl.col("time")),
        first(head.str.starts_with("GENDER"), sex=word.replace_strict(SEXES, default=None, return_dtype=pl.String)),
        first(head.str.starts_with("RACE"), race=race),
    ):
        out = out.join(column, on="patient_id", how="left", maintain_order="left")
    return out


def _rows(table: str, events: pl.DataFrame, left: Counter[str]) -> pl.DataFrame:
    """Return the rows of a table: events that stand alone, and pairs of a start and an end."""
    if table != "observation" and "value" in events.columns:
        left[f"{table}: numbers without a meaning known here"] += int(events["value"].count())
    alone = events.filter(pl.col("pair").is_null())
    paired = events.filter(pl.col("pair").is_not_null())
    stop = ENDS.get(table)
    if stop is None:
        rows = alone
    else:  # a thing done at one time ends then
        rows = alone.with_columns(pl.col("time").alias(stop))
        if paired.height:
            rows = pl.concat([rows, _pairs(paired, stop, left)], how="diagonal")
    key, time = f"{table}_id", TIMES.get(table, "time")
    rows = rows.sort("patient_id", "time", maintain_order=True)
    number = pl.int_range(1, pl.len() + 1).over("patient_id").cast(pl.String)
    cells = {key: pl.concat_str(pl.col("patient_id"), pl.lit(f"-{table}-"), number), "patient_id": pl.col("patient_id")}
    cells[time] = pl.col("time")
    if stop is not None:
        cells[stop] = pl.col(stop)
    local = pl.when(pl.col("system") == loose.LOCAL).then(pl.col("its_code"))
    cells |= {"code": pl.col("its_code"), "system": pl.col("system"), "display": pl.coalesce("description", local)}
    if table == "observation":
        cells |= {"value": pl.col("value"), "category": pl.col("word")} if "value" in rows.columns else {}
        cells |= {"text_value": pl.col("text_value")} if "text_value" in rows.columns else {}
        unit = pl.coalesce("unit", "its_unit") if "unit" in rows.columns else pl.col("its_unit")
        cells["unit"] = unit
    if table == "encounter":
        cells |= {"class": pl.col("word"), "disposition": pl.col("last_word")}
    if "encounter_id" in rows.columns and table == "encounter":
        cells[key] = pl.coalesce("encounter_id", cells[key])
    return rows.select(**cells)


def _pairs(events: pl.DataFrame, stop: str, left: Counter[str]) -> pl.DataFrame:
    """Pair starts and ends of one thing of a patient: by their order where they are as many, else the next end."""
    on = ["patient_id", "pair"]
    number = pl.int_range(pl.len()).over(on).alias("nth")
    by_time = events.sort("time", maintain_order=True)
    starts = by_time.filter(~pl.col("end")).with_columns(number)
    ends = by_time.filter(pl.col("end")).with_columns(number)
    ends = ends.select(*on, "nth", pl.col("time").alias(stop), pl.col("word").alias("last_word"))
    counts = starts.group_by(on).len("n").join(ends.group_by(on).len("m"), on=on, how="full", coalesce=True)
    even = counts.filter(pl.col("n") == pl.col("m")).select(on)
    ordered = starts.join(even, on=on, how="semi").join(ends, on=[*on, "nth"], how="left")
    odd = starts.join(even, on=on, how="anti").sort("time")
    others = ends.join(even, on=on, how="anti").sort(stop).with_row_index("row")
    followed = odd.join_asof(
        others.drop("nth"), left_on="time", right_on=stop, by=on, strategy="forward", check_sortedness=False
    )
    unused = others.height - followed["row"].drop_nulls().n_unique()
    left["ends without a start"] += unused
    return pl.concat([ordered, followed.drop("row")], how="diagonal")
