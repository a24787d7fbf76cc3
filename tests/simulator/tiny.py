"""A maker of tiny shards for tests of streaming: one table of patients, one of visits, one that all shards share."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Link, Schema, Table
from ehrsatz.seeds import addressed
from ehrsatz.simulator.shards import Shard

SCHEMA = Schema(
    "tiny",
    (
        Table("patient", (Column("patient_id", "id", "key", nullable=False), Column("weight", "number"))),
        Table("payer", (Column("payer_id", "id", "key", nullable=False),)),
        Table(
            "visit",
            (Column("patient_id", "id", "subject", nullable=False), Column("day", "integer", "time")),
            (Link("patient_id", "patient", "patient_id"),),
        ),
    ),
)


@dataclass(frozen=True)
class Tiny:
    """Patient i has i % 4 visits. `trouble` at a shard: kill, refuse, fail, slow; `log` gets a line per shard made."""

    log: Path | None = None
    at: int = -1
    trouble: str = ""

    def __call__(self, first: int, n: int) -> Shard:
        if self.log is not None:
            with self.log.open("a") as log:
                log.write(f"{first}\n")
        if first == self.at:
            if self.trouble == "kill":
                os.kill(os.getpid(), 9)
            if self.trouble == "refuse":
                raise DataError("Expected this.", "Found that.", "Do so.", problems=["one"])
            if self.trouble == "fail":
                raise ZeroDivisionError("a fault")
            if self.trouble == "stop":
                raise KeyboardInterrupt
        if self.trouble == "slow":
            time.sleep(0.3)
        number = np.arange(first, first + n)
        weight = np.round(addressed(5, "tiny", subjects=number)[:, 0] * 100, 3)
        keys = pl.Series([f"P{i:08d}" for i in number])
        visits = np.repeat(np.arange(n), number % 4)
        tables = {
            "patient": pl.DataFrame({"patient_id": keys, "weight": weight}),
            "payer": pl.DataFrame({"payer_id": ["Y1", "Y2"]}),
            "visit": pl.DataFrame({"patient_id": keys.gather(visits), "day": pl.Series(visits, dtype=pl.Int64)}),
        }
        return Shard(Dataset(SCHEMA, tables, Provenance("simulated")), {"weight": float(weight.sum()), "n": n})


def add(one: Any, two: Any) -> Any:
    """Join the statistics of two shards; the order matters."""
    return {"weight": one["weight"] * 1.000001 + two["weight"], "n": one["n"] + two["n"]}
