"""Calibration of margins: what is drawn meets the shares of the data, and dependence stays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, ndtri, softmax
from scipy.stats import kstest, spearmanr

from ehrsatz.codecs.hierarchy import Hierarchy
from ehrsatz.codecs.signals import Signal, SignalCode, smooth_cells
from ehrsatz.generators.calibrate import calibrate_values, learn_shift, learn_values
from ehrsatz.seeds import stream

TREE = Signal("tree", 4, False, hierarchy=Hierarchy((0, 0, 1, 1), (0, 1, 0, 1)))
CODE = SignalCode(
    (
        Signal("quantile", 20, True, heavy=(0,), share=(0.2, *([0.8 / 19] * 19))),  # state: smooth, spike, missing
        Signal("levels", 3, False),
        Signal("quantile", 20, False, share=tuple([0.05] * 20)),
        TREE,
    )
)


def draws(n: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    rng = stream(3, "drawn")
    common = rng.normal(size=n)
    values = np.stack([np.exp(common) - 1, 0.4 * common + 0.3 * rng.normal(size=n) + 0.7], axis=1)
    levels = np.stack([rng.integers(0, 3, n), rng.integers(0, 3, n), rng.integers(0, 2, n), rng.integers(0, 2, n)], 1)
    return values, levels.astype(np.int32)


def test_smooth_cells_follow_the_state() -> None:
    _, levels = draws()
    smooth = smooth_cells(CODE, levels)
    assert (smooth[:, 0] == (levels[:, 0] == 0)).all() and smooth[:, 1].all()


def test_values_become_standard_normal_and_keep_their_ranks() -> None:
    values, levels = draws()
    knots = learn_values(CODE, values, levels)
    fresh, states = values[::-1][:3_000], levels[::-1][:3_000]
    out = calibrate_values(knots, fresh)
    smooth = smooth_cells(CODE, states)
    for c in range(2):
        assert kstest(fresh[smooth[:, c], c], "norm").statistic > 0.15
        assert kstest(out[smooth[:, c], c], "norm").statistic < 0.03
    assert spearmanr(out).statistic == pytest.approx(spearmanr(fresh).statistic, abs=1e-9)


def test_a_constant_channel_and_one_with_few_draws_are_left_finite() -> None:
    values, levels = draws(300)
    values[:, 1] = 0.5
    knots = learn_values(CODE, values, levels)  # some hundred smooth cells in the first channel
    assert np.isfinite(calibrate_values(knots, values)).all()
    assert calibrate_values(knots, values)[:, 0] == pytest.approx(values[:, 0])
    assert (np.diff(knots, axis=1) > 0).all()


def test_level_shares_are_met_and_places_left_alone() -> None:
    rng = stream(4, "logits")
    logits = rng.normal(size=(4_000, sum(CODE.sizes))) * 1.5 + np.linspace(0, 2, sum(CODE.sizes))
    margins = [np.array(one) for one in ([0.7, 0.25, 0.05], [0.1, 0.9, 0.0], [0.4, 0.6], [0.5, 0.5])]
    shift = learn_shift(CODE, logits, margins)
    start = 0
    for k, size in enumerate(CODE.sizes):
        mean = softmax(logits[:, start : start + size] + shift[start : start + size], axis=1).mean(axis=0)
        if k in CODE.below:
            assert (shift[start : start + size] == 0).all()
        else:
            assert mean == pytest.approx(margins[k], abs=0.01)
        start += size
    same = learn_shift(CODE, log_softmax(np.zeros((10, sum(CODE.sizes))), axis=1), [np.ones(s) / s for s in CODE.sizes])
    assert np.ptp(same) == pytest.approx(0.0, abs=1e-9)


def test_values_beyond_the_knots_keep_their_distance() -> None:
    knots = np.array([learn_values(CODE, *draws())[1]])
    far = np.array([[knots[0, -1]], [knots[0, -1] + 1.0]])
    assert np.diff(calibrate_values(knots, far), axis=0)[0, 0] == pytest.approx(1.0)
    assert ndtri(0.998) == pytest.approx(calibrate_values(knots, far)[0, 0])
