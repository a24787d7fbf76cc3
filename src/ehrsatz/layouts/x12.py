"""Delimiters, limits and code lists of X12 5010 that writer and reader share.

References
----------
ASC X12N 005010X222A1 (837 Health Care Claim: Professional) and 005010X221A1 (835 Health Care Claim Payment/Advice);
Appendix B of both for character sets and envelopes.
"""

from __future__ import annotations

ELEMENT, COMPONENT, REPEAT, SEGMENT = "*", ">", "^", "~"
CLAIM, REMITTANCE = "005010X222A1", "005010X221A1"
SENDER = "EHRSATZ"
LETTERS = r"A-Za-z0-9 !\"&'()+,\-./:;?=%@\[\]_{}\\|<#$"  # basic and extended set, without the delimiters above
MOST = {"claim": 38, "encounter": 40, "patient": 50, "coverage": 50, "claim_line": 50, "payment": 50}  # of keys
MOST_LINES, MOST_CLAIMS, MOST_DIAGNOSES = 50, 100, 12
NO_CODE, NO_DIAGNOSIS, NO_NAME, NO_STATUS = "UNSPECIFIED", "R69", "UNKNOWN", "none"
NO_TIME = "19000101"

PLACES = {  # place of service, CMS list
    "wellness": "11",
    "ambulatory": "11",
    "urgent": "20",
    "emergency": "23",
    "inpatient": "21",
    "icu": "21",
    "virtual": "02",
    "home": "12",
}
CLASSES = {  # back
    "02": "virtual",
    "10": "virtual",
    "11": "ambulatory",
    "12": "home",
    "13": "home",
    "19": "ambulatory",
    "20": "urgent",
    "21": "inpatient",
    "22": "ambulatory",
    "23": "emergency",
    "24": "ambulatory",
    "31": "inpatient",
    "32": "inpatient",
    "49": "ambulatory",
    "50": "ambulatory",
    "51": "inpatient",
    "61": "inpatient",
    "72": "ambulatory",
}
FILING = {"private": "CI", "medicare": "MB", "medicaid": "MC", "dual": "MB", "national": "OF", "none": "ZZ"}
REMITTED = {"private": "12", "medicare": "MB", "medicaid": "MC", "dual": "MB", "national": "OF", "none": "ZZ"}
KINDS = {  # claim filing indicator -> kind of payer
    "12": "private",
    "13": "private",
    "14": "private",
    "15": "private",
    "BL": "private",
    "CI": "private",
    "DS": "private",
    "HM": "private",
    "16": "medicare",
    "MA": "medicare",
    "MB": "medicare",
    "MC": "medicaid",
    "CH": "national",
    "FI": "national",
    "OF": "national",
    "TV": "national",
    "VA": "national",
}
SEXES = {"female": "F", "male": "M"}  # else U
_STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR "
    "PA RI SC SD TN TX UT VT VA WA WV WI WY AS GU MP PR VI"
)
STATES = tuple(_STATES.split())  # of the US, with district and territories
