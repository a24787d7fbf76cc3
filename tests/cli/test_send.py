"""`ehrsatz send`: what it says, its files and its exit codes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from ehrsatz.cli.main import main
from test_mllp import N, answer, feed, receiver, taken


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_folder_is_sent_logged_and_not_sent_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    feed(tmp_path / "wire")
    with receiver(taken) as good:
        to = f"127.0.0.1:{good.port}"
        assert main(["send", "wire", to, "--log", "log.jsonl"]) == 0
        told = capsys.readouterr()
        assert "ADT^A04\t6" in told.out and f"{N} messages acknowledged." in told.err
        assert main(["send", "wire", to]) == 0
        assert f"0 messages acknowledged, {N} before." in capsys.readouterr().err and len(good.got) == N
        assert main(["send", "wire", to, "--again", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"messages": {"ADT^A04": N}, "failed": [], "before": 0}
        assert len(good.got) == 2 * N
    lines = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    assert lines[1] == {"file": "feed.hl7", "message": 2, "type": "ADT^A04", "answer": "AA"} and len(lines) == N
    assert sorted(one.name for one in (tmp_path / "wire").iterdir()) == ["feed.hl7"]  # a release stays as it was


def test_dry_run_opens_no_connection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = feed(tmp_path / "wire")
    with receiver(taken) as good:
        assert main(["send", str(path), f"127.0.0.1:{good.port}", "--dry-run"]) == 0
    assert not good.got and "nothing was sent" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.state"))


def test_messages_that_are_not_taken_end_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    feed(tmp_path / "wire")
    with receiver(lambda data: answer(data, "AE" if data.split(b"|")[9] in {b"2", b"5"} else "AA")) as picky:
        assert main(["send", "wire", f"127.0.0.1:{picky.port}"]) == 2
        told = capsys.readouterr().err
        assert "did not take 2" in told and "AE 2 times" in told and "message 5 of feed.hl7 (ADT^A04): AE" in told
        assert main(["send", "wire", f"127.0.0.1:{picky.port}", "--again", "--stop-on-error"]) == 2
        assert "take message 2 of feed.hl7" in capsys.readouterr().err and len(picky.got) == N + 2


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    feed(tmp_path / "wire")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert main(["send", "wire", f"127.0.0.1:{port}", "--retries", "0"]) == 2
    assert "nothing listens there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wire", "localhost"], "HOST:PORT"),
        (["wire", "localhost:99999"], "HOST:PORT"),
        (["wire", "localhost:1", "--rate", "0"], "--rate above 0"),
        (["wire", "localhost:1", "--timeout", "-1"], "--timeout above 0"),
        (["wire", "localhost:1", "--ca", "x.pem"], "--ca with --tls"),
        (["nowhere", "localhost:1"], "There are none"),
        (["wire", "localhost:1", "--log", "no/such/folder"], "the log"),
    ],
)
def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    feed(tmp_path / "wire")
    assert main(["send", *arguments]) == 2
    assert words in capsys.readouterr().err
