"""Two Python ports of the R package synthpop (Nowok, Raab, Dibben 2016, doi:10.18637/jss.v074.i11)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.tabular.frames import MissingCodes
from benchmarks.tabular.methods.base import Method

LEAST_LEAF = 5  # synthpop's own default (minbucket); both ports take it as an argument


class PySeqCart(Method):
    """pyseq_cart (MIT): sequential CART. Missing values are coded for it: it fills them otherwise."""

    def start(self) -> None:
        """Import the package."""
        from pyseq_cart import PySeqCART

        np.random.seed(self.seed)  # noqa: NPY002 - the package draws from the global state
        self.model = PySeqCART(tree_args={"min_samples_leaf": LEAST_LEAF, "random_state": self.seed})

    def fit(self) -> None:
        """Fit on the coded table."""
        self.codes = MissingCodes(self.spec)
        self.model.fit(self.codes.encode(self.frame))

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows."""
        return self.codes.decode(self.model.generate(n))


class PythonSynthpop(Method):
    """python-synthpop (EUPL-1.2): CART per column given the other real columns. Missing values are coded for it."""

    def start(self) -> None:
        """Import the package."""
        import synthpop

        np.random.seed(self.seed)  # noqa: NPY002 - the package draws from the global state
        self.package = synthpop

    def fit(self) -> None:
        """Fit on the coded table."""
        self.codes = MissingCodes(self.spec)
        coded = self.codes.encode(self.frame)
        kinds = {name: "categorical" if name in self.codes.categories else "numerical" for name in coded}
        self.processor = self.package.DataProcessor(kinds)
        ready = self.processor.preprocess(coded)
        self.model = self.package.CARTMethod(
            kinds, smoothing=False, proper=False, minibucket=LEAST_LEAF, random_state=self.seed
        )
        self.model.fit(ready)

    def sample(self, n: int) -> pd.DataFrame:
        """Draw n rows."""
        return self.codes.decode(self.processor.postprocess(self.model.sample(n)))
