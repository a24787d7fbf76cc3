# ruff: noqa: E501 - tables of cases
"""Cases of the rules of drugs, diseases and vaccines."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ehrsatz.rules import diseases, drugs, vaccines
from ehrsatz.rules.concepts import table
from rules.bodycases import at, code_of, step_of, word_of
from rules.cases import case, did, ill, seen, took, visit

UNRELATED = ill("Z00.00")


# ---------------------------------------------------------------------- drugs
for key, name, disease, *_ in drugs.AGAINST:
    sick = ill(code_of(disease), "2010-06-01", abatement="2010-06-30")
    case(f"drug.against.{key}", {"condition": [sick], "medication": [took(word_of(name), "2010-07-01")]}, {"condition": [sick], "medication": [took(word_of(name), "2010-06-30")]})  # fmt: skip
low = [seen("98979-8", 29, "mL/min/{1.73_m2}", "2010-05-01")]
fine = [seen("98979-8", 30, "mL/min/{1.73_m2}", "2010-05-01")]
case("drug.against.metformin.egfr", {"observation": fine, "medication": [took(word_of("metformin"))]}, {"observation": low, "medication": [took(word_of("metformin"))]})  # fmt: skip
carrying = ill("Z34.90", "2010-03-01", abatement="2010-11-01")
for key, name, *_ in drugs.PREGNANT:
    case(f"drug.pregnancy.{key}", {"condition": [carrying], "medication": [took(word_of(name), "2010-11-02")]}, {"condition": [carrying], "medication": [took(word_of(name), "2010-10-31")]})  # fmt: skip
for key, one, other, *_ in drugs.WITH:
    first = took(word_of(one), "2010-06-01", "2010-06-30")
    case(f"drug.with.{key}", {"medication": [first, took(word_of(other), "2010-07-01")]}, {"medication": [first, took(word_of(other), "2010-06-30")]})  # fmt: skip
for name in drugs.TWICE:
    one, two = table("concepts")["drugs"][name]["words"].split()[:2]
    if name == "anticoagulant":
        two = "apixaban"
    first, second = (
        took(f"{word} 10 MG Oral Tablet", start, stop)
        for word, start, stop in ((one, "2010-01-01", "2010-06-30"), (two, "2010-06-01", "2010-12-31"))
    )
    case(
        f"drug.twice.{name}",
        {"medication": [first, second]},
        {"medication": [first, {**second, "start": "2010-05-30"}]},
    )
for key, name, called_for, *_ in drugs.REASONS:
    case(f"drug.reason.{key}", {"condition": [ill(code_of(called_for[0]))], "medication": [took(word_of(name))]}, {"condition": [UNRELATED], "medication": [took(word_of(name))]})  # fmt: skip
for key, name, low_age, high_age, *_ in drugs.AGES:
    inside, outside = (at(low_age), at(low_age, -1)) if low_age is not None else (at(high_age), at(high_age, 1))
    case(
        f"drug.age.{key}", {"medication": [took(word_of(name), inside)]}, {"medication": [took(word_of(name), outside)]}
    )
for key, name, allergy in drugs.ALLERGIES:
    known = [{"display": word_of(allergy).split()[0].title(), "onset": "2010-01-01"}]
    case(f"drug.allergy.{key}", {"allergy": known, "medication": [took(word_of(name), "2010-01-02")]}, {"allergy": known, "medication": [took(word_of(name), "2010-01-02 00:01")]})  # fmt: skip
for name, one in table("doses")["drugs"].items():
    display = f"{one['words'][0]} 10 MG Oral Tablet" if "mg" not in one["words"][0] else one["words"][0] + " tablet"
    for rule, most in ((f"dose.{name}", one["daily"]), (f"dose.{name}.tenfold", 10 * one["daily"])):
        dose: dict[str, Any] = {"dose": most / 2, "dose_unit": "mg", "per_day": 2.0}
        case(
            rule, {"medication": [took(display, **dose)]}, {"medication": [took(display, **{**dose, "per_day": 2.001})]}
        )
for key, good, bad in (
    ("dose.zero", {"dose": 0.1}, {"dose": 0.0}),
    ("dose.negative", {"dose": 0.0}, {"dose": -0.1}),
    ("dose.unit", {"dose": 1.0, "dose_unit": "mg"}, {"dose": 1.0}),
    ("dose.often", {"per_day": 24.0}, {"per_day": 24.1}),
    ("supply.refills", {"refills": 12}, {"refills": 13}),
    ("supply.quantity", {"quantity": 400.0, "per_day": 1.0}, {"quantity": 401.0, "per_day": 1.0}),
):
    case(key, {"medication": [took("x", **good)]}, {"medication": [took("x", **bad)]})
case(
    "supply.controlled",
    {"medication": [took("diazepam 5 MG", refills=5)]},
    {"medication": [took("oxycodone 5 MG", refills=1)]},
)
for key, display, good_route, bad_route in (
    ("insulin", "insulin lispro", "subcutaneous", "oral"),
    ("heparin", "enoxaparin", "subcutaneous", "intramuscular"),
    ("metformin", "metformin", "oral", "intravenous"),
    ("vincristine", "oxaliplatin", "intravenous", "oral"),
    ("tablet", "lisinopril 10 MG Oral Tablet", "oral", "inhalation"),
    ("inhaler", "albuterol Metered Dose Inhaler", "inhalation", "oral"),
):
    case(
        f"route.{key}",
        {"medication": [took(display, route=good_route)]},
        {"medication": [took(display, route=bad_route)]},
    )
for name, days in (("fluoroquinolone", 120), ("cephalosporin", 120), ("thrombolytic", 3), ("triptan", 3650)):
    good_stop, bad_stop = ((datetime(2010, 1, 1) + timedelta(days=days, minutes=m)).isoformat() for m in (0, 1))
    case(f"course.{name}", {"medication": [took(word_of(name), "2010-01-01", good_stop)]}, {"medication": [took(word_of(name), "2010-01-01", bad_stop)]})  # fmt: skip

# ---------------------------------------------------------------------- diseases
for key, name, causes, *_ in diseases.CAUSES:
    follows = ill(code_of(name))
    reasons = {
        "sepsis": "A41.9",
        "stroke_cause": "I63.9",
        "infarction": "I21.9",
        "primary_cancer": "C50.919",
        "hiv": "Z21",
        "transplant": "Z94.0",
    }
    case(
        f"cause.{key}",
        {"condition": [follows, ill(reasons.get(causes[0], code_of(causes[0])))]},
        {"condition": [follows, UNRELATED]},
    )
case("excludes.types", {"condition": [ill("E10.9")]}, {"condition": [ill("E11.9"), ill("E10.9")]})
case("excludes.prediabetes", {"condition": [ill("R73.03", "2010-01-01"), ill("E11.9", "2010-01-01")]}, {"condition": [ill("R73.03", "2010-01-02"), ill("E11.9", "2010-01-01")]})  # fmt: skip
case("excludes.thyroid", {"condition": [ill("E05.90", "2010-01-31"), ill("E03.9", "2010-01-01")]}, {"condition": [ill("E05.90", "2010-01-30"), ill("E03.9", "2010-01-01")]})  # fmt: skip
CKD = {
    "ckd_stage1": ("N18.1", 70, 69),
    "ckd_stage2": ("N18.2", 115, 116),
    "ckd3": ("N18.30", 85, 86),
    "ckd4": ("N18.4", 50, 51),
    "ckd5": ("N18.6", 30, 31),
}
for name, (code, good_value, bad_value) in CKD.items():
    values = (
        {"condition": [ill(code)], "observation": [seen("98979-8", value, "mL/min/{1.73_m2}", "2009-12-01")]}
        for value in (good_value, bad_value)
    )
    case(f"stage.{name.replace('ckd_stage', 'ckd')}", *values)
case("stage.ckd.back", {"condition": [ill("N18.30", "2010-01-01"), ill("N18.4", "2010-01-01")]}, {"condition": [ill("N18.30", "2010-01-02"), ill("N18.4", "2010-01-01")]})  # fmt: skip
for key, name, reasons_, *_ in diseases.INDICATIONS:
    code, display = step_of(name)
    case(f"indication.{key}", {"condition": [ill(code_of(reasons_[0]))], "procedure": [did(code, display=display)]}, {"condition": [UNRELATED], "procedure": [did(code, display=display)]})  # fmt: skip
for name, *_ in diseases.ONCE:
    code, display = step_of(name)
    twice = [did(code, start, display) for start in ("2010-01-01", "2010-01-03")]
    case(f"once.{name}", {"procedure": twice}, {"procedure": [twice[0], did(code, "2010-01-04", display)]})
for key, name, after, days, *_ in diseases.GONE:
    code, display = step_of(name)
    good_onset, bad_onset = ((datetime(2010, 1, 1) + timedelta(days=days, minutes=m)).isoformat() for m in (0, 1))
    case(f"gone.{key}", {"procedure": [did(code, "2010-01-01", display)], "condition": [ill(code_of(after), good_onset)]}, {"procedure": [did(code, "2010-01-01", display)], "condition": [ill(code_of(after), bad_onset)]})  # fmt: skip
for name, code in (("breast", "C50.919"), ("colon", "C18.9"), ("lung", "C34.90")):
    late = [visit("2011-02-01")]
    case(f"cancer.untreated.{name}", {"condition": [ill(code)], "encounter": late, "procedure": [did("367336001")]}, {"condition": [ill(code)], "encounter": late})  # fmt: skip
case(
    "cancer.pathology",
    {"condition": [ill("C18.9")], "procedure": [did("76164006")]},
    {"condition": [ill("C18.9")], "procedure": [did("73761001")]},
)
case(
    "birth.deliveries",
    {"condition": [ill("O80", "2010-01-01"), ill("O80", "2010-05-31")]},
    {"condition": [ill("O80", "2010-01-01"), ill("O80", "2010-05-30")]},
)
case(
    "birth.long",
    {"condition": [ill("Z34.90", "2010-01-01", abatement="2010-11-17")]},
    {"condition": [ill("Z34.90", "2010-01-01", abatement="2010-11-18")]},
)
case(
    "twice.active",
    {"condition": [ill("I10", "2010-01-01", abatement="2010-02-02"), ill("I10", "2010-02-01")]},
    {"condition": [ill("I10", "2010-01-01"), ill("I10", "2010-02-01")]},
)


# ---------------------------------------------------------------------- vaccines
def dose(code: str, days: float, minutes: int = 0, **more: Any) -> dict[str, Any]:
    """Return a dose at an age in days."""
    return {"code": code, "time": (datetime(1970, 1, 1) + timedelta(days=days, minutes=minutes)).isoformat(), **more}


def days_of(age: str) -> float:
    """Return an age such as "6w" in days."""
    return float(age[:-1]) * {"d": 1, "w": 7, "m": 30.4375, "y": 365.25}[age[-1]]


for key, _, codes, low_, high_, apart, most in vaccines.VACCINES:
    early = vaccines.EARLY.get(key, low_)
    for rule, age in (("early", early), ("routine", low_)):
        if (rule == "early" and low_ != "0d") or (rule == "routine" and key in vaccines.EARLY):
            case(
                f"vaccine.{rule}.{key}",
                {"immunization": [dose(codes[0], days_of(age) - 4, 1)]},
                {"immunization": [dose(codes[0], days_of(age) - 4, -2)]},
            )
    if high_ is not None:
        case(
            f"vaccine.late.{key}",
            {"immunization": [dose(codes[0], days_of(high_) + 4, -1)]},
            {"immunization": [dose(codes[0], days_of(high_) + 4, 2)]},
        )
    case(
        f"vaccine.close.{key}",
        {"immunization": [dose(codes[0], 3000), dose(codes[0], 3000 + apart - 4)]},
        {"immunization": [dose(codes[0], 3000), dose(codes[0], 3000 + apart - 4, -1)]},
    )
    if most:
        series = [dose(codes[0], 3000 + 400 * i) for i in range(most + 1)]
        case(f"vaccine.many.{key}", {"immunization": series[:-1]}, {"immunization": series})
case(
    "vaccine.pregnancy",
    {"condition": [carrying], "immunization": [{"code": "03", "time": "2010-11-01"}]},
    {"condition": [carrying], "immunization": [{"code": "03", "time": "2010-10-31"}]},
)
case(
    "vaccine.number",
    {"immunization": [dose("20", 100, dose_number=1), dose("20", 200, dose_number=1)]},
    {"immunization": [dose("20", 100, dose_number=2), dose("20", 200, dose_number=1)]},
)
