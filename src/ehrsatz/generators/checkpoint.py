"""Checkpoints of a training: a folder from which the same training goes on after a stop, to the same bytes.

Weights, the optimizers' moments, torch's random state and the history, as arrays and JSON; no pickle, no row, no cell.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ehrsatz.errors import ModelError
from ehrsatz.files import writing

if TYPE_CHECKING:
    from ehrsatz.generators.training import Average, History, Pace, Trainee

FILE = "checkpoint.npz"


class Checkpoint:
    """A training's state on disk.

    Parameters
    ----------
    folder
        Made where it is absent.
    mark
        What the training is of: a hash over method, parameters, seed, schema and data. Another one is refused.
    """

    def __init__(self, folder: str | Path, mark: str) -> None:
        self.path, self.mark = Path(folder) / FILE, mark

    def save(self, trainee: Trainee, average: Average, pace: Pace, history: History, best: dict[str, Tensor]) -> None:
        """Write the state, whole or not at all."""
        arrays: dict[str, np.ndarray] = {"chance": torch.get_rng_state().numpy()}
        for part, tensors in (("net", trainee.net.state_dict()), ("average", average.kept), ("best", best)):
            arrays |= {f"{part}/{name}": one.detach().cpu().numpy() for name, one in tensors.items()}
        for i, one in enumerate(trainee.optimizers):
            for number, state in one.state_dict()["state"].items():
                for name, value in state.items():
                    arrays[f"optimizer/{i}/{number}/{name}"] = np.asarray(torch.as_tensor(value).cpu().numpy())
        told = {
            "mark": self.mark,
            "history": asdict(history),
            "pace": [pace.steps, pace.slow, pace.waited],
            "average": average.n,
        }
        arrays["told"] = np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)
        partial = self.path.with_suffix(".part")
        with writing("the checkpoint"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            partial.replace(self.path)

    def load(self, trainee: Trainee, average: Average, pace: Pace, history: History) -> dict[str, Tensor] | None:
        """Put the saved state back and return the best weights; None where there is no checkpoint yet.

        Raises
        ------
        ModelError
            When the checkpoint is of another training, or damaged.
        """
        if not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = dict(file)
            told = json.loads(arrays["told"].tobytes())
        except (OSError, ValueError, KeyError):
            raise ModelError(
                "Expected a checkpoint as a training writes it.", "It cannot be read.", "Remove it, and start anew."
            ) from None
        if told["mark"] != self.mark:
            raise ModelError(
                "Expected a checkpoint of this training.",
                "It is of other data, another seed, other parameters or another version.",
                "Name another folder for checkpoints, or remove the old one.",
            )
        trainee.net.load_state_dict(_part(arrays, "net/"))
        for i, one in enumerate(trainee.optimizers):
            state: dict[int, dict[str, Any]] = {}
            for name, value in _part(arrays, f"optimizer/{i}/").items():
                number, _, key = name.partition("/")
                state.setdefault(int(number), {})[key] = value
            one.load_state_dict({**one.state_dict(), "state": state})
        for name, value in _part(arrays, "average/").items():
            average.kept[name].copy_(value)
        average.n = told["average"]
        pace.steps, pace.slow, pace.waited = told["pace"]
        for name, value in told["history"].items():
            setattr(history, name, value)
        torch.set_rng_state(torch.from_numpy(arrays["chance"].copy()))
        return _part(arrays, "best/")

    def remove(self) -> None:
        """Take the checkpoint away: the training is done."""
        self.path.unlink(missing_ok=True)


def _part(arrays: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(one))
        for name, one in arrays.items()
        if name.startswith(prefix)
    }
