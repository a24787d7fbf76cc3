"""The release described for archives and repositories: RO-Crate 1.1, one JSON-LD file at the root of the folder.

RO-Crate demands a date of publication. A run has no clock: the date is the scenario's `output.date`, and without one
`NO_DATE`, which the description says is a placeholder.

References
----------
Soiland-Reyes et al., Packaging research artefacts with RO-Crate, Data Science 5(2) 2022, doi:10.3233/DS-210053.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ehrsatz import __version__
from ehrsatz.capsule.contents import DATA, MANIFEST, Contents, told_of
from ehrsatz.capsule.croissant import MEDIA
from ehrsatz.capsule.manifest import file_hash

NAME = "ro-crate-metadata.json"
NO_DATE = "1970-01-01"  # where no date was given: RO-Crate demands one
PROFILE = "https://w3id.org/ro/crate/1.1"
CONTEXT = [f"{PROFILE}/context", {"sha256": "http://schema.org/sha256"}]  # the profile's own terms lack hashes
_MEDIA = {
    **MEDIA,
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
}


def build(contents: Contents, files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the description as JSON-LD, all entities flat in one graph.

    Parameters
    ----------
    contents
        What the release holds.
    files
        Path in the release -> file, for all that are written so far.
    """
    out = contents.output
    software = {
        "@id": "#ehrsatz",
        "@type": "SoftwareApplication",
        "name": "ehrsatz",
        "version": __version__,
        "description": "Fabricates, measures, judges and releases synthetic health data.",
    }
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "Fabrication of the synthetic rows",
        "instrument": {"@id": "#ehrsatz"},
        "result": [{"@id": _id(name)} for name in sorted(files) if name.startswith(f"{DATA}/")] or {"@id": "./"},
        "description": f"The gate decided: {contents.verdict.decision}. Lineage in full: prov.json.",
    }
    licence = _licence(out.get("licence"))
    people = _people(out.get("publisher"), out.get("contact"))
    dated = "" if contents.date else f" No date was given to the run: {NO_DATE} is a placeholder."
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": contents.title,
        "description": f"{contents.summary} The gate decided: {contents.verdict.decision}.{dated}",
        "datePublished": contents.date or NO_DATE,
        "license": {"@id": licence["@id"]},
        "keywords": "synthetic data, health",
        "hasPart": [{"@id": _id(name)} for name in sorted({*files, MANIFEST})],
        "mentions": {"@id": "#run"},
        **({"publisher": {"@id": people[0]["@id"]}} if people else {}),
    }
    described = {
        "@id": NAME,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": PROFILE},
    }
    entities = [_file(name, path) for name, path in sorted(files.items())]
    entities.append(
        {
            "@id": MANIFEST,
            "@type": "File",
            "name": MANIFEST,
            "description": "versions, seeds and a hash of every other file",
            "encodingFormat": "application/json",
        }
    )
    return {"@context": CONTEXT, "@graph": [described, root, *entities, run, software, licence, *people]}


def _file(name: str, path: Path) -> dict[str, Any]:
    return {
        "@id": _id(name),
        "@type": "File",
        "name": name,
        "description": told_of(name),
        "encodingFormat": _MEDIA.get(path.suffix, "application/octet-stream"),
        "contentSize": str(path.stat().st_size),
        "sha256": file_hash(path),
    }


def _id(name: str) -> str:
    """Return a path as the relative URI that RO-Crate asks for."""
    return quote(name)


def _licence(told: Any) -> dict[str, Any]:
    if not told:
        return {
            "@id": "#licence",
            "@type": "CreativeWork",
            "name": "No licence was stated",
            "description": "Ask whoever gave you this release what you may do with it.",
        }
    text = str(told)
    known = text if "://" in text else f"https://spdx.org/licenses/{quote(text)}"
    return {"@id": known, "@type": "CreativeWork", "name": text, "description": f"The release is under {text}."}


def _people(publisher: Any, contact: Any) -> list[dict[str, Any]]:
    """Return who publishes and how to reach them, as far as the scenario says it."""
    if not publisher and not contact:
        return []
    who: dict[str, Any] = {"@id": "#publisher", "@type": "Organization", "name": str(publisher or contact)}
    if not contact:
        return [who]
    text = str(contact)
    way = {"url": text} if "://" in text else {"email": text} if "@" in text else {"description": text}
    point = {"@id": "#contact", "@type": "ContactPoint", "contactType": "questions about the data", "name": text, **way}
    return [{**who, "contactPoint": {"@id": "#contact"}}, point]
