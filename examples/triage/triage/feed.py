"""Keep the list of who is in the house from an HL7 v2 feed."""

from __future__ import annotations

from collections.abc import Iterable


def census(messages: Iterable[str]) -> set[str]:
    """Return the record numbers of those admitted and not yet discharged, after all messages."""
    inside: set[str] = set()
    for message in messages:
        segments = {line[:3]: line.split("|") for line in reversed(message.strip("\r\n").split("\r"))}
        event = segments["MSH"][8].split("^")[1]
        if event not in {"A01", "A03"}:
            continue
        patient = segments["PID"][3].split("~")[0].split("^")[0]
        if event == "A01":
            inside.add(patient)
        else:
            inside.discard(patient)
    return inside
