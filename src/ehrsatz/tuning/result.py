"""A finished search as plain JSON, from which the page is drawn, and the scenario that uses what it recommends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ehrsatz import __version__
from ehrsatz.evaluation.base import Score
from ehrsatz.generators.heldout import slack_of_auc
from ehrsatz.report.format import number, plain
from ehrsatz.tuning.run import Tuned

FORMAT = "ehrsatz-tuning/1"
MEASURES = {
    "fidelity": ("Telling synthetic from real, AUC", "less is better, 0.5 cannot be told"),
    "utility": ("Trained on synthetic, tested on real", "more is better"),
    "privacy": ("Membership inference, AUC", "less is better, 0.5 is no leak"),
}
HOW = (
    "The subjects were split three ways: every trial learned from one part and was measured on the second; the third "
    "judged the chosen settings, once, after the choice.",
    "The third part is the holdout of ehrsatz fabricate with the same table and seed: a release made so is judged by "
    "subjects who had no say in its settings. With another seed, or after rows were added, that no longer holds.",
    "Judged settings learned anew from the whole training half. The figures of trials flatter the best of them, for "
    "the luckiest of many is taken; the judged ones do not.",
    "A figure of a trial has no interval here: on small tables, trials that lie close together may differ by chance.",
    "Membership is the strongest of five attacks; other risks are measured, and the release judged, by the gate.",
)


def result(tuned: Tuned) -> dict[str, Any]:
    """Return the search as plain JSON types, the same for the same search.

    Parameters
    ----------
    tuned
        The search.
    """
    facts, choice = tuned.facts, tuned.choice
    names = facts["objectives"]
    told = {
        "format": FORMAT,
        "version": __version__,
        "title": f"Tuning for {facts['name']}",
        "search": {key: value for key, value in facts.items() if key not in {"objectives", "name"}},
        "stopped": tuned.stopped,
        "measures": [
            {
                "name": name,
                "title": MEASURES[name][0] + (f", {facts['measure_of_utility']}" if name == "utility" else ""),
                "goal": MEASURES[name][1],
                "real": getattr(tuned.real, name),
            }
            for name in names
        ],
        "trials": [
            {
                "trial": one.number,
                "generator": one.setting.generator,
                "parameters": dict(one.setting.parameters),
                "words": one.setting.words,
                "state": "failed" if one.figures is None else "measured",
                "figures": {name: None if one.figures is None else getattr(one.figures, name) for name in names},
                "on_front": one.number in choice.front,
                "why": one.why,
                "notes": list(one.notes),
            }
            for one in tuned.trials
        ],
        "front": list(choice.front),
        "limit": round(choice.limit, 4),
        "recommended": choice.recommended,
        "why": choice.why,
        "judged": [
            {"trial": key, "roles": list(choice.judged[key]), "scores": {name: _score(found[name]) for name in names}}
            for key, found in tuned.judged.items()
        ],
        "how": list(HOW),
    }
    out: dict[str, Any] = plain(told)
    out["verdict"] = _verdict(out)
    out["scenario"] = scenario(out)
    return out


def scenario(told: Mapping[str, Any]) -> str:
    """Return the recommended setting as a scenario, in YAML; empty where none is recommended.

    Parameters
    ----------
    told
        What `result` returned.
    """
    if told["recommended"] is None:
        return ""
    one = told["trials"][told["recommended"]]
    lines = ["generator:", f"  name: {one['generator']}"]
    if one["parameters"]:
        lines += ["  parameters:", *(f"    {name}: {json.dumps(value)}" for name, value in one["parameters"].items())]
    lines.append(f"seed: {told['search']['seed']}  # the holdout that was not searched")
    if told["search"]["train_fraction"] != 0.5:
        lines.append(f"train_fraction: {told['search']['train_fraction']}")
    return "\n".join(lines) + "\n"


def _score(score: Score) -> dict[str, Any]:
    return {
        "value": score.value,
        "interval": None if score.interval is None else list(score.interval),
        "reference": score.reference,
        "status": score.status,
        "meaning": score.meaning,
    }


def _verdict(told: Mapping[str, Any]) -> dict[str, str]:
    """Return tone, heading and sentence: what to use, and whether it keeps its limit on unseen rows too."""
    if told["recommended"] is None:
        words = f"{told['why'].capitalize()}. Try settings further from the data, or another generator."
        return {"tone": "hold", "heading": "Nothing to recommend", "sentence": words}
    one = told["trials"][told["recommended"]]
    judged = next(row for row in told["judged"] if row["trial"] == told["recommended"])["scores"]
    parts = [f"{name} {number(score['value'])}" for name, score in judged.items() if score["value"] is not None]
    words = f"Chosen: {told['why']}. On rows that nothing has seen: {', '.join(parts) or 'not measured'}."
    tone, found = "pass", judged["privacy"]["value"]
    sizes = told["search"]["subjects"]
    most = told["search"]["most_membership"] + slack_of_auc(min(sizes["train"], sizes["judge"]))
    if found is None:
        tone, words = "hold", f"{words} Its privacy could not be measured there."
    elif found > most:
        tone = "hold"
        words += (
            f" There the membership AUC is above {most:.3f}, the limit with what chance adds: search again with a lower"
            " --most-membership."
        )
    return {"tone": tone, "heading": f"Use {one['generator']}, {one['words']}", "sentence": words}
