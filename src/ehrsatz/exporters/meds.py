"""MEDS: one Parquet file of events per shard, and the metadata of codes, subjects and the whole.

Subjects are numbered by shard and row; the key they had is the text of their static event `PATIENT_ID`. The folder is
complete once `finish` has gathered the codes and drawn the splits: 8 : 1 : 1 by a hash of the patients' keys, so that a
patient keeps its split in a larger cohort.

References
----------
Medical Event Data Standard 0.4.1. github.com/Medical-Event-Data-Standard/meds
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from ehrsatz import __version__, loose
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.exporters.base import Clinical, Loss, Put, aside, writing
from ehrsatz.layouts import meds as layout
from ehrsatz.layouts.meds import EVENTS, EXTRA, SEPARATOR, Event

if TYPE_CHECKING:
    import pyarrow as pa

SUBJECTS_A_SHARD = 10_000_000  # numbers of subjects of shard k begin at k times this, plus one
SUBJECTS_AT_ONCE = 32  # rows of the wide events are many: so many subjects are in memory at a time
METADATA = ("codes.parquet", "subject_splits.parquet", "dataset.json")
ORIGIN = b"ehrsatz.origin"  # of the rows, in the metadata of a shard
FABRICATED = "ehrsatz: fabricated records, no real patient is in them; not for care"
REAL = "ehrsatz: export of records of real patients"
_WORLD = "MEDS holds what happens to subjects; of {} it keeps only the key in the events."
_ORDER = "(order)"  # of events of one subject at one time


class MedsExporter(Clinical):
    """Write events of subjects as the Medical Event Data Standard asks for them."""

    name: ClassVar[str] = "meds"
    suffix: ClassVar[str] = ".parquet"
    place: ClassVar[str] = "meds"
    reader: ClassVar[str] = "meds"
    gathers: ClassVar[bool] = True
    bytes_per_row: ClassVar[float] = 20.0
    losses: ClassVar[tuple[Loss, ...]] = (
        Loss("organization", None, _WORLD.format("organizations")),
        Loss("location", None, _WORLD.format("locations")),
        Loss("practitioner", None, _WORLD.format("practitioners")),
        Loss("payer", None, _WORLD.format("payers")),
    )

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        if not patients:
            return {}
        return {f"data/{part or 0}.parquet": lambda path: _write(dataset, part or 0, path)}

    def finish(self, folder: str | Path) -> tuple[Path, ...]:
        """Write the metadata over all shards: codes with their names, splits, and what the data set is.

        Raises
        ------
        OutputError
            When there are no shards, or two of them hold the same subject.
        """
        place = Path(folder) / self.place
        shards = sorted((place / "data").glob("*.parquet"), key=lambda path: (len(path.name), path.name))
        if not shards:
            raise OutputError("Expected shards of events.", "There are none.", "Export the records first.")
        target = place / "metadata"
        with writing("the folder"):
            target.mkdir(parents=True, exist_ok=True)
        made: tuple[pl.DataFrame | str, ...] = (_codes(shards), _splits(shards), _about(shards))
        paths = tuple(target / name for name in METADATA)
        for path, content in zip(paths, made):
            path.unlink(missing_ok=True)
            with aside(path) as partial:
                if isinstance(content, str):
                    partial.write_text(content, encoding="utf-8")
                else:
                    _to_parquet(content, partial)
        return paths

    def _read_back(self, path: Path) -> str:
        try:
            names = list(pl.read_parquet_schema(path))
            needed: list[str] = [name for name in ("subject_id", "time", "code") if name in names]
            frame = pl.read_parquet(path, columns=needed)
        except (pl.exceptions.PolarsError, OSError):
            return "is damaged"
        if path.parent.name == "metadata":
            return "" if frame.height else "holds no rows"
        if names != [*layout.CORE, *EXTRA]:
            return "has other columns"
        if frame["subject_id"].null_count() or frame["code"].null_count():
            return "events without a subject or a code"
        by_time = frame.select(
            (pl.col("subject_id") >= pl.col("subject_id").shift())
            & (
                (pl.col("subject_id") != pl.col("subject_id").shift())
                | (pl.col("time") >= pl.col("time").shift()).fill_null(pl.col("time").shift().is_null())
            )
        ).to_series()
        return "" if by_time.all(ignore_nulls=True) else "events are not in the order of subjects and times"


# ---------------------------------------------------------------------- events
def events(dataset: Dataset, part: int) -> Iterator[pl.DataFrame]:
    """Yield the events of a shard, some subjects at a time, sorted by subject and time, with all columns of the layout.

    Raises
    ------
    OutputError
        When the shard holds more subjects than a shard has numbers for.
    """
    patient = dataset.tables["patient"]
    if patient.height >= SUBJECTS_A_SHARD:
        raise OutputError(
            f"Expected fewer than {SUBJECTS_A_SHARD:,} subjects in a shard.", "There are more.", "Use smaller shards."
        )
    subjects = patient.select("patient_id", subject_id=pl.int_range(1, pl.len() + 1) + part * SUBJECTS_A_SHARD)
    tables = {"patient": patient, **{one.table: dataset.tables[one.table] for one in EVENTS}}
    numbered = {
        name: frame.join(subjects, on="patient_id", how="inner", maintain_order="left")
        for name, frame in tables.items()
    }
    for start in range(0, max(patient.height, 1), SUBJECTS_AT_ONCE):
        low = part * SUBJECTS_A_SHARD + start + 1
        mine = pl.col("subject_id").is_between(low, low + SUBJECTS_AT_ONCE - 1)
        yield _sorted({name: frame.filter(mine) for name, frame in numbered.items()})


def _sorted(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    frames = _of_patients(tables["patient"])
    for one in EVENTS:
        if tables[one.table].height:
            frames += _of_table(one, tables[one.table])
    whole = pl.concat(frames, how="diagonal")
    absent = [pl.lit(None, kind).alias(name) for name, kind in EXTRA.items() if name not in whole.columns]
    return (
        whole.with_columns(absent)
        .sort("subject_id", "time", _ORDER, nulls_last=False, maintain_order=True)
        .select(*layout.CORE, *EXTRA)
    )


def _of_patients(patient: pl.DataFrame) -> list[pl.DataFrame]:
    """One static event per fact of a patient, and birth and death."""
    timeless = pl.lit(None, pl.Datetime("us")).alias("time")

    def static(code: pl.Expr, order: int = 0, **cells: pl.Expr) -> pl.DataFrame:
        frame = patient.select("subject_id", timeless, code=code, **cells)
        return frame.drop_nulls(["code", *cells]).with_columns(pl.lit(order, pl.Int8).alias(_ORDER))

    out = [static(pl.lit(layout.SUBJECT), text_value=pl.col("patient_id"))]
    for column, head in layout.STATIC_WORDS.items():
        word = pl.col(column)
        shown = word.replace(layout.GENDERS) if column == "sex" else word
        out.append(static(pl.concat_str(pl.lit(head + SEPARATOR), shown), order=1))
    for column, head in layout.STATIC_TEXTS.items():
        out.append(static(pl.lit(head), order=2, text_value=pl.col(column)))
    income = static(pl.lit(layout.INCOME), order=2, value=pl.col("income"))
    out.append(income.with_columns(numeric_value=pl.col("value").cast(pl.Float32)))
    cause = pl.when(pl.col("death_time").is_null()).then(pl.col("death_cause"))
    out.append(static(pl.lit(layout.DEATH_CAUSE), order=2, reason_code=cause))
    birth = patient.select(
        "subject_id", pl.col("birth_date").cast(pl.Datetime("us")).alias("time"), code=pl.lit(layout.BIRTH)
    )
    death = patient.select(
        "subject_id", pl.col("death_time").alias("time"), code=pl.lit(layout.DEATH), reason_code=pl.col("death_cause")
    )
    out.append(birth.drop_nulls("time").with_columns(pl.lit(0, pl.Int8).alias(_ORDER)))
    out.append(death.drop_nulls("time").with_columns(pl.lit(9, pl.Int8).alias(_ORDER)))
    return out


def _of_table(one: Event, rows: pl.DataFrame) -> list[pl.DataFrame]:
    table = loose.schema()[one.table]
    own = {table.columns[0].name, "patient_id", "code", loose.SYSTEM, one.time, one.end, one.number, one.text}
    early = [name for name in table.names if name not in own and name not in one.late and name not in layout.PAYMENTS]
    named = [pl.col(name).alias(one.columns.get(name, name)) for name in early]
    late = [pl.col(name).alias(one.columns.get(name, name)) for name in one.late]
    key = pl.col(table.columns[0].name).alias("event_id")
    time = pl.lit(None, pl.Datetime("us")) if one.time is None else pl.col(one.time).cast(pl.Datetime("us"))
    values = []
    if one.number is not None:
        values += [pl.col(one.number).alias("value"), pl.col(one.number).cast(pl.Float32).alias("numeric_value")]
    if one.text is not None:
        values.append(pl.col(one.text).alias("text_value"))
    if one.table == "payment":
        return [_payment(rows, name, word, key, named) for name, word in layout.PAYMENTS.items()]
    code = _code(one, "code" in table.names)
    order = pl.lit(1 if one.table == "encounter" else 3, pl.Int8).alias(_ORDER)
    told = late
    if one.end is not None:  # what is known at the end alone stands there
        told = [pl.when(pl.col(one.end).is_null()).then(cell).alias(cell.meta.output_name()) for cell in late]
    out = [rows.select("subject_id", time.alias("time"), code(""), key, *values, *named, *told, order)]
    if one.end is not None:
        ended = rows.filter(pl.col(one.end).is_not_null())
        when = pl.col(one.end).cast(pl.Datetime("us")).alias("time")
        last = pl.lit(5 if one.table == "encounter" else 4, pl.Int8).alias(_ORDER)
        stay = [pl.col("encounter_id")] if "encounter_id" in early else []
        out.append(ended.select("subject_id", when, code(layout.END), key, *stay, *late, last))
    return out


def _payment(rows: pl.DataFrame, column: str, word: str, key: pl.Expr, named: list[pl.Expr]) -> pl.DataFrame:
    """The events of one of the parts of payments; the first part has one for every payment."""
    kept = rows if column == next(iter(layout.PAYMENTS)) else rows.filter(pl.col(column).is_not_null())
    return kept.select(
        "subject_id",
        pl.col("time"),
        pl.lit(f"PAYMENT{SEPARATOR}{word}").alias("code"),
        key,
        pl.col(column).alias("value"),
        pl.col(column).cast(pl.Float32).alias("numeric_value"),
        *named,
        pl.lit(3, pl.Int8).alias(_ORDER),
    )


def _code(one: Event, coded: bool) -> Callable[[str], pl.Expr]:
    """Return what makes the code of an event, or of its end, of a row."""

    def make(ending: str) -> pl.Expr:
        head = one.head + ending
        if not coded:
            word = next((name for name, column in one.columns.items() if column == "category"), None)
            if word is None or ending:
                return pl.lit(head).alias("code")
            second = pl.concat_str(pl.lit(SEPARATOR), pl.col(word)).fill_null("")
            return pl.concat_str(pl.lit(head), second).alias("code")
        # "%" and "//" within a system are escaped, so that the code's own "//" are told apart
        system = pl.col(loose.SYSTEM).str.replace_all("%", "%25", literal=True)
        system = system.str.replace_all(SEPARATOR, "%2F%2F", literal=True)
        tail = pl.concat_str(pl.lit(SEPARATOR), pl.col("code")).fill_null("")
        middle = pl.concat_str(pl.lit(SEPARATOR), system)
        unsaid = pl.when(pl.col("code").is_not_null()).then(pl.lit(SEPARATOR)).otherwise(pl.lit(""))
        return pl.concat_str(pl.lit(head), middle.fill_null(unsaid), tail).alias("code")

    return make


# ---------------------------------------------------------------------- files
def _write(dataset: Dataset, part: int, path: Path) -> None:
    """Write a shard, a row group for some subjects."""
    import pyarrow.parquet as pq

    origin = dataset.provenance.origin.encode()
    shape = _arrow_schema({**layout.CORE, **EXTRA}).with_metadata({ORIGIN: origin})
    with pq.ParquetWriter(path, shape, compression="zstd") as writer:
        for frame in events(dataset, part):
            writer.write_table(frame.to_arrow().cast(shape))


def _to_parquet(frame: pl.DataFrame, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(frame.to_arrow().cast(_arrow_schema(frame.schema)), path, compression="zstd")


def _arrow_schema(columns: Mapping[str, pl.DataType]) -> pa.Schema:
    """Return the Arrow types that the standard names: short strings but for `text_value`."""
    import pyarrow as pa

    kinds: dict[Any, Any] = {
        pl.Int64: pa.int64(),
        pl.Float32: pa.float32(),
        pl.Float64: pa.float64(),
        pl.String: pa.string(),
        pl.Datetime: pa.timestamp("us"),
        pl.List: pa.list_(pa.string()),
    }
    needed = {"subject_id", "code", "split"}
    return pa.schema(
        pa.field(
            name,
            pa.large_string() if name == "text_value" else kinds[kind.base_type()],
            nullable=name not in needed,
        )
        for name, kind in columns.items()
    )


def _codes(shards: list[Path]) -> pl.DataFrame:
    """Every code once, with the first of its names and, as parent, the code of its system."""
    seen = (
        pl.scan_parquet(shards)
        .group_by("code")
        .agg(description=pl.col("display").min())
        .collect(engine="streaming")
        .sort("code")
    )
    parts = pl.col("code").str.splitn(SEPARATOR, 3)
    system, code = parts.struct.field("field_1"), parts.struct.field("field_2")
    heads = {one.head + ending for one in EVENTS for ending in ("", layout.END)}
    known = parts.struct.field("field_0").is_in(list(heads)) & code.is_not_null() & (system != "")
    parent = pl.when(known).then(pl.concat_list(pl.concat_str(system, pl.lit("/"), code)))
    named = seen.group_by(_stem()).agg(pl.col("description").min())
    joined = seen.with_columns(_stem()).join(named, on="stem", how="left", suffix="_of_start", maintain_order="left")
    return joined.select(
        "code", description=pl.coalesce("description", "description_of_start"), parent_codes=parent
    )  # the end of an event has the name of its start


def _stem() -> pl.Expr:
    return pl.col("code").str.replace(f"^([A-Z_]+?){layout.END}(//|$)", "${1}${2}").alias("stem")


def _splits(shards: list[Path]) -> pl.DataFrame:
    """A split for every subject, by a hash of the key it had."""
    subjects = (
        pl.scan_parquet(shards)
        .filter(pl.col("code") == layout.SUBJECT)
        .select("subject_id", "text_value")
        .collect(engine="streaming")
        .sort("subject_id")
    )
    if subjects["subject_id"].n_unique() < subjects.height:
        raise OutputError(
            "Expected every subject in one shard.", "Some subjects are in two.", "Export each part of a cohort once."
        )
    words = [name for name, share in layout.SPLITS for _ in range(share)]
    hashed = [
        words[int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) % len(words)]
        for key in subjects["text_value"].to_list()
    ]
    return subjects.select("subject_id", split=pl.Series(hashed, dtype=pl.String))


def _about(shards: list[Path]) -> str:
    """What the data set is: the name says whether all shards are of fabricated records."""
    import pyarrow.parquet as pq

    origins = {(pq.read_schema(shard).metadata or {}).get(ORIGIN, b"real") for shard in shards}
    about = {
        "dataset_name": REAL if origins & {b"real", b"mixed"} else FABRICATED,
        "etl_name": "ehrsatz",
        "etl_version": __version__,
        "meds_version": layout.MEDS_VERSION,
        "raw_source_id_columns": list(layout.SOURCE_IDS),
        "code_modifier_columns": list(layout.MODIFIERS),
        "additional_value_modality_columns": list(layout.VALUES),
        "site_id_columns": list(layout.SITES),
        "other_extension_columns": list(layout.OTHERS),
    }
    return json.dumps(about, indent=2) + "\n"
