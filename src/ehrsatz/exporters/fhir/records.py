"""The records of a dataset made ready to be written as FHIR: texts escaped, ids and code systems named, marks chosen.

Beside a column of the clinical schema stand, where a resource needs them: `<key or link>:id` (logical id),
`<key>:identifier` (an Identifier that holds the key where the id does not), `system:uri`, `<unit>:json` (the unit's
fields of a Quantity) and `reason_code:json` (a CodeableConcept).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

import polars as pl

from ehrsatz import __version__, loose
from ehrsatz.clinical import ICD10CM
from ehrsatz.dataset import Dataset
from ehrsatz.errors import UnsupportedError
from ehrsatz.exporters.fhir import keys
from ehrsatz.exporters.fhir.text import BASE, TERMS, UCUM_URI, escape, expression, glue, identifier, thing
from ehrsatz.terminology import units

SLICE = 8_192  # rows whose text is held at a time
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
LIKE_ICD10CM = r"^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$"
MAKER = f"ehrsatz {__version__}"


@dataclass(frozen=True)
class Resources:
    """Some resources of one type: a frame with one row each, and the text of a row.

    Parameters
    ----------
    kind
        Name of the type, as in "Observation".
    frame
        One row per resource; of a patient's resources with the column `patient_id:id`.
    id
        Column that holds the logical id.
    line
        The resource's JSON, as an expression over the frame.
    where
        Which rows make one, as an expression over the frame; all where None.
    """

    kind: str
    frame: pl.DataFrame
    id: str
    line: pl.Expr
    where: pl.Expr | None = None

    def slices(self, **columns: pl.Expr) -> Iterator[pl.DataFrame]:
        """Return columns made of the frame, a bounded number of rows at a time."""
        for piece in self.frame.iter_slices(SLICE):
            wanted = piece if self.where is None else piece.filter(self.where)
            yield wanted.lazy().select(**columns).collect()


class Records:
    """The tables of a dataset, each made ready when it is first asked for."""

    def __init__(self, dataset: Dataset, kin: pl.DataFrame | None = None) -> None:
        """Take a dataset in the loose form; `kin` are rows of patients who may be relatives, all of it where None."""
        self.tables = dataset.tables
        self._kin = kin
        self.is_marked = dataset.provenance.origin in {"simulated", "generated"}
        self._ready: dict[str, pl.DataFrame] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        """Return a table made ready."""
        if name not in self._ready:
            self._ready[name] = _ready(name, self.tables[name])
        return self._ready[name]

    @property
    def kin(self) -> pl.DataFrame:
        """Patients who may be relatives, made ready."""
        return self["patient"] if self._kin is None else _ready("patient", self._kin)

    def meta(self, *profiles: str, is_derived: bool = False) -> str:
        """Return the field `meta`: profiles (US Core by their last name, others whole) and that all is fabricated."""
        return _meta(profiles, self.is_marked, is_derived)

    def claim(self, fits: pl.Expr, *profiles: str) -> pl.Expr:
        """Return the field `meta` that claims profiles in the rows that fit them."""
        bare = self.meta()
        named = pl.when(fits).then(pl.lit(self.meta(*profiles)))
        return named.otherwise(pl.lit(bare)) if bare else named

    def resource(self, kind: str, table: str, *fields: pl.Expr | str | None, meta: pl.Expr | str) -> Resources:
        """Return the resources that the rows of a table make, with id, meta and what the table's fields say."""
        frame = self[table]
        key = frame.columns[0]
        return self.made(kind, frame, key, *fields, meta=meta)

    def made(
        self, kind: str, frame: pl.DataFrame, key: str, *fields: pl.Expr | str | None, meta: pl.Expr | str
    ) -> Resources:
        """Return the resources that the rows of a frame make; the id is in `<key>:id`."""
        head = glue(f'"resourceType":"{kind}","id":"', pl.col(f"{key}:id"), '"')
        marks = (meta or None) if isinstance(meta, str) else meta
        return Resources(kind, frame, f"{key}:id", thing(head, marks, *fields))


def keyed(key: str, *others: pl.Expr | str | None) -> pl.Expr:
    """Return the field `identifier` with the key, where the id is another, and other identifiers."""
    items = [pl.col(f"{key}:identifier"), *(other for other in others if other is not None)]
    inner = pl.concat_str([expression(item) for item in items], separator=",", ignore_nulls=True).replace("", None)
    return glue('"identifier":[', inner, "]")


@cache
def _meta(profiles: tuple[str, ...], is_marked: bool, is_derived: bool) -> str:
    parts = []
    if profiles:
        named = [one if one.startswith("http") else f"{US_CORE}{one}" for one in profiles]
        parts.append('"profile":["' + '","'.join(named) + '"]')
    tags = []
    if is_marked:
        parts.append(f'"security":[{{"system":"{TERMS}v3-ActReason","code":"HTEST","display":"test health data"}}]')
        tags.append(f'{{"system":"{BASE}CodeSystem/origin","code":"synthetic","display":"Synthetic data"}}')
    if is_derived:
        tags.append(f'{{"system":"{BASE}CodeSystem/origin","code":"derived"}}')
    if tags:
        parts.append(f'"tag":[{",".join(tags)}]')
    return f'"meta":{{{",".join(parts)}}}' if parts else ""


# ---------------------------------------------------------------------- tables
def _ready(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    table = loose.schema()[name]
    key = table.columns[0].name
    made: list[pl.Series] = []
    for column in table.columns:
        cells = frame[column.name]
        if cells.dtype == pl.Float64 and not cells.is_finite().all():
            raise UnsupportedError(
                f"Expected finite numbers in {name}.{column.name}.",
                "Some are infinite or no number, which JSON cannot hold.",
                "Take them out first.",
            )
        if cells.dtype != pl.String:
            made.append(cells)
            continue
        made.append(escape(cells))
        target = name if column.name == key else next((x.to_table for x in table.links if x.column == column.name), "")
        if target:
            made.append(keys.ids(cells, target).alias(f"{column.name}:id"))
        if column.name == loose.SYSTEM:
            made.append(_mapped(cells, system_uri).alias("system:uri"))
        if column.role == "unit":
            made.append(_mapped(cells, _unit).alias(f"{column.name}:json"))
    whole = pl.DataFrame(made)
    same = pl.col(key).eq(pl.col(f"{key}:id"))
    always = name in {"patient", "payer"}
    own = identifier(name, key)
    more = [(own if always else pl.when(~same).then(own)).alias(f"{key}:identifier")]
    if "reason_code" in frame.columns:
        more.append(_reason("reason_display" if "reason_display" in frame.columns else None))
    return whole.with_columns(more)


def _mapped(cells: pl.Series, form: object) -> pl.Series:
    known = cells.drop_nulls().unique().to_list()
    forms = {value: form(value) for value in known}  # type: ignore[operator]
    return cells.replace_strict(forms, default=None, return_dtype=pl.String)


def system_uri(name: str) -> str:
    """Return the address of a code system by the name that the tables use.

    Examples
    --------
    >>> system_uri("LOINC"), system_uri("urn:oid:1.2.3"), system_uri("house list")
    ('http://loinc.org', 'urn:oid:1.2.3', 'https://ehrsatz.org/fhir/CodeSystem/house%20list')
    """
    if name in loose.URIS:
        return loose.URIS[name]
    if ADDRESS.fullmatch(name) and not re.search(r'["\\<>^`{|}\x00-\x20]', name):
        return name
    return f"{BASE}CodeSystem/{quote(name, safe='')}"


def _unit(unit: str) -> str:
    shown = escape(pl.Series([unit]))[0]
    if shown is None:
        return ""
    if units.check(unit):
        return f'"unit":"{shown}"'
    return f'"unit":"{shown}","system":"{UCUM_URI}","code":"{shown}"'


def _reason(display: str | None) -> pl.Expr:
    code = pl.col("reason_code")
    named = glue(f'"system":"{loose.URIS[ICD10CM]}","code":"', code, '"')
    bare = glue('"code":"', code, '"')
    own: list[pl.Expr | str | None] = [pl.when(code.str.contains(LIKE_ICD10CM)).then(named).otherwise(bare)]
    shown = None
    if display:
        shown = glue('"text":"', pl.col(display), '"')
        own.append(glue('"display":"', pl.col(display), '"'))
    return thing(glue('"coding":[', thing(*own), "]"), shown).alias("reason_code:json")
