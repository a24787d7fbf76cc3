# ruff: noqa: E501 - tables of words
"""Measured values: within the possible and the probable by unit, in a unit of the code, and true to their formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ehrsatz.rules.analytes import entry, factor_of, measured, moments, names, number_of, together
from ehrsatz.rules.concepts import table
from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Statement, some, told
from ehrsatz.rules.view import Flags, Floats, View

VALUES = "observation.code observation.value observation.unit"
TOGETHER = f"{VALUES} observation.time observation.patient_id patient.patient_id"
Formula = Callable[[list[Floats]], Flags]


def _outside(name: str, limits: str) -> Body:
    """Broken outside the limits; what is impossible is not improbable too."""

    def body(view: View) -> list[Found]:
        rows, values = measured(view).of(name)
        low, high = entry(name)[limits]
        slack = 1e-9 * max(abs(low), abs(high))
        wrong = (values < low - slack) | (values > high + slack)
        if limits == "improbable":
            low, high = entry(name)["impossible"]
            wrong &= (values >= low - slack) & (values <= high + slack)
        return some("observation", rows, wrong)

    return body


def _formula(wanted: tuple[str, ...], test: Formula) -> Body:
    """Broken where values of one patient at one time contradict each other."""

    def body(view: View) -> list[Found]:
        rows, values = together(view, wanted)
        return some("observation", rows, np.asarray(test(values), dtype=bool))

    return body


def off(found: Floats, wanted: Floats, absolute: float | Floats, relative: float) -> Flags:
    """Say where a value is further from its formula than both slacks together."""
    return np.abs(found - wanted) > absolute + relative * np.abs(wanted)


def _egfr(view: View) -> list[Found]:
    """CKD-EPI 2021 in adults, against the value that was reported with the creatinine."""
    rows, (egfr, creatinine) = together(view, ("egfr", "creatinine"))
    age, sex = view.ages("observation", "time")[rows], view.sex("observation")[rows]
    known = (age >= 18) & (sex > 0) & (creatinine > 0)
    rows, egfr, creatinine, age, sex = rows[known], egfr[known], creatinine[known], age[known], sex[known]
    female = sex == 1
    kappa, alpha = np.where(female, 0.7, 0.9), np.where(female, -0.241, -0.302)
    ratio = creatinine / kappa
    wanted = (
        142
        * np.minimum(ratio, 1) ** alpha
        * np.maximum(ratio, 1) ** -1.2
        * 0.9938 ** np.floor(age)
        * np.where(female, 1.012, 1)
    )
    # creatinine is rounded to 0.01 or 0.1 mg/dL, age to years
    return some("observation", rows, off(egfr, wanted, 1.5 + wanted * 0.06 / np.maximum(creatinine, 0.2), 0.02))


def _wrong_unit(view: View) -> list[Found]:
    codes, units = view.coded("observation", "code"), view.coded("observation", "unit")
    per = np.array([*(number_of(code) for code in codes.names), -1])
    good = np.ones((len(per), len(units.names) + 1), dtype=bool)
    for i, analyte in enumerate(per):
        if analyte >= 0:
            good[i, :-1] = [not np.isnan(factor_of(int(analyte), unit)[0]) for unit in units.names]
    here = (per[codes.at] >= 0) & (units.at >= 0) & view.given("observation", "value")
    return told("observation", here, here & ~good[codes.at, units.at])


def _no_unit(view: View) -> list[Found]:
    codes = view.coded("observation", "code")
    known = codes.where(lambda code: number_of(code) >= 0)
    needs = codes.where(lambda code: number_of(code) >= 0 and not entry(names()[number_of(code)]).get("without_unit"))
    here = known & needs & ~np.isnan(view.numbers("observation", "value"))
    return told("observation", here, here & ~view.given("observation", "unit"))


def _nothing(view: View) -> list[Found]:
    here = np.ones(view.height("observation"), dtype=bool)
    return told("observation", here, ~view.given("observation", "value") & ~view.given("observation", "text_value"))


def _turned(view: View) -> list[Found]:
    low, high = view.numbers("observation", "low"), view.numbers("observation", "high")
    both = ~np.isnan(low) & ~np.isnan(high)
    return told("observation", both, both & (low > high))


def _said(words: tuple[str, ...], wrong: Callable[[Floats, Floats, Floats], Flags]) -> Body:
    def body(view: View) -> list[Found]:
        value, low, high = (view.numbers("observation", one) for one in ("value", "low", "high"))
        here = view.coded("observation", "interpretation").one_of(words) & ~np.isnan(value)
        return told("observation", here, here & wrong(value, low, high))

    return body


def _sudden(name: str, days: float, share: float) -> Body:
    """Broken where a value is more than `share` times the one before it or less, within so many days."""

    def body(view: View) -> list[Found]:
        one = moments(view, name)
        who, when = one.keys >> 34, one.keys & ((1 << 34) - 1)
        near = (who[1:] == who[:-1]) & (when[1:] - when[:-1] <= days * 86_400)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = one.values[1:] / one.values[:-1]
        return some("observation", one.rows[1:][near], ((ratio > share) | (ratio < 1 / share))[near])

    return body


CBC = "Rifai N (ed.), Tietz Textbook of Laboratory Medicine, 7th ed. 2022: red cell indices are computed from haemoglobin, red cells and haematocrit"
# id, analytes, test of their values, severity, title, why, source
FORMULAS: tuple[tuple[str, tuple[str, ...], Formula, str, str, str, str], ...] = (
    ("sbp.dbp", ("sbp", "dbp"), lambda v: v[0] <= v[1], ERROR, "Systolic pressure not above diastolic", "The pressure of the beat is above that between beats; a failing cuff is the usual reason.", "By definition; Muntner P et al., Measurement of blood pressure in humans, Hypertension 2019;73:e35, doi:10.1161/HYP.0000000000000087"),
    ("sbp.dbp.line", ("sbp_line", "dbp_line"), lambda v: v[0] <= v[1] - 0.5, ERROR, "Systolic pressure of the line below diastolic", "A line that is flushed or open to air shows one pressure for both.", "By definition"),
    ("pulse.pressure", ("sbp", "dbp"), lambda v: (v[0] - v[1] > 150) | ((v[0] - v[1] < 8) & (v[0] > v[1])), WARNING, "Pulse pressure under 8 or over 150 mm[Hg]", "Such pressures are of shock or of a worn valve, and mostly of a slip.", "assumed: outside nearly all values of MIMIC-III (demo 1.4)"),
    ("map.between", ("map", "sbp", "dbp"), lambda v: ((v[0] > v[1] + 2) | (v[0] < v[2] - 2)) & (v[1] > v[2]), ERROR, "Mean pressure outside systolic and diastolic", "A mean lies between the ends; two are left for rounding. Values of several cuffs at one time are a false alarm.", "By definition"),
    ("map.line.between", ("map_line", "sbp_line", "dbp_line"), lambda v: ((v[0] > v[1] + 2) | (v[0] < v[2] - 2)) & (v[1] > v[2]), ERROR, "Mean pressure of the line outside systolic and diastolic", "A mean lies between the ends; a line that is flushed shows other values.", "By definition"),
    ("map.formula", ("map", "sbp", "dbp"), lambda v: off(v[0], v[2] + (v[1] - v[2]) / 3, 12, 0.1) & (v[1] > v[2]), WARNING, "Mean pressure far from a third of the way up", "Cuffs measure the mean and compute the rest: the third is a rule of thumb.", "Sesso HD et al., Hypertension 2000;36:801, doi:10.1161/01.HYP.36.5.801: mean = diastolic + (systolic - diastolic)/3"),
    ("bmi", ("bmi", "weight", "height"), lambda v: off(v[0], v[1] / np.maximum(v[2] / 100, 0.1) ** 2, 0.3, 0.02), ERROR, "Body mass index that is not weight by squared height", "An index is computed; two in a hundred are left for rounding of the three.", "WHO Technical Report Series 894 (2000): BMI = kg/m2"),
    ("hct.hb", ("hematocrit", "hemoglobin"), lambda v: (v[0] / np.maximum(v[1], 0.1) < 2.2) | (v[0] / np.maximum(v[1], 0.1) > 4.2), WARNING, "Haematocrit not about three times haemoglobin", "MCHC lies between 24 and 41 g/dL nearly always.", CBC),
    ("mcv", ("mcv", "hematocrit", "rbc"), lambda v: off(v[0], 10 * v[1] / np.maximum(v[2], 0.05), 3, 0.05), WARNING, "MCV that is not haematocrit by red cells", "Analysers measure MCV and compute the haematocrit; the three agree but for rounding.", CBC),
    ("mch", ("mch", "hemoglobin", "rbc"), lambda v: off(v[0], 10 * v[1] / np.maximum(v[2], 0.05), 1, 0.05), WARNING, "MCH that is not haemoglobin by red cells", "Computed from the two.", CBC),
    ("mchc", ("mchc", "hemoglobin", "hematocrit"), lambda v: off(v[0], 100 * v[1] / np.maximum(v[2], 0.5), 1, 0.05), WARNING, "MCHC that is not haemoglobin by haematocrit", "Computed from the two.", CBC),
    ("ldl", ("ldl", "total_chol", "hdl", "trig"), lambda v: off(v[0], v[1] - v[2] - v[3] / 5, 25, 0.3) & (v[3] < 400), WARNING, "LDL far from Friedewald's formula", "Direct assays differ from the formula by up to a quarter; above 400 mg/dL of triglycerides it does not hold.", "Friedewald WT et al., Clin Chem 1972;18:499, doi:10.1093/clinchem/18.6.499"),
    ("lipids.sum", ("total_chol", "hdl", "ldl"), lambda v: v[1] + v[2] > 1.1 * v[0] + 8, WARNING, "HDL and LDL above total cholesterol", "Parts are no more than the whole; a tenth is left for the assays.", "By definition; Friedewald WT et al. 1972, doi:10.1093/clinchem/18.6.499"),
    ("hdl", ("total_chol", "hdl"), lambda v: v[1] > v[0] + 1, ERROR, "HDL cholesterol above total", "A part is no more than the whole.", "By definition"),
    ("anion.gap", ("anion_gap", "sodium", "chloride", "bicarbonate"), lambda v: off(v[0], v[1] - v[2] - v[3], 6, 0.05), WARNING, "Anion gap that is not sodium less chloride and bicarbonate", "Some laboratories add potassium, which makes 4 more.", "Kraut JA, Madias NE, Serum anion gap, Clin J Am Soc Nephrol 2007;2:162, doi:10.2215/CJN.03020906"),
    ("anion.gap.low", ("sodium", "chloride", "bicarbonate"), lambda v: (v[0] - v[1] - v[2] < -6) | (v[0] - v[1] - v[2] > 60), WARNING, "Sodium, chloride and bicarbonate that leave no anion gap, or one over 60", "Negative gaps are of bromide, lithium or a slip.", "Kraut JA, Madias NE 2007, doi:10.2215/CJN.03020906"),
    ("bilirubin", ("bilirubin_direct", "bilirubin"), lambda v: v[0] > 1.1 * v[1] + 0.2, ERROR, "Direct bilirubin above total", "A part is no more than the whole; a tenth is left for the assays.", "By definition"),
    ("bilirubin.sum", ("bilirubin", "bilirubin_direct", "bilirubin_indirect"), lambda v: off(v[0], v[1] + v[2], 0.3, 0.05), WARNING, "Bilirubin that is not direct and indirect together", "Indirect is computed as the difference.", "By definition"),
    ("protein", ("protein", "albumin"), lambda v: v[1] > 1.03 * v[0] + 0.2, ERROR, "Albumin above total protein", "A part is no more than the whole.", "By definition"),
    ("globulin", ("globulin", "protein", "albumin"), lambda v: off(v[0], v[1] - v[2], 0.3, 0.05), WARNING, "Globulin that is not protein less albumin", "Computed as the difference.", "By definition of the calculated globulin (LOINC 10834-0)"),
    ("differential", ("neutrophils", "lymphocytes", "monocytes", "eosinophils", "basophils"), lambda v: np.abs(np.sum(v, axis=0) - 76) > 26, WARNING, "White cell shares that do not sum to a hundred", "They are shares of one whole; immature and atypical cells are counted apart and make it less.", "By definition; CLSI H20-A2 (2007)"),
    ("differential.impossible", ("neutrophils", "lymphocytes"), lambda v: v[0] + v[1] > 102, ERROR, "Neutrophils and lymphocytes above a hundred per cent", "Two parts are no more than the whole.", "By definition"),
    ("iron", ("iron_saturation", "iron", "tibc"), lambda v: off(v[0], 100 * v[1] / np.maximum(v[2], 1), 4, 0.05), WARNING, "Iron saturation that is not iron by binding capacity", "Computed from the two.", "By definition of transferrin saturation; KDIGO Anemia Guideline 2012"),
    ("iron.tibc", ("tibc", "iron"), lambda v: v[1] > 1.15 * v[0] + 10, WARNING, "Iron above the binding capacity", "Only poisoning or a transfusion goes beyond it.", "Rifai N (ed.), Tietz Textbook of Laboratory Medicine, 7th ed. 2022"),
    ("inr.pt", ("inr", "pt"), lambda v: ((v[0] > 2) & (v[1] < 13)) | ((v[0] < 1.1) & (v[1] > 25)), WARNING, "INR and prothrombin time that contradict each other", "INR is the time's ratio to a normal of 10 to 14 s.", "WHO Technical Report Series 889 (1999), annex 3: INR"),
    ("gcs", ("gcs", "gcs_eye", "gcs_verbal", "gcs_motor"), lambda v: off(v[0], v[1] + v[2] + v[3], 0.5, 0), ERROR, "Glasgow coma scale that is not the sum of its parts", "A sum is computed.", "Teasdale G, Jennett B, Lancet 1974;304:81, doi:10.1016/S0140-6736(74)91639-0"),
    ("hba1c.glucose", ("hba1c", "glucose"), lambda v: ((v[0] < 4.5) & (v[1] > 300)) | ((v[0] > 12) & (v[1] < 70)), WARNING, "HbA1c and glucose that contradict each other", "ADAG: 4.5 % is a mean of 82 mg/dL, 12 % one of 298; acute illness and low sugar on insulin are false alarms.", "Nathan DM et al. (ADAG), Diabetes Care 2008;31:1473, doi:10.2337/dc08-0545"),
    ("henderson", ("ph", "pco2", "bicarbonate"), lambda v: (np.abs(v[0] - (6.1 + np.log10(np.maximum(v[2], 0.5) / (0.0307 * np.maximum(v[1], 2))))) > 0.25), WARNING, "Blood pH, carbon dioxide and bicarbonate that do not fit Henderson and Hasselbalch", "Three of one equation; a quarter is left for two specimens.", "Siggaard-Andersen O, The van Slyke equation, Scand J Clin Lab Invest Suppl 1977;146:15"),
    ("tsh.ft4", ("tsh", "ft4"), lambda v: (v[0] > 50) & (v[1] > 3), WARNING, "Very high thyrotropin with high thyroxine", "One holds the other down; only resistance or a tumour of the pituitary does both.", "Rifai N (ed.), Tietz Textbook of Laboratory Medicine, 7th ed. 2022"),
    ("urea.creatinine", ("creatinine", "urea"), lambda v: (v[0] > 8) & (v[1] < 15), WARNING, "Creatinine over 8 mg/dL with urea nitrogen under 15", "Both are held back by a failing kidney; just after dialysis is a false alarm.", "KDIGO CKD Guideline 2024, Kidney Int 2024;105(4S)"),
    ("fev1", ("fev1_fvc", "fev1"), lambda v: (v[0] < 35) & (v[1] > 100), WARNING, "Severe obstruction with normal FEV1", "A ratio so low leaves no normal FEV1.", "Stanojevic S et al., ERS/ATS technical standard on interpretive strategies, Eur Respir J 2022;60:2101499"),
    ("counts", ("wbc", "neutrophils_count"), lambda v: v[1] > 1.05 * v[0] + 0.2, ERROR, "Neutrophils above all white cells", "A part is no more than the whole.", "By definition"),
    ("saturation", ("spo2", "po2"), lambda v: (v[0] > 97) & (v[1] < 40), WARNING, "Saturation over 97 % with oxygen pressure under 40 mm[Hg]", "At 40 mm[Hg] blood is three quarters full; a venous specimen is a false alarm.", "Severinghaus JW, Simple, accurate equations for human blood O2 dissociation, J Appl Physiol 1979;46:599"),
)  # fmt: skip
SUDDEN = (
    ("sodium", 1.0, 1.25, "Sodium that changes by a quarter within a day", "Brains do not survive it.", "Sterns RH, Disorders of plasma sodium, N Engl J Med 2015;372:55, doi:10.1056/NEJMra1404489"),
    ("hemoglobin", 0.25, 2.5, "Haemoglobin that changes two and a half times within six hours", "Only a bleeding that kills, or another patient's blood.", "Strathmann FG et al., Simulations of delta check rule performance, Clin Chim Acta 2011;412:1973"),
    ("creatinine", 0.5, 5.0, "Creatinine that changes five times within twelve hours", "It rises by 1 to 2 mg/dL a day without kidneys; dialysis is a false alarm.", "KDIGO AKI Guideline 2012, Kidney Int Suppl 2012;2:1"),
    ("mcv", 1.0, 1.15, "MCV that changes by a seventh within a day", "Cells keep their size; it is the classical sign of swapped specimens.", "Strathmann FG et al. 2011, Clin Chim Acta 2011;412:1973"),
    ("hba1c", 14.0, 1.8, "HbA1c that nearly doubles or halves within two weeks", "Red cells live for 120 days.", "Nathan DM et al. (ADAG), Diabetes Care 2008;31:1473, doi:10.2337/dc08-0545"),
)  # fmt: skip


def _rules() -> Iterator[Statement]:
    sources = table("limits")["sources"]
    for name in names():
        one = entry(name)
        for limits, severity in (("impossible", ERROR), ("improbable", WARNING)):
            if limits in one:
                low, high = one[limits]
                word = "beyond the possible" if limits == "impossible" else "hardly ever seen"
                yield Statement(
                    id=f"value.{name}.{limits}",
                    title=f"{one['title'][0].upper()}{one['title'][1:]} {word}",
                    severity=severity,
                    needs=VALUES,
                    why=f"Outside {low:g} to {high:g} {one['unit']}.",
                    source=sources[one["source"]],
                    body=_outside(name, limits),
                )
    for key, wanted, test, severity, title, why, source in FORMULAS:
        yield Statement(id=f"formula.{key}", title=title, severity=severity, needs=TOGETHER, why=why, source=source, body=_formula(wanted, test))  # fmt: skip
    yield Statement(
        id="formula.egfr",
        title="Estimated GFR that is not that of its creatinine by CKD-EPI 2021",
        severity=WARNING,
        needs=f"{TOGETHER} patient.sex patient.birth_date",
        why="It is computed from creatinine, age and sex. Laboratories that use an older formula are a false alarm.",
        source="Inker LA et al., N Engl J Med 2021;385:1737, doi:10.1056/NEJMoa2102953",
        body=_egfr,
    )
    for name, days, share, title, why, source in SUDDEN:
        yield Statement(id=f"sudden.{name}", title=title, severity=WARNING, needs=TOGETHER, why=why, source=source, body=_sudden(name, days, share))  # fmt: skip
    unit = "Regenstrief Institute, LOINC Users' Guide 2.76 (2024): example UCUM units of a term"
    yield Statement(id="unit.wrong", title="Value in a unit that its code does not have", severity=WARNING, needs=VALUES, why="A LOINC code fixes the kind of quantity: a share is no count. The value cannot be judged, and the code or the unit is wrong.", source=unit, body=_wrong_unit)  # fmt: skip
    yield Statement(id="unit.absent", title="Value without its unit", severity=WARNING, needs=VALUES, why="A number without a unit can be read two ways.", source=unit, body=_no_unit)  # fmt: skip
    yield Statement(id="value.absent", title="Observation without a value", severity=WARNING, needs="observation.value observation.text_value", why="It says nothing; panels and cancelled tests are a false alarm.", source="HL7 FHIR R4 (2019), Observation: value, or dataAbsentReason", body=_nothing)  # fmt: skip
    ranges = "observation.value observation.low observation.high"
    yield Statement(id="range.turned", title="Reference range whose low end is above its high end", severity=ERROR, needs=ranges, why="A range has its lower end below.", source="By definition", body=_turned)  # fmt: skip
    said = f"{ranges} observation.interpretation"
    for key, words, wrong, title in (
        ("normal", ("normal",), lambda value, low, high: (value < low - 1e-9) | (value > high + 1e-9), "Value called normal outside its reference range"),
        ("high", ("high", "critical high"), lambda value, low, high: value < high - 1e-9, "Value called high below the upper end of its range"),
        ("low", ("low", "critical low"), lambda value, low, high: value > low + 1e-9, "Value called low above the lower end of its range"),
    ):  # fmt: skip
        yield Statement(id=f"range.{key}", title=title, severity=ERROR, needs=said, why="The interpretation is read off the range that stands beside it.", source="HL7 v3 ObservationInterpretation (2022)", body=_said(words, wrong))  # fmt: skip


RULES = tuple(_rules())
