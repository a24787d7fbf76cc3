"""ehrsatz itself, used as a hospital would: read the CSV, fit with default settings, sample, write CSV."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from benchmarks.tabular.methods.base import Method, import_torch


class Ours(Method):
    """options: name of the generator, and its parameters where they differ from the default."""

    def start(self) -> None:
        """Import the package and the library of trees that it loads when first used."""
        import sklearn.tree  # noqa: F401 - imports are counted apart, for peers too

        from ehrsatz import pipeline, registry
        from ehrsatz.errors import EhrsatzWarning
        from ehrsatz.exporters.csv import CsvExporter

        registry.find("generators", self.options["generator"])
        self.package, self.exporter, self.warning = pipeline, CsvExporter, EhrsatzWarning

    def read(self, split: Path) -> None:
        """Read train.csv as it is, with every guess left to the package."""
        self.dataset = self.package.read(split / "train.csv")
        self.n_rows = self.dataset.n_rows

    def fit(self) -> None:
        """Fit the generator named in the options."""
        parameters = {name: value for name, value in self.options.items() if name != "generator"}
        self.model = self.package.generator(self.options["generator"], **parameters)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            self.model.fit(self.dataset, seed=self.seed)
        for one in told:
            if issubclass(one.category, self.warning):
                self.notes.append(f"warned, {one.category.__name__}: {str(one.message)[:200]}")
        if hasattr(self.model, "chosen_"):  # what `auto` picked
            self.notes.append(f"picked {self.model.chosen_.name} {dict(self.model.chosen_.settings)}")

    def sample(self, n: int) -> Any:
        """Draw n subjects."""
        return self.model.sample(n, seed=self.seed)

    def write(self, drawn: Any, path: Path) -> None:
        """Write the only table as the package writes CSV, in the spelling of its source."""
        (written,) = self.exporter().write(drawn, path.parent)
        written.rename(path)


class OursNetwork(Ours):
    """A generator that learns with torch, which is then imported where imports are counted, as for peers."""

    def start(self) -> None:
        """Import torch and the forests of the held-out score; how many threads torch uses is left to the package."""
        import sklearn.ensemble  # noqa: F401

        import_torch()
        super().start()
