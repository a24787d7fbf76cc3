"""How each column of an event table is made of raw rows: a table of functions, read by `frames`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ehrsatz.simulator.columns import dictionary, floats, gather, moments, numbers, optional
from ehrsatz.simulator.history import ordinals
from ehrsatz.simulator.records import Rows

if TYPE_CHECKING:
    from ehrsatz.simulator.frames import Draft

Columns = dict[str, pl.Series]
How = Callable[["Draft", str, str, Rows], Columns]


def _coded(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    out = {column: shard.word(rows[column]), column.replace("code", "display"): shard.display(rows[column])}
    return out if "display" in next(reversed(out)) and column != "reason" else {f"{column}_code": out[column]}


def _reason(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {"reason_code": shard.word(rows["reason"])}


def _text(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {column: shard.word(rows[column])}


def _level(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {column: shard.level(f"{name}.{column}", rows[column])}


def _number(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {column: numbers(np.asarray(rows[column], np.float64))}


def _integer(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {column: pl.Series(np.asarray(rows[column], np.int64))}


def _time(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {column: moments(*floats(rows, column))}


def _link(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {f"{column}_id": optional(shard.keys[column], rows[column])}


def _target(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    """What a goal wants to be measured, in the units that are reported."""
    scene, code = shard.scene, np.asarray(rows["code"], np.int64)
    item = np.where(code < 0, -1, shard.words.measured[np.maximum(code, 0)])
    known, place = item >= 0, np.maximum(item, 0)
    ends = [np.where(known, scene.items.convert(place, end), end) for end in floats(rows, "low", "high")]
    return {
        "code": pl.select(
            pl.when(pl.Series(known)).then(gather(scene.item["code"], place)).otherwise(shard.word(code))
        ).to_series(),
        "unit": pl.select(
            pl.when(pl.Series(known)).then(gather(scene.item["unit"], place)).otherwise(shard.word(rows["unit"]))
        ).to_series(),
        "target_low": numbers(ends[0]),
        "target_high": numbers(ends[1]),
    }


def _only_display(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {"display": shard.display(rows[column])}


def _snomed(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {"snomed_code": shard.word(rows["snomed"]), "snomed_display": shard.display(rows["snomed"])}


def _system(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {"system": gather(shard.words.systems, rows["code"])}


def _reaction(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {"reaction_code": shard.word(rows["reaction"]), "reaction_display": shard.display(rows["reaction"])}


def _observation(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return shard.observation(rows)


def _report_text(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    """Fill age and sex into the texts of reports."""
    text = shard.word(rows["text"])
    if not text.str.contains("{", literal=True).any():
        return {"text": text}
    person = shard.met.person[rows["encounter"]]
    age = np.floor(shard.people.age(person, floats(rows, "time")[0])).astype(np.int64)
    frame = pl.DataFrame({"text": text, "age": age, "sex": shard.level("patient.sex", shard.people.sex[person])})
    filled = frame.select(
        pl.col("text")
        .str.replace_all("{age}", pl.col("age").cast(pl.String), literal=True)
        .str.replace_all("{sex}", pl.col("sex"), literal=True)
    )
    return {"text": filled["text"]}


def _serial(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    return {"serial": "TEST-" + shard.keys["device"]}


_SITES = ("left deltoid", "right deltoid", "left thigh", "right thigh")


def _vaccine(shard: Draft, name: str, column: str, rows: Rows) -> Columns:
    """Site by age (thigh up to the first birthday), and a lot that no maker has given out.

    Kroger A et al., General Best Practice Guidelines for Immunization, ACIP 2023: vastus lateralis in infants, deltoid
    later.
    """
    met: Any = rows["encounter"]
    person = shard.met.person[met]
    u = shard.history.draw("vaccine", person, ordinals(person), width=2) if len(person) else np.zeros((0, 2))
    infant = shard.people.age(person, floats(rows, "time")[0]) < 1.0
    lots = pl.Series([f"TEST{i:03d}" for i in range(1000)])
    return {
        "site": gather(dictionary(list(_SITES)), (u[:, 0] < 0.4).astype(np.int64) + 2 * infant),
        "lot": gather(lots, (u[:, 1] * 1000).astype(np.int64)),
    }


EVENTS: Mapping[str, Mapping[str, How]] = {  # in an order in which links find their keys
    "order": {
        "time": _time,
        "kind": _level,
        "system": _system,
        "code": _coded,
        "reason": _reason,
        "status": _level,
    },
    "condition": {
        "code": _coded,
        "snomed": _snomed,
        "stage": _text,
        "onset": _time,
        "recorded": _time,
        "abatement": _time,
        "status": _level,
    },
    "observation": {"order": _link, "time": _time, "item": _observation},
    "report": {
        "order": _link,
        "time": _time,
        "kind": _level,
        "modality": _text,
        "site": lambda shard, name, column, rows: {"body_site": shard.word(rows["site"])},
        "code": _only_display,
        "text": _report_text,
    },
    "medication": {
        "code": _coded,
        "start": _time,
        "stop": _time,
        "dose": _number,
        "unit": lambda shard, name, column, rows: {"dose_unit": shard.word(rows["unit"])},
        "route": _text,
        "per_day": _number,
        "refills": _integer,
        "quantity": _number,
        "reason": _reason,
        "stop_reason": _text,
        "status": _level,
    },
    "procedure": {"code": _coded, "start": _time, "stop": _time, "reason": _reason},
    "immunization": {"code": _coded, "time": _time, "dose_number": _integer, "lot": _vaccine},
    "allergy": {
        "system": _system,
        "code": _coded,
        "category": _level,
        "reaction": _reaction,
        "severity": _level,
        "onset": _time,
    },
    "device": {"code": _coded, "start": _time, "stop": _time, "serial": _serial},
    "careplan": {"code": _coded, "start": _time, "stop": _time, "reason": _reason, "status": _level},
    "goal": {
        "careplan": _link,
        "description": _text,
        "code": _target,
        "start": _time,
        "status": _level,
    },
}
