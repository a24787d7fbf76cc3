"""The data card: what the data are, how they were made, for what they are and are not. Every figure with its score.

References
----------
Gebru et al., Datasheets for Datasets, Communications of the ACM 64(12) 2021, doi:10.1145/3458723. Pushkarna et al.,
Data Cards, FAccT 2022, doi:10.1145/3531146.3533231. Headings follow the former; questions that only the people behind
a real collection could answer are left to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ehrsatz import __version__
from ehrsatz.capsule.contents import NOT_FOR, USES, Contents
from ehrsatz.capsule.croissant import told_column

MOST_COLUMNS = 200  # of a table; the rest stand in schema.yaml
_DECIDED = {
    "pass": "**Released**: every threshold of the policy was kept.",
    "hold": "**Held**: a person must read the reasons and decide before these data are passed on.",
    "deny": "**Denied**: these data must not be used or passed on.",
}


def render(contents: Contents, formats: Sequence[str]) -> str:
    """Return the card in Markdown.

    Parameters
    ----------
    contents
        What the release holds.
    formats
        Formats of the rows; none where the rows are not in the release.
    """
    parts = [
        f"# {_plain(contents.title)}",
        f"Data card, written by ehrsatz {__version__} from the run itself. Names in `code` are ids of scores in "
        "scores.json.",
        "## Summary",
        _summary(contents, formats),
        "## Motivation",
        _motivation(contents),
        "## Composition",
        *_composition(contents),
        "## Making",
        _making(contents),
        "## Gate",
        *_gate(contents),
        "## Scores",
        *_scores(contents),
        "## Uses",
        "\n".join(f"- {one}" for one in (*USES, *NOT_FOR)),
        "## Limits",
        "\n".join(f"- {one}" for one in contents.limits),
        "## Distribution and maintenance",
        _distribution(contents),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(contents: Contents, formats: Sequence[str]) -> str:
    there = f"The rows are in `data/` as {' and '.join(formats)}." if formats else "The rows are not in this release."
    return f"{contents.summary} {there}\n\n{_DECIDED[contents.verdict.decision]}"


def _motivation(contents: Contents) -> str:
    purpose = contents.purpose or "not stated in the policy"
    name = contents.verdict.policy.get("name", "unnamed")
    return f"Purpose, by the policy `{_plain(name)}`: {_plain(purpose).rstrip('.')}."


def _composition(contents: Contents) -> list[str]:
    parts = []
    for table in contents.synthetic.schema.tables:
        rows = [
            (one.name, one.kind, one.disclosure, told_column(one) if told_column(one) != one.kind else "")
            for one in table.columns[:MOST_COLUMNS]
        ]
        parts.append(
            f"### {_plain(table.name)}\n\n{contents.synthetic.tables[table.name].height:,} rows, "
            f"{len(table.columns):,} columns. What each column holds in full: schema.yaml."
        )
        parts.append(_table(("column", "kind", "disclosure", "holds"), rows))
        if len(table.columns) > MOST_COLUMNS:
            parts.append(f"and {len(table.columns) - MOST_COLUMNS:,} more columns.")
    parts.append(
        "Names, addresses, numbers and contacts belong to nobody: they lie in ranges that are given to no one."
        if contents.simulated
        else "Columns of the class `direct` were fabricated anew, not learned."
    )
    return parts


def _making(contents: Contents) -> str:
    scenario = contents.scenario
    if contents.simulated:
        return _simulation(contents)
    source = scenario.get("source") or {}
    subjects = contents.scores.get("details", {}).get("subjects", {}) if isinstance(contents.scores, Mapping) else {}
    origin = (
        f"the public table `{source['bundled']}`, which ships with ehrsatz"
        if source.get("bundled")
        else "a real table, which is not named here and not part of the release"
    )
    lines = [f"- Learned from: {origin}."]
    if subjects:
        lines.append(
            f"- Real subjects: {subjects.get('train', 0):,} learned from, {subjects.get('holdout', 0):,} others held "
            "back to judge by."
        )
    if source.get("sample_subjects"):
        lines.append(f"- Only {source['sample_subjects']:,} subjects of the table were read.")
    lines.append(f"- Generator: `{contents.generator.get('name')}`, seed {scenario.get('seed')}.")
    if scenario.get("copies", 1) != 1:
        lines.append(f"- {scenario['copies']} synthetic copies, one after the other.")
    if scenario.get("given"):
        lines.append(f"- Conditions were set on: {', '.join(_plain(name) for name in sorted(scenario['given']))}.")
    lines.append("- The same version, scenario, seed and data give the same bytes. Lineage in full: prov.json.")
    return "\n".join(lines)


def _simulation(contents: Contents) -> str:
    part = contents.scenario.get("simulator") or {}
    lines = [
        "- Nothing was learned: disease modules with published figures, a country's population, and a seed.",
        f"- Country: `{_plain(part.get('locale', 'us'))}`; the records end on {_plain(part.get('reference'))}.",
    ]
    if part.get("groups"):
        lines.append(
            f"- Exact quotas: {sum(one['n'] for one in part['groups']):,} people in {len(part['groups'])} groups."
        )
    if part.get("missing"):
        lines.append(f"- Left out on purpose: {', '.join(_plain(one['item']) for one in part['missing'])}.")
    lines.append(f"- Seed {contents.scenario.get('seed')}. The same version, scenario and seed give the same bytes.")
    return "\n".join(lines)


def _gate(contents: Contents) -> list[str]:
    scores = {str(one["metric"]): one for one in contents.scored}
    rows = []
    for one in contents.verdict.checks:
        outcome = "does not apply" if one.passed is None else "kept" if one.passed else f"missed: {one.severity}"
        outcome += " (beyond the limit by no more than chance explains)" if one.by_chance else ""
        ends = _interval(scores.get(one.name, {}))
        rows.append((f"`{one.name}`", _number(one.value), ends, _number(one.reference), one.threshold, outcome))
    reasons = [f"- {_plain(reason)}" for reason in contents.verdict.reasons]
    return [
        _table(("score", "value", "95 % interval", "real data", "threshold", "outcome"), rows),
        *(["Reasons:\n\n" + "\n".join(reasons)] if reasons else []),
    ]


def _scores(contents: Contents) -> list[str]:
    """Return every score that was measured, by family, and by name those that were not."""
    families: dict[str, list[Sequence[str]]] = {}
    absent = []
    for one in contents.scored:
        name = str(one["metric"])
        if one.get("value") is None:
            absent.append(f"- `{name}`: {_plain(one.get('meaning') or 'not measured')}")
            continue
        about = contents.measures.get(name, {})
        families.setdefault(str(about.get("family", "other")), []).append(
            (
                f"`{name}`",
                str(about.get("title", "")),
                _number(one["value"]),
                _interval(one),
                _number(one.get("reference")),
                str(one.get("meaning", "")),
            )
        )
    parts = []
    for family, rows in families.items():
        parts.append(f"### {family.capitalize()}")
        parts.append(_table(("score", "title", "value", "95 % interval", "real data", "meaning"), rows))
    if absent:
        parts.append("Not measured, which is not the same as good:\n\n" + "\n".join(absent))
    return parts or ["Nothing was measured."]


def _interval(score: Mapping[str, Any]) -> str:
    ends = score.get("interval")
    return f"{_number(ends[0])} to {_number(ends[1])}" if ends else ""


def _distribution(contents: Contents) -> str:
    out = contents.output
    lines = [
        f"- Licence: {_plain(out.get('licence') or 'not stated; ask whoever gave you these data')}.",
        f"- Published by: {_plain(out.get('publisher') or 'not stated')}.",
        f"- Contact: {_plain(out.get('contact') or 'not stated')}.",
        f"- Date: {contents.date or 'not stated'}.",
    ]
    days = contents.verdict.policy.get("valid_days")
    if days:
        lines.append(f"- To be judged anew after {days:,} days, by the policy.")
    lines.append("- Whether the release was changed, signed, approved or withdrawn: `ehrsatz verify`.")
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in row) + " |" for row in lines)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _plain(text: Any) -> str:
    """Return a text that stays within its cell and line, and marks up nothing."""
    flat = " ".join(str(text).split())
    for sign in ("|", "<", "["):
        flat = flat.replace(sign, "\\" + sign)
    return flat
