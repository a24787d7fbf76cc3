"""What goes into a release, and the facts that its documents draw on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ehrsatz.dataset import Dataset
from ehrsatz.gate import Verdict
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Schema

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
APPROVALS = "approvals"
DATA = "data"
OWN = {  # what every release holds besides its data, and what is for whom
    "README.txt": "verdict and contents in a few lines",
    "verdict.json": "each threshold, what was found, and why",
    "scores.json": "every score with its interval and what real data itself scores",
    "schema.yaml": "what each column holds",
    "datacard.md": "what the data are, how they were made, for what they are and are not",
    "croissant.json": "the data described for machine learning (MLCommons Croissant)",
    "ro-crate-metadata.json": "the release described for archives (RO-Crate)",
    "prov.json": "how the data came about (W3C PROV)",
}
PROOF = "reconciliation.json"
EDGES = "edge_cases.json"
REPORTS = {  # documents that every run adds
    "report.html": "what was measured, with charts; open it in a browser",
    "report.json": "the report as data",
    "summary.md": "the verdict in a few lines of Markdown",
    "junit.xml": "the checks of the gate as tests, for a build server",
}
KNOWN = {  # documents that a run may add
    **REPORTS,
    PROOF: "that the formats agree: facts compared, and what each declares not to carry",
    EDGES: "which patients are edge cases, and of what",
}
LIMITS = (
    "Rows are drawn from a model, none is taken from a real person. One may resemble a real person's, or equal it, by"
    " chance or because the model kept it; exact_copies and near_copies in scores.json say how many.",
    "Synthetic is not automatically anonymous. The scores are evidence, no proof; they cover the attacks that were"
    " tried and no others. Whether the data may leave your house is for your data protection officer to say.",
    "Patterns of the real data are kept in part. Rare groups and tails are less faithful than common ones.",
)
SIMULATED_LIMITS = (
    "Every patient is invented from published figures; no record of a real person was used. One may resemble a real"
    " person by chance alone.",
    "What the figures do not say is not in the data, or was assumed: the modules name each such number. Compare the"
    " report with your own population before you rest anything on a frequency.",
)
USES = ("Test software and methods with these data, and plan analyses.", "Confirm every finding on real data.")
NOT_FOR = (
    "Not for the care of any patient.",
    "Not for conclusions about persons, or about groups whose scores are absent or poor.",
)


@dataclass(frozen=True)
class Rows:
    """How many rows a table has that was written shard by shard."""

    height: int


@dataclass(frozen=True)
class Streamed:
    """A dataset that was written shard by shard and is held nowhere whole: what documents say of it.

    Parameters
    ----------
    schema, provenance, n_subjects
        As of a `Dataset`.
    rows
        Table -> rows.
    """

    schema: Schema
    provenance: Provenance
    n_subjects: int
    rows: Mapping[str, int]

    @property
    def tables(self) -> dict[str, Rows]:
        """Table -> its number of rows, as `height`."""
        return {name: Rows(n) for name, n in self.rows.items()}


@dataclass(frozen=True)
class Contents:
    """What goes into a release.

    Parameters
    ----------
    synthetic
        The rows, or what is known of rows that were written already.
    verdict
        What the gate decided.
    scores
        Plain JSON types, as `Evaluation.to_dict` gives them.
    scenario
        The public part of the run.
    generator
        Name and parameters.
    documents
        Path in the release -> text: the report, its twins, dossiers.
    """

    synthetic: Dataset | Streamed
    verdict: Verdict
    scores: Any
    scenario: Mapping[str, Any]
    generator: Mapping[str, Any]
    documents: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The heading of the run: the scenario's name, or the dataset's."""
        return str(self.scenario.get("name") or f"Synthetic {self.synthetic.schema.name}")

    @property
    def summary(self) -> str:
        """One sentence: how much of what, made how."""
        tables = self.synthetic.schema.tables
        rows = ", ".join(f"{self.synthetic.tables[one.name].height:,} rows of {one.name}" for one in tables)
        if self.simulated:
            return (
                f"Synthetic health data: {self.synthetic.n_subjects:,} simulated patients ({rows}), made from "
                "published medical knowledge. No record of a real person was used."
            )
        return (
            f"Synthetic health data: {self.synthetic.n_subjects:,} fabricated subjects ({rows}), drawn from a model "
            f"of the kind '{self.generator.get('name')}'. No row is taken from the real table."
        )

    @property
    def simulated(self) -> bool:
        """Whether the rows come from knowledge alone, and no real table stood behind them."""
        return self.synthetic.provenance.origin == "simulated"

    @property
    def limits(self) -> tuple[str, ...]:
        """What everybody who uses the data must know."""
        return SIMULATED_LIMITS if self.simulated else LIMITS

    @property
    def output(self) -> Mapping[str, Any]:
        """What the scenario says about the release: date, licence, publisher, contact."""
        return dict(self.scenario.get("output") or {})

    @property
    def date(self) -> str | None:
        """The date that the documents carry, if the scenario gives one."""
        told = self.output.get("date")
        return None if told is None else str(told)

    @property
    def scored(self) -> list[Mapping[str, Any]]:
        """The scores one by one."""
        told = self.scores.get("scores", ()) if isinstance(self.scores, Mapping) else self.scores
        return list(told)

    @property
    def measures(self) -> Mapping[str, Mapping[str, Any]]:
        """What each metric is: title, family, ends of its scale."""
        told = self.scores.get("details", {}) if isinstance(self.scores, Mapping) else {}
        return dict(told.get("metrics", {}))

    @property
    def purpose(self) -> str:
        """What the policy says the data are for."""
        return str(self.verdict.policy.get("purpose") or "")


def told_of(name: str) -> str:
    """Return in a few words what a file of a release is for."""
    if name.startswith("dossiers/"):
        return "what was measured, sorted by the items of a regulation"
    if name.startswith(f"{DATA}/"):
        return "synthetic rows"
    return OWN.get(name) or KNOWN.get(name) or "a document of the run"
