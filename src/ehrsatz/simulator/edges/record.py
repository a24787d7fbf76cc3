"""The tables of one patient, and the few changes that leave them a record that holds together.

Rows get fresh keys after the last of their table; what belongs to an encounter goes with it; a claim is the sum of its
lines again after lines went, and its payments follow in whole cents.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from ehrsatz import clinical
from ehrsatz.simulator.keys import LETTERS, ORDINAL

OWN = tuple(table.name for table in clinical.schema().tables if table.name not in clinical.WORLD)
OF_ENCOUNTER = tuple(name for name in OWN if "encounter_id" in clinical.schema()[name].names)  # encounter itself too
BEGINS = {  # table -> when a row of it came into being
    "condition": "recorded",
    "observation": "time",
    "order": "time",
    "report": "time",
    "medication": "start",
    "procedure": "stop",
    "immunization": "time",
    "allergy": "onset",
    "device": "start",
    "careplan": "start",
    "goal": "start",
}
ENDS = {  # table -> its end, and the status of what has not ended
    "condition": ("abatement", "active"),
    "medication": ("stop", "active"),
    "device": ("stop", None),
    "careplan": ("stop", "active"),
}


class Record:
    """One patient's rows by table.

    Parameters
    ----------
    key
        The patient's.
    frames
        Table -> rows of that patient; the tables of the world are not among them.
    """

    def __init__(self, key: str, frames: Mapping[str, pl.DataFrame]) -> None:
        self.key = key
        self.frames = dict(frames)

    def __getitem__(self, table: str) -> pl.DataFrame:
        return self.frames[table]

    # ------------------------------------------------------------------ rows
    def change(self, table: str, rows: pl.Expr | None = None, **cells: Any) -> None:
        """Set cells of some rows, all where None, to plain values or expressions."""
        frame = self.frames[table]
        here = pl.lit(True) if rows is None else rows.fill_null(False)
        made = []
        for name, cell in cells.items():
            value = cell if isinstance(cell, pl.Expr) else pl.lit(cell, frame.schema[name])
            made.append(pl.when(here).then(value).otherwise(pl.col(name)).cast(frame.schema[name]).alias(name))
        self.frames[table] = frame.with_columns(made)

    def drop(self, table: str, rows: pl.Expr) -> None:
        """Leave rows out."""
        self.frames[table] = self.frames[table].filter(~rows.fill_null(False))

    def add(self, table: str, rows: Sequence[Mapping[str, Any]]) -> pl.Series:
        """Append rows of this patient under fresh keys, which are returned; cells that are not named are missing."""
        frame = self.frames[table]
        keys = self.fresh(table, len(rows))
        own = f"{table}_id"
        whole = [
            {**dict.fromkeys(frame.columns), **row, own: key, "patient_id": self.key}
            for row, key in zip(rows, keys.to_list(), strict=True)
        ]
        self.frames[table] = pl.concat([frame, pl.DataFrame(whole, schema=frame.schema)])
        return keys

    def fresh(self, table: str, n: int) -> pl.Series:
        """Return n keys after the last of a table."""
        taken = self.frames[table][f"{table}_id"].str.split("-").list.last().str.slice(1).cast(pl.Int64)
        first = int(taken.max() or 0) + 1  # type: ignore[arg-type]
        number = pl.Series(range(first, first + n), dtype=pl.Int64).cast(pl.String).str.zfill(ORDINAL)
        return f"{self.key}-{LETTERS[table]}" + number

    # ------------------------------------------------------------------ encounters
    def stays(self) -> pl.DataFrame:
        """Return the encounters that are no parts of others, by their start, with `before` and `after`.

        These are the time since the last end of another and the time until the next start, null: none.
        """
        top = self["encounter"].filter(pl.col("part_of_id").is_null()).sort("start", "encounter_id")
        return top.with_columns(
            before=pl.col("start") - pl.col("stop").cum_max().shift(1),
            after=pl.col("start").shift(-1) - pl.col("stop").cum_max(),
        )

    def with_parts(self, encounter: str) -> list[str]:
        """Return the keys of an encounter and of its parts."""
        frame = self["encounter"]
        return [encounter, *frame.filter(pl.col("part_of_id") == encounter)["encounter_id"].to_list()]

    def drop_encounters(self, rows: pl.Expr) -> None:
        """Leave out encounters, their parts, and everything that happened in them."""
        frame = self["encounter"]
        gone = frame.filter(rows.fill_null(False))["encounter_id"]
        parts = frame.filter(pl.col("part_of_id").is_in(gone.implode()))["encounter_id"]
        both = pl.concat([gone, parts]).unique()
        for table in OF_ENCOUNTER:
            self.drop(table, pl.col("encounter_id").is_in(both.implode()))

    def move(self, encounters: Collection[str], by: datetime.timedelta) -> None:
        """Move encounters, and everything that happened in them, in time."""
        if not by:
            return
        here = pl.col("encounter_id").is_in(list(encounters))
        for table in OF_ENCOUNTER:
            times = [name for name, kind in self.frames[table].schema.items() if kind == pl.Datetime("us")]
            self.change(table, here, **{name: pl.col(name) + by for name in times})

    def keep_only(self, tables: Collection[str]) -> None:
        """Empty all other tables."""
        for table in OWN:
            if table not in tables:
                self.frames[table] = self.frames[table].clear()

    def end(self, moment: datetime.datetime, *, died: bool = False) -> None:
        """End the record at a moment: nothing comes later, and what would end later is still there.

        Parameters
        ----------
        moment
            The last one. An encounter that goes on then ends then.
        died
            The patient died then: cover ends, and an encounter that began by then keeps its end.
        """
        self.drop_encounters(pl.col("start") > moment)
        for table, column in BEGINS.items():
            self.drop(table, pl.col(column) > moment)
        for table, (column, status) in ENDS.items():
            later = pl.col(column) > moment
            if status is not None:
                self.change(table, later, status=status)
            self.change(table, later, **{column: None})
        self._cancel()
        self.drop("claim_line", (pl.col("time") > moment) & (pl.col("kind") != "encounter"))
        if died:
            day = moment.date()
            self.drop("coverage", pl.col("start") > day)
            self.change("coverage", pl.col("stop").is_null() | (pl.col("stop") > day), stop=day)
            gone = pl.col("coverage_id").is_in(self["coverage"]["coverage_id"].implode())
            self.change("claim", ~gone, coverage_id=None)
        else:
            self.change("encounter", pl.col("stop") > moment, stop=moment)
            self.change("claim", pl.col("time") > moment, time=moment)
            self.change("claim_line", pl.col("time") > moment, time=moment)
        self.settle()

    def _cancel(self) -> None:
        """Orders of what has no result any more are cancelled."""
        found = pl.concat([self["observation"]["order_id"], self["report"]["order_id"]]).drop_nulls().unique()
        measured = pl.col("kind").is_in(["laboratory", "imaging"])
        self.change("order", measured & ~pl.col("order_id").is_in(found.implode()), status="cancelled")

    # ------------------------------------------------------------------ money
    def settle(self) -> None:
        """Make claims the sums of their lines again, and what was paid on them their shares in whole cents."""
        cents = pl.col("amount").mul(100).round().cast(pl.Int64)
        sums = self["claim_line"].group_by("claim_id").agg(cents.sum().alias("(now)"))
        claim = (
            self["claim"]
            .join(sums, on="claim_id", how="left", maintain_order="left")
            .with_columns(pl.col("(now)").fill_null(0), pl.col("total").mul(100).round().cast(pl.Int64).alias("(was)"))
        )
        wrong = claim.filter(pl.col("(now)") != pl.col("(was)")).select("claim_id", "(now)", "(was)")
        if not wrong.height:
            return
        self.frames["claim"] = claim.with_columns(
            pl.when(pl.col("(now)") != pl.col("(was)")).then(pl.col("(now)") / 100).otherwise("total").alias("total")
        ).select(self["claim"].columns)
        parts = ("payer_part", "patient_part", "adjustment")
        paid = self["payment"].join(wrong, on="claim_id", how="left", maintain_order="left")
        share = [
            (pl.col(part).mul(100).round().cast(pl.Int64) * pl.col("(now)") // pl.col("(was)")).alias(f"({part})")
            for part in parts
        ]
        paid = paid.with_columns(share)
        first = pl.int_range(pl.len()).over("claim_id") == 0
        rest = pl.col("(now)") - pl.sum_horizontal([f"({part})" for part in parts]).sum().over("claim_id")
        paid = paid.with_columns(
            (pl.col("(adjustment)") + pl.when(first).then(rest).otherwise(0)).alias("(adjustment)")
        )
        self.frames["payment"] = paid.with_columns(
            pl.when(pl.col("(now)").is_null()).then(part).otherwise(pl.col(f"({part})") / 100).alias(part)
            for part in parts
        ).select(self["payment"].columns)
