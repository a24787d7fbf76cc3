"""Patients from knowledge alone: `simulate` for a dataset in memory, `make` for the shards of a run.

A cohort is simulated in shards of 256 to 2,048 patients. A shard depends on the scenario and the seed alone; what all
shards share (modules, the country, codes, the world of providers) is read once in each process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ehrsatz import __version__, clinical
from ehrsatz.dataset import Dataset
from ehrsatz.errors import ScenarioError, nearest
from ehrsatz.parts import SimulatorPart
from ehrsatz.provenance import Provenance, Step
from ehrsatz.scenario import Scenario
from ehrsatz.simulator import missing
from ehrsatz.simulator.aggregates import read_aggregates
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.chart.assemble import records
from ehrsatz.simulator.cohort import Cohort, understand
from ehrsatz.simulator.conflicts import refuse
from ehrsatz.simulator.edges import Case, chosen, size
from ehrsatz.simulator.edges.lives import Stage, placed
from ehrsatz.simulator.frames import Scene, dataset
from ehrsatz.simulator.knowledge import Known, known, mark
from ehrsatz.simulator.lots import history
from ehrsatz.simulator.module import Screening
from ehrsatz.simulator.pull import calibrated
from ehrsatz.simulator.records import Book
from ehrsatz.simulator.scene import scene_of
from ehrsatz.simulator.shards import SIZE, Shard
from ehrsatz.simulator.solve import complete

MOST_AT_ONCE = 50_000  # patients that `simulate` holds in memory


@dataclass(frozen=True)
class Setting:
    """Everything that the shards of a run share.

    Parameters
    ----------
    known
        Knowledge, with all rates solved.
    cohort
        Who must be what.
    scene
        Names, codes, units, the world of providers.
    book
        Texts and codes that records point to.
    provenance
        Of the run.
    gaps
        What is left out of the records.
    edges
        Edge cases that the first patients are.
    """

    known: Known
    cohort: Cohort
    scene: Scene
    book: Book
    provenance: Provenance
    gaps: tuple[missing.Gap, ...] = ()
    edges: tuple[Case, ...] = ()


@dataclass(frozen=True)
class Maker:
    """Makes shards; it travels to other processes as the plain text of its scenario.

    Parameters
    ----------
    part
        JSON of the simulator's part of the scenario.
    n, seed
        Size and seed of the cohort.
    statistics
        What to count in a shard: (dataset, reference date) -> plain JSON types; None: nothing.
    """

    part: str
    n: int
    seed: int
    statistics: Callable[[Dataset, SimulatorPart, int], Mapping[str, Any]] | None = None

    def __call__(self, first: int, n: int) -> Shard:
        """Return the shard of the patients first .. first + n - 1."""
        made = self.dataset(first, n)
        plan = SimulatorPart.model_validate_json(self.part)
        return Shard(made, {} if self.statistics is None else partial(self.statistics, made, plan, first))

    def dataset(self, first: int, n: int) -> Dataset:
        """Return the records of the patients first .. first + n - 1."""
        here = setting(self.part, self.n, self.seed)
        lives = history(here.known, here.cohort, np.arange(first, first + n, dtype=np.int64))
        whole = records(lives, catalogue(), here.book, _screenings(here.known), here.scene.country)
        left = missing.leave_out(here.gaps, whole, lives, catalogue(), here.book)
        made = dataset(left, lives, here.scene, here.provenance)
        if not here.edges or first > 0:
            return made
        stage = Stage(
            here.known, here.scene, here.book, here.gaps, _screenings(here.known), here.provenance, here.cohort
        )
        return placed(made, here.edges, stage)


def setting(part: str, n: int, seed: int) -> Setting:
    """Read what the shards of a run share, and refuse a cohort that cannot be.

    Parameters
    ----------
    part
        JSON of a `SimulatorPart`.
    n, seed
        Size and seed of the cohort.

    Raises
    ------
    EhrsatzError
        When a module, a locale or another file is wrong, or a quota cannot be met.
    """
    plan = SimulatorPart.model_validate_json(part)
    files = (plan.modules, plan.calibration, plan.cpt)
    return _setting(part, n, seed, tuple(_content(Path(one)) for one in files if one is not None))


@lru_cache(maxsize=2)
def _setting(part: str, n: int, seed: int, contents: tuple[str, ...]) -> Setting:
    """Return the setting of a part whose files have these contents: what was changed meanwhile is read anew."""
    plan = SimulatorPart.model_validate_json(part)
    _check_tables(plan.only)
    gaps = missing.understand(plan.missing, catalogue())
    edges = chosen(plan.edge_cases)
    about = knowledge(plan.locale, plan.modules, tuple(plan.prevalence.items()), plan.calibration, contents)
    from ehrsatz import terminology

    codes = terminology.codes()
    if plan.modules is not None and (Path(plan.modules) / "codes.csv").is_file():
        codes = codes.with_file(Path(plan.modules) / "codes.csv")
    cohort = understand(
        plan,
        n,
        seed,
        about.engine.entities,
        about.engine.base,
        lambda code: codes.display(clinical.RXNORM, code),
        reserved=size(plan.edge_cases),
    )
    book = Book()
    cpt = {}
    if plan.cpt is not None:
        from ehrsatz.terminology.cpt import read_map

        cpt = read_map(plan.cpt)
    scene = scene_of(about.locale, about.modules, book, seed=seed, codes=codes, cpt=cpt)
    step = Step(
        "simulate",
        "simulator",
        __version__,
        {"locale": about.locale.id, "n": n, "fingerprint": fingerprint(plan, n, seed, about)},
        seed,
    )
    if missing.is_driven(gaps):  # the first patients say where the middles are, however many there will be
        first = min(n, missing.PATIENTS) if plan.groups else missing.PATIENTS
        lives = history(about, cohort, np.arange(first, dtype=np.int64))
        whole = records(lives, catalogue(), book, _screenings(about))
        gaps = missing.learned(gaps, whole, lives, catalogue(), book)
    return Setting(about, cohort, scene, book, Provenance("simulated", (step,)), gaps, edges)


def _check_tables(only: tuple[str, ...]) -> None:
    known = [table.name for table in clinical.schema().tables]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise ScenarioError(
            f"Expected tables to write of: {', '.join(known)}.",
            f"'{unknown[0]}' is none of them.{nearest(unknown[0], known)}",
            "Name one of these.",
        )


def _screenings(about: Known) -> list[Screening]:
    return [one for module in about.modules.modules.values() for one in module.screenings]


@lru_cache(maxsize=2)
def knowledge(
    locale: str,
    modules: str | None,
    adults: tuple[tuple[str, float], ...],
    calibration: str | None = None,
    contents: tuple[str, ...] = (),
) -> Known:
    """Return all knowledge with its rates solved, pulled to the figures of a scenario; its `fit` says how well.

    Parameters
    ----------
    locale, modules, calibration
        As in a `SimulatorPart`.
    adults
        Condition and the share of living adults that has it.
    contents
        Hashes of the files: another content is read anew.

    Raises
    ------
    EhrsatzError
        When a file is wrong, or figures cannot be met.
    """
    about = known(locale, modules)
    told = None if calibration is None else read_aggregates(calibration)
    refuse(about, told, dict(adults))  # before anything takes time
    about = complete(about)
    return calibrated(about, told, dict(adults)) if adults or told is not None else about


def maker(
    part: SimulatorPart,
    n: int,
    seed: int,
    statistics: Callable[[Dataset, SimulatorPart, int], Mapping[str, Any]] | None = None,
) -> Maker:
    """Return what makes the shards of a cohort, after checking that it can be made.

    Raises
    ------
    EhrsatzError
        As `setting`.
    """
    made = Maker(part.model_dump_json(), n, seed, statistics)
    setting(made.part, n, seed)
    return made


def fingerprint(part: SimulatorPart, n: int, seed: int, about: Known) -> str:
    """Return a hash of all that decides a cohort: scenario, seed, size, version, modules, solved rates."""
    told = part.model_dump(mode="json")
    for name in ("modules", "calibration", "cpt"):
        if told[name] is not None:
            told[name] = _content(Path(told[name]))
    if not part.edge_cases:
        del told["edge_cases"]
    facts = [__version__, told, n, seed, [(one.id, mark(one)) for one in about.engine.entities]]
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _content(path: Path) -> str:
    digest = sha256()
    for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if one.is_file():
            digest.update(one.read_bytes())
    return digest.hexdigest()[:16]


def simulate(
    scenario: Scenario | str | None = None, *, n: int | None = None, seed: int | None = None, **parts: Any
) -> Dataset:
    """Return simulated patients as a dataset of the clinical schema.

    Parameters
    ----------
    scenario
        A scenario, or the name of a bundled one; `clinic` where None.
    n
        Patients; the scenario's own where None.
    seed
        Likewise.
    parts
        Keys of the simulator's part to change, as in locale="uk", record_years=3.

    Raises
    ------
    EhrsatzError
        When the scenario is wrong, or cannot be met.

    Examples
    --------
    >>> import ehrsatz
    >>> people = ehrsatz.simulate(n=20, seed=7)
    >>> people.n_subjects, people.provenance.origin
    (20, 'simulated')
    """
    plan = Scenario.cohort(scenario or "clinic") if scenario is None or isinstance(scenario, str) else scenario
    plan = plan.changed({"n": n, "seed": seed, **{f"simulator.{key}": value for key, value in parts.items()}})
    size = plan.n or 1_000
    if size > MOST_AT_ONCE:
        raise ScenarioError(
            f"Expected at most {MOST_AT_ONCE:,} patients in memory.",
            f"{size:,} are asked for.",
            "Write them to a folder instead: ehrsatz fabricate, or ehrsatz.fabricate(scenario).",
        )
    make = maker(plan.simulator or SimulatorPart(), size, plan.seed)
    parts_ = [make.dataset(first, min(SIZE, size - first)) for first in range(0, size, SIZE)]
    return joined(parts_)


def joined(parts: list[Dataset]) -> Dataset:
    """Return shards as one dataset; tables of the world, which are the same in each, once."""
    if len(parts) == 1:
        return parts[0]
    tables = {
        table.name: parts[0].tables[table.name]
        if table.name in clinical.WORLD
        else pl.concat([part.tables[table.name] for part in parts])
        for table in clinical.schema().tables
    }
    return Dataset.trusted(clinical.schema(), tables, parts[0].provenance)
