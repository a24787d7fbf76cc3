"""Values of edge cases: many in one minute, zero, negative, very small and very large, and digits to the last bit."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

import polars as pl

from ehrsatz.simulator.edges.about import About
from ehrsatz.simulator.edges.identity import Edit
from ehrsatz.simulator.edges.record import Record

SAME = {"heart_rate": (71.0, 72.0, 74.0, 77.0, 81.0, 118.0)}
ZERO = {"pain": (0.0,), "phq9": (0.0,), "base_excess": (0.0,)}
NEGATIVE = {"base_excess": (-12.5,), "bmd": (-3.4,)}
EXTREME = {
    "tsh": (0.00001,),  # 1e-05: some formats know no exponent
    "troponin": (412_345.6789,),
    "ck": (199_999.0,),
    "crp": (0.1 + 0.2,),  # 0.30000000000000004: the last bit counts
}


def observed(values: Mapping[str, Sequence[float]]) -> Edit:
    """Return what writes these values of items of the catalogue at the last visit, all of an item in one minute."""

    def edit(records: tuple[Record, ...], about: About) -> bool:
        (record,) = records
        visits = record.stays().filter(pl.col("class").is_in(["wellness", "ambulatory", "emergency", "inpatient"]))
        if not visits.height:
            return False
        visit = visits.row(-1, named=True)
        for k, (item, wanted) in enumerate(values.items()):
            time = min(visit["start"] + datetime.timedelta(minutes=4 + k), visit["stop"])
            about.observe(record, visit["encounter_id"], item, wanted, time)
        return True

    return edit
