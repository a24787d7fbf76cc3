"""Results on disk, one JSON file per data set, and the markdown tables made from them."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.tabular.figures import spread, values

ORDER = {"yardstick": 0, "ours": 1, "peer": 2}
DROPPED = ("train_sha256", "rows", "seed", "method", "read_wall_s", "import_wall_s")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
HEAD = (
    "run",
    "adversarial AUC",
    "coverage",
    "quality",
    "TSTR (TRTR)",
    "gap",
    "DCR share",
    "membership AUC",
    "rules",
    "fit CPU s",
    "sample CPU s / 10,000",
    "MB",
    "seeds",
)


def load(path: Path) -> dict[str, Any]:
    """Return the results of one data set: {"runs": {name: {"kind": ..., "seeds": {seed: record}}}}."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"runs": {}}


def keep(path: Path, run: str, kind: str, seed: int, record: dict[str, Any]) -> None:
    """Write one repetition of one run into the file of its data set, beside what is there."""
    found = load(path)
    entry = found["runs"].setdefault(run, {"kind": kind, "seeds": {}})
    plain = {name: value for name, value in record.items() if name not in DROPPED}
    entry["seeds"][str(seed)] = {k: round(v, 5) if isinstance(v, float) else v for k, v in plain.items()}
    entry["seeds"] = dict(sorted(entry["seeds"].items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def markdown(name: str, found: dict[str, Any]) -> str:
    """Return the table of one data set: means over repetitions, and the half-width of their 95 % intervals."""
    lines = [f"### {name}", "", f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    runs = sorted(found["runs"].items(), key=lambda item: (ORDER[item[1]["kind"]], _rank(item[1])))
    for run, entry in runs:
        good = [r for r in entry["seeds"].values() if "adversarial" in r]
        if not good:
            why = next(iter(entry["seeds"].values())).get("error", "no record")
            lines.append(f"| {run} | {_plain(why)} |" + " |" * (len(HEAD) - 2))
            continue
        lines.append(f"| {' | '.join(_cells(run, entry, good))} |")
    return "\n".join(lines) + "\n"


def insert(path: Path, text: str) -> None:
    """Write the tables of a page anew: what stands between its two marks."""
    head, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}", encoding="utf-8")


def _cells(run: str, entry: dict[str, Any], good: list[dict[str, Any]]) -> list[str]:
    cut = any(r.get("status") == "cut" for r in good)
    short = any(note.startswith("drew ") for r in good for note in r.get("notes", ()))
    bold = f"**{run}**" if entry["kind"] == "ours" else run
    return [
        bold + (" (cut)" if cut else "") + (f" (drew {min(r['n_drawn'] for r in good)} rows)" if short else ""),
        *(spread(values(entry, name)) for name in ("adversarial", "coverage", "quality")),
        f"{mean(r['tstr'] for r in good):.3f} ({mean(r['trtr'] for r in good):.3f})",
        *(spread(values(entry, name)) for name in ("gap", "dcr_share", "mia_max")),
        f"{100 * mean(r['rules'] for r in good):.1f} %",
        _seconds(mean(r["fit_cpu_s"] for r in good)),
        _seconds(mean(values(entry, "sample_cpu_s per 10,000"))),
        f"{max(r['peak_mb'] for r in good):.0f}",
        str(len(good)),
    ]


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _rank(entry: dict[str, Any]) -> float:
    good = [r["adversarial"] for r in entry["seeds"].values() if "adversarial" in r]
    return mean(good) if good else 2.0


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:140]
