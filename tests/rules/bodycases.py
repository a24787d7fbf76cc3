# ruff: noqa: C408, E501 - tables of cases
"""Cases of the rules of people, measured values and growth."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ehrsatz.rules.analytes import entry, names
from ehrsatz.rules.concepts import table
from ehrsatz.rules.growth import CHARTS
from ehrsatz.rules.labs import SUDDEN
from ehrsatz.rules.people import BY_AGE, BY_SEX, DRUGS_BY_SEX, PROCEDURES_BY_SEX
from rules.cases import born, case, did, died, ill, seen, took, visit


def at(years: float, minutes: int = 0) -> str:
    """Return the moment at which the patient of 1970 has this age, and some minutes."""
    return (datetime(1970, 1, 1) + timedelta(days=365.25 * years, minutes=minutes)).isoformat()


def code_of(name: str) -> str:
    """Return a code of a set of conditions: ICD-10-CM, else SNOMED CT."""
    one = table("concepts")["conditions"][name]
    return str((one.get("icd10") or one["snomed"]).split()[0])


def word_of(name: str) -> str:
    """Return a drug of a set, as RxNorm displays it."""
    return f"{table('concepts')['drugs'][name]['words'].split()[0].replace('_', ' ')} 10 MG Oral Tablet"


def step_of(name: str) -> tuple[str | None, str | None]:
    """Return code and display of a set of procedures: by SNOMED CT code where there is one, else by its words."""
    one = table("concepts")["procedures"][name]
    if one.get("snomed"):
        return one["snomed"].split()[0], None
    return "387713003", one["words"].split("|")[0]


def other(sex: str) -> str:
    """Return the other sex."""
    return "male" if sex == "female" else "female"


# ---------------------------------------------------------------------- people
for key, name, wrong, *_ in BY_SEX:
    rows = {"condition": [ill(code_of(name))]}
    case(f"sex.{key}", {"patient": born(sex=other(wrong)), **rows}, {"patient": born(sex=wrong), **rows})
for key, name, wrong, *_ in PROCEDURES_BY_SEX:
    code, display = step_of(name)
    rows = {"procedure": [did(code, display=display)]}
    case(f"sex.{key}", {"patient": born(sex=other(wrong)), **rows}, {"patient": born(sex=wrong), **rows})
for key, name, wrong, *_ in DRUGS_BY_SEX:
    rows = {"medication": [took(word_of(name))]}
    case(f"sex.{key}", {"patient": born(sex=other(wrong)), **rows}, {"patient": born(sex=wrong), **rows})
for key, code, wrong in (("psa", "2857-1", "female"), ("pregnancy_test", "2106-3", "male")):
    rows = {"observation": [seen(code, 1, "ng/mL")]}
    case(f"sex.{key}", {"patient": born(sex=other(wrong)), **rows}, {"patient": born(sex=wrong), **rows})
for key, name, low, high, *_ in BY_AGE:
    inside, outside = (at(low), at(low, -1)) if low is not None else (at(high), at(high, 1))
    case(f"age.{key}", {"condition": [ill(code_of(name), inside)]}, {"condition": [ill(code_of(name), outside)]})
case("age.death.impossible", {"patient": died(at(123))}, {"patient": died(at(123, 1))})
case("age.death.old", {"patient": died(at(110))}, {"patient": died(at(110, 1))})
case("age.seen", {"encounter": [visit(at(123))]}, {"encounter": [visit(at(123, 1))]})
for key, column, word, limit in (
    ("married", "marital_status", "married", 14),
    ("smoking", "smoking", "current", 8),
    ("alcohol", "alcohol", "heavy", 9),
    ("college", "education", "college", 16),
):
    who = born(**{column: word})
    case(
        f"age.{key}",
        {"patient": who, "encounter": [visit(at(limit))]},
        {"patient": who, "encounter": [visit(at(limit, -1))]},
    )


def _kin(word: str, day: str, sex: str, **more: Any) -> dict[str, list[dict[str, Any]]]:
    """Patient p1 of 1970 with a relative p2."""
    people = [*born(), {"patient_id": "p2", "birth_date": day, "sex": sex, **more}]
    return {"patient": people, "relation": [{"relative_id": "p2", "relation": word}]}


for key, word, good, bad in (
    ("mother.age", "mother", "1957-12-31", "1958-01-03"),
    ("mother.age.impossible", "mother", "1964-12-31", "1965-01-03"),
    ("father.age", "father", "1957-12-31", "1958-01-03"),
    ("father.age.impossible", "father", "1961-12-31", "1962-01-03"),
):
    sex = "female" if word == "mother" else "male"
    case(f"family.{key}", _kin(word, good, sex), _kin(word, bad, sex))
for key, word, good, bad in (
    ("mother.dead", "mother", "1969-12-31 12:00", "1969-12-30 12:00"),
    ("mother.dead.impossible", "mother", "1969-06-16 12:00", "1969-06-14 12:00"),
    ("father.dead", "father", "1969-02-26 12:00", "1969-02-24 12:00"),
):
    sex = "female" if word == "mother" else "male"
    case(f"family.{key}", _kin(word, "1940-01-01", sex, death_time=good), _kin(word, "1940-01-01", sex, death_time=bad))
case("family.mother.sex", _kin("mother", "1940-01-01", "female"), _kin("mother", "1940-01-01", "male"))
case("family.father.sex", _kin("father", "1940-01-01", "male"), _kin("father", "1940-01-01", "female"))
case("family.self", _kin("spouse", "1970-01-01", "male"), {"relation": [{"relative_id": "p1", "relation": "spouse"}]})


def _children(days: list[str]) -> dict[str, list[dict[str, Any]]]:
    people = [{"patient_id": f"c{i}", "birth_date": day, "sex": "male"} for i, day in enumerate(days)]
    people.append({"patient_id": "m", "birth_date": "1950-01-01", "sex": "female"})
    return {
        "patient": people,
        "relation": [{"patient_id": f"c{i}", "relative_id": "m", "relation": "mother"} for i in range(len(days))],
    }


case("family.births", _children(["1970-01-01", "1970-01-03", "1970-05-23"]), _children(["1970-01-01", "1970-05-20"]))
case("family.children", _children(["1970-01-01"] * 25), _children(["1970-01-01"] * 26))

# ---------------------------------------------------------------------- values
for name in names():
    one = entry(name)
    for limits in ("impossible", "improbable"):
        if limits in one:
            low, high = one[limits]
            unit = None if one.get("without_unit") else one["unit"]
            beyond = high * 1.0001 + 1e-6 if high else high + 1e-3
            if limits == "improbable" and high == one["impossible"][1]:
                beyond = low * 0.999
            case(f"value.{name}.{limits}", {"observation": [seen(one["loinc"][0], low, unit), seen(one["loinc"][0], high, unit)]}, {"observation": [seen(one["loinc"][0], beyond, unit)]})  # fmt: skip


def measure(**values: float) -> dict[str, list[dict[str, Any]]]:
    """Return observations of analytes at one time, each in its own unit."""
    rows = []
    for name, value in values.items():
        one = entry(name)
        rows.append(seen(one["loinc"][0], value, None if one.get("without_unit") else one["unit"]))
    return {"observation": rows}


FORMULAS = {
    "sbp.dbp": (dict(sbp=81, dbp=80), dict(sbp=80, dbp=80)),
    "sbp.dbp.line": (dict(sbp_line=80, dbp_line=80), dict(sbp_line=79, dbp_line=80)),
    "pulse.pressure": (dict(sbp=230, dbp=80), dict(sbp=231, dbp=80)),
    "map.between": (dict(map=122, sbp=120, dbp=80), dict(map=123, sbp=120, dbp=80)),
    "map.line.between": (dict(map_line=78, sbp_line=120, dbp_line=80), dict(map_line=77, sbp_line=120, dbp_line=80)),
    "map.formula": (dict(map=111, sbp=120, dbp=75), dict(map=112, sbp=120, dbp=75)),
    "bmi": (dict(bmi=25.4, weight=80, height=180), dict(bmi=25.5, weight=80, height=180)),
    "hct.hb": (dict(hematocrit=42, hemoglobin=10), dict(hematocrit=42.1, hemoglobin=10)),
    "mcv": (dict(mcv=97, hematocrit=45, rbc=5), dict(mcv=98, hematocrit=45, rbc=5)),
    "mch": (dict(mch=32.4, hemoglobin=15, rbc=5), dict(mch=32.6, hemoglobin=15, rbc=5)),
    "mchc": (dict(mchc=35.9, hemoglobin=15, hematocrit=45), dict(mchc=36.1, hemoglobin=15, hematocrit=45)),
    "ldl": (dict(ldl=181, total_chol=200, hdl=50, trig=150), dict(ldl=182, total_chol=200, hdl=50, trig=150)),
    "lipids.sum": (dict(total_chol=200, hdl=50, ldl=178), dict(total_chol=200, hdl=50, ldl=178.1)),
    "hdl": (dict(total_chol=100, hdl=101), dict(total_chol=100, hdl=101.1)),
    "anion.gap": (dict(anion_gap=18, sodium=140, chloride=104, bicarbonate=24), dict(anion_gap=19, sodium=140, chloride=104, bicarbonate=24)),
    "anion.gap.low": (dict(sodium=140, chloride=120, bicarbonate=26), dict(sodium=140, chloride=120, bicarbonate=27)),
    "bilirubin": (dict(bilirubin_direct=1.3, bilirubin=1.0), dict(bilirubin_direct=1.31, bilirubin=1.0)),
    "bilirubin.sum": (dict(bilirubin=2.3, bilirubin_direct=1, bilirubin_indirect=1), dict(bilirubin=2.5, bilirubin_direct=1, bilirubin_indirect=1)),
    "protein": (dict(protein=5, albumin=5.35), dict(protein=5, albumin=5.36)),
    "globulin": (dict(globulin=3.4, protein=7, albumin=4), dict(globulin=3.5, protein=7, albumin=4)),
    "differential": (dict(neutrophils=60, lymphocytes=30, monocytes=8, eosinophils=3, basophils=1), dict(neutrophils=60, lymphocytes=30, monocytes=8, eosinophils=3, basophils=1.5)),
    "differential.impossible": (dict(neutrophils=60, lymphocytes=42), dict(neutrophils=60, lymphocytes=43)),
    "iron": (dict(iron_saturation=30, iron=75, tibc=300), dict(iron_saturation=31, iron=75, tibc=300)),
    "iron.tibc": (dict(tibc=200, iron=239), dict(tibc=200, iron=241)),
    "inr.pt": (dict(inr=2, pt=12), dict(inr=2.1, pt=12)),
    "gcs": (dict(gcs=10, gcs_eye=3, gcs_verbal=3, gcs_motor=4), dict(gcs=11, gcs_eye=3, gcs_verbal=3, gcs_motor=4)),
    "hba1c.glucose": (dict(hba1c=12, glucose=60), dict(hba1c=12.1, glucose=60)),
    "henderson": (dict(ph=7.6, pco2=40, bicarbonate=24), dict(ph=7.7, pco2=40, bicarbonate=24)),
    "tsh.ft4": (dict(tsh=50, ft4=4), dict(tsh=51, ft4=4)),
    "urea.creatinine": (dict(creatinine=8, urea=14), dict(creatinine=8.1, urea=14)),
    "fev1": (dict(fev1_fvc=35, fev1=110), dict(fev1_fvc=34, fev1=110)),
    "counts": (dict(wbc=10, neutrophils_count=10.7), dict(wbc=10, neutrophils_count=10.8)),
    "saturation": (dict(spo2=97, po2=30), dict(spo2=98, po2=30)),
}  # fmt: skip
for key, (good, bad) in FORMULAS.items():
    case(f"formula.{key}", measure(**good), measure(**bad))
# a woman of 40: creatinine 0.7 mg/dL is 142 x 0.9938^40 x 1.012 = 112.1 by CKD-EPI 2021
case("formula.egfr", measure(egfr=112, creatinine=0.7), measure(egfr=130, creatinine=0.7))
for name, days, share, *_ in SUDDEN:
    one = entry(name)
    base = (one["improbable"][0] + one["improbable"][1]) / 4
    first = seen(one["loinc"][0], base, one["unit"], "2010-01-01 08:00")
    later = (datetime(2010, 1, 1, 8) + timedelta(days=days)).isoformat()
    case(f"sudden.{name}", {"observation": [first, seen(one["loinc"][0], base * share * 0.999, one["unit"], later)]}, {"observation": [first, seen(one["loinc"][0], base * share * 1.001, one["unit"], later)]})  # fmt: skip
case("unit.wrong", {"observation": [seen("718-7", 14, "g/dL")]}, {"observation": [seen("718-7", 14, "%")]})
case(
    "unit.absent",
    {"observation": [seen("718-7", 14, "g/dL"), seen("9269-2", 15, None)]},
    {"observation": [seen("718-7", 14, None)]},
)
case(
    "value.absent",
    {"observation": [seen("718-7", None, None, text_value="x")]},
    {"observation": [seen("718-7", None, None)]},
)
span = {"low": 10.0, "high": 20.0}
case(
    "range.turned",
    {"observation": [seen("718-7", 14, "g/dL", low=10.0, high=10.0)]},
    {"observation": [seen("718-7", 14, "g/dL", low=10.1, high=10.0)]},
)
for word, good, bad in (("normal", 20, 20.1), ("high", 20, 19.9), ("low", 10, 10.1)):
    case(f"range.{word}", {"observation": [seen("718-7", good, "g/dL", interpretation=word, **span)]}, {"observation": [seen("718-7", bad, "g/dL", interpretation=word, **span)]})  # fmt: skip


# ---------------------------------------------------------------------- growth
def chart_value(chart: str, months: float, steps: float) -> float:
    """Return a girl's measure so many half distances (of the middle to the second deviation) above the middle."""
    knots = table("lms")["lms"][chart]["female"]
    place = knots["months"].index(months)
    lam, mid, spread = (knots[name][place] for name in ("l", "m", "s"))
    return float(mid + steps * (mid * (1 + lam * spread * 2) ** (1 / lam) - mid) / 2)


LOINC = {name: entry(name)["loinc"][0] for name in ("height", "weight", "bmi", "head", "heart_rate", "resp_rate")}
for analyte, chart, _ in CHARTS:
    limit = 10 if chart in {"weight", "bmi"} else 7
    good, bad = (
        seen(LOINC[analyte], chart_value(chart, 24, limit * f), entry(analyte)["unit"], at(2)) for f in (0.99, 1.01)
    )
    case(f"growth.chart.{chart}", {"observation": [good]}, {"observation": [bad]})


def _two(analyte: str, first: tuple[float, float], second: tuple[float, float]) -> dict[str, list[dict[str, Any]]]:
    unit = entry(analyte)["unit"]
    return {"observation": [seen(LOINC[analyte], value, unit, at(age)) for age, value in (first, second)]}


for key, analyte, first, good, bad in (
    ("height.child.shrinks", "height", (5, 110), (6, 107), (6, 106.9)),
    ("height.child.leaps", "height", (5, 110), (6, 129.9), (6, 130.1)),
    ("height.infant.leaps", "height", (0.5, 65), (1, 94.9), (1, 95.1)),
    ("height.adult.shrinks", "height", (50, 180), (52, 172), (52, 171.9)),
    ("height.adult.grows", "height", (30, 180), (40, 186), (40, 186.1)),
    ("head.shrinks", "head", (1, 46), (1.5, 44.5), (1.5, 44.4)),
    ("head.leaps", "head", (0.5, 42), (0.58, 48), (0.58, 48.1)),
    ("weight.adult.week", "weight", (40, 80), (40.01, 107), (40.01, 108)),
    ("weight.adult.month", "weight", (40, 80), (40.1, 160), (40.1, 161)),
    ("weight.adult.year", "weight", (40, 80), (40.9, 160), (40.9, 161)),
    ("weight.infant.falls", "weight", (0.01, 4.0), (0.03, 3.2), (0.03, 3.19)),
):
    case(f"growth.{key}", _two(analyte, first, good), _two(analyte, first, bad))
for key, code in (("head.adult", LOINC["head"]), ("percentile.adult", "59576-9")):
    case(
        f"growth.{key}",
        {"observation": [seen(code, 50, "cm", at(21))]},
        {"observation": [seen(code, 50, "cm", at(21, 1))]},
    )
for key, analyte, good, bad in (
    ("adult.height", "height", 220, 220.1),
    ("adult.weight", "weight", 25, 24.9),
    ("adult.heart", "heart_rate", 220, 221),
    ("adult.breath", "resp_rate", 60, 61),
    ("adult.bmi", "bmi", 75, 75.1),
):
    case(
        f"growth.{key}",
        *({"observation": [seen(LOINC[analyte], value, entry(analyte)["unit"])]} for value in (good, bad)),
    )
case(
    "growth.newborn.weight", *({"observation": [seen(LOINC["weight"], value, "kg", at(0.001))]} for value in (6.5, 6.6))
)
