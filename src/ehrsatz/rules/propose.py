"""Propose the constraints that data keep without exception."""

from __future__ import annotations

from ehrsatz.dataset import Dataset


def propose(dataset: Dataset) -> Dataset:
    """Return the dataset with constraints added to its schema."""
    return dataset
