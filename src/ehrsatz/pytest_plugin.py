"""Fixtures for test suites: a seeded cohort as dataset, FHIR bundles, SQLite, PostgreSQL or HL7 feed.

A test says with the marker `ehrsatz` which patients it wants; equal wishes are made once and kept by a hash of all that
decides them, in pytest's own cache. A failing test prints the seed and the line that makes its cohort again. Nothing
heavy is imported before a fixture is used.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from ehrsatz.dataset import Dataset
    from ehrsatz.scenario import Scenario

N, SEED, SCENARIO = 20, 0, "clinic"
KEY = pytest.StashKey["Wish"]()
BATCH = ("FHS", "BHS", "BTS", "FTS")
OPTIONS = {  # key of the simulator's part -> option of `ehrsatz fabricate`
    "locale": "--locale",
    "reference": "--reference",
    "record_years": "--record-years",
    "modules": "--modules",
    "calibration": "--calibration",
    "edge_cases": "--edge-cases",
}


@dataclass(frozen=True)
class Wish:
    """Which patients a test wants: a scenario by name or path, how many, the seed, keys of the simulator's part."""

    scenario: str
    n: int
    seed: int
    parts: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> Scenario:
        """Return the scenario of the run."""
        from ehrsatz.scenario import Scenario

        changes = {"n": self.n, "seed": self.seed, **{f"simulator.{key}": value for key, value in self.parts.items()}}
        return Scenario.cohort(self.scenario).changed(changes)

    def line(self) -> str:
        """Return the command that makes the same cohort; keys that are no option stand in the Python line alone."""
        words = ["ehrsatz", "fabricate", self.scenario, "--n", str(self.n), "--seed", str(self.seed)]
        for group in self.parts.get("groups", ()):
            words += ["--group-of", " ".join(f"{key}={_spelled(value)}" for key, value in group.items())]
        for key, value in self.parts.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                words += [OPTIONS[key], str(one)] if key in OPTIONS else []
        return shlex.join([*words, "--out", "cohort/"])

    def python(self) -> str:
        """Return the line of Python that gives the same dataset."""
        parts = "".join(f", {key}={value!r}" for key, value in self.parts.items())
        return f"ehrsatz.simulate({self.scenario!r}, n={self.n}, seed={self.seed}{parts})"


def _spelled(value: Any) -> str:
    """Spell a value of a group as `--group-of` takes it."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    numbers = all(isinstance(one, (int, float)) for one in value)
    return (".." if numbers else ",").join(str(one) for one in value)


# ---------------------------------------------------------------------- pytest's hooks
def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the command line of pytest takes."""
    group = parser.getgroup("ehrsatz", "simulated patients")
    group.addoption(
        "--ehrsatz-seed", type=int, default=None, help=f"Seed where a marker names none; {SEED} by default."
    )
    group.addoption("--ehrsatz-n", type=int, default=None, help=f"Patients where a marker names none; {N} by default.")
    group.addoption(
        "--ehrsatz-postgres",
        default=None,
        metavar="URL",
        help="PostgreSQL for the fixture ehrsatz_postgres; each test gets a schema of its own, which is dropped.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", "ehrsatz(scenario, n, seed, **parts): patients that the ehrsatz fixtures of this test hold"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell a failing test's seed, and how its cohort is made again."""
    report: Any = yield
    wish = item.stash.get(KEY, None)
    if wish is not None and report.failed:
        report.sections.append(
            ("ehrsatz", f"seed {wish.seed}; the same patients again:\n{wish.line()}\n{wish.python()}")
        )
    return report


# ---------------------------------------------------------------------- fixtures
@pytest.fixture
def ehrsatz_wish(request: pytest.FixtureRequest) -> Wish:
    """What the marker of this test asks for, with the defaults of the command line."""
    marker = request.node.get_closest_marker("ehrsatz")
    asked: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    if marker is not None and marker.args:
        asked["scenario"] = marker.args[0]
    option = request.config.getoption
    n = asked.pop("n", None) or option("--ehrsatz-n") or N
    chosen = asked.pop("seed", None)
    seed = next(one for one in (chosen, option("--ehrsatz-seed"), SEED) if one is not None)
    wish = Wish(str(asked.pop("scenario", SCENARIO)), n, seed, asked)
    request.node.stash[KEY] = wish
    return wish


@pytest.fixture
def ehrsatz_folder(ehrsatz_wish: Wish, request: pytest.FixtureRequest) -> Any:
    """Return folder(format) -> Path: the cohort in any format, shared by all tests; do not write into it."""
    root = request.config.cache.mkdir("ehrsatz")

    def folder(format: str = "parquet") -> Path:
        return _made(ehrsatz_wish, format, root)

    return folder


@pytest.fixture
def ehrsatz_dataset(ehrsatz_folder: Any) -> Dataset:
    """The cohort as a `Dataset`: polars frames in `tables`, 22 of them."""
    import polars as pl

    from ehrsatz import clinical
    from ehrsatz.dataset import Dataset
    from ehrsatz.provenance import Provenance

    folder = Path(ehrsatz_folder("parquet"))
    tables = {table.name: pl.read_parquet(folder / f"{table.name}.parquet") for table in clinical.schema().tables}
    return Dataset(clinical.schema(), tables, Provenance("simulated"))


@pytest.fixture
def ehrsatz_fhir(ehrsatz_folder: Any) -> Path:
    """Folder of FHIR R4 transaction bundles, one per patient; load `hospitals.json` first."""
    return Path(ehrsatz_folder("fhir_bundle")) / "fhir_bundle"


@pytest.fixture
def ehrsatz_hl7(ehrsatz_folder: Any) -> list[str]:
    """HL7 v2.5.1 messages in the order of events, segments ending in a carriage return."""
    paths = sorted((Path(ehrsatz_folder("hl7v2")) / "hl7v2").glob("*.hl7"))
    lines = [line for path in paths for line in path.read_bytes().decode("utf-8").replace("\n", "\r").split("\r")]
    messages: list[list[str]] = []
    for line in lines:
        if line.startswith("MSH"):
            messages.append([line])
        elif line and line[:3] not in BATCH and messages:
            messages[-1].append(line)
    return ["".join(f"{line}\r" for line in one) for one in messages]


@pytest.fixture
def ehrsatz_sqlite(ehrsatz_folder: Any, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """An open SQLite database of the cohort, with keys and indexes: this test's own copy, to write into as it likes."""
    held = next((ehrsatz_folder("sqlite") / "sqlite").glob("*.sqlite"))
    own = tmp_path / "ehrsatz.sqlite"
    shutil.copyfile(held, own)
    connection = sqlite3.connect(own)
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()


@pytest.fixture
def ehrsatz_postgres(ehrsatz_folder: Any, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Address of a PostgreSQL database and the name of a schema in it that holds the cohort, for this test alone."""
    url = request.config.getoption("--ehrsatz-postgres")
    if url is None:
        pytest.skip("no PostgreSQL was named: pytest --ehrsatz-postgres postgresql://user@host/database")
    import psycopg

    from ehrsatz.loading import load_records

    schema = f"ehrsatz_{uuid4().hex[:12]}"
    load_records(str(ehrsatz_folder("parquet")), url, schema=schema)
    yield url, schema
    with psycopg.connect(url) as connection:
        connection.execute(psycopg.sql.SQL("DROP SCHEMA {} CASCADE").format(psycopg.sql.Identifier(schema)))


def _made(wish: Wish, format: str, root: Path) -> Path:
    """Return the folder of a cohort in one format; written aside and renamed, so that tests side by side share it."""
    from ehrsatz.pipeline import export
    from ehrsatz.provenance import Provenance
    from ehrsatz.simulation import setting, simulate

    plan = wish.plan()
    assert plan.simulator is not None
    told = setting(plan.simulator.model_dump_json(), plan.n or N, plan.seed).provenance
    place = root / f"{_fingerprint(told)}-{format}"
    if place.is_dir():
        return place
    aside = root / f".{place.name}-{uuid4().hex[:8]}"
    export(simulate(plan), aside, formats=[format])
    assert isinstance(told, Provenance)
    try:
        aside.rename(place)
    except OSError:  # another process was faster: the bytes are the same
        shutil.rmtree(aside, ignore_errors=True)
    return place


def _fingerprint(provenance: Any) -> str:
    step = provenance.steps[0]
    return str(json.loads(json.dumps(step.params))["fingerprint"])
