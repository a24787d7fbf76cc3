"""MOSTLY AI's engine (Apache-2.0): an autoregressive network at its defaults, on one CPU thread."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.tabular.cost import cpu_seconds
from benchmarks.tabular.methods.base import Method

LEFT_FOR_CLOSING = 10  # CPU seconds kept back to end the training in good order


class Mostly(Method):
    """TabularARGN, with the engine's own early stopping; asked to stop when it nears the cap."""

    def start(self) -> None:
        """Import torch and the engine."""
        import torch
        from mostlyai import engine
        from mostlyai.engine.domain import ModelEncodingType

        torch.set_num_threads(1)
        engine.set_random_state(self.seed)
        self.engine, self.encodings = engine, ModelEncodingType

    def fit(self) -> None:
        """Split, analyse, encode and train."""
        self.folder = tempfile.TemporaryDirectory(prefix="engine_")
        workspace = Path(self.folder.name)
        kinds = {
            name: self.encodings.tabular_categorical if kind == "cat" else self.encodings.tabular_numeric_auto
            for name, kind in self.spec["columns"].items()
        }
        begun = cpu_seconds()

        def watch(**_: Any) -> dict[str, bool]:
            late = bool(self.cap) and cpu_seconds() - begun > self.cap - LEFT_FOR_CLOSING
            self.cut = self.cut or late
            return {"stopExecution": late}

        self.engine.split(tgt_data=self.frame, workspace_dir=workspace, tgt_encoding_types=kinds)
        self.engine.analyze(workspace_dir=workspace)
        self.engine.encode(workspace_dir=workspace)
        self.engine.train(workspace_dir=workspace, device="cpu", update_progress=watch)
        log = workspace / "ModelStore" / "model-data" / "progress-messages.csv"
        epochs = pd.read_csv(log)["epoch"].max() if log.exists() else float("nan")
        self.notes.append(f"{'cut by the cap' if self.cut else 'stopped by itself'} after {epochs:.0f} epochs")

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows; rare categories are drawn from the frequent ones, as no other method writes a mark for them."""
        workspace = Path(self.folder.name)
        self.engine.generate(
            sample_size=n, workspace_dir=workspace, device="cpu", rare_category_replacement_method="sample"
        )
        return pd.read_parquet(workspace / "SyntheticData")
