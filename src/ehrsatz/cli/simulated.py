"""Options of simulated cohorts, and how their texts become keys of a scenario."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ehrsatz.errors import ScenarioError, nearest

if TYPE_CHECKING:
    from ehrsatz.scenario import Scenario

KEYS = ("n", "sex", "age", "conditions", "without", "medications", "index")  # of --group-of
EXAMPLE = "n=400 sex=female age=60..75 conditions=ckd:3b medications=metformin index=2023"
OLDEST = 110
DAYS = {4: ("-01-01", "-12-31"), 10: ("", "")}  # length of a date -> what makes it the first and the last day


def _scenarios(incomplete: str) -> list[str]:
    from ehrsatz.scenario import COHORTS

    return [name for name in COHORTS if name.startswith(incomplete)]


def _locales(incomplete: str) -> list[str]:
    from ehrsatz.simulator.locale import bundled

    return [name for name in bundled() if name.startswith(incomplete)]


def _edge_cases(incomplete: str) -> list[str]:
    from ehrsatz.simulator.edges.cases import ALL, NAMES

    return [name for name in (ALL, *NAMES) if name.startswith(incomplete)]


Named = Annotated[
    str | None,
    typer.Argument(
        metavar="SCENARIO",
        autocompletion=_scenarios,
        help="A bundled scenario (doctor --list scenarios) or a file; clinic by default.",
    ),
]
Country = Annotated[
    str | None,
    typer.Option(metavar="us|uk|DIR", autocompletion=_locales, help="Country of simulated patients, or a folder."),
]
Day = Annotated[str | None, typer.Option(metavar="DATE", help="Day on which simulated records end: 2025-12-31.")]
Years = Annotated[
    str | None, typer.Option(metavar="N|life", help="Years of routine care in a simulated record; 10 by default.")
]
ModuleFolder = Annotated[str | None, typer.Option(metavar="DIR", help="Folder with more disease modules.")]
Enrich = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=SHARE", help="Exact share of the cohort that has a condition; repeat for more."),
]
Prevalence = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=SHARE", help="Share of living adults, instead of the published; repeat for more."),
]
GroupOf = Annotated[list[str] | None, typer.Option(metavar="WORDS", help=f'Exact quota, repeat for more: "{EXAMPLE}".')]
Missing = Annotated[
    list[str] | None,
    typer.Option(metavar="WORDS", help='Leave measurements out: "hba1c=0.2", "lipids=0.1 mechanism=MAR by=income".'),
]
Calibration = Annotated[str | None, typer.Option(metavar="FILE", help="Figures that a simulated cohort is pulled to.")]
Only = Annotated[
    list[str] | None, typer.Option(metavar="TABLE", help="Table of a simulated cohort to write; repeat for more.")
]
EdgeCases = Annotated[
    list[str] | None,
    typer.Option(
        "--edge-cases",
        metavar="NAME|all",
        autocompletion=_edge_cases,
        help="Patients that break software (doctor --list edge-cases), first of the cohort; repeat for more.",
    ),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Throw away what a stopped run of a simulated cohort has left.")
]


def find(name: str) -> Scenario:
    """Return a bundled scenario by its name, or the one in a file.

    Raises
    ------
    ScenarioError
        When it is neither.
    """
    from ehrsatz.scenario import COHORTS, Scenario

    if name not in COHORTS and re.search(r"[./\\]", name):
        return Scenario.from_file(name)
    return Scenario.cohort(name)


def changes(
    plan: Scenario,
    *,
    groups: Sequence[str] | None,
    enrich: Sequence[str] | None,
    prevalence: Sequence[str] | None,
    missing: Sequence[str] | None,
    record_years: str | None,
    n: int | None,
    policy: str | None,
    **plain: Any,
) -> dict[str, Any]:
    """Return the dotted scenario keys of a simulated cohort that options change.

    Parameters
    ----------
    plan
        What they change: groups and missing take the place of its own; enrich and prevalence add to them.
    groups, enrich, prevalence, missing
        Texts of the options.
    record_years
        A number, or life.
    n
        Patients; the groups' people and the edge cases together where groups are named and n is None.
    policy
        Named one. Where None, a cohort with quotas is not held against the published prevalences.
    plain
        Other keys of the simulator's part.

    Raises
    ------
    ScenarioError
        When a text cannot be read.
    """
    told = [group(text) for text in groups or []]
    drawn = n
    if drawn is None and told:
        drawn = sum(one["n"] for one in told) + _edges(plain.get("edge_cases"))
    skewed = bool(told or enrich or prevalence)
    return {
        **{f"simulator.{key}": value for key, value in plain.items()},
        "simulator.record_years": _years(record_years),
        "simulator.groups": told or None,
        **{f"simulator.enrich.{key}": value for key, value in _shares(enrich, "--enrich").items()},
        **{f"simulator.prevalence.{key}": value for key, value in _shares(prevalence, "--prevalence").items()},
        "simulator.missing": [absent(text) for text in missing or []] or None,
        "n": drawn,
        "policy": "simulated-quota" if policy is None and skewed and plan.policy == "simulated" else policy,
    }


def _edges(names: Sequence[str] | None) -> int:
    """Return how many patients edge cases take."""
    if not names:
        return 0
    from ehrsatz.simulator.edges import size

    return size(names)


def group(text: str) -> dict[str, Any]:
    """Read one quota, as in "n=400 sex=female age=60..75 conditions=ckd:3b index=2023".

    Conditions are ids, each with a stage after a colon and the days of its onset after an at sign where these matter:
    `breast_cancer:iv@2022-01-01..2024-12-31`. Lists are separated by commas, words with a space are quoted.

    Raises
    ------
    ScenarioError
        When a word is not KEY=VALUE, a key is unknown or stands twice, or a value cannot be read.
    """
    found = _words(text, "--group-of", KEYS)
    if "n" not in found:
        raise _wrong("--group-of", "n, how many they are", "It is absent")
    out: dict[str, Any] = {}
    for key, value in found.items():
        if key == "n":
            if not re.fullmatch(r"\d+", value) or int(value) == 0:
                raise _wrong("--group-of", "n as a whole number above 0", "It is none")
            out[key] = int(value)
        elif key == "age":
            out[key] = _ages(value)
        elif key == "index":
            out[key] = _days(value, "index")
        elif key == "conditions":
            out[key] = [_condition(one) for one in _list(value)]
        elif key == "sex":
            out[key] = value
        else:
            out[key] = _list(value)
    return out


def absent(text: str) -> dict[str, Any]:
    """Read what is to be left out, as in "hba1c=0.2" or "lipids=0.1 mechanism=MAR by=insurance".

    Raises
    ------
    ScenarioError
        When it cannot be read.
    """
    head, _, rest = text.strip().partition(" ")
    item, equals, share = head.partition("=")
    if not equals:
        raise ScenarioError(
            "Expected --missing as ITEM=SHARE.", "No '=' was found.", 'Write it as --missing "hba1c=0.2".'
        )
    out: dict[str, Any] = {"item": item, "share": _share(share, "--missing")}
    for key, value in _words(rest, "--missing", ("mechanism", "by", "above")).items():
        out[key] = value.upper() if key == "mechanism" else value
    return out


def _words(text: str, option: str, known: Sequence[str]) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise _wrong(option, "words of KEY=VALUE", "A quotation mark has no end") from None
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise _wrong(option, "words of KEY=VALUE", "A word has no key, no '=' or no value")
        if key not in known:
            raise _wrong(option, f"keys of: {', '.join(known)}", f"'{key}' is none.{nearest(key, known)}")
        if key in found:
            raise _wrong(option, "each key once", f"'{key}' stands twice")
        found[key] = value
    return found


def _wrong(option: str, expected: str, found: str) -> ScenarioError:
    example = EXAMPLE if option == "--group-of" else "lipids=0.1 mechanism=MAR by=income"
    mark = "" if found.endswith("?") else "."
    return ScenarioError(f"Expected in {option} {expected}.", f"{found}{mark}", f'As in {option} "{example}".')


def _list(value: str) -> list[str]:
    return [one.strip() for one in value.split(",") if one.strip()]


def _condition(text: str) -> dict[str, Any]:
    name, _, onset = text.partition("@")
    name, _, stage = name.partition(":")
    out: dict[str, Any] = {"id": name}
    if stage:
        out["stage"] = stage
    if onset:
        out["onset"] = _days(onset, "onset")
    return out


def _ages(value: str) -> list[float]:
    low, dots, high = value.partition("..")
    try:
        if not dots:
            return [float(value), float(value) + 1]
        return [float(low or 0), float(high or OLDEST)]
    except ValueError:
        raise _wrong("--group-of", "age in years, from and to", "It cannot be read") from None


def _days(value: str, what: str) -> list[str]:
    first, dots, last = value.partition("..")
    ends = (first, last if dots else first)
    if not all(len(one) in DAYS and re.fullmatch(r"\d{4}(-\d\d-\d\d)?", one) for one in ends):
        raise _wrong("--group-of", f"{what} as a year, a day, or two of them", "It cannot be read")
    return [ends[0] + DAYS[len(ends[0])][0], ends[1] + DAYS[len(ends[1])][1]]


def _shares(texts: Sequence[str] | None, option: str) -> Mapping[str, float]:
    out: dict[str, float] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ScenarioError(
                f"Expected {option} as ID=SHARE.", "No '=' was found after an id.", f"As in {option} gout=0.05."
            )
        out[name.strip()] = _share(value, option)
    return out


def _share(value: str, option: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ScenarioError(
            f"Expected a share in {option} as a number from 0 to 1.", "It is no number.", "As in 0.05."
        ) from None


def _years(value: str | None) -> float | str | None:
    if value is None or value == "life":
        return value
    try:
        return float(value)
    except ValueError:
        raise ScenarioError(
            "Expected --record-years as a number of years, or life.", "It is neither.", "As in --record-years 3."
        ) from None
