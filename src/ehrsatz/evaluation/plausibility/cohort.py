"""Measure a simulated cohort from what was kept of its shards: rules, codes, keys, quotas, published figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.evaluation.plausibility import checks, fits, glycaemia, quotas
from ehrsatz.evaluation.plausibility.measures import MEASURES
from ehrsatz.scenario import SimulatorPart
from ehrsatz.simulator.compare import Comparison, Tally, compare
from ehrsatz.simulator.sampling import wilson
from ehrsatz.simulator.targets import targets

STEERED = 0.05  # enriched share of a cohort from which on it is no population any more
OWN_BOUND = 0.05  # relative, of shares that a scenario asks for
POPULATION = (
    "prevalence_fit",
    "incidence_fit",
    "quantile_fit",
    "correlation_fit",
    "multimorbidity_fit",
    "life_expectancy_gap",
    "cause_fit",
    "utilisation_fit",
)

Told = dict[str, Any]


def evaluate(statistics: Mapping[str, Any], plan: SimulatorPart, n: int) -> Evaluation:
    """Return everything that is measured of a cohort.

    Parameters
    ----------
    statistics
        Of all shards, as `shard.merge` added them up.
    plan
        What was asked for.
    n
        Patients.

    Returns
    -------
    Evaluation with one score per measure of `measures.MEASURES`; what a cohort is too small for, or what its quotas
    decide, has a reason instead of a value.
    """
    scores = {one.metric: one for one in _scores(statistics, plan, n)}
    details = {
        "kind": "simulated",
        "subjects": {"simulated": n},
        "rows": {"simulated": dict(statistics["rows"])},
        "task": {},
        "checked": 0 if statistics["checked"] is None else statistics["checked"]["patients"],
        "reference": plan.reference.isoformat(),
        "metrics": {one.name: one.about() for one in MEASURES},
    }
    return Evaluation(tuple(scores[one.name] for one in MEASURES), details)


def _scores(statistics: Mapping[str, Any], plan: SimulatorPart, n: int) -> list[Score]:
    checked = statistics["checked"]
    out = [
        checks.rule_score("error", checked, n),
        checks.rule_score("warning", checked, n),
        checks.code_score(checked, n),
        checks.key_score(checked, n),
        checks.stay_score(checked, n),
        _quotas(statistics, plan, n),
        _own(statistics, plan, n),
        _glycaemia(statistics, n),
    ]
    steered = bool(plan.groups) or sum(plan.enrich.values()) > STEERED
    if steered:
        reason = "Not measured: quotas decide who is in this cohort, so figures of a whole population do not apply."
        return out + [fits.absent(name, reason, n) for name in POPULATION]
    held = targets(plan.locale, plan.modules)
    tally = Tally.from_dict(statistics["tally"])
    changed = {
        held.modules.conditions[name].title
        for name in (*plan.prevalence, *plan.enrich)
        if name in held.modules.conditions
    }
    found = [one for one in compare(tally, held) if not _is_of(one, changed)]
    shapes = {"prevalence_fit": fits.bands, "quantile_fit": fits.ribbons}
    out += [fits.fit(name, found, n, shapes.get(name, fits.dumbbells)) for name in fits.KINDS]
    table = held.life.table
    out.append(fits.life(found, tally.counts, {"female": table.female, "male": table.male}, n))
    return out


def _is_of(one: Comparison, titles: set[str]) -> bool:
    return one.kind == "prevalence" and one.target.rsplit(", ", 2)[0] in titles


# ---------------------------------------------------------------------- what was asked for
def _quotas(statistics: Mapping[str, Any], plan: SimulatorPart, n: int) -> Score:
    enriched = statistics["shares"]["enrich"]
    if not plan.groups and not enriched:
        return fits.absent("quota_met", "Does not apply: no quota was asked for.", n)
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
        return fits.absent("quota_met", "Not measured: nobody falls under a quota.", n)
    low, high = wilson(float(whole), float(people))
    details = {"quota_rows": rows, "worst": [one["what"] for one in missed[:3]]}
    return Score("quota_met", whole / people, (float(low), float(high)), n=n, meaning=words, details=details)


def _own(statistics: Mapping[str, Any], plan: SimulatorPart, n: int) -> Score:
    name = "calibration_fit"
    if not plan.prevalence:
        return fits.absent(name, "Does not apply: no figures of your own were given.", n)
    rows = []
    for one, wanted in plan.prevalence.items():
        adults, cases = statistics["shares"]["prevalence"][one]
        low, high = wilson(float(cases), float(max(adults, 1)))
        reached, bound = cases / max(adults, 1), OWN_BOUND * wanted
        within = (
            True if abs(reached - wanted) <= bound else False if low > wanted + bound or high < wanted - bound else None
        )
        rows.append(
            Comparison(
                "prevalence",
                f"{one}, living adults",
                wanted,
                reached,
                adults,
                (float(low), float(high)),
                bound,
                within,
                "Asked for by the scenario",
            )
        )
    agree = sum(fits.agrees(one) for one in rows)
    words = f"{agree} of {len(rows)} shares that were asked for are reached, but for {100 * OWN_BOUND:g} % or chance."
    details = {"figures": [fits.row(one) for one in rows]}
    low, high = wilson(float(agree), float(len(rows)))
    return Score(name, agree / len(rows), (float(low), float(high)), n=n, meaning=words, details=details)


def _glycaemia(statistics: Mapping[str, Any], n: int) -> Score:
    told = glycaemia.line(statistics["glycaemia"])
    if told is None:
        reason = f"Not measured: fewer than {glycaemia.LEAST} patients have both HbA1c and capillary glucose."
        return fits.absent("glycaemia_line", reason, n)
    words = (
        f"Over {told['n']:,} patients, HbA1c goes with mean glucose at r = {told['r']:.2f}; at the mean HbA1c of "
        f"{told['mean']:.1f} %, glucose lies {abs(told['off']):.0f} mg/dL {'above' if told['off'] >= 0 else 'below'} "
        f"the line of ADAG, with a slope of {told['slope']:.1f} where ADAG has {glycaemia.SLOPE:g}."
    )
    points = statistics["glycaemia"]["points"]
    details = {"glycaemia": {"points": points, "slope": glycaemia.SLOPE, "start": glycaemia.START}}
    params = {key: round(told[key], 3) for key in ("n", "slope", "start", "off", "mean")}
    return Score(
        "glycaemia_line",
        told["r"],
        (told["interval"][0], told["interval"][1]),
        n=n,
        params=params,
        meaning=words,
        details=details,
    )
