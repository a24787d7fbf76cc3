"""Modules are read with every problem named by file and place, and put in causal order."""

from __future__ import annotations

import copy
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from ehrsatz.errors import ScenarioError
from ehrsatz.simulator.facts import Facts
from ehrsatz.simulator.load import FOLDER, entities, load_modules, moved, requirements

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = {
    "module": "sarcoid",
    "title": "Sarcoidosis",
    "sources": {
        "one2020": "Author A, A paper on it, Journal 2020;1:1",
        "assumed_visits": "Nobody counts the visits: taken as two a year.",
    },
    "conditions": [
        {
            "id": "sarcoidosis",
            "title": "Sarcoidosis",
            "icd10": "I10",
            "prevalence": {
                "ages": [0, 20],
                "female": [0, 0.1],
                "male": [0, 0.1],
                "unit": "percent",
                "source": "one2020",
            },
            "risk": [{"factor": "bmi", "ratio": 1.2, "per": 5, "start": 25, "source": "one2020"}],
            "stages": [
                {"id": "first", "title": "First", "at_onset": 0.7, "source": "one2020"},
                {"id": "second", "title": "Second", "at_onset": 0.3, "per_year": 0.1, "source": "one2020"},
            ],
            "effects": [{"process": "crp", "shift": 5, "source": "one2020"}],
            "treatments": [
                {
                    "id": "sarcoid_prednisone",
                    "rxnorm": "312617",
                    "dose": 5,
                    "dose_unit": "mg",
                    "route": "oral",
                    "per_day": 2,
                    "share": 0.5,
                    "stop_per_year": 0.3,
                    "stop_reasons": {"adverse reaction": 0.4, "patient choice": 0.6},
                    "avoid": ["ckd.stage_4"],
                    "source": "one2020",
                }
            ],
            "monitoring": [{"panel": "inflammation", "months": 6, "source": "one2020"}],
            "visits_per_year": 2,
            "source": "assumed_visits",
        }
    ],
    "episodes": [
        {
            "id": "sarcoid_flare",
            "title": "Flare of sarcoidosis",
            "icd10": "I10",
            "requires": ["sarcoidosis"],
            "incidence": {"ages": [0], "female": [200], "male": [200], "unit": "per_1000", "source": "one2020"},
            "risk": [{"factor": "crp.treated", "ratio": 1.1, "per": 5, "start": 5, "source": "one2020"}],
            "days": 20,
            "care": {"shares": {"ambulatory": [0.8], "none": [0.2]}, "source": "one2020"},
            "source": "one2020",
        }
    ],
}


@pytest.fixture
def example() -> dict[str, Any]:
    """One sound module of a user."""
    return copy.deepcopy(EXAMPLE)


def write(folder: Path, *modules: dict[str, Any]) -> Path:
    """Write modules into a folder, each under its name."""
    for module in modules:
        (folder / f"{module['module']}.json").write_text(json.dumps(module), encoding="utf-8")
    return folder


def problems(folder: Path) -> tuple[str, ...]:
    """Return what loading a folder complains of."""
    with pytest.raises(ScenarioError) as caught:
        load_modules(folder)
    return caught.value.problems


# ---------------------------------------------------------------------- what is right
def test_all_bundled_modules_are_loaded_in_causal_order() -> None:
    found = load_modules()
    assert set(found.modules) == {path.stem for path in FOLDER.glob("*.json")}
    everything = [one.id for module in found.modules.values() for one in entities(module)]
    assert sorted(one.id for one in found.order) == sorted(everything)
    assert set(found.conditions) | set(found.episodes) == set(everything)
    movers: dict[str, set[str]] = {}
    for name, condition in found.conditions.items():
        for process in moved(condition):
            movers.setdefault(process, set()).add(name)
    place = {one.id: i for i, one in enumerate(found.order)}
    for one in found.order:
        late = [name for name in requirements(one, movers) if name in place and place[name] > place[one.id]]
        assert not late, f"{one.id} comes before {late}"
    assert place["hypertension"] < place["coronary_disease"] < place["myocardial_infarction"] < place["heart_failure"]
    assert place["type2_diabetes"] < place["diabetic_retinopathy"]


def test_the_order_does_not_hang_on_the_names_of_files(tmp_path: Path, example: dict[str, Any]) -> None:
    before = [one.id for one in load_modules(write(tmp_path, example)).order]
    example["module"] = "aaa"
    (tmp_path / "sarcoid.json").unlink()
    assert [one.id for one in load_modules(write(tmp_path, example)).order] == before


def test_a_folder_adds_to_the_bundled_ones(tmp_path: Path, example: dict[str, Any]) -> None:
    found = load_modules(write(tmp_path, example))
    assert set(found.modules) == set(load_modules().modules) | {"sarcoid"}
    assert found.home["sarcoid_flare"].module == "sarcoid"
    place = [one.id for one in found.order]
    assert place.index("sarcoidosis") < place.index("sarcoid_flare")
    assert place.index("rheumatoid_arthritis") < place.index("sarcoid_flare")  # moves crp, which the flare hangs on


def test_a_module_of_the_same_name_takes_the_place_of_the_bundled_one(tmp_path: Path) -> None:
    gout = json.loads((FOLDER / "gout.json").read_text(encoding="utf-8"))
    gout["conditions"][0]["visits_per_year"] = 7
    assert load_modules(write(tmp_path, gout)).conditions["gout"].visits_per_year == 7


def test_a_list_of_codes_beside_the_modules_is_used(tmp_path: Path, example: dict[str, Any]) -> None:
    example["conditions"][0]["icd10"] = "D86.0"
    assert any("ICD-10-CM has no code 'D86.0'" in one for one in problems(write(tmp_path, example)))
    (tmp_path / "codes.csv").write_text("system,code,display\nICD-10-CM,D86.0,Sarcoidosis of lung\n", encoding="utf-8")
    assert load_modules(tmp_path).conditions["sarcoidosis"].icd10 == "D86.0"


def test_codes_are_asked_of_a_callable(tmp_path: Path, example: dict[str, Any]) -> None:
    asked = set()

    def has(system: str, code: str) -> bool:
        asked.add((system, code))
        return True

    load_modules(write(tmp_path, example), facts=Facts(has_code=has))
    assert ("RxNorm", "312617") in asked and ("ICD-10-CM", "I10") in asked


def test_loading_is_quick() -> None:
    load_modules()
    start = time.process_time()
    load_modules()
    assert time.process_time() - start < 0.4


def test_every_number_in_the_bundled_modules_has_its_source_and_year() -> None:
    for module in load_modules().modules.values():
        for key, text in module.sources.items():
            assert key.startswith("assumed") or re.search(r"\b(19|20)\d\d\b", text), f"{module.module}: {key}"


# ---------------------------------------------------------------------- what is wrong in a file
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1, column 2: no JSON"),
        ("[]", "expected an object"),
        ('{"module": "a", "module": "a"}', "a key stands twice in one object: module"),
        ('{"module": NaN}', "expected plain numbers"),
        ("[" * 100_000, "nested too deep"),
    ],
    ids=["cut", "list", "twice", "nan", "deep"],
)
def test_no_json(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert any(one.startswith("a.json: ") and words in one for one in problems(tmp_path))


def test_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    assert problems(tmp_path) == ("a.json: no UTF-8 text",)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no such folder"):
        load_modules(tmp_path / "none")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"no file that ends in \.json"):
        load_modules(tmp_path)


def change(data: Any, way: str, value: Any) -> None:
    """Set what a dotted way leads to; None deletes it."""
    *steps, last = way.split(".")
    for step in steps:
        data = data[int(step)] if isinstance(data, list) else data[step]
    key: Any = int(last) if isinstance(data, list) else last
    if value is None:
        del data[key]
    else:
        data[key] = value


BAD = {
    "unknown key": (
        "conditions.0.prevelence",
        {},
        "conditions.sarcoidosis.prevelence: unknown key. Did you mean 'prevalence'?",
    ),
    "unknown key within": (
        "conditions.0.risk.0.rato",
        1,
        "conditions.sarcoidosis.risk.0.rato: unknown key. Did you mean 'ratio'?",
    ),
    "missing source": ("conditions.0.risk.0.source", None, "conditions.sarcoidosis.risk.0.source: field required"),
    "unnamed source": ("conditions.0.risk.0.source", "two2021", "absent: two2021"),
    "unused source": ("sources.three2022", "Author B, Journal 2022;2:2", "unused: three2022"),
    "source without year": ("sources.one2020", "Author A, A paper on it", "expected the year in source 'one2020'"),
    "stages": ("conditions.0.stages.0.at_onset", 0.6, "expected at_onset of the stages to sum to 1"),
    "stop reasons": (
        "conditions.0.treatments.0.stop_reasons",
        {"adverse reaction": 0.4},
        "expected stop_reasons to sum to 1",
    ),
    "care": ("episodes.0.care.shares", {"ambulatory": [0.8]}, "expected the shares of band 0 to sum to 1"),
    "bands": ("conditions.0.prevalence.female", [0], "expected one figure per age band (2)"),
    "negative": (
        "conditions.0.prevalence.female",
        [0, -1],
        "conditions.sarcoidosis.prevalence.female.1: input should be greater",
    ),
    "too many": ("conditions.0.prevalence.female", [0, 140], "expected shares up to 1"),
    "sex": ("conditions.0.sex", "male", "expected no figures of 'female': the sex is 'male'"),
    "file": ("module", "sarcoidose", "module: expected the name of the file, 'sarcoid'"),
    "factor": (
        "conditions.0.risk.0.factor",
        "bmj",
        "conditions.sarcoidosis.risk.0.factor: unknown factor 'bmj'. Did you mean 'bmi'?",
    ),
    "level": (
        "conditions.0.risk.0",
        {"factor": "smoking", "levels": {"curent": 2}, "source": "one2020"},
        "smoking has no level 'curent'. Did you mean 'current'?",
    ),
    "condition as process": ("conditions.0.risk.0.factor", "hypertension", "it is no process"),
    "process as condition": (
        "conditions.0.risk.0",
        {"factor": "bmi", "ratio": 2, "source": "one2020"},
        "expected `per` and `start`",
    ),
    "suffix": ("conditions.0.risk.0.factor", "bmi.tretaed", "expected nothing but '.treated'"),
    "within years": (
        "conditions.0.risk.0",
        {"factor": "hypertension", "ratio": 2, "within_years": 1, "source": "one2020"},
        "expected with an episode",
    ),
    "requires": (
        "episodes.0.requires",
        ["sarcoidosi"],
        "unknown condition or episode 'sarcoidosi'. Did you mean 'sarcoidosis'?",
    ),
    "requires itself": ("conditions.0.requires", ["sarcoidosis"], "expected another condition than itself"),
    "process": ("conditions.0.effects.0.process", "cpr", "unknown process 'cpr'. Did you mean 'crp'?"),
    "panel": (
        "conditions.0.monitoring.0.panel",
        "inflamation",
        "unknown panel 'inflamation'. Did you mean 'inflammation'?",
    ),
    "icd10": ("conditions.0.icd10", "D99.9", "conditions.sarcoidosis.icd10: ICD-10-CM has no code 'D99.9'"),
    "rxnorm": ("conditions.0.treatments.0.rxnorm", "1", "treatments.sarcoid_prednisone.rxnorm: RxNorm has no code '1'"),
    "avoid": ("conditions.0.treatments.0.avoid", ["ckd.stage_9"], "'ckd' has no stage 'stage_9'"),
    "stage": ("conditions.0.treatments.0.stage", "secnd", "unknown stage 'secnd'. Did you mean 'second'?"),
    "after": ("conditions.0.treatments.0.after", "nothing", "no treatment 'nothing' stands before it"),
    "days": (
        "episodes.0.treatments",
        [{**EXAMPLE["conditions"][0]["treatments"][0], "stop_per_year": 0, "stop_reasons": {}}],
        "expected in an episode: its drugs are courses",
    ),
    "twice": ("episodes.0.id", "gout", "the id 'gout' stands 2 times"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_module(tmp_path: Path, example: dict[str, Any], name: str) -> None:
    way, value, words = BAD[name]
    write(tmp_path, example)
    assert load_modules(tmp_path)  # sound before the change
    change(example, way, value)
    (tmp_path / "sarcoid.json").write_text(json.dumps(example), encoding="utf-8")
    found = problems(tmp_path)
    assert any("sarcoid.json" in one and words in one for one in found), found


def test_a_circle_is_named(tmp_path: Path, example: dict[str, Any]) -> None:
    example["conditions"][0]["risk"].append({"factor": "sarcoid_flare", "ratio": 2, "ever": True, "source": "one2020"})
    (one,) = problems(write(tmp_path, example))
    assert one.startswith("sarcoid.json: a circle: ")
    assert one.endswith(
        (
            "sarcoidosis hangs on sarcoid_flare hangs on sarcoidosis",
            "sarcoid_flare hangs on sarcoidosis hangs on sarcoid_flare",
        )
    )


def test_a_circle_through_a_treated_level_is_named(tmp_path: Path, example: dict[str, Any]) -> None:
    first = example["conditions"][0]
    second = {key: value for key, value in first.items() if key not in ("stages", "treatments")}
    second |= {"id": "other", "effects": [{"process": "bmd", "shift": -1, "source": "one2020"}]}
    second["risk"] = [{"factor": "sarcoidosis", "ratio": 2, "source": "one2020"}]
    first["risk"] = [{"factor": "bmd.treated", "ratio": 0.8, "per": 1, "start": 0, "source": "one2020"}]
    example["conditions"].append(second)
    (one,) = problems(write(tmp_path, example))
    assert (
        "other hangs on sarcoidosis hangs on other" in one or "sarcoidosis hangs on other hangs on sarcoidosis" in one
    )


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path, example: dict[str, Any]) -> None:
    other = copy.deepcopy(example) | {"module": "second"}
    for kind in ("conditions", "episodes"):
        for one in other[kind]:
            one["id"] += "_two"
    other["episodes"][0]["requires"] = ["sarcoidosis"]
    change(example, "conditions.0.risk.0.source", None)
    change(example, "conditions.0.colour", "red")
    change(other, "conditions.0.effects.0.process", "cpr")
    found = problems(write(tmp_path, example, other))
    assert len(found) == 3, found  # and none because sarcoidosis stands in a file that cannot be read as a module
    assert sum("sarcoid.json" in one for one in found) == 2
    assert sum("second.json" in one for one in found) == 1


# ---------------------------------------------------------------------- the page
def test_the_example_of_the_page_loads_and_is_short(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "simulator" / "modules.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```json\n(\{\n  \"module\": \"celiac\".*?\n\})\n```", page, flags=re.DOTALL)
    (codes,) = re.findall(r"```\n(system,code,display\n.*?)```", page, flags=re.DOTALL)
    assert len(text.splitlines()) <= 40
    (tmp_path / "celiac.json").write_text(text, encoding="utf-8")
    (tmp_path / "codes.csv").write_text(codes, encoding="utf-8")
    found = load_modules(tmp_path)
    assert found.home["celiac_disease"].module == "celiac"
    assert {"celiac_disease"} <= set(found.conditions)


def test_the_page_names_every_key() -> None:
    page = (ROOT / "docs" / "simulator" / "modules.md").read_text(encoding="utf-8")
    from ehrsatz.simulator import module as forms

    parts = [one for one in vars(forms).values() if isinstance(one, type) and issubclass(one, forms.Part)]
    keys = {key for part in parts for key in part.model_fields}
    lacking = sorted(key for key in keys if f"`{key}`" not in page)
    assert not lacking, f"docs/simulator/modules.md lacks: {', '.join(lacking)}"
