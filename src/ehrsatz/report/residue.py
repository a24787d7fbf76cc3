"""The first page: what was decided, what it rests on, and what can still go wrong, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ehrsatz.gate.explain import explain
from ehrsatz.gate.verdict import Check, Verdict
from ehrsatz.report.format import number
from ehrsatz.report.words import DECISIONS

Scores = Sequence[Mapping[str, Any]]
LED = ("Attacks", "Membership", "Copies", "Whole rows", "Single columns", "Prediction", "Estimates")
MOST_SENTENCES = 6
TRACES = "Traces that were found"
NAMES = ("Kolmogorov", "Anderson", "Cramer", "Wasserstein", "Kullback", "Jensen", "Pearson", "Spearman", "Brier")
STATES = {"passed": "kept", "missed": "missed", "does not apply": "does not apply"}


def verdict_page(
    verdict: Verdict | None,
    scores: Scores,
    evaluation: Any = None,
    *,
    decisions: Mapping[str, tuple[str, str]] = DECISIONS,
    led: Sequence[str] = LED,
    left: Callable[[Scores, Sequence[Mapping[str, Any]]], list[dict[str, str]]] | None = None,
) -> dict[str, Any]:
    """Return the verdict with its sentences, checks and residual risk, in the words of an edition."""
    decision = "none" if verdict is None else verdict.decision
    heading, sentence = decisions[decision]
    titles = {one["metric"]: one["title"] for one in scores}
    checks = [check_of(one, titles) for one in (verdict.checks if verdict is not None else ())]
    checks.sort(key=lambda one: (one["state"] in {"kept", "does not apply"}, one["severity"] != "deny"))
    against = [one for one in checks if one["state"] not in {"kept", "kept by chance", "does not apply"}]
    if checks:
        kept = len(checks) - len(against)
        sentence += f" {kept} of {len(checks)} checks did not object."
    remains = (left or residual)(scores, checks)
    if decision == "pass" and any(one["heading"] == TRACES for one in remains):
        sentence += " Traces of real people were found all the same: read what can still go wrong before it leaves."
    return {
        "decision": decision,
        "heading": heading,
        "sentence": sentence,
        "policy": "" if verdict is None else str(verdict.policy.get("name", "")),
        "purpose": "" if verdict is None else str(verdict.policy.get("purpose", "")),
        "evidence": evidence(scores, led),
        "residual": remains,
        "changes": changes(verdict, evaluation, titles),
        "checks": checks,
    }


def check_of(check: Check, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return one check of the gate in the words of the page."""
    metric = check.metric or check.name
    state = "kept by chance" if check.passed and check.by_chance else STATES.get(check.state, check.state)
    return {
        "metric": metric,
        "title": _title(check.name, metric, titles),
        "state": state,
        "severity": check.severity,
        "value": check.value,
        "judged": check.judged,
        "threshold": check.threshold,
        "margin": check.margin,
        "reason": check.reason,
        "source": check.source,
    }


def weight(score: Mapping[str, Any]) -> int:
    """Return where a score stands among those of its theme: what is bad first, then what is judged."""
    if score["state"] in {"missed", "inconclusive"}:
        return 0
    if score["compared"] == "worse than real data":
        return 1
    return {"kept by chance": 2, "kept": 3}.get(score["state"], 4)


def evidence(scores: Scores, led: Sequence[str] = LED) -> list[str]:
    """Return the sentences that matter most: one per leading theme, of a score that the policy judges if it can."""
    out = []
    for theme in led:
        found = [one for one in scores if one["theme"] == theme and one["status"] == "measured" and one["meaning"]]
        found.sort(key=weight)
        if found and found[0]["meaning"] not in out:
            out.append(found[0]["meaning"])
    return out[:MOST_SENTENCES]


def residual(scores: Scores, checks: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return what can still go wrong, and for whom: heading and sentence."""
    out: list[dict[str, str]] = []

    def add(heading: str, sentence: str) -> None:
        out.append({"heading": heading, "sentence": sentence})

    privacy = [one for one in scores if one["family"] == "privacy"]
    exposed = [one for one in privacy if one["theme"] == "Exposure" and one["status"] == "measured"]
    if exposed:
        add("Who is most exposed", " ".join(one["meaning"] for one in exposed[:2]))
    worse = [one for one in privacy if one["compared"] == "worse than real data"]
    if worse:
        names = "; ".join(_inside(one["title"]) for one in worse)
        add(
            TRACES,
            f"By more than chance explains, the synthetic rows give more away than fresh real ones would: {names}.",
        )
    chance = [one for one in checks if one["state"] == "kept by chance"]
    if chance:
        names = "; ".join(dict.fromkeys(f"{_inside(one['title'])} ({number(one['value'])})" for one in chance))
        add(
            "Passed within chance",
            f"Beyond the limit, by no more than the interval explains: {names}. More subjects would tell.",
        )
    blind = {one["blind"]: one["title"] for one in privacy if one["status"] == "measured" and one["blind"]}
    if blind:
        told = [f"{title}: {_sentence(words[:1].lower() + words[1:])}" for words, title in list(blind.items())[:3]]
        more = " Every measure on the privacy officer's page says what it cannot see." if len(blind) > 3 else ""
        add("What the privacy tests cannot see", " ".join(told) + more)
    failed = [_inside(one["title"]) for one in scores if one["status"] == "failed"]
    absent = Counter(one["theme"].lower() for one in scores if one["status"] == "not_applicable")
    told = [f"could not be had: {_few(failed)}"] if failed else []
    if absent:
        kinds = [f"{theme} ({n})" if n > 1 else theme for theme, n in absent.items()]
        told.append(f"does not apply to these data, or nobody named what it needs: measures of {_few(kinds)}")
    if told:
        words = ". ".join(one[:1].upper() + one[1:] for one in told)
        add("What was not measured", f"{words}. What was not measured is unknown, not good.")
    if not any(one["status"] == "measured" for one in privacy):
        add("Privacy is unknown", "No measure of privacy could be taken. Treat these rows as if they were real ones.")
    add(
        "Whoever tries harder",
        "Scores are evidence, not proof: an attacker with more knowledge or a stronger method may learn more than was "
        "measured here. Nothing in these rows may be used in care.",
    )
    return out


def changes(verdict: Verdict | None, evaluation: Any, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what would have to change for the release to pass, one entry per objection."""
    if verdict is None:
        return []
    return [
        {
            "metric": one.metric or one.check,
            "title": _title(one.check, one.metric or one.check, titles),
            "state": one.state,
            "severity": one.severity,
            "found": one.found,
            "needed": one.needed,
            "chance": one.chance,
            "levers": list(one.levers),
        }
        for one in explain(verdict, evaluation)
    ]


def _title(check: str, metric: str, titles: Mapping[str, str]) -> str:
    title = titles.get(metric, metric.replace("_", " ").capitalize())
    rest = check.removeprefix(metric).strip()
    return f"{title} {rest}" if rest else title


def _inside(title: str) -> str:
    """Return a title as it stands inside a sentence: lower case, but for names of people and short forms."""
    first = title.split(" ")[0]
    return title if first.startswith(NAMES) or not first[1:].islower() else title[:1].lower() + title[1:]


def _few(names: Sequence[str], most: int = 12) -> str:
    shown = "; ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _sentence(words: str) -> str:
    words = words.strip()
    return words if words.endswith((".", "!", "?")) else words + "."
