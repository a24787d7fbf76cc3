"""Where SDTM keeps the clinical schema: domains, variables with labels, supplemental qualifiers, terminology.

References
----------
CDISC Study Data Tabulation Model Implementation Guide 3.4: sections 5 (DM, SV), 6.1 (CM, EX, PR), 6.2 (AE, MH),
6.3 (LB, PE, QS, SC, VS), 8.4 (SUPP--). CDISC SDTM Controlled Terminology (NCI EVS): SEX C66731, RACE C74457, ETHNIC
C66790, NRIND C78736, NY C66742, OUT C66768, FREQ C71113.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "integer", "float", "date", "datetime"]


@dataclass(frozen=True)
class Variable:
    """A variable of a domain.

    Parameters
    ----------
    name, label
        As in the guide; labels have at most 40 characters.
    kind
        Of its values; dates and times are text by ISO 8601.
    core
        Whether the guide requires it, expects it or permits it.
    column
        Clinical column whose value it holds as it is; None where it is derived.
    """

    name: str
    label: str
    kind: Kind = "text"
    core: Literal["Req", "Exp", "Perm"] = "Perm"
    column: str | None = None


@dataclass(frozen=True)
class Domain:
    """A dataset of SDTM and the clinical table in it.

    Parameters
    ----------
    name, label
        Two letters, and the guide's label.
    table
        Clinical table.
    variables
        In the guide's order.
    extras
        QNAM of a supplemental qualifier -> its label and the clinical column.
    keys
        Names of the variables that order and identify records.
    """

    name: str
    label: str
    table: str
    variables: tuple[Variable, ...]
    extras: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Variable:
        return next(one for one in self.variables if one.name == name)


VERSION, MODEL = "3.4", "2.0"
STUDY = "EHRSATZ"
ALLERGY, CONDITION, VACCINATION = "ALLERGY", "CONDITION", "VACCINATION"  # categories of MH and CM
FINDINGS = {  # clinical category of an observation -> domain; any other goes to OTHER
    "laboratory": "LB",
    "vital-signs": "VS",
    "survey": "QS",
    "social-history": "SC",
    "exam": "PE",
}
OTHER = "ZF"  # a sponsor's own domain: findings of no such category
SEX = {"female": "F", "male": "M", "other": "UNDIFFERENTIATED", "unknown": "U"}
RACE = {
    "white": "WHITE",
    "black": "BLACK OR AFRICAN AMERICAN",
    "asian": "ASIAN",
    "native": "AMERICAN INDIAN OR ALASKA NATIVE",
    "pacific": "NATIVE HAWAIIAN OR OTHER PACIFIC ISLANDER",
    "other": "OTHER",
    "multiple": "MULTIPLE",
}
ETHNIC = {"hispanic": "HISPANIC OR LATINO", "not hispanic": "NOT HISPANIC OR LATINO"}
NRIND = {
    "normal": "NORMAL",
    "low": "LOW",
    "high": "HIGH",
    "critical low": "LOW LOW",
    "critical high": "HIGH HIGH",
    "abnormal": "ABNORMAL",
}
OUTCOME = {"resolved": "RECOVERED/RESOLVED", "active": "NOT RECOVERED/NOT RESOLVED"}
FREQUENCY = {1.0: "QD", 2.0: "BID", 3.0: "TID", 4.0: "QID", 0.5: "QOD"}  # doses a day -> C71113
COUNTRY = {  # ISO 3166-1, two letters -> three
    "US": "USA", "GB": "GBR", "UK": "GBR", "DE": "DEU", "FR": "FRA", "CA": "CAN", "AU": "AUS", "NL": "NLD", "ES": "ESP",
    "IT": "ITA", "CH": "CHE", "AT": "AUT", "SE": "SWE", "NO": "NOR", "DK": "DNK", "FI": "FIN", "IE": "IRL", "BE": "BEL",
    "PL": "POL", "PT": "PRT", "JP": "JPN", "CN": "CHN", "IN": "IND", "BR": "BRA", "MX": "MEX", "NZ": "NZL", "ZA": "ZAF",
}  # fmt: skip
UNITS = {  # UCUM -> term of the code list UNIT (C71620), in --STRESU
    "mm[Hg]": "mmHg",
    "/min": "beats/min",
    "Cel": "C",
    "10*3/uL": "10^3/uL",
    "10*6/uL": "10^6/uL",
    "m[IU]/L": "mIU/L",
    "mosm/kg": "mOsm/kg",
    "[pH]": "pH",
    "{INR}": "RATIO",
    "{ratio}": "RATIO",
    "mm/h": "mm/h",
    "mL/min/{1.73_m2}": "mL/min/1.73m2",
    "ng/mL{FEU}": "ng/mL FEU",
    "s": "sec",
    "{score}": "SCORE",
}

_STUDY = (
    Variable("STUDYID", "Study Identifier", core="Req"),
    Variable("DOMAIN", "Domain Abbreviation", core="Req"),
    Variable("USUBJID", "Unique Subject Identifier", core="Req"),
)
_VISIT = (Variable("VISITNUM", "Visit Number", "integer"), Variable("VISIT", "Visit Name"))
_CODE = {"SRCCODE": ("Code in the Source", "code"), "SRCSYS": ("Code System in the Source", "system")}
_NAMED = {"NAMEFROM": ("Where the Name Is From If Not Recorded", "(name)")}  # the source has no name: its code stands


def _identifiers(domain: str, key: str) -> tuple[Variable, ...]:
    return (
        *_STUDY,
        Variable(f"{domain}SEQ", "Sequence Number", "integer", "Req"),
        Variable(f"{domain}SPID", "Sponsor-Defined Identifier", column=key),
    )


def _times(domain: str, start: str, end: str | None, *, dated: str | None = None) -> tuple[Variable, ...]:
    out = list(_VISIT)
    if dated is not None:
        out.append(Variable(f"{domain}DTC", "Date/Time of Collection", "datetime", column=dated))
    out.append(Variable(f"{domain}STDTC", "Start Date/Time", "datetime", "Exp", start))
    out.append(Variable(f"{domain}ENDTC", "End Date/Time", "datetime", "Exp", end))
    if dated is not None:
        out.append(Variable(f"{domain}DY", "Study Day of Collection", "integer"))
    out.append(Variable(f"{domain}STDY", "Study Day of Start", "integer"))
    out.append(Variable(f"{domain}ENDY", "Study Day of End", "integer"))
    return tuple(out)


def _findings(name: str, label: str, test: str) -> Domain:
    lab = name == "LB"
    d = name
    return Domain(
        name,
        label,
        "observation",
        (
            *_STUDY,
            Variable(f"{d}SEQ", "Sequence Number", "integer", "Req"),
            Variable(f"{d}GRPID", "Group ID", column="order_id"),
            Variable(f"{d}SPID", "Sponsor-Defined Identifier", column="observation_id"),
            Variable(f"{d}TESTCD", f"{test} Short Name", core="Req"),
            Variable(f"{d}TEST", f"{test} Name", core="Req"),
            Variable(f"{d}CAT", f"Category for {test}"[:40], core="Exp" if lab else "Perm"),
            Variable(f"{d}ORRES", "Result or Finding in Original Units", core="Exp"),
            Variable(f"{d}ORRESU", "Original Units", core="Exp", column="unit"),
            Variable(f"{d}ORNRLO", "Reference Range Lower Limit in Orig Unit", core="Exp" if lab else "Perm"),
            Variable(f"{d}ORNRHI", "Reference Range Upper Limit in Orig Unit", core="Exp" if lab else "Perm"),
            Variable(f"{d}STRESC", "Character Result/Finding in Std Format", core="Exp"),
            Variable(f"{d}STRESN", "Numeric Result/Finding in Standard Units", "float", "Exp", "value"),
            Variable(f"{d}STRESU", "Standard Units", core="Exp"),
            Variable(f"{d}STNRLO", "Reference Range Lower Limit-Std Units", "float", column="low"),
            Variable(f"{d}STNRHI", "Reference Range Upper Limit-Std Units", "float", column="high"),
            Variable(f"{d}NRIND", "Reference Range Indicator"),
            Variable(f"{d}LOINC", "LOINC Code"),
            Variable(f"{d}SPEC", "Specimen Type"),
            Variable(f"{d}LOBXFL", "Last Observation Before Exposure Flag", core="Exp"),
            Variable(f"{d}BLFL", "Baseline Flag"),
            *_VISIT,
            Variable(f"{d}DTC", "Date/Time of Collection", "datetime", "Exp", "time"),
            Variable(f"{d}DY", "Study Day of Collection", "integer"),
        ),
        {
            **_CODE,
            "SRCTEST": ("Name of the Test in the Source", "display"),
            "VALTEXT": ("Text Beside a Numeric Result", "text_value"),
        },
        ("STUDYID", "USUBJID", f"{d}TESTCD", f"{d}DTC", f"{d}SEQ"),
    )


def _intervention(name: str, label: str, table: str, key: str, extras: Mapping[str, tuple[str, str]]) -> Domain:
    d = name
    drug = table == "medication"
    doses = (
        Variable(f"{d}DOSE", "Dose", "float", column="dose"),
        Variable(f"{d}DOSU", "Dose Units", column="dose_unit"),
        Variable(f"{d}DOSFRQ", "Dosing Frequency per Interval"),
        Variable(f"{d}ROUTE", "Route of Administration"),
    )
    why = Variable(f"{d}INDC", "Indication")
    treatment = {
        "CM": "Reported Name of Drug, Med, or Therapy",
        "EX": "Name of Treatment",
        "PR": "Reported Name of Procedure",
    }
    return Domain(
        name,
        label,
        table,
        (
            *_identifiers(d, key),
            Variable(f"{d}TRT", treatment[d], core="Req"),
            *(() if d == "EX" else (Variable(f"{d}CAT", "Category"), why)),
            *(doses if drug else ()),
            *((Variable("CMLOC", "Location of Administration"),) if d == "CM" else ()),
            *(
                (Variable("CMRSDISC", "Reason the Intervention Was Discontinued", column="stop_reason"),)
                if d == "CM"
                else ()
            ),
            *_times(d, "start", "stop"),
        ),
        {**_CODE, **_NAMED, **extras},
        ("STUDYID", "USUBJID", f"{d}TRT", f"{d}STDTC", f"{d}SEQ"),
    )


_DRUG = {
    "PERDAY": ("Doses a Day", "per_day"),
    "REFILLS": ("Number of Refills", "refills"),
    "QUANTITY": ("Quantity Dispensed", "quantity"),
    "REASCD": ("Code of the Reason", "reason_code"),
    "STATUS": ("Status in the Source", "status"),
    "ROUTESRC": ("Route as Written in the Source", "route"),
}
_STATE = {"STAGE": ("Stage or Grade", "stage"), "STATUS": ("Status in the Source", "status")}
_SNOMED = {"SCTCODE": ("SNOMED CT Code", "snomed_code"), "SCTNAME": ("SNOMED CT Name", "snomed_display")}
DM = Domain(
    "DM",
    "Demographics",
    "patient",
    (
        *_STUDY,
        Variable("SUBJID", "Subject Identifier for the Study", core="Req", column="patient_id"),
        Variable("RFSTDTC", "Subject Reference Start Date/Time", "datetime", "Exp"),
        Variable("RFENDTC", "Subject Reference End Date/Time", "datetime", "Exp"),
        Variable("RFXSTDTC", "Date/Time of First Study Treatment", "datetime", "Exp"),
        Variable("RFXENDTC", "Date/Time of Last Study Treatment", "datetime", "Exp"),
        Variable("RFICDTC", "Date/Time of Informed Consent", "datetime", "Exp"),
        Variable("RFPENDTC", "Date/Time of End of Participation", "datetime", "Exp"),
        Variable("DTHDTC", "Date/Time of Death", "datetime", "Exp", "death_time"),
        Variable("DTHFL", "Subject Death Flag", core="Exp"),
        Variable("SITEID", "Study Site Identifier", core="Req"),
        Variable("BRTHDTC", "Date/Time of Birth", "date", column="birth_date"),
        Variable("AGE", "Age", "integer", "Exp"),
        Variable("AGEU", "Age Units", core="Exp"),
        Variable("SEX", "Sex", core="Req"),
        Variable("RACE", "Race", core="Exp"),
        Variable("ETHNIC", "Ethnicity"),
        Variable("ARMCD", "Planned Arm Code", core="Exp"),
        Variable("ARM", "Description of Planned Arm", core="Exp"),
        Variable("ACTARMCD", "Actual Arm Code", core="Exp"),
        Variable("ACTARM", "Description of Actual Arm", core="Exp"),
        Variable("ARMNRS", "Reason Arm and/or Actual Arm is Null", core="Exp"),
        Variable("ACTARMUD", "Description of Unplanned Actual Arm", core="Exp"),
        Variable("COUNTRY", "Country", core="Req"),
    ),
    {
        "DTHCAUS": ("Code of the Cause of Death", "death_cause"),
        "REGION": ("Region of Residence", "region"),
        "CTRYSRC": ("Country as Written in the Source", "country"),
        "LANGUAGE": ("Language", "language"),
        "MARITAL": ("Marital Status", "marital_status"),
        "EDUC": ("Education", "education"),
        "INCOME": ("Income in USD a Year", "income"),
        "HOUSING": ("Housing", "housing"),
        "INSURNCE": ("Insurance", "insurance"),
        "SMOKING": ("Smoking", "smoking"),
        "ALCOHOL": ("Alcohol", "alcohol"),
        "ACTIVITY": ("Physical Activity", "activity"),
        "BLOODGRP": ("Blood Group", "blood_group"),
    },
    ("STUDYID", "USUBJID"),
)
SV = Domain(
    "SV",
    "Subject Visits",
    "encounter",
    (
        *_STUDY,
        Variable("VISITNUM", "Visit Number", "integer", "Req"),
        Variable("VISIT", "Visit Name"),
        Variable("SVSTDTC", "Start Date/Time of Observation", "datetime", "Exp", "start"),
        Variable("SVENDTC", "End Date/Time of Observation", "datetime", "Exp", "stop"),
        Variable("SVSTDY", "Study Day of Start of Observation", "integer"),
        Variable("SVENDY", "Study Day of End of Observation", "integer"),
        Variable("SVUPDES", "Description of Unplanned Visit", column="display"),
    ),
    {
        "ENCID": ("Encounter in the Source", "encounter_id"),
        "CLASS": ("Class of the Encounter", "class"),
        **_CODE,
        "REASCD": ("Code of the Reason", "reason_code"),
        "REASTX": ("Name of the Reason", "reason_display"),
        "DISPOSIT": ("Discharge Disposition", "disposition"),
        "PARTOF": ("Encounter That It Is Part of", "part_of_id"),
    },
    ("STUDYID", "USUBJID", "VISITNUM"),
)
AE = Domain(
    "AE",
    "Adverse Events",
    "condition",
    (
        *_identifiers("AE", "condition_id"),
        Variable("AETERM", "Reported Term for the Adverse Event", core="Req"),
        Variable("AELLT", "Lowest Level Term", core="Exp"),
        Variable("AEDECOD", "Dictionary-Derived Term", core="Req"),
        Variable("AECAT", "Category for Adverse Event"),
        Variable("AEBODSYS", "Body System or Organ Class", core="Exp"),
        Variable("AESEV", "Severity/Intensity"),
        Variable("AESER", "Serious Event", core="Exp"),
        Variable("AEACN", "Action Taken with Study Treatment", core="Exp"),
        Variable("AEREL", "Causality", core="Exp"),
        Variable("AEOUT", "Outcome of Adverse Event"),
        Variable("AESHOSP", "Requires or Prolongs Hospitalization"),
        *_times("AE", "onset", "abatement", dated="recorded"),
    ),
    {**_CODE, **_NAMED, **_SNOMED, **_STATE},
    ("STUDYID", "USUBJID", "AEDECOD", "AESTDTC", "AESEQ"),
)
MH = Domain(
    "MH",
    "Medical History",
    "condition",
    (
        *_identifiers("MH", "condition_id"),
        Variable("MHTERM", "Reported Term for the Medical History", core="Req"),
        Variable("MHDECOD", "Dictionary-Derived Term"),
        Variable("MHCAT", "Category for Medical History"),
        Variable("MHSCAT", "Subcategory for Medical History"),
        *_times("MH", "onset", "abatement", dated="recorded"),
    ),
    {
        **_CODE,
        **_NAMED,
        **_SNOMED,
        **_STATE,
        "RXNCODE": ("Code of the Allergic Reaction", "reaction_code"),
        "RXNNAME": ("Name of the Allergic Reaction", "reaction_display"),
        "SEVERITY": ("Severity of the Allergic Reaction", "severity"),
    },
    ("STUDYID", "USUBJID", "MHTERM", "MHSTDTC", "MHSEQ"),
)
CM = _intervention(
    "CM",
    "Concomitant Medications",
    "medication",
    "medication_id",
    {
        **_DRUG,
        "DOSENUM": ("Number of the Dose of a Vaccine", "dose_number"),
        "LOT": ("Lot Number", "lot"),
        "SITESRC": ("Site as Written in the Source", "site"),
    },
)
EX = _intervention(
    "EX",
    "Exposure",
    "medication",
    "medication_id",
    {**_DRUG, "STOPREAS": ("Reason for Stopping", "stop_reason")},
)
PR = _intervention("PR", "Procedures", "procedure", "procedure_id", {"REASCD": ("Code of the Reason", "reason_code")})
LB = _findings("LB", "Laboratory Test Results", "Lab Test or Examination")
VS = _findings("VS", "Vital Signs", "Vital Signs Test")
QS = _findings("QS", "Questionnaires", "Question")
SC = _findings("SC", "Subject Characteristics", "Subject Characteristic")
PE = _findings("PE", "Physical Examination", "Body System Examined")
ZF = _findings("ZF", "Other Findings", "Other Finding")
DOMAINS = {one.name: one for one in (DM, SV, AE, MH, CM, EX, PR, LB, VS, QS, SC, PE, ZF)}
ALWAYS = ("DM", "AE", "CM", "LB", "VS", "MH", "EX")  # written also where they have no records
SUPP = (
    Variable("STUDYID", "Study Identifier", core="Req"),
    Variable("RDOMAIN", "Related Domain Abbreviation", core="Req"),
    Variable("USUBJID", "Unique Subject Identifier", core="Req"),
    Variable("IDVAR", "Identifying Variable", core="Exp"),
    Variable("IDVARVAL", "Identifying Variable Value", core="Exp"),
    Variable("QNAM", "Qualifier Variable Name", core="Req"),
    Variable("QLABEL", "Qualifier Variable Label", core="Req"),
    Variable("QVAL", "Data Value", core="Req"),
    Variable("QORIG", "Origin", core="Req"),
    Variable("QEVAL", "Evaluator", core="Exp"),
)
SUPP_KEYS = ("STUDYID", "RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM")
TS = (
    Variable("STUDYID", "Study Identifier", core="Req"),
    Variable("DOMAIN", "Domain Abbreviation", core="Req"),
    Variable("TSSEQ", "Sequence Number", "integer", "Req"),
    Variable("TSPARMCD", "Trial Summary Parameter Short Name", core="Req"),
    Variable("TSPARM", "Trial Summary Parameter", core="Req"),
    Variable("TSVAL", "Parameter Value", core="Exp"),
)
DESIGN = ("TA", "TD", "TE", "TI", "TM", "TS", "TV", "RELREC", "RELSPEC", "RELSUB")  # nothing of a single patient
