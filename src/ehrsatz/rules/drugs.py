# ruff: noqa: E501 - tables of words
"""Drugs: doses, diseases and ages that speak against them, drugs that do not go together, treatment without a reason."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from ehrsatz.rules.analytes import moments
from ehrsatz.rules.concepts import condition, drug, drugs, reason, table, title
from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Spans, Statement, told
from ehrsatz.rules.view import DAY, EVER, View, Whole

DRUG = "medication.display medication.start medication.patient_id patient.patient_id"
DISEASE = f"{DRUG} condition.code|condition.snomed_code condition.onset condition.patient_id"
LABEL = "FDA label, https://dailymed.nlm.nih.gov: "
# id, drugs, conditions, severity, why, source
AGAINST = (
    ("nsaid.ckd", "nsaid", "ckd45", WARNING, "NSAIDs take the failing kidney its flow.", "KDIGO CKD Guideline 2024, Kidney Int 2024;105(4S), chapter 4"),
    ("metformin.ckd", "metformin", "ckd5", WARNING, "Contraindicated under an eGFR of 30.", LABEL + "metformin (2023), contraindications"),
    ("nitrofurantoin.ckd", "nitrofurantoin", "ckd5", WARNING, "It does not reach the urine of a failing kidney.", LABEL + "nitrofurantoin (2023), contraindications"),
    ("beta.asthma", "nonselective", "severe_asthma", WARNING, "Beta-2 blockade closes the airways.", "GINA Report 2024, https://ginasthma.org; " + LABEL + "propranolol (2023), contraindications"),
    ("nsaid.heart", "nsaid", "hf_reduced", WARNING, "They hold salt and water.", "Heidenreich PA et al., 2022 AHA/ACC/HFSA heart failure guideline, Circulation 2022;145:e895, doi:10.1161/CIR.0000000000001063"),
    ("calcium.heart", "calcium_rate", "hf_reduced", WARNING, "They weaken a weak heart.", "Heidenreich PA et al. 2022, doi:10.1161/CIR.0000000000001063"),
    ("beta.block", "beta_blocker", "heart_block", WARNING, "They slow a conduction that is failing; with a pacemaker it is a false alarm.", LABEL + "metoprolol (2023), contraindications"),
    ("nsaid.bleeding", "nsaid", "bleeding", WARNING, "They open the bleeding.", LABEL + "naproxen (2021), warnings"),
    ("thrombolytic.bleeding", "thrombolytic", "bleeding", WARNING, "Contraindicated with bleeding; a stroke that bled after it is a false alarm.", LABEL + "alteplase (2022), contraindications"),
    ("prasugrel.stroke", "prasugrel", "stroke_cause", WARNING, "Contraindicated after stroke.", LABEL + "prasugrel (2022), contraindications"),
    ("triptan.coronary", "triptan", "coronary", WARNING, "They narrow coronary arteries.", LABEL + "sumatriptan (2023), contraindications"),
    ("ace.angioedema", "ace", "angioedema", WARNING, "They bring it back.", LABEL + "lisinopril (2023), contraindications"),
    ("quinolone.myasthenia", "fluoroquinolone", "gbs", WARNING, "A boxed warning: weakness gets worse.", LABEL + "levofloxacin (2023), boxed warning"),
    ("metoclopramide.parkinson", "metoclopramide", "parkinson", WARNING, "It blocks the dopamine that is lacking.", "American Geriatrics Society 2023 Beers Criteria, J Am Geriatr Soc 2023;71:2052, doi:10.1111/jgs.18372"),
    ("antipsychotic.parkinson", "clozapine", "parkinson", WARNING, "Most block the dopamine that is lacking; quetiapine and clozapine are false alarms.", "American Geriatrics Society 2023 Beers Criteria, doi:10.1111/jgs.18372"),
    ("antihistamine.dementia", "antihistamine", "dementia", WARNING, "Anticholinergics cloud the mind.", "American Geriatrics Society 2023 Beers Criteria, doi:10.1111/jgs.18372"),
    ("benzodiazepine.dementia", "benzodiazepine", "dementia", WARNING, "They cloud the mind and lead to falls.", "American Geriatrics Society 2023 Beers Criteria, doi:10.1111/jgs.18372"),
    ("metformin.liver", "metformin", "hepatic_failure", WARNING, "Lactate is not cleared.", LABEL + "metformin (2023), warnings"),
    ("methotrexate.ckd", "methotrexate", "ckd5", WARNING, "It is cleared by the kidney and poisons the marrow.", LABEL + "methotrexate (2020), warnings"),
    ("dabigatran.ckd", "dabigatran", "ckd5", WARNING, "It is cleared by the kidney; under 15 mL/min no dose is known.", LABEL + "dabigatran (2023), dosage"),
    ("sglt2.type1", "sglt2", "type1", WARNING, "Ketoacidosis without high sugar.", LABEL + "canagliflozin (2023), indications: not for type 1 diabetes"),
    ("sulfonylurea.type1", "sulfonylurea", "type1", WARNING, "There is no cell left to stimulate.", LABEL + "glipizide (2023), contraindications"),
)  # fmt: skip
PREGNANT = (
    ("ace", "ace", "fetal kidneys fail", LABEL + "lisinopril (2023), boxed warning: fetal toxicity"),
    ("arb", "arb", "fetal kidneys fail", LABEL + "losartan (2021), boxed warning: fetal toxicity"),
    ("statin", "statin", "cholesterol is needed for growth; the warning was softened in 2021", "FDA Drug Safety Communication of 2021-07-20 on statins in pregnancy"),
    ("warfarin", "warfarin", "embryopathy and bleeding", LABEL + "warfarin (2022), contraindications; mechanical valves are a false alarm"),
    ("methotrexate", "methotrexate", "abortion and malformation; an ectopic pregnancy is treated with it: a false alarm", LABEL + "methotrexate (2020), contraindications"),
    ("isotretinoin", "isotretinoin", "severe malformation", LABEL + "isotretinoin (2023), boxed warning"),
    ("valproate", "valproate", "neural tube defects", LABEL + "valproate (2023), boxed warning"),
    ("tetracycline", "tetracycline", "bones and teeth", LABEL + "doxycycline (2023), warnings"),
    ("misoprostol", "misoprostol", "abortion; induction of labour is a false alarm", LABEL + "misoprostol (2018), boxed warning"),
    ("finasteride", "finasteride", "malformation of male genitals", LABEL + "finasteride (2021), contraindications"),
    ("contraceptive", "contraceptive", "there is nothing to prevent; the first weeks are a false alarm", LABEL + "levonorgestrel and ethinyl estradiol (2022), contraindications"),
    ("tamoxifen", "tamoxifen", "malformation", LABEL + "tamoxifen (2019), warnings"),
    ("fluoroquinolone", "fluoroquinolone", "cartilage; others are at hand", "ACOG Committee Opinion 717 (2017): antibiotics in pregnancy"),
)  # fmt: skip
# id, two sets that are active together, severity, why, source
WITH = (
    ("nitrate.pde5", "nitrate", "pde5", WARNING, "Pressure falls to shock.", LABEL + "sildenafil (2023), contraindications"),
    ("ace.arb", "ace", "arb", WARNING, "Two blocks of one chain harm the kidney and raise potassium; a change of drug within the overlap is a false alarm.", "ONTARGET, N Engl J Med 2008;358:1547, doi:10.1056/NEJMoa0801317"),
    ("ace.sacubitril", "ace", "sacubitril", WARNING, "Angioedema; 36 hours must lie between.", LABEL + "sacubitril and valsartan (2024), contraindications"),
    ("opioid.benzodiazepine", "opioid", "benzodiazepine", WARNING, "Breathing stops; a boxed warning. Anaesthesia and palliative care are false alarms.", "Dowell D et al., CDC opioid guideline, MMWR Recomm Rep 2022;71(3):1, doi:10.15585/mmwr.rr7103a1"),
    ("ssri.maoi", "ssri", "maoi", WARNING, "Serotonin syndrome.", LABEL + "sertraline (2023), contraindications"),
    ("warfarin.nsaid", "warfarin", "nsaid", WARNING, "Bleeding doubles.", "Holbrook A et al., Chest 2012;141(2 Suppl):e152S, doi:10.1378/chest.11-2295"),
    ("warfarin.doac", "warfarin", "doac", WARNING, "Two anticoagulants; the days of a change are a false alarm.", LABEL + "rivaroxaban (2023), switching"),
    ("simvastatin.macrolide", "simvastatin", "macrolide", WARNING, "Muscle breaks down.", LABEL + "simvastatin (2023), contraindications"),
    ("colchicine.macrolide", "colchicine", "macrolide", WARNING, "Colchicine poisons.", LABEL + "colchicine (2023), dose adjustment"),
    ("methotrexate.trimethoprim", "methotrexate", "trimethoprim", WARNING, "Both block folate; the marrow fails.", LABEL + "methotrexate (2020), interactions"),
    ("allopurinol.azathioprine", "allopurinol", "azathioprine", WARNING, "Azathioprine is no longer broken down.", LABEL + "azathioprine (2018), interactions"),
    ("beta.calcium", "beta_blocker", "calcium_rate", WARNING, "The heart stands still.", LABEL + "verapamil (2023), warnings"),
    ("spironolactone.potassium", "potassium_sparing", "potassium_chloride", WARNING, "Potassium rises.", LABEL + "spironolactone (2022), interactions"),
    ("lithium.thiazide", "lithium", "thiazide", WARNING, "Lithium is held back.", LABEL + "lithium (2022), interactions"),
    ("lithium.ace", "lithium", "ace", WARNING, "Lithium is held back.", LABEL + "lithium (2022), interactions"),
    ("digoxin.amiodarone", "digoxin", "amiodarone", WARNING, "Digoxin doubles.", LABEL + "digoxin (2022), interactions"),
    ("antiretroviral.simvastatin", "antiretroviral", "simvastatin", WARNING, "With a protease inhibitor muscle breaks down; without one it is a false alarm.", LABEL + "simvastatin (2023), contraindications"),
)  # fmt: skip
TWICE = ("statin", "ace", "arb", "nsaid", "ssri_only", "beta_blocker", "ppi", "anticoagulant", "sulfonylurea", "benzodiazepine", "bisphosphonate_oral", "inhaled_steroid")  # fmt: skip
# id, drugs, conditions or procedures that call for them, why, source
REASONS = (
    ("insulin", "insulin", ("diabetes", "kidney_failure", "sepsis", "pancreatitis_chronic"), "Insulin treats diabetes; high sugar or potassium of the acutely ill is a false alarm.", "ADA Standards of Care in Diabetes 2024, section 9"),
    ("metformin", "metformin", ("diabetes", "prediabetes"), "It treats diabetes and prediabetes; polycystic ovaries are a false alarm.", "ADA Standards of Care in Diabetes 2024, sections 3 and 9"),
    ("sulfonylurea", "sulfonylurea", ("diabetes",), "It treats diabetes alone.", "ADA Standards of Care in Diabetes 2024, section 9"),
    ("levothyroxine", "levothyroxine", ("hypothyroid",), "It replaces the thyroid.", "Jonklaas J et al., Thyroid 2014;24:1670, doi:10.1089/thy.2014.0028"),
    ("thionamide", "thionamide", ("hyperthyroid", "hypothyroid"), "It treats an overactive thyroid.", "Ross DS et al., Thyroid 2016;26:1343, doi:10.1089/thy.2016.0229"),
    ("allopurinol", "allopurinol", ("gout", "cancer"), "It lowers urate; tumour lysis is treated too.", "FitzGerald JD et al., 2020 ACR gout guideline, doi:10.1002/acr.24180"),
    ("donepezil", "donepezil", ("dementia", "parkinson"), "Labelled for dementia alone.", LABEL + "donepezil (2022), indications"),
    ("levodopa", "levodopa", ("parkinson_like",), "It replaces dopamine.", LABEL + "carbidopa and levodopa (2022), indications"),
    ("antiretroviral", "antiretroviral", ("hiv", "liver_disease"), "It treats HIV; prevention before or after contact is a false alarm.", "DHHS Adult and Adolescent ARV Guidelines 2024, https://clinicalinfo.hiv.gov"),
    ("mat", "mat", ("opioid_use", "alcohol_opioid"), "It treats dependence; pain is treated with other forms.", LABEL + "buprenorphine and naloxone (2023), indications"),
    ("tamoxifen", "tamoxifen", ("breast_cancer",), "It treats or prevents breast cancer.", LABEL + "tamoxifen (2019), indications"),
    ("her2", "her2", ("breast_cancer", "cancer"), "It treats breast and stomach cancer.", LABEL + "trastuzumab (2024), indications"),
    ("cytotoxic", "chemo", ("cancer", "autoimmune_or_cancer", "organ_or_autoimmune"), "It kills dividing cells.", LABEL + "doxorubicin, carboplatin, oxaliplatin (2020 to 2024), indications"),
    ("bisphosphonate", "bisphosphonate", ("osteoporosis", "cancer"), "It holds bone; Paget's disease and steroids are false alarms.", "LeBoff MS et al., Osteoporos Int 2022;33:2049, doi:10.1007/s00198-021-05900-y"),
    ("transplant", "calcineurin", ("organ_or_autoimmune", "transplant"), "It keeps a transplant.", LABEL + "tacrolimus (2023), indications"),
    ("digoxin", "digoxin", ("heart_failure", "af", "heart_rhythm"), "It slows the heart and strengthens it.", LABEL + "digoxin (2022), indications"),
    ("anticoagulant", "anticoagulant", ("venous",), "It prevents clots.", "Witt DM et al., ASH 2018 guideline, Blood Adv 2018;2:3257, doi:10.1182/bloodadvances.2018024893"),
    ("lithium", "lithium", ("bipolar",), "It treats bipolar disorder.", LABEL + "lithium (2022), indications"),
    ("dornase", "dornase", ("pancreatitis_chronic",), "It treats cystic fibrosis alone.", LABEL + "dornase alfa (2021), indications"),
    ("bronchodilator", "laba", ("obstructive_lung",), "It opens airways.", "GINA Report 2024; GOLD Report 2024"),
    ("epoetin", "epoetin", ("ckd", "kidney_failure", "cancer", "hiv"), "It treats the anaemia of kidney failure and of chemotherapy.", LABEL + "epoetin alfa (2024), indications"),
    ("triptan", "triptan", ("migraine",), "It treats migraine alone.", LABEL + "sumatriptan (2023), indications"),
    ("pde5", "pde5", ("pulmonary_hypertension",), "Erectile dysfunction, prostate or lung vessels; many order it without a diagnosis.", LABEL + "sildenafil (2023), indications"),
    ("prostate", "finasteride", ("prostate_enlarged", "male_disease"), "It treats the enlarged prostate; hair loss is a false alarm.", LABEL + "finasteride (2021), indications"),
)  # fmt: skip
# id, drugs, youngest or oldest age, severity, why, source
AGES = (
    ("aspirin", "aspirin", 16, None, WARNING, "Reye's syndrome; Kawasaki disease and heart surgery are false alarms.", "CDC, Surgeon General's advisory on salicylates and Reye syndrome, MMWR 1982;31:289; UK CHM 2002: under 16"),
    ("tetracycline", "tetracycline", 8, None, WARNING, "Teeth are stained; short courses of doxycycline are accepted now.", LABEL + "doxycycline (2023), warnings"),
    ("fluoroquinolone", "fluoroquinolone", 1, None, WARNING, "Labelled in children for single infections only.", LABEL + "ciprofloxacin (2023), paediatric use"),
    ("codeine", "codeine", 12, None, WARNING, "Ultra-rapid metabolism has killed children.", "FDA Drug Safety Communication of 2017-04-20 on codeine and tramadol"),
    ("promethazine", "promethazine", 2, None, WARNING, "Breathing stops; a boxed warning.", LABEL + "promethazine (2023), boxed warning"),
    ("isotretinoin", "isotretinoin", 12, None, WARNING, "Labelled from 12.", LABEL + "isotretinoin (2023), paediatric use"),
    ("statin", "statin", 7, None, WARNING, "Labelled from 7 to 10 for inherited disease.", LABEL + "rosuvastatin (2023), paediatric use"),
    ("nsaid", "nsaid", 0.25, None, WARNING, "Not under three months; a duct that stays open is treated with it.", "NICE CKS, NSAIDs: prescribing issues (2023); BNFC 2023: ibuprofen from 3 months"),
    ("finasteride", "finasteride", 18, None, WARNING, "For adult men.", LABEL + "finasteride (2021), paediatric use"),
    ("donepezil", "donepezil", 30, None, WARNING, "Dementia is a disease of age.", LABEL + "donepezil (2022), paediatric use"),
    ("pde5", "pde5", 1, None, WARNING, "For adults; lung vessels of infants are a false alarm.", LABEL + "sildenafil (2023), paediatric use"),
    ("stimulant", "methylphenidate", 3, None, WARNING, "Labelled from 6; guidelines from 4.", LABEL + "methylphenidate (2023), paediatric use"),
    ("contraceptive.child", "contraceptive", 9, None, WARNING, "Before puberty there is nothing to prevent.", LABEL + "levonorgestrel and ethinyl estradiol (2022), paediatric use"),
    ("contraceptive.old", "oestrogen", None, 60, WARNING, "After the menopause there is nothing to prevent, and clots come easily; hormone therapy is a false alarm.", "CDC, US Medical Eligibility Criteria for Contraceptive Use 2024, MMWR Recomm Rep 2024;73(4):1"),
    ("bisphosphonate", "bisphosphonate_oral", 18, None, WARNING, "For adults.", LABEL + "alendronate (2023), paediatric use"),
)  # fmt: skip
# id, set of drugs, set of the allergy, severity, why
ALLERGIES = (
    ("penicillin", "penicillin", "penicillin"), ("cephalosporin", "cephalosporin", "cephalosporin"), ("sulfonamide", "sulfonamide", "sulfonamide"),
    ("aspirin", "aspirin", "aspirin"), ("nsaid", "nsaid", "nsaid"), ("ace", "ace", "ace"), ("opioid", "opioid", "opioid"),
    ("statin", "statin", "statin"), ("fluoroquinolone", "fluoroquinolone", "fluoroquinolone"), ("tetracycline", "tetracycline", "tetracycline"),
    ("insulin", "insulin", "insulin"), ("acetaminophen", "acetaminophen", "acetaminophen"),
)  # fmt: skip


def _times(view: View) -> tuple[Whole, Whole, Whole]:
    """Patients, starts and ends of all medications; one without an end runs for 90 days where completed, else on."""
    start = view.times("medication", "start")
    stop = view.times("medication", "stop")
    return (
        view.patient("medication").astype(np.int64),
        start,
        np.where(stop >= start, stop, np.where(stop >= 0, start, EVER)),
    )


def _onsets(view: View) -> tuple[Whole, Whole, Whole]:
    start, stop = view.times("condition", "onset"), view.times("condition", "abatement")
    return view.patient("condition").astype(np.int64), start, np.where(stop >= start, stop, EVER)


def _first(view: View, patients: Whole, times: Whole) -> Whole:
    """Return the first of these times of each patient, `EVER` where there is none."""
    out = np.full(view.height("patient") + 1, EVER, dtype=np.int64)
    good = (patients >= 0) & (times >= 0)
    np.minimum.at(out, patients[good], times[good])
    out[-1] = EVER
    return out


def _against(name: str, disease: str) -> Body:
    """Broken where a drug is begun in the course of a condition."""

    def body(view: View) -> list[Found]:
        here = drug(view, name)
        if not here.any():
            return told("medication", here, here)
        who, start, _ = _times(view)
        patients, onset, end = _onsets(view)
        ill = condition(view, disease)
        spans = Spans(patients[ill], onset[ill], end[ill])
        return told("medication", here, here & (spans.meeting(who, start, start) > 0))

    return body


def _egfr_low(view: View) -> list[Found]:
    """Metformin begun within 180 days after an eGFR under 30 that was the last one."""
    here = drug(view, "metformin") & (view.patient("medication") >= 0) & (view.times("medication", "start") >= 0)
    last = moments(view, "egfr")
    keys = view.keyed("medication", view.times("medication", "start"))
    place = np.searchsorted(last.keys, keys, "right") - 1
    low = np.zeros(len(keys), dtype=bool)
    if len(last.keys):
        at = np.maximum(place, 0)
        same = (place >= 0) & (last.keys[at] >> 34 == keys >> 34) & (keys - last.keys[at] < 180 * DAY)
        low = same & (last.values[at] < 30)
    return told("medication", here, here & low)


def _pregnant(name: str) -> Body:
    """Broken where a drug is begun between the 14th day and the end of a recorded pregnancy with both ends."""

    def body(view: View) -> list[Found]:
        here = drug(view, name)
        if not here.any():
            return told("medication", here, here)
        who, start, _ = _times(view)
        patients, onset, _ = _onsets(view)
        end = view.times("condition", "abatement")
        ill = condition(view, "full_pregnancy") & (onset >= 0)
        end = np.where(end >= 0, np.minimum(end, onset + 300 * DAY), onset + 7 * DAY)
        spans = Spans(patients[ill], onset[ill] + DAY, np.maximum(end - DAY, onset + DAY)[ill])
        return told("medication", here, here & (spans.meeting(who, start, start) > 0))

    return body


def _with(one: str, other: str) -> Body:
    """Broken where a drug is begun while one of the other set has run for a week and runs on for one, or the reverse."""

    def body(view: View) -> list[Found]:
        first, second = drug(view, one), drug(view, other)
        if not (first.any() and second.any()):
            return told("medication", first | second, np.zeros_like(first))
        who, start, stop = _times(view)
        failed = np.zeros_like(first)
        for mine, theirs in ((first, second & ~first), (second, first & ~second)):
            spans = Spans(who[theirs], start[theirs], stop[theirs])
            failed |= mine & (spans.meeting(who, start, start) > 0) & ~theirs
        return told("medication", first | second, failed)

    return body


def _class_twice(name: str) -> Body:
    """Broken where a drug is begun while another ingredient of its class has run and runs on for more than 30 days."""

    def body(view: View) -> list[Found]:
        here = drug(view, name)
        if np.count_nonzero(here) < 2:
            return told("medication", here, np.zeros_like(here))
        words = table("concepts")["drugs"][name]["words"].split()
        display = view.coded("medication", "display")
        which = display.look_up(lambda text: float(_ingredient(text, words)), -1).astype(np.int64)
        who, start, stop = _times(view)
        failed = np.zeros_like(here)
        long = here & (stop - start > 30 * DAY)
        for ingredient in np.unique(which[here]):
            mine, theirs = here & (which == ingredient), long & (which != ingredient)
            if theirs.any():
                spans = Spans(who[theirs], start[theirs], stop[theirs] - 30 * DAY)
                failed |= mine & (spans.meeting(who, start, start) > 0) & (stop - start > 30 * DAY)
        return told("medication", here, failed)

    return body


def _ingredient(text: str, words: list[str]) -> int:
    lower = text.casefold()
    return next((i for i, word in enumerate(words) if word in lower), len(words))


def _no_reason(name: str, called_for: tuple[str, ...]) -> Body:
    """Broken where the patient never has a condition that calls for the drug, and the order names none."""

    def body(view: View) -> list[Found]:
        here = drug(view, name)
        if not here.any():
            return told("medication", here, here)
        has = np.zeros(view.height("patient") + 1, dtype=bool)
        who = view.patient("condition")
        stated = np.zeros_like(here)
        for one in called_for:
            has[who[condition(view, one) & (who >= 0)]] = True
            stated |= reason(view, "medication", one)
        has[-1] = True  # whose patient is unknown, that one is another rule's
        coded = np.append(np.bincount(who[who >= 0], minlength=len(has) - 1) > 0, True)  # has diagnoses at all
        place = view.patient("medication")
        return told("medication", here & coded[place], here & ~has[place] & ~stated)

    return body


def _too_young(name: str, low: float | None, high: float | None) -> Body:
    def body(view: View) -> list[Found]:
        here, ages = drug(view, name), view.ages("medication", "start")
        known = here & ~np.isnan(ages)
        wrong = np.zeros_like(known)
        if low is not None:
            wrong |= ages < low
        if high is not None:
            wrong |= ages > high
        return told("medication", known, known & wrong)

    return body


def _allergic(name: str, allergy: str) -> Body:
    """Broken where a drug is begun more than a day after an allergy to it was recorded."""

    def body(view: View) -> list[Found]:
        here = drug(view, name)
        if not here.any():
            return told("medication", here, here)
        display = view.coded("allergy", "display").where(lambda text: allergy in drugs(text))
        onset = view.times("allergy", "onset")
        first = _first(view, view.patient("allergy")[display].astype(np.int64), onset[display])
        who, start, _ = _times(view)
        return told("medication", here, here & (start >= 0) & (start > first[who] + DAY))

    return body


# ---------------------------------------------------------------------- doses
def _dose(name: str, times: float) -> Body:
    """Broken above so many times the highest daily dose of the label (of a single one where that is given)."""

    def body(view: View) -> list[Found]:
        entry = table("doses")["drugs"][name]
        here = view.coded("medication", "display").where(lambda text: name in dosed(text))
        if not here.any():
            return told("medication", here, here)
        dose = _milligrams(view, entry)
        per_day = view.numbers("medication", "per_day") if view.has("medication.per_day") else np.ones(len(dose))
        daily = dose * np.where(np.isnan(per_day), 1.0, np.maximum(per_day, 0.0))
        known = here & ~np.isnan(dose)
        return told("medication", known, known & (daily > times * entry["daily"] * (1 + 1e-9)))

    return body


@cache
def dosed(display: str) -> frozenset[str]:
    """Return the drugs with a limit of dose that a display names; a combination of ingredients is none of them."""
    text = display.casefold()
    if "/" in text.replace("mg/ml", ""):
        return frozenset()
    return frozenset(
        name for name, entry in table("doses")["drugs"].items() if any(word in text for word in entry["words"])
    )


def _milligrams(view: View, entry: dict[str, object]) -> np.ndarray:
    factors = {"mg": 1.0, "g": 1000.0, "ug": 0.001, "[iU]": 1.0, "U": 1.0, "[USP'U]": 1.0, "UNT": 1.0}
    unit = entry["unit"]
    units = view.coded("medication", "dose_unit")
    factor = units.look_up(
        lambda text: factors.get(text, np.nan) if (text in {"mg", "g", "ug"}) == (unit == "mg") else np.nan, np.nan
    )
    return view.numbers("medication", "dose") * factor


def _per_day(view: View) -> list[Found]:
    per_day = view.numbers("medication", "per_day")
    here = ~np.isnan(per_day)
    return told("medication", here, here & (per_day > 24))


def _no_dose(view: View) -> list[Found]:
    dose = view.numbers("medication", "dose")
    here = ~np.isnan(dose)
    return told("medication", here, here & (dose == 0))


def _negative_dose(view: View) -> list[Found]:
    dose = view.numbers("medication", "dose")
    here = ~np.isnan(dose)
    return told("medication", here, here & (dose < 0))


def _dose_unit(view: View) -> list[Found]:
    here = view.given("medication", "dose")
    return told("medication", here, here & ~view.given("medication", "dose_unit"))


def _refills(view: View) -> list[Found]:
    refills = view.numbers("medication", "refills")
    here = ~np.isnan(refills)
    return told("medication", here, here & (refills > 12))


def _quantity(view: View) -> list[Found]:
    """A quantity that lasts more than a year, or the known course not even for a tenth of it with all its refills."""
    quantity, per_day = view.numbers("medication", "quantity"), view.numbers("medication", "per_day")
    here = ~np.isnan(quantity) & (per_day > 0)
    return told("medication", here, here & (quantity / np.where(here, per_day, 1) > 400) & (quantity > 30))


def _controlled(view: View) -> list[Found]:
    """More than five refills of a benzodiazepine, or any of an opioid of schedule II."""
    refills = view.numbers("medication", "refills")
    display = view.coded("medication", "display")
    second = display.where(
        lambda text: any(
            word in text.casefold()
            for word in (
                "oxycodone",
                "morphine",
                "fentanyl",
                "hydromorphone",
                "hydrocodone",
                "methadone",
                "methylphenidate",
                "amphetamine",
            )
        )
    )
    fourth = drug(view, "benzodiazepine")
    here = (second | fourth) & ~np.isnan(refills)
    return told("medication", here, here & ((second & (refills > 0)) | (fourth & (refills > 5))))


def _route(words: tuple[str, ...], routes: tuple[str, ...]) -> Body:
    def body(view: View) -> list[Found]:
        display = view.coded("medication", "display").where(lambda text: any(word in text.casefold() for word in words))
        route = view.coded("medication", "route")
        here = display & (route.at >= 0)
        return told("medication", here, here & route.where(lambda text: text.casefold() in routes))

    return body


def _long(name: str, days: float) -> Body:
    def body(view: View) -> list[Found]:
        start, stop = view.times("medication", "start"), view.times("medication", "stop")
        here = drug(view, name) & (start >= 0) & (stop >= start)
        return told("medication", here, here & (stop - start > days * DAY))

    return body


def _rules() -> Iterator[Statement]:
    for key, name, ill, severity, why, source in AGAINST:
        yield Statement(id=f"drug.against.{key}", title=f"{_cap(title('drugs', name))} in {title('conditions', ill)}", severity=severity, needs=DISEASE, why=why, source=source, body=_against(name, ill))  # fmt: skip
    yield Statement(id="drug.against.metformin.egfr", title="Metformin begun with an eGFR under 30", severity=WARNING, needs=f"{DRUG} observation.code observation.value observation.unit observation.time", why="Contraindicated under 30 mL/min/1.73 m2.", source=LABEL + "metformin (2023), contraindications", body=_egfr_low)  # fmt: skip
    for key, name, why, source in PREGNANT:
        yield Statement(id=f"drug.pregnancy.{key}", title=f"{_cap(title('drugs', name))} begun in pregnancy", severity=WARNING, needs=f"{DISEASE} condition.abatement", why=f"{_cap(why)}.", source=source, body=_pregnant(name))  # fmt: skip
    for key, one, other, severity, why, source in WITH:
        yield Statement(id=f"drug.with.{key}", title=f"{_cap(title('drugs', one))} with {title('drugs', other)}", severity=severity, needs=DRUG, why=why, source=source, body=_with(one, other))  # fmt: skip
    for name in TWICE:
        yield Statement(id=f"drug.twice.{name}", title=f"Two drugs of one class for more than a month: {title('drugs', name)}", severity=WARNING, needs=f"{DRUG} medication.stop", why="A second drug of the class adds harm and no effect; one of the two was never stopped.", source="American Geriatrics Society 2023 Beers Criteria, doi:10.1111/jgs.18372; O'Mahony D et al., STOPP/START version 3, Eur Geriatr Med 2023;14:625, doi:10.1007/s41999-023-00777-y: duplicate drug class", body=_class_twice(name))  # fmt: skip
    for key, name, called_for, why, source in REASONS:
        yield Statement(id=f"drug.reason.{key}", title=f"{_cap(title('drugs', name))} without a diagnosis that calls for it", severity=WARNING, needs=f"{DRUG} condition.code|condition.snomed_code condition.patient_id", why=f"{why} Records that list few diagnoses are a false alarm.", source=source, body=_no_reason(name, called_for))  # fmt: skip
    for key, name, low, high, severity, why, source in AGES:
        limit = f"under {low:g} years" if low is not None else f"over {high:g} years"
        yield Statement(id=f"drug.age.{key}", title=f"{_cap(title('drugs', name))} {limit}", severity=severity, needs=f"{DRUG} patient.birth_date", why=why, source=source, body=_too_young(name, low, high))  # fmt: skip
    for key, name, allergy in ALLERGIES:
        yield Statement(id=f"drug.allergy.{key}", title=f"{_cap(title('drugs', name))} after an allergy to it was recorded", severity=WARNING, needs=f"{DRUG} allergy.display allergy.onset allergy.patient_id", why="The system should have stopped it; desensitisation and allergies that were ruled out are false alarms.", source="Joint Commission, Medication Management MM.01.01.01 (2024): allergies are known before a drug is given", body=_allergic(name, allergy))  # fmt: skip
    doses = table("doses")
    for name, entry in doses["drugs"].items():
        yield Statement(id=f"dose.{name}", title=f"{_cap(entry['title'])}: more than {entry['daily']:g} {'mg' if entry['unit'] == 'mg' else 'units'} a day", severity=WARNING, needs="medication.display medication.dose medication.dose_unit", why="Above the highest daily dose of the label; palliative care and specialists go beyond it.", source=f"{LABEL}{entry['title']} ({entry['year']}), dosage", body=_dose(name, 1.0))  # fmt: skip
        yield Statement(id=f"dose.{name}.tenfold", title=f"{_cap(entry['title'])}: more than ten times the highest daily dose", severity=ERROR, needs="medication.display medication.dose medication.dose_unit", why="A shifted point or a wrong unit; opioids and insulin have no ceiling and are not among these rules.", source="Lesar TS, Tenfold medication dose prescribing errors, Ann Pharmacother 2002;36:1833, doi:10.1345/aph.1C032", body=_dose(name, 10.0))  # fmt: skip
    yield Statement(id="dose.zero", title="Dose of nothing", severity=WARNING, needs="medication.dose", why="A drug that is given has a dose; hospitals write 0 where a sliding scale or a pump decides.", source="By definition", body=_no_dose)  # fmt: skip
    yield Statement(id="dose.negative", title="Dose below nothing", severity=ERROR, needs="medication.dose", why="Nothing can be taken back out.", source="By definition", body=_negative_dose)  # fmt: skip
    yield Statement(id="dose.unit", title="Dose without its unit", severity=WARNING, needs="medication.dose medication.dose_unit", why="5 is a dose in mg and another in mL.", source="ISMP, Guidelines for Safe Electronic Communication of Medication Information 2019", body=_dose_unit)  # fmt: skip
    yield Statement(id="dose.often", title="More than 24 doses a day", severity=WARNING, needs="medication.per_day", why="More than one an hour is an infusion.", source="assumed: no drug is labelled for more", body=_per_day)  # fmt: skip
    yield Statement(id="supply.refills", title="More than 12 refills", severity=WARNING, needs="medication.refills", why="State laws end a prescription after 12 months, of one month each.", source="assumed: the commonest state rule, one year (National Association of Boards of Pharmacy, Survey of Pharmacy Law 2024)", body=_refills)  # fmt: skip
    yield Statement(id="supply.quantity", title="Quantity for more than 400 days", severity=WARNING, needs="medication.quantity medication.per_day", why="Insurers pay for 90 days, the law for a year.", source="assumed: limits of supply, 42 CFR 423.154 and state laws (2024)", body=_quantity)  # fmt: skip
    yield Statement(id="supply.controlled", title="Refills that the law does not allow", severity=WARNING, needs="medication.refills medication.display", why="None in schedule II, five in schedules III and IV. Data from elsewhere are a false alarm.", source="21 CFR 1306.12 and 1306.22 (2024)", body=_controlled)  # fmt: skip
    for key, words, routes, what, source in (
        ("insulin", ("insulin",), ("oral", "po"), "Insulin by mouth", LABEL + "insulin lispro (2023), administration"),
        ("heparin", ("heparin", "enoxaparin"), ("oral", "po", "intramuscular", "im"), "Heparin by mouth or into the muscle", LABEL + "heparin (2022), administration"),
        ("metformin", ("metformin",), ("intravenous", "iv", "subcutaneous", "sc", "intramuscular", "im"), "Metformin by needle", LABEL + "metformin (2023), dosage forms"),
        ("vincristine", ("paclitaxel", "oxaliplatin", "carboplatin", "doxorubicin", "cisplatin"), ("oral", "po", "subcutaneous", "sc", "intramuscular", "im"), "Infused cytotoxic drug by another route", LABEL + "doxorubicin (2020), administration"),
        ("tablet", ("oral tablet", "oral capsule"), ("intravenous", "iv", "intramuscular", "im", "subcutaneous", "sc", "inhalation"), "Tablet or capsule by needle or inhaled", "NLM, RxNorm dose forms 2024"),
        ("inhaler", ("metered dose inhaler", "dry powder inhaler", "inhalation solution"), ("oral", "po", "intravenous", "iv"), "Inhaler swallowed or injected", "NLM, RxNorm dose forms 2024"),
    ):  # fmt: skip
        yield Statement(id=f"route.{key}", title=what, severity=WARNING, needs="medication.display medication.route", why="The form does not fit the route.", source=source, body=_route(words, routes))  # fmt: skip
    for name, days, why, source in (
        ("fluoroquinolone", 120, "Courses last for days to weeks; bone and prostate for months.", LABEL + "ciprofloxacin (2023), dosage"),
        ("cephalosporin", 120, "Courses last for days to weeks.", LABEL + "cephalexin (2023), dosage"),
        ("thrombolytic", 3, "Given once, within hours.", LABEL + "alteplase (2022), dosage"),
        ("triptan", 3650, "Given for single attacks; a list entry that was never ended.", LABEL + "sumatriptan (2023), dosage"),
    ):  # fmt: skip
        yield Statement(id=f"course.{name}", title=f"{_cap(title('drugs', name))} for more than {days} days", severity=WARNING, needs="medication.display medication.start medication.stop", why=why, source=source, body=_long(name, days))  # fmt: skip


def _cap(text: str) -> str:
    return text[0].upper() + text[1:]


RULES = tuple(_rules())
