"""Whether rows keep a constraint: one compiled statement per kind, checked for all rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import bound
from ehrsatz.errors import SchemaError, nearest
from ehrsatz.rules.cells import as_numbers, typed
from ehrsatz.schema import Column, Constraint, Table, dtype_of

_PARAMS: dict[str, frozenset[str]] = {
    "order": frozenset({"strict"}),
    "implication": frozenset({"when", "then"}),
    "combination": frozenset({"allowed"}),
    "dependency": frozenset({"map"}),
    "sum": frozenset({"weights", "constant", "decimals", "when"}),
    "unique": frozenset(),
    "missing_together": frozenset(),
    "cell": frozenset(),
}
_WORDS = ("missing", "present")


@dataclass(frozen=True)
class Statement:
    """A constraint of one table with its parameters checked and typed.

    Kind "cell" stands for what the schema says of single columns: bounds, listed values, not missing.
    """

    kind: str
    columns: tuple[Column, ...]
    strict: bool = False
    when: Any = None  # "missing", "present" or a list of typed levels; of a sum: None where it holds in every row
    then: Any = None
    allowed: tuple[tuple[Any, ...], ...] = ()
    map: Mapping[Any, Any] | None = None
    weights: tuple[float, ...] = ()
    constant: float = 0.0
    decimals: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def parts(self) -> tuple[Column, ...]:
        """Columns that the total of a sum is computed from."""
        return self.columns[1:] if self.when is None else self.columns[1:-1]

    def broken(self, frame: pl.DataFrame) -> tuple[int, NDArray[np.bool_]]:
        """Return how many rows the statement applies to, and a mask of shape (R,) of those that break it."""
        checked, mask = getattr(self, f"_{self.kind}")(frame)
        return int(checked), mask.to_numpy() if isinstance(mask, pl.Series) else mask

    def _order(self, frame: pl.DataFrame) -> tuple[Any, Any]:
        first, second = (as_numbers(frame[name]) for name in self.names)
        with np.errstate(invalid="ignore"):
            wrong = first >= second if self.strict else first > second
        return (~np.isnan(first) & ~np.isnan(second)).sum(), wrong

    def _implication(self, frame: pl.DataFrame) -> tuple[Any, Any]:
        when = self.applies(frame)
        return when.sum(), when & ~_meets(frame[self.names[1]], self.then, absent=True)

    def applies(self, frame: pl.DataFrame) -> NDArray[np.bool_]:
        """Return the rows where the `when` of an implication or a sum is met, shape (R,)."""
        if self.when is None:
            return np.ones(frame.height, dtype=bool)
        return _meets(frame[self.names[-1 if self.kind == "sum" else 0]], self.when, absent=False)

    def _combination(self, frame: pl.DataFrame) -> tuple[Any, Any]:
        known = self.allowed_frame().with_columns(pl.lit(True).alias("\0known"))
        joined = frame.select(self.names).join(
            known, on=list(self.names), how="left", nulls_equal=True, maintain_order="left"
        )
        return frame.height, joined["\0known"].is_null()

    def allowed_frame(self) -> pl.DataFrame:
        """Return the allowed combinations as a frame, one per row."""
        return pl.DataFrame(
            {
                column.name: pl.Series([row[i] for row in self.allowed], dtype=dtype_of(column.kind))
                for i, column in enumerate(self.columns)
            }
        ).unique(maintain_order=True)

    def _dependency(self, frame: pl.DataFrame) -> tuple[Any, Any]:
        known, wanted = self.mapped(frame[self.names[0]])
        return known.sum(), known & wanted.ne_missing(frame[self.names[1]])

    def mapped(self, cells: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Return which cells the map of a dependency knows, and the cell it asks for in the second column."""
        assert self.map is not None
        first, second = self.columns
        table = pl.DataFrame(
            {
                "key": pl.Series(list(self.map), dtype=dtype_of(first.kind)),
                "wanted": pl.Series(list(self.map.values()), dtype=dtype_of(second.kind)),
                "known": pl.Series([True] * len(self.map), dtype=pl.Boolean),
            }
        )
        found = cells.alias("key").to_frame().join(table, on="key", how="left", maintain_order="left")
        return found["known"].fill_null(False), found["wanted"]

    def _sum(self, frame: pl.DataFrame) -> tuple[Any, Any]:
        total, formula = as_numbers(frame[self.names[0]]), self.formula(frame)
        absent = np.isnan(total) != np.isnan(formula)
        with np.errstate(invalid="ignore"):
            wrong = np.abs(total - formula) > self.tolerance(total)
        when = self.applies(frame)
        return when.sum(), when & (absent | wrong)

    def formula(self, frame: pl.DataFrame) -> NDArray[np.float64]:
        """Return constant + weights . parts, shape (R,), NaN where a part is missing."""
        value = np.full(frame.height, self.constant)
        for weight, column in zip(self.weights, self.parts, strict=True):
            value = value + weight * as_numbers(frame[column.name])
        return value

    def tolerance(self, total: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far a total may lie from its formula: half of its last decimal, and float noise."""
        return 0.5 * 10.0**-self.decimals * (1 + 1e-6) + 1e-9 * np.nan_to_num(np.abs(total))

    def _unique(self, frame: pl.DataFrame) -> tuple[Any, Any]:
        present = frame.select(pl.all_horizontal(pl.col(name).is_not_null() for name in self.names)).to_series()
        repeats = ~frame.select(pl.struct(self.names).is_first_distinct()).to_series()
        return present.sum(), present & repeats

    def _missing_together(self, frame: pl.DataFrame) -> tuple[Any, Any]:
        absent = np.column_stack([frame[name].is_null().to_numpy() for name in self.names])
        return frame.height, absent.any(axis=1) & ~absent.all(axis=1)

    def _cell(self, frame: pl.DataFrame) -> tuple[Any, Any]:
        column, cells = self.columns[0], frame[self.names[0]]
        wrong = pl.repeat(False, frame.height, eager=True)
        if not column.nullable:
            wrong = wrong | cells.is_null()
        if column.is_numeric:
            low, high = bound(column, "minimum"), bound(column, "maximum")
            if low is not None:
                wrong = wrong | (cells < low).fill_null(False)
            if high is not None:
                wrong = wrong | (cells > high).fill_null(False)
        if column.values is not None and cells.dtype == pl.String:
            wrong = wrong | ~cells.is_in(list(column.values)).fill_null(True)
        return frame.height, wrong


def _meets(cells: pl.Series, wish: Any, *, absent: bool) -> NDArray[np.bool_]:
    if wish == "missing":
        return cells.is_null().to_numpy()
    if wish == "present":
        return cells.is_not_null().to_numpy()
    return cells.is_in(pl.Series(wish, dtype=cells.dtype).implode()).fill_null(absent).to_numpy()


def compile_table(table: Table) -> list[Statement]:
    """Return the constraints of a table, checked and typed, after the statements on its single columns."""
    cells = [
        Statement("cell", (column,))
        for column in table.columns
        if not column.nullable
        or (column.values is not None and column.kind in {"category", "code", "text", "id"})
        or (column.is_numeric and (column.minimum is not None or column.maximum is not None))
    ]
    return [*cells, *(compile_one(table, i) for i in range(len(table.constraints)))]


def compile_one(table: Table, index: int) -> Statement:
    """Return one constraint of a table, checked and typed.

    Raises
    ------
    SchemaError
        When its columns or parameters do not fit its kind.
    """
    one = table.constraints[index]
    where = f"tables.{table.name}.constraints[{index}]"
    columns = tuple(table[name] for name in one.columns)
    fixed = {"order": 2, "implication": 2, "dependency": 2}.get(one.kind)
    conditional = one.kind == "sum" and "when" in one.params
    least = 1 if one.kind == "unique" else 3 if conditional else 2
    if (fixed is not None and len(columns) != fixed) or len(columns) < least:
        raise _wrong(
            where,
            f"{fixed or f'at least {least}'} columns for a constraint '{one.kind}'{' with when' * conditional}",
            f"{len(columns)} are named",
        )
    if len(set(one.columns)) < len(columns):
        raise _wrong(where, "different columns", "a column is named twice")
    if unknown := sorted(set(one.params) - _PARAMS[one.kind]):
        hint = nearest(unknown[0], _PARAMS[one.kind])
        raise _wrong(
            where,
            f"only the params {', '.join(sorted(_PARAMS[one.kind])) or '(none)'}",
            f"'{unknown[0]}' is unknown{hint}",
        )
    numeric = {"order": columns, "sum": columns[:-1] if conditional else columns}.get(one.kind, ())
    if lost := [column.name for column in numeric if not column.is_numeric]:
        raise _wrong(
            where, "numbers or dates", f"{', '.join(lost)} {'is' if len(lost) == 1 else 'are'} of another kind"
        )
    try:
        return Statement(one.kind, columns, **_typed_params(one, columns))
    except (ValueError, TypeError, AttributeError):
        raise _wrong(where, f"params of a constraint '{one.kind}' that fit its columns", "they do not") from None


def _typed_params(one: Constraint, columns: Sequence[Column]) -> dict[str, Any]:
    params = one.params
    if one.kind == "order":
        return {"strict": bool(params.get("strict", False))}
    if one.kind == "implication":
        return {
            side: params[side] if params.get(side) in _WORDS else typed(_listed(params.get(side)), column)
            for side, column in zip(("when", "then"), columns)
        }
    if one.kind == "combination":
        rows = _listed(params.get("allowed"))
        if any(len(_listed(row)) != len(columns) for row in rows):
            raise ValueError
        turned = [typed([row[i] for row in rows], column) for i, column in enumerate(columns)]
        return {"allowed": tuple(zip(*turned))}
    if one.kind == "dependency":
        table = dict(params.get("map", {}).items())
        if not table:
            raise ValueError
        return {"map": dict(zip(typed(list(table), columns[0]), typed(list(table.values()), columns[1])))}
    if one.kind == "sum":
        when = params.get("when")
        n_parts = len(columns) - (1 if when is None else 2)
        weights = tuple(float(weight) for weight in params.get("weights", [1.0] * n_parts))
        if len(weights) != n_parts or not all(weights) or ("when" in params and when is None):
            raise ValueError
        decimals = params.get("decimals")
        default = 0 if columns[0].kind == "integer" else 6
        return {
            "weights": weights,
            "constant": float(params.get("constant", 0.0)),
            "decimals": default if decimals is None else int(decimals),
            "when": when if when is None or when in _WORDS else typed(_listed(when), columns[-1]),
        }
    return {}


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError
    return list(value)


def _wrong(where: str, expected: str, found: str) -> SchemaError:
    return SchemaError(
        f"Expected {expected} in '{where}'.",
        f"Found: {found}.",
        "Correct the schema file; put levels such as 'No' in quotes.",
    )
