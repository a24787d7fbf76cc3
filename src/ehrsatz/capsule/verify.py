"""Check a release against its manifest: every byte, every file, and the cells themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from ehrsatz.capsule import manifest
from ehrsatz.errors import EhrsatzError
from ehrsatz.schema import Schema


def verify(folder: str | Path) -> list[str]:
    """Return the problems of a release, none where it is as it was written.

    Found are a changed byte in any file, a file that was added or is absent, and tables whose cells differ from the
    content hashes. Problems name files, never cells.
    """
    target = Path(folder)
    if not target.is_dir():
        return ["there is no such folder"]
    try:
        raw = (target / manifest.NAME).read_bytes()
        told = json.loads(raw)
    except FileNotFoundError:
        return [f"{manifest.NAME}: absent, so nothing can be checked"]
    except (OSError, ValueError, RecursionError):
        return [f"{manifest.NAME}: cannot be read"]
    if not isinstance(told, dict) or not isinstance(told.get("files"), dict):
        return [f"{manifest.NAME}: is no manifest"]
    newer = told.get("format")
    if isinstance(newer, int) and newer > manifest.FORMAT:
        return [f"{manifest.NAME}: written by a newer ehrsatz; upgrade with: pip install -U ehrsatz"]
    problems = []
    if manifest.render(told) != raw or manifest.own_hash(told) != told.get("sha256"):
        problems.append(f"{manifest.NAME}: changed since the release was written")
    problems += _check_files(target, told["files"])
    return problems or _check_content(target, told)


def _check_files(target: Path, listed: dict[str, Any]) -> list[str]:
    problems = []
    present = {path.relative_to(target).as_posix(): path for path in sorted(target.rglob("*")) if not path.is_dir()}
    for name in sorted(set(listed) - set(present)):
        problems.append(f"{name}: absent")
    for name in sorted(set(present) - set(listed) - {manifest.NAME}):
        problems.append(f"{name}: added since the release was written")
    for name in sorted(set(present) & set(listed)):
        path = present[name]
        if path.is_symlink():
            problems.append(f"{name}: is a link, no file")
            continue
        try:
            same = manifest.file_hash(path) == listed[name]
        except OSError:
            problems.append(f"{name}: cannot be read")
            continue
        if not same:
            problems.append(f"{name}: changed since the release was written")
    return problems


def _check_content(target: Path, told: dict[str, Any]) -> list[str]:
    """Compare the typed tables (Parquet) with the content hashes of the manifest."""
    content = told.get("content") or {}
    if not content:
        return []
    try:
        schema = Schema.from_yaml((target / "schema.yaml").read_text(encoding="utf-8"))
    except (OSError, EhrsatzError):
        return ["schema.yaml: cannot be read as a schema"]
    problems = []
    if schema.fingerprint != told.get("schema_fingerprint"):
        problems.append("schema.yaml: its fingerprint differs from the manifest")
    for table in schema.tables:
        path = target / "data" / f"{table.name}.parquet"
        if not path.is_file():
            continue
        entry = content.get(table.name, {})
        if manifest.content_hash(pl.read_parquet(path), table) != entry.get("sha256"):
            problems.append(f"data/{path.name}: its cells differ from the manifest")
    return problems
