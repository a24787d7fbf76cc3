"""Sequential trees: each column drawn given the columns before it, from mixtures of trees over counts, never over rows.

The line of synthpop (column after column, a tree for each), taken further: the columns' order and parents are learned
(`order`), each column also sees its ridge prediction from all before it (`linear`), a mixture of trees on subsamples
takes the place of one tree, its leaves counting only subjects that the splits did not see (`grove`), and smooth
numbers are drawn as prediction plus residual (`conditional`). Leaves hold counts of atoms: levels and spikes that at
least five subjects share, and bins between them; so neither a row nor a cell of one subject is in the model. One dial,
`caution`, trades fidelity against the risk of membership inference.

References
----------
Reiter, Using CART to generate partially synthetic public use microdata, Journal of Official Statistics 21 (2005).
Nowok, Raab & Dibben, synthpop: bespoke creation of synthetic data in R, Journal of Statistical Software 74 (2016),
doi:10.18637/jss.v074.i11.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.codecs.table import TableCode, decode_column, decode_table, draw_atoms, learn_column, place_table
from ehrsatz.codecs.window import FREE, Window, decode_window, open_window, restrict
from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.errors import UnsupportedError
from ehrsatz.generators.base import Generator, Given, Progress
from ehrsatz.generators.conditional import Settings
from ehrsatz.generators.sequence import (
    WIDTH,
    Forced,
    Sequence,
    learn_sequence,
    sequence_from_state,
    state_of_sequence,
)
from ehrsatz.generators.space import Range
from ehrsatz.generators.visits import Flat, flatten
from ehrsatz.schema import MIN_SUBJECTS, Schema, Table
from ehrsatz.seeds import addressed, stream, uniforms

Atoms = NDArray[np.int32]
Floats = NDArray[np.float64]

_CANDIDATES = 32  # rows tried per conditioned row
_MANY = 10_000  # rows from which on fewer trees on smaller samples do
_CHUNK = 10_000  # rows drawn at a time


class Trees(Generator):
    """Draw each column given the ones before it, by mixtures of trees.

    Parameters
    ----------
    caution
        The dial, above 0: multiplies the fewest distinct subjects of a leaf. 1 is the default; 0.5 follows the data
        closer, 4 keeps further off. The measured curve stands in docs/performance.md.
    leaf
        Fewest distinct subjects of a leaf at caution 1, never under five; None means 12, or 6 below 10,000 rows.
    n_trees, share
        Trees per column, and the share of subjects that each splits on, the others being counted in its leaves; None
        means 4 trees, or 10 below 10,000 rows, and half of the subjects, at most 50,000.
    parents
        Most earlier columns that trees look at; the linear prediction sees them all.
    pull
        Shrinkage of leaves towards their ancestors, in rows.
    max_rows
        Most rows to learn from; above, subjects are sampled.
    workers
        Threads; the result does not depend on them.
    """

    name = "trees"
    handles = frozenset({"static", "events", "links"})
    conditions: ClassVar[bool] = True
    reference = "Nowok, Raab & Dibben 2016, doi:10.18637/jss.v074.i11, extended as the module says"

    flat_: Flat | None
    subjects_: Sequence
    rows_: dict[str, Sequence]
    ranges: ClassVar = {
        "caution": (0.01, 1e6),
        "leaf": (1, 1e9),
        "n_trees": (1, 10_000),
        "share": (0.01, 1),
        "parents": (0, 1e6),
        "pull": (0, 1e9),
        "max_rows": (10, 1e12),
        "workers": (1, 1e6),
    }
    space: ClassVar = {
        "caution": Range(0.4, 4.0, log=True),
        "n_trees": (4, 10, 20),
        "parents": (8, 20),
        "pull": (0.0, 2.0),
    }

    def __init__(
        self,
        *,
        caution: float = 1.0,
        leaf: int | None = None,
        n_trees: int | None = None,
        share: float | None = None,
        parents: int = 20,
        pull: float = 0.0,
        max_rows: int = 250_000,
        workers: int = 1,
    ) -> None:
        self.caution = caution
        self.leaf = leaf
        self.n_trees = n_trees
        self.share = share
        self.parents = parents
        self.pull = pull
        self.max_rows = max_rows
        self.workers = workers

    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        schema = core.schema
        is_flat = len(schema.tables) == 1 and subject_key(schema, schema.parent) is None
        self.flat_ = None if is_flat else flatten(schema, core.tables)
        self.rows_ = {}
        if self.flat_ is None:
            self.table_ = schema.parent
            frame = core.table
            if frame.height > self.max_rows:
                rng = stream(seed, self.name, "rows")
                frame = frame[np.sort(rng.permutation(frame.height)[: self.max_rows]).tolist()]
            self.subjects_ = self._learn(self.table_, frame, seed, progress)[0]
            return
        self.table_ = self.flat_.subject_table()
        subjects = self.flat_.subjects(core.tables)
        self.subjects_, atoms, position = self._learn(self.table_, subjects, seed, progress)
        for table in self.flat_.events:
            self._learn_rows(table, core.tables[table.name], atoms, position, seed, progress)

    def _learn(
        self, table: Table, frame: pl.DataFrame, seed: int, progress: Progress
    ) -> tuple[Sequence, Atoms, Floats]:
        code = self._code(table, frame, None, frame.height)
        atoms, position = place_table(code, frame)
        if frame.height > 1:  # dependence is measured on the first rows: let these be any rows
            order = stream(seed, self.name, "shuffle", table.name).permutation(frame.height)
        else:
            order = np.arange(frame.height)
        sequence = learn_sequence(
            code,
            atoms[order],
            position[order],
            fixed=0,
            settings=self._settings(frame.height),
            subjects=None,
            seed=seed,
            name=table.name,
            workers=self.workers,
            progress=progress,
        )
        return sequence, atoms, position

    def _learn_rows(
        self,
        table: Table,
        frame: pl.DataFrame,
        subject_atoms: Atoms,
        subject_position: Floats,
        seed: int,
        progress: Progress,
    ) -> None:
        assert self.flat_ is not None
        rows, owner, place = self.flat_.rows(table, frame)
        flat = self.flat_.row_table(table)
        code = self._code(flat, rows, owner, len(subject_atoms))
        atoms, position = place_table(code, rows)
        if not len(owner):  # nobody has a row: learn from one without cells, which no subject will be given
            atoms, position = np.full((1, atoms.shape[1]), -1, np.int32), np.full((1, atoms.shape[1]), 0.5)
            owner, place = np.zeros(1, np.int64), np.zeros(1, np.int64)
        whole = _context_code(self.subjects_.code, code)
        before = np.where(place > 0, np.arange(len(place)) - 1, -1)
        context, context_position = _context(subject_atoms, subject_position, atoms, position, owner, before)
        atoms, position = np.hstack([context, atoms]), np.hstack([context_position, position])
        order = stream(seed, self.name, "shuffle", table.name, "rows").permutation(len(owner))
        if len(order) > self.max_rows:
            names = np.unique(owner)
            kept = stream(seed, self.name, "rows").permutation(len(names))[
                : max(1, self.max_rows * len(names) // len(owner))
            ]
            order = order[np.isin(owner[order], names[kept])]
        self.rows_[table.name] = learn_sequence(
            whole,
            np.asfortranarray(atoms[order]),
            np.asfortranarray(position[order]),
            fixed=context.shape[1],
            settings=self._settings(len(order)),
            subjects=owner[order],
            seed=seed,
            name=f"{table.name} rows",
            workers=self.workers,
            progress=progress,
        )

    def _code(self, table: Table, frame: pl.DataFrame, subjects: NDArray[np.int64] | None, n: int) -> TableCode:
        """Learn the atoms; in small tables numbers need wider bins, or their margins follow single subjects."""
        least = min(MIN_SUBJECTS, max(1, n))
        wide = least if n >= _MANY else max(least, min(round(10 * self.caution), n // 25))
        return TableCode(
            table.names,
            tuple(
                learn_column(
                    column, frame[column.name], subjects=subjects, min_subjects=wide if column.is_numeric else least
                )
                for column in table.columns
            ),
        )

    def _settings(self, n: int) -> Settings:
        many = n >= _MANY
        share = self.share if self.share is not None else min(0.5, 50_000 / max(n, 1))
        return Settings(
            leaf=max(MIN_SUBJECTS, round((self.leaf or (12 if many else 6)) * self.caution))
            if n >= 2 * MIN_SUBJECTS
            else 1,
            n_trees=self.n_trees if self.n_trees is not None else (4 if many else 10),
            share=share if n * share >= 20 else 1.0,
            parents=self.parents,
            try_features=0.5,
            pull=self.pull,
            residual_from=0.5,
        )

    # ------------------------------------------------------------------ sample
    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        code = self.subjects_.code
        window = None
        if given is not None:
            lost = [name for name in given.columns if name not in code.names]
            if lost:
                raise UnsupportedError(
                    "Expected conditions on columns that belong to the subject.",
                    f"{', '.join(lost)} can change from row to row of one subject.",
                    "Condition on columns of the subject's table.",
                )
            window = open_window(code, exact=given.exact, band=given.band, among=given.among)
        atoms = np.empty((n, len(code.names)), dtype=np.int32, order="F")
        position = np.empty((n, len(code.names)), order="F")
        for low in range(0, n, _CHUNK):
            high = min(n, low + _CHUNK)
            part = self._draw_subjects(high - low, seed, first + low, _cut(window, low, high))
            atoms[low:high], position[low:high] = part
        subjects = decode_window(code, atoms, position, window)
        if self.flat_ is None:
            return {self.table_.name: subjects.select(self.table_.names)}
        rows, owners = {}, {}
        subjects = self._complete(subjects, seed, first)
        for table in self.flat_.events:
            rows[table.name], owners[table.name] = self._draw_rows(table, subjects, atoms, position, seed, first)
        return self.flat_.restore(subjects, rows, owners, first=first)

    def _complete(self, subjects: pl.DataFrame, seed: int, first: int) -> pl.DataFrame:
        """Give subjects who have rows the columns that no subject with rows lacks, from the columns' margins."""
        assert self.flat_ is not None
        code = self.subjects_.code
        for table in self.flat_.events:
            has_rows = subjects[f"{table.name}#rows"] > 0
            for column in self.flat_.full[table.name]:
                name = self.flat_.flat(table, column)
                lacking = has_rows & subjects[name].is_null()
                share = self.subjects_.design.margins[code.names.index(name)].share.copy()
                share[-1] = 0.0
                if not lacking.any() or not share.any():
                    continue
                u = uniforms(seed, self.name, "complete", name, n=subjects.height, width=2, first=first)
                one = code.codes[code.names.index(name)]
                cells = decode_column(one, draw_atoms(share, u[:, 0]), u[:, 1])
                subjects = subjects.with_columns(pl.when(lacking).then(cells).otherwise(subjects[name]).alias(name))
        return subjects

    def _held(self) -> tuple[str, ...]:
        """Columns that repair leaves alone: the same in all rows of a subject, unless a rule is on them alone."""
        if self.flat_ is None:
            return ()
        held: list[str] = []
        for table in self.flat_.events:
            static = set(self.flat_.static[table.name])
            tied = {name for one in table.constraints if set(one.columns) <= static for name in one.columns}
            held += sorted(static - tied)
        return tuple(held)

    def _draw_subjects(self, n: int, seed: int, first: int, window: Window | None) -> tuple[Atoms, Floats]:
        names = (self.name, "sample", self.table_.name)
        width = WIDTH * self.subjects_.n_free
        nothing = np.empty((n, 0))
        if window is None or not window.columns:
            u = uniforms(seed, *names, n=n, width=width, first=first)
            atoms, position, _ = self.subjects_.draw(nothing.astype(np.int32), nothing, u)
            return atoms, position
        best = np.full(n, -np.inf)
        kept = (
            np.empty((n, len(self.subjects_.code.names)), np.int32, "F"),
            np.empty((n, len(self.subjects_.code.names)), order="F"),
        )
        race = uniforms(seed, *names, "race", n=n, width=_CANDIDATES, first=first)
        for k in range(_CANDIDATES):  # Gumbel race: a candidate wins with probability proportional to its weight
            u = uniforms(seed, *names, k, n=n, width=width, first=first)
            choice = uniforms(seed, *names, k, "condition", n=n, width=2 * len(window.columns), first=first)
            forced = self._force(window, choice)
            atoms, position, weight = self.subjects_.draw(nothing.astype(np.int32), nothing, u, forced)
            score = weight - np.log(-np.log(np.clip(race[:, k], 1e-300, 1 - 1e-16)))
            wins = score > best
            best[wins] = score[wins]
            kept[0][wins], kept[1][wins] = atoms[wins], position[wins]
        return kept

    def _force(self, window: Window, u: Floats) -> dict[int, Forced]:
        """Choose an allowed atom for each conditioned column, by the column's margin."""
        forced = {}
        for k, d in enumerate(window.columns):
            margin = self.subjects_.design.margins[d]
            if d in window.fixed:
                forced[d] = Forced(np.maximum(window.fixed[d], 0), window.position[d], window.fixed[d] == FREE)
                continue
            share = np.cumsum(restrict(margin.share, window.share[d]))
            drawn = np.minimum(np.searchsorted(share, u[:, 2 * k] * share[-1], side="right"), margin.size - 1)
            forced[d] = Forced(drawn.astype(np.int32), u[:, 2 * k + 1], np.zeros(len(u), dtype=bool))
        return forced

    def _draw_rows(
        self,
        table: Table,
        subjects: pl.DataFrame,
        subject_atoms: Atoms,
        subject_position: Floats,
        seed: int,
        first: int,
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        assert self.flat_ is not None
        sequence = self.rows_[table.name]
        room = self.flat_.room[table.name]
        counts = np.clip(subjects[f"{table.name}#rows"].to_numpy(), 1 if self.flat_.is_repeated else 0, room)
        d_rows = len(sequence.code.names) - sequence.fixed
        code = TableCode(sequence.code.names[sequence.fixed :], sequence.code.codes[sequence.fixed :])
        last = np.full((len(counts), d_rows), -1, dtype=np.int32)
        last_position = np.full((len(counts), d_rows), 0.5)
        frames, owners, places = [], [], []
        middle = _middle(self.subjects_, subject_atoms, subject_position)
        for t in range(int(counts.max(initial=0))):
            who = np.flatnonzero(counts > t)
            before = who if t else np.full(len(who), -1)
            context, context_position = _context(subject_atoms, middle, last, last_position, who, before)
            names = (self.name, "sample", table.name, "rows")
            places_now = np.full(len(who), t)
            u = addressed(seed, *names, subjects=who + first, positions=places_now, width=WIDTH * sequence.n_free)
            atoms, position, _ = sequence.draw(context, context_position, u)
            atoms, position = atoms[:, sequence.fixed :], position[:, sequence.fixed :]
            frames.append(decode_table(code, atoms, position))
            last[who] = atoms
            last_position[who] = _middle_of(code, atoms, position)
            owners.append(who)
            places.append(places_now)
        if not frames:
            empty = decode_table(code, np.empty((0, d_rows), np.int32), np.empty((0, d_rows)))
            return empty, np.empty(0, dtype=np.int64)
        owner, place = np.concatenate(owners), np.concatenate(places)
        order = np.lexsort((place, owner))
        return pl.concat(frames)[order.tolist()], owner[order].astype(np.int64)

    # ------------------------------------------------------------------ on disk
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        facts, arrays = state_of_sequence(self.subjects_, "subjects")
        out: dict[str, Any] = {"subjects": facts, "rows": {}, "flat": None, "table": self.table_.name}
        if self.flat_ is None:
            out["schema"] = Schema("flat", (self.table_,)).to_dict(reasons=False)
            return out, arrays
        out["schema"] = self.flat_.schema.to_dict(reasons=False)
        parts = {"static": self.flat_.static, "shared": self.flat_.shared, "full": self.flat_.full}
        out["flat"] = {part: {k: list(v) for k, v in found.items()} for part, found in parts.items()}
        out["flat"]["room"] = dict(self.flat_.room)
        for k, (name, sequence) in enumerate(self.rows_.items()):
            more, arrays_k = state_of_sequence(sequence, f"rows{k}")
            out["rows"][name] = more
            arrays |= arrays_k
        return out, arrays

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        schema = Schema.from_dict(facts["schema"])
        self.subjects_ = sequence_from_state(facts["subjects"], arrays, "subjects")
        self.flat_ = None
        self.table_ = schema.parent
        if facts["flat"] is not None:
            static, shared, full = (
                {name: tuple(columns) for name, columns in facts["flat"][part].items()}
                for part in ("static", "shared", "full")
            )
            self.flat_ = Flat(schema, static, facts["flat"]["room"], shared, full)
            self.table_ = self.flat_.subject_table()
        names = [table.name for table in self.flat_.events] if self.flat_ else []
        self.rows_ = {
            name: sequence_from_state(facts["rows"][name], arrays, f"rows{k}") for k, name in enumerate(names)
        }


def _context_code(subjects: TableCode, rows: TableCode) -> TableCode:
    """Names and codes of a row's context (its subject, the row before) and then of the row."""
    return TableCode(
        (
            *(f"subject/{name}" for name in subjects.names),
            *(f"before/{name}" for name in rows.names),
            *rows.names,
        ),
        (*subjects.codes, *rows.codes, *rows.codes),
    )


def _context(
    subject_atoms: Atoms,
    subject_position: Floats,
    atoms: Atoms,
    position: Floats,
    owner: NDArray[Any],
    before: NDArray[Any],
) -> tuple[Atoms, Floats]:
    """Return each row's context: its subject's cells, and those of the row before, missing where there is none."""
    is_first = (before < 0)[:, None]
    last = (
        np.where(is_first, -1, atoms[np.maximum(before, 0)])
        if len(atoms)
        else np.full((len(owner), atoms.shape[1]), -1)
    )
    place = np.where(is_first, 0.5, position[np.maximum(before, 0)]) if len(atoms) else np.full(last.shape, 0.5)
    return (
        np.asfortranarray(np.hstack([subject_atoms[owner], last]).astype(np.int32)),
        np.asfortranarray(np.hstack([subject_position[owner], place])),
    )


def _middle(sequence: Sequence, atoms: Atoms, position: Floats) -> Floats:
    return _middle_of(sequence.code, atoms, position)


def _middle_of(code: TableCode, atoms: Atoms, position: Floats) -> Floats:
    """Positions as `place_table` would give them back: 0.5 for levels, spikes and missing."""
    out = np.full(position.shape, 0.5, order="F")
    for d, one in enumerate(code.codes):
        if hasattr(one, "is_spike"):
            out[:, d] = np.where(one.is_spike(atoms[:, d]), 0.5, position[:, d])
    return out


def _cut(window: Window | None, low: int, high: int) -> Window | None:
    """The window of rows low .. high - 1."""
    if window is None:
        return None
    return Window(
        {d: cells[low:high] for d, cells in window.fixed.items()},
        {d: cells[low:high] for d, cells in window.position.items()},
        window.share,
    )
