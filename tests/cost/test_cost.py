"""What a run took, and the worksheet: measured figures, open assumptions, clear refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ehrsatz.cli.main import main
from ehrsatz.cost.meter import OVERHEAD, WATTS_PER_CORE, Cost, Meter, StepCost, rapl_counters
from ehrsatz.cost.worksheet import LINES, Assumptions, default_text, page, worksheet
from ehrsatz.errors import ScenarioError

COST = Cost(
    (StepCost("read", 1.0, 0.5, 3600.0), StepCost("fit", 3599.0, 10.0, 3_596_400.0)), 512.0, "estimate", 2_000_000
)


def powercap(folder: Path, name: str, energy: int, most: int = 1_000_000) -> Path:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "energy_uj").write_text(f"{energy}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")
    return place


def test_sums_by_hand() -> None:
    assert COST.wall_s == 3600 and COST.cpu_s == 10.5
    assert COST.energy_wh == pytest.approx(1000)
    assert COST.to_dict()["energy_wh"] == pytest.approx(1000)


def test_busy_work_costs_cpu_seconds_and_estimated_energy() -> None:
    meter = Meter(counters=())
    with meter.step("work"):
        sum(i * i for i in range(300_000))
    one = meter.total()
    assert one.energy_source == "estimate"
    assert one.cpu_s > 0 and one.wall_s > 0
    assert one.steps[0].energy_j >= OVERHEAD * WATTS_PER_CORE * one.cpu_s


def test_a_step_that_fails_is_not_counted() -> None:
    meter = Meter(counters=())
    with pytest.raises(ZeroDivisionError), meter.step("bad"):
        _ = 1 / 0
    assert meter.total().steps == ()


def test_rapl_reads_packages_alone_and_survives_a_wrapped_counter(tmp_path: Path) -> None:
    package = powercap(tmp_path, "intel-rapl:0", 900_000)
    powercap(tmp_path, "intel-rapl:0:0", 5)  # a part of the package: not to be counted twice
    meter = Meter(counters=rapl_counters(tmp_path))
    assert meter.counters == (package,)
    with meter.step("work"):
        powercap(tmp_path, "intel-rapl:0", 400_000)  # went past its end, 1,000,000
    cost = meter.total()
    assert cost.energy_source == "RAPL"
    assert cost.steps[0].energy_j == pytest.approx(0.5)


def test_counters_that_cannot_be_read_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    assert rapl_counters(tmp_path) == ()
    assert rapl_counters(tmp_path / "absent") == ()


def test_a_counter_that_vanishes_half_way_makes_the_whole_run_an_estimate(tmp_path: Path) -> None:
    place = powercap(tmp_path, "intel-rapl:0", 1)
    meter = Meter(counters=rapl_counters(tmp_path))
    with meter.step("work"):
        (place / "energy_uj").unlink()
    assert meter.total().energy_source == "estimate"


# ---------------------------------------------------------------------- worksheet
def test_worksheet_multiplies_out() -> None:
    told = Assumptions.default().model_dump()
    for entry in told.values():
        if isinstance(entry, dict):
            entry["value"] = 1.0
    told["electricity"]["value"], told["tokens"]["value"], told["enclave_months"]["value"] = 0.5, 3.0, 7.0
    sheet = worksheet(COST.to_dict(), Assumptions.model_validate(told))
    amounts = {one["what"]: one["amount"] for one in sheet["lines"]}
    assert amounts["Machine time of the run"] == pytest.approx(1.0)
    assert amounts["Electricity of the run"] == pytest.approx(0.5)
    assert amounts["Language model"] == pytest.approx(6.0)
    assert amounts["Secure environment"] == pytest.approx(7.0)
    assert sheet["sums"]["synthetic"] == pytest.approx(1 + 0.5 + 6 + 1 + 1)
    assert sheet["difference"] == pytest.approx(sheet["sums"]["real"] - sheet["sums"]["synthetic"])


def test_every_assumption_is_used_has_a_source_and_is_editable_in_the_page() -> None:
    plan = Assumptions.default()
    used = {name for _, _, factors in LINES for name in factors} | {"wait_weeks"}
    html = page(worksheet(COST.to_dict(), plan))
    for name in type(plan).model_fields:
        if name == "currency":
            continue
        assert name in used, f"{name} changes nothing"
        assert getattr(plan, name).source
        assert re.search(rf'<input id="a-{name}"', html)
    assert not re.search(r'(src|href)\s*=\s*"https?:', html)


def test_a_hostile_source_is_escaped(tmp_path: Path) -> None:
    told = yaml.safe_load(default_text())
    told["machine"]["source"] = '<script>alert("x")</script>'
    path = tmp_path / "ours.yaml"
    path.write_text(yaml.safe_dump(told))
    html = page(worksheet(COST.to_dict(), Assumptions.from_file(path)))
    assert "<script>alert" not in html


def test_own_figures_need_not_be_complete(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("provider_fee: {value: 5000, unit: once, source: our offer}\n")
    found = Assumptions.from_file(path)
    assert found.provider_fee.value == 5000
    assert found.machine == Assumptions.default().machine


@pytest.mark.parametrize(
    "text",
    [
        "machin: {value: 1, unit: x, source: y}",
        "machine: {value: -1, unit: x, source: y}",
        "machine: {value: .nan, unit: x, source: y}",
        "machine: {value: 1, unit: x, source: ''}",
        "machine: 3",
        "- a\n- b",
        "a: [",
    ],
)
def test_bad_assumptions_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError):
        Assumptions.from_file(path)


@pytest.mark.parametrize("told", [{}, {"wall_s": "x"}, {"wall_s": 1, "energy_wh": 1, "tokens": 0}])
def test_what_is_no_cost_is_refused(told: dict) -> None:
    with pytest.raises(ScenarioError, match="cost of a run"):
        worksheet(told)


# ---------------------------------------------------------------------- command line
def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "cost.json", tmp_path / "sheet.html"
    path.write_text(json.dumps(COST.to_dict()))
    assert main(["cost", str(path), "--out", str(out), "--json"]) == 0
    sheet = json.loads(capsys.readouterr().out)
    assert sheet["measured"]["wall_h"] == pytest.approx(1.0)
    assert "Assumptions" in out.read_text()
    assert main(["cost", str(path), "--out", str(out)]) == 2  # never replaced
    assert main(["cost"]) == 2
    assert main(["cost", str(out)]) == 2
    assert main(["cost", "--template"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["currency"] == "USD"
