"""What the kinds of messages hand to the feed: one row per message, without MSH and PID, which the feed adds."""

from __future__ import annotations

import polars as pl

COLUMNS = {
    "patient_id": pl.String,
    "time": pl.Datetime("us"),  # of the message; null: when the patient is first seen
    "rank": pl.Int32,  # of messages of the same moment
    "key": pl.String,  # of the record, for an order that is always the same
    "type": pl.String,  # MSH-9
    "event": pl.Boolean,  # whether EVN follows MSH
    "occurred": pl.String,  # EVN-6
    "head": pl.String,  # what stands before PID besides, each segment after a carriage return
    "full": pl.Boolean,  # whether PID holds all demographics
    "account": pl.String,  # PID-18
    "tail": pl.String,  # what follows PID, each segment after a carriage return
}


def messages(
    frame: pl.DataFrame,
    kind: str,
    rank: int,
    *,
    time: pl.Expr,
    key: pl.Expr,
    tail: pl.Expr,
    full: bool = False,
    event: bool = False,
    occurred: pl.Expr | None = None,
    head: pl.Expr | None = None,
    account: pl.Expr | None = None,
) -> pl.DataFrame:
    """Return one message per row of a frame.

    Parameters
    ----------
    frame
        With `patient_id` and what the expressions name.
    kind
        MSH-9, as in "ADT^A01^ADT_A01".
    rank
        Place among messages of the same moment.
    time, key, tail, occurred, head, account
        As in `COLUMNS`.
    full, event
        As in `COLUMNS`.
    """
    none = pl.lit(None, pl.String)
    return frame.select(
        "patient_id",
        time.cast(pl.Datetime("us")).alias("time"),
        pl.lit(rank, pl.Int32).alias("rank"),
        key.alias("key"),
        pl.lit(kind).alias("type"),
        pl.lit(event).alias("event"),
        (none if occurred is None else occurred).alias("occurred"),
        (none if head is None else head).alias("head"),
        pl.lit(full).alias("full"),
        (none if account is None else account).alias("account"),
        tail.alias("tail"),
    )
