"""A scene of the bundled country: its world, its payers, and real lives as tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ehrsatz.simulator import frames
from ehrsatz.simulator.catalogue import catalogue
from ehrsatz.simulator.chart.assemble import records as charts
from ehrsatz.simulator.cohort import Cohort
from ehrsatz.simulator.knowledge import Known, known
from ehrsatz.simulator.lots import history
from ehrsatz.simulator.records import Book
from ehrsatz.simulator.scene import scene_of
from ehrsatz.simulator.shards import WORLD
from simulator import fake


@pytest.fixture(scope="module")
def us() -> Known:
    return known("us")


@pytest.fixture(scope="module")
def tables(us: Known) -> dict[str, pl.DataFrame]:
    scene = replace(scene_of(us.locale, us.modules, fake.BOOK, seed=3), display=fake.display)
    cohort = Cohort(128, (), (), fake.REFERENCE, 7)
    lives = history(us, cohort, np.arange(128))
    return dict(frames.dataset(fake.records(lives), lives, scene, fake.PROVENANCE, check=True).tables)


def test_the_world_has_every_region_payer_and_specialty(us: Known, tables: dict[str, pl.DataFrame]) -> None:
    assert set(tables["organization"]["region"]) == set(us.locale.regions)
    assert tables["payer"]["name"].to_list() == [payer.name for payer in us.locale.payers]
    named = {one.specialty for one in us.modules.order}
    assert named <= set(tables["practitioner"]["specialty"])
    assert tables["practitioner"]["identifier"].n_unique() == tables["practitioner"].height
    assert tables["organization"]["identifier"].n_unique() == tables["organization"].height


def test_real_lives_become_tables(us: Known, tables: dict[str, pl.DataFrame]) -> None:
    frame = tables["patient"]
    assert frame.height == 128 and frame["given_name"].null_count() == 0 and set(frame["country"]) == {"US"}
    assert {"mother", "child", "spouse"} <= set(tables["relation"]["relation"])
    covered = tables["coverage"].filter(pl.col("stop").is_null()).join(tables["payer"], on="payer_id")
    now = covered.join(frame, on="patient_id")
    assert now.height > 80 and (now["kind"] == now["insurance"]).all()


def test_the_world_is_the_same_every_time(us: Known) -> None:
    one, two = (scene_of(us.locale, us.modules, fake.BOOK, seed=3).world.tables for _ in range(2))
    assert all(frame.equals(two[name]) for name, frame in one.items())


def test_charts_do_not_hang_on_the_shard(us: Known) -> None:
    """Everything that care writes about a person is the same whoever else is simulated beside them."""
    cohort, book = Cohort(256, (), (), fake.REFERENCE, 7), Book()
    scene = scene_of(us.locale, us.modules, book, seed=3)

    def made(first: int, n: int) -> dict[str, pl.DataFrame]:
        lives = history(us, cohort, np.arange(first, first + n))
        found = frames.dataset(charts(lives, catalogue(), book), lives, scene, fake.PROVENANCE, check=True)
        return {name: frame for name, frame in found.tables.items() if name not in WORLD}

    second, first = made(128, 128), made(0, 128)  # in another order too: the book then grows otherwise
    differ = [name for name, frame in made(0, 256).items() if not frame.equals(pl.concat([first[name], second[name]]))]
    assert not differ
