"""A user's vocabularies as Athena (https://athena.ohdsi.org) gives them: CONCEPT.csv and the others, tab-separated.

They are read once for the codes that the records hold, column by column, never as a whole.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ehrsatz.errors import SourceError
from ehrsatz.terminology.omop.known import Concept

_COLUMNS = (
    "concept_id",
    "concept_name",
    "domain_id",
    "vocabulary_id",
    "concept_class_id",
    "standard_concept",
    "concept_code",
)
_NEEDED = {
    "CONCEPT.csv": set(_COLUMNS),
    "CONCEPT_RELATIONSHIP.csv": {"concept_id_1", "concept_id_2", "relationship_id"},
}


@dataclass(frozen=True)
class Found:
    """What is known of a code: its concept, and the standard concept that it maps to."""

    concept: Concept
    target: Concept | None


class Athena:
    """A folder of vocabularies.

    Parameters
    ----------
    folder
        Holds CONCEPT.csv and CONCEPT_RELATIONSHIP.csv; CONCEPT_ANCESTOR.csv tells ingredients where it is there.

    Raises
    ------
    SourceError
        When a file lacks, or is none of Athena's.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        for name, columns in _NEEDED.items():
            held = self._columns(name)
            if not columns <= held:
                raise SourceError(
                    f"Expected '{name}' of Athena: tab-separated, with {', '.join(sorted(columns))}.",
                    "The folder lacks it, or it has other columns.",
                    "Unpack the download of https://athena.ohdsi.org there, and name the folder.",
                )

    def _columns(self, name: str) -> set[str]:
        try:
            with (self.folder / name).open(encoding="utf-8-sig") as file:
                return {one.strip().lower() for one in file.readline().split("\t")}
        except (OSError, ValueError):
            return set()

    def _scan(self, name: str) -> pl.LazyFrame:
        frame = pl.scan_csv(self.folder / name, separator="\t", quote_char=None, infer_schema=False)
        return frame.rename({one: one.strip("\ufeff").strip().lower() for one in frame.collect_schema().names()})

    def _ids(self, name: str, *columns: str) -> list[pl.Expr]:
        return [pl.col(column).cast(pl.Int64, strict=False) for column in columns]

    def look_up(self, wanted: pl.DataFrame) -> dict[tuple[str, str], Found]:
        """Find codes.

        Parameters
        ----------
        wanted
            vocabulary_id and concept_code, once each.

        Returns
        -------
        (vocabulary, code) -> what Athena says of it, for those that it holds.
        """
        valid = pl.col("invalid_reason").is_null() | (pl.col("invalid_reason") == "")
        rows = self._scan("CONCEPT.csv")
        held = (
            rows.join(wanted.lazy(), on=["vocabulary_id", "concept_code"], how="semi")
            .with_columns(*self._ids("CONCEPT.csv", "concept_id"))
            .filter(pl.col("concept_id").is_not_null())
            .sort(valid if "invalid_reason" in rows.collect_schema().names() else "concept_id", descending=True)
            .unique(["vocabulary_id", "concept_code"], keep="first", maintain_order=True)
            .select(_COLUMNS)
            .collect(engine="streaming")
        )
        own = {row[0]: _concept(row) for row in held.iter_rows()}
        links = (
            self._scan("CONCEPT_RELATIONSHIP.csv")
            .filter(pl.col("relationship_id") == "Maps to")
            .select(self._ids("CONCEPT_RELATIONSHIP.csv", "concept_id_1", "concept_id_2"))
            .filter(pl.col("concept_id_1").is_in(list(own)))
            .collect(engine="streaming")
            .sort("concept_id_1", "concept_id_2")
            .unique("concept_id_1", keep="first", maintain_order=True)
        )
        targets = self.concepts(set(links["concept_id_2"].to_list()) - set(own)) | own
        mapped = {one: targets[other] for one, other in links.iter_rows() if other in targets}
        return {
            (one.vocabulary_id, one.concept_code): Found(
                one, mapped.get(one.concept_id) or (one if one.standard_concept == "S" else None)
            )
            for one in own.values()
        }

    def concepts(self, wanted: Collection[int]) -> dict[int, Concept]:
        """Return concepts by id, those that Athena holds."""
        if not wanted:
            return {}
        held = (
            self._scan("CONCEPT.csv")
            .with_columns(*self._ids("CONCEPT.csv", "concept_id"))
            .filter(pl.col("concept_id").is_in(list(wanted)))
            .select(_COLUMNS)
            .collect(engine="streaming")
        )
        return {row[0]: _concept(row) for row in held.iter_rows()}

    def ingredients(self, drugs: Collection[int]) -> tuple[list[tuple[int, int]], dict[int, Concept]]:
        """Return (drug, ingredient) of drugs, and the ingredients as concepts."""
        if not drugs or not {"ancestor_concept_id", "descendant_concept_id"} <= self._columns("CONCEPT_ANCESTOR.csv"):
            return [], {}
        rows = (
            self._scan("CONCEPT_ANCESTOR.csv")
            .select(self._ids("CONCEPT_ANCESTOR.csv", "descendant_concept_id", "ancestor_concept_id"))
            .filter(pl.col("descendant_concept_id").is_in(list(drugs)))
            .collect(engine="streaming")
        )
        above = self.concepts(set(rows["ancestor_concept_id"].to_list()))
        kept = {number: one for number, one in above.items() if one.concept_class_id == "Ingredient"}
        return sorted((drug, one) for drug, one in rows.iter_rows() if one in kept), kept


def _concept(row: tuple[object, ...]) -> Concept:
    number, name, domain, vocabulary, kind, standard, code = row
    return Concept(
        int(str(number)),
        str(name or ""),
        str(domain),
        str(vocabulary),
        str(kind),
        "S" if standard == "S" else None,
        str(code),
    )
