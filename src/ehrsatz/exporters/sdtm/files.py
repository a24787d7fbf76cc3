"""Datasets as Dataset-JSON v1.1 and as CSV.

The standard wants the time at which a file was made; the same records must give the same bytes, so that it is a fixed
one. Text columns are written as they are, without a limit of 200 characters, which is one of SAS transport files.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from ehrsatz import __version__
from ehrsatz.layouts import sdtm as layout
from ehrsatz.layouts.sdtm import DOMAINS, SUPP, TS, Variable

CREATED = "2000-01-01T00:00:00"  # of every file: output holds no clock
FABRICATED = "ehrsatz: fabricated records, no real subject; not for care"
REAL = "ehrsatz: export of records of real subjects"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_KINDS = {"text": "string", "integer": "integer", "float": "float", "date": "date", "datetime": "datetime"}


def to_json(frame: pl.DataFrame, name: str, part: int | None, study: str, originator: str, path: Path) -> None:
    """Write a dataset as Dataset-JSON.

    Parameters
    ----------
    frame
        With the variables of the dataset.
    name
        Of the domain, as LB or SUPPLB.
    part
        Number of the shard where it is a split dataset, whose name then ends with two letters or digits.
    study
        STUDYID.
    originator
        Who made the file, and whether its subjects are real.
    path
        File to write.
    """
    variables, label, keys = _about(name)
    columns = [_column(one, name, frame, keys) for one in variables]
    head = {
        "datasetJSONCreationDateTime": CREATED,
        "datasetJSONVersion": "1.1.0",
        "fileOID": f"ehrsatz.{study}.{name}" + ("" if part is None else f".{part:05d}"),
        "originator": originator,
        "sourceSystem": {"name": "ehrsatz", "version": __version__},
        "studyOID": study,
        "metaDataVersionOID": f"MDV.SDTMIG.{layout.VERSION}",
        "itemGroupOID": f"IG.{name}",
        "records": frame.height,
        "name": name if part is None else f"{name}{_short(part)}",
        "label": label,
        "columns": columns,
    }
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f'{text},"rows":[')
        for start in range(0, frame.height, 100_000):
            rows = _rows(frame[start : start + 100_000], variables)
            file.write("," if start else "")
            file.write(rows.str.join(",").item())
        file.write("]}\n")


def to_csv(frame: pl.DataFrame, path: Path) -> None:
    """Write a dataset as CSV, with its variables as the first line."""
    frame.write_csv(path)


def summary(study: str, drug: str | None, title: str) -> pl.DataFrame:
    """Return the trial summary: that this is an observational study, and of what records."""
    facts = [
        ("TITLE", "Trial Title", title),
        ("STYPE", "Study Type", "OBSERVATIONAL"),
        ("SEXPOP", "Sex of Participants", "BOTH"),
        ("SDTIGVER", "SDTM IG Version", layout.VERSION),
        ("SDTMVER", "SDTM Version", layout.MODEL),
    ]
    if drug is not None:
        facts.append(("TRT", "Investigational Therapy or Treatment", drug))
    frame = pl.DataFrame(facts, schema=["TSPARMCD", "TSPARM", "TSVAL"], orient="row")
    return frame.select(
        STUDYID=pl.lit(study),
        DOMAIN=pl.lit("TS"),
        TSSEQ=pl.lit(1, pl.Int64),
        TSPARMCD="TSPARMCD",
        TSPARM="TSPARM",
        TSVAL="TSVAL",
    )


def _about(name: str) -> tuple[tuple[Variable, ...], str, tuple[str, ...]]:
    if name == "TS":
        return TS, "Trial Summary", ("STUDYID", "TSPARMCD", "TSSEQ")
    if name.startswith("SUPP"):
        return SUPP, f"Supplemental Qualifiers for {name[4:]}", layout.SUPP_KEYS
    return DOMAINS[name].variables, DOMAINS[name].label, DOMAINS[name].keys


def _column(one: Variable, name: str, frame: pl.DataFrame, keys: tuple[str, ...]) -> dict[str, str | int]:
    column: dict[str, str | int] = {
        "itemOID": f"IT.{name}.{one.name}",
        "name": one.name,
        "label": one.label,
        "dataType": _KINDS[one.kind],
    }
    if one.kind == "text":
        longest = frame[one.name].str.len_chars().max() if frame.height else None
        column["length"] = max(int(longest or 0), 1)  # type: ignore[arg-type]
    if one.name in keys:
        column["keySequence"] = keys.index(one.name) + 1
    return column


def _short(part: int) -> str:
    """Two letters or digits for the number of a shard; of 1,296 shards and more the last two."""
    return _DIGITS[part // 36 % 36] + _DIGITS[part % 36]


def _rows(frame: pl.DataFrame, variables: tuple[Variable, ...]) -> pl.Series:
    """Return each row as a JSON array."""
    cells = []
    for one in variables:
        if frame.schema[one.name] == pl.String:
            text = pl.lit(quoted(frame[one.name]))
            cells.append(pl.concat_str(pl.lit('"'), text, pl.lit('"')).fill_null("null"))
        else:
            cells.append(pl.col(one.name).cast(pl.String).fill_null("null"))
    joined = pl.concat_str(cells, separator=",")
    return frame.select(pl.concat_str(pl.lit("["), joined, pl.lit("]"))).to_series()


def quoted(column: pl.Series) -> pl.Series:
    """Return text as it stands between the quotation marks of JSON."""
    if not column.str.contains(r'[\x00-\x1f"\\]').any():
        return column
    kinds = column.unique().drop_nulls()
    odd = kinds.filter(kinds.str.contains(r'[\x00-\x1f"\\]')).to_list()
    return column.replace({text: json.dumps(text, ensure_ascii=False)[1:-1] for text in odd})
