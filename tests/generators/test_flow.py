"""Flow: splines by their formulas, a density that is one, a known joint, the likelihood of rows."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, NotFittedError, UnsupportedError
from ehrsatz.generators.flow import Flow
from ehrsatz.generators.independent import Independent
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

torch = pytest.importorskip("torch")


def make(frame: pl.DataFrame, **kinds: str) -> Dataset:
    """Return one table."""
    columns = tuple(Column(name, kind) for name, kind in kinds.items())
    return Dataset(Schema("made", (Table("rows", columns),)), {"rows": frame}, Provenance("real"))


def bent(n: int = 600) -> Dataset:
    """Return rows in which y bends with x, and a level says whether x is far from 0."""
    rng = stream(5, "bent")
    x = rng.normal(0, 1, n)
    y = x**2 + rng.normal(0, 0.2, n)
    far = np.where(np.abs(x) > 1, "far", "near")
    frame = pl.DataFrame({"x": x.round(4), "y": y.round(4), "far": far})
    return make(frame, x="number", y="number", far="category")


@pytest.fixture(scope="module")
def model() -> Flow:
    return Flow(epochs=50, rate=4e-3, width=64).fit(bent(), seed=1)


def bend(frame: pl.DataFrame) -> tuple[float, float]:
    """Return how far y lies from x squared (median), and the share of rows whose level is right."""
    x, y = frame["x"].to_numpy(), frame["y"].to_numpy()
    return float(np.median(np.abs(y - x**2))), float(((np.abs(x) > 1) == (frame["far"] == "far").to_numpy()).mean())


def test_recovers_a_joint_that_no_copula_has(model: Flow) -> None:
    away, right = bend(model.sample(1_000, seed=2).table)
    plain, chance = bend(Independent().fit(bent(), seed=1).sample(1_000, seed=2).table)
    assert away < 0.5 * plain
    assert right > 0.88 > 0.7 > chance


def test_likelihood_tells_rows_from_shuffled_ones(model: Flow) -> None:
    fresh = bent(900).take_subjects(pl.int_range(600, 900, eager=True))
    shuffled = fresh.table.with_columns(pl.col("y").shuffle(seed=1))
    real = model.log_likelihood(fresh)
    other = model.log_likelihood(Dataset(fresh.schema, {"rows": shuffled}, fresh.provenance))
    assert real.shape == (300,) and real.mean() > other.mean() + 0.5
    with pytest.raises(DataError, match="2 of 3 are absent"):
        model.log_likelihood(make(fresh.table.select("x"), x="number"))
    with pytest.raises(NotFittedError):
        Flow().log_likelihood(fresh)


def test_likelihoods_of_all_rows_that_there_can_be_sum_to_one() -> None:
    rng = stream(6, "levels")
    one = rng.choice(["a", "b", "c"], 300, p=[0.5, 0.3, 0.2])
    two = np.where(rng.random(300) < 0.8, one, "c")
    data = make(pl.DataFrame({"one": one, "two": two}), one="category", two="category")
    model = Flow(epochs=40, rate=3e-3, width=32).fit(data, seed=1)
    cells = list(product("abc", repeat=2))
    every = make(pl.DataFrame(cells, schema=["one", "two"], orient="row"), one="category", two="category")
    chance = np.exp(model.log_likelihood(every))
    assert abs(chance.sum() - 1) < 0.15  # each is a mean over 16 places
    drawn = model.sample(4_000, seed=1).table
    for (first, second), wanted in zip(cells, chance):
        assert abs(((drawn["one"] == first) & (drawn["two"] == second)).mean() - wanted) < 0.08


def test_conditions_are_refused_by_name(model: Flow) -> None:
    with pytest.raises(UnsupportedError, match=r"'flow' does not honour conditions.*diffusion"):
        model.sample(3, seed=1, given={"far": "near"})


def test_layers_act() -> None:
    few, many = (Flow(layers=layers, epochs=2, width=16).fit(bent(80), seed=1) for layers in (1, 3))
    assert len(few.net_.couplings) == 1 and len(many.net_.couplings) == 3
    assert not few.sample(20, seed=1).table.equals(many.sample(20, seed=1).table)


# ---------------------------------------------------------------------- the formulas
def test_splines_are_undone_and_their_slope_is_right() -> None:
    from ehrsatz.generators.splines import BINS, REACH, spline

    rng = stream(1, "splines")
    x = torch.from_numpy(rng.uniform(-1.4 * REACH, 1.4 * REACH, (200, 3))).requires_grad_()
    shape = torch.from_numpy(rng.normal(0, 1.5, (200, 3, 3 * BINS - 1)))
    y, log = spline(x, shape)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(slope.log(), log, atol=1e-9)
    back, same = spline(y.detach(), shape, inverse=True)
    assert torch.allclose(back, x, atol=1e-7) and torch.allclose(same, log, atol=1e-6)
    outside = x.abs() > REACH
    assert outside.any() and torch.equal(y[outside], x[outside])
    plain, none = spline(x, torch.zeros_like(shape))
    assert torch.allclose(plain, x, atol=1e-9) and torch.allclose(none, torch.zeros_like(none), atol=1e-9)


def test_the_network_is_undone_and_its_density_is_that_of_the_map(model: Flow) -> None:
    net = model.net_.double()
    try:
        z = torch.from_numpy(stream(1, "net").normal(size=(5, 3)))
        with torch.no_grad():
            mapped = z
            for one in net.couplings:
                mapped, _ = one(mapped)
            noise = mapped @ net.linear.matrix().T
            assert torch.allclose(net.inverse(noise), z, atol=1e-6)
            found = net.log_density(z)
        for row in range(5):
            slope = torch.autograd.functional.jacobian(net.inverse, noise[row : row + 1])[0, :, 0, :]
            plain = torch.distributions.Normal(0.0, 1.0).log_prob(noise[row]).sum()
            assert abs(float(plain - torch.linalg.slogdet(slope)[1] - found[row])) < 1e-6
    finally:
        model.net_ = net.float()


def test_scores_are_standard_normal_and_lead_back() -> None:
    from scipy.special import ndtri

    from ehrsatz.codecs.table import learn_table, place_table
    from ehrsatz.generators.flow import spread_cells
    from ehrsatz.generators.scores import learn_scores

    data = bent()
    code = learn_table(data.table, data.schema.parent)
    atoms, position = place_table(code, data.table)
    scores = learn_scores(code, atoms)
    low, reach, share = scores.places(atoms, position, spread_cells(code, atoms))
    z = ndtri(np.clip(low + reach * stream(1, "z").random(low.shape), 1e-6, 1 - 1e-6))
    assert np.abs(z.mean(0)).max() < 0.05 and np.abs(z.std(0) - 1).max() < 0.05
    found, spot = scores.cells(z)
    assert (found == atoms).mean() > 0.999
    placed = (reach == 0) & (found == atoms)
    assert placed.any() and np.abs(spot - position)[placed].max() < 1e-6
    assert ((share > 0) & (share <= 1)).all()
