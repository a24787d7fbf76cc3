"""What a run would take: timed on a small cut, scaled by rows, writing nothing."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ehrsatz.capsule.contents import MANIFEST, OWN, REPORTS
from ehrsatz.capsule.write import check_target
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Tables
from ehrsatz.generators.base import Progress, silent
from ehrsatz.generators.build import check_given, generator_of
from ehrsatz.generators.draw import check_room, draw
from ehrsatz.parts import SimulatorPart
from ehrsatz.pipeline import evaluate_plan, exporters_of, policy_of, prepare, read_scenario, under
from ehrsatz.scenario import Scenario

WARM = 60  # subjects of a first run that is not timed
CUT = 600  # subjects that a run is timed on
SMALL, LARGE = (
    64,
    256,
)  # patients of a simulated cohort that it is timed on: what a shard takes, and each of its patients
ROW_KB = 0.7  # memory per row of a shard: 1,024 patients of 1,200 rows took 1.1 GB
BASE_MB = 350  # resident size of a run on a tiny table: Python and the libraries


@dataclass(frozen=True)
class Estimate:
    """What a run would take, from timing it on a small cut.

    `seconds` are per step: learning and sampling scaled by subjects, measuring by the square root of subjects, because
    most of its parts compare at most a fixed number of rows (on public tables of 1,000 to 100,000 rows this comes out
    within a factor of two or three). `memory_mb` is a rule of thumb: the libraries, plus ten times the typed tables.
    """

    n_subjects: int
    n_rows: int
    n_columns: int
    n_cut: int
    seconds: Mapping[str, float]
    memory_mb: float
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "n_subjects": self.n_subjects,
            "n_rows": self.n_rows,
            "n_columns": self.n_columns,
            "timed_on_subjects": self.n_cut,
            "seconds": {step: round(value, 1) for step, value in self.seconds.items()},
            "memory_mb": round(self.memory_mb),
            "would_write": list(self.files),
        }

    def lines(self) -> list[tuple[str, str]]:
        """Return (what, how much) in words."""
        told = [(step, f"about {value:,.1f} s") for step, value in self.seconds.items()]
        total = sum(self.seconds.values())
        return [
            ("table", f"{self.n_subjects:,} subjects, {self.n_rows:,} rows, {self.n_columns:,} columns"),
            *told,
            ("all", f"about {total:,.0f} s, timed on {self.n_cut:,} subjects and scaled"),
            ("memory", f"about {self.memory_mb:,.0f} MB"),
            ("would write", ", ".join(self.files)),
        ]


def estimate(scenario: Scenario | None = None, *, progress: Progress | None = None) -> Estimate:
    """Run a scenario on a small cut of its subjects, time the steps and scale them; nothing is written.

    Parameters
    ----------
    scenario, progress
        As in `fabricate`.

    Raises
    ------
    EhrsatzError
        Everything that a run would refuse before its gate.
    """
    plan = scenario or Scenario()
    show = progress or silent
    _, exporters, engine = prepare(plan)
    clock = _Clock()
    real = read_scenario(plan)
    check_given(plan.given, real.schema, engine)
    clock.lap("read")
    wanted = plan.n or max(1, round(plan.train_fraction * real.n_subjects))
    check_room(wanted, real.schema, {name: frame.height / real.n_subjects for name, frame in real.tables.items()})
    warm = _cut(real, WARM, plan.seed)  # first use of a library is slow, and happens once
    generator_of(plan).fit(warm, seed=plan.seed).sample(1, seed=plan.seed)
    cut = _cut(real, CUT, plan.seed)
    n_cut = cut.n_subjects
    train, holdout = cut.split(plan.train_fraction, seed=plan.seed)
    clock.start()
    engine.fit(train, seed=plan.seed, progress=under(show, "fit"))
    clock.lap("fit")
    n_drawn = min(wanted, n_cut)
    synthetic = draw(engine, n_drawn, seed=plan.seed, given=plan.given, progress=progress)
    clock.lap("sample")
    evaluate_plan(plan, train, holdout, synthetic, show)
    clock.lap("evaluate")
    scale = {"read": 1.0, "fit": real.n_subjects / n_cut, "sample": wanted / n_drawn}
    scale["evaluate"] = math.sqrt((real.n_subjects + wanted) / (n_cut + n_drawn))
    cells = sum(frame.estimated_size() for frame in real.tables.values()) / 2**20 * (1 + wanted / real.n_subjects)
    data: list[str] = []
    for one in exporters:
        if isinstance(one, Tables):
            data += [f"data/{one.file_name(table.name)}" for table in real.schema.tables]
        else:
            data.append(f"data/{one.place}/")
    return Estimate(
        real.n_subjects,
        real.n_rows,
        sum(len(table.columns) for table in real.schema.tables),
        n_cut,
        {step: taken * scale[step] for step, taken in clock.seconds.items()},
        BASE_MB + 10 * cells,
        (*data, *sorted(("dossiers/", *OWN, *REPORTS, MANIFEST))),
    )


@dataclass(frozen=True)
class CohortEstimate:
    """What a simulated cohort would take, from making some of its patients.

    `rows` and `megabytes` are scaled from the first patients of the cohort, `seconds` likewise, over `workers`
    processes; `memory_mb` is of one process, a rule of thumb for its largest shard.
    """

    n: int
    n_timed: int
    rows: float
    megabytes: Mapping[str, float]
    seconds: Mapping[str, float]
    memory_mb: float
    workers: int
    free_mb: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "n_subjects": self.n,
            "n_rows": round(self.rows),
            "timed_on_subjects": self.n_timed,
            "megabytes": {name: round(value, 1) for name, value in self.megabytes.items()},
            "seconds": {step: round(value, 1) for step, value in self.seconds.items()},
            "memory_mb": round(self.memory_mb),
            "free_mb": round(self.free_mb),
        }

    def lines(self) -> list[tuple[str, str]]:
        """Return (what, how much) in words."""
        size = sum(self.megabytes.values())
        fits = "" if size < self.free_mb else f": more than the {self.free_mb:,.0f} MB that are free"
        each = "" if self.workers == 1 else f" each of {self.workers}"
        return [
            ("cohort", f"{self.n:,} patients, about {self.rows:,.0f} rows, {self.rows / self.n:,.0f} a patient"),
            *((name, f"about {value:,.0f} MB") for name, value in self.megabytes.items()),
            ("disk", f"about {size:,.0f} MB{fits}"),
            *((step, f"about {value:,.1f} s") for step, value in self.seconds.items()),
            ("all", f"about {sum(self.seconds.values()):,.0f} s, timed on {self.n_timed} patients and scaled"),
            ("memory", f"about {self.memory_mb:,.0f} MB{each}, whatever the number of patients"),
        ]


def estimate_cohort(plan: Scenario) -> CohortEstimate:
    """Make some patients of a simulated cohort, time it and scale it; what is written for that is removed at once.

    Parameters
    ----------
    plan
        With a simulator's part.

    Raises
    ------
    EhrsatzError
        Everything that a run would refuse before its first patient, but for a disk without room, which is told.
    """
    from ehrsatz.clinical import WORLD
    from ehrsatz.evaluation.plausibility.shard import statistics
    from ehrsatz.simulation import maker
    from ehrsatz.simulator.shards import size_of

    policy_of(plan)
    exporters = exporters_of(plan.output.formats, plan.settings)
    check_target(plan.output.folder)
    part, n = plan.simulator or SimulatorPart(), plan.n_patients
    texts = any(one.needs == "clinical" for one in exporters)
    size = size_of(part.record_years, n, steered=bool(part.groups), texts=texts)
    clock = _Clock()
    make = maker(part, n, plan.seed)
    make.dataset(0, min(n, SMALL))  # first use of a library is slow, and happens once
    clock.lap("start")
    make.dataset(0, min(n, SMALL))
    clock.lap("small")
    made = make.dataset(0, min(n, LARGE))
    clock.lap("large")
    statistics(made, part, 0)
    clock.lap("measure")
    own = [name for name in made.tables if name not in WORLD]
    wanted = [name for name in own if not part.only or name in part.only]
    n_timed, n_small = min(n, LARGE), min(n, SMALL)
    sizes = {}
    with TemporaryDirectory() as folder:
        for one in exporters:
            files = one.write(made, Path(folder) / one.name, part=0, tables=wanted)
            sizes[one.name] = sum(path.stat().st_size for path in files) / 2**20 * n / n_timed
    clock.lap("write")
    took = clock.seconds
    apiece = max(took["large"] - took["small"], 0.0) / max(n_timed - n_small, 1) or took["large"] / n_timed
    shard = max(took["large"] - apiece * n_timed, 0.0)  # seconds that a shard takes whatever its patients
    per = sum(made.tables[name].height for name in own) / n_timed
    scale = n / n_timed / plan.workers
    return CohortEstimate(
        n,
        n_timed,
        sum(made.tables[name].height for name in wanted) / n_timed * n,
        sizes,
        {
            "start": took["start"],
            "simulate": (math.ceil(n / size) * shard + n * apiece) / plan.workers,
            "measure": took["measure"] * scale,
            "write": took["write"] * scale,
        },
        BASE_MB + ROW_KB * per * min(n, size) / 1024,
        plan.workers,
        shutil.disk_usage(_existing(Path(plan.output.folder).absolute())).free / 2**20,
    )


def _existing(path: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def _cut(dataset: Dataset, n: int, seed: int) -> Dataset:
    """Return n subjects, or all where there are fewer."""
    return dataset if dataset.n_subjects <= n else dataset.split(n / dataset.n_subjects, seed=seed)[0]


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        self.last = time.perf_counter()

    def lap(self, step: str) -> None:
        self.seconds[step] = time.perf_counter() - self.last
        self.start()
