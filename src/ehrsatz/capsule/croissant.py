"""The data described for machine learning: MLCommons Croissant 1.1 with the terms of its RAI extension.

Every data file stands with its hash and size, every table as a set of records with typed fields and its links. Columns
are read from Parquet where that is written, else from CSV; a cell that CSV spells in the source's own way is text.

References
----------
Akhtar et al., Croissant: A Metadata Format for ML-Ready Datasets, DEEM 2024, doi:10.1145/3650203.3663326. Jain et al.,
A Standardized Machine-readable Dataset Documentation Format for Responsible AI, 2024, arXiv:2407.16883.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ehrsatz import __version__
from ehrsatz.capsule.contents import NOT_FOR, USES, Contents
from ehrsatz.capsule.manifest import file_hash
from ehrsatz.schema import Column, Table

CONFORMS = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
MEDIA = {".csv": "text/csv", ".parquet": "application/x-parquet"}
_TYPES = {
    "integer": "sc:Integer",
    "number": "sc:Float",
    "boolean": "sc:Boolean",
    "date": "sc:Date",
    "datetime": "sc:DateTime",
}


def build(contents: Contents, data: Mapping[str, Path]) -> dict[str, Any]:
    """Return the description as JSON-LD.

    Parameters
    ----------
    contents
        What the release holds.
    data
        Path in the release -> data file.
    """
    out = contents.output
    ids = Ids()
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": contents.title,
        "description": " ".join((contents.summary, *contents.limits)),
        "conformsTo": CONFORMS,
        "license": out.get("licence") or "No licence was stated; ask whoever gave you these data.",
        "version": "1.0.0",
        "keywords": ["synthetic data", "health", f"ehrsatz {__version__}"],
        "creator": {"@type": "sc:Organization", "name": out.get("publisher") or f"ehrsatz {__version__} (software)"},
        "rai:dataCollection": (
            "No data were collected for this dataset: its patients were simulated from published medical knowledge."
            if contents.simulated
            else "No data were collected for this dataset: its rows were drawn from a statistical model fitted "
            "to a real table. The real table is not part of it."
        ),
        "rai:dataCollectionType": ["Synthetic data generation"],
        "rai:dataBiases": _biases(contents),
        "rai:dataLimitations": [*contents.limits, *NOT_FOR],
        "rai:dataUseCases": [*USES, *([contents.purpose] if contents.purpose else [])],
        "rai:personalSensitiveInformation": _sensitive(contents),
        "distribution": [*(_file(name, path, ids) for name, path in sorted(data.items())), *_sets(data, ids)],
        "recordSet": [
            one
            for table in contents.synthetic.schema.tables
            if (one := _records(table, data, contents, ids)) is not None
        ],
    }
    if contents.date is not None:
        described["datePublished"] = contents.date
    return described


_MISSING = {"", "NA", "N/A", "NaN", "nan", "n/a", "null", "NULL", "None"}  # what readers of CSV take for missing


class Ids:
    """Names as identifiers without blanks and commas, which Croissant does not take; different names stay different."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, ...], str] = {}
        self._taken: set[str] = set()

    def of(self, *names: str) -> str:
        """Return the identifier of a file, a table, or a column of a table; the same one each time."""
        if names not in self._given:
            plain = "/".join(re.sub(r"[^\w./-]", "_", name) for name in names)
            number, found = 1, plain
            while found in self._taken:
                number, found = number + 1, f"{plain}_{number + 1}"
            self._taken.add(found)
            self._given[names] = found
        return self._given[names]


def _file(name: str, path: Path, ids: Ids) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": ids.of(name),
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": MEDIA.get(path.suffix, "application/octet-stream"),
        "sha256": file_hash(path),
    }


def _sets(data: Mapping[str, Path], ids: Ids) -> list[dict[str, Any]]:
    """Describe the tables that lie in parts as sets of files."""
    parts: dict[tuple[str, str], list[str]] = {}
    for name, path in sorted(data.items()):
        parts.setdefault((table_of(path), path.suffix), []).append(name)
    return [
        {
            "@type": "cr:FileSet",
            "@id": ids.of(f"{table}-parts{suffix}"),
            "name": f"{table}-parts{suffix}",
            "containedIn": [{"@id": ids.of(name)} for name in names],
            "encodingFormat": MEDIA.get(suffix, "application/octet-stream"),
            "includes": f"*/{table}-*{suffix}",
        }
        for (table, suffix), names in sorted(parts.items())
        if len(names) > 1
    ]


def _records(table: Table, data: Mapping[str, Path], contents: Contents, ids: Ids) -> dict[str, Any] | None:
    """Describe a table by the file that types it best; None where its rows are not in the release."""
    names = {path.suffix: name for name, path in sorted(data.items(), reverse=True) if table_of(path) == table.name}
    suffix = next((one for one in (".parquet", ".csv") if one in names), None)
    if suffix is None:
        return None
    parted = sum(path.suffix == suffix and table_of(path) == table.name for path in data.values()) > 1
    source = ("fileSet", ids.of(f"{table.name}-parts{suffix}")) if parted else ("fileObject", ids.of(names[suffix]))
    keys = [one.name for one in table.columns if one.role in {"key", "subject"} and not table.time]
    links = {one.column: one for one in table.links}
    fields = []
    for column in table.columns:
        field = {
            "@type": "cr:Field",
            "@id": ids.of(table.name, column.name),
            "name": column.name,
            "description": told_column(column),
            "dataType": _type(column, suffix),
            "source": {source[0]: {"@id": source[1]}, "extract": {"column": column.name}},
        }
        link = links.get(column.name)
        if link is not None and any(table_of(path) == link.to_table for path in data.values()):
            field["references"] = {"field": {"@id": ids.of(link.to_table, link.to_column)}}
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": ids.of(table.name),
        "name": table.name,
        "description": f"{contents.synthetic.tables[table.name].height:,} synthetic rows of {table.name}.",
        **({"key": {"@id": ids.of(table.name, keys[0])}} if keys else {}),
        "field": fields,
    }


def table_of(path: Path) -> str:
    """Return the table that a data file holds, or a part of."""
    return re.sub(r"-\d{5}$", "", path.stem)


def _type(column: Column, suffix: str) -> str:
    """Return the Croissant type of a column in a file of that kind."""
    if suffix == ".csv":
        own = column.format is not None and not (column.kind == "boolean" and column.format == "true/false")
        if own or set(column.missing) - _MISSING:
            return "sc:Text"
    return _TYPES.get(column.kind, "sc:Text")


def told_column(column: Column) -> str:
    """Return in a few words what a column holds: its description, unit, code system and bounds."""
    parts = [column.description or column.kind]
    if column.unit:
        parts.append(f"in {column.unit}")
    if column.system:
        parts.append(f"codes of {column.system}")
    if column.minimum is not None or column.maximum is not None:
        parts.append(f"from {column.minimum} to {column.maximum}")
    return ", ".join(parts)


def _biases(contents: Contents) -> list[str]:
    """Return what the scores say of subgroups, and that the rest is unknown."""
    told = [
        f"{one['meaning']} (score {one['metric']})"
        for one in contents.scored
        if one.get("status", "measured") == "measured"
        and one.get("meaning")
        and contents.measures.get(str(one["metric"]), {}).get("family") == "fairness"
    ]
    return [*told, "Biases of the real table are learned with it; what was not measured is not known."]


def _sensitive(contents: Contents) -> list[str]:
    """Return which columns were withheld from the model, and which would be sensitive of real persons."""
    columns = [(table.name, column) for table in contents.synthetic.schema.tables for column in table.columns]
    direct = [f"{table}.{column.name}" for table, column in columns if column.disclosure == "direct"]
    rest = [f"{table}.{column.name}" for table, column in columns if column.disclosure == "sensitive"]
    told = ["The rows describe no real person."]
    if direct:
        told.append(f"Direct identifiers were withheld from the model and fabricated anew: {', '.join(direct)}.")
    if rest:
        told.append(f"Columns that would be sensitive of a real person: {', '.join(rest)}.")
    return told
