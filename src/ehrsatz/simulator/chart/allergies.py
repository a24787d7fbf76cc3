"""Allergies to drugs, foods and what is in the air: when they begin, what they do, and which drugs they rule out.

A drug allergy begins at the person's first course of the class where there is one: the course stops, those that would
follow are not given, and a penicillin in an infection is replaced by azithromycin. Otherwise it was noted at some age.
Foods begin in childhood or later by allergen; pollen, mites, dander and mould belong to allergic rhinitis and asthma.

References
----------
Zhou L et al., Drug allergies documented in electronic health records of a large healthcare system, Allergy
2016;71:1305, doi:10.1111/all.12881: penicillins 12.8, sulfonamide antibiotics 7.4, NSAIDs 3.5 % of patients of two
hospitals, antibiotics in 15.2 % of women and 9.5 % of men. West RM et al., J Antimicrob Chemother 2019;74:2075:
penicillin 5.9 % in general practice. The shares here lie between.
Gupta RS et al., The public health impact of parent-reported childhood food allergies in the United States, Pediatrics
2018;142:e20181235: peanut 2.2, milk 1.9, shellfish 1.3, tree nut 1.2 % of children, 7.6 % any, 42 % severe.
Gupta RS et al., Prevalence and severity of food allergies among US adults, JAMA Netw Open 2019;2:e185630: 10.8 % of
adults, half of them with one that began in adulthood; shellfish, milk and peanut lead.
Reactions and severities, the other foods, ages at which they begin, sensitisations behind rhinitis, venom and latex:
assumed in the size of textbooks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ehrsatz.clinical import RXNORM, SNOMED
from ehrsatz.simulator.chart.asks import MINUTES
from ehrsatz.simulator.chart.part import Chart, Part
from ehrsatz.simulator.history import YEAR, Courses, Floats, History, Ints
from ehrsatz.simulator.module import Treatment

Code = tuple[str, str]
MEDICATION, FOOD, ENVIRONMENT = 0, 1, 2
MILD, MODERATE, SEVERE = 0, 1, 2
STOPPED = "adverse reaction"
REACTION_DAYS = (0.05, 6.0)  # from the first dose; assumed: at once to a rash in the first week
RASH, HIVES, SWELLING = (SNOMED, "271807003"), (SNOMED, "247472004"), (SNOMED, "402387002")
ANAPHYLAXIS, ITCHING, NAUSEA = (SNOMED, "39579001"), (SNOMED, "418290006"), (SNOMED, "422587007")
DIARRHEA, WHEEZING, EYES = (SNOMED, "62315008"), (SNOMED, "56018004"), (SNOMED, "878820003")
SNEEZING = (SNOMED, "76067001")
TO_DRUGS = (
    (RASH, 0.5, MILD),
    (HIVES, 0.25, MODERATE),
    (ITCHING, 0.12, MILD),
    (SWELLING, 0.08, SEVERE),
    (ANAPHYLAXIS, 0.05, SEVERE),
)
TO_PAIN = ((HIVES, 0.35, MODERATE), (SWELLING, 0.25, SEVERE), (WHEEZING, 0.2, MODERATE), (RASH, 0.2, MILD))
TO_FOODS = (
    (HIVES, 0.38, MODERATE),
    (ITCHING, 0.15, MILD),
    (SWELLING, 0.15, SEVERE),
    (ANAPHYLAXIS, 0.22, SEVERE),
    (NAUSEA, 0.05, MILD),
    (DIARRHEA, 0.05, MILD),
)
TO_AIR = ((EYES, 0.6, MILD), (SNEEZING, 0.25, MILD), (WHEEZING, 0.15, MODERATE))
TO_VENOM = ((HIVES, 0.4, MODERATE), (SWELLING, 0.35, MODERATE), (ANAPHYLAXIS, 0.25, SEVERE))
Reactions = tuple[tuple[Code, float, int], ...]


@dataclass(frozen=True)
class Drugs:
    """A class of drugs that people are allergic to together."""

    name: str
    code: Code
    women: float
    men: float
    reactions: Reactions
    members: frozenset[str]  # RxNorm


CLASSES = (
    Drugs("penicillin", (RXNORM, "7984"), 0.105, 0.065, TO_DRUGS, frozenset({
        "308192", "308182", "834061", "834102", "562508", "617296", "562251", "1659149", "1659131", "105078"})),
    Drugs("sulfonamide", (RXNORM, "10831"), 0.060, 0.030, TO_DRUGS, frozenset({"198335", "198334"})),
    Drugs("cephalosporin", (RXNORM, "2231"), 0.012, 0.008, TO_DRUGS, frozenset({
        "1665021", "1665060", "197454", "200346", "1656318", "309045", "309097", "309076", "309078"})),
    Drugs("nsaid", (RXNORM, "5640"), 0.025, 0.015, TO_PAIN, frozenset({
        "310965", "198405", "206905", "198014", "849574"})),
    Drugs("aspirin", (RXNORM, "1191"), 0.012, 0.009, TO_PAIN, frozenset({"243670", "212033", "2563431"})),
)  # fmt: skip
INSTEAD = Treatment(
    id="spared_azithromycin",
    rxnorm="308460",
    dose=250,
    dose_unit="mg",
    route="oral",
    per_day=1,
    share=1.0,
    days=5,
    source="assumed",
)  # for oral penicillins from 12 years on: IDSA, Shulman ST et al., Clin Infect Dis 2012;55:e86 (macrolide in allergy)
ORAL = frozenset({"308192", "308182", "834061", "834102", "562508", "617296", "562251"})


@dataclass(frozen=True)
class Other:
    """Something that is no drug: share of people with it, and when it begins."""

    name: str
    code: Code
    category: int
    share: float
    ages: tuple[float, float]  # between which most begin
    reactions: Reactions
    atopic: float = 2.0  # how many times likelier with atopic dermatitis, asthma or rhinitis


FOODS = (
    Other("peanut", (SNOMED, "762952008"), FOOD, 0.017, (0.6, 5), TO_FOODS),
    Other("milk", (SNOMED, "3718001"), FOOD, 0.014, (0.3, 3), TO_FOODS),
    Other("egg", (SNOMED, "102263004"), FOOD, 0.008, (0.5, 3), TO_FOODS),
    Other("tree nut", (SNOMED, "442571000124108"), FOOD, 0.011, (1, 20), TO_FOODS),
    Other("shellfish", (SNOMED, "735029006"), FOOD, 0.021, (4, 45), TO_FOODS),
    Other("fish", (SNOMED, "735971005"), FOOD, 0.006, (1, 40), TO_FOODS),
    Other("wheat", (SNOMED, "412071004"), FOOD, 0.004, (0.5, 25), TO_FOODS),
    Other("soy", (SNOMED, "256355007"), FOOD, 0.004, (0.4, 4), TO_FOODS),
    Other("bee venom", (SNOMED, "288328004"), ENVIRONMENT, 0.008, (4, 60), TO_VENOM, 1.0),
    Other("latex", (SNOMED, "111088007"), ENVIRONMENT, 0.006, (15, 55), TO_DRUGS, 1.5),
)
AIR = (  # shares of those with allergic rhinitis whose record names it; half as many with asthma alone
    Other("grass pollen", (SNOMED, "256277009"), ENVIRONMENT, 0.14, (0, 0), TO_AIR),
    Other("tree pollen", (SNOMED, "782576004"), ENVIRONMENT, 0.12, (0, 0), TO_AIR),
    Other("dust mite", (SNOMED, "260147004"), ENVIRONMENT, 0.16, (0, 0), TO_AIR),
    Other("dander", (SNOMED, "264287008"), ENVIRONMENT, 0.11, (0, 0), TO_AIR),
    Other("mold", (SNOMED, "84489001"), ENVIRONMENT, 0.06, (0, 0), TO_AIR),
)
ATOPIC = ("allergic_rhinitis", "asthma", "atopic_dermatitis")
SHARE_ATOPIC = 0.35  # of people, about, with one of these in their lives: keeps the shares of foods


def spared(history: History) -> History:
    """Return lives in which a course that brought an allergy stops, and no other of its class follows."""
    courses = list(history.courses)
    added: list[Courses] = []
    for one in CLASSES:
        rows = [k for k, course in enumerate(courses) if course.treatment.rxnorm in one.members]
        person, start, owner, place = _joined(courses, rows)
        allergic = _allergic(history, one)
        order = np.lexsort((owner, start, person))
        order = order[allergic[person[order]]]
        lead = np.r_[True, person[order][1:] != person[order][:-1]] if len(order) else np.zeros(0, bool)
        for k in rows:
            mine = order[owner[order] == k]
            if not len(mine):
                continue
            first = place[order[lead & (owner[order] == k)]]
            later = place[order[~lead & (owner[order] == k)]]
            if one.name == "penicillin" and courses[k].treatment.rxnorm in ORAL:
                added += _replaced(history, courses, courses[k], later)
            courses[k] = _stopped(history, courses[k], one, first, later)
    return replace(history, courses=(*courses, *added))


def _joined(courses: list[Courses], rows: list[int]) -> tuple[Ints, Floats, Ints, Ints]:
    """Return person, start, number of the course and place within it, of all users of some courses."""
    none = np.zeros(0, np.int64)
    return (
        np.concatenate([none, *(courses[k].person for k in rows)]),
        np.concatenate([np.zeros(0), *(courses[k].start for k in rows)]),
        np.concatenate([none, *(np.full(len(courses[k].person), k) for k in rows)]),
        np.concatenate([none, *(np.arange(len(courses[k].person)) for k in rows)]),
    )


def _allergic(history: History, one: Drugs) -> np.ndarray:
    """Return whether people (N,) ever become allergic to a class of drugs."""
    u = history.draw(f"allergy {one.name}", np.arange(history.people.n))[:, 0]
    return u < np.where(history.people.sex == 0, one.women, one.men)


def _delay(history: History, name: str, person: Ints) -> Floats:
    """Return days (R,) from the first dose to the reaction."""
    u = history.draw(f"reaction {name}", person)[:, 0]
    return REACTION_DAYS[0] + (REACTION_DAYS[1] - REACTION_DAYS[0]) * u**2


def _stopped(history: History, course: Courses, one: Drugs, first: Ints, later: Ints) -> Courses:
    """Stop the courses that brought the allergy, and leave out those after."""
    reasons = course.treatment.stop_reasons
    treatment = course.treatment
    if STOPPED not in reasons:
        treatment = treatment.model_copy(update={"stop_reasons": {**reasons, STOPPED: 0.0}})
    stop, stopped = course.stop.copy(), course.stopped.copy()
    stop[first] = np.fmin(stop[first], course.start[first] + _delay(history, one.name, course.person[first]))
    stopped[first] = tuple(treatment.stop_reasons).index(STOPPED)
    keep = np.ones(len(stop), bool)
    keep[later] = False
    return replace(
        course,
        treatment=treatment,
        person=course.person[keep],
        start=course.start[keep],
        stop=stop[keep],
        stopped=stopped[keep],
        attack=course.attack[keep],
    )


def _replaced(history: History, courses: list[Courses], course: Courses, rows: Ints) -> list[Courses]:
    """Return azithromycin instead of oral penicillins, of those of 12 years and over who have none in the episode."""
    person, attack = course.person[rows], course.attack[rows]
    old = (course.start[rows] - history.people.birth[person]) / YEAR >= 12
    has = np.zeros(len(rows), bool)
    for other in courses:
        if other.source == course.source and other.treatment.rxnorm == INSTEAD.rxnorm:
            has |= np.isin(attack, other.attack)
    rows = rows[old & ~has & (attack >= 0)]
    if not len(rows):
        return []
    start = course.start[rows]
    return [
        replace(
            course,
            treatment=INSTEAD,
            person=course.person[rows],
            start=start,
            stop=start + float(INSTEAD.days or 5),
            stopped=np.full(len(rows), -1),
            attack=course.attack[rows],
        )
    ]


class Allergies(Part):
    """Write allergies at the first visit after they begin."""

    def write(self, chart: Chart) -> None:
        """Write allergies to drugs, foods and the air."""
        for one in CLASSES:
            person = np.flatnonzero(_allergic(chart.history, one))
            onset = _onset(chart, one)[person]
            _note(chart, one.name, one.code, MEDICATION, one.reactions, person, onset)
        atopic = _since(chart.history, ATOPIC) < np.inf
        for other in FOODS:
            u = chart.history.draw(f"allergy {other.name}", np.arange(chart.history.people.n), width=2)
            base = other.share / (1 + (other.atopic - 1) * SHARE_ATOPIC)
            person = np.flatnonzero(u[:, 0] < base * np.where(atopic, other.atopic, 1.0))
            age = other.ages[0] + (other.ages[1] - other.ages[0]) * u[person, 1] ** 1.5
            onset = chart.history.people.birth[person] + age * YEAR
            _note(chart, other.name, other.code, other.category, other.reactions, person, onset)
        rhinitis, asthma = _since(chart.history, ("allergic_rhinitis",)), _since(chart.history, ("asthma",))
        since = np.minimum(rhinitis, asthma)
        for other in AIR:
            u = chart.history.draw(f"allergy {other.name}", np.arange(chart.history.people.n))[:, 0]
            share = np.where(rhinitis < np.inf, other.share, np.where(asthma < np.inf, other.share / 2, 0.0))
            person = np.flatnonzero(u < share)
            _note(chart, other.name, other.code, other.category, other.reactions, person, since[person])


def _since(history: History, names: tuple[str, ...]) -> Floats:
    """Return the first diagnosis (N,) of some conditions, inf: never."""
    out = np.full(history.people.n, np.inf)
    for name in names:
        spells = history.spells.get(name)
        if spells is not None:
            np.minimum.at(out, spells.person, spells.diagnosed)
    return out


def _onset(chart: Chart, one: Drugs) -> Floats:
    """Return when people (N,) react: some days into their first course, or at an age of their own."""
    history = chart.history
    people = history.people
    everyone = np.arange(people.n)
    u = history.draw(f"allergy age {one.name}", everyone, width=2)
    age = np.where(u[:, 0] < 0.55, 1 + 14 * u[:, 1], 15 + 50 * u[:, 1] ** 1.3)  # half in childhood: assumed
    delay = _delay(history, one.name, everyone)
    first = np.full(people.n, np.inf)
    for course in history.courses:
        if course.treatment.rxnorm in one.members:
            np.minimum.at(first, course.person, course.start)
    met = chart.encounters
    assert met is not None
    codes = [k for k, (system, code) in enumerate(chart.book.entries) if system == RXNORM and code in one.members]
    ordered = np.full(people.n, np.inf)
    for rows in chart.rows.get("medication", []):
        here = np.isin(rows["code"], codes)
        encounter: Ints = rows["encounter"][here].astype(np.int64)
        np.minimum.at(ordered, met.person[encounter], rows["start"][here].astype(np.float64))
    begun = np.where(np.isfinite(ordered), ordered, first)
    return np.where(np.isfinite(begun), begun + delay, people.birth + age * YEAR)


def _note(
    chart: Chart, name: str, code: Code, category: int, reactions: Reactions, person: Ints, onset: Floats
) -> None:
    """Write an allergy of people (R,) at their first encounter after its onset."""
    met = chart.encounters
    assert met is not None
    if not len(person) or not len(met.person):
        return
    key = met.person * 1e6 + met.start
    at = np.searchsorted(key, person * 1e6 + np.minimum(onset, 9e5) - 20 * MINUTES)
    safe = np.minimum(at, len(key) - 1)
    keep = (at < len(key)) & (met.person[safe] == person)
    person, onset, row = person[keep], onset[keep], safe[keep]
    u = chart.history.draw(f"allergy reaction {name}", person)[:, 0]
    which = np.searchsorted(np.cumsum([share for _, share, _ in reactions])[:-1], u, side="right")
    n = len(person)
    chart.add(
        "allergy",
        {
            "encounter": row,
            "code": np.full(n, chart.book.place(*code)),
            "category": np.full(n, category),
            "reaction": np.array([chart.book.place(*what) for what, _, _ in reactions])[which],
            "severity": np.array([severity for _, _, severity in reactions])[which],
            "onset": np.floor(onset * 1440) / 1440,
        },
    )
