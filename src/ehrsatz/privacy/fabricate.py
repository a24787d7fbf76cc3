"""What a withheld column looks like, and a fabricated one like it.

`Look.learn` reads of a column only its style (name, e-mail, phone, address, text, shape, date, number), its shape,
lengths and missing rate, each held by at least MIN_SUBJECTS subjects; `Look.make` fabricates cells from it.
Fabricated e-mail addresses end in domains reserved for examples, and North American phone numbers lie in the range
kept for fiction.

References
----------
RFC 2606, Reserved top level DNS names. North American Numbering Plan, line numbers 555-0100 to 555-0199.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import bound
from ehrsatz.privacy.names import FEMALE, MALE, SURNAMES
from ehrsatz.privacy.shapes import Shape, spell_unique
from ehrsatz.privacy.text import compose_address, compose_place, compose_text
from ehrsatz.schema import MIN_SUBJECTS, Column, dtype_of

_ENOUGH = 0.8  # share of cells that must look alike to give a column its style
WIDTH = 16  # draws per row, what the longest composition takes
_LAST = re.compile(r"last|family|surname|nachname|maiden", re.I)
_FIRST = re.compile(r"first|given|fore|middle|vorname|prefix_name", re.I)
_NAME = re.compile(r"name|patient$|contact|physician|doctor|provider|practitioner|nurse|mother|father|guardian", re.I)
_PLACE = re.compile(r"city|town|place|county|village|municip|suburb|wohnort|^ort$", re.I)
_PATTERNS = {
    "email": r"^[^@\s]+@[^@\s]+\.[A-Za-z]+$",
    "phone": r"^\+?[(]?\d[\d ()./+x-]{6,22}$",
    "address": r"^\d+[A-Za-z]? +[A-Za-z]",
    "words": r"^[\p{L}][\p{L} ,.'-]*$",
}
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Look:
    """Style and shape of one withheld column; no cell value.

    style: how cells are made. missing: share of missing cells. per_subject: one value per subject. distinct: number of
    different values, rounded to two digits; None where each is different. shapes: places of shapes and their shares.
    lengths: of free text, a few quantiles. low, high: rounded outward, of dates and numbers. levels: those the schema
    lists. gap: columns with the same number here are missing together, for whole subjects or by row.
    """

    style: str
    missing: float = 0.0
    per_subject: bool = False
    distinct: int | None = None
    shapes: tuple[tuple[tuple[str, ...], float], ...] = ()
    lengths: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 0.0
    decimals: int = 0
    levels: tuple[str, ...] = ()
    gap: int = 0
    gap_per_subject: bool = False
    case: str = "title"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Look:
        """Read what `to_dict` writes."""
        shapes = tuple((tuple(places), share) for places, share in data["shapes"])
        return cls(**{**data, "shapes": shapes, "lengths": tuple(data["lengths"]), "levels": tuple(data["levels"])})

    @classmethod
    def learn(cls, column: Column, cells: pl.Series, subjects: pl.Series, *, gap: int) -> Look:
        """Learn the look of a column.

        Parameters
        ----------
        column
            Its place in the schema.
        cells, subjects
            Its R cells, and whose row each is.
        gap
            Number of the pattern of missing cells that it shares with other columns.
        """
        frame = pl.DataFrame({"cell": cells, "subject": subjects})
        missing = round(cells.null_count() / max(1, len(cells)), 3) if column.nullable else 0.0
        present = frame.drop_nulls("cell")
        per_subject = _is_per_subject(frame)
        # One value per subject: what a talkative subject writes often counts once.
        once = present.unique(maintain_order=True)["cell"]
        n_different = once.n_unique()
        repeats = n_different < (present["subject"].n_unique() if per_subject else present.height)
        distinct = _round_up(n_different) if repeats and n_different else None
        common: dict[str, Any] = {"missing": missing, "per_subject": per_subject, "distinct": distinct, "gap": gap}
        common["gap_per_subject"] = _is_per_subject(frame.with_columns(pl.col("cell").is_null()))
        if column.values is not None and column.kind != "boolean":
            return cls("levels", **common, levels=column.values)
        if column.kind == "boolean":
            return cls("boolean", **common)
        if column.kind in {"date", "datetime", "number"}:
            low, high = _outward(column, once)
            return cls(column.kind, **common, low=low, high=high, decimals=_decimals(once))
        texts = once.cast(pl.String)
        if column.kind == "integer":
            return cls("integer", **common, shapes=_shapes(texts, digits=True))
        if column.kind == "text" and (n_different == 0 or float(texts.str.contains(r"\s\S+\s").mean() or 0) > 0.5):  # type: ignore[arg-type]
            return cls(_style(column, texts, "text"), **common, lengths=_lengths(texts))
        style = _style(column, texts, "text" if column.kind == "text" else "shape")
        lengths = _lengths(texts) if style == "text" else ()
        return cls(style, **common, shapes=_shapes(texts), lengths=lengths, case=_case(texts))

    def make(
        self,
        column: Column,
        numbers: NDArray[np.int64],
        draws: NDArray[np.float64],
        *,
        seed: int,
        names: tuple[str, ...],
    ) -> pl.Series:
        """Fabricate cells.

        Parameters
        ----------
        column
            Its place in the schema.
        numbers
            A different number for each row that must have its own value, shape (R,).
        draws
            Uniform numbers of the rows, shape (R, WIDTH).
        seed, names
            Key of the spelling.

        Returns
        -------
        Series of R cells of the column's kind, none missing.
        """
        if self.distinct is not None:
            numbers = (draws[:, 0] * self.distinct).astype(np.int64)
        if self.style in {"shape", "integer", "phone"}:
            made = self._spelled(numbers, draws, seed, names)
            if column.kind != "integer":
                return made
            whole = made.cast(pl.Int64)
            return whole.clip(bound(column, "minimum"), bound(column, "maximum"))
        if self.style == "levels":
            made = pl.Series("text", self.levels).gather((draws[:, 1] * len(self.levels)).astype(np.int64))
            return made.cast(dtype_of(column.kind), strict=False)
        if self.style == "boolean":
            return pl.Series("text", draws[:, 1] < 0.5)
        if self.style in {"number", "date", "datetime"}:
            return self._measured(column, draws[:, 1])
        if self.style == "email":
            person = _names("first", draws).str.to_lowercase() + "." + _names("last", draws).str.to_lowercase()
            made = person + pl.Series([str(number) for number in numbers.tolist()], dtype=pl.String) + "@example.org"
            return made.rename("text")
        if self.style == "address":
            return self._cased(compose_address(draws[:, 1:4]))
        if self.style == "place":
            return self._cased(compose_place(draws[:, 1:3]))
        if self.style == "text":
            steps = np.linspace(0, 1, len(self.lengths))
            return compose_text(np.interp(draws[:, 1], steps, self.lengths), draws[:, 2:])
        return self._cased(_names(self.style, draws))

    def _spelled(
        self, numbers: NDArray[np.int64], draws: NDArray[np.float64], seed: int, names: tuple[str, ...]
    ) -> pl.Series:
        shares = np.cumsum([share for _, share in self.shapes])
        which = np.minimum(np.searchsorted(shares / shares[-1], draws[:, 4], side="right"), len(shares) - 1)
        if self.distinct is None:
            which[:] = int(np.argmax([share for _, share in self.shapes]))  # one shape: different by construction
        out = pl.Series("text", [None] * len(numbers), dtype=pl.String)
        for i, (places, _) in enumerate(self.shapes):
            rows = np.flatnonzero(which == i)
            shape = Shape(_fictional(places) if self.style == "phone" else places)
            if len(rows):
                out = out.scatter(rows, spell_unique(shape, numbers[rows], seed, *names, i))
        return out

    def _measured(self, column: Column, draw: NDArray[np.float64]) -> pl.Series:
        values = self.low + draw * (self.high - self.low)
        if self.style == "number":
            made = pl.Series("text", np.round(values, self.decimals))
        elif self.style == "date":
            made = pl.Series("text", np.floor(values).astype(np.int32)).cast(pl.Date)
        else:
            made = pl.Series("text", np.floor(values).astype(np.int64) * _DAY_US).cast(pl.Datetime("us"))
        return made.clip(bound(column, "minimum"), bound(column, "maximum"))

    def _cased(self, made: pl.Series) -> pl.Series:
        if self.case == "title":
            return made
        return made.str.to_uppercase() if self.case == "upper" else made.str.to_lowercase()


def _names(style: str, draws: NDArray[np.float64]) -> pl.Series:
    # Frequent names are drawn more often: the square of a uniform number leans to the front of the lists.
    firsts = FEMALE + MALE
    half = (draws[:, 5] ** 2 * len(FEMALE)).astype(np.int64)
    first = pl.Series("text", firsts).gather(np.where(draws[:, 6] < 0.5, half, half + len(FEMALE)))
    last = pl.Series("text", SURNAMES).gather((draws[:, 7] ** 2 * len(SURNAMES)).astype(np.int64))
    if style == "first":
        return first
    if style == "last":
        return last
    return (last + ", " + first if style == "last_first" else first + " " + last).rename("text")


def _style(column: Column, texts: pl.Series, otherwise: str) -> str:
    def share(pattern: str) -> float:
        return float(texts.str.contains(pattern).mean() or 0.0)  # type: ignore[arg-type]

    if len(texts) == 0:
        return otherwise
    if re.search(r"e[-_]?mail", column.name, re.I) or share(_PATTERNS["email"]) >= _ENOUGH:
        return "email"
    if share(_PATTERNS["phone"]) >= _ENOUGH and (
        share(r"[ ()./+-]") >= _ENOUGH or re.search(r"phone|tel|fax|mobile|cell|handy", column.name, re.I)
    ):
        return "shape" if re.search(r"ssn|social|record|mrn|id$", column.name, re.I) else "phone"
    if share(_PATTERNS["address"]) >= _ENOUGH or re.search(r"address|street|strasse|anschrift", column.name, re.I):
        return "address"
    if share(_PATTERNS["words"]) >= _ENOUGH:
        if _PLACE.search(column.name):
            return "place"
        if _LAST.search(column.name):
            return "last"
        if _FIRST.search(column.name):
            return "first"
        if _NAME.search(column.name):
            if share(r"^[^,]+, ") >= 0.5:
                return "last_first"
            return "full" if share(r" ") >= 0.5 else "last"
    return otherwise


def _is_per_subject(frame: pl.DataFrame) -> bool:
    held = frame.group_by("subject").agg(pl.len().alias("n"), pl.col("cell").n_unique().alias("k"))
    several = held.filter(pl.col("n") > 1)
    if several.height == 0:
        return True
    return several.height >= MIN_SUBJECTS and float((several["k"] == 1).mean() or 0.0) >= 0.95  # type: ignore[arg-type]


def _shapes(texts: pl.Series, *, digits: bool = False) -> tuple[tuple[tuple[str, ...], float], ...]:
    found = Shape.mixture(texts, digits=digits)
    limit = 18 if digits else 64
    return tuple((shape.places[:limit], share) for shape, share in found)


def _lengths(texts: pl.Series) -> tuple[int, ...]:
    if len(texts) < 4 * MIN_SUBJECTS:
        return (40, 40)
    sizes = texts.str.len_chars()
    parts = [float(sizes.quantile(share) or 0.0) for share in (0.1, 0.25, 0.5, 0.75, 0.9)]
    return tuple(max(10, round(part, -1)) for part in map(int, parts))


def _outward(column: Column, cells: pl.Series) -> tuple[float, float]:
    if column.kind == "number":
        values, step = cells.sort().to_numpy().astype(float), 0.0
    else:
        values, step = cells.cast(pl.Date).sort().to_physical().to_numpy().astype(float), 3652.5
    if len(values) < 2 * MIN_SUBJECTS:
        return (0.0, 100.0) if column.kind == "number" else (0.0, 18262.0)
    low, high = float(values[MIN_SUBJECTS - 1]), float(values[-MIN_SUBJECTS])
    if not step:
        step = 10.0 ** np.floor(np.log10(max(high - low, 1e-9)))
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step)


def _decimals(cells: pl.Series) -> int:
    if cells.dtype != pl.Float64 or len(cells) == 0:
        return 0
    values = cells.to_numpy()
    return next((d for d in range(7) if np.allclose(values, np.round(values, d), rtol=0, atol=1e-9)), 6)


def _round_up(count: int) -> int:
    scale = 10 ** max(0, len(str(count)) - 2)
    return -(-count // scale) * scale


def _case(texts: pl.Series) -> str:
    letters = texts.filter(texts.str.contains("[A-Za-z]"))
    if len(letters) == 0:
        return "title"
    if float((letters == letters.str.to_uppercase()).mean() or 0) >= _ENOUGH:  # type: ignore[arg-type]
        return "upper"
    return "lower" if float((letters == letters.str.to_lowercase()).mean() or 0) >= _ENOUGH else "title"  # type: ignore[arg-type]


def _fictional(places: tuple[str, ...]) -> tuple[str, ...]:
    """Turn a North American number (ten digits, or eleven after +1) into the range 555-01xx."""
    digits = [i for i, place in enumerate(places) if place in {"1", "9"}]
    if len(digits) == 11 and places[0] == "'+":
        digits = digits[1:]
    if len(digits) != 10:
        return places
    out = list(places)
    out[digits[0]] = "2"
    for i, literal in zip(digits[3:8], "55501"):
        out[i] = "'" + literal
    return tuple(out)
