"""X12: what pyx12 says of every interchange, balances, characters, claims of many lines, and rows that lack much."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.x12.exporter import X12Exporter
from ehrsatz.exporters.x12.segments import clean
from ehrsatz.provenance import Provenance
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.x12.source import X12Source


@pytest.fixture(scope="module")
def written(cohort: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return texts(cohort, tmp_path_factory.mktemp("x12"))


def texts(dataset: Dataset, folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="ascii") for path in X12Exporter().write(dataset, folder)}


def segments(text: str) -> list[list[str]]:
    return [one.strip().split("*") for one in text.split("~") if one.strip()]


# ---------------------------------------------------------------------- pyx12
def judged(text: str) -> tuple[bool, list[Any], str]:
    """Return pyx12's verdict, its errors, and the acknowledgement that it makes."""
    import pyx12.params
    import pyx12.x12n_document

    logging.getLogger("pyx12").setLevel(logging.CRITICAL)
    acknowledged, told = io.StringIO(), io.StringIO()
    passed = pyx12.x12n_document.x12n_document(pyx12.params.params(), io.StringIO(text), acknowledged, None, None, told)
    return passed, list(errors(json.loads(told.getvalue()))), acknowledged.getvalue()


def errors(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        for name, held in node.items():
            if name == "errors":
                yield from held
            else:
                yield from errors(held)
    elif isinstance(node, list):
        for held in node:
            yield from errors(held)


def test_pyx12_accepts_every_claim(written: dict[str, str]) -> None:
    passed, told, acknowledged = judged(written["837P"])
    assert (passed, told) == (True, [])
    n_sets = written["837P"].count("\nST*837*")
    assert n_sets > 100 and acknowledged.count("IK5*A~") == n_sets
    assert acknowledged.count("AK9*A*") == written["837P"].count("\nGS*HC*") > 3


def test_pyx12_accepts_every_remittance(written: dict[str, str]) -> None:
    """The verdict counts: pyx12 fails to write its acknowledgement of an 835, as that guide has no ST03."""
    passed, told, _ = judged(written["835"])
    assert (passed, told) == (True, [])


@pytest.mark.parametrize(
    ("what", "by"),
    [
        ("SV1*ER>", "SV1*XX>"),
        ("HI*ABK>", "HI*QQQ>"),
        ("DMG*D8*19", "DMG*D8*AB"),
        ("CLM*", "CLX*"),
        ("*UN*1***1", "*UN*one***1"),
    ],
)
def test_pyx12_sees_a_damaged_claim(cohort: Dataset, tmp_path: Path, what: str, by: str) -> None:
    text = texts(insured(cohort, 6), tmp_path)["837P"]
    assert what in text and judged(text)[:2] == (True, [])
    passed, told, acknowledged = judged(text.replace(what, by, 1))
    assert not passed and told and "IK5*R" in acknowledged


def test_pyx12_accepts_edge_cases_and_no_claims_at_all(edgy: Dataset, tmp_path: Path) -> None:
    for name, text in texts(edgy, tmp_path / "edgy").items():
        assert judged(text)[:2] == (True, []), name
    nobody = loose.complete({"patient": pl.DataFrame({"patient_id": ["A"]})}, Provenance("simulated"))
    for name, text in texts(nobody, tmp_path / "none").items():
        assert judged(text)[1] == [], name
    assert X12Exporter().check(tmp_path / "none") == []


# ---------------------------------------------------------------------- money
def test_remittances_balance_to_the_cent(cohort: Dataset, written: dict[str, str]) -> None:
    charged: dict[str, int] = {}
    paid = told = 0
    for row in segments(written["835"]):
        if row[0] == "BPR":
            assert paid == told
            told, paid = cents(row[2]), 0
        elif row[0] == "CLP":
            paid += cents(row[4])
            charged[row[7]] = cents(row[3]) - cents(row[4])
            last = row[7]
        elif row[0] == "CAS":
            charged[last] -= sum(cents(amount) for amount in row[3::3])
    assert paid == told
    assert len(charged) > 1000 and set(charged.values()) == {0}
    statuses = {row[1]: row[2] for row in segments(written["835"]) if row[0] == "CLP"}
    denied = cohort.tables["claim"].filter(pl.col("status") == "denied")["claim_id"].to_list()
    assert denied and {one for one, status in statuses.items() if status == "4"} == set(denied)


def test_claims_amount_to_their_lines(written: dict[str, str]) -> None:
    total = lines = n = 0
    for row in segments(written["837P"]):
        if row[0] == "CLM":
            assert total == lines
            total, lines, n = cents(row[2]), 0, n + 1
        elif row[0] == "SV1":
            lines += cents(row[2])
    assert total == lines and n > 1000


def cents(text: str) -> int:
    return round(float(text) * 100)


# ---------------------------------------------------------------------- what it says of itself
def test_all_are_tests_in_the_extended_character_set(written: dict[str, str]) -> None:
    for text in written.values():
        headers = [row for row in segments(text) if row[0] == "ISA"]
        assert headers and {row[15] for row in headers} == {"T"} and len({row[13] for row in headers}) == len(headers)
        assert text.isascii()
    assert "SYNTHETIC TEST DATA" in written["837P"] and "SYNTHETIC TEST DATA" in written["835"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Zoë Müller-Łuczak", "Zoe Muller-Luczak"),
        ("O'Neil*~^>", "O'Neil"),
        ("😀 Ann", "Ann"),
        ("محمد", None),
        ("Straße", "Strasse"),
        ("", None),
        (None, None),
    ],
)
def test_names_in_the_characters_of_x12(name: str | None, plain: str | None) -> None:
    assert pl.DataFrame({"name": pl.Series([name], dtype=pl.String)}).select(clean("name", 60)).item() == plain


# ---------------------------------------------------------------------- rows that were read elsewhere
def insured(cohort: Dataset, n: int = 30) -> Dataset:
    wide = loose.widen(cohort)
    here = wide.tables["patient"]["patient_id"][:n].implode()
    tables = {
        name: frame.filter(pl.col("patient_id").is_in(here)) if "patient_id" in frame.columns else frame
        for name, frame in wide.tables.items()
    }
    return Dataset.trusted(wide.schema, tables, Provenance("simulated"))


def differing(dataset: Dataset, folder: Path) -> list[str]:
    X12Exporter().write(dataset, folder)
    assert X12Exporter().check(folder) == []
    found = X12Source().read(folder / "x12", origin="simulated")
    return [f"{one.table}.{one.column}" for one in compare(dataset, found, X12Exporter.losses) if one.n_differ]


@pytest.mark.parametrize("every", [2, 3])
def test_missing_cells_stay_missing(cohort: Dataset, tmp_path: Path, every: int) -> None:
    whole = insured(cohort)
    tables = {}
    for table in whole.schema.tables:
        frame = whole.tables[table.name]
        needed = {table.columns[0].name, "patient_id", "claim_id"}
        gone = [
            pl.when((pl.int_range(pl.len()) + place) % every != 0).then(pl.col(name)).alias(name)
            for place, name in enumerate(frame.columns)
            if name not in needed
        ]
        tables[table.name] = frame.with_columns(gone)
    dataset = Dataset.trusted(whole.schema, tables, whole.provenance)
    assert differing(dataset, tmp_path) == []
    for path in (tmp_path / "x12").iterdir():
        assert judged(path.read_text(encoding="ascii"))[:2] == (True, []), path.name


def test_odd_cells_come_back_or_were_declared(cohort: Dataset, tmp_path: Path) -> None:
    whole = insured(cohort)
    place = pl.int_range(pl.len())
    lines = whole.tables["claim_line"].with_columns(
        pl.when(place % 3 == 0)
        .then(pl.lit("99213"))
        .when(place % 3 == 1)
        .then(pl.lit("a*b"))
        .otherwise("code")
        .alias("code"),
        pl.when(place % 3 == 0)
        .then(pl.lit("CPT"))
        .when(place % 5 == 0)
        .then(pl.lit("x" * 40))
        .otherwise("system")
        .alias("system"),
        pl.when(place % 7 == 0)
        .then(pl.lit("ö"))
        .otherwise(pl.lit(""))
        .add(pl.col("claim_line_id"))
        .alias("claim_line_id"),
        (pl.col("number") * 10).alias("number"),
        (pl.col("time") + pl.duration(seconds=3, microseconds=5)).alias("time"),
    )
    claims = whole.tables["claim"].with_columns(
        pl.when(place % 4 == 0).then(pl.lit("x" * 39)).otherwise(pl.lit("")).add(pl.col("claim_id")).alias("claim_id")
    )
    renamed = dict(zip(whole.tables["claim"]["claim_id"], claims["claim_id"]))
    tables = {**whole.tables, "claim": claims}
    tables["claim_line"] = lines.with_columns(pl.col("claim_id").replace(renamed))
    tables["payment"] = whole.tables["payment"].with_columns(pl.col("claim_id").replace(renamed))
    assert differing(Dataset.trusted(whole.schema, tables, whole.provenance), tmp_path) == []


def test_a_claim_of_many_lines_is_told_in_parts(cohort: Dataset, tmp_path: Path) -> None:
    whole = insured(cohort)
    claim = whole.tables["claim"].filter(pl.col("coverage_id").is_not_null())[:1]
    key = claim["claim_id"][0]
    line = whole.tables["claim_line"].filter(pl.col("claim_id") == key)[:1]
    n = 123
    many = pl.concat([line] * n).with_columns(
        pl.int_range(1, n + 1).alias("number"),
        pl.concat_str(pl.lit("L"), pl.int_range(n)).alias("claim_line_id"),
        pl.lit(0.1).alias("amount"),
    )
    tables = {**whole.tables, "claim": claim.with_columns(pl.lit(12.3).alias("total")), "claim_line": many}
    tables["payment"] = whole.tables["payment"].filter(pl.col("claim_id") == key)
    assert differing(Dataset.trusted(whole.schema, tables, whole.provenance), tmp_path) == []
    text = (tmp_path / "x12" / "837P.edi").read_text(encoding="ascii")
    assert [row[2] for row in segments(text) if row[0] == "CLM"] == ["5", "5", "2.3"]
    assert judged(text)[:2] == (True, [])


def test_what_is_known_of_people_comes_back(cohort: Dataset, tmp_path: Path) -> None:
    """Tables that are lost as a whole are carried in part: what is there is right."""
    X12Exporter().write(cohort, tmp_path)
    found = X12Source().read(tmp_path / "x12", origin="simulated")
    for table, columns in {
        "patient": ("birth_date", "sex", "given_name", "family_name", "city", "region", "postal_code"),
        "coverage": ("patient_id", "payer_id", "member_number"),
        "encounter": ("patient_id", "practitioner_id", "organization_id", "location_id"),
        "organization": ("name", "identifier", "city"),
        "practitioner": ("given_name", "family_name", "identifier"),
        "payer": ("name",),
    }.items():
        key = f"{table}_id"
        both = found.tables[table].join(cohort.tables[table], on=key, suffix=":")
        assert both.height == found.tables[table].height > 5
        for column in columns:
            assert both[column].eq_missing(both[f"{column}:"]).all(), f"{table}.{column}"
