"""Papers: every sentence rests on evidence, nothing is claimed beyond it, and the scan finds what is there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.dossiers.base import DISCLAIMER, FORBIDDEN, Evidence, Statement, compose, problems
from ehrsatz.dossiers.build import PAPERS, dossiers, gather, paper_text
from ehrsatz.dossiers.scan import IDENTIFIERS, SMALL_ZIP3, scan
from ehrsatz.evaluation.evaluate import Evaluation, evaluate
from ehrsatz.gate import Policy, Verdict, judge
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table, dtype_of
from evaluation.tables import population

TRAIN, HOLDOUT, MADE = population(150, 1), population(150, 2), population(150, 3)
MADE_BY = {"name": "trees", "parameters": {}}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(
        TRAIN, HOLDOUT, MADE, target="event", seed=1, metrics=("margins", "exact_copies", "membership", "tstr_gap")
    )


@pytest.fixture(scope="module")
def verdict(evaluation: Evaluation) -> Verdict:
    return judge(evaluation, Policy.default())


@pytest.fixture(scope="module")
def papers(evaluation: Evaluation, verdict: Verdict) -> dict[str, str]:
    return dossiers(evaluation, verdict, MADE, generator=MADE_BY)


def table(columns: dict[str, tuple[Column, list]]) -> Dataset:
    schema = Schema("t", (Table("t", tuple(column for column, _ in columns.values())),))
    frame = pl.DataFrame(
        {name: pl.Series(name, cells, dtype=dtype_of(column.kind)) for name, (column, cells) in columns.items()}
    )
    return Dataset(schema, {"t": frame}, Provenance("generated"))


def one(name: str, cells: list, kind: str = "category", **rest) -> Dataset:
    return table({name: (Column(name, kind, **rest), cells)})  # type: ignore[arg-type]


# ---------------------------------------------------------------------- papers
def test_all_papers_come_as_markdown_and_html_with_the_disclaimer(papers: dict[str, str]) -> None:
    for name in PAPERS:
        for suffix in ("md", "html"):
            assert DISCLAIMER in papers[f"dossiers/{name}.{suffix}"].replace("&#39;", "'")
    assert set(papers) == {f"dossiers/{name}.{s}" for name in PAPERS for s in ("md", "html")} | {
        "dossiers/evidence.json"
    }


@pytest.mark.parametrize("name", PAPERS)
def test_every_sentence_rests_on_evidence(
    name: str, evaluation: Evaluation, verdict: Verdict, papers: dict[str, str]
) -> None:
    evidence = gather(evaluation, verdict, MADE, generator=MADE_BY)
    paper = compose(name, paper_text(name), evidence, IDENTIFIERS)
    assert paper.title and paper.reader and paper.n_open > 0
    assert problems(paper, evidence) == []
    index = json.loads(papers["dossiers/evidence.json"])["evidence"]
    for said in (said for part in paper.sections for said in part.statements):
        assert (said.state in {"law", "open"}) == (not said.ids), said.text
        assert set(said.ids) <= set(index)


@pytest.mark.parametrize("name", PAPERS)
def test_every_number_in_a_template_comes_from_the_run(name: str) -> None:
    """No figure stands in a paper's own words but numbers of articles, which quote what a rule asks for."""
    for line in paper_text(name).splitlines():
        if line.startswith("- ") and not line.startswith("- [ ]"):
            own = re.sub(r"\{[^}]*\}|Articles? [\d(),a-z and]+|\(\w\)", "", line)
            assert not re.search(r"\d", own), line


def test_values_are_quoted_as_measured(evaluation: Evaluation, papers: dict[str, str]) -> None:
    membership = evaluation["membership"]
    assert membership.meaning in papers["dossiers/gdpr-anonymity.md"]
    assert f"right in {100 * membership.value:.1f} % of the cases" in papers["dossiers/patients.md"]
    assert "`[score:membership, check:membership]`" in papers["dossiers/gdpr-anonymity.md"]
    assert "`[score:membership]`" in papers["dossiers/patients.md"]
    index = json.loads(papers["dossiers/evidence.json"])["evidence"]
    assert index["score:membership"]["value"]["value"] == pytest.approx(membership.value, rel=1e-9)
    assert "patients" in index["score:membership"]["used_in"]


def test_what_was_not_measured_is_said_and_never_a_number(papers: dict[str, str]) -> None:
    text = papers["dossiers/gdpr-anonymity.md"]
    line = next(line for line in text.splitlines() if "score:singling_out" in line)
    assert line.startswith("- **Not measured:")
    index = json.loads(papers["dossiers/evidence.json"])["evidence"]
    assert index["score:singling_out"]["value"]["value"] is None


@pytest.mark.parametrize(
    "claim",
    ["These rows are anonymous.", "The release is fully compliant.", "There is no risk.", "We guarantee it.",
     "No consent needed.", "It is devoid of identifiers.", "This certifies that"],
)  # fmt: skip
def test_claims_beyond_the_evidence_are_refused(claim: str, evaluation: Evaluation, verdict: Verdict) -> None:
    text = paper_text("patients") + f"\n- {claim} {{fact:seed}}\n"
    evidence = gather(evaluation, verdict, MADE, generator=MADE_BY)
    assert any("claims more" in found for found in problems(compose("p", text, evidence, IDENTIFIERS), evidence))


def test_a_column_may_have_any_name(papers: dict[str, str]) -> None:
    name = "this is anonymous, no risk, guaranteed"
    renamed = {part: replace_column(one, "sex", name) for part, one in (("a", TRAIN), ("b", HOLDOUT), ("c", MADE))}
    found = evaluate(*renamed.values(), seed=1, metrics=("worst_margin", "margins", "group_exposure"))
    renewed = dossiers(found, judge(found, Policy.default()), renamed["c"], generator=MADE_BY)
    assert len(renewed) == len(papers)


def test_no_measure_claims_more_than_it_saw() -> None:
    whole = evaluate(TRAIN, HOLDOUT, MADE, target="event", seed=1)
    for score in whole.scores:
        about = whole.details["metrics"][score.metric]
        for text in (score.meaning, about["what"], about["blind"], about["title"]):
            assert not FORBIDDEN.search(text), text


def replace_column(dataset: Dataset, old: str, new: str) -> Dataset:
    table_ = dataset.schema.parent
    columns = tuple(replace(one, name=new) if one.name == old else one for one in table_.columns)
    schema = dataset.schema.replace_table(replace(table_, columns=columns))
    return Dataset(schema, {table_.name: dataset.table.rename({old: new})}, dataset.provenance)


def test_a_sentence_without_evidence_or_with_a_strange_line_is_refused(
    evaluation: Evaluation, verdict: Verdict
) -> None:
    evidence = gather(evaluation, verdict, MADE, generator=MADE_BY)
    bare = compose("p", "# T\nFor: x\n## S\n- All is well.\n", evidence, {})
    assert problems(bare, evidence) == ["p, S: a sentence rests on nothing"]
    with pytest.raises(ValueError, match="neither"):
        compose("p", "# T\nsomething else\n", evidence, {})
    with pytest.raises(KeyError):
        evidence.tell("{fact:unheard}")


def test_evidence_spells_numbers_and_intervals() -> None:
    told = {"value": 0.51234, "interval": [0.4, 0.00012], "reference": None, "meaning": "M.", "baseline": 0.5}
    evidence = Evidence({"m": told}, {"m": "Title"}, {"m": "at most 0.6 (passed)"}, {"rows": 12345})
    said = evidence.tell("{score:m} ({interval:m}), real {reference:m}, guess {baseline:m}, {limit:m}, {fact:rows}")
    assert said.text == "0.512 (0.4 to 0.00012), real none, guess 0.5, at most 0.6 (passed), 12,345"
    assert said.ids == ("score:m", "check:m", "fact:rows")
    assert evidence.meaning("m").text == "M. The policy asks for at most 0.6 (passed)."
    assert evidence.tell("{percent:m} %, real {real-percent:m}").text == "51.2 %, real none"
    counted = Evidence({}, {}, {}, {"one": 1, "many": 12345})
    said = counted.tell("{fact:one|row is|rows are}, {fact:many|row is|rows are}")
    assert said.text == "1 row is, 12,345 rows are" and said.ids == ("fact:one", "fact:many")
    lacking = Evidence({"m": {"value": None, "meaning": "Not measured: no target."}}, {"m": "Title"}, {})
    assert lacking.tell("{percent:m} %").state == "not measured"
    assert lacking.tell("{score:m}") == Statement("Not measured: Title (no target).", ("score:m",), "not measured")


def test_a_limit_that_is_kept_by_chance_alone_is_told_so(evaluation: Evaluation) -> None:
    value = evaluation["membership"].value
    limit = {"metric": "membership", "at_most": value - 0.001, "judge": "lenient"}
    policy = Policy.from_dict({"name": "p", "thresholds": [limit]})
    evidence = gather(evaluation, judge(evaluation, policy), MADE, generator=MADE_BY)
    assert evidence.limits["membership"].endswith("(passed, beyond it by no more than chance explains)")


def test_the_page_for_patients_has_no_words_of_the_trade(papers: dict[str, str]) -> None:
    page = "\n".join(line for line in papers["dossiers/patients.md"].splitlines() if "**Not measured" not in line)
    page = re.sub(r"`\[.*?\]`", "", page)
    for word in ("AUC", "training subject", "holdout", "p-value", "policy", "quasi"):
        assert word not in page, word


def test_same_run_same_bytes_and_no_outside_resource(
    evaluation: Evaluation, verdict: Verdict, papers: dict[str, str]
) -> None:
    assert dossiers(evaluation, verdict, MADE, generator=MADE_BY) == papers
    for name, text in papers.items():
        assert not re.search(r'(src|href)="(https?:)?//', text), name
        assert not re.search(r"\bNone\b(?! of)|\bnan\b|NaN", text), name


def test_hostile_names_are_escaped(evaluation: Evaluation, verdict: Verdict) -> None:
    bad = one("<script>alert(1)</script>@", ["a@b.example"] * 3)
    found = SimpleNamespace(**evaluation.__dict__)
    text = dossiers(found, verdict, bad, generator=MADE_BY)["dossiers/hipaa.html"]
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


# ---------------------------------------------------------------------- scan
@pytest.mark.parametrize(
    ("letter", "name", "cell"),
    [
        ("D", "remark", "(212) 555-0134"),
        ("D", "remark", "call 212-555-0134 now"),
        ("F", "remark", "jane@example.com"),
        ("G", "remark", "078-05-1120"),
        ("L", "remark", "1M8GDM9AXKP042788"),
        ("M", "remark", "(01)09504000059118"),
        ("N", "remark", "https://example.org/x"),
        ("O", "remark", "192.0.2.17"),
        ("B", "city", "Springfield"),
        ("B", "zip", "90210"),
        ("B", "zip", "036"),
        ("K", "license", "AB12"),
        ("Q", "photo", "face.png"),
        ("E", "fax", "123"),
    ],
)
def test_planted_identifiers_are_found_and_counted(letter: str, name: str, cell: str) -> None:
    found = scan(one(name, [cell, cell, None]))
    assert found[letter].columns == (f"t.{name}",)
    assert found[letter].hits >= 1
    assert cell not in repr(found)


@pytest.mark.parametrize(
    ("name", "cell", "kind"),
    [
        ("diagnosis", "I10", "code"),
        ("diagnosis", "250.01", "code"),
        ("bp", "120/80", "category"),
        ("zip", "902", "category"),
        ("zip", "90200", "category"),
        ("remark", "1M8GDM9A1KP042788", "category"),  # wrong check digit
        ("version", "1.2.3", "category"),
        ("age", "[90-100)", "category"),
    ],
)
def test_harmless_cells_are_left_alone(name: str, cell: str, kind: str) -> None:
    assert sum(found.hits for found in scan(one(name, [cell] * 3, kind)).values()) == 0


def test_ages_over_89_and_dates() -> None:
    assert scan(one("age", [89, 90, 97, None], "integer"))["C"].hits == 2
    assert scan(one("age", ["80-89", "90-94", "95-99"]))["C"].hits == 2  # more than one band above 89
    assert scan(one("day", [date(2020, 5, 1), None], "date"))["C"].hits == 1
    assert scan(one("year", [date(2020, 1, 1), date(2021, 1, 1)], "date"))["C"].hits == 0
    both = table(
        {
            "birth_year": (Column("birth_year", "integer"), [1920, 1960]),
            "seen": (Column("seen", "date"), [date(2020, 1, 1), date(2020, 1, 1)]),
        }
    )
    assert scan(both)["C"].columns == ("t.birth_year",)


def test_withheld_columns_are_told_as_made_anew_and_not_as_hits() -> None:
    found = scan(one("email", ["a@b.example"] * 3, "id", disclosure="direct"))
    assert found["F"].fabricated == ("t.email",)
    assert sum(one.hits for one in found.values()) == 0


def test_a_column_of_unique_codes_is_a_unique_code() -> None:
    assert scan(one("kit", [f"K{i}" for i in range(30)], "code"))["R"].hits == 30
    assert scan(one("kit", [f"K{i % 5}" for i in range(30)], "code"))["R"].hits == 0


def test_every_small_zip_area_is_found() -> None:
    for area in SMALL_ZIP3.split():
        assert scan(one("zip", [area, f"{area}00"]))["B"].hits == 2
