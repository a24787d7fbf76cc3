"""What a release says about itself: versions, seeds, scenario, hashes of files and of content.

The manifest holds no clock time, host, user or path. Its bytes follow from its content alone, and it carries its own
hash, so that a changed byte in it is found like one in any other file. A hash shows that nothing was changed by
accident or by a hand that did not recompute it; it is no signature.
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
from ehrsatz.dataset import Dataset
from ehrsatz.schema import Table

FORMAT = 1
NAME = "manifest.json"
_PARTS = ("numpy", "scipy", "polars", "pyarrow", "scikit-learn", "pydantic")  # what the bytes of a release rest on


def build(
    *,
    decision: str,
    scenario: Mapping[str, Any],
    generator: Mapping[str, Any],
    policy_fingerprint: str,
    dataset: Dataset,
    kept: bool,
    files: Mapping[str, str],
) -> dict[str, Any]:
    """Return the manifest of a release as plain JSON types.

    Parameters
    ----------
    decision
        pass, hold or deny.
    scenario
        The public part of the scenario.
    generator
        Name and parameters.
    policy_fingerprint
        Hash of the policy that judged.
    dataset
        The synthetic tables: counts, content hashes, schema fingerprint and provenance come from them.
    kept
        Whether the rows are in the release; without them, neither are their hashes.
    files
        Path relative to the release -> SHA-256.
    """
    data = {
        "format": FORMAT,
        "ehrsatz": __version__,
        "python": platform.python_version(),
        "dependencies": dependencies(),
        "decision": decision,
        "seed": scenario.get("seed"),
        "scenario": dict(scenario),
        "generator": dict(generator),
        "policy_fingerprint": policy_fingerprint,
        "schema_fingerprint": dataset.schema.fingerprint,
        "provenance": dataset.provenance.as_dict(),
        "n_subjects": dataset.n_subjects,
        "data_included": kept,
        "content": content(dataset) if kept else {},
        "files": dict(sorted(files.items())),
    }
    data["sha256"] = own_hash(data)
    return data


def render(manifest: Mapping[str, Any]) -> bytes:
    """Return the one spelling of a manifest: sorted keys, two spaces, UTF-8, a newline at the end."""
    return (json.dumps(manifest, ensure_ascii=False, sort_keys=True, indent=2) + "\n").encode()


def own_hash(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its own `sha256` entry."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(render(rest)).hexdigest()


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
