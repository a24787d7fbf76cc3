"""Statements tied to what was measured: evidence by id, sentences that quote it, papers that are made of them.

A paper is a Markdown file in `papers/`, which people of law can read and correct: "> " quotes what a rule asks for,
"- [ ] " is a point that a person must complete and that nobody fills in for them, "- " is a sentence of evidence: a
template such as "The strongest attack reaches {score:membership}." Every number in it comes from the evidence, and its
id stays with the sentence; `{fact:columns|column|columns}` counts: "1 column", "2 columns". Where a score was not
measured the sentence is replaced by one that says so, with the reason. A paper never claims more than its evidence:
words such as "anonymous" or "compliant" are refused, outside of the questions and denials in `ALLOWED`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DISCLAIMER = (
    "Not legal advice, and not a guarantee. This paper says what was measured in one run, on one split of one dataset, "
    "with the attacks that are named. It says nothing about attacks that were not tried."
)
PLACEHOLDER = re.compile(
    r"\{(score|percent|interval|reference|real-percent|baseline|limit|fact):([A-Za-z0-9_.\-]+)(?:\|([^|}]+)\|([^|}]+))?\}"
)
MEANING = re.compile(r"\{meaning:([A-Za-z0-9_]+)\}")
IDENTIFIERS = "{identifiers}"  # stands for one sentence per type of identifier that the scan looks for
FORBIDDEN = re.compile(
    r"\b(is|are|be|fully|completely|truly) (anonymous|anonymised|anonymized|compliant|safe|de-identified)\b"
    r"|\bno (privacy )?risk\b|\bguarantee[sd]?\b|\bcannot be re-?identified\b|\bno consent (is )?needed\b"
    r"|\bdevoid of\b|\bcertif(y|ies|ied)\b",
    re.IGNORECASE,
)
ALLOWED = (  # phrases that deny what the words would claim
    "not a guarantee",
    "is not automatically anonymous",
    "whether these rows are anonymous",
    "whether data are anonymous",
)


@dataclass(frozen=True)
class Statement:
    """One sentence or open point.

    Parameters
    ----------
    text
        What it says.
    ids
        Evidence that it rests on; a sentence without any quotes a text of law or is an open point.
    state
        "measured", "not measured", "open" (a person must complete it) or "law" (what a rule asks for).
    own
        The paper's own words in it, without what it quotes from the run, which may be a column of any name.
    """

    text: str
    ids: tuple[str, ...] = ()
    state: str = "measured"
    own: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Dossier:
    """One paper.

    Parameters
    ----------
    name
        File name without suffix.
    title
        Heading.
    reader
        For whom it is.
    sections
        In order.
    """

    name: str
    title: str
    reader: str
    sections: tuple[Section, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """All evidence that the paper rests on, sorted."""
        return tuple(sorted({one for part in self.sections for said in part.statements for one in said.ids}))

    @property
    def n_open(self) -> int:
        """How many points a person must complete."""
        return sum(said.state == "open" for part in self.sections for said in part.statements)


@dataclass(frozen=True)
class Evidence:
    """What was measured in a run, by id: "score:NAME", "check:NAME", "fact:NAME".

    Parameters
    ----------
    scores
        Name of a metric -> plain score, as `Score.to_dict` gives it.
    titles
        Name of a metric -> its title.
    limits
        Name of a metric -> limits of the policy in words, and how they were kept.
    facts
        Name -> number or text that the run knows: rows, seed, generator, columns by class, hits of the scan.
    """

    scores: Mapping[str, Mapping[str, Any]]
    titles: Mapping[str, str]
    limits: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def has(self, metric: str) -> bool:
        """Say whether a metric was measured."""
        return self.scores.get(metric, {}).get("value") is not None

    def tell(self, template: str) -> Statement:
        """Fill a template with evidence.

        Parameters
        ----------
        template
            Text with `{score:NAME}`, `{interval:NAME}`, `{reference:NAME}`, `{baseline:NAME}`, `{limit:NAME}` or
            `{fact:NAME}` in it; `{percent:NAME}` and `{real-percent:NAME}` are value and reference times 100, and
            `{fact:NAME|one|many}` adds the word that fits the number.

        Returns
        -------
        The sentence with the ids that it rests on; where a score was not measured, a sentence that says so.

        Raises
        ------
        KeyError
            When the run does not know a fact: a mistake of the paper's author.
        """
        wanted = PLACEHOLDER.findall(template)
        lacking = [name for kind, name, *_ in wanted if kind in {"score", "percent", "interval"} and not self.has(name)]
        if lacking:
            return self._unmeasured(lacking[0])
        ids: list[str] = []

        def fill(match: re.Match[str]) -> str:
            kind, name = match[1], match[2]
            ids.append(f"fact:{name}" if kind == "fact" else f"check:{name}" if kind == "limit" else f"score:{name}")
            told = self._quote(kind, name)
            return told if match[3] is None else f"{told} {match[3] if told == '1' else match[4]}"

        text = PLACEHOLDER.sub(fill, template)
        return Statement(text, tuple(dict.fromkeys(ids)), own=PLACEHOLDER.sub("", template))

    def meaning(self, metric: str) -> Statement:
        """Return a metric's own sentence, with the limit that it was held against."""
        if not self.has(metric):
            return self._unmeasured(metric)
        text = str(self.scores[metric]["meaning"])
        ids = [f"score:{metric}"]
        if metric in self.limits:
            text = f"{text.rstrip()} The policy asks for {self.limits[metric]}."
            ids.append(f"check:{metric}")
        return Statement(text, tuple(ids))

    def _unmeasured(self, metric: str) -> Statement:
        title = self.titles.get(metric, metric.replace("_", " "))
        why = str(self.scores.get(metric, {}).get("meaning", "")).removeprefix("Not measured:").strip()
        text = f"Not measured: {title}" + (f" ({why.rstrip('.')})." if why else " (it took no part in this run).")
        return Statement(text, (f"score:{metric}",), "not measured")

    def _quote(self, kind: str, name: str) -> str:
        if kind == "fact":
            value = self.facts[name]
            return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        if kind == "limit":
            return self.limits.get(name, "no limit of the policy")
        score = self.scores.get(name, {})
        if kind == "interval":
            ends = score.get("interval")
            return "no interval" if ends is None else f"{number(ends[0])} to {number(ends[1])}"
        value = score.get({"score": "value", "percent": "value", "real-percent": "reference"}.get(kind, kind))
        if value is None:
            return "none"
        return f"{100 * value:.1f}".removesuffix(".0") if kind.endswith("percent") else number(value)


def number(value: float) -> str:
    """Spell a measured number: three digits after the point, or two significant ones where it is small.

    Examples
    --------
    >>> number(0.51234), number(0.00012), number(0.0)
    ('0.512', '0.00012', '0')
    """
    if value == 0:
        return "0"
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) >= 0.001 else f"{value:.2g}"


def compose(name: str, text: str, evidence: Evidence, identifiers: Mapping[str, str]) -> Dossier:
    """Fill a paper with the evidence of a run.

    Parameters
    ----------
    name
        Name of the paper.
    text
        Its Markdown.
    evidence
        What it may quote.
    identifiers
        Letter of the law -> type of identifier.

    Raises
    ------
    ValueError
        When a line is none of those that a paper has.
    """
    title, reader = "", ""
    said: list[Statement] = []
    sections: list[tuple[str, list[Statement]]] = []
    for line in text.splitlines():
        if line.startswith("# "):
            title = line[2:]
        elif line.startswith("For: "):
            reader = line[5:]
        elif line.startswith("## "):
            said = []
            sections.append((line[3:], said))
        elif line.startswith("> "):
            said.append(Statement(line[2:], (), "law"))
        elif line.startswith("- [ ] "):
            said.append(Statement(line[6:], (), "open", line[6:]))
        elif line == f"- {IDENTIFIERS}":
            said += [_identifier(evidence, letter, what) for letter, what in identifiers.items()]
        elif line.startswith("- "):
            meant = MEANING.fullmatch(line[2:])
            said.append(evidence.meaning(meant[1]) if meant else evidence.tell(line[2:]))
        elif line.strip():
            raise ValueError(f"papers/{name}.md: a line is neither heading, law, open point nor sentence")
    return Dossier(name, title, reader, tuple(Section(heading, tuple(part)) for heading, part in sections))


def _identifier(evidence: Evidence, letter: str, what: str) -> Statement:
    text = f"({letter}) {what[:1].upper()}{what[1:]}: {{fact:scan.{letter}.hits|cell looks|cells look}} like it"
    text += f", in {{fact:scan.{letter}.columns}}." if evidence.facts[f"scan.{letter}.hits"] else "."
    if evidence.facts[f"scan.{letter}.fabricated"] != "none":
        text += f" Withheld from the generator and made anew: {{fact:scan.{letter}.fabricated}}."
    return evidence.tell(text)


def problems(dossier: Dossier, evidence: Evidence) -> list[str]:
    """Return what is wrong with a paper: a sentence without evidence, an unknown id, a claim too strong.

    Parameters
    ----------
    dossier
        The paper.
    evidence
        What it may rest on.
    """
    known = {f"score:{name}" for name in evidence.scores} | {f"check:{name}" for name in evidence.limits}
    known |= {f"fact:{name}" for name in evidence.facts}
    found = []
    for part in dossier.sections:
        for said in part.statements:
            place = f"{dossier.name}, {part.title}"
            if said.state in {"measured", "not measured"} and not said.ids:
                found.append(f"{place}: a sentence rests on nothing")
            if said.state == "measured":
                found += [f"{place}: '{one}' is no evidence of this run" for one in said.ids if not _known(one, known)]
            text = said.own
            for phrase in ALLOWED:
                text = re.sub(re.escape(phrase), "", text, flags=re.IGNORECASE)
            if said.state != "law" and FORBIDDEN.search(text):
                found.append(f"{place}: a sentence claims more than was measured")
    return found


def _known(one: str, known: set[str]) -> bool:
    return one in known or one.startswith("check:")  # "no limit of the policy" is a finding too
