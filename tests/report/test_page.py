"""The page: self-contained, deterministic, verdict first, and silent about what few real subjects share."""

from __future__ import annotations

import itertools
import re
import time
from html.parser import HTMLParser

import polars as pl
import pytest

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation, evaluate
from ehrsatz.gate.judge import judge
from ehrsatz.gate.policy import Policy
from ehrsatz.gate.verdict import Verdict
from ehrsatz.report.figures import NOT_DRAWN
from ehrsatz.report.format import number
from ehrsatz.report.page import render, report
from ehrsatz.report.twin import twin
from ehrsatz.rules.base import Finding
from evaluation.tables import population, with_rows
from report.samples import PROVENANCE, about, evaluation_of, hostile, margins_of, schema_of

TRAIN, HOLDOUT, FRESH = population(120, 1), population(120, 2), population(120, 3)
RARE = "zzrarezz"
METRICS = (
    "margins",
    "worst_margin",
    "missingness",
    "association",
    "pairs",
    "detection",
    "coverage",
    "tstr",
    "exact_copies",
    "membership",
)


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
    return evaluate(*rare, target="event", seed=1, metrics=METRICS)


def verdict_of(measured: Evaluation, margins: float = 0.99) -> Verdict:
    limits = [
        {"metric": "margins", "at_least": margins, "reason": "Why <two>.", "source": "Doe 2021"},
        {"metric": "membership", "at_most": 0.9, "severity": "deny"},
        {"metric": "exact_copies", "at_most": 0.01, "against": "reference"},
        {"metric": "density", "at_least": 0.1},
    ]
    return judge(measured, Policy.from_dict({"name": "test", "thresholds": limits}))


def written(measured: Evaluation, *, judged: bool = True) -> str:
    verdict = verdict_of(measured) if judged else None
    return report(measured, verdict, schema=TRAIN.schema, provenance=PROVENANCE, title="A <title>")


class Reader(HTMLParser):
    """Collects tags, attributes, ids, text, and what is never closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def test_it_is_one_file_that_loads_nothing_and_runs_nothing(measured: Evaluation) -> None:
    page = written(measured)
    assert not re.search(r"<(script|link|img|iframe|object|embed|base)\b", page) and "@import" not in page
    assert not re.search(r'\s(src|href|xlink:href|action)="(?!#)', page)
    assert not re.search(r"url\((?!#)", page) and not re.search(r'\son[a-z]+="', page)
    assert page.startswith("<!doctype html>") and 'name="viewport"' in page and '<html lang="en">' in page
    assert "prefers-color-scheme:dark" in page and "@media print" in page and "break-before:page" in page
    assert len(page) < 1_000_000


def test_the_markup_closes_and_every_anchor_exists_once(measured: Evaluation) -> None:
    found = Reader(written(measured))
    assert not found.wrong and not found.open
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {str(attrs["href"])[1:] for tag, attrs in found.tags if tag == "a"}
    assert targets <= set(ids)
    assert {"overview", "privacy-officer", "data-scientist", "statistician", "clinician", "made"} <= set(ids)


def test_pictures_and_tables_can_be_read_without_eyes(measured: Evaluation) -> None:
    found = Reader(written(measured))
    pictures = [attrs for tag, attrs in found.tags if tag == "svg"]
    assert len(pictures) > 15
    assert all(one.get("aria-hidden") == "true" or (one["role"] == "img" and one["aria-label"]) for one in pictures)
    assert all(attrs.get("scope") in {"col", "row"} for tag, attrs in found.tags if tag == "th")
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_the_same_evaluation_gives_the_same_bytes(measured: Evaluation) -> None:
    assert written(measured) == written(measured)


def test_the_verdict_comes_first_with_what_is_left_to_fear_and_to_do(measured: Evaluation) -> None:
    page = written(measured)
    body = page[page.index("<body>") :]
    order = ["Held: a person must decide", "What the numbers say", "What can still go wrong", "What would have to"]
    places = [body.index(one) for one in (*order, "Checks of the policy", 'id="privacy-officer"', 'id="made"')]
    assert places == sorted(places)
    assert "Why &lt;two&gt;." in body and "A &lt;title&gt;" in body and "Doe 2021" in body
    assert "Density: not measured" in body or "density" in body.lower()
    assert "Not judged" in written(measured, judged=False)
    kept = judge(measured, Policy.from_dict({"thresholds": [{"metric": "margins", "at_least": 0.1}]}))
    assert "May be released" in report(measured, kept, schema=TRAIN.schema, provenance=PROVENANCE)
    denied = [{"metric": "margins", "at_least": 1.0, "severity": "deny"}]
    denies = judge(measured, Policy.from_dict({"thresholds": denied}))
    assert "Must not be released" in report(measured, denies, schema=TRAIN.schema, provenance=PROVENANCE)


def test_every_number_stands_with_meaning_interval_real_data_baseline_and_threshold(measured: Evaluation) -> None:
    data = twin(measured, verdict_of(measured), schema=TRAIN.schema, provenance=PROVENANCE)
    page = render(data)
    scores = [one for page_ in data["pages"] for theme in page_["themes"] for one in theme["scores"]]
    assert sorted(one["metric"] for one in scores) == sorted(METRICS)
    articles = {one.group(1): one.group(0) for one in re.finditer(r'<article.*?id="s-(.*?)".*?</article>', page, re.S)}
    for one in scores:
        article = articles[one["metric"].replace("_", "-")]
        words = " ".join(Reader(article).text)
        assert one["meaning"] and one["meaning"] in words and one["title"] in words
        if one["status"] != "measured":
            continue
        assert number(one["value"]) in words and number(one["reference"]) in words
        assert number(one["baseline"]) in words and "95 % interval" in words
        assert all(number(end) in words for end in one["interval"] or ())
        assert all(limit["text"] in words for limit in one["thresholds"])
        assert one["what"] in words and one["blind"] in words
        assert 'class="strip"' in article


def test_limits_and_provenance_are_there(measured: Evaluation) -> None:
    page = written(measured)
    for text in ("not automatically anonymous", "no proof", "Not for care", "trees", "ab12", TRAIN.schema.fingerprint):
        assert text in page, text


def test_all_that_the_metrics_tell_is_drawn(measured: Evaluation) -> None:
    assert NOT_DRAWN not in written(measured)


def test_no_number_is_missing_by_mistake(measured: Evaluation) -> None:
    found = Reader(written(measured))
    words = " ".join(found.text)
    assert not re.search(r"\b(nan|NaN|None(?! of)|inf|undefined|Infinity)\b", words)
    inside = [str(value) for _, attrs in found.tags for value in attrs.values()]
    assert not any(re.search(r"\b(nan|inf|None)\b", one) for one in inside)


def test_what_few_real_subjects_share_is_not_shown(measured: Evaluation) -> None:
    text = written(measured) + str(twin(measured, None, schema=TRAIN.schema, provenance=PROVENANCE))
    assert RARE not in text and "98765" not in text


def test_unmeasured_scores_are_said_so() -> None:
    few = with_rows(FRESH, FRESH.table[:3])
    page = report(
        evaluate(TRAIN, HOLDOUT, few, seed=1, metrics=METRICS), None, schema=TRAIN.schema, provenance=PROVENANCE
    )
    assert "not measured" in page and "synthetic has 3" in page
    assert "no target column was named" in page


def test_names_are_escaped_and_cannot_turn_the_page_round() -> None:
    evaluation, schema = hostile()
    findings = [Finding("rule:<b>bold</b>", 10, 2, {})]
    page = report(evaluation, None, schema=schema, provenance=PROVENANCE, title="<script>", findings=findings)
    found = Reader(page)
    assert not found.wrong and not found.open
    assert not {"script", "img", "b"} & {tag for tag, _ in found.tags if tag != "b"}
    assert "<script" not in page and "onerror=alert(1)>" not in page.replace("&gt;", "")
    assert "\u202e" not in page and "{{ 7 * 7 }}" in page and "שם העמודה" in page and "🫀" in page
    assert "&lt;b&gt;bold" in page


def test_an_empty_evaluation_and_one_of_failures_are_pages_too() -> None:
    schema = schema_of(["a"])
    empty = report(Evaluation(()), None, schema=schema, provenance=PROVENANCE)
    assert "Not judged" in empty and "Nothing was measured" in empty and not Reader(empty).wrong
    failed = [Score(f"m{i}", None, status="failed", meaning="Failed: why.") for i in range(3)]
    metrics = {f"m{i}": about("privacy", "Attacks", title=f"Measure {i}") for i in range(3)}
    page = report(evaluation_of(failed, metrics), None, schema=schema, provenance=PROVENANCE)
    assert page.count("could not be measured") >= 3 and "Failed: why." in page and "Privacy is unknown" in page


def test_a_thousand_columns_do_not_break_it() -> None:
    names = [f"column_{i}" for i in range(1000)]
    n = 80
    square = [[None if i == j else 0.3 for j in range(n)] for i in range(n)]
    maps = [{"table": "t", "columns": names[:n], "real": square, "synthetic": square[::-1]}]
    per_column = [{"column": name, "table": "t", "value": 0.1, "reference": 0.05, "p_holm": 0.5} for name in names]
    scores = [
        margins_of(names),
        Score("association", 0.1, (0.0, 0.2), 0.1, 9, meaning="Strength.", details={"maps": maps}),
        Score("ks", 0.1, (0.0, 0.2), 0.1, 9, meaning="KS.", details={"columns": per_column}),
    ]
    metrics = {"margins": about("fidelity", "Single columns"), "association": about("fidelity", "Pairs of columns")}
    metrics["ks"] = about("fidelity", "Single columns")
    start = time.process_time()
    page = report(evaluation_of(scores, metrics), None, schema=schema_of(names), provenance=PROVENANCE)
    assert time.process_time() - start < 5
    assert len(page) < 5_000_000
    assert "900 more columns are still more alike" in page and "970 more columns differ less" in page
    assert "700 more columns are not listed" in page


def test_rules_cost_and_documents_stand_on_the_page() -> None:
    findings = [Finding("kept", 10, 0, {}), Finding("broken", 10, 2, {})]
    page = report(
        Evaluation(()),
        None,
        schema=schema_of(["a"]),
        provenance=PROVENANCE,
        findings=findings,
        cost={"Wall seconds": 12.5},
        documents=[("dossiers/hipaa.md", "Safe Harbor, item by item.")],
    )
    assert "1 of 2 rules of the schema are broken" in page and "20 % of the rows" in page
    assert page.index("broken</bdi>") < page.index("kept</bdi>")
    assert "Wall seconds" in page and "12.5" in page and "dossiers/hipaa.md" in page
