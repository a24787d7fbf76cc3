"""Diffusion on codes: the flow undoes noise of a known distribution, and rows follow the data's dependence."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import polars as pl  # noqa: E402

from conftest import make_tidy  # noqa: E402
from ehrsatz.dataset import Dataset  # noqa: E402
from ehrsatz.generators.build import generator  # noqa: E402
from ehrsatz.generators.latentdiffusion import denoised, flow  # noqa: E402
from ehrsatz.schema import Column, Schema, Table  # noqa: E402
from ehrsatz.seeds import stream  # noqa: E402


def test_the_flow_finds_a_known_distribution() -> None:
    """With the exact score of two points on a line, noise ends on one point or the other, half and half."""

    class Exact(torch.nn.Module):
        def forward(self, x, log_size):  # type: ignore[no-untyped-def]
            sigma = (log_size * 4).exp()
            total = (sigma**2 + 0.25).sqrt()
            noisy = x * total
            clean = 0.5 * torch.tanh(0.5 * noisy / sigma**2)
            return (clean - 0.25 / total**2 * noisy) * total / (0.5 * sigma)

    noise = torch.from_numpy(stream(1, "noise").normal(0, 1, (2_000, 1))).float()
    drawn = flow(Exact(), noise, 30)
    assert (drawn.abs() - 0.5).abs().max() < 0.02
    assert abs(float((drawn > 0).float().mean()) - 0.5) < 0.05
    assert torch.allclose(denoised(Exact(), torch.tensor([[3.0]]), 0.1), torch.tensor([[0.5]]), atol=1e-3)


def test_dependence_is_learned() -> None:
    rng = stream(2, "pairs")
    x = rng.normal(0, 1, 400)
    frame = pl.DataFrame(
        {"x": np.round(x, 2), "y": np.round(-x + rng.normal(0, 0.4, 400), 2), "z": np.where(x > 0, "high", "low")}
    )
    table = Table("t", (Column("x", "number"), Column("y", "number"), Column("z", "category")))
    data = Dataset(Schema("s", (table,)), {"t": frame}, make_tidy().provenance)
    drawn = generator("latentdiffusion").fit(data, seed=1).sample(400, seed=1).table
    assert np.corrcoef(drawn["x"], drawn["y"])[0, 1] < -0.6
    means = drawn.group_by("z").agg(pl.col("x").mean()).sort("z")["x"]
    assert means[0] - means[1] > 0.8


def test_more_steps_need_no_new_learning() -> None:
    model = generator("latentdiffusion", epochs=3).fit(make_tidy(), seed=1)
    few = model.sample(20, seed=1).table
    model.steps = 5  # type: ignore[attr-defined]
    assert not model.sample(20, seed=1).table.equals(few)
