"""Short names of tests in the CDISC controlled terminology, for the LOINC codes that ehrsatz uses.

What stands here is code list LBTESTCD (C65047) or VSTESTCD (C66741) and its name (LBTEST C67154, VSTEST C67153), with
the specimen of the LOINC code (SPECTYPE C78734). For other codes a short name is derived: "T" and seven letters and
digits of a hash of system and code, the same in every study.

References
----------
CDISC SDTM Controlled Terminology, NCI Enterprise Vocabulary Services, free to use. evs.nci.nih.gov/ftp1/CDISC
"""

from __future__ import annotations

import hashlib

from ehrsatz.clinical import LOINC

_BLOOD, _SERUM, _URINE, _PLASMA, _ARTERIAL = "BLOOD", "SERUM OR PLASMA", "URINE", "PLASMA", "ARTERIAL BLOOD"
TESTS: dict[str, tuple[str, str, str | None]] = {  # LOINC -> short name, name, specimen
    "8480-6": ("SYSBP", "Systolic Blood Pressure", None),
    "8462-4": ("DIABP", "Diastolic Blood Pressure", None),
    "8478-0": ("MAP", "Mean Arterial Pressure", None),
    "8867-4": ("HR", "Heart Rate", None),
    "9279-1": ("RESP", "Respiratory Rate", None),
    "8310-5": ("TEMP", "Temperature", None),
    "8302-2": ("HEIGHT", "Height", None),
    "29463-7": ("WEIGHT", "Weight", None),
    "39156-5": ("BMI", "Body Mass Index", None),
    "59408-5": ("OXYSAT", "Oxygen Saturation", None),
    "1742-6": ("ALT", "Alanine Aminotransferase", _SERUM),
    "1751-7": ("ALB", "Albumin", _SERUM),
    "17861-6": ("CA", "Calcium", _SERUM),
    "1920-8": ("AST", "Aspartate Aminotransferase", _SERUM),
    "1960-4": ("BICARB", "Bicarbonate", _ARTERIAL),
    "1968-7": ("BILDIR", "Direct Bilirubin", _SERUM),
    "1975-2": ("BILI", "Bilirubin", _SERUM),
    "1988-5": ("CRP", "C Reactive Protein", _SERUM),
    "2019-8": ("PCO2", "Partial Pressure Carbon Dioxide", _ARTERIAL),
    "2028-9": ("CO2", "Carbon Dioxide", _SERUM),
    "2075-0": ("CL", "Chloride", _SERUM),
    "2085-9": ("HDL", "HDL Cholesterol", _SERUM),
    "2090-9": ("LDL", "LDL Cholesterol", _SERUM),
    "2093-3": ("CHOL", "Cholesterol", _SERUM),
    "2160-0": ("CREAT", "Creatinine", _SERUM),
    "2170-9": ("VITB12", "Vitamin B12", _SERUM),
    "2276-4": ("FERRITIN", "Ferritin", _SERUM),
    "2324-2": ("GGT", "Gamma Glutamyl Transferase", _SERUM),
    "2339-0": ("GLUC", "Glucose", _BLOOD),
    "2345-7": ("GLUC", "Glucose", _SERUM),
    "2498-4": ("IRON", "Iron", _SERUM),
    "2514-8": ("KETONES", "Ketones", _URINE),
    "25428-4": ("GLUC", "Glucose", _URINE),
    "2571-8": ("TRIG", "Triglycerides", _SERUM),
    "2601-3": ("MG", "Magnesium", _SERUM),
    "2692-2": ("OSMLTY", "Osmolality", _SERUM),
    "2703-7": ("PO2", "Partial Pressure Oxygen", _ARTERIAL),
    "2708-6": ("OXYSAT", "Oxygen Saturation", _ARTERIAL),
    "2744-1": ("PH", "pH", _ARTERIAL),
    "2777-1": ("PHOS", "Phosphate", _SERUM),
    "2823-3": ("K", "Potassium", _SERUM),
    "2857-1": ("PSA", "Prostate Specific Antigen", _SERUM),
    "2885-2": ("PROT", "Protein", _SERUM),
    "20454-5": ("PROT", "Protein", _URINE),
    "2951-2": ("SODIUM", "Sodium", _SERUM),
    "3016-3": ("TSH", "Thyrotropin", _SERUM),
    "3024-7": ("T4FR", "Thyroxine, Free", _SERUM),
    "3084-1": ("URATE", "Urate", _SERUM),
    "3094-0": ("UREAN", "Urea Nitrogen", _SERUM),
    "3173-2": ("APTT", "Activated Partial Thromboplastin Time", _PLASMA),
    "3255-7": ("FIBRINO", "Fibrinogen", _PLASMA),
    "32623-1": ("MPV", "Mean Platelet Volume", _BLOOD),
    "33037-3": ("ANIONG", "Anion Gap", _SERUM),
    "4544-3": ("HCT", "Hematocrit", _BLOOD),
    "4548-4": ("HBA1C", "Hemoglobin A1C", _BLOOD),
    "48065-7": ("DDIMER", "D-Dimer", _PLASMA),
    "5770-3": ("BILI", "Bilirubin", _URINE),
    "5778-6": ("COLOR", "Color", _URINE),
    "5802-4": ("NITRITE", "Nitrite", _URINE),
    "5803-2": ("PH", "pH", _URINE),
    "5811-5": ("SPGRAV", "Specific Gravity", _URINE),
    "5902-2": ("PT", "Prothrombin Time", _PLASMA),
    "5905-5": ("MONOLE", "Monocytes/Leukocytes", _BLOOD),
    "6301-6": ("INR", "Prothrombin Intl. Normalized Ratio", _PLASMA),
    "6690-2": ("WBC", "Leukocytes", _BLOOD),
    "6768-6": ("ALP", "Alkaline Phosphatase", _SERUM),
    "704-7": ("BASO", "Basophils", _BLOOD),
    "706-2": ("BASOLE", "Basophils/Leukocytes", _BLOOD),
    "711-2": ("EOS", "Eosinophils", _BLOOD),
    "713-8": ("EOSLE", "Eosinophils/Leukocytes", _BLOOD),
    "718-7": ("HGB", "Hemoglobin", _BLOOD),
    "731-0": ("LYM", "Lymphocytes", _BLOOD),
    "736-9": ("LYMLE", "Lymphocytes/Leukocytes", _BLOOD),
    "742-7": ("MONO", "Monocytes", _BLOOD),
    "751-8": ("NEUT", "Neutrophils", _BLOOD),
    "770-8": ("NEUTLE", "Neutrophils/Leukocytes", _BLOOD),
    "777-3": ("PLAT", "Platelets", _BLOOD),
    "785-6": ("MCH", "Ery. Mean Corpuscular Hemoglobin", _BLOOD),
    "786-4": ("MCHC", "Ery. Mean Corpuscular HGB Concentration", _BLOOD),
    "787-2": ("MCV", "Ery. Mean Corpuscular Volume", _BLOOD),
    "788-0": ("RDW", "Erythrocytes Distribution Width", _BLOOD),
    "789-8": ("RBC", "Erythrocytes", _BLOOD),
}
_NAMES = {name for _, name, _ in TESTS.values()}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def short_name(system: str | None, code: str | None, display: str | None) -> tuple[str, str, str | None]:
    """Return the short name (8 characters), name (40 characters) and specimen of a test.

    Examples
    --------
    >>> short_name("LOINC", "2823-3", "Potassium [Moles/volume] in Serum or Plasma")
    ('K', 'Potassium', 'SERUM OR PLASMA')
    """
    if system == LOINC and code in TESTS:
        return TESTS[code]
    if code is None and display is None:
        return "UNKNOWN", "Unknown test", None
    digest = int.from_bytes(hashlib.blake2b(f"{system}|{code or display}".encode(), digest_size=8).digest())
    short = "T"
    for _ in range(7):
        digest, rest = divmod(digest, len(_LETTERS))
        short += _LETTERS[rest]
    if display is None:
        return short, f"Test {short}", None
    # names of tests are one to one with short names: one that is long, or of a local code, ends with it
    if system == LOINC and len(display) <= 40 and display not in _NAMES:
        return short, display, None
    return short, f"{display[:31].rstrip()} {short}", None
