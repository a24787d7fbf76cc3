"""Make a saved network smaller, and say what that costs: bytes, and distance to real rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ehrsatz.capsule.write import check_target, staged
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, UnsupportedError
from ehrsatz.generators.able import able_to_shrink
from ehrsatz.generators.base import Generator, Progress, load_any, silent
from ehrsatz.generators.heldout import Yardstick
from ehrsatz.reading import bundled, read
from ehrsatz.scenario import BUNDLED
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.steps import loosened

MOST_ROWS = 5_000  # drawn from each model for the comparison


@dataclass(frozen=True)
class Shrunk:
    """What shrinking did.

    Parameters
    ----------
    bytes_before, bytes_after
        Of the weights' file.
    distance_before, distance_after
        Mean total variation over pairs and triples of columns between the model's rows and the real rows; 0 is equal.
    n_rows
        Rows drawn from each.
    """

    bytes_before: int
    bytes_after: int
    distance_before: float
    distance_after: float
    n_rows: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def shrink_model(
    model: str | Path,
    folder: str | Path,
    against: str | Path,
    *,
    bits: int | None = 8,
    prune: float = 0.0,
    most_loss: float | None = None,
    subject: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Shrunk:
    """Write a smaller copy of a saved network into a new folder, and measure what it costs in fidelity.

    Parameters
    ----------
    model
        Folder that `fit` wrote.
    folder
        Appears whole, or not at all.
    against
        Real rows of the same columns, best not those that the model learned from; or the name of the bundled table.
    bits, prune
        As in `Network.shrink`.
    most_loss
        Largest rise of the distance that is accepted; None accepts any and reports it.
    subject
        Column that says whose row it is.
    seed
        Decides the rows that are compared.
    progress
        Called as progress(what, done, total).

    Raises
    ------
    UnsupportedError
        When the model is no network.
    DataError
        When there are no rows, or the loss is above `most_loss`; then nothing is written.
    SchemaError
        When the rows have other columns.
    """
    show = progress or silent
    check_target(folder)
    engine = load_any(model)
    if engine.name not in able_to_shrink():
        raise UnsupportedError(
            "Expected a model of a network to make smaller.",
            f"It is one of '{engine.name}'.",
            f"This works for: {', '.join(able_to_shrink())}.",
        )
    show("read", 0, 1)
    real = _rows(against, engine, subject, seed)
    show("read", 1, 1)
    n = min(max(real.n_subjects, 500), MOST_ROWS)
    before = engine.sample(n, seed=seed)
    show("compare", 1, 2)
    engine.shrink(bits=bits, prune=prune)  # type: ignore[attr-defined]
    after = engine.sample(n, seed=seed)
    show("compare", 2, 2)
    table = engine.schema_.parent
    stick = Yardstick(table, before.table, real.table, min_subjects=MIN_SUBJECTS, seed=seed)
    distances = [stick.distance(one.table) for one in (before, after)]
    if most_loss is not None and distances[1] - distances[0] > most_loss:
        raise DataError(
            f"Expected the distance to real rows to rise by at most {most_loss:g}.",
            f"It rises by {distances[1] - distances[0]:.4f}, from {distances[0]:.4f}.",
            "Prune less, or allow more; nothing was written.",
        )
    with staged(folder) as stage:
        engine.save(stage)
    sizes = [(Path(one) / "weights.npz").stat().st_size for one in (model, folder)]
    return Shrunk(sizes[0], sizes[1], round(distances[0], 4), round(distances[1], 4), n)


def _rows(against: str | Path, engine: Generator, subject: str | None, seed: int) -> Dataset:
    place = bundled(str(against)) if str(against) in BUNDLED else against
    real = read(place, subject=subject, schema=loosened(engine.schema_), seed=seed)
    if real.n_subjects < 1:
        raise DataError("Expected rows to compare with.", "There is none.", "Name a table with rows.")
    return real
