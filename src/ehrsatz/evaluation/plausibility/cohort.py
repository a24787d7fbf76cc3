"""Measure a simulated cohort from what was kept of its shards: rules, codes, keys, quotas, published figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.evaluation.plausibility import checks, fits, glycaemia, wanted
from ehrsatz.evaluation.plausibility.measures import MEASURES
from ehrsatz.parts import SimulatorPart
from ehrsatz.simulator.compare import Comparison, Tally, compare
from ehrsatz.simulator.targets import Targets, targets

STEERED = 0.05  # enriched share of a cohort from which on it is no population any more
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


def evaluate(
    statistics: Mapping[str, Any],
    plan: SimulatorPart,
    n: int,
    *,
    fit: Sequence[Mapping[str, Any]] = (),
    proof: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Return everything that is measured of a cohort.

    Parameters
    ----------
    statistics
        Of all shards, as `shard.merge` added them up.
    plan
        What was asked for.
    n
        Patients.
    fit
        What a calibration asked for and reached: `simulator.knowledge.Known.fit`.
    proof
        That the formats agree: `reconcile.prove.Proof.to_dict`; None where there is nothing to compare.

    Returns
    -------
    Evaluation with one score per measure of `measures.MEASURES`; what a cohort is too small for, or what its quotas
    decide, has a reason instead of a value.
    """
    scores = {one.metric: one for one in _scores(statistics, plan, n, fit)}
    scores["format_differences"] = checks.format_score(proof, n)
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


def _scores(
    statistics: Mapping[str, Any], plan: SimulatorPart, n: int, fit: Sequence[Mapping[str, Any]]
) -> list[Score]:
    checked = statistics["checked"]
    out = [
        checks.rule_score("error", checked, n),
        checks.rule_score("warning", checked, n),
        checks.code_score(checked, n),
        checks.key_score(checked, n),
        checks.stay_score(checked, n),
        wanted.quota_score(statistics, plan, n),
        wanted.own_score(statistics, plan, n, fit),
        _glycaemia(statistics, n),
    ]
    steered = bool(plan.groups) or sum(plan.enrich.values()) > STEERED
    if steered:
        reason = "Not measured: quotas decide who is in this cohort, so figures of a whole population do not apply."
        return out + [fits.absent(name, reason, n) for name in POPULATION]
    held = targets(plan.locale, plan.modules)
    tally = Tally.from_dict(statistics["tally"])
    changed = _changed(plan, fit, held)
    found = [one for one in compare(tally, held) if not _is_of(one, changed)]
    shapes = {"prevalence_fit": fits.bands, "quantile_fit": fits.ribbons}
    out += [fits.fit(name, found, n, shapes.get(name, fits.dumbbells)) for name in fits.KINDS]
    table = held.life.table
    out.append(fits.life(found, tally.counts, {"female": table.female, "male": table.male}, n))
    return out


def _changed(plan: SimulatorPart, fit: Sequence[Mapping[str, Any]], held: Targets) -> set[str]:
    """Return titles of what the scenario gives other figures than the published ones."""
    names = {*plan.prevalence, *plan.enrich, *(one["name"].split(" ")[0] for one in fit if one["place"] != "published")}
    titles = {name: one.title for name, one in held.modules.conditions.items()}
    titles |= {name: one.title for name, one in held.modules.episodes.items()}
    titles |= {item.id: item.title for item in held.items}
    return {titles[name] for name in names if name in titles}


def _is_of(one: Comparison, titles: set[str]) -> bool:
    """Say whether a published figure is one of those that the scenario replaces."""
    if one.kind == "quantile":
        return one.target.rsplit(", ", 3)[0].rsplit(" (", 1)[0] in titles
    at = {"prevalence": 2, "incidence": 2}.get(one.kind)
    return at is not None and one.target.rsplit(", ", at)[0] in titles


def _glycaemia(statistics: Mapping[str, Any], n: int) -> Score:
    told = glycaemia.line(statistics["glycaemia"])
    if told is None:
        reason = (
            f"Not measured: fewer than {glycaemia.LEAST} patients have both HbA1c and capillary glucose, or all of "
        )
        reason += "them have nearly the same, so that a correlation says nothing."
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
