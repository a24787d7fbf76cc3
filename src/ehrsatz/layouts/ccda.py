"""Names and codes of C-CDA R2.1 that writer and reader share: identifiers of keys, templates, and words as codes.

References
----------
HL7 CDA R2 Implementation Guide: Consolidated CDA Templates for Clinical Notes, R2.1 (August 2015, with errata).
The roots of keys lie under HL7's own arc for examples, 2.16.840.1.113883.19: no institution has them.
"""

from __future__ import annotations

V3, SDTC, XSI = "urn:hl7-org:v3", "urn:hl7-org:sdtc", "http://www.w3.org/2001/XMLSchema-instance"

ROOT = "2.16.840.1.113883.19.5.99999"  # examples: the roots of our keys are its children
KEYS = {  # table -> root of the identifiers that are its keys
    "patient": f"{ROOT}.1",
    "encounter": f"{ROOT}.2",
    "condition": f"{ROOT}.3",
    "observation": f"{ROOT}.4",
    "order": f"{ROOT}.5",
    "report": f"{ROOT}.6",
    "medication": f"{ROOT}.7",
    "procedure": f"{ROOT}.8",
    "immunization": f"{ROOT}.9",
    "allergy": f"{ROOT}.10",
    "device": f"{ROOT}.11",
    "careplan": f"{ROOT}.12",
    "goal": f"{ROOT}.13",
    "coverage": f"{ROOT}.14",
    "relation": f"{ROOT}.15",
    "practitioner": f"{ROOT}.20",
    "organization": f"{ROOT}.21",
    "location": f"{ROOT}.22",
    "payer": f"{ROOT}.23",
}
DERIVED = f"{ROOT}.90"  # of acts that merely wrap: a concern, an indication, a supply order
DOCUMENT, SOFTWARE = f"{ROOT}.91", f"{ROOT}.92"
RECORD, NATIONAL, SERIAL, MEMBER, IDENTIFIER = (f"{ROOT}.{number}" for number in (30, 31, 32, 33, 34))
WORDS = f"{ROOT}.40"  # a code system: words of the clinical schema that no public system has
WORDS_NAME = "ehrsatz"
NPI = "2.16.840.1.113883.4.6"
NATIONALS = {"US": "2.16.840.1.113883.4.1", "GB": "2.16.840.1.113883.2.1.4.1"}  # social security, NHS number

ACT_CODE, GENDER, MARITAL, ROLE = (f"2.16.840.1.113883.5.{number}" for number in (4, 1, 2, 111))
INTERPRETATION, CDC_RACE, NCI = "2.16.840.1.113883.5.83", "2.16.840.1.113883.6.238", "2.16.840.1.113883.3.26.1.1"
DISCHARGE, DICOM, PAYMENT = "2.16.840.1.113883.6.301.5", "1.2.840.10008.2.16.4", "2.16.840.1.113883.3.221.5"

HSLOC = "2.16.840.1.113883.6.259"
PLACES = {  # value set HealthcareServiceLocation
    "clinic": ("1120-5", "Medical Clinic"),
    "emergency": ("1108-0", "Emergency Department"),
    "ward": ("1060-3", "Medical Ward"),
    "icu": ("1027-2", "Medical Critical Care"),
    "home": ("1192-4", "Home Care"),
}
GENDERS = {"female": "F", "male": "M", "other": "UN"}  # unknown: nullFlavor UNK
RACES = {
    "white": ("2106-3", "White"),
    "black": ("2054-5", "Black or African American"),
    "asian": ("2028-9", "Asian"),
    "native": ("1002-5", "American Indian or Alaska Native"),
    "pacific": ("2076-8", "Native Hawaiian or Other Pacific Islander"),
    "other": ("2131-1", "Other Race"),
}  # multiple: nullFlavor OTH and the word
ETHNICITIES = {
    "hispanic": ("2135-2", "Hispanic or Latino"),
    "not hispanic": ("2186-5", "Not Hispanic or Latino"),
}
MARITALS = {
    "never married": ("S", "Never Married"),
    "married": ("M", "Married"),
    "divorced": ("D", "Divorced"),
    "widowed": ("W", "Widowed"),
}
RELATIONS = {
    "mother": ("MTH", "mother"),
    "father": ("FTH", "father"),
    "child": ("CHILD", "child"),
    "spouse": ("SPS", "spouse"),
    "sibling": ("SIB", "sibling"),
}
CLASSES = {  # HL7 ActCode, of which several of ours share one: the word stands beside it
    "wellness": "AMB",
    "ambulatory": "AMB",
    "urgent": "AMB",
    "emergency": "EMER",
    "inpatient": "IMP",
    "icu": "ACUTE",
    "virtual": "VR",
    "home": "HH",
}
ACT_CLASSES = {  # back, of other makers
    "AMB": "ambulatory",
    "EMER": "emergency",
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "OBSENC": "inpatient",
    "SS": "ambulatory",
    "VR": "virtual",
    "HH": "home",
    "FLD": "home",
}
DISPOSITIONS = {  # UB-04 patient discharge status
    "home": "01",
    "transferred": "02",
    "skilled nursing": "03",
    "home health": "06",
    "died": "20",
    "hospice": "50",
}
INTERPRETATIONS = {
    "normal": "N",
    "low": "L",
    "high": "H",
    "critical low": "LL",
    "critical high": "HH",
    "abnormal": "A",
}
ALLERGY_TYPES = {
    "medication": ("416098002", "Allergy to drug"),
    "food": ("414285001", "Allergy to food"),
    "environment": ("419199007", "Allergy to substance"),
}
OTHER_ALLERGY_TYPES = {  # of other makers: value set Allergy and Intolerance Type
    "419511003": "medication",
    "59037007": "medication",
    "418471000": "food",
    "235719002": "food",
    "426232007": "environment",
    "232347008": "environment",
}
SEVERITIES = {
    "mild": ("255604002", "Mild"),
    "moderate": ("6736007", "Moderate"),
    "severe": ("24484000", "Severe"),
}
GOALS = {  # value set Goal Achievement; "in progress" has no code in it: nullFlavor OTH and the word
    "achieved": ("390802008", "Goal achieved"),
    "not achieved": ("390801001", "Goal not achieved"),
}
ROUTES = {  # NCI Thesaurus, as FDA names routes
    "oral": ("C38288", "ORAL"),
    "intravenous": ("C38276", "INTRAVENOUS"),
    "subcutaneous": ("C38299", "SUBCUTANEOUS"),
    "intramuscular": ("C28161", "INTRAMUSCULAR"),
    "inhalation": ("C38216", "RESPIRATORY (INHALATION)"),
    "sublingual": ("C38300", "SUBLINGUAL"),
    "topical": ("C38304", "TOPICAL"),
    "transdermal": ("C38305", "TRANSDERMAL"),
    "rectal": ("C38295", "RECTAL"),
    "nasal": ("C38284", "NASAL"),
    "ophthalmic": ("C38287", "OPHTHALMIC"),
}
SMOKING = {
    "never": ("266919005", "Never smoked tobacco"),
    "former": ("8517006", "Ex-smoker"),
    "current": ("449868002", "Smokes tobacco daily"),
}
PAYERS = {  # value set Payer, Source of Payment Typology
    "private": ("5", "Private health insurance"),
    "medicare": ("1", "Medicare"),
    "medicaid": ("2", "Medicaid"),
    "dual": ("14", "Dual eligibility Medicare/Medicaid organization"),
    "national": ("3", "Other government"),
    "none": ("81", "Self-pay"),
}
TRAITS = {  # columns of a patient that are observations: LOINC code and name
    "education": ("82589-3", "Highest level of education"),
    "income": ("63586-2", "Total combined family income last year"),
    "housing": ("71802-3", "Housing status"),
    "insurance": ("76437-3", "Primary insurance"),
    "alcohol": ("11331-6", "History of alcohol use"),
    "activity": ("73985-4", "Exercise activity"),
    "blood_group": ("882-1", "ABO and Rh group [Type] in Blood"),
}
TOBACCO = "72166-2"
SECTIONS = {  # LOINC code of a section -> what it holds
    "46240-8": "encounters",
    "11450-4": "problems",
    "48765-2": "allergies",
    "10160-0": "medications",
    "11369-6": "immunizations",
    "47519-4": "procedures",
    "30954-2": "results",
    "8716-3": "vitals",
    "29762-2": "social",
    "46264-8": "equipment",
    "18776-5": "plan",
    "61146-7": "goals",
    "48768-6": "payers",
}
