"""Events of the layout that ehrsatz writes, turned back into the rows that they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from ehrsatz import loose
from ehrsatz.layouts import meds as layout
from ehrsatz.layouts.meds import END, EVENTS, SEPARATOR, Event
from ehrsatz.schema import dtype_of

HEAD = "(head)"  # the first part of a code


def from_layout(whole: pl.DataFrame, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
    """Return table -> frame; codes that the layout does not have are counted by their first part."""
    absent = [pl.lit(None, kind).alias(name) for name, kind in layout.EXTRA.items() if name not in whole.columns]
    texts = [] if "text_value" in whole.columns else [pl.lit(None, pl.String).alias("text_value")]
    whole = whole.with_columns(*absent, *texts)
    head = pl.col("code").str.split_exact(SEPARATOR, 0).struct.field("field_0").cast(pl.Categorical)
    parts = whole.with_columns(head.alias(HEAD)).partition_by(HEAD, as_dict=True, include_key=False)
    by_head = {str(key[0]): frame for key, frame in parts.items()}
    frames = {"patient": _patients(whole, by_head)}
    known = {layout.BIRTH, layout.DEATH, layout.SUBJECT, layout.INCOME, layout.DEATH_CAUSE}
    known |= {*layout.STATIC_WORDS.values(), *layout.STATIC_TEXTS.values()}
    for one in EVENTS:
        known |= {one.head, one.head + END}
        if one.head in by_head:
            frames[one.table] = _rows(one, by_head[one.head], by_head.get(one.head + END))
    for name in sorted(set(by_head) - known):
        left[f"code {name}"] += by_head[name].height
    frames |= _world(frames)
    return frames


def _patients(whole: pl.DataFrame, by_head: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    out = whole.select("patient_id").unique(maintain_order=True)

    def first(head: str, **cells: pl.Expr) -> pl.DataFrame:
        events = by_head.get(head, whole.clear())
        return events.select("patient_id", **cells).unique("patient_id", keep="first")

    columns = [
        first(layout.BIRTH, birth_date=pl.col("time").cast(pl.Date)),
        first(layout.DEATH, death_time=pl.col("time"), death_cause=pl.col("reason_code")),
        first(layout.DEATH_CAUSE, only_cause=pl.col("reason_code")),
        first(layout.INCOME, income=pl.col("value")),
    ]
    for column, head in layout.STATIC_WORDS.items():
        word = pl.col("code").str.splitn(SEPARATOR, 2).struct.field("field_1")
        if column == "sex":
            word = word.replace({short: long for long, short in layout.GENDERS.items()})
        columns.append(first(head, **{column: word}))
    columns += [first(head, **{column: pl.col("text_value")}) for column, head in layout.STATIC_TEXTS.items()]
    for facts in columns:
        out = out.join(facts, on="patient_id", how="left", maintain_order="left")
    return out.with_columns(pl.coalesce("death_cause", "only_cause").alias("death_cause")).drop("only_cause")


def _rows(one: Event, starts: pl.DataFrame, ends: pl.DataFrame | None) -> pl.DataFrame:
    """Return the rows of a table from the events of its starts and ends."""
    if one.table == "payment":
        return _payments(one, starts)
    table = loose.schema()[one.table]
    kinds = {column.name: dtype_of(column.kind) for column in table.columns}
    key = table.columns[0].name
    own = {key, "patient_id", "code", loose.SYSTEM, one.time, one.end, one.number, one.text}
    cells = {name: pl.col(one.columns.get(name, name)) for name in table.names if name not in own}
    cells |= {key: pl.col("event_id"), "patient_id": pl.col("patient_id")}
    if one.time is not None:
        cells[one.time] = pl.col("time")
    if one.number is not None:
        cells[one.number] = pl.col("value")
    if one.text is not None:
        cells[one.text] = pl.col("text_value")
    if "code" in table.names:
        parts = pl.col("code").str.splitn(SEPARATOR, 3)
        system = parts.struct.field("field_1").str.replace_all("%2F", "/", literal=True)
        system = system.str.replace_all("%25", "%", literal=True)
        cells["code"] = parts.struct.field("field_2")
        cells[loose.SYSTEM] = pl.when(system != "").then(system)
    rows = starts.select(**{name: cell.cast(kinds[name]) for name, cell in cells.items()})
    if one.end is None:
        return rows
    if ends is None:
        return rows.with_columns(pl.lit(None, kinds[one.end]).alias(one.end))
    late = {name: pl.col(one.columns.get(name, name)).alias(f"{name}:") for name in one.late}
    closed = ends.select(
        pl.col("event_id").alias(key), pl.col("time").cast(kinds[one.end]).alias(one.end), *late.values()
    )
    joined = rows.join(closed.unique(key, keep="first"), on=key, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(name, f"{name}:").alias(name) for name in one.late).select(
        pl.exclude("^.*:$")
    )


def _payments(one: Event, starts: pl.DataFrame) -> pl.DataFrame:
    """Return payments: their parts are an event each."""
    parts = starts.with_columns(word=pl.col("code").str.splitn(SEPARATOR, 2).struct.field("field_1"))
    amounts = [
        pl.col("value").filter(pl.col("word") == word).first().alias(name) for name, word in layout.PAYMENTS.items()
    ]
    rows = parts.group_by("event_id", maintain_order=True).agg(
        pl.col("patient_id", "encounter_id", "time").first(), pl.col("link_id").first().alias("claim_id"), *amounts
    )
    return rows.rename({"event_id": "payment_id"})


def _world(frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return the keys of organizations and others that the events name; nothing else is known of them."""
    out: dict[str, pl.DataFrame] = {}
    for key in ("practitioner_id", "organization_id", "location_id", "payer_id"):
        found = [frame[key] for frame in frames.values() if key in frame.columns]
        if found:
            out[key.removesuffix("_id")] = pl.concat(found).drop_nulls().unique(maintain_order=True).to_frame()
    return out
