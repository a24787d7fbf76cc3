"""Single entries of a chart that parts of care make alike: a condition, a procedure, an ultrasound scan."""

from __future__ import annotations

import numpy as np

from ehrsatz.simulator.chart.asks import MINUTES
from ehrsatz.simulator.chart.part import Chart
from ehrsatz.simulator.history import Floats, Ints
from ehrsatz.simulator.records import Rows


def condition(
    chart: Chart,
    code: tuple[str, str],
    row: Ints,
    onset: Floats,
    offset: Floats | float,
    stop: Floats,
    snomed: tuple[str, str] | None = None,
) -> None:
    """Write a condition that is recorded some days after its encounter begins."""
    met = chart.encounters
    assert met is not None
    recorded = np.minimum(met.start[row] + offset, met.stop[row])
    n = len(row)
    chart.add(
        "condition",
        {
            "encounter": row,
            "code": np.full(n, chart.book.place(*code)),
            "snomed": np.full(n, -1 if snomed is None else chart.book.place(*snomed)),
            "stage": np.full(n, -1),
            "onset": np.minimum(onset, recorded),
            "recorded": recorded,
            "abatement": np.fmax(stop, np.where(np.isnan(stop), np.nan, recorded)),
            "status": np.where(np.isnan(stop), 0, 1),
        },
    )


def procedure(chart: Chart, code: tuple[str, str], row: Ints, since: Floats, until: Floats) -> None:
    """Write a procedure, within its encounter."""
    met = chart.encounters
    assert met is not None
    start = np.clip(since, met.start[row], met.stop[row] - MINUTES)
    chart.add(
        "procedure",
        {
            "encounter": row,
            "code": np.full(len(row), chart.book.place(*code)),
            "start": start,
            "stop": np.clip(until, start + MINUTES, met.stop[row]),
            "reason": met.reason[row],
        },
    )


def scan(chart: Chart, code: tuple[str, str], text: str, row: Ints) -> None:
    """Write an ultrasound scan: its order and report."""
    met = chart.encounters
    assert met is not None
    orders: list[Rows] = chart.rows.get("order", [])
    placed = sum(len(part["encounter"]) for part in orders)
    n, time = len(row), met.start[row] + 5 * MINUTES
    what = np.full(n, chart.book.place(*code))
    none = np.zeros(n, np.int64)
    chart.add(
        "order",
        {"encounter": row, "time": time, "kind": none + 1, "code": what, "reason": met.reason[row], "status": none},
    )
    chart.add(
        "report",
        {
            "encounter": row,
            "order": placed + np.arange(n),
            "time": np.minimum(time + 10 * MINUTES, met.stop[row]),
            "kind": none + 1,
            "modality": none + chart.book.text("US"),
            "site": none + chart.book.text("uterus"),
            "code": what,
            "text": none + chart.book.text(text),
        },
    )
