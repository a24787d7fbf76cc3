"""One self-contained HTML page: the verdict first, then a page for each reader, then how it was made.

Nothing is loaded from elsewhere and nothing runs: inline style, inline SVG, no script. The page is drawn from the twin
alone; the same evaluation gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup

from ehrsatz.evaluation.evaluate import Evaluation
from ehrsatz.gate.verdict import Verdict
from ehrsatz.provenance import Provenance
from ehrsatz.report import charts, format
from ehrsatz.report.twin import twin
from ehrsatz.report.words import WORDS
from ehrsatz.schema import Schema

OPEN_COLUMNS = 9
OPEN_SCORES = 4  # of one theme; see _stands for those that are always open
SIGNS = {
    "kept": "✓",
    "kept by chance": "≈",
    "missed": "✕",
    "inconclusive": "?",
    "not measured": "○",
    "does not apply": "–",
    "not judged": "–",
}


def report(
    evaluation: Evaluation,
    verdict: Verdict | None = None,
    *,
    schema: Schema,
    provenance: Provenance,
    title: str = "Synthetic data report",
    findings: Sequence[Any] = (),
    cost: Mapping[str, Any] | None = None,
    documents: Sequence[tuple[str, str]] = (),
) -> str:
    """Write an evaluation as one self-contained HTML page.

    Parameters
    ----------
    evaluation
        The scores.
    verdict
        What the gate decided; None for scores that were not judged.
    schema
        What the tables hold.
    provenance
        Where the synthetic rows came from.
    title
        Heading of the page.
    findings
        What the rules found in the synthetic rows.
    cost
        Names and values of what the run took.
    documents
        Name and one sentence of each file that belongs with the report.

    Returns
    -------
    HTML text; no cell value that fewer than five real subjects share.
    """
    return render(
        twin(
            evaluation,
            verdict,
            schema=schema,
            provenance=provenance,
            title=title,
            findings=findings,
            cost=cost,
            documents=documents,
        )
    )


def render(data: Mapping[str, Any]) -> str:
    """Draw the page from its twin, as `twin` returned it or as it was read back from a file.

    Parameters
    ----------
    data
        The twin.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        number=format.number, interval=format.interval, figure=_figure, anchor=_anchor, sign=lambda one: SIGNS[one]
    )
    environment.globals.update(draw=charts.draw, strip=charts.strip, folding=_folding)
    opened = _opened(data)
    environment.tests["open_picture"] = lambda picture: id(picture) in opened
    room = resources.files("ehrsatz.report")
    told = data.get("edition", {})
    sheets = ["report.css", *(["cohort.css"] if told else [])]
    style = "".join(re.sub(r"\s*\n\s*", "", room.joinpath(one).read_text(encoding="utf-8")) for one in sheets)
    text = room.joinpath("report.html.j2").read_text(encoding="utf-8")
    homes = {theme["name"]: page["id"] for page in data["pages"] for theme in page["themes"]}
    return environment.from_string(text).render(
        data=data,
        style=Markup(style),
        homes=homes,
        open_columns=OPEN_COLUMNS,
        verdict=data["verdict"],
        w={**WORDS, **told.get("words", {})},
    )


def _folding(scores: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the scores of a theme that stand open, and those that a click opens."""
    rank = [0 if _stands(one) else 1 if one["status"] == "measured" else 2 for one in scores]
    room = max(0, OPEN_SCORES - rank.count(0))
    plain = [i for i, r in enumerate(rank) if r == 1]
    shown = {i for i, r in enumerate(rank) if r == 0} | set(plain[:room])
    folded = [i for i in sorted(range(len(rank)), key=lambda i: rank[i]) if i not in shown]
    if len(folded) == 1:
        shown, folded = shown | set(folded), []
    return [one for i, one in enumerate(scores) if i in shown], [scores[i] for i in folded]


def _stands(score: Mapping[str, Any]) -> bool:
    """Whether a score is never folded: it is judged, worse than real data, or has a map of all rows."""
    maps = any(one["kind"] == "grids" for one in score["pictures"])
    return bool(score["thresholds"]) or score["compared"] == "worse than real data" or maps


def _opened(data: Mapping[str, Any]) -> set[int]:
    """Return which pictures stand open: of a theme the first of each title and the first map; no tables."""
    out = set()
    for page in data["pages"]:
        for theme in page["themes"]:
            seen = {"table"}
            for picture in (one for score in theme["scores"] for one in score["pictures"]):
                sort = picture["kind"] if picture["kind"] in {"table", "difference"} else picture["title"]
                if sort not in seen:
                    out.add(id(picture))
                seen.add(sort)
    return out


def _anchor(words: str) -> str:
    """Return words as the name of an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "x"


def _figure(value: int) -> str:
    return f"{value:,}"
