"""Put the margins of a trained network right: what it draws of each channel is mapped onto what the data hold.

Value channels of the scheme "quantile" are standard normal among smooth cells by construction, so the quantiles of
drawn values are mapped to those of the normal distribution, monotonously, which leaves ranks and so the dependence
between columns alone. Level channels get a constant added to each entry's logit, so that the mean probability of
each entry is its share in the data; that is the least change in Kullback-Leibler divergence that does so.

What is learned are numbers about the network's own draws and shares of entries: no row and no cell of the data.

References
----------
Cannon, Sobie and Murdock, Bias correction of GCM precipitation by quantile mapping, Journal of Climate 28 (2015),
doi:10.1175/JCLI-D-14-00754.1 (quantile mapping); Saerens, Latinne and Decaestecker, Adjusting the outputs of a
classifier to new a priori probabilities, Neural Computation 14 (2002), doi:10.1162/089976602753284446 (shares of
classes by a factor on each, found by repetition).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.codecs.signals import SignalCode, smooth_cells

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

ROWS = 4_096  # draws that a calibration is well learned from
_KNOTS = ndtri(np.concatenate([[0.002, 0.01], np.arange(1, 32) / 32, [0.99, 0.998]]))  # where the map bends
_LEAST = 200  # smooth draws below which a value channel is left as it is
_STEPS = 10
_MOST = 8.0  # largest shift of a logit
_TINY = 1e-4  # share below which an entry is not chased any further


def learn_values(code: SignalCode, values: Floats, levels: Ints) -> Floats:
    """Learn the map of each value channel from what the network draws.

    Parameters
    ----------
    values, levels : shapes (R, C) and (R, K), drawn by the network; about `ROWS` rows.

    Returns
    -------
    Shape (C, M): drawn quantiles at M fixed levels; the normal ones themselves where there is too little to learn from.
    """
    from scipy.special import ndtr

    knots = np.tile(_KNOTS, (len(code.values), 1))
    for c, rows in enumerate(smooth_cells(code, levels).T):
        drawn = values[rows, c]
        if len(drawn) >= _LEAST:
            found = np.quantile(drawn, ndtr(_KNOTS))
            # equal quantiles would make the map a step: keep every piece a little wide
            knots[c] = np.maximum.accumulate(found + 1e-6 * np.arange(len(found)))
    return knots


def calibrate_values(knots: Floats, values: Floats) -> Floats:
    """Return drawn values (R, C) mapped so that their quantiles are the normal ones; beyond the knots by shifts."""
    out = np.empty_like(values, dtype=np.float64)
    for c, found in enumerate(knots):
        inside = np.clip(values[:, c], found[0], found[-1])
        out[:, c] = np.interp(inside, found, _KNOTS) + (values[:, c] - inside)
    return out


def learn_shift(code: SignalCode, logits: Floats, margins: Sequence[Floats]) -> Floats:
    """Learn what to add to each logit.

    Parameters
    ----------
    logits : shape (R, sum of sizes), of rows that the network draws; about `ROWS` rows.
    margins : share of each entry of each level channel in the data.

    Returns
    -------
    Shape (sum of sizes,). Channels of places within a group are left alone: a place means another level in each.
    """
    shift = np.zeros(sum(code.sizes))
    start = 0
    for k, size in enumerate(code.sizes):
        part = slice(start, start + size)
        if k not in code.below and size > 1:
            shift[part] = _shift(logits[:, part].astype(np.float64), np.asarray(margins[k], dtype=np.float64))
        start += size
    return shift


def _shift(logits: Floats, share: Floats) -> Floats:
    """Shift of each entry's logit, shape (S,), so that mean probabilities of logits (R, S) meet the shares."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    wanted = np.maximum(share, _TINY)
    shift = np.zeros(len(share))
    for _ in range(_STEPS):
        weight = odds * np.exp(shift)
        mean = (weight / weight.sum(axis=1, keepdims=True)).mean(axis=0)  # (R, S) -> (S,)
        shift = np.clip(shift + np.log(wanted / np.maximum(mean, _TINY)), -_MOST, _MOST)
    return shift
