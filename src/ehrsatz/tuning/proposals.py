"""Which setting to try next: from all that was tried so far, by a sampler whose draws depend on the trial's number.

A proposal is a function of history, seed and number alone, so a search that was stopped and goes on proposes what it
would have proposed. The first trials are each generator's defaults, whatever the sampler. A setting that was tried
already is not tried again.

References
----------
Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011 (tree-structured Parzen estimator). Ozaki et
al., Multiobjective tree-structured Parzen estimator, JAIR 73 (2022), doi:10.1613/jair.1.13188. Akiba et al., Optuna,
KDD 2019, doi:10.1145/3292500.3330701 (the implementation used).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ehrsatz import registry
from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.extras import require
from ehrsatz.generators.space import Domain, Range, defaults_of
from ehrsatz.seeds import stream
from ehrsatz.tuning.space import MOST_GRID, Setting, Space

SAMPLERS = ("bayesian", "random", "grid")
WARM = 10  # trials before the Bayesian sampler has a model
_METHOD = "generator"
_TRIES = 40  # draws of a setting that was not tried yet; from the fifth on at random


@dataclass(frozen=True)
class Known:
    """A setting that was tried, as drawn, and how it did: one loss per objective, less is better.

    Parameters
    ----------
    drawn
        What the sampler drew, by its own names.
    losses
        One number per objective.
    """

    drawn: dict[str, Any]
    losses: tuple[float, ...]


def check_sampler(name: str) -> None:
    """Refuse a sampler that does not exist, or whose library is absent.

    Raises
    ------
    ScenarioError, MissingExtraError
        When there is none of this name; when it needs Optuna and that is not installed.
    """
    if name not in SAMPLERS:
        raise ScenarioError(
            f"Expected a sampler: {', '.join(SAMPLERS)}.",
            f"'{name}' is none of them.{nearest(name, SAMPLERS)}",
            "Correct the name.",
        )
    if name != "grid":
        require("optuna", extra="tune", feature=f"Tuning with the sampler '{name}'")


def propose(
    space: Space, sampler: str, history: Sequence[Known], tried: frozenset[str], *, seed: int, number: int
) -> tuple[Setting, dict[str, Any]] | None:
    """Return the setting of a trial and what was drawn for it; None where all settings were tried.

    Parameters
    ----------
    space
        What may be tried.
    sampler
        "bayesian", "random" or "grid".
    history
        What was tried before.
    tried
        Keys of these settings.
    seed
        Of the search.
    number
        Of the trial, from 0 on.
    """
    first = space.defaults()
    if number < len(first):
        return first[number], _usual(space, first[number])
    if sampler == "grid":
        return _untried(space, tried)
    for attempt in range(_TRIES):
        kind = sampler if attempt < 4 else "random"
        setting, drawn = _drawn(space, kind, history, int(stream(seed, "tuning", number, attempt).integers(2**31)))
        if setting.key not in tried:
            return setting, drawn
    size = space.size()
    return _untried(space, tried) if size is not None and size <= MOST_GRID else None


def _untried(space: Space, tried: frozenset[str]) -> tuple[Setting, dict[str, Any]] | None:
    return next(((one, _usual(space, one)) for one in space.grid() if one.key not in tried), None)


def _drawn(space: Space, sampler: str, history: Sequence[Known], seed: int) -> tuple[Setting, dict[str, Any]]:
    with _quiet() as optuna:
        if sampler == "random":
            engine = optuna.samplers.RandomSampler(seed=seed)
        else:
            engine = optuna.samplers.TPESampler(seed=seed, n_startup_trials=WARM)
        n = len(history[0].losses) if history else 1
        study = optuna.create_study(directions=["minimize"] * n, sampler=engine)
        places = _places(space, optuna.distributions)
        for one in history:
            kinds = {name: places[name] for name in one.drawn}
            study.add_trial(optuna.trial.create_trial(params=one.drawn, distributions=kinds, values=list(one.losses)))
        trial = study.ask()
        names = list(space.methods)
        name = names[trial.suggest_categorical(_METHOD, list(range(len(names))))]
        parameters = {key: _suggested(trial, f"{name}.{key}", one) for key, one in space.methods[name].items()}
        return space.setting(name, parameters), dict(trial.params)


def _suggested(trial: Any, name: str, domain: Domain) -> Any:
    """Return the value that a trial draws for a parameter; choices are drawn by their place in the list."""
    if not isinstance(domain, Range):
        return domain[trial.suggest_categorical(name, list(range(len(domain))))]
    if domain.is_whole:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    value = float(f"{trial.suggest_float(name, domain.low, domain.high, log=domain.log):.3g}")  # more digits: noise
    return min(max(value, domain.low), domain.high)


def _places(space: Space, kinds: Any) -> dict[str, Any]:
    """Return the distribution of every name that is drawn."""
    out = {_METHOD: kinds.CategoricalDistribution(list(range(len(space.methods))))}
    for name, domains in space.methods.items():
        for key, one in domains.items():
            if not isinstance(one, Range):
                out[f"{name}.{key}"] = kinds.CategoricalDistribution(list(range(len(one))))
            elif one.is_whole:
                out[f"{name}.{key}"] = kinds.IntDistribution(int(one.low), int(one.high), log=one.log)
            else:
                out[f"{name}.{key}"] = kinds.FloatDistribution(one.low, one.high, log=one.log)
    return out


def _usual(space: Space, setting: Setting) -> dict[str, Any]:
    """Return a setting by the sampler's names, without what lies outside of the space."""
    name = setting.generator
    whole = {**defaults_of(registry.find("generators", name)), **setting.parameters}
    out: dict[str, Any] = {_METHOD: list(space.methods).index(name)}
    for key, one in space.methods[name].items():
        if whole[key] in one:
            out[f"{name}.{key}"] = whole[key] if isinstance(one, Range) else one.index(whole[key])
    return out


@contextmanager
def _quiet() -> Iterator[Any]:
    """Give Optuna, without its lines about every study."""
    optuna: Any = require("optuna", extra="tune", feature="Tuning")
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)
