"""How fast one core writes and reads each format, beside what the same machine can do in the same run.

    python -m benchmarks.formats.writing [--n 1000] [--record-years 2] [--formats fhir hl7v2 ...]

Columns are ready; what is timed is from them to files on disk (and, for databases, to the finished database). The limit
beside each format is a plain writer of the same content by a fast library: it knows no FHIR, no HL7, no keys.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.simulator.results import keep, kept

ASKED = {  # format -> (what is counted, per CPU second)
    "parquet": ("rows", 1_000_000),
    "csv": ("rows", 800_000),
    "fhir": ("resources", 50_000),
    "omop_duckdb": ("rows", 300_000),
    "hl7v2": ("messages", 30_000),
}


def cohort(n: int, record_years: float) -> Any:
    """Return simulated patients."""
    from ehrsatz.simulation import simulate

    return simulate("clinic", n=n, seed=1, record_years=record_years)


def count(name: str, place: Path, dataset: Any) -> int:
    """Return how many resources, messages, documents, events or rows a format's files hold."""
    if name == "fhir":
        return sum(path.read_bytes().count(b"\n") for path in place.rglob("*.ndjson"))
    if name == "fhir_bundle":
        return sum(path.read_bytes().count(b'"fullUrl"') for path in place.rglob("*.json"))
    if name == "hl7v2":
        return sum(path.read_bytes().count(b"MSH|") for path in place.rglob("*") if path.is_file())
    if name == "ccda":
        return sum(1 for _ in place.rglob("*.xml"))
    if name == "x12":
        return sum(path.read_bytes().count(b"CLM*") + path.read_bytes().count(b"CLP*") for path in _files(place))
    return int(dataset.n_rows)


WORDS = {"fhir": "resources", "fhir_bundle": "resources", "hl7v2": "messages", "ccda": "documents", "x12": "claims"}


def _files(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


def measure(name: str, dataset: Any, repeat: int = 3) -> dict[str, Any]:
    """Write and read one format; CPU seconds are the least of several runs."""
    from ehrsatz import registry
    from ehrsatz.sources.canonical import CanonicalSource

    exporter = registry.find("exporters", name)()
    times: list[float] = []
    root = Path(tempfile.mkdtemp())
    try:
        for number in range(repeat):
            folder = root / str(number)
            begun = time.process_time()
            exporter.write(dataset, folder)
            exporter.finish(folder)
            times.append(time.process_time() - begun)
        place = folder / exporter.place
        size = sum(path.stat().st_size for path in _files(place))
        number = count(name, place, dataset)
        reader = getattr(exporter, "reader", None)
        source = CanonicalSource(exporter.suffix) if reader is None else registry.find("sources", reader)()
        begun = time.process_time()
        source.read(place, origin="simulated")
        read_s = time.process_time() - begun
    finally:
        shutil.rmtree(root)
    return {
        "n": dataset.n_subjects,
        "rows": dataset.n_rows,
        "units": number,
        "unit": WORDS.get(name, "rows"),
        "bytes": size,
        "write_s": min(times),
        "read_s": read_s,
    }


# ---------------------------------------------------------------------- limits
def _timed(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def limits(dataset: Any) -> dict[str, dict[str, Any]]:
    """Return what plain writers reach here: format -> units per CPU second, and what wrote."""
    import duckdb
    import orjson
    import polars as pl
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as arrow_parquet

    rows = dataset.n_rows
    seen = dataset.tables["observation"]
    out: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tables = {name: frame.to_arrow() for name, frame in dataset.tables.items()}

        def parquet() -> None:
            for name, table in tables.items():
                arrow_parquet.write_table(table, folder / f"{name}.parquet", compression="zstd", compression_level=3)

        def csv() -> None:
            for name, table in tables.items():
                arrow_csv.write_csv(table, folder / f"{name}.csv")

        def database() -> None:
            base = duckdb.connect(str(folder / "plain.duckdb"), config={"threads": 1})
            for name, table in tables.items():
                base.register("given", table)
                base.execute(f'CREATE TABLE "{name}" AS SELECT * FROM given')
            base.close()

        out["parquet"] = {"rate": rows / _timed(parquet), "by": "pyarrow, the same tables"}
        out["csv"] = {"rate": rows / _timed(csv), "by": "pyarrow, the same tables"}
        out["omop_duckdb"] = {"rate": rows / _timed(database), "by": "DuckDB, the same tables as they are, no keys"}
        names = ("observation_id", "patient_id", "time", "code", "value", "unit")
        few = seen.head(100_000).with_columns(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S+00:00"))
        dicts = [
            {"resourceType": "Observation", "id": a, "subject": {"reference": b}, "effectiveDateTime": c,
             "code": {"coding": [{"code": d}]}, "valueQuantity": {"value": e, "unit": f}}
            for a, b, c, d, e, f in few.select(names).iter_rows()
        ]  # fmt: skip

        def ndjson() -> None:
            with (folder / "plain.ndjson").open("wb") as stream:
                for one in dicts:
                    stream.write(orjson.dumps(one) + b"\n")

        out["fhir"] = {"rate": len(dicts) / _timed(ndjson), "by": "orjson, small Observations that are dicts already"}
        lines = list(few.select(names).iter_rows())

        def pipes() -> None:
            with (folder / "plain.hl7").open("w") as stream:
                for a, b, c, d, e, f in lines:
                    stream.write(
                        f"MSH|^~\\&|A|B|C|D|{c}||ORU^R01|{a}|T|2.5.1\rPID|||{b}\rOBX|1|NM|{d}||{e}|{f}|||||F\r"
                    )

        out["hl7v2"] = {"rate": len(lines) / _timed(pipes), "by": "Python, messages of three short segments"}
    return out


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    held = {name: one for name, one in results.items() if name != "limits"}
    limits_ = results.get("limits", {})
    some = next(iter(held.values()))
    lines = [
        f"{some['n']:,} patients, {some['rows'] / some['n']:,.0f} rows each; columns are ready; CPU seconds of one "
        "core.",
        "",
        "| format | counted | a CPU second | asked | plain writer | share of it | rows/s | MB/s | bytes a row "
        "| read, rows/s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in held.items():
        rate = one["units"] / one["write_s"]
        wanted = ASKED.get(name)
        verdict = "" if wanted is None else f"{wanted[1]:,}, {'met' if rate >= wanted[1] else '**missed**'}"
        limit = limits_.get(name)
        plain = "" if limit is None else f"{limit['rate']:,.0f}"
        share = "" if limit is None else f"{rate / limit['rate']:.0%}"
        lines.append(
            f"| {name} | {one['units']:,} {one['unit']} | {rate:,.0f} | {verdict} | {plain} | {share} "
            f"| {one['rows'] / one['write_s']:,.0f} | {one['bytes'] / one['write_s'] / 1e6:,.0f} "
            f"| {one['bytes'] / one['rows']:,.0f} | {one['rows'] / one['read_s']:,.0f} |"
        )
    lines += ["", "Plain writers: " + "; ".join(f"{name}: {one['by']}" for name, one in limits_.items()) + ".", ""]
    return "\n".join(lines)


def main() -> None:
    """Measure, keep, print."""
    from ehrsatz import registry

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000)
    parser.add_argument("--record-years", type=float, default=2.0)
    parser.add_argument("--formats", nargs="+", default=[n for n in registry.names("exporters") if n != "layout"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--results", type=Path, required=True)
    given = parser.parse_args()
    dataset = cohort(given.n, given.record_years)
    place = given.results / "writing.json"
    for name in given.formats:
        keep(place, name, measure(name, dataset, given.repeat))
    keep(place, "limits", limits(dataset))
    print(table(kept(place)))
    print(json.dumps({"formats": len(given.formats)}))


if __name__ == "__main__":
    main()
