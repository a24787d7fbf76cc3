"""What a release says about itself: versions, seeds, scenario, policy, hashes of files and of content.

The manifest holds no clock time, host, user or path. Its bytes follow from its content alone, and it carries its own
hash, so that a changed byte in it is found like one in any other file. A hash shows that nothing was changed by
accident or by a hand that did not recompute it; `signature.json` beside it is what shows the rest.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ehrsatz import __version__
from ehrsatz.capsule.contents import MANIFEST, Contents
from ehrsatz.capsule.strict import render
from ehrsatz.dataset import Dataset
from ehrsatz.schema import Table

FORMAT = 1
NAME = MANIFEST
_PARTS = ("numpy", "scipy", "polars", "pyarrow", "scikit-learn", "pydantic")  # what the bytes of a release rest on

__all__ = ["FORMAT", "NAME", "build", "content", "content_hash", "dependencies", "file_hash", "own_hash", "render"]


def build(contents: Contents, *, kept: bool, files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the manifest of a release as plain JSON types.

    Parameters
    ----------
    contents
        What was written.
    kept
        Whether the rows are in the release; without them, neither are their hashes.
    files
        Path relative to the release -> the file.
    """
    dataset = contents.synthetic
    data = {
        "format": FORMAT,
        "synthetic": dataset.provenance.origin in {"generated", "simulated"},
        "ehrsatz": __version__,
        "python": platform.python_version(),
        "dependencies": dependencies(),
        "decision": contents.verdict.decision,
        "date": contents.date,
        "seed": contents.scenario.get("seed"),
        "scenario": dict(contents.scenario),
        "generator": dict(contents.generator),
        "policy": {
            key: contents.verdict.policy[key]
            for key in ("name", "version", "purpose", "audience", "valid_days")
            if key in contents.verdict.policy
        },
        "policy_fingerprint": fingerprint(contents.verdict.policy),
        "attacks": attacks(contents),
        "schema_fingerprint": dataset.schema.fingerprint,
        "provenance": dataset.provenance.as_dict(),
        "n_subjects": dataset.n_subjects,
        "data_included": kept,
        "content": content(dataset) if kept and isinstance(dataset, Dataset) else {},
        "documents": sorted(contents.documents),
        "files": {name: file_hash(path) for name, path in sorted(files.items())},
        "sizes": {name: path.stat().st_size for name, path in sorted(files.items())},
    }
    data["sha256"] = own_hash(data)
    return data


def own_hash(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its own `sha256` entry."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(render(rest)).hexdigest()


def fingerprint(policy: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a policy as it stands in a verdict, whatever version of ehrsatz reads it."""
    text = json.dumps(dict(policy), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def attacks(contents: Contents) -> dict[str, Any]:
    """Return which measures of privacy were tried, by which version: what they did not try, nobody knows."""
    measures = contents.measures
    tried = {str(one["metric"]): str(one.get("status", "measured")) for one in contents.scored}
    privacy = {name: tried[name] for name in sorted(tried) if measures.get(name, {}).get("family") == "privacy"}
    return {"version": __version__, "measures": privacy}


def dependencies() -> dict[str, str]:
    """Return the installed versions of the packages that the bytes of a release rest on."""
    found = {}
    for name in _PARTS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def content(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return rows and content hash of each table."""
    return {
        table.name: {
            "rows": dataset.tables[table.name].height,
            "sha256": content_hash(dataset.tables[table.name], table),
        }
        for table in dataset.schema.tables
    }


def content_hash(frame: pl.DataFrame, table: Table) -> str:
    """Return the SHA-256 of a table's cells, whatever file format they lie in.

    Hashed in this order: table name; per column its name, its kind, the mask of missing cells, and the cells: numbers,
    days and microseconds as little-endian 64-bit words, text as lengths and UTF-8 bytes.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([table.name, frame.height]).encode())
    for column in table.columns:
        cells = frame[column.name].rechunk()
        digest.update(json.dumps([column.name, column.kind]).encode())
        digest.update(np.packbits(cells.is_null().to_numpy()).tobytes())
        if cells.dtype == pl.String:
            filled = cells.fill_null("")
            digest.update(filled.str.len_bytes().cast(pl.Int64).to_numpy().astype("<i8").tobytes())
            digest.update("".join(filled.to_list()).encode())
        elif cells.dtype == pl.Float64:
            digest.update((cells.fill_null(0.0).to_numpy() + 0.0).astype("<f8").tobytes())  # -0.0 becomes 0.0
        else:
            digest.update(cells.to_physical().cast(pl.Int64).fill_null(0).to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
