"""Diffusion: noise and its undoing by the formulas, a known joint, conditions by a learned conditional, steps."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import ScenarioError
from ehrsatz.generators.diffusion import Diffusion
from ehrsatz.generators.independent import Independent
from ehrsatz.generators.noise import back_levels, back_values, left
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

torch = pytest.importorskip("torch")

CENTRE = {"low": -2.0, "middle": 0.0, "high": 3.0}


def groups(n: int = 500) -> Dataset:
    """Return rows of three groups, a lab value and a stay of each group's own, and a gap that only one group has."""
    rng = stream(4, "groups")
    group = rng.choice(list(CENTRE), n, p=[0.5, 0.3, 0.2])
    lab = np.array([CENTRE[one] for one in group]) + rng.normal(0, 0.4, n)
    stay = np.maximum(0, np.rint(lab + 4 + rng.normal(0, 0.3, n))).astype(int)
    lost = (group == "low") & (rng.random(n) < 0.5)
    frame = pl.DataFrame(
        {
            "group": group,
            "lab": pl.Series(lab.round(3)).set(pl.Series(lost), None),
            "stay": pl.Series(stay, dtype=pl.Int64),
            "coin": np.where(rng.random(n) < 0.5, "heads", "tails"),
        }
    )
    columns = (
        Column("group", "category", nullable=False),
        Column("lab", "number"),
        Column("stay", "integer", nullable=False),
        Column("coin", "category", nullable=False),
    )
    return Dataset(Schema("groups", (Table("rows", columns),)), {"rows": frame}, Provenance("real"))


@pytest.fixture(scope="module")
def model() -> Diffusion:
    return Diffusion(epochs=250, width=96, depth=2, rate=4e-3, dropout=0.0, steps=30).fit(groups(), seed=1)


def apart(frame: pl.DataFrame) -> tuple[float, float, float]:
    """Return how far labs lie from their group's centre (median), stays from their lab, and gaps in other groups."""
    known = frame.drop_nulls("lab")
    centre = known["group"].replace_strict(CENTRE).to_numpy()
    lab, stay = known["lab"].to_numpy(), known["stay"].to_numpy()
    strange = frame.filter(pl.col("group") != "low")["lab"].is_null().mean()
    return float(np.median(np.abs(lab - centre))), float(np.median(np.abs(stay - lab - 4))), float(strange)


def test_recovers_a_known_joint(model: Diffusion) -> None:
    lab, stay, strange = apart(model.sample(1_000, seed=2).table)
    plain = apart(Independent().fit(groups(), seed=1).sample(1_000, seed=2).table)
    assert lab < 0.5 < 1.0 < plain[0]
    assert stay < 0.5 < 0.9 < plain[1]
    assert strange < 0.06 < 0.2 < plain[2]


def test_conditions_on_a_level_move_the_other_columns(model: Diffusion) -> None:
    drawn = model.sample(400, seed=3, given={"group": "high"}).table
    assert (drawn["group"] == "high").all()
    assert abs(drawn["lab"].median() - 3.0) < 0.3  # type: ignore[operator]
    assert abs(drawn["stay"].mean() - 7.0) < 0.5  # type: ignore[operator]


def test_conditions_on_a_band_follow_bayes_rule(model: Diffusion) -> None:
    """A lab of 2 or more is the high group alone; a lab below -1 the low one."""
    high = model.sample(400, seed=3, given={"lab": {"min": 2.0, "max": None}}).table
    assert high["lab"].min() >= 2.0  # type: ignore[operator]
    assert (high["group"] == "high").mean() > 0.8
    low = model.sample(400, seed=3, given={"lab": {"min": None, "max": -1.0}, "coin": "heads"}).table
    assert low["lab"].max() <= -1.0 and (low["coin"] == "heads").all()  # type: ignore[operator]
    assert (low["group"] == "low").mean() > 0.8


def test_conditions_cost_no_more_than_plain_drawing(model: Diffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    plain = model.net_.forward
    monkeypatch.setattr(model.net_, "forward", lambda *args: calls.append(len(args[0])) or plain(*args))
    model.sample(300, seed=1)
    n_plain = len(calls)
    model.sample(300, seed=1, given={"group": {"any": ["low", "high"]}, "coin": "heads"})
    assert len(calls) == 2 * n_plain


def test_steps_may_be_changed_after_learning(model: Diffusion) -> None:
    before = model.sample(50, seed=1).table
    model.steps = 5
    try:
        assert not model.sample(50, seed=1).table.equals(before)
    finally:
        model.steps = 30
    assert model.sample(50, seed=1).table.equals(before)


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"depth": 0}, {"dropout": 1.0}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ScenarioError):
        Diffusion(**wrong).fit(groups(60), seed=1)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- the formulas
def test_values_taken_back_are_distributed_as_noised_directly() -> None:
    noise = torch.from_numpy(stream(1, "values").normal(size=(2, 40_000, 1)))
    now, then, clean = 0.7, 0.4, 1.3
    a, b = left(now), left(then)
    x = a**0.5 * clean + (1 - a) ** 0.5 * noise[0]
    velocity = a**0.5 * noise[0] - (1 - a) ** 0.5 * clean
    earlier = back_values(x, velocity, now, then, noise[1])
    assert abs(float(earlier.mean()) - b**0.5 * clean) < 0.015
    assert abs(float(earlier.std()) - (1 - b) ** 0.5) < 0.015
    assert torch.allclose(back_values(x, velocity, now, 0.0, noise[1]), torch.full_like(x, clean), atol=1e-6)


def test_levels_taken_back_are_distributed_as_noised_directly(model: Diffusion) -> None:
    segments = model.net_.segments
    n, u = 40_000, torch.from_numpy(stream(1, "levels").random((4, 40_000, segments.n_levels)))
    clean = torch.ones(n, segments.n_levels, dtype=torch.long)  # the second entry of every channel
    now, then = 0.7, 0.4
    noised = torch.where(u[0] < left(now), clean, segments.margin(u[1]))
    earlier = back_levels(segments, noised, clean, now, then, u[2])
    for k, size in enumerate(model.signals_.sizes):
        start = int(segments.starts[k])
        wanted = (1 - left(then)) * segments.share[start : start + size].numpy()
        wanted[1] += left(then)
        found = np.bincount(earlier[:, k].numpy(), minlength=size) / n
        assert np.abs(found - wanted).max() < 0.015


def test_draws_of_all_channels_at_once_follow_their_logits(model: Diffusion) -> None:
    segments = model.net_.segments
    rng = stream(2, "draws")
    logits = torch.from_numpy(rng.normal(0, 2, segments.n_entries)).float().expand(40_000, -1)
    drawn = segments.draw(logits, torch.from_numpy(rng.random((40_000, segments.n_levels))))
    for k, size in enumerate(model.signals_.sizes):
        start = int(segments.starts[k])
        wanted = torch.softmax(logits[0, start : start + size], 0).numpy()
        assert np.abs(np.bincount(drawn[:, k].numpy(), minlength=size) / 40_000 - wanted).max() < 0.015
