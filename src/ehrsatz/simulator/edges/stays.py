"""Edge cases of time: hours old, twins, 400 visits or none, stays over midnight and changes of clocks, deaths."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import polars as pl

from ehrsatz.clinical import ICD10CM, LOINC
from ehrsatz.simulator.edges.about import About, interpreted
from ehrsatz.simulator.edges.identity import Edit
from ehrsatz.simulator.edges.record import Record

HOURS = 5  # age of the neonate at the reference moment
APART = datetime.timedelta(minutes=7)  # between twins
MANY = 400
QUIET = datetime.timedelta(days=2)  # without another encounter, before and after one that is moved
HEART = (LOINC, "8867-4")
UNKNOWN = (ICD10CM, "R99")  # ill-defined and unknown cause of mortality
BIRTHS = {  # of a single child -> of twins
    "Z38.00": (ICD10CM, "Z38.30"),
    "Z38.01": (ICD10CM, "Z38.31"),
    "Z37.0": (ICD10CM, "Z37.2"),
}
WORDS = {"Single pregnancy in the womb": "Twin pregnancy in the womb", "Single fetus": "Two fetuses"}
OUTPATIENT = ("wellness", "ambulatory", "urgent", "emergency")


def neonate(records: tuple[Record, ...], about: About) -> bool:
    """Let the birth be hours ago, and the record end in the middle of its stay."""
    (record,) = records
    birth = record.stays().row(0, named=True)
    born = about.reference - datetime.timedelta(hours=HOURS)
    record.drop_encounters(pl.col("start") > birth["stop"])
    record.move(record.with_parts(birth["encounter_id"]), born - birth["start"])
    record.change("patient", birth_date=born.date())
    record.change("coverage", start=born.date())
    record.end(about.reference)
    record.change("encounter", disposition=None)  # nobody has gone home
    return bool(record["observation"].height)


def twins(records: tuple[Record, ...], about: About) -> bool:
    """Let two newborns of one mother come minutes apart in one house, and link the three."""
    first, second, mother = records
    stays = [one.stays().row(0, named=True) for one in (first, second)]
    codes = [
        one["condition"].filter(pl.col("encounter_id") == stay["encounter_id"])["code"].sort().to_list()
        for one, stay in zip(records, stays)
    ]
    delivered = mother["condition"].filter(pl.col("code") == "Z37.0").height
    if codes[0] != codes[1] or len(codes[0]) != 1 or not delivered:
        return False  # one of them early, or another way: drawn anew
    start = stays[0]["start"]
    late = (start + APART).date() == start.date()
    second.move(second.with_parts(stays[1]["encounter_id"]), start + (APART if late else -APART) - stays[1]["start"])
    place = {name: stays[0][name] for name in ("practitioner_id", "organization_id", "location_id")}
    second.change("encounter", pl.col("encounter_id") == stays[1]["encounter_id"], **place)
    for table in ("order", "medication", "procedure"):
        here = pl.col("encounter_id") == stays[1]["encounter_id"]
        second.change(table, here, practitioner_id=place["practitioner_id"])
    for one in records:
        for single, (system, twin) in BIRTHS.items():
            words = about.scene.display(system, twin)
            one.change("condition", pl.col("code") == single, code=twin, display=words)
            one.change("encounter", pl.col("reason_code") == single, reason_code=twin, reason_display=words)
        one.frames["relation"] = one["relation"].clear()
        for said, meant in WORDS.items():
            one.change("report", text=pl.col("text").str.replace_all(said, meant, literal=True))
    for one, other in ((first, second), (second, first)):
        kin = (("mother", mother), ("sibling", other))
        one.add("relation", [{"relative_id": them.key, "relation": what} for what, them in kin])
    mother.add("relation", [{"relative_id": them.key, "relation": "child"} for them in (first, second)])
    return True


def many(records: tuple[Record, ...], about: About) -> bool:
    """Repeat a plain visit on working days until there are 400 encounters."""
    (record,) = records
    lacking = MANY - record["encounter"].height
    if lacking <= 0:
        return record["encounter"].height == MANY
    visit = _plain(record)
    if visit is None:
        return False
    days = _free_days(record, visit, about)
    if len(days) < lacking:
        return False
    step = len(days) / lacking
    start = visit["start"]
    by = [datetime.datetime.combine(days[int(k * step)], start.time()) - start for k in range(lacking)]
    _repeat(record, visit["encounter_id"], by)
    record.settle()
    return True


def _plain(record: Record) -> dict[str, Any] | None:
    """Return the last visit to a practice that is paid by a cover, or by nobody's."""
    claim = record["claim"].select("encounter_id", "coverage_id")
    plain = record.stays().filter(pl.col("class") == "ambulatory").join(claim, on="encounter_id")
    plain = plain.sort("coverage_id", "start", nulls_last=False)
    return plain.row(-1, named=True) if plain.height else None


def _free_days(record: Record, visit: dict[str, Any], about: About) -> list[datetime.date]:
    """Return the working days, within the cover of a visit, on which the patient is nowhere."""
    end = about.today - datetime.timedelta(days=2)
    begin = end - datetime.timedelta(days=10 * 365)
    cover = record["coverage"].filter(pl.col("coverage_id") == visit["coverage_id"])
    if cover.height:
        begin = max(begin, cover["start"][0] + datetime.timedelta(days=1))
        end = min(end, (cover["stop"][0] or end) - datetime.timedelta(days=1))
    taken: set[datetime.date] = set()
    for start, stop in record["encounter"].select("start", "stop").iter_rows():
        taken |= {start.date() + datetime.timedelta(days=k) for k in range((stop.date() - start.date()).days + 1)}
    days = [begin + datetime.timedelta(days=k) for k in range(max(0, (end - begin).days))]
    return [day for day in days if day.weekday() < 5 and day not in taken]


def _repeat(record: Record, encounter: str, by: list[datetime.timedelta]) -> None:
    """Write an encounter again, so much later each time, with heart rate, claim and payment."""
    times = pl.DataFrame({"(n)": range(len(by)), "(by)": pl.Series(by, dtype=pl.Duration("us"))})
    keys = {name: record.fresh(name, len(by)) for name in ("encounter", "claim")}
    keep = {
        "encounter": pl.lit(True),
        "observation": (pl.col("code") == HEART[1]) & pl.col("order_id").is_null(),
        "claim": pl.lit(True),
        "claim_line": pl.col("kind") == "encounter",
        "payment": pl.lit(True),
    }
    for table, kept in keep.items():
        frame = record[table]
        rows = frame.filter(kept & (pl.col("encounter_id") == encounter)).join(times, how="cross").sort("(n)")
        moved = [name for name, kind in frame.schema.items() if kind == pl.Datetime("us")]
        rows = rows.with_columns(pl.col(name) + pl.col("(by)") for name in moved)
        linked = {
            f"{name}_id": series.gather(rows["(n)"]) for name, series in keys.items() if f"{name}_id" in frame.columns
        }
        if table not in keys:
            linked[f"{table}_id"] = record.fresh(table, rows.height)
        if table == "observation":
            varied = [float(value) + (7 * n) % 11 - 5 for n, value in rows.select("(n)", "value").iter_rows()]
            linked["value"] = pl.Series(varied, dtype=pl.Float64)
            limits = rows.select("low", "high").iter_rows()
            said = [interpreted(value, *ends) for value, ends in zip(varied, limits, strict=True)]
            linked["interpretation"] = pl.Series(said, dtype=pl.String)
        record.frames[table] = pl.concat([frame, rows.with_columns(**linked).select(frame.columns)])


def no_encounters(records: tuple[Record, ...], about: About) -> bool:
    """Leave who the patient is, and nothing else."""
    records[0].keep_only(("patient",))
    return True


def over_midnight(records: tuple[Record, ...], about: About) -> bool:
    """Move a visit to the emergency department, or another short one, so that midnight lies in its middle."""
    (record,) = records
    alone = [pl.col(name).is_null() | (pl.col(name) > QUIET) for name in ("before", "after")]
    short = pl.col("class").is_in(list(OUTPATIENT)) & ((pl.col("stop") - pl.col("start")).dt.total_minutes() >= 2)
    found = record.stays().filter(*alone, short, pl.col("stop") < about.reference - QUIET)
    found = found.sort(pl.col("class") == "emergency", "start")
    if not found.height:
        return False
    visit = found.row(-1, named=True)
    half = datetime.timedelta(minutes=(visit["stop"] - visit["start"]).total_seconds() // 120)
    midnight = datetime.datetime.combine(visit["start"].date() + datetime.timedelta(days=1), datetime.time())
    record.move(record.with_parts(visit["encounter_id"]), midnight - half - visit["start"])
    return True


def over(moment: Callable[[About], datetime.datetime]) -> Edit:
    """Return what measures a temperature at a moment that lies in the stay after birth."""

    def edit(records: tuple[Record, ...], about: About) -> bool:
        (record,) = records
        birth, at = record.stays().row(0, named=True), moment(about)
        if not birth["start"] < at < birth["stop"]:
            return False
        about.observe(record, birth["encounter_id"], "temperature", (36.8,), at)
        return True

    return edit


def died_at_visit(records: tuple[Record, ...], about: About) -> bool:
    """Let the last visit be the minute of death: nothing is done in it."""
    (record,) = records
    visits = record.stays().filter(pl.col("class").is_in(list(OUTPATIENT)))
    if not visits.height:
        return False
    visit = visits.row(-1, named=True)
    death, here = visit["start"], pl.col("encounter_id") == visit["encounter_id"]
    record.end(death, died=True)
    for table in ("goal", "careplan", "observation", "report", "order", "condition", "medication", "procedure"):
        record.drop(table, here)
    for table in ("immunization", "allergy", "device"):
        record.drop(table, here)
    record.drop("claim_line", here & (pl.col("kind") != "encounter"))
    record.settle()
    record.change("encounter", here, disposition="died")
    record.change("patient", death_time=death, death_cause=UNKNOWN[1])
    return True


def died_unseen(records: tuple[Record, ...], about: About) -> bool:
    """Let a patient die whom nobody had seen."""
    (record,) = records
    record.keep_only(("patient", "coverage"))
    death = about.reference - datetime.timedelta(days=100, hours=-3, minutes=-41)
    record.end(death, died=True)
    record.change("patient", death_time=death)
    return True
