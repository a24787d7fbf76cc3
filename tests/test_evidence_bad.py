"""Bad input to the evidence, from the command line: a clear refusal, no cell value, nothing half written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ehrsatz import markup, steps
from ehrsatz.capsule.verify import examine
from ehrsatz.cli import main as cli
from ehrsatz.seeds import stream

MARK = "SECRET123"
POLICY = "name: quick\nthresholds: [{metric: margins, at_least: 0.5}]\n"
RUN = "generator: independent\nevaluation: {metrics: [margins, exact_copies]}\npolicy: policy.yaml\n"
Edit = Callable[[dict[str, Any]], Any]


def table(seed: int, first: int, n: int = 60) -> pl.DataFrame:
    rng = stream(seed, "bad")
    return pl.DataFrame(
        {
            "patient": [f"{MARK}-{first + i}" for i in range(n)],
            "sex": rng.choice([f"{MARK}F", f"{MARK}M"], n),
            "age": rng.integers(20, 90, n),
            "ward": rng.choice([f"{MARK}a", f"{MARK}b", f"{MARK}c"], n),
            "stay": rng.exponential(9, n).round(2) + 0.1,
            "died": rng.integers(0, 2, n),
        }
    )


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tables, a schema, a policy, and two releases of different tables."""
    place = tmp_path_factory.mktemp("bad")
    for number, name in enumerate(("train", "holdout", "synthetic")):
        table(number, 1000 * number).write_csv(place / f"{name}.csv")
    (place / "policy.yaml").write_text(POLICY)
    (place / "run.yaml").write_text(RUN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        of = ("--from", "train.csv", "--subject", "patient")
        assert cli.main(["inspect", "train.csv", "--subject", "patient", "--out", "schema.yaml"]) == 0
        assert cli.main(["fabricate", "run.yaml", *of, "--out", "release"]) == 0
        assert cli.main(["fabricate", "run.yaml", "--out", "other", "--n", "60"]) == 0
        assert cli.main(["review", "draw", "release", "--n", "12", "--out", "review"]) == 0
    return place


@pytest.fixture(autouse=True)
def _place(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shelf, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Run a command that must be refused: code 2, these words, no cell value, no new file."""

    def run(*arguments: str, hint: str = "") -> None:
        capfd.readouterr()
        before = files()
        code = cli.main(list(arguments))
        shown = capfd.readouterr()
        assert code == 2, shown.err
        assert "Error: Expected" in shown.err
        assert hint in shown.err
        assert MARK not in shown.out + shown.err
        assert files() == before

    return run


def files() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob("*")}


# ---------------------------------------------------------------------- evaluate
EVALUATE = ("evaluate", "--train", "train.csv", "--holdout", "holdout.csv", "--metric", "margins", "--out", "o.json")
SURVIVAL = ("--duration", "stay", "--event")


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda one: one.drop("died"), "lack the column 'died'"),
        (lambda one: one.rename({"sex": "sexx"}), "Did you mean 'sexx'"),
        (lambda one: one.with_columns(age=pl.lit(MARK)), "60 of 60 cells cannot be read as integer"),
        (lambda one: one.head(0), "a header line and no row"),
    ],
)
@pytest.mark.parametrize("schema", [(), ("--schema", "schema.yaml")])
def test_other_columns_and_kinds(change: Any, hint: str, schema: tuple[str, ...], refused: Callable[..., None]) -> None:
    change(pl.read_csv("synthetic.csv")).write_csv("synthetic.csv")
    refused(*EVALUATE, "--synthetic", "synthetic.csv", "--subject", "patient", *schema, hint=hint)


def test_other_categories_are_refused_by_a_schema(refused: Callable[..., None]) -> None:
    pl.read_csv("synthetic.csv").with_columns(sex=pl.lit(f"{MARK}X")).write_csv("synthetic.csv")
    run = (*EVALUATE, "--synthetic", "synthetic.csv")
    refused(*run, "--schema", "schema.yaml", hint="60 of 60 rows hold a level that the schema does not list")
    assert cli.main([*run, "--subject", "patient"]) == 0  # without one they count as a difference


def test_a_holdout_of_the_same_subjects(refused: Callable[..., None]) -> None:
    more = ("--synthetic", "synthetic.csv", "--subject", "patient", "--holdout", "train.csv")
    refused(*EVALUATE, *more, hint="60 subjects of 'train.patient' are in both")


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--group", "sx"), "the group to be a column that can be compared. 'sx' is none"),
        (("--quasi", "agee"), "Did you mean 'age'"),
        (("--secret", "wrd"), "Did you mean 'ward'"),
        (("--group", "patient"), "neither identifier nor free text"),
        (("--duration", "sty", "--event", "died"), "the duration to be a column that can be compared"),
        ((*SURVIVAL, "dyed"), "Did you mean 'died'"),
        (("--duration", "stay"), "Only the duration is named"),
        ((*SURVIVAL, "ward"), "60 of 60 events are neither 0 nor 1"),
        (("--duration", "ward", "--event", "died"), "It is of kind category"),
        (("--formula", "died ~ agee"), "Did you mean 'age'"),
        (("--formula", "ward ~ age"), "has 3 levels"),
        (("--formula", "died ~ __import__('os')"), "Expected a column"),
        (("--copies", "7"), "no multiple of 7"),
    ],
)
def test_a_task_that_cannot_be(options: tuple[str, ...], hint: str, refused: Callable[..., None]) -> None:
    refused(*EVALUATE, "--synthetic", "synthetic.csv", "--subject", "patient", *options, hint=hint)


def test_a_follow_up_that_cannot_be_is_told_before_any_work(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ehrsatz.generators.independent import Independent

    monkeypatch.setattr(Independent, "_fit", lambda *_, **__: pytest.fail("the work began"))
    pl.read_csv("train.csv").with_columns(-pl.col("stay")).write_csv("train.csv")
    run = ("fabricate", "run.yaml", "--from", "train.csv", "--subject", "patient", "--out", "new")
    refused(*run, *SURVIVAL, "died", hint="durations are negative")


# ---------------------------------------------------------------------- gate
def _first(key: str, value: Any) -> Edit:
    return lambda told: told["scores"][0].update({key: value})


@pytest.mark.parametrize(
    "edit",
    [
        _first("value", float("nan")),
        _first("value", 10**400),
        _first("value", 7.0),  # margins go from 0 to 1
        _first("value", -3),
        _first("interval", [0.99, 0.9]),
        _first("interval", {"low": MARK}),
        _first("n", MARK),
        _first("n", -1),
        _first("status", MARK),
        lambda told: told["scores"][0].pop("value"),
        lambda told: told.update(scores={}),
        lambda told: told.update(format=99),
        lambda told: told["details"].update(metrics=[1]),
        lambda told: told["details"].update(subjects={"train": MARK, "holdout": 1, "synthetic": 1}),
    ],
)
def test_scores_that_were_edited(edit: Edit, refused: Callable[..., None]) -> None:
    told = json.loads(Path("release/scores.json").read_text())
    edit(told)
    Path("edited.json").write_text(json.dumps(told))
    run = ("gate", "edited.json", "--policy", "policy.yaml")
    refused(*run, "--junit", "gate.xml", "--markdown", "gate.md", hint="The file holds something else")


def test_two_files_of_one_name(refused: Callable[..., None]) -> None:
    refused("gate", "release/scores.json", "--junit", "a.out", "--markdown", "a.out", hint="Two have the same")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("thresholds: [{metric: margins, at_least: 0.9, at_least: 0.1}]", "A key stands twice"),
        (f"a: {'[' * 20_000}", "nested too deep"),
        ("name: 2025-13-45", "A date or a number"),
        (f"a: [{MARK}", "cannot be read at line"),
    ],
)
def test_policies_that_could_be_read_in_two_ways(text: str, hint: str, refused: Callable[..., None]) -> None:
    Path("mine.yaml").write_text(text)
    refused("gate", "release/scores.json", "--policy", "mine.yaml", hint=hint)


def test_a_schema_that_names_a_key_twice(refused: Callable[..., None]) -> None:
    text = Path("schema.yaml").read_text()
    Path("schema.yaml").write_text(f"{text}\nname: {MARK}\n")
    refused(*EVALUATE, "--synthetic", "synthetic.csv", "--schema", "schema.yaml", hint="A key stands twice")


def test_yaml_still_knows_anchors_and_merges() -> None:
    assert markup.load("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}")["b"] == {"x": 1, "y": 3}


# ---------------------------------------------------------------------- review
READ = ("review", "read", "--key", "review/keep/key.json")


def answers(encoding: str = "utf-8") -> bytes:
    key = json.loads(Path("review/keep/key.json").read_text())
    rows = [f"{key['sheet']},{one},{key['answers'][i % 2]},{MARK}" for i, one in enumerate(key["records"])]
    return "\n".join(["sheet,record,answer,remark", *rows, ""]).encode(encoding)


def test_one_rater_does_not_count_as_two(refused: Callable[..., None]) -> None:
    Path("a.csv").write_bytes(answers())
    refused(*READ, "a.csv", "./a.csv", "--out", "o.json", hint="1 of 2 files are named twice")


def test_two_outputs_of_one_name_leave_neither(refused: Callable[..., None]) -> None:
    Path("a.csv").write_bytes(answers())
    more = ("--scores", "release/scores.json", "--into", "o.json", "--out", "o.json")
    refused(*READ, "a.csv", *more, hint="Two have the same")


def test_other_encodings_of_answers(refused: Callable[..., None]) -> None:
    Path("a.csv").write_bytes(answers("utf-16"))  # "Unicode text" of a spreadsheet
    assert cli.main([*READ, "a.csv"]) == 0
    Path("a.csv").write_bytes(answers("utf-16-le"))  # without its mark
    refused(*READ, "a.csv", "--out", "o.json", hint="is no text")


def test_a_stopped_draw_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = files()

    def stop(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, "json", type("Stopped", (), {"dumps": staticmethod(stop)}))  # the key is written last
        assert cli.main(["review", "draw", "release", "--n", "12", "--out", "new"]) == 130
    assert files() == before


# ---------------------------------------------------------------------- monitor and cost
@pytest.mark.parametrize(
    ("prepare", "arguments", "hint"),
    [
        (lambda: None, ("release", "./release"), "are the same release"),
        (lambda: shutil.copytree("release", "copy"), ("release", "copy"), "are the same release"),
        (lambda: None, ("release", "other"), "have no column in common"),
        (lambda: None, ("release", "review"), "lacks a readable manifest"),
        (lambda: Path("release/verdict.json").unlink(), ("release",), "lacks a readable manifest, verdict"),
        (lambda: Path("release/manifest.json").write_text("[]"), ("release",), "lacks a readable manifest"),
        (lambda: None, ("release", "--withdrawn", "train.csv"), "list of withdrawn releases"),
        (lambda: None, ("release", "--withdrawn", "absent.json"), "list of withdrawn releases"),
    ],
)
def test_releases_that_cannot_be_compared(
    prepare: Callable[[], Any], arguments: tuple[str, ...], hint: str, refused: Callable[..., None]
) -> None:
    prepare()
    refused("monitor", *arguments, "--out", "watch.html", hint=hint)


@pytest.mark.parametrize(
    "change",
    [
        '"wall_s": NaN',
        '"wall_s": 1e999',
        '"wall_s": -5',
        '"wall_s": true',
        f'"wall_s": 1{"0" * 400}',
        f'"wall_s": "{MARK}"',
        '"steps": [{"step": "read"}]',
        f'"peak_mb": "{MARK}"',
    ],
)
def test_costs_that_are_none(change: str, refused: Callable[..., None]) -> None:
    good = '"wall_s": 1, "energy_wh": 1, "tokens": 0, "energy_source": "estimate", "steps": [], "peak_mb": null'
    Path("cost.json").write_text(f"{{{good}}}")
    assert cli.main(["cost", "cost.json"]) == 0
    Path("cost.json").write_text(f"{{{good}, {change}}}")  # the last of two equal keys counts in JSON
    refused("cost", "cost.json", "--out", "sheet.html", hint="cost of a run")


# ---------------------------------------------------------------------- capsule
def test_a_key_that_has_lapsed_signs_nothing_even_without_a_date(refused: Callable[..., None]) -> None:
    assert cli.main(["keys", "new", "old", "--role", "steward", "--valid-until", "2020-01-01"]) == 0
    refused("sign", "release", "--key", "old.key", hint="Its last day has passed")


def test_a_release_is_not_sealed_into_itself(refused: Callable[..., None]) -> None:
    age = pytest.importorskip("pyrage")
    reader = str(age.x25519.Identity.generate().to_public())
    refused("seal", "release", "--to", reader, "--out", "release/x.age", hint="outside the release")
    assert examine("release").problems == ()


@pytest.mark.parametrize("command", ["sign", "approve"])
@pytest.mark.parametrize("place", ["empty", "absent", "train.csv"])
def test_what_is_no_release(command: str, place: str, refused: Callable[..., None]) -> None:
    Path("empty").mkdir()
    assert cli.main(["keys", "new", "anna", "--role", "steward"]) == 0
    refused(command, place, "--key", "anna.key", hint="as it was written")


# ---------------------------------------------------------------------- odd tables, whole
@pytest.mark.parametrize("kind", ["names", "rows", "dates", "one column"])
def test_odd_tables_become_releases(kind: str) -> None:
    data = table(7, 0)
    odd = {
        "names": pl.DataFrame(
            {
                "<script>alert(1)</script>": data["sex"],
                "None": data["age"],
                "score:leak": data["stay"],
                "x" * 300: data["ward"],
                "größe 年齢 \u202e": data["stay"] * 2,
                "a|b`c*d": data["died"],
                "empty": [None] * data.height,
            }
        ),
        "rows": data.head(12),
        "dates": pl.DataFrame({"entry": [f"20{10 + i % 9}-0{1 + i % 9}-1{i % 9}" for i in range(60)]}),
        "one column": data.select("stay"),
    }
    odd[kind].write_csv("odd.csv")
    run = ["fabricate", "--from", "odd.csv", "--generator", "independent", "--n", "30", "--out", "odd"]
    assert cli.main([*run, "--keep-denied"]) in {0, 1}
    assert examine("odd").problems == ()
    for path in Path("odd").rglob("*.json"):
        json.loads(path.read_text(), parse_constant=lambda text, path=path: pytest.fail(f"{path}: {text}"))
    for score in json.loads(Path("odd/scores.json").read_text())["scores"]:
        assert score["value"] is not None or (score["status"] != "measured" and score["meaning"])
    for path in Path("odd").rglob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert ">nan<" not in text


def test_boosting_that_is_loaded_late_is_held_to_one_thread() -> None:
    program = (
        "from ehrsatz.threads import one_thread\n"
        "from threadpoolctl import threadpool_info\n"
        "with one_thread():\n"
        "    from sklearn.ensemble import HistGradientBoostingClassifier\n"
        "    assert {one['user_api'] for one in threadpool_info()} == {'blas', 'openmp'}\n"
        "    assert all(one['num_threads'] == 1 for one in threadpool_info()), threadpool_info()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_thread_holds_openmp_for_itself() -> None:
    program = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from threadpoolctl import threadpool_info, threadpool_limits\n"
        "from ehrsatz.threads import one_thread\n"
        "def look():\n"
        "    with one_thread():\n"
        "        return [one['num_threads'] for one in threadpool_info()]\n"
        "def raised():\n"
        "    threadpool_limits(limits=3, user_api='openmp')\n"
        "    return look()\n"
        "with one_thread(), ThreadPoolExecutor(1) as pool:\n"
        "    assert set(pool.submit(raised).result()) == {1}\n"
        "    assert set(look()) == {1}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
