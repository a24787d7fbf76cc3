"""The report of simulated cohorts: valid by the schema, in its own words, drawn whole, the other edition untouched."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from ehrsatz import clinical
from ehrsatz.documents import cohort_documents
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.evaluation.plausibility.measures import MEASURES
from ehrsatz.gate import judge, named
from ehrsatz.provenance import Provenance, Step
from ehrsatz.report.charts import draw
from ehrsatz.report.cohort import COHORT, READERS, THEMES
from ehrsatz.report.edition import COPY
from ehrsatz.report.figures.cohort import DRAWN, brief
from ehrsatz.report.figures.lives import drug_name, timeline
from ehrsatz.report.twin import json_schema

HOSTILE = "<script>alert(1)</script> & \u202e"
CELL = {"label": "20 to 40", "reached": 11.0, "interval": [9.0, 13.0], "published": 10.0, "agrees": True}
FIGURE = {
    "what": f"Gout, {HOSTILE}",
    "published": "1",
    "reached": "2",
    "interval": "1 to 3",
    "n": "9",
    "state": "off",
    "source": "Doe 2020",
}
DETAILS: dict[str, dict[str, Any]] = {
    "rule_errors": {
        "rules": [{"rule": "a.b", "title": HOSTILE, "checked": 9, "broken": 1}],
        "rule_themes": [{"theme": "labs", "rules": 3, "checked": 9, "broken": 1}],
    },
    "code_errors": {"code_systems": [{"system": "LOINC", "checked": 9, "unknown": 0}]},
    "dangling_keys": {"links": [{"link": "condition.encounter_id", "checked": 9, "dangling": 0}]},
    "quota_met": {"quota_rows": [{"what": "women", "asked": 9, "there": 9, "fit": 8, "short": "sex 1"}]},
    "prevalence_fit": {
        "bands": [
            {
                "title": HOSTILE,
                "unit": "%",
                "source": "Doe J, A title, JAMA 2020;1:2, doi:10.1001/jama.1(2)3: with figures",
                "panels": [
                    {"name": "women", "cells": [CELL, {**CELL, "agrees": False, "label": "40 and older"}]},
                    {"name": "men", "cells": [{**CELL, "reached": None, "interval": None, "agrees": None}]},
                ],
            }
        ],
        "figures": [FIGURE],
    },
    "quantile_fit": {
        "ribbons": [
            {
                "title": "LDL (mg/dL)",
                "source": "Survey 2020",
                "panels": [
                    {
                        "name": "women",
                        "curves": [
                            {"at": at, "cells": [{**CELL, "published": v, "reached": v + 1}] * 2}
                            for at, v in (("5 %", 60.0), ("50 %", 100.0), ("95 %", 150.0))
                        ],
                    }
                ],
            }
        ]
    },
    "correlation_fit": {
        "dumbbells": [{"title": "Correlations", "unit": "", "ratio": False, "rows": [{**CELL, "label": "a with b"}]}]
    },
    "incidence_fit": {
        "dumbbells": [{"title": "New cases", "unit": "", "ratio": True, "rows": [{**CELL, "label": "Gout, men"}]}]
    },
    "glycaemia_line": {"glycaemia": {"points": [[6.0, 130.0], [8.0, 180.0]], "slope": 28.7, "start": -46.7}},
    "life_expectancy_gap": {
        "curves": [{"sex": "women", "reached": [[0, 1], [80, 0.5]], "published": [[0, 1], [80, 0.6]]}]
    },
    "calibration_fit": {
        "asked": [{"what": "gout", "asked": "1 %", "before": "2 %", "reached": "1 %", "met": True, "source": "x"}],
        "lost": [{"what": "ckd", "asked": "1 %", "before": "1 %", "reached": "2 %", "met": False, "source": "x"}],
    },
}
LIFE = {
    "id": "P00000007",
    "why": "died",
    "sex": "male",
    "birth": 1950.2,
    "death": 2024.1,
    "cause": "I21.9",
    "end": 2024.1,
    "routine": 2016.0,
    "visits": [
        [2017.1, 2017.12, "icu", "Sepsis"],
        [2018.0, 2018.0001, "wellness", None],
        [2019.0, 2019.1, "emergency", HOSTILE],
    ],
    "conditions": [
        ["Chronic kidney disease", True, "CKD", "Chronic kidney disease stage 3a", 2005.0, 2015.0],
        ["Chronic kidney disease", True, "CKD", "Chronic kidney disease stage 3b", 2015.0, None],
        ["Sepsis", False, "Sepsis", None, 2017.1, 2017.2],
    ],
    "medications": [
        ["24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet", 2016.0, 2017.0, "E11.9"],
        ["24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet", 2017.1, None, "E11.9"],
        ["24 HR Metformin hydrochloride 1000 MG Extended Release Oral Tablet", 2020.0, 2021.0, "E11.9"],
        ["Amoxicillin 250 MG Oral Capsule", 2018.0, 2018.02, "J01.90"],
    ],
    "procedures": [
        *(["Hemodialysis (procedure)", 2020 + k / 150] for k in range(100)),
        ["Colonoscopy (procedure)", 2019.0],
    ],
    "labs": {
        "sbp": {"unit": "mm[Hg]", "low": 90, "high": 129, "points": [[2016.0, 130.0], [2020.0, 140.0]]},
        "dbp": {"unit": "mm[Hg]", "low": 60, "high": 79, "points": [[2016.0, 80.0], [2020.0, 85.0]]},
        "hba1c": {"unit": "%", "low": 4.0, "high": 5.6, "points": [[2016.0, 7.1]]},
    },
}


def evaluation() -> Evaluation:
    scores = []
    for one in MEASURES:
        if one.name == "cause_fit":
            scores.append(Score(one.name, None, status="not_applicable", meaning="Not measured: too few died."))
            continue
        value = {"minimise": 0.0, "maximise": 1.0, "target": 0.9}[one.goal]
        told = {"meaning": f"{one.title}: {HOSTILE}", "details": DETAILS.get(one.name, {})}
        scores.append(Score(one.name, value, (value, value), n=99, **told))
    details = {"subjects": {"simulated": 99}, "rows": {"simulated": {"patient": 99}}, "task": {}}
    return Evaluation(tuple(scores), {**details, "metrics": {one.name: one.about() for one in MEASURES}})


def documents(**more: Any) -> dict[str, str]:
    found = evaluation()
    synthetic = SimpleNamespace(
        schema=clinical.schema(),
        provenance=Provenance("simulated", (Step("simulate", "simulator", "0", {"n": 99}, 7),)),
    )
    told = {
        "timelines": [LIFE, {**LIFE, "death": None, "cause": None, "sex": "female", "end": 2026.0, "id": "P00000008"}]
    }
    return cohort_documents(
        found, judge(found, named("simulated")), synthetic, title=HOSTILE, statistics={**told, **more}
    )


DOCUMENTS = documents()
DATA = json.loads(DOCUMENTS["report.json"])


def test_the_twin_is_valid_and_says_which_edition_it_is() -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(DATA)
    assert DATA["edition"]["id"] == "simulated" == COHORT.id and COPY.id == "copy"
    assert set(DOCUMENTS) == {"report.html", "report.json", "summary.md", "junit.xml"}


def test_a_page_for_each_reader_and_every_measure_on_one() -> None:
    assert [page["id"] for page in DATA["pages"]] == [one.id for one in READERS]
    scores = [score["metric"] for page in DATA["pages"] for theme in page["themes"] for score in theme["scores"]]
    assert sorted(scores) == sorted(one.name for one in MEASURES), "each once"
    assert {theme for one in READERS for theme in one.themes} == set(THEMES)
    assert {one.theme for one in MEASURES} <= set(THEMES)


def test_nothing_of_copies_is_said() -> None:
    page = re.sub(r"<style>.*?</style>", "", DOCUMENTS["report.html"], flags=re.S)
    for words in ("holdout", "training", "Without skill", "synthetic rows", "real data", "the copy"):
        assert words not in page, words
    assert "99 simulated patients" in page and "No record of a real person was used" in page


def test_nothing_runs_and_hostile_names_are_shown_as_they_are() -> None:
    page = DOCUMENTS["report.html"]
    assert "<script" not in page and "\u202e" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r'(src|href)="(?!#)', page), "nothing is loaded from elsewhere"


def test_every_detail_is_drawn() -> None:
    themes = [theme for page in DATA["pages"] for theme in page["themes"]]
    shown = [one for theme in themes for score in theme["scores"] for one in score["pictures"]]
    assert {"bands", "ribbons", "dots", "lines", "table"} <= {one["kind"] for one in shown}
    assert not [one["title"] for one in shown if one["title"].startswith("Not drawn")]
    assert set().union(*DETAILS.values()) <= set(DRAWN)
    assert sum(len(theme.get("figures", ())) for theme in themes) == 3, "two patients, one table of identifiers"


def test_the_same_cohort_gives_the_same_bytes() -> None:
    assert documents() == DOCUMENTS


# ---------------------------------------------------------------------- timelines
def test_a_timeline_holds_stages_doses_and_repeats() -> None:
    data = timeline(LIFE)["data"]
    (ckd,) = data["conditions"]
    assert [(one["label"], one["from"], one["to"], one["open"]) for one in ckd["spans"]] == [
        ("3a", 2005.0, 2015.0, False),
        ("3b", 2015.0, 2024.1, False),
    ], "nothing goes on after death"
    (metformin,) = data["drugs"]
    assert metformin["label"] == "metformin"
    assert [(one["label"], one["from"]) for one in metformin["spans"]] == [("500 mg", 2016.0), ("1000 mg", 2020.0)]
    assert [one["label"] for one in data["courses"]] == ["amoxicillin"]
    assert data["repeated"][0]["label"] == "Hemodialysis (100)" and len(data["repeated"][0]["spans"]) == 1
    assert [one["label"] for one in data["procedures"]] == ["Colonoscopy"]
    assert data["acute"] == [{"at": 2017.1, "label": "Sepsis"}]
    assert data["labs"][0] == {
        "label": "Blood pressure",
        "unit": "mmHg",
        "low": 60,
        "high": 129,
        "series": [[[2016.0, 130.0], [2020.0, 140.0]], [[2016.0, 80.0], [2020.0, 85.0]]],
    }
    assert data["split"] == 2016.0 and data["start"] == 2004.0, "a year before the first thing that is told"


def test_the_living_go_on_and_the_young_have_one_scale() -> None:
    alive = timeline({**LIFE, "death": None, "cause": None})["data"]
    assert alive["conditions"][0]["spans"][-1]["open"] and alive["death"] is None
    child = timeline({**LIFE, "birth": 2014.5, "death": None, "cause": None, "conditions": []})
    assert child["data"]["split"] is None and child["title"].startswith("Boy of 9")


def test_a_timeline_is_drawn_wide_and_narrow_within_its_frame() -> None:
    made = timeline(LIFE)
    svgs = re.findall(
        r"<svg class=\"([^\"]+)\" viewBox=\"0 0 ([\d.]+) ([\d.]+)\".*?</svg>", str(draw(made)), flags=re.S
    )
    assert [css for css, _, _ in svgs] == ["chart life long", "chart life slim"]
    for (_, width, height), body in zip(svgs, re.split(r"(?=<svg)", str(draw(made)))[1:], strict=True):
        for x, y in re.findall(r'<(?:text|rect|circle)[^>]* c?x="(-?[\d.]+)" c?y="(-?[\d.]+)"', body):
            assert -1 <= float(x) <= float(width) + 1 and -1 <= float(y) <= float(height) + 1
    words = str(draw(made))
    assert "Chronic kidney disease, 3a" in words and "† died 2024" in words
    assert "&lt;script&gt;" in words


@pytest.mark.parametrize(
    ("display", "name", "dose"),
    [
        ("24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet", "metformin", "500 mg"),
        ("amLODIPine 2.5 MG Oral Tablet", "amlodipine", "2.5 mg"),
        ("Acetaminophen 325 MG / oxyCODONE Hydrochloride 5 MG Oral Tablet", "acetaminophen + oxycodone", ""),
        ("NDA020503 200 ACTUAT Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler", "albuterol", ""),
        ("Sodium Chloride 9 MG/ML Injectable Solution", "sodium chloride", ""),
        ("1 ML heparin sodium, porcine 5000 UNT/ML Injection", "heparin", ""),
        ("Warfarin Sodium 5 MG Oral Tablet", "warfarin", "5 mg"),
        ("Something else", "something else", ""),
    ],
)
def test_names_of_drugs(display: str, name: str, dose: str) -> None:
    assert drug_name(display) == (name, dose)


def test_citations_are_cut_after_their_doi() -> None:
    told = "Go AS et al., Prevalence, JAMA 2001;285:2370, doi:10.1001/jama.285.18.2370, figure 2: 0.1 %"
    assert brief(told).endswith("doi:10.1001/jama.285.18.2370")
    assert brief("Ford E, MMWR 2014, doi:10.1016/S0140-6736(10)62226-X: with figures").endswith("62226-X")
    assert len(brief("word " * 100)) < 175
