"""Who an edge case is: names that are long, foreign, decomposed or half absent, sex beyond two, no address."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from ehrsatz.clinical import SNOMED
from ehrsatz.simulator.edges.about import About
from ehrsatz.simulator.edges.record import Record

LONG = 200
PARTS = ("Wilhelmina", "Bartholomew", "Evangeline", "Maximilian", "Theodosia", "Constantine", "Seraphina", "Ferdinand")
DELIMITERS = "Flat 4|B ^2~ \"The Mill\" \\& Sons; 5*6 <b>A&B</b>, c/o 'Smith' 100% #1 {x: [y]} =A1+B2"
FULL = (
    "Delimiters of formats, each of which must come back: | ^ ~ \\ & * : > < ' \" ; , { } [ ] = # % @ ` $ /\n"
    "MSH|^~\\&|LAB|HOUSE\nISA*00*          *00~\n<?xml version=\"1.0\"?><text>&amp; ]]> <!-- no comment --></text>\n"
    "{\"resourceType\": \"Patient\", \"id\": null}\n\"quoted\",\"\"\"twice\"\"\",'; DROP TABLE patient; --\n"
    "Escapes that are none: \\F\\ \\S\\ \\T\\ \\R\\ \\E\\ \\.br\\ \\X0D\\ \\n \\u0041 %20 &#10; \\N NULL NaN None\n"
    "\tindented by a tab\n\nafter an empty line"
)  # fmt: skip
SENTENCE = "Paragraph {}: lungs clear, heart of normal size, no effusion, no fracture; compared with the image before."
CHARACTERS = 20_000
IMAGE = (SNOMED, "399208008")  # plain X-ray of chest

Edit = Callable[[tuple[Record, ...], About], bool]


def named(given: str | None, family: str) -> Edit:
    """Return what gives a patient names; the family name is that of birth too."""

    def edit(records: tuple[Record, ...], about: About) -> bool:
        records[0].change("patient", given_name=given, family_name=family, birth_family_name=family)
        return True

    return edit


def long_name(start: int) -> str:
    """Return a name of 200 characters, beginning with one of the parts."""
    parts = PARTS[start:] + PARTS[:start]
    return "-".join(parts * 4)[: LONG - 1].rstrip("-").ljust(LONG, "a")


def sexed(sex: str) -> Edit:
    """Return what writes down a sex beyond the two; texts then speak of a person."""

    def edit(records: tuple[Record, ...], about: About) -> bool:
        (record,) = records
        record.change("patient", sex=sex)
        record.change("report", text=pl.col("text").str.replace_all(r"\b(fe)?male\b", "person"))
        return True

    return edit


def no_address(records: tuple[Record, ...], about: About) -> bool:
    """Take away address, telephone and mail."""
    absent = ("address_line", "city", "region", "postal_code", "country", "phone", "email")
    records[0].change("patient", **dict.fromkeys(absent))
    return True


def spaces(records: tuple[Record, ...], about: About) -> bool:
    """Put spaces before, after and doubled within."""
    records[0].change("patient", given_name="Anna  Maria", address_line="  12   Mill Lane  ")
    return True


def delimiters(records: tuple[Record, ...], about: About) -> bool:
    """Put the delimiters of formats into address and report."""
    records[0].change("patient", address_line=DELIMITERS, given_name='Ann "Nan" & Co', family_name="<O>Neil|^~\\&*:")
    return _report(records[0], about, FULL)


def long_text(records: tuple[Record, ...], about: About) -> bool:
    """Write a report of 20,000 characters."""
    lines = "\n".join(SENTENCE.format(k) for k in range(1, 2 + CHARACTERS // len(SENTENCE)))
    return _report(records[0], about, lines[:CHARACTERS].rstrip().ljust(CHARACTERS, "."))


def _report(record: Record, about: About, text: str) -> bool:
    """Write a report, the last of the record where it has one, else of a plain image at the last visit."""
    if record["report"].height:
        last = record["report"].sort("time", "report_id")["report_id"][-1]
        record.change("report", pl.col("report_id") == last, text=text)
        return True
    visits = record.stays().filter(pl.col("class").is_in(["ambulatory", "emergency", "wellness", "inpatient"]))
    if not visits.height:
        return False
    visit = visits.row(-1, named=True)
    display = about.scene.display(*IMAGE)
    shared = {"encounter_id": visit["encounter_id"], "display": display, "kind": "imaging"}
    order = {"practitioner_id": visit["practitioner_id"], "time": visit["start"], "status": "completed"}
    (key,) = record.add("order", [{**shared, **order, "system": IMAGE[0], "code": IMAGE[1]}]).to_list()
    report = {"order_id": key, "time": visit["stop"], "modality": "DX", "body_site": "chest", "text": text}
    record.add("report", [{**shared, **report}])
    return True
