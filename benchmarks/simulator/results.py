"""What runs leave behind: one JSON file per part, a record per name, with the day and the versions of the run."""

from __future__ import annotations

import datetime
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("numpy", "scipy", "polars", "pyarrow")


def keep(place: Path, name: str, record: dict[str, Any]) -> None:
    """Write a record into a file of results, in the place of an earlier one."""
    whole = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    whole[name] = record
    whole["run"] = about()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def kept(place: Path) -> dict[str, Any]:
    """Return the records of a file of results, without what is told of the run."""
    if not place.exists():
        return {}
    return {key: value for key, value in json.loads(place.read_text(encoding="utf-8")).items() if key != "run"}


def run_of(place: Path) -> dict[str, Any]:
    """Return what a file of results tells of its run."""
    told: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))["run"] if place.exists() else {}
    return told


def about() -> dict[str, Any]:
    """Return the day, the versions and the machine of a run."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("ehrsatz", *LIBRARIES)},
        "machine": f"{platform.system()}, {_processor()}, {os.cpu_count()} cores, {_memory():.0f} GiB",
        "load": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
