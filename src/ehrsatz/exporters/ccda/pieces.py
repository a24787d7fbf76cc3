"""Pieces of CDA XML as expressions over columns: identifiers, codes, times, quantities, links and wrapped words.

Every function returns text. A piece of a column that is missing is empty text; `joined` alone is missing where one of
its parts is. Cells of text are escaped beforehand, once per frame, by `escaped`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from uuid import NAMESPACE_URL, uuid5

import polars as pl

from ehrsatz import loose
from ehrsatz.clinical import ICD10CM, LOINC, SNOMED
from ehrsatz.errors import DataWarning
from ehrsatz.layouts.ccda import DERIVED, KEYS, WORDS, WORDS_NAME

Part = str | pl.Expr

_MARKS = ["&", "<", ">", '"', "\n", "\r", "\t"]
_ENTITIES = ["&amp;", "&lt;", "&gt;", "&quot;", "&#10;", "&#13;", "&#9;"]
_ILLEGAL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x{FFFE}\x{FFFF}]"  # no XML 1.0 document can hold them
_ICD10 = r"^[A-TV-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?$"


def escaped(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose text can stand in XML; characters that XML cannot hold become U+FFFD, with a warning."""
    changed: list[pl.Expr] = []
    for name, kind in frame.schema.items():
        if kind != pl.String:
            continue
        cell = pl.col(name)
        n_illegal = int(frame[name].str.contains(_ILLEGAL).sum() or 0)
        if n_illegal:
            warnings.warn(
                f"ccda: {n_illegal} cells of a column '{name}' hold control characters that XML cannot carry; "
                "each became U+FFFD.",
                DataWarning,
                stacklevel=2,
            )
            cell = cell.str.replace_all(_ILLEGAL, "\ufffd")
        if frame[name].str.contains_any(_MARKS).any():
            cell = cell.str.replace_many(_MARKS, _ENTITIES)
        if n_illegal or not cell.meta.is_column():
            changed.append(cell.alias(name))
    return frame.with_columns(changed) if changed else frame


def joined(*parts: Part) -> pl.Expr:
    """Return the parts as one text, missing where a part is."""
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts])


def optional(*parts: Part) -> pl.Expr:
    """Return the parts as one text, empty where a part is missing."""
    return joined(*parts).fill_null("")


def where(condition: pl.Expr, then: Part, otherwise: Part = "") -> pl.Expr:
    """Return one text or another."""
    one = pl.lit(then) if isinstance(then, str) else then
    other = pl.lit(otherwise) if isinstance(otherwise, str) else otherwise
    return pl.when(condition).then(one).otherwise(other)


def word(column: str, words: Mapping[str, str]) -> pl.Expr:
    """Return the text that a category's word stands for; missing where there is none."""
    return pl.col(column).replace_strict(dict(words), default=None, return_dtype=pl.String)


# ---------------------------------------------------------------------- elements
def template(root: str, extension: str = "", *, first: bool = True) -> str:
    """Return the templateId of R2.1, after the bare root of R1.1 where the template was there before."""
    bare = f'<templateId root="{root}"/>'
    if not extension:
        return bare
    dated = f'<templateId root="{root}" extension="{extension}"/>'
    return bare + dated if first else dated


def key(table: str, column: str | pl.Expr = "", *, tag: str = "id") -> pl.Expr:
    """Return the identifier that is a key of a table; nullFlavor where it is missing."""
    cell = pl.col(column or f"{table}_id") if isinstance(column, str) else column
    held = joined(f'<{tag} root="{KEYS[table]}" extension="', cell, '"/>')
    return held.fill_null(f'<{tag} nullFlavor="NI"/>')


def wrapper(kind: str, cell: pl.Expr) -> pl.Expr:
    """Return the identifier of an act that merely wraps the row of this key."""
    return joined(f'<id root="{DERIVED}" extension="{kind}.', cell, '"/>')


def moment(column: str) -> pl.Expr:
    """Return a time as CDA writes it, to the second, to the microsecond where it says so; missing where it is."""
    time = pl.col(column)
    seconds = time.dt.to_string("%Y%m%d%H%M%S")
    part = where(time.dt.microsecond() != 0, time.dt.to_string("%.6f"))
    return joined(seconds, part, "+0000")


def day(column: str) -> pl.Expr:
    """Return a date as CDA writes it; missing where it is."""
    return pl.col(column).dt.to_string("%Y%m%d")


def instant(tag: str, time: pl.Expr) -> pl.Expr:
    """Return an element with a time; nullFlavor where it is missing."""
    return joined(f'<{tag} value="', time, '"/>').fill_null(f'<{tag} nullFlavor="UNK"/>')


def interval(low: pl.Expr, high: pl.Expr | None, *, tag: str = "effectiveTime", always: bool = False) -> pl.Expr:
    """Return an interval of time; without `high` where that is missing, unless `always`."""
    ends: list[Part] = [f"<{tag}>", instant("low", low)]
    if high is not None:
        ends.append(instant("high", high) if always else optional('<high value="', high, '"/>'))
    return joined(*ends, f"</{tag}>")


def oids(names: pl.Series) -> dict[str, str]:
    """Return code system -> attributes that name it; systems without an HL7 identifier get one made of their name."""
    out = {}
    for name in names.drop_nulls().unique():
        known = loose.OIDS.get(name)
        made = known or f"2.25.{uuid5(NAMESPACE_URL, f'ehrsatz:system:{name}').int}"
        out[name] = f' codeSystem="{made}" codeSystemName="{name}"'
    return out


def with_system(frame: pl.DataFrame) -> pl.DataFrame:
    """Return an escaped frame with the attributes of the code system of each row in "(system)"; empty without one."""
    known = oids(frame["system"])
    named = pl.col("system").replace_strict(known, default=None, return_dtype=pl.String).fill_null("")
    return frame.with_columns(named.alias("(system)"))


def attributes(system: str) -> str:
    """Return the attributes that name a code system of the package."""
    return f' codeSystem="{loose.OIDS[system]}" codeSystemName="{system}"'


def code(
    tag: str, cell: pl.Expr, system: Part, display: pl.Expr | None, *, inside: Part = "", kind: str = ""
) -> pl.Expr:
    """Return a coded element; without a code nullFlavor and, in originalText, the display."""
    xsi = f' xsi:type="{kind}"' if kind else ""
    shown = pl.lit("") if display is None else optional(' displayName="', display, '"')
    held = joined(f'<{tag}{xsi} code="', cell, '"', system, shown, ">", inside, f"</{tag}>")
    said = pl.lit("") if display is None else optional("<originalText>", display, "</originalText>")
    return pl.coalesce(held, joined(f'<{tag}{xsi} nullFlavor="UNK">', said, inside, f"</{tag}>"))


def fixed(tag: str, value: str, system: str, display: str = "", *, kind: str = "", inside: str = "") -> str:
    """Return a coded element that is the same in every row; `system` is a name of the package or an identifier."""
    named = attributes(system) if system in loose.OIDS else f' codeSystem="{system}"'
    shown = f' displayName="{display}"' if display else ""
    xsi = f' xsi:type="{kind}"' if kind else ""
    return f'<{tag}{xsi} code="{value}"{named}{shown}' + (f">{inside}</{tag}>" if inside else "/>")


def mapped(tag: str, column: str, codes: Mapping[str, tuple[str, str]], system: str, *, kind: str = "") -> pl.Expr:
    """Return a category as a coded element of a public system; a word that has no code there in originalText."""
    known = {name: fixed(tag, value, system, display, kind=kind) for name, (value, display) in codes.items()}
    xsi = f' xsi:type="{kind}"' if kind else ""
    other = joined(f'<{tag}{xsi} nullFlavor="OTH"><originalText>', pl.col(column), f"</originalText></{tag}>")
    return pl.coalesce(word(column, known), other, pl.lit(f'<{tag}{xsi} nullFlavor="UNK"/>'))


def own_word(column: str) -> pl.Expr:
    """Return a word of the clinical schema as a translation in the package's own code system; empty without one."""
    return optional('<translation code="', pl.col(column), f'" codeSystem="{WORDS}" codeSystemName="{WORDS_NAME}"/>')


def number(column: str) -> pl.Expr:
    """Return a number as the shortest text that reads back the same; missing where it is."""
    return pl.col(column).cast(pl.String).str.strip_suffix(".0")


# ---------------------------------------------------------------------- relationships
def extra(name: str, cell: pl.Expr) -> pl.Expr:
    """Return text that the template has no element for as an observation in the package's own code system."""
    return optional(
        '<entryRelationship typeCode="REFR"><observation classCode="OBS" moodCode="EVN">'
        f'<code code="{name}" codeSystem="{WORDS}" codeSystemName="{WORDS_NAME}" displayName="{name}"/>'
        '<statusCode code="completed"/><value xsi:type="ST">',
        cell,
        "</value></observation></entryRelationship>",
    )


def of_encounter(cell: str = "encounter_id", *, tag: str = "entryRelationship") -> pl.Expr:
    """Return the encounter that an entry belongs to, as the procedure templates tell it; empty without one."""
    inverse = ' typeCode="COMP" inversionInd="true"' if tag == "entryRelationship" else ""
    return optional(
        f'<{tag}{inverse}><encounter classCode="ENC" moodCode="EVN"><id root="{KEYS["encounter"]}" extension="',
        pl.col(cell),
        f'"/></encounter></{tag}>',
    )


def indication(owner: str, cell: str = "reason_code", display: pl.Expr | None = None) -> pl.Expr:
    """Return the reason of a row of a table as an Indication (V2); empty without one."""
    return optional('<entryRelationship typeCode="RSON">', reason(owner, cell, display), "</entryRelationship>")


def reason(owner: str, cell: str = "reason_code", display: pl.Expr | None = None) -> pl.Expr:
    """Return an Indication (V2); missing without a reason; one without a code has its display as original text."""
    system = where(pl.col(cell).str.contains(_ICD10), attributes(ICD10CM))
    shown = pl.lit("") if display is None else optional(' displayName="', display, '"')
    value = joined('<value xsi:type="CD" code="', pl.col(cell), '"', system, shown, "/>")
    if display is not None:
        said = joined('<value xsi:type="CD" nullFlavor="UNK"><originalText>', display, "</originalText></value>")
        value = pl.coalesce(value, said)
    return joined(
        '<observation classCode="OBS" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.19", "2014-06-09"),
        wrapper("reason", pl.col(f"{owner}_id")),
        PROBLEM,
        '<statusCode code="completed"/>',
        value,
        "</observation>",
    )


def author(time: pl.Expr, practitioner: str = "practitioner_id") -> pl.Expr:
    """Return who recorded or ordered an entry, and when; the header says who this is."""
    said = joined(
        "<author>",
        template("2.16.840.1.113883.10.20.22.4.119"),
        instant("time", time),
        "<assignedAuthor>",
        key("practitioner", practitioner),
        "</assignedAuthor></author>",
    )
    return where(time.is_not_null() | pl.col(practitioner).is_not_null(), said)


def reference(name: str) -> pl.Expr:
    """Return where the narrative tells the row, by its number in "(n)"."""
    return joined(f'<text><reference value="#{name}', pl.col("(n)"), '"/></text>')


PROBLEM = fixed("code", "55607006", SNOMED, "Problem", inside=fixed("translation", "75326-9", LOINC, "Problem"))


# ---------------------------------------------------------------------- narrative
def row(name: str, *cells: pl.Expr) -> pl.Expr:
    """Return a row of a narrative table, which an entry can refer to."""
    parts: list[Part] = [f'<tr ID="{name}', pl.col("(n)"), '">']
    for cell in cells:
        parts += ["<td>", cell.fill_null(""), "</td>"]
    return joined(*parts, "</tr>")


def shown(column: str) -> pl.Expr:
    """Return a time as people read it."""
    return pl.col(column).dt.to_string("%Y-%m-%d %H:%M")


def numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with the number of each row within its patient in "(n)"."""
    return frame.with_columns(pl.int_range(1, pl.len() + 1).over("patient_id").cast(pl.String).alias("(n)"))
