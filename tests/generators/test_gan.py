"""Conditional adversarial network: its start, what it learns beyond, conditions, what it keeps and what it drops."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest

from ehrsatz.codecs.signals import encode_signals, learn_signals
from ehrsatz.codecs.table import learn_table, place_table
from ehrsatz.dataset import Dataset
from ehrsatz.errors import TrainingWarning, UnsupportedError
from ehrsatz.generators.independent import Independent
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream

torch = pytest.importorskip("torch")

from ehrsatz.generators import outset  # noqa: E402
from ehrsatz.generators.gan import Gan, by_level  # noqa: E402


def crossed(n: int) -> Dataset:
    """Return two correlated numbers, a level that follows from one, a flag, and codes of many levels."""
    rng = stream(7, "crossed")
    x = rng.normal(0, 1, n)
    y = 0.8 * x + 0.6 * rng.normal(0, 1, n)
    codes = [f"{c}{i:02d}" for c in "ABCDEFG" for i in range(10)]
    code = np.array(codes)[np.arange(n) % len(codes)][rng.permutation(n)]
    frame = pl.DataFrame(
        {
            "x": x.round(3),
            "y": y.round(3),
            "group": np.where(x > 0.7, "high", np.where(x < -0.7, "low", "mid")),
            "flag": rng.random(n) < np.where(y > 0, 0.8, 0.2),
            "code": code,
        }
    )
    kinds = {"x": "number", "y": "number", "group": "category", "flag": "boolean", "code": "code"}
    table = Table("rows", tuple(Column(name, kind, nullable=False) for name, kind in kinds.items()))
    return Dataset(Schema("crossed", (table,)), {"rows": frame}, Provenance("real"))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return crossed(420)


@pytest.fixture(scope="module")
def model(data: Dataset) -> Gan:
    return Gan(epochs=30).fit(data, seed=1)


def gaps(frame: pl.DataFrame) -> tuple[float, float, float]:
    x, y = frame["x"].to_numpy(), frame["y"].to_numpy()
    high = frame.filter(pl.col("group") == "high")
    return float(np.corrcoef(x, y)[0, 1]), float(high["x"].mean()), float(high["flag"].mean())  # type: ignore[arg-type]


def test_known_joint_is_recovered_and_independent_is_beaten(data, model):
    real = gaps(crossed(8000).table)
    ours = gaps(model.sample(3000, seed=2).table)
    alone = gaps(Independent().fit(data, seed=1).sample(3000, seed=2).table)
    for truth, drawn, other, slack in zip(real, ours, alone, (0.08, 0.35, 0.12)):
        assert abs(drawn - truth) < slack < abs(other - truth)


def test_conditions_on_several_columns_hold_and_move_the_others(data, model):
    drawn = model.sample(600, seed=3, given={"group": "high", "flag": False}).table
    assert (drawn["group"] == "high").all() and not drawn["flag"].any()
    assert drawn["x"].mean() > 0.6
    low = model.sample(300, seed=3, given={"group": {"any": ["low", "mid"]}}).table
    assert set(low["group"]) == {"low", "mid"}
    half = model.sample(300, seed=3, given={"group": {"share": "equal"}}).table
    assert half["group"].value_counts()["count"].to_list() == [100, 100, 100]
    code = data.table["code"].mode()[0]
    assert (model.sample(40, seed=3, given={"code": code}).table["code"] == code).all()
    with pytest.raises(UnsupportedError, match="'x' is of kind number"):
        model.sample(3, seed=1, given={"x": 0.5})


def test_shards_with_conditions_equal_the_whole(model):
    given = pl.DataFrame({"group": ["high", None, "low", "mid", None, None]})
    whole = model.sample(6, seed=4, given=given).table
    parts = [model.sample(2, seed=4, given=given[i : i + 2], first=i).table for i in (0, 2, 4)]
    assert whole.equals(pl.concat(parts))


def test_critic_is_not_kept(model, tmp_path):
    model.save(tmp_path / "model")
    with np.load(tmp_path / "model" / "weights.npz") as arrays:
        assert not [name for name in arrays if "critic" in name]


def test_parameters_act(tidy):
    def losses(epochs: int, **settings: float) -> list[float]:
        return Gan(epochs=epochs, batch=8, **settings).fit(tidy, seed=1).history_["losses"]

    plain = losses(5)  # long enough for the generator to move, after the critic's first steps
    assert losses(5, rate=2e-2) != plain
    for other in ({"pac": 4}, {"noise": 4}, {"width": 16}, {"critic_rate": 1e-2}):
        assert losses(1, **other) != plain[:1], other


def test_stopped_training_goes_on_to_the_same_model(data, tmp_path):
    class Stop(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if done == 2 and what.startswith("train"):
            raise Stop

    whole = Gan(epochs=4).fit(data, seed=1).sample(20, seed=1).table
    with pytest.raises(Stop):
        Gan(epochs=4, checkpoint=str(tmp_path)).fit(data, seed=1, progress=stop)
    again = Gan(epochs=4, checkpoint=str(tmp_path)).fit(data, seed=1, progress=stop_never)
    assert whole.equals(again.sample(20, seed=1).table)


def stop_never(what: str, done: int, total: int) -> None:
    pass


def test_lost_modes_are_told(monkeypatch):
    """Twelve numbers that are nearly one: without its start, hardly trained, the network covers little, and says so."""
    rng = stream(9, "lines")
    line = rng.normal(0, 1, (200, 1)) + 0.3 * rng.normal(0, 1, (200, 12))
    names = [f"n{i}" for i in range(12)]
    table = Table("rows", tuple(Column(name, "number", nullable=False) for name in names))
    data = Dataset(Schema("lines", (table,)), {"rows": pl.DataFrame(line.round(4), names)}, Provenance("real"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Gan(epochs=1).fit(data, seed=1)
    learned = outset.learn_outset
    monkeypatch.setattr(outset, "learn_outset", lambda *rows: without_factor(learned(*rows)))
    with pytest.warns(TrainingWarning, match=r"lost modes.*trees"):
        Gan(epochs=1).fit(data, seed=1)


def without_factor(found: outset.Outset) -> outset.Outset:
    return outset.Outset(np.eye(len(found.factor)), found.low, found.high)


def test_start_has_the_margins_and_conditions_fall_between_thresholds(data):
    from ehrsatz.generators.critic import Channels, Start

    table = data.schema.parent
    code = learn_table(data.table, table)
    atoms, position = place_table(code, data.table)
    signals = learn_signals(code, atoms, np.zeros(atoms.shape), rng=stream(1, "signals"), whole=True)
    values, levels = encode_signals(signals, atoms, position)
    found = outset.learn_outset(signals, values, levels)
    start = Start(Channels(signals), asked=range(len(signals.sizes)))
    start.begin(found)
    chance = torch.Generator().manual_seed(1)
    n, k = 4000, signals.levels.index(code.names.index("group"))
    noise, own = (torch.randn(n, width, generator=chance) for width in (start.n_latents, 2 * len(signals.sizes)))
    free = torch.full((n, len(signals.sizes)), -1)
    y = start.latents(noise, free, torch.rand(n, 8, generator=chance), own)
    part = start.channels.part(k)
    share = torch.softmax(start.logits(y[:, len(signals.values) :])[:, part], dim=1).mean(0).numpy()
    assert share == pytest.approx(np.bincount(levels[:, k]) / len(levels), abs=0.03)
    assert np.corrcoef(y[:, :2].numpy().T)[0, 1] == pytest.approx(0.8, abs=0.05)
    high = code.codes[code.names.index("group")].levels.index("high")
    free[:, k] = high
    y = start.latents(noise, free, torch.rand(n, 8, generator=chance), own)
    assert torch.softmax(start.logits(y[:, len(signals.values) :])[:, part], dim=1)[:, high].mean() > 0.7
    assert y[:, 0].mean() > 0.8  # x above 0.7 has a mean of about 1.3


def test_rare_levels_are_trained_by_the_logarithm_of_their_count():
    atoms = np.array([[0]] * 90 + [[1]] * 10, dtype=np.int32)
    chance = np.diff(by_level(atoms)[0], prepend=0.0)
    wanted = np.log1p(10) / (np.log1p(10) + np.log1p(90))
    assert chance[90:].sum() == pytest.approx(wanted)


def test_likeness_is_near_zero_for_equal_distributions_alone():
    from ehrsatz.generators.critic import likeness

    rng = stream(5, "likeness")
    a, b, other = (torch.from_numpy(rng.normal(0, 1, (2000, 6))) for _ in range(3))
    other[:, 1] = other[:, 0]
    assert abs(likeness(a, b)) < 0.1 < 0.3 < likeness(a, other)


@pytest.mark.slow
def test_what_no_copula_has_is_learned() -> None:
    """A flag that says whether two numbers agree in sign: each pair is independent, only the three together are not."""
    n = 1500  # fewer rows teach it nothing
    rng = stream(3, "agree")
    x, y = rng.normal(0, 1, (2, n))
    frame = pl.DataFrame({"x": x.round(3), "y": y.round(3), "agree": (x * y > 0) ^ (rng.random(n) < 0.05)})
    kinds = {"x": "number", "y": "number", "agree": "boolean"}
    table = Table("rows", tuple(Column(name, kind, nullable=False) for name, kind in kinds.items()))
    data = Dataset(Schema("agree", (table,)), {"rows": frame}, Provenance("real"))

    def agreement(model: Gan) -> float:
        drawn = model.sample(3000, seed=1).table
        return float(((drawn["x"] * drawn["y"] > 0) == drawn["agree"]).mean())

    assert agreement(Gan(epochs=1).fit(data, seed=1)) < 0.6
    assert agreement(Gan().fit(data, seed=1)) > 0.75
