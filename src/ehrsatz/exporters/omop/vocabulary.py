"""The tables that say what the concepts of a database are: only rows that are used, and ingredients of drugs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl

from ehrsatz.exporters.omop.athena import Athena
from ehrsatz.exporters.omop.concepts import Resolved
from ehrsatz.exporters.omop.costs import DETAIL
from ehrsatz.terminology.omop import cdm, known
from ehrsatz.terminology.omop.known import Concept

FIRST, LAST = date(1970, 1, 1), date(2099, 12, 31)
INGREDIENTS = "ehrsatz ingredient"  # vocabulary of ingredients that are known by name alone
_CLINICAL = frozenset({*known.STANDARD, "UCUM"})  # concepts that are only written where they are used
_STRENGTH = re.compile(
    r"^(?:(?:\{?\d+ \()?(?:[\d.]+ (?:HR|ML|ACTUAT) )*)?(?P<name>.+?) (?P<value>[\d.]+) (?P<unit>MG|MCG|UNT|MEQ|G|ML)"
    r"(?:/(?P<per>ML|ACTUAT|HR|MG))?(?: |$)"
)  # "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet": RxNorm's names of clinical drugs
_SALTS = re.compile(
    r" (?:hydrochloride|sodium|potassium|calcium|sulfate|acetate|tartrate|succinate|mesylate|maleate|phosphate|"
    r"bitartrate|hyclate|monohydrate|propionate|besylate|citrate|porcine|fumarate|hydrobromide|nitrate)\b.*$"
)
_AMOUNTS = {"MG": ("mg", 1.0), "MCG": ("mg", 0.001), "G": ("mg", 1000.0), "UNT": ("[IU]", 1.0), "ML": ("mL", 1.0)}


@dataclass(frozen=True)
class Vocabulary:
    """Rows of the vocabulary tables, and the ingredients of drugs.

    Parameters
    ----------
    tables
        Name -> rows.
    ingredients
        drug_concept_id, ingredient_concept_id.
    """

    tables: dict[str, pl.DataFrame]
    ingredients: pl.DataFrame


def vocabulary(resolved: Resolved, payers: dict[str, str | None], athena: Athena | None) -> Vocabulary:
    """Return the vocabulary tables.

    Parameters
    ----------
    resolved
        What the codes stand for.
    payers
        Key of a payer -> its kind, which becomes the class of its concept.
    athena
        A user's vocabularies, which know ingredients.
    """
    concepts = {
        n: one for n, one in known.concepts().items() if one.vocabulary_id not in _CLINICAL or not one.concept_id
    }
    concepts |= {n: one for n, one in known.concepts().items() if n in _written()}
    concepts |= {n: _payer(one, payers) for n, one in resolved.concepts.items()}
    next_id = max([known.LOCAL + resolved.codes.height, *(n for n in concepts if n > known.LOCAL)]) + 1
    parts, strengths, found = _ingredients(resolved, athena, next_id)
    concepts |= found
    own = {**resolved.vocabularies, INGREDIENTS: "ingredients by name"}
    described, domains, classes, vocabularies = _described(concepts, own)
    rows = sorted((*concepts.values(), *described), key=lambda one: one.concept_id)
    links = [(one, other, "Maps to") for one, other in resolved.maps]
    links += [(other, one, "Mapped from") for one, other in resolved.maps]
    standard = [one.concept_id for one in rows if one.standard_concept == "S"]
    ancestors = [(one, one, 0, 0) for one in standard]
    ancestors += [(ingredient, drug, 1, 1) for drug, ingredient in parts if drug != ingredient]
    held = {
        "concept": [(*_row(one), FIRST, LAST, None) for one in rows],
        "vocabulary": vocabularies,
        "domain": domains,
        "concept_class": classes,
        "relationship": _relationships(),
        "concept_relationship": [(*one, FIRST, LAST, None) for one in sorted(set(links))],
        "concept_ancestor": sorted(set(ancestors)),
        "concept_synonym": [(one, text[:1000], known.ENGLISH) for one, text in resolved.synonyms],
        "drug_strength": [(*one, None, FIRST, LAST, None) for one in strengths],
        "source_to_concept_map": _source_map(resolved, {one.concept_id: one for one in rows}),
    }
    tables = {name: frame(name, held[name]) for name in cdm.VOCABULARY}
    pairs = pl.DataFrame(parts, schema={"drug_concept_id": pl.Int64, "ingredient_concept_id": pl.Int64}, orient="row")
    return Vocabulary(tables, pairs)


def frame(table: str, rows: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    """Return rows of a table as a frame of all its columns."""
    return pl.DataFrame(
        list(rows), schema={field.name: TYPES[field.kind] for field in cdm.tables()[table]}, orient="row"
    )


TYPES: dict[str, Any] = {
    "integer": pl.Int64,
    "number": pl.Float64,
    "date": pl.Date,
    "datetime": pl.Datetime("us"),
    "text": pl.String,
}


def _row(one: Concept) -> tuple[Any, ...]:
    return (
        one.concept_id,
        one.concept_name,
        one.domain_id,
        one.vocabulary_id,
        one.concept_class_id,
        one.standard_concept,
        one.concept_code,
    )


def _written() -> set[int]:
    """Concepts that rows name without a code of the records: routes, units, words of results, one kind of allergy."""
    words = (known.INTERPRETATIONS, known.ROUTES, known.UNITS, known.COUNTRIES)
    return {*(n for one in words for n in one.values()), known.ENGLISH, known.DRUG_ALLERGY}


def _payer(one: Concept, payers: dict[str, str | None]) -> Concept:
    if one.vocabulary_id != "ehrsatz payer":
        return one
    kind = payers.get(one.concept_code)
    marked = f"{'Code' if one.concept_class_id == 'Code' else 'Payer'}{f' {kind}' if kind else ''}"
    return replace(one, concept_class_id=marked, standard_concept=None)


def _described(
    concepts: dict[int, Concept], own: dict[str, str]
) -> tuple[list[Concept], list[tuple[Any, ...]], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return rows of domain, concept_class and vocabulary for all that the concepts name, and the concepts of these."""
    used = [*concepts.values()]
    added: list[Concept] = []
    first = max([known.LOCAL, *concepts]) + 1
    names: dict[str, list[str]] = {
        "Domain": sorted({one.domain_id for one in used} | {DETAIL, "Metadata"}),
        "Concept Class": sorted({one.concept_class_id for one in used} | {"Domain", "Concept Class", "Vocabulary"}),
        "Vocabulary": sorted({one.vocabulary_id for one in used} | {"Domain", "Concept Class", "Vocabulary"}),
    }
    out: dict[str, list[tuple[Any, ...]]] = {}
    for kind, words in names.items():
        rows = []
        for word in words:
            one = known.described(kind).get(word)
            if (kind, word) == ("Domain", DETAIL):
                one = Concept(known.DETAIL, word, "Metadata", kind, kind, None, word)
                added.append(one)
            if one is None:
                name = own.get(word, word) or "codes without a system"
                one = Concept(first + len(added), name[:255], "Metadata", kind, kind, None, word[:50])
                added.append(one)
            rows.append((word, one.concept_name, one.concept_id))
        out[kind] = rows
    vocabularies = [
        (word, name, "records of ehrsatz" if word.startswith("ehrsatz") else None, None, number)
        for word, name, number in out["Vocabulary"]
    ]
    return added, out["Domain"], out["Concept Class"], vocabularies


def _relationships() -> list[tuple[Any, ...]]:
    pairs = {"Maps to": "Mapped from", "Is a": "Subsumes"}
    back = {other: one for one, other in pairs.items()}
    return [
        (word, one.concept_name, "1" if word in {"Is a", "Subsumes"} else "0", "1" if word == "Subsumes" else "0",
         {**pairs, **back}[word], one.concept_id)
        for word, one in sorted(known.described("Relationship").items())
    ]  # fmt: skip


def _source_map(resolved: Resolved, concepts: dict[int, Concept]) -> list[tuple[Any, ...]]:
    """Return how codes that are not standard map to those that are."""
    out = []
    for one, other in resolved.maps:
        if one != other and one in concepts and other in concepts:
            code, target = concepts[one], concepts[other]
            out.append(
                (
                    code.concept_code,
                    one,
                    code.vocabulary_id,
                    code.concept_name,
                    other,
                    target.vocabulary_id,
                    FIRST,
                    LAST,
                    None,
                )
            )
    return out


# ---------------------------------------------------------------------- drugs
def _ingredients(
    resolved: Resolved, athena: Athena | None, first: int
) -> tuple[list[tuple[int, int]], list[tuple[Any, ...]], dict[int, Concept]]:
    """Return (drug, ingredient), rows of drug_strength without their ends, and concepts of the ingredients."""
    drugs = {
        n: one
        for n, one in resolved.concepts.items()
        if one.domain_id == "Drug" and one.standard_concept == "S" and one.vocabulary_id.endswith("RxNorm")
    }
    parts, concepts = athena.ingredients(drugs) if athena is not None else ([], {})
    told = {drug for drug, _ in parts}
    by_name = {
        one.concept_name.lower(): one
        for one in known.concepts().values()
        if one.vocabulary_id == "RxNorm" and one.concept_class_id == "Ingredient"
    }
    named: dict[str, Concept] = {}
    strengths = []
    for number, one in sorted(drugs.items()):
        if one.concept_class_id == "Ingredient":
            parts.append((number, number))
            continue
        for name, value, unit, per in _strengths(one.concept_name):
            ingredient = by_name.get(name) or named.get(name)
            if ingredient is None and number not in told:
                ingredient = Concept(first + len(named), name, "Drug", INGREDIENTS, "Ingredient", "S", name[:50])
                named[name] = ingredient
            if ingredient is None:
                continue
            concepts[ingredient.concept_id] = ingredient
            if number not in told:
                parts.append((number, ingredient.concept_id))
            if (number, ingredient.concept_id) in parts:
                amount, per_unit = (
                    known.UNITS.get(unit),
                    known.UNITS.get({"ML": "mL", "HR": "h", "MG": "mg"}.get(per, "")),
                )
                whole = (value, amount, None, None, None, None)
                share = (None, None, value, amount, 1.0, per_unit)
                strengths.append((number, ingredient.concept_id, *(share if per else whole)))
    return sorted(set(parts)), strengths, concepts


def _strengths(name: str) -> list[tuple[str, float, str, str]]:
    """Return ingredient, amount, its unit, and per what, of each part of a clinical drug's name."""
    out: dict[str, tuple[str, float, str, str]] = {}
    for part in name.split(" / "):
        match = _STRENGTH.match(part)
        if match is None or match["unit"] not in _AMOUNTS:
            continue
        unit, factor = _AMOUNTS[match["unit"]]
        word = _SALTS.sub("", match["name"].lower().strip("{( ").partition(",")[0])
        out.setdefault(word, (word, round(float(match["value"]) * factor, 9), unit, match["per"] or ""))
    return list(out.values())
