"""From a patient's records to the lanes of a timeline: conditions with their stages, drugs, visits, measurements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ehrsatz.clinical import ICD10CM
from ehrsatz.report.figures.base import Picture, picture
from ehrsatz.terminology import codes

MOST_BARS = 14  # conditions, and drugs, of one patient
GAP = 0.3  # years between two prescriptions of a drug that count as one course
SHORT = 0.2  # years: shorter courses stand together in one lane
EARLY = 3.0  # years of life before the visits from which on they are drawn narrower
OFTEN, MOST_OFTEN = 12, 4  # times that make a lane, and such lanes
UNITS = {"mm[Hg]": "mmHg", "mL/min/{1.73_m2}": "mL/min/1.73 m²", "m[IU]/L": "mIU/L"}
LABS = (  # lane, items in it
    ("Blood pressure", ("sbp", "dbp")),
    ("Weight", ("weight",)),
    ("HbA1c", ("hba1c",)),
    ("LDL cholesterol", ("ldl",)),
    ("eGFR", ("egfr",)),
)
SALTS = (
    r"hydrochloride|sodium|succinate|tartrate|besylate|maleate|calcium|potassium|propionate|bitartrate|fumarate|"
    r"mesylate|acetate"
)

Told = Mapping[str, Any]


def timeline(told: Told) -> Picture:
    """Return the timeline of one patient as a picture.

    Parameters
    ----------
    told
        One entry of `evaluation.plausibility.timelines.timelines`.
    """
    end = float(told["end"])
    until = end if told["death"] is None else end + 1.0  # nothing goes on after death
    lasting, acute = _conditions(told["conditions"], end, until)
    drugs, courses = _drugs(told["medications"], end, until)
    done, repeated = _done(told["procedures"])
    visits = told["visits"]
    start, first = float(told["birth"]), min(float(told["routine"]), end - 1.0)
    split = first if first - start > EARLY else None
    if split is not None:  # nothing is lost in years of which nothing is told
        early = [one["from"] for lane in lasting for one in lane["spans"]] + [one["at"] for one in acute]
        start = max(start, min([one for one in early if one < split] or [split]) - 1.0)
        split = None if split - start < EARLY else split
    age = int(end - told["birth"])
    who = {"female": ("girl", "woman"), "male": ("boy", "man")}.get(told["sex"], ("child", "person"))[age >= 18]
    main = [lane["label"] for lane in sorted(lasting, key=lambda one: -one["weight"])][:3]
    title = f"{who.capitalize()} of {age}{': ' + ', '.join(main) if main else ''}"
    caption = f"Patient {told['id']}, shown because of: {told['why']}. Born {int(told['birth'])}"
    caption += f", died {int(told['death'])} of: {_cause(told['cause'])}." if told["death"] is not None else "."
    if split is not None:
        caption += (
            f" Of the years before {split:.0f}, drawn narrower, diagnoses and stays are told, routine care is not."
        )
    shown = lasting[:MOST_BARS]
    data = {
        "start": start,
        "split": split,
        "end": end,
        "death": None if told["death"] is None else {"at": told["death"], "label": f"died {int(told['death'])}"},
        "visits": _visits(visits),
        "conditions": [{"label": one["label"], "spans": one["spans"]} for one in shown],
        "acute": acute,
        "drugs": drugs[:MOST_BARS],
        "courses": courses,
        "procedures": done,
        "repeated": repeated,
        "labs": _labs(told["labs"]),
    }
    left = max(0, len(lasting) - MOST_BARS) + max(0, len(drugs) - MOST_BARS)
    alt = f"{title}. {len(visits)} visits; conditions: " + ", ".join(one["label"] for one in shown)
    return picture("timeline", title, caption, alt, data, left)


def _cause(code: str) -> str:
    return codes().displays.get((ICD10CM, code), code)


def _conditions(
    rows: Sequence[Sequence[Any]], end: float, until: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return lanes of conditions that last, the longest first among those that begin together, and acute ones."""
    lanes: dict[str, dict[str, Any]] = {}
    acute = []
    for title, lasts, _, stage, onset, stop in rows:
        if not lasts:
            acute.append({"at": onset, "label": title})
            continue
        lane = lanes.setdefault(title, {"label": title, "spans": [], "weight": 0.0})
        stop = end if stop is None else stop
        lane["spans"].append({"from": onset, "to": stop, "label": _stage(stage, title), "open": stop >= until})
        lane["weight"] += (stop - onset) * (2.0 if stop >= end else 1.0) + 4.0 * (stage is not None)
    return sorted(lanes.values(), key=lambda one: one["spans"][0]["from"]), acute


def _stage(stage: str | None, title: str) -> str:
    """Return a stage without the name of its condition."""
    if stage is None:
        return ""
    words = stage
    for begin in (title, title.split(" ")[0]):
        if words.lower().startswith(begin.lower()):
            words = words[len(begin) :].strip(" ,-(").removesuffix(")")
            break
    return words.removeprefix("stage ") if re.fullmatch(r"stage \w+", words) else words


def _drugs(
    rows: Sequence[Sequence[Any]], end: float, until: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return lanes of drugs taken for long, with their doses, and short courses."""
    lanes: dict[str, list[dict[str, Any]]] = {}
    for display, start, stop, _ in rows:
        name, dose = drug_name(display)
        spans = lanes.setdefault(name, [])
        stop = end if stop is None else stop
        if spans and start - spans[-1]["to"] < GAP and spans[-1]["label"] == dose:
            spans[-1]["to"] = max(spans[-1]["to"], stop)
        else:
            spans.append({"from": start, "to": stop, "label": dose})
        spans[-1]["open"] = stop >= until
    long, short = [], []
    for name, spans in lanes.items():
        if max(one["to"] - one["from"] for one in spans) >= SHORT:
            long.append({"label": name, "spans": spans})
        else:
            short += [{"at": one["from"], "label": name} for one in spans]
    return long, sorted(short, key=lambda one: (one["at"], one["label"]))


def drug_name(display: str) -> tuple[str, str]:
    """Return the name of a drug and its dose, from a display of RxNorm.

    Examples
    --------
    >>> drug_name("24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet")
    ('metformin', '500 mg')
    """
    rest = re.sub(r"\[[^\]]*\]", "", re.sub(r"^NDA\d+ ", "", display))
    rest = re.sub(r"^[\d.]+ (ML|HR|ACTUAT) ", "", rest)
    names, doses = [], []
    for part in rest.split(" / "):
        found = re.match(r"(.+?)(?: ([\d.]+) ([A-Za-z]+)(/\S+)?.*)?$", part)
        assert found is not None
        name = re.split(r",| \(", found[1])[0].strip()
        plain = re.sub(rf"\b({SALTS})\b", "", name, flags=re.IGNORECASE).strip()
        names.append((plain if len(plain) > 2 and name.lower() != "sodium chloride" else name).lower())
        if found[2] and not found[4]:
            doses.append(f"{float(found[2]):g} {found[3].lower()}")
    name = " + ".join(dict.fromkeys(names))
    return name, doses[0] if len(names) == 1 and doses else ""


def _done(rows: Sequence[Sequence[Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what was done now and then, and lanes of what was done again and again, as dialysis."""
    times: dict[str, list[float]] = {}
    for name, at in rows:
        times.setdefault(_plain(name), []).append(at)
    once: list[dict[str, Any]] = []
    often: list[tuple[int, dict[str, Any]]] = []
    for name, moments in times.items():
        if len(moments) < OFTEN:
            once += [{"at": at, "label": name} for at in moments]
            continue
        spans: list[dict[str, Any]] = []
        for at in moments:
            if spans and at - spans[-1]["to"] < GAP:
                spans[-1]["to"] = at
            else:
                spans.append({"from": at, "to": at, "label": "", "open": False})
        often.append((len(moments), {"label": f"{name} ({len(moments):,})", "spans": spans}))
    lanes = [lane for _, lane in sorted(often, key=lambda one: -one[0])[:MOST_OFTEN]]
    return sorted(once, key=lambda one: (one["at"], one["label"])), lanes


def _plain(display: str) -> str:
    """Return a display of SNOMED CT without its tag."""
    return re.sub(r" \([a-z/ ]+\)$", "", display)


def _visits(rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    lanes: list[tuple[str, set[str]]] = [
        ("Hospital stays", {"inpatient", "icu"}),
        ("Emergency and urgent", {"emergency", "urgent"}),
        ("Office and other visits", {"wellness", "ambulatory", "virtual", "home"}),
    ]
    out = []
    for label, classes in lanes:
        marks = [
            {"from": a, "to": b, "label": f"{kind}{': ' + reason if reason else ''}", "strong": kind == "icu"}
            for a, b, kind, reason in rows
            if kind in classes
        ]
        if marks:
            out.append({"label": label, "marks": marks})
    return out


def _labs(labs: Told) -> list[dict[str, Any]]:
    out = []
    for label, items in LABS:
        here = [labs[name] for name in items if name in labs]
        if not here:
            continue
        lows = [one["low"] for one in here if one["low"] is not None]
        highs = [one["high"] for one in here if one["high"] is not None]
        out.append(
            {
                "label": label,
                "unit": UNITS.get(here[0]["unit"], here[0]["unit"] or ""),
                "low": min(lows) if lows and len(lows) == len(here) else None,
                "high": max(highs) if highs and len(highs) == len(here) else None,
                "series": [one["points"] for one in here],
            }
        )
    return out
