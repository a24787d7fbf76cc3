"""The command line as a stranger meets it: help, exit codes, JSON, and bad input that shows no cell value."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.cli import main as cli
from ehrsatz.cli import options
from ehrsatz.errors import ScenarioError
from ehrsatz.seeds import stream

MARK = "SECRET123"
COMMANDS = ("fabricate", "inspect", "fit", "sample", "evaluate", "gate", "review", "verify", "doctor")
QUICK = "name: quick\nthresholds: [{metric: margins, at_least: 0.5}]\n"
SCENARIO = "generator: independent\nevaluation: {metrics: [margins]}\npolicy: policy.yaml\n"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in its own folder, with a quick scenario and a table full of markers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(QUICK)
    (tmp_path / "quick.yaml").write_text(SCENARIO)
    table().write_csv(tmp_path / "patients.csv")


def table(n: int = 80) -> pl.DataFrame:
    rng = stream(5, "cli")
    return pl.DataFrame(
        {
            "patient_id": [f"{MARK}-{i}" for i in range(n)],
            "name": [f"{MARK} Miller {i}" for i in range(n)],
            "ward": [f"{MARK}ward" if i < 3 else "north" if i % 2 else "south" for i in range(n)],
            "age": rng.integers(20, 90, n),
            "died": rng.choice(["Y", "N"], n),
        }
    )


def files() -> list[str]:
    return sorted(path.name for path in Path.cwd().iterdir())


# ---------------------------------------------------------------------- help and usage
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example" in out
    assert f"ehrsatz {command}" in out


def test_the_first_page_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)
    assert "Exit codes" in out


@pytest.mark.parametrize(
    "arguments", [["fabrikate"], ["fabricate", "--sead", "1"], ["fabricate", "--n", "0"], ["verify"], ["fit"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "Error" in capsys.readouterr().err


def test_version_and_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ehrsatz ")
    assert cli.main(["doctor", "--json"]) == 0
    assert {"numpy", "polars"} <= {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert cli.main(["doctor", "--list", "generators"]) == 0
    assert "trees" in capsys.readouterr().out.split()
    assert cli.main(["doctor", "--list", "generator"]) == 2
    assert "'generators'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["fabricate", "--help"], ["--version"], ["doctor", "--list", "generators"], ["nonsense"]],
    ids=lambda arguments: " ".join(arguments),
)
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, json\nfrom ehrsatz.cli.main import main\n"
        f"code = main({arguments!r})\n"
        "heavy = ['polars', 'numpy', 'scipy', 'sklearn', 'pyarrow', 'torch', 'pandas', 'rich', 'yaml']\n"
        "print('HEAVY', [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


# ---------------------------------------------------------------------- options
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sex=F", "F"),
        ("age=40", 40),
        ("age=40..60", {"min": 40, "max": 60}),
        ("bmi=18.5..24.9", {"min": 18.5, "max": 24.9}),
        ("delta=-5..-1", {"min": -5, "max": -1}),
        ("age=40..", {"min": 40}),
        ("age=..60", {"max": 60}),
        ("day=2020-01-01..2020-12-31", {"min": "2020-01-01", "max": "2020-12-31"}),
        ("smoker=true", True),
        ('{"sex": {"any": ["F"]}}', {"any": ["F"]}),
        ("code=a=b", "a=b"),
    ],
)
def test_conditions(text: str, value: object) -> None:
    assert list(options.conditions([text]).values()) == [value]


@pytest.mark.parametrize("text", ["sex", "=F", '{"sex": ', "{sex: F}"])
def test_conditions_that_are_none(text: str) -> None:
    with pytest.raises(ScenarioError):
        options.conditions([text])


# ---------------------------------------------------------------------- the way of a table
def test_from_inspect_to_verify(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "patients.csv", "--subject", "patient_id", "--out", "schema.yaml"]) == 0
    shown = capsys.readouterr()
    assert "patient_id" in shown.out
    assert MARK not in shown.out + shown.err + Path("schema.yaml").read_text()
    run = ["fabricate", "quick.yaml", "--from", "patients.csv", "--schema", "schema.yaml", "--target", "died"]
    assert cli.main([*run, "--out", "release", "--format", "csv,parquet"]) == 0
    shown = capsys.readouterr()
    assert "RELEASED" in shown.out
    assert MARK not in shown.out + shown.err
    assert cli.main(["verify", "release"]) == 0
    assert cli.main(["gate", "release/scores.json", "--policy", "policy.yaml"]) == 0
    assert cli.main(["gate", "release/scores.json"]) == 1  # the built-in policy asks for more than was measured
    assert cli.main([*run, "--out", "again", "--format", "csv,parquet"]) == 0
    for path in Path("release").rglob("*.*"):
        assert path.read_bytes() == Path("again", *path.parts[1:]).read_bytes(), path.name


def test_a_model_on_disk(capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "--from", "patients.csv", "--subject", "patient_id", "--generator", "independent", "--out", "model"]
    assert cli.main(fit) == 0
    assert cli.main(["sample", "--model", "model", "--n", "30", "--given", "age=40..60", "--out", "rows"]) == 0
    drawn = pl.read_csv("rows/patients.csv")
    assert drawn.height == 30
    assert drawn["age"].is_between(40, 60).all()
    shown = capsys.readouterr()
    made = [*Path("model").iterdir(), *Path("rows").iterdir()]
    assert MARK not in shown.out + shown.err
    assert not any(MARK.encode() in path.read_bytes() for path in made)


def test_json_is_the_only_thing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fabricate", "quick.yaml", "--n", "50", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["decision"], told["n_rows"]) == ("pass", 50)
    assert cli.main(["verify", "release", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    assert cli.main(["inspect", "patients.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profile"]


def test_evaluate_writes_what_gate_reads(capsys: pytest.CaptureFixture[str]) -> None:
    whole = table(90)
    for i, name in enumerate(("a", "b", "c")):
        whole[30 * i : 30 * (i + 1)].write_csv(f"{name}.csv")
    run = ["evaluate", "--train", "a.csv", "--holdout", "b.csv", "--synthetic", "c.csv", "--subject", "patient_id"]
    assert cli.main([*run, "--metric", "margins", "--out", "scores.json"]) == 0
    assert cli.main(["gate", "scores.json", "--policy", "policy.yaml"]) == 0
    shown = capsys.readouterr()
    assert MARK not in shown.out + shown.err + Path("scores.json").read_text()


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = files()
    assert cli.main(["fabricate", "quick.yaml", "--dry-run"]) == 0
    assert "MB" in capsys.readouterr().out
    assert files() == before


def test_held_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("policy.yaml").write_text("thresholds: [{metric: margins, at_least: 1.0}]")
    assert cli.main(["fabricate", "quick.yaml"]) == 1
    assert "HELD" in capsys.readouterr().out
    assert Path("release/data").is_dir()


def test_denied_is_exit_code_1_and_leaves_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    Path("policy.yaml").write_text("thresholds: [{metric: margins, at_least: 1.0, severity: deny}]")
    assert cli.main(["fabricate", "quick.yaml"]) == 1
    assert "DENIED" in capsys.readouterr().out
    assert not Path("release/data").exists()
    assert cli.main(["fabricate", "quick.yaml", "--keep-denied", "--out", "kept"]) == 1
    assert Path("kept/data").is_dir()


# ---------------------------------------------------------------------- bad input
def _rows(*lines: str) -> Callable[[], None]:
    return lambda: Path("patients.csv").write_text("\n".join(lines) + "\n") and None


def _bytes(data: bytes, name: str = "patients.csv") -> Callable[[], None]:
    return lambda: Path(name).write_bytes(data) and None


def _full_folder() -> None:
    Path("out").mkdir()
    Path("out/mine").write_text("keep me")


def _schema(change: Callable[[str], str]) -> Callable[[], None]:
    def prepare() -> None:
        assert cli.main(["inspect", "patients.csv", "--out", "schema.yaml"]) == 0
        Path("schema.yaml").write_text(change(Path("schema.yaml").read_text()))

    return prepare


def nothing() -> None: ...


FROM = ("--from", "patients.csv")
HEAD = "patient_id,age,died"
BAD: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "absent file": (nothing, ("--from", "absent.csv")),
    "empty file": (_rows(), FROM),
    "header only": (_rows(HEAD), FROM),
    "one row": (_rows(HEAD, f"{MARK},4,Y"), FROM),
    "duplicate column names": (_rows("a,a,b", *[f"{MARK},{i},2" for i in range(9)]), FROM),
    "ragged rows": (_rows(HEAD, f"{MARK},4,Y", f"{MARK},4,Y,{MARK},9", f"{MARK},5,N"), FROM),
    "binary file": (_bytes(bytes(range(256)) * 40), FROM),
    "gzip named csv.gz that is none": (_bytes(MARK.encode(), "p.csv.gz"), ("--from", "p.csv.gz")),
    "subject absent": (nothing, (*FROM, "--subject", "patientid")),
    "subject with nulls": (
        _rows(HEAD, *[f"{MARK},{i},Y" for i in range(9)], ",4,N"),
        (*FROM, "--subject", "patient_id"),
    ),
    "target absent": (nothing, (*FROM, "--target", "dyed")),
    "target constant": (_rows(HEAD, *[f"{MARK}{i},{i},Y" for i in range(20)]), (*FROM, "--target", "died")),
    "schema with unknown key": (
        _schema(lambda text: text.replace("kind:", "kynd:", 1)),
        (*FROM, "--schema", "schema.yaml"),
    ),
    "schema that disagrees": (
        _schema(lambda text: text.replace("kind: id", "kind: number", 1)),
        (*FROM, "--schema", "schema.yaml"),
    ),
    "schema that is no YAML": (_schema(lambda text: f"[{MARK}"), (*FROM, "--schema", "schema.yaml")),
    "absent schema": (nothing, (*FROM, "--schema", "absent.yaml")),
    "unknown scenario key": (lambda: Path("quick.yaml").write_text(f"sauce: {MARK}") and None, FROM),
    "unknown table of a file": (nothing, ("--from", "sqlite:///absent.db")),
    "wrong url": (nothing, ("--from", f"nodb://user:{MARK}@host/db")),
    "wrong password": (nothing, ("--from", f"postgresql+psycopg://user:{MARK}@127.0.0.1:1/db")),
    "output not empty": (_full_folder, FROM),
    "output under a file": (nothing, (*FROM, "--out", "patients.csv/out")),
    "output not writable": (nothing, (*FROM, "--out", "/proc/out")),
    "impossible level": (nothing, ("--given", f"sex={MARK}")),
    "impossible band": (nothing, ("--given", "age=900..")),
    "band the wrong way round": (nothing, ("--given", "age=50..40")),
    "given an unknown column": (nothing, ("--given", "sexx=Female")),
    "given an identifier": (nothing, ("--given", "id=7")),
    "more rows than fit": (nothing, ("--n", "100000000000")),
    "unknown generator": (nothing, ("--generator", "tree")),
    "unknown parameter": (nothing, ("--param", "leaves=3")),
    "unknown format": (nothing, ("--format", "xlsx")),
    "no format": (nothing, ("--format", ",")),
    "absent policy": (nothing, ("--policy", "absent.yaml")),
    "absent scenario": (lambda: Path("quick.yaml").unlink(), ()),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_without_showing_a_cell(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    prepare, arguments = BAD[case]
    prepare()
    capfd.readouterr()
    before = files()
    out = () if "--out" in arguments else ("--out", "out")
    assert cli.main(["fabricate", "quick.yaml", *arguments, *out]) == 2
    shown = capfd.readouterr()
    assert MARK not in shown.out + shown.err
    assert "Error" in shown.err
    assert "Traceback" not in shown.err
    assert files() == before


def test_wide_and_empty_columns_and_mixed_types_do_not_crash(capfd: pytest.CaptureFixture[str]) -> None:
    frame = table(60).with_columns(
        empty=pl.lit(None, pl.String),
        mixed=pl.Series([MARK if i % 2 else str(i) for i in range(60)]),
        far=pl.Series(["9999-99-99" if i == 3 else "2020-01-02" for i in range(60)]),
    )
    frame.write_csv("patients.csv")
    assert cli.main(["fabricate", "quick.yaml", "--from", "patients.csv", "--out", "out"]) in {0, 1, 2}
    shown = capfd.readouterr()
    assert MARK not in shown.out + shown.err


def test_many_problems_are_cut_short(capfd: pytest.CaptureFixture[str]) -> None:
    lines = "\n".join(f"key{i}: {MARK}" for i in range(300))
    Path("quick.yaml").write_text(lines)
    assert cli.main(["fabricate", "quick.yaml"]) == 2
    shown = capfd.readouterr().err
    assert len(shown.splitlines()) < 30
    assert "and 276 more" in shown
    assert MARK not in shown


def test_gzip_and_latin1_are_read(capfd: pytest.CaptureFixture[str]) -> None:
    text = table(60).with_columns(ward=pl.Series(["Köln", "Ulm"] * 30)).write_csv()
    Path("p.csv.gz").write_bytes(gzip.compress(text.encode("latin-1")))
    assert cli.main(["inspect", "p.csv.gz"]) == 0


def test_one_changed_byte_of_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fabricate", "quick.yaml", "--n", "50"]) == 0
    path = Path("release/data/heart_disease_uci.csv")
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(bytes(data))
    assert cli.main(["verify", "release"]) == 2
    assert "data/heart_disease_uci.csv: changed" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["byte", "newer", "gone"])
def test_models_that_are_not_as_saved(change: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fit", "--from", "patients.csv", "--generator", "independent", "--out", "model"]) == 0
    path = Path("model/generator.json")
    if change == "byte":
        path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    elif change == "newer":
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    else:
        path.unlink()
    assert cli.main(["sample", "--model", "model", "--out", "rows"]) == 2
    assert not Path("rows").exists()
    assert "Error" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        for format_ in ("csv", "parquet"):
            run = ["fabricate", "quick.yaml", "--n", "20000", "--format", format_, "--out", str(disk / "out")]
            assert cli.main(run) == 2
            assert "disk is full" in capfd.readouterr().err
            assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_unexpected_fault_shows_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError(f"the row of {MARK}")

    monkeypatch.setattr("ehrsatz.pipeline.read_scenario", fail)
    assert cli.main(["fabricate", "quick.yaml"]) == 3
    shown = capsys.readouterr()
    assert MARK not in shown.out + shown.err
    assert "KeyError" in shown.err
    with pytest.raises(KeyError):
        cli.main(["--debug", "fabricate", "quick.yaml"])


def test_a_reader_that_goes_away_is_no_fault() -> None:
    command = f"{sys.executable} -c 'from ehrsatz.cli.main import run; run()' inspect patients.csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert "column" in done.stdout
    assert "Broken" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing(number: int, code: int) -> None:
    before = files()
    program = "import sys; from ehrsatz.cli.main import main; sys.exit(main(sys.argv[1:]))"
    run = [sys.executable, "-c", program, "fabricate", "--from", "heart_disease_uci"]
    run += ["--generator", "independent", "--n", "400000"]
    process = subprocess.Popen(run, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("sample"):
            break
    time.sleep(0.3)
    process.send_signal(number)
    said = process.stderr.read()
    process.wait(timeout=120)
    assert process.returncode == code, said
    assert "Nothing half written was left" in said
    assert files() == before
