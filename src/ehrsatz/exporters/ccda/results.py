"""Entries of observations: vital signs, results with their orders and reports, social history."""

from __future__ import annotations

import polars as pl

from ehrsatz.clinical import LOINC, SNOMED
from ehrsatz.exporters.ccda.drugs import unit_fits
from ehrsatz.exporters.ccda.pieces import (
    author,
    code,
    extra,
    fixed,
    instant,
    interval,
    joined,
    key,
    mapped,
    moment,
    number,
    numbered,
    of_encounter,
    optional,
    own_word,
    reason,
    reference,
    row,
    shown,
    template,
    where,
    word,
    wrapper,
)
from ehrsatz.layouts.ccda import DICOM, INTERPRETATION, INTERPRETATIONS, SMOKING, TOBACCO, TRAITS

VITAL = template("2.16.840.1.113883.10.20.22.4.27", "2014-06-09")
RESULT = template("2.16.840.1.113883.10.20.22.4.2", "2015-08-01")
SOCIAL = template("2.16.840.1.113883.10.20.22.4.38", "2015-08-01")
STATUS = template("2.16.840.1.113883.10.20.22.4.78", "2014-06-09")
VITALS_PANEL = template("2.16.840.1.113883.10.20.22.4.26", "2015-08-01")
RESULTS_PANEL = template("2.16.840.1.113883.10.20.22.4.1", "2015-08-01")
STATED = {display: value for value, display in SMOKING.values()}  # text of a smoking status -> its code
OPEN = '<organizer classCode="CLUSTER" moodCode="EVN">'
DONE = '<statusCode code="completed"/>'


def _value() -> pl.Expr:
    """Return the value of an observation, with what the datatype cannot hold in observations of our own words."""
    fits = unit_fits("unit")
    unit = where(fits, optional(' unit="', pl.col("unit"), '"'))
    measured = joined('<value xsi:type="PQ" value="', number("value"), '"', unit, "/>")
    said = joined('<value xsi:type="ST">', pl.col("text_value"), "</value>")
    unknown = joined('<value xsi:type="PQ" nullFlavor="UNK"', unit, "/>")
    bare = where(pl.col("unit").is_not_null(), unknown, '<value xsi:type="ST" nullFlavor="UNK"/>')
    return pl.coalesce(measured, said, bare)


def _beside() -> pl.Expr:
    """Return what stands beside a value: the text of one that has a number, a unit that is no code."""
    has_number = pl.col("value").is_not_null()
    text = where(has_number, pl.col("text_value"), pl.lit(None, pl.String))
    alone = ~has_number & pl.col("text_value").is_not_null()
    unit = where(alone | ~unit_fits("unit"), pl.col("unit"), pl.lit(None, pl.String))
    return joined(extra("text", text), extra("unit", unit))


def _range() -> pl.Expr:
    """Return the reference range; empty without both ends."""
    unit = where(unit_fits("unit"), optional(' unit="', pl.col("unit"), '"'))
    ends = joined(
        optional('<low value="', number("low"), '"', unit, "/>"),
        optional('<high value="', number("high"), '"', unit, "/>"),
    )
    return where(
        pl.col("low").is_not_null() | pl.col("high").is_not_null(),
        joined(
            '<referenceRange><observationRange><value xsi:type="IVL_PQ">',
            ends,
            "</value></observationRange></referenceRange>",
        ),
    )


def _observation(templates: str | pl.Expr, value: pl.Expr, usual: str, name: str, link: pl.Expr) -> pl.Expr:
    """Return an observation; `usual` is the category that its section says, `link` its encounter."""
    category = where(pl.col("category") == usual, pl.lit(None, pl.String), pl.col("category").fill_null("?"))
    interpretation = optional(
        '<interpretationCode code="', word("interpretation", INTERPRETATIONS), f'" codeSystem="{INTERPRETATION}"/>'
    )
    return joined(
        '<observation classCode="OBS" moodCode="EVN">',
        templates,
        key("observation"),
        code("code", pl.col("code"), pl.col("(system)"), pl.col("display")),
        reference(name),
        DONE,
        instant("effectiveTime", moment("time")),
        value,
        interpretation,
        link,
        extra("category", category),
        _beside(),
        _range(),
        "</observation>",
    )


def _told(name: str) -> pl.Expr:
    value = pl.coalesce(joined(number("value"), " ", pl.col("unit").fill_null("")), pl.col("text_value"))
    low, high = number("low").fill_null(""), number("high").fill_null("")
    spread = where((low != "") | (high != ""), joined(low, " - ", high))
    return row(name, shown("time"), pl.col("display"), value, spread, pl.col("interpretation"))


def split(seen: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return vital signs, results and social history, by category, order and kind of value."""
    alone = pl.col("order_id").is_null()
    vital = alone & (pl.col("category") == "vital-signs") & pl.col("value").is_not_null() & pl.col("unit").is_not_null()
    social = alone & (pl.col("category") == "social-history")
    vital, social = vital.fill_null(False), social.fill_null(False)
    return seen.filter(vital), seen.filter(~vital & ~social), seen.filter(social)


def _panels(members: pl.DataFrame, head: str, panel: pl.Expr) -> pl.DataFrame:
    """Return organizers of the observations of one encounter and time; `(xml)` is an observation, "(told)" its row."""
    together = members.group_by("patient_id", "encounter_id", "time", maintain_order=True).agg(
        pl.col("observation_id").first(), pl.col("(xml)").str.join(""), pl.col("(told)").str.join("")
    )
    entry = joined(
        f'<entry typeCode="DRIV">{OPEN}',
        head,
        wrapper("panel", pl.col("observation_id")),
        panel,
        DONE,
        interval(moment("time"), moment("time"), always=True),
        of_encounter(tag="component"),
        pl.col("(xml)"),
        "</organizer></entry>",
    )
    return together.select("patient_id", entry.alias("entry"), pl.col("(told)").alias("told"))


def _component(body: pl.Expr) -> pl.Expr:
    return joined("<component>", body, "</component>")


def vitals(seen: pl.DataFrame) -> pl.DataFrame:
    """Return vital signs, one organizer per encounter and time: columns patient_id, entry, told."""
    one = numbered(seen)
    body = _observation(VITAL, _value(), "vital-signs", "vit", pl.lit(""))
    members = one.with_columns(_component(body).alias("(xml)"), _told("vit").alias("(told)"))
    panel = fixed(
        "code", "46680005", SNOMED, "Vital signs", inside=fixed("translation", "74728-7", LOINC, "Vital signs")
    )
    return _panels(members, VITALS_PANEL, pl.lit(panel))


def results(seen: pl.DataFrame, orders: pl.DataFrame, reports: pl.DataFrame) -> pl.DataFrame:
    """Return one organizer per order, and per encounter and time of what nobody ordered."""
    by_order = orders.select("order_id", pl.col("encounter_id").alias("(of)"))
    one = numbered(seen).join(by_order, on="order_id", how="left", maintain_order="left")
    apart = pl.col("order_id").is_not_null() & pl.col("encounter_id").ne_missing(pl.col("(of)"))
    nowhere = (
        '<entryRelationship typeCode="COMP" inversionInd="true"><encounter classCode="ENC" moodCode="EVN">'
        '<id nullFlavor="NI"/></encounter></entryRelationship>'
    )
    link = where(apart, where(pl.col("encounter_id").is_null(), nowhere, of_encounter()))
    body = _observation(RESULT, _value(), "laboratory", "res", link)
    members = one.with_columns(_component(body).alias("(xml)"), _told("res").alias("(told)"))
    free = _panels(
        members.filter(pl.col("order_id").is_null()),
        RESULTS_PANEL,
        pl.lit('<code nullFlavor="NI"/>'),
    )
    texts = _reports(reports, by_order, nowhere)
    alone = texts.filter(pl.col("order_id").is_null())
    named = alone.with_columns(pl.concat_str(pl.lit("report."), "report_id").alias("observation_id"))
    return pl.concat(
        [_ordered(orders, members, texts), free, _panels(named, RESULTS_PANEL, pl.lit('<code nullFlavor="NI"/>'))]
    )


def _reports(reports: pl.DataFrame, by_order: pl.DataFrame, nowhere: str) -> pl.DataFrame:
    kinds = {
        "imaging": ("18748-4", "Diagnostic imaging study"),
        "laboratory": ("11502-2", "Laboratory report"),
    }
    known = {
        kind: fixed("code", value, LOINC, display).removesuffix("/>") + ">" for kind, (value, display) in kinds.items()
    }
    named = joined(
        word("kind", known).fill_null('<code nullFlavor="UNK">'),
        optional("<originalText>", pl.col("display"), "</originalText>"),
        "</code>",
    )
    apart = pl.col("encounter_id").ne_missing(pl.col("(of)"))
    link = where(apart, where(pl.col("encounter_id").is_null(), nowhere, of_encounter()))
    modality = optional('<methodCode code="', pl.col("modality"), f'" codeSystem="{DICOM}" codeSystemName="DCM"/>')
    site = optional(
        '<targetSiteCode nullFlavor="OTH"><originalText>', pl.col("body_site"), "</originalText></targetSiteCode>"
    )
    body = joined(
        '<observation classCode="OBS" moodCode="EVN">',
        RESULT,
        key("report"),
        named,
        reference("rep"),
        DONE,
        instant("effectiveTime", moment("time")),
        joined('<value xsi:type="ST">', pl.col("text"), "</value>").fill_null(
            '<value xsi:type="ST" nullFlavor="UNK"/>'
        ),
        modality,
        site,
        link,
        "</observation>",
    )
    told = row("rep", shown("time"), pl.col("display"), pl.col("text"), pl.lit(""), pl.lit(""))
    one = numbered(reports).join(by_order, on="order_id", how="left", maintain_order="left")
    return one.with_columns(_component(body).alias("(xml)"), told.alias("(told)"))


def _ordered(orders: pl.DataFrame, members: pl.DataFrame, reports: pl.DataFrame) -> pl.DataFrame:
    columns = ["order_id", "time", "(xml)", "(told)"]
    parts = pl.concat([members.select(columns), reports.select(columns)]).filter(pl.col("order_id").is_not_null())
    held = parts.group_by("order_id", maintain_order=True).agg(
        pl.col("time").min().alias("(first)"),
        pl.col("time").max().alias("(last)"),
        pl.col("(xml)").str.join(""),
        pl.col("(told)").str.join(""),
    )
    states = {"completed": '<statusCode code="completed"/>', "cancelled": '<statusCode code="cancelled"/>'}
    status = word("status", states).fill_null('<statusCode nullFlavor="UNK"/>')
    named = code("code", pl.col("code"), pl.col("(system)"), pl.col("display"))
    nothing = joined(
        f'<component><observation classCode="OBS" moodCode="EVN">{RESULT}<id nullFlavor="NI"/>',
        named,
        status,
        '<effectiveTime nullFlavor="NA"/><value xsi:type="ST" nullFlavor="NAV"/></observation></component>',
    )
    why = joined("<component>", reason("order"), "</component>").fill_null("")
    entry = joined(
        f'<entry typeCode="DRIV">{OPEN}',
        RESULTS_PANEL,
        key("order"),
        code("code", pl.col("code"), pl.col("(system)"), pl.col("display"), inside=own_word("kind")),
        status,
        interval(
            pl.coalesce(moment("(first)"), moment("time")), pl.coalesce(moment("(last)"), moment("time")), always=True
        ),
        author(moment("time")),
        of_encounter(tag="component"),
        why,
        pl.coalesce(pl.col("(xml)"), nothing),
        "</organizer></entry>",
    )
    told = pl.coalesce(pl.col("(told)"), row("ord", shown("time"), pl.col("display"), pl.col("status")))
    whole = numbered(orders).join(held, on="order_id", how="left", maintain_order="left")
    return whole.select("patient_id", entry.alias("entry"), told.alias("told"))


def social(seen: pl.DataFrame) -> pl.DataFrame:
    """Return social history: smoking status as its own template where its text has a code there."""
    smoked = ((pl.col("code") == TOBACCO) & pl.col("text_value").is_in(list(STATED))).fill_null(False)
    smoked = smoked & pl.col("value").is_null() & pl.col("unit").is_null()
    coded = {text: fixed("value", value, SNOMED, text, kind="CD") for text, value in STATED.items()}
    value = where(smoked, word("text_value", coded), _value())
    body = _observation(where(smoked, STATUS, SOCIAL), value, "social-history", "soc", of_encounter())
    entry = joined('<entry typeCode="DRIV">', body, "</entry>")
    return numbered(seen).select("patient_id", entry.alias("entry"), _told("soc").alias("told"))


def traits(patients: pl.DataFrame) -> pl.DataFrame:
    """Return what the record says of a patient without a time: education, income, housing, smoking and so on."""
    out = []
    for column in ("smoking", *TRAITS):
        loinc, name = (TOBACCO, "Tobacco smoking status") if column == "smoking" else TRAITS[column]
        if column == "income":
            value = joined('<value xsi:type="MO" value="', number("income"), '" currency="USD"/>')
        elif column == "smoking":
            value = mapped("value", "smoking", SMOKING, SNOMED, kind="CD")
        else:
            value = joined('<value xsi:type="ST">', pl.col(column), "</value>")
        entry = joined(
            '<entry typeCode="DRIV"><observation classCode="OBS" moodCode="EVN">',
            STATUS if column == "smoking" else SOCIAL,
            wrapper(f"trait.{column}", pl.col("patient_id")),
            fixed("code", loinc, LOINC, name),
            f'<text><reference value="#{column}"/></text>{DONE}<effectiveTime nullFlavor="UNK"/>',
            value,
            "</observation></entry>",
        )
        cell = number("income") if column == "income" else pl.col(column)
        told = joined(f'<tr ID="{column}"><td></td><td>{name}</td><td>', cell, "</td><td></td><td></td></tr>")
        out.append(
            patients.filter(pl.col(column).is_not_null()).select("patient_id", entry.alias("entry"), told.alias("told"))
        )
    return pl.concat(out)
