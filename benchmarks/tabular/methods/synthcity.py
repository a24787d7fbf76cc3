"""synthcity (Apache-2.0): its Bayesian network at its defaults. Missing values are coded for it: it refuses them.

synthcity pins torch below 2.3 and imports survival, image and series packages that its Bayesian network never calls.
Blank modules stand in for those, so that it runs beside a current torch.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pandas as pd

from benchmarks.tabular.frames import MissingCodes
from benchmarks.tabular.methods.base import Method

UNUSED = ("tsai", "torchvision", "fastai", "xgbse", "shap", "monai", "pycox", "torchtuples", "decaf", "be_great")


class SynthcityBayesNet(Method):
    """The plugin bayesian_network."""

    def start(self) -> None:
        """Import the plugin."""
        sys.meta_path.insert(0, _Blank())
        import torch
        from synthcity.plugins.core.dataloader import GenericDataLoader
        from synthcity.plugins.generic.plugin_bayesian_network import plugin

        torch.set_num_threads(1)
        self.loader, self.model = GenericDataLoader, plugin(random_state=self.seed)
        self.notes.append("blank modules stand in for packages it imports and never calls: " + ", ".join(UNUSED))

    def fit(self) -> None:
        """Fit on the coded table."""
        self.codes = MissingCodes(self.spec)
        self.model.fit(self.loader(self.codes.encode(self.frame), target_column=self.spec["target"]))

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows."""
        return self.codes.decode(self.model.generate(count=n).dataframe())


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
