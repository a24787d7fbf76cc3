"""Bad input to simulated cohorts, from the command line on: exit code 2, a message of three parts, no file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ehrsatz.cli import main as cli
from ehrsatz.cli import simulated
from ehrsatz.errors import ScenarioError
from ehrsatz.scenario import Scenario

CELIAC: dict[str, Any] = {
    "module": "celiac",
    "title": "Celiac disease",
    "sources": {
        "rubio2012": "Rubio-Tapia A et al., Am J Gastroenterol 2012;107:1538",
        "assumed_course": "Middle values of clinical series, which differ.",
    },
    "conditions": [
        {
            "id": "celiac_disease",
            "title": "Celiac disease",
            "icd10": "M10.9",
            "prevalence": {"ages": [0], "female": [0.2], "male": [0.1], "unit": "percent", "source": "rubio2012"},
            "stages": [
                {"id": "mild", "title": "Mild", "at_onset": 0.6, "source": "assumed_course"},
                {"id": "severe", "title": "Severe", "at_onset": 0.4, "source": "assumed_course"},
            ],
            "source": "assumed_course",
        }
    ],
}


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def files() -> list[str]:
    return sorted(str(path) for path in Path.cwd().rglob("*"))


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a refused run says; nothing was written, and nothing of ours was shown."""
    before = files()
    code = cli.main(["fabricate", *arguments])
    shown = capfd.readouterr()
    assert code == 2, shown.err
    assert "Error" in shown.err
    assert "Traceback" not in shown.err
    assert files() == before
    return " ".join(shown.err.split())


def yaml(text: str) -> str:
    Path("run.yaml").write_text(text, encoding="utf-8")
    return "run.yaml"


# ---------------------------------------------------------------------- options and keys
class Case(NamedTuple):
    """Arguments, and what must be said."""

    arguments: tuple[str, ...]
    says: tuple[str, ...]


def group(text: str) -> tuple[str, ...]:
    return ("--group-of", text)


OPTIONS = {
    "unknown scenario": Case(("diabetis-registry",), ("Did you mean 'diabetes-registry'?", "a scenario file")),
    "absent file": Case(("my/run.yaml",), ("my/run.yaml", "no such file")),
    "no patients": Case(("--n", "0"), ("--n",)),
    "a negative number of patients": Case(("--n", "-5"), ("--n",)),
    "unknown locale": Case(("--locale", "ukk"), ("'ukk'", "Did you mean 'uk'?")),
    "a folder that is no locale": Case(("--locale", "."), ("locale.json",)),
    "no date": Case(("--reference", "yesterday"), ("simulator.reference", "date")),
    "no years": Case(("--record-years", "long"), ("--record-years", "life")),
    "negative years": Case(("--record-years", "-2"), ("simulator.record_years", "above 0")),
    "no share": Case(("--enrich", "gout"), ("--enrich", "ID=SHARE")),
    "a word as share": Case(("--enrich", "gout=much"), ("--enrich", "0 to 1")),
    "a share above one": Case(("--prevalence", "gout=1.5"), ("prevalence", "between 0 and 1", "gout")),
    "unknown table": Case(("--only", "patients"), ("'patients'", "Did you mean 'patient'?")),
    "unknown panel": Case(("--missing", "lipid=0.2"), ("Did you mean 'lipids'?", "doctor --list panels")),
    "unknown mechanism": Case(("--missing", "lipids=0.2 mechanism=MAN"), ("mechanism", "MCAR", "MNAR")),
    "more than all absent": Case(("--missing", "lipids=20"), ("share", "less than or equal to 1")),
    "absent modules": Case(("--modules", "nowhere"), ("nowhere",)),
    "unknown format": Case(("--format", "xlsx"), ("xlsx", "csv")),
    "unknown policy": Case(("--policy", "simulatd"), ("Did you mean 'simulated'?",)),
    "a method": Case(("--generator", "trees"), ("--generator", "learns from a table", "--from heart_disease_uci")),
    "a table and a locale": Case(("--from", "heart_disease_uci", "--locale", "uk"), ("--locale", "simulated")),
    "a table and a cohort": Case(("clinic", "--from", "heart_disease_uci"), ("--from", "learns from a table")),
    "conditions on columns": Case(("--given", "sex=F"), ("--given", "learns from a table")),
    "a quota without a number": Case(group("sex=female"), ("n, how many they are", "absent")),
    "a quota of none": Case(group("n=0"), ("above 0",)),
    "a quota with an unknown key": Case(group("n=5 sexx=female"), ("Did you mean 'sex'?",)),
    "a quota with a key twice": Case(group("n=5 n=6"), ("stands twice",)),
    "a quota of an unknown sex": Case(group("n=5 sex=women"), ("simulator.groups.0.sex", "female")),
    "a quota of falling ages": Case(group("n=5 age=70..60"), ("two rising years",)),
    "a quota of no day": Case(group("n=5 index=soon"), ("a year, a day, or two of them",)),
    "a quota of falling days": Case(group("n=5 index=2024..2023"), ("the earlier first",)),
    "an open quotation": Case(group("n=5 medications='insulin"), ("quotation mark",)),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_make_no_sense(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    said = refused(capfd, *OPTIONS[name].arguments)
    assert all(words in said for words in OPTIONS[name].says), said


SCENARIOS = {
    "unknown key": ("simulator: {lokale: uk}", ("simulator.lokale", "Did you mean 'locale'?")),
    "unknown key of a quota": ("simulator: {groups: [{n: 5, agee: [1, 2]}]}", ("agee", "Did you mean 'age'?")),
    "negative size": ("n: -5\nsimulator: {}", ("n: ", "greater than or equal to 1")),
    "negative quota": ("simulator: {groups: [{n: -5}]}", ("simulator.groups.0.n", "greater than or equal to 1")),
    "age below zero": ("simulator: {groups: [{n: 5, age: [-3, 5]}]}", ("between 0 and 110",)),
    "a source beside it": ("source: patients.csv\nsimulator: {}", ("either simulator", "source")),
    "a method beside it": ("generator: trees\ngiven: {sex: F}\nsimulator: {}", ("either simulator", "given")),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_that_make_no_sense(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    text, says = SCENARIOS[name]
    said = refused(capfd, yaml(text))
    assert all(words in said for words in says), said


# ---------------------------------------------------------------------- modules
def _unknown_key(module: dict[str, Any]) -> None:
    module["conditions"][0]["prevalense"] = module["conditions"][0].pop("prevalence")


def _shares(module: dict[str, Any]) -> None:
    module["conditions"][0]["stages"][0]["at_onset"] = 0.9


def _code(module: dict[str, Any]) -> None:
    module["conditions"][0]["icd10"] = "K90.99"


def _source(module: dict[str, Any]) -> None:
    del module["sources"]["rubio2012"]


def _undated(module: dict[str, Any]) -> None:
    module["sources"]["rubio2012"] = "A book on the intestine."


def _cycle(module: dict[str, Any]) -> None:
    first = module["conditions"][0]
    second = {**json.loads(json.dumps(first)), "id": "celiac_other", "requires": ["celiac_disease"]}
    first["requires"] = ["celiac_other"]
    module["conditions"].append(second)


MODULES: dict[str, tuple[Callable[[dict[str, Any]], None], tuple[str, ...]]] = {
    "unknown key": (_unknown_key, ("prevalense", "prevalence")),
    "shares that do not sum to one": (_shares, ("at_onset", "sum")),
    "a code that is in no list": (_code, ("K90.99", "ICD-10-CM")),
    "an absent source": (_source, ("rubio2012",)),
    "a source without a year": (_undated, ("rubio2012", "year")),
    "a cycle": (_cycle, ("celiac_disease", "celiac_other")),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_that_cannot_be(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    change, says = MODULES[name]
    module = json.loads(json.dumps(CELIAC))
    change(module)
    Path("own").mkdir()
    Path("own/celiac.json").write_text(json.dumps(module), encoding="utf-8")
    said = refused(capfd, "--modules", "own", "--n", "5")
    assert "celiac.json" in said or "celiac" in said
    assert all(words in said for words in says), said


def test_a_module_that_is_no_json(capfd: pytest.CaptureFixture[str]) -> None:
    Path("own").mkdir()
    Path("own/celiac.json").write_text("{", encoding="utf-8")
    assert "celiac.json" in refused(capfd, "--modules", "own")


# ---------------------------------------------------------------------- quotas
IMPOSSIBLE = """
n: 50
simulator:
  groups:
    - {n: 5, sex: male, age: [70, 75], conditions: [pregnancy]}
    - {n: 5, sex: female, age: [70, 75], conditions: [{id: pregnancy, onset: [2024-01-01, 2024-12-31]}]}
    - {n: 5, age: [10, 15], conditions: [{id: asthma, onset: [1990-01-01, 1990-12-31]}]}
    - {n: 5, conditions: [{id: gout, onset: [2025-01-01, 2025-12-31]}], index: [2020-01-01, 2020-12-31]}
    - {n: 5, index: [2030-01-01, 2030-12-31]}
    - {n: 5, conditions: [{id: ckd, stage: 7}]}
    - {n: 5, conditions: [diabetes_type_2]}
    - {n: 5, medications: [snake oil]}
    - {n: 5, conditions: [type2_diabetes], without: [type2_diabetes]}
    - {n: 10, conditions: [prostate_cancer, pregnancy]}
  enrich: {celiak: 0.1}
"""


def test_quotas_that_cannot_be_met_are_all_told(capfd: pytest.CaptureFixture[str]) -> None:
    said = refused(capfd, yaml(IMPOSSIBLE))
    for words in (
        "they hold 55 people, the cohort 50",
        "pregnancy occurs in the female sex only",
        "groups[1]: pregnancy does not begin from 68 to 74 years",
        "asthma would begin before anybody of that age was born",
        "gout would begin after the index date",
        "after the reference date",
        "ckd has no such stage; it has: stage_1",
        "no condition has the id 'diabetes_type_2'",
        "no module gives 'snake oil'",
        "type2_diabetes is wanted, or needed by what is wanted, and excluded",
        "different sexes only",
        "celiak",
    ):
        assert words in said, f"{words}: {said}"


# ---------------------------------------------------------------------- figures of one's own
FIGURES = {
    "contradicting figures": (
        """
prevalence:
  - {condition: gout, percent: 5, source: "Register A, 2024"}
  - {condition: gout, percent: 9, source: "Register B, 2024"}
""",
        ("gout", "two different figures of the same people"),
    ),
    "an unknown condition": ('prevalence: [{condition: gaut, percent: 5, source: "A, 2024"}]', ("gaut", "'gout'")),
    "a share above one": ('prevalence: [{condition: gout, share: 5, source: "A, 2024"}]', ("share",)),
    "no source": ("prevalence: [{condition: gout, percent: 5}]", ("source",)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_that_cannot_be_reached(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    text, says = FIGURES[name]
    Path("figures.yaml").write_text(text, encoding="utf-8")
    said = refused(capfd, "--calibration", "figures.yaml")
    assert "simulate" not in said
    assert all(words in said for words in says), said


def test_absent_figures(capfd: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.yaml" in refused(capfd, "--calibration", "nowhere.yaml")


# ---------------------------------------------------------------------- room
def test_ten_million_patients_on_a_small_disk(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    full = shutil.disk_usage(".")._replace(free=2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full)
    said = refused(capfd, "--n", "10000000", "--format", "parquet")
    assert "GiB of free disk for 10,000,000 patients as parquet" in said
    assert "1.0 GiB are free" in said
    assert "fewer patients" in said
    assert "simulate" not in said  # before the first patient


def test_a_folder_that_is_not_empty(capfd: pytest.CaptureFixture[str]) -> None:
    Path("release").mkdir()
    Path("release/mine").write_text("keep me", encoding="utf-8")
    assert "not empty" in refused(capfd, "--n", "5")


# ---------------------------------------------------------------------- what options become
def test_a_quota_in_words() -> None:
    text = "n=400 sex=female age=60..75 conditions=ckd:3b,gout medications=metformin,'insulin glargine' index=2023"
    assert simulated.group(text) == {
        "n": 400,
        "sex": "female",
        "age": [60, 75],
        "conditions": [{"id": "ckd", "stage": "3b"}, {"id": "gout"}],
        "medications": ["metformin", "insulin glargine"],
        "index": ["2023-01-01", "2023-12-31"],
    }
    more = simulated.group("n=2 age=70 conditions=sepsis@2022..2023-05-01 without=copd,asthma")
    assert more["age"] == [70, 71]
    assert more["conditions"] == [{"id": "sepsis", "onset": ["2022-01-01", "2023-05-01"]}]
    assert more["without"] == ["copd", "asthma"]
    assert simulated.group("n=1 age=65..")["age"] == [65, 110]
    assert simulated.group("n=1 age=..5")["age"] == [0, 5]


def test_what_is_left_out_in_words() -> None:
    assert simulated.absent("hba1c=0.2") == {"item": "hba1c", "share": 0.2}
    more = simulated.absent("lipids=0.1 mechanism=mar by=insurance")
    assert more == {"item": "lipids", "share": 0.1, "mechanism": "MAR", "by": "insurance"}
    with pytest.raises(ScenarioError, match="Did you mean 'mechanism'"):
        simulated.absent("lipids=0.1 mechanisn=MAR")


def change(plan: Scenario, **options: Any) -> Scenario:
    none = dict.fromkeys(("groups", "enrich", "prevalence", "missing", "record_years", "n", "policy"))
    return plan.changed(simulated.changes(plan, **{**none, **options}))


def test_options_change_a_scenario() -> None:
    plan = Scenario.cohort("rare-disease")
    more = change(plan, enrich=["als=0.05"], record_years="life", locale="uk", only=["patient"])
    assert more.simulator is not None and plan.simulator is not None
    assert more.simulator.enrich == {**plan.simulator.enrich, "als": 0.05}
    assert (more.simulator.record_years, more.simulator.locale, more.simulator.only) == ("life", "uk", ("patient",))
    assert more.n == plan.n


def test_groups_give_the_number_and_a_policy_that_fits() -> None:
    plan = Scenario.cohort()
    assert (plan.policy, plan.n) == ("simulated", 1000)
    two = change(plan, groups=["n=30 sex=female", "n=12"])
    assert (two.n, two.policy, two.n_patients) == (42, "simulated-quota", 42)
    free = change(plan, groups=["n=30"], n=100, policy="simulated")
    assert (free.n, free.policy) == (100, "simulated")
    assert change(plan, prevalence=["gout=0.2"]).policy == "simulated-quota"
    assert change(plan, n=5).policy == "simulated"
