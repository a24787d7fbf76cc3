"""What would have to change for a verdict to pass: distance to the limit, whether it may be chance, and levers.

Every number is computed from the verdict: the distance from the limit, and how many subjects would make the interval
narrow enough if it shrinks with the square root of their number. The levers are settings that exist; which of them
helps, only another run can show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ehrsatz import registry
from ehrsatz.evaluation.plausibility.measures import BY_NAME as COHORT
from ehrsatz.gate.policy import REVIEW, RULES
from ehrsatz.gate.verdict import Check, Verdict

MOST_SUBJECTS = 10_000_000  # beyond it, more subjects are no advice
_ENDS = {"lenient": "the better end of its interval", "strict": "the worse end of its interval"}

CAUTION = "Turn the generator's caution up: --param caution=3 or more for `trees`; see docs/howto.md."
FEWER = "Draw fewer rows (--n): more rows tell more about the people they were learned from."
COARSER = (
    "Make columns coarser before fitting: years instead of dates, bands instead of exact numbers, rare levels pooled."
)
HOLDOUT = "Hold back more subjects (train_fraction nearer to 0.5), or read more subjects."
LESS_CAUTION = "Turn the generator's caution down, where privacy has room to spare."
LARGER = "Simulate more patients (--n): what few patients cannot tell, more can."
FOLLOW = "See which figures are off, and what the modules say of them (docs/simulator)."
LEAVE = "A cohort that is not meant to be a population: judge it by the policy `simulated-quota`."
REPORT = "This should not be: please report it with the scenario and its seed; rules are named in docs/rules.md."
SHARE = "Ask for the share that the group has in the real data: --given with `share`."
FIDELITY = "Try another generator, or `auto`; see `ehrsatz doctor --list generators`."
LEVERS: dict[str, tuple[str, ...]] = {  # by the theme of the metric, else by its family
    "privacy": (CAUTION, FEWER, COARSER),
    "fidelity": (FIDELITY, LESS_CAUTION),
    "utility": (FIDELITY, LESS_CAUTION),
    "fairness": (FIDELITY, SHARE),
    "Copies": (CAUTION, FEWER, COARSER),
    "Membership": (CAUTION, FEWER, COARSER),
    "Attacks": (CAUTION, COARSER, FEWER),
    "Anonymity": (COARSER, CAUTION),
    "Exposure": (CAUTION, COARSER),
    "Single columns": (FIDELITY, "Check the kind and the bounds of the least similar columns in schema.yaml."),
    "Pairs of columns": (FIDELITY, LESS_CAUTION),
    "Three and more columns": (FIDELITY, LESS_CAUTION),
    "Missing values": (FIDELITY, "Name the tokens for missing cells in schema.yaml (`missing`)."),
    "Whole rows": (FIDELITY, LESS_CAUTION),
    "Variety": (
        FIDELITY,
        LESS_CAUTION,
        "Draw more rows (--n).",
    ),
    "Sequences": (FIDELITY, "Check the links and the time columns in schema.yaml."),
    "Subgroups": (
        FIDELITY,
        SHARE,
        "Learn from more subjects of that group.",
    ),
    "Prediction": (
        FIDELITY,
        LESS_CAUTION,
        "Draw more rows (--n).",
    ),
    "Calibration": (FIDELITY, LESS_CAUTION),
    "Estimates": (FIDELITY, "Draw several copies (--copies) and combine their estimates."),
    "Survival": (FIDELITY, "Draw several copies (--copies) and combine their estimates."),
    "Representation": (SHARE,),
    "Fair models": (FIDELITY, SHARE),
    "Rules": (REPORT,),
    "Codes": (REPORT, "Codes of your own modules: add them to a codes.csv beside the modules."),
    "Keys": (REPORT,),
    "Quotas": (REPORT, "Ask for fewer conditions at once, or a wider range of ages."),
    "plausibility": (FOLLOW, LARGER, LEAVE),
    RULES: ("Look at the rule in schema.yaml: is it a rule, or did the data keep it by accident?",),
    REVIEW: (
        "Read the experts' remarks: they name what is implausible. Add it to schema.yaml as a constraint.",
        "Ask more experts, or show more records (--n).",
    ),
}
NEEDS = (  # what a reason says is lacking -> what to do
    ("no target", "Name the column that a model would learn: --target."),
    ("follow-up", "Name the follow-up time and the event: --duration and --event."),
    ("no formula", "Name a regression to repeat: --formula."),
    ("quasi", "Name the columns that an attacker may know: --quasi, or `disclosure: quasi` in schema.yaml."),
    ("secret", "Name the columns that an attacker wants: --secret, or `disclosure: sensitive` in schema.yaml."),
    ("sensitive", "Name the columns that an attacker wants: --secret, or `disclosure: sensitive` in schema.yaml."),
    ("group", "Name a column whose levels are subgroups: --group."),
    ("survival", "Name the follow-up time and the event: --duration and --event."),
)


@dataclass(frozen=True)
class Explanation:
    """What would have to change for one check to pass.

    Parameters
    ----------
    check
        Name of the check.
    metric
        Registry name of the metric.
    state
        missed, inconclusive or not measured.
    severity
        What follows: hold or deny.
    found
        What was found.
    needed
        What it takes to pass.
    chance
        Whether it may be chance, and what would tell; empty where there is nothing to say.
    subjects
        Subjects in each half that would tell, where that can be computed.
    levers
        What could be changed, the first to try first.
    """

    check: str
    metric: str
    state: str
    severity: str
    found: str
    needed: str
    chance: str = ""
    subjects: int | None = None
    levers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "levers": list(self.levers)}

    def lines(self) -> list[str]:
        """Return the explanation as lines of text, the check first."""
        head = f"{self.check} ({self.state}, {'denies' if self.severity == 'deny' else 'holds'})"
        body = [self.found, self.needed, self.chance, *(f"- {lever}" for lever in self.levers)]
        return [head, *(f"  {line}" for line in body if line)]


def explain(verdict: Verdict, evaluation: Any = None) -> tuple[Explanation, ...]:
    """Say for every check that did not pass what would have to change.

    Parameters
    ----------
    verdict
        What the gate decided.
    evaluation
        What was judged, with `scores` and `details`; it names the columns and groups behind a number, and how many
        subjects there were.

    Returns
    -------
    One per check that did not pass, the denying ones first; empty where all passed.
    """
    return tuple(_explained(check, evaluation) for check in verdict.objections)


def _explained(check: Check, evaluation: Any) -> Explanation:
    chance, subjects = _chance(check, _subjects(evaluation))
    return Explanation(
        check.name,
        check.metric,
        check.state,
        check.severity,
        _found(check),
        _needed(check),
        chance,
        subjects,
        _levers(check, evaluation),
    )


def _found(check: Check) -> str:
    if check.value is None:
        return f"Found nothing to judge: {check.reason}"
    text = f"Found {_figure(check.value)}"
    if check.interval is not None:
        text += f", with a 95 % interval from {_figure(check.interval[0])} to {_figure(check.interval[1])}"
    if check.reference is not None:
        text += f"; real data score {_figure(check.reference)}"
    return f"{text}."


def _needed(check: Check) -> str:
    """How far it is, and what value would pass."""
    if check.value is None or check.limit is None or check.judged is None:
        return f"Needed: a measured value, {check.threshold}."
    what = _ENDS.get(check.judge, "the value")
    limit = check.limit
    if check.against == "reference" and check.reference is not None:
        limit += check.reference  # in the metric's own unit
    text = f"Needed: {what} {check.side} {_figure(limit)}"
    if check.against == "reference":
        text += f" ({check.threshold})"
    if check.state == "inconclusive":
        held = check.margin is not None and check.margin >= 0
        return f"{text}, which {'it is' if held else 'it is not'}; and certainty enough to believe it."
    word = "too much" if check.side == "at most" else "short"
    return f"{text}; it is {_figure(abs(check.margin or 0.0))} {word}."


def _chance(check: Check, subjects: int | None) -> tuple[str, int | None]:
    """Whether it may be chance; how many subjects in each half would tell."""
    if check.value is None:
        return "", None
    asked = (check.power or {}).get("at_least_subjects") if check.state == "inconclusive" else None
    if check.ends is None:
        return (f"It takes {asked:,} holdout subjects." if asked else ""), asked
    half = (check.ends[1] - check.ends[0]) / 2
    wanted = _half_wanted(check)
    if wanted is None:
        return "The whole interval lies beyond the limit: more subjects would not change that.", None
    least = asked or 0
    if wanted <= 0 and not asked:
        return "The value lies on the limit or beyond it: more subjects alone would not let it pass.", None
    if wanted <= 0 or half <= wanted:
        return (f"It takes {least:,} holdout subjects." if least else ""), (least or None)
    factor = (half / wanted) ** 2
    if subjects is None:
        return f"It takes about {_times(factor)} the subjects to tell.", None
    count = max(least, _rounded_up(subjects * factor))
    if count > MOST_SUBJECTS:
        return "It would take more subjects than can be had to tell: the value lies too near to the limit.", None
    return (
        f"It may be chance. About {count:,} subjects in each half would tell, where there are {subjects:,}: "
        "an interval shrinks with the square root of their number.",
        count,
    )


def _half_wanted(check: Check) -> float | None:
    """Half width at which the check would pass, everything else equal; None where the whole interval is beyond."""
    assert check.ends is not None and check.limit is not None
    low, high = check.ends
    beyond = low > check.limit if check.side == "at most" else high < check.limit
    if beyond:
        return None
    middle = (low + high) / 2
    room = check.limit - middle if check.side == "at most" else middle - check.limit
    wanted = [room] if check.judge == "strict" or check.state == "missed" else []
    if check.state == "inconclusive" and check.power and "max_half_width" in check.power:
        wanted.append(float(check.power["max_half_width"]))
    return min(wanted) if wanted else (high - low) / 2


def _levers(check: Check, evaluation: Any) -> tuple[str, ...]:
    score = _score_of(check, evaluation)
    if check.state == "not measured":
        return _to_measure(check, score)
    named = _named(score)
    if check.state == "inconclusive":
        return (HOLDOUT, *((named,) if named else ()))
    theme, family = _place(check.metric, evaluation)
    levers = LEVERS.get(check.metric) or LEVERS.get(theme) or LEVERS.get(family, ())
    return (*((named,) if named else ()), *levers)


def _to_measure(check: Check, score: Any) -> tuple[str, ...]:
    if check.metric == REVIEW:
        return ("Let experts read a sheet: `ehrsatz review draw`, then `ehrsatz review read`.",)
    if score is None:
        return ("Measure it: name no --metric, or this one too, in `ehrsatz evaluate`.",)
    if check.metric in COHORT:
        return (LARGER, "Or let the policy go on without it: `when_not_applicable: skip`.")
    reason = str(score.meaning).lower()
    found = list(dict.fromkeys(advice for word, advice in NEEDS if word in reason))
    if "rows" in reason or "subjects" in reason or "few" in reason:
        found.append(HOLDOUT)
    found.append("Or let the policy go on without it: `when_not_applicable: skip`.")
    return tuple(found)


def _named(score: Any) -> str:
    """Which columns or groups stand behind a number, where the score names them."""
    if score is None:
        return ""
    details: Mapping[str, Any] = score.details
    quasi = _texts(score.params.get("quasi"))
    if quasi:
        return f"The columns that an attacker is taken to know: {_listed(quasi)}. Drop one, or make it coarser."
    secret = _texts(score.params.get("secret"))
    if secret:
        return f"It is about {_listed(secret)}: make it coarser, or leave it out."
    columns = details.get("columns")  # columns that an attack rests on, the strongest set first
    if isinstance(columns, Sequence) and columns and len(_texts(columns[0])) > 1 and not isinstance(columns[0], str):
        return f"It comes from {_listed(_texts(columns[0]))}: make one of them coarser."
    for key in ("worst", "worst_off", "column", "culprits", "statistics"):
        names = _texts(details.get(key))
        if names:
            return f"It comes from {_listed(names, 3)}: look there first."
    return ""


def _texts(told: Any) -> list[str]:
    """The names in a detail: a text, a list of them, or mappings that hold a column, a group or a name."""
    if isinstance(told, str):
        return [told]
    if isinstance(told, Mapping):
        found = next((told[key] for key in ("column", "group", "name", "columns") if told.get(key)), None)
        return _texts(found)
    if isinstance(told, Sequence):
        return list(dict.fromkeys(name for one in told for name in _texts(one)))
    return []


def _place(metric: str, evaluation: Any) -> tuple[str, str]:
    """The heading and the family that a metric stands under: from the evaluation, else from its class."""
    details = getattr(evaluation, "details", None)
    about = details.get("metrics", {}).get(metric, {}) if isinstance(details, Mapping) else {}
    if about:
        return str(about.get("theme", "")), str(about.get("family", ""))
    if metric in COHORT:
        return COHORT[metric].theme, COHORT[metric].family
    if metric not in registry.names("metrics"):
        return "", ""
    found = registry.find("metrics", metric)
    return str(found.theme), str(found.family)


def _score_of(check: Check, evaluation: Any) -> Any:
    scores: Iterable[Any] = getattr(evaluation, "scores", ())
    same = [one for one in scores if one.metric == check.metric]
    return next((one for one in same if dict(one.params) == dict(check.params or {})), same[0] if same else None)


def _subjects(evaluation: Any) -> int | None:
    """Subjects in the smaller half of the real data."""
    details = getattr(evaluation, "details", None)
    told = details.get("subjects", {}) if isinstance(details, Mapping) else {}
    halves = [told[key] for key in ("train", "holdout") if isinstance(told.get(key), int)]
    return min(halves) if len(halves) == 2 else None


def _rounded_up(number: float) -> int:
    """Two digits, rounded up: an estimate must not look exact."""
    number = float(f"{number:.6g}")
    if number < 10:
        return math.ceil(number)
    unit = 10 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit) * int(unit)


def _times(factor: float) -> str:
    return f"{_rounded_up(factor):,} times" if factor >= 1.5 else f"{factor:.1f} times"


def _listed(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _figure(value: float) -> str:
    return "0" if abs(value) < 1e-6 else f"{value:.3g}"
