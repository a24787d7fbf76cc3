"""Variational autoencoder: what is special to it, and the parts that it shares with other autoencoding families."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import ScenarioError, UnsupportedError
from ehrsatz.generators.aggregate import learn_aggregate
from ehrsatz.generators.independent import Independent
from ehrsatz.generators.vae import Vae
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

pytest.importorskip("torch")


def blood(n: int = 240) -> Dataset:
    """Two numbers close to one line, a third that turns with the group, and a group of unequal shares."""
    rng = stream(21, "blood")
    group = rng.choice(["well", "ill"], n, p=[0.7, 0.3])
    base = rng.normal(0, 1, n) + 2.5 * (group == "ill")
    frame = pl.DataFrame(
        {
            "radius": np.round(10 + 2 * base, 3),
            "girth": np.round(62.8 + 12.5 * base + rng.normal(0, 1.0, n), 3),
            "change": np.round(np.where(group == "ill", 1, -1) * base + rng.normal(0, 0.5, n), 3),
            "group": group,
        }
    )
    columns = tuple(Column(name, "category" if name == "group" else "number") for name in frame.columns)
    return Dataset(Schema("blood", (Table("blood", columns),)), {"blood": frame}, Provenance("real"))


@pytest.fixture(scope="module")
def model() -> Vae:
    return Vae(epochs=150, width=64, latent=8).fit(blood(), seed=1)


def close(frame: pl.DataFrame) -> float:
    return float(np.corrcoef(frame["radius"], frame["girth"])[0, 1])


def test_recovers_the_joint(model: Vae) -> None:
    drawn = model.sample(2_000, seed=2).table
    assert (drawn["group"] == "ill").mean() == pytest.approx(0.3, abs=0.05)
    for group, sign in (("well", -1), ("ill", 1)):
        part = drawn.filter(pl.col("group") == group)
        assert sign * float(np.corrcoef(part["radius"], part["change"])[0, 1]) > 0.5
    assert close(drawn) > 0.97  # of the data: 0.997
    assert close(Independent().fit(blood(), seed=1).sample(2_000, seed=2).table) < 0.2


def test_residuals_carry_what_codes_do_not(model: Vae) -> None:
    """With one dimension of code, the two close numbers hang together by the correlation of residuals alone."""
    narrow = Vae(epochs=40, width=32, latent=1, beta=20).fit(blood(), seed=1)
    root = narrow.expost_.root
    assert abs(float((root @ root.T)[0, 1])) > 0.8
    assert close(narrow.sample(1_000, seed=2).table) > 0.9


def test_margins_are_those_of_the_data(model: Vae) -> None:
    real, drawn = blood().table, model.sample(2_000, seed=3).table
    for name in ("radius", "girth", "change"):
        spread = float(real[name].std())  # type: ignore[arg-type]
        for at in (0.1, 0.5, 0.9):
            assert drawn[name].quantile(at) == pytest.approx(real[name].quantile(at), abs=0.2 * spread)


def test_covers_what_it_learned_from(model: Vae) -> None:
    assert model.history_["coverage"] >= 0.8


def test_refuses_conditions(model: Vae) -> None:
    with pytest.raises(UnsupportedError, match="does not honour conditions"):
        model.sample(3, seed=1, given={"group": "ill"})


def test_numbers_as_modes() -> None:
    modes = Vae(epochs=60, width=64, latent=8, numbers="modes").fit(blood(), seed=1)
    assert any(one.form == "modes" for one in modes.signals_.signals)
    assert not len(modes.expost_.knots)
    assert close(modes.sample(1_000, seed=2).table) > 0.6  # looser than quantiles: which mode a value takes is chance
    with pytest.raises(ScenarioError, match="quantile or modes"):
        Vae(numbers="ranks").fit(blood(), seed=1)


def apart(model: Vae) -> float:
    """How far codes of rows, means and spreads of the fitted mixture, lie from N(0, I)."""
    draw = stream(5, "codes")
    codes = model.expost_.aggregate.draw(draw.normal(size=(4_000, model.latent)), draw.random(4_000))
    covariance = np.cov(codes.T)
    return float((codes.mean(axis=0) ** 2).sum() + ((covariance - np.eye(model.latent)) ** 2).sum()) ** 0.5


def test_an_adversary_draws_the_aggregate_posterior_to_the_prior() -> None:
    """As in an adversarial autoencoder, with hardly any divergence: the adversary has to do it."""
    without, with_it = (
        Vae(epochs=40, width=32, latent=3, beta=0.02, adversarial=weight).fit(blood(), seed=1) for weight in (0.0, 2.0)
    )
    assert apart(with_it) < 0.7 * apart(without)
    assert set(with_it.net_.state_dict()) == set(without.net_.state_dict())  # the adversary is not kept


def test_aggregate_finds_the_clusters_of_codes() -> None:
    rng = stream(6, "clusters")
    centre = np.array([[-3.0, 0.0], [3.0, 1.0]])[(rng.random(400) < 0.25).astype(int)]
    mean = centre + 0.3 * rng.normal(size=(400, 2))
    found = learn_aggregate(mean, np.full((400, 2), 0.2), rng)
    assert len(found.weight) >= 2
    codes = found.draw(rng.normal(size=(4_000, 2)), rng.random(4_000))
    assert (codes[:, 0] > 0).mean() == pytest.approx(0.25, abs=0.06)
    assert (np.abs(codes[:, 0]) < 1).mean() < 0.05  # a single normal has a third of its mass there
    few = learn_aggregate(mean[:40], np.full((40, 2), 0.2), rng)
    assert len(few.weight) == 1  # a component stands for 30 subjects or more


def test_likelihood_of_all_channels_at_once() -> None:
    import torch

    from ehrsatz.generators.nets import cross_entropy

    chance = torch.Generator().manual_seed(0)
    sizes = (2, 3, 4)
    logits = 5 * torch.randn(50, 9, generator=chance)
    levels = torch.stack([torch.randint(0, size, (50,), generator=chance) for size in sizes], 1)
    found, start = cross_entropy(logits, levels, sizes), 0
    for k, size in enumerate(sizes):
        part = torch.log_softmax(logits[:, start : start + size], dim=1).gather(1, levels[:, k : k + 1])[:, 0]
        assert torch.allclose(found[:, k], -part, atol=1e-5)
        start += size


def test_learning_goes_on_from_a_saved_model(model: Vae, tmp_path: Path) -> None:
    """A rare group: its margins are those of the few rows, the rest is what was learned before."""
    model.save(tmp_path / "common")
    ill = blood(900).table.filter(pl.col("group") == "ill").head(60)
    few = Dataset(blood().schema, {"blood": ill}, Provenance("real"))
    adapted = Vae(start=str(tmp_path / "common"), width=64, latent=8, epochs=30).fit(few, seed=1)
    drawn = adapted.sample(1_000, seed=2).table
    assert float((drawn["group"] == "ill").sum()) > 850
    assert drawn["radius"].mean() == pytest.approx(ill["radius"].mean(), abs=1.0)
    assert not len(adapted.expost_.knots)
