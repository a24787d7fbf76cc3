"""Master files of what belongs to no patient: MFN M05 (organizations, locations), M02 (practitioners), M13 (payers).

An organization is a location of a facility alone (LOC-1 holds only PL.4). Its kind, as that of a location, is a
characteristic (LCH). Payers have no master file in v2.5.1: a general one (M13) with a Z-segment, ZPY, names them.

References
----------
HL7 Version 2.5.1, chapter 8: 8.6 (M02, with chapter 15 for STF and PRA), 8.8 (LOC, LCH, LDP), 8.5 (MFI, MFE).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.exporters.hl7v2.fields import coded, ended, given, text
from ehrsatz.terminology.hl7v2 import FACILITY, LOCAL, PLACE, SENDER, VERSION

TIME = "19000101000000"  # of master files: what they say holds from the first event on
ENCODING = f"|^~\\&|{SENDER}|{FACILITY}"


def masters(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Return the messages of all master files, segments joined by carriage returns."""
    out: list[str] = []
    for kind, file, frame in (
        ("MFN^M05^MFN_M05", "LOC^Location master file^HL70175", _organizations(tables["organization"])),
        ("MFN^M05^MFN_M05", "LOC^Location master file^HL70175", _locations(tables["location"])),
        ("MFN^M02^MFN_M02", "PRA^Practitioner master file^HL70175", _practitioners(tables["practitioner"])),
        ("MFN^M13^MFN_M13", f"PAY^Payers^{LOCAL}", _payers(tables["payer"])),
    ):
        grouped = frame.group_by("group", maintain_order=True).agg(pl.col("entry").str.join(""))
        for entry in grouped["entry"].to_list():
            number = f"M{len(out) + 1:08d}"
            msh = f"MSH{ENCODING}|||{TIME}||{kind}|{number}|T|{VERSION}||||||UNICODE UTF-8"
            out.append(f"{msh}\rMFI|{file}||UPD|||NE{entry}")
    return out


def _entry(identity: pl.Expr, kind: str) -> list[pl.Expr | str]:
    return [f"\rMFE|MAD||{TIME}|", identity, f"|{kind}"]


def _places(frame: pl.DataFrame, place: pl.Expr, code: pl.Expr, group: pl.Expr, *more: pl.Expr | str) -> pl.DataFrame:
    kind = given(pl.col("kind"), "\rLCH|", place, f"|||kind^Kind^{LOCAL}|", pl.col("kind"), f"^^{LOCAL}")
    loc = ended(text("\rLOC|", place, "|", pl.col("name"), "|", code, "|", *more))
    parts = [*_entry(place, "PL"), loc, kind, "\rLDP|", place, f"|GEN^General^{LOCAL}"]
    return frame.select(group.alias("group"), text(*parts).alias("entry"))


def _organizations(frame: pl.DataFrame) -> pl.DataFrame:
    name = ended(text(pl.col("name"), "^" * 9, pl.col("identifier")), "^")
    rest = pl.concat_str([pl.col(one).fill_null("") for one in ("city", "region", "postal_code")], separator="^")
    address = ended(text(pl.col("address_line"), "^^", rest), "^")
    place = text("^^^", pl.col("organization_id"))
    parts = (name, "|", address, "|", given(pl.col("phone"), pl.col("phone"), "^WPN^PH"))
    return _places(frame, place, pl.lit("L"), pl.col("organization_id"), *parts)


def _locations(frame: pl.DataFrame) -> pl.DataFrame:
    place = ended(text(pl.col("location_id"), "^^^", pl.col("organization_id")), "^")
    return _places(frame, place, coded(PLACE, "kind").fill_null("L"), pl.col("organization_id"))


def _practitioners(frame: pl.DataFrame) -> pl.DataFrame:
    key = text(pl.col("practitioner_id"), f"^^{LOCAL}")
    number = given(pl.col("identifier"), pl.col("identifier"), "^^^SYNTHETIC^NPI")
    name = ended(text(pl.col("family_name"), "^", pl.col("given_name")), "^")
    stf = ended(text("\rSTF|", key, "|", number, "|", name, "||||A"))
    pra = ended(text("\rPRA|", key, "||||", pl.col("specialty"), "||||", pl.col("organization_id")))
    return frame.select(pl.col("organization_id").alias("group"), text(*_entry(key, "CE"), stf, pra).alias("entry"))


def _payers(frame: pl.DataFrame) -> pl.DataFrame:
    key = text(pl.col("payer_id"), f"^^{LOCAL}")
    zpy = ended(text("\rZPY|", key, "|", pl.col("name"), "|", pl.col("kind")))
    return frame.select(pl.col("payer_id").alias("group"), text(*_entry(key, "CE"), zpy).alias("entry"))
