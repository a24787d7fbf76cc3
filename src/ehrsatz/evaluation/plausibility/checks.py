"""What no row may break: rules, codes, keys, lengths of stay; each as rows found per million rows checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.plausibility.fits import absent
from ehrsatz.rules.catalogue import by_id, theme_of
from ehrsatz.rules.check import severity_of
from ehrsatz.simulator.sampling import wilson

UNCHECKED = "Not measured: no rows were checked."

Told = dict[str, Any]


def _share_checked(checked: Mapping[str, Any], n: int) -> str:
    if checked["patients"] >= n:
        return ""
    return f" Checked were the rows of {checked['patients']:,} of {n:,} patients."


def _per_million(name: str, all_rows: int, failed: int, n: int, meaning: str, details: Told) -> Score:
    if all_rows == 0:
        return absent(name, "Not measured: there is no row that it applies to.", n)
    low, high = wilson(float(failed), float(all_rows))
    value = 1e6 * failed / all_rows
    ends = (0.0 if failed == 0 else 1e6 * float(low), 1e6 * float(high))
    params = {"checked": all_rows, "found": failed}
    return Score(name, value, ends, n=n, params=params, meaning=meaning, details=details)


def rule_score(severity: str, checked: Mapping[str, Any] | None, n: int) -> Score:
    """Return rows that break rules of one severity."""
    name = f"rule_{severity}s"
    if checked is None:
        return absent(name, UNCHECKED, n)
    mine = {rule: counts for rule, counts in checked["rules"].items() if severity_of(rule) == severity}
    rows, failed = (sum(counts[k] for counts in mine.values()) for k in (0, 1))
    broken = sorted((rule for rule in mine if mine[rule][1]), key=lambda rule: (-mine[rule][1], rule))
    applied = sum(counts[0] > 0 for counts in mine.values())
    if failed:
        words = f"{failed:,} rows break {len(broken)} of {len(mine)} rules of severity {severity}; most often: "
        words += "; ".join(f"{_title(rule)} ({mine[rule][1]:,} of {mine[rule][0]:,})" for rule in broken[:3]) + "."
    else:
        words = f"No row breaks any of the {len(mine)} rules of severity {severity}; {applied} of them found rows."
    themes: dict[str, list[int]] = {}
    for rule, counts in mine.items():
        theme = theme_of(rule) if rule in by_id() else "other packages"
        one = themes.setdefault(theme, [0, 0, 0])
        themes[theme] = [one[0] + 1, one[1] + counts[0], one[2] + counts[1]]
    details: Told = {
        "rules": [
            {"rule": rule, "title": _title(rule), "checked": mine[rule][0], "broken": mine[rule][1]} for rule in broken
        ],
        "rule_themes": [{"theme": k, "rules": v[0], "checked": v[1], "broken": v[2]} for k, v in themes.items()],
        "worst": [_title(rule) for rule in broken[:3]],
    }
    return _per_million(name, rows, failed, n, words + _share_checked(checked, n), details)


def _title(rule: str) -> str:
    return by_id()[rule].title if rule in by_id() else rule


def code_score(checked: Mapping[str, Any] | None, n: int) -> Score:
    """Return codes that no list holds."""
    if checked is None:
        return absent("code_errors", UNCHECKED, n)
    systems = {name: one for name, one in checked["codes"].items() if one["checked"]}
    rows, failed = (sum(one[key] for one in systems.values()) for key in ("checked", "unknown"))
    words = f"All {rows:,} codes of {len(systems)} systems are in their lists."
    if failed:
        named = [code for one in systems.values() for code in one["named"]]
        words = (
            f"{failed:,} of {rows:,} codes are in no list: {', '.join(named[:5])}{' ...' if len(named) > 5 else ''}."
        )
    details = {
        "code_systems": [{"system": k, "checked": v["checked"], "unknown": v["unknown"]} for k, v in systems.items()]
    }
    return _per_million("code_errors", rows, failed, n, words + _share_checked(checked, n), details)


def key_score(checked: Mapping[str, Any] | None, n: int) -> Score:
    """Return keys that lead nowhere, or stand twice."""
    if checked is None:
        return absent("dangling_keys", UNCHECKED, n)
    links = checked["keys"]
    twice = checked["rules"].get("key.twice", [0, 0])
    rows = sum(one[0] for one in links.values()) + twice[0]
    failed = sum(one[1] for one in links.values()) + twice[1]
    words = (
        f"All {rows - twice[0]:,} keys that name another row lead to one; none of {twice[0]:,} rows has another's key."
    )
    if failed:
        bad = [f"{name} ({one[1]:,})" for name, one in links.items() if one[1]]
        bad += [f"keys that stand twice ({twice[1]:,})"] if twice[1] else []
        words = f"{failed:,} keys lead nowhere or stand twice: {', '.join(bad[:5])}."
    details = {"links": [{"link": name, "checked": one[0], "dangling": one[1]} for name, one in links.items()]}
    return _per_million("dangling_keys", rows, failed, n, words + _share_checked(checked, n), details)


def format_score(proof: Mapping[str, Any] | None, n: int) -> Score:
    """Return facts that differ between the formats of a cohort, by `reconcile.prove.Proof.to_dict`; None: no proof."""
    if proof is None:
        return absent("format_differences", "Not measured: there is one format alone, or only tables.", n)
    formats = proof["formats"]
    names = [proof["reference"], *(one["format"] for one in formats)]
    words = f"All {proof['n_facts']:,} facts that {', '.join(names[:-1])} and {names[-1]} carry agree."
    if proof["n_differ"]:
        bad = [f"{one['format']} ({one['n_differ']:,})" for one in formats if one["n_differ"]]
        words = f"{proof['n_differ']:,} of {proof['n_facts']:,} facts differ: {', '.join(bad)}."
    losses = [{"format": one["format"], **loss} for one in formats for loss in one["losses"]]
    details: Told = {
        "formats": [
            {key: one[key] for key in ("format", "n_facts", "n_differ", "n_columns")} | {"n_losses": len(one["losses"])}
            for one in formats
        ],
        "format_losses": losses,
    }
    return _per_million("format_differences", proof["n_facts"], proof["n_differ"], n, words, details)


def stay_score(checked: Mapping[str, Any] | None, n: int) -> Score:
    """Return visits that do not end after they begin."""
    if checked is None:
        return absent("zero_stays", UNCHECKED, n)
    rows, failed = checked["stays"]
    words = (
        f"{failed:,} of {rows:,} visits end when they begin, or before."
        if failed
        else f"All {rows:,} visits end after they begin."
    )
    return _per_million("zero_stays", rows, failed, n, words + _share_checked(checked, n), {})
