# ruff: noqa: E501, E402 - tables of cases
"""Cases of the rules of time, stays, keys, money and codes."""

from __future__ import annotations

from ehrsatz.rules.timeline import DONE, ENDS, INSIDE, MOMENTS, SAME, SLACK
from rules.cases import born, case, did, died, ill, seen, took, visit

CODE = {"condition": "I10", "observation": "8480-6", "medication": "197361", "procedure": "80146002", "immunization": "140", "order": "4548-4"}  # fmt: skip

# ---------------------------------------------------------------------- timeline
for table, (column, _) in MOMENTS.items():
    case(f"birth.before.{table}", {table: [{column: "1970-01-01 00:00"}]}, {table: [{column: "1969-12-31 23:59"}]})
    case(f"future.{table}", {table: [{column: "2025-12-31 23:00"}]}, {table: [{column: "2026-01-02 00:00"}]})
for table in DONE:
    column = SLACK.get(table, MOMENTS[table][0])
    dead = died("2011-03-03 10:00")
    case(f"death.after.{table}", {"patient": dead, table: [{column: "2011-03-04 09:59"}]}, {"patient": dead, table: [{column: "2011-03-04 10:01"}]})  # fmt: skip
for table, (first, second, _) in ENDS.items():
    later = "2010-01-02" if table == "coverage" else "2010-01-01 08:01"
    early = "2010-01-01" if table == "coverage" else "2010-01-01 08:00"
    case(f"order.{table}", {table: [{first: early, second: early}]}, {table: [{first: later, second: early}]})
case("order.condition.recorded", {"condition": [{"onset": "2010-01-02 12:00", "recorded": "2010-01-01 12:00"}]}, {"condition": [{"onset": "2010-01-02 12:01", "recorded": "2010-01-01 12:00"}]})  # fmt: skip
case("order.condition.abatement", {"condition": [{"recorded": "2010-01-02 12:00", "abatement": "2010-01-01 12:00"}]}, {"condition": [{"recorded": "2010-01-02 12:01", "abatement": "2010-01-01 12:00"}]})  # fmt: skip
for table in INSIDE:
    column = SLACK.get(table, MOMENTS[table][0])
    stay = [visit("2010-01-02 08:00", "2010-01-03 08:00", encounter_id="e1")]
    case(f"inside.{table}", {"encounter": stay, table: [{column: "2010-01-04 08:00", "encounter_id": "e1"}]}, {"encounter": stay, table: [{column: "2010-01-04 08:01", "encounter_id": "e1"}]})  # fmt: skip
for table in ("observation", "report"):
    order = [{"order_id": "o1", "time": "2010-01-01 08:00"}]
    case(f"order.{table}", {"order": order, table: [{"order_id": "o1", "time": "2010-01-01 08:00"}]}, {"order": order, table: [{"order_id": "o1", "time": "2010-01-01 07:59"}]})  # fmt: skip
for table, (column, _) in SAME.items():
    one = {"code": CODE[table], column: "2010-01-01 08:00"}
    case(f"twice.{table}", {table: [one, {**one, column: "2010-01-01 08:01"}]}, {table: [one, one]})
for table, word, column in (
    ("condition", "resolved", "abatement"),
    ("medication", "stopped", "stop"),
    ("careplan", "completed", "stop"),
):
    case(f"status.{table}.{word}", {table: [{"status": word, column: "2010-01-01"}]}, {table: [{"status": word}]})
    case(
        f"status.{table}.active", {table: [{"status": "active"}]}, {table: [{"status": "active", column: "2010-01-01"}]}
    )
case("death.before.birth", {"patient": died("1970-01-01 00:00")}, {"patient": died("1969-12-31 12:00")})
case(
    "death.cause",
    {"patient": born(death_time="2010-01-01", death_cause="I21.9")},
    {"patient": born(death_cause="I21.9")},
)
case("death.encounter.stop", {"patient": died("2010-01-01 10:00"), "encounter": [visit("2010-01-01", "2010-01-03 10:00")]}, {"patient": died("2010-01-01 10:00"), "encounter": [visit("2010-01-01", "2010-01-03 10:01")]})  # fmt: skip
for table in ("medication", "procedure"):
    case(f"death.{table}.stop", {"patient": died("2010-01-01 10:00"), table: [{"stop": "2010-01-02 10:00"}]}, {"patient": died("2010-01-01 10:00"), table: [{"stop": "2010-01-02 10:01"}]})  # fmt: skip
case(
    "length.zero.stay",
    {"encounter": [visit("2010-01-01 08:00", "2010-01-01 08:01", "inpatient")]},
    {"encounter": [visit("2010-01-01 08:00", None, "inpatient")]},
)
case(
    "length.zero.visit",
    {"encounter": [visit("2010-01-01 08:00", "2010-01-01 08:01")]},
    {"encounter": [visit("2010-01-01 08:00")]},
)
for name, class_, good, bad in (
    ("long.stay", "inpatient", "2011-01-01 08:00", "2011-01-01 08:01"),
    ("long.icu", "icu", "2010-06-30 08:00", "2010-06-30 08:01"),
    ("long.visit", "wellness", "2010-01-02 08:00", "2010-01-02 08:01"),
    ("long.emergency", "emergency", "2010-01-06 08:00", "2010-01-06 08:01"),
    ("short.stay", "inpatient", "2010-01-01 09:00", "2010-01-01 08:59"),
):
    case(f"length.{name}", {"encounter": [visit("2010-01-01 08:00", good, class_)]}, {"encounter": [visit("2010-01-01 08:00", bad, class_)]})  # fmt: skip

# ---------------------------------------------------------------------- stays
first = visit("2010-01-01 08:00", "2010-01-05 08:00", "inpatient")
case("stay.overlap.day", {"encounter": [first, visit("2010-01-04 08:00", "2010-01-09", "inpatient")]}, {"encounter": [first, visit("2010-01-04 07:59", "2010-01-09", "inpatient")]})  # fmt: skip
case("stay.overlap", {"encounter": [first, visit("2010-01-05 08:00", "2010-01-09", "inpatient")]}, {"encounter": [first, visit("2010-01-05 07:58", "2010-01-09", "inpatient")]})  # fmt: skip
unit = visit("2010-01-01 08:00", "2010-01-03 08:00", "icu")
case("stay.overlap.icu", {"encounter": [unit, visit("2010-01-03 07:00", "2010-01-04", "icu")]}, {"encounter": [unit, visit("2010-01-03 06:59", "2010-01-04", "icu")]})  # fmt: skip
desk = visit("2010-01-01 08:00", "2010-01-01 09:00", organization_id="a")
case("stay.overlap.visits", {"encounter": [desk, visit("2010-01-01 09:00", "2010-01-01 10:00", organization_id="b")]}, {"encounter": [desk, visit("2010-01-01 08:59", "2010-01-01 10:00", organization_id="b")]})  # fmt: skip
case("stay.overlap.elsewhere", {"encounter": [first, visit("2010-01-04 09:00", "2010-01-04 10:00")]}, {"encounter": [first, visit("2010-01-03 09:00", "2010-01-03 10:00")]})  # fmt: skip
case("stay.icu.alone", {"encounter": [first, visit("2010-01-01 09:00", "2010-01-06 08:00", "icu")]}, {"encounter": [first, visit("2010-01-01 09:00", "2010-01-06 08:01", "icu")]})  # fmt: skip
whole = visit("2010-01-01 08:00", "2010-01-05 08:00", "inpatient", encounter_id="w")
case("stay.part.beyond", {"encounter": [whole, visit("2010-01-02", "2010-01-06 08:00", "icu", part_of_id="w")]}, {"encounter": [whole, visit("2010-01-02", "2010-01-06 08:01", "icu", part_of_id="w")]})  # fmt: skip
case("stay.part.self", {"encounter": [whole, visit("2010-01-02", class_="icu", part_of_id="w")]}, {"encounter": [visit("2010-01-02", encounter_id="x", part_of_id="x")]})  # fmt: skip
dead = visit("2010-01-01", "2010-01-05 08:00", "inpatient", disposition="died")
case("stay.died.alive", {"patient": died("2010-01-05 08:00"), "encounter": [dead]}, {"encounter": [dead]})
case(
    "stay.died.when",
    {"patient": died("2010-01-08 08:00"), "encounter": [dead]},
    {"patient": died("2010-01-08 08:01"), "encounter": [dead]},
)
home = visit("2010-01-01 08:00", "2010-01-05 08:00", "inpatient", disposition="home")
case(
    "stay.died.unsaid",
    {"patient": died("2010-01-05 07:30"), "encounter": [home]},
    {"patient": died("2010-01-05 06:30"), "encounter": [home]},
)
case(
    "stay.died.again",
    {"encounter": [dead, visit("2010-01-06 08:00")]},
    {"encounter": [dead, visit("2010-01-06 08:01")]},
)
case("stay.undisposed", {"encounter": [home]}, {"encounter": [first]})
case("stay.many", {"encounter": [visit("2010-01-01 08:00")] * 10}, {"encounter": [visit("2010-01-01 08:00")] * 11})
case("stay.location", {"location": [{"location_id": "l", "kind": "icu"}], "encounter": [visit("2010-01-01", class_="icu", location_id="l")]}, {"location": [{"location_id": "l", "kind": "clinic"}], "encounter": [visit("2010-01-01", class_="icu", location_id="l")]})  # fmt: skip
houses = {
    "organization": [{"organization_id": "a"}, {"organization_id": "b"}],
    "practitioner": [{"practitioner_id": "p", "organization_id": "a"}],
}
case("stay.house", {**houses, "encounter": [visit("2010-01-01", practitioner_id="p", organization_id="a")]}, {**houses, "encounter": [visit("2010-01-01", practitioner_id="p", organization_id="b")]})  # fmt: skip

# ---------------------------------------------------------------------- keys
case("key.twice", {"goal": [{"goal_id": "1"}, {"goal_id": "2"}]}, {"goal": [{"goal_id": "1"}, {"goal_id": "1"}]})
case("key.patient.missing", {"goal": [{}]}, {"goal": [{"patient_id": None}]})
for target, table, column in (
    ("patient", "goal", "patient_id"), ("encounter", "goal", "encounter_id"), ("practitioner", "order", "practitioner_id"),
    ("organization", "location", "organization_id"), ("location", "encounter", "location_id"), ("payer", "coverage", "payer_id"),
    ("order", "report", "order_id"), ("coverage", "claim", "coverage_id"), ("claim", "payment", "claim_id"), ("careplan", "goal", "careplan_id"),
):  # fmt: skip
    there = {target: [{f"{target}_id": "k"}]} if target != "patient" else {}
    key = "p1" if target == "patient" else "k"
    case(f"key.dangling.{target}", {**there, table: [{column: key}]}, {**there, table: [{column: "nowhere"}]})


def _of_two(table: str, column: str, target: str) -> None:
    people = [*born(), {"patient_id": "p2", "birth_date": "1980-01-01", "sex": "male"}]
    other = {f"{target}_id": "k", "patient_id": "p2"}
    mine = {"patient": people, target: [{**other, "patient_id": "p1"}], table: [{column: "k"}]}
    theirs = {"patient": people, target: [other], table: [{column: "k"}]}
    if table == target:
        mine = {"patient": people, target: [{**other, "patient_id": "p1"}, {column: "k"}]}
        theirs = {"patient": people, target: [other, {column: "k"}]}
    case(f"key.patient.{table}.{target}", mine, theirs)


from ehrsatz.rules.keys import OWN

for table, column, target in OWN:
    _of_two(table, column, target)
couple = [*born(), {"patient_id": "p2", "birth_date": "1980-01-01", "sex": "male"}]
case("key.relative", {"patient": couple, "relation": [{"relative_id": "p2", "relation": "spouse"}]}, {"relation": [{"relative_id": "p9", "relation": "spouse"}]})  # fmt: skip
case(
    "key.relation.back",
    {"patient": couple, "relation": [{"relative_id": "p2", "relation": "spouse"}, {"patient_id": "p2", "relative_id": "p1", "relation": "spouse"}]},
    {"patient": couple, "relation": [{"relative_id": "p2", "relation": "spouse"}]},
)  # fmt: skip

# ---------------------------------------------------------------------- money
claim = {"claim_id": "c", "total": 100.0}
case("money.lines", {"claim": [claim], "claim_line": [{"claim_id": "c", "amount": 60.0}, {"claim_id": "c", "amount": 40.01}]}, {"claim": [claim], "claim_line": [{"claim_id": "c", "amount": 60.0}, {"claim_id": "c", "amount": 40.02}]})  # fmt: skip
case("money.payments", {"claim": [claim], "payment": [{"claim_id": "c", "payer_part": 60.0, "patient_part": 30.0, "adjustment": 10.0}]}, {"claim": [claim], "payment": [{"claim_id": "c", "payer_part": 60.0, "patient_part": 30.0, "adjustment": 10.01}]})  # fmt: skip
case("money.bare", {"claim": [claim], "claim_line": [{"claim_id": "c", "amount": 1.0}]}, {"claim": [claim]})
case(
    "money.unpaid",
    {"claim": [{**claim, "status": "paid"}], "payment": [{"claim_id": "c"}]},
    {"claim": [{**claim, "status": "paid"}]},
)
case("money.denied", {"claim": [{**claim, "status": "denied"}], "payment": [{"claim_id": "c", "payer_part": 0.0}]}, {"claim": [{**claim, "status": "denied"}], "payment": [{"claim_id": "c", "payer_part": 0.01}]})  # fmt: skip
case(
    "money.selfpay",
    {"claim": [{**claim, "status": "self-pay"}]},
    {"claim": [{**claim, "status": "self-pay", "coverage_id": "k"}]},
)
case(
    "money.payer",
    {"claim": [{**claim, "status": "paid", "coverage_id": "k"}]},
    {"claim": [{**claim, "status": "paid"}]},
)
for name, table, column in (
    ("claim", "claim", "total"),
    ("line", "claim_line", "amount"),
    ("payment", "payment", "payer_part"),
):
    case(f"money.negative.{name}", {table: [{column: 0.0}]}, {table: [{column: -0.01}]})
case("money.zero.claim", {"claim": [{"total": 0.01}]}, {"claim": [{"total": 0.0}]})
case("money.large", {"claim": [{"total": 5e6}]}, {"claim": [{"total": 5e6 + 1}]})
case("money.overpaid", {"claim": [claim], "payment": [{"claim_id": "c", "payer_part": 100.0}]}, {"claim": [claim], "payment": [{"claim_id": "c", "payer_part": 100.01}]})  # fmt: skip
asked = {"claim_id": "c", "time": "2010-03-01 12:00"}
case("money.early.payment", {"claim": [asked], "payment": [{"claim_id": "c", "time": "2010-02-28 12:00"}]}, {"claim": [asked], "payment": [{"claim_id": "c", "time": "2010-02-28 11:59"}]})  # fmt: skip
case("money.early.line", {"claim": [asked], "claim_line": [{"claim_id": "c", "time": "2009-02-28 12:00"}]}, {"claim": [asked], "claim_line": [{"claim_id": "c", "time": "2009-02-28 11:59"}]})  # fmt: skip
case("money.early.claim", {"encounter": [visit("2010-03-02 12:00", encounter_id="e")], "claim": [{**asked, "encounter_id": "e"}]}, {"encounter": [visit("2010-03-02 12:01", encounter_id="e")], "claim": [{**asked, "encounter_id": "e"}]})  # fmt: skip
case("money.number", {"claim": [asked], "claim_line": [{"claim_id": "c", "number": 1}, {"claim_id": "c", "number": 2}]}, {"claim": [asked], "claim_line": [{"claim_id": "c", "number": 1}, {"claim_id": "c", "number": 1}]})  # fmt: skip
case("money.uncovered", {"coverage": [{"coverage_id": "k", "start": "2010-03-02"}], "claim": [{**asked, "coverage_id": "k"}]}, {"coverage": [{"coverage_id": "k", "start": "2010-03-03"}], "claim": [{**asked, "coverage_id": "k"}]})  # fmt: skip
year = {"payer_id": "x", "start": "2010-01-01", "stop": "2010-12-31"}
case("money.coverage.twice", {"coverage": [year, {"payer_id": "x", "start": "2010-12-31", "stop": "2011-12-31"}]}, {"coverage": [year, {"payer_id": "x", "start": "2010-12-29", "stop": "2011-12-31"}]})  # fmt: skip
case("money.coverage.birth", {"coverage": [{"start": "1970-01-01"}]}, {"coverage": [{"start": "1969-12-31"}]})

# ---------------------------------------------------------------------- codes
case("code.form.icd10cm", {"condition": [ill("E11.9"), ill("S72.001A"), ill("U07.1")]}, {"condition": [ill("11.9")]})
case("code.form.loinc", {"observation": [seen("4548-4", 6, "%")]}, {"observation": [seen("A1C", 6, "%")]})
case("code.form.snomedct", {"condition": [ill("44054006")]}, {"procedure": [did("44054")]})
case("code.form.rxnorm", {"medication": [took("x", code="197361")]}, {"medication": [took("x", code="A10BA02")]})
case("code.form.cvx", {"immunization": [{"code": "08"}]}, {"immunization": [{"code": "HepB"}]})
case("code.check.loinc", {"observation": [seen("4548-4", 6, "%")]}, {"observation": [seen("4548-5", 6, "%")]})
case("code.check.snomed", {"condition": [ill("44054006")]}, {"condition": [ill("44054007")]})
case("code.partition.snomed", {"condition": [ill("44054006")]}, {"condition": [ill("754786011")]})
case("code.ucum", {"observation": [seen("4548-4", 6, "mm[Hg]")]}, {"observation": [seen("4548-4", 6, "mmHg")]})
case("code.display", {"condition": [ill("I10", display="Hypertension")]}, {"condition": [ill("I10")]})
for table in ("condition", "observation", "medication", "procedure", "immunization", "encounter"):
    one = {"code": "1", "display": "one"}
    case(f"code.displays.{table}", {table: [one, one]}, {table: [one, {**one, "display": "two"}]})
