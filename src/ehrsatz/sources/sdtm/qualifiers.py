"""Supplemental qualifiers, merged back into the records that they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from ehrsatz.layouts.sdtm import DOMAINS

NEEDED = ("RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM", "QVAL")


def merged(
    frames: Mapping[str, pl.DataFrame], qualifiers: Sequence[pl.DataFrame], left: Counter[str]
) -> dict[str, pl.DataFrame]:
    """Return the domains with a column "+QNAM" for every qualifier that the layout knows.

    Parameters
    ----------
    frames
        Domain -> its records.
    qualifiers
        Datasets of SUPP--.
    left
        Counts qualifiers of no known use, and those of no record.
    """
    out = dict(frames)
    whole = [_complete(frame) for frame in qualifiers]
    if not whole:
        return out
    for (domain,), rows in pl.concat(whole).partition_by("RDOMAIN", as_dict=True).items():
        name = str(domain).upper()
        known = DOMAINS[name].extras if name in DOMAINS else {}
        strange = rows.filter(~pl.col("QNAM").is_in(list(known)))
        for qualifier, count in strange.group_by("QNAM").len().sort("QNAM").iter_rows():
            left[f"SUPP{name}.{qualifier}"] += count
        rows = rows.filter(pl.col("QNAM").is_in(list(known)))
        if name not in out:
            left[f"SUPP{name}: qualifiers of no record"] += rows.height
            continue
        for (variable,), of_variable in rows.partition_by("IDVAR", as_dict=True).items():
            joined = _joined(out[name], of_variable, None if variable is None else str(variable))
            if joined is None:
                left[f"SUPP{name}: qualifiers of no record"] += of_variable.height
            else:
                out[name] = joined
    return out


def _complete(frame: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None, pl.String).alias(name) for name in NEEDED if name not in frame.columns]
    return frame.with_columns(absent).select(pl.col(name).cast(pl.String) for name in NEEDED)


def _joined(frame: pl.DataFrame, rows: pl.DataFrame, variable: str | None) -> pl.DataFrame | None:
    """Join qualifiers that name their records by one variable; None where the records lack it."""
    on = ["USUBJID"]
    if variable is not None:
        if variable not in frame.columns:
            return None
        on.append("(value)")
        number = frame.schema[variable] != pl.String or variable.endswith("SEQ") or variable == "VISITNUM"
        kind = pl.Float64 if number else pl.String
        rows = rows.with_columns(pl.col("IDVARVAL").cast(kind, strict=False).alias("(value)"))
        frame = frame.with_columns(pl.col(variable).cast(kind, strict=False).alias("(value)"))
    wide = rows.pivot("QNAM", index=on, values="QVAL", aggregate_function="first")
    names = [name for name in wide.columns if name not in on]
    wide = wide.rename({name: f"+{name}:" for name in names})
    joined = frame.join(wide, on=on, how="left", maintain_order="left")
    cells = []
    for name in names:
        own = [f"+{name}"] if f"+{name}" in joined.columns else []
        cells.append(pl.coalesce(*own, f"+{name}:").alias(f"+{name}"))
    return joined.with_columns(cells).select(pl.exclude(*[f"+{name}:" for name in names], "(value)"))
