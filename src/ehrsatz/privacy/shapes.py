"""The shape of a column of ids: which class of character stands where, and nothing else.

A shape is learned from the class of each character ("AAA-999999"); a sign or letter is kept as such only where all
values of the shape, held by at least MIN_SUBJECTS subjects, have it. A number is spelled in a shape one to one; when
a shape has fewer spellings than there are numbers, the next numbers get one digit more.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ehrsatz.privacy.base import permute
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import addressed

CLASSES: dict[str, str] = {
    "1": "123456789",
    "9": string.digits,
    "2": "23456789",
    "h": string.digits + "abcdef",
    "H": string.digits + "ABCDEF",
    "a": string.ascii_lowercase,
    "A": string.ascii_uppercase,
    "x": string.digits + string.ascii_lowercase,
    "X": string.digits + string.ascii_uppercase,
    "b": string.ascii_letters,
    "z": string.digits + string.ascii_letters,
}
_LIMIT = 2**60  # numbers beyond 60 bits are not told apart; characters to the left of that are drawn
_MAX_LENGTH = 64
_HEXADECIMAL = {"h", "H"}  # below 50 values, no letter past f proves nothing
_GENERIC = {"text": ("A", *"99999999"), "digits": ("1", *"9999999")}


@dataclass(frozen=True)
class Shape:
    """A sequence of places: a key of `CLASSES`, or ``'`` and a literal character."""

    places: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many spellings the shape has, at most 2**60."""
        size = 1
        for place in self.places:
            size = min(_LIMIT, size * (1 if place[0] == "'" else len(CLASSES[place])))
        return size

    def wider(self) -> Shape:
        """Return the shape with one digit more, after its last place that is no literal."""
        after = max((i + 1 for i, place in enumerate(self.places) if place[0] != "'"), default=len(self.places))
        return Shape((*self.places[:after], "9", *self.places[after:]))

    def spell(self, numbers: NDArray[np.uint64], seed: int, *names: str | int) -> pl.Series:
        """Spell numbers as texts of this shape, one to one below `size`.

        Parameters
        ----------
        numbers
            Shape (R,), each below `size`.
        seed, names
            Key of the characters to the left of what 60 bits decide, in long shapes.

        Returns
        -------
        Series of R texts.
        """
        cells = np.empty((len(numbers), len(self.places)), dtype=np.uint8)
        rest = numbers.astype(np.uint64).copy()
        used = 1
        drawn: NDArray[np.float64] | None = None
        for i in range(len(self.places) - 1, -1, -1):
            place = self.places[i]
            if place[0] == "'":
                cells[:, i] = ord(place[1])
                continue
            letters = np.frombuffer(CLASSES[place].encode(), dtype=np.uint8)
            if used * len(letters) <= _LIMIT:
                cells[:, i] = letters[(rest % np.uint64(len(letters))).astype(np.int64)]
                rest //= np.uint64(len(letters))
                used *= len(letters)
                continue
            if drawn is None:
                drawn = addressed(seed, *names, "left", subjects=numbers.astype(np.int64), width=len(self.places))
            cells[:, i] = letters[(drawn[:, i] * len(letters)).astype(np.int64)]
        return _texts(cells)

    @classmethod
    def generic(cls, length: int, *, digits: bool = False) -> Shape:
        """Return a letter and digits, or digits alone, of about this length."""
        head, *tail = _GENERIC["digits" if digits else "text"]
        return cls((head, *(tail[0] for _ in range(min(_MAX_LENGTH, max(4, length)) - 1))))

    @classmethod
    def learn(cls, values: pl.Series, *, digits: bool = False) -> Shape:
        """Learn the most frequent shape of a column's distinct values, one per subject.

        Parameters
        ----------
        values
            Texts without nulls; one value stands for one subject.
        digits
            Whether the texts are whole numbers: then no leading zero is spelled.
        """
        shapes = cls.mixture(values, digits=digits)
        return max(shapes, key=lambda pair: pair[1])[0]

    @classmethod
    def mixture(cls, values: pl.Series, *, digits: bool = False, most: int = 6) -> list[tuple[Shape, float]]:
        """Learn the most frequent shapes and their shares; see `learn`.

        Returns
        -------
        Pairs (shape, share), the shares rounded to 0.01 and above 0; a generic shape where none is held by
        MIN_SUBJECTS subjects.
        """
        plain = _ascii(values)
        if len(plain) == 0:
            return [(cls.generic(8, digits=digits), 1.0)]
        by_signs = (
            plain.to_frame("text")
            .with_columns(pl.col("text").str.replace_all("[A-Za-z0-9]", "w").alias("signs"))
            .filter(pl.col("text").str.len_chars().is_between(1, _MAX_LENGTH))
            .group_by("signs")
            .agg("text")
            .with_columns(pl.col("text").list.len().alias("n"))
            .filter(pl.col("n") >= MIN_SUBJECTS)
            .sort("n", "signs", descending=[True, False])
            .head(most)
        )
        if by_signs.height == 0:
            length = round(float(plain.str.len_chars().mean() or 8))  # type: ignore[arg-type]
            return [(cls.generic(length, digits=digits), 1.0)]
        total = by_signs["n"].sum()
        shapes = [
            (cls(_places(pl.Series("text", texts), digits)), max(0.01, round(n / total, 2)))
            for texts, n in by_signs.select("text", "n").iter_rows()
        ]
        return shapes


def spell_unique(shape: Shape, numbers: NDArray[np.int64], seed: int, *names: str | int) -> pl.Series:
    """Spell numbers as distinct texts, in a keyed order; numbers beyond the shape's size get one digit more.

    The text of a number depends on the key and on the number alone, so any shard spells it alike.

    Returns
    -------
    Series of R texts; equal numbers give equal texts, different numbers different ones.
    """
    out = pl.Series("text", [None] * len(numbers), dtype=pl.String)
    start, tier = 0, 0
    while len(numbers) and start <= int(numbers.max()):
        size = shape.size
        here = np.flatnonzero((numbers >= start) & (numbers < start + size))
        if len(here):
            inner = permute((numbers[here] - start).astype(np.uint64), size, seed, *names, tier)
            out = out.scatter(here, shape.spell(inner, seed, *names, tier))
        start, tier, shape = start + size, tier + 1, shape.wider()
    return out


def _places(texts: pl.Series, digits: bool) -> tuple[str, ...]:
    places = []
    for i in range(int(texts.str.len_chars().max())):  # type: ignore[arg-type]
        seen = set(texts.str.slice(i, 1).unique().to_list())
        if len(seen) == 1 and not next(iter(seen)).isdigit():
            places.append("'" + seen.pop())
            continue
        fitting = [name for name, letters in CLASSES.items() if seen <= set(letters)]
        choice = next(name for name in fitting if name not in _HEXADECIMAL or len(texts) >= 50)
        places.append("9" if choice == "1" and i > 0 else choice)
    if digits and places[0] == "9":
        places[0] = "1"
    return tuple(places)


def _ascii(values: pl.Series) -> pl.Series:
    cells = values.str.strip_chars()
    if cells.str.contains(r"[^\x20-\x7E]").any():
        cells = cells.str.replace_all(r"\p{Lu}", "Q").str.replace_all(r"\p{Ll}", "q")
        cells = cells.str.replace_all(r"[^\x20-\x7E]", "-")
    return cells


def _texts(cells: NDArray[np.uint8]) -> pl.Series:
    n, length = cells.shape
    offsets = np.arange(n + 1, dtype=np.int64) * length
    array = pa.LargeStringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(cells)))
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series.rename("text")
