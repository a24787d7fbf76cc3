"""A real PostgreSQL server: found, or installed from Debian's packages, started as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from ehrsatz.errors import SourceError

sqlalchemy = pytest.importorskip("sqlalchemy")
pytest.importorskip("psycopg")
from ehrsatz.sources.sql import SqlSource  # noqa: E402

pytestmark = pytest.mark.postgres
PASSWORD = "right-pw-7261"


@dataclass
class Server:
    port: int

    def url(self, password: str = PASSWORD, database: str = "clinic", driver: str = "postgresql") -> str:
        return f"{driver}://ehr:{password}@127.0.0.1:{self.port}/{database}"


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def install() -> Path:
    where = binaries()
    if where is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "postgresql"]):
            subprocess.run(command, env=quiet, check=False, capture_output=True, timeout=600)
        where = binaries()
    if where is None:
        pytest.skip("no PostgreSQL server here, and it could not be installed from Debian's packages")
    return where


def unprivileged() -> list[str]:
    """Return the command prefix that runs as a user other than root, which PostgreSQL insists on."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    return ["runuser", "-u", user, "--"] if shutil.which("runuser") else ["su", user, "-s", "/bin/sh", "-c"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    where = install()
    folder = Path(tempfile.mkdtemp(prefix="ehrsatz-pg-"))
    try:
        user = unprivileged()
        if user:
            name = user[2] if user[0] == "runuser" else user[1]
            shutil.chown(folder, name)
        (folder / "pw").write_text(PASSWORD)
        os.chmod(folder / "pw", 0o644)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        def run(*command: str) -> None:
            whole = [*user, *command] if not user or user[0] == "runuser" else [*user, " ".join(command)]
            subprocess.run(
                whole, check=True, cwd=folder, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

        data = str(folder / "data")
        run(
            *(str(where / "initdb"), "-D", data, "-U", "ehr", "--auth=scram-sha-256"),
            *(f"--pwfile={folder / 'pw'}", "--encoding=UTF8", "--no-sync"),
        )
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
        run(str(where / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            fill(Server(port))
            yield Server(port)
        finally:
            run(str(where / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(server: Server) -> None:
    first = sqlalchemy.create_engine(server.url(database="postgres", driver="postgresql+psycopg"))
    with first.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text("create database clinic"))
    first.dispose()
    engine = sqlalchemy.create_engine(server.url(driver="postgresql+psycopg"))
    with engine.begin() as connection:
        for statement in (
            "create table patients (patient_id uuid primary key, sex char(1), born date, weight numeric(5, 1))",
            "create table visits (visit_id bigint primary key, patient_id uuid not null references patients, "
            "at timestamptz, ward varchar(20), fever boolean, details jsonb)",
        ):
            connection.execute(sqlalchemy.text(statement))
        for i in range(40):
            connection.execute(
                sqlalchemy.text("insert into patients values (:id, :sex, :born, :weight)"),
                {
                    "id": uid(i),
                    "sex": "FM"[i % 2],
                    "born": date(1950 + i, 3, 1),
                    "weight": None if i == 3 else 60 + i / 2,
                },
            )
        for i in range(120):
            connection.execute(
                sqlalchemy.text("insert into visits values (:id, :patient, :at, :ward, :fever, '{\"a\": 1}')"),
                {
                    "id": i,
                    "patient": uid(i // 3),
                    "at": f"2021-{1 + i % 12:02d}-{1 + i % 27:02d} 08:00+02",
                    "ward": f"W{i % 4}",
                    "fever": i % 5 == 0,
                },
            )
    engine.dispose()


def uid(i: int) -> str:
    return f"00000000-0000-4000-8000-{i:012d}"


def test_reads_tables_with_their_foreign_keys(server: Server) -> None:
    data = SqlSource().read(server.url())
    assert data.schema.parent.name == "patients" and data.n_subjects == 40
    visits = data.schema["visits"]
    assert [(link.column, link.to_table, link.to_column) for link in visits.links] == [
        ("patient_id", "patients", "patient_id")
    ]
    kinds = {column.name: column.kind for table in data.schema.tables for column in table.columns}
    assert kinds["patient_id"] == "id" and kinds["born"] == "date" and kinds["weight"] == "number"
    assert kinds["at"] == "datetime" and kinds["fever"] == "boolean" and visits.time == "at"
    assert data.tables["visits"]["at"][0].hour == 6
    assert data.tables["patients"]["weight"].null_count() == 1


def test_one_table_and_a_sample(server: Server) -> None:
    data = SqlSource().read(server.url(), table="visits", subject="patient_id", sample_subjects=5, seed=1)
    assert data.n_subjects == 5 and data.table.height == 15


def test_a_wrong_password_is_never_printed(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError) as caught:
        SqlSource().read(server.url(password="wrong-pw-9134"))
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + "".join(capfd.readouterr())
    assert "refused the user or the password" in said
    assert "wrong-pw-9134" not in said.replace('server.url(password="wrong-pw-9134")', "")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_database_that_is_not_there(server: Server) -> None:
    with pytest.raises(SourceError) as caught:
        SqlSource().read(server.url(database="absent"))
    assert PASSWORD not in str(caught.value)
