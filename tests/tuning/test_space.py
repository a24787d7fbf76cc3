"""What a search may try: declared, asked for, refused; and which setting comes next."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz import registry
from ehrsatz.errors import EhrsatzError, MissingExtraError, ScenarioError, UnsupportedError
from ehrsatz.generators.build import generator
from ehrsatz.generators.space import Range, space_of
from ehrsatz.testing.base import random_state
from ehrsatz.tuning.proposals import WARM, Known, check_sampler, propose
from ehrsatz.tuning.space import Setting, Space, space

pytest.importorskip("optuna")


@pytest.mark.parametrize("name", [name for name in registry.names("generators") if name != "auto"])
def test_every_generator_takes_what_its_space_holds(name: str) -> None:
    found = space_of(registry.find("generators", name))
    for key, domain in found.items():
        for value in (domain.low, domain.high) if isinstance(domain, Range) else domain:
            generator(name, **{key: value})


def test_asked_values_take_the_place_of_declared_ones() -> None:
    made = space(["trees", "bayesnet"], ["trees.caution=0.5..2:log", "trees.n_trees=4,10", "bayesnet.max_parents=1..3"])
    assert made.methods["trees"]["caution"] == Range(0.5, 2, log=True)
    assert made.methods["trees"]["n_trees"] == (4, 10)
    assert made.methods["bayesnet"]["max_parents"] == Range(1, 3) and made.methods["bayesnet"]["max_parents"].is_whole
    assert space(["trees"], ["leaf=null,6"]).methods["trees"]["leaf"] == (None, 6)


@pytest.mark.parametrize(
    ("names", "asked", "words"),
    [
        (["trees"], "cautoin=1,2", "did you mean 'caution'"),
        (["trees"], "caution=2..1", "the smaller first"),
        (["trees"], "caution=0..1:log", "above 0"),
        (["trees"], "caution=a..b", "two numbers"),
        (["trees"], "caution=-1,2", "between"),
        (["trees"], "caution=SECRET", "a number"),
        (["trees"], "caution", "PARAMETER=VALUES"),
        (["trees"], "caution=", "PARAMETER=VALUES"),
        (["trees"], "bayesnet.smoothing=1,2", "none of them"),
        (["trees", "copula"], "caution=1,2", "several"),
        (["treees"], "", "did you mean 'trees'"),
        (["auto"], "", "by itself"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_any_work(names: list[str], asked: str, words: str) -> None:
    with pytest.raises(EhrsatzError) as told:
        space(names, [asked] if asked else [])
    assert words.lower() in str(told.value).lower() and "SECRET" not in str(told.value)


def test_a_grid_is_every_combination_once_and_has_an_end() -> None:
    made = space(["trees"], ["caution=1.0,2.0", "n_trees=4,10", "parents=20", "pull=0.0"])
    settings = list(made.grid())
    assert len(settings) == made.size() == 4
    assert {tuple(one.parameters.items()) for one in settings} == {
        (("n_trees", 4),),
        (("n_trees", 10),),
        (("caution", 2.0), ("n_trees", 4)),
        (("caution", 2.0), ("n_trees", 10)),
    }
    with pytest.raises(ScenarioError, match=r"trees\.caution"):
        list(space(["trees"]).grid())
    with pytest.raises(ScenarioError, match="at most 10,000"):
        list(space(["bayesnet"], ["smoothing=1.0", "max_groups=2..1000", "max_parents=0..20"]).grid())


def losses(setting: Setting) -> tuple[float, float]:
    """A valley at smoothing 1 and max_parents 2."""
    one = {"smoothing": 2.0, "max_parents": 3, **setting.parameters}
    far = abs(np.log(float(one["smoothing"]))) + abs(int(one["max_parents"]) - 2)
    return far, far + 0.1


def searched(made: Space, sampler: str, n: int, seed: int = 1) -> list[Setting]:
    known: list[Known] = []
    found: list[Setting] = []
    for number in range(n):
        tried = frozenset(one.key for one in found)
        one = propose(made, sampler, known, tried, seed=seed, number=number)
        if one is None:
            break
        found.append(one[0])
        known.append(Known(one[1], losses(one[0])))
    return found


@pytest.mark.parametrize("sampler", ["bayesian", "random"])
def test_proposals_repeat_by_seed_and_never_repeat_a_setting(sampler: str) -> None:
    made = space(["bayesnet", "copula"])
    n = WARM + 4
    first = searched(made, sampler, n)
    assert [one.key for one in first] == [one.key for one in searched(made, sampler, n)]
    assert [one.key for one in first] != [one.key for one in searched(made, sampler, n, seed=2)]
    assert len({one.key for one in first}) == n
    assert [one.words for one in first[:2]] == ["defaults", "defaults"] and first[1].generator == "copula"


def test_the_bayesian_sampler_goes_where_it_was_good() -> None:
    made = space(["bayesnet"], ["smoothing=0.1..100.0:log", "max_groups=12"])
    late = {name: np.mean([losses(one)[0] for one in searched(made, name, 30)[15:]]) for name in ("bayesian", "random")}
    assert late["bayesian"] < late["random"] - 0.3


def test_an_exhausted_space_ends_the_search() -> None:
    made = space(["copula"], ["max_bins=16,64"])
    for sampler in ("bayesian", "random", "grid"):
        assert sorted(one.words for one in searched(made, sampler, 9)) == ["defaults", "max_bins=16", "max_bins=64"]


def test_sampling_leaves_global_random_state_alone() -> None:
    before = random_state()
    searched(space(["bayesnet"]), "bayesian", WARM + 2)
    assert random_state() == before


def test_samplers_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ScenarioError, match="Did you mean 'bayesian'"):
        check_sampler("bayes")
    monkeypatch.setattr("ehrsatz.extras.is_available", lambda module: False)
    with pytest.raises(MissingExtraError, match=r"ehrsatz\[tune\]"):
        check_sampler("random")
    check_sampler("grid")
    with pytest.raises(UnsupportedError):
        space(["auto"])
