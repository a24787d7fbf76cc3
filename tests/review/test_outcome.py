"""From answers to a score: by hand, with raters who see, who do not, and who cannot tell."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ehrsatz.cli import main as cli
from ehrsatz.errors import ScenarioError
from ehrsatz.evaluation.intervals import wilson
from ehrsatz.gate import Policy, checked, judge
from ehrsatz.review.answers import Answer, Key
from ehrsatz.review.outcome import merged, outcome
from ehrsatz.seeds import stream
from ehrsatz.steps import read_scores, scores_with_review


def key(mode: str, **kinds: int) -> Key:
    """A key with so many records of each kind."""
    words = ("plausible", "erroneous") if mode == "planted" else ("real", "synthetic")
    names = [kind for kind, n in kinds.items() for _ in range(n)]
    about = {
        f"R{i:03d}": {"is": kind, **({"error": "wrong unit"} if kind == "planted" else {})}
        for i, kind in enumerate(names)
    }
    return Key("abc", mode, words, about)


def answers(one: Key, accept: dict[str, int], remark: str = "") -> dict[str, Answer]:
    """Accept the first so many records of each kind, and refuse the others."""
    left = dict(accept)
    out = {}
    for record, about in one.records.items():
        accepted = left.get(about["is"], 0) > 0
        left[about["is"]] = left.get(about["is"], 0) - 1
        out[record] = Answer(one.answers[0 if accepted else 1], 3, remark)
    return out


def test_planted_errors_by_hand() -> None:
    one = key("planted", synthetic=20, planted=20)
    found = outcome(one, [answers(one, {"synthetic": 18, "planted": 2})])
    score = found.score
    assert (score.metric, score.value, score.baseline, score.n) == ("expert_review", 0.9, 0.1, 20)
    assert score.interval == pytest.approx(wilson(18, 20))
    assert score.reference is None
    tell = found.told["tell"]
    assert tell["accuracy"] == pytest.approx(36 / 40)
    assert (tell["sensitivity"]["share"], tell["specificity"]["share"]) == (0.9, 0.9)
    assert "equivalence_p" not in tell  # errors are there to be told
    assert found.told["errors_found"] == [
        {"error": "wrong unit", "found": 18, "of": 20, "interval": list(wilson(18, 20))}
    ]
    assert "Fewer than 100 records" in found.told["notes"][0]


def test_real_records_by_hand() -> None:
    one = key("real", synthetic=200, real=200, planted=40)
    found = outcome(one, [answers(one, {"synthetic": 160, "real": 164, "planted": 4})])
    tell, score = found.told["tell"], found.score
    assert tell["accuracy"] == pytest.approx((40 + 164) / 400)
    assert tell["equivalent"]
    assert tell["sensitivity"]["share"] == pytest.approx(0.2)
    assert (score.value, score.reference) == (0.8, 0.82)
    low, high = score.details["excess_interval"]
    assert low < -0.02 < high
    assert found.told["notes"] == []


def test_who_can_tell_is_not_equivalent() -> None:
    one = key("real", synthetic=100, real=100)
    found = outcome(one, [answers(one, {"synthetic": 20, "real": 95})])
    assert found.told["tell"]["accuracy"] == pytest.approx(0.875)
    assert not found.told["tell"]["equivalent"]
    policy = {"thresholds": [{"metric": "expert_review", "at_least": -0.1, "against": "reference", "judge": "lenient"}]}
    verdict = judge(SimpleNamespace(scores=[found.score]), checked(Policy.from_dict(policy)))
    assert verdict.decision == "hold"
    assert verdict.checks[0].state == "missed"


def test_who_sees_no_planted_error_says_nothing() -> None:
    one = key("planted", synthetic=30, planted=30)
    score = outcome(one, [answers(one, {"synthetic": 30, "planted": 29})]).score
    assert (score.status, score.value) == ("failed", None)
    assert "too near to each other" in score.meaning
    rng = stream(1, "coin")
    coin = {record: Answer(one.answers[int(rng.integers(2))]) for record in one.records}
    assert outcome(one, [coin]).score.status == "failed"


def test_two_and_three_raters() -> None:
    one = key("planted", synthetic=10, planted=10)
    first = answers(one, {"synthetic": 9, "planted": 1})
    second = answers(one, {"synthetic": 8, "planted": 1})
    two = outcome(one, [first, second]).told["agreement"]
    assert two["measure"] == "Cohen's kappa"
    assert two["value"] == pytest.approx((0.95 - (0.5 * 0.45 + 0.5 * 0.55)) / (1 - 0.5))
    three = outcome(one, [first, second, first]).told["agreement"]
    assert three["measure"] == "Fleiss' kappa"
    assert three["records"] == 20
    alike = outcome(one, [first, first])
    single = outcome(one, [first])
    assert alike.score.value == single.score.value
    wide, narrow = alike.score.interval, wilson(18, 20)
    assert wide[1] - wide[0] >= narrow[1] - narrow[0]  # the second rater is no second set of records


def test_kappa_on_what_all_answered() -> None:
    one = key("planted", synthetic=5, planted=5)
    first = answers(one, {"synthetic": 5})
    second = dict(list(first.items())[:4])
    told = outcome(one, [first, second]).told["agreement"]
    assert told["records"] == 4
    assert (told["value"], told["reason"]) == (None, "all gave one and the same answer throughout")


def test_remarks_stay_in_the_house() -> None:
    one = key("planted", synthetic=20, planted=20)
    found = outcome(one, [answers(one, {"synthetic": 18, "planted": 2}, remark="SECRET123")])
    assert len(found.told["remarks"]) == 40
    assert "SECRET123" not in json.dumps(found.score.to_dict())
    assert "SECRET123" not in json.dumps(merged(None, found.score))


def test_the_score_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    one = key("planted", synthetic=20, planted=20)
    first = outcome(one, [answers(one, {"synthetic": 18, "planted": 2})]).score
    second = outcome(one, [answers(one, {"synthetic": 20, "planted": 0})]).score
    base = {"format": 1, "details": {"metrics": {}, "seed": 3}, "scores": [], "findings": []}
    (tmp_path / "scores.json").write_text(json.dumps(base))
    (tmp_path / "once.json").write_text(scores_with_review(tmp_path / "scores.json", first))
    (tmp_path / "twice.json").write_text(scores_with_review(tmp_path / "once.json", second))
    told = read_scores(tmp_path / "twice.json")
    assert [score.value for score in told.scores] == [1.0]
    assert told.details["seed"] == 3
    assert told.details["metrics"]["expert_review"]["family"] == "review"
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(ScenarioError):
        scores_with_review(tmp_path / "bad.json", first)


def test_the_whole_way_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import csv

    from conftest import make_tidy

    monkeypatch.chdir(tmp_path)
    data = make_tidy(200)
    data.table.write_csv("made.csv")
    Path("schema.yaml").write_text(data.schema.to_yaml())
    draw = ["review", "draw", "made.csv", "--schema", "schema.yaml", "--n", "60"]
    assert cli.main([*draw, "--out", "sheet"]) == 0
    assert sorted(path.relative_to("sheet").as_posix() for path in Path("sheet").rglob("*.*")) == [
        "keep/key.json",
        "send/sheet.csv",
        "send/sheet.html",
    ]
    told = json.loads(Path("sheet/keep/key.json").read_text())["records"]
    for rater, miss in (("ab", 2), ("cd", 3)):
        with Path("sheet/send/sheet.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            is_right = number % 10 != miss
            row["answer"] = "erroneous" if (told[row["record"]]["is"] == "planted") == is_right else "plausible"
        with Path(f"{rater}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    read = ["review", "read", "--key", "sheet/keep/key.json", "ab.csv", "cd.csv"]
    capsys.readouterr()
    assert cli.main([*read, "--out", "review.json", "--into", "scores.json", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["tell"]["accuracy"] == pytest.approx(0.9)
    assert shown["agreement"]["measure"] == "Cohen's kappa"
    Path("policy.yaml").write_text("thresholds: [{metric: expert_review, at_least: 0.7}]")
    assert cli.main(["gate", "scores.json", "--policy", "policy.yaml"]) == 0
    assert cli.main([*draw, "--out", "sheet"]) == 2  # is there already
    assert cli.main([*draw, "--real", "made.csv", "--out", "other"]) == 2  # needs --show-real
    assert cli.main([*draw, "--real", "made.csv", "--show-real", "--policy", "public", "--out", "other"]) == 2
    assert cli.main([*draw, "--real", "made.csv", "--show-real", "--out", "other"]) == 0
    Path("short.csv").write_text("".join(Path("ab.csv").read_text().splitlines(keepends=True)[:-1]))
    assert cli.main(["review", "read", "--key", "sheet/keep/key.json", "short.csv"]) == 2
    assert "on the sheet, but not in the file" in capsys.readouterr().err
    assert cli.main([*read, "--scores", "scores.json"]) == 2  # nowhere to write
