"""The list of all rules in docs/rules.md: `python tests/rules/page.py` writes it anew, a test compares it."""

from __future__ import annotations

import importlib
from pathlib import Path

from ehrsatz.rules.catalogue import THEMES
from ehrsatz.rules.catalogue import rules as shipped

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
BEGIN, END = "<!-- rules: begin -->", "<!-- rules: end -->"


def block() -> str:
    """Return the list, theme by theme, and the sources that it numbers."""
    sources: dict[str, int] = {}
    for one in shipped():
        sources.setdefault(one.source, len(sources) + 1)
    lines = [BEGIN, ""]
    for theme in THEMES:
        module = importlib.import_module(f"ehrsatz.rules.{theme}")
        told = (module.__doc__ or "").strip().splitlines()[0]
        lines += [
            f"### {theme}",
            "",
            f"{told} {len(module.RULES)} rules.",
            "",
            "| rule | severity | what | why | source |",
            "|---|---|---|---|---|",
        ]
        for one in module.RULES:
            why, title = one.why.replace("|", "\\|"), one.title.replace("|", "\\|")
            lines.append(f"| `{one.id}` | {one.severity} | {title} | {why} | {sources[one.source]} |")
        lines.append("")
    lines += ["### Sources of the rules", ""]
    lines += [f"{number}. {source}" for source, number in sources.items()]
    return "\n".join([*lines, "", END])


def written(text: str) -> str:
    """Return the page with the list put in its place."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{block()}{tail}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
