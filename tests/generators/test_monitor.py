"""The watch over lost modes: fair on rows of the same kind, loud on collapse, never by chance alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.codecs.table import TableCode, encode_table, learn_table
from ehrsatz.generators.monitor import FAIR, Watch
from ehrsatz.schema import Column, Table
from ehrsatz.seeds import stream

COLUMNS = (*(Column(f"x{i}", "number") for i in range(4)), Column("site", "category"), Column("gap", "number"))


def rows(n: int, name: str) -> pl.DataFrame:
    """Four numbers close to one line, sites that follow from them, a number with gaps at one site."""
    rng = stream(31, name)
    base = rng.normal(0, 1, n)
    site = np.where(base > 0.5, "a", np.where(rng.random(n) < 0.5, "b", "c"))
    frame = {f"x{i}": np.round(base + rng.normal(0, 0.1, n), 3) for i in range(4)}
    gap = [None if one == "a" else float(round(x, 2)) for one, x in zip(site, rng.normal(0, 1, n))]
    return pl.DataFrame({**frame, "site": site, "gap": pl.Series(gap, dtype=pl.Float64)})


@pytest.fixture(scope="module")
def watched() -> tuple[TableCode, Watch]:
    data = rows(300, "real")
    code = learn_table(data, Table("t", COLUMNS))
    atoms = encode_table(code, data)
    return code, Watch(code, atoms[:250], atoms[250:])


def test_rows_of_the_same_kind_cover(watched: tuple[TableCode, Watch]) -> None:
    code, watch = watched
    seen = watch.look(encode_table(code, rows(300, "others")))
    assert seen.coverage > 0.9 and not seen.is_lost
    assert watch.n_wanted == 300


def test_columns_that_come_apart_do_not(watched: tuple[TableCode, Watch]) -> None:
    code, watch = watched
    atoms = encode_table(code, rows(300, "others"))
    rng = stream(32, "shuffled")
    for d in range(atoms.shape[1]):
        atoms[:, d] = rng.permutation(atoms[:, d])
    seen = watch.look(atoms)
    assert seen.coverage < 0.6 and seen.is_lost


def test_half_of_the_rows_lost_is_seen(watched: tuple[TableCode, Watch]) -> None:
    code, watch = watched
    data = rows(900, "others")
    kept = data.filter(pl.col("site") != "a").head(300)
    assert watch.look(encode_table(code, kept)).is_lost


def test_repeated_rows_are_counted(watched: tuple[TableCode, Watch]) -> None:
    code, watch = watched
    atoms = encode_table(code, rows(100, "others"))
    assert watch.look(np.concatenate([atoms, atoms, atoms])).repeated == pytest.approx(2 / 3, abs=0.01)


def test_chance_is_allowed_for_by_the_number_of_rows() -> None:
    data = rows(60, "few")
    code = learn_table(data, Table("t", COLUMNS))
    atoms = encode_table(code, data)
    few = Watch(code, atoms[:50], atoms[50:]).look(atoms)
    assert few.chance == pytest.approx(2 * (FAIR * (1 - FAIR) / 60) ** 0.5)
    assert few.coverage == 1.0  # rows are their own neighbours
