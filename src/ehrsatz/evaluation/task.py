"""What the data are for: the questions that an evaluation puts to them. No data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ehrsatz.errors import ScenarioError


@dataclass(frozen=True)
class Task:
    """What is to be predicted, compared, estimated and protected. Columns are named "column" or "table.column".

    Parameters
    ----------
    target
        Column that models predict; None leaves prediction unmeasured.
    groups
        Columns whose levels are subgroups; where none is named, the quasi-identifiers and sensitive columns that have
        few levels.
    duration, event
        Follow-up time and whether it ended in the event (boolean, or 0 and 1); both or none.
    formulas
        Regressions that a statistician would run, as in "died ~ age + C(sex)".
    quasi
        Columns that an attacker may know; where none is named, those of disclosure class "quasi".
    secrets
        Columns that an attacker wants to learn; where none is named, those of disclosure class "sensitive".
    copies
        Synthetic copies that lie one after the other in the synthetic dataset, each with the same number of subjects.
    umap
        Whether the UMAP view is drawn too; it needs the extra "umap", and some ten seconds more.
    """

    target: str | None = None
    groups: tuple[str, ...] = ()
    duration: str | None = None
    event: str | None = None
    formulas: tuple[str, ...] = ()
    quasi: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    copies: int = 1
    umap: bool = False

    def __post_init__(self) -> None:
        if (self.duration is None) != (self.event is None):
            named, lacking = ("duration", "event") if self.event is None else ("event", "duration")
            raise ScenarioError(
                "Expected duration and event of a survival analysis together.",
                f"Only the {named} is named.",
                f"Name the column of the {lacking} too.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
