"""SDV (Business Source License; measured here, never a dependency): Gaussian copula, CTGAN, TVAE at their defaults.

SDV 2 takes and gives {table name: frame}. A network that reaches the cap is sampled as it then is ("cut").
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.tabular.cost import CutError
from benchmarks.tabular.methods.base import Method, import_torch

TABLE = "table"


class _Sdv(Method):
    synthesizer: str
    network = False

    def start(self) -> None:
        """Import torch and SDV."""
        import sdv.single_table as single
        from sdv.metadata import Metadata

        torch = import_torch()
        torch.set_num_threads(1)
        torch.manual_seed(self.seed)
        self.kind, self.metadata = getattr(single, self.synthesizer), Metadata

    def fit(self) -> None:
        """Fit with the column kinds of the spec."""
        columns = {
            name: {"sdtype": "categorical" if kind == "cat" else "numerical"}
            for name, kind in self.spec["columns"].items()
        }
        metadata = self.metadata.load_from_dict({"tables": {TABLE: {"columns": columns}}})
        options: dict[str, Any] = {"enable_gpu": False} if self.network else {}
        self.model = self.kind(metadata, **options)
        try:
            self.model.fit({TABLE: self.frame})
        except CutError:
            if not self._usable():
                raise
            self.cut = True

    def _usable(self) -> bool:
        """Whether a network stopped in training can be sampled; says after how many epochs."""
        network = getattr(self.model, "_model", None)
        losses = getattr(network, "loss_values", None)
        if losses is None or len(losses) == 0:
            return False
        epochs = int(losses["Epoch"].iloc[-1]) + 1
        self.notes.append(f"cut by the cap after {epochs} of 300 epochs")
        self.model._fitted = True
        return True

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows."""
        drawn = self.model.sample(num_rows=n)
        return drawn[TABLE] if isinstance(drawn, dict) else drawn


class SdvCopula(_Sdv):
    """GaussianCopulaSynthesizer."""

    synthesizer = "GaussianCopulaSynthesizer"


class SdvCtgan(_Sdv):
    """CTGANSynthesizer, 300 epochs."""

    synthesizer = "CTGANSynthesizer"
    network = True


class SdvTvae(_Sdv):
    """TVAESynthesizer, 300 epochs."""

    synthesizer = "TVAESynthesizer"
    network = True
