"""From concepts back to codes: system, code and display, by the vocabulary of the database, or as well as is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import polars as pl

from ehrsatz.sources.omop.store import Store, Where
from ehrsatz.terminology.omop import known

LOCAL = "ehrsatz "  # before the names of our own vocabularies
OMOP = "OMOP"  # system of a code that is a concept id, where nothing says what it stands for
_KINDS = {
    "concept_id": pl.Int64,
    "system": pl.String,
    "code": pl.String,
    "display": pl.String,
    "vocabulary": pl.String,
    "domain": pl.String,
}

_READ = {"concept_id": pl.Int64} | dict.fromkeys(
    ("concept_name", "vocabulary_id", "concept_class_id", "concept_code", "domain_id"), pl.String
)


class Concepts:
    """The concepts that rows name.

    Parameters
    ----------
    store
        The database.
    own
        Whether it was written by ehrsatz: displays then are its synonyms where there are any.
    left
        Counts what nothing is known of.
    """

    def __init__(self, store: Store, *, own: bool, left: Counter[str]) -> None:
        self.store, self.own, self.left = store, own, left
        self._frame = pl.DataFrame(schema=_KINDS)
        self._asked: set[int] = set()
        self._names: dict[str, str] | None = None

    def table(self, ids: Iterable[pl.Series]) -> pl.DataFrame:
        """Return concept_id, system, code, display and vocabulary of all concepts of some columns."""
        columns = [one.drop_nulls().unique() for one in ids]
        wanted = {int(one) for column in columns for one in column if one} - self._asked
        if wanted:
            self._asked |= wanted
            self._frame = pl.concat([self._frame, self._read(sorted(wanted))])
        return self._frame

    def _read(self, wanted: list[int]) -> pl.DataFrame:
        series = pl.Series("concept_id", wanted, dtype=pl.Int64)
        rows = self.store.frame("concept", self.left, Where("concept_id", series)).unique("concept_id", keep="first")
        held = set(rows["concept_id"].to_list())
        known_here = [one for number, one in known.concepts().items() if number in set(wanted) - held]
        extra = pl.DataFrame(
            [tuple(getattr(one, name) for name in _READ) for one in known_here],
            schema=_READ,
            orient="row",
        )
        rows = pl.concat([rows.select(extra.columns), extra])
        local = pl.col("vocabulary_id").str.starts_with(LOCAL)
        bare = pl.col("vocabulary_id").str.strip_prefix(LOCAL)
        names = self._vocabularies(rows["vocabulary_id"].drop_nulls().unique().to_list())
        rows = rows.with_columns(
            bare.replace_strict(
                known.VOCABULARIES,
                default=pl.when(local).then(pl.col("vocabulary_id").replace(names)).otherwise("vocabulary_id"),
            ).alias("system"),
            pl.when(~(local & pl.col("concept_class_id").str.starts_with("Code")))
            .then("concept_name")
            .alias("display"),
        ).with_columns(pl.when(pl.col("vocabulary_id") != f"{LOCAL}none").then("system").alias("system"))
        if self.own and self.store.has("concept_synonym"):
            texts = self.store.frame("concept_synonym", self.left, Where("concept_id", series))
            texts = texts.unique("concept_id", keep="first", maintain_order=True)
            rows = rows.join(texts.select("concept_id", "concept_synonym_name"), on="concept_id", how="left")
            rows = rows.with_columns(pl.coalesce("concept_synonym_name", "display").alias("display"))
        return rows.select(
            "concept_id",
            "system",
            pl.col("concept_code").alias("code"),
            "display",
            pl.col("vocabulary_id").alias("vocabulary"),
            pl.col("domain_id").alias("domain"),
        )

    def _vocabularies(self, wanted: list[str]) -> dict[str, str]:
        """Vocabulary of ours -> name of the code system."""
        ours = [one for one in wanted if one.startswith(LOCAL)]
        if not ours:
            return {}
        rows = self.store.frame("vocabulary", self.left, Where("vocabulary_id", pl.Series(ours)))
        return dict(rows.select("vocabulary_id", "vocabulary_name").drop_nulls().iter_rows())

    def coded(self, rows: pl.DataFrame, table: str, prefix: str) -> pl.DataFrame:
        """Add `system`, `code`, `display` to rows, and `(standard)` and so on of the standard concept.

        The source concept tells the code, unless it is of another domain than the standard concept; else the standard
        concept; else the source value, without a system; else the number of the concept itself.

        Parameters
        ----------
        rows
            With `<prefix>_concept_id`, `<prefix>_source_concept_id` and `<prefix>_source_value`.
        table
            To name in counts.
        prefix
            As "condition".
        """
        standard, source, value = f"{prefix}_concept_id", f"{prefix}_source_concept_id", f"{prefix}_source_value"
        every = self.table([rows[standard], rows[source]])
        first = every.rename(
            {
                "concept_id": source,
                "system": "(s)",
                "code": "(c)",
                "display": "(d)",
                "vocabulary": "(v)",
                "domain": "(domain)",
            }
        )
        second = every.rename(
            {
                "concept_id": standard,
                "system": "(standard system)",
                "code": "(standard code)",
                "display": "(standard display)",
                "vocabulary": "(standard vocabulary)",
                "domain": "(standard domain)",
            }
        )
        out = rows.join(first, on=source, how="left", maintain_order="left")
        out = out.join(second, on=standard, how="left", maintain_order="left")
        fits = pl.lit(True) if self.own else ~pl.col("(domain)").ne(pl.col("(standard domain)")).fill_null(False)
        by_source = pl.col("(c)").is_not_null() & fits
        else_by = pl.lit(not self.own)  # every code of ours has its source concept
        by_standard = else_by & ~by_source & pl.col("(standard code)").is_not_null()
        by_value = else_by & ~by_source & ~by_standard & pl.col(value).is_not_null()
        by_number = else_by & ~by_source & ~by_standard & ~by_value & (pl.col(standard) != known.NONE)
        out = out.with_columns(
            pl.when(by_source).then("(s)").when(by_standard).then("(standard system)")
            .when(by_number).then(pl.lit(OMOP)).alias("system"),
            pl.when(by_source).then("(c)").when(by_standard).then("(standard code)").when(by_value).then(value)
            .when(by_number).then(pl.col(standard).cast(pl.String)).alias("code"),
            pl.when(by_source).then("(d)").when(by_standard).then("(standard display)").alias("display"),
        )  # fmt: skip
        if not self.own:
            numbers = int(((out["system"] == OMOP) & ~out[standard].is_null()).sum()) if out.height else 0
            self.left[f"{table}.{standard}: concepts without vocabulary, kept as numbers"] += numbers
            self.left[f"{table}.{standard}: rows without a code"] += out["code"].null_count()
        return out.rename({"(v)": "(vocabulary)"}).drop("(s)", "(c)", "(d)", "(domain)")

    def named(self, ids: pl.Series) -> pl.Series:
        """Return displays of concepts."""
        every = self.table([ids]).unique("concept_id")
        return ids.to_frame("concept_id").join(every, on="concept_id", how="left", maintain_order="left")["display"]
