# ruff: noqa: E501 - tables of words
"""Diseases: complications with their cause, diagnoses that shut each other out, stages, organs that are gone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ehrsatz.rules.analytes import moments
from ehrsatz.rules.concepts import condition, drug, procedure, title
from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Statement, told
from ehrsatz.rules.view import DAY, EVER, YEAR, Flags, View, Whole

DIAGNOSES = "condition.code|condition.snomed_code condition.onset condition.patient_id patient.patient_id"
DONE = "procedure.code procedure.start procedure.patient_id patient.patient_id"
ICD = "NCHS, ICD-10-CM Official Guidelines FY 2026, section I.A.13: etiology and manifestation, and the tabular list's notes"
# id, what follows, what it needs of the patient at any time, severity, why, source
CAUSES = (
    ("retinopathy", "retinopathy", ("diabetes",), WARNING, "Nothing else in the record speaks of diabetes. In ICD-10-CM the code holds the disease, so a record of one code is a false alarm.", ICD),
    ("varices", "oesophageal_varices", ("liver_disease",), WARNING, "Varices come of a scarred liver or a closed vein.", ICD),
    ("kidney.hypertension", "hypertension_kidney", ("ckd", "kidney_failure"), WARNING, "The code asks for the stage of the kidney disease beside it.", ICD),
    ("dialysis", "dialysis_status", ("ckd5", "kidney_failure"), WARNING, "Dialysis replaces kidneys that failed.", "KDIGO CKD Guideline 2024, Kidney Int 2024;105(4S)"),
    ("renal.anaemia", "renal_anaemia", ("ckd", "kidney_failure"), WARNING, "The code names the kidney disease.", ICD),
    ("septic.shock", "septic_shock", ("sepsis",), WARNING, "R65.21 follows a code of the infection that is behind it.", "NCHS, ICD-10-CM Official Guidelines FY 2026, section I.C.1.d"),
    ("stroke.sequel", "stroke_sequel", ("stroke_cause",), WARNING, "A sequel needs the stroke; one before the record is a false alarm.", ICD),
    ("old.infarction", "old_infarction", ("infarction", "coronary"), WARNING, "It is old because it once was new; one before the record is a false alarm.", ICD),
    ("metastasis", "metastasis", ("primary_cancer",), WARNING, "Metastases have a primary, or one that is unknown and coded so (C80).", "NCHS, ICD-10-CM Official Guidelines FY 2026, section I.C.2"),
    ("transplant.failure", "transplant_failure", ("transplant", "ckd", "kidney_failure"), WARNING, "Only a transplant can fail.", ICD),
    ("febrile.neutropenia", "neutropenic_fever", ("cancer", "transplant", "hiv", "autoimmune_or_cancer"), WARNING, "Neutrophils fail under treatment of cancer.", "Freifeld AG et al., IDSA guideline, Clin Infect Dis 2011;52:e56, doi:10.1093/cid/cir073"),
)  # fmt: skip
# id, two conditions of one patient, severity, why, source
EXCLUDES = (
    ("types", "type1", "type2", WARNING, "A patient has one type; a change of mind leaves both on the list.", "ADA Standards of Care in Diabetes 2024, section 2"),
    ("prediabetes", "prediabetes", "diabetes", WARNING, "Prediabetes that begins after diabetes.", "ADA Standards of Care in Diabetes 2024, section 2"),
    ("thyroid", "hyperthyroid", "hypothyroid", WARNING, "At one time the thyroid does too much or too little; treatment turns one into the other.", "Ross DS et al., Thyroid 2016;26:1343, doi:10.1089/thy.2016.0229"),
)  # fmt: skip
CKD = (  # stage by stage: condition, the widest eGFR that the stage allows with a margin for change
    ("ckd_stage1", 70, 999, "90 and more"),
    ("ckd_stage2", 45, 115, "60 to 89"),
    ("ckd3", 20, 85, "30 to 59"),
    ("ckd4", 8, 50, "15 to 29"),
    ("ckd5", 0, 30, "under 15"),
)
# id, procedure, what calls for it, why, source
INDICATIONS = (
    ("appendectomy", "appendectomy", ("appendicitis", "appendix_gone"), "The appendix is removed for appendicitis, or on the way of another operation.", "Di Saverio S et al., WSES Jerusalem guidelines, World J Emerg Surg 2020;15:27, doi:10.1186/s13017-020-00306-3"),
    ("cholecystectomy", "cholecystectomy", ("gallstones",), "The gallbladder is removed for stones or inflammation.", "Pisano M et al., WSES guidelines, World J Emerg Surg 2020;15:61, doi:10.1186/s13017-020-00336-x"),
    ("dialysis", "dialysis", ("kidney_failure", "ckd"), "Dialysis replaces kidneys that failed.", "KDIGO CKD Guideline 2024"),
    ("kidney.transplant", "kidney_transplant", ("ckd", "kidney_failure"), "A kidney is given to those whose own failed.", "KDIGO Guideline on Transplant Candidates 2020, Transplantation 2020;104(4S1)"),
    ("cabg", "cabg", ("coronary",), "A bypass goes round a narrow coronary artery.", "Lawton JS et al., ACC/AHA/SCAI revascularization guideline, Circulation 2022;145:e18, doi:10.1161/CIR.0000000000001038"),
    ("pci", "pci", ("coronary",), "A stent opens a narrow coronary artery.", "Lawton JS et al. 2022, doi:10.1161/CIR.0000000000001038"),
    ("knee", "knee", ("joint_reason", "osteoarthritis", "rheumatoid"), "A new knee replaces a worn or broken one.", "AAOS, Management of Osteoarthritis of the Knee, 3rd ed. 2021"),
    ("hip", "hip", ("joint_reason", "osteoarthritis", "rheumatoid"), "A new hip replaces a worn or broken one.", "AAOS, Management of Osteoarthritis of the Hip 2023"),
    ("chemotherapy", "chemotherapy", ("cancer",), "Chemotherapy and radiation treat cancer.", "NCI, Types of Cancer Treatment (2024), https://www.cancer.gov/about-cancer/treatment/types"),
    ("mastectomy", "mastectomy", ("breast_cancer", "cancer"), "The breast is operated on for cancer or its prevention; benign lumps are a false alarm.", "NCCN Guidelines, Breast Cancer 4.2024"),
    ("ablation", "ablation", ("heart_rhythm", "af"), "The heart is ablated or shocked for its rhythm.", "Joglar JA et al., 2023 ACC/AHA atrial fibrillation guideline, Circulation 2024;149:e1, doi:10.1161/CIR.0000000000001193"),
    ("pacemaker", "pacemaker", ("heart_rhythm", "af", "heart_block"), "A pacemaker is for a rhythm that fails; bypass surgery uses wires for days.", "Kusumoto FM et al., Circulation 2019;140:e382, doi:10.1161/CIR.0000000000000628"),
    ("prostatectomy", "prostatectomy", ("prostate_cancer", "prostate_enlarged", "male_cancer", "male_disease"), "The prostate is removed for cancer or enlargement.", "AUA/ASTRO, Clinically Localized Prostate Cancer 2022"),
    ("cataract", "cataract_surgery", ("cataract",), "The lens is replaced for a cataract.", "AAO Preferred Practice Pattern: Cataract in the Adult Eye 2021"),
    ("obstetric", "obstetric", ("pregnancy",), "A birth ends a pregnancy.", ICD),
)  # fmt: skip
ONCE = (
    ("appendectomy", ERROR, "There is one appendix; a stump that is operated on has another name."),
    ("cholecystectomy", ERROR, "There is one gallbladder."),
    ("hysterectomy", ERROR, "There is one womb; removal of what was left after a partial one is a false alarm."),
    ("splenectomy", WARNING, "There is one spleen, rarely a second small one."),
    ("prostatectomy", WARNING, "A whole prostate is removed once; pieces are taken again."),
    ("vasectomy", WARNING, "It is repeated where it failed."),
    ("colectomy", ERROR, "There is one colon."),
    ("thyroidectomy", ERROR, "There is one thyroid to be removed whole."),
    ("pneumonectomy", ERROR, "Nobody lives without either lung."),
    ("tonsillectomy", WARNING, "Tonsils rarely grow again."),
)
# id, procedure, condition that cannot begin after it, days left, severity, why, source
GONE = (
    ("appendicitis", "appendectomy", "appendicitis", 30, WARNING, "The appendix is gone; a stump that was left can inflame.", "Di Saverio S et al. 2020, doi:10.1186/s13017-020-00306-3: stump appendicitis"),
    ("cholecystitis", "cholecystectomy", "cholecystitis", 90, WARNING, "The gallbladder is gone; stones in the duct have their own code (K80.5).", ICD),
    ("pregnancy", "hysterectomy", "full_pregnancy", 1, ERROR, "Without a womb there is no pregnancy in it; the few after hysterectomy lie elsewhere.", "Fylstra DL, Ectopic pregnancy after hysterectomy, BJOG 2015;122:1183: 73 cases"),
    ("prostate", "prostatectomy", "prostate_enlarged", 90, WARNING, "The prostate is gone.", ICD),
    ("tonsillitis", "tonsillectomy", "tonsillitis", 90, WARNING, "The tonsils are gone, but for a rest.", ICD),
)  # fmt: skip
CANCERS = ("breast_cancer", "colon_cancer", "lung_cancer")


def _who(view: View, table: str, rows: Flags) -> Flags:
    """Return which patients have such a row; the last entry stands for rows without a patient."""
    has = np.zeros(view.height("patient") + 1, dtype=bool)
    patients = view.patient(table)[rows]
    has[patients[patients >= 0]] = True
    return has


def _earliest(view: View, table: str, column: str, rows: Flags) -> Whole:
    """Return each patient's first time of such rows, `EVER` where there is none."""
    out = np.full(view.height("patient") + 1, EVER, dtype=np.int64)
    patients, times = view.patient(table)[rows].astype(np.int64), view.times(table, column)[rows]
    good = (patients >= 0) & (times >= 0)
    np.minimum.at(out, patients[good], times[good])
    return out


def _cause(name: str, causes: tuple[str, ...]) -> Body:
    def body(view: View) -> list[Found]:
        here = condition(view, name)
        has = np.zeros(view.height("patient") + 1, dtype=bool)
        for one in causes:
            has |= _who(view, "condition", condition(view, one) & ~here)
        return told("condition", here, here & ~has[view.patient("condition")] & (view.patient("condition") >= 0))

    return body


def _excluded(one: str, other: str) -> Body:
    """Broken in rows of the first where the second had begun in the same patient and the first begins later."""

    def body(view: View) -> list[Found]:
        here, there = condition(view, one), condition(view, other) & ~condition(view, one)
        first = _earliest(view, "condition", "onset", there)
        place, onset = view.patient("condition"), view.times("condition", "onset")
        late = (onset > first[place]) if one == "prediabetes" else first[place] < EVER
        return told("condition", here, here & late & (place >= 0))

    return body


def _both_thyroids(view: View) -> list[Found]:
    """Both active at one time: neither has ended when the other begins, and they begin within 30 days."""
    over, under = condition(view, "hyperthyroid"), condition(view, "hypothyroid") & ~condition(view, "hyperthyroid")
    first = _earliest(view, "condition", "onset", under)
    place, onset = view.patient("condition"), view.times("condition", "onset")
    near = (first[place] < EVER) & (np.abs(onset - first[place]) < 30 * DAY)
    return told("condition", over, over & near & (place >= 0))


def _stage(name: str, low: float, high: float) -> Body:
    """Broken where the last eGFR of the year before the stage, or the first of the 90 days after, is far outside it."""

    def body(view: View) -> list[Found]:
        here = condition(view, name) & (view.patient("condition") >= 0)
        keys = view.keyed("condition", view.times("condition", "onset"))
        measures = moments(view, "egfr")
        if not len(measures.keys):
            return told("condition", np.zeros_like(here), here)
        place = np.searchsorted(measures.keys, keys + DAY, "right") - 1
        at = np.maximum(place, 0)
        near = (
            (place >= 0)
            & (measures.keys[at] >> 34 == keys >> 34)
            & (np.abs(keys - measures.keys[at]) < YEAR)
            & (keys >= 0)
        )
        value = measures.values[at]
        known = here & near
        return told("condition", known, known & ((value < low) | (value > high)))

    return body


def _stages_back(view: View) -> list[Found]:
    """A stage of chronic kidney disease that begins after a higher one has."""
    numbers = np.zeros(view.height("condition"), dtype=np.int64)
    for stage, name in enumerate(("ckd_stage1", "ckd_stage2", "ckd3", "ckd4", "ckd5"), start=1):
        numbers[condition(view, name)] = stage
    who, onset = view.patient("condition").astype(np.int64), view.times("condition", "onset")
    rows = np.flatnonzero((numbers > 0) & (who >= 0) & (onset >= 0))
    order = rows[np.lexsort((numbers[rows], onset[rows], who[rows]))]
    key = who[order] * 10
    highest = np.maximum.accumulate(key + numbers[order]) if len(order) else key
    failed = np.zeros(len(numbers), dtype=bool)
    failed[order] = (highest - key) > numbers[order]
    return told("condition", numbers > 0, failed)


def _indicated(name: str, reasons: tuple[str, ...]) -> Body:
    def body(view: View) -> list[Found]:
        here = procedure(view, name)
        if not here.any():
            return told("procedure", here, here)
        has, who = np.zeros(view.height("patient") + 1, dtype=bool), view.patient("condition")
        for one in reasons:
            has |= _who(view, "condition", condition(view, one))
        coded = np.zeros(len(has), dtype=bool)
        coded[who[who >= 0]] = True
        place = view.patient("procedure")
        return told("procedure", here & coded[place] & (place >= 0), here & ~has[place])

    return body


def _once(name: str) -> Body:
    def body(view: View) -> list[Found]:
        here = procedure(view, name) & (view.patient("procedure") >= 0) & (view.times("procedure", "start") >= 0)
        first = _earliest(view, "procedure", "start", here)
        return told(
            "procedure", here, here & (view.times("procedure", "start") > first[view.patient("procedure")] + 2 * DAY)
        )

    return body


def _gone(name: str, after: str, days: int) -> Body:
    def body(view: View) -> list[Found]:
        here = condition(view, after) & (view.patient("condition") >= 0)
        first = _earliest(view, "procedure", "start", procedure(view, name))
        return told(
            "condition", here, here & (view.times("condition", "onset") > first[view.patient("condition")] + days * DAY)
        )

    return body


def _untreated(name: str) -> Body:
    """Broken where a cancer has neither operation, drug, radiation nor surveillance within the patient's record of a year."""

    def body(view: View) -> list[Found]:
        here = condition(view, name) & (view.patient("condition") >= 0)
        treated = _who(view, "procedure", procedure(view, "cancer_treatment") | procedure(view, "biopsy"))
        if view.has("medication.display"):
            treated |= _who(view, "medication", drug(view, "chemo") | drug(view, "tamoxifen") | drug(view, "her2"))
        last = np.zeros(view.height("patient") + 1, dtype=np.int64)
        who, seen = view.patient("encounter").astype(np.int64), view.times("encounter", "start")
        np.maximum.at(last, who[who >= 0], seen[who >= 0])
        place = view.patient("condition")
        followed = here & (last[place] - view.times("condition", "onset") > YEAR)
        return told("condition", followed, followed & ~treated[place])

    return body


def _no_biopsy(view: View) -> list[Found]:
    here = condition(view, "cancer_solid") & (view.patient("condition") >= 0)
    looked = _who(view, "procedure", procedure(view, "biopsy") | procedure(view, "cancer_treatment"))
    if view.has("report.text"):
        words = view.coded("report", "display").where(
            lambda text: any(word in text.casefold() for word in ("patholog", "biops", "cytolog"))
        )
        looked |= _who(view, "report", words)
    procedures = _who(view, "procedure", np.ones(view.height("procedure"), dtype=bool))
    place = view.patient("condition")
    known = here & procedures[place]
    return told("condition", known, known & ~looked[place])


def _deliveries(view: View) -> list[Found]:
    """Two deliveries of one woman between three days and 150 days apart."""
    here = condition(view, "delivery") & (view.patient("condition") >= 0) & (view.times("condition", "onset") >= 0)
    keys = view.keyed("condition", view.times("condition", "onset"))
    rows = np.flatnonzero(here)
    order = rows[np.argsort(keys[rows], kind="stable")]
    gap = np.diff(keys[order])
    close = (keys[order][1:] >> 34 == keys[order][:-1] >> 34) & (gap > 3 * DAY) & (gap < 150 * DAY)
    failed = np.zeros(len(here), dtype=bool)
    failed[order[1:][close]] = True
    return told("condition", here, failed)


def _long_pregnancy(view: View) -> list[Found]:
    here = condition(view, "full_pregnancy")
    onset, end = view.times("condition", "onset"), view.times("condition", "abatement")
    known = here & (onset >= 0) & (end >= onset)
    return told("condition", known, known & (end - onset > 320 * DAY))


def _same_active(view: View) -> list[Found]:
    """A chronic condition that begins again while it is still on the list: codes of more than a year without an end."""
    name = "code" if view.has("condition.code") else "snomed_code"
    codes = view.coded("condition", name).at.astype(np.int64)
    who, onset, end = (
        view.patient("condition").astype(np.int64),
        view.times("condition", "onset"),
        view.times("condition", "abatement"),
    )
    open_ = np.where(end >= 0, end, EVER - 1)
    good = (who >= 0) & (codes >= 0) & (onset >= 0)
    rows = np.flatnonzero(good)
    order = rows[np.lexsort((onset[rows], codes[rows], who[rows]))]
    same = (who[order][1:] == who[order][:-1]) & (codes[order][1:] == codes[order][:-1])
    running = same & (open_[order][:-1] > onset[order][1:] + DAY) & (onset[order][1:] > onset[order][:-1])
    failed = np.zeros(len(good), dtype=bool)
    failed[order[1:][running]] = True
    return told("condition", good, failed)


def _statement(id_: str, title_: str, severity: str, needs: str, why: str, source: str, body: Body) -> Statement:
    return Statement(id=id_, title=title_, severity=severity, needs=needs, why=why, source=source, body=body)


def _rules() -> Iterator[Statement]:
    for key, name, causes, severity, why, source in CAUSES:
        words = " or ".join(title("conditions", one) for one in causes)
        yield _statement(
            f"cause.{key}",
            f"{_cap(title('conditions', name))} without {words}",
            severity,
            DIAGNOSES,
            why,
            source,
            _cause(name, causes),
        )
    for key, one, other, severity, why, source in EXCLUDES:
        body = _both_thyroids if key == "thyroid" else _excluded(one, other)
        yield _statement(
            f"excludes.{key}",
            f"{_cap(title('conditions', one))} and {title('conditions', other)}",
            severity,
            DIAGNOSES,
            why,
            source,
            body,
        )
    labs = "observation.code observation.value observation.unit observation.time"
    for name, low, high, span in CKD:
        yield _statement(
            f"stage.{name.replace('ckd_stage', 'ckd')}",
            f"{title('conditions', name)} with an eGFR far outside {span}",
            WARNING,
            f"{DIAGNOSES} {labs}",
            "The stage is read off the eGFR; a third is left on either side for change and for noise.",
            "KDIGO CKD Guideline 2024, Kidney Int 2024;105(4S): GFR categories",
            _stage(name, low, high),
        )
    yield _statement(
        "stage.ckd.back",
        "Stage of chronic kidney disease that begins after a higher one",
        WARNING,
        DIAGNOSES,
        "Chronic kidney disease does not heal; a transplant, or a stage that was set in an acute illness, is a false alarm.",
        "KDIGO CKD Guideline 2024, Kidney Int 2024;105(4S)",
        _stages_back,
    )
    for key, name, reasons, why, source in INDICATIONS:
        yield _statement(
            f"indication.{key}",
            f"{_cap(title('procedures', name))} without a diagnosis that calls for it",
            WARNING,
            f"{DONE} condition.code|condition.snomed_code condition.patient_id",
            f"{why} Records that list few diagnoses are a false alarm.",
            source,
            _indicated(name, reasons),
        )
    for name, severity, why in ONCE:
        yield _statement(
            f"once.{name}", f"{_cap(title('procedures', name))} twice", severity, DONE, why, "By anatomy.", _once(name)
        )
    for key, name, after, days, severity, why, source in GONE:
        yield _statement(
            f"gone.{key}",
            f"{_cap(title('conditions', after))} after {title('procedures', name)}",
            severity,
            f"{DIAGNOSES} {DONE}",
            why,
            source,
            _gone(name, after, days),
        )
    for name in CANCERS:
        yield _statement(
            f"cancer.untreated.{name.split('_')[0]}",
            f"{_cap(title('conditions', name))} for a year without treatment",
            WARNING,
            f"{DIAGNOSES} {DONE} encounter.start encounter.patient_id",
            "Cancer is treated, watched, or its patient comforted, and each leaves an entry.",
            "NCI, Cancer Treatment and Survivorship 2022, CA Cancer J Clin 2022;72:409, doi:10.3322/caac.21731",
            _untreated(name),
        )
    yield _statement(
        "cancer.pathology",
        "Solid cancer without biopsy or operation",
        WARNING,
        f"{DIAGNOSES} {DONE}",
        "Cancer is diagnosed under the microscope. Records without procedures of the patient are not judged.",
        "College of American Pathologists, Cancer Protocols 2024; Surveillance Research Program, SEER: over 90 % microscopically confirmed",
        _no_biopsy,
    )
    yield _statement(
        "birth.deliveries",
        "Two deliveries within 150 days",
        WARNING,
        DIAGNOSES,
        "Between two births lies a pregnancy; a second twin comes within days.",
        "Jukic AM et al., Hum Reprod 2013;28:2848, doi:10.1093/humrep/det297",
        _deliveries,
    )
    yield _statement(
        "birth.long",
        "Pregnancy of more than 320 days",
        WARNING,
        f"{DIAGNOSES} condition.abatement",
        "Pregnancies end by 42 weeks from the last period, 294 days.",
        "Jukic AM et al., Hum Reprod 2013;28:2848, doi:10.1093/humrep/det297",
        _long_pregnancy,
    )
    yield _statement(
        "twice.active",
        "Condition that begins again while it runs",
        WARNING,
        f"{DIAGNOSES} condition.abatement",
        "A running condition stands on the list once; encounter diagnoses repeat it.",
        "HL7 US Core 7.0 (2024), Condition Problems and Health Concerns",
        _same_active,
    )


def _cap(text: str) -> str:
    return text[0].upper() + text[1:]


RULES = tuple(_rules())
