"""What experts' answers say: can they tell, do they agree, what did they remark; and the score that the gate judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.intervals import share_interval, wilson
from ehrsatz.gate import REVIEW
from ehrsatz.review.agreement import clustered_equivalence, cohen_kappa, difference, equivalence, fleiss_kappa
from ehrsatz.review.answers import Answer, Key
from ehrsatz.review.sheet import PER_ARM
from ehrsatz.seeds import stream

MARGIN = 0.1
Sheets = Sequence[Mapping[str, Answer]]
ABOUT: dict[str, Any] = {  # what an evaluation's details say of the metric
    "title": "Expert review",
    "family": "review",
    "theme": "Whole rows",
    "what": "share of synthetic records that people who know patients accept, on a blinded sheet",
    "blind": "says nothing of privacy; a few records say nothing of rare ones",
    "source": "docs/review.md",
    "goal": "maximise",
    "low": 0.0,
    "high": 1.0,
    "ideal": 1.0,
}


@dataclass(frozen=True)
class Arm:
    """How often records of one kind were accepted.

    Parameters
    ----------
    share, interval
        With the 95 % interval by record.
    answers, records
        How many of each it rests on.
    """

    share: float
    interval: tuple[float, float]
    answers: int
    records: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "accepted": self.share,
            "interval": list(self.interval),
            "answers": self.answers,
            "records": self.records,
        }


@dataclass(frozen=True)
class Outcome:
    """What the answers say. `told` is everything for the house, `score` what leaves with the other scores."""

    told: Mapping[str, Any]
    score: Score


def outcome(key: Key, sheets: Sheets, *, margin: float = MARGIN) -> Outcome:
    """Hold the answers against the key.

    Parameters
    ----------
    key
        What each record is.
    sheets
        The answers of each rater.
    margin
        How far from a coin's 50 % still counts as "cannot tell", in (0, 0.5).
    """
    arms = {kind: _arm(key, sheets, kind) for kind in ("synthetic", "real", "planted")}
    told: dict[str, Any] = {
        "sheet": key.sheet,
        "mode": key.mode,
        "raters": [_rater(key, answers, number, margin) for number, answers in enumerate(sheets, 1)],
        "accepted": {kind: arm.to_dict() for kind, arm in arms.items() if arm is not None},
        "tell": _tell(key, sheets, margin),
        "agreement": _agreement(key, sheets),
        "errors_found": _errors_found(key, sheets),
        "remarks": [
            {"rater": number, "record": record, "is": key.records[record]["is"], "remark": one.remark}
            for number, answers in enumerate(sheets, 1)
            for record, one in answers.items()
            if one.remark
        ],
        "notes": _notes(key, arms),
    }
    return Outcome(told, _score(key, arms, told))


def _accepts(key: Key, answer: Answer) -> bool:
    return answer.answer == key.answers[0]


def _arm(key: Key, sheets: Sheets, kind: str) -> Arm | None:
    """How often records of a kind were taken for sound."""
    names = [record for record, about in key.records.items() if about["is"] == kind]
    place = {record: number for number, record in enumerate(names)}
    rows = [(place[r], _accepts(key, one)) for answers in sheets for r, one in answers.items() if r in place]
    if not rows:
        return None
    group = np.array([number for number, _ in rows], np.int64)
    hit = np.array([float(accepted) for _, accepted in rows])
    share, interval = _share(hit, group, kind)
    return Arm(share, interval, len(rows), len(np.unique(group)))


def _share(hit: NDArray[np.float64], group: NDArray[np.int64], name: str) -> tuple[float, tuple[float, float]]:
    """A share with its 95 % interval: Wilson's for one rater, by record for several."""
    return float(hit.mean()), share_interval(hit, group, stream(0, "review", name))


def _compared(key: Key) -> tuple[str, str]:
    """What is to be told apart: the kind that should be refused, and the one that should be accepted."""
    return ("planted", "synthetic") if key.mode == "planted" else ("synthetic", "real")


def _right(key: Key, answers: Mapping[str, Answer]) -> list[tuple[str, str, bool]]:
    """Record, kind, and whether the answer is right, for the records that are to be told apart."""
    refused, accepted = _compared(key)
    out = []
    for record, one in answers.items():
        kind = str(key.records[record]["is"])
        if kind in {refused, accepted}:
            out.append((record, kind, _accepts(key, one) == (kind == accepted)))
    return out


def _rater(key: Key, answers: Mapping[str, Answer], number: int, margin: float) -> dict[str, Any]:
    rows = _right(key, answers)
    refused, accepted = _compared(key)
    hits, n = sum(right for _, _, right in rows), len(rows)
    told: dict[str, Any] = {"rater": number, "answered": len(answers), "of": len(key.records)}
    if n:
        told |= {"accuracy": hits / n, "interval": list(wilson(hits, n)), "n": n}
        if key.mode == "real":
            told |= {"equivalence_p": equivalence(hits, n, margin)}
    for name, kind in (("sensitivity", refused), ("specificity", accepted)):
        own = [right for _, what, right in rows if what == kind]
        if own:
            told[name] = {"share": sum(own) / len(own), "interval": list(wilson(sum(own), len(own))), "n": len(own)}
    sure = [one.confidence for one in answers.values() if one.confidence is not None]
    if sure:
        told["mean_confidence"] = sum(sure) / len(sure)
    return told


def _tell(key: Key, sheets: Sheets, margin: float) -> dict[str, Any] | None:
    """Can they tell? Over all raters, with the interval by record."""
    rows = [one for answers in sheets for one in _right(key, answers)]
    refused, accepted = _compared(key)
    if not rows:
        return None
    place = {record: number for number, record in enumerate(key.records)}
    group = np.array([place[record] for record, _, _ in rows], np.int64)
    right = np.array([float(hit) for _, _, hit in rows])
    accuracy, interval = _share(right, group, "tell")
    told: dict[str, Any] = {
        "apart": [refused, accepted],
        "accuracy": accuracy,
        "interval": list(interval),
        "answers": len(rows),
        "guessing": 0.5,
    }
    for name, kind in (("sensitivity", refused), ("specificity", accepted)):
        own = [(g, hit) for g, (_, what, hit) in zip(group, rows) if what == kind]
        if own:
            share, ends = _share(np.array([float(h) for _, h in own]), np.array([g for g, _ in own], np.int64), name)
            told[name] = {"share": share, "interval": list(ends), "answers": len(own)}
    if key.mode == "real":
        p = (
            equivalence(int(right.sum()), len(right), margin)
            if len(sheets) == 1
            else clustered_equivalence(right, group, margin)
        )
        told |= {"margin": margin, "equivalence_p": p, "equivalent": p is not None and p < 0.05}
    return told


def _agreement(key: Key, sheets: Sheets) -> dict[str, Any] | None:
    """Cohen's kappa of two raters, Fleiss' of more, on the records that all of them answered."""
    if len(sheets) < 2:
        return None
    common = [record for record in key.records if all(record in answers for answers in sheets)]
    marks = [[int(_accepts(key, answers[record])) for record in common] for answers in sheets]
    kind = "Cohen's kappa" if len(sheets) == 2 else "Fleiss' kappa"
    found = None
    if common:
        accepted = np.array(marks).sum(0)  # (raters, N) -> (N,)
        counts = np.column_stack([len(sheets) - accepted, accepted]).astype(np.int64)
        found = cohen_kappa(marks[0], marks[1]) if len(sheets) == 2 else fleiss_kappa(counts)
    if found is None:
        reason = "all gave one and the same answer throughout" if common else "no record was answered by all"
        return {"measure": kind, "value": None, "interval": None, "records": len(common), "reason": reason}
    return {"measure": kind, "value": found[0], "interval": list(found[1]), "records": len(common)}


def _errors_found(key: Key, sheets: Sheets) -> list[dict[str, Any]]:
    """How often each kind of planted error was refused."""
    tally: dict[str, list[bool]] = {}
    for answers in sheets:
        for record, one in answers.items():
            about = key.records[record]
            if about["is"] == "planted":
                tally.setdefault(str(about.get("error", "")), []).append(not _accepts(key, one))
    return [
        {"error": kind, "found": sum(hits), "of": len(hits), "interval": list(wilson(sum(hits), len(hits)))}
        for kind, hits in sorted(tally.items())
    ]


def _notes(key: Key, arms: Mapping[str, Arm | None]) -> list[str]:
    notes = []
    kinds = ("synthetic", "real") if key.mode == "real" else ("synthetic",)
    few = {kind: arm.records for kind in kinds if (arm := arms[kind]) is not None and arm.records < PER_ARM}
    if few:
        counts = ", ".join(f"{n} {kind}" for kind, n in few.items())
        notes.append(f"Fewer than {PER_ARM} records of a kind ({counts}): the intervals are wide.")
    if arms["planted"] is None:
        notes.append("No errors were planted: nobody can say whether the experts would have seen one.")
    return notes


def _score(key: Key, arms: Mapping[str, Arm | None], told: Mapping[str, Any]) -> Score:
    """The share of unaltered synthetic records that were accepted, if the experts saw the planted errors."""
    made, real, planted = arms["synthetic"], arms["real"], arms["planted"]
    raters = len(told["raters"])
    params = {"mode": key.mode, "raters": raters, "records": len(key.records)}
    if made is None:
        return Score(REVIEW, None, status="failed", params=params, meaning="No synthetic record was answered.")
    sound = real or made  # records without an error that we planted
    if planted is not None:
        low = difference(sound.share, sound.interval, planted.share, planted.interval)[0]
        if low <= 0:
            reason = (
                f"The experts accepted {_percent(planted.share)} of the records with a planted error and "
                f"{_percent(sound.share)} of those without: too near to each other to say that they would see one."
            )
            return Score(REVIEW, None, status="failed", params=params, meaning=reason)
    word = "took for real" if key.mode == "real" else "found plausible"
    who = "One expert" if raters == 1 else f"{raters} experts"
    meaning = f"{who} {word} {_percent(made.share)} of {made.records} synthetic records"
    meaning += f", and {_percent(real.share)} of {real.records} real ones" if real else ""
    meaning += f", and {_percent(planted.share)} of {planted.records} with a planted error" if planted else ""
    details: dict[str, Any] = {
        key_: told[key_] for key_ in ("mode", "raters", "accepted", "tell", "agreement", "errors_found", "notes")
    }
    if real is not None:
        details["excess_interval"] = list(difference(made.share, made.interval, real.share, real.interval))
    return Score(
        REVIEW,
        made.share,
        made.interval,
        reference=None if real is None else real.share,
        n=made.records,
        params=params,
        meaning=f"{meaning}.",
        details=details,
        baseline=None if planted is None else planted.share,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def merged(scores: Mapping[str, Any] | None, score: Score) -> dict[str, Any]:
    """Return the plain data of a file of scores with the experts' score in it, in place of an older one.

    Parameters
    ----------
    scores
        What `ehrsatz evaluate --out` wrote; None for a file of this score alone.
    score
        Of the review.
    """
    data = dict(scores or {"format": 1, "details": {}, "scores": []})
    details = dict(data.get("details", {}))
    details["metrics"] = {**details.get("metrics", {}), REVIEW: ABOUT}
    kept = [one for one in data["scores"] if one["metric"] != REVIEW]
    return {**data, "details": details, "scores": [*kept, score.to_dict()]}
