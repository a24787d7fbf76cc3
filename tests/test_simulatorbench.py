"""The benchmarks of the simulator on tiny cuts: every part runs, counts what is there, and says what is missed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.simulator import __main__ as whole
from benchmarks.simulator import fidelity, peers, results, rules, scale, speed, stages, start, workers
from benchmarks.simulator.child import run

PEER = """#!{python}
import json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("{flag}") + 1])
out.mkdir(exist_ok=True)
rows = [{{"resourceType": "Patient"}}, {{"resourceType": "Observation"}}, {{"resourceType": "Observation"}}]
(out / "all.ndjson").write_text("\\n".join(map(json.dumps, rows)) + "\\n" + '{{"cut')
while {busy}:
    pass
"""


def test_stages_of_a_shard_and_the_figures_to_reach():
    one = stages.measure(1.0, 1, 1, 64)
    assert one["patients"] == 64 and one["rows"] > 64 * 100 and one["bytes"] > 10_000
    assert set(one["cpu_s"]) == set(stages.STAGES) and min(one["cpu_s"].values()) > 0
    text = speed.table({"1": one | {"peak_mb": 300}})
    assert text.count("missed") == 2  # so small a shard is slow
    fast = one | {"cpu_s": dict.fromkeys(stages.STAGES, 1e-4), "peak_mb": 300}
    assert speed.table({"1": fast}).count("met") == 2


def test_sizes_of_the_whole_command(tmp_path):
    one = scale.measure(64, "1")
    assert one["n"] == 64 and one["rows"] > 64 * 100
    assert one["peak_mb"] > 100 and one["cpu_s"] > 0.5 and one["bytes"] > one["data_bytes"] > 10_000
    assert "| 64 | 1 |" in scale.table({"64": one})


def test_a_straight_line_is_found_and_a_bent_one_is_seen():
    start_, slope, miss = scale.line([1e3, 2e3, 4e3], [3.0, 4.0, 6.0])
    assert (start_, slope, miss) == pytest.approx((2.0, 1e-3, 0.0), abs=1e-9)
    assert scale.line([1e3, 2e3, 4e3], [1.0, 4.0, 16.0])[2] > 0.2
    sizes = {str(n): {"n": n, "cpu_s": 2 + n / 1e3, "bytes": n * 1e4, "rows": n * 700} for n in (1000, 2000, 4000)}
    assert "0.28 CPU hours on one core" in scale.extrapolated(sizes) and "10 GB" in scale.extrapolated(sizes)
    assert "**missed**" in scale.kept_small({"4": {"n": 4, "peak_mb": 2000}, "8": {"n": 8, "peak_mb": 2100}})


def test_workers_write_the_same_bytes_and_a_difference_is_told():
    alone, together = (workers.measure(192, 1.0, number, 64) for number in (1, 2))
    assert alone["files"] > 20 and alone["sha256"] == together["sha256"]
    assert "yes, met" in workers.table({"1": alone, "2": together})
    assert "**no, missed**" in workers.table({"1": alone, "2": together | {"sha256": "0" * 64}})


def test_start_sees_the_first_file():
    one = start.measure(64)
    assert one["cpu_s"] > 0.2 and one["wall_s"] > 0.2
    assert "**missed**" in start.table({"64": {"runs": [{"wall_s": 4.0, "cpu_s": 4.0}]}})


def test_rules_of_a_scenario_and_what_is_broken_is_named():
    part, n = rules.scaled("maternity", 60)
    assert n >= sum(group.n for group in part.groups) > 30
    one = rules.measure("maternity", 60)
    assert one["rules"] > 120 and one["stays"][0] > 100 and one["links"] > 1_000 and one["coded"] > 1_000
    bad = one | {"errors": {"order.death": [10, 3]}, "stays": [10, 1]}
    text = rules.table({"maternity": bad})
    assert "**3**" in text and "**1**" in text and "`order.death` broken by 3 of 10 rows" in text


def test_both_halves_of_a_free_cohort_are_counted():
    apart = [fidelity.count([first], n=1100, record_years=1.0) for first in (0, 1024)]
    together = fidelity.both(*apart)
    assert together["rows"] == apart[0]["rows"] + apart[1]["rows"]
    assert together["glycaemia"]["sums"][0] == sum(one["glycaemia"]["sums"][0] for one in apart)


def figure(kind: str, target: str, published: float, reached: float, within: bool | None) -> dict[str, Any]:
    ends = [reached, reached]
    return {
        "kind": kind,
        "target": target,
        "published": published,
        "reached": reached,
        "n": 100,
        "interval": ends,
        "bound": 0.1 * published,
        "within": within,
        "judged": True,
        "source": "",
    }


def test_figures_that_are_off_are_counted_and_named():
    found = {
        "n": 10,
        "record_years": 1.0,
        "rows": 100,
        "glycaemia": None,
        "figures": [
            figure("prevalence", "Gout, men, 40 to 60", 0.1, 0.101, True),
            figure("prevalence", "Gout, men, 60 and older", 0.1, 0.2, False),
            figure("prevalence", "Asthma, men, 40 to 60", 0.1, 0.115, None),
            figure("quantile", "HbA1c (%), men, 40 to 60, 50 %", 5.0, 6.0, False),
        ],
    }
    assert fidelity.conditions(found) == {"Gout": (2, 1, 1), "Asthma": (1, 0, 1)}
    text = fidelity.table(found)
    assert "Gout, men, 60 and older 0.2 for 0.1" in text and "| 3 | 1 (33%) | 2 (67%) | 1 |" in text
    assert "| HbA1c (%) | 1 | 0% | 0% | men, 40 to 60, 50 % 6 for 5 |" in text


@pytest.mark.parametrize("busy", [False, True])
def test_a_peer_is_counted_and_cut(tmp_path, busy):
    folder = tmp_path / "tietai" / "bin"
    folder.mkdir(parents=True)
    (folder / "synthea").write_text(PEER.format(python=sys.executable, flag="-o", busy=busy))
    (folder / "synthea").chmod(0o755)
    (folder / "python").symlink_to(sys.executable)
    one = peers.measure(tmp_path, 2)["tietai"]
    assert (one["patients"], one["resources"], one["cut"]) == (1, 3, busy)
    if not busy:
        assert one["errors"] == "" and one["code"] == 0
        assert "| 1 | 3 |" in peers.table({"tietai": one}, 100.0)[2]


def test_memory_of_a_process_counts_its_children():
    large = "import time; x = b'1' * 200_000_000; time.sleep(1)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {large!r}])"
    ran = run([sys.executable, "-c", code], env=dict(os.environ))
    assert 200 < ran.peak_mb < 300


def test_page_is_written_between_its_marks(tmp_path, monkeypatch, capsys):
    results.keep(tmp_path / "start.json", "2000", {"runs": [{"wall_s": 2.0, "cpu_s": 1.5}]})
    page = tmp_path / "page.md"
    page.write_text(f"before\n{whole.BEGIN}\nold\n{whole.END}\nafter\n", encoding="utf-8")
    words = ["bench", "--table-only", "--results", str(tmp_path), "--page", str(page)]
    monkeypatch.setattr(sys, "argv", words)
    whole.main()
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert (
        "2.00 s to the first file" in text and json.loads((tmp_path / "start.json").read_text())["run"]["date"] in text
    )
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(SystemExit, match="Expected the marks"):
        whole.main()
    assert capsys.readouterr().out
    assert Path(page).read_text(encoding="utf-8") == "no marks"
