"""What is known of the rows that a network draws: conditions as channels and as flags, for families that learn both.

A condition on a range or on several values is first settled to one atom per row, drawn from the column's own
distribution within what is allowed; then every condition is a known cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.codecs.signals import SignalCode, encode_signals
from ehrsatz.codecs.table import draw_atoms
from ehrsatz.codecs.window import FREE, Window, restrict
from ehrsatz.seeds import uniforms

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """Known channels of a block: values (B, C), levels (B, K), and which columns are known, (B, D)."""

    values: NDArray[np.float32]
    levels: NDArray[np.int32]
    columns: NDArray[np.bool_]


def settle_window(
    window: Window, shares: Sequence[Floats], *, seed: int, names: Sequence[str], n: int, first: int
) -> Window:
    """Return a window in which every condition is a cell per row.

    Parameters
    ----------
    window : conditions.
    shares : per column the share of each atom and, last, of missing.
    seed, names : decide the draws.
    n, first : rows first .. first + n - 1; row i is the same whatever these are.
    """
    if not window.share:
        return window
    u = uniforms(seed, *names, "settled", n=n, width=2 * len(shares), first=first)
    fixed, position = dict(window.fixed), dict(window.position)
    for d, allowed in window.share.items():
        fixed[d] = draw_atoms(restrict(np.asarray(shares[d]), allowed), u[:, 2 * d])
        position[d] = u[:, 2 * d + 1]
    return Window(fixed=fixed, position=position)


def known_cells(code: SignalCode, window: Window, wanted: slice, target: slice, u: Floats) -> Known:
    """Return what a window says of a block's rows.

    Parameters
    ----------
    window : with a cell per row for every condition.
    wanted, target : which rows of the block are wanted, and where they stand among all rows.
    u : shape (B, D), where within the mass of a spike a known cell's score lies.
    """
    shape = (len(u), len(code.signals))
    atoms, position = np.full(shape, -1, dtype=np.int32), np.full(shape, 0.5)
    columns = np.zeros(shape, dtype=bool)
    for d, cells in window.fixed.items():
        here = cells[target]
        columns[wanted, d] = here != FREE
        atoms[wanted, d] = np.where(here != FREE, here, -1)
        position[wanted, d] = window.position[d][target]
    values, levels = encode_signals(code, atoms, position, u=u)
    return Known(values, levels, columns)
