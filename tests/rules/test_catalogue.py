"""Every rule: a record just inside it and one just outside; words, sources, index and page."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

import rules.bodycases
import rules.carecases
import rules.timecases  # noqa: F401
from ehrsatz.rules.catalogue import INDEX, THEMES, by_id, index, theme_of
from ehrsatz.rules.catalogue import rules as shipped
from ehrsatz.rules.mapping import shipped as mapping
from ehrsatz.rules.view import View
from rules.cases import CASES
from rules.lives import frames

ELSEWHERE = {"code.form.icd9cm"}  # needs data coded in ICD-9-CM: tests/rules/test_mapping.py
REFERENCE = datetime(2025, 12, 31)


@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_record_inside_and_one_outside(rule: str) -> None:
    statement = by_id()[rule]
    good, bad = (View(frames(rows), mapping("clinical"), REFERENCE) for rows in CASES[rule])
    assert not bad.lacks(statement.needs)
    inside, outside = statement.judge(good), statement.judge(bad)
    assert inside.n_failed == 0, "the record inside is called broken"
    assert inside.n_checked > 0, "the rule does not apply to the record inside"
    assert outside.n_failed > 0, "the record outside is not found"
    assert outside.n_failed <= outside.n_checked
    assert sum(len(places) for places in outside.rows.values()) == outside.n_failed


def test_every_rule_has_its_case() -> None:
    assert set(by_id()) - set(CASES) == ELSEWHERE


def test_there_are_more_than_120_rules_beside_limits_of_values_and_doses() -> None:
    others = [one for one in by_id() if not one.startswith(("value.", "dose.", "vaccine."))]
    assert len(others) >= 120


def test_ids_are_unique_and_lower_case() -> None:
    ids = [one.id for one in shipped()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", one) for one in ids)


@pytest.mark.parametrize("theme", THEMES)
def test_every_rule_says_why_and_who_says_so(theme: str) -> None:
    for one in (one for one in shipped() if theme_of(one.id) == theme):
        assert one.severity in {"error", "warning"}, one.id
        assert (one.title[0].isupper() or one.title[0].isdigit()) and not one.title.endswith("."), one.id
        assert one.why.endswith("."), one.id
        assert re.search(r"\b(19|20)\d\d\b", one.source) or one.source.startswith(("By ", "assumed")), one.id


def test_every_need_is_a_column_of_the_clinical_schema() -> None:
    from ehrsatz import clinical

    known = {f"{table.name}.{name}" for table in clinical.schema().tables for name in table.names}
    known |= {table.name for table in clinical.schema().tables} | {"reference"}
    for one in shipped():
        for need in one.needs.split():
            assert set(need.split("|")) <= known, one.id


def test_the_index_is_what_the_themes_hold() -> None:
    assert INDEX.read_text(encoding="utf-8") == index(), "run: python -m ehrsatz.rules.catalogue"


def test_the_page_lists_every_rule() -> None:
    from rules.page import PAGE, written

    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text), "run: python tests/rules/page.py"
    assert all(f"| `{one}` |" in text for one in by_id())
