"""The verdict in Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ehrsatz.gate import Check, Verdict

MOST_ROWS = 40
MOST_REASONS = 5
HEADS = {"pass": "May be released", "hold": "Held: a person must decide", "deny": "Must not be released"}
MARKS = {"passed": "✓", "missed": "✗", "inconclusive": "?", "not measured": "?", "does not apply": "–"}


def summary(verdict: Verdict, evaluation: Any = None) -> str:
    """Return the verdict in Markdown: what was decided, the top reasons, a table of the checks.

    Parameters
    ----------
    verdict
        What the gate decided.
    evaluation
        What was judged; with `details` that say how many subjects there were and how metrics are called.
    """
    details = getattr(evaluation, "details", None)
    told: Mapping[str, Any] = details if isinstance(details, Mapping) else {}
    policy = verdict.policy
    lines = [f"## {HEADS[verdict.decision]}", "", _rests_on(verdict, told), ""]
    if verdict.reasons:
        lines += [f"- **{_escaped(one.name)}**: {_escaped(one.reason)}" for one in verdict.objections[:MOST_REASONS]]
        rest = len(verdict.reasons) - MOST_REASONS
        lines += [f"- and {rest} more below"] if rest > 0 else []
        lines.append("")
    lines += ["| | check | found | 95 % interval | real data | limit |", "|---|---|---|---|---|---|"]
    ordered = [*verdict.objections, *(check for check in verdict.checks if check.passed is not False)]
    lines += [_row(check, told.get("metrics", {})) for check in ordered[:MOST_ROWS]]
    if len(ordered) > MOST_ROWS:
        lines.append(f"| | and {len(ordered) - MOST_ROWS} more | | | | |")
    purpose = f" {_escaped(str(policy['purpose']))}" if policy.get("purpose") else ""
    lines += [
        "",
        f"Policy `{_code(str(policy.get('name', 'unnamed')))}`, version `{_code(str(policy.get('version', '1')))}`, "
        f"for {_audience(policy)}.{purpose}",
        "",
        "Scores are evidence and no proof; synthetic is not automatically anonymous. This is no legal advice.",
        "",
    ]
    return "\n".join(lines)


def _rests_on(verdict: Verdict, told: Mapping[str, Any]) -> str:
    """Say how many checks passed, and how many subjects that rests on."""
    passed = sum(check.passed is True for check in verdict.checks)
    judged = sum(check.passed is not None for check in verdict.checks)
    text = f"{passed} of {judged} checks passed"
    unknown = sum(check.state in {"inconclusive", "not measured"} for check in verdict.checks)
    text += f", {unknown} could not be told" if unknown else ""
    subjects = told.get("subjects", {})
    if {"train", "holdout", "synthetic"} <= set(subjects):
        counts = [f"{subjects[key]:,} {word}" for key, word in _HALVES]
        text += f" ({', '.join(counts)})"
    elif "simulated" in subjects:
        text += f" ({subjects['simulated']:,} simulated patients)"
    return f"{text}."


_HALVES = (("train", "training subjects"), ("holdout", "holdout subjects"), ("synthetic", "synthetic subjects"))


def _row(check: Check, about: Mapping[str, Any]) -> str:
    title = about.get(check.metric, {}).get("title", "")
    name = f"{_escaped(title)} (`{_code(check.name)}`)" if title else f"`{_code(check.name)}`"
    mark = f"{MARKS[check.state]} {'passed, by chance' if check.by_chance and check.passed else check.state}"
    interval = "" if check.interval is None else f"{_number(check.interval[0])} to {_number(check.interval[1])}"
    cells = [mark, name, _number(check.value), interval, _number(check.reference), _escaped(check.threshold)]
    return f"| {' | '.join(cells)} |"


def _audience(policy: Mapping[str, Any]) -> str:
    words = {"internal": "use inside the house", "contracted": "a partner under contract", "public": "anybody"}
    return words.get(str(policy.get("audience", "internal")), "use inside the house")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{0.0 if abs(value) < 5e-4 else value:.3f}"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line and in one cell of a table."""
    line = re.sub(r"\s+", " ", text)
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", line)


def _code(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("`", "'").replace("|", "/")
