"""A population of patients, and synthetic tables of it that leak in a known way, or do not leak at all.

The honest ones: a further sample, and a tree of pairwise tables (as MST), with and without noise in the counts. The
leaking ones: copies, near copies, copies of unusual patients or of one region only, and rows that keep three true
values of a patient while the rest is redrawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import Dataset
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table, dtype_of

COLUMNS = (
    ("age", "integer", "quasi"),
    ("sex", "category", "quasi"),
    ("region", "category", "quasi"),
    ("bmi", "number", "none"),
    ("sbp", "integer", "none"),
    ("dbp", "integer", "none"),
    ("cholesterol", "number", "none"),
    ("glucose", "number", "none"),
    ("creatinine", "number", "none"),
    ("smoker", "boolean", "none"),
    ("diagnosis", "category", "sensitive"),
    ("stay_days", "integer", "none"),
    ("died", "boolean", "sensitive"),
)
SCHEMA = Schema("planted", (Table("patients", tuple(Column(n, k, disclosure=d) for n, k, d in COLUMNS)),))  # type: ignore[arg-type]
NUMBERS = ("age", "bmi", "sbp", "dbp", "cholesterol", "glucose", "creatinine", "stay_days")
KEPT = ("age", "bmi", "sbp")
BINS = 12


def patients(n: int, rng: np.random.Generator) -> pl.DataFrame:
    """Draw n patients of the population."""
    age = np.clip(rng.normal(62, 15, n), 18, 100).round().astype(int)
    sex = rng.choice(["F", "M"], n)
    bmi = np.round(20 + 0.05 * age + rng.gamma(3, 1.6, n), 1)
    sbp = np.round(95 + 0.5 * age + 0.6 * (bmi - 25) + rng.normal(0, 12, n)).astype(int)
    stay = rng.poisson(3 + 0.04 * age)
    return pl.DataFrame(
        {
            "age": age,
            "sex": sex,
            "region": rng.choice(list("ABCDEFGH"), n, p=[0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.03]),
            "bmi": bmi,
            "sbp": sbp,
            "dbp": np.round(0.45 * sbp + 20 + rng.normal(0, 8, n)).astype(int),
            "cholesterol": np.round(4.2 + 0.01 * age + rng.normal(0, 0.9, n), 1),
            "glucose": np.round(4.5 + np.exp(rng.normal(0, 0.5, n)) + 0.03 * (bmi - 25), 1),
            "creatinine": np.round(60 + 0.3 * age + 20 * (sex == "M") + rng.gamma(2, 8, n)),
            "smoker": rng.random(n) < np.where(sex == "M", 0.35, 0.2),
            "diagnosis": rng.choice(
                ["I10", "E11", "J44", "I50", "N18", "C34"], n, p=[0.35, 0.25, 0.15, 0.12, 0.08, 0.05]
            ),
            "stay_days": stay,
            "died": rng.random(n) < 1 / (1 + np.exp(6 - 0.05 * age - 0.1 * stay)),
        }
    )


def dataset(frame: pl.DataFrame) -> Dataset:
    """Return rows as a dataset; quasi-identifiers and sensitive columns are marked."""
    return Dataset(SCHEMA, {"patients": frame.cast({n: dtype_of(k) for n, k, _ in COLUMNS})}, Provenance("real"))  # type: ignore[arg-type]


def cases(train: pl.DataFrame, n: int, rng: np.random.Generator) -> dict[str, tuple[str, Callable[[], pl.DataFrame]]]:
    """Return synthetic tables of n rows by name: whether they leak, and how they are made.

    "learned" are those that copy no row but follow the counts of the training rows: a test that is exact and sharp
    finds that dependence more often than in one table of twenty.
    """
    spread = {name: float(train[name].std()) for name in NUMBERS}  # type: ignore[arg-type]
    far = sum(((train[name].to_numpy() - train[name].mean()) / spread[name]) ** 2 for name in NUMBERS)
    outliers = train[np.argsort(-np.asarray(far))[: max(1, n // 20)].tolist()]
    region = train.filter(pl.col("region") == "F")

    def fresh() -> pl.DataFrame:
        return patients(n, rng)

    def pick(k: int, rows: pl.DataFrame = train) -> pl.DataFrame:
        return rows[rng.permutation(rows.height)[:k].tolist()]

    def among(rows: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([rows, fresh()[rows.height :]])

    def blurred(rows: pl.DataFrame, size: float) -> pl.DataFrame:
        made = {}
        for name in NUMBERS:
            cells = rows[name].to_numpy() + rng.normal(0, size * spread[name], rows.height)
            whole = rows[name].dtype == pl.Int64 or name == "creatinine"
            made[name] = np.round(cells).astype(rows[name].to_numpy().dtype) if whole else np.round(cells, 1)
        return rows.with_columns(**{name: pl.Series(cells) for name, cells in made.items()})

    def keeping(k: int) -> pl.DataFrame:
        rows = fresh()
        return pl.concat([rows[:k].with_columns(pick(k).select(KEPT).get_columns()), rows[k:]])

    def one_region() -> pl.DataFrame:
        rest = fresh().filter(pl.col("region") != "F")
        return pl.concat([region, rest[: n - region.height], pick(max(0, n - region.height - rest.height), rest)])

    return {
        "further sample": ("no", fresh),
        "tree of tables (MST)": ("learned", lambda: tree(train, n, rng)),
        "tree of tables with noise (as DP-MST at epsilon 1)": ("learned", lambda: tree(train, n, rng, noise=12.0)),
        "1 % copies": ("yes", lambda: among(pick(max(1, n // 100)))),
        "5 % copies": ("yes", lambda: among(pick(n // 20))),
        "100 % copies": ("yes", lambda: pick(n)),
        "5 % near copies (numbers + 0.05 sd)": ("yes", lambda: among(blurred(pick(n // 20), 0.05))),
        "all near copies (numbers + 0.05 sd)": ("yes", lambda: blurred(pick(n), 0.05)),
        "all near copies (numbers + 0.3 sd)": ("yes", lambda: blurred(pick(n), 0.3)),
        "copies of unusual patients (2 % of rows)": ("yes", lambda: among(pick(n // 50, outliers))),
        "one region copied, the others fresh": ("yes", one_region),
        "copies of one region (2 % of rows)": ("yes", lambda: among(pick(min(n // 50, region.height), region))),
        "age, bmi, sbp kept, the rest redrawn": ("yes", lambda: keeping(n)),
        "age, bmi, sbp kept in 10 % of rows": ("yes", lambda: keeping(n // 10)),
    }


# ---------------------------------------------------------------------- a generator that cannot copy rows
def tree(train: pl.DataFrame, n: int, rng: np.random.Generator, noise: float = 0.0) -> pl.DataFrame:
    """Draw rows from a tree of two-way tables over bins that are fixed beforehand, Gaussian noise in every count.

    With noise this has the shape of DP-MST (McKenna et al. 2021, arXiv:2108.04978), not its accounting.
    """
    bounds = {name: (float(low), float(high)) for name, (low, high) in _bounds().items()}
    codes, sizes = _coded(train, bounds)
    names = list(codes)
    share: dict[tuple[int, int], NDArray[np.float64]] = {}
    gain = np.full((len(names), len(names)), -np.inf)
    for i in range(len(names)):
        for j in range(i):
            count = np.bincount(
                codes[names[i]] * sizes[names[j]] + codes[names[j]], minlength=sizes[names[i]] * sizes[names[j]]
            )
            count = np.maximum(count + rng.normal(0, noise, len(count)) * (noise > 0), 0) + 1e-9
            p = count.reshape(sizes[names[i]], sizes[names[j]]) / count.sum()
            share[i, j] = p
            gain[i, j] = gain[j, i] = float((p * np.log(p / np.outer(p.sum(1), p.sum(0)))).sum())
    inside, drawn = [0], {0: rng.choice(sizes[names[0]], n, p=share[1, 0].sum(0))}
    while len(inside) < len(names):
        outside = [i for i in range(len(names)) if i not in inside]
        a, b = max(((a, b) for a in inside for b in outside), key=lambda pair: gain[pair])
        p = share[b, a].T if b > a else share[a, b]
        p = np.cumsum(p / p.sum(1, keepdims=True), axis=1)
        drawn[b] = np.minimum((p[drawn[a]] < rng.random(n)[:, None]).sum(1), sizes[names[b]] - 1)
        inside.append(b)
    return _decoded({names[i]: drawn[i] for i in range(len(names))}, train, bounds, rng)


def _bounds() -> dict[str, tuple[int, int]]:
    return {
        "age": (18, 101),
        "bmi": (18, 45),
        "sbp": (70, 200),
        "dbp": (30, 140),
        "cholesterol": (1, 9),
        "glucose": (4, 14),
        "creatinine": (60, 190),
        "stay_days": (0, 18),
    }


def _coded(
    frame: pl.DataFrame, bounds: dict[str, tuple[float, float]]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, int]]:
    codes, sizes = {}, {}
    for name in frame.columns:
        if name in bounds:
            low, high = bounds[name]
            codes[name] = np.clip(((frame[name].to_numpy() - low) / (high - low) * BINS).astype(int), 0, BINS - 1)
            sizes[name] = BINS
        else:
            levels, codes[name] = np.unique(frame[name].cast(pl.String).to_numpy(), return_inverse=True)
            sizes[name] = len(levels)
    return codes, sizes


def _decoded(
    codes: dict[str, NDArray[np.int64]],
    train: pl.DataFrame,
    bounds: dict[str, tuple[float, float]],
    rng: np.random.Generator,
) -> pl.DataFrame:
    made = {}
    for name in train.columns:
        if name not in bounds:
            levels = np.unique(train[name].cast(pl.String).to_numpy())
            cells = pl.Series(name, levels[codes[name]])
            made[name] = cells == "true" if train[name].dtype == pl.Boolean else cells
            continue
        low, high = bounds[name]
        cells = low + (codes[name] + rng.random(len(codes[name]))) * (high - low) / BINS
        whole = train[name].dtype == pl.Int64
        made[name] = pl.Series(
            name, np.floor(cells).astype(int) if whole else np.round(cells, int(name != "creatinine"))
        )
    return pl.DataFrame(made)
