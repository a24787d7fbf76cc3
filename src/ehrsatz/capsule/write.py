"""Write a release folder: whole or not at all.

Everything is written into a hidden folder beside the place it is meant for, flushed to disk, and renamed. An error or
an interrupt removes it. Rows that the gate denied are never written, unless the caller asks to keep them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ehrsatz import registry
from ehrsatz.capsule import manifest
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.exporters.base import flush, output_error, writing
from ehrsatz.gate import Policy, Verdict

DATA = "data"


@dataclass(frozen=True)
class Contents:
    """What goes into a release.

    `scores` are plain JSON types, `report` is one self-contained HTML page, `scenario` the public part of the run.
    """

    synthetic: Dataset
    verdict: Verdict
    scores: Any
    report: str
    scenario: Mapping[str, Any]
    generator: Mapping[str, Any]


def write(folder: str | Path, contents: Contents, *, formats: Sequence[str], keep_denied: bool = False) -> Path:
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

    Raises
    ------
    OutputError
        When the folder is not empty, cannot be written, or the disk is full.
    """
    kept = contents.verdict.decision != "deny" or keep_denied
    exporters = [registry.find("exporters", name)() for name in formats]
    with staged(folder) as stage:
        if kept:
            for exporter in exporters:
                exporter.write(contents.synthetic, stage / DATA)
        texts = {
            "report.html": contents.report,
            "scores.json": _json(contents.scores),
            "verdict.json": _json(contents.verdict.to_dict()),
            "schema.yaml": _schema_text(contents.synthetic),
            "README.txt": readme(contents, formats, kept),
        }
        for name, text in texts.items():
            _put(stage / name, text.encode())
        files = {path.relative_to(stage).as_posix(): manifest.file_hash(path) for path in _files(stage)}
        told = manifest.build(
            decision=contents.verdict.decision,
            scenario=contents.scenario,
            generator=contents.generator,
            policy_fingerprint=Policy.from_dict(contents.verdict.policy).fingerprint,
            dataset=contents.synthetic,
            kept=kept,
            files=files,
        )
        _put(stage / manifest.NAME, manifest.render(told))
    return Path(folder)


def check_target(folder: str | Path) -> None:
    """Check before any work that a release could be written there; nothing is left behind.

    Raises
    ------
    OutputError
        When the folder is not empty, is a file, or cannot be created.
    """
    target = Path(folder).absolute()
    if target == Path.cwd():
        raise OutputError("Expected a new folder for the output.", "It is the current one.", "Name a folder in it.")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(
            "Expected a new or empty folder for the output.", f"'{target.name}' is no folder.", "Name another one."
        )
    with writing("the output folder"):
        if target.exists() and any(target.iterdir()):
            raise OutputError(
                "Expected a new or empty folder for the output.",
                f"'{target.name}' is not empty.",
                "Name another one with --out, or move its files away.",
            )
    above, created = _parents(target)
    try:
        probe = _hidden(above, target.name)
        probe.rmdir()
    finally:
        _remove_empty(created)


@contextmanager
def staged(folder: str | Path) -> Iterator[Path]:
    """Give a hidden folder to fill; on success it takes the place of `folder`, on failure it is removed.

    Raises
    ------
    OutputError
        When the folder is not empty, or the system refuses to write.
    """
    check_target(folder)
    target = Path(folder).absolute()
    above, created = _parents(target)
    stage: Path | None = None
    try:
        stage = _hidden(above, target.name)
        with writing("the output folder"):
            yield stage
            for path in (*_files(stage), *(one for one in stage.rglob("*") if one.is_dir()), stage):
                flush(path)
            if os.name == "nt" and target.exists():
                target.rmdir()  # elsewhere a rename replaces an empty folder
            stage.rename(target)
            flush(above)
    except BaseException:  # also an interrupt: nothing half written stays
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        _remove_empty(created)
        raise


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
    if kept:
        tables = ", ".join(table.name for table in contents.synthetic.schema.tables)
        lines.append(f"- data/          the synthetic tables ({tables}) as {' and '.join(formats)}")
    else:
        lines.append("- no data: the synthetic rows were not written, because the gate denied them")
    lines += [
        "- report.html    what was measured, with charts; open it in a browser",
        "- verdict.json   each threshold, what was found, and why",
        "- scores.json    every score with its interval and what real data itself scores",
        "- schema.yaml    what each column holds",
        "- manifest.json  versions, seeds and a hash of every file; check them with: ehrsatz verify <this folder>",
        "",
        "What you must know:",
        "- Rows are drawn from a model, none is taken from a real person; one may resemble a real person by chance.",
        "- Synthetic is not automatically anonymous. The scores are evidence, no proof; they cover the attacks that",
        "  were tried and no others. Whether the data may leave your house is for your data protection officer to say.",
        "- Patterns of the real data are kept in part. Rare groups and tails are less faithful than common ones.",
        "- Test software and methods with these data, and plan analyses. Confirm every finding on real data.",
        "- Not for the care of any patient.",
        "",
    ]
    return "\n".join(lines)


def _schema_text(dataset: Dataset) -> str:
    import yaml

    return yaml.safe_dump(dataset.schema.to_dict(reasons=False), sort_keys=False, allow_unicode=True, width=120)


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _put(path: Path, data: bytes) -> None:
    with writing(path.name):
        path.write_bytes(data)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _parents(target: Path) -> tuple[Path, list[Path]]:
    """Create the folders above a target; return the lowest and those that were new, lowest first."""
    above = target.parent
    missing = [path for path in (above, *above.parents) if not path.exists()]
    try:
        above.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise output_error("the output folder", error) from None
    return above, missing


def _hidden(above: Path, name: str) -> Path:
    """Make a new hidden folder; its name never enters the output."""
    for attempt in range(1000):
        path = above / f".{name}.{os.getpid()}-{attempt}.part"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise output_error("the output folder", error) from None
        return path
    raise OutputError(
        "Expected room for a hidden folder beside the output.", "A thousand are there.", "Remove the old ones."
    )


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
