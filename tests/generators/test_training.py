"""The training room: early stopping, schedules, and what happens when memory, numbers or devices fail."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ehrsatz.errors import DataError, DeviceError, ModelError, TrainingWarning  # noqa: E402
from ehrsatz.generators import nets, training  # noqa: E402
from ehrsatz.generators.base import silent  # noqa: E402
from ehrsatz.generators.checkpoint import Checkpoint  # noqa: E402

PLAN = training.Plan(epochs=60, batch=16, rate=0.05, patience=6, warm=1)


class Line:
    """A straight line fitted to 64 points; faults are planted by step number."""

    def __init__(self, faults: dict[int, BaseException | float] | None = None) -> None:
        self.x = torch.linspace(-1, 1, 64)[:, None]
        self.y = 3 * self.x - 1
        self.net = torch.nn.Linear(1, 1)
        self.optimizers = [nets.adam(self.net.parameters(), PLAN.rate)]
        self.faults, self.n, self.batches = faults or {}, 0, []

    def step(self, rows):  # type: ignore[no-untyped-def]
        self.n += 1
        self.batches.append(len(rows))
        fault = self.faults.pop(self.n, None)
        if isinstance(fault, BaseException):
            raise fault
        loss = ((self.net(self.x[rows]) - self.y[rows]) ** 2).mean()
        self.optimizers[0].zero_grad()
        (loss * (fault if fault is not None else 1.0)).backward()
        self.optimizers[0].step()
        return loss.detach() * (fault if fault is not None else 1.0)

    def score(self) -> float:
        return float(((self.net(self.x) - self.y) ** 2).mean().detach())


def learn(line: Line, plan: training.Plan = PLAN, **more):  # type: ignore[no-untyped-def]
    return training.train(line, 64, plan, seed=1, progress=more.pop("progress", silent), **more)


def made(faults: dict[int, BaseException | float] | None = None) -> Line:
    with nets.chance(1, "test"):
        return Line(faults)


def test_it_learns_and_keeps_the_best_state() -> None:
    line = made()
    history = learn(line)
    assert line.score() < 0.01 and line.score() == pytest.approx(history.best_score)
    assert len(history.losses) == history.epochs


def test_it_stops_when_nothing_improves_and_slows_before() -> None:
    line = made()
    line.score = lambda: 1.0  # type: ignore[method-assign]
    history = learn(line)
    assert history.epochs == 1 + PLAN.patience and history.stopped.startswith("no improvement")
    assert line.optimizers[0].param_groups[0]["lr"] < PLAN.rate


def test_a_cosine_ends_near_zero_and_an_average_is_kept() -> None:
    line = made()
    learn(line, training.Plan(epochs=40, batch=16, rate=0.05, schedule="cosine", patience=0, warm=1, average=0.9))
    assert line.optimizers[0].param_groups[0]["lr"] < 0.02 * PLAN.rate
    assert line.score() < 0.1


def test_a_loss_that_is_no_number_goes_back_to_the_last_good_state() -> None:
    line = made({30: math.nan})
    with pytest.warns(TrainingWarning, match="no number in epoch 8: the state of epoch"):
        history = learn(line)
    assert history.stopped == "the loss was no number"
    assert math.isfinite(line.score()) and line.score() == pytest.approx(history.best_score)


def test_a_first_epoch_without_a_number_is_an_error() -> None:
    with pytest.raises(DataError, match="Lower the learning rate"):
        learn(made({1: math.inf}))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory")])
def test_memory_that_runs_out_halves_the_batch(error: BaseException) -> None:
    line = made({3: error})
    with pytest.warns(TrainingWarning, match="halved to 8 rows"):
        history = learn(line)
    assert history.batch == 8 and set(line.batches[3:]) == {8}
    with pytest.raises(DeviceError, match="more memory"), pytest.warns(TrainingWarning, match="halved"):
        learn(made({3: MemoryError(), 5: MemoryError()}))


def test_a_gpu_that_vanishes_is_said_and_the_checkpoint_named(tmp_path: Path) -> None:
    lost = RuntimeError("CUDA error: device-side failure")
    with pytest.raises(DeviceError, match=r"failed in epoch 3.*with a checkpoint it would"):
        learn(made({9: lost}))
    store = Checkpoint(tmp_path, "mark")
    with pytest.raises(DeviceError, match="it goes on from the checkpoint"):
        learn(made({9: lost}), store=store)
    line = made()
    history = learn(line, store=store)
    whole = made()
    assert history.epochs == learn(whole).epochs
    assert torch.equal(line.net.weight, whole.net.weight)  # as if nothing had happened


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        learn(made({2: RuntimeError("shape mismatch")}))


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if done == 3:
            raise Stopped

    with pytest.raises(Stopped):
        learn(made(), store=Checkpoint(tmp_path, "one"), progress=lambda *a: None)
        learn(made(), store=Checkpoint(tmp_path, "one"), progress=stop)
        raise Stopped
    with pytest.raises(ModelError, match="of other data, another seed"):
        learn(made(), store=Checkpoint(tmp_path, "two"))
    (tmp_path / "checkpoint.npz").write_bytes(b"no archive")
    with pytest.raises(ModelError, match="cannot be read"):
        learn(made(), store=Checkpoint(tmp_path, "one"))


def test_progress_tells_loss_and_quality() -> None:
    told: list[str] = []
    learn(made(), progress=lambda what, done, total: told.append(what))
    assert all(one.startswith("train\tloss") and "held out" in one for one in told[:-1])


def test_the_process_keeps_its_own_chance_and_threads() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with nets.chance(7, "here"):
        torch.rand(3)
        assert torch.get_num_threads() == 1
    assert torch.equal(before, torch.get_rng_state()) and torch.get_num_threads() == threads
