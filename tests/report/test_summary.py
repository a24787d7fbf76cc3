"""The verdict in Markdown: short, whole, and safe in a comment."""

from __future__ import annotations

import re
from types import SimpleNamespace

from ehrsatz.evaluation.base import Score
from ehrsatz.gate import Policy, Verdict, judge, named
from ehrsatz.report.summary import MOST_REASONS, MOST_ROWS, summary

DETAILS = {
    "subjects": {"train": 1000, "holdout": 999, "synthetic": 1000},
    "metrics": {"margins": {"title": "Single columns | all"}},
}


def verdict_of(*scores: Score, **more: object) -> tuple[Verdict, SimpleNamespace]:
    thresholds = [
        {"metric": "margins", "at_least": 0.9},
        {"metric": "membership", "at_most": 0.6, "severity": "deny", "reason": "<script>|`*"},
        {"metric": "detection", "at_most": 0.8, "power": {"max_half_width": 0.02}},
        {"metric": "tstr_gap", "at_most": 0.05, "when_not_applicable": "skip"},
    ]
    told = SimpleNamespace(scores=scores, findings=(), details=DETAILS)
    return judge(told, Policy.from_dict({"name": "ours", "thresholds": thresholds, **more})), told


SCORES = (
    Score("margins", 0.95, (0.94, 0.96), 0.97),
    Score("membership", 0.8, (0.7, 0.9)),
    Score("detection", 0.7, (0.6, 0.8)),
    Score("tstr_gap", None, status="not_applicable", meaning="no target"),
)


def test_the_verdict_stands_first() -> None:
    text = summary(*verdict_of(*SCORES, purpose="For a partner.", audience="contracted"))
    lines = text.splitlines()
    assert lines[0] == "## Must not be released"
    assert lines[2] == (
        "1 of 3 checks passed, 1 could not be told "
        "(1,000 training subjects, 999 holdout subjects, 1,000 synthetic subjects)."
    )
    assert lines[4].startswith("- **membership**: 0.8 is beyond the limit, at most 0.6.")
    assert "| ✗ missed | `membership` | 0.800 | 0.700 to 0.900 |  | at most 0.6 |" in lines
    assert "| ? inconclusive | `detection` | 0.700 | 0.600 to 0.800 |  | at most 0.8 |" in lines
    assert "a partner under contract. For a partner." in text
    assert "no proof" in text


def test_every_row_has_six_cells_and_no_text_breaks_out() -> None:
    text = summary(*verdict_of(*SCORES))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 7, row
    assert "<script>" not in text


def test_it_stays_short() -> None:
    thresholds = [{"metric": f"m{i}", "at_most": 0.5} for i in range(200)]
    told = SimpleNamespace(scores=(), findings=())
    text = summary(judge(told, Policy.from_dict({"thresholds": thresholds})), told)
    assert len([line for line in text.splitlines() if line.startswith("- **")]) == MOST_REASONS
    assert "- and 195 more below" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == MOST_ROWS + 3
    assert len(text) < 65_536 / 4  # far below what a comment may hold


def test_a_shipped_policy_without_any_score() -> None:
    told = SimpleNamespace(scores=(), findings=())
    text = summary(judge(told, named("default")))
    assert text.startswith("## Held: a person must decide")
