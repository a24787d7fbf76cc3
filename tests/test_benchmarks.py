"""The benchmark itself, on tiny tables: a score that cannot tell copies from strangers proves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from benchmarks.tabular import conditional, families, figures, picture, plan, table, targets  # noqa: E402
from benchmarks.tabular.distances import Space, closest_records, coverage, nearest  # noqa: E402
from benchmarks.tabular.frames import MissingCodes, read_frame, write_frame  # noqa: E402
from benchmarks.tabular.sets import SETS, kept, split  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SPEC = {
    "name": "tiny",
    "target": "ill",
    "positive": ["yes"],
    "leak": [],
    "missing": ["?"],
    "columns": {"age": "int", "dose": "num", "ill": "cat"},
}


def tiny(n: int, seed: int):
    rng = np.random.default_rng(seed)
    age = rng.integers(20, 90, n).astype(float)
    dose = np.where(rng.random(n) < 0.1, np.nan, (age / 10 + rng.normal(size=n)).round(2))
    ill = np.where(age + rng.normal(0, 10, n) > 55, "yes", "no").astype(object)
    return pd.DataFrame({"age": age.astype(int), "dose": dose, "ill": ill})


def test_distance_of_two_rows_by_hand():
    real = pd.DataFrame({"age": [1, 2, 3, 4], "dose": [1.0, np.nan, 3.0, 4.0], "ill": ["no", "no", "yes", np.nan]})
    space = Space([real], SPEC)
    rows = space.code(real)
    # age ranks 1/8, 3/8, 5/8, 7/8; a missing cell is 1 from a value and 0 from another missing cell
    expected = np.array([(0.25 + 1 + 0) / 3, (0.25 + 1 + 1) / 3])
    first = nearest(rows.take(np.array([1])), rows.take(np.array([0, 2])), 2)[0]
    assert first == pytest.approx(np.sort(expected))
    assert nearest(rows, rows, 1)[:, 0] == pytest.approx(np.zeros(4))
    assert (nearest(rows, rows, 1, itself=True) > 0).all()


def test_copies_are_caught_and_strangers_pass():
    train, holdout, further = (tiny(300, seed) for seed in (1, 2, 3))
    space = Space([train, holdout], SPEC)
    copied = closest_records(space, train, holdout, train, 0)
    fresh = closest_records(space, train, holdout, further, 0)
    assert copied["dcr_share"] > 0.85
    assert copied["copies"] == 1.0
    assert 0.4 < fresh["dcr_share"] < 0.6
    assert coverage(space, holdout, further, 0)["coverage"] > 0.9
    assert coverage(space, holdout, further.assign(age=1, dose=1e6, ill="never"), 0)["coverage"] == 0


def test_all_scores_on_copies_strangers_and_noise():
    pytest.importorskip("lightgbm", reason="benchmarks/requirements.txt is not installed")
    pytest.importorskip("sdmetrics", reason="benchmarks/requirements.txt is not installed")
    from benchmarks.tabular.scores import score

    one = SETS["maternal_health"].__class__("tiny", "", "ill", ("yes",), rules={"adult": lambda d: d["age"] >= 18})
    train, holdout, further = (tiny(300, seed) for seed in (1, 2, 3))
    rng = np.random.default_rng(4)
    noise = train.apply(lambda cells: rng.permutation(cells.to_numpy()))
    copied, fresh, apart = (score(one, SPEC, train, holdout, rows) for rows in (train, further, noise))
    assert copied["mia_max"] > 0.9 > 0.65 > fresh["mia_max"]
    assert apart["adversarial"] > 0.75 > 0.6 > fresh["adversarial"]
    assert fresh["tstr"] > 0.8 > 0.65 > apart["tstr"]
    assert copied["rules"] == fresh["rules"] == 1
    assert 0 < apart["quality"] < fresh["quality"] <= 1


def test_frames_come_back_and_spelling_costs_nothing(tmp_path):
    train = tiny(50, 1)
    write_frame(train, tmp_path / "train.csv")
    pd.testing.assert_frame_equal(read_frame(tmp_path / "train.csv", SPEC), train, check_dtype=False)
    write_frame(train.assign(ill=train["ill"].map({"yes": "true", "no": "false"})), tmp_path / "other.csv")
    respelled = read_frame(tmp_path / "other.csv", SPEC, like=train)
    assert (respelled["ill"] == train["ill"]).all()


def test_missing_codes_round_trip():
    train = tiny(50, 1)
    codes = MissingCodes(SPEC)
    coded = codes.encode(train)
    assert not coded.isna().any().any()
    assert codes.categories == ["ill", "dose_gap"]
    pd.testing.assert_frame_equal(codes.decode(coded), train, check_dtype=False)


@pytest.mark.parametrize("name", ["heart_disease_uci", "maternal_health", "nhefs", "breast_cancer_wdbc"])
def test_real_rows_keep_the_rules_and_halves_differ_by_seed(name, data_dir, tmp_path):
    one = SETS[name]
    split(one, data_dir, tmp_path / "a", 0)
    split(one, data_dir, tmp_path / "b", 1)
    spec = json.loads((tmp_path / "a" / "spec.json").read_text(encoding="utf-8"))
    for half in ("train", "holdout"):
        frame = read_frame(tmp_path / "a" / f"{half}.csv", spec)
        assert min(kept(one.rules, frame).values()) == 1.0
        assert frame[one.target].isin(one.positive).mean() > 0.1
    assert (tmp_path / "a" / "train.csv").read_bytes() != (tmp_path / "b" / "train.csv").read_bytes()


def test_a_child_process_reports_its_cost(tmp_path):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC), encoding="utf-8")
    write_frame(tiny(50, 1), tmp_path / "train.csv")
    command = [sys.executable, "-m", "benchmarks.tabular.child", "columns", "--split", tmp_path, "--out", tmp_path]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "ok" and record["rows"] == 50
    assert record["fit_cpu_s"] >= 0 and record["peak_mb"] > 20
    assert len(read_frame(tmp_path / "synth.csv", SPEC)) == 50


def test_table_of_results(tmp_path):
    path = tmp_path / "tiny.json"
    numbers = ("adversarial", "coverage", "quality", "tstr", "trtr", "dcr_share", "mia_max", "rules", "fit_cpu_s")
    for seed, value in enumerate((0.5, 0.7)):
        record = dict.fromkeys(numbers, value) | {"sample_cpu_s": 1.0, "n_drawn": 100, "peak_mb": 90, "status": "ok"}
        table.keep(path, "trees", "ours", seed, record)
    table.keep(path, "peer", "peer", 0, {"status": "failed", "error": "KeyError: a | b"})
    text = table.markdown("tiny", table.load(path))
    assert "| **trees** | 0.600 ± 1.271 |" in text and "60.0 %" in text
    assert "| peer | KeyError: a / b |" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {14}


def record(**more):
    numbers = dict.fromkeys(("adversarial", "coverage", "quality", "tstr", "mia_max"), 0.5)
    cost = {"fit_cpu_s": 2.0, "sample_cpu_s": 1.0, "n_drawn": 5000, "peak_mb": 300}
    return numbers | {"rules": 1.0, "status": "ok"} | cost | more


def entry(kind, *records):
    return {"kind": kind, "seeds": {str(seed): one for seed, one in enumerate(records)}}


def test_interval_of_a_mean_by_hand():
    # standard deviation 1, t of 2 degrees of freedom 4.3027, over the root of 3
    assert figures.half_width([1.0, 2.0, 3.0]) == pytest.approx(4.30265 / 3**0.5, rel=1e-4)
    assert figures.spread([0.5]) == "0.500"


def test_families_beside_their_peers_on_shared_repetitions():
    good = record(adversarial=0.6, tstr=0.8, fit_cpu_s=4.0)
    runs = {
        "vae": entry("ours", good, good | {"adversarial": 1.0}),  # the second repetition has no peer
        "sdv_tvae": entry("peer", record(adversarial=0.9, tstr=0.7, fit_cpu_s=10.0, status="cut")),
        "gan": entry("ours", good),
        "sdv_ctgan": entry("peer", record(adversarial=0.9, tstr=0.8, fit_cpu_s=6.0)),
        "diffusion": entry("ours", good),
        "synthcity_ddpm": entry("peer", {"status": "stopped", "error": "stopped | at the cap"}),
    }
    lines = families.pairs({"support2": {"runs": runs}}).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    shown = {line.split(" | ")[1]: line for line in lines[2:]}
    assert shown["**vae**"].endswith("| 0.40 | 1 | met |") and "| 0.600 |" in shown["**vae**"]
    assert "sdv_tvae (cut)" in shown
    assert shown["**gan**"].endswith("| 0.67 | 1 | **missed**: tstr, CPU |")
    assert shown["**diffusion**"].endswith("the peer has no score |") and "stopped / at the cap" in lines[-1]


def test_collapse_counts_only_when_silent():
    low = record(coverage=0.1)
    warned = low | {"notes": ["warned, TrainingWarning: modes were lost"]}
    for records, verdict in (((low, warned), "**missed**"), ((warned, record(coverage=0.9)), "met")):
        runs = {"gan": entry("ours", *records), "columns": entry("yardstick", record(mia_max=0.51), record())}
        lines = families.figures({"breast_cancer_wdbc": {"runs": runs}}).splitlines()
        assert next(line for line in lines if "or a warning" in line).endswith(f"| {verdict} |")
        assert any("| mia_max | <= 0.53 | 0.500 ± 0.000 (`columns`: 0.505" in line for line in lines)


def test_losses_name_peer_measure_and_leak():
    runs = {
        "columns": entry("yardstick", record(mia_max=0.52)),
        "trees": entry("ours", record(adversarial=0.7, mia_max=0.51), record(adversarial=0.1)),
        "python_synthpop": entry("peer", record(adversarial=0.6, mia_max=0.8)),
        "sdv_copula": entry("peer", record(adversarial=0.9, mia_max=0.5)),  # below what leaks nothing: no lead
        "arfpy": entry("peer", {"status": "stopped", "error": "stopped at the cap"}),
    }
    lines = families.losses({"nhefs": {"runs": runs}}).splitlines()
    assert lines == [
        "- nhefs, adversarial: python_synthpop 0.600, ours at best 0.700 (`trees`); "
        "its membership AUC is 0.800, ours 0.510"
    ]


def test_conditions_cost_is_measured(tmp_path):
    write_frame(tiny(200, 1), tmp_path / "train.csv")
    (tmp_path / "spec.json").write_text(json.dumps(SPEC), encoding="utf-8")
    found = conditional.measure("independent", tmp_path, 100, 1)
    assert set(found) == {"source", "plain", *conditional.KINDS} and found["plain"] > 0
    fixed = {"source": "", "plain": 0.1, "rare level": 0.15, "band": 0.3}
    text = conditional.markdown({"set": "tiny", "rows": 100, "generators": {"copula": fixed}})
    assert "| copula | 0.100 | 1.50 | 3.00 | not honoured | not honoured | **missed** |" in text


def test_slow_peers_run_once_on_large_sets():
    run = plan.runs("", [])["sdv_ctgan"]
    assert [run.wanted("nhefs", seed) for seed in (2, 3)] == [True, False]
    assert [run.wanted("support2", seed) for seed in (0, 1)] == [True, False]


def test_figures_to_reach_are_met_or_missed():
    numbers = {"adversarial": 0.6, "tstr": 0.9, "trtr": 0.91, "dcr_share": 0.5, "mia_max": 0.56, "rules": 1.0}
    ours = numbers | {"fit_cpu_s": 0.1, "status": "ok"}
    leaky, quiet, slow = (
        ours | more
        for more in ({"adversarial": 0.55, "mia_max": 0.9}, {"adversarial": 0.7, "mia_max": 0.5}, {"fit_cpu_s": 60.0})
    )
    runs = {
        name: {"kind": kind, "seeds": {"0": record}}
        for name, kind, record in (
            ("trees", "ours", ours),
            ("python_synthpop", "peer", leaky),
            ("sdv_copula", "peer", quiet),
            ("mostly", "peer", slow),
        )
    }
    lines = targets.markdown({"support2": {"runs": runs}}).splitlines()[2:]
    verdicts = {line.split(" | ")[1]: "missed" not in line for line in lines}
    assert verdicts == {
        targets.EVERY: False,
        targets.TIGHT: True,
        "gap": True,
        "dcr_share": True,
        "mia_max": False,
        "rules": True,
        "fit_cpu_s": True,
    }


def test_runs_and_picture(tmp_path):
    known = plan.runs("privacy", [0.5, 2])
    assert known["trees privacy=0.5"].options == {"generator": "trees", "privacy": 0.5}
    picture.draw(tmp_path / "a.svg", "a < b", "x", "y", [("line", [(10, 1), (100, 20)], ["p", "q"])], logarithmic=True)
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
