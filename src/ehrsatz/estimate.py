"""What a run would take: timed on a small cut, scaled by rows, writing nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ehrsatz.capsule.contents import KNOWN, MANIFEST, OWN
from ehrsatz.dataset import Dataset
from ehrsatz.generators.base import Progress, silent
from ehrsatz.generators.build import check_given, generator_of
from ehrsatz.generators.draw import check_room, draw
from ehrsatz.pipeline import evaluate_plan, prepare, read_scenario, under
from ehrsatz.scenario import Scenario

WARM = 60  # subjects of a first run that is not timed
CUT = 600  # subjects that a run is timed on
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
    data = [f"data/{one.file_name(table.name)}" for one in exporters for table in real.schema.tables]
    return Estimate(
        real.n_subjects,
        real.n_rows,
        sum(len(table.columns) for table in real.schema.tables),
        n_cut,
        {step: taken * scale[step] for step, taken in clock.seconds.items()},
        BASE_MB + 10 * cells,
        (*data, *sorted(("dossiers/", *OWN, *KNOWN, MANIFEST))),
    )


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
