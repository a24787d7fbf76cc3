"""Records of SDTM domains as rows of the clinical tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ehrsatz import loose
from ehrsatz.clinical import LOINC
from ehrsatz.layouts import sdtm as layout
from ehrsatz.layouts.sdtm import DOMAINS
from ehrsatz.schema import dtype_of

MEDDRA = "MedDRA"
TEST_CODES = "CDISC {}TESTCD"  # code system of tests that no LOINC code names
PATIENT = "(patient)"
_PARTIAL = r"^\d{4}(-\d{2})?$"  # a year, or a month
_OWN_ONLY = {"GRPID", "SPID"}  # of other makers these are numbers of pages and groups, not keys
_DERIVED = (  # variables that follow from others, by what follows the domain's letters
    "SEQ", "DY", "STDY", "ENDY", "STRESC", "STRESU", "STNRLO", "STNRHI", "TESTCD", "BLFL", "LOBXFL", "DRVFL",
)  # fmt: skip
_ANYWHERE = ("STUDYID", "DOMAIN", "USUBJID", "SUBJID", "VISIT", "VISITDY", "EPOCH", "AGEU", "DTHFL")


@dataclass
class Study:
    """Who the subjects are, and what was used of a study's variables.

    Parameters
    ----------
    demographics
        The dataset DM.
    is_own
        Whether ehrsatz wrote the study: then identifiers are keys, and derived variables need no place.
    """

    demographics: pl.DataFrame
    is_own: bool

    def keys(self) -> pl.DataFrame:
        """Return USUBJID -> key of the patient: SUBJID where the subject's name is made of it, else USUBJID."""
        frame = self.demographics
        subject = pl.col("USUBJID")
        if {"STUDYID", "SUBJID"} <= set(frame.columns):
            made = pl.concat_str("STUDYID", pl.lit("-"), "SUBJID") == subject
            subject = pl.when(made.fill_null(False)).then(pl.col("SUBJID")).otherwise(subject)
        return frame.select("USUBJID", subject.alias(PATIENT)).drop_nulls().unique("USUBJID", keep="first")

    def of(self, frame: pl.DataFrame, patients: pl.Series) -> pl.DataFrame:
        """Return the records of some patients."""
        wanted = self.keys().filter(pl.col(PATIENT).is_in(patients.implode()))
        return frame.join(wanted, on="USUBJID", how="semi", maintain_order="left")


class Records:
    """The records of a domain: cells by variable, and which variables were used."""

    def __init__(self, domain: str, frame: pl.DataFrame, study: Study, left: Counter[str]) -> None:
        self.domain = domain
        self.study = study
        self.left = left
        self.frame = frame.join(study.keys(), on="USUBJID", how="left", maintain_order="left")
        lost = int(self.frame[PATIENT].null_count())
        if lost:
            left[f"{domain}: records of no subject of DM"] += lost
            self.frame = self.frame.filter(pl.col(PATIENT).is_not_null())
        self.used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.frame.columns

    def text(self, name: str) -> pl.Expr:
        """A variable as text, null where the dataset lacks it; "--" stands for the domain."""
        full = name.replace("--", self.domain)
        if full not in self.frame.columns:
            return pl.lit(None, pl.String)
        self.used.add(full)
        if self.frame.schema[full] == pl.String:
            numbered = full.endswith("SEQ") or full == "VISITNUM"  # some write numbers of records as 1.0
            return pl.col(full).str.replace(r"\.0+$", "") if numbered else pl.col(full)
        whole = pl.col(full).cast(pl.Int64, strict=False)
        return pl.when(whole == pl.col(full)).then(whole.cast(pl.String)).otherwise(pl.col(full).cast(pl.String))

    def number(self, name: str) -> pl.Expr:
        """A variable as a number; text that is none is null."""
        full = name.replace("--", self.domain)
        if full not in self.frame.columns:
            return pl.lit(None, pl.Float64)
        self.used.add(full)
        return pl.col(full).cast(pl.Float64, strict=False)

    def time(self, name: str) -> pl.Expr:
        """A date or time by ISO 8601; of one without a day nothing is left but its count."""
        full = name.replace("--", self.domain)
        if full not in self.frame.columns:
            return pl.lit(None, pl.Datetime("us"))
        self.used.add(full)
        written = self.frame[full].cast(pl.String)
        if count := int(written.str.contains(_PARTIAL).sum()):
            self.left[f"{self.domain}.{full}: dates without a day"] += count
        bare = pl.col(full).cast(pl.String).str.replace(r"(Z|[+-]\d{2}:?\d{2})$", "")
        timed = pl.when(bare.str.contains("T", literal=True)).then(bare)
        return pl.coalesce(
            timed.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False),
            timed.str.to_datetime("%Y-%m-%dT%H:%M", time_unit="us", strict=False),
            pl.col(full).cast(pl.String).str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
        )

    def extra(self, qualifier: str, kind: pl.DataType | None = None) -> pl.Expr:
        """A supplemental qualifier."""
        name = f"+{qualifier}"
        if name not in self.frame.columns:
            return pl.lit(None, kind or pl.String())
        return pl.col(name) if kind is None else pl.col(name).cast(kind, strict=False)

    def key(self) -> pl.Expr:
        """The key of a record: its sponsor-defined identifier where that is one, else subject, domain and number."""
        made = pl.concat_str(pl.col("USUBJID"), pl.lit(f"-{self.domain}-"), self.text("--SEQ"))
        return pl.coalesce(self.text("--SPID"), made) if self.study.is_own else made

    def extras(self, table: str) -> dict[str, pl.Expr]:
        """The clinical columns of a table that are supplemental qualifiers."""
        kinds = {column.name: dtype_of(column.kind) for column in loose.schema()[table].columns}
        found = DOMAINS[self.domain].extras.items() if self.domain in DOMAINS else ()
        return {column: self.extra(name, kinds[column]) for name, (_, column) in found if column in kinds}

    def rows(self, **cells: pl.Expr) -> pl.DataFrame:
        """Return the records as rows of a clinical table."""
        return self.frame.select(**cells)

    def told(self) -> None:
        """Count variables with content that nothing used."""
        derived = {f"{self.domain}{ending}" for ending in _DERIVED} | set(_ANYWHERE)
        for name in self.frame.columns:
            if name in self.used or name in derived or name[0] in "(+":
                continue
            if self.study.is_own and self.domain in DOMAINS:
                continue  # what ehrsatz derives from the columns that were read
            self.left[f"{self.domain}.{name}"] += self.frame[name].len() - self.frame[name].null_count()


def clinical_of(study: Study, frames: Mapping[str, pl.DataFrame], left: Counter[str]) -> dict[str, pl.DataFrame]:
    """Return clinical table -> rows of all domains that belong to it."""
    out: dict[str, list[pl.DataFrame]] = {}
    visits = pl.DataFrame(schema={"USUBJID": pl.String, "(visit)": pl.Float64, "encounter_id": pl.String})
    if "SV" in frames:
        records = Records("SV", frames["SV"], study, left)
        rows = _encounters(records)
        out["encounter"] = [rows.drop("USUBJID", "(visit)")]
        visits = rows.select("USUBJID", "(visit)", "encounter_id").drop_nulls()
        visits = visits.unique(["USUBJID", "(visit)"], keep="first")
        records.told()
    for domain, frame in frames.items():
        if domain == "SV":
            continue
        placed = frame
        if "VISITNUM" in frame.columns:
            number = pl.col("VISITNUM").cast(pl.Float64, strict=False).alias("(visit)")
            placed = frame.with_columns(number).join(
                visits, on=["USUBJID", "(visit)"], how="left", maintain_order="left"
            )
        else:
            placed = frame.with_columns(pl.lit(None, pl.String).alias("encounter_id"))
        records = Records(domain, placed.rename({"encounter_id": "(encounter)"}), study, left)
        records.used.add("VISITNUM")
        made = _tables(records)
        if made is None:
            left[f"dataset {domain}"] += frame.height
            continue
        records.told()
        for table, rows in made.items():
            out.setdefault(table, []).append(rows)
    whole = {table: pl.concat(parts, how="diagonal_relaxed") for table, parts in out.items()}
    if "observation" in whole and "order_id" in whole["observation"].columns:
        whole["order"] = whole["observation"].select("order_id", "patient_id", "encounter_id").drop_nulls("order_id")
        whole["order"] = whole["order"].unique("order_id", keep="first", maintain_order=True)
    return whole


def _tables(records: Records) -> dict[str, pl.DataFrame] | None:
    domain = records.domain
    if domain == "DM":
        return {"patient": _patients(records)}
    if domain in ("AE", "MH", "CE"):
        return _conditions(records)
    if domain in ("CM", "EX", "EC"):
        return _medications(records)
    if domain == "PR":
        return {"procedure": _procedures(records)}
    if f"{domain}TESTCD" in records and f"{domain}ORRES" in records:
        return {"observation": _observations(records)}
    return None


def _encounters(records: Records) -> pl.DataFrame:
    number = records.number("VISITNUM")
    cells = records.extras("encounter")
    made = pl.concat_str(pl.col("USUBJID"), pl.lit("-"), records.text("VISITNUM"))
    cells["encounter_id"] = pl.coalesce(cells["encounter_id"], made)
    described = records.text("SVUPDES")
    cells["display"] = described if records.study.is_own else pl.coalesce(described, records.text("VISIT"))
    return records.rows(
        **cells,
        **{"patient_id": pl.col(PATIENT), "USUBJID": pl.col("USUBJID"), "(visit)": number},
        start=records.time("SVSTDTC"),
        stop=records.time("SVENDTC"),
    )


def _patients(records: Records) -> pl.DataFrame:
    cells = records.extras("patient")
    short = {long: short for short, long in reversed(layout.COUNTRY.items())}
    country = records.text("COUNTRY")
    known = country.replace_strict({**short, "ZZZ": None}, default=country, return_dtype=pl.String)
    cells["country"] = pl.coalesce(cells["country"], known)
    born = records.time("BRTHDTC")
    if "BRTHDTC" in records:
        records.used.add("AGE")
    return records.rows(
        **cells,
        patient_id=pl.col(PATIENT),
        birth_date=born.cast(pl.Date),
        death_time=records.time("DTHDTC"),
        sex=_back(records.text("SEX"), {**layout.SEX, "other ": "INTERSEX"}),
        race=_back(records.text("RACE"), layout.RACE),
        ethnicity=_back(records.text("ETHNIC"), layout.ETHNIC),
    )


def _conditions(records: Records) -> dict[str, pl.DataFrame]:
    term = pl.when(records.extra("NAMEFROM").is_null()).then(records.text("--TERM"))
    cells = records.extras("condition")
    coded = records.text("--PTCD")
    cells["system"] = pl.coalesce(
        cells["system"], pl.when(cells["code"].is_null() & coded.is_not_null()).then(pl.lit(MEDDRA))
    )
    cells["code"] = pl.coalesce(cells["code"], coded)
    outcome = _back(records.text("--OUT"), layout.OUTCOME)
    ongoing = pl.coalesce(records.text("--ENRTPT"), records.text("--ENRF")) == "ONGOING"
    cells["status"] = pl.coalesce(cells.get("status", outcome), outcome, pl.when(ongoing).then(pl.lit("active")))
    shared = {"patient_id": pl.col(PATIENT), "encounter_id": pl.col("(encounter)"), "display": term}
    shared["onset"] = records.time("--STDTC")
    category = records.text("--CAT")
    is_allergy = (category == layout.ALLERGY).fill_null(False) if records.study.is_own else pl.lit(False)
    conditions = records.rows(
        **cells,
        **shared,
        condition_id=records.key(),
        recorded=records.time("--DTC"),
        abatement=records.time("--ENDTC"),
        **{"(allergy)": is_allergy},
    )
    out = {"condition": conditions.filter(~pl.col("(allergy)")).drop("(allergy)")}
    if records.domain == "MH" and records.study.is_own:
        allergies = records.rows(
            **{**records.extras("allergy"), **shared},
            allergy_id=records.key(),
            category=records.text("MHSCAT").str.to_lowercase(),
            **{"(allergy)": is_allergy},
        )
        out["allergy"] = allergies.filter("(allergy)").drop("(allergy)")
    return out


def _medications(records: Records) -> dict[str, pl.DataFrame]:
    shared = {"patient_id": pl.col(PATIENT), "encounter_id": pl.col("(encounter)")}
    shared["display"] = pl.when(records.extra("NAMEFROM").is_null()).then(records.text("--TRT"))
    category = records.text("--CAT") if records.study.is_own else pl.lit(None, pl.String)
    vaccine = (category == layout.VACCINATION).fill_null(False).alias("(vaccine)")
    cells = records.extras("medication")
    often = records.text("--DOSFRQ").replace_strict(
        {short: number for number, short in layout.FREQUENCY.items()}, default=None, return_dtype=pl.Float64
    )
    if records.study.is_own:
        records.used.add(f"{records.domain}INDC")
    cells["per_day"] = pl.coalesce(cells.get("per_day", often), often)
    cells["route"] = pl.coalesce(cells.get("route", often.cast(pl.String)), records.text("--ROUTE").str.to_lowercase())
    cells["stop_reason"] = pl.coalesce(cells.get("stop_reason", pl.lit(None, pl.String)), records.text("--RSDISC"))
    medications = records.rows(
        **{**cells, **shared},
        medication_id=records.key(),
        start=records.time("--STDTC"),
        stop=records.time("--ENDTC"),
        dose=records.number("--DOSE"),
        dose_unit=records.text("--DOSU"),
        **{"(vaccine)": vaccine},
    )
    out = {"medication": medications.filter(~pl.col("(vaccine)")).drop("(vaccine)")}
    if records.domain == "CM" and records.study.is_own:
        extras = records.extras("immunization")
        extras["site"] = pl.coalesce(extras["site"], records.text("CMLOC").str.to_lowercase())
        vaccines = records.rows(
            **{**extras, **shared},
            immunization_id=records.key(),
            time=records.time("--STDTC"),
            **{"(vaccine)": vaccine},
        )
        out["immunization"] = vaccines.filter("(vaccine)").drop("(vaccine)")
    return out


def _procedures(records: Records) -> pl.DataFrame:
    return records.rows(
        **records.extras("procedure"),
        procedure_id=records.key(),
        patient_id=pl.col(PATIENT),
        encounter_id=pl.col("(encounter)"),
        display=pl.when(records.extra("NAMEFROM").is_null()).then(records.text("--TRT")),
        start=records.time("--STDTC"),
        stop=records.time("--ENDTC"),
    )


def _observations(records: Records) -> pl.DataFrame:
    own = records.study.is_own
    domain = records.domain
    result, loinc = records.text("--ORRES"), records.text("--LOINC")
    test = records.text("--TESTCD")
    cells = records.extras("observation")
    category = {name: word for word, name in layout.FINDINGS.items()}.get(domain)
    if own:
        value = records.number("--STRESN")
        extra_text = cells.pop("text_value", pl.lit(None, pl.String))
        text = pl.when(value.is_null()).then(result).otherwise(extra_text)
        coded = {
            "code": pl.coalesce(loinc, cells.pop("code")),
            "system": pl.coalesce(pl.when(loinc.is_not_null()).then(pl.lit(LOINC)), cells.pop("system")),
            "display": cells.pop("display"),
            "order_id": records.text("--GRPID"),
        }
    else:
        value = result.cast(pl.Float64, strict=False)
        records.used.add(f"{domain}STRESN")
        text = pl.when(value.is_null()).then(result)
        system = pl.when(loinc.is_not_null()).then(pl.lit(LOINC)).otherwise(pl.lit(TEST_CODES.format(domain)))
        coded = {"code": pl.coalesce(loinc, test), "system": system, "display": records.text("--TEST")}
    return records.rows(
        **coded,
        observation_id=records.key(),
        patient_id=pl.col(PATIENT),
        encounter_id=pl.col("(encounter)"),
        time=records.time("--DTC"),
        category=records.text("--CAT") if own and domain == layout.OTHER else pl.lit(category, pl.String),
        value=value,
        text_value=text,
        unit=records.text("--ORRESU"),
        low=records.number("--ORNRLO"),
        high=records.number("--ORNRHI"),
        interpretation=_back(records.text("--NRIND"), layout.NRIND),
    )


def _back(cell: pl.Expr, words: Mapping[str, str]) -> pl.Expr:
    """Return the clinical word of a term of the controlled terminology; null of another one."""
    inverse = {term: word.strip() for word, term in words.items()}
    return cell.str.to_uppercase().replace_strict(inverse, default=None, return_dtype=pl.String)
