"""The messages of all patients in the order of events, in pieces of time that bound the memory.

Results are the bulk of records: their messages are made for one span of time after another, all others at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from ehrsatz.exporters.hl7v2 import chart, money, orders, people, treatment, visits
from ehrsatz.exporters.hl7v2.fields import plain, practitioners

ROWS = 400_000  # results in one piece, about
ORDER = ("time", "rank", "patient_id", "key")


def pieces(tables: Mapping[str, pl.DataFrame]) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield messages in order, as `message.COLUMNS` says, with the patients' parts of PID.

    Parameters
    ----------
    tables
        In the loose form.

    Yields
    ------
    Messages of one span of time, each without a null in `time`; one row per patient, as `people.identities` returns
    them, with `until`, the time of a merge.
    """
    clean = plain(tables)
    xcn = practitioners(clean["practitioner"])
    who = people.identities(clean)
    seen = visits.visits(clean, who, xcn)
    known = orders.ordered(clean, xcn)
    merged = people.merges(seen, who)
    rest = pl.concat([merged, *_others(clean, xcn, seen, known)])
    results = visits.within(clean["observation"].select("patient_id", "encounter_id", "time"), seen, "time")
    results = results.select("patient_id", pl.col("moment").alias("time"))
    first = pl.concat([rest.select("patient_id", "time"), results]).group_by("patient_id").agg(pl.col("time").min())
    first = who.select("patient_id", "born").join(first, on="patient_id", how="left", maintain_order="left")
    first = first.select("patient_id", pl.coalesce("time", "born", pl.datetime(1900, 1, 1)).alias("first"))
    rest, at = _dated(rest, first), _dated(results, first)["time"]
    who = who.join(merged.select("patient_id", pl.col("time").alias("until")), on="patient_id", how="left")
    for low, high in _spans(at):
        within = _between(at, low, high)
        made = orders.results({**clean, "observation": clean["observation"].filter(within)}, known, seen)
        piece = pl.concat([rest.filter(_between(rest["time"], low, high)), _dated(made, first)])
        yield piece.sort(ORDER), who


def _others(
    clean: Mapping[str, pl.DataFrame], xcn: pl.DataFrame, seen: pl.DataFrame, known: pl.DataFrame
) -> list[pl.DataFrame]:
    """All messages but results and merges."""
    charts = chart.charted(clean, xcn, seen)
    covered = money.insured(clean)
    return [
        people.persons(clean),
        people.deaths(clean),
        visits.openings(seen),
        visits.endings(seen, charts),
        visits.appointments(seen),
        chart.loose_charts(charts, seen),
        chart.problems(clean, seen),
        chart.allergies(clean, seen),
        chart.devices(clean, seen),
        orders.orders(clean, known, seen),
        orders.reports(clean, known, seen),
        treatment.medications(clean, xcn, seen),
        treatment.immunizations(clean, seen),
        treatment.careplans(clean, seen),
        treatment.goals(clean, seen),
        money.coverages(covered),
        money.claims(clean, covered, seen),
        money.payments(clean, seen),
    ]


def _dated(frame: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame:
    """Give messages without a time the first moment of their patient."""
    if not frame["time"].null_count():
        return frame
    joined = frame.join(first, on="patient_id", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("time", "first").alias("time")).drop("first")


def _spans(at: pl.Series) -> list[tuple[object, object]]:
    """Cut time into spans, each from after its low end to its high end, that hold about `ROWS` results."""
    ends = at.sort().gather_every(ROWS, ROWS - 1).unique(maintain_order=True).to_list()[:-1] if len(at) > ROWS else []
    return list(zip([None, *ends], [*ends, None], strict=True))


def _between(at: pl.Series, low: object, high: object) -> pl.Series:
    inside = pl.Series([True]).new_from_index(0, len(at))
    if low is not None:
        inside &= at > low
    if high is not None:
        inside &= at <= high
    return inside
