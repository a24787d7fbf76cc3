"""837P: one transaction per payer and billing provider, subscribers under it, their claims with their lines.

A stay in hospital is carried as a professional claim with place of service 21, as the only implementation guide used
here is that of professional claims. Codes of lines have no qualifier of their own there unless they are HCPCS or CPT:
they stand as codes of a jurisdiction (ER), and the line note says the kind, the code system and the minute.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.clinical import ICD10CM
from ehrsatz.exporters.x12.segments import (
    Part,
    address,
    amount,
    clean,
    composite,
    day,
    fits,
    given,
    interchange,
    named,
    npi,
    plain,
    second,
    segment,
    tax,
    transaction,
)
from ehrsatz.layouts.x12 import (
    CLAIM,
    ELEMENT,
    FILING,
    MOST_CLAIMS,
    MOST_DIAGNOSES,
    MOST_LINES,
    NO_CODE,
    NO_DIAGNOSIS,
    NO_NAME,
    NO_STATUS,
    NO_TIME,
    PLACES,
    SENDER,
    SEXES,
)

SUBMITTER = "EHRSATZ SYNTHETIC TEST DATA"
_ICD = r"^[A-TV-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$"


def sent() -> pl.Expr:
    """Say which claims go to a payer: those with a coverage, whose keys fit."""
    link = pl.col("encounter_id").is_null() | fits("encounter_id", "encounter")
    return (
        fits("coverage_id", "coverage")
        & fits("claim_id", "claim")
        & fits("patient_id", "patient")
        & link.fill_null(False)
    )


def settled() -> pl.Expr:
    """Say which payments are a payer's: what the patient alone paid later is none of its business."""
    return (pl.col("payer_part").fill_null(0.0) != 0) | (pl.col("adjustment").fill_null(0.0) != 0)


def known(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the claims that are sent, with all that their segments name; columns of others begin with their table."""
    claims = tables["claim"].filter(sent())
    named: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("coverage", "coverage_id", ("payer_id", "member_number")),
        ("patient", "patient_id", PATIENT),
        ("encounter", "encounter_id", ENCOUNTER),
    )
    for table, key, columns in named:
        held = tables[table].select(key, *(pl.col(name).alias(f"{table}.{name}") for name in columns))
        claims = claims.join(held, on=key, how="left", maintain_order="left")
    linked: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("payer", "coverage.payer_id", ("name", "kind")),
        ("practitioner", "encounter.practitioner_id", ("given_name", "family_name", "identifier")),
        ("organization", "encounter.organization_id", HOUSE),
        ("location", "encounter.location_id", ("name",)),
    )
    for table, link, columns in linked:
        key = f"{table}_id"
        held = tables[table].select(
            pl.col(key).alias(link), *(pl.col(name).alias(f"{table}.{name}") for name in columns)
        )
        claims = claims.join(held, on=link, how="left", maintain_order="left")
    return claims.with_columns(
        clean("coverage.payer_id", 15).fill_null(NO_NAME).alias("(payer)"),
        pl.col("encounter.organization_id").fill_null("").alias("(house)"),
    )


def claims(tables: Mapping[str, pl.DataFrame], first: int) -> str:
    """Return the interchanges with all claims that are sent, one per payer; empty where there are none."""
    whole = known(tables)
    if not whole.height:
        return ""
    remitted = tables["payment"].filter(settled() & fits("payment_id", "payment"))["claim_id"]
    parts = _with_lines(whole, tables["claim_line"]).join(
        _diagnoses(whole, tables["condition"]), on="claim_id", how="left", maintain_order="left"
    )
    told = parts.with_columns(pl.col("claim_id").is_in(remitted.implode()).alias("(told)"))
    one = told.with_columns(_claim().alias("(claim)")).with_columns(
        (pl.int_range(pl.len()).over(SUBSCRIBER) // MOST_CLAIMS).alias("(hundred)")
    )
    subscribers = one.group_by([*SUBSCRIBER, "(hundred)"], maintain_order=True).agg(
        pl.col("(claim)").str.join(""), pl.all().exclude("(claim)").first(), pl.col("time").max().alias("(last)")
    )
    level = (pl.int_range(pl.len()).over("(payer)", "(house)") + 2).cast(pl.String)
    under = subscribers.with_columns(pl.concat_str(_subscriber(level), pl.col("(claim)")).alias("(text)"))
    houses = under.group_by(["(payer)", "(house)"], maintain_order=True).agg(
        pl.col("(text)").str.join(""), pl.all().exclude("(text)", "(last)").first(), pl.col("(last)").max()
    )
    date = day("(last)").fill_null(NO_TIME)
    number = (pl.int_range(pl.len()).over("(payer)") + 1).cast(pl.String).str.pad_start(4, "0")
    body = houses.with_columns(pl.concat_str(_head(number, date), _house(), pl.col("(text)")).alias("(body)"))
    sets = body.with_columns(transaction("837", CLAIM, "(body)", number).alias("text"))
    groups = sets.group_by("(payer)", maintain_order=True).agg(
        pl.col("text").str.join(""), pl.len().alias("n"), pl.col("(last)").max()
    )
    return interchange(
        groups.with_columns(date.alias("(date)")),
        kind="837",
        version=CLAIM,
        sender=pl.lit(SENDER),
        receiver=pl.col("(payer)"),
        first=first,
    )


# ---------------------------------------------------------------------- loops
def _head(number: pl.Expr, date: pl.Expr) -> pl.Expr:
    return pl.concat_str(
        segment("BHT", "0019", "00", number, date, "0000", "CH"),
        pl.lit(plain("NM1", "41", "2", SUBMITTER, "", "", "", "", "46", SENDER)),
        pl.lit(plain("PER", "IC", SUBMITTER, "TE", "5555550100")),
        segment("NM1", "40", "2", _payer_name(), "", "", "", "", "46", pl.col("(payer)")),
    )


def _payer_name() -> pl.Expr:
    return clean("payer.name", 60).fill_null(NO_NAME)


def _house() -> pl.Expr:
    """Return the billing provider: loops 2000A and 2010AA."""
    return pl.concat_str(
        pl.lit(plain("HL", "1", "", "20", "1")),
        named(
            "85",
            "2",
            clean("organization.name", 60).fill_null(NO_NAME),
            "",
            "XX",
            npi("organization.identifier"),
        ),
        address("organization.address_line", "organization.city", "organization.region", "organization.postal_code"),
        segment("REF", "EI", tax("organization.identifier")),
    )


def _subscriber(level: pl.Expr) -> pl.Expr:
    """Return the subscriber, who is the patient, and the payer: loops 2000B, 2010BA and 2010BB."""
    filing = pl.col("payer.kind").replace_strict(FILING, default="ZZ", return_dtype=pl.String).fill_null("ZZ")
    member = clean("coverage.member_number", 80)
    lives = pl.all_horizontal(pl.col("patient.address_line", "patient.city").is_not_null())
    sex = pl.col("patient.sex").replace_strict(SEXES, default="U", return_dtype=pl.String).fill_null("U")
    house = clean(pl.when(pl.col("(house)") != "").then(pl.col("(house)")), 50)
    return pl.concat_str(
        segment("HL", level, "1", "22", "0"),
        segment("SBR", "P", "18", pl.col("coverage_id"), "", "", "", "", "", filing),
        segment("NM1", "IL", "1", *patient_name(), "", "", "", "MI", member.str.pad_end(2, " ").fill_null(NO_NAME)),
        given(lives, address("patient.address_line", "patient.city", "patient.region", "patient.postal_code")),
        given(pl.col("patient.birth_date").is_not_null(), segment("DMG", "D8", day("patient.birth_date"), sex)),
        segment("NM1", "PR", "2", _payer_name(), "", "", "", "", "PI", pl.col("(payer)").str.pad_end(2, " ")),
        given(house.is_not_null(), segment("REF", "G2", house)),
    )


def patient_name() -> tuple[pl.Expr, pl.Expr]:
    """Return last and first name of a patient in the characters of X12; who has one name alone has it as the last."""
    last, first = clean("patient.family_name", 60), clean("patient.given_name", 35)
    whole = pl.coalesce(last, clean("patient.given_name", 60)).fill_null(NO_NAME)
    return whole, pl.when(last.is_not_null()).then(first)


def _claim() -> pl.Expr:
    """Return loop 2300 with the lines."""
    place = pl.col("encounter.class").replace_strict(PLACES, default="99", return_dtype=pl.String).fill_null("99")
    stays = place == "21"
    begun, ended = day("encounter.start"), day("encounter.stop")
    several = pl.col("(parts)") > 1
    plain_status = pl.col("(told)") & pl.col("status").is_in(["paid", "denied"]).fill_null(False)  # as the 835 says
    parts: list[Part] = [
        _note("ENC=", pl.col("encounter_id")),
        _note("TIME=", second("time")),
        _note("STATUS=", pl.when(~plain_status).then(pl.col("status").fill_null(NO_STATUS))),
        _note("PART=", pl.when(several).then((pl.col("(part)") + 1).cast(pl.String))),
    ]
    note = pl.concat_str([pl.lit(one) if isinstance(one, str) else one for one in parts]).str.strip_chars_end(";")
    doctor = clean("practitioner.family_name", 60)
    place_name = clean("location.name", 60)
    return pl.concat_str(
        segment("CLM", pl.col("claim_id"), amount("(total)"), "", "", composite(place, "B", "1"), "Y", "A", "Y", "Y"),
        given(stays & begun.is_not_null(), segment("DTP", "435", "D8", begun)),
        given(stays & ended.is_not_null(), segment("DTP", "096", "D8", ended)),
        segment("REF", "EA", pl.col("patient_id")),
        given(note != "", segment("NTE", "ADD", note)),
        segment("HI", pl.col("(diagnoses)").fill_null(f"ABK>{NO_DIAGNOSIS}")),
        given(
            pl.col("encounter.practitioner_id").is_not_null(),
            named(
                "82",
                "1",
                doctor.fill_null(NO_NAME),
                clean("practitioner.given_name", 35),
                "XX",
                npi("practitioner.identifier"),
            ),
            segment("REF", "G2", clean("encounter.practitioner_id", 50).fill_null(NO_NAME)),
        ),
        given(
            place_name.is_not_null(),
            segment("NM1", "77", "2", place_name),
            address(
                "organization.address_line", "organization.city", "organization.region", "organization.postal_code"
            ),
            segment("REF", "LU", clean("encounter.location_id", 50).fill_null(NO_NAME)),
        ),
        pl.col("(lines)"),
    )


def _note(name: str, cell: pl.Expr) -> pl.Expr:
    return pl.concat_str([pl.lit(name), cell, pl.lit(";")]).fill_null("")


def _with_lines(whole: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return claims, of more than 50 lines in parts, with their lines in "(lines)" and what they amount to."""
    ours = whole.select("claim_id", pl.col("time").alias("(claimed)"), pl.col("total"))
    held = lines.filter(fits("claim_line_id", "claim_line")).join(ours, on="claim_id", maintain_order="left")
    ordered = held.sort("number", nulls_last=True, maintain_order=True)
    ranked = ordered.with_columns(pl.int_range(pl.len()).over("claim_id").alias("(rank)")).with_columns(
        (pl.col("(rank)") // MOST_LINES).alias("(part)"), (pl.col("(rank)") % MOST_LINES + 1).alias("(lx)")
    )
    joined = (
        ranked.with_columns(_line().alias("(lines)"))
        .group_by("claim_id", "(part)", maintain_order=True)
        .agg(pl.col("(lines)").str.join(""), pl.col("amount").sum().round(2).alias("(sum)"))
    )
    counted = joined.with_columns(pl.len().over("claim_id").alias("(parts)")).sort("(part)", maintain_order=True)
    before = (pl.col("(sum)").cum_sum().over("claim_id") - pl.col("(sum)")).round(2)
    last = pl.col("(part)") == pl.col("(parts)") - 1
    parts = whole.join(counted.with_columns(before.alias("(before)")), on="claim_id", how="left", maintain_order="left")
    rest = (pl.col("total").fill_null(0.0) - pl.col("(before)")).round(2)
    total = pl.when(pl.col("(parts)") > 1).then(pl.when(last).then(rest).otherwise("(sum)")).otherwise("total")
    return parts.with_columns(
        total.alias("(total)"),
        pl.col("(parts)").fill_null(1),
        pl.col("(part)").fill_null(0),
        pl.col("(lines)").fill_null(_no_line()),
    )


def _line() -> pl.Expr:
    """Return loop 2400."""
    public = pl.col("system").is_in(["HCPCS", "CPT"]).fill_null(False)
    qualifier = pl.when(public).then(pl.lit("HC")).otherwise(pl.lit("ER"))
    note = pl.concat_str(
        _note("KIND=", pl.col("kind")),
        _note("SYSTEM=", pl.when(system_fits()).then(pl.col("system"))),
        _note("TIME=", second("time")),
    ).str.strip_chars_end(";")
    date = pl.coalesce(day("time"), day("(claimed)")).fill_null(NO_TIME)
    return pl.concat_str(
        segment("LX", pl.col("(lx)").cast(pl.String)),
        segment(
            "SV1",
            composite(qualifier, pl.when(code_fits()).then(pl.col("code")).fill_null(NO_CODE)),
            amount("amount"),
            "UN",
            "1",
            "",
            "",
            "1",
        ),
        segment("DTP", "472", "D8", date),
        segment("REF", "6R", pl.col("claim_line_id")),
        given(note != "", segment("NTE", "ADD", note)),
    )


def code_fits() -> pl.Expr:
    """Say whether the code of a line can stand in SV101."""
    code = pl.col("code")
    return (code.str.contains(r"^[A-Za-z0-9.\-_/]+$") & (code.str.len_chars() <= 48)).fill_null(False)


def system_fits() -> pl.Expr:
    """Say whether a code system can be named in the line note."""
    return pl.col("system").str.contains(r"^[A-Za-z0-9._/:#-]{1,30}$").fill_null(False)


def _no_line() -> pl.Expr:
    """Return the one line that a claim must have, where the record has none: the whole amount, without a number."""
    return pl.concat_str(
        pl.lit(plain("LX", "1")),
        segment("SV1", composite("ER", NO_CODE), amount("total"), "UN", "1", "", "", "1"),
        segment("DTP", "472", "D8", day("time").fill_null(NO_TIME)),
        pl.lit(plain("NTE", "ADD", "NO LINE")),
    )


def _diagnoses(whole: pl.DataFrame, conditions: pl.DataFrame) -> pl.DataFrame:
    """Return claim_id and "(diagnoses)": the reason of the visit first, then what was found at it."""
    reasons = whole.select("claim_id", pl.col("encounter.reason_code").alias("code"))
    found = conditions.filter(pl.col("system") == ICD10CM).select("encounter_id", "code")
    seen = whole.select("claim_id", "encounter_id").join(found, on="encounter_id", maintain_order="left")
    codes = pl.concat([reasons, seen.select("claim_id", "code")]).filter(pl.col("code").str.contains(_ICD))
    first = codes.unique(["claim_id", "code"], keep="first", maintain_order=True)
    ranked = first.with_columns(pl.int_range(pl.len()).over("claim_id").alias("(n)"))
    kept = ranked.filter(pl.col("(n)") < MOST_DIAGNOSES).with_columns(
        composite(
            pl.when(pl.col("(n)") == 0).then(pl.lit("ABK")).otherwise(pl.lit("ABF")),
            pl.col("code").str.replace(".", "", literal=True),
        ).alias("(diagnoses)")
    )
    return kept.group_by("claim_id", maintain_order=True).agg(pl.col("(diagnoses)").str.join(ELEMENT))


SUBSCRIBER = ["(payer)", "(house)", "patient_id", "coverage_id"]
PATIENT = ("given_name", "family_name", "birth_date", "sex", "address_line", "city", "region", "postal_code")
ENCOUNTER = ("class", "start", "stop", "reason_code", "practitioner_id", "organization_id", "location_id")
HOUSE = ("name", "identifier", "address_line", "city", "region", "postal_code")
