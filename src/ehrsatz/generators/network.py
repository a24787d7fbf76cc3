"""What every network generator shares: signals in and out, held-out rows, training, transfer, monitor, disk, device.

A family gives `_build` (its modules), `_trainee` (how it learns), `_width` and `_generate` (how it draws); all of them
are called with torch at hand and in one thread.
"""

from __future__ import annotations

import json
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import __version__
from ehrsatz.codecs.signals import SignalCode, decode_signals, encode_signals, learn_signals
from ehrsatz.codecs.table import TableCode, complete_table, learn_table, place_table, to_floats
from ehrsatz.codecs.window import Window, decode_window, open_window
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, ModelError, ScenarioError, TrainingWarning
from ehrsatz.extras import require
from ehrsatz.generators.base import Generator, Given, Progress, load_any
from ehrsatz.generators.monitor import FAIR, Watch
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream, uniforms

if TYPE_CHECKING:
    import torch

    from ehrsatz.generators.training import Plan, Trainee

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

COMMON: Mapping[str, tuple[float, float]] = {  # ranges of the parameters that every family has
    "epochs": (1, 1e6),
    "batch": (8, 1e6),
    "rate": (1e-7, 1.0),
}
_REPEATED = 0.2  # share of repeated rows, beyond that of the data, above which rows count as repeated


@dataclass(frozen=True)
class Rows:
    """Coded rows: atoms and positions (R, D), value channels (R, C) and level channels (R, K)."""

    atoms: Ints
    position: Floats
    values: NDArray[np.float32]
    levels: Ints

    def __len__(self) -> int:
        return len(self.atoms)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return these rows."""
        return Rows(self.atoms[rows], self.position[rows], self.values[rows], self.levels[rows])

    def tensors(self, place: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return value channels (R, C) and level channels (R, K) as tensors on a device."""
        import torch

        return torch.from_numpy(self.values).to(place), torch.from_numpy(self.levels.astype(np.int64)).to(place)


class Network(Generator):
    """A generator whose joint distribution is a neural network over signals.

    Every family takes, beside its own: epochs (None: by the number of rows), batch (None likewise), rate, device
    ("auto", "cpu" or "cuda"), checkpoint (folder from which a stopped training goes on) and start (folder of a saved
    model of the same method and schema from which learning begins).
    """

    handles = frozenset({"static"})
    least: ClassVar[int] = 40
    scheme: ClassVar[str] = "quantile"  # how numbers are shown, see `codecs.signals`
    whole: ClassVar[bool] = False  # whether codes of many levels are one channel, not group and place
    adapts: ClassVar[float] = 0.3  # factor on the learning rate when learning starts from a saved model

    epochs: int | None
    batch: int | None
    rate: float
    device: str
    checkpoint: str | None
    start: str | None

    names_: tuple[str, ...]
    code_: TableCode
    signals_: SignalCode
    net_: torch.nn.Module
    history_: dict[str, Any]
    facts_: dict[str, Any]  # what `_prepare` and `_finish` found
    shrunk_: dict[str, Any]  # what `shrink` did

    # ------------------------------------------------------------------ for a family
    @abstractmethod
    def _build(self) -> torch.nn.Module:
        """Return the modules, untrained, from `signals_` and `facts_`."""

    @abstractmethod
    def _trainee(self, learn: Rows, held: Rows, plan: Plan, place: torch.device) -> Trainee:
        """Return how `net_` learns from rows and scores itself on held-out ones."""

    @abstractmethod
    def _plan(self, n: int) -> Plan:
        """Return how long and how fast to learn from n rows."""

    @abstractmethod
    def _width(self) -> int:
        """Return how many uniforms a row needs in `_generate`."""

    @abstractmethod
    def _generate(self, u: Floats, fixed: Mapping[int, Any]) -> tuple[Floats, Ints]:
        """Draw value channels (B, C) and level channels (B, K) from uniforms (B, W); see `_conditions` for fixed."""

    def _prepare(self, rows: Rows, seed: int) -> dict[str, Any]:
        """Return JSON facts that `_build` needs, such as margins; before the modules are built."""
        return {}

    def _finish(self, rows: Rows, seed: int) -> None:
        """Learn what is learned after training, such as calibration of margins, from all rows."""

    # ------------------------------------------------------------------ the socket
    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None:
        require("torch", extra="torch", feature=f"The generator '{self.name}'")
        from ehrsatz.generators import nets, training
        from ehrsatz.generators.checkpoint import Checkpoint

        place = nets.device_of(self.device)
        before = self._ancestor()
        self.shrunk_ = {}
        self.names_ = core.schema.parent.names
        _check_levels(core)
        self.code_ = before.code_ if before else learn_table(core.table, core.schema.parent, min_subjects=MIN_SUBJECTS)
        rows = self._encode(core.table, core.schema.parent, seed, before)
        learn, held = training.split_rows(len(rows), seed)
        plan = self._settle(self._plan(len(learn)), adapts=before is not None)
        self.facts_ = before.facts_ if before else self._prepare(rows, seed)
        watch = Watch(self.code_, rows.atoms[learn], rows.atoms[held])
        with nets.chance(seed, self.name, "fit"):
            self.net_ = self._build().to(place)
            if before:
                self.net_.load_state_dict(before.net_.state_dict())
            store = Checkpoint(self.checkpoint, self._mark(rows)) if self.checkpoint else None
            trainee = self._trainee(rows.take(learn), rows.take(held), plan, place)
            history = training.train(trainee, len(learn), plan, seed=seed, progress=progress, store=store)
            self.net_ = self.net_.cpu().eval()
            self._finish(rows, seed)
            self.history_ = {**history.to_dict(), **self._monitor(watch, seed)}
            if store is not None:
                store.remove()

    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]:
        require("torch", extra="torch", feature=f"The generator '{self.name}'")
        window = None
        if given is not None:
            window = open_window(self.code_, exact=given.exact, band=given.band, among=given.among)
        atoms, position = self._draw(n, seed, first, window, "sample")
        frame = decode_window(self.code_, atoms, position, window)
        return {self.schema_.parent.name: complete_table(frame, self.names_, n=n, first=first)}

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        from ehrsatz.generators import nets

        facts = {
            "names": list(self.names_),
            "code": self.code_.to_dict(),
            "signals": self.signals_.to_dict(),
            "history": self.history_,
            "facts": self.facts_,
            "shrunk": self.shrunk_,
        }
        arrays = nets.weights_of(self.net_)
        if self.shrunk_.get("bits"):
            from ehrsatz.generators.shrink import pack

            arrays = pack(arrays)
        return facts, {f"net/{name}": array for name, array in arrays.items()}

    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        require("torch", extra="torch", feature=f"The generator '{self.name}'")
        from ehrsatz.generators import nets

        self.names_, self.code_ = tuple(facts["names"]), TableCode.from_dict(facts["code"])
        self.signals_ = SignalCode.from_dict(facts["signals"])
        self.history_, self.facts_ = facts["history"], facts["facts"]
        with nets.chance(0, "restore"):
            self.net_ = self._build().eval()
        found = {name.removeprefix("net/"): array for name, array in arrays.items() if name.startswith("net/")}
        self.shrunk_ = facts.get("shrunk", {})
        if self.shrunk_.get("bits"):
            from ehrsatz.generators.shrink import swap_linear, unpack

            swap_linear(self.net_, empty=True)
            found = unpack(found)
        nets.load_weights(self.net_, found)

    def shrink(self, *, bits: int | None = 8, prune: float = 0.0) -> Self:
        """Make a fitted network smaller, in place; what it costs in fidelity is the caller's to measure.

        Parameters
        ----------
        bits
            8 for dynamic quantisation, None for none.
        prune
            Share of the weights of every matrix, the smallest, that become zero, in [0, 1).

        Raises
        ------
        ScenarioError
            When there is nothing to do, or it was done before.
        """
        from ehrsatz.generators import nets
        from ehrsatz.generators.shrink import pack, swap_linear, unpack
        from ehrsatz.generators.shrink import prune as cut

        if bits not in {8, None} or not 0 <= prune < 1 or (bits is None and prune == 0):
            raise ScenarioError(
                "Expected bits of 8, a share to prune in [0, 1), or both.", "Neither was given.", "Correct one of them."
            )
        if self.shrunk_:
            raise ScenarioError(
                "Expected a model as fit wrote it.", "It was made smaller before.", "Start from the full model."
            )
        if prune:
            cut(self.net_, prune)
        if bits:
            swap_linear(self.net_, empty=False)
            nets.load_weights(self.net_, unpack(pack(nets.weights_of(self.net_))))  # as it will be when loaded
        self.shrunk_ = {"bits": bits, "pruned": prune}
        return self

    # ------------------------------------------------------------------ parts
    def _draw(self, n: int, seed: int, first: int, window: Window | None, name: str) -> tuple[Ints, Floats]:
        """Atoms and positions (n, D) of rows first .. first + n - 1, block by block."""
        import torch

        from ehrsatz.generators import nets

        d = len(self.code_.names)
        atoms, position = np.full((n, d), -1, dtype=np.int32), np.full((n, d), 0.5)
        with nets.single(), torch.no_grad():
            for start, wanted, target in nets.blocks(first, n):
                u = uniforms(seed, self.name, name, n=nets.BLOCK, width=d + self._width(), first=start)
                fixed = self._conditions(window, wanted, target, u)
                values, levels = self._generate(u[:, d:], fixed)
                one, spot = decode_signals(self.signals_, self.code_, values, levels, u[:, :d])
                atoms[target], position[target] = one[wanted], spot[wanted]
        if window is not None:
            for column, cells in window.fixed.items():  # the very atoms that were asked for
                atoms[:, column] = np.where(cells == -2, atoms[:, column], cells)
        return atoms, position

    def _conditions(self, window: Window | None, wanted: slice, target: slice, u: Floats) -> Mapping[int, Any]:
        """Return for `_generate` what is fixed in a block; a family that conditions writes its own."""
        return {}

    def _encode(self, frame: pl.DataFrame, table: Any, seed: int, before: Network | None) -> Rows:
        atoms, position = place_table(self.code_, frame)
        cells = np.zeros(atoms.shape)
        if self.scheme == "modes":
            for d, name in enumerate(self.code_.names):
                if table[name].is_numeric:
                    cells[:, d] = to_floats(frame[name])
        rng = stream(seed, self.name, "signals")
        learned = (
            before.signals_
            if before
            else learn_signals(self.code_, atoms, cells, scheme=self.scheme, rng=rng, whole=self.whole)
        )
        self.signals_ = learned
        values, levels = encode_signals(learned, atoms, position, cells, u=rng.random(atoms.shape))
        return Rows(atoms, position, values, levels)

    def _settle(self, plan: Plan, *, adapts: bool) -> Plan:
        """Put the caller's own numbers into a plan."""
        own = {name: getattr(self, name) for name in ("epochs", "batch") if getattr(self, name) is not None}
        rate = self.rate * (self.adapts if adapts else 1.0)
        return replace(plan, rate=rate, **own)

    def _ancestor(self) -> Network | None:
        """Load the model that learning starts from, and check that it is of this method and schema."""
        if self.start is None:
            return None
        found = load_any(self.start)
        if isinstance(found, Network) and found.shrunk_:
            raise ModelError(
                "Expected a model as fit wrote it, to start from.",
                "It was made smaller, and its weights cannot learn on.",
                "Start from the full model.",
            )
        if not isinstance(found, type(self)):
            raise ModelError(
                f"Expected a saved model of '{self.name}' to start from.",
                f"The folder holds one of '{found.name}'.",
                "Start from a model of the same method.",
            )
        ours, theirs = (
            [(one.name, one.kind) for one in schema.parent.columns] for schema in (self.schema_, found.schema_)
        )
        if ours != theirs:
            lacking = len(set(ours) ^ set(theirs))
            raise ModelError(
                "Expected a model of the same columns and kinds to start from.",
                f"{lacking} columns differ in name or kind, or their order does.",
                "Start from a model that learned from a table like this one.",
            )
        return found

    def _mark(self, rows: Rows) -> str:
        """Hash what a checkpoint is of."""
        told = {name: value for name, value in self.parameters().items() if name not in {"checkpoint", "device"}}
        text = json.dumps([self.name, __version__, told, self.seed_, self.schema_.fingerprint], sort_keys=True)
        return sha256(text.encode() + rows.atoms.tobytes() + rows.values.tobytes()).hexdigest()

    def _monitor(self, watch: Watch, seed: int) -> dict[str, Any]:
        """Draw a few rows, and warn where modes were lost or rows repeat."""
        atoms, _ = self._draw(watch.n_wanted, seed, 0, None, "monitor")
        seen = watch.look(atoms)
        if seen.is_lost:
            _warn(
                f"'{self.name}' lost modes: its rows come near {seen.coverage:.0%} of the rows, where {FAIR:.0%} and "
                "more are usual. Use 'trees' or 'forest', which learn from few rows, or more epochs."
            )
        elif seen.repeated > _REPEATED + seen.natural:
            _warn(
                f"'{self.name}' repeats itself: {seen.repeated:.0%} of its rows are alike, {seen.natural:.0%} of the "
                "training rows. Use 'trees' or 'forest', or fewer epochs."
            )
        return {"coverage": round(seen.coverage, 4)}


def _warn(text: str) -> None:
    warnings.warn(TrainingWarning(text), stacklevel=2)


def _check_levels(core: Dataset) -> None:
    """Refuse a column in which every row has a level of its own: there is nothing to learn, and much to leak."""
    problems = []
    for column in core.schema.parent.columns:
        if column.kind not in {"category", "code"} or column.role in {"subject", "key", "link"}:
            continue
        cells = core.table[column.name].drop_nulls()
        if len(cells) >= 20 and cells.n_unique() == len(cells):
            problems.append(f"{core.schema.parent.name}.{column.name}: {len(cells):,} levels in {len(cells):,} rows")
    if problems:
        raise DataError(
            f"Expected levels that at least {MIN_SUBJECTS} subjects share.",
            f"{len(problems)} columns hold another level in every row.",
            "Mark such a column as an identifier (disclosure: direct) in the schema, or group its levels.",
            problems=problems,
        )
