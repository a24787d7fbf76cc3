"""Codes become concepts: known ids, a user's Athena folder, or concepts of our own above two thousand million.

A code of SNOMED CT, LOINC, RxNorm or CVX whose id is not known stands for itself as a standard concept of our own, so
that the database can be worked with; a code of any other system is a source concept, and its standard concept is 0
unless the records give its SNOMED code beside it, or Athena maps it. Of a code with several displays the first is the
known concept, the others are concepts of our own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from ehrsatz.exporters.omop.athena import Athena, Found
from ehrsatz.exporters.omop.shard import OWN
from ehrsatz.terminology.omop import known
from ehrsatz.terminology.omop.known import Concept

NO_SYSTEM = "ehrsatz none"  # vocabulary of codes without a system
ID_LENGTH, CODE_LENGTH, NAME_LENGTH = 20, 50, 255
_TRIPLE = ["system", "code", "display"]


@dataclass(frozen=True)
class Resolved:
    """What the codes of all shards stand for.

    Parameters
    ----------
    codes
        system, code, display; `source`, `standard` and `direct` ids (the last without what the records say of it).
    concepts
        Rows of the table `concept` that the codes need.
    maps
        (source, target) of "Maps to".
    synonyms
        (concept, text): displays of the records where the concept has another name.
    vocabularies
        Vocabulary of our own -> name of the code system.
    """

    codes: pl.DataFrame
    concepts: dict[int, Concept]
    maps: list[tuple[int, int]]
    synonyms: list[tuple[int, str]]
    vocabularies: dict[str, str]


def resolve(parts: Sequence[pl.DataFrame], pairs: Sequence[pl.DataFrame], athena: Athena | None) -> Resolved:
    """Give every code of all shards its concepts.

    Parameters
    ----------
    parts
        Codes of each shard: number, system, code, display, domain.
    pairs
        Of each shard: numbers of a diagnosis and of the SNOMED code that the records give beside it.
    athena
        A user's vocabularies.
    """
    every = pl.concat([one.drop("number") for one in parts]) if parts else pl.DataFrame(schema=_TRIPLE)
    every = every.unique(_TRIPLE, keep="first", maintain_order=True).sort(_TRIPLE, nulls_last=True)
    told = _told(every, athena)
    firsts = set(
        every.filter(pl.col("display").is_not_null())
        .unique(["system", "code"], keep="first", maintain_order=True)
        .select(_TRIPLE)
        .iter_rows()
    )
    vocabularies = _vocabularies(every["system"].unique().to_list())
    concepts: dict[int, Concept] = {}
    synonyms: list[tuple[int, str]] = []
    source, direct = [], []
    maps: list[tuple[int, int]] = []
    for number, (system, code, display, domain) in enumerate(every.select(*_TRIPLE, "domain").iter_rows(), 1):
        vocabulary = known.SYSTEMS.get(system or "")
        found = told.get((vocabulary or "", code))
        local = known.LOCAL + number
        standard = vocabulary in known.STANDARD
        if found is not None and (system, code, display) in firsts:
            source.append(found.concept.concept_id)
            concepts[found.concept.concept_id] = found.concept
            if display and display[:NAME_LENGTH] != found.concept.concept_name:
                synonyms.append((found.concept.concept_id, display))
            direct.append(found.target.concept_id if found.target else known.NONE)
        else:
            source.append(local)
            flag = "S" if standard else None
            name = (display or code)[:NAME_LENGTH]
            where = found.concept.domain_id if found else domain
            own = vocabularies[system or ""]
            concepts[local] = Concept(local, name, where, own, _class(display), flag, code[:CODE_LENGTH])
            mapped = found.target.concept_id if found and found.target and not standard else None
            direct.append(local if standard or system in OWN else mapped or known.NONE)
        if found is not None and found.target is not None:
            concepts[found.target.concept_id] = found.target
        if direct[-1] and system not in OWN:
            maps.append((source[-1], direct[-1]))
    codes = every.with_columns(pl.Series("source", source, dtype=pl.Int64), pl.Series("direct", direct, dtype=pl.Int64))
    codes, beside = _beside(codes, parts, pairs)
    return Resolved(
        codes, concepts, sorted({*maps, *beside}), sorted(set(synonyms)), {v: k for k, v in vocabularies.items()}
    )


def _class(display: str | None) -> str:
    return "Code" if display is None else "Undefined"


def _told(every: pl.DataFrame, athena: Athena | None) -> dict[tuple[str, str], Found]:
    """Vocabulary and code -> what is known of it."""
    wanted = (
        every.select(
            pl.col("system").replace_strict(known.SYSTEMS, default=None, return_dtype=pl.String).alias("vocabulary_id"),
            pl.col("code").alias("concept_code"),
        )
        .drop_nulls()
        .unique()
    )
    told: dict[tuple[str, str], Found] = {}
    pairs = set(wanted.iter_rows())
    for one in known.concepts().values():
        if (one.vocabulary_id, one.concept_code) in pairs and one.standard_concept == "S":
            told[one.vocabulary_id, one.concept_code] = Found(one, one)
    names = dict(
        every.filter(pl.col("display").is_not_null())
        .with_columns(pl.col("system").replace_strict(known.SYSTEMS, default=None, return_dtype=pl.String))
        .unique(["system", "code"], keep="first", maintain_order=True)
        .select(pl.concat_str("system", pl.lit("\n"), "code"), pl.col("display").str.slice(0, NAME_LENGTH))
        .drop_nulls()
        .iter_rows()
    )
    for pair, found in list(told.items()):  # without Athena the records' own words name the concept
        word = names.get("\n".join(pair))
        if word:
            named = replace(found.concept, concept_name=word)
            told[pair] = Found(named, named)
    if athena is not None:
        told |= athena.look_up(wanted)
    return told


def _vocabularies(systems: Iterable[str | None]) -> dict[str, str]:
    """Code system -> vocabulary of our own; those that have no name in OMOP are numbered."""
    out = {"": NO_SYSTEM}
    others = 0
    for system in sorted(one for one in systems if one):
        if system in OWN:
            out[system] = system
        elif system in known.SYSTEMS:
            out[system] = f"ehrsatz {known.SYSTEMS[system]}"
        else:
            others += 1
            out[system] = f"ehrsatz {others}"
    return out


def _beside(
    codes: pl.DataFrame, parts: Sequence[pl.DataFrame], pairs: Sequence[pl.DataFrame]
) -> tuple[pl.DataFrame, list[tuple[int, int]]]:
    """Add `standard`: where a code has none, the one that the records give beside it, if it is always the same."""
    held = []
    for part, pair in zip(parts, pairs):
        ids = part.join(codes, on=_TRIPLE, how="left", nulls_equal=True).select("number", "source", "direct")
        joined = pair.join(ids, left_on="source", right_on="number", suffix="_own").join(
            ids, left_on="target", right_on="number", suffix="_other"
        )
        held.append(joined.select(pl.col("source_own").alias("source"), pl.col("direct_other").alias("standard")))
    empty = pl.DataFrame(schema={"source": pl.Int64, "standard": pl.Int64})
    every = pl.concat([empty, *held]).unique().sort("source", "standard")
    single = every.filter(pl.len().over("source") == 1)
    joined = codes.join(single, on="source", how="left", maintain_order="left")
    whole = joined.with_columns(
        pl.when(pl.col("direct") == known.NONE)
        .then(pl.coalesce("standard", "direct"))
        .otherwise("direct")
        .alias("standard")
    )
    return whole, [(one, other) for one, other in every.iter_rows() if other]


def numbers(resolved: Resolved, part: pl.DataFrame) -> pl.DataFrame:
    """Return `source`, `standard`, `direct` of a shard's codes, in order of their numbers."""
    return (
        part.sort("number", descending=True)
        .join(resolved.codes, on=_TRIPLE, how="left", nulls_equal=True, maintain_order="left")
        .select("source", "standard", "direct")
    )
