"""Summaries of columns: right counts, and nothing that fewer than five subjects share."""

from __future__ import annotations

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.sources.frame import FrameSource
from ehrsatz.sources.profile import profile


def test_counts_levels_and_bins() -> None:
    n = 200
    frame = pl.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(n)],
            "group": ["a"] * 150 + ["b"] * 47 + ["rare"] * 3,
            "age": [None if i < 20 else 20 + i % 60 for i in range(n)],
            "lab": [1e6 if i == 7 else i / 10 for i in range(n)],
        }
    )
    found = {one.name: one for one in profile(FrameSource().read(frame))}
    assert found["patient_id"].top == () and found["patient_id"].distinct == n
    assert found["group"].top == (("a", 0.75), ("b", 0.235))
    assert found["age"].missing == 0.1 and found["age"].distinct == 60
    for name in ("age", "lab"):
        bins = found[name].bins
        assert 2 <= len(bins) <= 10 and sum(share for _, _, share in bins) == pytest.approx(1, abs=0.01)
        present = frame[name].drop_nulls()
        for low, high, share in bins:
            assert present.is_between(low, high, closed="left").sum() >= MIN_SUBJECTS  # type: ignore[arg-type]
            assert share > 0
    assert found["lab"].bins[-1][1] == 1_100_000


def test_one_subject_alone_makes_no_bin_and_no_level() -> None:
    frame = pl.DataFrame(
        {"patient_id": ["a"] * 50 + ["b"] * 50, "x": [i / 7 for i in range(100)], "g": ["u", "v"] * 50}
    )
    for one in profile(FrameSource().read(frame, subject="patient_id")):
        assert one.bins == () and one.top == ()


@pytest.mark.parametrize("case", ["tidy", "nasty", "tidy_linked", "nasty_linked", "visits"])
def test_every_tiny_dataset(case: str, request: pytest.FixtureRequest) -> None:
    dataset: Dataset = request.getfixturevalue(case)
    again = FrameSource().read(dict(dataset.tables))
    for one in (*profile(dataset), *profile(again)):
        assert 0 <= one.missing <= 1
        one.as_dict()
    assert again.n_rows == dataset.n_rows
