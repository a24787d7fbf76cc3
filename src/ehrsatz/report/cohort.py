"""The edition of the report for simulated cohorts: its readers, themes, limits and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ehrsatz.report.edition import Edition
from ehrsatz.report.figures.base import Picture, table
from ehrsatz.report.figures.cohort import DRAWN
from ehrsatz.report.format import number
from ehrsatz.report.words import Reader

READERS = (
    Reader(
        "engineer",
        "QA engineer",
        "Can software be tested with it?",
        ("Rules", "Codes", "Keys", "Formats", "Quotas", "Your figures"),
        ("plausibility",),
        ("Patients",),
    ),
    Reader(
        "clinician",
        "Clinician",
        "Do these patients look like mine?",
        ("Patients", "Labs and vitals", "Going together"),
        (),
        ("Prevalence", "Multimorbidity", "Rules"),
    ),
    Reader(
        "epidemiologist",
        "Epidemiologist",
        "Is this population like the published one?",
        ("Prevalence", "Incidence", "Multimorbidity", "Life and death", "Use of care"),
        (),
        ("Labs and vitals", "Going together"),
    ),
    Reader(
        "privacy-officer",
        "Privacy officer",
        "Is anybody in it?",
        ("Identifiers",),
        (),
        (),
    ),
)

THEMES = {
    "Rules": "Statements that hold in any record: nothing happens before birth or after death, codes fit sex and age, "
    "doses and values lie within what can be, drugs fit conditions, totals add up.",
    "Codes": "Every code stands in the list of its system.",
    "Keys": "Every key leads to a row, and every visit takes time.",
    "Formats": "The same cohort in several formats: each was read back and compared with the others, cell by cell.",
    "Quotas": "Who was asked for, counted again in the tables.",
    "Your figures": "Shares that the scenario asks for instead of the published ones.",
    "Patients": "A few whole records, chosen by what they hold and never by a draw. Bars are conditions and medicines "
    "with their stages and doses, an arrow means that it goes on; ticks and boxes are visits; grey ground stands for "
    "the years before routine care is in the record; green ground is the reference range.",
    "Labs and vitals": "What is measured, by age and sex, beside the survey that it is calibrated to.",
    "Going together": "Measurements of one person belong together: weight with blood pressure, HbA1c with glucose.",
    "Prevalence": "Who has which condition on the reference date, by age and sex, beside the published figure.",
    "Incidence": "New cases a year, where they and not the prevalence are published.",
    "Multimorbidity": "Who has several conditions, and which come together more often than chance.",
    "Life and death": "How long people live, what they die of, and how many survive a cancer.",
    "Use of care": "How often people are seen, where, and for how long.",
    "Identifiers": "Nobody's data were used: every person is drawn from published figures by a seed. Names, addresses "
    "and numbers come from ranges that are given to nobody.",
}

LIMITS = (
    "These people do not exist. No record was copied or learned from; whoever bears the same name does so by chance.",
    "Not for care, and no evidence: nothing that is found in these records is a finding about people. They hold what "
    "published figures and the modules put into them, and no more.",
    "A figure that agrees is one that was calibrated, or follows from calibrated ones. What is not named here was not "
    "compared: it may be like life or not.",
    "Averages agree more easily than single records. The rules look at records; the pictures of patients are there "
    "for a clinician's eye.",
    "Cohorts that quotas decide are no population: shares in them mean nothing.",
    "Published figures have errors of their own, years and definitions; each stands here with its source.",
)

GLOSSARY = (
    ("Published", "The figure that a survey, a register or a life table gives, with the source that is named."),
    ("Simulated", "The same figure counted in the tables of this cohort, as any reader of them would."),
    (
        "95 % interval",
        "Where the figure would lie in 95 of 100 cohorts of this size drawn alike: small cohorts miss by chance.",
    ),
    ("Agrees", "Within the bound, or no further beyond it than the interval explains."),
    ("Not judged", "So few people stand behind a figure that it could not be told from one that is off."),
    ("Threshold", "The limit that the policy sets. Missing it holds the release for a person, or denies it."),
    ("Rule", "A statement about rows; an error cannot be, a warning is improbable."),
    ("Prevalence", "Share of the living that has a condition on a day."),
    ("Incidence", "New cases per person and year."),
    ("Person-year", "One year lived by one person; two people's half years make one."),
    ("Quota", "A group that was asked for exactly: so many people who are all of one description."),
    ("Not measured", "The value could not be had, for the reason given. It counts as unknown, never as good."),
)

DECISIONS = {
    "pass": ("May be released", "Every threshold of the policy is kept."),
    "hold": ("Held: a person must decide", "At least one published figure or threshold of the policy is missed."),
    "deny": ("Must not be released", "At least one threshold that forbids release is missed."),
    "none": ("Not judged", "These scores were not held against a policy, so nothing here allows a release."),
}

WORDS = {
    "subjects": "simulated patients, drawn from published figures. No record of a real person was used",
    "real": "",
    "baseline": "",
    "worse": "",
    "took_part": "patients were measured",
    "counts_worse": "",
    "head_worse": "",
    "key_made": "simulated",
    "key_real": "published",
    "key_baseline": "",
    "made": "What was asked for, what the tables hold, what this report does not say, and its words.",
    "columns": "",
    "seed": "",
}

NUMBERS = "SSA, Social Security Number Randomization FAQ, 2011"
IDENTIFIERS = (  # column, where its values come from, who sets the range apart
    ("national_id, US", "Area numbers 000 and 666, which were never given", NUMBERS),
    ("national_id, UK", "NHS numbers that begin with 999, check digit and all", "NHS Data Dictionary, 2024"),
    ("phone, US", "555-0100 to 555-0199 in every area", "NANPA, 555 line number guidelines, 2016"),
    ("phone, UK", "Ranges for drama, as 020 7946 0xxx", "Ofcom, telephone numbers for drama, 2019"),
    ("email", "Domains example.com, example.org, example.net", "IETF, RFC 2606, 1999"),
    ("address_line", "Real towns, invented streets", "docs/simulator/people.md"),
    ("postal_code, US", "Last digits that are in no list", "Census Bureau, ZCTA list, 2020"),
    ("postal_code, UK", "Area ZZ, which is none", "Royal Mail, 124 postcode areas"),
    ("given_name, family_name", "Common names, drawn independently", "A living person may have both by chance"),
    ("NPI of practitioners", "First digit 9; numbers in use begin with 1 or 2", "CMS, NPI check digit, 2004"),
    ("record_number, lot, serial", "Begin with TEST", "ehrsatz"),
)


def residual(scores: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return what can still go wrong with a simulated cohort: heading and sentence."""
    out: list[dict[str, str]] = []
    chance = [one for one in checks if one["state"] == "kept by chance"]
    if chance:
        names = "; ".join(f"{one['title']} ({number(one['value'])})" for one in chance)
        out.append({"heading": "Passed within chance", "sentence": f"{names}. More patients would tell."})
    absent = [one["title"] for one in scores if one["status"] != "measured"]
    if absent:
        words = f"{'; '.join(absent)}. What was not measured is unknown, not good."
        out.append({"heading": "What was not measured", "sentence": words})
    few = next((one["n"] for one in scores if one["n"]), 0)
    if 0 < few < 10_000:
        words = f"{few:,} patients leave room for chance: a figure may agree here and be off in a larger cohort."
        out.append({"heading": "Small cohorts", "sentence": words})
    out.append(
        {
            "heading": "What nobody compared",
            "sentence": "Only what is published and named here was compared. Everything else follows from the modules "
            "and is as good as they are; docs/simulator says what each of them leaves out.",
        }
    )
    out.append(
        {
            "heading": "Not evidence",
            "sentence": "What is found in these records is no finding about people; nothing here may be used in care.",
        }
    )
    return out


def identifiers() -> list[Picture]:
    """Return the table of ranges that identifiers come from."""
    caption = "Ranges that are set apart and given to nobody."
    return table("Where identifiers come from", caption, ("Column", "Range", "Set apart by"), IDENTIFIERS)


OPENING = {
    "privacy-officer": (
        "Nobody is in it. No record of a person was read, copied or learned from: the simulator knows published "
        "figures, and a seed decides who is drawn. The same seed gives the same people to anybody.",
        "There is nothing to re-identify, so no attack was run. A person who bears a name, a birthday or a history "
        "that stands here does so by chance.",
        "Files that you added (modules, figures to calibrate to) are your own: figures of very small groups can point "
        "at people, and are not checked here.",
    ),
}

COHORT = Edition(
    id="simulated",
    readers=READERS,
    themes=THEMES,
    limits=LIMITS,
    glossary=GLOSSARY,
    decisions=DECISIONS,
    words=WORDS,
    drawn=DRAWN,
    opening=OPENING,
    led=("Rules", "Quotas", "Prevalence", "Labs and vitals", "Life and death", "Use of care", "Codes"),
    residual=residual,
)
