"""Adversarial network over codes: prevalence and co-occurrence of diagnoses, refusals, what is kept."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.codecs.signals import encode_signals, learn_signals
from ehrsatz.codecs.table import learn_table, place_table
from ehrsatz.dataset import Dataset
from ehrsatz.errors import UnsupportedError
from ehrsatz.generators.independent import Independent
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

torch = pytest.importorskip("torch")

from ehrsatz.generators.medgan import Bits, MedGan  # noqa: E402

N_CODES = 40


def diagnoses(n: int, first: int = 0) -> Dataset:
    """Return n rows of forty diagnoses, yes or no, that four hidden burdens bring together."""
    rng = stream(3, "burdens")
    load = rng.normal(0, 1.5, (4, N_CODES)) * (rng.random((4, N_CODES)) < 0.4)
    base = rng.uniform(-3, 0, N_CODES)
    rows = stream(3, "rows", first)
    x = rows.random((n, N_CODES)) < 1 / (1 + np.exp(-(rows.normal(size=(n, 4)) @ load + base)))
    names = [f"code_{i:02d}" for i in range(N_CODES)]
    table = Table("codes", tuple(Column(name, "boolean", nullable=False) for name in names))
    return Dataset(Schema("codes", (table,)), {"codes": pl.DataFrame(x, names)}, Provenance("real"))


@pytest.fixture(scope="module")
def model() -> MedGan:
    return MedGan(epochs=40).fit(diagnoses(500), seed=1)


def shares(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Prevalence of each code, and the correlation of each pair."""
    x = data.table.to_numpy().astype(float)
    return x.mean(0), np.corrcoef(x.T)[np.triu_indices(N_CODES, 1)]


def test_prevalence_and_co_occurrence_are_met_and_independent_is_beaten(model):
    truth, pairs = shares(diagnoses(20_000, first=1))
    prevalence, together = shares(model.sample(4000, seed=2))
    other, alone = shares(Independent().fit(diagnoses(500), seed=1).sample(4000, seed=2))
    assert np.abs(prevalence - truth).mean() < 0.025  # 500 rows of the data are 0.015 away
    assert abs(np.abs(other - truth).mean() - np.abs(prevalence - truth).mean()) < 0.01
    assert np.corrcoef(together, pairs)[0, 1] > 0.75 > 0.2 > np.corrcoef(alone, pairs)[0, 1]
    assert np.abs(together - pairs).mean() < 0.75 * np.abs(alone - pairs).mean()


def test_conditions_are_refused_by_name(model):
    with pytest.raises(UnsupportedError, match=r"'medgan' does not honour conditions.*(trees|gan)"):
        model.sample(3, seed=1, given={"code_00": True})


def test_discriminator_is_not_kept(model, tmp_path):
    model.save(tmp_path / "model")
    with np.load(tmp_path / "model" / "weights.npz") as arrays:
        assert not [name for name in arrays if "discriminator" in name]


def measured(n: int = 150) -> Dataset:
    """Return rows of a level and of a number that follows it and is missing at times."""
    rng = stream(4, "measured")
    ward = rng.integers(0, 3, n)
    value = pl.Series("value", (ward + rng.normal(0, 1, n)).round(3)).set(pl.Series(rng.random(n) < 0.2), None)
    table = Table("rows", (Column("ward", "category", nullable=False), Column("value", "number")))
    frame = pl.DataFrame({"ward": [f"w{i}" for i in ward], "value": value})
    return Dataset(Schema("measured", (table,)), {"rows": frame}, Provenance("real"))


def test_parameters_act():
    def losses(**settings: int) -> list[float]:
        return MedGan(epochs=2, **settings).fit(measured(), seed=1).history_["losses"]

    plain = losses()
    for other in ({"latent": 8}, {"width": 16}, {"groups": 4}, {"batch": 20}):
        assert losses(**other) != plain, other


def test_bits_are_one_to_one_with_signals():
    data = measured()
    code = learn_table(data.table, data.schema.parent)
    atoms, position = place_table(code, data.table)
    signals = learn_signals(code, atoms, np.zeros(atoms.shape), rng=stream(1, "signals"))
    values, levels = encode_signals(signals, atoms, position)
    bits = Bits(signals, groups=8)
    rows = bits.write(values, levels)
    assert set(np.unique(rows)) == {0.0, 1.0}
    spread = bits.spread(np.where(rows > 0, 50.0, -50.0))
    start = 0
    for k, size in enumerate(signals.sizes):
        assert (spread[:, start : start + size].argmax(1) == levels[:, k]).all()
        start += size
    gap = code.names.index("value")  # no bit of a missing number is set
    c = signals.values.index(gap)
    ones = rows[:, bits.n_levels + 8 * c : bits.n_levels + 8 * (c + 1)].sum(1)
    assert (ones == (atoms[:, gap] >= 0)).all()
