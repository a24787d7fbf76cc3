"""Make combinations of columns unique again, where generated rows repeat one.

Combinations with a subject or link column are unique within the subject, so shards agree. Others can only be made
unique within one call: shards drawn apart may repeat a combination of each other. Keys are never repaired here: they
are numbered.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.rules.cells import Fill, as_numbers, from_numbers, put, step_of
from ehrsatz.rules.holds import Statement
from ehrsatz.rules.repair import Draw, Workshop

_ROUNDS = 60


def make_unique(frame: pl.DataFrame, shop: Workshop, keys: set[str], draw: Draw) -> pl.DataFrame:
    """Change repeated combinations: a number or date to the next free one, a level to another, and repair again.

    Parameters
    ----------
    frame
        Rows that keep all other constraints.
    shop
        Statements of the table and what repairs draw from.
    keys
        Columns that are numbered anyway: unique combinations with them are left alone.
    draw
        Uniform numbers of rows.

    Raises
    ------
    InfeasibleError
        When there are fewer combinations than rows.
    """
    unique = [(i, one) for i, one in enumerate(shop.statements) if one.kind == "unique" and not set(one.names) & keys]
    for turn in range(_ROUNDS):
        wrong = np.zeros(frame.height, dtype=bool)
        for i, one in unique:
            _, repeated = one.broken(frame)
            if repeated.any():
                frame = _shift(frame, shop, one, repeated, draw(1000 + turn, i, np.flatnonzero(repeated)), turn)
                wrong |= repeated
        if not wrong.any():
            return frame
        frame, left = shop.settle(frame, draw)
        if len(left):
            raise shop.refuse(frame, left)
    rows = np.flatnonzero(np.any([one.broken(frame)[1] for _, one in unique], axis=0))
    raise shop.refuse(frame, rows)


def _shift(
    frame: pl.DataFrame,
    shop: Workshop,
    one: Statement,
    repeated: NDArray[np.bool_],
    draws: NDArray[np.float64],
    turn: int,
) -> pl.DataFrame:
    free = [column for column in one.columns if column.name not in shop.fixed]
    if not free:
        return frame
    numeric = [column for column in free if column.is_numeric]
    column = numeric[0] if numeric else free[turn % len(free)]
    fill = shop.fills.get(column.name, Fill())
    if not numeric:
        return frame.with_columns(put(frame[column.name], repeated, fill.draw(column, draws[:, 0])))
    # Repeats of one combination move by 1, 2, 3 ... steps; later rounds move further, and back from the upper bound.
    rank = frame.select(pl.int_range(pl.len()).over(one.names)).to_series().to_numpy()[repeated]
    step = step_of(column, fill.decimals) * np.where((turn // 4) % 2 == 0, 1.0, -1.0)
    old = as_numbers(frame[column.name].filter(pl.Series(repeated)))
    far = np.floor(draws[:, 0] * 2.0 ** (turn // 2)) if turn > 1 else 0.0
    return frame.with_columns(
        put(frame[column.name], repeated, from_numbers(old + step * (rank + far), column, fill.decimals))
    )
