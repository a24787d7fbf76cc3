"""What a column's name says: its words, and the vocabularies that kinds, roles and disclosure are guessed from.

The vocabularies are written here from the column names of public health tables (UCI, MIMIC, eICU, OMOP, Synthea,
NHANES); a name alone decides nothing, it only tips a guess that the cells allow.
"""

from __future__ import annotations

import re


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


PERSON = _set(
    "patient pat pt subject subj person member participant respondent individual beneficiary bene client mrn seqn "
    "resident"
)
ROW = _set(
    "id row index idx record rec key seq sequence rownames encounter enc visit admission hadm stay episode case event "
    "order claim sample specimen observation obs uid uuid guid hash"
)
KEY_SUFFIX = _set("id ids nbr no num number key uid uuid guid identifier pid code")
CODED = _set(
    "id code cd type class group grp cat category status marital race ethnicity ethnic sex gender region state "
    "birthplace place country province county occupation religion insurance payer hospital ward unit site center "
    "centre clinic dept department specialty source disposition arm treatment trt drg diagnosis reason method mode "
    "language smoker smoking stratum cluster cluster team provider facility location relationship outcome"
)
COUNT = _set(
    "num number n nb nbr count cnt counts days day hours hour hrs years year yrs yr age score rate visits children "
    "siblings parity gravida pregnancies pregnancy births los time times dose weight height bp hr gcs apgar total sum "
    "length duration offset minutes month months weeks week pack packs nights episodes admissions size index motor "
    "verbal eyes pain severity stages"
)
ICD = _set("icd icd9 icd10 icd9cm icd10cm diag dx diagnosis diagnoses icd9code icd10code")
FREE_TEXT = _set(
    "note notes comment comments remark remarks narrative transcription report text history impression findings "
    "dialogue summary freetext"
)
GIVEN_NAME = _set("first last middle given family surname maiden forename firstname lastname fullname")
NAME_OF = _set("patient pat person full mother father spouse contact doctor physician nurse member client")
THING = _set(
    "drug medication med test lab item procedure hospital unit brand generic product code diagnosis disease file "
    "column table event label formulary route ward"
)
DIRECT = _set(
    "ssn phone telephone tel mobile fax email mail address street addr mrn passport drivers license licence "
    "insurancenumber nhs iban ip url lat lon latitude longitude"
)
QUASI = _set(
    "age sex gender race ethnicity ethnic zip zipcode postal postcode birth dob birthdate born marital religion "
    "income education edu school language nationality citizenship occupation job city county state region birthplace "
    "birthyear country province hospital hospitalid site center centre dataset ward facility insurance payer "
    "deathdate deathtime dod yrdth modth dadth height year provider "
    "organization"
)
PLACE = _set("hospital hospitalid site center centre ward facility provider organization")
SENSITIVE = _set(
    "diagnosis diagnoses diag dx icd disease hiv aids hepatitis std syphilis gonorrhea psychiatric psych mental "
    "depression anxiety schizophrenia bipolar suicide alcohol alcoholism drug drugs substance opioid abuse abortion "
    "pregnant pregnancy pregnancies genetic brca death died dead mortality expired expire outcome target readmitted "
    "classification cancer tumor tumour dementia diabetes condition problem cause reason event status risk "
    "hospdead fstat"
)
TIME_NAMES = _set(
    "date time datetime timestamp day start begin admit admittime intime charttime visit offset hour minute when "
    "recorded onset month week t measured storetime"
)
STRONG_CODE = _set("id code cd type class group grp cat category status sex gender race arm trt treatment")
START_WORDS = ("admittime", "admit", "admission", "start", "begin", "intime", "in", "from", "open", "onset")
END_WORDS = (
    *("dischtime", "disch", "discharge", "discharged", "stop", "end", "ended", "finish", "outtime", "out", "to"),
    *("thru", "through", "close", "resolved"),
)
STEM = _set(
    "patient unit stay health system hospital ward unique visit encounter enc subject person provider admission admit "
    "discharge birth death chart order lab drug event row icu hadm item record physician start end in out store disch "
    "zip code room bed site region organization claim lab infusion result procedure reason diagnosis department "
    "transfer charge appointment member schedule fee payer insurance apache allergy medication treatment test specimen"
)
SUFFIXES = (
    "identifier",
    "offset",
    "number",
    "status",
    "source",
    "type",
    "date",
    "time",
    "code",
    "year",
    "name",
    "pid",
    "id",
)

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPLIT = re.compile(r"[^0-9A-Za-zÀ-ɏ]+")
_DIGITS = re.compile(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])")


def tokens(name: str) -> tuple[str, ...]:
    """Split a column name into lower-case words: at separators, at camel case, between letters and digits.

    Words written together are split where the parts are known: "patientunitstayid" gives patient, unit, stay, id.

    Examples
    --------
    >>> tokens("Patient_nbr"), tokens("diag_1"), tokens("hospitaladmitoffset")
    (('patient', 'nbr'), ('diag', '1'), ('hospital', 'admit', 'offset'))
    """
    words = [word.lower() for part in _SPLIT.split(name) for word in _CAMEL.split(part) if word]
    words = [piece for word in words for piece in _DIGITS.split(word) if piece]
    return tuple(piece for word in words for piece in _segments(word))


def has(words: tuple[str, ...], vocabulary: frozenset[str]) -> bool:
    """Say whether any word is in a vocabulary."""
    return not vocabulary.isdisjoint(words)


def is_count(words: tuple[str, ...]) -> bool:
    """Say whether a name reads like a count, a score or a measure: num_procedures, graftcount, age, los."""
    if words and words[-1] in STRONG_CODE:
        return False
    ends = ("count", "counts", "score", "days", "hours", "visits")
    return has(words, COUNT) or any(word.endswith(ends) and word not in {"account", "discount"} for word in words)


def is_person_key(words: tuple[str, ...]) -> bool:
    """Say whether a name reads like the number of a person: patient_nbr, subject_id, SEQN, person_id, uniquepid."""
    if not words:
        return False
    if words[-1] == "pid" or words in {("seqn",), ("mrn",), ("patient",), ("subject",), ("person",)}:
        return True
    if has(words, frozenset({"unit", "stay", "visit", "encounter", "admission"})):
        return False  # patientunitstayid numbers stays, not persons
    return words[-1] in KEY_SUFFIX and words[-1] != "code" and has(words[:-1], PERSON)


def is_row_key(words: tuple[str, ...]) -> bool:
    """Say whether a name reads like the number of a row or of an encounter: id, row_id, encounter_id, index."""
    if not words:
        return False
    if words[-1] in {"id", "nbr", "key", "uid", "uuid", "guid", "identifier", "pid", "index", "idx", "rownames"}:
        return True
    return len(words) > 1 and words[-1] in {"no", "num", "number", "hash"} and has(words[:-1], ROW | PERSON)


def _segments(word: str) -> tuple[str, ...]:
    if len(word) < 6 or word in KEY_SUFFIX:
        return (word,)
    if word.endswith("code") and word not in {"zipcode", "postcode"}:
        return (*(_stems(word[:-4]) or (word[:-4],)), "code")
    for suffix in SUFFIXES:
        stem = word[: -len(suffix)]
        if word.endswith(suffix) and (parts := _stems(stem)):
            return (*parts, suffix)
    return (word,)


def _stems(text: str) -> tuple[str, ...]:
    if text in STEM:
        return (text,)
    for cut in range(len(text) - 2, 2, -1):
        if text[:cut] in STEM and (rest := _stems(text[cut:])):
            return (text[:cut], *rest)
    return ()
