"""Signals for networks: whatever is shown comes back as the same atom, and whatever a network says is a valid cell."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from conftest import MAKERS
from ehrsatz.codecs.hierarchy import decode_hierarchy, encode_hierarchy, is_icd, learn_hierarchy
from ehrsatz.codecs.modes import decode_modes, encode_modes, learn_modes
from ehrsatz.codecs.signals import SignalCode, decode_signals, encode_signals, learn_signals
from ehrsatz.codecs.table import decode_table, learn_table, place_table, to_floats
from ehrsatz.schema import Column, Table
from ehrsatz.seeds import stream


@pytest.mark.parametrize("scheme", ["quantile", "modes"])
@pytest.mark.parametrize("data", ["tidy", "nasty"])
def test_atoms_come_back(data: str, scheme: str) -> None:
    dataset = MAKERS[data]()
    table = dataset.schema.parent
    code = learn_table(dataset.table, table)
    atoms, position = place_table(code, dataset.table)
    cells = np.zeros(atoms.shape)
    for d, name in enumerate(code.names):
        if table[name].is_numeric:
            cells[:, d] = to_floats(dataset.table[name])
    signals = learn_signals(code, atoms, cells, scheme=scheme, rng=stream(1, "modes"))
    signals = SignalCode.from_dict(signals.to_dict())
    u = stream(1, "u").random(atoms.shape)
    values, levels = encode_signals(signals, atoms, position, cells, u=u)
    assert np.isfinite(values).all() and (levels >= 0).all() and (levels < np.array(signals.sizes)).all()
    back, spot = decode_signals(signals, code, values, levels, u)
    assert (back == atoms).mean() > (0.999 if scheme == "quantile" else 0.97)
    assert decode_table(code, back, spot).height == len(atoms)


def test_any_numbers_are_valid_cells() -> None:
    dataset = MAKERS["nasty"]()
    code = learn_table(dataset.table, dataset.schema.parent)
    atoms, _ = place_table(code, dataset.table)
    signals = learn_signals(code, atoms, np.zeros(atoms.shape), rng=stream(1, "modes"))
    rng = stream(2, "noise")
    values = rng.normal(0, 50, (500, len(signals.values)))
    levels = (rng.random((500, len(signals.sizes))) * np.array(signals.sizes)).astype(np.int32)
    back, spot = decode_signals(signals, code, values, levels, rng.random((500, len(code.names))))
    assert (back < np.array(code.sizes)).all() and (spot >= 0).all() and (spot < 1).all()
    assert decode_table(code, back, spot)["groß"].drop_nulls().ge(10**12).all()


def test_a_quantile_signal_has_a_normal_margin_beside_its_spikes() -> None:
    rng = stream(3, "lab")
    cells = np.where(rng.random(4_000) < 0.3, 0.0, np.round(np.exp(rng.normal(2, 1, 4_000)), 1))
    frame = pl.DataFrame({"lab": pl.Series([None if rng.random() < 0.2 else float(x) for x in cells])})
    table = Table("t", (Column("lab", "number"),))
    code = learn_table(frame, table)
    atoms, position = place_table(code, frame)
    signals = learn_signals(code, atoms, np.zeros(atoms.shape), rng=stream(1, "modes"))
    assert signals.sizes == (3,)  # smooth, zero, missing
    values, levels = encode_signals(signals, atoms, position, u=rng.random(atoms.shape))
    smooth = values[levels[:, 0] == 0, 0]
    assert abs(smooth.mean()) < 0.05 and abs(smooth.std() - 1) < 0.05
    assert abs((levels[:, 0] == 2).mean() - frame["lab"].null_count() / 4_000) < 1e-9


def test_icd_codes_are_grouped_by_chapter_and_come_back() -> None:
    codes = tuple(sorted([f"{n}" for n in range(390, 460)] + [f"250.{n:02d}" for n in range(40)] + ["V45", "E888"]))
    assert is_icd(codes) and not is_icd(("red", "green", "250.1"))
    tree = learn_hierarchy(codes, len(codes) + 2)
    atoms = np.arange(len(codes) + 2, dtype=np.int32)
    groups, places = encode_hierarchy(tree, atoms)
    assert (decode_hierarchy(tree, groups, places) == atoms).all()
    circulatory = {int(groups[i]) for i, code in enumerate(codes) if code.isdigit() and 390 <= int(code) <= 459}
    diabetes = {int(groups[i]) for i, code in enumerate(codes) if code.startswith("250")}
    assert not circulatory & diabetes
    assert tree.n_places <= 2 * np.sqrt(len(codes) + 2) + 1


def test_modes_find_two_hills_and_give_values_back() -> None:
    rng = stream(4, "hills")
    values = np.concatenate([rng.normal(-5, 0.5, 600), rng.normal(7, 1.0, 400)])
    code = learn_modes(values, stream(1, "fit"))
    assert any(abs(mean + 5) < 0.5 for mean in code.means) and any(abs(mean - 7) < 0.7 for mean in code.means)
    modes, distance = encode_modes(code, values, rng.random(1_000))
    assert np.abs(decode_modes(code, modes, distance) - values).max() < 0.5
    lonely = learn_modes(np.append(rng.normal(0, 1, 400), 1e6), stream(1, "fit"))
    assert max(abs(mean) for mean in lonely.means) < 1e3  # one far value is no mode
