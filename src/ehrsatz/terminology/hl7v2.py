"""Codes and signs of HL7 version 2 that its writer and its reader share: tables, code systems, escapes.

Where the clinical schema has a word and HL7 a table, the table's code is sent; words that no table has go as themselves
in the code system "99EHS" (HL7's form of a local one). Numbers of the tables are those of chapter 2C of v2.5.1.

References
----------
HL7 Version 2.5.1: chapter 2 (control: encoding characters, escapes), 2A (data types), 2C (tables).
"""

from __future__ import annotations

SENDER, FACILITY, LOCAL = "EHRSATZ", "SYNTHETIC", "99EHS"
STAY = "EHRSATZ_STAY"  # authority of the number of a stay that is part of a larger visit
REASON = "EHRSATZ_REASON"  # authority of the link from a plan to the problem that it is for
VERSION = "2.5.1"

SYSTEMS = {  # name of a code system in the clinical schema -> in table 0396
    "ICD-10-CM": "I10C",
    "SNOMED-CT": "SCT",
    "LOINC": "LN",
    "RxNorm": "RXNORM",
    "CVX": "CVX",
    "UCUM": "UCUM",
    "ICD-9-CM": "I9CDX",
    "ICD-9-PCS": "I9CP",
    "ICD-10-PCS": "I10P",
    "HCPCS": "HCPCS",
    "CPT": "C4",
    "NDC": "NDC",
    "local": "L",
}
OTHER_TAGS = {  # what other makers write for the same
    "I10": "ICD-10-CM",
    "ICD10": "ICD-10-CM",
    "ICD-10": "ICD-10-CM",
    "ICD10CM": "ICD-10-CM",
    "I9": "ICD-9-CM",
    "I9C": "ICD-9-CM",
    "ICD9": "ICD-9-CM",
    "ICD-9": "ICD-9-CM",
    "SNM": "SNOMED-CT",
    "SNM3": "SNOMED-CT",
    "SNOMED": "SNOMED-CT",
    "SNOMEDCT": "SNOMED-CT",
    "LOINC": "LOINC",
    "CPT4": "CPT",
    "CPT": "CPT",
    "HL70292": "CVX",
    "RXNORM": "RxNorm",
}
SEX = {"female": "F", "male": "M", "other": "O", "unknown": "U"}  # 0001
RACE = {  # 0005
    "white": "2106-3",
    "black": "2054-5",
    "asian": "2028-9",
    "native": "1002-5",
    "pacific": "2076-8",
    "other": "2131-1",
    "multiple": "MULT",
}
ETHNICITY = {"hispanic": "H", "not hispanic": "N"}  # 0189
MARITAL = {"never married": "S", "married": "M", "divorced": "D", "widowed": "W"}  # 0002
RELATION = {"mother": "MTH", "father": "FTH", "child": "CHD", "spouse": "SPO", "sibling": "SIB"}  # 0063
PATIENT_CLASS = {  # 0004
    "wellness": "O",
    "ambulatory": "O",
    "urgent": "O",
    "emergency": "E",
    "inpatient": "I",
    "icu": "I",
    "virtual": "O",
    "home": "O",
}
CLASS_OF = {"I": "inpatient", "E": "emergency", "O": "ambulatory", "R": "ambulatory", "B": "inpatient"}
DISPOSITION = {  # 0112, the codes of the US uniform bill
    "home": "01",
    "home health": "06",
    "skilled nursing": "03",
    "hospice": "51",
    "transferred": "02",
    "died": "20",
}
PLACE = {"clinic": "C", "emergency": "D", "ward": "N", "icu": "N", "home": "H"}  # 0260, 0305
INTERPRETATION = {  # 0078
    "normal": "N",
    "low": "L",
    "high": "H",
    "critical low": "LL",
    "critical high": "HH",
    "abnormal": "A",
}
SECTION = {  # 0074, of orders by kind
    "laboratory": "LAB",
    "imaging": "IMG",
    "procedure": "OTH",
    "referral": "PHY",
}
PANEL = {  # category of observations that nobody ordered -> code, name and section (0074) of what they are together
    "vital-signs": ("85353-1", "Vital signs panel", "NRS"),
    "laboratory": ("26436-6", "Laboratory studies (set)", "LAB"),
    "survey": ("89209-1", "Survey panel", "OTH"),
    "imaging": ("18748-4", "Diagnostic imaging study", "IMG"),
    "social-history": ("29762-2", "Social history Narrative", "PHY"),
    "exam": ("29545-1", "Physical findings Narrative", "PHY"),
}
ORDER_STATUS = {"completed": "CM", "cancelled": "CA"}  # 0038
DRUG_STATUS = {"active": "IP", "completed": "CM", "stopped": "DC"}  # 0038
ALLERGEN = {"medication": "DA", "food": "FA", "environment": "EA"}  # 0127
SEVERITY = {"mild": "MI", "moderate": "MO", "severe": "SV"}  # 0128
DOCUMENT = {"imaging": "DI", "laboratory": "LAB"}  # 0270, which sites may add to
ROUTE = {  # 0162
    "oral": "PO",
    "sublingual": "SL",
    "subcutaneous": "SC",
    "inhalation": "IH",
    "intravenous": "IV",
    "intramuscular": "IM",
    "topical": "TP",
    "nasal": "NS",
    "ophthalmic": "OP",
    "rectal": "PR",
    "transdermal": "TD",
    "vaginal": "VG",
}
SITE = {  # 0163
    "left deltoid": "LD",
    "right deltoid": "RD",
    "left thigh": "LT",
    "right thigh": "RT",
    "left arm": "LA",
    "right arm": "RA",
}
ATTRIBUTES = {  # column of a patient that PID has no field for -> its name and, where there is one, its LOINC code
    "education": ("Highest level of education", "82589-3"),
    "income": ("Annual income", ""),
    "housing": ("Housing status", "71802-3"),
    "insurance": ("Kind of insurance", ""),
    "smoking": ("Tobacco smoking status", "72166-2"),
    "alcohol": ("Alcohol use", ""),
    "activity": ("Physical activity", ""),
    "blood_group": ("ABO and Rh group", "882-1"),
}

DELIMITERS = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}  # for |^~\& alone
CONTROLS = {chr(code): f"\\X{code:02X}\\" for code in (*range(32), 127)}  # none may stand in a message as itself
BREAK = "\\.br\\"  # end of a line in formatted text


def turned(words: dict[str, str]) -> dict[str, str]:
    """Return code -> word."""
    return {code: word for word, code in words.items()}
