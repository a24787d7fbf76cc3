"""synthcity (Apache-2.0): plugins at their defaults. Missing values are coded for them: synthcity refuses them.

synthcity pins torch below 2.3 and imports survival, image and series packages that these plugins never call.
Blank modules stand in for those, so that it runs beside a current torch. Its own range check of what a plugin draws
stays on, as by default: rows out of range are drawn again by synthcity.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pandas as pd

from benchmarks.tabular.cost import CutError, cpu_seconds
from benchmarks.tabular.frames import MissingCodes
from benchmarks.tabular.methods.base import Method, import_torch

UNUSED = ("tsai", "torchvision", "fastai", "xgbse", "shap", "monai", "pycox", "torchtuples", "decaf", "be_great")
BLOCK = 500  # rows drawn at once where a plugin samples for minutes: what is drawn by the cap is kept


class _Synthcity(Method):
    """One plugin; a network that the cap stops is sampled as it then is, where it can be ("cut")."""

    plugin: str
    slow = False  # draws in blocks, until the cap

    def start(self) -> None:
        """Import the plugin."""
        sys.meta_path.insert(0, _Blank())
        from synthcity.plugins.core.dataloader import GenericDataLoader

        torch = import_torch()
        torch.set_num_threads(1)
        module = importlib.import_module(f"synthcity.plugins.generic.plugin_{self.plugin}")
        self.folder = tempfile.TemporaryDirectory(prefix="synthcity_")
        self.loader = GenericDataLoader
        self.model = module.plugin(random_state=self.seed, workspace=Path(self.folder.name))
        self.notes.append("blank modules stand in for packages it imports and never calls: " + ", ".join(UNUSED))

    def fit(self) -> None:
        """Fit on the coded table."""
        self.codes = MissingCodes(self.spec)
        loader = self.loader(self.codes.encode(self.frame), target_column=self.spec["target"])
        try:
            self.model.fit(loader)
        except CutError:
            done = self.trained()
            if done is None:
                raise
            self.notes.append(f"cut by the cap after {done}")
            self.cut = self.model.fitted = True

    def trained(self) -> str | None:
        """Return how far a stopped training had come, None where it cannot be sampled."""
        return None

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows, or fewer where the cap comes first."""
        if not self.slow:
            return self.codes.decode(self.model.generate(count=n).dataframe())
        blocks: list[pd.DataFrame] = []
        begun, last, drawn = cpu_seconds(), 0.0, 0
        while drawn < n and (not blocks or not self.cap or cpu_seconds() - begun + last < self.cap):
            before = cpu_seconds()
            try:
                blocks.append(self.model.generate(count=min(BLOCK, n - drawn)).dataframe())
            except CutError:
                if not blocks:
                    raise
                break
            drawn, last = drawn + len(blocks[-1]), cpu_seconds() - before
        if drawn < n:
            self.n_drawn = drawn
            self.notes.append(f"drew {drawn} of {n} rows before the cap")
        return self.codes.decode(pd.concat(blocks, ignore_index=True))


class SynthcityBayesNet(_Synthcity):
    """The plugin bayesian_network."""

    plugin = "bayesian_network"


class SynthcityDdpm(_Synthcity):
    """The plugin ddpm, its TabDDPM: 1,000 epochs, 1,000 steps of diffusion."""

    plugin, slow = "ddpm", True

    def trained(self) -> str | None:
        """Return the epochs trained, from the losses that it keeps every 100 steps."""
        steps = getattr(self.model.model, "loss_history", None)
        if not steps:
            return None
        epochs = steps[-1][0] // len(self.model.model.dataloader)
        return f"about {epochs} of {self.model.model.n_iter} epochs"


class SynthcityNflow(_Synthcity):
    """The plugin nflow: a spline flow with its own early stopping."""

    plugin, slow = "nflow", True

    def trained(self) -> str | None:
        """Return that training had begun, where it had: the plugin counts no epochs."""
        flow = getattr(getattr(getattr(self.model, "model", None), "model", None), "flow", None)
        return None if flow is None else "an unknown number of its 1000 epochs"


class SynthcityArf(_Synthcity):
    """The plugin arf, which wraps arfpy: columns of at most 10 values are made categories for it."""

    plugin, slow = "arf", True


class _Blank:
    """Import hook that gives a blank module for each unused package."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in UNUSED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        blank = MagicMock(name=spec.name)
        blank.__path__, blank.__spec__ = [], spec
        return blank

    def exec_module(self, module: ModuleType) -> None:
        return None
