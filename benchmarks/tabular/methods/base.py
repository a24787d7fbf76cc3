"""What the child process asks of a method: start (imports), read, fit, sample, write.

pandas is imported where it is used: a method that needs none runs without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.tabular.frames import Spec


class Method:
    """A method that takes and gives pandas frames.

    start imports the method's package; fit learns from `self.frame`; sample returns a frame of n rows. `cut` is set
    by a method that was stopped at the cap and draws from what it had learned by then; `n_drawn` by one that the cap
    left no time for all rows.
    """

    notes: list[str]
    options: dict[str, Any]
    seed: int
    cap: int
    cut = False
    n_drawn: int | None = None

    def start(self) -> None:
        """Import what the method needs."""

    def read(self, split: Path) -> None:
        """Read train.csv by its spec."""
        from benchmarks.tabular.frames import read_frame, read_spec

        self.spec: Spec = read_spec(split)
        self.frame = read_frame(split / "train.csv", self.spec)
        self.n_rows = len(self.frame)
        self.categories = [name for name, kind in self.spec["columns"].items() if kind == "cat"]

    def fit(self) -> None:
        """Learn."""
        raise NotImplementedError

    def sample(self, n: int) -> Any:
        """Draw n rows."""
        raise NotImplementedError

    def write(self, drawn: Any, path: Path) -> None:
        """Write what sample gave as CSV."""
        from benchmarks.tabular.frames import write_frame

        write_frame(drawn, path)


def import_torch() -> Any:
    """Import torch with what its first optimizer would import during a fit (over a CPU second); return it."""
    import torch
    import torch._dynamo

    return torch
