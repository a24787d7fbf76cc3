"""Repair rows that break a constraint: few cells, row by row the same in any shard, and with an end.

Each round goes through the statements and changes, in the rows that break one, the cell that the statement is about:
first the natural one (the derived total, the consequence), then the other, then either by the row's own draws, as in
a random walk for satisfiability. Rows that still break a statement after the last round take a whole combination
known to be free of contradictions (an anchor). Rows that even this does not help are an error, never left as they are.

References
----------
Selman, Kautz, Cohen, Noise strategies for improving local search, AAAI 1994 (the walk).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.errors import InfeasibleError
from ehrsatz.rules.cells import Fill, as_numbers, from_numbers, put, step_of
from ehrsatz.rules.holds import Statement

_ROUNDS = 32
_NATURAL, _OTHER, _CLAMP = 0, 1, 2  # rounds with a fixed way; later rounds draw it
_BLOCK = 4096
_TIED = 0.05
Draw = Callable[[int, int, NDArray[np.int64]], NDArray[np.float64]]  # (round, statement, rows) -> (rows, 2)


@dataclass(frozen=True)
class Workshop:
    """What repairing a table needs: its statements, rough distributions to draw from, cells that must not change."""

    table: str
    statements: Sequence[Statement]
    fills: Mapping[str, Fill]
    given: Mapping[int, Fill]  # statement -> distribution of its second column where its condition holds
    anchors: pl.DataFrame
    fixed: frozenset[str]
    asked: bool = False  # whether fixed columns are conditions that somebody asked for

    def settle(
        self, frame: pl.DataFrame, draw: Draw, *, enough: int | None = None
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """Repair rows until every statement on single rows holds, or the ways are used up.

        Parameters
        ----------
        frame, draw
            Rows, and the uniform numbers that belong to them.
        enough
            Stop as soon as so many rows hold; None means all.

        Returns
        -------
        The frame, and the positions of the rows that still break a statement.
        """
        active = np.flatnonzero(self.wrong(frame))
        if not len(active):
            return frame, active
        sub = frame[active]
        done: list[tuple[NDArray[np.int64], pl.DataFrame]] = []
        for turn in range(_ROUNDS):
            for i, statement in enumerate(self.statements):
                if statement.kind == "unique":
                    continue
                _, wrong = statement.broken(sub)
                if wrong.any():
                    sub = self._fix(sub, i, wrong, turn, draw(turn, i, active[wrong]))
            still = self.wrong(sub)
            done.append((active[~still], sub.filter(pl.Series(~still))))
            active, sub = active[still], sub.filter(pl.Series(still))
            if not len(active) or (enough is not None and frame.height - len(active) >= enough):
                break
        if len(active) and self.anchors.height:
            sub, helped = self._anchor(sub, draw(_ROUNDS, 0, active)[:, 0])
            done.append((active[helped], sub.filter(pl.Series(helped))))
            active, sub = active[~helped], sub.filter(pl.Series(~helped))
        done.append((active, sub))
        touched = np.concatenate([rows for rows, _ in done])
        changed = pl.concat([part for _, part in done])
        mask = np.zeros(frame.height, dtype=bool)
        mask[touched] = True
        changed = changed[np.argsort(touched, kind="stable")]
        return frame.with_columns(put(frame[name], mask, changed[name]) for name in frame.columns), active

    def refuse(self, frame: pl.DataFrame, rows: NDArray[np.int64]) -> InfeasibleError:
        """Return the error that names the statements which rows still break."""
        counts = [(one, int(one.broken(frame)[1][rows].sum())) for one in self.statements]
        return InfeasibleError(
            f"Expected rows of table '{self.table}' that keep every constraint of the schema.",
            f"{len(rows):,} rows cannot, with the conditions asked for."
            if self.fixed
            else f"{len(rows):,} rows cannot.",
            f"Relax {'the conditions, or ' if self.asked else ''}one of these constraints.",
            problems=[f"{one.kind} ({', '.join(one.names)}): {n:,} rows" for one, n in counts if n],
        )

    def wrong(self, frame: pl.DataFrame) -> NDArray[np.bool_]:
        """Return the rows that break a statement on single rows, shape (R,)."""
        wrong = np.zeros(frame.height, dtype=bool)
        for statement in self.statements:
            if statement.kind != "unique":
                wrong |= statement.broken(frame)[1]
        return wrong

    def _fix(
        self, frame: pl.DataFrame, i: int, wrong: NDArray[np.bool_], turn: int, draws: NDArray[np.float64]
    ) -> pl.DataFrame:
        statement = self.statements[i]
        if turn > _CLAMP:
            flip = draws[:, 1] < 0.5
        else:
            flip = np.full(len(draws), turn == _OTHER)
        sub = frame.filter(pl.Series(wrong))
        changes = getattr(self, f"_fix_{statement.kind}")(sub, i, statement, flip, draws[:, 0], turn)
        return frame.with_columns(
            put(frame[name], wrong, cells) for name, cells in changes.items() if name not in self.fixed
        )

    def _anchor(self, sub: pl.DataFrame, draw: NDArray[np.float64]) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
        """Give rows an anchor's combination; return which rows are helped by one."""
        helped = np.zeros(sub.height, dtype=bool)
        names = [name for name in self.anchors.columns if name not in self.fixed]
        k = self.anchors.height
        start = (draw * k).astype(np.int64)
        for turn in range(k):
            left = sub.filter(pl.Series(~helped))
            trial = left.with_columns(self.anchors[((start[~helped] + turn) % k).tolist()].select(names))
            good = ~self.wrong(trial)
            rows = np.flatnonzero(~helped)[good]
            mask = np.zeros(sub.height, dtype=bool)
            mask[rows] = True
            sub = sub.with_columns(put(sub[name], mask, trial.filter(pl.Series(good))[name]) for name in names)
            helped |= mask
            if helped.all():
                break
        return sub, helped

    # ------------------------------------------------------------------ one way to fix each kind
    # Each takes the rows that break the statement and returns new cells for all of them, column by column.
    def _fix_cell(
        self, sub: pl.DataFrame, i: int, one: Statement, flip: NDArray[np.bool_], draw: NDArray[np.float64], turn: int
    ) -> dict[str, pl.Series]:
        column, cells = one.columns[0], sub[one.names[0]]
        fill = self.fills.get(column.name, Fill())
        if column.is_numeric:
            cells = from_numbers(as_numbers(cells), column)
        elif column.values is not None:
            lost = (~cells.is_in(list(column.values))).fill_null(False).to_numpy()
            cells = put(cells, lost, fill.draw(column, draw, column.values).filter(pl.Series(lost)))
        if not column.nullable and cells.null_count():
            absent = cells.is_null().to_numpy()
            cells = put(cells, absent, fill.draw(column, draw).filter(pl.Series(absent)))
        return {column.name: cells}

    def _fix_order(
        self, sub: pl.DataFrame, i: int, one: Statement, flip: NDArray[np.bool_], draw: NDArray[np.float64], turn: int
    ) -> dict[str, pl.Series]:
        low, high = one.columns
        a, b = as_numbers(sub[low.name]), as_numbers(sub[high.name])
        decimals = [self.fills.get(column.name, Fill()).decimals for column in one.columns]
        free = not {low.name, high.name} & self.fixed
        ties = self.given.get(i, Fill()).weights
        if turn == _NATURAL and free and low.kind == high.kind and not (ties and ties[0] >= _TIED):
            swap = a > b  # where columns are often equal, a wrong order is a missed tie: the clamp below makes it one
            a, b = np.where(swap, b, a), np.where(swap, a, b)
        gap = max(step_of(low, decimals[0]), step_of(high, decimals[1])) if one.strict else 0.0
        flip = flip if free else np.full(len(flip), high.name in self.fixed)
        if turn == _NATURAL and free and self._ties_to(low.name) < self._ties_to(high.name):
            flip = ~flip  # move the column that fewer others follow
        short = a + gap > b
        b = np.where(short & ~flip, a + gap, b)
        a = np.where(short & flip, b - gap, a)
        first, second = from_numbers(a, low), from_numbers(b, high)  # within bounds: the other may have to follow
        a, b = as_numbers(first), as_numbers(second)
        a = np.where((a + gap > b) & ~flip, b - gap, a)
        b = np.where((a + gap > b) & flip, a + gap, b)
        return {low.name: from_numbers(a, low), high.name: from_numbers(b, high)}

    def _ties_to(self, name: str) -> int:
        return sum(name in one.names for one in self.statements if one.kind in {"order", "sum"})

    def _fix_implication(
        self, sub: pl.DataFrame, i: int, one: Statement, flip: NDArray[np.bool_], draw: NDArray[np.float64], turn: int
    ) -> dict[str, pl.Series]:
        first, second = one.columns
        flip = self._turned(
            flip,
            first.name in self.fixed or (one.when == "present" and not first.nullable),
            second.name in self.fixed or (one.then == "missing" and not second.nullable),
        )
        a, b = sub[first.name], sub[second.name]
        b = put(b, ~flip, self._drawn(second, one.then, self.given.get(i), draw, False).filter(pl.Series(~flip)))
        a = put(a, flip, self._drawn(first, one.when, None, draw, True).filter(pl.Series(flip)))
        return {first.name: a, second.name: b}

    def _drawn(self, column: Any, wish: Any, given: Fill | None, draw: NDArray[np.float64], outside: bool) -> pl.Series:
        """Draw cells that meet a wish of an implication, or that lie outside it."""
        fill = self.fills.get(column.name, Fill())
        nothing = pl.Series(column.name, [None] * len(draw), dtype=pl.Null)
        if wish == ("present" if outside else "missing"):
            return nothing
        if isinstance(wish, str):
            return (given or fill).draw(column, draw)
        if not outside:
            return (given or fill).draw(column, draw, wish)
        known = fill.levels or column.values or ((True, False) if column.kind == "boolean" else ())
        others = [level for level in known if level not in wish]
        if others:
            return fill.draw(column, draw, others)
        return fill.draw(column, draw) if fill.knots else nothing

    def _fix_dependency(
        self, sub: pl.DataFrame, i: int, one: Statement, flip: NDArray[np.bool_], draw: NDArray[np.float64], turn: int
    ) -> dict[str, pl.Series]:
        first, second = one.columns
        assert one.map is not None
        flip = self._turned(flip, first.name in self.fixed, second.name in self.fixed)
        a, b = sub[first.name], sub[second.name]
        for level in b.filter(pl.Series(flip)).unique(maintain_order=True).to_list():
            keys = [key for key, value in one.map.items() if value == level]
            here = flip & (b.is_null() if level is None else (b == level).fill_null(False)).to_numpy()
            if keys:
                fill = self.fills.get(first.name, Fill())
                a = put(a, here, fill.draw(first, draw, keys).filter(pl.Series(here)))
            elif second.name not in self.fixed:
                flip = flip & ~here
        b = put(b, ~flip, one.mapped(a)[1].filter(pl.Series(~flip)))
        return {first.name: a, second.name: b}

    def _fix_combination(
        self, sub: pl.DataFrame, i: int, one: Statement, flip: NDArray[np.bool_], draw: NDArray[np.float64], turn: int
    ) -> dict[str, pl.Series]:
        allowed = one.allowed_frame()
        noise = np.mod(np.arange(allowed.height) * 0.6180339887, 1.0)
        choice = np.empty(sub.height, dtype=np.int64)
        for start in range(0, sub.height, _BLOCK):
            part = sub[start : start + _BLOCK]
            score = 0.9 * np.mod(draw[start : start + _BLOCK, None] + noise[None, :], 1.0)  # (B, K)
            for name in one.names:
                codes = pl.concat([part[name], allowed[name]]).rank("dense").fill_null(0).to_numpy()
                same = codes[: part.height, None] == codes[None, part.height :]
                score += np.where(same, 1.0, -100.0 if name in self.fixed else 0.0)
            choice[start : start + _BLOCK] = score.argmax(axis=1)
        return {name: allowed[name].gather(choice) for name in one.names}

    def _fix_sum(
        self, sub: pl.DataFrame, i: int, one: Statement, flip: NDArray[np.bool_], draw: NDArray[np.float64], turn: int
    ) -> dict[str, pl.Series]:
        changes = self._balance(sub, one, flip, draw)
        if one.when is None or one.names[-1] in self.fixed:
            return changes
        stuck = all(column.name in self.fixed for column in (one.columns[0], *one.parts))
        leave = (flip & (draw < 0.5) & (turn > _CLAMP)) | stuck  # the condition gives way, and the numbers stay
        if leave.any():
            condition, rows = one.columns[-1], pl.Series(leave)
            changes = {name: put(cells, leave, sub[name].filter(rows)) for name, cells in changes.items()}
            away = self._drawn(condition, one.when, None, np.mod(2 * draw, 1.0), True)
            changes[condition.name] = put(sub[condition.name], leave, away.filter(rows))
        return changes

    def _balance(
        self, sub: pl.DataFrame, one: Statement, flip: NDArray[np.bool_], draw: NDArray[np.float64]
    ) -> dict[str, pl.Series]:
        """Make a total what its parts give, or, where flipped, move the parts."""
        total, parts = one.columns[0], one.parts
        changes = {}
        pinned = total.name in self.fixed
        flip = np.full(len(flip), True) if pinned else flip
        t = as_numbers(sub[total.name])
        fill_parts = np.isnan(one.formula(sub)) & ~np.isnan(t) & (flip | (not total.nullable))
        drop_part = np.isnan(t) & ~np.isnan(one.formula(sub)) & flip & total.nullable
        for column in parts:
            cells, fill = sub[column.name], self.fills.get(column.name, Fill())
            absent = fill_parts & cells.is_null().to_numpy()
            cells = put(cells, absent, fill.draw(column, draw).filter(pl.Series(absent)))
            if column.nullable and column.name not in self.fixed and drop_part.any():
                cells = put(cells, drop_part, pl.Series([None] * int(drop_part.sum()), dtype=cells.dtype))
                drop_part = np.zeros(len(t), dtype=bool)
            changes[column.name] = cells
        sub = sub.with_columns(cells.alias(name) for name, cells in changes.items() if name not in self.fixed)
        delta = np.where(flip, t - one.formula(sub), 0.0)  # what the parts have to take over
        for weight, column in zip(one.weights, parts):
            if column.name in self.fixed:
                continue
            decimals = self.fills.get(column.name, Fill()).decimals
            old = as_numbers(sub[column.name])
            moved = np.where(np.nan_to_num(np.abs(delta)) > one.tolerance(t), old + delta / weight, old)
            changes[column.name] = from_numbers(moved, column, decimals)
            delta = delta - weight * (as_numbers(changes[column.name]) - old)
        sub = sub.with_columns(cells.alias(name) for name, cells in changes.items() if name not in self.fixed)
        now = from_numbers(one.formula(sub), total, self.fills.get(total.name, Fill()).decimals)
        changes[total.name] = put(sub[total.name], ~flip, now.filter(pl.Series(~flip)))
        return changes

    def _fix_missing_together(
        self, sub: pl.DataFrame, i: int, one: Statement, flip: NDArray[np.bool_], draw: NDArray[np.float64], turn: int
    ) -> dict[str, pl.Series]:
        absent = np.column_stack([sub[name].is_null().to_numpy() for name in one.names])  # (R, D)
        share = absent.mean(axis=1)
        gone = np.where(share == 0.5, absent[:, 0], share > 0.5) ^ (flip & (turn != _OTHER))
        for j, column in enumerate(one.columns):
            if column.name in self.fixed:
                gone = absent[:, j].copy()
            elif not column.nullable:
                gone[:] = False
        changes = {}
        for j, column in enumerate(one.columns):
            cells = put(sub[column.name], gone, pl.Series([None] * int(gone.sum()), dtype=sub[column.name].dtype))
            lacking = ~gone & absent[:, j]
            fill = self.fills.get(column.name, Fill())
            changes[column.name] = put(cells, lacking, fill.draw(column, draw).filter(pl.Series(lacking)))
        return changes

    @staticmethod
    def _turned(flip: NDArray[np.bool_], first_fixed: bool, second_fixed: bool) -> NDArray[np.bool_]:
        if first_fixed and not second_fixed:
            return np.zeros(len(flip), dtype=bool)
        return np.ones(len(flip), dtype=bool) if second_fixed and not first_fixed else flip
