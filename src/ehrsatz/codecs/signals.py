"""A table's atoms <-> what a network sees: continuous values and one-hot levels, back to valid atoms always.

Each column becomes one or two channels.

| column | channels |
|---|---|
| levels, yes/no, a number of few atoms | one level channel: an entry per atom, and a last one for missing |
| levels of many kinds (codes) | two level channels: group and place (`hierarchy`) |
| number or date, scheme "quantile" | a value channel: the normal score of the cell's rank |
| number or date, scheme "modes" | a value channel: distance from the mode's centre; a state channel: which mode |

A number with gaps or with single values of great mass (zero, a detection limit) has a state channel that says
"smooth", which of these values, or missing: missingness is a signal like any other, and a spike is met exactly.

References
----------
Xu et al., NeurIPS 2019, arXiv:1907.00503 (mode-specific normalisation); Kotelnikov et al., TabDDPM, ICML 2023,
arXiv:2209.15421 (quantile transformation to normal scores, here by the atoms of the codec).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.hierarchy import Hierarchy, decode_hierarchy, encode_hierarchy, learn_hierarchy
from ehrsatz.codecs.modes import ModesCode, decode_modes, encode_modes, learn_modes
from ehrsatz.codecs.number import place_number
from ehrsatz.codecs.table import TableCode, frequencies

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int32]

FEW = 8  # numbers of at most so many atoms are levels to a network
MANY = 64  # levels from which a column is split in group and place
HEAVY = 0.1  # share from which a single value of a number is a state of its own
_EDGE = 1e-6


@dataclass(frozen=True)
class Signal:
    """How one column is shown.

    Parameters
    ----------
    form
        "levels", "tree", "quantile" or "modes".
    n_atoms
        Atoms of the column.
    has_missing
        Whether a level or state stands for missing.
    heavy
        Atoms of a number that are states of their own.
    share
        Share of each atom among all present cells, shape (n_atoms,).
    hierarchy, modes
        Of the forms "tree" and "modes".
    """

    form: str
    n_atoms: int
    has_missing: bool
    heavy: tuple[int, ...] = ()
    share: tuple[float, ...] = ()
    hierarchy: Hierarchy | None = None
    modes: ModesCode | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the level channels; a size of 1 is left out."""
        if self.form == "levels":
            return (max(self.n_atoms + self.has_missing, 1),)
        if self.form == "tree":
            assert self.hierarchy is not None
            return (self.hierarchy.n_groups + self.has_missing, self.hierarchy.n_places)
        smooth = self.modes.n_modes if self.modes else 1
        states = smooth + len(self.heavy) + self.has_missing
        return (states,) if states > 1 else ()

    @property
    def has_value(self) -> bool:
        """Whether there is a value channel."""
        return self.form in {"quantile", "modes"}

    @cached_property
    def smooth(self) -> Floats:
        """Share of each atom among smooth cells, shape (n_atoms,), summing to 1 (or 0 throughout)."""
        share = np.array(self.share, dtype=np.float64)
        share[list(self.heavy)] = 0.0
        return share / max(share.sum(), 1e-300)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "form": self.form,
            "n_atoms": self.n_atoms,
            "has_missing": self.has_missing,
            "heavy": list(self.heavy),
            "share": list(self.share),
            "hierarchy": None if self.hierarchy is None else self.hierarchy.to_dict(),
            "modes": None if self.modes is None else self.modes.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Signal:
        """Read what `to_dict` writes."""
        tree, modes = data["hierarchy"], data["modes"]
        return cls(
            data["form"],
            data["n_atoms"],
            data["has_missing"],
            tuple(data["heavy"]),
            tuple(data["share"]),
            None if tree is None else Hierarchy.from_dict(tree),
            None if modes is None else ModesCode.from_dict(modes),
        )


@dataclass(frozen=True)
class SignalCode:
    """The signals of a table's columns, in the order of its TableCode."""

    signals: tuple[Signal, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Size of each level channel, column after column, shape (K,)."""
        return tuple(size for one in self.signals for size in one.sizes)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Column of each value channel, shape (C,)."""
        return tuple(d for d, one in enumerate(self.signals) if one.has_value)

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Column of each level channel, shape (K,)."""
        return tuple(d for d, one in enumerate(self.signals) for _ in one.sizes)

    @cached_property
    def below(self) -> dict[int, int]:
        """Level channels of places -> the channel of their group, by number of channel."""
        return {
            k: k - 1
            for k, d in enumerate(self.levels)
            if self.signals[d].form == "tree" and k and self.levels[k - 1] == d
        }

    def allowed(self, channel: int, groups: Ints) -> NDArray[np.bool_]:
        """Return which places each group has, shape (R, size), for a channel of places; missing has the first."""
        tree = self.signals[self.levels[channel]].hierarchy
        assert tree is not None
        sizes = np.append(tree.sizes(), 1)  # the group after the last is missing
        return np.arange(tree.n_places)[None, :] < sizes[groups][:, None]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"codec": "signals", "signals": [one.to_dict() for one in self.signals]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SignalCode:
        """Read what `to_dict` writes."""
        return cls(tuple(Signal.from_dict(one) for one in data["signals"]))


def learn_signals(
    code: TableCode,
    atoms: Ints,
    values: Floats,
    *,
    scheme: str = "quantile",
    rng: np.random.Generator,
    whole: bool = False,
) -> SignalCode:
    """Learn how to show each column.

    Parameters
    ----------
    code : the table's code.
    atoms : shape (R, D), -1 where missing.
    values : shape (R, D), cells of numbers and dates as floats (`to_floats`), anything elsewhere; scheme "modes" alone.
    scheme : "quantile" or "modes", for numbers of more than a few atoms.
    rng : for the mixtures of "modes".
    whole : whether levels of many kinds stay one channel.
    """
    signals = []
    for d, (one, share) in enumerate(zip(code.codes, frequencies(code, atoms))):
        has_missing = bool(share[-1] > 0) or one.n_atoms == 0
        if isinstance(one, CategoryCode) or one.n_atoms <= FEW:
            if isinstance(one, CategoryCode) and one.n_atoms > MANY and not whole:
                tree = learn_hierarchy(one.levels, one.n_atoms)
                signals.append(Signal("tree", one.n_atoms, has_missing, hierarchy=tree))
            else:
                signals.append(Signal("levels", one.n_atoms, has_missing))
            continue
        present = share[:-1] / max(share[:-1].sum(), 1e-300)
        spiked = one.is_spike(np.arange(one.n_atoms, dtype=np.int32))
        heavy = np.flatnonzero((present >= HEAVY) & spiked)
        if len(heavy) == one.n_atoms:
            heavy = heavy[:-1]
        modes = None
        if scheme == "modes":
            smooth = (atoms[:, d] >= 0) & ~np.isin(atoms[:, d], heavy)
            modes = learn_modes(values[smooth, d], rng)
        form = "modes" if modes else "quantile"
        signals.append(
            Signal(form, one.n_atoms, has_missing, tuple(heavy.tolist()), tuple(present.tolist()), modes=modes)
        )
    return SignalCode(tuple(signals))


def encode_signals(
    code: SignalCode, atoms: Ints, position: Floats, values: Floats | None = None, *, u: Floats | None = None
) -> tuple[Singles, Ints]:
    """Return value channels (R, C) and level channels (R, K).

    Parameters
    ----------
    atoms, position : shape (R, D), as `place_table` gives them.
    values : shape (R, D), for the scheme "modes".
    u : shape (R, D), in [0, 1): where within the mass of a spike its score lies, and which mode a value takes; the
        middle and the likeliest draw where None.
    """
    n = len(atoms)
    numbers = np.zeros((n, len(code.values)), dtype=np.float32)
    levels = np.zeros((n, len(code.sizes)), dtype=np.int32)
    c = k = 0
    for d, one in enumerate(code.signals):
        atom, missing = atoms[:, d], atoms[:, d] < 0
        spot = np.full(n, 0.5) if u is None else u[:, d]
        if one.form == "levels":
            levels[:, k] = np.where(missing, max(one.n_atoms + one.has_missing, 1) - 1, atom)
        elif one.form == "tree":
            assert one.hierarchy is not None
            group, place = encode_hierarchy(one.hierarchy, np.maximum(atom, 0))
            levels[:, k] = np.where(missing, one.hierarchy.n_groups, group)
            levels[:, k + 1] = np.where(missing, 0, place)
        else:
            state, value = _encode_number(one, atom, position[:, d], None if values is None else values[:, d], spot)
            numbers[:, c] = value
            c += 1
            if one.sizes:
                levels[:, k] = state
        k += len(one.sizes)
    return numbers, levels


def decode_signals(
    code: SignalCode, table: TableCode, numbers: Singles | Floats, levels: Ints, u: Floats
) -> tuple[Ints, Floats]:
    """Return atoms and positions, both of shape (R, D), that `decode_table` turns into valid cells.

    Parameters
    ----------
    numbers, levels : shapes (R, C) and (R, K), as `encode_signals` gives them.
    u : shape (R, D), in [0, 1): positions within atoms where the signal says nothing of them.
    """
    n = len(levels)
    atoms = np.full((n, len(code.signals)), -1, dtype=np.int32)
    position = np.array(u, dtype=np.float64)
    c = k = 0
    for d, one in enumerate(code.signals):
        if one.form == "levels":
            atoms[:, d] = np.where(levels[:, k] >= one.n_atoms, -1, levels[:, k])
        elif one.form == "tree":
            assert one.hierarchy is not None
            lost = levels[:, k] >= one.hierarchy.n_groups
            atoms[:, d] = decode_hierarchy(one.hierarchy, np.where(lost, 0, levels[:, k]), levels[:, k + 1])
            atoms[lost, d] = -1
        else:
            state = levels[:, k] if one.sizes else np.zeros(n, dtype=np.int32)
            value = np.asarray(numbers[:, c], dtype=np.float64)
            atoms[:, d], position[:, d] = _decode_number(one, table.codes[d], state, value)
            c += 1
        k += len(one.sizes)
    return atoms, position


def smooth_cells(code: SignalCode, levels: Ints) -> NDArray[np.bool_]:
    """Return which value channels say something, shape (R, C): the state is neither a spike of great mass nor missing.

    Parameters
    ----------
    levels : shape (R, K), as `encode_signals` gives them.
    """
    smooth = np.ones((len(levels), len(code.values)), dtype=bool)
    state = {d: k for k, d in enumerate(code.levels)}
    for c, d in enumerate(code.values):
        if d in state:
            modes = code.signals[d].modes
            smooth[:, c] = levels[:, state[d]] < (modes.n_modes if modes else 1)
    return smooth


def describe_signals(code: SignalCode) -> dict[str, Any]:
    """Return what a person wants to know: numbers of value channels, level channels and their entries."""
    return {"values": len(code.values), "levels": len(code.sizes), "entries": int(sum(code.sizes))}


def _encode_number(
    one: Signal, atom: Ints, position: Floats, value: Floats | None, spot: Floats
) -> tuple[Ints, Floats]:
    """State and value of a column's cells, both of shape (R,); cells that are not smooth have value 0."""
    n_smooth = one.modes.n_modes if one.modes else 1
    state = np.zeros(len(atom), dtype=np.int32)
    for number, heavy in enumerate(one.heavy):
        state[atom == heavy] = n_smooth + number
    state[atom < 0] = n_smooth + len(one.heavy)
    rows = np.flatnonzero(state < n_smooth)
    out = np.zeros(len(atom))
    if one.modes:
        assert value is not None, "the scheme 'modes' needs the values"
        state[rows], out[rows] = encode_modes(one.modes, value[rows], spot[rows])
        return state, out
    ends = np.cumsum(one.smooth)
    share = one.smooth[atom[rows]]
    within = np.where(position[rows] == 0.5, spot[rows], position[rows])  # a spike has no position of its own
    rank = ends[atom[rows]] - share * (1 - within)
    out[rows] = ndtri(np.clip(rank, _EDGE, 1 - _EDGE))
    return state, out


def _decode_number(one: Signal, code: Any, state: Ints, value: Floats) -> tuple[Ints, Floats]:
    n_smooth = one.modes.n_modes if one.modes else 1
    atoms, position = np.full(len(state), -1, dtype=np.int32), np.full(len(state), 0.5)
    for number, heavy in enumerate(one.heavy):
        atoms[state == n_smooth + number] = heavy
    rows = np.flatnonzero(state < n_smooth)
    if one.modes:
        atoms[rows], position[rows] = place_number(code, decode_modes(one.modes, state[rows], value[rows]))
        return atoms, position
    if not one.smooth.any():
        return atoms, position
    ends = np.cumsum(one.smooth)
    rank = np.clip(ndtr(value[rows]), 0, np.nextafter(1, 0)) * ends[-1]
    full = np.flatnonzero(one.smooth > 0)
    atom = full[np.minimum(np.searchsorted(ends[full], rank, side="right"), len(full) - 1)]
    atoms[rows] = atom
    begin = ends[atom] - one.smooth[atom]
    position[rows] = np.clip((rank - begin) / one.smooth[atom], 0, np.nextafter(1, 0))
    return atoms, position
