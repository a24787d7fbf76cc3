"""The one interface of every generator.

`fit` and `sample` stand here once: they check, keep direct identifiers away from the method, take out what
constraints determine and put it back, and hand the rest to the method's `_fit` and `_sample`. A method sees the
"core": the same tables without direct identifiers and derived columns, with subject, key and link columns as plain
row numbers (Int64). It returns core tables, with subjects numbered from `first`.
"""

from __future__ import annotations

import inspect
import io
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz import __version__
from ehrsatz.dataset import Dataset, bound, subject_key
from ehrsatz.errors import (
    DataError,
    EhrsatzError,
    InfeasibleError,
    ModelError,
    NotFittedError,
    OutputError,
    ScenarioError,
    UnsupportedError,
    nearest,
)
from ehrsatz.generators.able import able_to_condition, siblings
from ehrsatz.generators.folder import MODEL_FORMAT, digest, pack, read_head
from ehrsatz.generators.given import Given, all_cells, apportion, asks_shares, is_cell
from ehrsatz.generators.levelled import public_levels
from ehrsatz.generators.space import Domain
from ehrsatz.privacy.identifiers import IdentifierPlan
from ehrsatz.provenance import Provenance, Step
from ehrsatz.rules.constraints import ConstraintPlan
from ehrsatz.schema import MIN_SUBJECTS, Schema
from ehrsatz.threads import one_thread

KINDS = frozenset({"integer", "number", "boolean", "category", "code", "date", "datetime"})
Progress = Callable[[str, int, int], None]  # (what, done, total)
# parameters that name a place on this machine: neither models nor releases tell them
UNTOLD = frozenset({"checkpoint", "device", "start"})


class Generator(ABC):
    """Learn a joint distribution from a dataset and draw new subjects from it.

    A subclass gives the class attributes below, keyword-only parameters stored unchanged under their own names, and
    `_fit`, `_sample`, `_state`, `_restore`. What it learns ends in `_`.
    """

    name: ClassVar[str]
    handles: ClassVar[frozenset[str]]
    conditions: ClassVar[bool] = False
    conditions_on: ClassVar[frozenset[str]] = KINDS  # kinds of columns that `given` may name
    least: ClassVar[int] = 1  # subjects below which it refuses to learn
    private: ClassVar[bool] = False
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}  # parameter -> smallest and largest value; None passes
    space: ClassVar[Mapping[str, Domain]] = {}  # parameter -> what tuning tries; found from the defaults where empty
    reference: ClassVar[str]

    schema_: Schema
    seed_: int
    n_subjects_: int
    identifiers_: IdentifierPlan
    constraints_: ConstraintPlan
    levels_: dict[str, list[str]]

    # ------------------------------------------------------------------ for the caller
    def fit(self, dataset: Dataset, *, seed: int, progress: Progress | None = None) -> Self:
        """Learn from every subject of a dataset, which is not changed.

        Parameters
        ----------
        dataset
            Rows to learn from; columns of disclosure "direct" and free text are kept away from the method.
        seed
            Decides every draw of the learning.
        progress
            Called as progress(what, done, total) while the work goes on.

        Raises
        ------
        ScenarioError
            When a parameter is out of its range.
        UnsupportedError
            When the method cannot handle tables of this structure.
        DataError
            When there is nothing to learn from.
        """
        self.check_parameters()
        self._check_structure(dataset)
        self.schema_ = dataset.schema
        self.seed_ = int(seed)
        self.n_subjects_ = dataset.n_subjects
        self.identifiers_ = IdentifierPlan.learn(dataset)
        core = self.identifiers_.detach(dataset)
        self.constraints_ = ConstraintPlan.learn(core)
        core = self.constraints_.reduce(core)
        self.levels_ = public_levels(core)
        with one_thread():
            self._fit(core, seed=self.seed_, progress=progress or silent)
        return self

    def sample(
        self, n: int, *, seed: int, given: Mapping[str, Any] | pl.DataFrame | None = None, first: int = 0
    ) -> Dataset:
        """Draw exactly n new subjects, numbered from `first`.

        Subject i depends on the seed and on i alone, so one call for 1,000 and ten calls for 100 give the same rows.

        Parameters
        ----------
        n
            Number of subjects, 0 or more.
        seed
            Decides every draw.
        given
            Conditions on columns of the parent table: a mapping column -> value, {"min": a, "max": b}, {"any": [...]},
            {"share": {value: p}} or {"share": "equal"}; or a frame of n rows, null where a cell is free. Every row
            honours them. Shares are met to within one row, from row 0 on; those of several columns are crossed.
        first
            Number of the first subject.

        Raises
        ------
        NotFittedError, UnsupportedError, InfeasibleError
            Before anything is drawn: not fitted, conditions unknown to the method, conditions that cannot be met.
        """
        if not hasattr(self, "schema_"):
            raise NotFittedError(
                f"Expected a fitted '{self.name}'.", "fit has not run.", "Call fit(dataset, seed=...) first."
            )
        if n < 0 or first < 0:
            raise InfeasibleError(
                "Expected n and first of 0 or more.", "A negative number was given.", "Ask for 0 or more."
            )
        conditions = self._resolve(given, n, first)
        with one_thread():
            core = self._sample(n, seed=int(seed), given=conditions, first=first)
        fixed = conditions.columns if conditions else ()
        try:
            tables = self.constraints_.restore(core, seed=int(seed), first=first, fixed=(*fixed, *self._held()))
        except InfeasibleError:  # rules among the held columns themselves: then these may be repaired too
            tables = self.constraints_.restore(core, seed=int(seed), first=first, fixed=fixed)
        tables = self.identifiers_.attach(tables, seed=int(seed), first=first)
        ordered = {table.name: tables[table.name].select(table.names) for table in self.schema_.tables}
        step = Step(
            "sample",
            self.name,
            __version__,
            {"n": n, "first": first, **self.told()},
            int(seed),
            self.schema_.fingerprint,
        )
        return Dataset(self.schema_, ordered, Provenance("generated", (step,)))

    def condition(self, given: Mapping[str, Any]) -> Given:
        """Read and check conditions as `sample` does, without drawing.

        Parameters
        ----------
        given
            As in `sample`.

        Raises
        ------
        NotFittedError, UnsupportedError, InfeasibleError
            As in `sample`.
        """
        if not hasattr(self, "schema_"):
            raise NotFittedError(
                f"Expected a fitted '{self.name}'.", "fit has not run.", "Call fit(dataset, seed=...) first."
            )
        return self._resolve(given, 1, 0) or Given()

    def save(self, folder: str | Path) -> None:
        """Write the fitted generator as `generator.json` and `weights.npz` into a new or empty folder."""
        if not hasattr(self, "schema_"):
            raise NotFittedError(
                f"Expected a fitted '{self.name}'.", "fit has not run.", "Call fit(dataset, seed=...) first."
            )
        target = Path(folder)
        if target.exists() and any(target.iterdir()):
            raise OutputError(
                "Expected a new or empty folder for the model.", "The folder is not empty.", "Name another one."
            )
        facts, arrays = self._state()
        weights = pack(arrays)
        head = {
            "format": MODEL_FORMAT,
            "ehrsatz": __version__,
            "name": self.name,
            "parameters": self.told(),
            "seed": self.seed_,
            "n_subjects": self.n_subjects_,
            "schema": self.schema_.to_dict(reasons=False),
            "fingerprint": self.schema_.fingerprint,
            "identifiers": self.identifiers_.to_dict(),
            "constraints": self.constraints_.to_dict(),
            "levels": self.levels_,
            "facts": facts,
            "weights_sha256": sha256(weights).hexdigest(),
        }
        head["sha256"] = digest(head)
        target.mkdir(parents=True, exist_ok=True)
        partial = target / "weights.npz.part"
        partial.write_bytes(weights)
        partial.rename(target / "weights.npz")
        partial = target / "generator.json.part"
        partial.write_text(json.dumps(head, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.rename(target / "generator.json")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved generator after checking name, version and hashes.

        Raises
        ------
        ModelError
            When a file is absent, altered, of another method or of a newer version.
        """
        head = read_head(folder)
        if head["name"] != cls.name:
            raise ModelError(
                f"Expected a model of '{cls.name}'.",
                "The folder holds another method.",
                "Load it with ehrsatz sample --model.",
            )
        weights = (Path(folder) / "weights.npz").read_bytes()
        if sha256(weights).hexdigest() != head["weights_sha256"]:
            raise ModelError(
                "Expected weights.npz as it was saved.",
                "Its hash differs from generator.json.",
                "Fit again, or restore the folder.",
            )
        try:
            self = cls(**head["parameters"])
            self.schema_ = Schema.from_dict(head["schema"])
            self.seed_, self.n_subjects_ = int(head["seed"]), int(head["n_subjects"])
            self.identifiers_ = IdentifierPlan.from_dict(head["identifiers"])
            self.constraints_ = ConstraintPlan.from_dict(head["constraints"])
            self.levels_ = {name: list(levels) for name, levels in head["levels"].items()}
            with np.load(io.BytesIO(weights), allow_pickle=False) as arrays:
                self._restore(head["facts"], dict(arrays))
        except EhrsatzError:
            raise
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, zipfile.BadZipFile):
            raise ModelError(
                f"Expected a model as '{cls.name}' saves it.",
                "Its hashes are right, but a part is absent or of another form.",
                "Fit again, or load it with the version that wrote it.",
            ) from None
        return self

    def check_parameters(self) -> None:
        """Check that every parameter is within its range.

        Raises
        ------
        ScenarioError
            When one is not.
        """
        for name, (least, most) in self.ranges.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ScenarioError(
                    f"Expected '{name}' of the generator '{self.name}' between {least:g} and {most:g}.",
                    f"It is {'below' if value < least else 'above'}.",
                    "Correct or remove it.",
                )

    def parameters(self) -> dict[str, Any]:
        """Return the constructor's parameters as they were given."""
        return {
            name: getattr(self, name) for name in inspect.signature(type(self).__init__).parameters if name != "self"
        }

    def told(self) -> dict[str, Any]:
        """Return the parameters without those that name places or devices."""
        return {name: value for name, value in self.parameters().items() if name not in UNTOLD}

    # ------------------------------------------------------------------ for the method
    @abstractmethod
    def _fit(self, core: Dataset, *, seed: int, progress: Progress) -> None: ...

    @abstractmethod
    def _sample(self, n: int, *, seed: int, given: Given | None, first: int) -> dict[str, pl.DataFrame]: ...

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]: ...

    @abstractmethod
    def _restore(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None: ...

    def _held(self) -> tuple[str, ...]:
        """Return columns that the repair of constraints should leave alone where it can."""
        return ()

    # ------------------------------------------------------------------ checks, once for all methods
    def _check_structure(self, dataset: Dataset) -> None:
        schema = dataset.schema
        needs = {"static"}
        if len(schema.tables) > 1:
            needs.add("links")
        key = subject_key(schema, schema.parent)
        if len(schema.tables) == 1 and key is not None and dataset.n_subjects < dataset.table.height:
            needs.add("links")  # many rows per subject: visits of an implied patient
        lacking = needs - self.handles
        if lacking:
            raise UnsupportedError(
                f"The generator '{self.name}' takes one table with one row per subject.",
                "The data hold linked tables, or several rows per subject.",
                "Use the generator 'trees', or leave out --subject to treat each row as its own subject.",
            )
        if dataset.n_subjects < 1:
            raise DataError(
                "Expected at least 1 subject to learn from.", "The parent table has no row.", "Give a table with rows."
            )
        if dataset.n_subjects < self.least:
            fitting = (name for name, made in siblings() if made.least <= dataset.n_subjects and needs <= made.handles)
            raise DataError(
                f"Expected at least {self.least} subjects for the generator '{self.name}'.",
                f"There are {dataset.n_subjects}.",
                f"Bring more rows, or use one that learns from so few: {', '.join(fitting)}.",
            )

    def _resolve(self, given: Mapping[str, Any] | pl.DataFrame | None, n: int, first: int) -> Given | None:
        if given is None or (isinstance(given, Mapping) and not given):
            return None
        if not self.conditions:
            raise UnsupportedError(
                f"The generator '{self.name}' does not honour conditions.",
                "given was asked for.",
                f"Use one of: {', '.join(able_to_condition())}.",
            )
        table = self.schema_.parent
        exact: dict[str, pl.Series] = {}
        band: dict[str, tuple[Any, Any]] = {}
        among: dict[str, tuple[Any, ...]] = {}
        if isinstance(given, pl.DataFrame):
            if given.height != n:
                raise InfeasibleError(
                    f"Expected given with {n:,} rows, one per subject.",
                    f"It has {given.height:,}.",
                    "Pass one row per subject.",
                )
            exact = {name: given[name] for name in given.columns}
        else:
            shares = {name: self.shares(name, wish["share"]) for name, wish in given.items() if asks_shares(wish)}
            exact = apportion(shares, n, first)
            for name, wish in given.items():
                if name in shares:
                    continue
                if is_cell(wish):
                    exact[name] = pl.Series(name, [wish] * n)
                elif isinstance(wish, Mapping) and wish and set(wish) <= {"min", "max"} and all_cells(wish.values()):
                    band[name] = (wish.get("min"), wish.get("max"))
                elif isinstance(wish, Mapping) and set(wish) == {"any"} and all_cells(wish["any"], present=True):
                    among[name] = tuple(wish["any"])
                else:
                    raise InfeasibleError(
                        f"Expected given for '{name}' as a value, min and max, any, or share.",
                        "Something else was found.",
                        "See ehrsatz sample --help.",
                    )
        for name in (*exact, *band, *among):
            if name not in table.names:
                raise InfeasibleError(
                    f"Expected given to name columns of table '{table.name}'.",
                    f"'{name}' is none of them.{nearest(name, table.names)}",
                    "Check the spelling.",
                )
            if name in self.identifiers_.columns(table.name) or name in self.constraints_.derived(table.name):
                raise UnsupportedError(
                    "Expected conditions on columns that the generator draws.",
                    f"'{name}' is an identifier, or follows from other columns by a constraint.",
                    "Condition on the columns that it follows from.",
                )
            if table[name].kind not in self.conditions_on:
                raise UnsupportedError(
                    f"The generator '{self.name}' honours conditions on {', '.join(sorted(self.conditions_on))} alone.",
                    f"'{name}' is of kind {table[name].kind}.",
                    f"Use one of: {', '.join(able_to_condition(table[name].kind))}.",
                )
        conditions = Given(
            {name: self._typed(name, cells) for name, cells in exact.items()},
            {name: (self._value(name, low), self._value(name, high)) for name, (low, high) in band.items()},
            {name: tuple(self._value(name, value) for value in values) for name, values in among.items()},
        )
        self._check_feasible(conditions)
        return conditions

    def shares(self, name: str, wish: Any) -> Any:
        """Return asked-for shares of a column; "equal" is the same share for every level that may be asked for."""
        if wish != "equal":
            return wish
        booleans = name in self.schema_.parent.names and self.schema_.parent[name].kind == "boolean"
        levels = [False, True] if booleans else self.levels_.get(name, [])
        if not levels:
            raise InfeasibleError(
                f"Expected equal shares for a column of levels, not for '{name}'.",
                "It has no levels that enough subjects share.",
                "Name the shares: {value: share, ...}.",
            )
        return {level: 1 / len(levels) for level in levels}

    def _typed(self, name: str, cells: pl.Series) -> pl.Series:
        from ehrsatz.schema import dtype_of

        column = self.schema_.parent[name]
        wanted = dtype_of(column.kind)
        if column.kind in {"date", "datetime"} and cells.dtype == pl.String:
            typed = cells.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False)
            for spelling in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"):
                typed = typed.fill_null(cells.str.to_datetime(spelling, strict=False))
            typed = typed.fill_null(cells.str.to_date("%Y-%m-%d", strict=False).cast(typed.dtype)).cast(wanted)
        else:
            typed = cells.cast(wanted, strict=False)
        if typed.null_count() > cells.null_count():
            raise InfeasibleError(
                f"Expected given values of kind {column.kind} for '{name}'.",
                "Some cannot be read as that.",
                "Correct them.",
            )
        return typed

    def _value(self, name: str, value: Any) -> Any:
        if value is None or (self.schema_.parent[name].kind == "integer" and isinstance(value, float)):
            return value  # 50.2 stays: cut to a whole number it would be another condition
        return self._typed(name, pl.Series(name, [value]))[0]

    def _check_feasible(self, given: Given) -> None:
        table = self.schema_.parent
        for name in given.columns:
            column = table[name]
            values = (
                list(given.exact[name].drop_nulls().unique())
                if name in given.exact
                else list(given.among.get(name, ()))
            )
            low, high = given.band.get(name, (None, None))
            if column.is_numeric:
                least, most = bound(column, "minimum"), bound(column, "maximum")
                seen = [
                    value
                    for value in (*values, *((low,) if low is not None else ()))
                    if most is not None and value > most
                ]
                seen += [
                    value
                    for value in (*values, *((high,) if high is not None else ()))
                    if least is not None and value < least
                ]
                if low is not None and high is not None and low > high:
                    raise InfeasibleError(
                        f"Expected given for '{name}' with a lower bound that is not above the upper one.",
                        "The lower bound is above the upper one.",
                        "Swap the two bounds.",
                    )
                if seen:
                    raise InfeasibleError(
                        f"Expected given for '{name}' inside the schema's bounds.",
                        "The condition leaves no value.",
                        f"Use bounds between {least} and {most}.",
                    )
            elif name in self.levels_:
                unknown = [value for value in values if str(value) not in self.levels_[name]]
                if unknown:
                    raise InfeasibleError(
                        f"Expected given for '{name}' among the {len(self.levels_[name])} levels that at least "
                        f"{MIN_SUBJECTS} training subjects hold.",
                        f"{len(unknown)} of the values asked for is not among them."
                        + nearest(str(unknown[0]), self.levels_[name]),
                        "Ask for a level that the training data hold, or bring more of its rows.",
                    )
        if given.exact:
            self.constraints_.require(pl.DataFrame(dict(given.exact)))


def load_any(folder: str | Path) -> Generator:
    """Load a saved generator of whatever method the folder holds."""
    from ehrsatz import registry

    return registry.find("generators", read_head(folder)["name"]).load(folder)


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""
