"""Cancers against the register: incidence, survival by stage, screenings; rare diseases against their rarity."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.simulator.history import YEAR
from ehrsatz.simulator.load import Modules, load_modules
from ehrsatz.simulator.module import Condition, Mortality, Table
from ehrsatz.simulator.targets import read_published
from simulator.small import REFERENCE, flat, folk, knowledge, lives, module

STANDARD = {  # US population of 2000 per 100,000 by five-year band; NCI, SEER, Standard populations, 19 age groups
    0: 6914, 5: 7253, 10: 7303, 15: 7217, 20: 6648, 25: 6453, 30: 7104, 35: 8076, 40: 8185, 45: 7212, 50: 6272,
    55: 4845, 60: 3879, 65: 3426, 70: 3177, 75: 2700, 80: 1784, 85: 1551,
}  # fmt: skip
WOMEN = {0: 0.49, 50: 0.505, 65: 0.53, 75: 0.57, 85: 0.64}  # share of residents; Census Bureau, Vintage 2022, rounded
SEER = {  # new cases per 100,000 and year, adjusted to that population; NCI, SEER Cancer Stat Facts, 2024
    "breast_cancer": (129.4, "female"),
    "colorectal_cancer": (36.5, None),
    "prostate_cancer": (116.5, "male"),
    "melanoma": (21.9, None),
    "bladder_cancer": (18.0, None),
    "kidney_cancer": (17.3, None),
    "pancreatic_cancer": (13.5, None),
    "liver_cancer": (9.4, None),
    "thyroid_cancer": (13.5, None),
    "endometrial_cancer": (27.8, "female"),
    "ovarian_cancer": (10.2, "female"),
    "cervical_cancer": (7.6, "female"),
    "lymphoma": (18.6, None),
    "multiple_myeloma": (7.2, None),
    "acute_myeloid_leukemia": (4.2, None),
}
RARITY = {  # born with it per 100,000 of the sex in question; the sources stand in the modules
    "cystic_fibrosis": 25,
    "sickle_cell_disease": 51,
    "phenylketonuria": 7.2,
    "hemophilia_a": 17.8,
    "duchenne": 19.8,
    "marfan": 20,
    "gaucher": 1.75,
    "wilson_disease": 3,
    "hereditary_angioedema": 2,
    "down_syndrome": 157,
    "tetralogy_of_fallot": 46,
    "spina_bifida": 36,
    "cleft_lip": 100,
    "turner_syndrome": 50,
    "klinefelter_syndrome": 38,
}
ALSO_RARE = (
    "huntington",
    "als",
    "myasthenia_gravis",
    "systemic_lupus",
    "acromegaly",
    "addison_disease",
    "systemic_sclerosis",
)


@pytest.fixture(scope="module")
def modules() -> Modules:
    """Bundled modules."""
    return load_modules()


def adjusted(table: Table, sex: str | None) -> float:
    """Return the rate per 100,000 adjusted to the standard population, of one sex or of both."""
    total = 0.0
    for age, weight in STANDARD.items():
        band = int(np.searchsorted(np.array(table.ages), age + 2.5, side="right")) - 1
        share = next(value for low, value in reversed(WOMEN.items()) if age >= low)
        women, men = table.of("female")[band], table.of("male")[band]
        both = {"female": women, "male": men, None: share * women + (1 - share) * men}
        total += weight * both[sex]  # type: ignore[index]
    return 1e5 * total / sum(STANDARD.values())


@pytest.mark.parametrize("name", SEER)
def test_incidence_is_that_of_the_register(modules: Modules, name: str) -> None:
    """Adjusted to the population of 2000, the rates are those printed."""
    table = modules.conditions[name].incidence
    assert table is not None
    rate, sex = SEER[name]
    assert adjusted(table, sex) == pytest.approx(rate, rel=0.03)


def test_lung_cancer_is_both_kinds(modules: Modules) -> None:
    """Small cell and other lung cancer together have the printed rate, and most have smoked."""
    tables = [modules.conditions[name].incidence for name in ("lung_cancer", "small_cell_lung_cancer")]
    assert sum(adjusted(table, None) for table in tables if table) == pytest.approx(49.0, rel=0.03)
    smoking = next(risk for risk in modules.conditions["lung_cancer"].risk if risk.factor == "smoking")
    assert smoking.levels is not None and 15 <= smoking.levels["current"] <= 25


def survival(condition: Condition, stage: str | None) -> float:
    """Return the five-year relative survival that a condition's stages mean, all or those diagnosed in one."""
    n, years = 4_000, 5.0
    time = np.linspace(0, years, n + 1)

    def alone(death: Mortality | None) -> np.ndarray:
        later = 0.0 if death is None else death.per_year
        first = later if death is None or death.first_year is None else death.first_year
        return np.exp(-(first * np.minimum(time, 1) + later * np.maximum(time - 1, 0)))

    if not condition.stages:
        return float(alone(condition.mortality)[-1])
    curves = [alone(one.mortality) for one in condition.stages]
    for k in range(len(curves) - 2, -1, -1):
        leave = condition.stages[k + 1].per_year
        if leave:
            stay = curves[k] * np.exp(-leave * time)
            curves[k] = stay + np.convolve(leave * stay, curves[k + 1])[: n + 1] * (years / n)
    ends = {one.id: float(curve[-1]) for one, curve in zip(condition.stages, curves, strict=True)}
    return ends[stage] if stage else sum(one.at_onset * ends[one.id] for one in condition.stages)


@pytest.mark.parametrize("one", read_published().survival, ids=lambda one: f"{one.condition}-{one.stage or 'all'}")
def test_survival_is_that_of_the_register(modules: Modules, one) -> None:  # type: ignore[no-untyped-def]
    """Five years after the diagnosis as many are alive, beside others of their age, as the register says.

    Stage I of the bowel and lung is a little wider than localized disease.
    """
    reached = survival(modules.conditions[one.condition], one.stage)
    assert reached == pytest.approx(one.share, abs=0.045)


def test_every_large_cancer_has_stages_treatment_and_follow_up(modules: Modules) -> None:
    """Four AJCC stages, the last one deadliest; a biopsy of everybody; drugs, operation, scans with reports."""
    for name in ("breast_cancer", "colorectal_cancer", "lung_cancer", "prostate_cancer"):
        one = modules.conditions[name]
        assert [stage.id for stage in one.stages] == ["i", "ii", "iii", "iv"]
        deaths = [0 if stage.mortality is None else stage.mortality.per_year for stage in one.stages]
        assert deaths[3] == max(deaths) > 0.15
        assert any(part.share == 1 and part.per_year is None for part in one.procedures)
        assert len(one.treatments) >= 5 and len(one.imaging) >= 2
        assert {part.stage for part in one.treatments} & {"iv"} or name == "lung_cancer"
        assert one.remission_until_stage == "iv" and one.remission_after_years == 5


def test_screenings_cover_the_recommended(modules: Modules) -> None:
    """Breast, bowel, lung, prostate and cervix are looked for at their ages, in the right sex and people."""
    found = {one.id: one for module in modules.modules.values() for one in module.screenings}
    assert {"mammography", "colonoscopy", "stool_test", "lung_screening", "psa_screening", "cervical_cytology"} <= set(
        found
    )
    assert found["mammography"].sex == "female" and found["mammography"].ages == (40, 75)
    assert found["lung_screening"].among == {"smoking": ("current",)}
    assert found["psa_screening"].sex == "male" and found["psa_screening"].panel == "psa"


@pytest.mark.parametrize("name", RARITY)
def test_rare_diseases_are_as_rare_as_published(modules: Modules, name: str) -> None:
    """The share born with a disease is the published one, of the sex that has it, and it is marked as rare."""
    one = modules.conditions[name]
    assert one.rare and one.birth is not None
    figures = [one.birth.of(sex)[0] for sex in ("female", "male") if one.sex in (None, sex)]  # type: ignore[arg-type]
    assert figures == pytest.approx([RARITY[name] * 1e-5] * len(figures))


def test_the_other_rare_diseases(modules: Modules) -> None:
    """Those that begin later are rare too: fewer than 1 in 400 at any age."""
    for name in ALSO_RARE:
        one = modules.conditions[name]
        table = one.prevalence or one.incidence
        assert one.rare and table is not None
        assert max(table.of("female") + table.of("male")) < 1 / 400, name
    assert len(RARITY) + len(ALSO_RARE) >= 20


# ------------------------------------------------------------------ what the form of a module gained for them
def staged(**more: object) -> dict[str, object]:
    stages = [
        {"id": "early", "title": "Early", "at_onset": 0.5},
        {"id": "late", "title": "Late", "at_onset": 0.5},
    ]
    return {"id": "a", "incidence": flat(0.02), "stages": stages, **more}


def test_treatment_until_a_stage() -> None:
    """Nobody who begins in the late stage gets what is given until it; half of all do, all of them early."""
    drug = {"id": "d", "rxnorm": "1", "dose": 1, "dose_unit": "mg", "route": "oral", "per_day": 1, "share": 1,
            "delay_years": 0, "until_stage": "late", "source": "assumed_test"}  # fmt: skip
    history = lives(knowledge(module([staged(treatments=[drug])])), folk(8_000))
    spells = history.spells["a"]
    early = np.zeros(8_000, bool)
    early[spells.person[~np.isnan(spells.stage_from[:, 0])]] = True
    taken = np.zeros(8_000, bool)
    taken[history.courses[0].person] = True
    assert not (taken & ~early).any()
    assert taken.sum() > 0.95 * early.sum() > 0


def test_cure_after_years_and_not_in_a_stage() -> None:
    """None is cured before five years, nor anybody who is in the late stage; others are at their rate."""
    more = {"remission_per_year": 0.3, "remission_after_years": 5, "remission_until_stage": "late"}
    history = lives(knowledge(module([staged(**more)])), folk(8_000))
    spells = history.spells["a"]
    late = np.isnan(spells.stage_from[:, 0])
    lasted = (np.where(np.isnan(spells.stop), np.inf, spells.stop) - spells.onset) / YEAR
    assert np.isinf(lasted[late]).all()
    assert lasted.min() >= 5
    watched = ~late & (REFERENCE - spells.onset > 10 * YEAR)
    assert np.mean(lasted[watched] < 10) == pytest.approx(1 - np.exp(-1.5), abs=0.04)


def test_people_born_with_what_kills_by_age_are_as_rare_as_their_survivors() -> None:
    """Of those alive at the start of the window, the share born with it is that of survivors to their age."""
    table = {"ages": [0, 10, 30], "female": [0.0, 0.01, 0.02], "male": [0.0, 0.01, 0.02]}
    one = {"id": "a", "birth": flat(0.5), "mortality": {"per_year_by_age": {**table, "source": "assumed_test"},
           "cause": "R69", "source": "assumed_test"}}  # fmt: skip
    history = lives(knowledge(module([one])), folk(20_000))
    people = history.people
    age = (people.start - people.birth) / YEAR
    has = np.zeros(people.n, bool)
    has[history.spells["a"].person] = True
    window = age[0]
    spent = 0.01 * min(max(window - 10, 0), 20) + 0.02 * max(window - 30, 0)
    assert spent > 0.5
    assert has.mean() == pytest.approx(0.5 * np.exp(-spent), abs=0.012)
