"""The report: self-contained, deterministic, verdict first, and silent about what few real subjects share."""

from __future__ import annotations

import re
from types import SimpleNamespace

import polars as pl
import pytest

from ehrsatz.evaluation.evaluate import Evaluation, evaluate
from ehrsatz.evaluation.pictures import picture
from ehrsatz.evaluation.space import Comparison
from ehrsatz.provenance import Provenance, Step
from ehrsatz.report.page import report
from evaluation.tables import population, table, with_rows

TRAIN, HOLDOUT, FRESH = population(120, 1), population(120, 2), population(120, 3)
RARE = "zzrarezz"


@pytest.fixture(scope="module")
def measured() -> Evaluation:
    rare = [
        with_rows(
            one,
            one.table.with_columns(
                site=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit(RARE)).otherwise("site"),
                pressure=pl.when(pl.int_range(pl.len()) == 7).then(98765.43).otherwise("pressure"),
                weight=pl.when(pl.int_range(pl.len()) < 2).then(None).otherwise("weight"),
            ),
        )
        for one in (TRAIN, HOLDOUT, FRESH)
    ]
    return evaluate(*rare, target="event", seed=1)


def written(measured: Evaluation, decision: str | None = "hold") -> str:
    checks = (
        SimpleNamespace(name="margins", passed=True, value=0.9, threshold="at least 0.9", reason="Why one."),
        SimpleNamespace(name="rules_kept", passed=False, value=None, threshold="at least 0.99", reason="Why <two>."),
        SimpleNamespace(name="tstr", passed=None, value=None, threshold="at least 0.5", reason="Why three."),
    )
    verdict = None if decision is None else SimpleNamespace(decision=decision, passed=decision == "pass", checks=checks)
    provenance = Provenance("generated", (Step("sample", "trees", "0.1.0", {"n": 120}, 3, "ab12"),))
    return report(measured, verdict, schema=TRAIN.schema, provenance=provenance, title="A <title>")


def test_it_is_one_file_that_loads_nothing_and_runs_nothing(measured: Evaluation) -> None:
    page = written(measured)
    assert "<script" not in page and "<link" not in page and "<img" not in page and "@import" not in page
    assert not re.search(r'(src|href)="(?!#)', page) and "url(" not in page
    assert page.startswith("<!doctype html>") and 'name="viewport"' in page
    assert "prefers-color-scheme:dark" in page and "@media print" in page
    assert len(page) < 1_000_000


def test_the_same_evaluation_gives_the_same_bytes(measured: Evaluation) -> None:
    assert written(measured) == written(measured)


def test_the_verdict_comes_first_with_its_reasons(measured: Evaluation) -> None:
    page = written(measured)
    body = page[page.index("<body>") :]
    assert body.index("Held: a person must decide") < body.index("What this means") < body.index("All scores")
    assert "Why &lt;two&gt;." in body and "A &lt;title&gt;" in body
    assert "Must not be released" in written(measured, "deny")
    assert "May be released" in written(measured, "pass")
    assert "Not judged" in written(measured, None)


def test_every_score_limits_and_provenance_are_there(measured: Evaluation) -> None:
    page = written(measured)
    for score in measured.scores:
        assert measured.details["metrics"][score.metric]["title"] in page
    for text in ("not automatically anonymous", "no proof", "Not for care", "trees", "ab12", TRAIN.schema.fingerprint):
        assert text in page, text
    for part in ("Column by column", "Columns together", "What gives it away", "Working with it", "training data?"):
        assert part in page
    assert page.count("<svg") > 15


def test_what_few_real_subjects_share_is_not_shown(measured: Evaluation) -> None:
    page = written(measured)
    text = page + str(measured.to_dict())
    assert RARE not in text and "98765" not in text
    columns = {one["column"]: one for one in measured["margins"].details["columns"]}
    assert "other" not in columns["site"]["picture"]["labels"] or RARE not in columns["site"]["picture"]["labels"]
    assert "missing" not in columns["weight"]["picture"]["labels"]
    gaps = {one["column"]: one for one in measured["missingness"].details["columns"]}
    assert gaps["weight"]["real"] is None


@pytest.mark.parametrize("seed", range(4))
def test_every_bar_stands_for_five_real_subjects_or_none(seed: int) -> None:
    real = population(137, seed)
    view = Comparison.of(TRAIN, real, FRESH).views[0]
    for feature in view.features:
        drawn = picture(view, feature)
        assert drawn["labels"]
        for share in drawn["real"]:
            assert share == 0 or share * 1.37 > 4.9


def test_levels_of_few_are_pooled_with_the_next_smallest() -> None:
    real = table({"a": ("category", ["x"] * 20 + ["y"] * 6 + ["p", "q", "r"])})
    view = Comparison.of(real, real, real).views[0]
    drawn = picture(view, view.features[0])
    assert drawn["labels"] == ["x", "other"]
    assert drawn["real"] == [round(100 * 20 / 29, 2), round(100 * 9 / 29, 2)]


def test_a_column_of_few_values_has_no_picture() -> None:
    real = table({"a": ("number", [1.0, 2.0, 3.0] + [None] * 30), "b": ("category", ["x"] * 33)})
    view = Comparison.of(real, real, real).views[0]
    assert picture(view, view.features[0])["labels"] == []


def test_dates_have_round_edges() -> None:
    from datetime import date, timedelta

    days = [date(1961, 5, 17) + timedelta(days=37 * i) for i in range(300)]
    real = table({"d": ("date", days)})
    view = Comparison.of(real, real, real).views[0]
    labels = picture(view, view.features[0])["labels"]
    assert all(re.fullmatch(r"(< |≥ )?\d{4}-01-01( to \d{4}-01-01)?", one) for one in labels)


def test_unmeasured_scores_are_said_so() -> None:
    few = with_rows(FRESH, FRESH.table[:3])
    page = written(evaluate(TRAIN, HOLDOUT, few, seed=1), None)
    assert "not measured" in page and "synthetic has 3" in page
    assert "No target column was named" in page
