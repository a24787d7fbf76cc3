"""Write a release folder: whole or not at all. Rows that the gate denied are never written, unless the caller asks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ehrsatz import registry
from ehrsatz.capsule import card, crate, croissant, lineage, manifest, strict
from ehrsatz.capsule.contents import (
    APPROVALS,
    DATA,
    MANIFEST,
    NOT_FOR,
    OWN,
    PROOF,
    SIGNATURE,
    USES,
    Contents,
    told_of,
)
from ehrsatz.capsule.stage import check_target, files_of, staged
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.exporters.base import writing
from ehrsatz.reconcile.prove import forms_in, reconcile

__all__ = ["Contents", "check_target", "complete", "readme", "staged", "write"]


def write(
    folder: str | Path,
    contents: Contents,
    *,
    formats: Sequence[str],
    keep_denied: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Path:
    """Write a release into a new or empty folder and return it.

    Parameters
    ----------
    folder
        Appears whole, or not at all.
    contents
        What to write.
    formats
        Names of exporters, one set of data files each.
    keep_denied
        Write the rows even where the verdict is deny.
    settings
        What exporters are told besides the rows, as `Exporter.made`.

    Raises
    ------
    OutputError
        When the folder is not empty, cannot be written, or the disk is full; also for a document without a proper name.
    """
    kept = contents.verdict.decision != "deny" or keep_denied
    assert isinstance(contents.synthetic, Dataset), "rows that were written already are described by `complete`"
    exporters = [registry.find("exporters", name).made(settings or {}) for name in formats]
    _check_documents(contents.documents)
    with staged(folder) as stage:
        if kept:
            for exporter in exporters:
                exporter.write(contents.synthetic, stage / DATA)
                exporter.finish(stage / DATA)
            if any(exporter.needs == "clinical" for exporter in exporters):
                contents = _proved(stage / DATA, contents)
        _describe(stage, contents, formats, kept)
    return Path(folder)


def _proved(data: Path, contents: Contents) -> Contents:
    """Add the proof that the formats agree.

    Raises
    ------
    OutputError
        When they do not: such a release is not written.
    """
    if len(forms_in(data)) < 2:
        return contents
    proof = reconcile(data)
    if proof.n_differ:
        bad = [f"{one.name} ({one.n_differ:,})" for one in proof.held if one.n_differ]
        raise OutputError(
            f"Expected all formats to say the same as {proof.reference}.",
            f"Facts that differ outside the declared losses: {', '.join(bad)}.",
            "Leave these formats out, and please report it; nothing was written.",
        )
    return replace(contents, documents={**contents.documents, PROOF: _json(proof.to_dict())})


def complete(stage: Path, contents: Contents, *, formats: Sequence[str], keep_denied: bool = False) -> bool:
    """Make a release of a hidden folder that holds the data files already, in `data`; return whether they stay.

    Parameters
    ----------
    stage
        Not yet at its place: whoever filled it moves it there.
    contents, formats, keep_denied
        As of `write`.
    """
    kept = contents.verdict.decision != "deny" or keep_denied
    _check_documents(contents.documents)
    if not kept:
        shutil.rmtree(stage / DATA, ignore_errors=True)
    _describe(stage, contents, formats, kept)
    return kept


def _describe(stage: Path, contents: Contents, formats: Sequence[str], kept: bool) -> None:
    """Write everything beside the data files: documents, metadata, and at last the manifest of all."""
    texts = {
        **contents.documents,
        "scores.json": _json(contents.scores),
        "verdict.json": _json(contents.verdict.to_dict()),
        "schema.yaml": _schema_text(contents),
        "datacard.md": card.render(contents, formats if kept else ()),
        "prov.json": _json(lineage.build(contents)),
        "README.txt": readme(contents, formats, kept),
    }
    for name, text in texts.items():
        _put(stage / name, text.encode())
    data = {name: path for name, path in _named(stage).items() if name.startswith(f"{DATA}/")}
    _put(stage / "croissant.json", _json(croissant.build(contents, data)).encode())
    _put(stage / "ro-crate-metadata.json", _json(crate.build(contents, _named(stage))).encode())
    _put(stage / MANIFEST, strict.render(manifest.build(contents, kept=kept, files=_named(stage))))


def readme(contents: Contents, formats: Sequence[str], kept: bool) -> str:
    """Return the page for whoever receives the release: what it is, what was decided, what it is not."""
    decision = contents.verdict.decision
    told = {
        "pass": "RELEASED. Every threshold of the policy was kept.",
        "hold": "HELD. A person must read the reasons below and decide; do not pass these data on before.",
        "deny": "DENIED. These data must not be used or passed on.",
    }[decision]
    lines = ["Synthetic health data made with ehrsatz", "=" * 39, "", told]
    if contents.verdict.reasons:
        lines += ["", "Reasons:", *(f"- {reason}" for reason in contents.verdict.reasons)]
    lines += ["", "Files:"]
    named = ["report.html"] if "report.html" in contents.documents else []
    named += [
        name for name in sorted({*OWN, *contents.documents}) if "/" not in name and name not in {*named, "README.txt"}
    ]
    wide = max(map(len, named))
    if kept:
        tables = ", ".join(table.name for table in contents.synthetic.schema.tables)
        lines.append(f"- {DATA + '/':<{wide}}  the synthetic tables ({tables}) as {' and '.join(formats)}")
    else:
        lines.append("- no data: the synthetic rows were not written, because the gate denied them")
    lines += [f"- {name:<{wide}}  {told_of(name)}" for name in named]
    folders = sorted({name.partition("/")[0] for name in contents.documents if "/" in name})
    lines += [f"- {name + '/':<{wide}}  {told_of(name + '/')}" for name in folders]
    lines += [
        f"- {MANIFEST:<{wide}}  versions, seeds, a hash of every file; check them with: ehrsatz verify <this folder>",
        "",
        "What you must know:",
        *(part for one in (*contents.limits, " ".join(USES), *NOT_FOR) for part in _wrapped(one)),
        "",
    ]
    return "\n".join(lines)


def _check_documents(documents: Any) -> None:
    """Refuse a document whose name is no plain path, or that of a file which the release writes itself."""
    taken = {*OWN, MANIFEST, SIGNATURE, DATA, APPROVALS}
    wrong = [
        name
        for name in documents
        if not strict.is_plain(name) or name in taken or name.partition("/")[0] in {DATA, APPROVALS}
    ]
    wrong += strict.collisions([*documents, *taken])
    if wrong:
        raise OutputError(
            "Expected documents with plain names of their own.",
            f"{len(wrong)} of {len(documents)} have another one.",
            f"Avoid {', '.join(sorted(taken))} and what is no relative path.",
        )


def _named(stage: Path) -> dict[str, Path]:
    return {path.relative_to(stage).as_posix(): path for path in files_of(stage)}


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 116, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _schema_text(contents: Contents) -> str:
    import yaml

    return yaml.safe_dump(
        contents.synthetic.schema.to_dict(reasons=False), sort_keys=False, allow_unicode=True, width=120
    )


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _put(path: Path, data: bytes) -> None:
    with writing(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
