"""From a scenario to the folder of a finished search: read, search, write page, twin and scenario."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ehrsatz.capsule.write import check_target, staged
from ehrsatz.generators.base import Progress, silent
from ehrsatz.reading import read_scenario, target_of
from ehrsatz.scenario import Scenario
from ehrsatz.tuning.page import page
from ehrsatz.tuning.proposals import check_sampler
from ehrsatz.tuning.result import result
from ehrsatz.tuning.run import check_budget, tune
from ehrsatz.tuning.space import space


def study_of(folder: str | Path) -> Path:
    """Return where the study of a result folder lies where nothing else is said: beside it."""
    target = Path(folder)
    return target.with_name(f"{target.name}.study.jsonl")


def tune_files(
    scenario: Scenario,
    folder: str | Path,
    *,
    generators: Sequence[str] = (),
    search: Sequence[str] = (),
    study: str | Path | None = None,
    sampler: str = "bayesian",
    trials: int = 30,
    minutes: float | None = None,
    most_membership: float = 0.53,
    restart: bool = False,
    clock: Callable[[], float],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Search for settings of generators on a scenario's source and write what came of it.

    Parameters
    ----------
    scenario
        Its source, target, seed and share of subjects to learn from count, and its generator where none is named.
    folder
        For tuning.html, tuning.json and scenario.yaml; appears whole, or not at all.
    generators
        Names.
    search
        What to try instead of what the generators declare, as `ehrsatz.tuning.space.space` reads it.
    study
        File of the trials; beside the folder where None.
    sampler, trials, minutes, most_membership, restart, clock, progress
        As in `ehrsatz.tuning.run.tune`.

    Returns
    -------
    The search as plain JSON types, as tuning.json holds it.
    """
    show = progress or silent
    check_target(folder)
    check_budget(trials, minutes, most_membership)
    check_sampler(sampler)
    wanted = space(generators or (scenario.generator.name,), search)
    show("read", 0, 1)
    real = read_scenario(scenario)
    show("read", 1, 1)
    place = Path(study) if study is not None else study_of(folder)
    place.absolute().parent.mkdir(parents=True, exist_ok=True)
    tuned = tune(
        real,
        wanted,
        place,
        target=target_of(scenario),
        sampler=sampler,
        trials=trials,
        minutes=minutes,
        most_membership=most_membership,
        train_fraction=scenario.train_fraction,
        seed=scenario.seed,
        restart=restart,
        clock=clock,
        progress=show,
    )
    told = result(tuned)
    with staged(folder) as stage:
        (stage / "tuning.html").write_text(page(told), encoding="utf-8")
        text = json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False)
        (stage / "tuning.json").write_text(f"{text}\n", encoding="utf-8")
        if told["scenario"]:
            (stage / "scenario.yaml").write_text(told["scenario"], encoding="utf-8")
    return told
