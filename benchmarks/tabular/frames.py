"""Read a table by its spec, the same way for every method and every score (pandas and numpy only)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Spec = dict[str, Any]
BOOLEAN = {"true": ("yes", "y", "true", "t", "1"), "false": ("no", "n", "false", "f", "0")}


def read_spec(folder: Path) -> Spec:
    """Return the spec beside a train file: name, columns (num, int, cat), target, positive, leak, missing."""
    return json.loads((folder / "spec.json").read_text(encoding="utf-8"))


def read_frame(path: Path, spec: Spec, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Read a CSV by its spec: categories as text, numbers as float64 (int64 where whole and complete).

    Parameters
    ----------
    path
        File with a header; columns may come in any order, other columns are dropped, absent ones are all missing.
    spec
        Which columns there are and which texts mean missing.
    like
        The train table. Booleans written true or false, and whole codes written with a decimal point, are then
        brought back to the spelling of its levels, so that no method loses by spelling alone.
    """
    raw = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[], low_memory=False)
    missing = {"", *spec["missing"]}
    columns = {}
    for name, kind in spec["columns"].items():
        cells = raw[name].astype(object) if name in raw else pd.Series([""] * len(raw), dtype=object)
        cells = cells.where(~cells.isin(missing), np.nan)
        if kind == "cat":
            columns[name] = cells if like is None else _respell(cells, like[name])
        else:
            columns[name] = _numbers(cells, kind)
    return pd.DataFrame(columns)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a table so that `read_frame` gives it back."""
    frame.to_csv(path, index=False)


def _numbers(cells: pd.Series, kind: str) -> pd.Series:
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    numbers = numbers.where(np.isfinite(numbers), np.nan)
    whole = kind == "int" and numbers.notna().all() and (numbers == numbers.round()).all()
    return numbers.astype("int64") if whole and (numbers.abs() < 2**53).all() else numbers


def _respell(cells: pd.Series, train: pd.Series) -> pd.Series:
    levels = [str(level) for level in train.dropna().unique()]
    spelling = {}
    for new in cells.dropna().unique():
        if new in levels:
            continue
        whole = new[:-2] if new.endswith(".0") else new
        same = [level for level in levels if level.lower() in BOOLEAN.get(new.lower(), ())]
        if whole in levels:
            spelling[new] = whole
        elif len(same) == 1 and len(levels) <= 2:
            spelling[new] = same[0]
    return cells.replace(spelling) if spelling else cells


class MissingCodes:
    """Coding for methods that refuse missing values: a flag column per number, one more level per category."""

    LEVEL = "missing"

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.flags: list[str] = []

    def encode(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the table without gaps: medians plus yes/no flags, and the level "missing"."""
        coded = frame.copy()
        self.flags = []
        for name, kind in self.spec["columns"].items():
            gaps = frame[name].isna()
            if kind == "cat":
                coded[name] = frame[name].where(~gaps, self.LEVEL).astype(str)
            elif gaps.any():
                self.flags.append(name)
                middle = frame[name].median()
                coded[name] = frame[name].fillna(0.0 if np.isnan(middle) else middle)
                coded[f"{name}_gap"] = np.where(gaps, "yes", "no")
        return coded

    def decode(self, coded: pd.DataFrame) -> pd.DataFrame:
        """Return the table with its gaps."""
        frame = coded.copy()
        for name, kind in self.spec["columns"].items():
            if kind == "cat":
                text = frame[name].astype(object)
                frame[name] = text.where(text.astype(str) != self.LEVEL, np.nan)
            elif name in self.flags:
                numbers = pd.to_numeric(frame[name], errors="coerce").astype(float)
                frame[name] = numbers.where(frame[f"{name}_gap"].astype(str) != "yes", np.nan)
        return frame[list(self.spec["columns"])]

    @property
    def categories(self) -> list[str]:
        """Names of the coded table's categories."""
        return [name for name, kind in self.spec["columns"].items() if kind == "cat"] + [
            f"{name}_gap" for name in self.flags
        ]
