"""A block of HL7 messages as rows of segments that know their patient and their visit.

Whose a segment is says the PID before it, which visit the PV1 before it. Of the patient's numbers in PID-3 the one of
type PI counts, else MR, else the first that is no number of the state or of an insurer.
"""

from __future__ import annotations

from collections import Counter

import polars as pl

from ehrsatz.sources.hl7v2.fields import field, first, part
from ehrsatz.terminology.hl7v2 import STAY

ORDER = ("PI", "MR", "PT", "PN", "")  # types of numbers of a patient (table 0203), the best first
FOREIGN = ("SS", "NI", "NH", "DL", "PPN", "MC", "MA", "HC", "AN", "VN")  # numbers that are not the house's own


class Hl7File:
    """The segments of a file, or of a block of it.

    Parameters
    ----------
    rows
        As `segments` returns them.
    number
        Of the block among all that are read: it stands in keys that a file does not give.
    left
        Where to count what has no place.
    """

    def __init__(self, rows: pl.DataFrame, number: int, left: Counter[str]) -> None:
        self.left = left
        self.whole = rows.with_columns(
            pl.concat_str(pl.lit(f"b{number}-"), pl.col("MSH"), pl.lit("-"), pl.col("p")).alias("position")
        )
        self._kinds = self.whole.partition_by("name", as_dict=True, include_key=False)
        self.numbers = self._numbers()
        self._patients = self._whose()
        self._visits = self._which()

    @property
    def names(self) -> list[str]:
        """Names of the segments that the file holds."""
        return [str(name) for (name,) in self._kinds]

    def plain(self, name: str) -> pl.DataFrame:
        """Return the segments of a name as `segments` gives them, without patient and visit."""
        return self._kinds.get((name,), self.whole.clear().drop("name"))

    def rows(self, name: str, *, events: tuple[str, ...] = (), but: tuple[str, ...] = ("SIU",)) -> pl.DataFrame:
        """Return the segments of a name with `patient_id` and `encounter_id`; without a patient they are counted.

        Parameters
        ----------
        name
            Of the segment.
        events
            Only of messages whose type (as in "ORU" or "ADT^A40") begins so; of all where empty.
        but
            Not of messages whose type begins so.
        """
        frame = self.plain(name)
        if events:
            frame = frame.filter(pl.any_horizontal(pl.col("event").str.starts_with(one) for one in events))
        if but:
            frame = frame.filter(~pl.any_horizontal(pl.col("event").str.starts_with(one) for one in but))
        frame = frame.join(self._patients, on="PID", how="left", maintain_order="left")
        lost = frame["patient_id"].null_count()
        if lost:
            self.left[f"{name}: segments of no patient"] += lost
            frame = frame.filter(pl.col("patient_id").is_not_null())
        visits = self._visits.select("PV1", "encounter_id")
        return frame.join(visits, on="PV1", how="left", maintain_order="left")

    def _numbers(self) -> pl.DataFrame:
        """Return distinct PID-3 -> its numbers: `pid3`, `id`, `type`, in the order they stand in."""
        texts = self.plain("PID").select(field(3).alias("pid3")).drop_nulls().unique(maintain_order=True)
        each = texts.with_columns(pl.col("pid3").str.split("~").alias("one")).explode("one")
        parts = each.select(
            "pid3", first(part(pl.col("one"), 1)).alias("id"), part(pl.col("one"), 5).fill_null("").alias("type")
        )
        return parts.filter(pl.col("id").is_not_null())

    def _whose(self) -> pl.DataFrame:
        """Return `PID` (the number of the segment) -> patient_id."""
        rank = pl.col("type").replace_strict({one: at for at, one in enumerate(ORDER)}, default=len(ORDER))
        rank = rank + pl.when(pl.col("type").is_in(FOREIGN)).then(100).otherwise(0)
        best = self.numbers.with_columns(rank.alias("rank")).group_by("pid3", maintain_order=True)
        ids = best.agg(pl.col("id").sort_by("rank", maintain_order=True).first().alias("patient_id"))
        frame = self.plain("PID").select(
            pl.col("p").alias("PID"), field(3).alias("pid3"), first(pl.coalesce(field(2), field(4))).alias("other")
        )
        joined = frame.join(ids, on="pid3", how="left", maintain_order="left")
        return joined.select("PID", pl.coalesce("patient_id", "other").alias("patient_id"))

    def _which(self) -> pl.DataFrame:
        """Return `PV1` (the number of the segment) -> encounter_id and part_of_id."""
        frame = self.plain("PV1").join(self._patients, on="PID", how="left", maintain_order="left")
        account = self.plain("PID").select(pl.col("p").alias("PID"), first(field(18)).alias("account"))
        frame = frame.join(account, on="PID", how="left", maintain_order="left")
        stay = (part(field(50), 4) == STAY).fill_null(False)
        visit = first(field(19))
        guessed = pl.concat_str(pl.col("patient_id"), pl.lit("-V-"), first(field(44)))
        other = pl.when(~pl.col("ours")).then(pl.coalesce("account", first(field(50)), guessed))
        return frame.select(
            pl.col("p").alias("PV1"),
            pl.when(stay).then(first(field(50))).otherwise(pl.coalesce(visit, other)).alias("encounter_id"),
            pl.when(stay).then(visit).alias("part_of_id"),
        )

    @property
    def visits(self) -> pl.DataFrame:
        """PV1 segments' numbers with encounter_id and part_of_id."""
        return self._visits


def people_of(cells: pl.Expr) -> list[pl.Expr]:
    """Return practitioner_id, family_name and given_name out of an XCN; a person without a number goes by name."""
    once = part(cells, 1, "~")
    family, given = first(part(once, 2)), part(once, 3)
    named = pl.concat_str(family, pl.lit(", "), given.fill_null(""))
    return [
        pl.coalesce(first(once), named).alias("practitioner_id"),
        family.alias("family_name"),
        given.alias("given_name"),
    ]
