"""Which details become which pictures; details of another form become none, and never an error."""

from __future__ import annotations

import jsonschema
import pytest

from ehrsatz.report.charts import draw
from ehrsatz.report.figures import DRAWN, NOT_DRAWN, pictures
from ehrsatz.report.figures.base import label_of, marks_of
from ehrsatz.report.figures.fidelity import column_table
from ehrsatz.report.format import plain
from ehrsatz.report.twin import json_schema

SIDE = {"estimate": 1.5, "low": 1.0, "high": 2.0, "p": 0.01}
RATES = {"called": 0.1}
POINTS = [{"predicted": 0.1, "observed": 0.2}, {"predicted": 0.5, "observed": 0.4}]
EXAMPLES = {
    "maps": (
        {
            "maps": [
                {"columns": ["a", "b"], "real": [[None, 0.1], [0.1, None]], "synthetic": [[None, 0.5], [0.5, None]]}
            ]
        },
        ["difference"],
    ),
    "rectangle": (
        {"maps": [{"columns": ["a", "b"], "rows": ["c"], "real": [[0.1, 0.9]], "synthetic": [[0.5, None]]}]},
        ["difference"],
    ),
    "worst pairs": ({"worst": [{"columns": ["a", "b"], "similarity": 0.5}]}, ["ranking"]),
    "worst gaps": ({"worst": [{"columns": ["a", "b"], "real": 0.1, "synthetic": 0.5, "gap": 0.4}]}, ["dots"]),
    "worst name": ({"worst": "age"}, []),
    "culprits": ({"culprits": [{"column": "a", "drop": 0.1, "how": "more often high"}]}, ["ranking"]),
    "quantiles": (
        {"columns": [{"column": "a", "value": 0.1, "points": [[5, 1, 2], [10, 2, 3], [50, 4, 4]]}]},
        ["lines"],
    ),
    "columns": ({"columns": [{"column": "a", "real": 0.1, "synthetic": 0.2}]}, ["dots"]),
    "rates": (
        {"columns": [{"column": "sex", "groups": [{"group": "F", "real": RATES, "synthetic": RATES}]}]},
        ["dots"],
    ),
    "patterns": ({"patterns": [{"missing": ["a", "b"], "real": 0.1, "synthetic": 0.2}]}, ["dots"]),
    "parts": ({"parts": [{"part": "visits", "deciles": {"holdout": [1, 2, 3], "synthetic": [1, 3, 4]}}]}, ["lines"]),
    "points": ({"points": [[0.1, 0.2], [0.5, 0.4]]}, ["lines"]),
    "codes": ({"codes": [{"code": "I10", "similarity": 0.5}]}, ["ranking"]),
    "lags": ({"codes": [{"code": "I10", "lag": 1, "real": 0.5, "synthetic": 0.2}]}, ["dots"]),
    "groups": ({"groups": [{"group": "sex = F", "auc": 0.6, "interval": [0.5, 0.7], "reference": 0.5}]}, ["dots"]),
    "clusters": ({"groups": [{"marks": ["old", "male"], "rows": 9, "synthetic": 0.6}]}, ["dots"]),
    "views": (
        {
            "views": [
                {
                    "title": "PCA",
                    "status": "drawn",
                    "size": [2, 3],
                    "x": [0, 1],
                    "y": [0, 2],
                    "real": [0.5, None],
                    "synthetic": [0.1, 0.9],
                    "hidden": {"real": 1, "synthetic": 0},
                },
                {"title": "UMAP", "status": "not asked for"},
            ]
        },
        ["grids"],
    ),
    "alpha": ({"curve": {"level": [0.5, 1.0], "share": [0.4, 1.0]}}, ["lines"]),
    "roc": ({"curve": [0.0, 0.6, 1.0]}, ["lines"]),
    "accepted": ({"accepted": {"synthetic": {"accepted": 0.5, "interval": [0.3, 0.7]}}, "notes": ["Few."]}, ["dots"]),
    "trials": ({"trials": [{"learner": "trees", "real": 0.9, "synthetic": 0.8}], "measure": "AUC"}, ["dots"]),
    "curves": (
        {"curves": {"real": {"roc": [0, 0.8, 1]}, "synthetic": {"roc": [0, 0.7, 1]}, "learner": "trees"}},
        ["lines"],
    ),
    "survival": ({"curves": {"time": [0, 1, 2], "train": [1, 0.9, None], "synthetic": [1, 0.8, 0.7]}}, ["lines"]),
    "classes": (
        {"classes": [{"class": "yes", "real": {"points": POINTS}, "synthetic": {"points": POINTS}}]},
        ["lines"],
    ),
    "confusion": (
        {"confusion": {"classes": ["a", "b"], "real": [[1, 0], [0, 1]], "synthetic": [[0.5, 0.5], [0, 1]]}},
        ["table"],
    ),
    "formulas": (
        {
            "formulas": [
                {
                    "formula": "y ~ x",
                    "coefficients": [
                        {"term": "x", "real": SIDE, "synthetic": SIDE},
                        {"term": "z", "real": SIDE, "synthetic": None},
                    ],
                }
            ],
            "verdicts": {"same conclusion": 1},
        },
        ["ranking", "dots", "table"],
    ),
    "attacks": (
        {"attacks": [{"attack": "linking", "main": 0.2, "control": 0.1, "baseline": 0.05, "intervals": [[0, 1]] * 3}]},
        ["dots"],
    ),
    "membership": (
        {"attacks": [{"attack": "near", "auc": 0.6, "interval": [0.5, 0.7], "curve": [0, 0.5, 1]}], "strongest": "n"},
        ["dots", "lines"],
    ),
    "statistics": ({"statistics": [{"name": "sign", "observed": 9.0, "expected": 3.0, "p": 0.01}]}, ["dots"]),
    "secrets": ({"secrets": [{"secret": "hiv", "train": 0.3, "holdout": 0.2, "majority": 0.1}]}, ["dots"]),
    "sizes": ({"sizes": [{"from": 1, "to": 1, "subjects": 4}, {"from": 101, "to": None, "subjects": 9}]}, ["ranking"]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_details_become_pictures_that_the_schema_knows_and_the_page_draws(name: str) -> None:
    details, kinds = EXAMPLES[name]
    found = plain(pictures(details, {"title": "A measure", "theme": "Whole rows", "goal": "maximise"}))
    assert [one["kind"] for one in found] == kinds
    schema = json_schema()
    for one in found:
        jsonschema.Draft202012Validator({**schema["$defs"]["picture"], "$defs": schema["$defs"]}).validate(one)
        assert one["title"] and one["alt"]
        if one["kind"] != "table":
            drawn = draw(one)
            assert drawn.startswith("<svg") and "nan" not in drawn and "None" not in drawn


ODD = ("words", 3, 0.5, True, [1, 2], [["a"]], [{}], [{"a": 1}], {"a": 1}, [None], [{"column": None}], {"real": {}})


@pytest.mark.parametrize("key", DRAWN)
@pytest.mark.parametrize("value", ODD, ids=[str(one) for one in ODD])
def test_details_of_another_form_are_left_undrawn(key: str, value: object) -> None:
    assert all(one["title"] for one in pictures({key: value}, {}))


def test_what_cannot_be_read_is_said_so() -> None:
    found = pictures({"maps": [{"columns": ["a", "b"], "real": [[0.1]], "synthetic": [[0.1]]}]}, {})
    assert [one["title"] for one in found] == [f"{NOT_DRAWN} maps"]


def test_signs_that_chance_makes_zero_have_no_ratio() -> None:
    signs = [{"name": "count", "observed": 9.0, "expected": 3.0}, {"name": "pull", "observed": 9.0, "expected": 1e-9}]
    found = pictures({"statistics": signs}, {})[0]
    assert [row["marks"][0]["value"] for row in found["data"]["rows"]] == [3.0] and found["left_out"] == 1


def test_what_is_not_drawn_is_counted() -> None:
    rows = [{"group": f"g{i}", "auc": 0.5} for i in range(40)]
    assert pictures({"groups": rows}, {})[0]["left_out"] == 24
    n = 60
    square = [[None if i == j else (i + j) / 200 for j in range(n)] for i in range(n)]
    names = [f"c{i}" for i in range(n)]
    flat = [[None if i == j else 0.0 for j in range(n)] for i in range(n)]
    found = pictures({"maps": [{"columns": names, "real": square, "synthetic": flat}]}, {})[0]
    assert found["left_out"] == 20 and found["data"]["columns"][-1] == "c59"  # the largest differences are kept


def test_hidden_cells_of_a_view_stay_hidden() -> None:
    found = pictures(EXAMPLES["views"][0], {})[0]
    assert found["data"]["panels"][0]["cells"] == [[0.0, None], [0.0, 0.0], [0.5, 0.0]]  # rows from the top
    assert any("UMAP: not asked for" in one for one in found["notes"])
    assert draw(found).count('class="dim"') == 1


def test_marks_name_their_sides() -> None:
    assert [m["series"] for m in marks_of({"main": 0.2, "control": 0.1, "baseline": 0.0})] == [
        "synthetic",
        "control",
        "baseline",
    ]
    assert [m["value"] for m in marks_of({"real": 0.1, "synthetic": 0.2}, 100)] == [10.0, 20.0]
    assert marks_of({"value": None}) == [] and marks_of({"flag": True}) == []
    assert label_of({"columns": ["a", "b"], "group": "a = 1"}) == "a = 1"
    assert label_of({"secret": "hiv", "attack": "all"}) == "hiv (all)"


def test_the_table_of_columns_puts_the_least_like_real_first() -> None:
    scores = [{"metric": m, "title": m.upper(), "status": "measured"} for m in ("ks", "tv")]
    details = {
        "ks": {"columns": [{"column": "a", "value": 0.1, "reference": 0.1, "p_holm": 0.9}]},
        "tv": {
            "columns": [
                {"column": "a", "value": 0.1, "reference": 0.1},
                {"column": "b", "value": 0.9, "reference": 0.1, "p_holm": 0.01},
            ]
        },
    }
    found = column_table(scores, details)
    assert found is not None
    assert [row["column"] for row in found["rows"]] == ["b", "a"]
    assert found["rows"][0]["cells"] == [None, {"value": 0.9, "reference": 0.1, "beyond_chance": True}]
