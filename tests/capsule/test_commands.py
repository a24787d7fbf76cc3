"""The commands around a release, as persons type them: exit codes, JSON, today's date, and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from capsule.people import House, release, tree
from ehrsatz.cli import main as cli
from ehrsatz.dataset import Dataset


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in its own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tidy: Dataset, people: House, tmp_path: Path) -> str:
    release(tidy, tmp_path / "release", rule=people.rule())
    return "release"


@pytest.fixture
def keys(people: House) -> Path:
    return people.folder


def test_from_keys_to_withdrawal(folder: str, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", folder]) == 0
    assert "Not signed" in capsys.readouterr().err
    assert cli.main(["sign", folder, "--key", f"{keys}/anna.key"]) == 0
    assert cli.main(["approve", folder, "--key", f"{keys}/anna.key"]) == 1
    assert cli.main(["verify", folder, "--require-approval"]) == 2
    late = ["approve", folder, "--key", f"{keys}/bo.key", "--date", "2026-01-01"]
    assert cli.main(late) == 2
    assert "last day" in capsys.readouterr().err
    assert cli.main([*late[:-1], "2025-12-31", "--remark", "Read it.", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["approved"] is True
    check = ["verify", folder, "--key", f"{keys}/anna.pub.json", "--require-approval"]
    assert cli.main(check) == 0
    assert "Approved by anna" in capsys.readouterr().err
    assert cli.main([*check, "--at", "2020-01-01"]) == 2
    assert "has not come yet" in capsys.readouterr().err
    assert cli.main(["verify", folder, "--key", f"{keys}/bo.pub.json", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["problems"] and "none of the keys you gave" in shown.err
    gone = ["withdraw", folder, "--key", f"{keys}/anna.key", "--list", "w.json", "--reason", "A wrong table."]
    assert cli.main([*gone, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 1
    assert cli.main([*check, "--withdrawn", "w.json"]) == 2
    assert "Do not use it any more" in capsys.readouterr().err
    assert cli.main([*check, "--withdrawn", "absent.json"]) == 2


def test_keys_are_made_shown_and_taken_by_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    from ehrsatz.gate import Policy

    assert cli.main(["keys", "new", "anna", "--role", "data steward", "--out", "k", "--valid-until", "2030-01-31"]) == 0
    assert cli.main(["keys", "new", "anna", "--role", "data steward", "--out", "k"]) == 2
    capsys.readouterr()
    assert cli.main(["keys", "show", "k/anna.pub.json"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    told = {"thresholds": [{"metric": "margins", "at_least": 0.5}], "approval": {"keys": yaml.safe_load(line)}}
    (key,) = Policy.from_dict(told).to_dict()["approval"]["keys"]
    assert cli.main(["keys", "show", "k/anna.pub.json", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert key == {name: shown[name] for name in ("name", "role", "public_key", "valid_until")}


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "new", "../x", "--role", "r"],
        ["keys", "new", "x", "--role", "r", "--valid-until", "soon"],
        ["keys", "new", "x", "--role", "r", "--passphrase-file", "absent"],
        ["keys", "new", "x"],
        ["keys", "show", "absent.json"],
        ["sign", "absent", "--key", "absent.key"],
        ["sign", "release", "--key", "{keys}/anna.pub.json"],
        ["sign", "absent", "--key", "{keys}/anna.key"],
        ["sign", "release", "--key", "{keys}/anna.key", "--date", "1.2.2025"],
        ["approve", "release", "--key", "{keys}/eve.key"],
        ["approve", "release"],
        ["verify", "absent"],
        ["verify", "release", "--key", "{keys}/anna.key"],
        ["verify", "release", "--at", "today"],
        ["verify", "release/README.txt"],
        ["withdraw", "release", "--key", "{keys}/anna.key", "--list", "w.json"],
        ["withdraw", "release", "--key", "{keys}/anna.key", "--list", "no/w.json", "--reason", "x"],
        ["seal", "release", "--to", "x", "--out", "r.age"],
        ["open", "absent.age", "--identity", "absent.txt", "--out", "o"],
    ],
)
def test_bad_input_is_exit_code_2_and_changes_nothing(
    arguments: list[str], folder: str, keys: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = tree(tmp_path)
    assert cli.main([one.format(keys=keys) for one in arguments]) == 2
    assert "Error" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_passphrases(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("secret.txt").write_text("correct horse\nmore\n")
    Path("wrong.txt").write_text("wrong horse\n")
    Path("empty.txt").write_text("\n")
    locked = ["--passphrase-file", "secret.txt"]
    assert cli.main(["keys", "new", "anna", "--role", "steward", *locked]) == 0
    assert cli.main(["sign", folder, "--key", "anna.key"]) == 2
    assert cli.main(["sign", folder, "--key", "anna.key", "--passphrase-file", "wrong.txt"]) == 2
    assert cli.main(["sign", folder, "--key", "anna.key", "--passphrase-file", "empty.txt"]) == 2
    assert cli.main(["sign", folder, "--key", "anna.key", *locked]) == 0
    shown = capsys.readouterr()
    assert "horse" not in shown.out + shown.err


def test_sealed_and_opened(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    identity = pyrage.x25519.Identity.generate()
    Path("id.txt").write_text(f"{identity}\n")
    assert cli.main(["seal", folder, "--to", str(identity.to_public()), "--out", "r.age"]) == 0
    assert cli.main(["open", "r.age", "--identity", "id.txt", "--out", "received", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    assert tree(Path("received")) == tree(Path(folder))
    assert cli.main(["open", "r.age", "--identity", "id.txt", "--out", "received"]) == 2
    assert cli.main(["seal", folder, "--to", str(identity.to_public()), "--out", "r.age"]) == 2


@pytest.mark.parametrize("group", ["keys", "sign", "approve", "verify", "withdraw", "seal", "open"])
def test_every_command_has_help_with_examples(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([group, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example" in shown and f"ehrsatz {group}" in shown


def test_verify_needs_no_network(folder: str, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    assert cli.main(["sign", folder, "--key", f"{keys}/anna.key"]) == 0
    assert cli.main(["verify", folder, "--key", f"{keys}/anna.pub.json"]) == 0


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_run_leaves_nothing_at_the_target(tmp_path: Path) -> None:
    """Kill a writer in the middle: the target is absent, and the next run finds its place free."""
    code = (
        "import time\n"
        "from ehrsatz.capsule.stage import staged\n"
        "with staged('release') as stage:\n"
        "    (stage / 'half').write_text('x')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    assert not (tmp_path / "release").exists()
    from ehrsatz.capsule.stage import staged

    with staged(tmp_path / "release") as stage:
        (stage / "whole").write_text("x")
    assert tree(tmp_path / "release") == {"whole": b"x"}
