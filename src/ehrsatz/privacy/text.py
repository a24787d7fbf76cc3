"""Fabricated free text: neutral clinical sentences of a wanted length, without a word taken from the source.

The vocabulary below is written for this project; it says nothing about the other columns of the row, so that a note
never reveals more than its length.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray

_PHRASES = (
    "stable course",
    "no change",
    "seen today",
    "as planned",
    "routine visit",
    "plan reviewed",
    "see plan",
    "follow-up",
    "in clinic",
    "no concerns",
    "advice given",
    "well today",
)
_WHO = ("The patient", "The care team", "The ward team", "The attending clinician")
_WHAT = {
    "The patient": (
        "attended the scheduled visit",
        "describes a steady course since the last contact",
        "reports no new complaints",
        "takes the medication as agreed",
        "rested well overnight",
    ),
    "The care team": (
        "reviewed the current plan",
        "explained the next steps",
        "checked the chart for open questions",
        "confirmed the list of medicines",
    ),
    "The ward team": (
        "recorded the vital signs",
        "observed no sudden change",
        "prepared the handover",
        "arranged the usual follow-up",
    ),
    "The attending clinician": (
        "discussed the findings in plain words",
        "found the examination unremarkable",
        "saw no reason to change the treatment",
        "agreed on the further procedure",
    ),
}
_WHEN = ("", " during the morning round", " at the end of the day", " before the weekend", " in good time")
_TREES = """
Oak Maple Cedar Elm Pine Lake Hill River Meadow Spring Mill Garden Park Church Willow Birch Forest
"""
_STREETS = tuple(_TREES.split())
_WAYS = ("Street", "Avenue", "Road", "Lane", "Drive", "Way")
_PLACES = ("ton", "field", "ville", "brook", "dale", "ford", "wood")


@cache
def _bank(tier: int) -> tuple[tuple[str, ...], float]:
    """Pieces of one size and their mean length: 0 phrases, 1 sentences, 2 paragraphs of eight sentences."""
    if tier == 0:
        pieces: tuple[str, ...] = _PHRASES
    else:
        sentences = tuple(f"{who} {what}{when}." for who in _WHO for what, when in product(_WHAT[who], _WHEN))
        pieces = sentences
        if tier == 2:
            n = len(sentences)
            pieces = tuple(" ".join(sentences[(i * 7 + j * 29) % n] for j in range(8)) for i in range(n))
    return pieces, float(np.mean([len(piece) + 1 for piece in pieces]))


def compose_text(lengths: NDArray[np.float64], draws: NDArray[np.float64]) -> pl.Series:
    """Compose one text per wanted length.

    Parameters
    ----------
    lengths
        Wanted number of characters, shape (R,); texts come within about half a sentence of it.
    draws
        Uniform numbers in [0, 1), shape (R, W); pieces beyond the W-th repeat the draws in another order.

    Returns
    -------
    Series of R texts, none empty.
    """
    n, width = draws.shape
    left = lengths.astype(float).copy()
    blank = np.ones(n, dtype=bool)
    parts: list[pl.Series] = []
    for tier in (2, 1, 0):
        pieces, mean = _bank(tier)
        sizes = np.array([len(piece) + 1 for piece in pieces])
        while True:
            wanted = left >= mean * (0.9 if tier else 0.6)
            if tier == 0:
                wanted |= blank  # one piece at least, however short the text should be
            if not wanted.any():
                break
            step = len(parts)
            turn = np.mod(draws[:, step % width] + (step // width) * 0.6180339887, 1.0)
            choice = (turn * len(pieces)).astype(np.int64)
            column = pl.Series(str(step), pieces).gather(choice)
            parts.append(column.set(pl.Series(~wanted), None))
            left = np.where(wanted, left - sizes[choice], left)
            blank &= ~wanted
    if not parts:
        return pl.Series("text", [], dtype=pl.String)
    return pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True).alias("text"))["text"]


def compose_address(draws: NDArray[np.float64]) -> pl.Series:
    """Compose one house number and street per row of three draws, shape (R, 3)."""
    frame = pl.DataFrame(
        {
            "number": (draws[:, 0] * 980 + 10).astype(np.int64),
            "street": pl.Series(_STREETS).gather((draws[:, 1] * len(_STREETS)).astype(np.int64)),
            "way": pl.Series(_WAYS).gather((draws[:, 2] * len(_WAYS)).astype(np.int64)),
        }
    )
    return frame.select(pl.concat_str("number", "street", "way", separator=" ").alias("text"))["text"]


def compose_place(draws: NDArray[np.float64]) -> pl.Series:
    """Compose one name of a town per row of two draws, shape (R, 2)."""
    frame = pl.DataFrame(
        {
            "head": pl.Series(_STREETS).gather((draws[:, 0] * len(_STREETS)).astype(np.int64)),
            "tail": pl.Series(_PLACES).gather((draws[:, 1] * len(_PLACES)).astype(np.int64)),
        }
    )
    return frame.select(pl.concat_str("head", "tail").alias("text"))["text"]
