"""What was asked for: quotas, counted again in the tables, and figures of a calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.plausibility import quotas
from ehrsatz.evaluation.plausibility.fits import absent, agrees, figure, row
from ehrsatz.parts import SimulatorPart
from ehrsatz.simulator.compare import Comparison
from ehrsatz.simulator.sampling import wilson

OWN_BOUND = 0.05  # relative, of shares that a scenario asks for
PUBLISHED = "published"  # place of rows of a calibration that say what no longer fits

Told = Mapping[str, Any]


def quota_score(statistics: Mapping[str, Any], plan: SimulatorPart, n: int) -> Score:
    """Return the share of people under quotas who are what was asked for."""
    enriched = statistics["shares"]["enrich"]
    if not plan.groups and not enriched:
        return absent("quota_met", "No quota was asked for.", n)
    rows = []
    people = whole = 0
    for wanted, one in zip(quotas.asked(plan), statistics["quotas"], strict=True):
        people, whole = people + wanted["n"], whole + min(one["whole"], wanted["n"])
        short = [f"{name} {one['people'] - k:,}" for name, k in one["fits"].items() if k < one["people"]]
        rows.append(
            {
                "what": wanted["words"],
                "asked": wanted["n"],
                "there": one["people"],
                "fit": one["whole"],
                "short": "; ".join(short),
            }
        )
    for name, (chosen, have, others) in enriched.items():
        people, whole = people + chosen, whole + have
        words = f"{name}, enriched to {100 * plan.enrich[name]:g} %"
        note = f"{others:,} others have it by nature" if others else ""
        rows.append({"what": words, "asked": chosen, "there": chosen, "fit": have, "short": note})
    missed = [one for one in rows if one["fit"] < one["asked"]]
    words = f"All {people:,} people under {len(rows)} quotas are what was asked for."
    if missed:
        worst = max(missed, key=lambda one: one["asked"] - one["fit"])
        words = (
            f"{people - whole:,} of {people:,} people under quotas are not what was asked for; most of them: "
            f"{worst['what']} ({worst['fit']:,} of {worst['asked']:,})."
        )
    if people == 0:
        return absent("quota_met", "Not measured: nobody falls under a quota.", n)
    low, high = wilson(float(whole), float(people))
    details = {"quota_rows": rows, "worst": [one["what"] for one in missed[:3]]}
    return Score("quota_met", whole / people, (float(low), float(high)), n=n, meaning=words, details=details)


def own_score(statistics: Told, plan: SimulatorPart, n: int, fit: Sequence[Told] = ()) -> Score:
    """Return the share of figures of one's own that were reached.

    Parameters
    ----------
    statistics
        Of all shards, with the shares of adults that the scenario asks for.
    plan
        The scenario.
    n
        Patients.
    fit
        Rows of `simulator.knowledge.Known.fit`: what a calibration asked for and reached in its reference population,
        and what no longer fits.
    """
    name = "calibration_fit"
    shares = _shares(statistics, plan)
    asked = [one for one in fit if one["place"] != PUBLISHED and one["met"] is not None]
    lost = [one for one in fit if one["place"] == PUBLISHED]
    if not shares and not asked:
        return absent(name, "No figures of your own were given.", n)
    met = sum(one["met"] for one in asked) if asked else sum(agrees(one) for one in shares)
    many = len(asked) if asked else len(shares)
    words = f"{met:,} of {many:,} figures that were asked for are reached."
    if lost:
        words += f" {len(lost):,} published figures no longer fit, the first of them: {_named(lost[0])}."
    details = {
        "asked": [_row(one) for one in asked],
        "lost": [_row(one) for one in lost],
        "figures": [row(one) for one in shares],
        "worst": [_named(one) for one in asked if not one["met"]][:3],
    }
    low, high = wilson(float(met), float(many))
    return Score(name, met / many, (float(low), float(high)), n=n, meaning=words, details=details)


def _shares(statistics: Told, plan: SimulatorPart) -> list[Comparison]:
    """Return the shares of adults that the scenario asks for beside those of this cohort."""
    out = []
    for name, wanted in plan.prevalence.items():
        adults, cases = statistics["shares"]["prevalence"][name]
        low, high = (float(end) for end in wilson(float(cases), float(max(adults, 1))))
        reached, bound = cases / max(adults, 1), OWN_BOUND * wanted
        within: bool | None = True if abs(reached - wanted) <= bound else None
        if low > wanted + bound or high < wanted - bound:
            within = False
        words = f"{name}, living adults of this cohort"
        source = "Asked for by the scenario"
        out.append(Comparison("prevalence", words, wanted, reached, adults, (low, high), bound, within, source))
    return out


def _named(one: Told) -> str:
    low, high = one["ages"]
    return f"{one['name'].replace('_', ' ')}, {one['sex']}, {low:g} to {high:g} ({one['figure']})"


def _row(one: Told) -> dict[str, Any]:
    kind = "prevalence" if one["unit"] == "share" else "other"
    return {
        "what": _named(one),
        "asked": figure(kind, one["asked"]),
        "before": figure(kind, one["before"]),
        "reached": figure(kind, one["reached"]),
        "met": bool(one["met"]),
        "source": one["source"],
    }
