"""The contract of a generator."""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.errors import DataError, InfeasibleError, ModelError, NotFittedError, UnsupportedError
from ehrsatz.generators.base import Generator
from ehrsatz.generators.folder import MODEL_FORMAT
from ehrsatz.schema import MIN_SUBJECTS, Table
from ehrsatz.testing.base import demand, expect, fresh, has_links, same_tables, subjects, succeed, untouched
from ehrsatz.testing.disclosure import check_model_privacy
from ehrsatz.testing.elsewhere import sample_elsewhere

HANDLES = frozenset({"static", "events", "links"})


def check_generator(
    generator: type[Generator] | Generator, dataset: Dataset, *, seed: int = 1, n: int = 200, n_private: int = 20
) -> None:
    """Check the whole contract of a generator on one dataset.

    It refuses to sample unfitted; leaves its input and the process's random state alone; gives n subjects of the same
    kinds, levels and missingness, with unique keys and links that resolve; same seed same rows, other seed other rows;
    shards equal the whole; conditions hold in every row, or are refused before anything is drawn; a saved model gives
    the same rows in a new process, is refused when altered or newer, and holds no value of fewer than five subjects;
    as many subjects as its `least` says are enough to learn from, and fewer are refused. A structure that it does not
    handle it refuses by name.

    Parameters
    ----------
    generator
        A class, made with its defaults, or an instance, remade with its parameters. Its module must be importable.
    dataset
        What to learn from; small is enough.
    seed
        Decides the draws.
    n
        Subjects to sample where shares are looked at, 40 or more.
    n_private
        Subjects that a dataset must have for the search of rare values in the model to be made.

    Raises
    ------
    AssertionError
        With what failed.
    """
    model = fresh(generator)
    _check_socket(model)
    expect(NotFittedError, lambda: model.sample(1, seed=seed), "sample before fit")
    with tempfile.TemporaryDirectory() as place:
        expect(NotFittedError, lambda: model.save(Path(place) / "early"), "save before fit")
    if has_links(dataset) and "links" not in model.handles:
        expect(UnsupportedError, lambda: model.fit(dataset, seed=seed), "fit on linked rows that it does not handle")
        return
    before = {name: frame.clone() for name, frame in dataset.tables.items()}
    model = untouched(lambda chance: _fit(generator, dataset, chance), seed, "fit")
    whole = untouched(lambda chance: succeed(lambda: model.sample(n, seed=chance), "sample"), seed, "sample")
    same_tables(before, dataset.tables, "fit or sample changes the dataset it learns from")
    _check_sample(dataset, whole, n)
    _check_seeds(model, dataset, whole, seed, n)
    _check_shards(model, seed)
    _check_given(model, dataset, seed)
    with tempfile.TemporaryDirectory() as place:
        _check_disk(fresh(generator).fit(dataset, seed=seed), model, Path(place), seed)
    few = dataset.take_subjects(subjects(dataset)[: model.least])
    demand(fresh(generator).fit(few, seed=seed).sample(3, seed=seed).n_subjects == 3, "'least' subjects are not enough")
    if model.least > 1:
        fewer = dataset.take_subjects(subjects(dataset)[: model.least - 1])
        expect(DataError, lambda: fresh(generator).fit(fewer, seed=seed), "fit on fewer subjects than 'least'")
    if dataset.n_subjects >= n_private:
        check_model_privacy(generator, dataset, seed=seed)


def _fit(generator: type[Generator] | Generator, dataset: Dataset, seed: int) -> Generator:
    model = fresh(generator)
    returned = succeed(lambda: model.fit(dataset, seed=seed), "fit")
    demand(returned is model, "fit does not return the generator itself")
    return model


def _check_socket(model: Generator) -> None:
    cls = type(model)
    for name in ("name", "handles", "reference"):
        demand(bool(getattr(cls, name, None)), f"the class has no '{name}'")
    demand(set(model.handles) <= HANDLES, f"'handles' names more than {', '.join(sorted(HANDLES))}")
    for parameter in inspect.signature(cls.__init__).parameters.values():
        if parameter.name == "self" or cls.__init__ is object.__init__:
            continue
        demand(parameter.kind is parameter.KEYWORD_ONLY, f"the parameter '{parameter.name}' is not keyword-only")
        demand(hasattr(model, parameter.name), f"the parameter '{parameter.name}' is not stored under its own name")
        demand(parameter.default is not parameter.empty, f"the parameter '{parameter.name}' has no default")
    learned = [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    demand(not learned, f"the constructor sets learned attributes: {', '.join(learned)}")


def _check_sample(train: Dataset, drawn: Dataset, n: int) -> None:
    demand(drawn.schema == train.schema, "the sample's schema differs from the training data's")
    demand(drawn.provenance.origin == "generated", "the sample's origin is not 'generated'")
    demand(drawn.n_subjects == n, f"{n} subjects were asked for, {drawn.n_subjects} came")
    parent = train.schema.parent
    if subject_key(train.schema, parent) is None or len(train.schema.tables) > 1:
        demand(drawn.table.height == n, f"{n} rows of {parent.name} were asked for, {drawn.table.height} came")
    for table in train.schema.tables:
        real, fake = train.tables[table.name], drawn.tables[table.name]
        for column in table.columns:
            where = f"{table.name}.{column.name}"
            _check_missing(real[column.name], fake[column.name], where)
            if column.kind in {"category", "code"} and column.disclosure != "direct" and column.role != "subject":
                strange = ~fake[column.name].drop_nulls().is_in(real[column.name].drop_nulls().unique().implode())
                demand(not strange.any(), f"{where}: {int(strange.sum())} rows hold a level that no training row has")


def _check_missing(real: pl.Series, fake: pl.Series, where: str) -> None:
    if not len(real) or not len(fake):
        return
    share, got = real.null_count() / len(real), fake.null_count() / len(fake)
    demand(share > 0 or got == 0, f"{where}: never missing in the training data, missing in the sample")
    demand(share < 1 or got == 1, f"{where}: always missing in the training data, filled in the sample")
    if 0.15 < share < 0.85 and len(fake) >= 40:
        demand(got > 0, f"{where}: missing in {share:.0%} of the training rows, never in the sample")
        demand(got < 1, f"{where}: missing in {share:.0%} of the training rows, always in the sample")


def _check_seeds(model: Generator, train: Dataset, whole: Dataset, seed: int, n: int) -> None:
    same_tables(whole.tables, model.sample(n, seed=seed).tables, "the same seed gives other rows")
    drawn = _drawn(model, train)
    varied = any(train.tables[table][name].n_unique() > 1 for table, names in drawn.items() for name in names)
    other = model.sample(n, seed=seed + 1)
    pairs = [(whole.tables[table].select(names), other.tables[table].select(names)) for table, names in drawn.items()]
    differs = any(not one.equals(two) for one, two in pairs)
    demand(not varied or differs, "another seed gives the same rows, fabricated identifiers apart")
    empty = model.sample(0, seed=seed)
    demand(empty.n_rows == 0 and empty.schema == train.schema, "sample(0) is not an empty dataset")


def _drawn(model: Generator, train: Dataset) -> dict[str, list[str]]:
    """The columns of each table that the method itself draws: no identifiers, keys or links."""
    structural = {"subject", "key", "link"}
    return {
        table.name: [
            column.name
            for column in table.columns
            if column.role not in structural and column.name not in model.identifiers_.columns(table.name)
        ]
        for table in train.schema.tables
    }


def _check_shards(model: Generator, seed: int, given: Mapping[str, Any] | None = None) -> None:
    whole = model.sample(10, seed=seed, given=given)
    parts = [model.sample(4, seed=seed, given=given), model.sample(6, seed=seed, given=given, first=4)]
    for name, frame in whole.tables.items():
        joined = pl.concat([part.tables[name] for part in parts])
        differ = [column for column in frame.columns if not frame[column].equals(joined[column], null_equal=True)]
        demand(not differ, f"{name}: sample(10) is not sample(4) and sample(6, first=4); in: {', '.join(differ)}")


def _check_given(model: Generator, train: Dataset, seed: int) -> None:
    table = train.schema.parent
    held = set(model.identifiers_.columns(table.name)) | set(model.constraints_.derived(table.name))
    varying = _varying(train)  # of a subject's rows; a condition on the subject says nothing of them
    free = [one for one in table.columns if one.role == "attribute" and one.name not in held | varying]
    for column in [one for one in free if model.conditions and one.kind not in model.conditions_on][:1]:
        alien = {column.name: train.table[column.name].drop_nulls().max()}
        what = "given on a kind it does not honour"
        expect(UnsupportedError, lambda: model.sample(3, seed=seed, given=alien), what)  # noqa: B023
    free = [one for one in free if one.kind in model.conditions_on or not model.conditions]
    wishes = [wish for column in free for wish in _wishes(model, train.table[column.name], column.kind)]
    if not wishes:
        return
    if not model.conditions:
        expect(UnsupportedError, lambda: model.sample(3, seed=seed, given=wishes[0]), "given, without conditions")
        return
    for wish in wishes:
        _check_honoured(model.sample(12, seed=seed, given=wish), wish, table)
    _check_shards(model, seed, given=wishes[0])
    first, last = next(iter(wishes[0])), next(iter(wishes[-1]))
    if first != last:
        both = {**wishes[0], **wishes[-1]}
        try:
            drawn = model.sample(12, seed=seed, given=both)
        except InfeasibleError:
            drawn = None  # said before sampling: allowed for conditions that no training row meets together
        if drawn is not None:
            _check_honoured(drawn, both, table)
    rows = train.table.select(first).drop_nulls().filter(pl.col(first).is_in(_common(model, train, first))).head(6)
    if rows.height:
        drawn = model.sample(rows.height, seed=seed, given=rows)
        demand(drawn.table[first].equals(rows[first]), f"{table.name}.{first}: given as a frame is not kept row by row")
    expect(InfeasibleError, lambda: model.sample(3, seed=seed, given={"no such column": 1}), "given an unknown column")
    for column in free:
        if model.levels_.get(column.name):
            wish = {column.name: "no such level"}
            expect(InfeasibleError, lambda: model.sample(3, seed=seed, given=wish), "given an unknown level")  # noqa: B023
            break


def _varying(train: Dataset) -> set[str]:
    """Columns of the parent table that differ between rows of one subject."""
    key = subject_key(train.schema, train.schema.parent)
    if key is None or train.n_subjects == train.table.height:
        return set()
    most = train.table.group_by(key).agg(pl.exclude(key).n_unique()).drop(key).max()
    return {name for name in most.columns if most[name][0] > 1}


def _common(model: Generator, train: Dataset, name: str) -> pl.Series:
    cells = train.table[name]
    known = model.levels_.get(name)
    return (cells.drop_nulls().unique() if known is None else pl.Series(name, known, dtype=pl.String)).implode()


def _wishes(model: Generator, cells: pl.Series, kind: str) -> Iterator[dict[str, Any]]:
    """Conditions on one column that the training data can meet: its rarest and commonest level, a band, a share."""
    name, present = cells.name, cells.drop_nulls()
    if kind in {"category", "code", "boolean"}:
        counts = present.value_counts(sort=True, name="n").filter(pl.col("n") >= MIN_SUBJECTS)
        levels = sorted(counts[name].to_list()[:1] + counts[name].to_list()[-1:], key=str)
        for level in dict.fromkeys(levels):
            yield {name: level}
        if len(set(levels)) > 1:
            yield {name: {"any": levels}}
            yield {name: {"share": {levels[0]: 0.25, levels[1]: 0.75}}}
    elif len(present) >= 20 and present.n_unique() > 4:
        ordered = present.sort()
        low, high = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
        if low < high:
            yield {name: {"min": low, "max": high}}
            yield {name: {"min": low}}


def _check_honoured(drawn: Dataset, wish: Mapping[str, Any], table: Table) -> None:
    demand(drawn.n_subjects == 12, f"given: 12 subjects were asked for, {drawn.n_subjects} came")
    for name, what in wish.items():
        cells, kept = drawn.table[name], None
        if not isinstance(what, Mapping):
            kept = cells == what
        elif "any" in what:
            kept = cells.is_in(what["any"])
        elif "share" in what:
            wrong = {
                level: abs(int((cells == level).sum()) - share * len(cells)) for level, share in what["share"].items()
            }
            demand(max(wrong.values()) <= 1, f"{table.name}.{name}: given shares are missed by more than one row")
        else:
            kept = pl.Series([True] * len(cells))
            kept = kept if what.get("min") is None else kept & (cells >= what["min"])
            kept = kept if what.get("max") is None else kept & (cells <= what["max"])
        if kept is not None:
            bad = len(cells) - int(kept.fill_null(False).sum())
            demand(bad == 0, f"{table.name}.{name}: {bad} of {len(cells)} rows do not honour given")


# ---------------------------------------------------------------------- models on disk
def _check_disk(again: Generator, model: Generator, place: Path, seed: int) -> None:
    folder, second = place / "model", place / "again"
    model.save(folder)
    again.save(second)
    names = sorted(path.name for path in folder.iterdir())
    demand(names == ["generator.json", "weights.npz"], "the model folder is not generator.json and weights.npz alone")
    for name in names:
        same = (folder / name).read_bytes() == (second / name).read_bytes()
        demand(same, f"fitted twice with one seed, {name} differs")
    expect(OSError, lambda: model.save(folder), "save into a folder that is not empty")
    cls = type(model)
    tables = sample_elsewhere(cls, folder, place, n=11, seed=seed, first=3)
    if isinstance(tables, str):
        raise AssertionError(f"a new process cannot load the model and sample: {tables}")
    here = model.sample(11, seed=seed, first=3)
    there = dict(zip(here.tables, tables))
    same_tables(here.tables, there, "saved and loaded in a new process, the same seed gives other rows")
    _check_tampering(cls, folder)


def _check_tampering(cls: type[Generator], folder: Path) -> None:
    head, weights = folder / "generator.json", folder / "weights.npz"
    text, blob = head.read_text(encoding="utf-8"), weights.read_bytes()
    changed = json.loads(text)

    def reload() -> Generator:
        return cls.load(folder)

    weights.write_bytes(blob[:-7] + bytes([blob[-7] ^ 1]) + blob[-6:])
    expect(ModelError, reload, "load with one bit of weights.npz changed")
    weights.write_bytes(blob)
    head.write_text(json.dumps({**changed, "seed": changed["seed"] + 1}, sort_keys=True), encoding="utf-8")
    expect(ModelError, reload, "load with generator.json changed")
    head.write_text(json.dumps({**changed, "format": MODEL_FORMAT + 1}, sort_keys=True), encoding="utf-8")
    expect(ModelError, reload, "load of a model of a newer format")
    head.write_text(text[: len(text) // 2], encoding="utf-8")
    expect(ModelError, reload, "load with generator.json cut off")
    head.unlink()
    expect(ModelError, reload, "load without generator.json")
    head.write_text(text, encoding="utf-8")
    weights.unlink()
    expect(ModelError, reload, "load without weights.npz")
    weights.write_bytes(blob)
    reload()
