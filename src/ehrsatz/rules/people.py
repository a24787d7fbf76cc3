# ruff: noqa: E501 - tables of words
"""Sex and age against what was found and done, and families: who can be whose mother, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ehrsatz.rules.concepts import condition, drug, procedure
from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Statement, told
from ehrsatz.rules.view import ABSENT, DAY, YEAR, Flags, View, Whole

BODY = "By anatomy: the organ is of one sex."
ICD = "NCHS, ICD-10-CM Official Guidelines and Medicare Code Editor 44 (CMS 2026): age and sex conflict edits"
RARE = "assumed: age set below nearly all cases of the registries (CDC, SEER); single cases exist"
SEXES = {"female": 1, "male": 2}
Which = Callable[[View], Flags]

DIAGNOSES = "condition.code|condition.snomed_code condition.patient_id"
# id, set of conditions, the sex it cannot be, severity, title, why
BY_SEX = (
    ("pregnancy", "pregnancy", "male", ERROR, "Pregnancy in a man", "Pregnancy needs a womb. A recorded sex that is a legal or gender entry can be a false alarm."),
    ("female_cancer", "female_cancer", "male", ERROR, "Cancer of female genital organs in a man", "The organ is absent; recorded sex may be a legal entry."),
    ("female_disease", "female_disease", "male", ERROR, "Disease of female pelvic organs in a man", "The organ is absent; recorded sex may be a legal entry."),
    ("male_cancer", "male_cancer", "female", ERROR, "Cancer of male genital organs in a woman", "The organ is absent; recorded sex may be a legal entry."),
    ("male_disease", "male_disease", "female", ERROR, "Disease of male genital organs in a woman", "The organ is absent; recorded sex may be a legal entry."),
)  # fmt: skip
PROCEDURES_BY_SEX = (
    ("obstetric", "obstetric", "male", ERROR, "Obstetric procedure in a man", "Only a pregnant person is delivered."),
    ("hysterectomy", "hysterectomy", "male", ERROR, "Removal of the womb of a man", "The organ is absent; recorded sex may be a legal entry."),
    ("prostate_procedure", "prostate_procedure", "female", ERROR, "Procedure on the prostate of a woman", "The organ is absent; recorded sex may be a legal entry."),
    ("vasectomy", "vasectomy", "female", ERROR, "Vasectomy in a woman", "The organ is absent; recorded sex may be a legal entry."),
    ("mammography", "mammography", "male", WARNING, "Mammography in a man", "Men are not screened; one in a hundred breast cancers is a man's."),
)  # fmt: skip
DRUGS_BY_SEX = (
    ("finasteride", "finasteride", "female", WARNING, "Finasteride or dutasteride in a woman", "Labelled for men alone, and harmful to a male foetus; hair loss after the menopause is an off-label use.", "FDA label of finasteride (2021), indications and contraindications, https://dailymed.nlm.nih.gov"),
    ("prostate_alpha", "alpha_blocker_prostate", "female", WARNING, "Tamsulosin or silodosin in a woman", "Labelled for the enlarged prostate; kidney stones are an off-label use.", "FDA label of tamsulosin (2023), indications, https://dailymed.nlm.nih.gov"),
    ("contraceptive", "contraceptive", "male", WARNING, "Hormonal contraceptive in a man", "Prevents pregnancy, which a man cannot have; gender-affirming treatment is a false alarm.", "FDA label of levonorgestrel and ethinyl estradiol (2022), indications, https://dailymed.nlm.nih.gov"),
    ("testosterone", "androgen", "female", WARNING, "Testosterone in a woman", "Labelled for men; gender-affirming treatment is a false alarm.", "FDA label of testosterone (2023), indications, https://dailymed.nlm.nih.gov"),
    ("aromatase", "aromatase", "male", WARNING, "Aromatase inhibitor in a man", "Labelled for women after the menopause; breast cancer of men is rare.", "FDA label of anastrozole (2022), indications, https://dailymed.nlm.nih.gov"),
    ("pde5", "pde5", "female", WARNING, "PDE5 inhibitor in a woman", "Mostly for erectile dysfunction; pulmonary hypertension is a false alarm.", "FDA label of sildenafil (2023), indications, https://dailymed.nlm.nih.gov"),
)  # fmt: skip
OBSERVED_BY_SEX = (
    ("psa", ("2857-1",), "female", WARNING, "PSA measured in a woman", "The prostate makes it; there is nothing to look for."),
    ("pregnancy_test", ("2106-3", "21198-7", "19080-1", "2118-8"), "male", WARNING, "Pregnancy test in a man", "hCG is also a tumour marker of the testis: a false alarm where that is looked for."),
)  # fmt: skip
# id, set of conditions, youngest and oldest age in years at onset, severity, title, why, source
BY_AGE = (
    ("pregnancy.child", "pregnancy", 5, None, ERROR, "Pregnancy under 5", "The youngest mother on record was 5 years and 7 months old.", "Escomel E, La plus jeune mere du monde, Presse Med 1939;47:875"),
    ("pregnancy.young", "pregnancy", 11, None, WARNING, "Pregnancy under 11", "Births under 10 to 14 are rare (fewer than 1 in 5,000 girls a year), and nearly all at 12 to 14.", "CDC NCHS, Births: Final Data for 2021, Natl Vital Stat Rep 2023;72(1)"),
    ("pregnancy.old", "pregnancy", None, 56, WARNING, "Pregnancy over 56", "Fewer than 1 in 10,000 births are to women of 50 and over.", "CDC NCHS, Births: Final Data for 2021, Natl Vital Stat Rep 2023;72(1)"),
    ("pregnancy.aged", "pregnancy", None, 78, ERROR, "Pregnancy over 78", "The oldest reported birth, with a donated egg, was at about 74.", "assumed: no register holds the limit; set beyond the oldest case that newspapers reported (India, 2019)"),
    ("liveborn", "liveborn", None, 0.08, ERROR, "Liveborn code after the first four weeks", "Z38 is given once, in the record of the birth.", ICD),
    ("perinatal", "perinatal", None, 18, WARNING, "Perinatal condition that begins in an adult", "Chapter 16 is for what arises before or just after birth; a lasting effect may keep the code.", ICD),
    ("menopause", "menopause", 30, None, WARNING, "Menopausal disorder under 30", "Menopause before 40 is premature, before 30 one in a thousand women.", "Coulam CB et al., Incidence of premature ovarian failure, Obstet Gynecol 1986;67:604"),
    ("dementia", "dementia", 30, None, WARNING, "Dementia under 30", "Dementia of the young is rare; a code of F01 to F03 or G30 is nearly always of a person over 60.", "Hendriks S et al., Global prevalence of young-onset dementia, JAMA Neurol 2021;78:1080, doi:10.1001/jamaneurol.2021.2161"),
    ("parkinson", "parkinson", 21, None, WARNING, "Parkinson's disease under 21", "Juvenile disease is a rarity of single genes.", RARE),
    ("prostate_cancer", "prostate_cancer", 30, None, WARNING, "Prostate cancer under 30", "SEER counts hardly any case under 35.", "NCI SEER Cancer Stat Facts: Prostate Cancer (2024), percent of new cases by age, https://seer.cancer.gov/statfacts/html/prost.html"),
    ("prostate_enlarged", "prostate_enlarged", 30, None, WARNING, "Enlarged prostate under 30", "Hyperplasia begins after 30.", "Berry SJ et al., The development of human benign prostatic hyperplasia with age, J Urol 1984;132:474, doi:10.1016/S0022-5347(17)49698-4"),
    ("osteoarthritis", "osteoarthritis", 18, None, WARNING, "Osteoarthritis in a child", "Joints wear with age; in children it follows injury or malformation.", RARE),
    ("osteoporosis", "osteoporosis", 18, None, WARNING, "Age-related osteoporosis in a child", "M80 and M81 are of adults; childhood fragility has other codes.", RARE),
    ("type2", "type2", 6, None, WARNING, "Type 2 diabetes under 6", "Type 2 diabetes is hardly seen before puberty.", "Dabelea D et al. (SEARCH), JAMA 2014;311:1778, doi:10.1001/jama.2014.3201: prevalence under 10 years of age near zero"),
    ("copd", "copd", 20, None, WARNING, "COPD under 20", "It takes decades of exposure; in the young it is asthma or a rare gene.", "GOLD Report 2024, https://goldcopd.org"),
    ("infarction", "infarction", 15, None, WARNING, "Myocardial infarction under 15", "Atherosclerosis takes decades; in children it follows Kawasaki disease or a malformation.", RARE),
    ("croup", "croup", None, 16, WARNING, "Croup over 16", "A disease of small airways, from 6 months to 6 years.", RARE),
    ("bronchiolitis", "bronchiolitis", None, 6, WARNING, "Acute bronchiolitis over 6", "A disease of the first two years.", "AAP, Clinical practice guideline: bronchiolitis, Pediatrics 2014;134:e1474, doi:10.1542/peds.2014-2742 (ages 1 to 23 months)"),
    ("colic", "colic", None, 1, WARNING, "Infantile colic after the first year", "By definition of the first five months.", "Rome IV criteria for infant colic, Gastroenterology 2016;150:1443, doi:10.1053/j.gastro.2016.02.016"),
    ("teething", "teething", None, 14, WARNING, "Teething syndrome over 14", "Of the milk teeth.", RARE),
    ("kawasaki", "kawasaki", None, 21, WARNING, "Kawasaki disease over 21", "Four in five are under 5 years.", "McCrindle BW et al., AHA statement on Kawasaki disease, Circulation 2017;135:e927, doi:10.1161/CIR.0000000000000484"),
    ("dependence", "dependence", 9, None, WARNING, "Alcohol or tobacco dependence under 9", "Dependence needs years of use.", RARE),
    ("pyloric", "pyloric", None, 1, WARNING, "Infantile pyloric stenosis after the first year", "It shows between the second week and the fifth month.", RARE),
    ("puberty", "puberty_early", None, 10, WARNING, "Precocious puberty over 10", "By definition before 8 in girls and 9 in boys.", "Carel JC, Leger J, Precocious puberty, N Engl J Med 2008;358:2366, doi:10.1056/NEJMcp0800459"),
    ("attention", "enuresis", 2, None, WARNING, "Attention deficit disorder under 2", "The guideline begins at 4 years.", "AAP, Clinical practice guideline: ADHD, Pediatrics 2019;144:e20192528, doi:10.1542/peds.2019-2528"),
)  # fmt: skip
FAMILY = "relation.patient_id relation.relative_id relation.relation patient.birth_date"


def _sex(table: str, which: Which, wrong: str) -> Body:
    def body(view: View) -> list[Found]:
        here, sex = which(view), view.sex(table)
        return told(table, here & (sex > 0), here & (sex == SEXES[wrong]))

    return body


def _age(name: str, low: float | None, high: float | None) -> Body:
    def body(view: View) -> list[Found]:
        ages = view.ages("condition", "onset")
        known = condition(view, name) & ~np.isnan(ages)
        wrong = np.zeros(len(ages), dtype=bool)
        if low is not None:
            wrong |= ages < low
        if high is not None:
            wrong |= ages > high
        return told("condition", known, known & wrong)

    return body


def _age_now(low: float, high: float) -> Body:
    """Age at death, or at the last encounter of those alive."""

    def body(view: View) -> list[Found]:
        births, deaths = view.births(), view.times("patient", "death_time")
        both = (births >= 0) & (deaths >= 0)
        ages = (deaths - births) / YEAR
        return told("patient", both, both & (ages > low) & (ages <= high))

    return body


def _seen_age(limit: float) -> Body:
    def body(view: View) -> list[Found]:
        ages = view.ages("encounter", "start")
        known = ~np.isnan(ages)
        return told("encounter", known, known & (ages > limit))

    return body


def _pairs(view: View, words: tuple[str, ...]) -> tuple[Flags, Whole, Whole]:
    """Rows of relations of these words with both persons there, and the rows of child and relative."""
    here = view.coded("relation", "relation").one_of(words)
    child = view.place("relation", "patient_id", "patient", "patient_id").astype(np.int64)
    relative = view.place("relation", "relative_id", "patient", "patient_id").astype(np.int64)
    return here & (child >= 0) & (relative >= 0), child, relative


def _of(values: Whole, rows: Whole) -> Whole:
    return np.append(values, np.int64(ABSENT))[rows]


def _parent_age(word: str, low: float, high: float) -> Body:
    """Broken where the parent's age at the child's birth is outside these ends."""

    def body(view: View) -> list[Found]:
        here, child, relative = _pairs(view, (word,))
        born, parent = _of(view.births(), child), _of(view.births(), relative)
        here &= (born >= 0) & (parent >= 0)
        age = (born - parent) / YEAR
        return told("relation", here, here & ((age < low) | (age > high)))

    return body


def _parent_dead(word: str, days: float) -> Body:
    def body(view: View) -> list[Found]:
        here, child, relative = _pairs(view, (word,))
        born, died = _of(view.births(), child), _of(view.deaths(), relative)
        here &= (born >= 0) & (died >= 0)
        return told("relation", here, here & (born > died + days * DAY))

    return body


def _parent_sex(word: str, wrong: str) -> Body:
    def body(view: View) -> list[Found]:
        here, _, relative = _pairs(view, (word,))
        sex = np.append(view.sex("patient"), np.int8(0))[relative]
        return told("relation", here & (sex > 0), here & (sex == SEXES[wrong]))

    return body


def _births_close(view: View) -> list[Found]:
    """Births of one mother between two days and 20 weeks after the last: no twins, and no new pregnancy."""
    here, child, mother = _pairs(view, ("mother",))
    born = _of(view.births(), child)
    rows = np.flatnonzero(here & (born >= 0))
    order = rows[np.lexsort((born[rows], mother[rows]))]
    gap = np.diff(born[order])
    close = (mother[order][1:] == mother[order][:-1]) & (gap > 2 * DAY) & (gap < 140 * DAY)
    failed = np.zeros(len(here), dtype=bool)
    failed[order[1:][close]] = True
    return told("relation", here & (born >= 0), failed)


def _many_children(view: View) -> list[Found]:
    here, _, mother = _pairs(view, ("mother",))
    counts = np.bincount(mother[here], minlength=1)
    return told("relation", here, here & (np.append(counts, 0)[np.where(here, mother, -1)] > 25))


def _own_relative(view: View) -> list[Found]:
    here, child, relative = _pairs(view, ("mother", "father", "child", "spouse", "sibling"))
    return told("relation", here, here & (child == relative))


def _young_spouse(view: View) -> list[Found]:
    """A married, divorced or widowed patient whose last encounter is before 14."""
    ages = view.ages("encounter", "start")
    last = np.full(view.height("patient"), -np.inf)
    who = view.patient("encounter")
    good = ~np.isnan(ages) & (who >= 0)
    np.maximum.at(last, who[good], ages[good])
    here = view.coded("patient", "marital_status").one_of(["married", "divorced", "widowed"]) & np.isfinite(last)
    return told("patient", here, here & (last < 14))


def _young_habit(column: str, words: tuple[str, ...], limit: float) -> Body:
    def body(view: View) -> list[Found]:
        ages = view.ages("encounter", "start")
        last = np.full(view.height("patient"), -np.inf)
        who = view.patient("encounter")
        good = ~np.isnan(ages) & (who >= 0)
        np.maximum.at(last, who[good], ages[good])
        here = view.coded("patient", column).one_of(words) & np.isfinite(last)
        return told("patient", here, here & (last < limit))

    return body


def _rules() -> Iterator[Statement]:
    for key, name, wrong, severity, title, why in BY_SEX:
        yield Statement(
            id=f"sex.{key}", title=title, severity=severity, needs=f"{DIAGNOSES} patient.sex", why=why, source=BODY,
            body=_sex("condition", lambda view, name=name: condition(view, name), wrong),  # type: ignore[misc]
        )  # fmt: skip
    for key, name, wrong, severity, title, why in PROCEDURES_BY_SEX:
        yield Statement(
            id=f"sex.{key}", title=title, severity=severity, needs="procedure.code procedure.patient_id patient.sex",
            why=why, source=BODY,
            body=_sex("procedure", lambda view, name=name: procedure(view, name), wrong),  # type: ignore[misc]
        )  # fmt: skip
    for key, name, wrong, severity, title, why, source in DRUGS_BY_SEX:
        yield Statement(
            id=f"sex.{key}", title=title, severity=severity, needs="medication.display medication.patient_id patient.sex",
            why=why, source=source,
            body=_sex("medication", lambda view, name=name: drug(view, name), wrong),  # type: ignore[misc]
        )  # fmt: skip
    for key, codes, wrong, severity, title, why in OBSERVED_BY_SEX:
        yield Statement(
            id=f"sex.{key}", title=title, severity=severity, needs="observation.code observation.patient_id patient.sex",
            why=why, source=BODY,
            body=_sex("observation", lambda view, codes=codes: view.coded("observation", "code").one_of(codes), wrong),  # type: ignore[misc]
        )  # fmt: skip
    for key, name, low, high, severity, title, why, source in BY_AGE:
        yield Statement(
            id=f"age.{key}", title=title, severity=severity, needs=f"{DIAGNOSES} condition.onset patient.birth_date",
            why=why, source=source, body=_age(name, low, high),
        )  # fmt: skip
    oldest = "Robine JM, Allard M, The oldest human, Science 1998;279:1831: Jeanne Calment, 122 years and 164 days"
    life = "patient.birth_date patient.death_time"
    yield Statement(id="age.death.impossible", title="Age at death over 123", severity=ERROR, needs=life, why="Nobody is known to have lived so long. Dates that were moved to hide great age (MIMIC-III) are a false alarm.", source=oldest, body=_age_now(123, np.inf))  # fmt: skip
    yield Statement(id="age.death.old", title="Age at death over 110", severity=WARNING, needs=life, why="Fewer than one in a million dies so old.", source="Gerontology Research Group, validated supercentenarians (2023), https://www.grg-supercentenarians.org", body=_age_now(110, 123))  # fmt: skip
    yield Statement(id="age.seen", title="Encounter over 123 years of age", severity=ERROR, needs="encounter.start encounter.patient_id patient.birth_date", why="Nobody is known to have lived so long; a death was never entered.", source=oldest, body=_seen_age(123))  # fmt: skip
    births = "CDC NCHS, Births: Final Data for 2021, Natl Vital Stat Rep 2023;72(1): mothers of 10 to 54"
    for key, word, low, high, severity, title, why, source in (
        ("mother.age", "mother", 12, 55, WARNING, "Mother under 12 or over 55 at the birth", "Nearly all mothers are between; the rest are very rare.", births),
        ("mother.age.impossible", "mother", 5, 78, ERROR, "Mother under 5 or over 78 at the birth", "Outside everything on record; most are grandmothers or sisters.", "Escomel E, Presse Med 1939;47:875 (youngest); the upper end is assumed beyond the oldest reported birth"),
        ("father.age", "father", 12, 80, WARNING, "Father under 12 or over 80 at the birth", "Very rare.", "assumed: birth statistics do not list fathers of such age"),
        ("father.age.impossible", "father", 8, 105, ERROR, "Father under 8 or over 105 at the birth", "Outside everything on record.", "assumed: set beyond the extremes that have been reported"),
    ):  # fmt: skip
        yield Statement(id=f"family.{key}", title=title, severity=severity, needs=FAMILY, why=why, source=source, body=_parent_age(word, low, high))  # fmt: skip
    for key, word, days, severity, title, why, source in (
        ("mother.dead", "mother", 1, WARNING, "Mother who was dead when her child was born", "Only a mother who is kept on support after brain death gives birth later than her day of death.", "Esmaeilzadeh M et al., One life ends, another begins, BMC Med 2010;8:74, doi:10.1186/1741-7015-8-74: 30 cases"),
        ("mother.dead.impossible", "mother", 200, ERROR, "Mother dead for more than 200 days at the birth", "Longer than any support after brain death.", "Esmaeilzadeh M et al., BMC Med 2010;8:74, doi:10.1186/1741-7015-8-74: up to 107 days; doubled"),
        ("father.dead", "father", 310, WARNING, "Father dead for more than 310 days at the birth", "Longer than a pregnancy; stored sperm is a false alarm.", LONG_PREGNANCY),
    ):  # fmt: skip
        yield Statement(id=f"family.{key}", title=title, severity=severity, needs=f"{FAMILY} patient.death_time", why=why, source=source, body=_parent_dead(word, days))  # fmt: skip
    for word, wrong in (("mother", "male"), ("father", "female")):
        yield Statement(id=f"family.{word}.sex", title=f"{word.title()} who is {wrong}", severity=ERROR, needs=f"{FAMILY} patient.sex", why="A relation by birth has a sex. Recorded sex may be a legal entry.", source=BODY, body=_parent_sex(word, wrong))  # fmt: skip
    yield Statement(id="family.births", title="Two births of one mother within 20 weeks", severity=WARNING, needs=FAMILY, why="Children of one mother are twins, or a pregnancy apart; a twin born weeks after the other is very rare.", source=LONG_PREGNANCY, body=_births_close)  # fmt: skip
    yield Statement(id="family.children", title="Mother of more than 25 children", severity=WARNING, needs=FAMILY, why="A mother that a table names so often is a default value.", source="assumed: far above the largest families that civil registers hold today", body=_many_children)  # fmt: skip
    yield Statement(id="family.self", title="Patient who is a relative of himself", severity=ERROR, needs="relation.patient_id relation.relative_id relation.relation", why="A relation has two persons.", source="By logic.", body=_own_relative)  # fmt: skip
    seen = "encounter.start encounter.patient_id patient.birth_date"
    yield Statement(id="age.married", title="Married under 14", severity=WARNING, needs=f"patient.marital_status {seen}", why="No US state marries people under 14; elsewhere it is rare.", source="Tahirih Justice Center, Making Progress (2023): minimum marriage ages of US states", body=_young_spouse)  # fmt: skip
    yield Statement(id="age.smoking", title="Smoker under 8", severity=WARNING, needs=f"patient.smoking {seen}", why="Hardly a child smokes regularly before 10.", source="CDC, National Youth Tobacco Survey 2023, MMWR 2023;72:1173 (begins with grade 6)", body=_young_habit("smoking", ("current", "former"), 8))  # fmt: skip
    yield Statement(id="age.alcohol", title="Heavy drinker under 9", severity=WARNING, needs=f"patient.alcohol {seen}", why="Regular heavy drinking does not occur in small children.", source="SAMHSA, National Survey on Drug Use and Health 2022 (begins at 12)", body=_young_habit("alcohol", ("heavy",), 9))  # fmt: skip
    yield Statement(id="age.college", title="College degree under 16", severity=WARNING, needs=f"patient.education {seen}", why="A degree takes 12 years of school and years of college.", source="assumed: US Census Bureau counts attainment from 18 (Educational Attainment 2022)", body=_young_habit("education", ("college",), 16))  # fmt: skip


LONG_PREGNANCY = "Jukic AM et al., Length of human pregnancy, Hum Reprod 2013;28:2848, doi:10.1093/humrep/det297"
RULES = tuple(_rules())
