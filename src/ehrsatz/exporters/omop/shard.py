"""One shard on its way into the CDM: its codes, and where its people, visits, providers and care sites stand.

Ids begin at 1 in every shard. A code is a number below zero, -1 for the first: which concept it stands for is only
known when all shards are there. Providers and care sites are the same in every shard and numbered as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.errors import UnsupportedError
from ehrsatz.terminology.omop import known

# Words of our own that are no codes of a published system: vocabularies of local concepts
RESULT, RELATIVE, ATTRIBUTE, PAYER, ALLERGY, OWNER = (
    "ehrsatz result",
    "ehrsatz relation",
    "ehrsatz patient",
    "ehrsatz payer",
    "ehrsatz allergy",
    "ehrsatz owner",
)
OWN = (RESULT, RELATIVE, ATTRIBUTE, PAYER, ALLERGY, OWNER)
SOURCE_LENGTH = 50  # of every *_source_value but few
_TRIPLE = ("system", "code", "display")


@dataclass
class Codes:
    """The codes of a shard, each with a number below zero.

    Parameters
    ----------
    numbers
        (system, code, display) -> number; a system, or a display, may be missing.
    domains
        Domain of each, in order of the numbers.
    """

    numbers: dict[tuple[str | None, str, str | None], int] = field(default_factory=dict)
    domains: list[str] = field(default_factory=list)

    def of(self, frame: pl.DataFrame, domain: str, *, prefix: str = "", system: str | None = None) -> pl.Series:
        """Return the number of each row's code, missing where it has none.

        Parameters
        ----------
        frame
            With `<prefix>code`, `<prefix>display` where there is one, and `system` where none is given.
        domain
            Of the CDM, as "Condition".
        prefix
            As "snomed_".
        system
            Of all rows.
        """
        shown = pl.col(f"{prefix}display") if f"{prefix}display" in frame.columns else pl.lit(None, pl.String)
        named = pl.col("system") if system is None else pl.lit(system)
        held = frame.select(named.alias("system"), pl.col(f"{prefix}code").alias("code"), shown.alias("display"))
        unique = held.unique(maintain_order=True)
        numbers = [
            None if code is None else self.number(system, code, display, domain)
            for system, code, display in unique.iter_rows()
        ]
        numbered = unique.with_columns(pl.Series("number", numbers, dtype=pl.Int64))
        return held.join(numbered, on=_TRIPLE, how="left", nulls_equal=True, maintain_order="left")["number"]

    def number(self, system: str | None, code: str, display: str | None, domain: str) -> int:
        """Return the number of one code."""
        triple = (system, code, display)
        if triple not in self.numbers:
            self.numbers[triple] = -len(self.numbers) - 1
            self.domains.append(domain)
        return self.numbers[triple]

    def words(self, values: pl.Series, vocabulary: str, domain: str, ids: Mapping[str, int] | None = None) -> pl.Series:
        """Return ids of a few words: those that are known, else numbers of words of our own."""
        mapped = {
            word: (ids or {}).get(word) or self.number(vocabulary, word, word, domain)
            for word in sorted(values.drop_nulls().unique())
        }
        return values.replace_strict(mapped, default=None, return_dtype=pl.Int64)

    def frame(self) -> pl.DataFrame:
        """Return number, system, code, display and domain of each."""
        rows = [(number, *triple, self.domains[-number - 1]) for triple, number in self.numbers.items()]
        kinds = {"number": pl.Int64, **dict.fromkeys((*_TRIPLE, "domain"), pl.String)}
        return pl.DataFrame(rows, schema=kinds, orient="row")


@dataclass
class Shard:
    """A shard, its codes, and the tables of the CDM made of it so far.

    Parameters
    ----------
    held
        Clinical table -> rows, in the loose form.
    codes
        Of the shard.
    out
        CDM table -> rows with some of its columns.
    """

    held: Mapping[str, pl.DataFrame]
    codes: Codes = field(default_factory=Codes)
    out: dict[str, pl.DataFrame] = field(default_factory=dict)
    people: pl.DataFrame = field(default_factory=pl.DataFrame)  # patient_id, person_id, (born)
    visits: pl.DataFrame = field(default_factory=pl.DataFrame)  # encounter_id, visit ids, (began)

    @classmethod
    def begin(cls, dataset: Dataset) -> Shard:
        """Number the people of a shard.

        Raises
        ------
        UnsupportedError
            When one has no date of birth, or a key is longer than the CDM's columns.
        """
        patients = dataset.tables["patient"]
        lacking = patients["birth_date"].null_count()
        if lacking:
            raise UnsupportedError(
                "Expected a date of birth of every patient: the CDM requires the year.",
                f"patient.birth_date: {lacking} of {patients.height} are missing.",
                "Fill them in, or leave these patients out.",
            )
        for table, column in (
            ("patient", "patient_id"),
            ("encounter", "encounter_id"),
            ("practitioner", "practitioner_id"),
            ("organization", "organization_id"),
            ("location", "location_id"),
            ("payer", "payer_id"),
        ):
            longest = dataset.tables[table][column].str.len_chars().max()
            if isinstance(longest, int) and longest > SOURCE_LENGTH:
                raise UnsupportedError(
                    f"Expected keys of at most {SOURCE_LENGTH} characters, as the source values of the CDM hold.",
                    f"{table}.{column}: one has {longest}.",
                    "Shorten the keys, or choose another format.",
                )
        shard = cls(dataset.tables)
        shard.people = patients.select("patient_id", pl.col("birth_date").alias("(born)")).with_columns(
            numbered("person_id", patients.height)
        )
        return shard

    def providers(self) -> pl.DataFrame:
        """practitioner_id -> provider_id."""
        world = self.held["practitioner"]
        return world.select("practitioner_id", numbered("provider_id", world.height))

    def sites(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """organization_id -> care_site_id, and location_id -> care_site_id; organizations stand first."""
        organizations, places = self.held["organization"], self.held["location"]
        return (
            organizations.select("organization_id", numbered("(site)", organizations.height)),
            places.select(
                "location_id",
                numbered("(place)", places.height, organizations.height + 1),
                pl.col("organization_id").alias("(owner)"),
            ),
        )

    def placed(self, table: str) -> pl.DataFrame:
        """Return the rows of an event table with `person_id`, ids of the visit, `(born)`, `(began)`, `provider_id`."""
        frame = self.held[table].join(self.people, on="patient_id", how="left", maintain_order="left")
        frame = frame.join(self.visits, on="encounter_id", how="left", maintain_order="left")
        if "practitioner_id" in frame.columns:
            frame = frame.join(self.providers(), on="practitioner_id", how="left", maintain_order="left")
        return frame


def numbered(name: str, n: int, first: int = 1) -> pl.Series:
    """Return the numbers from `first` on."""
    return pl.int_range(first, first + n, eager=True).alias(name)


def day(*times: str) -> pl.Expr:
    """Return the day of the first time that is known, else that of the visit, else that of birth."""
    return pl.coalesce(*(pl.col(time).dt.date() for time in times), pl.col("(began)"), pl.col("(born)"))


def cut(column: str, length: int = SOURCE_LENGTH) -> pl.Expr:
    """Return a text as far as its column in the CDM holds it."""
    return pl.col(column).str.slice(0, length)


def ids(column: str, mapping: Mapping[str, int]) -> pl.Expr:
    """Return the known concept of a word, else 0; missing where the word is."""
    return pl.col(column).replace_strict(mapping, default=pl.when(pl.col(column).is_not_null()).then(known.NONE))


__all__ = ["OWN", "Codes", "Shard", "cut", "day", "ids", "numbered"]
