"""The fixed words of the report: decisions, readers, themes, limits, glossary."""

from __future__ import annotations

from dataclasses import dataclass

DECISIONS = {
    "pass": ("May be released", "Every threshold of the policy is kept."),
    "hold": ("Held: a person must decide", "At least one threshold of the policy is missed or could not be measured."),
    "deny": ("Must not be released", "At least one threshold that forbids release is missed."),
    "none": ("Not judged", "These scores were not held against a policy, so nothing here allows a release."),
}


@dataclass(frozen=True)
class Reader:
    """A person whom one page is for.

    Parameters
    ----------
    id
        Anchor of the page.
    name
        Who reads it.
    question
        What that person wants to know.
    themes
        Themes of metrics that stand on this page, in order.
    family
        Families whose other themes stand here too.
    also
        Themes of other pages that this person should look at.
    """

    id: str
    name: str
    question: str
    themes: tuple[str, ...]
    family: tuple[str, ...]
    also: tuple[str, ...]


READERS = (
    Reader(
        "privacy-officer",
        "Privacy officer",
        "Is it safe for the people in the data?",
        ("Attacks", "Membership", "Copies", "Exposure", "Anonymity"),
        ("privacy",),
        ("Representation", "Fair models"),
    ),
    Reader(
        "data-scientist",
        "Data scientist",
        "Can models be built and tested with it?",
        ("Prediction", "Calibration", "Fair models", "Whole rows", "Variety"),
        ("utility",),
        ("Pairs of columns", "Subgroups"),
    ),
    Reader(
        "statistician",
        "Statistician",
        "Do its numbers agree with the real ones?",
        (
            "Estimates",
            "Survival",
            "Single columns",
            "Pairs of columns",
            "Three and more columns",
            "Missing values",
        ),
        ("fidelity",),
        ("Subgroups", "Whole rows"),
    ),
    Reader(
        "clinician",
        "Clinician",
        "Do these patients look like mine?",
        ("Expert review", "Rules", "Columns one by one", "Subgroups", "Representation", "Sequences"),
        ("fairness", "review"),
        ("Survival", "Missing values"),
    ),
)

THEMES = {
    "Attacks": "Someone plays the attacker and tries to learn about real people from the synthetic rows. Each attack "
    "is run on people the generator saw, on people it never saw (control), and by guessing (baseline): only what the "
    "attack gains over the control is due to the release.",
    "Membership": "Could someone who holds a real record tell whether that person was in the training data?",
    "Copies": "Are synthetic rows repetitions of real people, or drawn to them more than unseen real people are?",
    "Exposure": "Averages hide people. Who stands out, and which subgroup is most exposed?",
    "Anonymity": "How many synthetic and real records share the same combination of known facts?",
    "Prediction": "Models trained on synthetic rows and tested on real ones that nobody has seen.",
    "Calibration": "Do predicted risks come true as often as they say?",
    "Fair models": "Does a model trained on the copy treat subgroups as a model trained on real data would?",
    "Whole rows": "Whole records at once: can a program tell them from real ones, and do they cover the real variety?",
    "Variety": "Are there as many different records as in real data, or a few that repeat?",
    "Estimates": "The regressions that a study would run, on synthetic and on real rows: would one conclude the same?",
    "Survival": "Time until the event: curves, average time and hazard ratios.",
    "Single columns": "Each column on its own: the same values, as often?",
    "Pairs of columns": "Do two columns go together as they do in real data?",
    "Three and more columns": "Combinations of three columns, where simple generators lose track.",
    "Missing values": "Are cells missing as often, and together with the same others?",
    "Subgroups": "Does the copy hold for every group, or for the majority alone?",
    "Representation": "Is every group there, in its real share?",
    "Sequences": "What happens to a patient over time: how many events, how far apart, in which order.",
    "Expert review": "Clinicians read a blinded sheet of records and said which are real.",
    "Rules": "Statements that hold in the real data, such as one date never before another, checked in every "
    "synthetic row.",
    "Columns one by one": "Shares of all rows, the least similar column first. Values of fewer than five real subjects "
    "are pooled and never named.",
}

LIMITS = (
    "Synthetic is not automatically anonymous. A copy can carry traces of the people it was learned from; the scores "
    "look for such traces and do not prove that there are none.",
    "The scores are evidence and no proof. They hold for the attacks and comparisons named here, for these tables and "
    "this split into training and holdout subjects, within the intervals given. A stronger attack may find more.",
    "Averages hide single people. A score says little about one unusual person among thousands; rare diagnoses, ages "
    "and combinations deserve a look of their own.",
    "Not for care. No synthetic row describes a patient, and no decision about one may rest on it.",
    "Findings of research on synthetic rows are to be confirmed on real data.",
    "This page is no legal advice and no guarantee.",
)

GLOSSARY = (
    ("Training subjects", "Real people whose records the generator learned from."),
    ("Holdout subjects", "Real people whose records were kept away from the generator, to compare with."),
    (
        "Real data (reference)",
        "What the same measure gives with further real records in place of the synthetic ones. No copy needs to do "
        "better.",
    ),
    ("Without skill (baseline)", "What guessing gives, or columns drawn without regard to each other."),
    (
        "95 % interval",
        "Where the value would lie in 95 of 100 repetitions, as far as the number of subjects lets one tell.",
    ),
    ("Threshold", "The limit that the policy sets. Missing it holds the release for a person, or denies it."),
    (
        "Kept, by chance",
        "The value lies beyond the limit, by no more than its interval explains. The policy lets it pass.",
    ),
    ("AUC", "How often a program ranks one of each kind correctly: 0.5 is guessing, 1 is certainty."),
    ("Membership inference", "Telling from the release whether a known person was in the training data."),
    ("Singling out", "Finding a combination of facts that fits exactly one real person."),
    ("Linkability", "Telling that two pieces of information belong to the same person."),
    ("Attribute inference", "Learning a secret of a known person from the release."),
    ("Fidelity", "How like the real data the synthetic data are."),
    ("Utility", "How well work done with the synthetic data stands for work done with the real data."),
    ("Not measured", "The value could not be had, for the reason given. It counts as unknown, never as good."),
)

WORDS = {  # phrases of the page that an edition may change; one that is empty leaves out what it stands for
    "subjects": "",  # after the number of subjects; empty: training and holdout are told
    "real": "Real data",
    "baseline": "Without skill",
    "worse": "(the copy is worse)",
    "took_part": "synthetic rows took part",
    "counts_worse": "worse than real data by more than chance",
    "head_worse": "Worse than real data",
    "key_made": "synthetic",
    "key_real": "real data",
    "key_baseline": "without skill",
    "made": "Where the synthetic rows come from, what the tables hold, what this report does not say, and its words.",
    "columns": "Not compared (identifiers, keys, free text): ",
    "seed": "Seed of the evaluation",
}
