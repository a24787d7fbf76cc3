"""Autoencoder with a discriminator: what is special to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import UnsupportedError
from ehrsatz.generators.vaegan import Shown, VaeGan
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

torch = pytest.importorskip("torch")


def wards(n: int = 240) -> Dataset:
    """A ward, a number that follows from it, and a number with last that follows from the first."""
    rng = stream(22, "wards")
    ward = rng.choice(["heart", "skin"], n, p=[0.6, 0.4])
    pulse = np.round(np.where(ward == "heart", 95, 68) + rng.normal(0, 6, n), 1)
    dose = [None if ward[i] == "skin" else float(round(pulse[i] / 10 + rng.normal(0, 0.2), 2)) for i in range(n)]
    frame = pl.DataFrame({"ward": ward, "pulse": pulse, "dose": pl.Series(dose, dtype=pl.Float64)})
    columns = (Column("ward", "category"), Column("pulse", "number"), Column("dose", "number"))
    return Dataset(Schema("wards", (Table("wards", columns),)), {"wards": frame}, Provenance("real"))


@pytest.fixture(scope="module")
def model() -> VaeGan:
    return VaeGan(epochs=60, width=48, latent=6).fit(wards(), seed=1)


def test_recovers_the_joint(model: VaeGan) -> None:
    drawn = model.sample(1_000, seed=2).table
    assert (drawn["ward"] == "heart").mean() == pytest.approx(0.6, abs=0.06)
    heart, skin = drawn.filter(pl.col("ward") == "heart"), drawn.filter(pl.col("ward") == "skin")
    assert heart["pulse"].mean() - skin["pulse"].mean() > 20  # type: ignore[operator]
    assert heart["dose"].null_count() < 0.1 * heart.height and skin["dose"].null_count() > 0.9 * skin.height
    with pytest.raises(UnsupportedError, match="does not honour conditions"):
        model.sample(3, seed=1, given={"ward": "skin"})


def test_rows_are_shown_with_one_entry_per_level_and_silent_values_at_zero(model: VaeGan) -> None:
    shown, code = Shown(model, torch.device("cpu")), model.signals_
    n_values, channel = len(code.values), code.levels.index(2)
    levels = torch.zeros((4, len(code.sizes)), dtype=torch.int64)
    levels[2:, channel] = 1  # dose: missing
    smooth = torch.ones((4, n_values))
    smooth[2:, 1] = 0
    rows = shown.real(torch.ones((4, n_values)), levels, smooth)
    assert rows.shape == (4, n_values + sum(code.sizes))
    assert rows[:, 1].tolist() == [1, 1, 0, 0]
    assert (rows[:, n_values:].sum(1) == len(code.sizes)).all()
    spread, mean = torch.full((500, n_values), 1e-6), torch.ones((500, n_values))
    logits = torch.zeros((500, sum(code.sizes)), requires_grad=True)
    drawn = shown.drawn(mean, logits, spread)
    start = sum(code.sizes[:channel])
    smooth_share = drawn[:, n_values + start]
    assert torch.allclose(drawn[:, 1], smooth_share, atol=1e-3) and 0.4 < float(smooth_share.detach().mean()) < 0.6
    drawn[:, 1].sum().backward()
    assert float(logits.grad.abs().sum()) > 0  # what the discriminator says reaches the decoder


def test_its_weights_act() -> None:
    """Without a likelihood nothing is scored, and the discriminator's say changes what the decoder learns."""
    last = {}
    for elementwise, adversarial in ((0.0, 0.0), (0.0, 1.0)):
        made = VaeGan(epochs=10, width=32, latent=4, elementwise=elementwise, adversarial=adversarial)
        drawn = made.fit(wards(), seed=1)
        assert drawn.history_["best_epoch"] == 10
        last[adversarial] = drawn.net_.state_dict()["exit.layer.weight"]
    assert not torch.equal(last[0.0], last[1.0])


def test_a_stopped_training_goes_on_to_the_same_bytes_and_leaves_no_discriminator(tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("train") and done == 3:
            raise KeyboardInterrupt

    small = {"epochs": 6, "width": 16, "latent": 2}
    whole = VaeGan(**small).fit(wards(), seed=1)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        VaeGan(**small, checkpoint=str(tmp_path)).fit(wards(), seed=1, progress=stop)  # type: ignore[arg-type]
    resumed = VaeGan(**small, checkpoint=str(tmp_path)).fit(wards(), seed=1)  # type: ignore[arg-type]
    assert resumed.sample(20, seed=2).table.equals(whole.sample(20, seed=2).table)
    assert not any("opponent" in name for name in resumed.net_.state_dict())
