"""HL7 v2.5.1: judged by hl7apy (strict) and read by hl7; order of events, merges, escapes, absent cells, bytes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.hl7v2 import stream
from ehrsatz.exporters.hl7v2.feed import Hl7v2Exporter
from ehrsatz.exporters.hl7v2.fields import plain
from ehrsatz.mllp import messages
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.hl7v2.reader import Hl7v2Source

JUDGED = 2_050  # messages, of all types alike
LONGEST = 8_000  # characters of the long message of each type that is judged besides
TYPES = {  # trigger events
    *("A01", "A02", "A03", "A04", "A08", "A28", "A40", "A60", "S12"),
    *("O21", "O01", "R01", "T02", "O11", "V04", "PC1", "PC2", "PCB", "PCC", "PC6"),
    *("P03", "M02", "M05", "M13"),
}
LONG_TEXT = re.compile(r"(\|FT\|[^|]*\|[^|]*\|[^|\r]{150})[^|\r]*")  # hl7apy holds a text (FT, 65,536) for an ST (199)
FALSE = (  # what hl7apy says though it is right, and why
    # a choice of segments (OBR or RQD or RXO ...) is held for a sequence in which none may lack
    "Missing required child ORM_O01_OBRRQDRQ1RXOODSODT_SUPPGRP.",
    # TQ1 after RXE is put into the group before it, whose segments have the same name, and then found to lack
    "Missing required child RDE_O11_ORDER.RDE_O11_TIMING_ENCODED",
)


@pytest.fixture(scope="module")
def written(cohort: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hl7")
    Hl7v2Exporter().write(cohort, folder)
    return folder / "hl7v2"


@pytest.fixture(scope="module")
def feed(written: Path) -> list[str]:
    """All messages, those of the master files first."""
    return [one.data.decode() for name in ("master", "feed") for one in messages(written / f"{name}.hl7")]


def kind(message: str) -> str:
    return message.split("|", 9)[8]


def problems(message: str, report: Path) -> list[str]:
    """What hl7apy, strict, has against a message, but for what is known to be wrong."""
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.exceptions import HL7apyException
    from hl7apy.parser import parse_message

    message = LONG_TEXT.sub(r"\1", message)
    try:
        parsed = parse_message(message.rstrip("\r"), validation_level=VALIDATION_LEVEL.STRICT)
    except (HL7apyException, ValueError) as error:
        return [str(error)]
    try:
        parsed.validate()
    except HL7apyException:  # the first of the errors that a report lists
        with suppress(HL7apyException):
            parsed.validate(report_file=str(report))
    else:
        return []
    told = [line for line in report.read_text().splitlines() if line.startswith("Error: ")]
    return [line for line in told if not line.removeprefix("Error: ").startswith(FALSE)]


# ---------------------------------------------------------------------- judged by others
@pytest.fixture(scope="module", autouse=True)
def quicker() -> Iterator[None]:
    """Let hl7apy remember the modules of a version, which it imports anew for every cell."""
    import hl7apy
    import hl7apy.core

    before = hl7apy.load_library
    with pytest.MonkeyPatch.context() as patch:
        for module in (hl7apy, hl7apy.core):
            patch.setattr(module, "load_library", cache(before))
        yield


@pytest.mark.slow
def test_hl7apy_finds_no_error_in_messages_of_every_type(feed: list[str], tmp_path: Path, is_ci: bool) -> None:
    n_judged = JUDGED // 3 if is_ci else JUDGED
    by_type: dict[str, list[str]] = defaultdict(list)
    for one in feed:
        by_type[kind(one)].append(one)
    assert {name.split("^")[1] for name in by_type} == TYPES
    chosen: list[str] = []
    halves = [sorted(found, key=len)[: max(1, len(found) // 2)] for found in by_type.values()]  # 10 ms for 1,000 signs
    left = sorted(halves, key=len)
    for at, found in enumerate(left):  # what small types do not need goes to the others
        take = min(len(found), (n_judged - len(chosen)) // (len(left) - at))
        chosen += found[:: max(1, len(found) // max(1, take))][:take]
    chosen += [max((one for one in found if len(one) < LONGEST), key=len) for found in by_type.values()]
    assert len(chosen) >= 0.97 * n_judged
    found = Counter(f"{kind(one)}: {problem}" for one in chosen for problem in problems(one, tmp_path / "report"))
    assert not found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("PV1|1|", "ZZ1|1|"),  # a required segment lacks
        ("|F\rPV1", "|F||||||||||||||||||||||||||||||||||||||||||||x\rPV1"),  # a field that PID does not have
        ("PID|1||", "PID|x||"),  # a set number that is none
        ("EVN||", "EVN||99"),  # a time that is none
    ],
)
def test_hl7apy_finds_a_broken_message(feed: list[str], tmp_path: Path, old: str, new: str) -> None:
    good = next(one for one in feed if kind(one) == "ADT^A03^ADT_A03")
    assert old in good and not problems(good, tmp_path / "report")
    assert problems(good.replace(old, new), tmp_path / "report")


def test_hl7_reads_the_file_as_batches_and_every_message(written: Path, feed: list[str]) -> None:
    import hl7

    text = (written / "feed.hl7").read_bytes().decode()
    cut = text.index("\rMSH|", 500_000)  # its time grows with the square of the messages
    (batch,) = hl7.parse_file(text[:cut] + text[text.rindex("\rBTS|") :])
    own = [one for one in feed if not kind(one).startswith("MFN")]
    assert len(batch) == text[:cut].count("\rMSH|") > 500
    for ours, theirs in zip(own, batch, strict=False):
        assert str(theirs).rstrip("\r") == ours.rstrip("\r")
        assert theirs.extract_field("PID", field_num=3, component_num=1)
    for one in feed[::50]:
        assert str(hl7.parse(one).segment("MSH")(9)) == kind(one)


# ---------------------------------------------------------------------- what is said, and when
def test_every_message_says_what_it_is(feed: list[str]) -> None:
    for one in feed:
        fields = one.split("\r")[0].split("|")
        assert (fields[2], fields[10], fields[11], fields[17]) == ("EHRSATZ", "T", "2.5.1", "UNICODE UTF-8")


def test_messages_stand_in_the_order_of_events_and_persons_before_all_else(feed: list[str]) -> None:
    own = [one for one in feed if not kind(one).startswith("MFN")]
    times = [one.split("|", 7)[6] for one in own]
    assert times == sorted(times)
    known: set[str] = set()
    for one in own:
        number = one.split("\rPID|1||", 1)[1].split("^", 1)[0].removeprefix("T-")
        assert number in known or kind(one).startswith("ADT^A28")
        known.add(number)


def test_visits_begin_move_and_end(feed: list[str], cohort: Dataset) -> None:
    visits = cohort.tables["encounter"]
    count = Counter(kind(one) for one in feed)
    ward, stay = visits["class"].is_in(["inpatient", "icu"]), visits["part_of_id"].is_not_null()
    assert count["ADT^A01^ADT_A01"] == int((ward & ~stay).sum())
    assert count["ADT^A04^ADT_A01"] == int((~ward).sum())
    assert count["ADT^A03^ADT_A03"] == visits.height - int(stay.sum())
    assert int(stay.sum()) < count["ADT^A02^ADT_A02"] <= 2 * int(stay.sum())
    inside = next(one for one in feed if kind(one) == "ADT^A02^ADT_A02")
    pv1 = next(one for one in inside.split("\r") if one.startswith("PV1")).split("|")
    child = visits.filter(encounter_id=pv1[50].split("^")[0])
    assert pv1[19].split("^")[0] == child["part_of_id"][0] and pv1[6] != pv1[3] != ""


def test_nobody_is_dead_before_the_death(feed: list[str], cohort: Dataset) -> None:
    dead = cohort.tables["patient"].filter(pl.col("death_time").is_not_null())
    times = dict(zip(dead["patient_id"], dead["death_time"].dt.strftime("%Y%m%d%H%M%S"), strict=True))
    told = 0
    for one in feed:
        if "\rPID|" in one and len(pid := one.split("\rPID|", 1)[1].split("\r", 1)[0].split("|")) > 29:
            assert one.split("|", 7)[6] >= times[pid[2].split("^")[0]] == pid[28]
            told += 1
    assert told >= dead.height > 0


def test_appointments_are_booked_before(feed: list[str]) -> None:
    booked = [one for one in feed if kind(one).startswith("SIU")]
    for one in booked:
        start = one.split("\rSCH|", 1)[1].split("|")[10].split("^")[3]
        assert one.split("|", 7)[6] <= start
    assert booked


def test_patients_under_a_temporary_number_are_merged(cohort: Dataset, tmp_path: Path, feed: list[str]) -> None:
    merges = [one for one in feed if kind(one).startswith("ADT^A40")]
    assert len(merges) == 4
    for one in merges:
        new = one.split("\rPID|1||", 1)[1].split("^", 1)[0]
        old = one.split("\rMRG|", 1)[1].split("^", 1)[0]
        assert old == f"T-{new}"
        before, after = feed[: feed.index(one)], feed[feed.index(one) + 1 :]
        assert any(f"\rPID|1||{old}^" in other for other in before)
        assert not any(f"\rPID|1||{new}^" in other for other in before)
        assert not any(f"\rPID|1||{old}^" in other for other in after)


# ---------------------------------------------------------------------- cells
NASTY = (
    "a|b^c&d~e\\f",
    "\\F\\ \\.br\\ \\X0D\\ \\H\\",
    "one\ntwo\r\nthree\ttab",
    "\x0bstart\x1c\rend",
    "Zoë 😀 עברית e\u0301",
    "O'Neil",
    '""',
    " spaces ",
    "\\",
    "^^",
    "x" * 200,
)


def changed(cohort: Dataset, cell: object) -> Dataset:
    """The first 30 patients, with another function over every column that is no key."""
    keep = cohort.subjects[:30]
    here = loose.widen(cohort)
    kin = here.tables["relation"].filter(pl.col("relative_id").is_in(keep.implode()))
    part = Dataset.trusted(here.schema, {**here.tables, "relation": kin}, here.provenance).take_subjects(keep)
    tables = {}
    for table in part.schema.tables:
        columns = [
            cell(column, pl.col(column.name)).alias(column.name)  # type: ignore[operator]
            for column in table.columns
            if column.role not in {"key", "subject"} and column.name != "relative_id"
        ]
        tables[table.name] = part.tables[table.name].with_columns(columns)
    return Dataset(part.schema, tables, part.provenance)


def told(dataset: Dataset, folder: Path) -> list[str]:
    Hl7v2Exporter().write(dataset, folder)
    assert Hl7v2Exporter().check(folder) == []
    found = Hl7v2Source().read(folder / "hl7v2", origin="simulated")
    return [
        f"{one.table}.{one.column}: {one.n_differ} of {one.n_facts}"
        for one in compare(dataset, found, Hl7v2Exporter.losses)
        if one.n_differ
    ]


def test_delimiters_controls_and_scripts_come_back(cohort: Dataset, tmp_path: Path) -> None:
    nasty = pl.Series("nasty", NASTY)

    def cell(column, old):  # type: ignore[no-untyped-def]
        if column.kind not in {"text", "code"}:
            return old
        at = (pl.int_range(pl.len()) + len(column.name)) % len(NASTY)
        return pl.when(old.is_not_null()).then(pl.lit(nasty).gather(at))

    assert told(changed(cohort, cell), tmp_path) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_absent_cells_stay_absent(cohort: Dataset, tmp_path: Path, seed: int) -> None:
    def cell(column, old):  # type: ignore[no-untyped-def]
        gone = (pl.int_range(pl.len()) * 7 + len(column.name) * 3 + seed) % 5 < 2
        return pl.when(~gone).then(old)

    assert told(changed(cohort, cell), tmp_path) == []


def test_numbers_and_fractions_of_seconds_come_back(cohort: Dataset, tmp_path: Path) -> None:
    odd = pl.Series("odd", [1e-7, 1e20, 0.1 + 0.2, 123456789.125, 0.0, 5e-324, 7.0])

    def cell(column, old):  # type: ignore[no-untyped-def]
        at = (pl.int_range(pl.len()) + len(column.name)) % len(odd)
        if column.kind == "number":
            return pl.when(old.is_not_null()).then(pl.lit(odd).gather(at))
        return old + pl.duration(microseconds=at * 123_457) if column.kind == "datetime" else old

    dataset = changed(cohort, cell)
    assert told(dataset, tmp_path) == []
    text = (tmp_path / "hl7v2" / "feed.hl7").read_text(encoding="utf-8")
    assert "e-07" not in text and "|0.0000001|" in text  # NM has no exponents


def test_every_escape_is_where_it_must_be() -> None:
    frame = pl.DataFrame({"report_id": ["r"], "text": ["a|b\nc\r\\^&~\x0b"], "display": ["x\ny"]})
    out = plain({"report": frame})["report"]
    assert out["text"][0] == "a\\F\\b\\.br\\c\\X0D\\\\E\\\\S\\\\T\\\\R\\\\X0B\\"
    assert out["display"][0] == "x\\X0A\\y"


def test_edge_case_patients_come_back_and_are_valid_but_for_a_name_above_199_characters(tmp_path: Path) -> None:
    from ehrsatz.simulation import simulate

    people = simulate("clinic", n=31, seed=7, record_years=1, edge_cases="all")
    assert told(people, tmp_path) == []
    seen: dict[tuple[str, str], str] = {}
    for one in (message.data.decode() for message in messages(tmp_path / "hl7v2" / "feed.hl7")):
        if kind(one).startswith(("ADT^A28", "ADT^A03")):
            seen.setdefault((kind(one), one.split("\rPID|1||", 1)[1].split("^", 1)[0]), one)
    found = [problem for one in seen.values() for problem in problems(one, tmp_path / "report")]
    assert len(seen) > 55 and all(problem.endswith("exceed the max length: 199") for problem in found)
    assert 0 < len(found) <= 4


# ---------------------------------------------------------------------- files
def test_pieces_do_not_change_a_byte(cohort: Dataset, written: Path, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(stream, "ROWS", 5_000)
    Hl7v2Exporter().write(cohort, tmp_path)
    for name in ("feed.hl7", "master.hl7"):
        assert (tmp_path / "hl7v2" / name).read_bytes() == (written / name).read_bytes()


def test_a_file_that_is_cut_off_or_lacks_a_message_is_found(written: Path, tmp_path: Path) -> None:
    data = (written / "feed.hl7").read_bytes()
    place = tmp_path / "hl7v2"
    place.mkdir()
    (place / "feed.hl7").write_bytes(data[:-2])
    assert "cut off" in Hl7v2Exporter().check(tmp_path)[0]
    at, end = data.index(b"\rMSH|", 5_000), data.index(b"\rMSH|", 10_000)
    (place / "feed.hl7").write_bytes(data[:at] + data[end:])
    assert "where its end says" in Hl7v2Exporter().check(tmp_path)[0]


def test_patients_without_anything_and_records_without_a_time_are_written(cohort: Dataset, tmp_path: Path) -> None:
    wide = loose.widen(cohort)
    empty = {name: frame.clear() for name, frame in wide.tables.items()}
    bare = (
        wide.tables["patient"]
        .head(3)
        .with_columns(
            pl.lit(None).cast(frame).alias(name)
            for name, frame in wide.tables["patient"].schema.items()
            if name != "patient_id"
        )
    )
    seen = (
        wide.tables["observation"]
        .head(2)
        .with_columns(
            pl.lit(bare["patient_id"][0]).alias("patient_id"),
            *(pl.lit(None, pl.String).alias(name) for name in ("encounter_id", "order_id")),
            pl.lit(None, pl.Datetime("us")).alias("time"),
        )
    )
    dataset = Dataset(wide.schema, {**empty, "patient": bare, "observation": seen}, wide.provenance)
    assert told(dataset, tmp_path) == []
