"""Smaller networks: what is stored comes back the same, the cost is told, what cannot be shrunk is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import make_tidy  # noqa: E402
from ehrsatz.errors import DataError, ModelError, OutputError, ScenarioError, UnsupportedError  # noqa: E402
from ehrsatz.generators import nets, shrink  # noqa: E402
from ehrsatz.generators.base import load_any  # noqa: E402
from ehrsatz.generators.build import generator  # noqa: E402
from ehrsatz.seeds import stream  # noqa: E402
from ehrsatz.shrinking import shrink_model  # noqa: E402


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted network and the rows it learned from."""
    place = tmp_path_factory.mktemp("shrink")
    data = make_tidy(120)
    data.table.write_csv(place / "real.csv")
    generator("vae", epochs=15, device="cpu").fit(data, seed=1).save(place / "model")
    return place


def test_eight_bits_come_back_the_same_and_near() -> None:
    rng = stream(1, "weights")
    weight = (rng.normal(0, 1, (40, 30)) * np.exp(rng.normal(0, 2, (40, 1)))).astype(np.float32)
    once = shrink.unpack(shrink.pack({"w": weight}))["w"]
    assert (shrink.unpack(shrink.pack({"w": once}))["w"] == once).all()
    assert (np.abs(once - weight).max(axis=1) <= np.abs(weight).max(axis=1) / 250).all()
    small = {"b": np.ones((4, 4), np.float32)}
    assert shrink.pack(small) == small


def test_a_quantised_layer_is_near_the_layer_and_exact_in_any_order() -> None:
    with nets.chance(1, "layer"):
        layer, x = torch.nn.Linear(64, 32), torch.randn(50, 64)
    made = shrink.QuantisedLinear.of(layer)
    with torch.no_grad():
        assert (made(x) - layer(x)).abs().max() < 0.05
        order = torch.from_numpy(stream(1, "order").permutation(64))
        turned = shrink.QuantisedLinear.of(layer)
        turned.weight.copy_(made.weight[:, order])
        assert torch.equal(turned(x[:, order]), made(x))


def test_pruning_takes_the_smallest() -> None:
    with nets.chance(1, "layer"):
        net = torch.nn.Sequential(torch.nn.Linear(20, 10))
    before = net[0].weight.detach().clone()
    assert shrink.prune(net, 0.6) == 120
    kept = net[0].weight != 0
    assert before[kept].abs().min() >= before[~kept].abs().max()


@pytest.mark.parametrize(("bits", "prune"), [(8, 0.0), (8, 0.3), (None, 0.3)])
def test_a_smaller_model_is_saved_loaded_and_measured(
    saved: Path, tmp_path: Path, bits: int | None, prune: float
) -> None:
    done = shrink_model(saved / "model", tmp_path / "small", saved / "real.csv", bits=bits, prune=prune)
    assert done.bytes_after < done.bytes_before * (0.45 if bits else 1.0)
    assert done.distance_after < done.distance_before + 0.1
    small, whole = load_any(tmp_path / "small"), load_any(saved / "model")
    whole.shrink(bits=bits, prune=prune)  # type: ignore[attr-defined]
    assert small.sample(40, seed=3).table.equals(whole.sample(40, seed=3).table)
    head = json.loads((tmp_path / "small" / "generator.json").read_text())
    assert head["facts"]["shrunk"] == {"bits": bits, "pruned": prune}


def test_what_cannot_be_shrunk_is_refused(saved: Path, tmp_path: Path) -> None:
    generator("independent").fit(make_tidy(), seed=1).save(tmp_path / "margins")
    with pytest.raises(UnsupportedError, match="one of 'independent'"):
        shrink_model(tmp_path / "margins", tmp_path / "small", saved / "real.csv")
    with pytest.raises(DataError, match=r"rise by at most 0\.0"):
        shrink_model(saved / "model", tmp_path / "small", saved / "real.csv", prune=0.95, most_loss=0.001)
    assert not (tmp_path / "small").exists()
    with pytest.raises(ScenarioError, match="share to prune"):
        shrink_model(saved / "model", tmp_path / "small", saved / "real.csv", bits=None)
    with pytest.raises(OutputError):
        shrink_model(saved / "model", saved, saved / "real.csv")
    shrink_model(saved / "model", tmp_path / "small", saved / "real.csv")
    with pytest.raises(ScenarioError, match="made smaller before"):
        shrink_model(tmp_path / "small", tmp_path / "smaller", saved / "real.csv")
    with pytest.raises(ModelError, match="cannot learn on"):
        generator("vae", start=str(tmp_path / "small")).fit(make_tidy(), seed=1)
