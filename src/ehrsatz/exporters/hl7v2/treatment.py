"""Treatment: RDE O11 (medications), VXU V04 (immunizations), PPP PCB and PCC (care plans), PGL PC6 (goals).

A medication or a plan that ends has a second message at its end, which bears the final state and the reason.

References
----------
HL7 Version 2.5.1, chapter 4: 4.14.4 (RXE), 4.14.2 (RXR), 4.5.4 (TQ1); 4.14.7 (RXA); chapter 12: 12.4.1
(GOL), 12.4.4 (PTH).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.exporters.hl7v2.fields import ce, coded, given, key, named, segment, stamp, tag, text, word
from ehrsatz.exporters.hl7v2.message import messages
from ehrsatz.exporters.hl7v2.visits import within
from ehrsatz.terminology.hl7v2 import DRUG_STATUS, LOCAL, REASON, ROUTE, SITE

Fields = dict[int, pl.Expr | str]
CODE = ce(pl.col("code"), pl.col("display"), tag().fill_null(""))


def medications(tables: Mapping[str, pl.DataFrame], xcn: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """RDE O11 at the start of a medication; at its stop another, which discontinues it or says that it is done."""
    frame = within(named(tables["medication"], xcn), visits, "start")
    over = pl.col("stop").is_not_null()
    number, state = pl.col("medication_id"), coded(DRUG_STATUS, "status")
    known = pl.col("status").is_not_null()
    yet = pl.when(over & known).then(pl.lit("IP")).otherwise(state)
    reason = given(pl.col("stop_reason"), "^", pl.col("stop_reason"))
    new: Fields = {1: "NW", 2: key(number), 5: yet, 9: stamp("moment"), 12: pl.col("xcn")}
    new[16] = pl.when(~over).then(reason)
    ends = pl.when(pl.col("status") == "stopped").then(pl.lit("DC")).otherwise(pl.lit("SC"))
    end: Fields = {**new, 1: ends, 5: state, 9: stamp("stop"), 16: reason}
    rxe: Fields = {
        2: CODE,
        3: pl.col("dose").fill_null('""'),
        5: given(pl.col("dose_unit"), pl.col("dose_unit"), "^^UCUM").fill_null('""'),
        10: pl.col("quantity"),
        12: pl.col("refills"),
        27: given(pl.col("reason_code"), pl.col("reason_code"), "^^I10C"),
    }
    per_day = pl.col("per_day")
    tq1: Fields = {1: "1", 3: given(per_day, per_day, "/d&", per_day, f" a day&{LOCAL}"), 7: stamp("start")}
    route = pl.col("route")
    rxr = text("\rRXR|", given(route, coded(ROUTE, "route"), "^", route, "^HL70162").fill_null("OTH^^HL70162"))
    pv1, rest = pl.col("pv1"), (segment("\rRXE", rxe), segment("\rTQ1", tq1), rxr)
    tq1_end: Fields = {**tq1, 8: stamp("stop")}
    return pl.concat(
        [
            messages(
                frame,
                "RDE^O11^RDE_O11",
                34,
                time=pl.col("moment"),
                key=number,
                tail=text(pv1, segment("\rORC", new), *rest),
            ),
            messages(
                frame.filter(over),
                "RDE^O11^RDE_O11",
                35,
                time=pl.max_horizontal("stop", "moment"),
                key=number,
                tail=text(pv1, segment("\rORC", end), rest[0], segment("\rTQ1", tq1_end), rxr),
            ),
        ]
    )


def immunizations(tables: Mapping[str, pl.DataFrame], visits: pl.DataFrame) -> pl.DataFrame:
    """VXU V04: the vaccine in RXA-5, the lot in RXA-15, the site in RXR-2, the number of the dose in an OBX."""
    frame = within(tables["immunization"], visits, "time")
    number, site, time = pl.col("immunization_id"), pl.col("site"), stamp("time")
    rxa: Fields = {
        1: "0",
        2: "1",
        3: time,
        4: time,
        5: CODE,
        6: "999",
        9: "00^New immunization record^NIP001",
        15: pl.col("lot"),
        20: "CP",
        21: "A",
    }
    place = given(site, coded(SITE, "site"), "^", site, "^HL70163")
    rxr = given(site, "\rRXR|OTH^^HL70162|", place)
    dose = pl.col("dose_number")
    obx = given(dose, "\rOBX|1|NM|30973-2^Dose number in series^LN|1|", dose, "||||||F")
    tail = text(pl.col("pv1"), "\rORC|RE||", key(number), segment("\rRXA", rxa), rxr, obx)
    return messages(frame, "VXU^V04^VXU_V04", 36, time=pl.col("moment"), key=number, tail=tail, full=True)


def careplans(tables: Mapping[str, pl.DataFrame], visits: pl.DataFrame) -> pl.DataFrame:
    """PPP PCB at the start of a plan, with the problem that it is for as a link; PCC at its end."""
    frame = within(tables["careplan"], visits, "start")
    over, number = pl.col("stop").is_not_null(), pl.col("careplan_id")
    yet = pl.when(over & (pl.col("status") == "completed")).then(pl.lit("active")).otherwise(pl.col("status"))
    pth: Fields = {1: "AD", 2: CODE, 3: key(number), 4: stamp("start"), 5: given(yet, yet, f"^^{LOCAL}")}
    end: Fields = {**pth, 1: "UP", 5: word("status"), 6: stamp("stop")}
    reason = pl.col("reason_code")
    prb = given(
        reason,
        segment("\rPRB", {1: "LI", 2: stamp("moment"), 3: text(reason, "^^I10C"), 4: text(number, f"^{REASON}")}),
    )
    pv1 = pl.col("pv1")
    return pl.concat(
        [
            messages(
                frame,
                "PPP^PCB^PPP_PCB",
                38,
                time=pl.col("moment"),
                key=number,
                tail=text(pv1, segment("\rPTH", pth), prb),
            ),
            messages(
                frame.filter(over),
                "PPP^PCC^PPP_PCB",
                39,
                time=pl.max_horizontal("stop", "moment"),
                key=number,
                tail=text(pv1, segment("\rPTH", end)),
            ),
        ]
    )


def goals(tables: Mapping[str, pl.DataFrame], visits: pl.DataFrame) -> pl.DataFrame:
    """PGL PC6: a goal, its plan as a link to the pathway, its target as an OBX without a result."""
    plans = tables["careplan"].select("careplan_id", CODE.alias("plan"), pl.col("start").alias("planned"))
    frame = within(tables["goal"], visits, "start").join(plans, on="careplan_id", how="left", maintain_order="left")
    number, plan = pl.col("goal_id"), pl.col("careplan_id")
    gol: Fields = {
        1: "AD",
        2: stamp("moment"),
        3: ce(pl.col("code"), pl.col("description"), tag().fill_null("")),
        4: key(number),
        7: stamp("start"),
        18: word("status"),
    }
    pth: Fields = {1: "LI", 2: pl.col("plan"), 3: key(plan), 4: stamp("planned")}
    low, high, unit = pl.col("target_low"), pl.col("target_high"), pl.col("unit")
    bounds = (
        pl.when(low.is_not_null() & high.is_not_null())
        .then(text(low, "-", high))
        .when(low.is_not_null())
        .then(text(">", low))
        .when(high.is_not_null())
        .then(text("<", high))
    )
    target: Fields = {
        1: "1",
        3: pl.when(pl.col("code").is_not_null()).then(gol[3]).otherwise(pl.lit(f"target^^{LOCAL}")),
        6: given(unit, unit, "^^UCUM"),
        7: bounds,
        11: "O",
    }
    wanted = bounds.is_not_null() | unit.is_not_null()
    tail = text(
        pl.col("pv1"),
        segment("\rGOL", gol),
        pl.when(plan.is_not_null()).then(segment("\rPTH", pth)),
        pl.when(wanted).then(segment("\rOBX", target)),
    )
    return messages(frame, "PGL^PC6^PGL_PC6", 40, time=pl.col("moment"), key=number, tail=tail)
