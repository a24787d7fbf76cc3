"""The chart of a shard as it is written, and the socket of parts of care beside the ordinary one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ehrsatz.simulator.catalogue import Catalogue
from ehrsatz.simulator.chart import measure
from ehrsatz.simulator.chart.asks import Asks
from ehrsatz.simulator.chart.needs import Wishes
from ehrsatz.simulator.chart.visits import Found
from ehrsatz.simulator.history import Floats, History, Ints
from ehrsatz.simulator.records import Book, Encounters, Rows


@dataclass
class Chart:
    """What parts of care read and add to.

    Parameters
    ----------
    history, catalogue, book, asks
        Of the shard.
    extra
        Item -> function of specimen rows, for items whose values a part of care knows better.
    country
        ISO 3166-1, of schedules that differ by country.
    """

    history: History
    catalogue: Catalogue
    book: Book
    asks: Asks
    country: str = "US"
    found: Found = field(default_factory=lambda: Found({}, {}, {}))
    encounters: Encounters | None = None
    wishes: Wishes | None = None
    values: measure.Values | None = None
    extra: dict[str, Callable[[Ints], Floats]] = field(default_factory=dict)
    rows: dict[str, list[Rows]] = field(default_factory=dict)

    def add(self, table: str, rows: Rows) -> None:
        """Add rows of a kind, in any order; of orders and plans, what points to them is shifted by the caller."""
        if rows and len(next(iter(rows.values()))):
            self.rows.setdefault(table, []).append(rows)


class Part:
    """A part of care beside the ordinary one: each step does nothing unless a subclass says so."""

    def ask(self, chart: Chart) -> None:
        """Ask for encounters: chart.asks."""

    def want(self, chart: Chart) -> None:
        """Want measurements at the settled encounters: chart.wishes."""

    def write(self, chart: Chart) -> None:
        """Add rows: chart.add(table, rows)."""
