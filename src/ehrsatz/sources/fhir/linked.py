"""What can be said only when all is read: references become keys, and tables are completed from what they refer to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import polars as pl

from ehrsatz import loose
from ehrsatz.clinical import WORLD
from ehrsatz.schema import dtype_of
from ehrsatz.sources.fhir.elements import ICD10CM_URI, dates, moments, systems
from ehrsatz.sources.fhir.people import NOBODY
from ehrsatz.sources.fhir.reading import Reading
from ehrsatz.sources.fhir.visits import ACUTE

Frames = dict[str, pl.DataFrame]
FIRST = {
    "medication": "MedicationRequest",
    "report": "DiagnosticReport",
}  # whose ids are kept where types share a table
TYPES: dict[str, tuple[str, ...]] = {  # table -> types of resources whose ids its keys are
    "patient": ("Patient",),
    "encounter": ("Encounter",),
    "practitioner": ("Practitioner",),
    "organization": ("Organization",),
    "location": ("Location",),
    "payer": ("Organization",),
    "order": ("ServiceRequest",),
    "coverage": ("Coverage",),
    "claim": ("Claim",),
    "careplan": ("CarePlan",),
}
TARGETS: dict[str, tuple[str, ...]] = {"reason_of": ("Condition",)}  # besides the links of the schema


def tables(here: Reading) -> Frames:
    """Return the frames of the clinical tables, with keys instead of references."""
    by_table: dict[str, dict[str, pl.DataFrame]] = {}
    for (table, kind), frame in here.frames().items():
        by_table.setdefault(table, {})[kind] = frame
    frames = {table: _one(table, of_kind, here.left) for table, of_kind in by_table.items()}
    for table in list(frames):
        frames[table] = _with_keys(table, frames[table], here)
    _practitioners(frames, here.left)
    _medicines(frames, here.left)
    _reasons(frames, here.left)
    _studies(frames)
    _reports(frames, here.left)
    _goals(frames)
    _payers(frames)
    _intensive(frames)
    return {table: frame for table, frame in frames.items() if not table.startswith("(")}


def _one(table: str, of_kind: Mapping[str, pl.DataFrame], left: Counter[str]) -> pl.DataFrame:
    """Put the rows of several types of resources into one table, with times and names of systems in their kinds.

    Ids are unique within a type alone: where a key is taken, the type goes before it.
    """
    first = FIRST.get(table, "")
    kinds = sorted(of_kind, key=lambda kind: (kind != first, kind))
    parts: list[pl.DataFrame] = []
    for kind in kinds:
        frame = _typed(table, kind, of_kind[kind], left)
        if parts:
            key = frame.columns[0]
            taken = pl.concat([part[key] for part in parts]).drop_nulls().implode()
            other = pl.format("{}/{}", pl.lit(kind), pl.col(key))
            frame = frame.with_columns(pl.when(pl.col(key).is_in(taken)).then(other).otherwise(key).alias(key))
        parts.append(frame)
    whole = parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal")
    if table in WORLD or table.startswith("("):
        return whole.unique(keep="first", maintain_order=True)  # many Bundles bring the same hospital with them
    return whole


def _typed(table: str, kind: str, frame: pl.DataFrame, left: Counter[str]) -> pl.DataFrame:
    known = loose.schema()[table] if not table.startswith("(") else loose.schema()["report"]  # a study's time
    made: list[pl.Series] = []
    for name in frame.columns:
        cells = frame[name]
        if name == loose.SYSTEM:
            made += [systems(cells), cells.alias("uri")]
            continue
        if cells.dtype == pl.String:
            cells = cells.set(cells == "", None)  # what FHIR has not, and some write
        if name in known.names and cells.dtype == pl.String:
            wanted = dtype_of(known[name].kind)
            if wanted == pl.Date:
                cells = dates(cells, f"{kind}.{name}", left)
            elif wanted == pl.Datetime("us"):
                cells = moments(cells, f"{kind}.{name}", left)
        made.append(cells)
    if table in FIRST:
        made.append(pl.Series("from", [kind], dtype=pl.String).new_from_index(0, frame.height))
    return pl.DataFrame(made)


# ---------------------------------------------------------------------- references
def _with_keys(table: str, frame: pl.DataFrame, here: Reading) -> pl.DataFrame:
    links: dict[str, tuple[str, ...]]
    if table == "(goal of)":
        links = {"goal_id": ("Goal",)}
    elif table.startswith("("):
        links = {f"{name}_id": kinds for name, kinds in TYPES.items()}
    else:
        links = {link.column: TYPES[link.to_table] for link in loose.schema()[table].links}
        links |= TARGETS
        links.pop("relative_id", None)  # a key already
    links = {name: kinds for name, kinds in links.items() if name in frame.columns}
    made = []
    for name, kinds in links.items():
        cells = frame[name]
        found = _targets(cells, kinds, here)
        if found:
            made.append(cells.replace(list(found), list(found.values())).alias(name))
    return frame.with_columns(made) if made else frame


def _targets(cells: pl.Series, kinds: Iterable[str], here: Reading) -> dict[str, str]:
    """Return for ids and searches the keys that stand for them, where they are others."""
    found: dict[str, str] = {}
    searched = cells.filter(cells.str.starts_with("?")).unique().to_list() if cells.dtype == pl.String else []
    for kind in kinds:
        found |= here.keys.get(kind, {})
        known = here.identifiers.get(kind, {})
        for one in searched:
            key = known.get(one[1:]) or (known.get(one[1:].partition("|")[2]) if one.startswith("?|") else None)
            if key is not None:
                found[one] = key
    return found


# ---------------------------------------------------------------------- what refers to what
def _practitioners(frames: Frames, left: Counter[str]) -> None:
    """Complete practitioners by their first role; who is referred to by a role is the practitioner."""
    roles = frames.get("(role)")
    if roles is None:
        return
    by_role = roles.filter(pl.col("practitioner_id").is_not_null())
    known = {f"PractitionerRole/{role}": one for role, one in by_role.select("role_id", "practitioner_id").iter_rows()}
    for table, frame in list(frames.items()):
        if "practitioner_id" in frame.columns and table not in ("practitioner", "(role)"):
            cells = frame["practitioner_id"]
            if cells.str.starts_with("PractitionerRole/").any():
                frames[table] = frame.with_columns(cells.replace(known))
    first = by_role.unique("practitioner_id", keep="first", maintain_order=True)
    left["PractitionerRole: further ones of a practitioner"] += by_role.height - first.height
    if "practitioner" in frames:
        frames["practitioner"] = frames["practitioner"].join(
            first.select("practitioner_id", "organization_id", "specialty"),
            on="practitioner_id",
            how="left",
            maintain_order="left",
        )


def _medicines(frames: Frames, left: Counter[str]) -> None:
    """Give drugs that refer to a medicine its code."""
    drugs, medicines = frames.get("medication"), frames.get("(medicine)")
    if drugs is None:
        return
    pointing = drugs["medicine_id"].is_not_null()
    if medicines is None or not pointing.any():
        left["MedicationRequest.medicationReference: to nothing"] += int(pointing.sum())
        return
    known = medicines.unique("medicine_id", keep="first", maintain_order=True).with_columns(there=pl.lit(True))
    joined = drugs.join(known, on="medicine_id", how="left", suffix=":its", maintain_order="left")
    lost = pointing & joined["there"].is_null()
    left["MedicationRequest.medicationReference: to nothing"] += int(lost.sum())
    taken = pl.when(pointing)
    frames["medication"] = joined.with_columns(
        taken.then(pl.col(f"{name}:its")).otherwise(name).alias(name) for name in ("system", "code", "display")
    )


def _reasons(frames: Frames, left: Counter[str]) -> None:
    """Take the code of the condition that is the reason, where a resource refers to one, if it is of ICD-10-CM."""
    conditions = frames.get("condition")
    for table, frame in list(frames.items()):
        if "reason_of" not in frame.columns:
            continue
        pointing = frame["reason_of"].is_not_null() & frame["reason_code"].is_null()
        if not pointing.any():
            continue
        if conditions is None:
            left[f"{table}.reason_code: of conditions that are not there"] += int(pointing.sum())
            continue
        known = conditions.select("condition_id", "code", "uri", "display").unique("condition_id", keep="first")
        known = known.rename({"code": "code:its", "uri": "uri:its", "display": "display:its"})
        joined = frame.join(known, left_on="reason_of", right_on="condition_id", how="left", maintain_order="left")
        fits = joined["uri:its"].fill_null(ICD10CM_URI) == ICD10CM_URI
        gone = pointing & joined["code:its"].is_null() & joined["display:its"].is_null()
        left[f"{table}.reason_code: of conditions that are not there"] += int(gone.sum())
        left[f"{table}.reason_code: of another system"] += int((pointing & ~fits).sum())
        code = pl.when(fits).then("code:its")
        cells = [pl.when(pointing).then(code).otherwise("reason_code").alias("reason_code")]
        if "reason_display" in frame.columns:
            cells.append(pl.when(pointing).then("display:its").otherwise("reason_display").alias("reason_display"))
        frames[table] = joined.with_columns(cells)


def _studies(frames: Frames) -> None:
    """Give reports modality and body site of their imaging study; a study without a report becomes one."""
    studies = frames.get("(study)")
    if studies is None:
        return
    studies = studies.unique("study_id", keep="first", maintain_order=True)
    reports = frames.get("report")
    lone = studies
    if reports is not None:
        told = studies.select("study_id", "modality", "body_site")
        frames["report"] = reports.join(told, on="study_id", how="left", maintain_order="left")
        lone = studies.join(reports.select("study_id").drop_nulls(), on="study_id", how="anti", maintain_order="left")
    if lone.height:
        rows = lone.rename({"study_id": "report_id"}).with_columns(kind=pl.lit("imaging"))
        if reports is not None:
            taken = reports["report_id"].drop_nulls().implode()
            other = pl.format("ImagingStudy/{}", "report_id")
            rows = rows.with_columns(
                pl.when(pl.col("report_id").is_in(taken)).then(other).otherwise("report_id").alias("report_id")
            )
            rows = pl.concat([frames["report"], rows], how="diagonal")
        frames["report"] = rows


def _reports(frames: Frames, left: Counter[str]) -> None:
    """Leave documents out that repeat a report, and count codes that are not those of the order."""
    reports = frames.get("report")
    if reports is None or "from" not in reports.columns:
        return
    is_document = pl.col("from").eq_missing("DocumentReference")
    documents = reports.filter(is_document & pl.col("text").is_not_null())
    if documents.height:
        said = reports.filter(~is_document).select("patient_id", "encounter_id", "text")
        repeated = documents.join(said, on=said.columns, how="semi", nulls_equal=True)["report_id"]
        left["DocumentReference: repeats a report"] += repeated.len()
        reports = reports.filter(~(is_document & pl.col("report_id").is_in(repeated.implode())))
    frames["report"] = reports
    telling = reports.filter(pl.col("its_code").is_not_null())
    orders = frames.get("order")
    if orders is not None:
        ordered = orders.select("order_id", pl.col("uri").alias("its_system"), pl.col("code").alias("its_code"))
        telling = telling.join(ordered, on=ordered.columns, how="anti", nulls_equal=True)
    for kind, count in telling.group_by("from").len().iter_rows():
        left[f"{kind}.{'type' if kind == 'DocumentReference' else 'code'}.coding.code"] += count


def _goals(frames: Frames) -> None:
    """Name the plan of each goal."""
    pairs, goals = frames.get("(goal of)"), frames.get("goal")
    if pairs is None or goals is None:
        return
    first = pairs.unique("goal_id", keep="first", maintain_order=True)
    frames["goal"] = goals.join(first, on="goal_id", how="left", maintain_order="left")


def _payers(frames: Frames) -> None:
    """Make payers of what pays: of a name alone, or of an organization that is not said to be a payer."""
    coverages = frames.get("coverage")
    if coverages is None:
        return
    of_its_name = pl.format(NOBODY + " {}", "payer_name")
    named = coverages.with_columns(pl.coalesce("payer_id", of_its_name).alias("payer_id"))
    frames["coverage"] = named
    made = named.filter(pl.col("payer_name").is_not_null()).select("payer_id", pl.col("payer_name").alias("name"))
    known = frames.get("payer")
    of_name = made.unique("payer_id", keep="first", maintain_order=True)
    organizations = frames.get("organization")
    extra = [of_name]
    if organizations is not None:
        asked = named.select("payer_id").drop_nulls().unique(maintain_order=True)
        extra.append(
            asked.join(organizations, left_on="payer_id", right_on="organization_id", maintain_order="left").select(
                "payer_id", "name"
            )
        )
    more = pl.concat(extra)
    if known is not None:
        more = more.join(known, on="payer_id", how="anti", maintain_order="left")
        more = pl.concat([known, more], how="diagonal")
    if more.height:
        frames["payer"] = more


def _intensive(frames: Frames) -> None:
    """Call an acute stay within a stay, in an intensive care unit, by its name."""
    visits, places = frames.get("encounter"), frames.get("location")
    if visits is None or places is None or "kind" not in places.columns:
        return
    units = places.filter(pl.col("kind") == "icu")["location_id"].implode()
    there = (pl.col("class_code") == ACUTE) & pl.col("part_of_id").is_not_null() & pl.col("location_id").is_in(units)
    frames["encounter"] = visits.with_columns(pl.when(there).then(pl.lit("icu")).otherwise("class").alias("class"))
