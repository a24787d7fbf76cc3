"""synthcity (Apache-2.0): its Bayesian network at its defaults. Missing values are coded for it: it refuses them."""

from __future__ import annotations

import pandas as pd

from benchmarks.tabular.frames import MissingCodes
from benchmarks.tabular.methods.base import Method


class SynthcityBayesNet(Method):
    """The plugin bayesian_network."""

    def start(self) -> None:
        """Import the plugin."""
        import torch
        from synthcity.plugins.core.dataloader import GenericDataLoader
        from synthcity.plugins.generic.plugin_bayesian_network import plugin

        torch.set_num_threads(1)
        self.loader, self.model = GenericDataLoader, plugin(random_state=self.seed)

    def fit(self) -> None:
        """Fit on the coded table."""
        self.codes = MissingCodes(self.spec)
        self.model.fit(self.loader(self.codes.encode(self.frame), target_column=self.spec["target"]))

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows."""
        return self.codes.decode(self.model.generate(count=n).dataframe())
