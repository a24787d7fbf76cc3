"""Read HL7 version 2 files into the clinical schema: what each file mentions, then one row per record of it all.

A record that several messages tell of (a patient, a visit, an order, a problem) gets of each column the last that any
of them says. Numbers that an A40 merges become one patient. What has no place is counted by segment and field.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz.clinical import WORLD
from ehrsatz.errors import SourceError
from ehrsatz.files import part_name, tables_of
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.hl7v2 import care, money, people, places, results, visits
from ehrsatz.sources.hl7v2.fields import finished
from ehrsatz.sources.hl7v2.file import Hl7File
from ehrsatz.sources.hl7v2.raw import blocks, looks_like_it
from ehrsatz.sources.hl7v2.segments import segments

SUFFIXES = (".hl7", ".hl7v2", ".er7")
FEED = "feed"
KEYS = {  # tables whose rows many messages make up -> key
    "patient": "patient_id",
    "encounter": "encounter_id",
    "condition": "condition_id",
    "order": "order_id",
    "medication": "medication_id",
    "coverage": "coverage_id",
    "device": "device_id",
    "careplan": "careplan_id",
    "goal": "goal_id",
}
SINGLE = ("observation", "report", "procedure", "immunization", "allergy", "claim_line", "relation")  # the last counts
Found = dict[str, list[pl.DataFrame]]


class Hl7v2Source(ClinicalSource):
    """HL7 version 2 messages in files: a file, or a folder of *.hl7, *.hl7v2 and *.er7."""

    name: ClassVar[str] = "hl7v2"

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        path = Path(what)
        if path.is_dir():
            return any(looks_like_it(one) for one in _files(path)[:1])
        return path.is_file() and looks_like_it(path)

    def parts(self, what: str | Path) -> int:
        """Return in how many numbered parts the patients lie; 0 where they are not in parts."""
        path = Path(what)
        names = tables_of(one.stem for one in _files(path))[0].get(FEED, []) if path.is_dir() else []
        return len(names) if names != [FEED] else 0

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        path = Path(what)
        files = _files(path) if path.is_dir() else [path]
        if not files:
            raise SourceError(
                f"Expected HL7 files ({', '.join(SUFFIXES)}).", "The folder holds none.", "Check the path."
            )
        if part is not None and part.number is not None:
            others = [one for one in files if not one.stem.startswith(f"{FEED}-")] if part.world else []
            files = [*others, path / f"{part_name(FEED, part.number)}.hl7"]
        found: Found = defaultdict(list)
        numbers = count()
        for one in files:
            for text, before in blocks(one, left):
                _mention(Hl7File(segments(text, one, before), next(numbers), left), found)
        frames = _records(found, left)
        if part is not None and not part.world:
            frames = {name: frame for name, frame in frames.items() if name not in WORLD}
        if part is not None and part.number is None:
            own = pl.col("patient_id").is_in(part.patients.implode())
            frames = {name: frame if name in WORLD else frame.filter(own) for name, frame in frames.items()}
        return frames


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())


def _mention(file: Hl7File, found: Found) -> None:
    """Add what a file says to the mentions of each table."""
    found["patient"] += people.patients(file)
    found["relation"].append(people.relations(file))
    found["merged"].append(people.merged(file))
    found["encounter"] += visits.encounters(file)
    found["booked"].append(visits.appointments(file))
    told, alone = results.orders(file)
    found["order"] += told
    found["order of results"].append(alone)
    seen, texts = results.observations(file)
    found["observation"].append(seen)
    found["report"] += [results.reports(file), texts]
    problems, diagnoses = care.conditions(file)
    found["condition"] += problems
    found["diagnosis"].append(diagnoses)
    numbered, others = care.allergies(file)
    found["allergy"].append(numbered)
    found["allergy without number"].append(others)
    found["procedure"].append(care.procedures(file))
    found["device"].append(care.devices(file))
    found["medication"].append(care.medications(file))
    found["immunization"].append(care.immunizations(file))
    found["careplan"] += care.careplans(file)
    found["goal"] += care.goals(file)
    covered, payers = money.coverages(file)
    found["coverage"].append(covered)
    claimed, lines, paid = money.claims(file)
    found["claim"].append(claimed)
    found["claim_line"].append(lines)
    found["payment"].append(paid)
    for name, frame in money.masters(file).items():
        found[name].append(frame)
    found["payer named"].append(payers)
    found["practitioner named"].append(visits.practitioners(file))
    locations, organizations = visits.places(file)
    found["location named"].append(locations)
    found["organization named"].append(organizations)
    places.count(file)


def _records(found: Found, left: Counter[str]) -> dict[str, pl.DataFrame]:
    """Make of all mentions one row per record."""
    gathered = {name: _stacked(frames) for name, frames in found.items()}
    new = people.final_numbers(gathered.pop("merged"))
    if new:
        gathered = {name: _renumbered(frame, new) for name, frame in gathered.items()}
    booked, diagnoses = gathered.pop("booked"), gathered.pop("diagnosis")
    loose, alone = gathered.pop("allergy without number"), gathered.pop("order of results")
    frames = {name: _latest(gathered.pop(name), key) for name, key in KEYS.items()}
    frames |= gathered
    frames["condition"] = _and(frames["condition"], diagnoses, "condition_id")
    frames["order"] = _and(frames["order"], _latest(alone, "order_id"), "order_id")
    same = ["patient_id", "code", "display"]
    unnumbered = loose.join(
        frames["allergy"].select(same), on=same, how="anti", nulls_equal=True, maintain_order="left"
    )
    frames["allergy"] = pl.concat([frames["allergy"], unnumbered], how="diagonal")
    for name in SINGLE:
        frames[name] = frames[name].unique(f"{name}_id", keep="last", maintain_order=True)
    frames["claim"] = _first(frames["claim"], "claim_id")
    for name in WORLD:
        frames[name] = _and(frames[name], frames.pop(f"{name} named"), f"{name}_id")
    unseen = booked.join(frames["encounter"], left_on="number", right_on="encounter_id", how="anti").height
    if unseen:
        left["SCH: appointments without a visit"] += unseen
    return {name: finished(frame.drop("p", strict=False), left) for name, frame in frames.items()}


def _stacked(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Put mentions of all files under one another, those of a file in the order of its messages."""
    return pl.concat(frames, how="diagonal") if len(frames) > 1 else frames[0]


def _renumbered(frame: pl.DataFrame, new: dict[str, str]) -> pl.DataFrame:
    columns = [one for one in ("patient_id", "relative_id") if one in frame.columns]
    return frame.with_columns(pl.col(one).replace(new) for one in columns)


def _latest(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """One row per key: of each column the last that is told."""
    rest = [one for one in frame.columns if one not in {"p", key}]
    ordered = frame.filter(pl.col(key).is_not_null())
    return ordered.group_by(key, maintain_order=True).agg(pl.col(one).drop_nulls().last() for one in rest)


def _first(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """One row per key: of each column the first that is told."""
    rest = [one for one in frame.columns if one not in {"p", key}]
    ordered = frame.filter(pl.col(key).is_not_null())
    return ordered.group_by(key, maintain_order=True).agg(pl.col(one).drop_nulls().first() for one in rest)


def _and(frame: pl.DataFrame, more: pl.DataFrame, key: str) -> pl.DataFrame:
    """Add the rows whose key a frame does not have yet."""
    new = more.unique(key, keep="last", maintain_order=True)
    new = new.join(frame.select(key), on=key, how="anti", maintain_order="left")
    return pl.concat([frame, new], how="diagonal").unique(key, keep="first", maintain_order=True)
